//! WebSockets of the edge to agents. The media session handles the protocol; actions on a socket are in `world`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use trunkgate_media::agent::{SocketMessage, StreamLoss};
use trunkgate_media::{AgentInput, EndId, MediaId, Session};

/// Identifier of an agent's WebSocket.
pub(crate) type AgentSocketId = (MediaId, EndId);

/// Action of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgentAct {
    /// Opens the WebSocket.
    Opens,
    /// Refuses or breaks the connection.
    Fails(StreamLoss),
    /// Closes the WebSocket with a code.
    Closes(u16),
    /// Sends a text message.
    Says(&'static str),
    /// Stops answering pings.
    GoesDeaf,
}

/// WebSockets of the edge to agents.
#[derive(Debug, Default)]
pub struct SimSockets {
    /// Requested WebSockets of agents, still without a script.
    pub(crate) asked: VecDeque<AgentSocketId>,
    /// Requested WebSockets of recognisers, still without a script.
    pub(crate) asked_recognisers: VecDeque<AgentSocketId>,
    /// Live WebSockets, and whether each answers pings.
    live: BTreeMap<AgentSocketId, bool>,
}

impl SimSockets {
    /// Notes that the edge requests a WebSocket.
    pub(crate) fn ask(&mut self, id: MediaId, end: EndId) {
        self.live.insert((id, end), true);
        self.asked.push_back((id, end));
    }

    /// Notes that the edge requests a WebSocket of a recogniser.
    pub(crate) fn ask_recogniser(&mut self, id: MediaId, end: EndId) {
        self.live.insert((id, end), true);
        self.asked_recognisers.push_back((id, end));
    }

    /// Forgets the WebSockets of a session, or all of them if `None`.
    pub(crate) fn forget(&mut self, id: Option<MediaId>) {
        self.live.retain(|socket, _| id.is_some_and(|id| socket.0 != id));
    }

    /// Returns the number of live WebSockets.
    pub(crate) fn live(&self) -> usize {
        self.live.len()
    }

    /// Delivers an action to its session, if the WebSocket is live.
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

    /// Takes messages of a session to its agents, answers its pings, and drops finished WebSockets.
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
