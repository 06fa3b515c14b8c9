//! INVITE with Replaces (RFC 3891): a peer of a trunk takes the place of another leg of its own trunk. The far side of that leg
//! is asked by re-INVITE for what the new one offers; once it agrees, the new leg is answered, and the old one gets BYE. Until
//! then the call is as it was, and stays so where it does not. To everybody else there are no dialogs to replace.

use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::{Named, Place, Purpose};
use trunkgate_resources::key::LegId;
use trunkgate_route::ReferMode;
use trunkgate_sdp::{Description, anchored_streams, relay_offer};
use trunkgate_sip::header::Replaces;
use trunkgate_sip::{HeaderName, Message, Replaced};
use trunkgate_story::numbers::caller;
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::leg_end::EndedBy;
use crate::call::negotiation::refresh::Asked;
use crate::call::negotiation::reinvite::{Relay, Renegotiation};
use crate::call::search::answer::FinalAnswer;
use crate::call::setup::Incoming;
use crate::gateway::Gateway;

fn refused<T>(code: u16, reason: ReasonSlug) -> Result<T, Box<FinalAnswer>> {
    Err(Box::new(FinalAnswer::new(code, reason)))
}

impl Gateway {
    /// An INVITE that is to take the place of a leg.
    pub(crate) fn replacing(&mut self, now: Instant, incoming: &Incoming) {
        let named = self.named_by(incoming);
        let answer = match named {
            Ok((at, by)) => {
                self.at_work = Some(at.key);
                let call = self.calls.get_mut(&at.key);
                let result = call.map(|call| call.replace(now, &mut self.edge, by, incoming));
                self.at_work = None;
                self.note_if_done(at.key);
                result.unwrap_or_else(|| refused(603, ReasonSlug::Denied)).err()
            }
            Err(answer) => Some(answer),
        };
        let Some(answer) = answer else { return };
        self.edge.respond(now, incoming.server, answer.to_sip());
        let trunk = &incoming.trunk.name;
        self.edge.trunks.problem(now, trunk, format!("its INVITE with Replaces was refused with {}", answer.code));
    }

    /// The leg that an INVITE names to be replaced (RFC 3891 §3: its to-tag is ours), with the place by which it was found. The one
    /// exception is a dialog that a REFER which went on (`refer = "relay"`) has named to the sender, as its far side knows it:
    /// with the tags the other way round.
    fn named_by(&mut self, incoming: &Incoming) -> Result<(Place, LegId), Box<FinalAnswer>> {
        let replaces = read(&incoming.request).ok_or_else(|| Box::new(FinalAnswer::bad_request("Replaces")))?;
        if incoming.trunk.refer == ReferMode::Refuse {
            return refused(403, ReasonSlug::Denied);
        }
        let own = self.edge.endpoint.replaced_dialog(incoming.party, &replaces);
        let far = if own.is_none() { self.named_afar(incoming, &replaces) } else { None };
        let dialog = match own.or(far) {
            Some(Replaced::Confirmed(_)) if replaces.early_only => return refused(486, ReasonSlug::TargetBusy),
            Some(Replaced::Confirmed(dialog)) => dialog,
            Some(Replaced::Ended) => return refused(603, ReasonSlug::Denied),
            Some(Replaced::Early(_)) | None => return refused(481, ReasonSlug::Denied),
        };
        let at = self.edge.index.dialogs.get(&dialog).copied();
        let by = at.and_then(|at| {
            let call = self.calls.get(&at.key)?;
            Some((at, if far.is_some() { call.legs.other(at.leg)? } else { at.leg }))
        });
        by.map_or_else(|| refused(603, ReasonSlug::Denied), Ok)
    }

    /// The confirmed dialog that an INVITE names with the tags the other way round, where a REFER that went on has named it so.
    fn named_afar(&mut self, incoming: &Incoming, replaces: &Replaces) -> Option<Replaced> {
        let found = self.edge.endpoint.replaced_dialog(incoming.party, &replaces.seen_from_afar());
        let Some(Replaced::Confirmed(dialog)) = found else { return None };
        let at = self.edge.index.dialogs.get(&dialog)?;
        let leg = self.calls.get(&at.key)?.legs.get(at.leg)?;
        leg.is_named_afar.then_some(Replaced::Confirmed(dialog))
    }
}

/// The one Replaces of a request that may have it; none beside a Join (RFC 3911 §4).
fn read(request: &Message) -> Option<Replaces> {
    let mut all = request.headers(HeaderName::Replaces);
    let (Some(value), None, None) = (all.next(), all.next(), request.header_named("Join")) else { return None };
    Replaces::parse(value)
}

impl Call {
    /// Takes a new leg in that is to have the place of `by`.
    fn replace(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        by: LegId,
        incoming: &Incoming,
    ) -> Result<(), Box<FinalAnswer>> {
        let Incoming { server, trunk, request, .. } = incoming;
        let waits = self.far_side_of(by)?;
        let session = Asked::of(request);
        match () {
            () if request.max_forwards() == Some(0) => return refused(483, ReasonSlug::TooManyHops),
            () if session.is_too_short() => return refused(422, ReasonSlug::SessionTooShort),
            () if !self.has_room_for_another() => return refused(503, ReasonSlug::LimitCalls),
            () => {}
        }
        let mut leg = Leg::of_caller(edge, incoming);
        leg.timer.ask(session);
        leg.number = Some(Box::new(caller(request, edge.table.numbers()).number));
        let offer = leg.offered(edge, request).map_err(Box::new)?;
        // It costs what a new call costs; in its own trunk it takes the place of one.
        let is_own = self.legs[by].trunk_name() == &*trunk.name;
        let admitted = edge.admission.check_rate(now, &trunk.name).and_then(|()| {
            if is_own {
                edge.trunks.pay(now, &trunk.name)?;
                edge.resume_trunk_call(&trunk.name);
                return Ok(());
            }
            edge.begin_trunk_call(now, &trunk.name)
        });
        admitted.or_else(|reason| refused(503, reason))?;
        let at = self.legs.place(self.legs.next_id());
        let named = Named { at, party: leg.party, trunk: leg.trunk.clone(), remote: incoming.flow.remote.ip() };
        edge.index.enter(leg.call_id.as_bytes(), named);
        edge.index.servers.insert(*server, at);
        self.legs.push(leg);
        edge.trace_received(now, at);
        edge.trace_trying(now, at, *server);
        let (new, old) = (self.legs.name_of(at.leg), self.legs.name_of(by));
        edge.decide(now, self.key, format!("INVITE of {new} with Replaces for the leg of {old}"));
        let begun = match offer {
            Some(offer) => self.offer_in_place(now, edge, (at.leg, by, waits), incoming, offer),
            None => self.answer_in_place(now, edge, (at.leg, by, waits), incoming),
        };
        if begun.is_err() {
            edge.index.servers.remove(server);
            self.does_not_replace(edge, at.leg);
        }
        begun
    }

    /// Asks the far side for what the new leg offers.
    fn offer_in_place(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        (new, by, waits): (LegId, LegId, LegId),
        incoming: &Incoming,
        offer: Description,
    ) -> Result<(), Box<FinalAnswer>> {
        let way = Relay { from: new, to: waits, server: Some(incoming.server), by: Purpose::Reinvite, restores: false };
        self.relay(now, edge, way, offer)?;
        if let Some(pending) = &mut self.negotiation.renegotiation {
            pending.replaces = Some(by);
        }
        Ok(())
    }

    /// Answers a new leg that makes no offer by what the far side has agreed on; its ACK says the rest.
    fn answer_in_place(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        (new, by, waits): (LegId, LegId, LegId),
        incoming: &Incoming,
    ) -> Result<(), Box<FinalAnswer>> {
        let unusable = |refusal| Box::new(FinalAnswer::not_acceptable(ReasonSlug::CodecMismatch, refusal));
        let Some((offer, _)) = self.legs.offer_of(waits) else { return refused(488, ReasonSlug::BadMedia) };
        let is_stale = self.legs.is_stale(waits);
        if self.draw_missing(edge, &[new], &offer).is_none() {
            return refused(503, ReasonSlug::NoPorts);
        }
        let leg = &self.legs[new];
        let policy = leg.policy().towards(self.legs[waits].policy());
        let ours = relay_offer(&offer, &policy, &leg.ports(&anchored_streams(&offer)), &leg.identity());
        let mut ours = ours.map_err(unusable)?;
        leg.protect_first(edge, &mut ours, leg.late_form()).map_err(|failure| Box::new(failure.answer()))?;
        let ours = self.legs[new].stamp(ours);
        self.negotiation.late = Some(new);
        edge.index.servers.remove(&incoming.server);
        self.answer_request(now, edge, new, incoming.server, &ours);
        self.replaced(now, edge, (new, by, waits));
        if is_stale {
            self.owe(waits, false);
        }
        Ok(())
    }

    /// The new leg has been answered: it has the place of the old one, which gets BYE.
    pub(crate) fn replaced(&mut self, now: Instant, edge: &mut Edge, (new, by, waits): (LegId, LegId, LegId)) {
        self.legs.leave_trunk(edge, by);
        self.legs[by].end_with(ReasonSlug::Transferred, EndedBy::Edge);
        self.take_side(edge, by, new, waits);
        self.negotiation.owed.clear();
        let (name, old) = (self.legs.name_of(new), self.legs.name_of(by));
        edge.decide(now, self.key, format!("{name} replaced {old}"));
        let (sid, name) = (self.legs.sid().to_owned(), edge.shown_name(&name));
        edge.log(&sid, format!("goes on with {name}, whose INVITE replaces a leg"), None);
        self.hang_up_leg(now, edge, by, ReasonSlug::Transferred);
        if self.legs[new].dialog.is_none() {
            // Its CANCEL has been answered already.
            self.legs[new].state = LegState::Ended;
            self.end(now, edge, ReasonSlug::CallerCanceled);
        }
    }

    /// A change that was to bring a new leg in has come to nothing: what is to be put back is the old leg's.
    pub(crate) fn give_up_replacing(&mut self, edge: &mut Edge, pending: &mut Renegotiation) {
        if let Some(by) = pending.replaces.take() {
            let new = std::mem::replace(&mut pending.way.from, by);
            self.does_not_replace(edge, new);
        }
    }

    fn does_not_replace(&mut self, edge: &mut Edge, new: LegId) {
        self.drop_ends(edge, new);
        self.legs.leave_trunk(edge, new);
        let leg = &mut self.legs[new];
        leg.state = LegState::Ended;
        leg.server = None;
        leg.end_with(ReasonSlug::Denied, EndedBy::Edge);
    }

    /// The leg that is to replace another one, until it does.
    pub(crate) fn newcomer(&self) -> Option<LegId> {
        self.negotiation
            .renegotiation
            .as_ref()
            .filter(|pending| pending.replaces.is_some())
            .map(|pending| pending.way.from)
    }
}
