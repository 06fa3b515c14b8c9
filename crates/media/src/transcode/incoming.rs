//! Place of a packet in the stream that comes: behind the last one, after a loss or a silence, late, or of another
//! stream.

use std::time::Instant;

use crate::limits::{MAX_DROPOUT_PACKETS, MAX_MISORDER_PACKETS};
use crate::rtp::Rtp;

use super::{TIME_HZ, TIME_PER_MS};

/// A timestamp may be so much ahead of the time that went by; beyond, it is a new beginning.
const AHEAD_MS: u64 = 1000;
/// A new beginning comes in whole packets of this length after what was before.
const STEP_MS: u64 = 20;

/// Relation of a packet to the last one that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// At once.
    GoesOn,
    /// Nothing was sent for this time.
    Silent { time: u64 },
    /// So much of time and so many packets are missing.
    Lost { time: u64, packets: u16 },
    /// Another stream, or numbers that are none of the last one's: after this time.
    Anew { time: u64 },
}

impl Step {
    /// Returns the time between the two.
    pub(super) fn time(self) -> u64 {
        match self {
            Step::GoesOn => 0,
            Step::Silent { time } | Step::Lost { time, .. } | Step::Anew { time } => time,
        }
    }
}

/// The stream that comes.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Source and highest sequence number; `None` before the first packet.
    last: Option<(u32, u16)>,
    clock_hz: u32,
    /// The timestamp at the end of what was heard.
    pub(super) next: u32,
    /// That end in the time of what leaves.
    pub(super) at: u64,
    /// Samples of the last packet.
    pub(super) samples: usize,
    lasted: u64,
    /// The last time that the timestamps were as late as the clock.
    pub(super) came: Option<Instant>,
}

impl Incoming {
    /// Before anything came.
    pub(super) fn new(clock_hz: u32) -> Incoming {
        Incoming { last: None, clock_hz, next: 0, at: 0, samples: 0, lasted: 0, came: None }
    }

    /// Returns how a packet follows, `clock_hz` where it is audio; `None` for one that is late, or came before.
    pub(super) fn step(&mut self, now: Instant, rtp: &Rtp, clock_hz: Option<u32>) -> Option<Step> {
        let Some((ssrc, sequence)) = self.last else {
            (self.clock_hz, self.next) = (clock_hz.unwrap_or(self.clock_hz), rtp.timestamp);
            return Some(Step::GoesOn);
        };
        let ahead = rtp.sequence.wrapping_sub(sequence);
        let behind = sequence.wrapping_sub(rtp.sequence);
        let same_clock = clock_hz.is_none_or(|clock_hz| clock_hz == self.clock_hz);
        if ssrc == rtp.ssrc && behind < MAX_MISORDER_PACKETS {
            return None;
        }
        if ssrc != rtp.ssrc || !same_clock || ahead > MAX_DROPOUT_PACKETS {
            self.clock_hz = clock_hz.unwrap_or(self.clock_hz);
            return Some(self.anew(now));
        }
        // What is modulo 2^32 is near; a negative step is one back.
        let ticks = rtp.timestamp.wrapping_sub(self.next).cast_signed();
        let time = u64::try_from(ticks).unwrap_or(0) * u64::from(TIME_HZ / self.clock_hz);
        Some(match (ticks, ahead) {
            // Some count wrongly by a little, some begin again: what is heard goes on.
            (..=0, _) => Step::GoesOn,
            _ if time > self.passed(now) + AHEAD_MS * TIME_PER_MS => self.anew(now),
            (_, 1) => Step::Silent { time },
            (_, ahead) => Step::Lost { time, packets: ahead - 1 },
        })
    }

    /// A packet was taken. One of a press has the timestamp of its beginning: time goes on from before it.
    pub(super) fn taken(&mut self, now: Instant, rtp: &Rtp, is_event: bool) {
        self.last = Some((rtp.ssrc, rtp.sequence));
        if !is_event || self.came.is_none() {
            self.came = Some(now);
        }
    }

    /// Notes that the next packet does not come here: it is not lost.
    pub(super) fn pass_over(&mut self, rtp: &Rtp) {
        if let Some((ssrc, sequence)) = &mut self.last
            && *ssrc == rtp.ssrc
            && sequence.wrapping_add(1) == rtp.sequence
        {
            *sequence = rtp.sequence;
        }
    }

    /// Audio was heard: so many samples, as long as this.
    pub(super) fn heard(&mut self, rtp: &Rtp, samples: usize, time: u64) {
        (self.samples, self.lasted) = (samples, time);
        self.at += time;
        // Truncation is meant: timestamps are modulo 2^32.
        self.next = rtp.timestamp.wrapping_add((time / u64::from(TIME_HZ / self.clock_hz)) as u32);
    }

    /// The time of a timestamp in what leaves; never before the beginning.
    pub(super) fn time_of(&self, timestamp: u32) -> u64 {
        let ticks = i64::from(timestamp.wrapping_sub(self.next).cast_signed());
        self.at.saturating_add_signed(ticks * i64::from(TIME_HZ / self.clock_hz))
    }

    fn passed(&self, now: Instant) -> u64 {
        let passed = self.came.map(|came| now.saturating_duration_since(came)).unwrap_or_default();
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX / TIME_PER_MS).saturating_mul(TIME_PER_MS)
    }

    /// After the last packet's own time, in whole steps.
    fn anew(&self, now: Instant) -> Step {
        let step = STEP_MS * TIME_PER_MS;
        Step::Anew { time: self.passed(now).saturating_sub(self.lasted) / step * step }
    }
}
