//! Client addresses behind reverse proxies: `X-Forwarded-For`, accepted from `[http] trusted_proxies` only.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;
use trunkgate_route::household;

/// Header in which reverse proxies list the addresses of clients.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Returns the client address of a request, for IPv6 its /64. On a connection from a trusted proxy it is the last
/// address in `X-Forwarded-For` that is not a trusted proxy, because the client can forge earlier addresses.
pub(super) fn client(remote: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|network| network.contains(&ip));
    let mut client = remote;
    let named = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut named = named.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    while is_trusted(client)
        && let Some(before) = named.next()
    {
        // An unreadable address ends the search; the proxy behind it is the last known address.
        let Some(before) = address(before) else { break };
        client = before;
    }
    household(client)
}

/// Parses an address in `X-Forwarded-For`, with or without a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let plain = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    plain.parse().ok().or_else(with_port).map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn of(remote: &str, lines: &[&str], trusted: &[&str]) -> String {
        let line = |text: &&str| (HeaderName::from_static(FORWARDED_FOR), HeaderValue::from_str(text).unwrap());
        let mut headers = HeaderMap::new();
        headers.extend(lines.iter().map(line));
        let trusted: Vec<IpNet> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        client(remote.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(of("127.0.0.1", &["192.0.2.7"], &[]), "127.0.0.1");
        assert_eq!(of("203.0.113.9", &["192.0.2.7"], &["127.0.0.1/32"]), "203.0.113.9");
        assert_eq!(of("127.0.0.1", &["192.0.2.7"], &["127.0.0.1/32"]), "192.0.2.7");
        assert_eq!(of("127.0.0.1", &[], &["127.0.0.1/32"]), "127.0.0.1", "it names no client");
    }

    #[test]
    fn what_a_client_adds_itself_does_not_count() {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8"];
        assert_eq!(of("127.0.0.1", &["198.51.100.1, 192.0.2.7"], &trusted), "192.0.2.7");
        assert_eq!(of("127.0.0.1", &["198.51.100.1", "192.0.2.7 "], &trusted), "192.0.2.7", "in lines of their own");
        assert_eq!(of("127.0.0.1", &["198.51.100.1, 192.0.2.7, 10.1.2.3"], &trusted), "192.0.2.7", "two proxies");
        assert_eq!(of("127.0.0.1", &["192.0.2.7, unknown"], &trusted), "127.0.0.1");
        assert_eq!(of("127.0.0.1", &["10.1.2.3"], &trusted), "10.1.2.3", "all of them are proxies");
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (written, read) in [
            ("192.0.2.7:4711", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::"),
            ("[2001:db8:1:2:3::4]", "2001:db8:1:2::"),
            ("[2001:db8:1:2:3::4]:4711", "2001:db8:1:2::"),
            ("", "127.0.0.1"),
            ("edge.example", "127.0.0.1"),
        ] {
            assert_eq!(of("127.0.0.1", &[written], &["127.0.0.1/32"]), read, "{written}");
        }
    }
}
