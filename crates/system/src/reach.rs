//! Filter for the addresses that an application's URLs may lead to. The documents of an application decide where the
//! edge connects, so the filter checks each address that is connected to, after name resolution and after each
//! redirect. Neither a name, nor a redirect, nor an IPv4 address embedded in IPv6 can lead into the operator's own
//! network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};
use url::{Host, Url};

use crate::public_name::PublicName;

use AddressKind::{Benchmarking, Documentation, LinkLocal, Loopback, Metadata, Nowhere, Private, Public, Shared};

/// Rules for the addresses that an application's URLs may lead to.
#[derive(Debug, Clone, Default)]
pub struct ReachRules {
    /// Whether private, loopback and the edge's own addresses may be reached.
    pub allow_private: bool,
    /// Addresses of this machine, including its public ones.
    pub own: Arc<[IpAddr]>,
    /// Sockets that applications may never reach, such as the edge's own listeners. An unspecified address stands for
    /// all addresses of this machine.
    pub closed: Arc<[SocketAddr]>,
    /// Public name of an application at another address; that address is checked like any other.
    pub public_name: Option<Arc<PublicName>>,
}

/// Address that an application's URL must not lead to, with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarredAddress {
    /// Rejected address.
    pub address: IpAddr,
    why: BarredReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BarredReason {
    Kind(AddressKind),
    /// The address belongs to this machine.
    Own,
    /// The socket belongs to this machine, and applications may never reach it.
    Closed,
}

/// Kind of an IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressKind {
    Public,
    Private,
    Loopback,
    LinkLocal,
    /// Shared by a carrier and its subscribers (RFC 6598).
    Shared,
    Documentation,
    Benchmarking,
    /// Cloud metadata service, which hands out the machine's credentials.
    Metadata,
    /// No single host: unspecified, multicast, broadcast or reserved.
    Nowhere,
}

impl fmt::Display for BarredAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.why {
            BarredReason::Kind(Metadata) => return write!(f, "{} is a cloud metadata address", self.address),
            BarredReason::Kind(Nowhere) => return write!(f, "{} is not the address of one host", self.address),
            BarredReason::Closed => return write!(f, "{} and this port are the edge's own listener", self.address),
            BarredReason::Own => "an address of this machine",
            BarredReason::Kind(Public) => "a public address",
            BarredReason::Kind(Private) => "a private address",
            BarredReason::Kind(Loopback) => "a loopback address",
            BarredReason::Kind(LinkLocal) => "a link-local address",
            BarredReason::Kind(Shared) => "an address of a carrier's NAT (100.64.0.0/10)",
            BarredReason::Kind(Documentation) => "an address for documentation",
            BarredReason::Kind(Benchmarking) => "an address for benchmarking",
        };
        write!(f, "{} is {what}: `allow_private` is not set", self.address)
    }
}

impl ReachRules {
    /// Checks an address that is to be connected to.
    ///
    /// # Errors
    /// Returns the address and the reason why it may not be reached.
    pub fn judge(&self, to: SocketAddr) -> Result<(), BarredAddress> {
        let barred = |why| Err(BarredAddress { address: to.ip(), why });
        for ip in meanings(to.ip()) {
            let kind = kind(ip);
            let is_own = self.own.contains(&ip);
            if matches!(kind, Metadata | Nowhere) {
                return barred(BarredReason::Kind(kind));
            }
            let is_closed = |closed: &SocketAddr| {
                let closed_ip = closed.ip().to_canonical();
                let is_here = closed_ip == ip || closed_ip.is_unspecified() && (is_own || kind == Loopback);
                is_here && closed.port() == to.port()
            };
            if self.closed.iter().any(is_closed) {
                return barred(BarredReason::Closed);
            }
            match (self.allow_private, is_own, kind) {
                (true, ..) | (false, false, Public) => {}
                (false, true, Public) => return barred(BarredReason::Own),
                (false, ..) => return barred(BarredReason::Kind(kind)),
            }
        }
        Ok(())
    }

    /// Returns the public name if `host` is that name; its application runs at another address.
    pub fn public_name_of(&self, host: &str) -> Option<&PublicName> {
        self.public_name.as_deref().filter(|name| name.is_of(host))
    }

    /// Returns whether the IP address or loopback name in a URL leads to a socket that applications may never reach;
    /// false for other names.
    pub fn is_closed(&self, url: &Url) -> bool {
        matches!(self.judge_url(url), Err(BarredAddress { why: BarredReason::Closed, .. }))
    }

    /// Returns those of a host's addresses that may be reached, in their order.
    ///
    /// # Errors
    /// If none may be reached, returns the first address with the reason.
    pub fn select(&self, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, BarredAddress> {
        let may: Vec<SocketAddr> = found.iter().copied().filter(|to| self.judge(*to).is_ok()).collect();
        match (found.first(), may.is_empty()) {
            (Some(first), true) => self.judge(*first).map(|()| may),
            _ => Ok(may),
        }
    }

    /// Checks the address in a URL of the configuration or of a request; a URL rejected here can never be reached. Host
    /// names are checked after their resolution, except loopback names (RFC 6761 §6.3).
    ///
    /// # Errors
    /// Returns the address and the reason why it may not be reached.
    pub fn judge_url(&self, url: &Url) -> Result<(), BarredAddress> {
        let port = url.port_or_known_default().unwrap_or_default();
        match url.host() {
            Some(Host::Ipv4(ip)) => self.judge((ip, port).into()),
            Some(Host::Ipv6(ip)) => self.judge((ip, port).into()),
            Some(Host::Domain(name)) if is_localhost(name) => self.judge((Ipv4Addr::LOCALHOST, port).into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }
}

/// Returns whether a name always resolves to this machine.
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Returns an address and the IPv4 addresses embedded in it, because a gateway or the system may send to those instead.
fn meanings(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let IpAddr::V6(v6) = ip.to_canonical() else {
        return [Some(ip.to_canonical()), None, None].into_iter().flatten();
    };
    let bytes = v6.octets();
    let at = |from: usize| {
        let four = bytes.get(from..from + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
        four.map(Ipv4Addr::from)
    };
    let (first, second) = match v6.segments() {
        // NAT64 (RFC 6052 §2.1), SIIT (RFC 2765 §2.1), IPv4-compatible (RFC 4291 §2.5.5.1).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0, 0, 0, 0, 0, 0, ..] => (at(12), None),
        // Local-use NAT64 (RFC 8215) may have a longer prefix; the last octets are those of a /96, the most common one.
        [0x64, 0xff9b, 1, ..] => (at(12), None),
        // 6to4 (RFC 3056 §2).
        [0x2002, ..] => (at(2), None),
        // Teredo (RFC 4380 §4): the server, and the client with its bits inverted.
        [0x2001, 0, ..] => (at(4), at(12).map(|ip| Ipv4Addr::from_bits(!ip.to_bits()))),
        // ISATAP (RFC 5214 §6.1).
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => (at(12), None),
        _ => (None, None),
    };
    // `::` and `::1` contain no IPv4 address.
    let itself = v6.is_unspecified() || v6.is_loopback();
    let inside = |v4: Option<Ipv4Addr>| v4.filter(|_| !itself).map(IpAddr::V4);
    [Some(IpAddr::V6(v6)), inside(first), inside(second)].into_iter().flatten()
}

fn kind(ip: IpAddr) -> AddressKind {
    match ip {
        IpAddr::V4(v4) => kind_of_v4(v4),
        IpAddr::V6(v6) => kind_of_v6(v6),
    }
}

fn kind_of_v4(ip: Ipv4Addr) -> AddressKind {
    // The first matching network decides. The networks come from IANA's special-purpose registries and from the
    // documentation of clouds about their metadata services.
    const NETWORKS: [(Ipv4Net, AddressKind); 21] = [
        // AWS, Google, Azure, Oracle, DigitalOcean; the credentials of AWS containers are in the next network.
        (v4([169, 254, 169, 0], 24), Metadata),
        (v4([169, 254, 170, 0], 24), Metadata),
        // Tencent, Scaleway, Alibaba, Azure's agent, Oracle's older one.
        (v4([169, 254, 0, 23], 32), Metadata),
        (v4([169, 254, 42, 42], 32), Metadata),
        (v4([100, 100, 100, 200], 32), Metadata),
        (v4([168, 63, 129, 16], 32), Metadata),
        (v4([192, 0, 0, 192], 32), Metadata),
        (v4([0, 0, 0, 0], 8), Nowhere),
        (v4([127, 0, 0, 0], 8), Loopback),
        (v4([10, 0, 0, 0], 8), Private),
        (v4([172, 16, 0, 0], 12), Private),
        (v4([192, 168, 0, 0], 16), Private),
        (v4([100, 64, 0, 0], 10), Shared),
        (v4([169, 254, 0, 0], 16), LinkLocal),
        (v4([192, 0, 0, 0], 24), Private),
        (v4([192, 0, 2, 0], 24), Documentation),
        (v4([198, 51, 100, 0], 24), Documentation),
        (v4([203, 0, 113, 0], 24), Documentation),
        (v4([198, 18, 0, 0], 15), Benchmarking),
        // Former 6to4 relays (RFC 7526).
        (v4([192, 88, 99, 0], 24), Nowhere),
        // Multicast, reserved, broadcast.
        (v4([224, 0, 0, 0], 3), Nowhere),
    ];
    NETWORKS.iter().find(|(network, _)| network.contains(&ip)).map_or(Public, |(_, kind)| *kind)
}

fn kind_of_v6(ip: Ipv6Addr) -> AddressKind {
    const NETWORKS: [(Ipv6Net, AddressKind); 20] = [
        // AWS, its containers, Google, Scaleway, Akamai, Oracle, Alibaba.
        (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), Metadata),
        (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128), Metadata),
        (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), Metadata),
        (v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128), Metadata),
        (v6([0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1], 128), Metadata),
        (v6([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128), Metadata),
        (v6([0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200], 128), Metadata),
        (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Loopback),
        (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Private),
        // Site-local, deprecated but routed by some (RFC 3879).
        (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Private),
        (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), LinkLocal),
        (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), Documentation),
        (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Documentation),
        (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), Benchmarking),
        // Local-use NAT64 prefix (RFC 8215).
        (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), Private),
        // The embedded IPv4 address is checked as well, so the prefix itself may count as public.
        (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), Public),
        (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), Public),
        (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), Public),
        // Protocol assignments: identifiers, not hosts (RFC 7343).
        (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Nowhere),
        (v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3), Public),
    ];
    NETWORKS.iter().find(|(network, _)| network.contains(&ip)).map_or(Nowhere, |(_, kind)| *kind)
}

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(reach: &ReachRules, text: &str) -> Result<(), String> {
        let ip: IpAddr = text.parse().unwrap();
        reach.judge((ip, 443).into()).map_err(|barred| barred.to_string())
    }

    const PUBLIC: [&str; 13] = [
        "8.8.8.8",
        "1.0.0.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "223.255.255.255",
        "2606:4700::1111",
        "64:ff9b::8.8.8.8",
        "::ffff:8.8.8.8",
    ];

    /// Addresses that are rejected, with the word for the reason.
    const PRIVATE: [(&str, &str); 41] = [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("192.0.0.8", "private"),
        ("100.64.0.0", "carrier"),
        ("100.127.255.255", "carrier"),
        ("169.254.1.1", "link-local"),
        ("192.0.2.1", "documentation"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.9", "documentation"),
        ("198.18.0.1", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("::1", "loopback"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("fc00::1", "private"),
        ("fdff::1", "private"),
        ("fec0::1", "private"),
        ("2001:db8::1", "documentation"),
        ("3fff:fff::1", "documentation"),
        ("2001:2::1", "benchmarking"),
        ("64:ff9b:1::8.8.8.8", "private"),
        // IPv4 addresses embedded in IPv6.
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:100.64.0.1", "carrier"),
        ("::ffff:0:10.0.0.1", "private"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::192.168.1.1", "private"),
        ("2002:a00:1::", "private"),
        ("2002:7f00:1::1", "loopback"),
        ("2002:c0a8:101:1::1", "private"),
        // Teredo addresses contain the server's address, 10.0.0.1, and the inverted one of the client.
        ("2001:0:a00:1::f7f7:f7f7", "private"),
        ("2001:0:808:808::f5ff:fffe", "private"),
        // ISATAP.
        ("2606:4700::5efe:10.0.0.1", "private"),
        ("2606:4700::200:5efe:127.0.0.1", "loopback"),
        ("2606:4700::5efe:100.64.0.1", "carrier"),
    ];

    const NEVER: [(&str, &str); 40] = [
        ("0.0.0.0", "one host"),
        ("0.0.0.1", "one host"),
        ("224.0.0.1", "one host"),
        ("239.255.255.255", "one host"),
        ("240.0.0.1", "one host"),
        ("255.255.255.255", "one host"),
        ("192.88.99.1", "one host"),
        ("::", "one host"),
        ("ff02::1", "one host"),
        ("100::1", "one host"),
        ("4000::1", "one host"),
        ("2001:10::1", "one host"),
        ("2001:20::1", "one host"),
        ("::8.8.8.8", "one host"),
        ("::127.0.0.1", "one host"),
        ("::ffff:0.0.0.0", "one host"),
        ("64:ff9b::0.0.0.0", "one host"),
        ("2002:e000:1::", "one host"),
        ("169.254.169.254", "metadata"),
        ("169.254.169.253", "metadata"),
        ("169.254.170.2", "metadata"),
        ("169.254.170.23", "metadata"),
        ("169.254.0.23", "metadata"),
        ("169.254.42.42", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("fd00:ec2::23", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("fd00:42::42", "metadata"),
        ("fd00:a9fe:a9fe::1", "metadata"),
        ("fd00:c1::a9fe:a9fe", "metadata"),
        ("fd00:100::100:200", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::169.254.169.254", "metadata"),
        ("2002:a9fe:a9fe::", "metadata"),
        ("2001:0:a9fe:a9fe::", "metadata"),
        ("2001:0:808:808::5601:5601", "metadata"),
        ("2606:4700::5efe:169.254.169.254", "metadata"),
    ];

    #[test]
    fn public_addresses_are_reached_and_others_are_not() {
        let (strict, lax) = (ReachRules::default(), ReachRules { allow_private: true, ..ReachRules::default() });
        for text in PUBLIC {
            assert_eq!(judged(&strict, text), Ok(()), "{text}");
            assert_eq!(judged(&lax, text), Ok(()), "{text}");
        }
        for (text, why) in PRIVATE {
            let said = judged(&strict, text).unwrap_err();
            assert!(said.contains(why) && said.contains("allow_private"), "{text}: {said}");
            assert_eq!(judged(&lax, text), Ok(()), "{text}");
        }
        for (text, why) in NEVER {
            for reach in [&strict, &lax] {
                let said = judged(reach, text).unwrap_err();
                assert!(said.contains(why), "{text}: {said}");
            }
        }
        // Private prefix with an embedded metadata address.
        for text in ["64:ff9b:1::169.254.169.254", "64:ff9b:1:1::168.63.129.16"] {
            assert!(judged(&strict, text).is_err() && judged(&lax, text).unwrap_err().contains("metadata"), "{text}");
        }
    }

    #[test]
    fn own_addresses_are_private_in_every_form() {
        let own: Arc<[IpAddr]> = ["8.8.8.8", "2606:4700::1"].map(|ip| ip.parse().unwrap()).into();
        let strict = ReachRules { own: Arc::clone(&own), ..ReachRules::default() };
        let lax = ReachRules { allow_private: true, own, ..ReachRules::default() };
        for text in ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2606:4700::1"] {
            assert!(judged(&strict, text).unwrap_err().contains("this machine"), "{text}");
            assert_eq!(judged(&lax, text), Ok(()), "{text}");
        }
    }

    #[test]
    fn the_edges_own_listeners_are_closed_even_where_private_addresses_are_not() {
        let closed: Arc<[SocketAddr]> = ["0.0.0.0:8080", "[::ffff:10.0.0.1]:5060"].map(|to| to.parse().unwrap()).into();
        let own: Arc<[IpAddr]> = ["10.0.0.1".parse().unwrap()].into();
        let reach = ReachRules { allow_private: true, own, closed, public_name: None };
        let judged = |text: &str| reach.judge(text.parse().unwrap()).is_ok();
        for text in ["127.0.0.1:8080", "[::1]:8080", "10.0.0.1:8080", "[::ffff:10.0.0.1]:8080", "10.0.0.1:5060"] {
            assert!(!judged(text), "{text}");
        }
        for text in ["127.0.0.1:8081", "10.0.0.2:8080", "10.0.0.1:5061", "127.0.0.1:5060", "8.8.8.8:8080"] {
            assert!(judged(text), "{text}");
        }
    }

    #[test]
    fn of_several_addresses_those_are_taken_that_may_be_reached() {
        let all = ["10.0.0.1:80", "8.8.8.8:80", "[::1]:80"].map(|to| to.parse::<SocketAddr>().unwrap());
        assert_eq!(ReachRules::default().select(&all), Ok(vec![all[1]]));
        let barred = ReachRules::default().select(&[all[2], all[0]]).unwrap_err();
        assert_eq!(barred.to_string(), "::1 is a loopback address: `allow_private` is not set");
        assert_eq!(ReachRules::default().select(&[]), Ok(vec![]));
    }

    #[test]
    fn addresses_in_urls_are_judged_however_they_are_written() {
        let judged = |text: &str| ReachRules::default().judge_url(&Url::parse(text).unwrap()).is_ok();
        for text in [
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://\u{ff11}27.0.0.1/",
            "http://[::ffff:7f00:1]/",
            "https://169.254.169.254/latest/meta-data/",
            "http://localhost/",
            "http://LOCALHOST.:8080/",
            "ws://app.localhost/",
        ] {
            assert!(!judged(text), "{text}");
        }
        for text in ["https://example.com/", "http://localhost.example.com/", "https://8.8.8.8:8443/"] {
            assert!(judged(text), "{text}");
        }
    }
}
