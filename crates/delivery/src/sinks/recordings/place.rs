//! Locations of files in the directory of recordings: `2026/11/25/RE….wav`. Names derive from SID and date. Symbolic
//! links are not followed, and files are not overwritten.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use trunkgate_recording::Container;

use trunkgate_system::limits::RECORDINGS_PROBE_BYTES;
use trunkgate_system::problem::fix_of_read_only;

/// Mode of directories and files: access for the edge's user only.
const OF_DIRECTORIES: Mode = Mode::S_IRWXU;
const OF_FILES: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
/// Name of the file that tests whether the disk accepts writes.
const PROBE: &str = ".probe";
/// Suffix of a temporary file that replaces another one.
pub(super) const SPARE: &str = ".trimmed";
/// Folder for index entries that the store has refused.
pub(super) const UNINDEXED: &str = ".unindexed";

/// Location of a recording's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordingLocation {
    root: PathBuf,
    /// Year, month and day of the start (UTC).
    folders: [String; 3],
    name: String,
}

/// Returns whether a text has the form of a recording's SID.
pub fn is_sid(sid: &str) -> bool {
    let is_hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    sid.len() == 34 && sid.strip_prefix("RE").is_some_and(is_hex)
}

impl RecordingLocation {
    /// Returns the location for a new recording's file.
    pub(super) fn new(
        root: &Path,
        sid: &str,
        started: Timestamp,
        (container, is_encrypted): (Container, bool),
    ) -> RecordingLocation {
        let date = started.to_zoned(TimeZone::UTC);
        let ending = match container {
            Container::Wav => "wav",
            Container::Opus => "opus",
        };
        let more = if is_encrypted { ".age" } else { "" };
        let folders = [format!("{:04}", date.year()), format!("{:02}", date.month()), format!("{:02}", date.day())];
        RecordingLocation { root: root.to_owned(), folders, name: format!("{sid}.{ending}{more}") }
    }

    /// Parses a location stored in the index; `None` if the path has another format.
    pub(super) fn of(root: &str, path: &str) -> Option<RecordingLocation> {
        let parts: Vec<&str> = path.split('/').collect();
        let [year, month, day, name] = parts[..] else { return None };
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let fits = [year, month, day].into_iter().all(is_number) && name.get(..34).is_some_and(is_sid);
        let folders = [year, month, day].map(str::to_owned);
        fits.then(|| RecordingLocation { root: PathBuf::from(root), folders, name: name.to_owned() })
    }

    /// Returns the directory of recordings.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of the file, relative to the directory of recordings.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.folders.join("/"), self.name)
    }

    /// Creates the file and its folders; fails if the file exists.
    pub(super) fn create(&self) -> io::Result<File> {
        match self.create_once() {
            // Another thread has just removed the folder, because it was empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create_once(),
            done => done,
        }
    }

    fn create_once(&self) -> io::Result<File> {
        let (mut folder, mut path) = (root(&self.root)?, self.root.clone());
        for name in &self.folders {
            match mkdirat(&folder, name.as_str(), OF_DIRECTORIES) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(named(&path.join(name), error)),
            }
            folder = below(&folder, &path, name)?;
            path.push(name);
        }
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&folder, self.name.as_str(), flags, OF_FILES);
        Ok(File::from(file.map_err(|error| named(&path, error))?))
    }

    /// Opens the file; `is_changed` also opens it for writing.
    pub(super) fn open(&self, is_changed: bool) -> io::Result<File> {
        let folder = self.folder()?;
        let access = if is_changed { OFlag::O_RDWR } else { OFlag::O_RDONLY };
        let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&folder, self.name.as_str(), flags, Mode::empty())?);
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        let text = format!("{} is not a regular file", self.root.join(self.path()).display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }

    /// Returns whether the location still refers to an open file. It does not if the file was removed or replaced, or
    /// another disk was mounted over its folder.
    pub(super) fn leads_to(&self, file: &File) -> io::Result<bool> {
        // fstatat follows no symbolic link and does not block on a FIFO, as opening the file could.
        let named =
            self.folder().and_then(|folder| Ok(fstatat(&folder, self.name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?));
        let named = match named {
            Ok(named) => named,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let open = file.metadata()?;
        Ok((named.st_dev, named.st_ino) == (open.dev(), open.ino()))
    }

    /// Returns the location of the temporary file that replaces this file.
    pub(super) fn spare(&self) -> RecordingLocation {
        RecordingLocation { name: format!("{}{SPARE}", self.name), ..self.clone() }
    }

    /// Moves the file to another location in the same folder.
    pub(super) fn replace(&self, other: &RecordingLocation) -> io::Result<()> {
        let folder = self.folder()?;
        Ok(renameat(&folder, self.name.as_str(), &folder, other.name.as_str())?)
    }

    /// Removes the file but not its folders; a missing file is not an error.
    pub(super) fn remove_file(&self) -> io::Result<()> {
        match unlinkat(&self.folder()?, self.name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the file, and its folders if they become empty; a missing file is not an error.
    pub(super) fn remove(&self) -> io::Result<()> {
        let folder = match self.folder() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        match unlinkat(&folder, self.name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let [year, month, day] = &self.folders;
        if let Ok(root) = root(&self.root) {
            for path in [format!("{year}/{month}/{day}"), format!("{year}/{month}"), year.clone()] {
                if unlinkat(&root, path.as_str(), UnlinkatFlags::RemoveDir).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn folder(&self) -> io::Result<OwnedFd> {
        let (mut folder, mut path) = (existing(&self.root)?, self.root.clone());
        for name in &self.folders {
            folder = below(&folder, &path, name)?;
            path.push(name);
        }
        Ok(folder)
    }
}

const FOLDER: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Opens the directory of recordings, and creates it if only its last component is missing.
fn root(path: &Path) -> io::Result<OwnedFd> {
    match existing(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match nix::unistd::mkdir(path, OF_DIRECTORIES) {
        Ok(()) | Err(Errno::EEXIST) => existing(path),
        Err(error) => Err(named(path, error)),
    }
}

fn existing(path: &Path) -> io::Result<OwnedFd> {
    open(path, FOLDER, Mode::empty()).map_err(|error| named(path, error))
}

/// Opens the folder `name` in the open folder at `path`.
fn below(folder: &OwnedFd, path: &Path, name: &str) -> io::Result<OwnedFd> {
    openat(folder, name, FOLDER, Mode::empty()).map_err(|error| named(&path.join(name), error))
}

/// Returns an error that names the path.
fn named(path: &Path, error: Errno) -> io::Error {
    let is_link = || std::fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink());
    let error = io::Error::from(error);
    let text = match error.kind() == io::ErrorKind::NotADirectory {
        true if is_link() => format!("{} is a symbolic link, which is not followed", path.display()),
        true => format!("{} is not a directory", path.display()),
        false => format!("{}: {error}", path.display()),
    };
    io::Error::new(error.kind(), text)
}

/// Returns the fix for an error in a directory that accepts a test file.
pub(super) fn fix_of(error: &io::Error, directory: &Path) -> String {
    use io::ErrorKind as K;
    let shown = directory.display();
    let known = [
        (
            K::PermissionDenied,
            format!("give {shown} and all in it to the user of the edge: `chown -R`; directories have mode 700"),
        ),
        (
            K::NotADirectory,
            "move it away: the edge makes the folders of years, months and days itself, and follows no symbolic link"
                .to_owned(),
        ),
        (K::ReadOnlyFilesystem, fix_of_read_only(directory)),
        (K::NotFound, format!("check cleanup jobs (cron, tmpfiles): a folder or file below {shown} was removed")),
    ];
    let fix = known.into_iter().find(|(kind, _)| *kind == error.kind()).map(|(_, fix)| fix);
    fix.unwrap_or_else(|| format!("`ls -ld {shown}`, `findmnt -T {shown}`; `dmesg` has errors of the disk"))
}

/// Opens the folder for refused index entries; with `is_created` creates it if missing.
pub(super) fn unindexed(path: &Path, is_created: bool) -> io::Result<OwnedFd> {
    if !is_created {
        return below(&existing(path)?, path, UNINDEXED);
    }
    let root = root(path)?;
    match mkdirat(&root, UNINDEXED, OF_DIRECTORIES) {
        Ok(()) | Err(Errno::EEXIST) => below(&root, path, UNINDEXED),
        Err(error) => Err(named(&path.join(UNINDEXED), error)),
    }
}

/// Replaces a file in an open folder, atomically and durably.
pub(super) fn write_in(folder: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;

    let new = format!("{name}.new");
    let flags = OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(folder, new.as_str(), flags, OF_FILES)?);
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(renameat(folder, new.as_str(), folder, name)?)
}

/// Opens a file in an open folder for reading.
pub(super) fn open_in(folder: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    Ok(File::from(openat(folder, name, flags, Mode::empty())?))
}

/// Removes a file in an open folder; a missing file is not an error.
pub(super) fn remove_in(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Checks that a file can be written to a directory and removed again.
pub(super) fn probe(path: &Path) -> io::Result<()> {
    use std::io::Write as _;

    let folder = root(path)?;
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let _ = unlinkat(&folder, PROBE, UnlinkatFlags::NoRemoveDir);
    let mut file = File::from(openat(&folder, PROBE, flags, OF_FILES).map_err(|error| named(path, error))?);
    let written = file.write_all(&vec![0; RECORDINGS_PROBE_BYTES]);
    let removed = unlinkat(&folder, PROBE, UnlinkatFlags::NoRemoveDir);
    written.and(removed.map_err(io::Error::from))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const SID: &str = "RE0123456789abcdef0123456789abcdef";

    fn place(root: &Path) -> RecordingLocation {
        RecordingLocation::new(root, SID, "2026-11-05T23:59:59Z".parse().unwrap(), (Container::Wav, true))
    }

    fn rights(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_of_its_date_and_for_the_edge_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("recordings");
        let place = place(&root);
        assert_eq!(place.path(), format!("2026/11/05/{SID}.wav.age"));
        place.create().unwrap();
        let path = root.join(place.path());
        assert_eq!((rights(&root), rights(path.parent().unwrap()), rights(&path)), (0o700, 0o700, 0o600));
        assert_eq!(RecordingLocation::of(root.to_str().unwrap(), &place.path()), Some(place.clone()));
        assert_eq!(place.create().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        place.open(false).unwrap();
        place.remove().unwrap();
        place.remove().unwrap();
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "empty folders are gone");
        for path in
            ["../../../etc/passwd", "2026/11/05/x", "2026/11/../RE0123456789abcdef0123456789abcdef.wav", "/a/b/c"]
        {
            assert_eq!(RecordingLocation::of("/", path), None, "{path}");
        }
    }

    #[test]
    fn symbolic_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, other) = (folder.path().join("recordings"), folder.path().join("other"));
        std::fs::create_dir(&other).unwrap();
        symlink(&other, &root).unwrap();
        assert!(place(&root).create().is_err() && probe(&root).is_err());
        std::fs::remove_file(&root).unwrap();
        std::fs::create_dir(&root).unwrap();
        symlink(&other, root.join("2026")).unwrap();
        let error = place(&root).create().unwrap_err();
        let said = format!("{} is a symbolic link, which is not followed", root.join("2026").display());
        assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::NotADirectory, said));
        std::fs::remove_file(root.join("2026")).unwrap();
        place(&root).create().unwrap();
        let path = root.join(place(&root).path());
        std::fs::remove_file(&path).unwrap();
        symlink(other.join("target"), &path).unwrap();
        assert!(place(&root).create().is_err() && place(&root).open(true).is_err());
        symlink("/dev/null", root.join(PROBE)).unwrap();
        probe(&root).unwrap();
        assert_eq!(std::fs::read_dir(&other).unwrap().count(), 0);
    }
}
