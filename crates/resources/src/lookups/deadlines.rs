//! The gateway's own timers; those of SIP transactions are the endpoint's.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::lookups::key::{Branch, CallKey};

/// Why a call wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// No provisional answer yet, or no answer of the name service (ours: `no_response_timeout`).
    NoResponse(Branch),
    /// No final answer yet (ours: `ring_timeout`; RFC 3261 §16.6 timer C is its like).
    Ring(Branch),
    /// The route's targets have had their time together, but for the last (ours: `search_timeout`).
    Search,
    /// The last answer to a CANCEL is overdue. Ours: the endpoint tells within 64·T1 (RFC 3261 §9.1), and a call must
    /// not hang on one that it could not tell.
    Withdrawn,
    /// The goodbye should have been heard (ours: the worker tells, and a call must not hang on its word).
    Goodbye,
    /// A caller on hold is asked whether it is still there (ours: `idle_timeout`, since a held leg may be silent).
    HoldCheck,
    /// A re-INVITE of ours that met one of the far end's is sent again (RFC 3261 §14.1).
    Glare,
    /// An UPDATE that went on as re-INVITE is to be answered before its sender gives up (ours: `UPDATE_WAIT`).
    Update,
    /// A session is to be refreshed, or ends for want of that (RFC 4028 §10).
    Session,
    /// An interval of its quality is over (ours: `QUALITY_INTERVAL_SECONDS`).
    Quality,
    /// A call waits for a limit of its target's trunk (ours: `pace`).
    Pace(Branch),
    /// A call has waited for an agent's session for long enough (ours: `queue`).
    Queue,
    /// The worker says whether the caller's ports are ours (ours: `PORTS_NEWS`).
    Ports,
    /// A call waits before a further stream to an agent that has failed (ours: `RETRY_FIRST_WAIT_MS`).
    Retry,
    /// A REFER that waits for a change of the session is to be answered (ours: `UPDATE_WAIT`).
    Refer,
    /// Whoever transferred the call should have hung up (ours: `REFERRER_SECONDS`).
    Referrer,
    /// An agent has had the caller for as long as it may (ours: `max_call`).
    MaxCall,
    /// A program waits for no longer: a pause, or the digits of a Gather.
    Program,
    /// A party that a program dialled has been connected for as long as it may (ours: `timeLimit` of Dial).
    DialLimit,
    /// An agent that a program dials has not taken the caller in time (ours: `timeout` of Dial).
    DialAnswer,
    /// A party that has dialled a queue has waited, or been connected, for as long as it may (ours: `timeout` and `timeLimit` of Dial).
    Queued,
    /// A requested call has lasted for as long as it may (ours: the time limit of its request).
    TimeLimit,
    /// A party of a warm transfer has been asked for as long as it may be (ours: `wait` of the transfer, `WHISPER_SECONDS`).
    Asked,
    /// The next key may be told by INFO (ours: `KEY_PAUSE`).
    Key,
    /// Early media to an address that is not proven ends (ours: `UNPROVEN_EARLY_MEDIA`).
    Unproven,
    /// A recording server is silent, or has not answered in time (ours: `no_response_timeout`, `SIPREC_ANSWER_SECONDS`); or a re-INVITE
    /// that met one of its is sent again (RFC 3261 §14.1). Which of the call's recording sessions.
    Siprec(u8),
}

impl Timer {
    /// A word for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Timer::NoResponse(_) => "no_response",
            Timer::Ring(_) => "ring",
            Timer::Search => "search",
            Timer::Withdrawn => "withdrawn",
            Timer::Goodbye => "goodbye",
            Timer::HoldCheck => "hold_check",
            Timer::Glare => "glare",
            Timer::Update => "update",
            Timer::Refer => "refer",
            Timer::Session => "session",
            Timer::Quality => "quality",
            Timer::Pace(_) => "pace",
            Timer::Queue => "queue",
            Timer::Ports => "ports",
            Timer::Retry => "retry",
            Timer::Referrer => "referrer",
            Timer::MaxCall => "max_call",
            Timer::Program => "program",
            Timer::DialLimit => "dial_limit",
            Timer::DialAnswer => "dial_answer",
            Timer::Queued => "queued",
            Timer::TimeLimit => "time_limit",
            Timer::Asked => "asked",
            Timer::Key => "key",
            Timer::Unproven => "unproven",
            Timer::Siprec(_) => "siprec",
        }
    }
}

/// Deadlines in order; a call has at most one of each kind, or of each kind for each of its attempts.
#[derive(Debug, Default)]
pub struct Deadlines {
    queue: BTreeSet<(Instant, CallKey, Timer)>,
}

impl Deadlines {
    /// Adds a deadline.
    pub fn set(&mut self, at: Instant, key: CallKey, timer: Timer) {
        self.queue.insert((at, key, timer));
    }
    /// Takes a deadline away.
    pub fn clear(&mut self, at: Instant, key: CallKey, timer: Timer) {
        self.queue.remove(&(at, key, timer));
    }
    /// The earliest.
    pub fn next(&self) -> Option<(Instant, Timer)> {
        self.queue.first().map(|(at, _, timer)| (*at, *timer))
    }
    /// The earliest that is due, taken out.
    pub fn pop_due(&mut self, now: Instant) -> Option<(CallKey, Timer)> {
        let (at, key, timer) = *self.queue.first()?;
        (at <= now).then(|| {
            self.queue.pop_first();
            (key, timer)
        })
    }
    /// Every deadline, for the invariants.
    pub fn iter(&self) -> impl Iterator<Item = &(Instant, CallKey, Timer)> {
        self.queue.iter()
    }
}
