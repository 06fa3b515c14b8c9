//! A target whose trunk is at one of its limits: the call waits for its turn, in the order in which calls came, but no
//! longer than the trunk's `pace`.

use std::time::Instant;

use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::Branch;
use trunkgate_resources::quotas::Numbered;
use trunkgate_route::Trunk;
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::controller::StepResult;
use crate::call::legs::caller_id::Addressed;
use crate::call::search::answer::Failure;
use crate::call::search::attempt::{Attempt, Progress};

/// The key of a trunk that a reason is about, with its value; `of_direction`: its rate of calls that go this way.
pub(crate) fn limit_of(trunk: &Trunk, reason: ReasonSlug, of_direction: u32) -> String {
    let Trunk { max_calls, calls_per_second, peer_calls_per_second, .. } = trunk;
    if reason == ReasonSlug::LimitCalls {
        return format!("`max_calls` {max_calls}");
    }
    let rates = [("calls_per_second", *calls_per_second), ("calls_per_second", of_direction)];
    let rates =
        rates.into_iter().chain([("peer_calls_per_second", *peer_calls_per_second)]).filter(|(_, rate)| *rate > 0);
    let mut rates: Vec<String> = rates.map(|(key, rate)| format!("`{key}` {rate}")).collect();
    rates.dedup();
    rates.join(", ")
}

impl Call {
    /// Goes the first way to the attempt's target once its trunk has a place for the call.
    pub(crate) fn take_place(&mut self, now: Instant, edge: &mut Edge, branch: Branch) -> Result<(), Failure> {
        let Some(trunk) = self.attempt(branch).and_then(|attempt| attempt.limited_by().cloned()) else {
            return self.next_way(now, edge, branch);
        };
        let Err((reason, which)) = self.place_taken(now, edge, branch) else {
            return self.next_way(now, edge, branch);
        };
        // Whoever waited for a limit of some calls would keep those behind it waiting that it is not for.
        let waits = !trunk.pace.is_zero() && which.is_none();
        let until = now.checked_add(trunk.pace).filter(|_| waits);
        let Some(until) = until else {
            self.refused_place(now, edge, &trunk, reason, which);
            self.search.attempts.remove(branch);
            let failure = Failure::unreached(reason).told();
            self.note_failure(now, edge, None, &trunk.name, &failure);
            return Err(failure);
        };
        if let Some(attempt) = self.attempt_mut(branch) {
            attempt.progress = Progress::Waiting { until, reason };
        }
        edge.trunks.wait(&trunk.name, (self.key, branch));
        edge.decide(now, self.key, format!("{}: {}, the call waits", trunk.name, reason.sentence()));
        self.ring_back(now, edge);
        self.wait_on(now, edge, branch, until);
        Ok(())
    }

    /// It may be the call's turn, or it has waited long enough.
    pub(crate) fn try_again(&mut self, now: Instant, edge: &mut Edge, branch: Branch) {
        let Some(Progress::Waiting { until, reason }) = self.attempt(branch).map(|attempt| attempt.progress) else {
            return;
        };
        self.disarm(edge, Timer::Pace(branch));
        let Some(trunk) = self.attempt(branch).and_then(|attempt| attempt.limited_by().cloned()) else { return };
        match self.place_taken(now, edge, branch) {
            Ok(()) => {
                edge.decide(now, self.key, format!("{}: its turn", trunk.name));
                self.go_next_way(now, edge, branch);
            }
            Err((_, None)) if now < until => self.wait_on(now, edge, branch, until),
            Err((other, which)) => {
                let reason = if which.is_some() { other } else { reason };
                self.refused_place(now, edge, &trunk, reason, which);
                self.fail_target(now, edge, branch, StepResult::Failed(Failure::unreached(reason).told()));
            }
        }
    }

    /// A limit has refused a call to a trunk; `which`: the one for some of its calls.
    fn refused_place(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        trunk: &Trunk,
        reason: ReasonSlug,
        which: Option<String>,
    ) {
        let limit = which.clone().unwrap_or_else(|| limit_of(trunk, reason, trunk.calls_per_second_out));
        self.story.proof = Some((reason, format!("trunk {}, {limit}", trunk.name).into()));
        let which = which.unwrap_or_else(|| "calls to it".to_owned());
        edge.decide(now, self.key, format!("{}: {} ({which})", trunk.name, reason.sentence()));
        edge.alarm(now, self.legs.sid(), &trunk.name, reason, &which);
    }

    /// Counts the call in with its target's trunk, if that has a place; else what is reached, and which limit where that is
    /// one for some calls.
    fn place_taken(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        branch: Branch,
    ) -> Result<(), (ReasonSlug, Option<String>)> {
        let nobody = (ReasonSlug::Internal, None);
        let Some(attempt) = self.attempt(branch) else { return Err(nobody) };
        let Some(trunk) = attempt.limited_by().cloned() else { return Ok(()) };
        let Addressed { number: called, form, .. } = self.addressed(edge, attempt);
        if edge.table.numbers().is_emergency(&called) {
            edge.resume_trunk_call(&trunk.name);
        } else {
            edge.begin_target_call(now, &trunk.name, (self.key, branch)).map_err(|reason| (reason, None))?;
            let caller = self.number_of(self.legs.near).text.clone();
            let called = match trunk.quotas.is_empty() {
                true => Vec::new(),
                false => edge.table.numbers().spellings(&called, form),
            };
            let call = Numbered { called: &called, caller: &caller };
            if let Err((reason, which)) = edge.take_quota(now, &trunk.name, call, (self.key, Some(branch))) {
                edge.end_trunk_call(&trunk.name);
                return Err((reason, Some(which)));
            }
        }
        let Some(attempt) = self.search.attempts.get_mut(branch) else { return Err(nobody) };
        edge.trunks.leave(&trunk.name, (self.key, branch));
        attempt.is_counted = true;
        attempt.progress = Progress::Idle;
        Ok(())
    }

    /// Wakes the call when its trunk may have a place, at the latest when it has waited long enough.
    fn wait_on(&mut self, now: Instant, edge: &mut Edge, branch: Branch, until: Instant) {
        let Some(trunk) = self.attempt(branch).and_then(|attempt| attempt.limited_by().cloned()) else { return };
        let left = until.saturating_duration_since(now);
        let after = edge.trunks.next_place(now, &trunk.name, (self.key, branch)).map_or(left, |wait| wait.min(left));
        self.arm(now, edge, Timer::Pace(branch), after);
    }

    /// Gives the place at the trunk or the agent back, or the one among those that wait.
    pub(crate) fn leave_place(&mut self, edge: &mut Edge, branch: Branch, attempt: &Attempt) {
        self.disarm(edge, Timer::Pace(branch));
        self.disarm(edge, Timer::Queue);
        if let Some(agent) = &attempt.agent {
            edge.agents.leave_line(&agent.name, self.key);
            if matches!(attempt.progress, Progress::Queued { .. }) {
                edge.note_waiting();
            }
        }
        self.leave_trunk_place(edge, branch, attempt);
    }

    /// Gives the place at the trunk back, or the one among those that wait.
    pub(crate) fn leave_trunk_place(&self, edge: &mut Edge, branch: Branch, attempt: &Attempt) {
        let Some(trunk) = attempt.limited_by() else { return };
        match attempt.is_counted {
            true => {
                edge.quotas.end(&trunk.name, (self.key, Some(branch)));
                edge.end_trunk_call(&trunk.name);
            }
            false => edge.trunks.leave(&trunk.name, (self.key, branch)),
        }
    }
}
