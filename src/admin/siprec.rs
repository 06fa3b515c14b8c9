//! `POST /v1/calls/{sid}/siprec`: the recording of a live call by recording servers pauses, goes on or ends.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use trunkgate_call::SiprecChange;
use trunkgate_call::view::SiprecView;

use super::ApiError;
use super::asked::{Body, read};
use super::calls::Sid;
use crate::runtime::handle::Handle;

/// How a body should look.
const SHAPE: &str = r#"{"name":"vault","action":"pause"}, or "resume" or "stop""#;

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: String,
    action: Action,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Pause,
    Resume,
    Stop,
}

/// 200: the session as it is now.
pub(super) async fn change(
    State(handle): State<Handle>,
    Sid(sid): Sid,
    body: Body,
) -> Result<Json<SiprecView>, ApiError> {
    let Asked { name, action } = read(body, SHAPE)?;
    let change = match action {
        Action::Pause => SiprecChange::Pause,
        Action::Resume => SiprecChange::Resume,
        Action::Stop => SiprecChange::Stop,
    };
    let changed = handle.act(move |gateway, now| gateway.change_siprec(now, &sid, &name, change)).await??;
    Ok(Json(changed))
}
