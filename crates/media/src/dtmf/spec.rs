//! Forms of DTMF between two sides, in plain data.

use crate::codec::Coding;

/// A wire between sides that press keys in different ways: those of the source are taken out of its media.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PartedSpec {
    /// Telephone-events as the source sends them: payload number and clock (Hz).
    pub events: Vec<(u8, u32)>,
    /// Whether tones in its audio are keys. Only what the wire converts, or what goes to an agent, is looked at.
    #[serde(default)]
    pub tones: bool,
    /// Their form towards the sink; `None`: they are passed to signalling, by `Event::Key`.
    pub press: Option<PressSpec>,
    /// Digits are all that is wanted of the source: payload number and codec of its audio, which goes no further. A digit is
    /// passed to signalling when it begins, with a length of 0 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits_only: Option<(u8, Coding)>,
}

/// Form of a digit towards a remote party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PressSpec {
    /// As a telephone-event (RFC 4733).
    Event {
        /// The far side's payload number.
        payload: u8,
        /// The clock, in Hz: that of the audio.
        clock_hz: u32,
    },
    /// As a tone in the audio (ITU-T Q.23), where another far side feeds the end as this; else in the edge's own
    /// stream.
    Tone {
        /// The audio's payload number.
        payload: u8,
        /// The codec of the audio.
        coding: Coding,
    },
}

impl PressSpec {
    /// Returns the codec of the tones; `None` for telephone-events.
    pub(crate) fn tone_coding(self) -> Option<Coding> {
        match self {
            PressSpec::Event { .. } => None,
            PressSpec::Tone { coding, .. } => Some(coding),
        }
    }
}
