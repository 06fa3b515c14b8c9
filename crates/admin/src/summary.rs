//! Summary of `/v1/calls`: the number of matching calls, and their numbers by reason, code and duration.

use std::collections::BTreeMap;

use serde::Serialize;
use trunkgate_call::CallView;

use super::calls::{FilterMismatch, answered_seconds};

/// Lower limits of the duration ranges, in seconds. 30 to 34 reveals a lost ACK, 880 to 920 a session that was not
/// refreshed.
const BOUNDS: [u32; 11] = [0, 5, 15, 30, 34, 60, 180, 600, 880, 920, 3600];

/// Figures of all calls that match a filter, including those omitted from the list.
#[derive(Debug, Serialize)]
pub(super) struct CallSummary {
    /// Number of matching calls.
    total: u64,
    /// Number of matching calls that have not ended.
    live: u64,
    /// Answered calls that have ended, by duration; counted without `longer` and `shorter` of the filter.
    durations: Vec<DurationBin>,
    /// Calls by [reason](reasons.md); counted without `reason` of the filter.
    reasons: BTreeMap<&'static str, u64>,
    /// Calls by SIP code, that of the caller and those of rejected legs; counted without `code` of the filter.
    codes: BTreeMap<u16, u64>,
}

/// Calls of similar duration.
#[derive(Debug, Serialize)]
struct DurationBin {
    /// Lower limit of the duration in seconds, inclusive.
    from: u32,
    /// Upper limit of the duration in seconds, exclusive; null for the last entry.
    to: Option<u32>,
    /// Number of calls.
    calls: u64,
}

impl CallSummary {
    /// Creates the summary of no calls.
    pub(super) fn new() -> CallSummary {
        let ends = BOUNDS.iter().skip(1).copied().map(Some).chain([None]);
        CallSummary {
            total: 0,
            live: 0,
            durations: BOUNDS.iter().zip(ends).map(|(from, to)| DurationBin { from: *from, to, calls: 0 }).collect(),
            reasons: BTreeMap::new(),
            codes: BTreeMap::new(),
        }
    }

    /// Counts a call that matches the filter except for the conditions in `failed`. `codes` are the codes of the call
    /// that the filter applies to.
    pub(super) fn count(&mut self, call: &CallView, codes: impl Iterator<Item = u16>, failed: FilterMismatch) {
        if failed == FilterMismatch::NONE {
            self.total += 1;
            self.live += u64::from(call.state != "ended");
        }
        if failed.only(FilterMismatch { reason: true, ..FilterMismatch::NONE })
            && let Some(reason) = call.reason
        {
            *self.reasons.entry(reason).or_default() += 1;
        }
        if failed.only(FilterMismatch { code: true, ..FilterMismatch::NONE }) {
            let mut codes: Vec<u16> = codes.collect();
            codes.sort_unstable();
            codes.dedup();
            for code in codes {
                *self.codes.entry(code).or_default() += 1;
            }
        }
        if failed.only(FilterMismatch { duration: true, ..FilterMismatch::NONE })
            && let Some(seconds) = answered_seconds(call)
            && let Some(bin) = self.durations.iter_mut().rfind(|bin| seconds >= f64::from(bin.from))
        {
            bin.calls += 1;
        }
    }
}
