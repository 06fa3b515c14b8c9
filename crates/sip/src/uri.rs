//! URIs (RFC 3261 §19.1, RFC 3966): a view over bytes.

use std::net::IpAddr;

/// A URI's scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Any other: answered 416 in a Request-URI.
    Other,
}

/// Host and optional port, as in a URI or Via.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPort<'a> {
    /// The host; an IPv6 reference without its brackets.
    pub host: &'a str,
    /// The port, where written.
    pub port: Option<u16>,
}

impl HostPort<'_> {
    /// The host as an address, where it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// A URI, read over its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    /// Scheme.
    pub scheme: Scheme,
    /// User part as received, still escaped, without password; for `tel:` the number. Empty where absent.
    pub user: &'a str,
    /// Whether a user part with `@` stands there (an empty one is an error of its own: 484).
    pub has_user: bool,
    /// Host and port; the host is empty for `tel:`.
    pub host: HostPort<'a>,
    /// `;name=value…` as received, without headers.
    pub params: &'a str,
    /// What stands behind `?`.
    pub headers: &'a str,
}

impl<'a> Uri<'a> {
    /// Reads a URI; `None` where malformed (unbalanced brackets, spaces, bad port, bad escape).
    pub fn parse(bytes: &'a [u8]) -> Option<Uri<'a>> {
        let _ = bytes;
        unimplemented!()
    }
    /// A parameter by name, without regard to case; present without value is `Some("")`.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        let _ = name;
        unimplemented!()
    }
    /// The user part with its escapes undone (`%61` → `a`), user parameters (`;phone-context=…`) cut off.
    pub fn user_unescaped(&self) -> String {
        unimplemented!()
    }
    /// A parameter inside the user part, as `phone-context` in `sip:863;phone-context=+1-914@h` or of a `tel:` URI.
    pub fn user_param(&self, name: &str) -> Option<&'a str> {
        let _ = name;
        unimplemented!()
    }
}
