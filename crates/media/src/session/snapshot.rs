//! Serialized session without clocks, sockets and shared counters, read back at take-over and restart. Agents and
//! players are not included: their sockets end with the process, and signalling connects again. SRTP keys are included
//! in clear; packets sent afterwards under these keys must come from the restored session only.

use std::net::SocketAddr;

use crate::counters::LossRuns;
use crate::latch::LatchSnapshot;
use crate::rtp::OutgoingSnapshot;
use crate::spec::{EndFigures, EndId, MediaId, RemoteSpec, WireSpec};
use crate::srtp::SrtpSnapshot;

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionSnapshot {
    /// Session id.
    pub id: MediaId,
    /// The idle timeout, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Serial number of its next end.
    pub next_serial: u32,
    /// RTP ends.
    pub ends: Vec<EndSnapshot>,
    /// Wires: source, sink, specification.
    pub wires: Vec<(EndId, EndId, WireSpec)>,
}

impl SessionSnapshot {
    /// Subtracts earlier figures, which another place has already counted. Ends without earlier figures keep theirs;
    /// runs of losses begin at zero.
    pub fn count_since(&mut self, earlier: &[EndFigures]) {
        for end in &mut self.ends {
            end.lost_in_a_row = LossRuns::default();
            let Some(before) = earlier.iter().find(|figures| figures.end == end.end) else { continue };
            before.subtract_from(&mut end.counted);
            end.lost = end.lost.saturating_sub(before.lost);
        }
    }
}

/// Serialized RTP end.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EndSnapshot {
    /// Id of the end.
    pub end: EndId,
    /// Serial number, unique in the session.
    pub serial: u32,
    /// Address of its sockets.
    pub bind: SocketAddr,
    /// The remote party.
    pub remote: Option<RemoteSpec>,
    /// RTP source that won the latch.
    pub rtp_source: Option<SocketAddr>,
    /// RTCP source that won the latch.
    pub rtcp_source: Option<SocketAddr>,
    /// Latch state of both.
    #[serde(default)]
    pub latch: [LatchSnapshot; 2],
    /// SRTP state.
    #[serde(default)]
    pub srtp: Option<SrtpSnapshot>,
    /// Sequence number of its next keep-alive packet.
    #[serde(default)]
    pub keep_alive: u16,
    /// Outgoing stream.
    pub outgoing: OutgoingSnapshot,
    /// RTP packets and bytes received, then sent.
    pub counted: [u64; 4],
    /// Packets lost so far.
    pub lost: u64,
    /// Runs of consecutive losses.
    #[serde(default)]
    pub lost_in_a_row: LossRuns,
}
