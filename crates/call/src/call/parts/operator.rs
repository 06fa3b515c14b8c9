//! Requests over HTTP for a call between two remote parties: hold, resume, play, digits and transfer.
//!
//! A hold of this kind is one that ends here: no party is sent a re-INVITE, the held one hears music instead of the other, and what a party
//! itself wants of its session is answered without ending it. A sound is played in the same way, and ends its hold.

use std::sync::Arc;

use trunkgate_media::{Command, EndId};
use trunkgate_resources::limits::KEYS_PER_REQUEST;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::Target;
use trunkgate_sdp::Direction;
use trunkgate_story::reason::ReasonSlug;

use crate::call::Parts;
use crate::call::legs::hold::{Hold, HoldKind};
use crate::call::legs::leg::Leg;
use crate::call::legs::leg_end::EndedBy;
use crate::call::search::controller::{Controller, TargetResult};
use crate::call::shared::Cx;
use crate::call::transfer::onward::{AgentTransfer, target_of};
use crate::call::transfer::warm::{Asking, TransferMode};
use crate::call::words::answer::Failure;
use crate::call::words::party::CallParty;
use crate::call::words::refer::Refer;
use crate::call::words::refused::Refused;
use crate::call::words::state::State;

/// Carries requests out.
pub(crate) struct Operator<'p> {
    parts: &'p mut Parts,
}

impl<'p> Operator<'p> {
    /// Acts on a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Operator<'p> {
        Operator { parts }
    }

    /// Puts parties on hold.
    pub(crate) fn hold(&mut self, cx: &mut Cx<'_>, parties: &[CallParty]) -> Result<(), Refused> {
        let held = self.audible(cx, parties)?;
        for (party, leg, holder) in held {
            match cx.call.legs.holds.get_mut(holder) {
                Some(hold) if hold.kind == HoldKind::Requested => continue,
                Some(hold) => hold.kind = HoldKind::Requested,
                None => drop(cx.call.legs.holds.insert(holder, Hold::of(HoldKind::Requested))),
            }
            self.note(cx, party, leg, "is put on hold, as requested");
        }
        self.play_to_held(cx);
        Ok(())
    }

    /// Takes parties off hold that were put on hold by a request.
    pub(crate) fn resume(&mut self, cx: &mut Cx<'_>, parties: &[CallParty]) -> Result<(), Refused> {
        let sides = self.sides(cx)?;
        let is_wanted = |party: &CallParty| parties.contains(party);
        let held = sides.into_iter().filter(|(party, ..)| is_wanted(party));
        let is_held = |holder| cx.call.legs.holds.get(holder).is_some_and(|hold| hold.kind != HoldKind::Party);
        let held: Vec<_> = held.filter(|(_, _, holder)| is_held(*holder)).collect();
        if held.is_empty() {
            return Err(Refused::NotHeld);
        }
        for (party, leg, holder) in held {
            self.note(cx, party, leg, "is taken off hold, as requested");
            self.release(cx, holder);
        }
        Ok(())
    }

    /// Plays a sound to parties, which hear it instead of the other one; `why`: as the trace has it.
    pub(crate) fn play(
        &mut self,
        cx: &mut Cx<'_>,
        parties: &[CallParty],
        (name, sound): (&str, &Arc<[u8]>),
        why: &str,
    ) -> Result<(), Refused> {
        let held = self.audible(cx, parties)?;
        for (party, leg, holder) in held {
            let mut hold = cx.call.legs.holds.remove(holder).unwrap_or(Hold::of(HoldKind::Sound));
            hold.sound = Some(sound.clone());
            if let (Some(player), Some(media)) = (hold.player, cx.call.session) {
                let heard = hold.heard(cx.call.legs.music_of(holder));
                cx.edge.media(media, Command::Play { end: player, sound: heard });
            }
            cx.call.legs.holds.insert(holder, hold);
            self.note(cx, party, leg, &format!("hears {name}, {why}"));
        }
        self.play_to_held(cx);
        Ok(())
    }

    /// A player has played its sound to the end; returns whether it was one that plays to a held side.
    pub(crate) fn played(&mut self, cx: &mut Cx<'_>, end: EndId) -> bool {
        let plays = |(holder, hold): (LegId, &Hold)| (hold.player == Some(end)).then_some((holder, hold.kind));
        let found = cx.call.legs.holds.iter().find_map(plays);
        let Some((holder, kind)) = found else { return false };
        if kind == HoldKind::Sound {
            cx.edge.decide(cx.now, cx.call.key, "the sound has been heard to its end");
            self.release(cx, holder);
        } else if let Some((hold, media)) = cx.call.legs.holds.get_mut(holder).zip(cx.call.session) {
            // The hold was requested while the sound played.
            hold.sound = None;
            let hold = hold.clone();
            let heard = hold.heard(cx.call.legs.music_of(holder));
            cx.edge.media(media, Command::Play { end, sound: heard });
        }
        true
    }

    /// Ends sounds that a restart or a transfer has cut off.
    pub(crate) fn end_lost_sounds(&mut self, cx: &mut Cx<'_>) {
        let lost = |hold: &Hold| hold.kind == HoldKind::Sound && hold.sound.is_none();
        let holders: Vec<LegId> =
            cx.call.legs.holds.iter().filter_map(|(leg, hold)| lost(hold).then_some(leg)).collect();
        holders.into_iter().for_each(|holder| self.release(cx, holder));
    }

    /// Sends digits to a party, in its own form. The digits are for its ear only: never in a trace or a log.
    pub(crate) fn press(&mut self, cx: &mut Cx<'_>, party: CallParty, digits: &str) -> Result<(), Refused> {
        if cx.call.is_local() && party == CallParty::Caller {
            return self.parts.bridge.press_keys(cx, digits);
        }
        let sides = self.sides(cx)?;
        let (_, leg, _) = sides.into_iter().find(|(side, ..)| *side == party).ok_or(Refused::Internal)?;
        let is_key = |key: &char| matches!(key, '0'..='9' | '*' | '#' | 'A'..='D');
        let other = digits.chars().find(|key| !is_key(key));
        if other.is_some() || !(1..=KEYS_PER_REQUEST).contains(&digits.len()) {
            return Err(Refused::BadDigits(other));
        }
        if !self.parts.bridge.press_for_called(cx, leg, digits) {
            return Err(Refused::NoTelephoneEvent);
        }
        self.note(cx, party, leg, &format!("is sent {} DTMF digits, as requested", digits.len()));
        Ok(())
    }

    /// Ends the call of one party.
    pub(crate) fn end_party(&mut self, cx: &mut Cx<'_>, sid: &str) -> Result<(), Refused> {
        let is_party = |leg: &Leg| leg.agent.is_none() || leg.sip.dialled.is_some();
        let found = cx.call.legs.with_ids().find(|(_, leg)| leg.sid == sid && is_party(leg));
        let leg = found.map(|(at, _)| at).filter(|at| *at != LegId::CALLER).ok_or(Refused::UnknownCall)?;
        let name = cx.call.legs.name_of(leg);
        let talks = cx.call.state == State::Answered || self.parts.search.is_consulting();
        if cx.call.legs.callee == Some(leg) && talks {
            cx.edge.decide(cx.now, cx.call.key, format!("{name} is hung up on, as requested"));
            cx.call.legs[leg].end_with(ReasonSlug::Operator, EndedBy::Edge);
            self.parts.bridge.media.hang_up_leg(cx, leg, ReasonSlug::Operator);
            self.parts.side_left(cx, ReasonSlug::Operator);
            return Ok(());
        }
        if Asking::of(self.parts).ends(cx, leg, (ReasonSlug::Operator, EndedBy::Edge)) {
            return Ok(());
        }
        let branch = self.parts.search.calling_on(cx.call, leg).ok_or(Refused::CallEnded)?;
        cx.edge.decide(cx.now, cx.call.key, format!("{name} is canceled, as requested"));
        cx.withdraw(leg);
        let failure = Failure::with_code(487, ReasonSlug::Operator);
        self.parts.fail_target(cx, branch, TargetResult::Failed(failure));
        Ok(())
    }

    /// Connects a party with a target in place of the other party, which leaves once the target answers; of an agent's caller as its agent may.
    pub(crate) fn transfer(
        &mut self,
        cx: &mut Cx<'_>,
        party: CallParty,
        text: &str,
        mode: TransferMode,
    ) -> Result<(), Refused> {
        match (party, &mode) {
            (CallParty::Callee, TransferMode::Consult) => return Err(Refused::NoAgent),
            (CallParty::Caller, mode) if *mode == TransferMode::Consult || self.parts.has_agent(cx) => {
                return AgentTransfer::of(self.parts).requested(cx, text, mode.clone());
            }
            (CallParty::Caller | CallParty::Callee, _) => {}
        }
        let sides = self.sides(cx)?;
        if self.parts.program.is_running() {
            return Err(Refused::InApplication);
        }
        let (_, waits, by) = sides.into_iter().find(|(side, ..)| *side == party).ok_or(Refused::Internal)?;
        if cx.call.legs.offer_of(waits).is_none() {
            return Err(Refused::OtherAudio);
        }
        if matches!(&mode, TransferMode::Warm(warm) if warm.coach) {
            return Err(Refused::NoAgent);
        }
        let target = target_of(&self.parts.search, cx, by, text, &mode)?;
        let called = match &target {
            Target::Trunk { number: Some(number), .. } => cx.edge.numbers().normalise_caller(number, None),
            // The stream of an agent knows one caller, who has called.
            Target::Agent(_) if waits != LegId::CALLER => return Err(Refused::UnknownTarget),
            Target::Trunk { .. } | Target::Uri { .. } | Target::Agent(_) => cx.call.facts.called.clone(),
            Target::App(_) | Target::Reject(_) | Target::RingAll(_) => return Err(Refused::UnknownTarget),
        };
        let sent = |to: &str| format!("is sent to {to}, as requested");
        self.note_as(cx, (party, waits), &sent(text), &sent(&cx.edge.shown_name(text)));
        cx.call.facts.spend_hop();
        let refer = Refer {
            number: Some(called),
            name: text.to_owned(),
            replaces: None,
            referred_by: None,
            cseq: 0,
            is_silent: true,
            returned: None,
        };
        if let TransferMode::Warm(warm) = mode {
            Asking::of(self.parts).begin(cx, *warm);
        }
        self.parts.begin_transfer(cx, by, Controller::plan_of(vec![target]), refer);
        if let Some(transfer) = &mut self.parts.bridge.negotiation.transfers.now {
            transfer.is_requested = true;
        }
        Ok(())
    }

    /// Each party with its leg and the other one's, where two remote parties talk and nothing of their session is being changed.
    fn sides(&self, cx: &Cx<'_>) -> Result<[(CallParty, LegId, LegId); 2], Refused> {
        let is_at_program = cx.call.state == State::Rerouting || cx.call.legs.callee.is_none();
        let program = &self.parts.program;
        if (program.is_running() && is_at_program) || program.is_whispering() {
            return Err(Refused::InApplication);
        }
        match cx.call.state {
            State::Searching => return Err(Refused::NotAnswered),
            State::Rerouting => return Err(Refused::Transferring),
            State::Leaving | State::Ended => return Err(Refused::CallEnded),
            State::Answered => {}
        }
        let (near, callee) = (cx.call.legs.near, cx.call.legs.callee.ok_or(Refused::Transferring)?);
        if cx.call.legs[callee].agent.is_some() {
            return Err(Refused::HasAgent);
        }
        if self.parts.bridge.negotiation.is_unsettled() {
            return Err(Refused::Changing);
        }
        Ok([(CallParty::Caller, near, callee), (CallParty::Callee, callee, near)])
    }

    /// The same of those that can hear the edge.
    fn audible(&self, cx: &Cx<'_>, parties: &[CallParty]) -> Result<Vec<(CallParty, LegId, LegId)>, Refused> {
        let sides = self.sides(cx)?;
        let wanted: Vec<_> = sides.into_iter().filter(|(party, ..)| parties.contains(party)).collect();
        let is_audible = wanted.iter().all(|(_, leg, _)| cx.call.legs.ear_of(*leg).is_some());
        let [(_, near, callee), _] = sides;
        let offer = cx.call.standing(near).ok_or(Refused::OtherAudio)?;
        let can_resume = self.parts.bridge.negotiation.as_agreed(cx.call, (near, callee), &offer).is_some();
        if is_audible && can_resume { Ok(wanted) } else { Err(Refused::OtherAudio) }
    }

    /// Parts the two, and plays to those that are held.
    fn play_to_held(&mut self, cx: &mut Cx<'_>) {
        let media = &mut self.parts.bridge.media;
        if let Some(callee) = cx.call.legs.callee {
            media.part(cx, [cx.call.legs.near, callee]);
        }
        media.play_to_held(cx);
        media.tap_caller(cx);
    }

    /// Ends a hold, unless its leg wants one itself; the two hear each other again where no other hold is left.
    fn release(&mut self, cx: &mut Cx<'_>, holder: LegId) {
        let own = cx.call.legs[holder].theirs().is_some_and(|theirs| {
            let mut running = theirs.media.iter().filter(|media| media.port != 0).peekable();
            let direction = |media| Direction::receives(theirs.direction_of(media));
            running.peek().is_some() && !running.any(direction)
        });
        let Some(hold) = cx.call.legs.holds.remove(holder) else { return };
        self.parts.bridge.media.stop_music(cx, hold.player);
        if own {
            cx.call.legs.holds.insert(holder, Hold::of(HoldKind::Party));
        }
        if cx.call.is_held_here() {
            return self.play_to_held(cx);
        }
        let (near, callee) = (cx.call.legs.near, cx.call.legs.callee);
        let agreed = callee.zip(cx.call.standing(near)).and_then(|(callee, offer)| {
            let agreed = self.parts.bridge.negotiation.as_agreed(cx.call, (near, callee), &offer);
            agreed.map(|(_, streams)| (callee, streams))
        });
        match agreed {
            Some((callee, streams)) => {
                self.parts.bridge.media.wire(cx, &streams, (near, false), (callee, false));
            }
            None => cx.edge.decide(cx.now, cx.call.key, "the parties no longer agree on a codec"),
        }
    }

    /// Notes a request in trace and log.
    fn note(&self, cx: &mut Cx<'_>, party: CallParty, leg: LegId, what: &str) {
        self.note_as(cx, (party, leg), what, what);
    }

    /// The same where the log may not show all of it.
    fn note_as(&self, cx: &mut Cx<'_>, (party, leg): (CallParty, LegId), what: &str, logged: &str) {
        let name = cx.call.legs.name_of(leg);
        cx.edge.decide(cx.now, cx.call.key, format!("{name} (the {}) {what}", party.name()));
        let (sid, line) = (cx.call.legs.sid().to_owned(), format!("{} {logged}", cx.edge.shown_name(&name)));
        cx.edge.log(&sid, line, None);
    }
}
