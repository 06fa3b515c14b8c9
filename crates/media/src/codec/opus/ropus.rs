//! Opus encoder and decoder by ropus, in pure Rust.

use ::ropus::{Application, Bandwidth, Bitrate, Channels, DecodeMode, InbandFec, Signal};

use super::{OpusBandwidth, OpusSettings};

/// Opus encoder from samples to packets.
pub struct Encoder(::ropus::Encoder);

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("rate_hz", &self.0.sample_rate()).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Creates an encoder; `None` if the library rejects the settings.
    pub fn new(settings: OpusSettings) -> Option<Encoder> {
        let bandwidth = match settings.band {
            OpusBandwidth::Narrow => Bandwidth::Narrowband,
            OpusBandwidth::Medium => Bandwidth::Mediumband,
            OpusBandwidth::Wide => Bandwidth::Wideband,
            OpusBandwidth::SuperWide => Bandwidth::Superwideband,
            OpusBandwidth::Full => Bandwidth::Fullband,
        };
        let encoder = ::ropus::Encoder::builder(settings.rate_hz, Channels::Mono, Application::Voip)
            .bitrate(Bitrate::Bits(settings.bit_rate))
            .complexity(settings.complexity)
            .signal(Signal::Voice)
            .max_bandwidth(bandwidth)
            .inband_fec(if settings.fec_percent > 0 { InbandFec::Enabled } else { InbandFec::Disabled })
            .packet_loss_perc(settings.fec_percent)
            .dtx(settings.dtx)
            .build();
        encoder.ok().map(Encoder)
    }

    /// Sets in-band FEC; has no effect if the library rejects the setting.
    pub(crate) fn set_fec(&mut self, fec: bool) {
        _ = self.0.set_inband_fec(if fec { InbandFec::Enabled } else { InbandFec::Disabled });
    }

    /// Encodes a frame and returns the number of bytes; `None` if the frame length is not one of Opus.
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> Option<usize> {
        self.0.encode(samples, packet).ok()
    }
}

/// Opus decoder from packets to samples.
pub struct Decoder(::ropus::Decoder);

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("rate_hz", &self.0.sample_rate()).finish_non_exhaustive()
    }
}

impl Decoder {
    /// Creates a decoder; `None` if Opus does not support the sampling rate.
    pub fn new(rate_hz: u32) -> Option<Decoder> {
        ::ropus::Decoder::new(rate_hz, Channels::Mono).ok().map(Decoder)
    }

    /// Decodes a packet and returns the number of samples; `None` if the packet is damaged. An empty packet conceals a
    /// lost one; `before` decodes the FEC copy of the preceding packet, up to the length of `samples`.
    pub fn decode(&mut self, packet: &[u8], samples: &mut [i16], before: bool) -> Option<usize> {
        let mode = if before { DecodeMode::Fec } else { DecodeMode::Normal };
        self.0.decode(packet, samples, mode).ok()
    }
}
