//! Call records: each is in the file exactly once and at the URL at least once, even if the process is killed. A
//! separate thread writes them, so a slow disk delays records but never signalling.
//!
//! The journal contains a call from its start. Its record is written to the file; if it must also be sent or stored, it
//! is first written to the journal and the store. Finally the call is removed from the journal. Calls that a crash has
//! left in the journal are looked up in the files that may contain their records, and written if missing.

pub mod csv;
mod days;
mod figures;
mod file;
mod opened;
mod sender;
mod writer;
mod written;

use std::io;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use trunkgate_call::{CallRecord, CallView, DayCount};

use trunkgate_config::CdrSettings;
use trunkgate_system::clock;

pub use figures::Figures;
pub use writer::Writer;

/// Command to the record writer.
#[derive(Debug)]
pub enum ReportOrder {
    /// A call has started, or tries another target; with its number of failovers so far.
    Standing(Box<CallView>, u32),
    /// The calls of the previous process are restored, except those with these SIDs, which are lost.
    Restored(Vec<String>),
    /// The call with this SID was answered, at this time.
    Answered(String, Timestamp),
    /// A call has ended; contains its record.
    Record(Box<CallRecord>),
    /// A call counted towards a daily limit; contains the new count.
    Counted(DayCount),
    /// Reopens the files with the current or a new configuration, for example after an external log rotation. If that
    /// fails, the old destinations remain in use.
    Reopen {
        /// Destinations of call records from now on.
        cdr: Box<CdrSettings>,
        /// Whether other parts of the edge need the store.
        needs_store: bool,
        /// Sender for the result of the command.
        answer: oneshot::Sender<io::Result<()>>,
    },
    /// Ends the writer; no further commands follow.
    End,
}

/// Hands a call record to the writer. If the queue is full, the record is lost and counted.
pub fn hand_over(reports: &mpsc::Sender<ReportOrder>, record: Box<CallRecord>, figures: &Figures) {
    if reports.try_send(ReportOrder::Record(record)).is_err() {
        figures.overrun();
    }
}

/// Hands a call in progress to the journal, with its number of failovers. If the queue is full, the journal lacks this
/// state of the call, which matters only after a crash.
pub fn hand_over_standing(reports: &mpsc::Sender<ReportOrder>, call: Box<CallView>, failovers: u32) {
    let _ = reports.try_send(ReportOrder::Standing(call, failovers));
}

/// Reports that the calls of the previous process are restored, except those with these SIDs. If the queue is full,
/// the lost ones have no record.
pub fn hand_over_restored(reports: &mpsc::Sender<ReportOrder>, lost: Vec<String>) {
    let _ = reports.try_send(ReportOrder::Restored(lost));
}

/// Hands the answer of a call to the journal. If the queue is full, a record written after a crash lacks it.
pub fn hand_over_answered(reports: &mpsc::Sender<ReportOrder>, sid: &str) {
    let _ = reports.try_send(ReportOrder::Answered(sid.to_owned(), clock::now()));
}

/// Hands over a changed count of a daily limit. If the queue is full, the count is skipped, since the next one includes
/// it.
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

    /// Returns a new store in a directory.
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
