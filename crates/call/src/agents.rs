//! What is known of each agent at run time: its sockets, and what went wrong last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use trunkgate_route::Table;

use crate::view::AgentView;
use crate::wall::rfc3339;

/// One agent's state.
#[derive(Debug, Default)]
struct AgentState {
    sessions: u64,
    opened: u64,
    lost: u64,
    /// Whether the last news of it was good.
    up: Option<bool>,
    /// What went wrong last, and when.
    last_problem: Option<(String, Instant)>,
}

/// All agents by name.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    by_name: BTreeMap<Arc<str>, AgentState>,
}

impl Agents {
    /// Takes a table over. An agent that is gone is forgotten once its last socket is closed.
    pub(crate) fn configure(&mut self, table: &Table) {
        self.by_name.retain(|name, state| state.sessions > 0 || table.agent(name).is_some());
    }
    /// Notes that a socket is open.
    pub(crate) fn opened(&mut self, name: &Arc<str>) {
        let state = self.by_name.entry(name.clone()).or_default();
        state.sessions += 1;
        state.opened += 1;
        state.up = Some(true);
    }
    /// Notes that a socket which was open is no longer ours.
    pub(crate) fn closed(&mut self, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.sessions = state.sessions.saturating_sub(1);
        }
    }
    /// Notes that a socket was refused or lost.
    pub(crate) fn lost(&mut self, now: Instant, name: &Arc<str>, problem: String) {
        let state = self.by_name.entry(name.clone()).or_default();
        state.lost += 1;
        state.up = Some(false);
        state.last_problem = Some((problem, now));
    }
    /// Open sockets in all, for the invariants.
    pub(crate) fn sessions(&self) -> u64 {
        self.by_name.values().map(|state| state.sessions).sum()
    }
    /// An agent at a glance.
    pub(crate) fn view(&self, date: impl Fn(Instant) -> SystemTime, name: &str) -> AgentView {
        let state = self.by_name.get(name);
        let problem = state.and_then(|state| state.last_problem.clone());
        AgentView {
            name: name.to_owned(),
            state: match state.and_then(|state| state.up) {
                Some(true) => "up",
                Some(false) => "down",
                None => "unknown",
            },
            sessions: state.map_or(0, |state| state.sessions),
            opened: state.map_or(0, |state| state.opened),
            lost: state.map_or(0, |state| state.lost),
            last_problem_at: problem.as_ref().map(|(_, at)| rfc3339(date(*at))),
            last_problem: problem.map(|(text, _)| text),
        }
    }
}
