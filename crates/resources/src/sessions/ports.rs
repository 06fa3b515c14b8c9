//! Pool of media port pairs: even port for RTP, next odd port for RTCP. A pair is freed when the sockets of its end
//! are closed.
//!
//! Pairs are handed out in a random order fixed at the start, then in rotation: a freed pair is reused last, so that
//! late packets of an ended call reach no other call.

use std::collections::VecDeque;

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

/// Free and used pairs, each identified by its even port.
#[derive(Debug)]
pub struct PortPool {
    first: u16,
    free: VecDeque<u16>,
    taken: Vec<bool>,
    in_use: usize,
}

impl PortPool {
    /// Returns a pool of all pairs that lie entirely in `first..=last`.
    pub fn new((first, last): (u16, u16), rng: &mut ChaCha12Rng) -> PortPool {
        let first = first.saturating_add(first % 2);
        let mut free: Vec<u16> = (first..last).step_by(2).collect();
        for at in (1..free.len()).rev() {
            free.swap(at, rng.random_range(0..=at));
        }
        let taken = vec![false; free.len()];
        PortPool { first, free: free.into(), taken, in_use: 0 }
    }

    /// Removes a free pair from the pool. Returns its RTP port; `None` if all pairs are in use.
    pub fn allocate_pair(&mut self) -> Option<u16> {
        let port = self.free.pop_front()?;
        self.mark(port, true);
        Some(port)
    }

    /// Frees a pair; ignored if the pair is free or not in the pool.
    pub fn release_pair(&mut self, port: u16) {
        if self.mark(port, false) {
            self.free.push_back(port);
        }
    }

    /// Marks a pair as used by a call that is restored from a snapshot. Returns false if it was in use already or is
    /// not in the pool.
    pub fn reserve(&mut self, port: u16) -> bool {
        let was_free = self.mark(port, true);
        if was_free {
            self.free.retain(|free| *free != port);
        }
        was_free
    }

    /// Moves a free pair to the end of the rotation, because a remote party may still send to it.
    pub fn rest(&mut self, port: u16) {
        if let Some(at) = self.free.iter().position(|free| *free == port) {
            self.free.remove(at);
            self.free.push_back(port);
        }
    }

    /// Returns the number of used pairs.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Returns the total number of pairs.
    pub fn total(&self) -> usize {
        self.taken.len()
    }

    /// Marks a pair as used or free. Returns whether this was a change.
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
        let mut taken: Vec<u16> = std::iter::from_fn(|| pool.allocate_pair()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [1002, 1004, 1006, 1008]);
        assert_eq!((pool.in_use(), pool.total()), (4, 4));
        assert_eq!(pool.allocate_pair(), None);
    }

    #[test]
    fn the_pair_freed_last_is_used_last() {
        let mut pool = pool(1000, 1999);
        let port = pool.allocate_pair().unwrap();
        pool.release_pair(port);
        pool.release_pair(port);
        assert_eq!(pool.in_use(), 0);
        let next: Vec<u16> = std::iter::from_fn(|| pool.allocate_pair()).collect();
        assert_eq!(next.len(), 500);
        assert_eq!(next.last(), Some(&port));
    }

    #[test]
    fn a_pair_that_rests_is_used_last() {
        let mut pool = pool(1000, 1999);
        let resting: Vec<u16> = pool.free.iter().take(3).copied().collect();
        resting.iter().for_each(|port| pool.rest(*port));
        pool.rest(999);
        let next: Vec<u16> = std::iter::from_fn(|| pool.allocate_pair()).collect();
        assert_eq!((next.len(), &next[497..]), (500, resting.as_slice()));
        pool.rest(resting[0]);
        assert_eq!(pool.allocate_pair(), None, "taken pairs stay taken");
    }

    #[test]
    fn strange_ports_change_nothing() {
        let mut pool = pool(1000, 1003);
        for port in [0, 999, 1001, 1004, 65_535] {
            pool.release_pair(port);
            assert!(!pool.reserve(port));
        }
        assert!(pool.reserve(1002));
        assert_eq!(pool.allocate_pair(), Some(1000));
        assert_eq!(pool.allocate_pair(), None);
    }

    #[test]
    fn the_end_of_the_range_holds() {
        let mut pool = pool(65_530, 65_535);
        let mut taken: Vec<u16> = std::iter::from_fn(|| pool.allocate_pair()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [65_530, 65_532, 65_534]);
    }
}
