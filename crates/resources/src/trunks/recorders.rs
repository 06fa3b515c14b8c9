//! Results of recordings by a group of servers (`[siprec.NAME]`): servers that answer OPTIONS may still reject every
//! recording.

use std::time::{Duration, Instant};

use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::{AffectedCalls, FailedRecordings};

use crate::limits::{HEARD_AGAIN, SIPREC_FAILED_IN_ROW, SIPREC_TRIAL_SECONDS};

/// Results of one group's recordings.
#[derive(Debug, Default)]
pub(crate) struct RecordingResults {
    /// Recordings requested, and recordings that no server accepted or completed.
    hour: LastHour<2>,
    /// Most recent failure: result of the last server, and SID of the call.
    last: Option<(String, String)>,
    /// Consecutive failures.
    in_row: u32,
    /// Consecutive successful recordings since the last failure.
    good: u64,
    /// Time at which a call that must be recorded is next admitted as a test, after too many failures.
    trial: Option<Instant>,
}

impl RecordingResults {
    /// Notes a recording that a server accepted, which ends a series of failures.
    pub(crate) fn taken(&mut self, now: Instant) {
        self.hour.count(now, [true, false]);
        (self.in_row, self.trial) = (0, None);
        self.good = self.good.saturating_add(1);
    }

    /// Notes a call that no server recorded to its end. `why`: result of the last server.
    pub(crate) fn failed(&mut self, now: Instant, why: &str, sid: &str) {
        self.hour.count(now, [true, true]);
        self.last = Some((why.to_owned(), sid.to_owned()));
        self.good = 0;
        self.in_row = self.in_row.saturating_add(1);
        if self.in_row >= SIPREC_FAILED_IN_ROW {
            self.trial = Some(now + TRIAL);
        }
    }

    /// Returns the reason to refuse a call that must be recorded, after too many failures in a row. From time to time
    /// one call is admitted as a test. `None` also after fewer failures.
    pub(crate) fn refuse(&mut self, now: Instant) -> Option<&str> {
        let trial = self.trial.as_mut()?;
        if now >= *trial {
            *trial = now + TRIAL;
            return None;
        }
        self.last.as_ref().map(|(why, _)| why.as_str())
    }

    /// Treats failures as solved, because keys have changed.
    pub(crate) fn withdraw(&mut self) {
        (self.last, self.in_row, self.trial) = (None, 0, None);
    }

    /// Returns the failures of the last hour; `None` if there were none.
    pub(crate) fn view(&self, now: Instant) -> Option<FailedRecordings> {
        let [of, failed] = self.hour.sums(now);
        let [recent_of, recent_failed] = self.hour.recent(now);
        let (cause, last_sid) = self.last.clone().filter(|_| failed > 0)?;
        Some(FailedRecordings {
            failed,
            of,
            recent: AffectedCalls { calls: recent_failed, of: recent_of },
            still: self.good < HEARD_AGAIN,
            good_since: self.good,
            refusing: self.trial.is_some(),
            cause,
            last_sid,
        })
    }
}

const TRIAL: Duration = Duration::from_secs(SIPREC_TRIAL_SECONDS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn calls_are_refused_after_three_failures_but_for_one_trial_in_a_while() {
        let (mut now, mut group) = (Instant::now(), RecordingResults::default());
        assert!(group.view(now).is_none());
        for n in 1..=3 {
            assert_eq!(group.refuse(now), None, "before failure {n}");
            group.failed(now, "sip:srs: 488", "CA1");
        }
        assert_eq!(group.refuse(now), Some("sip:srs: 488"));
        now += TRIAL;
        assert_eq!(group.refuse(now), None, "the trial");
        assert_eq!(group.refuse(now), Some("sip:srs: 488"), "one at a time");
        let view = group.view(now).unwrap();
        assert_eq!((view.failed, view.of, view.still, view.refusing), (3, 3, true, true));
        group.taken(now);
        assert_eq!(group.refuse(now), None);
        let view = group.view(now).unwrap();
        assert_eq!((view.of, view.still, view.refusing), (4, true, false));
        (0..2).for_each(|_| group.taken(now));
        assert!(!group.view(now).unwrap().still);
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn changed_keys_withdraw_what_was_wrong() {
        let (now, mut group) = (Instant::now(), RecordingResults::default());
        (0..5).for_each(|_| group.failed(now, "sip:srs: 488", "CA1"));
        group.withdraw();
        assert!(group.refuse(now).is_none() && group.view(now).is_none());
    }
}
