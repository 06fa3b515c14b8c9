//! Specification of a wire's transcoding.

use crate::codec::PayloadCodec;

/// Telephone-events (RFC 4733): numbers and clocks of source and sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EventsSpec {
    /// Payload type and clock rate (Hz) of the source.
    pub from: (u8, u32),
    /// Payload type and clock rate (Hz) of the sink.
    pub to: (u8, u32),
}

/// Transcoding of one end's audio for another. Each packet is decoded on arrival; packets of the sink's length leave as
/// soon as they are full.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TranscodeSpec {
    /// Payload types of the source to transcode; others pass as the wire specifies.
    pub from: Vec<(u8, PayloadCodec)>,
    /// The sink's payload type.
    pub to: (u8, PayloadCodec),
    /// Duration of the sink's packets, in milliseconds: 10 to 60; Opus supports 10, 20, 40 and 60.
    pub packet_ms: u8,
    /// Telephone-events, which pass in the stream of the audio.
    pub events: Vec<EventsSpec>,
    /// Comfort noise (RFC 3389): the source's payload type, and the sink's if it accepts it.
    pub noise: Option<(u8, Option<u8>)>,
}

impl TranscodeSpec {
    /// Returns whether a payload type is transcoded audio.
    pub(crate) fn converts(&self, number: u8) -> bool {
        self.from.iter().any(|(from, _)| *from == number)
    }
}
