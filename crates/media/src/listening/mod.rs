//! Listeners of a call: audio of one end, both directions, as agents, raw forks, recorders, recording servers, mixers
//! and the detection of answering machines get it.
//!
//! Here belongs what is done to a packet for those that hear it without being its destination. The conversation with an agent that hears
//! is [`agent_audio`](crate::agent_audio)'s; what hears a packet is decided by the session.

mod copies;
mod decoder;
mod hearing;
mod judges;
mod listener;
mod recorder;
mod recorders;
mod seat;
mod seats;
mod stereo;
mod streamer;
mod streamers;
mod uplink;

pub(crate) use copies::Copies;
pub(crate) use hearing::Hearing;
pub(crate) use judges::Judges;
pub(crate) use listener::{Listener, TrackPacket};
pub(crate) use recorders::Recorders;
pub(crate) use seats::{SeatTick, Seats};
pub(crate) use streamers::Streamers;
