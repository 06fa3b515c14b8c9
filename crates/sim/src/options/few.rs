//! Limits of an agent: concurrent sessions, and the queue for callers beyond them.

use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use trunkgate_route::{AnswerTime, QueueSettings};

/// Limits of an agent, for even and odd versions of the configuration in this order.
#[derive(Debug, Clone, Copy)]
pub struct AgentLimitOptions {
    /// Maximum concurrent sessions; 0 for no limit.
    pub sessions: [u32; 2],
    /// Queue for callers while all sessions are in use.
    pub queue: [Option<QueueSettings>; 2],
    /// Time at which callers of the agent are answered.
    pub answer: AnswerTime,
    /// Whether odd versions of the configuration lack the agent.
    pub goes: bool,
}

impl AgentLimitOptions {
    /// Draws the limits of the agent for a seed.
    pub(crate) fn draw(rng: &mut ChaCha12Rng) -> AgentLimitOptions {
        let mut queue = || {
            let size = rng.random_range(0..4);
            let wait = Duration::from_secs(rng.random_range(2..30));
            (size > 0).then_some(QueueSettings { size, wait })
        };
        let queue = [queue(), queue()];
        AgentLimitOptions {
            sessions: [(); 2].map(|()| [0, 1, 1, 2][rng.random_range(0..4usize)]),
            queue,
            answer: [AnswerTime::OnConnect, AnswerTime::OnConnect, AnswerTime::Early, AnswerTime::AtOnce]
                [rng.random_range(0..4usize)],
            goes: rng.random_bool(0.2),
        }
    }

    /// Returns whether most calls go to this agent.
    pub(crate) fn is_wanted(&self) -> bool {
        self.sessions != [0, 0] && self.queue.iter().any(Option::is_some)
    }

    /// Returns the limits that apply in a version of the configuration.
    pub(crate) fn of(&self, version: u32) -> (u32, Option<QueueSettings>) {
        let at = usize::from(!version.is_multiple_of(2));
        (self.sessions.get(at).copied().unwrap_or_default(), self.queue.get(at).copied().flatten())
    }

    /// Returns the maximum number of sessions that may exist in a version; 0 for no limit. A session between two
    /// streams survives a reload, so the higher limit applies.
    pub(crate) fn most(&self, version: u32) -> u32 {
        match self.sessions {
            sessions if sessions.contains(&0) && version > 0 => 0,
            [first, second] if version > 0 => first.max(second),
            [first, _] => first,
        }
    }

    /// Returns whether a version of the configuration has the agent.
    pub(crate) fn is_there(&self, version: u32) -> bool {
        !self.goes || version.is_multiple_of(2)
    }
}
