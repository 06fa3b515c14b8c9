//! Figures of the state file, and report of the calls that this process has taken over from another one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use trunkgate_media::counters::Counter;
use trunkgate_system::clock;

/// Most lost calls that a report names.
const NAMED: usize = 100;

/// Figures of the state file, and of the calls of an earlier process.
#[derive(Debug, Default)]
pub struct StateFigures {
    /// Number of calls in the file.
    pub calls: Counter,
    /// Length of the file in bytes.
    pub bytes: Counter,
    /// Time from the oldest snapshot of the last write until it was in the file, in microseconds.
    pub lag_us: Counter,
    /// Whether the last write failed.
    pub is_failing: AtomicBool,
    /// Calls that this process has taken over from another one; empty if there was none.
    pub taken_over: OnceLock<TakeoverReport>,
}

/// Calls of an earlier process that continue in this one or are lost.
#[derive(Debug, Clone, Serialize)]
pub struct TakeoverReport {
    /// `upgrade` or `crash`.
    pub after: TakeoverCause,
    /// Time at which this process took the calls over.
    pub at: String,
    /// Number of calls that continue.
    pub continued: usize,
    /// Number of calls that are lost; null if the state of the calls could not be used.
    pub lost: Option<usize>,
    /// Reason for which the state of the calls was not used; null if it was.
    pub refused: Option<&'static str>,
    /// Age of the oldest saved state of a call at the start after a crash, in milliseconds; null after an upgrade.
    pub oldest_state_ms: Option<u64>,
    /// Lost calls, at most 100.
    pub lost_calls: Vec<LostCall>,
}

/// Event between two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TakeoverCause {
    /// The earlier process handed its calls over.
    Upgrade,
    /// The earlier process crashed, and its calls were read from the state file.
    Crash,
}

/// Lost call.
#[derive(Debug, Clone, Serialize)]
pub struct LostCall {
    /// SID of the call.
    pub sid: String,
    /// Reason in words.
    pub reason: &'static str,
}

/// Saved state of answered calls.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct StateReport {
    /// Number of calls in the file.
    pub calls: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Time that the last write took from the snapshot of a call to the file, in milliseconds.
    pub lag_ms: f64,
    /// Whether the last write failed: new calls would not survive a crash.
    pub failing: bool,
}

impl StateFigures {
    /// Returns the number of calls of a crashed process that continue in this one, and the number of those that are
    /// lost; zeros if no crash preceded this process.
    pub fn after_crash(&self) -> (usize, usize) {
        let crash = self.taken_over.get().filter(|report| report.after == TakeoverCause::Crash);
        crash.map_or((0, 0), |report| (report.continued, report.lost.unwrap_or(0)))
    }
}

impl TakeoverReport {
    /// Reports calls that were taken over now. `oldest` is the age of the oldest state after a crash.
    pub fn new(
        after: TakeoverCause,
        continued: usize,
        lost: Vec<LostCall>,
        oldest: Option<Duration>,
    ) -> TakeoverReport {
        let mut report = TakeoverReport {
            after,
            at: clock::now().to_string(),
            continued,
            lost: Some(lost.len()),
            refused: None,
            oldest_state_ms: oldest.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            lost_calls: lost,
        };
        report.lost_calls.truncate(NAMED);
        report
    }

    /// Reports that the state of a crashed process was not used.
    pub fn refused(why: &'static str) -> TakeoverReport {
        let report = TakeoverReport::new(TakeoverCause::Crash, 0, Vec::new(), None);
        TakeoverReport { lost: None, refused: Some(why), ..report }
    }
}

impl StateReport {
    /// Reports the file of these figures.
    pub fn of(figures: &StateFigures) -> StateReport {
        let failing = figures.is_failing.load(Ordering::Relaxed);
        let lag_ms = figures.lag_us.get() as f64 / 1_000.0;
        StateReport { calls: figures.calls.get(), bytes: figures.bytes.get(), lag_ms, failing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_all_lost_calls_and_names_some() {
        let lost = (0..150).map(|n| LostCall { sid: format!("CA{n}"), reason: "its state is of another version" });
        let report = TakeoverReport::new(TakeoverCause::Crash, 7, lost.collect(), Some(Duration::from_millis(240)));
        assert_eq!((report.lost, report.lost_calls.len(), report.oldest_state_ms), (Some(150), NAMED, Some(240)));
        let refused = serde_json::to_value(TakeoverReport::refused("it is damaged")).unwrap();
        assert_eq!((&refused["after"], &refused["lost"]), (&"crash".into(), &serde_json::Value::Null));
    }
}
