//! Files in the directory of recordings without an index entry: copies, or files of a lost store. They are counted and
//! reported, but never changed: the edge deletes only files with an entry.

use std::fs::ReadDir;
use std::io;
use std::path::{Path, PathBuf};

use super::place;
use trunkgate_system::limits::RECORDINGS_SWEPT_AT_ONCE;

/// Files in the directory of recordings without an index entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnlistedFiles {
    /// Number of files without an index entry.
    pub files: u64,
    /// Path of one such file; `None` if there is none.
    pub example: Option<PathBuf>,
}

/// Search for files without an index entry, in batches.
#[derive(Debug, Default)]
pub(super) struct FileSweep {
    root: PathBuf,
    /// Folders to be searched next, and the one being read.
    folders: Vec<PathBuf>,
    open: Option<ReadDir>,
    found: UnlistedFiles,
}

/// Returns the SID in the file name of a path; `None` if it contains none.
pub(super) fn sid_of(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.get(..34).filter(|sid| place::is_sid(sid))
}

impl FileSweep {
    /// Starts a search through a directory.
    pub(super) fn new(root: PathBuf) -> FileSweep {
        // The edge never writes through a symbolic link, so none is searched.
        let is_there = std::fs::symlink_metadata(&root).is_ok_and(|about| about.is_dir());
        let folders = if is_there { vec![root.clone()] } else { Vec::new() };
        FileSweep { root, folders, ..FileSweep::default() }
    }

    /// Returns whether the search is in `directory`.
    pub(super) fn is_of(&self, directory: &Path) -> bool {
        self.root == directory
    }

    /// Checks a batch of files. `without_entry` returns those of the given paths that have no index entry. Returns the
    /// result when the search is complete, before that `None`.
    ///
    /// # Errors
    /// Returns the error of `without_entry`.
    pub(super) fn step(
        &mut self,
        without_entry: impl FnOnce(Vec<String>) -> io::Result<Vec<String>>,
    ) -> io::Result<Option<UnlistedFiles>> {
        let files: Vec<String> = std::iter::from_fn(|| self.next()).take(RECORDINGS_SWEPT_AT_ONCE).collect();
        let is_over = files.len() < RECORDINGS_SWEPT_AT_ONCE;
        // A query without paths would create the store.
        let unnamed = if files.is_empty() { files } else { without_entry(files)? };
        for path in unnamed {
            let path = self.root.join(path);
            // The file may have been deleted since its folder was read.
            if std::fs::symlink_metadata(&path).is_ok() {
                self.found.files += 1;
                self.found.example.get_or_insert(path);
            }
        }
        Ok(is_over.then(|| std::mem::take(&mut self.found)))
    }

    /// Returns the path of the next file, skipping names that begin with a dot and unreadable folders.
    fn next(&mut self) -> Option<String> {
        loop {
            let Some(open) = &mut self.open else {
                self.open = std::fs::read_dir(self.folders.pop()?).ok();
                continue;
            };
            let Some(entry) = open.next() else {
                self.open = None;
                continue;
            };
            let Ok(entry) = entry else { continue };
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.folders.push(path);
            } else if let Ok(below) = path.strip_prefix(&self.root) {
                return Some(below.to_string_lossy().into_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn all_folders_are_looked_through_some_files_at_a_time_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("recordings");
        std::fs::create_dir_all(root.join("2026/01/02")).unwrap();
        std::fs::create_dir_all(root.join(".unindexed")).unwrap();
        for at in 0..=RECORDINGS_SWEPT_AT_ONCE {
            std::fs::write(root.join(format!("2026/01/02/{at}")), "").unwrap();
        }
        std::fs::write(root.join(".unindexed/x"), "").unwrap();
        symlink("/", root.join("2026/link")).unwrap();
        let mut sweep = FileSweep::new(root.clone());
        assert_eq!(sweep.step(Ok).unwrap(), None);
        let removed = root.join("2026/01/02/0");
        std::fs::remove_file(&removed).unwrap();
        let found = sweep.step(|paths| Ok(paths.into_iter().chain(["2026/01/02/0".to_owned()]).collect())).unwrap();
        let found = found.unwrap();
        let all = RECORDINGS_SWEPT_AT_ONCE as u64 + 2;
        assert!((all - 1..=all).contains(&found.files), "{found:?}");
        assert!(found.example.is_some_and(|example| example.starts_with(&root)));
        assert_eq!(FileSweep::new(root.join("2026/link")).step(Ok).unwrap(), Some(UnlistedFiles::default()));
    }

    #[test]
    fn names_begin_with_the_sid_of_their_recording() {
        let sid = format!("RE{:032x}", 7);
        assert_eq!(sid_of(&format!("2026/01/02/{sid}.wav.age")), Some(sid.as_str()));
        assert_eq!((sid_of("2026/01/02/notes.txt"), sid_of("ä")), (None, None));
    }
}
