//! Whether the store takes changes, for `status` and metrics.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use trunkgate_media::counters::Counter;

use super::file::NAME;
use trunkgate_system::problem::{Failure, Harm, Problem};

/// State of a store; clones are of the same one and do not keep it open.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Damage of the file when it was opened, in a sentence.
    damage: Mutex<Option<String>>,
    /// Refusal of the latest change; `None`: it was made.
    refusal: Mutex<Option<Failure>>,
    /// Whether there is one, for those who wait for its end.
    is_failing: watch::Sender<bool>,
    refused: Counter,
}

impl Health {
    pub(super) fn damaged(&self, what: String) {
        *self.0.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    /// Returns what was wrong with the file when it was opened.
    #[cfg(test)]
    pub(crate) fn damage(&self) -> Option<String> {
        self.0.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that changes were refused.
    pub(super) fn refused(&self, error: &io::Error, directory: &Path) {
        self.0.refused.add(1);
        let path = directory.join(NAME);
        let text = error.to_string();
        let named = match text.contains(NAME) {
            true => text,
            false => format!("{}: {text}", path.display()),
        };
        let failure = Failure::of(&io::Error::new(error.kind(), named), directory);
        let mut refusal = self.0.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        if refusal.is_none() {
            tracing::error!(reason = "store_failed", "the store is not written: {failure}");
        }
        *refusal = Some(failure);
        self.0.is_failing.send_replace(true);
    }

    /// Notes that a change was made.
    pub(super) fn took(&self) {
        if self.0.refusal.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            self.0.is_failing.send_replace(false);
            tracing::info!("the store is written again");
        }
    }

    /// Waits until the store takes changes.
    pub async fn writable(&self) {
        // Its sender is this one's own.
        let _ = self.0.is_failing.subscribe().wait_for(|is_failing| !is_failing).await;
    }

    /// Whether changes are refused.
    pub fn is_failing(&self) -> bool {
        self.0.refusal.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Returns how often changes were refused.
    pub fn refused_changes(&self) -> u64 {
        self.0.refused.get()
    }

    /// Returns each thing that is wrong with it.
    pub fn problems(&self) -> Vec<Problem> {
        let refusal = self.0.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refusal = refusal.map(|failure| {
            let waiting = "recordings, text messages, callbacks and changes by the API are not noted";
            let problem = Problem::new(Harm::Records, "the store is not written").unwritten();
            problem.shown_by(format!("{failure}; {waiting}")).caused_by(&failure)
        });
        let damage = self.0.damage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        refusal.into_iter().chain(damage.map(|what| Problem::new(Harm::Records, what))).collect()
    }
}
