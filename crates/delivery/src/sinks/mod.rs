//! Sinks of call data and problems: call records, alerts, ended calls, callbacks, text messages, recordings,
//! OpenTelemetry, HEP and live events. Sinks never query the running edge.

pub mod alerts;
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

use trunkgate_config::Config;

use sms::outlets::Outlets;

/// Returns whether undelivered data of a configuration depends on the store.
pub fn needs_store(config: &Config) -> bool {
    let has_webhook = config.cdr.url.is_some() || config.alerts.is_some();
    has_webhook || config.recording.is_some() || Outlets::of(config).is_any()
}
