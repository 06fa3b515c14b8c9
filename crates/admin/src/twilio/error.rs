//! Errors of the Twilio-compatible API in Twilio's format: `{"code","message","more_info","status"}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use trunkgate_call::RequestRefusal;
use trunkgate_call::numbers::plain;

use trunkgate_runtime::handle::SignallingEnded;
use trunkgate_runtime::placing::ApiCallError;

/// Maximum length of a request's text quoted in an error, in characters; long enough for the path of a call's stream.
const SHOWN_CHARS: usize = 160;

/// Error response of the API with Twilio's code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Error {
    pub(super) status: StatusCode,
    pub(super) code: u32,
    message: String,
    /// Value of `Retry-After`, in seconds.
    retry_after: Option<u64>,
}

impl Error {
    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Error {
        Error { status, code, message: message.into(), retry_after: None }
    }

    /// Returns the message of the error.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Creates an error that corresponds to an HTTP status: code 20000 plus the status.
    pub(super) fn of(status: StatusCode, message: impl Into<String>) -> Error {
        Error::new(status, 20_000 + u32::from(status.as_u16()), message)
    }

    /// Creates the error for a malformed request or an invalid value (20001).
    pub(super) fn bad_request(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 20_001, message)
    }

    /// Creates the error for a wrong account SID or auth token (20003).
    pub(super) fn unauthorized(message: &str) -> Error {
        Error::new(StatusCode::UNAUTHORIZED, 20_003, format!("Authenticate: {message}"))
    }

    /// Creates the error for an API key that requests a resource of the auth token (20003).
    pub(super) fn standard_key(what: &str) -> Error {
        Error::unauthorized(&format!("a standard API key has no access to {what}: use account SID and auth token"))
    }

    /// Creates the error for a store that cannot be read or written (20503).
    pub(super) fn store(error: &std::io::Error) -> Error {
        tracing::error!("a request to the Twilio-compatible API got 503, because the store cannot be used: {error}");
        let message = "The store of the edge cannot be used: see the log of the edge";
        Error::new(StatusCode::SERVICE_UNAVAILABLE, 20_503, message)
    }

    /// Creates the error for a recording with audio that cannot be read (20503).
    pub(super) fn unreadable(sid: &str, why: &dyn std::fmt::Display) -> Error {
        tracing::error!(
            reason = "recording_failed",
            "a request for the audio of {sid} got 503, because the file cannot be read: {why}"
        );
        let message = "The audio of the recording cannot be read; the log of the edge has the cause";
        Error::new(StatusCode::SERVICE_UNAVAILABLE, 20_503, message)
    }

    /// Creates the error for a method that the resource does not support (20004).
    pub(super) fn method(method: &str, path: &str) -> Error {
        let message = format!("Method not allowed: {} does not support {}", shown(path), shown(method));
        Error::new(StatusCode::METHOD_NOT_ALLOWED, 20_004, message)
    }

    /// Creates the error for an unknown resource (20404).
    pub(super) fn not_found(path: &str) -> Error {
        let message = format!("The requested resource {} was not found", shown(path));
        Error::new(StatusCode::NOT_FOUND, 20_404, message)
    }

    /// Creates the error for a body of more than `most` bytes (20413).
    pub(super) fn too_large(most: usize) -> Error {
        Error::new(StatusCode::PAYLOAD_TOO_LARGE, 20_413, format!("The body exceeds {most} bytes"))
    }

    /// Creates the error for an exceeded rate limit (20429); the next request is permitted after `seconds`.
    pub(super) fn too_many(message: impl Into<String>, seconds: u64) -> Error {
        let error = Error::new(StatusCode::TOO_MANY_REQUESTS, 20_429, message);
        Error { retry_after: Some(seconds), ..error }
    }

    /// Creates the error for a call to coach that is not in the conference (13240).
    pub(super) fn none_to_coach() -> Error {
        let message = "CallSidToCoach: not a participant of the conference";
        Error::new(StatusCode::BAD_REQUEST, 13_240, message)
    }

    /// Creates the error for the name of a queue that exists already (22003).
    pub(super) fn queue_exists(name: &str) -> Error {
        let message = format!("A queue with the name {} already exists", shown(name));
        Error::new(StatusCode::BAD_REQUEST, 22_003, message)
    }

    /// Creates the error for a call that has ended (21220).
    pub(super) fn call_ended() -> Error {
        let message = "Call is not in-progress. Cannot redirect or end it: the call has ended";
        Error::new(StatusCode::BAD_REQUEST, 21_220, message)
    }

    /// Creates the error for an invalid URL (21205).
    pub(super) fn bad_url(name: &str, what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_205, format!("{name}: {}", shown(what)))
    }

    /// Creates the error for an invalid URL of a call (21205); `what` is a sentence that names the parameter.
    pub(super) fn unusable_url(what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_205, what)
    }

    /// Creates the error for a call without a document (21205).
    pub(super) fn no_url() -> Error {
        Error::bad_url("Url", "Url or Twiml is required")
    }

    /// Creates the error for an invalid URL of a phone number (21402).
    pub(super) fn number_url(what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_402, what)
    }

    /// Creates the error for a method of a phone number other than GET and POST (21403).
    pub(super) fn number_method(name: &str, value: &str) -> Error {
        Error::new(
            StatusCode::BAD_REQUEST,
            21_403,
            format!("{name}: \"{}\" is not supported: use one of GET, POST", shown(value)),
        )
    }

    /// Creates the error for a fallback URL of a phone number without a primary one (21405).
    pub(super) fn fallback_alone() -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_405, "VoiceFallbackUrl cannot be set without VoiceUrl")
    }

    /// Creates the error for a rejected message, with Twilio's code.
    pub(super) fn of_message(code: u32, what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, code, what)
    }

    /// Creates the error for a recipient that has opted out of messages (21610).
    pub(super) fn opted_out(recipient: &str) -> Error {
        Error::of_message(21_610, &format!("Attempt to send to unsubscribed recipient {recipient}"))
    }

    /// Creates the error for a recording that is not complete yet (20409).
    pub(super) fn not_recorded_yet() -> Error {
        Error::of(StatusCode::CONFLICT, "The recording has not ended, or its file is not complete")
    }

    /// Creates the error for a message that is still queued, or a call that has not ended (20009).
    pub(super) fn incomplete() -> Error {
        Error::new(StatusCode::CONFLICT, 20_009, "Cannot delete this resource before it is complete")
    }

    /// Creates the error for invalid TwiML, with the code that the same document has from an application.
    pub(super) fn document(error: &trunkgate_twiml::DocumentError) -> Error {
        let (line, column) = (error.position.line, error.position.column);
        let message = format!("Twiml: line {line}, column {column}: {}", shown(&error.message));
        Error::new(StatusCode::BAD_REQUEST, u32::from(error.code), message)
    }

    /// Creates the error for a redirect of a call that was rejected.
    pub(super) fn of_redirect(refused: RequestRefusal) -> Error {
        if matches!(refused, RequestRefusal::CallEnded | RequestRefusal::UnknownCall) {
            return Error::call_ended();
        }
        Error::new(StatusCode::BAD_REQUEST, 21_220, format!("Call cannot be redirected: {refused}"))
    }

    /// Creates the error for a change of a live call that was rejected (21220).
    pub(super) fn of_change(message: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_220, message)
    }

    /// Creates the error for a part of Twilio's API that this version does not implement (20501).
    pub(super) fn later(what: &str) -> Error {
        Error::new(StatusCode::NOT_IMPLEMENTED, 20_501, format!("{}: not in this version", shown(what)))
    }
}

/// Shortens and escapes a text of the request, to be quoted in an error.
pub(super) fn shown(text: &str) -> String {
    plain(text, SHOWN_CHARS)
}

impl From<ApiCallError> for Error {
    fn from(fault: ApiCallError) -> Error {
        let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::BAD_REQUEST);
        let retry_after = (status == StatusCode::TOO_MANY_REQUESTS).then_some(1);
        Error { retry_after, ..Error::new(status, fault.code, fault.message) }
    }
}

impl From<SignallingEnded> for Error {
    fn from(gone: SignallingEnded) -> Error {
        Error::new(StatusCode::SERVICE_UNAVAILABLE, 20_503, gone.to_string())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let more_info = format!("https://www.twilio.com/docs/errors/{}", self.code);
        let body = json!({
            "code": self.code, "message": self.message, "more_info": more_info, "status": self.status.as_u16(),
        });
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let value = HeaderValue::from_static("Basic realm=\"Twilio-compatible API\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}
