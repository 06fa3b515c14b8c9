//! Unix socket at which another process, for example in a new container, takes over: `trunkgate run --take-over PATH`.
//!
//! The process that serves the path is the running edge. A process that starts with the same path connects to it, takes
//! over its calls, and then serves the path itself; if no edge is running, it starts as usual. Only processes of the
//! same user are accepted.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt};
use rustix::process::geteuid;
use tokio::net::UnixListener;
use trunkgate_runtime::handover::HandoverLink;
use trunkgate_system::ownership::{self, DirectoryFault};

/// Permissions of the socket: only its owner may connect.
const SOCKET_MODE: u32 = 0o600;

/// Connects to the running edge that serves a path; `None` if no process does.
///
/// # Errors
/// Returns an error if another user could replace the socket, if the path leads to another kind of file, if the other
/// process belongs to another user, or if the connection fails.
pub(crate) fn connect(path: &Path) -> io::Result<Option<HandoverLink>> {
    check_directory(path)?;
    check_file(path)?;
    let stream = match net::UnixStream::connect(path) {
        Ok(stream) => stream,
        // Without a process the file of an earlier one may be left.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    check_user(&stream)?;
    HandoverLink::received(stream.into()).map(Some)
}

/// Returns an error if the path leads to anything but a socket, because binding a new socket would replace it.
fn check_file(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path leads to a file that is not a socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns an error if another user could have created a socket at this path.
fn check_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let found = fs::metadata(directory)
        .map_err(|error| io::Error::new(error.kind(), format!("directory {}: {error}", directory.display())))?;
    let (own, directory) = (geteuid().as_raw(), directory.display());
    let what = match ownership::fault_of(&found) {
        Some(DirectoryFault::OtherOwner(owner)) => {
            format!("directory {directory} belongs to uid {owner}, this process runs as {own}")
        }
        Some(DirectoryFault::OthersWrite) => {
            format!("other users can write to directory {directory}: set its mode to 0700")
        }
        None => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
}

/// Returns an error if the process at the other end belongs to another user.
fn check_user(stream: &net::UnixStream) -> io::Result<()> {
    // The process ID is 0 if the other process is in another PID namespace: rustix has no value for that.
    let (other, own) = (getsockopt(stream, sockopt::PeerCredentials)?.uid(), geteuid().as_raw());
    if other != own {
        let what = format!("the other process runs as uid {other}, this one as {own}");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(())
}

/// Socket at which another process can take over from this one.
#[derive(Debug)]
pub(crate) struct TakeoverSocket {
    path: PathBuf,
    listener: UnixListener,
    /// Inode of the socket's file, to detect that a successor has replaced it by its own.
    inode: u64,
}

impl TakeoverSocket {
    /// Binds a socket to a path, replacing that of an earlier process.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(crate) fn bind(path: &Path) -> io::Result<TakeoverSocket> {
        check_file(path)?;
        // Renamed when it is ready, so that the path always leads to a process.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = net::UnixListener::bind(&new)?;
        fs::set_permissions(&new, Permissions::from_mode(SOCKET_MODE))?;
        listener.set_nonblocking(true)?;
        let inode = fs::metadata(&new)?.ino();
        fs::rename(&new, path)?;
        Ok(TakeoverSocket { path: path.to_owned(), listener: UnixListener::from_std(listener)?, inode })
    }

    /// Returns the path of the socket.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for a connection of a process of the same user; those of others are closed. Cancel safe.
    pub(crate) async fn accept(&self) -> io::Result<HandoverLink> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            match check_user(&stream) {
                Ok(()) => return HandoverLink::received(OwnedFd::from(stream)),
                Err(error) => tracing::warn!("{}: connection of another process refused: {error}", self.path.display()),
            }
        }
    }
}

impl Drop for TakeoverSocket {
    fn drop(&mut self) {
        if fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            // A file that is left behind is replaced by the next process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_path_leads_to_the_process_that_serves_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.sock");
        assert!(connect(&path).unwrap().is_none(), "no file");
        let first = TakeoverSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, SOCKET_MODE);
        let (connected, accepted) = (connect(&path).unwrap(), first.accept().await);
        assert!(connected.is_some() && accepted.is_ok());
        // A successor takes the path before the first process ends.
        let second = TakeoverSocket::bind(&path).unwrap();
        drop(first);
        assert!(connect(&path).unwrap().is_some());
        drop(second);
        assert!(!path.exists());
        // A process that was killed leaves its file.
        drop(net::UnixListener::bind(&path).unwrap());
        assert!(connect(&path).unwrap().is_none(), "a file without a process");
        TakeoverSocket::bind(&path).unwrap();
    }

    #[tokio::test]
    async fn no_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trunkgate.db");
        fs::write(&path, "data").unwrap();
        let links = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &links).unwrap();
        for path in [&path, &links] {
            assert!(connect(path).unwrap_err().to_string().contains("not a socket"));
            assert!(TakeoverSocket::bind(path).is_err());
        }
        assert_eq!(fs::read(&path).unwrap(), b"data");
    }

    #[test]
    fn a_directory_of_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let error = connect(&folder.path().join("edge.sock")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("other users can write"), "{error}");
        let error = connect(Path::new("/nonexistent/edge.sock")).unwrap_err();
        assert!(error.to_string().contains("directory /nonexistent"), "{error}");
    }
}
