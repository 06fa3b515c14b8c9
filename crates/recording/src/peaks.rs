//! Levels of a finished file over time, for a waveform.

use ropus::{DecodeMode, Decoder};

use crate::limits::{FRAME_MS, FRAME_SAMPLES, PEAK_PACKETS, PEAKS, RATE_HZ};
use crate::ogg::PacketReader;
use crate::opus::of_codec;
use crate::wav::HEADER_BYTES;
use crate::{Channels, Container};

/// Length of a run of decoded packets if only a part is decoded: 1 s.
const RUN_PACKETS: u64 = 50;
/// Packets at the beginning of a run that are not used, because the codec lacks the audio before them.
const UNHEARD_PACKETS: u64 = 2;
/// Samples of the longest packet, 120 ms (RFC 6716 §2.1.4).
const PACKET_SAMPLES: usize = FRAME_SAMPLES * 6;

/// Peak levels of equal parts of a recording, for each channel. A long Opus recording is only decoded in part.
#[derive(Debug)]
pub struct PeakLevels {
    channels: Channels,
    /// Samples of each channel.
    samples: u64,
    levels: Vec<Vec<u8>>,
    body: PeakFormat,
}

enum PeakFormat {
    /// Bytes received or skipped, and the first half of a divided sample.
    Wav {
        seen: u64,
        half: Option<u8>,
    },
    Opus(Box<OpusPeaks>),
}

struct OpusPeaks {
    packets: PacketReader,
    decoder: Decoder,
    /// Divisor for partial decoding: one in this many runs is decoded.
    one_in: u64,
}

impl std::fmt::Debug for PeakFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, PeakFormat::Wav { .. }) { "Wav" } else { "Opus" })
    }
}

impl PeakLevels {
    /// Starts the waveform of a recording of this duration, with at most [`PEAKS`] parts. Returns `None` if a library
    /// fails, which no input causes.
    pub fn new(kind: (Container, Channels), milliseconds: u64) -> Option<PeakLevels> {
        PeakLevels::with_packet_limit(kind, milliseconds, PEAK_PACKETS)
    }

    /// Starts a waveform that decodes at most this many Opus packets.
    fn with_packet_limit(
        (container, channels): (Container, Channels),
        milliseconds: u64,
        packets: u64,
    ) -> Option<PeakLevels> {
        let frames = milliseconds / u64::from(FRAME_MS);
        let parts = usize::try_from(frames).unwrap_or(usize::MAX).min(PEAKS);
        let body = match container {
            Container::Wav => PeakFormat::Wav { seen: 0, half: None },
            Container::Opus => {
                let decoder = Decoder::new(RATE_HZ, of_codec(channels)).ok()?;
                let one_in = frames.div_ceil(packets).max(1);
                PeakFormat::Opus(Box::new(OpusPeaks { packets: PacketReader::default(), decoder, one_in }))
            }
        };
        let levels = vec![vec![0; parts]; usize::from(channels.count())];
        Some(PeakLevels { channels, samples: frames * FRAME_SAMPLES as u64, levels, body })
    }

    /// Returns whether parts of the contents may be skipped by [`Self::skip`], as in a WAV file.
    pub fn may_skip(&self) -> bool {
        matches!(self.body, PeakFormat::Wav { .. })
    }

    /// Returns whether only some packets are decoded, because there are too many.
    pub fn is_decoded_in_part(&self) -> bool {
        matches!(&self.body, PeakFormat::Opus(opus) if opus.one_in > 1)
    }

    /// Skips the next bytes of a WAV file, an even number.
    pub fn skip(&mut self, bytes: u64) {
        if let PeakFormat::Wav { seen, half } = &mut self.body {
            *seen += bytes;
            *half = None;
        }
    }

    /// Adds the next bytes of the decrypted contents.
    pub fn push(&mut self, contents: &[u8]) {
        let PeakLevels { channels, samples, levels, body } = self;
        let count = u64::from(channels.count());
        let mut note = |at: u64, channel: usize, sample: i16| {
            let parts = levels.get(channel).map_or(0, Vec::len) as u64;
            let part = (at * parts).checked_div(*samples).and_then(|part| usize::try_from(part).ok());
            if let Some(level) = part.and_then(|part| levels.get_mut(channel)?.get_mut(part)) {
                *level = (*level).max((sample.unsigned_abs() >> 7).min(255) as u8);
            }
        };
        match body {
            PeakFormat::Wav { seen, half } => {
                for byte in contents {
                    *seen += 1;
                    match half.take() {
                        _ if *seen <= HEADER_BYTES => {}
                        None => *half = Some(*byte),
                        Some(low) => {
                            let number = (*seen - HEADER_BYTES) / 2 - 1;
                            note(number / count, (number % count) as usize, i16::from_le_bytes([low, *byte]));
                        }
                    }
                }
            }
            PeakFormat::Opus(opus) => opus.push(contents, channels.count(), &mut note),
        }
    }

    /// Returns the levels of each channel, the caller's first: 0 is silence, 255 full scale.
    pub fn levels(self) -> Vec<Vec<u8>> {
        self.levels
    }
}

impl OpusPeaks {
    fn push(&mut self, contents: &[u8], channels: u16, note: &mut impl FnMut(u64, usize, i16)) {
        let OpusPeaks { packets, decoder, one_in } = self;
        let mut decoded = [0; PACKET_SAMPLES * 2];
        packets.push(contents, |number, packet| {
            let Some(number) = number else { return };
            let is_left_out = !(number / RUN_PACKETS).is_multiple_of(*one_in) || packet.is_empty();
            if is_left_out {
                return;
            }
            let Ok(made) = decoder.decode(packet, &mut decoded, DecodeMode::Normal) else { return };
            if *one_in > 1 && number % RUN_PACKETS < UNHEARD_PACKETS {
                return;
            }
            let begins = number * FRAME_SAMPLES as u64;
            let heard = decoded.chunks_exact(usize::from(channels)).take(made);
            for (at, samples) in (begins..).zip(heard) {
                samples.iter().enumerate().for_each(|(channel, sample)| note(at, channel, *sample));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordingEncoder;

    /// Builds a file in which the caller is loud in the first half, and the audio to the caller in the second.
    fn file(container: Container, channels: Channels, frames: usize) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = RecordingEncoder::new(container, channels, None, 1, &mut file).unwrap();
        for frame in 0..frames {
            let is_first = frame < frames / 2;
            let tone = |at: usize| if at % 8 < 4 { 16_000 } else { -16_000 };
            let stereo: Vec<i16> =
                (0..FRAME_SAMPLES).flat_map(|at| if is_first { [tone(at), 0] } else { [0, tone(at)] }).collect();
            encoder.push(&stereo, &mut file);
        }
        encoder.finish(&mut file);
        file
    }

    fn levels(container: Container, channels: Channels, frames: usize) -> Vec<Vec<u8>> {
        let mut peaks = PeakLevels::with_packet_limit((container, channels), frames as u64 * 20, 1000).unwrap();
        file(container, channels, frames).chunks(997).for_each(|part| peaks.push(part));
        peaks.levels()
    }

    /// Returns the mean level of a range of the parts, in percent.
    fn mean(levels: &[u8], percent: std::ops::Range<usize>) -> usize {
        let part = &levels[levels.len() * percent.start / 100..levels.len() * percent.end / 100];
        part.iter().map(|level| usize::from(*level)).sum::<usize>() / part.len()
    }

    #[test]
    fn each_channel_is_loud_where_its_party_speaks() {
        // Waveforms with fewer frames than parts, with more, and decoded in part.
        for (container, frames) in
            [(Container::Wav, 400), (Container::Wav, 4000), (Container::Opus, 400), (Container::Opus, 2000)]
        {
            let of = levels(container, Channels::Dual, frames);
            assert_eq!((of.len(), of[0].len(), of[1].len()), (2, frames.min(PEAKS), frames.min(PEAKS)));
            for (channel, loud, quiet) in [(0, 0..45, 55..100), (1, 55..100, 0..45)] {
                let (loud, quiet) = (mean(&of[channel], loud), mean(&of[channel], quiet));
                assert!(
                    loud > if frames == 2000 { 40 } else { 90 } && quiet < 12,
                    "{container:?} {frames} {channel}: {loud} {quiet}"
                );
            }
        }
    }

    #[test]
    fn a_mono_recording_has_one_channel_and_an_empty_one_no_levels() {
        let of = levels(Container::Wav, Channels::Mono, 100);
        assert_eq!((of.len(), of[0].len()), (1, 100));
        assert!(of[0].iter().all(|level| *level == 125));
        assert_eq!(levels(Container::Opus, Channels::Dual, 0), [[]; 2] as [[u8; 0]; 2]);
    }

    #[test]
    fn parts_of_a_wav_file_may_be_left_out() {
        let whole = file(Container::Wav, Channels::Dual, 100);
        let mut peaks = PeakLevels::new((Container::Wav, Channels::Dual), 2000).unwrap();
        assert!(peaks.may_skip());
        let (first, rest) = whole.split_at(80 + 640 * 20);
        peaks.push(first);
        peaks.skip(640 * 40);
        peaks.push(&rest[640 * 40..]);
        let of = peaks.levels();
        assert!(of[0][..20].iter().all(|level| *level == 125) && of[0][20..].iter().all(|level| *level == 0));
        assert!(of[1][..60].iter().all(|level| *level == 0) && of[1][60..].iter().all(|level| *level == 125));
    }
}
