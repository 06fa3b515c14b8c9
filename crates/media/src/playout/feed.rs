//! Wires from agents and players to RTP ends.

use crate::codec::Coding;
use crate::spec::{EndId, WireSpec};

/// The wire from an agent or a player to an RTP end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feed {
    /// The sink.
    pub(crate) to: EndId,
    pub(super) payload: u8,
    pub(super) coding: Coding,
    /// Whether more than 4 kHz is said.
    pub(crate) wide: bool,
}

impl Feed {
    /// As the wire says, from one who speaks `wide` audio or not; `None` where it has no payload number.
    pub(crate) fn new(to: EndId, spec: &WireSpec, wide: bool) -> Option<Feed> {
        let (_, payload) = spec.payloads.first().copied().filter(|(_, to)| *to < 128)?;
        Some(Feed { to, payload, coding: spec.coding, wide: wide && !spec.coding.is_g711() })
    }
}
