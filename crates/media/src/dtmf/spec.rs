//! DTMF settings of a wire: the form of digits from its source, and the form towards its sink.

use crate::codec::PayloadCodec;

/// DTMF conversion of a wire between sides with different forms. The edge removes digits from the source's media.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DtmfConversion {
    /// Telephone-events of the source: payload type and clock rate (Hz).
    pub events: Vec<(u8, u32)>,
    /// Whether DTMF tones in the source's audio are digits. Only audio that the wire transcodes, or that is sent to an
    /// agent, is analysed.
    #[serde(default)]
    pub tones: bool,
    /// Form of digits towards the sink; `None` passes them to signalling by
    /// [`MediaEvent::Key`](crate::spec::MediaEvent).
    pub press: Option<DigitFormat>,
    /// Set if only digits are wanted from the source: payload type and codec of its audio, which is not forwarded. A
    /// digit is reported to signalling when it begins, with a duration of 0 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits_only: Option<(u8, PayloadCodec)>,
}

/// Form of a digit towards a remote party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum DigitFormat {
    /// Telephone-event (RFC 4733).
    Event {
        /// Payload type that the remote party has negotiated for telephone-event.
        payload: u8,
        /// Clock rate in Hz, equal to that of the audio.
        clock_hz: u32,
    },
    /// Tone in the audio (ITU-T Q.23): injected if another remote party feeds the end, otherwise part of the stream
    /// that the edge generates.
    Tone {
        /// Payload type of the audio in which tones are sent.
        payload: u8,
        /// Codec of the audio in which tones are sent.
        coding: PayloadCodec,
    },
}

impl DigitFormat {
    /// Returns the codec of the tones; `None` for telephone-events.
    pub(crate) fn tone_coding(self) -> Option<PayloadCodec> {
        match self {
            DigitFormat::Event { .. } => None,
            DigitFormat::Tone { coding, .. } => Some(coding),
        }
    }
}
