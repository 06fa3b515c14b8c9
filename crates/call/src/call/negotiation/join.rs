//! A join of two calls: a leg of one of them comes to the other, asked by a re-INVITE that offers what the side which waits there has agreed on.
//! An attended transfer does so. Until the re-INVITE is answered both calls are as they were.

use trunkgate_media::EndId;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_sdp::{Description, Refusal, anchored_streams, relay_offer};
use trunkgate_sip::ClientId;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg::StreamEnd;
use crate::call::legs::leg_end::EndedBy;
use crate::call::media::CallMedia;
use crate::call::negotiation::Negotiation;
use crate::call::shared::{Cx, Shared};
use crate::call::words::answer::{Failure, FinalAnswer, refused};
use crate::call::words::state::State;

/// A remote party of another call that is on its way to this one.
#[derive(Debug)]
pub(crate) struct Joining {
    /// Our leg of the party that asked for it.
    pub(crate) by: LegId,
    /// Whether that has hung up already.
    pub(crate) is_gone: bool,
    /// The re-INVITE to the remote party.
    client: ClientId,
    /// What the side that waits has agreed on, as an offer to the remote party.
    pub(crate) offer: Description,
    /// Our ends towards the remote party.
    pub(crate) ends: Vec<StreamEnd>,
    /// Whether the side that waits must be asked again once they are joined: it was on hold, or had further streams.
    pub(crate) is_stale: bool,
    /// Whether the ports of an end could not be bound.
    pub(crate) is_unbound: bool,
}

/// A leg that is on its way to another call.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// The leg.
    pub(crate) leg: LegId,
    /// The leg of the party that asked for it.
    pub(crate) by: LegId,
    /// Whether that has hung up already.
    pub(crate) is_gone: bool,
    /// The re-INVITE to the one that leaves.
    client: ClientId,
    /// The call that it goes to.
    pub(crate) to: CallKey,
}

/// Another call of the sender of a REFER, from which a leg is to come.
#[derive(Debug)]
pub(crate) struct OtherCall<'a> {
    /// What its parts share.
    pub(crate) call: &'a mut Shared,
    /// Its offers and answers.
    pub(crate) negotiation: &'a mut Negotiation,
    /// The leg of the sender in it.
    pub(crate) by: LegId,
}

/// Refuses a party of a program that wants to transfer the other one: where the caller goes the program decides.
pub(crate) fn refused_to_program() -> Box<FinalAnswer> {
    let text = "an application has the call, whose sides cannot be transferred".to_owned();
    let warning = Some(Refusal { warn_code: 399, text });
    Box::new(FinalAnswer { warning, ..FinalAnswer::new(403, ReasonSlug::Denied) })
}

impl Negotiation {
    /// Returns whether a leg of another call is to come here, or one of this call to leave.
    pub(crate) fn is_in_join(&self) -> bool {
        self.joining.is_some() || self.leaving.is_some()
    }

    /// Returns whether a leg is being asked to leave this call.
    pub(crate) fn is_leaving(&self, leg: LegId) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.leg == leg)
    }

    /// Returns the remote party that is on its way to this call.
    pub(crate) fn joining(&self) -> Option<&Joining> {
        self.joining.as_deref()
    }

    /// Takes the remote party that is on its way to this call.
    pub(crate) fn take_joining(&mut self) -> Option<Box<Joining>> {
        self.joining.take()
    }

    /// Takes the leg that a re-INVITE has asked to leave this call.
    pub(crate) fn take_leaving(&mut self, client: ClientId) -> Option<Box<Leaving>> {
        self.leaving.take_if(|leaving| leaving.client == client)
    }

    /// Returns whether the remote party that a re-INVITE asks is to come to this call.
    pub(crate) fn joins_by(&self, call: &Shared, client: ClientId) -> bool {
        call.state == State::Answered && self.joining().is_some_and(|joining| joining.client == client)
    }

    /// Notes that ports of an end towards the remote party that is to come could not be bound; returns whether it is one of those.
    pub(crate) fn join_unbound(&mut self, end: EndId) -> bool {
        let joining = self.joining.as_mut().filter(|joining| joining.ends.iter().any(|slot| slot.end == end));
        joining.map(|joining| joining.is_unbound = true).is_some()
    }

    /// Ends the join of a call that is over, and notifies the call that waits for its leg.
    pub(crate) fn end_join(&mut self, cx: &mut Cx<'_>, reason: ReasonSlug) {
        self.joining = None;
        if let Some(leaving) = self.leaving.take() {
            cx.edge.index_mut().clients.remove(&leaving.client);
            cx.edge.turn_mut().unjoined.push((leaving.to, leaving.client, reason));
        }
    }

    /// Takes the hang-up of a leg that has asked for a join, which goes on. Returns whether it was one.
    pub(crate) fn left_joining(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia, leg: LegId) -> bool {
        let joining = self.joining.as_mut().filter(|joining| joining.by == leg).map(|joining| &mut joining.is_gone);
        let leaving = self.leaving.as_mut().filter(|leaving| leaving.by == leg).map(|leaving| &mut leaving.is_gone);
        let Some(is_gone) = joining.or(leaving) else { return false };
        *is_gone = true;
        cx.call.legs[leg].has_left = true;
        cx.call.legs[leg].end_with(ReasonSlug::Transferred, EndedBy::FarEnd);
        media.drop_ends(cx, leg);
        cx.call.legs.leave_trunk(cx.edge, leg);
        cx.edge.decide(cx.now, cx.call.key, format!("{} has hung up, the transfer goes on", cx.call.legs.name_of(leg)));
        true
    }

    /// Returns whether a change is under way that must be over before another one begins.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.renegotiation.is_some() || self.late.is_some() || self.is_in_join()
    }

    /// Returns whether an answered call's session is being changed.
    pub(crate) fn is_changing(&self, call: &Shared) -> bool {
        call.state == State::Answered && (self.renegotiation.is_some() || self.late.is_some())
    }

    /// Returns the other side of a leg that another one is to replace.
    ///
    /// # Errors
    /// Its call is being changed, an application or an agent has it, or there is no other side.
    pub(crate) fn far_side_of(&self, call: &Shared, leg: LegId) -> Result<LegId, Box<FinalAnswer>> {
        if call.state != State::Answered || self.is_unsettled() {
            return refused(491, ReasonSlug::Transferred);
        }
        if call.is_programmed {
            return Err(refused_to_program());
        }
        let Some(other) = call.legs.other(leg) else { return refused(603, ReasonSlug::Denied) };
        if [leg, other].iter().any(|side| call.legs[*side].agent.is_some()) {
            return refused(403, ReasonSlug::Denied);
        }
        Ok(other)
    }

    /// Asks the remote party of another call of a REFER's sender to come here; `by`: the leg of the sender in this call.
    ///
    /// # Errors
    /// Why both calls stay as they are.
    pub(crate) fn join(
        &mut self,
        cx: &mut Cx<'_>,
        has_room: bool,
        by: LegId,
        other: OtherCall<'_>,
    ) -> Result<(), Box<FinalAnswer>> {
        let (waits, comes) = (self.far_side_of(cx.call, by)?, other.negotiation.far_side_of(other.call, other.by)?);
        if other.call.legs[comes].timer.refresh.is_some() {
            return refused(491, ReasonSlug::Transferred);
        }
        if !has_room {
            return refused(503, ReasonSlug::LimitCalls);
        }
        let Some((mut offer, _)) = cx.call.legs.offer_of(waits) else { return refused(488, ReasonSlug::BadMedia) };
        other.call.legs[comes].keep_sections(&mut offer);
        let Some(media) = cx.call.session else { return refused(500, ReasonSlug::Internal) };
        let bind = cx.edge.addressing().media_bind_for(other.call.legs[comes].flow);
        let mut ends = Vec::new();
        for index in anchored_streams(&offer) {
            match bind.and_then(|bind| cx.edge.add_end(media, bind)) {
                Some(end) => ends.push(StreamEnd::new(index, end)),
                None => {
                    cx.close_joining(ends);
                    return refused(503, ReasonSlug::NoPorts);
                }
            }
        }
        let policy = other.call.legs[comes].policy().towards(cx.call.legs[waits].policy());
        let mut theirs = Cx { now: cx.now, edge: &mut *cx.edge, call: &mut *other.call };
        let asked = theirs.ask_to_leave(comes, &ends, |ports, identity| {
            relay_offer(&offer, &policy, ports, identity)
                .map_err(|refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal))
        });
        let client = match asked {
            Ok(client) => client,
            Err(answer) => {
                cx.close_joining(ends);
                return Err(answer);
            }
        };
        let is_stale = cx.call.legs.is_stale(waits);
        let joining = Joining { by, is_gone: false, client, offer, ends, is_stale, is_unbound: false };
        self.joining = Some(Box::new(joining));
        let leaving = Leaving { leg: comes, by: other.by, is_gone: false, client, to: cx.call.key };
        other.negotiation.leaving = Some(Box::new(leaving));
        note_join(cx, by, (other.call, comes));
        Ok(())
    }
}

/// Notes in both calls that they are joined.
fn note_join(cx: &mut Cx<'_>, by: LegId, (other, comes): (&Shared, LegId)) {
    let (name, far) = (cx.call.legs.name_of(by), other.legs.name_of(comes));
    let (own_sid, other_sid) = (cx.call.legs.sid().to_owned(), other.legs.sid());
    cx.edge.decide(cx.now, cx.call.key, format!("{name} joins the other side with {far} of its call {other_sid}"));
    cx.edge.decide(cx.now, other.key, format!("{name} joins {far} with the other side of its call {own_sid}"));
    let line = format!("{} joins the other side with that of its call {other_sid}", cx.edge.shown_name(&name));
    cx.edge.log(&own_sid, line, None);
}
