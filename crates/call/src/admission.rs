//! Whether a new call is let in: draining, the edge's calls at once and new calls a second.

use std::time::{Duration, Instant};

use trunkgate_route::TokenBucket;

use crate::limits::{REFUSAL_LOG_SECONDS, TURNED_DOWN_PER_SECOND};
use crate::reason::ReasonSlug;

/// The edge's own limits.
#[derive(Debug)]
pub(crate) struct Admission {
    max_calls: u32,
    bucket: TokenBucket,
    live: usize,
    logged: Option<Instant>,
    /// Refusals that have a record.
    records: TokenBucket,
    /// Whether new calls are refused.
    pub(crate) draining: bool,
}

impl Admission {
    /// With limits; `calls_per_second` 0 means none.
    pub(crate) fn new(max_calls: u32, calls_per_second: u32) -> Admission {
        Admission {
            max_calls,
            bucket: TokenBucket::new(calls_per_second),
            live: 0,
            logged: None,
            records: TokenBucket::new(TURNED_DOWN_PER_SECOND),
            draining: false,
        }
    }
    /// Changes the limits; calls that are there stay.
    pub(crate) fn set_limits(&mut self, max_calls: u32, calls_per_second: u32) {
        self.max_calls = max_calls;
        self.bucket.set_rate(calls_per_second);
    }
    /// Whether one more may come.
    pub(crate) fn check(&mut self, now: Instant) -> Result<(), ReasonSlug> {
        if self.live >= usize::try_from(self.max_calls).unwrap_or(usize::MAX) && !self.draining {
            return Err(ReasonSlug::LimitCalls);
        }
        self.check_rate(now)
    }
    /// Whether an emergency call may come: no limit refuses it, but whoever ends its work could not see it through.
    pub(crate) fn check_emergency(&self) -> Result<(), ReasonSlug> {
        if self.draining { Err(ReasonSlug::Draining) } else { Ok(()) }
    }
    /// Whether a call that is there already may begin another attempt as a new one would: a transfer.
    pub(crate) fn check_rate(&mut self, now: Instant) -> Result<(), ReasonSlug> {
        if self.draining {
            return Err(ReasonSlug::Draining);
        }
        if self.bucket.take(now) { Ok(()) } else { Err(ReasonSlug::LimitRate) }
    }
    /// The key of `[limits]` that a reason is about, with its value; empty where it is none of them.
    pub(crate) fn limit_of(&self, reason: ReasonSlug) -> String {
        if reason == ReasonSlug::LimitCalls {
            return format!("`[limits] calls` {}", self.max_calls);
        }
        if reason == ReasonSlug::LimitRate { "`[limits] calls_per_second`".to_owned() } else { String::new() }
    }
    /// A call began.
    pub(crate) fn begin(&mut self) {
        self.live += 1;
    }
    /// A call ended.
    pub(crate) fn end(&mut self) {
        self.live = self.live.saturating_sub(1);
    }
    /// Calls that have not ended.
    pub(crate) fn live(&self) -> usize {
        self.live
    }
    /// Whether a call that a limit refuses is recorded: a flood must not fill a disk.
    pub(crate) fn may_record(&mut self, now: Instant) -> bool {
        self.records.take(now)
    }
    /// Whether a refusal may be logged now: a flood must not become a flood of lines.
    pub(crate) fn may_log(&mut self, now: Instant) -> bool {
        let may =
            self.logged.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(REFUSAL_LOG_SECONDS));
        if may {
            self.logged = Some(now);
        }
        may
    }
}
