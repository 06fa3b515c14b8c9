//! Agents to which a call has just lost its connection, to be probed.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Names of agents to which a call has just lost its connection; the prober probes each at once.
#[derive(Debug, Default)]
pub struct LostAgents {
    names: Mutex<BTreeSet<String>>,
    wake: Notify,
}

impl LostAgents {
    /// Adds an agent with a lost connection.
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

    /// Removes and returns the added names.
    pub(crate) fn drain(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
