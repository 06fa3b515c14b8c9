//! Back-off from a congested trunk: other targets come first for a time that doubles with each rejection.

use std::time::{Duration, Instant};

use crate::limits::{CONGESTED_FIRST, CONGESTED_FORGOTTEN, CONGESTED_MOST};

/// Back-off state of a trunk.
#[derive(Debug, Default)]
pub(crate) struct Congestion {
    /// End of the back-off.
    until: Option<Instant>,
    /// Consecutive back-offs.
    pauses: u32,
}

impl Congestion {
    /// Notes a rejection, with the seconds of its Retry-After (RFC 3261 §20.33). Returns the length of the new
    /// back-off; `None` if a back-off is already active.
    pub(crate) fn refused(&mut self, now: Instant, retry_after: Option<u32>) -> Option<Duration> {
        // Calls in progress at the same time are rejected together.
        if self.is_on(now) {
            return None;
        }
        if self.until.is_some_and(|until| now.saturating_duration_since(until) >= CONGESTED_FORGOTTEN) {
            self.pauses = 0;
        }
        let own = CONGESTED_FIRST.saturating_mul(1 << self.pauses.min(16)).min(CONGESTED_MOST);
        let asked = retry_after.filter(|seconds| *seconds > 0);
        // Bounded, since one response must not divert all calls for long: it may concern a single callee.
        let asked = asked.map(|seconds| Duration::from_secs(u64::from(seconds)).min(CONGESTED_MOST));
        let pause = asked.unwrap_or(own);
        self.pauses = self.pauses.saturating_add(1);
        self.until = Some(now + pause);
        Some(pause)
    }

    /// Returns whether a back-off is active.
    pub(crate) fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Returns the seconds left of the back-off, rounded up; `None` if none is active.
    pub(crate) fn seconds_left(&self, now: Instant) -> Option<u64> {
        let left = self.until?.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(left.as_millis().div_ceil(1_000) as u64)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    #[test]
    fn each_refusal_doubles_the_pause_until_there_was_none_for_a_while() {
        let mut now = Instant::now();
        let mut congestion = Congestion::default();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(congestion.refused(now, None), Some(pause));
            assert!(congestion.is_on(now));
            assert_eq!(congestion.seconds_left(now), Some(seconds));
            assert_eq!(congestion.refused(now, Some(100)), None, "one of the same moment");
            now += pause;
            assert!(!congestion.is_on(now) && congestion.seconds_left(now).is_none());
        }
        now += CONGESTED_FORGOTTEN;
        assert_eq!(congestion.refused(now, None), Some(CONGESTED_FIRST));
    }

    #[test]
    fn rfc3261_20_33_a_trunk_may_say_how_long() {
        let now = Instant::now();
        for (retry_after, seconds) in [(Some(7), 7), (Some(0), 1), (Some(u32::MAX), 30)] {
            let mut congestion = Congestion::default();
            assert_eq!(congestion.refused(now, retry_after), Some(Duration::from_secs(seconds)), "{retry_after:?}");
        }
    }
}
