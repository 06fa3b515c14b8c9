//! `[api] proxy`: CONNECT for Twilio's host names leads to the Twilio-compatible API, by TLS with a certificate of the edge's own CA, so that a
//! program for api.twilio.com reaches the edge unchanged. Nothing else of the HTTP listener is reached that way.

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

use self::host::{Host, Target};
use super::gate::{self, Gate};
use super::host_certificates::HostCertificates;
use super::listener::TunnelEstablished;
use super::places::Occupant;
use super::{ApiError, twilio};
use trunkgate_config as config;
pub(crate) use trunkgate_runtime::proxy_refusals::{ProxyRefusal, RefusalReason};
use trunkgate_system::limits;
use trunkgate_system::reach::Reach;

mod host;
mod session;
mod tunnel;

/// The proxy; clones are the same one.
#[derive(Clone)]
pub(super) struct Proxy(Arc<Parts>);

struct Parts {
    gate: Gate,
    /// The API alone.
    api: Router,
    certificates: Arc<HostCertificates>,
    tunnels: Arc<Semaphore>,
}

impl Proxy {
    pub(super) fn new(gate: Gate, api: Router, certificates: Arc<HostCertificates>) -> Proxy {
        let tunnels = Arc::new(Semaphore::new(limits::PROXY_TUNNELS));
        Proxy(Arc::new(Parts { gate, api, certificates, tunnels }))
    }

    fn setting(&self) -> config::Proxy {
        self.0.gate.handle.shared.running(|running| running.config.api.open_proxy())
    }

    /// Returns what the proxy leads to, and the client of a request to it.
    ///
    /// # Errors
    /// The answer to a request beyond the limits, of an unknown client, or to an edge that is no proxy.
    fn admit(&self, request: &Request) -> Result<(config::Proxy, Occupant), Box<Response>> {
        if let Some(refused) = gate::beyond_limits(request) {
            return Err(Box::new(refused));
        }
        let setting = self.setting();
        if setting == config::Proxy::Off {
            return Err(Box::new(refused(off())));
        }
        let unknown = || ApiError::new(StatusCode::FORBIDDEN, "not_proxied", "the client is not known");
        let occupant = gate::occupant(request).ok_or_else(|| Box::new(refused(unknown())))?;
        Ok((setting, occupant))
    }

    /// Answers CONNECT.
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
        let (target, asked) = (Target::of(request.uri()), host::shown(request.uri()));
        let is_other = setting != config::Proxy::Tunnel && matches!(&target, Ok(Target { host: Host::Other(_) }));
        let connected = match target {
            Ok(Target { host: Host::Api(name) }) => self.lead_to_api(name, occupant, request).await,
            Ok(Target { host: Host::Other(name) }) if setting == config::Proxy::Tunnel && is_local => {
                tunnel::open(self, &name, occupant, request).await
            }
            Ok(Target { host: Host::Other(name) }) => Err(host::not_proxied(&name, setting)),
            Err(error) => Err(error),
        };
        // What follows the head is the client's TLS.
        match connected {
            Ok(()) => established(),
            Err(error) => self.refuse(&Method::CONNECT, asked, is_other, error),
        }
    }

    /// Answers a request that is refused, and passes it on to those that listen for refusals; `is_other`: its host is
    /// not one that the proxy serves.
    fn refuse(&self, method: &Method, target: String, is_other: bool, error: ApiError) -> Response {
        let reason = if is_other { RefusalReason::OtherHost } else { RefusalReason::Answered(error.message.clone()) };
        self.pass_on(method, target, reason);
        refused(error)
    }

    /// Passes a refusal on to those that listen.
    fn pass_on(&self, method: &Method, target: String, reason: RefusalReason) {
        let refusal = ProxyRefusal { at: Instant::now(), method: method.to_string(), target, reason };
        self.0.gate.handle.shared.proxy_refusals.send(refusal);
    }

    /// Answers a request that was sent for one of Twilio's hosts as to a proxy in clear (RFC 9112 §3.2.2), as clients without CONNECT
    /// send it. Its credentials are those of the API, so it comes from this machine or by TLS.
    async fn serve_absolute(&self, mut request: Request) -> Response {
        let (setting, occupant) = match self.admit(&request) {
            Ok(admitted) => admitted,
            Err(refused) => return *refused,
        };
        if let Err(error) = host::judge_absolute(request.uri(), setting) {
            let is_other = setting != config::Proxy::Tunnel && host::is_other(request.uri());
            return self.refuse(request.method(), host::shown(request.uri()), is_other, error);
        }
        if !is_local(&occupant, request.headers()) && !occupant.is_tls() {
            let message =
                "a request for api.twilio.com in clear is served on the machine of the edge only: use CONNECT, or TLS";
            return refused(ApiError::new(StatusCode::FORBIDDEN, "not_proxied", message));
        }
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let Ok(path) = path.parse::<Uri>() else {
            return refused(ApiError::new(StatusCode::BAD_REQUEST, "bad_connect", "the path cannot be read"));
        };
        *request.uri_mut() = path;
        let Ok(response) = TowerToHyperService::new(self.api()).call(request).await;
        response
    }

    /// Judges `Proxy-Authorization` as `Authorization` of a request to the API is judged.
    async fn authenticate(&self, occupant: &Occupant, headers: &HeaderMap) -> Result<(), Response> {
        let given = headers.get_all(header::PROXY_AUTHORIZATION).iter();
        let given = HeaderMap::from_iter(given.map(|value| (header::AUTHORIZATION, value.clone())));
        let Gate { handle, access, .. } = &self.0.gate;
        let source = gate::client(handle, Some(occupant), headers);
        let judged = twilio::judge(handle, access, source, &given).await;
        judged.map(drop).map_err(|response| {
            if response.status() != StatusCode::UNAUTHORIZED {
                return response;
            }
            let message = "Proxy-Authorization with account SID and auth token, or a key, is needed, or is wrong";
            let error = ApiError::new(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "proxy_credentials", message);
            let mut response = refused(error);
            let value = HeaderValue::from_static("Basic realm=\"Twilio-compatible API\"");
            response.headers_mut().insert(header::PROXY_AUTHENTICATE, value);
            response
        })
    }

    /// Leads the connection to the API, once the answer to CONNECT has left.
    async fn lead_to_api(&self, host: String, occupant: Occupant, request: Request) -> Result<(), ApiError> {
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

    /// Rules for the addresses of other hosts: public ones only, and none of the edge.
    fn reach(&self) -> Reach {
        let shared = &self.0.gate.handle.shared;
        shared.running(|running| shared.own.borrow().reach(false, &running.interfaces))
    }

    fn tunnels(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.tunnels)
    }
}

/// Returns whether a client is on this machine, and no proxy has passed its request on.
fn is_local(occupant: &Occupant, headers: &HeaderMap) -> bool {
    occupant.is_loopback() && !headers.keys().any(|name| gate::is_of_proxy(name.as_str()))
}

/// Answers a CONNECT that has led somewhere.
fn established() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(ReasonPhrase::from_static(b"Connection established"));
    response.extensions_mut().insert(TunnelEstablished);
    response
}

fn off() -> ApiError {
    let message = "this edge is no proxy: set `proxy = true` and `auth_token` of [api]";
    ApiError::new(StatusCode::FORBIDDEN, "proxy_off", message)
}

/// An error that says what is wrong in its status line too: clients show no more of the answer to CONNECT.
fn refused(error: ApiError) -> Response {
    let reason = ReasonPhrase::try_from(error.message.as_bytes());
    let mut response = error.into_response();
    if let Ok(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    response
}

/// Takes what is meant for a proxy away from the paths of the listener.
pub(super) async fn intercept(State(proxy): State<Proxy>, request: Request, next: Next) -> Response {
    if request.method() == Method::CONNECT {
        return proxy.connect(request).await;
    }
    // HTTP/2, which has an authority in every request, is not spoken here.
    let is_tls = gate::occupant(&request).is_some_and(|occupant| occupant.is_tls());
    if request.version() <= Version::HTTP_11 && host::is_for_another(request.uri(), is_tls) {
        return proxy.serve_absolute(request).await;
    }
    let elsewhere = host::plain_elsewhere(request.uri()).map(|target| (request.method().clone(), target));
    let response = next.run(request).await;
    let is_refused = response.status() == StatusCode::FORBIDDEN;
    if let Some((method, target)) = elsewhere.filter(|_| is_refused && proxy.setting() != config::Proxy::Off) {
        proxy.pass_on(&method, target, RefusalReason::PlainHttp);
    }
    response
}

/// `GET /v1/twilio/ca`; with `?for=proxy` for clients of the proxy alone.
pub(super) async fn certificate(State(proxy): State<Proxy>, uri: Uri) -> Result<Response, ApiError> {
    let is_on = match uri.query() {
        Some("for=proxy") => proxy.setting() != config::Proxy::Off,
        Some(_) | None => proxy.0.gate.handle.shared.running(|running| running.config.api.stands_for_twilio()),
    };
    if !is_on {
        return Err(off());
    }
    let pem = proxy.certificates().pem().await?.to_owned();
    Ok(([(header::CONTENT_TYPE, "application/pem-certificate-chain")], pem).into_response())
}
