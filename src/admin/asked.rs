//! What is asked of one call: a bounded JSON body in, and each refusal with the status that it has in HTTP.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use trunkgate_call::Refused;

use super::ApiError;
use crate::limits;

/// A body as it came: read whole, [`limits::HTTP_BODY_BYTES`] at most.
pub(super) type Body = Result<Bytes, BytesRejection>;

/// Reads the body's one JSON object; `shape` says how it should look.
pub(super) fn read<T: DeserializeOwned>(body: Body, shape: &str) -> Result<T, ApiError> {
    let body = body.map_err(|error| match error.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("the body is longer than {} bytes", limits::HTTP_BODY_BYTES);
            ApiError::new(status, "body_too_large", message)
        }
        status => ApiError::new(status, "bad_body", error.body_text()),
    })?;
    let read = serde_json::from_slice(&body);
    read.map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "bad_json", format!("{error}; the body is as {shape}")))
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> ApiError {
        let status = match refused {
            Refused::UnknownCall | Refused::UnknownFork => StatusCode::NOT_FOUND,
            Refused::CallEnded
            | Refused::NotAnswered
            | Refused::TooManyForks
            | Refused::OtherAudio
            | Refused::ForkEnded
            | Refused::NoAgent
            | Refused::Transferring
            | Refused::TooManyTargets
            | Refused::NoTelephoneEvent => StatusCode::CONFLICT,
            Refused::UnknownAgent | Refused::BadTarget | Refused::UnknownTarget | Refused::BadDigits => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Refused::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError::new(status, refused.as_str(), refused.to_string())
    }
}
