//! What changes files that have to survive a crash: every such step goes through here, so that a test can crash, or the
//! disk be full, at each of them.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use trunkgate_system::files;

/// A file that is written line by line at its end. A line that did not fit is taken back, so that the next one stands
/// alone.
#[derive(Debug)]
pub(crate) struct Lines {
    file: File,
    bytes: u64,
    /// Part of a line stands at its end and could not be taken back.
    torn: bool,
}

impl Lines {
    /// Goes on at the end of `file`, which was opened for appending.
    pub(crate) fn of(file: File) -> io::Result<Lines> {
        let bytes = file.metadata()?.len();
        Ok(Lines { file, bytes, torn: false })
    }

    /// Opens or makes a file.
    pub(crate) fn open(path: &Path) -> io::Result<Lines> {
        step(Step::Open)?;
        let file = files::append(path, files::CALL_DATA);
        Lines::of(file.map_err(|error| named(path, &error))?)
    }

    /// The file itself, for what is read of it.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes over a length that somebody else has changed.
    pub(crate) fn set_bytes(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    /// Adds a line, its end included, in one write.
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

    /// Leaves so much of it.
    pub(crate) fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        step(Step::Truncate)?;
        self.file.set_len(bytes)?;
        self.bytes = bytes;
        self.torn = false;
        Ok(())
    }
}

/// Whether a name still leads to the file that is written.
pub(crate) fn is_there(path: &Path, lines: &Lines) -> bool {
    let (Ok(named), Ok(open)) = (std::fs::metadata(path), lines.file().metadata()) else { return false };
    (named.dev(), named.ino()) == (open.dev(), open.ino())
}

/// Writes bytes at a place of a file; returns how many of them it has taken, at least one.
pub(crate) fn write_at(file: &File, bytes: &[u8], place: u64) -> io::Result<usize> {
    #[cfg(test)]
    let bytes = tests::fitting(file, bytes, place)?;
    match file.write_at(bytes, place) {
        Ok(0) => Err(io::Error::from(io::ErrorKind::WriteZero)),
        done => done,
    }
}

/// Writes all bytes at a place of a file; after an error some of them may be there.
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut place: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = write_at(file, bytes, place)?;
        bytes = bytes.get(taken..).unwrap_or_default();
        place += taken as u64;
    }
    Ok(())
}

/// Opens a file that no other process holds.
pub(crate) fn locked(path: &Path) -> io::Result<Lines> {
    let lines = Lines::open(path)?;
    lock(lines.file()).map_err(|error| named(path, &error))?;
    Ok(lines)
}

/// Writes a file anew. It takes the place of the old one at once: a crash leaves one of the two.
pub(crate) fn rewritten(path: &Path, text: &[u8]) -> io::Result<Lines> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut lines = locked(&new)?;
    lines.truncate(0)?;
    lines.append(text)?;
    rename(&new, path)?;
    Ok(lines)
}

/// How often a lock is tried, and how long after each time.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Makes a file this process's alone, as long as it is open. One that is just ending, or starting a program, may have it
/// for a moment.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    for _ in 1..LOCK_ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            done => return done.map_err(io::Error::from),
        }
    }
    file.try_lock().map_err(io::Error::from)
}

/// Gives a damaged file a second name, `NAME.damaged`, in the place of an earlier one: at most one is kept. The file has to be
/// replaced then, and not changed.
pub(crate) fn keep_damaged(path: &Path) -> io::Result<PathBuf> {
    let mut kept = path.as_os_str().to_owned();
    kept.push(".damaged");
    let kept = PathBuf::from(kept);
    remove(&kept)?;
    step(Step::Rename)?;
    // Not every file system has links.
    std::fs::hard_link(path, &kept)
        .or_else(|_| std::fs::copy(path, &kept).map(drop))
        .map_err(|error| named(&kept, &error))?;
    Ok(kept)
}

/// Gives a file another name.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step(Step::Rename)?;
    std::fs::rename(from, to).map_err(|error| named(from, &error))
}

/// Takes a file away; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    step(Step::Remove)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The error with the file's name before it.
pub(crate) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Checks that files of a directory may be opened for changes.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests the disk may be read-only")]
pub(super) fn writable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use tests::writable;

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Open,
    Write(usize),
    Truncate,
    Rename,
    Remove,
    /// Of the store.
    Change,
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests the disk may be full")]
pub(super) fn step(_: Step) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use tests::step;

/// A disk that fails when a test says so.
#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::Mutex;

    use super::*;

    thread_local! {
        /// Steps until the crash, and how much of what is being written then gets there, of 4.
        static CRASH: Cell<Option<(u32, usize)>> = const { Cell::new(None) };
        /// Bytes until the disk is full.
        static ROOM: Cell<Option<usize>> = const { Cell::new(None) };
        /// How much of a write that failed is left behind.
        static PART: Cell<usize> = const { Cell::new(0) };
        /// The store takes no change.
        static REFUSES: Cell<bool> = const { Cell::new(false) };
    }

    /// Directories on a disk that is read-only.
    static READ_ONLY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

    /// The process was killed.
    struct Crash;

    /// Makes the disk of a directory read-only, or writable again, for all threads.
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

    /// Lets the process die at the step of this number, `quarters` of the bytes written; whether it came so far.
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

    /// Room for so many bytes; `None`: enough for all.
    pub(crate) fn set_room(bytes: Option<usize>) {
        ROOM.set(bytes);
    }

    /// Has the store take no change of this thread, as on a full disk.
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

    /// The part of a write at a place that there is room for; what a file has already takes none.
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

    /// What a write that failed got onto the disk.
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
        let mut lines = Lines::open(&path).unwrap();
        set_room(Some(8));
        lines.append(b"first\n").unwrap();
        assert_eq!(lines.append(b"second\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((std::fs::read(&path).unwrap(), lines.bytes()), (b"first\n".to_vec(), 6));
        set_room(None);
        lines.append(b"third\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"first\nthird\n");
    }
}
