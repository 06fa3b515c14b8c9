//! Index entries that the store has refused. Each waits in a file of the folder `.unindexed` below the directory of
//! recordings, also across restarts, until the store accepts it.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::index::{RecordingEntry, RecordingState};
use super::place;
use trunkgate_system::limits::{RECORDINGS_UNINDEXED, RECORDINGS_UNINDEXED_BYTES};

/// Refused index entries on their way from the store's thread to the closing thread.
#[derive(Debug, Clone, Default)]
pub(super) struct RefusedEntries(Arc<Mutex<Vec<RecordingEntry>>>);

impl RefusedEntries {
    pub(super) fn push(&self, entry: RecordingEntry) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < RECORDINGS_UNINDEXED {
            all.push(entry);
        }
    }

    pub(super) fn take(&self) -> Vec<RecordingEntry> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Refused index entry; `is_kept` is true if its file is written.
#[derive(Debug)]
struct WaitingEntry {
    entry: RecordingEntry,
    root: PathBuf,
    is_kept: bool,
}

/// Refused index entries that wait for the store, by SID.
#[derive(Debug, Default)]
pub(super) struct UnindexedEntries {
    all: BTreeMap<String, WaitingEntry>,
}

fn name(sid: &str) -> String {
    format!("{sid}.json")
}

impl UnindexedEntries {
    /// Returns the number of waiting entries.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns whether the entry of a recording waits.
    pub(super) fn has(&self, sid: &str) -> bool {
        self.all.contains_key(sid)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds an entry that the store has refused; drops it if too many entries wait. `directory` is the directory of
    /// recordings, for an entry without a file.
    pub(super) fn add(&mut self, entry: RecordingEntry, directory: &Path) {
        let root = entry.file.as_ref().map_or_else(|| directory.to_owned(), |(root, _)| PathBuf::from(root));
        if self.all.len() >= RECORDINGS_UNINDEXED && !self.all.contains_key(&entry.sid) {
            tracing::error!(call = %entry.call_sid, reason = "recording_failed", "recording {} stays out of the list, because too many entries wait for the store; its file is kept", entry.sid);
            return;
        }
        // Another thread hands over the first entry of a recording, so it may arrive after the last one.
        let is_older = |known: &WaitingEntry| {
            known.entry.state != RecordingState::InProgress && entry.state == RecordingState::InProgress
        };
        if !self.all.get(&entry.sid).is_some_and(is_older) {
            self.all.insert(entry.sid.clone(), WaitingEntry { entry, root, is_kept: false });
        }
    }

    /// Writes the waiting entries that have no file yet to files.
    pub(super) fn keep(&mut self) {
        for waiting in self.all.values_mut().filter(|waiting| !waiting.is_kept) {
            let kept = serde_json::to_vec(&waiting.entry).map_err(io::Error::from).and_then(|json| {
                place::write_in(&place::unindexed(&waiting.root, true)?, &name(&waiting.entry.sid), &json)
            });
            match kept {
                Ok(()) => waiting.is_kept = true,
                // The others would usually be refused by the same disk.
                Err(_) => return,
            }
        }
    }

    /// Reads the files that an earlier process or configuration has left; returns the path of a file with an unknown
    /// format, if there is one.
    ///
    /// # Errors
    /// Returns the error of the disk.
    pub(super) fn read(&mut self, directory: &Path) -> io::Result<Option<PathBuf>> {
        let folder = match place::unindexed(directory, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut foreign = None;
        for file in std::fs::read_dir(directory.join(place::UNINDEXED))? {
            let file = file?;
            let name = file.file_name();
            let name = name.to_string_lossy();
            let Some(sid) = name.strip_suffix(".json").filter(|sid| place::is_sid(sid)) else {
                // Temporary files left by a crash are not entries.
                if !name.ends_with(".json.new") {
                    foreign = Some(file.path());
                }
                continue;
            };
            if self.all.contains_key(sid) || self.all.len() >= RECORDINGS_UNINDEXED {
                continue;
            }
            let mut json = Vec::new();
            place::open_in(&folder, &name)?.take(RECORDINGS_UNINDEXED_BYTES).read_to_end(&mut json)?;
            let is_of_here = |entry: &RecordingEntry| {
                entry.sid == sid && entry.file.as_ref().is_none_or(|(root, _)| Path::new(root) == directory)
            };
            match serde_json::from_slice::<RecordingEntry>(&json) {
                Ok(entry) if is_of_here(&entry) => {
                    let waiting = WaitingEntry { entry, root: directory.to_owned(), is_kept: true };
                    self.all.insert(sid.to_owned(), waiting);
                }
                Ok(_) | Err(_) => {
                    tracing::warn!(
                        reason = "recording_failed",
                        "{} is ignored: this entry of a recording is damaged, or belongs to another directory of recordings. Move it away.",
                        file.path().display()
                    );
                    foreign = Some(file.path());
                }
            }
        }
        Ok(foreign)
    }

    /// Passes up to `most` waiting entries to `index`, which stores them; stops at the first refusal.
    ///
    /// # Errors
    /// Returns the error of the refusal.
    pub(super) fn settle(&mut self, most: usize, index: impl Fn(&RecordingEntry) -> io::Result<()>) -> io::Result<()> {
        let sids: Vec<String> = self.all.keys().take(most).cloned().collect();
        for sid in sids {
            let Some(waiting) = self.all.get(&sid) else { continue };
            index(&waiting.entry)?;
            if waiting.is_kept {
                place::remove_in(&place::unindexed(&waiting.root, false)?, &name(&sid))?;
            }
            self.all.remove(&sid);
        }
        Ok(())
    }
}

/// Logs that the store has refused the entry of a recording, which is stored later.
pub(super) fn log_refused(entry: &RecordingEntry, error: &io::Error) {
    tracing::warn!(
        call = %entry.call_sid, reason = "recording_failed",
        "recording {} is not listed yet, because its entry cannot be stored: {error}; this is retried",
        entry.sid
    );
}
