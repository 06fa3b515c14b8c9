//! A caller's session with the edge itself: what is agreed on where an agent is the other side, and the wires between
//! the two.

use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trunkgate_media::mos::Codec;
use trunkgate_media::rtp::DEFAULT_CLOCK_HZ;
use trunkgate_media::{Coding, Command, EndId, PartedSpec, WireSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_route::Dtmf;
use trunkgate_sdp::{
    Audio, Description, Direction, Far, Identity, Media, Policy, Refusal, accept, answer_offer, offer_own,
};
use trunkgate_sip::ServerId;
use trunkgate_story::quality::retire;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg::StreamEnd;
use crate::call::negotiation::coding::{coding, name};
use crate::call::search::answer::Failure;
use crate::call::{Call, State};

/// What an agent's or a player's side of a wire says of its audio: it has no payload numbers of its own.
const OWN_AUDIO: u8 = 0;
/// A port to try a description with.
const ANY_PORT: u16 = 9;

/// What the caller and the edge speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spoken {
    /// Index of the m-line.
    pub(crate) index: usize,
    /// Its audio's payload number.
    pub(crate) audio: u8,
    /// Its audio.
    pub(crate) coding: Coding,
    /// Its telephone-event's payload number, as the caller sends it.
    pub(crate) keys: Option<u8>,
    /// The same as the caller wants it, and its clock in Hz.
    pub(crate) presses: Option<(u8, u32)>,
}

impl Call {
    /// Whether the edge itself could answer the caller.
    pub(crate) fn answerable(&self) -> Result<(), Failure> {
        let Some(offer) = &self.negotiation.offer else { return Ok(()) };
        let nowhere = Identity { session_id: 0, version: 0, ip: std::net::Ipv4Addr::LOCALHOST.into() };
        let policy = self.legs.own_policy();
        answer_offer(offer, &policy, ANY_PORT, &nowhere, Direction::SendRecv).map(|_| ()).map_err(unusable)
    }

    /// Our description for the caller's 200: the answer to its offer, or an offer where it made none.
    pub(crate) fn first_description(&mut self, now: Instant, edge: &mut Edge) -> Result<Description, Failure> {
        if let Some(ours) = self.standing_description() {
            self.point_again(now, edge);
            return Ok(ours);
        }
        if self.has_been_offered() {
            return self.speak_as_told(now, edge);
        }
        match self.offer_as_told() {
            Some(offer) => self.answer_locally(now, edge, &offer),
            None => {
                let policy = self.legs.own_policy();
                let caller = self.legs.near_leg_mut();
                let port = caller.ends.first().map_or(0, |end| end.bind.port());
                let mut offer = offer_own(&policy, port, &caller.identity(), Direction::SendRecv);
                caller.protect_first(edge, &mut offer, caller.late_form())?;
                Ok(caller.stamp(offer))
            }
        }
    }

    /// What the caller was told of its session with us, once it was.
    pub(crate) fn standing_description(&self) -> Option<Description> {
        if self.search.transfers.now.is_none() {
            self.media.spoken?;
        }
        self.legs.near_leg().ours.as_ref()?.read()
    }

    /// Whether the caller hears us although it has no answer.
    pub(crate) fn is_early(&self) -> bool {
        self.state == State::Searching && self.media.spoken.is_some()
    }

    /// Silence counts from the answer on, also where the session is older.
    fn point_again(&mut self, now: Instant, edge: &mut Edge) {
        let Some((offer, (end, _))) = self.negotiation.offer.clone().zip(self.spoken_end()) else { return };
        let caller = self.legs.near_leg();
        let answered = answer_offer(&offer, &self.legs.own_policy(), ANY_PORT, &caller.identity(), Direction::SendRecv);
        if let Ok((_, far, _)) = answered {
            self.point(now, edge, (self.legs.near, end), &far, false);
        }
    }

    /// Answers an offer of the caller, takes it into force, and has its media follow.
    fn answer_locally(&mut self, now: Instant, edge: &mut Edge, offer: &Description) -> Result<Description, Failure> {
        let caller = self.legs.near_leg();
        let answered = answer_offer(offer, &self.legs.own_policy(), ANY_PORT, &caller.identity(), Direction::SendRecv);
        let (mut answer, far, audio) = answered.map_err(unusable)?;
        let missing = || Failure::unreached(ReasonSlug::NoPorts);
        let index = answer.media.iter().position(|media| media.port != 0).ok_or_else(missing)?;
        let port = self.end_of_caller(edge, index).ok_or_else(missing)?;
        let section = answer.media.get_mut(index).ok_or_else(missing)?;
        section.port = port;
        let presses = keys(section);
        let keys = presses.map(|(number, _)| number);
        let coding = coding(&audio).ok_or_else(missing)?;
        let spoken = Spoken { index, audio: audio.number, coding, keys, presses };
        let caller = self.legs.near_leg_mut();
        caller.protect_answer(edge, &mut answer, offer);
        let answer = caller.stamp(answer);
        caller.ours = caller.last_sent.clone();
        let relatch = caller.take_theirs(offer);
        self.speak(now, edge, spoken, &far, relatch);
        Ok(answer)
    }

    /// The caller's port for an m-line; drawn where there is none yet.
    fn end_of_caller(&mut self, edge: &mut Edge, index: usize) -> Option<u16> {
        if let Some(end) = self.legs.near_leg().end(index) {
            return Some(end.bind.port());
        }
        let bind = edge.addressing.media_bind(self.legs.near_leg().signalling())?;
        let end = StreamEnd::new(index, edge.add_end(self.media.session?, bind)?);
        let port = end.bind.port();
        self.legs.near_leg_mut().ends.push(end);
        Some(port)
    }

    /// Takes into force what was agreed with the caller; its other streams are closed.
    fn speak(&mut self, now: Instant, edge: &mut Edge, spoken: Spoken, far: &Far, relatch: bool) {
        let Some(media) = self.media.session else { return };
        self.media.spoken = Some(spoken);
        let caller = self.legs.near_leg_mut();
        for end in caller.ends.extract_if(.., |end| end.index != spoken.index) {
            retire(&mut caller.earlier, &mut caller.scores, &end.counters);
            edge.remove_end(media, end.end);
        }
        caller.codec = name(spoken.coding).to_owned();
        let codec = caller.codec.clone();
        if let Some(end) = caller.end(spoken.index).map(|end| end.end) {
            self.point(now, edge, (self.legs.near, end), far, relatch);
        }
        self.legs.note_media(now, edge, &[self.legs.near], &codec);
    }

    /// The caller's end of what it speaks with the edge.
    pub(crate) fn spoken_end(&self) -> Option<(EndId, Spoken)> {
        let spoken = self.media.spoken?;
        Some((self.legs.near_leg().end(spoken.index)?.end, spoken))
    }

    /// Wires the caller and an agent's leg to each other; nothing before the caller's description is there.
    pub(crate) fn converse(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        let Some((caller, spoken)) = self.spoken_end() else { return };
        let Some(agent) = self.legs[leg].agent.as_ref().map(|side| side.end) else { return };
        let inband = self.legs.near_leg().dtmf() == Dtmf::Inband;
        let hears = WireSpec {
            parted: inband.then(|| Box::new(PartedSpec { tones: true, ..PartedSpec::default() })),
            payloads: vec![(spoken.audio, OWN_AUDIO)],
            clocks: clocks(spoken),
            coding: spoken.coding,
            keys: spoken.keys,
            codec: Codec::named(name(spoken.coding)),
            ..WireSpec::default()
        };
        self.connect_ends(edge, caller, agent, hears);
        self.connect_ends(edge, agent, caller, talks(spoken));
        let before = self.legs[leg].converted_to;
        self.note_conversion([self.legs.near, leg]);
        if before != self.legs[leg].converted_to {
            edge.decide(now, self.key, self.legs.said_of_agent(leg));
        }
        self.tap_caller(now, edge);
        self.watch_hold(now, edge);
    }

    /// Connects two ends, unless they are so already.
    pub(crate) fn connect_ends(&mut self, edge: &mut Edge, from: EndId, to: EndId, wire: WireSpec) {
        let Some(media) = self.media.session else { return };
        if self.media.wires.get(from) == Some(&(to, wire.clone())) {
            return;
        }
        // The worker disconnects what fed `to` before.
        self.media.wires.retain(|_, (sink, _)| *sink != to);
        self.media.wires.insert(from, (to, wire.clone()));
        edge.media(media, Command::Wire { from, to, wire });
    }

    /// A caller that talks with an agent wants to change its session, or asks us to offer: the edge answers itself.
    pub(crate) fn reinvited_locally(&mut self, now: Instant, edge: &mut Edge, server: ServerId, offer: &Description) {
        match self.answer_locally(now, edge, offer) {
            Ok(ours) => {
                match self.legs.callee {
                    _ if self.state == State::Leaving => self.say_on(edge),
                    Some(callee) => {
                        self.converse(now, edge, callee);
                        if self.is_consulting() {
                            self.caller_spoke(now, edge, false);
                        }
                    }
                    None => self.caller_spoke(now, edge, false),
                }
                self.told_again();
                self.answer_request(now, edge, self.legs.near, server, &ours);
            }
            Err(failure) => {
                edge.respond(now, server, failure.answer().to_sip());
            }
        }
    }

    /// The caller's answer to an offer of ours, in its ACK.
    pub(crate) fn late_answer_locally(&mut self, now: Instant, edge: &mut Edge, sdp: &Bytes) -> Result<(), Failure> {
        let missing = || Failure::unreached(ReasonSlug::BadMedia);
        let answer = self.legs.read(edge, self.legs.near, sdp)?;
        let caller = self.legs.near_leg_mut();
        let sent = caller.sent().ok_or_else(missing)?;
        let ports = vec![ANY_PORT; trunkgate_sdp::anchored_streams(&sent).len()];
        let agreed = accept(&sent, &sent, &answer, &Policy::default(), &ports, &caller.identity()).map_err(unusable)?;
        caller.check_answer(&sent, &answer, agreed.streams.iter().map(|stream| stream.index))?;
        let stream = agreed.streams.into_iter().next().ok_or_else(missing)?;
        let section = sent.media.get(stream.index).ok_or_else(missing)?;
        let theirs = answer.media.get(stream.index).ok_or_else(missing)?;
        let audio = Audio::of(theirs, &stream.codec).ok_or_else(missing)?;
        let event = |number: u8| section.rtpmap(number).filter(|map| map.is(TELEPHONE_EVENT));
        let events = stream.payloads.iter().find_map(|(ours, theirs)| Some((*ours, (*theirs, event(*ours)?.clock))));
        let (keys, presses) = (events.map(|(ours, _)| ours), events.map(|(_, theirs)| theirs));
        let coding = coding(&audio).ok_or_else(missing)?;
        let spoken = Spoken { index: stream.index, audio: audio.number, coding, keys, presses };
        let relatch = caller.take_theirs(&answer);
        caller.ours = caller.last_sent.clone();
        self.speak(now, edge, spoken, &stream.answerer, relatch);
        if let Some(callee) = self.legs.callee {
            self.converse(now, edge, callee);
        }
        Ok(())
    }

    /// Whether the edge itself is the caller's other side: an agent talks with it, or did and nobody has taken its place.
    pub(crate) fn is_local(&self) -> bool {
        self.state == State::Rerouting || self.legs.callee.is_some_and(|leg| self.legs[leg].agent.is_some())
    }
}

const TELEPHONE_EVENT: &str = "telephone-event";

/// How an agent or a player is heard by the caller.
pub(crate) fn talks(spoken: Spoken) -> WireSpec {
    talks_as(spoken.audio, spoken.coding)
}

/// How it is heard under a payload number.
pub(crate) fn talks_as(number: u8, coding: Coding) -> WireSpec {
    WireSpec { payloads: vec![(OWN_AUDIO, number)], coding, ..WireSpec::default() }
}

/// Clocks that are none of G.711's.
fn clocks(spoken: Spoken) -> Vec<(u8, u32)> {
    let clock_hz = spoken.coding.clock_hz();
    if clock_hz == DEFAULT_CLOCK_HZ { Vec::new() } else { vec![(spoken.audio, clock_hz)] }
}

/// The number and the clock of a section's telephone-event.
fn keys(section: &Media) -> Option<(u8, u32)> {
    let event = |number: u8| section.rtpmap(number).filter(|map| map.is(TELEPHONE_EVENT));
    section.payloads().into_iter().find_map(|number| Some((number, event(number)?.clock)))
}

fn unusable(refusal: Refusal) -> Failure {
    Failure::unusable(ReasonSlug::CodecMismatch, refusal)
}
