//! The pool of media port pairs: RTP even, RTCP the next odd one. A pair comes back when its end's sockets are closed.
//!
//! Pairs are handed out in a random order fixed at the start and rotate from then on: one that has just been freed is
//! the last to be used again, so that late packets of an ended call meet nobody.

use std::collections::VecDeque;

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

/// Free and taken pairs, each by its even port.
#[derive(Debug)]
pub struct PortPool {
    first: u16,
    free: VecDeque<u16>,
    taken: Vec<bool>,
    in_use: usize,
}

impl PortPool {
    /// All pairs that lie wholly in `first..=last`.
    pub fn new((first, last): (u16, u16), rng: &mut ChaCha12Rng) -> PortPool {
        let first = first.saturating_add(first % 2);
        let mut free: Vec<u16> = (first..last).step_by(2).collect();
        for at in (1..free.len()).rev() {
            free.swap(at, rng.random_range(0..=at));
        }
        let taken = vec![false; free.len()];
        PortPool { first, free: free.into(), taken, in_use: 0 }
    }

    /// The RTP port of a free pair.
    pub fn take(&mut self) -> Option<u16> {
        let port = self.free.pop_front()?;
        self.mark(port, true);
        Some(port)
    }

    /// Gives a pair back; one that is free already, or is none of ours, changes nothing.
    pub fn give(&mut self, port: u16) {
        if self.mark(port, false) {
            self.free.push_back(port);
        }
    }

    /// Takes this very pair, for a call that comes back from a snapshot. Whether it was free.
    pub fn reserve(&mut self, port: u16) -> bool {
        let was_free = self.mark(port, true);
        if was_free {
            self.free.retain(|free| *free != port);
        }
        was_free
    }

    /// Makes a free pair the last to be used: somebody may still speak into it.
    pub fn rest(&mut self, port: u16) {
        if let Some(at) = self.free.iter().position(|free| *free == port) {
            self.free.remove(at);
            self.free.push_back(port);
        }
    }

    /// Pairs taken.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Pairs in all.
    pub fn total(&self) -> usize {
        self.taken.len()
    }

    /// Sets whether a pair is taken; whether that was a change.
    fn mark(&mut self, port: u16, taken: bool) -> bool {
        let Some(offset) = port.checked_sub(self.first).filter(|offset| offset % 2 == 0) else { return false };
        let Some(slot) = self.taken.get_mut(usize::from(offset / 2)) else { return false };
        let changed = *slot != taken;
        *slot = taken;
        match (changed, taken) {
            (true, true) => self.in_use += 1,
            (true, false) => self.in_use -= 1,
            (false, _) => {}
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn pool(first: u16, last: u16) -> PortPool {
        PortPool::new((first, last), &mut ChaCha12Rng::from_seed([1; 32]))
    }

    #[test]
    fn every_pair_once_then_none() {
        let mut pool = pool(1001, 1010);
        let mut taken: Vec<u16> = std::iter::from_fn(|| pool.take()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [1002, 1004, 1006, 1008]);
        assert_eq!((pool.in_use(), pool.total()), (4, 4));
        assert_eq!(pool.take(), None);
    }

    #[test]
    fn the_pair_freed_last_is_used_last() {
        let mut pool = pool(1000, 1999);
        let port = pool.take().unwrap();
        pool.give(port);
        pool.give(port);
        assert_eq!(pool.in_use(), 0);
        let next: Vec<u16> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(next.len(), 500);
        assert_eq!(next.last(), Some(&port));
    }

    #[test]
    fn a_pair_that_rests_is_used_last() {
        let mut pool = pool(1000, 1999);
        let resting: Vec<u16> = pool.free.iter().take(3).copied().collect();
        resting.iter().for_each(|port| pool.rest(*port));
        pool.rest(999);
        let next: Vec<u16> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!((next.len(), &next[497..]), (500, resting.as_slice()));
        pool.rest(resting[0]);
        assert_eq!(pool.take(), None, "taken pairs stay taken");
    }

    #[test]
    fn strange_ports_change_nothing() {
        let mut pool = pool(1000, 1003);
        for port in [0, 999, 1001, 1004, 65_535] {
            pool.give(port);
            assert!(!pool.reserve(port));
        }
        assert!(pool.reserve(1002));
        assert_eq!(pool.take(), Some(1000));
        assert_eq!(pool.take(), None);
    }

    #[test]
    fn the_end_of_the_range_holds() {
        let mut pool = pool(65_530, 65_535);
        let mut taken: Vec<u16> = std::iter::from_fn(|| pool.take()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [65_530, 65_532, 65_534]);
    }
}
