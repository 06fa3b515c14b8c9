//! State that the threads of recordings and all who ask for recordings share.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::task::spawn_blocking;
use trunkgate_recording::age::Refusal;

use super::figures::RecordingFigures;
use super::index::{self, Entry, Messages, Part, State};
use super::place::Place;
use super::reader::{self, Reader};
use super::report::Reports;
use super::unindexed::Refused;
use super::waveform::{Waveform, Waveforms};
use super::{Event, Tell, mail, report, transcription};
use crate::sinks::outbox;
use crate::sinks::store::{Commit, Store};
use crate::sinks::wake::Wake;
use trunkgate_config::{OnFull, Recording};
use trunkgate_system::clock;
use trunkgate_system::limits::RECORDINGS_UNINDEXED;

/// Reason why the audio of a recording is not read.
#[derive(Debug)]
pub enum NotOpened {
    /// There is no such recording, or no audio.
    Absent,
    /// It has not ended, or a crash has cut it and it is not completed yet.
    InProgress,
    /// A crash has cut it, and it cannot be completed.
    Incomplete(String),
    /// Its file has fewer bytes than were written: it was changed.
    Cut {
        /// Bytes of the file.
        bytes: u64,
        /// Bytes that were written.
        written: u64,
    },
    /// It was deleted.
    Deleted,
    /// It is encrypted, and `[recording]` has no `key`.
    NoKey,
    /// It does not open with the identities of `key`, or is damaged.
    Refused(Refusal),
    /// The disk or the store.
    Io(io::Error),
}

impl std::fmt::Display for NotOpened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotOpened::Absent => f.write_str("there is no such recording, or it has no audio"),
            NotOpened::InProgress => f.write_str("the recording has not ended"),
            NotOpened::Incomplete(why) => write!(f, "the recording was cut by a crash and is not completed: {why}"),
            NotOpened::Cut { bytes, written } => {
                write!(f, "the file of the recording has {bytes} of {written} bytes: it was changed or damaged")
            }
            NotOpened::Deleted => f.write_str("the recording was deleted"),
            NotOpened::NoKey => f.write_str("the recording is encrypted, and [recording] has no `key`"),
            NotOpened::Refused(refusal) => refusal.fmt(f),
            NotOpened::Io(error) => write!(f, "the recording cannot be read: {error}"),
        }
    }
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> NotOpened {
        NotOpened::Io(error)
    }
}

/// Outcome of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The file is deleted.
    Done,
    /// There is no such recording.
    Absent,
    /// It was deleted before.
    Before,
    /// It has not ended.
    InProgress,
}

/// The shared state.
pub(crate) struct Shared {
    pub(super) store: Store,
    pub(super) figures: Arc<RecordingFigures>,
    pub(super) reports: Reports,
    /// Entries that the store has refused when their recordings began.
    pub(super) refused: Refused,
    /// The task of transcriptions.
    pub(super) transcribing: Wake,
    /// The task of e-mails.
    pub(super) mailing: Arc<Wake>,
    tell: Tell,
    settings: Mutex<Option<Arc<Recording>>>,
    /// SIDs of recordings of this process whose files are not closed.
    live: Mutex<HashSet<String>>,
    waveforms: Waveforms,
    /// Recordings of an earlier process that cannot be completed, and why.
    incomplete: Mutex<BTreeMap<String, String>>,
    /// Held while a recording is deleted or completed: each is deleted once, and none is completed that is being deleted.
    removing: Mutex<()>,
    /// Held from the count of messages until it is told, so that the last one told is the last one counted.
    telling: Mutex<()>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(store: Store, figures: Arc<RecordingFigures>, tell: Tell) -> Shared {
        Shared {
            store,
            figures,
            reports: Reports::default(),
            refused: Refused::default(),
            transcribing: Wake::default(),
            mailing: Arc::default(),
            tell,
            settings: Mutex::default(),
            live: Mutex::default(),
            waveforms: Waveforms::default(),
            incomplete: Mutex::default(),
            removing: Mutex::default(),
            telling: Mutex::default(),
        }
    }

    pub(super) fn configure(&self, settings: Option<Recording>) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings.map(Arc::new);
    }

    pub(super) fn settings(&self) -> Option<Arc<Recording>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn takes_calls(&self) -> bool {
        let refuses = || self.settings().is_some_and(|settings| settings.on_full == OnFull::RefuseCalls);
        !(self.figures.is_failing() && refuses())
    }

    /// Logs the news, and tells it.
    pub(super) fn tell(&self, event: Event) {
        let is_bad = match &event {
            Event::Gap(_) | Event::Losing(..) => true,
            Event::Finished(finished) => finished.entry.error.is_some(),
            Event::Messages(_) => false,
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

    /// Tells the messages of a mailbox that have changed. Waits for the disk.
    pub(super) fn tell_messages(&self, mailbox: &str) {
        let name = mailbox.to_owned();
        if let Err(error) = self.tell_counted(move |store| Ok(vec![index::messages_of(store, name)?])) {
            tracing::warn!(reason = "recording_failed", "messages of voicemail {mailbox} are not counted: {error}");
        }
    }

    /// Tells the messages of all mailboxes that have any. Waits for the disk.
    pub(super) fn tell_all_messages(&self) -> io::Result<()> {
        self.tell_counted(index::messages)
    }

    fn tell_counted(
        &self,
        count: impl FnOnce(&Connection) -> rusqlite::Result<Vec<Messages>> + Send + 'static,
    ) -> io::Result<()> {
        let _held = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = self.change(count)?;
        self.figures.note_messages(&messages);
        (self.tell)(Event::Messages(messages));
        Ok(())
    }

    fn live(&self) -> MutexGuard<'_, HashSet<String>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begun(&self, sid: &str) {
        let mut live = self.live();
        live.insert(sid.to_owned());
        self.figures.active.set(live.len() as u64);
    }

    pub(super) fn is_live(&self, sid: &str) -> bool {
        self.live().contains(sid)
    }

    pub(super) fn closed(&self, sid: &str) {
        let mut live = self.live();
        live.remove(sid);
        self.figures.active.set(live.len() as u64);
    }

    /// Writes an entry without waiting; one that the store refuses is written later.
    pub(super) fn note(&self, entry: Entry) {
        let (refused, kept) = (self.refused.clone(), entry.clone());
        let work = move |store: &Connection| index::put(store, &entry);
        self.store.submit(Commit::Soon, work, move |done| {
            if let Err(error) = done {
                let (call, sid) = (&kept.call_sid, &kept.sid);
                tracing::warn!(%call, reason = "recording_failed", "recording {sid} is not in the index yet: {error}");
                refused.push(kept);
            }
        });
    }

    /// Writes an entry that the store has refused before, where the index has not come to know more of the recording since then.
    pub(super) fn note_late(&self, entry: &Entry) -> io::Result<()> {
        let is_over = |known: Entry| known.state != State::InProgress;
        if self.find(&entry.sid)?.is_some_and(is_over) {
            return Ok(());
        }
        match entry.state {
            State::InProgress => {
                let entry = entry.clone();
                self.change(move |store| index::put(store, &entry))
            }
            State::Completed | State::Absent | State::Deleted => self.finish(entry),
        }
    }

    /// Makes a change of the index, and waits for it.
    pub(super) fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.store.run_now(work)
    }

    /// Writes the entry of a recording that has ended, with its reports; they are sent from then on. Waits for the disk.
    pub(super) fn finish(&self, entry: &Entry) -> io::Result<()> {
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

    pub(super) fn list(&self, part: Part, most: usize) -> io::Result<Vec<Entry>> {
        self.store.read_now(move |store| index::list(store, &part, most))
    }

    pub(super) fn find(&self, sid: &str) -> io::Result<Option<Entry>> {
        let sid = sid.to_owned();
        self.store.read_now(move |store| index::find(store, &sid))
    }

    fn incomplete(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.incomplete.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes why a recording of an earlier process is not completed; `None`: it is.
    pub(super) fn note_incomplete(&self, sid: &str, why: Option<String>) {
        let mut incomplete = self.incomplete();
        match why {
            Some(why) if incomplete.len() < RECORDINGS_UNINDEXED => _ = incomplete.insert(sid.to_owned(), why),
            Some(_) => {}
            None => _ = incomplete.remove(sid),
        }
    }

    /// Notes that a recording is no longer there: one that was not completed is no problem then.
    fn note_removed(&self, sid: &str) {
        let mut incomplete = self.incomplete();
        if incomplete.remove(sid).is_some() {
            let last = incomplete.iter().next_back().map(|(sid, why)| format!("{sid}: {why}"));
            self.figures.removed_unrecovered(sid, last);
        }
    }

    /// Returns why a recording of an earlier process is not completed.
    pub(super) fn why_incomplete(&self, sid: &str) -> Option<String> {
        self.incomplete().get(sid).cloned()
    }

    fn completed(&self, sid: &str) -> Result<(Entry, Place), NotOpened> {
        let entry = self.find(sid)?.ok_or(NotOpened::Absent)?;
        match entry.state {
            State::Completed => {}
            State::InProgress => {
                return Err(self.why_incomplete(sid).map_or(NotOpened::InProgress, NotOpened::Incomplete));
            }
            State::Absent => return Err(NotOpened::Absent),
            State::Deleted => return Err(NotOpened::Deleted),
        }
        let place = entry.file.as_ref().and_then(|(root, path)| Place::of(root, path)).ok_or(NotOpened::Absent)?;
        Ok((entry, place))
    }

    pub(super) fn open(&self, sid: &str) -> Result<(Entry, Reader), NotOpened> {
        let (entry, place) = self.completed(sid)?;
        let file = place.open(false)?;
        let bytes = file.metadata()?.len();
        if bytes < entry.bytes {
            return Err(NotOpened::Cut { bytes, written: entry.bytes });
        }
        let settings = self.settings();
        let identities = settings.as_ref().and_then(|settings| settings.key.as_deref());
        let reader = Reader::of(file, entry.bytes, &entry, identities)?;
        Ok((entry, reader))
    }

    pub(super) fn waveform(&self, sid: &str) -> Result<Arc<Waveform>, NotOpened> {
        let (entry, reader) = self.open(sid)?;
        Ok(self.waveforms.of(&entry, reader)?)
    }

    pub(super) fn verify(&self, sid: &str) -> Result<bool, NotOpened> {
        let (entry, place) = self.completed(sid)?;
        let (bytes, sha256) = reader::check_sum(&place.open(false)?)?;
        Ok(bytes == entry.bytes && entry.sha256 == Some(sha256))
    }

    /// Keeps others from deleting or completing recordings.
    pub(super) fn hold_removals(&self) -> MutexGuard<'_, ()> {
        self.removing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes a recording that has ended, or that cannot be completed.
    pub(super) fn delete(&self, sid: &str) -> io::Result<Deleted> {
        let _held = self.hold_removals();
        let Some(entry) = self.find(sid)? else { return Ok(Deleted::Absent) };
        match entry.state {
            State::Deleted => return Ok(Deleted::Before),
            State::InProgress if self.is_live(sid) || self.why_incomplete(sid).is_none() => {
                return Ok(Deleted::InProgress);
            }
            State::InProgress | State::Completed | State::Absent => {}
        }
        self.remove(entry)?;
        Ok(Deleted::Done)
    }

    /// Deletes a recording that is over its time; `false`: it was deleted before.
    pub(super) fn expire(&self, sid: &str) -> io::Result<bool> {
        let _held = self.hold_removals();
        let Some(entry) = self.find(sid)?.filter(|entry| entry.state != State::Deleted) else { return Ok(false) };
        self.remove(entry).map(|()| true)
    }

    /// Removes the file of an entry, its transcriptions and its e-mail, then leaves the entry without it.
    fn remove(&self, entry: Entry) -> io::Result<()> {
        if let Some(place) = entry.file.as_ref().and_then(|(root, path)| Place::of(root, path)) {
            place.remove()?;
        }
        let updated = clock::now().as_millisecond();
        let mailbox = entry.message.as_ref().map(|message| message.mailbox.clone());
        let sid = entry.sid.clone();
        let stone = Entry { state: State::Deleted, file: None, sha256: None, updated, ..entry };
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

    /// Returns the directory of recordings; without `[recording]` an empty path.
    pub(super) fn directory(&self) -> PathBuf {
        self.settings().map(|settings| settings.directory.clone()).unwrap_or_default()
    }

    /// Returns how long recordings are kept.
    pub(super) fn keep(&self) -> Option<Duration> {
        self.settings()?.keep
    }

    /// Tries whether the disk takes recordings.
    pub(super) fn probe(&self, probe: impl FnOnce(&Path) -> io::Result<()>) {
        let Some(settings) = self.settings() else { return self.figures.took() };
        match probe(&settings.directory) {
            Ok(()) => self.figures.took(),
            Err(error) => self.figures.failed(&error, &settings.directory),
        }
    }
}

/// Does what waits for the disk beside the task that needs it.
pub(super) async fn on_disk<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let shared = Arc::clone(shared);
    spawn_blocking(move || work(&shared)).await.map_err(io::Error::other).and_then(|done| done)
}
