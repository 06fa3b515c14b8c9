//! `/v1/events`: changes of the edge as server-sent events (WHATWG HTML §9.2). A client that does not keep up loses
//! events and receives their number; it never delays a call.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::ApiError;
use trunkgate_config::Secret;
use trunkgate_delivery::sinks::events::EventListener;
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::limits;

pub(super) async fn follow(State(handle): State<EdgeHandle>) -> Result<Response, ApiError> {
    let listener = handle.shared.events.listen().ok_or_else(|| {
        let message = format!("{} clients are connected already: limit reached", limits::EVENT_LISTENERS);
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_listeners", message)
    })?;
    let comments = KeepAlive::new().interval(Duration::from_secs(limits::EVENT_COMMENT_SECONDS)).text("");
    let began_with = token(&handle);
    // The first comment confirms the subscription, so the client knows from when on it gets all events.
    let stream = unfold((listener, handle, true), move |(mut listener, handle, is_first)| {
        let began_with = began_with.clone();
        async move {
            let event =
                if is_first { Some(sse::Event::default().comment("following")) } else { next(&mut listener).await };
            // A change of the token ends the stream.
            let event = event.filter(|_| token(&handle) == began_with);
            event.map(|event| (Ok::<_, Infallible>(event), (listener, handle, false)))
        }
    });
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, Sse::new(stream).keep_alive(comments)).into_response())
}

/// Returns the API token of the configuration in force.
fn token(handle: &EdgeHandle) -> Option<Secret> {
    handle.shared.running(|running| running.config.http.token.clone())
}

/// Returns the next event of the stream; `None` at the end of the stream.
async fn next(listener: &mut EventListener) -> Option<sse::Event> {
    match listener.receiver.recv().await {
        Ok(event) => {
            let data = serde_json::to_string(&*event).ok()?;
            Some(sse::Event::default().event(event.change.what.as_str()).id(event.id.to_string()).data(data))
        }
        Err(RecvError::Lagged(missed)) => {
            Some(sse::Event::default().event("lagged").data(json!({ "missed": missed }).to_string()))
        }
        Err(RecvError::Closed) => None,
    }
}
