//! Maps a source address to its trunk before a message is parsed: an exact peer address and port first, then the
//! longest matching network, then file order. Addresses are compared in canonical form (IPv4-mapped IPv6 as IPv4).

use rustc_hash::FxHashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use crate::locate::DestinationServer;
use crate::trunk::Trunk;

/// Networks of one prefix length: the first address of each, and the position of its trunk.
type PrefixNetworks = FxHashMap<IpAddr, usize>;

/// Returns the network to which limits on a source apply: the /64 of an IPv6 address, since a host usually owns all of
/// it (RFC 4291 §2.5.1), or the IPv4 address itself.
pub fn household(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
        v4 => v4,
    }
}

/// Reason why a source address belongs to a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceMatch {
    /// Exact address and port of a peer.
    Peer,
    /// Longest matching network; a single address if the trunk has no `accept_from`.
    Network(IpNet),
}

/// Lookup table from source address to trunk, built once per configuration. Lookups do not allocate.
#[derive(Debug, Clone, Default)]
pub struct Acl {
    exact: FxHashMap<(IpAddr, u16), usize>,
    /// Networks by prefix length, longest first, so that the first hit is the best match.
    v4: Vec<(u8, PrefixNetworks)>,
    v6: Vec<(u8, PrefixNetworks)>,
}

impl Acl {
    /// Builds the table for the sources of received messages. A trunk without `accept_from` is identified by the
    /// addresses of its peers.
    pub fn new(trunks: &[Arc<Trunk>]) -> Acl {
        Acl::build(trunks, false)
    }

    /// Builds the table for destinations: a trunk owns the addresses of its peers, with any port, and of its
    /// registrar, in addition to the networks it sends from.
    pub fn dialled(trunks: &[Arc<Trunk>]) -> Acl {
        Acl::build(trunks, true)
    }

    fn build(trunks: &[Arc<Trunk>], is_dialled: bool) -> Acl {
        let mut acl = Acl::default();
        for (position, trunk) in trunks.iter().enumerate() {
            for peer in &trunk.peers {
                for socket in peer.servers.iter().flat_map(DestinationServer::sockets) {
                    let Some(address) = usable(socket.ip()) else { continue };
                    if socket.port() != 0 {
                        acl.exact.entry((address, socket.port())).or_insert(position);
                    }
                    if is_dialled || trunk.accept_from.is_empty() {
                        acl.add_network(IpNet::from(address), position);
                    }
                }
            }
            let registrar = trunk.register.as_ref().filter(|_| is_dialled);
            let registrar = registrar.and_then(|register| register.registrar.literal());
            for address in registrar.iter().flat_map(|server| &server.addresses).filter_map(|ip| usable(*ip)) {
                acl.add_network(IpNet::from(address), position);
            }
            for network in &trunk.accept_from {
                acl.add_network(canonical_network(*network), position);
            }
        }
        acl.v4.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        acl.v6.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        acl
    }

    /// Returns whether an address and port are exactly those of a peer.
    pub fn is_peer(&self, socket: SocketAddr) -> bool {
        usable(socket.ip()).is_some_and(|address| self.exact.contains_key(&(address, socket.port())))
    }

    /// Returns the position of the trunk that a request sent to `remote` would reach. An IPv6 address that embeds an
    /// IPv4 address (NAT64, 6to4) counts as the latter.
    pub fn owner_of(&self, remote: SocketAddr) -> Option<usize> {
        let direct = self.trunk_of(remote);
        let of_hidden = |ip: Ipv4Addr| self.trunk_of(SocketAddr::new(ip.into(), remote.port()));
        direct.or_else(|| translated(remote.ip()).find_map(of_hidden))
    }

    /// Returns the position, in file order, of the trunk that `source` belongs to.
    pub fn trunk_of(&self, source: SocketAddr) -> Option<usize> {
        self.known(source).map(|(position, _)| position)
    }

    /// Returns the position of the trunk that `source` belongs to, and the kind of entry that matched.
    pub fn known(&self, source: SocketAddr) -> Option<(usize, SourceMatch)> {
        let address = usable(source.ip())?;
        if let Some(position) = self.exact.get(&(address, source.port())) {
            return Some((*position, SourceMatch::Peer));
        }
        let by_length = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        by_length.iter().find_map(|(length, networks)| {
            let network = masked(address, *length);
            let position = *networks.get(&network)?;
            Some((position, SourceMatch::Network(IpNet::new(network, *length).ok()?)))
        })
    }

    fn add_network(&mut self, network: IpNet, position: usize) {
        let by_length = if network.addr().is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let length = network.prefix_len();
        let at = by_length.iter().position(|(known, _)| *known == length).unwrap_or_else(|| {
            by_length.push((length, PrefixNetworks::default()));
            by_length.len() - 1
        });
        if let Some((_, networks)) = by_length.get_mut(at) {
            networks.entry(network.network()).or_insert(position);
        }
    }
}

/// Returns the canonical form of an address. Unspecified addresses yield `None`: no host sends from them, and a match
/// would let a forged source pass.
fn usable(address: IpAddr) -> Option<IpAddr> {
    let canonical = address.to_canonical();
    (!canonical.is_unspecified()).then_some(canonical)
}

/// Returns the IPv4 addresses that an IPv6 address may be translated to: NAT64 with the well-known prefix
/// `64:ff9b::/96` (RFC 6052 §2.1) or the local prefix `64:ff9b:1::/48` (RFC 8215) at every position of RFC 6052 §2.2,
/// 6to4 (`2002::/16`, RFC 3056 §2), and SIIT (`::ffff:0:0:0/96`, RFC 2765 §2.1).
pub fn translated(address: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return [None; 4].into_iter().flatten() };
    let [_, _, s2, s3, s4, s5, s6, s7, _, s9, s10, s11, s12, s13, s14, s15] = v6.octets();
    let last = [s12, s13, s14, s15];
    let places = match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => [Some(last), None, None, None],
        // A translator may choose any prefix within this range, of 48, 56, 64 or 96 bits.
        [0x64, 0xff9b, 1, ..] => {
            let places = [[s6, s7, s9, s10], [s7, s9, s10, s11], [s9, s10, s11, s12], last];
            // A first octet of zero is padding around the address, not part of a host address.
            places.map(|place| Some(place).filter(|[first, ..]| *first != 0))
        }
        [0x2002, ..] => [Some([s2, s3, s4, s5]), None, None, None],
        _ => [None; 4],
    };
    places.map(|place| place.map(Ipv4Addr::from)).into_iter().flatten()
}

/// Converts a network of IPv4-mapped addresses to IPv4: `::ffff:10.0.0.0/104` becomes `10.0.0.0/8`.
fn canonical_network(network: IpNet) -> IpNet {
    if let (IpNet::V6(v6), IpAddr::V4(address)) = (network, network.addr().to_canonical())
        && let Some(length) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(address, length)
    {
        return IpNet::V4(v4);
    }
    network
}

/// Returns an address with all but its first `length` bits cleared.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let host = 32_u32.saturating_sub(u32::from(length));
            IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(host).unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            let host = 128_u32.saturating_sub(u32::from(length));
            IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(host).unwrap_or(0)).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trunk::Peer;
    use trunkgate_terms::Transport;

    fn known(trunks: &[Trunk], source: &str) -> Option<String> {
        let trunks: Vec<Arc<Trunk>> = trunks.iter().cloned().map(Arc::new).collect();
        let position = Acl::new(&trunks).trunk_of(source.parse().unwrap())?;
        Some(trunks[position].name.to_string())
    }

    fn trunk(name: &str, peers: &[&str], accept_from: &[&str]) -> Trunk {
        let mut trunk = Trunk::named(name);
        trunk.peers = peers
            .iter()
            .map(|text| {
                let (address, port) = match text.parse::<SocketAddr>() {
                    Ok(socket) => (socket.ip(), Some(socket.port())),
                    Err(_) => (text.parse().unwrap(), None),
                };
                Peer::at(address, port, Transport::Udp)
            })
            .collect();
        trunk.accept_from = accept_from.iter().map(|text| text.parse().unwrap()).collect();
        trunk
    }

    #[test]
    fn a_peers_exact_address_and_port_wins_over_any_network() {
        let trunks = [
            trunk("first", &["10.0.0.1:5060"], &["10.0.0.1/32"]),
            trunk("second", &["10.0.0.1:5080", "10.0.0.2"], &[]),
        ];
        assert_eq!(known(&trunks, "10.0.0.1:5060").as_deref(), Some("first"));
        assert_eq!(known(&trunks, "10.0.0.1:5080").as_deref(), Some("second"));
        assert_eq!(known(&trunks, "10.0.0.1:40000").as_deref(), Some("first"), "among equal networks the first");
        assert_eq!(known(&trunks, "10.0.0.2:40000").as_deref(), Some("second"), "by its peer's address");
    }

    #[test]
    fn what_a_source_is_known_by_is_told() {
        let trunks = [trunk("a", &["10.0.0.1:5060"], &["10.0.0.0/8", "10.1.0.0/16"]), trunk("b", &["192.0.2.1"], &[])];
        let trunks: Vec<Arc<Trunk>> = trunks.into_iter().map(Arc::new).collect();
        let known = |source: &str| Acl::new(&trunks).known(source.parse().unwrap());
        let network = |text: &str| SourceMatch::Network(text.parse().unwrap());
        assert_eq!(known("10.0.0.1:5060"), Some((0, SourceMatch::Peer)));
        assert_eq!(known("10.0.0.1:5061"), Some((0, network("10.0.0.0/8"))));
        assert_eq!(known("10.1.2.3:5060"), Some((0, network("10.1.0.0/16"))));
        assert_eq!(known("192.0.2.1:9"), Some((1, network("192.0.2.1/32"))));
    }

    #[test]
    fn the_longest_network_wins_wherever_it_stands() {
        let trunks = [
            trunk("any", &[], &["0.0.0.0/0"]),
            trunk("wide", &[], &["10.0.0.0/8", "2001:db8::/32"]),
            trunk("narrow", &[], &["10.1.2.0/24", "2001:db8:1::/48"]),
        ];
        assert_eq!(known(&trunks, "10.1.2.3:5060").as_deref(), Some("narrow"));
        assert_eq!(known(&trunks, "10.9.9.9:5060").as_deref(), Some("wide"));
        assert_eq!(known(&trunks, "192.0.2.1:5060").as_deref(), Some("any"));
        assert_eq!(known(&trunks, "[2001:db8:1::5]:5060").as_deref(), Some("narrow"));
        assert_eq!(known(&trunks, "[2001:db8:2::5]:5060").as_deref(), Some("wide"));
        assert_eq!(known(&trunks, "[2001:db9::5]:5060"), None, "0.0.0.0/0 holds no IPv6 address");
    }

    #[test]
    fn accept_from_replaces_the_peers_addresses() {
        let trunks = [trunk("carrier", &["198.51.100.7"], &["203.0.113.0/24"])];
        assert_eq!(known(&trunks, "203.0.113.9:1").as_deref(), Some("carrier"));
        assert_eq!(known(&trunks, "198.51.100.7:5060").as_deref(), Some("carrier"), "the exact peer still counts");
        assert_eq!(known(&trunks, "198.51.100.7:5061"), None);
    }

    #[test]
    fn whoever_is_dialled_is_known_by_every_port_of_its_peers_and_by_its_registrar() {
        let mut carrier = trunk("carrier", &["198.51.100.7:5060"], &["203.0.113.0/24"]);
        let registrar =
            crate::Destination { host: "192.0.2.55".into(), port: None, transport: Transport::Udp, is_fixed: false };
        let register = crate::trunk::RegistrationSettings {
            uri: "sip:192.0.2.55".into(),
            registrar,
            user: "u".into(),
            expires: std::time::Duration::from_secs(60),
        };
        carrier.register = Some(register);
        let trunks = [carrier, trunk("open", &["10.0.0.1"], &["0.0.0.0/0"])].map(Arc::new);
        let acl = Acl::dialled(&trunks);
        let owner = |to: &str| acl.owner_of(to.parse().unwrap()).map(|at| trunks[at].name.to_string());
        for to in [
            "198.51.100.7:5060",
            "198.51.100.7:5080",
            "[::ffff:198.51.100.7]:5061",
            "[64:ff9b::c633:6407]:5060",
            "[64:ff9b:1::c633:6407]:5060",
            "[2002:c633:6407::1]:5060",
            "203.0.113.9:5060",
            "192.0.2.55:5060",
        ] {
            assert_eq!(owner(to).as_deref(), Some("carrier"), "{to}");
        }
        assert_eq!(owner("192.0.2.1:5060").as_deref(), Some("open"));
        assert_eq!(owner("[2001:db8::1]:5060"), None);
        assert!(acl.is_peer("198.51.100.7:5060".parse().unwrap()));
        assert!(!acl.is_peer("198.51.100.7:22".parse().unwrap()));
    }

    /// RFC 6052 §2.4: the example address at each position in the local prefix.
    #[test]
    fn rfc6052_2_2_an_ipv4_address_is_found_wherever_a_translator_has_it() {
        for (address, expected) in [
            ("64:ff9b::192.0.2.33", &["192.0.2.33"][..]),
            ("64:ff9b:1:c000:2:2100::", &["192.0.2.33", "2.33.0.0"]),
            ("64:ff9b:1:c0:0:221::", &["192.0.2.33"]),
            ("64:ff9b:1:0:c0:2:2100:0", &["192.0.2.33", "33.0.0.0"]),
            ("64:ff9b:1::c000:221", &["192.0.2.33"]),
            ("2002:c000:221::1", &["192.0.2.33"]),
            ("::ffff:0:c000:221", &["192.0.2.33"]),
            ("64:ff9b:2::c000:221", &[]),
            ("2001:db8::c000:221", &[]),
            ("192.0.2.33", &[]),
        ] {
            let found: Vec<String> = translated(address.parse().unwrap()).map(|ip| ip.to_string()).collect();
            assert_eq!(found, expected, "{address}");
        }
    }

    #[test]
    fn mapped_addresses_are_the_ipv4_ones() {
        let trunks = [trunk("a", &["192.0.2.1"], &[]), trunk("b", &[], &["::ffff:198.51.100.0/120"])];
        assert_eq!(known(&trunks, "[::ffff:192.0.2.1]:5060").as_deref(), Some("a"));
        assert_eq!(known(&trunks, "198.51.100.77:5060").as_deref(), Some("b"));
        assert_eq!(known(&trunks, "[::ffff:198.51.100.77]:9").as_deref(), Some("b"));
        assert_eq!(known(&trunks, "[::192.0.2.1]:5060"), None, "IPv4-compatible is not IPv4");
        assert_eq!(known(&trunks, "[64:ff9b::c000:201]:5060"), None, "NAT64 is not IPv4");
    }

    #[test]
    fn unspecified_sources_are_nobody_even_under_a_network_of_all() {
        let all = [trunk("all", &["0.0.0.0", "::"], &["0.0.0.0/0", "::/0"])];
        for source in ["0.0.0.0:5060", "[::]:5060", "[::ffff:0.0.0.0]:5060"] {
            assert_eq!(known(&all, source), None, "{source}");
        }
        assert_eq!(known(&all, "[::1]:5060").as_deref(), Some("all"));
        let unspecified_peer = [trunk("none", &["0.0.0.0:5060"], &[])];
        assert_eq!(known(&unspecified_peer, "0.0.0.0:5060"), None);
        assert_eq!(known(&unspecified_peer, "10.0.0.1:5060"), None);
    }

    #[test]
    fn loopback_is_only_what_is_written() {
        let trunks = [trunk("pbx", &["127.0.0.1:5080"], &[])];
        assert_eq!(known(&trunks, "127.0.0.1:1").as_deref(), Some("pbx"));
        assert_eq!(known(&trunks, "127.0.0.2:5080"), None);
        assert_eq!(known(&trunks, "[::1]:5080"), None);
    }
}
