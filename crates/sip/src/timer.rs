//! Timer queue, earliest first. A token cancels a timer in O(log n). The queue reads no clock and leaves the meaning
//! of a timer to its owner. All timers wait for a remote party, so time in which the process did not run is not
//! counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::event::{Deadline, TimerReason};

/// RFC 3261 §17.1.1.1: round-trip time estimate.
pub(crate) const T1: Duration = Duration::from_millis(500);
/// RFC 3261 §17.1.2.2: maximum retransmission interval.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// RFC 3261 §17.1.2.2: maximum time a message remains in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);
/// 64·T1: timers B, F, H, J, L, M, and the waits for an ACK and after a CANCEL.
pub(crate) const T1_64: Duration = Duration::from_secs(32);
/// RFC 3261 §13.3.1.1: interval at which a provisional response is repeated.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// RFC 3261 §17.1.1.2: Timer D, at least 32 s for unreliable transports.
pub(crate) const TIMER_D: Duration = Duration::from_secs(32);

/// Handle of a timer. The generation makes it unique, so that cancelling an expired timer has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerToken {
    /// Deadline less the pauses before it was set.
    at: Instant,
    generation: u64,
}

/// Timers of many owners, identified by `K`.
#[derive(Debug)]
pub(crate) struct TimerQueue<K> {
    entries: BTreeMap<TimerToken, (K, TimerReason)>,
    generation: u64,
    /// Total time in which the process did not run.
    paused: Duration,
}

impl<K: Copy> TimerQueue<K> {
    /// Creates an empty queue.
    pub(crate) fn new() -> TimerQueue<K> {
        TimerQueue { entries: BTreeMap::new(), generation: 0, paused: Duration::ZERO }
    }

    /// Postpones all running timers by the time in which the process did not run.
    pub(crate) fn postpone(&mut self, pause: Duration) {
        self.paused = self.paused.saturating_add(pause);
    }

    /// Starts a timer; timers for the same instant fire in the order in which they were started.
    pub(crate) fn arm(&mut self, at: Instant, reason: TimerReason, owner: K) -> TimerToken {
        self.generation += 1;
        let token = TimerToken { at: self.unpaused(at), generation: self.generation };
        self.entries.insert(token, (owner, reason));
        token
    }

    /// Cancels a timer; has no effect if it has expired.
    pub(crate) fn cancel(&mut self, token: TimerToken) {
        self.entries.remove(&token);
    }

    /// Removes and returns the next timer that has expired at `now`, with its owner; `None` if there is none.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(K, TimerReason)> {
        let now = self.unpaused(now);
        let first = self.entries.first_entry()?;
        if first.key().at > now { None } else { Some(first.remove()) }
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Deadline> {
        self.entries.first_key_value().map(|(token, (_, reason))| (token.at + self.paused, *reason))
    }

    fn unpaused(&self, at: Instant) -> Instant {
        at.checked_sub(self.paused).unwrap_or(at)
    }

    /// Returns the number of running timers.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)] // tests need an arbitrary start time
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn deadlines_fire_in_order_and_not_before_they_are_due() {
        let now = start();
        let mut queue = TimerQueue::new();
        queue.arm(now + T2, TimerReason::TimerF, 2);
        queue.arm(now + T1, TimerReason::TimerE, 1);
        queue.arm(now + T1, TimerReason::TimerA, 3);
        assert_eq!(queue.next(), Some((now + T1, TimerReason::TimerE)));
        assert_eq!(queue.pop_due(now), None);
        assert_eq!(queue.pop_due(now + T1), Some((1, TimerReason::TimerE)));
        assert_eq!(queue.pop_due(now + T1), Some((3, TimerReason::TimerA)));
        assert_eq!(queue.pop_due(now + T1), None);
        assert_eq!(queue.pop_due(now + T4), Some((2, TimerReason::TimerF)));
        assert_eq!((queue.next(), queue.len()), (None, 0));
    }

    #[test]
    fn a_pause_postpones_running_timers_and_cancels_none() {
        let (now, pause) = (start(), Duration::from_secs(66));
        let mut queue = TimerQueue::new();
        queue.arm(now + T1, TimerReason::TimerA, 1);
        let cancelled = queue.arm(now + T2, TimerReason::TimerB, 1);
        queue.postpone(pause);
        let later = queue.arm(now + pause + T1, TimerReason::TimerE, 2);
        assert_eq!(queue.next(), Some((now + pause + T1, TimerReason::TimerA)));
        assert_eq!(queue.pop_due(now + pause), None);
        assert_eq!(queue.pop_due(now + pause + T1), Some((1, TimerReason::TimerA)));
        queue.cancel(cancelled);
        assert_eq!(queue.next(), Some((now + pause + T1, TimerReason::TimerE)));
        queue.cancel(later);
        assert_eq!(queue.pop_due(now + pause + T1_64), None);
    }

    #[test]
    fn a_cancelled_deadline_never_fires_and_a_fired_one_cannot_cancel_another() {
        let now = start();
        let mut queue = TimerQueue::new();
        let first = queue.arm(now, TimerReason::TimerA, 1);
        assert_eq!(queue.pop_due(now), Some((1, TimerReason::TimerA)));
        let second = queue.arm(now, TimerReason::TimerB, 1);
        queue.cancel(first);
        assert_eq!(queue.len(), 1);
        queue.cancel(second);
        assert_eq!(queue.pop_due(now + T4), None);
    }
}
