//! The record of a finished call.

/// One call record: the Call's fields plus the contract's extra ones. Written once as one JSON line. The default is empty, for tests.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct CallRecord {
    /// The call as `/v1/calls/{sid}` shows it.
    #[serde(flatten)]
    pub call: crate::view::CallView,
    /// Final SIP status code towards the caller: in JSON that of the call.
    #[serde(skip)]
    pub sip_code: u16,
    /// ITU-T Q.850 cause (RFC 6432).
    pub q850_cause: u8,
    /// Targets or peers given up before the one that ended the search.
    pub failovers: u32,
    /// INVITE in to first 18x out, milliseconds; `null` where none.
    pub post_dial_ms: Option<u64>,
    /// Lowest score that what either side sent had for five seconds; `null` where none is known.
    pub mos_min: Option<f64>,
    /// Mean of those scores.
    pub mos_avg: Option<f64>,
    /// Median time of the turns of the call's agent, milliseconds: of the one that had the most; `null` where there was no turn.
    pub turn_p50_ms: Option<u64>,
    /// The time that 95 of 100 of them took at most.
    pub turn_p95_ms: Option<u64>,
    /// What shows why it ended, where more is known than the reason tells: of the verdict, not of the record.
    #[serde(skip)]
    pub proof: Option<String>,
    /// What would help with that.
    #[serde(skip)]
    pub fix: Option<String>,
    /// Whether a limit refused it before anything of it was looked at: a flood of those is in no list for long.
    #[serde(skip)]
    pub is_turned_down: bool,
}
