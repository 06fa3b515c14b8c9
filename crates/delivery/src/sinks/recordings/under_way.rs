//! Concurrent tasks for rows of the store that wait for a service.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinSet};

use trunkgate_system::problem::Problem;

/// State of attempts: the error while they fail, and the pending ones.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Error while attempts fail.
    refused: Mutex<Option<String>>,
    /// Pending attempts, each with its start and the time after which `status` reports it.
    unanswered: Mutex<Vec<(String, Instant, Duration)>>,
}

impl Attempts {
    fn why(&self) -> MutexGuard<'_, Option<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unanswered(&self) -> MutexGuard<'_, Vec<(String, Instant, Duration)>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the start of an attempt.
    pub(super) fn begin(&self, row: &str, patience: Duration) {
        self.unanswered().push((row.to_owned(), Instant::now(), patience));
    }

    /// Records the end of an attempt.
    pub(super) fn end(&self, row: &str) {
        self.unanswered().retain(|(known, ..)| known != row);
    }

    /// Records a failed attempt. Returns whether it is the first failure after a success.
    pub(super) fn refused(&self, what: String) -> bool {
        self.why().replace(what).is_none()
    }

    /// Records a response of the service. Returns whether it is the first success after a failure.
    pub(super) fn answered(&self) -> bool {
        self.why().take().is_some()
    }

    /// Completes `problem` with the error of the attempts or the duration of a pending one, followed by `waiting`;
    /// `None` if neither applies. `silent` has the evidence and the fix for a pending attempt.
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

    /// Returns the age of the oldest attempt that has exceeded its time.
    fn longest(&self) -> Option<Duration> {
        self.unanswered()
            .iter()
            .map(|(_, began, patience)| (began.elapsed(), *patience))
            .filter(|(waits, may)| waits >= may)
            .map(|(waits, _)| waits)
            .max()
    }
}

/// Tasks under way, at most one per row; dropping this value cancels them.
#[derive(Debug)]
pub(super) struct UnderWay {
    tasks: JoinSet<()>,
    rows: HashMap<Id, String>,
    most: usize,
}

impl UnderWay {
    /// Creates an empty set with a maximum number of tasks.
    pub(super) fn new(most: usize) -> UnderWay {
        UnderWay { tasks: JoinSet::new(), rows: HashMap::new(), most }
    }

    /// Starts a task for a row, unless one is under way or the maximum is reached.
    pub(super) fn begin(&mut self, row: &str, task: impl Future<Output = ()> + Send + 'static) {
        if self.rows.len() < self.most && self.rows.values().all(|known| known != row) {
            let id = self.tasks.spawn(task).id();
            self.rows.insert(id, row.to_owned());
        }
    }

    /// Waits until a task ends; never returns if there is none.
    pub(super) async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        self.rows.remove(&id);
    }
}
