//! Attempts in progress: one alone, or several that ring simultaneously, each with its own deadlines and legs. Also
//! early media, and targets that ring while the caller talks to an agent (`consult`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkgate_resources::failures::unreached::UnreachedCall;
use trunkgate_resources::limits::{PARTIES_AT_ONCE, SILENT_SECONDS};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_resources::trunks::health::UnfitReason;
use trunkgate_resources::trunks::rejections::{FinalResponse, RejectionScope};
use trunkgate_route::{CallTarget, TargetSpec};
use trunkgate_sdp::SessionDescription;
use trunkgate_sip::{DialogId, ExtraHeader, MessageBody, ResponseSpec};
use trunkgate_story::diagnosis::{Diagnosis, FaultCause};
use trunkgate_story::few::SmallMap;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::said::TO_CREDENTIALS;

use crate::call::legs::leg::LegState;
use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::written::Written;
use crate::call::negotiation::Bridge;
use crate::call::negotiation::early::EARLY_DIALOG_TERMINATED;
use crate::call::negotiation::ringing::{AudibleTarget, RingingState};
use crate::call::search::Search;
use crate::call::search::attempt::{Attempt, AttemptState};
use crate::call::search::controller::{Controller, TargetResult};
use crate::call::search::redirect::{RedirectProgress, RedirectTarget, TargetRedirects};
use crate::call::search::unreached::loses_caller;
use crate::call::shared::{CallCx, CallEffect, SharedCallState};
use crate::call::story::mismatch::refuses_codecs;
use crate::call::story::verdict::SearchStatus;
use crate::call::words::answer::{FinalAnswer, TargetFailure, rank};
use crate::call::words::incoming::IncomingInvite;
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;
use crate::call::words::target;

/// Results and redirections of the current targets.
#[derive(Debug, Default)]
pub(crate) struct BranchResults {
    /// Results of targets that have failed while other targets still ring.
    pub(crate) over: Vec<TargetResult>,
    /// Redirections by 3xx responses.
    pub(crate) redirects: SmallMap<Branch, TargetRedirects>,
}

impl Search {
    /// Returns an attempt in progress.
    pub(crate) fn attempt(&self, branch: Branch) -> Option<&Attempt> {
        self.attempts.get(branch).map(|attempt| &**attempt)
    }

    /// Returns an attempt in progress for modification.
    pub(crate) fn attempt_mut(&mut self, branch: Branch) -> Option<&mut Attempt> {
        self.attempts.get_mut(branch).map(|attempt| &mut **attempt)
    }

    /// Returns the attempt that is made alone; `None` if there is none, or several targets ring at once.
    pub(crate) fn alone(&self) -> Option<&Attempt> {
        self.attempt(Branch::ALONE)
    }

    /// Returns the results of the current targets for modification.
    pub(crate) fn tried(&mut self) -> &mut BranchResults {
        self.branch_results.get_or_insert_default()
    }

    /// Returns the attempt that calls, opens or prompts its target on a leg.
    pub(crate) fn branch_of(&self, leg: LegId) -> Option<Branch> {
        self.attempts.iter().find(|(_, attempt)| attempt.leg() == Some(leg)).map(|(branch, _)| branch)
    }

    /// Returns the attempt with an INVITE in progress on a leg. `None` for an agent's leg and for a party that is being
    /// prompted.
    pub(crate) fn calling_on(&self, call: &SharedCallState, leg: LegId) -> Option<Branch> {
        let is_out = |branch: &Branch| self.attempt(*branch).is_some_and(|attempt| attempt.progress.asking().is_none());
        self.branch_of(leg).filter(is_out).filter(|_| call.legs[leg].agent.is_none())
    }

    /// Returns whether no other target rings, or has rung, at the same time as one that is over.
    pub(crate) fn is_last_ringing(&self) -> bool {
        self.attempts.is_empty() && self.branch_results.as_ref().is_none_or(|tried| tried.over.is_empty())
    }

    /// Returns whether an attempt has an INVITE in progress or is prompting its party.
    pub(crate) fn is_calling(&self) -> bool {
        let has_offer = |progress: AttemptState| progress.calling().or(progress.asking()).is_some();
        self.attempts.values().any(|attempt| has_offer(attempt.progress))
    }

    /// Removes an attempt, and returns its failure.
    pub(crate) fn end_attempt(&mut self, cx: &mut CallCx<'_>, branch: Branch) -> TargetFailure {
        cx.disarm(CallTimer::NoResponse(branch));
        cx.disarm(CallTimer::Ring(branch));
        cx.disarm(CallTimer::Retry);
        cx.disarm(CallTimer::Ports);
        let Some(attempt) = self.attempts.remove(branch) else {
            return TargetFailure::unreached(ReasonSlug::Internal);
        };
        if let AttemptState::Resolving(query) = attempt.progress {
            cx.edge.index_mut().queries.remove(&query);
        }
        attempt.leave_place(cx, branch);
        attempt.into_failure()
    }

    /// Withdraws every attempt; the controller gets no result.
    pub(crate) fn drop_attempts(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge, reason: ReasonSlug) {
        while let Some(branch) = self.attempts.first() {
            self.drop_attempt(cx, bridge, branch, reason);
        }
        self.branch_results = None;
        self.consults.end_warm(cx, &mut bridge.media);
    }

    /// Withdraws one attempt; the controller gets no result.
    pub(crate) fn drop_attempt(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        reason: ReasonSlug,
    ) {
        let Some(progress) = self.attempt(branch).map(|attempt| attempt.progress) else { return };
        self.rate_trunk(cx, branch, &TargetFailure::unreached(reason), true);
        match progress {
            AttemptState::Calling(leg) => {
                cx.call.legs[leg].end_with(reason, EndedBy::Edge);
                cx.withdraw(leg);
            }
            AttemptState::Opening(leg) => {
                cx.call.legs[leg].end_with(reason, EndedBy::Edge);
                bridge.media.close_agent(cx, leg);
            }
            AttemptState::Asking(leg) => {
                cx.call.legs[leg].end_with(reason, EndedBy::Edge);
                bridge.media.hang_up_leg(cx, leg, reason);
            }
            AttemptState::Queued { .. } => self.left_line(cx, "leaves the queue"),
            AttemptState::Idle | AttemptState::Waiting { .. } | AttemptState::Binding => {}
            AttemptState::Pausing | AttemptState::Resolving(_) => {}
        }
        self.end_attempt(cx, branch);
    }

    /// Rings several targets simultaneously.
    ///
    /// # Errors
    /// The result of the targets if none of them is being tried.
    pub(crate) fn ring_all(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        targets: Vec<CallTarget>,
    ) -> Result<CallEffect, TargetResult> {
        let names: Vec<String> = targets.iter().map(name).collect();
        cx.edge.decide(cx.now, cx.call.key, format!("rings simultaneously: {}", names.join(", ")));
        let mut alternatives = std::mem::take(&mut self.alternatives).into_iter();
        for (branch, target) in (0..).map(Branch::nth).zip(targets.into_iter().take(PARTIES_AT_ONCE)) {
            if let Some(further) = alternatives.next().filter(|further| !further.is_empty()) {
                let left = further.into_iter().map(|target| RedirectTarget::Target(Box::new(target))).collect();
                self.tried().redirects.insert(branch, TargetRedirects { left, ..TargetRedirects::default() });
            }
            let begun = match self.try_target(cx, bridge, branch, target) {
                Ok(next) => RedirectProgress::Under(next),
                Err(failed) => self.follow(cx, bridge, branch, failed),
            };
            match begun {
                RedirectProgress::Under(CallEffect::Stay) | RedirectProgress::Planned => {}
                RedirectProgress::Under(next) => return Ok(next),
                RedirectProgress::Over(failed) => self.tried().over.push(failed),
            }
        }
        if self.attempts.first().is_some() {
            return Ok(CallEffect::Stay);
        }
        Err(self.outcome().unwrap_or_else(|| TargetResult::Failed(TargetFailure::unreached(ReasonSlug::Unreachable))))
    }

    /// Returns the state of the search for the verdict on the call.
    pub(crate) fn status(&self) -> SearchStatus {
        let next = self.controller.left().find_map(|target| match target {
            TargetSpec::Trunk { name, .. } | TargetSpec::Agent(name) | TargetSpec::App(name) => Some(name),
            TargetSpec::Uri { .. } | TargetSpec::Play(_) | TargetSpec::Voicemail(_) => None,
            TargetSpec::Conference(_) | TargetSpec::Reject(_) | TargetSpec::RingAll(_) => None,
        });
        SearchStatus {
            is_consulting: self.is_consulting(),
            holds_caller: self.consults.holds_caller(),
            is_idle: self.attempts.is_empty(),
            legs: self.attempts.values().filter_map(|attempt| attempt.leg()).collect(),
            next,
        }
    }

    /// Returns the state of the search on which the negotiation depends.
    pub(crate) fn ringing(&self) -> RingingState {
        let heard = self.only_heard().and_then(|(attempt, leg)| {
            let (dialog, is_reliable) = attempt.early.only()?;
            Some(AudibleTarget { leg, dialog, is_reliable })
        });
        RingingState {
            audible: heard,
            is_calling: self.is_calling(),
            is_consulting: self.is_consulting(),
            holds_caller: self.consults.holds_caller(),
        }
    }

    /// Adds a new leg that replaces the leg `by`, if the call has room for it.
    ///
    /// # Errors
    /// The final response that refuses the new INVITE; 503 if the call has no room.
    pub(crate) fn replace(
        &self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        by: LegId,
        incoming: &IncomingInvite,
    ) -> Result<CallEffect, Box<FinalAnswer>> {
        let has_room = self.has_room_for_another(cx.call);
        bridge.replace(cx, (&self.ringing(), has_room), by, incoming)
    }

    /// Answers the caller with a target that has answered, and withdraws the other ringing targets.
    pub(crate) fn answer_caller(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        callee: LegId,
        ours: SessionDescription,
        headers: Vec<ExtraHeader>,
    ) -> CallEffect {
        self.won(cx, bridge, callee);
        bridge.take_callee(cx, callee);
        self.settle(cx.call, bridge);
        bridge.answer_caller(cx, callee, ours, headers)
    }

    /// Transfers an attempt's slot at its trunk to the call when the target on `leg` gets the caller. Other ringing
    /// targets are withdrawn.
    pub(crate) fn won(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge, leg: LegId) {
        if let Some(branch) = self.branch_of(leg) {
            cx.disarm(CallTimer::NoResponse(branch));
            cx.disarm(CallTimer::Ring(branch));
            self.attempts.remove(branch);
        }
        while let Some(branch) = self.attempts.first() {
            let lost = self.attempt(branch).and_then(Attempt::leg);
            if let Some(leg) = lost {
                cx.edge.decide(
                    cx.now,
                    cx.call.key,
                    format!("{} is canceled: answered elsewhere", cx.call.legs.name_of(leg)),
                );
            }
            let invite = lost.and_then(|leg| cx.call.legs[leg].sip.invite);
            if let Some(client) = invite {
                cx.edge.answered_elsewhere(client);
            }
            self.drop_attempt(cx, bridge, branch, ReasonSlug::AnsweredElsewhere);
            if let Some(leg) = lost {
                bridge.media.drop_ends(cx, leg);
            }
        }
        self.branch_results = None;
    }

    /// Withdraws all ringing targets and closes their media ends.
    pub(crate) fn withdraw_all(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge, reason: ReasonSlug) {
        let legs: Vec<LegId> = self.attempts.values().filter_map(|attempt| attempt.leg()).collect();
        self.drop_attempts(cx, bridge, reason);
        for leg in legs {
            bridge.media.drop_ends(cx, leg);
        }
    }

    /// Combines the results of targets that rang simultaneously: the best response counts, and the search continues if
    /// one of them allows it. The other failures are kept until the caller is answered.
    pub(crate) fn outcome(&mut self) -> Option<TargetResult> {
        let mut over = std::mem::take(&mut self.tried().over);
        let best = over.iter().enumerate().min_by_key(|(_, result)| rank(result.failure())).map(|(at, _)| at)?;
        let leads_on = over.iter().any(|result| matches!(result, TargetResult::Failed(_)));
        let is_busy = over.iter().any(|result| matches!(result, TargetResult::Busy(_)));
        let best = over.swap_remove(best);
        for other in over {
            self.controller.failed(other.into_failure());
        }
        Some(match best {
            best if is_global(&best) => best,
            best if leads_on => best.into_failed(),
            best if is_busy => TargetResult::Busy(best.into_failure()),
            best => best,
        })
    }

    /// Frees the state that only further attempts would need.
    pub(crate) fn settle(&mut self, call: &mut SharedCallState, bridge: &mut Bridge) {
        bridge.negotiation.offer = None;
        self.forwarded = None;
        if call.is_programmed {
            // The caller's identity is kept, because an application may dial further parties.
            self.controller = Controller::Done;
        } else if call.legs.iter().all(|leg| leg.agent.is_none()) {
            self.controller = Controller::Done;
            call.facts.identity.settle();
        }
        // Later listeners, and listeners restored after a restart, get the caller's headers.
        call.facts.headers.shrink_to_fit();
        call.legs.shrink_to_fit();
    }

    /// Handles a provisional response 101 to 199: relays it to the caller and connects its early media. Returns whether
    /// a target rings for a caller that has already been answered.
    pub(crate) fn provisional(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        leg: LegId,
        (code, dialog, sdp, is_reliable): (u16, Option<DialogId>, Option<Bytes>, bool),
        headers: &[(String, String)],
    ) -> bool {
        let Some(branch) = self.calling_on(cx.call, leg) else { return false };
        self.heard(cx, leg);
        if code == EARLY_DIALOG_TERMINATED {
            self.early_dialog_over(cx, bridge, branch, leg, dialog);
            return false;
        }
        if let Some(attempt) = self.attempt_mut(branch) {
            attempt.has_rung |= code > 100;
        }
        let answer = sdp.and_then(|sdp| self.early_media(cx, bridge, branch, leg, (dialog, &sdp, is_reliable)));
        let state = match (&answer, code) {
            (Some(_), _) => LegState::Early,
            (None, 180) => LegState::Ringing,
            (None, _) => LegState::Trying,
        };
        let is_told = self.is_told(cx.call, branch, answer.is_some());
        let told = if cx.call.state == CallState::Searching && is_told { vec![leg, LegId::CALLER] } else { vec![leg] };
        for at in told {
            let leg = &mut cx.call.legs[at];
            if leg.state != LegState::Early && state != LegState::Trying {
                leg.enter(state);
            }
        }
        let rings = (180..=183).contains(&code);
        let is_rerouting = rings && cx.call.state == CallState::Rerouting;
        // A caller that already hears the edge gets no ringing.
        if !is_told || !rings || bridge.media.is_early(cx.call) {
            return is_rerouting;
        }
        let body = answer.map(|d| MessageBody::sdp(d.to_string()));
        let headers = cx.call.passing(cx.edge, headers, leg, LegId::CALLER);
        bridge.negotiation.ring_caller(cx, ResponseSpec { code, body, headers, ..ResponseSpec::default() });
        is_rerouting
    }

    /// Returns whether a 18x is relayed to the caller. Of several ringing targets, that applies to the first one that
    /// rings, and to the one that the caller hears.
    fn is_told(&self, call: &SharedCallState, branch: Branch, has_media: bool) -> bool {
        let others = || self.attempts.iter().filter(|(other, _)| *other != branch).map(|(_, attempt)| attempt);
        if others().any(|attempt| attempt.early.is_heard) {
            return false;
        }
        let heard = has_media || self.attempt(branch).is_some_and(|attempt| attempt.early.is_heard);
        heard || others().next().is_none() || call.legs[LegId::CALLER].state == LegState::Trying
    }

    /// Stores an early dialog's description, and connects its media if the caller hears this dialog. Returns our
    /// description for the caller. `None` if the description is invalid or unchanged, or the caller does not hear this
    /// dialog.
    fn early_media(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        leg: LegId,
        (dialog, sdp, is_reliable): (Option<DialogId>, &Bytes, bool),
    ) -> Option<SessionDescription> {
        let theirs = cx.call.legs.read(cx.edge, leg, sdp).ok()?;
        let early = &mut self.attempt_mut(branch)?.early;
        if early.is_changed(dialog) {
            return None;
        }
        let is_newest = early.say(dialog, Written::new(&theirs), is_reliable);
        let other_is_heard = self.attempts.iter().any(|(other, attempt)| other != branch && attempt.early.is_heard);
        if !is_newest || other_is_heard || !bridge.negotiation.may_be_told(cx.call, &self.ringing(), cx.edge) {
            return None;
        }
        self.connect_early_media(cx, bridge, branch, leg, sdp)
    }

    /// Connects early media to the caller, and returns our description for the caller; `None` if the description cannot
    /// be used.
    fn connect_early_media(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        leg: LegId,
        sdp: &[u8],
    ) -> Option<SessionDescription> {
        let ours = bridge.agree(cx, leg, Some(sdp)).ok()?;
        self.attempt_mut(branch)?.early.is_heard = true;
        Some(ours)
    }

    /// Handles a 199 (RFC 6228 §4): removes the early dialog. The caller sees a single dialog, so the 199 is not
    /// relayed.
    fn early_dialog_over(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        branch: Branch,
        leg: LegId,
        dialog: Option<DialogId>,
    ) {
        let (Some(dialog), Some(attempt)) = (dialog, self.attempt_mut(branch)) else { return };
        if !attempt.early.end(dialog) || !attempt.early.is_heard {
            return;
        }
        attempt.early.is_heard = false;
        let next = attempt.early.newest();
        let heard = next.and_then(|said| self.connect_early_media(cx, bridge, branch, leg, said.as_bytes()));
        if heard.is_none() {
            self.hear_another(cx, bridge);
        }
    }

    /// Connects the early media of another ringing target after the target that the caller heard is gone.
    pub(crate) fn hear_another(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge) {
        if !bridge.negotiation.may_be_told(cx.call, &self.ringing(), cx.edge)
            || self.attempts.values().any(|attempt| attempt.early.is_heard)
        {
            return;
        }
        let has_media = |branch: Branch, search: &Search| {
            let attempt = search.attempt(branch)?;
            Some((branch, attempt.progress.calling()?, attempt.early.newest()?))
        };
        let ready: Vec<_> = self.attempts.iter().filter_map(|(branch, _)| has_media(branch, self)).collect();
        for (branch, leg, said) in ready {
            let Some(ours) = self.connect_early_media(cx, bridge, branch, leg, said.as_bytes()) else { continue };
            cx.call.legs[leg].enter(LegState::Early);
            if !bridge.media.is_early(cx.call) {
                let body = Some(MessageBody::sdp(ours.to_string()));
                bridge.negotiation.ring_caller(cx, ResponseSpec { code: 183, body, ..ResponseSpec::default() });
            }
            return;
        }
    }

    /// Returns the single ringing target with a single early dialog that the caller hears. `None` if several targets
    /// ring.
    pub(crate) fn only_heard(&self) -> Option<(&Attempt, LegId)> {
        let mut attempts = self.attempts.values();
        let attempt = attempts.next().filter(|attempt| attempt.early.only().is_some())?;
        Some((&**attempt, attempt.progress.calling()?)).filter(|_| attempts.next().is_none())
    }

    /// Stores a new description of the early dialog that the caller hears.
    pub(crate) fn said_again(&mut self, said: &SessionDescription) {
        if let Some(attempt) = self.attempts.first().and_then(|branch| self.attempt_mut(branch)) {
            attempt.early.change(Written::new(said));
        }
    }

    /// Counts the result of an attempt that ended without an answer for its trunk. `goes_on` means that another target
    /// is tried.
    pub(crate) fn rate_trunk(&self, cx: &mut CallCx<'_>, branch: Branch, failure: &TargetFailure, goes_on: bool) {
        let Some(attempt) = self.attempt(branch) else { return };
        if let (Some(trunk), Some(said)) = (&attempt.trunk, &failure.said)
            && let Some(how) = says_of_trunk(said.code, failure, attempt.has_rung)
        {
            let is_lost = loses_caller(self, cx.call, goes_on);
            let (sid, called) = (cx.call.legs.sid(), cx.call.facts.called.text.as_str());
            let fault = failure.detail.as_deref().filter(|_| matches!(said.code, 401 | 407));
            let fault = fault.or(said.is_of_the_account().then_some(TO_CREDENTIALS));
            let response = FinalResponse { sid, called, how, said, fault, is_lost };
            cx.edge.trunks_mut().responded(cx.now, &trunk.name, &response);
        }
        let Some(trunk) = attempt.trunk.as_ref().filter(|_| is_trunk_fault(cx.now, attempt, failure)) else { return };
        let caller = cx.call.facts.caller.known_number().unwrap_or_default();
        cx.edge.trunks_mut().record_trunk_failure(cx.now, &trunk.name, caller, &cx.call.facts.called.text);
        if failure.said.is_none() {
            let is_lost = loses_caller(self, cx.call, goes_on);
            let call =
                UnreachedCall { key: cx.call.key, sid: cx.call.legs.sid(), route: &cx.call.facts.route, is_lost };
            cx.edge.trunks_mut().unreached(cx.now, &trunk.name, call);
        }
    }

    /// Removes addresses that are down or in back-off (Retry-After), unless no other address is left.
    pub(crate) fn leave_out(&mut self, cx: &mut CallCx<'_>, branch: Branch) {
        let Some(attempt) = self.attempts.get_mut(branch) else { return };
        for (way, why) in attempt.leave_out(|trunk, way| cx.edge.health().unfit(cx.now, &way.spot(trunk)?)) {
            let why = match why {
                UnfitReason::Down => "it is down",
                UnfitReason::Resting => "it sent Retry-After",
            };
            cx.edge.decide(cx.now, cx.call.key, format!("{} left out: {why}", way.shown()));
        }
    }

    /// Records for the verdict that a trunk with phones only has no registered phone.
    pub(crate) fn look_for_phones(&self, cx: &mut CallCx<'_>, bridge: &mut Bridge, branch: Branch) {
        let Some(trunk) = self.attempt(branch).and_then(|attempt| attempt.trunk.as_ref()) else { return };
        if !trunk.is_of_phones() || !cx.edge.registrar().bindings(&trunk.name).is_empty() {
            return;
        }
        let name = trunk.name.clone();
        let found = Diagnosis {
            cause: FaultCause::NoPhone,
            text: format!("no phone is registered at {name}"),
            fix: format!("check user, password and server in the phone (`trunkgate status`, trunk {name})"),
        };
        cx.call.story.fault = Some((ReasonSlug::Unreachable, Box::new(found)));
        if !cx.call.story.without_phone.contains(&name) {
            cx.call.story.without_phone.push(name.clone());
        }
        bridge.negotiation.note_failure(cx, None, &name, &TargetFailure::unreached(ReasonSlug::Unreachable));
    }

    /// Returns whether a target is tried while an agent has the caller.
    pub(crate) fn is_consulting(&self) -> bool {
        self.consults.now.is_some()
    }

    /// Releases the agent that kept the caller until a target answered.
    pub(crate) fn leave_to(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge) {
        let (Some(consult), Some(agent)) = (self.consults.now.take(), cx.call.legs.callee.take()) else { return };
        cx.disarm(CallTimer::HoldCheck);
        cx.call.legs.agent_went_well(cx.edge, agent);
        cx.call.legs[agent].end_with(ReasonSlug::Transferred, consult.by);
        bridge.media.close_agent(cx, agent);
    }

    /// Leaves the caller with its agent after a failed consultation. Returns `false` if no consultation was in
    /// progress, or the target is to be tried again.
    pub(crate) fn stays(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge, failure: &TargetFailure) -> bool {
        // An agent that gets another stream has not failed yet.
        if self.retries.next > 0 {
            return false;
        }
        let (Some(consult), Some(agent)) = (self.consults.now.take(), cx.call.legs.callee) else { return false };
        let was_held = self.consults.end_warm(cx, &mut bridge.media);
        cx.call.enter(CallState::Answered);
        bridge.negotiation.offer = None;
        (self.branch_results, self.forwarded) = (None, None);
        cx.call.story.failed_over = None;
        let name = cx.call.legs.name_of(agent);
        let why = failure.reason.sentence();
        cx.edge.decide(cx.now, cx.call.key, format!("the transfer failed: {why}; the caller stays with {name}"));
        let line = format!("the transfer failed: {why}; the caller stays with {}", cx.edge.shown_name(&name));
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, line, Some(failure.reason));
        cx.report_transfer_failure(agent, &consult.target, failure.reason.as_str(), failure.answered());
        if was_held {
            bridge.talk_on(cx);
        }
        bridge.negotiation.watch_hold(cx);
        true
    }

    /// Continues a consultation after its agent has left; the caller waits for the ringing target. Returns whether a
    /// consultation was in progress.
    pub(crate) fn rings_on(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge) -> bool {
        if self.consults.now.take().is_none() || self.attempts.first().is_none() {
            return false;
        }
        cx.disarm(CallTimer::MaxCall);
        cx.edge.decide(cx.now, cx.call.key, "the transfer continues without the agent");
        self.ring_back(cx, bridge);
        self.hear_another(cx, bridge);
        true
    }

    /// Withdraws the target that rings while the caller talks to its agent.
    pub(crate) fn withdraw_consult(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge) {
        if self.consults.now.take().is_some() {
            cx.edge.decide(cx.now, cx.call.key, "the previous transfer is canceled");
            let was_held = self.consults.holds_caller();
            self.withdraw_all(cx, bridge, ReasonSlug::Transferred);
            if was_held {
                bridge.talk_on(cx);
            }
        }
    }

    /// Resolves the target of a transfer for the caller of an agent.
    ///
    /// # Errors
    /// The call has no room for another target, or the target is invalid, unknown or at a forbidden address.
    pub(crate) fn transfer_target(&self, cx: &mut CallCx<'_>, text: &str) -> Result<CallTarget, RequestRefusal> {
        // Without room, the caller would be lost together with its agent.
        if !self.has_room_for_another(cx.call) {
            return Err(RequestRefusal::TooManyTargets);
        }
        let target = target::target(text, cx.edge.numbers()).ok_or(RequestRefusal::BadTarget)?;
        if let TargetSpec::Uri { destination, .. } = &target
            && destination.literal().is_some_and(|server| server.sockets().any(|socket| cx.edge.is_forbidden(socket)))
        {
            return Err(RequestRefusal::ForbiddenAddress);
        }
        cx.edge.target(&target).ok_or(RequestRefusal::UnknownTarget)
    }

    /// Returns the agent that has the caller, and the agent that is being tried.
    pub(crate) fn sessions<'a>(&'a self, call: &'a SharedCallState) -> impl Iterator<Item = &'a Arc<str>> {
        let has_none =
            |attempt: &Attempt| matches!(attempt.progress, AttemptState::Queued { .. } | AttemptState::Binding);
        let tried = self.alone().filter(|attempt| !has_none(attempt));
        let tried = tried.and_then(|attempt| attempt.agent.as_ref()).map(|agent| &agent.name);
        let side = call.legs.callee.and_then(|leg| call.legs.get(leg)?.agent.as_ref());
        tried.into_iter().chain(side.map(|side| &side.agent.name).filter(|_| call.state != CallState::Ended))
    }

    /// Returns the targets at which the call of an agent continues after a restart.
    pub(crate) fn targets_left(&self, call: &SharedCallState) -> Vec<TargetSpec> {
        let agent = call.legs.callee.and_then(|leg| call.legs[leg].agent.as_ref());
        let agent = agent.map(|side| TargetSpec::Agent(side.agent.name.to_string()));
        let mut tried: Vec<TargetSpec> = self.attempts.values().map(|attempt| attempt.spec.clone()).collect();
        if self.is_consulting() {
            // The target of a consultation is dropped, because the agent's new stream does not know of it.
            tried.clear();
        } else if tried.len() > 1 {
            tried = vec![TargetSpec::RingAll(tried)];
        }
        agent.into_iter().chain(tried).chain(self.controller.left()).collect()
    }
}

/// Returns whether a target has refused on behalf of all endpoints of the called party (6xx).
pub(crate) fn is_global(result: &TargetResult) -> bool {
    result.failure().code.is_some_and(|code| (600..700).contains(&code))
}

/// Returns a target as it is written in a route.
pub(super) fn name(target: &CallTarget) -> String {
    match target {
        CallTarget::Trunk { trunk, number: Some(number), .. } => format!("{}/{number}", trunk.name),
        CallTarget::Trunk { trunk, number: None, .. } => trunk.name.to_string(),
        CallTarget::Uri { uri, .. } => uri.clone(),
        CallTarget::Agent(agent) => agent.name.to_string(),
        CallTarget::App(app) => app.name.to_string(),
        CallTarget::Reject(code) => code.to_string(),
        CallTarget::RingAll(targets) => targets.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

/// Status codes that depend on the called party or number: another trunk would give the same response. ITU-T
/// E.425 (network effectiveness ratio) counts user busy, ring no answer and terminal rejection as delivered. Codes that
/// a caller can provoke are included, so that it cannot turn calls away from a trunk.
const CALLED_PARTY: [u16; 32] = [
    400, 404, 406, 410, 413, 414, 415, 416, 420, 421, 428, 433, 436, 437, 438, 480, 482, 483, 484, 485, 486, 487, 488,
    493, 494, 513, 600, 603, 604, 606, 607, 608,
];

/// Classifies a final response as a rejection by the trunk; `None` for a redirection, which is followed.
fn says_of_trunk(code: u16, failure: &TargetFailure, has_rung: bool) -> Option<RejectionScope> {
    match code {
        300..=399 => None,
        // The response concerns one number, which may itself be wrong.
        404 | 484 => Some(RejectionScope::OfNumber),
        // A codec mismatch counts as a separate fault.
        488 | 606 if failure.detail.as_deref().is_some_and(refuses_codecs) => Some(RejectionScope::OfMedia),
        // Without ringing, a 408 means that the trunk did not reach the called party.
        408 if !has_rung => Some(RejectionScope::Always),
        code if code == 408 || CALLED_PARTY.contains(&code) => Some(RejectionScope::OfParty),
        _ => Some(RejectionScope::Always),
    }
}

/// Reasons other than a rejection for which a failure is the trunk's fault.
const LET_DOWN: [ReasonSlug; 5] = [
    ReasonSlug::NoResponse,
    ReasonSlug::Unreachable,
    ReasonSlug::TlsFailed,
    ReasonSlug::NameNotFound,
    ReasonSlug::CredentialsRefused,
];

/// Reasons of attempts that the edge or the caller ended without a final response of the target.
const GIVEN_UP: [ReasonSlug; 4] =
    [ReasonSlug::RingTimeout, ReasonSlug::SearchTimeout, ReasonSlug::CallerCanceled, ReasonSlug::AnsweredElsewhere];

/// Returns whether a failure is the fault of the trunk, not of the called party or of the edge.
pub(crate) fn is_trunk_fault(now: Instant, attempt: &Attempt, failure: &TargetFailure) -> bool {
    if failure.reason == ReasonSlug::TargetRejected {
        return failure.answered().or(failure.code).is_some_and(|code| code >= 400 && !CALLED_PARTY.contains(&code));
    }
    // A trunk that has not signalled ringing within this time has not delivered the call.
    let waited = attempt.called_at.map(|at| now.saturating_duration_since(at)).unwrap_or_default();
    let is_late = !attempt.has_rung && waited >= Duration::from_secs(SILENT_SECONDS);
    LET_DOWN.contains(&failure.reason) || (GIVEN_UP.contains(&failure.reason) && is_late)
}
