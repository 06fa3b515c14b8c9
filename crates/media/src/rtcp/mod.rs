//! RTCP: reading a remote party's packets, covering their texts, and the edge's own reports.
//!
//! Here belongs what is said about a stream, in packets of RTCP. The stream itself is in [`rtp`](crate::rtp), the choice
//! between passing RTCP on and reporting is the session's, encryption is in [`srtp`](crate::srtp).

mod compound;
mod origin;
mod parse;
mod reports;

pub use compound::{Block, Compound, Sending, VoipMetrics};
pub use origin::{Epoch, Origin};
pub use parse::{Kind, classify, cover_texts, is_well_formed};
pub use reports::{Reports, Stream};
