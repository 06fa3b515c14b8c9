//! World of a seed: edge, phones, network and clock.
//!
//! This module has the actions of a seed (`actions`, `asked`, `within`, `agents`, `apps`, `sessions`, `transfers`)
//! and the invariants (`check`, `line`, `registrations`). The edge, phones, network and servers are in modules of
//! their own, which do not import this one.

mod actions;
mod agents;
mod apps;
mod asked;
mod check;
mod conferences;
mod crashes;
mod freezes;
mod line;
mod recognisers;
mod recordings;
mod registrations;
mod restores;
mod sessions;
mod transfers;
mod within;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_call::{AppAnswer, GatewayInput, GatewayOutput, QueryId, RecordingDone};
use trunkgate_phone::{AnswerKind, Phone, PhoneConfig, Srtp};
use trunkgate_route::DestinationServer;
use trunkgate_sip::{ConnectionId, Flow, ListenerId, Transport};

use crate::credentials::{self, is_challenge};
use crate::edge::{AgentAct, AgentSocketId, OutgoingPacket, SimEdge, Tape};
use crate::log::{RunLog, describe};
use crate::net::{DeliveryGuarantee, SimNetwork};
use crate::options::{OversizeTransport, Sabotage, SeedOptions, is_withheld, knows};
use crate::places::{
    CARRIER, DEAD, EDGE, FAR_HOST, MOBILE, REGISTRAR, REGISTRAR_HOST, STRANGER, TRUNK_A, TRUNK_A_SEAT, TRUNK_B,
    TRUNK_B_SEAT, TRUNK_B2, TRUNK_B2_SEAT, VAULT, owner,
};
use crate::proxy::{ForkingProxy, ProxyDecision};
use crate::registrar::{Registrar, RegistrarBehaviour};
use crate::summary::RunSummary;
use crate::vault;
use actions::WorldAction;

pub use check::InvariantFailure;

/// Number of media ports of a phone.
const PHONE_PORTS: u16 = 32;
/// Interval between the frames that a phone sends: long, since a simulation has many calls.
const FRAME_INTERVAL: Duration = Duration::from_millis(250);
/// Delay of messages between a media worker and the gateway.
const THREAD_HOP: Duration = Duration::from_micros(50);
/// Time for which the simulation continues after the last action.
pub(crate) const AFTERMATH: Duration = Duration::from_secs(600);
/// Time after the network has become ideal until all activity of the edge must be in order again.
pub(crate) const RECOVERY: Duration = Duration::from_secs(400);
/// Maximum steps without an advance of the clock; more indicate a busy loop.
pub(crate) const STEPS_AT_ONCE: u32 = 20_000;
/// Maximum steps of a run; more indicate a busy loop.
const STEPS: u64 = 2_000_000;

/// Event scheduled at a time of the virtual clock.
#[derive(Debug)]
pub(crate) enum SimEvent {
    /// A SIP message arrives at the edge.
    ToEdge(Flow, Bytes),
    /// A SIP message arrives at a phone.
    ToPhone(usize, Flow, Bytes),
    /// The edge is notified that a stream connection was lost.
    Lost(Flow),
    /// An RTP packet arrives at its destination.
    Rtp { from: SocketAddr, to: SocketAddr, bytes: Bytes },
    /// An agent acts on its WebSocket.
    Agent(AgentSocketId, AgentAct),
    /// Pending media events are delivered to the gateway.
    Told,
    /// The conference mixers mix the next 20 ms.
    Mix,
    /// A DNS query is answered with these servers.
    Resolved(QueryId, Vec<DestinationServer>),
    /// The application responds to a query of the edge.
    Answered(apps::QueryKey, Box<AppAnswer>),
    /// A SIP message arrives at the registrar.
    ToRegistrar(Bytes),
    /// A SIP message arrives at the recording server.
    ToVault(Bytes),
    /// The API requests a change of the recordings of a call.
    Record,
    /// The writer has completed the file of a recording.
    Recorded(Box<RecordingDone>),
    /// The crashed edge starts again.
    Recover,
    /// An action of the seed is due.
    Act(WorldAction),
}

/// Phone with its address and connectivity.
#[derive(Debug)]
pub struct SimPhone {
    /// Scripted phone.
    pub phone: Phone,
    /// SIP address of the phone.
    pub address: SocketAddr,
    /// Transport between the edge and the phone.
    pub transport: Transport,
    /// Whether the phone has become unreachable permanently.
    pub dead: bool,
    /// Whether the phone is unreachable at present.
    pub cut: bool,
    /// Whether all SIP to and from the phone is lost from now on.
    pub deaf: bool,
}

/// World of one seed, which advances event by event.
#[derive(Debug)]
pub struct World {
    pub(crate) options: SeedOptions,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) net: SimNetwork,
    pub(crate) edge: SimEdge,
    pub(crate) seats: Vec<SimPhone>,
    pub(crate) log: RunLog,
    pub(crate) queue: BTreeMap<(Instant, u64), SimEvent>,
    pub(crate) queued: u64,
    /// SIDs of all calls that have begun.
    pub(crate) began: BTreeSet<String>,
    /// SIDs of the call records written, in order.
    pub(crate) records: Vec<String>,
    pub(crate) summary: RunSummary,
    pub(crate) table_version: u32,
    /// Whether the routing table is that of the end of a run.
    pub(crate) table_is_quiet: bool,
    pub(crate) failure: Option<String>,
    /// Whether packets were lost or a phone omitted a message; if so, phones may end calls by timeout.
    pub(crate) rough: bool,
    /// Whether packets were lost or a phone omitted a message for another reason than a crash of the edge.
    pub(crate) faulty: bool,
    /// Whether calls may have been refused by a limit.
    pub(crate) limited: bool,
    /// Whether the network is ideal for the rest of the run, and actions have ended.
    pub(crate) healed: bool,
    /// Calls of the carrier that reached no phone: called number and reason.
    pub(crate) unreached: Vec<(String, &'static str)>,
    /// SIDs of calls that ended because their session expired.
    pub(crate) expired: Vec<String>,
    /// Number of calls that ended because an ACK was missing.
    pub(crate) unacknowledged: usize,
    /// Called numbers of calls that an operator has transferred or redirected.
    pub(crate) sent_elsewhere: BTreeSet<String>,
    /// Reliable provisional responses that phones sent.
    pub(crate) provisionals: BTreeSet<String>,
    pub(crate) proxy: ForkingProxy,
    pub(crate) registrar: Registrar,
    pub(crate) before: line::PreviousQueueState,
    pub(crate) apps: apps::SimApp,
    pub(crate) recognisers: recognisers::SimRecognisers,
    pub(crate) recordings: recordings::RecordingRequests,
    pub(crate) crashes: crashes::SimCrashes,
    pub(crate) freezes: freezes::SimFreezes,
    pub(crate) restores: restores::RestoreSteps,
    steps_at_once: u32,
}

/// Reasons with which a call ends that reached no phone.
const NOBODY: [&str; 3] = ["no_response", "unreachable", "name_not_found"];
impl World {
    /// Returns the world that `options` describe, before its first event.
    pub fn new(start: Instant, options: SeedOptions) -> World {
        let over = |trunk: u8| if options.tcp_trunk == trunk { Transport::Tcp } else { Transport::Udp };
        let seats = [
            ("carrier", CARRIER, Transport::Udp),
            ("trunk-a", TRUNK_A, over(1)),
            ("trunk-b", TRUNK_B, over(2)),
            ("trunk-b2", TRUNK_B2, over(2)),
            ("mobile", MOBILE, Transport::Udp),
        ];
        let seats = seats.into_iter().enumerate().map(|(at, (name, address, transport))| SimPhone {
            phone: phone(&options, at, name, address),
            address,
            transport,
            dead: false,
            cut: false,
            deaf: false,
        });
        let mut world = World {
            start,
            now: start,
            rng: ChaCha12Rng::seed_from_u64(options.seed),
            net: SimNetwork::new(options.seed ^ 0x6e65_7477_6f72_6b21, options.weather),
            edge: SimEdge::new(start, &options),
            seats: seats.collect(),
            log: RunLog::new(start, options.whole_log),
            queue: BTreeMap::new(),
            queued: 0,
            began: BTreeSet::new(),
            records: Vec::new(),
            summary: RunSummary::default(),
            table_version: 0,
            table_is_quiet: false,
            failure: None,
            rough: options.weather.loss > 0.0,
            faulty: options.weather.loss > 0.0,
            limited: false,
            healed: false,
            unreached: Vec::new(),
            expired: Vec::new(),
            unacknowledged: 0,
            sent_elsewhere: BTreeSet::new(),
            provisionals: BTreeSet::new(),
            proxy: ForkingProxy::new(&options),
            registrar: Registrar::new(credentials::of_registrar(&options)),
            before: line::PreviousQueueState::default(),
            apps: apps::SimApp::new(options.seed),
            recognisers: recognisers::SimRecognisers::new(options.seed),
            recordings: recordings::RecordingRequests::new(options.seed),
            crashes: crashes::SimCrashes::new(options.seed, start),
            freezes: freezes::SimFreezes::new(options.seed),
            restores: restores::RestoreSteps::new(&options, start),
            steps_at_once: 0,
            options,
        };
        actions::plan(&mut world);
        recordings::plan(&mut world);
        crashes::plan(&mut world);
        freezes::plan(&mut world);
        world
    }

    /// Runs to the end and checks the invariants.
    ///
    /// # Errors
    /// Returns the first violated invariant.
    pub fn run(mut self) -> Result<RunSummary, Box<InvariantFailure>> {
        self.run_to_end()
    }

    /// Runs to the end and checks the invariants. Also returns the tape of the gateway, which is empty unless
    /// [`SeedOptions::taped`] is set.
    pub fn record(mut self) -> (Result<RunSummary, Box<InvariantFailure>>, Tape) {
        let result = self.run_to_end();
        (result, self.edge.gateway.take_tape().unwrap_or_default())
    }

    fn run_to_end(&mut self) -> Result<RunSummary, Box<InvariantFailure>> {
        let end = self.start + self.options.busy + AFTERMATH;
        while self.step(end).map_err(|what| Box::new(check::failed(self, what)))? {}
        check::end(self, end).map_err(|what| Box::new(check::failed(self, what)))?;
        (self.summary.forked, self.summary.answered_twice) = self.proxy.counts();
        self.summary.hash = self.log.hash();
        self.summary.records = self.records.len() as u64;
        let calls = || self.seats.iter().flat_map(|seat| seat.phone.calls());
        self.summary.pracked = calls().filter(|call| call.is_pracked()).count() as u64;
        let news = || calls().flat_map(|call| call.transfer_progress()).filter(|news| news.is_last);
        self.summary.transfers = calls().map(|call| u64::from(call.transfers())).sum();
        self.summary.transferred = news().filter(|news| news.code == 200).count() as u64;
        self.summary.redirected =
            calls().filter(|call| matches!(call.answer_kind(), Some(AnswerKind::Redirect { .. }))).count() as u64;
        self.summary.refreshed = calls().map(|call| u64::from(call.refreshed())).sum();
        Ok(self.summary)
    }

    /// Returns whether the edge was frozen; phones may have given up meanwhile.
    pub(crate) fn was_frozen(&self) -> bool {
        self.summary.freezes > 0
    }

    /// Advances to the next event until `end` and handles it. Returns false if there is no such event.
    ///
    /// # Errors
    /// Returns a description of the violated invariant.
    pub fn step(&mut self, end: Instant) -> Result<bool, String> {
        let queue = self.queue.keys().next().map(|(at, _)| *at);
        let is_down = self.edge.is_down();
        let thaw = self.freezes.until();
        let runs = |_: &Instant| thaw.is_none();
        let gateway = self.edge.gateway.poll_timeout().map(|(at, _)| at).filter(|_| !is_down).filter(runs);
        let write = self.edge.gateway.next_write().filter(runs);
        let sweep = self.edge.next_sweep().filter(runs);
        let phone = self
            .seats
            .iter()
            .enumerate()
            .filter(|(_, seat)| !seat.dead)
            .filter_map(|(at, seat)| seat.phone.poll_timeout().map(|due| (due, at)))
            .min();
        let Some(next) = [queue, gateway, sweep, phone.map(|p| p.0), write, thaw].into_iter().flatten().min() else {
            return Ok(false);
        };
        if next > end {
            return Ok(false);
        }
        self.steps_at_once = if next > self.now { 0 } else { self.steps_at_once + 1 };
        if self.steps_at_once > STEPS_AT_ONCE {
            let reason = self.edge.gateway.poll_timeout().map(|(_, reason)| reason);
            return Err(format!("time stands still: gateway wants {reason:?}, due {next:?}"));
        }
        self.now = self.now.max(next);
        self.summary.steps += 1;
        if self.summary.steps > STEPS {
            return Err(format!("{STEPS} steps and no end"));
        }
        if thaw == Some(next) {
            freezes::thaw(self);
        } else if queue == Some(next) {
            if let Some((_, happening)) = self.queue.pop_first() {
                self.happen(happening);
            }
        } else if gateway == Some(next) {
            self.edge.gateway.handle_timeout(self.now);
        } else if sweep == Some(next) {
            for left in self.edge.sweep(self.now) {
                self.edge_speaks(&left);
            }
        } else if let Some((due, at)) = phone
            && due == next
            && let Some(seat) = self.seats.get_mut(at)
        {
            seat.phone.handle_timeout(self.now);
        }
        self.drain();
        if self.freezes.until().is_none() {
            self.edge.gateway.write_state(self.now)?;
        }
        self.check_step()?;
        Ok(true)
    }

    /// Checks the invariants that must hold after each step.
    fn check_step(&mut self) -> Result<(), String> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.edge.gateway.check_invariants()?;
        restores::check(self)?;
        crashes::check_limits(self)?;
        self.summary.waited += self.before.check(self.now, &self.options, self.table_version, &self.edge)?;
        transfers::told(self)?;
        check::audio(self)
    }

    /// Returns the edge, for tests that drive the world step by step.
    pub fn edge(&self) -> &SimEdge {
        &self.edge
    }

    /// Returns the phones in the order of seats: carrier, first trunk, second trunk, its second phone, mobile phone.
    pub fn seats(&self) -> &[SimPhone] {
        &self.seats
    }

    fn happen(&mut self, happening: SimEvent) {
        let Some(happening) = self.freezes.pass(happening) else { return };
        match happening {
            SimEvent::ToEdge(flow, bytes) if self.edge.is_down() => {
                self.log.line(self.now, format_args!("lost    ← {} {}", flow.remote, describe(&bytes)));
            }
            SimEvent::Record if self.edge.is_down() => {}
            SimEvent::Act(action) if self.edge.is_down() && action.needs_edge() => {}
            SimEvent::Recover => {
                self.log.line(self.now, format_args!("action  the edge starts again"));
                crashes::recover(self);
            }
            SimEvent::ToEdge(flow, bytes) => {
                let said = describe(&bytes);
                self.log.line(self.now, format_args!("edge    ← {} {said}", flow.remote));
                self.summary.challenged += u64::from(is_challenge(&bytes));
                self.summary.healthy += u64::from(said.starts_with("SIP/2.0 200") && said.ends_with(" OPTIONS]"));
                let sabotage = self.options.sabotage;
                let missed = (sabotage == Sabotage::EdgeMissesByes && is_bye(&bytes))
                    || (sabotage == Sabotage::RefreshesAreLost && sessions::is_refresh(&bytes));
                if !missed {
                    self.edge.gateway.handle_input(self.now, GatewayInput::Received { flow, bytes });
                }
            }
            SimEvent::ToPhone(at, flow, bytes) => {
                if let Some(seat) = self.seats.get_mut(at).filter(|seat| !seat.dead && !seat.cut && !seat.deaf) {
                    self.log.line(self.now, format_args!("{:7} ← {}", seat.phone.config().name, describe(&bytes)));
                    let missed = self.options.sabotage == Sabotage::NewsAreLost && bytes.starts_with(b"NOTIFY ");
                    if !missed {
                        seat.phone.handle_input(self.now, trunkgate_phone::PhoneInput::Sip { flow, bytes });
                    }
                }
            }
            SimEvent::Lost(flow) => {
                self.log.line(self.now, format_args!("edge    ← {} is lost", flow.remote));
                self.edge.gateway.handle_input(self.now, GatewayInput::TransportFailed { flow, why: None });
            }
            SimEvent::Rtp { from, to, bytes } => self.rtp(from, to, bytes),
            SimEvent::Told => {
                while let Some((id, event)) = self.edge.told.pop_front() {
                    self.log.line(self.now, format_args!("media   {id:?} {event:?}"));
                    self.edge.gateway.handle_input(self.now, GatewayInput::Media { id, event });
                    self.drain_gateway();
                }
            }
            SimEvent::Mix => self.mix(),
            SimEvent::Agent(socket, act) => {
                self.log.line(self.now, format_args!("agent   {socket:?} {act:?}"));
                self.edge.agent(self.now, socket, act);
            }
            SimEvent::Resolved(query, servers) => {
                self.edge.gateway.handle_input(self.now, GatewayInput::Resolved { query, found: Ok(servers) });
            }
            SimEvent::Answered(question, answer) => apps::answer(self, question, answer),
            SimEvent::ToRegistrar(bytes) => self.registers(bytes),
            SimEvent::ToVault(bytes) => self.is_recorded(&bytes),
            SimEvent::Record => recordings::ask(self),
            SimEvent::Recorded(done) => recordings::done(self, done),
            SimEvent::Act(action) => {
                self.log.line(self.now, format_args!("action  {action}"));
                actions::act(self, action);
            }
        }
    }

    fn rtp(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        self.log.mix(&bytes);
        if to.ip() == EDGE.ip() {
            if let Some(left) = self.edge.packet(self.now, to, from, &bytes) {
                if left.spoken {
                    self.edge_speaks(&left);
                } else {
                    self.send_rtp(left.from, left.to, left.bytes.into());
                }
            }
        } else if let Some(seat) = self.seats.iter_mut().find(|s| s.address.ip() == to.ip() && !s.dead && !s.cut) {
            self.summary.heard += 1;
            seat.phone.handle_input(self.now, trunkgate_phone::PhoneInput::Rtp { to, bytes });
        }
    }

    /// Checks a packet that the edge sends in a call with an agent. The voice cannot be attributed to a phone, so
    /// only the destination is checked.
    fn edge_speaks(&mut self, left: &OutgoingPacket) {
        self.log.mix(&left.bytes);
        self.summary.spoken += 1;
        if !self.is_known(left.to) {
            self.fail(format!("RTP of the edge goes to {}, which is nobody", left.to));
        }
    }

    /// Sends an RTP packet over the network, which may lose or duplicate it.
    pub(crate) fn send_rtp(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        if from.ip() == EDGE.ip() && !self.is_known(to) {
            self.fail(format!("RTP of the edge goes to {to}, which is nobody"));
        }
        for at in self.net.arrivals(self.now, DeliveryGuarantee::Datagram) {
            self.at(at, SimEvent::Rtp { from, to, bytes: bytes.clone() });
        }
    }

    fn drain(&mut self) {
        let is_frozen = self.freezes.until().is_some();
        if !is_frozen {
            self.drain_gateway();
            agents::decide(self);
            recognisers::decide(self);
            recordings::finish(self);
        }
        for at in 0..self.seats.len() {
            self.drain_phone(at);
        }
        if !self.edge.told.is_empty() && !is_frozen {
            self.at(self.now + THREAD_HOP, SimEvent::Told);
        }
    }

    pub(crate) fn drain_gateway(&mut self) {
        if self.edge.is_down() {
            return;
        }
        while let Some(output) = self.edge.gateway.poll_output() {
            match output {
                GatewayOutput::Transmit(transmit) => self.edge_sends(transmit.flow, transmit.bytes),
                GatewayOutput::Media { id, command } => {
                    self.log.line(self.now, format_args!("command {id:?} {}", name_of(&command)));
                    crashes::commanded(self, id, &command);
                    self.edge.command(self.now, id, command);
                }
                GatewayOutput::Conference(command) => self.mixer_told(*command),
                GatewayOutput::Resolve { query, destination } => self.look_up(query, &destination.host),
                GatewayOutput::Pong { flow } => self.log.line(self.now, format_args!("pong to {}", flow.remote)),
                GatewayOutput::App(question) => apps::asked(self, *question),
                GatewayOutput::Recording(begun) => self.recordings.begun(&begun),
                GatewayOutput::Callback(callback) => apps::called_back(self, &callback),
                // The response is already scheduled; the edge will ignore it.
                GatewayOutput::AppGivenUp(_)
                | GatewayOutput::Registered(_)
                | GatewayOutput::Sms(_)
                | GatewayOutput::Counted(_)
                | GatewayOutput::ConferenceEnded(_)
                | GatewayOutput::Changed(_)
                | GatewayOutput::Captured(_)
                | GatewayOutput::Sampled(_) => {}
                GatewayOutput::Began(call) => {
                    self.log.line(self.now, format_args!("began   {}", call.sid));
                    self.began.insert(call.sid);
                }
                GatewayOutput::Report(record) => {
                    self.summary.failovers += u64::from(record.failovers);
                    let (sid, reason) = (record.call.sid.clone(), record.call.reason);
                    self.log.line(self.now, format_args!("record  {sid} {reason:?} {}", record.sip_code));
                    let of_carrier = record.call.legs.first().is_some_and(|leg| leg.trunk == "carrier");
                    if let Some(reason) = reason.filter(|reason| of_carrier && NOBODY.contains(reason)) {
                        self.unreached.push((record.call.to.clone(), reason));
                    }
                    if reason == Some("session_expired") {
                        self.summary.expired += 1;
                        self.expired.push(sid.clone());
                    }
                    self.unacknowledged += usize::from(reason == Some("ack_timeout"));
                    self.records.push(sid);
                }
                GatewayOutput::Log(line) => {
                    self.log.line(self.now, format_args!("log     {} {}", line.call, line.text))
                }
            }
        }
    }

    /// Sends a SIP message of the edge over the network; only phones and servers may receive it.
    pub(crate) fn edge_sends(&mut self, flow: Flow, bytes: Bytes) {
        let seat = match flow.connection {
            Some(connection) => usize::try_from(connection.0).ok().filter(|at| *at < self.seats.len()),
            None => self.seats.iter().position(|s| s.address == flow.remote),
        };
        self.log.line(self.now, format_args!("edge    → {} {}", flow.remote, describe(&bytes)));
        self.note_sent(flow, &bytes);
        crashes::sent(self, &bytes);
        freezes::sent(self, &bytes);
        if flow.remote == REGISTRAR {
            for arrival in self.net.arrivals(self.now, DeliveryGuarantee::Datagram) {
                self.at(arrival, SimEvent::ToRegistrar(bytes.clone()));
            }
            return;
        }
        if flow.remote == VAULT {
            for arrival in self.net.arrivals(self.now, DeliveryGuarantee::Datagram) {
                self.at(arrival, SimEvent::ToVault(bytes.clone()));
            }
            return;
        }
        let carriage =
            if flow.transport == Transport::Udp { DeliveryGuarantee::Datagram } else { DeliveryGuarantee::Stream };
        let Some(at) = seat else {
            if flow.remote == DEAD || flow.remote.ip() == MOBILE.ip() {
                self.summary.to_nobody += 1;
                if carriage == DeliveryGuarantee::Stream {
                    self.at(self.now + Duration::from_millis(3), SimEvent::Lost(flow));
                }
                return;
            }
            self.fail(format!("{} bytes of the edge go to {}, which is nobody", bytes.len(), flow.remote));
            return;
        };
        self.note_provisional(at, &bytes);
        let unreachable = self.seats.get(at).is_some_and(|seat| seat.dead || seat.cut);
        let unasked =
            carriage == DeliveryGuarantee::Stream && self.seats.get(at).is_some_and(|s| s.transport == Transport::Udp);
        let refused = unasked && self.options.trust.oversize == OversizeTransport::Refused;
        if unasked && self.options.trust.oversize == OversizeTransport::Silent {
            return;
        }
        if carriage == DeliveryGuarantee::Stream && (unreachable || refused) {
            // A connection is refused or reset; over UDP, a dead host is merely silent.
            self.at(self.now + Duration::from_millis(3), SimEvent::Lost(flow));
            return;
        }
        let behind_proxy = at == TRUNK_A_SEAT && self.options.trust.by_proxy;
        let bytes = if behind_proxy { credentials::to_behind_proxy(bytes) } else { bytes };
        let to_phone = Flow {
            transport: flow.transport,
            listener: ListenerId(0),
            remote: EDGE,
            connection: (carriage == DeliveryGuarantee::Stream).then_some(ConnectionId(0)),
        };
        let as_well = self.proxy.forks_to(at, flow, &bytes);
        for at in std::iter::once(at).chain(as_well) {
            for arrival in self.net.arrivals(self.now, carriage) {
                self.at(arrival, SimEvent::ToPhone(at, to_phone, bytes.clone()));
            }
        }
    }

    fn drain_phone(&mut self, at: usize) {
        loop {
            let Some(seat) = self.seats.get_mut(at) else { return };
            let Some(output) = seat.phone.poll_output() else { return };
            let (silent, deaf, address) = (seat.dead || seat.cut, seat.deaf, seat.address);
            match output {
                trunkgate_phone::PhoneOutput::Transmit(transmit) => {
                    if transmit.flow.remote != EDGE {
                        self.fail(format!("{} was told to send to {}", address, transmit.flow.remote));
                    }
                    if !silent && !deaf && !is_withheld(&self.options, at, &transmit.bytes) {
                        self.phone_sends(at, address, transmit.flow.transport, transmit.bytes);
                    }
                }
                trunkgate_phone::PhoneOutput::Rtp { from, to, bytes, .. } => {
                    if !silent {
                        self.send_rtp(from, to, bytes);
                    }
                }
                trunkgate_phone::PhoneOutput::Event(event) => self.heard_of(at, event),
                // Phones of the simulation send no RTCP, and their audio is not monitored.
                trunkgate_phone::PhoneOutput::Rtcp { .. } | trunkgate_phone::PhoneOutput::Heard { .. } => {}
            }
        }
    }

    fn phone_sends(&mut self, at: usize, address: SocketAddr, transport: Transport, bytes: Bytes) {
        self.note_provisional(at, &bytes);
        let bytes = match self.proxy.pass(at, &bytes) {
            ProxyDecision::On => bytes,
            ProxyDecision::Instead(other) => other,
            ProxyDecision::Kept => return,
            // The proxy cancels the other phone, at once or too late.
            ProxyDecision::Withdraws { others, flow, cancel, late } => {
                for other in others {
                    self.at(self.now + late, SimEvent::ToPhone(other, flow, cancel.clone()));
                }
                bytes
            }
        };
        let (carriage, listener, remote, connection) = match transport {
            Transport::Udp => (DeliveryGuarantee::Datagram, 0, address, None),
            // The phone opens a connection from its own port.
            Transport::Tcp | Transport::Tls => {
                let from = SocketAddr::new(address.ip(), 40_000);
                (DeliveryGuarantee::Stream, 1, from, Some(ConnectionId(at as u64)))
            }
        };
        let flow = Flow { transport, listener: ListenerId(listener), remote, connection };
        let behind_proxy = at == TRUNK_A_SEAT && self.options.trust.by_proxy;
        let bytes = if behind_proxy { credentials::from_behind_proxy(bytes) } else { bytes };
        for arrival in self.net.arrivals(self.now, carriage) {
            self.at(arrival, SimEvent::ToEdge(flow, bytes.clone()));
        }
    }

    fn heard_of(&mut self, at: usize, event: trunkgate_phone::PhoneEvent) {
        use trunkgate_phone::PhoneEvent;
        let Some(seat) = self.seats.get(at) else { return };
        match event {
            PhoneEvent::Heard(number, _) => {
                self.summary.secure += u64::from(seat.phone.call(number).is_some_and(|call| call.is_secure()));
                return;
            }
            PhoneEvent::Answered(number) => {
                self.summary.answered += u64::from(seat.phone.call(number).is_some_and(|c| c.is_outgoing()));
            }
            PhoneEvent::Incoming(_) | PhoneEvent::Ringing(_) | PhoneEvent::Ended(..) => {}
        }
        self.log.line(self.now, format_args!("{:7} {event:?}", seat.phone.config().name));
    }

    /// Checks that, without network faults, a reliable provisional response is sent only once: its PRACK arrives
    /// before the first retransmission. If INVITEs are duplicated, the check is omitted.
    pub(crate) fn note_provisional(&mut self, seat: usize, bytes: &[u8]) {
        let owes = self.options.early.withholds.get(seat) == Some(&false);
        let twice = self.options.weather.duplicate > 0.0;
        if self.rough || self.was_frozen() || twice || !owes || !bytes.starts_with(b"SIP/2.0 1") {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        let Some(number) = text.lines().find(|line| line.starts_with("RSeq:")) else { return };
        let name = format!("{seat} {} {number}", describe(bytes));
        if self.provisionals.contains(&name) {
            self.fail(format!("nobody has acknowledged {name}"));
        }
        self.provisionals.insert(name);
    }

    /// Checks a message of the edge for leaked credentials, and counts it in the summary.
    pub(crate) fn note_sent(&mut self, flow: Flow, bytes: &[u8]) {
        if let Some(leak) = credentials::leak(flow.remote, bytes) {
            self.fail(leak);
        }
        self.summary.challenged += u64::from(is_challenge(bytes));
        let long = flow.transport == Transport::Tcp && self.options.tcp_trunk != 2 && owner(flow.remote) == Some("b");
        self.summary.oversize += u64::from(long && bytes.starts_with(b"INVITE "));
        self.summary.registered += u64::from(bytes.starts_with(b"SIP/2.0 200") && is_of_register(bytes));
    }

    /// Handles a message that arrives at the recording server, and schedules the server's responses.
    fn is_recorded(&mut self, bytes: &[u8]) {
        self.log.line(self.now, format_args!("vault   ← {}", describe(bytes)));
        self.summary.vaulted += u64::from(bytes.starts_with(b"ACK "));
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: VAULT, connection: None };
        for (after, answer) in vault::receive(bytes) {
            for arrival in self.net.arrivals(self.now + after, DeliveryGuarantee::Datagram) {
                self.at(arrival, SimEvent::ToEdge(flow, answer.clone()));
            }
        }
    }

    /// Handles a REGISTER at the registrar, which behaves randomly until the network is ideal.
    pub(crate) fn registers(&mut self, bytes: Bytes) {
        let mood = match self.rng.random_range(0..100) {
            _ if self.healed => RegistrarBehaviour::Good,
            0..50 => RegistrarBehaviour::Good,
            50..70 => RegistrarBehaviour::Strict,
            70..80 => RegistrarBehaviour::Refusing(503),
            80..88 => RegistrarBehaviour::Refusing(403),
            _ => RegistrarBehaviour::Silent,
        };
        self.log.line(self.now, format_args!("registrar ← {} ({mood:?})", describe(&bytes)));
        for answer in self.registrar.receive(self.now, bytes, mood) {
            self.summary.challenged += u64::from(is_challenge(&answer));
            self.summary.registered += u64::from(answer.starts_with(b"SIP/2.0 200"));
            let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: REGISTRAR, connection: None };
            for arrival in self.net.arrivals(self.now, DeliveryGuarantee::Datagram) {
                self.at(arrival, SimEvent::ToEdge(flow, answer.clone()));
            }
        }
    }

    /// Answers a DNS query of the edge; some queries fail.
    pub(crate) fn look_up(&mut self, query: QueryId, host: &str) {
        let at = |at: SocketAddr| DestinationServer {
            transport: Transport::Udp,
            port: at.port(),
            tier: 0,
            priority: 0,
            weight: 0,
            addresses: vec![at.ip()],
        };
        let found = match host {
            _ if !self.healed && self.rng.random_bool(0.2) => Vec::new(),
            FAR_HOST => vec![at(TRUNK_B)],
            REGISTRAR_HOST => vec![at(REGISTRAR)],
            _ => Vec::new(),
        };
        self.at(self.now + Duration::from_millis(5), SimEvent::Resolved(query, found));
    }

    pub(crate) fn at(&mut self, at: Instant, happening: SimEvent) {
        self.queued += 1;
        self.queue.insert((at, self.queued), happening);
    }

    pub(crate) fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    fn is_known(&self, address: SocketAddr) -> bool {
        address.ip() == VAULT.ip()
            || address != STRANGER && self.seats.iter().any(|seat| seat.address.ip() == address.ip())
    }
}

fn phone(options: &SeedOptions, at: usize, name: &str, address: SocketAddr) -> Phone {
    let mut seed = [at as u8; 32];
    for (to, from) in seed.iter_mut().zip(options.seed.to_le_bytes()) {
        *to = from;
    }
    let mut config = PhoneConfig::new(name, seed, address);
    config.media = (0..PHONE_PORTS).map(|n| SocketAddr::new(address.ip(), 30_000 + 2 * n)).collect();
    config.frame_interval = FRAME_INTERVAL;
    let of_b = if at == TRUNK_B2_SEAT { TRUNK_B_SEAT } else { at };
    config.srtp = options.srtp.get(of_b).map_or(Srtp::Off, |(_, phone)| *phone);
    config.reliable = knows(options, at);
    config.transfers = options.transfers.phones.get(at).copied();
    config.sessions = options.sessions.by_phones.get(at).copied().flatten();
    credentials::of_phone(options, owner(address).unwrap_or_default(), &mut config);
    if options.sabotage == Sabotage::PhonesNeverEnd {
        config.give_up = None;
    }
    Phone::new(config)
}

fn is_bye(bytes: &[u8]) -> bool {
    bytes.starts_with(b"BYE ") || describe(bytes).ends_with("BYE]")
}

fn name_of(command: &trunkgate_media::MediaCommand) -> String {
    use trunkgate_media::MediaCommand;
    match command {
        MediaCommand::Open { .. } => "Open".into(),
        MediaCommand::AddEnd { end, spec } => format!("AddEnd {} {}", end.0, spec.bind),
        MediaCommand::AddAgent { end, .. } => format!("AddAgent {}", end.0),
        MediaCommand::AddPlayer { end, .. } => format!("AddPlayer {}", end.0),
        MediaCommand::Play { end, .. } => format!("Play {}", end.0),
        MediaCommand::ResumePlay { end, .. } => format!("ResumePlay {}", end.0),
        MediaCommand::Tap { of, listener, .. } => format!("Tap {} by {}", of.0, listener.0),
        MediaCommand::AddListener { end, spec } => format!("AddListener {} {spec:?}", end.0),
        MediaCommand::PauseRecorder { end, pause } => format!("PauseRecorder {} {pause:?}", end.0),
        MediaCommand::Press { end, digits, .. } => format!("Press {} {digits}", end.0),
        MediaCommand::TellKeys { end, digits } => format!("TellKeys {} {digits}", end.0),
        MediaCommand::TransferFailed { end, target, reason, .. } => {
            format!("TransferFailed {} {target} {reason}", end.0)
        }
        MediaCommand::TransferAccepted { end, target } => format!("TransferAccepted {} {target}", end.0),
        MediaCommand::SetRemote { end, remote } => format!("SetRemote {} {:?}", end.0, remote.rtp),
        MediaCommand::Wire { from, to, .. } => format!("Wire {} → {}", from.0, to.0),
        MediaCommand::Unwire { from } => format!("Unwire {}", from.0),
        MediaCommand::MoveEnd { end, to, named } => format!("MoveEnd {} to {} of {}", end.0, named.0, to.0),
        MediaCommand::RemoveEnd { end } => format!("RemoveEnd {}", end.0),
        MediaCommand::Close => "Close".into(),
    }
}

fn is_of_register(bytes: &[u8]) -> bool {
    describe(bytes).ends_with(" REGISTER]")
}
