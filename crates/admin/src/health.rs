//! `/healthz`: do the loops turn? `/readyz`: does the edge take calls?

use axum::extract::State;
use axum::http::StatusCode;

use super::ApiError;
use trunkgate_runtime::handle::{Gone, Handle, Phase};
use trunkgate_runtime::pulse::Stuck;

/// 200 `ok` while the signalling loop answers in time and every media worker turns.
pub(super) async fn healthz(State(handle): State<Handle>) -> Result<&'static str, ApiError> {
    match handle.pulse().await {
        Ok(()) => Ok("ok"),
        Err(Stuck::Gone) => Err(Gone.into()),
        Err(stuck) => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stuck", stuck.to_string())),
    }
}

/// 200 when calls are taken, else 503 with why.
pub(super) async fn readyz(State(handle): State<Handle>) -> Result<&'static str, ApiError> {
    match handle.phase() {
        Phase::Ready => Ok("ready"),
        Phase::Starting => {
            let message = "resolving peer names";
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "starting", message))
        }
        Phase::Draining => {
            let message = format!("no new calls are accepted; live calls: {}", handle.live_calls());
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "draining", message))
        }
    }
}
