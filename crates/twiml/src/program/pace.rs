//! Pace limits of the documents and sounds of a call: a burst, a mean interval, and a total. They end loops of
//! Redirects and series of failing sounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{DOCUMENT_BURST, DOCUMENT_INTERVAL, DOCUMENTS_PER_CALL, SOUND_BURST, SOUND_INTERVAL};

/// Rate limit and total for the documents or sounds of a call.
#[derive(Debug)]
pub(super) struct PaceLimit {
    interval: Duration,
    burst: u32,
    most: u32,
}

/// Limits on fetching documents.
pub(super) const DOCUMENTS: PaceLimit =
    PaceLimit { interval: DOCUMENT_INTERVAL, burst: DOCUMENT_BURST, most: DOCUMENTS_PER_CALL };
/// Limits on starting sounds.
pub(super) const SOUNDS: PaceLimit = PaceLimit { interval: SOUND_INTERVAL, burst: SOUND_BURST, most: u32::MAX };

/// Number of documents or sounds of a call so far, and the state of their rate limit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct PaceCounter {
    count: u32,
    /// Time at which the next document or sound is due at the mean interval.
    due: Duration,
}

impl PaceCounter {
    /// Counts one document or sound; returns false if a limit is exceeded.
    pub(super) fn allows(&mut self, now: Duration, rate: &PaceLimit) -> bool {
        let due = self.due.max(now).saturating_add(rate.interval);
        let ahead = due.saturating_sub(now);
        if self.count >= rate.most || ahead > rate.interval.saturating_mul(rate.burst) {
            return false;
        }
        self.count += 1;
        self.due = due;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_three_a_second_then_no_more() {
        let mut pace = PaceCounter::default();
        let start = Duration::from_secs(5);
        assert_eq!((0..100).filter(|_| pace.allows(start, &DOCUMENTS)).count(), 30);
        let a_second_later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| pace.allows(a_second_later, &DOCUMENTS)).count(), 3);
        let mut now = Duration::from_secs(100);
        let mut all = 33;
        while pace.allows(now, &DOCUMENTS) {
            all += 1;
            now += Duration::from_secs(1);
        }
        assert_eq!(all, DOCUMENTS_PER_CALL);
    }
}
