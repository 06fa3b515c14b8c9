//! Tasks for rows of the store that wait for a service: how many are under way, and what wakes their keeper.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};

/// Wakes a keeper of tasks, and stops it.
#[derive(Debug, Default)]
pub(super) struct Wake {
    notify: Notify,
    is_stopped: AtomicBool,
}

impl Wake {
    /// Has the keeper look at the store.
    pub(super) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Ends the keeper.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    pub(super) async fn woken(&self) {
        self.notify.notified().await;
    }
}

/// Requests that have no answer yet, each with the time that it may take before `status` names it.
#[derive(Debug, Default)]
pub(super) struct Unanswered(Mutex<Vec<(String, Instant, Duration)>>);

impl Unanswered {
    fn all(&self) -> MutexGuard<'_, Vec<(String, Instant, Duration)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request about a row begins.
    pub(super) fn begin(&self, row: &str, patience: Duration) {
        self.all().push((row.to_owned(), Instant::now(), patience));
    }

    /// Notes that it is over.
    pub(super) fn end(&self, row: &str) {
        self.all().retain(|(known, ..)| known != row);
    }

    /// Returns how long the oldest one waits that has taken longer than it may.
    pub(super) fn longest(&self) -> Option<Duration> {
        self.all()
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
