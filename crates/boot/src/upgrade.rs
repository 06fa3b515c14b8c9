//! Replaces a running edge without ending its answered calls: by the installed program (`trunkgate upgrade`), or by a
//! process that has connected to the socket of `run --take-over PATH`.
//!
//! The successor has checked its configuration before any part of this process ends. If it fails after that and before
//! it has the calls, this process starts its own executable again as the successor.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper, wait};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_runtime::handover::{
    HandoverLink, ListeningPlaces, PlanVerdict, SuccessorMessage, SuccessorPlan, UpgradeBegun, UpgradeRequest,
};

use crate::takeover::TakeoverSocket;

/// Executable of this process, even if its file was replaced since.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";
/// Time limit for an executable to check the configuration, and again for a successor to be ready.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Maximum time to send the HTTP response to an upgrade request before the hand-over closes its connection.
const RESPONSE_WITHIN: Duration = Duration::from_secs(1);
/// Maximum number of connected processes that are examined at the take-over socket concurrently.
const CONNECTED: usize = 8;

/// Parameters of this process with which it starts or examines a successor.
#[derive(Debug, Clone)]
pub(crate) struct SuccessorCommand {
    /// Configuration file for the successor.
    pub(crate) config: PathBuf,
    /// Value of `--drain`.
    pub(crate) drain: Duration,
    /// Listening addresses, which must be those of the successor, because it takes over the sockets.
    pub(crate) places: ListeningPlaces,
    /// Path of the installed executable, by which this process was started; the file may have been replaced since.
    pub(crate) program: PathBuf,
    /// Path of the socket at which other processes take over.
    pub(crate) socket: Option<PathBuf>,
    /// Whether this process has taken over from another one.
    pub(crate) is_successor: bool,
}

/// Successor process that has checked its configuration and waits for the calls.
#[derive(Debug)]
pub(crate) struct Successor {
    /// Child process; `None` if the successor was not started by this process.
    child: Option<Child>,
    /// Connection to the successor.
    pub(crate) link: HandoverLink,
    plan: SuccessorPlan,
}

/// Ways in which a successor can arrive: by request or at the take-over socket.
#[derive(Debug)]
pub(crate) struct SuccessorIntake {
    /// Requests of `POST /v1/upgrade`; `None` once further ones are rejected.
    pub(crate) requests: Option<Receiver<UpgradeRequest>>,
    /// Socket of `run --take-over PATH`.
    pub(crate) socket: Option<TakeoverSocket>,
}

impl SuccessorCommand {
    /// Has the installed executable check the configuration, then starts it and waits until it is ready.
    ///
    /// # Errors
    /// Returns the reason in words: the executable cannot be started, rejects the configuration, is not ready in time,
    /// or has other listening addresses.
    pub(crate) fn start_installed(&self) -> Result<Successor, String> {
        self.check(&self.program)?;
        self.start(&self.program)
    }

    /// Starts the executable of this process again and waits until it is ready.
    ///
    /// # Errors
    /// Same as [`Self::start_installed`].
    pub(crate) fn start_own(&self) -> Result<Successor, String> {
        self.start(Path::new(OWN_PROGRAM))
    }

    /// Runs `check` of an executable on the configuration.
    fn check(&self, program: &Path) -> Result<(), String> {
        let mut command = Command::new(program);
        command.arg("--config").arg(&self.config).arg("check").stdin(Stdio::null());
        let output = output_within(command, READY_WITHIN)
            .map_err(|error| format!("{} cannot check the configuration: {error}", program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        Err(format!("{} rejects the configuration: {}", program.display(), String::from_utf8_lossy(&text).trim()))
    }

    fn start(&self, program: &Path) -> Result<Successor, String> {
        let started = || -> io::Result<(Child, HandoverLink)> {
            let (link, theirs) = HandoverLink::pair()?;
            let mut command = Command::new(program);
            // The next upgrade starts the program of this path.
            command.arg0(&self.program);
            command.arg("--config").arg(&self.config).args(["run", "--take-over", "-", "--drain"]);
            command.arg(format!("{}ms", self.drain.as_millis())).stdin(Stdio::from(theirs));
            if let Some(path) = &self.socket {
                command.arg("--take-over").arg(path);
            }
            if !self.is_successor {
                // A signal of the terminal reaches it, and all that follow it, through the first process only.
                command.process_group(0);
            }
            Ok((command.spawn()?, link))
        };
        let (child, link) = started().map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        let mut successor = self.check_ready(link, Some(child))?;
        successor.accept()?;
        Ok(successor)
    }

    /// Waits until a process is ready, and checks that it can continue the calls. Otherwise sends the process the
    /// reason, and kills it if it is a child.
    fn check_ready(&self, mut link: HandoverLink, child: Option<Child>) -> Result<Successor, String> {
        let ready = match link.receive_short(READY_WITHIN) {
            Ok(SuccessorMessage::Ready(plan)) => match plan.check(&self.places) {
                Ok(()) => Ok(*plan),
                Err(refusal) => Err(refusal.to_string()),
            },
            Ok(_) => Err("the new process sent another message before it was ready".to_owned()),
            Err(error) => Err(format!("the new process has not become ready (see its log lines): {error}")),
        };
        match ready {
            Ok(plan) => Ok(Successor { child, link, plan }),
            Err(why) => {
                // It may have ended.
                let _ = link.send(&PlanVerdict::Refused(why.clone()), &[]);
                child.into_iter().for_each(end);
                Err(why)
            }
        }
    }
}

impl Successor {
    /// Returns the process id; `None` if the process was not started by this one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Promises the calls to the successor.
    ///
    /// # Errors
    /// Returns the reason in words if the process has ended.
    fn accept(&mut self) -> Result<(), String> {
        self.link.send(&PlanVerdict::Accepted, &[]).map_err(|error| format!("the new process has ended: {error}"))
    }

    /// Returns a name of the process for the log.
    pub(crate) fn name(&self) -> String {
        self.pid().map_or_else(|| "the process at the take-over socket".to_owned(), |pid| format!("process {pid}"))
    }

    /// Kills a successor that has failed; one that was not started by this process only loses its connection.
    pub(crate) fn end(self) {
        self.child.into_iter().for_each(end);
    }

    /// Returns whether the process is still running; always true if it was not started by this one.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(None)))
    }
}

/// Kills a child process and reaps it.
fn end(mut child: Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

impl SuccessorIntake {
    /// Waits for a successor that is ready to take over. The future never completes if there is neither a receiver nor
    /// a socket.
    pub(crate) async fn next(&mut self, command: &SuccessorCommand, handle: &EdgeHandle) -> Successor {
        let SuccessorIntake { requests, socket } = self;
        tokio::select! {
            successor = next_installed(requests, command, handle) => successor,
            successor = next_connected(socket.as_ref(), command) => successor,
        }
    }
}

/// Waits for requests, and starts the installed executable for each until one is ready. The future never completes
/// without a receiver.
async fn next_installed(
    requests: &mut Option<Receiver<UpgradeRequest>>,
    command: &SuccessorCommand,
    handle: &EdgeHandle,
) -> Successor {
    loop {
        let request = match requests {
            Some(requests) => requests.recv().await,
            None => None,
        };
        let Some(UpgradeRequest { answer, responded }) = request else { return std::future::pending().await };
        tracing::info!("an upgrade is requested: the installed program is started");
        let starting = command.clone();
        let started = tokio::task::spawn_blocking(move || starting.start_installed()).await;
        match started.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(successor) => {
                let version = successor.plan.version.clone();
                let pid = successor.pid().unwrap_or_default();
                let begun = UpgradeBegun { pid, version, calls: handle.live_calls() };
                tracing::info!("process {} (version {}) is ready to take over", begun.pid, begun.version);
                // The client may have gone; the upgrade was requested nevertheless.
                let _ = answer.send(Ok(begun));
                let _ = tokio::time::timeout(RESPONSE_WITHIN, responded).await;
                return successor;
            }
            Err(why) => {
                tracing::error!("not upgraded, calls are not affected: {why}");
                let _ = answer.send(Err(why));
            }
        }
    }
}

/// Waits for processes that connect to the socket until one is ready. The future never completes without a socket.
async fn next_connected(socket: Option<&TakeoverSocket>, command: &SuccessorCommand) -> Successor {
    let Some(socket) = socket else { return std::future::pending().await };
    let mut checks = JoinSet::new();
    loop {
        let checked = tokio::select! {
            accepted = socket.accept(), if checks.len() < CONNECTED => match accepted {
                Ok(link) => {
                    let command = command.clone();
                    checks.spawn_blocking(move || command.check_ready(link, None));
                    continue;
                }
                Err(error) => {
                    tracing::error!("{}: no other process can take over: {error}", socket.path().display());
                    return std::future::pending().await;
                }
            },
            Some(checked) = checks.join_next() => checked,
        };
        // The first one that is ready gets the calls; the connections of the others are closed.
        let ready = checked.unwrap_or_else(|error| Err(error.to_string()));
        match ready.and_then(|mut successor| successor.accept().map(|()| successor)) {
            Ok(successor) => {
                tracing::info!("a process of version {} is ready to take over", successor.plan.version);
                return successor;
            }
            Err(why) => tracing::error!("not taken over, calls are not affected: {why}"),
        }
    }
}

/// Returns the path by which this process was started: absolute if it was given with a directory, otherwise the one
/// found in `PATH`, otherwise the path of the running executable.
///
/// # Errors
/// Returns the system's error if no path can be determined.
pub(crate) fn installed_program() -> io::Result<PathBuf> {
    let named = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let has_directory = named.parent().is_some_and(|parent| parent != Path::new(""));
    if has_directory {
        return std::path::absolute(named);
    }
    let found = named.to_str().and_then(trunkgate_system::programs::installed);
    found.map_or_else(std::env::current_exe, Ok)
}

/// Runs a command and returns its output; kills it and returns `TimedOut` if it takes longer than `limit`.
fn output_within(mut command: Command, limit: Duration) -> io::Result<Output> {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pid = child.id();
    let (answer, ended) = sync_channel(1);
    std::thread::Builder::new().name("check".to_owned()).spawn(move || answer.send(child.wait_with_output()))?;
    match ended.recv_timeout(limit) {
        Ok(output) => output,
        Err(RecvTimeoutError::Timeout) => {
            send_signal(pid, Signal::KILL);
            Err(io::ErrorKind::TimedOut.into())
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("no result")),
    }
}

/// Sends a signal to a child process.
pub(crate) fn send_signal(pid: u32, signal: Signal) {
    if let Some(pid) = process(pid) {
        // It may have ended.
        let _ = kill_process(pid, signal);
    }
}

/// Sends a signal to the process group of a child: the child and the successors started after it.
pub(crate) fn send_to_all(pid: u32, signal: Signal) {
    if let Some(group) = process(pid) {
        // They may have ended.
        let _ = kill_process_group(group, signal);
    }
}

fn process(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Makes this process the parent of orphaned descendants: the processes that take over from its successor.
pub(crate) fn adopt_orphans() {
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        tracing::warn!("cannot become the parent of later processes, so this one ends after the next upgrade: {error}");
    }
}

/// Waits until all child processes have ended; returns the exit code of the last one. Blocks the thread.
pub(crate) fn wait_for_children() -> ExitCode {
    let mut code = ExitCode::FAILURE;
    while let Ok(Some((_, status))) = wait(WaitOptions::empty()) {
        let status = status.exit_status().and_then(|status| u8::try_from(status).ok());
        code = status.map_or(ExitCode::FAILURE, ExitCode::from);
    }
    code
}
