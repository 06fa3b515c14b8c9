//! The edge's sockets to agents. The conversation behind one is the session's own; what happens on it is in `world`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use trunkgate_media::agent::{Loss, Transmit};
use trunkgate_media::{AgentInput, EndId, MediaId, Session};

/// An agent's socket.
pub(crate) type Socket = (MediaId, EndId);

/// What an agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgentAct {
    /// Its socket opens.
    Opens,
    /// It cannot be opened, or breaks.
    Fails(Loss),
    /// It closes with a code.
    Closes(u16),
    /// It says this.
    Says(&'static str),
    /// It answers no ping from now on.
    GoesDeaf,
}

/// The edge's sockets to agents.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Those that the edge has asked for and nobody has decided about.
    pub(crate) asked: VecDeque<Socket>,
    /// The same of recognisers.
    pub(crate) asked_recognisers: VecDeque<Socket>,
    /// Those that are alive, and whether pings are answered.
    live: BTreeMap<Socket, bool>,
}

impl Sockets {
    /// The edge wants a socket opened.
    pub(crate) fn ask(&mut self, id: MediaId, end: EndId) {
        self.live.insert((id, end), true);
        self.asked.push_back((id, end));
    }

    /// The edge wants the socket of a recogniser opened.
    pub(crate) fn ask_recogniser(&mut self, id: MediaId, end: EndId) {
        self.live.insert((id, end), true);
        self.asked_recognisers.push_back((id, end));
    }

    /// Nothing is left of a session, or of all.
    pub(crate) fn forget(&mut self, id: Option<MediaId>) {
        self.live.retain(|socket, _| id.is_some_and(|id| socket.0 != id));
    }

    /// Sockets that are not dropped yet.
    pub(crate) fn live(&self) -> usize {
        self.live.len()
    }

    /// What happens on a socket, told to its session; one that is gone is past it.
    pub(crate) fn act(&mut self, now: Instant, (id, end): Socket, act: AgentAct, session: &mut Session) {
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

    /// Takes what a session wants to write, answers its pings, and drops sockets that are done with.
    pub(crate) fn serve(&mut self, now: Instant, session: &mut Session) {
        let id = session.id();
        let mine = self.live.range((id, EndId(0))..=(id, EndId(u16::MAX)));
        let mine: Vec<(EndId, bool)> = mine.map(|((_, end), hears)| (*end, *hears)).collect();
        for (end, hears) in mine {
            while let Some(transmit) = session.poll_agent(end) {
                if transmit == Transmit::Ping && hears {
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
