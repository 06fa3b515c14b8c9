//! GSM 06.10 full rate decoder (ETSI EN 300 961): frames of 33 bytes as in `audio/gsm`, and blocks of two frames as in
//! WAV files.

use super::decode::NarrowbandSink;

/// Sampling rate of the codec, in Hz.
const RATE_HZ: u32 = 8000;
/// Size of a frame with its 4-bit signature, in bytes.
const FRAME_BYTES: usize = 33;
/// Size of a block of two frames without signatures, in bytes.
const BLOCK_BYTES: usize = 65;
/// First four bits of every frame of 33 bytes.
const SIGNATURE: u8 = 0xd;
/// Number of samples of a frame, and of each of its four subframes.
const FRAME_SAMPLES: usize = 160;
const SUBFRAME_SAMPLES: usize = 40;
/// Maximum lag of the long-term prediction, in samples.
const MOST_LAG: usize = 120;
/// Bits of each coded log area ratio.
const RATIO_BITS: [u32; 8] = [6, 6, 5, 5, 4, 4, 3, 3];
/// Number of pulses in a subframe.
const PULSES: usize = 13;

/// Decodes frames of 33 bytes.
pub(super) fn decode_frames(file: &[u8], sink: &mut NarrowbandSink) -> Result<(), String> {
    if file.first().is_none_or(|first| first >> 4 != SIGNATURE) {
        return Err("not GSM 06.10: a frame begins with D in hexadecimal".to_owned());
    }
    let mut decoder = GsmDecoder::default();
    for frame in file.chunks_exact(FRAME_BYTES) {
        let mut bits = GsmBits { bytes: frame, at: 4, is_lowest_first: false };
        push(&mut decoder, &mut bits, RATE_HZ, sink)?;
    }
    Ok(())
}

/// Decodes blocks of 65 bytes with two frames each.
pub(super) fn decode_blocks(blocks: &[u8], rate: u32, sink: &mut NarrowbandSink) -> Result<(), String> {
    let mut decoder = GsmDecoder::default();
    for block in blocks.chunks_exact(BLOCK_BYTES) {
        let mut bits = GsmBits { bytes: block, at: 0, is_lowest_first: true };
        push(&mut decoder, &mut bits, rate, sink)?;
        push(&mut decoder, &mut bits, rate, sink)?;
    }
    Ok(())
}

fn push(decoder: &mut GsmDecoder, bits: &mut GsmBits<'_>, rate: u32, sink: &mut NarrowbandSink) -> Result<(), String> {
    let samples = decoder.decode(&GsmFrame::read(bits));
    sink.push(rate, 1, samples.into_iter().map(|sample| f32::from(sample) / 32_768.0))
}

/// Bit reader of coded frames, in either bit order.
struct GsmBits<'f> {
    bytes: &'f [u8],
    at: usize,
    is_lowest_first: bool,
}

impl GsmBits<'_> {
    fn read_bits(&mut self, count: u32) -> i16 {
        let mut number = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.at / 8).copied().unwrap_or_default();
            let within = self.at % 8;
            self.at += 1;
            if self.is_lowest_first {
                number |= i16::from(byte >> within & 1) << place;
            } else {
                number = number << 1 | i16::from(byte >> (7 - within) & 1);
            }
        }
        number
    }
}

/// Coded parameters of a frame.
struct GsmFrame {
    /// Coded log area ratios.
    ratios: [i16; 8],
    subframes: [Subframe; 4],
}

/// Coded parameters of a subframe.
struct Subframe {
    /// Lag and coded gain of the long-term prediction.
    lag: i16,
    gain: i16,
    /// Position of the first pulse.
    grid: i16,
    /// Coded amplitude of the largest pulse.
    maximum: i16,
    pulses: [i16; PULSES],
}

impl GsmFrame {
    fn read(bits: &mut GsmBits<'_>) -> GsmFrame {
        let ratios = RATIO_BITS.map(|count| bits.read_bits(count));
        let subframes = [(); 4].map(|()| Subframe {
            lag: bits.read_bits(7),
            gain: bits.read_bits(2),
            grid: bits.read_bits(2),
            maximum: bits.read_bits(6),
            pulses: [(); PULSES].map(|()| bits.read_bits(3)),
        });
        GsmFrame { ratios, subframes }
    }
}

/// State of the decoder between two frames.
struct GsmDecoder {
    /// Residual: history for the long-term prediction, followed by the current subframe.
    residual: [i16; MOST_LAG + SUBFRAME_SAMPLES],
    lag: usize,
    /// Log area ratios of the previous frame.
    ratios: [i16; 8],
    /// State of the lattice filter.
    lattice: [i16; 9],
    /// Last output of the de-emphasis filter, before scaling.
    emphasis: i16,
}

impl Default for GsmDecoder {
    fn default() -> GsmDecoder {
        let residual = [0; MOST_LAG + SUBFRAME_SAMPLES];
        GsmDecoder { residual, lag: SUBFRAME_SAMPLES, ratios: [0; 8], lattice: [0; 9], emphasis: 0 }
    }
}

impl GsmDecoder {
    /// Decodes a frame (EN 300 961 §5.3).
    fn decode(&mut self, frame: &GsmFrame) -> [i16; FRAME_SAMPLES] {
        let mut samples = [0; FRAME_SAMPLES];
        for (subframe, into) in frame.subframes.iter().zip(samples.chunks_exact_mut(SUBFRAME_SAMPLES)) {
            self.predict(subframe);
            let residual = self.residual.get(MOST_LAG..).unwrap_or_default();
            into.iter_mut().zip(residual).for_each(|(sample, residual)| *sample = *residual);
        }
        let ratios = decoded_ratios(frame.ratios);
        for (range, weights) in [(0..13, (3, 1)), (13..27, (2, 2)), (27..40, (1, 3)), (40..160, (0, 4))] {
            let coefficients = coefficients(self.ratios, ratios, weights);
            for sample in samples.get_mut(range).unwrap_or_default() {
                *sample = self.filter(coefficients, *sample);
                self.emphasis = add(*sample, multiply(self.emphasis, 28_180));
                *sample = add(self.emphasis, self.emphasis) & !7;
            }
        }
        self.ratios = ratios;
        samples
    }

    /// Computes the residual of a subframe from its pulses and the history (EN 300 961 §5.3.1, §5.3.2).
    fn predict(&mut self, subframe: &Subframe) {
        const GAINS: [i16; 4] = [3277, 11_469, 21_299, 32_767];
        let gain = usize::try_from(subframe.gain).ok().and_then(|gain| GAINS.get(gain)).copied().unwrap_or_default();
        match usize::try_from(subframe.lag) {
            Ok(lag) if (SUBFRAME_SAMPLES..=MOST_LAG).contains(&lag) => self.lag = lag,
            Ok(_) | Err(_) => {}
        }
        self.residual.copy_within(SUBFRAME_SAMPLES.., 0);
        let pulses = decoded_pulses(subframe);
        for (at, pulse) in pulses.into_iter().enumerate() {
            let before = self.residual.get(MOST_LAG + at - self.lag).copied().unwrap_or_default();
            if let Some(now) = self.residual.get_mut(MOST_LAG + at) {
                *now = add(pulse, multiply(gain, before));
            }
        }
    }

    /// Passes a sample through the lattice filter that models the vocal tract (EN 300 961 §5.3.4).
    fn filter(&mut self, coefficients: [i16; 8], sample: i16) -> i16 {
        let mut sample = sample;
        for (stage, coefficient) in coefficients.into_iter().enumerate().rev() {
            let before = self.lattice.get(stage).copied().unwrap_or_default();
            sample = subtract(sample, multiply(coefficient, before));
            if let Some(after) = self.lattice.get_mut(stage + 1) {
                *after = add(before, multiply(coefficient, sample));
            }
        }
        if let Some(first) = self.lattice.first_mut() {
            *first = sample;
        }
        sample
    }
}

/// Returns the pulses of a subframe at their positions (EN 300 961 §5.3.1).
fn decoded_pulses(subframe: &Subframe) -> [i16; SUBFRAME_SAMPLES] {
    const FACTORS: [i16; 8] = [18_431, 20_479, 22_527, 24_575, 26_623, 28_671, 30_719, 32_767];
    let mut exponent = if subframe.maximum > 15 { (subframe.maximum >> 3) - 1 } else { 0 };
    let mut mantissa = subframe.maximum - (exponent << 3);
    if mantissa == 0 {
        (exponent, mantissa) = (-4, 7);
    } else {
        while mantissa <= 7 {
            (exponent, mantissa) = (exponent - 1, mantissa << 1 | 1);
        }
        mantissa -= 8;
    }
    let factor = usize::try_from(mantissa).ok().and_then(|mantissa| FACTORS.get(mantissa)).copied().unwrap_or_default();
    let shift = u32::try_from(6 - exponent).unwrap_or_default();
    let rounding = if shift > 0 { 1 << (shift - 1) } else { 0 };
    let mut placed = [0; SUBFRAME_SAMPLES];
    let first = usize::try_from(subframe.grid).unwrap_or_default();
    for (pulse, into) in subframe.pulses.into_iter().zip(placed.iter_mut().skip(first).step_by(3)) {
        let scaled = multiply(factor, ((pulse << 1) - 7) << 12);
        *into = add(scaled, rounding) >> shift;
    }
    placed
}

/// Decodes the log area ratios of a frame (EN 300 961 §5.3.3).
fn decoded_ratios(coded: [i16; 8]) -> [i16; 8] {
    /// Minimum code, offset and inverse slope of each quantiser.
    const QUANTISERS: [(i16, i16, i16); 8] = [
        (-32, 0, 13_107),
        (-32, 0, 13_107),
        (-16, 2048, 13_107),
        (-16, -2560, 13_107),
        (-8, 94, 19_223),
        (-8, -1792, 17_476),
        (-4, -341, 31_454),
        (-4, -1144, 29_708),
    ];
    let mut ratios = [0; 8];
    for ((ratio, code), (least, offset, slope)) in ratios.iter_mut().zip(coded).zip(QUANTISERS) {
        let scaled = multiply(slope, subtract((code + least) << 10, offset << 1));
        *ratio = add(scaled, scaled);
    }
    ratios
}

/// Returns the reflection coefficients for a part of a frame, interpolated: `weights` are the weights of the previous
/// and the current log area ratios, in quarters.
fn coefficients(before: [i16; 8], now: [i16; 8], weights: (u8, u8)) -> [i16; 8] {
    let part = |ratio: i16, quarters: u8| match quarters {
        0 => 0,
        1 => ratio >> 2,
        2 => ratio >> 1,
        3 => add(ratio >> 2, ratio >> 1),
        _ => ratio,
    };
    let mut coefficients = [0; 8];
    for ((coefficient, before), now) in coefficients.iter_mut().zip(before).zip(now) {
        let ratio = add(part(before, weights.0), part(now, weights.1));
        let size = match ratio.saturating_abs() {
            size if size < 11_059 => size << 1,
            size if size < 20_070 => size + 11_059,
            size => add(size >> 2, 26_112),
        };
        *coefficient = if ratio < 0 { -size } else { size };
    }
    coefficients
}

/// Returns the saturating sum of two numbers (EN 300 961 §5.1).
fn add(one: i16, other: i16) -> i16 {
    one.saturating_add(other)
}

fn subtract(one: i16, other: i16) -> i16 {
    one.saturating_sub(other)
}

/// Returns the rounded product of two fractions (EN 300 961 §5.1).
fn multiply(one: i16, other: i16) -> i16 {
    let product = (i32::from(one) * i32::from(other) + 16_384) >> 15;
    i16::try_from(product).unwrap_or(i16::MAX)
}
