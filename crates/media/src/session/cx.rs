//! Packet context: the parts of a session, other than its own state, that an end may use.

use std::collections::VecDeque;
use std::time::Instant;

use crate::agent_audio::AgentEnds;
use crate::counters::SharedCounters;
use crate::listening::{EndListener, SessionListeners, TrackPacket};
use crate::rtcp::RtcpOrigin;
use crate::spec::MediaEvent;

/// Parts of a session that all ends share, borrowed for one call, and the current time.
#[derive(Debug)]
pub(super) struct SessionCx<'a> {
    /// Time of the current call into the session.
    pub(super) now: Instant,
    /// Agents that feed ends and listen to them.
    pub(super) agents: &'a mut AgentEnds,
    /// All other listeners of the session.
    pub(super) listeners: &'a mut SessionListeners,
    /// Counters of the worker and of the edge.
    pub(super) shared: &'a SharedCounters,
    /// Wall-clock time and randomness for RTCP.
    pub(super) origin: &'a RtcpOrigin,
    /// Events to be reported to signalling.
    pub(super) events: &'a mut VecDeque<MediaEvent>,
}

impl SessionCx<'_> {
    /// Passes a packet to all listeners of an end, of every kind; most ends have none.
    #[inline]
    pub(super) fn hear_all(&mut self, listeners: &[EndListener], packet: &TrackPacket<'_>) {
        if !listeners.is_empty() {
            self.hear_each(listeners, packet);
        }
    }

    fn hear_each(&mut self, listeners: &[EndListener], packet: &TrackPacket<'_>) {
        self.agents.hear_all(self.now, listeners, packet, self.events);
        self.listeners.hear_all(self.now, listeners, packet, self.events);
    }
}
