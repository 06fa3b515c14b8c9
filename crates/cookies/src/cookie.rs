//! Parsing of one cookie from a Set-Cookie header, and its matching with requests.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cookie::Cookie as SetCookie;
use serde::{Deserialize, Serialize};

/// Maximum length of name and value together, in bytes (RFC 6265 §6.1).
const MAX_COOKIE_BYTES: usize = 4096;
/// Maximum length of a Domain or Path attribute in bytes; a longer one is ignored.
const MAX_ATTRIBUTE_BYTES: usize = 1024;
/// Prefix of a cookie's name that requires the Secure attribute.
const SECURE_PREFIX: &str = "__secure-";
/// Prefix of a cookie's name that requires Secure, no Domain, and the path `/`.
const HOST_PREFIX: &str = "__host-";

/// Parts of a URL that decide which cookies its response may set and its request sends.
#[derive(Debug, Clone, Copy)]
pub struct RequestSite<'a> {
    /// Host in lower case, an IPv6 address without brackets.
    pub host: &'a str,
    /// Path of the URL; empty stands for `/`.
    pub path: &'a str,
    /// Whether the request uses TLS.
    pub is_https: bool,
}

impl RequestSite<'_> {
    /// Returns whether Secure cookies may be set and sent: over TLS, or to this machine without a network in between.
    pub(crate) fn is_trusted(&self) -> bool {
        let is_loopback = || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.is_https || self.host == "localhost" || self.host.ends_with(".localhost") || is_loopback()
    }

    /// Returns the path for a cookie without a Path attribute (RFC 6265 §5.1.4).
    fn default_path(&self) -> &str {
        match self.path.rfind('/') {
            Some(end) if end > 0 && self.path.starts_with('/') => self.path.get(..end).unwrap_or("/"),
            Some(_) | None => "/",
        }
    }
}

/// Reason why a cookie in a Set-Cookie header is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RejectedCookie {
    /// The header contains no `NAME=VALUE`, or control characters.
    Malformed,
    /// Name and value together are longer than 4,096 bytes.
    TooLong {
        /// Name of the cookie.
        name: String,
        /// Length of name and value together, in bytes.
        bytes: usize,
    },
    /// The cookie is Secure but was set over plain HTTP, or it violates the rules for the prefix of its name.
    Insecure {
        /// Name of the cookie.
        name: String,
    },
}

impl RejectedCookie {
    /// Returns the name of the cookie; `None` if the header is malformed.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            RejectedCookie::Malformed => None,
            RejectedCookie::TooLong { name, .. } | RejectedCookie::Insecure { name } => Some(name),
        }
    }
}

impl fmt::Display for RejectedCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RejectedCookie::Malformed => f.write_str("malformed"),
            RejectedCookie::TooLong { bytes, .. } => {
                write!(f, "{} bytes, {} at most", grouped(*bytes), grouped(MAX_COOKIE_BYTES))
            }
            RejectedCookie::Insecure { .. } => {
                f.write_str("a Secure cookie over http, or a name with __Host- or __Secure- without its attributes")
            }
        }
    }
}

/// HTTP cookie, identified by name, domain and path.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cookie {
    name: String,
    value: String,
    domain: String,
    /// Whether the cookie is sent to `domain` only and not to hosts below it.
    is_host_only: bool,
    path: String,
    is_secure: bool,
    /// Whether the site that set the cookie may set Secure ones.
    #[serde(default)]
    is_of_trusted_site: bool,
    /// Expiry date in milliseconds since 1970; `None` if the cookie lasts as long as its jar.
    expires_ms: Option<u64>,
}

/// Shows the name but never the value.
impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cookie").field(&self.name).finish()
    }
}

impl Cookie {
    /// Parses the value of a Set-Cookie header from `site` (RFC 6265 §5.2 and §5.3).
    ///
    /// A Domain attribute that is a public suffix, or does not contain the host, makes the cookie host-only.
    ///
    /// # Errors
    /// Returns the reason why the cookie must be ignored.
    pub fn parse(set_cookie: &str, site: RequestSite<'_>, now: SystemTime) -> Result<Cookie, RejectedCookie> {
        let parsed = SetCookie::parse(set_cookie).map_err(|_| RejectedCookie::Malformed)?;
        let (name, value) = (parsed.name(), parsed.value());
        if name.is_empty() || name.chars().chain(value.chars()).any(|char| char.is_control() || char == ';') {
            return Err(RejectedCookie::Malformed);
        }
        if name.len() + value.len() > MAX_COOKIE_BYTES {
            return Err(RejectedCookie::TooLong { name: name.to_owned(), bytes: name.len() + value.len() });
        }
        let is_usable = |text: &&str| text.len() <= MAX_ATTRIBUTE_BYTES && !text.chars().any(char::is_control);
        let given_path = parsed.path().filter(is_usable).filter(|path| path.starts_with('/'));
        let domain = parsed.domain().filter(is_usable).map(str::to_ascii_lowercase);
        let domain = domain.filter(|domain| is_shared_domain(domain, site.host));
        let is_secure = parsed.secure().unwrap_or(false);
        let lower = name.to_ascii_lowercase();
        let is_prefix_kept = !lower.starts_with(HOST_PREFIX) || parsed.domain().is_none() && given_path == Some("/");
        let needs_secure = lower.starts_with(SECURE_PREFIX) || lower.starts_with(HOST_PREFIX);
        if is_secure && !site.is_trusted() || needs_secure && !is_secure || !is_prefix_kept {
            return Err(RejectedCookie::Insecure { name: name.to_owned() });
        }
        Ok(Cookie {
            name: name.to_owned(),
            value: value.to_owned(),
            is_host_only: domain.is_none(),
            domain: domain.unwrap_or_else(|| site.host.to_owned()),
            path: given_path.unwrap_or_else(|| site.default_path()).to_owned(),
            is_secure,
            is_of_trusted_site: site.is_trusted(),
            expires_ms: expiry(&parsed, now),
        })
    }

    /// Returns the name of the cookie, which is not a secret.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Limits the expiry date to `end`.
    #[must_use]
    pub fn until(self, end: SystemTime) -> Cookie {
        let end = milliseconds(end);
        Cookie { expires_ms: Some(self.expires_ms.map_or(end, |expires| expires.min(end))), ..self }
    }

    /// Returns the cookie as sent in a request: `NAME=VALUE`.
    pub(crate) fn pair(&self) -> String {
        format!("{}={}", self.name, self.value)
    }

    /// Returns the total length of name, value, domain and path, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.name.len() + self.value.len() + self.domain.len() + self.path.len()
    }

    /// Returns the length of the path in bytes; cookies with longer paths come first in a request (RFC 6265 §5.4).
    pub(crate) fn path_length(&self) -> usize {
        self.path.len()
    }

    /// Returns whether both cookies have the same name, domain and path; if so, the newer one replaces the older one.
    pub(crate) fn is_same(&self, other: &Cookie) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
            && self.is_host_only == other.is_host_only
    }

    /// Returns whether this cookie is Secure and `other`, of the same name but set over plain HTTP, would hide it. An
    /// attacker on the network could replace a session this way (RFC 6265bis §5.7 step 16).
    pub(crate) fn is_shadowed_by(&self, other: &Cookie) -> bool {
        let is_domain_shared = lies_in(&self.domain, &other.domain) || lies_in(&other.domain, &self.domain);
        let is_hidden = self.name == other.name && is_domain_shared && is_path_below(&other.path, &self.path);
        self.is_secure && !other.is_of_trusted_site && is_hidden
    }

    /// Returns whether the cookie has expired. Storing an expired cookie removes an earlier one.
    #[must_use]
    pub fn has_expired(&self, now: SystemTime) -> bool {
        self.expires_ms.is_some_and(|expires| expires <= milliseconds(now))
    }

    /// Returns whether a request to `site` sends this cookie (RFC 6265 §5.4).
    pub(crate) fn belongs_to(&self, site: RequestSite<'_>) -> bool {
        let is_of_host = if self.is_host_only { self.domain == site.host } else { lies_in(site.host, &self.domain) };
        is_of_host && is_path_below(site.path, &self.path) && (!self.is_secure || site.is_trusted())
    }
}

/// Returns whether a Domain attribute may extend a cookie beyond `host`: it contains `host`, and is not a public
/// suffix.
fn is_shared_domain(domain: &str, host: &str) -> bool {
    let is_suffix = || psl::suffix_str(domain).is_none_or(|suffix| suffix == domain);
    !domain.is_empty() && host.parse::<IpAddr>().is_err() && lies_in(host, domain) && !is_suffix()
}

/// Returns whether a host equals a domain or is below it (RFC 6265 §5.1.3).
fn lies_in(host: &str, domain: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
}

/// Returns whether a request path matches a cookie's path (RFC 6265 §5.1.4).
fn is_path_below(path: &str, of_cookie: &str) -> bool {
    let path = if path.is_empty() { "/" } else { path };
    let rest = path.strip_prefix(of_cookie);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || of_cookie.ends_with('/'))
}

/// Returns the expiry date of a cookie in milliseconds since 1970. Max-Age takes precedence over Expires (RFC 6265 §5.3
/// step 3).
fn expiry(parsed: &SetCookie<'_>, now: SystemTime) -> Option<u64> {
    // The parser reads an empty Max-Age as the maximum, but browsers ignore it.
    if let Some(age) = parsed.max_age().filter(|age| age.whole_seconds() != i64::MAX) {
        let age = Duration::from_secs(u64::try_from(age.whole_seconds()).unwrap_or(0));
        return Some(milliseconds(now).saturating_add(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
    }
    let expires = parsed.expires_datetime()?.unix_timestamp();
    Some(u64::try_from(expires).unwrap_or(0).saturating_mul(1000))
}

/// Formats a number with thousands separators.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Returns a time in milliseconds since 1970.
fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
