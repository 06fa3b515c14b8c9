//! Codecs as negotiated in SDP.

use super::opus::OpusPreferences;
use super::{g722, opus};

/// Codec of an RTP payload type, as negotiated in SDP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PayloadCodec {
    /// G.711, μ-law.
    #[default]
    Pcmu,
    /// G.711, A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// Opus, with the preferences of its receiver; ignored for a codec that the edge decodes.
    Opus(OpusPreferences),
    /// Linear 16-bit little-endian audio at this sampling rate, for agents; never negotiated with a remote party.
    Linear(u32),
}

impl PayloadCodec {
    /// Returns the RTP clock rate of the codec, in Hz.
    pub fn clock_hz(self) -> u32 {
        match self {
            // RFC 3551 §4.5.2 keeps 8000 for G.722 by a historical error.
            PayloadCodec::Pcmu | PayloadCodec::Pcma | PayloadCodec::G722 | PayloadCodec::Linear(_) => 8000,
            PayloadCodec::Opus(_) => opus::CLOCK_HZ,
        }
    }

    /// Returns whether the codec is G.711, which agents send and receive without conversion.
    pub fn is_g711(self) -> bool {
        matches!(self, PayloadCodec::Pcmu | PayloadCodec::Pcma)
    }

    /// Returns the codec's own sampling rate, in Hz; `None` for Opus, which encodes and decodes at several rates.
    pub(crate) fn rate_hz(self) -> Option<u32> {
        match self {
            PayloadCodec::Pcmu | PayloadCodec::Pcma => Some(8000),
            PayloadCodec::G722 => Some(g722::RATE_HZ),
            PayloadCodec::Opus(_) => None,
            PayloadCodec::Linear(rate_hz) => Some(rate_hz),
        }
    }
}
