//! Stream connections: which are open, to whom, and how a message finds or opens its own.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use trunkgate_route::Table;
use trunkgate_sip::{ConnectionId, Flow, ListenerId, Transport};

use super::connection::{Outgoing, Wire};
use super::{Arrival, SocketCounters, source_of};
use crate::limits;

/// An open connection, as the loop knows it.
#[derive(Debug)]
pub(crate) struct Connection {
    flow: Flow,
    queue: mpsc::Sender<Outgoing>,
}

/// What accepting and opening share.
#[derive(Debug, Clone)]
struct Workshop {
    next_id: Arc<AtomicU64>,
    places: Places,
    news: mpsc::Sender<Arrival>,
    message_bytes: usize,
    counters: Arc<SocketCounters>,
}

/// All stream connections.
#[derive(Debug)]
pub(super) struct Streams {
    connections: HashMap<ConnectionId, Connection>,
    by_remote: HashMap<(ListenerId, SocketAddr), ConnectionId>,
    sources: HashMap<ListenerId, Option<IpAddr>>,
    workshop: Workshop,
}

impl Streams {
    pub(super) fn new(news: mpsc::Sender<Arrival>, message_bytes: usize, counters: Arc<SocketCounters>) -> Streams {
        let workshop =
            Workshop { next_id: Arc::new(AtomicU64::new(1)), places: Places::default(), news, message_bytes, counters };
        Streams { connections: HashMap::new(), by_remote: HashMap::new(), sources: HashMap::new(), workshop }
    }

    /// Begins to accept on a bound socket.
    pub(super) fn listen(
        &mut self,
        id: ListenerId,
        socket: std::net::TcpListener,
        table: watch::Receiver<Arc<Table>>,
    ) -> io::Result<()> {
        self.sources.insert(id, source_of(socket.local_addr()?));
        let listener = TcpListener::from_std(socket)?;
        tokio::spawn(accept(listener, id, self.workshop.clone(), table));
        Ok(())
    }

    /// Sends on the flow's connection, else on one to the same address, else on a new one (RFC 3261 §18.1.1, §18.2.2).
    pub(super) fn send(&mut self, flow: Flow, bytes: Bytes) -> bool {
        let named = flow.connection.filter(|id| self.connections.contains_key(id));
        let open = named.or_else(|| self.by_remote.get(&(flow.listener, flow.remote)).copied());
        let Some(connection) = open.and_then(|id| self.connections.get(&id)) else {
            return self.open(flow, bytes);
        };
        match connection.queue.try_send(Outgoing::Bytes(bytes)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.workshop.counters.stream_queue_full.add(1);
                false
            }
            Err(TrySendError::Closed(Outgoing::Bytes(bytes))) => {
                let gone = connection.flow;
                self.remove(&gone);
                self.open(flow, bytes)
            }
            Err(TrySendError::Closed(Outgoing::Close)) => false,
        }
    }

    fn open(&mut self, flow: Flow, bytes: Bytes) -> bool {
        let Some(place) = self.workshop.places.take(flow.remote.ip()) else {
            self.workshop.counters.connections_refused.add(1);
            return false;
        };
        let (connection, wire, outgoing) = self.workshop.make(flow.listener, flow.remote);
        let queued = connection.queue.try_send(Outgoing::Bytes(bytes)).is_ok();
        let source = self.sources.get(&flow.listener).copied().flatten();
        self.insert(connection);
        tokio::spawn(async move {
            match connect(source, flow.remote).await {
                Ok(stream) => wire.serve(stream, outgoing).await,
                Err(error) => wire.refused(error).await,
            }
            drop(place);
        });
        queued
    }

    pub(super) fn insert(&mut self, connection: Connection) {
        let flow = connection.flow;
        if let Some(id) = flow.connection {
            self.by_remote.insert((flow.listener, flow.remote), id);
            self.connections.insert(id, connection);
        }
    }

    pub(super) fn remove(&mut self, flow: &Flow) {
        let Some(id) = flow.connection else { return };
        self.connections.remove(&id);
        if self.by_remote.get(&(flow.listener, flow.remote)) == Some(&id) {
            self.by_remote.remove(&(flow.listener, flow.remote));
        }
    }

    pub(super) fn close(&mut self, flow: &Flow) {
        if let Some(connection) = flow.connection.and_then(|id| self.connections.get(&id))
            && connection.queue.try_send(Outgoing::Close).is_err()
        {
            // Its queue is full or it is ending already: without its entry nothing more is sent to it.
            self.remove(flow);
        }
    }

    pub(super) fn close_all(&mut self) {
        let flows: Vec<Flow> = self.connections.values().map(|connection| connection.flow).collect();
        for flow in flows {
            self.close(&flow);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }
}

impl Workshop {
    fn make(&self, listener: ListenerId, remote: SocketAddr) -> (Connection, Wire, mpsc::Receiver<Outgoing>) {
        let id = ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let flow = Flow { transport: Transport::Tcp, listener, remote, connection: Some(id) };
        let (queue, outgoing) = mpsc::channel(limits::CONNECTION_QUEUE_MESSAGES);
        let wire = Wire {
            flow,
            message_bytes: self.message_bytes,
            queue: queue.clone(),
            news: self.news.clone(),
            counters: Arc::clone(&self.counters),
        };
        (Connection { flow, queue }, wire, outgoing)
    }
}

/// Takes connections of known sources only: others are closed without a byte.
async fn accept(listener: TcpListener, id: ListenerId, workshop: Workshop, table: watch::Receiver<Arc<Table>>) {
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("tcp accept: {error}");
                // Out of descriptors: others must be closed first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if table.borrow().trunk_of(remote).is_none() {
            workshop.counters.unknown_source.add(1);
            continue;
        }
        let Some(place) = workshop.places.take(remote.ip()) else {
            workshop.counters.connections_refused.add(1);
            continue;
        };
        let (connection, wire, outgoing) = workshop.make(id, remote);
        if workshop.news.send(Arrival::Accepted(connection)).await.is_err() {
            return;
        }
        tokio::spawn(async move {
            wire.serve(stream, outgoing).await;
            drop(place);
        });
    }
}

async fn connect(source: Option<IpAddr>, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source.filter(|source| source.is_ipv4() == remote.is_ipv4()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    timeout(Duration::from_secs(limits::CONNECT_SECONDS), socket.connect(remote))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Counts connections by address, so that one far end cannot take all.
#[derive(Debug, Clone, Default)]
struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
struct Place {
    places: Places,
    source: IpAddr,
}

impl Places {
    fn take(&self, source: IpAddr) -> Option<Place> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn streams() -> (Streams, mpsc::Receiver<Arrival>) {
        let (news, arrivals) = mpsc::channel(64);
        (Streams::new(news, 65_535, Arc::default()), arrivals)
    }

    fn flow(remote: SocketAddr) -> Flow {
        Flow { transport: Transport::Tcp, listener: ListenerId(0), remote, connection: None }
    }

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
    async fn a_refused_connection_is_told_as_failed() {
        let (mut streams, mut arrivals) = streams();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(streams.send(flow(closed), Bytes::from_static(b"x")));
        let news = timeout(Duration::from_secs(20), arrivals.recv()).await.unwrap();
        let Some(Arrival::Closed(flow)) = news else { panic!("{news:?}") };
        assert_eq!(flow.remote, closed);
        streams.remove(&flow);
        assert!(streams.is_empty() && streams.by_remote.is_empty());
    }

    #[tokio::test]
    async fn a_second_message_uses_the_same_connection_and_its_queue_is_bounded() {
        let (mut streams, _arrivals) = streams();
        let peer = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = flow(peer.local_addr().unwrap());
        for _ in 0..limits::CONNECTION_QUEUE_MESSAGES {
            assert!(streams.send(to, Bytes::from_static(b"x")));
        }
        // The task has not run yet, so nothing has left the queue.
        assert!(!streams.send(to, Bytes::from_static(b"x")));
        assert_eq!(streams.workshop.counters.stream_queue_full.get(), 1);
        assert_eq!(streams.connections.len(), 1);
    }
}
