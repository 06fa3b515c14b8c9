//! Results of application queries, with their representation in traces.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::header::CONTENT_TYPE;
use trunkgate_call::AppAnswer;
use trunkgate_call::redact;
use trunkgate_call::trace::{WebhookExchange, WebhookTry};

use crate::own_recordings::OwnRecordings;
use trunkgate_config::{Secret, SpeechSettings};
use trunkgate_delivery::webhooks::outcome::{WebhookAttempt, WebhookFailure, WebhookReply};
use trunkgate_system::limits::APP_BODY_SHOWN_CHARS;
use trunkgate_system::reach::ReachRules;

/// Twilio's error code for a document that could not be fetched (11200).
pub(super) const NOT_FETCHED: u16 = 11_200;
/// Prefix of audio media types; such a body is not shown in traces.
const AUDIO: &str = "audio/";

/// Result of a query, with its HTTP request, if any.
pub(super) type AppQueryResult = (AppAnswer, Option<WebhookExchange>);

/// Settings for one query, copied from the configuration when the query was made.
pub(super) struct AppQuerySettings {
    /// Name of the application, used to share concurrency limits.
    pub(super) app: Arc<str>,
    pub(super) auth_token: Option<Secret>,
    pub(super) speech: Option<SpeechSettings>,
    pub(super) folder: PathBuf,
    /// Audio of an application that is a sound file; `None` for other applications.
    pub(super) sound: Option<Arc<[u8]>>,
    pub(super) reach: ReachRules,
    /// Recordings that a document may refer to by URL.
    pub(super) own: OwnRecordings,
}

pub(super) fn failed(code: u16, text: String) -> AppAnswer {
    AppAnswer::Failed { code, text }
}

/// Returns the result for a document that was fetched, with the HTTP request for the trace.
pub(super) fn taken(purpose: &str, method: &str, reply: WebhookReply) -> AppQueryResult {
    let content_type = reply.answer.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let media_type = reply.answer.media_type();
    let body = match media_type.starts_with(AUDIO) {
        true => of_audio(&media_type, reply.answer.body.len()),
        false => shown(&reply.answer.body),
    };
    let webhook = webhook(purpose, method, &reply.attempts, None, body);
    let url = (reply.redirects > 0).then_some(reply.final_url);
    (AppAnswer::Document { url, content_type, body: reply.answer.body, told: String::new() }, Some(webhook))
}

/// Returns the result for a document that could not be fetched, or a callback that failed.
pub(super) fn refused(purpose: &str, method: &str, failure: &WebhookFailure) -> AppQueryResult {
    let what = match failure.attempts.as_slice() {
        // All attempts failed for the same reason.
        [WebhookAttempt { url, result: Err(what), .. }, others @ ..]
            if *what == failure.what
                && others.iter().all(|one| one.url == *url && one.result.as_ref().err() == Some(what)) =>
        {
            let tries = if others.is_empty() { String::new() } else { format!(", {} tries", others.len() + 1) };
            format!("{what} ({url}{tries})")
        }
        attempts => format!("{} ({})", failure.what, told_of(attempts)),
    };
    let code = code_of(failure);
    (failed(code, format!("{purpose} {method}: {what}")), Some(of_failure(purpose, method, failure)))
}

/// Returns the result for a sound URL that could not be fetched; `name` is the URL as displayed.
pub(super) fn unheard(name: &str, failure: &WebhookFailure) -> AppQueryResult {
    (failed(code_of(failure), format!("{name}: {}", failure.what)), Some(of_failure("play", "GET", failure)))
}

fn code_of(failure: &WebhookFailure) -> u16 {
    u16::try_from(failure.code).unwrap_or(NOT_FETCHED)
}

/// Returns a webhook request for a text message in the form shown by `/v1/api`.
pub(crate) fn of_result(purpose: &str, method: &str, result: &Result<WebhookReply, WebhookFailure>) -> WebhookExchange {
    match result {
        Ok(reply) => webhook(purpose, method, &reply.attempts, None, shown(&reply.answer.body)),
        Err(failure) => of_failure(purpose, method, failure),
    }
}

fn of_failure(purpose: &str, method: &str, failure: &WebhookFailure) -> WebhookExchange {
    let body = failure.answer.as_ref().map(|answer| match answer.media_type() {
        audio if audio.starts_with(AUDIO) => audio,
        _ => shown(&answer.body),
    });
    let body = body.unwrap_or_default();
    webhook(purpose, method, &failure.attempts, Some(code_of(failure)), body)
}

/// Returns a request in the form shown in traces.
pub(super) fn webhook(
    purpose: &str,
    method: &str,
    attempts: &[WebhookAttempt],
    error: Option<u16>,
    body: String,
) -> WebhookExchange {
    let tries = attempts.iter().map(|attempt| WebhookTry {
        url: attempt.url.clone(),
        remote: attempt.remote.map(|remote| remote.to_string()),
        status: attempt.result.as_ref().ok().copied(),
        failure: attempt.result.as_ref().err().or(attempt.refused_redirect.as_ref()).cloned(),
        duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
        cookies: attempt.cookies.clone(),
    });
    WebhookExchange {
        purpose: purpose.to_owned(),
        method: method.to_owned(),
        tries: tries.collect(),
        attempt: None,
        error,
        body,
    }
}

/// Describes an audio body for traces.
pub(super) fn of_audio(media_type: &str, bytes: usize) -> String {
    format!("{media_type}, {bytes} bytes")
}

/// Describes the attempts of a request in order.
fn told_of(attempts: &[WebhookAttempt]) -> String {
    let one = |attempt: &WebhookAttempt| {
        let result = attempt.result.as_ref().map_or_else(Clone::clone, u16::to_string);
        let remote = attempt.remote.map(|remote| format!(" ({remote})")).unwrap_or_default();
        format!("{}{remote}: {result} after {} ms", attempt.url, attempt.duration.as_millis())
    };
    attempts.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Returns the beginning of a body for traces. Secrets in addresses are masked first, because a truncated address could
/// be mistaken for a host.
fn shown(body: &[u8]) -> String {
    let text = redact::addresses(String::from_utf8_lossy(body).into_owned());
    let mut chars = text.trim().chars();
    let shown: String = chars.by_ref().take(APP_BODY_SHOWN_CHARS).collect();
    if chars.next().is_some() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_shows_the_beginning_of_a_body() {
        assert_eq!(shown(b" <Response/>\n"), "<Response/>");
        let long = shown("ä".repeat(APP_BODY_SHOWN_CHARS + 1).as_bytes());
        assert_eq!((long.chars().count(), long.ends_with('…')), (APP_BODY_SHOWN_CHARS + 1, true));
        assert_eq!(shown(b"\xff"), "\u{fffd}");
        let front = "x".repeat(APP_BODY_SHOWN_CHARS - "https://u:S3".len());
        let cut = shown(format!("{front}https://u:S3CRET@host/a").as_bytes());
        assert!(cut.ends_with("xhttps://host…"), "{cut}");
    }
}
