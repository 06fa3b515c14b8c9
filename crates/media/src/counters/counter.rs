//! Counters with one writing worker and any number of reading threads: relaxed atomics, no locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Monotonic counter or gauge, readable by any thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n` to the counter; any thread may write.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds `n` without an atomic read-modify-write, for a counter with a single writing thread. Unlike [`Self::add`],
    /// it does not stall on the processor's outstanding loads, which dominate the packet path.
    pub fn add_alone(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Sets the counter, as a gauge, to `n`.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Subtracts `n` from the counter, as a gauge; any thread may write.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Returns the current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Histogram of durations; one thread writes, or all write by [`Self::take_shared`].
#[derive(Debug)]
pub struct DurationHistogram<const BOUNDS: usize> {
    buckets: [Counter; BOUNDS],
    /// Count of durations above all bounds.
    more: Counter,
    ns: Counter,
}

impl<const BOUNDS: usize> DurationHistogram<BOUNDS> {
    /// Counts a duration in the first bucket with a bound that is not below it; `bounds_us` must be the same in each
    /// call.
    pub fn record_duration(&self, bounds_us: &[u64; BOUNDS], time: Duration) {
        let (bucket, ns) = self.bucket(bounds_us, time);
        bucket.add_alone(1);
        self.ns.add_alone(ns);
    }

    /// Counts a duration in the same way as [`Self::record_duration`], but for several writing threads.
    pub fn take_shared(&self, bounds_us: &[u64; BOUNDS], time: Duration) {
        let (bucket, ns) = self.bucket(bounds_us, time);
        bucket.add(1);
        self.ns.add(ns);
    }

    /// Lists the counts of the buckets; the last one is above all bounds.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().chain([&self.more]).map(Counter::get)
    }

    fn bucket(&self, bounds_us: &[u64; BOUNDS], time: Duration) -> (&Counter, u64) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let at = bounds_us.iter().position(|us| ns <= us * 1000);
        (at.and_then(|at| self.buckets.get(at)).unwrap_or(&self.more), ns)
    }

    /// Returns the sum of all durations, in seconds.
    pub fn seconds(&self) -> f64 {
        self.ns.get() as f64 / 1e9
    }
}

impl<const BOUNDS: usize> Default for DurationHistogram<BOUNDS> {
    fn default() -> DurationHistogram<BOUNDS> {
        DurationHistogram {
            buckets: std::array::from_fn(|_| Counter::default()),
            more: Counter::default(),
            ns: Counter::default(),
        }
    }
}

/// Counts one packet of `len` bytes, with a single writing thread.
pub(crate) fn count_packet(packets: &Counter, bytes: &Counter, len: usize) {
    packets.add_alone(1);
    bytes.add_alone(len as u64);
}
