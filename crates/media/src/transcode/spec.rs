//! What of a wire is converted, in plain data.

use crate::codec::opus::Wanted;
use crate::codec::{g722, opus};

/// The audio of a payload number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Coding {
    /// G.711, μ-law.
    #[default]
    Pcmu,
    /// G.711, A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// Opus, and what its receiver wants; as a source, that is of no account.
    Opus(Wanted),
    /// Linear 16 bit, little-endian, at so many samples per second: what an agent hears, never a far side.
    Linear(u32),
}

impl Coding {
    /// Its RTP clock, in Hz.
    pub fn clock_hz(self) -> u32 {
        match self {
            // RFC 3551 §4.5.2: G.722's as well, by an error of old.
            Coding::Pcmu | Coding::Pcma | Coding::G722 | Coding::Linear(_) => 8000,
            Coding::Opus(_) => opus::CLOCK_HZ,
        }
    }
    /// Whether it is G.711, which agents hear and speak without more ado.
    pub fn is_g711(self) -> bool {
        matches!(self, Coding::Pcmu | Coding::Pcma)
    }
    /// Its own samples per second; `None` where it takes those of the other side.
    pub(crate) fn rate_hz(self) -> Option<u32> {
        match self {
            Coding::Pcmu | Coding::Pcma => Some(8000),
            Coding::G722 => Some(g722::RATE_HZ),
            Coding::Opus(_) => None,
            Coding::Linear(rate_hz) => Some(rate_hz),
        }
    }
}

/// Telephone-events (RFC 4733), as the source numbers and times them and as the sink does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EventsSpec {
    /// Payload number and clock (Hz) of the source.
    pub from: (u8, u32),
    /// Payload number and clock (Hz) of the sink.
    pub to: (u8, u32),
}

/// How audio of one end becomes audio of another. What it leaves in a packet is decoded as it comes and leaves, in
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
