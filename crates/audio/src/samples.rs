//! Uncompressed samples: PCM of 8 to 32 bits, floating point, μ-law and A-law, in either byte order.

use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw};

use super::decode::NarrowbandSink;

/// Number of bytes decoded in one step.
const PIECE_BYTES: usize = 1 << 16;
/// Maximum number of channels of a file.
const MOST_CHANNELS: usize = 64;

/// Encoding of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleKind {
    /// Signed integers (linear PCM).
    Pcm,
    /// Unsigned integers (linear PCM with an offset).
    Unsigned,
    Float,
    ALaw,
    MuLaw,
}

/// Byte order of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

/// Sample format of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleFormat {
    pub(super) kind: SampleKind,
    pub(super) order: ByteOrder,
    pub(super) channels: usize,
    pub(super) rate: u32,
    /// Number of bytes of one sample.
    pub(super) bytes: usize,
}

impl SampleFormat {
    /// Format of telephone networks: one channel of μ-law at 8 kHz.
    pub(super) const TELEPHONE: SampleFormat =
        SampleFormat { kind: SampleKind::MuLaw, order: ByteOrder::Big, channels: 1, rate: 8000, bytes: 1 };

    /// Decodes samples; an incomplete frame at the end is ignored.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of channels is 0 or above [`MOST_CHANNELS`], or if the sink rejects the audio.
    pub(super) fn decode(self, samples: &[u8], sink: &mut NarrowbandSink) -> Result<(), String> {
        if self.channels == 0 || self.channels > MOST_CHANNELS {
            return Err(format!("{} channels", self.channels));
        }
        let frame = self.bytes * self.channels;
        for piece in samples.chunks(PIECE_BYTES / frame * frame) {
            let samples = piece.chunks_exact(frame).flat_map(|frame| frame.chunks_exact(self.bytes));
            sink.push(self.rate, self.channels, samples.map(|bytes| self.sample(bytes)))?;
        }
        Ok(())
    }

    /// Returns a sample, scaled to −1 to 1.
    fn sample(self, bytes: &[u8]) -> f32 {
        let whole = |sample: i16| f32::from(sample) / 32_768.0;
        let first = bytes.first().copied().unwrap_or_default();
        match self.kind {
            SampleKind::MuLaw => whole(decode_ulaw(first)),
            SampleKind::ALaw => whole(decode_alaw(first)),
            SampleKind::Unsigned => (f32::from(first) - 128.0) / 128.0,
            SampleKind::Pcm => {
                // The cast keeps the upper bits, which hold the sample.
                let shifted = self.number(bytes) << (32 - 8 * self.bytes.clamp(1, 4));
                shifted as u32 as i32 as f32 / 2_147_483_648.0
            }
            SampleKind::Float => {
                let number = self.number(bytes);
                let sample =
                    if self.bytes == 8 { f64::from_bits(number) as f32 } else { f32::from_bits(number as u32) };
                if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
            }
        }
    }

    fn number(self, bytes: &[u8]) -> u64 {
        match self.order {
            ByteOrder::Little => little(bytes),
            ByteOrder::Big => big(bytes),
        }
    }
}

/// Reads a little-endian number of up to 64 bits.
pub(super) fn little(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Reads a big-endian number of up to 64 bits.
pub(super) fn big(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
