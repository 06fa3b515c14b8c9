//! Callers that talk with each agent, as known from commands to media workers.

use std::collections::{BTreeMap, BTreeSet};

use trunkgate_media::{EndId, MediaId};

/// Media ends of agents by session, with the name of the agent.
#[derive(Debug, Default)]
pub(crate) struct AgentEndMap {
    ends: BTreeMap<(MediaId, EndId), String>,
}

impl AgentEndMap {
    /// Notes that the edge adds an agent with this URL to a session.
    pub(crate) fn begins(&mut self, id: MediaId, end: EndId, url: &str) {
        let name = url.rsplit('/').next().unwrap_or_default();
        self.ends.insert((id, end), name.to_owned());
    }

    /// Notes that the edge removes an end from a session.
    pub(crate) fn ends(&mut self, id: MediaId, end: EndId) {
        self.ends.remove(&(id, end));
    }

    /// Forgets the agents of a session, or of all sessions for `None`.
    pub(crate) fn forget(&mut self, id: Option<MediaId>) {
        self.ends.retain(|(of, _), _| id.is_some_and(|id| *of != id));
    }

    /// Returns the sessions and media ends of the agent with this name.
    pub(crate) fn with(&self, agent: &str) -> BTreeSet<(MediaId, EndId)> {
        self.ends.iter().filter(|(_, name)| **name == *agent).map(|(at, _)| *at).collect()
    }
}
