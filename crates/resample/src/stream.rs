//! Streaming resampler between two rates.

use crate::bank::{DOWN_2, DOWN_3, DOWN_3_UP_2, FilterBank, UNITY_BITS, UP_2, UP_3};

/// Maximum inputs from which an output is computed.
const TAPS: usize = 72;
/// Number of input samples processed at once: 20 ms at 24 kHz.
const BLOCK: usize = 480;

/// Resampler of one stream. Its delay is 12 samples of the lower rate; the stream is preceded by silence.
#[derive(Debug, Clone)]
pub struct Resampler {
    bank: &'static FilterBank,
    /// Distance between two outputs, in phases.
    step: usize,
    /// Distance from the next input to the next output, in phases.
    next: usize,
    /// Last inputs, the newest last.
    history: [i16; TAPS],
}

impl Resampler {
    /// Creates a resampler between two of 8000, 16,000 and 24,000 Hz, or between 48,000 Hz and 16,000 or 24,000 Hz;
    /// `None` for other or equal rates.
    pub fn new(from_hz: u32, to_hz: u32) -> Option<Resampler> {
        let (bank, step) = match (from_hz, to_hz) {
            (8000, 16_000) => (&UP_2, 1),
            (8000, 24_000) => (&UP_3, 1),
            (16_000, 24_000) => (&UP_3, 2),
            (16_000, 48_000) => (&UP_3, 1),
            (24_000, 48_000) => (&UP_2, 1),
            (16_000, 8000) => (&DOWN_2, 2),
            (48_000, 24_000) => (&DOWN_2, 2),
            (24_000, 8000) | (48_000, 16_000) => (&DOWN_3, 3),
            (24_000, 16_000) => (&DOWN_3_UP_2, 3),
            _ => return None,
        };
        Some(Resampler { bank, step, next: 0, history: [0; TAPS] })
    }

    /// Processes samples and calls `put` for each output: after `n` inputs in all, the outputs cover their duration,
    /// rounded up. Samples above full scale saturate. Does not allocate.
    pub fn process(&mut self, input: &[i16], mut put: impl FnMut(i16)) {
        for block in input.chunks(BLOCK) {
            match self.bank.taps {
                24 => self.process_block::<24>(block, &mut put),
                36 => self.process_block::<36>(block, &mut put),
                48 => self.process_block::<48>(block, &mut put),
                TAPS => self.process_block::<TAPS>(block, &mut put),
                taps => debug_assert!(false, "no filter has {taps} taps"),
            }
        }
    }

    /// Returns whether the filter contains only silence.
    pub fn is_at_rest(&self) -> bool {
        self.history == [0; TAPS]
    }

    /// Replaces the filter's inputs by silence.
    pub fn silence(&mut self) {
        self.history = [0; TAPS];
    }

    fn process_block<const T: usize>(&mut self, block: &[i16], put: &mut impl FnMut(i16)) {
        let FilterBank { phases, coefficients, .. } = *self.bank;
        let mut window = [0; TAPS + BLOCK];
        let (before, rest) = window.split_at_mut(TAPS);
        before.copy_from_slice(&self.history);
        rest.iter_mut().zip(block).for_each(|(to, from)| *to = *from);
        let (phases_of, _) = coefficients.as_chunks::<T>();
        while self.next < block.len() * phases {
            let end = TAPS + self.next / phases + 1;
            let inputs = window.get(..end).and_then(<[i16]>::last_chunk::<T>);
            let (Some(inputs), Some(phase)) = (inputs, phases_of.get(self.next % phases)) else { break };
            put(product(inputs, phase));
            self.next += self.step;
        }
        self.next = self.next.saturating_sub(block.len() * phases);
        if let Some(last) = window.get(block.len()..block.len() + TAPS) {
            self.history.copy_from_slice(last);
        }
    }
}

/// Returns the rounded sum of the products, saturated to 16 bits.
fn product<const T: usize>(inputs: &[i16; T], coefficients: &[i16; T]) -> i16 {
    let products = inputs.iter().zip(coefficients).map(|(input, by)| i32::from(*input) * i32::from(*by));
    let rounded = (products.sum::<i32>() + (1 << (UNITY_BITS - 1))) >> UNITY_BITS;
    // No truncation after the clamp.
    rounded.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use proptest::prelude::*;

    use super::*;

    const PAIRS: [(u32, u32); 10] = [
        (8000, 16_000),
        (8000, 24_000),
        (16_000, 24_000),
        (16_000, 48_000),
        (24_000, 48_000),
        (16_000, 8000),
        (24_000, 8000),
        (24_000, 16_000),
        (48_000, 16_000),
        (48_000, 24_000),
    ];

    fn resampled(from: u32, to: u32, input: &[i16]) -> Vec<i16> {
        let mut out = Vec::new();
        Resampler::new(from, to).unwrap().process(input, |sample| out.push(sample));
        out
    }

    /// Resamples half a second of a tone near full scale; returns the second half.
    fn tone(from: u32, to: u32, hz: f64) -> Vec<i16> {
        let input: Vec<i16> =
            (0..from / 2).map(|n| (30_000.0 * (TAU * hz * f64::from(n) / f64::from(from)).sin()) as i16).collect();
        resampled(from, to, &input).split_off(to as usize / 4)
    }

    /// Returns the level of a frequency in a quarter of a second, in dB below the tone.
    fn level(samples: &[i16], rate: u32, hz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = TAU * hz * n as f64 / f64::from(rate);
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
        }
        20.0 * (2.0 * re.hypot(im) / samples.len() as f64 / 30_000.0).log10()
    }

    /// Returns the overall level, in dB below the tone.
    fn level_of_all(samples: &[i16]) -> f64 {
        let power = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64;
        10.0 * (2.0 * power / 30_000.0_f64.powi(2)).max(1e-12).log10()
    }

    /// Lists test frequencies up to 0.85 of the lower band, each with complete periods in a quarter of a second.
    fn passed(from: u32, to: u32) -> impl Iterator<Item = f64> {
        let highest = from.min(to) / 8000 * 3400;
        (100..=highest).step_by(100).map(f64::from)
    }

    #[test]
    fn the_pass_band_is_flat() {
        for (from, to) in PAIRS {
            for hz in passed(from, to) {
                let gain = level(&tone(from, to, hz), to, hz);
                assert!(gain.abs() < 0.02, "{from} to {to}: {hz} Hz by {gain} dB");
            }
        }
    }

    /// A tone in the pass band has no images.
    #[test]
    fn images_are_58_db_down() {
        for (from, to) in PAIRS.into_iter().filter(|(from, to)| from < to) {
            for hz in passed(from, to) {
                let heard = tone(from, to, hz);
                for image in (1..4).flat_map(|n| [f64::from(n * from) - hz, f64::from(n * from) + hz]) {
                    if image <= f64::from(to) / 2.0 {
                        let level = level(&heard, to, image);
                        assert!(level < -58.0, "{from} to {to}: {hz} Hz at {image} Hz by {level} dB");
                    }
                }
            }
        }
    }

    /// A tone in the stop band has no alias.
    #[test]
    fn aliases_are_58_db_down() {
        for (from, to) in PAIRS.into_iter().filter(|(from, to)| from > to) {
            let lowest = to / 8000 * 4600;
            for hz in (lowest..from / 2).step_by(100).map(f64::from) {
                let level = level_of_all(&tone(from, to, hz));
                assert!(level < -58.0, "{from} to {to}: {hz} Hz by {level} dB");
            }
        }
    }

    #[test]
    fn the_delay_is_12_samples_of_the_lower_rate() {
        for (from, to) in PAIRS {
            let delay = 12.0 / f64::from(from.min(to));
            let hz = 1000.0;
            let heard = tone(from, to, hz);
            for (n, sample) in heard.iter().enumerate() {
                let time = 0.25 + n as f64 / f64::from(to) - delay;
                let exact = 30_000.0 * (TAU * hz * time).sin();
                assert!((f64::from(*sample) - exact).abs() < 40.0, "{from} to {to}: {sample} {exact}");
            }
        }
    }

    /// Every second or third sample of the higher rate equals one of the lower rate.
    #[test]
    fn what_goes_up_is_there_as_it_was_and_nothing_drifts() {
        let input: Vec<i16> = (0..480_000_u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 17) as i16 - 16_384).collect();
        for (to, factor) in [(16_000, 2), (24_000, 3)] {
            let out = resampled(8000, to, &input);
            assert_eq!(out.len(), input.len() * factor);
            let kept: Vec<i16> = out.into_iter().step_by(factor).skip(12).collect();
            assert!(kept == input[..input.len() - 12]);
        }
    }

    /// Up and down again, as for an agent that echoes the caller's audio.
    #[test]
    fn there_and_back_is_the_same_3_ms_later() {
        let input: Vec<i16> = (0..8000_u32)
            .map(|n| {
                let tone = |hz: f64| (TAU * hz * f64::from(n) / 8000.0).sin();
                (8000.0 * tone(300.0) + 8000.0 * tone(1100.0) + 8000.0 * tone(3000.0)) as i16
            })
            .collect();
        for rate in [16_000, 24_000] {
            let back = resampled(rate, 8000, &resampled(8000, rate, &input));
            let worst = back[1024..].iter().zip(&input[1000..]).map(|(a, b)| (a - b).abs()).max().unwrap();
            assert!(worst < 40, "{rate}: {worst}");
        }
    }

    #[test]
    fn it_rests_once_its_filter_is_empty() {
        let mut resampler = Resampler::new(24_000, 8000).unwrap();
        assert!(resampler.is_at_rest());
        resampler.process(&[1], |_| ());
        resampler.process(&[0; TAPS - 1], |_| ());
        assert!(!resampler.is_at_rest());
        resampler.process(&[0], |_| ());
        assert!(resampler.is_at_rest());
    }

    #[test]
    fn other_rates_are_refused() {
        for (from, to) in [(8000, 8000), (8000, 48_000), (0, 0), (44_100, 8000), (24_000, 24_000)] {
            assert!(Resampler::new(from, to).is_none());
        }
    }

    proptest! {
        /// The division into blocks changes nothing, and the number of outputs is always the expected one.
        #[test]
        fn chunks_change_nothing(
            input in proptest::collection::vec(any::<i16>(), 0..3000),
            cuts in proptest::collection::vec(0_usize..700, 0..20),
            pair in 0..PAIRS.len(),
        ) {
            let (from, to) = PAIRS[pair];
            let mut resampler = Resampler::new(from, to).unwrap();
            let (mut out, mut rest, mut taken) = (Vec::new(), &input[..], 0);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, later) = rest.split_at(cut.min(rest.len()));
                resampler.process(piece, |sample| out.push(sample));
                rest = later;
                taken += piece.len();
                prop_assert_eq!(out.len(), (taken * to as usize).div_ceil(from as usize));
            }
            prop_assert_eq!(out, resampled(from, to, &input));
        }

        /// Maximum input saturates at full scale and never wraps.
        #[test]
        fn full_scale_does_not_wrap(runs in proptest::collection::vec((any::<bool>(), 1_usize..40), 1..40)) {
            let input: Vec<i16> = runs
                .iter()
                .flat_map(|(high, len)| std::iter::repeat_n(if *high { i16::MAX } else { i16::MIN }, *len))
                .collect();
            for (from, to) in PAIRS {
                let bank = Resampler::new(from, to).unwrap().bank;
                let step = Resampler::new(from, to).unwrap().step;
                for (m, sample) in resampled(from, to, &input).into_iter().enumerate() {
                    let (newest, phase) = (m * step / bank.phases, m * step % bank.phases);
                    let row = &bank.coefficients[phase * bank.taps..][..bank.taps];
                    let exact: i64 = row
                        .iter()
                        .rev()
                        .enumerate()
                        .filter_map(|(ago, by)| Some(i64::from(input[newest.checked_sub(ago)?]) * i64::from(*by)))
                        .sum();
                    let exact = (exact + (1 << (UNITY_BITS - 1))) >> UNITY_BITS;
                    prop_assert_eq!(i64::from(sample), exact.clamp(-32_768, 32_767));
                }
            }
        }
    }
}
