//! A bench for one gateway: virtual time, peers scripted line by line, and a media worker that only keeps records.
//! Invariants are checked after every step.
#![allow(dead_code, unreachable_pub)] // no test uses all of it
#![allow(clippy::unwrap_used, clippy::panic)] // only tests use it

pub mod agents;
pub mod credentials;
pub mod early;
pub mod sessions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use trunkgate_call::gateway::GatewaySnapshot;
use trunkgate_call::view::ForkView;
use trunkgate_call::{
    Addressing, AppCallback, AppQuestion, CallAction, CallControl, CallParty, CallRecord, ConferenceReport, CrashGap,
    DayCount, EdgeSettings, ForkAction, ForkControl, ForkRequest, Gateway, GatewayConfig, GatewayControl, GatewayInput,
    GatewayOutput, Interfaces, KeptStream, ListenerSpec, OperatorCommand, QueryId, RecordingBegun, RequestRefusal,
    SmsEvent, TransferMode,
};
use trunkgate_conference::NodeCommand;
use trunkgate_media::{EndId, LatchMode, MediaCommand, MediaEvent, MediaId};
use trunkgate_route::{
    Destination, DestinationServer, NumberingPlan, Pattern, Peer, Route, RoutingTable, TableDefinition, TargetSpec,
    Trunk,
};
use trunkgate_sip::{ConnectionId, Flow, ListenerId, Method, SipMessage, Transport};

/// The carrier: an external peer, which gets our public address.
pub const CARRIER: &str = "198.51.100.7:5060";
/// The PBX: an internal peer, which gets our local address.
pub const PBX: &str = "10.0.0.20:5060";
/// A second peer of the PBX trunk, for some tests.
pub const PBX2: &str = "10.0.0.21:5060";
/// A further trunk.
pub const BACKUP: &str = "10.0.0.30:5060";
/// Our address towards the carrier.
pub const PUBLIC: &str = "203.0.113.10";
/// Our address towards the PBX.
pub const LOCAL: &str = "10.0.0.5";

/// A message that the gateway sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub to: SocketAddr,
    pub message: SipMessage,
    pub text: String,
}

impl Sent {
    /// Returns the first line.
    pub fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// Returns all values of a header, in order.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// Returns the only value of a header.
    pub fn header(&self, name: &str) -> &str {
        let all = self.headers(name);
        assert_eq!(all.len(), 1, "{name} in:\n{}", self.text);
        all[0]
    }

    /// Returns the body.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// Returns the tag of a header.
    pub fn tag(&self, name: &str) -> String {
        let value = self.header(name);
        value.split(";tag=").nth(1).unwrap_or_default().split(';').next().unwrap_or_default().to_owned()
    }

    /// Returns the audio port of its session description.
    pub fn port(&self) -> u16 {
        let line = self
            .body()
            .lines()
            .find(|line| line.starts_with("m=audio "))
            .unwrap_or_else(|| panic!("no m= in {}", self.text));
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Returns the status code.
    pub fn code(&self) -> u16 {
        self.message.code().unwrap_or_default()
    }
}

/// Returns an offer or answer of a peer.
pub fn sdp(ip: &str, port: u16, version: u64, formats: &str, direction: &str) -> String {
    format!(
        "v=0\r\no=peer 77 {version} IN IP4 {ip}\r\ns=x\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    )
}

/// Returns the caller's usual offer.
pub fn offer() -> String {
    sdp("198.51.100.7", 40_000, 1, "0 8 101", "sendrecv")
}

/// Returns the PBX's usual answer.
pub fn answer() -> String {
    sdp("10.0.0.20", 30_000, 1, "0 101", "sendrecv")
}

/// Returns a trunk with these addresses.
pub fn trunk(name: &str, addresses: &[&str]) -> Trunk {
    let peer = |address: &&str| {
        let address: SocketAddr = address.parse().unwrap();
        Peer::at(address.ip(), Some(address.port()), Transport::Udp)
    };
    Trunk { peers: addresses.iter().map(peer).collect(), ..Trunk::named(name) }
}

/// Returns a host name to look up.
pub fn name(host: &str) -> Destination {
    Destination { host: host.into(), port: None, transport: Transport::Udp, is_fixed: false }
}

/// Returns a route for everything.
pub fn route(connect: Vec<TargetSpec>) -> Route {
    Route::named("main", connect)
}

/// Returns the target `trunk:NAME`.
pub fn to_trunk(name: &str) -> TargetSpec {
    TargetSpec::Trunk { name: name.into(), number: None, weight: None }
}

/// Returns a table of trunks and routes.
pub fn table(trunks: Vec<Trunk>, routes: Vec<Route>) -> Arc<RoutingTable> {
    Arc::new(RoutingTable::new(TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks,
        agents: vec![],
        routes,
    }))
}

/// Returns a carrier, a PBX and a backup; calls to `+1415…` go to the PBX, then to the backup.
pub fn usual_trunks() -> Vec<Trunk> {
    vec![trunk("carrier", &[CARRIER]), trunk("pbx", &[PBX]), trunk("backup", &[BACKUP])]
}

pub fn addressing() -> Addressing {
    let listener = |id, transport, port| ListenerSpec {
        id: ListenerId(id),
        name: format!("l{id}"),
        transport,
        bound: SocketAddr::from(([0, 0, 0, 0], port)),
        public_addresses: vec![],
    };
    Addressing {
        listeners: vec![
            listener(0, Transport::Udp, 5060),
            listener(1, Transport::Tcp, 5060),
            listener(2, Transport::Tls, 5061),
        ],
        public_addresses: vec![PUBLIC.parse().unwrap()],
        local_networks: vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.0/8".parse().unwrap()],
        interfaces: Interfaces {
            networks: vec![("10.0.0.0/8".parse().unwrap(), LOCAL.parse().unwrap())],
            default_v4: Some("192.0.2.5".parse().unwrap()),
            ..Interfaces::default()
        },
        media_bind: vec!["0.0.0.0".parse().unwrap()],
    }
}

/// The bench of one gateway.
pub struct Bench {
    pub gateway: Gateway,
    pub now: Instant,
    pub start: Instant,
    pub sent: VecDeque<Sent>,
    pub media: Vec<(MediaId, MediaCommand)>,
    pub reports: Vec<CallRecord>,
    /// Calls reported as begun, without a record yet.
    pub began: BTreeSet<String>,
    pub logs: Vec<String>,
    pub texts: Vec<SmsEvent>,
    pub changes: Vec<trunkgate_call::EdgeEvent>,
    /// Sampled calls, output at their end.
    pub sampled: Vec<trunkgate_call::SampledCall>,
    pub counts: Vec<DayCount>,
    pub resolves: Vec<(QueryId, String)>,
    /// Questions of applications.
    pub questions: VecDeque<AppQuestion>,
    /// Recording events for applications.
    pub recordings: Vec<RecordingBegun>,
    /// Ended conferences.
    pub conferences: Vec<ConferenceReport>,
    pub callbacks: Vec<AppCallback>,
    /// Commands to the mixers of conferences.
    pub mixer: Vec<NodeCommand>,
    /// Cancelled questions.
    pub given_up: Vec<QueryId>,
    /// Sources of answered keep-alives.
    pub pongs: Vec<SocketAddr>,
    /// Connections on which a phone has registered.
    pub registered: Vec<ConnectionId>,
    /// Whether the worker reports bound and closed ends by itself.
    pub worker: bool,
    ends: BTreeMap<(MediaId, EndId), u16>,
    config: GatewayConfig,
    calls: u32,
}

impl Bench {
    /// Creates a bench with the usual trunks: calls from the carrier go to the PBX, then to the backup; calls from the
    /// PBX to the carrier.
    pub fn new() -> Bench {
        let to_number =
            Route { to: vec![Pattern::parse("+1415*").unwrap()], ..route(vec![to_trunk("pbx"), to_trunk("backup")]) };
        Bench::with(table(usual_trunks(), vec![to_number]))
    }

    /// Creates a bench with a table.
    pub fn with(table: Arc<RoutingTable>) -> Bench {
        Bench::configured(table, |_| {})
    }

    /// Creates a bench with a table and changed settings.
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    pub fn configured(table: Arc<RoutingTable>, change: impl FnOnce(&mut GatewayConfig)) -> Bench {
        let now = Instant::now();
        let mut config = GatewayConfig {
            name: "edge-1".into(),
            epoch: (now, UNIX_EPOCH + Duration::from_secs(1_800_000_000)),
            seed: [7; 32],
            max_calls: 100,
            calls_per_second: 0,
            sip_message_bytes: 65_535,
            media_ports: (16_384, 16_883),
            latch: LatchMode::Strict,
            idle_timeout: Duration::from_secs(60),
            full_numbers: false,
            account_sid: format!("AC{:032x}", 0),
        };
        change(&mut config);
        let gateway = Gateway::new(config.clone(), table, addressing());
        Bench {
            gateway,
            now,
            start: now,
            sent: VecDeque::new(),
            media: vec![],
            reports: vec![],
            began: BTreeSet::new(),
            logs: vec![],
            texts: vec![],
            changes: vec![],
            sampled: vec![],
            counts: vec![],
            resolves: vec![],
            questions: VecDeque::new(),
            recordings: vec![],
            conferences: vec![],
            callbacks: vec![],
            mixer: vec![],
            given_up: Vec::new(),
            pongs: vec![],
            registered: vec![],
            worker: true,
            ends: BTreeMap::new(),
            config,
            calls: 0,
        }
    }

    /// Applies changed settings.
    pub fn configure(&mut self, change: impl FnOnce(&mut EdgeSettings)) {
        let mut settings = self.gateway.settings();
        change(&mut settings);
        self.input(GatewayInput::Configure(Box::new(settings)));
    }

    /// Replaces the gateway by another, restored from a serialised snapshot, without stream connections.
    pub fn restart(&mut self, table: Arc<RoutingTable>) {
        self.restart_keeping(table, &[]);
    }

    /// Replaces the gateway by another, restored from a serialised snapshot, with these connections.
    pub fn restart_keeping(&mut self, table: Arc<RoutingTable>, connections: &[u64]) {
        let snapshot = self.written();
        self.start_again(table, (connections, Vec::new()), snapshot);
    }

    /// Replaces the gateway by another to which the workers hand over the open streams of agents.
    pub fn hand_over(&mut self, table: Arc<RoutingTable>) {
        let (snapshot, streams) = (self.written(), self.gateway.open_streams());
        self.start_again(table, (&[], streams), snapshot);
    }

    /// Ends the gateway without a goodbye, and replaces it `down` later by another, restored from what it had written.
    pub fn crash(&mut self, table: Arc<RoutingTable>, down: Duration) {
        self.crash_with(table, down, |_| ());
    }

    /// Like [`Self::crash`], with a change of what had been written.
    pub fn crash_with(&mut self, table: Arc<RoutingTable>, down: Duration, change: impl FnOnce(&mut GatewaySnapshot)) {
        let mut snapshot = self.written();
        change(&mut snapshot);
        self.now += down;
        self.restore_left(table, snapshot, CrashGap::new(0, down));
    }

    /// Ends the gateway without a goodbye, and replaces it by another, restored from an earlier snapshot.
    pub fn restore_left(&mut self, table: Arc<RoutingTable>, mut snapshot: GatewaySnapshot, gap: CrashGap) {
        snapshot.outlive_crash(gap);
        snapshot.calls.iter_mut().for_each(|call| call.outlive_crash(gap));
        snapshot.conferences.outlive_crash(gap);
        self.start_again(table, (&[], Vec::new()), snapshot);
    }

    /// Returns the state of the gateway as written to a file and read again.
    pub fn written(&self) -> GatewaySnapshot {
        let text = serde_json::to_string(&self.gateway.snapshot(self.now)).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn start_again(
        &mut self,
        table: Arc<RoutingTable>,
        (connections, streams): (&[u64], Vec<KeptStream>),
        snapshot: GatewaySnapshot,
    ) {
        let EdgeSettings { recogniser, recordings, .. } = self.gateway.settings();
        // Processes that follow each other have different identifiers.
        self.config.seed = self.config.seed.map(|byte| byte + 1);
        self.gateway = Gateway::new(self.config.clone(), table, addressing());
        let settings = EdgeSettings { recogniser, recordings, ..self.gateway.settings() };
        self.gateway.handle_input(self.now, GatewayInput::Configure(Box::new(settings)));
        self.ends.clear();
        self.media.clear();
        self.sent.clear();
        self.gateway.keep_connections(connections.iter().map(|id| ConnectionId(*id)));
        self.gateway.keep_streams(streams);
        self.gateway.restore(self.now, snapshot);
        self.drain();
    }

    /// Gives the gateway an input.
    pub fn input(&mut self, input: GatewayInput) {
        self.gateway.handle_input(self.now, input);
        self.drain();
    }

    /// Receives a datagram.
    pub fn receive(&mut self, from: &str, text: impl AsRef<[u8]>) {
        let flow = udp(from);
        self.input(GatewayInput::Received { flow, bytes: Bytes::copy_from_slice(text.as_ref()) });
    }

    /// Drains the outputs of the gateway.
    pub fn drain(&mut self) {
        let mut news = vec![];
        while let Some(output) = self.gateway.poll_output() {
            match output {
                GatewayOutput::Transmit(transmit) => {
                    let text = String::from_utf8(transmit.bytes.to_vec()).unwrap();
                    let message = SipMessage::parse(transmit.bytes).unwrap();
                    assert_eq!(message.defect(), None, "{text}");
                    self.sent.push_back(Sent { to: transmit.flow.remote, message, text });
                }
                GatewayOutput::Media { id, command } => {
                    self.keep_books(id, &command, &mut news);
                    self.media.push((id, command));
                }
                GatewayOutput::Resolve { query, destination } => self.resolves.push((query, destination.host)),
                GatewayOutput::Conference(command) => self.mixer.push(*command),
                GatewayOutput::App(question) => self.questions.push_back(*question),
                GatewayOutput::Callback(callback) => self.callbacks.push(*callback),
                GatewayOutput::Recording(begun) => self.recordings.push(*begun),
                GatewayOutput::AppGivenUp(query) => self.given_up.push(query),
                GatewayOutput::Registered(connection) => self.registered.push(connection),
                GatewayOutput::Pong { flow } => self.pongs.push(flow.remote),
                GatewayOutput::Began(call) => assert!(self.began.insert(call.sid), "reported twice"),
                GatewayOutput::Report(record) => {
                    self.began.remove(&record.call.sid);
                    self.reports.push(*record);
                }
                GatewayOutput::Sms(sms) => self.texts.push(sms),
                GatewayOutput::Counted(count) => self.counts.push(count),
                GatewayOutput::ConferenceEnded(report) => self.conferences.push(*report),
                GatewayOutput::Changed(change) => self.changes.push(*change),
                GatewayOutput::Log(line) => self.logs.push(line.text),
                GatewayOutput::Captured(_) => {}
                GatewayOutput::Sampled(call) => self.sampled.push(*call),
            }
        }
        self.gateway.check_invariants().unwrap();
        for (id, event) in news {
            self.input(GatewayInput::Media { id, event });
        }
    }

    fn keep_books(&mut self, id: MediaId, command: &MediaCommand, news: &mut Vec<(MediaId, MediaEvent)>) {
        match command {
            MediaCommand::AddEnd { end, spec } => {
                assert_eq!(spec.bind.port() % 2, 0);
                assert!(!self.ends.values().any(|port| *port == spec.bind.port()), "a port twice");
                self.ends.insert((id, *end), spec.bind.port());
                if self.worker {
                    news.push((id, MediaEvent::Bound { end: *end }));
                }
            }
            MediaCommand::MoveEnd { end, to, named } => {
                let port = self.ends.remove(&(id, *end)).unwrap();
                assert!(self.ends.insert((*to, *named), port).is_none(), "an end twice");
            }
            MediaCommand::RemoveEnd { end } => {
                if let Some(port) = self.ends.remove(&(id, *end)).filter(|_| self.worker) {
                    news.push((id, MediaEvent::EndClosed { end: *end, port }));
                }
            }
            MediaCommand::Close => {
                let mine: Vec<_> = self.ends.keys().filter(|(media, _)| *media == id).copied().collect();
                for key in mine {
                    let port = self.ends.remove(&key).unwrap();
                    if self.worker {
                        news.push((id, MediaEvent::EndClosed { end: key.1, port }));
                    }
                }
                if self.worker {
                    news.push((id, MediaEvent::Closed));
                }
            }
            MediaCommand::Open { .. }
            | MediaCommand::Play { .. }
            | MediaCommand::ResumePlay { .. }
            | MediaCommand::SetRemote { .. }
            | MediaCommand::Wire { .. }
            | MediaCommand::Unwire { .. }
            | MediaCommand::AddAgent { .. }
            | MediaCommand::AddPlayer { .. }
            | MediaCommand::AddListener { .. }
            | MediaCommand::PauseRecorder { .. }
            | MediaCommand::Tap { .. }
            | MediaCommand::Press { .. }
            | MediaCommand::TellKeys { .. }
            | MediaCommand::TransferFailed { .. }
            | MediaCommand::TransferAccepted { .. } => {}
        }
    }

    /// Lets time pass, and fires the gateway's timeouts.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, _)) = self.gateway.poll_timeout().filter(|(at, _)| *at <= until) {
            self.now = at.max(self.now);
            self.gateway.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// Returns the next message to an address.
    pub fn next(&mut self, to: &str) -> Sent {
        let to: SocketAddr = to.parse().unwrap();
        let at = self.sent.iter().position(|s| s.to == to);
        let at = at.unwrap_or_else(|| panic!("nothing to {to}; sent: {:#?}", self.first_lines()));
        self.sent.remove(at).unwrap()
    }

    /// Returns the next message to an address, and checks its beginning.
    pub fn expect(&mut self, to: &str, begins: &str) -> Sent {
        let sent = self.next(to);
        assert!(sent.first_line().starts_with(begins), "expected {begins} to {to}, got:\n{}", sent.text);
        sent
    }

    /// Checks that no message is pending.
    pub fn nothing(&self) {
        assert!(self.sent.is_empty(), "{:#?}", self.first_lines());
    }

    fn first_lines(&self) -> Vec<String> {
        self.sent.iter().map(|s| format!("{} ← {}", s.to, s.first_line())).collect()
    }

    /// Sends an INVITE of a peer; its responses are taken from the wire.
    pub fn invite(&mut self, from: &str, number: &str, body: &str) -> Dialing {
        self.calls += 1;
        let dialing =
            Dialing { peer: from.into(), number: number.into(), call: self.calls, cseq: 1, to_tag: String::new() };
        let text = dialing.request("INVITE", body, "");
        self.receive(from, text);
        dialing
    }

    /// Expects the CANCEL of an INVITE, and ends its transaction as the callee.
    pub fn withdrawn(&mut self, callee: &Dialed) {
        let peer = &callee.peer;
        let cancel = self.expect(peer, "CANCEL");
        assert_eq!(cancel.header("Via"), callee.invite.header("Via"));
        self.receive(peer, callee.respond(&cancel, 200, ""));
        self.receive(peer, callee.answer(487, ""));
        self.expect(peer, "ACK");
    }

    /// Expects the CANCEL of an INVITE that the callee has just answered, then the ACK to its 200 and a BYE.
    pub fn answered_too_late(&mut self, callee: &Dialed) {
        let peer = &callee.peer;
        let cancel = self.expect(peer, "CANCEL");
        self.receive(peer, callee.respond(&cancel, 200, ""));
        self.receive(peer, callee.answer(200, &answer()));
        self.expect(peer, "ACK");
        let bye = self.expect(peer, "BYE");
        self.receive(peer, callee.respond(&bye, 200, ""));
    }

    /// Makes a call to the PBX with these descriptions, up to the caller's ACK.
    pub fn connected(&mut self, number: &str, offer: &str, answer: &str) -> (Dialing, Dialed) {
        let mut caller = self.invite(CARRIER, number, offer);
        self.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, self.expect(PBX, "INVITE"));
        self.receive(PBX, callee.answer(200, answer));
        self.expect(PBX, "ACK");
        caller.to_tag = self.expect(CARRIER, "SIP/2.0 200").tag("To");
        self.receive(CARRIER, caller.request("ACK", "", ""));
        (caller, callee)
    }

    /// Makes an answered call from the carrier to the PBX.
    pub fn answered(&mut self) -> (Dialing, Dialed) {
        let (caller, callee) = self.connected("+14155550100", &offer(), &answer());
        self.nothing();
        assert_eq!(self.gateway.calls(self.now)[0].state, "answered");
        (caller, callee)
    }

    /// Hangs up an answered call from the caller's side, and answers the BYE to the callee.
    pub fn bye(&mut self, caller: &mut Dialing, callee: &Dialed) {
        caller.cseq += 1;
        self.receive(&caller.peer, caller.request("BYE", "", ""));
        let peer = caller.peer.clone();
        let answered = self.sent.iter().position(|s| s.to == peer.parse().unwrap() && s.code() == 200);
        self.sent.remove(answered.unwrap());
        let bye = self.expect(&callee.peer, "BYE");
        self.receive(&callee.peer, callee.respond(&bye, 200, ""));
    }

    /// Checks that everything has ended and, after the last timers, that nothing is left.
    pub fn finish(&mut self) {
        assert_eq!(self.gateway.live_calls(), 0);
        assert!(self.began.is_empty(), "no record of {:?}", self.began);
        self.pass(Duration::from_secs(80));
        assert_eq!(self.gateway.held_calls(), 0, "{:#?}", self.gateway);
        assert_eq!(self.gateway.sip_counts(), trunkgate_sip::EndpointCounts::default());
        assert_eq!(self.gateway.poll_timeout(), None);
        let status = self.gateway.status(self.now);
        assert_eq!((status.calls, status.ports_in_use), (0, 0));
        assert!(self.ends.is_empty());
    }

    /// Returns the commands to the worker since the last call of this function.
    pub fn take_media(&mut self) -> Vec<MediaCommand> {
        std::mem::take(&mut self.media).into_iter().map(|(_, command)| command).collect()
    }

    /// Returns the RTP port of an end of the first session.
    pub fn port_of(&self, end: EndId) -> u16 {
        self.ends[&(MediaId(0), end)]
    }

    /// Applies a change requested by the shell; the test drains the outputs.
    pub fn change<C: GatewayControl>(&mut self, control: C) -> C::Answer {
        control.apply(&mut self.gateway, self.now)
    }

    /// Applies a change of a call.
    pub fn change_call(&mut self, sid: &str, action: CallAction) -> Result<(), RequestRefusal> {
        self.change(CallControl { sid: sid.to_owned(), action })
    }

    /// Transfers the caller of a call to another target.
    pub fn transfer(&mut self, sid: &str, target: &str, mode: TransferMode) -> Result<(), RequestRefusal> {
        let (party, target) = (CallParty::Caller, target.to_owned());
        self.change_call(sid, CallAction::Transfer { party, target, mode })
    }

    /// Adds a listener to a call.
    pub fn begin_fork(&mut self, sid: &str, request: &ForkRequest) -> Result<ForkView, RequestRefusal> {
        self.change(ForkControl { sid: sid.to_owned(), action: ForkAction::Begin(request.clone()) })
    }

    /// Ends a listener of a call.
    pub fn end_fork(&mut self, sid: &str, id: &str) -> Result<ForkView, RequestRefusal> {
        self.change(ForkControl { sid: sid.to_owned(), action: ForkAction::End { id: id.to_owned() } })
    }

    /// Applies an operator's request.
    pub fn control(&mut self, control: OperatorCommand) {
        self.input(GatewayInput::Control(control));
    }

    /// Passes the name server's answer, in order of preference.
    pub fn resolve(&mut self, query: QueryId, addresses: &[&str]) {
        let server = |(priority, address): (u16, &&str)| {
            let socket: SocketAddr = address.parse().unwrap();
            let (port, addresses) = (socket.port(), vec![socket.ip()]);
            DestinationServer { transport: Transport::Udp, port, tier: 0, priority, weight: 0, addresses }
        };
        let servers = (0..).zip(addresses).map(server).collect();
        self.input(GatewayInput::Resolved { query, found: Ok(servers) });
    }
}

/// Returns the flow of a datagram.
pub fn udp(from: &str) -> Flow {
    Flow { transport: Transport::Udp, listener: ListenerId(0), remote: from.parse().unwrap(), connection: None }
}

/// Returns the flow of a TCP connection.
pub fn tcp(from: &str, connection: u64) -> Flow {
    Flow {
        transport: Transport::Tcp,
        listener: ListenerId(1),
        remote: from.parse().unwrap(),
        connection: Some(ConnectionId(connection)),
    }
}

/// Returns the flow of a TLS connection.
pub fn tls(from: &str, connection: u64) -> Flow {
    Flow { transport: Transport::Tls, listener: ListenerId(2), ..tcp(from, connection) }
}

/// A peer that has called us.
#[derive(Debug, Clone)]
pub struct Dialing {
    pub peer: String,
    pub number: String,
    pub call: u32,
    pub cseq: u32,
    pub to_tag: String,
}

impl Dialing {
    /// Returns an in-dialog request from the caller, or a CANCEL: it has the branch of the INVITE, other requests have
    /// their own.
    pub fn request(&self, method: &str, body: &str, extra: &str) -> String {
        let (peer, number, call, cseq) = (&self.peer, &self.number, self.call, self.cseq);
        let branch_method = if method == "CANCEL" { "INVITE" } else { method };
        let to_tag =
            if self.to_tag.is_empty() || method == "CANCEL" { String::new() } else { format!(";tag={}", self.to_tag) };
        let content = if body.is_empty() { String::new() } else { "Content-Type: application/sdp\r\n".to_owned() };
        format!(
            "{method} sip:{number}@{PUBLIC} SIP/2.0\r\nVia: SIP/2.0/UDP {peer};branch=z9hG4bK-{branch_method}-{call}-{cseq};rport\r\nMax-Forwards: 70\r\nFrom: \"Alice\" <sip:+14155551234@{peer}>;tag=a{call}\r\nTo: <sip:{number}@{PUBLIC}>{to_tag}\r\nCall-ID: call-{call}@secret.example\r\nCSeq: {cseq} {method}\r\nContact: <sip:alice@{peer}>\r\n{extra}{content}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Returns a response to an in-dialog request of the edge.
    pub fn respond(&self, request: &Sent, code: u16, body: &str) -> String {
        response(&self.peer, request, code, "", body, "")
    }
}

/// Peer called by the edge.
#[derive(Debug, Clone)]
pub struct Dialed {
    pub peer: String,
    pub invite: Sent,
    pub tag: String,
}

impl Dialed {
    /// Creates the peer that received this INVITE.
    pub fn new(peer: &str, invite: Sent) -> Dialed {
        Dialed { peer: peer.into(), invite, tag: "callee".into() }
    }

    /// Returns a response to the INVITE.
    pub fn answer(&self, code: u16, body: &str) -> String {
        response(&self.peer, &self.invite, code, &self.tag, body, "")
    }

    /// Returns a response to the INVITE with additional headers.
    pub fn answer_with(&self, code: u16, extra: &str) -> String {
        response(&self.peer, &self.invite, code, &self.tag, "", extra)
    }

    /// Returns a response to the INVITE with a body and additional headers.
    pub fn answer_as(&self, code: u16, body: &str, extra: &str) -> String {
        response(&self.peer, &self.invite, code, &self.tag, body, extra)
    }

    /// Returns a response to an in-dialog request of the edge, with a body.
    pub fn respond(&self, request: &Sent, code: u16, body: &str) -> String {
        response(&self.peer, request, code, &self.tag, body, "")
    }

    /// Returns an in-dialog request from the callee.
    pub fn request(&self, method: &str, cseq: u32, body: &str) -> String {
        let peer = &self.peer;
        let (from, to) = (self.invite.header("From"), self.invite.header("To"));
        let call_id = self.invite.header("Call-ID");
        let content = if body.is_empty() { String::new() } else { "Content-Type: application/sdp\r\n".to_owned() };
        let contact = self.invite.header("Contact");
        let uri = contact.trim_start_matches('<').split('>').next().unwrap_or_default();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {peer};branch=z9hG4bK-callee-{method}-{cseq}\r\nMax-Forwards: 70\r\nFrom: {to};tag={}\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:bob@{peer}>\r\n{content}Content-Length: {}\r\n\r\n{body}",
            self.tag,
            body.len()
        )
    }
}

fn response(peer: &str, request: &Sent, code: u16, tag: &str, body: &str, extra: &str) -> String {
    let vias: String = request.headers("Via").iter().map(|via| format!("Via: {via}\r\n")).collect();
    let (from, to) = (request.header("From"), request.header("To"));
    let to =
        if to.contains(";tag=") || tag.is_empty() || code == 100 { to.to_owned() } else { format!("{to};tag={tag}") };
    let (call_id, cseq) = (request.header("Call-ID"), request.header("CSeq"));
    let content = if body.is_empty() { String::new() } else { "Content-Type: application/sdp\r\n".to_owned() };
    format!(
        "SIP/2.0 {code} Whatever\r\n{vias}From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\nContact: <sip:bob@{peer}>\r\n{extra}{content}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Returns the IP address in a text, for comparisons.
pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Returns a request's method.
pub fn method(sent: &Sent) -> Method {
    sent.message.method()
}
