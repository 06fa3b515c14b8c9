//! Decoder of WAV, AIFF, AU, MP3, Ogg Vorbis, Ogg Opus and headerless samples into linear samples at 8 kHz, one
//! channel.

use std::panic::{AssertUnwindSafe, catch_unwind};

use trunkgate_media::resample::FileResampler;

use super::samples::SampleFormat;
use super::{BareAudio, RATE_HZ, aiff_file, au_file, gsm, mp3, ogg, too_long, wav_file};
use trunkgate_system::limits::AUDIO_DAMAGED_PIECES;

/// Number of decoded pieces per tolerated damaged piece after the first decoded one; a single damaged piece is always
/// tolerated.
const PIECES_TO_ONE_DAMAGED: usize = 20;

/// Error text for a file at which a decoder panicked.
pub(super) const PANICKED: &str = "it cannot be decoded";

/// Decodes a file in the format that its first bytes identify.
pub(super) fn decode(bytes: &[u8], most_seconds: usize) -> Result<Vec<i16>, String> {
    decode_as(bytes, None, most_seconds)
}

/// Decodes a file in the format that its first bytes identify, or else as `bare`.
pub(super) fn decode_as(bytes: &[u8], bare: Option<BareAudio>, most_seconds: usize) -> Result<Vec<i16>, String> {
    let mut sink =
        NarrowbandSink { most: most_seconds * RATE_HZ, made: Vec::new(), spent: 0, resampler: None, mono: Vec::new() };
    let decode = || match bytes.get(..4) {
        Some(b"RIFF") => wav_file::decode(bytes, &mut sink),
        Some(b"FORM") => aiff_file::decode(bytes, &mut sink),
        Some(b".snd") => au_file::decode(bytes, &mut sink),
        Some(b"OggS") => ogg::decode(bytes, &mut sink),
        Some(_) | None => match bare {
            Some(BareAudio::MuLaw) => SampleFormat::TELEPHONE.decode(bytes, &mut sink),
            Some(BareAudio::Gsm) => gsm::decode_frames(bytes, &mut sink),
            None => mp3::decode(bytes, &mut sink),
        },
    };
    // Some of the decoders are third-party code.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(PANICKED.to_owned())).and_then(|()| sink.finish())
}

/// Numbers of decoded and damaged pieces of a file; a piece is a packet or an Ogg page.
#[derive(Debug, Default)]
pub(super) struct PieceCounts {
    good: usize,
    damaged: usize,
    /// Damaged pieces before the first decoded one, as in a file cut out of a longer one; they are not held against the
    /// file.
    before: usize,
}

impl PieceCounts {
    /// Records a piece that was decoded.
    pub(super) fn count_good(&mut self) {
        self.good += 1;
    }

    /// Records a piece that could not be decoded.
    ///
    /// # Errors
    ///
    /// Returns an error if more than [`AUDIO_DAMAGED_PIECES`] pieces are damaged.
    pub(super) fn count_damaged(&mut self) -> Result<(), String> {
        let count = if self.good > 0 { &mut self.damaged } else { &mut self.before };
        *count += 1;
        match self.damaged + self.before > AUDIO_DAMAGED_PIECES {
            true => Err(format!("damaged: more than {AUDIO_DAMAGED_PIECES} pieces cannot be decoded")),
            false => Ok(()),
        }
    }

    /// Returns whether any piece could be decoded.
    pub(super) fn any_good(&self) -> bool {
        self.good > 0
    }

    /// Returns an error if too many pieces after the first decoded one are damaged: more than one, and more than one in
    /// [`PIECES_TO_ONE_DAMAGED`].
    pub(super) fn check_damage(&self) -> Result<(), String> {
        let PieceCounts { good, damaged, .. } = *self;
        match damaged > 1 && damaged > good / PIECES_TO_ONE_DAMAGED {
            true => Err(format!("damaged: {damaged} of {} pieces cannot be decoded", good + damaged)),
            false => Ok(()),
        }
    }
}

/// Converts decoded audio to 8 kHz and one channel, up to a maximum length.
pub(super) struct NarrowbandSink {
    most: usize,
    made: Vec<i16>,
    /// Number of samples decoded so far, converted to 8 kHz, including those that the file marks as not audible.
    spent: usize,
    resampler: Option<(u32, FileResampler)>,
    mono: Vec<f32>,
}

impl NarrowbandSink {
    /// Adds interleaved samples. Returns an error if the rate is unsupported or changes, or if the audio becomes too
    /// long.
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
            Some(_) => return Err("the sample rate changes within the file".to_owned()),
            none => {
                let resampler = FileResampler::new(rate).ok_or(format!("{rate} Hz, not 8000 to 192000 Hz"))?;
                none.insert((rate, resampler))
            }
        };
        resampler.push(&self.mono, &mut self.made);
        self.check_length()
    }

    /// Counts decoded samples, audible or not. Returns an error beyond about twice the maximum length, because a file
    /// could mark all of its audio as not audible.
    pub(super) fn spend(&mut self, rate: u32, samples: usize) -> Result<(), String> {
        let rate = usize::try_from(rate).unwrap_or(usize::MAX).max(1);
        self.spent = self.spent.saturating_add(samples.saturating_mul(RATE_HZ) / rate);
        match self.spent > 2 * self.most + RATE_HZ {
            true => Err(format!("most of its audio is marked as not audible, {} s", self.spent / RATE_HZ)),
            false => Ok(()),
        }
    }

    /// Returns the length of the audio so far, in whole seconds.
    pub(super) fn seconds(&self) -> usize {
        self.made.len() / RATE_HZ
    }

    fn check_length(&self) -> Result<(), String> {
        match self.made.len() > self.most {
            true => Err(too_long(self.most / RATE_HZ)),
            false => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Vec<i16>, String> {
        if let Some((_, resampler)) = self.resampler.take() {
            resampler.finish(&mut self.made);
        }
        self.check_length()?;
        if self.made.is_empty() { Err("it contains no audio".to_owned()) } else { Ok(self.made) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Cursor;

    use hound::{SampleFormat as WavFormat, WavSpec, WavWriter};
    use proptest::prelude::*;

    use super::*;
    use crate::wav_file::judge_whole;
    use trunkgate_media::codec::g711::{decode_ulaw, encode_alaw, encode_ulaw};

    /// Builds a WAV file of 16-bit PCM.
    pub(crate) fn wav(channels: u16, rate: u32, samples: &[i16]) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: 16, sample_format: WavFormat::Int };
        let mut writer = WavWriter::new(&mut out, spec).unwrap();
        for sample in samples {
            writer.write_sample(*sample).unwrap();
        }
        writer.finalize().unwrap();
        out.into_inner()
    }

    /// Builds a WAV file with one byte per sample; tag 7 is μ-law, 6 is A-law.
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
        // Byte for byte, except the second of the two zeros.
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

    /// Returns the share of the power in a tone of 440 Hz.
    fn tone_share(samples: &[i16]) -> f64 {
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = std::f64::consts::TAU * 440.0 * n as f64 / 8000.0;
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
            all += f64::from(*sample) * f64::from(*sample);
        }
        (re * re + im * im) * 2.0 / samples.len() as f64 / all
    }

    /// Decodes 440 Hz for half a second in stereo at 44,100 Hz, by lame, oggenc and opusenc.
    #[test]
    fn mp3_vorbis_and_opus_are_decoded() {
        let expected = sine(440.0, 8000, 0.5);
        let files: [&[u8]; 3] = [
            include_bytes!("../../../tests/data/tone.mp3"),
            include_bytes!("../../../tests/data/tone.ogg"),
            include_bytes!("../../../tests/data/tone.opus"),
        ];
        for file in files {
            let decoded = decode(file, 1).unwrap();
            assert!((3900..4600).contains(&decoded.len()), "{}", decoded.len());
            assert!(tone_share(&decoded[800..3200]) > 0.98, "{}", expected.len());
            let half = decode(&file[..file.len() / 2], 1);
            assert!(half.is_err() || half.unwrap().len() < decoded.len());
        }
    }

    #[test]
    fn bad_files_are_refused_with_the_reason() {
        for (bytes, reason) in [
            (wav(1, 8000, &[]), "no audio"),
            (wav(1, 8000, &[1; 16_001]), "longer than 2 s"),
            (wav(1, 44_100, &[1; 90_000]), "longer than 2 s"),
            (wav(1, 4000, &[1; 100]), "4000 Hz"),
            (logarithmic(2, 8000, &[0; 64]), "format 2, 8 bits"),
            (b".snd\0\0\0\x18\xff\xff\xff\xff\0\0\0\x17".to_vec(), "truncated head"),
            (b"RIFF\0\0\0\0WAVE".to_vec(), "without samples"),
            (b"RIFF\0\0\0\0AVI LIST".to_vec(), "not a WAV file"),
            (b"#!/bin/sh\necho hello, this is no audio at all".to_vec(), "not a WAV, AIFF, AU, MP3"),
            (vec![], "not a WAV, AIFF, AU, MP3"),
            (vec![0; 100_000], "not a WAV, AIFF, AU, MP3"),
        ] {
            let error = decode(&bytes, 2).unwrap_err();
            assert!(error.contains(reason), "{error} does not name {reason}");
        }
    }

    #[test]
    fn a_wav_file_that_is_streamed_or_cut_short_is_heard_as_far_as_it_goes() {
        let whole = wav(1, 8000, &[5; 8000]);
        // Sizes written by sox, by ffmpeg, and by writers that never updated them.
        for (riff, data) in [(0x7fff_f024, 0x7fff_f000), (u32::MAX, u32::MAX), (0, 0), (36, 0), (u32::MAX, 0)] {
            let mut piped = whole.clone();
            piped[4..8].copy_from_slice(&u32::to_le_bytes(riff));
            piped[40..44].copy_from_slice(&u32::to_le_bytes(data));
            assert_eq!(decode(&piped, 2).unwrap(), [5; 8000], "{riff} {data}");
        }
        assert_eq!(decode(&whole[..4044], 2).unwrap(), [5; 2000]);
        assert_eq!(judge_whole(&whole), Ok(()));
        let missing = "it ends in the middle: 12000 bytes are missing".to_owned();
        assert_eq!(judge_whole(&whole[..4044]), Err(missing), "a file of the configuration");
        // Without samples, and with a chunk after them.
        let mut empty = wav(1, 8000, &[]);
        empty.extend(b"LIST\x04\0\0\0INFO");
        let size = u32::try_from(empty.len() - 8).unwrap();
        empty[4..8].copy_from_slice(&size.to_le_bytes());
        assert!(decode(&empty, 2).unwrap_err().contains("no audio"));
    }

    #[test]
    fn bare_samples_are_what_their_type_says_unless_they_begin_as_a_file_does() {
        let codes: Vec<u8> = (0..=255).filter(|code| *code != 0x7f).collect();
        let heard = decode_as(&codes, Some(BareAudio::MuLaw), 1).unwrap();
        assert_eq!(heard.iter().map(|sample| encode_ulaw(*sample)).collect::<Vec<_>>(), codes);
        let samples = [0, 1, -1, 1000];
        assert_eq!(decode_as(&wav(1, 8000, &samples), Some(BareAudio::MuLaw), 1).unwrap(), samples);
        let head =
            [b".snd".as_slice(), &[0, 0, 0, 24], &[0xff; 4], &[0, 0, 0, 1], &[0, 0, 31, 64], &[0, 0, 0, 1]].concat();
        assert_eq!(decode_as(&[head, codes].concat(), Some(BareAudio::MuLaw), 1).unwrap(), heard, "an AU file");
    }

    /// Decodes 440 Hz for 0.05 s in stereo at 16 kHz, by sox.
    #[test]
    fn files_of_sox_are_decoded() {
        for file in
            [include_bytes!("../../../tests/data/tone.aiff").as_slice(), include_bytes!("../../../tests/data/tone.au")]
        {
            let decoded = decode(file, 1).unwrap();
            assert!(decoded.len().abs_diff(400) <= 1, "{}", decoded.len());
            assert!(tone_share(&decoded[30..370]) > 0.95, "{}", tone_share(&decoded[30..370]));
        }
    }

    /// Decodes 440 Hz for 0.2 s, with the output of sox as reference.
    #[test]
    fn gsm_is_decoded_to_the_bit_as_frames_and_in_wav_files() {
        let numbers = |bytes: &[u8]| -> Vec<i16> {
            bytes.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
        };
        let frames = decode_as(include_bytes!("../../../tests/data/tone.gsm"), Some(BareAudio::Gsm), 1).unwrap();
        assert_eq!(frames, numbers(include_bytes!("../../../tests/data/tone_gsm.s16")));
        let blocks = decode(include_bytes!("../../../tests/data/tone_gsm.wav"), 1).unwrap();
        assert_eq!(blocks, numbers(include_bytes!("../../../tests/data/tone_gsm_wav.s16")));
        assert!(decode_as(b"not GSM", Some(BareAudio::Gsm), 1).unwrap_err().contains("begins with D"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        /// Any damaged file is decoded or rejected.
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
