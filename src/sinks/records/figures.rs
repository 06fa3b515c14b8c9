//! What metrics and `status` tell of call records.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use trunkgate_media::counters::Counter;

use crate::sinks::store::Damage;
use crate::system::problem::{Failure, Harm, Problem};

/// Of each place that records go to.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// The file.
    pub(crate) file: Sink,
    /// The URL.
    pub(crate) url: Sink,
    /// The store, of records for the URL.
    pub(super) store: Sink,
    /// What keeps the day counts of limits.
    pub(super) days: Sink,
    /// What was wrong with the store's file.
    pub(super) damage: Damage,
    /// Lines of the journal of live calls that could not be read.
    pub(crate) damaged: Counter,
}

/// A place that records go to.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    /// Records are wanted there.
    pub(super) used: AtomicBool,
    /// Attempts that failed.
    pub(crate) failures: Counter,
    /// Records that were given up.
    pub(crate) lost: Counter,
    /// Records that wait for it.
    pub(crate) waiting: Counter,
    /// Why it does not take records, where it does not.
    problem: Mutex<Option<Failure>>,
}

impl Figures {
    /// Its name in metrics, and its figures.
    pub(crate) fn all(&self) -> [(&'static str, &Sink); 2] {
        [("file", &self.file), ("url", &self.url)]
    }

    /// A record came when too many waited for the writer.
    pub(crate) fn overrun(&self) {
        for (_, sink) in self.all().into_iter().filter(|(_, sink)| sink.used.load(Ordering::Relaxed)) {
            sink.failures.add(1);
            sink.lost.add(1);
        }
    }

    /// Returns each thing that is wrong.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let of = |name: &str, failure: Failure, more: &str| {
            Problem::new(Harm::Records, name).shown_by(format!("{failure}{more}")).caused_by(&failure)
        };
        let mut problems: Vec<Problem> =
            self.store.problem().into_iter().map(|failure| of("call records, queue", failure, "")).collect();
        let days = self.days.problem();
        problems.extend(days.map(|failure| of("calls_per_day", failure, "; after a restart counting starts at 0")));
        problems.extend(self.damage.told().map(|what| Problem::new(Harm::Records, what)));
        let damaged = self.damaged.get();
        if damaged > 0 {
            problems.push(
                Problem::new(Harm::Records, "call records, journal")
                    .shown_by(format!("{damaged} damaged lines at the start; the file is kept beside it as .damaged")),
            );
        }
        for (name, sink) in self.all() {
            let (name, waiting) = (format!("call records, {name}"), sink.waiting.get());
            problems.extend(sink.problem().map(|failure| of(&name, failure, &format!("; {waiting} wait"))));
            let lost = sink.lost.get();
            if lost > 0 {
                let told = format!("{lost} were lost since the start");
                problems.push(Problem::new(Harm::Records, name).shown_by(told));
            }
        }
        problems
    }
}

impl Sink {
    fn problem(&self) -> Option<Failure> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It took no record; whether that is new.
    pub(super) fn failed(&self, failure: Failure) -> bool {
        self.failures.add(1);
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).replace(failure).is_none()
    }

    /// It takes records; whether that is new.
    pub(super) fn took(&self) -> bool {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}
