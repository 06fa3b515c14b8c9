//! Timers of calls; timers of SIP transactions belong to the endpoint.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::lookups::key::{Branch, CallKey};

/// Kind of a call's timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallTimer {
    /// No provisional response, or no DNS result, in time (`no_response_timeout`).
    NoResponse(Branch),
    /// No final response in time (`ring_timeout`; compare timer C, RFC 3261 §16.6).
    Ring(Branch),
    /// Total time of the route's targets except the last is over (`search_timeout`).
    Search,
    /// Final response to a cancelled INVITE is overdue. The endpoint reports the end of the INVITE within 64·T1 (RFC
    /// 3261 §9.1); the timer guards against a missing report.
    Withdrawn,
    /// Goodbye should have ended; guards against a missing report of the worker.
    Goodbye,
    /// Next OPTIONS to a remote party on hold, which may send no media (`idle_timeout`).
    HoldCheck,
    /// Repetition of a re-INVITE after glare (RFC 3261 §14.1).
    Glare,
    /// Response to an UPDATE relayed as re-INVITE, before its sender gives up (`UPDATE_WAIT`).
    Update,
    /// Session refresh, or end of a session without one (RFC 4028 §10).
    Session,
    /// End of an interval of quality statistics (`QUALITY_INTERVAL_SECONDS`).
    Quality,
    /// Wait for a limit of the target's trunk (`pace`).
    Pace(Branch),
    /// Maximum wait for an agent's session is over (`queue`).
    Queue,
    /// Confirmation of the caller's ports by the worker (`PORTS_NEWS`).
    Ports,
    /// Wait before a new stream to an agent that has failed (`RETRY_FIRST_WAIT_MS`).
    Retry,
    /// Response to a REFER that waits for a change of the session (`UPDATE_WAIT`).
    Refer,
    /// Transferor should have hung up (`REFERRER_SECONDS`).
    Referrer,
    /// Maximum time of a caller with an agent is over (`max_call`).
    MaxCall,
    /// End of a pause or of a Gather's wait in a program.
    Program,
    /// Maximum time of a dialled party's connection is over (`timeLimit` of Dial).
    DialLimit,
    /// Agent dialled by a program has not taken the caller in time (`timeout` of Dial).
    DialAnswer,
    /// Party that has dialled a queue has waited, or been connected, for the maximum time (`timeout` and `timeLimit`
    /// of Dial).
    Queued,
    /// Maximum time of a call of the API is over (time limit of the request).
    TimeLimit,
    /// Party of a warm transfer has not accepted in time (`wait` of the transfer, `WHISPER_SECONDS`).
    Asked,
    /// Next DTMF digit may be sent by INFO (`KEY_PAUSE`).
    Key,
    /// End of early media to an unproven address (`UNPROVEN_EARLY_MEDIA`).
    Unproven,
    /// Timeout of a recording server (`no_response_timeout`, `SIPREC_ANSWER_SECONDS`), or repetition of a re-INVITE
    /// after glare with it (RFC 3261 §14.1). The number selects the recording session of the call.
    Siprec(u8),
}

impl CallTimer {
    /// Returns the name for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            CallTimer::NoResponse(_) => "no_response",
            CallTimer::Ring(_) => "ring",
            CallTimer::Search => "search",
            CallTimer::Withdrawn => "withdrawn",
            CallTimer::Goodbye => "goodbye",
            CallTimer::HoldCheck => "hold_check",
            CallTimer::Glare => "glare",
            CallTimer::Update => "update",
            CallTimer::Refer => "refer",
            CallTimer::Session => "session",
            CallTimer::Quality => "quality",
            CallTimer::Pace(_) => "pace",
            CallTimer::Queue => "queue",
            CallTimer::Ports => "ports",
            CallTimer::Retry => "retry",
            CallTimer::Referrer => "referrer",
            CallTimer::MaxCall => "max_call",
            CallTimer::Program => "program",
            CallTimer::DialLimit => "dial_limit",
            CallTimer::DialAnswer => "dial_answer",
            CallTimer::Queued => "queued",
            CallTimer::TimeLimit => "time_limit",
            CallTimer::Asked => "asked",
            CallTimer::Key => "key",
            CallTimer::Unproven => "unproven",
            CallTimer::Siprec(_) => "siprec",
        }
    }

    /// Returns whether the timer counts time in which the process did not run: it is a limit of time, not a wait for a
    /// remote party.
    const fn is_limit(self) -> bool {
        matches!(
            self,
            CallTimer::MaxCall
                | CallTimer::DialLimit
                | CallTimer::TimeLimit
                | CallTimer::Queued
                | CallTimer::Quality
                | CallTimer::Session
        )
    }
}

/// Deadlines in order. A call has at most one of each kind, or one of each kind per attempt.
#[derive(Debug, Default)]
pub struct CallDeadlines {
    /// Waits for remote parties. Their times are less the pauses before they were set, so that one sum postpones all.
    waits: BTreeSet<(Instant, CallKey, CallTimer)>,
    /// Limits of time.
    limits: BTreeSet<(Instant, CallKey, CallTimer)>,
    /// Total time in which the process did not run.
    paused: Duration,
}

impl CallDeadlines {
    /// Adds a deadline; an earlier one of the same kind must be cleared separately. Returns the entry's time, for
    /// [`Self::clear`].
    pub fn set(&mut self, at: Instant, key: CallKey, timer: CallTimer) -> Instant {
        let entry = if timer.is_limit() { at } else { self.unpaused(at) };
        self.queue(timer).insert((entry, key, timer));
        entry
    }

    /// Removes the deadline for which [`Self::set`] returned this time.
    pub fn clear(&mut self, entry: Instant, key: CallKey, timer: CallTimer) {
        self.queue(timer).remove(&(entry, key, timer));
    }

    /// Postpones the waits for remote parties by a time in which the process did not run.
    pub fn postpone(&mut self, pause: Duration) {
        self.paused = self.paused.saturating_add(pause);
    }

    /// Removes all deadlines of a call.
    pub(crate) fn forget_call(&mut self, key: CallKey) {
        self.waits.retain(|(_, of, _)| *of != key);
        self.limits.retain(|(_, of, _)| *of != key);
    }

    /// Returns the earliest deadline.
    pub fn next(&self) -> Option<(Instant, CallTimer)> {
        let wait = self.waits.first().map(|(at, key, timer)| (*at + self.paused, *key, *timer));
        let limit = self.limits.first().copied();
        wait.into_iter().chain(limit).min().map(|(at, _, timer)| (at, timer))
    }

    /// Removes and returns the earliest deadline that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<(CallKey, CallTimer)> {
        let (_, timer) = self.next().filter(|(at, _)| *at <= now)?;
        self.queue(timer).pop_first().map(|(_, key, timer)| (key, timer))
    }

    /// Returns all deadlines with the times of their entries, for invariant checks.
    pub fn iter(&self) -> impl Iterator<Item = &(Instant, CallKey, CallTimer)> {
        self.waits.iter().chain(&self.limits)
    }

    fn queue(&mut self, timer: CallTimer) -> &mut BTreeSet<(Instant, CallKey, CallTimer)> {
        if timer.is_limit() { &mut self.limits } else { &mut self.waits }
    }

    fn unpaused(&self, at: Instant) -> Instant {
        at.checked_sub(self.paused).unwrap_or(at)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test's time has to begin somewhere
mod tests {
    use super::*;

    #[test]
    fn a_pause_postpones_waits_for_remote_parties_but_no_limit() {
        let (now, pause, second) = (Instant::now(), Duration::from_secs(66), Duration::from_secs(1));
        let (first, other) = (CallKey(1), CallTimer::Ring(Branch::ALONE));
        let mut deadlines = CallDeadlines::default();
        let ring = deadlines.set(now + second, first, other);
        deadlines.set(now + second * 2, first, CallTimer::MaxCall);
        deadlines.postpone(pause);
        assert_eq!(deadlines.next(), Some((now + second * 2, CallTimer::MaxCall)));
        assert_eq!(deadlines.pop_due(now + pause), Some((first, CallTimer::MaxCall)));
        assert_eq!(deadlines.pop_due(now + pause), None);
        assert_eq!(deadlines.next(), Some((now + pause + second, other)));
        deadlines.clear(ring, first, other);
        assert_eq!(deadlines.next(), None);
        deadlines.set(now + pause + second, first, other);
        assert_eq!(deadlines.pop_due(now + pause + second), Some((first, other)));
    }
}
