//! Handle to a running edge: queries and changes of the gateway, executed by the signalling loop between its turns, and
//! the state shared by all threads.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use trunkgate_call::redact;
use trunkgate_call::trace::{TraceItem, TraceView};
use trunkgate_call::view::{KeptView, QualityView, StatusView};
use trunkgate_call::{
    CallAction, CallControl, CallView, Capture, EdgeEvent, EdgeEventKind, Gateway, GatewayControl, GatewayInput,
    Interfaces, OperatorCommand, RequestRefusal, conferences_live, queues_counted,
};
use trunkgate_media::WorkerCounters;
use trunkgate_media::counters::Counter;
use trunkgate_route::RoutingTable;

use crate::acme_report::AcmeReport;
use crate::api_log::ApiLog;
use crate::call_state::report::StateFigures;
use crate::conferences::{CrossingMix, MixerHandle};
use crate::handover::{HandedCalls, UpgradeRequest};
use crate::history::{EdgeHistory, GatewayCounts};
use crate::http_logins::HttpLogins;
use crate::lost_agents::LostAgents;
use crate::message_log::MessageLog;
use crate::own_sockets::OwnSockets;
use crate::proxy_refusals::ProxyRefusals;
use crate::settings::BoundListener;
use crate::settings::FileStamp;
use crate::settings::ResolvedServers;
use crate::stale_names::StaleNames;
use crate::transport::{SocketCounters, TlsSettings};
use crate::worker::{CrossingSession, Workers};
use trunkgate_config::{Config, NumberOverrides, OverrideReport};
use trunkgate_delivery::sinks::alerts::{Alert, AlertSender};
use trunkgate_delivery::sinks::callbacks::CallbackFigures;
use trunkgate_delivery::sinks::calls::CallList;
use trunkgate_delivery::sinks::events::EventChannel;
use trunkgate_delivery::sinks::hep;
use trunkgate_delivery::sinks::otel;
use trunkgate_delivery::sinks::recordings::{RecordingFigures, RecordingsHandle};
pub use trunkgate_delivery::sinks::records::{Figures, ReportOrder};
pub use trunkgate_delivery::sinks::sms::{SmsCounters, SmsOrder};
use trunkgate_delivery::sinks::store::Store;
use trunkgate_delivery::webhooks::figures::WebhookFigures;
use trunkgate_system::clock;
use trunkgate_system::limits;
use trunkgate_system::problem::kind::{ProblemKind, RecordProblem};
use trunkgate_system::problem::{Harm, Problem};
use trunkgate_system::watched::{ProblemStage, ProblemWatch};

/// Interval at which [`EdgeHandle::settle_calls`] checks whether the calls are settled.
const SETTLE_INTERVAL: Duration = Duration::from_millis(10);

/// Query executed by the signalling loop; the closure sends its own result.
pub(crate) type GatewayQuery = Box<dyn FnOnce(&Gateway, Instant) + Send>;

/// Change of the gateway, with the sender for its result.
struct ControlRequest<C: GatewayControl> {
    control: C,
    /// Sender for the result; `None` if the result is not needed.
    answer: Option<oneshot::Sender<C::Answer>>,
}

trait ApplyControl {
    fn apply(self: Box<Self>, gateway: &mut Gateway, now: Instant);
}

impl<C: GatewayControl> ApplyControl for ControlRequest<C> {
    fn apply(self: Box<Self>, gateway: &mut Gateway, now: Instant) {
        let result = self.control.apply(gateway, now);
        let _ = self.answer.map(|answer| answer.send(result));
    }
}

/// Pending change for the signalling loop. Always a [`GatewayControl`], never a closure, so that every change of the
/// gateway is data.
pub struct PendingControl(Box<dyn ApplyControl + Send>);

impl PendingControl {
    /// Makes the change and sends its result.
    pub(crate) fn apply(self, gateway: &mut Gateway, now: Instant) {
        self.0.apply(gateway, now);
    }
}

/// Command to the signalling loop from within the process.
pub enum SignallingCommand {
    /// Run a query.
    Ask(GatewayQuery),
    /// Apply a change to the gateway.
    Change(PendingControl),
    /// Pass an input to the gateway.
    Input(GatewayInput),
    /// Continue media sessions received from the predecessor process, and confirm that the workers have them.
    Adopt(Vec<CrossingSession>, Vec<CrossingMix>, oneshot::Sender<()>),
    /// No more sessions follow from the predecessor process: begin those that did not arrive as new ones.
    AdoptNoMore,
    /// Send the queued messages, hand over all calls and end; the media workers keep relaying.
    HandOver(SyncSender<FrozenCalls>),
    /// Send the queued messages and end.
    Stop,
}

/// Calls of a signalling loop that has ended, with the media workers that still relay their media.
#[derive(Debug)]
pub struct FrozenCalls {
    /// Calls and sessions at the time of the snapshot.
    pub handed: HandedCalls,
    /// Sockets of the SIP connections listed in `handed.connections`, in the same order.
    pub connections: Vec<OwnedFd>,
    /// Media workers, which still own the media sockets.
    pub workers: Workers,
    /// Mixers of conferences, which still have their participants.
    pub mixers: MixerHandle,
}

impl FrozenCalls {
    /// Closes the TLS connections in this process, and wipes their keys.
    pub fn close_tls(&mut self) {
        let handed = std::mem::take(&mut self.handed.connections);
        (self.handed.connections, self.connections) = handed.without_tls(std::mem::take(&mut self.connections));
    }
}

impl SignallingCommand {
    fn change<C: GatewayControl>(control: C, answer: Option<oneshot::Sender<C::Answer>>) -> SignallingCommand {
        SignallingCommand::Change(PendingControl(Box::new(ControlRequest { control, answer })))
    }

    /// Returns the command to add an event to the trace of a call.
    pub fn note(sid: &str, item: TraceItem) -> SignallingCommand {
        SignallingCommand::change(CallControl { sid: sid.to_owned(), action: CallAction::Note(item) }, None)
    }
}

/// Error: the signalling loop has ended, because the edge stops or is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignallingEnded;

impl std::fmt::Display for SignallingEnded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the signalling loop has ended")
    }
}

impl std::error::Error for SignallingEnded {}

/// Phase of the edge's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgePhase {
    /// Sockets are bound, and names are being resolved.
    Starting,
    /// The edge accepts calls.
    Ready,
    /// New calls are rejected with 503.
    Draining,
}

impl EdgePhase {
    /// Returns the name of the phase: `starting`, `ready` or `draining`.
    pub const fn as_str(self) -> &'static str {
        match self {
            EdgePhase::Starting => "starting",
            EdgePhase::Ready => "ready",
            EdgePhase::Draining => "draining",
        }
    }
}

/// Numbers of calls in memory, updated after each turn of the signalling loop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EdgeLoad {
    /// Calls in progress.
    pub(crate) live: usize,
    /// Calls in progress, and ended calls and registrations that wait for a final response.
    pub(crate) held: usize,
    /// True if new calls are rejected because of overload.
    pub overloaded: bool,
}

/// The configuration in force.
#[derive(Debug)]
pub struct RunningConfig {
    /// Latest configuration, with the API's overrides of its phone numbers.
    pub config: Config,
    /// Latest configuration as in the file, without overrides.
    pub written: Config,
    /// API overrides of phone numbers; `None` if the API has not been open since the start.
    pub overrides: Option<NumberOverrides>,
    /// Configuration at the start, still used by listeners, media and HTTP.
    pub boot: Config,
    /// Keys changed in the latest file that require a restart.
    pub restart_needed: Vec<String>,
    /// Reason in one line why the last reload was rejected; `None` if it was accepted.
    pub last_rejected: Option<String>,
    /// Number of warnings of the last load.
    pub warnings: usize,
    /// First warnings, one line each.
    pub warned: Vec<String>,
    /// Time of the last load.
    pub loaded_at: Timestamp,
    /// Resolved addresses of trunks' peers.
    pub names: ResolvedServers,
    /// Routing table with trunks, agents and routes of the configuration, and with the resolved names.
    pub table: Arc<RoutingTable>,
    /// Network interfaces of the machine.
    pub interfaces: Interfaces,
    /// Metadata of the certificate files when they were last read, by which changes are detected.
    pub stamps: Vec<FileStamp>,
    /// Errors of certificate files that could not be read again; their previous contents remain in force.
    pub certificate_faults: Vec<String>,
}

impl RunningConfig {
    /// Returns the configuration with the API overrides of its phone numbers, if its API is open; otherwise unchanged.
    pub(crate) fn in_force(&self, written: &Config) -> Config {
        match self.overrides.as_ref().filter(|_| written.api.auth_token.is_some()) {
            Some(overrides) => written.overridden(overrides),
            None => written.clone(),
        }
    }

    /// Describes the API overrides of each phone number, if the API is open.
    pub fn told_overrides(&self) -> Vec<OverrideReport> {
        match self.overrides.as_ref().filter(|_| self.written.api.auth_token.is_some()) {
            Some(overrides) => self.written.told_overrides(overrides),
            None => Vec::new(),
        }
    }
}

/// Counters of closed and rejected HTTP connections, shown by `/metrics`.
#[derive(Debug, Default)]
pub struct HttpCounters {
    /// Incomplete connections closed in favour of a newer one.
    pub evicted: Counter,
    /// Connections closed at once, because their address has reached its limit or every slot is serving a request.
    pub refused: Counter,
}

/// State shared by all threads.
#[derive(Debug)]
pub struct EdgeState {
    /// Monotonic start time, for durations.
    pub started: Instant,
    /// Start time as a date.
    pub started_at: Timestamp,
    /// SIP listeners.
    pub listeners: Vec<BoundListener>,
    /// Sockets of the edge, to which agents must not be connected.
    pub own: watch::Sender<OwnSockets>,
    /// Phase of the process.
    pub phase: watch::Sender<EdgePhase>,
    /// Configuration that is in force.
    pub running: Mutex<RunningConfig>,
    /// Problems found by the last check, with the time since which each exists.
    pub problems: Mutex<ProblemWatch>,
    /// Successful reloads.
    pub reloads_ok: AtomicU64,
    /// Rejected reloads.
    pub reloads_failed: AtomicU64,
    /// True if the last reload succeeded.
    pub last_reload_ok: AtomicBool,
    /// Lock held during a reload.
    pub reloading: tokio::sync::Mutex<()>,
    /// Slots for reloads waiting for the lock.
    pub reloads_waiting: Arc<Semaphore>,
    /// Slots for reloads that are reading files, including abandoned ones.
    pub reloads_reading: Arc<Semaphore>,
    /// Counters of the SIP sockets.
    pub sockets: Arc<SocketCounters>,
    /// Counters of HTTP connections.
    pub http: Arc<HttpCounters>,
    /// Counters of the media workers.
    pub workers: Vec<Arc<WorkerCounters>>,
    /// Figures of call records.
    pub cdr: Arc<Figures>,
    /// Alerts about problems.
    pub alerts: AlertSender,
    /// Outcomes, retries and queue length of text messages.
    pub sms: Arc<SmsCounters>,
    /// Ended calls in the store.
    pub calls: Arc<CallList>,
    /// Figures of webhooks.
    pub webhooks: WebhookFigures,
    /// Requests to the webhooks of text messages.
    pub message_webhooks: MessageLog,
    /// Requests to the Twilio-compatible API.
    pub api: ApiLog,
    /// Requests rejected by the CONNECT proxy.
    pub proxy_refusals: ProxyRefusals,
    /// HTTP requests with wrong credentials.
    pub logins: HttpLogins,
    /// Figures of callbacks.
    pub callbacks: Arc<CallbackFigures>,
    /// Figures of recordings.
    pub recordings: Arc<RecordingFigures>,
    /// Figures of the state file, from which calls continue after a crash.
    pub call_state: Arc<StateFigures>,
    /// Target of HEP packets; `None` if HEP is off.
    pub hep: watch::Sender<Option<hep::HepTarget>>,
    /// Counters of HEP.
    pub hep_counters: Arc<hep::HepCounters>,
    /// Target of exported OpenTelemetry traces; `None` if the export is off.
    pub otel: watch::Sender<Option<otel::OtelTarget>>,
    /// Counters of OpenTelemetry.
    pub otel_counters: Arc<otel::OtelCounters>,
    /// Turn count of each media worker at the last health check, and the time of its last change.
    pub pulse: Mutex<Vec<(u64, Instant)>>,
    /// Publisher of live events.
    pub events: EventChannel,
    /// Samples for the console's charts.
    pub history: Mutex<EdgeHistory>,
    /// Wakes the task that refreshes the interfaces.
    pub refresh: Notify,
    /// Wakes the name resolution after the configured names have changed.
    pub renamed: Notify,
    /// Names of peers that would not resolve after a restart, because DNS no longer returns their addresses.
    pub stale_names: StaleNames,
    /// Agents to which a call has just lost its connection, to be probed at once.
    pub lost_agents: LostAgents,
    /// State of the certificate of `[tls] acme`.
    pub acme: AcmeReport,
    /// Certificates and trust in force.
    pub tls: watch::Sender<Arc<TlsSettings>>,
    /// Requests to replace the process; without a receiver it cannot be replaced.
    pub upgrades: mpsc::Sender<UpgradeRequest>,
}

impl EdgeState {
    /// Assigns each current problem its start time, logs new, persistent and solved ones, and sends alerts.
    pub fn note_problems(&self, problems: &mut [Problem]) {
        let time = (Instant::now(), clock::now());
        let news = self.problems.lock().unwrap_or_else(PoisonError::into_inner).note(time, problems);
        for one in news {
            let event = match one.stage {
                ProblemStage::Began => Some("problem.began"),
                ProblemStage::Ended => Some("problem.ended"),
                ProblemStage::Persists => None,
            };
            // The receiver cannot be told that it gets nothing.
            let is_of_alerts = one.problem.kind == ProblemKind::Record(RecordProblem::AlertsNotDelivered);
            if let Some(event) = event.filter(|_| !is_of_alerts) {
                self.alert(event, &one.text, Some(one.problem));
            }
            match one.stage {
                ProblemStage::Began | ProblemStage::Persists => tracing::warn!("{}", redact::addresses(one.text)),
                ProblemStage::Ended => tracing::info!("{}", redact::addresses(one.text)),
            }
        }
    }

    /// Enters the phase in which calls are accepted, and sends the alert that the edge has started.
    pub fn begin_service(&self) {
        self.phase.send_replace(EdgePhase::Ready);
        self.alert("edge.started", &format!("started, version {}", env!("CARGO_PKG_VERSION")), None);
    }

    fn alert(&self, event: &'static str, text: &str, problem: Option<Problem>) {
        let edge = self.running(|running| running.config.edge.name.clone());
        let text = format!("{edge}: {text}");
        self.alerts.hand_over(Alert { event, timestamp: clock::now().to_string(), edge, text, problem });
    }

    /// Returns the number of problems by harm.
    pub fn problem_counts(&self) -> [(Harm, usize); 10] {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).counts()
    }

    /// Runs a function on the configuration in force, under a short lock.
    pub fn running<T>(&self, look: impl FnOnce(&mut RunningConfig) -> T) -> T {
        look(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Handle to a running edge; clones refer to the same edge.
#[derive(Clone)]
pub struct EdgeHandle {
    /// Commands to the signalling loop.
    pub orders: mpsc::Sender<SignallingCommand>,
    /// Load of the edge.
    pub load: watch::Receiver<EdgeLoad>,
    /// Routing table in force.
    pub table: watch::Receiver<Arc<RoutingTable>>,
    /// Commands to the record writer.
    pub reports: mpsc::Sender<ReportOrder>,
    /// Commands to the text thread.
    pub sms: mpsc::Sender<SmsOrder>,
    /// SQLite database for state that outlives a restart.
    pub store: Store,
    /// Recordings of the edge.
    pub recordings: RecordingsHandle,
    /// State shared by all threads.
    pub shared: Arc<EdgeState>,
}

impl std::fmt::Debug for EdgeHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeHandle").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl EdgeHandle {
    /// Runs a query on the signalling loop and waits for its result.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Gateway, Instant) -> T + Send + 'static,
    ) -> Result<T, SignallingEnded> {
        let (answer, wait) = oneshot::channel();
        let ask: GatewayQuery = Box::new(move |gateway, now| {
            let _ = answer.send(question(gateway, now));
        });
        self.orders.send(SignallingCommand::Ask(ask)).await.map_err(|_| SignallingEnded)?;
        wait.await.map_err(|_| SignallingEnded)
    }

    /// Changes the gateway and waits for the result.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn change<C: GatewayControl>(&self, control: C) -> Result<C::Answer, SignallingEnded> {
        let (answer, wait) = oneshot::channel();
        self.orders.send(SignallingCommand::change(control, Some(answer))).await.map_err(|_| SignallingEnded)?;
        wait.await.map_err(|_| SignallingEnded)
    }

    /// Changes a call and waits for the result.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn change_call(
        &self,
        sid: impl Into<String>,
        action: CallAction,
    ) -> Result<Result<(), RequestRefusal>, SignallingEnded> {
        self.change(CallControl { sid: sid.into(), action }).await
    }

    /// Adds an event to the trace of a call without waiting for the result.
    pub(crate) async fn note(&self, sid: &str, item: TraceItem) {
        let _ = self.orders.send(SignallingCommand::note(sid, item)).await;
    }

    /// Passes an input to the gateway.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn input(&self, input: GatewayInput) -> Result<(), SignallingEnded> {
        self.orders.send(SignallingCommand::Input(input)).await.map_err(|_| SignallingEnded)
    }

    /// Returns live and recently ended calls, newest first.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn calls(&self) -> Result<Vec<CallView>, SignallingEnded> {
        self.ask(|gateway, now| gateway.calls(now)).await
    }

    /// Passes live calls, then recently ended calls in memory, to `see`, newest first, until `see` breaks; removed
    /// calls are skipped. The loop returns live calls in portions and ended ones without copies, so `see` does not
    /// delay it.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn visit_calls(
        &self,
        mut see: impl FnMut(Arc<CallView>) -> ControlFlow<()> + Send,
    ) -> Result<(), SignallingEnded> {
        let (mut shown, mut before) = (HashSet::new(), None);
        loop {
            let part = move |gateway: &Gateway, _| gateway.live_views(before, limits::CALLS_PER_QUESTION);
            let (live, next) = self.ask(part).await?;
            for call in live {
                shown.insert(call.sid.clone());
                if see(Arc::new(call)).is_break() {
                    return Ok(());
                }
            }
            before = next;
            if before.is_none() {
                break;
            }
        }
        let ended = self.ask(|gateway, _| gateway.ended_calls()).await?;
        // A call that ended between two queries was passed as live.
        let is_listed = |sid: &str| !shown.contains(sid) && !self.shared.calls.is_removed(sid);
        for call in ended.newest_first().filter(|call| is_listed(&call.sid)) {
            if see(Arc::clone(call)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Returns the call with this SID: live, recently ended or in the store; `None` if unknown or removed.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn call(&self, sid: &str) -> Result<Option<CallView>, SignallingEnded> {
        match self.known_call(sid).await? {
            Some(call) => Ok(Some(call)),
            None if self.shared.calls.is_removed(sid) => Ok(None),
            None => Ok(self.shared.calls.find(sid).await.filter(|call| call.sid == sid)),
        }
    }

    /// Returns the call with this SID if it is live or recently ended; `None` if unknown or removed.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn known_call(&self, sid: &str) -> Result<Option<CallView>, SignallingEnded> {
        if self.shared.calls.is_removed(sid) {
            return Ok(None);
        }
        let wanted = sid.to_owned();
        self.ask(move |gateway, now| gateway.call(now, &wanted)).await
    }

    /// Returns the call that has a leg with this SID: live, in the store or recently ended; `None` if there is none. No
    /// other call is copied during the search.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn call_of_leg(&self, sid: &str) -> Result<Option<Arc<CallView>>, SignallingEnded> {
        let wanted = sid.to_owned();
        if let Some(call) = self.ask(move |gateway, _| gateway.call_of_leg(&wanted)).await? {
            return Ok(Some(Arc::new(call)));
        }
        if let Some(call) = self.shared.calls.find(sid).await {
            return Ok(Some(Arc::new(call)));
        }
        // A call that has just ended is not in the store yet.
        let ended = self.ask(|gateway, _| gateway.ended_calls()).await?;
        let has = |call: &CallView| call.legs.iter().any(|leg| leg.sid == sid);
        let found = ended.newest_first().find(|call| has(call) && !self.shared.calls.is_removed(&call.sid));
        Ok(found.map(Arc::clone))
    }

    /// Returns the trace of a call; `None` if the call is unknown or its trace is no longer in memory.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn trace(&self, sid: &str) -> Result<Option<TraceView>, SignallingEnded> {
        let sid = sid.to_owned();
        self.ask(move |gateway, _| gateway.trace(&sid)).await
    }

    /// Returns the trace of a call with complete SIP messages in which secrets are masked; `None` if there is no trace.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn raw_trace(&self, sid: &str) -> Result<Option<TraceView>, SignallingEnded> {
        let sid = sid.to_owned();
        self.ask(move |gateway, _| gateway.raw_trace(&sid)).await
    }

    /// Returns a call with its SIP messages for a capture file; `None` if they are not available.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn capture(&self, sid: &str) -> Result<Option<Capture>, SignallingEnded> {
        let sid = sid.to_owned();
        self.ask(move |gateway, now| gateway.capture(now, &sid)).await
    }

    /// Returns the audio quality of a call over time; `None` if unknown.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn quality(&self, sid: &str) -> Result<Option<QualityView>, SignallingEnded> {
        let sid = sid.to_owned();
        self.ask(move |gateway, now| gateway.quality(now, &sid)).await
    }

    /// Returns which data (trace, messages, quality, …) of a live or recently ended call is still available; `None` if
    /// the call is unknown.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn kept(&self, sid: &str) -> Result<Option<KeptView>, SignallingEnded> {
        let sid = sid.to_owned();
        self.ask(move |gateway, now| trunkgate_call::gateway::kept(gateway, now, &sid)).await
    }

    /// Returns a summary of the gateway.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn status(&self) -> Result<StatusView, SignallingEnded> {
        self.ask(Gateway::status).await
    }

    /// Returns the gateway's counters and other current values for `/metrics`.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn counted(&self) -> Result<GatewayCounts, SignallingEnded> {
        let count = |gateway: &Gateway, now| GatewayCounts {
            metrics: gateway.metrics().clone(),
            agents: gateway.agents(now),
            media_ports: gateway.media_ports(),
            conferences: conferences_live(gateway),
            queues: queues_counted(gateway, now, limits::QUEUE_SERIES),
            decisions: gateway.decisions(),
            app_errors: gateway.app_errors(),
        };
        self.ask(count).await
    }

    /// Requests the end of a call; has no effect if the call is unknown.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn hangup(&self, sid: &str) -> Result<(), SignallingEnded> {
        self.input(GatewayInput::Control(OperatorCommand::Hangup { sid: sid.to_owned() })).await
    }

    /// Starts (`on`) or stops rejecting new calls with 503.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn drain(&self, on: bool) -> Result<(), SignallingEnded> {
        self.shared.phase.send_replace(if on { EdgePhase::Draining } else { EdgePhase::Ready });
        let text = if on { "new calls get 503" } else { "new calls are accepted" };
        self.shared.events.tell(EdgeEvent { text: Some(text.to_owned()), ..EdgeEvent::new(EdgeEventKind::Drain) });
        self.input(GatewayInput::Control(OperatorCommand::Drain { on })).await
    }

    /// Sends REGISTER requests that remove all outbound registrations; [`Self::nothing_held`] waits for the responses.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn unregister(&self) -> Result<(), SignallingEnded> {
        self.input(GatewayInput::Control(OperatorCommand::Unregister)).await?;
        // Wait for another turn, so that `held` is up to date.
        self.ask(|_, _| ()).await
    }

    /// Ends all calls.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn end_all(&self) -> Result<(), SignallingEnded> {
        self.input(GatewayInput::Control(OperatorCommand::EndAll)).await
    }

    /// Rejects new calls and ends those being set up, because only answered calls can be handed over. Waits, at most
    /// `within`, until the ended calls have their final responses, and the other calls have acknowledged answers and no
    /// pending offers. Calls that are still pending afterwards are ended too.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn settle_calls(&self, within: Duration) -> Result<(), SignallingEnded> {
        self.input(GatewayInput::Control(OperatorCommand::Drain { on: true })).await?;
        self.input(GatewayInput::Control(OperatorCommand::EndUnanswered { all: false })).await?;
        let until = Instant::now() + within;
        while self.ask(|gateway, _| gateway.unsettled_calls()).await? > 0 {
            if Instant::now() >= until {
                return self.input(GatewayInput::Control(OperatorCommand::EndUnanswered { all: true })).await;
            }
            tokio::time::sleep(SETTLE_INTERVAL).await;
        }
        Ok(())
    }

    /// Waits until no call is live.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn no_calls(&self) -> Result<(), SignallingEnded> {
        let mut load = self.load.clone();
        load.wait_for(|load| load.live == 0).await.map(|_| ()).map_err(|_| SignallingEnded)
    }

    /// Waits until no call is live, and no ended call or registration waits for a final response.
    ///
    /// # Errors
    /// Returns [`SignallingEnded`] if the loop has ended.
    pub async fn nothing_held(&self) -> Result<(), SignallingEnded> {
        let mut load = self.load.clone();
        load.wait_for(|load| load.live == 0 && load.held == 0).await.map(|_| ()).map_err(|_| SignallingEnded)
    }

    /// Waits until the signalling loop has ended.
    pub async fn gone(&self) {
        self.orders.closed().await;
    }

    /// Runs a function on the history after processing pending changes, under a short lock that the signalling loop
    /// never takes.
    pub fn history<T>(&self, look: impl FnOnce(&mut EdgeHistory) -> T) -> T {
        let mut history = self.shared.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.catch_up();
        look(&mut history)
    }

    /// Returns the number of calls in progress.
    pub fn live_calls(&self) -> usize {
        self.load.borrow().live
    }

    /// Returns the phase of the edge's life.
    pub fn phase(&self) -> EdgePhase {
        *self.shared.phase.borrow()
    }

    /// Returns the routing table in force.
    pub fn table(&self) -> Arc<RoutingTable> {
        Arc::clone(&self.table.borrow())
    }

    /// Returns the SIP listeners in the order of the configuration.
    pub fn listeners(&self) -> &[BoundListener] {
        &self.shared.listeners
    }

    /// Returns the path of the configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.shared.running(|running| running.config.path.clone())
    }

    /// Returns the counters of the media workers.
    pub fn workers(&self) -> &[Arc<WorkerCounters>] {
        &self.shared.workers
    }

    /// Returns the numbers of successful and rejected reloads, and whether the last one succeeded.
    pub fn reloads(&self) -> (u64, u64, bool) {
        let shared = &self.shared;
        let (ok, failed) = (shared.reloads_ok.load(Ordering::Relaxed), shared.reloads_failed.load(Ordering::Relaxed));
        (ok, failed, shared.last_reload_ok.load(Ordering::Relaxed))
    }

    /// Returns the time since the start.
    pub fn uptime(&self) -> Duration {
        self.shared.started.elapsed()
    }
}
