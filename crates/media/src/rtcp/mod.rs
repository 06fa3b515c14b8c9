//! RTCP: parses a remote party's packets, replaces their texts, and generates the edge's own reports.
//!
//! This module handles RTCP packets about a stream. The stream itself is in [`rtp`](crate::rtp), encryption in
//! [`srtp`](crate::srtp); the session decides between forwarding RTCP and generating reports.

mod compound;
mod origin;
mod parse;
mod reports;

pub use compound::{CompoundPacket, RtcpReportBlock, SenderInfo, VoipMetrics};
pub use origin::{ClockEpoch, RtcpOrigin};
pub use parse::{DatagramKind, classify, cover_texts, is_well_formed};
pub use reports::{RtcpReports, Stream};
