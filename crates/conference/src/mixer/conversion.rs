//! Conversion of frames between sampling rates.

use trunkgate_resample::Resampler;

use super::rate::SamplingRate;

/// Samples of a frame at the intermediate rate of a two-step conversion: 16 kHz.
const MIDDLE: usize = 320;

/// Conversion of a stream of frames between two rates; 8 and 48 kHz are converted through 16 kHz.
#[derive(Debug, Clone)]
pub(super) struct RateConversion {
    first: Option<Resampler>,
    second: Option<Resampler>,
}

impl RateConversion {
    pub(super) fn new(from: SamplingRate, to: SamplingRate) -> RateConversion {
        let between = |from: SamplingRate, to: SamplingRate| Resampler::new(from.hz(), to.hz());
        let two_steps = from != to && from != SamplingRate::Wide && to != SamplingRate::Wide;
        let (first, second) = if two_steps {
            (between(from, SamplingRate::Wide), between(SamplingRate::Wide, to))
        } else {
            (between(from, to), None)
        };
        RateConversion { first, second }
    }

    /// Converts one frame; `out` has the length of a frame at the target rate.
    pub(super) fn run(&mut self, input: &[i16], out: &mut [i16]) {
        match (&mut self.first, &mut self.second) {
            (Some(first), Some(second)) => {
                let mut middle = [0; MIDDLE];
                fill(first, input, &mut middle);
                fill(second, &middle, out);
            }
            (Some(only), None) | (None, Some(only)) => fill(only, input, out),
            (None, None) => out.iter_mut().zip(input).for_each(|(to, from)| *to = *from),
        }
    }

    /// Returns whether the filters contain only silence.
    pub(super) fn is_at_rest(&self) -> bool {
        [&self.first, &self.second].into_iter().flatten().all(Resampler::is_at_rest)
    }
}

fn fill(resampler: &mut Resampler, input: &[i16], out: &mut [i16]) {
    let mut places = out.iter_mut();
    resampler.process(input, |sample| {
        if let Some(place) = places.next() {
            *place = sample;
        }
    });
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// A tone passes between all rates with the same level and a constant delay.
    #[test]
    fn a_tone_passes_between_all_rates() {
        for (from, to) in SamplingRate::ALL.into_iter().flat_map(|from| SamplingRate::ALL.map(|to| (from, to))) {
            let mut conversion = from.to(to);
            let mut heard = Vec::new();
            for frame in 0..10 {
                let at = |n: usize| TAU * 1000.0 * (frame * from.frame() + n) as f64 / f64::from(from.hz());
                let input: Vec<i16> = (0..from.frame()).map(|n| (10_000.0 * at(n).sin()) as i16).collect();
                let mut out = vec![0; to.frame()];
                conversion.run(&input, &mut out);
                heard.extend(out);
            }
            let settled = &heard[heard.len() / 2..];
            let power = settled.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / settled.len() as f64;
            assert!((power.sqrt() / (10_000.0 / 2_f64.sqrt()) - 1.0).abs() < 0.01, "{from:?} {to:?}");
            let silence = vec![0; from.frame()];
            let mut out = vec![0; to.frame()];
            conversion.run(&silence, &mut out);
            conversion.run(&silence, &mut out);
            assert!(conversion.is_at_rest() && out.iter().all(|sample| *sample == 0));
        }
    }
}
