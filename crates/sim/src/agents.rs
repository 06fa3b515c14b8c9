//! Scripted agents: what the seed lets happen on a socket that the edge wants opened. The conversation behind it is the
//! session's own.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use trunkgate_media::agent::{Loss, Transmit};
use trunkgate_media::{AgentInput, EndId, MediaId, Session};

use crate::world::{Happening, World};

/// Numbers that lead to an agent first.
pub const AGENTS: &str = "+1777";
/// Numbers of calls that an agent listens to.
pub const FORKED: &str = "+12125551";

/// In one seed of so many, agents are down more often than not: enough for the edge to skip them.
const DOWN_IN: u64 = 8;

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
    /// Those that are alive, and whether pings are answered.
    live: BTreeMap<Socket, bool>,
}

impl Sockets {
    /// The edge wants a socket opened.
    pub(crate) fn ask(&mut self, id: MediaId, end: EndId) {
        self.live.insert((id, end), true);
        self.asked.push_back((id, end));
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

/// Decides what becomes of each socket that the edge has asked for.
pub(crate) fn decide(world: &mut World) {
    while let Some(socket) = world.edge.sockets.asked.pop_front() {
        let (first, later) = script(world);
        let opens = Duration::from_millis(world.rng.random_range(1..3000));
        let then = opens + Duration::from_millis(world.rng.random_range(0..15_000));
        let acts = first.map(|act| (opens, act)).into_iter().chain(later.map(|act| (then, act)));
        for (after, act) in acts {
            world.at(world.now + after, Happening::Agent(socket, act));
        }
    }
}

/// What happens on a new socket, and what later.
fn script(world: &mut World) -> (Option<AgentAct>, Option<AgentAct>) {
    let opens = Some(AgentAct::Opens);
    match world.rng.random_range(0..100) {
        0..70 if world.options.seed.is_multiple_of(DOWN_IN) => (Some(AgentAct::Fails(Loss::Unreachable)), None),
        0..8 => (Some(AgentAct::Fails(Loss::Unreachable)), None),
        8..14 => (Some(AgentAct::Fails(Loss::Status(404))), None),
        // Never open: the stream's own time-out.
        14..20 => (None, None),
        20..34 => (opens, Some(AgentAct::Fails(Loss::Reset))),
        34..42 => (opens, Some(AgentAct::Closes(1011))),
        42..52 => (opens, Some(AgentAct::Closes(1000))),
        52..58 => (opens, Some(AgentAct::GoesDeaf)),
        58..64 => (opens, Some(AgentAct::Says(r#"{"event":"hangup"}"#))),
        64..72 => (opens, Some(AgentAct::Says(r#"{"event":"transfer","target":"trunk:b"}"#))),
        72..76 => (opens, Some(AgentAct::Says(r#"{"event":"transfer","target":"agent:night"}"#))),
        76..79 => (opens, Some(AgentAct::Says(r#"{"event":"transfer","target":"trunk:nowhere"}"#))),
        79..82 => (opens, Some(AgentAct::Says("{nonsense"))),
        82..86 => (opens, Some(AgentAct::Says(r#"{"event":"dtmf","digits":"123#"}"#))),
        86..90 => (opens, Some(AgentAct::Says(r#"{"event":"transfer","target":"trunk:b","consult":true}"#))),
        90..92 => (opens, Some(AgentAct::Says(r#"{"event":"transfer","target":"agent:night","consult":true}"#))),
        _ => (opens, None),
    }
}
