//! The call's part of an attended transfer: a leg of another call that comes here, and one of its own that leaves.

use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkgate_media::EndId;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::{Named, Place, Purpose};
use trunkgate_resources::key::{CallKey, LegId};
use trunkgate_resources::limits::REFERRER_SECONDS;
use trunkgate_sdp::{Description, accept, anchored_streams, relay_offer};
use trunkgate_sip::header::SessionExpires;
use trunkgate_sip::{Body, ClientId, ServerId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg::{Leg, LegState, StreamEnd};
use crate::call::legs::leg_end::EndedBy;
use crate::call::media::held::turned;
use crate::call::negotiation::bridge::bad_media;
use crate::call::search::answer::{Failure, FinalAnswer};
use crate::call::transfer::refer::Refer;
use crate::call::{Call, State};

/// A far side of another call that is on its way to this one.
#[derive(Debug)]
pub(crate) struct Joining {
    /// Our leg of whoever asked for it.
    by: LegId,
    /// Whether that has hung up already.
    is_gone: bool,
    /// The re-INVITE to that far side.
    client: ClientId,
    /// What our own far side has agreed on, as an offer to it.
    offer: Description,
    /// Our ends towards it.
    ends: Vec<StreamEnd>,
    /// Whether our own far side must be asked anew once they are joined: it was on hold, or had further streams.
    is_stale: bool,
    /// Whether the ports of an end could not be bound.
    unbound: bool,
}

/// A leg that is on its way to another call.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// The leg.
    pub(crate) leg: LegId,
    /// The leg of whoever asked for it.
    by: LegId,
    /// Whether that has hung up already.
    is_gone: bool,
    /// The re-INVITE to the one that leaves.
    pub(crate) client: ClientId,
    /// Where it goes.
    pub(crate) to: CallKey,
}

impl Call {
    /// Whether a change is under way that must be over before another one begins.
    pub(crate) fn is_unsettled(&self) -> bool {
        let moves = self.search.transfers.joining.is_some() || self.search.transfers.leaving.is_some();
        self.negotiation.renegotiation.is_some() || self.negotiation.late.is_some() || moves
    }

    /// Whether a leg is being asked to leave this call.
    pub(crate) fn is_leaving(&self, leg: LegId) -> bool {
        self.search.transfers.leaving.as_ref().is_some_and(|leaving| leaving.leg == leg)
    }

    pub(crate) fn joins_by(&self, client: ClientId) -> bool {
        self.state == State::Answered
            && self.search.transfers.joining.as_ref().is_some_and(|join| join.client == client)
    }

    /// The far side that a leg would be replaced by somebody for.
    pub(crate) fn far_side_of(&self, leg: LegId) -> Result<LegId, Box<FinalAnswer>> {
        let refused = |code, reason| Box::new(FinalAnswer::new(code, reason));
        if self.state != State::Answered || self.is_unsettled() {
            return Err(refused(491, ReasonSlug::Transferred));
        }
        let Some(other) = self.legs.other(leg) else { return Err(refused(603, ReasonSlug::Denied)) };
        if [leg, other].iter().any(|side| self.legs[*side].agent.is_some()) {
            return Err(refused(403, ReasonSlug::Denied));
        }
        Ok(other)
    }

    /// Asks the far side of another call of whoever sent the REFER to come here.
    pub(crate) fn join(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        by: LegId,
        (other, theirs): (&mut Call, LegId),
        server: ServerId,
        refer: &Refer,
    ) -> Result<(), Box<FinalAnswer>> {
        let refused = |code, reason| Box::new(FinalAnswer::new(code, reason));
        let (waits, comes) = (self.far_side_of(by)?, other.far_side_of(theirs)?);
        if self.is_telling() || other.legs[comes].timer.refresh.is_some() {
            return Err(refused(491, ReasonSlug::Transferred));
        }
        if !self.has_room_for_another() {
            return Err(refused(503, ReasonSlug::LimitCalls));
        }
        let (mut offer, _) = self.legs.offer_of(waits).ok_or_else(|| refused(488, ReasonSlug::BadMedia))?;
        other.legs[comes].keep_sections(&mut offer);
        let media = self.media.session.ok_or_else(|| refused(500, ReasonSlug::Internal))?;
        let bind = edge.addressing.media_bind(other.legs[comes].signalling());
        let mut ends = Vec::new();
        for index in anchored_streams(&offer) {
            match bind.and_then(|bind| edge.add_end(media, bind)) {
                Some(end) => ends.push(StreamEnd::new(index, end)),
                None => {
                    self.close_joining(edge, ends);
                    return Err(refused(503, ReasonSlug::NoPorts));
                }
            }
        }
        let policy = other.legs[comes].policy().towards(self.legs[waits].policy());
        let asked = other.ask_to_leave(now, edge, comes, &ends, |ports, identity| {
            relay_offer(&offer, &policy, ports, identity)
                .map_err(|refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal))
        });
        let client = match asked {
            Ok(client) => client,
            Err(answer) => {
                self.close_joining(edge, ends);
                return Err(answer);
            }
        };
        self.accept_refer(now, edge, by, server, refer);
        let is_stale = self.legs.is_stale(waits);
        let joining = Joining { by, is_gone: false, client, offer, ends, is_stale, unbound: false };
        self.search.transfers.joining = Some(Box::new(joining));
        let leaving = Leaving { leg: comes, by: theirs, is_gone: false, client, to: self.key };
        other.search.transfers.leaving = Some(Box::new(leaving));
        let (name, far) = (self.legs.name_of(by), other.legs.name_of(comes));
        edge.decide(now, self.key, format!("{name} joins the other side with {far} of its call {}", other.legs.sid()));
        edge.decide(now, other.key, format!("{name} joins {far} with the other side of its call {}", self.legs.sid()));
        let (sid, name) = (self.legs.sid().to_owned(), edge.shown_name(&name));
        edge.log(&sid, format!("{name} joins the other side with that of its call {}", other.legs.sid()), None);
        Ok(())
    }

    /// Sends a leg the re-INVITE that takes its media to another call.
    fn ask_to_leave(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        ends: &[StreamEnd],
        offer: impl FnOnce(&[u16], &trunkgate_sdp::Identity) -> Result<Description, Failure>,
    ) -> Result<ClientId, Box<FinalAnswer>> {
        let ports: Vec<u16> = ends.iter().map(|end| end.bind.port()).collect();
        let at = self.legs.place(leg);
        let side = &mut self.legs[leg];
        let sent = offer(&ports, &side.identity());
        let sent = sent.and_then(|mut sent| side.protect_anew(edge, &mut sent).map(|()| sent));
        let sent = sent.map_err(|failure| Box::new(failure.answer()))?;
        let body = Some(Body::sdp(side.stamp(sent).to_string()));
        let headers = side.session_headers();
        let client = side.dialog.and_then(|dialog| edge.request(now, at, dialog, Purpose::Join, headers, body));
        client.ok_or_else(|| Box::new(FinalAnswer::new(491, ReasonSlug::Transferred)))
    }

    fn close_joining(&self, edge: &mut Edge, ends: Vec<StreamEnd>) {
        let Some(media) = self.media.session else { return };
        for end in ends {
            edge.remove_end(media, end.end);
        }
    }

    /// The far side of the other call has taken our offer: its leg is ours, and takes the place of whoever asked for it.
    pub(crate) fn joined_by(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        (other, comes): (&mut Call, LegId),
        sdp: Option<Bytes>,
        session: Option<SessionExpires>,
    ) -> Result<(), Failure> {
        let missing = || bad_media("2xx without session description");
        let Some(join) = self.search.transfers.joining.as_ref() else { return Err(missing()) };
        if join.unbound {
            return Err(Failure::with_code(500, ReasonSlug::NoPorts));
        }
        let Some(waits) = self.legs.other(join.by) else { return Err(missing()) };
        let answer = other.legs.read(edge, comes, &sdp.ok_or_else(missing)?)?;
        let sent = other.legs[comes].sent().ok_or_else(missing)?;
        let side = &self.legs[waits];
        let ports = side.ports(&anchored_streams(&join.offer));
        let policy = side.policy().towards(other.legs[comes].policy());
        let agreed = accept(&join.offer, &sent, &answer, &policy, &ports, &side.identity())
            .map_err(|refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal))?;
        let leg = &mut other.legs[comes];
        leg.check_answer(&sent, &answer, agreed.streams.iter().map(|stream| stream.index))?;
        leg.take_theirs(&answer);
        leg.ours = leg.last_sent.clone();
        let is_turned = turned(None, &answer, &agreed.streams);
        let Some(join) = self.search.transfers.joining.take() else { return Err(missing()) };
        let leg = other.hand_over(edge, comes);
        let at = self.take_over(edge, other.legs.place(comes), leg, join.ends);
        self.negotiation.owed.clear();
        if join.is_stale || is_turned {
            self.owe(waits, false);
        }
        self.take_side(edge, join.by, at, waits);
        self.wire(now, edge, &agreed.streams, (waits, false), (at, false));
        self.close_unused(edge, [waits, at], &agreed.streams);
        self.settle();
        self.session_taken(now, edge, at, session);
        self.tell_news(now, edge, 200);
        if !join.is_gone {
            self.arm(now, edge, Timer::Referrer, Duration::from_secs(REFERRER_SECONDS));
            self.legs.leave_trunk(edge, join.by);
        }
        Ok(())
    }

    /// Lets a leg go to another call; what stays is its record.
    fn hand_over(&mut self, edge: &mut Edge, leg: LegId) -> Leg {
        self.drop_ends(edge, leg);
        self.legs[leg].end_with(ReasonSlug::Transferred, EndedBy::Edge);
        let number = Box::new(self.number_of(leg).clone());
        let side = &mut self.legs[leg];
        side.number = Some(number);
        // One more than whole rounds: numbers begin anywhere (RFC 3550 §5.1).
        let rounds = (side.earlier.rx_packets + side.earlier.lost) >> 16;
        side.rolled = side.rolled.saturating_add(u32::try_from(rounds).unwrap_or(u32::MAX)).saturating_add(1);
        let flow = side.flow.unwrap_or_else(Leg::nowhere);
        let stays = Leg {
            trunk: side.trunk.clone(),
            peer: side.peer.clone(),
            inbound: side.inbound,
            flow: side.flow,
            call_id: side.call_id.clone(),
            state: LegState::Ended,
            end: side.end.take(),
            server: side.server.take(),
            invite: side.invite.take(),
            codec: side.codec.clone(),
            srtp: side.srtp,
            latched: side.latched.take(),
            earlier: std::mem::take(&mut side.earlier),
            scores: std::mem::take(&mut side.scores),
            unheard: side.unheard.take(),
            flaw: side.flaw.take(),
            is_judged: side.is_judged,
            ..Leg::new(std::mem::replace(&mut side.sid, edge.sid()), side.party, flow, side.media_ip, side.session_id)
        };
        std::mem::replace(side, stays)
    }

    /// Takes a leg of another call in, with our ends for its media.
    fn take_over(&mut self, edge: &mut Edge, from: Place, leg: Leg, ends: Vec<StreamEnd>) -> LegId {
        let at = self.legs.place(self.legs.next_id());
        if let Some(flow) = leg.flow {
            let named = Named { at, party: leg.party, trunk: leg.trunk.clone(), remote: flow.remote.ip() };
            edge.index.pass_on(leg.call_id.as_bytes(), from, named);
        }
        if let Some(dialog) = leg.dialog {
            edge.index.dialogs.insert(dialog, at);
        }
        if let Some(trunk) = leg.limited_by() {
            edge.resume_trunk_call(&trunk.name);
        }
        self.legs.push(Leg { ends, ..leg });
        at.leg
    }

    /// A leg takes the place of another one, whose far end is to hang up.
    pub(crate) fn take_side(&mut self, edge: &mut Edge, by: LegId, at: LegId, waits: LegId) {
        (self.legs.near, self.legs.callee) = (waits, Some(at));
        self.end_holds(edge);
        self.disarm(edge, Timer::Glare);
        self.part(edge, [by, by]);
        self.drop_ends(edge, by);
        self.legs[by].end_with(ReasonSlug::Transferred, EndedBy::FarEnd);
    }

    /// The far side of the other call does not come: all stays as it was.
    pub(crate) fn join_failed(&mut self, now: Instant, edge: &mut Edge, answer: &FinalAnswer) {
        let Some(join) = self.search.transfers.joining.take() else { return };
        self.close_joining(edge, join.ends);
        self.tell_news(now, edge, answer.code);
        let why = format!("the transfer failed with {}: {}", answer.code, answer.reason.sentence());
        let sid = self.legs.sid().to_owned();
        edge.log(&sid, why.clone(), Some(answer.reason));
        edge.decide(now, self.key, format!("{why}; both calls continue unchanged"));
        if join.is_gone {
            self.end(now, edge, answer.reason);
        }
    }

    /// The call of the far side that was to come here is over.
    pub(crate) fn unjoined(&mut self, now: Instant, edge: &mut Edge, client: ClientId, reason: ReasonSlug) {
        if self.joins_by(client) {
            self.join_failed(now, edge, &FinalAnswer::new(487, reason));
        }
    }

    /// A leg that was to leave stays; `refused`: the code by which its far end said so, `None` where it has agreed.
    pub(crate) fn did_not_leave(&mut self, now: Instant, edge: &mut Edge, leaving: &Leaving, refused: Option<u16>) {
        if matches!(refused, Some(408 | 481)) {
            return self.end(now, edge, ReasonSlug::Unreachable);
        }
        if leaving.is_gone {
            let by_caller = leaving.by == LegId::CALLER;
            return self.end(now, edge, if by_caller { ReasonSlug::CallerHungUp } else { ReasonSlug::CalleeHungUp });
        }
        if refused.is_none() {
            self.owe(leaving.leg, false);
        }
        self.ask_the_owed(now, edge);
    }

    /// Whoever has asked for a join hangs up before it is one: it goes on. Whether that was so.
    pub(crate) fn left_joining(&mut self, now: Instant, edge: &mut Edge, leg: LegId) -> bool {
        let joining =
            self.search.transfers.joining.as_mut().filter(|join| join.by == leg).map(|join| &mut join.is_gone);
        let leaving = self.search.transfers.leaving.as_mut().filter(|leaving| leaving.by == leg);
        let Some(is_gone) = joining.or(leaving.map(|leaving| &mut leaving.is_gone)) else { return false };
        *is_gone = true;
        self.legs[leg].has_left = true;
        self.legs[leg].end_with(ReasonSlug::Transferred, EndedBy::FarEnd);
        self.drop_news(edge);
        self.drop_ends(edge, leg);
        self.legs.leave_trunk(edge, leg);
        edge.decide(now, self.key, format!("{} has hung up, the transfer goes on", self.legs.name_of(leg)));
        true
    }

    /// Ports of an end towards the far side that is to come could not be bound. Whether it is one of those.
    pub(crate) fn join_unbound(&mut self, end: EndId) -> bool {
        let join = self.search.transfers.joining.as_mut().filter(|join| join.ends.iter().any(|slot| slot.end == end));
        join.map(|join| join.unbound = true).is_some()
    }

    /// The call is over: whoever waits for a leg of it is told so.
    pub(crate) fn end_joins(&mut self, edge: &mut Edge, reason: ReasonSlug) {
        self.search.transfers.joining = None;
        if let Some(leaving) = self.search.transfers.leaving.take() {
            edge.index.clients.remove(&leaving.client);
            edge.unjoined.push((leaving.to, leaving.client, reason));
        }
    }
}
