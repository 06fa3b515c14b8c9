//! Call records: each in the file exactly once, and at the URL at least once, also where the process is killed. A thread of
//! their own writes them: a slow disk delays records, never signalling.
//!
//! A call is in the journal from its beginning. Its record goes into the file and, where that is not all that it has to do,
//! before that into the journal and the store; the call is crossed out of the journal last. What a crash leaves in
//! the journal is looked for in the files that it may be in, and written where it is not.

pub mod csv;
mod days;
mod figures;
mod file;
mod opened;
mod outbox;
mod post;
mod queue;
mod writer;
mod written;

use std::io;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use trunkgate_call::{CallRecord, CallView, DayCount};

use trunkgate_config::Cdr;
use trunkgate_system::clock;

pub use figures::{Figures, Sink};
pub use writer::Writer;

/// What the writer is told.
#[derive(Debug)]
pub enum ReportOrder {
    /// A call that has begun, or for which another target is tried after so many.
    Standing(Box<CallView>, u32),
    /// One that has its answer, since when.
    Answered(String, Timestamp),
    /// A finished call.
    Record(Box<CallRecord>),
    /// A call has counted with a limit by the day.
    Counted(DayCount),
    /// Another configuration, or the same: files are opened anew, they may have been moved away. What came of it is told;
    /// after an error records go where they went.
    Reopen {
        /// Where they are to go.
        cdr: Box<Cdr>,
        /// Whether somebody else needs the store.
        needs_store: bool,
        /// What came of it.
        answer: oneshot::Sender<io::Result<()>>,
    },
    /// That was the last one.
    End,
}

/// Hands a record to the writer; one too many is lost and counted.
pub fn hand_over(reports: &mpsc::Sender<ReportOrder>, record: Box<CallRecord>, figures: &Figures) {
    if reports.try_send(ReportOrder::Record(record)).is_err() {
        figures.overrun();
    }
}

/// Hands a call as it is to the journal, with its failovers. One too many is not in it: a crash would leave it without record, or
/// without its later targets.
pub fn hand_over_standing(reports: &mpsc::Sender<ReportOrder>, call: Box<CallView>, failovers: u32) {
    let _ = reports.try_send(ReportOrder::Standing(call, failovers));
}

/// Tells the journal that a call has its answer now. Of one too many a crash leaves a record without it.
pub fn hand_over_answered(reports: &mpsc::Sender<ReportOrder>, sid: &str) {
    let _ = reports.try_send(ReportOrder::Answered(sid.to_owned(), clock::now()));
}

/// Hands over what has counted with a limit by the day. One too many is not kept: the next one has the sum.
pub fn hand_over_counted(reports: &mpsc::Sender<ReportOrder>, count: DayCount) {
    let _ = reports.try_send(ReportOrder::Counted(count));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sinks::store::Store;
    use trunkgate_system::limits;

    pub(super) use crate::sinks::store::record::tests::{ended, record};
    pub(super) use trunkgate_testing::views::began;

    /// The store of a directory, and nothing of earlier versions.
    pub(super) fn store(folder: &std::path::Path) -> Store {
        Store::start(trunkgate_config::DataDirectory::of(folder)).unwrap()
    }

    #[test]
    fn records_that_nobody_writes_are_lost_and_counted() {
        let (reports, _writer) = mpsc::channel(limits::REPORTS);
        let figures = Figures::default();
        figures.file.used.store(true, std::sync::atomic::Ordering::Relaxed);
        for _ in 0..limits::REPORTS + 2 {
            hand_over(&reports, Box::new(ended("CA1")), &figures);
        }
        assert_eq!((figures.file.lost.get(), figures.url.lost.get()), (2, 0));
    }
}
