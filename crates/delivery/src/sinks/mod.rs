//! Sinks of call data: call records, ended calls, callbacks, text messages, recordings, OpenTelemetry, HEP and live
//! events. Sinks never query the running edge.

pub mod callbacks;
pub mod calls;
pub(crate) mod conferences;
pub mod events;
pub mod hep;
pub mod otel;
pub mod outbox;
mod post;
pub mod recordings;
pub mod records;
pub mod sms;
pub mod store;
mod wake;
