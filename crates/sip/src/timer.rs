//! The queue of all deadlines: earliest first, each cancelled in O(log n) by the token it was armed with. It holds no
//! clock; what a deadline means is its owner's business.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::event::{Deadline, Reason};

/// RFC 3261 §17.1.1.1: the round-trip estimate.
pub(crate) const T1: Duration = Duration::from_millis(500);
/// RFC 3261 §17.1.2.2: longest interval between retransmissions.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// RFC 3261 §17.1.2.2: how long a message may stay in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);
/// 64·T1: timers B, F, H, J, L, M, the wait for an ACK and the wait after a CANCEL.
pub(crate) const T1_64: Duration = Duration::from_secs(32);
/// RFC 3261 §13.3.1.1: how often a provisional answer is repeated.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// RFC 3261 §17.1.1.2: at least 32 s for unreliable transports.
pub(crate) const TIMER_D: Duration = Duration::from_secs(32);

/// One armed deadline. The generation makes it unique, so that cancelling one that has fired does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token {
    at: Instant,
    generation: u64,
}

/// Deadlines of many owners, named by `K`.
#[derive(Debug)]
pub(crate) struct TimerQueue<K> {
    entries: BTreeMap<Token, (K, Reason)>,
    generation: u64,
}

impl<K: Copy> TimerQueue<K> {
    /// An empty queue.
    pub(crate) fn new() -> TimerQueue<K> {
        TimerQueue { entries: BTreeMap::new(), generation: 0 }
    }

    /// Arms a deadline; those of the same instant fire in the order of arming.
    pub(crate) fn arm(&mut self, at: Instant, reason: Reason, owner: K) -> Token {
        self.generation += 1;
        let token = Token { at, generation: self.generation };
        self.entries.insert(token, (owner, reason));
        token
    }

    /// Takes a deadline back; nothing happens where it has fired already.
    pub(crate) fn cancel(&mut self, token: Token) {
        self.entries.remove(&token);
    }

    /// The next one that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(K, Reason)> {
        let first = self.entries.first_entry()?;
        if first.key().at > now { None } else { Some(first.remove()) }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Deadline> {
        self.entries.first_key_value().map(|(token, (_, reason))| (token.at, *reason))
    }

    /// Deadlines armed.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)] // any instant will do
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn deadlines_fire_in_order_and_not_before_they_are_due() {
        let now = start();
        let mut queue = TimerQueue::new();
        queue.arm(now + T2, Reason::TimerF, 2);
        queue.arm(now + T1, Reason::TimerE, 1);
        queue.arm(now + T1, Reason::TimerA, 3);
        assert_eq!(queue.next(), Some((now + T1, Reason::TimerE)));
        assert_eq!(queue.pop_due(now), None);
        assert_eq!(queue.pop_due(now + T1), Some((1, Reason::TimerE)));
        assert_eq!(queue.pop_due(now + T1), Some((3, Reason::TimerA)));
        assert_eq!(queue.pop_due(now + T1), None);
        assert_eq!(queue.pop_due(now + T4), Some((2, Reason::TimerF)));
        assert_eq!((queue.next(), queue.len()), (None, 0));
    }

    #[test]
    fn a_cancelled_deadline_never_fires_and_a_fired_one_cannot_cancel_another() {
        let now = start();
        let mut queue = TimerQueue::new();
        let first = queue.arm(now, Reason::TimerA, 1);
        assert_eq!(queue.pop_due(now), Some((1, Reason::TimerA)));
        let second = queue.arm(now, Reason::TimerB, 1);
        queue.cancel(first);
        assert_eq!(queue.len(), 1);
        queue.cancel(second);
        assert_eq!(queue.pop_due(now + T4), None);
    }
}
