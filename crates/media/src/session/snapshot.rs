//! A session in plain data: no clock, no socket, no shared counter. Take-over and restart read it back. Agents and
//! players are not in it: their sockets end with the process, and signalling connects again. Keys of SRTP are in it, in
//! clear; what the session sends afterwards, no other may send again.

use std::net::SocketAddr;

use crate::counters::LossRuns;
use crate::latch::Known;
use crate::rtp::OutgoingSnapshot;
use crate::spec::{EndId, MediaId, RemoteSpec, WireSpec};
use crate::srtp::SrtpSnapshot;

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionSnapshot {
    /// The session's id.
    pub id: MediaId,
    /// The idle timeout, in milliseconds.
    pub idle_timeout_ms: u64,
    /// The number that its next end gets.
    pub next_serial: u32,
    /// The RTP ends.
    pub ends: Vec<EndSnapshot>,
    /// The wires: from, to, description.
    pub wires: Vec<(EndId, EndId, WireSpec)>,
}

/// One of its ends.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EndSnapshot {
    /// The end's name.
    pub end: EndId,
    /// A number that no other end of the session ever had.
    pub serial: u32,
    /// The address of its sockets.
    pub bind: SocketAddr,
    /// The remote party.
    pub remote: Option<RemoteSpec>,
    /// The RTP source that won.
    pub rtp_source: Option<SocketAddr>,
    /// The RTCP source that won.
    pub rtcp_source: Option<SocketAddr>,
    /// Knowledge of the two.
    #[serde(default)]
    pub latch: [Known; 2],
    /// The progress of its SRTP.
    #[serde(default)]
    pub srtp: Option<SrtpSnapshot>,
    /// The number of its next keep-alive packet.
    #[serde(default)]
    pub keep_alive: u16,
    /// The stream that leaves it.
    pub outgoing: OutgoingSnapshot,
    /// RTP packets and bytes received, then sent.
    pub counted: [u64; 4],
    /// Packets missing so far.
    pub lost: u64,
    /// Runs of so many in a row.
    #[serde(default)]
    pub lost_in_a_row: LossRuns,
}
