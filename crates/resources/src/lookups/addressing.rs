//! Addresses shown to remote parties. Every address in SDP, Via and Contact comes from this module.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use trunkgate_route::Trunk;
use trunkgate_sip::{Flow, ListenerId, LocalAddress, Transport};
use trunkgate_story::AnnouncedAddresses;

/// A bound SIP listener.
#[derive(Debug, Clone)]
pub struct ListenerSpec {
    /// Position in the configuration.
    pub id: ListenerId,
    /// Name of the listener.
    pub name: String,
    /// Transport of the listener.
    pub transport: Transport,
    /// Bound address with the actual port; the IP address may be unspecified.
    pub bound: SocketAddr,
    /// Public addresses of this listener; if empty, those of the edge are used.
    pub public_addresses: Vec<IpAddr>,
}

/// Addresses of the machine, read at the start and whenever they change, and the source address towards each
/// destination.
#[derive(Debug, Clone, Default)]
pub struct Interfaces {
    /// Networks of the interfaces, with the local address in each.
    pub networks: Vec<(IpNet, IpAddr)>,
    /// Routes that need another source address than `networks` and the defaults give: destination, and that address.
    pub routes: Vec<(IpNet, IpAddr)>,
    /// Source address towards all other IPv4 destinations.
    pub default_v4: Option<IpAddr>,
    /// Source address towards all other IPv6 destinations.
    pub default_v6: Option<IpAddr>,
}

impl Interfaces {
    /// Returns the source address of packets to `peer` from a socket bound to all addresses; `None` if there is no
    /// route.
    pub fn towards(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        // `max_by_key` returns the last of equally long prefixes, which is the route.
        let known = self.networks.iter().chain(&self.routes).filter(|(network, _)| network.contains(&peer));
        let nearest = known.max_by_key(|(network, _)| network.prefix_len()).map(|(_, ip)| *ip);
        nearest.or(match peer {
            IpAddr::V4(v4) if v4.is_loopback() => Some(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(v6) if v6.is_loopback() => Some(peer),
            IpAddr::V4(_) => self.default_v4,
            IpAddr::V6(_) => self.default_v6,
        })
    }
}

/// Settings that determine the addresses shown to remote parties.
#[derive(Debug, Clone, Default)]
pub struct Addressing {
    /// SIP listeners.
    pub listeners: Vec<ListenerSpec>,
    /// `[edge] public_address`. If empty, the listener's address is used, else the source address towards the peer.
    pub public_addresses: Vec<IpAddr>,
    /// Networks in which peers see the local address.
    pub local_networks: Vec<IpNet>,
    /// Addresses of the machine.
    pub interfaces: Interfaces,
    /// Addresses to which media sockets are bound (`[media] address`).
    pub media_bind: Vec<IpAddr>,
}

impl Addressing {
    /// Returns the address shown to `peer` in Via, Contact and SDP. `None` if no interface leads to `peer`.
    pub fn shown_to(&self, peer: IpAddr, listener: Option<ListenerId>) -> Option<IpAddr> {
        let listener = listener.and_then(|id| self.listener(id));
        let bound = listener.map(|l| l.bound.ip());
        self.public_for(peer, listener).or_else(|| self.local_for(peer, bound))
    }

    /// Returns the address shown in SDP to `peer`, which signals over `listener`: a public address, else the one to
    /// which media or the listener is bound, else the source address towards `peer`. `None` if no interface leads to
    /// `peer`.
    pub fn media_shown_to(&self, peer: IpAddr, listener: ListenerId) -> Option<IpAddr> {
        let written = self.public_for(peer, self.listener(listener));
        written.or_else(|| self.media_bound(peer, listener)).or_else(|| self.interfaces.towards(peer))
    }

    /// Returns the address shown in SDP to a peer that offers to receive media at `media`: by preference the source
    /// address towards `media`. `None` if no interface leads to `peer`.
    pub fn media_shown_to_offer(&self, peer: IpAddr, media: IpAddr, listener: ListenerId) -> Option<IpAddr> {
        let written = self.public_for(peer, self.listener(listener));
        let bound = written.or_else(|| self.media_bound(peer, listener));
        let towards = || self.interfaces.towards(media).filter(|_| self.leads_to_media(peer, media));
        bound.or_else(towards).or_else(|| self.media_shown_to(peer, listener))
    }

    /// Returns the address and port for Via and Contact of messages to `peer` over `listener`; `None` without such a
    /// listener or without a route.
    pub fn local(&self, peer: IpAddr, listener: ListenerId) -> Option<LocalAddress> {
        let port = self.listener(listener)?.bound.port();
        Some(LocalAddress { ip: self.shown_to(peer, Some(listener))?, port })
    }

    /// Returns the local address of traffic between `peer` and `listener`, as the machine sees it.
    pub(crate) fn bound_towards(&self, peer: IpAddr, listener: ListenerId) -> Option<SocketAddr> {
        let bound = self.listener(listener)?.bound;
        Some(SocketAddr::new(self.local_for(peer, Some(bound.ip()))?, bound.port()))
    }

    /// Returns a bound address as seen by `peer`: an unspecified IP address is replaced by one of this machine.
    pub fn as_reached(&self, bound: SocketAddr, peer: IpAddr) -> SocketAddr {
        let ip = if bound.ip().is_unspecified() { self.local_for(peer, None) } else { None };
        SocketAddr::new(ip.unwrap_or(bound.ip()), bound.port())
    }

    /// Returns the listener for a request to `peer`: the named one, else the first of the transport and family on the
    /// interface with the route to `peer`, else the first of the transport and family. `None` without a listener of the
    /// transport and family.
    pub fn listener_for(&self, name: Option<&str>, transport: Transport, peer: IpAddr) -> Option<&ListenerSpec> {
        let fitting = || self.listeners.iter().filter(|l| l.transport == transport && same_family(l.bound.ip(), peer));
        let named = name.and_then(|name| fitting().find(|l| l.name == name));
        // A single listener needs no look at the routes.
        let (first, second) = (fitting().next(), fitting().nth(1));
        let nearest = || second.and_then(|_| fitting().find(|l| self.is_at_side_of(l.bound.ip(), peer)));
        named.or_else(nearest).or(first)
    }

    /// Returns the flow of a request to `remote` ([`Addressing::listener_for`]), and the local address to show.
    pub fn way(&self, name: Option<&str>, transport: Transport, remote: SocketAddr) -> Option<(Flow, LocalAddress)> {
        let listener = self.listener_for(name, transport, remote.ip())?.id;
        let local = self.local(remote.ip(), listener)?;
        Some((Flow { transport, listener, remote, connection: None }, local))
    }

    /// Returns the address for a media socket towards `peer`: the one of `[media] address` of its family; `None` if no
    /// address has that family.
    pub fn media_bind(&self, peer: IpAddr) -> Option<IpAddr> {
        self.media_bind.iter().copied().find(|ip| same_family(*ip, peer))
    }

    /// Returns the address for a media socket of a leg with this signalling flow: its listener's address if packets of
    /// a socket bound to all addresses would have another source than the SDP shows. Without a flow (agents) it is the
    /// first IPv4 address. `None` if `[media] address` has no address of the family.
    pub fn media_bind_for(&self, flow: Option<Flow>) -> Option<IpAddr> {
        let peer = flow.map_or(Ipv4Addr::UNSPECIFIED.into(), |flow| flow.remote.ip());
        let written = self.media_bind(peer)?;
        let Some(listener) = flow.and_then(|flow| self.listener(flow.listener)) else { return Some(written) };
        let bound = listener.bound.ip();
        let is_own = !bound.is_unspecified() && !bound.is_loopback() && same_family(bound, peer);
        let differs = self.public_for(peer, Some(listener)).is_none() && self.interfaces.towards(peer) != Some(bound);
        Some(if written.is_unspecified() && is_own && differs { bound } else { written })
    }

    /// Returns the addresses shown to each address of a trunk's peers, else to the first host of each network from
    /// which its calls come: first by the listener used for calls to the trunk, then by other listeners on that
    /// interface, over which its own calls may come.
    pub fn announced_to(&self, trunk: &Trunk) -> Vec<AnnouncedAddresses> {
        let named = trunk.listen.as_deref();
        let places = trunk.peers.iter().flat_map(|peer| &peer.servers);
        let places = places.flat_map(|server| server.addresses.iter().map(|ip| (*ip, Some(server.transport))));
        let mut places: Vec<(IpAddr, Option<Transport>)> = places.collect();
        if places.is_empty() {
            let networks = trunk.accept_from.iter().filter(|network| network.prefix_len() > 0);
            places.extend(networks.filter_map(|network| Some((network.hosts().next()?, None))));
        }
        let mut all: Vec<AnnouncedAddresses> = Vec::new();
        for (peer, transport) in places {
            let by = |transport| self.listener_for(named, transport, peer);
            let outgoing = match transport {
                Some(transport) => by(transport),
                None => [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter().find_map(by),
            };
            let may_come_by = |listener: &&ListenerSpec| {
                let bound = listener.bound.ip();
                let fits =
                    same_family(bound, peer) && transport.is_none_or(|transport| listener.transport == transport);
                fits && self.is_at_side_of(bound, peer)
            };
            let incoming =
                self.listeners.iter().filter(may_come_by).map(|listener| self.announced_by(peer, Some(listener)));
            let incoming = incoming.filter(|one| one.sip.is_some() && one.media.is_some());
            for announced in std::iter::once(self.announced_by(peer, outgoing)).chain(incoming) {
                if !all.contains(&announced) {
                    all.push(announced);
                }
            }
        }
        all
    }

    fn announced_by(&self, peer: IpAddr, listener: Option<&ListenerSpec>) -> AnnouncedAddresses {
        let id = listener.map(|listener| listener.id);
        let sip = id.and_then(|id| self.shown_to(peer, Some(id)));
        AnnouncedAddresses { to: peer, sip, media: id.and_then(|id| self.media_shown_to(peer, id)) }
    }

    /// Returns whether media may be sent to an address in an SDP: loopback, link-local, multicast and the edge's own
    /// SIP ports are refused unless the trunk signals from loopback.
    pub fn may_send_media_to(&self, address: SocketAddr, signalling: IpAddr) -> bool {
        if signalling.to_canonical().is_loopback() {
            return !address.ip().is_multicast();
        }
        let ip = address.ip().to_canonical();
        let never = match ip {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast(),
        };
        let listens = self.is_ours(ip) && self.listens_on(address.port());
        !never && !listens
    }

    /// Returns whether a SIP listener uses this port.
    pub fn listens_on(&self, port: u16) -> bool {
        self.listeners.iter().any(|l| l.bound.port() == port)
    }

    /// Returns whether an address is one of this machine or one of its public addresses.
    pub fn is_ours(&self, ip: IpAddr) -> bool {
        let listeners = self.listeners.iter().flat_map(|l| l.public_addresses.iter().copied().chain([l.bound.ip()]));
        let interfaces = self.interfaces.networks.iter().map(|(_, ip)| *ip);
        let defaults = self.interfaces.default_v4.into_iter().chain(self.interfaces.default_v6);
        let public = self.public_addresses.iter().copied();
        let mut all = listeners.chain(interfaces).chain(defaults).chain(public).chain(self.media_bind.iter().copied());
        !ip.is_unspecified() && all.any(|own| own == ip)
    }

    /// Returns whether packets to an address reach this machine directly: it is an interface's address, not only a
    /// configured one.
    pub fn is_of_this_machine(&self, ip: IpAddr) -> bool {
        let interfaces = self.interfaces.networks.iter().map(|(_, ip)| *ip);
        let defaults = self.interfaces.default_v4.into_iter().chain(self.interfaces.default_v6);
        let bound = self.media_bind.iter().copied();
        // A socket bound to all addresses receives for the whole loopback network.
        let all_loopback = ip.is_loopback() && self.media_bind.iter().any(IpAddr::is_unspecified);
        all_loopback || interfaces.chain(defaults).chain(bound).any(|own| own == ip)
    }

    /// Returns the bound address of the media socket for `peer`, if configured: from `[media] address`, else from the
    /// listener.
    fn media_bound(&self, peer: IpAddr, listener: ListenerId) -> Option<IpAddr> {
        let of_listener = || self.listener(listener).map(|listener| listener.bound.ip());
        let fits = |ip: &IpAddr| !ip.is_unspecified() && same_family(*ip, peer);
        match self.media_bind(peer) {
            Some(ip) if ip.is_unspecified() => of_listener().filter(fits),
            other => other.filter(fits),
        }
    }

    /// Returns whether the address in an offer predicts the media path better than the source of the signalling: not
    /// if it may be behind NAT (it may coincide with a local network), or cannot be sent to.
    fn leads_to_media(&self, peer: IpAddr, media: IpAddr) -> bool {
        let is_local = |ip: IpAddr| self.local_networks.iter().any(|network| network.contains(&ip.to_canonical()));
        let is_nearer = is_local(media) && !is_local(peer);
        let is_special = is_no_host(media) && !peer.is_loopback();
        same_family(peer, media) && !is_nearer && !is_special && !media.is_unspecified()
    }

    /// Returns whether a bound address is on the interface with the route to `peer`: the address there, another one
    /// of that network, or all addresses.
    fn is_at_side_of(&self, bound: IpAddr, peer: IpAddr) -> bool {
        let Some(towards) = self.interfaces.towards(peer).filter(|_| !bound.is_unspecified()) else {
            return bound.is_unspecified();
        };
        let shares = |network: &IpNet| network.contains(&bound) && network.contains(&towards);
        bound == towards || self.interfaces.networks.iter().any(|(network, _)| shares(network))
    }

    fn listener(&self, id: ListenerId) -> Option<&ListenerSpec> {
        self.listeners.iter().find(|l| l.id == id)
    }

    /// Returns the public address of the right family for a peer outside the local networks. `None` for other peers, or
    /// without such an address.
    fn public_for(&self, peer: IpAddr, listener: Option<&ListenerSpec>) -> Option<IpAddr> {
        if self.local_networks.iter().any(|network| network.contains(&peer.to_canonical())) {
            return None;
        }
        Addressing::public_of(peer, listener.map_or(&[], |l| &l.public_addresses), &self.public_addresses)
    }

    /// Returns the public address of the family of `peer`: one of the listener, else one of the edge.
    pub fn public_of(peer: IpAddr, of_listener: &[IpAddr], of_edge: &[IpAddr]) -> Option<IpAddr> {
        let of_family = |list: &[IpAddr]| list.iter().copied().find(|ip| same_family(*ip, peer));
        of_family(of_listener).or_else(|| of_family(of_edge))
    }

    /// Returns the local address towards a peer: the bound one, else the source address towards the peer.
    fn local_for(&self, peer: IpAddr, bound: Option<IpAddr>) -> Option<IpAddr> {
        if let Some(bound) = bound.filter(|ip| !ip.is_unspecified() && same_family(*ip, peer)) {
            return Some(bound);
        }
        self.interfaces.towards(peer)
    }
}

fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

/// Returns whether an address is not a host on a network: loopback, link-local, unspecified, multicast, broadcast.
pub(crate) fn is_no_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            let is_this_network = first == 0;
            v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || is_this_network
        }
        IpAddr::V6(v6) => {
            // IPv4-compatible addresses (RFC 4291 §2.5.5.1) are deprecated.
            let is_compatible = matches!(v6.segments(), [0, 0, 0, 0, 0, 0, ..]);
            v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast() || is_compatible
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn addressing() -> Addressing {
        let listener = |id, name: &str, transport, bound: &str, public: &[&str]| ListenerSpec {
            id: ListenerId(id),
            name: name.into(),
            transport,
            bound: bound.parse().unwrap(),
            public_addresses: public.iter().map(|p| ip(p)).collect(),
        };
        Addressing {
            listeners: vec![
                listener(0, "outside", Transport::Udp, "0.0.0.0:5060", &[]),
                listener(1, "six", Transport::Udp, "[::]:5060", &[]),
                listener(2, "second", Transport::Udp, "10.0.0.9:5070", &["198.51.100.9"]),
                listener(3, "stream", Transport::Tcp, "0.0.0.0:5062", &[]),
            ],
            public_addresses: vec![ip("203.0.113.10")],
            local_networks: ["10.0.0.0/8", "127.0.0.0/8", "fc00::/7"].map(|n| n.parse().unwrap()).to_vec(),
            interfaces: Interfaces {
                networks: vec![
                    ("10.0.0.0/8".parse().unwrap(), ip("10.0.0.5")),
                    ("10.7.0.0/16".parse().unwrap(), ip("10.7.0.5")),
                    ("127.0.0.0/8".parse().unwrap(), ip("127.0.0.1")),
                ],
                routes: vec![],
                default_v4: Some(ip("192.0.2.5")),
                default_v6: Some(ip("2001:db8::5")),
            },
            media_bind: vec![ip("0.0.0.0"), ip("::")],
        }
    }

    #[test]
    fn a_socket_that_is_bound_to_every_address_is_shown_as_one_of_them() {
        let addressing = addressing();
        let peer: IpAddr = "10.1.2.3".parse().unwrap();
        let reached = addressing.as_reached("0.0.0.0:20000".parse().unwrap(), peer);
        assert!(!reached.ip().is_unspecified() && reached.port() == 20_000, "{reached}");
        let own: SocketAddr = "192.0.2.44:20000".parse().unwrap();
        assert_eq!(addressing.as_reached(own, peer), own);
    }

    #[test]
    fn peers_see_the_public_address_or_the_near_one() {
        let addressing = addressing();
        for (peer, listener, shown) in [
            ("198.51.100.7", 0, "203.0.113.10"),
            ("10.1.1.1", 0, "10.0.0.5"),
            ("10.7.1.1", 0, "10.7.0.5"),
            ("127.0.0.1", 0, "127.0.0.1"),
            ("2001:db8::77", 1, "2001:db8::5"),
            ("198.51.100.7", 2, "198.51.100.9"),
            ("10.1.1.1", 2, "10.0.0.9"),
        ] {
            assert_eq!(addressing.shown_to(ip(peer), Some(ListenerId(listener))), Some(ip(shown)), "{peer} {listener}");
        }
        // Media sockets are bound to every address, so the listener's is one of them, unless another is configured.
        assert_eq!(addressing.media_shown_to(ip("10.1.1.1"), ListenerId(2)), Some(ip("10.0.0.9")));
        let elsewhere = Addressing { media_bind: vec![ip("10.0.0.5")], ..addressing.clone() };
        assert_eq!(elsewhere.media_shown_to(ip("10.1.1.1"), ListenerId(2)), Some(ip("10.0.0.5")));
        let local = addressing.local(ip("198.51.100.7"), ListenerId(3)).unwrap();
        assert_eq!((local.ip, local.port), (ip("203.0.113.10"), 5062));
    }

    /// Returns a machine with an administration interface, 192.0.2.9, and one towards the carrier, 198.51.100.10; the
    /// carrier's network 203.0.113.0/24 is behind a router there.
    fn two_interfaces(listeners: [&str; 2], has_default_route: bool) -> Addressing {
        let listener = |(id, bound): (u16, &str)| ListenerSpec {
            id: ListenerId(id),
            name: format!("l{id}"),
            transport: Transport::Udp,
            bound: bound.parse().unwrap(),
            public_addresses: vec![],
        };
        let network = |text: &str| text.parse().unwrap();
        Addressing {
            listeners: (0..).zip(listeners).map(listener).collect(),
            local_networks: vec![network("10.0.0.0/8"), network("127.0.0.0/8")],
            interfaces: Interfaces {
                networks: vec![
                    (network("192.0.2.0/24"), ip("192.0.2.9")),
                    (network("198.51.100.0/24"), ip("198.51.100.10")),
                    (network("10.1.0.0/16"), ip("10.1.0.9")),
                ],
                routes: vec![
                    (network("203.0.113.0/24"), ip("198.51.100.10")),
                    // A system route for a single host.
                    (network("203.0.113.77/32"), ip("192.0.2.9")),
                ],
                default_v4: has_default_route.then(|| ip("192.0.2.9")),
                default_v6: None,
            },
            media_bind: vec![ip("0.0.0.0"), ip("::")],
            ..Addressing::default()
        }
    }

    #[test]
    fn without_a_public_address_the_listener_s_is_shown_else_that_of_the_route() {
        let (all, carriers) = (ListenerId(0), ListenerId(1));
        for has_default_route in [false, true] {
            let addressing = two_interfaces(["0.0.0.0:5060", "198.51.100.10:5070"], has_default_route);
            for (peer, listener, shown) in [
                // Behind the router on the carrier's side, and in the network itself.
                ("203.0.113.5", all, "198.51.100.10"),
                ("203.0.113.5", carriers, "198.51.100.10"),
                ("198.51.100.7", all, "198.51.100.10"),
                ("198.51.100.7", carriers, "198.51.100.10"),
                ("203.0.113.77", all, "192.0.2.9"),
                ("203.0.113.77", carriers, "198.51.100.10"),
                ("192.0.2.33", all, "192.0.2.9"),
                // Without a default route there is no route; the listener's address is still shown.
                ("8.8.8.8", carriers, "198.51.100.10"),
                ("127.0.0.5", all, "127.0.0.1"),
            ] {
                let peer = ip(peer);
                let told = (addressing.shown_to(peer, Some(listener)), addressing.media_shown_to(peer, listener));
                assert_eq!(told, (Some(ip(shown)), Some(ip(shown))), "{peer} {listener:?} {has_default_route}");
                let remote = SocketAddr::new(peer, 5060);
                let name = format!("l{}", listener.0);
                let (_, local) = addressing.way(Some(&name), Transport::Udp, remote).unwrap();
                assert_eq!(local.ip, ip(shown), "{peer}");
            }
            let elsewhere =
                (addressing.shown_to(ip("8.8.8.8"), Some(all)), addressing.media_shown_to(ip("8.8.8.8"), all));
            let default = has_default_route.then(|| ip("192.0.2.9"));
            assert_eq!(elsewhere, (default, default));
        }
    }

    #[test]
    fn of_several_listeners_the_one_at_the_peer_s_side_is_used() {
        let id = |listeners: [&str; 2], peer: &str| {
            let addressing = two_interfaces(listeners, true);
            addressing.listener_for(None, Transport::Udp, ip(peer)).map(|l| l.id.0)
        };
        let sides = ["198.51.100.10:5060", "192.0.2.9:5060"];
        for (peer, listener) in [("203.0.113.5", 0), ("198.51.100.7", 0), ("192.0.2.33", 1), ("8.8.8.8", 1)] {
            assert_eq!(id(sides, peer), Some(listener), "{peer}");
        }
        // With two addresses in one network, or one bound to all addresses, the order of the file decides.
        assert_eq!(id(["198.51.100.11:5060", "198.51.100.10:5060"], "203.0.113.5"), Some(0));
        assert_eq!(id(["0.0.0.0:5060", "192.0.2.9:5070"], "192.0.2.33"), Some(0));
        assert_eq!(id(["192.0.2.9:5070", "0.0.0.0:5060"], "203.0.113.5"), Some(1));
        // On the interface of neither listener.
        assert_eq!(id(["192.0.2.9:5060", "10.1.0.9:5060"], "203.0.113.5"), Some(0));
        let addressing = two_interfaces(sides, true);
        assert_eq!(addressing.listener_for(Some("l0"), Transport::Udp, ip("192.0.2.33")).map(|l| l.id.0), Some(0));
    }

    #[test]
    fn a_trunk_is_announced_by_its_own_listener_and_by_those_that_its_calls_may_come_by() {
        let announced = |listeners: [&str; 2], listen: &str, peer: &str| {
            let addressing = two_interfaces(listeners, true);
            let peer = trunkgate_route::Peer::at(ip(peer), None, Transport::Udp);
            let trunk = Trunk { listen: Some(listen.into()), peers: vec![peer], ..Trunk::named("carrier") };
            let all = addressing.announced_to(&trunk);
            all.into_iter()
                .map(|one| (one.sip.unwrap().to_string(), one.media.unwrap().to_string()))
                .collect::<Vec<_>>()
        };
        let both = |address: &str| (address.to_owned(), address.to_owned());
        // Two listeners in one network: calls to the carrier use the second, the carrier's calls may use the first.
        let near = ["198.51.100.11:5060", "198.51.100.10:5060"];
        assert_eq!(announced(near, "l1", "198.51.100.7"), [both("198.51.100.10"), both("198.51.100.11")]);
        let all = ["0.0.0.0:5060", "198.51.100.11:5070"];
        assert_eq!(announced(all, "l1", "198.51.100.7"), [both("198.51.100.11"), both("198.51.100.10")]);
        // A listener on the other interface is not included, and each address is listed once.
        assert_eq!(announced(["192.0.2.9:5060", "198.51.100.10:5060"], "l1", "198.51.100.7"), [both("198.51.100.10")]);
        assert_eq!(announced(["0.0.0.0:5060", "198.51.100.10:5070"], "l1", "198.51.100.7"), [both("198.51.100.10")]);
    }

    #[test]
    fn no_peer_is_shown_its_own_address() {
        let bare = Addressing { interfaces: Interfaces::default(), ..two_interfaces(["0.0.0.0:5060"; 2], false) };
        for (peer, shown) in [("203.0.113.5", None), ("127.0.0.5", Some("127.0.0.1")), ("10.0.0.1", None)] {
            assert_eq!(bare.media_shown_to(ip(peer), ListenerId(0)), shown.map(ip), "{peer}");
            assert_eq!(bare.shown_to(ip(peer), Some(ListenerId(0))), shown.map(ip), "{peer}");
        }
    }

    #[test]
    fn the_address_in_an_offer_decides_where_it_tells_more_than_its_sender_s() {
        let addressing = two_interfaces(["0.0.0.0:5060", "198.51.100.10:5070"], true);
        for (peer, media, listener, shown) in [
            // Signalling over the administration interface, media over the carrier's.
            ("192.0.2.33", "203.0.113.5", 0, "198.51.100.10"),
            ("192.0.2.33", "203.0.113.5", 1, "198.51.100.10"),
            ("203.0.113.5", "192.0.2.33", 0, "192.0.2.9"),
            ("10.1.0.7", "203.0.113.5", 0, "198.51.100.10"),
            // A phone behind NAT in a network that looks like a local one.
            ("203.0.113.5", "10.1.0.7", 0, "198.51.100.10"),
            ("203.0.113.5", "127.0.0.1", 0, "198.51.100.10"),
            ("203.0.113.5", "169.254.1.1", 0, "198.51.100.10"),
            ("203.0.113.5", "0.0.0.0", 0, "198.51.100.10"),
            ("203.0.113.5", "2001:db8::7", 0, "198.51.100.10"),
        ] {
            let told = addressing.media_shown_to_offer(ip(peer), ip(media), ListenerId(listener));
            assert_eq!(told, Some(ip(shown)), "{peer} {media} {listener}");
        }
        let written = Addressing { public_addresses: vec![ip("192.0.2.200")], ..addressing };
        let told = written.media_shown_to_offer(ip("203.0.113.5"), ip("192.0.2.33"), ListenerId(0));
        assert_eq!(told, Some(ip("192.0.2.200")));
    }

    #[test]
    fn the_listener_named_or_the_first_that_fits() {
        let addressing = addressing();
        let id = |name, transport, peer| addressing.listener_for(name, transport, ip(peer)).map(|l| l.id.0);
        assert_eq!(id(None, Transport::Udp, "10.1.1.1"), Some(0));
        assert_eq!(id(Some("second"), Transport::Udp, "10.1.1.1"), Some(2));
        assert_eq!(id(Some("second"), Transport::Udp, "2001:db8::1"), Some(1));
        assert_eq!(id(None, Transport::Tcp, "10.1.1.1"), Some(3));
        assert_eq!(id(None, Transport::Tls, "10.1.1.1"), None);
    }

    #[test]
    fn media_goes_neither_to_ourselves_nor_to_special_addresses() {
        let addressing = addressing();
        for (address, signalling, may) in [
            ("198.51.100.7:4000", "198.51.100.7", true),
            ("10.9.9.9:4000", "198.51.100.7", true),
            ("127.0.0.1:4000", "198.51.100.7", false),
            ("127.0.0.1:4000", "127.0.0.1", true),
            ("169.254.1.1:4000", "198.51.100.7", false),
            ("224.0.0.1:4000", "198.51.100.7", false),
            ("224.0.0.1:4000", "127.0.0.1", false),
            ("[::1]:4000", "198.51.100.7", false),
            ("[::ffff:127.0.0.1]:4000", "198.51.100.7", false),
            ("[fe80::1]:4000", "198.51.100.7", false),
            ("203.0.113.10:5060", "198.51.100.7", false),
            ("10.0.0.5:5062", "198.51.100.7", false),
            ("10.0.0.5:4000", "198.51.100.7", true),
        ] {
            assert_eq!(addressing.may_send_media_to(address.parse().unwrap(), ip(signalling)), may, "{address}");
        }
    }
}
