//! Listeners of an end. A listener reads a packet in its buffer and never changes it.

use trunkgate_agent::TrackName;

use crate::codec::Coding;
use crate::rtp::Rtp;
use crate::spec::{EndId, TapSpec};

/// One listener of an end.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    /// The one that hears.
    id: EndId,
    audio: TapSpec,
}

/// A packet of an end, as its listeners get it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrackPacket<'a> {
    /// The direction: from the remote party, or to it.
    pub(crate) track: TrackName,
    /// The header.
    pub(crate) rtp: &'a Rtp,
    /// The whole packet.
    pub(crate) bytes: &'a [u8],
    /// The clock of its payload, in Hz.
    pub(crate) clock_hz: u32,
}

impl Listener {
    /// Creates a listener: the end that hears, and its audio.
    pub(crate) fn new(id: EndId, audio: TapSpec) -> Listener {
        Listener { id, audio }
    }

    /// Returns the end that hears.
    pub(crate) fn id(&self) -> EndId {
        self.id
    }

    /// Returns whether `id` is the listener.
    pub(crate) fn is(&self, id: EndId) -> bool {
        self.id == id
    }

    /// Returns the codec of a packet; `None` where it is not heard.
    pub(crate) fn coding(&self, packet: &TrackPacket<'_>) -> Option<Coding> {
        let numbers = match packet.track {
            TrackName::Inbound => &self.audio.inbound,
            TrackName::Outbound => &self.audio.outbound,
        };
        numbers.iter().find(|(number, _)| *number == packet.rtp.payload_type).map(|(_, coding)| *coding)
    }
}
