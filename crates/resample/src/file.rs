//! Resampler of audio files from any rate to 8 kHz, without a delay in the output.
//!
//! The filter is a Kaiser-windowed sinc: flat to 3.5 kHz, 80 dB down from 4 kHz on. The position of each output between
//! two inputs is an exact fraction, so there is no drift. There is one filter for each such position, or, for odd
//! rates, [`PHASES`] filters with linear interpolation between two of them.

use std::f64::consts::TAU;

use crate::limits::FILE_RATES_HZ;

/// Output rate, in Hz.
const TARGET_HZ: u32 = 8000;
/// Middle of the filter's transition band, and its width, in Hz.
const EDGE_HZ: f64 = 3750.0;
const EDGE_WIDTH_HZ: f64 = 500.0;
/// Stop-band attenuation, in dB; the other parameters follow from Kaiser's formulas.
const DOWN_DB: f64 = 80.0;
/// Maximum number of filters. With linear interpolation, the error is below (π/640)²/8: −110 dB.
const PHASES: usize = 640;
/// Number of sums computed in parallel.
const LANES: usize = 8;

/// Resampler of one file.
#[derive(Debug)]
pub struct FileResampler {
    /// Factor of the output rate (8000 Hz); `down` is that of the file's rate, both without common divisors.
    up: u64,
    down: u64,
    /// Number of inputs on each side of an output.
    reach: usize,
    /// Number of phases from one input to the next; `filters` has one more, for the next input itself.
    phases: usize,
    filters: Vec<f32>,
    /// Inputs that are still needed; the first ones are silence before the file.
    waiting: Vec<f32>,
    /// Number of discarded inputs.
    gone: u64,
    made: u64,
}

impl FileResampler {
    /// Creates a resampler from a rate of 8000 to 192,000 Hz; `None` for other rates.
    pub fn new(rate_hz: u32) -> Option<FileResampler> {
        if !FILE_RATES_HZ.contains(&rate_hz) {
            return None;
        }
        let common = gcd(rate_hz, TARGET_HZ);
        let (up, down) = (u64::from(TARGET_HZ / common), u64::from(rate_hz / common));
        let phases = usize::try_from(up).unwrap_or(PHASES).min(PHASES);
        let half = (DOWN_DB - 8.0) / (2.285 * 2.0 * TAU * EDGE_WIDTH_HZ) * f64::from(rate_hz);
        // Complete lanes over both sides; no filter if the rates are equal.
        let reach = if rate_hz == TARGET_HZ { 0 } else { (half as usize + 1).next_multiple_of(LANES / 2) };
        let filters =
            (0..=phases).flat_map(|phase| filter(rate_hz, half, reach, phase as f64 / phases as f64)).collect();
        let waiting = vec![0.0; reach.saturating_sub(1)];
        Some(FileResampler { up, down, reach, phases, filters, waiting, gone: 0, made: 0 })
    }

    /// Adds samples of one channel, scaled to −1 to 1, and appends the resulting ones to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<i16>) {
        if self.reach == 0 {
            out.extend(samples.iter().map(|sample| to_16_bits(*sample)));
            return;
        }
        self.waiting.extend_from_slice(samples);
        self.make(out);
    }

    /// Processes the file's end: the total output covers the file's duration, rounded up.
    pub fn finish(mut self, out: &mut Vec<i16>) {
        if self.reach > 0 {
            self.waiting.resize(self.waiting.len() + self.reach, 0.0);
            self.make(out);
        }
    }

    fn make(&mut self, out: &mut Vec<i16>) {
        let taps = 2 * self.reach;
        loop {
            // Position of the next output among the inputs; the buffer begins `reach` inputs before it.
            let place = self.made * self.down;
            let (first, between) = (place / self.up - self.gone, place % self.up);
            let first = usize::try_from(first).unwrap_or(usize::MAX);
            let Some(inputs) = self.waiting.get(first..).and_then(|inputs| inputs.get(..taps)) else {
                let done = first.min(self.waiting.len());
                self.waiting.drain(..done);
                self.gone += done as u64;
                return;
            };
            let scaled = between * self.phases as u64;
            let phase = usize::try_from(scaled / self.up).unwrap_or(0);
            let part = (scaled % self.up) as f32 / self.up as f32;
            let by = |phase: usize| self.filters.get(phase * taps..).map_or(0.0, |filter| product(inputs, filter));
            let one = by(phase);
            let sample = if part > 0.0 { one + part * (by(phase + 1) - one) } else { one };
            out.push(to_16_bits(sample));
            self.made += 1;
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn to_16_bits(sample: f32) -> i16 {
    // NaN is silence; samples above full scale saturate.
    (sample * 32_768.0).round() as i16
}

/// Returns the coefficients for an output at the fraction `between` from one input (0) to the next (1).
fn filter(rate_hz: u32, half: f64, reach: usize, between: f64) -> Vec<f32> {
    let beta = 0.1102 * (DOWN_DB - 8.7);
    let by_distance = |tap: usize| {
        let distance = between + reach as f64 - 1.0 - tap as f64;
        let edge = distance / half;
        if edge.abs() >= 1.0 {
            return 0.0;
        }
        let angle = TAU * EDGE_HZ / f64::from(rate_hz) * distance;
        let sinc = if angle == 0.0 { 1.0 } else { angle.sin() / angle };
        sinc * bessel(beta * (1.0 - edge * edge).sqrt())
    };
    let mut all: Vec<f64> = (0..2 * reach).map(by_distance).collect();
    // Each filter passes a constant unchanged.
    let sum: f64 = all.iter().sum();
    all.iter_mut().for_each(|one| *one /= sum);
    all.into_iter().map(|one| one as f32).collect()
}

/// Computes the modified Bessel function I₀ by its series.
fn bessel(x: f64) -> f64 {
    let y = x * x / 4.0;
    let terms = (1..40).scan(1.0, |term, k| {
        *term *= y / f64::from(k * k);
        (*term > 1e-9).then_some(*term)
    });
    1.0 + terms.sum::<f64>()
}

fn product(inputs: &[f32], by: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (inputs, by) in inputs.as_chunks::<LANES>().0.iter().zip(by.as_chunks::<LANES>().0) {
        for ((sum, input), by) in sums.iter_mut().zip(inputs).zip(by) {
            *sum += input * by;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use proptest::prelude::*;

    use super::*;

    const RATES: [u32; 11] = [8000, 8001, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000];

    fn resampled(rate: u32, input: &[f32]) -> Vec<i16> {
        let mut out = Vec::new();
        let mut resampler = FileResampler::new(rate).unwrap();
        resampler.push(input, &mut out);
        resampler.finish(&mut out);
        out
    }

    fn tone(rate: u32, hz: f64) -> Vec<i16> {
        let input: Vec<f32> =
            (0..rate / 4).map(|n| (0.9 * (TAU * hz * f64::from(n) / f64::from(rate)).sin()) as f32).collect();
        resampled(rate, &input)
    }

    /// Returns the level of the difference from a tone, without its beginning and end, in dB below full scale.
    fn error(heard: &[i16], hz: f64, peak: f64) -> f64 {
        let middle = 200..heard.len() - 200;
        let power: f64 = middle
            .clone()
            .map(|n| (f64::from(heard[n]) - peak * 32_768.0 * (TAU * hz * n as f64 / 8000.0).sin()).powi(2))
            .sum();
        10.0 * (power / middle.len() as f64 / 32_768.0_f64.powi(2)).max(1e-12).log10()
    }

    /// Gain and timing: the output equals the input at the same time.
    #[test]
    fn tones_below_3500_hz_come_out_where_they_were() {
        for rate in RATES {
            for hz in [50.0, 440.0, 1000.0, 2500.0, 3400.0] {
                let error = error(&tone(rate, hz), hz, 0.9);
                assert!(error < -75.0, "{rate}: {hz} Hz by {error} dB");
            }
        }
    }

    #[test]
    fn tones_above_4_khz_are_75_db_down() {
        for rate in RATES.into_iter().filter(|rate| *rate > 8001) {
            for hz in [4000.0, 4100.0, 4500.0, 5000.0, 7500.0, 8000.0, 11_000.0, 15_900.0, 22_000.0, 90_000.0] {
                if hz < f64::from(rate) / 2.0 {
                    let heard = error(&tone(rate, hz), 0.0, 0.0);
                    assert!(heard < -75.0, "{rate}: {hz} Hz by {heard} dB");
                }
            }
        }
    }

    /// A minute in thousands of pieces stays in step.
    #[test]
    fn nothing_drifts() {
        let rate = 44_100;
        let mut resampler = FileResampler::new(rate).unwrap();
        let mut out = Vec::new();
        let samples = (0..60 * rate).map(|n| (0.5 * (PI * 2000.0 * f64::from(n) / f64::from(rate)).sin()) as f32);
        let samples: Vec<f32> = samples.collect();
        samples.chunks(1152).for_each(|piece| resampler.push(piece, &mut out));
        resampler.finish(&mut out);
        assert_eq!(out.len(), 480_000);
        let last = out.split_off(472_000);
        assert!(error(&last, 1000.0, 0.5) < -75.0);
    }

    #[test]
    fn too_loud_is_full_scale_and_no_number_is_silence() {
        let loud = resampled(48_000, &[4.0; 4800]);
        assert!(loud[100..700].iter().all(|sample| *sample == i16::MAX));
        let loud = resampled(8000, &[-4.0, 4.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!(loud, [i16::MIN, i16::MAX, 0, i16::MAX, i16::MIN]);
        // The NaN must not stay in the filter.
        let mut input = [0.0; 4800];
        input[0] = f32::NAN;
        assert!(resampled(48_000, &input)[400..].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn other_rates_are_refused() {
        for rate in [0, 1, 7999, 192_001, u32::MAX] {
            assert!(FileResampler::new(rate).is_none());
        }
    }

    #[test]
    fn an_empty_file_is_empty() {
        for rate in RATES {
            assert!(resampled(rate, &[]).is_empty());
            assert_eq!(resampled(rate, &[0.5]).len(), 1);
        }
    }

    proptest! {
        // Odd rates have long filters.
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn chunks_change_nothing_and_the_length_is_exact(
            rate in prop_oneof![proptest::sample::select(&RATES[..]), 8000_u32..=192_000],
            len in 0_usize..3000,
            cuts in proptest::collection::vec(0_usize..900, 0..20),
        ) {
            let input: Vec<f32> = (0..len).map(|n| ((n * n) as f32 * 0.37).sin()).collect();
            let mut resampler = FileResampler::new(rate).unwrap();
            // Existing content of the output is kept.
            let (mut out, mut rest) = (vec![7; 3], &input[..]);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, later) = rest.split_at(cut.min(rest.len()));
                resampler.push(piece, &mut out);
                rest = later;
            }
            resampler.finish(&mut out);
            prop_assert_eq!(out.len() - 3, (len * 8000).div_ceil(rate as usize));
            prop_assert_eq!(&out[3..], resampled(rate, &input));
        }
    }
}
