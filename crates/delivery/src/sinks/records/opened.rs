//! The files of call records: what was opened of them, and what is still missing because its disk cannot be used.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::file::RecordsFile;
use super::written::last_sids;
use crate::sinks::store::journal::{Journal, Left};
use trunkgate_config::Cdr;

/// What could not be opened at the start because of its disk.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// The configuration of the file and of the journal.
    pub(super) files: Option<Cdr>,
    /// When they were tried last.
    pub(super) tried: Option<Instant>,
    /// Whether records of an earlier process may wait in the store for the URL, which are not known.
    pub(super) is_queue_unread: bool,
}

impl Missing {
    /// Whether anything is missing.
    pub(super) fn is_any(&self) -> bool {
        self.files.is_some() || self.is_queue_unread
    }
}

/// The files of records, as they were opened.
pub(super) struct Opened {
    pub(super) file: Option<RecordsFile>,
    /// `None`: its file system has no locks, or another process has it.
    pub(super) journal: Option<Journal>,
    /// Calls that an earlier process has left in the journal, and which of them the file has.
    pub(super) left: Vec<Left>,
    pub(super) written: Option<BTreeSet<String>>,
}

impl Opened {
    /// Opens them; `journal`: the path of the journal.
    ///
    /// # Errors
    /// The system's, or that they hold other data.
    pub(super) fn open(cdr: &Cdr, journal: &Path) -> io::Result<Opened> {
        let opened = match Journal::open(journal) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported) => {
                tracing::warn!(
                    "no journal of live calls: a crash would lose their records, and files are not rotated: {error}"
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

/// Which of the calls that a crash has left may be in the file; `None`: there is none.
pub(super) fn written(cdr: &Cdr, left: &[Left]) -> io::Result<Option<BTreeSet<String>>> {
    cdr.file.as_ref().filter(|_| !left.is_empty()).map(|file| last_sids(&file.path)).transpose()
}
