//! Audio of voice agents: the conversation on a socket, the frames sent to an agent and those received from it.
//!
//! This module connects an agent's socket with the packets of a call. The socket protocol belongs to
//! [`trunkgate_agent`]; [`listening`](crate::listening) frames the audio for agents as for every listener;
//! [`playout`](crate::playout) makes the caller's stream; the session has wires and ends.

mod agents;
mod clears;
mod downlink;
mod end;
mod lateness;
mod notes;
mod snapshot;
mod turns;

pub(crate) use agents::AgentEnds;
pub(crate) use end::{AgentEnd, TransferFailure};
pub use snapshot::AgentSnapshot;
