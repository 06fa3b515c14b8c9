//! Metrics of call records, and their problems in `status`.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use trunkgate_media::counters::Counter;

use crate::sinks::outbox::DestinationFigures;
use trunkgate_system::limits::RECORDS_KEPT;
use trunkgate_system::problem::kind::{ProblemKind, RecordProblem};
use trunkgate_system::problem::{Failure, Problem};
use trunkgate_system::text::number;

/// Time for which `status` reports calls that a crash interrupted.
const CUT_SHORT_FOR: Duration = Duration::from_secs(3_600);

/// Metrics of call records by destination.
#[derive(Debug, Default)]
pub struct Figures {
    /// Figures of the record file on disk.
    pub(crate) file: DestinationFigures,
    /// Figures of the HTTP receiver.
    pub(crate) url: DestinationFigures,
    /// Figures of the store, in which records wait for the receiver.
    pub(super) store: DestinationFigures,
    /// Figures of the queue to the receiver; a problem while the queue is full.
    pub(super) full: DestinationFigures,
    /// Figures of the store, for the counts of `calls_per_day`.
    pub(super) days: DestinationFigures,
    /// Unreadable lines in the journal of live calls.
    pub damaged: Counter,
    /// Number of calls that the end of the previous process interrupted, and the time at which they were found.
    pub(super) cut_short: OnceLock<(usize, Instant)>,
    /// Number of records that neither the file nor the journal contains.
    pub(super) only_in_memory: Counter,
}

impl Figures {
    /// Returns the figures of the file and the receiver, each with its label in metrics.
    pub fn all(&self) -> [(&'static str, &DestinationFigures); 2] {
        [("file", &self.file), ("url", &self.url)]
    }

    /// Counts a record lost because the writer's queue was full.
    pub(crate) fn overrun(&self) {
        for (_, sink) in self.all().into_iter().filter(|(_, sink)| sink.used.load(Ordering::Relaxed)) {
            sink.failures.add(1);
            sink.lost.add(1);
        }
    }

    /// Records and logs the number of calls that the end of the previous process interrupted.
    pub(super) fn note_cut_short(&self, calls: usize) {
        let _ = self.cut_short.set((calls, Instant::now()));
        let calls = number(calls, "call");
        tracing::warn!(
            reason = "edge_restarted",
            "the previous process did not shut down cleanly, and cut {calls} short: a crash, SIGKILL or a power cut; their records have reason edge_restarted"
        );
    }

    /// Returns the number of calls that the previous process left without an end; `None` if it was stopped properly or
    /// had none.
    pub fn calls_cut_short(&self) -> Option<usize> {
        self.cut_short.get().map(|(calls, _)| *calls)
    }

    fn cut_short(&self) -> Option<Problem> {
        let (calls, _) = self.cut_short.get().filter(|(_, at)| at.elapsed() < CUT_SHORT_FOR)?;
        Some(Problem::of(ProblemKind::Record(RecordProblem::CallsCutShort { calls: *calls })))
    }

    /// Returns the problems with call records that `status` reports.
    pub fn problems(&self) -> Vec<Problem> {
        let of = |kind: RecordProblem, failure: Failure, more: &str| {
            let problem = Problem::of(ProblemKind::Record(kind)).shown_by(format!("{failure}{more}"));
            self.kept_up(problem.caused_by(&failure))
        };
        let limit = format!("; beyond {RECORDS_KEPT}, further ones are lost");
        let mut problems = told(&self.file, &of, RecordProblem::CallRecordsNotWritten, &limit);
        problems.extend(told(&self.url, &of, RecordProblem::CallRecordsNotDelivered, ""));
        let queue = self.store.problem().or_else(|| self.full.problem());
        problems.extend(queue.map(|failure| of(RecordProblem::CallRecordsNotQueued, failure, "")));
        let days = self.days.problem();
        let counted = "; a restart continues with the counts stored last, or with 0 if they cannot be read";
        problems.extend(days.map(|failure| of(RecordProblem::DayCountsNotStored, failure, counted)));
        problems.extend(self.cut_short());
        let lines = self.damaged.get();
        if lines > 0 {
            problems.push(Problem::of(ProblemKind::Record(RecordProblem::JournalDamaged { lines })));
        }
        for (sink, is_for_url) in [(&self.file, false), (&self.url, true)] {
            let count = sink.lost.get();
            if count > 0 {
                problems.push(Problem::of(ProblemKind::Record(RecordProblem::CallRecordsLost { count, is_for_url })));
            }
        }
        problems
    }

    /// Adds a warning not to restart the edge while records exist only in its memory.
    fn kept_up(&self, problem: Problem) -> Problem {
        let records = self.only_in_memory.get();
        if records == 0 {
            return problem;
        }
        let saved = match self.file.waiting.get().saturating_sub(records) {
            0 => String::new(),
            saved => format!(" (the journal has the other {saved})"),
        };
        let records = match records {
            1 => format!("1 record is in memory only and would be lost{saved}"),
            records => format!("{records} records are in memory only and would be lost{saved}"),
        };
        let fix = problem.fix.as_deref().unwrap_or("repair that");
        let fix = format!("{fix}; do not restart the edge before that: {records}");
        problem.fixed_by(fix)
    }
}

/// Returns the problem of a destination that fails, with its failure and the number of waiting records; empty while
/// it works.
fn told(
    figures: &DestinationFigures,
    of: &impl Fn(RecordProblem, Failure, &str) -> Problem,
    kind: RecordProblem,
    limit: &str,
) -> Vec<Problem> {
    let waiting = figures.waiting.get();
    let more = format!("; {waiting} wait{limit}");
    figures.problem().map(|failure| of(kind, failure, &more)).into_iter().collect()
}
