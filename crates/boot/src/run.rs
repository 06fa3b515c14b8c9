//! `trunkgate run`, the edge as a process: start, the `ready` line on stdout, signals, shutdown.

use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal as Signals;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::edge::RunningEdge;
use crate::standby;
use crate::succession::Predecessor;
use crate::takeover::{self, TakeoverSocket};
use crate::upgrade::{self, Successor, SuccessorCommand, SuccessorIntake, installed_program};
use trunkgate_config::{self as config, Config, Diagnostic, HttpSettings};
use trunkgate_runtime::handle::{EdgeHandle, EdgePhase};
use trunkgate_runtime::handover::HandoverLink;
use trunkgate_runtime::speech;
use trunkgate_system::limits;
use trunkgate_system::log;
use trunkgate_system::notify::SystemdNotifier;
use trunkgate_system::terminal;

/// Exit code for a bad configuration or command line.
pub const USAGE: u8 = 2;
/// Interval at which freed memory is returned to the system; longer than the 1 s for which the allocator keeps freed
/// pages.
const GIVE_BACK_INTERVAL: Duration = Duration::from_secs(2);
/// Maximum time before a hand-over in which outstanding responses and ACKs are awaited; the first retransmission
/// follows after half of it.
const SETTLE_WITHIN: Duration = Duration::from_secs(1);
/// Size of a memory block for which the allocator maps separate pages, in bytes.
const MANY_PAGES: usize = 4 << 20;
/// Value of `--take-over` that stands for standard input.
const STDIN: &str = "-";

/// Options by which a starting process takes over from a running edge, or continues the calls of one that has crashed.
#[derive(Debug, Default)]
pub struct TakeoverOptions {
    /// Whether standard input is the connection to the running edge, which has started this process.
    is_from_stdin: bool,
    /// Socket of the running edge; after the take-over this process serves it.
    socket: Option<PathBuf>,
    /// Whether this process waits until the keeper releases it after a crash of the edge.
    is_standby: bool,
}

impl TakeoverOptions {
    /// Reads the values of `--take-over`, a path or `-` for standard input, and `--standby`.
    pub fn from_arguments(given: Vec<PathBuf>, is_standby: bool) -> TakeoverOptions {
        let mut options = TakeoverOptions { is_standby, ..TakeoverOptions::default() };
        for one in given {
            if one == Path::new(STDIN) { options.is_from_stdin = true } else { options.socket = Some(one) }
        }
        options
    }

    /// Connects to the running edge; `None` if there is none.
    ///
    /// # Errors
    /// Returns the complete error message for the user.
    fn connect(&self) -> Result<Option<HandoverLink>, String> {
        if self.is_from_stdin {
            return connection().map(Some).map_err(|error| {
                format!(
                    "error: standard input is not a connection to a running edge: {error}\n   \
                     = help: `trunkgate upgrade` starts this command"
                )
            });
        }
        let Some(path) = &self.socket else { return Ok(None) };
        takeover::connect(path)
            .map_err(|error| format!("error: --take-over {} cannot be used: {error}", path.display()))
    }
}

/// Runs the edge until a signal ends it or another process takes over; `drain` is the maximum time for which active
/// calls may continue after a signal.
pub fn run(given: Option<&Path>, drain: Duration, takes_over: &TakeoverOptions) -> ExitCode {
    // A program that is started through a link of /proc, after a crash or a failed upgrade, has the name of that link.
    let _ = nix::sys::prctl::set_name(c"trunkgate");
    if takes_over.is_standby && !standby::wait(given) {
        return ExitCode::SUCCESS;
    }
    let Some((mut config, found)) = load_by(given, false) else { return ExitCode::from(USAGE) };
    let predecessor = match takes_over.connect() {
        Ok(predecessor) => predecessor,
        Err(error) => return refuse(&error),
    };
    let warnings = (found.len(), config::in_lines(&config.path, &found));
    let is_text = log::init(&config.log);
    warn(&config.path, &found, is_text);
    if config.data.has_standby && !standby::has_keeper() {
        tracing::warn!("`standby = true` in [edge] has no effect: start the edge by `trunkgate keeper -- run`");
    }
    speech::speak(&mut config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(serve(config, warnings, (drain, takes_over), predecessor));
            // A reload may be running.
            speech::stop();
            runtime.shutdown_timeout(Duration::from_secs(limits::FAREWELL_SECONDS));
            code
        }
        Err(error) => {
            terminal::print_error(&format!("error[TG0203]: the main loop cannot be started: {error}"));
            ExitCode::from(USAGE)
        }
    };
    log::flush();
    code
}

/// Reports configuration warnings: with source lines on a terminal, one log line each if the log is in JSON.
fn warn(path: &Path, found: &[Diagnostic], is_text: bool) {
    if found.is_empty() {
        return;
    }
    let source = config::text(path).unwrap_or_default();
    if is_text {
        terminal::print_error(&config::render(path, &source, found));
        return;
    }
    for one in found {
        tracing::warn!("{}", config::in_line(path, &source, one));
    }
}

/// Loads the configuration and prints its errors, and its warnings if `warn` is set. Returns the configuration with the
/// number of warnings; `None` on an error.
pub fn load(given: Option<&Path>, warn: bool) -> Option<(Config, usize)> {
    load_by(given, warn).map(|(config, warnings)| (config, warnings.len()))
}

/// Configuration as far as it can be read, for commands that only inspect it.
pub struct InspectedConfig {
    /// The configuration; the defaults if the file cannot be read at all.
    pub config: Config,
    /// All errors and warnings found.
    pub found: Vec<Diagnostic>,
    /// Whether the file could not be read at all.
    pub is_unread: bool,
}

/// Reads the configuration for a command that only inspects it: a secret, a file or the whole configuration that cannot
/// be read is reported and tolerated. Returns `None`, after an error message, if `needs_file` is set and no
/// configuration file is named or found.
pub fn load_to_look(given: Option<&Path>, needs_file: bool) -> Option<InspectedConfig> {
    let path = match config::find(given) {
        Some(path) => path,
        None if needs_file => {
            no_config();
            return None;
        }
        None => "trunkgate.toml".into(),
    };
    let (config, found, is_unread) = match config::load_to_look(&path) {
        Ok((config, found)) => (config, found, false),
        Err(found) => (config::unread(&path), found, true),
    };
    if !found.is_empty() {
        terminal::print_error(&config::render(&path, &config::text(&path).unwrap_or_default(), &found));
    }
    Some(InspectedConfig { config, found, is_unread })
}

fn load_by(given: Option<&Path>, warn: bool) -> Option<(Config, Vec<Diagnostic>)> {
    let Some(path) = config::find(given) else {
        no_config();
        return None;
    };
    let source = || config::text(&path).unwrap_or_default();
    match config::load(&path) {
        Ok((config, found)) => {
            if warn && !found.is_empty() {
                terminal::print_error(&config::render(&path, &source(), &found));
            }
            Some((config, found))
        }
        Err(diagnostics) => {
            terminal::print_error(&config::render(&path, &source(), &diagnostics));
            None
        }
    }
}

/// Reads only `[http]` of the configuration; without a file, the default address applies. Also returns a warning of one
/// line if there is no file, if another part of it has an error, or if its token cannot be read although another one is
/// given (`has_token`). Returns `None`, after an error message, if `[http]` cannot be used.
pub fn load_http(given: Option<&Path>, has_token: bool) -> Option<(HttpSettings, Option<String>)> {
    let Some(path) = config::find(given) else {
        let http = config::unread(Path::new("trunkgate.toml")).http;
        let note = format!(
            "note: no configuration file at $TRUNKGATE_CONFIG, ./trunkgate.toml, /etc/trunkgate/trunkgate.toml: asking the default \
             address {} (--config names a file, --url an edge)",
            http.address
        );
        return Some((http, Some(note)));
    };
    let source = || config::text(&path).unwrap_or_default();
    match config::load_http(&path, has_token) {
        Ok((http, wrong)) => {
            let brief = (!wrong.is_empty()).then(|| config::brief(&path, &source(), &wrong));
            let warning = brief.map(|brief| format!("warning{brief}; [http] is used nevertheless (trunkgate check)"));
            Some((http, warning))
        }
        // A running edge may have started with this file before it was removed.
        Err(wrong) if !path.exists() => {
            let brief = config::brief(&path, "", &wrong);
            Some((config::unread(&path).http, Some(format!("warning{brief}; the default address is used instead"))))
        }
        Err(wrong) => {
            terminal::print_error(&config::render(&path, &source(), &wrong));
            None
        }
    }
}

/// Prints the error that no configuration file is named or found, and returns the exit code.
pub fn no_config() -> ExitCode {
    refuse(
        "error[TG0101]: no configuration file: no --config, no $TRUNKGATE_CONFIG, and neither ./trunkgate.toml nor \
         /etc/trunkgate/trunkgate.toml exists\n   \
         = help: `trunkgate init` writes one; for verbs that connect to a running edge use --url",
    )
}

/// Prints an error of the command line and returns its exit code.
pub fn refuse(error: &str) -> ExitCode {
    terminal::print_error(error);
    ExitCode::from(USAGE)
}

/// Returns the connection on standard input to the running edge that has started this process.
fn connection() -> io::Result<HandoverLink> {
    HandoverLink::received(io::stdin().as_fd().try_clone_to_owned()?)
}

/// Starts an edge, with the calls of the predecessor process if there is one.
fn start(config: Config, predecessor: Option<HandoverLink>) -> Result<RunningEdge, String> {
    let Some(link) = predecessor else { return RunningEdge::start(config).map_err(|error| error.to_string()) };
    let predecessor = Predecessor::ready(link, &config)
        .map_err(|error| format!("error: the take-over failed, and the running edge keeps its calls: {error}"))?;
    RunningEdge::start_after(config, predecessor).map_err(|error| error.to_string())
}

async fn serve(
    config: Config,
    warnings: (usize, Vec<String>),
    (drain, takes_over): (Duration, &TakeoverOptions),
    predecessor: Option<HandoverLink>,
) -> ExitCode {
    let started = ProcessSignals::new()
        .map_err(|error| format!("error[TG0203]: signals cannot be received: {error}"))
        .and_then(|signals| start(config, predecessor).map(|edge| (signals, edge)));
    let (mut signals, mut edge) = match started {
        Ok(started) => started,
        Err(error) => {
            log::flush();
            terminal::print_error(&error);
            return ExitCode::from(USAGE);
        }
    };
    let handle = edge.handle();
    handle.shared.running(|running| (running.warnings, running.warned) = warnings);
    say_ready(&edge);
    let told = Arc::new(SystemdLink {
        notify: SystemdNotifier::from_environment(),
        status: format!("taking calls: {}", edge.addresses()),
    });
    told.notify.ready(&told.status);
    let giving_back = tokio::spawn(give_back());
    if edge.was_draining() {
        // If the loop has ended, `obey` reports it.
        let _ = handle.drain(true).await;
    }
    let program = installed_program().unwrap_or_else(|error| {
        tracing::warn!("the installed program is not found, `trunkgate upgrade` will fail: {error}");
        PathBuf::new()
    });
    let (config, places) = (handle.config_path(), edge.places().clone());
    let is_successor = takes_over.is_from_stdin;
    let command = SuccessorCommand { config, drain, places, program, socket: takes_over.socket.clone(), is_successor };
    let mut successors =
        SuccessorIntake { requests: edge.take_upgrades(), socket: takes_over.socket.as_deref().and_then(serve_socket) };
    let end = tokio::select! {
        end = signals.obey(&handle, &told, (&command, &mut successors)) => end,
        () = keep_alive(&told.notify, &handle) => ProcessEnd::Exit(ExitCode::FAILURE),
    };
    // All threads are joined here; the main thread has no other task.
    match end {
        ProcessEnd::Exit(code) => {
            edge.shutdown();
            code
        }
        ProcessEnd::Replaced { successor, is_ending } => {
            giving_back.abort();
            let runs = replace(edge, *successor, &command, &told.notify);
            // Processes that still wait at the socket start again.
            drop(successors);
            match runs {
                Some(EdgeProcess::Child(pid)) if told.notify.main_process(pid) || is_successor => ExitCode::SUCCESS,
                Some(EdgeProcess::Child(pid)) => signals.follow(pid).await,
                Some(EdgeProcess::Elsewhere) if is_ending => ExitCode::SUCCESS,
                Some(EdgeProcess::Elsewhere) => signals.stay().await,
                None => ExitCode::FAILURE,
            }
        }
    }
}

/// Binds the socket at which other processes can take over; `None`, after an error in the log, if that fails.
fn serve_socket(path: &Path) -> Option<TakeoverSocket> {
    let bound = TakeoverSocket::bind(path);
    bound
        .inspect_err(|error| tracing::error!("{}: no process can take over from this one: {error}", path.display()))
        .ok()
}

/// Process that runs the edge after a hand-over.
#[derive(Debug)]
enum EdgeProcess {
    /// Child of this process, with its id.
    Child(u32),
    /// Process that this process did not start.
    Elsewhere,
}

/// Hands the calls over to the successor. If it fails before it has them, this process starts its own executable again
/// and hands them over to that. Returns the process that runs the edge now; `None` if the calls are lost.
fn replace(
    mut edge: RunningEdge,
    mut successor: Successor,
    command: &SuccessorCommand,
    notify: &SystemdNotifier,
) -> Option<EdgeProcess> {
    let began = Instant::now();
    upgrade::adopt_orphans();
    // The watchdog of a service manager waits during a hand-over.
    notify.alive();
    let mut handed = edge.hand_over(&mut successor.link);
    if let Err(error) = &handed {
        tracing::error!("{} has not taken over: {error}; starting this version again", successor.name());
        successor.end();
        notify.alive();
        successor = command
            .start_own()
            .inspect_err(|why| tracing::error!("all calls are lost: this version cannot be started again: {why}"))
            .ok()?;
        handed = edge.hand_over(&mut successor.link);
    }
    match handed {
        // Whether a process that was started elsewhere still runs shows only in its last confirmation.
        Ok(handed) if successor.is_running() && (handed.is_complete || successor.pid().is_some()) => {
            let calls = handed.calls;
            tracing::info!("calls handed over to {}: {calls}, in {:?}", successor.name(), began.elapsed());
            Some(successor.pid().map_or(EdgeProcess::Elsewhere, EdgeProcess::Child))
        }
        Ok(_) => {
            tracing::error!("all calls are lost: {} has ended after it had taken over", successor.name());
            None
        }
        Err(error) => {
            tracing::error!("all calls are lost: {} has not taken over: {error}", successor.name());
            successor.end();
            None
        }
    }
}

/// Prints the `ready` line, the only one on stdout.
fn say_ready(edge: &RunningEdge) {
    let mut stdout = io::stdout();
    // A closed stdout is not a reason to stop.
    let _ = writeln!(stdout, "ready {}", edge.addresses());
    let _ = stdout.flush();
    tracing::info!("taking calls: {}", edge.addresses());
}

/// Regularly returns freed memory (of start-up, calls, large messages) to the system; the future never completes. The
/// allocator releases pages that have been free for a second only when a large block is freed, which an idle edge never
/// does.
async fn give_back() {
    loop {
        tokio::time::sleep(GIVE_BACK_INTERVAL).await;
        drop(std::hint::black_box(Vec::<u8>::with_capacity(MANY_PAGES)));
    }
}

/// Sends watchdog notifications to the service manager as long as all loops respond; the future never completes.
async fn keep_alive(notify: &SystemdNotifier, handle: &EdgeHandle) {
    let Some(interval) = notify.interval() else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match handle.pulse().await {
            Ok(()) => notify.alive(),
            Err(stuck) => tracing::error!("{stuck}: the watchdog restarts the edge unless it recovers"),
        }
    }
}

/// Connection to the service manager, and its status text while the edge accepts calls.
struct SystemdLink {
    notify: SystemdNotifier,
    status: String,
}

/// Reloads the configuration and notifies the service manager of the beginning and the end. Errors are in the log.
async fn reload(handle: EdgeHandle, told: Arc<SystemdLink>) {
    told.notify.reloading();
    match handle.reload().await {
        Ok(_) => told.notify.ready(&told.status),
        Err(_) => told.notify.ready("the last reload failed: see `trunkgate status`"),
    }
}

struct ProcessSignals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// Action requested by a signal.
enum SignalAction {
    Reload,
    End,
}

/// Way in which the process stops running the edge.
enum ProcessEnd {
    Exit(ExitCode),
    /// Another process takes over; `is_ending` is true if this one had received SIGTERM or SIGINT before.
    Replaced {
        successor: Box<Successor>,
        is_ending: bool,
    },
}

impl ProcessSignals {
    fn new() -> io::Result<ProcessSignals> {
        Ok(ProcessSignals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> SignalAction {
        tokio::select! {
            _ = self.hangup.recv() => SignalAction::Reload,
            _ = self.terminate.recv() => SignalAction::End,
            _ = self.interrupt.recv() => SignalAction::End,
        }
    }

    /// Waits for SIGTERM or SIGINT. Each SIGHUP until then starts a reload in the background; its errors are in the
    /// log.
    async fn end(&mut self, handle: &EdgeHandle, told: &Arc<SystemdLink>) {
        while let SignalAction::Reload = self.next().await {
            tokio::spawn(reload(handle.clone(), Arc::clone(told)));
        }
    }

    /// Runs until SIGTERM or SIGINT, then drains; a second one ends all calls. Returns earlier if a successor is ready
    /// to take over, or if the signalling loop has ended.
    async fn obey(
        &mut self,
        handle: &EdgeHandle,
        told: &Arc<SystemdLink>,
        (command, successors): (&SuccessorCommand, &mut SuccessorIntake),
    ) -> ProcessEnd {
        let ready = tokio::select! {
            () = self.end(handle, told) => None,
            successor = successors.next(command, handle) => Some(successor),
            () = handle.gone() => {
                tracing::error!("the signalling loop has ended: the process stops");
                return ProcessEnd::Exit(ExitCode::FAILURE);
            }
        };
        // A later request is refused at once.
        successors.requests = None;
        let is_ending = ready.is_none();
        let successor = match ready {
            Some(successor) => successor,
            None => match self.end_by_signal(handle, told, (command, successors)).await {
                Ok(code) => return ProcessEnd::Exit(code),
                Err(successor) => *successor,
            },
        };
        // If the loop has ended, the hand-over reports it.
        let _ = handle.settle_calls(SETTLE_WITHIN).await;
        ProcessEnd::Replaced { successor: Box::new(successor), is_ending }
    }

    /// Waits for SIGTERM or SIGINT after another process has taken over. If this process exited at once, a container
    /// runtime would restart it, and it would take the calls back.
    async fn stay(&mut self) -> ExitCode {
        speech::stop();
        tracing::info!("another process runs the edge; this one waits for SIGTERM");
        while let SignalAction::Reload = self.next().await {}
        ExitCode::SUCCESS
    }

    /// Without a service manager, remains as the parent of the processes that take over: passes signals on, and returns
    /// the exit code of the last process.
    async fn follow(&mut self, pid: u32) -> ExitCode {
        speech::stop();
        let mut ended = tokio::task::spawn_blocking(upgrade::wait_for_children);
        loop {
            let signal = tokio::select! {
                code = &mut ended => return code.unwrap_or(ExitCode::FAILURE),
                _ = self.hangup.recv() => Signals::HUP,
                _ = self.terminate.recv() => Signals::TERM,
                _ = self.interrupt.recv() => Signals::INT,
            };
            upgrade::send_to_all(pid, signal);
        }
    }

    /// Drains after a signal; a second one ends all calls. Returns the successor as `Err` if another process is ready
    /// to take over before the end.
    async fn end_by_signal(
        &mut self,
        handle: &EdgeHandle,
        told: &Arc<SystemdLink>,
        (command, successors): (&SuccessorCommand, &mut SuccessorIntake),
    ) -> Result<ExitCode, Box<Successor>> {
        let (live, drain) = (handle.live_calls(), command.drain);
        let was_draining = *handle.shared.phase.borrow() == EdgePhase::Draining;
        let farewell = Duration::from_secs(limits::FAREWELL_SECONDS);
        // Limits for the last BYEs and for the runtime, and time for the last telemetry.
        let last = farewell * 3 + Duration::from_secs(limits::OTEL_LAST_SECONDS);
        told.notify.stopping(&format!("draining, live calls: {live}"), drain + last);
        tracing::info!("draining for at most {drain:?}, live calls: {live}");
        if handle.drain(true).await.is_err() {
            return Ok(ExitCode::FAILURE);
        }
        tokio::select! {
            _ = handle.no_calls() => {}
            successor = successors.next(command, handle) => {
                // The successor accepts calls unless an operator had drained this process.
                let _ = handle.drain(was_draining).await;
                return Err(Box::new(successor));
            }
            () = self.end(handle, told) => end_all(handle).await,
            () = tokio::time::sleep(drain) => end_all(handle).await,
        }
        let _ = handle.unregister().await;
        // Retransmissions of a lost BYE need this time.
        let _ = tokio::time::timeout(farewell, handle.nothing_held()).await;
        Ok(ExitCode::SUCCESS)
    }
}

async fn end_all(handle: &EdgeHandle) {
    tracing::warn!("the drain time is over, or a second signal arrived: all live calls end: {}", handle.live_calls());
    let _ = handle.end_all().await;
}
