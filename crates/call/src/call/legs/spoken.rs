//! Session between a remote party and the edge itself: the audio codec and telephone-events that both support.

use serde::{Deserialize, Serialize};
use trunkgate_media::rtp::DEFAULT_CLOCK_HZ;
use trunkgate_media::{PayloadCodec, WireSpec};
use trunkgate_sdp::MediaDescription;

/// Payload type for the audio of agents and players, which have no payload types of their own.
pub(crate) const OWN_AUDIO: u8 = 0;

/// Placeholder port for a description that is built only to test whether codecs match.
pub(crate) const ANY_PORT: u16 = 9;

/// Encoding name of DTMF events (RFC 4733).
pub(crate) const TELEPHONE_EVENT: &str = "telephone-event";

/// Agreement on audio and DTMF between a remote party and the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AudioAgreement {
    /// Index of the m-line.
    pub(crate) index: usize,
    /// Payload type of the audio.
    pub(crate) audio: u8,
    /// Codec of the audio.
    pub(crate) coding: PayloadCodec,
    /// Payload type of telephone-events received from the remote party.
    pub(crate) keys: Option<u8>,
    /// Payload type of telephone-events sent to the remote party, and their clock rate in Hz.
    pub(crate) presses: Option<(u8, u32)>,
}

/// Returns the wire from an agent or player to the caller.
pub(crate) fn wire_to_caller(spoken: AudioAgreement) -> WireSpec {
    talks_as(spoken.audio, spoken.coding)
}

/// Returns the wire between an agent and its mixer input, both without payload types.
pub(crate) fn mixer_wire() -> WireSpec {
    WireSpec { payloads: vec![(OWN_AUDIO, OWN_AUDIO)], ..WireSpec::default() }
}

/// Returns the wire from an agent or player to a payload type and codec.
pub(crate) fn talks_as(number: u8, coding: PayloadCodec) -> WireSpec {
    WireSpec { payloads: vec![(OWN_AUDIO, number)], coding, ..WireSpec::default() }
}

/// Returns the payload type of the audio with its clock rate; empty if the rate is that of G.711.
pub(crate) fn clocks(spoken: AudioAgreement) -> Vec<(u8, u32)> {
    let clock_hz = spoken.coding.clock_hz();
    if clock_hz == DEFAULT_CLOCK_HZ { Vec::new() } else { vec![(spoken.audio, clock_hz)] }
}

/// Returns payload type and clock rate of a section's telephone-event.
pub(crate) fn keys(section: &MediaDescription) -> Option<(u8, u32)> {
    let event = |number: u8| section.rtpmap(number).filter(|map| map.is(TELEPHONE_EVENT));
    section.payloads().into_iter().find_map(|number| Some((number, event(number)?.clock)))
}
