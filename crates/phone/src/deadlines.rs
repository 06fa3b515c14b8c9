//! Timers of one call.

use std::time::{Duration, Instant};

/// Action that a call performs at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DueAction {
    /// Answer the call with 200.
    Answer,
    /// Reject the call with this status code.
    Reject(u16),
    /// Cancel the INVITE that was sent.
    Cancel,
    /// Hang up as scripted.
    HangUp,
    /// Hold the call by a re-INVITE.
    Hold,
    /// Resume the call by a re-INVITE.
    Resume,
    /// Send the next audio frame.
    Frame,
    /// Check whether an RTCP report is due.
    Report,
    /// Give up a call without a final response.
    NoFinal,
    /// Give up a call after its maximum duration.
    TooLong,
    /// Refresh the session (RFC 4028).
    Refresh,
    /// End the session that was not refreshed.
    SessionOver,
    /// Report the progress of a REFER with this status code.
    Tell(u16),
}

/// Timers of one call.
#[derive(Debug, Default)]
pub(crate) struct PhoneDeadlines(Vec<(Instant, DueAction)>);

impl PhoneDeadlines {
    /// Starts a timer for an action at this time.
    pub(crate) fn wake(&mut self, at: Instant, due: DueAction) {
        self.0.push((at, due));
    }

    /// Starts a timer that expires after an optional delay; `None` starts none.
    pub(crate) fn wake_after(&mut self, now: Instant, after: Option<Duration>, due: DueAction) {
        if let Some(after) = after {
            self.wake(now + after, due);
        }
    }

    /// Cancels all timers of this action.
    pub(crate) fn forget(&mut self, due: DueAction) {
        self.0.retain(|(_, d)| *d != due);
    }

    /// Cancels all timers of the call.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns whether a timer of this action is running.
    pub(crate) fn has(&self, due: DueAction) -> bool {
        self.0.iter().any(|(_, known)| *known == due)
    }

    /// Removes and returns the earliest action due by `now`; among equals, the one scheduled first.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<DueAction> {
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
#[allow(clippy::disallowed_methods)] // tests need an arbitrary start time
mod tests {
    use super::*;

    #[test]
    fn due_things_come_in_order() {
        let now = Instant::now();
        let mut call = PhoneDeadlines::default();
        call.wake(now + Duration::from_secs(2), DueAction::HangUp);
        call.wake(now + Duration::from_secs(1), DueAction::Frame);
        assert_eq!(call.take_due(now), None);
        assert_eq!(call.next(), Some(now + Duration::from_secs(1)));
        assert_eq!(call.take_due(now + Duration::from_secs(3)), Some(DueAction::Frame));
        assert_eq!(call.take_due(now + Duration::from_secs(3)), Some(DueAction::HangUp));
        assert_eq!(call.next(), None);
    }
}
