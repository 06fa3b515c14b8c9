//! The settings of a gateway at its start.

use std::time::{Duration, Instant, SystemTime};

use trunkgate_media::LatchMode;

/// What a gateway is told at the start.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// `[edge] name`.
    pub name: String,
    /// A moment in both clocks, so that reports can be dated.
    pub epoch: (Instant, SystemTime),
    /// Seed of every name, tag, branch and SSRC.
    pub seed: [u8; 32],
    /// Calls at once.
    pub max_calls: u32,
    /// New calls a second; 0: no limit.
    pub calls_per_second: u32,
    /// Longest SIP message, in bytes.
    pub sip_message_bytes: usize,
    /// First and last media port; RTP takes the even ones.
    pub media_ports: (u16, u16),
    /// `[media] latch`.
    pub latch: LatchMode,
    /// `[media] idle_timeout`; zero: none.
    pub idle_timeout: Duration,
    /// Whether numbers are shown in full in log lines.
    pub full_numbers: bool,
    /// `[api] account_sid`, told to agents.
    pub account_sid: String,
}
