//! Signals of calls: sample rates, rooms, noise, tones and codecs.

use std::f32::consts::{PI, TAU};

use trunkgate_media::codec::{g711, g722, opus};

use super::speech::RATE_HZ;

/// Seeded random numbers (xorshift), the same in each run.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

/// Room of Schroeder's reverberator: delays of the combs, time in which sound decays by 60 dB, and level of the
/// reverberation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) name: &'static str,
    pub(super) delays_ms: [f32; 4],
    pub(super) rt60: f32,
    pub(super) wet_db: f32,
}

/// Kind of line noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noise {
    White,
    /// Mains hum with its harmonics, and hiss.
    Hum,
    /// Low engine noise with varying level.
    Traffic,
    /// Low fan noise.
    Fan,
    /// Several voices of the half at once.
    Babble,
}

/// Codec of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Pcmu,
    Pcma,
    G722,
    Opus,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Draws a random number from 0 to 1.
    pub(super) fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32
    }

    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.next()
    }

    pub(super) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[((self.next() * of.len() as f32) as usize).min(of.len() - 1)]
    }
}

/// Resamples a signal by a windowed sinc.
pub(super) fn resampled(samples: &[f32], from_hz: u32, to_hz: u32) -> Vec<f32> {
    if from_hz == to_hz {
        return samples.to_vec();
    }
    let step = from_hz as f32 / to_hz as f32;
    let cut = 0.94 / step.max(1.0);
    let reach = (16.0 / cut) as isize;
    let count = (samples.len() as f32 / step) as usize;
    let at = |n: usize| {
        let place = f64::from(from_hz) * n as f64 / f64::from(to_hz);
        let (whole, part) = (place.floor() as isize, place.fract() as f32);
        let taps = (1 - reach..=reach).map(|tap| {
            let x = tap as f32 - part;
            let sinc = if x.abs() < 1e-6 { 1.0 } else { (PI * cut * x).sin() / (PI * cut * x) };
            let window = 0.5 + 0.5 * (PI * x / (reach as f32 + 1.0)).cos();
            let sample = usize::try_from(whole + tap).ok().and_then(|at| samples.get(at)).copied().unwrap_or(0.0);
            cut * sinc * window * sample
        });
        taps.sum()
    };
    (0..count).map(at).collect()
}

impl Room {
    /// Adds the reverberation of the room to a signal, which gets longer.
    pub(super) fn fill(&self, signal: &mut [f32]) {
        let mut wet = vec![0.0; signal.len()];
        for ms in self.delays_ms {
            let delay = (ms * RATE_HZ as f32 / 1000.0) as usize;
            let feedback = 10_f32.powf(-3.0 * ms / 1000.0 / self.rt60);
            let mut line = vec![0.0; delay];
            for (n, (to, sample)) in wet.iter_mut().zip(signal.iter()).enumerate() {
                let place = &mut line[n % delay];
                let out = *place;
                *place = sample + feedback * out;
                *to += out * (1.0 - feedback * feedback).sqrt() / 2.0;
            }
        }
        for ms in [5.0, 1.7] {
            let delay = (ms * RATE_HZ as f32 / 1000.0) as usize;
            let mut line = vec![0.0; delay];
            for (n, sample) in wet.iter_mut().enumerate() {
                let place = &mut line[n % delay];
                let (delayed, input) = (*place, *sample);
                *place = input + 0.7 * delayed;
                *sample = delayed - 0.7 * *place;
            }
        }
        let level = 10_f32.powf(self.wet_db / 20.0);
        signal.iter_mut().zip(wet).for_each(|(sample, wet)| *sample += level * wet);
    }
}

/// Generates noise of a kind with this RMS level.
pub(super) fn noise(kind: Noise, count: usize, level: f32, chance: &mut Chance, voices: &[Vec<f32>]) -> Vec<f32> {
    let (mut low, phase, mut voice) = (0.0_f32, chance.between(0.0, TAU), Vec::new());
    if kind == Noise::Babble {
        voice = vec![0.0; count];
        for _ in 0..5 {
            let mut at = (chance.next() * 8000.0) as usize;
            while at < count {
                let words = chance.one(voices);
                voice[at..].iter_mut().zip(words).for_each(|(to, sample)| *to += sample);
                at += words.len() + (chance.next() * 8000.0) as usize;
            }
        }
    }
    let mut samples: Vec<f32> = (0..count)
        .map(|n| {
            let time = n as f32 / RATE_HZ as f32;
            let white = chance.between(-1.0, 1.0);
            match kind {
                Noise::White => white,
                Noise::Hum => {
                    let hum = |harmonic: f32| (TAU * 50.0 * harmonic * time + phase * harmonic).sin() / harmonic;
                    hum(1.0) + hum(2.0) + hum(3.0) + 0.3 * white
                }
                Noise::Traffic | Noise::Fan => {
                    low += (white - low) * 0.08;
                    let slow =
                        if kind == Noise::Traffic { 1.0 + 0.6 * (0.9 * TAU * 0.4 * time + phase).sin() } else { 1.0 };
                    low * slow + 0.02 * white
                }
                Noise::Babble => voice[n],
            }
        })
        .collect();
    let rms = (samples.iter().map(|sample| sample * sample).sum::<f32>() / count.max(1) as f32).sqrt();
    samples.iter_mut().for_each(|sample| *sample *= level / rms.max(1e-9));
    samples
}

/// Generates a tone of several frequencies with soft ends and a peak of 1.
pub(super) fn tone(hz: &[f32], ms: f32) -> Vec<f32> {
    let count = (ms * RATE_HZ as f32 / 1000.0) as usize;
    let ramp = (RATE_HZ / 250) as usize;
    let at = |n: usize| {
        let sum: f32 = hz.iter().map(|hz| (TAU * hz * n as f32 / RATE_HZ as f32).sin()).sum();
        let gain = (n.min(count - n) as f32 / ramp as f32).min(1.0);
        gain * sum / hz.len() as f32
    };
    (0..count).map(at).collect()
}

/// Encodes and decodes a signal of 16 kHz in packets of 20 ms; returns the result at 8 kHz.
pub(super) fn coded(codec: Codec, signal: &[f32]) -> Vec<i16> {
    let whole = |samples: &[f32]| -> Vec<i16> {
        samples.iter().map(|sample| (sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16).collect()
    };
    let narrow = |wide: Vec<i16>| {
        let wide: Vec<f32> = wide.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
        whole(&resampled(&wide, RATE_HZ, 8000))
    };
    match codec {
        Codec::Pcmu => {
            let samples = whole(&resampled(signal, RATE_HZ, 8000));
            samples.iter().map(|sample| g711::decode_ulaw(g711::encode_ulaw(*sample))).collect()
        }
        Codec::Pcma => {
            let samples = whole(&resampled(signal, RATE_HZ, 8000));
            samples.iter().map(|sample| g711::decode_alaw(g711::encode_alaw(*sample))).collect()
        }
        Codec::G722 => {
            let (mut encoder, mut decoder) = (g722::G722Encoder::new(), g722::G722Decoder::new());
            let pairs = whole(signal);
            narrow(pairs.as_chunks::<2>().0.iter().flat_map(|[a, b]| decoder.decode(encoder.encode(*a, *b))).collect())
        }
        Codec::Opus => {
            let mut encoder = opus::OpusEncoder::new(RATE_HZ, opus::OpusPreferences::default());
            let mut decoder = opus::OpusDecoder::new(RATE_HZ);
            let mut heard = Vec::new();
            for frame in whole(signal).chunks_exact(320) {
                let (mut packet, mut samples) = ([0; 500], [0; 320]);
                let bytes = encoder.as_mut().map_or(0, |encoder| encoder.encode(frame, &mut packet));
                let count = decoder.as_mut().and_then(|decoder| decoder.decode(&packet[..bytes], &mut samples));
                heard.extend_from_slice(&samples[..count.unwrap_or(0)]);
            }
            narrow(heard)
        }
    }
}
