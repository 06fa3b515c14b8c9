//! Limiter of a mix: sums above full scale are attenuated before their peak and recover slowly.
//!
//! The gain is piecewise linear by milliseconds and never exceeds the limit set by the peaks on either side, so
//! nothing is clipped. After each peak the gain is held for longer than a syllable and then rises slowly, so that a
//! quiet voice keeps its level between the syllables of a loud one.

use crate::limits::LOOK_AHEAD_MS;

/// Maximum sample of a mix: 1 dB below full scale.
pub(super) const CEILING: f32 = 29_205.0;
/// Duration of a frame with its look-ahead, in milliseconds.
const SPAN_MS: usize = 20 + LOOK_AHEAD_MS;
/// Hold time of the gain after a peak, in milliseconds.
const HOLD_MS: u32 = 250;
/// Factor of the gain per millisecond after the hold time: 9 dB a second.
const RISE: f32 = 1.001;
/// A peak restarts the hold time if the gain that it allows is at most this multiple of the current gain.
const NEAR: f32 = 1.1;

/// Limiter of one mix.
#[derive(Debug, Clone)]
pub(super) struct Limiter {
    gain: f32,
    /// Remaining hold time, in milliseconds.
    resting: u32,
}

impl Limiter {
    pub(super) fn new() -> Limiter {
        Limiter { gain: 1.0, resting: 0 }
    }

    /// Returns whether both limiters have nearly the same gain; if so, a change between their outputs is inaudible.
    pub(super) fn agrees_with(&self, other: &Limiter) -> bool {
        (self.gain - other.gain).abs() < 0.005
    }

    /// Produces a frame from `window`, a frame followed by the look-ahead, with `millisecond` samples per
    /// millisecond.
    pub(super) fn run(&mut self, window: &[i32], millisecond: usize, out: &mut [i16]) {
        let mut allowed = [1.0_f32; SPAN_MS];
        for (allowed, part) in allowed.iter_mut().zip(window.chunks_exact(millisecond)) {
            let peak = part.iter().fold(0, |peak, sample| peak.max(sample.unsigned_abs())) as f32;
            *allowed = if peak > CEILING { CEILING / peak } else { 1.0 };
        }
        let ahead = allowed.windows(LOOK_AHEAD_MS + 1);
        let parts = out.chunks_exact_mut(millisecond).zip(window.chunks_exact(millisecond)).zip(ahead);
        for ((out, part), ahead) in parts {
            let [now, next, then] = ahead else { break };
            let start = self.gain.min(*now);
            let end = self.next_gain(start, now.min(*next), (start + then) / 2.0);
            if start == 1.0 && end == 1.0 {
                out.iter_mut().zip(part).for_each(|(to, from)| *to = limited(*from as f32));
            } else {
                let step = (end - start) / millisecond as f32;
                let gains = (0..millisecond).map(|at| start + step * at as f32);
                out.iter_mut().zip(part).zip(gains).for_each(|((to, from), gain)| *to = limited(*from as f32 * gain));
            }
            self.gain = end;
        }
    }

    /// Advances the gain by `milliseconds` of silence.
    pub(super) fn rest(&mut self, milliseconds: u32) {
        if self.gain < 1.0 {
            for _ in 0..milliseconds {
                self.gain = self.next_gain(self.gain, 1.0, 1.0);
            }
        }
    }

    /// Returns the next gain: `peaks` is the limit by the current peaks, and `ahead` lies midway to the limit by the
    /// next ones.
    fn next_gain(&mut self, start: f32, peaks: f32, ahead: f32) -> f32 {
        let most = peaks.min(ahead);
        if most < start || (peaks < 1.0 && peaks <= start * NEAR) {
            self.resting = HOLD_MS;
            most.min(start)
        } else if self.resting > 0 {
            self.resting -= 1;
            start
        } else {
            (start * RISE).min(most)
        }
    }
}

fn limited(sample: f32) -> i16 {
    sample.clamp(-CEILING, CEILING) as i16
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use proptest::prelude::*;

    use super::*;

    /// Passes a signal through the limiter in frames, as a mixer does, without its delay.
    fn limit(signal: &[i32], millisecond: usize) -> Vec<i16> {
        let (frame, ahead) = (20 * millisecond, LOOK_AHEAD_MS * millisecond);
        let mut limiter = Limiter::new();
        let mut all = Vec::new();
        for at in (0..signal.len().saturating_sub(ahead)).step_by(frame) {
            let Some(window) = signal.get(at..at + frame + ahead) else { break };
            let mut out = vec![0; frame];
            limiter.run(window, millisecond, &mut out);
            all.extend(out);
        }
        all
    }

    fn tone(hz: f64, peak: f64, samples: usize) -> Vec<i32> {
        (0..samples).map(|n| (peak * (TAU * hz * n as f64 / 8000.0).sin()) as i32).collect()
    }

    #[test]
    fn a_mix_within_full_scale_is_left_as_it_is() {
        let signal = tone(440.0, 29_000.0, 8000);
        let out = limit(&signal, 8);
        assert!(out.iter().zip(&signal).all(|(out, signal)| i32::from(*out) == *signal));
    }

    /// Two parties at full scale: no sample is clipped, and the tone keeps its shape.
    #[test]
    fn a_constant_overload_is_turned_down_once_and_stays_so() {
        let signal = tone(440.0, 65_000.0, 16_000);
        let out = limit(&signal, 8);
        let gains: Vec<f32> = (out.iter().zip(&signal))
            .skip(160)
            .filter(|(_, signal)| signal.abs() > 40_000)
            .map(|(out, signal)| f32::from(*out) / *signal as f32)
            .collect();
        let (least, most) = gains.iter().fold((9.0_f32, 0.0_f32), |(l, m), gain| (l.min(*gain), m.max(*gain)));
        assert!(most / least < 1.001, "{least} {most}");
        assert!(out.iter().all(|sample| f32::from(*sample).abs() <= CEILING));
    }

    /// A quiet tone with loud bursts four times a second keeps its level between them, without pumping.
    #[test]
    fn syllables_of_a_loud_voice_do_not_pump_a_quiet_one() {
        let quiet = tone(1000.0, 2000.0, 32_000);
        let loud = tone(200.0, 60_000.0, 32_000);
        let burst = |n: usize| (n / 1000).is_multiple_of(2);
        let signal: Vec<i32> = (0..quiet.len()).map(|n| quiet[n] + if burst(n) { loud[n] } else { 0 }).collect();
        let out = limit(&signal, 8);
        // Levels of the quiet tone between two bursts, from the first burst on.
        let between: Vec<f64> = (0..out.len() / 2000)
            .map(|pair| &out[pair * 2000 + 1200..pair * 2000 + 1900])
            .map(|part| part.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>().sqrt())
            .collect();
        let (least, most) = between.iter().fold((f64::MAX, 0.0_f64), |(l, m), one| (l.min(*one), m.max(*one)));
        assert!(20.0 * (most / least).log10() < 0.5, "{between:?}");
    }

    #[test]
    fn after_an_overload_the_gain_returns_within_two_seconds() {
        let mut signal = tone(440.0, 80_000.0, 800);
        signal.extend(tone(440.0, 5000.0, 20_000));
        let out = limit(&signal, 8);
        let at = |n: usize| out[n..n + 160].iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!(at(1600) < 2500, "rests: {}", at(1600));
        assert!(at(17_600) > 4950, "is back: {}", at(17_600));
    }

    #[test]
    fn silence_gives_the_gain_back_as_well() {
        let mut limiter = Limiter::new();
        let mut out = [0; 160];
        limiter.run(&[80_000; 176], 8, &mut out);
        assert!(!limiter.agrees_with(&Limiter::new()));
        (0..200).for_each(|_| limiter.rest(20));
        assert!(limiter.agrees_with(&Limiter::new()));
    }

    proptest! {
        /// No sample of any mix exceeds the ceiling or changes its sign.
        #[test]
        fn nothing_is_louder_than_the_ceiling(
            signal in proptest::collection::vec(-1_700_000_i32..=1_700_000, 336),
            quiet in 0_usize..300,
        ) {
            let mut signal = signal;
            signal.iter_mut().take(quiet).for_each(|sample| *sample /= 1000);
            let out = limit(&signal, 8);
            prop_assert_eq!(out.len(), 320);
            for (out, signal) in out.iter().zip(&signal) {
                prop_assert!(f32::from(*out).abs() <= CEILING);
                prop_assert!(i64::from(*out) * i64::from(*signal) >= 0);
            }
        }
    }
}
