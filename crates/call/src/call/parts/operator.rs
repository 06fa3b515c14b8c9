//! HTTP requests for a call between two remote parties: hold, resume, play, digits and transfer.
//!
//! A hold by request is local to the edge: no party gets a re-INVITE, the held party hears music instead of the other
//! party, and session changes by a party are answered without ending the hold. A sound is played to a party during a
//! hold that ends with the sound.

use std::sync::Arc;

use trunkgate_media::MediaCommand;
use trunkgate_resources::limits::KEYS_PER_REQUEST;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::CallTarget;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::hold::{HoldKind, LegHold};
use crate::call::legs::leg::Leg;
use crate::call::legs::leg_end::EndedBy;
use crate::call::negotiation::{Bridge, CallNegotiation};
use crate::call::parts::CallParts;
use crate::call::program::effects::LowerParts;
use crate::call::search::controller::{Controller, TargetResult};
use crate::call::shared::CallCx;
use crate::call::transfer::effects::TransferEffect;
use crate::call::transfer::onward::{self, target_of};
use crate::call::transfer::warm::{self, TransferMode};
use crate::call::words::answer::TargetFailure;
use crate::call::words::party::CallParty;
use crate::call::words::refer::{ActiveReferral, ReferRequest};
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;

/// The two remote parties of an answered call without a pending session change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RemoteParties {
    near: LegId,
    callee: LegId,
}

impl RemoteParties {
    /// Returns the remote parties of a call.
    ///
    /// # Errors
    /// No two remote parties are connected, or their session is being changed.
    pub(crate) fn of(cx: &CallCx<'_>, parts: &CallParts) -> Result<RemoteParties, RequestRefusal> {
        let program = &parts.program;
        let is_at_program = cx.call.state == CallState::Rerouting || cx.call.legs.callee.is_none();
        if (program.is_running() && is_at_program) || program.is_whispering() {
            return Err(RequestRefusal::InApplication);
        }
        match cx.call.state {
            CallState::Searching => return Err(RequestRefusal::NotAnswered),
            CallState::Rerouting => return Err(RequestRefusal::Transferring),
            CallState::Leaving | CallState::Ended => return Err(RequestRefusal::CallEnded),
            CallState::Answered => {}
        }
        let (near, callee) = (cx.call.legs.near, cx.call.legs.callee.ok_or(RequestRefusal::Transferring)?);
        if cx.call.legs[callee].agent.is_some() {
            return Err(RequestRefusal::HasAgent);
        }
        if parts.bridge.negotiation.is_unsettled() {
            return Err(RequestRefusal::Changing);
        }
        Ok(RemoteParties { near, callee })
    }

    /// Puts parties on hold.
    ///
    /// # Errors
    /// One of the two parties cannot hear the edge.
    pub(crate) fn hold(
        self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        parties: &[CallParty],
    ) -> Result<(), RequestRefusal> {
        self.check_audible(cx, &bridge.negotiation, parties)?;
        for party in self.among(parties) {
            match cx.call.legs.holds.get_mut(self.other(party)) {
                Some(hold) if hold.kind == HoldKind::Requested => continue,
                Some(hold) => hold.kind = HoldKind::Requested,
                None => drop(cx.call.legs.holds.insert(self.other(party), LegHold::of(HoldKind::Requested))),
            }
            self.note(cx, party, "is put on hold, as requested");
        }
        bridge.media.part_and_play(cx);
        Ok(())
    }

    /// Takes parties off hold that are on hold by request, or hear a requested sound.
    ///
    /// # Errors
    /// None of the named parties is on hold by request.
    pub(crate) fn resume(
        self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        parties: &[CallParty],
    ) -> Result<(), RequestRefusal> {
        let is_held = |party: &CallParty| {
            cx.call.legs.holds.get(self.other(*party)).is_some_and(|hold| hold.kind != HoldKind::Party)
        };
        let held: Vec<CallParty> = self.among(parties).filter(is_held).collect();
        if held.is_empty() {
            return Err(RequestRefusal::NotHeld);
        }
        for party in held {
            self.note(cx, party, "is taken off hold, as requested");
            bridge.release(cx, self.other(party));
        }
        Ok(())
    }

    /// Plays a sound to parties, which hear it instead of the other party; `why`: reason for the trace.
    ///
    /// # Errors
    /// A party cannot hear the edge.
    pub(crate) fn play(
        self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        parties: &[CallParty],
        (name, sound): (&str, &Arc<[u8]>),
        why: &str,
    ) -> Result<(), RequestRefusal> {
        self.check_audible(cx, &bridge.negotiation, parties)?;
        for party in self.among(parties) {
            let holder = self.other(party);
            let mut hold = cx.call.legs.holds.remove(holder).unwrap_or(LegHold::of(HoldKind::Sound));
            hold.sound = Some(sound.clone());
            if let (Some(player), Some(media)) = (hold.player, cx.call.session) {
                let heard = hold.heard(cx.call.legs.music_of(holder));
                cx.edge.media(media, MediaCommand::Play { end: player, sound: heard });
            }
            cx.call.legs.holds.insert(holder, hold);
            self.note(cx, party, &format!("hears {name}, {why}"));
        }
        bridge.media.part_and_play(cx);
        Ok(())
    }

    fn press(
        self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        party: CallParty,
        digits: &str,
    ) -> Result<(), RequestRefusal> {
        let is_key = |key: &char| matches!(key, '0'..='9' | '*' | '#' | 'A'..='D');
        let other = digits.chars().find(|key| !is_key(key));
        if other.is_some() || !(1..=KEYS_PER_REQUEST).contains(&digits.len()) {
            return Err(RequestRefusal::BadDigits(other));
        }
        if !bridge.press_for_called(cx, self.leg(party), digits) {
            return Err(RequestRefusal::NoTelephoneEvent);
        }
        self.note(cx, party, &format!("is sent {} DTMF digits, as requested", digits.len()));
        Ok(())
    }

    /// Returns the leg of a party.
    fn leg(self, party: CallParty) -> LegId {
        match party {
            CallParty::Caller => self.near,
            CallParty::Callee => self.callee,
        }
    }

    /// Returns the leg of the other party.
    fn other(self, party: CallParty) -> LegId {
        match party {
            CallParty::Caller => self.callee,
            CallParty::Callee => self.near,
        }
    }

    /// Returns the parties that a request names.
    fn among(self, parties: &[CallParty]) -> impl Iterator<Item = CallParty> {
        CallParty::ALL.into_iter().filter(|party| parties.contains(party))
    }

    /// Checks that parties can hear the edge, and can be connected with each other again.
    ///
    /// # Errors
    /// The edge cannot encode for a party, or the two sides could not be connected again without a new negotiation.
    fn check_audible(
        self,
        cx: &CallCx<'_>,
        negotiation: &CallNegotiation,
        parties: &[CallParty],
    ) -> Result<(), RequestRefusal> {
        let is_audible = self.among(parties).all(|party| cx.call.legs.playback_wire(self.leg(party)).is_some());
        let offer = cx.call.standing(self.near).ok_or(RequestRefusal::OtherAudio)?;
        let can_resume = negotiation.as_agreed(cx.call, (self.near, self.callee), &offer).is_some();
        if is_audible && can_resume { Ok(()) } else { Err(RequestRefusal::OtherAudio) }
    }

    /// Notes a request about a party in trace and log. `what` is a clause that follows the party's name.
    fn note(self, cx: &mut CallCx<'_>, party: CallParty, what: &str) {
        self.note_as(cx, party, what, what);
    }

    /// Notes a request in the trace, and with a redacted text (`logged`) in the log.
    fn note_as(self, cx: &mut CallCx<'_>, party: CallParty, what: &str, logged: &str) {
        let name = cx.call.legs.name_of(self.leg(party));
        cx.edge.decide(cx.now, cx.call.key, format!("{name} (the {}) {what}", party.name()));
        let (sid, line) = (cx.call.legs.sid().to_owned(), format!("{} {logged}", cx.edge.shown_name(&name)));
        cx.edge.log(&sid, line, None);
    }
}

/// Request to connect a party with a target; the other party leaves once the target answers. The caller of an agent
/// goes only to targets that the agent may use.
#[derive(Debug)]
pub(crate) struct TransferRequest<'a> {
    /// Party that is sent to the target.
    pub(crate) party: CallParty,
    /// Target as text: a name, number or URI.
    pub(crate) target: &'a str,
    /// Condition for the end of the transferor's leg.
    pub(crate) mode: TransferMode,
}

impl TransferRequest<'_> {
    /// Begins the transfer.
    ///
    /// # Errors
    /// The parties are not connected or cannot hear the edge, an application has the call, the mode needs an agent, or
    /// the target is unknown. The parties stay connected.
    pub(crate) fn begin(self, cx: &mut CallCx<'_>, parts: &mut CallParts) -> Result<(), RequestRefusal> {
        let TransferRequest { party, target: text, mode } = self;
        let has_agent = cx.call.legs.callee.is_some_and(|leg| cx.call.legs[leg].agent.is_some());
        match (party, &mode) {
            (CallParty::Callee, TransferMode::Consult) => return Err(RequestRefusal::NoAgent),
            (CallParty::Caller, mode) if *mode == TransferMode::Consult || has_agent => {
                let lower = &mut LowerParts::of(&mut parts.bridge, &mut parts.search, &mut parts.recorders);
                onward::requested(cx, lower, text, mode.clone())?.act(parts, cx);
                return Ok(());
            }
            (CallParty::Caller | CallParty::Callee, _) => {}
        }
        let parties = RemoteParties::of(cx, parts)?;
        if parts.program.is_running() {
            return Err(RequestRefusal::InApplication);
        }
        let (waits, by) = (parties.leg(party), parties.other(party));
        if cx.call.legs.offer_of(waits).is_none() {
            return Err(RequestRefusal::OtherAudio);
        }
        if matches!(&mode, TransferMode::Warm(warm) if warm.coach) {
            return Err(RequestRefusal::NoAgent);
        }
        let target = target_of(&parts.search, cx, by, text, &mode)?;
        let called = match &target {
            CallTarget::Trunk { number: Some(number), .. } => cx.edge.numbers().normalise_caller(number, None),
            // An agent's stream always belongs to the caller of the INVITE.
            CallTarget::Agent(_) if waits != LegId::CALLER => return Err(RequestRefusal::UnknownTarget),
            CallTarget::Trunk { .. } | CallTarget::Uri { .. } | CallTarget::Agent(_) => cx.call.facts.called.clone(),
            CallTarget::App(_) | CallTarget::Reject(_) | CallTarget::RingAll(_) => {
                return Err(RequestRefusal::UnknownTarget);
            }
        };
        let sent = |to: &str| format!("is sent to {to}, as requested");
        parties.note_as(cx, party, &sent(text), &sent(&cx.edge.shown_name(text)));
        cx.call.facts.spend_hop();
        if let TransferMode::Warm(settings) = mode {
            warm::begin(cx, &mut parts.search.consults, *settings);
        }
        let refer = ReferRequest::requested(called, text);
        let lower = &mut LowerParts::of(&mut parts.bridge, &mut parts.search, &mut parts.recorders);
        let controller = Controller::plan_of(vec![target]);
        parts.transfers.begin(cx, lower, ActiveReferral { by, refer }, controller, true).act(parts, cx);
        Ok(())
    }
}

/// Sends digits to a party, in the party's own DTMF format. No trace and no log contains them.
///
/// # Errors
/// The text contains characters other than digits, or the party takes no digits.
pub(crate) fn press(
    parts: &mut CallParts,
    cx: &mut CallCx<'_>,
    party: CallParty,
    digits: &str,
) -> Result<(), RequestRefusal> {
    if cx.call.is_local() && party == CallParty::Caller {
        return parts.bridge.press_keys(cx, digits);
    }
    RemoteParties::of(cx, parts)?.press(cx, &mut parts.bridge, party, digits)
}

/// Ends the call of one dialled party, given by SID.
///
/// # Errors
/// No party has this SID, or its call is over.
pub(crate) fn end_party(parts: &mut CallParts, cx: &mut CallCx<'_>, sid: &str) -> Result<(), RequestRefusal> {
    let is_party = |leg: &Leg| leg.agent.is_none() || leg.sip.dialled.is_some();
    let found = cx.call.legs.with_ids().find(|(_, leg)| leg.sid == sid && is_party(leg));
    let leg = found.map(|(at, _)| at).filter(|at| *at != LegId::CALLER).ok_or(RequestRefusal::UnknownCall)?;
    let name = cx.call.legs.name_of(leg);
    let talks = cx.call.state == CallState::Answered || parts.search.is_consulting();
    if cx.call.legs.callee == Some(leg) && talks {
        cx.edge.decide(cx.now, cx.call.key, format!("{name} is disconnected, as requested"));
        cx.call.legs[leg].end_with(ReasonSlug::Operator, EndedBy::Edge);
        parts.bridge.media.hang_up_leg(cx, leg, ReasonSlug::Operator);
        parts.side_left(cx, ReasonSlug::Operator);
        return Ok(());
    }
    if parts.search.consults.asks(leg) {
        TransferEffect::declined(TargetFailure::unreached(ReasonSlug::Operator), EndedBy::Edge).act(parts, cx);
        return Ok(());
    }
    let branch = parts.search.calling_on(cx.call, leg).ok_or(RequestRefusal::CallEnded)?;
    cx.edge.decide(cx.now, cx.call.key, format!("{name} is canceled, as requested"));
    cx.withdraw(leg);
    let failure = TargetFailure::with_code(487, ReasonSlug::Operator);
    parts.fail_target(cx, branch, TargetResult::Failed(failure));
    Ok(())
}
