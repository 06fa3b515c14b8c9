//! Pace of the documents and sounds of a call: a burst, then a mean interval, and a total. A loop of Redirects ends here, and so do
//! sounds that fail one after the other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{DOCUMENT_BURST, DOCUMENT_INTERVAL, DOCUMENTS_PER_CALL, SOUND_BURST, SOUND_INTERVAL};

/// Bounds of a pace.
#[derive(Debug)]
pub(super) struct Rate {
    interval: Duration,
    burst: u32,
    most: u32,
}

/// Bounds of documents.
pub(super) const DOCUMENTS: Rate =
    Rate { interval: DOCUMENT_INTERVAL, burst: DOCUMENT_BURST, most: DOCUMENTS_PER_CALL };
/// Bounds of sounds.
pub(super) const SOUNDS: Rate = Rate { interval: SOUND_INTERVAL, burst: SOUND_BURST, most: u32::MAX };

/// The documents that a call has fetched, or its sounds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Pace {
    count: u32,
    /// Time of the next one at the mean interval.
    due: Duration,
}

impl Pace {
    /// Counts one; `false` if it is one too many.
    pub(super) fn allows(&mut self, now: Duration, rate: &Rate) -> bool {
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
        let mut pace = Pace::default();
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
