//! Changes requested from outside of the core, mostly over HTTP. They are plain data, so that they can be recorded and
//! replayed like any other input. Their `Debug` form contains URLs and parameters, which may hold credentials: it is
//! for tests, not for logs.

mod calls;
mod conferences;
mod listeners;
mod queues;
mod requested;

use std::fmt;
use std::time::Instant;

use crate::gateway::Gateway;

pub use calls::{CallAction, CallControl};
pub use conferences::{
    ConferenceAction, ConferenceControl, ConferenceRecordingControl, ConferenceRefused, PartyControl,
};
pub use listeners::{
    ForkAction, ForkControl, ListenerAction, ListenerControl, RecordingControl, RecordingStart, SiprecControl,
};
pub use queues::{DequeueControl, QueueControl};
pub use requested::BegunCall;

/// A change of the gateway, with its type of answer.
pub trait GatewayControl: Clone + fmt::Debug + Send + 'static {
    /// Result of the change; after a refusal the gateway is unchanged.
    type Answer: Send + 'static;

    /// Makes the change. Drain [`Gateway::poll_output`] afterwards.
    fn apply(self, gateway: &mut Gateway, now: Instant) -> Self::Answer;
}
