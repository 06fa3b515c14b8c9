//! Agents of a worker's sessions: connecting them, and exchanging messages through their sockets.
//!
//! A socket is read one message at a time, and only while its session permits it, which slows down a fast agent. Data
//! that the socket does not accept waits in the session, where new audio replaces old. All messages that a turn has
//! produced for agents are sent at its end.

use std::time::{Duration, Instant};

use trunkgate_media::agent::limits::CLOSE_TIMEOUT;
use trunkgate_media::agent::{NORMAL_CLOSE, StreamLoss};
use trunkgate_media::{AgentEvent, AgentInput, AgentSpec, EndId, MediaCommand, MediaEvent, MediaId};

use super::NO_UPGRADE;
use super::agent_connect::AgentFault;
use super::agent_socket::{AgentRead, WebSocketMessage};
use super::connector::{AgentConnectionId, ConnectAttempt, ConnectOutcome, ConnectResult};
use super::port_set::SocketEvent;
use super::sockets::SocketIndex;
use super::turn::MediaWorker;

/// Maximum number of agent messages read per turn.
const MESSAGES_PER_TURN: usize = 32;
/// Maximum bytes of agent messages read per turn; processing them takes a few milliseconds.
const MESSAGE_BYTES_PER_TURN: usize = 1 << 20;

/// Agent of a session with the state of its connection.
#[derive(Debug)]
pub(super) struct AgentConnection {
    pub(super) name: AgentConnectionId,
    pub(super) way: AgentConnectionState,
}

/// State of the connection to an agent.
#[derive(Debug)]
pub(super) enum AgentConnectionState {
    /// The connector is opening the connection.
    UnderWay(#[expect(dead_code, reason = "given up when dropped")] ConnectAttempt),
    /// The WebSocket is open.
    Open(SocketIndex),
    /// The agent has no socket: it only receives copies, or its conversation has ended.
    Done,
}

impl MediaWorker {
    /// Adds an agent and starts to connect it, unless the session rejects it.
    pub(super) fn add_agent(&mut self, now: Instant, at: usize, end: EndId, spec: std::sync::Arc<AgentSpec>) {
        let Some(live) = self.sessions.get_mut(at) else { return };
        let refused = live.session.refuses(end).is_some();
        let name = AgentConnectionId { session: live.id, end, serial: self.next_socket };
        self.next_socket += 1;
        if let Some(crossed) = self.claim(name.session, &spec.settings.stream_sid) {
            match self.resume_agent(now, at, (name, &spec), crossed) {
                Ok(()) => return self.settle(at),
                Err(error) => tracing::error!(
                    "the agent of stream {} is connected again, because its connection could not be taken over: {error}",
                    spec.settings.stream_sid
                ),
            }
        }
        let Some(live) = self.sessions.get_mut(at) else { return };
        live.session.handle_input(now, MediaCommand::AddAgent { end, spec: spec.clone() });
        if !refused && !live.session.agent_is_closed(end) {
            let under_way = self.way_in.begin(name, spec.socket.clone(), self.held.clone());
            live.doors.push(AgentConnection { name, way: AgentConnectionState::UnderWay(under_way) });
        }
        self.settle(at);
    }

    /// Reports that an agent cannot be connected, because its session does not exist.
    pub(super) fn refuse_agent(&self, id: MediaId, end: EndId) {
        let _ = self.events.send((id, MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Unreachable) }));
    }

    /// Handles the result of a connection attempt of the connector.
    pub(super) fn reached(&mut self, now: Instant, (name, news): ConnectResult) {
        let Some(at) = self.by_id.get(&name.session).copied() else { return };
        let Some(live) = self.sessions.get_mut(at) else { return };
        let Some(door) = live.doors.iter_mut().find(|door| door.name == name) else { return };
        if matches!(news, Ok(ConnectOutcome::Unanswered)) {
            let note = MediaEvent::Agent {
                end: name.end,
                event: AgentEvent::Note { text: NO_UPGRADE.to_owned(), logged: true },
            };
            let _ = self.events.send((live.id, note));
            return;
        }
        self.at_work = Some(at);
        door.way = AgentConnectionState::Done;
        match news {
            Ok(ConnectOutcome::Unanswered) => {}
            Ok(ConnectOutcome::Socket(open)) => match self.sockets.add(&self.ports, (at, name.end), open) {
                Ok(slot) => {
                    door.way = AgentConnectionState::Open(slot);
                    live.session.handle_agent(now, name.end, AgentInput::Opened);
                }
                Err(error) => self.lose(now, at, name.end, AgentFault::unreachable(error)),
            },
            Ok(ConnectOutcome::Copies(to)) => live.session.handle_agent(now, name.end, AgentInput::Found(to)),
            Err(fault) => self.lose(now, at, name.end, fault),
        }
        self.settle(at);
        self.at_work = None;
    }

    /// Handles a failed connection or a broken socket.
    fn lose(&mut self, now: Instant, at: usize, end: EndId, fault: AgentFault) {
        let Some(live) = self.sessions.get_mut(at) else { return };
        if !fault.detail.is_empty() {
            let _ = self.events.send((
                live.id,
                MediaEvent::Agent { end, event: AgentEvent::Note { text: fault.detail, logged: true } },
            ));
        }
        live.session.handle_agent(now, end, AgentInput::Lost(fault.loss));
        self.settle(at);
    }

    /// Returns whether any agent waits to be served in this turn.
    pub(super) fn agents_wait(&self) -> bool {
        self.sockets.is_waiting() || !self.to_serve.is_empty()
    }

    /// Gives agents their share of a turn: reads some of their messages, and writes pending ones.
    pub(super) fn turn_to_agents(&mut self, now: Instant) {
        self.sockets.ring(now);
        let mut bytes = 0;
        for _ in 0..MESSAGES_PER_TURN {
            let Some(slot) = self.sockets.next_to_read() else { break };
            if !self.sockets.see_on(now, slot) {
                bytes += self.hear(now, slot);
            }
            if bytes >= MESSAGE_BYTES_PER_TURN {
                break;
            }
        }
        self.serve_all(now);
    }

    /// Serves the agents of all sessions that are queued for it.
    pub(super) fn serve_all(&mut self, now: Instant) {
        while let Some(at) = self.to_serve.pop_front() {
            self.serve(now, at);
        }
        self.at_work = None;
    }

    /// Reads one message of an agent and passes it to the session; returns its size in bytes.
    fn hear(&mut self, now: Instant, slot: SocketIndex) -> usize {
        let Some((at, end)) = self.sockets.owner(slot) else { return 0 };
        self.at_work = Some(at);
        let Some(live) = self.sessions.get_mut(at) else { return 0 };
        let Some(socket) = self.sockets.talking(slot).filter(|socket| socket.is_readable()) else { return 0 };
        if !live.session.agent_wants_more(end) {
            // Retried after the session has been served.
            return 0;
        }
        let said = match socket.read() {
            Ok(AgentRead::Said(said)) => said,
            Ok(AgentRead::Nothing) => return 0,
            Ok(AgentRead::Later(until)) => {
                self.sockets.rest(slot, until);
                return 0;
            }
            Err(fault) => {
                self.close_door(at, slot);
                self.lose(now, at, end, fault);
                return 0;
            }
        };
        let mut bytes = 0;
        let input = match &said {
            WebSocketMessage::Text(text) => {
                bytes = text.len();
                Some(AgentInput::Text(text))
            }
            WebSocketMessage::Binary(bytes) => Some(AgentInput::Binary(*bytes)),
            WebSocketMessage::Pong => Some(AgentInput::Pong),
            WebSocketMessage::Ping => None,
            WebSocketMessage::Closed(code, reason) => {
                if !reason.is_empty() && *code != Some(NORMAL_CLOSE) {
                    let text = format!("closes with reason \"{reason}\"");
                    let _ = self
                        .events
                        .send((live.id, MediaEvent::Agent { end, event: AgentEvent::Note { text, logged: true } }));
                }
                Some(AgentInput::Closed(*code))
            }
        };
        if let Some(input) = input {
            live.session.handle_agent(now, end, input);
        }
        if matches!(said, WebSocketMessage::Closed(..)) {
            if let Some(door) = live.doors.iter_mut().find(|door| door.is_at(slot)) {
                door.way = AgentConnectionState::Done;
            }
            self.sockets.answer_close(now, slot);
        } else {
            self.sockets.queue(slot);
        }
        self.settle(at);
        bytes
    }

    /// Writes a session's messages to its agents' sockets, schedules reads from those agents that may send, and starts
    /// the closing handshakes of ended conversations.
    fn serve(&mut self, now: Instant, at: usize) {
        self.at_work = Some(at);
        let Some(live) = self.sessions.get_mut(at) else { return };
        live.is_to_be_served = false;
        let mut n = 0;
        while let Some((end, way)) =
            self.sessions.get(at).and_then(|live| live.doors.get(n)).map(AgentConnection::parts)
        {
            let Some(live) = self.sessions.get_mut(at) else { return };
            let mut broken = None;
            if let Some(slot) = way
                && let Some(socket) = self.sockets.talking(slot)
            {
                broken = socket.write(|| live.session.poll_agent(end)).err().map(|fault| (slot, fault));
                if broken.is_none() && socket.is_readable() && live.session.agent_wants_more(end) {
                    self.sockets.queue(slot);
                }
            }
            if let Some((slot, fault)) = broken {
                self.close_door(at, slot);
                self.lose(now, at, end, fault);
            }
            let Some(live) = self.sessions.get_mut(at) else { return };
            if live.session.agent_is_closed(end) {
                drop(live.doors.remove(n));
                way.into_iter().for_each(|slot| self.sockets.remove(slot));
            } else {
                n += 1;
            }
        }
    }

    fn close_door(&mut self, at: usize, slot: SocketIndex) {
        let doors = self.sessions.get_mut(at).map(|live| live.doors.iter_mut());
        if let Some(door) = doors.into_iter().flatten().find(|door| door.is_at(slot)) {
            door.way = AgentConnectionState::Done;
        }
        self.sockets.remove(slot);
    }

    /// Starts the closing handshakes of removed agents.
    pub(super) fn see_off(&mut self, at: usize) {
        let Some(live) = self.sessions.get_mut(at) else { return };
        while let Some((end, stream)) = live.session.poll_departed() {
            let Some(n) = live.doors.iter().position(|door| door.name.end == end) else { continue };
            if let AgentConnectionState::Open(slot) = live.doors.swap_remove(n).way {
                self.sockets.see_off(slot, stream);
            }
        }
    }

    /// Ends all conversations because the worker stops, and waits briefly for their closing handshakes.
    pub(super) fn dismiss(&mut self) {
        let now = Instant::now();
        let doors = self.sessions.iter().flat_map(|(_, live)| &live.doors);
        let all: Vec<(MediaId, EndId)> = doors.map(|door| (door.name.session, door.name.end)).collect();
        for (id, end) in all {
            self.obey(now, id, MediaCommand::RemoveEnd { end });
        }
        let until = now + CLOSE_TIMEOUT;
        loop {
            let now = Instant::now();
            self.sockets.ring(now);
            while let Some(slot) = self.sockets.next_to_read() {
                self.sockets.see_on(now, slot);
            }
            if self.sockets.have_left() || now >= until {
                return;
            }
            let due = self.sockets.next_alarm().map_or(until, |alarm| alarm.min(until));
            let events = self.ports.block(Duration::ZERO, due.saturating_duration_since(now)).unwrap_or_default();
            let mut is_time = false;
            for n in 0..events {
                match self.ports.event(n) {
                    // No session is left for these packets.
                    Some(SocketEvent::Packet(port, _)) => self.ports.discard(port),
                    Some(SocketEvent::Agent(token, state)) => {
                        self.sockets.awake(token, state);
                    }
                    Some(SocketEvent::Time) => is_time = true,
                    None => {}
                }
            }
            let together = if is_time { self.ports.look().unwrap_or_default() } else { 0 };
            for n in 0..together {
                if let Some(SocketEvent::Packet(port, _)) = self.ports.event(n) {
                    self.ports.discard(port);
                }
            }
        }
    }
}

impl AgentConnection {
    fn is_at(&self, slot: SocketIndex) -> bool {
        matches!(self.way, AgentConnectionState::Open(open) if open == slot)
    }

    pub(super) fn parts(&self) -> (EndId, Option<SocketIndex>) {
        let slot = match self.way {
            AgentConnectionState::Open(slot) => Some(slot),
            AgentConnectionState::UnderWay(_) | AgentConnectionState::Done => None,
        };
        (self.name.end, slot)
    }
}
