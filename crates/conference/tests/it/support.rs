//! Simulated voices and parties for tests of the mixer.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use trunkgate_conference::{Mixer, PartyId, SamplingRate};

/// Simulated speaker: syllables of a tone in the rhythm of speech.
pub(crate) struct Talker {
    random: ChaCha8Rng,
    hz: f64,
    peak: f64,
    left: u32,
    is_syllable: bool,
    at: u64,
}

impl Talker {
    pub(crate) fn new(seed: u64, hz: f64, peak: f64) -> Talker {
        Talker { random: ChaCha8Rng::seed_from_u64(seed), hz, peak, left: 0, is_syllable: false, at: 0 }
    }

    /// Returns the next 20 ms of the speaker.
    pub(crate) fn frame(&mut self, rate: SamplingRate) -> Vec<i16> {
        if self.left == 0 {
            self.is_syllable = !self.is_syllable;
            let long = !self.is_syllable && self.random.next_u32().is_multiple_of(8);
            self.left = if self.is_syllable { 5 } else { 2 } + self.random.next_u32() % 8 + if long { 50 } else { 0 };
        }
        self.left -= 1;
        let frame = tone(rate, self.hz, if self.is_syllable { self.peak } else { 0.0 }, self.at);
        self.at += 1;
        frame
    }
}

/// Returns frame `at` of a tone.
pub(crate) fn tone(rate: SamplingRate, hz: f64, peak: f64, at: u64) -> Vec<i16> {
    let first = at * rate.frame() as u64;
    let sample = |n: u64| (peak * (TAU * hz * n as f64 / f64::from(rate.hz())).sin()) as i16;
    (0..rate.frame() as u64).map(|n| sample(first + n)).collect()
}

/// Returns full-scale noise.
pub(crate) fn noise(random: &mut ChaCha8Rng, rate: SamplingRate) -> Vec<i16> {
    (0..rate.frame()).map(|_| random.next_u32() as i16).collect()
}

/// Returns the level of a tone in samples, in dB below a full-scale sine.
pub(crate) fn tone_db(samples: &[i16], rate: SamplingRate, hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let angle = TAU * hz * n as f64 / f64::from(rate.hz());
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
    }
    20.0 * (2.0 * re.hypot(im) / samples.len() as f64 / 32_768.0).max(1e-6).log10()
}

/// Returns the overall level of samples, in dB below a full-scale square wave.
pub(crate) fn level_db(samples: &[i16]) -> f64 {
    let power = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64;
    10.0 * (power / 32_768.0_f64.powi(2)).max(1e-12).log10()
}

/// Returns the audio for a party in a tick; silence if there is none.
pub(crate) fn heard(mixer: &Mixer, id: PartyId, rate: SamplingRate) -> Vec<i16> {
    mixer.heard(id).map_or_else(|| vec![0; rate.frame()], |heard| heard.samples.to_vec())
}
