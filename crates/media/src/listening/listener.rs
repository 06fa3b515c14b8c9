//! Listeners of an end. A listener reads a packet in its buffer and never modifies it.

use trunkgate_agent::TrackName;

use crate::codec::PayloadCodec;
use crate::rtp::RtpHeader;
use crate::spec::{EndId, TapSpec};

/// Listener of an end.
#[derive(Debug, Clone)]
pub(crate) struct EndListener {
    /// The listening end.
    id: EndId,
    audio: TapSpec,
}

/// Packet of an end as passed to its listeners.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrackPacket<'a> {
    /// The direction: from the remote party, or to it.
    pub(crate) track: TrackName,
    /// RTP header.
    pub(crate) rtp: &'a RtpHeader,
    /// The whole packet.
    pub(crate) bytes: &'a [u8],
    /// Clock rate of the payload, in Hz.
    pub(crate) clock_hz: u32,
}

impl EndListener {
    /// Creates a listener from the listening end and its audio.
    pub(crate) fn new(id: EndId, audio: TapSpec) -> EndListener {
        EndListener { id, audio }
    }

    /// Returns the listening end.
    pub(crate) fn id(&self) -> EndId {
        self.id
    }

    /// Returns whether `id` is the listening end.
    pub(crate) fn is(&self, id: EndId) -> bool {
        self.id == id
    }

    /// Returns the codec of a packet; `None` if the listener ignores it.
    pub(crate) fn coding(&self, packet: &TrackPacket<'_>) -> Option<PayloadCodec> {
        let numbers = match packet.track {
            TrackName::Inbound => &self.audio.inbound,
            TrackName::Outbound => &self.audio.outbound,
        };
        numbers.iter().find(|(number, _)| *number == packet.rtp.payload_type).map(|(_, coding)| *coding)
    }
}
