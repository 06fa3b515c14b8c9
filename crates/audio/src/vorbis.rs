//! Vorbis I in Ogg, decoded by symphonia to one channel. Headers are checked first, because the decoder trusts them.

use symphonia::core::codecs::audio::well_known::CODEC_ID_VORBIS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder as _, AudioDecoderOptions};
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use symphonia::default::codecs::VorbisDecoder;

use super::vorbis_setup;

const IDENTIFICATION: &[u8] = b"\x01vorbis";
const SETUP: &[u8] = b"\x05vorbis";
/// Size of the identification header, in bytes (Vorbis I §4.2.2).
const IDENTIFICATION_BYTES: usize = 30;
/// Maximum channels with a defined order (Vorbis I §4.3.9).
const CHANNELS: u8 = 8;
/// Permitted block sizes, as exponents of 2.
const BLOCKS: std::ops::RangeInclusive<u8> = 6..=13;

/// Vorbis stream being decoded.
pub(super) struct VorbisStream {
    identification: [u8; IDENTIFICATION_BYTES],
    channels: u8,
    rate: u32,
    /// Decoder; `None` before the setup header.
    decoder: Option<VorbisDecoder>,
    /// Interleaved samples of the last packet.
    interleaved: Vec<f32>,
}

impl VorbisStream {
    /// Returns whether a packet begins a Vorbis stream.
    pub(super) fn begins_with(packet: &[u8]) -> bool {
        packet.starts_with(IDENTIFICATION)
    }

    /// Parses the identification header of a stream.
    pub(super) fn new(packet: &[u8]) -> Result<VorbisStream, String> {
        let cut = "damaged: its identification header is truncated";
        let identification: &[u8; IDENTIFICATION_BYTES] = packet.first_chunk().ok_or(cut)?;
        let &[_, _, _, _, _, _, _, v0, v1, v2, v3, channels, r0, r1, r2, r3, .., blocks, framing] = identification;
        let (short, long) = (blocks & 0x0f, blocks >> 4);
        if [v0, v1, v2, v3] != [0; 4] || framing & 1 == 0 {
            return Err("damaged: its identification header is not a Vorbis I header".to_owned());
        }
        if channels == 0 || channels > CHANNELS {
            return Err(format!("{channels} channels, not 1 to {CHANNELS}"));
        }
        if !BLOCKS.contains(&short) || !BLOCKS.contains(&long) || short > long {
            return Err("damaged: Vorbis I does not permit its block sizes".to_owned());
        }
        let rate = u32::from_le_bytes([r0, r1, r2, r3]);
        Ok(VorbisStream { identification: *identification, channels, rate, decoder: None, interleaved: Vec::new() })
    }

    /// Returns the sampling rate, in Hz.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Processes a packet if it is a header; returns whether it is one.
    ///
    /// # Errors
    ///
    /// Returns the reason if the setup header is damaged or the decoder rejects it.
    pub(super) fn take_header(&mut self, packet: &[u8]) -> Result<bool, String> {
        if let Some(setup) = packet.strip_prefix(SETUP).filter(|_| self.decoder.is_none()) {
            let damaged = |what: &dyn std::fmt::Display| format!("damaged: {what}");
            vorbis_setup::check(setup, self.channels).map_err(|what| damaged(&what))?;
            let mut parameters = AudioCodecParameters::new();
            let headers = [&self.identification, packet].concat();
            parameters.for_codec(CODEC_ID_VORBIS).with_extra_data(headers.into_boxed_slice());
            let options = AudioDecoderOptions::default();
            self.decoder = Some(VorbisDecoder::try_new(&parameters, &options).map_err(|error| damaged(&error))?);
        }
        // Headers have odd numbers (Vorbis I §4.2.1).
        Ok(packet.first().is_some_and(|kind| kind & 1 == 1))
    }

    /// Appends the samples of a packet; `None` if the packet is damaged.
    pub(super) fn decode(&mut self, packet: &[u8], to: &mut Vec<f32>) -> Option<()> {
        let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, packet);
        let decoded = self.decoder.as_mut()?.decode_ref(&packet).ok()?;
        decoded.copy_to_vec_interleaved(&mut self.interleaved);
        let channels = usize::from(self.channels);
        to.extend(self.interleaved.chunks(channels).map(|instant| instant.iter().sum::<f32>() / channels as f32));
        Some(())
    }
}
