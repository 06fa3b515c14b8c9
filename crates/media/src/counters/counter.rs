//! Counters that one worker writes and any thread reads: relaxed atomics, never a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds, where no other thread writes it: unlike [`Self::add`] it does not wait for what the processor reads
    /// meanwhile, which is what a packet's way is made of.
    pub fn add_alone(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Sets, for a gauge.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Subtracts, for a gauge.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Reads.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Times, counted by how long they were; one thread writes, or all do by [`Self::take_shared`].
#[derive(Debug)]
pub struct Times<const BOUNDS: usize> {
    buckets: [Counter; BOUNDS],
    /// Longer than all bounds.
    more: Counter,
    ns: Counter,
}

impl<const BOUNDS: usize> Times<BOUNDS> {
    /// Counts one into the first of `bounds_us` that holds it: the same bounds each time.
    pub fn take(&self, bounds_us: &[u64; BOUNDS], time: Duration) {
        let (bucket, ns) = self.bucket(bounds_us, time);
        bucket.add_alone(1);
        self.ns.add_alone(ns);
    }

    /// Counts one, as [`Self::take`] does, where other threads count too.
    pub fn take_shared(&self, bounds_us: &[u64; BOUNDS], time: Duration) {
        let (bucket, ns) = self.bucket(bounds_us, time);
        bucket.add(1);
        self.ns.add(ns);
    }

    /// Lists how many there are in each bucket, those longer than all bounds last.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().chain([&self.more]).map(Counter::get)
    }

    fn bucket(&self, bounds_us: &[u64; BOUNDS], time: Duration) -> (&Counter, u64) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let at = bounds_us.iter().position(|us| ns <= us * 1000);
        (at.and_then(|at| self.buckets.get(at)).unwrap_or(&self.more), ns)
    }

    /// All together, in seconds.
    pub fn seconds(&self) -> f64 {
        self.ns.get() as f64 / 1e9
    }
}

impl<const BOUNDS: usize> Default for Times<BOUNDS> {
    fn default() -> Times<BOUNDS> {
        Times { buckets: std::array::from_fn(|_| Counter::default()), more: Counter::default(), ns: Counter::default() }
    }
}

/// Counts one packet of so many bytes, where no other thread counts.
pub(crate) fn one(packets: &Counter, bytes: &Counter, len: usize) {
    packets.add_alone(1);
    bytes.add_alone(len as u64);
}
