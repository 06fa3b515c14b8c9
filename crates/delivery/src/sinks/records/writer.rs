//! Record writer: takes call records in order and delivers each to its destinations. A record that the disk refuses is
//! kept and retried.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use trunkgate_call::{CallRecord, DayCount, ReasonSlug};

use super::days::DayCounts;
use super::file::RecordsFile;
use super::opened::{Missing, Opened, written};
use super::sender::{self, Endpoint, Sender};
use super::{Figures, ReportOrder};
use crate::sinks::calls::CallList;
use crate::sinks::outbox::{Handed, Head, Intake, Row, Worker, table};
use crate::sinks::post::PostTarget;
use crate::sinks::store::journal::{CallJournal, LeftoverRecord};
use crate::sinks::store::{Commit, Store, StoredRecord, may_recover};
use trunkgate_config::{CdrSettings, CdrUrl};
use trunkgate_system::clock;
use trunkgate_system::limits::{
    CDR_FAREWELL_SECONDS, RECORDS_KEPT, RECORDS_KEPT_BYTES, RECORDS_PAUSE_MILLISECONDS, STORE_BATCH,
    STORE_PATIENCE_SECONDS,
};
use trunkgate_system::problem::Failure;
use trunkgate_system::text::number;

/// Maximum number of lost records with a log entry each.
const LOST_TOLD: usize = 10;
/// Name of the journal in the directory of the store, used if records go only to a URL.
const JOURNAL: &str = "calls.live";

/// Pause after the record file has refused a record.
const PAUSE: Duration = Duration::from_millis(RECORDS_PAUSE_MILLISECONDS);

/// Writer of call records.
pub struct Writer {
    store: Store,
    file: Option<RecordsFile>,
    endpoint: Arc<Endpoint>,
    /// Channel to the outbox worker that sends to the endpoint; contains its receiving end until the worker runs.
    sending: (mpsc::Sender<Handed<Row>>, Option<mpsc::Receiver<Handed<Row>>>),
    journal: Option<CallJournal>,
    days: DayCounts,
    /// Ended calls for the API; every call with a record is added.
    calls: Arc<CallList>,
    /// Records that are not yet delivered to all destinations, in order.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Number of records that wait for the file.
    file_waits: usize,
    /// Change that stores records for the URL, in progress.
    queueing: Option<Queueing>,
    /// Times at which the file and the store last refused a record.
    refused: (Option<Instant>, Option<Instant>),
    /// Files that could not be opened at the start, and are retried.
    missing: Missing,
    /// SIDs of live calls taken over from the previous process.
    continued: BTreeSet<String>,
    figures: Arc<Figures>,
}

/// Change that stores records for the URL, with its result.
type Queueing = Pin<Box<dyn Future<Output = (Vec<Head>, io::Result<()>)> + Send>>;

/// Record that is not yet delivered to all destinations.
#[derive(Debug)]
struct Waiting {
    record: StoredRecord,
    to_file: bool,
    to_url: bool,
}

impl Writer {
    /// Opens the configured files. Calls that a crash interrupted get their records now. Files that cannot be opened
    /// because of their disk are retried later, unless `is_required`; until then records are kept in memory. Calls in
    /// `continued` live on in this process.
    ///
    /// # Errors
    /// Returns the system's error, the error of the store if records are sent to a URL, or an error if the URL is
    /// invalid.
    pub fn open(
        cdr: &CdrSettings,
        store: Store,
        calls: Arc<CallList>,
        (is_required, continued): (bool, BTreeSet<String>),
    ) -> io::Result<Writer> {
        let is_fatal = |error: &io::Error| is_required || !may_recover(error);
        let figures = Arc::<Figures>::default();
        let (sending, handed) = mpsc::channel(RECORDS_KEPT);
        let mut writer = Writer {
            file: None,
            endpoint: Arc::default(),
            sending: (sending, Some(handed)),
            journal: None,
            days: DayCounts::new(store.clone(), Arc::clone(&figures)),
            calls,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            file_waits: 0,
            queueing: None,
            refused: (None, None),
            missing: Missing::default(),
            continued,
            figures,
            store,
        };
        let Some(path) = writer.journal_path(cdr) else { return Ok(writer) };
        if let Some(url) = &cdr.url {
            let opened = writer.store.open_now();
            sender::note_stored(&writer.figures, &opened, writer.store.directory());
            opened.or_else(|error| if is_fatal(&error) { Err(error) } else { Ok(()) })?;
            writer.endpoint.set(Some(endpoint(url)?));
        }
        match Opened::open(cdr, &path, &writer.continued) {
            Err(error) if !is_fatal(&error) => {
                writer.missing.files = Some(cdr.clone());
                writer.misses(&error, &path);
            }
            opened => writer.takes(opened?),
        }
        Ok(writer)
    }

    /// Resumes writing with newly opened files: first the records that the journal still holds.
    fn takes(&mut self, opened: Opened) {
        let Opened { file, journal, left, written } = opened;
        self.missing.files = None;
        self.figures.damaged.add(journal.as_ref().map_or(0, |journal| journal.damaged() as u64));
        (self.file, self.journal) = (file, journal);
        self.note_use();
        self.take_up(left, written.as_ref());
    }

    /// Records and logs that the files cannot be opened; the writer retries later.
    fn misses(&mut self, error: &io::Error, journal: &Path) {
        self.missing.tried = Some(Instant::now());
        let directory = journal.parent().unwrap_or(Path::new(""));
        if self.figures.file.failed(Failure::of(error, directory)) {
            tracing::error!(
                reason = "cdr_failed",
                "the files of call records cannot be opened: {error}; up to {RECORDS_KEPT} records are kept in memory, and this is tried \
                 again. Calls are not affected"
            );
        }
        self.note_use();
    }

    /// Tries to open the missing files, unless that was tried less than [`PAUSE`] ago.
    fn find_missing(&mut self) {
        if self.missing.tried.is_none_or(|tried| tried.elapsed() >= PAUSE)
            && let Some(cdr) = self.missing.files.take()
            && let Some(path) = self.journal_path(&cdr)
        {
            match Opened::open(&cdr, &path, &self.continued) {
                Ok(opened) => self.takes(opened),
                Err(error) => {
                    self.missing.files = Some(cdr);
                    self.misses(&error, &path);
                }
            }
        }
    }

    /// Returns whether a record file is configured, open or not.
    fn has_file(&self) -> bool {
        self.file.is_some() || self.missing.files.as_ref().is_some_and(|cdr| cdr.file.is_some())
    }

    fn note_use(&self) {
        self.figures.file.used.store(self.has_file(), Ordering::Relaxed);
        self.figures.url.used.store(self.endpoint.is_set(), Ordering::Relaxed);
    }

    /// Changes the endpoint for records; with `None` records are no longer sent.
    async fn goes(&mut self, endpoint: Option<(PostTarget, u64)>) {
        self.endpoint.set(endpoint);
        self.figures.url.took();
        let _ = self.sending.0.send(Handed::EndPauses).await;
        self.note_use();
    }

    /// Delivers the records of interrupted calls. `written`: SIDs that the file already contains.
    fn take_up(&mut self, left: Vec<LeftoverRecord>, written: Option<&BTreeSet<String>>) {
        if left.is_empty() {
            return;
        }
        let is_cut_short = |left: &&LeftoverRecord| {
            !left.is_filed && left.record.value()["reason"] == ReasonSlug::EdgeRestarted.as_str()
        };
        let cut_short = left.iter().filter(is_cut_short).count();
        if cut_short > 0 {
            self.figures.note_cut_short(cut_short);
        }
        let to_url = self.endpoint.is_set();
        for LeftoverRecord { record, is_filed } in left {
            self.calls.add_record(&record);
            let to_file = !is_filed && written.is_some_and(|written| !written.contains(&record.sid));
            self.keep(Waiting { record, to_file, to_url });
        }
        self.flush();
    }

    /// Delivers the records of calls that a predecessor handed over and that were not restored.
    fn take_up_lost(&mut self, lost: &[String]) {
        let left = self.journal.as_mut().map(|journal| journal.take_lost(lost)).unwrap_or_default();
        let written = self.has_file().then(BTreeSet::new);
        self.take_up(left, written.as_ref());
    }

    /// Returns the stored daily counts of limits.
    pub fn day_counts(&self) -> Vec<DayCount> {
        self.days.read()
    }

    /// Returns the list of ended calls.
    pub fn calls(&self) -> Arc<CallList> {
        Arc::clone(&self.calls)
    }

    /// Returns the figures for metrics and `status`.
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Carries out commands until [`ReportOrder::End`], and sends records to the URL.
    pub async fn serve(mut self, mut orders: mpsc::Receiver<ReportOrder>) {
        let kind = Sender::new(&self.store, Arc::clone(&self.endpoint), self.figures());
        let worker = Worker::new(self.store.clone(), kind);
        let worker = self.sending.1.take().map(|handed| tokio::spawn(worker.keep(Intake::Handed(handed))));
        let mut retries = interval(PAUSE);
        retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_work = !self.waiting.is_empty()
                || self.days.is_behind()
                || self.calls.is_behind()
                || self.missing.files.is_some();
            let looks = has_work || self.journal.as_ref().is_some_and(CallJournal::has_live);
            let order = tokio::select! {
                order = orders.recv() => order,
                stored = next_stored(&mut self.queueing) => {
                    self.stored(stored).await;
                    continue;
                }
                () = self.days.settle() => continue,
                _ = retries.tick(), if looks => {
                    self.find_missing();
                    self.flush();
                    self.days.begin();
                    self.calls.settle();
                    self.note("", CallJournal::look);
                    continue;
                }
            };
            match order {
                Some(ReportOrder::Standing(call, failovers)) => {
                    self.note(&call.sid, |journal| journal.begin(&call, failovers));
                }
                Some(ReportOrder::Restored(lost)) => self.take_up_lost(&lost),
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
        drop(self.sending);
        // The records that are not sent yet are in the store.
        if let Some(worker) = worker {
            let _ = timeout(farewell, worker).await;
        }
    }

    fn ended(&mut self, ended: &CallRecord) {
        match StoredRecord::of(ended) {
            Ok(record) => {
                if !ended.is_turned_down {
                    self.calls.add(&ended.call, &record);
                }
                self.take(record);
            }
            Err(error) => {
                tracing::error!(call = %ended.call.sid, "the call record is lost, because it cannot be serialised: {error}")
            }
        }
    }

    /// Delivers the remaining records before the edge ends; the journal contains those that cannot be delivered.
    async fn finish(&mut self) {
        self.calls.finish();
        self.refused = (None, None);
        self.flush();
        while self.queueing.is_some() {
            let stored = next_stored(&mut self.queueing).await;
            self.stored(stored).await;
        }
        self.days.hurry();
        if self.days.is_behind() {
            self.days.settle().await;
        }
    }

    /// Logs the number of records that are not delivered at the end: kept in the journal, or lost.
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
                "not written before shutdown: {}; {} keeps them, and the next start writes them",
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
                "lost at shutdown: {}, neither the file nor the journal accepts them: {error}; {}{}",
                number(lost.len(), "call record"),
                sids.join(", "),
                if lost.len() > sids.len() { ", …" } else { "" }
            );
        }
    }

    fn take(&mut self, record: StoredRecord) {
        let (to_file, to_url) = (self.has_file(), self.endpoint.is_set());
        if !to_file && !to_url {
            return;
        }
        // Records the file has refused come first.
        let is_next = self.file_waits == 0;
        if to_file && !to_url && is_next && self.write(&record) {
            // No further destination follows, so the journal only needs the removal of the call.
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

    /// Writes a record to the file; returns whether the file accepted it.
    fn write(&mut self, record: &StoredRecord) -> bool {
        let is_taken = self.file.as_mut().is_some_and(|file| write(file, record, &self.figures));
        self.refused.0 = (!is_taken).then(Instant::now);
        is_taken
    }

    /// Keeps a record that is not delivered to all destinations; if too many are kept, the record is lost.
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

    /// Delivers kept records as far as the disk accepts them.
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
                    // If the journal refuses this line, the next start looks for the record in the file.
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
        if self.file_waits == 0 && self.missing.files.is_none() && self.figures.file.took() {
            tracing::info!("call records are written again; lost since the start: {}", self.figures.file.lost.get());
        }
    }

    /// Starts to store the records that wait for the URL.
    fn queue(&mut self) {
        let records = self.waiting.iter().filter(|one| one.to_url).take(STORE_BATCH);
        let rows: Vec<Row> = records.map(|one| sender::row(&one.record)).collect();
        if rows.is_empty() {
            return;
        }
        let heads: Vec<Head> = rows.iter().map(|row| row.head.clone()).collect();
        let add = move |store: &rusqlite::Connection| table::add(store, sender::NAME, &rows);
        let stored = self.store.run(Commit::Soon, add);
        self.queueing = Some(Box::pin(async move { (heads, stored.await) }));
    }

    /// Handles the result of storing records, then stores those that were added meanwhile.
    async fn stored(&mut self, (heads, stored): (Vec<Head>, io::Result<()>)) {
        self.refused.1 = stored.is_err().then(Instant::now);
        sender::note_stored(&self.figures, &stored, self.store.directory());
        if stored.is_ok() {
            let sids: BTreeSet<&str> = heads.iter().map(|head| head.key.as_str()).collect();
            let queued = self.waiting.iter_mut().filter(|one| sids.contains(&*one.record.sid));
            queued.for_each(|one| one.to_url = false);
            for head in heads {
                let _ = self.sending.0.send(Handed::Stored(head)).await;
            }
        }
        self.flush();
    }

    fn cross_out(&mut self, sid: &str) {
        self.note(sid, |journal| journal.end(sid));
    }

    /// Writes a line to the journal, if there is one; failures are only logged.
    fn note(&mut self, sid: &str, write: impl FnOnce(&mut CallJournal) -> io::Result<()>) {
        if let Some(Err(error)) = self.journal.as_mut().map(write) {
            // The record file reports a full disk, once.
            tracing::debug!(call = %sid, reason = "cdr_failed", "journal of live calls not written: {error}");
        }
    }

    /// Reopens the files with a new configuration; the journal may move to another path. The steps that can fail come
    /// first, so that either everything changes or nothing does.
    async fn change(&mut self, cdr: &CdrSettings, needs_store: bool) -> io::Result<()> {
        // A failing store has a problem of its own in `status`, and does not prevent a reload.
        if needs_store && !self.store.health().is_failing() {
            in_time(self.store.run(Commit::Now, |_| Ok(()))).await?;
        }
        let Some(path) = self.journal_path(cdr) else {
            // Calls in an old journal would count as interrupted if records are enabled again later.
            if let Some(Err(error)) = self.journal.take().map(CallJournal::forget) {
                tracing::warn!(
                    reason = "cdr_failed",
                    "{error}; its calls would count as interrupted once [cdr] is set again"
                );
            }
            (self.file, self.missing) = (None, Missing::default());
            self.waiting.clear();
            (self.waiting_bytes, self.file_waits) = (0, 0);
            self.goes(None).await;
            return Ok(());
        };
        let to_url = cdr.url.as_ref().map(endpoint).transpose()?;
        if to_url.is_some() && !self.endpoint.is_set() {
            in_time(self.store.run(Commit::Now, |_| Ok(()))).await?;
        }
        if self.stays_missing(cdr, &path) {
            self.goes(to_url).await;
            self.settle_waiting();
            return Ok(());
        }
        let moved = match &self.journal {
            Some(journal) if journal.path() == path => None,
            _ => Some(CallJournal::open(&path)?),
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
        // An unchanged record file keeps its journal, so only one of the two steps can fail.
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
        self.missing.files = None;
        self.goes(to_url).await;
        self.settle_waiting();
        self.take_up(left, written.as_ref());
        Ok(())
    }

    /// Removes destinations that no longer exist from kept records.
    fn settle_waiting(&mut self) {
        let (has_file, has_url) = (self.has_file(), self.endpoint.is_set());
        for one in &mut self.waiting {
            (one.to_file, one.to_url) = (one.to_file && has_file, one.to_url && has_url);
        }
    }

    /// Retries to open missing files if a reload configures the same ones again. Returns true if they still cannot be
    /// opened; the reload then succeeds nevertheless.
    fn stays_missing(&mut self, cdr: &CdrSettings, journal: &Path) -> bool {
        let is_same = self.missing.files.as_ref().is_some_and(|old| self.journal_path(old).as_deref() == Some(journal));
        if !is_same {
            return false;
        }
        (self.missing.files, self.missing.tried) = (Some(cdr.clone()), None);
        self.find_missing();
        self.missing.files.is_some()
    }

    /// Returns the path of the journal: beside the record file, otherwise in the directory of the store.
    fn journal_path(&self, cdr: &CdrSettings) -> Option<PathBuf> {
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

/// Waits for a result of the store for at most [`STORE_PATIENCE_SECONDS`], then returns an error, because the journal
/// lines of calls wait meanwhile.
async fn in_time<T>(asked: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let patience = Duration::from_secs(STORE_PATIENCE_SECONDS);
    timeout(patience, asked).await.unwrap_or_else(|_| Err(io::Error::other("the store does not answer")))
}

/// Waits for the result of storing records.
async fn next_stored(queueing: &mut Option<Queueing>) -> (Vec<Head>, io::Result<()>) {
    let stored = match queueing {
        Some(queueing) => queueing.await,
        None => return std::future::pending().await,
    };
    *queueing = None;
    stored
}

/// Writes a record to the file; returns whether the file accepted it. Logs the first of several failures; the recovery
/// is logged once no record waits.
fn write(file: &mut RecordsFile, record: &StoredRecord, figures: &Figures) -> bool {
    let Err(error) = file.write(record, clock::now()) else { return true };
    if figures.file.failed(Failure::of(&error, file.directory())) {
        tracing::error!(
            reason = "cdr_failed",
            "call records are not written: {error}; up to {RECORDS_KEPT} are kept and retried. Calls are not affected"
        );
    }
    false
}

/// Returns the endpoint for a URL, and the maximum size of the records that wait for it.
fn endpoint(url: &CdrUrl) -> io::Result<(PostTarget, u64)> {
    let target =
        PostTarget::new(url.receiver.clone()).map_err(|what| io::Error::other(format!("[cdr] url: {what}")))?;
    Ok((target, url.most_waiting))
}

#[cfg(test)]
mod tests;
