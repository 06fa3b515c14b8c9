//! Streamers of a session: routes packets and frames to the right streamer.

use std::time::Instant;

use trunkgate_agent::TrackName;
use trunkgate_agent::limits::{FRAME, SILENCE_AFTER};

use crate::playout::{Feed, PlayoutFrame};
use crate::spec::{EndId, TapSpec};

use super::listener::{EndListener, TrackPacket};
use super::streamer::Streamer;

/// Streamers of a session. The list is allocated with the first one, because few sessions have any.
#[derive(Debug, Default)]
pub(crate) struct SessionStreamers {
    list: Option<Box<StreamerList>>,
}

#[derive(Debug, Default)]
struct StreamerList {
    all: Vec<Streamer>,
}

impl SessionStreamers {
    /// Adds a streamer of one direction; it is inactive before [`Self::connect`].
    pub(crate) fn add(&mut self, id: EndId, track: TrackName) {
        self.list.get_or_insert_default().all.push(Streamer::new(id, track));
    }

    /// Removes a streamer from the session.
    pub(crate) fn remove(&mut self, id: EndId) {
        if let Some(list) = &mut self.list {
            list.all.retain(|streamer| streamer.id() != id);
        }
    }

    /// Iterates over the ids of the streamers.
    pub(crate) fn names(&self) -> impl Iterator<Item = EndId> {
        self.iter().map(Streamer::id)
    }

    /// Returns whether a codec other than G.711 is decoded for a streamer.
    pub(crate) fn decode(&self) -> bool {
        self.iter().any(Streamer::decodes)
    }

    /// Sets the codecs of a streamer's audio; returns whether the streamer exists.
    pub(crate) fn tune(&mut self, id: EndId, audio: &TapSpec) -> bool {
        self.get_mut(id).map(|streamer| streamer.tune(audio)).is_some()
    }

    /// Passes a packet to the streamers among `listeners`.
    pub(crate) fn hear_all(&mut self, now: Instant, listeners: &[EndListener], packet: &TrackPacket<'_>) {
        for listener in listeners {
            if let Some(streamer) = self.get_mut(listener.id()) {
                streamer.hear(now, packet, listener.coding(packet));
            }
        }
    }

    /// Processes the expired deadlines of all streamers.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.iter_mut().for_each(|streamer| streamer.handle_timeout(now));
    }

    /// Iterates over the next deadlines of the streamers.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.iter().filter_map(Streamer::poll_timeout)
    }

    /// Wires a streamer to an end and returns the start time of the end's stream, late enough that waiting for
    /// reordered packets leaves no tick empty; `None` if there is no such streamer.
    pub(crate) fn connect(&mut self, now: Instant, id: EndId, feed: Feed) -> Option<Instant> {
        self.get_mut(id)?.connect(now, feed);
        Some(now + SILENCE_AFTER + 2 * FRAME)
    }

    /// Removes the wires from a streamer to an end for which `cut(from, to)` is true.
    pub(crate) fn disconnect(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        for streamer in self.iter_mut() {
            if streamer.feed().is_some_and(|feed| cut(streamer.id(), feed.to)) {
                streamer.disconnect();
            }
        }
    }

    /// Returns the streamer that feeds the end `to` with its next frame (`None` if it has not arrived yet); `None`
    /// without such a streamer.
    pub(crate) fn next_frame(&mut self, to: EndId) -> Option<(EndId, Option<PlayoutFrame>)> {
        let streamer = self.iter_mut().find(|streamer| streamer.feed().is_some_and(|feed| feed.to == to))?;
        Some((streamer.id(), streamer.next_frame().map(PlayoutFrame::Linear)))
    }

    fn iter(&self) -> impl Iterator<Item = &Streamer> {
        self.list.iter().flat_map(|list| &list.all)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Streamer> {
        self.list.iter_mut().flat_map(|list| &mut list.all)
    }

    fn get_mut(&mut self, id: EndId) -> Option<&mut Streamer> {
        self.iter_mut().find(|streamer| streamer.id() == id)
    }
}
