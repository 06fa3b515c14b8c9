//! Executable of the edge, and its start as a child process.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::STDIN_FILENO;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, pipe2};

use crate::standby::KEEPER;
use crate::upgrade::OWN_PROGRAM;
use trunkgate_system::notify::NOTIFY_SOCKET;

/// Executable, arguments and environment of the edge.
#[derive(Debug)]
pub(super) struct EdgeProgram {
    arguments: Vec<CString>,
    environment: Vec<CString>,
    /// Executable of the last successor; `None` for that of the keeper.
    file: Option<File>,
}

impl EdgeProgram {
    /// Creates a command with the keeper's environment and [`KEEPER`], except that `announcements`, if given, replaces
    /// the address of the service manager.
    pub(super) fn new(arguments: Vec<OsString>, announcements: Option<&OsStr>) -> EdgeProgram {
        // `trunkgate upgrade` starts the program of the path by which this one was started.
        let name = std::env::args_os().next().unwrap_or_else(|| "trunkgate".into());
        let arguments = std::iter::once(name).chain(arguments).filter_map(|one| CString::new(one.into_vec()).ok());
        let is_kept = |name: &OsStr| name != KEEPER && (announcements.is_none() || name != NOTIFY_SOCKET);
        let kept = std::env::vars_os().filter(|(name, _)| is_kept(name));
        let own = announcements.map(|address| (NOTIFY_SOCKET.into(), address.to_owned()));
        let own = own.into_iter().chain([(KEEPER.into(), "1".into())]);
        let environment = kept.chain(own).filter_map(|(name, value): (OsString, OsString)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        });
        EdgeProgram { arguments: arguments.collect(), environment: environment.collect(), file: None }
    }

    /// Uses the executable of a successor for later restarts: it may be of another version and write a state file that
    /// the previous executable cannot read.
    pub(super) fn follow(&mut self, successor: Pid) {
        match File::open(format!("/proc/{successor}/exe")) {
            Ok(file) => self.file = Some(file),
            Err(error) => tracing::warn!(
                "after a crash the previous version would start, because the program of process {successor} cannot be opened: {error}"
            ),
        }
    }

    /// Starts the edge.
    pub(super) fn start(&self) -> Result<Pid, Errno> {
        self.spawn(&PosixSpawnFileActions::init()?, &self.arguments)
    }

    /// Starts the standby process. Returns it with the descriptor that releases it.
    pub(super) fn start_standby(&self) -> Result<(Pid, OwnedFd), Errno> {
        let (waits, release) = pipe2(OFlag::O_CLOEXEC)?;
        let mut actions = PosixSpawnFileActions::init()?;
        actions.add_dup2(waits.as_raw_fd(), STDIN_FILENO)?;
        let arguments: Vec<CString> = self.arguments.iter().cloned().chain([c"--standby".to_owned()]).collect();
        Ok((self.spawn(&actions, &arguments)?, release))
    }

    /// Starts a process in a process group of its own, so that signals of the terminal reach it only through the
    /// keeper.
    fn spawn(&self, actions: &PosixSpawnFileActions, arguments: &[CString]) -> Result<Pid, Errno> {
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETPGROUP | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
        attributes.set_pgroup(Pid::from_raw(0))?;
        attributes.set_sigmask(&SigSet::empty())?;
        let path = match &self.file {
            Some(file) => format!("/proc/self/fd/{}", file.as_raw_fd()),
            None => OWN_PROGRAM.to_owned(),
        };
        posix_spawn(path.as_str(), actions, &attributes, arguments, &self.environment)
    }
}
