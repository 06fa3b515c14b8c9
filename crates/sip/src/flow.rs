//! The way of a message: transport, listener, connection and far end; and the parties that speak.

use std::net::{IpAddr, SocketAddr};

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams: retransmission is ours (RFC 3261 §17).
    Udp,
    /// A stream, framed by Content-Length (RFC 3261 §18.3).
    Tcp,
    /// A stream under TLS.
    Tls,
}

impl Transport {
    /// Whether the transport retransmits by itself: timers A, E, G are off, D, I, J, K are zero (RFC 3261 §17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// The token in a Via, as in `SIP/2.0/UDP`.
    pub const fn via_token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }
}

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
