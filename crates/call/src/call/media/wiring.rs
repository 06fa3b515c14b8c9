//! Wiring of the media session: connections between ends, transcoding, holds handled by the edge, and removal of ends.
//!
//! With `hold = "local"` the edge answers the side that holds. The other side hears music and gets no re-INVITE, so it
//! need not support one.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::agent::AgentFormat;
use trunkgate_media::{EndId, MediaCommand, MediaId, WireSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{BIND_TRIES, TRACE_TEXT_CHARS};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::trunks::rejection::words;
use trunkgate_sdp::{AgreedStream, MediaDirection, SessionDescription, anchored_streams, codec_names};
use trunkgate_sip::{HeaderName, SipMessage};
use trunkgate_story::few::SmallMap;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::agent_leg::{ServingAgent, ServingAgentSnapshot};
use crate::call::legs::codecs::{agent_coding, name};
use crate::call::legs::hold::{HoldKind, LegHold};
use crate::call::legs::leg::{Leg, LegQuality, LegSip, LegState, StreamEnd, wires};
use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::list::LegsSnapshot;
use crate::call::legs::spoken::AudioAgreement;
use crate::call::media::CallMedia;
use crate::call::media::coaching::{Coaching, mix};
use crate::call::shared::{CallCx, CallEffect, SharedCallState};
use crate::call::words::answer::FinalAnswer;

/// First dynamic payload type (RFC 3551 §6).
const FIRST_DYNAMIC: u8 = 96;

/// Media of an answered call in plain data. Players, mixer inputs and a coaching agent are not included: the parts that
/// use players start them again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CallMediaSnapshot {
    /// Connections between media ends of the two sides.
    wires: Vec<(EndId, EndId, WireSpec)>,
    spoken: Option<AudioAgreement>,
    /// Agent with the goodbye for the caller.
    goodbye: Option<Arc<str>>,
    /// Agent with the hold audio for the caller.
    hold: Option<Arc<str>>,
    holder: Option<ServingAgentSnapshot>,
}

impl CallMedia {
    /// Returns the media in plain data. `parted` are the wires of a called party that hears a document; after a restart
    /// they connect the two sides.
    pub(crate) fn snapshot<'p>(
        &self,
        now: Instant,
        legs: &LegsSnapshot,
        parted: impl Iterator<Item = &'p (EndId, (EndId, WireSpec))>,
    ) -> CallMediaSnapshot {
        let CallMedia {
            wires,
            spoken,
            goodbye,
            hold,
            holder,
            bind_failures: _,
            player: _,
            called_player: _,
            tells_digits: _,
            mixer_end: _,
            talks_to_caller: _,
            coaching: _,
        } = self;
        let wires = wires.iter().filter(|(from, (to, _))| legs.has_end(*from) && legs.has_end(*to));
        let wires = wires.chain(parted.map(|(from, to)| (*from, to)));
        CallMediaSnapshot {
            wires: wires.map(|(from, (to, wire))| (from, *to, wire.clone())).collect(),
            spoken: *spoken,
            goodbye: goodbye.as_ref().map(|agent| agent.name.clone()),
            hold: hold.as_ref().map(|agent| agent.name.clone()),
            holder: holder.as_ref().map(|holder| holder.snapshot(now)),
        }
    }

    /// Restores the media, and sends the connections to the media worker again.
    pub(crate) fn restore(now: Instant, edge: &mut Edge, session: MediaId, snapshot: CallMediaSnapshot) -> CallMedia {
        let CallMediaSnapshot { wires: written, spoken, goodbye, hold, holder } = snapshot;
        let mut wires = SmallMap::default();
        for (from, to, wire) in written {
            edge.media(session, MediaCommand::Wire { from, to, wire: wire.clone() });
            wires.insert(from, (to, wire));
        }
        let agent = |name: Arc<str>| edge.table().agent(&name).cloned();
        let (goodbye, hold) = (goodbye.and_then(agent), hold.and_then(agent));
        let holder = holder.and_then(|holder| ServingAgent::restore(now, edge, holder));
        CallMedia { wires, spoken, goodbye, hold, holder, ..CallMedia::default() }
    }

    /// Closes the media session, and keeps the counters of its ends.
    pub(crate) fn close_media(&mut self, cx: &mut CallCx<'_>) {
        if let Some(media) = cx.call.session.take() {
            cx.edge.media(media, MediaCommand::Close);
        }
        for leg in &mut cx.call.legs {
            for end in std::mem::take(&mut leg.ends) {
                leg.quality.retire(&end.counters);
            }
        }
        self.wires.clear();
    }

    /// Ends one leg by CANCEL, BYE or closing its stream, according to its state.
    pub(crate) fn hang_up_leg(&mut self, cx: &mut CallCx<'_>, leg: LegId, reason: ReasonSlug) {
        if cx.call.legs[leg].agent.is_some() {
            return self.close_agent(cx, leg);
        }
        match cx.call.legs[leg].state {
            LegState::Trying | LegState::Ringing | LegState::Early => cx.withdraw(leg),
            LegState::Answered => cx.bye(leg, reason),
            LegState::Canceling | LegState::Closing | LegState::Ended => {}
        }
    }

    /// Begins or ends a hold handled by the edge.
    pub(crate) fn take_hold(&mut self, cx: &mut CallCx<'_>, change: HoldChange, streams: &[AgreedStream]) {
        let HoldChange { leg, other, relatch, holds, offers } = change;
        let name = cx.call.legs.name_of(leg);
        if holds && !cx.call.legs.holds.contains(leg) {
            cx.edge.decide(
                cx.now,
                cx.call.key,
                format!("{name} put the call on hold: answered by the edge, the other side hears music"),
            );
            cx.call.legs.holds.insert(leg, LegHold::of(HoldKind::Party));
        } else if !holds
            && cx.call.legs.holds.get(leg).is_some_and(|hold| hold.kind == HoldKind::Party)
            && let Some(hold) = cx.call.legs.holds.remove(leg)
        {
            cx.edge.decide(cx.now, cx.call.key, format!("{name} took the call off hold"));
            self.stop_music(cx, hold.player);
        }
        if !cx.call.is_held_here() {
            let (of_leg, of_other) = ((leg, relatch), (other, false));
            let (offerer, answerer) = if offers { (of_leg, of_other) } else { (of_other, of_leg) };
            return self.wire(cx, streams, offerer, answerer);
        }
        for stream in streams {
            let far = if offers { &stream.offerer } else { &stream.answerer };
            if let Some(end) = cx.call.legs[leg].end(stream.index).map(|end| end.end) {
                cx.point((leg, end), far, relatch);
            }
        }
        self.part(cx, [leg, other]);
        self.play_to_held(cx);
        self.tap_caller(cx);
    }

    /// Disconnects two sides from each other.
    pub(crate) fn part(&mut self, cx: &mut CallCx<'_>, legs: [LegId; 2]) {
        let Some(media) = cx.call.session else { return };
        for end in legs.iter().flat_map(|leg| &cx.call.legs[*leg].ends) {
            if self.wires.remove(end.end).is_some() {
                cx.edge.media(media, MediaCommand::Unwire { from: end.end });
            }
        }
        Coaching::part(self, cx, legs);
    }

    /// Disconnects the two sides, and plays music to the held ones.
    pub(crate) fn part_and_play(&mut self, cx: &mut CallCx<'_>) {
        if let Some(callee) = cx.call.legs.callee {
            self.part(cx, [cx.call.legs.near, callee]);
        }
        self.play_to_held(cx);
        self.tap_caller(cx);
    }

    /// Plays music to the sides that the edge holds.
    pub(crate) fn play_to_held(&mut self, cx: &mut CallCx<'_>) {
        let Some(media) = cx.call.session else { return };
        let holders: Vec<LegId> = cx.call.legs.holds.iter().map(|(leg, _)| leg).collect();
        for holder in holders {
            let Some((held, wire)) = cx.call.legs.other(holder).and_then(|other| cx.call.legs.playback_wire(other))
            else {
                continue;
            };
            let music = cx.call.legs.music_of(holder);
            let Some(hold) = cx.call.legs.holds.get_mut(holder) else { continue };
            let player = match hold.player {
                Some(player) => player,
                None => {
                    let Some(end) = cx.edge.new_end(media) else { continue };
                    cx.edge.media(media, MediaCommand::AddPlayer { end, sound: hold.heard(music) });
                    *hold.player.insert(end)
                }
            };
            self.connect_ends(cx, player, held, wire);
        }
    }

    /// Ends all holds handled by the edge; the agreement of both sides applies again.
    pub(crate) fn end_holds(&mut self, cx: &mut CallCx<'_>) {
        let players: Vec<Option<EndId>> = cx.call.legs.holds.values().map(|hold| hold.player).collect();
        cx.call.legs.holds.clear();
        for player in players {
            self.stop_music(cx, player);
        }
    }

    /// Removes the player of a hold.
    pub(crate) fn stop_music(&mut self, cx: &mut CallCx<'_>, player: Option<EndId>) {
        if let (Some(player), Some(media)) = (player, cx.call.session) {
            self.wires.remove(player);
            cx.edge.remove_end(media, player);
        }
    }

    /// Applies agreed streams to the media session. Each side has its leg, and a flag to latch its media source again.
    pub(crate) fn wire(
        &mut self,
        cx: &mut CallCx<'_>,
        streams: &[AgreedStream],
        (offerer, relatch_offerer): (LegId, bool),
        (answerer, relatch_answerer): (LegId, bool),
    ) {
        if cx.call.session.is_none() {
            return;
        }
        for stream in streams {
            let at = |leg: &Leg| leg.end(stream.index).map(|end| end.end);
            let (Some(a), Some(b)) = (at(&cx.call.legs[offerer]), at(&cx.call.legs[answerer])) else { continue };
            let sides =
                [(offerer, a, &stream.offerer, relatch_offerer), (answerer, b, &stream.answerer, relatch_answerer)];
            for (leg, end, far, relatch) in sides {
                cx.point((leg, end), far, relatch);
            }
            let (to_answerer, to_offerer) = wires(stream, &cx.call.legs[offerer], &cx.call.legs[answerer]);
            for (from, to, wire) in [(a, b, to_answerer), (b, a, to_offerer)] {
                self.connect_ends(cx, from, to, wire);
            }
        }
        self.unwire_all_but(cx, streams);
        if let Some(first) = streams.first() {
            let (of_offerer, of_answerer) = (first.codec.as_str(), first.codec_of_answerer());
            cx.call.legs[offerer].codec = of_offerer.to_owned();
            cx.call.legs[answerer].codec = of_answerer.to_owned();
            let text = cx.call.legs.said_of_codecs(first.index, [(offerer, of_offerer), (answerer, of_answerer)]);
            cx.call.legs.note_media(cx.now, cx.edge, &[offerer, answerer], &text);
            if let Some(text) = cx.call.legs.said_of_keys(first, [offerer, answerer]) {
                cx.edge.decide(cx.now, cx.call.key, text);
            }
            self.note_conversion(cx.call, [offerer, answerer]);
        }
        self.tap_caller(cx);
    }

    /// Disconnects streams that are no longer agreed.
    fn unwire_all_but(&mut self, cx: &mut CallCx<'_>, streams: &[AgreedStream]) {
        let Some(media) = cx.call.session else { return };
        let runs = |index: usize| streams.iter().any(|s| s.index == index);
        let idle: Vec<EndId> =
            cx.call.legs.iter().flat_map(|leg| &leg.ends).filter(|end| !runs(end.index)).map(|end| end.end).collect();
        for end in idle {
            if self.wires.remove(end).is_some() {
                cx.edge.media(media, MediaCommand::Unwire { from: end });
            }
        }
    }

    /// Draws another port pair for a media end of the caller that could not be bound. The call is refused with 503 if
    /// the caller already knows the port, or after [`BIND_TRIES`] failures.
    pub(crate) fn redraw_caller(&mut self, cx: &mut CallCx<'_>, end: EndId) -> CallEffect {
        self.bind_failures += 1;
        let no_ports = FinalAnswer::new(503, ReasonSlug::NoPorts);
        // The port has already been sent to the caller, or too many attempts have failed.
        if cx.call.legs.near_leg().sdp.ours.is_some() || self.bind_failures >= BIND_TRIES {
            return CallEffect::Refuse(Box::new(no_ports));
        }
        let Some(media) = cx.call.session else { return CallEffect::Stay };
        let bind = cx.edge.addressing().media_bind_for(cx.call.legs.near_leg().flow);
        let Some(new) = bind.and_then(|bind| cx.edge.add_end(media, bind)) else {
            return CallEffect::Refuse(Box::new(no_ports));
        };
        if let Some(slot) = cx.call.legs.near_leg_mut().ends.iter_mut().find(|e| e.end == end) {
            *slot = StreamEnd::new(slot.index, new);
        }
        CallEffect::Stay
    }

    /// Returns whether an agent coaches a party of the call.
    pub(crate) fn is_coached(&self) -> bool {
        self.coaching.is_some()
    }

    /// Returns whether a leg is that of the coach.
    pub(crate) fn is_coach(&self, leg: LegId) -> bool {
        self.coaching.as_ref().is_some_and(|coaching| coaching.agent() == leg)
    }

    /// Returns the leg of the coached party if `end` is the caller's, so that the caller's digits are sent to the
    /// party.
    pub(crate) fn coached_party_of(&self, end: EndId) -> Option<LegId> {
        self.coaching.as_ref().and_then(|coaching| coaching.party_of(end))
    }

    /// Closes the media ends of a leg, and keeps their counters.
    pub(crate) fn drop_ends(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        let Some(media) = cx.call.session else { return };
        if self.coaching.as_ref().is_some_and(|coaching| coaching.is_between(cx.call.legs.near, leg)) {
            Coaching::end(self, cx, (ReasonSlug::Transferred, EndedBy::Edge));
        }
        let leg = &mut cx.call.legs[leg];
        for end in std::mem::take(&mut leg.ends) {
            leg.quality.retire(&end.counters);
            self.wires.retain(|from, (to, _)| from != end.end && *to != end.end);
            cx.edge.remove_end(media, end.end);
        }
    }

    /// Updates the codec into which each leg's audio is transcoded.
    pub(crate) fn note_conversion(&mut self, call: &mut SharedCallState, legs: impl IntoIterator<Item = LegId>) {
        for at in legs {
            let leg = &call.legs[at];
            let ends = leg.ends.iter().map(|end| end.end).chain(leg.agent.as_ref().map(|side| side.end));
            let into = ends.filter_map(|end| self.wires.get(end)).find_map(|(sink, wire)| {
                let transcoded = wire.transcode.as_ref().map(|spec| spec.to.1);
                let of_agent = || {
                    let listens = call.legs.iter().find_map(|leg| leg.agent.as_ref().filter(|side| side.end == *sink));
                    listens.map(|side| agent_coding(AgentFormat::from_name(side.agent.format).unwrap_or_default()))
                };
                transcoded.or_else(of_agent).or(leg.agent.as_ref().map(|_| wire.coding)).map(name)
            });
            let into = into.filter(|into| !into.eq_ignore_ascii_case(&leg.codec));
            call.legs[at].converted_to = into;
        }
    }

    /// Connects two ends, unless they already are.
    pub(crate) fn connect_ends(&mut self, cx: &mut CallCx<'_>, from: EndId, to: EndId, wire: WireSpec) {
        let Some(media) = cx.call.session else { return };
        let wire = telling(cx.call, (from, to), wire);
        if self.wires.get(from) == Some(&(to, wire.clone())) {
            return;
        }
        // The media worker disconnects the previous source of `to`.
        self.wires.retain(|_, (sink, _)| *sink != to);
        self.wires.insert(from, (to, wire.clone()));
        if self.coaching.as_ref().is_some_and(|coaching| coaching.replaces(from, to)) {
            return mix(self, cx);
        }
        cx.edge.media(media, MediaCommand::Wire { from, to, wire });
    }

    /// Applies the answer to our own re-INVITE; a hold handled by the edge continues.
    pub(crate) fn take_asked(
        &mut self,
        cx: &mut CallCx<'_>,
        (from, to): (LegId, LegId),
        relatch: bool,
        streams: &[AgreedStream],
    ) {
        if cx.call.is_held_here() {
            let change =
                HoldChange { leg: to, other: from, relatch, holds: cx.call.legs.holds.contains(to), offers: false };
            return self.take_hold(cx, change, streams);
        }
        self.wire(cx, streams, (from, false), (to, relatch));
        cx.close_unused([from, to], streams);
    }

    /// Moves a leg to another call, and leaves a copy for the record.
    pub(crate) fn hand_over(&mut self, cx: &mut CallCx<'_>, leg: LegId) -> Leg {
        self.drop_ends(cx, leg);
        cx.call.legs[leg].end_with(ReasonSlug::Transferred, EndedBy::Edge);
        let number = Box::new(cx.call.number_of(leg).clone());
        let side = &mut cx.call.legs[leg];
        side.number = Some(number);
        // The initial sequence number is random (RFC 3550 §5.1), so there may be one more roll-over.
        let rounds = side.quality.earlier.as_ref().map_or(0, |earlier| (earlier.rx_packets + earlier.lost) >> 16);
        side.srtp_history.leave_call(rounds + 1);
        let flow = side.flow.unwrap_or_else(Leg::nowhere);
        let stays = Leg {
            trunk: side.trunk.clone(),
            governs: side.governs.clone(),
            peer: side.peer.clone(),
            inbound: side.inbound,
            flow: side.flow,
            state: LegState::Ended,
            end: side.end.take(),
            sip: LegSip {
                call_id: side.sip.call_id.clone(),
                server: side.sip.server.take(),
                invite: side.sip.invite.take(),
                ..LegSip::default()
            },
            codec: side.codec.clone(),
            srtp: side.srtp,
            latched: side.latched.take(),
            quality: LegQuality {
                earlier: side.quality.earlier.take(),
                scores: std::mem::take(&mut side.quality.scores),
                unheard: side.quality.unheard.take(),
                flaw: side.quality.flaw.take(),
                faults: side.quality.faults.take(),
                is_judged: side.quality.is_judged,
                counted: std::mem::take(&mut side.quality.counted),
                looked: None,
            },
            ..Leg::new(
                std::mem::replace(&mut side.sid, cx.edge.random_mut().sid()),
                side.party,
                flow,
                side.sdp.media_ip,
                side.sdp.session_id,
            )
        };
        std::mem::replace(side, stays)
    }

    /// Moves a leg to a call of its own with the leg's SID, media ends, counters and diagnoses.
    pub(crate) fn detach(&mut self, cx: &mut CallCx<'_>, leg: LegId) -> Leg {
        let side = &mut cx.call.legs[leg];
        let (ends, quality) = (std::mem::take(&mut side.ends), std::mem::take(&mut side.quality));
        let (srtp_history, latched, converted_to) = (side.srtp_history, side.latched, side.converted_to.take());
        for end in &ends {
            self.wires.retain(|from, (to, _)| from != end.end && *to != end.end);
        }
        let mut dialled = side.sip.dialled.clone();
        dialled.iter_mut().for_each(|dialled| dialled.detach());
        let leaves = self.hand_over(cx, leg);
        let stays = &mut cx.call.legs[leg];
        (stays.sip.dialled, stays.converted_to) = (dialled, converted_to);
        Leg { ends, quality, srtp_history, latched, ..leaves }
    }

    /// Makes the leg `at` the other side of the leg `waits`, in place of the leg `by`, which is about to be hung up.
    pub(crate) fn take_side(&mut self, cx: &mut CallCx<'_>, by: LegId, at: LegId, waits: LegId) {
        (cx.call.legs.near, cx.call.legs.callee) = (waits, Some(at));
        self.end_holds(cx);
        cx.disarm(CallTimer::Glare);
        self.part(cx, [by, by]);
        self.drop_ends(cx, by);
        cx.call.legs[by].end_with(ReasonSlug::Transferred, EndedBy::FarEnd);
    }

    pub(crate) fn does_not_replace(&mut self, cx: &mut CallCx<'_>, new: LegId) {
        self.drop_ends(cx, new);
        cx.call.legs.leave_trunk(cx.edge, new);
        let leg = &mut cx.call.legs[new];
        leg.enter(LegState::Ended);
        leg.sip.server = None;
        leg.end_with(ReasonSlug::Denied, EndedBy::Edge);
    }
}

/// Change of a hold that the edge handles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HoldChange {
    /// Leg that requests the change.
    pub(crate) leg: LegId,
    /// Leg on the other side.
    pub(crate) other: LegId,
    /// True if the media source of `leg` must be latched again.
    pub(crate) relatch: bool,
    /// True to hold, false to resume.
    pub(crate) holds: bool,
    /// True if `leg` is the offerer of the streams.
    pub(crate) offers: bool,
}

/// Returns whether a side has changed a stream's direction, or begins with a direction other than `sendrecv`.
pub(crate) fn turned(before: Option<&SessionDescription>, now: &SessionDescription, streams: &[AgreedStream]) -> bool {
    let direction = |description: &SessionDescription, index: usize| {
        description.media.get(index).map_or(MediaDirection::SendRecv, |media| description.direction_of(media))
    };
    streams.iter().any(|stream| {
        let before = before.map_or(MediaDirection::SendRecv, |before| direction(before, stream.index));
        before != direction(now, stream.index)
    })
}

/// Describes our offer that a target refused, with the Warning of its response (RFC 3261 §20.43). `None` if we sent no
/// offer.
pub(crate) fn refused_offer(leg: &Leg, response: &SipMessage) -> Option<String> {
    let sent = leg.sent()?;
    let section = anchored_streams(&sent).into_iter().find_map(|index| sent.media.get(index))?;
    let warning = response.headers(HeaderName::Warning).next();
    let said = warning.map(|warning| format!(", Warning: {}", words(warning, TRACE_TEXT_CHARS)));
    Some(format!("it was offered {} by {}{}", codec_names(section), section.proto, said.unwrap_or_default()))
}

/// Marks a wire that relays telephone-events unchanged, so that the digits are reported to the call.
fn telling(call: &SharedCallState, (from, to): (EndId, EndId), wire: WireSpec) -> WireSpec {
    // Static payload types are never telephone-events (RFC 3551 §6).
    let may_be = |(from, to): &&(u8, u8)| *from >= FIRST_DYNAMIC && *to >= FIRST_DYNAMIC;
    if wire.parted.is_some() || wire.keys.is_some() || !wire.payloads.iter().any(|pair| may_be(&pair)) {
        return wire;
    }
    let theirs = |end: EndId| call.legs.leg_of(end).and_then(|leg| call.legs[leg].theirs());
    let (source, sink) = (theirs(from), theirs(to));
    let is_event = |side: &Option<SessionDescription>, number: u8| {
        let mut maps = side.iter().flat_map(|side| &side.media).filter_map(|section| section.rtpmap(number));
        maps.any(|map| map.is("telephone-event"))
    };
    let mut pairs = wire.payloads.iter().filter(may_be);
    let keys = pairs.find(|(from, to)| is_event(&source, *from) || is_event(&sink, *to)).map(|(from, _)| *from);
    WireSpec { keys, ..wire }
}
