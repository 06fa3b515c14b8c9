//! RTP of one direction as exact frames of 20 ms.
//!
//! The order of packets is that of their sequence numbers (RFC 3550 §5.1). A packet that follows the newest one is used
//! unless it exceeds a burst (see below): at the position that its RTP timestamp names, or after the last packet if
//! its timestamp does not advance. A frame is complete once all of its 160 samples have arrived, so a packet in order
//! leaves at once and unchanged, and reordering needs no sorting. Missing samples are filled with silence:
//! - lost: 40 ms after later audio arrived, later if packets have recently been reordered further ([`ReorderTracker`]);
//! - a pause of the source (hold, DTX), known by the next packet's sequence number: at once;
//! - no packet at all: by the wall clock, 80 ms after the frame's time, unless packets wait to be decoded in order.
//!
//! If silence was inserted for a packet that arrives later in order, either the path stalled, or the source paused
//! together with its timestamps. Up to 300 ms, the packet follows the silence: its source is shifted. From then on the
//! wait is longer by the shift (silence by the clock comes later, audio as soon as before), until it was not needed for
//! 10 s; then quiet frames are dropped until the source is in place again. Beyond 300 ms, the source is placed by the
//! time of its arrival; if a burst follows, its first 300 ms are kept and the rest is given up.
//!
//! Media time follows the source's clock, which differs a little from the edge's. If the source has moved ahead of or
//! behind the wall clock, a quiet frame is dropped or inserted; after a pause the source is simply placed again. A
//! source whose timestamps jump ahead is placed by the time of its arrival.

mod snapshot;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use trunkgate_terms::Alaw;

use crate::limits::{
    EARLY_TICKS, FAST_TICKS, FORCED_TICKS, FRAME, LATE_FOR, LATE_TICKS, PACE_WINDOW, RECORDED_FAST_TICKS,
    RECORDED_FORCED_TICKS, RECORDED_SLOW_TICKS, REORDER, SILENCE_AFTER, SLOW_TICKS, STALL_TICKS, STALL_WINDOW,
    TRACK_FRAMES, TRACK_FRAMES_USUAL,
};
use crate::reordering::ReorderTracker;

pub(crate) use snapshot::TrackSnapshot;

/// Maximum reordering distance; a packet further behind the newest one restarts the numbering of its source.
const MISORDERED: u16 = 100;

/// Samples, and RTP ticks, in a frame: 20 ms at 8 kHz.
pub(crate) const FRAME_TICKS: i64 = 160;
pub(crate) const SAMPLES: usize = 160;

/// Type of the samples that a track carries.
pub trait TrackSample: Copy {
    /// Value of a silent sample.
    const SILENCE: Self;
    /// Returns whether the sample is at about −48 dB or below.
    fn is_quiet(self) -> bool;
}

/// μ-law codes, as received from the network.
impl TrackSample for u8 {
    const SILENCE: u8 = 0xff;
    fn is_quiet(self) -> bool {
        self & 0x7f >= 0x70
    }
}

/// A-law, as received: even bits inverted.
impl TrackSample for Alaw {
    const SILENCE: Alaw = Alaw(0xd5);
    fn is_quiet(self) -> bool {
        (self.0 ^ 0x55) & 0x7f <= 0x07
    }
}

/// Linear samples at 8 kHz.
impl TrackSample for i16 {
    const SILENCE: i16 = 0;
    fn is_quiet(self) -> bool {
        self.unsigned_abs() <= 120
    }
}

/// Linear samples at 16 kHz, in pairs.
impl TrackSample for [i16; 2] {
    const SILENCE: [i16; 2] = [0; 2];
    fn is_quiet(self) -> bool {
        self.iter().all(|sample| sample.is_quiet())
    }
}

/// Fields of an RTP packet that a track needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackInput<'a, S = u8> {
    /// SSRC of the packet; another SSRC restarts the placement.
    pub ssrc: u32,
    /// RTP sequence number of the packet.
    pub sequence: u16,
    /// Timestamp, in units of an 8 kHz clock.
    pub timestamp: u32,
    /// Samples; empty for a packet of the source without audio (RFC 4733, comfort noise).
    pub payload: &'a [S],
}

/// Statistics of one track.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrackCounts {
    /// Packets that arrived too late, and duplicates.
    pub late_packets: u64,
    /// Frames with at least one filled sample.
    pub filled_frames: u64,
    /// Frames dropped or inserted to keep pace with the wall clock.
    pub slips: u64,
    /// Number of placements of a source: its beginning, another source, a jump of its clock.
    pub anchors: u64,
}

/// Frame that is being assembled from the samples of packets.
#[derive(Debug, Clone, Copy)]
struct FrameSlot<S> {
    audio: [S; SAMPLES],
    /// Bitmap of the samples that have arrived.
    there: [u64; 3],
    /// Arrival time of the frame's first audio.
    first: Option<Instant>,
    /// Arrival time of the frame's last sample.
    tail: Option<Instant>,
}

/// Position of a source on the time axis of the track. Positions are in 8 kHz ticks since the track's start.
#[derive(Debug, Clone, Copy)]
struct SourcePosition {
    ssrc: u32,
    /// Sequence number of the newest packet.
    sequence: u16,
    timestamp: u32,
    /// Position of the start of the newest packet.
    at: i64,
    /// Length of the newest packet, in ticks.
    length: i64,
    /// Position of the end of the latest audio of the source.
    end: i64,
    /// Lead over the wall clock when the position of the source was determined, in ticks; not zero if the first packet
    /// is longer than a frame.
    lead: i64,
    /// Ticks by which late audio was shifted after the silence inserted for it.
    moved: i64,
    /// Time until which the shift is kept.
    moved_until: Instant,
    /// Time until which a burst of delayed packets is expected, because the position was determined again after a
    /// pause.
    settles: Option<Instant>,
    /// Maximum lead over the wall clock until `settles`, in ticks.
    burst: i64,
    pace: ClockLead,
}

/// Arrival of a packet; positions and lengths are in 8 kHz ticks.
#[derive(Debug, Clone, Copy)]
struct PacketArrival {
    now: Instant,
    /// Position that the audio would have by its arrival time.
    elapsed: i64,
    /// Length of the packet's audio.
    length: i64,
    /// Total length of the missing packets before this one, for which space is left.
    room: i64,
}

/// Lead of the earliest packets of the last seconds over the wall clock, in ticks. The earliest packets are those that
/// the network did not delay.
#[derive(Debug, Clone, Copy)]
struct ClockLead {
    until: Instant,
    now: Option<i64>,
    before: Option<i64>,
}

/// Limits for the deviation of a source from the wall clock, beyond which frames are dropped or inserted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClockTolerance {
    /// Lead over the wall clock from which a quiet frame is dropped, in ticks.
    fast: i64,
    /// Delay behind the wall clock from which a quiet frame is inserted, in ticks.
    slow: i64,
    /// Ticks beyond `fast` or `slow` from which a frame is dropped or inserted even in loud audio.
    forced: i64,
}

impl ClockTolerance {
    /// Tolerance of audio for an agent, which avoids clicks.
    pub(crate) const HEARD: ClockTolerance =
        ClockTolerance { fast: FAST_TICKS, slow: SLOW_TICKS, forced: FORCED_TICKS };
    /// Tolerance of audio for a recording, which stays close to the wall clock.
    pub(crate) const RECORDED: ClockTolerance =
        ClockTolerance { fast: RECORDED_FAST_TICKS, slow: RECORDED_SLOW_TICKS, forced: RECORDED_FORCED_TICKS };
}

/// Framing of one direction: packets in, frames out.
#[derive(Debug)]
pub(crate) struct TrackFramer<S> {
    start: Instant,
    tolerance: &'static ClockTolerance,
    /// Frames from the next one to the latest one with audio; the last one is never empty.
    slots: VecDeque<FrameSlot<S>>,
    /// Number of the next frame.
    next: u64,
    /// Number of frames of silence to be returned before the frame `next`.
    owed: u64,
    /// Number of consecutive incomplete or silent frames directly before the frame `next`.
    filled: u64,
    source: Option<SourcePosition>,
    late_since: Option<Instant>,
    /// Lateness of packets; `None` before the first gap.
    reordering: Option<Box<ReorderTracker>>,
    /// Whether packets wait to be decoded: then a missing frame is not filled with silence by the clock.
    held: bool,
    counts: TrackCounts,
}

fn ticks(time: Duration) -> i64 {
    i64::try_from(time.as_micros() / 125).unwrap_or(i64::MAX)
}

/// Returns the position of a frame in ticks of the track.
fn place(frame: u64) -> i64 {
    i64::try_from(frame).unwrap_or(i64::MAX).saturating_mul(FRAME_TICKS)
}

fn floor_to_frame(at: i64) -> i64 {
    at - at.rem_euclid(FRAME_TICKS)
}

fn ceil_to_frame(at: i64) -> i64 {
    floor_to_frame(at + FRAME_TICKS - 1)
}

impl<S: TrackSample> TrackFramer<S> {
    /// Creates a track with its first frame at `start`.
    pub(crate) fn new(start: Instant, tolerance: &'static ClockTolerance) -> TrackFramer<S> {
        TrackFramer {
            start,
            tolerance,
            slots: VecDeque::with_capacity(TRACK_FRAMES_USUAL),
            next: 0,
            owed: 0,
            filled: 0,
            source: None,
            late_since: None,
            reordering: None,
            held: false,
            counts: TrackCounts::default(),
        }
    }

    /// Returns a new track with another sample type that continues the numbering and statistics; waiting audio is
    /// dropped.
    pub(crate) fn with_samples<T: TrackSample>(&self) -> TrackFramer<T> {
        let ms = u64::try_from(FRAME.as_millis()).unwrap_or(0).saturating_mul(self.index());
        let start = self.start.checked_add(Duration::from_millis(ms)).unwrap_or(self.start);
        TrackFramer { counts: self.counts, held: self.held, ..TrackFramer::new(start, self.tolerance) }
    }

    /// Converts the track with its waiting audio to another sample type.
    pub(crate) fn map<T: TrackSample>(self, sample: impl Fn(S) -> T) -> TrackFramer<T> {
        let slots = self.slots.into_iter().map(|FrameSlot { audio, there, first, tail }| FrameSlot {
            audio: audio.map(&sample),
            there,
            first,
            tail,
        });
        TrackFramer {
            start: self.start,
            tolerance: self.tolerance,
            slots: slots.collect(),
            next: self.next,
            owed: self.owed,
            filled: self.filled,
            source: self.source,
            late_since: self.late_since,
            reordering: self.reordering,
            held: self.held,
            counts: self.counts,
        }
    }

    /// Adds a packet of the track's source, or of another one.
    pub(crate) fn push(&mut self, now: Instant, packet: &TrackInput<'_, S>) {
        self.note_overdue_frames(now);
        let length = i64::try_from(packet.payload.len()).unwrap_or(i64::MAX);
        if length == 0 {
            self.note_other(packet);
            return;
        }
        // A packet is expected at the end of its last frame.
        let elapsed = ticks(now.saturating_duration_since(self.start)) - (length - FRAME_TICKS).max(0);
        let arrival = PacketArrival { now, elapsed, length, room: 0 };
        let Some(source) = self.source.filter(|source| source.ssrc == packet.ssrc) else {
            if let Some(reordering) = &mut self.reordering {
                reordering.begin_again();
            }
            return self.anchor(arrival, packet, FAST_TICKS);
        };
        let ahead = packet.sequence.wrapping_sub(source.sequence);
        if !(1..0x8000).contains(&ahead) {
            if let Some(reordering) = &mut self.reordering {
                reordering.note_late(now, packet.sequence);
            }
            return self.push_older(arrival, packet, source);
        }
        if ahead > 1 {
            self.reordering.get_or_insert_default().note_missing(now, packet.sequence, ahead - 1);
        }
        let room = source.room(ahead - 1);
        self.push_newer(PacketArrival { room, ..arrival }, packet, source);
    }

    /// Removes and returns the next frame if it is complete or overdue; missing samples are silence.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<[S; SAMPLES]> {
        if self.owed > 0 {
            self.owed -= 1;
            self.counts.filled_frames += 1;
            return Some([S::SILENCE; SAMPLES]);
        }
        let complete = self.is_complete();
        if !complete && self.due().is_none_or(|due| now < due) {
            return None;
        }
        self.counts.filled_frames += u64::from(!complete);
        self.filled = if complete { 0 } else { self.filled + 1 };
        self.next += 1;
        let audio = self.slots.pop_front().map_or([S::SILENCE; SAMPLES], |slot| slot.audio);
        if self.slots.is_empty() {
            // Audio in order stays at one memory location, so that each call occupies fewer cache lines.
            self.slots.clear();
        }
        Some(audio)
    }

    /// Returns the latest time at which the next frame is available, a past time if it is already; `None` if that
    /// depends on packets that wait to be decoded.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.owed > 0 || self.is_complete() { Some(self.start) } else { self.due() }
    }

    /// Sets whether packets wait to be decoded; meanwhile the clock fills no frame.
    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Returns the number of the next frame.
    pub(crate) fn index(&self) -> u64 {
        self.next - self.owed
    }

    /// Returns the statistics of the track so far.
    pub(crate) fn counts(&self) -> TrackCounts {
        self.counts
    }

    /// Adds a packet that follows the newest one by its sequence number; its timestamp only determines its position.
    fn push_newer(&mut self, arrival: PacketArrival, packet: &TrackInput<'_, S>, mut source: SourcePosition) {
        let PacketArrival { now, elapsed, length, room } = arrival;
        let behind = source.at + source.length;
        let by_clock = source.at + source.ticks_to(packet);
        let limit = elapsed + source.lead + source.early_limit(now);
        // If the timestamps stand still, go back or jump ahead, the audio follows the last packet.
        let is_in_order = (behind..=limit).contains(&by_clock) || by_clock > behind && behind < place(self.next);
        let mut at = if is_in_order { by_clock } else { behind + room };
        let early = at - elapsed - source.lead;
        if at > limit {
            if source.is_in_burst(now) {
                self.counts.late_packets += 1;
                self.source = Some(source.pass_over(packet, length));
                return;
            }
            return self.anchor(arrival, packet, FAST_TICKS);
        }
        if early < -LATE_TICKS {
            return self.anchor(arrival, packet, FAST_TICKS);
        }
        source.pace.note_lead(now, early);
        source.renew_shift(now, early);
        source.keep_burst(now, early);
        let filled = place(self.next) - at;
        let by = filled + room;
        let mut given_up = false;
        if filled > 0 && (filled > place(self.filled) || !source.may_move(by)) {
            // Silence by the clock was inserted for it: the source paused together with its clock.
            return self.anchor(arrival, packet, STALL_TICKS);
        } else if filled > 0 {
            at = source.shift_source(now, at, by);
        } else if packet.sequence == source.sequence.wrapping_add(1) && place(self.next) + FRAME_TICKS > source.end {
            let placed = if at > source.end {
                source.after_pause(at)
            } else {
                source.in_pace(now, at, packet.payload, self.tolerance)
            };
            given_up = placed < at && at <= source.end;
            self.counts.slips += u64::from(placed != at && at <= source.end);
            at = placed;
            self.mark_there(source.end, at);
        }
        (source.sequence, source.timestamp, source.at, source.length) = (packet.sequence, packet.timestamp, at, length);
        source.end = source.end.max(at + length);
        self.source = Some(source);
        if at + length > place(self.next) {
            self.late_since = None;
            self.write(now, at, packet.payload);
        } else if !given_up {
            self.counts.late_packets += 1;
        }
    }

    /// Adds a packet that arrived after later ones; a duplicate changes nothing.
    fn push_older(&mut self, arrival: PacketArrival, packet: &TrackInput<'_, S>, mut source: SourcePosition) {
        let PacketArrival { now, elapsed, length, .. } = arrival;
        let at = source.place_before(packet, length);
        let early = at - elapsed - source.lead;
        if early > source.early_limit(now) || early < -LATE_TICKS {
            return self.anchor(arrival, packet, FAST_TICKS);
        }
        source.pace.note_lead(now, early);
        source.renew_shift(now, early);
        source.end = source.end.max(at + length);
        self.source = Some(source);
        if at + length > place(self.next) {
            self.late_since = None;
            return self.write(now, at, packet.payload);
        }
        self.counts.late_packets += 1;
        let since = *self.late_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= LATE_FOR {
            self.anchor(arrival, packet, FAST_TICKS);
        }
    }

    fn is_complete(&self) -> bool {
        self.slots.front().is_some_and(FrameSlot::is_complete)
    }

    /// Returns the time until which missing samples of the next frame are awaited; `None` while packets wait to be
    /// decoded and no later audio has arrived.
    fn due(&self) -> Option<Instant> {
        let by_clock = (!self.held).then(|| self.by_clock());
        if self.source.is_none_or(|source| source.end <= place(self.next)) {
            return by_clock;
        }
        let behind = self.slots.iter().skip(1).filter_map(|slot| slot.first);
        match behind.chain(self.slots.front().and_then(|slot| slot.tail)).min() {
            Some(noticed) => Some(noticed + self.reordering.as_ref().map_or(REORDER, |reordering| reordering.wait())),
            None => by_clock,
        }
    }

    /// Returns the time at which the next frame is filled with silence if no packet arrives.
    fn by_clock(&self) -> Instant {
        let ms = u64::try_from(FRAME.as_millis()).unwrap_or(0).saturating_mul(self.next + 1);
        self.start.checked_add(Duration::from_millis(ms) + SILENCE_AFTER).unwrap_or(self.start)
    }

    /// Adds overdue frames of silence to `owed`, so that they precede audio that arrives now.
    fn note_overdue_frames(&mut self, now: Instant) {
        if self.held || now < self.by_clock() || !self.slots.is_empty() {
            return;
        }
        let late = now.saturating_duration_since(self.by_clock());
        let frames = u64::try_from(late.as_millis() / FRAME.as_millis()).unwrap_or(0) + 1;
        self.owed += frames;
        self.filled += frames;
        self.next += frames;
    }

    /// Records a packet without audio, so that its sequence number does not count as missing.
    fn note_other(&mut self, packet: &TrackInput<'_, S>) {
        if let Some(source) = self.source.as_mut().filter(|source| source.ssrc == packet.ssrc)
            && packet.sequence == source.sequence.wrapping_add(1)
        {
            // The timestamp of a telephone-event is that of its beginning, so the audio continues from its own
            // position.
            source.sequence = packet.sequence;
        }
    }

    /// Determines the position of a source by the arrival time of a packet. Packets directly after it may be ahead of
    /// the wall clock by up to `burst` ticks.
    fn anchor(&mut self, arrival: PacketArrival, packet: &TrackInput<'_, S>, burst: i64) {
        let PacketArrival { now, elapsed, length, room } = arrival;
        let wall = floor_to_frame(ticks(now.saturating_duration_since(self.start)));
        // Waiting audio of the former source stays, unless that source has run ahead of the wall clock.
        let behind = self.source.map_or(0, |source| ceil_to_frame(source.end)).max(place(self.next));
        let by_arrival = floor_to_frame(elapsed);
        let at = if behind > wall + FAST_TICKS { by_arrival } else { by_arrival.max(behind + room) };
        // No audio is known to be missing before the packet, except packets that it has overtaken.
        self.mark_there(place(self.next), at - room);
        let late = self.source.is_some_and(|source| source.ssrc == packet.ssrc);
        self.counts.anchors += 1;
        self.late_since = None;
        self.source = Some(SourcePosition {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            at,
            length,
            end: at + length,
            lead: (at - elapsed).max(0),
            moved: 0,
            moved_until: now,
            settles: late.then_some(now + LATE_FOR),
            burst,
            pace: ClockLead { until: now + PACE_WINDOW, now: None, before: None },
        });
        self.write(now, at, packet.payload);
    }

    /// Marks the samples between two positions as present.
    fn mark_there(&mut self, from: i64, to: i64) {
        self.each_slot(from, to, |slot, begin, end, _| slot.set_there(begin, end));
    }

    fn write(&mut self, now: Instant, at: i64, payload: &[S]) {
        let length = i64::try_from(payload.len()).unwrap_or(i64::MAX);
        self.each_slot(at, at + length, |slot, begin, end, from| {
            let from = usize::try_from(from - at).unwrap_or(usize::MAX);
            let piece = payload.get(from..from.saturating_add(end - begin)).unwrap_or_default();
            if let Some(area) = slot.audio.get_mut(begin..begin + piece.len()) {
                area.copy_from_slice(piece);
                slot.set_there(begin, end);
                slot.first.get_or_insert(now);
                if end == SAMPLES {
                    slot.tail.get_or_insert(now);
                }
            }
        });
    }

    /// Calls `each` for every waiting slot between two positions: the slot, its range of samples, and the position of
    /// the first of them.
    fn each_slot(&mut self, from: i64, to: i64, mut each: impl FnMut(&mut FrameSlot<S>, usize, usize, i64)) {
        let first = place(self.next);
        let mut from = from.max(first);
        let to = to.min(place(self.next + TRACK_FRAMES as u64));
        while from < to {
            let begin = from.rem_euclid(FRAME_TICKS);
            let end = (begin + to - from).min(FRAME_TICKS);
            let index = usize::try_from((from - first) / FRAME_TICKS).unwrap_or(0);
            while self.slots.len() <= index {
                self.slots.push_back(FrameSlot::EMPTY);
            }
            if let (Ok(begin), Ok(end), Some(slot)) =
                (usize::try_from(begin), usize::try_from(end), self.slots.get_mut(index))
            {
                each(slot, begin, end, from);
            }
            from += end - begin;
        }
    }
}

impl<S: TrackSample> FrameSlot<S> {
    const EMPTY: FrameSlot<S> = FrameSlot { audio: [S::SILENCE; SAMPLES], there: [0; 3], first: None, tail: None };

    fn set_there(&mut self, begin: usize, end: usize) {
        for (word, bits) in self.there.iter_mut().enumerate() {
            let low = begin.clamp(word * 64, word * 64 + 64) - word * 64;
            let high = end.clamp(word * 64, word * 64 + 64) - word * 64;
            let mask = |to: usize| 1_u64.checked_shl(to as u32).map_or(u64::MAX, |bit| bit - 1);
            *bits |= mask(high) & !mask(low);
        }
    }

    fn is_complete(&self) -> bool {
        self.there == [u64::MAX, u64::MAX, u32::MAX as u64]
    }
}

impl SourcePosition {
    /// Returns the ticks from the newest packet's timestamp to that of another one.
    fn ticks_to(&self, packet: &TrackInput<'_, impl Copy>) -> i64 {
        i64::from(packet.timestamp.wrapping_sub(self.timestamp) as i32)
    }

    /// Returns the total length of `missing` packets, in ticks, each as long as the newest one; zero if they are too
    /// many to arrive late.
    fn room(&self, missing: u16) -> i64 {
        let room = i64::from(missing) * self.length;
        if room <= ticks(REORDER) { room } else { 0 }
    }

    /// Returns the position of a packet that arrived behind later ones: by its timestamp if that agrees with the
    /// order of the sequence numbers, otherwise by its sequence number.
    fn place_before(&self, packet: &TrackInput<'_, impl Copy>, length: i64) -> i64 {
        let by_clock = self.at + self.ticks_to(packet);
        let behind = self.sequence.wrapping_sub(packet.sequence);
        if behind > MISORDERED || (self.at - LATE_TICKS..=self.at - length).contains(&by_clock) {
            return by_clock;
        }
        self.at - i64::from(behind) * self.length
    }

    /// Returns the maximum lead of a packet over the wall clock, in ticks. After a pause, the first packet's position
    /// is that of its arrival, so a larger lead means more audio than is kept of a burst.
    fn early_limit(&self, now: Instant) -> i64 {
        match self.settles.is_some_and(|until| now < until) {
            true if self.burst > FAST_TICKS => self.burst,
            true => self.moved + FAST_TICKS,
            false => self.moved + EARLY_TICKS,
        }
    }

    /// Returns whether delayed packets are still expected after a packet that was positioned by its arrival.
    fn is_in_burst(&self, now: Instant) -> bool {
        self.burst > FAST_TICKS && self.settles.is_some_and(|until| now < until)
    }

    /// Keeps the lead that a burst has brought as a shift of the source, so that its audio is not dropped as too early.
    fn keep_burst(&mut self, now: Instant, early: i64) {
        if early > FAST_TICKS && self.is_in_burst(now) {
            (self.moved, self.moved_until) = (self.moved.max(early), now + STALL_WINDOW);
        }
    }

    /// Returns the position after a dropped packet: later audio takes the position that the packet would have had.
    fn pass_over(self, packet: &TrackInput<'_, impl Copy>, length: i64) -> SourcePosition {
        let at = self.at + self.length - length;
        SourcePosition { sequence: packet.sequence, timestamp: packet.timestamp, at, length, ..self }
    }

    /// Returns whether the source may be shifted behind `filled` ticks of inserted silence.
    fn may_move(&self, filled: i64) -> bool {
        filled > 0 && self.moved + filled <= STALL_TICKS
    }

    /// Shifts the source by `by` ticks; returns the position `at` with the shift.
    fn shift_source(&mut self, now: Instant, at: i64, by: i64) -> i64 {
        self.moved += by;
        self.moved_until = now + STALL_WINDOW;
        self.pace.shift(by);
        at + by
    }

    /// Prolongs the shift if a packet would have been too late without it.
    fn renew_shift(&mut self, now: Instant, early: i64) {
        if self.moved > 0 && early - self.moved < -ticks(SILENCE_AFTER) {
            self.moved_until = now + STALL_WINDOW;
        }
    }

    /// Returns the position of the first packet after a pause: corrected for the lead or delay of the source, and at
    /// the start of a frame, so that its audio forms whole frames.
    fn after_pause(&mut self, at: i64) -> i64 {
        let lead = std::mem::take(&mut self.lead);
        self.pace.shift(lead);
        let astray = self.pace.base().filter(|base| !(-FRAME_TICKS..=0).contains(base));
        let placed = at - astray.map_or(0, |base| base + FRAME_TICKS / 2);
        let placed = floor_to_frame(placed + FRAME_TICKS / 2).max(ceil_to_frame(self.end));
        self.pace.shift(placed - at);
        placed
    }

    /// Returns the position of a packet that directly follows the last one: one frame earlier or later if the source
    /// has moved too far ahead of or behind the wall clock.
    fn in_pace(&mut self, now: Instant, at: i64, payload: &[impl TrackSample], tolerance: &ClockTolerance) -> i64 {
        let Some(base) = self.pace.base() else { return at };
        let quiet = payload.iter().all(|sample| sample.is_quiet());
        let patience = if quiet { 0 } else { tolerance.forced };
        let over = now >= self.moved_until;
        if over && base <= tolerance.fast {
            self.moved = 0;
        }
        let ahead = if over && quiet { 0 } else { self.moved };
        let slip = if base > tolerance.fast + ahead + patience {
            self.moved = (self.moved - FRAME_TICKS).max(0);
            -FRAME_TICKS
        } else if base < -tolerance.slow - patience {
            FRAME_TICKS
        } else {
            0
        };
        self.pace.shift(slip);
        at + slip
    }
}

impl ClockLead {
    fn note_lead(&mut self, now: Instant, early: i64) {
        if now >= self.until {
            let recent = now < self.until + PACE_WINDOW;
            self.before = self.now.filter(|_| recent);
            self.now = None;
            self.until = now + PACE_WINDOW;
        }
        self.now = Some(self.now.map_or(early, |best| best.max(early)));
    }

    /// Returns the lead of the earliest packets over the wall clock; `None` before a full window was observed.
    fn base(&self) -> Option<i64> {
        self.before.max(self.now).filter(|_| self.before.is_some())
    }

    fn shift(&mut self, by: i64) {
        self.now = self.now.map(|best| best + by);
        self.before = self.before.map(|best| best + by);
    }
}
