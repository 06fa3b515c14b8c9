//! Vocabulary shared by several protocol crates: transports, credentials, host names of the edge, SRTP suites, channels
//! and pieces of recordings.
//!
//! A type belongs here if crates that do not depend on each other share its meaning. Functions that only one of them
//! needs (a Via token, a packet's tag length) stay in that crate.

mod channels;
mod credentials;
mod hosts;
mod recording;
mod srtp;
mod transport;
mod url_origin;

pub use channels::Channels;
pub use credentials::{Credentials, DigestHash};
pub use hosts::OwnHosts;
pub use recording::{Alaw, Recorded, RecordedSamples, RecordingId, RecordingPause};
pub use srtp::{Srtp, Suite};
pub use transport::Transport;
pub use url_origin::UrlOrigin;
