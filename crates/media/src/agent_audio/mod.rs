//! Audio of voice agents: the conversation on a socket, the frames that an agent hears and those that it speaks.
//!
//! Here belongs what stands between an agent's socket and the packets of a call. The protocol on the socket is
//! [`trunkgate_agent`]'s; what an agent hears is framed in [`listening`](crate::listening), as for every listener; the caller's
//! stream is made in [`playout`](crate::playout); wires and ends are the session's.

mod agents;
mod clears;
mod downlink;
mod end;
mod lateness;
mod notes;
mod turns;

pub(crate) use agents::Agents;
pub(crate) use end::TransferFailure;
