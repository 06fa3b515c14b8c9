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
use tokio::time::{MissedTickBehavior, interval, timeout};
use trunkgate_call::{CallRecord, DayCount, ReasonSlug};

use super::days::DayCounts;
use super::file::RecordsFile;
use super::outbox::{Outbox, Queueing, Sender, Way};
use super::post::Target;
use super::queue::{self, Stored};
use super::written::last_sids;
use super::{Figures, ReportOrder};
use crate::config::{Cdr, CdrUrl};
use crate::limits::{
    CDR_FAREWELL_SECONDS, RECORDS_KEPT, RECORDS_KEPT_BYTES, RECORDS_PAUSE_MILLISECONDS, STORE_BATCH,
    STORE_PATIENCE_SECONDS,
};
use crate::sinks::calls::CallList;
use crate::sinks::store::journal::{Journal, Left};
use crate::sinks::store::{Commit, JOURNAL, Record, Store};
use crate::system::problem::Failure;
use crate::system::text::number;

/// Lost records whose calls are logged.
const LOST_TOLD: usize = 10;

/// How long the file is left alone after it took no record.
const PAUSE: Duration = Duration::from_millis(RECORDS_PAUSE_MILLISECONDS);

/// Where call records go.
pub(crate) struct Writer {
    store: Store,
    file: Option<RecordsFile>,
    outbox: Arc<Outbox>,
    journal: Option<Journal>,
    days: DayCounts,
    /// The list of the API, which has each call too.
    calls: Arc<CallList>,
    /// Records that are not yet where they belong, in their order.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// How many of them wait for the file.
    file_waits: usize,
    /// Those of them that are on their way into the store, for the URL.
    queueing: Option<Queueing>,
    /// When the file, and the store, last took no record.
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
    /// The system's, or the store's where records wait in it.
    pub(crate) fn open(cdr: &Cdr, store: Store, calls: Arc<CallList>) -> io::Result<Writer> {
        let figures = Arc::<Figures>::default();
        let mut writer = Writer {
            file: None,
            outbox: Arc::new(Outbox::new(store.clone())),
            journal: None,
            days: DayCounts::new(store.clone(), Arc::clone(&figures)),
            calls,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            file_waits: 0,
            queueing: None,
            refused: (None, None),
            figures,
            store,
        };
        let Some(path) = writer.journal_path(cdr) else { return Ok(writer) };
        let way = cdr.url.as_ref().map(|url| way(url, Some(writer.store.run_now(queue::read)?))).transpose()?;
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
        writer.goes(way);
        if let Some((journal, left)) = opened {
            writer.figures.damaged.add(journal.damaged() as u64);
            writer.journal = Some(journal);
            let written = written(cdr, &left)?;
            writer.take_up(left, written.as_ref());
        }
        Ok(writer)
    }

    /// Where records are to be sent from now on.
    fn goes(&mut self, way: Option<Way>) {
        self.figures.file.used.store(self.file.is_some(), Ordering::Relaxed);
        self.figures.url.used.store(way.is_some(), Ordering::Relaxed);
        self.outbox.change(way);
    }

    /// Brings what a crash has left to where it is not yet; `written`: what is in the file.
    fn take_up(&mut self, left: Vec<Left>, written: Option<&BTreeSet<String>>) {
        if left.is_empty() {
            return;
        }
        let is_cut_short =
            |left: &&Left| !left.is_filed && left.record.value()["reason"] == ReasonSlug::EdgeRestarted.as_str();
        let cut_short = left.iter().filter(is_cut_short).count();
        if cut_short > 0 {
            self.figures.note_cut_short(cut_short);
        }
        let queued = self.outbox.with_queue(|queue| queue.sids());
        for Left { record, is_filed } in left {
            self.calls.add_record(&record);
            let to_file = !is_filed && written.is_some_and(|written| !written.contains(&record.sid));
            let to_url = queued.as_ref().is_some_and(|queued| !queued.contains(&record.sid));
            self.keep(Waiting { record, to_file, to_url });
        }
        self.flush();
    }

    /// What had counted with limits by the day.
    pub(crate) fn day_counts(&self) -> Vec<DayCount> {
        self.days.read()
    }

    /// Returns the list that has each call too.
    pub(crate) fn calls(&self) -> Arc<CallList> {
        Arc::clone(&self.calls)
    }

    /// What is to be told of it.
    pub(crate) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Writes and sends until the end is told.
    pub(crate) async fn serve(mut self, mut orders: mpsc::Receiver<ReportOrder>) {
        let sender = tokio::spawn(Sender::new(Arc::clone(&self.outbox), self.figures()).run());
        let mut retries = interval(PAUSE);
        retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_work = !self.waiting.is_empty() || self.days.is_behind() || self.calls.is_behind();
            let looks = has_work || self.journal.as_ref().is_some_and(Journal::has_live);
            let order = tokio::select! {
                order = orders.recv() => order,
                stored = next_stored(&mut self.queueing) => {
                    self.stored(stored);
                    continue;
                }
                () = self.days.settle() => continue,
                _ = retries.tick(), if looks => {
                    self.flush();
                    self.days.begin();
                    self.calls.settle();
                    self.note("", Journal::look);
                    continue;
                }
            };
            match order {
                Some(ReportOrder::Standing(call, failovers)) => {
                    self.note(&call.sid, |journal| journal.begin(&call, failovers));
                }
                Some(ReportOrder::Answered(sid, at)) => self.note(&sid, |journal| journal.answer(&sid, at)),
                Some(ReportOrder::Record(record)) => self.ended(&record),
                Some(ReportOrder::Counted(count)) => self.days.note(count),
                Some(ReportOrder::Reopen { cdr, needs_store, answer }) => {
                    self.refused = (None, None);
                    let changed = self.change(&cdr, needs_store).await;
                    self.flush();
                    let _ = answer.send(changed);
                }
                Some(ReportOrder::End) | None => break,
            }
        }
        let farewell = Duration::from_secs(CDR_FAREWELL_SECONDS);
        let _ = timeout(farewell, self.finish()).await;
        self.account();
        self.outbox.end();
        // What is not sent is in the store.
        let _ = timeout(farewell, sender).await;
    }

    fn ended(&mut self, ended: &CallRecord) {
        match Record::of(ended) {
            Ok(record) => {
                if !ended.is_turned_down {
                    self.calls.add(&ended.call, &record);
                }
                self.take(record);
            }
            Err(error) => tracing::error!(call = %ended.call.sid, "invalid record: {error}"),
        }
    }

    /// Brings what is left to where it belongs; what does not get there is in the journal.
    async fn finish(&mut self) {
        self.calls.finish();
        self.refused = (None, None);
        self.flush();
        while self.queueing.is_some() {
            let stored = next_stored(&mut self.queueing).await;
            self.stored(stored);
        }
        self.days.hurry();
        if self.days.is_behind() {
            self.days.settle().await;
        }
    }

    /// Says what becomes of the records that are not where they belong.
    fn account(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let saved = match &mut self.journal {
            Some(journal) => journal.save(),
            None => Err(io::Error::other("there is no journal")),
        };
        let unsaved = |sid: &String| self.journal.as_ref().is_none_or(|journal| journal.unsaved().contains(sid));
        let (lost, kept): (Vec<&Waiting>, Vec<_>) = self.waiting.iter().partition(|one| unsaved(&one.record.sid));
        if let Some(journal) = self.journal.as_ref().filter(|_| !kept.is_empty()) {
            tracing::warn!(
                reason = "cdr_failed",
                "not yet written at the end: {}; {} keeps them, and the next start writes them",
                number(kept.len(), "call record"),
                journal.path().display()
            );
        }
        if let Err(error) = saved {
            self.figures.file.lost.add(lost.iter().filter(|one| one.to_file).count() as u64);
            self.figures.url.lost.add(lost.iter().filter(|one| one.to_url).count() as u64);
            let sids: Vec<&str> = lost.iter().take(LOST_TOLD).map(|one| one.record.sid.as_str()).collect();
            tracing::error!(
                reason = "cdr_failed",
                "lost at the end: {}, neither the file nor the journal takes them: {error}; {}{}",
                number(lost.len(), "call record"),
                sids.join(", "),
                if lost.len() > sids.len() { ", …" } else { "" }
            );
        }
    }

    fn take(&mut self, record: Record) {
        let (to_file, to_url) = (self.file.is_some(), self.outbox.has_way());
        if !to_file && !to_url {
            return;
        }
        // In its order: behind those that the file has not taken.
        let is_next = self.file_waits == 0;
        if to_file && !to_url && is_next && self.write(&record) {
            // It has gone where it belongs in one step: the journal need not know more than that.
            return self.cross_out(&record.sid);
        }
        self.note(&record.sid, |journal| journal.close(&record));
        let is_filed = to_file && to_url && is_next && self.write(&record);
        if is_filed {
            self.note(&record.sid, |journal| journal.file(&record.sid));
        }
        self.keep(Waiting { record, to_file: to_file && !is_filed, to_url });
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
        self.file_waits += usize::from(one.to_file);
        self.waiting.push_back(one);
    }

    /// Brings what waits to where it belongs, as far as the disk takes it.
    fn flush(&mut self) {
        let rests = |since: Option<Instant>| since.is_some_and(|since| since.elapsed() < PAUSE);
        if self.queueing.is_none() && !rests(self.refused.1) {
            self.queue();
        }
        let mut file_rests = rests(self.refused.0);
        let mut at = 0;
        while let Some(one) = self.waiting.get_mut(at) {
            if let Some(file) = self.file.as_mut().filter(|_| one.to_file && !file_rests) {
                one.to_file = !write(file, &one.record, &self.figures);
                file_rests = one.to_file;
                self.refused.0 = file_rests.then(Instant::now);
                if let (false, true, Some(journal)) = (one.to_file, one.to_url, &mut self.journal) {
                    // Where that fails a start looks for it in the file.
                    let _ = journal.file(&one.record.sid);
                }
            }
            if one.to_file || one.to_url {
                at += 1;
            } else if let Some(done) = self.waiting.remove(at) {
                self.waiting_bytes -= done.record.json.len();
                self.cross_out(&done.record.sid);
            }
        }
        self.file_waits = self.waiting.iter().filter(|one| one.to_file).count();
        self.figures.file.waiting.set(self.file_waits as u64);
        let waiting = self.waiting.len();
        let unsaved = self.journal.as_ref().map_or(waiting, |journal| journal.unsaved().len());
        self.figures.only_in_memory.set(unsaved.min(waiting) as u64);
        if self.file_waits == 0 && self.figures.file.took() {
            tracing::info!("call records are written again; lost since the start: {}", self.figures.file.lost.get());
        }
    }

    /// Has what waits for the URL put into the store.
    fn queue(&mut self) {
        let records: Vec<Record> =
            self.waiting.iter().filter(|one| one.to_url).take(STORE_BATCH).map(|one| one.record.clone()).collect();
        if records.is_empty() {
            return;
        }
        let (lost, queueing) = self.outbox.begin(records, &self.figures);
        self.need_not_be_sent(&lost.into_iter().collect());
        self.queueing = Some(queueing);
    }

    /// What was put into the store is there, or not; then what came meanwhile is.
    fn stored(&mut self, (queueing, stored): (Queueing, io::Result<Vec<Stored>>)) {
        self.refused.1 = stored.is_err().then(Instant::now);
        if let Some(sids) = self.outbox.stored(&queueing, stored, &self.figures) {
            self.need_not_be_sent(&sids);
        }
        self.flush();
    }

    fn need_not_be_sent(&mut self, sids: &BTreeSet<String>) {
        self.waiting.iter_mut().filter(|one| sids.contains(&one.record.sid)).for_each(|one| one.to_url = false);
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

    /// Opens the files anew; the journal goes along to another path. What can fail comes first: all is changed, or
    /// nothing is.
    async fn change(&mut self, cdr: &Cdr, needs_store: bool) -> io::Result<()> {
        if needs_store {
            in_time(self.store.run(Commit::Now, |_| Ok(()))).await?;
        }
        let Some(path) = self.journal_path(cdr) else {
            // Calls of now are not cut short where records are wanted again later.
            if let Some(Err(error)) = self.journal.take().map(Journal::forget) {
                tracing::warn!(reason = "cdr_failed", "the journal of live calls stays: {error}");
            }
            self.file = None;
            self.waiting.clear();
            (self.waiting_bytes, self.file_waits) = (0, 0);
            self.goes(None);
            return Ok(());
        };
        let way = match &cdr.url {
            // What waits is known.
            Some(url) if self.outbox.has_way() => Some(way(url, None)?),
            Some(url) => Some(way(url, Some(in_time(self.store.run(Commit::Now, queue::read)).await?))?),
            None => None,
        };
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
        // Beside the same file is the same journal: one of the two fails at most.
        if let (Some(file), Some(settings)) = (kept, &cdr.file) {
            file.change(settings.clone())?;
        }
        match (journal, &mut self.journal) {
            (None, _) => {}
            (Some(new), Some(old)) => old.move_to(new)?,
            (new, old) => *old = new,
        }
        if !keeps {
            self.file = other;
        }
        self.goes(way);
        let (has_file, has_way) = (self.file.is_some(), self.outbox.has_way());
        for one in &mut self.waiting {
            (one.to_file, one.to_url) = (one.to_file && has_file, one.to_url && has_way);
        }
        self.take_up(left, written.as_ref());
        Ok(())
    }

    /// Beside the file; without one beside the store.
    fn journal_path(&self, cdr: &Cdr) -> Option<PathBuf> {
        match (&cdr.file, &cdr.url) {
            (Some(file), _) => {
                let mut path = file.path.as_os_str().to_owned();
                path.push(".live");
                Some(path.into())
            }
            (None, Some(_)) => Some(self.store.directory().join(JOURNAL)),
            (None, None) => None,
        }
    }
}

/// What the store says, if it does so while calls can wait for their lines in the journal.
async fn in_time<T>(asked: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let patience = Duration::from_secs(STORE_PATIENCE_SECONDS);
    timeout(patience, asked).await.unwrap_or_else(|_| Err(io::Error::other("the store does not answer")))
}

/// Waits until what is on its way into the store is there.
async fn next_stored(queueing: &mut Option<Queueing>) -> (Queueing, io::Result<Vec<Stored>>) {
    let stored = match queueing {
        Some(queueing) => queueing.stored().await,
        None => return std::future::pending().await,
    };
    match queueing.take() {
        Some(queueing) => (queueing, stored),
        None => std::future::pending().await,
    }
}

/// Which of the calls that a crash has left may be in the file; `None`: there is none.
fn written(cdr: &Cdr, left: &[Left]) -> io::Result<Option<BTreeSet<String>>> {
    cdr.file.as_ref().filter(|_| !left.is_empty()).map(|file| last_sids(&file.path)).transpose()
}

/// Whether the file takes a record; tells it where that changes.
fn write(file: &mut RecordsFile, record: &Record, figures: &Figures) -> bool {
    let Err(error) = file.write(record, Timestamp::now()) else { return true };
    if figures.file.failed(Failure::of(&error, file.directory())) {
        tracing::error!(
            reason = "cdr_failed",
            "call records are not written: {error}; up to {RECORDS_KEPT} are kept and retried. Calls are not affected"
        );
    }
    false
}

/// The way to the URL, and what waits in the store where that is not known.
fn way(url: &CdrUrl, stored: Option<Vec<Stored>>) -> io::Result<Way> {
    let target = Target::new(url.clone()).map_err(|what| io::Error::other(format!("[cdr] url: {what}")))?;
    Ok(Way { target: Arc::new(target), most_bytes: url.most_waiting, stored })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config::{CdrFile, CdrFormat, Keep};
    use crate::limits::RECORDS_SEARCHED_BYTES;
    use crate::sinks::records::tests::{began, record, store};
    use crate::sinks::store::disk::{self, tests::crash_at, tests::set_room};

    /// With the store in a folder beside the file.
    fn open(cdr: &Cdr) -> io::Result<Writer> {
        let path = &cdr.file.as_ref().unwrap().path;
        let store = store(&path.with_file_name("store"));
        let calls = CallList::new(store.clone(), None);
        Writer::open(cdr, store, Arc::new(calls))
    }

    /// Waits until nothing is on its way into the store.
    fn settle(writer: &mut Writer) {
        run(async {
            while writer.queueing.is_some() {
                let stored = next_stored(&mut writer.queueing).await;
                writer.stored(stored);
            }
        });
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    /// How many wait for the URL.
    fn waiting(writer: &Writer) -> Option<usize> {
        writer.outbox.with_queue(|queue| queue.len())
    }

    fn cdr(path: &Path, format: CdrFormat) -> Cdr {
        let size = 2 * record("CA1").json.len() as u64 + 300;
        let file =
            CdrFile { path: path.to_owned(), format, rotate_bytes: Some(size), rotate_every: None, keep: Keep::All };
        let url = CdrUrl {
            url: "http://127.0.0.1:9/".to_owned(),
            secrets: Vec::new(),
            token: None,
            ca: None,
            timeout: Duration::from_secs(20),
            most_waiting: 1 << 30,
        };
        Cdr { file: Some(file), url: Some(url) }
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
            if n % 3 == 1 {
                settle(writer);
            }
        }
    }

    /// The process dies at every step that changes a file, nothing, half or all of what it writes gets there, and it dies
    /// again at every step of the next start.
    #[test]
    fn one_record_a_call_wherever_the_process_is_killed() {
        let mut crashes = 0;
        for (format, sends) in [(CdrFormat::Jsonl, true), (CdrFormat::Csv, false)] {
            for quarters in [0, 2, 4] {
                for first in 0.. {
                    let directory = tempfile::tempdir().unwrap();
                    let mut cdr = cdr(&directory.path().join("cdr.jsonl"), format);
                    cdr.url = cdr.url.filter(|_| sends);
                    let mut begun = Vec::new();
                    let died = crash_at(first, quarters, || {
                        work(&mut open(&cdr).unwrap(), &mut begun);
                    });
                    let mut second = first % 5;
                    while crash_at(second, quarters, || settle(&mut open(&cdr).unwrap())) {
                        second += 1;
                        crashes += 1;
                    }
                    let mut writer = open(&cdr).unwrap();
                    settle(&mut writer);
                    let counts = counts(directory.path());
                    let at = format!("{format:?} {sends} {quarters} {first}: {begun:?} {counts:?}");
                    assert!(begun.iter().all(|sid| counts.contains_key(sid)), "{at}");
                    assert!(counts.values().all(|n| *n == 1), "{at}");
                    let queued = writer.outbox.with_queue(|queue| queue.sids()).unwrap_or_default();
                    assert!(!sends || counts.keys().all(|sid| queued.contains(sid)), "{at}");
                    assert!(!sends || waiting(&writer) == Some(counts.len()), "{at}");
                    if !died {
                        break;
                    }
                    crashes += 1;
                }
            }
        }
        assert!(crashes > 200, "{crashes}");
    }

    #[test]
    fn while_the_disk_is_full_records_are_kept_and_written_in_their_order_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl");
        let mut cdr = cdr(&path, CdrFormat::Jsonl);
        cdr.file.as_mut().unwrap().rotate_bytes = None;
        cdr.url = None;
        let mut writer = open(&cdr).unwrap();
        let figures = writer.figures();
        writer.take(record("CA0"));
        set_room(Some(40));
        for n in 1..=RECORDS_KEPT + 3 {
            writer.take(record(&format!("CA{n}")));
        }
        let problems: Vec<String> = figures.problems().iter().map(ToString::to_string).collect();
        assert!(
            problems[0].starts_with("call records are not written to the file: ")
                && problems[0].contains(
                    "; 10000 wait, from 10000 on further ones are lost; try: free space on this disk: `df -h "
                ),
            "{problems:?}"
        );
        let no_restart = "; do not restart the edge before that: 10000 records are in memory only and would be lost";
        assert!(problems[0].ends_with(no_restart), "{problems:?}");
        assert_eq!(problems[1], "3 call records lost since the start: not in the file");
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
    fn what_waits_at_the_end_is_lost_only_where_the_journal_takes_it_neither() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl");
        let cdr = Cdr { url: None, ..cdr(&path, CdrFormat::Jsonl) };
        let mut writer = open(&cdr).unwrap();
        let figures = writer.figures();
        // A folder is in the place of the file: the journal has the first one; then the disk is full.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        writer.take(record("CA0"));
        assert_eq!(figures.only_in_memory.get(), 0);
        set_room(Some(40));
        writer.take(record("CA1"));
        writer.take(record("CA2"));
        assert_eq!((figures.only_in_memory.get(), figures.file.waiting.get()), (2, 3));
        writer.account();
        assert_eq!(figures.file.lost.get(), 2);
        set_room(None);
        writer.account();
        assert_eq!(figures.file.lost.get(), 2, "the journal took them");
        drop(writer);
        std::fs::remove_dir(&path).unwrap();
        drop(open(&cdr).unwrap());
        assert_eq!(counts(directory.path()), ["CA0", "CA1", "CA2"].map(|sid| (sid.to_owned(), 1)).into());
    }

    #[test]
    fn what_was_kept_when_the_process_died_is_in_the_journal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records/cdr.jsonl");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let cdr = cdr(&path, CdrFormat::Jsonl);
        let mut writer = open(&cdr).unwrap();
        // Somebody puts a folder in the place of the file.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        writer.take(record("CA1"));
        drop(writer);
        std::fs::remove_dir(&path).unwrap();
        drop(open(&cdr).unwrap());
        assert_eq!(counts(path.parent().unwrap()), BTreeMap::from([("CA1".to_owned(), 1)]));
    }

    #[test]
    fn a_file_that_cannot_be_opened_leaves_all_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let old = directory.path().join("old.jsonl");
        let to = |path: &Path| Cdr { url: None, ..cdr(path, CdrFormat::Jsonl) };
        let mut writer = open(&to(&old)).unwrap();
        let folder = directory.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        for bad in [directory.path().join("nowhere/new.jsonl"), folder] {
            run(writer.change(&to(&bad), false)).unwrap_err();
            writer.note("CA1", |journal| journal.begin(&began("CA1"), 0));
            writer.take(record("CA1"));
        }
        assert_eq!(std::fs::read_to_string(&old).unwrap().matches("CA1").count(), 2);
        assert!(directory.path().join("old.jsonl.live").exists());
    }

    #[test]
    fn a_journal_that_cannot_be_moved_leaves_all_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        let to = |folder: &Path| {
            std::fs::create_dir_all(folder).unwrap();
            cdr(&folder.join("cdr.jsonl"), CdrFormat::Jsonl)
        };
        let mut writer = open(&to(&old)).unwrap();
        writer.note("CA9", |journal| journal.begin(&began("CA9"), 0));
        writer.take(record("CA3"));
        let other = to(&new);
        std::fs::create_dir(new.join("cdr.jsonl.live.new")).unwrap();
        run(writer.change(&other, true)).unwrap_err();
        writer.take(record("CA4"));
        settle(&mut writer);
        assert_eq!((waiting(&writer), counts(&old)["CA4"]), (Some(2), 1));
        assert!(!counts(&new).contains_key("CA4"), "{:?}", counts(&new));
        std::fs::remove_dir(new.join("cdr.jsonl.live.new")).unwrap();
        run(writer.change(&other, true)).unwrap();
        writer.take(record("CA5"));
        settle(&mut writer);
        assert_eq!((waiting(&writer), counts(&new)), (Some(3), BTreeMap::from([("CA5".to_owned(), 1)])));
        assert!(!counts(&old).contains_key("CA5"));
    }

    #[test]
    fn a_call_that_lives_while_no_records_are_wanted_is_not_cut_short() {
        let directory = tempfile::tempdir().unwrap();
        let cdr = cdr(&directory.path().join("cdr.jsonl"), CdrFormat::Jsonl);
        let mut writer = open(&cdr).unwrap();
        writer.note("CA1", |journal| journal.begin(&began("CA1"), 0));
        run(writer.change(&Cdr::default(), false)).unwrap();
        run(writer.change(&cdr, false)).unwrap();
        assert!(counts(directory.path()).is_empty());
        writer.take(record("CA1"));
        assert_eq!(counts(directory.path())["CA1"], 1);
    }

    #[test]
    fn what_the_file_has_is_not_written_again_however_much_came_behind_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cdr.jsonl");
        let mut cdr = cdr(&path, CdrFormat::Jsonl);
        cdr.file.as_mut().unwrap().rotate_bytes = None;
        let mut writer = open(&cdr).unwrap();
        disk::tests::refuse_changes(true);
        // More than a start looks through.
        let many = 2 * RECORDS_SEARCHED_BYTES as usize / record("CA1").json.len();
        assert!(many < RECORDS_KEPT);
        for n in 0..many {
            writer.take(record(&format!("CA{n}")));
        }
        drop(writer);
        disk::tests::refuse_changes(false);
        let mut writer = open(&cdr).unwrap();
        while writer.queueing.is_some() {
            settle(&mut writer);
        }
        assert_eq!((counts(directory.path()).len(), waiting(&writer)), (many, Some(many)));
        assert!(counts(directory.path()).values().all(|count| *count == 1));
    }

    #[test]
    fn a_store_that_takes_nothing_costs_the_file_no_record() {
        let directory = tempfile::tempdir().unwrap();
        let mut cdr = cdr(&directory.path().join("cdr.jsonl"), CdrFormat::Jsonl);
        cdr.file.as_mut().unwrap().rotate_bytes = None;
        let mut writer = open(&cdr).unwrap();
        disk::tests::refuse_changes(true);
        for n in 0..RECORDS_KEPT + 3 {
            writer.take(record(&format!("CA{n}")));
        }
        assert_eq!((counts(directory.path()).len(), writer.figures.file.lost.get()), (RECORDS_KEPT + 3, 0));
        assert_eq!(writer.figures.url.lost.get(), 3);
        disk::tests::refuse_changes(false);
    }

    #[test]
    fn what_waits_stays_where_the_url_goes_away_and_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let cdr = cdr(&directory.path().join("cdr.jsonl"), CdrFormat::Jsonl);
        let mut writer = open(&cdr).unwrap();
        writer.take(record("CA1"));
        settle(&mut writer);
        run(writer.change(&Cdr { url: None, ..cdr.clone() }, false)).unwrap();
        writer.take(record("CA2"));
        assert_eq!((waiting(&writer), counts(directory.path()).len()), (None, 2));
        run(writer.change(&cdr, false)).unwrap();
        assert_eq!(waiting(&writer), Some(1));
    }

    #[test]
    fn a_store_that_is_not_there_keeps_no_record_from_the_file_and_gets_it_later() {
        let directory = tempfile::tempdir().unwrap();
        let cdr = cdr(&directory.path().join("cdr.jsonl"), CdrFormat::Jsonl);
        let mut writer = open(&cdr).unwrap();
        disk::tests::refuse_changes(true);
        writer.take(record("CA1"));
        settle(&mut writer);
        assert_eq!((waiting(&writer), counts(directory.path()).len()), (Some(0), 1));
        assert!(
            writer.figures.problems()[0].to_string().starts_with("call records cannot be queued for the URL: "),
            "{:?}",
            writer.figures.problems()
        );
        disk::tests::refuse_changes(false);
        writer.refused = (None, None);
        writer.flush();
        settle(&mut writer);
        assert_eq!((waiting(&writer), writer.waiting.len()), (Some(1), 0));
        assert!(writer.figures.problems().is_empty());
    }

    #[test]
    fn another_file_takes_over_live_calls_and_what_waits() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old.jsonl"), directory.path().join("new.jsonl"));
        let mut writer = open(&cdr(&old, CdrFormat::Jsonl)).unwrap();
        writer.note("CA1", |journal| journal.begin(&began("CA1"), 0));
        run(writer.change(&cdr(&new, CdrFormat::Jsonl), false)).unwrap();
        assert!(!directory.path().join("old.jsonl.live").exists());
        drop(writer);
        drop(open(&cdr(&new, CdrFormat::Jsonl)).unwrap());
        assert!(std::fs::read_to_string(&new).unwrap().contains("CA1"));
    }
}
