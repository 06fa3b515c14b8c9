//! The way of a message: transport, listener, connection and far end; and the parties that speak.

use std::net::{IpAddr, SocketAddr};

use trunkgate_terms::Transport;

/// One of our listeners, by its position in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ListenerId(pub u16);

/// One stream connection, numbered by the shell; never reused in a process's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ConnectionId(pub u64);

/// Who a message comes from, as the layer above names its parties (a trunk). Opaque here: a dialog belongs to one
/// party, and nobody else may speak in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Party(pub u32);

/// The way a message came in or goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Flow {
    /// How it travels.
    pub transport: Transport,
    /// The listener it came by or leaves by.
    pub listener: ListenerId,
    /// The far end.
    pub remote: SocketAddr,
    /// The connection, for streams. `None` outward: the shell reuses one to `remote` or opens it.
    pub connection: Option<ConnectionId>,
}

/// How we name ourselves towards one far end: what goes into Via and Contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Local {
    /// The address that far end can reach.
    pub ip: IpAddr,
    /// The port of our listener.
    pub port: u16,
}
