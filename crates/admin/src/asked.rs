//! Request bodies and queries of the API: a size limit, JSON parsing, and HTTP statuses of refusals.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use trunkgate_call::Refused;

use super::ApiError;
use trunkgate_system::limits;

/// Raw body of a request, at most [`limits::HTTP_BODY_BYTES`].
pub(super) type Body = Result<Bytes, BytesRejection>;

/// Parses the body as one JSON object. `shape`: expected form, quoted in errors.
pub(super) fn read<T: DeserializeOwned>(body: Body, shape: &str) -> Result<T, ApiError> {
    let body = body.map_err(|error| match error.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("the body exceeds {} bytes", limits::HTTP_BODY_BYTES);
            ApiError::new(status, "body_too_large", message)
        }
        status => ApiError::new(status, "bad_body", error.body_text()),
    })?;
    let bad =
        |why: String| ApiError::new(StatusCode::BAD_REQUEST, "bad_json", format!("{why}; expected body: {shape}"));
    // serde would accept a list as the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(bad("the body is not a JSON object".to_owned()));
    }
    serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))
}

/// Returns whether queries and forms together exceed the limit on parameters; checked before they are parsed.
pub(super) fn has_too_many_parameters(texts: &[&[u8]]) -> bool {
    let signs: usize = texts.iter().map(|text| text.iter().filter(|byte| **byte == b'&').count()).sum();
    signs >= limits::HTTP_PARAMETERS
}

/// Returns the error of an invalid query string.
pub(super) fn bad_query(error: &QueryRejection) -> ApiError {
    let text = error.body_text();
    let fault = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, fault)| fault);
    ApiError::new(StatusCode::BAD_REQUEST, "bad_request", format!("invalid query string ({fault})"))
}

/// Returns the error of an unknown name, with the known names.
pub(super) fn unknown(refused: Refused, named: &str, known: impl Iterator<Item = String>) -> ApiError {
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

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> ApiError {
        let status = match refused {
            Refused::UnknownCall | Refused::UnknownFork | Refused::UnknownRecording | Refused::UnknownTranscription => {
                StatusCode::NOT_FOUND
            }
            Refused::CallEnded
            | Refused::NotAnswered
            | Refused::TooManyForks
            | Refused::OtherAudio
            | Refused::StreamNameTaken
            | Refused::ForkEnded
            | Refused::NoAgent
            | Refused::HasAgent
            | Refused::InApplication
            | Refused::NotDialled
            | Refused::NotHeld
            | Refused::NoRecording
            | Refused::TooManyRecordings
            | Refused::RecordingEnded
            | Refused::NoRecogniser
            | Refused::TooManyTranscriptions
            | Refused::TranscriptionNameTaken
            | Refused::Changing
            | Refused::Transferring
            | Refused::TooManyTargets
            | Refused::TooManyHops
            | Refused::NoTelephoneEvent => StatusCode::CONFLICT,
            Refused::UnknownAgent
            | Refused::BadTarget
            | Refused::BadDocument
            | Refused::NotAllowed
            | Refused::ForbiddenAddress
            | Refused::UnknownTarget
            | Refused::SameAgent
            | Refused::BadDigits(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refused::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError::new(status, refused.as_str(), refused.to_string())
    }
}
