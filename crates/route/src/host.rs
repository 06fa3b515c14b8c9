//! Hosts in URIs and URLs: extraction, and detection of loopback hosts.

use std::net::IpAddr;

/// Returns the host of `sip:user@host:port;parameters` or `wss://user@host:port/path?query`, including IPv6 brackets.
pub fn host_of(uri: &str) -> &str {
    let place = match uri.split_once("://") {
        Some((_, place)) => place.split(['/', '?', '#']).next().unwrap_or_default(),
        None => uri.split_once(':').map_or(uri, |(_, place)| place).split([';', '?']).next().unwrap_or_default(),
    };
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    host.rsplit_once(':').filter(|_| !host.ends_with(']')).map_or(host, |(host, _)| host)
}

/// Returns whether a host, with or without brackets, is `localhost` or a loopback address.
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_uri_has_neither_user_nor_port() {
        let all = [
            "sip:a@pbx.example:5070;transport=tcp",
            "sip:[::1]",
            "pbx",
            "wss://user@bot.example:1/x?y=@z",
            "ws://[::1]:9/",
        ];
        assert_eq!(all.map(host_of), ["pbx.example", "[::1]", "pbx", "bot.example", "[::1]"]);
    }

    #[test]
    fn the_machine_itself_has_several_names() {
        for host in ["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "::1", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ["192.0.2.7", "localhost.example", "0.0.0.0", "", "[::2]"] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
