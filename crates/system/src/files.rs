//! Opens files: only regular ones, without blocking, and created with permissions that keep call data from other users.
//!
//! The type is checked on the open file and not on the path, so that the file cannot be replaced in between. Named
//! FIFOs, devices, sockets and directories are rejected. Pipes passed to the process (`/dev/stdin`, `/dev/fd/N`) are
//! accepted.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::statfs::{FsType, fstatfs};
use rand::TryRng as _;

/// Permissions of files with call data (numbers, times, audio): owner and group only, even if the umask permits more.
pub const CALL_DATA: u32 = 0o640;
/// Permissions of files with secrets or texts: owner only.
pub const SECRET: u32 = 0o600;
/// Permissions of reports without call data or secrets, reduced by the umask.
pub const REPORT: u32 = 0o644;
/// File system type of anonymous pipes (`PIPEFS_MAGIC`, linux/magic.h).
const PIPEFS: FsType = FsType(0x5049_5045);

/// Opens a regular file, or a pipe passed to the process, for reading.
///
/// # Errors
/// Returns the system's error, or the file type that was rejected.
pub fn open(path: &Path) -> io::Result<File> {
    given_or_regular(OpenOptions::new().read(true).custom_flags(flags()).open(path)?)
}

/// Opens a regular file for reading; rejects pipes.
///
/// # Errors
/// Returns the system's error, or the file type that was rejected.
pub fn open_regular(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true).custom_flags(flags()).open(path)?)
}

/// Opens a regular file for reading and appending; a missing file is created with these permissions.
///
/// # Errors
/// Returns the system's error, or an error that names the rejected file type.
pub fn append(path: &Path, rights: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).append(true).mode(rights).custom_flags(flags());
    regular(options.open(path)?)
}

/// Creates or truncates a file named by the user, with these permissions. A pipe passed to the process (`/dev/stdout`,
/// `/dev/fd/N`) is opened for writing.
///
/// # Errors
/// Returns the system's error, or the file type that was rejected.
pub fn create(path: &Path, rights: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(rights).custom_flags(flags());
    let file = options.open(path).map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        // The system's error names neither a FIFO without a reader nor a socket.
        Some(Errno::ENXIO) => std::fs::metadata(path).map_or(error, |about| other_kind(about.file_type())),
        _ => error,
    })?;
    given_or_regular(file)
}

/// Creates a regular file with these permissions; fails if the path exists.
///
/// # Errors
/// Returns the system's error.
pub fn create_new(path: &Path, rights: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(rights).open(path)
}

/// Creates or truncates a file like [`create`], and writes it.
///
/// # Errors
/// Returns the errors of [`create`] and of writing.
pub fn write(path: &Path, bytes: &[u8], rights: u32) -> io::Result<()> {
    create(path, rights)?.write_all(bytes)
}

/// Permissions of the new file when a file is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplacedRights {
    /// These permissions, reduced by the umask.
    New(u32),
    /// Permissions, owner and group of the existing file.
    Kept,
}

/// Replaces a file atomically: readers see the complete old file or the complete new one, also after a crash.
///
/// # Errors
/// Returns the system's error; the old file then remains, and no temporary file is left.
pub fn replace(path: &Path, bytes: &[u8], rights: ReplacedRights) -> io::Result<()> {
    let new = beside(path, "new")?;
    let (mode, kept) = match rights {
        ReplacedRights::New(mode) => (mode, None),
        ReplacedRights::Kept => (SECRET, Some(std::fs::metadata(path)?)),
    };
    let written = create_new(&new, mode).and_then(|mut file| {
        if let Some(kept) = kept {
            let made = file.metadata()?;
            if (made.uid(), made.gid()) != (kept.uid(), kept.gid()) {
                fchown(&file, Some(kept.uid()), Some(kept.gid()))?;
            }
            file.set_permissions(kept.permissions())?;
        }
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&new, path)).inspect_err(|_| drop(std::fs::remove_file(&new)))
}

/// Returns a unique file name next to `path`, with this ending. It is random, because processes in containers that
/// share a folder may have equal ids.
///
/// # Errors
/// Returns the system's error if random numbers are unavailable.
pub fn beside(path: &Path, ending: &str) -> io::Result<PathBuf> {
    let unique = rand::rngs::SysRng.try_next_u64().map_err(io::Error::other)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{unique:016x}.{ending}"));
    Ok(PathBuf::from(name))
}

/// Returns the error with the file's name in front of its text.
pub fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Reads a file, but at most `most` + 1 bytes, so that the caller can detect a larger file.
///
/// # Errors
/// Returns the errors of [`open`] and of reading.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file of at most `most` bytes.
///
/// # Errors
/// Returns the errors of [`read`], or an error if the file is larger.
pub fn read_whole(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    // The contents of a file that is too large are not read.
    if length <= most {
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    }
    let length = length.max(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    if length > most {
        let text = format!("it has {length} bytes, the limit is {most}{}", in_units(most));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// Reads a whole file of at most `most` bytes as text.
///
/// # Errors
/// Returns the errors of [`read_whole`], or `InvalidData` if the file is not UTF-8.
pub fn read_to_string(path: &Path, most: u64) -> io::Result<String> {
    let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8");
    String::from_utf8(read_whole(path, most)?).map_err(wrong)
}

/// Formats a size for an error, as ` (16 MiB)` if it is a whole number of units.
fn in_units(bytes: u64) -> String {
    match (bytes >> 20, bytes >> 10) {
        (mib, _) if mib > 0 && mib << 20 == bytes => format!(" ({mib} MiB)"),
        (_, kib) if kib > 0 && kib << 10 == bytes => format!(" ({kib} KiB)"),
        _ => String::new(),
    }
}

/// Returns open flags with which a FIFO does not block and a terminal does not become the controlling one.
fn flags() -> i32 {
    (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()
}

fn regular(file: File) -> io::Result<File> {
    let kind = file.metadata()?.file_type();
    if kind.is_file() { Ok(file) } else { Err(other_kind(kind)) }
}

/// Accepts an open file if it is regular or a pipe passed to the process.
fn given_or_regular(file: File) -> io::Result<File> {
    if is_given_pipe(&file)? {
        // Reads may block again, because the process at the other end may be slower.
        fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
        return Ok(file);
    }
    regular(file)
}

fn other_kind(kind: FileType) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, other_kind_words(kind))
}

fn other_kind_words(kind: FileType) -> String {
    format!("it is {}, not a regular file", name_of(kind))
}

/// Returns the reason why a file of this type is rejected; `None` for a regular file.
pub fn other_than_regular(kind: FileType) -> Option<String> {
    (!kind.is_file()).then(|| other_kind_words(kind))
}

fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn is_given_pipe(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.file_type().is_fifo() && fstatfs(file)?.filesystem_type() == PIPEFS)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    type Way = fn(&Path) -> io::Result<()>;
    const WAYS: [Way; 5] = [
        |path| open(path).map(drop),
        |path| read_to_string(path, 1 << 20).map(drop),
        |path| append(path, CALL_DATA).map(drop),
        |path| write(path, b"x", CALL_DATA),
        |path| write(path, b"x", REPORT),
    ];

    #[test]
    fn nothing_but_a_regular_file_is_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        symlink(at("loop"), at("loop")).unwrap();
        symlink(at("fifo"), at("link")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        let told = [
            ("fifo", "it is a FIFO, not a regular file"),
            ("link", "it is a FIFO, not a regular file"),
            ("zero", "it is a device, not a regular file"),
            ("folder", "directory"),
            ("loop", "symbolic links"),
        ];
        for (name, what) in told {
            for way in WAYS {
                let error = way(&at(name)).unwrap_err().to_string();
                assert!(error.contains(what), "{name}: {error}");
            }
        }
    }

    #[test]
    fn a_pipe_that_the_process_was_given_is_read_to_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let writing = std::thread::spawn(move || writer.write_all(b"text").unwrap());
        drop(writing.join());
        assert_eq!(read_to_string(Path::new(&path), 4).unwrap(), "text");
    }

    #[test]
    fn a_fifo_with_a_reader_and_a_device_are_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let reader = OpenOptions::new().read(true).custom_flags(flags()).open(&fifo).unwrap();
        let error = write(&fifo, b"text", CALL_DATA).unwrap_err().to_string();
        assert_eq!((error.as_str(), (&reader).read(&mut [0; 8]).unwrap()), ("it is a FIFO, not a regular file", 0));
        let error = write(Path::new("/dev/null"), b"text", CALL_DATA).unwrap_err().to_string();
        assert_eq!(error, "it is a device, not a regular file");
        let (mut reader, writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        write(Path::new(&path), b"text", CALL_DATA).unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text", "a pipe that the process was given");
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_is_bounded_too() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        writer.write_all(&[b'x'; 2049]).unwrap();
        drop(writer);
        let error = read_to_string(Path::new(&path), 2048).unwrap_err().to_string();
        assert_eq!(error, "it has 2049 bytes, the limit is 2048 (2 KiB)");
    }

    #[test]
    fn a_file_is_replaced_at_once_with_its_rights_and_nothing_is_left_after_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.pem");
        let about = || std::fs::metadata(&path).unwrap();
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        replace(&path, b"first", ReplacedRights::New(SECRET)).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), about().mode() & 0o777), (b"first".to_vec(), 0o600));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let is_root = nix::unistd::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(&path, Some(12_345), Some(12_346)).unwrap();
        }
        let owner = (about().uid(), about().gid());
        replace(&path, b"second", ReplacedRights::Kept).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), about().mode() & 0o777), (b"second".to_vec(), 0o640));
        assert_eq!(((about().uid(), about().gid()), names()), (owner, 1));
        // A directory cannot be replaced, and a missing file has no permissions to keep.
        let place = folder.path().join("place");
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("x"), "").unwrap();
        assert!(replace(&place, b"third", ReplacedRights::New(REPORT)).is_err());
        assert!(replace(&folder.path().join("none"), b"third", ReplacedRights::Kept).is_err());
        assert_eq!(names(), 2);
    }

    #[test]
    fn a_file_that_several_replace_at_once_is_always_a_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.pem");
        let path = &path;
        let written =
            move |byte: u8| (0..50).try_for_each(|_| replace(path, &[byte; 9_999], ReplacedRights::New(SECRET)));
        std::thread::scope(|scope| {
            let writers: Vec<_> = [b'a', b'b', b'c'].map(|byte| scope.spawn(move || written(byte))).into();
            for writer in writers {
                writer.join().unwrap().unwrap();
            }
        });
        let found = std::fs::read(path).unwrap();
        assert!(found.len() == 9_999 && found.iter().all(|byte| *byte == found[0]));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left");
    }

    #[test]
    fn created_files_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let rights = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        append(&folder.path().join("records"), CALL_DATA).unwrap();
        append(&folder.path().join("texts"), SECRET).unwrap();
        write(&folder.path().join("heard.wav"), b"", CALL_DATA).unwrap();
        assert_eq!(["records", "texts", "heard.wav"].map(|name| rights(name) & 0o027), [0; 3]);
        assert_eq!(rights("texts") & 0o077, 0);
    }
}
