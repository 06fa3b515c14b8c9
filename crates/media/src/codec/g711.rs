//! G.711: μ-law (PCMU) and A-law (PCMA) to and from 16-bit linear samples, bit-exact with the reference code of ITU-T
//! G.191 (`ulaw_compress`, `alaw_compress` and their inverses). Tables are computed at compile time.

/// RTP clock rate and sampling rate of G.711, in Hz.
pub const CLOCK_HZ: u32 = 8000;
/// Code of a silent μ-law sample.
pub(crate) const ULAW_SILENCE: u8 = 0xff;
/// Code of a silent A-law sample.
pub(crate) const ALAW_SILENCE: u8 = 0xd5;

/// Bits of a 16-bit sample that μ-law ignores: it uses the upper 14, A-law the upper 12.
const ULAW_SHIFT: u32 = 2;
const ALAW_SHIFT: u32 = 4;

static ULAW_ENCODED: [u8; 1 << 14] = ulaw_encoded();
static ALAW_ENCODED: [u8; 1 << 12] = alaw_encoded();
static ULAW_DECODED: [i16; 256] = ulaw_decoded();
static ALAW_DECODED: [i16; 256] = alaw_decoded();
static ALAW_TO_ULAW: [u8; 256] = alaw_to_ulaw_codes();
static ULAW_TO_ALAW: [u8; 256] = ulaw_to_alaw_codes();

/// Encodes a linear 16-bit sample as μ-law.
pub fn encode_ulaw(sample: i16) -> u8 {
    ULAW_ENCODED.get(usize::from(sample as u16 >> ULAW_SHIFT)).copied().unwrap_or(ULAW_SILENCE)
}

/// Decodes a μ-law code to a linear 16-bit sample.
pub fn decode_ulaw(code: u8) -> i16 {
    ULAW_DECODED.get(usize::from(code)).copied().unwrap_or(0)
}

/// Encodes a linear 16-bit sample as A-law.
pub fn encode_alaw(sample: i16) -> u8 {
    ALAW_ENCODED.get(usize::from(sample as u16 >> ALAW_SHIFT)).copied().unwrap_or(ALAW_SILENCE)
}

/// Decodes an A-law code to a linear 16-bit sample.
pub fn decode_alaw(code: u8) -> i16 {
    ALAW_DECODED.get(usize::from(code)).copied().unwrap_or(0)
}

/// Converts an A-law code to μ-law through its linear sample.
pub fn alaw_to_ulaw(code: u8) -> u8 {
    ALAW_TO_ULAW.get(usize::from(code)).copied().unwrap_or(ULAW_SILENCE)
}

/// Converts a μ-law code to A-law through its linear sample.
pub fn ulaw_to_alaw(code: u8) -> u8 {
    ULAW_TO_ALAW.get(usize::from(code)).copied().unwrap_or(ALAW_SILENCE)
}

/// Returns the one's complement magnitude of a sample: G.191 mirrors negative samples so that -1 is 0.
const fn magnitude(sample: i16) -> i32 {
    (if sample < 0 { !sample } else { sample }) as i32
}

/// Computes the table entry for [`encode_ulaw`].
pub(crate) const fn ulaw_rule(sample: i16) -> u8 {
    let mut biased = (magnitude(sample) >> ULAW_SHIFT) + 33;
    if biased > 0x1fff {
        biased = 0x1fff;
    }
    let mut segment = 1;
    while biased >> (5 + segment) != 0 {
        segment += 1;
    }
    let code = (8 - segment) << 4 | (0xf - (biased >> segment & 0xf));
    code as u8 | if sample >= 0 { 0x80 } else { 0 }
}

const fn alaw_rule(sample: i16) -> u8 {
    let mut code = magnitude(sample) >> ALAW_SHIFT;
    if code > 15 {
        let mut exponent = 1;
        while code > 31 {
            code >>= 1;
            exponent += 1;
        }
        code = code - 16 + (exponent << 4);
    }
    (code as u8 | if sample >= 0 { 0x80 } else { 0 }) ^ 0x55
}

const fn ulaw_encoded() -> [u8; 1 << 14] {
    let mut table = [0; 1 << 14];
    let mut at = 0;
    while at < table.len() {
        table[at] = ulaw_rule((at << ULAW_SHIFT) as u16 as i16);
        at += 1;
    }
    table
}

const fn alaw_encoded() -> [u8; 1 << 12] {
    let mut table = [0; 1 << 12];
    let mut at = 0;
    while at < table.len() {
        table[at] = alaw_rule((at << ALAW_SHIFT) as u16 as i16);
        at += 1;
    }
    table
}

const fn ulaw_decoded() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        let inverted = !(code as u8);
        let exponent = (inverted >> 4 & 7) as i32;
        let mantissa = (inverted & 0xf) as i32;
        let step = 8 << exponent;
        let value = (0x80 << exponent) + step * mantissa + step / 2 - 4 * 33;
        table[code] = (if code < 0x80 { -value } else { value }) as i16;
        code += 1;
    }
    table
}

const fn alaw_decoded() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        let plain = (code as u8 ^ 0x55) & 0x7f;
        let exponent = (plain >> 4) as i32;
        let mut value = (plain & 0xf) as i32;
        if exponent > 0 {
            value += 16;
        }
        value = (value << 4) + 8;
        if exponent > 1 {
            value <<= exponent - 1;
        }
        table[code] = (if code > 127 { value } else { -value }) as i16;
        code += 1;
    }
    table
}

const fn alaw_to_ulaw_codes() -> [u8; 256] {
    let samples = alaw_decoded();
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        table[code] = ulaw_rule(samples[code]);
        code += 1;
    }
    table
}

const fn ulaw_to_alaw_codes() -> [u8; 256] {
    let samples = ulaw_decoded();
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        table[code] = alaw_rule(samples[code]);
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes by the decision values x₁…x₁₂₈ of G.711 tables 2a and 2b: segments with doubling steps, in 14-bit units,
    /// biased by 33.
    fn ulaw_by_decision_values(sample: i16) -> u8 {
        let x = i32::from(if sample < 0 { !sample } else { sample }) >> 2;
        let mut code = 0;
        let mut upper = 0;
        'search: for segment in 0..8 {
            for step in 0..16 {
                // The first interval of the first segment is half as wide.
                upper += if segment == 0 && step == 0 { 1 } else { 2 << segment };
                if x < upper || (segment, step) == (7, 15) {
                    code = segment * 16 + step;
                    break 'search;
                }
            }
        }
        let code = (0x7f - code) as u8;
        if sample < 0 { code } else { code | 0x80 }
    }

    /// Encodes by the decision values of G.711 tables 1a and 1b: the first two segments have steps of 2 in 13-bit
    /// units, each further one doubles.
    fn alaw_by_decision_values(sample: i16) -> u8 {
        let x = i32::from(if sample < 0 { !sample } else { sample }) >> 3;
        let mut upper = 0;
        let mut code = 127;
        'search: for segment in 0..8i32 {
            for step in 0..16 {
                upper += 2 << (segment - 1).max(0);
                if x < upper {
                    code = segment * 16 + step;
                    break 'search;
                }
            }
        }
        let code = code as u8;
        (if sample < 0 { code } else { code | 0x80 }) ^ 0x55
    }

    #[test]
    fn g711_tables_over_every_sample() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(encode_ulaw(sample), ulaw_rule(sample), "{sample}");
            assert_eq!(encode_alaw(sample), alaw_rule(sample), "{sample}");
            assert_eq!(encode_ulaw(sample), ulaw_by_decision_values(sample), "{sample}");
            assert_eq!(encode_alaw(sample), alaw_by_decision_values(sample), "{sample}");
        }
    }

    #[test]
    fn every_code_comes_back() {
        for code in 0..=255 {
            // μ-law has two zeroes.
            let same = if code == 0x7f { 0xff } else { code };
            assert_eq!(encode_ulaw(decode_ulaw(code)), same, "{code}");
            assert_eq!(encode_alaw(decode_alaw(code)), code, "{code}");
        }
    }

    #[test]
    fn from_law_to_law_as_by_the_samples() {
        for code in 0..=255 {
            assert_eq!(alaw_to_ulaw(code), encode_ulaw(decode_alaw(code)), "{code}");
            assert_eq!(ulaw_to_alaw(code), encode_alaw(decode_ulaw(code)), "{code}");
        }
        assert_eq!(ulaw_to_alaw(ULAW_SILENCE), ALAW_SILENCE);
    }

    #[test]
    fn known_values() {
        assert_eq!((decode_ulaw(ULAW_SILENCE), decode_ulaw(0x80), decode_ulaw(0x00)), (0, 32_124, -32_124));
        assert_eq!((decode_alaw(ALAW_SILENCE), decode_alaw(0xaa), decode_alaw(0x2a)), (8, 32_256, -32_256));
        for (linear, ulaw) in [(0, 0xff), (-1, 0x7f), (32_767, 0x80), (-32_768, 0x00), (1000, 0xce), (-1000, 0x4e)] {
            assert_eq!(encode_ulaw(linear), ulaw, "{linear}");
        }
        for (linear, alaw) in [(0, 0xd5), (-1, 0x55), (32_767, 0xaa), (-32_768, 0x2a), (1000, 0xfa), (-1000, 0x7a)] {
            assert_eq!(encode_alaw(linear), alaw, "{linear}");
        }
    }
}
