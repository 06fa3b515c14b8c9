//! Offers and answers of one leg: the caller's first offer, our offers to called legs, answers in provisional
//! responses, and our own re-INVITEs.
//!
//! A description in a reliable provisional response (RFC 3262) is binding: our answer to the caller's offer, or our
//! offer if the INVITE had none. The 2xx does not change it; a later agreement with another target reaches the caller
//! by re-INVITE. Each leg uses reliable responses independently of the other.
//!
//! A side with an outdated description gets a re-INVITE with the other side's last description as soon as possible
//! ([`PendingOffer`]).

use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{GLARE_TRIES, PASSED_OVER};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::index::RequestPurpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::Trunk;
use trunkgate_sdp::{
    LocalOrigin, MediaDirection, SessionDescription, anchored_streams, answer_offer, codec_names, may_relay, offer_own,
    relay_offer,
};
use trunkgate_sip::{ExtraHeader, MessageBody, ResponseSpec, ServerId, SipMessage};
use trunkgate_story::change::{EdgeEvent, EdgeEventKind};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::{FailureResponse, agent_fix};

use crate::call::legs::glare::glare_wait;
use crate::call::legs::leg::{Leg, LegState, StreamEnd, policy};
use crate::call::legs::spoken::ANY_PORT;
use crate::call::legs::written::Written;
use crate::call::negotiation::CallNegotiation;
use crate::call::negotiation::reinvite::{OfferRelay, Renegotiation};
use crate::call::negotiation::requests::{retry_later, takes_changes};
use crate::call::negotiation::ringing::RingingState;
use crate::call::shared::story::PassedOverTarget;
use crate::call::shared::{CallCx, CallEffect, SharedCallState};
use crate::call::story::mismatch::{CodecSide, judge};
use crate::call::story::verdict::says_all;
use crate::call::words::answer::{FinalAnswer, TargetFailure, bad_media, unusable};
use crate::call::words::state::CallState;

impl CallNegotiation {
    /// Records the failure of a target, or of one of its candidates: on its leg if there is one, else in the call's
    /// story.
    pub(crate) fn note_failure(
        &mut self,
        cx: &mut CallCx<'_>,
        leg: Option<LegId>,
        name: &str,
        failure: &TargetFailure,
    ) {
        match leg {
            Some(leg) => cx.call.legs[leg].fail_with(failure.reason),
            None if cx.call.story.passed_over.len() < PASSED_OVER => {
                let (reason, legs) = (failure.reason, cx.call.legs.len());
                let failure = why_skipped(cx.edge, name).filter(|_| reason == ReasonSlug::AgentSkipped).map(Box::new);
                cx.call.story.passed_over.push(PassedOverTarget { name: name.into(), reason, legs, failure });
            }
            None => {}
        }
        self.note_mismatch(cx, (leg, name), failure);
        if says_all(failure.reason) && failure.detail.is_some() {
            cx.call.story.proof = Some((failure.reason, failure.told_of(name).into()));
        }
        // The loss of an agent has its own entry in the trace.
        if failure.loss.is_none() && !failure.is_told {
            cx.edge.decide(cx.now, cx.call.key, failure.told_of(name));
        }
        let line = failure.told_of(&cx.edge.shown_name(name));
        let sid = cx.call.legs.sid().to_owned();
        let change = cx.call.change_for(EdgeEventKind::CallFailedOver, &line, Some(failure.reason));
        let trunk = leg.map(|leg| cx.call.legs[leg].trunk_name().to_owned()).filter(|name| !name.is_empty());
        // A trunk is identified by its name, not by the address called.
        let target = trunk.clone().or_else(|| Some(cx.edge.shown_name(name)).filter(|name| !name.is_empty()));
        let is_rejected = matches!(failure.reason, ReasonSlug::TargetRejected | ReasonSlug::TrunkCongested);
        let code = failure.answered().filter(|_| is_rejected);
        let said = failure.said.as_deref().filter(|_| failure.reason == ReasonSlug::TargetRejected);
        let advice = said.and_then(FailureResponse::advice_beside_a_target).map(str::to_owned);
        let fix = cx.call.own_fix(failure.reason).or(advice);
        cx.call.story.failed_over = Some(Box::new((failure.reason, EdgeEvent { trunk, target, code, fix, ..change })));
        cx.edge.log(&sid, line, Some(failure.reason));
    }

    /// Sends the 2xx to the caller's INVITE.
    pub(crate) fn send_answer(
        &mut self,
        cx: &mut CallCx<'_>,
        ours: SessionDescription,
        headers: Vec<ExtraHeader>,
    ) -> CallEffect {
        let age = cx.call.age(cx.now);
        cx.call.times.answered = Some(cx.edge.date(cx.now));
        cx.forget_text();
        cx.disarm(CallTimer::Search);
        cx.begin_series();
        cx.edge.metrics_mut().call_setup_seconds.observe(age.as_secs_f64());
        cx.call.legs[LegId::CALLER].enter(LegState::Answered);
        cx.disarm(CallTimer::Unproven);
        cx.reconsider(LegId::CALLER);
        let session = cx.session_answer(LegId::CALLER);
        let answer = ResponseSpec {
            code: 200,
            // No body if our offer went out in a reliable provisional response, which its PRACK answers, nor after a
            // further offer and its answer (RFC 6337 §3).
            body: (!self.has_been_offered() && self.early != EarlySession::Changed)
                .then(|| MessageBody::sdp(ours.to_string())),
            contact_user: cx.call.contact_user(),
            headers: headers.into_iter().chain(session).collect(),
            ..ResponseSpec::default()
        };
        let caller = &mut cx.call.legs[LegId::CALLER];
        let Some(server) = caller.sip.server.take() else { return CallEffect::Stay };
        // From now on the caller may be sent another offer.
        if self.early != EarlySession::Offer {
            self.early = EarlySession::Nothing;
        }
        let dialog = cx.edge.respond(cx.now, server, answer);
        if cx.edge.endpoint().holds_back(server) {
            cx.call.legs[LegId::CALLER].sip.server = Some(server);
        } else {
            cx.edge.index_mut().servers.remove(&server);
        }
        match dialog {
            Some(dialog) => cx.call.legs.own_dialog(cx.edge, LegId::CALLER, dialog),
            // The caller's CANCEL has been answered already; its event follows.
            None => return CallEffect::Canceled,
        }
        cx.edge.changed(cx.call.change(EdgeEventKind::CallAnswered));
        CallEffect::Stay
    }

    /// Sends the caller a provisional response, and records the first one; does nothing after its final response.
    pub(crate) fn ring_caller(&mut self, cx: &mut CallCx<'_>, answer: ResponseSpec) {
        let server = cx.call.legs[LegId::CALLER].sip.server;
        let is_first = cx.call.times.first_ring.is_none();
        if server.is_none() && !cx.call.is_requested() {
            return;
        }
        if is_first {
            let delay = cx.call.age(cx.now);
            cx.call.times.first_ring = Some(delay);
            cx.edge.metrics_mut().post_dial_delay_seconds.observe(delay.as_secs_f64());
        }
        if let Some(server) = server {
            let answer = ResponseSpec { contact_user: cx.call.contact_user(), ..answer };
            self.send_provisional(cx, server, answer);
        }
        if is_first {
            cx.edge.changed(cx.call.change(EdgeEventKind::CallRinging));
        }
    }

    /// Returns whether a leg may get an offer before the answer: it supports UPDATE, and its first offer/answer
    /// exchange was completed reliably (RFC 3311 §5.1).
    pub(crate) fn takes_early_offer(
        &self,
        call: &SharedCallState,
        ringing: &RingingState,
        edge: &Edge,
        leg: LegId,
    ) -> bool {
        let is_settled = if leg == LegId::CALLER {
            let awaits = call.legs[LegId::CALLER].sip.server.is_none_or(|server| edge.endpoint().awaits_prack(server));
            !awaits && !matches!(self.early, EarlySession::Nothing | EarlySession::Offer)
        } else {
            ringing.audible.is_some_and(|heard| heard.is_reliable)
        };
        is_settled && call.legs[leg].sip.takes_update && takes_changes(&call.legs[leg])
    }

    /// Records that the caller has our answer to a further offer: no later response to its INVITE carries a
    /// description.
    pub(crate) fn record_second_answer(&mut self, call: &mut SharedCallState) {
        if call.state == CallState::Searching {
            self.early = EarlySession::Changed;
        }
    }

    /// Applies an offer/answer exchange that both sides have completed before the answer.
    pub(crate) fn changed_early(
        &mut self,
        call: &mut SharedCallState,
        (from, to): (LegId, LegId),
        offer: &SessionDescription,
        answer: &SessionDescription,
    ) -> CallEffect {
        if from == LegId::CALLER {
            self.offer = Some(offer.clone());
            self.record_second_answer(call);
            return CallEffect::SaidAgain(Box::new(answer.clone()));
        }
        if to == LegId::CALLER {
            // As for a caller without an offer: the caller has been sent our offer, and its answer is binding.
            self.offer = None;
            self.early = EarlySession::Agreed;
            return CallEffect::SaidAgain(Box::new(offer.clone()));
        }
        CallEffect::Stay
    }

    /// Cancels a change before the answer if its target is gone; the sender of the offer may retry.
    pub(crate) fn end_early_change(
        &mut self,
        cx: &mut CallCx<'_>,
        is_called: impl Fn(&SharedCallState, LegId) -> bool,
    ) {
        let goes_on = |pending: &Renegotiation| {
            let OfferRelay { from, to, .. } = pending.relay;
            is_called(cx.call, if from == LegId::CALLER { to } else { from })
        };
        if cx.call.state != CallState::Searching || self.renegotiation.as_deref().is_none_or(goes_on) {
            return;
        }
        let Some(pending) = self.renegotiation.take() else { return };
        let left: Vec<_> = pending.added.iter().copied().filter(|end| cx.call.legs.leg_of(*end).is_some()).collect();
        cx.drop_added(&left);
        cx.edge.index_mut().clients.remove(&pending.client);
        let OfferRelay { to, server, .. } = pending.relay;
        if to == LegId::CALLER {
            // The caller was offered a description of a target that is gone.
            cx.call.legs[LegId::CALLER].take_back();
            self.schedule_reinvite(LegId::CALLER, false);
        }
        if let Some(server) = server {
            cx.edge.index_mut().servers.remove(&server);
            retry_later(cx.now, cx.edge, server);
        }
    }

    /// Schedules a re-INVITE to an answered target if its stream directions differ from the caller's latest offer,
    /// because the target could not be asked earlier.
    pub(crate) fn owe_turned(&mut self, call: &mut SharedCallState, leg: LegId) {
        if self.early != EarlySession::Changed {
            return;
        }
        let Some((offer, sent)) = self.offer.as_ref().zip(call.legs[leg].sent()) else { return };
        let is_told = |at: usize| {
            let direction = |of: &SessionDescription| of.media.get(at).map(|media| of.direction_of(media));
            direction(offer) == direction(&sent)
        };
        let streams = anchored_streams(offer);
        if !streams.into_iter().all(is_told) {
            self.schedule_reinvite(leg, false);
        }
    }

    /// Checks that the edge itself could answer the caller's offer. Passes without an offer.
    ///
    /// # Errors
    /// The failure 488 if no offered codec can be transcoded.
    pub(crate) fn answerable(&self, call: &SharedCallState) -> Result<(), TargetFailure> {
        let Some(offer) = &self.offer else { return Ok(()) };
        let nowhere = LocalOrigin { session_id: 0, version: 0, ip: std::net::Ipv4Addr::LOCALHOST.into() };
        let policy = call.legs.own_policy();
        answer_offer(offer, &policy, ANY_PORT, &nowhere, MediaDirection::SendRecv).map(|_| ()).map_err(unusable)
    }

    /// Schedules a re-INVITE to a leg.
    pub(crate) fn schedule_reinvite(&mut self, leg: LegId, essential: bool) {
        match self.pending_offers.iter_mut().find(|owed| owed.leg == leg) {
            Some(owed) => owed.essential |= essential,
            None => self.pending_offers.push(PendingOffer { leg, essential, tries: 0 }),
        }
    }

    /// Sends the first scheduled re-INVITE once it is possible: after the leg's ACK, with no other change in progress,
    /// and after the wait that follows a glare.
    pub(crate) fn send_pending_offer(&mut self, cx: &mut CallCx<'_>, ringing: &RingingState) {
        let waits = self.is_unsettled() || cx.call.deadlines.contains(CallTimer::Glare);
        if cx.call.state != CallState::Answered || waits {
            return;
        }
        // A side that is sent no changes keeps its session, unless its ports had to be replaced.
        self.pending_offers.retain(|owed| owed.essential || takes_changes(&cx.call.legs[owed.leg]));
        let Some(owed) = self.pending_offers.first().copied() else { return };
        let Some(other) = cx.call.legs.other(owed.leg) else { return };
        let Some(offer) = cx.call.standing(other) else { return };
        let way = OfferRelay { from: other, to: owed.leg, server: None, by: RequestPurpose::Reinvite, restores: true };
        if self.relay(cx, ringing, way, offer).is_ok() {
            self.pending_offers.remove(0);
            if let Some(pending) = &mut self.renegotiation {
                (pending.essential, pending.tries) = (owed.essential, owed.tries);
            }
        }
    }

    /// Handles the refusal of our re-INVITE: after a glare it is retried, up to [`GLARE_TRIES`] attempts in all.
    pub(crate) fn pending_offer_refused(
        &mut self,
        cx: &mut CallCx<'_>,
        pending: &Renegotiation,
        code: u16,
    ) -> CallEffect {
        let tries = pending.tries.saturating_add(1);
        if code != 491 || tries >= GLARE_TRIES {
            if pending.essential {
                return CallEffect::End(ReasonSlug::NoPorts);
            }
            return CallEffect::Stay;
        }
        let wait = glare_wait(cx.edge, &cx.call.legs[pending.relay.to]);
        self.pending_offers.insert(0, PendingOffer { leg: pending.relay.to, essential: pending.essential, tries });
        cx.arm(CallTimer::Glare, wait);
        CallEffect::Stay
    }

    /// Returns whether the caller may get a description before its 2xx. A caller without an offer may get one only
    /// reliably (RFC 3261 §13.2.1), and only once.
    pub(crate) fn may_be_told(&self, call: &SharedCallState, ringing: &RingingState, edge: &Edge) -> bool {
        let reliably =
            || call.legs[LegId::CALLER].sip.server.is_some_and(|server| edge.endpoint().may_be_reliable(server));
        // The caller hears its agent or music, not the target that rings.
        if ringing.is_consulting || ringing.holds_caller {
            return false;
        }
        self.offer.is_some()
            || (self.early == EarlySession::Nothing && call.state == CallState::Searching && reliably())
    }

    /// Returns whether our offer was sent to the caller in a reliable provisional response.
    pub(crate) fn has_been_offered(&self) -> bool {
        matches!(self.early, EarlySession::Offer | EarlySession::Agreed)
    }

    /// Returns whether the caller has our binding answer to its offer.
    pub(crate) fn has_been_answered(&self) -> bool {
        matches!(self.early, EarlySession::Answer | EarlySession::Changed)
    }

    /// Sends the caller a provisional response, reliably if it carries a description and the caller supports that.
    /// After a binding description, further responses carry none.
    pub(crate) fn send_provisional(&mut self, cx: &mut CallCx<'_>, server: ServerId, mut answer: ResponseSpec) {
        if self.early != EarlySession::Nothing {
            answer.body = None;
        }
        answer.reliable = answer.body.is_some();
        let counts = answer.reliable && cx.edge.endpoint().may_be_reliable(server);
        let Some(dialog) = cx.edge.respond(cx.now, server, answer) else { return };
        cx.call.legs.own_dialog(cx.edge, LegId::CALLER, dialog);
        if counts && self.offer.is_some() {
            self.early = EarlySession::Answer;
        } else if counts {
            self.early = EarlySession::Offer;
            self.late = Some(LegId::CALLER);
        }
    }

    /// Returns the answer that the caller already has. Schedules a re-INVITE after the ACK if `answer` differs from it.
    ///
    /// # Errors
    /// The caller has no answer yet, or it cannot be parsed.
    pub(crate) fn answer_as_told(
        &mut self,
        call: &mut SharedCallState,
        answer: &SessionDescription,
    ) -> Result<SessionDescription, TargetFailure> {
        let told = call.legs[LegId::CALLER].sdp.ours.as_ref().ok_or_else(|| bad_media("no answer"))?;
        let same = told.says_but_for_version(answer);
        let told = told.read().ok_or_else(|| bad_media("no answer"))?;
        if !same && call.state == CallState::Answered {
            self.schedule_reinvite(LegId::CALLER, false);
        }
        Ok(told)
    }

    /// Returns the caller's offer, reduced to the formats and streams that our early answer accepted; `None` if the
    /// INVITE had no offer.
    pub(crate) fn offer_as_told(&self, call: &SharedCallState) -> Option<SessionDescription> {
        let mut offer = self.offer.clone()?;
        let told = call.legs[LegId::CALLER]
            .sdp
            .ours
            .as_ref()
            .filter(|_| self.has_been_answered())
            .and_then(|told| told.read());
        for (offered, told) in offer.media.iter_mut().zip(told.iter().flat_map(|told| &told.media)) {
            offered.formats.retain(|format| told.formats.contains(format));
            if told.port == 0 {
                offered.port = 0;
            }
        }
        Some(offer)
    }

    /// Checks that a target shares a codec with the caller's offer. Passes without an offer.
    ///
    /// # Errors
    /// The failure 488 if the target may use none of the offered codecs.
    pub(crate) fn connectable(&self, call: &SharedCallState, trunk: Option<&Trunk>) -> Result<(), TargetFailure> {
        let theirs = policy(trunk);
        let ours = call.legs.near_leg().policy();
        let unusable = |refusal| TargetFailure::unusable(ReasonSlug::CodecMismatch, refusal);
        self.offer.as_ref().map_or(Ok(()), |offer| may_relay(offer, &theirs.policy_towards(ours)).map_err(unusable))
    }

    /// Creates our offer to a leg, and closes the leg's media ends on failure.
    ///
    /// # Errors
    /// No port is available, or the leg may use no codec or no SRTP suite of the offer.
    pub(crate) fn offer_or_close(
        &self,
        cx: &mut CallCx<'_>,
        leg: &mut Leg,
        plain: bool,
    ) -> Result<MessageBody, TargetFailure> {
        let offered = self.offer_to(cx, leg, plain);
        if offered.is_err() {
            cx.close_ends(leg);
        }
        offered
    }

    /// Draws the media ends of a called leg and makes our offer to it. `plain` means that the leg has refused SRTP.
    ///
    /// # Errors
    /// No port is available, or the leg may use no codec or no SRTP suite of the offer. The ends drawn so far stay
    /// open.
    fn offer_to(&self, cx: &mut CallCx<'_>, leg: &mut Leg, plain: bool) -> Result<MessageBody, TargetFailure> {
        let no_ports = || TargetFailure::unreached(ReasonSlug::NoPorts);
        let media = cx.call.session.ok_or_else(no_ports)?;
        let bind = cx.edge.addressing().media_bind_for(leg.flow).ok_or_else(no_ports)?;
        let streams = self.offer.as_ref().map_or_else(|| vec![0], anchored_streams);
        leg.ends.reserve_exact(streams.len());
        for index in &streams {
            let end = cx.edge.add_end(media, bind).ok_or_else(no_ports)?;
            leg.ends.push(StreamEnd::new(*index, end));
        }
        let unusable = |refusal| TargetFailure::unusable(ReasonSlug::CodecMismatch, refusal);
        let ports = leg.ports(&streams);
        let mut description = match &self.offer {
            Some(offer) => {
                let policy = leg.policy().policy_towards(cx.call.legs.near_leg().policy());
                relay_offer(offer, &policy, &ports, &leg.identity()).map_err(unusable)?
            }
            None => {
                let policy = cx.call.legs.codecs_to_offer(leg.policy());
                offer_own(
                    &policy,
                    ports.first().copied().unwrap_or_default(),
                    &leg.identity(),
                    MediaDirection::SendRecv,
                )
            }
        };
        leg.protect_first(cx.edge, &mut description, leg.first_form(plain))?;
        Ok(MessageBody::sdp(leg.stamp(description).to_string()))
    }

    /// Reads the caller's offer, if its INVITE has one.
    ///
    /// # Errors
    /// The final response: the offer is invalid (400) or unusable (488).
    pub(crate) fn take_offer(&mut self, cx: &mut CallCx<'_>, request: &SipMessage) -> Result<(), FinalAnswer> {
        let Some(offer) = cx.call.legs[LegId::CALLER].offered(cx.edge, request)? else { return Ok(()) };
        if let Some(flow) = cx.call.legs[LegId::CALLER].flow {
            cx.call.legs[LegId::CALLER].sdp.face_media(cx.edge.addressing(), flow, &offer);
        }
        cx.call.legs[LegId::CALLER].sdp.theirs = Some(Written::new(&offer));
        self.offer = Some(offer);
        Ok(())
    }

    /// Opens the media session with the caller's ends, so that their ports are bound while a target rings.
    ///
    /// # Errors
    /// 503 if no address or port is available for media.
    pub(crate) fn open_media(&mut self, cx: &mut CallCx<'_>) -> Result<(), FinalAnswer> {
        let no_ports = || FinalAnswer::new(503, ReasonSlug::NoPorts);
        let bind = cx.edge.addressing().media_bind_for(cx.call.legs[LegId::CALLER].flow).ok_or_else(no_ports)?;
        let media = cx.edge.open_session(cx.call.key, None);
        cx.call.session = Some(media);
        let streams = self.offer.as_ref().map_or_else(|| vec![0], anchored_streams);
        cx.call.legs[LegId::CALLER].ends.reserve_exact(streams.len());
        for index in streams {
            let end = cx.edge.add_end(media, bind).ok_or_else(no_ports)?;
            cx.call.legs[LegId::CALLER].ends.push(StreamEnd::new(index, end));
        }
        Ok(())
    }

    /// Records a codec mismatch as cause of a target's failure: for the verdict, the flags and the trunk at fault.
    pub(crate) fn note_mismatch(
        &mut self,
        cx: &mut CallCx<'_>,
        (leg, name): (Option<LegId>, &str),
        failure: &TargetFailure,
    ) {
        let agent = leg.is_some_and(|leg| cx.call.legs[leg].agent.is_some()) || cx.edge.table().agent(name).is_some();
        let trunk = match leg {
            Some(leg) => cx.call.legs[leg].trunk.clone(),
            None => cx.edge.table().trunk(name).cloned(),
        };
        let near = cx.call.legs.near_leg();
        let offered = self.offer.as_ref().map(|offer| {
            let sections = anchored_streams(offer).into_iter().filter_map(|index| offer.media.get(index));
            let names = sections.map(codec_names).collect::<Vec<_>>().join(", ");
            names.split(", ").map(str::to_owned).collect()
        });
        let caller = CodecSide {
            name: cx.call.legs.name_of(cx.call.legs.near),
            trunk: near.trunk.clone(),
            offered,
            is_agent: near.agent.is_some(),
        };
        let target = CodecSide { name: name.to_owned(), trunk, offered: None, is_agent: agent };
        let Some((found, of_caller)) = judge(&caller, Some(&target), failure) else { return };
        let about = if of_caller { caller.trunk } else { target.trunk };
        if let Some(trunk) = about {
            cx.count_fault(&trunk.name, &found, true);
        }
        cx.call.story.fault = Some((failure.reason, Box::new(found)));
    }
}

/// Returns the last failure of an agent and the advice for it.
fn why_skipped(edge: &Edge, name: &str) -> Option<(String, String)> {
    let ((problem, loss), agent) = edge.agents().last_problem(name).zip(edge.table().agent(name))?;
    Some((problem.to_owned(), agent_fix::with_test(agent_fix::remedy_of(agent, loss, problem), name)))
}

/// Re-INVITE that the edge has yet to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PendingOffer {
    /// Leg that gets the re-INVITE.
    pub(crate) leg: LegId,
    /// True if the call cannot continue without the re-INVITE.
    pub(crate) essential: bool,
    /// Number of attempts that ended in a glare.
    pub(crate) tries: u8,
}

/// Offer/answer exchange in reliable responses before the caller's 2xx.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum EarlySession {
    /// No description was sent reliably.
    #[default]
    Nothing,
    /// Our answer to the caller's offer was sent.
    Answer,
    /// Our offer was sent; its PRACK brings the answer.
    Offer,
    /// Our offer was sent and answered.
    Agreed,
    /// Our answer to a further offer of the caller was sent.
    Changed,
}
