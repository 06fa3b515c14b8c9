//! The session between a remote party and the edge itself: audio and telephone-events that both know.

use serde::{Deserialize, Serialize};
use trunkgate_media::rtp::DEFAULT_CLOCK_HZ;
use trunkgate_media::{Coding, WireSpec};
use trunkgate_sdp::Media;

/// What an agent's or a player's side of a wire says of its audio: it has no payload numbers of its own.
pub(crate) const OWN_AUDIO: u8 = 0;

/// A port to try a description with.
pub(crate) const ANY_PORT: u16 = 9;

/// Name of the encoding of DTMF digits (RFC 4733).
pub(crate) const TELEPHONE_EVENT: &str = "telephone-event";

/// What the caller and the edge speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spoken {
    /// Index of the m-line.
    pub(crate) index: usize,
    /// Its audio's payload number.
    pub(crate) audio: u8,
    /// Its audio.
    pub(crate) coding: Coding,
    /// Its telephone-event's payload number, as the caller sends it.
    pub(crate) keys: Option<u8>,
    /// The same as the caller wants it, and its clock in Hz.
    pub(crate) presses: Option<(u8, u32)>,
}

/// How an agent or a player is heard by the caller.
pub(crate) fn talks(spoken: Spoken) -> WireSpec {
    talks_as(spoken.audio, spoken.coding)
}

/// Returns a wire between an agent and its seat before a mixer, neither of which has payload numbers.
pub(crate) fn seated() -> WireSpec {
    WireSpec { payloads: vec![(OWN_AUDIO, OWN_AUDIO)], ..WireSpec::default() }
}

/// How it is heard under a payload number.
pub(crate) fn talks_as(number: u8, coding: Coding) -> WireSpec {
    WireSpec { payloads: vec![(OWN_AUDIO, number)], coding, ..WireSpec::default() }
}

/// Clocks that are none of G.711's.
pub(crate) fn clocks(spoken: Spoken) -> Vec<(u8, u32)> {
    let clock_hz = spoken.coding.clock_hz();
    if clock_hz == DEFAULT_CLOCK_HZ { Vec::new() } else { vec![(spoken.audio, clock_hz)] }
}

/// The number and the clock of a section's telephone-event.
pub(crate) fn keys(section: &Media) -> Option<(u8, u32)> {
    let event = |number: u8| section.rtpmap(number).filter(|map| map.is(TELEPHONE_EVENT));
    section.payloads().into_iter().find_map(|number| Some((number, event(number)?.clock)))
}
