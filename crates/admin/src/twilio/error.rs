//! Errors of the Twilio-compatible API, in Twilio's shape: `{"code","message","more_info","status"}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use trunkgate_call::Refused;
use trunkgate_call::numbers::plain;

use trunkgate_runtime::handle::Gone;
use trunkgate_runtime::placing::Fault;

/// Characters of a request that an error repeats: a whole path of a call's stream.
const SHOWN_CHARS: usize = 160;

/// An error with Twilio's code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Error {
    pub(super) status: StatusCode,
    pub(super) code: u32,
    message: String,
    /// Seconds after which it may be made again.
    retry_after: Option<u64>,
}

impl Error {
    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Error {
        Error { status, code, message: message.into(), retry_after: None }
    }

    /// Returns its message.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// What HTTP itself refuses: 20000 and the status.
    pub(super) fn of(status: StatusCode, message: impl Into<String>) -> Error {
        Error::new(status, 20_000 + u32::from(status.as_u16()), message)
    }

    /// The request cannot be understood, or has a parameter with a value that cannot be used (20001).
    pub(super) fn bad_request(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 20_001, message)
    }

    /// The account or its token is wrong (20003).
    pub(super) fn unauthorized(message: &str) -> Error {
        Error::new(StatusCode::UNAUTHORIZED, 20_003, format!("Authenticate: {message}"))
    }

    /// A key asks for what needs the account's own token (20003).
    pub(super) fn standard_key(what: &str) -> Error {
        Error::unauthorized(&format!("a standard API key has no access to {what}; use account SID and auth token"))
    }

    /// The store does not take or give something (20503).
    pub(super) fn store(error: &std::io::Error) -> Error {
        tracing::error!("the store cannot be used for the Twilio-compatible API: {error}");
        let message = "The store of the edge cannot be used; its log has the cause";
        Error::new(StatusCode::SERVICE_UNAVAILABLE, 20_503, message)
    }

    /// The audio of a recording cannot be read (20503).
    pub(super) fn unreadable(sid: &str, why: &dyn std::fmt::Display) -> Error {
        tracing::error!(reason = "recording_failed", "the audio of {sid} is not sent: {why}");
        let message = "The audio of the recording cannot be read; the log of the edge has the cause";
        Error::new(StatusCode::SERVICE_UNAVAILABLE, 20_503, message)
    }

    /// The resource has no such method (20004).
    pub(super) fn method(method: &str, path: &str) -> Error {
        let message = format!("Method not allowed: {} does not take {}", shown(path), shown(method));
        Error::new(StatusCode::METHOD_NOT_ALLOWED, 20_004, message)
    }

    /// There is no such resource (20404).
    pub(super) fn not_found(path: &str) -> Error {
        let message = format!("The requested resource {} was not found", shown(path));
        Error::new(StatusCode::NOT_FOUND, 20_404, message)
    }

    /// The body is larger than may be (20413).
    pub(super) fn too_large(most: usize) -> Error {
        Error::new(StatusCode::PAYLOAD_TOO_LARGE, 20_413, format!("The body exceeds {most} bytes"))
    }

    /// More requests than may be (20429); `seconds`: when there may be more.
    pub(super) fn too_many(message: impl Into<String>, seconds: u64) -> Error {
        let error = Error::new(StatusCode::TOO_MANY_REQUESTS, 20_429, message);
        Error { retry_after: Some(seconds), ..error }
    }

    /// The call that a participant is to coach is not in its conference (13240).
    pub(super) fn none_to_coach() -> Error {
        let message = "CallSidToCoach: not a participant of the conference";
        Error::new(StatusCode::BAD_REQUEST, 13_240, message)
    }

    /// Another queue has the name (22003).
    pub(super) fn queue_exists(name: &str) -> Error {
        let message = format!("A queue with the name {} already exists", shown(name));
        Error::new(StatusCode::BAD_REQUEST, 22_003, message)
    }

    /// The call has ended (21220).
    pub(super) fn call_ended() -> Error {
        let message = "Call is not in-progress. Cannot redirect or end it: the call has ended";
        Error::new(StatusCode::BAD_REQUEST, 21_220, message)
    }

    /// A URL cannot be used (21205).
    pub(super) fn bad_url(name: &str, what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_205, format!("{name}: {}", shown(what)))
    }

    /// A URL of a call is judged unusable, in a sentence that names the parameter (21205).
    pub(super) fn unusable_url(what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_205, what)
    }

    /// A call without a document (21205).
    pub(super) fn no_url() -> Error {
        Error::bad_url("Url", "Url or Twiml is required")
    }

    /// A URL cannot be set of a number (21402).
    pub(super) fn number_url(what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_402, what)
    }

    /// A method of a number is neither GET nor POST (21403).
    pub(super) fn number_method(name: &str, value: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_403, format!("{name}: \"{}\"; known: GET, POST", shown(value)))
    }

    /// A number has a fallback and nothing that could fail (21405).
    pub(super) fn fallback_alone() -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_405, "VoiceFallbackUrl cannot be set without VoiceUrl")
    }

    /// A message cannot be sent as it is asked for, with Twilio's code.
    pub(super) fn of_message(code: u32, what: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, code, what)
    }

    /// The recipient of a message has opted out (21610).
    pub(super) fn opted_out(recipient: &str) -> Error {
        Error::of_message(21_610, &format!("Attempt to send to unsubscribed recipient {recipient}"))
    }

    /// The audio of a recording is not complete (20409).
    pub(super) fn not_recorded_yet() -> Error {
        Error::of(StatusCode::CONFLICT, "The recording has not ended, or its file is not complete")
    }

    /// A message is still on its way, or a call has not ended (20009).
    pub(super) fn incomplete() -> Error {
        Error::new(StatusCode::CONFLICT, 20_009, "Cannot delete this resource before it is complete")
    }

    /// A document cannot be run; the code is that of the same document from an application.
    pub(super) fn document(error: &trunkgate_twiml::Error) -> Error {
        let (line, column) = (error.position.line, error.position.column);
        let message = format!("Twiml: line {line}, column {column}: {}", shown(&error.message));
        Error::new(StatusCode::BAD_REQUEST, u32::from(error.code), message)
    }

    /// A call does not go on with another document.
    pub(super) fn of_redirect(refused: Refused) -> Error {
        if matches!(refused, Refused::CallEnded | Refused::UnknownCall) {
            return Error::call_ended();
        }
        Error::new(StatusCode::BAD_REQUEST, 21_220, format!("Call cannot be redirected: {refused}"))
    }

    /// A live call cannot be changed so (21220).
    pub(super) fn of_change(message: &str) -> Error {
        Error::new(StatusCode::BAD_REQUEST, 21_220, message)
    }

    /// What is asked for is part of Twilio's API and not in this version (20501).
    pub(super) fn later(what: &str) -> Error {
        Error::new(StatusCode::NOT_IMPLEMENTED, 20_501, format!("{}: not in this version", shown(what)))
    }
}

/// As much of a text of the request as is repeated.
pub(super) fn shown(text: &str) -> String {
    plain(text, SHOWN_CHARS)
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::BAD_REQUEST);
        let retry_after = (status == StatusCode::TOO_MANY_REQUESTS).then_some(1);
        Error { retry_after, ..Error::new(status, fault.code, fault.message) }
    }
}

impl From<Gone> for Error {
    fn from(gone: Gone) -> Error {
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
