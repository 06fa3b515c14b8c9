//! What a call waits for.

use std::time::{Duration, Instant};

/// One thing that a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Answer 200.
    Answer,
    /// Answer with a refusal.
    Reject(u16),
    /// Withdraw the INVITE.
    Cancel,
    /// BYE by the script.
    HangUp,
    /// Re-INVITE that holds.
    Hold,
    /// Re-INVITE that resumes.
    Resume,
    /// Say the next frame.
    Frame,
    /// See whether a report is due.
    Report,
    /// No final answer: give up.
    NoFinal,
    /// Too long a call: give up.
    TooLong,
    /// Refresh the session.
    Refresh,
    /// The session was not refreshed.
    SessionOver,
    /// Report the progress of a REFER.
    Tell(u16),
}

/// The deadlines of one call.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(Vec<(Instant, Due)>);

impl Deadlines {
    /// Adds a deadline.
    pub(crate) fn wake(&mut self, at: Instant, due: Due) {
        self.0.push((at, due));
    }

    /// Adds a deadline, where one is wanted.
    pub(crate) fn wake_after(&mut self, now: Instant, after: Option<Duration>, due: Due) {
        if let Some(after) = after {
            self.wake(now + after, due);
        }
    }

    /// Takes deadlines back.
    pub(crate) fn forget(&mut self, due: Due) {
        self.0.retain(|(_, d)| *d != due);
    }

    /// Takes all deadlines back.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Reports whether a call waits for this.
    pub(crate) fn has(&self, due: Due) -> bool {
        self.0.iter().any(|(_, known)| *known == due)
    }

    /// Takes the earliest thing due by `now`; among equals the one that was asked for first.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let at = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, (at, _))| *at <= now)
            .min_by_key(|(position, (at, _))| (*at, *position))
            .map(|(position, _)| position)?;
        Some(self.0.remove(at).1)
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().map(|(at, _)| *at).min()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test's time has to begin somewhere
mod tests {
    use super::*;

    #[test]
    fn due_things_come_in_order() {
        let now = Instant::now();
        let mut call = Deadlines::default();
        call.wake(now + Duration::from_secs(2), Due::HangUp);
        call.wake(now + Duration::from_secs(1), Due::Frame);
        assert_eq!(call.take_due(now), None);
        assert_eq!(call.next(), Some(now + Duration::from_secs(1)));
        assert_eq!(call.take_due(now + Duration::from_secs(3)), Some(Due::Frame));
        assert_eq!(call.take_due(now + Duration::from_secs(3)), Some(Due::HangUp));
        assert_eq!(call.next(), None);
    }
}
