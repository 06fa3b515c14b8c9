//! Level of audio: mean absolute sample value, out of 32,768.

use super::g711::decode_ulaw;

/// Returns the level of linear samples from an iterator.
pub(crate) fn level_of(samples: impl ExactSizeIterator<Item = i16>) -> u16 {
    let count = samples.len();
    mean(samples.map(i16::unsigned_abs), count)
}

/// Returns the level of linear samples.
pub(crate) fn level(samples: &[i16]) -> u16 {
    mean(samples.iter().map(|sample| sample.unsigned_abs()), samples.len())
}

/// Returns the level of μ-law codes.
pub(crate) fn ulaw_level(codes: &[u8]) -> u16 {
    mean(codes.iter().map(|code| decode_ulaw(*code).unsigned_abs()), codes.len())
}

fn mean(samples: impl Iterator<Item = u16>, count: usize) -> u16 {
    let sum: u64 = samples.map(u64::from).sum();
    u16::try_from(sum / (count as u64).max(1)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::g711::{ULAW_SILENCE, encode_ulaw};

    #[test]
    fn the_mean_without_sign() {
        assert_eq!((level(&[]), level(&[0; 9]), level(&[100, -100, 50, -50])), (0, 0, 75));
        assert_eq!(level(&[i16::MIN; 480]), 32_768);
        assert_eq!((ulaw_level(&[]), ulaw_level(&[ULAW_SILENCE, 0x7f])), (0, 0));
        assert_eq!(ulaw_level(&[encode_ulaw(1000), encode_ulaw(-1000)]), decode_ulaw(encode_ulaw(1000)) as u16);
    }
}
