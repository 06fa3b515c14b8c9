//! The surroundings of a packet: what every end may use beyond its own state.

use std::collections::VecDeque;
use std::time::Instant;

use crate::agent_audio::Agents;
use crate::counters::Shared;
use crate::listening::{Copies, Judges, Listener, Recorders, Seats, Streamers, TrackPacket};
use crate::rtcp::Origin;
use crate::spec::Event;

/// Borrows of the parts that ends share, and the time.
#[derive(Debug)]
pub(super) struct Cx<'a> {
    /// The time.
    pub(super) now: Instant,
    /// The agents that feed and hear ends.
    pub(super) agents: &'a mut Agents,
    /// Listeners that get plain RTP.
    pub(super) copies: &'a mut Copies,
    /// Listeners that record.
    pub(super) recorders: &'a mut Recorders,
    /// Listeners whose audio goes to recording servers.
    pub(super) streamers: &'a mut Streamers,
    /// Listeners that say who has answered.
    pub(super) judges: &'a mut Judges,
    /// Parties of conferences.
    pub(super) seats: &'a mut Seats,
    /// Counters of the worker and of the edge.
    pub(super) shared: &'a Shared,
    /// Date and chance.
    pub(super) origin: &'a Origin,
    /// Events for signalling.
    pub(super) events: &'a mut VecDeque<Event>,
}

impl Cx<'_> {
    /// Lets all listeners of an end hear a packet, whichever their kind; most ends have none.
    #[inline]
    pub(super) fn hear_all(&mut self, listeners: &[Listener], packet: &TrackPacket<'_>) {
        if !listeners.is_empty() {
            self.hear_each(listeners, packet);
        }
    }

    fn hear_each(&mut self, listeners: &[Listener], packet: &TrackPacket<'_>) {
        self.agents.hear_all(self.now, listeners, packet, self.events);
        self.copies.hear_all(self.now, listeners, packet);
        self.recorders.hear_all(self.now, listeners, packet, self.events);
        self.streamers.hear_all(self.now, listeners, packet);
        self.judges.hear_all(self.now, listeners, packet, self.events);
        self.seats.hear_all(self.now, listeners, packet);
    }
}
