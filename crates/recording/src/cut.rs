//! Range of the frames of a finished file, as a file of its own.

use std::ops::Range;

use crate::envelope::{FileEncryption, FileEnvelope};
use crate::limits::FRAME_SAMPLES;
use crate::ogg::OpusCut;
use crate::wav::{self, DataBytes, HEADER_BYTES};
use crate::{Channels, Container};

/// Converts the contents of a finished file to those of a file with some of its frames, without encoding again.
#[derive(Debug)]
pub struct FrameExtractor {
    body: ExtractorFormat,
    envelope: FileEnvelope,
}

#[derive(Debug)]
enum ExtractorFormat {
    /// Byte range of the contents that the new file keeps, and number of bytes received so far.
    Wav {
        kept: Range<u64>,
        seen: u64,
    },
    Opus(Box<OpusCut>),
}

impl FrameExtractor {
    /// Starts a file with some frames of 20 ms of a recording and appends its beginning. `serial` distinguishes Ogg
    /// streams. Returns `None` if a library fails, which no input causes.
    pub fn new(
        (container, channels): (Container, Channels),
        frames: Range<u64>,
        encryption: Option<&FileEncryption>,
        serial: u32,
        to: &mut Vec<u8>,
    ) -> Option<FrameExtractor> {
        let mut envelope = FileEnvelope::new(encryption, to)?;
        let body = match container {
            Container::Wav => {
                let of_frame = u64::from(channels.count()) * 2 * FRAME_SAMPLES as u64;
                let kept = HEADER_BYTES + frames.start * of_frame..HEADER_BYTES + frames.end * of_frame;
                envelope.plain().extend_from_slice(&wav::header(channels, DataBytes::Known(kept.end - kept.start)));
                ExtractorFormat::Wav { kept, seen: 0 }
            }
            Container::Opus => ExtractorFormat::Opus(Box::new(OpusCut::new(frames, serial))),
        };
        envelope.write(to);
        Some(FrameExtractor { body, envelope })
    }

    /// Adds the next bytes of the decrypted contents, in order; bytes of the file are appended.
    pub fn push(&mut self, contents: &[u8], to: &mut Vec<u8>) {
        match &mut self.body {
            ExtractorFormat::Wav { kept, seen } => {
                let within = |place: u64| usize::try_from(place.saturating_sub(*seen)).unwrap_or(usize::MAX);
                let end = within(kept.end).min(contents.len());
                self.envelope
                    .plain()
                    .extend_from_slice(contents.get(within(kept.start).min(end)..end).unwrap_or_default());
                *seen += contents.len() as u64;
            }
            ExtractorFormat::Opus(cut) => cut.push(contents, self.envelope.plain()),
        }
        self.envelope.write(to);
    }

    /// Appends the end of the new file.
    pub fn finish(mut self, to: &mut Vec<u8>) {
        if let ExtractorFormat::Opus(cut) = self.body {
            cut.finish(self.envelope.plain());
        }
        self.envelope.finish(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordingEncoder;
    use crate::ogg::PageCounter;

    /// Builds a file in which the samples are the numbers of their frames.
    fn file(container: Container, channels: Channels, frames: i16) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = RecordingEncoder::new(container, channels, None, 1, &mut file).unwrap();
        for frame in 0..frames {
            encoder.push(&[frame, 0].repeat(FRAME_SAMPLES), &mut file);
        }
        let header = encoder.header(file.len() as u64);
        encoder.finish(&mut file);
        header.into_iter().for_each(|header| file[..header.len()].copy_from_slice(&header));
        file
    }

    fn cut(container: Container, channels: Channels, file: &[u8], frames: Range<u64>) -> Vec<u8> {
        let mut made = Vec::new();
        let mut cut = FrameExtractor::new((container, channels), frames, None, 2, &mut made).unwrap();
        for piece in file.chunks(997) {
            cut.push(piece, &mut made);
        }
        cut.finish(&mut made);
        made
    }

    #[test]
    fn a_wav_file_has_the_frames_that_remain_and_a_header_of_their_length() {
        for channels in [Channels::Mono, Channels::Dual] {
            let whole = file(Container::Wav, channels, 50);
            assert_eq!(cut(Container::Wav, channels, &whole, 0..50), whole);
            let made = cut(Container::Wav, channels, &whole, 7..31);
            let of_frame = usize::from(channels.count()) * 2 * FRAME_SAMPLES;
            assert_eq!(made[..80], wav::header(channels, DataBytes::Known(24 * of_frame as u64)));
            assert_eq!(made[80..], whole[80 + 7 * of_frame..80 + 31 * of_frame]);
        }
    }

    #[test]
    fn an_opus_file_has_the_packets_that_remain_and_the_length_to_the_sample() {
        let whole = file(Container::Opus, Channels::Dual, 200);
        for (frames, milliseconds) in [(0..200, 4000), (60..199, 2780), (120..130, 200)] {
            let made = cut(Container::Opus, Channels::Dual, &whole, frames);
            let mut count = PageCounter::default();
            count.push(&made);
            assert!(count.is_whole());
            assert_eq!((count.bytes(), count.milliseconds()), (made.len() as u64, milliseconds));
        }
    }
}
