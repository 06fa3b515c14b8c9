//! G.722 at 64 kbit/s (mode 1 of ITU-T G.722): 16-bit linear samples at 16 kHz to and from one byte for two samples.
//! The signal is split into two bands, each coded by an adaptive differential code; the arithmetic follows the
//! Recommendation block by block and is bit-exact.
//!
//! The RTP clock is 8 kHz all the same (RFC 3551 §4.5.2).

/// Sampling rate of G.722 audio, in Hz.
pub const RATE_HZ: u32 = 16_000;

/// Decision levels of the lower band's 60-level quantiser (QUANTL).
const LEVELS: [i32; 31] = [
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
    1458, 1612, 1765, 1980, 2195, 2557, 2919, 0,
];
/// Codes of negative and of positive differences, by level (QUANTL).
const LOW_NEGATIVE: [u8; 31] = [
    0, 63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4,
];
const LOW_POSITIVE: [u8; 31] = [
    0, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34,
    33, 32,
];
/// Inverse quantisers of 4 and 6 bits (lower band) and of 2 bits (higher band).
const LOW_4: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];
const LOW_6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
const HIGH_2: [i32; 4] = [-7408, -1616, 7408, 1616];
/// Increments of the logarithmic scale factor by code (LOGSCL, LOGSCH).
const LOW_STEPS: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
const LOW_STEP_OF: [u8; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
const HIGH_STEP_OF: [i32; 4] = [798, -214, 798, -214];
/// Linear scale factors by their logarithm (SCALEL, SCALEH).
const SCALES: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
/// First half of the symmetric quadrature mirror filter.
const MIRROR: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// Clamps to 16 bits, as in the arithmetic of the Recommendation.
fn saturated(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

/// Predictor and scale factor of one band, identical in encoder and decoder so that both adapt alike.
#[derive(Debug, Clone, Copy)]
struct SubBand {
    /// Predicted signal, and its part from the zeroes.
    s: i32,
    sz: i32,
    /// Reconstructed signals, and partially reconstructed ones without the part of the poles; the newest first.
    r: [i32; 2],
    p: [i32; 2],
    /// Coefficients of the poles and of the zeroes.
    a: [i32; 2],
    b: [i32; 6],
    /// Quantised differences, the newest first.
    d: [i32; 6],
    /// Scale factor and its logarithm.
    scale: i32,
    log: i32,
}

impl SubBand {
    const fn new(scale: i32) -> SubBand {
        SubBand { s: 0, sz: 0, r: [0; 2], p: [0; 2], a: [0; 2], b: [0; 6], d: [0; 6], scale, log: 0 }
    }

    /// Adapts the scale factor: LOGSCL and SCALEL (`most` 18432, `shift` 8), LOGSCH and SCALEH (22528, 10).
    fn adapt_scale(&mut self, step: i32, most: i32, shift: i32) {
        self.log = (((self.log * 127) >> 7) + step).clamp(0, most);
        let mantissa = SCALES[(self.log >> 6) as usize & 31];
        let down = shift - (self.log >> 11);
        self.scale = (if down < 0 { mantissa << -down } else { mantissa >> down }) << 2;
    }

    /// Feeds a quantised difference into block 4 and predicts the next sample.
    fn predict(&mut self, d: i32) {
        // RECONS, PARREC.
        let r = saturated(self.s + d);
        let p = saturated(self.sz + d);
        let negative = |value: i32| value >> 31;
        let same = |before: i32| negative(p) == negative(before);
        // UPPOL2.
        let by = saturated(self.a[0] << 2);
        let by = if same(self.p[0]) { -by } else { by }.min(32_767);
        let toward = if same(self.p[1]) { 128 } else { -128 };
        let second = (toward + (by >> 7) + ((self.a[1] * 32_512) >> 15)).clamp(-12_288, 12_288);
        // UPPOL1.
        let toward = if same(self.p[0]) { 192 } else { -192 };
        let most = saturated(15_360 - second);
        let first = saturated(toward + ((self.a[0] * 32_640) >> 15)).clamp(-most, most);
        // UPZERO.
        let step = if d == 0 { 0 } else { 128 };
        for (b, before) in self.b.iter_mut().zip(self.d) {
            let toward = if negative(before) == negative(d) { step } else { -step };
            *b = saturated(toward + ((*b * 32_640) >> 15));
        }
        // DELAYA.
        self.d.rotate_right(1);
        self.d[0] = d;
        self.r = [r, self.r[0]];
        self.p = [p, self.p[0]];
        self.a = [first, second];
        // FILTEP, FILTEZ, PREDIC.
        let product = |by: i32, value: i32| (by * saturated(value + value)) >> 15;
        let poles = saturated(product(self.a[0], self.r[0]) + product(self.a[1], self.r[1]));
        self.sz = saturated(self.b.iter().zip(self.d).map(|(b, d)| product(*b, d)).sum());
        self.s = saturated(poles + self.sz);
    }

    /// Adapts the lower band to the upper four bits of its 6-bit code.
    fn take_low(&mut self, code: usize) {
        let d = (self.scale * LOW_4[code & 15]) >> 15;
        self.adapt_scale(LOW_STEPS[usize::from(LOW_STEP_OF[code & 15])], 18_432, 8);
        self.predict(d);
    }

    /// Adapts the higher band to a code and its quantised difference `d`.
    fn take_high(&mut self, code: usize, d: i32) {
        self.adapt_scale(HIGH_STEP_OF[code & 3], 22_528, 10);
        self.predict(d);
    }
}

/// G.722 encoder from samples to bytes.
#[derive(Debug, Clone)]
pub struct G722Encoder {
    low: SubBand,
    high: SubBand,
    /// Input of the quadrature mirror filter, the newest sample last.
    samples: [i32; 24],
}

impl G722Encoder {
    /// Creates an encoder in its initial state.
    pub fn new() -> G722Encoder {
        G722Encoder { low: SubBand::new(32), high: SubBand::new(8), samples: [0; 24] }
    }

    /// Encodes two consecutive samples as one byte.
    pub fn encode(&mut self, first: i16, second: i16) -> u8 {
        self.samples.rotate_left(2);
        self.samples[22] = i32::from(first);
        self.samples[23] = i32::from(second);
        let (mut odd, mut even) = (0, 0);
        for (at, pair) in self.samples.as_chunks::<2>().0.iter().enumerate() {
            odd += pair[0] * MIRROR[at];
            even += pair[1] * MIRROR[11 - at];
        }
        let (low, high) = ((even + odd) >> 14, (even - odd) >> 14);
        // SUBTRA, QUANTL.
        let e = saturated(low - self.low.s);
        let magnitude = if e >= 0 { e } else { -(e + 1) };
        let below = |level: &usize| magnitude < (LEVELS[*level] * self.low.scale) >> 12;
        let level = (1..30).find(below).unwrap_or(30);
        let low = if e < 0 { LOW_NEGATIVE[level] } else { LOW_POSITIVE[level] };
        self.low.take_low(usize::from(low >> 2));
        // SUBTRA, QUANTH, INVQAH.
        let e = saturated(high - self.high.s);
        let magnitude = if e >= 0 { e } else { -(e + 1) };
        let far = magnitude >= (564 * self.high.scale) >> 12;
        let high: u8 = match (e < 0, far) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        let d = (self.high.scale * HIGH_2[usize::from(high)]) >> 15;
        self.high.take_high(usize::from(high), d);
        high << 6 | low
    }
}

impl Default for G722Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// G.722 decoder from bytes to samples.
#[derive(Debug, Clone)]
pub struct G722Decoder {
    low: SubBand,
    high: SubBand,
    /// Sums and differences of the two bands, the newest last.
    samples: [i32; 24],
}

impl G722Decoder {
    /// Creates a decoder in its initial state.
    pub fn new() -> G722Decoder {
        G722Decoder { low: SubBand::new(32), high: SubBand::new(8), samples: [0; 24] }
    }

    /// Decodes one byte into two consecutive samples.
    pub fn decode(&mut self, code: u8) -> [i16; 2] {
        let (low, high) = (usize::from(code & 0x3f), usize::from(code >> 6));
        // INVQBL, RECONS, LIMIT.
        let d = (self.low.scale * LOW_6[low]) >> 15;
        let lower = (self.low.s + d).clamp(-16_384, 16_383);
        self.low.take_low(low >> 2);
        let d = (self.high.scale * HIGH_2[high]) >> 15;
        let higher = (self.high.s + d).clamp(-16_384, 16_383);
        self.high.take_high(high, d);
        self.samples.rotate_left(2);
        self.samples[22] = lower + higher;
        self.samples[23] = lower - higher;
        let (mut first, mut second) = (0, 0);
        for (at, pair) in self.samples.as_chunks::<2>().0.iter().enumerate() {
            second += pair[0] * MIRROR[at];
            first += pair[1] * MIRROR[11 - at];
        }
        // No truncation: both values fit into 16 bits.
        [saturated(first >> 11) as i16, saturated(second >> 11) as i16]
    }
}

impl Default for G722Decoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// Returns noise with a change of volume every 1000 samples.
    fn noise() -> Vec<i16> {
        let mut state = 1_u32;
        let sample = |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (((state >> 16) as i32 - 32_768) >> (n / 1000 % 5)) as i16
        };
        (0..8000).map(sample).collect()
    }

    /// FNV-1a.
    fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
        bytes
            .into_iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    fn encoded(samples: &[i16]) -> Vec<u8> {
        let mut encoder = G722Encoder::new();
        samples.as_chunks::<2>().0.iter().map(|[first, second]| encoder.encode(*first, *second)).collect()
    }

    fn decoded(codes: &[u8]) -> Vec<i16> {
        let mut decoder = G722Decoder::new();
        codes.iter().flat_map(|code| decoder.decode(*code)).collect()
    }

    /// Compares with the output of FFmpeg 5.1.9 for the same samples and bytes.
    #[test]
    fn the_same_bytes_and_samples_as_another_implementation() {
        let codes = encoded(&noise());
        assert_eq!((codes.len(), hash(codes.iter().copied())), (4000, 0x3627_69cf_424e_1a11));
        assert_eq!(hash(decoded(&codes).iter().flat_map(|sample| sample.to_le_bytes())), 0xee83_3eb0_eaf3_3131);
    }

    #[test]
    fn a_tone_comes_back_as_loud() {
        for hz in [300.0, 1000.0, 3000.0, 5000.0, 6500.0] {
            let tone: Vec<i16> =
                (0..16_000).map(|n| (8000.0 * (TAU * hz * f64::from(n) / 16_000.0).sin()) as i16).collect();
            let back = decoded(&encoded(&tone));
            let power = |samples: &[i16]| samples[8000..].iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
            let level = 10.0 * (power(&back) / power(&tone)).log10();
            assert!(level.abs() < 0.5, "{hz} Hz by {level} dB");
        }
    }

    #[test]
    fn any_bytes_are_samples() {
        let codes: Vec<u8> = noise().iter().map(|sample| (sample >> 3) as u8).collect();
        assert_eq!(decoded(&codes).len(), 16_000);
        assert_eq!(encoded(&[i16::MAX, i16::MIN].repeat(4000)).len(), 4000);
    }
}
