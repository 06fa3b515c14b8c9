//! When what fails in a party's calls is past: after as many good calls in a row as the share of the bad ones asks for.

use std::time::{Duration, Instant};

/// Good calls in a row until failures are past, where none was good before: of a party that fails in some of its calls so many times as many
/// as come for each failure …
const GOOD_AGAIN: u64 = 3;
/// … and never more than these.
const GOOD_AGAIN_MOST: u64 = 15;
/// Failures with a good call since are past after this time, too.
const BAD_WHILE: Duration = Duration::from_secs(300);

/// The last call that was bad, and those since.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// Calls that are to be good in a row until that is past.
    needed: u64,
    /// Those of them that are still to come.
    left: u64,
    /// When it was.
    at: Option<Instant>,
    /// Good and bad calls since the failures before were past.
    good: u64,
    bad: u64,
    /// Both as of the last bad one.
    of: u64,
}

impl Recovery {
    /// Whether calls may still be bad: too few were good since, and one alone tells it only after a while.
    pub(crate) fn is_still(&self, now: Instant) -> bool {
        let is_recent = self.at.is_some_and(|at| now.saturating_duration_since(at) < BAD_WHILE);
        self.left > 0 && (self.left == self.needed || is_recent)
    }

    /// Notes a bad call; whether those before are past.
    pub(crate) fn note_bad(&mut self, now: Instant) -> bool {
        self.note_bads(now, 1, 0)
    }

    /// Notes calls that are known to be bad only now, with `good` ones between them; whether those before are past.
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

    /// Returns how many calls were bad since the failures before were past, up to the last bad one, and of how many.
    pub(crate) const fn share(&self) -> [u64; 2] {
        [self.bad, self.of]
    }

    /// Notes a good call.
    pub(crate) fn note_good(&mut self) {
        self.good = self.good.saturating_add(1);
        self.left = self.left.saturating_sub(1);
    }

    /// Takes bad calls as past, until the next one.
    pub(crate) fn withdraw(&mut self) {
        self.left = 0;
    }

    /// Returns how many in a row were good since; of a party that fails in some of its calls none until they are more than chance.
    pub(crate) const fn good_since(&self) -> u64 {
        let good = self.needed - self.left;
        let is_chance = self.needed > GOOD_AGAIN && good * 2 < self.needed;
        if is_chance { 0 } else { good }
    }
}
