//! Takes records one after the other and brings each to where it belongs. One that the disk does not take is kept, and tried
//! again.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::timeout;
use trunkgate_call::DayCount;

use super::days::DayCounts;
use super::file::RecordsFile;
use super::journal::Journal;
use super::outbox::{Outbox, Sender, Way};
use super::post::Target;
use super::spool::Spool;
use super::written::last_sids;
use super::{Figures, Record, ReportOrder};
use crate::config::{Cdr, CdrUrl};
use crate::limits::{CDR_FAREWELL_SECONDS, RECORDS_KEPT, RECORDS_KEPT_BYTES, RECORDS_PAUSE_MILLISECONDS};

/// How long the file is left alone after it took no record.
const PAUSE: Duration = Duration::from_millis(RECORDS_PAUSE_MILLISECONDS);

/// Where call records go.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    file: Option<RecordsFile>,
    outbox: Arc<Outbox>,
    /// Whether records are to be sent.
    sends: bool,
    journal: Option<Journal>,
    days: DayCounts,
    /// Records that are not yet where they belong, in their order.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// When the file, and the spool, last took no record.
    refused: (Option<Instant>, Option<Instant>),
    figures: Arc<Figures>,
}

/// A record, and where it still has to go.
#[derive(Debug)]
struct Waiting {
    record: Record,
    to_file: bool,
    to_url: bool,
}

impl Writer {
    /// Opens what the configuration names. Calls that a crash cut short get their records now.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn open(cdr: &Cdr) -> io::Result<Writer> {
        let mut writer = Writer::default();
        writer.days = DayCounts::open(cdr.day_counts.clone(), writer.figures());
        let Some(path) = journal_path(cdr) else { return Ok(writer) };
        let way = cdr.url.as_ref().map(|url| way(url, true)).transpose()?;
        let opened = match Journal::open(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported) => {
                tracing::warn!(
                    "no journal of live calls: a crash would lose their records, and files are not rotated: {error}"
                );
                None
            }
            opened => Some(opened?),
        };
        writer.file = cdr.file.clone().map(|settings| RecordsFile::open(settings, opened.is_some())).transpose()?;
        writer.goes(way.is_some());
        writer.outbox.change(way, || Ok(()))?;
        if let Some((journal, left)) = opened {
            writer.figures.damaged.add(journal.damaged() as u64);
            writer.journal = Some(journal);
            let written = written(cdr, &left)?;
            writer.take_up(left, written.as_ref());
        }
        Ok(writer)
    }

    /// Whether records are to be sent from now on.
    fn goes(&mut self, sends: bool) {
        self.sends = sends;
        self.figures.file.used.store(self.file.is_some(), Ordering::Relaxed);
        self.figures.url.used.store(sends, Ordering::Relaxed);
    }

    /// Brings what a crash has left to where it is not yet; `written`: what is in the file.
    fn take_up(&mut self, left: Vec<Record>, written: Option<&BTreeSet<String>>) {
        if left.is_empty() {
            return;
        }
        let spooled = self.outbox.with_spool(|spool| spool.sids());
        for record in left {
            let to_file = written.is_some_and(|written| !written.contains(&record.sid));
            let to_url = spooled.as_ref().is_some_and(|spooled| !spooled.contains(&record.sid));
            self.keep(Waiting { record, to_file, to_url });
        }
        self.flush();
    }

    /// What had counted with limits by the day.
    pub(crate) fn day_counts(&self) -> Vec<DayCount> {
        self.days.all()
    }

    /// What is to be told of it.
    pub(crate) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Writes and sends until the end is told.
    pub(crate) async fn serve(mut self, mut orders: mpsc::Receiver<ReportOrder>) {
        let sender = tokio::spawn(Sender::new(Arc::clone(&self.outbox), self.figures()).run());
        loop {
            let order = if self.waiting.is_empty() && !self.journal.as_ref().is_some_and(Journal::has_live) {
                orders.recv().await
            } else {
                let Ok(order) = timeout(PAUSE, orders.recv()).await else {
                    self.flush();
                    self.note("", Journal::look);
                    continue;
                };
                order
            };
            match order {
                Some(ReportOrder::Standing(call, failovers)) => {
                    self.note(&call.sid, |journal| journal.begin(&call, failovers));
                }
                Some(ReportOrder::Answered(sid, at)) => self.note(&sid, |journal| journal.answer(&sid, at)),
                Some(ReportOrder::Record(record)) => match Record::of(&record) {
                    Ok(record) => self.take(record),
                    Err(error) => tracing::error!(call = %record.call.sid, "invalid record: {error}"),
                },
                Some(ReportOrder::Counted(count)) => self.days.note(count),
                Some(ReportOrder::Reopen(cdr, answer)) => {
                    self.refused = (None, None);
                    let changed = self.change(&cdr);
                    if changed.is_ok() {
                        self.days.change(cdr.day_counts.as_deref());
                    }
                    self.flush();
                    let _ = answer.send(changed);
                }
                Some(ReportOrder::End) | None => break,
            }
        }
        self.refused = (None, None);
        self.flush();
        self.outbox.end();
        // What is not sent is in the spool.
        let _ = timeout(Duration::from_secs(CDR_FAREWELL_SECONDS), sender).await;
    }

    fn take(&mut self, record: Record) {
        let (to_file, to_url) = (self.file.is_some(), self.sends);
        if !to_file && !to_url {
            return;
        }
        if to_file && !to_url && self.waiting.is_empty() && self.write(&record) {
            // It has gone where it belongs in one step: the journal need not know more than that.
            return self.cross_out(&record.sid);
        }
        self.note(&record.sid, |journal| journal.close(&record));
        self.keep(Waiting { record, to_file, to_url });
        self.flush();
    }

    /// Whether the file takes a record.
    fn write(&mut self, record: &Record) -> bool {
        let is_taken = self.file.as_mut().is_some_and(|file| write(file, record, &self.figures));
        self.refused.0 = (!is_taken).then(Instant::now);
        is_taken
    }

    /// The oldest are kept where not all can be.
    fn keep(&mut self, one: Waiting) {
        if self.waiting.len() >= RECORDS_KEPT || self.waiting_bytes + one.record.json.len() > RECORDS_KEPT_BYTES {
            self.figures.file.lost.add(u64::from(one.to_file));
            self.figures.url.lost.add(u64::from(one.to_url));
            self.cross_out(&one.record.sid);
            return;
        }
        self.waiting_bytes += one.record.json.len();
        self.waiting.push_back(one);
    }

    /// Brings what waits to where it belongs, as far as the disk takes it.
    fn flush(&mut self) {
        let rests = |since: Option<Instant>| since.is_some_and(|since| since.elapsed() < PAUSE);
        let (mut file_rests, mut spool_rests) = (rests(self.refused.0), rests(self.refused.1));
        let mut at = 0;
        while let Some(one) = self.waiting.get_mut(at).filter(|_| !(file_rests && spool_rests)) {
            if one.to_url && !spool_rests {
                one.to_url = !self.outbox.take(&one.record, &self.figures);
                spool_rests = one.to_url;
                self.refused.1 = spool_rests.then(Instant::now);
            }
            if let Some(file) = self.file.as_mut().filter(|_| one.to_file && !file_rests) {
                one.to_file = !write(file, &one.record, &self.figures);
                file_rests = one.to_file;
                self.refused.0 = file_rests.then(Instant::now);
            }
            if one.to_file || one.to_url {
                at += 1;
            } else if let Some(done) = self.waiting.remove(at) {
                self.waiting_bytes -= done.record.json.len();
                self.cross_out(&done.record.sid);
            }
        }
        let left = self.waiting.iter().filter(|one| one.to_file).count();
        self.figures.file.waiting.set(left as u64);
        if left == 0 && self.figures.file.took() {
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

    /// Opens the files anew; journal and spool go along to another path. What can fail comes first: all is changed, or
    /// nothing is.
    fn change(&mut self, cdr: &Cdr) -> io::Result<()> {
        let Some(path) = journal_path(cdr) else {
            (self.file, self.journal) = (None, None);
            self.waiting.clear();
            self.waiting_bytes = 0;
            self.goes(false);
            return self.outbox.change(None, || Ok(()));
        };
        let spool = cdr.url.as_ref().map(|url| url.spool.as_path());
        let same_spool = self.outbox.with_spool(|spool| spool.folder().to_owned());
        let way = cdr.url.as_ref().map(|url| way(url, same_spool.as_deref() != spool)).transpose()?;
        let sends = way.is_some();
        let moved = match &self.journal {
            Some(journal) if journal.path() == path => None,
            _ => Some(Journal::open(&path)?),
        };
        let (journal, left) = moved.map_or((None, Vec::new()), |(journal, left)| (Some(journal), left));
        self.figures.damaged.add(journal.as_ref().map_or(0, |journal| journal.damaged() as u64));
        let kept = self.file.as_mut().filter(|file| cdr.file.as_ref().is_some_and(|new| new.path == file.path()));
        let keeps = kept.is_some();
        let other = match &cdr.file {
            Some(settings) if !keeps => Some(RecordsFile::open(settings.clone(), true)?),
            Some(_) | None => None,
        };
        let written = written(cdr, &left)?;
        let old = &mut self.journal;
        self.outbox.change(way, || {
            // Beside the same file is the same journal: one of the two fails at most.
            if let (Some(file), Some(settings)) = (kept, &cdr.file) {
                file.change(settings.clone())?;
            }
            match (journal, old) {
                (None, _) => Ok(()),
                (Some(new), Some(old)) => old.move_to(new),
                (new, old) => {
                    *old = new;
                    Ok(())
                }
            }
        })?;
        if !keeps {
            self.file = other;
        }
        self.goes(sends);
        for one in &mut self.waiting {
            (one.to_file, one.to_url) = (one.to_file && self.file.is_some(), one.to_url && self.sends);
        }
        self.take_up(left, written.as_ref());
        Ok(())
    }
}

/// Which of the calls that a crash has left may be in the file; `None`: there is none.
fn written(cdr: &Cdr, left: &[Record]) -> io::Result<Option<BTreeSet<String>>> {
    cdr.file.as_ref().filter(|_| !left.is_empty()).map(|file| last_sids(&file.path)).transpose()
}

/// Whether the file takes a record; tells it where that changes.
fn write(file: &mut RecordsFile, record: &Record, figures: &Figures) -> bool {
    let Err(error) = file.write(record, Timestamp::now()) else { return true };
    if figures.file.failed(&format!("not written: {error}")) {
        tracing::error!(
            reason = "cdr_failed",
            "call records are not written: {error}; up to {RECORDS_KEPT} are kept and retried. Calls are not affected"
        );
    }
    false
}

/// The way to the URL: its spool, where that is to be opened.
fn way(url: &CdrUrl, open: bool) -> io::Result<Way> {
    let target = Target::new(url.clone()).map_err(|what| io::Error::other(format!("[cdr] url: {what}")))?;
    let spool = open.then(|| Spool::open(&url.spool, url.spool_bytes)).transpose()?;
    Ok(Way { spool, target: Arc::new(target), most_bytes: url.spool_bytes })
}

/// Beside the file; without one in the spool.
fn journal_path(cdr: &Cdr) -> Option<PathBuf> {
    match (&cdr.file, &cdr.url) {
        (Some(file), _) => {
            let mut path = file.path.as_os_str().to_owned();
            path.push(".live");
            Some(path.into())
        }
        (None, Some(url)) => Some(url.spool.join("live")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config::{CdrFile, CdrFormat, Keep};
    use crate::sinks::records::disk::tests::{crash_at, set_room};
    use crate::sinks::records::tests::{began, record};

    fn cdr(path: &Path, format: CdrFormat) -> Cdr {
        let size = 2 * record("CA1").json.len() as u64 + 300;
        let file =
            CdrFile { path: path.to_owned(), format, rotate_bytes: Some(size), rotate_every: None, keep: Keep::All };
        let url = CdrUrl {
            url: "http://127.0.0.1:9/".to_owned(),
            secrets: Vec::new(),
            token: None,
            ca: None,
            spool: path.with_file_name("cdr.spool"),
            spool_bytes: 1 << 30,
        };
        Cdr { file: Some(file), url: Some(url), day_counts: None }
    }

    /// How often each call stands in the files of a folder.
    fn counts(folder: &Path) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() || path.extension().is_some_and(|ending| ending == "live" || ending == "new") {
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
            writer.note(&sid, |journal| journal.begin(&began(&sid), 0));
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
        for (format, sends) in [(CdrFormat::Jsonl, true), (CdrFormat::Csv, true), (CdrFormat::Jsonl, false)] {
            for quarters in [0, 2, 4] {
                for first in 0.. {
                    let directory = tempfile::tempdir().unwrap();
                    let mut cdr = cdr(&directory.path().join("cdr.jsonl"), format);
                    cdr.url = cdr.url.filter(|_| sends);
                    let mut begun = Vec::new();
                    let died = crash_at(first, quarters, || {
                        work(&mut Writer::open(&cdr).unwrap(), &mut begun);
                    });
                    let mut second = first % 5;
                    while crash_at(second, quarters, || drop(Writer::open(&cdr).unwrap())) {
                        second += 1;
                        crashes += 1;
                    }
                    let writer = Writer::open(&cdr).unwrap();
                    let to_send = writer.outbox.with_spool(|spool| spool.sids());
                    let counts = counts(directory.path());
                    let at = format!("{format:?} {sends} {quarters} {first}: {begun:?} {counts:?}");
                    assert!(begun.iter().all(|sid| counts.contains_key(sid)), "{at}");
                    assert!(counts.values().all(|n| *n == 1), "{at}");
                    let is_sent = |sid| to_send.as_ref().is_some_and(|to_send| to_send.contains(sid));
                    assert!(!sends || counts.keys().all(is_sent), "{at} {to_send:?}");
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
        cdr.url = None;
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
        writer.refused = (None, None);
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
    fn a_file_that_cannot_be_opened_leaves_all_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let old = directory.path().join("old.jsonl");
        let to = |path: &Path| Cdr { url: None, ..cdr(path, CdrFormat::Jsonl) };
        let mut writer = Writer::open(&to(&old)).unwrap();
        let folder = directory.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        for bad in [directory.path().join("nowhere/new.jsonl"), folder] {
            writer.change(&to(&bad)).unwrap_err();
            writer.note("CA1", |journal| journal.begin(&began("CA1"), 0));
            writer.take(record("CA1"));
        }
        assert_eq!(std::fs::read_to_string(&old).unwrap().matches("CA1").count(), 2);
        assert!(directory.path().join("old.jsonl.live").exists());
    }

    #[test]
    fn a_spool_without_room_leaves_all_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        let to = |folder: &Path| {
            std::fs::create_dir_all(folder).unwrap();
            cdr(&folder.join("cdr.jsonl"), CdrFormat::Jsonl)
        };
        let mut writer = Writer::open(&to(&old)).unwrap();
        for n in 0..4 {
            writer.take(record(&format!("CA{n}")));
        }
        let target = |writer: &Writer| writer.outbox.with_spool(|spool| (spool.folder().to_owned(), spool.len()));
        let mut small = to(&new);
        small.url.as_mut().unwrap().spool_bytes = 3 * record("CA1").json.len() as u64;
        let refused = writer.change(&small).unwrap_err();
        assert!(refused.to_string().contains("no room for 4 queued records"), "{refused}");
        // The same where the spool fits and the file of the journal that has to go along does not.
        writer.note("CA9", |journal| journal.begin(&began("CA9"), 0));
        std::fs::create_dir(new.join("cdr.jsonl.live.new")).unwrap();
        writer.change(&to(&new)).unwrap_err();
        writer.take(record("CA4"));
        assert_eq!(target(&writer), Some((old.join("cdr.spool"), 5)));
        assert!(!counts(&new).contains_key("CA4"), "{:?}", counts(&new));
        assert_eq!(counts(&old)["CA4"], 1);
        std::fs::remove_dir(new.join("cdr.jsonl.live.new")).unwrap();
        writer.change(&to(&new)).unwrap();
        writer.take(record("CA5"));
        assert_eq!(target(&writer), Some((new.join("cdr.spool"), 6)));
        assert_eq!(counts(&new), BTreeMap::from([("CA5".to_owned(), 1)]));
        assert!(!counts(&old).contains_key("CA5"));
        assert!(Spool::open(&old.join("cdr.spool"), 1 << 20).unwrap().sids().is_empty());
    }

    #[test]
    fn another_file_takes_over_live_calls_and_what_waits() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old.jsonl"), directory.path().join("new.jsonl"));
        let mut writer = Writer::open(&cdr(&old, CdrFormat::Jsonl)).unwrap();
        writer.note("CA1", |journal| journal.begin(&began("CA1"), 0));
        writer.change(&cdr(&new, CdrFormat::Jsonl)).unwrap();
        assert!(!directory.path().join("old.jsonl.live").exists());
        drop(writer);
        drop(Writer::open(&cdr(&new, CdrFormat::Jsonl)).unwrap());
        assert!(std::fs::read_to_string(&new).unwrap().contains("CA1"));
    }
}
