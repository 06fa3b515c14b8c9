//! Holds that end here (`hold = "local"`): whoever puts the other side on hold is answered by the edge, the other side hears
//! music and is told nothing, so that it need not know what a re-INVITE is.

use std::time::Instant;

use trunkgate_media::{Command, EndId, HoldSound, Sound, melody};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_route::HoldMode;
use trunkgate_sdp::{AgreedStream, Description, Direction};
use trunkgate_sip::ServerId;

use crate::call::Call;

/// What one side wants of a hold that ends here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// Who wants it.
    pub(crate) leg: LegId,
    /// The other side.
    pub(crate) other: LegId,
    /// Whether its latch opens anew.
    pub(crate) relatch: bool,
    /// Whether it holds from now on, or talks.
    pub(crate) holds: bool,
    /// Whether the streams stand with it as the offerer.
    pub(crate) offers: bool,
}

impl Call {
    /// Whether one side holds the other here.
    pub(crate) fn is_held_here(&self) -> bool {
        !self.media.holds.is_empty()
    }

    /// An offer that holds or resumes, or a refresh while somebody is held here: answered on its own side. Whether it was.
    pub(crate) fn held_here(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        (leg, other): (LegId, LegId),
        server: ServerId,
        offer: &Description,
    ) -> bool {
        let Some((answer, streams)) = self.as_agreed(leg, other, offer) else { return false };
        let Some(holds) = self.wish(leg, other, offer, &streams) else { return false };
        let (answer, relatch) = self.legs[leg].answer_again(edge, offer, answer);
        self.take_hold(now, edge, Change { leg, other, relatch, holds, offers: true }, &streams);
        self.answer_request(now, edge, leg, server, &answer);
        true
    }

    /// What a description of one side wants, where that is for the edge to do: to hold, or to talk. A change of the codec or
    /// of the streams is not, nor is a hold of audio that the edge cannot make.
    pub(crate) fn wish(
        &self,
        leg: LegId,
        other: LegId,
        theirs: &Description,
        streams: &[AgreedStream],
    ) -> Option<bool> {
        let is_known = |at: LegId| {
            let leg = &self.legs[at];
            leg.ends.len() == streams.len() && streams.iter().all(|stream| leg.end(stream.index).is_some())
        };
        let same_codec = streams.first().is_some_and(|first| {
            let (codecs, now) = ([first.codec.as_str(), first.codec_of_answerer()], [leg, other]);
            let now = now.map(|at| self.legs[at].codec.as_str());
            now == codecs || now == [codecs[1], codecs[0]]
        });
        if !(same_codec && is_known(leg) && is_known(other)) {
            return None;
        }
        let directions = || streams.iter().filter_map(|s| Some(theirs.direction_of(theirs.media.get(s.index)?)));
        let involved = self.media.holds.contains(leg) || self.media.holds.contains(other);
        if directions().all(|direction| direction == Direction::SendRecv) {
            return involved.then_some(false);
        }
        let local = |at: LegId| self.legs[at].trunk.as_ref().is_some_and(|trunk| trunk.hold == HoldMode::Local);
        let may = involved || local(leg) || local(other);
        let holds = directions().all(|direction| !direction.receives());
        (may && holds && self.legs.ear_of(other).is_some()).then_some(true)
    }

    /// Takes a change into force.
    pub(crate) fn take_hold(&mut self, now: Instant, edge: &mut Edge, change: Change, streams: &[AgreedStream]) {
        let Change { leg, other, relatch, holds, offers } = change;
        let name = self.legs.name_of(leg);
        if holds && !self.media.holds.contains(leg) {
            edge.decide(
                now,
                self.key,
                format!("{name} put the call on hold: answered by the edge, the other side hears music"),
            );
            self.media.holds.insert(leg, None);
        } else if !holds && let Some(player) = self.media.holds.remove(leg) {
            edge.decide(now, self.key, format!("{name} took the call off hold"));
            self.stop_music(edge, player);
        }
        if !self.is_held_here() {
            let (of_leg, of_other) = ((leg, relatch), (other, false));
            let (offerer, answerer) = if offers { (of_leg, of_other) } else { (of_other, of_leg) };
            return self.wire(now, edge, streams, offerer, answerer);
        }
        for stream in streams {
            let far = if offers { &stream.offerer } else { &stream.answerer };
            if let Some(end) = self.legs[leg].end(stream.index).map(|end| end.end) {
                self.point(now, edge, (leg, end), far, relatch);
            }
        }
        self.part(edge, [leg, other]);
        self.play_to_held(edge);
        self.tap_caller(now, edge);
    }

    /// Two sides hear each other no longer.
    pub(crate) fn part(&mut self, edge: &mut Edge, legs: [LegId; 2]) {
        let Some(media) = self.media.session else { return };
        for end in legs.iter().flat_map(|leg| &self.legs[*leg].ends) {
            if self.media.wires.remove(end.end).is_some() {
                edge.media(media, Command::Unwire { from: end.end });
            }
        }
    }

    /// Whoever is held here hears music.
    pub(crate) fn play_to_held(&mut self, edge: &mut Edge) {
        let Some(media) = self.media.session else { return };
        let holders: Vec<(LegId, Option<EndId>)> =
            self.media.holds.iter().map(|(leg, player)| (leg, *player)).collect();
        for (holder, player) in holders {
            let Some((held, wire)) = self.legs.other(holder).and_then(|other| self.legs.ear_of(other)) else {
                continue;
            };
            let Some(player) = player.or_else(|| edge.new_end(media)) else { continue };
            if self.media.holds.insert(holder, Some(player)).flatten().is_none() {
                let music = self.legs[holder].trunk.as_ref().and_then(|trunk| trunk.hold_music.clone());
                let sound = HoldSound { first: None, music: Some(music.unwrap_or_else(melody)) };
                edge.media(media, Command::AddPlayer { end: player, sound: Sound::Hold(sound) });
            }
            self.connect_ends(edge, player, held, wire);
        }
    }

    /// Nobody is held here any more: what both sides agree on counts.
    pub(crate) fn end_holds(&mut self, edge: &mut Edge) {
        let players: Vec<Option<EndId>> = self.media.holds.values().copied().collect();
        self.media.holds.clear();
        for player in players {
            self.stop_music(edge, player);
        }
    }

    fn stop_music(&mut self, edge: &mut Edge, player: Option<EndId>) {
        if let (Some(player), Some(media)) = (player, self.media.session) {
            self.media.wires.remove(player);
            edge.remove_end(media, player);
        }
    }

    /// The description in force of one side; of one that holds here as if it talked, since the other side does not know.
    pub(crate) fn standing(&self, leg: LegId) -> Option<Description> {
        let mut theirs = self.legs[leg].theirs()?;
        if self.media.holds.contains(leg) {
            let ours = self.legs[leg].media_ip;
            theirs.hear_again(ours);
        }
        Some(theirs)
    }
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
