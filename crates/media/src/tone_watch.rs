//! An ear on audio whose tones are keys: which key, once, and that nobody else hears it.

use std::time::Instant;

use crate::limits::KEY_LOST_AFTER;
use crate::rtp::Rtp;
use crate::tone::{Detector, Heard};

/// Silence that was not sent ends a press once it is so long, in milliseconds (ITU-T Q.24).
const PAUSE_MS: u32 = 40;

/// The ear, and what it has heard that nobody was told of yet.
#[derive(Debug)]
pub(crate) struct ToneWatch {
    detector: Detector,
    rate_hz: u32,
    /// The last packet's number, and the timestamp at its end.
    last: Option<(u16, u32)>,
    seen: Instant,
    pressed: Option<char>,
    /// A key that has been pressed.
    pub(crate) begun: Option<char>,
    /// One that has been let go, and how long it was pressed, in milliseconds.
    pub(crate) over: Option<(char, u32)>,
}

impl ToneWatch {
    /// For samples at this rate.
    pub(crate) fn new(now: Instant, rate_hz: u32) -> ToneWatch {
        let detector = Detector::new(rate_hz);
        ToneWatch { detector, rate_hz, last: None, seen: now, pressed: None, begun: None, over: None }
    }
    /// Takes a packet's audio, no longer than a press and the pause behind it, and its clock in Hz; whether nobody else is
    /// to hear it.
    pub(crate) fn hear(&mut self, now: Instant, rtp: &Rtp, clock_hz: u32, samples: &[i16]) -> bool {
        self.release_lost(now);
        self.seen = now;
        // Truncation is not met: what a packet holds.
        let ticks = (samples.len() as u64 * u64::from(clock_hz) / u64::from(self.rate_hz.max(1))) as u32;
        if let Some((sequence, end)) = self.last.replace((rtp.sequence, rtp.timestamp.wrapping_add(ticks))) {
            let unsent = rtp.timestamp.wrapping_sub(end).cast_signed();
            if sequence.wrapping_add(1) != rtp.sequence {
                self.detector.skip();
            } else if unsent >= (clock_hz / 1000 * PAUSE_MS).cast_signed() {
                self.release();
            }
        }
        let was_key = self.detector.is_key();
        let (pressed, begun, over) = (&mut self.pressed, &mut self.begun, &mut self.over);
        self.detector.take(samples, |heard| match heard {
            Heard::Begun(key) => (*pressed, *begun) = (Some(key), Some(key)),
            Heard::Over(ms) => *over = pressed.take().map(|key| (key, ms)),
        });
        was_key || self.detector.is_key()
    }
    /// When a press counts as over, unless more audio comes.
    pub(crate) fn lost_at(&self) -> Option<Instant> {
        self.pressed.map(|_| self.seen + KEY_LOST_AFTER)
    }
    /// Ends a press whose audio has ended.
    pub(crate) fn release_lost(&mut self, now: Instant) {
        if self.lost_at().is_some_and(|at| at <= now) {
            self.release();
        }
    }

    fn release(&mut self) {
        let (pressed, over) = (&mut self.pressed, &mut self.over);
        self.detector.end(|heard| match heard {
            Heard::Begun(_) => {}
            Heard::Over(ms) => *over = pressed.take().map(|key| (key, ms)),
        });
    }
}
