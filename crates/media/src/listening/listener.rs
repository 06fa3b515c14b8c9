//! Listeners of an end. A listener reads a packet in its buffer and never modifies it.

use trunkgate_agent::TrackName;

use crate::codec::PayloadCodec;
use crate::rtp::RtpHeader;
use crate::spec::{EndId, TapSpec};

/// Listener to an RTP end, with the codec of each payload type that it decodes.
#[derive(Debug, Clone)]
pub(crate) struct EndListener {
    /// Id of the listener, which is an end of the same session.
    id: EndId,
    audio: TapSpec,
}

/// Packet of an end as passed to its listeners.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrackPacket<'a> {
    /// Direction of the packet: from the remote party, or to it.
    pub(crate) track: TrackName,
    /// RTP header of the packet.
    pub(crate) rtp: &'a RtpHeader,
    /// The whole packet, header included.
    pub(crate) bytes: &'a [u8],
    /// Clock rate of the payload, in Hz.
    pub(crate) clock_hz: u32,
}

impl EndListener {
    /// Creates a listener from its own id and the codecs that it expects.
    pub(crate) fn new(id: EndId, audio: TapSpec) -> EndListener {
        EndListener { id, audio }
    }

    /// Returns the id of the listener.
    pub(crate) fn id(&self) -> EndId {
        self.id
    }

    /// Returns whether the listener has this id.
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
