//! Queue of an agent's audio, with its marks, until it is played to the caller.
//!
//! Pieces of any length join into one stream of bytes, and every tick takes 20 ms from it. The rest of a piece waits
//! for the next one. If no piece follows, the rest is padded with silence to a full frame and played: at the next
//! tick if a mark waits behind it, because the mark is due once the last sample before it is played, otherwise after
//! [`REST_TICKS`] ticks. A mark takes no room and no tick of its own.
//!
//! A piece may end within a sample. Half a sample waits for its other half, because the pieces may be those of a
//! download; after [`HALF_SAMPLE_TICKS`] ticks, and at a clear, it is dropped, because all later audio would otherwise
//! be noise.
//!
//! No audio is ever dropped for lack of room: beyond its limits [`PlayoutQueue::wants_more`] returns false, and the
//! socket is not read.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::format::AgentFormat;
use crate::limits::{
    HALF_SAMPLE_TICKS, MARK_BYTES_WAITING, MARKS_WAITING, PLAYOUT_BLOCK_BYTES, PLAYOUT_BLOCKS_KEPT, PLAYOUT_SECONDS,
    REST_TICKS,
};
use crate::snapshot::PlayoutSnapshot;

/// Mark that is due and has to be returned to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayedMark {
    /// Name of the mark, as the agent sent it.
    pub name: String,
    /// Duration of agent audio played since the stream's start up to the mark, in milliseconds.
    pub played_ms: u64,
}

/// Result of a `clear`, by which the agent discards its queued audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClearResult {
    /// Duration of agent audio played since the stream's start, in milliseconds.
    pub played_ms: u64,
    /// Duration of the discarded audio, in milliseconds.
    pub dropped_ms: u64,
}

#[derive(Debug)]
struct PendingMark {
    /// Number of bytes that must have been played for the mark to be due.
    at: u64,
    name: String,
}

/// Audio that an agent has sent and that is not played to the caller yet, with its marks.
#[derive(Debug)]
pub struct PlayoutQueue {
    format: AgentFormat,
    blocks: VecDeque<Vec<u8>>,
    /// Memory of the last emptied block, kept for reuse.
    spare: Vec<u8>,
    /// Number of bytes of the first block that are already played.
    head: usize,
    held: usize,
    played: u64,
    marks: VecDeque<PendingMark>,
    mark_bytes: usize,
    dry_ticks: u32,
    frame: Vec<u8>,
}

impl PlayoutQueue {
    /// Creates an empty queue for audio in `format`.
    pub fn new(format: AgentFormat) -> PlayoutQueue {
        PlayoutQueue {
            format,
            blocks: VecDeque::new(),
            spare: Vec::new(),
            head: 0,
            held: 0,
            played: 0,
            marks: VecDeque::new(),
            mark_bytes: 0,
            dry_ticks: 0,
            frame: vec![format.silence(); format.frame_bytes()],
        }
    }

    /// Returns the queued audio and marks as serializable data.
    pub fn snapshot(&self) -> PlayoutSnapshot {
        let mut audio = Vec::with_capacity(self.held);
        for (at, block) in self.blocks.iter().enumerate() {
            let played = if at == 0 { self.head } else { 0 };
            audio.extend_from_slice(block.get(played..).unwrap_or_default());
        }
        PlayoutSnapshot {
            audio: STANDARD.encode(audio),
            played: self.played,
            marks: self.marks.iter().map(|mark| (mark.at, mark.name.clone())).collect(),
        }
    }

    /// Restores a queue; audio that is not base64 is omitted.
    pub fn restore(format: AgentFormat, snapshot: PlayoutSnapshot) -> PlayoutQueue {
        let PlayoutSnapshot { audio, played, marks } = snapshot;
        let mut queue = PlayoutQueue { played, ..PlayoutQueue::new(format) };
        queue.push(&STANDARD.decode(audio).unwrap_or_default());
        queue.mark_bytes = marks.iter().map(|(_, name)| name.len()).sum();
        queue.marks = marks.into_iter().map(|(at, name)| PendingMark { at, name }).collect();
        queue
    }

    /// Adds a piece of audio of any length, in the queue's format.
    pub fn push(&mut self, mut audio: &[u8]) {
        self.held += audio.len();
        while !audio.is_empty() {
            let room = self.blocks.back().map_or(0, |block| PLAYOUT_BLOCK_BYTES.saturating_sub(block.len()));
            if room == 0 {
                let mut block = std::mem::take(&mut self.spare);
                block.clear();
                block.reserve_exact(PLAYOUT_BLOCK_BYTES);
                self.blocks.push_back(block);
                continue;
            }
            let (fits, rest) = audio.split_at(room.min(audio.len()));
            if let Some(block) = self.blocks.back_mut() {
                block.extend_from_slice(fits);
            }
            audio = rest;
        }
    }

    /// Adds a mark after all queued audio; it is due at once if no audio is queued.
    pub fn mark(&mut self, name: String) {
        self.mark_bytes += name.len();
        self.marks.push_back(PendingMark { at: self.played + self.whole() as u64, name });
    }

    /// Removes and returns the 20 ms of this tick, which count as played; `None` if the caller hears silence. Call it
    /// once per tick.
    pub fn next_frame(&mut self) -> Option<&[u8]> {
        let (frame, rest) = (self.format.frame_bytes(), self.whole());
        let waited = self.marks.back().is_some_and(|mark| mark.at > self.played) || self.dry_ticks >= REST_TICKS;
        if rest < frame && !(rest > 0 && waited) {
            self.dry_ticks = if self.held > 0 { self.dry_ticks + 1 } else { 0 };
            if self.dry_ticks > HALF_SAMPLE_TICKS {
                self.drop_all();
            }
            return None;
        }
        self.dry_ticks = 0;
        self.take_bytes(rest.min(frame));
        self.frame.resize(frame, self.format.silence());
        Some(&self.frame)
    }

    /// Removes and returns up to `ms` of queued audio, which counts as played: the start of a `clear` that fades out.
    pub fn take_ahead(&mut self, ms: usize) -> &[u8] {
        let wanted = ms * self.format.bytes_per_ms();
        self.take_bytes(self.whole().min(wanted));
        &self.frame
    }

    /// Removes and returns the next due mark. Call it until `None` after each sent frame, each added mark and each
    /// clear.
    pub fn poll_mark(&mut self) -> Option<PlayedMark> {
        let at = self.marks.front().map(|mark| mark.at).filter(|at| *at <= self.played)?;
        let name = self.marks.pop_front()?.name;
        self.mark_bytes -= name.len();
        Some(PlayedMark { name, played_ms: self.bytes_to_ms(at) })
    }

    /// Discards the queued audio; all marks become due.
    pub fn clear(&mut self) -> ClearResult {
        let cleared = ClearResult { played_ms: self.played_ms(), dropped_ms: self.bytes_to_ms(self.held as u64) };
        self.drop_all();
        for mark in &mut self.marks {
            mark.at = mark.at.min(self.played);
        }
        cleared
    }

    /// Returns whether the agent's socket may be read further, because neither audio nor marks exceed their limits.
    pub fn wants_more(&self) -> bool {
        self.held < PLAYOUT_SECONDS * 1000 * self.format.bytes_per_ms()
            && self.marks.len() < MARKS_WAITING
            && self.mark_bytes < MARK_BYTES_WAITING
    }

    /// Returns the queued audio in bytes, which counts towards the edge's limit.
    pub fn held_bytes(&self) -> usize {
        self.held
    }

    /// Returns the queued audio in milliseconds.
    pub fn held_ms(&self) -> u64 {
        self.bytes_to_ms(self.held as u64)
    }

    /// Returns the duration of agent audio played since the stream's start, in milliseconds.
    pub fn played_ms(&self) -> u64 {
        self.bytes_to_ms(self.played)
    }

    /// Returns whether neither audio nor a mark waits.
    pub fn is_empty(&self) -> bool {
        self.held == 0 && self.marks.is_empty()
    }

    /// Returns the number of queued bytes, without an incomplete sample at the end.
    fn whole(&self) -> usize {
        self.held - self.held % self.format.sample_bytes()
    }

    fn drop_all(&mut self) {
        self.blocks.truncate(1);
        self.empty_the_last();
        (self.held, self.dry_ticks) = (0, 0);
    }

    /// Empties the first block and keeps its memory, because an agent that sends in real time fills it again and again;
    /// frees the memory of a long block list.
    fn empty_the_last(&mut self) {
        if let Some(block) = self.blocks.front_mut() {
            block.clear();
        }
        self.head = 0;
        if self.blocks.capacity() > PLAYOUT_BLOCKS_KEPT {
            self.blocks.shrink_to(PLAYOUT_BLOCKS_KEPT);
        }
    }

    fn bytes_to_ms(&self, bytes: u64) -> u64 {
        bytes / self.format.bytes_per_ms() as u64
    }

    /// Moves up to `bytes` bytes of queued audio into `frame`, replacing its content, and counts them as played.
    fn take_bytes(&mut self, bytes: usize) {
        self.frame.clear();
        while self.frame.len() < bytes {
            let last = self.blocks.len() == 1;
            let Some(block) = self.blocks.front_mut() else { break };
            let wanted = bytes - self.frame.len();
            let rest = block.get(self.head..).unwrap_or_default();
            let piece = rest.get(..wanted.min(rest.len())).unwrap_or_default();
            self.frame.extend_from_slice(piece);
            self.head += piece.len();
            if self.head < block.len() {
                continue;
            }
            if last {
                self.empty_the_last();
                break;
            }
            self.head = 0;
            self.spare = self.blocks.pop_front().unwrap_or_default();
        }
        self.held = self.held.saturating_sub(bytes);
        self.played += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMAT: AgentFormat = AgentFormat::Mulaw8000;

    fn names(playout: &mut PlayoutQueue) -> Vec<String> {
        std::iter::from_fn(|| playout.poll_mark()).map(|mark| mark.name).collect()
    }

    /// Returns the number of ticks until a frame is played.
    fn ticks_to_frame(playout: &mut PlayoutQueue) -> u32 {
        (1..100).find(|_| playout.next_frame().is_some()).unwrap()
    }

    #[test]
    fn a_restored_queue_plays_the_rest_with_its_marks() {
        let mut playout = PlayoutQueue::new(FORMAT);
        playout.push(&[1; 3 * PLAYOUT_BLOCK_BYTES + 161]);
        playout.mark("end".into());
        playout.next_frame();
        let mut restored = PlayoutQueue::restore(FORMAT, playout.snapshot());
        assert_eq!((restored.held_bytes(), restored.played_ms()), (playout.held_bytes(), 20));
        loop {
            let (one, other) = (playout.next_frame().map(<[u8]>::to_vec), restored.next_frame().map(<[u8]>::to_vec));
            assert_eq!(one, other);
            let due = playout.poll_mark();
            assert_eq!(restored.poll_mark(), due);
            if due.is_some() {
                break;
            }
        }
        assert!(restored.is_empty());
    }

    #[test]
    fn a_rest_waits_for_the_next_piece() {
        let mut playout = PlayoutQueue::new(FORMAT);
        playout.push(&[1; 161]);
        assert_eq!(playout.next_frame(), Some(&[1; 160][..]));
        assert_eq!(playout.next_frame(), None);
        playout.push(&[2; 159]);
        let frame = playout.next_frame().unwrap();
        assert_eq!((frame.len(), frame[0], frame[1]), (160, 1, 2));
        assert!(playout.is_empty());
    }

    #[test]
    fn a_rest_that_nothing_follows_leaves_filled_up() {
        let mut playout = PlayoutQueue::new(FORMAT);
        playout.push(&[1; 3]);
        assert_eq!(ticks_to_frame(&mut playout), REST_TICKS + 1);
        assert_eq!(playout.played_ms(), 0);
        // The wait restarts, however long the queue was empty.
        for _ in 0..3 * REST_TICKS {
            assert_eq!(playout.next_frame(), None);
        }
        playout.push(&[1; 80]);
        assert_eq!(ticks_to_frame(&mut playout), REST_TICKS + 1);
        assert_eq!(playout.played_ms(), 10);
    }

    /// Memory of a long queue is freed, whether its audio is played or cleared.
    #[test]
    fn a_long_queue_leaves_no_room_behind() {
        for cleared in [true, false] {
            let mut playout = PlayoutQueue::new(FORMAT);
            playout.push(&[1; 1000 * PLAYOUT_BLOCK_BYTES]);
            assert!(playout.blocks.capacity() >= 1000);
            if cleared {
                playout.clear();
            }
            while playout.next_frame().is_some() || playout.held_bytes() > 0 {}
            assert!(playout.is_empty() && playout.blocks.capacity() <= PLAYOUT_BLOCKS_KEPT, "{cleared}");
        }
    }

    #[test]
    fn a_mark_behind_a_rest_sends_it_at_the_next_tick() {
        let mut playout = PlayoutQueue::new(FORMAT);
        playout.push(&[1; 161]);
        playout.mark("end".into());
        assert!(playout.next_frame().is_some());
        assert_eq!(playout.poll_mark(), None);
        let mut expected = [0xff; 160];
        expected[0] = 1;
        assert_eq!(playout.next_frame(), Some(&expected[..]));
        assert_eq!(playout.poll_mark(), Some(PlayedMark { name: "end".into(), played_ms: 20 }));
        assert_eq!(playout.poll_mark(), None);
    }

    #[test]
    fn a_mark_without_audio_is_due_at_once() {
        let mut playout = PlayoutQueue::new(FORMAT);
        playout.mark("now".into());
        assert_eq!(playout.poll_mark(), Some(PlayedMark { name: "now".into(), played_ms: 0 }));
        playout.push(&[1; 160]);
        assert!(playout.next_frame().is_some());
        playout.mark("again".into());
        assert_eq!(playout.poll_mark(), Some(PlayedMark { name: "again".into(), played_ms: 20 }));
    }

    #[test]
    fn a_mark_that_is_due_does_not_hide_one_that_waits() {
        let mut playout = PlayoutQueue::new(FORMAT);
        playout.mark("due".into());
        playout.push(&[1; 10]);
        playout.mark("waits".into());
        assert!(playout.next_frame().is_some());
        assert_eq!(names(&mut playout), ["due", "waits"]);
    }

    /// A mark takes no slot of 20 ms.
    #[test]
    fn marks_cost_no_tick() {
        let mut playout = PlayoutQueue::new(FORMAT);
        for n in 0..50 {
            playout.push(&[n; 160]);
            playout.mark(n.to_string());
        }
        for n in 0..50 {
            assert_eq!(playout.next_frame(), Some(&[n; 160][..]));
            assert_eq!(names(&mut playout), [n.to_string()]);
        }
        assert!(playout.is_empty());
    }

    #[test]
    fn marks_of_one_name_are_two_marks() {
        let mut playout = PlayoutQueue::new(FORMAT);
        playout.push(&[1; 160]);
        playout.mark("a".into());
        playout.mark("a".into());
        playout.mark(String::new());
        assert!(playout.next_frame().is_some());
        assert_eq!(names(&mut playout), ["a", "a", ""]);
    }

    #[test]
    fn clear_returns_the_waiting_marks_in_order() {
        let mut playout = PlayoutQueue::new(FORMAT);
        playout.push(&[1; 800]);
        playout.mark("one".into());
        playout.push(&[2; 801]);
        playout.mark("two".into());
        assert!(playout.next_frame().is_some());
        assert_eq!(playout.clear(), ClearResult { played_ms: 20, dropped_ms: 180 });
        assert_eq!(playout.poll_mark(), Some(PlayedMark { name: "one".into(), played_ms: 20 }));
        assert_eq!(playout.poll_mark(), Some(PlayedMark { name: "two".into(), played_ms: 20 }));
        assert_eq!(playout.next_frame(), None);
        // Later audio is played normally.
        playout.push(&[3; 160]);
        playout.mark("three".into());
        assert_eq!(playout.poll_mark(), None);
        assert_eq!(playout.next_frame(), Some(&[3; 160][..]));
        assert_eq!(playout.poll_mark(), Some(PlayedMark { name: "three".into(), played_ms: 40 }));
    }

    #[test]
    fn a_clear_leaves_a_mark_that_was_due_where_it_was() {
        let mut playout = PlayoutQueue::new(FORMAT);
        playout.push(&[1; 160]);
        playout.mark("due".into());
        playout.push(&[1; 480]);
        assert!(playout.next_frame().is_some() && playout.next_frame().is_some());
        assert_eq!(playout.clear(), ClearResult { played_ms: 40, dropped_ms: 40 });
        assert_eq!(playout.poll_mark(), Some(PlayedMark { name: "due".into(), played_ms: 20 }));
    }

    #[test]
    fn two_minutes_in_one_piece_are_played_whole() {
        let mut playout = PlayoutQueue::new(FORMAT);
        let audio: Vec<u8> = (0..120 * 8000_u32).map(|n| (n % 251) as u8).collect();
        playout.push(&audio);
        playout.mark("end".into());
        let mut heard = Vec::new();
        while let Some(frame) = playout.next_frame() {
            heard.extend_from_slice(frame);
            assert_eq!(names(&mut playout).len(), usize::from(heard.len() == audio.len()));
        }
        assert_eq!(heard, audio);
    }

    #[test]
    fn past_its_limits_it_wants_no_more_and_drops_nothing() {
        for format in AgentFormat::ALL {
            let mut playout = PlayoutQueue::new(format);
            let (second, frame) = (1000 * format.bytes_per_ms(), format.frame_bytes());
            playout.push(&vec![1; PLAYOUT_SECONDS * second - 1]);
            assert!(playout.wants_more());
            playout.push(&[2; 1]);
            assert!(!playout.wants_more());
            playout.push(&vec![3; frame]);
            assert_eq!((playout.held_ms(), playout.held_bytes()), (600_020, 600 * second + frame));
            playout.next_frame();
            assert!(!playout.wants_more());
            playout.next_frame();
            assert!(playout.wants_more());
        }

        let mut playout = PlayoutQueue::new(FORMAT);
        for _ in 0..MARKS_WAITING {
            assert!(playout.wants_more());
            playout.push(&[1; 1]);
            playout.mark("m".into());
        }
        assert!(!playout.wants_more());
        playout.clear();
        assert_eq!(names(&mut playout).len(), MARKS_WAITING);
        assert!(playout.wants_more());

        playout.push(&[1; 1]);
        playout.mark("m".repeat(MARK_BYTES_WAITING));
        assert!(!playout.wants_more());
    }

    /// The pieces of a download may end and pause anywhere.
    #[test]
    fn half_a_sample_waits_for_its_other_half() {
        let mut playout = PlayoutQueue::new(AgentFormat::L16Rate16000);
        playout.push(&[1; 641]);
        playout.mark("end".into());
        assert_eq!(playout.next_frame(), Some(&[1; 640][..]));
        assert_eq!(names(&mut playout), ["end"], "it is not a sample");
        for _ in 0..HALF_SAMPLE_TICKS {
            assert_eq!(playout.next_frame(), None);
        }
        playout.push(&[2; 639]);
        let frame = playout.next_frame().unwrap();
        assert_eq!((frame.len(), &frame[..3]), (640, &[1, 2, 2][..]));
    }

    /// An odd byte would otherwise make all later audio noise.
    #[test]
    fn half_a_sample_that_nothing_follows_is_left_out() {
        for cleared in [false, true] {
            let mut playout = PlayoutQueue::new(AgentFormat::L16Rate24000);
            playout.push(&[1; 961]);
            assert!(playout.next_frame().is_some());
            if cleared {
                playout.clear();
            }
            for _ in 0..=HALF_SAMPLE_TICKS {
                assert_eq!(playout.next_frame(), None);
            }
            assert_eq!(playout.held_bytes(), 0);
            playout.push(&[2; 960]);
            playout.mark("end".into());
            assert_eq!(playout.next_frame(), Some(&[2; 960][..]));
            assert_eq!(playout.poll_mark(), Some(PlayedMark { name: "end".into(), played_ms: 40 }));
        }
    }

    #[test]
    fn what_is_taken_ahead_has_left() {
        let mut playout = PlayoutQueue::new(AgentFormat::L16Rate8000);
        playout.push(&[1; 160]);
        playout.mark("within".into());
        playout.push(&[2; 481]);
        assert_eq!(playout.take_ahead(7).len(), 112);
        assert_eq!(playout.take_ahead(20).len(), 320);
        assert_eq!(playout.clear(), ClearResult { played_ms: 27, dropped_ms: 13 });
        assert_eq!(playout.poll_mark(), Some(PlayedMark { name: "within".into(), played_ms: 10 }));
        assert!(playout.take_ahead(5).is_empty());
        assert_eq!(playout.next_frame(), None);
    }

    #[test]
    fn memory_goes_with_the_audio() {
        let mut playout = PlayoutQueue::new(FORMAT);
        for _ in 0..1000 {
            playout.push(&[1; 1]);
        }
        assert_eq!(playout.blocks.len(), 1);
        playout.push(&[1; 100_000]);
        while playout.next_frame().is_some() {}
        assert_eq!(playout.blocks.len(), 1);
        playout.push(&[1; 100_000]);
        playout.clear();
        assert_eq!(playout.blocks.len(), 1);
    }

    /// Step of a test: an action of the agent, or a tick.
    #[derive(Debug, Clone)]
    enum Step {
        Piece(usize),
        Mark,
        Tick,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_usize..2000).prop_map(Step::Piece),
            2 => Just(Step::Mark),
            6 => Just(Step::Tick),
        ]
    }

    proptest! {
        /// Plays the same samples in order for any division into pieces and any pauses, and each mark once, in order,
        /// in the tick that plays the last sample before it.
        #[test]
        fn all_audio_leaves_and_marks_are_true(
            steps in proptest::collection::vec(step(), 0..200),
            wide in any::<bool>(),
        ) {
            let format = if wide { AgentFormat::L16Rate24000 } else { FORMAT };
            let mut playout = PlayoutQueue::new(format);
            // No byte is silence, so that padding can be distinguished from audio.
            let mut counter = 0_u32;
            let (mut sent, mut heard) = (Vec::<u8>::new(), Vec::<u8>::new());
            let (mut set, mut returned) = (Vec::new(), 0);
            let mut end = steps.clone();
            end.extend(std::iter::repeat_n(Step::Tick, 400_000 / format.frame_bytes() + 100));
            for step in end {
                match step {
                    Step::Piece(bytes) => {
                        let piece: Vec<u8> = (0..bytes)
                            .map(|_| { counter += 1; 1 + (counter % 250) as u8 })
                            .collect();
                        playout.push(&piece);
                        sent.extend_from_slice(&piece);
                    }
                    Step::Mark => {
                        playout.mark(set.len().to_string());
                        set.push(sent.len() - sent.len() % format.sample_bytes());
                    }
                    Step::Tick => {
                        if let Some(frame) = playout.next_frame() {
                            prop_assert_eq!(frame.len(), format.frame_bytes());
                            heard.extend(frame.iter().filter(|byte| **byte != format.silence()));
                        }
                    }
                }
                while let Some(mark) = playout.poll_mark() {
                    prop_assert_eq!(mark.name, returned.to_string());
                    prop_assert_eq!(mark.played_ms, (set[returned] / format.bytes_per_ms()) as u64);
                    returned += 1;
                }
                // A mark is due exactly when the samples before it are played.
                prop_assert_eq!(returned, set.iter().take_while(|at| **at <= heard.len()).count());
            }
            sent.truncate(sent.len() - sent.len() % format.sample_bytes());
            prop_assert_eq!(heard, sent);
            prop_assert_eq!(returned, set.len());
            prop_assert!(playout.is_empty());
        }
    }
}
