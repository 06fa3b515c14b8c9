//! A running edge as a value ([`RunningEdge`]). All sockets are bound first; then each loop starts on its own thread:
//! signalling (a second one for TLS connections), media workers, WebSocket connections of agents, the store, call
//! records, text messages, webhooks, callbacks, conferences, recordings (two threads), HTTP requests, and one auxiliary
//! thread for HTTP connections, host names and peer addresses.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::TryRng;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use trunkgate_call::trace::TraceItem;
use trunkgate_call::{Addressing, Gateway, GatewayConfig, GatewayInput, MailboxMessages, MessageCount};
use trunkgate_media::{MediaEvent, MediaId, Recorded, RecordingId};
use trunkgate_route::RoutingTable;

use crate::listening::{HttpSockets, ListeningSockets};
use crate::succession::{
    Predecessor, RestoredCalls, StatePlace, give_calls, give_sessions, read_state, restore, start_receiving,
    start_state,
};
use trunkgate_admin as admin;
use trunkgate_config::{self as config, CDR_HELP, Config, NumberOverrides};
use trunkgate_delivery::sinks::alerts::AlertSender;
use trunkgate_delivery::sinks::callbacks::{self, CallbackWorker};
use trunkgate_delivery::sinks::calls::CallList;
use trunkgate_delivery::sinks::events::EventChannel;
use trunkgate_delivery::sinks::recordings::{self, RecordingsHandle};
use trunkgate_delivery::sinks::records::{self, ReportOrder};
use trunkgate_delivery::sinks::sms::outlets::Outlets;
use trunkgate_delivery::sinks::sms::{self, SmsOrder, SmsThread};
use trunkgate_delivery::sinks::store::{Store, may_recover};
use trunkgate_delivery::sinks::{hep, needs_store, otel};
use trunkgate_delivery::webhooks::figures::WebhookFigures;
use trunkgate_runtime::acme_report::AcmeReport;
use trunkgate_runtime::api_log::ApiLog;
use trunkgate_runtime::apps::callbacks::means as means_of_callbacks;
use trunkgate_runtime::apps::{self, AppQueryRunner};
use trunkgate_runtime::handle::{
    EdgeHandle, EdgeLoad, EdgePhase, EdgeState, FrozenCalls, RunningConfig, SignallingCommand,
};
use trunkgate_runtime::handover::{HandoverLink, ListeningPlaces, UpgradeRequest};
use trunkgate_runtime::history::EdgeHistory;
use trunkgate_runtime::http_logins::HttpLogins;
use trunkgate_runtime::lost_agents::LostAgents;
use trunkgate_runtime::message_log::MessageLog;
use trunkgate_runtime::names::{NameQuestion, NameResolver};
use trunkgate_runtime::own_sockets::OwnSockets;
use trunkgate_runtime::probes::AgentProber;
use trunkgate_runtime::proxy_refusals::ProxyRefusals;
use trunkgate_runtime::recording_desk::RecordingInterface;
use trunkgate_runtime::settings::{BoundListener, ResolvedServers, addressing, machine_addresses, settings, stamps};
use trunkgate_runtime::signalling::SignallingLoop;
use trunkgate_runtime::stale_names::StaleNames;
use trunkgate_runtime::transport::{self, BindError, BoundSocket, SocketCounters, Transports};
use trunkgate_runtime::worker::{self, Workers};
use trunkgate_runtime::{acme, conferences, messages, overrides, reload, sampling};
use trunkgate_system::clock;
use trunkgate_system::clock::ClockMonitor;
use trunkgate_system::dns::{Resolver, means};
use trunkgate_system::limits;
use trunkgate_system::log;
use trunkgate_system::public_name::PublicName;

/// Reason why an edge cannot start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be bound.
    Bind(BindError),
    /// The call record file cannot be opened.
    CallRecords(io::Error),
    /// The store cannot be used.
    Store(io::Error),
    /// The saved state of calls cannot be read or written.
    State(io::Error),
    /// The recordings directory cannot be written although `data_required` is set.
    Recordings(io::Error),
    /// Certificate or key files have become unusable since the configuration was checked.
    Certificates(Vec<String>),
    /// A thread, a runtime or a worker cannot be created.
    System {
        /// Part that cannot be started, as named in the message.
        what: &'static str,
        /// Error of the operating system.
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Bind(error) => error.fmt(f),
            StartError::CallRecords(error) => {
                write!(f, "error[TG0202]: [cdr] file cannot be opened: {error}\n   = help: {CDR_HELP}")
            }
            StartError::Store(error) => write!(
                f,
                "error[TG0202]: the store cannot be used: {error}\n   = help: [edge] data_directory must be writable, and no \
                 other edge may use it"
            ),
            StartError::State(error) => write!(
                f,
                "error[TG0202]: the state of calls cannot be used: {error}\n   = help: [edge] state_directory must be writable for this \
                 user only, and no other edge may use it"
            ),
            StartError::Recordings(error) => write!(
                f,
                "error[TG0202]: recordings cannot be written: {error}\n   = help: [recording] directory must be writable, as [edge] \
                 data_required is true"
            ),
            StartError::Certificates(faults) => write!(f, "error[TG0114]: {}", faults.join("; ")),
            StartError::System { what, error } => write!(f, "error[TG0203]: {what} cannot be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A running edge; dropping it stops its threads.
#[derive(Debug)]
pub struct RunningEdge {
    /// SIP listeners, in the order of the configuration.
    pub listeners: Vec<BoundListener>,
    /// Address of the HTTP server.
    pub http: SocketAddr,
    /// Address of the server for ACME HTTP-01 challenges (`[tls] acme`).
    pub challenge: Option<SocketAddr>,
    handle: EdgeHandle,
    signalling: Option<JoinHandle<()>>,
    texting: Option<JoinHandle<()>>,
    auxiliary: Option<JoinHandle<()>>,
    records: Option<JoinHandle<()>>,
    /// Threads for webhooks and callbacks; they end with the signalling loop.
    beside: Vec<JoinHandle<()>>,
    recordings: Option<recordings::RecordingThreads>,
    stop: Arc<Notify>,
    kept: HandoverState,
}

/// Outcome of a hand-over of calls to a successor process.
#[derive(Debug, Clone, Copy)]
pub struct HandedOver {
    /// Number of calls that the successor has got.
    pub calls: usize,
    /// Whether the successor has got all media sessions; it opens new sockets for the others.
    pub is_complete: bool,
}

/// State that an edge needs to hand its calls over to a successor process.
#[derive(Debug)]
struct HandoverState {
    /// Duplicated descriptors of the listening sockets.
    sockets: Vec<OwnedFd>,
    places: ListeningPlaces,
    /// Receiver of the requests to replace this process; `None` once it was taken by [`RunningEdge::take_upgrades`].
    upgrades: Option<mpsc::Receiver<UpgradeRequest>>,
    /// Calls of the ended signalling loop, until a successor continues them.
    frozen: Option<FrozenCalls>,
    /// Whether the predecessor process was draining; if so, this one has to drain, too.
    was_draining: bool,
}

/// Parts of an edge that are opened before any loop runs, because opening them may fail.
struct OpenedEdge {
    bound: Vec<BoundSocket>,
    http: HttpSockets,
    http_address: SocketAddr,
    /// Connection to the predecessor process, if there is one.
    link: Option<HandoverLink>,
    restored: Option<RestoredCalls>,
    /// State for a hand-over to the edge's own successor.
    kept: HandoverState,
    store: Store,
    records: records::Writer,
    workers: Workers,
    media: mpsc::UnboundedReceiver<(MediaId, MediaEvent)>,
    resolver: Resolver,
    gateway_config: GatewayConfig,
    message_bytes: usize,
    table: Arc<RoutingTable>,
    addressing: Addressing,
    /// Inputs that the gateway processes before any message.
    first: [GatewayInput; 3],
    shared: Arc<EdgeState>,
    /// Directory for the state of calls; `None` if the state is not saved.
    state: Option<StatePlace>,
}

impl OpenedEdge {
    /// Binds the sockets, or takes those of the predecessor process, and opens the store.
    fn open(
        config: Config,
        name: Option<PublicName>,
        predecessor: Option<Predecessor>,
    ) -> Result<OpenedEdge, StartError> {
        let places = ListeningPlaces::of(&config);
        let (link, handed, connected, sockets) = match predecessor {
            None => (None, None, Vec::new(), ListeningSockets::bind(&config).map_err(StartError::Bind)?),
            Some(Predecessor { link, handed, sockets, connections }) => {
                tracing::info!("live calls taken over from the previous process: {}", handed.calls.calls.len());
                let sockets = ListeningSockets::received(&config, sockets).map_err(system("a socket"))?;
                (Some(link), Some(handed), connections, sockets)
            }
        };
        let duplicates = sockets.duplicates().map_err(system("the sockets"))?;
        let ListeningSockets { sip: bound, http } = sockets;
        let (http_address, api_at) = (http.address().map_err(system("the HTTP server"))?, http.api_address());
        let (state, left) = read_state(&config, handed.is_some()).map_err(StartError::State)?;
        let calls = handed.iter().map(|handed| &handed.calls).chain(left.iter().map(|left| &left.calls));
        let continued = calls.flat_map(|calls| &calls.calls).map(|call| call.sid.clone());
        let (settings, (store, records)) = (certificates(&config)?, open_records(&config, continued.collect())?);
        let listeners: Vec<BoundListener> = bound.iter().map(listener).collect();
        let own = watch::Sender::new(OwnSockets::new(&listeners, http_address, api_at, &config).standing_for(name));
        let (workers, media) =
            Workers::start(config.media.threads, own.subscribe()).map_err(system("a media worker"))?;
        let was_draining = handed.as_ref().is_some_and(|handed| handed.is_draining);
        let restored = handed.map(|handed| {
            workers.expect(handed.sessions);
            let connections = handed.connections.with_sockets(connected);
            RestoredCalls { calls: handed.calls, streams: handed.streams, connections, left: None }
        });
        let restored = restored.or_else(|| left.map(RestoredCalls::of_crashed));
        let resolver = resolver(&listeners)?;
        let gateway_config = gateway_config(&config).map_err(system("the random generator"))?;
        let message_bytes = config.limits.sip_message_bytes;
        let (configs, table) = StartConfigs::start(config, &store)?;
        let addressing = addressing_of(&configs, &listeners, &table);
        let first = first_inputs(&configs.written, &records, (&table, &addressing, http_address));
        let (upgrades, requests) = mpsc::channel(1);
        let listening = (listeners, own, upgrades);
        let shared = shared(configs, listening, (&addressing, &table), settings, (&workers, &records));
        let kept = HandoverState { sockets: duplicates, places, upgrades: Some(requests), frozen: None, was_draining };
        Ok(OpenedEdge {
            bound,
            http,
            http_address,
            link,
            restored,
            kept,
            store,
            records,
            workers,
            media,
            resolver,
            gateway_config,
            message_bytes,
            table,
            addressing,
            first,
            shared,
            state,
        })
    }
}

/// Reads the certificates and keys of the configuration.
fn certificates(config: &Config) -> Result<transport::TlsSettings, StartError> {
    let (settings, faults) = transport::TlsSettings::read(config, &transport::TlsSettings::default());
    if faults.is_empty() { Ok(settings) } else { Err(StartError::Certificates(faults)) }
}

/// Returns the inputs that the gateway handles before any message: configuration, quota counts of the day, and ended
/// conferences.
fn first_inputs(
    config: &Config,
    records: &records::Writer,
    (table, addressing, http): (&Arc<RoutingTable>, &Addressing, SocketAddr),
) -> [GatewayInput; 3] {
    let links = config::recording_links(config, &config.api.account_sid, http);
    let settings = settings(config, Arc::clone(table), addressing.clone(), links);
    let is_counted = config.trunks.iter().flat_map(|trunk| &trunk.quotas).any(|quota| quota.calls_per_day > 0);
    let counts = if is_counted { records.day_counts() } else { Vec::new() };
    let earlier = records.calls().earlier_conferences();
    [
        GatewayInput::Configure(Box::new(settings)),
        GatewayInput::DayCounts(counts),
        GatewayInput::ConferencesEnded(earlier),
    ]
}

impl RunningEdge {
    /// Binds all sockets, starts the threads and returns once calls are accepted. Waits for the peers' host names at
    /// most as long as one DNS look-up may take.
    ///
    /// # Errors
    /// Returns the part that cannot be bound, opened or started; no thread is left running.
    pub fn start(config: Config) -> Result<RunningEdge, StartError> {
        RunningEdge::start_standing_for(config, None)
    }

    /// Starts like [`Self::start`]; requests to `name`, the public name of an application, go to its local address.
    ///
    /// # Errors
    /// Same as [`Self::start`].
    pub fn start_standing_for(config: Config, name: Option<PublicName>) -> Result<RunningEdge, StartError> {
        RunningEdge::start_with(config, name, None)
    }

    /// Starts like [`Self::start`], with the sockets and calls of a predecessor process. Its media sessions arrive
    /// later, on a thread of their own.
    ///
    /// # Errors
    /// Same as [`Self::start`].
    pub fn start_after(config: Config, predecessor: Predecessor) -> Result<RunningEdge, StartError> {
        RunningEdge::start_with(config, None, Some(predecessor))
    }

    fn start_with(
        config: Config,
        name: Option<PublicName>,
        predecessor: Option<Predecessor>,
    ) -> Result<RunningEdge, StartError> {
        log::watch_panics();
        let opened = OpenedEdge::open(config, name, predecessor)?;
        let OpenedEdge { bound, http, http_address, link, restored, kept, store, records, workers, media, .. } = opened;
        let OpenedEdge { resolver, gateway_config, message_bytes, table, addressing, first, shared, state, .. } =
            opened;
        let (epoch, listeners) = (gateway_config.epoch, shared.listeners.clone());
        let ((orders, orders_in), (reports, reports_in)) =
            (mpsc::channel(limits::ORDERS), mpsc::channel(limits::REPORTS));
        let (((hep, otel), copies), (names_in, names)) = (copies(&shared), mpsc::channel(limits::NAME_QUESTIONS));
        let ((sms, texts, sms_in), (load_in, load)) = (sms::desk(), watch::channel(EdgeLoad::default()));
        let (table_in, tables) = watch::channel(Arc::clone(&table));
        let (recordings, recording) = start_recordings((&store, restored.as_ref()), &shared, &orders, &workers)?;
        let handle =
            EdgeHandle { orders, load, table: tables, reports, sms, store, recordings, shared: Arc::clone(&shared) };
        let (texting, own) = (start_texts(sms_in, &handle).map_err(StartError::Store)?, handle.clone());
        let ((desk, callbacks, conferences), mut beside) = start_beside(&handle, epoch.0)?;
        let begin = move || -> io::Result<SignallingLoop> {
            let (mut gateway, sockets) = (Gateway::new(gateway_config, table, addressing), Arc::clone(&shared.sockets));
            first.into_iter().for_each(|input| gateway.handle_input(Instant::now(), input));
            let kept = restored.map(|calls| restore(&mut gateway, calls, &own.reports, &shared.call_state));
            Ok(SignallingLoop {
                transports: Transports::start(bound, own.table, shared.tls.subscribe(), message_bytes, sockets, kept)?,
                state: start_state(state, &mut gateway, &shared.call_state)?,
                gateway,
                workers,
                media,
                orders: orders_in,
                names: names_in,
                apps: desk,
                reports: own.reports,
                texts,
                hep,
                otel,
                table: table_in,
                load: load_in,
                shared,
                failed: VecDeque::new(),
                unasked: VecDeque::new(),
                leaving: VecDeque::new(),
                conferences,
                recordings: RecordingInterface::new(own.recordings),
                intake: trunkgate_call::SipIntake::default(),
                clock: ClockMonitor::new(epoch),
                successor: None,
            })
        };
        let signalling = start_signalling(begin).map_err(system("the signalling loop"))?;
        beside.extend(receiving(link, &handle)?);
        let mut edge = RunningEdge {
            listeners,
            http: http_address,
            challenge: http.challenge_address(),
            kept,
            handle,
            signalling: Some(signalling),
            texting: Some(texting),
            auxiliary: None,
            beside,
            records: Some(start_records(records, reports_in).map_err(system("the call record writer"))?),
            recordings: Some(recording),
            stop: Arc::default(),
        };
        edge.start_auxiliary(http, (resolver, names), (copies, callbacks)).map_err(system("the HTTP server"))?;
        Ok(edge)
    }

    /// Starts the auxiliary thread and waits until the peers' names are resolved; calls are accepted from then on.
    fn start_auxiliary(
        &mut self,
        http: HttpSockets,
        (resolver, questions): (Resolver, mpsc::Receiver<NameQuestion>),
        (copies, callbacks): (MonitoringSenders, callbacks::StoredCallbackSender),
    ) -> io::Result<()> {
        let (settled, wait) = sync_channel(1);
        let (handle, stop) = (self.handle.clone(), Arc::clone(&self.stop));
        let names = NameResolver::new(resolver, handle.clone(), questions, settled);
        let auxiliary = AuxiliaryThread { http, handle, stop, names, copies, callbacks };
        let (builder, runtime) = runtime("auxiliary")?;
        self.auxiliary = Some(builder.spawn(move || {
            runtime.block_on(auxiliary.run());
            runtime.shutdown_background();
        })?);
        // Each look-up ends after `LOOKUP_SECONDS`.
        let _ = wait.recv_timeout(Duration::from_secs(limits::LOOKUP_SECONDS + 1));
        self.handle.shared.begin_service();
        Ok(())
    }

    /// Returns a handle for commands to the edge; clones are independent.
    pub fn handle(&self) -> EdgeHandle {
        self.handle.clone()
    }

    /// Returns the addresses as `udp=127.0.0.1:5060 tcp=127.0.0.1:5060 http=127.0.0.1:8080`: SIP listeners in order,
    /// then HTTP, then `api=` and `acme=` if these servers exist.
    pub fn addresses(&self) -> String {
        let mut text = String::new();
        for listener in &self.listeners {
            text.push_str(&format!("{}={} ", listener.transport.as_str(), listener.address));
        }
        text.push_str(&format!("http={}", self.http));
        if let Some(api) = self.handle.shared.own.borrow().api() {
            text.push_str(&format!(" api={api}"));
        }
        if let Some(challenge) = self.challenge {
            text.push_str(&format!(" acme={challenge}"));
        }
        text
    }

    /// Removes and returns the receiver of requests to replace this process; `None` if it was taken before. While no
    /// receiver exists, every request is rejected.
    pub fn take_upgrades(&mut self) -> Option<mpsc::Receiver<UpgradeRequest>> {
        self.kept.upgrades.take()
    }

    /// Returns whether the predecessor process was draining.
    pub fn was_draining(&self) -> bool {
        self.kept.was_draining
    }

    /// Returns the listening addresses of the configuration at the start.
    pub fn places(&self) -> &ListeningPlaces {
        &self.kept.places
    }

    /// Hands all answered calls over to a successor process that is ready, first the calls and then their media
    /// sessions. Signalling ends before that. If the successor fails before it continues the calls, they can be handed
    /// over to another one.
    ///
    /// # Errors
    /// Returns an error if the signalling loop has ended by itself, or if the successor has ended or does not respond
    /// in time. A later failure only makes [`HandedOver::is_complete`] false.
    pub fn hand_over(&mut self, link: &mut HandoverLink) -> io::Result<HandedOver> {
        let mut frozen = match self.kept.frozen.take() {
            Some(frozen) => frozen,
            None => self.freeze()?,
        };
        let given = give_calls(link, &frozen, &self.kept.sockets);
        // No other process may use the keys of TLS that this one has got.
        frozen.close_tls();
        if let Err(error) = given {
            self.kept.frozen = Some(frozen);
            return Err(error);
        }
        // From here on the calls belong to the successor.
        let FrozenCalls { handed, connections, workers, mixers } = frozen;
        drop(connections);
        let given = give_sessions(link, (&workers, &mixers), &self.handle.recordings);
        if let Err(error) = &given {
            tracing::error!(
                "not all media sessions were handed over: {error}; the audio of the remaining calls may be interrupted"
            );
        }
        workers.stop();
        drop(mixers);
        if let Some(threads) = self.recordings.take() {
            threads.stop();
        }
        Ok(HandedOver { calls: handed.calls.calls.len(), is_complete: given.is_ok() })
    }

    /// Ends signalling and the threads that depend on it, and returns the calls; media workers and recordings continue.
    fn freeze(&mut self) -> io::Result<FrozenCalls> {
        let (successor, frozen) = sync_channel(1);
        self.end_signalling(SignallingCommand::HandOver(successor));
        let frozen = frozen.recv().map_err(|_| io::Error::other("the signalling loop had ended"))?;
        self.stop_threads(Some(frozen.handed.calls.recordings().map(|(id, _)| id).collect()));
        self.handle.store.close();
        Ok(frozen)
    }

    /// Stops the threads, sends all queued data and writes the last call records. Active calls are dropped without BYE:
    /// drain or end them before.
    pub fn shutdown(mut self) {
        self.stop_threads(None);
    }

    /// Sends the signalling loop a command that ends it, and waits for its end.
    fn end_signalling(&mut self, command: SignallingCommand) {
        if let Some(thread) = self.signalling.take() {
            let mut order = command;
            while let Err(mpsc::error::TrySendError::Full(again)) = self.handle.orders.try_send(order) {
                order = again;
                std::thread::sleep(Duration::from_millis(1));
            }
            if thread.join().is_err() {
                tracing::error!(
                    "a bug ended the signalling loop, which handles all SIP: please report this with the log"
                );
            }
        }
    }

    /// Stops the threads. With `kept`, the recording threads continue with these recordings until a successor takes
    /// them over.
    fn stop_threads(&mut self, kept: Option<Vec<RecordingId>>) {
        self.end_signalling(SignallingCommand::Stop);
        if let Some(thread) = self.texting.take() {
            // Messages queued by the last calls are sent before the stop.
            let mut order = SmsOrder::Stop;
            while let Err(mpsc::error::TrySendError::Full(again)) = self.handle.sms.try_send(order) {
                order = again;
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = thread.join();
        }
        self.handle.shared.alerts.end();
        for thread in self.beside.drain(..) {
            // Their senders have ended: the signalling loop, and that of alerts.
            let _ = thread.join();
        }
        match (kept, &mut self.recordings) {
            (Some(kept), Some(threads)) => threads.keep_only(kept),
            (_, threads) => threads.take().into_iter().for_each(recordings::RecordingThreads::stop),
        }
        if let Some(thread) = self.auxiliary.take() {
            self.stop.notify_one();
            let _ = thread.join();
        }
        if let Some(thread) = self.records.take() {
            // The auxiliary thread has sent `ReportOrder::End`.
            let _ = thread.join();
        }
    }
}

impl Drop for RunningEdge {
    fn drop(&mut self) {
        self.stop_threads(None);
        if let Some(FrozenCalls { workers, .. }) = self.kept.frozen.take() {
            workers.stop();
        }
    }
}

/// Configuration as written in the file, and the effective one with the number overrides set through the API.
struct StartConfigs {
    written: Config,
    in_force: Config,
    overrides: Option<NumberOverrides>,
}

impl StartConfigs {
    /// Reads number overrides from the store and creates the first route table. If the store fails for a recoverable
    /// reason (disk), the overrides are read later.
    fn start(written: Config, store: &Store) -> Result<(StartConfigs, Arc<RoutingTable>), StartError> {
        let overrides = match overrides::at_start(store, &written) {
            Err(error) if !written.data.is_required && may_recover(&error) => {
                tracing::error!(
                    reason = "store_failed",
                    "settings of numbers made by API requests are not in force until the store can be read: {error}"
                );
                None
            }
            read => read.map_err(StartError::Store)?,
        };
        let in_force = overrides.as_ref().map_or_else(|| written.clone(), |set| written.overridden(set));
        let table = first_table(&in_force).map_err(system("a thread"))?;
        Ok((StartConfigs { written, in_force, overrides }, table))
    }
}

/// Starts the store and opens the call record file. The store is opened at once if undelivered data depends on it. A
/// failing disk is reported by `status`; it prevents the start only with `data_required`. `continued` are the SIDs of
/// calls that this process continues.
fn open_records(config: &Config, continued: BTreeSet<String>) -> Result<(Store, records::Writer), StartError> {
    let is_required = config.data.is_required;
    let store = Store::start(config.data.clone()).map_err(system("the store"))?;
    if needs_store(config) {
        let opened = store.open_now();
        opened.or_else(
            |error| if is_required || !may_recover(&error) { Err(StartError::Store(error)) } else { Ok(()) },
        )?;
    }
    if let Some(recording) = config.recording.as_ref().filter(|_| is_required) {
        recordings::try_directory(&recording.directory).map_err(StartError::Recordings)?;
    }
    let calls = Arc::new(CallList::new(store.clone(), config.api.kept_calls()));
    let records = records::Writer::open(&config.cdr, store.clone(), calls, (is_required, continued));
    Ok((store, records.map_err(StartError::CallRecords)?))
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::System { what, error }
}

/// Starts the thread that receives the media sessions of the predecessor process; `None` without a predecessor.
fn receiving(link: Option<HandoverLink>, handle: &EdgeHandle) -> Result<Option<JoinHandle<()>>, StartError> {
    let started = link.map(|link| start_receiving(link, handle.orders.clone(), handle.recordings.clone()));
    started.transpose().map_err(system("the hand-over"))
}

/// Starts the thread that sends text messages; its notes go into the trace of the call concerned.
fn start_texts(texts: SmsThread, handle: &EdgeHandle) -> io::Result<JoinHandle<()>> {
    let settings = handle.shared.running(|running| (Outlets::of(&running.config), running.config.log.full_numbers));
    let orders = handle.orders.clone();
    // If the command queue of the loop is full, the note is in the log only.
    let note = Box::new(move |call: &str, text: String| {
        let _ = orders.try_send(SignallingCommand::note(call, TraceItem::decision(text)));
    });
    texts.start(handle.store.clone(), settings.0, settings.1, Arc::clone(&handle.shared.sms), note)
}

/// Starts the recording threads; gaps and ends are noted in the trace of the call. The files of restored calls'
/// recordings arrive later from the predecessor process.
fn start_recordings(
    (store, restored): (&Store, Option<&RestoredCalls>),
    shared: &EdgeState,
    orders: &mpsc::Sender<SignallingCommand>,
    workers: &Workers,
) -> Result<(RecordingsHandle, recordings::RecordingThreads), StartError> {
    let http = shared.own.borrow().http();
    let settings = shared.running(|running| {
        let links = http.and_then(|http| config::recording_links(&running.config, &running.boot.api.account_sid, http));
        (running.config.recording.clone(), links)
    });
    let sids = |restored: &RestoredCalls| restored.calls.recordings().map(|(_, sid)| sid.to_owned()).collect();
    let continued = restored.map(sids).unwrap_or_default();
    let orders = orders.clone();
    let tell = Arc::new(move |event: recordings::RecordingEvent| {
        let may_wait =
            matches!(event, recordings::RecordingEvent::Finished(_) | recordings::RecordingEvent::Messages(_));
        let (note, input) = match event {
            recordings::RecordingEvent::Messages(messages) => (None, Some(GatewayInput::Messages(counts(messages)))),
            event @ (recordings::RecordingEvent::Gap(_)
            | recordings::RecordingEvent::Losing(..)
            | recordings::RecordingEvent::Finished(_)) => (event.in_words(), event.input()),
        };
        let note = note.map(|(sid, text)| SignallingCommand::note(&sid, TraceItem::decision(text)));
        // The end of a file is two commands: a note for the trace, also for recordings of an earlier process, which the
        // core does not know; and the input on which the call continues or ends.
        for order in note.into_iter().chain(input.map(SignallingCommand::Input)) {
            // Threads that close files may wait for the loop; the writing thread may not, so the log has notes that do
            // not fit into the queue.
            let _ = if may_wait { orders.blocking_send(order).ok() } else { orders.try_send(order).ok() };
        }
    });
    let started = RecordingsHandle::start((store.clone(), continued), settings, Arc::clone(&shared.recordings), tell);
    let started = started.map_err(system("recordings"))?;
    workers.record_by(&started.0);
    if let Some(calls) = restored.filter(|restored| restored.left.is_some()) {
        started.0.reopen(calls.calls.interrupted_recordings().collect());
    }
    Ok(started)
}

/// Converts message counts of mailboxes to the gateway's type (message-waiting indication).
fn counts(messages: Vec<recordings::MailboxCounts>) -> Vec<MailboxMessages> {
    let counted = |one: recordings::MailboxCounts| MailboxMessages {
        name: one.mailbox,
        count: MessageCount { new: one.new, old: one.heard },
        bytes: one.bytes,
    };
    messages.into_iter().map(counted).collect()
}

/// Returns the route table before any host name is resolved, and starts loading what its number formats need.
fn first_table(config: &Config) -> io::Result<Arc<RoutingTable>> {
    let table = Arc::new(config.table(&ResolvedServers::new()));
    if table.formats_nationally() {
        warm_up(&table)?;
    }
    Ok(table)
}

/// Loads the library for national formats in the background; the first call would otherwise wait 12 ms for it.
fn warm_up(table: &Arc<RoutingTable>) -> io::Result<()> {
    let table = Arc::clone(table);
    std::thread::Builder::new().name("numbers".to_owned()).spawn(move || table.numbers().warm_up()).map(drop)
}

/// Senders to the threads that [`start_beside`] starts.
type CompanionSenders = (apps::AppSender, callbacks::StoredCallbackSender, conferences::MixerHandle);

/// Senders to the threads that [`start_apps`] starts.
type AppSenders = (apps::AppSender, callbacks::StoredCallbackSender);

/// Returns the function that passes conference audio to the recording writer. Never blocks: blocks that do not fit into
/// the queue leave a gap.
fn recorded_by(writer: RecordingsHandle) -> impl FnMut(RecordingId, Recorded<'_>) + Send + 'static {
    move |recording, piece| match piece {
        Recorded::Audio { first, samples } => {
            // The writer counts refused blocks itself.
            let block = recordings::FrameBlock { recording, first, at: Instant::now(), samples: samples.into() };
            let _ = writer.write(block);
        }
        Recorded::End { sound, .. } => writer.end(recording, sound),
    }
}

/// Starts the threads of [`start_apps`], which end with the signalling loop, and the conference mixer.
fn start_beside(handle: &EdgeHandle, epoch: Instant) -> Result<(CompanionSenders, Vec<JoinHandle<()>>), StartError> {
    let conferences = conferences::MixerHandle::start(epoch, recorded_by(handle.recordings.clone()))
        .map_err(system("the mixer of conferences"))?;
    let ((desk, callbacks), threads) = start_apps(handle).map_err(system("the client of webhooks"))?;
    Ok(((desk, callbacks, conferences), threads))
}

/// Starts the webhook thread, and the thread of callbacks and alerts. They are separate, so that a slow receiver delays
/// no document.
fn start_apps(handle: &EdgeHandle) -> io::Result<(AppSenders, Vec<JoinHandle<()>>)> {
    let (callbacks, sender) = start_callbacks(handle)?;
    let (questions, questions_in) = mpsc::channel(limits::APP_QUESTIONS);
    let asking = AppQueryRunner::new(handle.clone(), questions_in);
    let (builder, runtime) = runtime("apps")?;
    let thread = builder.spawn(move || {
        runtime.block_on(asking.keep());
        runtime.shutdown_background();
    })?;
    let stored = callbacks.for_stored();
    handle.recordings.report_by(stored.clone());
    Ok(((apps::AppSender { questions, callbacks }, stored), vec![thread, sender]))
}

fn start_callbacks(handle: &EdgeHandle) -> io::Result<(callbacks::CallbackSender, JoinHandle<()>)> {
    let figures = &handle.shared.callbacks;
    let (desk, incoming) = callbacks::desk(figures);
    let sender = CallbackWorker::new(handle.store.clone(), means_of_callbacks(handle), Arc::clone(figures));
    let (builder, runtime) = runtime("callbacks")?;
    let alerts = handle.shared.alerts.keep(handle.store.clone());
    let thread = builder.spawn(move || {
        runtime.block_on(async { tokio::join!(sender.keep(incoming), alerts) });
        runtime.shutdown_background();
    })?;
    Ok((desk, thread))
}

fn resolver(listeners: &[BoundListener]) -> Result<Resolver, StartError> {
    let means = means(listeners.iter().map(|one| (one.transport, one.address)));
    Resolver::new(means).map_err(system("the DNS resolver"))
}

fn listener(bound: &BoundSocket) -> BoundListener {
    BoundListener { name: bound.name.clone(), transport: bound.transport, address: bound.address }
}

/// Returns 32 random bytes of the operating system, the seed for a core's identifiers and keys.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

fn gateway_config(config: &Config) -> io::Result<GatewayConfig> {
    let seed = seed()?;
    Ok(GatewayConfig {
        name: config.edge.name.clone(),
        epoch: (Instant::now(), clock::wall()),
        seed,
        max_calls: config.limits.calls,
        calls_per_second: config.limits.calls_per_second,
        sip_message_bytes: config.limits.sip_message_bytes,
        media_ports: config.media.ports,
        latch: config.media.latch,
        idle_timeout: config.media.idle_timeout,
        full_numbers: config.log.full_numbers,
        account_sid: config.api.account_sid.clone(),
    })
}

/// Returns the rules that choose the local address announced to each remote party, by the routing table of this
/// machine.
fn addressing_of(configs: &StartConfigs, listeners: &[BoundListener], table: &RoutingTable) -> Addressing {
    addressing(&configs.in_force, listeners, &machine_addresses(table))
}

fn shared(
    StartConfigs { written, in_force, overrides }: StartConfigs,
    (listeners, own, upgrades): (Vec<BoundListener>, watch::Sender<OwnSockets>, mpsc::Sender<UpgradeRequest>),
    (addressing, table): (&Addressing, &Arc<RoutingTable>),
    settings: transport::TlsSettings,
    (workers, records): (&Workers, &records::Writer),
) -> Arc<EdgeState> {
    let (now, stamps) = (clock::now(), stamps(&written));
    let running = RunningConfig {
        boot: written.clone(),
        restart_needed: Vec::new(),
        last_rejected: None,
        config: in_force,
        written,
        overrides,
        warnings: 0,
        warned: Vec::new(),
        loaded_at: now,
        names: ResolvedServers::new(),
        table: Arc::clone(table),
        interfaces: addressing.interfaces.clone(),
        stamps,
        certificate_faults: Vec::new(),
    };
    let events = EventChannel::new();
    Arc::new(EdgeState {
        alerts: AlertSender::new(running.boot.alerts.clone()),
        hep: watch::Sender::new(hep::HepTarget::of(&running.boot)),
        otel: watch::Sender::new(otel::OtelTarget::of(&running.boot)),
        started: Instant::now(),
        started_at: now,
        listeners,
        own,
        phase: watch::Sender::new(EdgePhase::Starting),
        running: Mutex::new(running),
        problems: Mutex::default(),
        reloads_ok: AtomicU64::new(0),
        reloads_failed: AtomicU64::new(0),
        last_reload_ok: AtomicBool::new(true),
        reloading: tokio::sync::Mutex::default(),
        reloads_waiting: Arc::new(Semaphore::new(limits::RELOADS)),
        reloads_reading: Arc::new(Semaphore::new(limits::RELOADS_READING)),
        sockets: Arc::new(SocketCounters::default()),
        http: Arc::default(),
        workers: workers.counters().to_vec(),
        cdr: records.figures(),
        webhooks: WebhookFigures::default(),
        message_webhooks: MessageLog::default(),
        api: ApiLog::default(),
        proxy_refusals: ProxyRefusals::default(),
        logins: HttpLogins::default(),
        callbacks: Arc::default(),
        recordings: Arc::default(),
        call_state: Arc::default(),
        sms: Arc::default(),
        calls: records.calls(),
        hep_counters: Arc::default(),
        otel_counters: Arc::default(),
        pulse: Mutex::default(),
        history: Mutex::new(EdgeHistory::of(events.subscribe())),
        events,
        refresh: Notify::new(),
        renamed: Notify::new(),
        stale_names: StaleNames::default(),
        lost_agents: LostAgents::default(),
        acme: AcmeReport::default(),
        tls: watch::Sender::new(Arc::new(settings)),
        upgrades,
    })
}

fn runtime(name: &str) -> io::Result<(std::thread::Builder, Runtime)> {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(16).build()?;
    Ok((std::thread::Builder::new().name(name.into()), runtime))
}

/// Starts the thread that writes call records, so that a slow disk delays nothing else.
fn start_records(writer: records::Writer, orders: mpsc::Receiver<ReportOrder>) -> io::Result<JoinHandle<()>> {
    let (builder, runtime) = runtime("records")?;
    builder.spawn(move || {
        runtime.block_on(writer.serve(orders));
        runtime.shutdown_background();
    })
}

/// Runs the signalling loop on its own thread and waits until its sockets are registered.
fn start_signalling(begin: impl FnOnce() -> io::Result<SignallingLoop> + Send + 'static) -> io::Result<JoinHandle<()>> {
    let (begun, wait): (SyncSender<io::Result<()>>, _) = sync_channel(1);
    let (builder, runtime) = runtime("signalling")?;
    let thread = builder.spawn(move || {
        let entered = runtime.enter();
        let signalling = begin();
        drop(entered);
        match signalling {
            Ok(signalling) => {
                let _ = begun.send(Ok(()));
                runtime.block_on(signalling.run());
            }
            Err(error) => drop(begun.send(Err(error))),
        }
        runtime.shutdown_background();
    })?;
    match wait.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("it ended by a panic")),
    }
}

/// Senders of call data to monitoring systems: HEP (SIP messages) and OpenTelemetry (traces).
struct MonitoringSenders {
    hep: hep::HepTask,
    otel: otel::OtelTask,
}

/// Creates the HEP and OpenTelemetry senders, and the queues into which the signalling loop writes.
fn copies(shared: &EdgeState) -> ((hep::HepSender, otel::OtelSender), MonitoringSenders) {
    let full_numbers = shared.running(|running| running.boot.log.full_numbers);
    let (to_hep, hep) = hep::desk(shared.hep.subscribe(), &shared.hep_counters);
    let (to_otel, otel) = otel::desk(shared.otel.subscribe(), &shared.otel_counters, full_numbers);
    ((to_hep, to_otel), MonitoringSenders { hep, otel })
}

/// State of the auxiliary thread: everything that may wait for name servers and HTTP clients.
struct AuxiliaryThread {
    http: HttpSockets,
    handle: EdgeHandle,
    stop: Arc<Notify>,
    names: NameResolver,
    copies: MonitoringSenders,
    callbacks: callbacks::StoredCallbackSender,
}

impl AuxiliaryThread {
    async fn run(self) {
        let AuxiliaryThread { http, handle, stop, names, copies: MonitoringSenders { hep, otel }, callbacks } = self;
        let HttpSockets { http, api, challenge } = http;
        let refresher = tokio::spawn(reload::keep_fresh(handle.clone()));
        let names = tokio::spawn(names.keep());
        let agents = tokio::spawn(worker::keep_agent_names(handle.table.clone()));
        let probes = tokio::spawn(AgentProber::new(handle.clone()).keep());
        // Both end by themselves after the signalling loop, once their queues are empty.
        let (hep, otel) = (tokio::spawn(hep.run()), tokio::spawn(otel.run()));
        let server = tokio::spawn(admin::serve(http, api, handle.clone()));
        let history = tokio::spawn(sampling::keep(handle.clone()));
        let problems = tokio::spawn(admin::watch_problems(handle.clone()));
        let messages = tokio::spawn(messages::keep(handle.clone(), callbacks));
        let pruning = tokio::spawn(Arc::clone(&handle.shared.calls).keep_pruned());
        let numbers = tokio::spawn(overrides::read_late(handle.clone()));
        let acme = tokio::spawn(acme::keep(handle.clone(), challenge));
        stop.notified().await;
        refresher.abort();
        history.abort();
        problems.abort();
        messages.abort();
        pruning.abort();
        numbers.abort();
        acme.abort();
        server.abort();
        names.abort();
        agents.abort();
        probes.abort();
        let _ = (refresher.await, server.await, names.await, agents.await, probes.await, history.await, problems.await);
        let _ = messages.await;
        let _ = (pruning.await, numbers.await, acme.await);
        let _ = tokio::time::timeout(Duration::from_secs(limits::HEP_LAST_SECONDS), hep).await;
        let _ = otel.await;
        // The signalling loop has ended: no call record follows.
        let _ = handle.reports.send(ReportOrder::End).await;
    }
}
