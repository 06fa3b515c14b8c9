//! How fast documents may follow one another: a burst, then a mean interval, and a total for the call. A loop of
//! Redirects ends here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{DOCUMENT_BURST, DOCUMENT_INTERVAL, DOCUMENTS_PER_CALL};

/// The documents that a call has fetched.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Pace {
    count: u32,
    /// Time of the next document at the mean interval.
    due: Duration,
}

impl Pace {
    /// Counts a document; `false` if it is one too many.
    pub(super) fn allows(&mut self, now: Duration) -> bool {
        let due = self.due.max(now).saturating_add(DOCUMENT_INTERVAL);
        let ahead = due.saturating_sub(now);
        if self.count >= DOCUMENTS_PER_CALL || ahead > DOCUMENT_INTERVAL.saturating_mul(DOCUMENT_BURST) {
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
        assert_eq!((0..100).filter(|_| pace.allows(start)).count(), 30);
        let a_second_later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| pace.allows(a_second_later)).count(), 3);
        let mut now = Duration::from_secs(100);
        let mut all = 33;
        while pace.allows(now) {
            all += 1;
            now += Duration::from_secs(1);
        }
        assert_eq!(all, DOCUMENTS_PER_CALL);
    }
}
