//! Vocabulary that several cores share and that belongs to none of them: transports, credentials, host names of the edge, SRTP suites, channels and pieces of recordings.
//!
//! A type stands here when two crates that do not know each other mean the same by it. What only one of them does with it (a
//! Via token, a packet's tag length) stays a function of that crate.

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
