//! Outgoing RTP stream of an end, kept continuous by constant offsets on sequence numbers and timestamps.
//!
//! The stream of a single feeder passes with SSRC, sequence number and timestamp unchanged, also when that feeder
//! starts a new stream. Once another feeder takes over, the stream continues under the same SSRC: offsets are fixed at
//! the first packet of the new feeder (and of each new stream of it), so that loss and reordering stay visible.

use std::time::Instant;

use super::header::RtpHeader;
use super::start::StreamStart;

/// Offsets added to the header fields of each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RewriteOffsets {
    /// SSRC of the outgoing packets.
    pub ssrc: u32,
    /// Offset of the sequence number, modulo 2^16.
    pub seq_add: u16,
    /// Offset of the timestamp, modulo 2^32.
    pub ts_add: u32,
}

/// Last packet sent, as received and as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SentPacket {
    /// SSRC of the packet as received.
    pub ssrc_in: u32,
    /// SSRC of the packet as sent.
    pub ssrc: u32,
    /// Highest sequence number sent.
    pub sequence: u16,
    /// RTP timestamp of the packet as sent.
    pub timestamp: u32,
}

/// Serialized outgoing stream of an end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OutgoingSnapshot {
    /// Serial number of the feeder, unique in the session; `None` before the first packet.
    pub feeder: Option<u32>,
    /// Last packet that was sent; `None` before the first.
    pub sent: Option<SentPacket>,
    /// Current offsets; `None` while numbers pass unchanged. Before the first packet of a stream with numbers of its
    /// own, the fields hold that packet's numbers instead of offsets.
    pub rewrite: Option<RewriteOffsets>,
    /// Packets sent under the last SSRC, and their payload bytes, modulo 2^32.
    #[serde(default)]
    pub counted: (u32, u32),
    /// Clock rate of the last payload, in Hz.
    #[serde(default)]
    pub clock_hz: u32,
}

/// Outgoing stream of an end, continuous over changes of its feeder.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutgoingStream {
    state: OutgoingSnapshot,
    sent_at: Option<Instant>,
}

impl OutgoingStream {
    /// Returns whether the stream is rewritten and does not carry the feeder's own numbers.
    pub fn is_rewritten(&self) -> bool {
        self.state.rewrite.is_some()
    }

    /// Makes the stream begin with numbers of its own instead of those of its feeder. A stream that has begun continues
    /// unchanged.
    pub(crate) fn begin_with(&mut self, start: StreamStart) {
        if self.state.sent.is_none() {
            let StreamStart { serial: _, ssrc, sequence, timestamp } = start;
            self.state.rewrite = Some(RewriteOffsets { ssrc, seq_add: sequence, ts_add: timestamp });
        }
    }

    /// Begins a new stream with `start` if a packet received with the SSRC `ssrc_in` would be sent under an SSRC that
    /// `is_reserved`.
    pub(crate) fn avoid_ssrc(
        &mut self,
        ssrc_in: u32,
        is_reserved: impl Fn(u32) -> bool,
        start: impl FnOnce() -> StreamStart,
    ) {
        let next = self.state.rewrite.map_or(ssrc_in, |rewrite| rewrite.ssrc);
        let sent = self.state.sent.map_or(next, |sent| sent.ssrc);
        if is_reserved(next) || (sent != next && is_reserved(sent)) {
            *self = OutgoingStream::default();
            self.begin_with(start());
        }
    }

    /// Returns the SSRC and the clock rate (Hz) of the last packet sent.
    pub fn source(&self) -> Option<(u32, u32)> {
        self.state.sent.map(|sent| (sent.ssrc, self.state.clock_hz))
    }

    /// Returns the current timestamp of the stream, extrapolated from the last packet.
    pub fn timestamp(&self, now: Instant) -> Option<u32> {
        let since = now.saturating_duration_since(self.sent_at?);
        let ticks = since.as_micros().wrapping_mul(u128::from(self.state.clock_hz)) / 1_000_000;
        // Truncation is intended: timestamps are modulo 2^32.
        Some(self.state.sent?.timestamp.wrapping_add(ticks as u32))
    }

    /// Returns the time of the last packet sent.
    pub(crate) fn sent_at(&self) -> Option<Instant> {
        self.sent_at
    }

    /// Returns the state of the outgoing stream for a snapshot.
    pub fn snapshot(&self) -> OutgoingSnapshot {
        self.state
    }

    /// Restores the stream from a snapshot; the last packet counts as sent now.
    pub fn restore(now: Instant, state: OutgoingSnapshot) -> OutgoingStream {
        OutgoingStream { state, sent_at: state.sent.map(|_| now) }
    }

    /// Rewrites the header of a packet of `feeder` if needed; `clock_hz` is its payload's clock rate. If `takes`
    /// rejects the SSRC and sequence number (SRTP never sends an index twice), the packet begins a new stream.
    pub fn pass(
        &mut self,
        now: Instant,
        feeder: u32,
        clock_hz: u32,
        rtp: &mut RtpHeader,
        takes: impl Fn(u32, u16) -> bool,
    ) {
        let ssrc_in = rtp.ssrc;
        if let Some(sent) = self.state.sent {
            let other_feeder = self.state.feeder != Some(feeder);
            let new_stream = self.is_rewritten() && sent.ssrc_in != ssrc_in;
            let add = self.state.rewrite.unwrap_or(RewriteOffsets { ssrc: ssrc_in, seq_add: 0, ts_add: 0 });
            if other_feeder || new_stream || !takes(add.ssrc, rtp.sequence.wrapping_add(add.seq_add)) {
                self.state.rewrite = Some(self.follow(now, sent, clock_hz, rtp));
            }
        } else if let Some(first) = &mut self.state.rewrite {
            first.seq_add = first.seq_add.wrapping_sub(rtp.sequence);
            first.ts_add = first.ts_add.wrapping_sub(rtp.timestamp);
        }
        self.state.feeder = Some(feeder);
        if let Some(rewrite) = self.state.rewrite {
            rtp.ssrc = rewrite.ssrc;
            rtp.sequence = rtp.sequence.wrapping_add(rewrite.seq_add);
            rtp.timestamp = rtp.timestamp.wrapping_add(rewrite.ts_add);
        }
        let (packets, octets) = match self.state.sent {
            Some(sent) if sent.ssrc == rtp.ssrc => self.state.counted,
            Some(_) | None => (0, 0),
        };
        // Truncation is intended: no payload is that long.
        self.state.counted = (packets.wrapping_add(1), octets.wrapping_add(rtp.payload.len() as u32));
        self.state.clock_hz = clock_hz;
        let newest = self
            .state
            .sent
            .is_none_or(|sent| sent.ssrc != rtp.ssrc || rtp.sequence.wrapping_sub(sent.sequence) < 0x8000);
        if newest {
            self.state.sent =
                Some(SentPacket { ssrc_in, ssrc: rtp.ssrc, sequence: rtp.sequence, timestamp: rtp.timestamp });
            self.sent_at = Some(now);
        }
    }

    /// Removes a packet of the feeder from the stream. If it was the next one due, later packets are renumbered, so
    /// that its absence does not look like a loss.
    pub fn leave_out(&mut self, feeder: u32, rtp: &RtpHeader) {
        let Some(sent) = self.state.sent.filter(|sent| sent.ssrc_in == rtp.ssrc) else { return };
        let add = self.state.rewrite.unwrap_or(RewriteOffsets { ssrc: sent.ssrc, seq_add: 0, ts_add: 0 });
        let is_due = rtp.sequence.wrapping_add(add.seq_add) == sent.sequence.wrapping_add(1);
        if self.state.feeder == Some(feeder) && is_due {
            self.state.rewrite = Some(RewriteOffsets { seq_add: add.seq_add.wrapping_sub(1), ..add });
        }
    }

    /// Records that the last packet was sent `ticks` later than its timestamp indicates.
    pub(crate) fn is_later_by(&mut self, ticks: u32) {
        if let Some(sent) = &mut self.state.sent {
            sent.timestamp = sent.timestamp.wrapping_add(ticks);
        }
    }

    /// Returns the offsets that make this packet the next after the last one. The timestamp advances with the clock
    /// in whole frames of 20 ms, at least one, because packets never begin closer than that, regardless of their
    /// arrival times.
    fn follow(&self, now: Instant, sent: SentPacket, clock_hz: u32, rtp: &RtpHeader) -> RewriteOffsets {
        let silence = self.sent_at.map(|at| now.saturating_duration_since(at)).unwrap_or_default();
        let frames = ((silence.as_millis() + 10) / 20).max(1);
        // Truncation is intended: timestamps are modulo 2^32.
        let step = frames.wrapping_mul(u128::from(clock_hz / 50)) as u32;
        RewriteOffsets {
            ssrc: sent.ssrc,
            seq_add: sent.sequence.wrapping_add(1).wrapping_sub(rtp.sequence),
            ts_add: sent.timestamp.wrapping_add(step).wrapping_sub(rtp.timestamp),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn rtp(ssrc: u32, sequence: u16, timestamp: u32) -> RtpHeader {
        RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc, payload: 12..12 }
    }

    #[test]
    fn a_resumed_stream_begins_with_numbers_of_its_own() {
        let now = Instant::now();
        let mut out = OutgoingStream::default();
        let start = StreamStart { serial: 9, ssrc: 77, sequence: 100, timestamp: 5_000 };
        out.begin_with(start);
        assert!(out.is_rewritten());
        let send = |out: &mut OutgoingStream, sequence, timestamp| {
            let mut rtp = rtp(7, sequence, timestamp);
            out.pass(now, 1, 8000, &mut rtp, |_, _| true);
            (rtp.ssrc, rtp.sequence, rtp.timestamp)
        };
        assert_eq!(send(&mut out, 1_000, 8_000), (77, 100, 5_000));
        assert_eq!(send(&mut out, 1_001, 8_160), (77, 101, 5_160));
        // The gap of a lost packet stays visible.
        assert_eq!(send(&mut out, 1_003, 8_480), (77, 103, 5_480));
        // A stream that has begun keeps its numbers.
        out.begin_with(StreamStart { ssrc: 78, ..start });
        assert_eq!(send(&mut out, 1_004, 8_640), (77, 104, 5_640));
    }

    #[test]
    fn a_stream_with_a_reserved_ssrc_begins_under_another_one() {
        let start = StreamStart { serial: 0, ssrc: 77, sequence: 100, timestamp: 5_000 };
        let is_reserved = |ssrc| ssrc >= 1_000;
        let now = Instant::now();
        let send = |out: &mut OutgoingStream, feeder, ssrc, sequence: u16| {
            out.avoid_ssrc(ssrc, is_reserved, || start);
            let packet = pass(out, now, feeder, rtp(ssrc, sequence, u32::from(sequence) * 160));
            (packet.0, packet.1)
        };
        let mut out = OutgoingStream::default();
        assert_eq!(send(&mut out, 1, 1_001, 7), (77, 100));
        assert_eq!(send(&mut out, 1, 1_001, 8), (77, 101));
        assert_eq!(send(&mut out, 1, 5, 40), (77, 102));
        // A source that changes to a reserved SSRC.
        let mut out = OutgoingStream::default();
        assert_eq!(send(&mut out, 1, 5, 7), (5, 7));
        assert_eq!(send(&mut out, 1, 1_001, 8), (77, 100));
        // A stream that began as plain RTP, under an SSRC that SRTP must not use.
        let mut out = OutgoingStream::default();
        assert_eq!(pass(&mut out, now, 1, rtp(1_001, 7, 0)).0, 1_001);
        assert_eq!(send(&mut out, 2, 5, 40), (77, 100));
        assert_eq!(send(&mut out, 2, 5, 41), (77, 101));
    }

    fn pass(outgoing: &mut OutgoingStream, now: Instant, feeder: u32, packet: RtpHeader) -> (u32, u16, u32) {
        let mut packet = packet;
        outgoing.pass(now, feeder, 8000, &mut packet, |_, _| true);
        (packet.ssrc, packet.sequence, packet.timestamp)
    }

    #[test]
    fn unchanged_while_one_end_feeds() {
        let (now, mut out) = (Instant::now(), OutgoingStream::default());
        assert_eq!(pass(&mut out, now, 1, rtp(7, 100, 1600)), (7, 100, 1600));
        // A new stream of the same end, too.
        assert_eq!(pass(&mut out, now, 1, rtp(8, 9, 5)), (8, 9, 5));
        assert!(!out.is_rewritten());
    }

    #[test]
    fn another_end_continues_by_constant_offsets() {
        let (now, mut out) = (Instant::now(), OutgoingStream::default());
        pass(&mut out, now, 1, rtp(7, 65535, u32::MAX - 10));
        let later = now + Duration::from_millis(20);
        assert_eq!(pass(&mut out, later, 2, rtp(50, 500, 90_000)), (7, 0, 149));
        // Loss and reordering stay as they are.
        assert_eq!(pass(&mut out, later, 2, rtp(50, 503, 90_480)), (7, 3, 629));
        assert_eq!(pass(&mut out, later, 2, rtp(50, 502, 90_320)), (7, 2, 469));
        // A new stream of the same end continues after the highest number sent.
        assert_eq!(pass(&mut out, later + Duration::from_millis(20), 2, rtp(51, 1, 1)), (7, 4, 789));
        assert!(out.is_rewritten());
    }

    #[test]
    fn the_step_to_another_end_is_whole_frames() {
        for (ms, step) in [(0, 160), (1, 160), (29, 160), (30, 320), (49, 320), (1000, 8000)] {
            let (now, mut out) = (Instant::now(), OutgoingStream::default());
            pass(&mut out, now, 1, rtp(7, 1, 1000));
            assert_eq!(pass(&mut out, now + Duration::from_millis(ms), 2, rtp(9, 9, 9)), (7, 2, 1000 + step), "{ms}");
        }
    }

    #[test]
    fn the_stream_s_own_figures() {
        let (now, mut out) = (Instant::now(), OutgoingStream::default());
        assert_eq!((out.source(), out.timestamp(now)), (None, None));
        let packet = |ssrc, n: u16| RtpHeader { payload: 12..172, ..rtp(ssrc, n, u32::from(n) * 160) };
        for n in 0..3 {
            pass(&mut out, now, 1, packet(7, n));
        }
        assert_eq!((out.source(), out.snapshot().counted), (Some((7, 8000)), (3, 480)));
        assert_eq!(out.timestamp(now + Duration::from_millis(30)), Some(320 + 240));
        // Another end continues under the same SSRC; a new SSRC counts from zero.
        pass(&mut out, now, 2, packet(8, 9));
        assert_eq!(out.snapshot().counted, (4, 640));
        let mut out = OutgoingStream::default();
        pass(&mut out, now, 1, packet(7, 0));
        pass(&mut out, now, 1, packet(8, 0));
        assert_eq!((out.source(), out.snapshot().counted), (Some((8, 8000)), (1, 160)));
    }

    #[test]
    fn the_first_feeder_comes_back() {
        let (now, mut out) = (Instant::now(), OutgoingStream::default());
        pass(&mut out, now, 1, rtp(7, 10, 1000));
        pass(&mut out, now + Duration::from_millis(20), 2, rtp(9, 99, 99));
        let back = now + Duration::from_millis(40);
        assert_eq!(pass(&mut out, back, 1, rtp(7, 12, 1320)), (7, 12, 1320));
        assert!(out.is_rewritten());
    }

    #[test]
    fn what_cannot_leave_begins_a_new_stream() {
        let (now, mut out) = (Instant::now(), OutgoingStream::default());
        let later = now + Duration::from_millis(20);
        let mut pass = |packet: RtpHeader, takes: bool| {
            let mut packet = packet;
            out.pass(later, 1, 8000, &mut packet, |_, _| takes);
            (packet.ssrc, packet.sequence, packet.timestamp)
        };
        assert_eq!(pass(rtp(7, 1000, 5000), true), (7, 1000, 5000));
        assert_eq!(pass(rtp(7, 10, 90), false), (7, 1001, 5160));
        assert_eq!(pass(rtp(7, 11, 250), true), (7, 1002, 5320));
    }

    #[test]
    fn what_is_taken_out_leaves_no_gap() {
        let (now, mut out) = (Instant::now(), OutgoingStream::default());
        out.leave_out(1, &rtp(7, 65_533, 0));
        assert_eq!(pass(&mut out, now, 1, rtp(7, 65_534, 1000)), (7, 65_534, 1000));
        assert!(!out.is_rewritten());
        out.leave_out(1, &rtp(7, 65_535, 1160));
        out.leave_out(1, &rtp(7, 0, 1160));
        assert_eq!(pass(&mut out, now, 1, rtp(7, 1, 1480)), (7, 65_535, 1480));
        assert!(out.is_rewritten());
        // Behind a gap more packets may still arrive.
        out.leave_out(1, &rtp(7, 3, 1640));
        // Of another feeder, or another source.
        out.leave_out(2, &rtp(7, 2, 1640));
        out.leave_out(1, &rtp(8, 2, 1640));
        assert_eq!(pass(&mut out, now, 1, rtp(7, 2, 1640)), (7, 0, 1640));
    }

    #[test]
    fn survives_a_snapshot() {
        let (now, mut out) = (Instant::now(), OutgoingStream::default());
        pass(&mut out, now, 1, rtp(7, 10, 1000));
        pass(&mut out, now, 2, rtp(9, 99, 99));
        let mut back = OutgoingStream::restore(now, out.snapshot());
        assert_eq!(pass(&mut back, now, 2, rtp(9, 100, 259)), pass(&mut out, now, 2, rtp(9, 100, 259)));
    }

    proptest! {
        #[test]
        fn the_next_number_follows_for_any_start(seq in any::<u16>(), ts in any::<u32>(), seq2 in any::<u16>(), ts2 in any::<u32>()) {
            let (now, mut out) = (Instant::now(), OutgoingStream::default());
            pass(&mut out, now, 1, rtp(7, seq, ts));
            let later = now + Duration::from_millis(20);
            let first = pass(&mut out, later, 2, rtp(9, seq2, ts2));
            prop_assert_eq!(first, (7, seq.wrapping_add(1), ts.wrapping_add(160)));
            let second = pass(&mut out, later, 2, rtp(9, seq2.wrapping_add(1), ts2.wrapping_add(160)));
            prop_assert_eq!(second, (7, seq.wrapping_add(2), ts.wrapping_add(320)));
        }
    }
}
