//! State shared by the recording threads and the users of recordings.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::task::spawn_blocking;
use trunkgate_recording::age::OpenError;

use super::figures::RecordingFigures;
use super::index::{self, MailboxCounts, RecordingEntry, RecordingFilter, RecordingState};
use super::place::RecordingLocation;
use super::reader::{self, RecordingReader};
use super::report::RecordingReports;
use super::unindexed::{RefusedEntries, log_refused};
use super::waveform::{Waveform, WaveformCache};
use super::{EventCallback, RecordingEvent, mail, report, transcription};
use crate::sinks::outbox;
use crate::sinks::store::{Commit, Store};
use crate::sinks::wake::TaskWaker;
use trunkgate_config::{OnFull, RecordingSettings};
use trunkgate_system::clock;
use trunkgate_system::limits::RECORDINGS_UNINDEXED;

/// Reason why the audio of a recording cannot be read.
#[derive(Debug)]
pub enum RecordingOpenError {
    /// The recording does not exist, or has no audio.
    Absent,
    /// The recording is in progress, or a crash interrupted it and it is not completed yet.
    InProgress,
    /// A crash interrupted the recording, and it cannot be completed; contains the reason.
    Incomplete(String),
    /// The file is shorter than it was when it was closed.
    Cut {
        /// Current length of the file, in bytes.
        bytes: u64,
        /// Length in bytes when the file was closed.
        written: u64,
    },
    /// The recording was deleted by a request, or has expired.
    Deleted,
    /// The recording is encrypted, and `[recording]` has no `key`.
    NoKey,
    /// The recording is damaged, or cannot be decrypted with the identities of `key`.
    Refused(OpenError),
    /// The disk or the store failed.
    Io(io::Error),
}

impl std::fmt::Display for RecordingOpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RecordingOpenError::Absent => f.write_str("there is no such recording, or it has no audio"),
            RecordingOpenError::InProgress => f.write_str("the recording has not ended"),
            RecordingOpenError::Incomplete(why) => {
                write!(f, "the recording was cut by a crash and is not completed: {why}")
            }
            RecordingOpenError::Cut { bytes, written } => {
                write!(f, "the file of the recording has {bytes} of {written} bytes: it was changed or damaged")
            }
            RecordingOpenError::Deleted => f.write_str("the recording was deleted"),
            RecordingOpenError::NoKey => f.write_str("the recording is encrypted, and [recording] has no `key`"),
            RecordingOpenError::Refused(refusal) => refusal.fmt(f),
            RecordingOpenError::Io(error) => write!(f, "the recording cannot be read: {error}"),
        }
    }
}

impl From<io::Error> for RecordingOpenError {
    fn from(error: io::Error) -> RecordingOpenError {
        RecordingOpenError::Io(error)
    }
}

/// Outcome of a request to delete a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionOutcome {
    /// The file of the recording was deleted.
    Done,
    /// The recording does not exist.
    Absent,
    /// The recording had already been deleted.
    Before,
    /// The recording is in progress, so it was not deleted.
    InProgress,
}

/// State shared by the recording threads and the users of recordings.
pub(crate) struct SharedRecordings {
    pub(super) store: Store,
    pub(super) figures: Arc<RecordingFigures>,
    pub(super) reports: RecordingReports,
    /// Entries of starting recordings that the store has refused; the closing thread retries them.
    pub(super) refused: RefusedEntries,
    /// Wakes the task that transcribes recordings.
    pub(super) transcribing: Arc<TaskWaker>,
    /// Wakes the worker that sends e-mails.
    pub(super) mailing: Arc<TaskWaker>,
    tell: EventCallback,
    settings: Mutex<Option<Arc<RecordingSettings>>>,
    /// SIDs of recordings of this process that are not closed yet.
    live: Mutex<HashSet<String>>,
    /// SIDs of recordings that another process hands over, until they arrive.
    expected: Mutex<HashSet<String>>,
    waveforms: WaveformCache,
    /// Interrupted recordings that cannot be completed, by SID with the reason.
    incomplete: Mutex<BTreeMap<String, String>>,
    /// Lock for deleting and completing recordings, so that each is deleted once and none is completed during its
    /// deletion.
    removing: Mutex<()>,
    /// Lock from counting messages to reporting them, so that the last report has the last count.
    telling: Mutex<()>,
}

impl std::fmt::Debug for SharedRecordings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedRecordings").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl SharedRecordings {
    pub(super) fn new(store: Store, figures: Arc<RecordingFigures>, tell: EventCallback) -> SharedRecordings {
        SharedRecordings {
            store,
            figures,
            reports: RecordingReports::default(),
            refused: RefusedEntries::default(),
            transcribing: Arc::default(),
            mailing: Arc::default(),
            tell,
            settings: Mutex::default(),
            live: Mutex::default(),
            expected: Mutex::default(),
            waveforms: WaveformCache::default(),
            incomplete: Mutex::default(),
            removing: Mutex::default(),
            telling: Mutex::default(),
        }
    }

    pub(super) fn configure(&self, settings: Option<RecordingSettings>) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings.map(Arc::new);
    }

    pub(super) fn settings(&self) -> Option<Arc<RecordingSettings>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn takes_calls(&self) -> bool {
        let refuses = || self.settings().is_some_and(|settings| settings.on_full == OnFull::RefuseCalls);
        !(self.figures.is_failing() && refuses())
    }

    /// Logs an event, and passes it to the event callback.
    pub(super) fn tell(&self, event: RecordingEvent) {
        let is_bad = match &event {
            RecordingEvent::Gap(_) | RecordingEvent::Losing(..) => true,
            RecordingEvent::Finished(finished) => finished.entry.error.is_some(),
            RecordingEvent::Messages(_) => false,
        };
        if let Some((call, text)) = event.in_words() {
            if is_bad {
                tracing::warn!(%call, reason = "recording_failed", "{text}");
            } else {
                tracing::info!(%call, "{text}");
            }
        }
        (self.tell)(event);
    }

    /// Reports the message counts of a mailbox. Blocks on the disk.
    pub(super) fn tell_messages(&self, mailbox: &str) {
        let name = mailbox.to_owned();
        if let Err(error) = self.tell_counted(move |store| Ok(vec![index::messages_of(store, name)?])) {
            tracing::warn!(
                reason = "recording_failed",
                "phones may show an old number of messages of voicemail {mailbox}, because they cannot be counted: {error}"
            );
        }
    }

    /// Reports the message counts of all mailboxes that have messages. Blocks on the disk.
    pub(super) fn tell_all_messages(&self) -> io::Result<()> {
        self.tell_counted(index::messages)
    }

    fn tell_counted(
        &self,
        count: impl FnOnce(&Connection) -> rusqlite::Result<Vec<MailboxCounts>> + Send + 'static,
    ) -> io::Result<()> {
        let _held = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = self.change(count)?;
        self.figures.note_messages(&messages);
        (self.tell)(RecordingEvent::Messages(messages));
        Ok(())
    }

    fn live(&self) -> MutexGuard<'_, HashSet<String>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expected(&self) -> MutexGuard<'_, HashSet<String>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces recordings that another process will hand over. Until then their entries and files are not changed.
    pub(super) fn expect(&self, sids: Vec<String>) {
        self.expected().extend(sids);
    }

    /// Gives up waiting for recordings of another process; they are completed as after a crash.
    pub(super) fn expect_no_more(&self) {
        let missing: Vec<String> = std::mem::take(&mut *self.expected()).into_iter().collect();
        if !missing.is_empty() {
            tracing::error!(
                reason = "recording_failed",
                "recordings that the previous process did not hand over end there, and are completed as after a crash: {}",
                missing.join(", ")
            );
        }
    }

    pub(super) fn begun(&self, sid: &str) {
        self.expected().remove(sid);
        let mut live = self.live();
        live.insert(sid.to_owned());
        self.figures.active.set(live.len() as u64);
    }

    pub(super) fn is_live(&self, sid: &str) -> bool {
        self.live().contains(sid) || self.expected().contains(sid)
    }

    pub(super) fn closed(&self, sid: &str) {
        self.expected().remove(sid);
        let mut live = self.live();
        live.remove(sid);
        self.figures.active.set(live.len() as u64);
    }

    /// Writes the entry of a recording that starts, without blocking. An entry that the store refuses is written later.
    pub(super) fn note(&self, entry: RecordingEntry) {
        let (refused, kept) = (self.refused.clone(), entry.clone());
        let work = move |store: &Connection| index::put(store, &entry);
        self.store.submit(Commit::Soon, work, move |done| {
            if let Err(error) = done {
                log_refused(&kept, &error);
                refused.push(kept);
            }
        });
    }

    /// Writes an entry that the store has refused before, unless the index has a later state of the recording.
    pub(super) fn note_late(&self, entry: &RecordingEntry) -> io::Result<()> {
        let is_over = |known: RecordingEntry| known.state != RecordingState::InProgress;
        if self.find(&entry.sid)?.is_some_and(is_over) {
            return Ok(());
        }
        match entry.state {
            RecordingState::InProgress => {
                let entry = entry.clone();
                self.change(move |store| index::put(store, &entry))
            }
            RecordingState::Completed | RecordingState::Absent | RecordingState::Deleted => self.finish(entry),
        }
    }

    /// Changes or reads the index and waits for the result. Blocks on the disk.
    pub(super) fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.store.run_now(work)
    }

    /// Writes the entry of an ended recording in one transaction with its callbacks, then hands those to the sender.
    /// Blocks on the disk.
    pub(super) fn finish(&self, entry: &RecordingEntry) -> io::Result<()> {
        let settings = self.settings();
        let transcribes = settings.as_ref().and_then(|settings| settings.transcription.as_deref());
        let transcription = transcription::wanted(entry, transcribes)?;
        let (is_wanted, letter) = (transcription.is_some(), mail::wanted(entry, transcription.is_some()));
        let is_mailed = letter.is_some();
        let mailbox = entry.message.as_ref().map(|message| message.mailbox.clone());
        let (entry, reports) = (entry.clone(), self.reports.of(entry));
        let heads = self.change(move |store| {
            index::put(store, &entry)?;
            transcription.iter().try_for_each(|new| transcription::table::add(store, new))?;
            outbox::table::add(store, mail::NAME, letter.as_slice())?;
            report::write(store, &reports)
        })?;
        self.reports.hand_over(heads);
        if is_wanted {
            self.transcribing.wake();
        }
        if is_mailed {
            self.mailing.wake();
        }
        if let Some(mailbox) = mailbox {
            self.tell_messages(&mailbox);
        }
        Ok(())
    }

    pub(super) fn list(&self, part: RecordingFilter, most: usize) -> io::Result<Vec<RecordingEntry>> {
        self.store.read_now(move |store| index::list(store, &part, most))
    }

    pub(super) fn find(&self, sid: &str) -> io::Result<Option<RecordingEntry>> {
        let sid = sid.to_owned();
        self.store.read_now(move |store| index::find(store, &sid))
    }

    fn incomplete(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.incomplete.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records why an interrupted recording cannot be completed; with `None`, that it is complete.
    pub(super) fn note_incomplete(&self, sid: &str, why: Option<String>) {
        let mut incomplete = self.incomplete();
        match why {
            Some(why) if incomplete.len() < RECORDINGS_UNINDEXED => _ = incomplete.insert(sid.to_owned(), why),
            Some(_) => {}
            None => _ = incomplete.remove(sid),
        }
    }

    /// Records that a recording was removed, so that it is no longer reported as incomplete.
    fn note_removed(&self, sid: &str) {
        let mut incomplete = self.incomplete();
        if incomplete.remove(sid).is_some() {
            let last = incomplete.iter().next_back().map(|(sid, why)| format!("{sid}: {why}"));
            self.figures.removed_unrecovered(sid, last);
        }
    }

    /// Returns the reason why an interrupted recording cannot be completed.
    pub(super) fn why_incomplete(&self, sid: &str) -> Option<String> {
        self.incomplete().get(sid).cloned()
    }

    fn completed(&self, sid: &str) -> Result<(RecordingEntry, RecordingLocation), RecordingOpenError> {
        let entry = self.find(sid)?.ok_or(RecordingOpenError::Absent)?;
        match entry.state {
            RecordingState::Completed => {}
            RecordingState::InProgress => {
                return Err(self
                    .why_incomplete(sid)
                    .map_or(RecordingOpenError::InProgress, RecordingOpenError::Incomplete));
            }
            RecordingState::Absent => return Err(RecordingOpenError::Absent),
            RecordingState::Deleted => return Err(RecordingOpenError::Deleted),
        }
        let place = entry
            .file
            .as_ref()
            .and_then(|(root, path)| RecordingLocation::of(root, path))
            .ok_or(RecordingOpenError::Absent)?;
        Ok((entry, place))
    }

    pub(super) fn open(&self, sid: &str) -> Result<(RecordingEntry, RecordingReader), RecordingOpenError> {
        let (entry, place) = self.completed(sid)?;
        let file = place.open(false)?;
        let bytes = file.metadata()?.len();
        if bytes < entry.bytes {
            return Err(RecordingOpenError::Cut { bytes, written: entry.bytes });
        }
        let settings = self.settings();
        let identities = settings.as_ref().and_then(|settings| settings.key.as_deref());
        let reader = RecordingReader::of(file, entry.bytes, &entry, identities)?;
        Ok((entry, reader))
    }

    pub(super) fn waveform(&self, sid: &str) -> Result<Arc<Waveform>, RecordingOpenError> {
        let (entry, reader) = self.open(sid)?;
        Ok(self.waveforms.of(&entry, reader)?)
    }

    pub(super) fn verify(&self, sid: &str) -> Result<bool, RecordingOpenError> {
        let (entry, place) = self.completed(sid)?;
        let (bytes, sha256) = reader::check_sum(&place.open(false)?)?;
        Ok(bytes == entry.bytes && entry.sha256 == Some(sha256))
    }

    /// Locks out other threads that delete or complete recordings.
    pub(super) fn hold_removals(&self) -> MutexGuard<'_, ()> {
        self.removing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes a recording, unless it is in progress or can still be completed.
    pub(super) fn delete(&self, sid: &str) -> io::Result<DeletionOutcome> {
        let _held = self.hold_removals();
        let Some(entry) = self.find(sid)? else { return Ok(DeletionOutcome::Absent) };
        match entry.state {
            RecordingState::Deleted => return Ok(DeletionOutcome::Before),
            RecordingState::InProgress if self.is_live(sid) || self.why_incomplete(sid).is_none() => {
                return Ok(DeletionOutcome::InProgress);
            }
            RecordingState::InProgress | RecordingState::Completed | RecordingState::Absent => {}
        }
        self.remove(entry)?;
        Ok(DeletionOutcome::Done)
    }

    /// Deletes an expired recording; returns false if it was already deleted.
    pub(super) fn expire(&self, sid: &str) -> io::Result<bool> {
        let _held = self.hold_removals();
        let Some(entry) = self.find(sid)?.filter(|entry| entry.state != RecordingState::Deleted) else {
            return Ok(false);
        };
        self.remove(entry).map(|()| true)
    }

    /// Removes the file, the transcriptions and the e-mail of a recording, then updates its entry.
    fn remove(&self, entry: RecordingEntry) -> io::Result<()> {
        if let Some(place) = entry.file.as_ref().and_then(|(root, path)| RecordingLocation::of(root, path)) {
            place.remove()?;
        }
        let updated = clock::now().as_millisecond();
        let mailbox = entry.message.as_ref().map(|message| message.mailbox.clone());
        let sid = entry.sid.clone();
        let stone = RecordingEntry { state: RecordingState::Deleted, file: None, sha256: None, updated, ..entry };
        self.change(move |store| {
            transcription::table::delete_of(store, &stone.sid)?;
            outbox::table::remove(store, mail::NAME, &[&stone.sid])?;
            index::put(store, &stone)
        })?;
        self.note_removed(&sid);
        if let Some(mailbox) = mailbox {
            self.tell_messages(&mailbox);
        }
        Ok(())
    }

    /// Returns the directory of recordings; empty without `[recording]`.
    pub(super) fn directory(&self) -> PathBuf {
        self.settings().map(|settings| settings.directory.clone()).unwrap_or_default()
    }

    /// Returns the retention time of recordings; `None` if they are kept without limit.
    pub(super) fn keep(&self) -> Option<Duration> {
        self.settings()?.keep
    }

    /// Checks that the disk accepts recordings, and records the result.
    pub(super) fn probe(&self, probe: impl FnOnce(&Path) -> io::Result<()>) {
        let Some(settings) = self.settings() else { return self.figures.took() };
        match probe(&settings.directory) {
            Ok(()) => self.figures.took(),
            Err(error) => self.figures.failed(&error, &settings.directory),
        }
    }
}

/// Runs work that blocks on the disk on a separate thread.
pub(super) async fn on_disk<T: Send + 'static>(
    shared: &Arc<SharedRecordings>,
    work: impl FnOnce(&SharedRecordings) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let shared = Arc::clone(shared);
    spawn_blocking(move || work(&shared)).await.map_err(io::Error::other).and_then(|done| done)
}
