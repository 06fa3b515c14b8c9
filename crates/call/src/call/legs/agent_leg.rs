//! Leg of an agent: opening of its stream, its settings, and its failures.
//!
//! `max_call` limits the time that an agent has a caller, from the moment when it gets the caller, further streams to
//! the same agent included. The next target has its own limit, or none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use trunkgate_media::agent::{StreamLoss, TrackSet};
use trunkgate_media::{AgentQueue, EndCounters, EndId, LegTurns, RawSpec, SocketSpec, TapSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::PROVEN_SECONDS;
use trunkgate_route::Agent;
use trunkgate_story::agent_fix::{self};
use trunkgate_story::redact;
use trunkgate_story::turns::LegTurnView;
use trunkgate_story::wall::millis;

use crate::call::legs::agents::shortened;

/// State of a leg to an agent: its stream, its role, and its failure.
#[derive(Debug)]
pub(crate) struct AgentSide {
    /// Configuration of the agent.
    pub(crate) agent: Arc<Agent>,
    /// Media end of the agent.
    pub(crate) end: EndId,
    /// Counters of the media end.
    pub(crate) counters: Arc<EndCounters>,
    /// Queue of the agent's audio; `None` if the agent gets plain RTP.
    pub(crate) queue: Option<Arc<AgentQueue>>,
    /// Times of the agent's turns.
    pub(crate) turns: AgentTurnTimes,
    /// Time of the request for the WebSocket.
    pub(crate) began: Instant,
    /// Role of the agent in the call.
    pub(crate) part: AgentRole,
    pub(crate) stream_sid: String,
    /// True if the stream was begun by an earlier process and continues.
    pub(crate) is_continued: bool,
    /// Time at which the WebSocket opened; `None` before.
    pub(crate) opened: Option<Instant>,
    /// True once the agent was unreachable or lost.
    pub(crate) has_failed: bool,
    /// True if the agent ended the call immediately, without audio.
    pub(crate) left_at_once: bool,
    /// Description of the failure.
    pub(crate) problem: Option<Box<str>>,
    /// Kind of the failure.
    pub(crate) loss: Option<StreamLoss>,
    /// True once the WebSocket is lost or was closed by the agent.
    pub(crate) is_gone: bool,
    /// Last log entry of the media worker, with its time.
    pub(crate) fault: Option<(Instant, Box<str>)>,
    /// Number of consecutive failed streams to the same agent before this one.
    pub(crate) retried: u32,
    /// Number of requests of the agent, except those that end its time with the caller.
    pub(crate) requests: u32,
    /// Caller's audio for a listener, and the media end from which it is copied.
    pub(crate) hears: Option<(EndId, TapSpec)>,
    /// SSRCs of the copied streams, if the agent gets plain RTP.
    pub(crate) raw: Option<RawSpec>,
}

impl AgentSide {
    /// Creates the state of an agent at the request for its WebSocket.
    pub(crate) fn new(
        agent: Arc<Agent>,
        (end, counters): (EndId, Arc<EndCounters>),
        turns: AgentTurnTimes,
        began: Instant,
        part: AgentRole,
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
            is_continued: false,
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

    /// Returns whether the agent only listens.
    pub(crate) fn listens(&self) -> bool {
        self.part.listens()
    }

    /// Returns advice for the agent's failure, if it failed.
    pub(crate) fn fix(&self) -> Option<String> {
        let words = self.problem.as_deref().unwrap_or_default();
        Some(agent_fix::with_test(agent_fix::remedy_of(&self.agent, self.loss?, words), &self.agent.name))
    }

    /// Returns whether the stream has been open long enough to count as successful.
    pub(crate) fn is_proven(&self, now: Instant) -> bool {
        let proven = Duration::from_secs(PROVEN_SECONDS);
        self.opened.is_some_and(|opened| now.saturating_duration_since(opened) >= proven)
    }

    /// Describes the loss of the agent: by a log entry of the media worker just before the loss, else by its kind.
    pub(crate) fn why_lost(&self, now: Instant, loss: StreamLoss) -> String {
        // The log entry about an unanswered handshake may be much older than the loss.
        let is_of_it =
            |at: Instant| loss == StreamLoss::ConnectTimeout || now.saturating_duration_since(at) < FAULT_BEFORE_LOSS;
        match &self.fault {
            Some((at, fault)) if is_of_it(*at) => format!("{loss}: {}", redact::addresses(shortened(fault))),
            Some(_) | None => loss.to_string(),
        }
    }
}

/// Longest time between a log entry of the media worker and the loss that it explains.
const FAULT_BEFORE_LOSS: Duration = Duration::from_secs(1);

/// Times of an agent's turns.
#[derive(Debug)]
pub(crate) enum AgentTurnTimes {
    /// No times, because the agent only listens.
    None,
    /// Times counted by the media worker.
    Counted(Arc<LegTurns>),
    /// Times restored after a restart of the edge.
    Former(Box<LegTurnView>),
}

impl AgentTurnTimes {
    /// Returns the times for display; `None` before the first turn.
    pub(crate) fn view(&self) -> Option<Box<LegTurnView>> {
        match self {
            AgentTurnTimes::None => None,
            AgentTurnTimes::Counted(turns) => LegTurnView::of(turns).map(Box::new),
            AgentTurnTimes::Former(view) => Some(view.clone()),
        }
    }
}

/// Role of an agent in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AgentRole {
    /// Talks with the caller.
    Talk,
    /// Listens only.
    Listen {
        /// Tracks that the agent hears.
        tracks: TrackSet,
        /// Stream parameters in addition to those of its configuration.
        parameters: Vec<(String, String)>,
    },
}

impl AgentRole {
    /// Returns the role of a listener from the configuration: both tracks.
    pub(crate) fn listener() -> AgentRole {
        AgentRole::Listen { tracks: TrackSet::Both, parameters: Vec::new() }
    }

    /// Returns whether the agent only listens.
    pub(crate) fn listens(&self) -> bool {
        matches!(self, AgentRole::Listen { .. })
    }
}

/// Returns the parameters for opening an agent's WebSocket; a `ws://` URL may lead to `local_networks` only.
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

/// Minimum duration of a timer, used for a limit that has expired during a restart.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(1);

/// Agent that has the caller, or had it last.
#[derive(Debug, Clone)]
pub(crate) struct ServingAgent {
    pub(crate) agent: Arc<Agent>,
    /// Time when the agent got the caller.
    pub(crate) since: Instant,
}

/// Agent that has the caller, or had it last, in plain data: by name, without its stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServingAgentSnapshot {
    agent: String,
    held_ms: u64,
}

impl ServingAgent {
    /// Returns the agent in plain data.
    pub(crate) fn snapshot(&self, now: Instant) -> ServingAgentSnapshot {
        let ServingAgent { agent, since } = self;
        ServingAgentSnapshot { agent: agent.name.to_string(), held_ms: millis(now.saturating_duration_since(*since)) }
    }

    /// Restores the agent; `None` if the configuration no longer has it.
    pub(crate) fn restore(now: Instant, edge: &Edge, snapshot: ServingAgentSnapshot) -> Option<Box<ServingAgent>> {
        let ServingAgentSnapshot { agent, held_ms } = snapshot;
        let since = now.checked_sub(Duration::from_millis(held_ms))?;
        Some(Box::new(ServingAgent { agent: edge.table().agent(&agent)?.clone(), since }))
    }
}
