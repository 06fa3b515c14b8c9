//! Call records to a file, one JSON object a line, each line flushed. Written by the auxiliary thread: a slow disk
//! delays records, never signalling.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::mpsc;
use trunkgate_call::{CallRecord, CallView};
use trunkgate_media::counters::Counter;

use crate::handle::Shared;
use crate::journal::Journal;

/// What the writer is told.
#[derive(Debug)]
pub(crate) enum ReportOrder {
    /// A call that has begun.
    Began(Box<CallView>),
    /// A finished call.
    Record(Box<CallRecord>),
    /// Open the file anew: it was moved away, or the configuration names another.
    Reopen(Option<PathBuf>),
    /// That was the last one.
    End,
}

/// Hands a record to the writer; one too many is lost and counted.
pub(crate) fn hand_over(reports: &mpsc::Sender<ReportOrder>, record: Box<CallRecord>, failures: &Counter) {
    if reports.try_send(ReportOrder::Record(record)).is_err() {
        failures.add(1);
    }
}

/// Hands a call that has begun to the journal. One too many is not in it: a crash would leave it without record.
pub(crate) fn hand_over_begun(reports: &mpsc::Sender<ReportOrder>, call: Box<CallView>) {
    let _ = reports.try_send(ReportOrder::Began(call));
}

/// The file of the call records.
#[derive(Debug, Default)]
pub(crate) struct CallRecords {
    path: Option<PathBuf>,
    file: Option<File>,
    journal: Option<Journal>,
}

impl CallRecords {
    /// Opens the file for appending; `None`: no records are kept. Calls that a crash cut short get their records now.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<CallRecords> {
        let Some(path) = path else { return Ok(CallRecords::default()) };
        let mut file = append(path)?;
        let (journal, cut_short) = match Journal::open(path) {
            Ok((journal, cut_short)) => (Some(journal), cut_short),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported) => {
                tracing::warn!("no journal of live calls, a crash would leave them without record: {error}");
                (None, Vec::new())
            }
            Err(error) => return Err(error),
        };
        for record in &cut_short {
            write_line(&mut file, record)?;
        }
        Ok(CallRecords { path: Some(path.to_owned()), file: Some(file), journal })
    }

    /// Writes until the end is told.
    pub(crate) async fn serve(mut self, mut orders: mpsc::Receiver<ReportOrder>, shared: Arc<Shared>) {
        while let Some(order) = orders.recv().await {
            match order {
                ReportOrder::Began(call) => {
                    self.note(&call.sid, |journal| journal.begin(&call));
                }
                ReportOrder::Record(record) => {
                    if let Err(error) = self.write(&record) {
                        shared.cdr_failures.add(1);
                        tracing::warn!(call = %record.call.sid, reason = "cdr_failed", "call record not written: {error}");
                    }
                    self.note(&record.call.sid, |journal| journal.end(&record.call.sid));
                }
                ReportOrder::Reopen(path) => {
                    if let Err(error) = self.change(path) {
                        tracing::warn!("the file of call records cannot be opened: {error}");
                    }
                }
                ReportOrder::End => return,
            }
        }
    }

    /// Writes into the journal, where there is one.
    fn note(&mut self, sid: &str, write: impl FnOnce(&mut Journal) -> io::Result<()>) {
        if let Some(Err(error)) = self.journal.as_mut().map(write) {
            tracing::warn!(call = %sid, reason = "cdr_failed", "journal of live calls not written: {error}");
        }
    }

    /// Opens the file anew; the journal goes with it to another path.
    fn change(&mut self, path: Option<PathBuf>) -> io::Result<()> {
        self.file = None;
        if path == self.path {
            return self.reopen();
        }
        let opened = path.as_deref().map(|path| CallRecords::open(Some(path))).transpose();
        self.path = path;
        let Some(mut new) = opened? else {
            self.journal = None;
            return Ok(());
        };
        if let (Some(old), Some(journal)) = (&mut self.journal, new.journal.take()) {
            old.move_to(journal)?;
            new.journal = self.journal.take();
        }
        *self = new;
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = self.path.as_deref().map(append).transpose()?;
        }
        Ok(())
    }

    fn write(&mut self, record: &CallRecord) -> io::Result<()> {
        self.reopen()?;
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = write_line(file, record);
        if written.is_err() {
            // The next record tries the path again: the disk may have been mounted anew.
            self.file = None;
        }
        written
    }
}

/// One `write` a record, so that a line is never torn by another writer.
fn write_line(file: &mut File, record: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    file.write_all(&line)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    fn record(sid: &str) -> CallRecord {
        let call = CallView {
            sid: sid.into(),
            state: "ended",
            outcome: Some("answered"),
            reason: Some("caller_hung_up"),
            route: "r".into(),
            from: "+1".into(),
            to: "+2".into(),
            started_at: String::new(),
            answered_at: None,
            ended_at: None,
            legs: vec![],
        };
        CallRecord {
            call,
            sip_code: 200,
            q850_cause: 16,
            failovers: 0,
            post_dial_ms: None,
            mos_min: None,
            mos_avg: None,
        }
    }

    #[test]
    fn records_are_lines_and_a_moved_file_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl");
        let mut records = CallRecords::open(Some(&path)).unwrap();
        records.write(&record("CA1")).unwrap();
        let moved = directory.path().join("old.jsonl");
        std::fs::rename(&path, &moved).unwrap();
        records.file = None;
        records.write(&record("CA2")).unwrap();
        let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(line["sid"], "CA2");
        assert_eq!(line["sip_code"], 200);
        assert!(std::fs::read_to_string(&moved).unwrap().ends_with("}\n"));
    }

    #[test]
    fn records_that_nobody_writes_are_lost_and_counted() {
        let (reports, _writer) = mpsc::channel(limits::REPORTS);
        let failures = Counter::default();
        for _ in 0..limits::REPORTS + 2 {
            hand_over(&reports, Box::new(record("CA1")), &failures);
        }
        assert_eq!(failures.get(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = CallRecords::open(Some(Path::new("/nonexistent/cdr.jsonl"))).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/cdr.jsonl: "), "{error}");
    }
}
