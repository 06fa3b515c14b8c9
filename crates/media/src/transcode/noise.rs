//! Comfort noise (RFC 3389) rendered as audio, for a sink that does not accept it.

/// Root mean square of a signal at 0 dBov, which is full scale in 16 bits.
const FULL: f32 = 32_767.0;

/// Generator of comfort noise.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoiseGenerator {
    state: u32,
}

impl NoiseGenerator {
    pub(super) fn new(seed: u32) -> NoiseGenerator {
        NoiseGenerator { state: seed | 1 }
    }

    /// Fills `samples` with noise at the level in a payload's first byte, in dB below full scale (RFC 3389 §3.1).
    pub(super) fn fill(&mut self, payload: &[u8], samples: &mut [i16]) {
        let below = f32::from(payload.first().copied().unwrap_or(127) & 0x7f);
        // Uniform distribution: the peak is √3 of the root mean square.
        let most = FULL * 10.0_f32.powf(-below / 20.0) * 3.0_f32.sqrt();
        for sample in samples {
            // Xorshift: good enough for noise.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 17;
            self.state ^= self.state << 5;
            let even = self.state as i32 as f32 / 2_147_483_648.0;
            *sample = (even * most) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_loud_as_it_says() {
        for below in [10_u8, 30, 50, 70] {
            let mut samples = [0; 8000];
            NoiseGenerator::new(7).fill(&[below], &mut samples);
            let mean = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 8000.0;
            let level = 10.0 * (mean / 32_767.0_f64.powi(2)).log10();
            assert!((level + f64::from(below)).abs() < 0.5, "{below}: {level}");
        }
        let mut samples = [9; 100];
        NoiseGenerator::new(7).fill(&[], &mut samples);
        assert_eq!(samples, [0; 100]);
    }
}
