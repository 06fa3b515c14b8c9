//! `/healthz`: do the loops turn? `/readyz`: does the edge take calls?

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;

use super::ApiError;
use crate::handle::{Handle, Phase};
use crate::limits;

/// 200 `ok` while the signalling loop answers in time and every media worker turns.
pub(super) async fn healthz(State(handle): State<Handle>) -> Result<&'static str, ApiError> {
    let limit = Duration::from_millis(limits::HEALTH_MILLISECONDS);
    match tokio::time::timeout(limit, handle.ask(|_, _| ())).await {
        Ok(Ok(())) => match *handle.silent_workers(Duration::from_millis(limits::WORKER_MILLISECONDS)) {
            [] => Ok("ok"),
            [worker, ..] => {
                let message = format!("media worker {worker} does not turn");
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stuck", message))
            }
        },
        Ok(Err(gone)) => Err(gone.into()),
        Err(_) => {
            let message = format!("the signalling loop has not answered within {} ms", limits::HEALTH_MILLISECONDS);
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stuck", message))
        }
    }
}

/// 200 when calls are taken, else 503 with why.
pub(super) async fn readyz(State(handle): State<Handle>) -> Result<&'static str, ApiError> {
    match handle.phase() {
        Phase::Ready => Ok("ready"),
        Phase::Starting => {
            let message = "names of peers are being looked up";
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "starting", message))
        }
        Phase::Draining => {
            let message = format!("no new calls are taken; live calls: {}", handle.live_calls());
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "draining", message))
        }
    }
}
