//! `/v1/calls/{sid}/trace`: trace of a call as JSON, text, SVG and capture file. `/v1/calls/{sid}/kept`: the kinds of
//! data that are stored about a call.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use trunkgate_call::trace::TraceView;
use trunkgate_call::view::KeptView;

use super::ApiError;
use super::asked::bad_query;
use super::calls::{Sid, find, unknown};
use trunkgate_explain::ladder::{self, TextStyle};
use trunkgate_explain::pcapng;
use trunkgate_runtime::handle::EdgeHandle;

/// Query of `/v1/calls/{sid}/trace`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TraceQuery {
    /// Whether the response includes the SIP messages as on the wire.
    #[serde(default)]
    raw: bool,
}

pub(super) async fn json(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
    wanted: Result<Query<TraceQuery>, QueryRejection>,
) -> Result<Json<TraceView>, ApiError> {
    let Query(TraceQuery { raw }) = wanted.map_err(|error| bad_query(&error))?;
    let trace = if raw { handle.raw_trace(&sid).await? } else { handle.trace(&sid).await? };
    trace.map(Json).ok_or_else(|| unknown(&sid))
}

/// Responds with the kinds of data that are stored about a call.
pub(super) async fn kept(State(handle): State<EdgeHandle>, Sid(sid): Sid) -> Result<Json<KeptView>, ApiError> {
    if let Some(kept) = handle.kept(&sid).await? {
        return Ok(Json(kept));
    }
    // A call from before a restart is only in the store.
    find(&handle, &sid).await?;
    Ok(Json(KeptView { trace: false, messages: false, quality: false }))
}

/// Query of `/v1/calls/{sid}/trace.txt`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LadderQuery {
    /// Width of the terminal in characters; unlimited if absent.
    columns: Option<usize>,
    /// Whether the terminal supports colours.
    #[serde(default)]
    colour: bool,
}

/// Sends the ladder diagram of a call as text for a terminal.
pub(super) async fn text(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
    drawing: Result<Query<LadderQuery>, QueryRejection>,
) -> Result<String, ApiError> {
    let Query(LadderQuery { columns: width, colour }) = drawing.map_err(|error| bad_query(&error))?;
    let call = find(&handle, &sid).await?;
    let trace = handle.trace(&sid).await?.ok_or_else(|| unknown(&sid))?;
    Ok(ladder::page(&call, &trace, TextStyle { width, colour }))
}

/// Content security policy of the SVG picture: styles only.
const PICTURE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Sends the ladder diagram of a call as an SVG picture.
pub(super) async fn svg(State(handle): State<EdgeHandle>, Sid(sid): Sid) -> Result<Response, ApiError> {
    let call = find(&handle, &sid).await?;
    let trace = handle.trace(&sid).await?.ok_or_else(|| unknown(&sid))?;
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CONTENT_SECURITY_POLICY, PICTURE_POLICY)];
    Ok((headers, ladder::svg::picture(&call, &trace)).into_response())
}

/// Sends the SIP messages of a call as a capture file.
pub(super) async fn capture(State(handle): State<EdgeHandle>, Sid(sid): Sid) -> Result<Response, ApiError> {
    let capture = handle.capture(&sid).await?.ok_or_else(|| unknown(&sid))?;
    let edge = handle.shared.running(|running| running.config.edge.name.clone());
    let name = format!("attachment; filename=\"{}.pcapng\"", capture.call.sid);
    let headers = [(header::CONTENT_TYPE, "application/x-pcapng".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, pcapng::file(&capture, &edge)).into_response())
}
