//! Wires from agents and players to RTP ends.

use crate::codec::PayloadCodec;
use crate::spec::{EndId, WireSpec};

/// Wire from an agent or a player to an RTP end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feed {
    /// RTP end that the wire feeds.
    pub(crate) to: EndId,
    pub(super) payload: u8,
    pub(super) coding: PayloadCodec,
    /// Whether the feeder has audio above 4 kHz.
    pub(crate) wide: bool,
}

impl Feed {
    /// Creates a wire from its specification; `wide` if the feeder has audio above 4 kHz. Returns `None` without a
    /// valid payload type.
    pub(crate) fn new(to: EndId, spec: &WireSpec, wide: bool) -> Option<Feed> {
        let (_, payload) = spec.payloads.first().copied().filter(|(_, to)| *to < 128)?;
        Some(Feed { to, payload, coding: spec.coding, wide: wide && !spec.coding.is_g711() })
    }
}
