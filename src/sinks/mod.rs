//! Where news of calls goes: call records, text messages, OpenTelemetry, HEP, live events. Nothing here asks the running edge anything.

pub(crate) mod events;
pub(crate) mod hep;
pub(crate) mod otel;
pub(crate) mod records;
pub(crate) mod sms;
pub(crate) mod store;
