//! Calls per second as a token bucket: `rate` tokens a second, a burst of one second's worth.

use std::time::Instant;

/// A limit on how often something may happen.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    per_second: u32,
    tokens: f64,
    filled: Option<Instant>,
}

impl TokenBucket {
    /// A full bucket; `per_second` 0 means no limit.
    pub fn new(per_second: u32) -> TokenBucket {
        TokenBucket { per_second, tokens: f64::from(per_second.max(1)), filled: None }
    }
    /// Takes a token if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let rate = f64::from(self.per_second);
        if let Some(filled) = self.filled {
            let earned = now.saturating_duration_since(filled).as_secs_f64() * rate;
            self.tokens = (self.tokens + earned).min(rate.max(1.0));
        }
        self.filled = Some(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            true
        } else {
            false
        }
    }
    /// Changes the rate and keeps what is in the bucket, for a reload.
    pub fn set_rate(&mut self, per_second: u32) {
        self.per_second = per_second;
        self.tokens = self.tokens.min(f64::from(per_second.max(1)));
    }
}
