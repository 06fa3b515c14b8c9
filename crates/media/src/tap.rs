//! Who listens to an end. A tap reads a packet where it lies and never changes it; what the agent makes of it is the
//! agent's own.

use std::collections::VecDeque;
use std::time::Instant;

use trunkgate_agent::TrackName;

use crate::agent_end::AgentEnd;
use crate::rtp::Rtp;
use crate::spec::{EndId, Event, TapSpec};
use crate::transcode::Coding;

/// One listener of an end.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    /// The agent that hears.
    pub(crate) listener: EndId,
    /// What it hears.
    pub(crate) audio: TapSpec,
}

impl Tap {
    /// What a payload is; `None` where it is not heard.
    fn coding(&self, track: TrackName, payload: u8) -> Option<Coding> {
        let numbers = match track {
            TrackName::Inbound => &self.audio.inbound,
            TrackName::Outbound => &self.audio.outbound,
        };
        numbers.iter().find(|(number, _)| *number == payload).map(|(_, coding)| *coding)
    }
}

/// Lets all listeners of an end hear a packet.
pub(crate) fn hear_all(
    now: Instant,
    taps: &[Tap],
    agents: &mut [AgentEnd],
    track: TrackName,
    packet: (&Rtp, &[u8]),
    events: &mut VecDeque<Event>,
) {
    for tap in taps {
        if let Some(agent) = agents.iter_mut().find(|agent| agent.id == tap.listener) {
            // What it cannot use is its own loss.
            let _ = agent.hear(now, track, packet, tap.coding(track, packet.0.payload_type), events);
        }
    }
}
