//! Fair scheduling of requests to many hosts, with a common limit and a limit for each host. Hosts with a ready item
//! and free capacity take turns, so that a host with a long queue or without responses leaves capacity to the others.
//! The receivers of one host take turns as well: each item of a receiver belongs to the round after the previous one,
//! and earlier rounds come first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Ready items by host, with the number of active requests to each.
#[derive(Debug)]
pub struct HostTurns<T> {
    most: usize,
    hosts: HashMap<Arc<str>, HostQueue<T>>,
    /// Hosts with a ready item and free capacity, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    under_way: usize,
    last: u64,
}

/// Receiver at a host that takes turns with others: its name, and whether its items are retries, which have turns of
/// their own.
pub(crate) type HostReceiver = (Arc<str>, bool);

/// Position in the queue of a host: the round of the item, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostTurn {
    round: u64,
    number: u64,
}

/// Queue of a host with ready items or active requests.
#[derive(Debug)]
struct HostQueue<T> {
    ready: BTreeMap<HostTurn, (HostReceiver, T)>,
    /// For each receiver: the number of its ready items, and the round of its next item.
    receivers: HashMap<HostReceiver, (usize, u64)>,
    /// Round of the latest item sent.
    round: u64,
    under_way: usize,
    most: usize,
    has_turn: bool,
}

impl<T> HostQueue<T> {
    fn new(most: usize) -> HostQueue<T> {
        HostQueue { ready: BTreeMap::new(), receivers: HashMap::new(), round: 0, under_way: 0, most, has_turn: false }
    }

    fn put(&mut self, receiver: &HostReceiver, number: u64, item: T) -> HostTurn {
        let (ready, next) = self.receivers.entry(receiver.clone()).or_insert((0, self.round));
        let round = self.round.max(*next);
        (*ready, *next) = (*ready + 1, round + 1);
        let turn = HostTurn { round, number };
        self.ready.insert(turn, (receiver.clone(), item));
        turn
    }

    fn take(&mut self, turn: HostTurn) -> Option<T> {
        let (receiver, item) = self.ready.remove(&turn)?;
        if let Some((ready, _)) = self.receivers.get_mut(&receiver) {
            *ready -= 1;
            if *ready == 0 {
                self.receivers.remove(&receiver);
            }
        }
        Some(item)
    }

    fn take_first(&mut self) -> Option<T> {
        let turn = self.ready.first_key_value().map(|(turn, _)| *turn)?;
        self.round = turn.round;
        self.take(turn)
    }
}

impl<T> HostTurns<T> {
    /// Creates an empty queue for at most `most` concurrent requests to all hosts.
    pub fn new(most: usize) -> HostTurns<T> {
        HostTurns { most, hosts: HashMap::new(), turns: VecDeque::new(), under_way: 0, last: 0 }
    }

    /// Adds an item for a receiver of the host `name`, to which at most `most` concurrent requests are permitted;
    /// returns the item's position.
    pub fn put(&mut self, name: &Arc<str>, most: usize, receiver: &HostReceiver, item: T) -> HostTurn {
        self.last += 1;
        let host = self.hosts.entry(Arc::clone(name)).or_insert_with(|| HostQueue::new(most));
        host.most = most;
        let turn = host.put(receiver, self.last, item);
        self.settle(name);
        turn
    }

    /// Removes a ready item, by its position at the host; without effect if it was sent already.
    pub fn take_back(&mut self, name: &Arc<str>, turn: HostTurn) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.take(turn);
            self.settle(name);
        }
    }

    /// Removes and returns the next item, and counts its request as active; `None` if no item may be sent now.
    pub fn next_turn(&mut self) -> Option<T> {
        while self.under_way < self.most {
            let name = self.turns.pop_front()?;
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            host.has_turn = false;
            let next = if host.under_way < host.most { host.take_first() } else { None };
            if next.is_some() {
                host.under_way += 1;
                self.under_way += 1;
            }
            self.settle(&name);
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// Records the end of an active request to a host, and sets the host's limit of concurrent requests to `most`.
    pub fn over(&mut self, name: &Arc<str>, most: usize) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.under_way = host.under_way.saturating_sub(1);
        host.most = most;
        self.under_way = self.under_way.saturating_sub(1);
        self.settle(name);
    }

    /// Appends a host to `turns` if it has a ready item and free capacity; removes a host with neither items nor active
    /// requests.
    fn settle(&mut self, name: &Arc<str>) {
        let Some(host) = self.hosts.get_mut(name).filter(|host| !host.has_turn) else { return };
        if !host.ready.is_empty() && host.under_way < host.most {
            host.has_turn = true;
            self.turns.push_back(Arc::clone(name));
        } else if host.ready.is_empty() && host.under_way == 0 {
            self.hosts.remove(name);
        }
    }

    /// Returns whether no item is ready and no request is active.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.turns.is_empty() && self.under_way == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> HostReceiver {
        ("one".into(), false)
    }

    fn all(turns: &mut HostTurns<u32>) -> Vec<u32> {
        std::iter::from_fn(|| turns.next_turn()).collect()
    }

    #[test]
    fn hosts_take_turns_and_each_has_its_places() {
        let mut turns = HostTurns::new(6);
        let (hung, good): (Arc<str>, Arc<str>) = ("hung:1".into(), "good:1".into());
        for (host, ready) in [(&hung, 0..10), (&good, 10..13)] {
            ready.for_each(|n| _ = turns.put(host, 3, &one(), n));
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
    fn receivers_of_a_host_take_turns() {
        let (mut turns, host) = (HostTurns::new(100), Arc::<str>::from("h:1"));
        let [hung, good]: [HostReceiver; 2] = [("hung".into(), false), ("good".into(), false)];
        (0..50).for_each(|n| _ = turns.put(&host, 2, &hung, n));
        assert_eq!(all(&mut turns), [0, 1]);
        (50..53).for_each(|n| _ = turns.put(&host, 2, &good, n));
        let again: HostReceiver = ("hung".into(), true);
        turns.put(&host, 2, &again, 53);
        let mut order = Vec::new();
        for _ in 0..7 {
            turns.over(&host, 2);
            order.extend(all(&mut turns));
        }
        assert_eq!(order, [50, 53, 2, 51, 3, 52, 4], "each has its turn, however much waits for the other");
    }

    #[test]
    fn places_are_bounded_and_what_is_taken_back_does_not_come() {
        let mut turns = HostTurns::new(2);
        let hosts: Vec<Arc<str>> = (0..4).map(|n| format!("{n}").into()).collect();
        let numbers: Vec<HostTurn> = hosts.iter().zip(0..).map(|(host, n)| turns.put(host, 8, &one(), n)).collect();
        turns.take_back(&hosts[1], numbers[1]);
        assert_eq!(all(&mut turns), [0, 2]);
        turns.over(&hosts[0], 8);
        assert_eq!(all(&mut turns), [3]);
        turns.over(&hosts[2], 8);
        turns.over(&hosts[3], 8);
        assert!(turns.is_empty(), "{turns:?}");
    }
}
