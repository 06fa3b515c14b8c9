//! Limits of an agent's sessions and of its queue.

use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use trunkgate_route::{AnswerTime, QueueSettings};

/// Limits of an agent, for even and odd versions of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct AgentLimitOptions {
    /// Maximum sessions; 0: unlimited.
    pub sessions: [u32; 2],
    /// Queue for the agent.
    pub queue: [Option<QueueSettings>; 2],
    /// Time at which callers are answered.
    pub answer: AnswerTime,
    /// Whether odd versions lack the agent.
    pub goes: bool,
}

impl AgentLimitOptions {
    /// Draws the limits for a seed.
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

    /// Returns the limits of a version.
    pub(crate) fn of(&self, version: u32) -> (u32, Option<QueueSettings>) {
        let at = usize::from(!version.is_multiple_of(2));
        (self.sessions.get(at).copied().unwrap_or_default(), self.queue.get(at).copied().flatten())
    }

    /// Returns the maximum of sessions that may begin: a session between two streams survives a reload.
    pub(crate) fn most(&self, version: u32) -> u32 {
        match self.sessions {
            sessions if sessions.contains(&0) && version > 0 => 0,
            [first, second] if version > 0 => first.max(second),
            [first, _] => first,
        }
    }

    /// Returns whether a version has the agent.
    pub(crate) fn is_there(&self, version: u32) -> bool {
        !self.goes || version.is_multiple_of(2)
    }
}
