//! Retry delays after failures: exponential, with jitter that separates peers which failed at the same moment.

use std::time::Duration;

/// Exponential back-off with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// Creates a back-off with delays from `first` up to `most`.
    pub const fn new(first: Duration, most: Duration) -> Backoff {
        Backoff { first, most }
    }

    /// Returns the delay after this number of consecutive failures: between half of the full delay and all of it,
    /// depending on the random number `random`. Zero without a failure.
    pub fn pause(&self, failures: u32, random: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        let full = self.first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(self.most);
        full / 2 + (full / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::new(SECOND, Duration::from_secs(300));
        let longest = |failures| backoff.pause(failures, u32::MAX).as_secs();
        assert_eq!([0, 1, 2, 3, 9, 10, 33, u32::MAX].map(longest), [0, 1, 2, 4, 256, 300, 300, 300]);
        assert_eq!(backoff.pause(3, 0), 2 * SECOND);
    }

    proptest! {
        #[test]
        fn the_jitter_is_the_second_half(failures in 1_u32.., random: u32) {
            let backoff = Backoff::new(SECOND, Duration::from_secs(300));
            let (least, most) = (backoff.pause(failures, 0), backoff.pause(failures, u32::MAX));
            let pause = backoff.pause(failures, random);
            prop_assert!(least <= pause && pause <= most && most == least * 2);
        }
    }
}
