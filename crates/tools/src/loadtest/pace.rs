//! When calls are placed: evenly, so many a second, as long as no more than so many are held.

use std::time::{Duration, Instant};

/// Who is later than that with a call did not keep the pace.
pub(super) const LATE: Duration = Duration::from_millis(100);

/// The pace.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    most: usize,
    /// When the next call is due.
    next: Instant,
    /// Whether that waits for a call to end.
    waits: bool,
    /// The most that a call was later than it was due, for no other reason than ours.
    pub(super) latest: Duration,
}

impl Pace {
    /// From now on.
    pub(super) fn new(now: Instant, interval: Duration, most: usize) -> Pace {
        Pace { interval, most, next: now, waits: false, latest: Duration::ZERO }
    }

    /// Whether a call is to be placed now, where so many are held; asked until it is not.
    pub(super) fn is_due(&mut self, now: Instant, held: usize) -> bool {
        if now < self.next {
            return false;
        }
        if held >= self.most {
            self.waits = true;
            return false;
        }
        // Where one had to wait, the time goes on from here: what was missed is not made up for in a burst.
        if std::mem::take(&mut self.waits) {
            self.next = now;
        }
        self.latest = self.latest.max(now - self.next);
        self.next += self.interval;
        true
    }

    /// When to ask again; `None` while a call has to end first.
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
        let mut pace = Pace::new(start, Duration::from_millis(50), 2);
        assert!(pace.is_due(at(0), 0) && !pace.is_due(at(0), 1));
        assert!(!pace.is_due(at(49), 1) && pace.is_due(at(50), 1));
        assert_eq!(pace.next(), Some(at(100)));
        assert!(!pace.is_due(at(110), 2) && pace.next().is_none());
        // No burst behind a wait, and nobody was late.
        assert!(pace.is_due(at(1_000), 1) && !pace.is_due(at(1_000), 1));
        assert_eq!(pace.latest, Duration::ZERO);
        // A generator that sleeps makes up for it, and it is told.
        assert!(pace.is_due(at(1_200), 0) && pace.is_due(at(1_200), 0) && pace.is_due(at(1_200), 0));
        assert_eq!(pace.latest, Duration::from_millis(150));
    }
}
