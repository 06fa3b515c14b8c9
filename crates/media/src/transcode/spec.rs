//! Conversion of a wire's audio, in plain data.

use crate::codec::Coding;

/// Telephone-events (RFC 4733), as the source numbers and times them and as the sink does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EventsSpec {
    /// Payload number and clock (Hz) of the source.
    pub from: (u8, u32),
    /// Payload number and clock (Hz) of the sink.
    pub to: (u8, u32),
}

/// Conversion of one end's audio into another's. What it leaves in a packet is decoded as it comes and leaves, in
/// packets of the sink's length, as soon as one is full.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TranscodeSpec {
    /// Payload numbers of the source that are converted; others pass as the wire says.
    pub from: Vec<(u8, Coding)>,
    /// The sink's payload number.
    pub to: (u8, Coding),
    /// The length of the sink's packets, in milliseconds: 10 to 60; Opus has 10, 20, 40 and 60.
    pub packet_ms: u8,
    /// Telephone-events, which pass in the stream of the audio.
    pub events: Vec<EventsSpec>,
    /// Comfort noise (RFC 3389): the source's payload number, and the sink's where it takes it.
    pub noise: Option<(u8, Option<u8>)>,
}

impl TranscodeSpec {
    /// Whether a payload number is audio that is converted.
    pub(crate) fn converts(&self, number: u8) -> bool {
        self.from.iter().any(|(from, _)| *from == number)
    }
}
