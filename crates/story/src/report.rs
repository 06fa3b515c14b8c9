//! Record of a finished call.

/// Call record: the fields of the call and additional ones, written once as one JSON line. `Default` is empty, for
/// tests.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct CallRecord {
    /// The call as in `/v1/calls/{sid}`.
    #[serde(flatten)]
    pub call: crate::view::CallView,
    /// Final SIP status code towards the caller; the JSON has that of the call.
    #[serde(skip)]
    pub sip_code: u16,
    /// ITU-T Q.850 cause (RFC 6432).
    pub q850_cause: u8,
    /// Targets or peers that failed before the one that ended the search.
    pub failovers: u32,
    /// Time from the inbound INVITE to the first outbound 18x, in milliseconds; `null` without an 18x.
    pub post_dial_ms: Option<u64>,
    /// Lowest mean opinion score of either side in an interval of five seconds; `null` if unknown.
    pub mos_min: Option<f64>,
    /// Mean opinion score of all such intervals; `null` if unknown.
    pub mos_avg: Option<f64>,
    /// Median turn latency of the call's agent with the most turns, in milliseconds; `null` without turns.
    pub turn_p50_ms: Option<u64>,
    /// 95th percentile of the turn latencies of that agent, in milliseconds; `null` without turns.
    pub turn_p95_ms: Option<u64>,
    /// Evidence for the reason of the call's end, used by the verdict and not recorded; `None` if it adds nothing.
    #[serde(skip)]
    pub proof: Option<String>,
    /// Fix for the cause of the call's end.
    #[serde(skip)]
    pub fix: Option<String>,
    /// Whether a limit refused the call before it was examined: such calls may be a flood and are listed only
    /// briefly.
    #[serde(skip)]
    pub is_turned_down: bool,
}
