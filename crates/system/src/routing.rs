//! Routing table of the system: its destinations, and notifications of changed routes and interface addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::libc;
use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};
use tokio::net::UnixDatagram;

/// Maximum number of destinations in each address family; a router with more has a default route for most of them.
const DESTINATIONS: usize = 1_024;
/// Flag of a reject route (`RTF_REJECT`).
const REJECTS: u32 = 0x200;
/// Flag of an address of this machine (`RTF_LOCAL`).
const LOCAL: u32 = 0x8000_0000;

/// Returns the distinct destinations of the main routing table without default routes, at most [`DESTINATIONS`] in each
/// family.
pub(super) fn destinations() -> Vec<IpNet> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (v4, v6) = (read("/proc/net/route"), read("/proc/net/ipv6_route"));
    let v4 = v4.lines().filter_map(of_v4).take(DESTINATIONS);
    let mut all: Vec<IpNet> = v4.chain(v6.lines().filter_map(of_v6).take(DESTINATIONS)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Parses a line of `/proc/net/route`: interface, destination, gateway, flags, three counters, mask. Numbers are
/// hexadecimal, in host byte order.
fn of_v4(line: &str) -> Option<IpNet> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
    let address = |at: usize| Some(Ipv4Addr::from(number(at)?.to_ne_bytes()));
    let network = Ipv4Net::with_netmask(address(1)?, address(7)?).ok()?;
    (number(3)? & REJECTS == 0 && network.prefix_len() > 0).then_some(network.into())
}

/// Parses a line of `/proc/net/ipv6_route`: destination, prefix length, source, its prefix length, gateway, metric, two
/// counters, flags, interface.
fn of_v6(line: &str) -> Option<IpNet> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let address = Ipv6Addr::from(u128::from_str_radix(fields.first()?, 16).ok()?);
    let length = u8::from_str_radix(fields.get(1)?, 16).ok()?;
    let flags = u32::from_str_radix(fields.get(8)?, 16).ok()?;
    let is_other = address.is_multicast() || address.is_unicast_link_local() || flags & (REJECTS | LOCAL) != 0;
    (!is_other && length > 0).then(|| Ipv6Net::new(address, length).ok().map(IpNet::from))?
}

/// Returns an address of `network` that is in no more specific network of `all`; `None` if none of the candidates tried
/// is.
pub(super) fn representative(network: IpNet, all: &[IpNet]) -> Option<IpAddr> {
    let (first, last) = (number(network.network()), number(network.broadcast()));
    let is_free = |ip: &IpAddr| {
        let longer = all.iter().filter(|other| other.prefix_len() > network.prefix_len());
        longer.into_iter().all(|other| !other.contains(ip))
    };
    let parts = (0..16).map(|part| (first + (last - first) / 16 * part).saturating_add(1));
    let ends = [last.saturating_sub(1), first, last];
    let inside = parts.chain(ends).filter(|number| (first..=last).contains(number));
    inside.map(|number| address(number, network)).find(is_free)
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn address(number: u128, of: IpNet) -> IpAddr {
    match of {
        IpNet::V4(_) => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpNet::V6(_) => Ipv6Addr::from(number).into(),
    }
}

/// Subscription to changes of routes and addresses.
#[derive(Debug)]
pub struct RouteWatcher {
    /// Netlink socket, read like a datagram socket.
    socket: UnixDatagram,
}

impl RouteWatcher {
    /// Subscribes to route and address messages of the kernel; `None` if the system refuses.
    pub fn new() -> Option<RouteWatcher> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute).ok()?;
        let groups =
            [libc::RTMGRP_IPV4_IFADDR, libc::RTMGRP_IPV6_IFADDR, libc::RTMGRP_IPV4_ROUTE, libc::RTMGRP_IPV6_ROUTE];
        let groups = groups.iter().fold(0, |all, group| all | group.unsigned_abs());
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups)).ok()?;
        let socket = UnixDatagram::from_std(StdUnixDatagram::from(fd)).ok()?;
        Some(RouteWatcher { socket })
    }

    /// Waits for a change of routes or addresses, and discards all pending messages about it. Never returns if the
    /// socket fails.
    pub async fn changed(&self) {
        if self.socket.readable().await.is_err() {
            return std::future::pending().await;
        }
        let mut buffer = [0; 4_096];
        loop {
            match self.socket.try_recv(&mut buffer) {
                Ok(1..) => {}
                // The kernel dropped messages because the buffer was full, so there were changes.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Ok(0) | Err(_) => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn destinations_are_read_without_defaults_and_what_leads_nowhere() {
        let line = |destination: [u8; 4], flags: &str, mask: [u8; 4]| {
            let hex = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
            format!("eth1\t{}\t010200C0\t{flags}\t0\t0\t0\t{}\t0\t0\t0", hex(destination), hex(mask))
        };
        assert_eq!(of_v4(&line([203, 0, 113, 0], "0003", [255, 255, 255, 0])), Some(net("203.0.113.0/24")));
        assert_eq!(of_v4(&line([203, 0, 113, 7], "0005", [255; 4])), Some(net("203.0.113.7/32")));
        assert_eq!(of_v4(&line([0; 4], "0003", [0; 4])), None);
        assert_eq!(of_v4(&line([203, 0, 113, 0], "0203", [255, 255, 255, 0])), None);
        assert_eq!(of_v4("Iface\tDestination\tGateway \tFlags"), None);
        let line = |destination: &str, length: &str, flags: &str| {
            let zero = "0".repeat(32);
            format!("{destination} {length} {zero} 00 {zero} 00000400 00000003 00000000 {flags}     eth0")
        };
        let network = "20010db8000100000000000000000000";
        assert_eq!(of_v6(&line(network, "30", "00000003")), Some(net("2001:db8:1::/48")));
        assert_eq!(of_v6(&line(network, "30", "00200200")), None);
        assert_eq!(of_v6(&line("fe800000000000000000000000000000", "40", "00000001")), None);
        assert_eq!(of_v6(&line("00000000000000000000000000000001", "80", "80200001")), None);
        assert_eq!(of_v6(&line("00000000000000000000000000000000", "00", "00000003")), None);
    }

    #[test]
    fn a_network_is_asked_about_at_an_address_that_no_longer_prefix_has() {
        let all = ["10.0.0.0/8", "10.0.0.0/24", "10.16.0.0/12", "10.1.2.3/32", "2001:db8::/32"].map(net);
        for network in all {
            let inside = representative(network, &all).unwrap();
            let longest = all.iter().filter(|other| other.contains(&inside)).max_by_key(|other| other.prefix_len());
            assert_eq!(longest, Some(&network), "{inside}");
        }
        assert_eq!(representative(net("10.0.0.0/31"), &[net("10.0.0.0/32"), net("10.0.0.1/32")]), None);
    }
}
