//! Token bucket for calls per second: `rate` tokens per second, with a burst of one second's worth.

use std::time::{Duration, Instant};

/// Tolerance for rounding errors when partial tokens are summed.
const ROUNDING: f64 = 1e-6;

/// Rate limiter for new calls, as a token bucket.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    per_second: u32,
    tokens: f64,
    filled: Option<Instant>,
}

impl Default for TokenBucket {
    fn default() -> TokenBucket {
        TokenBucket::new(0)
    }
}

impl TokenBucket {
    /// Creates a full bucket; `per_second` 0 means no limit.
    pub fn new(per_second: u32) -> TokenBucket {
        TokenBucket { per_second, tokens: f64::from(per_second.max(1)), filled: None }
    }

    /// Takes a token and returns true if one is available.
    pub fn take_token(&mut self, now: Instant) -> bool {
        let ready = self.wait(now).is_zero();
        if ready && self.per_second > 0 {
            self.tokens -= 1.0;
        }
        ready
    }

    /// Takes a token, in advance if necessary, down to a debt of one second's worth.
    pub fn borrow_token(&mut self, now: Instant) {
        if self.per_second > 0 && !self.take_token(now) {
            self.tokens = (self.tokens - 1.0).max(-f64::from(self.per_second));
        }
    }

    /// Returns the time until a token is available; zero if there is one now.
    pub fn wait(&mut self, now: Instant) -> Duration {
        if self.per_second == 0 {
            return Duration::ZERO;
        }
        let rate = f64::from(self.per_second);
        if let Some(filled) = self.filled {
            let earned = now.saturating_duration_since(filled).as_secs_f64() * rate;
            self.tokens = (self.tokens + earned).min(rate);
        }
        // An earlier `now` adds no tokens and does not delay later ones.
        self.filled = Some(self.filled.map_or(now, |filled| filled.max(now)));
        if self.tokens >= 1.0 - ROUNDING {
            return Duration::ZERO;
        }
        // One nanosecond is added, so that a token is certainly available at that time.
        Duration::from_secs_f64((1.0 - self.tokens) / rate) + Duration::from_nanos(1)
    }

    /// Returns whether the bucket is full again: all tokens taken have been refilled.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.wait(now).is_zero() && self.tokens >= f64::from(self.per_second) - ROUNDING
    }

    /// Changes the rate after a reload and keeps the remaining tokens.
    pub fn set_rate(&mut self, per_second: u32) {
        let most = f64::from(per_second.max(1));
        // Without a limit no tokens were taken: the bucket is full.
        self.tokens = if self.per_second == 0 { most } else { self.tokens.min(most) };
        self.per_second = per_second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The clock is read once; all later times are computed.
    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    fn taken(bucket: &mut TokenBucket, now: Instant, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(bucket.take_token(now))).sum()
    }

    #[test]
    fn a_burst_of_one_second_and_then_the_rate() {
        let now = start();
        let mut bucket = TokenBucket::new(10);
        assert_eq!(taken(&mut bucket, now, 50), 10);
        assert_eq!(taken(&mut bucket, now + Duration::from_millis(99), 50), 0);
        assert_eq!(taken(&mut bucket, now + Duration::from_millis(501), 50), 5);
        assert_eq!(taken(&mut bucket, now + Duration::from_secs(60), 50), 10, "no more than a second is saved");
    }

    #[test]
    fn what_is_owed_is_earned_first_and_is_bounded() {
        let now = start();
        let mut bucket = TokenBucket::new(10);
        assert_eq!(taken(&mut bucket, now, 10), 10);
        (0..5).for_each(|_| bucket.borrow_token(now));
        assert_eq!(taken(&mut bucket, now + Duration::from_millis(500), 5), 0);
        assert_eq!(taken(&mut bucket, now + Duration::from_millis(700), 5), 2);
        (0..1_000).for_each(|_| bucket.borrow_token(now + Duration::from_millis(700)));
        assert_eq!(taken(&mut bucket, now + Duration::from_millis(1_700), 5), 0);
        assert_eq!(taken(&mut bucket, now + Duration::from_millis(1_800), 5), 1);
        let mut unlimited = TokenBucket::new(0);
        unlimited.borrow_token(now);
        assert!(unlimited.take_token(now));
    }

    #[test]
    fn who_waits_as_long_as_it_says_finds_a_token() {
        for rate in [1, 3, 7, 30, 1_000] {
            let mut now = start();
            let mut bucket = TokenBucket::new(rate);
            assert_eq!(taken(&mut bucket, now, rate + 5), rate);
            for _ in 0..50 {
                let wait = bucket.wait(now);
                assert!(
                    !wait.is_zero() && wait <= Duration::from_secs(1) / rate + Duration::from_micros(1),
                    "{wait:?}"
                );
                now += wait;
                assert!(bucket.take_token(now), "{rate}");
            }
            assert!(!bucket.is_full(now));
            assert!(bucket.is_full(now + Duration::from_millis(1_001)));
        }
        assert!(TokenBucket::new(0).wait(start()).is_zero());
    }

    #[test]
    fn zero_is_no_limit() {
        let mut bucket = TokenBucket::new(0);
        assert_eq!(taken(&mut bucket, start(), 1_000), 1_000);
    }

    #[test]
    fn an_earlier_instant_earns_nothing() {
        let now = start() + Duration::from_secs(10);
        let mut bucket = TokenBucket::new(1);
        assert!(bucket.take_token(now));
        assert!(!bucket.take_token(now - Duration::from_secs(5)));
        assert!(!bucket.take_token(now), "the step back is not paid for twice");
    }

    #[test]
    fn a_new_rate_keeps_what_was_used() {
        let now = start();
        let mut bucket = TokenBucket::new(10);
        assert_eq!(taken(&mut bucket, now, 8), 8);
        bucket.set_rate(100);
        assert_eq!(taken(&mut bucket, now, 50), 2);
        bucket.set_rate(1);
        assert_eq!(taken(&mut bucket, now + Duration::from_secs(9), 50), 1);
        bucket.set_rate(0);
        assert_eq!(taken(&mut bucket, now, 50), 50);
    }
}
