//! Test audio of phones, in which a tone and speech alternate, and the judgement of the audio at the other end of a
//! call: level, SNR, clicks and gaps.

use std::f64::consts::{PI, TAU};

use anyhow::{Context as _, bail};

use super::rtp::fit;

/// Amplitude of the test tone.
pub(crate) const AMPLITUDE: f64 = 8_000.0;
/// Seconds of tone in a period, and of speech after it.
const TONE: f64 = 1.5;
const SPEECH: f64 = 1.5;
/// Period of the test audio in seconds.
pub(crate) const PERIOD: f64 = TONE + SPEECH;
/// Seconds omitted at both ends of the tone, during which codecs settle.
const SETTLING: f64 = 0.15;
/// Part of a period, in seconds, that is searched for in the received audio: speech.
const SEARCHED: (f64, f64) = (TONE + 0.2, TONE + 0.9);
/// Length of the frames of the loudness curve, in seconds.
const FRAME: f64 = 0.005;
/// Length of the judged sections of speech, in seconds.
const PIECE: f64 = 0.25;
/// Minimum correlation at which the speech counts as found.
const LIKENESS: f64 = 0.5;
/// First and second formant of each vowel, in Hz.
const VOWELS: [(f64, f64); 5] = [(700.0, 1_200.0), (300.0, 2_300.0), (400.0, 2_000.0), (450.0, 900.0), (320.0, 800.0)];

/// Received audio with its sample rate.
#[derive(Debug, Clone)]
pub(crate) struct Sound {
    /// Samples per second.
    pub(crate) rate_hz: u32,
    /// Samples of one channel.
    pub(crate) samples: Vec<f64>,
}

/// Quality of a tone and of speech; all figures except the last are relative to the audio sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judgement {
    /// Level change of the tone, in dB.
    pub(crate) tone_level_db: f64,
    /// SNR of the tone, in dB.
    pub(crate) tone_snr_db: f64,
    /// Level change of the speech, in dB.
    pub(crate) speech_level_db: f64,
    /// SNR of the speech in dB: the median of its sections.
    pub(crate) speech_snr_db: f64,
    /// Largest click in the tone, relative to its amplitude: see [`click`].
    pub(crate) click: f64,
    /// Level in dB of the softest 10 ms of the tone, relative to the whole tone.
    pub(crate) softest_db: f64,
}

/// Returns the sample of a tone at a time, in seconds.
pub(crate) fn tone(hz: u32, t: f64) -> f64 {
    AMPLITUDE * (TAU * f64::from(hz) * t).sin()
}

/// Returns the sample of a tone with pauses like syllables, because continuous sound counts as noise.
pub(crate) fn syllables(hz: u32, t: f64) -> f64 {
    if (t * 2.5).fract() < 0.6 { tone(hz, t) } else { 0.0 }
}

/// Returns the sample of the test audio at a time, in seconds: tone and speech alternate without end.
pub(crate) fn said(hz: u32, t: f64) -> f64 {
    let t = t.rem_euclid(PERIOD);
    if t < TONE { tone(hz, t) } else { speech(t - TONE) }
}

/// Returns the sample of speech-like audio: harmonics of a moving pitch, and vowels of 200 ms each, one of which is
/// silent.
pub(crate) fn speech(t: f64) -> f64 {
    let syllable = t / 0.2;
    // Truncation is intended, and nothing is negative here.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let number = syllable as usize;
    let Some((first, second)) = VOWELS.get(number % 6) else { return 0.0 };
    // Integral of a pitch of 150 Hz that varies by 25 Hz.
    let phase = 150.0 * t + 25.0 / (TAU * 1.7) * (TAU * 1.7 * t).sin();
    let resonance = |hz: f64, formant: f64| 1.0 / (1.0 + ((hz - formant) / 90.0).powi(2));
    let harmonic = |n: u32| {
        let hz = 150.0 * f64::from(n);
        (resonance(hz, *first) + 0.5 * resonance(hz, *second)) * (TAU * phase * f64::from(n)).sin()
    };
    7_000.0 * (PI * syllable.fract()).sin().powi(2) * (1..=20).map(harmonic).sum::<f64>()
}

/// Returns a 16-bit WAV file with the same audio in each channel.
pub(crate) fn wav(rate_hz: u32, channels: u16, seconds: u32, sample: impl Fn(f64) -> f64) -> Vec<u8> {
    let (frames, frame) = (rate_hz * seconds, u32::from(channels) * 2);
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + frames * frame).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend([1u16.to_le_bytes(), channels.to_le_bytes()].concat());
    bytes.extend([rate_hz.to_le_bytes(), (rate_hz * frame).to_le_bytes()].concat());
    bytes.extend([(channels * 2).to_le_bytes(), 16u16.to_le_bytes()].concat());
    bytes.extend(b"data");
    bytes.extend((frames * frame).to_le_bytes());
    for n in 0..frames {
        #[allow(clippy::cast_possible_truncation)]
        let sample = sample(f64::from(n) / f64::from(rate_hz)) as i16;
        (0..channels).for_each(|_| bytes.extend(sample.to_le_bytes()));
    }
    bytes
}

impl Sound {
    /// Parses a 16-bit WAV file; several channels are averaged.
    pub(crate) fn of_wav(bytes: &[u8]) -> anyhow::Result<Sound> {
        // Chunks may be in any order, and space reserved for RF64 may precede the format.
        let (mut rest, mut format) = (bytes.get(12..).context("not a WAV file")?, &[][..]);
        let audio = loop {
            let (head, behind) = rest.split_at_checked(8).context("no audio")?;
            let length = head.get(4..).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
            let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
            if head.starts_with(b"data") {
                // The length is 0 while the file is being written.
                break behind.get(..length).filter(|audio| !audio.is_empty()).unwrap_or(behind);
            }
            let (chunk, next) = behind.split_at_checked(length + length % 2).context("no audio")?;
            format = if head.starts_with(b"fmt ") { chunk } else { format };
            rest = next;
        };
        let rate = format.get(4..8).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
        let channels = usize::from(*format.get(2).context("no channels")?).max(1);
        let samples = audio.chunks_exact(2 * channels).map(|frame| {
            let sum: i32 = frame.as_chunks::<2>().0.iter().map(|sample| i32::from(i16::from_le_bytes(*sample))).sum();
            f64::from(sum) / f64::from(u8::try_from(channels).unwrap_or(1))
        });
        Ok(Sound { rate_hz: rate.context("no rate")?, samples: samples.collect() })
    }

    /// Generates audio of this many seconds.
    pub(crate) fn made(rate_hz: u32, seconds: f64, sample: impl Fn(f64) -> f64) -> Sound {
        let times = (0..).map(|n| f64::from(n) / f64::from(rate_hz)).take_while(|t| *t < seconds);
        Sound { rate_hz, samples: times.map(sample).collect() }
    }

    /// Returns the samples from one second to another, or fewer if the audio ends before.
    fn part(&self, from: f64, to: f64) -> &[f64] {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let place = |t: f64| ((t * f64::from(self.rate_hz)).round().max(0.0) as usize).min(self.samples.len());
        self.samples.get(place(from)..place(to)).unwrap_or_default()
    }

    /// Returns the received samples between two times of a period that begins at `begin`, and the corresponding sent
    /// audio.
    fn aligned(&self, hz: u32, begin: f64, (from, to): (f64, f64)) -> (&[f64], Vec<f64>) {
        let rate = f64::from(self.rate_hz);
        let heard = self.part(begin + from, begin + to);
        // The first sample lies between two sample times of the sent audio.
        let offset = ((begin + from) * rate).round() / rate - begin;
        (heard, (0..heard.len()).map(|n| said(hz, offset + number(n) / rate)).collect())
    }

    /// Judges a whole period of [`said`] at least `settled` seconds after the beginning.
    pub(crate) fn judge(&self, hz: u32, settled: f64) -> anyhow::Result<Judgement> {
        let begin = self.search(hz, settled)?;
        let tone = self.part(begin + SETTLING, begin + TONE - SETTLING);
        let (amplitude, tone_snr_db) = fit(tone, hz, self.rate_hz);
        let (heard, speech) = self.aligned(hz, begin, (TONE, PERIOD));
        let pieces = (0..6u32).map(|n| TONE + PIECE * f64::from(n)).map(|at| self.aligned(hz, begin, (at, at + PIECE)));
        let mut pieces: Vec<f64> = pieces.map(|(heard, said)| snr_of(likeness(heard, &said))).collect();
        pieces.sort_by(f64::total_cmp);
        let mean = energy(tone) / number(tone.len()).max(1.0);
        let window = usize::try_from(self.rate_hz / 100)?;
        let windows = tone.chunks_exact(window).map(|part| decibel(energy(part) / number(window) / mean));
        Ok(Judgement {
            tone_level_db: 2.0 * decibel(amplitude / AMPLITUDE),
            tone_snr_db,
            speech_level_db: decibel(energy(heard) / energy(&speech).max(1.0)),
            speech_snr_db: *pieces.get(pieces.len() / 2).context("no speech")?,
            click: click(tone, hz, self.rate_hz),
            softest_db: windows.fold(f64::INFINITY, f64::min),
        })
    }

    /// Returns the beginning of a whole period in seconds: found by loudness, then by samples, then by interpolation.
    fn search(&self, hz: u32, settled: f64) -> anyhow::Result<f64> {
        let reference = Sound::made(self.rate_hz, PERIOD, |t| said(hz, t));
        let (wanted, heard) = (reference.loudness(), self.loudness());
        let rough = (0..heard.len()).map(|at| (at, number(at) * FRAME)).filter(|(_, begin)| *begin >= settled);
        let rough = rough.filter_map(|(at, begin)| Some((likeness(heard.get(at..at + wanted.len())?, &wanted), begin)));
        let (_, rough) = best(rough).context("less than a period was heard")?;
        let (from, to) = SEARCHED;
        let wanted = reference.part(from, to);
        let sample = 1.0 / f64::from(self.rate_hz);
        let steps = i32::try_from(self.rate_hz / 100)?;
        let near = (-steps..=steps).map(|step| rough + f64::from(step) * sample);
        let near = near.map(|begin| (likeness(self.part(begin + from, begin + to), wanted), begin));
        let (_, near) = best(near).context("nothing was tried")?;
        let between = (-10..=10).map(|step| near + f64::from(step) * sample / 10.0).map(|begin| {
            let (heard, said) = self.aligned(hz, begin, SEARCHED);
            (likeness(heard, &said), begin)
        });
        match best(between) {
            Some((like, begin)) if like > LIKENESS => Ok(begin),
            best => bail!("nothing is like what was said: {best:?}"),
        }
    }

    /// Returns the loudness of each [`FRAME`], minus the mean of all.
    fn loudness(&self) -> Vec<f64> {
        let frames = (0..).map(|n| self.part(f64::from(n) * FRAME, f64::from(n + 1) * FRAME));
        let frames = frames.take_while(|frame| !frame.is_empty());
        let loud: Vec<f64> = frames.map(|frame| (energy(frame) / number(frame.len())).sqrt()).collect();
        let mean = loud.iter().sum::<f64>() / number(loud.len()).max(1.0);
        loud.into_iter().map(|frame| frame - mean).collect()
    }
}

/// Returns the largest jump in a tone relative to its amplitude: the output of a filter that removes the tone at any
/// phase. 0 for a continuous tone; a phase jump by half leaves up to 2.
pub(crate) fn click(tone: &[f64], hz: u32, rate_hz: u32) -> f64 {
    let (amplitude, _) = fit(tone, hz, rate_hz);
    let by = 2.0 * (TAU * f64::from(hz) / f64::from(rate_hz)).cos();
    let left = tone.windows(3).map(|three| match three {
        [before, here, after] => (before + after - by * here).abs(),
        _ => 0.0,
    });
    left.fold(0.0, f64::max) / amplitude.max(1.0)
}

/// Returns the pair of which the first number is highest.
fn best(places: impl Iterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    places.max_by(|one, other| one.0.total_cmp(&other.0))
}

/// Converts a count to a number.
fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

fn energy(samples: &[f64]) -> f64 {
    samples.iter().map(|x| x * x).sum()
}

fn decibel(ratio: f64) -> f64 {
    10.0 * ratio.max(1e-12).log10()
}

/// Returns the correlation of two signals, from -1 to 1.
fn likeness(one: &[f64], other: &[f64]) -> f64 {
    let product: f64 = one.iter().zip(other).map(|(x, y)| x * y).sum();
    product / (energy(one) * energy(other)).sqrt().max(1.0)
}

/// Returns the SNR in dB for a correlation: the ratio of the correlated to the uncorrelated part.
fn snr_of(likeness: f64) -> f64 {
    let alike = likeness.max(0.0).powi(2);
    decibel(alike / (1.0 - alike).max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(rate_hz: u32, late: f64) -> Sound {
        Sound::made(rate_hz, 7.0, |t| said(440, t - late))
    }

    #[test]
    fn what_is_said_is_found_again_at_every_rate() {
        for (rate, late) in [(8_000, 0.3), (16_000, 1.234_56), (48_000, 2.9)] {
            let judged = heard(rate, late).judge(440, 0.5).unwrap();
            assert!(judged.tone_level_db.abs() < 0.01 && judged.speech_level_db.abs() < 0.05, "{judged:?}");
            assert!(judged.tone_snr_db > 60.0 && judged.speech_snr_db > 30.0, "{judged:?}");
            assert!(judged.click < 0.01 && judged.softest_db > -0.5, "{judged:?}");
        }
    }

    #[test]
    fn what_is_softer_noisy_or_broken_is_seen() {
        let mut softer = heard(8_000, 0.0);
        softer.samples.iter_mut().for_each(|x| *x *= 0.9);
        let judged = softer.judge(440, 0.5).unwrap();
        assert!((judged.tone_level_db + 0.92).abs() < 0.02 && (judged.speech_level_db + 0.92).abs() < 0.05);
        let mut noisy = heard(8_000, 0.0);
        for (n, x) in noisy.samples.iter_mut().enumerate() {
            *x += if n * n % 7 < 3 { 400.0 } else { -400.0 };
        }
        let judged = noisy.judge(440, 0.5).unwrap();
        assert!(judged.tone_snr_db < 25.0 && judged.speech_snr_db < 22.0, "{judged:?}");
        // A missing frame in the tone causes a click; a silent one, a gap.
        let mut clicks = heard(8_000, 0.0);
        clicks.samples.drain(30_000..30_130);
        assert!(clicks.judge(440, 0.5).unwrap().click > 0.2);
        let mut gap = heard(8_000, 0.0);
        gap.samples.iter_mut().skip(30_000).take(160).for_each(|x| *x = 0.0);
        assert!(gap.judge(440, 0.5).unwrap().softest_db < -6.0);
        let silence = Sound { rate_hz: 8_000, samples: vec![0.0; 56_000] };
        assert!(silence.judge(440, 0.5).is_err());
    }

    #[test]
    fn a_wav_file_is_read_back() {
        for channels in [1, 2] {
            let sound = Sound::of_wav(&wav(16_000, channels, 1, |t| said(440, t))).unwrap();
            assert_eq!((sound.rate_hz, sound.samples.len()), (16_000, 16_000));
            assert!((sound.samples[100] - said(440, 100.0 / 16_000.0)).abs() <= 1.0);
        }
    }

    #[test]
    fn a_wav_file_is_read_while_it_is_written() {
        let mut file = wav(8_000, 1, 1, |t| tone(440, t));
        file[40..44].fill(0);
        assert_eq!(Sound::of_wav(&file).unwrap().samples.len(), 8_000);
    }
}
