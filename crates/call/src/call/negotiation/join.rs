//! Joins of two calls, as in an attended transfer: a leg of one call moves to the other.
//!
//! A re-INVITE offers the moving leg the description of the party that waits in the other call. Both calls stay
//! unchanged until the re-INVITE is answered.

use trunkgate_media::EndId;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_sdp::{SdpRejection, SessionDescription, anchored_streams, relay_offer};
use trunkgate_sip::ClientId;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg::StreamEnd;
use crate::call::legs::leg_end::EndedBy;
use crate::call::media::CallMedia;
use crate::call::negotiation::CallNegotiation;
use crate::call::shared::{CallCx, SharedCallState};
use crate::call::words::answer::{FinalAnswer, TargetFailure, refused};
use crate::call::words::state::CallState;

/// Remote party of another call that is being moved into this call.
#[derive(Debug)]
pub(crate) struct JoiningLeg {
    /// Our leg to the party that requested the join.
    pub(crate) by: LegId,
    /// True once the requesting party has hung up.
    pub(crate) is_gone: bool,
    /// Re-INVITE to the remote party.
    client: ClientId,
    /// Description of the waiting side, in the form of an offer to the remote party.
    pub(crate) offer: SessionDescription,
    /// Our media ends towards the remote party.
    pub(crate) ends: Vec<StreamEnd>,
    /// True if the waiting side needs a re-INVITE after the join, because it was on hold or had further streams.
    pub(crate) is_stale: bool,
    /// True if the ports of an end could not be bound.
    pub(crate) is_unbound: bool,
}

/// Leg that is being moved into another call.
#[derive(Debug)]
pub(crate) struct LeavingLeg {
    /// Moving leg.
    pub(crate) leg: LegId,
    /// Leg of the party that requested the join.
    pub(crate) by: LegId,
    /// True once the requesting party has hung up.
    pub(crate) is_gone: bool,
    /// Re-INVITE to the moving leg.
    client: ClientId,
    /// Destination call.
    pub(crate) to: CallKey,
}

/// Another call of a REFER's sender, from which a leg moves.
#[derive(Debug)]
pub(crate) struct OtherCall<'a> {
    /// Shared state of the other call.
    pub(crate) call: &'a mut SharedCallState,
    /// Offer/answer state of the other call.
    pub(crate) negotiation: &'a mut CallNegotiation,
    /// Leg of the REFER's sender in the other call.
    pub(crate) by: LegId,
}

/// Builds the 403 for a party that wants to transfer the other party of an application-controlled call.
pub(crate) fn refused_to_program() -> Box<FinalAnswer> {
    let text = "an application controls the call: its sides cannot be transferred".to_owned();
    let warning = Some(SdpRejection { warn_code: 399, text });
    Box::new(FinalAnswer { warning, ..FinalAnswer::new(403, ReasonSlug::Denied) })
}

impl CallNegotiation {
    /// Returns whether a leg is being moved into or out of this call.
    pub(crate) fn is_in_join(&self) -> bool {
        self.joining.is_some() || self.leaving.is_some()
    }

    /// Returns whether a leg is being moved out of this call.
    pub(crate) fn is_leaving(&self, leg: LegId) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.leg == leg)
    }

    /// Returns the remote party that is being moved into this call.
    pub(crate) fn joining(&self) -> Option<&JoiningLeg> {
        self.joining.as_deref()
    }

    /// Removes and returns the remote party that is being moved into this call.
    pub(crate) fn take_joining(&mut self) -> Option<Box<JoiningLeg>> {
        self.joining.take()
    }

    /// Removes and returns the leg that is being moved out of this call, if `client` is the re-INVITE sent to it.
    pub(crate) fn take_leaving(&mut self, client: ClientId) -> Option<Box<LeavingLeg>> {
        self.leaving.take_if(|leaving| leaving.client == client)
    }

    /// Returns whether `client` is the re-INVITE of a join into this answered call.
    pub(crate) fn joins_by(&self, call: &SharedCallState, client: ClientId) -> bool {
        call.state == CallState::Answered && self.joining().is_some_and(|joining| joining.client == client)
    }

    /// Marks the pending join as unbound if `end` is one of its media ends. Returns whether it is one.
    pub(crate) fn join_unbound(&mut self, end: EndId) -> bool {
        let joining = self.joining.as_mut().filter(|joining| joining.ends.iter().any(|slot| slot.end == end));
        joining.map(|joining| joining.is_unbound = true).is_some()
    }

    /// Cancels the join of a call that is over, and notifies the call that waits for its leg.
    pub(crate) fn end_join(&mut self, cx: &mut CallCx<'_>, reason: ReasonSlug) {
        self.joining = None;
        if let Some(leaving) = self.leaving.take() {
            cx.edge.index_mut().clients.remove(&leaving.client);
            cx.edge.turn_mut().unjoined.push((leaving.to, leaving.client, reason));
        }
    }

    /// Handles the hang-up of a party that requested a join, which continues. Returns whether `leg` was that party.
    pub(crate) fn left_joining(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, leg: LegId) -> bool {
        let joining = self.joining.as_mut().filter(|joining| joining.by == leg).map(|joining| &mut joining.is_gone);
        let leaving = self.leaving.as_mut().filter(|leaving| leaving.by == leg).map(|leaving| &mut leaving.is_gone);
        let Some(is_gone) = joining.or(leaving) else { return false };
        *is_gone = true;
        cx.call.legs[leg].has_left = true;
        cx.call.legs[leg].end_with(ReasonSlug::Transferred, EndedBy::FarEnd);
        media.drop_ends(cx, leg);
        cx.call.legs.leave_trunk(cx.edge, leg);
        cx.edge.decide(
            cx.now,
            cx.call.key,
            format!("{} has hung up, the transfer continues", cx.call.legs.name_of(leg)),
        );
        true
    }

    /// Returns whether a renegotiation, a late offer or a join is in progress; another change must wait for its end.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.renegotiation.is_some() || self.late.is_some() || self.is_in_join()
    }

    /// Returns whether the session of an answered call is being renegotiated.
    pub(crate) fn is_changing(&self, call: &SharedCallState) -> bool {
        call.state == CallState::Answered && (self.renegotiation.is_some() || self.late.is_some())
    }

    /// Returns the leg on the other side of a leg that is to be replaced.
    ///
    /// # Errors
    /// 491 while the call is not answered or is being changed, 403 if an application or an agent has it, 603
    /// without another side.
    pub(crate) fn far_side_of(&self, call: &SharedCallState, leg: LegId) -> Result<LegId, Box<FinalAnswer>> {
        if call.state != CallState::Answered || self.is_unsettled() {
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

    /// Sends a re-INVITE to the remote party of another call of a REFER's sender, to move it into this call. `by` is
    /// the sender's leg in this call.
    ///
    /// # Errors
    /// The final response to the REFER: 403 or 491 if a side may not be moved now, 488 without common media, 500 or 503
    /// without ports or room. Both calls stay as they are.
    pub(crate) fn join(
        &mut self,
        cx: &mut CallCx<'_>,
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
        let policy = other.call.legs[comes].policy().policy_towards(cx.call.legs[waits].policy());
        let mut theirs = CallCx { now: cx.now, edge: &mut *cx.edge, call: &mut *other.call };
        let asked = theirs.ask_to_leave(comes, &ends, |ports, identity| {
            relay_offer(&offer, &policy, ports, identity)
                .map_err(|refusal| TargetFailure::unusable(ReasonSlug::CodecMismatch, refusal))
        });
        let client = match asked {
            Ok(client) => client,
            Err(answer) => {
                cx.close_joining(ends);
                return Err(answer);
            }
        };
        let is_stale = cx.call.legs.is_stale(waits);
        let joining = JoiningLeg { by, is_gone: false, client, offer, ends, is_stale, is_unbound: false };
        self.joining = Some(Box::new(joining));
        let leaving = LeavingLeg { leg: comes, by: other.by, is_gone: false, client, to: cx.call.key };
        other.negotiation.leaving = Some(Box::new(leaving));
        note_join(cx, by, (other.call, comes));
        Ok(())
    }
}

/// Adds the join to the decisions of both calls and to this call's log.
fn note_join(cx: &mut CallCx<'_>, by: LegId, (other, comes): (&SharedCallState, LegId)) {
    let (name, far) = (cx.call.legs.name_of(by), other.legs.name_of(comes));
    let (own_sid, other_sid) = (cx.call.legs.sid().to_owned(), other.legs.sid());
    cx.edge.decide(cx.now, cx.call.key, format!("{name} joins the other side with {far} of its call {other_sid}"));
    cx.edge.decide(cx.now, other.key, format!("{name} joins {far} with the other side of its call {own_sid}"));
    let line = format!("{} joins the other side with that of its call {other_sid}", cx.edge.shown_name(&name));
    cx.edge.log(&own_sid, line, None);
}
