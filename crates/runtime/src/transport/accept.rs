//! Acceptance of stream connections: first the source address is checked, then the limits. A connection of an unknown
//! source is closed without a byte, unless a TLS handshake may identify it by its certificate, or phones may register.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use trunkgate_sip::{ListenerId, Transport};

use super::TransportEvent;
use super::connection::ConnectionStream;
use super::crossing::until_frozen;
use super::places::{Handshake, UnknownConnectionLimits};
use super::streams::StreamSetup;
use trunkgate_system::connector::TlsFault;
use trunkgate_system::limits;
use trunkgate_system::log::LogThrottle;

/// Acceptor of one listener.
#[derive(Debug)]
pub(super) struct ListenerAcceptor {
    id: ListenerId,
    name: String,
    transport: Transport,
    workshop: StreamSetup,
    /// Rate limits for handshakes with unknown sources, since each costs signatures.
    strangers: UnknownConnectionLimits,
}

impl ListenerAcceptor {
    pub(super) fn new(id: ListenerId, name: String, transport: Transport, workshop: StreamSetup) -> ListenerAcceptor {
        ListenerAcceptor { id, name, transport, workshop, strangers: UnknownConnectionLimits::default() }
    }

    /// Accepts connections until the signalling loop has ended. Once connections are given back for another process,
    /// new ones remain in the listening socket's queue for it.
    pub(super) async fn accept(mut self, listener: TcpListener) {
        let mut complaint = LogThrottle::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = until_frozen(self.workshop.freeze.clone()) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => self.knock(stream, remote).await,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.workshop.counters.accept_failed.add(1);
                    if let Some(more) = complaint.due(Instant::now()) {
                        tracing::warn!("listener {}: no connection can be accepted: {error}{more}", self.name);
                    }
                    // No file descriptor is free: others must be closed first.
                    tokio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE_MILLISECONDS)).await;
                }
            }
            if self.workshop.news.is_closed() {
                return;
            }
        }
    }

    async fn knock(&mut self, stream: TcpStream, remote: SocketAddr) {
        let counters = &self.workshop.counters;
        let trunk = self.trunk_of(remote);
        let known = trunk.is_some();
        if !known && !self.may_be_recognised() && !self.may_register() {
            return counters.close(Instant::now(), remote.ip());
        }
        if !known && !self.strangers.may_begin(Instant::now(), remote.ip()) {
            let is_tls = self.transport == Transport::Tls;
            let counter = if is_tls { &counters.handshakes_refused } else { &counters.connections_refused };
            counter.add(1);
            let what = format!(
                "refused: too many new connections from unknown sources (at most {} a second, {} from one address)",
                limits::UNKNOWN_HANDSHAKES_PER_SECOND,
                limits::UNKNOWN_HANDSHAKES_PER_SOURCE_PER_SECOND
            );
            return self.workshop.crowded(self.transport, remote, &what);
        }
        let _ = stream.set_nodelay(true);
        if self.transport != Transport::Tls {
            let Some(place) = self.workshop.place(self.transport, remote, known) else { return };
            let (connection, wire, outgoing) = self.workshop.accepted(self.transport, self.id, remote, place.number());
            if self.workshop.news.send(TransportEvent::Accepted(connection)).await.is_ok() {
                tokio::spawn(wire.serve(ConnectionStream::plain(stream), outgoing, place));
            }
            return;
        }
        let handshake = self.workshop.handshakes.begin();
        let number = handshake.number();
        let guest = PendingHandshake { id: self.id, name: self.name.clone(), remote, trunk, handshake };
        let task = tokio::spawn(guest.shake_hands(self.workshop.clone(), stream));
        let pushed_out = self.workshop.handshakes.enter(number, remote.ip(), known, task.abort_handle());
        self.workshop.counters.handshakes_refused.add(pushed_out);
    }

    fn trunk_of(&self, remote: SocketAddr) -> Option<Arc<str>> {
        self.workshop.tls.table.borrow().trunk_of(remote).map(|trunk| Arc::clone(&trunk.name))
    }

    /// Returns whether the configuration lets phones register from any address.
    fn may_register(&self) -> bool {
        self.workshop.tls.table.borrow().takes_registrations()
    }

    fn may_be_recognised(&self) -> bool {
        let tls = &self.workshop.tls;
        self.transport == Transport::Tls && tls.settings.borrow().may_recognise(&self.name, &tls.table.borrow())
    }
}

/// Connection with a handshake in progress.
struct PendingHandshake {
    id: ListenerId,
    name: String,
    remote: SocketAddr,
    /// Trunk to which the remote address belongs; `None` for an unknown source.
    trunk: Option<Arc<str>>,
    handshake: Handshake,
}

impl PendingHandshake {
    async fn shake_hands(self, workshop: StreamSetup, stream: TcpStream) {
        let PendingHandshake { id, name, remote, trunk, handshake } = self;
        let known = trunk.is_some();
        let (stream, identity) = match workshop.tls.accept(stream, &name).await {
            Ok(accepted) => accepted,
            Err((failed, shown)) => {
                workshop.counters.handshakes_failed.add(1);
                workshop.counters.tls_faults.note(Instant::now(), shown, (remote.ip(), trunk), &failed);
                return complain(&workshop, known, &name, remote, &failed);
            }
        };
        if !known && identity.is_none() && !workshop.tls.table.borrow().takes_registrations() {
            return workshop.counters.close(Instant::now(), remote.ip());
        }
        if let Some(trunk) = &trunk {
            workshop.counters.tls_faults.went_well(trunk);
        }
        let Some(place) = workshop.place(Transport::Tls, remote, known || identity.is_some()) else { return };
        drop(handshake);
        let (connection, wire, outgoing) = workshop.accepted(Transport::Tls, id, remote, place.number());
        if workshop.news.send(TransportEvent::Accepted(connection)).await.is_err() {
            return;
        }
        if let Some(identity) = identity {
            wire.identified(identity).await;
        }
        wire.serve(ConnectionStream::encrypted(stream), outgoing, place).await;
    }
}

/// Logs a failed handshake, at a higher level if the remote address belongs to a trunk.
fn complain(
    workshop: &StreamSetup,
    known: bool,
    name: &str,
    remote: SocketAddr,
    TlsFault { what, is_disagreement, .. }: &TlsFault,
) {
    if known && *is_disagreement {
        let mut seldom = workshop.disagreements.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = seldom.due(Instant::now()) {
            return tracing::warn!("listener {name}: TLS with {remote} failed: {what}{more}");
        }
    }
    tracing::debug!("listener {name}: TLS with {remote} failed: {what}");
}

/// Returns whether an error of accept(2) concerns a connection that was closed before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
