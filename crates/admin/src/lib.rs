//! HTTP interface: console, health, metrics, status, calls and their control, reload and drain. It runs on the
//! auxiliary thread and sends requests to the signalling loop, which never waits for it.

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use axum::{Extension, Json, Router};
use serde_json::json;

use self::host_certificates::HostCertificates;
use self::listener::ListenerCertificates;
use trunkgate_runtime::handle::{EdgeHandle, SignallingEnded};
use trunkgate_system::limits;

mod agent_problems;
mod agents;
mod answers;
mod asked;
mod audio;
mod calls;
mod calls_csv;
mod conferences;
mod console;
mod control;
mod events;
mod exposition;
mod forks;
mod forwarded;
mod gate;
mod guesses;
mod health;
mod host_certificates;
mod listener;
mod listening;
mod metrics;
mod mute;
mod originate;
mod outages;
mod overview;
mod parties;
mod places;
mod process;
mod proxy;
mod quality;
mod queues;
mod recognition;
mod recording;
mod recordings;
mod request_line;
mod siprec;
mod sms;
mod status;
mod summary;
mod traces;
mod trunk_problems;
mod twilio;
mod voicemail;
mod way;
mod work;

pub use calls::{MARKED, OUTCOMES, STATES};
pub use status::StatusReport;
pub use status::watch as watch_problems;

/// Error response of the API, always JSON.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { status, code, message: message.into() }
    }
}

impl From<SignallingEnded> for ApiError {
    fn from(gone: SignallingEnded) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", gone.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": { "code": self.code, "message": self.message } }));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Serves HTTP until the task is aborted. `api` is the socket of the TLS listener of `[api]`.
pub async fn serve(http: std::net::TcpListener, api: Option<std::net::TcpListener>, handle: EdgeHandle) {
    if let Err(error) = serve_sockets(http, api, handle).await {
        tracing::error!(
            "the HTTP API, metrics and console are not available: {error}; calls are not affected, restart the edge"
        );
    }
}

async fn serve_sockets(
    http: std::net::TcpListener,
    api_socket: Option<std::net::TcpListener>,
    handle: EdgeHandle,
) -> std::io::Result<()> {
    let http = tokio::net::TcpListener::from_std(http)?;
    let api_socket = api_socket.map(tokio::net::TcpListener::from_std).transpose()?;
    let tickets = listening::AudioCookieKey::new().map_err(std::io::Error::other)?;
    let work = work::RequestThread::start().map_err(std::io::Error::other)?;
    let places = places::HttpSlots::new(std::sync::Arc::clone(&handle.shared.http));
    let directory = handle.shared.running(|running| running.boot.data.directory.clone());
    let certificates = std::sync::Arc::new(HostCertificates::new(directory));
    let guesses = guesses::GuessLimiter::default();
    let access = twilio::ApiAccess::new(handle.store.clone(), guesses.clone());
    let gate = gate::AccessControl { handle: handle.clone(), access, guesses, tickets: tickets.clone() };
    let api = api(handle.clone(), gate.clone());
    let proxy = proxy::ApiProxy::new(gate.clone(), api.clone(), std::sync::Arc::clone(&certificates));
    let of_http = ListenerCertificates::Http(handle.shared.tls.subscribe());
    let listener = listener::LimitedListener::new(http, of_http, places.clone());
    let served = listener.serve(router(handle, (tickets, work), gate, proxy));
    match api_socket {
        Some(socket) => {
            let listener = listener::LimitedListener::new(socket, ListenerCertificates::Api(certificates), places);
            tokio::join!(served, listener.serve(api));
        }
        None => served.await,
    }
    Ok(())
}

/// Builds the router of the HTTP listener with all paths.
fn router(
    handle: EdgeHandle,
    (tickets, work): (listening::AudioCookieKey, work::RequestThread),
    gate: gate::AccessControl,
    proxy: proxy::ApiProxy,
) -> Router {
    let console = console::paths().fold(Router::new(), |router, path| router.route(path, get(console::serve)));
    console
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/status", get(status::status))
        .route("/v1/trunks", get(parties::trunks))
        .route("/v1/agents", get(agents::list))
        .route("/v1/calls", get(calls::list).post(originate::begin))
        .route("/v1/calls/{sid}", get(calls::show).delete(calls::hang_up))
        .route("/v1/calls/{sid}/kept", get(traces::kept))
        .route("/v1/calls/{sid}/trace", get(traces::json))
        .route("/v1/calls/{sid}/trace.txt", get(traces::text))
        .route("/v1/calls/{sid}/trace.svg", get(traces::svg))
        .route("/v1/calls/{sid}/trace.pcapng", get(traces::capture))
        .route("/v1/calls/{sid}/quality", get(quality::show))
        .route("/v1/calls/{sid}/quality.csv", get(quality::table))
        .route("/v1/calls/{sid}/forks", get(forks::list).post(forks::begin))
        .route("/v1/calls/{sid}/forks/{id}", delete(forks::end))
        .route("/v1/calls/{sid}/transfer", post(control::transfer))
        .route("/v1/calls/{sid}/dtmf", post(control::dtmf))
        .route("/v1/calls/{sid}/hold", post(control::hold))
        .route("/v1/calls/{sid}/resume", post(control::resume))
        .route("/v1/calls/{sid}/play", post(control::play))
        .route("/v1/calls/{sid}/recording", post(recording::change))
        .route("/v1/calls/{sid}/siprec", post(siprec::change))
        .route("/v1/recordings", get(recordings::list))
        .route("/v1/recordings/{sid}", get(recordings::show).delete(recordings::remove))
        .route("/v1/recordings/{sid}/audio", get(recordings::audio))
        .route("/v1/recordings/{sid}/listen", post(listening::begin))
        .route("/v1/recordings/{sid}/peaks", get(recordings::peaks))
        .route("/v1/recordings/{sid}/verify", post(recordings::verify))
        .route("/v1/voicemail", get(voicemail::list))
        .route("/v1/voicemail/{name}/heard", post(voicemail::heard))
        .route("/v1/queues", get(queues::list))
        .route("/v1/conferences", get(conferences::list))
        .route("/v1/conferences/{sid}/end", post(conferences::end))
        .route("/v1/conferences/{sid}/parties/{call}/{action}", post(conferences::change))
        .merge(twilio_paths())
        .route(gate::CA_PATH, get(proxy::certificate).with_state(proxy.clone()))
        .route("/sms/inbound", post(sms::inbound))
        .route("/sms/status", post(sms::status))
        .route("/v1/api", get(twilio::show_log))
        .route("/v1/events", get(events::follow))
        .route("/v1/history", get(overview::history))
        .route("/v1/routes", get(overview::routes))
        .route("/v1/security", get(overview::security))
        .route("/v1/why", get(status::why))
        .route("/v1/warnings", get(status::warnings))
        .route("/v1/reload", post(status::reload))
        .route("/v1/drain", post(status::drain))
        .route("/v1/upgrade", post(status::upgrade))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(Extension(tickets))
        .layer(Extension(recordings::OneWaveform::default()))
        .layer(middleware::from_fn_with_state(work, work::off_thread))
        .layer(middleware::from_fn_with_state(gate, gate::check))
        .layer(middleware::from_fn_with_state(proxy, proxy::intercept))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::map_response(as_typed))
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES))
        .with_state(handle)
}

/// Builds the router of the Twilio-compatible API.
fn twilio_paths() -> Router<EdgeHandle> {
    Router::new()
        .route("/2010-04-01", any(twilio::serve))
        .route("/2010-04-01/", any(twilio::serve))
        .route("/2010-04-01/{*path}", any(twilio::serve))
        .route("/v1/PhoneNumbers/{*number}", any(twilio::serve))
        .route("/v2/PhoneNumbers/{*number}", any(twilio::serve))
}

/// Builds the router for clients that reach the edge as api.twilio.com or lookups.twilio.com, through the proxy or at
/// the TLS listener. It has only the Twilio-compatible API, with the usual access control and limits.
fn api(handle: EdgeHandle, gate: gate::AccessControl) -> Router {
    twilio_paths()
        .layer(middleware::from_fn_with_state(gate, gate::check))
        .fallback(twilio::unknown)
        .layer(middleware::from_fn(in_time))
        .layer(middleware::map_response(as_typed))
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES))
        .with_state(handle)
}

async fn unknown_path(State(_): State<EdgeHandle>, request: Request) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("unknown path {}", request.uri().path()))
}

async fn wrong_method(State(_): State<EdgeHandle>, request: Request) -> ApiError {
    let message = format!("{} does not support {}", request.uri().path(), request.method());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// Adds the header that disables content sniffing in browsers.
async fn as_typed(mut response: Response) -> Response {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Limits the time of a request; after it, the client gets an error.
async fn in_time(request: Request, next: Next) -> Response {
    let limit = Duration::from_secs(limits::HTTP_REQUEST_SECONDS);
    let path = request.uri().path().to_owned();
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("no answer within {} s", limits::HTTP_REQUEST_SECONDS);
            twilio::shaped(&path, ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message))
        }
    }
}
