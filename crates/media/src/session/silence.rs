//! Silence of an end: its duration, whether it was reported, and whether a continuous stream preceded it.

use std::time::{Duration, Instant};

use crate::limits::{STEADY_SWEEPS, STEADY_SWEEPS_AFTER_PAUSE, STREAM_PACKETS};

/// Tracks the time since which an end is silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct SilenceTracker {
    since: Instant,
    /// Time of the last packet, including keep-alives.
    alive: Instant,
    reported: bool,
    /// Whether audio has arrived since the remote party was described.
    heard: bool,
    missed: bool,
    /// Whether the last packet may announce silence suppression: comfort noise, or a payload too short for audio.
    aside: bool,
    /// Whether the end of a continuous stream was reported.
    stopped: bool,
}

impl SilenceTracker {
    /// Starts a silence at `now`.
    pub(super) fn new(now: Instant) -> SilenceTracker {
        SilenceTracker {
            since: now,
            alive: now,
            reported: false,
            heard: false,
            missed: false,
            aside: false,
            stopped: false,
        }
    }

    /// Returns whether the initial silence is over: audio has arrived since the remote party was described.
    pub(super) fn is_broken(&self) -> bool {
        self.heard
    }

    /// Restarts the time of silence at `now`, although no audio has arrived.
    pub(super) fn again(&mut self, now: Instant) {
        *self = SilenceTracker { heard: self.heard, ..SilenceTracker::new(now) };
    }

    /// Excludes a suspension of this process, `time` long, from the silence.
    pub(super) fn leave_out(&mut self, now: Instant, time: Duration) {
        self.since = (self.since + time).min(now);
        self.alive = (self.alive + time).min(now);
    }

    /// Ends the silence with a packet; `aside` marks a packet that may announce silence suppression.
    #[inline]
    pub(super) fn broken(&mut self, now: Instant, aside: bool) {
        *self = SilenceTracker { heard: true, aside, ..SilenceTracker::new(now) };
    }

    /// Returns whether audio has arrived within the last `time`.
    pub(super) fn is_heard_within(&self, now: Instant, time: Duration) -> bool {
        self.heard && now.saturating_duration_since(self.since) < time
    }

    /// Returns the time since the last audio packet once it reaches `wait`; `None` after it was reported, or if silence
    /// suppression or a keep-alive packet shows that the silence is intended.
    pub(super) fn stopped_for(&self, now: Instant, wait: Duration) -> Option<Duration> {
        let time = now.saturating_duration_since(self.since);
        let is_meant = self.aside || self.alive > self.since;
        (self.heard && !self.stopped && !is_meant && time >= wait).then_some(time)
    }

    /// Records that the stop of the stream was reported.
    pub(super) fn note_stopped(&mut self) {
        self.stopped = true;
    }

    /// Records a keep-alive packet: the remote party is reachable and is silent on purpose.
    pub(super) fn kept_alive(&mut self, now: Instant) {
        (self.alive, self.reported) = (now, false);
    }

    /// Returns true, only once, if no audio has arrived for `wait` since the remote party was described.
    pub(super) fn miss(&mut self, now: Instant, wait: Duration) -> bool {
        let due = !self.heard && !self.missed && now.saturating_duration_since(self.since) >= wait;
        self.missed |= due;
        due
    }

    /// Returns true once per silence if no packet has arrived for `timeout`.
    pub(super) fn is_idle(&mut self, now: Instant, timeout: Duration) -> bool {
        let due = !self.reported && now.saturating_duration_since(self.alive) >= timeout;
        self.reported |= due;
        due
    }
}

/// Tracks whether an end sends a continuous stream, whose stop is a fault and not silence suppression.
#[derive(Debug, Clone, Copy)]
pub(super) struct ContinuityTracker {
    /// Packets received as of the last sweep, modulo 2¹⁶ to save memory.
    received: u16,
    /// Number of consecutive sweeps with a continuous stream.
    run: u8,
    is_steady: bool,
    is_paused: bool,
    /// Whether the remote party has resumed its stream after a pause.
    has_resumed: bool,
}

impl ContinuityTracker {
    /// Creates the state for an end that has received `received` packets so far.
    pub(super) fn new(received: u64) -> ContinuityTracker {
        ContinuityTracker { received: received as u16, run: 0, is_steady: false, is_paused: false, has_resumed: false }
    }

    /// Updates the state from `received`, the number of packets received until now.
    pub(super) fn sweep(&mut self, received: u64) {
        // Truncation is intended: only the difference matters.
        let came = (received as u16).wrapping_sub(self.received);
        self.received = received as u16;
        if came == 0 {
            self.is_paused = self.is_steady || self.run > 0 || self.is_paused;
            return;
        }
        // A remote party that resumes by itself pauses its stream on purpose, so it needs a longer continuous run
        // afterwards.
        if std::mem::take(&mut self.is_paused) {
            (self.run, self.is_steady, self.has_resumed) = (0, false, true);
        }
        self.run = if came >= STREAM_PACKETS { self.run.saturating_add(1) } else { 0 };
        self.is_steady |= self.run >= if self.has_resumed { STEADY_SWEEPS_AFTER_PAUSE } else { STEADY_SWEEPS };
    }

    /// Returns whether the stream was continuous before the current silence.
    pub(super) fn is_steady(&self) -> bool {
        self.is_steady
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    #[test]
    fn silence_is_told_once() {
        let (now, timeout) = (Instant::now(), Duration::from_secs(60));
        let mut silence = SilenceTracker::new(now);
        assert!(!silence.is_idle(now + timeout - Duration::from_millis(1), timeout));
        assert!(silence.is_idle(now + timeout, timeout));
        assert!(!silence.is_idle(now + timeout * 2, timeout));
        silence.broken(now + timeout * 2, false);
        assert!(silence.is_idle(now + timeout * 3, timeout));
    }

    #[test]
    fn a_time_in_which_nobody_listened_is_no_silence() {
        let (now, timeout) = (Instant::now(), Duration::from_secs(60));
        let mut silence = SilenceTracker::new(now);
        silence.leave_out(now + timeout, timeout - Duration::from_secs(1));
        assert!(!silence.is_idle(now + timeout, timeout));
        assert!(silence.is_idle(now + timeout * 2, timeout));
        // Packets that came since then are not moved.
        silence.broken(now + timeout * 3, false);
        silence.leave_out(now + timeout * 3, timeout);
        assert!(silence.is_idle(now + timeout * 4, timeout));
    }

    #[test]
    fn what_was_never_heard_is_missed_once() {
        let (now, wait) = (Instant::now(), Duration::from_secs(5));
        let mut silence = SilenceTracker::new(now);
        assert!(!silence.miss(now + wait - Duration::from_millis(1), wait));
        assert!(silence.miss(now + wait, wait) && !silence.miss(now + wait * 2, wait));
        // Once audio has come it is not missed: a muted remote party, comfort noise, a hold.
        silence.broken(now + wait, false);
        silence.again(now + wait * 2);
        assert!(silence.is_broken() && !silence.miss(now + wait * 9, wait));
    }

    #[test]
    fn a_stream_that_stops_is_told_from_comfort_noise_and_a_keep_alive() {
        let (now, wait) = (Instant::now(), Duration::from_secs(5));
        let after = |change: &dyn Fn(&mut SilenceTracker)| {
            let mut silence = SilenceTracker::new(now);
            change(&mut silence);
            silence.stopped_for(now + wait, wait)
        };
        assert_eq!(after(&|_| {}), None, "never heard: that is missed, not stopped");
        assert_eq!(after(&|silence| silence.broken(now, false)), Some(wait));
        assert_eq!(after(&|silence| silence.broken(now + wait / 2, false)), None, "not for so long");
        assert_eq!(after(&|silence| silence.broken(now, true)), None, "comfort noise");
        let kept = |silence: &mut SilenceTracker| {
            silence.broken(now, false);
            silence.kept_alive(now + wait / 2);
        };
        assert_eq!(after(&kept), None);
        let told = |silence: &mut SilenceTracker| {
            silence.broken(now, false);
            silence.note_stopped();
        };
        assert_eq!(after(&told), None, "once");
    }

    #[test]
    fn a_stream_is_continuous_from_a_few_seconds_on_and_after_a_pause_from_a_minute_on() {
        // Packets in each second, and whether the stream is continuous afterwards.
        for (seconds, steady) in [
            (vec![50, 50], false),
            (vec![50, 50, 50], true),
            (vec![17, 17, 17], true),
            (vec![50, 50, 50, 9, 0, 0, 0, 0, 0], true),
            (vec![1, 0, 0, 0], false),
            (vec![50, 4, 50, 4, 50, 4], false),
            (vec![50, 50, 50, 0, 50, 50, 50], false),
            ([vec![50, 50, 50, 0], vec![50; 60]].concat(), true),
        ] {
            let (mut stream, mut received) = (ContinuityTracker::new(0), 0);
            for came in &seconds {
                received += came;
                stream.sweep(received);
            }
            assert_eq!(stream.is_steady(), steady, "{seconds:?}");
        }
    }
}
