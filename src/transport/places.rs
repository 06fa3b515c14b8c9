//! Who may hold how much: connections by address, and handshakes that are not over.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;

use crate::limits;

/// Counts connections by address, so that one far end cannot take all.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    source: IpAddr,
}

impl Places {
    pub(super) fn take(&self, source: IpAddr) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= limits::CONNECTIONS {
            return None;
        }
        let of_source = taken.by_source.entry(source).or_default();
        if *of_source >= limits::CONNECTIONS_PER_SOURCE {
            return None;
        }
        *of_source += 1;
        taken.total += 1;
        Some(Place { places: self.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        if let Some(of_source) = taken.by_source.get_mut(&self.source) {
            *of_source = of_source.saturating_sub(1);
            if *of_source == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

/// Handshakes under way. One that finds no room pushes an older one out: whoever begins many and finishes none is in
/// nobody's way but its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Handshakes(Arc<Mutex<Under>>);

#[derive(Debug, Default)]
struct Under {
    next: u64,
    way: VecDeque<Shaking>,
}

#[derive(Debug)]
struct Shaking {
    number: u64,
    source: IpAddr,
    /// Whether its address is a trunk's.
    known: bool,
    task: AbortHandle,
}

/// One handshake; over when dropped.
#[derive(Debug)]
pub(super) struct Handshake {
    all: Handshakes,
    number: u64,
}

impl Handshakes {
    /// The next handshake's number.
    pub(super) fn begin(&self) -> Handshake {
        let mut under = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under.next += 1;
        Handshake { all: self.clone(), number: under.next }
    }

    /// Enters the task that shakes hands; how many older ones it has pushed out.
    pub(super) fn enter(&self, number: u64, source: IpAddr, known: bool, task: AbortHandle) -> u64 {
        let mut under = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_alike = |one: &Shaking| one.source == source;
        let is_stranger = |one: &Shaking| !one.known;
        let way = &mut under.way;
        let oldest = if way.iter().filter(|one| is_alike(one)).count() >= limits::HANDSHAKES_PER_SOURCE {
            way.iter().position(is_alike)
        } else if !known && way.iter().filter(|one| is_stranger(one)).count() >= limits::UNKNOWN_HANDSHAKES {
            way.iter().position(is_stranger)
        } else if way.len() >= limits::HANDSHAKES {
            Some(0)
        } else {
            None
        };
        let pushed_out = oldest.and_then(|at| way.remove(at));
        way.push_back(Shaking { number, source, known, task });
        drop(under);
        pushed_out.map_or(0, |one| {
            one.task.abort();
            1
        })
    }
}

impl Handshake {
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut under = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        under.way.retain(|one| one.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_by_source_and_in_all_and_come_back() {
        let places = Places::default();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let held: Vec<_> = (0..limits::CONNECTIONS_PER_SOURCE).map(|_| places.take(one).unwrap()).collect();
        assert!(places.take(one).is_none());
        assert!(places.take("192.0.2.2".parse().unwrap()).is_some());
        drop(held);
        assert!(places.take(one).is_some());
        let mut all = Vec::new();
        for n in 0..limits::CONNECTIONS {
            let source = IpAddr::from((0x0a00_0000_u32 + u32::try_from(n).unwrap()).to_be_bytes());
            all.push(places.take(source).unwrap());
        }
        assert!(places.take(one).is_none());
        drop(all);
        assert_eq!(places.0.lock().unwrap().total, 0);
        assert!(places.0.lock().unwrap().by_source.is_empty());
    }

    #[tokio::test]
    async fn a_handshake_beyond_the_limit_pushes_out_the_oldest_of_its_kind() {
        let handshakes = Handshakes::default();
        let mut held = Vec::new();
        let mut begin = |source: [u8; 4], known| {
            let handshake = handshakes.begin();
            let task = tokio::spawn(std::future::pending::<()>());
            let out = handshakes.enter(handshake.number(), source.into(), known, task.abort_handle());
            held.push(handshake);
            (out, task)
        };
        let mut own: Vec<_> = (0..limits::HANDSHAKES_PER_SOURCE).map(|_| begin([192, 0, 2, 1], true)).collect();
        assert!(own.iter().all(|(out, _)| *out == 0));
        let (other, _other_task) = begin([192, 0, 2, 2], true);
        assert_eq!(other, 0, "another address is not in the way");
        assert_eq!(begin([192, 0, 2, 1], true).0, 1);
        assert!(own.remove(0).1.await.unwrap_err().is_cancelled(), "the oldest of that address");
        let strangers: Vec<_> =
            (0..=limits::UNKNOWN_HANDSHAKES).map(|n| begin([10, 0, 0, u8::try_from(n).unwrap()], false)).collect();
        assert_eq!(strangers.iter().map(|(out, _)| out).sum::<u64>(), 1);
        drop(held);
        assert!(handshakes.0.lock().unwrap().way.is_empty(), "what is over is forgotten");
    }

    #[tokio::test]
    async fn all_handshakes_together_are_bounded() {
        let handshakes = Handshakes::default();
        let mut held = Vec::new();
        let mut out = 0;
        for n in 0..=limits::HANDSHAKES {
            let source = IpAddr::from((0x0a00_0000_u32 + u32::try_from(n).unwrap()).to_be_bytes());
            let handshake = handshakes.begin();
            let task = tokio::spawn(std::future::pending::<()>());
            out += handshakes.enter(handshake.number(), source, true, task.abort_handle());
            held.push(handshake);
        }
        assert_eq!(out, 1);
        assert_eq!(handshakes.0.lock().unwrap().way.len(), limits::HANDSHAKES);
    }
}
