//! Recovery of a party from failures: complete after a number of good calls in a row that depends on the share of bad
//! calls.

use std::time::{Duration, Instant};

/// Good calls in a row that end a recovery, if no call was good between failures. Otherwise this is multiplied by the
/// number of calls per failure.
const GOOD_AGAIN: u64 = 3;
/// Upper bound of good calls in a row that end a recovery.
const GOOD_AGAIN_MOST: u64 = 15;
/// Time after which a single good call also ends a recovery.
const BAD_WHILE: Duration = Duration::from_secs(300);

/// Recovery from the most recent bad call.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// Good calls in a row required after the most recent bad call.
    needed: u64,
    /// Good calls still missing until the recovery is complete.
    left: u64,
    /// Time of the most recent bad call.
    at: Option<Instant>,
    /// Good and bad calls since the last completed recovery.
    good: u64,
    bad: u64,
    /// Number of good and bad calls at the most recent bad one.
    of: u64,
}

impl Recovery {
    /// Returns whether failures may continue: good calls are missing, and either none followed the last bad call or
    /// that call was within [`BAD_WHILE`].
    pub(crate) fn is_still(&self, now: Instant) -> bool {
        let is_recent = self.at.is_some_and(|at| now.saturating_duration_since(at) < BAD_WHILE);
        self.left > 0 && (self.left == self.needed || is_recent)
    }

    /// Notes a bad call. Returns whether earlier failures were already solved.
    pub(crate) fn note_bad(&mut self, now: Instant) -> bool {
        self.note_bads(now, 1, 0)
    }

    /// Notes bad calls that are recognised late, with `good` calls among them. Returns whether earlier failures were
    /// already solved.
    pub(crate) fn note_bads(&mut self, now: Instant, bad: u64, good: u64) -> bool {
        let is_first = !self.is_still(now);
        if is_first {
            (self.good, self.bad) = (good, 0);
        }
        self.bad += bad;
        self.of = self.good + self.bad;
        self.needed = (GOOD_AGAIN * self.of).div_ceil(self.bad).min(GOOD_AGAIN_MOST);
        (self.left, self.at) = (self.needed, Some(now));
        is_first
    }

    /// Returns the bad calls, and all calls, from the last completed recovery to the most recent bad call.
    pub(crate) const fn share(&self) -> [u64; 2] {
        [self.bad, self.of]
    }

    /// Counts a good call, which brings the recovery one call nearer to its end.
    pub(crate) fn note_good(&mut self) {
        self.good = self.good.saturating_add(1);
        self.left = self.left.saturating_sub(1);
    }

    /// Treats bad calls as solved, until the next one.
    pub(crate) fn withdraw(&mut self) {
        self.left = 0;
    }

    /// Returns the good calls in a row since the failure; 0 if the party fails only sometimes and the calls may be
    /// chance.
    pub(crate) const fn good_since(&self) -> u64 {
        let good = self.needed - self.left;
        let is_chance = self.needed > GOOD_AGAIN && good * 2 < self.needed;
        if is_chance { 0 } else { good }
    }
}
