//! Packet context: everything that ends may use beyond their own state.

use std::collections::VecDeque;
use std::time::Instant;

use crate::agent_audio::Agents;
use crate::counters::Shared;
use crate::listening::{Copies, Judges, Listener, Recorders, Seats, Streamers, TrackPacket};
use crate::rtcp::Origin;
use crate::spec::Event;

/// Borrowed parts shared by all ends, and the current time.
#[derive(Debug)]
pub(super) struct Cx<'a> {
    /// Current time.
    pub(super) now: Instant,
    /// Agents that feed ends and listen to them.
    pub(super) agents: &'a mut Agents,
    /// Listeners that receive plain RTP copies.
    pub(super) copies: &'a mut Copies,
    /// Listeners that record.
    pub(super) recorders: &'a mut Recorders,
    /// Listeners that feed recording servers.
    pub(super) streamers: &'a mut Streamers,
    /// Answering machine detectors.
    pub(super) judges: &'a mut Judges,
    /// Seats of conferences.
    pub(super) seats: &'a mut Seats,
    /// Counters of the worker and of the edge.
    pub(super) shared: &'a Shared,
    /// Wall-clock time and randomness.
    pub(super) origin: &'a Origin,
    /// Events for signalling.
    pub(super) events: &'a mut VecDeque<Event>,
}

impl Cx<'_> {
    /// Passes a packet to all listeners of an end, of every kind; most ends have none.
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
