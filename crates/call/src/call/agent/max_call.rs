//! How long an agent may have a caller (`max_call`): then the goodbye, and the call is over.
//!
//! It counts from when the agent got the caller, which is the answer where it is the first target, and on through new
//! streams to the same agent. Whoever gets the caller next has a limit of its own, or none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_route::Agent;
use trunkgate_story::reason::ReasonSlug;

use crate::call::controller::Controller;
use crate::call::legs::leg_end::EndedBy;
use crate::call::{Call, State};

/// A limit that has passed while the agent was connected anew ends the call at once.
const AT_ONCE: Duration = Duration::from_millis(1);

/// The agent that has the caller, or had it last.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) agent: Arc<Agent>,
    /// Since when.
    pub(crate) since: Instant,
}

impl Holder {
    /// An agent of a call that comes back from a snapshot, which had it for so long then.
    pub(crate) fn restore(now: Instant, edge: &Edge, written: Option<(String, u64)>) -> Option<Box<Holder>> {
        let (name, held_ms) = written?;
        let since = now.checked_sub(Duration::from_millis(held_ms))?;
        Some(Box::new(Holder { agent: edge.table.agent(&name)?.clone(), since }))
    }
}

impl Call {
    /// Whoever is on `leg` has the caller from now on: an agent for as long as it may.
    pub(crate) fn limit_call(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        self.disarm(edge, Timer::MaxCall);
        let Some(agent) = self.legs[leg].agent.as_ref().map(|side| side.agent.clone()) else {
            self.media.holder = None;
            return;
        };
        let same = self.media.holder.as_ref().filter(|holder| holder.agent.name == agent.name);
        let since = same.map_or(now, |holder| holder.since);
        if !agent.max_call.is_zero() {
            let left = agent.max_call.saturating_sub(now.saturating_duration_since(since));
            self.arm(now, edge, Timer::MaxCall, left.max(AT_ONCE));
        }
        self.media.holder = Some(Box::new(Holder { agent, since }));
    }

    /// The agent has had the caller for as long as it may, or is being connected anew for it.
    pub(crate) fn max_call_over(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::MaxCall);
        let Some(holder) = self.media.holder.clone() else { return };
        let name = &holder.agent.name;
        let what = if self.is_consulting() { "it leaves" } else { "the call ends" };
        edge.decide(now, self.key, format!("{name}: max_call has passed: {what}"));
        let line = format!("{name}: max_call has passed");
        let sid = self.legs.sid().to_owned();
        edge.log(&sid, line, Some(ReasonSlug::MaxCall));
        if let Some(leg) = self.legs.callee.filter(|_| self.is_consulting()) {
            self.legs[leg].end_with(ReasonSlug::MaxCall, EndedBy::Edge);
            return self.go_on(now, edge, leg, None);
        }
        self.drop_attempts(now, edge, ReasonSlug::MaxCall);
        if let Some(leg) = self.legs.callee.take() {
            self.legs[leg].end_with(ReasonSlug::MaxCall, EndedBy::Edge);
            self.close_agent(now, edge, leg);
        }
        self.disarm(edge, Timer::HoldCheck);
        self.search.controller = Controller::Done;
        self.state = State::Rerouting;
        self.leave(now, edge, holder.agent.goodbye.clone(), ReasonSlug::MaxCall);
    }
}
