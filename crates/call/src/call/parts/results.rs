//! Results of attempts: responses, time-outs, failed ports, and the step to the next candidate or target.
//!
//! `search_timeout` limits the total time of all targets of a route except the last, which is tried when that time is
//! over. It runs until the caller is answered, but not while the caller waits in an agent's queue.

use bytes::Bytes;
use trunkgate_media::EndId;
use trunkgate_media::agent::StreamLoss;
use trunkgate_resources::io::{QueryId, StreamFailure};
use trunkgate_resources::limits::{BIND_TRIES, TLS_GRACE};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_route::locate::NameFault;
use trunkgate_route::{DestinationServer, host_of};
use trunkgate_sdp::Srtp;
use trunkgate_sip::{DialogId, Flow, Transport};
use trunkgate_story::diagnosis::Diagnosis;
use trunkgate_story::few::SmallMap;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::{FailureResponse, dns};

use crate::call::legs::event::SearchEvent;
use crate::call::legs::leg::LegState;
use crate::call::legs::leg_end::{EndedBy, LegRejection};
use crate::call::legs::location::UNSUPPORTED_MEDIA_TYPE;
use crate::call::legs::srtp::NOT_ACCEPTABLE_HERE;
use crate::call::legs::written::Written;
use crate::call::media::coaching::Coaching;
use crate::call::parts::CallParts;
use crate::call::parts::effects::in_program;
use crate::call::program::effects::LowerParts;
use crate::call::search::attempt::{Attempt, AttemptState, Candidate, FailureScope};
use crate::call::search::branches::is_global;
use crate::call::search::candidates::refused_place;
use crate::call::search::controller::{SearchStep, StepResult, TargetResult};
use crate::call::search::redirect::RedirectProgress;
use crate::call::search::unreached::end_failed;
use crate::call::shared::CallCx;
use crate::call::transfer::warm;
use crate::call::words::answer::TargetFailure;
use crate::call::words::state::CallState;

impl CallParts {
    /// Handles an event of a target that is being tried.
    pub(super) fn handle_target(&mut self, cx: &mut CallCx<'_>, event: SearchEvent) {
        use CallState::{Answered, Ended, Leaving, Rerouting, Searching};
        use SearchEvent as E;
        match (cx.call.state, event) {
            (Searching | Rerouting, E::Resolved { query, found }) => self.resolved(cx, query, &found),
            (Searching | Rerouting, E::Trying { leg }) => self.search.heard(cx, leg),
            (Searching | Rerouting, E::Challenged { leg }) => self.search.challenged(cx, leg),
            (Searching | Rerouting, E::Provisional { leg, code, dialog, sdp, is_reliable, headers }) => {
                let said = (code, dialog, sdp, is_reliable);
                if self.search.provisional(cx, &mut self.bridge, leg, said, &headers) {
                    self.transfers.notify_transferor(cx, code);
                }
            }
            (Searching | Rerouting, E::Accepted { leg, dialog, sdp, headers, session }) => {
                self.accepted(cx, leg, (dialog, sdp), &headers);
                cx.session_taken(leg, session);
            }
            (Answered | Leaving | Ended, E::Accepted { leg, dialog, .. }) => cx.accepted_too_late(leg, dialog),
            (Searching | Rerouting, E::Rejected { leg, said, q850, detail, headers, contacts }) => {
                self.rejected(cx, leg, (said, q850, detail), &headers, &contacts);
            }
            (Searching | Rerouting, E::Unanswered { leg, sent }) => self.unanswered(cx, leg, sent),
            (Answered | Leaving | Ended, E::Rejected { leg, .. } | E::Unanswered { leg, .. }) => {
                cx.call.legs.withdrawn(cx.edge, leg);
            }
            (Searching | Rerouting, E::EarlyBye { leg }) => self.left_while_ringing(cx, leg),
            (Answered | Leaving | Ended, E::Resolved { .. } | E::Trying { .. } | E::Challenged { .. })
            | (Answered | Leaving | Ended, E::Provisional { .. } | E::EarlyBye { .. }) => {}
        }
    }

    /// Opens another stream to an agent that has failed, once the pause is over.
    pub(crate) fn retry_due(&mut self, cx: &mut CallCx<'_>) {
        cx.call.deadlines.remove(CallTimer::Retry);
        if self.search.alone().is_some_and(|attempt| attempt.progress == AttemptState::Pausing)
            && let Err(failure) = self.search.try_agent(cx, &mut self.bridge)
        {
            self.advance(cx, Some(TargetResult::Failed(failure)));
        }
    }

    /// Retries a target that rejects multipart bodies: the INVITE has the session description only. Returns whether a
    /// retry was sent.
    pub(crate) fn asked_again_without_location(
        &mut self,
        cx: &mut CallCx<'_>,
        branch: Branch,
        leg: LegId,
        code: u16,
    ) -> bool {
        if code != UNSUPPORTED_MEDIA_TYPE || cx.call.facts.locations.is_empty() {
            return false;
        }
        self.asked_again_without(cx, (branch, leg), "location", |way| &mut way.only_sdp)
    }

    /// Retries a target that rejects SRTP with plain RTP, if its trunk has SRTP optional. Returns whether a retry was
    /// sent.
    pub(crate) fn asked_again_without_srtp(
        &mut self,
        cx: &mut CallCx<'_>,
        branch: Branch,
        leg: LegId,
        code: u16,
    ) -> bool {
        if code != NOT_ACCEPTABLE_HERE || cx.call.legs[leg].srtp_policy() != Srtp::Optional {
            return false;
        }
        self.asked_again_without(cx, (branch, leg), "SRTP", |way| &mut way.plain)
    }

    /// Ends the leg of an INVITE, and tries the changed candidate, which is the first in the queue.
    pub(crate) fn ask_again(&mut self, cx: &mut CallCx<'_>, branch: Branch, leg: LegId) {
        cx.disarm(CallTimer::NoResponse(branch));
        cx.disarm(CallTimer::Ring(branch));
        self.bridge.media.drop_ends(cx, leg);
        self.try_next_candidate(cx, branch);
    }

    /// Retries the candidate without an optional part of the INVITE; `left_out`: the candidate's flag for that part.
    /// Returns whether a retry was sent.
    pub(crate) fn asked_again_without(
        &mut self,
        cx: &mut CallCx<'_>,
        (branch, leg): (Branch, LegId),
        what: &str,
        left_out: fn(&mut Candidate) -> &mut bool,
    ) -> bool {
        let Some(attempt) = self.search.attempts.get_mut(branch) else { return false };
        let Some(mut way) = attempt.current.clone() else { return false };
        if std::mem::replace(left_out(&mut way), true) {
            return false;
        }
        cx.edge.decide(cx.now, cx.call.key, format!("{} does not accept {what}: retrying without", attempt.name()));
        attempt.again(way);
        cx.call.legs[leg].end_with(ReasonSlug::TargetRejected, EndedBy::FarEnd);
        self.ask_again(cx, branch, leg);
        true
    }

    /// Handles the report that ports of the caller are bound; `None`: the worker did not report in time.
    pub(crate) fn bound(&mut self, cx: &mut CallCx<'_>, end: Option<EndId>) {
        let ends = &mut cx.call.legs[LegId::CALLER].ends;
        if let Some(bound) = ends.iter_mut().find(|each| end == Some(each.end)) {
            bound.is_bound = true;
        }
        if end.is_some() && !cx.call.legs.is_bound() {
            return;
        }
        if self.program.is_running() {
            cx.disarm(CallTimer::Ports);
            return in_program(self, cx, |program, cx, lower| program.caller_is_ready(cx, lower));
        }
        if self.search.alone().is_none_or(|attempt| attempt.progress != AttemptState::Binding) {
            return;
        }
        let Some(attempt) = self.search.attempts.remove(Branch::ALONE) else { return };
        cx.disarm(CallTimer::Ports);
        match self.search.engage(cx, &mut self.bridge, *attempt) {
            Ok(next) => next.act(self, cx),
            Err(failure) => self.advance(cx, Some(TargetResult::Failed(failure))),
        }
    }

    /// Closes a branch with its result. The search continues once no other target rings; a 6xx is final for all (RFC
    /// 3261 §16.7 step 5).
    pub(crate) fn branch_over(&mut self, cx: &mut CallCx<'_>, branch: Branch, result: TargetResult) {
        let result = match self.search.follow(cx, &mut self.bridge, branch, result) {
            RedirectProgress::Under(next) => return next.act(self, cx),
            RedirectProgress::Planned => return self.advance(cx, None),
            RedirectProgress::Over(result) => result,
        };
        if is_global(&result) && self.search.attempts.first().is_some() {
            cx.edge.decide(cx.now, cx.call.key, "this response is final for all targets: the others are canceled");
            self.search.withdraw_all(cx, &mut self.bridge, ReasonSlug::TargetRejected);
        }
        if self.search.attempts.first().is_some() {
            self.search.tried().over.push(result);
            return self.search.hear_another(cx, &mut self.bridge);
        }
        self.search.tried().over.push(result);
        let outcome = self.search.outcome();
        self.advance(cx, outcome);
    }

    /// Carries out the controller's steps until a target is being tried or the call is over. `result` is the result of
    /// a target that was not connected, if one was tried before.
    pub(crate) fn advance(&mut self, cx: &mut CallCx<'_>, result: Option<TargetResult>) {
        self.take_steps(cx, result.map(StepResult::NotConnected));
    }

    /// Handles the departure of the connected party while the caller stays: the controller decides the next step.
    pub(crate) fn side_left(&mut self, cx: &mut CallCx<'_>, reason: ReasonSlug) {
        Coaching::end(&mut self.bridge.media, cx, (reason, EndedBy::Edge));
        self.take_steps(cx, Some(StepResult::Left(reason)));
    }

    fn take_steps(&mut self, cx: &mut CallCx<'_>, mut result: Option<StepResult>) {
        if result.is_none() && self.program.has_caller_alone() {
            return in_program(self, cx, |program, cx, lower| program.caller_is_ready(cx, lower));
        }
        loop {
            if let Some(StepResult::NotConnected(failed)) = result {
                // For an answered caller every failure leads to the next target. If a program has dialled the party,
                // the program decides.
                let leads_on = cx.call.state == CallState::Rerouting && !self.program.is_running();
                let failed = if leads_on { failed.into_failed() } else { failed };
                if self.search.stays(cx, &mut self.bridge, failed.failure()) {
                    return;
                }
                self.search.consults.end_warm(cx, &mut self.bridge.media);
                result = Some(StepResult::NotConnected(failed));
            }
            match self.search.controller.next(result.take()) {
                SearchStep::Connect(target) => match self.search.connect(cx, &mut self.bridge, target) {
                    Ok(next) => return next.act(self, cx),
                    Err(failed) => result = Some(StepResult::NotConnected(failed)),
                },
                SearchStep::Run(app) => {
                    self.search.consults.end_warm(cx, &mut self.bridge.media);
                    let digits = self.requested.as_mut().and_then(|requested| requested.take_digits());
                    return in_program(self, cx, |program, cx, lower| program.begin(cx, lower, app, digits));
                }
                // The program decides about a party that it has dialled.
                SearchStep::Answer(answer) if self.program.is_running() => {
                    return in_program(self, cx, |program, cx, lower| program.side_failed(cx, lower, &answer));
                }
                SearchStep::End(reason) if self.program.is_running() => {
                    return in_program(self, cx, |program, cx, lower| program.side_has_left(cx, lower, reason));
                }
                SearchStep::Answer(answer) => return self.give_up(cx, &answer),
                SearchStep::End(reason) => return self.end(cx, reason),
            }
        }
    }

    /// Tries the next candidate of a target; without one the target has failed.
    pub(crate) fn try_next_candidate(&mut self, cx: &mut CallCx<'_>, branch: Branch) {
        if let Err(failure) = self.search.next_candidate(cx, &mut self.bridge, branch) {
            self.branch_over(cx, branch, TargetResult::Failed(failure));
        }
    }

    /// Handles a 2xx to an INVITE: the first target to answer gets the call.
    fn accepted(
        &mut self,
        cx: &mut CallCx<'_>,
        leg: LegId,
        (dialog, sdp): (DialogId, Option<Bytes>),
        headers: &[(String, String)],
    ) {
        let Some(branch) = self.search.calling_on(cx.call, leg) else { return cx.accepted_too_late(leg, dialog) };
        self.search.heard(cx, leg);
        cx.edge.ack(cx.now, dialog);
        cx.call.legs.own_dialog(cx.edge, leg, dialog);
        cx.call.legs[leg].enter(LegState::Answered);
        self.keep_headers(branch, headers);
        let before = cx.call.enter(CallState::Answered);
        // A 2xx may omit the session description of its reliable 18x (many do, although RFC 3261 §13.2.1 requires it).
        let early = self.search.attempt(branch).map(|attempt| &attempt.early);
        let is_changed = early.is_some_and(|early| early.is_changed(Some(dialog)));
        let said = early.and_then(|early| early.of(dialog));
        let sdp = sdp.as_deref().filter(|_| !is_changed).or(said.as_ref().map(Written::as_bytes));
        if before == CallState::Searching && cx.call.is_requested() {
            return self.requested_party_answered(cx, branch, leg, sdp);
        }
        match self.bridge.agree(cx, leg, sdp) {
            Ok(_) if before == CallState::Rerouting && self.search.consults.holds_caller() => {
                cx.call.enter(before);
                let lower = &mut LowerParts::of(&mut self.bridge, &mut self.search, &mut self.recorders);
                warm::ask(cx, lower, &self.transfers, branch, leg).act(self, cx);
            }
            Ok(_) if before == CallState::Rerouting => {
                let whisper = self.program.whisper_of(branch);
                self.joined(cx, leg);
                in_program(self, cx, |program, cx, lower| program.side_joined(cx, lower, leg, whisper));
            }
            Ok(description) => {
                self.bridge.negotiation.owe_turned(cx.call, leg);
                let headers = cx.call.passing(cx.edge, headers, leg, LegId::CALLER);
                self.bridge.media.stop_player(cx);
                let whisper = self.program.whisper_of(branch);
                self.search.answer_caller(cx, &mut self.bridge, leg, description, headers).act(self, cx);
                in_program(self, cx, |program, cx, lower| program.side_joined(cx, lower, leg, whisper));
            }
            Err(failure) => {
                cx.call.enter(before);
                self.bridge.media.hang_up_leg(cx, leg, failure.reason);
                self.fail_target(cx, branch, TargetResult::Failed(failure));
            }
        }
    }

    fn requested_party_answered(&mut self, cx: &mut CallCx<'_>, branch: Branch, leg: LegId, sdp: Option<&[u8]>) {
        let Some(requested) = &mut self.requested else { return };
        let lower = &mut LowerParts::of(&mut self.bridge, &mut self.search, &mut self.recorders);
        match requested.party_answered(cx, lower, leg, sdp) {
            Ok(next) => next.act(self, cx),
            Err(failure) => self.fail_target(cx, branch, TargetResult::Failed(failure)),
        }
    }

    /// Handles a final non-2xx response to the INVITE of a target.
    fn rejected(
        &mut self,
        cx: &mut CallCx<'_>,
        leg: LegId,
        (said, q850, detail): (FailureResponse, Option<u8>, Option<String>),
        headers: &[(String, String)],
        contacts: &[String],
    ) {
        let Some(branch) = self.search.calling_on(cx.call, leg) else { return cx.call.legs.withdrawn(cx.edge, leg) };
        self.search.heard(cx, leg);
        cx.call.legs[leg].enter(LegState::Ended);
        let code = said.code;
        // A diagnosed cause is more precise than the reason phrase.
        let words = if detail.is_some() { code.to_string() } else { said.to_string() };
        let caller_id = self.search.attempt(branch).and_then(|attempt| attempt.caller_id.clone());
        let answers_others = cx.edge.trunks().answers_some(cx.now, cx.call.legs[leg].trunk_name());
        let said = FailureResponse { answers_others, ..said };
        cx.call.legs[leg].rejection = Some(Box::new(LegRejection { said: said.clone(), caller_id }));
        self.keep_headers(branch, headers);
        if self.asked_again_without_srtp(cx, branch, leg, code)
            || self.asked_again_without_location(cx, branch, leg, code)
        {
            return;
        }
        let goes_on = (300..400).contains(&code) && self.search.redirected(cx, branch, contacts);
        let Some(attempt) = self.search.attempt_mut(branch) else { return };
        let congestion = attempt.congestion(code, said.retry_after);
        let judgement = attempt.classify_response(code, q850, congestion.is_some());
        if let Some((congestion, trunk)) = congestion.zip(attempt.trunk.clone()) {
            cx.edge.trunk_congested(cx.now, &trunk, code, congestion.retry_after);
        }
        let location_error = cx.call.location_error(cx.edge, headers, leg);
        let why = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let problem = format!("{words} to INVITE from {}{why}", cx.edge.shown_name(&cx.call.legs[leg].peer));
        if !goes_on {
            cx.edge.trunks_mut().problem(cx.now, cx.call.legs[leg].trunk_name(), problem);
        }
        let with_words = |failure: TargetFailure| {
            let reason = if goes_on { ReasonSlug::Transferred } else { failure.reason };
            TargetFailure { location_error, reason, ..failure.said(said, detail) }
        };
        match judgement {
            FailureScope::Peer(failure) => self.fail_candidate(cx, branch, with_words(failure)),
            FailureScope::Target(result) => self.fail_target(cx, branch, result.map(with_words)),
        }
    }

    /// Keeps the headers of a dialled party's final response for the program's application.
    fn keep_headers(&mut self, branch: Branch, headers: &[(String, String)]) {
        if !self.search.is_consulting() {
            self.program.keep_headers(branch, headers);
        }
    }

    /// Handles an INVITE without a final response, or one that could not be sent.
    fn unanswered(&mut self, cx: &mut CallCx<'_>, leg: LegId, sent: bool) {
        let Some(branch) = self.search.calling_on(cx.call, leg) else { return cx.call.legs.withdrawn(cx.edge, leg) };
        cx.call.legs[leg].enter(LegState::Ended);
        if self.asked_again_by_udp(cx, branch, leg) {
            return;
        }
        cx.silent(leg, sent);
        let failure = why_unanswered(cx, leg, sent);
        self.fail_candidate(cx, branch, failure);
    }

    /// Handles the end of the wait for a first response, or for an address of the candidate's host.
    pub(crate) fn no_response(&mut self, cx: &mut CallCx<'_>, branch: Branch) {
        cx.call.deadlines.remove(CallTimer::NoResponse(branch));
        let Some(progress) = self.search.attempt(branch).map(|attempt| attempt.progress) else { return };
        if let Some(leg) = progress.calling() {
            if !gives_up(cx, branch, leg) || self.asked_again_by_udp(cx, branch, leg) {
                return;
            }
            let failure = why_silent(cx, leg);
            self.fail_candidate(cx, branch, failure);
        } else if let AttemptState::Resolving(query) = progress {
            cx.edge.index_mut().queries.remove(&query);
            self.name_failed(cx, branch, NameFault::Unanswered);
        }
    }

    /// Fails a candidate without an address for its host.
    fn name_failed(&mut self, cx: &mut CallCx<'_>, branch: Branch, fault: NameFault) {
        let (found, detail) = no_name(self.search.attempt(branch), fault);
        self.fail_candidate(cx, branch, TargetFailure { detail, ..TargetFailure::unreached(ReasonSlug::NameNotFound) });
        cx.call.story.fault = Some((ReasonSlug::NameNotFound, Box::new(found)));
    }

    /// Fails a target that sends BYE while it rings, which a called party must not do (RFC 3261 §15).
    fn left_while_ringing(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        let Some(branch) = self.search.calling_on(cx.call, leg) else { return };
        cx.withdraw(leg);
        let detail = Some("sent BYE before it answered".to_owned());
        let failure = TargetFailure { detail, ..TargetFailure::with_code(480, ReasonSlug::TargetRejected) };
        self.fail_target(cx, branch, TargetResult::Failed(failure));
    }

    /// Ends a target's ringing, or an agent's connection attempt, after its maximum time.
    pub(crate) fn ring_timeout(&mut self, cx: &mut CallCx<'_>, branch: Branch) {
        cx.call.deadlines.remove(CallTimer::Ring(branch));
        let Some(progress) = self.search.attempt(branch).map(|attempt| attempt.progress) else { return };
        let failure = if let Some(leg) = progress.calling() {
            cx.withdraw(leg);
            let failure = TargetFailure::with_code(480, ReasonSlug::RingTimeout);
            let is_requested = cx.call.is_requested() && cx.call.state == CallState::Searching;
            if cx.call.is_programmed || is_requested {
                // The time limit of a Dial applies to the party, not to each candidate.
                return self.fail_target(cx, branch, TargetResult::Refused(failure));
            }
            failure
        } else if let Some(leg) = progress.opening() {
            cx.agent_failed(leg, StreamLoss::ConnectTimeout);
            TargetFailure::unreached(ReasonSlug::AgentConnectTimeout)
        } else {
            return;
        };
        self.fail_target(cx, branch, TargetResult::Failed(failure));
    }

    /// Continues with the addresses of a host that has been resolved.
    fn resolved(&mut self, cx: &mut CallCx<'_>, query: QueryId, found: &Result<Vec<DestinationServer>, NameFault>) {
        cx.edge.index_mut().queries.remove(&query);
        let asks = |attempt: &Attempt| attempt.progress == AttemptState::Resolving(query);
        let Some(branch) = self.search.attempts.iter().find(|(_, attempt)| asks(attempt)).map(|(branch, _)| branch)
        else {
            return;
        };
        let Some(attempt) = self.search.attempts.get_mut(branch) else { return };
        let Some(way) = attempt.current.clone() else { return };
        let servers = found.as_deref().unwrap_or_default();
        attempt.resolved(&way, &cx.edge.random_mut().in_order(servers));
        if servers.is_empty() {
            return self.name_failed(cx, branch, found.as_ref().err().copied().unwrap_or(NameFault::NotFound));
        }
        cx.disarm(CallTimer::NoResponse(branch));
        self.search.leave_out(cx, branch);
        self.try_next_candidate(cx, branch);
    }

    /// Handles ports that could not be bound: draws others, and calls the target that was offered the old ones again.
    pub(crate) fn bind_failed(&mut self, cx: &mut CallCx<'_>, end: EndId, error: &str) {
        let Some(at) = cx.call.legs.leg_of(end) else { return };
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.warn(&sid, format!("media ports could not be bound: {error}"), Some(ReasonSlug::NoPorts));
        cx.edge.decide(cx.now, cx.call.key, format!("ports not bound: {error}"));
        cx.call.story.proof = Some((ReasonSlug::NoPorts, format!("ports not bound: {error}").into()));
        if at == cx.call.legs.near && cx.call.state != CallState::Searching {
            return self.end(cx, ReasonSlug::NoPorts);
        }
        if at == cx.call.legs.near {
            return self.bridge.media.redraw_caller(cx, end).act(self, cx);
        }
        let Some(branch) = self.search.calling_on(cx.call, at) else { return };
        cx.call.legs[at].end_with(ReasonSlug::NoPorts, EndedBy::Edge);
        cx.withdraw(at);
        self.bridge.media.drop_ends(cx, at);
        let Some(attempt) = self.search.attempts.get_mut(branch) else { return };
        attempt.bind_failures += 1;
        if attempt.bind_failures >= BIND_TRIES {
            let failure = TargetFailure::unreached(ReasonSlug::NoPorts);
            return self.fail_target(cx, branch, TargetResult::Failed(failure));
        }
        if let Some(way) = attempt.current.clone() {
            attempt.again(way);
        }
        self.try_next_candidate(cx, branch);
    }

    /// Notes the failure of a candidate, and tries the next one.
    fn fail_candidate(&mut self, cx: &mut CallCx<'_>, branch: Branch, failure: TargetFailure) {
        self.search.candidate_failed(cx, &mut self.bridge, branch, failure);
        self.try_next_candidate(cx, branch);
    }

    /// Gives up a whole target, and takes the controller's next step.
    pub(crate) fn fail_target(&mut self, cx: &mut CallCx<'_>, branch: Branch, result: TargetResult) {
        let attempt = self.search.attempt(branch);
        let (progress, failed_agent) =
            (attempt.map(|a| a.progress), attempt.and_then(|attempt| attempt.failed_agent(&result)));
        let (leg, name) = (attempt.and_then(Attempt::leg), attempt.map(|a| a.name().to_owned()).unwrap_or_default());
        self.bridge.negotiation.note_failure(cx, leg, &name, result.failure());
        let goes_on = self.search.controller.goes_on_after(&result);
        self.search.rate_trunk(cx, branch, result.failure(), goes_on);
        match progress {
            Some(AttemptState::Calling(leg) | AttemptState::Asking(leg)) => self.bridge.media.drop_ends(cx, leg),
            Some(AttemptState::Opening(leg)) => self.bridge.media.close_agent(cx, leg),
            Some(_) | None => {}
        }
        end_failed(&mut self.search, cx, branch, (failed_agent, result.failure()), goes_on);
        self.branch_over(cx, branch, result);
    }

    /// Retries over UDP an INVITE that was sent over TCP because of its length, if TCP was refused or brought no
    /// response. Returns whether a retry was sent.
    pub(crate) fn asked_again_by_udp(&mut self, cx: &mut CallCx<'_>, branch: Branch, leg: LegId) -> bool {
        let went = cx.call.legs[leg].flow.map(|flow| flow.transport);
        let Some(attempt) = self.search.attempts.get_mut(branch) else { return false };
        let chosen = |way: &Candidate| way.transport == Transport::Udp && went == Some(Transport::Tcp);
        let Some(way) = attempt.current.clone().filter(chosen) else { return false };
        cx.edge.decide(cx.now, cx.call.key, format!("{} does not support TCP: retrying over UDP", way.peer));
        attempt.again(Candidate { by_udp: true, ..way });
        cx.call.legs[leg].end_with(ReasonSlug::Unreachable, EndedBy::Edge);
        self.ask_again(cx, branch, leg);
        true
    }

    /// Retries a target that waits for a slot of its trunk, or gives it up after the maximum wait.
    pub(crate) fn try_again(&mut self, cx: &mut CallCx<'_>, branch: Branch) {
        let Some(AttemptState::Waiting { until, reason }) = self.search.attempt(branch).map(|attempt| attempt.progress)
        else {
            return;
        };
        cx.disarm(CallTimer::Pace(branch));
        let Some(trunk) = self.search.attempt(branch).and_then(|attempt| attempt.limited_by().cloned()) else { return };
        let Some(attempt) = self.search.attempt_mut(branch) else { return };
        match attempt.take_place(cx, branch) {
            Ok(()) => {
                cx.edge.decide(cx.now, cx.call.key, format!("{}: a slot is free", trunk.name));
                self.try_next_candidate(cx, branch);
            }
            Err((_, None)) if cx.now < until => self.search.wait_on(cx, branch, until),
            Err((other, which)) => {
                let reason = if which.is_some() { other } else { reason };
                refused_place(cx, &trunk, reason, which);
                self.fail_target(cx, branch, TargetResult::Failed(TargetFailure::unreached(reason).told()));
            }
        }
    }

    /// Ends the attempts at all targets but the last, after `search_timeout`.
    pub(crate) fn search_over(&mut self, cx: &mut CallCx<'_>) {
        cx.call.deadlines.remove(CallTimer::Search);
        if cx.call.state != CallState::Searching {
            return;
        }
        let line = self.search.attempts.values().find_map(|attempt| match attempt.progress {
            AttemptState::Queued { until, .. } => Some(until.saturating_duration_since(cx.now)),
            AttemptState::Idle | AttemptState::Waiting { .. } | AttemptState::Binding | AttemptState::Pausing => None,
            AttemptState::Resolving(_)
            | AttemptState::Calling(_)
            | AttemptState::Opening(_)
            | AttemptState::Asking(_) => None,
        });
        if let Some(wait) = line {
            return cx.arm(CallTimer::Search, wait + self.search.controller.search_timeout());
        }
        let Some(skipped) = self.search.controller.skip_to_last() else { return };
        let others = if skipped == 0 { String::new() } else { format!(", {skipped} left out") };
        let seconds = self.search.controller.search_timeout().as_secs_f64();
        cx.edge.decide(
            cx.now,
            cx.call.key,
            format!("search_timeout: {seconds} s have passed, trying the last target{others}"),
        );
        if let Some(tried) = &mut self.search.branch_results {
            tried.redirects = SmallMap::default();
        }
        let branches: Vec<Branch> = self.search.attempts.iter().map(|(branch, _)| branch).collect();
        for branch in branches {
            let reason = ReasonSlug::SearchTimeout;
            if let Some(leg) = self.search.attempt(branch).and_then(Attempt::leg) {
                cx.call.legs[leg].end_with(reason, EndedBy::Edge);
                if cx.call.legs[leg].agent.is_none() {
                    cx.withdraw(leg);
                }
            }
            self.fail_target(cx, branch, TargetResult::Failed(TargetFailure::with_code(480, reason)));
        }
    }

    /// Takes a caller out of an agent's queue: the agent may have a session, or the wait is over.
    pub(crate) fn next_in_line(&mut self, cx: &mut CallCx<'_>) {
        let Some(attempt) = self.search.alone() else { return };
        let (Some(agent), AttemptState::Queued { until, .. }) = (attempt.agent.clone(), attempt.progress) else {
            return;
        };
        cx.disarm(CallTimer::Queue);
        // The current configuration of the agent applies.
        let Some(agent) = cx.edge.table().agent(&agent.name).cloned() else {
            let detail = Some("removed from the configuration".to_owned());
            let failure = TargetFailure { detail, ..TargetFailure::unreached(ReasonSlug::AgentFull) };
            return self.leave_line(cx, failure);
        };
        if self.search.is_passed_over(cx.call, cx.now, cx.edge, &agent.name) {
            let detail = Some("skipped because of repeated failures".to_owned());
            let failure = TargetFailure { detail, ..TargetFailure::unreached(ReasonSlug::AgentSkipped) };
            return self.leave_line(cx, failure);
        }
        if cx.edge.agents_mut().turn(&agent.name, cx.call.key) {
            cx.edge.note_waiting();
            self.search.left_line(cx, "its turn");
            if let Some(attempt) = self.search.attempt_mut(Branch::ALONE) {
                attempt.agent = Some(agent);
                attempt.progress = AttemptState::Idle;
            }
            if let Err(failure) = self.search.begin_stream(cx, &mut self.bridge) {
                self.advance(cx, Some(TargetResult::Failed(failure)));
            }
        } else if cx.now >= until {
            self.leave_line(cx, TargetFailure::unreached(ReasonSlug::QueueTimeout));
        } else {
            cx.arm(CallTimer::Queue, until.saturating_duration_since(cx.now));
        }
    }

    fn leave_line(&mut self, cx: &mut CallCx<'_>, failure: TargetFailure) {
        self.search.left_line(cx, "leaves the queue");
        self.fail_target(cx, Branch::ALONE, TargetResult::Failed(failure));
    }
}

/// Returns whether the INVITE on `leg` has not left this machine because the TLS connection to its trunk is not up.
fn awaits_tls(cx: &CallCx<'_>, leg: LegId) -> bool {
    let side = &cx.call.legs[leg];
    let is_up = |flow: Flow| {
        let is_open = |id| cx.edge.index().identities.contains_key(&id);
        flow.connection.is_some_and(is_open) || cx.edge.index().is_connected(side.trunk_name(), flow.remote)
    };
    let over_tls = side.flow.filter(|flow| flow.transport == Transport::Tls && !side.trunk_name().is_empty());
    !side.sip.heard && over_tls.is_some_and(|flow| !is_up(flow))
}

/// Withdraws an INVITE without a timely response, unless it still waits for its TLS connection, for which the wait is
/// extended once. Returns whether the INVITE was withdrawn.
fn gives_up(cx: &mut CallCx<'_>, branch: Branch, leg: LegId) -> bool {
    let waits = awaits_tls(cx, leg) && !std::mem::replace(&mut cx.call.legs[leg].sip.awaits_tls, true);
    if waits {
        cx.arm(CallTimer::NoResponse(branch), TLS_GRACE);
    } else {
        cx.withdraw(leg);
    }
    !waits
}

/// Returns the failure of a target without a response or without a TLS connection in time, and records it for its
/// trunk.
fn why_silent(cx: &mut CallCx<'_>, leg: LegId) -> TargetFailure {
    if !awaits_tls(cx, leg) {
        cx.silent(leg, true);
        return TargetFailure::unreached(ReasonSlug::NoResponse);
    }
    let limit = cx.call.legs[leg].trunk.as_ref().map(|trunk| trunk.no_response_timeout).unwrap_or_default();
    let what = format!("connection not up within {} s", limit.as_secs_f64());
    cx.missed(leg, |_, _| format!("TLS failed: {what}"));
    tls_failed(cx, leg, &what)
}

/// Returns the failure of a target with a TLS error, and records it for its trunk.
fn tls_failed(cx: &mut CallCx<'_>, leg: LegId, what: &str) -> TargetFailure {
    let (sid, peer) = (cx.call.legs.sid().to_owned(), cx.call.legs[leg].peer.clone());
    let text = format!("TLS with {} failed: {what}", cx.edge.shown_name(&peer));
    cx.edge.trunks_mut().problem(cx.now, cx.call.legs[leg].trunk_name(), text.clone());
    cx.edge.warn(&sid, text, Some(ReasonSlug::TlsFailed));
    TargetFailure { detail: Some(format!("TLS failed: {what}")), ..TargetFailure::unreached(ReasonSlug::TlsFailed) }
}

/// Returns the reason why the INVITE on `leg` has no final response, and records it for the target.
fn why_unanswered(cx: &mut CallCx<'_>, leg: LegId, sent: bool) -> TargetFailure {
    let reason = match &cx.edge.turn().cause {
        _ if sent => ReasonSlug::NoResponse,
        Some(StreamFailure::Tls(what)) => {
            let what = what.clone();
            return tls_failed(cx, leg, &what);
        }
        Some(StreamFailure::Unsent(why)) => {
            let why = *why;
            cx.record_unsent_invite(leg, why);
            ReasonSlug::Unreachable
        }
        Some(StreamFailure::Stream(_)) | None => {
            let flow = cx.call.legs[leg].flow;
            let why = flow.map(|flow| cx.edge.why_unsent("INVITE", flow.transport, flow.remote));
            cx.call.legs[leg].sip.unsent = why.as_deref().map(Into::into);
            return TargetFailure { detail: why, ..TargetFailure::unreached(ReasonSlug::Unreachable) };
        }
    };
    TargetFailure::unreached(reason)
}

/// Returns the diagnosis of a candidate without an address for its host, and the DNS error in words.
fn no_name(attempt: Option<&Attempt>, fault: NameFault) -> (Diagnosis, Option<String>) {
    let trunk = attempt.and_then(|attempt| attempt.trunk.as_ref());
    let place = trunk.map(|trunk| format!("`peers` of [trunk.{}]", trunk.name));
    let peer = attempt.and_then(|attempt| attempt.current.as_ref()).map(|way| way.peer.to_string());
    let peer = peer.unwrap_or_default();
    let found = dns::diagnosis(fault, &peer, place.as_deref().unwrap_or("its URI"));
    (found, Some(dns::words(fault, host_of(&peer))))
}
