//! Addresses of this machine, and the source address used towards a peer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::IpNet;
use nix::sys::socket::SockaddrStorage;
use trunkgate_call::Interfaces;

use super::routing;

/// Documentation addresses (RFC 5737, RFC 3849, RFC 9637), which only a default route reaches.
const BEYOND_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(203, 0, 113, 1)];
const BEYOND_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 1)];

/// Reads the addresses of the interfaces, and the source addresses of the default routes.
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
        Err(error) => tracing::warn!(
            "local networks are unknown, because the network interfaces of this machine cannot be read: {error}"
        ),
    }
    let mut interfaces = Interfaces { networks, ..Interfaces::default() };
    set_defaults(&mut interfaces, &[]);
    interfaces
}

/// Reads addresses and routes of this machine: the source address towards each destination of the routing table, and
/// towards each of `peers`, because policy routing may treat them differently.
pub fn read_routes(peers: impl IntoIterator<Item = IpAddr>) -> Interfaces {
    let mut interfaces = read();
    let mut destinations = routing::destinations();
    destinations.sort_by_key(IpNet::prefix_len);
    set_defaults(&mut interfaces, &destinations);
    for network in &destinations {
        if let Some(inside) = routing::representative(*network, &destinations) {
            refine(&mut interfaces, *network, inside);
        }
    }
    for peer in peers {
        refine(&mut interfaces, peer.to_canonical().into(), peer.to_canonical());
    }
    interfaces
}

/// Determines the source addresses of the default routes: those towards an address outside of all known networks.
fn set_defaults(interfaces: &mut Interfaces, destinations: &[IpNet]) {
    let networks = &interfaces.networks;
    let is_known = |ip: &IpAddr| {
        let known = networks.iter().map(|(network, _)| network).chain(destinations);
        known.filter(|network| network.prefix_len() > 0).any(|network| network.contains(ip))
    };
    let unknown = |ip: IpAddr| Some(ip).filter(|ip| !is_known(ip)).map(|ip| towards((ip, 9).into()));
    let default_v4 = BEYOND_V4.into_iter().find_map(|ip| unknown(ip.into())).flatten();
    let default_v6 = BEYOND_V6.into_iter().find_map(|ip| unknown(ip.into())).flatten();
    (interfaces.default_v4, interfaces.default_v6) = (default_v4, default_v6);
}

/// Adds a route for `network` if the system's source address towards `inside`, an address in it, differs from the one
/// expected so far.
fn refine(interfaces: &mut Interfaces, network: IpNet, inside: IpAddr) {
    let found = towards((inside, 9).into()).filter(|ip| !is_link_local(*ip));
    if let Some(found) = found.filter(|found| interfaces.towards(inside) != Some(*found)) {
        interfaces.routes.push((network, found));
    }
}

/// Returns whether two readings of the machine's addresses are equal.
pub fn same(a: &Interfaces, b: &Interfaces) -> bool {
    let read = |one: &Interfaces| (one.networks.clone(), one.routes.clone(), one.default_v4, one.default_v6);
    read(a) == read(b)
}

/// Describes the change between two readings: added and removed addresses, else a change of networks or routes.
pub fn change(before: &Interfaces, after: &Interfaces) -> String {
    let missing = |all: &Interfaces, others: &Interfaces| {
        let is_known = |address: &IpAddr| others.networks.iter().any(|(_, other)| other == address);
        let own = all.networks.iter().map(|(_, address)| *address).filter(|address| !is_known(address));
        own.map(|address| address.to_string()).collect::<Vec<_>>().join(", ")
    };
    let lists = [("added", missing(after, before)), ("removed", missing(before, after))];
    let lists = lists.iter().filter(|(_, list)| !list.is_empty());
    let lists: Vec<String> = lists.map(|(what, list)| format!("{what} {list}")).collect();
    if lists.is_empty() {
        "networks or routes of this machine changed".to_owned()
    } else {
        format!("addresses of this machine changed: {}", lists.join("; "))
    }
}

/// Returns whether an address currently belongs to this machine.
pub fn has(address: IpAddr) -> bool {
    let own = || nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|one| one.address.as_ref().and_then(ip));
    address.is_loopback() || own().any(|own| own == address)
}

/// Returns whether an address is link-local, and therefore unusable without a scope.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// Returns the source address towards a destination; `None` without a route. Connecting a datagram socket consults the
/// routing table and sends nothing.
pub fn towards(elsewhere: SocketAddr) -> Option<IpAddr> {
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

    #[test]
    fn a_change_names_added_and_removed_addresses() {
        let reading = |addresses: &[&str]| Interfaces {
            networks: addresses.iter().map(|ip| ("192.0.2.0/24".parse().unwrap(), ip.parse().unwrap())).collect(),
            ..Interfaces::default()
        };
        let (before, after) = (reading(&["192.0.2.1", "192.0.2.2"]), reading(&["192.0.2.2", "192.0.2.3"]));
        let text = "addresses of this machine changed: added 192.0.2.3; removed 192.0.2.1";
        assert_eq!(change(&before, &after), text);
        assert_eq!(change(&before, &before), "networks or routes of this machine changed");
    }

    #[test]
    fn the_system_s_own_answer_is_what_is_known_of_each_peer() {
        let peers: Vec<IpAddr> = ["127.0.0.5", "192.0.2.77", "203.0.113.7", "10.9.8.7", "::1", "2001:db8::77"]
            .map(|ip| ip.parse().unwrap())
            .to_vec();
        let interfaces = read_routes(peers.iter().copied());
        for peer in peers {
            if let Some(found) = towards((peer, 9).into()).filter(|ip| !is_link_local(*ip)) {
                assert_eq!(interfaces.towards(peer), Some(found), "{peer} {interfaces:?}");
            }
        }
        assert_eq!(interfaces.towards("127.0.0.5".parse().unwrap()), Some("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_host_with_a_rule_of_its_own_is_known_by_itself() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut interfaces = Interfaces { default_v4: Some(ip("192.0.2.9")), ..Interfaces::default() };
        // The first address is not the default one; the second one is already known.
        refine(&mut interfaces, ip("127.0.0.7").into(), ip("127.0.0.7"));
        assert!(interfaces.routes.is_empty(), "{interfaces:?}");
        interfaces.networks = vec![("127.0.0.0/8".parse().unwrap(), ip("127.0.0.9"))];
        refine(&mut interfaces, "127.0.0.0/16".parse().unwrap(), ip("127.0.0.7"));
        assert_eq!(interfaces.routes, [("127.0.0.0/16".parse().unwrap(), ip("127.0.0.1"))]);
        refine(&mut interfaces, ip("127.0.0.8").into(), ip("127.0.0.8"));
        assert_eq!(interfaces.routes.len(), 1);
    }
}
