//! Packets of one stream in their order, for a decoder that needs each of them after the one before.
//!
//! What comes in order passes at once, where it lies. Only behind a gap packets wait, each of them until the gap is
//! filled, or as long as late packets have needed lately ([`Reordering`]: 40 to 100 ms), and no longer: then they go on
//! without it, and who decodes conceals it, by the redundancy in the next packet where that has some. Pauses are no
//! gaps: the order is that of sequence numbers, timestamps do not matter. Nothing is made steady: the player of the
//! audio has a clock.

use std::time::Instant;

use trunkgate_agent::Reordering;

use crate::counters::DropReason;
use crate::limits::{JITTER_BYTES, JITTER_GAP_PACKETS, JITTER_PACKETS, MAX_DROPOUT_PACKETS, MAX_MISORDER_PACKETS};

use super::header::Rtp;

/// One stream's packets, from arrival to decoder.
#[derive(Debug)]
pub struct JitterBuffer {
    /// Source, and sequence number of the packet that is due; `None` before the first one.
    due: Option<(u32, u16)>,
    /// The number that would confirm a restart.
    restart: Option<u16>,
    /// Packets by sequence number; all of them behind a gap.
    waiting: Vec<Waiting>,
    /// Their payloads, in the order of their arrival.
    bytes: Vec<u8>,
    reordering: Reordering,
}

/// A packet behind a gap.
#[derive(Debug)]
struct Waiting {
    rtp: Rtp,
    came: Instant,
    /// The beginning and the length of its payload.
    from: usize,
    len: usize,
}

impl JitterBuffer {
    /// Before the first packet. It has all the room that it ever needs.
    pub fn new() -> JitterBuffer {
        JitterBuffer {
            due: None,
            restart: None,
            waiting: Vec::with_capacity(JITTER_PACKETS),
            bytes: Vec::with_capacity(JITTER_BYTES),
            reordering: Reordering::default(),
        }
    }

    /// Takes a packet; `leave` gets all packets that wait no longer, with their payloads and in their order.
    ///
    /// # Errors
    /// Where it is not taken: it came twice, or what follows it has left; or it would be a jump of the numbers that no
    /// second packet has confirmed (RFC 3550 A.1).
    pub fn take(
        &mut self,
        now: Instant,
        rtp: &Rtp,
        payload: &[u8],
        mut leave: impl FnMut(&Rtp, &[u8]),
    ) -> Result<(), DropReason> {
        let (ssrc, sequence) = (rtp.ssrc, rtp.sequence);
        let Some((_, due)) = self.due.filter(|(of, _)| *of == ssrc) else {
            self.begin(rtp, &mut leave);
            leave(rtp, payload);
            return Ok(());
        };
        let ahead = sequence.wrapping_sub(due);
        if ahead >= MAX_DROPOUT_PACKETS {
            if ahead >= 0_u16.wrapping_sub(MAX_MISORDER_PACKETS) {
                self.reordering.late(now, sequence);
                return Err(DropReason::Late);
            }
            if self.restart != Some(sequence) {
                self.restart = Some(sequence.wrapping_add(1));
                return Err(DropReason::Late);
            }
            self.begin(rtp, &mut leave);
            leave(rtp, payload);
            return Ok(());
        }
        self.restart = None;
        let place = self.place(due, ahead);
        if self.waiting.get(place).is_some_and(|each| each.rtp.sequence == sequence) {
            return Err(DropReason::Late);
        }
        if place < self.waiting.len() {
            self.reordering.late(now, sequence);
        } else {
            let before = self.waiting.last().map_or(due.wrapping_sub(1), |last| last.rtp.sequence);
            let missing = sequence.wrapping_sub(before).wrapping_sub(1);
            if missing > 0 {
                self.reordering.missing(now, sequence, missing);
            }
        }
        self.put(now, rtp, payload, &mut leave);
        self.handle_timeout(now, leave);
        Ok(())
    }

    /// Gives up gaps whose time is over.
    pub fn handle_timeout(&mut self, now: Instant, mut leave: impl FnMut(&Rtp, &[u8])) {
        while self.poll_timeout().is_some_and(|over| over <= now) {
            self.give_up(&mut leave);
        }
    }

    /// Returns when the gap that is waited for is given up; `None` where nothing waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.waiting.iter().map(|each| each.came).min()? + self.reordering.wait())
    }

    /// Whether packets wait for an earlier one.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Another source, or other numbers: what waits leaves, and `rtp` is the first.
    fn begin(&mut self, rtp: &Rtp, leave: &mut impl FnMut(&Rtp, &[u8])) {
        while self.waits() {
            self.give_up(leave);
        }
        self.reordering.begin_again();
        (self.due, self.restart) = (Some((rtp.ssrc, rtp.sequence.wrapping_add(1))), None);
    }

    /// Returns the place of a packet so far ahead of the one that is due among those that wait.
    fn place(&self, due: u16, ahead: u16) -> usize {
        self.waiting.partition_point(|each| each.rtp.sequence.wrapping_sub(due) < ahead)
    }

    /// Lets a packet leave if it is its turn, or wait where there is room.
    fn put(&mut self, now: Instant, rtp: &Rtp, payload: &[u8], leave: &mut impl FnMut(&Rtp, &[u8])) {
        loop {
            let Some((_, due)) = self.due else { return };
            let ahead = rtp.sequence.wrapping_sub(due);
            let place = self.place(due, ahead);
            let room = self.waiting.len() < JITTER_PACKETS && self.bytes.len() + payload.len() <= JITTER_BYTES;
            let far = !self.waits() && ahead >= JITTER_GAP_PACKETS;
            if ahead == 0 || far || place == 0 && !room {
                self.due = Some((rtp.ssrc, rtp.sequence.wrapping_add(1)));
                leave(rtp, payload);
                return self.go_on(leave);
            }
            if room {
                let (from, len) = (self.bytes.len(), payload.len());
                self.bytes.extend_from_slice(payload);
                self.waiting.insert(place, Waiting { rtp: rtp.clone(), came: now, from, len });
                return;
            }
            self.give_up(leave);
        }
    }

    /// Gives up the earliest gap: what is behind it leaves.
    fn give_up(&mut self, leave: &mut impl FnMut(&Rtp, &[u8])) {
        if let (Some((_, due)), Some(first)) = (&mut self.due, self.waiting.first()) {
            *due = first.rtp.sequence;
        }
        self.go_on(leave);
    }

    /// Lets leave what follows without a gap.
    fn go_on(&mut self, leave: &mut impl FnMut(&Rtp, &[u8])) {
        while let Some((_, due)) = &mut self.due
            && self.waiting.first().is_some_and(|first| first.rtp.sequence == *due)
        {
            *due = due.wrapping_add(1);
            let Waiting { rtp, from, len, .. } = self.waiting.remove(0);
            leave(&rtp, self.bytes.get(from..from + len).unwrap_or_default());
            self.bytes.drain(from..from + len);
            for each in self.waiting.iter_mut().filter(|each| each.from > from) {
                each.from -= len;
            }
        }
    }
}

impl Default for JitterBuffer {
    fn default() -> Self {
        JitterBuffer::new()
    }
}
