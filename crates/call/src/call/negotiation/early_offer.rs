//! Further offers before the answer (RFC 3311 §5, RFC 6337 §3): once the first one has an answer that was acknowledged, either
//! side may make another, by UPDATE, and a caller in a PRACK too. It goes on to the other side, where that can be asked in
//! its early dialog; else the edge answers by what the other side has said, and tells it of the rest after its 2xx.

use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Purpose;
use trunkgate_resources::key::LegId;
use trunkgate_sdp::Description;
use trunkgate_sip::{DialogId, ServerId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::written::Written;
use crate::call::negotiation::reinvite::{Relay, Renegotiation};
use crate::call::negotiation::reliable::EarlySession;
use crate::call::negotiation::update::retry_later;
use crate::call::search::answer::{FinalAnswer, seen_code};
use crate::call::search::attempt::Attempt;
use crate::call::{Call, State, refuse_request};

impl Call {
    /// A far end's offer before the answer to the caller's INVITE.
    pub(crate) fn offered_early(&mut self, now: Instant, edge: &mut Edge, leg: LegId, server: ServerId, sdp: &[u8]) {
        let from_caller = leg == LegId::CALLER;
        let Some(other) = self.early_other(edge, leg, server) else {
            // Its own offer has no answer yet, or there is nobody to ask; or ours to it has none (RFC 3311 §5.2).
            return match from_caller && self.negotiation.early != EarlySession::Offer {
                true => retry_later(now, edge, server),
                false => refuse_request(now, edge, server, 491),
            };
        };
        if self.negotiation.renegotiation.is_some() {
            return refuse_request(now, edge, server, 491);
        }
        let Some(offer) = self.legs.offer_in(now, edge, leg, server, sdp) else { return };
        let Some(other) = other else { return self.reinvited_locally(now, edge, server, &offer) };
        if !self.takes_early_offer(edge, other) {
            return self.answer_early(now, edge, (leg, other), server, &offer);
        }
        let way = Relay { from: leg, to: other, server: Some(server), by: Purpose::Update, restores: false };
        match self.relay(now, edge, way, offer) {
            Ok(()) => {
                edge.index.servers.insert(server, self.legs.place(leg));
            }
            Err(answer) => {
                edge.respond(now, server, answer.to_sip());
            }
        }
    }

    /// Whom a further offer of a leg would concern: the other side; `Some(None)`, where the edge itself is that; `None`
    /// where it may not offer yet.
    fn early_other(&self, edge: &Edge, leg: LegId, server: ServerId) -> Option<Option<LegId>> {
        if leg == LegId::CALLER {
            if matches!(self.negotiation.early, EarlySession::Nothing | EarlySession::Offer) {
                return None;
            }
            return if self.is_early() { Some(None) } else { Some(Some(self.only_heard()?.1)) };
        }
        let (attempt, callee) = self.only_heard()?;
        let (dialog, is_reliable) = attempt.early.only()?;
        let is_its = callee == leg && is_reliable && edge.endpoint.dialog_of(server) == Some(dialog);
        let has_said = self.negotiation.offer.is_some() || self.negotiation.early == EarlySession::Agreed;
        (is_its && has_said && !self.is_early()).then_some(Some(LegId::CALLER))
    }

    /// The one target that rings, whose one early dialog the caller hears.
    fn only_heard(&self) -> Option<(&Attempt, LegId)> {
        let mut attempts = self.search.attempts.values();
        let attempt = attempts.next().filter(|attempt| attempt.early.only().is_some())?;
        Some((&**attempt, attempt.progress.calling()?)).filter(|_| attempts.next().is_none())
    }

    /// The early dialog of a target that requests may be sent in.
    pub(crate) fn early_dialog(&self, leg: LegId) -> Option<DialogId> {
        let (attempt, callee) = self.only_heard()?;
        attempt.early.only().filter(|_| callee == leg).map(|(dialog, _)| dialog)
    }

    /// Whether a leg may be asked before the answer: it takes UPDATE, and the first offer between it and us is answered
    /// reliably (RFC 3311 §5.1).
    fn takes_early_offer(&self, edge: &Edge, leg: LegId) -> bool {
        let is_settled = if leg == LegId::CALLER {
            let awaits = self.legs[LegId::CALLER].server.is_none_or(|server| edge.endpoint.awaits_prack(server));
            !awaits && !matches!(self.negotiation.early, EarlySession::Nothing | EarlySession::Offer)
        } else {
            self.only_heard().is_some_and(|(attempt, _)| attempt.early.only().is_some_and(|(_, reliable)| reliable))
        };
        is_settled && self.legs[leg].takes_update
    }

    /// Answers an offer by what the other side has said.
    fn answer_early(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        (leg, other): (LegId, LegId),
        server: ServerId,
        offer: &Description,
    ) {
        let Some((answer, streams)) = self.as_agreed(leg, other, offer) else {
            let answer = FinalAnswer::new(488, ReasonSlug::CodecMismatch);
            edge.respond(now, server, answer.to_sip());
            return;
        };
        let (answer, relatch) = self.legs[leg].answer_again(edge, offer, answer);
        self.wire(now, edge, &streams, (leg, relatch), (other, false));
        if leg == LegId::CALLER {
            self.negotiation.offer = Some(offer.clone());
            self.told_again();
        } else {
            self.said_again(offer);
        }
        let name = self.legs.name_of(leg);
        edge.decide(now, self.key, format!("{name} offers again: answered by the edge, the other side is not ready"));
        self.answer_request(now, edge, leg, server, &answer);
    }

    /// The caller has an answer to a further offer: nothing else is said until it is asked again.
    pub(crate) fn told_again(&mut self) {
        if self.state == State::Searching {
            self.negotiation.early = EarlySession::Changed;
        }
    }

    /// The target has said something else in its early dialog.
    fn said_again(&mut self, said: &Description) {
        if let Some(attempt) = self.search.attempts.first().and_then(|branch| self.attempt_mut(branch)) {
            attempt.early.change(Written::new(said));
        }
    }

    /// Both sides have agreed on an offer of one of them.
    pub(crate) fn changed_early(&mut self, from: LegId, to: LegId, offer: &Description, answer: &Description) {
        if from == LegId::CALLER {
            self.negotiation.offer = Some(offer.clone());
            self.told_again();
            self.said_again(answer);
        } else if to == LegId::CALLER {
            // As for a caller that has made none: what it was told is our offer, and its answer stands.
            self.negotiation.offer = None;
            self.negotiation.early = EarlySession::Agreed;
            self.said_again(offer);
        }
    }

    /// The other side does not take an offer: where it only cannot be asked so, the edge answers.
    pub(crate) fn early_change_refused(&mut self, now: Instant, edge: &mut Edge, pending: &Renegotiation, code: u16) {
        self.drop_added(edge, &pending.added);
        let Relay { from, to, server, .. } = pending.way;
        self.legs[to].takes_update &= !matches!(code, 405 | 501);
        self.legs[to].take_back();
        let Some(server) = server else { return };
        edge.index.servers.remove(&server);
        match code {
            405 | 501 | 504 => self.answer_early(now, edge, (from, to), server, &pending.offer),
            // Whoever asked has not lost its dialog.
            408 | 481 => refuse_request(now, edge, server, 500),
            _ => refuse_request(now, edge, server, seen_code(code)),
        }
    }

    /// The target that a change before the answer was for has gone: whoever asked for it may do so again.
    pub(crate) fn end_early_change(&mut self, now: Instant, edge: &mut Edge) {
        let goes_on = |pending: &Renegotiation| {
            let Relay { from, to, .. } = pending.way;
            self.calling_on(if from == LegId::CALLER { to } else { from }).is_some()
        };
        if self.state != State::Searching || self.negotiation.renegotiation.as_deref().is_none_or(goes_on) {
            return;
        }
        let Some(pending) = self.negotiation.renegotiation.take() else { return };
        let left: Vec<_> = pending.added.iter().copied().filter(|end| self.legs.leg_of(*end).is_some()).collect();
        self.drop_added(edge, &left);
        edge.index.clients.remove(&pending.client);
        let Relay { to, server, .. } = pending.way;
        if to == LegId::CALLER {
            // What it was offered is nobody's any more.
            self.legs[LegId::CALLER].take_back();
            self.owe(LegId::CALLER, false);
        }
        if let Some(server) = server {
            edge.index.servers.remove(&server);
            retry_later(now, edge, server);
        }
    }

    /// A target that has answered and was told less than what the caller wants by now, since it could not be asked before.
    pub(crate) fn owe_turned(&mut self, leg: LegId) {
        let Some((offer, sent)) = self.negotiation.offer.as_ref().zip(self.legs[leg].sent()) else { return };
        let is_told = |at: usize| {
            let direction = |of: &Description| of.media.get(at).map(|media| of.direction_of(media));
            direction(offer) == direction(&sent)
        };
        let streams = trunkgate_sdp::anchored_streams(offer);
        if self.negotiation.early == EarlySession::Changed && !streams.into_iter().all(is_told) {
            self.owe(leg, false);
        }
    }
}
