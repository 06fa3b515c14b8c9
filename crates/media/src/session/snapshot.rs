//! Serialized session without clocks, sockets and shared counters, restored by a successor process or after a
//! restart. Agents and players are not included: their sockets end with the process, and signalling connects again.
//! SRTP keys are included in clear; after the snapshot only the restored session may send packets under these keys.

use std::net::SocketAddr;

use crate::counters::LossRuns;
use crate::latch::LatchSnapshot;
use crate::rtp::OutgoingSnapshot;
use crate::spec::{EndFigures, EndId, MediaId, RemoteSpec, WireSpec};
use crate::srtp::SrtpSnapshot;

/// Serialized session: its RTP ends and the wires between them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionSnapshot {
    /// Id of the session, assigned by signalling.
    pub id: MediaId,
    /// Idle timeout, in milliseconds; 0 for none.
    pub idle_timeout_ms: u64,
    /// Serial number of the session's next feeder.
    pub next_serial: u32,
    /// RTP ends of the session.
    pub ends: Vec<EndSnapshot>,
    /// Wires between RTP ends: source, sink, specification.
    pub wires: Vec<(EndId, EndId, WireSpec)>,
    /// Positions of players in samples, by the end that they feed; signalling sets the players' sounds again.
    #[serde(default)]
    pub players: Vec<(EndId, u64)>,
}

impl SessionSnapshot {
    /// Subtracts figures that another process has already counted. Ends without earlier figures keep their counts; the
    /// runs of losses are reset to zero.
    pub fn count_since(&mut self, earlier: &[EndFigures]) {
        for end in &mut self.ends {
            end.lost_in_a_row = LossRuns::default();
            let Some(before) = earlier.iter().find(|figures| figures.end == end.end) else { continue };
            before.subtract_from(&mut end.counted);
            end.lost = end.lost.saturating_sub(before.lost);
        }
    }
}

/// Serialized state of one RTP end.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EndSnapshot {
    /// Id of the end in its session.
    pub end: EndId,
    /// Serial number of the end, unique in the session.
    pub serial: u32,
    /// Address of the end's sockets, with the RTP port.
    pub bind: SocketAddr,
    /// Description of the remote party; `None` if it is not known yet.
    pub remote: Option<RemoteSpec>,
    /// RTP source that has won the latch, if any.
    pub rtp_source: Option<SocketAddr>,
    /// RTCP source that has won the RTCP latch, if any.
    pub rtcp_source: Option<SocketAddr>,
    /// State of the RTP and the RTCP latch.
    #[serde(default)]
    pub latch: [LatchSnapshot; 2],
    /// SRTP state; `None` for plain RTP.
    #[serde(default)]
    pub srtp: Option<SrtpSnapshot>,
    /// Sequence number of the end's next keep-alive packet.
    #[serde(default)]
    pub keep_alive: u16,
    /// State of the RTP stream that the end sends.
    pub outgoing: OutgoingSnapshot,
    /// Counts of RTP packets and bytes received, then of those sent.
    pub counted: [u64; 4],
    /// Number of packets lost so far.
    pub lost: u64,
    /// Runs of consecutive losses by length.
    #[serde(default)]
    pub lost_in_a_row: LossRuns,
}
