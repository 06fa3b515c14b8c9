//! Changes of an answered call (RFC 3261 §14, RFC 3264 §8): a re-INVITE of one leg is relayed to the other, and the
//! media changes once the answer is back. Session refreshes, UPDATE and INVITE with Replaces (RFC 3891) are handled
//! here too.

use bytes::Bytes;
use trunkgate_media::EndId;
use trunkgate_resources::limits::UPDATE_WAIT;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::index::{CallIdOwner, RequestPurpose};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_sdp::{MediaDirection, SessionDescription, accept, anchored_streams, relay_offer};
use trunkgate_sip::header::SessionExpires;
use trunkgate_sip::{ClientId, DialogId, ServerId};
use trunkgate_story::numbers::caller;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::session_timer::{SessionDue, SessionInterval, SessionTimerRequest};
use crate::call::legs::written::Written;
use crate::call::media::CallMedia;
use crate::call::media::wiring::HoldChange;
use crate::call::negotiation::Bridge;
use crate::call::negotiation::requests::{ReceivedOffer, takes_changes};
use crate::call::negotiation::ringing::RingingState;
use crate::call::shared::{CallCx, CallEffect};
use crate::call::words::answer::{FinalAnswer, TargetFailure, refuse_request, refused, seen_code};
use crate::call::words::incoming::IncomingInvite;
use crate::call::words::state::CallState;

/// Direction and method of an offer relayed from one leg to the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferRelay {
    /// Leg that made the offer.
    pub(crate) from: LegId,
    /// Leg that receives the offer.
    pub(crate) to: LegId,
    /// Open re-INVITE or UPDATE of `from`; `None` after its CANCEL, and for a re-INVITE of our own.
    pub(crate) server: Option<ServerId>,
    /// Method of our request: re-INVITE or UPDATE.
    pub(crate) by: RequestPurpose,
    /// True if the request restores the session of a side after a change that only this side has accepted.
    pub(crate) restores: bool,
}

/// Offer relayed from one leg to the other and not yet answered.
#[derive(Debug)]
pub(crate) struct Renegotiation {
    /// Direction and method.
    pub(crate) relay: OfferRelay,
    /// Our request to the leg that receives the offer.
    pub(crate) client: ClientId,
    /// Offer to relay.
    pub(crate) offer: SessionDescription,
    /// Number of media sections in the sender's offer. Further ones belong to the receiving leg's session.
    pub(crate) sections: usize,
    /// Leg that the offering leg replaces (RFC 3891).
    pub(crate) replaces: Option<LegId>,
    /// Media ends drawn for new streams.
    pub(crate) added: Vec<EndId>,
    /// True if the call cannot continue without this change, because the receiving leg got other ports.
    pub(crate) essential: bool,
    /// True if the ports of a new stream could not be bound.
    pub(crate) unbound: bool,
    /// Number of attempts of our own re-INVITE that ended in a glare.
    pub(crate) tries: u8,
}

impl Renegotiation {
    /// Gives up the replacement of a leg by another one: the session of the old leg is restored.
    fn give_up_replacing(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) {
        if let Some(by) = self.replaces.take() {
            let new = std::mem::replace(&mut self.relay.from, by);
            media.does_not_replace(cx, new);
        }
    }
}

impl Bridge {
    /// Handles a remote party's re-INVITE, with an offer or without.
    pub(crate) fn reinvited(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        leg: LegId,
        server: ServerId,
        (sdp, session): (Option<Bytes>, SessionTimerRequest),
        by: RequestPurpose,
    ) -> CallEffect {
        if cx.call.legs.refuse_outsider(cx.now, cx.edge, leg, server) {
            return CallEffect::Stay;
        }
        if cx.refused_as_too_short(server, session) {
            return CallEffect::Stay;
        }
        cx.call.legs[leg].timer.ask(session);
        // A ringing target was offered the caller's agreed session, which must not change meanwhile.
        let settled =
            (ringing.is_calling || cx.call.state == CallState::Leaving) && !cx.call.legs.is_refresh(leg, sdp.as_ref());
        if self.negotiation.is_unsettled() || settled {
            refuse_request(cx.now, cx.edge, server, 491);
            return CallEffect::Stay;
        }
        let Some(sdp) = sdp else {
            self.negotiation.offer_again(cx, leg, server);
            return CallEffect::Stay;
        };
        let Some(offer) = cx.call.legs.offer_in(cx.now, cx.edge, leg, server, &sdp) else { return CallEffect::Stay };
        if cx.call.is_local() || cx.call.state == CallState::Leaving {
            return self.reinvited_locally(cx, ringing, server, &offer);
        }
        let Some(other) = cx.call.legs.other(leg) else {
            refuse_request(cx.now, cx.edge, server, 500);
            return CallEffect::Stay;
        };
        let request = ReceivedOffer { leg, other, server, offer: &offer };
        if self.negotiation.rekeyed(cx, request)
            || self.held_here(cx, request)
            || self.negotiation.refreshed_here(cx, request)
            || self.changed_here(cx, request)
        {
            return CallEffect::Stay;
        }
        let way = OfferRelay { from: leg, to: other, server: Some(server), by, restores: false };
        self.negotiation.pass_on(cx, ringing, way, offer);
        CallEffect::Stay
    }

    /// Handles the other leg's final response to a relayed offer.
    pub(crate) fn reinvite_answered(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        client: ClientId,
        code: u16,
        (dialog, sdp): (Option<DialogId>, Option<Bytes>),
        session: Option<SessionExpires>,
    ) -> CallEffect {
        let accepted = (200..300).contains(&code);
        if let Some(dialog) = dialog.filter(|_| accepted) {
            cx.edge.ack(cx.now, dialog);
        }
        let Some(mut pending) = self.negotiation.renegotiation.take_if(|r| r.client == client) else {
            return CallEffect::Stay;
        };
        if !accepted && self.negotiation.asked_by_reinvite(cx, ringing, &mut pending, code) {
            return CallEffect::Stay;
        }
        cx.disarm(CallTimer::Update);
        if let Some(server) = pending.relay.server {
            cx.edge.index_mut().servers.remove(&server);
        }
        if accepted {
            if cx.call.state == CallState::Answered {
                cx.session_taken(pending.relay.to, session);
            }
            return self.reinvite_accepted(cx, ringing, *pending, sdp);
        }
        pending.give_up_replacing(cx, &mut self.media);
        if cx.call.state == CallState::Searching {
            return self.early_change_refused(cx, &pending, code);
        }
        cx.drop_added(&pending.added);
        if let Some(server) = pending.relay.server {
            refuse_request(cx.now, cx.edge, server, seen_code(code));
        }
        // The other leg has lost the dialog (RFC 3261 §12.2.1.2).
        if matches!(code, 408 | 481) {
            return CallEffect::End(ReasonSlug::Unreachable);
        }
        if pending.relay.server.is_none() && pending.relay.restores {
            return self.negotiation.pending_offer_refused(cx, &pending, code);
        }
        CallEffect::Stay
    }

    fn reinvite_accepted(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        mut pending: Renegotiation,
        sdp: Option<Bytes>,
    ) -> CallEffect {
        let way = pending.relay;
        let agreed = if pending.unbound {
            Err(TargetFailure::with_code(500, ReasonSlug::NoPorts))
        } else if way.server.is_some() || way.restores {
            self.reinvite_agreed(cx, &pending, sdp)
        } else {
            // The sender canceled while the other side accepted.
            Err(TargetFailure::unreached(ReasonSlug::CallerCanceled))
        };
        match (agreed, way.server) {
            (Ok((ours, next)), Some(server)) => {
                cx.answer_request(way.from, server, &ours);
                if let Some(by) = pending.replaces {
                    return self.replaced(cx, (way.from, by, way.to));
                }
                return next;
            }
            (Ok((_, next)), None) => return next,
            (Err(_), _) if pending.essential => return CallEffect::End(ReasonSlug::NoPorts),
            (Err(failure), server) => {
                pending.give_up_replacing(cx, &mut self.media);
                let way = pending.relay;
                cx.drop_added(&pending.added);
                if let Some(server) = server {
                    cx.edge.respond(cx.now, server, failure.answer().to_sip());
                }
                // Only one side has changed, so its session is restored, once.
                if !way.restores
                    && let Some(offer) = cx.call.legs[way.from].theirs()
                    && self
                        .negotiation
                        .relay(cx, ringing, OfferRelay { server: None, restores: true, ..way }, offer)
                        .is_err()
                {
                    cx.edge.decide(cx.now, cx.call.key, "the previous session could not be restored");
                }
            }
        }
        CallEffect::Stay
    }

    /// Applies the answer to a relayed offer, and returns our answer for the leg that made the offer.
    ///
    /// # Errors
    /// The answer is missing, invalid or does not fit the offer. Nothing has changed then.
    fn reinvite_agreed(
        &mut self,
        cx: &mut CallCx<'_>,
        pending: &Renegotiation,
        sdp: Option<Bytes>,
    ) -> Result<(SessionDescription, CallEffect), TargetFailure> {
        let OfferRelay { from, to, server, .. } = pending.relay;
        let missing = || TargetFailure::with_code(500, ReasonSlug::BadMedia);
        let answer = cx.read_answer(to, &sdp.ok_or_else(missing)?)?;
        let sent = cx.call.legs[to].sent().ok_or_else(missing)?;
        let ports = cx.call.legs[from].ports(&anchored_streams(&pending.offer));
        let policy = cx.call.legs[from].policy().policy_towards(cx.call.legs[to].policy());
        let mut agreed = accept(&pending.offer, &sent, &answer, &policy, &ports, &cx.call.legs[from].identity())
            .map_err(|refusal| TargetFailure::unusable(ReasonSlug::CodecMismatch, refusal))?;
        cx.call.legs[to].check_answer(&sent, &answer, agreed.streams.iter().map(|stream| stream.index))?;
        let relatch_to = cx.call.legs[to].take_theirs(&answer);
        cx.call.legs[to].sdp.ours = cx.call.legs[to].sdp.last_sent.clone();
        if server.is_none() {
            // The offer went to `to` alone.
            self.media.take_asked(cx, (from, to), relatch_to, &agreed.streams);
            return Ok((agreed.answer, CallEffect::Stay));
        }
        self.media.end_holds(cx);
        let mut offer = pending.offer.clone();
        offer.media.truncate(pending.sections);
        agreed.answer.media.truncate(pending.sections);
        let leg = &mut cx.call.legs[from];
        leg.protect_answer(cx.edge, &mut agreed.answer, &offer);
        let ours = leg.stamp(agreed.answer);
        leg.sdp.ours = leg.sdp.last_sent.clone();
        let relatch_from = leg.take_theirs(&offer);
        self.media.wire(cx, &agreed.streams, (from, relatch_from), (to, relatch_to));
        if cx.call.state == CallState::Searching {
            return Ok((ours, self.negotiation.changed_early(cx.call, (from, to), &pending.offer, &answer)));
        }
        cx.close_unused([from, to], &agreed.streams);
        Ok((ours, CallEffect::Stay))
    }

    /// Ends the call because the other leg no longer answers (RFC 3261 §12.2.1.2).
    pub(crate) fn reinvite_unanswered(&mut self, cx: &mut CallCx<'_>, client: ClientId) -> CallEffect {
        let Some(mut pending) = self.negotiation.renegotiation.take_if(|r| r.client == client) else {
            return CallEffect::Stay;
        };
        cx.disarm(CallTimer::Update);
        pending.give_up_replacing(cx, &mut self.media);
        if cx.call.state == CallState::Searching {
            return self.early_change_refused(cx, &pending, 408);
        }
        if let Some(server) = pending.relay.server {
            cx.edge.index_mut().servers.remove(&server);
            refuse_request(cx.now, cx.edge, server, 408);
        }
        CallEffect::End(ReasonSlug::Unreachable)
    }

    /// Handles a CANCEL in an answered call: of a re-INVITE, or one that crossed our 2xx.
    pub(crate) fn canceled_later(&mut self, cx: &mut CallCx<'_>, server: ServerId) -> CallEffect {
        match self.negotiation.renegotiation.take_if(|pending| pending.relay.server == Some(server)) {
            Some(mut pending) => {
                pending.relay.server = None;
                cx.edge.index_mut().servers.remove(&server);
                cx.edge.cancel(cx.now, pending.client);
                pending.give_up_replacing(cx, &mut self.media);
                self.negotiation.renegotiation = Some(pending);
            }
            None => return CallEffect::Canceled,
        }
        CallEffect::Stay
    }

    /// Answers an open re-INVITE or UPDATE of a remote party before its dialog ends (RFC 3261 §15.1.2).
    pub(crate) fn close_open_reinvite(&mut self, cx: &mut CallCx<'_>) {
        let Some(mut pending) = self.negotiation.renegotiation.take() else { return };
        if let Some(server) = pending.relay.server.take() {
            cx.edge.index_mut().servers.remove(&server);
            refuse_request(cx.now, cx.edge, server, 487);
        }
        pending.give_up_replacing(cx, &mut self.media);
        self.negotiation.renegotiation = Some(pending);
    }

    /// Answers an offer that holds or resumes, or a refresh during a hold that the edge handles. Returns whether it
    /// did.
    fn held_here(&mut self, cx: &mut CallCx<'_>, request: ReceivedOffer<'_>) -> bool {
        let Some((answer, streams)) = self.negotiation.as_agreed(cx.call, (request.leg, request.other), request.offer)
        else {
            return false;
        };
        let ReceivedOffer { leg, other, server, offer } = request;
        let Some(holds) = cx.call.local_hold_change(leg, other, offer, &streams) else { return false };
        let (answer, relatch) = cx.call.legs[leg].answer_again(cx.edge, offer, answer);
        self.media.take_hold(cx, HoldChange { leg, other, relatch, holds, offers: true }, &streams);
        cx.answer_request(leg, server, &answer);
        true
    }

    /// Answers a change of one side if the trunk of the other side has `reinvite = "local"`. The other side's session
    /// stays as it is, and audio is transcoded if necessary. Returns whether the request was answered.
    fn changed_here(&mut self, cx: &mut CallCx<'_>, request: ReceivedOffer<'_>) -> bool {
        let ReceivedOffer { leg, other, server, offer } = request;
        if takes_changes(&cx.call.legs[other]) {
            return false;
        }
        let (name, kept) = (cx.call.legs.name_of(leg), cx.call.legs.name_of(other));
        let Some(added) = cx.draw_missing(&[leg], offer) else {
            refuse_request(cx.now, cx.edge, server, 500);
            return true;
        };
        let Some((answer, streams)) = self.negotiation.as_kept(cx.call, (leg, other), offer) else {
            cx.drop_added(&added);
            let text = format!(
                "session change by {name} rejected: it does not fit the session of {kept}, which gets no re-INVITE"
            );
            cx.edge.decide(cx.now, cx.call.key, text);
            refuse_request(cx.now, cx.edge, server, 488);
            return true;
        };
        cx.edge.decide(
            cx.now,
            cx.call.key,
            format!("{name} changed its session; {kept} keeps its own and gets no re-INVITE"),
        );
        self.media.end_holds(cx);
        let (answer, relatch) = cx.call.legs[leg].answer_again(cx.edge, offer, answer);
        self.media.wire(cx, &streams, (leg, relatch), (other, false));
        // A stream that this side no longer has would end the call by its silence.
        cx.close_unused([leg, leg], &streams);
        cx.answer_request(leg, server, &answer);
        true
    }

    /// Refreshes sessions that are due and ends expired ones. Recording servers refresh their own sessions.
    pub(crate) fn sessions_due(&mut self, cx: &mut CallCx<'_>) -> CallEffect {
        cx.call.deadlines.remove(CallTimer::Session);
        for leg in cx.call.legs.ids() {
            let side = &mut cx.call.legs[leg];
            if side.state != LegState::Answered || side.records() {
                continue;
            }
            match side.timer.due(cx.now) {
                SessionDue::Nothing => {}
                SessionDue::Refresh => self.negotiation.refresh(cx, leg),
                SessionDue::Over(agreed) => return self.session_over(cx, leg, agreed),
            }
        }
        cx.arm_sessions();
        CallEffect::Stay
    }

    fn session_over(&mut self, cx: &mut CallCx<'_>, leg: LegId, agreed: SessionInterval) -> CallEffect {
        let (name, seconds) = (cx.call.legs.name_of(leg), agreed.seconds);
        let text = if agreed.ours {
            format!("{name} did not accept the edge's session refresh: its session of {seconds} s has expired")
        } else {
            format!("{name} did not refresh its session of {seconds} s")
        };
        cx.edge.decide(cx.now, cx.call.key, text.clone());
        self.session_lost(cx, leg, text)
    }

    /// Ends the call after the loss of a side; the leg of a party that has transferred its side is closed alone.
    fn session_lost(&mut self, cx: &mut CallCx<'_>, leg: LegId, proof: String) -> CallEffect {
        if cx.call.legs.is_side(leg) {
            cx.call.story.proof = Some((ReasonSlug::SessionExpired, proof.into()));
            return CallEffect::End(ReasonSlug::SessionExpired);
        }
        cx.call.legs[leg].end_with(ReasonSlug::SessionExpired, EndedBy::Edge);
        self.media.hang_up_leg(cx, leg, ReasonSlug::SessionExpired);
        cx.arm_sessions();
        CallEffect::OutsiderLeft(leg)
    }

    /// Handles the response to our refresh; `code` is `None` if none came.
    pub(crate) fn refresh_answered(
        &mut self,
        cx: &mut CallCx<'_>,
        (leg, client): (LegId, ClientId),
        code: Option<u16>,
        (dialog, sdp): (Option<DialogId>, Option<Bytes>),
        answered: Option<SessionExpires>,
    ) -> CallEffect {
        let is_taken = code.is_some_and(|code| (200..300).contains(&code));
        if let Some(dialog) = dialog.filter(|_| is_taken) {
            cx.edge.ack(cx.now, dialog);
        }
        let is_ours = cx.call.legs[leg].timer.refresh.take_if(|open| *open == client).is_some();
        if !is_ours || cx.call.state == CallState::Ended {
            return CallEffect::Stay;
        }
        match code {
            Some(_) if is_taken => {
                cx.session_taken(leg, answered);
                return self.take_refreshed(cx, leg, sdp);
            }
            // RFC 4028 §7.4.
            Some(408 | 481) | None => {
                let name = cx.call.legs.name_of(leg);
                let what = code.map_or_else(|| "did not answer".to_owned(), |code| format!("answered {code} to"));
                let text = format!("{name} {what} the edge's session refresh");
                cx.edge.decide(cx.now, cx.call.key, text.clone());
                return self.session_lost(cx, leg, text);
            }
            Some(405 | 501) if cx.call.legs[leg].sip.takes_update => {
                cx.call.legs[leg].sip.takes_update = false;
                self.negotiation.refresh(cx, leg);
                cx.arm_sessions();
            }
            Some(code) => cx.refresh_refused(leg, code),
        }
        CallEffect::Stay
    }

    /// Applies the description in the response to a refresh if it differs from the previous one.
    fn take_refreshed(&mut self, cx: &mut CallCx<'_>, leg: LegId, sdp: Option<Bytes>) -> CallEffect {
        let Some(sdp) = sdp.filter(|_| cx.call.legs.is_side(leg)) else { return CallEffect::Stay };
        let read = SessionDescription::parse(&sdp).ok().map(|description| Written::new(&description));
        let is_new = match (&read, &cx.call.legs[leg].sdp.theirs) {
            (Some(described), Some(before)) => before.has_other_origin(described),
            (None, _) | (_, None) => true,
        };
        if is_new { self.take_late_answer(cx, leg, Some(sdp), false) } else { CallEffect::Stay }
    }

    /// Handles a remote party's UPDATE, in an early dialog too.
    pub(crate) fn updated(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        leg: LegId,
        server: ServerId,
        (sdp, session): (Option<Bytes>, SessionTimerRequest),
    ) -> CallEffect {
        let talks = cx.call.legs.is_side(leg);
        match (sdp, cx.call.state) {
            (None, _) => cx.refreshed(leg, server, session),
            (Some(_), CallState::Ended) => refuse_request(cx.now, cx.edge, server, 481),
            (Some(sdp), CallState::Searching) => return self.offered_early(cx, ringing, leg, server, &sdp),
            (Some(_), CallState::Leaving) => refuse_request(cx.now, cx.edge, server, 491),
            (Some(_), CallState::Answered | CallState::Rerouting) if !talks => {
                refuse_request(cx.now, cx.edge, server, 491)
            }
            (sdp, CallState::Answered | CallState::Rerouting) => {
                let takes_it = cx.call.legs.other(leg).is_some_and(|other| cx.call.legs[other].sip.takes_update);
                let by = if takes_it { RequestPurpose::Update } else { RequestPurpose::Reinvite };
                let next = self.reinvited(cx, ringing, leg, server, (sdp, session), by);
                if by == RequestPurpose::Reinvite && self.negotiation.waits_for_change(server) {
                    cx.arm(CallTimer::Update, UPDATE_WAIT);
                }
                return next;
            }
        }
        CallEffect::Stay
    }

    /// Adds a new leg that replaces the leg `by` (RFC 3891).
    ///
    /// # Errors
    /// The final response that refuses the new INVITE; the leg `by` stays.
    pub(crate) fn replace(
        &mut self,
        cx: &mut CallCx<'_>,
        (ringing, has_room): (&RingingState, bool),
        by: LegId,
        incoming: &IncomingInvite,
    ) -> Result<CallEffect, Box<FinalAnswer>> {
        let IncomingInvite { server, trunk, request, .. } = incoming;
        let waits = self.negotiation.far_side_of(cx.call, by)?;
        let session = SessionTimerRequest::of(request);
        match () {
            () if request.max_forwards() == Some(0) => return refused(483, ReasonSlug::TooManyHops),
            () if session.is_too_short() => return refused(422, ReasonSlug::SessionTooShort),
            () if !has_room => return refused(503, ReasonSlug::LimitCalls),
            () => {}
        }
        let mut leg = Leg::of_caller(cx.edge, incoming);
        leg.timer.ask(session);
        leg.number = Some(Box::new(caller(request, cx.edge.numbers()).number));
        let offer = leg.offered(cx.edge, request).map_err(Box::new)?;
        // The new leg counts as a new call; in the same trunk it takes over the place of the replaced leg.
        let is_own = cx.call.legs[by].trunk_name() == &*trunk.name;
        let admitted = cx.edge.admission_mut().check_rate(cx.now, &trunk.name).and_then(|()| {
            if is_own {
                cx.edge.trunks_mut().count_request(cx.now, &trunk.name)?;
                cx.edge.resume_trunk_call(&trunk.name);
                return Ok(());
            }
            cx.edge.begin_trunk_call(cx.now, &trunk.name)
        });
        admitted.or_else(|reason| refused(503, reason))?;
        let at = cx.call.legs.place(cx.call.legs.next_id());
        let named = CallIdOwner { at, party: leg.party, trunk: leg.trunk.clone(), remote: incoming.flow.remote.ip() };
        cx.edge.index_mut().enter(leg.sip.call_id.as_bytes(), named);
        cx.edge.index_mut().servers.insert(*server, at);
        cx.call.legs.push(leg);
        cx.edge.trace_received(cx.now, at);
        cx.edge.trace_trying(cx.now, at, *server);
        let (new, old) = (cx.call.legs.name_of(at.leg), cx.call.legs.name_of(by));
        cx.edge.decide(cx.now, cx.call.key, format!("INVITE of {new} with Replaces for the leg of {old}"));
        let begun = match offer {
            Some(offer) if !takes_changes(&cx.call.legs[waits]) => {
                self.keep_in_place(cx, (at.leg, by, waits), incoming, &offer)
            }
            Some(offer) => self
                .negotiation
                .offer_in_place(cx, ringing, (at.leg, by, waits), incoming, offer)
                .map(|()| CallEffect::Stay),
            None => self.answer_in_place(cx, (at.leg, by, waits), incoming),
        };
        if begun.is_err() {
            cx.edge.index_mut().servers.remove(server);
            self.media.does_not_replace(cx, at.leg);
        }
        begun
    }

    /// Answers a new leg that made no offer with the description of the other side; its ACK brings the answer.
    ///
    /// # Errors
    /// The final response: the other side's session has no description or codec to offer (488), or no port is available
    /// (503).
    fn answer_in_place(
        &mut self,
        cx: &mut CallCx<'_>,
        (new, by, waits): (LegId, LegId, LegId),
        incoming: &IncomingInvite,
    ) -> Result<CallEffect, Box<FinalAnswer>> {
        let unusable = |refusal| Box::new(FinalAnswer::not_acceptable(ReasonSlug::CodecMismatch, refusal));
        let Some((offer, _)) = cx.call.legs.offer_of(waits) else { return refused(488, ReasonSlug::BadMedia) };
        let is_stale = cx.call.legs.is_stale(waits);
        if cx.draw_missing(&[new], &offer).is_none() {
            return refused(503, ReasonSlug::NoPorts);
        }
        let leg = &cx.call.legs[new];
        let policy = leg.policy().policy_towards(cx.call.legs[waits].policy());
        let ours = relay_offer(&offer, &policy, &leg.ports(&anchored_streams(&offer)), &leg.identity());
        let mut ours = ours.map_err(unusable)?;
        leg.protect_first(cx.edge, &mut ours, leg.late_form()).map_err(|failure| Box::new(failure.answer()))?;
        let ours = cx.call.legs[new].stamp(ours);
        self.negotiation.late = Some(new);
        cx.edge.index_mut().servers.remove(&incoming.server);
        cx.answer_request(new, incoming.server, &ours);
        let next = self.replaced(cx, (new, by, waits));
        if is_stale {
            self.negotiation.schedule_reinvite(waits, false);
        }
        Ok(next)
    }

    /// Answers the offer of a new leg with the description of the other side, which gets no re-INVITE.
    ///
    /// # Errors
    /// The final response: the offer does not fit the other side's session (488), or no port is available (503).
    fn keep_in_place(
        &mut self,
        cx: &mut CallCx<'_>,
        (new, by, waits): (LegId, LegId, LegId),
        incoming: &IncomingInvite,
        offer: &SessionDescription,
    ) -> Result<CallEffect, Box<FinalAnswer>> {
        if cx.draw_missing(&[new], offer).is_none() {
            return refused(503, ReasonSlug::NoPorts);
        }
        let Some((answer, streams)) = self.negotiation.as_kept(cx.call, (new, waits), offer) else {
            return refused(488, ReasonSlug::CodecMismatch);
        };
        self.media.end_holds(cx);
        let (answer, relatch) = cx.call.legs[new].answer_again(cx.edge, offer, answer);
        self.media.wire(cx, &streams, (new, relatch), (waits, false));
        cx.close_unused([new, new], &streams);
        cx.edge.index_mut().servers.remove(&incoming.server);
        cx.answer_request(new, incoming.server, &answer);
        Ok(self.replaced(cx, (new, by, waits)))
    }

    /// Puts an answered new leg in the place of the old one, which gets a BYE.
    pub(crate) fn replaced(&mut self, cx: &mut CallCx<'_>, (new, by, waits): (LegId, LegId, LegId)) -> CallEffect {
        cx.call.legs.leave_trunk(cx.edge, by);
        cx.call.legs[by].end_with(ReasonSlug::Transferred, EndedBy::Edge);
        self.media.take_side(cx, by, new, waits);
        self.negotiation.pending_offers.clear();
        let (name, old) = (cx.call.legs.name_of(new), cx.call.legs.name_of(by));
        cx.edge.decide(cx.now, cx.call.key, format!("{name} replaced {old}"));
        let (sid, name) = (cx.call.legs.sid().to_owned(), cx.edge.shown_name(&name));
        cx.edge.log(&sid, format!("continues with {name}: its INVITE replaces a leg"), None);
        self.media.hang_up_leg(cx, by, ReasonSlug::Transferred);
        if cx.call.legs[new].sip.dialog.is_none() {
            // The CANCEL of the new leg has been answered already.
            cx.call.legs[new].enter(LegState::Ended);
            return CallEffect::End(ReasonSlug::CallerCanceled);
        }
        CallEffect::Stay
    }
}

/// Accepts media again from a remote party that had put us on hold.
pub(crate) fn open_again(ours: &mut SessionDescription, theirs: &SessionDescription) {
    for (ours, theirs_at) in ours.media.iter_mut().zip(&theirs.media) {
        if !theirs.direction_of(theirs_at).receives() {
            ours.set_direction(MediaDirection::SendRecv);
        }
    }
}
