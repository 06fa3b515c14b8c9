//! Changes of files that must survive a crash. All of them are made in this module, so that a test can simulate a crash
//! or a full disk at each one.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use trunkgate_system::files;
pub(crate) use trunkgate_system::files::named;

/// File to which lines are appended. A partially written line is removed, so that the next one starts on a new line.
#[derive(Debug)]
pub(crate) struct LineFile {
    file: File,
    bytes: u64,
    /// True if a partially written line could not be removed.
    torn: bool,
}

impl LineFile {
    /// Creates a line file that continues at the end of `file`, which must be open for appending.
    pub(crate) fn of(file: File) -> io::Result<LineFile> {
        let bytes = file.metadata()?.len();
        Ok(LineFile { file, bytes, torn: false })
    }

    /// Opens or creates a file for appending.
    pub(crate) fn open(path: &Path) -> io::Result<LineFile> {
        step(Step::Open)?;
        let file = files::append(path, files::CALL_DATA);
        LineFile::of(file.map_err(|error| named(path, &error))?)
    }

    /// Returns the file, for reading only.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns the length of the file in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sets the length after another piece of code has changed the file.
    pub(crate) fn set_bytes(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    /// Appends a line with its line end in one write.
    pub(crate) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.write(b"\n")?;
            self.torn = false;
        }
        self.write(line)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = step(Step::Write(bytes.len())).and_then(|()| self.file.write_all(bytes));
        #[cfg(test)]
        let written = written.inspect_err(|_| tests::leave_part(&mut self.file, bytes));
        match written {
            Ok(()) => {
                self.bytes += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.torn = self.file.set_len(self.bytes).is_err();
                Err(error)
            }
        }
    }

    /// Truncates the file to this length.
    pub(crate) fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        step(Step::Truncate)?;
        self.file.set_len(bytes)?;
        self.bytes = bytes;
        self.torn = false;
        Ok(())
    }
}

/// Returns whether a path still leads to the open file.
pub(crate) fn is_there(path: &Path, lines: &LineFile) -> bool {
    let (Ok(named), Ok(open)) = (std::fs::metadata(path), lines.file().metadata()) else { return false };
    (named.dev(), named.ino()) == (open.dev(), open.ino())
}

/// Writes bytes at an offset; returns the number of bytes written, which is at least one.
pub(crate) fn write_at(file: &File, bytes: &[u8], place: u64) -> io::Result<usize> {
    #[cfg(test)]
    let bytes = tests::fitting(file, bytes, place)?;
    match file.write_at(bytes, place) {
        Ok(0) => Err(io::Error::from(io::ErrorKind::WriteZero)),
        done => done,
    }
}

/// Writes all bytes at an offset; after an error some of them may have been written.
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut place: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = write_at(file, bytes, place)?;
        bytes = bytes.get(taken..).unwrap_or_default();
        place += taken as u64;
    }
    Ok(())
}

/// Opens or creates a file for appending, and locks it against other processes.
pub(crate) fn locked(path: &Path) -> io::Result<LineFile> {
    let lines = LineFile::open(path)?;
    lock(lines.file()).map_err(|error| named(path, &error))?;
    Ok(lines)
}

/// Replaces a file atomically: after a crash it has the old or the new contents.
pub(crate) fn rewritten(path: &Path, text: &[u8]) -> io::Result<LineFile> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut lines = locked(&new)?;
    lines.truncate(0)?;
    lines.append(text)?;
    rename(&new, path)?;
    Ok(lines)
}

/// Number of attempts to lock a file, and the pause between them.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Locks a file as long as it is open. A process that is ending or starting a program may hold the lock for a moment,
/// so the attempt is repeated.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    for _ in 1..LOCK_ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            done => return done.map_err(io::Error::from),
        }
    }
    file.try_lock().map_err(io::Error::from)
}

/// Keeps a damaged file under a second name, `NAME.damaged`, replacing an earlier one. The file must then be replaced
/// and not changed, because both names lead to it.
pub(crate) fn keep_damaged(path: &Path) -> io::Result<PathBuf> {
    let mut kept = path.as_os_str().to_owned();
    kept.push(".damaged");
    let kept = PathBuf::from(kept);
    remove(&kept)?;
    step(Step::Rename)?;
    // A file system without hard links fails here.
    std::fs::hard_link(path, &kept)
        .or_else(|_| std::fs::copy(path, &kept).map(drop))
        .map_err(|error| named(&kept, &error))?;
    Ok(kept)
}

/// Renames a file.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step(Step::Rename)?;
    std::fs::rename(from, to).map_err(|error| named(from, &error))
}

/// Removes a file; a missing file is not an error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    step(Step::Remove)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Checks that files in a directory may be opened for changes; only tests refuse that.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests the disk may be read-only")]
pub(super) fn writable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use tests::writable;

/// Kind of a file change that is about to be made, so that a test can let it fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Open,
    Write(usize),
    Truncate,
    Rename,
    Remove,
    /// Any change of the store's database.
    Change,
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests the disk may be full")]
pub(super) fn step(_: Step) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use tests::step;

/// Simulated disk that fails when a test requests it.
#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::Mutex;

    use super::*;

    thread_local! {
        /// Number of steps until the simulated crash, and the quarters of its write that are completed.
        static CRASH: Cell<Option<(u32, usize)>> = const { Cell::new(None) };
        /// Number of bytes until the simulated disk is full.
        static ROOM: Cell<Option<usize>> = const { Cell::new(None) };
        /// Number of bytes that a failed write leaves behind.
        static PART: Cell<usize> = const { Cell::new(0) };
        /// True if the store refuses changes.
        static REFUSES: Cell<bool> = const { Cell::new(false) };
    }

    /// Directories on a simulated read-only disk.
    static READ_ONLY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

    /// Panic payload of a simulated crash.
    struct Crash;

    /// Simulates a read-only disk for a directory, or ends that, for all threads.
    pub(crate) fn set_read_only(directory: &Path, is_read_only: bool) {
        let mut all = READ_ONLY.lock().unwrap();
        all.retain(|other| other != directory);
        all.extend(is_read_only.then(|| directory.to_owned()));
    }

    pub(crate) fn writable(directory: &Path) -> io::Result<()> {
        match READ_ONLY.lock().unwrap().iter().any(|other| other == directory) {
            true => Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)),
            false => Ok(()),
        }
    }

    /// Runs `work` with a simulated crash at the step with this number, after `quarters` of its write; returns whether
    /// the step was reached.
    pub(crate) fn crash_at(number: u32, quarters: usize, work: impl FnOnce()) -> bool {
        CRASH.set(Some((number, quarters)));
        let outcome = catch_unwind(AssertUnwindSafe(work));
        CRASH.set(None);
        match outcome {
            Ok(()) => false,
            Err(payload) if payload.is::<Crash>() => true,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Sets the room on the simulated disk in bytes; `None`: unlimited.
    pub(crate) fn set_room(bytes: Option<usize>) {
        ROOM.set(bytes);
    }

    /// Simulates a store that refuses changes of this thread, as on a full disk.
    pub(crate) fn refuse_changes(refuse: bool) {
        REFUSES.set(refuse);
    }

    pub(crate) fn step(step: Step) -> io::Result<()> {
        if step == Step::Change && REFUSES.get() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let size = if let Step::Write(size) = step { size } else { 0 };
        if let Some((left, quarters)) = CRASH.get() {
            if left == 0 {
                PART.set(size * quarters / 4);
                if PART.get() == 0 || size == 0 {
                    resume_unwind(Box::new(Crash));
                }
                return Err(io::Error::other("crash"));
            }
            CRASH.set(Some((left - 1, quarters)));
        }
        if let Some(room) = ROOM.get() {
            if size > room || (size == 0 && room == 0 && step == Step::Open) {
                PART.set(room);
                ROOM.set(Some(0));
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            ROOM.set(Some(room - size));
        }
        Ok(())
    }

    /// Returns the part of a write that fits on the simulated disk; overwriting existing bytes needs no room.
    pub(in crate::sinks::store::disk) fn fitting<'a>(file: &File, bytes: &'a [u8], place: u64) -> io::Result<&'a [u8]> {
        let Some(room) = ROOM.get() else { return Ok(bytes) };
        let had = (file.metadata()?.len().saturating_sub(place) as usize).min(bytes.len());
        let fits = bytes.len().min(had + room);
        if fits == 0 && !bytes.is_empty() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        ROOM.set(Some(room - (fits - had)));
        Ok(&bytes[..fits])
    }

    /// Writes the part that a simulated failure leaves in the file.
    pub(in crate::sinks::store::disk) fn leave_part(file: &mut File, bytes: &[u8]) {
        let part = PART.replace(0);
        file.write_all(&bytes[..part]).unwrap();
        if CRASH.get().is_some_and(|(left, _)| left == 0) {
            resume_unwind(Box::new(Crash));
        }
    }

    #[test]
    fn a_line_that_does_not_fit_is_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        let mut lines = LineFile::open(&path).unwrap();
        set_room(Some(8));
        lines.append(b"first\n").unwrap();
        assert_eq!(lines.append(b"second\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((std::fs::read(&path).unwrap(), lines.bytes()), (b"first\n".to_vec(), 6));
        set_room(None);
        lines.append(b"third\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"first\nthird\n");
    }
}
