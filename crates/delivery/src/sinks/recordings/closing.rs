//! Closing thread of recordings: checksums and index entries of ended recordings, completion of recordings that a crash
//! interrupted, and deletion of expired ones.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use trunkgate_call::RecordingLosses;
use trunkgate_recording::age::AgeIdentities;

use super::index::{self, RecordingEntry, RecordingState};
use super::live::EndedRecording;
use super::place::RecordingLocation;
use super::repair::{RecordingRepairError, repair};
use super::shared::SharedRecordings;
use super::trim::trim;
use super::unindexed::{UnindexedEntries, log_refused};
use super::unlisted::{self, FileSweep};
use super::{FinishedRecording, RecordingEvent, RecordingId, SoundRange, reader};
use crate::sinks::store::disk::named;
use crate::sinks::store::retention;
use trunkgate_system::clock;
use trunkgate_system::clock::ClockReading;
use trunkgate_system::limits::{
    RECORDINGS_AT_ONCE, RECORDINGS_LOOK_SECONDS, RECORDINGS_RETRY_SECONDS, RECORDINGS_TOMBSTONE_DAYS,
};

const LOOK: Duration = Duration::from_secs(RECORDINGS_LOOK_SECONDS);
/// Pause between retries of changes that the store refused.
const RETRY: Duration = Duration::from_secs(RECORDINGS_RETRY_SECONDS);
/// Interval at which refused entries are saved while recordings are written; a crash would leave their files without an
/// entry.
const KEEP: Duration = Duration::from_secs(1);
/// Pause between two batches of maintenance work.
const BREATH: Duration = Duration::from_millis(100);
const TOMBSTONE_MILLISECONDS: i64 = RECORDINGS_TOMBSTONE_DAYS as i64 * 86_400_000;

/// Error text of a recording interrupted by a crash.
const CUT: &str = "the edge ended while it was recorded: its end is missing";

/// Twilio's code for a recording without audio.
pub(super) const TOO_SHORT: u32 = 16_101;

/// Twilio's code for a recording that contained only silence and was removed.
const SILENT: u32 = 16_102;

/// Trims silence around the sound of a recording. If that fails, the recording stays unchanged.
fn trimmed(
    file: File,
    place: &RecordingLocation,
    entry: RecordingEntry,
    sound: SoundRange,
    identities: Option<&AgeIdentities>,
) -> (Option<File>, RecordingEntry) {
    match trim(&file, place, &entry, sound, identities) {
        Ok(Some((file, milliseconds))) => (Some(file), RecordingEntry { milliseconds, ..entry }),
        Ok(None) => (Some(file), entry),
        Err(error) => {
            let call = &entry.call_sid;
            tracing::warn!(
                %call, reason = "recording_failed",
                "recording {} keeps the silence at its ends, because it could not be trimmed: {error}",
                entry.sid
            );
            (Some(file), entry)
        }
    }
}

/// State of the thread that closes ended recordings.
#[derive(Debug)]
pub(super) struct RecordingCloser {
    shared: Arc<SharedRecordings>,
    /// Start and SID of the last recording in progress that was checked; `None` if all are checked.
    looking: Option<(i64, String)>,
    unrecovered: u64,
    /// SIDs of recordings of this process that could not be closed.
    own: BTreeSet<String>,
    /// Index entries that the store has refused.
    unindexed: UnindexedEntries,
    /// True if the next retry starts a maintenance run, because recordings must be completed.
    is_left: bool,
    /// True if the message counts of all mailboxes have been reported.
    is_counted: bool,
    /// Search for files without an entry.
    sweep: FileSweep,
    sweeps: Instant,
}

/// Returns a position before all entries of the index.
fn beginning() -> (i64, String) {
    (i64::MIN, String::new())
}

impl RecordingCloser {
    pub(super) fn new(shared: Arc<SharedRecordings>) -> RecordingCloser {
        let (looking, unindexed) = (Some(beginning()), UnindexedEntries::default());
        RecordingCloser {
            shared,
            looking,
            unrecovered: 0,
            own: BTreeSet::new(),
            unindexed,
            is_left: false,
            is_counted: false,
            sweep: FileSweep::default(),
            sweeps: Instant::now(),
        }
    }

    /// Closes ended recordings until the writer has ended.
    pub(super) fn run(mut self, closing: &Receiver<Box<EndedRecording>>) {
        let (mut due, mut retried) = (Instant::now(), Instant::now());
        self.read_unindexed();
        loop {
            let most = if self.shared.figures.active.get() > 0 { KEEP } else { RETRY };
            match closing.recv_timeout(due.min(self.sweeps).saturating_duration_since(Instant::now()).min(most)) {
                Ok(ended) => self.close(*ended),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = Instant::now();
            if self.take_refused() {
                self.unindexed.keep();
            }
            if now.duration_since(retried) >= RETRY {
                retried = now;
                self.index_late();
                due = if std::mem::take(&mut self.is_left) { now } else { due };
            }
            if now >= due {
                let has_more = self.look();
                due = Instant::now() + if has_more { BREATH } else { self.pause() };
            }
            if now >= self.sweeps {
                let is_over = self.sweep();
                self.sweeps = Instant::now() + if is_over { LOOK } else { BREATH };
            }
        }
        self.index_late();
    }

    /// Searches a batch of files for those without an entry; returns true if the search is complete.
    pub(super) fn sweep(&mut self) -> bool {
        let directory = self.shared.directory();
        if !self.sweep.is_of(&directory) {
            self.sweep = FileSweep::new(directory.clone());
        }
        let RecordingCloser { shared, unindexed, sweep, .. } = self;
        let step = sweep.step(|mut paths| {
            // The entry of a recording in progress, or of one waiting for the store, follows later.
            let waits = |sid: &str| shared.is_live(sid) || unindexed.has(sid);
            paths.retain(|path| !unlisted::sid_of(path).is_some_and(waits));
            shared.change({
                let directory = directory.clone();
                move |store| index::without_entry(store, &directory, paths)
            })
        });
        match step {
            Ok(None) => return false,
            Ok(Some(found)) => {
                if found.files > 0 && found != shared.figures.unlisted() {
                    let example = found.example.as_deref().unwrap_or(&directory).display();
                    tracing::warn!(
                        reason = "recording_failed",
                        "files in the directory of recordings that belong to no recording: {}, such as {example}; neither `keep` nor a request deletes them",
                        found.files
                    );
                }
                shared.figures.set_unlisted(found);
            }
            Err(error) => {
                tracing::warn!(
                    reason = "recording_failed",
                    "files that belong to no recording are not looked for, because the index of recordings cannot be read: {error}"
                )
            }
        }
        self.sweep = FileSweep::default();
        true
    }

    /// Returns the pause between maintenance runs, at most half of the retention time.
    fn pause(&self) -> Duration {
        self.shared.keep().map_or(LOOK, |keep| LOOK.min(keep / 2))
    }

    /// Closes the file of an ended recording.
    pub(super) fn close(&mut self, ended: EndedRecording) {
        let EndedRecording { id, place, entry, file, is_whole, trim, lost: (mut lost, reason) } = ended;
        let sid = entry.sid.clone();
        match self.closed(file, &place, &entry, (is_whole, trim)) {
            Ok(entry) => {
                if let Err(error) = self.shared.finish(&entry) {
                    self.waits(entry.clone(), &error);
                }
                // Audio that the disk refused at the end counts as lost.
                lost.add(reason, entry.lost_milliseconds.saturating_sub(lost.total()));
                self.finished(id, entry, lost);
            }
            // The index entry stays unchanged; a later run completes it.
            Err(what) => {
                self.is_left = true;
                self.own.insert(sid.clone());
                let entry = RecordingEntry { error: Some(format!("not closed yet: {what}")), ..entry };
                self.shared.tell(RecordingEvent::Finished(Box::new(FinishedRecording { id, entry, lost })));
            }
        }
        self.shared.closed(&sid);
    }

    /// Closes a file and returns the final entry of the recording. The error is the reason why the file stays
    /// unchanged.
    fn closed(
        &self,
        file: Option<File>,
        place: &RecordingLocation,
        entry: &RecordingEntry,
        (is_whole, trim): (bool, Option<SoundRange>),
    ) -> Result<RecordingEntry, String> {
        let settings = self.shared.settings();
        let identities = settings.as_ref().and_then(|settings| settings.key.as_deref());
        let milliseconds = match &file {
            None => 0,
            Some(_) if is_whole => entry.milliseconds,
            Some(file) => repair(file, entry, identities).map_err(|error| error.to_string())?,
        };
        // Audio that the disk refused when the recording ended.
        let lost = entry.milliseconds.saturating_sub(milliseconds);
        self.shared.figures.lost(lost);
        if lost > 0 {
            self.shared.figures.gap(entry.gaps == 0);
        }
        let updated = clock::now().as_millisecond();
        let (gaps, lost_milliseconds) = (entry.gaps + u64::from(lost > 0), entry.lost_milliseconds + lost);
        let entry = RecordingEntry { milliseconds, gaps, lost_milliseconds, updated, ..entry.clone() };
        let is_silent = trim == Some(None) && milliseconds > 0;
        let (file, entry) = match (trim, file) {
            (Some(sound), Some(file)) => trimmed(file, place, entry, sound, identities),
            (_, file) => (file, entry),
        };
        match file.as_ref().filter(|_| milliseconds > 0 && !is_silent) {
            Some(file) => {
                let sum = file.sync_all().and_then(|()| reader::check_sum(file));
                let (bytes, sha256) = sum.map_err(|error| error.to_string())?;
                Ok(RecordingEntry { state: RecordingState::Completed, bytes, sha256: Some(sha256), ..entry })
            }
            None => {
                // Without an open file, a file of this name was not written by the edge, and is kept.
                file.map_or(Ok(()), |_| place.remove()).map_err(|error| error.to_string())?;
                let error_code = Some(if is_silent { SILENT } else { TOO_SHORT });
                Ok(RecordingEntry {
                    state: RecordingState::Absent,
                    file: None,
                    milliseconds: 0,
                    bytes: 0,
                    error_code,
                    ..entry
                })
            }
        }
    }

    /// Saves an entry that the store refused, for a retry.
    fn waits(&mut self, entry: RecordingEntry, error: &io::Error) {
        log_refused(&entry, error);
        self.unindexed.add(entry, &self.shared.directory());
        self.unindexed.keep();
        self.shared.figures.unindexed.set(self.unindexed.len() as u64);
    }

    /// Reads the entries that an earlier process could not add to the index.
    pub(super) fn read_unindexed(&mut self) {
        let Some(settings) = self.shared.settings() else { return };
        let read = self.unindexed.read(&settings.directory).map_err(|error| {
            let text = format!(
                "recordings of an earlier run stay out of the list: their waiting index entries cannot be read: {error}"
            );
            tracing::warn!(reason = "recording_failed", "{text}");
            text
        });
        self.shared.figures.read_unindexed(match read {
            Ok(foreign) => foreign.map(|path| {
                format!(
                    "{} is ignored: it is not an entry of a recording in this directory. Move it away.",
                    path.display()
                )
            }),
            Err(text) => Some(text),
        });
    }

    /// Takes over entries that the store refused on other threads; returns whether there were any.
    fn take_refused(&mut self) -> bool {
        let refused = self.shared.refused.take();
        if refused.is_empty() {
            return false;
        }
        let directory = self.shared.directory();
        refused.into_iter().for_each(|entry| self.unindexed.add(entry, &directory));
        true
    }

    /// Adds entries that the store refused to the index.
    pub(super) fn index_late(&mut self) {
        self.take_refused();
        if self.unindexed.is_empty() && self.shared.figures.unindexed.get() == 0 {
            return;
        }
        let shared = &self.shared;
        if self.unindexed.settle(RECORDINGS_AT_ONCE, |entry| shared.note_late(entry)).is_err() {
            self.unindexed.keep();
        }
        if self.unindexed.is_empty() {
            self.read_unindexed();
            self.is_left = true;
        }
        self.shared.figures.unindexed.set(self.unindexed.len() as u64);
    }

    fn finished(&self, id: Option<RecordingId>, entry: RecordingEntry, lost: RecordingLosses) {
        let figures = &self.shared.figures;
        let counter = if entry.state == RecordingState::Completed { &figures.completed } else { &figures.absent };
        counter.add(1);
        if id.is_some() && entry.state == RecordingState::Completed {
            figures.ended(entry.lost_milliseconds);
        }
        self.shared.tell(RecordingEvent::Finished(Box::new(FinishedRecording { id, entry, lost })));
    }

    /// Completes interrupted recordings and deletes expired ones, a batch of each; returns true if another batch may
    /// follow.
    fn look(&mut self) -> bool {
        if self.shared.settings().is_none() {
            return false;
        }
        // A failure is logged below, when the index is read again.
        self.is_counted = self.is_counted || self.shared.tell_all_messages().is_ok();
        let from = self.looking.take().unwrap_or_else(|| {
            self.unrecovered = 0;
            beginning()
        });
        match self.recover(from).and_then(|next| Ok((next, self.expire_due(ClockReading::now())?))) {
            Ok((next, has_expired)) => {
                self.looking = next;
                self.looking.is_some() || has_expired
            }
            Err(error) => {
                tracing::warn!(
                    reason = "recording_failed",
                    "expired recordings are not deleted and interrupted ones not completed, because the index cannot be used: {error}; this is retried"
                );
                false
            }
        }
    }

    /// Completes recordings that an earlier process left in progress; returns the position of the next batch, `None`
    /// after the last one.
    pub(super) fn recover(&mut self, from: (i64, String)) -> io::Result<Option<(i64, String)>> {
        let entries = self.shared.change(move |store| {
            index::of_state(store, RecordingState::InProgress, (i64::MAX, &from), RECORDINGS_AT_ONCE)
        })?;
        let next = entries.last().map(|entry| (entry.started, entry.sid.clone()));
        let is_full = entries.len() >= RECORDINGS_AT_ONCE;
        for entry in entries {
            if self.shared.is_live(&entry.sid) {
                continue;
            }
            let Some(place) = entry.file.as_ref().and_then(|(root, path)| RecordingLocation::of(root, path)) else {
                continue;
            };
            let shared = Arc::clone(&self.shared);
            let _held = shared.hold_removals();
            // The recording may have been deleted since the index was read.
            if shared.find(&entry.sid)?.is_none_or(|known| known.state != RecordingState::InProgress) {
                continue;
            }
            let file = match place.open(true) {
                Ok(file) => Some(file),
                // The directory exists, so the file is certainly missing; without the directory its state would be
                // unknown.
                Err(error) if error.kind() == io::ErrorKind::NotFound && place.root().is_dir() => None,
                Err(error) => {
                    self.refused(&entry, &RecordingRepairError::Io(named(place.root(), &error)));
                    continue;
                }
            };
            // A crash during trimming may have left a temporary file.
            let _ = place.spare().remove_file();
            let is_cut = !self.own.contains(&entry.sid);
            let entry = RecordingEntry { error: entry.error.or_else(|| is_cut.then(|| CUT.to_owned())), ..entry };
            let closed = self.closed(file, &place, &entry, (false, None)).and_then(|entry| {
                let noted = self.shared.finish(&entry);
                noted.map(|()| entry).map_err(|error| format!("the index cannot be written: {error}"))
            });
            match closed {
                Ok(entry) => {
                    self.shared.note_incomplete(&entry.sid, None);
                    if is_cut {
                        self.shared.figures.cut(entry.state == RecordingState::Absent);
                    }
                    self.own.remove(&entry.sid);
                    self.finished(None, entry, RecordingLosses::default());
                }
                Err(what) => self.refused(&entry, &what),
            }
        }
        self.shared.figures.unrecovered.set(self.unrecovered);
        Ok(next.filter(|_| is_full))
    }

    fn refused(&mut self, entry: &RecordingEntry, what: &dyn std::fmt::Display) {
        self.unrecovered += 1;
        self.shared.note_incomplete(&entry.sid, Some(what.to_string()));
        self.shared.figures.not_recovered(format!("{}: {what}", entry.sid));
        tracing::error!(call = %entry.call_sid, reason = "recording_failed", "recording {} of an earlier run could not be completed: {what}; the next start tries it again", entry.sid);
    }

    /// Deletes recordings that have expired by the retention clock; returns true if another batch may follow.
    pub(super) fn expire_due(&mut self, reading: ClockReading) -> io::Result<bool> {
        let date = self.shared.change(move |store| retention::date(store, reading))?;
        date.map_or(Ok(false), |date| self.expire(date))
    }

    /// Deletes recordings that have expired at the given time, and entries of recordings deleted long before; returns
    /// true if another batch may follow.
    pub(super) fn expire(&mut self, now: Timestamp) -> io::Result<bool> {
        let now = now.as_millisecond();
        self.shared.change(move |store| index::forget(store, now - TOMBSTONE_MILLISECONDS))?;
        let Some(keep) = self.shared.keep() else { return Ok(false) };
        let before = now - i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let over = self.shared.change(move |store| {
            index::of_state(store, RecordingState::Completed, (before, &beginning()), RECORDINGS_AT_ONCE)
        })?;
        let is_full = over.len() >= RECORDINGS_AT_ONCE;
        let expired = self.shared.figures.expired.get();
        over.iter().for_each(|entry| self.delete_over(entry));
        let has_deleted = self.shared.figures.expired.get() > expired;
        self.expire_incomplete(before)?;
        Ok(is_full && has_deleted)
    }

    /// Deletes the recordings in progress, except those of this process, that started before a time.
    fn expire_incomplete(&self, before: i64) -> io::Result<()> {
        let mut behind = beginning();
        loop {
            let from = behind.clone();
            let part = self.shared.change(move |store| {
                index::of_state(store, RecordingState::InProgress, (before, &from), RECORDINGS_AT_ONCE)
            })?;
            let Some(last) = part.last() else { return Ok(()) };
            behind = (last.started, last.sid.clone());
            part.iter().filter(|entry| !self.shared.is_live(&entry.sid)).for_each(|entry| self.delete_over(entry));
        }
    }

    fn delete_over(&self, entry: &RecordingEntry) {
        let RecordingEntry { sid, call_sid: call, .. } = entry;
        match self.shared.expire(sid) {
            Ok(is_done) => self.shared.figures.expired.add(u64::from(is_done)),
            Err(error) => {
                tracing::warn!(
                    %call, reason = "recording_failed",
                    "expired recording {sid} could not be deleted: {error}; this is retried"
                )
            }
        }
    }
}
