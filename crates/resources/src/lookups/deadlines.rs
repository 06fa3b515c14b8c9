//! Timers of calls; timers of SIP transactions belong to the endpoint.

use std::collections::BTreeSet;
use std::time::Instant;

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
}

/// Deadlines in order. A call has at most one of each kind, or one of each kind per attempt.
#[derive(Debug, Default)]
pub struct CallDeadlines {
    queue: BTreeSet<(Instant, CallKey, CallTimer)>,
}

impl CallDeadlines {
    /// Adds a deadline; an earlier one of the same kind must be cleared separately.
    pub fn set(&mut self, at: Instant, key: CallKey, timer: CallTimer) {
        self.queue.insert((at, key, timer));
    }

    /// Removes the deadline at exactly this time.
    pub fn clear(&mut self, at: Instant, key: CallKey, timer: CallTimer) {
        self.queue.remove(&(at, key, timer));
    }

    /// Removes all deadlines of a call.
    pub(crate) fn forget_call(&mut self, key: CallKey) {
        self.queue.retain(|(_, of, _)| *of != key);
    }

    /// Returns the earliest deadline.
    pub fn next(&self) -> Option<(Instant, CallTimer)> {
        self.queue.first().map(|(at, _, timer)| (*at, *timer))
    }

    /// Removes and returns the earliest deadline that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<(CallKey, CallTimer)> {
        let (at, key, timer) = *self.queue.first()?;
        (at <= now).then(|| {
            self.queue.pop_first();
            (key, timer)
        })
    }

    /// Returns all deadlines, for invariant checks.
    pub fn iter(&self) -> impl Iterator<Item = &(Instant, CallKey, CallTimer)> {
        self.queue.iter()
    }
}
