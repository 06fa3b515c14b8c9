//! In-band DTMF detection in an RTP stream: reports each digit once, and marks packets of tones, which are not
//! forwarded.

use std::time::Instant;

use crate::limits::KEY_LOST_AFTER;
use crate::rtp::RtpHeader;

use super::goertzel::{DigitDetection, Goertzel};
use super::receiver::CompletedDigit;

/// Time without packets, by RTP timestamps, that ends a tone, in milliseconds (ITU-T Q.24).
const PAUSE_MS: u32 = 40;

/// Detects DTMF tones in one stream and keeps the results until they are taken.
#[derive(Debug)]
pub(crate) struct Detector {
    detector: Goertzel,
    rate_hz: u32,
    /// Sequence number of the last packet, and the timestamp at its end.
    last: Option<(u16, u32)>,
    seen: Instant,
    current: Option<char>,
    /// Digit of a tone that has begun, until it is taken.
    begun: Option<char>,
    /// Digit of a tone that has ended, with its duration, until it is taken.
    over: Option<CompletedDigit>,
}

impl Detector {
    /// Creates a detector for samples at this rate.
    pub(crate) fn new(now: Instant, rate_hz: u32) -> Detector {
        let detector = Goertzel::new(rate_hz);
        Detector { detector, rate_hz, last: None, seen: now, current: None, begun: None, over: None }
    }

    /// Analyses the audio of a packet with the RTP clock rate `clock_hz`. Returns whether the packet is part of a tone.
    /// Call [`Self::take_begun`] and [`Self::take_over`] afterwards: `samples` must be too short for two digits.
    pub(crate) fn hear(&mut self, now: Instant, rtp: &RtpHeader, clock_hz: u32, samples: &[i16]) -> bool {
        self.release_lost(now);
        self.seen = now;
        // No truncation: bounded by the size of a packet.
        let ticks = (samples.len() as u64 * u64::from(clock_hz) / u64::from(self.rate_hz.max(1))) as u32;
        if let Some((sequence, end)) = self.last.replace((rtp.sequence, rtp.timestamp.wrapping_add(ticks))) {
            let unsent = rtp.timestamp.wrapping_sub(end).cast_signed();
            if sequence.wrapping_add(1) != rtp.sequence {
                self.detector.skip();
            } else if unsent >= (clock_hz / 1000 * PAUSE_MS).cast_signed() {
                self.release();
            }
        }
        let was_tone = self.detector.is_tone();
        let (current, begun, over) = (&mut self.current, &mut self.begun, &mut self.over);
        self.detector.analyse_samples(samples, |heard| match heard {
            DigitDetection::Begun(digit) => (*current, *begun) = (Some(digit), Some(digit)),
            DigitDetection::Over(ms) => *over = current.take().map(|digit| CompletedDigit { digit, ms }),
        });
        was_tone || self.detector.is_tone()
    }

    /// Takes the digit of a tone that has begun, if any.
    pub(crate) fn take_begun(&mut self) -> Option<char> {
        self.begun.take()
    }

    /// Takes the digit of a tone that has ended, if any, with its duration.
    pub(crate) fn take_over(&mut self) -> Option<CompletedDigit> {
        self.over.take()
    }

    /// Returns the time at which the current tone counts as ended unless more audio arrives; `None` without a tone.
    pub(crate) fn lost_at(&self) -> Option<Instant> {
        self.current.map(|_| self.seen + KEY_LOST_AFTER)
    }

    /// Ends the current tone if its audio has stopped for [`KEY_LOST_AFTER`].
    pub(crate) fn release_lost(&mut self, now: Instant) {
        if self.lost_at().is_some_and(|at| at <= now) {
            self.release();
        }
    }

    fn release(&mut self) {
        let (current, over) = (&mut self.current, &mut self.over);
        self.detector.end(|heard| match heard {
            DigitDetection::Begun(_) => {}
            DigitDetection::Over(ms) => *over = current.take().map(|digit| CompletedDigit { digit, ms }),
        });
    }
}
