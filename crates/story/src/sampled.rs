//! The share of calls that OpenTelemetry is sent, known from the sid alone before anything has happened, and everything that is
//! known of such a call once it is over.

use std::time::SystemTime;

use crate::report::CallRecord;
use crate::trace::TraceView;

/// Of a trace id, the bits that decide are the 56 last: they are random (W3C Trace Context Level 2, §2.2.3.2), and other
/// samplers go by the same ones.
const DECIDING_BITS: u32 = 56;

/// The share of calls that is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Calls whose last bits are no less than this.
    threshold: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling::NONE
    }
}

impl Sampling {
    /// No call.
    pub const NONE: Sampling = Sampling { threshold: 1 << DECIDING_BITS };

    /// This share of them, 0 to 1: the same calls for the same share, and all of them for a larger one.
    pub fn of_share(share: f64) -> Sampling {
        let all = (1_u64 << DECIDING_BITS) as f64;
        // Both ends come out exact.
        Sampling { threshold: ((1.0 - share.clamp(0.0, 1.0)) * all) as u64 }
    }

    /// Whether it takes the call of this sid.
    pub fn takes(self, sid: &str) -> bool {
        trace_id(sid).and_then(|id| u128::from_str_radix(id, 16).ok()).is_some_and(|id| {
            let last = (id & ((1 << DECIDING_BITS) - 1)) as u64;
            last >= self.threshold
        })
    }
}

/// The trace of a call: the 32 digits of its sid. `None` where that is no sid.
pub fn trace_id(sid: &str) -> Option<&str> {
    sid.get(2..).filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The span of a leg: the last 16 digits of its sid.
pub fn span_id(sid: &str) -> Option<&str> {
    trace_id(sid)?.get(16..)
}

/// `traceparent` (W3C Trace Context §3.2) by which spans of a leg's far end belong below the leg's own.
pub fn traceparent(call: &str, leg: &str) -> Option<String> {
    Some(format!("00-{}-{}-01", trace_id(call)?, span_id(leg)?))
}

/// When something happened to a leg, in microseconds since its call began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LegTimes {
    /// Its INVITE came or went, its socket was asked for.
    pub began_us: u64,
    /// It rang.
    pub rang_us: Option<u64>,
    /// It was answered; an agent's socket was open.
    pub answered_us: Option<u64>,
    /// It was over.
    pub ended_us: Option<u64>,
    /// Whether its target failed the caller.
    pub failed: bool,
    /// Whether it only listens.
    pub listens: bool,
}

/// All of a call that is over.
#[derive(Debug, Clone)]
pub struct SampledCall {
    /// Its record.
    pub record: CallRecord,
    /// When it began: what all else counts its time from.
    pub began: SystemTime,
    /// When it was answered and over, in microseconds.
    pub answered_us: Option<u64>,
    /// The same of its end.
    pub ended_us: u64,
    /// One for each leg of the record.
    pub legs: Vec<LegTimes>,
    /// What happened in it, with its verdict.
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
        // What is before the last 56 bits does not matter.
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
