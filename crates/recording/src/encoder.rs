//! Encoder from frames to the bytes of a file, in any container, encrypted or not.

use serde::{Deserialize, Serialize};

use crate::Channels;
use crate::age::SealerSnapshot;
use crate::channels::mix;
use crate::envelope::{FileEncryption, FileEnvelope};
use crate::limits::{FRAME_MS, FRAME_SAMPLES};
use crate::ogg::PageCounter;
use crate::opus::{OpusFile, OpusSnapshot};
use crate::wav::{self, DataBytes, HEADER_BYTES};

/// Frames of silence generated at once.
const SILENCE_FRAMES: u64 = 50;

/// Container of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// WAV, linear 16-bit samples.
    Wav,
    /// Ogg Opus.
    Opus,
}

#[derive(Debug)]
enum EncoderFormat {
    Wav,
    Opus(Box<OpusFile>),
}

/// Encoder of one recording.
#[derive(Debug)]
pub struct RecordingEncoder {
    channels: Channels,
    body: EncoderFormat,
    envelope: FileEnvelope,
    frames: u64,
    /// Buffer of converted samples, kept to reuse its memory.
    samples: Vec<i16>,
}

/// Encoder as plain data, with the key of an encrypted file in clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderSnapshot {
    /// Number of channels.
    channels: u16,
    frames: u64,
    /// State of an Ogg Opus file; `None` for WAV.
    opus: Option<OpusSnapshot>,
    /// Encryption, if the file is encrypted.
    sealer: Option<SealerSnapshot>,
}

impl EncoderSnapshot {
    /// Returns the state that continues a plain WAV file with these frames. The file's encoder is lost.
    pub fn of_wav(channels: Channels, frames: u64) -> EncoderSnapshot {
        EncoderSnapshot { channels: channels.count(), frames, opus: None, sealer: None }
    }

    /// Returns the state that continues a plain Ogg Opus file behind these pages. Audio still in the lost encoder is
    /// missing. Returns `None` if the file lacks its beginning or has an end.
    pub fn of_pages(channels: Channels, pages: &PageCounter) -> Option<EncoderSnapshot> {
        let opus = OpusSnapshot::of_pages(pages.position()?);
        Some(EncoderSnapshot { channels: channels.count(), frames: opus.frames(), opus: Some(opus), sealer: None })
    }

    /// Returns the number of frames in the file.
    pub fn frames(&self) -> u64 {
        self.frames
    }
}

impl RecordingEncoder {
    /// Ends this encoder between two frames; another one continues the file by [`Self::resume`]. Bytes of the file are
    /// appended.
    pub fn suspend(mut self, to: &mut Vec<u8>) -> EncoderSnapshot {
        let opus = match self.body {
            EncoderFormat::Opus(file) => Some(file.suspend(self.envelope.plain())),
            EncoderFormat::Wav => None,
        };
        self.envelope.write(to);
        let sealer = self.envelope.snapshot();
        EncoderSnapshot { channels: self.channels.count(), frames: self.frames, opus, sealer }
    }

    /// Continues a file. Returns `None` if the snapshot is not usable, or a library fails, which no input causes.
    pub fn resume(snapshot: EncoderSnapshot) -> Option<RecordingEncoder> {
        let EncoderSnapshot { channels, frames, opus, sealer } = snapshot;
        let channels = Channels::of(channels)?;
        let body = match opus {
            Some(opus) => EncoderFormat::Opus(Box::new(OpusFile::resume(channels, opus)?)),
            None => EncoderFormat::Wav,
        };
        let envelope = FileEnvelope::restore(sealer.as_ref())?;
        Some(RecordingEncoder { channels, body, envelope, frames, samples: Vec::new() })
    }

    /// Starts a file and appends its beginning. `serial` distinguishes Ogg streams. Returns `None` if a library fails,
    /// which no input causes.
    pub fn new(
        container: Container,
        channels: Channels,
        encryption: Option<&FileEncryption>,
        serial: u32,
        to: &mut Vec<u8>,
    ) -> Option<RecordingEncoder> {
        let mut envelope = FileEnvelope::new(encryption, to)?;
        let body = match container {
            Container::Opus => EncoderFormat::Opus(Box::new(OpusFile::new(channels, serial, envelope.plain())?)),
            Container::Wav => {
                // In an encrypted file the header is never rewritten.
                let data = if envelope.is_sealed() { DataBytes::Unknown } else { DataBytes::Known(0) };
                envelope.plain().extend_from_slice(&wav::header(channels, data));
                EncoderFormat::Wav
            }
        };
        envelope.write(to);
        Some(RecordingEncoder { channels, body, envelope, frames: 0, samples: Vec::new() })
    }

    /// Adds frames of both parties, caller first; an incomplete frame at their end is ignored. Bytes of the file are
    /// appended.
    pub fn push(&mut self, stereo: &[i16], to: &mut Vec<u8>) {
        let frames = stereo.len() / (2 * FRAME_SAMPLES);
        let whole = stereo.get(..frames * 2 * FRAME_SAMPLES).unwrap_or_default();
        self.frames += frames as u64;
        self.samples.clear();
        mix(self.channels, whole, &mut self.samples);
        match &mut self.body {
            EncoderFormat::Wav => {
                self.envelope.plain().extend(self.samples.iter().flat_map(|sample| sample.to_le_bytes()))
            }
            EncoderFormat::Opus(file) => file.push(&self.samples, self.envelope.plain()),
        }
        self.envelope.write(to);
    }

    /// Adds frames of silence, at most 1 s; returns the number added.
    pub fn push_silence(&mut self, frames: u64, to: &mut Vec<u8>) -> u64 {
        let frames = frames.min(SILENCE_FRAMES);
        self.push(&vec![0; frames as usize * 2 * FRAME_SAMPLES], to);
        frames
    }

    /// Appends pending data that is complete by itself: a started Ogg page. Contents of an incomplete age chunk are not
    /// written yet.
    pub fn flush(&mut self, to: &mut Vec<u8>) {
        if let EncoderFormat::Opus(file) = &mut self.body {
            file.flush(self.envelope.plain());
        }
        self.envelope.write(to);
    }

    /// Appends the end of the file.
    pub fn finish(mut self, to: &mut Vec<u8>) {
        if let EncoderFormat::Opus(file) = self.body {
            file.finish(self.envelope.plain());
        }
        self.envelope.finish(to);
    }

    /// Returns the header for a file of this length; `None` if the file's header never has to be rewritten.
    pub fn header(&self, file_bytes: u64) -> Option<[u8; HEADER_BYTES as usize]> {
        let is_rewritten = matches!(self.body, EncoderFormat::Wav) && !self.envelope.is_sealed();
        is_rewritten.then(|| wav::header(self.channels, DataBytes::Known(wav::data_bytes(self.channels, file_bytes))))
    }

    /// Returns the number of frames added.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Returns the duration of the added frames, in milliseconds.
    pub fn milliseconds(&self) -> u64 {
        self.frames * u64::from(FRAME_MS)
    }
}

#[cfg(test)]
mod tests {
    use ropus::{Channels as OpusChannels, DecodeMode, Decoder};

    use super::*;
    use crate::ogg::PageCounter;

    /// Generates a tone for each party, in frames of 20 ms.
    fn tones(frames: usize, (left, right): (f64, f64)) -> Vec<i16> {
        let sample = |at: usize, hz: f64| ((at as f64 * hz * std::f64::consts::TAU / 8000.0).sin() * 8000.0) as i16;
        (0..frames * FRAME_SAMPLES).flat_map(|at| [sample(at, left), sample(at, right)]).collect()
    }

    /// Returns the level of a tone in one channel.
    fn level(samples: &[i16], channel: usize, hz: f64) -> f64 {
        let of: Vec<f64> = samples.chunks(2).map(|both| f64::from(both[channel])).collect();
        let turn = |at: usize| at as f64 * hz * std::f64::consts::TAU / 8000.0;
        let (sin, cos) = of.iter().enumerate().fold((0.0, 0.0), |(sin, cos), (at, sample)| {
            (sin + sample * turn(at).sin(), cos + sample * turn(at).cos())
        });
        2.0 * (sin * sin + cos * cos).sqrt() / of.len() as f64
    }

    /// Lists the packets of an Ogg file, by the lacing of its pages.
    fn packets(file: &[u8]) -> Vec<Vec<u8>> {
        let (mut at, mut packets, mut packet) = (0, Vec::new(), Vec::new());
        while at + 27 <= file.len() {
            let segments = usize::from(file[at + 26]);
            let mut from = at + 27 + segments;
            for length in &file[at + 27..at + 27 + segments] {
                packet.extend_from_slice(&file[from..from + usize::from(*length)]);
                from += usize::from(*length);
                if *length < 255 {
                    packets.push(std::mem::take(&mut packet));
                }
            }
            at = from;
        }
        packets
    }

    fn opus(stereo: &[i16]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = RecordingEncoder::new(Container::Opus, Channels::Dual, None, 7, &mut file).unwrap();
        for block in stereo.chunks(3200) {
            encoder.push(block, &mut file);
        }
        encoder.finish(&mut file);
        file
    }

    #[test]
    fn opus_keeps_the_parties_apart_and_the_length_to_the_sample() {
        let file = opus(&tones(150, (500.0, 1250.0)));
        let mut count = PageCounter::default();
        count.push(&file);
        assert!(count.is_whole());
        assert_eq!((count.bytes(), count.milliseconds()), (file.len() as u64, 3000));
        let packets = packets(&file);
        assert!(packets[0].starts_with(b"OpusHead") && packets[1].starts_with(b"OpusTags"));
        let pre_skip = usize::from(u16::from_le_bytes([packets[0][10], packets[0][11]])) / 6;
        let mut decoder = Decoder::new(8000, OpusChannels::Stereo).unwrap();
        let mut samples = Vec::new();
        for packet in &packets[2..] {
            let mut frame = [0; 2 * FRAME_SAMPLES];
            assert_eq!(decoder.decode(packet, &mut frame, DecodeMode::Normal).unwrap(), FRAME_SAMPLES);
            samples.extend_from_slice(&frame);
        }
        let samples = &samples[2 * pre_skip..2 * pre_skip + 2 * 8000 * 3];
        let last = &samples[16_000..];
        assert!(level(last, 0, 500.0) > 4000.0 && level(last, 1, 1250.0) > 4000.0);
        assert!(level(last, 1, 500.0) < 400.0, "{}", level(last, 1, 500.0));
        assert!(level(last, 0, 1250.0) < 400.0, "{}", level(last, 0, 1250.0));
    }

    #[test]
    fn pages_of_opus_are_at_most_a_second_apart() {
        let mut file = Vec::new();
        let mut encoder = RecordingEncoder::new(Container::Opus, Channels::Mono, None, 7, &mut file).unwrap();
        let mut ends = vec![file.len()];
        for block in tones(500, (300.0, 900.0)).chunks(3200) {
            encoder.push(block, &mut file);
            ends.push(file.len());
            let mut count = PageCounter::default();
            count.push(&file);
            assert_eq!(count.bytes(), file.len() as u64, "whole pages only");
            assert!(encoder.milliseconds() < count.milliseconds() + 1100);
        }
    }

    #[test]
    fn wav_has_the_samples_and_a_header_of_its_length() {
        let stereo = tones(10, (500.0, 700.0));
        let mut file = Vec::new();
        let mut encoder = RecordingEncoder::new(Container::Wav, Channels::Dual, None, 0, &mut file).unwrap();
        encoder.push(&stereo, &mut file);
        assert_eq!(encoder.push_silence(70, &mut file), 50);
        let header = encoder.header(file.len() as u64).unwrap();
        assert_eq!((encoder.frames(), encoder.milliseconds()), (60, 1200));
        assert_eq!(header, wav::header(Channels::Dual, DataBytes::Known(60 * 640)));
        let samples: Vec<i16> = file[80..].as_chunks().0.iter().map(|two| i16::from_le_bytes(*two)).collect();
        assert_eq!(
            (&samples[..stereo.len()], samples[stereo.len()..].iter().any(|sample| *sample != 0)),
            (&stereo[..], false)
        );
    }

    /// Suspends an encoder, and resumes it as another process does.
    fn crossed(encoder: RecordingEncoder, to: &mut Vec<u8>) -> RecordingEncoder {
        RecordingEncoder::resume(encoder.suspend(to)).unwrap()
    }

    #[test]
    fn a_wav_file_and_an_encrypted_one_go_on_byte_by_byte_in_another_encoder() {
        let key = crate::age::AgeIdentity::from_secret([9; 32]).unwrap();
        let encryption =
            FileEncryption { recipient: key.recipient(), randomness: crate::age::FileRandomness::new([7; 64]) };
        for encryption in [None, Some(&encryption)] {
            let audio = tones(500, (300.0, 500.0));
            let make = |crosses: bool| {
                let mut file = Vec::new();
                let mut encoder =
                    RecordingEncoder::new(Container::Wav, Channels::Dual, encryption, 1, &mut file).unwrap();
                for (at, frame) in audio.chunks(2 * FRAME_SAMPLES).enumerate() {
                    encoder.push(frame, &mut file);
                    if crosses && at % 170 == 100 {
                        encoder = crossed(encoder, &mut file);
                    }
                }
                assert_eq!(encoder.frames(), 500);
                encoder.finish(&mut file);
                file
            };
            assert!(make(true) == make(false), "encrypted: {}", encryption.is_some());
        }
    }

    #[test]
    fn an_opus_file_goes_on_without_a_lost_or_doubled_sample() {
        let audio = tones(200, (300.0, 500.0));
        let decode = |file: &[u8]| {
            let mut decoder = Decoder::new(crate::limits::RATE_HZ, OpusChannels::Stereo).unwrap();
            let (mut samples, mut reader) = (Vec::new(), crate::ogg::PacketReader::default());
            let mut decoded = [0; 2 * FRAME_SAMPLES];
            reader.push(file, |number, packet| {
                if number.is_some() {
                    decoder.decode(packet, &mut decoded, DecodeMode::Normal).unwrap();
                    samples.extend_from_slice(&decoded);
                }
            });
            samples
        };
        let make = |crosses: bool| {
            let mut file = Vec::new();
            let mut encoder = RecordingEncoder::new(Container::Opus, Channels::Dual, None, 1, &mut file).unwrap();
            for (at, frame) in audio.chunks(2 * FRAME_SAMPLES).enumerate() {
                encoder.push(frame, &mut file);
                if crosses && at % 70 == 40 {
                    encoder = crossed(encoder, &mut file);
                }
            }
            encoder.finish(&mut file);
            let mut count = PageCounter::default();
            count.push(&file);
            assert!(count.is_whole() && count.milliseconds() == 4000);
            decode(&file)
        };
        let (crossed, whole) = (make(true), make(false));
        assert_eq!(crossed.len(), whole.len());
        let error: f64 = crossed.iter().zip(&whole).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        let power: f64 = whole.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        // A lost or doubled sample would shift the tones by a twelfth of a turn or more.
        assert!(error < power / 100.0, "{}", error / power);
    }
}
