//! Selects the attributes that are forwarded to the other leg. Attributes about transport, keys, addresses or software
//! stay on their leg; all others are forwarded, known or not.

use std::net::{IpAddr, SocketAddr};

use super::{Attribute, payload_number};

/// Names of attributes that are not forwarded, in lower case; see also [`PREFIXES`].
const STAYS: [&str; 40] = [
    // Direction, format and RTCP attributes are generated for each leg.
    "sendrecv",
    "sendonly",
    "recvonly",
    "inactive",
    "rtpmap",
    "fmtp",
    "rtcp",
    "rtcp-mux",
    "rtcp-mux-only",
    // ICE, DTLS and other keys (RFC 8839, RFC 8842, RFC 4568, RFC 4567, RFC 6189)
    "candidate",
    "remote-candidates",
    "end-of-candidates",
    "crypto",
    "fingerprint",
    "setup",
    "connection",
    "dtls-id",
    "tls-id",
    "key-mgmt",
    "zrtp-hash",
    "identity",
    // Addresses of sources and endpoints (RFC 4570, RFC 6947, RFC 4145 and its drafts).
    "source-filter",
    "altc",
    "alt",
    "direction",
    "nortpproxy",
    // Grouping refers to attributes that are not forwarded (RFC 5888, RFC 9143, RFC 8830, RFC 5576).
    "group",
    "mid",
    "bundle-only",
    "msid",
    "msid-semantic",
    "ssrc",
    "ssrc-group",
    // Capability negotiation could agree on features unknown to the edge (RFC 5939).
    "csup",
    "creq",
    "acap",
    "tcap",
    "pcfg",
    "acfg",
    // The name of the software that wrote the description.
    "tool",
];

/// Prefixes of attribute names that are not forwarded.
const PREFIXES: [&str; 3] = ["ice-", "x-ice", "x-nat"];

/// Attributes with a value that begins with a payload type or `*` (RFC 4585 §4.2, RFC 6236 §3.1.1, RFC 6064 §6.2).
const PER_FORMAT: [&str; 3] = ["rtcp-fb", "imageattr", "framesize"];

/// Attributes in [`STAYS`] of which a new version for the other leg is generated from the remote party's values.
const REWRITTEN: [&str; 2] = ["rtpmap", "fmtp"];

/// Returns the number of bytes by which an attribute may extend the description sent to the other leg; 0 if it is not
/// forwarded.
pub(crate) fn passed_bytes(attribute: &Attribute) -> usize {
    let name = attribute.name.to_ascii_lowercase();
    let is_rewritten = REWRITTEN.contains(&name.as_str());
    let stays = !is_rewritten && stays(&name);
    if stays { 0 } else { name.len() + attribute.value.as_ref().map_or(0, String::len) }
}

fn stays(name: &str) -> bool {
    STAYS.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Returns an attribute as forwarded to the other leg; `None` if it is not forwarded. `number` maps a payload type to
/// that of the other leg, or to `None` to drop the attribute.
pub(crate) fn pass(attribute: &Attribute, number: impl Fn(u8) -> Option<u8>) -> Option<Attribute> {
    let name = attribute.name.to_ascii_lowercase();
    if stays(&name) {
        return None;
    }
    if names_an_address(&name) {
        return None;
    }
    let Some(value) = attribute.value.as_deref() else { return Some(attribute.clone()) };
    if names_an_address(value) {
        return None;
    }
    if !PER_FORMAT.contains(&name.as_str()) {
        return Some(attribute.clone());
    }
    let (format, rest) = value.split_once(' ').unwrap_or((value, ""));
    if format == "*" {
        return Some(attribute.clone());
    }
    let number = number(payload_number(format)?)?;
    Some(Attribute::new(&attribute.name, format!("{number} {rest}")))
}

/// Returns whether a value contains an IP address, which would reveal one side to the other.
fn names_an_address(value: &str) -> bool {
    let address = |word: &str| word.parse::<IpAddr>().is_ok() || word.parse::<SocketAddr>().is_ok();
    // IPv4 is tried first: a colon ends an IPv4 address but is part of an IPv6 address.
    let v4 = value.split(|c: char| !c.is_ascii_digit() && c != '.');
    let v6 = value.split(|c: char| !c.is_ascii_hexdigit() && c != '.' && c != ':');
    v4.map(|word| word.trim_matches('.')).filter(|word| word.contains('.')).any(address)
        || v6.filter(|word| word.contains(':') && word.len() > 2).any(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(name: &str, value: Option<&str>) -> Option<String> {
        let attribute = Attribute { name: name.to_owned(), value: value.map(str::to_owned) };
        pass(&attribute, |number| (number == 96).then_some(100)).map(|a| a.to_string().trim_end().to_owned())
    }

    #[test]
    fn an_address_is_found_whatever_stands_around_it() {
        for value in [
            "10.9.8.7",
            "10.9.8.7|x",
            "(10.9.8.7)",
            "x=10.9.8.7:4000;y",
            "udp:10.9.8.7.",
            "a10.9.8.7b",
            "2001:db8::7",
            "[2001:db8::7]:4000",
            "<2001:db8::7>",
            "\u{201c}10.9.8.7\u{201d}",
            "fe80::1%eth0",
        ] {
            assert_eq!(passes("x-own", Some(value)), None, "{value}");
        }
        for value in ["1.2.3", "10.9.8.700", "8000", "a:b", "12:30:45", "::", "v1.2 build 3.4", "urn:x:y"] {
            assert!(passes("x-own", Some(value)).is_some(), "{value}");
        }
        assert_eq!(passes("10.9.8.7", None), None);
    }

    #[test]
    fn what_belongs_to_one_leg_stays() {
        for name in ["crypto", "CANDIDATE", "ice-ufrag", "fingerprint", "setup", "rtcp-mux", "mid", "ssrc", "tool"] {
            assert_eq!(passes(name, Some("1")), None, "{name}");
        }
    }

    #[test]
    fn unknown_attributes_pass_unless_they_name_an_address() {
        assert_eq!(passes("X-later", Some("1 two")).as_deref(), Some("a=X-later:1 two"));
        assert_eq!(passes("label", Some("10")).as_deref(), Some("a=label:10"));
        assert_eq!(passes("silenceSupp", Some("off - - - -")).as_deref(), Some("a=silenceSupp:off - - - -"));
        for value in ["10.0.0.5", "IN IP4 10.0.0.5", "src=10.0.0.5:4000", "2001:db8::1", "[2001:db8::1]:4000"] {
            assert_eq!(passes("X-where", Some(value)), None, "{value}");
        }
    }

    #[test]
    fn payload_numbers_are_turned() {
        assert_eq!(passes("rtcp-fb", Some("96 nack")).as_deref(), Some("a=rtcp-fb:100 nack"));
        assert_eq!(passes("rtcp-fb", Some("* ccm fir")).as_deref(), Some("a=rtcp-fb:* ccm fir"));
        assert_eq!(passes("rtcp-fb", Some("97 nack")), None);
    }
}
