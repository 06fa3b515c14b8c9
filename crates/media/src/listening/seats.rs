//! Conference seats of a session: routes packets, frames and clock ticks to the right seat.

use std::time::Instant;

use crate::playout::{Feed, PlayoutFrame};
use crate::rtp::RtpHeader;
use crate::spec::{EndId, MixerPortSpec, TapSpec};

use super::listener::{EndListener, TrackPacket};
use super::seat::MixerPort;

/// All conference seats of a session.
#[derive(Debug, Default)]
pub(crate) struct MixerPorts {
    all: Vec<MixerPort>,
}

/// Clock tick of a conference seat for an agent.
#[derive(Debug)]
pub(crate) struct MixerPortTick {
    /// Id of the seat.
    pub(crate) seat: EndId,
    /// Packet header of the audio sent to the agent.
    pub(crate) rtp: RtpHeader,
    /// Agent that receives the audio.
    pub(crate) feeds: Option<EndId>,
}

impl MixerPorts {
    /// Adds a conference seat to the session.
    pub(crate) fn add(&mut self, id: EndId, spec: &MixerPortSpec) {
        self.all.extend(MixerPort::new(id, spec));
    }

    /// Removes a seat; the mixer notices that its rings are closed.
    pub(crate) fn remove(&mut self, id: EndId) {
        self.all.retain(|seat| seat.id() != id);
    }

    /// Iterates over the ids of the conference seats.
    pub(crate) fn names(&self) -> impl Iterator<Item = EndId> {
        self.all.iter().map(MixerPort::id)
    }

    /// Returns whether an end is a seat.
    pub(crate) fn has(&self, id: EndId) -> bool {
        self.names().any(|name| name == id)
    }

    /// Returns the time of the first tick of a seat's mixer; `None` for an unknown seat.
    pub(crate) fn ticks_at(&self, id: EndId) -> Option<Instant> {
        self.all.iter().find(|seat| seat.id() == id).map(MixerPort::ticks_at)
    }

    /// Returns whether a seat has audio above 4 kHz.
    pub(crate) fn is_wide(&self, id: EndId) -> bool {
        self.all.iter().any(|seat| seat.id() == id && seat.is_wide())
    }

    /// Returns whether a codec other than G.711 is decoded for a seat.
    pub(crate) fn decode(&self) -> bool {
        self.all.iter().any(MixerPort::decodes)
    }

    /// Sets the codecs of the audio from a seat's party, by payload type; returns false for an unknown seat.
    pub(crate) fn tune(&mut self, id: EndId, audio: &TapSpec) -> bool {
        self.get_mut(id).map(|seat| seat.tune(audio)).is_some()
    }

    /// Passes a packet to the seats among `listeners`.
    pub(crate) fn hear_all(&mut self, now: Instant, listeners: &[EndListener], packet: &TrackPacket<'_>) {
        for listener in listeners {
            if let Some(seat) = self.get_mut(listener.id()) {
                seat.hear(now, packet, listener.coding(packet));
            }
        }
    }

    /// Wires a seat to an end and returns the start time of the end's stream; `None` for an unknown seat.
    pub(crate) fn connect(&mut self, now: Instant, id: EndId, feed: Feed) -> Option<Instant> {
        Some(self.get_mut(id)?.connect(now, feed))
    }

    /// Starts the clock of a seat for an agent; returns whether the seat exists.
    pub(crate) fn begin_clock(&mut self, now: Instant, id: EndId) -> bool {
        self.get_mut(id).map(|seat| seat.begin_clock(now)).is_some()
    }

    /// Advances the clock of one seat for an agent if its tick is due; `None` if none is due.
    pub(crate) fn take_tick(&mut self, now: Instant) -> Option<MixerPortTick> {
        let tick = |seat: &mut MixerPort| {
            let rtp = seat.take_tick(now)?;
            Some(MixerPortTick { seat: seat.id(), rtp, feeds: seat.feed().map(|feed| feed.to) })
        };
        self.all.iter_mut().find_map(tick)
    }

    /// Sends the next 20 ms of an agent's audio to the mixer of its seat.
    pub(crate) fn say(&mut self, id: EndId, frame: &PlayoutFrame) {
        if let Some(seat) = self.get_mut(id) {
            seat.say(frame);
        }
    }

    /// Takes the next 20 ms of mixed audio for a seat; `None` if there are none in time, in which case silence is sent.
    pub(crate) fn frame_of(&mut self, id: EndId) -> Option<PlayoutFrame> {
        self.get_mut(id)?.next_frame()
    }

    /// Lists the next clock tick of each seat for an agent.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.all.iter().filter_map(MixerPort::clock_due)
    }

    /// Removes the wires from a seat to an end for which `cut(from, to)` is true.
    pub(crate) fn disconnect(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        for seat in &mut self.all {
            if seat.feed().is_some_and(|feed| cut(seat.id(), feed.to)) {
                seat.disconnect();
            }
        }
    }

    /// Returns the seat that feeds the end `to` with its next frame (`None` if it is not there in time); `None` without
    /// such a seat.
    pub(crate) fn next_frame(&mut self, to: EndId) -> Option<(EndId, Option<PlayoutFrame>)> {
        let seat = self.all.iter_mut().find(|seat| seat.feed().is_some_and(|feed| feed.to == to))?;
        Some((seat.id(), seat.next_frame()))
    }

    fn get_mut(&mut self, id: EndId) -> Option<&mut MixerPort> {
        self.all.iter_mut().find(|seat| seat.id() == id)
    }
}
