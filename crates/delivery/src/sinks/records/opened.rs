//! Files of call records: those that are open, and those that are missing because their disk is unusable.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::file::RecordsFile;
use super::written::last_sids;
use crate::sinks::store::journal::{CallJournal, LeftoverRecord};
use trunkgate_config::CdrSettings;

/// Record file and journal that could not be opened at the start because of their disk.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Configuration of the missing files; `None` if none is missing.
    pub(super) files: Option<CdrSettings>,
    /// Time of the last attempt to open them.
    pub(super) tried: Option<Instant>,
}

/// Open record file and journal, with the calls to be completed.
pub(super) struct Opened {
    pub(super) file: Option<RecordsFile>,
    /// Journal of live calls; `None` if its file system has no locks or another process uses it.
    pub(super) journal: Option<CallJournal>,
    /// Calls that an earlier process left in the journal.
    pub(super) left: Vec<LeftoverRecord>,
    /// SIDs at the end of the record file, to find calls of `left` that it already contains; `None` if there is no file
    /// or no such call.
    pub(super) written: Option<BTreeSet<String>>,
}

impl Opened {
    /// Opens the record file, and the journal at `journal`. Calls in `continued` live on in this process and are not
    /// interrupted.
    ///
    /// # Errors
    /// Returns the system's error, or an error if the files contain other data.
    pub(super) fn open(cdr: &CdrSettings, journal: &Path, continued: &BTreeSet<String>) -> io::Result<Opened> {
        let opened = match CallJournal::open_continued(journal, continued) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported) => {
                tracing::warn!(
                    "the journal of live calls cannot be used: {error}; a crash would lose their records, and record files are not rotated"
                );
                None
            }
            opened => Some(opened?),
        };
        let file = cdr.file.clone().map(|settings| RecordsFile::open(settings, opened.is_some())).transpose()?;
        let (journal, left) = opened.map_or((None, Vec::new()), |(journal, left)| (Some(journal), left));
        let written = written(cdr, &left)?;
        Ok(Opened { file, journal, left, written })
    }
}

/// Returns the SIDs at the end of the record file, to be compared with calls left by a crash; `None` if there is no
/// file or no such call.
pub(super) fn written(cdr: &CdrSettings, left: &[LeftoverRecord]) -> io::Result<Option<BTreeSet<String>>> {
    cdr.file.as_ref().filter(|_| !left.is_empty()).map(|file| last_sids(&file.path)).transpose()
}
