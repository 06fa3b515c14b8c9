//! Which of our addresses a far end is shown. Every address in SDP, Via and Contact is made here and nowhere else.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use trunkgate_sip::{ListenerId, Local, Transport};

/// One of our listeners, bound.
#[derive(Debug, Clone)]
pub struct ListenerSpec {
    /// Position in the configuration.
    pub id: ListenerId,
    /// Name.
    pub name: String,
    /// Transport.
    pub transport: Transport,
    /// Where it is bound; the address may be unspecified, the port is the real one.
    pub bound: SocketAddr,
    /// Its own public addresses; empty: the edge's.
    pub public_addresses: Vec<IpAddr>,
}

/// The machine's addresses, read at start: which local address reaches a peer.
#[derive(Debug, Clone, Default)]
pub struct Interfaces {
    /// Networks that an interface is in, with our address there.
    pub networks: Vec<(IpNet, IpAddr)>,
    /// Our address towards everything else.
    pub default_v4: Option<IpAddr>,
    /// The same for IPv6.
    pub default_v6: Option<IpAddr>,
}

/// All that decides which address a far end is shown.
#[derive(Debug, Clone, Default)]
pub struct Addressing {
    /// Listeners.
    pub listeners: Vec<ListenerSpec>,
    /// `[edge] public_address`; empty: the local address that reaches the peer.
    pub public_addresses: Vec<IpAddr>,
    /// Peers in these networks are shown our local address.
    pub local_networks: Vec<IpNet>,
    /// The machine's addresses.
    pub interfaces: Interfaces,
    /// Addresses that media sockets are bound to (`[media] address`).
    pub media_bind: Vec<IpAddr>,
}

impl Addressing {
    /// The address that `peer` is shown in Via, Contact and SDP.
    pub fn shown_to(&self, peer: IpAddr, listener: Option<ListenerId>) -> Option<IpAddr> {
        let _ = (peer, listener);
        unimplemented!()
    }
    /// Via and Contact of what leaves by `listener` to `peer`.
    pub fn local(&self, peer: IpAddr, listener: ListenerId) -> Option<Local> {
        let _ = (peer, listener);
        unimplemented!()
    }
    /// The listener that a request to `peer` leaves by: the one named, else the first of `transport` and family.
    pub fn listener_for(&self, name: Option<&str>, transport: Transport, peer: IpAddr) -> Option<&ListenerSpec> {
        let _ = (name, transport, peer);
        unimplemented!()
    }
    /// The address that a media socket towards `peer` is bound to: one of `[media] address` of its family.
    pub fn media_bind(&self, peer: IpAddr) -> Option<IpAddr> {
        let _ = peer;
        unimplemented!()
    }
    /// Whether an address in an SDP may be sent to: loopback, link-local, multicast and our own sockets are refused
    /// unless the trunk signals from loopback.
    pub fn may_send_media_to(&self, address: SocketAddr, signalling: IpAddr) -> bool {
        let _ = (address, signalling);
        unimplemented!()
    }
}
