//! Opus out of Ogg (RFC 7845), decoded at 8 kHz and to one channel at once: the decoder leaves out what lies above.

use ropus::{Channels, DecodeMode, Decoder};
use symphonia::core::packet::Packet;

use super::RATE_HZ;

/// Samples at 48 kHz, which a file counts by, for one of ours.
const COUNTED: usize = 48_000 / RATE_HZ;
/// The longest packet, 120 ms (RFC 6716 §2.1.4).
const PACKET_SAMPLES: usize = RATE_HZ * 120 / 1000;

/// A stream that is being decoded.
pub(super) struct Opus {
    decoder: Decoder,
    /// Samples at the beginning that are not to be heard.
    skip: usize,
    decoded: [i16; PACKET_SAMPLES],
}

impl Opus {
    /// A stream that begins with this `OpusHead` (RFC 7845 §5.1).
    pub(super) fn new(head: &[u8]) -> Result<Opus, String> {
        let short = |at: usize| Some(i16::from_le_bytes([*head.get(at)?, *head.get(at + 1)?]));
        let cut = "Ogg Opus with a truncated header";
        let (skip, gain, mapping) = (short(10).ok_or(cut)?, short(16).ok_or(cut)?, head.get(18).ok_or(cut)?);
        if *mapping != 0 {
            return Err("Ogg Opus with more than two channels".to_owned());
        }
        let fault = |error: &dyn std::fmt::Display| format!("Ogg Opus that cannot be decoded: {error}");
        let mut decoder = Decoder::new(RATE_HZ as u32, Channels::Mono).map_err(|error| fault(&error))?;
        decoder.set_gain(i32::from(gain)).map_err(|error| fault(&error))?;
        let skip = usize::from(skip.cast_unsigned()) / COUNTED;
        Ok(Opus { decoder, skip, decoded: [0; PACKET_SAMPLES] })
    }

    /// How many samples a packet has, and what is heard of them; `None` for one that is damaged.
    pub(super) fn decode(&mut self, packet: &Packet) -> Option<(usize, &[i16])> {
        // The decoder would take it for one that was lost.
        if packet.data.is_empty() {
            return None;
        }
        let made = self.decoder.decode(&packet.data, &mut self.decoded, DecodeMode::Normal).ok()?;
        let beyond = usize::try_from(packet.trim_end.get()).unwrap_or(usize::MAX) / COUNTED;
        let skipped = self.skip.min(made);
        self.skip -= skipped;
        let heard = self.decoded.get(skipped..made.saturating_sub(beyond).max(skipped))?;
        Some((made, heard))
    }
}
