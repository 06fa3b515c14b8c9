//! Media-stream protocol for voice agents, byte for byte as Twilio Media Streams sends it, and the protocol of speech
//! recognisers. Performs no I/O: received socket data and `now` go in; texts for the socket, events and the next
//! deadline come out.
//!
//! Four independent parts are combined by the layer above: [`Stream`] is the conversation on one socket; [`Tracks`]
//! turns RTP into the exact 20 ms frames that it sends; [`Playout`] queues the agent's audio, with its marks, until
//! each 20 ms of it is played; [`Ticks`] is the clock of the playout.
#![deny(clippy::indexing_slicing)]

mod digits;
mod incoming;
mod loss;
mod message;
mod outbox;
mod playout;
mod problem;
mod recognition;
mod reordering;
mod request;
mod signature;
mod stream;
mod ticks;
mod track;
mod tracks;
mod warm;

pub mod format;
pub mod fuzz;
pub mod limits;

pub use format::Format;
pub use incoming::{Incoming, Received, parse};
pub use loss::Loss;
pub use message::{Media, Names, TrackName, TrackSet};
pub use outbox::{NORMAL_CLOSE, Outbox, Transmit};
pub use playout::{Cleared, Mark, Playout};
pub use problem::Problem;
pub use recognition::{Recognition, Transcript};
pub use reordering::Reordering;
pub use request::AgentRequest;
pub use signature::{HEADER as SIGNATURE_HEADER, sign, sign_form};
pub use stream::{Counts, Input, Output, Reason, Settings, Stream};
pub use ticks::{Tick, Ticks};
pub use track::{Packet, Sample, TrackCounts};
pub use tracks::{Frame, Tracks};
pub use warm::{WarmTransfer, Whisper};
