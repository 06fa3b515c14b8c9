//! Health endpoints: `/healthz` (event loops run) and `/readyz` (the edge accepts calls).

use axum::extract::State;
use axum::http::StatusCode;

use super::ApiError;
use trunkgate_runtime::handle::{EdgeHandle, EdgePhase, SignallingEnded};
use trunkgate_runtime::pulse::StalledComponent;

/// Returns 200 `ok` while the signalling loop responds in time and every media worker runs.
pub(super) async fn healthz(State(handle): State<EdgeHandle>) -> Result<&'static str, ApiError> {
    match handle.pulse().await {
        Ok(()) => Ok("ok"),
        Err(StalledComponent::Gone) => Err(SignallingEnded.into()),
        Err(stuck) => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stuck", stuck.to_string())),
    }
}

/// Returns 200 while the edge accepts calls, otherwise 503 with the reason.
pub(super) async fn readyz(State(handle): State<EdgeHandle>) -> Result<&'static str, ApiError> {
    match handle.phase() {
        EdgePhase::Ready => Ok("ready"),
        EdgePhase::Starting => {
            let message = "starting: names of peers are being resolved";
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "starting", message))
        }
        EdgePhase::Draining => {
            let message = format!("no new calls are accepted; live calls: {}", handle.live_calls());
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "draining", message))
        }
    }
}
