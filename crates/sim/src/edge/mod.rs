//! The edge under test: a real gateway, real media sessions, and a table of ports that stands for their sockets.
//!
//! This room holds the edge's own side: its configuration (`table`), its sockets to agents (`sockets`) and who talks with
//! which agent (`talking`). What is done to it is in `world`.

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

use trunkgate_call::{GatewayConfig, Input, Settings};
use trunkgate_media::conference::Node;
use trunkgate_media::{Command, EndId, Event, LatchMode, MediaId, PacketBuf, RecordingId, Session, SessionSnapshot};
use trunkgate_route::Table;

use crate::options::{Options, Sabotage};
use recorded::Recordings;
use sockets::Sockets;
use talking::Talking;

pub use crate::places::*;
pub(crate) use sockets::{AgentAct, Socket};
pub use table::table;
pub(crate) use tape::NOTIFIED;
pub use tape::{Tape, TapedGateway, TapedInput};

/// First media port of the edge.
const FIRST_PORT: u16 = 20_000;

/// A media event on its way to the gateway.
pub type Told = (MediaId, Event);

/// The edge.
#[derive(Debug)]
pub struct Edge {
    /// The gateway.
    pub gateway: TapedGateway,
    /// Media sessions by id.
    pub sessions: BTreeMap<MediaId, Session>,
    /// Bound addresses: RTP and RTCP.
    pub ports: BTreeMap<SocketAddr, (MediaId, EndId, bool)>,
    /// Media events not yet told to the gateway.
    pub told: VecDeque<Told>,
    /// Sockets to agents.
    pub sockets: Sockets,
    /// Mixers of conferences.
    pub(crate) node: Node,
    /// Whether their next tick is planned.
    pub(crate) is_mixing: bool,
    /// Callers with agents.
    pub(crate) talking: Talking,
    /// What was recorded.
    pub(crate) recorded: Recordings,
    /// Recorders, and their recordings.
    recorders: BTreeMap<(MediaId, EndId), RecordingId>,
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
        let gateway = TapedGateway::new(start, config.clone(), table(options, 0, false), options.taped);
        Edge {
            gateway,
            sessions: BTreeMap::new(),
            ports: BTreeMap::new(),
            told: VecDeque::new(),
            sockets: Sockets::default(),
            node: Node::new(),
            is_mixing: false,
            talking: Talking::default(),
            recorded: Recordings::default(),
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
            Command::MoveEnd { end, to, named } => {
                for owner in self.ports.values_mut().filter(|owner| (owner.0, owner.1) == (id, *end)) {
                    (owner.0, owner.1) = (*to, *named);
                }
                let moved = self.sessions.get_mut(&id).and_then(|session| session.release_end(now, *end));
                if let Some((session, moved)) = self.sessions.get_mut(to).zip(moved) {
                    session.adopt_end(now, *named, *moved);
                }
                self.serve(now, *to);
            }
            Command::RemoveEnd { end } => {
                self.talking.ends(id, *end);
                self.ports.retain(|_, owner| (owner.0, owner.1) != (id, *end));
            }
            Command::Close => {
                self.talking.forget(Some(id));
                self.ports.retain(|_, owner| owner.0 != id);
            }
            Command::AddAgent { end, spec } if spec.settings.recognition.is_some() => {
                self.sockets.ask_recogniser(id, *end);
            }
            Command::AddAgent { end, spec } => {
                if spec.settings.talks {
                    self.talked.insert(id);
                    self.talking.begins(id, *end, &spec.socket.url);
                }
                self.sockets.ask(id, *end);
            }
            Command::AddRecorder { end, spec } => {
                self.recorders.insert((id, *end), spec.recording);
                self.recorded.begin(now, spec.recording);
            }
            Command::PauseRecorder { end, pause } => {
                if let Some(recording) = self.recorders.get(&(id, *end)) {
                    self.recorded.pause(*recording, *pause);
                }
            }
            // After a restart a tone may play without an agent before it.
            Command::AddPlayer { .. } => {
                self.talked.insert(id);
            }
            Command::Play { .. }
            | Command::AddStreamer { .. }
            | Command::AddJudge { .. }
            | Command::AddSeat { .. }
            | Command::Tap { .. }
            | Command::Press { .. }
            | Command::TellKeys { .. }
            | Command::TransferFailed { .. }
            | Command::TransferAccepted { .. }
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
    pub(crate) fn squat(&mut self, port: u16, taken: bool) {
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
    pub(crate) fn next_sweep(&self) -> Option<Instant> {
        self.sessions.values().filter_map(Session::poll_timeout).min()
    }

    /// Ends this process and starts another from its snapshot, as plain data through JSON. With `keep_media` the
    /// sessions and their sockets outlive it, as in a take-over; else they are made anew.
    ///
    /// # Errors
    /// What could not be written or read.
    pub fn restart(&mut self, now: Instant, table: Arc<Table>, keep_media: bool) -> Result<(), String> {
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
        self.node = Node::new();
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

    /// Closes what outlived a restart and belongs to no call of the new gateway; once it has said all it restored.
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
        self.collect(now, id);
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

pub(crate) fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> Result<T, String> {
    let text = serde_json::to_string(value).map_err(|e| format!("snapshot cannot be written: {e}"))?;
    serde_json::from_str(&text).map_err(|e| format!("snapshot cannot be read: {e}"))
}
