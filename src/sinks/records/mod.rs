//! Call records: each in the file exactly once, and at the URL at least once, also where the process is killed. A thread of
//! their own writes them: a slow disk delays records, never signalling.
//!
//! A call is in the journal from its beginning. Its record goes into the file and, where that is not all that it has to do,
//! before that into the journal and the spool of the URL; the call is crossed out of the journal last. What a crash leaves in
//! the journal is looked for in the files that it may be in, and written where it is not.

pub(crate) mod csv;
mod days;
mod disk;
mod figures;
mod file;
mod journal;
mod outbox;
mod post;
mod spool;
mod writer;
mod written;

use std::io;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use trunkgate_call::{CallRecord, CallView, DayCount};

use crate::config::Cdr;

pub(crate) use figures::{Figures, Sink};
pub(crate) use writer::Writer;

/// What the writer is told.
#[derive(Debug)]
pub(crate) enum ReportOrder {
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
    Reopen(Box<Cdr>, oneshot::Sender<io::Result<()>>),
    /// That was the last one.
    End,
}

/// Hands a record to the writer; one too many is lost and counted.
pub(crate) fn hand_over(reports: &mpsc::Sender<ReportOrder>, record: Box<CallRecord>, figures: &Figures) {
    if reports.try_send(ReportOrder::Record(record)).is_err() {
        figures.overrun();
    }
}

/// Hands a call as it is to the journal, with its failovers. One too many is not in it: a crash would leave it without record, or
/// without its later targets.
pub(crate) fn hand_over_standing(reports: &mpsc::Sender<ReportOrder>, call: Box<CallView>, failovers: u32) {
    let _ = reports.try_send(ReportOrder::Standing(call, failovers));
}

/// Tells the journal that a call has its answer now. Of one too many a crash leaves a record without it.
pub(crate) fn hand_over_answered(reports: &mpsc::Sender<ReportOrder>, sid: &str) {
    let _ = reports.try_send(ReportOrder::Answered(sid.to_owned(), Timestamp::now()));
}

/// Hands over what has counted with a limit by the day. One too many is not kept: the next one has the sum.
pub(crate) fn hand_over_counted(reports: &mpsc::Sender<ReportOrder>, count: DayCount) {
    let _ = reports.try_send(ReportOrder::Counted(count));
}

/// A record: one JSON object without a line end.
#[derive(Debug, Clone)]
struct Record {
    sid: String,
    json: Box<[u8]>,
}

impl Record {
    fn of(record: &CallRecord) -> serde_json::Result<Record> {
        Ok(Record { sid: record.call.sid.clone(), json: serde_json::to_vec(record)?.into() })
    }

    fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    pub(super) fn began(sid: &str) -> CallView {
        CallView {
            sid: sid.into(),
            state: "trying",
            outcome: None,
            reason: None,
            flags: vec![],
            sip_code: None,
            route: "r".into(),
            from: "+1".into(),
            to: "+2".into(),
            started_at: "2026-01-01T00:00:00.000Z".into(),
            answered_at: None,
            ended_at: None,
            legs: vec![],
        }
    }

    pub(super) fn ended(sid: &str) -> CallRecord {
        let call = CallView {
            state: "ended",
            outcome: Some("answered"),
            reason: Some("caller_hung_up"),
            sip_code: Some(200),
            answered_at: Some("2026-01-01T00:00:01.000Z".into()),
            ended_at: Some("2026-01-01T00:01:01.250Z".into()),
            ..began(sid)
        };
        CallRecord {
            call,
            sip_code: 200,
            q850_cause: 16,
            failovers: 0,
            post_dial_ms: Some(40),
            mos_min: None,
            mos_avg: None,
            proof: None,
            fix: None,
        }
    }

    pub(super) fn record(sid: &str) -> Record {
        Record::of(&ended(sid)).unwrap()
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
