//! The surroundings of a packet: what every end may use beyond its own state.

use std::collections::VecDeque;
use std::time::Instant;

use crate::agent_audio::Agents;
use crate::counters::Shared;
use crate::rtcp::Origin;
use crate::spec::Event;

/// Borrows of the parts that ends share, and the time.
#[derive(Debug)]
pub(super) struct Cx<'a> {
    /// The time.
    pub(super) now: Instant,
    /// The agents that feed and hear ends.
    pub(super) agents: &'a mut Agents,
    /// Counters of the worker and of the edge.
    pub(super) shared: &'a Shared,
    /// Date and chance.
    pub(super) origin: &'a Origin,
    /// Events for signalling.
    pub(super) events: &'a mut VecDeque<Event>,
}
