//! Downlink playout: the stream that the edge generates for an end, and the sounds that it plays.
//!
//! This module packetizes frames of 20 ms of an agent or a player, and contains the players. An agent's queued audio
//! is in [`agent_audio`](crate::agent_audio), encoders are in [`codec`](crate::codec); the session sends the packets.

mod encoder;
mod fade;
mod feed;
mod frame;
mod melody;
mod packetizer;
mod player;
mod players;

pub use melody::melody;
pub use player::ringback;

pub(crate) use feed::Feed;
pub(crate) use frame::{FRAME_SAMPLES, LinearFrame, PlayoutFrame, SILENT, WIDE_SAMPLES};
pub(crate) use packetizer::Packetizer;
pub(crate) use players::SessionPlayers;
