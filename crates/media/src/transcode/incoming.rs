//! Relation of a packet to the stream received so far: next, after a loss or a silence, late, or of another stream.

use std::time::Instant;

use crate::limits::{MAX_DROPOUT_PACKETS, MAX_MISORDER_PACKETS};
use crate::rtp::RtpHeader;

use super::{TIME_HZ, TIME_PER_MS};

/// Maximum lead of a timestamp over the elapsed time, in milliseconds; a larger one is a restart.
const AHEAD_MS: u64 = 1000;
/// Granularity of the pause that a restart leaves in the outgoing stream, in milliseconds.
const STEP_MS: u64 = 20;

/// Relation of a packet to the previous one; times are in units of 1/48,000 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PacketRelation {
    /// The packet continues the stream without a gap.
    GoesOn,
    /// The packet follows a suppressed silence of this duration.
    Silent { time: u64 },
    /// The packet follows a loss of this duration and number of packets.
    Lost { time: u64, packets: u16 },
    /// The packet starts another stream or unrelated numbering, after a pause of this duration.
    Restarted { time: u64 },
}

impl PacketRelation {
    /// Returns the duration of the gap between the two packets.
    pub(super) fn time(self) -> u64 {
        match self {
            PacketRelation::GoesOn => 0,
            PacketRelation::Silent { time }
            | PacketRelation::Lost { time, .. }
            | PacketRelation::Restarted { time } => time,
        }
    }
}

/// Position reached in the received stream.
#[derive(Debug)]
pub(super) struct IncomingStream {
    /// SSRC and highest sequence number; `None` before the first packet.
    last: Option<(u32, u16)>,
    clock_hz: u32,
    /// RTP timestamp at the end of the audio received so far.
    pub(super) next: u32,
    /// End of the audio received so far, in the outgoing stream's time, in units of 1/48,000 s.
    pub(super) at: u64,
    /// Number of samples decoded from the last packet.
    pub(super) samples: usize,
    lasted: u64,
    /// Arrival of the last packet other than a telephone-event.
    pub(super) came: Option<Instant>,
}

impl IncomingStream {
    /// Creates the state before the first packet.
    pub(super) fn new(clock_hz: u32) -> IncomingStream {
        IncomingStream { last: None, clock_hz, next: 0, at: 0, samples: 0, lasted: 0, came: None }
    }

    /// Classifies a packet; `clock_hz` is its clock rate if it is audio. Returns `None` for a late packet or a
    /// duplicate.
    pub(super) fn step(&mut self, now: Instant, rtp: &RtpHeader, clock_hz: Option<u32>) -> Option<PacketRelation> {
        let Some((ssrc, sequence)) = self.last else {
            (self.clock_hz, self.next) = (clock_hz.unwrap_or(self.clock_hz), rtp.timestamp);
            return Some(PacketRelation::GoesOn);
        };
        let ahead = rtp.sequence.wrapping_sub(sequence);
        let behind = sequence.wrapping_sub(rtp.sequence);
        let same_clock = clock_hz.is_none_or(|clock_hz| clock_hz == self.clock_hz);
        if ssrc == rtp.ssrc && behind < MAX_MISORDER_PACKETS {
            return None;
        }
        if ssrc != rtp.ssrc || !same_clock || ahead > MAX_DROPOUT_PACKETS {
            self.clock_hz = clock_hz.unwrap_or(self.clock_hz);
            return Some(self.restarted(now));
        }
        // Timestamps are modulo 2^32; a negative step goes back.
        let ticks = rtp.timestamp.wrapping_sub(self.next).cast_signed();
        let time = u64::try_from(ticks).unwrap_or(0) * u64::from(TIME_HZ / self.clock_hz);
        Some(match (ticks, ahead) {
            // Small timestamp errors and restarts are treated as continuous.
            (..=0, _) => PacketRelation::GoesOn,
            _ if time > self.passed(now) + AHEAD_MS * TIME_PER_MS => self.restarted(now),
            (_, 1) => PacketRelation::Silent { time },
            (_, ahead) => PacketRelation::Lost { time, packets: ahead - 1 },
        })
    }

    /// Records a processed packet. All packets of a telephone-event carry the timestamp of its beginning, so after one
    /// the time continues from the packet before it.
    pub(super) fn taken(&mut self, now: Instant, rtp: &RtpHeader, is_event: bool) {
        self.last = Some((rtp.ssrc, rtp.sequence));
        if !is_event || self.came.is_none() {
            self.came = Some(now);
        }
    }

    /// Records that the next packet is processed elsewhere, so that it does not count as lost.
    pub(super) fn pass_over(&mut self, rtp: &RtpHeader) {
        if let Some((ssrc, sequence)) = &mut self.last
            && *ssrc == rtp.ssrc
            && sequence.wrapping_add(1) == rtp.sequence
        {
            *sequence = rtp.sequence;
        }
    }

    /// Adds a packet's decoded audio of `samples` samples and the duration `time`, in units of 1/48,000 s.
    pub(super) fn heard(&mut self, rtp: &RtpHeader, samples: usize, time: u64) {
        (self.samples, self.lasted) = (samples, time);
        self.at += time;
        // Truncation is intended: timestamps are modulo 2^32.
        self.next = rtp.timestamp.wrapping_add((time / u64::from(TIME_HZ / self.clock_hz)) as u32);
    }

    /// Converts a timestamp to the outgoing stream's time, in units of 1/48,000 s; at least 0.
    pub(super) fn time_of(&self, timestamp: u32) -> u64 {
        let ticks = i64::from(timestamp.wrapping_sub(self.next).cast_signed());
        self.at.saturating_add_signed(ticks * i64::from(TIME_HZ / self.clock_hz))
    }

    fn passed(&self, now: Instant) -> u64 {
        let passed = self.came.map(|came| now.saturating_duration_since(came)).unwrap_or_default();
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX / TIME_PER_MS).saturating_mul(TIME_PER_MS)
    }

    /// Returns a restart after the time since the last packet, minus that packet's duration, in whole steps of
    /// [`STEP_MS`].
    fn restarted(&self, now: Instant) -> PacketRelation {
        let step = STEP_MS * TIME_PER_MS;
        PacketRelation::Restarted { time: self.passed(now).saturating_sub(self.lasted) / step * step }
    }
}
