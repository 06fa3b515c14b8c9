//! A trunk: a party we exchange SIP with.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

/// How a peer is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Stream.
    Tcp,
    /// Stream under TLS.
    Tls,
}

/// One address of a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// As written, e.g. `sip:sbc.example.com;transport=tcp`: names the peer in logs and metrics.
    pub uri: String,
    /// Host name or address (IPv6 without brackets).
    pub host: String,
    /// Port, where written.
    pub port: Option<u16>,
    /// Transport; UDP where none is written.
    pub transport: Transport,
    /// Lower first.
    pub priority: u16,
    /// Share among equals (RFC 2782); 0 to 65535.
    pub weight: u16,
    /// The addresses it resolves to, as far as known when the table was built.
    pub addresses: Vec<IpAddr>,
}

/// The form of numbers towards a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SendNumbers {
    /// `+14155551234`
    #[default]
    E164,
    /// `14155551234`
    PlusLess,
    /// As dialled inside the edge's country.
    National,
    /// As received.
    AsIs,
}

/// A trunk as configured.
#[derive(Debug, Clone)]
pub struct Trunk {
    /// Its name: metric label, log field, console path.
    pub name: Arc<str>,
    /// Its addresses.
    pub peers: Vec<Peer>,
    /// Networks its requests come from; empty: the peers' addresses.
    pub accept_from: Vec<IpNet>,
    /// Further networks its RTP may come from.
    pub media_from: Vec<IpNet>,
    /// The listener its requests leave by.
    pub listen: Option<String>,
    /// Codecs it may use, in order, as rtpmap names.
    pub codecs: Vec<String>,
    /// How long one attempt may ring.
    pub ring_timeout: Duration,
    /// How long without any provisional answer before the next peer.
    pub no_response_timeout: Duration,
    /// Answers on which the next target is tried.
    pub failover_on: Vec<u16>,
    /// Calls at once; 0: no limit.
    pub max_calls: u32,
    /// New calls a second; 0: no limit.
    pub calls_per_second: u32,
    /// The form of numbers towards it.
    pub send_numbers: SendNumbers,
}
