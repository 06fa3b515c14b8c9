//! An ear on audio whose tones are keys: which key, once, and that nobody else hears it.

use std::time::Instant;

use crate::limits::KEY_LOST_AFTER;
use crate::tone::{Detector, Heard};

/// The ear, and what it has heard that nobody was told of yet.
#[derive(Debug)]
pub(crate) struct ToneWatch {
    detector: Detector,
    /// The last packet's number.
    sequence: Option<u16>,
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
        ToneWatch { detector, sequence: None, seen: now, pressed: None, begun: None, over: None }
    }
    /// Takes a packet's audio, no longer than a press and the pause behind it; whether nobody else is to hear it.
    pub(crate) fn hear(&mut self, now: Instant, sequence: u16, samples: &[i16]) -> bool {
        self.seen = now;
        if self.sequence.replace(sequence).is_some_and(|last| last.wrapping_add(1) != sequence) {
            self.detector.skip();
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
            let (pressed, over) = (&mut self.pressed, &mut self.over);
            self.detector.end(|heard| match heard {
                Heard::Begun(_) => {}
                Heard::Over(ms) => *over = pressed.take().map(|key| (key, ms)),
            });
        }
    }
}
