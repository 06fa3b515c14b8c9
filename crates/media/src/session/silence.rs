//! The silence of an end, and whether it was reported.

use std::time::{Duration, Instant};

/// Tracks since when an end is silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence {
    since: Instant,
    /// The last time that anything came, be it a keep-alive.
    alive: Instant,
    reported: bool,
    /// Whether audio has come since the remote party was described.
    heard: bool,
    missed: bool,
}

impl Silence {
    /// Begins a silence now.
    pub(super) fn new(now: Instant) -> Silence {
        Silence { since: now, alive: now, reported: false, heard: false, missed: false }
    }
    /// Returns whether audio has come since the remote party was described.
    pub(super) fn is_broken(&self) -> bool {
        self.heard
    }
    /// Counts the same silence from now on only.
    pub(super) fn again(&mut self, now: Instant) {
        *self = Silence { heard: self.heard, ..Silence::new(now) };
    }
    /// Leaves a time in which this process did not run out of the silence.
    pub(super) fn leave_out(&mut self, now: Instant, time: Duration) {
        self.since = (self.since + time).min(now);
        self.alive = (self.alive + time).min(now);
    }
    /// Ends the silence: a packet has come.
    pub(super) fn broken(&mut self, now: Instant) {
        *self = Silence { heard: true, ..Silence::new(now) };
    }
    /// Notes a keep-alive packet: the remote party is there, and silent.
    pub(super) fn kept_alive(&mut self, now: Instant) {
        (self.alive, self.reported) = (now, false);
    }
    /// Returns, once, whether no audio has come for so long.
    pub(super) fn miss(&mut self, now: Instant, wait: Duration) -> bool {
        let due = !self.heard && !self.missed && now.saturating_duration_since(self.since) >= wait;
        self.missed |= due;
        due
    }
    /// Returns, once, whether nothing at all has come for `timeout`.
    pub(super) fn is_idle(&mut self, now: Instant, timeout: Duration) -> bool {
        let due = !self.reported && now.saturating_duration_since(self.alive) >= timeout;
        self.reported |= due;
        due
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    #[test]
    fn silence_is_told_once() {
        let (now, timeout) = (Instant::now(), Duration::from_secs(60));
        let mut silence = Silence::new(now);
        assert!(!silence.is_idle(now + timeout - Duration::from_millis(1), timeout));
        assert!(silence.is_idle(now + timeout, timeout));
        assert!(!silence.is_idle(now + timeout * 2, timeout));
        silence.broken(now + timeout * 2);
        assert!(silence.is_idle(now + timeout * 3, timeout));
    }

    #[test]
    fn a_time_in_which_nobody_listened_is_no_silence() {
        let (now, timeout) = (Instant::now(), Duration::from_secs(60));
        let mut silence = Silence::new(now);
        silence.leave_out(now + timeout, timeout - Duration::from_secs(1));
        assert!(!silence.is_idle(now + timeout, timeout));
        assert!(silence.is_idle(now + timeout * 2, timeout));
        // What has come since then is not put off.
        silence.broken(now + timeout * 3);
        silence.leave_out(now + timeout * 3, timeout);
        assert!(silence.is_idle(now + timeout * 4, timeout));
    }

    #[test]
    fn what_was_never_heard_is_missed_once() {
        let (now, wait) = (Instant::now(), Duration::from_secs(5));
        let mut silence = Silence::new(now);
        assert!(!silence.miss(now + wait - Duration::from_millis(1), wait));
        assert!(silence.miss(now + wait, wait) && !silence.miss(now + wait * 2, wait));
        // Once heard it is not missed: a mute far side, comfort noise, a hold.
        silence.broken(now + wait);
        silence.again(now + wait * 2);
        assert!(silence.is_broken() && !silence.miss(now + wait * 9, wait));
    }
}
