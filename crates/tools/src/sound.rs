//! Analyses audio: its level, and whether it is noise because it was decoded in the wrong format.
//!
//! Neighbouring samples of speech, music and tones are correlated. Audio decoded in the wrong format is less correlated
//! and louder, because each format maps quiet sounds of the others to values near full scale.

use trunkgate_media::agent::AgentFormat;
use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw};

/// Level below which a block is silent: −50 dBFS, as a fraction of full scale.
const SILENCE: f64 = 0.003;
/// Minimum RMS level of noise, −12 dBFS as a fraction of full scale; speech is quieter on average.
const LOUD: f64 = 0.25;
/// Maximum correlation of noise; speech has a higher one.
const UNLIKE: f64 = 0.5;
/// Factor by which the declared format must be louder than the better one for a wrong format to be reported.
const LOUDER: f64 = 1.25;
/// Minimum gain of correlation in another format for a wrong format to be reported.
const MORE_ALIKE: f64 = 0.05;
/// Size of an analysed block, in bytes: 20 ms at 24 kHz, 16 bits.
const BLOCK_BYTES: usize = 960;
/// Minimum number of blocks with sound for a result.
const BLOCKS: u64 = 5;

/// Measures the level of audio without its silence, and the correlation of neighbouring samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct NoiseMeter {
    blocks: u64,
    samples: f64,
    energy: f64,
    lagged: f64,
}

impl NoiseMeter {
    /// Adds a block of samples.
    pub(crate) fn take(&mut self, block: &[i16]) {
        let samples = block.len() as f64;
        let mean = block.iter().map(|sample| f64::from(*sample)).sum::<f64>() / samples.max(1.0);
        let level = |sample: i16| (f64::from(sample) - mean) / 32_768.0;
        let energy: f64 = block.iter().map(|sample| level(*sample).powi(2)).sum();
        if energy < samples * SILENCE * SILENCE || block.is_empty() {
            return;
        }
        let next = block.iter().skip(1);
        self.lagged += block.iter().zip(next).map(|(one, next)| level(*one) * level(*next)).sum::<f64>();
        self.energy += energy;
        self.samples += samples;
        self.blocks += 1;
    }

    /// Returns the mean level in dBFS; `None` if all audio was silent.
    pub(crate) fn level_db(&self) -> Option<f64> {
        (self.blocks > 0).then(|| 20.0 * self.rms().log10())
    }

    /// Returns whether the audio is loud and uncorrelated.
    pub(crate) fn is_noise(&self) -> bool {
        self.blocks >= BLOCKS && self.rms() >= LOUD && self.alike() < UNLIKE
    }

    fn rms(&self) -> f64 {
        (self.energy / self.samples.max(1.0)).sqrt()
    }

    /// Returns the correlation of neighbouring samples: 1 for equal ones, 0 for white noise.
    fn alike(&self) -> f64 {
        self.lagged / self.energy.max(f64::MIN_POSITIVE)
    }

    fn of(audio: &[u8], decode: impl Fn(&[u8], &mut Vec<i16>)) -> NoiseMeter {
        let (mut sound, mut samples) = (NoiseMeter::default(), Vec::new());
        for block in audio.chunks(BLOCK_BYTES) {
            samples.clear();
            // Blocks of equal bytes are silence in every format.
            if block.iter().any(|byte| Some(byte) != block.first()) {
                decode(block, &mut samples);
                sound.take(&samples);
            }
        }
        sound
    }
}

/// Returns the actual format of audio that is declared as `format`, if it is clearly less noisy in another format.
pub(crate) fn disguised(audio: &[u8], format: AgentFormat) -> Option<&'static str> {
    let ulaw = NoiseMeter::of(audio, |block, out| out.extend(block.iter().map(|code| decode_ulaw(*code))));
    let alaw = NoiseMeter::of(audio, |block, out| out.extend(block.iter().map(|code| decode_alaw(*code))));
    let linear = |sample: fn([u8; 2]) -> i16| {
        let pair = move |pair: &[u8]| pair.try_into().map_or(0, sample);
        NoiseMeter::of(audio, move |block, out| out.extend(block.chunks_exact(2).map(pair)))
    };
    let (little, big) = (linear(i16::from_le_bytes), linear(i16::from_be_bytes));
    let (own, others) = match format {
        AgentFormat::Mulaw8000 => {
            (ulaw, [(little, "linear 16-bit audio"), (big, "linear 16-bit audio"), (alaw, "A-law")])
        }
        AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => {
            (little, [(ulaw, "μ-law"), (alaw, "A-law"), (big, "in network byte order")])
        }
    };
    let (best, what) = others.into_iter().max_by(|(one, _), (other, _)| one.alike().total_cmp(&other.alike()))?;
    let told = own.blocks.min(best.blocks) >= BLOCKS;
    let is_better = best.alike() >= UNLIKE && best.alike() >= own.alike() + MORE_ALIKE;
    (told && is_better && own.rms() >= best.rms() * LOUDER).then_some(what)
}

#[cfg(test)]
mod tests {
    use trunkgate_media::codec::g711::{encode_alaw, encode_ulaw};

    use super::*;

    /// Returns two seconds of a 120 Hz voice with harmonics and breath noise: four syllables a second, with pauses.
    fn voice(rate: f64, peak: f64) -> Vec<i16> {
        let mut seed = 1_u32;
        let sample = |n: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = n as f64 / rate;
            let turn = std::f64::consts::TAU * 120.0 * at;
            let tones: f64 = (1..12).map(|k| (turn * f64::from(k)).sin() / f64::from(k)).sum();
            let breath = f64::from((seed >> 16) as i32 - 32_768) / 400_000.0;
            let syllable = (std::f64::consts::PI * 4.0 * at).sin().max(0.0);
            (peak * syllable * (tones / 2.0 + breath)) as i16
        };
        (0..(rate * 2.0) as usize).map(sample).collect()
    }

    fn noise() -> Vec<i16> {
        let next = |seed: &u32| Some(seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        std::iter::successors(Some(1), next).map(|seed| (seed >> 17) as i16 - 16_384).take(16_000).collect()
    }

    fn little(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    #[test]
    fn audio_in_another_form_is_known() {
        for peak in [2_000.0, 6_000.0, 20_000.0] {
            let narrow = voice(8_000.0, peak);
            let ulaw: Vec<u8> = narrow.iter().map(|sample| encode_ulaw(*sample)).collect();
            let alaw: Vec<u8> = narrow.iter().map(|sample| encode_alaw(*sample)).collect();
            let big: Vec<u8> = narrow.iter().flat_map(|sample| sample.to_be_bytes()).collect();
            for rate in [8_000.0, 16_000.0, 24_000.0] {
                let linear = little(&voice(rate, peak));
                assert_eq!(disguised(&linear, AgentFormat::Mulaw8000), Some("linear 16-bit audio"), "{rate} {peak}");
                assert_eq!(disguised(&linear, AgentFormat::L16Rate16000), None, "{rate} {peak}");
            }
            assert_eq!(disguised(&ulaw, AgentFormat::L16Rate16000), Some("μ-law"), "{peak}");
            assert_eq!(disguised(&ulaw, AgentFormat::Mulaw8000), None, "{peak}");
            assert_eq!(disguised(&alaw, AgentFormat::L16Rate8000), Some("A-law"), "{peak}");
            assert_eq!(disguised(&alaw, AgentFormat::Mulaw8000), Some("A-law"), "{peak}");
            assert_eq!(disguised(&big, AgentFormat::L16Rate8000), Some("in network byte order"), "{peak}");
        }
    }

    #[test]
    fn noise_silence_and_music_are_what_they_are() {
        let tone: Vec<i16> = (0..16_000).map(|n| ((f64::from(n) * 0.35).sin() * 9_000.0) as i16).collect();
        for samples in [noise(), tone, vec![0; 16_000], vec![1; 10]] {
            let ulaw: Vec<u8> = samples.iter().map(|sample| encode_ulaw(*sample)).collect();
            assert_eq!(disguised(&ulaw, AgentFormat::Mulaw8000), None);
            assert_eq!(disguised(&little(&samples), AgentFormat::L16Rate8000), None);
        }
        assert_eq!(disguised(&[], AgentFormat::Mulaw8000), None);
    }

    #[test]
    fn a_level_is_that_of_what_is_heard() {
        let of = |samples: &[i16]| {
            let mut sound = NoiseMeter::default();
            samples.chunks(160).for_each(|block| sound.take(block));
            sound
        };
        assert_eq!(of(&[0; 800]).level_db(), None);
        let spoken = of(&voice(8_000.0, 8_000.0));
        assert!((-30.0..-12.0).contains(&spoken.level_db().unwrap()) && !spoken.is_noise(), "{spoken:?}");
        // Linear audio that is decoded as μ-law.
        let wrong: Vec<i16> = little(&voice(16_000.0, 8_000.0)).into_iter().map(decode_ulaw).collect();
        assert!(of(&wrong).is_noise() && of(&wrong).level_db().unwrap() > -12.0);
        assert!(!of(&voice(8_000.0, 30_000.0)).is_noise());
    }
}
