//! Messages and quality reports as a capture agent is sent them, under the sid of their call.

use std::net::SocketAddr;
use std::time::SystemTime;

use crate::messages::RawMessage;

/// One thing.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The call's sid: the same for all its legs.
    pub call: String,
    /// When.
    pub at: SystemTime,
    /// What.
    pub what: CapturedItem,
}

/// What was captured.
#[derive(Debug, Clone)]
pub enum CapturedItem {
    /// A SIP message, secrets overwritten, with whether it came in.
    Message(RawMessage, bool),
    /// What one end of a leg's media has heard so far.
    Report(Report),
}

/// What one end of a leg's media has heard since it began, in RTCP's terms (RFC 3550 §6.4).
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Whose report: our end, or the far one.
    pub from: SocketAddr,
    /// The other one.
    pub to: SocketAddr,
    /// Trunk, agent or URI of the leg.
    pub party: String,
    /// Codec agreed.
    pub codec: String,
    /// Packets that the reporter itself has sent.
    pub sent: u64,
    /// Packets that were sent to it.
    pub expected: u64,
    /// Of these, lost.
    pub lost: u64,
    /// Interarrival jitter, in units of the RTP clock.
    pub jitter: u32,
    /// Round trip, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Score of what it heard.
    pub mos: Option<f64>,
}
