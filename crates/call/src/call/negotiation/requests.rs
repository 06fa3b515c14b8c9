//! In-dialog requests of an answered call: relayed re-INVITE and UPDATE, refreshes, INFO, OPTIONS probes to a held
//! side.
//!
//! - UPDATE (RFC 3311) without a description is answered at once. With a description it is an offer and handled like a
//!   re-INVITE; it is relayed as UPDATE if the other side supports that.
//! - INFO (RFC 6086 §4.2, RFC 2976) is relayed unchanged to the other leg, and so is its response. DTMF between sides
//!   with different DTMF modes is converted here (`crates/call/src/call/legs/digits.rs`). Info packages are not
//!   negotiated, so all of them are refused.
//! - A side that may be on hold can be silent without being gone. Such dialogs are probed with OPTIONS at the interval
//!   of the silence check: the caller of an agent, because an agent does not hang up as a person would, and both sides
//!   of a call without session timers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkgate_media::EndId;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{KEY_PAUSE, KEYS_TO_TELL, REFRESH_RETRY_SECONDS, UPDATE_WAIT};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::index::RequestPurpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_route::{DtmfMode, ReinviteMode};
use trunkgate_sdp::keying::{only_keys_differ, unprotected};
use trunkgate_sdp::{AgreedStream, SessionDescription, accept, anchored_streams, fitted, relay_offer};
use trunkgate_sip::{ClientId, MessageBody, ResponseSpec, ServerId};
use trunkgate_story::few::SmallMap;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::digits::{DigitQueue, LEAST_MS, RELAY, USUAL_MS};
use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::written::Written;
use crate::call::negotiation::CallNegotiation;
use crate::call::negotiation::reinvite::{OfferRelay, Renegotiation, open_again};
use crate::call::negotiation::ringing::RingingState;
use crate::call::shared::{CallCx, CallEffect, SharedCallState};
use crate::call::words::answer::{FinalAnswer, TargetFailure, refuse_request, seen_code};
use crate::call::words::incoming::IncomingInvite;
use crate::call::words::state::CallState;

/// Offer of one leg in an answered call, to be answered without asking the other leg.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceivedOffer<'o> {
    /// Leg that made the offer.
    pub(crate) leg: LegId,
    /// Leg on the other side.
    pub(crate) other: LegId,
    /// Request to answer.
    pub(crate) server: ServerId,
    /// Offer to answer.
    pub(crate) offer: &'o SessionDescription,
}

/// Returns whether changes of the other side are relayed to a leg; with `reinvite = "local"` the edge answers them.
pub(crate) fn takes_changes(leg: &Leg) -> bool {
    leg.trunk.as_ref().is_none_or(|trunk| trunk.reinvite == ReinviteMode::Relay)
}

/// Removes the formats from a side's offer that our answer to the offer does not have. Answers have no further formats.
fn keep_accepted(theirs: &mut SessionDescription, ours: &SessionDescription) {
    for (theirs, ours) in theirs.media.iter_mut().zip(&ours.media) {
        if ours.formats.iter().all(|format| theirs.formats.contains(format)) {
            theirs.formats.retain(|format| ours.formats.contains(format));
        }
    }
}

/// Answers an offer that fits the other side's session, and points the media of the offering leg.
fn answer_alone(
    cx: &mut CallCx<'_>,
    request: ReceivedOffer<'_>,
    (answer, streams): (SessionDescription, Vec<AgreedStream>),
) {
    let ReceivedOffer { leg, server, offer, .. } = request;
    let (answer, relatch) = cx.call.legs[leg].answer_again(cx.edge, offer, answer);
    for stream in &streams {
        if let Some(end) = cx.call.legs[leg].end(stream.index).map(|end| end.end) {
            cx.point((leg, end), &stream.offerer, relatch);
        }
    }
    cx.answer_request(leg, server, &answer);
}

impl CallNegotiation {
    /// Answers a re-INVITE that changes only SRTP keys without asking the other side. Returns whether it was such a
    /// re-INVITE.
    pub(crate) fn rekeyed(&self, cx: &mut CallCx<'_>, request: ReceivedOffer<'_>) -> bool {
        let before = cx.call.legs[request.leg].theirs();
        if !before.is_some_and(|before| only_keys_differ(&before, request.offer)) {
            return false;
        }
        let Some(agreed) = self.as_agreed(cx.call, (request.leg, request.other), request.offer) else { return false };
        answer_alone(cx, request, agreed);
        cx.edge.decide(cx.now, cx.call.key, format!("{} changed its keys", cx.call.legs.name_of(request.leg)));
        true
    }

    /// Answers a session refresh without asking the other side. Returns whether the offer was a refresh.
    pub(crate) fn refreshed_here(&self, cx: &mut CallCx<'_>, request: ReceivedOffer<'_>) -> bool {
        let ReceivedOffer { leg, other, offer, .. } = request;
        if !cx.call.legs[leg].sdp.theirs.as_ref().is_some_and(|theirs| theirs.says(offer)) {
            return false;
        }
        let as_before = |first: &AgreedStream| {
            let codecs = [first.codec.as_str(), first.codec_of_answerer()];
            codecs == [leg, other].map(|at| cx.call.legs[at].codec.as_str())
        };
        let agreed = self.as_agreed(cx.call, (request.leg, request.other), request.offer);
        let Some(agreed) = agreed.filter(|(_, streams)| streams.first().is_some_and(as_before)) else { return false };
        answer_alone(cx, request, agreed);
        true
    }

    /// Returns the answer to an offer from the other side's session, if the offer fits that session.
    pub(crate) fn as_agreed(
        &self,
        call: &SharedCallState,
        legs: (LegId, LegId),
        offer: &SessionDescription,
    ) -> Option<(SessionDescription, Vec<AgreedStream>)> {
        self.agreed_with(call, legs, offer, |_, theirs| theirs)
    }

    /// Returns the answer to any offer from the other side's session: streams that the other side lacks are refused,
    /// and codecs that it offered and we did not accept are not used. `None` if that session cannot be used for the
    /// offer.
    pub(crate) fn as_kept(
        &self,
        call: &SharedCallState,
        legs: (LegId, LegId),
        offer: &SessionDescription,
    ) -> Option<(SessionDescription, Vec<AgreedStream>)> {
        let ours = call.legs[legs.1].sdp.ours.as_ref().and_then(Written::read);
        self.agreed_with(call, legs, offer, |sent, mut theirs| {
            if let Some(ours) = &ours {
                keep_accepted(&mut theirs, ours);
            }
            fitted(sent, &theirs).unwrap_or(theirs)
        })
    }

    fn agreed_with(
        &self,
        call: &SharedCallState,
        (leg, other): (LegId, LegId),
        offer: &SessionDescription,
        fit: impl FnOnce(&SessionDescription, SessionDescription) -> SessionDescription,
    ) -> Option<(SessionDescription, Vec<AgreedStream>)> {
        // Before the answer, the caller's offer counts, reduced to the formats of our early answer.
        let offered = if other == LegId::CALLER { self.offer_as_told(call) } else { None };
        let theirs = unprotected(&offered.or_else(|| call.standing(other))?);
        let (leg, other) = (&call.legs[leg], &call.legs[other]);
        let streams = anchored_streams(offer);
        let policy = other.policy().policy_towards(leg.policy());
        let sent = relay_offer(offer, &policy, &other.ports(&streams), &other.identity()).ok()?;
        let theirs = fit(&sent, theirs);
        let policy = leg.policy().policy_towards(other.policy());
        let agreed = accept(offer, &sent, &theirs, &policy, &leg.ports(&streams), &leg.identity()).ok()?;
        Some((agreed.answer, agreed.streams))
    }

    /// Forwards a DTMF digit received in the media of one side to the other leg by INFO.
    pub(crate) fn key_pressed(&mut self, cx: &mut CallCx<'_>, end: EndId, (key, ms): (char, u32)) {
        let other = cx.call.legs.leg_of(end).and_then(|leg| cx.call.legs.other(leg));
        if let Some(other) = other.filter(|other| cx.call.legs[*other].dtmf() == DtmfMode::Info) {
            self.queue_info_digits(cx, other, std::iter::once((key, ms)));
        }
    }

    /// Queues DTMF digits to be sent to a leg by INFO.
    pub(crate) fn queue_info_digits(
        &mut self,
        cx: &mut CallCx<'_>,
        leg: LegId,
        keys: impl Iterator<Item = (char, u32)>,
    ) {
        if matches!(cx.call.state, CallState::Ended | CallState::Leaving) {
            return;
        }
        let out = self.keys.get_or_insert_default();
        let before = out.waiting.len();
        let mut left_out = 0;
        for (at, (key, ms)) in keys.enumerate() {
            if before + at < KEYS_TO_TELL {
                // Only the first packet of the event has arrived, so its duration is unknown.
                let ms = if ms == 0 { USUAL_MS.into() } else { ms.max(LEAST_MS) };
                out.waiting.push_back((leg, key, ms));
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            cx.edge.decide(
                cx.now,
                cx.call.key,
                format!("{left_out} DTMF digits dropped: too many are waiting for the response to an INFO"),
            );
        }
        self.tell_next_key(cx);
    }

    /// Sends the next DTMF digit once the pause after the last one is over.
    pub(crate) fn key_due(&mut self, cx: &mut CallCx<'_>) {
        cx.call.deadlines.remove(CallTimer::Key);
        self.tell_next_key(cx);
    }

    fn tell_next_key(&mut self, cx: &mut CallCx<'_>) {
        while !cx.call.deadlines.contains(CallTimer::Key)
            && let Some((leg, key, ms)) =
                self.keys.as_mut().filter(|keys| keys.now.is_none()).and_then(|keys| keys.waiting.pop_front())
        {
            let Some(dialog) = cx.call.legs[leg].sip.dialog.filter(|_| cx.call.legs[leg].state == LegState::Answered)
            else {
                continue;
            };
            let text = format!("Signal={key}\r\nDuration={ms}\r\n");
            let body = MessageBody { content_type: RELAY.to_owned(), bytes: Bytes::from(text) };
            let client =
                cx.edge.request(cx.now, cx.call.legs.place(leg), dialog, RequestPurpose::Info, Vec::new(), Some(body));
            if let Some(keys) = &mut self.keys {
                keys.now = client.map(|client| (client, leg));
            }
            if client.is_some() {
                // A long digit has already been pressed for most of its duration.
                let lasts = Duration::from_millis(ms.min(USUAL_MS.into()).into());
                cx.arm(CallTimer::Key, lasts + KEY_PAUSE);
            }
        }
        let is_pressing = |keys: &DigitQueue| keys.pressed.is_some_and(|pressed| pressed > cx.now);
        self.keys.take_if(|keys| keys.now.is_none() && keys.waiting.is_empty() && !is_pressing(keys));
    }

    /// Handles the final response to an INFO with a DTMF digit, or its absence (408). Returns whether `client` was such
    /// an INFO.
    pub(crate) fn key_answered(&mut self, cx: &mut CallCx<'_>, client: ClientId, code: u16) -> bool {
        let sent = self.keys.as_mut().and_then(|keys| keys.now.take_if(|(asked, _)| *asked == client));
        let Some((_, leg)) = sent else { return false };
        if code >= 300 {
            let text = format!("{} rejects DTMF by INFO ({code})", cx.call.legs.name_of(leg));
            cx.edge.decide(cx.now, cx.call.key, text);
        }
        self.tell_next_key(cx);
        true
    }

    /// Discards the DTMF digits of a call that is over.
    pub(crate) fn forget_keys(&mut self, cx: &mut CallCx<'_>) {
        cx.disarm(CallTimer::Key);
        if let Some((client, _)) = self.keys.take().and_then(|keys| keys.now) {
            cx.edge.index_mut().clients.remove(&client);
        }
    }

    /// Starts or stops the OPTIONS probes to a side that may be on hold, after a change of the media and periodically.
    pub(crate) fn watch_hold(&mut self, cx: &mut CallCx<'_>) {
        if cx.call.is_watched() {
            cx.disarm(CallTimer::HoldCheck);
        } else if self.hold_check.is_none() && !cx.call.deadlines.contains(CallTimer::HoldCheck) {
            let interval = cx.edge.config().idle_timeout;
            cx.arm(CallTimer::HoldCheck, interval);
        }
    }

    /// Sends OPTIONS to the held sides if nothing else would show that they are gone, and schedules the next probe.
    pub(crate) fn check_hold(&mut self, cx: &mut CallCx<'_>) {
        cx.call.deadlines.remove(CallTimer::HoldCheck);
        if cx.call.is_watched() {
            return;
        }
        let asked: Vec<LegId> =
            if cx.call.is_local() { vec![cx.call.legs.near] } else { cx.call.legs.talking().collect() };
        let ask = |leg: LegId| {
            let dialog = cx.call.legs[leg].sip.dialog?;
            cx.edge.request(cx.now, cx.call.legs.place(leg), dialog, RequestPurpose::HoldCheck, Vec::new(), None)
        };
        let asked: Vec<ClientId> = asked.into_iter().filter_map(ask).collect();
        self.hold_check = (!asked.is_empty()).then(|| Box::new(HoldCheck { asked, is_alive: false }));
        self.watch_hold(cx);
    }

    /// Handles the result of an OPTIONS probe; the call ends if no probed side has answered (RFC 3261 §12.2.1.2).
    pub(crate) fn hold_checked(&mut self, cx: &mut CallCx<'_>, client: ClientId, is_alive: bool) -> CallEffect {
        let Some(check) = &mut self.hold_check else { return CallEffect::Stay };
        check.asked.retain(|asked| *asked != client);
        check.is_alive |= is_alive;
        let Some(check) = self.hold_check.take_if(|check| check.asked.is_empty()) else { return CallEffect::Stay };
        if cx.call.state != CallState::Answered {
            return CallEffect::Stay;
        }
        if check.is_alive {
            self.watch_hold(cx);
        } else if !cx.call.is_watched() {
            let gone =
                if cx.call.is_local() { "the caller on hold is" } else { "both sides, one of them on hold, are" };
            cx.edge.decide(cx.now, cx.call.key, format!("{gone} no longer reachable"));
            return CallEffect::End(ReasonSlug::DialogLost);
        }
        CallEffect::Stay
    }

    /// Relays the response to a relayed INFO; `code` is 408 if none came.
    pub(crate) fn info_answered(&mut self, cx: &mut CallCx<'_>, client: ClientId, code: u16) -> CallEffect {
        if let Some(server) = self.infos.remove(client) {
            let seen = if (200..300).contains(&code) { 200 } else { seen_code(code) };
            cx.edge.respond(cx.now, server, ResponseSpec { code: seen, ..ResponseSpec::default() });
        } else if !self.key_answered(cx, client, code) {
            return CallEffect::Stay;
        }
        // The remote party has lost the dialog (RFC 3261 §12.2.1.2).
        if matches!(code, 408 | 481) && cx.call.state == CallState::Answered {
            return CallEffect::End(ReasonSlug::Unreachable);
        }
        CallEffect::Stay
    }

    /// Refuses open INFO requests of a call that is over; later responses match no call.
    pub(crate) fn refuse_infos(&mut self, cx: &mut CallCx<'_>) {
        self.forget_keys(cx);
        terminate_open(cx.now, cx.edge, &mut self.infos);
    }

    /// Refreshes the session of a leg by UPDATE without a description, or by re-INVITE with our unchanged description
    /// and version (RFC 4028 §7.4) if the remote party does not support UPDATE.
    pub(crate) fn refresh(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        let client = self.ask_to_refresh(cx, leg);
        let timer = &mut cx.call.legs[leg].timer;
        timer.refresh = client;
        if let Some(agreed) = &mut timer.agreed {
            // Retried later: another request in the dialog is pending, and may itself be a refresh.
            let again = cx.now + Duration::from_secs(REFRESH_RETRY_SECONDS);
            agreed.refresh = client.is_none().then_some(again);
        }
    }

    fn ask_to_refresh(&mut self, cx: &mut CallCx<'_>, leg: LegId) -> Option<ClientId> {
        if self.late == Some(leg) || self.is_leaving(leg) {
            return None;
        }
        if self.renegotiation.as_ref().is_some_and(|r| r.relay.to == leg || r.relay.from == leg) {
            return None;
        }
        let at = cx.call.legs.place(leg);
        let side = &mut cx.call.legs[leg];
        let (dialog, headers) = (side.sip.dialog?, side.session_headers());
        if side.sip.takes_update {
            return cx.edge.request(cx.now, at, dialog, RequestPurpose::RefreshByUpdate, headers, None);
        }
        let ours = side.sdp.ours.as_ref().and_then(Written::read)?;
        let body = MessageBody::sdp(side.stamp(ours).to_string());
        cx.edge.request(cx.now, at, dialog, RequestPurpose::Refresh, headers, Some(body))
    }

    /// Relays the offer of a request to the other leg, or refuses the request.
    pub(crate) fn pass_on(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        way: OfferRelay,
        offer: SessionDescription,
    ) {
        let Some(server) = way.server else { return };
        match self.relay(cx, ringing, way, offer) {
            Ok(()) => {
                cx.edge.index_mut().servers.insert(server, cx.call.legs.place(way.from));
            }
            Err(answer) => {
                cx.edge.respond(cx.now, server, answer.to_sip());
            }
        }
    }

    /// Answers a re-INVITE without an offer with our own description (RFC 3261 §14.2); its ACK brings the answer. The
    /// offer ends a hold by this party: many phones resume that way.
    pub(crate) fn offer_again(&mut self, cx: &mut CallCx<'_>, leg: LegId, server: ServerId) {
        let Some(mut ours) = cx.call.legs[leg].sdp.ours.as_ref().and_then(Written::read) else {
            return refuse_request(cx.now, cx.edge, server, 500);
        };
        if let Some(theirs) = cx.call.legs[leg].theirs() {
            open_again(&mut ours, &theirs);
        }
        let ours = cx.call.legs[leg].stamp(ours);
        self.late = Some(leg);
        cx.answer_request(leg, server, &ours);
    }

    /// Sends one leg's offer to the other leg.
    ///
    /// # Errors
    /// The final response for the sender of the offer: no port is available, the other leg may not use the offer, or
    /// its dialog cannot send a request now.
    pub(crate) fn relay(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        way: OfferRelay,
        mut offer: SessionDescription,
    ) -> Result<(), Box<FinalAnswer>> {
        let OfferRelay { from, to, by, .. } = way;
        let failed = |code, reason| Box::new(FinalAnswer::new(code, reason));
        let sections = offer.media.len();
        cx.call.legs[to].keep_sections(&mut offer);
        let added = cx.draw_missing(&[from, to], &offer).ok_or_else(|| failed(500, ReasonSlug::NoPorts))?;
        let streams = anchored_streams(&offer);
        let policy = cx.call.legs[to].policy().policy_towards(cx.call.legs[from].policy());
        let leg = &mut cx.call.legs[to];
        let sent = relay_offer(&offer, &policy, &leg.ports(&streams), &leg.identity());
        let sent = sent.map_err(|refusal| TargetFailure::unusable(ReasonSlug::CodecMismatch, refusal));
        let sent = match sent.and_then(|mut sent| leg.protect_again(cx.edge, &mut sent).map(|()| sent)) {
            Ok(sent) => leg.stamp(sent),
            Err(failure) => {
                cx.drop_added(&added);
                return Err(Box::new(failure.answer()));
            }
        };
        let body = Some(MessageBody::sdp(sent.to_string()));
        let at = cx.call.legs.place(to);
        let (dialog, headers) = match cx.call.legs[to].sip.dialog {
            Some(dialog) => (Some(dialog), cx.call.legs[to].session_headers()),
            None => (ringing.early_dialog(to), Vec::new()),
        };
        let client = dialog.and_then(|dialog| cx.edge.request(cx.now, at, dialog, by, headers, body));
        match client {
            Some(client) => {
                let (essential, unbound, tries, replaces) = (false, false, 0, None);
                let pending =
                    Renegotiation { relay: way, client, offer, sections, replaces, added, essential, unbound, tries };
                self.renegotiation = Some(Box::new(pending));
                Ok(())
            }
            None => {
                cx.drop_added(&added);
                Err(failed(491, ReasonSlug::Internal))
            }
        }
    }

    /// Returns whether a remote party's request waits for the other side's answer.
    pub(crate) fn waits_for_change(&self, server: ServerId) -> bool {
        self.renegotiation.as_ref().is_some_and(|pending| pending.relay.server == Some(server))
    }

    /// Repeats an UPDATE as a re-INVITE if the other side does not support UPDATE after all (405, 501) or cannot answer
    /// at once (504, RFC 3311 §5.3). Returns whether the re-INVITE was sent.
    pub(crate) fn asked_by_reinvite(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        pending: &mut Renegotiation,
        code: u16,
    ) -> bool {
        let is_early = cx.call.state == CallState::Searching;
        if pending.relay.by != RequestPurpose::Update || !matches!(code, 405 | 501 | 504) || is_early {
            return false;
        }
        if code != 504 {
            cx.call.legs[pending.relay.to].sip.takes_update = false;
        }
        let way = OfferRelay { by: RequestPurpose::Reinvite, ..pending.relay };
        if self.relay(cx, ringing, way, pending.offer.clone()).is_err() {
            return false;
        }
        if let Some(again) = &mut self.renegotiation {
            again.added = std::mem::take(&mut pending.added);
            (again.essential, again.unbound, again.tries) = (pending.essential, pending.unbound, pending.tries);
            again.sections = pending.sections;
        }
        if way.server.is_some() {
            cx.arm(CallTimer::Update, UPDATE_WAIT);
        }
        true
    }

    /// Cancels an unanswered re-INVITE that was relayed for an UPDATE, and answers the UPDATE with 504 before its
    /// sender times out.
    pub(crate) fn update_overdue(&mut self, cx: &mut CallCx<'_>) {
        cx.call.deadlines.remove(CallTimer::Update);
        let Some(pending) = &mut self.renegotiation else { return };
        let (client, server) = (pending.client, pending.relay.server.take());
        if let Some(server) = server {
            cx.edge.index_mut().servers.remove(&server);
            refuse_request(cx.now, cx.edge, server, 504);
            cx.edge.cancel(cx.now, client);
        }
    }

    /// Relays the offer of a new leg to the other side of the leg that it replaces.
    ///
    /// # Errors
    /// The final response for the new leg, as of [`Self::relay`].
    pub(crate) fn offer_in_place(
        &mut self,
        cx: &mut CallCx<'_>,
        ringing: &RingingState,
        (new, by, waits): (LegId, LegId, LegId),
        incoming: &IncomingInvite,
        offer: SessionDescription,
    ) -> Result<(), Box<FinalAnswer>> {
        let way = OfferRelay {
            from: new,
            to: waits,
            server: Some(incoming.server),
            by: RequestPurpose::Reinvite,
            restores: false,
        };
        self.relay(cx, ringing, way, offer)?;
        if let Some(pending) = &mut self.renegotiation {
            pending.replaces = Some(by);
        }
        Ok(())
    }

    /// Returns our unanswered requests: a pending change and OPTIONS probes to held sides.
    pub(crate) fn asked(&self) -> impl Iterator<Item = ClientId> {
        self.renegotiation
            .iter()
            .map(|pending| pending.client)
            .chain(self.hold_check.iter().flat_map(|check| check.asked.iter().copied()))
    }

    /// Returns the leg that is about to replace another one.
    pub(crate) fn newcomer(&self) -> Option<LegId> {
        self.renegotiation.as_ref().filter(|pending| pending.replaces.is_some()).map(|pending| pending.relay.from)
    }
}

/// Answers an offer with 500 and Retry-After because another one is in progress (RFC 3311 §5.2).
pub(crate) fn retry_later(now: Instant, edge: &mut Edge, server: ServerId) {
    let headers = vec![extra("Retry-After", edge.random_mut().any_of(0..=10).to_string())];
    edge.respond(now, server, ResponseSpec { code: 500, headers, ..ResponseSpec::default() });
}

/// OPTIONS probes to both sides, sent at the same time.
#[derive(Debug)]
pub(crate) struct HoldCheck {
    /// Probes without a response so far.
    asked: Vec<ClientId>,
    /// True once a probed side has given a response other than 408 and 481.
    is_alive: bool,
}

/// Refuses relayed requests with 487 because the call no longer waits for their responses.
pub(crate) fn terminate_open(now: Instant, edge: &mut Edge, open: &mut SmallMap<ClientId, ServerId>) {
    while let Some(client) = open.first() {
        edge.index_mut().clients.remove(&client);
        if let Some(server) = open.remove(client) {
            refuse_request(now, edge, server, 487);
        }
    }
}
