//! Common parts of e-mails and transcriptions as kinds of the outbox: time limits of attempts, counters, and problems
//! in `status`.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trunkgate_media::counters::Counter;

use crate::sinks::outbox;
use crate::sinks::outbox::table::{Counts, GivenUp};
use trunkgate_system::backoff::Backoff;
use trunkgate_system::problem::Problem;

/// Time limits and pauses of attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Time limit for an attempt.
    pub(super) within: Duration,
    /// Duration of an attempt after which `status` reports that the service does not respond.
    pub(super) patience: Duration,
    /// Pauses between the attempts of a row.
    pub(super) backoff: Backoff,
    /// Age at which a row is given up.
    pub(super) tried: Duration,
}

impl Pace {
    /// Returns the outbox limits with at most `most` concurrent attempts.
    pub(super) fn of_kind(&self, most: usize) -> outbox::Pace {
        let Pace { backoff: pauses, tried: give_up, .. } = *self;
        outbox::Pace::new(most, most, pauses, give_up)
    }
}

/// Counters of one kind since the start, and the state of its attempts.
#[derive(Debug, Default)]
pub struct SentFigures {
    /// Rows that wait for the service.
    pub waiting: Counter,
    /// Number of rows accepted by the service.
    pub completed: Counter,
    /// Number of rows given up.
    pub failed: Counter,
    /// Number of attempts after a failed one.
    pub retried: Counter,
    /// Error of the last attempt; `None` after a success.
    refused: Mutex<Option<String>>,
    /// Attempts in progress: key of the row, start, and time limit after which `status` reports the attempt.
    unanswered: Mutex<Vec<(String, Instant, Duration)>>,
    /// Number of rows given up recently, and the last of them.
    given_up: Mutex<Option<(u64, GivenUp)>>,
    /// Whether the last change or read of the store failed.
    is_unstored: AtomicBool,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SentFigures {
    /// Updates the numbers of rows from the store.
    pub(super) fn seen(&self, counts: Counts) {
        let Counts { all, failed, last_failed } = counts;
        self.waiting.set(all);
        *lock(&self.given_up) = last_failed.map(|last| (failed, last));
        if all == 0 {
            self.answered();
        }
    }

    /// Records the result of an access to the store; returns the error if the previous access succeeded.
    pub(super) fn stored<'a>(&self, done: &'a io::Result<()>) -> Option<&'a io::Error> {
        let was_unstored = self.is_unstored.swap(done.is_err(), Ordering::Relaxed);
        done.as_ref().err().filter(|_| !was_unstored)
    }

    /// Records the start of an attempt for the row with this key.
    pub(super) fn begin(&self, row: &str, patience: Duration) {
        lock(&self.unanswered).push((row.to_owned(), Instant::now(), patience));
    }

    /// Records the end of an attempt for the row with this key.
    pub(super) fn end(&self, row: &str) {
        lock(&self.unanswered).retain(|(known, ..)| known != row);
    }

    /// Records a failed attempt that will be retried. Returns whether the attempt before was no failure.
    pub(super) fn refused(&self, what: String) -> bool {
        self.retried.add(1);
        lock(&self.refused).replace(what).is_none()
    }

    /// Records a success of the service. Returns whether the attempt before failed.
    pub(super) fn answered(&self) -> bool {
        lock(&self.refused).take().is_some()
    }

    /// Returns `problem` with the error of the attempts, otherwise with the duration of an overdue attempt, followed by
    /// `waiting`; `None` without either. `silent` returns evidence and fix for a duration in seconds.
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

    /// Returns the number of rows given up recently, with share and error of the last one; `None` if there are none.
    pub(super) fn given_up(&self) -> Option<(u64, String, String)> {
        let (failed, GivenUp { share, error, .. }) = lock(&self.given_up).clone()?;
        Some((failed, share, error.unwrap_or_default()))
    }

    /// Returns the duration of the longest attempt that has exceeded its time limit.
    fn longest(&self) -> Option<Duration> {
        lock(&self.unanswered)
            .iter()
            .map(|(_, began, patience)| (began.elapsed(), *patience))
            .filter(|(waits, may)| waits >= may)
            .map(|(waits, _)| waits)
            .max()
    }
}
