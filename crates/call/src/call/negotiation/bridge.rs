//! Agreement between two legs: offers and answers carried from one to the other, and the resulting media session.

use bytes::Bytes;
use trunkgate_media::EndId;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::BIND_TRIES;
use trunkgate_resources::lookups::index::RequestPurpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_sdp::{NegotiatedAnswer, SessionDescription, accept, anchored_streams, relay_offer};
use trunkgate_sip::{ExtraHeader, ServerId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::event::NegotiationEvent;
use crate::call::legs::leg::{LegState, StreamEnd};
use crate::call::media::wiring::{HoldChange, turned};
use crate::call::negotiation::Bridge;
use crate::call::negotiation::offers::EarlySession;
use crate::call::negotiation::reinvite::{OfferRelay, Renegotiation};
use crate::call::negotiation::requests::{ReceivedOffer, retry_later};
use crate::call::negotiation::ringing::{AudibleTarget, RingingState};
use crate::call::shared::{CallCx, CallEffect, SharedCallState};
use crate::call::words::answer::{FinalAnswer, TargetFailure, bad_media, refuse_request, seen_code};
use crate::call::words::state::CallState;

impl Bridge {
    /// Handles an event of the negotiation.
    pub(crate) fn handle(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        event: NegotiationEvent,
    ) -> CallEffect {
        use CallState::{Answered, Ended, Leaving, Rerouting, Searching};
        use NegotiationEvent as E;
        match (cx.call.state, event) {
            (Answered | Rerouting | Leaving, E::Acked { leg, sdp }) => return self.acked(cx, leg, sdp),
            (_, E::Pracked { leg, server: Some(server), sdp }) => {
                return self.offered_in_prack(cx, ringing, leg, server, sdp);
            }
            (Searching | Answered | Rerouting | Leaving, E::Pracked { leg, server: None, sdp }) => {
                return self.acknowledged_early(cx, leg, sdp);
            }
            (Searching, E::Reinvite { server, .. }) => refuse_request(cx.now, cx.edge, server, 491),
            (Answered | Rerouting | Leaving, E::Reinvite { leg, server, sdp, session }) => {
                return self.reinvited(cx, ringing, leg, server, (sdp, session), RequestPurpose::Reinvite);
            }
            (Searching | Answered | Rerouting | Leaving, E::Update { leg, server, sdp, session }) => {
                return self.updated(cx, ringing, leg, server, (sdp, session));
            }
            (Ended, E::Reinvite { server, .. } | E::Update { server, .. }) => {
                refuse_request(cx.now, cx.edge, server, 481);
            }
            (_, E::Info { leg, server, info }) => self.informed(cx, leg, server, *info),
            (_, E::InfoAnswered { client, code }) => return self.negotiation.info_answered(cx, client, code),
            (Searching | Answered, E::ReinviteAnswered { client, code, dialog, sdp, session }) => {
                return self.reinvite_answered(cx, ringing, client, code, (dialog, sdp), session);
            }
            (Rerouting | Leaving | Ended, E::ReinviteAnswered { code, dialog, .. }) => {
                if let Some(dialog) = dialog.filter(|_| (200..300).contains(&code)) {
                    cx.edge.ack(cx.now, dialog);
                }
            }
            (Searching | Answered, E::ReinviteUnanswered { client }) => return self.reinvite_unanswered(cx, client),
            (_, E::Refreshed { leg, client, code, dialog, sdp, session }) => {
                return self.refresh_answered(cx, (leg, client), code, (dialog, sdp), session);
            }
            (_, E::SessionTooShort { leg, least }) => cx.call.legs[leg].timer.lengthen(least),
            (_, E::HoldChecked { client, alive }) => return self.negotiation.hold_checked(cx, client, alive),
            (Searching | Ended, E::Acked { .. })
            | (Ended, E::Pracked { server: None, .. })
            | (Rerouting | Leaving | Ended, E::ReinviteUnanswered { .. }) => {}
        }
        CallEffect::Stay
    }

    /// Applies a callee's description from a 18x or 2xx: the answer to the caller's offer, or the base of our offer to
    /// a caller that made none. Returns our description for the caller.
    ///
    /// # Errors
    /// The description is missing, invalid, or has no usable codec or SRTP protection.
    pub(crate) fn agree(
        &mut self,
        cx: &mut CallCx<'_>,
        callee: LegId,
        sdp: Option<&[u8]>,
    ) -> Result<SessionDescription, TargetFailure> {
        let unusable = |refusal| TargetFailure::unusable(ReasonSlug::CodecMismatch, refusal);
        let theirs = match sdp {
            Some(sdp) => cx.read_answer(callee, sdp)?,
            None => return Err(bad_media("2xx without session description")),
        };
        let sent = cx.call.legs[callee].sent().ok_or_else(|| bad_media("no offer"))?;
        let Some(offer) = self.negotiation.offer.clone() else {
            if self.negotiation.has_been_offered() {
                return self.agree_as_told(cx, callee, &theirs);
            }
            let caller = cx.call.legs.near_leg();
            let ports = caller.ports(&anchored_streams(&theirs));
            let policy = caller.policy().policy_towards(cx.call.legs[callee].policy());
            let mut ours = relay_offer(&theirs, &policy, &ports, &caller.identity()).map_err(unusable)?;
            cx.call.legs[callee].check_answer(&sent, &theirs, anchored_streams(&theirs))?;
            caller.protect_first(cx.edge, &mut ours, caller.late_form())?;
            let ours = cx.call.legs.near_leg_mut().stamp(ours);
            let leg = &mut cx.call.legs[callee];
            leg.sdp.ours = leg.sdp.last_sent.clone();
            leg.take_theirs(&theirs);
            return Ok(ours);
        };
        let caller = cx.call.legs.near_leg();
        let ports = caller.ports(&anchored_streams(&offer));
        let policy = caller.policy().policy_towards(cx.call.legs[callee].policy());
        let mut agreed = accept(&offer, &sent, &theirs, &policy, &ports, &caller.identity()).map_err(unusable)?;
        cx.call.legs[callee].check_answer(&sent, &theirs, agreed.streams.iter().map(|stream| stream.index))?;
        // A caller that already has a session with the edge keeps it unchanged.
        if let Some(standing) = self.standing_description(cx.call) {
            agreed.answer = standing;
        } else if self.negotiation.has_been_answered() {
            agreed.answer = self.negotiation.answer_as_told(cx.call, &agreed.answer)?;
        } else {
            let caller = cx.call.legs.near_leg_mut();
            caller.protect_answer(cx.edge, &mut agreed.answer, &offer);
            agreed.answer = caller.stamp(agreed.answer);
            let told = std::mem::replace(&mut caller.sdp.ours, caller.sdp.last_sent.clone());
            // Some callers use only the first description in the responses to one INVITE (RFC 3261 §13.2.1).
            if cx.call.is_answered() && told.is_some_and(|told| !told.says_but_for_version(&agreed.answer)) {
                self.negotiation.schedule_reinvite(cx.call.legs.near, false);
            }
        }
        let leg = &mut cx.call.legs[callee];
        leg.sdp.ours = leg.sdp.last_sent.clone();
        let relatch = leg.take_theirs(&theirs);
        self.media.wire(cx, &agreed.streams, (cx.call.legs.near, false), (callee, relatch));
        if cx.call.is_answered() {
            cx.close_unused([cx.call.legs.near, callee], &agreed.streams);
        }
        Ok(agreed.answer)
    }

    /// Makes a leg the caller's other side. [`Bridge::answer_caller`] then sends the 2xx.
    pub(crate) fn take_callee(&mut self, cx: &mut CallCx<'_>, callee: LegId) {
        cx.call.legs.callee = Some(callee);
        cx.call.legs.answered_by = Some(callee);
        cx.call.legs.completed(cx.edge);
        self.media.limit_call(cx, callee);
        let is_late = self.negotiation.offer.take().is_none() && !self.negotiation.has_been_offered();
        if is_late {
            self.negotiation.late = Some(LegId::CALLER);
        }
    }

    /// Sends the 2xx to the caller, and logs the answer.
    pub(crate) fn answer_caller(
        &mut self,
        cx: &mut CallCx<'_>,
        callee: LegId,
        ours: SessionDescription,
        headers: Vec<ExtraHeader>,
    ) -> CallEffect {
        cx.trunk_answered(callee);
        let (name, after) = (cx.call.legs.name_of(callee), cx.call.age(cx.now).as_secs_f64());
        cx.edge.decide(cx.now, cx.call.key, format!("answered by {name} after {after:.1} s"));
        let line = format!("answered by {} after {after:.1} s", cx.edge.shown_name(&name));
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, line, None);
        self.negotiation.send_answer(cx, ours, headers)
    }

    /// Handles the ACK to our 2xx, which carries the answer if the 2xx carried an offer.
    pub(crate) fn acked(&mut self, cx: &mut CallCx<'_>, leg: LegId, sdp: Option<Bytes>) -> CallEffect {
        if let Some(server) = cx.call.legs[leg].sip.server.take() {
            cx.edge.index_mut().servers.remove(&server);
        }
        if self.negotiation.late != Some(leg) {
            return CallEffect::Stay;
        }
        let first = cx.call.legs[leg].sdp.theirs.is_none();
        self.negotiation.late = None;
        self.take_late_answer(cx, leg, sdp, first)
    }

    /// Applies a leg's answer to an offer that the edge made on its own. `first`: the answer brings the leg's first
    /// session, without which the call cannot continue.
    pub(crate) fn take_late_answer(
        &mut self,
        cx: &mut CallCx<'_>,
        leg: LegId,
        sdp: Option<Bytes>,
        first: bool,
    ) -> CallEffect {
        let result = match sdp {
            Some(sdp) if cx.call.is_local() || cx.call.state == CallState::Leaving => {
                self.late_answer_locally(cx, &sdp)
            }
            Some(sdp) => self.late_answer(cx, leg, cx.call.legs.other(leg), &sdp),
            None => Err(bad_media("no answer to our offer")),
        };
        match result {
            Ok(()) => match cx.call.state {
                CallState::Rerouting => return CallEffect::CallerSpoke { first, answer: None },
                CallState::Leaving => self.media.continue_goodbye(cx),
                CallState::Searching | CallState::Answered | CallState::Ended => {}
            },
            Err(failure) => {
                let text = failure.warning.map(|w| w.text).unwrap_or_default();
                cx.edge.decide(cx.now, cx.call.key, format!("late answer is unusable: {text}"));
                // A failed refresh leaves the session as it was.
                if first {
                    return CallEffect::End(failure.reason);
                }
            }
        }
        CallEffect::Stay
    }

    /// Applies a remote party's answer to our offer, which was derived from the description of `other`.
    ///
    /// # Errors
    /// The answer is invalid, does not fit our offer, or lacks SRTP protection.
    pub(crate) fn late_answer(
        &mut self,
        cx: &mut CallCx<'_>,
        leg: LegId,
        other: Option<LegId>,
        sdp: &[u8],
    ) -> Result<(), TargetFailure> {
        let missing = || bad_media("no offer");
        let other = other.ok_or_else(missing)?;
        let answer = cx.read_answer(leg, sdp)?;
        let offer = cx.call.standing(other).ok_or_else(missing)?;
        let sent = cx.call.legs[leg].sent().ok_or_else(missing)?;
        let ports = cx.call.legs[other].ports(&anchored_streams(&offer));
        let unusable = |refusal| TargetFailure::unusable(ReasonSlug::CodecMismatch, refusal);
        let side = &cx.call.legs[other];
        let policy = side.policy().policy_towards(cx.call.legs[leg].policy());
        let NegotiatedAnswer { streams, .. } =
            accept(&offer, &sent, &answer, &policy, &ports, &side.identity()).map_err(unusable)?;
        cx.call.legs[leg].check_answer(&sent, &answer, streams.iter().map(|stream| stream.index))?;
        let asks = cx.call.local_hold_change(leg, other, &answer, &streams);
        let leg_state = &mut cx.call.legs[leg];
        let before = leg_state.theirs();
        leg_state.sdp.ours = leg_state.sdp.last_sent.clone();
        let relatch = leg_state.take_theirs(&answer);
        if let Some(holds) = asks {
            self.media.take_hold(cx, HoldChange { leg, other, relatch, holds, offers: false }, &streams);
            return Ok(());
        }
        self.media.end_holds(cx);
        self.media.wire(cx, &streams, (other, false), (leg, relatch));
        // The other side was not part of this exchange: a changed direction needs a re-INVITE to it.
        if turned(before.as_ref(), &answer, &streams) {
            self.negotiation.schedule_reinvite(other, false);
        }
        Ok(())
    }

    /// Handles a remote party's offer before the answer to the caller's INVITE.
    pub(crate) fn offered_early(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        leg: LegId,
        server: ServerId,
        sdp: &[u8],
    ) -> CallEffect {
        let from_caller = leg == LegId::CALLER;
        let Some(other) = self.early_other(cx.call, ringing, cx.edge, leg, server) else {
            // 500 if the sender's own offer is still unanswered or no target can be asked; 491 if our offer to the
            // sender is unanswered (RFC 3311 §5.2).
            match from_caller && self.negotiation.early != EarlySession::Offer {
                true => retry_later(cx.now, cx.edge, server),
                false => refuse_request(cx.now, cx.edge, server, 491),
            };
            return CallEffect::Stay;
        };
        if self.negotiation.renegotiation.is_some() {
            refuse_request(cx.now, cx.edge, server, 491);
            return CallEffect::Stay;
        }
        let Some(offer) = cx.call.legs.offer_in(cx.now, cx.edge, leg, server, sdp) else { return CallEffect::Stay };
        let Some(other) = other else { return self.reinvited_locally(cx, ringing, server, &offer) };
        if !self.negotiation.takes_early_offer(cx.call, ringing, cx.edge, other) {
            return self.answer_early(cx, ReceivedOffer { leg, other, server, offer: &offer });
        }
        let way =
            OfferRelay { from: leg, to: other, server: Some(server), by: RequestPurpose::Update, restores: false };
        self.negotiation.pass_on(cx, ringing, way, offer);
        CallEffect::Stay
    }

    /// Returns the leg to which a further offer of `leg` is relayed: `Some(None)` if the edge answers it, `None` if
    /// `leg` may not offer yet.
    fn early_other(
        &self,
        call: &SharedCallState,
        ringing: &RingingState,
        edge: &Edge,
        leg: LegId,
        server: ServerId,
    ) -> Option<Option<LegId>> {
        if leg == LegId::CALLER {
            if matches!(self.negotiation.early, EarlySession::Nothing | EarlySession::Offer) {
                return None;
            }
            return if self.media.is_early(call) { Some(None) } else { Some(Some(ringing.audible?.leg)) };
        }
        let AudibleTarget { leg: callee, dialog, is_reliable } = ringing.audible?;
        let is_its = callee == leg && is_reliable && edge.endpoint().dialog_of(server) == Some(dialog);
        let has_said = self.negotiation.offer.is_some() || self.negotiation.early == EarlySession::Agreed;
        (is_its && has_said && !self.media.is_early(call)).then_some(Some(LegId::CALLER))
    }

    /// Answers an offer with the description that the other side has agreed on.
    fn answer_early(&mut self, cx: &mut CallCx<'_>, request: ReceivedOffer<'_>) -> CallEffect {
        let ReceivedOffer { leg, other, server, offer } = request;
        let Some((answer, streams)) = self.negotiation.as_agreed(cx.call, (request.leg, request.other), request.offer)
        else {
            let answer = FinalAnswer::new(488, ReasonSlug::CodecMismatch);
            cx.edge.respond(cx.now, server, answer.to_sip());
            return CallEffect::Stay;
        };
        let (answer, relatch) = cx.call.legs[leg].answer_again(cx.edge, offer, answer);
        self.media.wire(cx, &streams, (leg, relatch), (other, false));
        let next = if leg == LegId::CALLER {
            self.negotiation.offer = Some(offer.clone());
            self.negotiation.record_second_answer(cx.call);
            CallEffect::Stay
        } else {
            CallEffect::SaidAgain(Box::new(offer.clone()))
        };
        let name = cx.call.legs.name_of(leg);
        cx.edge.decide(
            cx.now,
            cx.call.key,
            format!("{name} offers again: answered by the edge, the other side is not ready"),
        );
        cx.answer_request(leg, server, &answer);
        next
    }

    /// Handles the refusal of an early offer by the other side. The edge answers the offer if only the method was
    /// refused.
    pub(crate) fn early_change_refused(
        &mut self,
        cx: &mut CallCx<'_>,
        pending: &Renegotiation,
        code: u16,
    ) -> CallEffect {
        cx.drop_added(&pending.added);
        let OfferRelay { from, to, server, .. } = pending.relay;
        cx.call.legs[to].sip.takes_update &= !matches!(code, 405 | 501);
        cx.call.legs[to].take_back();
        let Some(server) = server else { return CallEffect::Stay };
        cx.edge.index_mut().servers.remove(&server);
        match code {
            405 | 501 | 504 => {
                return self.answer_early(cx, ReceivedOffer { leg: from, other: to, server, offer: &pending.offer });
            }
            // The sender's own dialog is not lost, so 408 and 481 are not relayed.
            408 | 481 => refuse_request(cx.now, cx.edge, server, 500),
            _ => refuse_request(cx.now, cx.edge, server, seen_code(code)),
        }
        CallEffect::Stay
    }

    /// Handles a bind failure in an answered call: the remote party of the end sends to a dead address.
    pub(crate) fn bind_failed_later(&mut self, cx: &mut CallCx<'_>, end: EndId, error: &str) -> CallEffect {
        let joins = self.negotiation.join_unbound(end);
        let Some(at) = cx.call.legs.leg_of(end).filter(|_| !joins) else { return CallEffect::Stay };
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.warn(&sid, format!("media ports could not be bound: {error}"), Some(ReasonSlug::NoPorts));
        cx.edge.decide(cx.now, cx.call.key, format!("ports not bound: {error}"));
        cx.call.story.proof = Some((ReasonSlug::NoPorts, format!("ports not bound: {error}").into()));
        // For a stream that a re-INVITE adds, only the re-INVITE fails, once its answer arrives.
        if let Some(pending) = self.negotiation.renegotiation.as_mut().filter(|pending| pending.added.contains(&end)) {
            pending.unbound = true;
            return CallEffect::Stay;
        }
        if self.redraw_answered(cx, at, end).is_none() {
            return CallEffect::End(ReasonSlug::NoPorts);
        }
        CallEffect::Stay
    }

    /// Draws another port pair for an end; `None` if that cannot help, or after too many attempts.
    fn redraw_answered(&mut self, cx: &mut CallCx<'_>, at: LegId, end: EndId) -> Option<()> {
        self.media.bind_failures += 1;
        let has_another = cx.call.legs.other(at).is_some_and(|other| cx.call.legs[other].sdp.theirs.is_some());
        if cx.call.state != CallState::Answered || !has_another || self.media.bind_failures >= BIND_TRIES {
            return None;
        }
        let bind = cx.edge.addressing().media_bind_for(cx.call.legs[at].flow)?;
        let new = cx.edge.add_end(cx.call.session?, bind)?;
        let slot = cx.call.legs[at].ends.iter_mut().find(|slot| slot.end == end)?;
        *slot = StreamEnd::new(slot.index, new);
        self.media.wires.retain(|from, (to, _)| from != end && *to != end);
        self.negotiation.schedule_reinvite(at, true);
        Some(())
    }

    /// Handles the caller's PRACK, which carries the answer if the provisional response carried our offer.
    pub(crate) fn acknowledged_early(&mut self, cx: &mut CallCx<'_>, leg: LegId, sdp: Option<Bytes>) -> CallEffect {
        if leg != LegId::CALLER || self.negotiation.early != EarlySession::Offer {
            return CallEffect::Stay;
        }
        if cx.call.state != CallState::Searching {
            self.negotiation.early = EarlySession::Nothing;
            // The 2xx is already on its way, but not acknowledged.
            let server = cx.call.legs[LegId::CALLER].sip.server.take();
            let next = self.acked(cx, leg, sdp);
            cx.call.legs[LegId::CALLER].sip.server = server;
            return next;
        }
        self.negotiation.early = EarlySession::Agreed;
        self.negotiation.late = None;
        let rings = cx.call.legs.find(|leg| !leg.inbound && leg.state == LegState::Early);
        let result = match (sdp, rings) {
            (None, _) => Err(bad_media("PRACK without answer to our offer")),
            (Some(sdp), Some(other)) => self.late_answer(cx, LegId::CALLER, Some(other), &sdp),
            // The target of the offer is gone by now.
            (Some(sdp), None) => cx.read_answer(LegId::CALLER, &sdp).map(|answer| {
                let caller = &mut cx.call.legs[LegId::CALLER];
                caller.take_theirs(&answer);
                caller.sdp.ours = caller.sdp.last_sent.clone();
            }),
        };
        if let Err(failure) = result {
            let text = failure.warning.as_ref().map(|warning| warning.text.clone()).unwrap_or_default();
            cx.edge.decide(cx.now, cx.call.key, format!("unusable answer in PRACK: {text}"));
            return CallEffect::Refuse(Box::new(failure.answer()));
        }
        CallEffect::Stay
    }

    /// Handles a PRACK that carries another offer; refused with 488 once the call is answered.
    pub(crate) fn offered_in_prack(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        leg: LegId,
        server: ServerId,
        sdp: Option<Bytes>,
    ) -> CallEffect {
        match sdp {
            Some(sdp) if cx.call.state == CallState::Searching => self.offered_early(cx, ringing, leg, server, &sdp),
            Some(_) | None => {
                refuse_request(cx.now, cx.edge, server, 488);
                CallEffect::Stay
            }
        }
    }

    /// Applies a callee's description for a caller that already has our offer, and returns that offer unchanged.
    /// Schedules a re-INVITE to the caller if another target answered.
    ///
    /// # Errors
    /// No offer was sent to one of the sides, or the description lacks the required SRTP protection.
    pub(crate) fn agree_as_told(
        &mut self,
        cx: &mut CallCx<'_>,
        callee: LegId,
        theirs: &SessionDescription,
    ) -> Result<SessionDescription, TargetFailure> {
        let told = cx.call.legs[LegId::CALLER].sent().ok_or_else(|| bad_media("no offer"))?;
        let sent = cx.call.legs[callee].sent().ok_or_else(|| bad_media("no offer"))?;
        cx.call.legs[callee].check_answer(&sent, theirs, anchored_streams(theirs))?;
        let caller = &cx.call.legs[LegId::CALLER];
        let ports = caller.ports(&anchored_streams(theirs));
        let policy = caller.policy().policy_towards(cx.call.legs[callee].policy());
        let offered = relay_offer(theirs, &policy, &ports, &caller.identity()).ok();
        let plain = trunkgate_sdp::keying::unprotected(&told);
        let formats = |description: &SessionDescription| -> Vec<Vec<String>> {
            description.media.iter().map(|media| media.formats.clone()).collect()
        };
        let same = offered.as_ref().is_some_and(|offered| formats(offered) == formats(&plain));
        let leg = &mut cx.call.legs[callee];
        leg.sdp.ours = leg.sdp.last_sent.clone();
        let relatch = leg.take_theirs(theirs);
        let agreed = cx.call.legs[LegId::CALLER].theirs().and_then(|answer| {
            let ports = cx.call.legs[callee].ports(&anchored_streams(theirs));
            let side = &cx.call.legs[callee];
            let policy = side.policy().policy_towards(cx.call.legs[LegId::CALLER].policy());
            accept(theirs, &told, &answer, &policy, &ports, &side.identity()).ok()
        });
        if let Some(NegotiatedAnswer { streams, .. }) = agreed {
            self.media.wire(cx, &streams, (callee, relatch), (LegId::CALLER, false));
        }
        if !same && cx.call.state == CallState::Answered {
            self.negotiation.schedule_reinvite(LegId::CALLER, false);
        }
        Ok(told)
    }

    /// Connects the edge to a caller that has already answered our offer.
    ///
    /// # Errors
    /// The caller has not answered our offer yet, or its answer is unusable.
    pub(crate) fn speak_as_told(&mut self, cx: &mut CallCx<'_>) -> Result<SessionDescription, TargetFailure> {
        let missing = || bad_media("no answer to our offer yet");
        let caller = &cx.call.legs[LegId::CALLER];
        let (told, theirs) = caller.sent().zip(caller.theirs()).ok_or_else(missing)?;
        self.late_answer_locally(cx, &Bytes::from(theirs.to_string()))?;
        Ok(told)
    }

    /// Returns whether the search must wait for the ACK of a caller without an offer, because targets need its
    /// description.
    pub(crate) fn waits_for_ack(&self, call: &SharedCallState) -> bool {
        self.negotiation.late == Some(call.legs.near) && self.media.spoken.is_none()
    }
}
