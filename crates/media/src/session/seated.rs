//! Agents as conference participants: each has a seat at a mixer. The seat's clock sends the agent's audio to the mixer
//! and the mixed audio to the agent.
//!
//! The agent receives μ-law at 8 kHz, as from a caller with G.711.

use std::collections::VecDeque;
use std::time::Instant;

use trunkgate_agent::TrackName;

use crate::agent_audio::AgentEnds;
use crate::codec::PayloadCodec;
use crate::codec::g711::{CLOCK_HZ, encode_ulaw};
use crate::listening::{MixerPortTick, MixerPorts, TrackPacket};
use crate::playout::{PlayoutFrame, SILENT};
use crate::spec::MediaEvent;

/// Processes the due ticks of all seats for agents.
pub(super) fn take_ticks(
    now: Instant,
    seats: &mut MixerPorts,
    agents: &mut AgentEnds,
    events: &mut VecDeque<MediaEvent>,
) {
    while let Some(MixerPortTick { seat, rtp, feeds }) = seats.take_tick(now) {
        if let Some(agent) = agents.feeder_of(seat) {
            seats.say(seat, &agent.next_frame(now).unwrap_or(PlayoutFrame::Ulaw(SILENT)));
            agent.frame_left(now, events);
        }
        let Some(agent) = feeds.and_then(|agent| agents.get_mut(agent)) else { continue };
        let codes = seats.frame_of(seat).map_or(SILENT, |frame| frame.linear().map(encode_ulaw));
        let packet = TrackPacket { track: TrackName::Inbound, rtp: &rtp, bytes: &codes, clock_hz: CLOCK_HZ };
        // The error concerns this agent alone; other participants hear the frame.
        let _ = agent.process_packet(now, &packet, Some(PayloadCodec::Pcmu), events);
    }
}
