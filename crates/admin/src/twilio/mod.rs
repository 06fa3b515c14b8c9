//! `/2010-04-01`, and `PhoneNumbers` of Lookup: an API that is compatible with Twilio's client libraries. Names, paging
//! and errors are Twilio's; values that the edge does not have are null.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::Value;
use trunkgate_twiml::compat::routes::{self, ApiPath, NoRoute, Route};

use self::access::{AccessRefusal, ApiClient};
use self::error::Error;
use self::keys::ApiKeys;
use self::parameters::Parameters;
use super::ApiError;
use super::audio::AudioResponse;
use super::guesses::answer_late;
use trunkgate_config::{ApiSettings, Config, PhoneNumber};
use trunkgate_runtime::handle::{EdgeHandle, RunningConfig};
pub(crate) use trunkgate_runtime::http_logins::HttpInterface;
use trunkgate_system::limits::{HTTP_BODY_BYTES, HTTP_REQUEST_SECONDS};

pub(super) use self::access::ApiAccess;
pub(super) use self::log::{IgnoredParameter, ignored_parameters, show as show_log};

mod access;
mod account;
mod call_recordings;
mod calls;
mod conferences;
mod create;
mod delivery;
mod detection;
mod error;
mod keys;
mod listeners;
mod live_transcriptions;
mod log;
mod lookup;
mod messages;
mod numbers;
mod operations;
mod page;
mod parameters;
mod participants;
mod queues;
mod recordings;
mod streams;
mod text;
mod transcriptions;

pub(super) use trunkgate_twiml::compat::routes::VERSION;

/// Authenticated client of a request, with the access control that admitted it.
#[derive(Clone)]
pub(super) struct Granted {
    caller: ApiClient,
    access: ApiAccess,
    /// Address of the client, for IPv6 its /64.
    source: IpAddr,
}

/// Successful response of the Twilio-compatible API.
enum Answer {
    /// Resource, or page of a list.
    Shown(Value),
    /// JSON of a newly created resource (201).
    Created(Value),
    /// Audio of a recording.
    Audio(Box<AudioResponse>),
    /// Response in plain text.
    Text(String),
    /// The requested range is outside of the audio, which has this many bytes.
    Outside(u64),
    /// Empty response to a deletion (204).
    Deleted,
}

impl Answer {
    fn status(&self) -> StatusCode {
        match self {
            Answer::Shown(_) | Answer::Text(_) => StatusCode::OK,
            Answer::Created(_) => StatusCode::CREATED,
            Answer::Audio(audio) => audio.status(),
            Answer::Outside(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Answer::Deleted => StatusCode::NO_CONTENT,
        }
    }
}

impl From<Value> for Answer {
    fn from(json: Value) -> Answer {
        Answer::Shown(json)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Answer::Shown(json) => Json(json).into_response(),
            Answer::Created(json) => (StatusCode::CREATED, Json(json)).into_response(),
            Answer::Audio(audio) => audio.into_response(),
            Answer::Text(text) => text.into_response(),
            Answer::Outside(bytes) => {
                let error = Error::of(StatusCode::RANGE_NOT_SATISFIABLE, "The range is outside of the audio");
                ([(header::CONTENT_RANGE, format!("bytes */{bytes}"))], error).into_response()
            }
            Answer::Deleted => StatusCode::NO_CONTENT.into_response(),
        }
    }
}

/// Context of a request: the edge, the client and the requested path.
struct Asked<'a> {
    handle: &'a EdgeHandle,
    caller: &'a ApiClient,
    keys: &'a ApiKeys,
    /// SID of the edge's account.
    account: String,
    /// Name of the edge.
    edge: String,
    path: &'a str,
    query: &'a str,
}

impl Asked<'_> {
    /// Returns the path of a resource below the account; `of` begins with `/`.
    fn uri(&self, of: &str) -> String {
        format!("/{VERSION}/Accounts/{}/{of}", self.account)
    }

    /// Returns the URL of a recording's audio; `None` without `[recording]`.
    fn recording_url(&self, sid: &str) -> Option<String> {
        let links = self.handle.shared.running(|running| self.handle.recording_links(running));
        links.map(|links| links.of(sid))
    }

    /// Reads values from the configuration in force.
    fn config<T>(&self, look: impl FnOnce(&Config) -> T) -> T {
        self.handle.shared.running(|running| look(&running.config))
    }

    /// Returns a phone number in E.164 if `text` is one in a common notation, otherwise `text`.
    fn number(&self, text: &str) -> String {
        let numbers = self.config(|config| config.edge.numbers.clone());
        let number = numbers.normalise(&dialled(text), None).ok();
        number.map_or_else(|| text.to_owned(), |number| number.text)
    }

    /// Returns the time at which a number or the account was first configured; if the store has none, the start of the
    /// edge.
    fn created(&self, running: &RunningConfig, sid: &str) -> Timestamp {
        let known = running.overrides.as_ref().and_then(|all| all.get(sid)?.first_seen());
        known.unwrap_or(self.handle.shared.started_at)
    }

    /// Returns the SID of a phone number of the edge; `None` for any other number.
    fn number_sid(&self, number: &str) -> Option<String> {
        self.config(|config| config.numbers.iter().find(|one| one.number == number).map(PhoneNumber::sid))
    }
}

/// Restores a plus sign at the start of a number that decoding has turned into a space, because the client did not
/// encode it.
fn dialled(text: &str) -> String {
    match text.strip_prefix(' ') {
        Some(digits) if digits.starts_with(|first: char| first.is_ascii_digit()) => format!("+{}", digits.trim()),
        Some(_) | None => text.trim().to_owned(),
    }
}

/// Returns whether a path belongs to the Twilio-compatible API.
pub(super) fn is_path(path: &str) -> bool {
    let below = path.strip_prefix('/').and_then(|path| path.strip_prefix(VERSION));
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) || routes::lookup(path).is_some()
}

/// Responds with 404 to a proxied request for a path outside of the API.
pub(super) async fn unknown(request: Request) -> Response {
    Error::not_found(request.uri().path()).into_response()
}

/// Returns an error response in the format of the API that the path belongs to.
pub(super) fn shaped(path: &str, error: ApiError) -> Response {
    if is_path(path) { Error::of(error.status, error.message).into_response() } else { error.into_response() }
}

/// Authenticates a request by its head, before its body is read; returns the error response otherwise.
pub(super) async fn judge(
    handle: &EdgeHandle,
    access: &ApiAccess,
    source: IpAddr,
    headers: &HeaderMap,
) -> Result<Granted, Response> {
    let prepared = access.prepare(headers).await;
    let judged = handle.shared.running(|running| {
        // A changed account SID takes effect only after a restart, for the API as for agents and applications.
        let api = ApiSettings { account_sid: running.boot.api.account_sid.clone(), ..running.config.api.clone() };
        access.judge(Instant::now(), source, headers, &api)
    });
    let judged = prepared.map_err(AccessRefusal::from).and(judged);
    note(handle, source, headers, &judged);
    match judged {
        Ok(caller) => Ok(Granted { caller, access: access.clone(), source }),
        Err(refusal) => {
            log::refused(handle, source, &refusal.error);
            if refusal.is_late {
                answer_late().await;
            }
            Err(refusal.error.into_response())
        }
    }
}

/// Counts a request with wrong credentials. Without credentials it does not count, because browsers first send it
/// without any.
fn note(handle: &EdgeHandle, source: IpAddr, headers: &HeaderMap, judged: &Result<ApiClient, AccessRefusal>) {
    let is_open = || handle.shared.running(|running| running.config.api.auth_token.is_some());
    let is_wrong = |refusal: &AccessRefusal| refusal.is_late || refusal.error.status == StatusCode::UNAUTHORIZED;
    match judged {
        Ok(_) => handle.shared.logins.passed(HttpInterface::Api, source),
        Err(refusal) if !is_wrong(refusal) || !headers.contains_key(header::AUTHORIZATION) => {}
        Err(_) if is_open() => handle.shared.logins.failed(Instant::now(), HttpInterface::Api, source),
        Err(_) => {}
    }
}

/// Answers a request of an authenticated client.
pub(super) async fn serve(State(handle): State<EdgeHandle>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (account, edge) =
        handle.shared.running(|running| (running.boot.api.account_sid.clone(), running.boot.edge.name.to_string()));
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let Some(Granted { caller, access, source }) = parts.extensions.get::<Granted>() else {
        return Error::unauthorized("the request was not authenticated").into_response();
    };
    let watch = log::RequestTimer::begin(&parts.method, (path, query), Some(*source), caller);
    let cx = Asked { handle: &handle, caller, keys: access.keys(), account, edge, path, query };
    let is_strict = handle.shared.running(|running| running.config.api.strict);
    let answered = async {
        let body = read(&parts.headers, body).await?;
        // The key may have been deleted while the body arrived.
        if caller.is_key() && !access.keys().is_there(caller.key()) {
            return Err(Error::unauthorized("the key was deleted"));
        }
        let parameters = Parameters::read(&parts, &body, is_strict)?;
        let names = parameters.ignored();
        let answered = answer(&cx, &parts, parameters).await;
        Ok((answered, names.names()))
    };
    let (answered, ignored) = match answered.await {
        Ok((answered, ignored)) => (answered, ignored),
        Err(error) => (Err(error), Vec::new()),
    };
    watch.end(&handle, &answered, ignored).await;
    answered.map_or_else(IntoResponse::into_response, IntoResponse::into_response)
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Error> {
    // A Content-Length above the limit is rejected at once. A client that waits for 100 Continue then sends no body;
    // any other client is already sending, and would lose the response if the connection were closed.
    if body.size_hint().lower() > HTTP_BODY_BYTES as u64 {
        if !headers.contains_key(header::EXPECT) {
            tokio::spawn(tokio::time::timeout(Duration::from_secs(HTTP_REQUEST_SECONDS), discard(body)));
        }
        return Err(Error::too_large(HTTP_BODY_BYTES));
    }
    let bytes = to_bytes(body, HTTP_BODY_BYTES).await;
    bytes.map(Vec::from).map_err(|_| Error::too_large(HTTP_BODY_BYTES))
}

/// Reads and discards the rest of a rejected body.
async fn discard(mut body: Body) {
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
}

/// Returns the operation that a request asks for, with the parts of its path; the error means that it is unknown or not
/// permitted for the client.
fn route<'p>(cx: &Asked<'p>, method: &Method) -> Result<Route<'p>, Error> {
    let no_route = |reason: NoRoute| match reason {
        NoRoute::OtherMethod => Error::method(method.as_str(), cx.path),
        NoRoute::Later(operation) => Error::later(&operation),
        NoRoute::Unknown => Error::not_found(cx.path),
    };
    if let Some(found) = routes::lookup(cx.path) {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        return if is_read { Ok(found) } else { Err(no_route(NoRoute::OtherMethod)) };
    }
    let is_own = |path: &ApiPath<'_>| path.account().is_none_or(|sid| sid == cx.account);
    let path = ApiPath::parse(cx.path).filter(is_own).ok_or_else(|| Error::not_found(cx.path))?;
    match path.list() {
        None if cx.caller.is_key() => Err(Error::standard_key("the account resource")),
        Some("Keys") if cx.caller.is_key() => Err(Error::standard_key("API keys")),
        None | Some(_) => path.route(method.as_str()).map_err(no_route),
    }
}

async fn answer(cx: &Asked<'_>, request: &Parts, mut parameters: Parameters) -> Result<Answer, Error> {
    let Route { operation, named } = route(cx, &request.method)?;
    parameters.judge(operation)?;
    operations::answer(cx, operation.endpoint, named, &request.headers, parameters).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_api_are_known() {
        for path in ["/2010-04-01", "/2010-04-01/Accounts.json", "/v1/PhoneNumbers/+1415", "/v2/PhoneNumbers/x"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["/2010-04-011", "/v1/PhoneNumbers", "/v1/status", "/v2", "/", ""] {
            assert!(!is_path(path), "{path}");
        }
    }

    #[test]
    fn a_plus_sign_that_was_not_encoded_is_one() {
        for (given, meant) in [
            (" 14155550100", "+14155550100"),
            (" 1 (415) 555", "+1 (415) 555"),
            ("+1415", "+1415"),
            (" x", "x"),
            ("1 ", "1"),
        ] {
            assert_eq!(dialled(given), meant);
        }
    }
}
