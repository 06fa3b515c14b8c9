//! Tasks for rows of the store that wait for a service: how many are under way.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinSet};

use trunkgate_system::problem::Problem;

/// Attempts to have rows served: why they fail, while they do, and those that have not ended.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The reason while attempts fail.
    refused: Mutex<Option<String>>,
    /// Attempts that have not ended, each with the time that it may take before `status` names it.
    unanswered: Mutex<Vec<(String, Instant, Duration)>>,
}

impl Attempts {
    fn why(&self) -> MutexGuard<'_, Option<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unanswered(&self) -> MutexGuard<'_, Vec<(String, Instant, Duration)>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an attempt for a row begins.
    pub(super) fn begin(&self, row: &str, patience: Duration) {
        self.unanswered().push((row.to_owned(), Instant::now(), patience));
    }

    /// Notes that it is over.
    pub(super) fn end(&self, row: &str) {
        self.unanswered().retain(|(known, ..)| known != row);
    }

    /// Notes why an attempt has failed. Returns whether the ones before had not.
    pub(super) fn refused(&self, what: String) -> bool {
        self.why().replace(what).is_none()
    }

    /// Notes that it serves. Returns whether it had not.
    pub(super) fn answered(&self) -> bool {
        self.why().take().is_some()
    }

    /// Adds to `problem` why attempts fail, or that one does not end, with `waiting` behind it; `None`: neither. `silent`: what shows that one does not
    /// end, and what would help.
    pub(super) fn problem(
        &self,
        problem: Problem,
        waiting: &str,
        fix_of: impl Fn(&str) -> String,
        silent: impl Fn(u64) -> (String, String),
    ) -> Option<Problem> {
        let refused = self.why().as_ref().map(|what| (what.clone(), fix_of(what)));
        let (shown, fix) = refused.or_else(|| self.longest().map(|waits| silent(waits.as_secs())))?;
        Some(problem.shown_by(format!("{shown}; {waiting}")).fixed_by(fix))
    }

    /// Returns how long the oldest one waits that has taken longer than it may.
    fn longest(&self) -> Option<Duration> {
        self.unanswered()
            .iter()
            .map(|(_, began, patience)| (began.elapsed(), *patience))
            .filter(|(waits, may)| waits >= may)
            .map(|(waits, _)| waits)
            .max()
    }
}

/// Tasks under way, at most one for each row. They end with this.
#[derive(Debug)]
pub(super) struct UnderWay {
    tasks: JoinSet<()>,
    rows: HashMap<Id, String>,
    most: usize,
}

impl UnderWay {
    /// Makes room for so many.
    pub(super) fn new(most: usize) -> UnderWay {
        UnderWay { tasks: JoinSet::new(), rows: HashMap::new(), most }
    }

    /// Begins a task for a row, unless one is under way for it or there is no room.
    pub(super) fn begin(&mut self, row: &str, task: impl Future<Output = ()> + Send + 'static) {
        if self.rows.len() < self.most && self.rows.values().all(|known| known != row) {
            let id = self.tasks.spawn(task).id();
            self.rows.insert(id, row.to_owned());
        }
    }

    /// Waits until one of them ends; without any, for ever.
    pub(super) async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        self.rows.remove(&id);
    }
}
