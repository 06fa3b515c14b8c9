//! Figures of one destination of deliveries, and its current failure.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use trunkgate_media::counters::Counter;
use trunkgate_system::problem::Failure;

use super::Event;

/// Figures of one destination.
#[derive(Debug, Default)]
pub struct DestinationFigures {
    /// True if the destination is configured.
    pub(in crate::sinks) used: AtomicBool,
    /// Number of failed attempts.
    pub failures: Counter,
    /// Number of deliveries given up.
    pub lost: Counter,
    /// Number of deliveries that wait for the destination.
    pub waiting: Counter,
    /// Current failure of the destination; `None` while it accepts deliveries.
    problem: Mutex<Option<Failure>>,
}

impl DestinationFigures {
    /// Counts an event of a row: what waits, and what is lost.
    pub(in crate::sinks) fn count(&self, event: &Event<'_>) {
        match event {
            Event::Entered(_) => self.waiting.add(1),
            Event::Dropped => self.lost.add(1),
            Event::MadeWay(_) | Event::Over(_, false) => {
                self.waiting.sub(1);
                self.lost.add(1);
            }
            Event::Over(_, true) => self.waiting.sub(1),
            Event::Retried | Event::Failed(..) | Event::GivenUp(..) => {}
        }
    }

    /// Returns the current failure of the destination.
    pub(in crate::sinks) fn problem(&self) -> Option<Failure> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records a failure; returns whether the destination worked before.
    pub(in crate::sinks) fn failed(&self, failure: Failure) -> bool {
        self.failures.add(1);
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).replace(failure).is_none()
    }

    /// Records a success; returns whether the destination failed before.
    pub(in crate::sinks) fn took(&self) -> bool {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}
