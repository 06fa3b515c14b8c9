//! The connections of the media session: which end feeds which, conversion between codecs, holds that end here, and ends that go.
//!
//! With `hold = "local"` the edge answers the side that holds, and the other side hears music and is not asked anything: it need not know
//! what a re-INVITE is.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::agent::Format;
use trunkgate_media::{Command, EndId, MediaId, WireSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{BIND_TRIES, TRACE_TEXT_CHARS};
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::trunks::rejection::words;
use trunkgate_sdp::{AgreedStream, Description, Direction, anchored_streams, codec_names};
use trunkgate_sip::{HeaderName, Message};
use trunkgate_story::few::Few;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::agent_leg::{Holder, HolderSnapshot};
use crate::call::legs::codecs::{agent_coding, name};
use crate::call::legs::hold::{Hold, HoldKind};
use crate::call::legs::leg::{Leg, LegQuality, LegSip, LegState, StreamEnd, wires};
use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::list::LegsSnapshot;
use crate::call::legs::spoken::Spoken;
use crate::call::media::CallMedia;
use crate::call::media::coaching::{Coaching, mix};
use crate::call::shared::{Cx, Next, Shared};
use crate::call::words::answer::FinalAnswer;

/// The first payload number that has no meaning of its own (RFC 3551 §6).
const FIRST_DYNAMIC: u8 = 96;

/// Media of an answered call in plain data. It does not carry players, the seat before a mixer, and an agent that coaches: what plays is begun
/// again by the part that wants it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CallMediaSnapshot {
    /// Connections between ends of the two sides.
    wires: Vec<(EndId, EndId, WireSpec)>,
    spoken: Option<Spoken>,
    /// The agent whose goodbye the caller would hear.
    goodbye: Option<Arc<str>>,
    /// The agent whose hold audio it would hear.
    hold: Option<Arc<str>>,
    holder: Option<HolderSnapshot>,
}

impl CallMedia {
    /// Writes the media down. `parted`: how a called party that hears a document is connected after a restart.
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
            seat: _,
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

    /// Makes the media again: the worker gets the connections once more.
    pub(crate) fn restore(now: Instant, edge: &mut Edge, session: MediaId, snapshot: CallMediaSnapshot) -> CallMedia {
        let CallMediaSnapshot { wires: written, spoken, goodbye, hold, holder } = snapshot;
        let mut wires = Few::default();
        for (from, to, wire) in written {
            edge.media(session, Command::Wire { from, to, wire: wire.clone() });
            wires.insert(from, (to, wire));
        }
        let agent = |name: Arc<str>| edge.table().agent(&name).cloned();
        let (goodbye, hold) = (goodbye.and_then(agent), hold.and_then(agent));
        let holder = holder.and_then(|holder| Holder::restore(now, edge, holder));
        CallMedia { wires, spoken, goodbye, hold, holder, ..CallMedia::default() }
    }

    /// Closes the media session and keeps what its ends counted.
    pub(crate) fn close_media(&mut self, cx: &mut Cx<'_>) {
        if let Some(media) = cx.call.session.take() {
            cx.edge.media(media, Command::Close);
        }
        for leg in &mut cx.call.legs {
            for end in std::mem::take(&mut leg.ends) {
                leg.quality.retire(&end.counters);
            }
        }
        self.wires.clear();
    }

    /// Ends one leg in the way that its state allows.
    pub(crate) fn hang_up_leg(&mut self, cx: &mut Cx<'_>, leg: LegId, reason: ReasonSlug) {
        if cx.call.legs[leg].agent.is_some() {
            return self.close_agent(cx, leg);
        }
        match cx.call.legs[leg].state {
            LegState::Trying | LegState::Ringing | LegState::Early => cx.withdraw(leg),
            LegState::Answered => cx.bye(leg, reason),
            LegState::Canceling | LegState::Closing | LegState::Ended => {}
        }
    }

    /// Puts a hold that ends here, or its end, into force.
    pub(crate) fn take_hold(&mut self, cx: &mut Cx<'_>, change: HoldChange, streams: &[AgreedStream]) {
        let HoldChange { leg, other, relatch, holds, offers } = change;
        let name = cx.call.legs.name_of(leg);
        if holds && !cx.call.legs.holds.contains(leg) {
            cx.edge.decide(
                cx.now,
                cx.call.key,
                format!("{name} put the call on hold: answered by the edge, the other side hears music"),
            );
            cx.call.legs.holds.insert(leg, Hold::of(HoldKind::Party));
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

    /// Two sides hear each other no longer.
    pub(crate) fn part(&mut self, cx: &mut Cx<'_>, legs: [LegId; 2]) {
        let Some(media) = cx.call.session else { return };
        for end in legs.iter().flat_map(|leg| &cx.call.legs[*leg].ends) {
            if self.wires.remove(end.end).is_some() {
                cx.edge.media(media, Command::Unwire { from: end.end });
            }
        }
        Coaching::part(self, cx, legs);
    }

    /// Parts the two sides, and plays to those that are held.
    pub(crate) fn part_and_play(&mut self, cx: &mut Cx<'_>) {
        if let Some(callee) = cx.call.legs.callee {
            self.part(cx, [cx.call.legs.near, callee]);
        }
        self.play_to_held(cx);
        self.tap_caller(cx);
    }

    /// Plays music to the side that is held here.
    pub(crate) fn play_to_held(&mut self, cx: &mut Cx<'_>) {
        let Some(media) = cx.call.session else { return };
        let holders: Vec<LegId> = cx.call.legs.holds.iter().map(|(leg, _)| leg).collect();
        for holder in holders {
            let Some((held, wire)) = cx.call.legs.other(holder).and_then(|other| cx.call.legs.ear_of(other)) else {
                continue;
            };
            let music = cx.call.legs.music_of(holder);
            let Some(hold) = cx.call.legs.holds.get_mut(holder) else { continue };
            let player = match hold.player {
                Some(player) => player,
                None => {
                    let Some(end) = cx.edge.new_end(media) else { continue };
                    cx.edge.media(media, Command::AddPlayer { end, sound: hold.heard(music) });
                    *hold.player.insert(end)
                }
            };
            self.connect_ends(cx, player, held, wire);
        }
    }

    /// Nobody is held here any more: what both sides agree on counts.
    pub(crate) fn end_holds(&mut self, cx: &mut Cx<'_>) {
        let players: Vec<Option<EndId>> = cx.call.legs.holds.values().map(|hold| hold.player).collect();
        cx.call.legs.holds.clear();
        for player in players {
            self.stop_music(cx, player);
        }
    }

    /// Takes the player of a hold away.
    pub(crate) fn stop_music(&mut self, cx: &mut Cx<'_>, player: Option<EndId>) {
        if let (Some(player), Some(media)) = (player, cx.call.session) {
            self.wires.remove(player);
            cx.edge.remove_end(media, player);
        }
    }

    /// Tells the media session what was agreed. Each side: the leg, and whether its latch opens again.
    pub(crate) fn wire(
        &mut self,
        cx: &mut Cx<'_>,
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
    fn unwire_all_but(&mut self, cx: &mut Cx<'_>, streams: &[AgreedStream]) {
        let Some(media) = cx.call.session else { return };
        let runs = |index: usize| streams.iter().any(|s| s.index == index);
        let idle: Vec<EndId> =
            cx.call.legs.iter().flat_map(|leg| &leg.ends).filter(|end| !runs(end.index)).map(|end| end.end).collect();
        for end in idle {
            if self.wires.remove(end).is_some() {
                cx.edge.media(media, Command::Unwire { from: end });
            }
        }
    }

    /// Draws another port pair for an end of the caller that could not be bound.
    pub(crate) fn redraw_caller(&mut self, cx: &mut Cx<'_>, end: EndId) -> Next {
        self.bind_failures += 1;
        let no_ports = FinalAnswer::new(503, ReasonSlug::NoPorts);
        // The caller has been told the port already, or luck is out.
        if cx.call.legs.near_leg().sdp.ours.is_some() || self.bind_failures >= BIND_TRIES {
            return Next::Refuse(Box::new(no_ports));
        }
        let Some(media) = cx.call.session else { return Next::Stay };
        let bind = cx.edge.addressing().media_bind_for(cx.call.legs.near_leg().flow);
        let Some(new) = bind.and_then(|bind| cx.edge.add_end(media, bind)) else {
            return Next::Refuse(Box::new(no_ports));
        };
        if let Some(slot) = cx.call.legs.near_leg_mut().ends.iter_mut().find(|e| e.end == end) {
            *slot = StreamEnd::new(slot.index, new);
        }
        Next::Stay
    }

    /// Returns whether an agent coaches a party of the call.
    pub(crate) fn is_coached(&self) -> bool {
        self.coaching.is_some()
    }

    /// Returns whether an agent's leg is that of a coach.
    pub(crate) fn is_coach(&self, leg: LegId) -> bool {
        self.coaching.as_ref().is_some_and(|coaching| coaching.agent() == leg)
    }

    /// Returns the leg of the coached party, where an end is the caller's: its digits are sent to the party.
    pub(crate) fn coached_party_of(&self, end: EndId) -> Option<LegId> {
        self.coaching.as_ref().and_then(|coaching| coaching.party_of(end))
    }

    /// Has a leg's ends closed; its figures stay.
    pub(crate) fn drop_ends(&mut self, cx: &mut Cx<'_>, leg: LegId) {
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

    /// Notes of each leg what its audio is converted into, as it is wired now.
    pub(crate) fn note_conversion(&mut self, call: &mut Shared, legs: impl IntoIterator<Item = LegId>) {
        for at in legs {
            let leg = &call.legs[at];
            let ends = leg.ends.iter().map(|end| end.end).chain(leg.agent.as_ref().map(|side| side.end));
            let into = ends.filter_map(|end| self.wires.get(end)).find_map(|(sink, wire)| {
                let transcoded = wire.transcode.as_ref().map(|spec| spec.to.1);
                let of_agent = || {
                    let listens = call.legs.iter().find_map(|leg| leg.agent.as_ref().filter(|side| side.end == *sink));
                    listens.map(|side| agent_coding(Format::from_name(side.agent.format).unwrap_or_default()))
                };
                transcoded.or_else(of_agent).or(leg.agent.as_ref().map(|_| wire.coding)).map(name)
            });
            let into = into.filter(|into| !into.eq_ignore_ascii_case(&leg.codec));
            call.legs[at].converted_to = into;
        }
    }

    /// Connects two ends, unless they are so already.
    pub(crate) fn connect_ends(&mut self, cx: &mut Cx<'_>, from: EndId, to: EndId, wire: WireSpec) {
        let Some(media) = cx.call.session else { return };
        let wire = telling(cx.call, (from, to), wire);
        if self.wires.get(from) == Some(&(to, wire.clone())) {
            return;
        }
        // The worker disconnects what fed `to` before.
        self.wires.retain(|_, (sink, _)| *sink != to);
        self.wires.insert(from, (to, wire.clone()));
        if self.coaching.as_ref().is_some_and(|coaching| coaching.replaces(from, to)) {
            return mix(self, cx);
        }
        cx.edge.media(media, Command::Wire { from, to, wire });
    }

    /// Takes the answer to a re-INVITE of our own into force; a hold that ends here goes on.
    pub(crate) fn take_asked(
        &mut self,
        cx: &mut Cx<'_>,
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

    /// Lets a leg go to another call; what stays is its record.
    pub(crate) fn hand_over(&mut self, cx: &mut Cx<'_>, leg: LegId) -> Leg {
        self.drop_ends(cx, leg);
        cx.call.legs[leg].end_with(ReasonSlug::Transferred, EndedBy::Edge);
        let number = Box::new(cx.call.number_of(leg).clone());
        let side = &mut cx.call.legs[leg];
        side.number = Some(number);
        // One more than whole rounds: numbers begin anywhere (RFC 3550 §5.1).
        let rounds = side.quality.earlier.as_ref().map_or(0, |earlier| (earlier.rx_packets + earlier.lost) >> 16);
        side.rolled = side.rolled.saturating_add(u32::try_from(rounds).unwrap_or(u32::MAX)).saturating_add(1);
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

    /// Lets a leg go to a call of its own, whose SID is the leg's: with its ends, its figures and what was heard of it.
    pub(crate) fn detach(&mut self, cx: &mut Cx<'_>, leg: LegId) -> Leg {
        let side = &mut cx.call.legs[leg];
        let (ends, quality) = (std::mem::take(&mut side.ends), std::mem::take(&mut side.quality));
        let (rolled, latched, converted_to) = (side.rolled, side.latched, side.converted_to.take());
        for end in &ends {
            self.wires.retain(|from, (to, _)| from != end.end && *to != end.end);
        }
        let mut dialled = side.sip.dialled.clone();
        dialled.iter_mut().for_each(|dialled| dialled.detach());
        let leaves = self.hand_over(cx, leg);
        let stays = &mut cx.call.legs[leg];
        (stays.sip.dialled, stays.converted_to) = (dialled, converted_to);
        Leg { ends, quality, rolled, latched, ..leaves }
    }

    /// A leg takes the place of another one, whose far end is to hang up.
    pub(crate) fn take_side(&mut self, cx: &mut Cx<'_>, by: LegId, at: LegId, waits: LegId) {
        (cx.call.legs.near, cx.call.legs.callee) = (waits, Some(at));
        self.end_holds(cx);
        cx.disarm(Timer::Glare);
        self.part(cx, [by, by]);
        self.drop_ends(cx, by);
        cx.call.legs[by].end_with(ReasonSlug::Transferred, EndedBy::FarEnd);
    }

    pub(crate) fn does_not_replace(&mut self, cx: &mut Cx<'_>, new: LegId) {
        self.drop_ends(cx, new);
        cx.call.legs.leave_trunk(cx.edge, new);
        let leg = &mut cx.call.legs[new];
        leg.enter(LegState::Ended);
        leg.sip.server = None;
        leg.end_with(ReasonSlug::Denied, EndedBy::Edge);
    }
}

/// What one side wants of a hold that ends here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HoldChange {
    /// Who wants it.
    pub(crate) leg: LegId,
    /// The other side.
    pub(crate) other: LegId,
    /// Whether its latch opens again.
    pub(crate) relatch: bool,
    /// Whether it holds from now on, or talks.
    pub(crate) holds: bool,
    /// Whether the streams stand with it as the offerer.
    pub(crate) offers: bool,
}

/// Whether a side wants another direction than before, or than what is usual.
pub(crate) fn turned(before: Option<&Description>, now: &Description, streams: &[AgreedStream]) -> bool {
    let direction = |description: &Description, index: usize| {
        description.media.get(index).map_or(Direction::SendRecv, |media| description.direction_of(media))
    };
    streams.iter().any(|stream| {
        let before = before.map_or(Direction::SendRecv, |before| direction(before, stream.index));
        before != direction(now, stream.index)
    })
}

/// What a target that takes no description of ours was offered, and its own words about it (RFC 3261 §20.43).
pub(crate) fn refused_offer(leg: &Leg, response: &Message) -> Option<String> {
    let sent = leg.sent()?;
    let section = anchored_streams(&sent).into_iter().find_map(|index| sent.media.get(index))?;
    let warning = response.headers(HeaderName::Warning).next();
    let said = warning.map(|warning| format!(", Warning: {}", words(warning, TRACE_TEXT_CHARS)));
    Some(format!("it was offered {} by {}{}", codec_names(section), section.proto, said.unwrap_or_default()))
}

/// A wire whose telephone-events pass as they are: the call is told of the digits.
fn telling(call: &Shared, (from, to): (EndId, EndId), wire: WireSpec) -> WireSpec {
    // Static payload numbers are none (RFC 3551 §6).
    let may_be = |(from, to): &&(u8, u8)| *from >= FIRST_DYNAMIC && *to >= FIRST_DYNAMIC;
    if wire.parted.is_some() || wire.keys.is_some() || !wire.payloads.iter().any(|pair| may_be(&pair)) {
        return wire;
    }
    let theirs = |end: EndId| call.legs.leg_of(end).and_then(|leg| call.legs[leg].theirs());
    let (source, sink) = (theirs(from), theirs(to));
    let is_event = |side: &Option<Description>, number: u8| {
        let mut maps = side.iter().flat_map(|side| &side.media).filter_map(|section| section.rtpmap(number));
        maps.any(|map| map.is("telephone-event"))
    };
    let mut pairs = wire.payloads.iter().filter(may_be);
    let keys = pairs.find(|(from, to)| is_event(&source, *from) || is_event(&sink, *to)).map(|(from, _)| *from);
    WireSpec { keys, ..wire }
}
