//! Agents that have just lost a call, for the probes.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Agents that have just lost a call: each is probed at once.
#[derive(Debug, Default)]
pub struct LostAgents {
    names: Mutex<BTreeSet<String>>,
    wake: Notify,
}

impl LostAgents {
    /// Adds an agent whose connection was lost.
    pub(crate) fn add(&self, name: &str) {
        let is_new = self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        if is_new {
            self.wake.notify_one();
        }
    }

    /// Waits until an agent is added.
    pub(crate) async fn notified(&self) {
        self.wake.notified().await;
    }

    /// Takes the names that were added.
    pub(crate) fn drain(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
