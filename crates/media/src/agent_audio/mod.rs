//! Audio of voice agents: the conversation on a socket, the frames that an agent hears and those that it speaks.
//!
//! Here belongs what stands between an agent's socket and the packets of a call, and the listeners of a call. The protocol
//! on the socket is [`trunkgate_agent`]'s; the caller's stream is made in [`playout`](crate::playout); wires and ends are
//! the session's.

mod agents;
mod clears;
mod copies;
mod decoder;
mod downlink;
mod end;
mod lateness;
mod listener;
mod notes;
mod turns;
mod uplink;

pub(crate) use agents::Agents;
pub(crate) use end::TransferFailure;
pub(crate) use listener::{Listener, TrackPacket};
