//! Media-stream protocol for voice agents, byte for byte as Twilio Media Streams sends it, and the protocol of speech
//! recognisers. This crate performs no I/O: received socket data and `now` go in; messages for the socket, events and
//! the next deadline come out.
//!
//! Four independent parts are combined by the layer above: [`Stream`] is the conversation on one socket;
//! [`StreamTracks`] turns RTP into the frames of 20 ms that a stream sends; [`PlayoutQueue`] queues the agent's
//! audio, with its marks, until each 20 ms of it is played; [`TickGenerator`] is the clock of the playout.
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
mod snapshot;
mod stream;
mod ticks;
mod track;
mod tracks;
mod warm;

pub mod format;
pub mod fuzz;
pub mod limits;

pub use format::AgentFormat;
pub use incoming::{AgentMessage, StreamMessage, parse};
pub use loss::StreamLoss;
pub use message::{MediaMessage, StreamNames, TrackName, TrackSet};
pub use outbox::{AgentOutbox, NORMAL_CLOSE, SocketMessage};
pub use playout::{ClearResult, PlayedMark, PlayoutQueue};
pub use problem::MessageProblem;
pub use recognition::{RecognitionOptions, Transcript};
pub use reordering::ReorderTracker;
pub use request::AgentRequest;
pub use signature::{HEADER as SIGNATURE_HEADER, sign, sign_form};
pub use snapshot::{PlayoutSnapshot, StreamSnapshot, UnsentMessage};
pub use stream::{Stream, StreamDeadline, StreamInput, StreamOutput, StreamSettings, StreamStats};
pub use ticks::{Tick, TickGenerator};
pub use track::{TrackCounts, TrackInput, TrackSample};
pub use tracks::{StreamTracks, TrackFrame, TracksSnapshot};
pub use warm::{WarmTransfer, Whisper};
