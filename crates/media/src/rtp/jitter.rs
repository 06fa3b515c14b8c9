//! Jitter buffer that restores the packet order of one stream for a decoder with state.
//!
//! Packets in order pass at once, without a copy. Packets after a gap wait until it is filled, or for the recent
//! reordering delay ([`ReorderTracker`]: 40 to 100 ms) at most. They then leave without the missing packets, and the
//! decoder conceals the loss, with the redundancy of the next packet if present. Pauses are not gaps: the order is
//! that of sequence numbers, and timestamps do not matter. The buffer does not smooth the timing, because the playout
//! has its own clock.

use std::time::Instant;

use trunkgate_agent::ReorderTracker;

use crate::counters::DropReason;
use crate::limits::{JITTER_BYTES, JITTER_GAP_PACKETS, JITTER_PACKETS, MAX_DROPOUT_PACKETS, MAX_MISORDER_PACKETS};

use super::header::RtpHeader;

/// Reordering buffer of one stream between arrival and decoder.
#[derive(Debug)]
pub struct JitterBuffer {
    /// SSRC and sequence number of the next packet due; `None` before the first one.
    due: Option<(u32, u16)>,
    /// Sequence number of the next packet that would confirm a restart of the numbering.
    restart: Option<u16>,
    /// Waiting packets by sequence number; all of them are after a gap.
    waiting: Vec<BufferedPacket>,
    /// Payloads of the waiting packets, in the order of arrival.
    bytes: Vec<u8>,
    reordering: ReorderTracker,
}

/// Packet that waits because of a gap before it.
#[derive(Debug)]
struct BufferedPacket {
    rtp: RtpHeader,
    came: Instant,
    /// Position of the payload in `bytes`; `len` is its length.
    from: usize,
    len: usize,
}

impl JitterBuffer {
    /// Creates an empty buffer with all the memory that it will ever need.
    pub fn new() -> JitterBuffer {
        JitterBuffer {
            due: None,
            restart: None,
            waiting: Vec::with_capacity(JITTER_PACKETS),
            bytes: Vec::with_capacity(JITTER_BYTES),
            reordering: ReorderTracker::default(),
        }
    }

    /// Adds a packet; passes all packets that need not wait to `leave`, in order and with their payloads.
    ///
    /// # Errors
    ///
    /// Returns a drop reason if the packet is a duplicate, a later packet has already been released, or its number is a
    /// jump that no second packet has confirmed (RFC 3550 A.1).
    pub fn add_packet(
        &mut self,
        now: Instant,
        rtp: &RtpHeader,
        payload: &[u8],
        mut leave: impl FnMut(&RtpHeader, &[u8]),
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
                self.reordering.note_late(now, sequence);
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
            self.reordering.note_late(now, sequence);
        } else {
            let before = self.waiting.last().map_or(due.wrapping_sub(1), |last| last.rtp.sequence);
            let missing = sequence.wrapping_sub(before).wrapping_sub(1);
            if missing > 0 {
                self.reordering.note_missing(now, sequence, missing);
            }
        }
        self.put(now, rtp, payload, &mut leave);
        self.handle_timeout(now, leave);
        Ok(())
    }

    /// Gives up gaps that have lasted too long and releases the packets behind them.
    pub fn handle_timeout(&mut self, now: Instant, mut leave: impl FnMut(&RtpHeader, &[u8])) {
        while self.poll_timeout().is_some_and(|over| over <= now) {
            self.give_up(&mut leave);
        }
    }

    /// Returns the time at which the current gap is given up; `None` if nothing waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.waiting.iter().map(|each| each.came).min()? + self.reordering.wait())
    }

    /// Returns whether packets wait for an earlier one.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Restarts with another source or numbering: all waiting packets are released, and `rtp` is the next packet due.
    fn begin(&mut self, rtp: &RtpHeader, leave: &mut impl FnMut(&RtpHeader, &[u8])) {
        while self.waits() {
            self.give_up(leave);
        }
        self.reordering.begin_again();
        (self.due, self.restart) = (Some((rtp.ssrc, rtp.sequence.wrapping_add(1))), None);
    }

    /// Returns the index at which a packet `ahead` numbers after the one due belongs among the waiting packets.
    fn place(&self, due: u16, ahead: u16) -> usize {
        self.waiting.partition_point(|each| each.rtp.sequence.wrapping_sub(due) < ahead)
    }

    /// Releases a packet if it is due, or queues it, giving up gaps until there is room.
    fn put(&mut self, now: Instant, rtp: &RtpHeader, payload: &[u8], leave: &mut impl FnMut(&RtpHeader, &[u8])) {
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
                self.waiting.insert(place, BufferedPacket { rtp: rtp.clone(), came: now, from, len });
                return;
            }
            self.give_up(leave);
        }
    }

    /// Gives up the earliest gap and releases the packets behind it.
    fn give_up(&mut self, leave: &mut impl FnMut(&RtpHeader, &[u8])) {
        if let (Some((_, due)), Some(first)) = (&mut self.due, self.waiting.first()) {
            *due = first.rtp.sequence;
        }
        self.go_on(leave);
    }

    /// Releases waiting packets up to the next gap.
    fn go_on(&mut self, leave: &mut impl FnMut(&RtpHeader, &[u8])) {
        while let Some((_, due)) = &mut self.due
            && self.waiting.first().is_some_and(|first| first.rtp.sequence == *due)
        {
            *due = due.wrapping_add(1);
            let BufferedPacket { rtp, from, len, .. } = self.waiting.remove(0);
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
