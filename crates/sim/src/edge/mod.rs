//! The edge under test: a real gateway, real media sessions, and a table of ports in place of sockets.
//!
//! This module has the state of the edge: configuration (`table`), WebSockets to agents (`sockets`), and callers of
//! each agent (`talking`). Actions on the edge are in `world`.

mod figures;
mod recorded;
mod sockets;
mod table;
mod talking;
mod tape;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trunkgate_call::{EdgeSettings, GatewayConfig, GatewayInput};
use trunkgate_media::conference::ConferenceNode;
use trunkgate_media::{
    EndId, LatchMode, MediaCommand, MediaEvent, MediaId, PacketBuf, RecordingId, Session, SessionSnapshot,
};
use trunkgate_route::RoutingTable;

use crate::options::{Sabotage, SeedOptions};
use recorded::SimRecordings;
use sockets::SimSockets;
use talking::AgentEndMap;

pub use crate::places::*;
pub(crate) use sockets::{AgentAct, AgentSocketId};
pub use table::table;
pub(crate) use tape::NOTIFIED;
pub use tape::{Tape, TapedGateway, TapedInput};

/// First media port of the edge.
const FIRST_PORT: u16 = 20_000;

/// A media event on its way to the gateway.
pub type SessionEvent = (MediaId, MediaEvent);

/// The edge under test.
#[derive(Debug)]
pub struct SimEdge {
    /// The gateway.
    pub gateway: TapedGateway,
    /// Media sessions by id.
    pub sessions: BTreeMap<MediaId, Session>,
    /// Bound addresses: session, end, and whether the port is for RTCP.
    pub ports: BTreeMap<SocketAddr, (MediaId, EndId, bool)>,
    /// Media events not yet delivered to the gateway.
    pub told: VecDeque<SessionEvent>,
    /// WebSockets to agents.
    pub sockets: SimSockets,
    /// Conference mixers.
    pub(crate) node: ConferenceNode,
    /// Whether the next tick of the mixers is scheduled.
    pub(crate) is_mixing: bool,
    /// Callers that talk with agents.
    pub(crate) talking: AgentEndMap,
    /// Recorded audio.
    pub(crate) recorded: SimRecordings,
    /// Recorders and their recordings.
    recorders: BTreeMap<(MediaId, EndId), RecordingId>,
    /// Sessions with an agent or a tone: their audio comes from the edge, not from a phone.
    talked: BTreeSet<MediaId>,
    /// Sessions kept over a restart until the new gateway claims them.
    kept: BTreeMap<MediaId, Session>,
    /// Ports used by another process.
    squatted: BTreeSet<SocketAddr>,
    buffer: PacketBuf,
    config: GatewayConfig,
    generation: u8,
    sabotage: Sabotage,
}

impl SimEdge {
    /// Applies changed settings.
    pub(crate) fn configure(&mut self, now: Instant, change: impl FnOnce(&mut EdgeSettings)) {
        let mut settings = self.gateway.settings();
        change(&mut settings);
        self.gateway.handle_input(now, GatewayInput::Configure(Box::new(settings)));
    }

    /// Returns an edge without calls.
    pub fn new(start: Instant, options: &SeedOptions) -> SimEdge {
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
        let gateway = TapedGateway::new(start, config.clone(), table(options, 0, false), options.taped);
        SimEdge {
            gateway,
            sessions: BTreeMap::new(),
            ports: BTreeMap::new(),
            told: VecDeque::new(),
            sockets: SimSockets::default(),
            node: ConferenceNode::new(),
            is_mixing: false,
            talking: AgentEndMap::default(),
            recorded: SimRecordings::default(),
            recorders: BTreeMap::new(),
            talked: BTreeSet::new(),
            kept: BTreeMap::new(),
            squatted: BTreeSet::new(),
            buffer: PacketBuf::new(),
            config,
            generation: 0,
            sabotage: options.sabotage,
        }
    }

    /// Carries out a command of the gateway, as a worker would.
    pub fn command(&mut self, now: Instant, id: MediaId, command: MediaCommand) {
        match &command {
            MediaCommand::Open { idle_timeout_ms, .. } => {
                let session = self.kept.remove(&id).unwrap_or_else(|| {
                    self.talked.remove(&id);
                    Session::new(id, *idle_timeout_ms)
                });
                self.sessions.insert(id, session);
            }
            MediaCommand::AddEnd { end, spec } if self.ports.get(&spec.bind) == Some(&(id, *end, false)) => {
                // The end was kept over a restart, with its sockets.
                self.told.push_back((id, MediaEvent::Bound { end: *end }));
                return;
            }
            MediaCommand::AddEnd { end, spec } => {
                let (rtp, rtcp) = (spec.bind, SocketAddr::new(spec.bind.ip(), spec.bind.port() + 1));
                let error = match self.sessions.get(&id) {
                    None => Some("no such session"),
                    Some(session) => session.refuses(*end),
                };
                let taken = [rtp, rtcp].iter().any(|at| self.ports.contains_key(at) || self.squatted.contains(at));
                if let Some(error) = error.or(taken.then_some("address in use")) {
                    self.told.push_back((id, MediaEvent::BindFailed { end: *end, error: error.into() }));
                    return;
                }
                self.ports.insert(rtp, (id, *end, false));
                self.ports.insert(rtcp, (id, *end, true));
                self.told.push_back((id, MediaEvent::Bound { end: *end }));
            }
            MediaCommand::MoveEnd { end, to, named } => {
                for owner in self.ports.values_mut().filter(|owner| (owner.0, owner.1) == (id, *end)) {
                    (owner.0, owner.1) = (*to, *named);
                }
                let moved = self.sessions.get_mut(&id).and_then(|session| session.release_end(now, *end));
                if let Some((session, moved)) = self.sessions.get_mut(to).zip(moved) {
                    session.adopt_end(now, *named, *moved);
                }
                self.serve(now, *to);
            }
            MediaCommand::RemoveEnd { end } => {
                self.talking.ends(id, *end);
                self.ports.retain(|_, owner| (owner.0, owner.1) != (id, *end));
            }
            MediaCommand::Close => {
                self.talking.forget(Some(id));
                self.ports.retain(|_, owner| owner.0 != id);
            }
            MediaCommand::AddAgent { end, spec } if spec.settings.recognition.is_some() => {
                self.sockets.ask_recogniser(id, *end);
            }
            MediaCommand::AddAgent { end, spec } => {
                if spec.settings.talks {
                    self.talked.insert(id);
                    self.talking.begins(id, *end, &spec.socket.url);
                }
                self.sockets.ask(id, *end);
            }
            MediaCommand::AddRecorder { end, spec } => {
                self.recorders.insert((id, *end), spec.recording);
                self.recorded.begin(now, spec.recording);
            }
            MediaCommand::PauseRecorder { end, pause } => {
                if let Some(recording) = self.recorders.get(&(id, *end)) {
                    self.recorded.pause(*recording, *pause);
                }
            }
            // After a restart a tone may play without a preceding agent.
            MediaCommand::AddPlayer { .. } => {
                self.talked.insert(id);
            }
            MediaCommand::Play { .. }
            | MediaCommand::AddStreamer { .. }
            | MediaCommand::AddJudge { .. }
            | MediaCommand::AddSeat { .. }
            | MediaCommand::Tap { .. }
            | MediaCommand::Press { .. }
            | MediaCommand::TellKeys { .. }
            | MediaCommand::TransferFailed { .. }
            | MediaCommand::TransferAccepted { .. }
            | MediaCommand::SetRemote { .. }
            | MediaCommand::Wire { .. }
            | MediaCommand::Unwire { .. } => {}
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.handle_input(now, command);
        }
        self.serve(now, id);
    }

    /// Delivers a packet to its session. Returns the packet that leaves because of it.
    pub fn packet(&mut self, now: Instant, to: SocketAddr, from: SocketAddr, bytes: &[u8]) -> Option<OutgoingPacket> {
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
            Some(OutgoingPacket { from, to: transmit.to, bytes, spoken })
        });
        self.serve(now, id);
        left
    }

    /// Applies an action to an agent's WebSocket.
    pub(crate) fn agent(&mut self, now: Instant, socket: AgentSocketId, act: AgentAct) {
        if let Some(session) = self.sessions.get_mut(&socket.0) {
            self.sockets.act(now, socket, act, session);
        }
        self.serve(now, socket.0);
    }

    /// Binds or releases a port for another process; `port` counts from the first media port.
    pub(crate) fn squat(&mut self, port: u16, taken: bool) {
        let address = SocketAddr::new(EDGE.ip(), FIRST_PORT + port);
        if taken {
            self.squatted.insert(address);
        } else {
            self.squatted.remove(&address);
        }
    }

    /// Runs the timers of all sessions. Returns the packets that leave.
    pub fn sweep(&mut self, now: Instant) -> Vec<OutgoingPacket> {
        let mut left = Vec::new();
        let ids: Vec<MediaId> = self.sessions.keys().copied().collect();
        for id in ids {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.handle_timeout(now);
                while let Some(transmit) = session.poll_packet(&mut self.buffer) {
                    let owner = (id, transmit.via, transmit.rtcp);
                    let from = self.ports.iter().find(|(_, known)| **known == owner).map(|(address, _)| *address);
                    let bytes = self.buffer.data().to_vec();
                    left.extend(from.map(|from| OutgoingPacket { from, to: transmit.to, bytes, spoken: true }));
                }
            }
            self.serve(now, id);
        }
        left
    }

    /// Returns the time of the next session timer.
    pub(crate) fn next_sweep(&self) -> Option<Instant> {
        self.sessions.values().filter_map(Session::poll_timeout).min()
    }

    /// Ends the process and starts another from its snapshot, as plain data through JSON. With `keep_media` the
    /// sessions and their sockets survive, as in a take-over; otherwise they are created again.
    ///
    /// # Errors
    /// A snapshot could not be written or read.
    pub fn restart(&mut self, now: Instant, table: Arc<RoutingTable>, keep_media: bool) -> Result<(), String> {
        let sessions: Vec<SessionSnapshot> =
            self.sessions.values().map(|s| through_json(&s.snapshot())).collect::<Result<_, _>>()?;
        self.generation += 1;
        let mut config = self.config.clone();
        if let Some(last) = config.seed.last_mut() {
            *last = self.generation;
        }
        config.epoch = (now, config.epoch.1 + now.saturating_duration_since(config.epoch.0));
        self.gateway.restart(now, config, table)?;
        self.sessions.clear();
        self.ports.clear();
        self.sockets.forget(None);
        self.talking.forget(None);
        self.told.clear();
        self.recorders.clear();
        self.node = ConferenceNode::new();
        self.recorded.forget();
        for snapshot in sessions.into_iter().filter(|_| keep_media) {
            let id = snapshot.id;
            let session = Session::restore(now, snapshot);
            for (end, bind) in session.ends() {
                self.ports.insert(bind, (id, end, false));
                self.ports.insert(SocketAddr::new(bind.ip(), bind.port() + 1), (id, end, true));
            }
            self.kept.insert(id, session);
        }
        Ok(())
    }

    /// Closes kept sessions that belong to no call of the new gateway, once it has restored all calls.
    pub(crate) fn forget_kept(&mut self) {
        for (id, _) in std::mem::take(&mut self.kept) {
            self.ports.retain(|_, owner| owner.0 != id);
        }
    }

    fn collect(&mut self, now: Instant, id: MediaId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.drain_recordings(|recording, piece| self.recorded.take(now, recording, piece));
        let mut closed = false;
        while let Some(event) = session.poll_output() {
            closed |= event == MediaEvent::Closed;
            if self.sabotage == Sabotage::PortsAreLost
                && matches!(event, MediaEvent::EndClosed { .. } | MediaEvent::Closed)
            {
                continue;
            }
            self.told.push_back((id, event));
        }
        if closed {
            self.sessions.remove(&id);
            self.sockets.forget(Some(id));
        }
    }

    /// Serves the agents of a session, and collects its outputs.
    fn serve(&mut self, now: Instant, id: MediaId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            self.sockets.serve(now, session);
        }
        self.collect(now, id);
    }
}

/// A packet that leaves a media socket.
#[derive(Debug)]
pub struct OutgoingPacket {
    /// Source address.
    pub from: SocketAddr,
    /// Destination address.
    pub to: SocketAddr,
    /// Bytes of the packet.
    pub bytes: Vec<u8>,
    /// Whether its session has an agent or a tone, so that the audio cannot be attributed to a phone.
    pub spoken: bool,
}

pub(crate) fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> Result<T, String> {
    let text = serde_json::to_string(value).map_err(|e| format!("snapshot cannot be written: {e}"))?;
    serde_json::from_str(&text).map_err(|e| format!("snapshot cannot be read: {e}"))
}
