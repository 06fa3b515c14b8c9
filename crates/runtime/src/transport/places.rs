//! Connection limits: connections per address, handshakes in progress, and the rate of handshakes with unknown sources.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::pending;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use trunkgate_route::{TokenBucket, household};

use super::by_source::SourceCounts;
use trunkgate_system::limits;

/// Connection slots by address, so that one remote party cannot use all. If no slot is free, a connection that belongs
/// neither to a trunk nor to a registered phone is evicted for a new one. A trunk's address may briefly exceed its
/// limit by a few connections, until the signalling loop, which knows the connections that calls and registrations use,
/// has evicted as many.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionSlots(Arc<Mutex<SlotTable>>);

#[derive(Debug, Default)]
struct SlotTable {
    next: u64,
    /// Source address of each connection, by the number of its slot.
    held: HashMap<u64, IpAddr>,
    /// Channels by which connections of trunks' addresses are evicted, by the number of the slot.
    known: HashMap<u64, oneshot::Sender<SlotDecision>>,
    by_source: SourceCounts,
    /// Connections of unknown sources without a registration, oldest first.
    strangers: BTreeMap<u64, UnknownConnection>,
    /// Numbers of the connections in `strangers` by address, or by /48 of IPv6.
    strangers_by_site: SourceCounts,
}

/// Connection of an unknown source without a registration.
#[derive(Debug)]
struct UnknownConnection {
    source: IpAddr,
    verdict: oneshot::Sender<SlotDecision>,
}

/// Decision about a connection with a slot, sent to its task.
#[derive(Debug)]
enum SlotDecision {
    Registered,
    Evicted,
}

/// Kind of a connection with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SlotKind {
    /// Connection from a trunk's address, or opened by the edge.
    Known,
    /// Connection from an unknown source, on which no phone has registered.
    Unknown,
    /// Connection of a registered phone.
    Registered,
}

/// Reason why a connection loses its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotLoss {
    /// Evicted in favour of another connection.
    Evicted,
    /// No phone registered on it in time.
    Unregistered,
}

/// Slot of one connection, released when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    places: ConnectionSlots,
    pub number: u64,
    verdict: oneshot::Receiver<SlotDecision>,
    /// Maximum time without a registration; `None` if unlimited.
    patience: Option<Duration>,
}

/// Result of taking a slot.
#[derive(Debug)]
pub(super) struct SlotGrant {
    pub(super) place: ConnectionSlot,
    /// Source address of the connection that was evicted for this one; `None` if none was.
    pub(super) evicted: Option<IpAddr>,
    /// True if the address of a trunk now exceeds its limit, and one of its connections must be evicted.
    pub(super) is_spare: bool,
}

impl ConnectionSlots {
    fn lock(&self) -> MutexGuard<'_, SlotTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot for a connection from `source`; `known` is true for a trunk's address. `None` if all slots are
    /// taken and no connection can be evicted.
    pub(super) fn take(&self, source: IpAddr, known: bool) -> Option<SlotGrant> {
        let source = if known { source } else { household(source) };
        let mut taken = self.lock();
        let is_crowded = !known && taken.strangers.len() >= limits::UNKNOWN_CONNECTIONS;
        let (count, most) = (taken.by_source.count(source), limits::CONNECTIONS_PER_SOURCE);
        let mut is_spare = false;
        let evicted = if count >= most {
            let evicted = taken.evict(|stranger| stranger.source == source);
            is_spare = known && evicted.is_none() && count < most + limits::SPARE_CONNECTIONS_PER_SOURCE;
            if evicted.is_none() && !is_spare {
                return None;
            }
            evicted
        } else if taken.held.len() >= limits::CONNECTIONS || is_crowded {
            Some(taken.evict(|_| true)?)
        } else {
            None
        };
        let kind = if known { SlotKind::Known } else { SlotKind::Unknown };
        let place = self.hold(&mut taken, source, kind);
        Some(SlotGrant { place, evicted, is_spare })
    }

    /// Returns the slot of a connection that had one in the predecessor process; evicts no other connection.
    pub(super) fn resume(&self, source: IpAddr, kind: SlotKind) -> ConnectionSlot {
        let source = if kind == SlotKind::Known { source } else { household(source) };
        self.hold(&mut self.lock(), source, kind)
    }

    fn hold(&self, taken: &mut SlotTable, source: IpAddr, kind: SlotKind) -> ConnectionSlot {
        taken.next += 1;
        let number = taken.next;
        taken.held.insert(number, source);
        taken.by_source.take(source, usize::MAX);
        let (sender, verdict) = oneshot::channel();
        match kind {
            SlotKind::Known => drop(taken.known.insert(number, sender)),
            SlotKind::Unknown => {
                taken.strangers.insert(number, UnknownConnection { source, verdict: sender });
                taken.strangers_by_site.take(site(source), usize::MAX);
            }
            SlotKind::Registered => drop(sender.send(SlotDecision::Registered)),
        }
        let patience = (kind == SlotKind::Unknown).then_some(Duration::from_secs(limits::UNREGISTERED_SECONDS));
        ConnectionSlot { places: self.clone(), number, verdict, patience }
    }

    /// Returns the number of connections by which a trunk's address exceeds its limit; 0 if it does not.
    pub(super) fn surplus(&self, source: IpAddr) -> usize {
        self.lock().by_source.count(source).saturating_sub(limits::CONNECTIONS_PER_SOURCE)
    }

    /// Evicts a connection of a trunk's address; returns false if it has no slot any more.
    pub(super) fn evict_known(&self, number: u64) -> bool {
        let mut taken = self.lock();
        let Some(verdict) = taken.known.remove(&number) else { return false };
        taken.give_back(number);
        let _ = verdict.send(SlotDecision::Evicted);
        true
    }

    /// Records that a phone has registered on a connection, which can then not be evicted any more.
    pub(super) fn registered(&self, number: u64) {
        if let Some(stranger) = self.lock().forget_stranger(number) {
            let _ = stranger.verdict.send(SlotDecision::Registered);
        }
    }
}

impl SlotTable {
    /// Evicts the oldest of the candidates of that unknown address or /48 which has the most connections; returns its
    /// address, or `None` without a candidate.
    fn evict(&mut self, is_candidate: impl Fn(&UnknownConnection) -> bool) -> Option<IpAddr> {
        let candidates = self.strangers.iter().filter(|(_, stranger)| is_candidate(stranger));
        let rank = |number: u64, source| (self.strangers_by_site.count(site(source)), Reverse(number));
        let number = candidates.max_by_key(|(number, one)| rank(**number, one.source)).map(|(number, _)| *number)?;
        let UnknownConnection { source, verdict } = self.forget_stranger(number)?;
        self.give_back(number);
        let _ = verdict.send(SlotDecision::Evicted);
        Some(source)
    }

    fn forget_stranger(&mut self, number: u64) -> Option<UnknownConnection> {
        let stranger = self.strangers.remove(&number)?;
        self.strangers_by_site.give_back(site(stranger.source));
        Some(stranger)
    }

    fn give_back(&mut self, number: u64) {
        self.known.remove(&number);
        self.forget_stranger(number);
        if let Some(source) = self.held.remove(&number) {
            self.by_source.give_back(source);
        }
    }
}

impl ConnectionSlot {
    /// Returns the number of the slot, for [`ConnectionSlots::registered`].
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Returns the kind of the connection.
    pub(super) fn kind(&self) -> SlotKind {
        let taken = self.places.lock();
        if taken.known.contains_key(&self.number) {
            SlotKind::Known
        } else if taken.strangers.contains_key(&self.number) {
            SlotKind::Unknown
        } else {
            SlotKind::Registered
        }
    }

    /// Waits until the connection has lost its slot; never returns for a registered phone.
    pub(super) async fn lost(&mut self) -> SlotLoss {
        let verdict = match self.patience {
            Some(patience) => match timeout(patience, &mut self.verdict).await {
                Ok(verdict) => verdict,
                Err(_) => return SlotLoss::Unregistered,
            },
            None => (&mut self.verdict).await,
        };
        match verdict {
            Ok(SlotDecision::Evicted) => SlotLoss::Evicted,
            Ok(SlotDecision::Registered) | Err(_) => pending().await,
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.places.lock().give_back(self.number);
    }
}

/// Registry of the TLS handshakes in progress. At its limit, an older handshake is aborted for a new one; a source that
/// starts many handshakes without completing them therefore only displaces its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Handshakes(Arc<Mutex<HandshakeTable>>);

#[derive(Debug, Default)]
struct HandshakeTable {
    next: u64,
    way: VecDeque<RunningHandshake>,
}

#[derive(Debug)]
struct RunningHandshake {
    number: u64,
    source: IpAddr,
    /// True if the remote address belongs to a trunk.
    known: bool,
    task: AbortHandle,
}

/// Entry of a handshake in progress; dropping it removes the entry.
#[derive(Debug)]
pub(super) struct Handshake {
    all: Handshakes,
    number: u64,
}

impl Handshakes {
    /// Creates the entry of a new handshake.
    pub(super) fn begin(&self) -> Handshake {
        let mut under = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under.next += 1;
        Handshake { all: self.clone(), number: under.next }
    }

    /// Registers the task of a handshake; returns the number of older ones aborted for it.
    pub(super) fn enter(&self, number: u64, source: IpAddr, known: bool, task: AbortHandle) -> u64 {
        let mut under = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let source = if known { source } else { household(source) };
        let is_alike = |one: &RunningHandshake| one.source == source;
        let is_stranger = |one: &RunningHandshake| !one.known;
        let way = &mut under.way;
        let oldest = if way.iter().filter(|one| is_alike(one)).count() >= limits::HANDSHAKES_PER_SOURCE {
            way.iter().position(is_alike)
        } else if !known && way.iter().filter(|one| is_stranger(one)).count() >= limits::UNKNOWN_HANDSHAKES {
            of_the_most(way)
        } else if way.len() >= limits::HANDSHAKES {
            Some(0)
        } else {
            None
        };
        let pushed_out = oldest.and_then(|at| way.remove(at));
        way.push_back(RunningHandshake { number, source, known, task });
        drop(under);
        pushed_out.map_or(0, |one| {
            one.task.abort();
            1
        })
    }
}

/// Returns the index of the oldest handshake of that unknown address, or /48 of IPv6, which has the most of them;
/// `None` without one.
fn of_the_most(way: &VecDeque<RunningHandshake>) -> Option<usize> {
    let strangers = || way.iter().enumerate().filter(|(_, one)| !one.known);
    let mut counts = SourceCounts::default();
    for (_, one) in strangers() {
        counts.take(site(one.source), usize::MAX);
    }
    strangers().max_by_key(|(at, one)| (counts.count(site(one.source)), Reverse(*at))).map(|(at, _)| at)
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

/// Rate limits for connections of unknown sources: in total, per /48 of IPv6, and per address (per /64 of IPv6), so
/// that one source cannot exclude others, of which one may have the right certificate. The first connection of an
/// address or /48 in a second has a separate limit from its further ones, so that a few busy sources leave room for all
/// others.
#[derive(Debug)]
pub(super) struct UnknownConnectionLimits {
    first: TokenBucket,
    further: TokenBucket,
    by_source: SourceRates,
    by_site: SourceRates,
}

impl Default for UnknownConnectionLimits {
    fn default() -> UnknownConnectionLimits {
        let bucket = || TokenBucket::new(limits::UNKNOWN_HANDSHAKES_PER_SECOND);
        UnknownConnectionLimits {
            first: bucket(),
            further: bucket(),
            by_source: SourceRates::of(limits::UNKNOWN_HANDSHAKES_PER_SOURCE_PER_SECOND),
            by_site: SourceRates::of(limits::UNKNOWN_HANDSHAKES_PER_SITE_PER_SECOND),
        }
    }
}

impl UnknownConnectionLimits {
    /// Counts a connection of `source` and returns true if the limits allow it now; otherwise returns false.
    pub(super) fn may_begin(&mut self, now: Instant, source: IpAddr) -> bool {
        let (site, source) = (site(source), household(source));
        // Check the network first: it takes only its own share of its /48. Only sources allowed by their /48 are stored
        // below, so that no /48 fills the table of sources.
        if self.by_source.is_used_up(now, source) {
            return false;
        }
        let mut is_first = self.by_source.is_first(now, source);
        if source.is_ipv6() {
            is_first = self.by_site.is_first(now, site);
            if !self.by_site.take(now, site) {
                return false;
            }
        }
        let all = if is_first { &mut self.first } else { &mut self.further };
        self.by_source.take(now, source) && all.take_token(now)
    }
}

/// Rates of connections by source: `each` per second and source.
#[derive(Debug)]
struct SourceRates {
    each: u32,
    begun: HashMap<IpAddr, (TokenBucket, Instant)>,
}

impl SourceRates {
    fn of(each: u32) -> SourceRates {
        SourceRates { each, begun: HashMap::new() }
    }

    /// Returns whether `who` has started no connection in the last second.
    fn is_first(&self, now: Instant, who: IpAddr) -> bool {
        self.begun.get(&who).is_none_or(|(_, last)| is_over(now, *last))
    }

    /// Returns whether `who` has used up its rate.
    fn is_used_up(&mut self, now: Instant, who: IpAddr) -> bool {
        self.begun.get_mut(&who).is_some_and(|(bucket, last)| {
            let is_used_up = !bucket.wait(now).is_zero();
            if is_used_up {
                *last = now;
            }
            is_used_up
        })
    }

    /// Counts a connection of `who` if its rate allows it and the table has room; returns whether it was counted.
    fn take(&mut self, now: Instant, who: IpAddr) -> bool {
        if self.begun.len() >= limits::UNKNOWN_SOURCES && !self.begun.contains_key(&who) {
            self.begun.retain(|_, (_, last)| !is_over(now, *last));
            if self.begun.len() >= limits::UNKNOWN_SOURCES {
                return false;
            }
        }
        let (bucket, last) = self.begun.entry(who).or_insert_with(|| (TokenBucket::new(self.each), now));
        *last = now;
        bucket.take_token(now)
    }
}

/// Returns whether a second has passed since `last`; if so, a token bucket is full again.
fn is_over(now: Instant, last: Instant) -> bool {
    now.saturating_duration_since(last) >= Duration::from_secs(1)
}

/// Returns the /48 of an IPv6 address, the usual size of a subscriber's network; an IPv4 address is returned unchanged.
fn site(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 80 << 80).into(),
        v4 => v4,
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
        let (mut strangers, start) = (UnknownConnectionLimits::default(), Instant::now());
        let [flood, good]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        let mut begun = 0;
        for ms in 0..2000 {
            let now = start + Duration::from_millis(ms);
            begun += u32::from(strangers.may_begin(now, flood));
            assert!(ms % 500 != 0 || strangers.may_begin(now, good), "{ms}");
        }
        let each = limits::UNKNOWN_HANDSHAKES_PER_SOURCE_PER_SECOND;
        assert!((2 * each..=3 * each).contains(&begun), "{begun}");
        // An IPv6 network counts as one source.
        let of_one: u32 = (0..1000_u128)
            .map(|n| Ipv6Addr::from(0x2001_0db8_u128 << 96 | n).into())
            .map(|ip| u32::from(strangers.may_begin(start, ip)))
            .sum();
        assert_eq!(of_one, each);
    }

    /// Returns an address of the documentation prefix with this /48 and /64.
    fn in_site(site: u16, network: u16) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, site, network, 0, 0, 0, 1).into()
    }

    #[test]
    fn a_whole_48_of_ipv6_does_not_keep_others_out() {
        let (mut strangers, start) = (UnknownConnectionLimits::default(), Instant::now());
        let v4: IpAddr = "192.0.2.2".parse().unwrap();
        let (mut begun, mut network) = (0, 0_u16);
        for ms in 0..3000 {
            let now = start + Duration::from_millis(ms);
            for _ in 0..20 {
                network = network.wrapping_add(1);
                begun += u32::from(strangers.may_begin(now, in_site(1, network)));
            }
            assert!(ms % 500 != 0 || strangers.may_begin(now, in_site(2, 7)), "{ms}");
            assert!(ms % 500 != 250 || strangers.may_begin(now, v4), "{ms}");
        }
        let each = limits::UNKNOWN_HANDSHAKES_PER_SITE_PER_SECOND;
        assert!((3 * each..=4 * each).contains(&begun), "{begun}");
        // One network of the /48 leaves room for another.
        let mut strangers = UnknownConnectionLimits::default();
        for ms in 0..3000 {
            let now = start + Duration::from_millis(ms);
            let _ = strangers.may_begin(now, in_site(1, 1));
            assert!(ms % 500 != 0 || strangers.may_begin(now, in_site(1, 2)), "{ms}");
        }
    }

    #[test]
    fn strangers_are_bounded_in_all_and_remembered_so_long() {
        let (mut strangers, start) = (UnknownConnectionLimits::default(), Instant::now());
        let begun = (0..2 * limits::UNKNOWN_SOURCES).filter(|n| strangers.may_begin(start, stranger(*n))).count();
        assert_eq!(begun, limits::UNKNOWN_HANDSHAKES_PER_SECOND as usize);
        assert_eq!(strangers.by_source.begun.len(), limits::UNKNOWN_SOURCES);
        assert!(!strangers.may_begin(start + Duration::from_millis(999), stranger(1 << 20)));
        assert!(strangers.may_begin(start + Duration::from_secs(1), stranger(1 << 20)));
        assert_eq!(strangers.by_source.begun.len(), 1);
    }

    #[test]
    fn a_few_that_begin_many_leave_room_for_all_others() {
        let (mut strangers, start) = (UnknownConnectionLimits::default(), Instant::now());
        for ms in 0..5_000 {
            let now = start + Duration::from_millis(ms);
            for flood in 0..20 {
                let _ = strangers.may_begin(now, stranger(flood));
            }
            let phone = 1_000 + usize::try_from(ms).unwrap();
            assert!(ms % 100 != 0 || strangers.may_begin(now, stranger(phone)), "{ms}");
        }
    }

    #[test]
    fn places_are_bounded_by_source_and_in_all_and_come_back() {
        let places = ConnectionSlots::default();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let most = limits::CONNECTIONS_PER_SOURCE + limits::SPARE_CONNECTIONS_PER_SOURCE;
        let held: Vec<_> = (0..most).map(|_| places.take(one, true).unwrap()).collect();
        let spare = held.iter().filter(|found| found.is_spare).count();
        assert_eq!((spare, places.surplus(one)), (limits::SPARE_CONNECTIONS_PER_SOURCE, spare));
        assert!(places.take(one, true).is_none());
        assert!(places.evict_known(held[3].place.number()) && !places.evict_known(held[3].place.number()));
        assert_eq!(places.surplus(one), spare - 1);
        assert!(places.take("192.0.2.2".parse().unwrap(), true).is_some());
        drop(held);
        assert!(places.lock().known.is_empty() && places.take(one, true).is_some());
        let all: Vec<_> = (0..limits::CONNECTIONS).map(|n| places.take(stranger(n), true).unwrap()).collect();
        assert!(places.take(one, true).is_none());
        drop(all);
        assert!(places.lock().held.is_empty() && places.lock().by_source.is_empty());
    }

    /// Returns whether a connection has been evicted.
    async fn is_evicted(found: &mut SlotGrant) -> bool {
        tokio::select! {
            biased;
            lost = found.place.lost() => lost == SlotLoss::Evicted,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test]
    async fn an_idle_stranger_gives_its_place_to_a_phone_and_a_registered_one_keeps_it() {
        let places = ConnectionSlots::default();
        let mut phone = places.take(stranger(0), false).unwrap();
        places.registered(phone.place.number());
        let mut lone = places.take(stranger(1), false).unwrap();
        let each = limits::CONNECTIONS_PER_SOURCE;
        let flood = |n: usize| places.take(stranger(100 + n / each), false).unwrap();
        let mut idle: Vec<_> = (1..limits::UNKNOWN_CONNECTIONS).map(|n| flood(n - 1)).collect();
        assert!(idle.iter().all(|found| found.evicted.is_none()));
        let newcomer = places.take(stranger(2), false).unwrap();
        assert_eq!(newcomer.evicted, Some(stranger(100)));
        let mut out = Vec::new();
        for (at, found) in idle.iter_mut().enumerate() {
            if is_evicted(found).await {
                out.push(at);
            }
        }
        assert!(out.len() == 1 && out[0] < 2 * each, "the oldest of an address that has the most: {out:?}");
        assert!(!is_evicted(&mut lone).await && !is_evicted(&mut phone).await);
        assert_eq!(places.lock().strangers.len(), limits::UNKNOWN_CONNECTIONS);
        let trunk = places.take(stranger(3), true).unwrap();
        assert!(trunk.evicted.is_none(), "strangers leave room for trunks");
        drop((idle, lone, phone, newcomer, trunk));
        let taken = places.lock();
        assert!(taken.held.is_empty() && taken.strangers.is_empty() && taken.strangers_by_site.is_empty());
    }

    #[tokio::test]
    async fn one_address_evicts_its_own_and_only_what_has_not_registered() {
        let places = ConnectionSlots::default();
        let own: Vec<_> =
            (0..limits::CONNECTIONS_PER_SOURCE).map(|_| places.take(stranger(1), false).unwrap()).collect();
        let other = places.take(stranger(1), false).unwrap();
        assert_eq!(other.evicted, Some(stranger(1)));
        own.iter().chain([&other]).for_each(|found| places.registered(found.place.number()));
        assert!(places.take(stranger(1), false).is_none(), "all of them are registered phones");
        assert!(places.take(stranger(2), false).is_some());
    }

    #[tokio::test]
    async fn a_slot_of_the_process_before_keeps_its_kind() {
        let places = ConnectionSlots::default();
        let phone = places.take(stranger(1), false).unwrap();
        let kinds = [stranger(1), stranger(2), stranger(3)].map(|source| {
            let place = places.take(source, source == stranger(3)).unwrap().place;
            (source == stranger(1)).then(|| places.registered(place.number()));
            (source, place.kind())
        });
        assert_eq!(kinds.map(|(_, kind)| kind), [SlotKind::Registered, SlotKind::Unknown, SlotKind::Known]);
        drop(phone);
        let successor = ConnectionSlots::default();
        let slots = kinds.map(|(source, kind)| successor.resume(source, kind));
        assert_eq!(slots.each_ref().map(ConnectionSlot::kind), kinds.map(|(_, kind)| kind));
        assert_eq!(slots.each_ref().map(|slot| slot.patience.is_some()), [false, true, false]);
        drop(slots);
        assert!(successor.lock().held.is_empty() && successor.lock().by_source.is_empty());
    }

    #[tokio::test]
    async fn who_does_not_register_in_time_is_let_go() {
        let places = ConnectionSlots::default();
        let mut idle = places.take(stranger(1), false).unwrap().place;
        assert_eq!(idle.patience, Some(Duration::from_secs(30)));
        idle.patience = Some(Duration::from_millis(1));
        assert_eq!(idle.lost().await, SlotLoss::Unregistered);
        let mut phone = places.take(stranger(2), false).unwrap();
        phone.place.patience = Some(Duration::ZERO);
        places.registered(phone.place.number());
        assert!(!is_evicted(&mut phone).await);
        let mut trunk = places.take(stranger(3), true).unwrap();
        assert_eq!(trunk.place.patience, None);
        assert!(!is_evicted(&mut trunk).await);
    }

    #[tokio::test]
    async fn a_handshake_beyond_the_limit_pushes_out_the_oldest_of_its_kind() {
        let handshakes = Handshakes::default();
        let mut held = Vec::new();
        let mut begin = |source: [u8; 4], known| {
            let handshake = handshakes.begin();
            let task = tokio::spawn(pending::<()>());
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
    async fn of_handshakes_and_connections_a_48_of_ipv6_loses_its_own_first() {
        let handshakes = Handshakes::default();
        let mut held = Vec::new();
        let mut begin = |source: IpAddr| {
            let handshake = handshakes.begin();
            let task = tokio::spawn(pending::<()>());
            let out = handshakes.enter(handshake.number(), source, false, task.abort_handle());
            held.push(handshake);
            (out, task)
        };
        let (_, good) = begin(stranger(1));
        let most = u16::try_from(limits::UNKNOWN_HANDSHAKES).unwrap();
        let mut flood: Vec<_> = (1..=most).map(|network| begin(in_site(1, network))).collect();
        assert_eq!(flood.iter().map(|(out, _)| out).sum::<u64>(), 1);
        tokio::task::yield_now().await;
        assert!(flood.remove(0).1.is_finished() && !good.is_finished());

        let places = ConnectionSlots::default();
        let mut good = places.take(stranger(1), false).unwrap();
        let most = u16::try_from(limits::UNKNOWN_CONNECTIONS).unwrap();
        let mut flood: Vec<_> = (1..=most).map(|network| places.take(in_site(1, network), false).unwrap()).collect();
        assert_eq!(flood.last().unwrap().evicted, Some(household(in_site(1, 1))));
        assert!(is_evicted(&mut flood[0]).await && !is_evicted(&mut good).await);
    }

    #[tokio::test]
    async fn all_handshakes_together_are_bounded() {
        let handshakes = Handshakes::default();
        let mut held = Vec::new();
        let mut out = 0;
        for n in 0..=limits::HANDSHAKES {
            let source = IpAddr::from((0x0a00_0000_u32 + u32::try_from(n).unwrap()).to_be_bytes());
            let handshake = handshakes.begin();
            let task = tokio::spawn(pending::<()>());
            out += handshakes.enter(handshake.number(), source, true, task.abort_handle());
            held.push(handshake);
        }
        assert_eq!(out, 1);
        assert_eq!(handshakes.0.lock().unwrap().way.len(), limits::HANDSHAKES);
    }
}
