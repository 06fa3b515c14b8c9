//! Settings of a gateway: the fixed ones of its start, and those that a reload changes.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trunkgate_media::LatchMode;
use trunkgate_route::RoutingTable;
use trunkgate_story::sampled::Sampling;

use crate::applications::recognition::RecogniserSpec;
use crate::lookups::addressing::Addressing;
use crate::recordings::{RecordingAnnouncement, RecordingLinks};
use crate::sources::unknown_sources::UnknownSourceLimits;

/// Settings fixed at the start of a gateway.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Name of the edge (`[edge] name`).
    pub name: String,
    /// Reference instant in both clocks, used to date reports.
    pub epoch: (Instant, SystemTime),
    /// Seed of all identifiers, tags, branches and SSRCs.
    pub seed: [u8; 32],
    /// Maximum number of concurrent calls.
    pub max_calls: u32,
    /// Maximum rate of new calls per second; 0: unlimited.
    pub calls_per_second: u32,
    /// Maximum size of a SIP message, in bytes.
    pub sip_message_bytes: usize,
    /// First and last media port; RTP uses the even ones.
    pub media_ports: (u16, u16),
    /// Policy for latching onto the source of RTP (`[media] latch`).
    pub latch: LatchMode,
    /// Time without RTP after which a call ends (`[media] idle_timeout`); zero if unlimited.
    pub idle_timeout: Duration,
    /// Whether log lines show full numbers.
    pub full_numbers: bool,
    /// Account SID sent to agents (`[api] account_sid`).
    pub account_sid: String,
}

/// Settings that a reload, a name look-up or a change of the machine's addresses may change. All are applied
/// together, so that no call sees new addresses with old routes; live calls keep the settings with which they began.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// Trunks, agents and routes.
    pub table: Arc<RoutingTable>,
    /// Addresses of the edge.
    pub addressing: Addressing,
    /// Maximum number of concurrent calls.
    pub calls: u32,
    /// Maximum rate of new calls per second; 0: unlimited.
    pub calls_per_second: u32,
    /// Maximum number of concurrent emergency calls within calls that the API started.
    pub emergency_calls: usize,
    /// Limits for unknown sources.
    pub strangers: UnknownSourceLimits,
    /// Whether messages and reports go to a capture agent
    /// ([`CaptureRecord`](trunkgate_story::captured::CaptureRecord)).
    pub captures: bool,
    /// Speech recogniser for callers' speech.
    pub recogniser: Option<Arc<RecogniserSpec>>,
    /// Names and callbacks of recordings; `None` without a recording writer: no call is then recorded.
    pub recordings: Option<Arc<RecordingLinks>>,
    /// Announcement of recordings that routes request.
    pub announcement: Option<Arc<RecordingAnnouncement>>,
    /// Share of new calls that are exported to OpenTelemetry.
    pub sampling: Sampling,
}
