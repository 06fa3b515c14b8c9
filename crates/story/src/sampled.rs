//! Sampling of calls for OpenTelemetry, decided by the SID when a call begins, and the data of an ended sampled call.

use std::time::SystemTime;

use crate::report::CallRecord;
use crate::trace::TraceView;

/// Number of low bits of a trace id that decide whether a call is sampled: they are random (W3C Trace Context Level 2,
/// §2.2.3.2), and other samplers use the same ones.
const DECIDING_BITS: u32 = 56;

/// Share of calls to sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Lowest value of the deciding bits that is sampled.
    threshold: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling::NONE
    }
}

impl Sampling {
    /// Samples no calls.
    pub const NONE: Sampling = Sampling { threshold: 1 << DECIDING_BITS };

    /// Returns the sampling of a share, 0 to 1: deterministic by call, and a larger share includes a smaller one.
    pub fn of_share(share: f64) -> Sampling {
        let all = (1_u64 << DECIDING_BITS) as f64;
        // Both ends of the range are exact.
        Sampling { threshold: ((1.0 - share.clamp(0.0, 1.0)) * all) as u64 }
    }

    /// Returns whether the call with a SID is sampled.
    pub fn takes(self, sid: &str) -> bool {
        trace_id(sid).and_then(|id| u128::from_str_radix(id, 16).ok()).is_some_and(|id| {
            let last = (id & ((1 << DECIDING_BITS) - 1)) as u64;
            last >= self.threshold
        })
    }
}

/// Returns the trace id of a call: the 32 digits of its SID; `None` if the text is not a SID.
pub fn trace_id(sid: &str) -> Option<&str> {
    sid.get(2..).filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Returns the span id of a leg: the last 16 digits of its SID. `None` if the SID has another form.
pub fn span_id(sid: &str) -> Option<&str> {
    trace_id(sid)?.get(16..)
}

/// Returns the `traceparent` (W3C Trace Context §3.2) sent to the remote party of a leg, so that its spans become
/// children of the leg's span. `None` if `call` or `leg` is not a SID.
pub fn traceparent(call: &str, leg: &str) -> Option<String> {
    Some(format!("00-{}-{}-01", trace_id(call)?, span_id(leg)?))
}

/// Times of a leg, in microseconds since the start of its call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LegTimes {
    /// Time of the leg's INVITE, or of the attempt to connect an agent.
    pub began_us: u64,
    /// Time at which the leg rang.
    pub rang_us: Option<u64>,
    /// Time of the answer, or at which an agent's WebSocket was open.
    pub answered_us: Option<u64>,
    /// Time of the leg's end.
    pub ended_us: Option<u64>,
    /// Whether the leg's target failed the caller.
    pub failed: bool,
    /// Whether the leg only listens.
    pub listens: bool,
}

/// Data of an ended sampled call.
#[derive(Debug, Clone)]
pub struct SampledCall {
    /// Record of the call.
    pub record: CallRecord,
    /// Start of the call, to which all other times are relative.
    pub began: SystemTime,
    /// Time of the answer, in microseconds.
    pub answered_us: Option<u64>,
    /// Time of the end, in microseconds.
    pub ended_us: u64,
    /// Times of each leg of the record.
    pub legs: Vec<LegTimes>,
    /// Trace of the call with its verdict.
    pub trace: TraceView,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sid(last: u128) -> String {
        format!("CA{last:032x}")
    }

    #[test]
    fn a_share_takes_the_same_calls_as_a_smaller_one_and_more() {
        let step = (1_u128 << 56) / 1000;
        let taken =
            |share: f64| (0..1000).filter(|n| Sampling::of_share(share).takes(&sid(n * step))).collect::<Vec<_>>();
        assert_eq!((taken(0.0).len(), taken(1.0).len(), taken(-1.0).len(), taken(7.0).len()), (0, 1000, 0, 1000));
        let (tenth, half) = (taken(0.1), taken(0.5));
        assert!(
            (98..=102).contains(&tenth.len()) && (498..=502).contains(&half.len()),
            "{} {}",
            tenth.len(),
            half.len()
        );
        assert!(tenth.iter().all(|call| half.contains(call)));
        assert!(!Sampling::default().takes(&sid(u128::MAX)) && Sampling::of_share(1.0).takes(&sid(0)));
        // Bits before the last 56 are ignored.
        assert!(!Sampling::of_share(0.5).takes(&sid(u128::MAX << 56)));
        for sid in ["", "CA", "CA1", "ÄÄ", "CAzz000000000000000000000000000000"] {
            assert!(!Sampling::of_share(1.0).takes(sid), "{sid}");
        }
    }

    #[test]
    fn spans_are_named_by_sids() {
        let (call, leg) = ("CA0123456789abcdef0123456789abcdef", "CAffffffffffffffff00000000000000aa");
        let parent = traceparent(call, leg).unwrap();
        assert_eq!(parent, "00-0123456789abcdef0123456789abcdef-00000000000000aa-01");
        assert_eq!((trace_id("CA12"), span_id("x"), traceparent(call, "")), (None, None, None));
    }
}
