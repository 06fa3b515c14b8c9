//! What a call is told to do: sent on, keys pressed. What this version cannot do is said, never passed over.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use trunkgate_call::{Gateway, Refused};

use super::ApiError;
use super::asked::{Body, read, unknown};
use super::calls::{Sid, find};
use crate::runtime::handle::Handle;

/// Where a caller is to go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    target: String,
    /// Whether the agent stays until somebody answers there.
    #[serde(default)]
    consult: bool,
}

/// Keys to press towards a caller.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dtmf {
    digits: String,
}

/// 202: the target is being called; the agent has the caller no longer, or only until that answers.
pub(super) async fn transfer(
    State(handle): State<Handle>,
    Sid(sid): Sid,
    body: Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Transfer { target, consult } =
        read(body, r#"{"target":"trunk:NAME/+14155550123"}, with "consult":true as wanted"#)?;
    let answer = json!({ "sid": sid, "target": target, "consult": consult });
    let asked = target.clone();
    let act = move |gateway: &mut Gateway, now| match consult {
        true => gateway.consult(now, &sid, &asked),
        false => gateway.transfer(now, &sid, &asked),
    };
    let done = handle.act(act).await?;
    match done {
        Ok(()) => Ok((StatusCode::ACCEPTED, Json(answer))),
        Err(refused @ Refused::UnknownTarget) => {
            let table = handle.table();
            let trunks = table.trunks().iter().map(|trunk| format!("trunk:{}", trunk.name));
            let agents = table.agents().iter().filter(|agent| !agent.is_raw() && !agent.name.is_empty());
            Err(unknown(refused, &target, trunks.chain(agents.map(|agent| format!("agent:{}", agent.name)))))
        }
        Err(refused) => Err(refused.into()),
    }
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
    Err(later("not in this version; forks, transfer and dtmf are"))
}

/// Calls cannot be placed over HTTP in this version.
pub(super) async fn no_calls_by_http() -> ApiError {
    later("calls over HTTP: not in this version; `trunkgate call` places one")
}

/// The API that Twilio's own clients speak.
pub(super) async fn no_twilio_api() -> (StatusCode, Json<Value>) {
    let status = StatusCode::NOT_IMPLEMENTED;
    let message = "the Twilio-compatible API: not in this version; /v1/calls has forks, transfer and dtmf";
    let (code, more_info) = (status.as_u16(), "https://www.rfc-editor.org/rfc/rfc9110#section-15.6.2");
    (status, Json(json!({ "code": code, "message": message, "more_info": more_info, "status": code })))
}

fn later(message: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_IMPLEMENTED, "not_in_this_version", message)
}
