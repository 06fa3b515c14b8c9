//! Who may use the HTTP face: whoever has the token; without one, only a client on this machine that means this edge
//! (a browser led here by a foreign page, or by a name that was bound anew to loopback, does not).

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{ApiError, console};
use crate::handle::Handle;
use crate::limits;

/// Lets a request in, or answers it. `/healthz` and `/readyz` are open: probes have no token, and they tell nothing; what comes
/// to `/sms/inbound` is signed.
pub(super) async fn check(State(handle): State<Handle>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > limits::HTTP_HEADER_BYTES {
        let message = format!("the header fields are longer than {} bytes", limits::HTTP_HEADER_BYTES);
        return ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message)
            .into_response();
    }
    let verdict = match request.uri().path() {
        "/healthz" | "/readyz" | "/sms/inbound" => Ok(()),
        path => handle.shared.running(|running| {
            let http = &running.config.http;
            match &http.token {
                // Somebody has to be asked for the token.
                Some(_) if console::is_file(path) => Ok(()),
                Some(token) => bearer(headers, token.reveal()),
                None => from_here(headers, http.public_url.as_deref()),
            }
        }),
    };
    match verdict {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn bearer(headers: &HeaderMap, token: &str) -> Result<(), ApiError> {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let scheme = given.and_then(|given| given.split_at_checked(7));
    match scheme {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"bearer ") && same(given, token.as_bytes()) => Ok(()),
        _ => Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "the bearer token is missing or wrong")),
    }
}

/// Compares in a time that depends only on the length of what was given.
pub(super) fn same(given: &[u8], token: &[u8]) -> bool {
    let mut difference = given.len() ^ token.len();
    for (position, byte) in given.iter().enumerate() {
        let against = token.get(position % token.len().max(1)).copied().unwrap_or_default();
        difference |= usize::from(std::hint::black_box(byte ^ against));
    }
    difference == 0 && !token.is_empty()
}

fn from_here(headers: &HeaderMap, public_url: Option<&str>) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let public = public_url.map(authority);
    let is_public = |given: &str| public.is_some_and(|public| public.eq_ignore_ascii_case(given));
    let several = |name| headers.get_all(name).iter().count() > 1;
    if several(header::HOST) || !is_loopback(host_of(host)) && !is_public(host) {
        let message = "without a token the Host must be loopback or that of [http] public_url";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden_host", message));
    }
    match headers.get(header::ORIGIN) {
        None => Ok(()),
        Some(origin) => {
            let origin = Some(origin).filter(|_| !several(header::ORIGIN));
            let origin = origin.and_then(|origin| origin.to_str().ok()).map(authority).unwrap_or_default();
            if origin.eq_ignore_ascii_case(host) || is_public(origin) {
                return Ok(());
            }
            Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden_origin", "requests of other origins are refused"))
        }
    }
}

/// `host:port` of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The host of `host:port`, without the brackets of IPv6; empty where it is anything else (RFC 9110 §7.2).
fn host_of(host_port: &str) -> &str {
    let parts = match host_port.strip_prefix('[') {
        Some(rest) => rest.split_once(']'),
        None => Some(host_port.split_at(host_port.find(':').unwrap_or(host_port.len()))),
    };
    match parts {
        Some((host, "")) => host,
        Some((host, port)) if port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()) => host,
        _ => "",
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn tokens() {
        let with = |value| bearer(&headers(&[("authorization", value)]), "secret").is_ok();
        assert!(with("Bearer secret"));
        assert!(with("bearer secret"));
        for wrong in ["Bearer secre", "Bearer secrets", "Bearer secretsecret", "Bearer ", "Basic secret", "secret", ""]
        {
            assert!(!with(wrong), "{wrong}");
        }
        assert!(bearer(&HeaderMap::new(), "secret").is_err());
        assert!(!same(b"", b""));
    }

    #[test]
    fn hosts_and_origins() {
        let public = Some("https://edge.example.com/path");
        let from = |host, origin: Option<&'static str>| {
            let mut all = vec![("host", host)];
            all.extend(origin.map(|origin| ("origin", origin)));
            from_here(&headers(&all), public).map_err(|error| error.code)
        };
        for good in ["localhost:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "LOCALHOST", "edge.example.com"] {
            assert_eq!(from(good, None), Ok(()), "{good}");
        }
        for bad in ["evil.example", "10.0.0.1:8080", "", "127.0.0.1.evil.example", "edge.example.com.evil", "[::2]:1"]
            .into_iter()
            .chain(["[::1].evil.example", "[::1", "127.0.0.1:80@evil.example", "localhost:evil", "localhost:80:81"])
        {
            assert_eq!(from(bad, None), Err("forbidden_host"), "{bad}");
        }
        let mut two = headers(&[("host", "localhost:8080")]);
        two.append("host", "evil.example".parse().unwrap());
        assert_eq!(from_here(&two, public).map_err(|error| error.code), Err("forbidden_host"));
        let mut two = headers(&[("host", "localhost:8080"), ("origin", "http://localhost:8080")]);
        two.append("origin", "http://evil.example".parse().unwrap());
        assert_eq!(from_here(&two, public).map_err(|error| error.code), Err("forbidden_origin"));
        assert_eq!(from("localhost:8080", Some("http://localhost:8080")), Ok(()));
        assert_eq!(from("localhost:8080", Some("https://edge.example.com")), Ok(()));
        for foreign in ["http://evil.example", "null", "http://localhost:3000", ""] {
            assert_eq!(from("localhost:8080", Some(foreign)), Err("forbidden_origin"), "{foreign}");
        }
    }
}
