//! Stream connections (TCP and TLS): open connections, their destinations, and the selection or opening of a connection
//! for a message.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use trunkgate_call::TlsIdentity;
use trunkgate_sip::{ConnectionId, Flow, ListenerId, SipMessage, Transport};

use super::accept::ListenerAcceptor;
use super::connection::{ConnectionCommand, ConnectionStream, ConnectionTask, ConnectionTimeouts};
use super::crossing::{FrozenConnection, HandedConnection, HandedOwner, StreamBuffers, until_frozen};
use super::places::{ConnectionSlot, ConnectionSlots, Handshakes, SlotGrant};
use super::tls::{ConnectionOwner, TlsHandshaker};
use super::{SocketCounters, TransportEvent, source_of};
use trunkgate_system::connector::Connector;
use trunkgate_system::limits;
use trunkgate_system::log::LogThrottle;
use trunkgate_system::tls_stream::TlsStream;

/// Open connection as known to the signalling loop.
#[derive(Debug)]
pub struct OpenConnection {
    flow: Flow,
    queue: mpsc::Sender<ConnectionCommand>,
    /// Destination to which messages use the connection, in addition to those on its own flow.
    way: Option<ConnectionTarget>,
    /// Trunk that the remote certificate identifies and the number of its TLS terms, for an accepted connection.
    whose: Option<(Arc<str>, u64)>,
    /// Trunk of a TLS connection; `None` if unknown.
    identity: Option<TlsIdentity>,
    /// Number of the connection's slot, for an accepted connection.
    place: Option<u64>,
}

/// Destination to which messages may use a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct ConnectionTarget {
    transport: Transport,
    listener: ListenerId,
    remote: SocketAddr,
    /// Trunk or host authenticated by TLS, for which alone the connection is used; `None` without TLS.
    whom: Option<ConnectionOwner>,
    /// Number of the TLS terms, see `tls::Settings::terms`.
    terms: u64,
}

/// State shared by the tasks that accept connections and by the loop, which opens them.
#[derive(Debug, Clone)]
pub(super) struct StreamSetup {
    next_id: Arc<AtomicU64>,
    pub(super) places: ConnectionSlots,
    pub(super) handshakes: Handshakes,
    pub(super) news: mpsc::Sender<TransportEvent>,
    message_bytes: usize,
    pub(super) counters: Arc<SocketCounters>,
    pub(super) tls: TlsHandshaker,
    /// True once connections are given back for another process.
    pub(super) freeze: watch::Receiver<bool>,
    /// Rate limit for log entries about failed handshakes.
    pub(super) disagreements: Arc<Mutex<LogThrottle>>,
    /// Rate limit for log entries about connections rejected for lack of a slot.
    crowds: Arc<Mutex<LogThrottle>>,
}

/// All stream connections.
#[derive(Debug)]
pub(super) struct StreamConnections {
    connections: FxHashMap<ConnectionId, OpenConnection>,
    by_way: HashMap<ConnectionTarget, ConnectionId>,
    sources: HashMap<ListenerId, Option<IpAddr>>,
    workshop: StreamSetup,
    /// Set to true to have the tasks give their connections back for another process.
    freeze: watch::Sender<bool>,
}

impl StreamConnections {
    pub(super) fn new(
        news: mpsc::Sender<TransportEvent>,
        message_bytes: usize,
        counters: Arc<SocketCounters>,
        tls: TlsHandshaker,
    ) -> StreamConnections {
        let freeze = watch::Sender::new(false);
        let workshop = StreamSetup {
            next_id: Arc::new(AtomicU64::new(1)),
            places: ConnectionSlots::default(),
            handshakes: Handshakes::default(),
            news,
            message_bytes,
            counters,
            tls,
            freeze: freeze.subscribe(),
            disagreements: Arc::default(),
            crowds: Arc::default(),
        };
        StreamConnections {
            connections: FxHashMap::default(),
            by_way: HashMap::new(),
            sources: HashMap::new(),
            workshop,
            freeze,
        }
    }

    /// Sets the number of the next connection, above those of the predecessor process. Call it before [`Self::listen`].
    pub(super) fn continue_numbers(&self, next: u64) {
        self.workshop.next_id.store(next, Ordering::Relaxed);
    }

    /// Continues the connections of the predecessor process, on their sockets and under their numbers.
    pub(super) fn resume(&mut self, open: Vec<FrozenConnection>) {
        for FrozenConnection { mut state, socket } in open {
            let HandedConnection { flow, is_accepted, slot, .. } = state;
            let Some(id) = flow.connection else { continue };
            let HandedOwner { way, whose, identity } = std::mem::take(&mut state.owner);
            let tls = state.tls.take();
            let its_own = way.clone().filter(|_| !is_accepted).unwrap_or_else(|| ConnectionTarget::plain(&flow));
            let (mut connection, mut wire, outgoing) = self.workshop.numbered(id, its_own.clone());
            let place = self.workshop.places.resume(flow.remote.ip(), slot);
            (connection.way, connection.whose, connection.identity) = (way, whose, identity);
            connection.place = is_accepted.then(|| place.number());
            (wire.is_accepted, wire.patience) = (is_accepted, ConnectionTimeouts::with(is_accepted));
            wire.buffers = StreamBuffers::resumed(self.workshop.message_bytes, state);
            self.insert(connection);
            let Some(socket) = socket else {
                if is_accepted {
                    drop(tokio::spawn(wire.lost(io::ErrorKind::NotConnected.into(), true)));
                } else {
                    self.connect(its_own, wire, outgoing, place);
                }
                continue;
            };
            self.runs_on(flow.transport).spawn(async move {
                match (TcpStream::from_std(socket.into()), tls) {
                    (Ok(stream), None) => wire.serve(ConnectionStream::plain(stream), outgoing, place).await,
                    (Ok(stream), Some(snapshot)) => match TlsStream::resume(snapshot, stream) {
                        Ok(stream) => wire.serve(ConnectionStream::encrypted(stream), outgoing, place).await,
                        Err(error) => wire.lost(error, true).await,
                    },
                    (Err(error), _) => wire.lost(error, true).await,
                }
            });
        }
    }

    /// Removes a connection that its task has given back, and adds the state that only the loop has to it.
    pub(super) fn release(&mut self, frozen: &mut FrozenConnection) {
        let flow = frozen.state.flow;
        if let Some(connection) = flow.connection.and_then(|id| self.connections.get_mut(&id)) {
            let OpenConnection { way, whose, identity, .. } = connection;
            frozen.state.owner = HandedOwner { way: way.clone(), whose: whose.take(), identity: identity.take() };
        }
        self.remove(&flow);
    }

    /// Starts to accept connections on a bound socket.
    pub(super) fn listen(
        &mut self,
        id: ListenerId,
        name: String,
        transport: Transport,
        socket: std::net::TcpListener,
    ) -> io::Result<()> {
        self.sources.insert(id, source_of(socket.local_addr()?));
        let runs_on = self.runs_on(transport);
        let entered = runs_on.enter();
        let listener = TcpListener::from_std(socket)?;
        drop(entered);
        runs_on.spawn(ListenerAcceptor::new(id, name, transport, self.workshop.clone()).accept(listener));
        Ok(())
    }

    fn runs_on(&self, transport: Transport) -> Handle {
        if transport == Transport::Tls { self.workshop.tls.spoken_on.clone() } else { Handle::current() }
    }

    /// Sends a message on the flow's connection, else on one opened for the same destination, else on a new one (RFC
    /// 3261 §18.1.1, §18.2.2). `trunk` is the trunk of the message, empty if there is none. Returns false if the
    /// message cannot be sent.
    pub(super) fn send(&mut self, flow: Flow, trunk: &Arc<str>, bytes: Bytes) -> bool {
        let named = flow.connection.filter(|id| self.connections.contains_key(id));
        let mut way = ConnectionTarget::of(flow, trunk, &bytes);
        if let Some(whom) = &way.whom {
            way.terms = self.workshop.tls.settings.borrow().terms(&whom.trunk());
        }
        let open = named.or_else(|| self.by_way.get(&way).copied());
        let Some(connection) = open.and_then(|id| self.connections.get(&id)) else { return self.open(way, bytes) };
        match connection.queue.try_send(ConnectionCommand::Bytes(bytes)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.workshop.counters.stream_queue_full.add(1);
                false
            }
            Err(TrySendError::Closed(ConnectionCommand::Bytes(bytes))) => {
                let gone = connection.flow;
                self.remove(&gone);
                self.open(way, bytes)
            }
            Err(TrySendError::Closed(ConnectionCommand::Close)) => false,
        }
    }

    fn open(&mut self, way: ConnectionTarget, bytes: Bytes) -> bool {
        let Some(place) = self.workshop.place(way.transport, way.remote, true) else { return false };
        let (connection, wire, outgoing) = self.workshop.make(way.clone());
        let queued = connection.queue.try_send(ConnectionCommand::Bytes(bytes)).is_ok();
        self.insert(connection);
        self.connect(way, wire, outgoing, place);
        queued
    }

    /// Opens a connection in a task that then serves it.
    fn connect(
        &self,
        way: ConnectionTarget,
        wire: ConnectionTask,
        outgoing: mpsc::Receiver<ConnectionCommand>,
        place: ConnectionSlot,
    ) {
        let source = self.sources.get(&way.listener).copied().flatten();
        let tls = self.workshop.tls.clone();
        self.runs_on(way.transport).spawn(async move {
            let connected = tokio::select! {
                connected = connect(source, way.remote) => connected,
                () = until_frozen(wire.freeze.clone()) => return wire.unopened(outgoing, place).await,
            };
            let (stream, whom) = match (connected, way.whom) {
                (Ok(stream), None) => return wire.serve(ConnectionStream::plain(stream), outgoing, place).await,
                (Ok(stream), Some(whom)) => (stream, whom),
                (Err(error), _) => return wire.lost(error, false).await,
            };
            let encrypted = tokio::select! {
                encrypted = tls.connect(stream, &whom, way.remote) => encrypted,
                () = until_frozen(wire.freeze.clone()) => return wire.unopened(outgoing, place).await,
            };
            match encrypted {
                Ok(stream) => {
                    if let ConnectionOwner::Trunk(trunk) = whom {
                        wire.identified(TlsIdentity { trunk, certificate_name: None }).await;
                    }
                    wire.serve(ConnectionStream::encrypted(stream), outgoing, place).await;
                }
                Err(failed) => wire.refused(failed).await,
            }
        });
    }

    /// Records that a phone has registered on a connection, which therefore keeps its slot.
    pub(super) fn registered(&self, connection: ConnectionId) {
        if let Some(place) = self.connections.get(&connection).and_then(|connection| connection.place) {
            self.workshop.places.registered(place);
        }
    }

    /// Returns the number of connections by which a trunk's address exceeds its limit, and the address's accepted
    /// connections that may be evicted: oldest first, without the newest ones.
    pub(super) fn crowd(&self, source: IpAddr) -> (usize, Vec<Flow>) {
        let own = self.connections.values().filter(|connection| connection.flow.remote.ip() == source);
        let mut own: Vec<(u64, Flow)> = own.filter_map(|one| Some((one.place?, one.flow))).collect();
        own.sort_by_key(|(place, _)| *place);
        own.truncate(own.len().saturating_sub(limits::SPARE_CONNECTIONS_PER_SOURCE));
        (self.workshop.places.surplus(source), own.into_iter().map(|(_, flow)| flow).collect())
    }

    /// Evicts a connection of a trunk's address; returns whether it still existed.
    pub(super) fn evict(&self, flow: &Flow) -> bool {
        let place = flow.connection.and_then(|id| self.connections.get(&id)?.place);
        let is_evicted = place.is_some_and(|place| self.workshop.places.evict_known(place));
        if is_evicted {
            let what = format!(
                "closed: more than {} connections from this address, and it was the oldest one without a call or a registration",
                limits::CONNECTIONS_PER_SOURCE
            );
            self.workshop.crowded(flow.transport, flow.remote, &what);
        }
        is_evicted
    }

    pub(super) fn insert(&mut self, connection: OpenConnection) {
        if let Some(id) = connection.flow.connection {
            if let Some(way) = &connection.way {
                self.by_way.insert(way.clone(), id);
            }
            self.connections.insert(id, connection);
        }
    }

    /// Sets the trunk of a TLS connection; an accepted one is identified by its client certificate.
    pub(super) fn identified(&mut self, connection: ConnectionId, identity: &TlsIdentity) {
        let Some(connection) = self.connections.get_mut(&connection) else { return };
        connection.identity = Some(identity.clone());
        if identity.certificate_name.is_some() {
            let terms = self.workshop.tls.settings.borrow().terms(&identity.trunk);
            connection.whose = Some((Arc::clone(&identity.trunk), terms));
        }
    }

    /// Makes an accepted connection carry our requests to `port` of the remote party (RFC 5923 §5), if its certificate
    /// identifies a trunk under the current TLS terms and we have no connection of our own there. The newest connection
    /// is used, since the remote party of an older one may have restarted.
    pub(super) fn reuse(&mut self, flow: &Flow, port: u16) {
        let Some(id) = flow.connection.filter(|_| flow.transport == Transport::Tls) else { return };
        let Some(connection) = self.connections.get(&id).filter(|connection| connection.way.is_none()) else { return };
        let Some((trunk, terms)) = connection.whose.clone() else { return };
        if self.workshop.tls.settings.borrow().terms(&trunk) != terms {
            return;
        }
        let remote = SocketAddr::new(flow.remote.ip(), port);
        let way = ConnectionTarget {
            remote,
            whom: Some(ConnectionOwner::Trunk(trunk)),
            terms,
            ..ConnectionTarget::plain(flow)
        };
        if let Some(former) = self.by_way.get(&way).and_then(|former| self.connections.get_mut(former)) {
            if former.whose.is_none() {
                return;
            }
            former.way = None;
        }
        self.by_way.insert(way.clone(), id);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.way = Some(way);
        }
    }

    /// Removes a connection; returns the address and trunk to which requests used it, too (RFC 5923), if any.
    pub(super) fn remove(&mut self, flow: &Flow) -> Option<(SocketAddr, Arc<str>)> {
        let id = flow.connection?;
        let OpenConnection { way, whose, .. } = self.connections.remove(&id)?;
        let way = way?;
        if self.by_way.get(&way) == Some(&id) {
            self.by_way.remove(&way);
        }
        whose.map(|(trunk, _)| (way.remote, trunk))
    }

    pub(super) fn close(&mut self, flow: &Flow) {
        if let Some(connection) = flow.connection.and_then(|id| self.connections.get(&id))
            && connection.queue.try_send(ConnectionCommand::Close).is_err()
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

    /// Requests all tasks to give their connections back for another process.
    pub(super) fn freeze(&self) {
        self.freeze.send_replace(true);
    }

    /// Returns the number of the next connection.
    pub(super) fn next_number(&self) -> u64 {
        self.workshop.next_id.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }
}

impl ConnectionTarget {
    fn of(flow: Flow, trunk: &Arc<str>, bytes: &Bytes) -> ConnectionTarget {
        let whom = (flow.transport == Transport::Tls).then(|| match &**trunk {
            "" => ConnectionOwner::Host(asked_host(bytes).unwrap_or_else(|| flow.remote.ip().to_string()).into()),
            _ => ConnectionOwner::Trunk(Arc::clone(trunk)),
        });
        ConnectionTarget { whom, ..ConnectionTarget::plain(&flow) }
    }

    fn plain(flow: &Flow) -> ConnectionTarget {
        let Flow { transport, listener, remote, .. } = *flow;
        ConnectionTarget { transport, listener, remote, whom: None, terms: 0 }
    }
}

/// Returns the host of the Request-URI: the name that the certificate must have for a request to no trunk (RFC 5922
/// §7.3).
fn asked_host(bytes: &Bytes) -> Option<String> {
    let message = SipMessage::parse(bytes.clone()).ok()?;
    message.uri().map(|uri| uri.host.host.to_owned())
}

impl StreamSetup {
    /// Takes a slot for a connection in either direction; `None` if there is none, which is counted and logged.
    pub(super) fn place(&self, transport: Transport, remote: SocketAddr, known: bool) -> Option<ConnectionSlot> {
        let Some(SlotGrant { place, evicted, is_spare }) = self.places.take(remote.ip(), known) else {
            self.counters.connections_refused.add(1);
            let what = format!(
                "refused: all connection slots are in use ({} for one address, {} for unknown sources, {} in total)",
                limits::CONNECTIONS_PER_SOURCE,
                limits::UNKNOWN_CONNECTIONS,
                limits::CONNECTIONS
            );
            self.crowded(transport, remote, &what);
            return None;
        };
        if let Some(evicted) = evicted {
            let what = format!("accepted; a connection from {evicted} without a registered phone was closed for it");
            self.crowded(transport, remote, &what);
        }
        if is_spare {
            // If the loop is overloaded, the next such connection repeats the report.
            let _ = self.news.try_send(TransportEvent::Crowded { source: remote.ip() });
        }
        Some(place)
    }

    /// Logs, at a limited rate, the consequence for a connection if there are too many.
    pub(super) fn crowded(&self, transport: Transport, remote: SocketAddr, what: &str) {
        let mut seldom = self.crowds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = seldom.due(Instant::now()) {
            let transport = transport.via_token();
            tracing::warn!("{transport} connection with {remote} {what}{more}");
        }
    }

    /// Creates an accepted connection: its entry for the signalling loop, its task, and the task's command queue.
    /// Messages to the remote address use it too, unless it is a TLS connection, which only carries messages on its own
    /// flow.
    pub(super) fn accepted(
        &self,
        transport: Transport,
        listener: ListenerId,
        remote: SocketAddr,
        place: u64,
    ) -> (OpenConnection, ConnectionTask, mpsc::Receiver<ConnectionCommand>) {
        let way = ConnectionTarget { transport, listener, remote, whom: None, terms: 0 };
        let (mut connection, mut wire, outgoing) = self.make(way);
        connection.place = Some(place);
        (wire.is_accepted, wire.buffers.awaits_first) = (true, true);
        wire.patience = ConnectionTimeouts::with(true);
        if transport == Transport::Tls {
            connection.way = None;
        }
        (connection, wire, outgoing)
    }

    fn make(&self, way: ConnectionTarget) -> (OpenConnection, ConnectionTask, mpsc::Receiver<ConnectionCommand>) {
        self.numbered(ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed)), way)
    }

    fn numbered(
        &self,
        id: ConnectionId,
        way: ConnectionTarget,
    ) -> (OpenConnection, ConnectionTask, mpsc::Receiver<ConnectionCommand>) {
        let ConnectionTarget { transport, listener, remote, .. } = way;
        let flow = Flow { transport, listener, remote, connection: Some(id) };
        let (queue, outgoing) = mpsc::channel(limits::CONNECTION_QUEUE_MESSAGES);
        let wire = ConnectionTask {
            flow,
            made_for: way.whom.as_ref().map(ConnectionOwner::trunk),
            buffers: StreamBuffers::new(self.message_bytes),
            is_accepted: false,
            patience: ConnectionTimeouts::with(false),
            queue: queue.clone(),
            news: self.news.clone(),
            counters: Arc::clone(&self.counters),
            freeze: self.freeze.clone(),
        };
        (OpenConnection { flow, queue, way: Some(way), whose: None, identity: None, place: None }, wire, outgoing)
    }
}

async fn connect(source: Option<IpAddr>, remote: SocketAddr) -> io::Result<TcpStream> {
    let limit = Some(Duration::from_secs(limits::CONNECT_SECONDS));
    Connector { source, connect_within: limit, ..Connector::default() }.tcp(remote).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::watch;
    use tokio::time::timeout;
    use trunkgate_route::{NumberingPlan, RoutingTable, TableDefinition};

    use trunkgate_call::StreamFailure;

    use super::super::crossing::{FrozenConnections, HandedConnections};
    use super::*;

    fn streams() -> (StreamConnections, mpsc::Receiver<TransportEvent>) {
        streams_with_tls_on(Handle::current())
    }

    fn streams_with_tls_on(spoken_on: Handle) -> (StreamConnections, mpsc::Receiver<TransportEvent>) {
        let (news, arrivals) = mpsc::channel(64);
        let definition = TableDefinition {
            numbers: NumberingPlan::new("US").unwrap(),
            trunks: vec![],
            agents: vec![],
            routes: vec![],
        };
        // The receivers stay readable without their senders.
        let table = watch::Sender::new(Arc::new(RoutingTable::new(definition))).subscribe();
        let settings = watch::Sender::new(Arc::default()).subscribe();
        (StreamConnections::new(news, 65_535, Arc::default(), TlsHandshaker { settings, table, spoken_on }), arrivals)
    }

    fn flow(remote: SocketAddr) -> Flow {
        Flow { transport: Transport::Tcp, listener: ListenerId(0), remote, connection: None }
    }

    fn trunk(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    #[tokio::test]
    async fn nobody_is_served_on_a_tls_connection_that_was_made_for_another() {
        let (mut streams, _arrivals) = streams();
        let peer = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let plain = flow(peer.local_addr().unwrap());
        let secure = Flow { transport: Transport::Tls, ..plain };
        let bytes = |host: &str| Bytes::from(format!("OPTIONS sip:{host} SIP/2.0\r\n\r\n"));
        for (flow, name, host, connections) in [
            (plain, "a", "x.example", 1),
            (plain, "b", "x.example", 1),
            (secure, "a", "x.example", 2),
            (secure, "b", "x.example", 3),
            (secure, "a", "y.example", 3),
            (secure, "", "x.example", 4),
            (secure, "", "y.example", 5),
            (secure, "", "x.example", 5),
        ] {
            assert!(streams.send(flow, &trunk(name), bytes(host)));
            assert_eq!(streams.connections.len(), connections, "{name} {host}");
        }
        // An accepted connection is only found by its number.
        let (accepted, _wire, _outgoing) =
            streams.workshop.accepted(Transport::Tls, ListenerId(0), "192.0.2.1:5061".parse().unwrap(), 1);
        let its_own = accepted.flow;
        streams.insert(accepted);
        assert!(streams.send(its_own, &trunk("c"), bytes("x.example")));
        assert_eq!(streams.connections.len(), 6);
        assert!(streams.send(Flow { connection: None, ..its_own }, &trunk("c"), bytes("x.example")));
        assert_eq!(streams.connections.len(), 7);
    }

    #[tokio::test]
    async fn without_a_certificate_to_trust_tls_fails_with_its_reason() {
        let (mut streams, mut arrivals) = streams();
        let peer = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let secure = Flow { transport: Transport::Tls, ..flow(peer.local_addr().unwrap()) };
        assert!(streams.send(secure, &trunk("a"), Bytes::from_static(b"x")));
        let news = timeout(Duration::from_secs(20), arrivals.recv()).await.unwrap();
        let Some(TransportEvent::Closed { made_for, cause, .. }) = news else { panic!("{news:?}") };
        assert_eq!((made_for.as_deref(), matches!(cause, Some(StreamFailure::Tls(_)))), (Some("a"), true));
    }

    #[tokio::test]
    async fn signalling_s_own_thread_speaks_no_tls() {
        let others = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mut streams, mut arrivals) = streams_with_tls_on(others.handle().clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let secure = Flow { transport: Transport::Tls, ..flow(listener.local_addr().unwrap()) };
        streams.listen(ListenerId(0), "s".into(), Transport::Tls, listener).unwrap();
        assert!(streams.send(secure, &trunk("a"), Bytes::from_static(b"x")));
        let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(streams.send(flow(refused), &trunk("a"), Bytes::from_static(b"x")));
        // While the TLS thread is blocked, unencrypted connections proceed, and TLS connections have not started.
        let Some(TransportEvent::Closed { flow, cause, .. }) = arrivals.recv().await else { panic!() };
        assert_eq!(cause, Some(StreamFailure::Stream("connection refused".into())));
        assert_eq!((flow.remote, streams.workshop.counters.unknown_source.get()), (refused, 0));
        let secure_news = std::thread::spawn(move || others.block_on(arrivals.recv())).join().unwrap();
        assert!(matches!(secure_news, Some(TransportEvent::Closed { made_for: Some(_), .. })), "{secure_news:?}");
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_as_failed() {
        let (mut streams, mut arrivals) = streams();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(streams.send(flow(closed), &trunk("a"), Bytes::from_static(b"x")));
        let news = timeout(Duration::from_secs(20), arrivals.recv()).await.unwrap();
        let Some(TransportEvent::Closed { flow, .. }) = news else { panic!("{news:?}") };
        assert_eq!(flow.remote, closed);
        streams.remove(&flow);
        assert!(streams.is_empty() && streams.by_way.is_empty());
    }

    /// Freezes the connections; returns them as another process receives them, with the number of the next one.
    async fn hand_over(
        streams: &mut StreamConnections,
        arrivals: &mut mpsc::Receiver<TransportEvent>,
    ) -> (u64, Vec<FrozenConnection>) {
        streams.freeze();
        let mut open = Vec::new();
        while !streams.is_empty() {
            match timeout(Duration::from_secs(20), arrivals.recv()).await.unwrap() {
                Some(TransportEvent::Frozen(mut frozen)) => {
                    streams.release(&mut frozen);
                    open.push(*frozen);
                }
                other => panic!("{other:?}"),
            }
        }
        let frozen = FrozenConnections { next: streams.next_number(), open, messages: Vec::new() };
        let (handed, sockets) = frozen.into_parts();
        let text = serde_json::to_string(&handed).unwrap();
        let received = serde_json::from_str::<HandedConnections>(&text).unwrap().with_sockets(sockets);
        (received.next, received.open)
    }

    fn options(n: usize) -> Bytes {
        Bytes::from(format!("OPTIONS sip:{n} SIP/2.0\r\nContent-Length: 0\r\n\r\n"))
    }

    async fn message(arrivals: &mut mpsc::Receiver<TransportEvent>) -> (Flow, Bytes) {
        match timeout(Duration::from_secs(20), arrivals.recv()).await.unwrap() {
            Some(TransportEvent::Received { flow, bytes, .. }) => (flow, bytes),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn another_process_continues_a_connection_in_the_middle_of_a_message() {
        let (mut streams, mut arrivals) = streams();
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = flow(peer.local_addr().unwrap());
        assert!(streams.send(to, &trunk("a"), options(1)));
        let (mut far, _) = peer.accept().await.unwrap();
        let (second, half) = (options(3), options(3).len() / 2);
        far.write_all(&[&options(2)[..], &second[..half]].concat()).await.unwrap();
        let (arrived, bytes) = message(&mut arrivals).await;
        assert_eq!(bytes, options(2));
        let (next, open) = hand_over(&mut streams, &mut arrivals).await;
        drop((streams, arrivals));
        far.write_all(&second[half..]).await.unwrap();

        let (mut successor, mut arrivals) = self::streams();
        successor.continue_numbers(next);
        successor.resume(open);
        assert_eq!(message(&mut arrivals).await, (arrived, second));
        // Its own requests find the connection by address and by number.
        assert!(successor.send(to, &trunk("a"), options(4)) && successor.send(arrived, &trunk("a"), options(5)));
        assert_eq!(successor.connections.len(), 1);
        let expected = [options(1), options(4), options(5)].concat();
        let mut received = vec![0; expected.len()];
        timeout(Duration::from_secs(20), far.read_exact(&mut received)).await.unwrap().unwrap();
        assert_eq!(received, expected);
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(successor.send(flow(other.local_addr().unwrap()), &trunk("a"), options(6)));
        assert!(successor.connections.keys().all(|id| *id == arrived.connection.unwrap() || id.0 >= next));
    }

    #[tokio::test]
    async fn a_write_that_was_cut_in_half_goes_on_with_its_next_byte() {
        let (mut streams, mut arrivals) = streams();
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = flow(peer.local_addr().unwrap());
        let long = |n: usize| Bytes::from(vec![u8::try_from(n).unwrap(); 100_000 + n]);
        let count = limits::CONNECTION_QUEUE_MESSAGES / 2;
        for n in 0..count {
            assert!(streams.send(to, &trunk("a"), long(n)));
        }
        let (mut far, _) = peer.accept().await.unwrap();
        // The connection has written what the system takes.
        let mut first = [0; 1];
        far.read_exact(&mut first).await.unwrap();
        let (next, open) = hand_over(&mut streams, &mut arrivals).await;
        assert!(!open[0].state.unsent.is_empty());
        let (mut successor, _arrivals) = self::streams();
        successor.continue_numbers(next);
        successor.resume(open);
        assert!(successor.send(to, &trunk("a"), long(count)));
        let expected = (0..=count).flat_map(long).collect::<Vec<u8>>();
        let mut received = vec![0; expected.len() - 1];
        timeout(Duration::from_secs(60), far.read_exact(&mut received)).await.unwrap().unwrap();
        assert!(received == expected[1..]);
    }

    #[tokio::test]
    async fn a_connection_that_is_being_opened_is_opened_by_the_other_process() {
        let (mut streams, mut arrivals) = streams();
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(streams.send(flow(peer.local_addr().unwrap()), &trunk("a"), options(1)));
        let (next, open) = hand_over(&mut streams, &mut arrivals).await;
        let (mut successor, _arrivals) = self::streams();
        successor.continue_numbers(next);
        successor.resume(open);
        let mut received = Vec::new();
        while received.is_empty() {
            // The first attempt may have been accepted before it was given up.
            let (mut far, _) = timeout(Duration::from_secs(20), peer.accept()).await.unwrap().unwrap();
            let mut bytes = vec![0; 1000];
            let length = far.read(&mut bytes).await.unwrap_or_default();
            received.extend_from_slice(&bytes[..length]);
        }
        assert_eq!(received, options(1));
    }

    #[tokio::test]
    async fn a_second_message_uses_the_same_connection_and_its_queue_is_bounded() {
        let (mut streams, _arrivals) = streams();
        let peer = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = flow(peer.local_addr().unwrap());
        for _ in 0..limits::CONNECTION_QUEUE_MESSAGES {
            assert!(streams.send(to, &trunk("a"), Bytes::from_static(b"x")));
        }
        // The task has not run yet, so nothing has left the queue.
        assert!(!streams.send(to, &trunk("a"), Bytes::from_static(b"x")));
        assert_eq!(streams.workshop.counters.stream_queue_full.get(), 1);
        assert_eq!(streams.connections.len(), 1);
    }
}
