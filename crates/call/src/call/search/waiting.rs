//! A caller whose agent has all its sessions in use: it waits in line for one, rings or hears hold audio meanwhile, and
//! leaves the queue when its turn comes, when it has waited for long enough, or when the agent is not to be had any more.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::breaker::Leave;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_resources::queue::Entry;
use trunkgate_route::Agent;
use trunkgate_sip::Answer;
use trunkgate_story::reason::ReasonSlug;

use crate::call::controller::StepResult;
use crate::call::legs::leg::LegState;
use crate::call::search::answer::Failure;
use crate::call::search::attempt::Progress;
use crate::call::{Call, State};

impl Call {
    /// Whether the attempt's agent has a session for the call; if not, the call waits for one.
    pub(crate) fn take_session(&mut self, now: Instant, edge: &mut Edge, agent: &Arc<Agent>) -> Result<bool, Failure> {
        let returns = self.alone().is_some_and(|attempt| attempt.retried > 0);
        // One that is to be passed over takes no session, and nobody waits for it.
        if self.is_passed_over(now, edge, &agent.name) {
            return Ok(true);
        }
        match edge.agents.enter(&agent.name, self.key, returns) {
            Entry::Session => Ok(true),
            Entry::Waits(nth) => {
                self.wait_in_line(now, edge, agent, nth);
                Ok(false)
            }
            Entry::Full => {
                self.search.attempts.remove(Branch::ALONE);
                let line = agent.queue.map_or_else(String::new, |queue| format!(", {} wait", queue.size));
                let detail = Some(format!("{} sessions{line}", agent.max_sessions));
                let failure = Failure { detail, ..Failure::unreached(ReasonSlug::AgentFull) };
                self.note_failure(now, edge, None, &agent.name, &failure);
                Err(failure)
            }
        }
    }

    fn wait_in_line(&mut self, now: Instant, edge: &mut Edge, agent: &Arc<Agent>, nth: usize) {
        // One that had a session before may be back although nobody is to wait (any more): it does as by default.
        let wait = agent.queue.unwrap_or_default().wait;
        if let Some(attempt) = self.attempt_mut(Branch::ALONE) {
            attempt.progress = Progress::Queued { since: now, until: now + wait };
        }
        self.arm(now, edge, Timer::Queue, wait);
        let place = ordinal(nth);
        edge.decide(now, self.key, format!("waiting for {}, position {place}", agent.name));
        let line = format!("waiting for {}, position {place}", edge.shown_name(&agent.name));
        let sid = self.legs.sid().to_owned();
        edge.log(&sid, line, None);
        edge.note_waiting();
        // Who waits for an agent hears that agent's audio.
        let other = self.media.hold.as_ref().is_none_or(|before| before.name != agent.name);
        if agent.hold.is_some() && other && !self.is_consulting() {
            self.media.hold = Some(agent.clone());
            self.stop_player(edge);
        }
        self.let_ring(now, edge);
    }

    /// While an agent is waited for: 180 to a caller that has heard nothing yet, sounds to one that hears us.
    pub(crate) fn let_ring(&mut self, now: Instant, edge: &mut Edge) {
        if self.state == State::Searching && self.legs[LegId::CALLER].state == LegState::Trying {
            self.legs[LegId::CALLER].state = LegState::Ringing;
            self.ring_caller(now, edge, Answer { code: 180, ..Answer::default() });
        }
        self.ring_back(now, edge);
    }

    /// It may be the call's turn, or there is nothing to wait for any more.
    pub(crate) fn next_in_line(&mut self, now: Instant, edge: &mut Edge) {
        let Some(attempt) = self.alone() else { return };
        let (Some(agent), Progress::Queued { until, .. }) = (attempt.agent.clone(), attempt.progress) else { return };
        self.disarm(edge, Timer::Queue);
        // As it is configured now.
        let Some(agent) = edge.table.agent(&agent.name).cloned() else {
            let detail = Some("removed from the configuration".to_owned());
            let failure = Failure { detail, ..Failure::unreached(ReasonSlug::AgentFull) };
            return self.leave_line(now, edge, failure);
        };
        if self.is_passed_over(now, edge, &agent.name) {
            let detail = Some("skipped, it keeps failing".to_owned());
            let failure = Failure { detail, ..Failure::unreached(ReasonSlug::AgentSkipped) };
            return self.leave_line(now, edge, failure);
        }
        if edge.agents.turn(&agent.name, self.key) {
            edge.note_waiting();
            self.left_line(now, edge, "its turn");
            if let Some(attempt) = self.attempt_mut(Branch::ALONE) {
                attempt.agent = Some(agent);
                attempt.progress = Progress::Idle;
            }
            if let Err(failure) = self.begin_stream(now, edge) {
                self.advance(now, edge, Some(StepResult::Failed(failure)));
            }
        } else if now >= until {
            self.leave_line(now, edge, Failure::unreached(ReasonSlug::QueueTimeout));
        } else {
            self.arm(now, edge, Timer::Queue, until.saturating_duration_since(now));
        }
    }

    fn leave_line(&mut self, now: Instant, edge: &mut Edge, failure: Failure) {
        self.left_line(now, edge, "leaves the queue");
        self.fail_target(now, edge, Branch::ALONE, StepResult::Failed(failure));
    }

    /// Notes that the call waits no longer.
    pub(crate) fn left_line(&mut self, now: Instant, edge: &mut Edge, how: &str) {
        let Some(attempt) = self.alone() else { return };
        let Progress::Queued { since, .. } = attempt.progress else { return };
        let waited = now.saturating_duration_since(since);
        edge.metrics.agent_wait_seconds.observe(waited.as_secs_f64());
        edge.decide(now, self.key, format!("{}: {how}, after {:.1} s", attempt.name(), waited.as_secs_f64()));
    }

    /// Whether the agent is skipped, and somebody else can be tried.
    fn is_passed_over(&self, now: Instant, edge: &Edge, name: &str) -> bool {
        let is_skipped = matches!(edge.agents.leave(now, name), Leave::Wait(_) | Leave::Tried);
        is_skipped && !self.has_nobody_else()
    }
}

/// `1st`, `2nd`, `3rd`, `4th`.
fn ordinal(n: usize) -> String {
    let end = match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{n}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_as_people_do() {
        let shown = [1, 2, 3, 4, 10, 11, 12, 13, 21, 22, 23, 101, 111, 1_002].map(ordinal);
        let expected =
            "1st 2nd 3rd 4th 10th 11th 12th 13th 21st 22nd 23rd 101st 111th 1002nd".split(' ').collect::<Vec<_>>();
        assert_eq!(shown.to_vec(), expected);
    }
}
