//! Contribution of one party or clip to the mix: a frame with the look-ahead, at the rate of the mix.

use crate::limits::LOOK_AHEAD_MS;

use super::rate::{FRAME_MOST, SamplingRate};

/// Samples of a frame and the look-ahead at the highest rate.
pub(super) const WINDOW_MOST: usize = FRAME_MOST + LOOK_AHEAD_MS * 48;

/// Returns the samples of a frame with the look-ahead.
pub(super) const fn window(rate: SamplingRate) -> usize {
    rate.frame() + LOOK_AHEAD_MS * rate.millisecond()
}

/// Contribution of one party or clip to a mix.
#[derive(Debug)]
pub(super) struct MixInput {
    samples: Box<[i16]>,
    /// Gain at the end of the last frame.
    gain: f32,
    /// Whether the current frame has audio; `has_tail` is whether the look-ahead of the previous frame has.
    is_fed: bool,
    has_tail: bool,
}

impl MixInput {
    pub(super) fn new() -> MixInput {
        MixInput { samples: vec![0; WINDOW_MOST].into(), gain: 0.0, is_fed: false, has_tail: false }
    }

    /// Removes all audio and sets the gain to zero.
    pub(super) fn clear(&mut self) {
        self.samples.fill(0);
        (self.gain, self.is_fed, self.has_tail) = (0.0, false, false);
    }

    /// Sets the gain of the next frame; returns the previous and the new gain. With `at_once` both are the new gain,
    /// because a ramp would be inaudible.
    pub(super) fn ramp(&mut self, gain: f32, at_once: bool) -> (f32, f32) {
        let was = if at_once { gain } else { self.gain };
        self.gain = gain;
        (was, gain)
    }

    pub(super) fn gain(&self) -> f32 {
        self.gain
    }

    /// Returns whether the party or clip adds audio in this tick.
    pub(super) fn is_live(&self) -> bool {
        self.is_fed || self.has_tail
    }

    /// Returns the samples of this tick, followed by the look-ahead.
    pub(super) fn window(&self, rate: SamplingRate) -> &[i16] {
        self.samples.get(..window(rate)).unwrap_or_default()
    }

    /// Adds the frame of this tick to the window.
    pub(super) fn push(&mut self, frame: &[i16], rate: SamplingRate) {
        if let Some(place) = self.next(rate) {
            place.iter_mut().zip(frame).for_each(|(to, from)| *to = *from);
        }
        self.is_fed = true;
    }

    /// Adds silence for this tick; costs nothing after earlier silence.
    pub(super) fn push_silence(&mut self, rate: SamplingRate) {
        if self.is_live()
            && let Some(place) = self.next(rate)
        {
            place.fill(0);
        }
        self.is_fed = false;
    }

    /// Advances the window by a frame, dropping the oldest one; returns the buffer for the newest frame.
    fn next(&mut self, rate: SamplingRate) -> Option<&mut [i16]> {
        self.has_tail = self.is_fed;
        let (frame, window) = (rate.frame(), window(rate));
        self.samples.copy_within(frame..window, 0);
        self.samples.get_mut(window - frame..window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_heard_late_by_the_look_ahead() {
        for rate in SamplingRate::ALL {
            let (frame, ahead) = (rate.frame(), LOOK_AHEAD_MS * rate.millisecond());
            let mut strip = MixInput::new();
            let mut heard = Vec::new();
            let numbers: Vec<i16> = (0..4 * frame).map(|n| n as i16 + 1).collect();
            for part in numbers.chunks(frame) {
                strip.push(part, rate);
                assert_eq!(strip.window(rate).len(), frame + ahead);
                heard.extend_from_slice(&strip.window(rate)[..frame]);
            }
            assert!(heard[..ahead].iter().all(|sample| *sample == 0));
            assert_eq!(heard[ahead..], numbers[..4 * frame - ahead]);
            strip.push_silence(rate);
            assert!(strip.is_live(), "its look-ahead is still to be heard");
            assert_eq!(strip.window(rate)[..ahead], numbers[4 * frame - ahead..]);
            assert!(strip.window(rate)[ahead..].iter().all(|sample| *sample == 0));
            strip.push_silence(rate);
            assert!(!strip.is_live());
        }
    }
}
