//! Access control of the HTTP API. With a token, only its owners have access; without one, programs and browsers on
//! this machine.
//!
//! Without a token, the edge rejects requests from pages of other sites, for host names that resolve to loopback (DNS
//! rebinding), and from reverse proxies.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::guesses::{GuessLimiter, LoginVerdict, PresentedCredentials, answer_late, is_same_secret};
use super::listening::AudioCookieKey;
use super::places::HttpSlotOccupant;
use super::{ApiError, console, forwarded, sms, twilio};
use trunkgate_route::is_loopback_host;
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_runtime::http_logins::HttpInterface;
use trunkgate_system::clock;
use trunkgate_system::limits;

/// Path of the CA certificate for clients of the proxy.
pub(super) const CA_PATH: &str = "/v1/twilio/ca";

/// Headers that reverse proxies add. `X-Forwarded-*` is matched by its prefix.
const PROXY_HEADERS: [&str; 7] =
    ["forwarded", "via", "x-real-ip", "x-client-ip", "x-original-forwarded-for", "cf-connecting-ip", "true-client-ip"];

/// Shared state of the HTTP access control.
#[derive(Clone)]
pub(super) struct AccessControl {
    pub(super) handle: EdgeHandle,
    /// Access control of the Twilio-compatible API.
    pub(super) access: twilio::ApiAccess,
    /// Failed authentications within the current minute.
    pub(super) guesses: GuessLimiter,
    /// Key of the cookies that grant access to audio of recordings.
    pub(super) tickets: AudioCookieKey,
}

/// Head of a request that is being checked.
struct HttpRequestHead<'a> {
    method: &'a Method,
    path: &'a str,
    headers: &'a HeaderMap,
    /// Authority of a request target in absolute form; it takes precedence over Host (RFC 9112 §3.2.2).
    authority: Option<&'a str>,
    /// Slot of the connection that carries the request.
    occupant: Option<&'a HttpSlotOccupant>,
}

/// Admits a request to the API, or responds with an error.
pub(super) async fn check(State(gate): State<AccessControl>, mut request: Request, next: Next) -> Response {
    if let Some(refused) = beyond_limits(&request) {
        return refused;
    }
    let occupant = occupant(&request);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let path = uri.path();
    let authority = uri.authority().map(Authority::as_str);
    let head =
        HttpRequestHead { method: &method, path, headers: request.headers(), authority, occupant: occupant.as_ref() };
    let granted = match admit(&gate, &head).await {
        Ok(granted) => granted,
        Err(refused) => return refused,
    };
    if let Err(error) = from_same_site(&method, path, request.headers()) {
        return twilio::shaped(path, error);
    }
    // The sender of a webhook is not authenticated until its body is read, so its connection may be evicted until then.
    let serving = occupant.filter(|_| !sms::is_path(path)).map(|occupant| occupant.serve());
    if let Some(granted) = granted {
        request.extensions_mut().insert(granted);
    }
    let response = next.run(request).await;
    match serving {
        Some(serving) => serving.with(response),
        None => response,
    }
}

/// Authenticates a request, or rejects it. `/healthz` and `/readyz` are open: probes have no token, and the responses
/// reveal nothing. Requests to `/sms/inbound` and `/sms/status` are authenticated by signature or token after their
/// body is read.
async fn admit(gate: &AccessControl, head: &HttpRequestHead<'_>) -> Result<Option<twilio::Granted>, Response> {
    let HttpRequestHead { method, path, headers, authority, occupant } = *head;
    let handle = &gate.handle;
    match path {
        "/healthz" | "/readyz" => Ok(None),
        path if sms::is_path(path) => {
            let token = handle.shared.running(|running| running.config.messages.token.clone());
            // Twilio signs its requests. They may also carry Basic credentials from the configured URL.
            let Some(token) = token.filter(|_| bearer_of(headers).is_some()) else { return Ok(None) };
            match judge(gate, head, ("messages", token.reveal())) {
                LoginVerdict::Passed | LoginVerdict::Wrong => Ok(None),
                LoginVerdict::TooMany(left) => Err(too_many(left).await),
            }
        }
        path if twilio::is_path(path) => {
            // A page of another site can make a browser add HTTP Basic credentials to its requests. They are rejected
            // before they count as failed authentications, or the page could lock out programs at this address.
            let own =
                handle.shared.running(|running| from_own_page(headers, running.config.http.public_url.as_deref()));
            let own = own.and_then(|()| from_same_site(method, path, headers));
            own.map_err(|error| twilio::shaped(path, error))?;
            twilio::judge(handle, &gate.access, client(handle, occupant, headers), headers).await.map(Some)
        }
        path => {
            let token = handle.shared.running(|running| running.config.http.token.clone());
            match token {
                // The console asks the user for the token, and the CA certificate is public.
                Some(_) if console::is_file(path) || path == CA_PATH => Ok(None),
                Some(token) if is_listening(&gate.tickets, head, token.reveal()) => Ok(None),
                Some(token) => match judge(gate, head, ("", token.reveal())) {
                    LoginVerdict::Passed => Ok(None),
                    LoginVerdict::Wrong => Err(unauthorized().into_response()),
                    LoginVerdict::TooMany(left) => Err(too_many(left).await),
                },
                None => from_here(headers, authority).map(|()| None).map_err(IntoResponse::into_response),
            }
        }
    }
}

/// Returns the client address of a request, for IPv6 its /64.
pub(super) fn client(handle: &EdgeHandle, occupant: Option<&HttpSlotOccupant>, headers: &HeaderMap) -> IpAddr {
    let remote = occupant.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), HttpSlotOccupant::address);
    handle.shared.running(|running| forwarded::client(remote, headers, &running.config.http.trusted_proxies))
}

/// Checks the bearer token of a request. A request without credentials, as the console first sends, does not count as
/// failed.
fn judge(gate: &AccessControl, head: &HttpRequestHead<'_>, (account, token): (&str, &str)) -> LoginVerdict {
    let is_right = bearer(head.headers, token).is_ok();
    if !is_right && !head.headers.contains_key(header::AUTHORIZATION) {
        return LoginVerdict::Wrong;
    }
    let source = client(&gate.handle, head.occupant, head.headers);
    let (now, logins) = (Instant::now(), &gate.handle.shared.logins);
    let shown = PresentedCredentials {
        face: HttpInterface::Http,
        account,
        source,
        is_right,
        characters: token.chars().count(),
    };
    let verdict = gate.guesses.judge(now, shown);
    match verdict {
        LoginVerdict::Passed => logins.passed(HttpInterface::Http, source),
        LoginVerdict::Wrong | LoginVerdict::TooMany(_) => logins.failed(now, HttpInterface::Http, source),
    }
    verdict
}

/// Returns the response to a client that guesses tokens: 429 after a delay, with the rest of the minute in
/// `Retry-After`.
async fn too_many(left: Duration) -> Response {
    answer_late().await;
    let seconds = left.as_secs() + 1;
    let message = format!("too many requests with a wrong token from this address: try again in {seconds} s");
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message);
    ([(header::RETRY_AFTER, seconds)], error).into_response()
}

/// Returns whether a request for audio carries a valid cookie in place of the token.
fn is_listening(tickets: &AudioCookieKey, head: &HttpRequestHead<'_>, token: &str) -> bool {
    let is_reading = matches!(*head.method, Method::GET | Method::HEAD);
    is_reading && tickets.open(head.path, head.headers, token, clock::now().as_second())
}

/// Returns the slot of the connection that carries a request.
pub(super) fn occupant(request: &Request) -> Option<HttpSlotOccupant> {
    request.extensions().get::<ConnectInfo<HttpSlotOccupant>>().map(|ConnectInfo(occupant)| occupant.clone())
}

/// Returns the rejection of a request with oversized headers, or on a connection that is reserved for probes; `None` if
/// it is within the limits.
pub(super) fn beyond_limits(request: &Request) -> Option<Response> {
    let path = request.uri().path();
    let size: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > limits::HTTP_HEADER_BYTES {
        let message = format!("the header fields exceed {} bytes", limits::HTTP_HEADER_BYTES);
        let error = ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message);
        return Some(twilio::shaped(path, error));
    }
    let is_probe = matches!(path, "/healthz" | "/readyz");
    if !is_probe && occupant(request).as_ref().is_some_and(HttpSlotOccupant::is_for_probes) {
        let message = format!(
            "the limit of {} connections that serve requests is reached: try again later",
            limits::HTTP_CONNECTIONS
        );
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", message);
        return Some(([(header::CONNECTION, "close")], twilio::shaped(path, error)).into_response());
    }
    None
}

/// Rejects requests that a page of another site made a browser send, detected by Fetch Metadata because they need not
/// have an Origin. Only a link that the user follows may come from another site.
fn from_same_site(method: &Method, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
    let all_are =
        |name, allowed: &[&[u8]]| headers.get_all(name).iter().all(|value| allowed.contains(&value.as_bytes()));
    let is_own = all_are("sec-fetch-site", &[b"same-origin", b"none"]);
    let is_reading = matches!(*method, Method::GET | Method::HEAD) && path != "/v1/events";
    let is_followed = headers.contains_key("sec-fetch-mode")
        && all_are("sec-fetch-mode", &[b"navigate"])
        && all_are("sec-fetch-dest", &[b"document"]);
    if is_own || is_reading && is_followed || matches!(path, "/healthz" | "/readyz") {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden_origin", "requests of pages of other sites are refused"))
}

pub(super) fn bearer(headers: &HeaderMap, token: &str) -> Result<(), ApiError> {
    let is_right = bearer_of(headers).is_some_and(|given| is_same_secret(given, token.as_bytes()));
    is_right.then_some(()).ok_or_else(unauthorized)
}

/// Returns the bearer token of a request; `None` if it has none.
fn bearer_of(headers: &HeaderMap) -> Option<&[u8]> {
    let given = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, given) = given.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(given)
}

fn unauthorized() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "the bearer token is missing or wrong")
}

/// Checks that a request without a token comes from this machine: Host and authority are loopback, no proxy has
/// forwarded it, and no page of another site has caused it.
fn from_here(headers: &HeaderMap, authority: Option<&str>) -> Result<(), ApiError> {
    if let Some(name) = headers.keys().map(header::HeaderName::as_str).find(|name| is_of_proxy(name)) {
        let message =
            format!("{name}: a reverse proxy has passed this request on; set `token` in [http] for use behind a proxy");
        return Err(ApiError::new(StatusCode::FORBIDDEN, "token_required", message));
    }
    let mut hosts = headers.get_all(header::HOST).iter().map(|value| value.to_str().unwrap_or_default());
    let is_local = |host: &str| is_loopback_host(host_of(host));
    if !hosts.next().is_some_and(is_local) || hosts.next().is_some() || !authority.is_none_or(is_local) {
        let message =
            "without a token the Host must be a loopback name or address; set `token` in [http] for other names";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden_host", message));
    }
    from_own_page(headers, None)
}

/// Returns whether a header is one that reverse proxies add.
pub(super) fn is_of_proxy(name: &str) -> bool {
    name.starts_with("x-forwarded") || PROXY_HEADERS.contains(&name)
}

/// Rejects a request with an Origin that is neither its Host nor `public_url`. Programs send no Origin.
fn from_own_page(headers: &HeaderMap, public_url: Option<&str>) -> Result<(), ApiError> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).unwrap_or_default();
    let (origin, is_one) = (text(origin), origins.next().is_none());
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(text).filter(|_| hosts.next().is_none());
    let known = [host.as_deref(), public_url.map(authority)].into_iter().flatten();
    let given = authority(&origin);
    if is_one && !given.is_empty() && known.into_iter().any(|known| known.eq_ignore_ascii_case(given)) {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden_origin", "cross-origin requests are rejected"))
}

/// Returns the part `host:port` of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Returns the host in `host:port`, without IPv6 brackets; empty if it is malformed (RFC 9110 §7.2).
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
        assert!(!is_same_secret(b"", b""));
    }

    #[test]
    fn hosts_and_origins() {
        let from = |host, origin: Option<&'static str>| {
            let mut all = vec![("host", host)];
            all.extend(origin.map(|origin| ("origin", origin)));
            from_here(&headers(&all), None).map_err(|error| error.code)
        };
        for good in ["localhost:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "LOCALHOST"] {
            assert_eq!(from(good, None), Ok(()), "{good}");
        }
        for bad in ["evil.example", "10.0.0.1:8080", "", "127.0.0.1.evil.example", "edge.example.com", "[::2]:1"]
            .into_iter()
            .chain(["[::1].evil.example", "[::1", "127.0.0.1:80@evil.example", "localhost:evil", "localhost:80:81"])
        {
            assert_eq!(from(bad, None), Err("forbidden_host"), "{bad}");
        }
        let mut two = headers(&[("host", "localhost:8080")]);
        two.append("host", "evil.example".parse().unwrap());
        assert_eq!(from_here(&two, None).map_err(|error| error.code), Err("forbidden_host"));
        assert_eq!(from_here(&HeaderMap::new(), None).map_err(|error| error.code), Err("forbidden_host"));
        let to = |authority| from_here(&headers(&[("host", "localhost")]), Some(authority)).map_err(|error| error.code);
        assert_eq!(to("127.0.0.1:8080"), Ok(()));
        assert_eq!(to("evil.example"), Err("forbidden_host"), "the target stands above Host");
        let mut two = headers(&[("host", "localhost:8080"), ("origin", "http://localhost:8080")]);
        two.append("origin", "http://evil.example".parse().unwrap());
        assert_eq!(from_here(&two, None).map_err(|error| error.code), Err("forbidden_origin"));
        assert_eq!(from("localhost:8080", Some("http://localhost:8080")), Ok(()));
        for foreign in ["http://evil.example", "https://edge.example.com", "null", "http://localhost:3000", ""] {
            assert_eq!(from("localhost:8080", Some(foreign)), Err("forbidden_origin"), "{foreign}");
        }
    }

    #[test]
    fn requests_that_a_proxy_has_passed_on_need_a_token() {
        for name in PROXY_HEADERS.into_iter().chain(["x-forwarded-for", "x-forwarded-proto", "x-forwarded"]) {
            for value in ["", "192.0.2.7", "1.1 proxy"] {
                let found = from_here(&headers(&[("host", "127.0.0.1:8080"), (name, value)]), None);
                assert_eq!(found.map_err(|error| error.code), Err("token_required"), "{name}");
            }
        }
        let local = [("host", "127.0.0.1:8080"), ("x-forward", "1"), ("accept", "*/*"), ("x-request-id", "7")];
        assert!(from_here(&headers(&local), None).is_ok());
    }

    #[test]
    fn an_origin_is_that_of_the_host_or_of_the_public_url() {
        let from = |all: &[(&'static str, &'static str)]| {
            from_own_page(&headers(all), Some("https://edge.example.com/path")).map_err(|error| error.code)
        };
        assert_eq!(from(&[("host", "10.0.0.5:8080")]), Ok(()), "no browser");
        for origin in ["http://10.0.0.5:8080", "https://edge.example.com", "https://Edge.Example.com"] {
            assert_eq!(from(&[("host", "10.0.0.5:8080"), ("origin", origin)]), Ok(()), "{origin}");
        }
        for origin in ["https://evil.example", "http://10.0.0.5", "http://10.0.0.5:80", "null", "", "10.0.0.5:8080"] {
            assert_eq!(from(&[("host", "10.0.0.5:8080"), ("origin", origin)]), Err("forbidden_origin"), "{origin}");
            assert_eq!(from(&[("origin", origin)]), Err("forbidden_origin"), "{origin}");
        }
        let mut two = headers(&[("host", "a.example"), ("origin", "https://a.example")]);
        two.append("origin", "https://evil.example".parse().unwrap());
        assert!(from_own_page(&two, None).is_err());
    }

    #[test]
    fn cross_site_requests_are_rejected() {
        let asks = |method: Method, path, all: &[(&'static str, &'static str)]| {
            from_same_site(&method, path, &headers(all)).map_err(|error| error.code)
        };
        let refused = Err("forbidden_origin");
        for site in ["cross-site", "same-site", "", "Same-Origin"] {
            let said = [("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")];
            let posted = [("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert_eq!(asks(method.clone(), "/v1/reload", &said), refused);
                assert_eq!(asks(method, "/v1/reload", &posted), refused, "a form that is sent is a navigation, too");
            }
            for path in ["/v1/events", "/v1/calls", "/v1/calls/1/trace.svg", "/"] {
                assert_eq!(asks(Method::GET, path, &said), refused, "{path}");
                let expected = if path == "/v1/events" { refused } else { Ok(()) };
                assert_eq!(asks(Method::GET, path, &posted), expected, "a link leads to {path}");
            }
            let framed = [("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
            assert_eq!(asks(Method::GET, "/", &framed), refused);
            assert_eq!(asks(Method::GET, "/healthz", &said), Ok(()));
        }
        for own in ["same-origin", "none"] {
            assert_eq!(asks(Method::POST, "/v1/reload", &[("sec-fetch-site", own)]), Ok(()));
            assert_eq!(asks(Method::GET, "/v1/events", &[("sec-fetch-site", own)]), Ok(()));
        }
        assert_eq!(asks(Method::POST, "/v1/reload", &[]), Ok(()), "no browser");
        let mut both = headers(&[("sec-fetch-site", "none")]);
        both.append("sec-fetch-site", "cross-site".parse().unwrap());
        assert_eq!(from_same_site(&Method::POST, "/v1/reload", &both).map_err(|error| error.code), refused);
    }
}
