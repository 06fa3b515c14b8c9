//! Counters of the last hour, by minute: the recent state for `status`, not the total since the start.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
/// Minutes counted before the current one.
const MINUTES: u64 = 60;
/// Minutes before the current one that are recent.
const RECENT_MINUTES: u64 = 4;

/// `N` counters of the last hour.
#[derive(Debug)]
pub struct LastHour<const N: usize> {
    /// Time of the first count, at which minute 0 starts.
    begin: Option<Instant>,
    /// Minutes with counts, each with its number since `begin`: at most 61.
    minutes: VecDeque<(u64, [u64; N])>,
}

impl<const N: usize> Default for LastHour<N> {
    fn default() -> LastHour<N> {
        LastHour { begin: None, minutes: VecDeque::new() }
    }
}

impl<const N: usize> LastHour<N> {
    fn minute(&self, now: Instant) -> u64 {
        self.begin.map_or(0, |begin| now.saturating_duration_since(begin).as_secs() / MINUTE.as_secs())
    }

    /// Adds one to each counter with a true value in `counts`.
    pub fn count(&mut self, now: Instant, counts: [bool; N]) {
        self.add(now, counts.map(u64::from));
    }

    /// Adds a number to each counter.
    pub fn add(&mut self, now: Instant, counts: [u64; N]) {
        self.begin.get_or_insert(now);
        let minute = self.minute(now);
        while self.minutes.front().is_some_and(|(at, _)| at + MINUTES < minute) {
            self.minutes.pop_front();
        }
        if self.minutes.back().is_none_or(|(at, _)| *at != minute) {
            self.minutes.push_back((minute, [0; N]));
        }
        if let Some((_, sums)) = self.minutes.back_mut() {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }

    /// Returns the counts of the last hour.
    pub fn sums(&self, now: Instant) -> [u64; N] {
        self.sums_of(now, MINUTES)
    }

    /// Returns the counts of the current minute and the four before it.
    pub fn recent(&self, now: Instant) -> [u64; N] {
        self.sums_of(now, RECENT_MINUTES)
    }

    /// Returns the counts of the current minute and `minutes` before it.
    fn sums_of(&self, now: Instant, minutes: u64) -> [u64; N] {
        let minute = self.minute(now);
        let mut sums = [0; N];
        for (_, counts) in self.minutes.iter().filter(|(at, _)| at + minutes >= minute) {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    #[test]
    fn an_hour_is_remembered_and_no_more() {
        let start = Instant::now();
        let mut counts = LastHour::<2>::default();
        assert_eq!(counts.sums(start), [0, 0]);
        for minute in 0..180 {
            counts.count(start + MINUTE * minute, [true, minute % 2 == 0]);
        }
        assert!(counts.minutes.len() <= 61);
        assert_eq!(counts.sums(start + MINUTE * 179), [61, 30]);
        assert_eq!(counts.recent(start + MINUTE * 179), [5, 2]);
        assert_eq!(counts.recent(start + MINUTE * 182), [2, 1]);
        assert_eq!(counts.sums(start + MINUTE * 209), [31, 15]);
        assert_eq!(counts.sums(start + MINUTE * 600), [0, 0]);
    }
}
