//! What a call is told to do: sent on, keys pressed. What this version cannot do is said, never passed over.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::asked::{Body, read};
use super::calls::{Sid, find};
use crate::handle::Handle;

/// Where a caller is to go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    target: String,
}

/// Keys to press towards a caller.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dtmf {
    digits: String,
}

/// 202: the agent has the caller no longer; the target is being called.
pub(super) async fn transfer(
    State(handle): State<Handle>,
    Sid(sid): Sid,
    body: Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Transfer { target } = read(body, r#"{"target":"trunk:NAME/+14155550123"}"#)?;
    let answer = json!({ "sid": sid, "target": target });
    handle.act(move |gateway, now| gateway.transfer(now, &sid, &target)).await??;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// 202: they leave one after the other.
pub(super) async fn dtmf(
    State(handle): State<Handle>,
    Sid(sid): Sid,
    body: Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Dtmf { digits } = read(body, r#"{"digits":"123#"}"#)?;
    let answer = json!({ "sid": sid, "keys": digits.chars().count() });
    handle.act(move |gateway, now| gateway.press(now, &sid, &digits)).await??;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Calls cannot be held, played to or recorded over HTTP in this version.
pub(super) async fn not_in_this_version(State(handle): State<Handle>, Sid(sid): Sid) -> Result<Json<Value>, ApiError> {
    find(&handle, &sid).await?;
    let message = "not in this version; forks, transfer and dtmf are";
    Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "not_in_this_version", message))
}
