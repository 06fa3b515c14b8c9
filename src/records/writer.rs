//! Takes records one after the other and brings each to where it belongs. One that the disk does not take is kept, and tried
//! again.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::file::RecordsFile;
use super::journal::Journal;
use super::written::last_sids;
use super::{Figures, Record, ReportOrder};
use crate::config::Cdr;
use crate::limits::{RECORDS_KEPT, RECORDS_KEPT_BYTES, RECORDS_PAUSE_MILLISECONDS};

/// How long the file is left alone after it took no record.
const PAUSE: Duration = Duration::from_millis(RECORDS_PAUSE_MILLISECONDS);

/// Where call records go.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    file: Option<RecordsFile>,
    journal: Option<Journal>,
    /// Records that are not yet where they belong, in their order.
    waiting: VecDeque<Record>,
    waiting_bytes: usize,
    /// When the file last took no record.
    refused: Option<Instant>,
    figures: Arc<Figures>,
}

impl Writer {
    /// Opens what the configuration names. Calls that a crash cut short get their records now.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn open(cdr: &Cdr) -> io::Result<Writer> {
        let mut writer = Writer::default();
        let Some(settings) = cdr.file.clone() else { return Ok(writer) };
        let opened = match Journal::open(&journal_path(&settings.path)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported) => {
                tracing::warn!(
                    "no journal of live calls, a crash would leave them without record, and no rotation: {error}"
                );
                None
            }
            opened => Some(opened?),
        };
        writer.file = Some(RecordsFile::open(settings, opened.is_some())?);
        if let Some((journal, left)) = opened {
            writer.journal = Some(journal);
            writer.take_up(left)?;
        }
        Ok(writer)
    }

    /// Writes what a crash has left, where it is not written.
    fn take_up(&mut self, left: Vec<Record>) -> io::Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| !left.is_empty()) else { return Ok(()) };
        let written = last_sids(file.path())?;
        for record in left {
            if written.contains(&record.sid) {
                self.cross_out(&record.sid);
            } else {
                self.keep(record);
            }
        }
        self.flush();
        Ok(())
    }

    /// What is to be told of it.
    pub(crate) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Writes until the end is told.
    pub(crate) async fn serve(mut self, mut orders: mpsc::Receiver<ReportOrder>) {
        loop {
            let order = if self.waiting.is_empty() {
                orders.recv().await
            } else {
                let Ok(order) = timeout(PAUSE, orders.recv()).await else {
                    self.flush();
                    continue;
                };
                order
            };
            match order {
                Some(ReportOrder::Began(call)) => self.note(&call.sid, |journal| journal.begin(&call)),
                Some(ReportOrder::Record(record)) => match Record::of(&record) {
                    Ok(record) => self.take(record),
                    Err(error) => tracing::error!(call = %record.call.sid, "a record that is no JSON: {error}"),
                },
                Some(ReportOrder::Reopen(cdr)) => {
                    self.refused = None;
                    if let Err(error) = self.change(&cdr) {
                        tracing::warn!("the file of call records is not changed: {error}");
                    }
                    self.flush();
                }
                Some(ReportOrder::End) | None => {
                    self.refused = None;
                    self.flush();
                    return;
                }
            }
        }
    }

    fn take(&mut self, record: Record) {
        if self.file.is_none() {
            return;
        }
        self.note(&record.sid, |journal| journal.close(&record));
        self.keep(record);
        self.flush();
    }

    /// The oldest are kept where not all can be.
    fn keep(&mut self, record: Record) {
        if self.waiting.len() >= RECORDS_KEPT || self.waiting_bytes + record.json.len() > RECORDS_KEPT_BYTES {
            self.figures.file.lost.add(1);
            self.cross_out(&record.sid);
            return;
        }
        self.waiting_bytes += record.json.len();
        self.waiting.push_back(record);
    }

    /// Writes what waits, as far as the disk takes it.
    fn flush(&mut self) {
        let resting = self.refused.is_some_and(|since| since.elapsed() < PAUSE);
        while let Some(record) = self.waiting.front().filter(|_| !resting) {
            let Some(file) = &mut self.file else { break };
            if let Err(error) = file.write(record, Timestamp::now()) {
                self.refused = Some(Instant::now());
                if self.figures.file.failed(&format!("not written: {error}")) {
                    tracing::error!(
                        reason = "cdr_failed",
                        "call records are not written: {error}; {RECORDS_KEPT} are kept and tried again, calls go on"
                    );
                }
                break;
            }
            self.refused = None;
            let record = self.waiting.pop_front();
            if let Some(record) = record {
                self.waiting_bytes -= record.json.len();
                self.cross_out(&record.sid);
            }
        }
        self.figures.file.waiting.set(self.waiting.len() as u64);
        if self.waiting.is_empty() && self.figures.file.took() {
            tracing::info!("call records are written again; lost since the start: {}", self.figures.file.lost.get());
        }
    }

    fn cross_out(&mut self, sid: &str) {
        self.note(sid, |journal| journal.end(sid));
    }

    /// Writes into the journal, where there is one.
    fn note(&mut self, sid: &str, write: impl FnOnce(&mut Journal) -> io::Result<()>) {
        if let Some(Err(error)) = self.journal.as_mut().map(write) {
            // Where the disk is full the file says so, once.
            tracing::debug!(call = %sid, reason = "cdr_failed", "journal of live calls not written: {error}");
        }
    }

    /// Opens the files anew; the journal goes along to another path.
    fn change(&mut self, cdr: &Cdr) -> io::Result<()> {
        let Some(settings) = cdr.file.clone() else {
            (self.file, self.journal) = (None, None);
            self.waiting.clear();
            self.waiting_bytes = 0;
            return Ok(());
        };
        if let Some(file) = self.file.as_mut().filter(|file| file.path() == settings.path) {
            return file.change(settings);
        }
        let (new, left) = Journal::open(&journal_path(&settings.path))?;
        let file = RecordsFile::open(settings, true)?;
        match &mut self.journal {
            Some(old) => old.move_to(new)?,
            None => self.journal = Some(new),
        }
        self.file = Some(file);
        self.take_up(left)
    }
}

/// Beside the file.
fn journal_path(records: &Path) -> PathBuf {
    let mut path = records.as_os_str().to_owned();
    path.push(".live");
    path.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{CdrFile, CdrFormat, Keep};
    use crate::records::disk::tests::{crash_at, set_room};
    use crate::records::tests::{began, record};

    fn cdr(path: &Path, format: CdrFormat) -> Cdr {
        let size = 2 * record("CA1").json.len() as u64 + 300;
        let file =
            CdrFile { path: path.to_owned(), format, rotate_bytes: Some(size), rotate_every: None, keep: Keep::All };
        Cdr { file: Some(file) }
    }

    /// How often each call stands in the files of a folder.
    fn counts(folder: &Path) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "live" || ending == "new") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.lines().filter(|line| !line.starts_with("sid,")) {
                let json: Option<serde_json::Value> = serde_json::from_str(line).ok();
                let sid = json.and_then(|json| Some(json["sid"].as_str()?.to_owned()));
                let sid = sid.unwrap_or_else(|| line.split(',').next().unwrap().to_owned());
                assert!(sid.starts_with("CA"), "{}: {line}", path.display());
                *counts.entry(sid).or_default() += 1;
            }
        }
        counts
    }

    /// Calls of which some overlap.
    fn work(writer: &mut Writer, begun: &mut Vec<String>) {
        for n in 0..9 {
            let sid = format!("CA{n}");
            writer.note(&sid, |journal| journal.begin(&began(&sid)));
            begun.push(sid);
            if n >= 2 {
                writer.take(record(&format!("CA{}", n - 2)));
            }
        }
    }

    /// The process dies at every step that changes a file, nothing, half or all of what it writes gets there, and it dies
    /// again at every step of the next start.
    #[test]
    fn one_record_a_call_wherever_the_process_is_killed() {
        let mut crashes = 0;
        for format in [CdrFormat::Jsonl, CdrFormat::Csv] {
            for quarters in [0, 2, 4] {
                for first in 0.. {
                    let directory = tempfile::tempdir().unwrap();
                    let path = directory.path().join("cdr.jsonl");
                    let mut begun = Vec::new();
                    let died = crash_at(first, quarters, || {
                        work(&mut Writer::open(&cdr(&path, format)).unwrap(), &mut begun);
                    });
                    let mut second = first % 5;
                    while crash_at(second, quarters, || drop(Writer::open(&cdr(&path, format)).unwrap())) {
                        second += 1;
                        crashes += 1;
                    }
                    drop(Writer::open(&cdr(&path, format)).unwrap());
                    let counts = counts(directory.path());
                    let at = format!("{format:?} {quarters} {first}: {begun:?} {counts:?}");
                    assert!(begun.iter().all(|sid| counts.contains_key(sid)), "{at}");
                    assert!(counts.values().all(|n| *n == 1), "{at}");
                    if !died {
                        break;
                    }
                    crashes += 1;
                }
            }
        }
        assert!(crashes > 300, "{crashes}");
    }

    #[test]
    fn while_the_disk_is_full_records_are_kept_and_written_in_their_order_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl");
        let mut cdr = cdr(&path, CdrFormat::Jsonl);
        cdr.file.as_mut().unwrap().rotate_bytes = None;
        let mut writer = Writer::open(&cdr).unwrap();
        let figures = writer.figures();
        writer.take(record("CA0"));
        set_room(Some(40));
        for n in 1..=RECORDS_KEPT + 3 {
            writer.take(record(&format!("CA{n}")));
        }
        let problems = figures.problems();
        assert!(problems[0].starts_with("call records, file: not written: ") && problems[0].ends_with("10000 wait"));
        assert_eq!(problems[1], "call records, file: 3 were lost since the start");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        set_room(None);
        writer.refused = None;
        writer.flush();
        assert_eq!(figures.problems().len(), 1, "what was lost is still told");
        assert_eq!(figures.file.waiting.get(), 0);
        let sids: Vec<String> = std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["sid"].as_str().unwrap().to_owned())
            .collect();
        let expected: Vec<String> = (0..=RECORDS_KEPT).map(|n| format!("CA{n}")).collect();
        assert_eq!(sids, expected);
    }

    #[test]
    fn what_was_kept_when_the_process_died_is_in_the_journal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records/cdr.jsonl");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let cdr = cdr(&path, CdrFormat::Jsonl);
        let mut writer = Writer::open(&cdr).unwrap();
        // Somebody puts a folder in the place of the file.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        writer.take(record("CA1"));
        drop(writer);
        std::fs::remove_dir(&path).unwrap();
        drop(Writer::open(&cdr).unwrap());
        assert_eq!(counts(path.parent().unwrap()), BTreeMap::from([("CA1".to_owned(), 1)]));
    }

    #[test]
    fn another_file_takes_over_live_calls_and_what_waits() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old.jsonl"), directory.path().join("new.jsonl"));
        let mut writer = Writer::open(&cdr(&old, CdrFormat::Jsonl)).unwrap();
        writer.note("CA1", |journal| journal.begin(&began("CA1")));
        writer.change(&cdr(&new, CdrFormat::Jsonl)).unwrap();
        assert!(!directory.path().join("old.jsonl.live").exists());
        drop(writer);
        drop(Writer::open(&cdr(&new, CdrFormat::Jsonl)).unwrap());
        assert!(std::fs::read_to_string(&new).unwrap().contains("CA1"));
    }
}
