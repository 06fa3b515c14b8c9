//! SIP and tel URIs (RFC 3261 §19.1, RFC 3966), parsed as views of received bytes.

use std::net::{IpAddr, Ipv6Addr};

use crate::scan::{ByteClass, ByteScanner, number, split_once};

/// Scheme of a URI in a SIP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Any other scheme, answered with 416 in a Request-URI.
    Other,
}

/// Host with optional port, as in a URI or Via.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPort<'a> {
    /// Host; an IPv6 address without its brackets.
    pub host: &'a str,
    /// Port, if present.
    pub port: Option<u16>,
}

impl HostPort<'_> {
    /// Returns the host as an IP address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Parsed URI, which borrows from its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    /// Scheme of the URI.
    pub scheme: Scheme,
    /// User part as received, still escaped and without password; the number of a `tel:` URI. Empty if absent.
    pub user: &'a str,
    /// Whether the URI has a user part with `@`; an empty user part gets 484.
    pub has_user: bool,
    /// Host and port; the host is empty for `tel:`.
    pub host: HostPort<'a>,
    /// Parameters `;name=value…` as received, without headers.
    pub params: &'a str,
    /// Headers after `?`, as received.
    pub headers: &'a str,
}

impl<'a> Uri<'a> {
    /// Parses a URI. Returns `None` if it is malformed (unbalanced brackets, spaces, bad port, bad escape).
    pub fn parse(bytes: &'a [u8]) -> Option<Uri<'a>> {
        let (scheme, rest) = split_once(bytes, b':')?;
        if !is_scheme(scheme) || rest.is_empty() {
            return None;
        }
        if scheme.eq_ignore_ascii_case(b"sip") {
            Self::parse_sip(Scheme::Sip, rest)
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            Self::parse_sip(Scheme::Sips, rest)
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            Self::parse_tel(rest)
        } else {
            let opaque = rest.iter().all(|&byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"'));
            opaque.then_some(Uri { scheme: Scheme::Other, ..EMPTY })
        }
    }

    /// Parses the rest of a URI after `sip:` or `sips:`.
    fn parse_sip(scheme: Scheme, rest: &'a [u8]) -> Option<Uri<'a>> {
        let (userinfo, rest) = match split_once(rest, b'@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (user, password) = match userinfo.map(|userinfo| (userinfo, split_once(userinfo, b':'))) {
            Some((_, Some(parts))) => parts,
            Some((user, None)) => (user, b"".as_slice()),
            None => (b"".as_slice(), b"".as_slice()),
        };
        if !is_all(user, &USER) || !is_all(password, &PASSWORD) {
            return None;
        }
        let mut scan = ByteScanner::new(rest);
        let host = take_host_port(&mut scan)?;
        let params = scan.take_while(|byte| byte != b'?');
        let asked = scan.consume_byte(b'?');
        let headers = scan.rest();
        if asked == headers.is_empty() || !are_params(params) || !is_all(headers, &HEADER) {
            return None;
        }
        Some(Uri {
            scheme,
            user: text(user)?,
            has_user: userinfo.is_some(),
            host,
            params: text(params)?,
            headers: text(headers)?,
        })
    }

    /// Parses the rest of a `tel:` URI: digits and visual separators, then parameters (RFC 3966 §3).
    fn parse_tel(rest: &'a [u8]) -> Option<Uri<'a>> {
        let mut scan = ByteScanner::new(rest);
        let global = scan.consume_byte(b'+');
        scan.take_while(|byte| match byte {
            b'-' | b'.' | b'(' | b')' => true,
            b'*' | b'#' => !global,
            _ if global => byte.is_ascii_digit(),
            _ => byte.is_ascii_hexdigit(),
        });
        let user = scan.since(0);
        let params = scan.rest();
        if !user.iter().any(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'*' | b'#')) || !are_params(params) {
            return None;
        }
        Some(Uri { scheme: Scheme::Tel, user: text(user)?, params: text(params)?, ..EMPTY })
    }

    /// Returns a parameter by case-insensitive name; a parameter without value is `Some("")`.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        find(self.params, name)
    }

    /// Returns the user part without escapes (`%61` → `a`) and without user parameters (`;phone-context=…`). Invalid
    /// UTF-8 is replaced.
    pub fn user_unescaped(&self) -> String {
        unescape(self.user.split(';').next().unwrap_or_default())
    }

    /// Returns a parameter of the user part, such as `phone-context` in `sip:863;phone-context=+1-914@h`, or of a
    /// `tel:` URI.
    pub fn user_param(&self, name: &str) -> Option<&'a str> {
        match self.scheme {
            Scheme::Tel => find(self.params, name),
            Scheme::Sip | Scheme::Sips | Scheme::Other => find(self.user.split_once(';')?.1, name),
        }
    }
}

const EMPTY: Uri<'static> = Uri {
    scheme: Scheme::Other,
    user: "",
    has_user: false,
    host: HostPort { host: "", port: None },
    params: "",
    headers: "",
};

/// Returns whether a text contains a control character, literally or `%`-escaped. A peer could unescape a line break
/// and read the rest as another header.
pub fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control) || (text.contains('%') && unescape(text).chars().any(char::is_control))
}

/// Decodes `%` escapes (RFC 3261 §19.1.2). Invalid escapes are kept, and invalid UTF-8 is replaced.
pub fn unescape(escaped: &str) -> String {
    let mut plain = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if let (b'%', [high, low, after @ ..]) = (first, behind)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            plain.push(high << 4 | low);
            rest = after;
        } else {
            plain.push(*first);
        }
    }
    String::from_utf8(plain).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn find<'a>(params: &'a str, name: &str) -> Option<&'a str> {
    params.split(';').find_map(|entry| {
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn take_host_port<'a>(scan: &mut ByteScanner<'a>) -> Option<HostPort<'a>> {
    let host = if scan.consume_byte(b'[') {
        let host = text(scan.take_while(|byte| byte != b']'))?;
        if !scan.consume_byte(b']') || !is_ipv6(host) {
            return None;
        }
        host
    } else {
        let host = scan.take_while(|byte| !matches!(byte, b':' | b';' | b'?'));
        if !is_host(host) {
            return None;
        }
        text(host)?
    };
    let mut port = None;
    if scan.consume_byte(b':') {
        let digits = scan.take_while(|byte| byte.is_ascii_digit());
        port = Some(number(digits).and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0)?);
    }
    matches!(scan.peek(), None | Some(b';' | b'?')).then_some(HostPort { host, port })
}

/// Returns whether all bytes may occur in a host name. `_` is accepted because some systems use it.
pub(crate) fn is_host(bytes: &[u8]) -> bool {
    static HOST: ByteClass = ByteClass::alphanumeric_and(b"-._");
    !bytes.is_empty() && bytes.iter().all(|byte| HOST.has(*byte))
}

/// Returns whether the text between brackets is an IPv6 address.
pub(crate) fn is_ipv6(host: &str) -> bool {
    host.parse::<Ipv6Addr>().is_ok()
}

fn is_scheme(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Returns whether all bytes belong to `class` or to complete escapes.
fn is_all(bytes: &[u8], class: &ByteClass) -> bool {
    let mut rest = bytes;
    while let [first, behind @ ..] = rest {
        rest = match (first, behind) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => after,
            (b'%', _) => return false,
            _ if class.has(*first) => behind,
            _ => return false,
        };
    }
    true
}

// Each class begins with the unreserved characters: letters, digits and `-_.!~*'()`.
/// Characters of a user part. `#` should be escaped, but dialled codes contain it unescaped.
static USER: ByteClass = ByteClass::alphanumeric_and(b"-_.!~*'()&=+$,;?/#");
static PASSWORD: ByteClass = ByteClass::alphanumeric_and(b"-_.!~*'()&=+$,");
/// Characters of a parameter. `=` in a value is base64 padding of opaque Record-Route parameters.
static PARAM: ByteClass = ByteClass::alphanumeric_and(b"-_.!~*'()[]/:&+$=");
static HEADER: ByteClass = ByteClass::alphanumeric_and(b"-_.!~*'()[]/:&+$=?");

/// Returns whether bytes are a possibly empty sequence of `;name[=value]`.
fn are_params(bytes: &[u8]) -> bool {
    let Some(inner) = bytes.strip_prefix(b";") else { return bytes.is_empty() };
    inner
        .split(|&byte| byte == b';')
        .all(|entry| !entry.is_empty() && !entry.starts_with(b"=") && is_all(entry, &PARAM))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str) -> Uri<'_> {
        Uri::parse(uri.as_bytes()).unwrap_or_else(|| panic!("{uri}"))
    }

    #[test]
    fn reads_all_parts() {
        let uri = read("SIP:alice:secret@[2001:db8::10]:5070;transport=TCP;lr?Subject=x&y=%20");
        assert_eq!((uri.scheme, uri.user, uri.has_user), (Scheme::Sip, "alice", true));
        assert_eq!(uri.host, HostPort { host: "2001:db8::10", port: Some(5070) });
        assert_eq!((uri.param("Transport"), uri.param("lr"), uri.param("x")), (Some("TCP"), Some(""), None));
        assert_eq!(uri.headers, "Subject=x&y=%20");
        assert!(uri.host.ip().is_some());
        assert!(!read("sip:example.com").has_user);
        assert_eq!((read("sip:@h").user, read("sip:@h").has_user), ("", true));
    }

    #[test]
    fn reads_odd_but_right_user_parts() {
        let odd = "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com";
        assert_eq!(read(odd).user, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
        assert_eq!(read("sip:sips%3Auser%40example.com@example.net").user_unescaped(), "sips:user@example.com");
        let uri = read("sip:863;phone-context=+1-914@h;user=phone");
        assert_eq!((uri.user_unescaped().as_str(), uri.user_param("Phone-Context")), ("863", Some("+1-914")));
        assert_eq!(read("sip:null-%00-null@example.com").user_unescaped(), "null-\0-null");
    }

    #[test]
    fn reads_tel_and_foreign_schemes() {
        let uri = read("tel:+1-201-555-0123;ext=5");
        assert_eq!((uri.scheme, uri.user, uri.user_param("ext")), (Scheme::Tel, "+1-201-555-0123", Some("5")));
        assert_eq!(read("tel:7042;phone-context=example.com").user_param("phone-context"), Some("example.com"));
        assert_eq!(read("tel:*67").user, "*67");
        assert_eq!(read("soap.beep://192.0.2.103:3002").scheme, Scheme::Other);
    }

    #[test]
    fn refuses_malformed_ones() {
        for uri in [
            "",
            "sip:",
            "sip",
            ":a@b",
            "1sip:a@b",
            "<sip:a@b>",
            "sip:a@b; lr",
            "sip:a b@c",
            "sip:a@b@c",
            "sip:a@",
            "sip:a@b:",
            "sip:a@b:0",
            "sip:a@b:65536",
            "sip:a@b:5x",
            "sip:a%4@b",
            "sip:a%zz@b",
            "sip:a@[::1",
            "sip:a@[zz]",
            "sip:a@b;;",
            "sip:a@b;",
            "sip:a@b;=x",
            "sip:a@b>",
            "sip:\"a\"@b",
            "sip:a@b,c",
            "tel:",
            "tel:+",
            "tel:+1a",
            "tel:xyz",
            "sip:a@b?",
            "tel:+1 415",
            "sip:a@b\r\n",
            "sip:\u{e9}@b",
            "http:a b",
            "sip:a@b?x=<y>",
        ] {
            assert_eq!(Uri::parse(uri.as_bytes()), None, "{uri}");
        }
    }
}
