//! Messages and quality reports for a capture agent, identified by the SID of their call.

use std::net::SocketAddr;
use std::time::SystemTime;

use crate::messages::RawMessage;

/// A message or report for the capture agent.
#[derive(Debug, Clone)]
pub struct CaptureRecord {
    /// SID of the call: the same for all its legs.
    pub call: String,
    /// Time of the message or report.
    pub at: SystemTime,
    /// The message or report.
    pub what: CapturedItem,
}

/// Content of an item for the capture agent.
#[derive(Debug, Clone)]
pub enum CapturedItem {
    /// A SIP message with secrets masked; true if the edge received it, false if the edge sent it.
    Message(RawMessage, bool),
    /// Receive statistics of one end of a leg's media.
    Report(ReceptionReport),
}

/// Receive statistics of one end of a leg's media since its start, in RTCP's terms (RFC 3550 §6.4).
#[derive(Debug, Clone, PartialEq)]
pub struct ReceptionReport {
    /// Address of the reporter: the edge or the remote party.
    pub from: SocketAddr,
    /// Address of the receiver of the reporter's packets: the remote party or the edge.
    pub to: SocketAddr,
    /// Trunk, agent or URI of the leg.
    pub party: String,
    /// Negotiated codec.
    pub codec: String,
    /// Packets sent by the reporter.
    pub sent: u64,
    /// Packets sent to the reporter.
    pub expected: u64,
    /// Packets lost on the way to the reporter.
    pub lost: u64,
    /// Interarrival jitter, in units of the RTP clock.
    pub jitter: u32,
    /// Round-trip time, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Mean opinion score of the received audio.
    pub mos: Option<f64>,
}
