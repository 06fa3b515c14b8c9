//! Changes inside an answered call (RFC 3261 §14, RFC 3264 §8): a re-INVITE of one leg goes on to the other, its answer
//! comes back, and only then does the media change.

use std::time::Instant;

use bytes::Bytes;
use trunkgate_media::EndId;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Purpose;
use trunkgate_resources::key::LegId;
use trunkgate_sdp::{AgreedStream, Description, Direction, accept, anchored_streams, relay_offer};
use trunkgate_sip::header::SessionExpires;
use trunkgate_sip::{Answer, Body, ClientId, DialogId, ServerId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg::{LegState, StreamEnd};
use crate::call::legs::written::Written;
use crate::call::media::held::Change;
use crate::call::negotiation::refresh::Asked;
use crate::call::search::answer::{Failure, FinalAnswer, seen_code};
use crate::call::{Call, State, refuse_request};

/// One leg's offer for the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relay {
    /// The leg whose offer it is.
    pub(crate) from: LegId,
    /// The leg that is asked.
    pub(crate) to: LegId,
    /// The open request of the first, its re-INVITE or UPDATE; `None` once withdrawn, and where we put the other leg's
    /// session back ourselves.
    pub(crate) server: Option<ServerId>,
    /// How it is asked: by re-INVITE or UPDATE.
    pub(crate) by: Purpose,
    /// Whether it puts back what an earlier one has changed on one side only.
    pub(crate) restores: bool,
}

/// A change on its way from one leg to the other.
#[derive(Debug)]
pub(crate) struct Renegotiation {
    /// Whose, and to whom.
    pub(crate) way: Relay,
    /// Our request to the leg that is asked.
    pub(crate) client: ClientId,
    /// The offer.
    pub(crate) offer: Description,
    /// How many sections it had where it came from: further ones are what the leg that is asked had in its session.
    pub(crate) sections: usize,
    /// The leg whose place the one with the offer takes (RFC 3891).
    pub(crate) replaces: Option<LegId>,
    /// Ends drawn for streams that are new.
    pub(crate) added: Vec<EndId>,
    /// Whether the call cannot go on without it: its side was told ports of somebody else.
    pub(crate) essential: bool,
    /// Whether ports of a new stream could not be bound.
    pub(crate) unbound: bool,
    /// How often it has met one of the far end's, where it is ours.
    pub(crate) tries: u8,
}

impl Call {
    /// A far end wants to change its session, or asks us to offer.
    pub(crate) fn reinvited(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        server: ServerId,
        (sdp, session): (Option<Bytes>, Asked),
        by: Purpose,
    ) {
        if self.legs.refuse_outsider(now, edge, leg, server) {
            return;
        }
        if self.refused_as_too_short(now, edge, server, session) {
            return;
        }
        self.legs[leg].timer.ask(session);
        // What the caller has agreed on is offered to a far end that rings, and may not change meanwhile.
        let settled = (self.is_calling() || self.state == State::Leaving) && !self.legs.is_refresh(leg, sdp.as_ref());
        if self.is_unsettled() || settled {
            return refuse_request(now, edge, server, 491);
        }
        let Some(sdp) = sdp else { return self.offer_again(now, edge, leg, server) };
        let Some(offer) = self.legs.offer_in(now, edge, leg, server, &sdp) else { return };
        if self.is_local() || self.state == State::Leaving {
            return self.reinvited_locally(now, edge, server, &offer);
        }
        let Some(other) = self.legs.other(leg) else { return refuse_request(now, edge, server, 500) };
        if self.rekeyed(now, edge, (leg, other), server, &offer)
            || self.held_here(now, edge, (leg, other), server, &offer)
            || self.refreshed_here(now, edge, (leg, other), server, &offer)
        {
            return;
        }
        let way = Relay { from: leg, to: other, server: Some(server), by, restores: false };
        match self.relay(now, edge, way, offer) {
            Ok(()) => {
                edge.index.servers.insert(server, self.legs.place(leg));
            }
            Err(answer) => {
                edge.respond(now, server, answer.to_sip());
            }
        }
    }

    /// Answers a re-INVITE without offer by our own description (RFC 3261 §14.2); its ACK brings the answer. Who has put us
    /// on hold may come back by it: many phones do.
    fn offer_again(&mut self, now: Instant, edge: &mut Edge, leg: LegId, server: ServerId) {
        let Some(mut ours) = self.legs[leg].ours.as_ref().and_then(Written::read) else {
            return refuse_request(now, edge, server, 500);
        };
        if let Some(theirs) = self.legs[leg].theirs() {
            open_again(&mut ours, &theirs);
        }
        let ours = self.legs[leg].stamp(ours);
        self.negotiation.late = Some(leg);
        self.answer_request(now, edge, leg, server, &ours);
    }

    pub(crate) fn answer_request(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        server: ServerId,
        ours: &Description,
    ) {
        // Before the answer to its INVITE that one says it.
        let is_early = self.state == State::Searching;
        let headers = if is_early { Vec::new() } else { self.session_answer(now, edge, leg) };
        // In a dialog that stands its own Contact is said again.
        let contact_user = self.legs[leg].dialog.map_or_else(|| self.contact_user(), |_| String::new());
        let body = Some(Body::sdp(ours.to_string()));
        let answer = Answer { code: 200, body, contact_user, headers, ..Answer::default() };
        let dialog = edge.respond(now, server, answer);
        if let Some(dialog) = dialog.filter(|_| self.state == State::Answered && self.legs[leg].dialog.is_none()) {
            self.legs[leg].state = LegState::Answered;
            self.legs[leg].server = None;
            self.legs.own_dialog(edge, leg, dialog);
            self.arm_sessions(now, edge);
        }
    }

    /// Sends one leg's offer to the other leg.
    pub(crate) fn relay(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        way: Relay,
        mut offer: Description,
    ) -> Result<(), Box<FinalAnswer>> {
        let Relay { from, to, by, .. } = way;
        let failed = |code, reason| Box::new(FinalAnswer::new(code, reason));
        let sections = offer.media.len();
        self.legs[to].keep_sections(&mut offer);
        let added = self.draw_missing(edge, &[from, to], &offer).ok_or_else(|| failed(500, ReasonSlug::NoPorts))?;
        let streams = anchored_streams(&offer);
        let policy = self.legs[to].policy().towards(self.legs[from].policy());
        let leg = &mut self.legs[to];
        let sent = relay_offer(&offer, &policy, &leg.ports(&streams), &leg.identity());
        let sent = sent.map_err(|refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal));
        let sent = match sent.and_then(|mut sent| leg.protect_again(edge, &mut sent).map(|()| sent)) {
            Ok(sent) => leg.stamp(sent),
            Err(failure) => {
                self.drop_added(edge, &added);
                return Err(Box::new(failure.answer()));
            }
        };
        let body = Some(Body::sdp(sent.to_string()));
        let at = self.legs.place(to);
        let (dialog, headers) = match self.legs[to].dialog {
            Some(dialog) => (Some(dialog), self.legs[to].session_headers()),
            None => (self.early_dialog(to), Vec::new()),
        };
        let client = dialog.and_then(|dialog| edge.request(now, at, dialog, by, headers, body));
        match client {
            Some(client) => {
                let (essential, unbound, tries, replaces) = (false, false, 0, None);
                let pending =
                    Renegotiation { way, client, offer, sections, replaces, added, essential, unbound, tries };
                self.negotiation.renegotiation = Some(Box::new(pending));
                Ok(())
            }
            None => {
                self.drop_added(edge, &added);
                Err(failed(491, ReasonSlug::Internal))
            }
        }
    }

    /// Draws ends for streams that have none yet; `None` where no ports are left.
    pub(crate) fn draw_missing(&mut self, edge: &mut Edge, legs: &[LegId], offer: &Description) -> Option<Vec<EndId>> {
        let media = self.media.session?;
        let mut added = Vec::new();
        for leg in legs.iter().copied() {
            let bind = edge.addressing.media_bind(self.legs[leg].signalling());
            for index in anchored_streams(offer) {
                if self.legs[leg].end(index).is_some() {
                    continue;
                }
                let Some(new) = bind.and_then(|bind| edge.add_end(media, bind)) else {
                    self.drop_added(edge, &added);
                    return None;
                };
                added.push(new.end);
                self.legs[leg].ends.push(StreamEnd::new(index, new));
            }
        }
        Some(added)
    }

    pub(crate) fn drop_added(&mut self, edge: &mut Edge, added: &[EndId]) {
        let Some(media) = self.media.session else { return };
        for leg in &mut self.legs {
            leg.ends.retain(|end| !added.contains(&end.end));
        }
        for end in added {
            edge.remove_end(media, *end);
        }
    }

    /// The other leg's final answer.
    pub(crate) fn reinvite_answered(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        client: ClientId,
        code: u16,
        (dialog, sdp): (Option<DialogId>, Option<Bytes>),
        session: Option<SessionExpires>,
    ) {
        let accepted = (200..300).contains(&code);
        if let Some(dialog) = dialog.filter(|_| accepted) {
            edge.ack(now, dialog);
        }
        let Some(mut pending) = self.negotiation.renegotiation.take_if(|r| r.client == client) else { return };
        if !accepted && self.asked_by_reinvite(now, edge, &mut pending, code) {
            return;
        }
        self.disarm(edge, Timer::Update);
        if let Some(server) = pending.way.server {
            edge.index.servers.remove(&server);
        }
        if accepted {
            if self.state == State::Answered {
                self.session_taken(now, edge, pending.way.to, session);
            }
            return self.reinvite_accepted(now, edge, *pending, sdp);
        }
        self.give_up_replacing(edge, &mut pending);
        if self.state == State::Searching {
            return self.early_change_refused(now, edge, &pending, code);
        }
        self.drop_added(edge, &pending.added);
        if let Some(server) = pending.way.server {
            refuse_request(now, edge, server, seen_code(code));
        }
        // The other leg has lost the dialog (RFC 3261 §12.2.1.2).
        if matches!(code, 408 | 481) {
            return self.end(now, edge, ReasonSlug::Unreachable);
        }
        if pending.way.server.is_none() && pending.way.restores {
            self.owed_refused(now, edge, &pending, code);
        }
    }

    fn reinvite_accepted(&mut self, now: Instant, edge: &mut Edge, mut pending: Renegotiation, sdp: Option<Bytes>) {
        let way = pending.way;
        let agreed = if pending.unbound {
            Err(Failure::with_code(500, ReasonSlug::NoPorts))
        } else if way.server.is_some() || way.restores {
            self.reinvite_agreed(now, edge, &pending, sdp)
        } else {
            // The far end withdrew while the other side agreed.
            Err(Failure::unreached(ReasonSlug::CallerCanceled))
        };
        match (agreed, way.server) {
            (Ok(ours), Some(server)) => {
                self.answer_request(now, edge, way.from, server, &ours);
                if let Some(by) = pending.replaces {
                    self.replaced(now, edge, (way.from, by, way.to));
                }
            }
            (Ok(_), None) => {}
            (Err(_), _) if pending.essential => self.end(now, edge, ReasonSlug::NoPorts),
            (Err(failure), server) => {
                self.give_up_replacing(edge, &mut pending);
                let way = pending.way;
                self.drop_added(edge, &pending.added);
                if let Some(server) = server {
                    edge.respond(now, server, failure.answer().to_sip());
                }
                // One side has changed and the other has not: put it back, once.
                if !way.restores
                    && let Some(offer) = self.legs[way.from].theirs()
                    && self.relay(now, edge, Relay { server: None, restores: true, ..way }, offer).is_err()
                {
                    edge.decide(now, self.key, "the previous session could not be restored");
                }
            }
        }
    }

    /// Takes the answer into force; ours to the leg that asked.
    fn reinvite_agreed(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        pending: &Renegotiation,
        sdp: Option<Bytes>,
    ) -> Result<Description, Failure> {
        let Relay { from, to, server, .. } = pending.way;
        let missing = || Failure::with_code(500, ReasonSlug::BadMedia);
        let answer = self.legs.read(edge, to, &sdp.ok_or_else(missing)?)?;
        let sent = self.legs[to].sent().ok_or_else(missing)?;
        let ports = self.legs[from].ports(&anchored_streams(&pending.offer));
        let policy = self.legs[from].policy().towards(self.legs[to].policy());
        let mut agreed = accept(&pending.offer, &sent, &answer, &policy, &ports, &self.legs[from].identity())
            .map_err(|refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal))?;
        self.legs[to].check_answer(&sent, &answer, agreed.streams.iter().map(|stream| stream.index))?;
        let relatch_to = self.legs[to].take_theirs(&answer);
        self.legs[to].ours = self.legs[to].last_sent.clone();
        if server.is_none() {
            // Nobody but `to` was asked.
            self.take_asked(now, edge, (from, to), relatch_to, &agreed.streams);
            return Ok(agreed.answer);
        }
        self.end_holds(edge);
        let mut offer = pending.offer.clone();
        offer.media.truncate(pending.sections);
        agreed.answer.media.truncate(pending.sections);
        let leg = &mut self.legs[from];
        leg.protect_answer(edge, &mut agreed.answer, &offer);
        let ours = leg.stamp(agreed.answer);
        leg.ours = leg.last_sent.clone();
        let relatch_from = leg.take_theirs(&offer);
        self.wire(now, edge, &agreed.streams, (from, relatch_from), (to, relatch_to));
        if self.state == State::Searching {
            self.changed_early(from, to, &pending.offer, &answer);
        } else {
            self.close_unused(edge, [from, to], &agreed.streams);
        }
        Ok(ours)
    }

    /// Takes the answer to a re-INVITE of our own into force; a hold that ends here goes on.
    fn take_asked(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        (from, to): (LegId, LegId),
        relatch: bool,
        streams: &[AgreedStream],
    ) {
        if self.is_held_here() {
            let change = Change { leg: to, other: from, relatch, holds: self.media.holds.contains(to), offers: false };
            return self.take_hold(now, edge, change, streams);
        }
        self.wire(now, edge, streams, (from, false), (to, relatch));
        self.close_unused(edge, [from, to], streams);
    }

    /// The other leg does not answer any more: the call is over (RFC 3261 §12.2.1.2).
    pub(crate) fn reinvite_unanswered(&mut self, now: Instant, edge: &mut Edge, client: ClientId) {
        let Some(mut pending) = self.negotiation.renegotiation.take_if(|r| r.client == client) else { return };
        self.disarm(edge, Timer::Update);
        self.give_up_replacing(edge, &mut pending);
        if self.state == State::Searching {
            return self.early_change_refused(now, edge, &pending, 408);
        }
        if let Some(server) = pending.way.server {
            edge.index.servers.remove(&server);
            refuse_request(now, edge, server, 408);
        }
        self.end(now, edge, ReasonSlug::Unreachable);
    }

    /// A CANCEL that came after the call was answered: of a re-INVITE, or one that crossed our 2xx.
    pub(crate) fn canceled_later(&mut self, now: Instant, edge: &mut Edge, server: ServerId) {
        match self.negotiation.renegotiation.take_if(|pending| pending.way.server == Some(server)) {
            Some(mut pending) => {
                pending.way.server = None;
                edge.index.servers.remove(&server);
                edge.cancel(now, pending.client);
                self.give_up_replacing(edge, &mut pending);
                self.negotiation.renegotiation = Some(pending);
            }
            None => self.caller_withdrew_answered(now, edge),
        }
    }
}

/// Lets a far end that wants to hear nothing hear again.
fn open_again(ours: &mut Description, theirs: &Description) {
    for (ours, theirs_at) in ours.media.iter_mut().zip(&theirs.media) {
        if !theirs.direction_of(theirs_at).receives() {
            ours.turn(Direction::SendRecv);
        }
    }
}
