//! The targets that are tried at once: one alone, or those that ring together, each with its own attempt, deadlines and legs.

use std::time::Instant;

use crate::answer::Failure;
use crate::attempt::{Attempt, Progress};
use crate::call::Call;
use crate::controller::StepResult;
use crate::deadlines::Timer;
use crate::edge::Edge;
use crate::leg_end::EndedBy;
use crate::reason::ReasonSlug;

/// Which of the attempts of a call that run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Branch(u8);

impl Branch {
    /// A target that is tried alone; an agent always is.
    pub(crate) const ALONE: Branch = Branch(0);
}

impl Call {
    /// An attempt that is under way.
    pub(crate) fn attempt(&self, branch: Branch) -> Option<&Attempt> {
        self.attempts.get(branch).map(|attempt| &**attempt)
    }

    /// The same, to be changed.
    pub(crate) fn attempt_mut(&mut self, branch: Branch) -> Option<&mut Attempt> {
        self.attempts.get_mut(branch).map(|attempt| &mut **attempt)
    }

    /// Where the attempt stands that is made alone.
    pub(crate) fn alone(&self) -> Option<&Attempt> {
        self.attempt(Branch::ALONE)
    }

    /// The attempt that waits for a leg.
    pub(crate) fn branch_of(&self, leg: usize) -> Option<Branch> {
        self.attempts.iter().find(|(_, attempt)| attempt.leg() == Some(leg)).map(|(branch, _)| branch)
    }

    /// The attempt whose INVITE is out on a leg.
    pub(crate) fn calling_on(&self, leg: usize) -> Option<Branch> {
        self.branch_of(leg).filter(|_| self.legs[leg].agent.is_none())
    }

    /// Whether an INVITE of an attempt is out.
    pub(crate) fn is_calling(&self) -> bool {
        self.attempts.values().any(|attempt| attempt.progress.calling().is_some())
    }

    /// Gives a target up; what it comes to.
    pub(crate) fn end_attempt(&mut self, edge: &mut Edge, branch: Branch) -> Failure {
        self.disarm(edge, Timer::NoResponse(branch));
        self.disarm(edge, Timer::Ring(branch));
        self.disarm(edge, Timer::Retry);
        self.disarm(edge, Timer::Ports);
        let Some(attempt) = self.attempts.remove(branch) else { return Failure::unreached(ReasonSlug::Internal) };
        if let Progress::Resolving(query) = attempt.progress {
            edge.index.queries.remove(&query);
        }
        self.leave_place(edge, branch, &attempt);
        attempt.into_failure()
    }

    /// Withdraws what every attempt has under way, without a word to the controller.
    pub(crate) fn drop_attempts(&mut self, now: Instant, edge: &mut Edge, reason: ReasonSlug) {
        while let Some(branch) = self.attempts.first() {
            self.drop_attempt(now, edge, branch, reason);
        }
        self.attempts.clear();
    }

    /// The same for one of them.
    pub(crate) fn drop_attempt(&mut self, now: Instant, edge: &mut Edge, branch: Branch, reason: ReasonSlug) {
        let Some(progress) = self.attempt(branch).map(|attempt| attempt.progress) else { return };
        match progress {
            Progress::Calling(leg) => {
                self.legs[leg].end_with(reason, EndedBy::Edge);
                self.withdraw(now, edge, leg);
            }
            Progress::Opening(leg) => {
                self.legs[leg].end_with(reason, EndedBy::Edge);
                self.close_agent(now, edge, leg);
            }
            Progress::Queued { .. } => self.left_line(now, edge, "leaves the line"),
            Progress::Idle | Progress::Waiting { .. } | Progress::Binding => {}
            Progress::Pausing | Progress::Resolving(_) => {}
        }
        self.end_attempt(edge, branch);
    }

    /// The attempt on a leg has got the caller: its place is the call's now.
    pub(crate) fn won(&mut self, edge: &mut Edge, leg: usize) {
        if let Some(branch) = self.branch_of(leg) {
            self.disarm(edge, Timer::NoResponse(branch));
            self.disarm(edge, Timer::Ring(branch));
        }
        self.attempts.clear();
    }

    /// A target is done with: what comes of it, and what is next.
    pub(crate) fn branch_over(&mut self, now: Instant, edge: &mut Edge, result: StepResult) {
        self.advance(now, edge, Some(result));
    }
}
