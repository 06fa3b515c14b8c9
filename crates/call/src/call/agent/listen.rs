//! Who listens to a call (`route.fork`): agents whose sockets are opened as soon as the call has its route, so that they
//! hear it from the first packet on. They are never waited for, and losing one harms nobody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_media::{Coding, Command, EndId, TapSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_route::Agent;
use trunkgate_sdp::{Audio, Media};

use crate::call::Call;
use crate::call::agent::agent_leg::Part;
use crate::call::legs::leg::LegState;
use crate::call::negotiation::coding::coding;
use crate::call::negotiation::local::Spoken;
use crate::call::search::answer::Failure;

impl Call {
    /// Has the sockets of a route's listeners opened.
    pub(crate) fn open_listeners(&mut self, now: Instant, edge: &mut Edge, forks: &[Arc<Agent>]) {
        for agent in forks {
            self.add_agent(now, edge, agent, Part::listener());
        }
    }

    /// Lets the listeners hear the caller's side as it is wired now.
    pub(crate) fn tap_caller(&mut self, now: Instant, edge: &mut Edge) {
        let Some(media) = self.media.session else { return };
        if !self.legs.iter().any(|leg| leg.listens()) {
            return;
        }
        let (understood, copied) = (self.audible(), self.copied_end());
        let deaf = self.speaks_other_audio();
        let mut deafened = false;
        for leg in self.legs.iter_mut().filter(|leg| leg.state != LegState::Ended) {
            let Some(side) = leg.agent.as_mut().filter(|side| side.listens()) else { continue };
            // Who gets plain RTP gets every payload as it is.
            let raw = side.agent.is_raw();
            let heard = if raw { copied.map(|end| (end, TapSpec::default())) } else { understood.clone() };
            let Some(heard) = heard else {
                deafened |= deaf && !raw;
                continue;
            };
            if side.hears.as_ref() != Some(&heard) {
                let (of, audio) = heard.clone();
                side.hears = Some(heard);
                edge.media(media, Command::Tap { of, listener: side.end, audio });
            }
        }
        if deafened {
            edge.decide(now, self.key, "listeners receive no audio: the edge cannot decode the codec");
        }
    }

    /// Whether a listener that wants audio would be given none, because the call has other audio.
    pub(crate) fn speaks_other_audio(&self) -> bool {
        self.copied_end().is_some() && self.audible().is_none()
    }

    /// What listeners can be given: the caller's end, and its payloads.
    fn audible(&self) -> Option<(EndId, TapSpec)> {
        match self.local_end() {
            Some((end, spoken)) => Some((end, TapSpec::both(spoken.audio, spoken.coding))),
            None => self.audio_of_caller(),
        }
    }

    /// The caller's end where the edge itself makes what it hears.
    fn local_end(&self) -> Option<(EndId, Spoken)> {
        let far = self.legs.callee.is_some_and(|leg| self.legs[leg].agent.is_none());
        if far { None } else { self.spoken_end() }
    }

    /// The end of the caller's first audio.
    fn copied_end(&self) -> Option<EndId> {
        if let Some((end, _)) = self.local_end() {
            return Some(end);
        }
        let caller = self.legs.near_leg();
        let theirs = caller.theirs()?;
        let is_audio =
            |index: usize| theirs.media.get(index).is_some_and(|media| media.kind.eq_ignore_ascii_case("audio"));
        caller.ends.iter().find(|end| is_audio(end.index) && self.media.wires.contains(end.end)).map(|end| end.end)
    }

    /// The caller's first audio that listeners can be given: its end, and the numbers on its wires. Each description may
    /// have numbers of its own for the direction that it receives.
    fn audio_of_caller(&self) -> Option<(EndId, TapSpec)> {
        let caller = self.legs.near_leg();
        let (theirs, ours) = (caller.theirs()?, caller.sent());
        caller.ends.iter().find_map(|end| {
            let theirs = theirs.media.get(end.index)?;
            let ours = ours.as_ref().and_then(|sent| sent.media.get(end.index));
            let spoken =
                |section: &Media, number: u8| Audio::numbered(section, number).and_then(|audio| coding(&audio));
            let coding_of = |number: u8| match theirs.rtpmap(number) {
                Some(_) => spoken(theirs, number),
                None => spoken(ours?, number),
            };
            let heard = |numbers: &mut dyn Iterator<Item = u8>| -> Vec<(u8, Coding)> {
                let numbers: BTreeSet<u8> = numbers.collect();
                numbers.into_iter().filter_map(|number| Some((number, coding_of(number)?))).collect()
            };
            let from = self.media.wires.get(end.end).into_iter();
            let to = self.media.wires.values().filter(|(sink, _)| *sink == end.end);
            let inbound = heard(&mut from.flat_map(|(_, wire)| {
                let converted = wire.transcode.iter().flat_map(|spec| spec.from.iter().map(|(from, _)| *from));
                wire.payloads.iter().map(|(from, _)| *from).chain(converted)
            }));
            let outbound = heard(&mut to.flat_map(|(_, wire)| {
                let converted = wire.transcode.iter().map(|spec| spec.to.0);
                wire.payloads.iter().map(|(_, to)| *to).chain(converted)
            }));
            let is_audio = theirs.kind.eq_ignore_ascii_case("audio") && !inbound.is_empty();
            is_audio.then_some((end.end, TapSpec { inbound, outbound }))
        })
    }

    /// A listener is gone: noted, and nothing else.
    pub(crate) fn lose_listener(&mut self, now: Instant, edge: &mut Edge, leg: LegId, failure: &Failure) {
        self.close_agent(now, edge, leg);
        let why = failure.loss.map(|loss| loss.to_string()).unwrap_or_default();
        let line = format!("{} no longer listens: {why}", self.legs.name_of(leg));
        let sid = self.legs.sid().to_owned();
        edge.log(&sid, line, Some(failure.reason));
    }
}
