//! Which calls an agent gets: those of callers that it takes, while it is not skipped for having failed; and how often
//! one that fails is asked again, by a new stream, before the next target.

use std::time::{Duration, Instant};

use trunkgate_media::agent::Loss;
use trunkgate_resources::breaker::{Leave, is_failure};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_resources::limits::{
    PORTS_NEWS, PROVEN_SECONDS, RETRIES_PER_CALL, RETRY_FIRST_WAIT_MS, RETRY_LONGEST_WAIT_MS,
};
use trunkgate_route::{Agent, Target, TargetSpec};
use trunkgate_story::change::{Change, Happening};
use trunkgate_story::reason::ReasonSlug;

use crate::call::controller::StepResult;
use crate::call::search::answer::Failure;
use crate::call::search::attempt::{Attempt, Progress};
use crate::call::{Call, State};

/// New streams to agents that failed, in one call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Retries {
    /// All of them.
    pub(crate) made: u32,
    /// How many in a row the agent that is tried next has had, this one included; taken by its attempt.
    pub(crate) next: u32,
}

impl Call {
    /// Whether an agent takes this caller at all, and the edge itself could answer it.
    pub(crate) fn agent_connectable(&self, agent: &Agent) -> Result<(), StepResult> {
        if !agent.allows(&self.facts.caller.number) {
            return Err(StepResult::Refused(Failure::with_code(486, ReasonSlug::CallerNotAllowed)));
        }
        self.answerable().map_err(StepResult::Failed)
    }

    /// Begins an agent's target: what the caller gets before it is there, then the attempt itself. Who is told ports of ours
    /// waits until they are.
    pub(crate) fn engage(&mut self, now: Instant, edge: &mut Edge, mut attempt: Attempt) -> Result<(), Failure> {
        let Some(agent) = attempt.agent.clone() else { return Err(Failure::unreached(ReasonSlug::Internal)) };
        if attempt.progress != Progress::Binding && self.is_told_ports(&agent) && !self.legs.is_bound() {
            attempt.progress = Progress::Binding;
            self.search.attempts.insert(Branch::ALONE, Box::new(attempt));
            self.arm(now, edge, Timer::Ports, PORTS_NEWS);
            return Ok(());
        }
        attempt.progress = Progress::Idle;
        if self.before_agent(now, edge, &agent)? {
            self.search.attempts.insert(Branch::ALONE, Box::new(attempt));
            return self.begin_agent(now, edge);
        }
        Ok(())
    }

    /// Begins an agent's attempt once the agent has a session for it.
    pub(crate) fn begin_agent(&mut self, now: Instant, edge: &mut Edge) -> Result<(), Failure> {
        match self.alone().and_then(|attempt| attempt.agent.clone()) {
            Some(agent) if !self.take_session(now, edge, &agent)? => Ok(()),
            Some(_) | None => self.begin_stream(now, edge),
        }
    }

    /// Has the agent's stream begun: at once, or after a wait where it has failed in this call.
    pub(crate) fn begin_stream(&mut self, now: Instant, edge: &mut Edge) -> Result<(), Failure> {
        let retried = self.alone().map_or(0, |attempt| attempt.retried);
        let wait = wait_before(retried);
        if wait.is_zero() {
            return self.try_agent(now, edge);
        }
        if let Some(attempt) = self.attempt_mut(Branch::ALONE) {
            attempt.progress = Progress::Pausing;
        }
        self.arm(now, edge, Timer::Retry, wait);
        self.ring_back(now, edge);
        Ok(())
    }

    /// The wait before a further stream to an agent is over.
    pub(crate) fn retry_due(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::Retry);
        if self.alone().is_some_and(|attempt| attempt.progress == Progress::Pausing)
            && let Err(failure) = self.try_agent(now, edge)
        {
            self.advance(now, edge, Some(StepResult::Failed(failure)));
        }
    }

    /// Has the socket of the attempt's agent opened, unless the agent is skipped.
    fn try_agent(&mut self, now: Instant, edge: &mut Edge) -> Result<(), Failure> {
        let Some(name) = self.alone().and_then(|attempt| Some(attempt.agent.as_ref()?.name.clone())) else {
            self.search.attempts.remove(Branch::ALONE);
            return Err(Failure::unreached(ReasonSlug::Internal));
        };
        let why = match edge.agents.ask(now, &name, self.key) {
            Leave::Try => None,
            Leave::Trial => {
                edge.decide(now, self.key, format!("{name} keeps failing: this call tests it"));
                None
            }
            Leave::Wait(wait) => Some(format!("next test in {} ms", wait.as_millis())),
            Leave::Tried => Some("another call is testing it".to_owned()),
        };
        let Some(why) = why else { return self.open_agent(now, edge) };
        if self.has_nobody_else() {
            edge.decide(now, self.key, format!("{name} would be skipped, but no other target is left"));
            return self.open_agent(now, edge);
        }
        self.search.attempts.remove(Branch::ALONE);
        edge.agents.leave_line(&name, self.key);
        let detail = Some(format!("skipped, it keeps failing; {why}"));
        let failure = Failure { detail, ..Failure::unreached(ReasonSlug::AgentSkipped) };
        self.note_failure(now, edge, None, &name, &failure);
        Err(failure)
    }

    /// Whether a caller that has its answer would be lost without the target that is tried now.
    pub(crate) fn has_nobody_else(&self) -> bool {
        let ends = |target: TargetSpec| matches!(target, TargetSpec::Reject(_));
        self.state == State::Rerouting && !self.is_consulting() && self.search.controller.left().all(ends)
    }

    /// Puts an agent that has failed on `leg` in front of the other targets again, where its `retry` allows that.
    pub(crate) fn retry(&mut self, now: Instant, edge: &mut Edge, leg: LegId) -> bool {
        let Some(side) = &self.legs[leg].agent else { return false };
        let made = if side.is_proven(now) { 0 } else { side.retried };
        // As it is configured now: a reload may have mended it.
        let Some(agent) = edge.table.agent(&side.agent.name).cloned() else { return false };
        let may_be_tried = matches!(edge.agents.leave(now, &agent.name), Leave::Try | Leave::Trial);
        let is_allowed = made < agent.retry && self.search.retries.made < RETRIES_PER_CALL && !agent.is_raw();
        let is_allowed = is_allowed && self.has_room_for_another();
        if !is_allowed || !(may_be_tried || self.has_nobody_else()) {
            return false;
        }
        self.search.retries.made += 1;
        self.search.retries.next = made + 1;
        edge.decide(now, self.key, format!("{} gets a new stream, {} of {}", agent.name, made + 1, agent.retry));
        self.search.controller.again(Target::Agent(agent));
        true
    }

    /// Notes that the agent on `leg` has failed the call.
    pub(crate) fn agent_failed(&mut self, now: Instant, edge: &mut Edge, leg: LegId, loss: Loss) {
        let Some(side) = &mut self.legs[leg].agent else { return };
        side.has_failed = true;
        let (name, began, was_open) = (side.agent.name.clone(), side.began, side.opened.is_some());
        let (listens, problem) = (side.listens(), loss.to_string());
        edge.agents.lost(now, &name, problem.clone(), was_open);
        let change = self.change_for(Happening::AgentFailed, &problem, None);
        edge.changed(Change { agent: Some(edge.shown_name(&name)), ..change });
        if listens {
            return;
        }
        if !is_failure(loss) {
            // It has answered.
            self.legs.agent_can_be_had(edge, leg);
            return;
        }
        let number = self.facts.caller.known_number().filter(|_| was_open);
        if edge.agents.failed(now, &name, (self.key, began), number) {
            let text =
                format!("agent {name} keeps failing and is skipped, except for one test call at a time: it {problem}");
            edge.warn("", text, Some(ReasonSlug::AgentSkipped));
            edge.note_skipped();
        }
    }
}

impl Attempt {
    /// The leg of an agent that is being opened, where that is what failed.
    pub(crate) fn failed_agent(&self, result: &StepResult) -> Option<LegId> {
        let StepResult::Failed(failure) = result else { return None };
        let by_agent = failure.loss.is_some() || failure.reason == ReasonSlug::AgentConnectTimeout;
        self.progress.opening().filter(|_| by_agent)
    }
}

impl crate::call::agent::agent_leg::AgentSide {
    /// Whether its stream has been open for long enough to have gone well.
    fn is_proven(&self, now: Instant) -> bool {
        let proven = Duration::from_secs(PROVEN_SECONDS);
        self.opened.is_some_and(|opened| now.saturating_duration_since(opened) >= proven)
    }
}

/// How long to wait before the stream with this number, where 0 is the first.
fn wait_before(retried: u32) -> Duration {
    let Some(doubled) = retried.checked_sub(2) else { return Duration::ZERO };
    let wait = RETRY_FIRST_WAIT_MS.saturating_mul(1_u64.checked_shl(doubled).unwrap_or(u64::MAX));
    Duration::from_millis(wait.min(RETRY_LONGEST_WAIT_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_new_stream_is_at_once_and_further_ones_wait() {
        let waits: Vec<u128> = (0..8).map(|n| wait_before(n).as_millis()).collect();
        assert_eq!(waits, [0, 0, 250, 500, 1_000, 2_000, 2_000, 2_000]);
        assert_eq!(wait_before(u32::MAX).as_millis(), 2_000);
    }
}
