//! Who may hold how much: connections by address, handshakes that are not over, and how often a stranger may begin one.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use trunkgate_route::{TokenBucket, household};

use super::by_source::BySource;
use crate::limits;

/// Counts connections by address, so that one far end cannot take all.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    /// Of addresses of no trunk.
    strangers: usize,
    by_source: BySource,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    source: IpAddr,
    known: bool,
}

impl Places {
    /// A place for a connection with `source`; `known`: it is a trunk's.
    pub(super) fn take(&self, source: IpAddr, known: bool) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let crowded = !known && taken.strangers >= limits::UNKNOWN_CONNECTIONS;
        if taken.total >= limits::CONNECTIONS || crowded {
            return None;
        }
        if !taken.by_source.take(source, limits::CONNECTIONS_PER_SOURCE) {
            return None;
        }
        taken.total += 1;
        taken.strangers += usize::from(!known);
        Some(Place { places: self.clone(), source, known })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        taken.strangers = taken.strangers.saturating_sub(usize::from(!self.known));
        taken.by_source.give_back(self.source);
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

/// How often addresses of no trunk may begin a handshake: in all, and each, so that one of them does not keep the others
/// out, of whom one may have the right certificate.
#[derive(Debug)]
pub(super) struct Strangers {
    all: TokenBucket,
    by_source: HashMap<IpAddr, (TokenBucket, Instant)>,
}

impl Default for Strangers {
    fn default() -> Strangers {
        Strangers { all: TokenBucket::new(limits::UNKNOWN_HANDSHAKES_PER_SECOND), by_source: HashMap::new() }
    }
}

impl Strangers {
    /// Whether one may begin now.
    pub(super) fn may_begin(&mut self, now: Instant, source: IpAddr) -> bool {
        let source = household(source);
        if self.by_source.len() >= limits::UNKNOWN_SOURCES && !self.by_source.contains_key(&source) {
            // A bucket is full again after a second.
            let full = |last: Instant| now.saturating_duration_since(last) >= Duration::from_secs(1);
            self.by_source.retain(|_, (_, last)| !full(*last));
            if self.by_source.len() >= limits::UNKNOWN_SOURCES {
                return false;
            }
        }
        let new = || (TokenBucket::new(limits::UNKNOWN_HANDSHAKES_PER_SOURCE_PER_SECOND), now);
        let (bucket, last) = self.by_source.entry(source).or_insert_with(new);
        *last = now;
        bucket.take(now) && self.all.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(n: usize) -> IpAddr {
        IpAddr::from((0x0a00_0000_u32 + u32::try_from(n).unwrap()).to_be_bytes())
    }

    #[test]
    fn one_stranger_does_not_keep_another_out() {
        let (mut strangers, start) = (Strangers::default(), Instant::now());
        let [flood, good]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        let mut begun = 0;
        for ms in 0..2000 {
            let now = start + Duration::from_millis(ms);
            begun += u32::from(strangers.may_begin(now, flood));
            assert!(ms % 500 != 0 || strangers.may_begin(now, good), "{ms}");
        }
        let each = limits::UNKNOWN_HANDSHAKES_PER_SOURCE_PER_SECOND;
        assert!((2 * each..=3 * each).contains(&begun), "{begun}");
        // A network of IPv6 is one.
        let of_one: u32 = (0..1000_u128)
            .map(|n| std::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | n).into())
            .map(|ip| u32::from(strangers.may_begin(start, ip)))
            .sum();
        assert_eq!(of_one, each);
    }

    #[test]
    fn strangers_are_bounded_in_all_and_remembered_so_long() {
        let (mut strangers, start) = (Strangers::default(), Instant::now());
        let begun = (0..2 * limits::UNKNOWN_SOURCES).filter(|n| strangers.may_begin(start, stranger(*n))).count();
        assert_eq!(begun, limits::UNKNOWN_HANDSHAKES_PER_SECOND as usize);
        assert_eq!(strangers.by_source.len(), limits::UNKNOWN_SOURCES);
        assert!(!strangers.may_begin(start + Duration::from_millis(999), stranger(1 << 20)));
        assert!(strangers.may_begin(start + Duration::from_secs(1), stranger(1 << 20)));
        assert_eq!(strangers.by_source.len(), 1);
    }

    #[test]
    fn places_are_bounded_by_source_and_in_all_and_come_back() {
        let places = Places::default();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let held: Vec<_> = (0..limits::CONNECTIONS_PER_SOURCE).map(|_| places.take(one, true).unwrap()).collect();
        assert!(places.take(one, true).is_none());
        assert!(places.take("192.0.2.2".parse().unwrap(), true).is_some());
        drop(held);
        assert!(places.take(one, true).is_some());
        let mut all = Vec::new();
        for n in 0..limits::CONNECTIONS {
            let source = IpAddr::from((0x0a00_0000_u32 + u32::try_from(n).unwrap()).to_be_bytes());
            all.push(places.take(source, true).unwrap());
        }
        assert!(places.take(one, true).is_none());
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

    #[test]
    fn strangers_leave_room_for_trunks() {
        let places = Places::default();
        let strangers: Vec<_> =
            (0..limits::UNKNOWN_CONNECTIONS).map(|n| places.take(stranger(n), false).unwrap()).collect();
        let more = stranger(limits::UNKNOWN_CONNECTIONS);
        assert!(places.take(more, false).is_none());
        assert!(places.take(more, true).is_some());
        drop(strangers);
        assert!(places.take(more, false).is_some());
    }
}
