//! Decisions of the keeper, without access to the system: which process is the edge, when it is restarted, and when the
//! keeper ends.

use std::fmt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::run::USAGE;

/// Pause before a restart after the first crash, and after a crash that did not follow soon after a start.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Pause before the start of another standby process after one has ended by itself.
pub(super) const STANDBY_PAUSE: Duration = Duration::from_secs(30);
/// Maximum pause before a restart.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Time after a start within which a further crash doubles the pause.
const SOON: Duration = Duration::from_secs(10);
/// Exit code of an edge that ended as requested.
const SUCCESS: u8 = 0;
/// Exit code of an edge that cannot be started.
const FAILURE: u8 = 1;
/// Offset of the exit codes that stand for a signal, as in a shell.
const BY_SIGNAL: u8 = 128;

/// Way in which an edge process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EdgeExit {
    /// It has exited with this code.
    Code(u8),
    /// A signal has killed it.
    Killed(Signal),
    /// The system could not start it.
    NotStarted,
}

impl EdgeExit {
    /// Returns the exit code of a keeper that ends because of it.
    fn code(self) -> u8 {
        match self {
            EdgeExit::Code(code) => code,
            EdgeExit::Killed(signal) => u8::try_from(signal as i32).map_or(FAILURE, |number| BY_SIGNAL + number),
            EdgeExit::NotStarted => FAILURE,
        }
    }
}

impl fmt::Display for EdgeExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EdgeExit::Code(code) => write!(f, "exited with code {code}"),
            EdgeExit::Killed(signal) => write!(f, "was killed by {signal}"),
            EdgeExit::NotStarted => f.write_str("could not be started"),
        }
    }
}

/// Event that the keeper processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeeperEvent {
    /// An edge was started as this process.
    Started(Pid),
    /// The edge could not be started.
    StartFailed,
    /// The edge accepts calls.
    Ready,
    /// The edge has announced this process as its successor.
    Announced(Pid),
    /// A standby process was started as this process.
    StandbyStarted(Pid),
    /// The standby process could not be started.
    StandbyFailed,
    /// A child process has ended: the edge, the standby process, or an orphaned process.
    Ended(Pid, EdgeExit),
    /// The keeper has received a signal.
    Signalled(Signal),
    /// Time has passed; the time returned by [`KeeperState::wakes_at`] may have come.
    Woken,
}

/// Action that the keeper must perform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeeperAction {
    /// Start the edge.
    Start,
    /// Start a standby process.
    StartStandby,
    /// Release this standby process, which becomes the edge.
    Release(Pid),
    /// Log the end of the standby process.
    StandbyLost(EdgeExit),
    /// Send the signal to the edge.
    Forward(Pid, Signal),
    /// Log a crash; the next start, or the release of the standby process, follows after the pause.
    Pause(EdgeCrash),
    /// End the keeper with this code.
    Exit(u8),
}

/// Crash of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EdgeCrash {
    /// Way in which the process ended.
    pub(super) exit: EdgeExit,
    /// Pause before the next start; zero if the standby process takes over at once.
    pub(super) pause: Duration,
    /// Number of crashes since the start of the keeper, this one included.
    pub(super) count: u64,
}

/// State of the edge that the keeper runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeptEdge {
    /// It is being started.
    Starting,
    /// It has been running since this time, or since it took over from its predecessor.
    Running(Pid, Instant),
    /// It has crashed and is restarted at this time.
    Paused(Instant),
}

/// State of the standby process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StandbyState {
    /// There is none, and the edge does not accept calls yet, or the configuration asks for none.
    Absent,
    /// It is started at this time.
    Due(Instant),
    /// This process waits.
    Waiting(Pid),
}

/// State of the keeper and its edge.
#[derive(Debug)]
pub(super) struct KeeperState {
    edge: KeptEdge,
    standby: StandbyState,
    /// Whether the configuration asks for a standby process.
    has_standby: bool,
    /// Pause before the latest restart.
    pause: Duration,
    /// Number of crashes since the start of the keeper.
    crashes: u64,
    /// First SIGTERM or SIGINT received; from then on the edge is not restarted.
    ending: Option<Signal>,
}

impl KeeperState {
    /// Creates the state of a keeper that starts its first edge; `has_standby` is whether a standby process waits
    /// beside it.
    pub(super) fn new(has_standby: bool) -> KeeperState {
        KeeperState {
            edge: KeptEdge::Starting,
            standby: StandbyState::Absent,
            has_standby,
            pause: Duration::ZERO,
            crashes: 0,
            ending: None,
        }
    }

    /// Returns the process of the edge; `None` if none is running.
    pub(super) fn edge(&self) -> Option<Pid> {
        match self.edge {
            KeptEdge::Running(pid, _) => Some(pid),
            KeptEdge::Starting | KeptEdge::Paused(_) => None,
        }
    }

    /// Returns the time of the next start of the edge or of a standby process; `None` if none is to come.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        match (self.edge, self.standby) {
            (KeptEdge::Paused(until), _) => Some(until),
            (KeptEdge::Running(..), StandbyState::Due(at)) => Some(at),
            (KeptEdge::Starting | KeptEdge::Running(..), _) => None,
        }
    }

    /// Processes an event; returns the action to perform, if any.
    pub(super) fn handle(&mut self, now: Instant, event: KeeperEvent) -> Option<KeeperAction> {
        match event {
            KeeperEvent::Started(pid) => {
                self.edge = KeptEdge::Running(pid, now);
                None
            }
            KeeperEvent::StartFailed => Some(self.edge_ended(now, EdgeExit::NotStarted, now)),
            KeeperEvent::Ready => {
                self.request_standby(now);
                None
            }
            KeeperEvent::StandbyStarted(pid) => {
                self.standby = StandbyState::Waiting(pid);
                None
            }
            KeeperEvent::StandbyFailed => {
                self.standby = StandbyState::Due(now + STANDBY_PAUSE);
                None
            }
            KeeperEvent::Announced(pid) => {
                self.edge = KeptEdge::Running(pid, now);
                // The standby process runs the previous program; the keeper ends it.
                self.standby = StandbyState::Absent;
                self.request_standby(now);
                // The edge before ignores signals after it has handed its calls over.
                self.ending.map(|signal| KeeperAction::Forward(pid, signal))
            }
            KeeperEvent::Ended(pid, exit) => match self.edge {
                KeptEdge::Running(edge, since) if edge == pid => Some(self.edge_ended(now, exit, since)),
                KeptEdge::Starting | KeptEdge::Running(..) | KeptEdge::Paused(_) => self.child_ended(now, pid, exit),
            },
            KeeperEvent::Signalled(signal) => {
                let is_end = matches!(signal, Signal::SIGTERM | Signal::SIGINT);
                self.ending = self.ending.or(is_end.then_some(signal));
                match self.edge {
                    KeptEdge::Running(pid, _) => Some(KeeperAction::Forward(pid, signal)),
                    KeptEdge::Starting | KeptEdge::Paused(_) => is_end.then_some(KeeperAction::Exit(SUCCESS)),
                }
            }
            KeeperEvent::Woken => self.wake(now),
        }
    }

    /// Schedules a standby process unless there is one, or none is wanted.
    fn request_standby(&mut self, now: Instant) {
        if self.has_standby && self.standby == StandbyState::Absent {
            self.standby = StandbyState::Due(now);
        }
    }

    /// Starts what is due at this time.
    fn wake(&mut self, now: Instant) -> Option<KeeperAction> {
        match (self.edge, self.standby) {
            (KeptEdge::Paused(until), standby) if until <= now => {
                self.edge = KeptEdge::Starting;
                self.standby = StandbyState::Absent;
                let StandbyState::Waiting(pid) = standby else { return Some(KeeperAction::Start) };
                Some(KeeperAction::Release(pid))
            }
            (KeptEdge::Running(..), StandbyState::Due(at)) if at <= now && self.ending.is_none() => {
                Some(KeeperAction::StartStandby)
            }
            (KeptEdge::Starting | KeptEdge::Running(..) | KeptEdge::Paused(_), _) => None,
        }
    }

    /// Processes the end of a child process that is not the edge.
    fn child_ended(&mut self, now: Instant, pid: Pid, exit: EdgeExit) -> Option<KeeperAction> {
        if self.standby != StandbyState::Waiting(pid) {
            return None;
        }
        self.standby = StandbyState::Due(now + STANDBY_PAUSE);
        Some(KeeperAction::StandbyLost(exit))
    }

    fn edge_ended(&mut self, now: Instant, exit: EdgeExit, since: Instant) -> KeeperAction {
        let is_crash = match exit {
            EdgeExit::Code(SUCCESS) => false,
            // Configuration or address: after a crash, the address may still be in use for a moment.
            EdgeExit::Code(USAGE) | EdgeExit::NotStarted => self.crashes > 0,
            EdgeExit::Code(_) | EdgeExit::Killed(_) => true,
        };
        if !is_crash || self.ending.is_some() {
            return KeeperAction::Exit(exit.code());
        }
        let is_soon = now.saturating_duration_since(since) < SOON && self.crashes > 0;
        self.pause = match self.standby {
            _ if is_soon => (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
            StandbyState::Waiting(_) => Duration::ZERO,
            StandbyState::Absent | StandbyState::Due(_) => FIRST_PAUSE,
        };
        self.crashes += 1;
        self.edge = KeptEdge::Paused(now + self.pause);
        KeeperAction::Pause(EdgeCrash { exit, pause: self.pause, count: self.crashes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use KeeperAction::{Exit, Forward, Release, StandbyLost, Start, StartStandby};
    use KeeperEvent::{Announced, Ended, Ready, Signalled, StandbyFailed, StandbyStarted, StartFailed, Started, Woken};

    const KILLED: EdgeExit = EdgeExit::Killed(Signal::SIGKILL);
    const BUSY: EdgeExit = EdgeExit::Code(USAGE);
    const PANIC: EdgeExit = EdgeExit::Code(101);

    /// Plays events at times in milliseconds, and compares the action after each of them.
    fn play(name: &str, script: &[(u64, KeeperEvent, Option<KeeperAction>)]) {
        play_in(KeeperState::new(false), name, script);
    }

    fn play_in(mut state: KeeperState, name: &str, script: &[(u64, KeeperEvent, Option<KeeperAction>)]) {
        let start = Instant::now();
        for (step, (at, event, wanted)) in script.iter().enumerate() {
            let found = state.handle(start + Duration::from_millis(*at), *event);
            assert_eq!(found, *wanted, "{name}, step {step}: {event:?}");
        }
    }

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number)
    }

    fn crash(exit: EdgeExit, pause: u64, count: u64) -> Option<KeeperAction> {
        Some(KeeperAction::Pause(EdgeCrash { exit, pause: Duration::from_millis(pause), count }))
    }

    #[test]
    fn an_exit_that_is_no_crash_ends_the_keeper_with_its_code() {
        for (exit, code) in [(EdgeExit::Code(0), 0), (BUSY, 2)] {
            play("at once", &[(0, Started(pid(7)), None), (9, Ended(pid(7), exit), Some(Exit(code)))]);
        }
        play("no process", &[(0, StartFailed, Some(Exit(1)))]);
        let stopped = [
            (0, Started(pid(7)), None),
            (10, Ended(pid(7), KILLED), crash(KILLED, 50, 1)),
            (60, Woken, Some(Start)),
            (61, Started(pid(8)), None),
            (70, Ended(pid(8), EdgeExit::Code(0)), Some(Exit(0))),
        ];
        play("after a crash", &stopped);
    }

    #[test]
    fn crashes_soon_after_a_start_double_the_pause() {
        for exit in [KILLED, PANIC, EdgeExit::Code(1), EdgeExit::Killed(Signal::SIGABRT)] {
            let script = [
                (0, Started(pid(1)), None),
                (5_000, Ended(pid(1), exit), crash(exit, 50, 1)),
                (5_049, Woken, None),
                (5_050, Woken, Some(Start)),
                (5_051, Started(pid(2)), None),
                (15_050, Ended(pid(2), exit), crash(exit, 100, 2)),
                (15_150, Woken, Some(Start)),
                (15_150, StartFailed, crash(EdgeExit::NotStarted, 200, 3)),
                (15_350, Woken, Some(Start)),
                (15_350, Started(pid(3)), None),
                (25_350, Ended(pid(3), exit), crash(exit, 50, 4)),
            ];
            play("pauses", &script);
        }
        let (mut state, mut now, mut pauses) = (KeeperState::new(false), Instant::now(), Vec::new());
        for _ in 0..9 {
            state.handle(now, Started(pid(1)));
            assert!(matches!(state.handle(now, Ended(pid(1), BUSY)), Some(Exit(_))) == pauses.is_empty());
            state.handle(now, Ended(pid(1), KILLED));
            now = state.wakes_at().unwrap();
            pauses.push(state.pause.as_millis());
            state.handle(now, Woken);
        }
        assert_eq!((pauses[0], pauses.last()), (50, Some(&5_000)), "{pauses:?}");
    }

    #[test]
    fn an_address_in_use_is_tried_again_after_a_crash() {
        let script = [
            (0, Started(pid(1)), None),
            (1, Ended(pid(1), KILLED), crash(KILLED, 50, 1)),
            (51, Woken, Some(Start)),
            (51, Started(pid(2)), None),
            (52, Ended(pid(2), BUSY), crash(BUSY, 100, 2)),
        ];
        play("address in use", &script);
    }

    #[test]
    fn signals_reach_the_edge_and_end_a_pause() {
        let forwarded = |signal| Some(Forward(pid(1), signal));
        let mut script = vec![(0, Started(pid(1)), None)];
        for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM, Signal::SIGTERM] {
            script.push((1, Signalled(signal), forwarded(signal)));
        }
        script.push((2, Ended(pid(1), KILLED), Some(Exit(137))));
        play("killed while it drains", &script);
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let script = [
                (0, Started(pid(1)), None),
                (1, Ended(pid(1), PANIC), crash(PANIC, 50, 1)),
                (2, Signalled(Signal::SIGHUP), None),
                (3, Signalled(signal), Some(Exit(0))),
            ];
            play("during a pause", &script);
        }
    }

    #[test]
    fn a_standby_process_takes_over_at_once() {
        let script = [
            (0, Started(pid(1)), None),
            (1, Woken, None),
            (2, Ready, None),
            (2, Woken, Some(StartStandby)),
            (3, StandbyStarted(pid(2)), None),
            (4, Ready, None),
            (4, Woken, None),
            (20_000, Ended(pid(1), KILLED), crash(KILLED, 0, 1)),
            (20_000, Woken, Some(Release(pid(2)))),
            (20_000, Started(pid(2)), None),
            (20_001, Woken, None),
            (20_050, Ready, None),
            (20_050, Woken, Some(StartStandby)),
            (20_051, StandbyStarted(pid(3)), None),
            (21_000, Ended(pid(2), PANIC), crash(PANIC, 50, 2)),
            (21_049, Woken, None),
            (21_050, Woken, Some(Release(pid(3)))),
            (21_050, Started(pid(3)), None),
            // It has crashed before it accepted calls.
            (21_060, Ended(pid(3), PANIC), crash(PANIC, 100, 3)),
            (21_160, Woken, Some(Start)),
        ];
        play_in(KeeperState::new(true), "crashes", &script);
    }

    #[test]
    fn a_standby_process_is_replaced() {
        let script = [
            (0, Started(pid(1)), None),
            (1, Ready, None),
            (1, Woken, Some(StartStandby)),
            (1, StandbyFailed, None),
            (30_000, Woken, None),
            (30_001, Woken, Some(StartStandby)),
            (30_002, StandbyStarted(pid(2)), None),
            (40_000, Ended(pid(2), KILLED), Some(StandbyLost(KILLED))),
            (69_999, Woken, None),
            (70_000, Woken, Some(StartStandby)),
            (70_001, StandbyStarted(pid(3)), None),
            (80_000, Announced(pid(9)), None),
            (80_000, Woken, Some(StartStandby)),
            (80_001, StandbyStarted(pid(4)), None),
            (80_002, Ended(pid(3), EdgeExit::Code(0)), None),
            (80_003, Ended(pid(1), EdgeExit::Code(0)), None),
            (90_001, Ended(pid(9), KILLED), crash(KILLED, 0, 1)),
            (90_001, Woken, Some(Release(pid(4)))),
        ];
        play_in(KeeperState::new(true), "replaced", &script);
        let script = [
            (0, Started(pid(1)), None),
            (1, Signalled(Signal::SIGTERM), Some(Forward(pid(1), Signal::SIGTERM))),
            (2, Ready, None),
            (2, Woken, None),
            (3, Ended(pid(1), EdgeExit::Code(0)), Some(Exit(0))),
        ];
        play_in(KeeperState::new(true), "no standby while the edge drains", &script);
    }

    #[test]
    fn a_successor_is_the_edge() {
        let script = [
            (0, Started(pid(1)), None),
            (1, Ended(pid(99), KILLED), None),
            (2, Announced(pid(2)), None),
            (3, Ended(pid(1), EdgeExit::Code(0)), None),
            (4, Signalled(Signal::SIGHUP), Some(Forward(pid(2), Signal::SIGHUP))),
            (5, Ended(pid(2), KILLED), crash(KILLED, 50, 1)),
        ];
        play("crash", &script);
        let script = [
            (0, Started(pid(1)), None),
            (1, Signalled(Signal::SIGINT), Some(Forward(pid(1), Signal::SIGINT))),
            (2, Announced(pid(2)), Some(Forward(pid(2), Signal::SIGINT))),
            (3, Ended(pid(1), EdgeExit::Code(0)), None),
            (4, Ended(pid(2), EdgeExit::Code(0)), Some(Exit(0))),
        ];
        play("signal during an upgrade", &script);
    }
}
