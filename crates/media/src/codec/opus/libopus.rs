//! Opus encoder and decoder by libopus, in C.

use opusic_c::{Application, Bandwidth, Bitrate, Channels, InbandFec, SampleRate, Signal};

use super::{OpusBandwidth, OpusSettings};

/// Longest packet, in milliseconds (RFC 6716 §2.1.4).
const LONGEST_MS: usize = 120;
/// Samples of the longest packet at the highest rate.
const LONGEST: usize = LONGEST_MS * 48;

fn sample_rate(rate_hz: u32) -> Option<SampleRate> {
    Some(match rate_hz {
        8000 => SampleRate::Hz8000,
        12_000 => SampleRate::Hz12000,
        16_000 => SampleRate::Hz16000,
        24_000 => SampleRate::Hz24000,
        48_000 => SampleRate::Hz48000,
        _ => return None,
    })
}

/// Opus encoder from samples to packets.
pub struct Encoder(opusic_c::Encoder);

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// Creates an encoder; `None` if the library rejects the settings.
    pub fn new(settings: OpusSettings) -> Option<Encoder> {
        let bandwidth = match settings.band {
            OpusBandwidth::Narrow => Bandwidth::Narrow,
            OpusBandwidth::Medium => Bandwidth::Medium,
            OpusBandwidth::Wide => Bandwidth::Wide,
            OpusBandwidth::SuperWide => Bandwidth::Superwide,
            OpusBandwidth::Full => Bandwidth::Full,
        };
        let fec = if settings.fec_percent > 0 { InbandFec::Mode1 } else { InbandFec::Off };
        let rate = sample_rate(settings.rate_hz)?;
        let mut encoder = opusic_c::Encoder::new(Channels::Mono, rate, Application::Voip).ok()?;
        encoder.set_bitrate(Bitrate::Value(settings.bit_rate)).ok()?;
        encoder.set_complexity(settings.complexity).ok()?;
        encoder.set_signal(Signal::Voice).ok()?;
        encoder.set_max_bandwidth(bandwidth).ok()?;
        encoder.set_inband_fec(fec).ok()?;
        encoder.set_packet_loss(settings.fec_percent).ok()?;
        encoder.set_dtx(settings.dtx).ok()?;
        Some(Encoder(encoder))
    }

    /// Sets in-band FEC; has no effect if the library rejects the setting.
    pub(crate) fn set_fec(&mut self, fec: bool) {
        _ = self.0.set_inband_fec(if fec { InbandFec::Mode1 } else { InbandFec::Off });
    }

    /// Encodes a frame and returns the number of bytes; `None` if the frame length is not one of Opus.
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> Option<usize> {
        // The wrapper passes 16-bit values as unsigned; the library reads them as signed.
        let mut unsigned = [0; LONGEST / 2];
        let unsigned = unsigned.get_mut(..samples.len())?;
        unsigned.iter_mut().zip(samples).for_each(|(to, sample)| *to = sample.cast_unsigned());
        self.0.encode_to_slice(unsigned, packet).ok()
    }
}

/// Opus decoder from packets to samples.
pub struct Decoder(opusic_c::Decoder);

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// Creates a decoder; `None` if Opus does not support the sampling rate.
    pub fn new(rate_hz: u32) -> Option<Decoder> {
        opusic_c::Decoder::new(Channels::Mono, sample_rate(rate_hz)?).ok().map(Decoder)
    }

    /// Decodes a packet and returns the number of samples; `None` if the packet is damaged. An empty packet conceals a
    /// lost one; `before` decodes the FEC copy of the preceding packet, up to the length of `samples`.
    pub fn decode(&mut self, packet: &[u8], samples: &mut [i16], before: bool) -> Option<usize> {
        let mut unsigned = [0; LONGEST];
        let room = unsigned.get_mut(..samples.len().min(LONGEST))?;
        let count = self.0.decode_to_slice(packet, room, before).ok()?;
        room.iter().zip(samples.iter_mut()).take(count).for_each(|(from, to)| *to = from.cast_signed());
        Some(count)
    }
}
