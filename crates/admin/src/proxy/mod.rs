//! `[api] proxy`: a CONNECT to one of Twilio's host names reaches the Twilio-compatible API over TLS, with a
//! certificate of the edge's CA. A program written for api.twilio.com thereby reaches the edge unchanged. The other
//! paths of the HTTP listener are not reachable through the proxy.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::ext::ReasonPhrase;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

use self::host::{ProxyHost, ProxyTarget};
use super::gate::{self, AccessControl};
use super::host_certificates::HostCertificates;
use super::listener::TunnelEstablished;
use super::places::HttpSlotOccupant;
use super::{ApiError, twilio};
use trunkgate_config as config;
pub(crate) use trunkgate_runtime::proxy_refusals::{ProxyRefusal, RefusalReason};
use trunkgate_system::limits;
use trunkgate_system::reach::ReachRules;

mod host;
mod session;
mod tunnel;

/// HTTP proxy of the Twilio-compatible API; clones share its state.
#[derive(Clone)]
pub(super) struct ApiProxy(Arc<ProxyParts>);

struct ProxyParts {
    gate: AccessControl,
    /// Router with the paths of the API only.
    api: Router,
    certificates: Arc<HostCertificates>,
    tunnels: Arc<Semaphore>,
}

impl ApiProxy {
    pub(super) fn new(gate: AccessControl, api: Router, certificates: Arc<HostCertificates>) -> ApiProxy {
        let tunnels = Arc::new(Semaphore::new(limits::PROXY_TUNNELS));
        ApiProxy(Arc::new(ProxyParts { gate, api, certificates, tunnels }))
    }

    fn setting(&self) -> config::ProxyMode {
        self.0.gate.handle.shared.running(|running| running.config.api.open_proxy())
    }

    /// Returns the proxy setting in force, and the connection slot of the client.
    ///
    /// # Errors
    /// Returns the response to a request beyond the limits, from an unknown client, or while the proxy is off.
    fn admit(&self, request: &Request) -> Result<(config::ProxyMode, HttpSlotOccupant), Box<Response>> {
        if let Some(refused) = gate::beyond_limits(request) {
            return Err(Box::new(refused));
        }
        let setting = self.setting();
        if setting == config::ProxyMode::Off {
            return Err(Box::new(refused(off())));
        }
        let unknown = || ApiError::new(StatusCode::FORBIDDEN, "not_proxied", "the address of the client is unknown");
        let occupant = gate::occupant(request).ok_or_else(|| Box::new(refused(unknown())))?;
        Ok((setting, occupant))
    }

    /// Handles a CONNECT request.
    async fn connect(&self, request: Request) -> Response {
        let (setting, occupant) = match self.admit(&request) {
            Ok(admitted) => admitted,
            Err(refused) => return *refused,
        };
        let headers = request.headers();
        let is_local = is_local(&occupant, headers);
        if !is_local && let Err(response) = self.authenticate(&occupant, headers).await {
            return response;
        }
        let (target, asked) = (ProxyTarget::of(request.uri()), host::shown(request.uri()));
        let is_other =
            setting != config::ProxyMode::Tunnel && matches!(&target, Ok(ProxyTarget { host: ProxyHost::Other(_) }));
        let connected = match target {
            Ok(ProxyTarget { host: ProxyHost::Api(name) }) => self.lead_to_api(name, occupant, request).await,
            Ok(ProxyTarget { host: ProxyHost::Other(name) }) if setting == config::ProxyMode::Tunnel && is_local => {
                tunnel::open(self, &name, occupant, request).await
            }
            Ok(ProxyTarget { host: ProxyHost::Other(name) }) => Err(host::not_proxied(&name, setting)),
            Err(error) => Err(error),
        };
        // The client's TLS handshake begins after the request head.
        match connected {
            Ok(()) => established(),
            Err(error) => self.refuse(&Method::CONNECT, asked, is_other, error),
        }
    }

    /// Rejects a request to the proxy, and publishes the refusal. `is_other`: the proxy does not serve the host.
    fn refuse(&self, method: &Method, target: String, is_other: bool, error: ApiError) -> Response {
        let reason = if is_other { RefusalReason::OtherHost } else { RefusalReason::Answered(error.message.clone()) };
        self.pass_on(method, target, reason);
        refused(error)
    }

    /// Publishes a refused request to the listeners in this process.
    fn pass_on(&self, method: &Method, target: String, reason: RefusalReason) {
        let refusal = ProxyRefusal { at: Instant::now(), method: method.to_string(), target, reason };
        self.0.gate.handle.shared.proxy_refusals.send(refusal);
    }

    /// Handles a request in absolute form for one of Twilio's hosts (RFC 9112 §3.2.2), which clients without CONNECT
    /// send. Such a request contains the credentials of the API, so it must come from this machine or over TLS.
    async fn serve_absolute(&self, mut request: Request) -> Response {
        let (setting, occupant) = match self.admit(&request) {
            Ok(admitted) => admitted,
            Err(refused) => return *refused,
        };
        if let Err(error) = host::judge_absolute(request.uri(), setting) {
            let is_other = setting != config::ProxyMode::Tunnel && host::is_other(request.uri());
            return self.refuse(request.method(), host::shown(request.uri()), is_other, error);
        }
        if !is_local(&occupant, request.headers()) && !occupant.is_tls() {
            let message = format!(
                "{}: an unencrypted request is accepted only from the edge's own machine, because it carries your API credentials: use CONNECT, or reach the proxy by https://",
                request.uri().host().unwrap_or_default()
            );
            return refused(ApiError::new(StatusCode::FORBIDDEN, "not_proxied", message));
        }
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let Ok(path) = path.parse::<Uri>() else {
            return refused(ApiError::new(
                StatusCode::BAD_REQUEST,
                "bad_connect",
                "the path of the request is malformed",
            ));
        };
        *request.uri_mut() = path;
        let Ok(response) = TowerToHyperService::new(self.api()).call(request).await;
        response
    }

    /// Checks `Proxy-Authorization` as `Authorization` is checked for requests to the API.
    async fn authenticate(&self, occupant: &HttpSlotOccupant, headers: &HeaderMap) -> Result<(), Response> {
        let given = headers.get_all(header::PROXY_AUTHORIZATION).iter();
        let given = HeaderMap::from_iter(given.map(|value| (header::AUTHORIZATION, value.clone())));
        let AccessControl { handle, access, .. } = &self.0.gate;
        let source = gate::client(handle, Some(occupant), headers);
        let judged = twilio::judge(handle, access, source, &given).await;
        judged.map(drop).map_err(|response| {
            if response.status() != StatusCode::UNAUTHORIZED {
                return response;
            }
            let message = "Proxy-Authorization is missing or wrong: use the account SID and auth token, or an API key and its secret";
            let error = ApiError::new(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "proxy_credentials", message);
            let mut response = refused(error);
            let value = HeaderValue::from_static("Basic realm=\"Twilio-compatible API\"");
            response.headers_mut().insert(header::PROXY_AUTHENTICATE, value);
            response
        })
    }

    /// Serves the API to the client after the response to its CONNECT is sent.
    async fn lead_to_api(&self, host: String, occupant: HttpSlotOccupant, request: Request) -> Result<(), ApiError> {
        let tls = self.certificates().of_host(&host).await?;
        tokio::spawn(session::serve(self.clone(), host, tls, occupant, request));
        Ok(())
    }

    fn certificates(&self) -> &HostCertificates {
        &self.0.certificates
    }

    fn api(&self) -> Router {
        self.0.api.clone()
    }

    /// Returns the address rules for tunnels to other hosts: public addresses only, and none of the edge.
    fn reach(&self) -> ReachRules {
        let shared = &self.0.gate.handle.shared;
        shared.running(|running| shared.own.borrow().reach(false, &running.interfaces))
    }

    fn tunnels(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.tunnels)
    }
}

/// Returns whether the client is on this machine and no proxy has forwarded its request.
fn is_local(occupant: &HttpSlotOccupant, headers: &HeaderMap) -> bool {
    occupant.is_loopback() && !headers.keys().any(|name| gate::is_of_proxy(name.as_str()))
}

/// Returns the response to a successful CONNECT.
fn established() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(ReasonPhrase::from_static(b"Connection established"));
    response.extensions_mut().insert(TunnelEstablished);
    response
}

fn off() -> ApiError {
    let message = "the proxy of this edge is off: set `proxy = true` and `auth_token` of [api]";
    ApiError::new(StatusCode::FORBIDDEN, "proxy_off", message)
}

/// Returns an error response with its message in the status line, the only part of a response to CONNECT that clients
/// show.
fn refused(error: ApiError) -> Response {
    let reason = ReasonPhrase::try_from(error.message.as_bytes());
    let mut response = error.into_response();
    if let Ok(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    response
}

/// Handles requests to the proxy; all others go to the routes of the listener.
pub(super) async fn intercept(State(proxy): State<ApiProxy>, request: Request, next: Next) -> Response {
    if request.method() == Method::CONNECT {
        return proxy.connect(request).await;
    }
    // HTTP/2 is not supported here; all its requests have an authority.
    let is_tls = gate::occupant(&request).is_some_and(|occupant| occupant.is_tls());
    if request.version() <= Version::HTTP_11 && host::is_for_another(request.uri(), is_tls) {
        return proxy.serve_absolute(request).await;
    }
    let elsewhere = host::plain_elsewhere(request.uri()).map(|target| (request.method().clone(), target));
    let response = next.run(request).await;
    let is_refused = response.status() == StatusCode::FORBIDDEN;
    if let Some((method, target)) = elsewhere.filter(|_| is_refused && proxy.setting() != config::ProxyMode::Off) {
        proxy.pass_on(&method, target, RefusalReason::PlainHttp);
    }
    response
}

/// Sends the edge's CA certificate (`GET /v1/twilio/ca`); with `?for=proxy` only while the proxy is on.
pub(super) async fn certificate(State(proxy): State<ApiProxy>, uri: Uri) -> Result<Response, ApiError> {
    let is_on = match uri.query() {
        Some("for=proxy") => proxy.setting() != config::ProxyMode::Off,
        Some(_) | None => proxy.0.gate.handle.shared.running(|running| running.config.api.stands_for_twilio()),
    };
    if !is_on {
        return Err(off());
    }
    let pem = proxy.certificates().pem().await?.to_owned();
    Ok(([(header::CONTENT_TYPE, "application/pem-certificate-chain")], pem).into_response())
}
