//! DTMF: digits as telephone-events (RFC 4733) and as tones (ITU-T Q.23, Q.24), received, sent, and detected in audio.
//!
//! This module holds all code that handles digits. The form for each side is negotiated elsewhere ([`DigitFormat`],
//! [`DtmfConversion`]); the session routes digits between ends; [`transcode`](crate::transcode) retimes events next to
//! transcoded audio.

mod detector;
mod digit;
mod goertzel;
mod injector;
mod receiver;
mod sender;
mod spec;
mod synth;

pub use receiver::DtmfReceiver;
pub use sender::{DigitSignal, DtmfSender, EventPacket, TonePart};
pub use spec::{DigitFormat, DtmfConversion};

pub(crate) use detector::Detector;
pub(crate) use digit::Digit;
pub(crate) use injector::{Injector, InjectorOutput};
pub(crate) use receiver::{
    CompletedDigit, END, EventObservation, EventReceiver, EventTracker, SEGMENT_TICKS, TelephoneEvent,
};
