//! `trunkgate keeper`: a parent process that restarts the edge after a crash.
//!
//! `state` decides, `program` starts the edge, `announcements` receives its notifications, and the loop here
//! waits for signals, for ended children and for the next start. The keeper knows nothing of calls: with `[edge] state
//! = "file"`, a restarted edge reads them from the state file. With `standby = true` a second process waits beside the
//! edge, and becomes the edge after a crash.

mod announcements;
mod program;
mod state;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{self, Pid};

use crate::standby::RELEASE;
use announcements::{AnnouncementSocket, Announcements};
use program::EdgeProgram;
use state::{EdgeCrash, EdgeExit, KeeperAction, KeeperEvent, KeeperState, STANDBY_PAUSE};
use trunkgate_config as config;
use trunkgate_system::log::{self, LogSettings};
use trunkgate_system::notify::SystemdNotifier;
use trunkgate_system::terminal;

/// Signals that are passed on to the edge.
const FORWARDED: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];
/// Number of event sources, and so the maximum number of events that one wait returns: signals and notifications.
const EVENTS: usize = 2;

/// Starts the edge with these arguments, and again after each crash, until it exits otherwise or a signal ends it.
/// `given` is the configuration file of the edge; the keeper uses its log settings and `[edge] standby`.
pub fn run(given: Option<&Path>, arguments: Vec<OsString>) -> ExitCode {
    let (log_settings, has_standby) = read_settings(given);
    let mut keeper = match Keeper::new(arguments, has_standby) {
        Ok(keeper) => keeper,
        Err(error) => {
            terminal::print_error(&format!("error[TG0203]: the keeper cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // The thread of the log inherits the blocked signals.
    log::init(&log_settings);
    let code = keeper.run();
    log::flush();
    ExitCode::from(code)
}

/// Returns `[log]` and `[edge] standby` of a configuration, or the defaults if it cannot be read; errors in it are left
/// to the edge to report.
fn read_settings(given: Option<&Path>) -> (LogSettings, bool) {
    let path = config::find(given).unwrap_or_else(|| "trunkgate.toml".into());
    let config = config::load_to_look(&path).map_or_else(|_| config::unread(&path), |(config, _)| config);
    (config.log, config.data.has_standby)
}

/// Keeper with its sources of events.
#[derive(Debug)]
struct Keeper {
    state: KeeperState,
    program: EdgeProgram,
    /// Socket for the notifications of the edge; `None` if it could not be bound. Then the first edge remains as the
    /// parent of its successors.
    announcements: Option<AnnouncementSocket>,
    /// Descriptor that releases the standby process; the process ends when it is closed without that.
    release: Option<OwnedFd>,
    signals: SignalFd,
    events: Epoll,
}

impl Keeper {
    /// Creates the keeper: blocks the signals, which are read from a descriptor, and becomes the parent of orphaned
    /// processes.
    fn new(arguments: Vec<OsString>, has_standby: bool) -> io::Result<Keeper> {
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
        Ok(Keeper { state: KeeperState::new(has_standby), program, announcements, release: None, signals, events })
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
        let announced = self.announcements.as_ref().map(|socket| socket.read(self.state.edge()));
        let Announcements { successor, is_ready } = announced.unwrap_or_default();
        if let Some(pid) = successor {
            tracing::info!("upgrade: process {pid} has taken over the calls and is supervised from now on");
            self.program.follow(pid);
            // The standby process runs the previous program.
            self.release = None;
            if let Some(code) = self.handle(KeeperEvent::Announced(pid)) {
                return Some(code);
            }
        }
        if is_ready {
            self.handle(KeeperEvent::Ready);
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
            KeeperAction::StartStandby => self.start_standby(),
            KeeperAction::Release(pid) => {
                // A process that has ended meanwhile counts as a crash of the edge.
                let _ = self.release.take().map(|release| unistd::write(release, RELEASE));
                tracing::info!("the edge runs in process {pid}, which stood by");
                self.handle(KeeperEvent::Started(pid))
            }
            KeeperAction::StandbyLost(exit) => {
                self.release = None;
                tracing::warn!("the standby process {exit}: another one starts in {STANDBY_PAUSE:?}");
                None
            }
            KeeperAction::Forward(pid, signal) => {
                // It may have ended.
                let _ = kill(pid, signal);
                None
            }
            KeeperAction::Pause(EdgeCrash { exit, pause, count }) => {
                let next = match pause {
                    Duration::ZERO => "the standby process takes over".to_owned(),
                    pause => format!("a new process starts in {pause:?}"),
                };
                tracing::error!("the edge {exit} (crash {count}): {next}");
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

    /// Starts the standby process.
    fn start_standby(&mut self) -> Option<u8> {
        match self.program.start_standby() {
            Ok((pid, release)) => {
                tracing::info!("process {pid} stands by to take over after a crash");
                self.release = Some(release);
                self.handle(KeeperEvent::StandbyStarted(pid))
            }
            Err(error) => {
                tracing::warn!("the standby process cannot be started: {error}");
                self.handle(KeeperEvent::StandbyFailed)
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
