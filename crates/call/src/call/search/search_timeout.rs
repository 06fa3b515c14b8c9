//! How long the targets of a route may take together (`search_timeout`): then what is tried is withdrawn, and the last one,
//! which is whom the route's writer wants to have the call in any case, is next.
//!
//! It counts until the caller has its answer, and not while it waits in an agent's line. The last target has its own time.

use std::time::Instant;

use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::Branch;
use trunkgate_story::few::Few;
use trunkgate_story::reason::ReasonSlug;

use crate::call::controller::StepResult;
use crate::call::legs::leg_end::EndedBy;
use crate::call::search::answer::Failure;
use crate::call::search::attempt::{Attempt, Progress};
use crate::call::{Call, State};

impl Call {
    /// The targets have had their time.
    pub(crate) fn search_over(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::Search);
        if self.state != State::Searching {
            return;
        }
        let line = self.search.attempts.values().find_map(|attempt| match attempt.progress {
            Progress::Queued { until, .. } => Some(until.saturating_duration_since(now)),
            Progress::Idle | Progress::Waiting { .. } | Progress::Binding | Progress::Pausing => None,
            Progress::Resolving(_) | Progress::Calling(_) | Progress::Opening(_) => None,
        });
        if let Some(wait) = line {
            return self.arm(now, edge, Timer::Search, wait + self.search.controller.search_timeout());
        }
        let Some(skipped) = self.search.controller.skip_to_last() else { return };
        let others = if skipped == 0 { String::new() } else { format!(", {skipped} left out") };
        let seconds = self.search.controller.search_timeout().as_secs_f64();
        edge.decide(now, self.key, format!("search_timeout: {seconds} s have passed, trying the last target{others}"));
        if let Some(tried) = &mut self.search.tried {
            tried.redirects = Few::default();
        }
        let branches: Vec<Branch> = self.search.attempts.iter().map(|(branch, _)| branch).collect();
        for branch in branches {
            let reason = ReasonSlug::SearchTimeout;
            if let Some(leg) = self.attempt(branch).and_then(Attempt::leg) {
                self.legs[leg].end_with(reason, EndedBy::Edge);
                if self.legs[leg].agent.is_none() {
                    self.withdraw(now, edge, leg);
                }
            }
            self.fail_target(now, edge, branch, StepResult::Failed(Failure::with_code(480, reason)));
        }
    }
}
