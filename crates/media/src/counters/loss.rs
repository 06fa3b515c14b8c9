//! Histogram of losses by the number of consecutive missing packets.

use std::sync::atomic::{AtomicU32, Ordering};

/// Number of distinct run lengths: 1 to 9, and ten or more.
pub const LOSS_RUNS: usize = 10;

/// Runs of lost packets by length: index 0 counts single losses, 8 nine in a row, 9 ten or more.
pub type LossRuns = [u32; LOSS_RUNS];

/// Runs of lost packets, readable by other threads.
#[derive(Debug, Default)]
pub struct LossCounters([AtomicU32; LOSS_RUNS]);

impl LossCounters {
    /// Stores the runs; called by the worker only.
    pub fn set(&self, runs: &LossRuns) {
        for (counter, run) in self.0.iter().zip(runs) {
            counter.store(*run, Ordering::Relaxed);
        }
    }

    /// Returns the loss runs that were stored last.
    pub fn get(&self) -> LossRuns {
        self.0.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }
}
