//! `trunkgate keeper`: a parent process that restarts the edge after a crash.
//!
//! `state` decides, `program` starts the edge, `announcements` receives its notifications, and the loop here
//! waits for signals, for ended children and for the next start. The keeper knows nothing of calls: with `[edge] state
//! = "file"`, a restarted edge reads them from the state file.

mod announcements;
mod program;
mod state;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use announcements::AnnouncementSocket;
use program::EdgeProgram;
use state::{EdgeCrash, EdgeExit, KeeperAction, KeeperEvent, KeeperState};
use trunkgate_config as config;
use trunkgate_system::log::{self, LogSettings};
use trunkgate_system::notify::SystemdNotifier;
use trunkgate_system::terminal;

/// Signals that are passed on to the edge.
const FORWARDED: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];
/// Number of event sources, and so the maximum number of events that one wait returns: signals and notifications.
const EVENTS: usize = 2;

/// Starts the edge with these arguments, and again after each crash, until it exits otherwise or a signal ends it.
/// `given` is the configuration file of the edge; the keeper uses its log settings.
pub fn run(given: Option<&Path>, arguments: Vec<OsString>) -> ExitCode {
    let mut keeper = match Keeper::new(arguments) {
        Ok(keeper) => keeper,
        Err(error) => {
            terminal::print_error(&format!("error[TG0203]: the keeper cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // The thread of the log inherits the blocked signals.
    log::init(&log_settings(given));
    let code = keeper.run();
    log::flush();
    ExitCode::from(code)
}

/// Returns `[log]` of a configuration, or the defaults if it cannot be read; errors in it are left to the edge to
/// report.
fn log_settings(given: Option<&Path>) -> LogSettings {
    let path = config::find(given).unwrap_or_else(|| "trunkgate.toml".into());
    config::load_to_look(&path).map_or_else(|_| config::unread(&path), |(config, _)| config).log
}

/// Keeper with its sources of events.
#[derive(Debug)]
struct Keeper {
    state: KeeperState,
    program: EdgeProgram,
    /// Socket for the notifications of the edge; `None` if it could not be bound. Then the first edge remains as the
    /// parent of its successors.
    announcements: Option<AnnouncementSocket>,
    signals: SignalFd,
    events: Epoll,
}

impl Keeper {
    /// Creates the keeper: blocks the signals, which are read from a descriptor, and becomes the parent of orphaned
    /// processes.
    fn new(arguments: Vec<OsString>) -> io::Result<Keeper> {
        let mut mask: SigSet = FORWARDED.into_iter().collect();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        set_child_subreaper(true)?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let events = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        events.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        let announcements = AnnouncementSocket::bind(SystemdNotifier::from_environment());
        let announcements = announcements
            .inspect_err(|error| eprintln!("trunkgate: no socket for notifications of the edge: {error}"))
            .ok();
        if let Some(socket) = &announcements {
            events.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, 1))?;
        }
        let address = announcements.as_ref().map(|socket| socket.address().as_os_str());
        let program = EdgeProgram::new(arguments, address);
        Ok(Keeper { state: KeeperState::new(), program, announcements, signals, events })
    }

    /// Runs until the keeper ends; returns its exit code.
    fn run(&mut self) -> u8 {
        let mut ended = self.start();
        while ended.is_none() {
            let pause = self.state.wakes_at().map(|at| at.saturating_duration_since(Instant::now()));
            // Rounded up: a shorter wait would end before the time has come.
            let timeout = pause.and_then(|pause| EpollTimeout::try_from(pause.as_millis() + 1).ok());
            // An interrupted wait is one without events.
            let _ = self.events.wait(&mut [EpollEvent::empty(); EVENTS], timeout.unwrap_or(EpollTimeout::NONE));
            ended = self.poll();
        }
        ended.unwrap_or_default()
    }

    /// Processes all pending events; returns the exit code if the keeper must end.
    fn poll(&mut self) -> Option<u8> {
        // An edge announces its successor before it ends, so the announcement is read after the end, and counts first.
        let children: Vec<(Pid, EdgeExit)> = std::iter::from_fn(reap).collect();
        let successor = self.announcements.as_ref().and_then(|socket| socket.read(self.state.edge()));
        if let Some(pid) = successor {
            tracing::info!("upgrade: process {pid} has taken over the calls and is supervised from now on");
            self.program.follow(pid);
            if let Some(code) = self.handle(KeeperEvent::Announced(pid)) {
                return Some(code);
            }
        }
        while let Ok(Some(about)) = self.signals.read_signal() {
            let signal = i32::try_from(about.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            if let Some(signal) = signal.filter(|signal| FORWARDED.contains(signal))
                && let Some(code) = self.handle(KeeperEvent::Signalled(signal))
            {
                return Some(code);
            }
        }
        let ends = children.into_iter().map(|(pid, exit)| KeeperEvent::Ended(pid, exit));
        ends.chain([KeeperEvent::Woken]).find_map(|event| self.handle(event))
    }

    /// Processes an event and performs the resulting action; returns the exit code if the keeper must end.
    fn handle(&mut self, event: KeeperEvent) -> Option<u8> {
        match self.state.handle(Instant::now(), event)? {
            KeeperAction::Start => self.start(),
            KeeperAction::Forward(pid, signal) => {
                // It may have ended.
                let _ = kill(pid, signal);
                None
            }
            KeeperAction::Pause(EdgeCrash { exit, pause, count }) => {
                tracing::error!("the edge {exit} (crash {count} in a row): a new process starts in {pause:?}");
                None
            }
            KeeperAction::Exit(code) => Some(code),
        }
    }

    /// Starts the edge; returns the exit code if that fails and the keeper must end.
    fn start(&mut self) -> Option<u8> {
        // The watchdog of a service manager waits during a start.
        let watched = self.announcements.as_ref().map(AnnouncementSocket::manager);
        watched.filter(|manager| manager.interval().is_some()).inspect(|manager| manager.alive());
        match self.program.start() {
            Ok(pid) => {
                tracing::info!("the edge runs in process {pid}");
                self.handle(KeeperEvent::Started(pid))
            }
            Err(error) => {
                tracing::error!("the process of the edge cannot be started: {error}");
                self.handle(KeeperEvent::StartFailed)
            }
        }
    }
}

/// Reaps a child process that has ended; `None` if there is none.
fn reap() -> Option<(Pid, EdgeExit)> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => {
                return Some((pid, EdgeExit::Code(u8::try_from(code).unwrap_or(u8::MAX))));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => return Some((pid, EdgeExit::Killed(signal))),
            Ok(WaitStatus::StillAlive) | Err(_) => return None,
            // A child that has stopped or goes on.
            Ok(_) => {}
        }
    }
}
