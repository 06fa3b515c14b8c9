//! Files that the program opens: only regular ones, opened without waiting, and created with rights that keep call data from
//! other users of the machine.
//!
//! The kind is checked on the open file, not on the path, so that nothing can be put in its place between the two. A named
//! FIFO, a device, a socket and a directory are refused; a pipe that the process was given (`/dev/stdin`, `/dev/fd/N`) is read.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::statfs::{FsType, fstatfs};

/// Rights of files with call data (numbers, times, audio): the owner and its group, whatever the umask would allow.
pub(crate) const CALL_DATA: u32 = 0o640;
/// Rights of files with secrets or texts: the owner.
pub(crate) const SECRET: u32 = 0o600;
/// Type of the file system of pipes without a name (`PIPEFS_MAGIC`, linux/magic.h).
const PIPEFS: FsType = FsType(0x5049_5045);

/// Opens a regular file, or a pipe that the process was given, for reading.
///
/// # Errors
/// The system's, or what the file is instead.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(flags()).open(path)?;
    if is_given_pipe(&file)? {
        // Its writer may be slower than this process.
        fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
        return Ok(file);
    }
    regular(file)
}

/// Opens a regular file for reading, and no pipe.
///
/// # Errors
/// The same.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true).custom_flags(flags()).open(path)?)
}

/// Opens an existing regular file for reading and writing.
///
/// # Errors
/// The same.
pub(crate) fn open_to_change(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true).write(true).custom_flags(flags()).open(path)?)
}

/// Opens a regular file for reading and for appending; creates it with these rights.
///
/// # Errors
/// The same.
pub(crate) fn append(path: &Path, rights: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).append(true).mode(rights).custom_flags(flags());
    regular(options.open(path)?)
}

/// Creates a file with call data that the user has named, or empties it; it may be a device or a pipe.
///
/// # Errors
/// The system's.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(true).mode(CALL_DATA).open(path)
}

/// Writes such a file.
///
/// # Errors
/// The system's.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create(path)?.write_all(bytes)
}

/// Reads a file; of one with more than `most` bytes, one byte more than that.
///
/// # Errors
/// As [`open`].
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file as text.
///
/// # Errors
/// As [`open`], or that it is no UTF-8.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// A FIFO opens at once, and a terminal does not become that of the process.
fn flags() -> i32 {
    (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()
}

fn regular(file: File) -> io::Result<File> {
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {}, not a regular file", name_of(kind))))
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
    const WAYS: [Way; 4] = [
        |path| open(path).map(drop),
        |path| read_to_string(path).map(drop),
        |path| append(path, CALL_DATA).map(drop),
        |path| open_to_change(path).map(drop),
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
        assert_eq!(read_to_string(Path::new(&path)).unwrap(), "text");
    }

    #[test]
    fn what_is_created_is_not_for_everyone() {
        let folder = tempfile::tempdir().unwrap();
        let rights = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        append(&folder.path().join("records"), CALL_DATA).unwrap();
        append(&folder.path().join("texts"), SECRET).unwrap();
        write(&folder.path().join("heard.wav"), b"").unwrap();
        assert_eq!(["records", "texts", "heard.wav"].map(|name| rights(name) & 0o027), [0; 3]);
        assert_eq!(rights("texts") & 0o077, 0);
    }
}
