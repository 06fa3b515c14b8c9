//! Sockets of the edge itself, to which no agent or listener may be connected: audio copied to one would return and be
//! copied again without end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;
use trunkgate_call::Interfaces;
use trunkgate_route::Transport;

use crate::settings::BoundListener;
use trunkgate_config::Config;
use trunkgate_system::interfaces;
use trunkgate_system::public_name::PublicName;
use trunkgate_system::reach::ReachRules;

/// Addresses that the edge has bound, or may bind for a call.
#[derive(Debug, Clone, Default)]
pub struct OwnSockets {
    /// Addresses of UDP listeners.
    datagrams: Vec<SocketAddr>,
    /// Addresses of the TCP and TLS listeners and of the HTTP listeners.
    connections: Vec<SocketAddr>,
    /// Address of the HTTP listener.
    http: Option<SocketAddr>,
    /// Address of the API's TLS listener.
    api: Option<SocketAddr>,
    /// Local addresses of media sockets.
    media: Vec<IpAddr>,
    ports: (u16, u16),
    /// Public addresses of this machine; traffic to them may arrive at the edge itself.
    public: Vec<IpAddr>,
    /// Public name that stands for an application at another address; set by the program, not by the configuration.
    public_name: Option<Arc<PublicName>>,
}

impl OwnSockets {
    /// Returns an empty set, for programs without an edge.
    pub fn none() -> watch::Receiver<OwnSockets> {
        watch::channel(OwnSockets::default()).1
    }

    /// Returns the sockets of an edge that has just bound its listeners, HTTP and, if configured, the API's TLS
    /// listener.
    pub fn new(listeners: &[BoundListener], http: SocketAddr, api: Option<SocketAddr>, config: &Config) -> OwnSockets {
        let of = |is_datagram: bool| {
            let fit = move |one: &&BoundListener| (one.transport == Transport::Udp) == is_datagram;
            listeners.iter().filter(fit).map(|one| one.address)
        };
        let connections = of(false).chain([http]).chain(api).collect();
        let datagrams = of(true).collect();
        let mut own = OwnSockets { datagrams, connections, http: Some(http), api, ..OwnSockets::default() };
        own.follow(config, config);
        own
    }

    /// Sets the public name that stands for an application at another address.
    pub fn standing_for(self, name: Option<PublicName>) -> OwnSockets {
        OwnSockets { public_name: name.map(Arc::new), ..self }
    }

    /// Returns the mapping of `host` if it is the public name of an application at another address; otherwise `None`.
    pub(crate) fn public_name_of(&self, host: &str) -> Option<Arc<PublicName>> {
        self.public_name.clone().filter(|name| name.is_of(host))
    }

    /// Returns the address of the API's TLS listener.
    pub fn api(&self) -> Option<SocketAddr> {
        self.api
    }

    /// Returns the address of the HTTP listener.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Applies a reload: public addresses follow `config`, media ports remain those of `boot`, and media addresses are
    /// those of both, because existing sessions keep theirs.
    pub fn follow(&mut self, boot: &Config, config: &Config) {
        let public = config.listen.iter().flat_map(|listen| &listen.public_address);
        self.media = boot.media.address.iter().chain(&config.media.address).copied().collect();
        self.ports = boot.media.ports;
        self.public = config.edge.public_address.iter().chain(public).copied().collect();
    }

    /// Returns a description of the edge's socket that RTP to this address would reach; `None` if it would leave the
    /// edge. Unused media ports count, because a call may bind one a moment later.
    pub fn takes_rtp(&self, to: SocketAddr) -> Option<&'static str> {
        let relays = (self.ports.0..=self.ports.1).contains(&to.port());
        if relays && self.is_bound(to.ip(), self.media.iter().copied()) {
            return Some("one of the edge's own [media] ports");
        }
        self.is_bound(to.ip(), at_port(&self.datagrams, to)).then_some("the edge's own listener for SIP")
    }

    /// Returns a description of the edge's socket that a connection to this address would reach; `None` if it would
    /// leave the edge.
    pub fn takes_connection(&self, to: SocketAddr) -> Option<&'static str> {
        let is_own = self.is_bound(to.ip(), at_port(&self.connections, to));
        is_own.then_some("the edge's own, for SIP or HTTP")
    }

    /// Returns the rules for an application's URLs on a machine with these interfaces.
    pub fn reach(&self, allow_private: bool, interfaces: &Interfaces) -> ReachRules {
        let here = interfaces.networks.iter().map(|(_, address)| *address);
        let own = here.chain(self.public.iter().copied()).collect();
        // Traffic to a public address of the edge may return to a listener.
        let ports = self.connections.iter().map(SocketAddr::port);
        let outside = ports.flat_map(|port| self.public.iter().map(move |ip| SocketAddr::new(*ip, port)));
        let closed = self.connections.iter().copied().chain(outside).collect();
        ReachRules { allow_private, own, closed, public_name: self.public_name.clone() }
    }

    /// Returns whether a packet to `ip` would reach one of the bound addresses.
    fn is_bound(&self, ip: IpAddr, mut bound: impl Iterator<Item = IpAddr>) -> bool {
        let ip = match ip.to_canonical() {
            // Traffic to the unspecified address goes to loopback.
            ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        bound.any(|own| {
            let own = own.to_canonical();
            own == ip || self.public.contains(&ip) || own.is_unspecified() && interfaces::has(ip)
        })
    }
}

fn at_port(sockets: &[SocketAddr], to: SocketAddr) -> impl Iterator<Item = IpAddr> {
    sockets.iter().filter(move |own| own.port() == to.port()).map(SocketAddr::ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(datagrams: &str, connections: &str, media: &str) -> OwnSockets {
        OwnSockets {
            datagrams: vec![datagrams.parse().unwrap()],
            connections: vec![connections.parse().unwrap()],
            http: None,
            api: None,
            media: vec![media.parse().unwrap()],
            ports: (20_000, 20_999),
            public: vec!["203.0.113.10".parse().unwrap()],
            public_name: None,
        }
    }

    #[test]
    fn what_is_bound_to_all_addresses_is_at_each_of_this_machine() {
        let own = own("0.0.0.0:5060", "[::]:5061", "0.0.0.0");
        for here in ["127.0.0.1", "127.9.9.9", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "[::]", "203.0.113.10"] {
            let to = |port: u16| format!("{here}:{port}").parse().unwrap();
            let rtp = [5059, 5060, 5061, 19_999, 20_000, 20_999, 21_000].map(|port| own.takes_rtp(to(port)).is_some());
            assert_eq!(rtp, [false, true, false, false, true, true, false], "{here}");
            let connection = [5060, 5061, 20_000].map(|port| own.takes_connection(to(port)).is_some());
            assert_eq!(connection, [false, true, false], "{here}");
        }
        let elsewhere = |port: u16| SocketAddr::from(([192, 0, 2, 77], port));
        assert_eq!((own.takes_rtp(elsewhere(20_000)), own.takes_connection(elsewhere(5061))), (None, None));
    }

    #[test]
    fn an_application_reaches_neither_this_machine_nor_a_listener() {
        let own = own("0.0.0.0:5060", "0.0.0.0:8080", "0.0.0.0");
        let address: IpAddr = "198.51.100.7".parse().unwrap();
        let interfaces =
            Interfaces { networks: vec![("198.51.100.0/24".parse().unwrap(), address)], ..Interfaces::default() };
        let judged =
            |allow_private: bool, to: &str| own.reach(allow_private, &interfaces).judge(to.parse().unwrap()).is_ok();
        for (to, public, private) in [
            ("93.184.215.14:443", true, true),
            ("198.51.100.7:443", false, true),
            ("198.51.100.7:8080", false, false),
            ("203.0.113.10:443", false, true),
            ("127.0.0.1:3000", false, true),
            ("127.0.0.1:8080", false, false),
            ("169.254.169.254:80", false, false),
        ] {
            assert_eq!((judged(false, to), judged(true, to)), (public, private), "{to}");
        }
    }

    #[test]
    fn a_listener_is_closed_under_the_public_address_too() {
        let own = own("127.0.0.1:5060", "127.0.0.1:8080", "127.0.0.1");
        let reach = own.reach(true, &Interfaces::default());
        let judged = |to: &str| reach.judge(to.parse().unwrap()).is_ok();
        for (to, may) in [
            ("203.0.113.10:8080", false),
            ("[::ffff:203.0.113.10]:8080", false),
            ("127.0.0.1:8080", false),
            ("203.0.113.10:8081", true),
            ("203.0.113.11:8080", true),
        ] {
            assert_eq!(judged(to), may, "{to}");
        }
    }

    #[test]
    fn what_is_bound_to_one_address_is_there_alone() {
        let own = own("127.0.0.3:5060", "127.0.0.1:8080", "127.0.0.2");
        for (to, rtp, connection) in [
            ("127.0.0.1:8080", false, true),
            ("[::ffff:127.0.0.1]:8080", false, true),
            ("0.0.0.0:8080", false, true),
            ("127.0.0.2:8080", false, false),
            ("127.0.0.2:20001", true, false),
            ("[::ffff:127.0.0.2]:20001", true, false),
            ("127.0.0.1:20001", false, false),
            ("127.0.0.3:5060", true, false),
        ] {
            let to = to.parse().unwrap();
            assert_eq!((own.takes_rtp(to).is_some(), own.takes_connection(to).is_some()), (rtp, connection), "{to}");
        }
    }
}
