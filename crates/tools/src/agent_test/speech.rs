//! Default words of the test's caller, in μ-law: two seconds of synthetic vowels with pauses, which voice detectors
//! recognise as speech.

use std::f64::consts::TAU;
use std::sync::Arc;

use trunkgate_media::codec::g711::encode_ulaw;

const RATE_HZ: f64 = 8_000.0;
/// Syllables: pitch in Hz, first two formants in Hz.
const SYLLABLES: [(f64, f64, f64); 8] = [
    (132.0, 730.0, 1_090.0),
    (140.0, 270.0, 2_290.0),
    (128.0, 570.0, 840.0),
    (145.0, 530.0, 1_840.0),
    (135.0, 300.0, 870.0),
    (126.0, 660.0, 1_720.0),
    (120.0, 730.0, 1_090.0),
    (112.0, 440.0, 1_020.0),
];
/// Lengths of a syllable with its pause and of its sound alone, in samples: 250 ms and 190 ms.
const SYLLABLE: usize = 2_000;
const SOUNDING: usize = 1_520;

/// Returns two seconds of synthetic speech.
pub(super) fn synthetic() -> Arc<[u8]> {
    let syllable = |&(pitch, first, second): &(f64, f64, f64)| {
        (0..SYLLABLE).map(move |n| {
            let swell = (TAU / 2.0 * (n as f64 / SOUNDING as f64)).sin();
            if n >= SOUNDING {
                return 0xff;
            }
            let seconds = n as f64 / RATE_HZ;
            // Harmonics are louder near a formant.
            let voice: f64 = (1..=24)
                .map(|k| f64::from(k) * pitch)
                .map(|hz| {
                    let near = |formant: f64| (-((hz - formant) / 180.0).powi(2)).exp();
                    (0.05 + near(first) + 0.6 * near(second)) * (TAU * hz * seconds).sin()
                })
                .sum();
            encode_ulaw((voice * swell * 4_500.0).clamp(-30_000.0, 30_000.0) as i16)
        })
    };
    SYLLABLES.iter().flat_map(syllable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_media::codec::g711::decode_ulaw;

    #[test]
    fn it_is_loud_enough_and_has_pauses() {
        let speech = synthetic();
        assert_eq!(speech.len(), 16_000);
        let loud = |from: usize, to: usize| {
            let sum: f64 = speech[from..to].iter().map(|code| f64::from(decode_ulaw(*code)).powi(2)).sum();
            (sum / (to - from) as f64).sqrt()
        };
        for n in 0..8 {
            assert!(loud(n * SYLLABLE, n * SYLLABLE + SOUNDING) > 1_000.0, "{n}");
            assert!(loud(n * SYLLABLE + SOUNDING, (n + 1) * SYLLABLE) < 1.0, "{n}");
        }
    }
}
