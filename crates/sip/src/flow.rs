//! Network flows (transport, listener, connection, remote address), and the parties behind them.

use std::net::{IpAddr, SocketAddr};

use trunkgate_terms::Transport;

/// Listener of this process, by its position in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ListenerId(pub u16);

/// Stream connection, numbered by the I/O layer; numbers are never reused within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ConnectionId(pub u64);

/// Remote party of messages, such as a trunk, assigned by the layer above and opaque here. A dialog belongs to one
/// party, and messages of other parties are not accepted in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct SipPartyId(pub u32);

/// Path of a received or outgoing message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Flow {
    /// Transport protocol of the flow.
    pub transport: Transport,
    /// Listener on which the message arrived, or by which it is sent.
    pub listener: ListenerId,
    /// Address and port of the remote side.
    pub remote: SocketAddr,
    /// Stream connection. `None` for an outgoing message: the I/O layer reuses a connection to `remote` or opens one.
    pub connection: Option<ConnectionId>,
}

/// Local address shown to a remote party in Via and Contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct LocalAddress {
    /// Address that the remote party can reach.
    pub ip: IpAddr,
    /// Port of the listener.
    pub port: u16,
}
