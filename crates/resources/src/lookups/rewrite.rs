//! From, To and Request-URI towards a target: built from numbers and the edge's own address, never from the other
//! leg's headers.

use std::net::IpAddr;

use trunkgate_route::number::{AddressIncomplete, compact, is_control_char, is_readable};
use trunkgate_route::{Number, NumberingPlan, SendNumbers, Trunk};
use trunkgate_sip::Uri;
use trunkgate_sip::uri::unescape;
use trunkgate_story::numbers::Caller;

/// Returns the host of the edge's URIs towards a trunk: `from_host` of the trunk, else `ours`.
pub fn own_host(trunk: Option<&Trunk>, ours: IpAddr) -> String {
    let named = trunk.and_then(|trunk| trunk.own_hosts.from_host());
    named.map_or_else(|| host_port(&ours.to_string(), None), str::to_owned)
}

/// Returns From (RFC 3261 §20.20) without tag: the caller's number at the edge's host.
pub fn from(caller: &Caller, form: SendNumbers, numbers: &NumberingPlan, host: &str) -> String {
    if caller.anonymous {
        return "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned();
    }
    let user = escape_user(&numbers.format(&caller.number, form));
    let uri = format!("<sip:{user}@{host}>");
    if caller.display.is_empty() { uri } else { format!("{} {uri}", quoted(&caller.display)) }
}

/// Returns From without tag for a trunk that identifies the account by the user part: without the caller's number.
pub fn from_account(user: &str, caller: &Caller, host: &str) -> String {
    let uri = format!("<sip:{}@{host}>", escape_user(user));
    match caller.anonymous {
        true => format!("\"Anonymous\" {uri}"),
        false if caller.display.is_empty() => uri,
        false => format!("{} {uri}", quoted(&caller.display)),
    }
}

/// Returns the Request-URI towards a peer: the escaped user part of the called number at the peer's host, with the
/// peer's scheme (RFC 3261 §26.2.2).
pub fn request_uri(user: &str, peer: &str, host: &str, port: Option<u16>) -> String {
    let is_sips = peer.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
    let scheme = if is_sips { "sips" } else { "sip" };
    format!("{scheme}:{user}@{}", host_port(host, port))
}

/// Returns the called number in a trunk's format: the target's own number, else the number dialled.
pub fn called(number: Option<&str>, called: &Number, form: SendNumbers, numbers: &NumberingPlan) -> String {
    match number.map(|n| numbers.normalise(n, None)) {
        Some(Ok(other)) => numbers.format(&other, form),
        Some(Err(AddressIncomplete)) => number.unwrap_or_default().to_owned(),
        None => numbers.format(called, form),
    }
}

/// Returns whether a URI can be called: it has no user part, or one that can be displayed safely (`is_readable`) and is
/// a complete number.
pub fn is_callable(uri: &str, numbers: &NumberingPlan) -> bool {
    let Some(uri) = Uri::parse(uri.as_bytes()) else { return false };
    let user = uri.user_unescaped();
    user.is_empty()
        || is_readable(&unescape(uri.user)) && numbers.normalise(&user, uri.user_param("phone-context")).is_ok()
}

/// Returns a URI without the visual separators of a global number: they have no meaning (RFC 3966 §5.1.1), and remote
/// parties may not support them.
pub fn without_separators(text: &str) -> String {
    let read = Uri::parse(text.as_bytes());
    let number = read.and_then(|uri| compact(&uri.user_unescaped()).filter(|digits| digits.starts_with('+')));
    let (Some(uri), Some(number)) = (read, number) else { return text.to_owned() };
    let written = uri.user.split(';').next().unwrap_or_default();
    match text.split_once(':') {
        Some((scheme, rest)) => format!("{scheme}:{number}{}", rest.strip_prefix(written).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Returns host and port in URI syntax: an IPv6 address in brackets.
pub fn host_port(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// Escapes a number for the user part of a URI (RFC 3261 §25.1 `user`). `;` and `?` are escaped too, although allowed,
/// so that a remote party does not parse parameters such as `phone-context` from a number.
pub fn escape_user(user: &str) -> String {
    let mut escaped = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Returns a quoted-string (RFC 3261 §25.1).
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars().filter(|c| !is_control_char(*c)) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(number: &str, display: &str) -> Caller {
        let number = Number { text: number.into(), is_e164: number.starts_with('+'), received: number.into() };
        Caller { number, display: display.into(), anonymous: false }
    }

    #[test]
    fn from_is_the_number_at_our_address() {
        let numbers = NumberingPlan::new("US").unwrap();
        let from = |caller: &Caller, form, ip: &str| from(caller, form, &numbers, &own_host(None, ip.parse().unwrap()));
        let alice = caller("+14155551234", "Alice \"A\" <sip:evil@10.0.0.1>");
        assert_eq!(
            from(&alice, SendNumbers::E164, "203.0.113.10"),
            "\"Alice \\\"A\\\" <sip:evil@10.0.0.1>\" <sip:+14155551234@203.0.113.10>"
        );
        let plain = caller("+14155551234", "");
        assert_eq!(from(&plain, SendNumbers::PlusLess, "2001:db8::1"), "<sip:14155551234@[2001:db8::1]>");
        let odd = caller("a b>c", "");
        assert_eq!(from(&odd, SendNumbers::AsIs, "192.0.2.1"), "<sip:a%20b%3Ec@192.0.2.1>");
        let mut trunk = Trunk::named("teams");
        trunk.own_hosts.contact = Some("sbc.example.com".into());
        let host = own_host(Some(&trunk), "192.0.2.1".parse().unwrap());
        let named = super::from(&plain, SendNumbers::E164, &numbers, &host);
        assert_eq!(named, "<sip:+14155551234@sbc.example.com>");
        let hidden = Caller { anonymous: true, ..plain };
        assert_eq!(from(&hidden, SendNumbers::E164, "192.0.2.1"), "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
        assert_eq!(from_account("e12345p0", &caller("+1", "Al"), "sip.example"), "\"Al\" <sip:e12345p0@sip.example>");
        assert_eq!(from_account("e12345p0", &caller("+1", ""), "sip.example"), "<sip:e12345p0@sip.example>");
        assert_eq!(from_account("e12345p0", &hidden, "sip.example"), "\"Anonymous\" <sip:e12345p0@sip.example>");
    }

    #[test]
    fn the_request_uri_is_the_number_at_the_peer() {
        assert_eq!(
            request_uri(&escape_user("+14155551234"), "sip:sbc.example.com", "sbc.example.com", None),
            "sip:+14155551234@sbc.example.com"
        );
        assert_eq!(
            request_uri(&escape_user("100"), "sip:[2001:db8::7]:5080", "2001:db8::7", Some(5080)),
            "sip:100@[2001:db8::7]:5080"
        );
        assert_eq!(request_uri(&escape_user("100@10.0.0.1"), "sip:h", "h", None), "sip:100%4010.0.0.1@h");
        assert_eq!(
            request_uri(&escape_user("5550123;phone-context=+1809"), "sip:h", "h", None),
            "sip:5550123%3Bphone-context=+1809@h"
        );
        assert_eq!(request_uri("100", "SIPS:h:5071", "h", Some(5071)), "sips:100@h:5071");
    }

    #[test]
    fn a_global_number_of_a_uri_leaves_without_separators() {
        for (written, sent) in [
            ("sip:+1-(809)-555.0123@h:5070;transport=tcp", "sip:+18095550123@h:5070;transport=tcp"),
            ("sips:%2B1%2D809%2D5550123;isub=1@h", "sips:+18095550123;isub=1@h"),
            ("sip:+18095550123@h", "sip:+18095550123@h"),
            ("sip:100-1@h", "sip:100-1@h"),
            ("sip:h", "sip:h"),
        ] {
            assert_eq!(without_separators(written), sent);
        }
    }

    #[test]
    fn a_target_may_name_another_number() {
        let numbers = NumberingPlan::new("US").unwrap();
        let asked = Number { text: "+14155551234".into(), is_e164: true, received: "4155551234".into() };
        for (other, form, sent) in [
            (None, SendNumbers::E164, "+14155551234"),
            (None, SendNumbers::AsIs, "4155551234"),
            (Some("+14155550199"), SendNumbers::PlusLess, "14155550199"),
            (Some("100"), SendNumbers::E164, "100"),
        ] {
            assert_eq!(called(other, &asked, form, &numbers), sent);
        }
    }
}
