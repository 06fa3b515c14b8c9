//! Slots of HTTP connections. Their number is limited, and a new connection gets one as long as others are incomplete.
//!
//! A connection is *incomplete* while none of its requests is being served: during its TLS handshake, while a request
//! head or body arrives, and while it is idle. If no slot is free, an incomplete connection is evicted: the oldest one
//! of the address with the most connections. A connection is *serving* from the admission of a request until the
//! response body is written; it is never evicted.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{Notify, oneshot};
use trunkgate_route::household;

use super::answers::ResponseBudget;
use trunkgate_runtime::handle::HttpCounters;
use trunkgate_runtime::transport::SourceCounts;
use trunkgate_system::limits;
use trunkgate_system::log::LogThrottle;

/// All slots of HTTP connections; clones share them.
#[derive(Debug, Clone)]
pub(super) struct HttpSlots(Arc<SharedHttpSlots>);

#[derive(Debug)]
struct SharedHttpSlots {
    taken: Mutex<HttpSlotTable>,
    /// Notifies that a slot is free, or that its connection has become incomplete.
    freed: Notify,
    counters: Arc<HttpCounters>,
    /// Budget for responses that clients have not read yet.
    unread: ResponseBudget,
}

#[derive(Debug, Default)]
struct HttpSlotTable {
    /// Logical time, advanced by each change of an entry.
    clock: u64,
    entries: HashMap<u64, HttpSlotEntry>,
    by_source: SourceCounts,
    complaint: LogThrottle,
}

/// Entry for the connection in a slot.
#[derive(Debug)]
struct HttpSlotEntry {
    pub source: IpAddr,
    is_loopback: bool,
    /// Whether the slot is one of the additional ones beyond [`limits::HTTP_CONNECTIONS`].
    is_reserved: bool,
    /// Number of requests being served on the connection.
    serving: usize,
    /// Logical time since which the connection has been incomplete.
    since: u64,
    /// Sender that ends the connection when it is dropped.
    _evict: oneshot::Sender<()>,
}

/// Slot of an HTTP connection, released on drop.
#[derive(Debug)]
pub(crate) struct HttpSlot {
    occupant: HttpSlotOccupant,
    evicted: Option<oneshot::Receiver<()>>,
}

/// Handle of a slot, attached to all requests on its connection.
#[derive(Debug, Clone)]
pub(super) struct HttpSlotOccupant {
    shared: Arc<SharedHttpSlots>,
    number: u64,
    /// Remote address of the HTTP connection.
    address: IpAddr,
    is_loopback: bool,
    /// Whether the connection uses TLS.
    is_tls: bool,
    /// Whether the connection relays bytes to another host, see [`HttpSlotOccupant::tunnel`].
    is_tunnel: Arc<AtomicBool>,
}

/// Request that is being served. It protects its connection from eviction until it is dropped.
#[derive(Debug)]
pub(super) struct ActiveRequest(HttpSlotOccupant);

impl HttpSlots {
    pub(super) fn new(counters: Arc<HttpCounters>) -> HttpSlots {
        HttpSlots(Arc::new(SharedHttpSlots {
            taken: Mutex::default(),
            freed: Notify::new(),
            counters,
            unread: ResponseBudget::default(),
        }))
    }

    /// Waits until a slot is free, or the connection in a slot may be evicted.
    pub(super) async fn room(&self) {
        while !self.0.lock().has_room() {
            self.0.freed.notified().await;
        }
    }

    /// Takes a slot for a connection from `remote`, evicting an incomplete connection if necessary; `None` if there is
    /// no room.
    pub(super) fn take(&self, remote: SocketAddr) -> Option<HttpSlot> {
        let ip = remote.ip().to_canonical();
        let (source, is_loopback) = (household(ip), ip.is_loopback());
        let mut taken = self.0.lock();
        let is_source_full = !is_loopback && taken.by_source.count(source) >= limits::HTTP_CONNECTIONS_OF_ONE;
        let is_crowded = taken.entries.len() >= limits::HTTP_CONNECTIONS;
        let is_full = taken.entries.len() >= limits::HTTP_CONNECTIONS + limits::HTTP_CONNECTIONS_RESERVED;
        let victim = if is_source_full {
            taken.oldest(|entry| entry.source == source)
        } else if is_crowded {
            let other = taken.oldest(|entry| !entry.is_reserved);
            other.or_else(|| taken.oldest(|_| true).filter(|_| is_full))
        } else {
            None
        };
        let of_victim = victim.and_then(|number| taken.entries.get(&number));
        let is_reserved = is_crowded && of_victim.is_none_or(|entry| entry.is_reserved);
        if victim.is_none() && (is_source_full || is_full) {
            self.0.counters.refused.add(1);
            return None;
        }
        if let Some(number) = victim {
            taken.remove(number);
            self.0.counters.evicted.add(1);
            if let Some(more) = taken.complaint.due(Instant::now()) {
                tracing::warn!("http: all connections are in use: an incomplete one was closed for {ip}{more}");
            }
        }
        taken.by_source.take(source, usize::MAX);
        let (evict, evicted) = oneshot::channel();
        let number = taken.tick();
        let entry = HttpSlotEntry { source, is_loopback, is_reserved, serving: 0, since: number, _evict: evict };
        taken.entries.insert(number, entry);
        drop(taken);
        let (shared, is_tunnel) = (Arc::clone(&self.0), Arc::default());
        let occupant = HttpSlotOccupant { shared, number, address: ip, is_loopback, is_tls: false, is_tunnel };
        Some(HttpSlot { occupant, evicted: Some(evicted) })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().entries.len()
    }
}

impl SharedHttpSlots {
    fn lock(&self) -> MutexGuard<'_, HttpSlotTable> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpSlotTable {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn has_room(&self) -> bool {
        let most = limits::HTTP_CONNECTIONS + limits::HTTP_CONNECTIONS_RESERVED;
        self.entries.len() < most || self.entries.values().any(|entry| entry.serving == 0)
    }

    /// Returns the connection to evict: the oldest incomplete one of the address with the most connections; loopback
    /// connections come last.
    fn oldest(&self, is_candidate: impl Fn(&HttpSlotEntry) -> bool) -> Option<u64> {
        let candidates = self.entries.iter().filter(|(_, entry)| entry.serving == 0 && is_candidate(entry));
        let rank =
            |entry: &HttpSlotEntry| (!entry.is_loopback, self.by_source.count(entry.source), Reverse(entry.since));
        candidates.max_by_key(|(_, entry)| rank(entry)).map(|(number, _)| *number)
    }

    fn remove(&mut self, number: u64) {
        if let Some(entry) = self.entries.remove(&number) {
            self.by_source.give_back(entry.source);
        }
    }
}

impl HttpSlot {
    /// Returns whether the connection was evicted; if not, registers the task to be woken by the eviction.
    pub(super) fn poll_evicted(&mut self, cx: &mut Context<'_>) -> bool {
        let is_over = self.evicted.as_mut().is_none_or(|evicted| Pin::new(evicted).poll(cx).is_ready());
        if is_over {
            self.evicted = None;
        }
        is_over
    }

    /// Waits until the connection is evicted.
    pub(super) async fn evicted(&mut self) {
        std::future::poll_fn(|cx| if self.poll_evicted(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Returns whether the connection relays bytes to another host.
    pub(super) fn is_tunnel(&self) -> bool {
        self.occupant.is_tunnel.load(Ordering::Relaxed)
    }

    /// Marks the connection as using TLS.
    pub(super) fn note_tls(&mut self) {
        self.occupant.is_tls = true;
    }

    /// Returns a handle of the slot, for the requests on its connection.
    pub(super) fn occupant(&self) -> HttpSlotOccupant {
        self.occupant.clone()
    }
}

impl Drop for HttpSlot {
    fn drop(&mut self) {
        let HttpSlotOccupant { shared, number, .. } = &self.occupant;
        shared.lock().remove(*number);
        shared.freed.notify_one();
    }
}

impl HttpSlotOccupant {
    /// Returns the remote address of the connection.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns whether the connection comes from this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Returns whether the connection uses TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Marks the connection as relaying bytes to another host. Request timeouts no longer apply, and it is not evicted
    /// until the returned value is dropped.
    pub(super) fn tunnel(&self) -> ActiveRequest {
        self.is_tunnel.store(true, Ordering::Relaxed);
        self.serve()
    }

    /// Returns whether a connection from another machine has a slot that is reserved for loopback and probes.
    pub(super) fn is_for_probes(&self) -> bool {
        self.shared.lock().entries.get(&self.number).is_some_and(|entry| entry.is_reserved && !entry.is_loopback)
    }

    /// Marks a request as being served until the returned value is dropped.
    pub(super) fn serve(&self) -> ActiveRequest {
        if let Some(entry) = self.shared.lock().entries.get_mut(&self.number) {
            entry.serving += 1;
        }
        ActiveRequest(self.clone())
    }
}

impl ActiveRequest {
    /// Keeps the request marked as being served until the body of its response is written.
    pub(super) fn with(self, response: Response) -> Response {
        let response = self.0.shared.unread.bound(response);
        response.map(|body| Body::new(ActiveBody { body, _serving: self }))
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let HttpSlotOccupant { shared, number, .. } = &self.0;
        let mut taken = shared.lock();
        let since = taken.tick();
        if let Some(entry) = taken.entries.get_mut(number) {
            entry.serving = entry.serving.saturating_sub(1);
            entry.since = since;
        }
        drop(taken);
        shared.freed.notify_one();
    }
}

/// Body of a response that keeps its request marked as being served.
struct ActiveBody {
    body: Body,
    _serving: ActiveRequest,
}

impl HttpBody for ActiveBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> HttpSlots {
        HttpSlots::new(Arc::default())
    }

    fn take(places: &HttpSlots, address: &str) -> Option<HttpSlot> {
        places.take(SocketAddr::new(address.parse().unwrap(), 40_000))
    }

    /// Takes slots for incomplete connections: `each` from each of several addresses.
    fn half(places: &HttpSlots, each: usize, addresses: usize) -> Vec<HttpSlot> {
        let address = |n: usize| format!("198.51.100.{}", 1 + n % addresses);
        (0..each * addresses).map(|n| take(places, &address(n)).unwrap()).collect()
    }

    fn is_evicted(place: &mut HttpSlot) -> bool {
        place.poll_evicted(&mut Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn half_sent_requests_of_many_addresses_keep_no_probe_out() {
        let places = places();
        let mut flood = half(&places, limits::HTTP_CONNECTIONS_OF_ONE, 6);
        assert_eq!(places.len(), limits::HTTP_CONNECTIONS);
        let mut probe = take(&places, "192.0.2.1").unwrap();
        let mut local = take(&places, "127.0.0.1").unwrap();
        flood.extend(half(&places, 4 * limits::HTTP_CONNECTIONS, 6));
        assert!(!is_evicted(&mut probe) && !is_evicted(&mut local), "those who have many lose theirs first");
        assert_eq!(places.len(), limits::HTTP_CONNECTIONS);
        assert!(is_evicted(&mut flood[0]) && !is_evicted(flood.last_mut().unwrap()), "the oldest first");
        assert!(places.0.counters.evicted.get() > 0);
        drop((flood, probe, local));
        assert!(places.0.lock().by_source.is_empty() && places.len() == 0, "nothing is kept of who has gone");
    }

    #[test]
    fn one_address_has_its_share_and_loopback_all() {
        let places = places();
        let mut own: Vec<HttpSlot> =
            (0..limits::HTTP_CONNECTIONS_OF_ONE).map(|_| take(&places, "192.0.2.1").unwrap()).collect();
        let mut other = take(&places, "192.0.2.2").unwrap();
        own.push(take(&places, "::ffff:192.0.2.1").unwrap());
        assert!(is_evicted(&mut own[0]) && !is_evicted(&mut own[1]) && !is_evicted(&mut other));
        let serving: Vec<ActiveRequest> = own.iter().map(|place| place.occupant().serve()).collect();
        assert!(take(&places, "192.0.2.1").is_none(), "none of its own can be evicted");
        assert_eq!(places.0.counters.refused.get(), 1);
        drop(serving);
        own.extend((0..limits::HTTP_CONNECTIONS_OF_ONE).map(|n| take(&places, &format!("2001:db8::{n:x}")).unwrap()));
        let before = places.len();
        own.push(take(&places, "2001:db8::ffff").unwrap());
        assert_eq!(places.len(), before, "a network of IPv6 is one address");
        own.extend((0..limits::HTTP_CONNECTIONS).map(|n| take(&places, ["127.0.0.1", "::1"][n % 2]).unwrap()));
        assert_eq!(places.len(), limits::HTTP_CONNECTIONS);
    }

    #[tokio::test]
    async fn what_is_served_is_never_evicted_and_a_reserve_is_left_for_probes() {
        let places = places();
        let held: Vec<HttpSlot> = (0..limits::HTTP_CONNECTIONS)
            .map(|n| take(&places, &format!("10.0.{}.{}", n / 200, 1 + n % 200)).unwrap())
            .collect();
        let mut serving: Vec<ActiveRequest> = held.iter().map(|place| place.occupant().serve()).collect();
        let mut probe = take(&places, "192.0.2.1").unwrap();
        assert!(probe.occupant().is_for_probes());
        let local: Vec<HttpSlot> =
            (1..limits::HTTP_CONNECTIONS_RESERVED).map(|_| take(&places, "127.0.0.1").unwrap()).collect();
        assert!(local.iter().all(|place| !place.occupant().is_for_probes()));
        assert_eq!(places.len(), limits::HTTP_CONNECTIONS + limits::HTTP_CONNECTIONS_RESERVED);
        let probes = take(&places, "192.0.2.2").unwrap();
        assert!(is_evicted(&mut probe), "another probe's place is as good as any");
        serving.extend(local.iter().chain([&probes]).map(|place| place.occupant().serve()));
        assert!(take(&places, "127.0.0.1").is_none());
        let room = places.clone();
        let waiting = tokio::spawn(async move { room.room().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        serving.pop();
        waiting.await.unwrap();
    }
}
