//! Log of requests to the API, their entries in traces of calls, and `GET /v1/api`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use jiff::Timestamp;
use serde::Serialize;
use trunkgate_call::CallAction;
use trunkgate_call::trace::WebhookExchange;
use trunkgate_twiml::compat::parameter_names::meant;
use trunkgate_twiml::compat::requests::LATER;
use trunkgate_twiml::compat::routes::lookup;

use super::Answer;
use super::access::ApiClient;
use super::error::{Error, shown};
use trunkgate_delivery::sinks::callbacks::{CallbackCounts, LastFailure};
use trunkgate_runtime::api_log::{ApiLogContents, ApiRequest};
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_runtime::message_log::MessageRequest;
use trunkgate_system::clock;
use trunkgate_system::limits::API_IGNORED_SHOWN;

/// Names of resources that the log distinguishes.
const RESOURCES: [&str; 6] = ["Calls", "IncomingPhoneNumbers", "Keys", "Messages", "PhoneNumbers", "Recordings"];
/// Name of the account resource in the log.
const ACCOUNT: &str = "Accounts";
/// Name in the log for requests that failed authentication.
const AUTHENTICATION: &str = "authentication";
/// Name in the log for requests to all other resources.
const OTHER: &str = "other";

/// Request in progress, timed from its head to its response.
pub(super) struct RequestTimer {
    began: Instant,
    method: Method,
    /// Path of the request below the account, or of a lookup below its version.
    path: String,
    query: String,
    source: Option<IpAddr>,
    key: Option<String>,
}

impl RequestTimer {
    /// Starts timing a request of an authenticated client.
    pub(super) fn begin(
        method: &Method,
        (path, query): (&str, &str),
        source: Option<IpAddr>,
        caller: &ApiClient,
    ) -> RequestTimer {
        let above = if lookup(path).is_some() { 1 } else { 3 };
        let parts = path.split('/').filter(|part| !part.is_empty()).skip(above).collect::<Vec<_>>().join("/");
        let key = Some(caller.key()).filter(|sid| !sid.is_empty()).map(str::to_owned);
        let (path, query) = (shown(&parts), shown(query));
        RequestTimer { began: Instant::now(), method: method.clone(), path, query, source, key }
    }

    /// Adds a completed request to the log, and to the trace of the call that it concerns.
    pub(super) async fn end(self, handle: &EdgeHandle, answered: &Result<Answer, Error>, ignored: Vec<String>) {
        let (status, code) = match answered {
            Ok(answer) => (answer.status().as_u16(), None),
            Err(error) => (error.status.as_u16(), Some(error.code)),
        };
        let name = self.path.split(['/', '.']).next().unwrap_or_default();
        let known = RESOURCES.into_iter().chain(LATER).find(|known| *known == name);
        let resource = if name.is_empty() { ACCOUNT } else { known.unwrap_or(OTHER) };
        let call = call_of(&self.path, answered);
        if self.method == Method::POST
            && let Some(sid) = call.clone()
        {
            let code = code.map(|code| format!(", code {code}")).unwrap_or_default();
            let text = format!("API request {} {}: {status}{code}{}", self.method, self.path, in_words(&ignored));
            let _ = handle.change_call(sid, CallAction::NoteRequest(text)).await;
        }
        handle.shared.api.add(ApiRequest {
            at: clock::now(),
            method: self.method.to_string(),
            path: self.path,
            query: self.query,
            resource,
            status,
            code,
            message: answered.as_ref().err().map(|error| error.message().to_owned()),
            call,
            took: self.began.elapsed(),
            source: self.source,
            key: self.key,
            ignored,
        });
    }
}

/// Formats ignored parameters as the end of a sentence; empty without any.
fn in_words(ignored: &[String]) -> String {
    if ignored.is_empty() {
        return String::new();
    }
    let shown = ignored.iter().take(API_IGNORED_SHOWN).map(|name| suggested(name)).collect::<Vec<_>>().join(", ");
    match ignored.len().saturating_sub(API_IGNORED_SHOWN) {
        0 => format!("; ignored: {shown}"),
        more => format!("; ignored: {shown} and {more} more"),
    }
}

/// Formats the name of an ignored parameter, with the most similar known name.
fn suggested(name: &str) -> String {
    meant(name).map_or_else(|| name.to_owned(), |meant| format!("{name} (did you mean {meant}?)"))
}

/// Logs a request that failed authentication.
pub(super) fn refused(handle: &EdgeHandle, source: IpAddr, error: &Error) {
    handle.shared.api.add(ApiRequest {
        at: clock::now(),
        method: String::new(),
        path: String::new(),
        query: String::new(),
        resource: AUTHENTICATION,
        status: error.status.as_u16(),
        code: Some(error.code),
        message: Some(error.message().to_owned()),
        call: None,
        took: std::time::Duration::ZERO,
        source: Some(source),
        key: None,
        ignored: Vec::new(),
    });
}

/// Returns the SID of the call that a request concerns or has created; `None` for other requests.
fn call_of(path: &str, answered: &Result<Answer, Error>) -> Option<String> {
    let below = path.strip_prefix("Calls")?;
    let sid = below.strip_prefix('/').and_then(|rest| rest.split(['/', '.']).next()).filter(|sid| !sid.is_empty());
    let made = || match answered {
        Ok(Answer::Created(json)) => json["sid"].as_str(),
        Ok(Answer::Shown(_) | Answer::Text(_) | Answer::Audio(_) | Answer::Outside(_) | Answer::Deleted) | Err(_) => {
            None
        }
    };
    sid.or_else(made).map(str::to_owned)
}

/// API request log as shown by `GET /v1/api`.
#[derive(Debug, Serialize)]
pub(crate) struct ShownLog {
    /// Whether `[api] auth_token` is set.
    open: bool,
    /// Account SID of the API (`[api] account_sid`).
    account_sid: String,
    /// Requests since the start.
    counts: Vec<ShownCount>,
    /// Latest 100 requests to webhooks of text messages, the newest first.
    message_webhooks: Vec<ShownMessageRequest>,
    /// Ignored parameters of requests since the start, the most frequent first, at most 100.
    ignored_parameters: Vec<IgnoredParameter>,
    /// Last callback of each application whose attempt failed.
    callback_errors: Vec<ShownCallbackError>,
    /// Latest 200 authenticated requests, the newest first.
    requests: Vec<ShownRequest>,
    /// Latest 100 requests that failed, and 100 without valid credentials, the newest first.
    failures: Vec<ShownRequest>,
}

/// Requests with the same resource and status.
#[derive(Debug, Serialize)]
struct ShownCount {
    /// `Accounts`, `Calls`, `Keys`, `Messages`, `PhoneNumbers` (Lookup) …; `authentication`: failed; `other`.
    resource: &'static str,
    /// HTTP status.
    status: u16,
    /// Number of requests.
    count: u64,
}

/// Request to a webhook of text messages.
#[derive(Debug, Serialize)]
struct ShownMessageRequest {
    /// Time of the response.
    at: String,
    /// SID of the message.
    message: String,
    /// Number of the edge that received the message.
    number: String,
    /// Code of the [error](codes.md).
    code: Option<u32>,
    /// Cause of the error.
    cause: Option<String>,
    /// Request and response, as in a [trace](../operate/traces.md), without addresses.
    webhook: WebhookExchange,
}

/// Failed callback.
#[derive(Debug, Serialize)]
struct ShownCallbackError {
    /// Name of the application; `api` for URLs given in API requests.
    app: Arc<str>,
    /// Code of the [error](codes.md).
    code: u32,
    /// Cause, with the URL without its query.
    message: String,
    /// SID of the call that the callback is about.
    call: Option<String>,
    /// Time of the attempt.
    at: String,
    /// Time of the next attempt; null if no attempt is pending.
    next_at: Option<String>,
}

/// API request to which the edge has responded.
#[derive(Debug, Serialize)]
struct ShownRequest {
    /// Time of the response.
    at: String,
    /// HTTP method; empty, like `path`, for a request without valid credentials.
    method: String,
    /// Path below the account, or of a lookup below its version.
    path: String,
    /// Query of a GET, 160 characters.
    query: String,
    /// Resource, as in `counts`.
    resource: &'static str,
    /// HTTP status.
    status: u16,
    /// Twilio's error code; null for a success.
    code: Option<u32>,
    /// Message of the error; null for a success.
    message: Option<String>,
    /// SID of the call that the request concerned or created.
    call: Option<String>,
    /// Duration of the request, in milliseconds.
    ms: f64,
    /// Address of the client (in IPv6 its /64).
    source: Option<IpAddr>,
    /// SID of the API key that authenticated the request; null for the account's auth token.
    key: Option<String>,
    /// Names of the request's ignored parameters.
    ignored: Vec<String>,
}

impl From<ApiRequest> for ShownRequest {
    fn from(one: ApiRequest) -> ShownRequest {
        ShownRequest {
            at: dated(one.at),
            method: one.method,
            path: one.path,
            query: one.query,
            resource: one.resource,
            status: one.status,
            code: one.code,
            message: one.message,
            call: one.call,
            ms: (one.took.as_secs_f64() * 1_000_000.0).round() / 1000.0,
            source: one.source,
            key: one.key,
            ignored: one.ignored,
        }
    }
}

fn dated(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Returns the log of requests (`GET /v1/api`): the latest ones, and the numbers of all.
pub(crate) async fn show(State(handle): State<EdgeHandle>) -> Json<ShownLog> {
    let ApiLogContents { latest, failed, refused, counts, .. } = handle.shared.api.requests();
    let mut failures: Vec<ApiRequest> = failed.into_iter().chain(refused).collect();
    failures.sort_by_key(|one| std::cmp::Reverse(one.at));
    let (open, account_sid) = handle
        .shared
        .running(|running| (running.config.api.auth_token.is_some(), running.boot.api.account_sid.clone()));
    let count = |((resource, status), count): ((&'static str, u16), u64)| ShownCount { resource, status, count };
    let last = |(app, counts): (Arc<str>, CallbackCounts)| {
        let LastFailure { code, what: message, call, at, next } = counts.last?;
        let call = Some(call).filter(|sid| !sid.is_empty());
        // The callback was delivered since, so there is no next attempt.
        let next_at = next.filter(|_| counts.waiting > 0).map(dated);
        Some(ShownCallbackError { app, code, message, call, at: dated(at), next_at })
    };
    let message = |one: MessageRequest| {
        let MessageRequest { at, message, number, failure, webhook } = one;
        let (code, cause) = failure.unzip();
        ShownMessageRequest { at: dated(at), message, number, code, cause, webhook }
    };
    Json(ShownLog {
        open,
        account_sid,
        counts: counts.into_iter().map(count).collect(),
        message_webhooks: handle.shared.message_webhooks.latest().into_iter().map(message).collect(),
        ignored_parameters: ignored_parameters(&handle),
        callback_errors: handle.shared.callbacks.counts().into_iter().filter_map(last).collect(),
        requests: latest.into_iter().map(ShownRequest::from).collect(),
        failures: failures.into_iter().map(ShownRequest::from).collect(),
    })
}

/// Parameter that was ignored in requests.
#[derive(Debug, Serialize)]
pub struct IgnoredParameter {
    /// Name of the parameter.
    name: String,
    /// Number of requests with the parameter.
    count: u64,
    /// Known parameter with a similar name: one letter differs, or two letters are swapped; null if there is none.
    meant: Option<&'static str>,
}

/// Returns the parameters ignored since the start, most frequent first.
pub(crate) fn ignored_parameters(handle: &EdgeHandle) -> Vec<IgnoredParameter> {
    let named = handle.shared.api.ignored().into_iter();
    named.map(|(name, count)| IgnoredParameter { meant: meant(&name), name, count }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_call_of_a_request_is_found() {
        let shown = Ok(Answer::Shown(json!({})));
        let made = Ok(Answer::Created(json!({ "sid": "CA2" })));
        assert_eq!(call_of("Calls/CA1.json", &shown).as_deref(), Some("CA1"));
        assert_eq!(call_of("Calls/CA1/Streams.json", &made).as_deref(), Some("CA1"));
        assert_eq!(call_of("Calls.json", &made).as_deref(), Some("CA2"));
        assert_eq!(call_of("Calls.json", &shown), None);
        assert_eq!(call_of("Keys.json", &made), None);
    }
}
