//! Metrics of webhooks: durations by application, and failures by application and Twilio's error code.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use trunkgate_call::metrics::Histogram;

/// Histogram bounds in seconds: from a local application to the maximum of 15 s for a webhook.
const SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

/// Metrics of all webhooks since the start.
#[derive(Debug, Default)]
pub struct WebhookFigures(Mutex<WebhookCounts>);

/// Metrics of webhooks at one moment.
#[derive(Debug, Clone, Default)]
pub struct WebhookCounts {
    /// Durations of requests including redirects and retries, by application.
    pub seconds: BTreeMap<Arc<str>, Histogram>,
    /// Failures by application and Twilio's error code.
    pub errors: BTreeMap<(Arc<str>, u32), u64>,
}

impl WebhookFigures {
    /// Counts one request to an application; `error` is Twilio's code for its failure.
    pub fn count(&self, app: &Arc<str>, took: Duration, error: Option<u32>) {
        let mut counts = self.lock();
        counts.seconds.entry(app.clone()).or_insert_with(|| Histogram::new(&SECONDS)).observe(took.as_secs_f64());
        if let Some(code) = error {
            *counts.errors.entry((app.clone(), code)).or_default() += 1;
        }
    }

    /// Returns the current metrics.
    pub fn counts(&self) -> WebhookCounts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, WebhookCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
