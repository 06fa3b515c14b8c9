//! Limit for emergency calls within calls that the API started. The other limits do not apply to emergency calls; this
//! one keeps a stolen token from flooding an emergency centre. Emergency calls of inbound callers do not count.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use trunkgate_story::reason::ReasonSlug;

use crate::limits::{EMERGENCY_ATTEMPTS_EACH, EMERGENCY_CALLS};
use crate::lookups::key::{Branch, CallKey};

/// Period for which an attempt counts towards the rate of emergency calls.
const MINUTE: Duration = Duration::from_secs(60);

/// Message of the refusal of an emergency call if `emergency_calls` is 0.
pub const NO_EMERGENCY_CALLS: &str =
    "emergency calls requested over HTTP are disabled (`emergency_calls = 0` of [api])";

/// Emergency calls in progress, and attempts of the last minute. A call may need several attempts, because of
/// failover.
#[derive(Debug)]
pub struct EmergencyCalls {
    most: usize,
    live: Vec<(CallKey, Branch)>,
    begun: VecDeque<Instant>,
}

impl Default for EmergencyCalls {
    fn default() -> EmergencyCalls {
        EmergencyCalls { most: EMERGENCY_CALLS, live: Vec::new(), begun: VecDeque::new() }
    }
}

impl EmergencyCalls {
    /// Returns the maximum number of concurrent emergency calls.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Sets the maximum number of concurrent emergency calls; those in progress continue.
    pub(crate) fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Returns the limit's configuration key with its value, for messages.
    fn key(&self) -> String {
        format!("`emergency_calls = {}` of [api]", self.most)
    }

    /// Checks whether another emergency call may be attempted.
    ///
    /// # Errors
    /// The maximum of concurrent emergency calls, or of attempts within a minute, is reached: the reason, and the
    /// configuration key with its value.
    pub fn check(&mut self, now: Instant) -> Result<(), (ReasonSlug, String)> {
        while self.begun.front().is_some_and(|at| now.saturating_duration_since(*at) >= MINUTE) {
            self.begun.pop_front();
        }
        let attempts = self.most.saturating_mul(EMERGENCY_ATTEMPTS_EACH);
        let has_room = self.live.len() < self.most && self.begun.len() < attempts;
        if has_room { Ok(()) } else { Err((ReasonSlug::LimitEmergency, self.key())) }
    }

    /// Counts an attempt that [`EmergencyCalls::check`] has allowed, until [`EmergencyCalls::end`] or
    /// [`EmergencyCalls::end_call`].
    pub fn count(&mut self, now: Instant, who: (CallKey, Branch)) {
        self.live.push(who);
        self.begun.push_back(now);
    }

    /// Removes an emergency call attempt that ended without an answer.
    pub fn end(&mut self, who: (CallKey, Branch)) {
        if let Some(at) = self.live.iter().position(|counted| *counted == who) {
            self.live.swap_remove(at);
        }
    }

    /// Moves one attempt of call `from` to call `to`, in which the callee of the emergency call continues.
    pub fn pass_on(&mut self, from: CallKey, to: CallKey) {
        if let Some((key, _)) = self.live.iter_mut().rev().find(|(key, _)| *key == from) {
            *key = to;
        }
    }

    /// Removes all emergency call attempts of an ended call.
    pub fn end_call(&mut self, key: CallKey) {
        self.live.retain(|(counted, _)| *counted != key);
    }

    /// Returns the calls of the attempts in progress, one entry for each attempt; for invariant checks.
    pub fn live(&self) -> impl Iterator<Item = CallKey> {
        self.live.iter().map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Single reading of the clock; later times are computed.
    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    fn begin(calls: &mut EmergencyCalls, now: Instant, who: (CallKey, Branch)) -> Result<(), (ReasonSlug, String)> {
        calls.check(now).map(|()| calls.count(now, who))
    }

    #[test]
    fn a_few_at_once_and_not_one_after_the_other_without_end() {
        let (mut calls, start) = (EmergencyCalls::default(), start());
        let who = |key: u64| (CallKey(key), Branch::ALONE);
        calls.set_most(2);
        assert_eq!((begin(&mut calls, start, who(1)), begin(&mut calls, start, who(2))), (Ok(()), Ok(())));
        assert_eq!(begin(&mut calls, start, who(3)).unwrap_err().0, ReasonSlug::LimitEmergency);
        calls.end_call(CallKey(1));
        let mut attempts = 2;
        while begin(&mut calls, start, who(3)).is_ok() {
            calls.end(who(3));
            attempts += 1;
        }
        assert_eq!(attempts, 2 * EMERGENCY_ATTEMPTS_EACH);
        assert_eq!(calls.check(start).unwrap_err().0, ReasonSlug::LimitEmergency);
        assert_eq!(begin(&mut calls, start + MINUTE, who(3)), Ok(()));
        assert_eq!(calls.live().collect::<Vec<_>>(), [CallKey(2), CallKey(3)]);
        calls.pass_on(CallKey(3), CallKey(4));
        calls.end_call(CallKey(3));
        assert_eq!(calls.live().collect::<Vec<_>>(), [CallKey(2), CallKey(4)]);
        calls.set_most(0);
        assert_eq!(calls.check(start + MINUTE).unwrap_err().0, ReasonSlug::LimitEmergency);
    }
}
