//! Ogg Opus writer (RFC 7845), from frames of 20 ms to pages.

use ropus::{Application, Bitrate, Channels as OpusChannels, Signal};
use serde::{Deserialize, Serialize};

use crate::Channels;
use crate::limits::{FRAME_SAMPLES, OPUS_COMPLEXITY, OPUS_DUAL_BIT_RATE, OPUS_MONO_BIT_RATE, RATE_HZ};
use crate::ogg::{GRANULES_PER_FRAME, PAGE_PACKETS, PagePosition, PageWriter};

/// Granule positions per sample; their clock is 48 kHz (RFC 7845 §4).
const GRANULES_PER_SAMPLE: u64 = 48_000 / RATE_HZ as u64;
/// Longest packet, in bytes (RFC 6716 §3.4).
const PACKET_BYTES: usize = 1275;
/// Number of the latest frames by which an encoder that continues a file restores the state of the codec: 100 ms.
const WARM_FRAMES: usize = 5;

/// Writer of an Ogg Opus file.
pub(crate) struct OpusFile {
    encoder: ropus::Encoder,
    channels: Channels,
    pages: PageWriter,
    pre_skip: u64,
    frames: u64,
    packets: u64,
    /// Samples of an incomplete frame.
    held: Vec<i16>,
    /// Samples of the latest frames.
    recent: Vec<i16>,
}

/// Writer as plain data, between two pages. The state of the codec is omitted: another encoder gets it from the latest
/// frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpusSnapshot {
    pages: PagePosition,
    frames: u64,
    packets: u64,
    held: Vec<i16>,
    recent: Vec<i16>,
}

impl OpusSnapshot {
    /// Returns the writer that continues after the last page of a file; the audio still in its codec is lost.
    pub(crate) fn of_pages(pages: PagePosition) -> OpusSnapshot {
        let packets = pages.packets();
        OpusSnapshot { pages, frames: packets, packets, held: Vec::new(), recent: Vec::new() }
    }

    /// Returns the number of frames in the file.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }
}

impl std::fmt::Debug for OpusFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpusFile").field("frames", &self.frames).finish_non_exhaustive()
    }
}

/// Returns the channels of a recording as the codec's type.
pub(crate) fn of_codec(channels: Channels) -> OpusChannels {
    match channels {
        Channels::Mono => OpusChannels::Mono,
        Channels::Dual => OpusChannels::Stereo,
    }
}

/// Creates an encoder; `None` if the codec fails, which no input causes.
fn encoder(channels: Channels) -> Option<ropus::Encoder> {
    let bit_rate = match channels {
        Channels::Mono => OPUS_MONO_BIT_RATE,
        Channels::Dual => OPUS_DUAL_BIT_RATE,
    };
    ropus::Encoder::builder(RATE_HZ, of_codec(channels), Application::Voip)
        .bitrate(Bitrate::Bits(bit_rate))
        .complexity(OPUS_COMPLEXITY)
        .signal(Signal::Voice)
        .build()
        .ok()
}

/// Returns the delay of an encoder, in granule positions.
fn pre_skip(encoder: &ropus::Encoder) -> u64 {
    u64::from(encoder.lookahead()) * GRANULES_PER_SAMPLE
}

impl OpusFile {
    /// Returns the writer as plain data, after the open page was appended.
    pub(crate) fn suspend(mut self, to: &mut Vec<u8>) -> OpusSnapshot {
        self.flush(to);
        let OpusFile { pages, frames, packets, held, recent, encoder: _, channels: _, pre_skip: _ } = self;
        OpusSnapshot { pages: pages.position(), frames, packets, held, recent }
    }

    /// Continues a file. Its encoder encodes the latest frames again without writing them, so that the audio still in
    /// the codec is not lost. Returns `None` if the codec fails, which no input causes.
    pub(crate) fn resume(channels: Channels, snapshot: OpusSnapshot) -> Option<OpusFile> {
        let OpusSnapshot { pages, frames, packets, held, recent } = snapshot;
        let mut encoder = encoder(channels)?;
        let mut unused = [0; PACKET_BYTES];
        for samples in recent.chunks_exact(FRAME_SAMPLES * usize::from(channels.count())) {
            encoder.encode(samples, &mut unused).ok()?;
        }
        let (pages, pre_skip) = (PageWriter::resume(pages), pre_skip(&encoder));
        Some(OpusFile { encoder, channels, pages, pre_skip, frames, packets, held, recent })
    }

    /// Starts a file and appends its two header pages. Returns `None` if the codec fails, which no input causes.
    pub(crate) fn new(channels: Channels, serial: u32, to: &mut Vec<u8>) -> Option<OpusFile> {
        let encoder = encoder(channels)?;
        let pre_skip = pre_skip(&encoder);
        let mut pages = PageWriter::new(serial);
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels.count() as u8);
        head.extend_from_slice(&(pre_skip as u16).to_le_bytes());
        head.extend_from_slice(&RATE_HZ.to_le_bytes());
        // No gain, and the channel mapping of one or two channels.
        head.extend_from_slice(&[0, 0, 0]);
        pages.push(&head, 0, to);
        pages.end(false, to);
        let vendor = b"trunkgate";
        let mut tags = b"OpusTags".to_vec();
        tags.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
        tags.extend_from_slice(vendor);
        tags.extend_from_slice(&0_u32.to_le_bytes());
        pages.push(&tags, 0, to);
        pages.end(false, to);
        let (held, recent) = (Vec::new(), Vec::new());
        Some(OpusFile { encoder, channels, pages, pre_skip, frames: 0, packets: 0, held, recent })
    }

    /// Adds samples of all channels; full pages are appended.
    pub(crate) fn push(&mut self, samples: &[i16], to: &mut Vec<u8>) {
        self.held.extend_from_slice(samples);
        let frame = FRAME_SAMPLES * usize::from(self.channels.count());
        let held = std::mem::take(&mut self.held);
        let frames = held.chunks_exact(frame);
        self.held = frames.remainder().to_vec();
        for samples in frames {
            self.frames += 1;
            self.encode(samples, to);
        }
    }

    fn encode(&mut self, samples: &[i16], to: &mut Vec<u8>) {
        let mut packet = [0; PACKET_BYTES];
        self.packets += 1;
        let kept = (WARM_FRAMES - 1) * samples.len();
        self.recent.drain(..self.recent.len().saturating_sub(kept));
        self.recent.extend_from_slice(samples);
        // A frame of 20 ms always fits; an empty packet would count as lost.
        let bytes = self.encoder.encode(samples, &mut packet).unwrap_or(0);
        self.pages.push(packet.get(..bytes).unwrap_or_default(), self.packets * GRANULES_PER_FRAME, to);
        if self.pages.waiting() >= PAGE_PACKETS {
            self.pages.end(false, to);
        }
    }

    /// Appends the open page.
    pub(crate) fn flush(&mut self, to: &mut Vec<u8>) {
        self.pages.end(false, to);
    }

    /// Appends the audio still in the codec, and the last page with the position of the last sample (RFC 7845 §4.4).
    pub(crate) fn finish(mut self, to: &mut Vec<u8>) {
        let ends = self.pre_skip + self.frames * GRANULES_PER_FRAME;
        let silence = vec![0; FRAME_SAMPLES * usize::from(self.channels.count())];
        while self.packets * GRANULES_PER_FRAME < ends {
            self.encode(&silence, to);
        }
        self.pages.set_position(ends);
        self.pages.end(true, to);
    }
}
