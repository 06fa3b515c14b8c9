//! Frequency analysis of samples by the Goertzel algorithm.

use std::f32::consts::TAU;

use crate::limits::{FRAME_SAMPLES, RATE_HZ};

/// First frequency at which a frame is analysed; the last one is 2,700 Hz.
const FIRST_HZ: u32 = 300;
const STEP_HZ: u32 = 50;
const BINS: usize = 49;
/// Minimum distance between two simultaneous frequencies, in Hz.
const APART_HZ: f32 = 90.0;
/// Minimum power of the weaker frequency relative to the stronger one: −10 dB.
const WEAKER: f32 = 0.1;

/// Tone of one or two frequencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SpectralTone {
    /// Stronger frequency, in Hz.
    pub(crate) hz: f32,
    /// Weaker frequency, in Hz; `None` for a single one.
    pub(crate) second_hz: Option<f32>,
    /// Share of the frame's energy in the tone, 0 to 1.
    pub(crate) share: f32,
}

/// Returns the share of the energy of samples in a sine; `energy` is the sum of their squares.
pub(crate) fn share(samples: impl ExactSizeIterator<Item = f32>, hz: f32, energy: f32) -> f32 {
    let count = samples.len() as f32;
    2.0 * power(samples, hz) / (energy * count).max(f32::MIN_POSITIVE)
}

/// Finds the strongest tone of a frame.
pub(crate) fn strongest(frame: &[f32; FRAME_SAMPLES], energy: f32) -> SpectralTone {
    let (hz, one) = peak(frame, energy, None);
    let (second_hz, two) = peak(&remove_sine(frame, hz), energy, Some(hz));
    if two >= one * WEAKER {
        return SpectralTone { hz, second_hz: Some(second_hz), share: one + two };
    }
    SpectralTone { hz, second_hz: None, share: one }
}

/// Returns the frequency with the largest share of the energy, and that share; `far_from` excludes nearby
/// frequencies.
fn peak(frame: &[f32; FRAME_SAMPLES], energy: f32, far_from: Option<f32>) -> (f32, f32) {
    let bins = (0..BINS).map(bin_hz).filter(|hz| far_from.is_none_or(|other| (hz - other).abs() >= APART_HZ));
    let shares = bins.map(|hz| (hz, share(frame.iter().copied(), hz, energy)));
    let found = shares.max_by(|(_, one), (_, two)| one.total_cmp(two)).unwrap_or((0.0, 0.0));
    refined(frame, found, energy)
}

/// Returns a frame from which its sine at a frequency is removed.
fn remove_sine(frame: &[f32; FRAME_SAMPLES], hz: f32) -> [f32; FRAME_SAMPLES] {
    // A rotation needs one sine and one cosine for all samples.
    let (step_sin, step_cos) = (TAU * hz / RATE_HZ as f32).sin_cos();
    let turn = |(cos, sin): (f32, f32)| (cos * step_cos - sin * step_sin, sin * step_cos + cos * step_sin);
    let (mut at, mut sums) = ((1.0, 0.0), (0.0, 0.0));
    for sample in frame {
        sums = (sums.0 + sample * at.0, sums.1 + sample * at.1);
        at = turn(at);
    }
    let half = FRAME_SAMPLES as f32 / 2.0;
    at = (1.0, 0.0);
    frame.map(|sample| {
        let rest = sample - (sums.0 * at.0 + sums.1 * at.1) / half;
        at = turn(at);
        rest
    })
}

fn bin_hz(place: usize) -> f32 {
    (FIRST_HZ + STEP_HZ * u32::try_from(place).unwrap_or(0)) as f32
}

/// Refines a frequency by a search for the largest share of the energy nearby.
fn refined(frame: &[f32; FRAME_SAMPLES], found: (f32, f32), energy: f32) -> (f32, f32) {
    let (mut hz, mut best) = found;
    for step in [12.5, 6.25, 3.125] {
        let around = [hz - 2.0 * step, hz - step, hz + step, hz + 2.0 * step];
        for near in around {
            let share = share(frame.iter().copied(), near, energy);
            if share > best {
                (hz, best) = (near, share);
            }
        }
    }
    (hz, best)
}

fn power(samples: impl Iterator<Item = f32>, hz: f32) -> f32 {
    let coefficient = 2.0 * (TAU * hz / RATE_HZ as f32).cos();
    let (mut one, mut two) = (0.0_f32, 0.0_f32);
    for sample in samples {
        (one, two) = (sample + coefficient * one - two, one);
    }
    one * one + two * two - coefficient * one * two
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tones: &[(f32, f32)]) -> ([f32; FRAME_SAMPLES], f32) {
        let mut frame = [0.0; FRAME_SAMPLES];
        for (n, sample) in frame.iter_mut().enumerate() {
            *sample = tones.iter().map(|(hz, peak)| peak * (TAU * hz * n as f32 / RATE_HZ as f32).sin()).sum();
        }
        (frame, frame.iter().map(|sample| sample * sample).sum())
    }

    #[test]
    fn tones_are_found_at_their_frequencies() {
        for hz in [350.0, 440.0, 1000.0, 1100.0, 1399.0, 2100.0, 2600.0] {
            let (frame, energy) = frame(&[(hz, 5000.0)]);
            let tone = strongest(&frame, energy);
            assert!((tone.hz - hz).abs() < 6.0 && tone.share > 0.95, "{hz}: {tone:?}");
            assert!(tone.second_hz.is_none_or(|_| tone.share > 0.95), "{hz}: {tone:?}");
        }
        let (frame, energy) = frame(&[(784.0, 4000.0), (1318.0, 3000.0)]);
        let tone = strongest(&frame, energy);
        assert!((tone.hz - 784.0).abs() < 8.0 && (tone.second_hz.unwrap() - 1318.0).abs() < 8.0, "{tone:?}");
        assert!(tone.share > 0.9, "{tone:?}");
    }

    #[test]
    fn noise_is_no_tone() {
        let mut state = 1_u32;
        for _ in 0..100 {
            let frame = std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as f32 - 32_768.0
            });
            let energy = frame.iter().map(|sample: &f32| sample * sample).sum();
            assert!(strongest(&frame, energy).share < 0.5);
        }
        assert_eq!(strongest(&[0.0; FRAME_SAMPLES], 0.0).share, 0.0);
    }
}
