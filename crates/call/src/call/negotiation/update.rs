//! UPDATE (RFC 3311): without a description it says that a far end is there, and where, and is answered at once. With one it
//! is an offer, taken as that of a re-INVITE is, and goes on as an UPDATE where the other side takes those.

use std::time::Instant;

use bytes::Bytes;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Purpose;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::UPDATE_WAIT;
use trunkgate_resources::sip::extra;
use trunkgate_sip::{Answer, ServerId};

use crate::call::legs::leg::LegState;
use crate::call::negotiation::refresh::Asked;
use crate::call::negotiation::reinvite::{Relay, Renegotiation};
use crate::call::{Call, State, refuse_request};

impl Call {
    /// A far end's UPDATE, in an early dialog too.
    pub(crate) fn updated(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        server: ServerId,
        (sdp, session): (Option<Bytes>, Asked),
    ) {
        let talks = self.legs.is_side(leg);
        match (sdp, self.state) {
            (None, _) => self.refreshed(now, edge, leg, server, session),
            (Some(_), State::Ended) => refuse_request(now, edge, server, 481),
            (Some(sdp), State::Searching) => self.offered_early(now, edge, leg, server, &sdp),
            (Some(_), State::Leaving) => refuse_request(now, edge, server, 491),
            (Some(_), State::Answered | State::Rerouting) if !talks => refuse_request(now, edge, server, 491),
            (sdp, State::Answered | State::Rerouting) => {
                let takes_it = self.legs.other(leg).is_some_and(|other| self.legs[other].takes_update);
                let by = if takes_it { Purpose::Update } else { Purpose::Reinvite };
                self.reinvited(now, edge, leg, server, (sdp, session), by);
                if by == Purpose::Reinvite && self.waits_for_change(server) {
                    self.arm(now, edge, Timer::Update, UPDATE_WAIT);
                }
            }
        }
    }

    /// A far end says that it is there: where it is now is the endpoint's to know.
    fn refreshed(&mut self, now: Instant, edge: &mut Edge, leg: LegId, server: ServerId, session: Asked) {
        let mut headers = Vec::new();
        // What an INVITE asked for that has no answer yet is for that answer to say.
        if self.legs[leg].state == LegState::Answered {
            if self.refused_as_too_short(now, edge, server, session) {
                return;
            }
            headers = self.session_agreed(now, edge, leg, session);
        }
        let answer = Answer { code: 200, headers, ..Answer::default() };
        edge.respond(now, server, answer);
    }

    /// Whether a far end's request waits for the other side's word.
    fn waits_for_change(&self, server: ServerId) -> bool {
        self.negotiation.renegotiation.as_ref().is_some_and(|pending| pending.way.server == Some(server))
    }

    /// An UPDATE that the other side does not take after all (405, 501), or cannot answer at once (504, RFC 3311 §5.3): the
    /// same offer goes out by re-INVITE. Whether it did.
    pub(crate) fn asked_by_reinvite(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        pending: &mut Renegotiation,
        code: u16,
    ) -> bool {
        let is_early = self.state == State::Searching;
        if pending.way.by != Purpose::Update || !matches!(code, 405 | 501 | 504) || is_early {
            return false;
        }
        if code != 504 {
            self.legs[pending.way.to].takes_update = false;
        }
        let way = Relay { by: Purpose::Reinvite, ..pending.way };
        if self.relay(now, edge, way, pending.offer.clone()).is_err() {
            return false;
        }
        if let Some(again) = &mut self.negotiation.renegotiation {
            again.added = std::mem::take(&mut pending.added);
            (again.essential, again.unbound, again.tries) = (pending.essential, pending.unbound, pending.tries);
            again.sections = pending.sections;
        }
        if way.server.is_some() {
            self.arm(now, edge, Timer::Update, UPDATE_WAIT);
        }
        true
    }

    /// The re-INVITE that an UPDATE went on as has no answer yet: it is withdrawn, and the UPDATE's sender told so before
    /// it gives up.
    pub(crate) fn update_overdue(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::Update);
        let Some(pending) = &mut self.negotiation.renegotiation else { return };
        let (client, server) = (pending.client, pending.way.server.take());
        if let Some(server) = server {
            edge.index.servers.remove(&server);
            refuse_request(now, edge, server, 504);
            edge.cancel(now, client);
        }
    }
}

/// An offer of a far end is open already: it may come back in a while (RFC 3311 §5.2).
pub(crate) fn retry_later(now: Instant, edge: &mut Edge, server: ServerId) {
    let headers = vec![extra("Retry-After", edge.any_of(0..=10).to_string())];
    edge.respond(now, server, Answer { code: 500, headers, ..Answer::default() });
}
