//! The machine's own addresses: which of them reaches a peer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::IpNet;
use nix::sys::socket::SockaddrStorage;
use trunkgate_call::Interfaces;

/// Reads the interfaces' addresses and the ones of the default routes.
pub fn read() -> Interfaces {
    let mut networks = Vec::new();
    match nix::ifaddrs::getifaddrs() {
        Ok(addresses) => {
            for interface in addresses {
                let address = interface.address.as_ref().and_then(ip);
                let mask = interface.netmask.as_ref().and_then(ip);
                if let (Some(address), Some(mask)) = (address, mask)
                    && !is_link_local(address)
                    && let Ok(network) = IpNet::with_netmask(address, mask)
                {
                    networks.push((network.trunc(), address));
                }
            }
        }
        Err(error) => tracing::warn!("the interfaces cannot be read: {error}"),
    }
    Interfaces {
        networks,
        // Documentation addresses (RFC 5737, RFC 3849), which only a default route leads to.
        default_v4: towards(([192, 0, 2, 1], 9).into()),
        default_v6: towards(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9).into()),
    }
}

/// Whether two readings say the same.
pub fn same(a: &Interfaces, b: &Interfaces) -> bool {
    a.networks == b.networks && a.default_v4 == b.default_v4 && a.default_v6 == b.default_v6
}

/// Whether an address is this machine's, by what its interfaces have now.
pub(crate) fn has(address: IpAddr) -> bool {
    let own = || nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|one| one.address.as_ref().and_then(ip));
    address.is_loopback() || own().any(|own| own == address)
}

/// A scope would be needed to use one.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// Our address on the way to another: connecting a datagram socket asks the routing table and sends nothing.
pub(crate) fn towards(elsewhere: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if elsewhere.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(elsewhere).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_with_its_network() {
        let interfaces = read();
        let loopback: IpNet = "127.0.0.0/8".parse().unwrap();
        assert!(interfaces.networks.contains(&(loopback, "127.0.0.1".parse().unwrap())), "{interfaces:?}");
        assert!(same(&interfaces, &interfaces.clone()));
    }
}
