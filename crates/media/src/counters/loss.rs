//! Losses by how many packets in a row were missing.

use std::sync::atomic::{AtomicU32, Ordering};

/// Number of lengths that are distinguished: 1 to 9 in a row, and ten or more.
pub const LOSS_RUNS: usize = 10;

/// Runs of so many lost packets in a row: at 0 one alone, at 8 nine, at 9 ten or more.
pub type LossRuns = [u32; LOSS_RUNS];

/// Runs of lost packets, readable by other threads.
#[derive(Debug, Default)]
pub struct LossCounters([AtomicU32; LOSS_RUNS]);

impl LossCounters {
    /// Takes over; called by the worker alone.
    pub fn set(&self, runs: &LossRuns) {
        for (counter, run) in self.0.iter().zip(runs) {
            counter.store(*run, Ordering::Relaxed);
        }
    }

    /// As it stands.
    pub fn get(&self) -> LossRuns {
        self.0.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }
}
