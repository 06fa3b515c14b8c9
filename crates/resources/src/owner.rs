//! Addresses and the trunks that own them; those that no transfer may lead to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use trunkgate_route::Trunk;
use trunkgate_route::acl::translated;

use crate::edge::Edge;

impl Edge {
    /// Returns the trunk that a request to an address reaches: one whose peer or network it is, or whose phone has registered
    /// from there.
    pub fn owner_of(&self, remote: SocketAddr) -> Option<Arc<Trunk>> {
        let by_table = self.table.owner_of(remote).cloned();
        by_table.or_else(|| self.table.trunk(&self.registrar.trunk_at(remote)?).cloned())
    }

    /// Whether nothing that an agent or an operator has named may lead to an address: this machine's own, and those of no
    /// host. A trunk's peer may be there, at exactly its port.
    pub fn is_forbidden(&self, remote: SocketAddr) -> bool {
        let ip = remote.ip().to_canonical();
        let is_inside = |ip: IpAddr| is_no_host(ip) || self.addressing.is_ours(ip);
        let mut hidden = translated(ip).map(IpAddr::V4);
        (is_inside(ip) || hidden.any(is_inside)) && !self.table.is_peer(SocketAddr::new(ip, remote.port()))
    }
}

/// Whether an address is no host on a network: loopback, link-local, unspecified, multicast, broadcast.
fn is_no_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            let is_this_network = first == 0;
            v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || is_this_network
        }
        IpAddr::V6(v6) => {
            // IPv4-compatible ones (RFC 4291 §2.5.5.1) are in use nowhere.
            let is_compatible = matches!(v6.segments(), [0, 0, 0, 0, 0, 0, ..]);
            v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast() || is_compatible
        }
    }
}
