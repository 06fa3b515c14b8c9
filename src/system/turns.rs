//! Turns of hosts: requests to many hosts share a number of places, of which one host has some. A host that has something ready and room for
//! it takes its turn after the others, so that one with much, or one that hangs, leaves places to them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// What is ready for each host, and how much is under way.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    most: usize,
    hosts: HashMap<Arc<str>, Host<T>>,
    /// Hosts that have something ready and room for it.
    turns: VecDeque<Arc<str>>,
    under_way: usize,
    last: u64,
}

/// A host that has something ready or under way.
#[derive(Debug)]
struct Host<T> {
    /// In the order in which it became ready.
    ready: BTreeMap<u64, T>,
    under_way: usize,
    most: usize,
    has_turn: bool,
}

impl<T> Turns<T> {
    /// Makes places for so many at once.
    pub(crate) fn new(most: usize) -> Turns<T> {
        Turns { most, hosts: HashMap::new(), turns: VecDeque::new(), under_way: 0, last: 0 }
    }

    /// Adds what is ready for a host, which may have `most` under way. Returns its number.
    pub(crate) fn put(&mut self, name: &Arc<str>, most: usize, item: T) -> u64 {
        self.last += 1;
        let new = || Host { ready: BTreeMap::new(), under_way: 0, most, has_turn: false };
        let host = self.hosts.entry(Arc::clone(name)).or_insert_with(new);
        host.most = most;
        host.ready.insert(self.last, item);
        self.settle(name);
        self.last
    }

    /// Takes what is ready back, by its number.
    pub(crate) fn take_back(&mut self, name: &Arc<str>, number: u64) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.ready.remove(&number);
            self.settle(name);
        }
    }

    /// Returns what is next, which is under way from now on.
    pub(crate) fn next(&mut self) -> Option<T> {
        while self.under_way < self.most {
            let name = self.turns.pop_front()?;
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            host.has_turn = false;
            let next = if host.under_way < host.most { host.ready.pop_first() } else { None };
            if next.is_some() {
                host.under_way += 1;
                self.under_way += 1;
            }
            self.settle(&name);
            if let Some((_, item)) = next {
                return Some(item);
            }
        }
        None
    }

    /// A request to a host is over, which may have `most` under way from now on.
    pub(crate) fn over(&mut self, name: &Arc<str>, most: usize) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.under_way = host.under_way.saturating_sub(1);
        host.most = most;
        self.under_way = self.under_way.saturating_sub(1);
        self.settle(name);
    }

    /// Gives a host its turn, or forgets one that has nothing.
    fn settle(&mut self, name: &Arc<str>) {
        let Some(host) = self.hosts.get_mut(name).filter(|host| !host.has_turn) else { return };
        if !host.ready.is_empty() && host.under_way < host.most {
            host.has_turn = true;
            self.turns.push_back(Arc::clone(name));
        } else if host.ready.is_empty() && host.under_way == 0 {
            self.hosts.remove(name);
        }
    }

    /// Whether nothing is ready and nothing under way.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.turns.is_empty() && self.under_way == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(turns: &mut Turns<u32>) -> Vec<u32> {
        std::iter::from_fn(|| turns.next()).collect()
    }

    #[test]
    fn hosts_take_turns_and_each_has_its_places() {
        let mut turns = Turns::new(6);
        let (hung, good): (Arc<str>, Arc<str>) = ("hung:1".into(), "good:1".into());
        for (host, ready) in [(&hung, 0..10), (&good, 10..13)] {
            ready.for_each(|n| _ = turns.put(host, 3, n));
        }
        assert_eq!(all(&mut turns), [0, 10, 1, 11, 2, 12]);
        turns.over(&good, 3);
        assert!(all(&mut turns).is_empty(), "the hung one has all of its places");
        turns.over(&hung, 1);
        turns.over(&hung, 1);
        assert!(all(&mut turns).is_empty(), "fewer from now on");
        turns.over(&hung, 1);
        assert_eq!(all(&mut turns), [3]);
    }

    #[test]
    fn places_are_bounded_and_what_is_taken_back_does_not_come() {
        let mut turns = Turns::new(2);
        let hosts: Vec<Arc<str>> = (0..4).map(|n| format!("{n}").into()).collect();
        let numbers: Vec<u64> = hosts.iter().zip(0..).map(|(host, n)| turns.put(host, 8, n)).collect();
        turns.take_back(&hosts[1], numbers[1]);
        assert_eq!(all(&mut turns), [0, 2]);
        turns.over(&hosts[0], 8);
        assert_eq!(all(&mut turns), [3]);
        turns.over(&hosts[2], 8);
        turns.over(&hosts[3], 8);
        assert!(turns.is_empty(), "{turns:?}");
    }
}
