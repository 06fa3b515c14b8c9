//! Common parts of e-mails and transcriptions as kinds of the outbox: the times of attempts, and counters with the
//! problems that `status` shows.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trunkgate_media::counters::Counter;

use crate::sinks::outbox;
use crate::sinks::outbox::table::{Counts, GivenUp};
use trunkgate_system::backoff::Backoff;
use trunkgate_system::problem::Problem;

/// Times of attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Maximum duration of an attempt.
    pub(super) within: Duration,
    /// Duration of an attempt after which `status` reports it.
    pub(super) patience: Duration,
    /// Intervals between retries.
    pub(super) backoff: Backoff,
    /// Age at which a row is given up.
    pub(super) tried: Duration,
}

impl Pace {
    /// Returns the limits of a kind with this many concurrent attempts.
    pub(super) fn of_kind(&self, most: usize) -> outbox::Pace {
        let Pace { backoff: pauses, tried: give_up, .. } = *self;
        outbox::Pace::new(most, most, pauses, give_up)
    }
}

/// Counters of a kind since the start, and the state of its attempts.
#[derive(Debug, Default)]
pub struct SentFigures {
    /// Rows waiting for the service.
    pub waiting: Counter,
    /// Rows accepted by the service.
    pub completed: Counter,
    /// Rows given up.
    pub failed: Counter,
    /// Retried attempts.
    pub retried: Counter,
    /// Error while attempts fail.
    refused: Mutex<Option<String>>,
    /// Pending attempts, each with its start and the time after which `status` reports it.
    unanswered: Mutex<Vec<(String, Instant, Duration)>>,
    /// Number of recently given-up rows, and the last of them.
    given_up: Mutex<Option<(u64, GivenUp)>>,
    /// Whether the last access to the store failed.
    is_unstored: AtomicBool,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SentFigures {
    /// Updates the counters from the store.
    pub(super) fn seen(&self, counts: Counts) {
        let Counts { all, failed, last_failed } = counts;
        self.waiting.set(all);
        *lock(&self.given_up) = last_failed.map(|last| (failed, last));
        if all == 0 {
            self.answered();
        }
    }

    /// Records an access to the store; returns the error if the access before did not fail.
    pub(super) fn stored<'a>(&self, done: &'a io::Result<()>) -> Option<&'a io::Error> {
        let was_unstored = self.is_unstored.swap(done.is_err(), Ordering::Relaxed);
        done.as_ref().err().filter(|_| !was_unstored)
    }

    /// Records the start of an attempt.
    pub(super) fn begin(&self, row: &str, patience: Duration) {
        lock(&self.unanswered).push((row.to_owned(), Instant::now(), patience));
    }

    /// Records the end of an attempt.
    pub(super) fn end(&self, row: &str) {
        lock(&self.unanswered).retain(|(known, ..)| known != row);
    }

    /// Records a failed attempt that will be retried. Returns whether it is the first failure after a success.
    pub(super) fn refused(&self, what: String) -> bool {
        self.retried.add(1);
        lock(&self.refused).replace(what).is_none()
    }

    /// Records a response of the service. Returns whether it is the first success after a failure.
    pub(super) fn answered(&self) -> bool {
        lock(&self.refused).take().is_some()
    }

    /// Completes `problem` with the error of the attempts or the duration of a pending one, followed by `waiting`;
    /// `None` if neither applies. `silent` has the evidence and the fix for a pending attempt.
    pub(super) fn failing(
        &self,
        problem: Problem,
        waiting: &str,
        fix_of: impl Fn(&str) -> String,
        silent: impl Fn(u64) -> (String, String),
    ) -> Option<Problem> {
        let refused = lock(&self.refused).as_ref().map(|what| (what.clone(), fix_of(what)));
        let (shown, fix) = refused.or_else(|| self.longest().map(|waits| silent(waits.as_secs())))?;
        Some(problem.shown_by(format!("{shown}; {waiting}")).fixed_by(fix))
    }

    /// Returns the number of recently given-up rows, with the share and the error of the last one.
    pub(super) fn given_up(&self) -> Option<(u64, String, String)> {
        let (failed, GivenUp { share, error, .. }) = lock(&self.given_up).clone()?;
        Some((failed, share, error.unwrap_or_default()))
    }

    /// Returns the age of the oldest attempt that has exceeded its time.
    fn longest(&self) -> Option<Duration> {
        lock(&self.unanswered)
            .iter()
            .map(|(_, began, patience)| (began.elapsed(), *patience))
            .filter(|(waits, may)| waits >= may)
            .map(|(waits, _)| waits)
            .max()
    }
}
