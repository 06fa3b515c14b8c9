//! The edge under test: a real gateway, real media sessions, and a table of ports that stands for their sockets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;
use trunkgate_call::{Addressing, Gateway, GatewayConfig, Input, Interfaces, ListenerSpec, Settings};
use trunkgate_media::{Command, EndId, Event, LatchMode, MediaId, PacketBuf, Session, SessionSnapshot};
use trunkgate_route::{
    Agent, Definition, Destination, Hold, HoldMode, Numbers, OnClose, Pattern, Peer, ReferMode, Register, Route,
    Server, Srtp, Table, TargetSpec, Transport as PeerTransport, Trunk,
};
use trunkgate_sip::{ListenerId, Transport};

use crate::agents::{AGENTS, AgentAct, FORKED, Socket, Sockets};
use crate::lines::{DESK, Talking};
use crate::options::{Options, Oversize, Sabotage};
use crate::trust;

/// The edge's SIP address, UDP and TCP.
pub const EDGE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 5060);
/// The carrier's.
pub const CARRIER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 5060);
/// The first trunk's.
pub const TRUNK_A: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)), 5060);
/// The second trunk's.
pub const TRUNK_B: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 20)), 5060);
/// The second trunk's second phone.
pub const TRUNK_B2: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 21)), 5060);
/// An address of the second trunk at which nobody is.
pub const DEAD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 29)), 5060);
/// A phone that registers with the edge, at first.
pub const MOBILE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 40)), 5060);
/// The first trunk's registrar.
pub const REGISTRAR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 15)), 5060);
/// Its name.
pub const REGISTRAR_HOST: &str = "registrar.example";
/// Numbers that lead to the phone that registers.
pub const REGISTERED: &str = "+1666";
/// Numbers that ring at both trunks at once.
pub const TOGETHER: &str = "+1313";
/// Numbers that lead to both trunks.
pub const OUT: &str = "+1212";
/// For how long the edge registers, in seconds.
const REGISTERED_SECONDS: u64 = 60;
/// Octets beyond which an INVITE is too long for a datagram: each one is.
const DATAGRAM_BYTES: usize = 500;
/// Somebody whom nobody knows.
pub const STRANGER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66)), 5060);
/// The name by which the second trunk can be reached without being named.
pub const FAR_HOST: &str = "far.example";
/// Numbers that lead there.
pub const ELSEWHERE: &str = "+1999";
/// First media port of the edge.
const FIRST_PORT: u16 = 20_000;

/// A media event on its way to the gateway.
pub type Told = (MediaId, Event);

/// The edge.
#[derive(Debug)]
pub struct Edge {
    /// The gateway.
    pub gateway: Gateway,
    /// Media sessions by id.
    pub sessions: BTreeMap<MediaId, Session>,
    /// Bound addresses: RTP and RTCP.
    pub ports: BTreeMap<SocketAddr, (MediaId, EndId, bool)>,
    /// Media events not yet told to the gateway.
    pub told: VecDeque<Told>,
    /// Sockets to agents.
    pub sockets: Sockets,
    /// Callers with agents.
    pub(crate) talking: Talking,
    /// Sessions that an agent or a tone talks in, or has: the voices in them are the edge's own.
    talked: BTreeSet<MediaId>,
    /// Sessions that outlived a restart and wait for the new gateway to speak of them.
    kept: BTreeMap<MediaId, Session>,
    /// Ports that belong to some other process.
    squatted: BTreeSet<SocketAddr>,
    buffer: PacketBuf,
    config: GatewayConfig,
    generation: u8,
    sabotage: Sabotage,
}

impl Edge {
    /// Puts other settings in force.
    pub(crate) fn configure(&mut self, now: Instant, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.gateway.settings();
        change(&mut settings);
        self.gateway.handle_input(now, Input::Configure(Box::new(settings)));
    }

    /// An edge without calls.
    pub fn new(start: Instant, options: &Options) -> Edge {
        let mut seed = [0u8; 32];
        for (at, byte) in seed.iter_mut().zip(options.seed.to_le_bytes().iter().cycle()) {
            *at = *byte;
        }
        let config = GatewayConfig {
            name: "edge".into(),
            epoch: (start, SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)),
            seed,
            max_calls: 1000,
            calls_per_second: 0,
            sip_message_bytes: 65_535,
            media_ports: (FIRST_PORT, FIRST_PORT + 2 * options.port_pairs - 1),
            latch: LatchMode::Strict,
            idle_timeout: options.idle_timeout,
            full_numbers: true,
            account_sid: format!("AC{:032x}", 0),
        };
        let gateway = Gateway::new(config.clone(), table(options, 0, false), addressing());
        Edge {
            gateway,
            sessions: BTreeMap::new(),
            ports: BTreeMap::new(),
            told: VecDeque::new(),
            sockets: Sockets::default(),
            talking: Talking::default(),
            talked: BTreeSet::new(),
            kept: BTreeMap::new(),
            squatted: BTreeSet::new(),
            buffer: PacketBuf::new(),
            config,
            generation: 0,
            sabotage: options.sabotage,
        }
    }

    /// What a worker does with a command.
    pub fn command(&mut self, now: Instant, id: MediaId, command: Command) {
        match &command {
            Command::Open { idle_timeout_ms, .. } => {
                let session = self.kept.remove(&id).unwrap_or_else(|| {
                    self.talked.remove(&id);
                    Session::new(id, *idle_timeout_ms)
                });
                self.sessions.insert(id, session);
            }
            Command::AddEnd { end, spec } if self.ports.get(&spec.bind) == Some(&(id, *end, false)) => {
                // It outlived a restart, sockets and all.
                self.told.push_back((id, Event::Bound { end: *end }));
                return;
            }
            Command::AddEnd { end, spec } => {
                let (rtp, rtcp) = (spec.bind, SocketAddr::new(spec.bind.ip(), spec.bind.port() + 1));
                let error = match self.sessions.get(&id) {
                    None => Some("no such session"),
                    Some(session) => session.refuses(*end),
                };
                let taken = [rtp, rtcp].iter().any(|at| self.ports.contains_key(at) || self.squatted.contains(at));
                if let Some(error) = error.or(taken.then_some("address in use")) {
                    self.told.push_back((id, Event::BindFailed { end: *end, error: error.into() }));
                    return;
                }
                self.ports.insert(rtp, (id, *end, false));
                self.ports.insert(rtcp, (id, *end, true));
                self.told.push_back((id, Event::Bound { end: *end }));
            }
            Command::RemoveEnd { end } => {
                self.talking.ends(id, *end);
                self.ports.retain(|_, owner| (owner.0, owner.1) != (id, *end));
            }
            Command::Close => {
                self.talking.forget(Some(id));
                self.ports.retain(|_, owner| owner.0 != id);
            }
            Command::AddAgent { end, spec } => {
                if spec.settings.talks {
                    self.talked.insert(id);
                    self.talking.begins(id, *end, &spec.socket.url);
                }
                self.sockets.ask(id, *end);
            }
            // After a restart a tone may play without an agent before it.
            Command::AddPlayer { .. } => {
                self.talked.insert(id);
            }
            Command::Tap { .. }
            | Command::Press { .. }
            | Command::TellKeys { .. }
            | Command::TransferFailed { .. }
            | Command::SetRemote { .. }
            | Command::Wire { .. }
            | Command::Unwire { .. } => {}
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.handle_input(now, command);
        }
        self.serve(now, id);
    }

    /// What a worker does with a packet: where it leaves and what it is then.
    pub fn packet(&mut self, now: Instant, to: SocketAddr, from: SocketAddr, bytes: &[u8]) -> Option<Left> {
        let (id, end, rtcp) = *self.ports.get(&to)?;
        let session = self.sessions.get_mut(&id)?;
        let area = self.buffer.receive_area();
        let len = bytes.len().min(area.len());
        area.get_mut(..len)?.copy_from_slice(bytes.get(..len)?);
        self.buffer.set_len(len);
        let transmit = session.handle_packet(now, end, rtcp, from, &mut self.buffer);
        let left = transmit.and_then(|transmit| {
            let from = *self
                .ports
                .iter()
                .find(|(_, owner)| **owner == (id, transmit.via, transmit.rtcp))
                .map(|(address, _)| address)?;
            let mut bytes = self.buffer.data().to_vec();
            if self.sabotage == Sabotage::EdgeHarmsAudio
                && let Some(last) = bytes.last_mut()
            {
                *last ^= 0x10;
            }
            let spoken = self.talked.contains(&id);
            Some(Left { from, to: transmit.to, bytes, spoken })
        });
        self.serve(now, id);
        left
    }

    /// Something happens on an agent's socket.
    pub(crate) fn agent(&mut self, now: Instant, socket: Socket, act: AgentAct) {
        if let Some(session) = self.sessions.get_mut(&socket.0) {
            self.sockets.act(now, socket, act, session);
        }
        self.serve(now, socket.0);
    }

    /// Some other process binds a port, counted from the first media port, or leaves it.
    pub fn squat(&mut self, port: u16, taken: bool) {
        let address = SocketAddr::new(EDGE.ip(), FIRST_PORT + port);
        if taken {
            self.squatted.insert(address);
        } else {
            self.squatted.remove(&address);
        }
    }

    /// Lets sessions look for silence, and speak; what leaves.
    pub fn sweep(&mut self, now: Instant) -> Vec<Left> {
        let mut left = Vec::new();
        let ids: Vec<MediaId> = self.sessions.keys().copied().collect();
        for id in ids {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.handle_timeout(now);
                while let Some(transmit) = session.poll_packet(&mut self.buffer) {
                    let owner = (id, transmit.via, transmit.rtcp);
                    let from = self.ports.iter().find(|(_, known)| **known == owner).map(|(address, _)| *address);
                    let bytes = self.buffer.data().to_vec();
                    left.extend(from.map(|from| Left { from, to: transmit.to, bytes, spoken: true }));
                }
            }
            self.serve(now, id);
        }
        left
    }

    /// When the next session wants to look.
    pub fn next_sweep(&self) -> Option<Instant> {
        self.sessions.values().filter_map(Session::poll_timeout).min()
    }

    /// Ends this process and starts another from its snapshot, as plain data through JSON. With `keep_media` the
    /// sessions and their sockets outlive it, as in a take-over; else they are made anew.
    ///
    /// # Errors
    /// What could not be written or read.
    pub fn restart(&mut self, now: Instant, table: Arc<Table>, keep_media: bool) -> Result<(), String> {
        let calls = through_json(&self.gateway.snapshot(now))?;
        let sessions: Vec<SessionSnapshot> =
            self.sessions.values().map(|s| through_json(&s.snapshot())).collect::<Result<_, _>>()?;
        self.generation += 1;
        let mut config = self.config.clone();
        if let Some(last) = config.seed.last_mut() {
            *last = self.generation;
        }
        config.epoch = (now, config.epoch.1 + now.saturating_duration_since(config.epoch.0));
        self.gateway = Gateway::new(config, table, addressing());
        self.sessions.clear();
        self.ports.clear();
        self.sockets.forget(None);
        self.talking.forget(None);
        self.told.clear();
        for snapshot in sessions.into_iter().filter(|_| keep_media) {
            let id = snapshot.id;
            let session = Session::restore(now, snapshot);
            for (end, bind) in session.ends() {
                self.ports.insert(bind, (id, end, false));
                self.ports.insert(SocketAddr::new(bind.ip(), bind.port() + 1), (id, end, true));
            }
            self.kept.insert(id, session);
        }
        self.gateway.restore(now, calls);
        Ok(())
    }

    /// Closes what outlived a restart and belongs to no call of the new gateway; once it has said all it restored.
    pub fn forget_kept(&mut self) {
        for (id, _) in std::mem::take(&mut self.kept) {
            self.ports.retain(|_, owner| owner.0 != id);
        }
    }

    fn collect(&mut self, id: MediaId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let mut closed = false;
        while let Some(event) = session.poll_output() {
            closed |= event == Event::Closed;
            if self.sabotage == Sabotage::PortsAreLost && matches!(event, Event::EndClosed { .. } | Event::Closed) {
                continue;
            }
            self.told.push_back((id, event));
        }
        if closed {
            self.sessions.remove(&id);
            self.sockets.forget(Some(id));
        }
    }

    /// Serves a session's agents, and takes what it has to tell.
    fn serve(&mut self, now: Instant, id: MediaId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            self.sockets.serve(now, session);
        }
        self.collect(id);
    }
}

/// A packet that leaves a media socket.
#[derive(Debug)]
pub struct Left {
    /// The socket.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// The packet.
    pub bytes: Vec<u8>,
    /// It leaves a session that an agent talks in: its voice is nobody's that a phone could know.
    pub spoken: bool,
}

fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> Result<T, String> {
    let text = serde_json::to_string(value).map_err(|e| format!("snapshot cannot be written: {e}"))?;
    serde_json::from_str(&text).map_err(|e| format!("snapshot cannot be read: {e}"))
}

/// Our addresses.
fn addressing() -> Addressing {
    let listener = |id, transport| ListenerSpec {
        id: ListenerId(id),
        name: format!("listener-{id}"),
        transport,
        bound: EDGE,
        public_addresses: Vec::new(),
    };
    Addressing {
        listeners: vec![listener(0, Transport::Udp), listener(1, Transport::Tcp)],
        public_addresses: Vec::new(),
        local_networks: Vec::new(),
        interfaces: Interfaces { networks: Vec::new(), default_v4: Some(EDGE.ip()), default_v6: None },
        media_bind: vec![EDGE.ip()],
    }
}

/// A trunk with one peer.
fn trunk(
    options: &Options,
    name: &str,
    address: SocketAddr,
    transport: PeerTransport,
    srtp: trunkgate_phone::Srtp,
) -> Trunk {
    let at = ["carrier", "a", "b"].iter().position(|known| *known == name);
    let hold_ends_here = at.is_some_and(|at| options.holds_end_here[at]);
    let trunk = Trunk {
        hold: if hold_ends_here { HoldMode::Local } else { HoldMode::Relay },
        // A phone takes what is no voice for damage.
        hold_music: Some(Arc::from([0xff_u8; 160])),
        peers: vec![Peer { priority: 10, weight: 10, ..Peer::at(address.ip(), None, transport) }],
        accept_from: vec![IpNet::from(address.ip())],
        ring_timeout: Duration::from_secs(20),
        refer: at.map_or(ReferMode::Local, |at| options.transfers.modes[at]),
        session_expires: Duration::from_secs(at.map_or(1_800, |at| options.sessions.by_edge[at].into())),
        srtp: match srtp {
            trunkgate_phone::Srtp::Off => Srtp::Off,
            trunkgate_phone::Srtp::Optional => Srtp::Optional,
            trunkgate_phone::Srtp::Required => Srtp::Required,
        },
        ..Trunk::named(name)
    };
    trust::of_trunk(options, trunk)
}

/// Where the second trunk's name leads.
pub(crate) fn servers_of_b(options: &Options) -> Vec<Server> {
    let transport = if options.tcp_trunk == 2 { PeerTransport::Tcp } else { PeerTransport::Udp };
    let at = |priority, at: SocketAddr| Server {
        transport,
        port: at.port(),
        tier: 0,
        priority,
        weight: 0,
        addresses: vec![at.ip()],
    };
    let trust = &options.trust;
    let lost = options.sabotage == Sabotage::AddressesAreLost;
    let dead = (trust.dead_first || lost).then(|| at(0, DEAD));
    let second = (trust.two_phones && !lost).then(|| at(20, TRUNK_B2));
    dead.into_iter().chain((!lost).then(|| at(10, TRUNK_B))).chain(second).collect()
}

/// The second trunk: by a name.
fn second_trunk(options: &Options, srtp: trunkgate_phone::Srtp) -> Trunk {
    let servers = servers_of_b(options);
    let transport = servers.first().map_or(PeerTransport::Udp, |server| server.transport);
    let trunk = trunk(options, "b", TRUNK_B, transport, srtp);
    let destination = Destination { host: "b.example".into(), port: None, transport, is_fixed: true };
    Trunk {
        peers: vec![Peer { servers, ..Peer::to("sip:b.example".into(), destination) }],
        accept_from: vec![IpNet::from(TRUNK_B.ip()), IpNet::from(TRUNK_B2.ip())],
        udp_mtu: DATAGRAM_BYTES,
        oversize_by_tcp: options.trust.oversize != Oversize::Never,
        ..trunk
    }
}

/// The first trunk, with which the edge may register.
fn first_trunk(options: &Options, quiet: bool, transport: PeerTransport, srtp: trunkgate_phone::Srtp) -> Trunk {
    let register = Register {
        uri: format!("sip:{REGISTRAR_HOST}"),
        registrar: Destination {
            host: REGISTRAR_HOST.into(),
            port: None,
            transport: PeerTransport::Udp,
            is_fixed: false,
        },
        user: "edge".into(),
        expires: Duration::from_secs(REGISTERED_SECONDS),
    };
    let register = (options.trust.registers && !quiet).then_some(register);
    Trunk { register, ..trunk(options, "a", TRUNK_A, transport, srtp) }
}

fn to_trunk(name: &str) -> TargetSpec {
    TargetSpec::Trunk { name: name.into(), number: None, weight: None }
}

fn route(name: &str, from: &[&str], to: &str, connect: Vec<TargetSpec>) -> Route {
    Route {
        from: from.iter().map(|s| (*s).to_owned()).collect(),
        to: vec![Pattern::Prefix(to.into())],
        ..Route::named(name, connect)
    }
}

/// An agent that says goodbye and is asked again, one that goes on when it closes and has a caller for so long, and one
/// that listens.
fn agents(options: &Options, version: u32) -> Vec<Agent> {
    let agent = |name: &str| Agent::at(name, &format!("ws://10.0.0.9/{name}"));
    let goodbye = Some(Arc::from([0xff_u8; 8000]));
    let music = Some(Arc::from([0x7f_u8; 800]));
    let (max_sessions, queue) = options.few.of(version);
    let desk = Agent {
        goodbye,
        retry: 2,
        first_audio_timeout: Duration::from_secs(12),
        max_sessions,
        queue,
        answer: options.few.answer,
        hold: Some(Hold { first: None, music }),
        ..agent(DESK)
    };
    let others = [
        Agent {
            on_close: OnClose::Next,
            connect_timeout: Duration::from_secs(5),
            retry: 1,
            max_call: Duration::from_secs(8),
            ..agent("night")
        },
        agent("scribe"),
    ];
    options.few.is_there(version).then_some(desk).into_iter().chain(others).collect()
}

/// The configuration; an odd `version` has the second trunk only, a `quiet` one has nothing that goes on by itself.
pub fn table(options: &Options, version: u32, quiet: bool) -> Arc<Table> {
    let over = |trunk: u8| if options.tcp_trunk == trunk { PeerTransport::Tcp } else { PeerTransport::Udp };
    let [carrier, a, b] = options.srtp.map(|(edge, _)| edge);
    let mut trunks = vec![trunk(options, "carrier", CARRIER, PeerTransport::Udp, carrier)];
    let agent = |name: &str| TargetSpec::Agent(name.into());
    let desk = options.few.is_there(version).then(|| agent(DESK));
    let mut routes = vec![
        route("agents", &[], AGENTS, desk.into_iter().chain([to_trunk("b"), agent("night")]).collect()),
        Route { fork: vec!["scribe".into()], ..route("forked", &["carrier"], FORKED, vec![to_trunk("b")]) },
        route("refused", &["carrier"], "+1888", vec![TargetSpec::Reject(603)]),
        route(
            "together",
            &["carrier"],
            TOGETHER,
            vec![TargetSpec::RingAll(vec![to_trunk("a"), to_trunk("b")]), to_trunk("b")],
        ),
        route(
            "elsewhere",
            &["carrier"],
            ELSEWHERE,
            vec![TargetSpec::Uri {
                in_call: false,
                uri: format!("sip:{FAR_HOST}"),
                destination: Destination {
                    host: FAR_HOST.into(),
                    port: None,
                    transport: PeerTransport::Udp,
                    is_fixed: false,
                },
            }],
        ),
    ];
    if options.trust.registrar {
        let mobile = trunk(options, "mobile", MOBILE, PeerTransport::Udp, trunkgate_phone::Srtp::Off);
        trunks.push(Trunk { peers: Vec::new(), accept_from: Vec::new(), accept_register: true, ..mobile });
        routes.push(route("registered", &["carrier"], REGISTERED, vec![to_trunk("mobile"), to_trunk("b")]));
        routes.push(route("from-registered", &["mobile"], "+1", vec![to_trunk("b")]));
    }
    if version.is_multiple_of(2) {
        routes.push(route("back", &["a", "b"], "+1", vec![to_trunk("carrier")]));
        routes.push(route("out", &["carrier"], "+1", vec![to_trunk("a"), to_trunk("b")]));
        trunks.push(first_trunk(options, quiet, over(1), a));
    } else {
        routes.push(route("back", &["b"], "+1", vec![to_trunk("carrier")]));
        routes.push(route("out", &["carrier"], "+1", vec![to_trunk("b")]));
    }
    trunks.push(second_trunk(options, b));
    if quiet {
        trunks.iter_mut().for_each(|trunk| trunk.options_interval = Duration::ZERO);
    }
    let numbers = Numbers::new("US").unwrap_or_else(|| unreachable!("US is a country"));
    Arc::new(Table::new(Definition { numbers, trunks, agents: agents(options, version), routes }))
}
