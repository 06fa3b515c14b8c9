//! DTMF: digits as telephone-events (RFC 4733) and as tones (ITU-T Q.23, Q.24), received, sent, and found in audio.
//!
//! Here belongs what knows a digit. Which form a side takes is negotiated elsewhere ([`PressSpec`], [`PartedSpec`]); from
//! which end to which a digit goes is the session's; events that pass beside converted audio are retimed in
//! [`transcode`](crate::transcode).

mod detector;
mod digit;
mod goertzel;
mod injector;
mod receiver;
mod sender;
mod spec;
mod synth;

pub use receiver::Receiver;
pub use sender::{EventPacket, Sender, Signal, TonePart};
pub use spec::{PartedSpec, PressSpec};

pub(crate) use detector::Detector;
pub(crate) use digit::Digit;
pub(crate) use injector::{Injected, Injector};
pub(crate) use receiver::{Completed, END, EventReceiver, Observation, PressTracker, SEGMENT_TICKS, TelephoneEvent};
