//! The settings of a gateway: those of its start, and those that a reload changes.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trunkgate_media::LatchMode;
use trunkgate_route::Table;
use trunkgate_story::sampled::Sampling;

use crate::applications::recognition::RecogniserSpec;
use crate::lookups::addressing::Addressing;
use crate::recordings::{RecordingAnnouncement, RecordingLinks};
use crate::sources::strangers::StrangerLimits;

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

/// The settings that a reload, a name look-up or a change of the machine's addresses may change. They are put in force together, so
/// that no call sees new addresses with old routes; calls keep what they began with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Trunks, agents and routes.
    pub table: Arc<Table>,
    /// Addresses of the edge.
    pub addressing: Addressing,
    /// Calls at once.
    pub calls: u32,
    /// New calls a second; 0: no limit.
    pub calls_per_second: u32,
    /// Emergency calls at once of calls that requests begin.
    pub emergency_calls: usize,
    /// Limits of unknown sources.
    pub strangers: StrangerLimits,
    /// Whether a capture agent is sent messages and reports ([`Captured`](trunkgate_story::captured::Captured)).
    pub captures: bool,
    /// The recogniser of callers' speech.
    pub recogniser: Option<Arc<RecogniserSpec>>,
    /// How recordings are named and reported; `None`: there is no writer, and no call is recorded.
    pub recordings: Option<Arc<RecordingLinks>>,
    /// The announcement of recordings that routes ask for.
    pub announcement: Option<Arc<RecordingAnnouncement>>,
    /// The calls, of those that begin from now on, that OpenTelemetry is sent.
    pub sampling: Sampling,
}
