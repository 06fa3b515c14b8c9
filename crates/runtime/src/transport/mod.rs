//! Every SIP socket of the process: datagrams read by the signalling loop itself, streams by a small task each, those of
//! TLS on a thread of their own.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use trunkgate_call::view::UnknownView;
use trunkgate_call::{Cause, Identity, Sent, Unknown};
use trunkgate_media::Unsent;
use trunkgate_media::counters::Counter;
use trunkgate_route::Table;
use trunkgate_sip::{ConnectionId, Flow, ListenerId, Message, Transmit, Transport};

use self::tls_thread::TlsThread;
use trunkgate_config::Listen;
use trunkgate_system::clock;
use trunkgate_system::limits;

mod accept;
mod bind;
mod by_source;
mod connection;
mod places;
mod streams;
mod tls;
mod tls_faults;
mod tls_thread;
mod udp;

pub use bind::datagram_socket;
pub use bind::{BindError, Bound, bind, bind_api, bind_challenge, bind_http};
pub use by_source::BySource;
pub use tls::Settings;
pub use tls::{CertificateOwner, towards};
pub use tls_faults::{TlsFaults, TlsFaultsView};
pub use udp::{is_about_size, next_datagram, unsent};

/// News of the sockets for the signalling loop.
#[derive(Debug)]
pub enum Arrival {
    /// A datagram, or one framed message of a stream.
    Received {
        /// The way it came.
        flow: Flow,
        /// The message.
        bytes: Bytes,
        /// When: a datagram by the system's own note, a message of a stream when it was read.
        came: Instant,
    },
    /// A stream that cannot be framed any further; it is closed after what is sent in answer.
    Broken {
        /// The way it came.
        flow: Flow,
        /// What could be read.
        bytes: Bytes,
        /// What is wrong.
        what: &'static str,
    },
    /// Somebody says by ICMP that a datagram sent this way did not arrive.
    Unreachable {
        /// The way.
        flow: Flow,
        /// What is quoted of the datagram.
        quoted: Bytes,
    },
    /// A stream was accepted.
    Accepted(streams::Connection),
    /// A trunk's address has more streams than it may: the oldest that nothing needs is to be evicted.
    Crowded {
        /// The address.
        source: IpAddr,
    },
    /// Whose a TLS connection is: by its certificate, or as it was made for that trunk.
    Identified {
        /// The connection.
        connection: ConnectionId,
        /// The address of its remote party.
        remote: SocketAddr,
        /// Who.
        identity: Identity,
    },
    /// A stream is gone, or never came up.
    Closed {
        /// The way it went.
        flow: Flow,
        /// The trunk that it was made for under TLS; empty: a host of no trunk.
        made_for: Option<Arc<str>>,
        /// What it failed at, where it did not just end.
        cause: Option<Cause>,
        /// Whether it had been up.
        was_up: bool,
    },
}

/// What is counted on the sockets; read by `/metrics`.
#[derive(Debug, Default)]
pub struct SocketCounters {
    /// Datagrams that the system dropped because a socket was not read in time.
    pub udp_unread: Counter,
    /// OPTIONS, REGISTER and the like dropped because the edge was overloaded.
    pub overloaded: Counter,
    /// Messages dropped because there was no room for them to wait.
    pub queue_full: Counter,
    /// Repetitions of INVITEs that still waited.
    pub repeated: Counter,
    /// Datagrams dropped because a socket's send queue was full.
    pub udp_queue_full: Counter,
    /// Sends that the system refused, and ICMP errors.
    pub send_failed: Counter,
    /// Connections closed at once: their source is no trunk's.
    pub unknown_source: Counter,
    /// Where those of the last hour came from.
    closed: Mutex<Unknown>,
    /// Connections refused by a limit.
    pub connections_refused: Counter,
    /// Connections closed for others: of unknown sources without a registration, or a trunk's without a call.
    pub evicted: Counter,
    /// Connections of unknown sources closed since no phone has registered on them in time.
    pub unregistered: Counter,
    /// TLS handshakes that failed or took too long, in both directions.
    pub handshakes_failed: Counter,
    /// Those of them that others began.
    pub tls_faults: TlsFaults,
    /// TLS handshakes pushed out or never begun: a limit.
    pub handshakes_refused: Counter,
    /// Connections that the system would not hand over: too many open files.
    pub accept_failed: Counter,
    /// Messages dropped because a connection did not take them fast enough.
    pub stream_queue_full: Counter,
    /// Connections cut off: their first message, or the rest of one, took too long.
    pub slow: Counter,
    /// Datagrams accepted without the empty line after their headers.
    pub no_empty_line: Counter,
    /// Stream connections open.
    pub connections: Counter,
}

impl SocketCounters {
    /// Counts a connection that is closed since its source is no trunk's, with a line in the log now and then.
    fn close(&self, now: Instant, source: IpAddr) {
        self.unknown_source.add(1);
        let line = self.closed.lock().unwrap_or_else(PoisonError::into_inner).note(
            now,
            source.to_canonical(),
            Sent::Connection,
        );
        if let Some(line) = line {
            tracing::warn!("{line}");
        }
    }

    /// Returns the connections of the last hour that were closed since their source is no trunk's, if any.
    pub fn closed(&self, now: Instant) -> Option<UnknownView> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).view(now)
    }
}

/// All sockets of the signalling loop.
#[derive(Debug)]
pub struct Transports {
    udp: Vec<(ListenerId, udp::Socket)>,
    streams: streams::Streams,
    /// Broken streams that are closed once the requests before the break are answered.
    closing: Vec<Flow>,
    /// `None` where no listener speaks TLS: then nobody does.
    _tls: Option<TlsThread>,
    arrivals: mpsc::Receiver<Arrival>,
    counters: Arc<SocketCounters>,
    datagram: Vec<u8>,
    turn: usize,
}

impl Transports {
    /// Takes the bound sockets into the present runtime.
    pub fn start(
        bound: Vec<Bound>,
        table: watch::Receiver<Arc<Table>>,
        settings: watch::Receiver<Arc<Settings>>,
        message_bytes: usize,
        counters: Arc<SocketCounters>,
    ) -> io::Result<Transports> {
        let (news, arrivals) = mpsc::channel(limits::TRANSPORT_EVENTS);
        let mut udp = Vec::new();
        let speaks_tls = |listener: &Bound| listener.transport == Transport::Tls;
        let thread = bound.iter().any(speaks_tls).then(TlsThread::start).transpose()?;
        let spoken_on = thread.as_ref().map_or_else(Handle::current, |thread| thread.handle().clone());
        let tls = tls::Tls { settings, table, spoken_on };
        let mut streams = streams::Streams::new(news.clone(), message_bytes, Arc::clone(&counters), tls);
        for (position, listener) in bound.into_iter().enumerate() {
            let id = ListenerId(u16::try_from(position).unwrap_or(u16::MAX));
            match listener.socket {
                bind::Socket::Udp(socket) => {
                    udp.push((id, udp::Socket::start(socket, id, news.clone(), Arc::clone(&counters))?));
                }
                bind::Socket::Stream(socket) => {
                    streams.listen(id, listener.name, listener.transport, socket)?;
                }
            }
        }
        let datagram = vec![0; limits::UDP_DATAGRAM_BYTES];
        Ok(Transports { udp, streams, closing: Vec::new(), _tls: thread, arrivals, counters, datagram, turn: 0 })
    }

    /// Waits until [`Self::next`] has something, and sends datagrams that waited for their socket.
    pub(crate) async fn ready(&mut self) -> Option<Arrival> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        if let Poll::Ready(Some(arrival)) = self.arrivals.poll_recv(cx) {
            return Poll::Ready(Some(arrival));
        }
        let mut ready = false;
        for (_, socket) in &mut self.udp {
            socket.poll_flush(cx);
            ready |= socket.poll_readable(cx);
        }
        if ready { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Lets connections have their turn while messages wait, and sends datagrams that waited for their socket.
    pub(crate) async fn breathe(&mut self) {
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            self.udp.iter_mut().for_each(|(_, socket)| socket.poll_flush(cx));
            Poll::Ready(())
        })
        .await;
    }

    /// The next arrival, without waiting; UDP sockets and all streams together take turns.
    pub(crate) fn next(&mut self, now: Moment) -> Option<Arrival> {
        let sources = self.udp.len() + 1;
        for _ in 0..sources {
            let at = self.turn % sources;
            self.turn = self.turn.wrapping_add(1);
            let Some((listener, socket)) = self.udp.get_mut(at) else {
                match self.arrivals.try_recv() {
                    Ok(arrival) => return Some(arrival),
                    Err(_) => continue,
                }
            };
            if let Some(udp::Datagram { len, remote, stamp }) = socket.receive(&mut self.datagram) {
                let flow = Flow { transport: Transport::Udp, listener: *listener, remote, connection: None };
                let bytes = Bytes::copy_from_slice(self.datagram.get(..len).unwrap_or_default());
                return Some(Arrival::Received { flow, bytes, came: now.of(stamp) });
            }
        }
        None
    }

    /// Sends a message of a trunk (empty: of none); never waits.
    ///
    /// # Errors
    /// It cannot be sent; why, where the system refused it.
    pub(crate) fn send(&mut self, transmit: Transmit, trunk: &Arc<str>) -> Result<(), Option<Unsent>> {
        let Transmit { flow, bytes, .. } = transmit;
        let sent = match flow.transport {
            Transport::Udp => {
                let socket = self.udp.iter_mut().find(|(id, _)| *id == flow.listener);
                socket.map_or(Err(None), |(_, socket)| socket.send(flow.remote, bytes))
            }
            Transport::Tcp | Transport::Tls => self.streams.send(flow, trunk, bytes).then_some(()).ok_or(None),
        };
        if sent.is_err() {
            self.counters.send_failed.add(1);
        }
        sent
    }

    /// Answers a keep-alive that came as a datagram. Streams answer theirs by themselves.
    pub(crate) fn pong(&mut self, flow: &Flow) {
        if let Some((_, socket)) = self.udp.iter_mut().find(|(id, _)| *id == flow.listener) {
            let _ = socket.send(flow.remote, Bytes::from_static(b"\r\n"));
        }
    }

    /// A stream begins: the loop knows it before its first message.
    pub(crate) fn accepted(&mut self, connection: streams::Connection) {
        self.streams.insert(connection);
    }

    /// Makes room where a trunk's address has more streams than it may: those are evicted that nothing needs, which
    /// `are_in_use` tells of each.
    pub(crate) fn make_room(&self, source: IpAddr, are_in_use: impl FnOnce(&[Flow]) -> Vec<bool>) {
        let (surplus, flows) = self.streams.crowd(source);
        let unused = flows.iter().zip(are_in_use(&flows)).filter(|(_, is_in_use)| !is_in_use);
        let _evicted = unused.filter(|(flow, _)| self.streams.evict(flow)).take(surplus).count();
    }

    /// A stream says whose it is, before its first message.
    pub(crate) fn identified(&mut self, connection: ConnectionId, identity: &Identity) {
        self.streams.identified(connection, identity);
    }

    /// A phone has registered on a stream.
    pub(crate) fn registered(&self, connection: ConnectionId) {
        self.streams.registered(connection);
    }

    /// A request may say that its connection serves the other way too (RFC 5923 §5).
    pub(crate) fn look_for_alias(&mut self, flow: &Flow, message: &Message) {
        if flow.transport != Transport::Tls || !message.is_request() {
            return;
        }
        if let Some(via) = message.via().filter(|via| via.param("alias").is_some()) {
            let port = via.sent_by.port.unwrap_or(Transport::Tls.default_port());
            self.streams.reuse(flow, port);
        }
    }

    /// Marks a broken stream: [`Self::close_answered`] closes it.
    pub(crate) fn close_later(&mut self, flow: Flow) {
        self.closing.push(flow);
    }

    /// Closes the broken streams whose requests are answered. A request that takes longer than a broken stream is read empty
    /// (`limits::LINGER_SECONDS`) keeps none open.
    pub(crate) fn close_answered(&mut self, are_in_use: impl FnOnce(&[Flow]) -> Vec<bool>) {
        if self.closing.is_empty() {
            return;
        }
        let in_use = are_in_use(&self.closing);
        for (flow, is_in_use) in std::mem::take(&mut self.closing).into_iter().zip(in_use) {
            if is_in_use {
                self.closing.push(flow);
            } else {
                self.streams.close(&flow);
            }
        }
    }

    /// Forgets a stream that is gone; by what other address, and for which trunk, it was used besides.
    pub(crate) fn closed(&mut self, flow: &Flow) -> Option<(SocketAddr, Arc<str>)> {
        self.closing.retain(|closing| closing.connection != flow.connection);
        self.streams.remove(flow)
    }

    /// Sends what is queued and closes all streams, for as long as `limits::LINGER_SECONDS` at most.
    pub(crate) async fn finish(&mut self) {
        self.streams.close_all();
        let all_gone = async {
            while !self.streams.is_empty() {
                match self.ready().await {
                    Some(Arrival::Closed { flow, .. }) => drop(self.streams.remove(&flow)),
                    Some(Arrival::Accepted(connection)) => drop(connection),
                    Some(
                        Arrival::Received { .. }
                        | Arrival::Broken { .. }
                        | Arrival::Unreachable { .. }
                        | Arrival::Crowded { .. }
                        | Arrival::Identified { .. },
                    ) => {}
                    None => while self.next(Moment::now()).is_some() {},
                }
            }
            poll_fn(|cx| {
                let mut waiting = false;
                for (_, socket) in &mut self.udp {
                    socket.poll_flush(cx);
                    waiting |= socket.is_waiting();
                }
                if waiting { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(limits::LINGER_SECONDS), all_gone).await;
    }
}

/// A moment in both clocks: the system dates datagrams by the wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// By the clock that never jumps.
    pub(crate) at: Instant,
    wall: SystemTime,
}

impl Moment {
    /// The present one.
    pub(crate) fn now() -> Moment {
        Moment { at: Instant::now(), wall: clock::wall() }
    }

    /// When that was; now, where it is not told or lies ahead.
    fn of(self, stamp: Option<SystemTime>) -> Instant {
        let ago = stamp.and_then(|stamp| self.wall.duration_since(stamp).ok()).unwrap_or_default();
        self.at.checked_sub(ago).unwrap_or(self.at)
    }
}

/// The address that a connection of this listener leaves from.
fn source_of(bound: SocketAddr) -> Option<IpAddr> {
    let ip = bound.ip();
    (!ip.is_unspecified()).then_some(ip)
}

/// How errors name a listener.
fn describe(listen: &Listen) -> String {
    format!("listener `{}`: {} {}", listen.name, listen.transport.as_str(), listen.address)
}
