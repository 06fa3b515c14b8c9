//! Errors of the Twilio-compatible API in Twilio's format: `{"code","message","more_info","status"}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use trunkgate_call::RequestRefusal;
use trunkgate_call::numbers::plain;

use trunkgate_runtime::handle::SignallingEnded;
use trunkgate_runtime::placing::ApiCallError;

/// Maximum length of request text quoted in an error; long enough for the path of a call's stream.
const SHOWN_CHARS: usize = 160;

/// Error response with Twilio's code.
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

    /// Returns the message.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Builds an error at the HTTP level: code 20000 plus the status.
    pub(super) fn of(status: StatusCode, message: impl Into<String>) -> Error {
        Error::new(status, 20_000 + u32::from(status.as_u16()), message)
    }

    /// Malformed request or invalid parameter value (20001).
    pub(super) fn bad_request(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 20_001, message)
    }

    /// Wrong account SID or auth token (20003).
    pub(super) fn unauthorized(message: &str) -> Error {
        Error::new(StatusCode::UNAUTHORIZED, 20_003, format!("Authenticate: {message}"))
    }

    /// Request by an API key for a resource that needs the auth token (20003).
    pub(super) fn standard_key(what: &str) -> Error {
        Error::unauthorized(&format!("a standard API key has no access to {what}; use account SID and auth token"))
    }

    /// Failure to read or write the store (20503).
    pub(super) fn store(error: &std::io::Error) -> Error {
        tracing::error!("the store cannot be used for the Twilio-compatible API: {error}");
        let message = "The store of the edge cannot be used; its log has the cause";
        Error::new(StatusCode::SERVICE_UNAVAILABLE, 20_503, message)
    }

    /// Failure to read the audio of a recording (20503).
    pub(super) fn unreadable(sid: &str, why: &dyn std::fmt::Display) -> Error {
        tracing::error!(reason = "recording_failed", "the audio of {sid} is not sent: {why}");
        let message = "The audio of the recording cannot be read; the log of the edge has the cause";
        Error::new(StatusCode::SERVICE_UNAVAILABLE, 20_503, message)
    }

    /// Method not supported by the resource (20004).
    pub(super) fn method(method: &str, path: &str) -> Error {
        let message = format!("Method not allowed: {} does not take {}", shown(path), shown(method));
        Error::new(StatusCode::METHOD_NOT_ALLOWED, 20_004, message)
    }

    /// Unknown resource (20404).
    pub(super) fn not_found(path: &str) -> Error {
        let message = format!("The requested resource {} was not found", shown(path));
        Error::new(StatusCode::NOT_FOUND, 20_404, message)
    }

    /// Body over the size limit (20413).
    pub(super) fn too_large(most: usize) -> Error {
        Error::new(StatusCode::PAYLOAD_TOO_LARGE, 20_413, format!("The body exceeds {most} bytes"))
    }

    /// Rate limit exceeded (20429). `seconds`: time until the next request is allowed.
    pub(super) fn too_many(message: impl Into<String>, seconds: u64) -> Error {
        let error = Error::new(StatusCode::TOO_MANY_REQUESTS, 20_429, message);
        Error { retry_after: Some(seconds), ..error }
    }

    /// Call to coach is not in the participant's conference (13240).
    pub(super) fn none_to_coach() -> Error {
        let message = "CallSidToCoach: not a participant of the conference";
        Error::new(StatusCode::BAD_REQUEST, 13_240, message)
    }

    /// Name of a queue already in use (22003).
    pub(super) fn queue_exists(name: &str) -> Error {
        let message = format!("A queue with the name {} already exists", shown(name));
        Error::new(StatusCode::BAD_REQUEST, 22_003, message)
    }

    /// Call already ended (21220).
    pub(super) fn call_ended() -> Error {
        let message = "Call is not in-progress. Cannot redirect or end it: the call has ended";
        Error::new(StatusCode::BAD_REQUEST, 21_220, message)
    }

    /// Invalid URL (21205).
    pub(super) fn bad_url(name: &str, what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_205, format!("{name}: {}", shown(what)))
    }

    /// Invalid URL of a call; `what` is a sentence that names the parameter (21205).
    pub(super) fn unusable_url(what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_205, what)
    }

    /// Call without a document (21205).
    pub(super) fn no_url() -> Error {
        Error::bad_url("Url", "Url or Twiml is required")
    }

    /// Invalid URL of a phone number (21402).
    pub(super) fn number_url(what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_402, what)
    }

    /// Method of a phone number other than GET or POST (21403).
    pub(super) fn number_method(name: &str, value: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_403, format!("{name}: \"{}\"; known: GET, POST", shown(value)))
    }

    /// Fallback URL of a phone number without a primary URL (21405).
    pub(super) fn fallback_alone() -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_405, "VoiceFallbackUrl cannot be set without VoiceUrl")
    }

    /// Message rejected, with Twilio's code.
    pub(super) fn of_message(code: u32, what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, code, what)
    }

    /// Recipient of a message has opted out (21610).
    pub(super) fn opted_out(recipient: &str) -> Error {
        Error::of_message(21_610, &format!("Attempt to send to unsubscribed recipient {recipient}"))
    }

    /// Audio of the recording is not complete yet (20409).
    pub(super) fn not_recorded_yet() -> Error {
        Error::of(StatusCode::CONFLICT, "The recording has not ended, or its file is not complete")
    }

    /// Message still queued, or call not ended (20009).
    pub(super) fn incomplete() -> Error {
        Error::new(StatusCode::CONFLICT, 20_009, "Cannot delete this resource before it is complete")
    }

    /// Invalid TwiML; the code is that of the same document from an application.
    pub(super) fn document(error: &trunkgate_twiml::DocumentError) -> Error {
        let (line, column) = (error.position.line, error.position.column);
        let message = format!("Twiml: line {line}, column {column}: {}", shown(&error.message));
        Error::new(StatusCode::BAD_REQUEST, u32::from(error.code), message)
    }

    /// Redirect of a call rejected.
    pub(super) fn of_redirect(refused: RequestRefusal) -> Error {
        if matches!(refused, RequestRefusal::CallEnded | RequestRefusal::UnknownCall) {
            return Error::call_ended();
        }
        Error::new(StatusCode::BAD_REQUEST, 21_220, format!("Call cannot be redirected: {refused}"))
    }

    /// Change of a live call rejected (21220).
    pub(super) fn of_change(message: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_220, message)
    }

    /// Part of Twilio's API that this version does not implement (20501).
    pub(super) fn later(what: &str) -> Error {
        Error::new(StatusCode::NOT_IMPLEMENTED, 20_501, format!("{}: not in this version", shown(what)))
    }
}

/// Truncates and escapes text of a request for an error message.
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
