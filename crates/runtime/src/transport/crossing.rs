//! Open stream connections as plain data with their sockets, for another process that continues them. This module does
//! not read or write a socket.

use std::fmt;
use std::future::pending;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use trunkgate_call::TlsIdentity;
use trunkgate_sip::framer::Framer;
use trunkgate_sip::{ConnectionId, Flow};
use trunkgate_tls_record::TlsSnapshot;

use super::places::SlotKind;
use super::streams::ConnectionTarget;

/// Stream connections and unprocessed messages as plain data.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct HandedConnections {
    /// Number of the next connection, above those of all earlier ones.
    next: u64,
    /// Connections in the order of their numbers.
    open: Vec<HandedConnection>,
    /// Received messages that the gateway has not processed, in order.
    messages: Vec<HandedMessage>,
}

/// Stream connection as plain data.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedConnection {
    pub(super) flow: Flow,
    /// Whether the socket is among the descriptors. A connection without one was being opened, and is opened again.
    pub(super) has_socket: bool,
    /// Whether the remote party opened the connection.
    pub(super) is_accepted: bool,
    /// Whether the first message of the remote party has not arrived yet.
    pub(super) awaits_first: bool,
    pub(super) slot: SlotKind,
    /// Received bytes of an incomplete message.
    pub(super) unread: Vec<u8>,
    /// Bytes that were not written yet: the end of a message, then whole messages.
    pub(super) unsent: Vec<u8>,
    /// TLS keys and buffered bytes; `None` for a plain connection.
    pub(super) tls: Option<TlsSnapshot>,
    pub(super) owner: HandedOwner,
}

/// Trunk and destination of a connection, which only the signalling loop knows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct HandedOwner {
    /// Destination to which messages use the connection, in addition to those on its own flow.
    pub(super) way: Option<ConnectionTarget>,
    /// Trunk that the remote certificate identifies and the number of its TLS terms, for an accepted connection.
    pub(super) whose: Option<(Arc<str>, u64)>,
    /// Trunk of a TLS connection, by its certificate or because it was opened for the trunk; `None` if unknown.
    pub(super) identity: Option<TlsIdentity>,
}

/// Socket of a connection with the TLS state that only its task has.
pub(super) struct CrossingSocket {
    pub(super) socket: OwnedFd,
    pub(super) tls: Option<TlsSnapshot>,
}

/// Received message as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HandedMessage {
    flow: Flow,
    bytes: Vec<u8>,
}

/// Connection that its task in this process has given up, with its socket if it has one.
#[derive(Debug)]
pub struct FrozenConnection {
    pub(super) state: HandedConnection,
    pub(super) socket: Option<OwnedFd>,
}

/// All connections at the end of signalling, with their sockets, in the order of their numbers.
pub struct FrozenConnections {
    /// Number of the next connection.
    pub(super) next: u64,
    pub(super) open: Vec<FrozenConnection>,
    /// Received messages that the gateway has not processed, in order.
    pub(super) messages: Vec<(Flow, Bytes)>,
}

/// Bytes of a connection between its socket and the signalling loop.
#[derive(Debug)]
pub(super) struct StreamBuffers {
    /// Received bytes that do not form a complete message yet.
    pub(super) framer: Framer,
    /// Bytes to write before those of the command queue.
    pub(super) unsent: Bytes,
    /// Whether the first message of the remote party has not arrived yet.
    pub(super) awaits_first: bool,
}

impl StreamBuffers {
    /// Returns the empty buffers of a new connection.
    pub(super) fn new(message_bytes: usize) -> StreamBuffers {
        StreamBuffers { framer: Framer::new(message_bytes), unsent: Bytes::new(), awaits_first: false }
    }

    /// Returns the buffers of a connection that another process has served.
    pub(super) fn resumed(message_bytes: usize, state: HandedConnection) -> StreamBuffers {
        let mut framer = Framer::new(message_bytes);
        framer.push(&state.unread);
        StreamBuffers { framer, unsent: state.unsent.into(), awaits_first: state.awaits_first }
    }
}

impl HandedConnections {
    /// Removes the TLS connections, and returns the others with their sockets. TLS keys are given to one process only,
    /// because records of two processes under the same keys would reveal their content.
    #[must_use]
    pub fn without_tls(self, sockets: Vec<OwnedFd>) -> (HandedConnections, Vec<OwnedFd>) {
        let mut frozen = self.with_sockets(sockets);
        frozen.open.retain(|one| one.state.tls.is_none());
        frozen.into_parts()
    }

    /// Returns the number of descriptors that are sent beside this message.
    pub fn descriptors(&self) -> usize {
        self.open.iter().filter(|one| one.has_socket).count()
    }

    /// Joins the connections with the descriptors received beside this message, of which some may be missing.
    pub fn with_sockets(self, sockets: Vec<OwnedFd>) -> FrozenConnections {
        let mut sockets = sockets.into_iter();
        let open = self.open.into_iter().map(|state| {
            let socket = if state.has_socket { sockets.next() } else { None };
            FrozenConnection { state, socket }
        });
        let messages = self.messages.into_iter().map(|message| (message.flow, message.bytes.into()));
        FrozenConnections { next: self.next, open: open.collect(), messages: messages.collect() }
    }
}

impl FrozenConnections {
    /// Splits the connections into plain data, and their sockets in the same order.
    pub fn into_parts(self) -> (HandedConnections, Vec<OwnedFd>) {
        let FrozenConnections { next, mut open, messages } = self;
        // The order of their numbers is that of their age, by which crowded sources lose connections.
        open.sort_by_key(|one| one.state.flow.connection);
        let (open, sockets): (Vec<_>, Vec<_>) = open.into_iter().map(|one| (one.state, one.socket)).unzip();
        // Without its connection a message has no way back.
        let crosses = |flow: &Flow| {
            flow.connection.is_none() || open.binary_search_by_key(&flow.connection, |one| one.flow.connection).is_ok()
        };
        let messages = messages.into_iter().filter(|(flow, _)| crosses(flow));
        let messages = messages.map(|(flow, bytes)| HandedMessage { flow, bytes: bytes.to_vec() }).collect();
        (HandedConnections { next, open, messages }, sockets.into_iter().flatten().collect())
    }

    /// Iterates over the connections with a known trunk: number, remote address and trunk.
    pub fn identified(&self) -> impl Iterator<Item = (ConnectionId, SocketAddr, TlsIdentity)> {
        self.open.iter().filter_map(|one| {
            let HandedConnection { flow, owner, .. } = &one.state;
            Some((flow.connection?, flow.remote, owner.identity.clone()?))
        })
    }

    /// Iterates over the numbers of the connections.
    pub fn numbers(&self) -> impl Iterator<Item = ConnectionId> {
        self.open.iter().filter_map(|one| one.state.flow.connection)
    }
}

impl Default for FrozenConnections {
    fn default() -> FrozenConnections {
        FrozenConnections { next: 1, open: Vec::new(), messages: Vec::new() }
    }
}

impl fmt::Debug for FrozenConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrozenConnections").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

/// Waits until connections are given back for another process.
pub(super) async fn until_frozen(mut freeze: watch::Receiver<bool>) {
    if freeze.wait_for(|is_frozen| *is_frozen).await.is_err() {
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use trunkgate_sip::{ListenerId, Transport};

    use super::*;

    fn frozen(id: u64, socket: Option<OwnedFd>) -> FrozenConnection {
        let remote = "192.0.2.1:5060".parse().unwrap();
        let state = HandedConnection {
            flow: Flow {
                transport: Transport::Tcp,
                listener: ListenerId(0),
                remote,
                connection: Some(ConnectionId(id)),
            },
            has_socket: socket.is_some(),
            is_accepted: true,
            awaits_first: false,
            slot: SlotKind::Known,
            unread: b"INV".to_vec(),
            unsent: b"rest".to_vec(),
            tls: None,
            owner: HandedOwner::default(),
        };
        FrozenConnection { state, socket }
    }

    #[test]
    fn keys_of_tls_are_not_given_to_a_second_process() {
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let keys = serde_json::json!({ "key": vec![0; 32], "iv": vec![0; 12] });
        let direction = serde_json::json!({ "current": keys, "sequence": 0, "next": [] });
        let snapshot = serde_json::json!({
            "keys": {
                "version": "Tls13", "suite": "Aes256Gcm", "side": "Client", "sending": direction, "receiving": direction,
            },
            "bytes": { "received": [], "plaintext": [], "unsent": [] },
        });
        let mut open = vec![frozen(1, Some(file())), frozen(2, Some(file())), frozen(3, None)];
        open[0].state.tls = Some(serde_json::from_value(snapshot).unwrap());
        let expected = open[1].socket.as_ref().unwrap().as_raw_fd();
        let (handed, sockets) = FrozenConnections { next: 4, open, messages: Vec::new() }.into_parts();
        assert_eq!((handed.descriptors(), sockets.len()), (2, 2));
        let (handed, sockets) = handed.without_tls(sockets);
        assert_eq!(sockets.iter().map(|socket| socket.as_raw_fd()).collect::<Vec<_>>(), [expected]);
        let left: Vec<_> = handed.with_sockets(sockets).numbers().map(|id| id.0).collect();
        assert_eq!(left, [2, 3]);
    }

    #[test]
    fn sockets_stay_with_their_connections_and_messages_in_order() {
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let open = vec![frozen(7, Some(file())), frozen(2, None), frozen(5, Some(file()))];
        let expected: Vec<_> = [2, 1].map(|at: usize| open[2 * (at - 1)].socket.as_ref().unwrap().as_raw_fd()).to_vec();
        let message = |id, text: &'static [u8]| (frozen(id, None).state.flow, Bytes::from_static(text));
        let messages = vec![message(5, b"one"), message(4, b"closed"), message(7, b"two")];
        let (handed, sockets) = FrozenConnections { next: 9, open, messages }.into_parts();
        assert_eq!(sockets.iter().map(|socket| socket.as_raw_fd()).collect::<Vec<_>>(), expected);
        let text = serde_json::to_string(&handed).unwrap();
        let received: HandedConnections = serde_json::from_str(&text).unwrap();
        assert_eq!((serde_json::to_string(&received).unwrap(), received.descriptors()), (text, 2));
        let received = received.with_sockets(sockets);
        assert_eq!(received.numbers().map(|id| id.0).collect::<Vec<_>>(), [2, 5, 7]);
        let with_sockets: Vec<_> = received.open.iter().map(|one| one.socket.is_some()).collect();
        assert_eq!((received.next, with_sockets), (9, vec![false, true, true]));
        let texts: Vec<_> = received.messages.iter().map(|(_, bytes)| &bytes[..]).collect();
        assert_eq!(texts, [&b"one"[..], b"two"]);
    }
}
