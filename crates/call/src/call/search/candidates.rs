//! Candidates of a target in order, and the INVITE to each.
//!
//! - An INVITE that is too long for a datagram is sent over TCP if the trunk allows it, and over UDP again if TCP is
//!   not supported.
//! - A target waits for its turn at a trunk that has reached a limit, in the order of arrival, up to the trunk's
//!   `pace`.
//! - A bare URI is subject to the rules of the trunk that owns its address. Each address is checked after DNS
//!   resolution and before the INVITE, so that no spelling of a name avoids a trunk's rules. A target named in an
//!   answered call never reaches an address of the edge itself or of its link.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::admission::limited::CallLimit;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::ATTEMPTS_PER_CALL;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_route::{Agent, CallInfo, CallTarget, Number, RedirectMode, RoutePlan, Trunk};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::session_timer::SessionTimerRequest;
use crate::call::negotiation::Bridge;
use crate::call::negotiation::early::EarlyMedia;
use crate::call::search::Search;
use crate::call::search::attempt::{Attempt, AttemptState, Candidate};
use crate::call::search::branches::name;
use crate::call::search::controller::{Controller, TargetResult};
use crate::call::search::invite::CandidateCheck;
use crate::call::search::redirect::{
    RedirectPeer, RedirectProgress, RedirectTarget, TargetRedirects, is_here, name_of, names_port, number_here, place,
    plan_redirected,
};
use crate::call::shared::{CallCx, CallEffect, SharedCallState, ShownCallerId};
use crate::call::words::answer::{FinalAnswer, TargetFailure};
use crate::call::words::incoming::IncomingInvite;
use crate::call::words::refer::ActiveReferral;
use crate::call::words::state::CallState;

impl Search {
    /// Begins a target, or all targets that ring simultaneously.
    ///
    /// # Errors
    /// The result of a target that cannot be tried.
    pub(crate) fn connect(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        target: CallTarget,
    ) -> Result<CallEffect, TargetResult> {
        self.branch_results = None;
        if let CallTarget::RingAll(targets) = target {
            return self.ring_all(cx, bridge, targets);
        }
        self.try_target(cx, bridge, Branch::ALONE, target)
    }

    /// Begins one target.
    ///
    /// # Errors
    /// The result of a target that cannot be tried.
    pub(crate) fn try_target(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        target: CallTarget,
    ) -> Result<CallEffect, TargetResult> {
        let Some(mut attempt) = Attempt::new(target, cx.call.facts.ring_timeout) else {
            return Err(TargetResult::Failed(TargetFailure::unreached(ReasonSlug::Internal)));
        };
        let returned = returned_uri(cx.call, &attempt);
        let is_returned = returned.is_some();
        attempt.uri = returned.or(attempt.uri);
        attempt.retried = std::mem::take(&mut self.retries.next);
        if attempt.retried == 0 && !self.is_consulting() {
            // The next target has its own `max_call`.
            cx.disarm(CallTimer::MaxCall);
        }
        cx.edge.decide(cx.now, cx.call.key, format!("target {}", attempt.name()));
        if let Some(trunk) = attempt.trunk.as_ref().filter(|trunk| trunk.accept_register && !is_returned) {
            let name = trunk.name.clone();
            attempt.registered(cx.edge.registrar().bindings(&name));
        }
        self.begin_attempt(cx, bridge, branch, attempt)
    }

    /// Begins an attempt, after checks that the target may be tried.
    ///
    /// # Errors
    /// The result of the target if a check fails or none of its candidates can be called.
    pub(crate) fn begin_attempt(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        mut attempt: Attempt,
    ) -> Result<CallEffect, TargetResult> {
        attempt.governs = attempt.owner_by_name(cx.edge).filter(|_| attempt.trunk.is_none());
        let result = match &attempt.agent {
            Some(agent) => agent_connectable(cx.call, bridge, agent),
            None => {
                let usable = bridge
                    .negotiation
                    .connectable(cx.call, attempt.trunk.as_deref())
                    .and_then(|()| attempt.may_be_called(cx));
                let usable = usable.and_then(|()| self.is_wanted_now(cx, &attempt));
                usable.and_then(|()| attempt.may_introduce(cx)).map_err(TargetResult::Failed)
            }
        };
        if let Err(failed) = result {
            bridge.negotiation.note_failure(cx, None, attempt.name(), failed.failure());
            return Err(failed);
        }
        if attempt.agent.is_some() {
            return self.engage(cx, bridge, attempt).map_err(TargetResult::Failed);
        }
        self.attempts.insert(branch, Box::new(attempt));
        self.leave_out(cx, branch);
        self.take_place(cx, bridge, branch).map(|()| CallEffect::Stay).map_err(TargetResult::Failed)
    }

    /// Checks that the trunk is not congested; passes if no other target can be tried, and for emergency calls.
    ///
    /// # Errors
    /// The trunk is congested: the target is skipped.
    fn is_wanted_now(&self, cx: &CallCx<'_>, attempt: &Attempt) -> Result<(), TargetFailure> {
        let is_congested = |trunk: &Arc<Trunk>| cx.edge.trunks().is_congested(cx.now, &trunk.name);
        let has_others = self.controller.has_more() && !self.is_consulting();
        if !has_others || !attempt.limited_by().is_some_and(is_congested) {
            return Ok(());
        }
        if cx.edge.numbers().is_emergency(&attempt.addressed(cx.call, cx.edge).number) {
            return Ok(());
        }
        let detail = Some(format!("{}: skipped", ReasonSlug::TrunkCongested.sentence()));
        Err(TargetFailure { detail, ..TargetFailure::unreached(ReasonSlug::TrunkCongested) })
    }

    /// Resolves or calls the target's next candidate, skipping those that cannot be called.
    ///
    /// # Errors
    /// No candidate is left; the attempt is ended.
    pub(crate) fn next_candidate(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
    ) -> Result<(), TargetFailure> {
        loop {
            let Some(attempt) = self.attempts.get_mut(branch) else {
                return Err(TargetFailure::unreached(ReasonSlug::Internal));
            };
            attempt.progress = AttemptState::Idle;
            let Some(way) = attempt.next_candidate() else { break };
            attempt.current = Some(way.clone());
            if way.address.is_none() {
                let query = cx.edge.resolve(cx.call.key, way.destination);
                attempt.progress = AttemptState::Resolving(query);
                let wait = attempt.no_response_timeout;
                cx.arm(CallTimer::NoResponse(branch), wait);
                self.ring_back(cx, bridge);
                return Ok(());
            }
            let has_room = self.controller.legs_kept() + cx.call.legs.attempts() < ATTEMPTS_PER_CALL;
            let invited = match attempt.judge_candidate(cx, branch, &way) {
                Ok(CandidateCheck::Goes) if !has_room => Err(TargetFailure::unreached(ReasonSlug::Unreachable)),
                Ok(CandidateCheck::Goes) => attempt.invite(cx, &bridge.negotiation, branch, &way),
                Ok(CandidateCheck::Changes) => {
                    attempt.again(way);
                    return self.take_place(cx, bridge, branch);
                }
                Err(failure) => Err(failure),
            };
            match invited {
                Ok(()) => {
                    self.ring_back(cx, bridge);
                    return Ok(());
                }
                Err(failure) => self.candidate_failed(cx, bridge, branch, failure),
            }
        }
        if let Some(failure) = self.attempt(branch).map(Attempt::why_failed) {
            self.rate_trunk(cx, branch, &failure, self.controller.has_more());
        }
        self.look_for_phones(cx, bridge, branch);
        Err(self.end_attempt(cx, branch))
    }

    /// Stops the no-response timer after a response on a leg.
    pub(crate) fn heard(&self, cx: &mut CallCx<'_>, leg: LegId) {
        let Some(branch) = self.calling_on(cx.call, leg) else { return };
        cx.disarm(CallTimer::NoResponse(branch));
        cx.heard(leg);
    }

    /// Restarts the no-response timer after an authentication challenge, because the INVITE was sent again with
    /// credentials.
    pub(crate) fn challenged(&self, cx: &mut CallCx<'_>, leg: LegId) {
        let Some(branch) = self.calling_on(cx.call, leg) else { return };
        self.heard(cx, leg);
        if let Some(wait) = self.attempt(branch).map(|attempt| attempt.no_response_timeout) {
            cx.arm(CallTimer::NoResponse(branch), wait);
        }
    }

    pub(crate) fn candidate_failed(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        failure: TargetFailure,
    ) {
        cx.disarm(CallTimer::NoResponse(branch));
        cx.disarm(CallTimer::Ring(branch));
        let Some(attempt) = self.attempt(branch) else { return };
        let (leg, trunk) = (attempt.leg(), attempt.trunk.clone());
        let name = attempt.current.as_ref().map(Candidate::shown).unwrap_or_default();
        bridge.negotiation.note_failure(cx, leg, &name, &failure);
        if let Some(leg) = leg {
            bridge.media.drop_ends(cx, leg);
        }
        if let Some(trunk) = trunk {
            cx.edge.trunks_mut().failed(&trunk.name);
        }
        if let Some(attempt) = self.attempt_mut(branch) {
            attempt.candidate_failed(failure);
            attempt.early = EarlyMedia::default();
        }
        self.hear_another(cx, bridge);
    }

    /// Calls the first candidate once the trunk has a slot for the call; the call may wait for one.
    ///
    /// # Errors
    /// A limit of the trunk refuses the call, or no candidate can be called.
    pub(crate) fn take_place(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
    ) -> Result<(), TargetFailure> {
        let Some(trunk) = self.attempt(branch).and_then(|attempt| attempt.limited_by().cloned()) else {
            return self.next_candidate(cx, bridge, branch);
        };
        let Some(Err((reason, which))) = self.attempt_mut(branch).map(|attempt| attempt.take_place(cx, branch)) else {
            return self.next_candidate(cx, bridge, branch);
        };
        // A limit that applies to some calls only would also delay later calls to which it does not apply.
        let waits = !trunk.pace.is_zero() && which.is_none();
        let until = cx.now.checked_add(cx.call.patience(trunk.pace)).filter(|_| waits);
        let Some(until) = until else {
            refused_place(cx, &trunk, reason, which);
            self.attempts.remove(branch);
            let failure = TargetFailure::unreached(reason).told();
            bridge.negotiation.note_failure(cx, None, &trunk.name, &failure);
            return Err(failure);
        };
        if let Some(attempt) = self.attempt_mut(branch) {
            attempt.progress = AttemptState::Waiting { until, reason };
        }
        cx.edge.trunks_mut().add_waiting(&trunk.name, (cx.call.key, branch));
        cx.edge.decide(cx.now, cx.call.key, format!("{}: {}, the call waits", trunk.name, reason.sentence()));
        self.ring_back(cx, bridge);
        self.wait_on(cx, branch, until);
        Ok(())
    }

    /// Wakes the call when its trunk may have a slot, or at the end of the wait.
    pub(crate) fn wait_on(&self, cx: &mut CallCx<'_>, branch: Branch, until: Instant) {
        let Some(trunk) = self.attempt(branch).and_then(|attempt| attempt.limited_by().cloned()) else { return };
        let left = until.saturating_duration_since(cx.now);
        let place = cx.edge.trunks_mut().next_place(cx.now, &trunk.name, (cx.call.key, branch));
        let after = place.map_or(left, |wait| wait.min(left));
        cx.arm_left(CallTimer::Pace(branch), after);
    }

    /// Queues the destinations of a 3xx; returns whether one is left to try.
    pub(crate) fn redirected(&mut self, cx: &mut CallCx<'_>, branch: Branch, contacts: &[String]) -> bool {
        let Some(attempt) = self.attempt(branch) else { return false };
        let (own, asked, from) = (attempt.trunk.clone(), attempt.asked.clone(), attempt.limited_by().cloned());
        let mode = from.as_ref().map_or(RedirectMode::Peers, |trunk| trunk.redirect);
        if mode == RedirectMode::Refuse {
            let text = format!("{} answers 3xx: not followed (`redirect = \"refuse\"`)", attempt.name());
            cx.edge.decide(cx.now, cx.call.key, text);
            return false;
        }
        let from = from.filter(|_| mode == RedirectMode::Follow);
        let mut redirects = self.tried().redirects.remove(branch).unwrap_or_default();
        redirects.visited.note(asked);
        let mut found = VecDeque::new();
        for uri in contacts {
            match self.judge_contact(cx.edge, uri, own.as_ref(), from.as_ref(), &mut redirects) {
                Ok(onward) => found.push_back(onward),
                Err(why) => {
                    let shown = cx.edge.shown_name(uri);
                    cx.edge.decide(cx.now, cx.call.key, format!("{shown} {why}: not followed"));
                }
            }
        }
        found.append(&mut redirects.left);
        redirects.left = found;
        let goes_on = !redirects.left.is_empty();
        self.tried().redirects.insert(branch, redirects);
        goes_on
    }

    /// Checks one contact of a 3xx. `own` is the redirecting trunk; `from` is set if that trunk may redirect to numbers
    /// at the edge itself.
    ///
    /// # Errors
    /// The contact is neither a peer of a trunk nor a number at the edge, was tried before, or exceeds a limit: the
    /// reason as a clause.
    fn judge_contact(
        &mut self,
        edge: &Edge,
        uri: &str,
        own: Option<&Arc<Trunk>>,
        from: Option<&Arc<Trunk>>,
        redirects: &mut TargetRedirects,
    ) -> Result<RedirectTarget, &'static str> {
        let here = number_here(edge, uri, own.map(|trunk| &**trunk));
        // A URI without a port names a peer on this machine rather than the edge.
        let place = if here.is_some() && names_port(uri) { None } else { place(uri, own, edge.table()) };
        match (place, here) {
            (Some(place), _) if is_here(edge, &place.peer.destination) => Err("is this edge itself"),
            (Some(place), _) => redirects.visited.admit(name_of(uri)).map(|()| RedirectTarget::Peer(Box::new(place))),
            (None, Some(number)) => {
                let from = from.ok_or("is this edge itself")?;
                redirects.visited.admit(name_of(uri))?;
                self.forwarded.get_or_insert_default().admit(number.text.clone())?;
                Ok(RedirectTarget::Here(from.clone(), number))
            }
            (None, None) => Err("is not a peer of a trunk"),
        }
    }

    /// Continues with the next destination of a target's 3xx after a failure.
    pub(crate) fn follow(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        mut result: TargetResult,
    ) -> RedirectProgress {
        while matches!(result, TargetResult::Failed(_)) {
            let Some(onward) = self.tried().redirects.get_mut(branch).and_then(|redirects| redirects.left.pop_front())
            else {
                break;
            };
            // A redirecting target has not failed (RFC 3261 §16.7 step 4).
            if result.failure().reason != ReasonSlug::Transferred {
                self.controller.failed(result.into_failure());
            }
            let begun = match onward {
                RedirectTarget::Peer(place) => self.try_place(cx, bridge, branch, *place),
                RedirectTarget::Target(target) => self.try_target(cx, bridge, branch, *target),
                RedirectTarget::Here(trunk, number) => match plan_redirected(cx, &trunk, &number) {
                    // A target requested by an agent is tried alone, while the agent's caller is still connected.
                    Ok(plan) if self.is_last_ringing() && !self.is_consulting() => {
                        self.put_plan_first(cx, branch, &number, plan);
                        return RedirectProgress::Planned;
                    }
                    Ok(plan) => {
                        self.ring_on(cx, branch, plan);
                        result = TargetResult::Failed(TargetFailure::unreached(ReasonSlug::Transferred));
                        continue;
                    }
                    Err(failure) => {
                        let forwards = format!("{} forwards the call to {}", trunk.name, number.text);
                        cx.edge.decide(cx.now, cx.call.key, failure.told_of(&forwards));
                        let failure = failure.told();
                        bridge.negotiation.note_failure(cx, None, &trunk.name, &failure);
                        Err(TargetResult::Failed(failure))
                    }
                },
            };
            match begun {
                Ok(next) => return RedirectProgress::Under(next),
                Err(failed) => result = failed,
            }
        }
        self.tried().redirects.remove(branch);
        RedirectProgress::Over(result)
    }

    /// Begins the attempt for a peer that a 3xx names.
    ///
    /// # Errors
    /// The result of a peer that cannot be called.
    fn try_place(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        place: RedirectPeer,
    ) -> Result<CallEffect, TargetResult> {
        let shown = cx.edge.shown_name(&place.uri);
        cx.edge.decide(cx.now, cx.call.key, format!("redirected to {shown}"));
        let RedirectPeer { uri, trunk, peer, number } = place;
        let target = CallTarget::Trunk { trunk, number: Some(number), peers: vec![peer] };
        let Some(mut attempt) = Attempt::new(target, cx.call.facts.ring_timeout) else {
            return Err(TargetResult::Failed(TargetFailure::unreached(ReasonSlug::Internal)));
        };
        attempt.uri = Some(uri);
        self.begin_attempt(cx, bridge, branch, attempt)
    }

    /// Puts the targets of a number at the edge itself in front of the call's remaining targets.
    fn put_plan_first(&mut self, cx: &mut CallCx<'_>, branch: Branch, number: &Number, plan: RoutePlan) {
        let left = self.tried().redirects.remove(branch).map_or(0, |redirects| redirects.left.len());
        if left > 0 {
            let text = format!("the route's targets are tried instead of {left} more Contacts");
            cx.edge.decide(cx.now, cx.call.key, text);
        }
        self.branch_results = None;
        cx.call.facts.ring_timeout = plan.ring_timeout.or(cx.call.facts.ring_timeout);
        if let Some(shown) = &plan.route.caller_id {
            cx.call.facts.shown_as = Some(ShownCallerId::public(shown.clone()));
        }
        cx.take_listeners(&plan.forks);
        let is_emergency = cx.edge.numbers().is_emergency(number);
        if cx.call.state == CallState::Searching && (is_emergency || plan.route.sms.is_some()) {
            cx.forget_text();
            cx.watch_for_text(plan.route.sms.as_ref().filter(|_| !is_emergency));
        }
        // A refusal by the other route does not precede the remaining targets of the call's own route.
        let keeps = self.controller.has_more();
        for target in
            plan.targets.into_iter().rev().filter(|target| !(keeps && matches!(target, CallTarget::Reject(_))))
        {
            self.controller.again(target);
        }
    }

    /// Rings the targets of a number at the edge itself, one after the other, in place of a target that rang together
    /// with others. Agents are omitted because they answer at once.
    fn ring_on(&mut self, cx: &mut CallCx<'_>, branch: Branch, plan: RoutePlan) {
        let all = plan.targets.into_iter().flat_map(|target| match target {
            CallTarget::RingAll(targets) => targets,
            one @ (CallTarget::Trunk { .. }
            | CallTarget::Uri { .. }
            | CallTarget::Agent(_)
            | CallTarget::App(_)
            | CallTarget::Reject(_)) => {
                vec![one]
            }
        });
        let (ring, others): (Vec<CallTarget>, Vec<CallTarget>) = all.partition(CallTarget::is_party);
        if !others.is_empty() {
            let names = others.iter().map(|target| cx.edge.shown_name(&name(target))).collect::<Vec<_>>().join(", ");
            let text =
                format!("skipped after forwarding: {names}; only trunks and URIs can ring together with other targets");
            cx.edge.decide(cx.now, cx.call.key, text);
        }
        if let Some(redirects) = self.tried().redirects.get_mut(branch) {
            for target in ring.into_iter().rev() {
                redirects.left.push_front(RedirectTarget::Target(Box::new(target)));
            }
        }
    }

    /// Checks an INVITE for reasons to refuse it, in order of precedence, whichever target it will reach.
    ///
    /// # Errors
    /// The final response: hops, loop, number, caller ID, session interval or offer are refused.
    pub(crate) fn screen_invite(
        &self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        incoming: &IncomingInvite,
    ) -> Result<(), FinalAnswer> {
        let request = &incoming.request;
        if request.max_forwards() == Some(0) {
            return Err(FinalAnswer::new(483, ReasonSlug::TooManyHops));
        }
        cx.call.not_again(cx.edge)?;
        if cx.call.facts.is_incomplete {
            return Err(FinalAnswer::new(484, ReasonSlug::IncompleteNumber));
        }
        if cx.edge.numbers().is_emergency(&cx.call.facts.called) {
            cx.edge.decide(cx.now, cx.call.key, "emergency call: exempt from limits");
        }
        cx.screen_caller(&incoming.trunk)?;
        let session = SessionTimerRequest::of(request);
        cx.call.legs[LegId::CALLER].timer.ask(session);
        if session.is_too_short() {
            return Err(FinalAnswer::new(422, ReasonSlug::SessionTooShort));
        }
        bridge.negotiation.take_offer(cx, request)
    }

    /// Returns the plan of the first route that matches the call, with its targets in the order of their answer ratio.
    ///
    /// # Errors
    /// 404 if no route matches.
    pub(crate) fn find_plan(&self, cx: &mut CallCx<'_>, incoming: &IncomingInvite) -> Result<RoutePlan, FinalAnswer> {
        let (called, caller) = (&*cx.call.facts.called.text, &*cx.call.facts.caller.number.text);
        let headers = &cx.call.facts.headers;
        let info = CallInfo { from: &incoming.trunk.name, called, caller, headers, ..CallInfo::default() };
        let plan = cx.edge.plan(cx.now, info);
        let Some(mut plan) = plan else { return Err(FinalAnswer::new(404, ReasonSlug::NoRoute)) };
        cx.call.facts.route = plan.route.name.clone();
        cx.call.facts.ring_timeout = plan.ring_timeout;
        let line = plan.route.line.as_ref().map(|place| format!(", {}:{}", place.file, place.line));
        cx.edge.decide(cx.now, cx.call.key, format!("route {}{}", cx.call.facts.route, line.unwrap_or_default()));
        let is_emergency = cx.edge.numbers().is_emergency(&cx.call.facts.called);
        cx.edge.by_ratio(cx.now, cx.call.key, &mut plan, !is_emergency);
        Ok(plan)
    }

    /// Applies the plan of the call's route, and draws the caller's media ports.
    ///
    /// # Errors
    /// 503 if no address or port is available for media.
    pub(crate) fn take_plan(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        plan: RoutePlan,
    ) -> Result<(), FinalAnswer> {
        cx.call.facts.shown_as = plan.route.caller_id.clone().map(ShownCallerId::public);
        cx.watch_for_text(plan.route.sms.as_ref());
        let forks = plan.forks.clone();
        self.controller = Controller::plan(plan);
        bridge.negotiation.open_media(cx)?;
        cx.arm(CallTimer::Search, self.controller.search_timeout());
        cx.open_listeners(&forks);
        Ok(())
    }
}

/// Checks that an agent allows this caller, and that the edge can answer its offer.
///
/// # Errors
/// `allow_callers` excludes the caller, which ends the search with 486, or no offered codec can be transcoded.
fn agent_connectable(call: &SharedCallState, bridge: &Bridge, agent: &Agent) -> Result<(), TargetResult> {
    // The caller number of a requested call belongs to the edge, so `allow_callers` does not apply.
    if !call.is_requested() && !agent.allows(&call.facts.caller.number) {
        return Err(TargetResult::Refused(TargetFailure::with_code(486, ReasonSlug::CallerNotAllowed)));
    }
    bridge.negotiation.answerable(call).map_err(TargetResult::Failed)
}

/// Records that a limit of a trunk has refused the call. `which` is the limit if it applies to some calls only.
pub(crate) fn refused_place(cx: &mut CallCx<'_>, trunk: &Trunk, reason: ReasonSlug, which: Option<String>) {
    let limit = which.clone().unwrap_or_else(|| limit_of(trunk, reason, trunk.calls_per_second_out));
    if let Some(reached) = CallLimit::from_reason(Some(&trunk.name), true, reason) {
        cx.edge.admission_mut().limited.count_refusal(cx.now, reached, &limit, Some(cx.call.legs.sid()));
    }
    cx.call.story.proof = Some((reason, format!("trunk {}, {limit}", trunk.name).into()));
    let which = which.unwrap_or_else(|| "calls to it".to_owned());
    cx.edge.decide(cx.now, cx.call.key, format!("{}: {} ({which})", trunk.name, reason.sentence()));
    cx.edge.alarm(cx.now, cx.call.legs.sid(), &trunk.name, reason, &which);
}

/// Formats the configuration keys of the limit that was reached; `of_direction` is the call rate for inbound or
/// outbound calls.
pub(crate) fn limit_of(trunk: &Trunk, reason: ReasonSlug, of_direction: u32) -> String {
    let Trunk { max_calls, calls_per_second, peer_calls_per_second, .. } = trunk;
    if reason == ReasonSlug::LimitCalls {
        return format!("`max_calls = {max_calls}`");
    }
    let rates = [("calls_per_second", *calls_per_second), ("calls_per_second", of_direction)];
    let rates =
        rates.into_iter().chain([("peer_calls_per_second", *peer_calls_per_second)]).filter(|(_, rate)| *rate > 0);
    let mut rates: Vec<String> = rates.map(|(key, rate)| format!("`{key} = {rate}`")).collect();
    rates.dedup();
    rates.join(", ")
}

/// Returns the Request-URI of a REFER's target at the trunk that sent the REFER. Targets of a route have a number.
/// `None` for any other target.
fn returned_uri(call: &SharedCallState, attempt: &Attempt) -> Option<String> {
    let ActiveReferral { by, refer } = call.facts.referral.as_deref().filter(|_| !call.is_programmed)?;
    let trunk = attempt.trunk.as_ref().filter(|_| attempt.number.is_none())?;
    let is_own = call.legs[*by].trunk_name() == &*trunk.name;
    refer.returned.as_ref().filter(|_| is_own).map(|returned| returned.text.clone())
}
