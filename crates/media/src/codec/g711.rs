//! G.711 (ITU-T G.711): one byte a sample at 8,000 samples a second, logarithmic. Linear samples are 16 bits wide.

/// μ-law's bias: makes every segment begin at a power of two.
const BIAS: i32 = 0x84;
/// The largest magnitude that μ-law can say, on the 16-bit scale.
const CLIP: i32 = 32_635;

/// One sample to μ-law.
pub fn encode_ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    // Between 7 (only the bias) and 14 (the highest segment).
    let top = 31 - magnitude.leading_zeros();
    let exponent = top - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | ((exponent as u8) << 4) | mantissa as u8)
}

/// One μ-law byte to a sample.
pub fn decode_ulaw(byte: u8) -> i16 {
    let byte = !byte;
    let exponent = (byte >> 4) & 7;
    let magnitude = (((i32::from(byte & 0x0f) << 3) + BIAS) << exponent) - BIAS;
    (if byte & 0x80 != 0 { -magnitude } else { magnitude }) as i16
}

/// One sample to A-law.
pub fn encode_alaw(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 { (0, !i32::from(sample)) } else { (0x80, i32::from(sample)) };
    let top = 31 - (magnitude | 0xff).leading_zeros();
    let byte = if magnitude < 256 {
        magnitude >> 4
    } else {
        let exponent = top - 7;
        ((exponent as i32) << 4) | ((magnitude >> (exponent + 3)) & 0x0f)
    };
    (byte as u8 | sign) ^ 0x55
}

/// One A-law byte to a sample.
pub fn decode_alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let exponent = (byte >> 4) & 7;
    let mantissa = (i32::from(byte & 0x0f) << 4) + 8;
    let magnitude = if exponent == 0 { mantissa } else { (mantissa + 0x100) << (exponent - 1) };
    (if byte & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn itu_g711_known_values() {
        for (linear, ulaw) in [(0, 0xff), (-1, 0x7f), (32_767, 0x80), (-32_768, 0x00), (1000, 0xce), (-1000, 0x4e)] {
            assert_eq!(encode_ulaw(linear), ulaw, "{linear}");
        }
        for (linear, alaw) in [(0, 0xd5), (-1, 0x55), (32_767, 0xaa), (-32_768, 0x2a), (1000, 0xfa), (-1000, 0x7a)] {
            assert_eq!(encode_alaw(linear), alaw, "{linear}");
        }
        assert_eq!((decode_ulaw(0x80), decode_ulaw(0x00), decode_ulaw(0xff)), (32_124, -32_124, 0));
        assert_eq!((decode_alaw(0xaa), decode_alaw(0x2a), decode_alaw(0xd5)), (32_256, -32_256, 8));
    }

    #[test]
    fn every_byte_survives_a_round_trip() {
        for byte in 0..=255u8 {
            // μ-law has two zeros, which mean the same sample.
            if byte != 0x7f {
                assert_eq!(encode_ulaw(decode_ulaw(byte)), byte);
            }
            assert_eq!(encode_alaw(decode_alaw(byte)), byte);
        }
    }

    #[test]
    fn encoding_never_falls_as_the_sample_rises() {
        let rising = |decode: fn(u8) -> i16, encode: fn(i16) -> u8| {
            (i16::MIN..i16::MAX).all(|s| decode(encode(s)) <= decode(encode(s + 1)))
        };
        assert!(rising(decode_ulaw, encode_ulaw));
        assert!(rising(decode_alaw, encode_alaw));
    }
}
