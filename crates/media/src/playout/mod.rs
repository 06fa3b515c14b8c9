//! Downlink playout: the stream that the edge itself makes for an end, and the sounds that it plays.
//!
//! Here belongs what turns 20 ms of an agent or a player into a packet, and the players. An agent's audio before that is in
//! [`agent_audio`](crate::agent_audio), its encoders are in [`codec`](crate::codec); sending the packet is the session's.

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
pub(crate) use frame::{FRAME_SAMPLES, Frame, Linear, SILENT, WIDE_SAMPLES};
pub(crate) use packetizer::Packetizer;
pub(crate) use players::Players;
