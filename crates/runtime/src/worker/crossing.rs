//! Sessions that cross from a process that ends to its successor, with their sockets.
//!
//! The old worker relays until a session is exported, and packets queue in its sockets until the new worker has adopted
//! it. Signalling crosses first: commands of the new process for a session that has not arrived yet wait for it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use trunkgate_media::{
    AgentSnapshot, AgentSpec, EndId, EndSpec, MediaCommand, MediaEvent, MediaId, Session, SessionSnapshot,
};

use super::agent_socket::AgentSocket;
use super::agents::{AgentConnection, AgentConnectionState};
use super::connector::AgentConnectionId;
use super::port_set::EndSockets;
use super::turn::{LiveSession, MediaWorker, WorkerCommand};

/// Session between two processes.
#[derive(Debug)]
pub struct CrossingSession {
    /// State of the session.
    pub snapshot: SessionSnapshot,
    /// Sockets of its ends: RTP, then RTCP.
    pub sockets: Vec<(EndId, [OwnedFd; 2])>,
    /// Agents whose sockets cross; the others were dismissed.
    pub agents: Vec<CrossingAgent>,
}

/// Agent between two processes.
#[derive(Debug)]
pub struct CrossingAgent {
    /// The conversation.
    pub state: AgentSnapshot,
    /// Plain TCP connection of its WebSocket, between two messages.
    pub socket: OwnedFd,
}

/// Agent of an adopted session that its call has not asked for yet.
#[derive(Debug)]
pub(super) struct UnclaimedAgent {
    session: MediaId,
    agent: CrossingAgent,
    /// Time at which the connection is dropped.
    until: Instant,
}

/// Which sessions are exported.
#[derive(Debug, Clone, Copy)]
pub struct ExportRequest {
    /// Maximum number of sessions.
    pub most: usize,
    /// Whether sessions leave whose agents are in the middle of a message, and dismiss those agents.
    pub is_forced: bool,
}

/// Exported sessions.
#[derive(Debug, Default)]
pub struct ExportedSlice {
    /// The sessions.
    pub sessions: Vec<CrossingSession>,
    /// Number of sessions that the workers still have.
    pub remaining: usize,
}

/// Time until an agent that no call asks for is dropped: an application may fetch a document first.
const CLAIM_WITHIN: Duration = Duration::from_secs(10);

/// Session that will cross, with the addresses of its ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedSession {
    /// Session id.
    pub id: MediaId,
    /// Ends with the addresses of their RTP sockets.
    pub ends: Vec<(EndId, SocketAddr)>,
}

impl MediaWorker {
    /// Lists the sessions. Figures of exported ones begin here, because those before are in the snapshots of their calls.
    pub(super) fn list(&mut self) -> Vec<ExpectedSession> {
        let listed = |live: &mut LiveSession| {
            live.figures = live.session.figures();
            ExpectedSession { id: live.id, ends: live.session.ends().collect() }
        };
        self.sessions.iter_mut().map(|(_, live)| listed(live)).collect()
    }

    /// Removes sessions and returns them. Unless forced, a session stays while an agent is in the middle of a message.
    pub(super) fn export(&mut self, now: Instant, request: ExportRequest) -> ExportedSlice {
        let mut sessions = Vec::new();
        for at in self.sessions.iter().map(|(at, _)| at).collect::<Vec<_>>() {
            if sessions.len() == request.most {
                break;
            }
            if request.is_forced || self.can_cross(at) {
                sessions.extend(self.export_one(now, at));
            }
        }
        ExportedSlice { sessions, remaining: self.sessions.len() }
    }

    /// Returns whether each agent of a session can cross now or never.
    fn can_cross(&mut self, at: usize) -> bool {
        let Some(live) = self.sessions.get(at) else { return false };
        live.doors.iter().all(|door| match door.way {
            AgentConnectionState::Open(slot) if live.session.can_leave(door.name.end) => {
                self.sockets.talking(slot).is_none_or(|socket| socket.is_encrypted() || socket.can_cross())
            }
            AgentConnectionState::Open(_) | AgentConnectionState::UnderWay(_) | AgentConnectionState::Done => true,
        })
    }

    /// Removes the agents of a session: those that can cross are returned, the others are dismissed.
    fn export_agents(&mut self, now: Instant, at: usize) -> Vec<CrossingAgent> {
        let Some(live) = self.sessions.get(at) else { return Vec::new() };
        let (id, doors): (MediaId, Vec<_>) = (live.id, live.doors.iter().map(AgentConnection::parts).collect());
        let mut crossing = Vec::new();
        for (end, slot) in doors {
            let state = self.sessions.get(at).and_then(|live| live.session.agent_snapshot(end));
            let slot = slot.filter(|slot| self.sockets.talking(*slot).is_some_and(AgentSocket::can_cross));
            let (Some(mut state), Some(slot)) = (state, slot) else {
                self.obey(now, id, MediaCommand::RemoveEnd { end });
                continue;
            };
            if let Some(live) = self.sessions.get_mut(at) {
                state.count_since(&live.figures);
                live.doors.retain(|door| door.name.end != end);
                live.session.release_agent(end);
            }
            match self.sockets.release(&self.ports, slot) {
                Ok(socket) => crossing.push(CrossingAgent { state, socket }),
                Err(error) => tracing::error!("the socket of an agent cannot be handed over: {error}"),
            }
        }
        crossing
    }

    fn export_one(&mut self, now: Instant, at: usize) -> Option<CrossingSession> {
        self.at_work = Some(at);
        let agents = self.export_agents(now, at);
        self.at_work = Some(at);
        let mut live = self.forget(at)?;
        let mut sockets = Vec::with_capacity(live.ends.len());
        for (end, port, pair) in live.ends.drain(..) {
            match self.ports.release(pair) {
                Ok(released) => sockets.extend(released.map(|released| (end, released.into_descriptors()))),
                Err(error) => tracing::error!(port, "the sockets of a call cannot be handed over: {error}"),
            }
        }
        self.count_ends();
        self.at_work = None;
        let mut snapshot = live.session.snapshot();
        snapshot.count_since(&live.figures);
        Some(CrossingSession { snapshot, sockets, agents })
    }

    /// Continues a session and executes the commands that waited for it. Without a command that opens it, its call was
    /// not continued and its sockets are closed.
    pub(super) fn adopt(&mut self, now: Instant, crossing: CrossingSession) {
        let CrossingSession { snapshot, sockets, agents } = crossing;
        let id = snapshot.id;
        let Some(commands) = self.expected.remove(&id) else { return };
        let mut kept = FxHashMap::<EndId, EndSpec>::default();
        for command in &commands {
            if let WorkerCommand::KeptEnd(_, end, spec) = command
                && sockets.iter().any(|(crossed, _)| crossed == end)
            {
                kept.insert(*end, spec.clone());
            }
        }
        let session = Session::restore_counted(now, snapshot, |end| kept.get(&end).map(|spec| spec.counters.clone()));
        let at = self.insert(session);
        self.at_work = Some(at);
        for (end, descriptors) in sockets {
            let Some(spec) = kept.get(&end) else { continue };
            let opened = self.ports.open(at, end, EndSockets::received(descriptors));
            match (opened, self.sessions.get_mut(at)) {
                (Ok(pair), Some(live)) => live.ends.push((end, spec.bind.port(), pair)),
                (Ok(pair), None) => self.ports.close(pair),
                (Err(error), _) => self.tell(id, MediaEvent::BindFailed { end, error: error.to_string() }),
            }
        }
        self.count_ends();
        let until = now + CLAIM_WITHIN;
        self.unclaimed.extend(agents.into_iter().map(|agent| UnclaimedAgent { session: id, agent, until }));
        let is_done =
            |command: &WorkerCommand| matches!(command, WorkerCommand::KeptEnd(_, end, _) if kept.contains_key(end));
        commands.into_iter().filter(|command| !is_done(command)).for_each(|command| self.execute(now, command));
        self.read_when_wanted(at);
        self.settle(at);
        self.at_work = None;
    }

    /// Returns the connection of an agent that crosses, if the stream has its SID.
    pub(super) fn claim(&mut self, id: MediaId, stream_sid: &str) -> Option<CrossingAgent> {
        let is_asked = |one: &UnclaimedAgent| one.session == id && one.agent.state.stream.stream_sid == stream_sid;
        let at = self.unclaimed.iter().position(is_asked)?;
        Some(self.unclaimed.swap_remove(at).agent)
    }

    /// Continues an agent that has crossed.
    ///
    /// # Errors
    /// Returns the system's error if its socket cannot be waited for.
    pub(super) fn resume_agent(
        &mut self,
        now: Instant,
        at: usize,
        (name, spec): (AgentConnectionId, &AgentSpec),
        crossed: CrossingAgent,
    ) -> io::Result<()> {
        let Some(live) = self.sessions.get_mut(at) else { return Ok(()) };
        let socket = AgentSocket::resumed(crossed.socket, self.held.clone());
        let slot = self.sockets.add_socket(&self.ports, (at, name.end), socket)?;
        live.session.resume_agent(now, name.end, spec, crossed.state);
        live.doors.push(AgentConnection { name, way: AgentConnectionState::Open(slot) });
        Ok(())
    }

    /// Drops agents that no call has asked for in time.
    pub(super) fn drop_unclaimed(&mut self, now: Instant) {
        self.unclaimed.retain(|one| now < one.until);
    }

    /// Begins the sessions that have not arrived as new ones, with sockets of their own.
    pub(super) fn begin_expected(&mut self, now: Instant) {
        for (_, commands) in std::mem::take(&mut self.expected) {
            for command in commands {
                self.execute(now, command);
            }
        }
    }
}
