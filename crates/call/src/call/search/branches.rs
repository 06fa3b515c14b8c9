//! The targets that are tried at once: one alone, or those that ring together, each with its own attempt, deadlines and legs.

use std::time::Instant;

use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_resources::limits::RING_ALL_TARGETS;
use trunkgate_route::Target;
use trunkgate_story::few::Few;
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::controller::StepResult;
use crate::call::legs::leg_end::EndedBy;
use crate::call::search::answer::{Failure, rank};
use crate::call::search::attempt::{Attempt, Progress};
use crate::call::search::redirect::Redirects;

/// What the targets that are tried now have come to so far.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    /// Those that have failed, while others ring on.
    pub(crate) over: Vec<StepResult>,
    /// Where 3xx answers have sent us.
    pub(crate) redirects: Few<Branch, Redirects>,
}

impl Call {
    /// An attempt that is under way.
    pub(crate) fn attempt(&self, branch: Branch) -> Option<&Attempt> {
        self.search.attempts.get(branch).map(|attempt| &**attempt)
    }

    /// The same, to be changed.
    pub(crate) fn attempt_mut(&mut self, branch: Branch) -> Option<&mut Attempt> {
        self.search.attempts.get_mut(branch).map(|attempt| &mut **attempt)
    }

    /// Where the attempt stands that is made alone.
    pub(crate) fn alone(&self) -> Option<&Attempt> {
        self.attempt(Branch::ALONE)
    }

    /// What has come of those that are tried now, to be added to.
    pub(crate) fn tried(&mut self) -> &mut Tried {
        self.search.tried.get_or_insert_default()
    }

    /// The attempt that waits for a leg.
    pub(crate) fn branch_of(&self, leg: LegId) -> Option<Branch> {
        self.search.attempts.iter().find(|(_, attempt)| attempt.leg() == Some(leg)).map(|(branch, _)| branch)
    }

    /// The attempt whose INVITE is out on a leg.
    pub(crate) fn calling_on(&self, leg: LegId) -> Option<Branch> {
        self.branch_of(leg).filter(|_| self.legs[leg].agent.is_none())
    }

    /// Whether an INVITE of an attempt is out.
    pub(crate) fn is_calling(&self) -> bool {
        self.search.attempts.values().any(|attempt| attempt.progress.calling().is_some())
    }

    /// Gives a target up; what it comes to.
    pub(crate) fn end_attempt(&mut self, edge: &mut Edge, branch: Branch) -> Failure {
        self.disarm(edge, Timer::NoResponse(branch));
        self.disarm(edge, Timer::Ring(branch));
        self.disarm(edge, Timer::Retry);
        self.disarm(edge, Timer::Ports);
        let Some(attempt) = self.search.attempts.remove(branch) else {
            return Failure::unreached(ReasonSlug::Internal);
        };
        if let Progress::Resolving(query) = attempt.progress {
            edge.index.queries.remove(&query);
        }
        self.leave_place(edge, branch, &attempt);
        attempt.into_failure()
    }

    /// Withdraws what every attempt has under way, without a word to the controller.
    pub(crate) fn drop_attempts(&mut self, now: Instant, edge: &mut Edge, reason: ReasonSlug) {
        while let Some(branch) = self.search.attempts.first() {
            self.drop_attempt(now, edge, branch, reason);
        }
        self.search.tried = None;
    }

    /// The same for one of them.
    pub(crate) fn drop_attempt(&mut self, now: Instant, edge: &mut Edge, branch: Branch, reason: ReasonSlug) {
        let Some(progress) = self.attempt(branch).map(|attempt| attempt.progress) else { return };
        self.rate(now, edge, branch, &Failure::unreached(reason));
        match progress {
            Progress::Calling(leg) => {
                self.legs[leg].end_with(reason, EndedBy::Edge);
                self.withdraw(now, edge, leg);
            }
            Progress::Opening(leg) => {
                self.legs[leg].end_with(reason, EndedBy::Edge);
                self.close_agent(now, edge, leg);
            }
            Progress::Queued { .. } => self.left_line(now, edge, "leaves the queue"),
            Progress::Idle | Progress::Waiting { .. } | Progress::Binding => {}
            Progress::Pausing | Progress::Resolving(_) => {}
        }
        self.end_attempt(edge, branch);
    }

    /// Has targets ring at once.
    pub(crate) fn ring_all(&mut self, now: Instant, edge: &mut Edge, targets: Vec<Target>) -> Result<(), StepResult> {
        let names: Vec<String> = targets.iter().map(name).collect();
        edge.decide(now, self.key, format!("rings simultaneously: {}", names.join(", ")));
        for (branch, target) in (0..).map(Branch::nth).zip(targets.into_iter().take(RING_ALL_TARGETS)) {
            if let Err(failed) = self.try_target(now, edge, branch, target) {
                self.tried().over.push(failed);
            }
        }
        if self.search.attempts.first().is_some() {
            return Ok(());
        }
        Err(self.outcome().unwrap_or_else(|| StepResult::Failed(Failure::unreached(ReasonSlug::Unreachable))))
    }

    /// The attempt on a leg has got the caller: its place is the call's now, and whoever rings besides is withdrawn.
    pub(crate) fn won(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        if let Some(branch) = self.branch_of(leg) {
            self.disarm(edge, Timer::NoResponse(branch));
            self.disarm(edge, Timer::Ring(branch));
            self.search.attempts.remove(branch);
        }
        while let Some(branch) = self.search.attempts.first() {
            let lost = self.attempt(branch).and_then(Attempt::leg);
            if let Some(leg) = lost {
                edge.decide(now, self.key, format!("{} is canceled: answered elsewhere", self.legs.name_of(leg)));
            }
            let invite = lost.and_then(|leg| self.legs[leg].invite);
            if let Some(client) = invite {
                edge.answered_elsewhere(client);
            }
            self.drop_attempt(now, edge, branch, ReasonSlug::AnsweredElsewhere);
            if let Some(leg) = lost {
                self.drop_ends(edge, leg);
            }
        }
        self.search.tried = None;
    }

    /// A target is done with: what comes of it once no other rings; a 6xx is everybody's word (RFC 3261 §16.7 step 5).
    pub(crate) fn branch_over(&mut self, now: Instant, edge: &mut Edge, branch: Branch, result: StepResult) {
        let Err(result) = self.follow(now, edge, branch, result) else { return };
        if is_global(&result) && self.search.attempts.first().is_some() {
            edge.decide(now, self.key, "final for all targets: the others are canceled");
            self.withdraw_all(now, edge, ReasonSlug::TargetRejected);
        }
        if self.search.attempts.first().is_some() {
            self.tried().over.push(result);
            return self.hear_another(now, edge);
        }
        self.tried().over.push(result);
        let outcome = self.outcome();
        self.advance(now, edge, outcome);
    }

    /// Withdraws all that still rings, and nothing of it is left.
    pub(crate) fn withdraw_all(&mut self, now: Instant, edge: &mut Edge, reason: ReasonSlug) {
        let legs: Vec<LegId> = self.search.attempts.values().filter_map(|attempt| attempt.leg()).collect();
        self.drop_attempts(now, edge, reason);
        for leg in legs {
            self.drop_ends(edge, leg);
        }
    }

    /// What came of the targets that are over, as of one: the best answer of all, and the search goes on where one of them
    /// has failed in a way that leads on. The others stand behind it until the caller is answered.
    fn outcome(&mut self) -> Option<StepResult> {
        let mut over = std::mem::take(&mut self.tried().over);
        let best = over.iter().enumerate().min_by_key(|(_, result)| rank(result.failure())).map(|(at, _)| at)?;
        let leads_on = over.iter().any(|result| matches!(result, StepResult::Failed(_)));
        let is_busy = over.iter().any(|result| matches!(result, StepResult::Busy(_)));
        let best = over.swap_remove(best);
        for other in over {
            self.search.controller.failed(other.into_failure());
        }
        Some(match best {
            best if is_global(&best) => best,
            best if leads_on => best.into_failed(),
            best if is_busy => StepResult::Busy(best.into_failure()),
            best => best,
        })
    }
}

/// Whether a target has spoken for all that the called party has (6xx).
fn is_global(result: &StepResult) -> bool {
    result.failure().code.is_some_and(|code| (600..700).contains(&code))
}

/// A target as it is written.
fn name(target: &Target) -> String {
    match target {
        Target::Trunk { trunk, number: Some(number), .. } => format!("{}/{number}", trunk.name),
        Target::Trunk { trunk, number: None, .. } => trunk.name.to_string(),
        Target::Uri { uri, .. } => uri.clone(),
        Target::Agent(agent) => agent.name.to_string(),
        Target::Reject(code) => code.to_string(),
        Target::RingAll(targets) => targets.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}
