//! Which of our addresses a far end is shown. Every address in SDP, Via and Contact is made here and nowhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use trunkgate_route::Trunk;
use trunkgate_sip::{Flow, ListenerId, Local, Transport};
use trunkgate_story::Announced;

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
    /// Destinations towards which the system uses another address than `networks` and the defaults tell, with that address.
    pub routes: Vec<(IpNet, IpAddr)>,
    /// Our address towards everything else.
    pub default_v4: Option<IpAddr>,
    /// The same for IPv6.
    pub default_v6: Option<IpAddr>,
}

impl Interfaces {
    /// Returns the source address of packets to `peer` from a socket that is bound to all addresses; `None`: there is no route.
    pub fn towards(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        // Of two equally long prefixes the route, which comes last.
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

/// All that decides which address a far end is shown.
#[derive(Debug, Clone, Default)]
pub struct Addressing {
    /// Listeners.
    pub listeners: Vec<ListenerSpec>,
    /// `[edge] public_address`; empty: the listener's address, else the one that the system uses towards the peer.
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
        let listener = listener.and_then(|id| self.listener(id));
        let bound = listener.map(|l| l.bound.ip());
        self.public_for(peer, listener).or_else(|| self.local_for(peer, bound))
    }
    /// The address that `peer` is shown in SDP, when its signalling runs over `listener`: a public one, else the one that media or
    /// the listener is bound to, else the one that the system uses towards `peer`.
    pub fn media_shown_to(&self, peer: IpAddr, listener: ListenerId) -> Option<IpAddr> {
        let written = self.public_for(peer, self.listener(listener));
        written.or_else(|| self.media_bound(peer, listener)).or_else(|| self.interfaces.towards(peer))
    }
    /// The same for a peer that offers to receive media at `media`: the system's address towards that one.
    pub fn media_shown_to_offer(&self, peer: IpAddr, media: IpAddr, listener: ListenerId) -> Option<IpAddr> {
        let written = self.public_for(peer, self.listener(listener));
        let bound = written.or_else(|| self.media_bound(peer, listener));
        let towards = || self.interfaces.towards(media).filter(|_| self.leads_to_media(peer, media));
        bound.or_else(towards).or_else(|| self.media_shown_to(peer, listener))
    }
    /// Via and Contact of what leaves by `listener` to `peer`.
    pub fn local(&self, peer: IpAddr, listener: ListenerId) -> Option<Local> {
        let port = self.listener(listener)?.bound.port();
        Some(Local { ip: self.shown_to(peer, Some(listener))?, port })
    }
    /// Our end of what comes from `peer` by `listener`, as the machine itself has it.
    pub(crate) fn bound_towards(&self, peer: IpAddr, listener: ListenerId) -> Option<SocketAddr> {
        let bound = self.listener(listener)?.bound;
        Some(SocketAddr::new(self.local_for(peer, Some(bound.ip()))?, bound.port()))
    }
    /// Returns a bound address as `peer` reaches it: one of this machine's in the place of none.
    pub fn as_reached(&self, bound: SocketAddr, peer: IpAddr) -> SocketAddr {
        let ip = if bound.ip().is_unspecified() { self.local_for(peer, None) } else { None };
        SocketAddr::new(ip.unwrap_or(bound.ip()), bound.port())
    }
    /// Returns the listener that a request to `peer` leaves by: the one named, else the first of `transport` and family at the side of
    /// the machine by which the system reaches `peer`, else the first of `transport` and family.
    pub fn listener_for(&self, name: Option<&str>, transport: Transport, peer: IpAddr) -> Option<&ListenerSpec> {
        let fitting = || self.listeners.iter().filter(|l| l.transport == transport && same_family(l.bound.ip(), peer));
        let named = name.and_then(|name| fitting().find(|l| l.name == name));
        // One listener needs no look at the routes.
        let (first, second) = (fitting().next(), fitting().nth(1));
        let nearest = || second.and_then(|_| fitting().find(|l| self.is_at_side_of(l.bound.ip(), peer)));
        named.or_else(nearest).or(first)
    }
    /// By which listener a request to `remote` leaves ([`Addressing::listener_for`]), and what it shows of us.
    pub fn way(&self, name: Option<&str>, transport: Transport, remote: SocketAddr) -> Option<(Flow, Local)> {
        let listener = self.listener_for(name, transport, remote.ip())?.id;
        let local = self.local(remote.ip(), listener)?;
        Some((Flow { transport, listener, remote, connection: None }, local))
    }
    /// The address that a media socket towards `peer` is bound to: one of `[media] address` of its family.
    pub fn media_bind(&self, peer: IpAddr) -> Option<IpAddr> {
        self.media_bind.iter().copied().find(|ip| same_family(*ip, peer))
    }
    /// The same for a leg with this signalling: its listener's address where packets of a socket bound to all addresses would come
    /// from another one than the SDP says. Without signalling, as for an agent, it is the first of IPv4.
    pub fn media_bind_for(&self, flow: Option<Flow>) -> Option<IpAddr> {
        let peer = flow.map_or(Ipv4Addr::UNSPECIFIED.into(), |flow| flow.remote.ip());
        let written = self.media_bind(peer)?;
        let Some(listener) = flow.and_then(|flow| self.listener(flow.listener)) else { return Some(written) };
        let bound = listener.bound.ip();
        let is_own = !bound.is_unspecified() && !bound.is_loopback() && same_family(bound, peer);
        let differs = self.public_for(peer, Some(listener)).is_none() && self.interfaces.towards(peer) != Some(bound);
        Some(if written.is_unspecified() && is_own && differs { bound } else { written })
    }
    /// Returns our addresses that the peers of a trunk are shown, for each address of them, else for the beginning of
    /// each network that its calls come from: first by the listener that calls to it leave by, then by others at its
    /// side, which its own calls may come by.
    pub fn announced_to(&self, trunk: &Trunk) -> Vec<Announced> {
        let named = trunk.listen.as_deref();
        let places = trunk.peers.iter().flat_map(|peer| &peer.servers);
        let places = places.flat_map(|server| server.addresses.iter().map(|ip| (*ip, Some(server.transport))));
        let mut places: Vec<(IpAddr, Option<Transport>)> = places.collect();
        if places.is_empty() {
            let networks = trunk.accept_from.iter().filter(|network| network.prefix_len() > 0);
            places.extend(networks.filter_map(|network| Some((network.hosts().next()?, None))));
        }
        let mut all: Vec<Announced> = Vec::new();
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

    fn announced_by(&self, peer: IpAddr, listener: Option<&ListenerSpec>) -> Announced {
        let id = listener.map(|listener| listener.id);
        let sip = id.and_then(|id| self.shown_to(peer, Some(id)));
        Announced { to: peer, sip, media: id.and_then(|id| self.media_shown_to(peer, id)) }
    }

    /// Whether an address in an SDP may be sent to: loopback, link-local, multicast and our own sockets are refused
    /// unless the trunk signals from loopback.
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
    /// Whether a SIP listener has this port.
    pub fn listens_on(&self, port: u16) -> bool {
        self.listeners.iter().any(|l| l.bound.port() == port)
    }
    /// Whether an address is one of this machine's, or one that it is known by.
    pub fn is_ours(&self, ip: IpAddr) -> bool {
        let listeners = self.listeners.iter().flat_map(|l| l.public_addresses.iter().copied().chain([l.bound.ip()]));
        let interfaces = self.interfaces.networks.iter().map(|(_, ip)| *ip);
        let defaults = self.interfaces.default_v4.into_iter().chain(self.interfaces.default_v6);
        let public = self.public_addresses.iter().copied();
        let mut all = listeners.chain(interfaces).chain(defaults).chain(public).chain(self.media_bind.iter().copied());
        !ip.is_unspecified() && all.any(|own| own == ip)
    }

    /// Whether packets to an address come to this machine without anybody's help: it is an interface's, not one that was
    /// only written.
    pub fn is_of_this_machine(&self, ip: IpAddr) -> bool {
        let interfaces = self.interfaces.networks.iter().map(|(_, ip)| *ip);
        let defaults = self.interfaces.default_v4.into_iter().chain(self.interfaces.default_v6);
        let bound = self.media_bind.iter().copied();
        // Whoever is bound to all addresses hears those of the whole loopback network.
        let all_loopback = ip.is_loopback() && self.media_bind.iter().any(IpAddr::is_unspecified);
        all_loopback || interfaces.chain(defaults).chain(bound).any(|own| own == ip)
    }

    /// The address of the socket that hears the media of `peer`, where one is written: of `[media] address`, else of its listener.
    fn media_bound(&self, peer: IpAddr, listener: ListenerId) -> Option<IpAddr> {
        let of_listener = || self.listener(listener).map(|listener| listener.bound.ip());
        let fits = |ip: &IpAddr| !ip.is_unspecified() && same_family(*ip, peer);
        match self.media_bind(peer) {
            Some(ip) if ip.is_unspecified() => of_listener().filter(fits),
            other => other.filter(fits),
        }
    }

    /// Whether the address in an offer tells more of the way of media than its sender's: not one behind NAT, which may also be
    /// that of a host in a network of ours, and none that nothing is sent to.
    fn leads_to_media(&self, peer: IpAddr, media: IpAddr) -> bool {
        let is_local = |ip: IpAddr| self.local_networks.iter().any(|network| network.contains(&ip.to_canonical()));
        let is_nearer = is_local(media) && !is_local(peer);
        let is_special = is_no_host(media) && !peer.is_loopback();
        same_family(peer, media) && !is_nearer && !is_special && !media.is_unspecified()
    }

    /// Returns whether a bound address is at the side of the machine by which the system reaches `peer`: its address there, another one of
    /// the same network, or all.
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

    /// The public address for a peer that is not in a local network, where there is one of its family.
    fn public_for(&self, peer: IpAddr, listener: Option<&ListenerSpec>) -> Option<IpAddr> {
        if self.local_networks.iter().any(|network| network.contains(&peer.to_canonical())) {
            return None;
        }
        Addressing::public_of(peer, listener.map_or(&[], |l| &l.public_addresses), &self.public_addresses)
    }

    /// Returns the public address of the family of `peer`: one of a listener's own, else one of the edge's.
    pub fn public_of(peer: IpAddr, of_listener: &[IpAddr], of_edge: &[IpAddr]) -> Option<IpAddr> {
        let of_family = |list: &[IpAddr]| list.iter().copied().find(|ip| same_family(*ip, peer));
        of_family(of_listener).or_else(|| of_family(of_edge))
    }

    /// Our address on the way to a peer: what the socket is bound to, else the one that the system uses.
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

/// Whether an address is no host on a network: loopback, link-local, unspecified, multicast, broadcast.
pub(crate) fn is_no_host(ip: IpAddr) -> bool {
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
        // Media is heard at every address, so that of the listener is one of them, unless another is written.
        assert_eq!(addressing.media_shown_to(ip("10.1.1.1"), ListenerId(2)), Some(ip("10.0.0.9")));
        let elsewhere = Addressing { media_bind: vec![ip("10.0.0.5")], ..addressing.clone() };
        assert_eq!(elsewhere.media_shown_to(ip("10.1.1.1"), ListenerId(2)), Some(ip("10.0.0.5")));
        let local = addressing.local(ip("198.51.100.7"), ListenerId(3)).unwrap();
        assert_eq!((local.ip, local.port), (ip("203.0.113.10"), 5062));
    }

    /// A machine with an interface for the administrators, 192.0.2.9, and one at the carrier's side, 198.51.100.10, behind whose router
    /// is the carrier's network 203.0.113.0/24.
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
                    // A rule of the system's own for one host.
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
                // Behind the router at the carrier's side, and in the network itself.
                ("203.0.113.5", all, "198.51.100.10"),
                ("203.0.113.5", carriers, "198.51.100.10"),
                ("198.51.100.7", all, "198.51.100.10"),
                ("198.51.100.7", carriers, "198.51.100.10"),
                ("203.0.113.77", all, "192.0.2.9"),
                ("203.0.113.77", carriers, "198.51.100.10"),
                ("192.0.2.33", all, "192.0.2.9"),
                // Nothing leads there without a default route; by its listener it is reached all the same.
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
        // Of two addresses of one network, and where one is bound to all, the order of the file counts.
        assert_eq!(id(["198.51.100.11:5060", "198.51.100.10:5060"], "203.0.113.5"), Some(0));
        assert_eq!(id(["0.0.0.0:5060", "192.0.2.9:5070"], "192.0.2.33"), Some(0));
        assert_eq!(id(["192.0.2.9:5070", "0.0.0.0:5060"], "203.0.113.5"), Some(1));
        // At the side of neither.
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
        // Two listeners of one network: calls to the carrier leave by the second, its own may come by the first.
        let near = ["198.51.100.11:5060", "198.51.100.10:5060"];
        assert_eq!(announced(near, "l1", "198.51.100.7"), [both("198.51.100.10"), both("198.51.100.11")]);
        let all = ["0.0.0.0:5060", "198.51.100.11:5070"];
        assert_eq!(announced(all, "l1", "198.51.100.7"), [both("198.51.100.11"), both("198.51.100.10")]);
        // A listener at the other side is none of them, and one address is named once.
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
            // Signalling by the administrators' side, media by the carrier's.
            ("192.0.2.33", "203.0.113.5", 0, "198.51.100.10"),
            ("192.0.2.33", "203.0.113.5", 1, "198.51.100.10"),
            ("203.0.113.5", "192.0.2.33", 0, "192.0.2.9"),
            ("10.1.0.7", "203.0.113.5", 0, "198.51.100.10"),
            // A phone behind NAT: its own network looks like one of ours.
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
