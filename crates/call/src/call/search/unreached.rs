//! Calls that did not reach their agent, and callers without another target, as counted by `status`.

use std::sync::Arc;

use trunkgate_resources::failures::unreached::UnreachedCall;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::search::Search;
use crate::call::search::attempt::Attempt;
use crate::call::shared::{CallCx, SharedCallState};
use crate::call::words::answer::TargetFailure;
use crate::call::words::state::CallState;

/// Returns whether the caller gets no other target after a failed one. Applications decide for their own calls.
pub(crate) fn loses_caller(search: &Search, call: &SharedCallState, goes_on: bool) -> bool {
    let is_last = !goes_on && search.attempts.values().count() <= 1;
    is_last && call.state == CallState::Searching && !call.is_programmed
}

/// Records that an agent was unavailable: skipped, or its WebSocket did not open.
pub(crate) fn agent_unreached(search: &Search, cx: &mut CallCx<'_>, name: &Arc<str>, goes_on: bool) {
    if name.is_empty() {
        return;
    }
    let waits = cx.call.state == CallState::Rerouting && !goes_on && !search.is_consulting() && !cx.call.is_programmed;
    let is_lost = waits || loses_caller(search, cx.call, goes_on);
    let call = UnreachedCall { key: cx.call.key, sid: cx.call.legs.sid(), route: &cx.call.facts.route, is_lost };
    cx.edge.agents_mut().unreached(cx.now, name, call);
}

/// Ends the attempt of a failed target. An agent that failed on `leg` may get a new stream; otherwise it counts as
/// unreached if no stream was open.
pub(crate) fn end_failed(
    search: &mut Search,
    cx: &mut CallCx<'_>,
    branch: Branch,
    (leg, failure): (Option<LegId>, &TargetFailure),
    goes_on: bool,
) {
    let unreached = search.attempt(branch).and_then(|attempt| unreached_agent(attempt, cx.call, failure));
    search.end_attempt(cx, branch);
    let gets_another = leg.is_some_and(|leg| search.retry(cx, leg));
    if let Some(name) = unreached.filter(|_| !gets_another) {
        agent_unreached(search, cx, &name, goes_on);
    }
}

/// Returns the agent that was unavailable according to a failure: skipped, or its WebSocket never opened. `None` if the
/// agent was reached, or the target is not an agent.
fn unreached_agent(attempt: &Attempt, call: &SharedCallState, failure: &TargetFailure) -> Option<Arc<str>> {
    let agent = attempt.agent.as_ref()?;
    let was_open = |leg| call.legs[leg].agent.as_ref().is_some_and(|side| side.opened.is_some());
    let is_closed = attempt.progress.opening().is_some_and(|leg| !was_open(leg));
    (is_closed || failure.reason == ReasonSlug::AgentSkipped).then(|| agent.name.clone())
}
