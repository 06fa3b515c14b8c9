//! WAV, MP3, Ogg Vorbis and Ogg Opus to linear samples at 8 kHz, one channel.

use std::panic::{AssertUnwindSafe, catch_unwind};

use trunkgate_media::resample::FileResampler;

use super::{RATE_HZ, mp3, ogg, too_long, wav_file};
use crate::limits::AUDIO_DAMAGED_PIECES;

/// Of so many pieces of a file one may be damaged, as an MP3 that was cut out of a longer one is at its beginning.
const PIECES_TO_ONE_DAMAGED: usize = 20;

/// The reason of a file that a decoder panicked at.
pub(super) const PANICKED: &str = "it cannot be decoded";

/// A file's samples.
pub(super) fn decode(bytes: &[u8], most_seconds: usize) -> Result<Vec<i16>, String> {
    let mut sink = Sink { most: most_seconds * RATE_HZ, made: Vec::new(), spent: 0, resampler: None, mono: Vec::new() };
    let decode = || match bytes.get(..4) {
        Some(b"RIFF") => wav_file::decode(bytes, &mut sink),
        Some(b"OggS") => ogg::decode(bytes, &mut sink),
        Some(_) | None => mp3::decode(bytes, &mut sink),
    };
    // Some of what decodes is code of others.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(PANICKED.to_owned())).and_then(|()| sink.finish())
}

/// How many pieces of a file could be decoded: packets, and pages of Ogg that are damaged.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    good: usize,
    damaged: usize,
    /// Those before the first good one, as they are where a file was cut out of a longer one.
    before: usize,
}

impl Pieces {
    /// Counts a piece that was decoded.
    pub(super) fn good(&mut self) {
        self.good += 1;
    }
    /// Counts a piece that could not be decoded.
    ///
    /// # Errors
    /// Where there are so many that the rest of the file is not worth the time.
    pub(super) fn damaged(&mut self) -> Result<(), String> {
        let count = if self.good > 0 { &mut self.damaged } else { &mut self.before };
        *count += 1;
        match self.damaged + self.before > AUDIO_DAMAGED_PIECES {
            true => Err(format!("damaged: more than {AUDIO_DAMAGED_PIECES} pieces cannot be decoded")),
            false => Ok(()),
        }
    }
    /// Returns whether any could be decoded.
    pub(super) fn any_good(&self) -> bool {
        self.good > 0
    }
    /// Checks whether so much damage can be passed over.
    pub(super) fn judge(&self) -> Result<(), String> {
        let Pieces { good, damaged, .. } = *self;
        match damaged > 1 && damaged > good / PIECES_TO_ONE_DAMAGED {
            true => Err(format!("damaged: {damaged} of {} pieces cannot be decoded", good + damaged)),
            false => Ok(()),
        }
    }
}

/// Makes 8 kHz and one channel of what is decoded.
pub(super) struct Sink {
    most: usize,
    made: Vec<i16>,
    /// Samples that were decoded, heard or not.
    spent: usize,
    resampler: Option<(u32, FileResampler)>,
    mono: Vec<f32>,
}

impl Sink {
    /// Takes samples, those of one instant one after the other.
    pub(super) fn push(
        &mut self,
        rate: u32,
        channels: usize,
        samples: impl Iterator<Item = f32>,
    ) -> Result<(), String> {
        self.mono.clear();
        let (mut sum, mut count) = (0.0, 0);
        for sample in samples {
            (sum, count) = (sum + sample, count + 1);
            if count >= channels {
                self.mono.push(sum / channels as f32);
                (sum, count) = (0.0, 0);
            }
        }
        let (_, resampler) = match &mut self.resampler {
            Some(known) if known.0 == rate => known,
            Some(_) => return Err("its rate changes".to_owned()),
            none => {
                let resampler = FileResampler::new(rate).ok_or(format!("{rate} Hz, not 8000 to 192000 Hz"))?;
                none.insert((rate, resampler))
            }
        };
        resampler.push(&self.mono, &mut self.made);
        self.fits()
    }
    /// Bounds what is decoded and not heard: by what a file says of its length, all of it might be.
    pub(super) fn spend(&mut self, rate: u32, samples: usize) -> Result<(), String> {
        let rate = usize::try_from(rate).unwrap_or(usize::MAX).max(1);
        self.spent = self.spent.saturating_add(samples.saturating_mul(RATE_HZ) / rate);
        match self.spent > 2 * self.most + RATE_HZ {
            true => Err(format!("most of its audio is marked as not audible, {} s", self.spent / RATE_HZ)),
            false => Ok(()),
        }
    }
    /// Seconds that have been made so far.
    pub(super) fn seconds(&self) -> usize {
        self.made.len() / RATE_HZ
    }
    fn fits(&self) -> Result<(), String> {
        match self.made.len() > self.most {
            true => Err(too_long(self.most / RATE_HZ)),
            false => Ok(()),
        }
    }
    fn finish(mut self) -> Result<Vec<i16>, String> {
        if let Some((_, resampler)) = self.resampler.take() {
            resampler.finish(&mut self.made);
        }
        self.fits()?;
        if self.made.is_empty() { Err("it contains no audio".to_owned()) } else { Ok(self.made) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Cursor;

    use hound::{SampleFormat, WavSpec, WavWriter};
    use proptest::prelude::*;

    use super::*;
    use trunkgate_media::codec::g711::{decode_ulaw, encode_alaw, encode_ulaw};

    /// A WAV file of 16-bit PCM.
    pub(crate) fn wav(channels: u16, rate: u32, samples: &[i16]) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut writer = WavWriter::new(&mut out, spec).unwrap();
        for sample in samples {
            writer.write_sample(*sample).unwrap();
        }
        writer.finalize().unwrap();
        out.into_inner()
    }

    /// A WAV file of one byte a sample; 7: μ-law, 6: A-law.
    fn logarithmic(tag: u16, rate: u32, codes: &[u8]) -> Vec<u8> {
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((4 + 26 + 8 + codes.len() as u32).to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        bytes.extend(18_u32.to_le_bytes());
        bytes.extend([tag, 1].map(u16::to_le_bytes).concat());
        bytes.extend([rate, rate].map(u32::to_le_bytes).concat());
        bytes.extend([1, 0, 8, 0, 0, 0]);
        bytes.extend(b"data");
        bytes.extend((codes.len() as u32).to_le_bytes());
        bytes.extend(codes);
        bytes
    }

    fn sine(hz: f64, rate: u32, seconds: f64) -> Vec<i16> {
        let at = |n: usize| (8000.0 * (std::f64::consts::TAU * hz * n as f64 / f64::from(rate)).sin()) as i16;
        (0..(f64::from(rate) * seconds) as usize).map(at).collect()
    }

    #[test]
    fn pcm_at_8_khz_stays_as_it_is() {
        let samples = [0, 1, -1, 1000, -1000, i16::MAX, i16::MIN];
        assert_eq!(decode(&wav(1, 8000, &samples), 1).unwrap(), samples);
    }

    #[test]
    fn both_laws_are_decoded() {
        let samples = sine(440.0, 8000, 0.1);
        let near = |law: fn(i16) -> u8, tag| {
            let codes: Vec<u8> = samples.iter().map(|sample| law(*sample)).collect();
            let decoded = decode(&logarithmic(tag, 8000, &codes), 1).unwrap();
            assert_eq!(decoded.len(), samples.len());
            decoded.iter().zip(&samples).all(|(one, other)| (one - other).abs() < 300)
        };
        assert!(near(encode_ulaw, 7) && near(encode_alaw, 6));
        // Byte for byte, but for the second of two zeros.
        let codes: Vec<u8> = (0..=255).filter(|code| *code != 0x7f).collect();
        let decoded = decode(&logarithmic(7, 8000, &codes), 1).unwrap();
        assert_eq!(decoded.iter().map(|sample| encode_ulaw(*sample)).collect::<Vec<_>>(), codes);
        assert_eq!(decoded, codes.iter().map(|code| decode_ulaw(*code)).collect::<Vec<_>>());
    }

    #[test]
    fn any_rate_and_any_number_of_channels_become_8_khz_and_one() {
        for rate in [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000] {
            let stereo: Vec<i16> = sine(440.0, rate, 0.5).into_iter().flat_map(|sample| [sample, sample]).collect();
            let decoded = decode(&wav(2, rate, &stereo), 1).unwrap();
            assert!((decoded.len() as i64 - 4000).abs() <= 1, "{rate}: {}", decoded.len());
            let expected = sine(440.0, 8000, 0.5);
            let worst = decoded[400..3600].iter().zip(&expected[400..]).map(|(a, b)| (a - b).abs()).max();
            assert!(worst < Some(40), "{rate}: {worst:?}");
        }
    }

    /// 440 Hz for half a second in stereo at 44,100 Hz, by lame, oggenc and opusenc.
    #[test]
    fn mp3_vorbis_and_opus_are_decoded() {
        let expected = sine(440.0, 8000, 0.5);
        let files: [&[u8]; 3] = [
            include_bytes!("../../tests/data/tone.mp3"),
            include_bytes!("../../tests/data/tone.ogg"),
            include_bytes!("../../tests/data/tone.opus"),
        ];
        for file in files {
            let decoded = decode(file, 1).unwrap();
            assert!((3900..4600).contains(&decoded.len()), "{}", decoded.len());
            let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
            for (n, sample) in decoded[800..3200].iter().enumerate() {
                let angle = std::f64::consts::TAU * 440.0 * n as f64 / 8000.0;
                re += f64::from(*sample) * angle.cos();
                im += f64::from(*sample) * angle.sin();
                all += f64::from(*sample) * f64::from(*sample);
            }
            // Nearly all of its power is in that tone.
            assert!((re * re + im * im) * 2.0 / 2400.0 > 0.98 * all && all > 0.0, "{}", expected.len());
            let half = decode(&file[..file.len() / 2], 1);
            assert!(half.is_err() || half.unwrap().len() < decoded.len());
        }
    }

    #[test]
    fn bad_files_are_refused_with_the_reason() {
        let whole = wav(1, 8000, &[5; 8000]);
        for (bytes, reason) in [
            (whole[..4000].to_vec(), "ends in the middle: 12044 bytes"),
            (wav(1, 8000, &[]), "no audio"),
            (wav(1, 8000, &[1; 16_001]), "longer than 2 s"),
            (wav(1, 44_100, &[1; 90_000]), "longer than 2 s"),
            (wav(1, 4000, &[1; 100]), "4000 Hz"),
            (b"RIFF\0\0\0\0WAVE".to_vec(), "without samples"),
            (b"RIFF\0\0\0\0AVI LIST".to_vec(), "not a WAV file"),
            (b"#!/bin/sh\necho hello, this is no audio at all".to_vec(), "not a WAV, MP3"),
            (vec![], "not a WAV, MP3"),
            (vec![0; 100_000], "not a WAV, MP3"),
        ] {
            let error = decode(&bytes, 2).unwrap_err();
            assert!(error.contains(reason), "{error} does not name {reason}");
        }
        // A size that its writer did not know.
        let mut piped = whole.clone();
        piped[4..8].copy_from_slice(&0x7fff_f024_u32.to_le_bytes());
        piped[40..44].copy_from_slice(&0x7fff_f000_u32.to_le_bytes());
        assert_eq!(decode(&piped, 2).unwrap(), [5; 8000]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        /// Whatever a file holds, it is decoded or refused.
        #[test]
        fn damage_is_survived(at in 0_usize..300, byte in any::<u8>(), length in 0_usize..2000) {
            let mut bytes = wav(2, 16_000, &sine(300.0, 16_000, 0.1));
            if let Some(place) = bytes.get_mut(at % 60) {
                *place = byte;
            }
            bytes.truncate(length.max(at));
            let _ = decode(&bytes, 1);
        }
    }
}
