//! Which of our addresses a far end is shown. Every address in SDP, Via and Contact is made here and nowhere else.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use trunkgate_sip::{Flow, ListenerId, Local, Transport};

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
        let listener = listener.and_then(|id| self.listener(id));
        let bound = listener.map(|l| l.bound.ip());
        self.public_for(peer, listener).or_else(|| self.local_for(peer, bound))
    }
    /// The address that `peer` is shown in SDP, when its signalling runs over `listener`.
    pub fn media_shown_to(&self, peer: IpAddr, listener: ListenerId) -> Option<IpAddr> {
        self.public_for(peer, self.listener(listener)).or_else(|| self.local_for(peer, self.media_bind(peer)))
    }
    /// Via and Contact of what leaves by `listener` to `peer`.
    pub fn local(&self, peer: IpAddr, listener: ListenerId) -> Option<Local> {
        let port = self.listener(listener)?.bound.port();
        Some(Local { ip: self.shown_to(peer, Some(listener))?, port })
    }
    /// Our end of what comes from `peer` by `listener`, as the machine itself has it.
    pub fn bound_towards(&self, peer: IpAddr, listener: ListenerId) -> Option<SocketAddr> {
        let bound = self.listener(listener)?.bound;
        Some(SocketAddr::new(self.local_for(peer, Some(bound.ip()))?, bound.port()))
    }
    /// Returns a bound address as `peer` reaches it: one of this machine's in the place of none.
    pub fn as_reached(&self, bound: SocketAddr, peer: IpAddr) -> SocketAddr {
        let ip = if bound.ip().is_unspecified() { self.local_for(peer, None) } else { None };
        SocketAddr::new(ip.unwrap_or(bound.ip()), bound.port())
    }
    /// The listener that a request to `peer` leaves by: the one named, else the first of `transport` and family.
    pub fn listener_for(&self, name: Option<&str>, transport: Transport, peer: IpAddr) -> Option<&ListenerSpec> {
        let mut fitting = self.listeners.iter().filter(|l| l.transport == transport && same_family(l.bound.ip(), peer));
        match name {
            Some(name) => fitting.clone().find(|l| l.name == name).or_else(|| fitting.next()),
            None => fitting.next(),
        }
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

    fn listener(&self, id: ListenerId) -> Option<&ListenerSpec> {
        self.listeners.iter().find(|l| l.id == id)
    }

    /// The public address for a peer that is not in a local network, where there is one of its family.
    fn public_for(&self, peer: IpAddr, listener: Option<&ListenerSpec>) -> Option<IpAddr> {
        if self.local_networks.iter().any(|network| network.contains(&peer.to_canonical())) {
            return None;
        }
        let of_family = |list: &[IpAddr]| list.iter().copied().find(|ip| same_family(*ip, peer));
        listener.and_then(|l| of_family(&l.public_addresses)).or_else(|| of_family(&self.public_addresses))
    }

    /// Our address on the way to a peer: what the socket is bound to, else the interface's.
    fn local_for(&self, peer: IpAddr, bound: Option<IpAddr>) -> Option<IpAddr> {
        if let Some(bound) = bound.filter(|ip| !ip.is_unspecified() && same_family(*ip, peer)) {
            return Some(bound);
        }
        let near = self.interfaces.networks.iter().filter(|(network, _)| network.contains(&peer));
        let near = near.max_by_key(|(network, _)| network.prefix_len()).map(|(_, ip)| *ip);
        near.or(if peer.is_loopback() { Some(peer) } else { None }).or(match peer {
            IpAddr::V4(_) => self.interfaces.default_v4,
            IpAddr::V6(_) => self.interfaces.default_v6,
        })
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
        // Media sockets are bound elsewhere than the listener.
        assert_eq!(addressing.media_shown_to(ip("10.1.1.1"), ListenerId(2)), Some(ip("10.0.0.5")));
        let local = addressing.local(ip("198.51.100.7"), ListenerId(3)).unwrap();
        assert_eq!((local.ip, local.port), (ip("203.0.113.10"), 5062));
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
