//! Specification of a wire's transcoding.

use crate::codec::PayloadCodec;

/// Payload types and clocks of telephone-events (RFC 4733) of a source and a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EventsSpec {
    /// Payload type and clock rate (Hz) of the source.
    pub from: (u8, u32),
    /// Payload type and clock rate (Hz) of the sink.
    pub to: (u8, u32),
}

/// Transcoding of one end's audio for another. Each packet is decoded on arrival; packets of the sink's length are
/// sent as soon as they are full.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TranscodeSpec {
    /// Payload types of the source to transcode; others pass as the wire specifies.
    pub from: Vec<(u8, PayloadCodec)>,
    /// Payload type and codec of the sink.
    pub to: (u8, PayloadCodec),
    /// Duration of the sink's packets, in milliseconds: 10 to 60; Opus supports 10, 20, 40 and 60.
    pub packet_ms: u8,
    /// Telephone-events, which are forwarded in order with the audio.
    pub events: Vec<EventsSpec>,
    /// Payload types of comfort noise (RFC 3389): the source's, and the sink's if it accepts comfort noise.
    pub noise: Option<(u8, Option<u8>)>,
}

impl TranscodeSpec {
    /// Returns whether a payload type is transcoded audio.
    pub(crate) fn converts(&self, number: u8) -> bool {
        self.from.iter().any(|(from, _)| *from == number)
    }
}
