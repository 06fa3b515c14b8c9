//! Health of the store's writes, for `status` and metrics.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use trunkgate_media::counters::Counter;

use super::file::NAME;
use trunkgate_system::problem::kind::{ProblemKind, RecordProblem};
use trunkgate_system::problem::{Failure, Problem};

/// Effect of a store that refuses changes, as a clause.
const UNSTORED: &str = "recordings, text messages, callbacks and changes by the API are not stored until it is";

/// Health of a store. Clones share it, and do not keep the store open.
#[derive(Debug, Clone, Default)]
pub struct StoreHealth(Arc<HealthState>);

#[derive(Debug, Default)]
struct HealthState {
    /// Damage found when the file was opened, in a sentence.
    damage: Mutex<Option<String>>,
    /// Failure of the last change; `None` if it succeeded.
    refusal: Mutex<Option<Failure>>,
    /// Whether the last change failed, for tasks that wait for the end of a failure.
    is_failing: watch::Sender<bool>,
    refused: Counter,
}

impl StoreHealth {
    pub(super) fn damaged(&self, what: String) {
        *self.0.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    /// Returns the damage found when the file was opened, as a sentence.
    #[cfg(test)]
    pub(crate) fn damage(&self) -> Option<String> {
        self.0.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records that the store refused changes.
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
            tracing::error!(reason = "store_failed", "the store is not written: {failure}; {UNSTORED}");
        }
        *refusal = Some(failure);
        self.0.is_failing.send_replace(true);
    }

    /// Records that the store accepted a change.
    pub(super) fn took(&self) {
        if self.0.refusal.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            self.0.is_failing.send_replace(false);
            tracing::info!("the store is written again");
        }
    }

    /// Waits until the store accepts changes; returns at once if it does.
    pub async fn writable(&self) {
        // The channel stays open, because its sender belongs to this value.
        let _ = self.0.is_failing.subscribe().wait_for(|is_failing| !is_failing).await;
    }

    /// Returns whether the store refused the last change.
    pub fn is_failing(&self) -> bool {
        self.0.refusal.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Returns the number of refused changes.
    pub fn refused_changes(&self) -> u64 {
        self.0.refused.get()
    }

    /// Returns the problems with the store that `status` reports.
    pub fn problems(&self) -> Vec<Problem> {
        let refusal = self.0.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refusal = refusal.map(|failure| {
            let problem = Problem::of(ProblemKind::Record(RecordProblem::StoreNotWritten));
            problem.shown_by(format!("{failure}; {UNSTORED}")).caused_by(&failure)
        });
        let damage = self.0.damage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        refusal
            .into_iter()
            .chain(damage.map(|what| Problem::of(ProblemKind::Record(RecordProblem::StoreDamaged { what }))))
            .collect()
    }
}
