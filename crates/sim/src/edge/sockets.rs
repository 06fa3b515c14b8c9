//! WebSockets of the edge to agents. Media sessions handle the protocol; the actions of agents are in `world`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use trunkgate_media::agent::{SocketMessage, StreamLoss};
use trunkgate_media::{AgentInput, EndId, MediaId, Session};

/// Identifier of an agent's WebSocket: session and end.
pub(crate) type AgentSocketId = (MediaId, EndId);

/// Action of a scripted agent on its WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgentAct {
    /// Opens the WebSocket.
    Opens,
    /// Refuses the connection, or breaks it.
    Fails(StreamLoss),
    /// Closes the WebSocket with a code.
    Closes(u16),
    /// Sends a text message.
    Says(&'static str),
    /// Answers no more pings.
    GoesDeaf,
}

/// WebSockets from the edge to agents and recognisers.
#[derive(Debug, Default)]
pub struct SimSockets {
    /// WebSockets to agents that the edge has requested and that have no script yet.
    pub(crate) asked: VecDeque<AgentSocketId>,
    /// WebSockets to recognisers that the edge has requested and that have no script yet.
    pub(crate) asked_recognisers: VecDeque<AgentSocketId>,
    /// Open or requested WebSockets, and whether the remote side answers pings.
    live: BTreeMap<AgentSocketId, bool>,
}

impl SimSockets {
    /// Notes that the edge requests a WebSocket to an agent.
    pub(crate) fn ask(&mut self, id: MediaId, end: EndId) {
        self.live.insert((id, end), true);
        self.asked.push_back((id, end));
    }

    /// Notes that the edge requests a WebSocket to a recogniser.
    pub(crate) fn ask_recogniser(&mut self, id: MediaId, end: EndId) {
        self.live.insert((id, end), true);
        self.asked_recognisers.push_back((id, end));
    }

    /// Forgets the WebSockets of a session, or all WebSockets for `None`.
    pub(crate) fn forget(&mut self, id: Option<MediaId>) {
        self.live.retain(|socket, _| id.is_some_and(|id| socket.0 != id));
    }

    /// Returns the number of open or requested WebSockets.
    pub(crate) fn live(&self) -> usize {
        self.live.len()
    }

    /// Delivers an agent's action to the session, unless the WebSocket has already closed.
    pub(crate) fn act(&mut self, now: Instant, (id, end): AgentSocketId, act: AgentAct, session: &mut Session) {
        let Some(hears) = self.live.get_mut(&(id, end)) else { return };
        let input = match act {
            AgentAct::Opens => AgentInput::Opened,
            AgentAct::Fails(loss) => AgentInput::Lost(loss),
            AgentAct::Closes(code) => AgentInput::Closed(Some(code)),
            AgentAct::Says(text) => AgentInput::Text(text),
            AgentAct::GoesDeaf => {
                *hears = false;
                return;
            }
        };
        session.handle_agent(now, end, input);
    }

    /// Takes a session's messages to its agents, answers its pings, and forgets closed WebSockets.
    pub(crate) fn serve(&mut self, now: Instant, session: &mut Session) {
        let id = session.id();
        let mine = self.live.range((id, EndId(0))..=(id, EndId(u16::MAX)));
        let mine: Vec<(EndId, bool)> = mine.map(|((_, end), hears)| (*end, *hears)).collect();
        for (end, hears) in mine {
            while let Some(transmit) = session.poll_agent(end) {
                if transmit == SocketMessage::Ping && hears {
                    session.handle_agent(now, end, AgentInput::Pong);
                }
            }
            if session.agent_is_closed(end) {
                self.live.remove(&(id, end));
            }
        }
        while let Some((end, _)) = session.poll_departed() {
            self.live.remove(&(id, end));
        }
    }
}
