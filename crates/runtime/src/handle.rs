//! What the rest of the process may ask of a running edge: questions to the signalling loop, answered in between two
//! of its turns, and the facts that all threads share.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use trunkgate_call::redact;
use trunkgate_call::trace::{TraceItem, TraceView};
use trunkgate_call::view::{KeptView, QualityView, StatusView};
use trunkgate_call::{
    CallAction, CallControl, CallView, Capture, Change, Control, Gateway, GatewayControl, Happening, Input, Interfaces,
    Refused, conferences_live, queues_counted,
};
use trunkgate_media::WorkerCounters;
use trunkgate_media::counters::Counter;
use trunkgate_route::Table;

use crate::acme_report::AcmeReport;
use crate::api_log::ApiLog;
use crate::history::{Counted, History};
use crate::http_logins::HttpLogins;
use crate::lost_agents::LostAgents;
use crate::message_log::MessageLog;
use crate::own_sockets::OwnSockets;
use crate::proxy_refusals::ProxyRefusals;
use crate::settings::Found;
use crate::settings::Listener;
use crate::settings::Stamp;
use crate::stale_names::StaleNames;
use crate::transport::{Settings, SocketCounters};
use trunkgate_config::{Config, NumberOverrides, ToldOverride};
use trunkgate_delivery::sinks::callbacks::CallbackFigures;
use trunkgate_delivery::sinks::calls::CallList;
use trunkgate_delivery::sinks::events::Events;
use trunkgate_delivery::sinks::hep;
use trunkgate_delivery::sinks::otel;
use trunkgate_delivery::sinks::recordings::{RecordingFigures, Recordings};
pub use trunkgate_delivery::sinks::records::{Figures, ReportOrder};
pub use trunkgate_delivery::sinks::sms::{SmsCounters, SmsOrder};
use trunkgate_delivery::sinks::store::Store;
use trunkgate_delivery::webhooks::figures::WebhookFigures;
use trunkgate_system::clock;
use trunkgate_system::limits;
use trunkgate_system::problem::{Harm, Problem};
use trunkgate_system::watched::{News, Watched};

/// A question for the loop: it reads, and answers by itself.
pub(crate) type Question = Box<dyn FnOnce(&Gateway, Instant) + Send>;

/// A change of the gateway with the receiver of its answer.
struct Pending<C: GatewayControl> {
    control: C,
    /// `None`: the answer is not waited for.
    answer: Option<oneshot::Sender<C::Answer>>,
}

trait Apply {
    fn apply(self: Box<Self>, gateway: &mut Gateway, now: Instant);
}

impl<C: GatewayControl> Apply for Pending<C> {
    fn apply(self: Box<Self>, gateway: &mut Gateway, now: Instant) {
        let result = self.control.apply(gateway, now);
        let _ = self.answer.map(|answer| answer.send(result));
    }
}

/// A change that waits for the loop: some [`GatewayControl`], never a closure, so that all that changes the gateway is data.
pub struct PendingControl(Box<dyn Apply + Send>);

impl PendingControl {
    /// Makes the change, and sends its answer.
    pub(crate) fn apply(self, gateway: &mut Gateway, now: Instant) {
        self.0.apply(gateway, now);
    }
}

/// What the loop is told from inside the process.
pub enum Order {
    /// A question.
    Ask(Question),
    /// A change.
    Change(PendingControl),
    /// An input for the gateway.
    Input(Input),
    /// Send what is queued and end.
    Stop,
}

impl Order {
    fn change<C: GatewayControl>(control: C, answer: Option<oneshot::Sender<C::Answer>>) -> Order {
        Order::Change(PendingControl(Box::new(Pending { control, answer })))
    }

    /// Returns the order to add an event to the trace of a call.
    pub fn note(sid: &str, item: TraceItem) -> Order {
        Order::change(CallControl { sid: sid.to_owned(), action: CallAction::Note(item) }, None)
    }
}

/// The signalling loop has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the signalling loop has ended")
    }
}

impl std::error::Error for Gone {}

/// Whether the edge takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Sockets are bound, names are being looked up.
    Starting,
    /// It takes calls.
    Ready,
    /// New calls get 503.
    Draining,
}

impl Phase {
    /// `starting`, `ready`, `draining`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
        }
    }
}

/// Calls in memory, told after each turn of the loop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Those that have not ended.
    pub(crate) live: usize,
    /// Those, and ended ones that wait for a last answer.
    pub(crate) held: usize,
    /// Whether new calls are turned away that cannot be served in time.
    pub overloaded: bool,
}

/// The configuration in force.
#[derive(Debug)]
pub struct Running {
    /// As read last, with what requests have set of its numbers.
    pub config: Config,
    /// As read last.
    pub written: Config,
    /// What requests have set of numbers; `None` while the API was never open.
    pub overrides: Option<NumberOverrides>,
    /// As read at the start: what listeners, media and HTTP still run by.
    pub boot: Config,
    /// Keys of the file that was read last which wait for a restart.
    pub restart_needed: Vec<String>,
    /// Why the last reload was rejected, in a line; `None`: it was not.
    pub last_rejected: Option<String>,
    /// Warnings of the last reading.
    pub warnings: usize,
    /// The first of them, in a line each.
    pub warned: Vec<String>,
    /// When it was read.
    pub loaded_at: Timestamp,
    /// What the peers' names were found to be.
    pub names: Found,
    /// Trunks, agents and routes of the configuration with these names.
    pub table: Arc<Table>,
    /// The machine's addresses.
    pub interfaces: Interfaces,
    /// The files of certificates as they were when they were read.
    pub stamps: Vec<Stamp>,
    /// What was wrong with them then: what they replace is in force.
    pub certificate_faults: Vec<String>,
}

impl Running {
    /// Returns a configuration with what requests have set of its numbers, while it has the API open.
    pub(crate) fn in_force(&self, written: &Config) -> Config {
        match self.overrides.as_ref().filter(|_| written.api.auth_token.is_some()) {
            Some(overrides) => written.overridden(overrides),
            None => written.clone(),
        }
    }

    /// Says of each number what requests have set of it.
    pub fn told_overrides(&self) -> Vec<ToldOverride> {
        match self.overrides.as_ref().filter(|_| self.written.api.auth_token.is_some()) {
            Some(overrides) => self.written.told_overrides(overrides),
            None => Vec::new(),
        }
    }
}

/// Connections that had to give their place up, or got none; read by `/metrics`.
#[derive(Debug, Default)]
pub struct HttpCounters {
    /// Incomplete connections closed for a newer one.
    pub evicted: Counter,
    /// Connections closed at once: their address has all that it may have, or every place is serving.
    pub refused: Counter,
}

/// Facts that all threads share.
#[derive(Debug)]
pub struct Shared {
    /// Start of the edge, for durations.
    pub started: Instant,
    /// Start of the edge, as a date.
    pub started_at: Timestamp,
    /// SIP listeners.
    pub listeners: Vec<Listener>,
    /// Where no agent may be.
    pub own: watch::Sender<OwnSockets>,
    /// Phase of the process.
    pub phase: watch::Sender<Phase>,
    /// Configuration that is in force.
    pub running: Mutex<Running>,
    /// Problems that `status` has found, and since when.
    pub problems: Mutex<Watched>,
    /// Reloads that took effect.
    pub reloads_ok: AtomicU64,
    /// Reloads that were refused.
    pub reloads_failed: AtomicU64,
    /// Whether the last reload took effect.
    pub last_reload_ok: AtomicBool,
    /// Whoever has it reloads.
    pub reloading: tokio::sync::Mutex<()>,
    /// Places for reloads that wait for it.
    pub reloads_waiting: Arc<Semaphore>,
    /// Those whose files are read, some of them given up.
    pub reloads_reading: Arc<Semaphore>,
    /// Counters of the SIP sockets.
    pub sockets: Arc<SocketCounters>,
    /// What is counted of HTTP connections.
    pub http: Arc<HttpCounters>,
    /// Counters of the media workers.
    pub workers: Vec<Arc<WorkerCounters>>,
    /// Of call records.
    pub cdr: Arc<Figures>,
    /// Counters of text messages.
    pub sms: Arc<SmsCounters>,
    /// Ended calls in the store.
    pub calls: Arc<CallList>,
    /// Figures of webhooks.
    pub webhooks: WebhookFigures,
    /// Requests to the webhooks of text messages.
    pub message_webhooks: MessageLog,
    /// Requests to the Twilio-compatible API.
    pub api: ApiLog,
    /// Requests that the proxy has refused.
    pub proxy_refusals: ProxyRefusals,
    /// HTTP requests with wrong credentials.
    pub logins: HttpLogins,
    /// Figures of callbacks.
    pub callbacks: Arc<CallbackFigures>,
    /// Figures of recordings.
    pub recordings: Arc<RecordingFigures>,
    /// Where messages and reports go, and what became of them.
    pub hep: watch::Sender<Option<hep::Target>>,
    /// Counters of HEP.
    pub hep_counters: Arc<hep::HepCounters>,
    /// The same of traces.
    pub otel: watch::Sender<Option<otel::Target>>,
    /// Counters of OpenTelemetry.
    pub otel_counters: Arc<otel::OtelCounters>,
    /// Each worker's turns as last looked at, and when they had changed.
    pub pulse: Mutex<Vec<(u64, Instant)>>,
    /// Changes, for whoever watches.
    pub events: Events,
    /// What plots are drawn from.
    pub history: Mutex<History>,
    /// Wakes the refresher of interfaces.
    pub refresh: Notify,
    /// Wakes whoever keeps the names: others are wanted.
    pub renamed: Notify,
    /// Names of peers that a restart would not find.
    pub stale_names: StaleNames,
    /// Agents that have just lost a call.
    pub lost_agents: LostAgents,
    /// State of the certificate of `[tls] acme`.
    pub acme: AcmeReport,
    /// Certificates and trust in force.
    pub tls: watch::Sender<Arc<Settings>>,
}

impl Shared {
    /// Gives each problem of now its time, and has the log say which are new, last or are over.
    pub fn note_problems(&self, problems: &mut [Problem]) {
        let time = (Instant::now(), clock::now());
        let news = self.problems.lock().unwrap_or_else(PoisonError::into_inner).note(time, problems);
        for one in news {
            match one {
                News::Problem(text) => tracing::warn!("{}", redact::addresses(text)),
                News::Over(text) => tracing::info!("{}", redact::addresses(text)),
            }
        }
    }

    /// How many problems of each harm `status` has.
    pub fn problem_counts(&self) -> [(Harm, usize); 10] {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).counts()
    }

    /// The configuration in force, locked for a moment.
    pub fn running<T>(&self, look: impl FnOnce(&mut Running) -> T) -> T {
        look(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Speaks to a running edge; clones speak to the same.
#[derive(Clone)]
pub struct Handle {
    /// Orders to the signalling thread.
    pub orders: mpsc::Sender<Order>,
    /// Load of the edge.
    pub load: watch::Receiver<Load>,
    /// Routes and trunks in force.
    pub table: watch::Receiver<Arc<Table>>,
    /// Orders to the reporting thread.
    pub reports: mpsc::Sender<ReportOrder>,
    /// Orders to the task of text messages.
    pub sms: mpsc::Sender<SmsOrder>,
    /// The store.
    pub store: Store,
    /// The recordings.
    pub recordings: Recordings,
    /// What all handles share.
    pub shared: Arc<Shared>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl Handle {
    /// Asks the loop and waits for its answer.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Gateway, Instant) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (answer, wait) = oneshot::channel();
        let ask: Question = Box::new(move |gateway, now| {
            let _ = answer.send(question(gateway, now));
        });
        self.orders.send(Order::Ask(ask)).await.map_err(|_| Gone)?;
        wait.await.map_err(|_| Gone)
    }

    /// Changes the gateway, and waits for the answer.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn change<C: GatewayControl>(&self, control: C) -> Result<C::Answer, Gone> {
        let (answer, wait) = oneshot::channel();
        self.orders.send(Order::change(control, Some(answer))).await.map_err(|_| Gone)?;
        wait.await.map_err(|_| Gone)
    }

    /// Changes a call, and waits for the result.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn change_call(&self, sid: impl Into<String>, action: CallAction) -> Result<Result<(), Refused>, Gone> {
        self.change(CallControl { sid: sid.into(), action }).await
    }

    /// Adds an event to the trace of a call; the result is not waited for.
    pub(crate) async fn note(&self, sid: &str, item: TraceItem) {
        let _ = self.orders.send(Order::note(sid, item)).await;
    }

    /// Gives the gateway an input.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn input(&self, input: Input) -> Result<(), Gone> {
        self.orders.send(Order::Input(input)).await.map_err(|_| Gone)
    }

    /// Live and recent calls, newest first.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn calls(&self) -> Result<Vec<CallView>, Gone> {
        self.ask(|gateway, now| gateway.calls(now)).await
    }

    /// Shows live calls, then recent ones that memory has, newest first, until `see` breaks off; none that was removed. The loop gives
    /// live ones in parts and recent ones without copies: it is not held up by what `see` does.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn visit_calls(&self, mut see: impl FnMut(Arc<CallView>) -> ControlFlow<()> + Send) -> Result<(), Gone> {
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
        // One that has ended between two questions was shown as live.
        let is_listed = |sid: &str| !shown.contains(sid) && !self.shared.calls.is_removed(sid);
        for call in ended.newest_first().filter(|call| is_listed(&call.sid)) {
            if see(Arc::clone(call)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// One call: live, recent or in the store.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn call(&self, sid: &str) -> Result<Option<CallView>, Gone> {
        match self.known_call(sid).await? {
            Some(call) => Ok(Some(call)),
            None if self.shared.calls.is_removed(sid) => Ok(None),
            None => Ok(self.shared.calls.find(sid).await.filter(|call| call.sid == sid)),
        }
    }

    /// Returns a call that is live or recent.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn known_call(&self, sid: &str) -> Result<Option<CallView>, Gone> {
        if self.shared.calls.is_removed(sid) {
            return Ok(None);
        }
        let wanted = sid.to_owned();
        self.ask(move |gateway, now| gateway.call(now, &wanted)).await
    }

    /// Returns the call that has a leg with this SID: live, in the store or recent. No other call is copied to find it.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn call_of_leg(&self, sid: &str) -> Result<Option<Arc<CallView>>, Gone> {
        let wanted = sid.to_owned();
        if let Some(call) = self.ask(move |gateway, _| gateway.call_of_leg(&wanted)).await? {
            return Ok(Some(Arc::new(call)));
        }
        if let Some(call) = self.shared.calls.find(sid).await {
            return Ok(Some(Arc::new(call)));
        }
        // The store has none that ended just now.
        let ended = self.ask(|gateway, _| gateway.ended_calls()).await?;
        let has = |call: &CallView| call.legs.iter().any(|leg| leg.sid == sid);
        let found = ended.newest_first().find(|call| has(call) && !self.shared.calls.is_removed(&call.sid));
        Ok(found.map(Arc::clone))
    }

    /// A call's trace.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn trace(&self, sid: &str) -> Result<Option<TraceView>, Gone> {
        let sid = sid.to_owned();
        self.ask(move |gateway, _| gateway.trace(&sid)).await
    }

    /// The same with SIP messages as sent on the wire, secrets overwritten.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn raw_trace(&self, sid: &str) -> Result<Option<TraceView>, Gone> {
        let sid = sid.to_owned();
        self.ask(move |gateway, _| gateway.raw_trace(&sid)).await
    }

    /// A call with its messages, for a capture file.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn capture(&self, sid: &str) -> Result<Option<Capture>, Gone> {
        let sid = sid.to_owned();
        self.ask(move |gateway, now| gateway.capture(now, &sid)).await
    }

    /// What a call sounded like over time; `None` where nothing is known of it.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn quality(&self, sid: &str) -> Result<Option<QualityView>, Gone> {
        let sid = sid.to_owned();
        self.ask(move |gateway, now| gateway.quality(now, &sid)).await
    }

    /// What is kept of a call that is live or recent.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn kept(&self, sid: &str) -> Result<Option<KeptView>, Gone> {
        let sid = sid.to_owned();
        self.ask(move |gateway, now| trunkgate_call::gateway::kept(gateway, now, &sid)).await
    }

    /// The gateway at a glance.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn status(&self) -> Result<StatusView, Gone> {
        self.ask(Gateway::status).await
    }

    /// The gateway's counters, and what else of it `/metrics` shows.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn counted(&self) -> Result<Counted, Gone> {
        let count = |gateway: &Gateway, now| Counted {
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

    /// Ends one call.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn hangup(&self, sid: &str) -> Result<(), Gone> {
        self.input(Input::Control(Control::Hangup { sid: sid.to_owned() })).await
    }

    /// Refuses new calls, or takes them again.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn drain(&self, on: bool) -> Result<(), Gone> {
        self.shared.phase.send_replace(if on { Phase::Draining } else { Phase::Ready });
        let text = if on { "new calls get 503" } else { "new calls are accepted" };
        self.shared.events.tell(Change { text: Some(text.to_owned()), ..Change::new(Happening::Drain) });
        self.input(Input::Control(Control::Drain { on })).await
    }

    /// Takes every registration of ours back; [`Self::nothing_held`] waits for the answers.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn unregister(&self) -> Result<(), Gone> {
        self.input(Input::Control(Control::Unregister)).await?;
        // One turn more, so that what is held is known.
        self.ask(|_, _| ()).await
    }

    /// Ends every call.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn end_all(&self) -> Result<(), Gone> {
        self.input(Input::Control(Control::EndAll)).await
    }

    /// Waits until no call is live.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn no_calls(&self) -> Result<(), Gone> {
        let mut load = self.load.clone();
        load.wait_for(|load| load.live == 0).await.map(|_| ()).map_err(|_| Gone)
    }

    /// Waits until no call is live, and neither an ended one nor a registration waits for a last answer.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn nothing_held(&self) -> Result<(), Gone> {
        let mut load = self.load.clone();
        load.wait_for(|load| load.live == 0 && load.held == 0).await.map(|_| ()).map_err(|_| Gone)
    }

    /// Waits until the signalling loop has ended.
    pub async fn gone(&self) {
        self.orders.closed().await;
    }

    /// What plots are drawn from, up to now, locked for a moment; the signalling loop never asks for it.
    pub fn history<T>(&self, look: impl FnOnce(&mut History) -> T) -> T {
        let mut history = self.shared.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.catch_up();
        look(&mut history)
    }

    /// Calls that have not ended.
    pub fn live_calls(&self) -> usize {
        self.load.borrow().live
    }

    /// Whether the edge takes calls.
    pub fn phase(&self) -> Phase {
        *self.shared.phase.borrow()
    }

    /// Trunks and routes in force.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.borrow())
    }

    /// Where it listens, in the order of the configuration.
    pub fn listeners(&self) -> &[Listener] {
        &self.shared.listeners
    }

    /// The file that a reload reads.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.shared.running(|running| running.config.path.clone())
    }

    /// The workers' counters.
    pub fn workers(&self) -> &[Arc<WorkerCounters>] {
        &self.shared.workers
    }

    /// How often a reload was taken and refused, and whether the last one was taken.
    pub fn reloads(&self) -> (u64, u64, bool) {
        let shared = &self.shared;
        let (ok, failed) = (shared.reloads_ok.load(Ordering::Relaxed), shared.reloads_failed.load(Ordering::Relaxed));
        (ok, failed, shared.last_reload_ok.load(Ordering::Relaxed))
    }

    /// How long the edge has been up.
    pub fn uptime(&self) -> Duration {
        self.shared.started.elapsed()
    }
}
