//! Request bodies and queries of the API: size limit, JSON parsing, and the HTTP statuses of refusals.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use trunkgate_call::RequestRefusal;

use super::ApiError;
use trunkgate_system::limits;

/// Raw body of a request, at most [`limits::HTTP_BODY_BYTES`].
pub(super) type RequestBody = Result<Bytes, BytesRejection>;

/// Parses the body as one JSON object. `shape` is the expected form, which errors quote.
pub(super) fn read<T: DeserializeOwned>(body: RequestBody, shape: &str) -> Result<T, ApiError> {
    let body = body.map_err(|error| match error.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("the body exceeds {} bytes", limits::HTTP_BODY_BYTES);
            ApiError::new(status, "body_too_large", message)
        }
        status => ApiError::new(status, "bad_body", error.body_text()),
    })?;
    let bad =
        |why: String| ApiError::new(StatusCode::BAD_REQUEST, "bad_json", format!("{why}; expected body: {shape}"));
    // serde would also accept a list with the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(bad("the body is not a JSON object".to_owned()));
    }
    serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))
}

/// Returns whether queries and forms together have too many parameters; checked before they are parsed.
pub(super) fn has_too_many_parameters(texts: &[&[u8]]) -> bool {
    let signs: usize = texts.iter().map(|text| text.iter().filter(|byte| **byte == b'&').count()).sum();
    signs >= limits::HTTP_PARAMETERS
}

/// Returns the error for an invalid query string.
pub(super) fn bad_query(error: &QueryRejection) -> ApiError {
    let text = error.body_text();
    let fault = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, fault)| fault);
    ApiError::new(StatusCode::BAD_REQUEST, "bad_request", format!("invalid query string ({fault})"))
}

/// Returns the error for an unknown name, with the known names.
pub(super) fn unknown(refused: RequestRefusal, named: &str, known: impl Iterator<Item = String>) -> ApiError {
    let ApiError { status, code, message } = refused.into();
    let named: String = named.chars().take(limits::NAMES_SHOWN_CHARS).collect();
    let mut known: Vec<String> = known.take(limits::NAMES_SHOWN + 1).collect();
    if known.len() > limits::NAMES_SHOWN {
        known.truncate(limits::NAMES_SHOWN);
        known.push("…".to_owned());
    }
    let there = if known.is_empty() { "none is configured".to_owned() } else { format!("known: {}", known.join(", ")) };
    ApiError { status, code, message: format!("{named:?}: {message}; {there}") }
}

impl From<RequestRefusal> for ApiError {
    fn from(refused: RequestRefusal) -> ApiError {
        let status = match refused {
            RequestRefusal::UnknownCall
            | RequestRefusal::UnknownFork
            | RequestRefusal::UnknownRecording
            | RequestRefusal::UnknownTranscription => StatusCode::NOT_FOUND,
            RequestRefusal::CallEnded
            | RequestRefusal::NotAnswered
            | RequestRefusal::TooManyForks
            | RequestRefusal::OtherAudio
            | RequestRefusal::StreamNameTaken
            | RequestRefusal::ForkEnded
            | RequestRefusal::NoAgent
            | RequestRefusal::HasAgent
            | RequestRefusal::InApplication
            | RequestRefusal::NotDialled
            | RequestRefusal::NotHeld
            | RequestRefusal::NoRecording
            | RequestRefusal::TooManyRecordings
            | RequestRefusal::RecordingEnded
            | RequestRefusal::NoRecogniser
            | RequestRefusal::TooManyTranscriptions
            | RequestRefusal::TranscriptionNameTaken
            | RequestRefusal::Changing
            | RequestRefusal::Transferring
            | RequestRefusal::TooManyTargets
            | RequestRefusal::TooManyHops
            | RequestRefusal::NoTelephoneEvent => StatusCode::CONFLICT,
            RequestRefusal::UnknownAgent
            | RequestRefusal::BadTarget
            | RequestRefusal::BadDocument
            | RequestRefusal::NotAllowed
            | RequestRefusal::ForbiddenAddress
            | RequestRefusal::UnknownTarget
            | RequestRefusal::SameAgent
            | RequestRefusal::BadDigits(_) => StatusCode::UNPROCESSABLE_ENTITY,
            RequestRefusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError::new(status, refused.as_str(), refused.to_string())
    }
}
