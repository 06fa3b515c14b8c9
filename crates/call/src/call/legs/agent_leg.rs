//! The leg of an agent: its stream is opened, its settings are made, its failures are counted.
//!
//! `max_call` limits how long an agent may have a caller. It counts from the moment when the agent got the caller, which is the answer
//! where the agent is the first target, and on through new streams to the same agent. The next target has a limit of its own, or none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use trunkgate_media::agent::{Loss, TrackSet};
use trunkgate_media::{AgentQueue, EndCounters, EndId, LegTurns, RawSpec, SocketSpec, TapSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::PROVEN_SECONDS;
use trunkgate_route::Agent;
use trunkgate_story::agent_fix::{self};
use trunkgate_story::redact;
use trunkgate_story::turns::LegTurnView;
use trunkgate_story::wall::millis;

use crate::call::legs::agents::shortened;

/// State of a leg that only an agent has.
#[derive(Debug)]
pub(crate) struct AgentSide {
    /// The agent.
    pub(crate) agent: Arc<Agent>,
    /// Its end in the media session.
    pub(crate) end: EndId,
    /// Its counters.
    pub(crate) counters: Arc<EndCounters>,
    /// What of its audio waits; `None` of one that gets plain RTP.
    pub(crate) queue: Option<Arc<AgentQueue>>,
    /// Times of its turns.
    pub(crate) turns: Turns,
    /// When its socket was asked for.
    pub(crate) began: Instant,
    /// What it was added for.
    pub(crate) part: Role,
    /// The name of its stream.
    pub(crate) stream_sid: String,
    /// When it was open.
    pub(crate) opened: Option<Instant>,
    /// Whether it could not be reached, or was lost.
    pub(crate) has_failed: bool,
    /// Whether it ended the call at once, without a word.
    pub(crate) left_at_once: bool,
    /// Why, in words.
    pub(crate) problem: Option<Box<str>>,
    /// The same by its kind.
    pub(crate) loss: Option<Loss>,
    /// Whether its socket is gone, or the agent has closed it.
    pub(crate) is_gone: bool,
    /// The last thing that its worker found to log.
    pub(crate) fault: Option<(Instant, Box<str>)>,
    /// How many streams to the same agent have failed in a row before this one.
    pub(crate) retried: u32,
    /// Number of its requests, but for those that end its part.
    pub(crate) requests: u32,
    /// What of the caller a listener hears, and by which of its ends.
    pub(crate) hears: Option<(EndId, TapSpec)>,
    /// The sources of its copies, where it gets plain RTP.
    pub(crate) raw: Option<RawSpec>,
}

impl AgentSide {
    /// Makes one whose socket is asked for now: nothing has come of it yet.
    pub(crate) fn new(
        agent: Arc<Agent>,
        (end, counters): (EndId, Arc<EndCounters>),
        turns: Turns,
        began: Instant,
        part: Role,
    ) -> AgentSide {
        AgentSide {
            agent,
            end,
            counters,
            queue: None,
            turns,
            began,
            part,
            stream_sid: String::new(),
            opened: None,
            has_failed: false,
            left_at_once: false,
            problem: None,
            loss: None,
            is_gone: false,
            fault: None,
            retried: 0,
            requests: 0,
            hears: None,
            raw: None,
        }
    }

    /// Whether it only listens.
    pub(crate) fn listens(&self) -> bool {
        self.part.listens()
    }

    /// Returns what would help, where it failed.
    pub(crate) fn fix(&self) -> Option<String> {
        let words = self.problem.as_deref().unwrap_or_default();
        Some(agent_fix::with_test(agent_fix::remedy_of(&self.agent, self.loss?, words), &self.agent.name))
    }

    /// Whether its stream has been open for long enough to have gone well.
    pub(crate) fn is_proven(&self, now: Instant) -> bool {
        let proven = Duration::from_secs(PROVEN_SECONDS);
        self.opened.is_some_and(|opened| now.saturating_duration_since(opened) >= proven)
    }

    /// Why it is lost: what its worker has found in the moment before says more than the kind of the loss.
    pub(crate) fn why_lost(&self, now: Instant, loss: Loss) -> String {
        // A handshake that is not answered is not for some time before the loss.
        let is_of_it =
            |at: Instant| loss == Loss::ConnectTimeout || now.saturating_duration_since(at) < FAULT_BEFORE_LOSS;
        match &self.fault {
            Some((at, fault)) if is_of_it(*at) => format!("{loss}: {}", redact::addresses(shortened(fault))),
            Some(_) | None => loss.to_string(),
        }
    }
}

/// Longest time between what a worker finds and the loss that it explains.
const FAULT_BEFORE_LOSS: Duration = Duration::from_secs(1);

/// Times of an agent's turns.
#[derive(Debug)]
pub(crate) enum Turns {
    /// One that listens has none.
    None,
    /// As its worker counts them.
    Counted(Arc<LegTurns>),
    /// As they were before the edge was started again.
    Former(Box<LegTurnView>),
}

impl Turns {
    /// Returns them as shown; `None` before the first.
    pub(crate) fn view(&self) -> Option<Box<LegTurnView>> {
        match self {
            Turns::None => None,
            Turns::Counted(turns) => LegTurnView::of(turns).map(Box::new),
            Turns::Former(view) => Some(view.clone()),
        }
    }
}

/// What an agent is to do in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// Talk with the caller.
    Talk,
    /// Listen.
    Listen {
        /// To whom.
        tracks: TrackSet,
        /// What it is told besides what its configuration has it told.
        parameters: Vec<(String, String)>,
    },
}

impl Role {
    /// A listener's of the configuration: everything.
    pub(crate) fn listener() -> Role {
        Role::Listen { tracks: TrackSet::Both, parameters: Vec::new() }
    }
    /// Whether to listen only.
    pub(crate) fn listens(&self) -> bool {
        matches!(self, Role::Listen { .. })
    }
}

/// Returns what the shell needs to open an agent's socket; a `ws://` URL may lead to these networks.
pub fn socket_spec(agent: &Agent, local_networks: &[IpNet]) -> SocketSpec {
    SocketSpec {
        url: agent.url.clone(),
        origin: agent.origin,
        auth_token: agent.auth_token.clone(),
        ca: agent.ca.clone(),
        plain_networks: local_networks.to_vec(),
        traceparent: None,
        bearer: None,
        sends_query: false,
    }
}

/// A limit that has passed while the agent was connected again ends the call at once.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(1);

/// The agent that has the caller, or had it last.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) agent: Arc<Agent>,
    /// Since when.
    pub(crate) since: Instant,
}

/// A holder in plain data, by its name. It does not carry the agent's stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HolderSnapshot {
    agent: String,
    held_ms: u64,
}

impl Holder {
    /// Writes the holder down.
    pub(crate) fn snapshot(&self, now: Instant) -> HolderSnapshot {
        let Holder { agent, since } = self;
        HolderSnapshot { agent: agent.name.to_string(), held_ms: millis(now.saturating_duration_since(*since)) }
    }

    /// Makes the holder again; `None` where the configuration has the agent no longer.
    pub(crate) fn restore(now: Instant, edge: &Edge, snapshot: HolderSnapshot) -> Option<Box<Holder>> {
        let HolderSnapshot { agent, held_ms } = snapshot;
        let since = now.checked_sub(Duration::from_millis(held_ms))?;
        Some(Box::new(Holder { agent: edge.table().agent(&agent)?.clone(), since }))
    }
}
