//! Opus in Ogg (RFC 7845), decoded directly to 8 kHz and one channel: the decoder discards higher frequencies.

use ropus::{Channels, DecodeMode, Decoder};

use super::RATE_HZ;

/// Samples of the longest packet, 120 ms (RFC 6716 §2.1.4).
const PACKET_SAMPLES: usize = RATE_HZ * 120 / 1000;
const HEAD: &[u8] = b"OpusHead";
const TAGS: &[u8] = b"OpusTags";

/// Opus stream being decoded.
pub(super) struct OpusStream {
    decoder: Decoder,
    /// Number of samples that still must be discarded at the beginning (pre-skip).
    skip: usize,
    decoded: [i16; PACKET_SAMPLES],
}

impl OpusStream {
    /// Sampling rate of the output, in Hz.
    pub(super) const RATE_HZ: u32 = RATE_HZ as u32;
    /// Number of granule positions, which count at 48 kHz, per decoded sample.
    pub(super) const GRANULES: i64 = 48_000 / RATE_HZ as i64;

    /// Returns whether a packet begins an Opus stream.
    pub(super) fn begins_with(packet: &[u8]) -> bool {
        packet.starts_with(HEAD)
    }

    /// Creates the decoder of a stream that begins with the `OpusHead` packet `head` (RFC 7845 §5.1).
    pub(super) fn new(head: &[u8]) -> Result<OpusStream, String> {
        let short = |at: usize| Some(i16::from_le_bytes([*head.get(at)?, *head.get(at + 1)?]));
        let cut = "Ogg Opus with a truncated header";
        let (skip, gain, mapping) = (short(10).ok_or(cut)?, short(16).ok_or(cut)?, head.get(18).ok_or(cut)?);
        if *mapping != 0 {
            return Err("Ogg Opus with more than two channels".to_owned());
        }
        let fault = |error: &dyn std::fmt::Display| format!("Ogg Opus that cannot be decoded: {error}");
        let mut decoder = Decoder::new(OpusStream::RATE_HZ, Channels::Mono).map_err(|error| fault(&error))?;
        decoder.set_gain(i32::from(gain)).map_err(|error| fault(&error))?;
        let skip = i64::from(skip.cast_unsigned()) / OpusStream::GRANULES;
        Ok(OpusStream { decoder, skip: usize::try_from(skip).unwrap_or(0), decoded: [0; PACKET_SAMPLES] })
    }

    /// Returns whether a packet is a header.
    pub(super) fn is_header(packet: &[u8]) -> bool {
        packet.starts_with(HEAD) || packet.starts_with(TAGS)
    }

    /// Appends the samples of a packet; `None` if the packet is damaged.
    pub(super) fn decode(&mut self, packet: &[u8], to: &mut Vec<f32>) -> Option<()> {
        // The decoder would treat an empty packet as a lost one.
        if packet.is_empty() {
            return None;
        }
        let made = self.decoder.decode(packet, &mut self.decoded, DecodeMode::Normal).ok()?;
        to.extend(self.decoded.get(..made)?.iter().map(|sample| f32::from(*sample) / 32_768.0));
        Some(())
    }

    /// Returns how many of the next `count` samples must be discarded, and subtracts them from those still to discard.
    pub(super) fn skip(&mut self, count: usize) -> usize {
        let skipped = self.skip.min(count);
        self.skip -= skipped;
        skipped
    }
}
