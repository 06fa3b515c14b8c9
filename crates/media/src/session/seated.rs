//! Agents as parties of a conference: each has a seat in front of a mixer, whose clock takes what the agent says, and hands it what the seat hears.
//!
//! An agent hears μ-law at 8 kHz there, as it does of a caller with G.711.

use std::collections::VecDeque;
use std::time::Instant;

use trunkgate_agent::TrackName;

use crate::agent_audio::Agents;
use crate::codec::Coding;
use crate::codec::g711::{CLOCK_HZ, encode_ulaw};
use crate::listening::{SeatTick, Seats, TrackPacket};
use crate::playout::{Frame, SILENT};
use crate::spec::Event;

/// Takes the ticks that are due.
pub(super) fn take_ticks(now: Instant, seats: &mut Seats, agents: &mut Agents, events: &mut VecDeque<Event>) {
    while let Some(SeatTick { seat, rtp, feeds }) = seats.take_tick(now) {
        if let Some(agent) = agents.feeder_of(seat) {
            seats.say(seat, &agent.next_frame(now).unwrap_or(Frame::Ulaw(SILENT)));
            agent.frame_left(now, events);
        }
        let Some(agent) = feeds.and_then(|agent| agents.get_mut(agent)) else { continue };
        let codes = seats.frame_of(seat).map_or(SILENT, |frame| frame.linear().map(encode_ulaw));
        let packet = TrackPacket { track: TrackName::Inbound, rtp: &rtp, bytes: &codes, clock_hz: CLOCK_HZ };
        // A frame that it cannot use is its own loss.
        let _ = agent.hear(now, &packet, Some(Coding::Pcmu), events);
    }
}
