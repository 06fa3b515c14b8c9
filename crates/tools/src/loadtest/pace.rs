//! Pace of a load test: calls are placed at a constant rate, up to a maximum number of concurrent calls.

use std::time::{Duration, Instant};

/// Delay of a call above which the generator did not keep the pace.
pub(super) const LATE: Duration = Duration::from_millis(100);

/// Decides when the next call of a load test is placed.
#[derive(Debug)]
pub(super) struct CallPacer {
    interval: Duration,
    most: usize,
    /// Time at which the next call is due.
    next: Instant,
    /// Whether the next call waits for an active call to end.
    waits: bool,
    /// Longest delay of a call caused by the generator itself.
    pub(super) latest: Duration,
}

impl CallPacer {
    /// Creates a pace with the first call due now.
    pub(super) fn new(now: Instant, interval: Duration, most: usize) -> CallPacer {
        CallPacer { interval, most, next: now, waits: false, latest: Duration::ZERO }
    }

    /// Returns true if a call must be placed now, while `held` calls are active, and then sets the time of the next
    /// one. The generator calls this until it returns false.
    pub(super) fn is_due(&mut self, now: Instant, held: usize) -> bool {
        if now < self.next {
            return false;
        }
        if held >= self.most {
            self.waits = true;
            return false;
        }
        // After a wait the rate continues from now, so that the missed calls do not become a burst.
        if std::mem::take(&mut self.waits) {
            self.next = now;
        }
        self.latest = self.latest.max(now - self.next);
        self.next += self.interval;
        true
    }

    /// Returns the time of the next call; `None` while it waits for an active call to end.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.waits).then_some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_even_and_wait_for_room() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = CallPacer::new(start, Duration::from_millis(50), 2);
        assert!(pace.is_due(at(0), 0) && !pace.is_due(at(0), 1));
        assert!(!pace.is_due(at(49), 1) && pace.is_due(at(50), 1));
        assert_eq!(pace.next(), Some(at(100)));
        assert!(!pace.is_due(at(110), 2) && pace.next().is_none());
        // After a wait there is no burst, and no call counts as late.
        assert!(pace.is_due(at(1_000), 1) && !pace.is_due(at(1_000), 1));
        assert_eq!(pace.latest, Duration::ZERO);
        // A generator that was late catches up, and the delay is recorded.
        assert!(pace.is_due(at(1_200), 0) && pace.is_due(at(1_200), 0) && pace.is_due(at(1_200), 0));
        assert_eq!(pace.latest, Duration::from_millis(150));
    }
}
