//! Codecs by what they are in a description.

use super::opus::Wanted;
use super::{g722, opus};

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
    /// Returns its RTP clock, in Hz.
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

    /// Returns its own samples per second; `None` where it takes those of the other side.
    pub(crate) fn rate_hz(self) -> Option<u32> {
        match self {
            Coding::Pcmu | Coding::Pcma => Some(8000),
            Coding::G722 => Some(g722::RATE_HZ),
            Coding::Opus(_) => None,
            Coding::Linear(rate_hz) => Some(rate_hz),
        }
    }
}
