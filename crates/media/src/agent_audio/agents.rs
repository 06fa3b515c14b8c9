//! Agents of a session: routes commands, packets, socket input and deadlines to the right agent.

use std::collections::VecDeque;
use std::time::Instant;

use trunkgate_agent::{SocketMessage, Stream, TrackName};

use crate::counters::SharedCounters;
use crate::listening::{EndListener, TrackPacket};
use crate::playout::{Feed, PlayoutFrame};
use crate::spec::{AgentInput, AgentSpec, EndFigures, EndId, MediaEvent, TapSpec};

use super::end::AgentEnd;
use super::snapshot::AgentSnapshot;

/// All voice agents of a session, and the streams of removed agents until the I/O layer takes them.
#[derive(Debug, Default)]
pub(crate) struct AgentEnds {
    all: Vec<AgentEnd>,
    /// Streams of removed agents, each of which still has to close its WebSocket.
    departed: VecDeque<(EndId, Box<Stream>)>,
}

impl AgentEnds {
    /// Adds an agent before its WebSocket is open.
    pub(crate) fn add(&mut self, now: Instant, id: EndId, spec: &AgentSpec, shared: &SharedCounters) {
        // One agent is the common case, and the type is large.
        self.all.reserve_exact(1);
        self.all.push(AgentEnd::new(now, id, spec, shared.clone()));
    }

    /// Restores an agent from a snapshot of another process; its socket stays open.
    pub(crate) fn resume(
        &mut self,
        now: Instant,
        id: EndId,
        (spec, snapshot): (&AgentSpec, AgentSnapshot),
        shared: &SharedCounters,
    ) {
        self.all.reserve_exact(1);
        self.all.push(AgentEnd::resume(now, id, spec, shared.clone(), snapshot));
    }

    /// Lists the packets and bytes counted for each agent.
    pub(crate) fn figures(&self) -> impl Iterator<Item = EndFigures> {
        self.all.iter().map(|agent| EndFigures { end: agent.id(), counted: agent.counters().packets(), lost: 0 })
    }

    /// Removes an agent without sending anything to it, because another process continues its conversation.
    pub(crate) fn release(&mut self, id: EndId) {
        self.all.retain(|agent| agent.id() != id);
    }

    /// Removes an agent and ends its conversation; [`Self::poll_departed`] returns its stream, which still has to close
    /// the WebSocket.
    pub(crate) fn remove(&mut self, now: Instant, id: EndId, events: &mut VecDeque<MediaEvent>) {
        if let Some(at) = self.all.iter().position(|agent| agent.id() == id) {
            let stream = self.all.remove(at).leave(now, events);
            self.departed.push_back((id, Box::new(stream)));
        }
    }

    /// Iterates over the ids of the agents in the session.
    pub(crate) fn names(&self) -> impl Iterator<Item = EndId> {
        self.all.iter().map(AgentEnd::id)
    }

    /// Returns the agent with this id; `None` if the session has none. Removed agents are not found.
    pub(crate) fn get(&self, id: EndId) -> Option<&AgentEnd> {
        self.all.iter().find(|agent| agent.id() == id)
    }

    /// Returns the agent with this id, mutably; `None` if the session has none. Removed agents are not found.
    pub(crate) fn get_mut(&mut self, id: EndId) -> Option<&mut AgentEnd> {
        self.all.iter_mut().find(|agent| agent.id() == id)
    }

    /// Returns the agent that feeds the end `to`; `None` if no agent does.
    pub(crate) fn feeder_of(&mut self, to: EndId) -> Option<&mut AgentEnd> {
        self.all.iter_mut().find(|agent| agent.feed().is_some_and(|feed| feed.to == to))
    }

    /// Returns whether a codec other than G.711 is decoded for an agent.
    pub(crate) fn decode(&self) -> bool {
        self.all.iter().any(AgentEnd::decodes)
    }

    /// Processes input of an agent's socket; ignored for an unknown agent.
    pub(crate) fn handle(&mut self, now: Instant, id: EndId, input: AgentInput<'_>, events: &mut VecDeque<MediaEvent>) {
        if let Some(agent) = self.get_mut(id) {
            agent.handle(now, input, events);
        }
    }

    /// Processes the expired deadlines of all agents.
    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut VecDeque<MediaEvent>) {
        for agent in &mut self.all {
            agent.handle_timeout(now, events);
        }
    }

    /// Lists the next deadline of each agent.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.all.iter().filter_map(AgentEnd::poll_timeout)
    }

    /// Returns the next message for an agent's socket.
    pub(crate) fn poll_transmit(&mut self, id: EndId) -> Option<SocketMessage> {
        self.get_mut(id)?.poll_transmit()
    }

    /// Returns whether more may be read from an agent's socket; false for an unknown agent. May add a note to `events`,
    /// see [`AgentEnd::wants_more`].
    pub(crate) fn wants_more(&mut self, id: EndId, events: &mut VecDeque<MediaEvent>) -> bool {
        self.get_mut(id).is_some_and(|agent| agent.wants_more(events))
    }

    /// Returns whether an agent's socket may be dropped; true for an unknown agent.
    pub(crate) fn is_closed(&self, id: EndId) -> bool {
        self.get(id).is_none_or(AgentEnd::is_closed)
    }

    /// Removes and returns the stream of the next removed agent, which still has to close its WebSocket; `None` if
    /// there is none.
    pub(crate) fn poll_departed(&mut self) -> Option<(EndId, Box<Stream>)> {
        self.departed.pop_front()
    }

    /// Sets the codecs of both directions that an agent listens to, by payload type; returns false for an unknown
    /// agent.
    pub(crate) fn tune(&mut self, id: EndId, audio: &TapSpec) -> bool {
        let Some(agent) = self.get_mut(id) else { return false };
        agent.set_audio(TrackName::Inbound, &audio.inbound, None);
        agent.set_audio(TrackName::Outbound, &audio.outbound, None);
        true
    }

    /// Passes a packet to the agents among `listeners`.
    pub(crate) fn hear_all(
        &mut self,
        now: Instant,
        listeners: &[EndListener],
        packet: &TrackPacket<'_>,
        events: &mut VecDeque<MediaEvent>,
    ) {
        for listener in listeners {
            if let Some(agent) = self.get_mut(listener.id()) {
                // The error concerns this agent alone; the packet is still relayed.
                let _ = agent.process_packet(now, packet, listener.coding(packet), events);
            }
        }
    }

    /// Makes an agent feed the end `feed.to`; returns false for an unknown agent.
    pub(crate) fn connect(&mut self, id: EndId, feed: Feed) -> bool {
        self.get_mut(id).map(|agent| agent.connect(feed)).is_some()
    }

    /// Disconnects each agent from the end that it feeds if `cut(agent, end)` is true.
    pub(crate) fn disconnect(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        for agent in &mut self.all {
            if agent.feed().is_some_and(|feed| cut(agent.id(), feed.to)) {
                agent.disconnect();
            }
        }
    }

    /// Removes and returns the next 20 ms of the agent that feeds the end `to`, to fade them out, if `cut(agent)` is
    /// true. The frame and its marks are not counted as played.
    pub(crate) fn cut_off(&mut self, to: EndId, cut: impl Fn(EndId) -> bool) -> Option<PlayoutFrame> {
        let agent = self.feeder_of(to).filter(|agent| cut(agent.id()))?;
        Some(agent.last_frame())
    }
}
