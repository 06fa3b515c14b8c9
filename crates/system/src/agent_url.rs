//! Rules for the URLs of agents, equal for `url` in the configuration and for URLs given over HTTP.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use url::Url;

/// Message about a URL with a query string.
pub const QUERY_UNSENT: &str = "`url`: the query string is not sent";
/// Advice for a URL with a query string.
pub const QUERY_HELP: &str = "as on Twilio: use `parameters`, which the agent receives in `start.customParameters`";

/// Reason why an agent's URL is rejected.
#[derive(Debug, PartialEq, Eq)]
pub struct UrlFault {
    /// Description of the fault.
    pub message: String,
    /// Advice on how to correct it.
    pub help: &'static str,
}

/// Parses and checks an agent's URL. A host name without TLS is accepted, because its addresses are checked before each
/// connection.
///
/// # Errors
/// Returns the reason why the URL is rejected, with advice.
pub fn check(text: &str, local_networks: &[IpNet]) -> Result<Url, UrlFault> {
    let wrong = |message: String, help: &'static str| Err(UrlFault { message, help });
    // The parser drops these characters, but logs and ladders would show the URL with them.
    let written = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    let Some(url) = Url::parse(text).ok().filter(|url| written && url.has_host()) else {
        return wrong("`url` is not a WebSocket URL".into(), "use \"wss://agent.example.com/media\"");
    };
    match url.scheme() {
        "ws" | "wss" => {}
        "rtp" if url.port().is_none() => {
            return wrong("`url`: plain RTP has no port of its own".into(), "use \"rtp://127.0.0.1:4000\"");
        }
        "rtp" if url.port() == Some(0) => {
            return wrong("`url`: port 0 is not valid".into(), "use \"rtp://127.0.0.1:4000\"");
        }
        "rtp" if !matches!(url.path(), "" | "/") || url.query().is_some() => {
            return wrong("`url`: plain RTP has no path".into(), "use \"rtp://127.0.0.1:4000\"");
        }
        "rtp" => {}
        "https" | "http" => {
            return wrong(
                format!("`url` cannot start with {}:", url.scheme()),
                "use \"wss://…\": the URL of `<Stream url>`, not the webhook's",
            );
        }
        other => {
            return wrong(
                format!("`url` cannot start with {other}:"),
                "\"wss://…\", \"ws://…\" on loopback or in [edge] local_networks, or \"rtp://host:port\"",
            );
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("`url` contains a user part".into(), "`auth_token` signs the handshake");
    }
    if url.fragment().is_some() {
        return wrong(
            "`url` contains a fragment (`#`)".into(),
            "remove it: WebSocket URLs have no fragment (RFC 6455 §3)",
        );
    }
    if let Some(right) = misspelt(text, &url) {
        let help = "use \"wss://agent.example.com/media\", \"ws://127.0.0.1:9000\"";
        return wrong(format!("`url`: {} {right}", written_host(text)), help);
    }
    if let Some(ip) = address(&url).filter(|ip| is_of_no_one(*ip)) {
        let help = "use the name or address of the agent's host";
        return wrong(format!("`url`: {ip} is not a host address"), help);
    }
    let is_near = |ip: IpAddr| {
        let ip = ip.to_canonical();
        ip.is_loopback() || local_networks.iter().any(|network| network.contains(&ip))
    };
    if url.scheme() != "wss" && address(&url).is_some_and(|ip| !is_near(ip)) {
        let host = host(&url);
        return wrong(
            format!("`url`: audio and secrets would be sent to {host} unencrypted"),
            "use wss://; ws:// and rtp:// are allowed for loopback and [edge] local_networks only",
        );
    }
    Ok(url)
}

/// Returns the host of a URL if it is an IP address, otherwise `None`.
pub fn address(url: &Url) -> Option<IpAddr> {
    host(url).parse().ok()
}

/// Returns whether an address cannot belong to an agent: unspecified, multicast and broadcast addresses.
pub fn is_of_no_one(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Describes an ambiguous spelling of a URL's host; `None` if it is unambiguous. Some resolvers take `0x7f.1` for
/// 127.0.0.1 and others do not, so readers could not know the destination.
fn misspelt(text: &str, url: &Url) -> Option<String> {
    let (written, read) = (written_host(text), url.host_str().unwrap_or_default());
    if written.starts_with('[') || written.parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    let last = written.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_hex = |digits: &str| digits.chars().all(|c| c.is_ascii_hexdigit());
    let is_number = last.chars().all(|c| c.is_ascii_digit())
        || last.strip_prefix("0x").or_else(|| last.strip_prefix("0X")).is_some_and(is_hex);
    if is_number {
        return Some("is neither a name nor an address: four decimal numbers without leading zeros".to_owned());
    }
    (!written.eq_ignore_ascii_case(read)).then(|| format!("is not in canonical form: write {read}"))
}

/// Returns the host as written in a URL, before the parser normalizes it.
fn written_host(text: &str) -> &str {
    let authority = text.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    match authority.split_once(']') {
        Some((address, _)) => authority.get(..=address.len()).unwrap_or(authority),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No spelling of an address that resolvers accept may evade the rule for local networks.
    #[test]
    fn without_tls_only_to_near_addresses_however_they_are_spelt() {
        let networks: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let is_taken = |text: &str| check(text, &networks).is_ok();
        for text in [
            "ws://127.0.0.1:9000/media",
            "ws://[::1]:9000/media",
            "ws://10.1.2.3/",
            "rtp://10.1.2.3:4000",
            "rtp://[::ffff:10.1.2.3]:4000",
            "wss://203.0.113.1/media",
            "ws://agent.example/",
            "ws://LocalHost:9000",
            "ws://127.0.0.1.nip.example/",
            "ws://0x7f.example/",
            "wss://xn--bcher-kva.example/",
            "wss://[0:0:0:0:0:0:0:1]/",
            "rtp://recorder.example:4000",
        ] {
            assert!(is_taken(text), "{text}");
        }
        for text in [
            "",
            "agent.example",
            "wss://agent.example/\na line of the log",
            "wss://agent.example/\u{1b}[2J",
            " wss://agent.example/",
            "http://127.0.0.1/",
            "file:///etc/passwd",
            "ws://203.0.113.1/",
            "ws://0.0.0.0:9000/",
            "ws://[::]:9000/",
            "ws://[::ffff:203.0.113.1]/",
            "ws://169.254.169.254/latest",
            "ws://2852039166/latest",
            "ws://0251.0376.0251.0376/latest",
            "rtp://224.0.0.1:4000",
            "rtp://255.255.255.255:4000",
            "rtp://127.0.0.1",
            "rtp://127.0.0.1:0",
            "rtp://127.0.0.1:4000/a",
            "rtp://203.0.113.1:4000",
            "rtp://[ff02::1]:4000",
            "wss://224.0.0.1/",
            "wss://0.0.0.0:9000/",
            "wss://255.255.255.255/",
            "wss://user@agent.example/",
            "wss://agent.example/#a",
        ] {
            assert!(!is_taken(text), "{text}");
        }
    }

    /// Hosts that only some resolvers take for an address, or that the parser reads differently than written, are
    /// rejected.
    #[test]
    fn a_host_is_written_as_it_is_looked_up() {
        let fault = |text: &str| check(text, &[]).map_err(|fault| fault.message);
        for host in ["2130706433", "0x7f.1", "0X7F.0.0.1", "127.1", "0177.0.0.1", "127.0.0.1.", "127.0.0.0x1"] {
            for url in [format!("ws://{host}:9000/"), format!("wss://{host}/"), format!("rtp://{host}:4000")] {
                let neither = format!("`url`: {host} is neither a name nor an address");
                assert!(fault(&url).unwrap_err().starts_with(&neither), "{url}");
            }
        }
        assert_eq!(
            fault("wss://b\u{fc}cher.example/").unwrap_err(),
            "`url`: b\u{fc}cher.example is not in canonical form: write xn--bcher-kva.example"
        );
        for text in ["wss://%6cocalhost/", "wss:agent.example/", "wss://\u{ff11}27.0.0.1/", "ws://1.2.3.4.5/"] {
            assert!(fault(text).is_err(), "{text}");
        }
    }
}
