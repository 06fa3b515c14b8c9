//! SIP sockets of the process: datagrams are read by the signalling loop itself, streams by a task each; TLS streams
//! run on a separate thread.

use std::collections::VecDeque;
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
use trunkgate_call::{StreamFailure, TlsIdentity, TrafficKind, UnknownTraffic};
use trunkgate_media::SendFailure;
use trunkgate_media::counters::Counter;
use trunkgate_route::RoutingTable;
use trunkgate_sip::{ConnectionId, Flow, ListenerId, SipMessage, SipTransmit, Transport};

use self::tls_thread::TlsThread;
use trunkgate_config::ListenSettings;
use trunkgate_system::clock;
use trunkgate_system::limits;

mod accept;
mod bind;
mod by_source;
mod connection;
mod crossing;
mod places;
mod streams;
mod tls;
mod tls_faults;
mod tls_thread;
mod udp;

pub use bind::datagram_socket;
pub use bind::{BindError, BoundSocket, bind, bind_api, bind_challenge, bind_http};
pub use by_source::SourceCounts;
pub use crossing::{FrozenConnection, FrozenConnections, HandedConnections};
pub use tls::TlsSettings;
pub use tls::{CertificateOwner, towards};
pub use tls_faults::{TlsFaults, TlsFaultsView};
pub use udp::{is_about_size, next_datagram, unsent};

/// Event of the sockets for the signalling loop.
#[derive(Debug)]
pub enum TransportEvent {
    /// A datagram, or one framed message of a stream.
    Received {
        /// Flow on which it arrived.
        flow: Flow,
        /// The message.
        bytes: Bytes,
        /// Time of arrival: the kernel's timestamp of a datagram, or the time when a stream message was read.
        came: Instant,
    },
    /// A stream that cannot be framed any further; it is closed after the responses have been sent.
    Broken {
        /// Flow of the stream.
        flow: Flow,
        /// Bytes of the incomplete message.
        bytes: Bytes,
        /// Description of the problem.
        what: &'static str,
    },
    /// An ICMP error reports that a sent datagram was not delivered.
    Unreachable {
        /// Flow of the datagram.
        flow: Flow,
        /// Beginning of the datagram, quoted in the ICMP message.
        quoted: Bytes,
    },
    /// A stream was accepted.
    Accepted(streams::OpenConnection),
    /// A stream was given back for another process.
    Frozen(Box<FrozenConnection>),
    /// A trunk's address exceeds its limit of streams: unused ones must be evicted, oldest first.
    Crowded {
        /// Address of the trunk.
        source: IpAddr,
    },
    /// The trunk of a TLS connection is known, by its certificate or because the connection was opened for the trunk.
    Identified {
        /// Connection with a known trunk.
        connection: ConnectionId,
        /// Address of the connection's remote party.
        remote: SocketAddr,
        /// Trunk, and the name in the certificate.
        identity: TlsIdentity,
    },
    /// A stream has ended, or could not be established.
    Closed {
        /// Flow of the stream.
        flow: Flow,
        /// Trunk for which the TLS connection was opened; empty if the host belongs to no trunk.
        made_for: Option<Arc<str>>,
        /// Cause of the failure; `None` if the stream ended normally.
        cause: Option<StreamFailure>,
        /// True if the stream had been established.
        was_up: bool,
    },
}

/// Counters of the sockets, shown by `/metrics`.
#[derive(Debug, Default)]
pub struct SocketCounters {
    /// Datagrams dropped by the kernel because a socket was not read in time.
    pub udp_unread: Counter,
    /// Requests such as OPTIONS and REGISTER dropped because of overload.
    pub overloaded: Counter,
    /// Messages dropped because the intake queue was full.
    pub queue_full: Counter,
    /// Retransmissions of INVITEs that were still waiting.
    pub repeated: Counter,
    /// Datagrams dropped because a socket's send queue was full.
    pub udp_queue_full: Counter,
    /// Sends that the system refused, and ICMP errors about sent datagrams.
    pub send_failed: Counter,
    /// Connections closed at once because their source is unknown.
    pub unknown_source: Counter,
    /// Connections closed in the last hour because their source is unknown, by source.
    closed: Mutex<UnknownTraffic>,
    /// Connections rejected by a limit.
    pub connections_refused: Counter,
    /// Connections evicted in favour of others: of unknown sources without a registration, or of a trunk without a
    /// call.
    pub evicted: Counter,
    /// Connections of unknown sources closed because no phone registered on them in time.
    pub unregistered: Counter,
    /// Failed or timed-out TLS handshakes, in both directions.
    pub handshakes_failed: Counter,
    /// Failed TLS handshakes of remote clients.
    pub tls_faults: TlsFaults,
    /// TLS handshakes aborted or never started because of a limit.
    pub handshakes_refused: Counter,
    /// Connections that could not be accepted because of too many open files.
    pub accept_failed: Counter,
    /// Messages dropped because the send queue of a connection was full.
    pub stream_queue_full: Counter,
    /// Connections closed because their first message, or the rest of a message, took too long.
    pub slow: Counter,
    /// Datagrams accepted without the empty line after their headers.
    pub no_empty_line: Counter,
    /// Open stream connections.
    pub connections: Counter,
}

impl SocketCounters {
    /// Counts a connection closed because its source is unknown, with an occasional log entry.
    fn close(&self, now: Instant, source: IpAddr) {
        self.unknown_source.add(1);
        let line = self.closed.lock().unwrap_or_else(PoisonError::into_inner).note(
            now,
            source.to_canonical(),
            TrafficKind::Connection,
        );
        if let Some(line) = line {
            tracing::warn!("{line}");
        }
    }

    /// Returns the connections closed in the last hour because their source is unknown; `None` if there are none.
    pub fn closed(&self, now: Instant) -> Option<UnknownView> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).view(now)
    }
}

/// All sockets of the signalling loop.
#[derive(Debug)]
pub struct Transports {
    udp: Vec<(ListenerId, udp::UdpSipSocket)>,
    streams: streams::StreamConnections,
    /// Broken streams that are closed as soon as all their requests have responses.
    closing: Vec<Flow>,
    /// TLS thread; `None` if no listener uses TLS, and TLS is then unavailable.
    _tls: Option<TlsThread>,
    arrivals: mpsc::Receiver<TransportEvent>,
    /// Messages received but not processed by the predecessor process.
    earlier: VecDeque<(Flow, Bytes)>,
    counters: Arc<SocketCounters>,
    datagram: Vec<u8>,
    turn: usize,
}

impl Transports {
    /// Registers the bound sockets, and the connections of the predecessor process, with the current async runtime.
    pub fn start(
        bound: Vec<BoundSocket>,
        table: watch::Receiver<Arc<RoutingTable>>,
        settings: watch::Receiver<Arc<TlsSettings>>,
        message_bytes: usize,
        counters: Arc<SocketCounters>,
        resumed: Option<FrozenConnections>,
    ) -> io::Result<Transports> {
        let (news, arrivals) = mpsc::channel(limits::TRANSPORT_EVENTS);
        let mut udp = Vec::new();
        let speaks_tls = |listener: &BoundSocket| listener.transport == Transport::Tls;
        let thread = bound.iter().any(speaks_tls).then(TlsThread::start).transpose()?;
        let spoken_on = thread.as_ref().map_or_else(Handle::current, |thread| thread.handle().clone());
        let tls = tls::TlsHandshaker { settings, table, spoken_on };
        let mut streams = streams::StreamConnections::new(news.clone(), message_bytes, Arc::clone(&counters), tls);
        let FrozenConnections { next, open, messages } = resumed.unwrap_or_default();
        streams.continue_numbers(next);
        for (position, listener) in bound.into_iter().enumerate() {
            let id = ListenerId(u16::try_from(position).unwrap_or(u16::MAX));
            match listener.socket {
                bind::ListenerSocket::Udp(socket) => {
                    udp.push((id, udp::UdpSipSocket::start(socket, id, news.clone(), Arc::clone(&counters))?));
                }
                bind::ListenerSocket::Stream(socket) => {
                    streams.listen(id, listener.name, listener.transport, socket)?;
                }
            }
        }
        streams.resume(open);
        let (datagram, earlier) = (vec![0; limits::UDP_DATAGRAM_BYTES], messages.into());
        let closing = Vec::new();
        Ok(Transports { udp, streams, closing, _tls: thread, arrivals, earlier, counters, datagram, turn: 0 })
    }

    /// Waits for an event; also sends datagrams that waited for their socket. Returns the event if it had to be taken
    /// from its queue; otherwise `None`, and [`Self::next`] has one.
    pub(crate) async fn ready(&mut self) -> Option<TransportEvent> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Option<TransportEvent>> {
        if !self.earlier.is_empty() {
            return Poll::Ready(None);
        }
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

    /// Lets the connection tasks run while messages wait, and sends datagrams that waited for their socket.
    pub(crate) async fn breathe(&mut self) {
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            self.udp.iter_mut().for_each(|(_, socket)| socket.poll_flush(cx));
            Poll::Ready(())
        })
        .await;
    }

    /// Returns the next event without waiting, `None` if there is none; each UDP socket and all streams together take
    /// turns.
    pub(crate) fn next(&mut self, now: ClockMoment) -> Option<TransportEvent> {
        if let Some((flow, bytes)) = self.earlier.pop_front() {
            return Some(TransportEvent::Received { flow, bytes, came: now.at });
        }
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
                return Some(TransportEvent::Received { flow, bytes, came: now.of(stamp) });
            }
        }
        None
    }

    /// Sends a message without blocking; `trunk` is the trunk of the message, empty if it has none.
    ///
    /// # Errors
    /// Returns an error if it cannot be sent, with the reason if the system refused it.
    pub(crate) fn send(&mut self, transmit: SipTransmit, trunk: &Arc<str>) -> Result<(), Option<SendFailure>> {
        let SipTransmit { flow, bytes, .. } = transmit;
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

    /// Responds to a keep-alive received as a datagram; the tasks of streams respond themselves.
    pub(crate) fn pong(&mut self, flow: &Flow) {
        if let Some((_, socket)) = self.udp.iter_mut().find(|(id, _)| *id == flow.listener) {
            let _ = socket.send(flow.remote, Bytes::from_static(b"\r\n"));
        }
    }

    /// Adds an accepted stream, before its first message.
    pub(crate) fn accepted(&mut self, connection: streams::OpenConnection) {
        self.streams.insert(connection);
    }

    /// Evicts unused streams of a trunk's address that exceeds its limit; `are_in_use` returns for each stream whether
    /// a call or registration uses it.
    pub(crate) fn make_room(&self, source: IpAddr, are_in_use: impl FnOnce(&[Flow]) -> Vec<bool>) {
        let (surplus, flows) = self.streams.crowd(source);
        let unused = flows.iter().zip(are_in_use(&flows)).filter(|(_, is_in_use)| !is_in_use);
        let _evicted = unused.filter(|(flow, _)| self.streams.evict(flow)).take(surplus).count();
    }

    /// Sets the trunk of a TLS stream, before its first message is processed.
    pub(crate) fn identified(&mut self, connection: ConnectionId, identity: &TlsIdentity) {
        self.streams.identified(connection, identity);
    }

    /// Records that a phone has registered on a stream.
    pub(crate) fn registered(&self, connection: ConnectionId) {
        self.streams.registered(connection);
    }

    /// Lets a TLS connection be used for requests in the other direction if the received request allows it (RFC 5923
    /// §5).
    pub(crate) fn look_for_alias(&mut self, flow: &Flow, message: &SipMessage) {
        if flow.transport != Transport::Tls || !message.is_request() {
            return;
        }
        if let Some(via) = message.via().filter(|via| via.param("alias").is_some()) {
            let port = via.sent_by.port.unwrap_or(Transport::Tls.default_port());
            self.streams.reuse(flow, port);
        }
    }

    /// Marks a broken stream, to be closed by [`Self::close_answered`].
    pub(crate) fn close_later(&mut self, flow: Flow) {
        self.closing.push(flow);
    }

    /// Closes the broken streams without pending requests; `are_in_use` returns for each stream whether it has one. If
    /// a request takes longer than `limits::LINGER_SECONDS`, the stream's own task closes it.
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

    /// Removes an ended stream; returns the address and trunk to which requests used it, too (RFC 5923), if any.
    pub(crate) fn closed(&mut self, flow: &Flow) -> Option<(SocketAddr, Arc<str>)> {
        self.closing.retain(|closing| closing.connection != flow.connection);
        self.streams.remove(flow)
    }

    /// Sends the queued messages and closes all streams, for at most `limits::LINGER_SECONDS`.
    pub(crate) async fn finish(&mut self) {
        self.streams.close_all();
        let all_gone = async {
            while !self.streams.is_empty() {
                match self.ready().await {
                    Some(TransportEvent::Closed { flow, .. }) => drop(self.streams.remove(&flow)),
                    Some(TransportEvent::Accepted(connection)) => drop(connection),
                    Some(
                        TransportEvent::Received { .. }
                        | TransportEvent::Broken { .. }
                        | TransportEvent::Unreachable { .. }
                        | TransportEvent::Crowded { .. }
                        | TransportEvent::Frozen(_)
                        | TransportEvent::Identified { .. },
                    ) => {}
                    None => while self.next(ClockMoment::now()).is_some() {},
                }
            }
            self.flush_datagrams().await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(limits::LINGER_SECONDS), all_gone).await;
    }

    /// Sends the queued messages, and returns all connections that another process can continue. The others are closed;
    /// all this takes at most `limits::LINGER_SECONDS`. Datagrams that were not read remain in their sockets.
    /// `messages` are received ones that the gateway has not processed.
    pub(crate) async fn freeze(&mut self, mut messages: Vec<(Flow, Bytes)>) -> FrozenConnections {
        messages.splice(0..0, self.earlier.drain(..));
        let mut open = Vec::new();
        self.streams.freeze();
        self.closing.iter().for_each(|flow| self.streams.close(flow));
        let all_gone = async {
            while !self.streams.is_empty() {
                match self.arrivals.recv().await {
                    Some(TransportEvent::Received { flow, bytes, .. }) => messages.push((flow, bytes)),
                    Some(TransportEvent::Frozen(mut frozen)) => {
                        self.streams.release(&mut frozen);
                        open.push(*frozen);
                    }
                    Some(TransportEvent::Identified { connection, identity, .. }) => {
                        self.streams.identified(connection, &identity);
                    }
                    Some(TransportEvent::Accepted(connection)) => self.streams.insert(connection),
                    Some(TransportEvent::Broken { flow, .. }) => self.streams.close(&flow),
                    Some(TransportEvent::Closed { flow, .. }) => drop(self.streams.remove(&flow)),
                    Some(TransportEvent::Unreachable { .. } | TransportEvent::Crowded { .. }) => {}
                    None => break,
                }
            }
            self.flush_datagrams().await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(limits::LINGER_SECONDS), all_gone).await;
        FrozenConnections { next: self.streams.next_number(), open, messages }
    }

    async fn flush_datagrams(&mut self) {
        poll_fn(|cx| {
            let mut waiting = false;
            for (_, socket) in &mut self.udp {
                socket.poll_flush(cx);
                waiting |= socket.is_waiting();
            }
            if waiting { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// One moment by the monotonic and the wall clock, because the kernel timestamps datagrams by the wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClockMoment {
    /// Monotonic time.
    pub(crate) at: Instant,
    wall: SystemTime,
}

impl ClockMoment {
    /// Returns the current moment.
    pub(crate) fn now() -> ClockMoment {
        ClockMoment { at: Instant::now(), wall: clock::wall() }
    }

    /// Converts a kernel timestamp to monotonic time; the current moment if it is missing or in the future.
    fn of(self, stamp: Option<SystemTime>) -> Instant {
        let ago = stamp.and_then(|stamp| self.wall.duration_since(stamp).ok()).unwrap_or_default();
        self.at.checked_sub(ago).unwrap_or(self.at)
    }
}

/// Returns the source address of connections that the edge opens for a listener; `None` if the listener is bound to all
/// addresses: the system then chooses.
pub fn source_of(bound: SocketAddr) -> Option<IpAddr> {
    let ip = bound.ip();
    (!ip.is_unspecified()).then_some(ip)
}

/// Describes a listener for errors.
fn describe(listen: &ListenSettings) -> String {
    format!("listener `{}`: {} {}", listen.name, listen.transport.as_str(), listen.address)
}
