//! URLs of webhooks, in the forms to connect to, to send, to sign and to display.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::Serializer;
use trunkgate_cookies::RequestSite;
use trunkgate_sip::uri::unescape;
use url::{Host, Url};

use super::overrides::ConnectionOverrides;
use trunkgate_system::limits::WEBHOOK_URL_BYTES;

/// Maximum number of characters shown of a redirect's scheme.
const SCHEME_CHARS: usize = 16;

/// Scheme, host and port of a URL. Requests with the same origin may share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HttpOrigin {
    pub(crate) is_https: bool,
    /// Host name or IP address, without the brackets of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Parsed URL of a request to an application.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// URL without user information and fragment.
    url: Url,
    /// User information of the URL as the value of Authorization.
    authorization: Option<String>,
    /// Whether a redirect has led from https to plain http; no further redirect then leads to another host.
    has_left_tls: bool,
    /// Connection overrides of the first URL, which redirects inherit.
    pub(crate) overrides: ConnectionOverrides,
}

/// Reason why a text cannot be used as a webhook's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadUrl {
    /// Malformed or unsupported URL; contains the reason.
    Format(String),
    /// Unknown retry policy in the fragment.
    Policy(String),
}

/// Rule for redirects from https to plain http on the same host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlainRule {
    /// Redirects from https to http are never followed.
    Never,
    /// Redirects from https to http are followed to loopback and private networks only.
    PrivateHosts,
    /// Redirects from https to http on the same host are followed to any address.
    SameHost,
}

/// Omits user information and masks the query, because they contain secrets.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Target").field(&self.shown()).finish()
    }
}

impl Target {
    /// Parses an absolute URL.
    ///
    /// # Errors
    /// Returns the fault, without the text of the URL.
    pub(crate) fn parse(text: &str) -> Result<Target, BadUrl> {
        let url = Url::parse(checked(text)?).map_err(|error| BadUrl::Format(error.to_string()))?;
        let overrides = ConnectionOverrides::parse(url.fragment().unwrap_or_default()).map_err(BadUrl::Policy)?;
        Target::new(url, overrides)
    }

    /// Returns the target of a redirect. The overrides of the first URL apply; credentials are sent only to the same
    /// origin.
    ///
    /// # Errors
    /// Returns the fault of the new URL, without its text.
    pub(crate) fn redirected(&self, location: &str, rule: PlainRule) -> Result<Target, BadUrl> {
        let url = self.url.join(checked(location)?).map_err(|error| BadUrl::Format(error.to_string()))?;
        if !is_http(&url) {
            let scheme: String = url.scheme().chars().take(SCHEME_CHARS).collect();
            return Err(BadUrl::Format(format!("leads to {scheme}:, neither http nor https")));
        }
        let next = Target::new(url, self.overrides.clone())?;
        if self.is_https() && !next.is_https() {
            return self.leave_tls(next, rule);
        }
        if self.has_left_tls && !next.is_https() && self.url.host() != next.url.host() {
            return Err(BadUrl::Format("leads to another host after a redirect from https to http".to_owned()));
        }
        let has_left_tls = self.has_left_tls && !next.is_https();
        let authorization = match next.authorization {
            None if next.origin() == self.origin() => self.authorization.clone(),
            given => given,
        };
        Ok(Target { authorization, has_left_tls, ..next })
    }

    /// Returns the target of a redirect from https to http. An application behind a TLS proxy that does not know its
    /// own scheme means the same path over https; a redirect on the same host is followed to plain http, without
    /// credentials, if `rule` permits it.
    fn leave_tls(&self, next: Target, rule: PlainRule) -> Result<Target, BadUrl> {
        let refused = |place: &str| Err(BadUrl::Format(format!("leads from https to http on another {place}")));
        if self.url.host() != next.url.host() {
            return refused("host");
        }
        let is_same_server = next.url.port().is_none_or(|port| Some(port) == self.url.port());
        if rule != PlainRule::SameHost && is_same_server {
            let mut url = next.url.clone();
            if url.set_scheme("https").is_err() || url.set_port(self.url.port()).is_err() {
                return refused("host");
            }
            return Ok(Target { url, authorization: self.authorization.clone(), ..next });
        }
        match rule {
            PlainRule::SameHost => {}
            PlainRule::PrivateHosts if next.is_private() => {}
            PlainRule::PrivateHosts | PlainRule::Never => return refused("port"),
        }
        Ok(Target { authorization: None, has_left_tls: true, ..next })
    }

    /// Returns whether the host is this machine or in a private network.
    fn is_private(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_private(),
            Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unique_local(),
            None => false,
        }
    }

    fn new(mut url: Url, overrides: ConnectionOverrides) -> Result<Target, BadUrl> {
        let wrong = |what: &str| Err(BadUrl::Format(what.to_owned()));
        if !is_http(&url) {
            return wrong("neither http nor https");
        }
        if url.port() == Some(0) {
            return wrong("port 0");
        }
        let (user, password) = (unescape(url.username()), url.password().map(unescape));
        let authorization = (!user.is_empty() || password.is_some())
            .then(|| format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.unwrap_or_default()))));
        url.set_fragment(None);
        // The URL has a host, so setting user and password cannot fail.
        if url.set_username("").is_err() || url.set_password(None).is_err() {
            return wrong("no host");
        }
        Ok(Target { url, authorization, has_left_tls: false, overrides })
    }

    /// Appends parameters to the URL's query, which is not encoded again.
    pub(crate) fn add_query(&mut self, params: &[(String, String)]) {
        if params.is_empty() {
            return;
        }
        let mut query = self.url.query().unwrap_or_default().to_owned();
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(&Serializer::new(String::new()).extend_pairs(params).finish());
        self.url.set_query(Some(&query));
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the value of Authorization; `None` if the URL has no user information.
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Returns the parts of the URL that determine its cookies.
    pub(super) fn cookie_site(&self) -> RequestSite<'_> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        RequestSite { host, path: self.url.path(), is_https: self.is_https() }
    }

    pub(crate) fn origin(&self) -> HttpOrigin {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = self.url.port_or_known_default().unwrap_or_default();
        HttpOrigin { is_https: self.is_https(), host, port }
    }

    /// Returns the URL in the form that is signed. Twilio omits the port of an https URL. Validators accept signatures
    /// with and without a port, but twilio-python 9.13.0 cannot remove one after an IPv6 address, so that one is kept.
    pub(crate) fn signed(&self) -> String {
        let mut url = self.url.clone();
        if self.is_https() && !matches!(url.host(), Some(Host::Ipv6(_))) && url.set_port(None).is_err() {
            return String::new();
        }
        url.into()
    }

    /// Returns the URL for traces and logs, with the values of its query masked: applications put tokens there, and the
    /// edge puts digits there.
    pub(crate) fn shown(&self) -> String {
        let mut shown = self.url.clone();
        shown.set_query(None);
        let mut shown: String = shown.into();
        let pieces = self.url.query().into_iter().flat_map(|query| query.split('&'));
        for (at, piece) in pieces.enumerate() {
            shown.push(if at == 0 { '?' } else { '&' });
            let (name, value) = piece.split_once('=').unwrap_or(("", piece));
            match (name, value) {
                ("", _) => shown.push_str("***"),
                (name, "") => shown.push_str(&format!("{name}=")),
                (name, _) => shown.push_str(&format!("{name}=***")),
            }
        }
        shown
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// Returns host and port of a URL; empty if the URL is malformed.
pub fn host_of(url: &str) -> String {
    let origin = Target::parse(url).map(|target| target.origin());
    origin.map(|HttpOrigin { host, port, .. }| format!("{host}:{port}")).unwrap_or_default()
}

/// Returns scheme, host and port of a URL, for texts about a server. The path may be secret.
pub fn shown_origin(url: &str) -> String {
    Target::parse(url).map_or_else(|_| "a malformed URL".to_owned(), |target| target.url.origin().ascii_serialization())
}

/// Returns a URL for traces and logs, with the values of its query masked.
pub fn shown(url: &str) -> String {
    Target::parse(url).map_or_else(|_| "a malformed URL".to_owned(), |target| target.shown())
}

/// Returns the text of a URL without surrounding white space.
///
/// # Errors
/// Returns an error if the text is too long, or contains control characters, which the parser would silently drop and a
/// server could interpret differently.
fn checked(text: &str) -> Result<&str, BadUrl> {
    let text = text.trim();
    if text.len() > WEBHOOK_URL_BYTES {
        return Err(BadUrl::Format(format!("longer than {WEBHOOK_URL_BYTES} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(BadUrl::Format("control characters".to_owned()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn a_url_is_signed_as_it_is_asked_for_without_user_fragment_and_tls_port() {
        for (text, signed) in [
            ("https://example.com/a?b=c", "https://example.com/a?b=c"),
            ("https://example.com:8443/a?b=c#rc=2", "https://example.com/a?b=c"),
            ("https://example.com", "https://example.com/"),
            ("http://example.com:8080/a", "http://example.com:8080/a"),
            ("http://example.com:80/a", "http://example.com/a"),
            ("https://ann:secret@example.com:444/a", "https://example.com/a"),
            ("http://[2001:db8::1]:8080/a", "http://[2001:db8::1]:8080/a"),
            ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
            ("https://b\u{fc}cher.example/\u{fc}?q=\u{fc}", "https://xn--bcher-kva.example/%C3%BC?q=%C3%BC"),
            ("https://Example.COM/A%2fb+c?q=%2B1+2%20a'", "https://example.com/A%2fb+c?q=%2B1+2%20a%27"),
        ] {
            assert_eq!(target(text).signed(), signed, "{text}");
        }
    }

    #[test]
    fn parameters_follow_the_urls_own_query() {
        let params = [("From", "+1415"), ("Caller Name", "\u{c4}nn & Co"), ("Digits", "")];
        let params = params.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let encoded = "From=%2B1415&Caller+Name=%C3%84nn+%26+Co&Digits=";
        for (text, expected) in [
            ("https://a.example/", format!("https://a.example/?{encoded}")),
            ("https://a.example/?", format!("https://a.example/?{encoded}")),
            ("https://a.example/?x=%2f&From=1", format!("https://a.example/?x=%2f&From=1&{encoded}")),
        ] {
            let mut target = target(text);
            target.add_query(&params);
            assert_eq!(target.signed(), expected);
        }
        let mut bare = target("https://a.example/?");
        bare.add_query(&[]);
        assert_eq!(bare.signed(), "https://a.example/?");
    }

    #[test]
    fn what_is_no_webhook_is_refused_without_showing_it() {
        let long = format!("https://a.example/{}", "x".repeat(WEBHOOK_URL_BYTES));
        for text in [
            "",
            "/voice",
            "voice.xml",
            "ftp://a.example/",
            "file:///etc/passwd",
            "gopher://a.example/",
            "javascript:alert(1)",
            "https://",
            "https://a.example:0/",
            "https://a.example:99999/",
            "https://secret@/",
            "https://a b.example/",
            "https://a.example/\nx",
            "https://a.exa\tmple/",
            &long,
        ] {
            let bad = Target::parse(text).unwrap_err();
            assert!(matches!(&bad, BadUrl::Format(what) if !what.contains("secret")), "{text}: {bad:?}");
        }
        assert_eq!(Target::parse("https://a.example/#rp=6xx").unwrap_err(), BadUrl::Policy("6xx".to_owned()));
        assert_eq!(target(" https://a.example/x \n").signed(), "https://a.example/x");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let shown = |text: &str| format!("{:?}", target(text));
        assert_eq!(
            shown("https://ann:hunter2@a.example:8443/v?token=abc&step=2&empty=&bare#rc=2"),
            "Target(\"https://a.example:8443/v?token=***&step=***&empty=&***\")"
        );
        assert_eq!(shown("https://hunter2@a.example/v"), "Target(\"https://a.example/v\")");
        assert_eq!(shown_origin("http://ann:hunter2@a.example:9000/p/Secret-99?token=abc"), "http://a.example:9000");
        assert_eq!(shown_origin("https://[2001:db8::1]/p"), "https://[2001:db8::1]");
    }

    #[test]
    fn user_information_is_sent_as_basic_credentials() {
        let sent = |text: &str| target(text).authorization().map(str::to_owned);
        // Credentials of RFC 7617 §2: Aladdin, open sesame.
        assert_eq!(sent("https://Aladdin:open%20sesame@a.example/").unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(sent("https://ann@a.example/").unwrap(), format!("Basic {}", STANDARD.encode("ann:")));
        assert_eq!(sent("https://:pw@a.example/").unwrap(), format!("Basic {}", STANDARD.encode(":pw")));
        assert_eq!(sent("https://a.example/"), None);
    }

    #[test]
    fn a_redirect_keeps_credentials_at_home_and_never_leaves_tls() {
        let from = target("https://ann:pw@a.example/x/y?z#rc=3&ct=700");
        for (location, to, has_credentials) in [
            ("/v", "https://a.example/v", true),
            ("v?a=b", "https://a.example/x/v?a=b", true),
            ("//a.example:443/v", "https://a.example/v", true),
            ("https://A.example/v#rc=0", "https://a.example/v", true),
            ("https://a.example:8443/v", "https://a.example/v", false),
            ("https://b.example/v", "https://b.example/v", false),
            ("https://bob@b.example/v", "https://b.example/v", true),
            ("?n", "https://a.example/x/y?n", true),
        ] {
            let next = from.redirected(location, PlainRule::Never).unwrap();
            assert_eq!((next.signed().as_str(), next.authorization().is_some()), (to, has_credentials), "{location}");
            assert_eq!(next.overrides, from.overrides);
        }
        for location in ["http://b.example/", "http://a.example:8080/", "ftp://a.example/", "https://[::1/", "//"] {
            let next = from.redirected(location, PlainRule::Never);
            assert!(matches!(next, Err(BadUrl::Format(_))), "{location}");
        }
        let plain = target("http://ann:pw@a.example/x");
        assert_eq!(plain.redirected("https://a.example/x", PlainRule::Never).unwrap().authorization(), None);
        assert!(plain.redirected("http://b.example/x", PlainRule::Never).is_ok());
    }

    #[test]
    fn a_redirect_that_has_left_tls_does_not_leave_the_host_by_http() {
        let plain = target("https://a.example/x").redirected("http://a.example/v", PlainRule::SameHost).unwrap();
        let again = plain.redirected("/w", PlainRule::SameHost).unwrap();
        for at in [&plain, &again] {
            assert!(at.redirected("http://b.example/v", PlainRule::SameHost).is_err());
            assert!(at.redirected("https://b.example/v", PlainRule::SameHost).is_ok());
        }
        let elsewhere = again.redirected("https://b.example/v", PlainRule::SameHost).unwrap();
        assert!(elsewhere.redirected("http://a.example/v", PlainRule::SameHost).is_err());
    }

    #[test]
    fn a_redirect_to_http_of_the_same_host_is_asked_by_https() {
        use PlainRule::{Never, PrivateHosts, SameHost};
        for (from, location, rule, to) in [
            ("https://a.example/x", "http://a.example/v?q=1", Never, Some("https://a.example/v?q=1")),
            ("https://a.example/x", "http://a.example:80/v", Never, Some("https://a.example/v")),
            ("https://a.example:8443/x", "http://a.example/v", PrivateHosts, Some("https://a.example:8443/v")),
            ("https://a.example:8443/x", "http://a.example:8443/v", Never, Some("https://a.example:8443/v")),
            ("https://a.example/x", "http://a.example:5000/v", PrivateHosts, None),
            ("https://a.example/x", "http://b.example/v", SameHost, None),
            ("https://a.example/x", "http://a.example.b.example/v", SameHost, None),
            ("https://a.example/x", "http://a.example:5000/v", SameHost, Some("http://a.example:5000/v")),
            ("https://a.example/x", "http://a.example/v", SameHost, Some("http://a.example/v")),
            ("https://localhost:8443/x", "http://localhost:5000/v", Never, None),
            ("https://localhost:8443/x", "http://localhost:5000/v", PrivateHosts, Some("http://localhost:5000/v")),
            ("https://10.0.0.7/x", "http://10.0.0.7:5000/v", PrivateHosts, Some("http://10.0.0.7:5000/v")),
            ("https://[::1]/x", "http://[::1]:5000/v", PrivateHosts, Some("http://[::1]:5000/v")),
            ("https://192.0.2.7/x", "http://192.0.2.7:5000/v", PrivateHosts, None),
            ("https://10.0.0.7/x", "http://10.0.0.8:5000/v", PrivateHosts, None),
        ] {
            let from = target(&from.replace("https://", "https://ann:pw@"));
            let next = from.redirected(location, rule).ok();
            assert_eq!(next.as_ref().map(|next| next.url().as_str()), to, "{location} {rule:?}");
            let sends_password = next.as_ref().is_some_and(|next| next.authorization().is_some());
            assert_eq!(sends_password, to.is_some_and(|to| to.starts_with("https:")), "{location} {rule:?}");
            // Credentials in the new URL do not leave TLS either.
            let with_user = location.replace("http://", "http://bob:pw2@");
            let next = from.redirected(&with_user, rule).ok();
            let sent = next.as_ref().and_then(|next| next.authorization().map(str::to_owned));
            assert_eq!(sent.as_deref(), from.authorization().filter(|_| sends_password), "{with_user}");
        }
    }
}
