//! Shares of the queue: waiting rows by party, host and port. If the queue is full, the newest row of the greatest
//! share is displaced, so that no receiver takes the room of another. The share of an unresponsive receiver has a
//! higher weight.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::queue::Id;
use trunkgate_system::limits::{OUTBOX_COST_BYTES, OUTBOX_FAILING_WEIGHT};

/// Party, host and port of a share.
pub(super) type Path = [Arc<str>; 3];

/// Returns the share of a party's rows to a receiver, given as host and port.
pub(super) fn path(app: &Arc<str>, receiver: &str) -> Path {
    let (host, port) = receiver.rsplit_once(':').unwrap_or((receiver, ""));
    [Arc::clone(app), host.into(), port.into()]
}

/// Shares of all waiting rows, by party, host and port.
#[derive(Debug, Default)]
pub(super) struct Shares(Share);

/// Share of one receiver, or sum of the shares below it.
#[derive(Debug, Default)]
struct Share {
    parts: HashMap<Arc<str>, Share>,
    /// Shares below this one, ordered by weight.
    order: BTreeSet<(usize, Arc<str>)>,
    weight: usize,
    own: Receiver,
}

/// Rows of one party that wait for one receiver.
#[derive(Debug, Default)]
struct Receiver {
    waiting: BTreeSet<Id>,
    bytes: usize,
    /// True if the last attempt got no response.
    is_failing: bool,
}

impl Receiver {
    fn factor(&self) -> usize {
        if self.is_failing { OUTBOX_FAILING_WEIGHT } else { 1 }
    }
}

/// Returns the weight of a row of this size.
fn cost(bytes: usize) -> usize {
    bytes + OUTBOX_COST_BYTES
}

impl Shares {
    /// Adds a waiting row to its share.
    pub(super) fn put(&mut self, path: &Path, id: Id, bytes: usize) {
        self.0.change(path, |receiver| {
            if receiver.waiting.insert(id) {
                receiver.bytes += cost(bytes);
            }
        });
    }

    /// Removes a row that no longer waits from its share.
    pub(super) fn take(&mut self, path: &Path, id: Id, bytes: usize) {
        self.0.change(path, |receiver| {
            if receiver.waiting.remove(&id) {
                receiver.bytes -= cost(bytes);
            }
        });
    }

    /// Records whether the receiver's last attempt got a response, which changes its weight.
    pub(super) fn heard(&mut self, path: &Path, is_heard: bool) {
        self.0.change(path, |receiver| receiver.is_failing = !is_heard);
    }

    /// Returns the row to be displaced by a new row of this size in the share `path`; `None` if the new row would
    /// itself be the newest of the greatest share.
    pub(super) fn surplus(&self, path: &Path, bytes: usize) -> Option<Id> {
        let receiver = path.iter().try_fold(&self.0, |share, name| share.parts.get(name));
        self.0.surplus(path, cost(bytes) * receiver.map_or(1, |share| share.own.factor()))
    }

    /// Returns whether no row waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.parts.is_empty() && self.0.order.is_empty() && self.0.weight == 0
    }
}

impl Share {
    /// Changes the share of a receiver and reorders the shares that contain it.
    fn change(&mut self, path: &[Arc<str>], change: impl FnOnce(&mut Receiver)) {
        let Some((name, rest)) = path.split_first() else {
            change(&mut self.own);
            self.weight = self.own.bytes * self.own.factor();
            return;
        };
        let part = self.parts.entry(Arc::clone(name)).or_default();
        let before = part.weight;
        part.change(rest, change);
        let after = part.weight;
        self.weight = self.weight - before + after;
        self.order.remove(&(before, Arc::clone(name)));
        if after == 0 {
            self.parts.remove(name);
        } else {
            self.order.insert((after, Arc::clone(name)));
        }
    }

    /// Returns the newest row of the greatest share, counting a new row of weight `added` at the path; `None` if that
    /// is the new row.
    fn surplus(&self, path: &[Arc<str>], added: usize) -> Option<Id> {
        let (own, rest) = path.split_first()?;
        let (weight, greatest) = self.order.last()?;
        let part = self.parts.get(own);
        if greatest == own || *weight < part.map_or(0, |part| part.weight) + added {
            return part?.surplus(rest, added);
        }
        self.parts.get(greatest)?.newest()
    }

    fn newest(&self) -> Option<Id> {
        match self.order.last() {
            Some((_, greatest)) => self.parts.get(greatest)?.newest(),
            None => self.own.waiting.last().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_receiver_of_the_greatest_application_makes_way() {
        let mut shares = Shares::default();
        let of = |app: &str, receiver: &str| path(&app.into(), receiver);
        let (dead, good, other) = (of("a", "dead:1"), of("a", "good:1"), of("b", "other:1"));
        let put = |shares: &mut Shares, path: &Path, ids: std::ops::Range<u64>| {
            ids.for_each(|n| shares.put(path, Id::new(n), 0));
        };
        put(&mut shares, &dead, 0..5);
        put(&mut shares, &good, 5..7);
        put(&mut shares, &other, 7..13);
        assert_eq!(shares.surplus(&good, 0), Some(Id::new(4)), "7 of a, 6 of b");
        assert_eq!(shares.surplus(&dead, 0), None, "it is the newest itself");
        assert_eq!(shares.surplus(&of("a", "dead:2"), 0), Some(Id::new(4)), "another port of that host has fewer");
        assert_eq!(shares.surplus(&other, 0), Some(Id::new(4)), "as many, of which a has the greater share");
        shares.take(&dead, Id::new(4), 0);
        shares.take(&dead, Id::new(3), 0);
        assert_eq!(shares.surplus(&other, 0), None, "now its own application is the greatest");
        assert_eq!(shares.surplus(&good, 0), Some(Id::new(12)));
        shares.heard(&good, false);
        assert_eq!(shares.surplus(&other, 0), Some(Id::new(6)), "few to a host without an answer count as many");
        assert_eq!(shares.surplus(&good, 0), None);
        shares.heard(&good, true);
        assert_eq!(shares.surplus(&other, 0), None);
        for (path, ids) in [(&dead, 0..3), (&good, 5..7), (&other, 7..13)] {
            ids.for_each(|n| shares.take(path, Id::new(n), 0));
        }
        assert!(shares.is_empty(), "{shares:?}");
    }

    #[test]
    fn ports_of_a_host_have_one_share() {
        let mut shares = Shares::default();
        let app: Arc<str> = "a".into();
        (0..10).for_each(|n| shares.put(&path(&app, &format!("ports:{n}")), Id::new(n), 0));
        (10..13).for_each(|n| shares.put(&path(&app, "good:1"), Id::new(n), 0));
        let newest = shares.surplus(&path(&app, "good:1"), 0);
        assert!(newest.is_some_and(|id| id < Id::new(10)), "{newest:?}");
        assert_eq!(path(&app, "::1:80"), [Arc::clone(&app), "::1".into(), "80".into()]);
    }
}
