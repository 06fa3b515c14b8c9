//! Target of a CONNECT request: host name and port (RFC 9110 §9.3.6).

use std::net::IpAddr;

use axum::http::{StatusCode, Uri};
use trunkgate_route::is_loopback_host;

use crate::ApiError;
use trunkgate_config as config;
use trunkgate_system::twilio_hosts::{API, DOMAIN, HTTPS, LOOKUPS, is_below_domain, is_served};

/// Only port that a client may connect to.
pub(super) const PORT: u16 = HTTPS;
/// Maximum length of a host name, then of one label of it, in bytes (RFC 1035 §2.3.4).
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// Host that a client may connect to through the proxy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProxyTarget {
    pub(super) host: ProxyHost,
}

/// Host name in lower case, by the way in which it is served.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ProxyHost {
    /// Host of Twilio's API or of Lookup, served by the edge itself.
    Api(String),
    /// Any other host, reached through a tunnel.
    Other(String),
}

impl ProxyTarget {
    /// Parses the target of a CONNECT request.
    ///
    /// # Errors
    /// Returns an error if the target is not a host name with a port, or is never permitted.
    pub(super) fn of(uri: &Uri) -> Result<ProxyTarget, ApiError> {
        let malformed = || {
            let message = "CONNECT takes a host name and a port, such as api.twilio.com:443";
            ApiError::new(StatusCode::BAD_REQUEST, "bad_connect", message)
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(malformed)?;
        let port = authority.port_u16().ok_or_else(malformed)?;
        let name = authority.host().to_ascii_lowercase();
        if is_address(&name) {
            let message = "CONNECT to an IP address is refused: use a host name";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "not_proxied", message));
        }
        if !is_name(&name) {
            return Err(malformed());
        }
        if port != PORT {
            let message = format!("{name}:{port} is not proxied: port 443 only");
            return Err(ApiError::new(StatusCode::FORBIDDEN, "not_proxied", message));
        }
        Ok(ProxyTarget { host: if is_served(&name) { ProxyHost::Api(name) } else { ProxyHost::Other(name) } })
    }
}

/// Returns the error for a host that is neither Twilio's API nor Lookup.
pub(super) fn not_proxied(name: &str, setting: config::ProxyMode) -> ApiError {
    let more = match setting {
        config::ProxyMode::Tunnel => "other hosts are for clients on the machine of the edge",
        config::ProxyMode::Api | config::ProxyMode::Off => "`proxy = \"tunnel\"` of [api] is for other hosts",
    };
    let message = format!("{name} is not proxied: this proxy is for {API} and {LOOKUPS}; {more}");
    ApiError::new(StatusCode::FORBIDDEN, "not_proxied", message)
}

/// Returns whether a request in absolute form is addressed to another server through the proxy: one of Twilio's, or
/// without TLS any https server.
pub(super) fn is_for_another(uri: &Uri, is_tls: bool) -> bool {
    let Some((scheme, name)) = uri.scheme_str().zip(uri.host()) else { return false };
    let name = name.to_ascii_lowercase();
    name == DOMAIN || is_below_domain(&name) || scheme == "https" && !is_tls
}

/// Returns the server of an `http` request in absolute form that is not addressed to this machine; otherwise `None`. No
/// setting permits such a target.
pub(super) fn plain_elsewhere(uri: &Uri) -> Option<String> {
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"))?;
    (!is_loopback_host(authority.host())).then(|| shown(uri))
}

/// Returns whether a request in absolute form is for a host other than Twilio's.
pub(super) fn is_other(uri: &Uri) -> bool {
    !is_served(&uri.host().unwrap_or_default().to_ascii_lowercase())
}

/// Returns scheme, host and port of a request in absolute form, without user information, for messages.
pub(super) fn shown(uri: &Uri) -> String {
    let scheme = uri.scheme_str().map(|scheme| format!("{scheme}://")).unwrap_or_default();
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}{}{port}", uri.host().unwrap_or_default())
}

/// Checks a request in absolute form that is addressed to another server.
///
/// # Errors
/// Returns an error unless the request is for Twilio's API or Lookup over https at port 443, without user information.
pub(super) fn judge_absolute(uri: &Uri, setting: config::ProxyMode) -> Result<(), ApiError> {
    let name = uri.host().unwrap_or_default().to_ascii_lowercase();
    if !is_name(&name) || !is_served(&name) {
        return Err(not_proxied(&name, setting));
    }
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if uri.scheme_str() != Some("https") || uri.port_u16().unwrap_or(PORT) != PORT || has_user {
        let message = format!("{name} is reached by https:// at port 443");
        return Err(ApiError::new(StatusCode::FORBIDDEN, "not_proxied", message));
    }
    Ok(())
}

fn is_address(name: &str) -> bool {
    // Resolvers would read a name with a numeric last label, such as `127.1` or `0x7f.1`, as an IPv4 address.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) && !last.is_empty() || last.starts_with("0x");
    name.starts_with('[') || is_number || name.parse::<IpAddr>().is_ok()
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=LABEL_BYTES).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(is_known)
    };
    name.len() <= NAME_BYTES && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authority: &str) -> Result<ProxyHost, &'static str> {
        let uri = Uri::builder().authority(authority).build().or_else(|_| authority.parse()).unwrap();
        ProxyTarget::of(&uri).map(|target| target.host).map_err(|error| error.code)
    }

    #[test]
    fn twilios_names_are_known_and_others_are_not_them() {
        for name in ["api.twilio.com", "api.ie1.twilio.com", "api.dublin.ie1.twilio.com", "lookups.twilio.com"] {
            assert_eq!(read(&format!("{name}:443")), Ok(ProxyHost::Api(name.to_owned())));
        }
        assert_eq!(read("API.Twilio.com:443"), Ok(ProxyHost::Api("api.twilio.com".to_owned())));
        for name in [
            "twilio.com",
            "verify.twilio.com",
            "api.a.b.c.twilio.com",
            "api.nottwilio.com",
            "api.twilio.com.example.com",
            "apitwilio.com",
            "xapi.twilio.com",
            "localhost",
        ] {
            assert_eq!(read(&format!("{name}:443")), Ok(ProxyHost::Other(name.to_owned())));
        }
    }

    #[test]
    fn anything_else_is_refused_by_what_it_is() {
        for (authority, code) in [
            ("api.twilio.com:80", "not_proxied"),
            ("api.twilio.com:8443", "not_proxied"),
            ("127.0.0.1:443", "not_proxied"),
            ("[::1]:443", "not_proxied"),
            ("127.1:443", "not_proxied"),
            ("2130706433:443", "not_proxied"),
            ("0x7f.0x1:443", "not_proxied"),
            ("api.twilio.com", "bad_connect"),
            ("user@api.twilio.com:443", "bad_connect"),
            ("api..twilio.com:443", "bad_connect"),
            ("api.twilio.com.:443", "bad_connect"),
            ("-a.example:443", "bad_connect"),
            ("/v1/status", "bad_connect"),
        ] {
            assert_eq!(read(authority), Err(code), "{authority}");
        }
        let long = format!("{}.example:443", "a".repeat(64));
        assert_eq!(read(&long), Err("bad_connect"));
    }

    #[test]
    fn requests_for_other_servers_are_recognised_and_only_those_for_the_api_are_served() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        let judged = |text: &str| judge_absolute(&uri(text), config::ProxyMode::Api).map_err(|error| error.code);
        for name in ["api.twilio.com", "API.twilio.com", "lookups.ie1.twilio.com", "api.twilio.com:443"] {
            let text = format!("https://{name}/2010-04-01/Accounts.json?PageSize=1");
            assert!(is_for_another(&uri(&text), false), "{text}");
            assert_eq!(judged(&text), Ok(()), "{text}");
        }
        for text in [
            "http://api.twilio.com/2010-04-01/Accounts.json",
            "http://api.twilio.com:443/2010-04-01/Accounts.json",
            "https://api.twilio.com:8443/",
            "https://AC1:token@api.twilio.com/",
            "https://verify.twilio.com/",
            "https://twilio.com/",
            "https://example.com/",
            "https://api.twilio.com.example.com/",
        ] {
            assert!(is_for_another(&uri(text), false), "{text}");
            assert_eq!(judged(text), Err("not_proxied"), "{text}");
        }
        for text in ["/2010-04-01", "http://127.0.0.1:8080/v1/status", "http://nottwilio.com/", "api.twilio.com:443"] {
            assert!(!is_for_another(&uri(text), false), "{text}");
        }
        assert!(!is_for_another(&uri("https://edge.example.com/v1/status"), true));
        let plain = |text: &str| plain_elsewhere(&uri(text));
        assert_eq!(plain("http://ann:pw@example.org:8080/a?b").as_deref(), Some("http://example.org:8080"));
        assert_eq!(plain("http://example.org/").as_deref(), Some("http://example.org"));
        for text in ["https://example.org/", "http://127.0.0.1:8080/", "http://[::1]/", "/v1/status"] {
            assert_eq!(plain(text), None, "{text}");
        }
        let connect = Uri::builder().authority("example.org:443").build().unwrap_or_else(|_| uri("example.org:443"));
        assert_eq!(shown(&connect), "example.org:443");
        assert!(is_other(&uri("https://example.org/")) && !is_other(&uri("https://API.twilio.com/")));
        assert!(is_for_another(&uri("https://api.twilio.com/"), true));
    }
}
