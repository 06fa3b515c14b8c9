//! Where news of calls goes: call records, the list of ended calls, callbacks, text messages, recordings, OpenTelemetry, HEP, live events. Nothing here asks the running edge anything.

pub(crate) mod callbacks;
pub(crate) mod calls;
pub(crate) mod conferences;
pub(crate) mod events;
pub(crate) mod hep;
pub(crate) mod otel;
pub(crate) mod recordings;
pub(crate) mod records;
pub(crate) mod sms;
pub(crate) mod store;
