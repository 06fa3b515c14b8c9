//! Controller of a call: decides the next step at the start and after every result. Its usual source is the list of a
//! route's targets. A result may also be the departure of a connected party.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use trunkgate_resources::limits::LEGS_KEPT;
use trunkgate_route::{App, CallTarget, RoutePlan, TargetSpec};
use trunkgate_story::reason::{ReasonSlug, q850_of_code};

use crate::call::words::answer::{FinalAnswer, TargetFailure, best};

/// Result of the last step.
#[derive(Debug)]
pub(crate) enum StepResult {
    /// The target was not connected.
    NotConnected(TargetResult),
    /// The connected party has left for this reason, and the caller is still connected.
    Left(ReasonSlug),
}

/// Result of a target that was not connected.
#[derive(Debug)]
pub(crate) enum TargetResult {
    /// The target failed; another one may be tried.
    Failed(TargetFailure),
    /// The called side was busy.
    Busy(TargetFailure),
    /// The target refused the call finally.
    Refused(TargetFailure),
}

impl TargetResult {
    /// Returns the failure.
    pub(crate) const fn failure(&self) -> &TargetFailure {
        let (TargetResult::Failed(failure) | TargetResult::Busy(failure) | TargetResult::Refused(failure)) = self;
        failure
    }

    /// Converts the result into its failure.
    pub(crate) fn into_failure(self) -> TargetFailure {
        let (TargetResult::Failed(failure) | TargetResult::Busy(failure) | TargetResult::Refused(failure)) = self;
        failure
    }

    /// Replaces the failure and keeps the kind of result.
    pub(crate) fn map(self, change: impl FnOnce(TargetFailure) -> TargetFailure) -> TargetResult {
        match self {
            TargetResult::Failed(failure) => TargetResult::Failed(change(failure)),
            TargetResult::Busy(failure) => TargetResult::Busy(change(failure)),
            TargetResult::Refused(failure) => TargetResult::Refused(change(failure)),
        }
    }

    /// Converts the result into a failure after which the search continues.
    pub(crate) fn into_failed(self) -> TargetResult {
        TargetResult::Failed(self.into_failure())
    }
}

/// Next step of a call.
#[derive(Debug)]
pub(crate) enum SearchStep {
    /// Try this target.
    Connect(CallTarget),
    /// Give the call to an application.
    Run(Arc<App>),
    /// Refuse the caller's INVITE.
    Answer(FinalAnswer),
    /// End the answered call.
    End(ReasonSlug),
}

/// Source of the search's next steps.
#[derive(Debug, Default)]
pub(crate) enum Controller {
    /// Targets of a route, in order.
    Plan(RemainingTargets),
    /// No targets: the call was refused before it had a route, was restored from a snapshot, or is answered and needs
    /// no further target.
    #[default]
    Done,
}

/// Remaining targets, and the failures of earlier ones.
#[derive(Debug, Default)]
pub(crate) struct RemainingTargets {
    left: VecDeque<CallTarget>,
    on_busy: bool,
    /// Maximum time for all targets but the last; zero disables the limit.
    search_timeout: Duration,
    failures: Vec<TargetFailure>,
}

impl Controller {
    /// Creates a controller for these targets after a restart.
    pub(crate) fn resume(left: Vec<CallTarget>) -> Controller {
        Controller::plan_of(left)
    }

    /// Returns the remaining targets as specified in a route.
    pub(crate) fn left(&self) -> impl Iterator<Item = TargetSpec> {
        let left = match self {
            Controller::Plan(targets) => Some(&targets.left),
            Controller::Done => None,
        };
        left.into_iter().flatten().map(CallTarget::spec)
    }

    /// Returns the maximum time for all targets but the last; zero disables the limit.
    pub(crate) const fn search_timeout(&self) -> Duration {
        match self {
            Controller::Plan(targets) => targets.search_timeout,
            Controller::Done => Duration::ZERO,
        }
    }

    /// Drops all remaining targets but the last; returns the number dropped, or `None` without targets.
    pub(crate) fn skip_to_last(&mut self) -> Option<usize> {
        let Controller::Plan(targets) = self else { return None };
        let skipped = targets.left.len().checked_sub(1)?;
        targets.left.drain(..skipped);
        Some(skipped)
    }

    /// Returns whether another target is left that may be reached, other than a refusal.
    pub(crate) fn has_more(&self) -> bool {
        let Controller::Plan(targets) = self else { return false };
        targets.left.iter().any(|target| !matches!(target, CallTarget::Reject(_)))
    }

    /// Returns whether another target is tried after this result.
    pub(crate) fn goes_on_after(&self, result: &TargetResult) -> bool {
        let leads_on = match (self, result) {
            (_, TargetResult::Failed(_)) => true,
            (Controller::Plan(targets), TargetResult::Busy(_)) => targets.on_busy,
            (Controller::Done, TargetResult::Busy(_)) | (_, TargetResult::Refused(_)) => false,
        };
        leads_on && self.has_more()
    }

    /// Returns the number of legs that are reserved for the remaining targets.
    pub(crate) fn legs_kept(&self) -> usize {
        let Controller::Plan(targets) = self else { return 0 };
        targets.left.iter().map(legs).sum::<usize>().min(LEGS_KEPT)
    }

    /// Creates a controller with these targets only.
    pub(crate) fn plan_of(left: Vec<CallTarget>) -> Controller {
        Controller::Plan(RemainingTargets { left: left.into(), ..RemainingTargets::default() })
    }

    /// Creates a controller with a route's targets.
    pub(crate) fn plan(plan: RoutePlan) -> Controller {
        let (on_busy, search_timeout) = (plan.route.on_busy, plan.search_timeout().unwrap_or_default());
        Controller::Plan(RemainingTargets { left: plan.targets.into(), on_busy, search_timeout, failures: Vec::new() })
    }

    /// Puts a target in front of the remaining ones, and forgets earlier failures.
    pub(crate) fn put_first(&mut self, target: CallTarget) {
        match self {
            Controller::Plan(targets) => {
                targets.left.push_front(target);
                targets.failures.clear();
            }
            Controller::Done => {
                let left = VecDeque::from([target]);
                *self = Controller::Plan(RemainingTargets { left, ..RemainingTargets::default() });
            }
        }
    }

    /// Puts a target in front of the remaining ones, so that it is tried next; earlier failures still count.
    pub(crate) fn again(&mut self, target: CallTarget) {
        match self {
            Controller::Plan(targets) => targets.left.push_front(target),
            Controller::Done => self.put_first(target),
        }
    }

    /// Records a failure before the next step is requested.
    pub(crate) fn failed(&mut self, failure: TargetFailure) {
        if let Controller::Plan(targets) = self {
            targets.failures.push(failure);
        }
    }

    /// Returns the next step, given the result of the last one.
    pub(crate) fn next(&mut self, result: Option<StepResult>) -> SearchStep {
        let result = match result {
            // A route has no further target for a caller that has been connected.
            Some(StepResult::Left(reason)) => return SearchStep::End(reason),
            Some(StepResult::NotConnected(result)) => Some(result),
            None => None,
        };
        match self {
            Controller::Plan(targets) => targets.next(result),
            Controller::Done => SearchStep::Answer(FinalAnswer::new(500, ReasonSlug::Internal)),
        }
    }
}

/// Returns the maximum number of legs that a target needs: one for each peer.
fn legs(target: &CallTarget) -> usize {
    match target {
        CallTarget::Trunk { peers, .. } => peers.len().max(1),
        CallTarget::Uri { .. } | CallTarget::Agent(_) => 1,
        CallTarget::App(_) | CallTarget::Reject(_) => 0,
        CallTarget::RingAll(targets) => targets.iter().map(legs).sum(),
    }
}

impl RemainingTargets {
    fn next(&mut self, result: Option<TargetResult>) -> SearchStep {
        match result {
            Some(TargetResult::Refused(failure)) => return SearchStep::Answer(failure.answer()),
            Some(TargetResult::Busy(failure)) if !self.on_busy => return SearchStep::Answer(failure.answer()),
            Some(TargetResult::Busy(failure) | TargetResult::Failed(failure)) => self.failures.push(failure),
            None => {}
        }
        match self.left.pop_front() {
            Some(CallTarget::Reject(code)) => SearchStep::Answer(FinalAnswer {
                q850: q850_of_code(code),
                ..FinalAnswer::new(code, ReasonSlug::RouteRejected)
            }),
            Some(CallTarget::App(app)) => SearchStep::Run(app),
            Some(target) => SearchStep::Connect(target),
            None => SearchStep::Answer(best(std::mem::take(&mut self.failures))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(left: Vec<CallTarget>, on_busy: bool) -> Controller {
        Controller::Plan(RemainingTargets { left: left.into(), on_busy, ..RemainingTargets::default() })
    }

    fn code(step: SearchStep) -> u16 {
        match step {
            SearchStep::Answer(answer) => answer.code,
            SearchStep::Connect(_) | SearchStep::Run(_) | SearchStep::End(_) => 0,
        }
    }

    fn busy() -> StepResult {
        StepResult::NotConnected(TargetResult::Busy(TargetFailure::with_code(486, ReasonSlug::TargetBusy)))
    }

    #[test]
    fn busy_goes_on_only_where_the_route_says_so() {
        assert_eq!(code(targets(vec![CallTarget::Reject(404)], false).next(Some(busy()))), 486);
        assert_eq!(code(targets(vec![CallTarget::Reject(404)], true).next(Some(busy()))), 404);
        assert_eq!(code(targets(vec![], true).next(Some(busy()))), 486);
    }

    #[test]
    fn a_refusal_ends_the_search() {
        let refused = TargetResult::Refused(TargetFailure::with_code(603, ReasonSlug::TargetRejected));
        let refused = StepResult::NotConnected(refused);
        assert_eq!(code(targets(vec![CallTarget::Reject(404)], true).next(Some(refused))), 603);
    }

    #[test]
    fn a_target_put_first_comes_before_those_that_are_left() {
        let mut controller = targets(vec![CallTarget::Reject(404)], false);
        controller.put_first(CallTarget::Reject(410));
        assert_eq!(code(controller.next(None)), 410);
        assert_eq!(code(controller.next(None)), 404);
        let mut controller = Controller::Done;
        controller.put_first(CallTarget::Reject(410));
        assert_eq!(code(controller.next(None)), 410);
    }

    #[test]
    fn nobody_reached_is_503() {
        let failed = TargetResult::Failed(TargetFailure::unreached(ReasonSlug::NoResponse));
        assert_eq!(code(targets(vec![], false).next(Some(StepResult::NotConnected(failed)))), 503);
    }

    #[test]
    fn a_call_whose_connected_party_leaves_ends_with_its_route() {
        for mut controller in [targets(vec![CallTarget::Reject(404)], true), Controller::Done] {
            let step = controller.next(Some(StepResult::Left(ReasonSlug::CalleeHungUp)));
            assert!(matches!(step, SearchStep::End(ReasonSlug::CalleeHungUp)), "{step:?}");
        }
    }
}
