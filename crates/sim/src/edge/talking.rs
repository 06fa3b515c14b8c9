//! What the workers know of who talks with which agent.

use std::collections::{BTreeMap, BTreeSet};

use trunkgate_media::{EndId, MediaId};

/// What the workers know of who talks with whom.
#[derive(Debug, Default)]
pub(crate) struct Talking {
    ends: BTreeMap<(MediaId, EndId), String>,
}

impl Talking {
    /// The edge wants an agent's socket for a caller.
    pub(crate) fn begins(&mut self, id: MediaId, end: EndId, url: &str) {
        let name = url.rsplit('/').next().unwrap_or_default();
        self.ends.insert((id, end), name.to_owned());
    }

    /// It wants it no longer.
    pub(crate) fn ends(&mut self, id: MediaId, end: EndId) {
        self.ends.remove(&(id, end));
    }

    /// It wants none of a session's, or of all.
    pub(crate) fn forget(&mut self, id: Option<MediaId>) {
        self.ends.retain(|(of, _), _| id.is_some_and(|id| *of != id));
    }

    /// Returns those who talk with an agent.
    pub(crate) fn with(&self, agent: &str) -> BTreeSet<(MediaId, EndId)> {
        self.ends.iter().filter(|(_, name)| **name == *agent).map(|(at, _)| *at).collect()
    }
}
