//! `/v1/calls/{sid}/forks`: lists, starts and stops forks of a call's audio to listeners.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunkgate_call::view::ForkView;
use trunkgate_call::{ForkAction, ForkControl, ForkDestination, ForkRequest, RequestRefusal};
use trunkgate_media::agent::{TrackName, TrackSet};

use super::ApiError;
use super::asked::{RequestBody, read, unknown};
use super::calls::Sid;
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::agent_url;
use trunkgate_system::limits::{AGENT_PARAMETER_BYTES, AGENT_PARAMETERS, FORK_URL_BYTES, NAMES_SHOWN_CHARS};

/// Expected form of the body, which errors quote.
const SHAPE: &str = r#"{"agent":"NAME"} or {"url":"wss://…"}; optional: "tracks":["inbound","outbound"], "parameters":{"NAME":"VALUE"}"#;

/// Body of a request that starts a fork.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForkBody {
    agent: Option<String>,
    url: Option<String>,
    tracks: Option<Vec<String>>,
    parameters: Option<BTreeMap<String, Value>>,
}

/// `{"forks":[…]}`
#[derive(Debug, Serialize)]
pub(super) struct ForksResponse {
    forks: Vec<ForkView>,
}

/// Lists the forks of a live call, including ended ones.
pub(super) async fn list(State(handle): State<EdgeHandle>, Sid(sid): Sid) -> Result<Json<ForksResponse>, ApiError> {
    let forks = handle.ask(move |gateway, _| gateway.forks(&sid)).await??;
    Ok(Json(ForksResponse { forks }))
}

/// Starts a fork: responds with 201 without waiting for its WebSocket to open.
pub(super) async fn begin(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let request = asked(&handle, read(body, SHAPE)?)?;
    let call = sid.clone();
    let listener = request.listener.clone();
    let begun = handle.change(ForkControl { sid, action: ForkAction::Begin(request) }).await?;
    let fork = begun.map_err(|refused| match (refused, &listener) {
        (RequestRefusal::UnknownAgent, ForkDestination::Agent(name)) => {
            let table = handle.table();
            let named = table.agents().iter().filter(|agent| !agent.name.is_empty());
            unknown(refused, name, named.map(|agent| agent.name.to_string()))
        }
        _ => refused.into(),
    })?;
    let place = HeaderValue::try_from(format!("/v1/calls/{call}/forks/{}", fork.id)).ok();
    let mut response = (StatusCode::CREATED, Json(fork)).into_response();
    response.headers_mut().extend(place.map(|place| (header::LOCATION, place)));
    Ok(response)
}

/// Stops a fork and closes its WebSocket with a close frame.
pub(super) async fn end(
    State(handle): State<EdgeHandle>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<ForkView>, ApiError> {
    let bad = |error: PathRejection| ApiError::new(StatusCode::BAD_REQUEST, "bad_request", error.body_text());
    let Path((sid, id)) = path.map_err(bad)?;
    Ok(Json(handle.change(ForkControl { sid, action: ForkAction::End { id } }).await??))
}

fn asked(handle: &EdgeHandle, asked: ForkBody) -> Result<ForkRequest, ApiError> {
    let listener = match (asked.agent, asked.url) {
        (Some(name), None) => ForkDestination::Agent(name),
        (None, Some(url)) => {
            look_at(handle, &url)?;
            ForkDestination::Url(url)
        }
        (Some(_), Some(_)) | (None, None) => {
            let message = format!("use either `agent` or `url`; expected body: {SHAPE}");
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_json", message));
        }
    };
    let tracks = tracks(asked.tracks)?;
    let parameters = texts(asked.parameters.unwrap_or_default())?;
    let too_long = parameters.iter().any(|(name, value)| name.len() + value.len() > AGENT_PARAMETER_BYTES);
    if parameters.len() > AGENT_PARAMETERS || too_long {
        let message = format!("`parameters`: at most {AGENT_PARAMETERS}, each at most {AGENT_PARAMETER_BYTES} bytes");
        return Err(wrong("bad_parameters", message));
    }
    Ok(ForkRequest { listener, tracks, parameters: parameters.into_iter().collect() })
}

/// Checks a URL by the rules for `url` in the configuration, and rejects one with a query, which would not be sent.
/// Host names are checked when the connection is opened.
fn look_at(handle: &EdgeHandle, text: &str) -> Result<(), ApiError> {
    if text.len() > FORK_URL_BYTES {
        return Err(bad_url(format!("`url` exceeds {FORK_URL_BYTES} bytes")));
    }
    let networks = handle.shared.running(|running| running.config.edge.local_networks.clone());
    let url =
        agent_url::check(text, &networks).map_err(|fault| bad_url(format!("{} ({})", fault.message, fault.help)))?;
    if url.query().is_some() {
        return Err(bad_url(format!("{} ({})", agent_url::QUERY_UNSENT, agent_url::QUERY_HELP)));
    }
    let written = agent_url::address(&url).zip(url.port_or_known_default());
    let whose = written.map(SocketAddr::from).and_then(|to| {
        let own = handle.shared.own.borrow();
        let what = if url.scheme() == "rtp" { own.takes_rtp(to) } else { own.takes_connection(to) };
        what.map(|what| format!("`url`: {to} is {what}"))
    });
    whose.map_or(Ok(()), |message| Err(bad_url(message)))
}

/// Checks that all parameters are strings, like Twilio's `customParameters`: the text form of a number would be a
/// guess.
fn texts(parameters: BTreeMap<String, Value>) -> Result<BTreeMap<String, String>, ApiError> {
    let text = |(name, value): (String, Value)| {
        let what = match value {
            Value::String(text) => return Ok((name, text)),
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        let name: String = name.chars().take(NAMES_SHOWN_CHARS).collect();
        Err(wrong("bad_parameters", format!("`parameters`: {name:?} is {what}, expected a string")))
    };
    parameters.into_iter().map(text).collect()
}

/// Parses track names; without any, returns both tracks.
///
/// # Errors
/// Returns 422 if a name is unknown or repeated.
pub(super) fn tracks(named: Option<Vec<String>>) -> Result<TrackSet, ApiError> {
    let Some(named) = named else { return Ok(TrackSet::Both) };
    let has = |track: TrackName| named.iter().filter(|name| *name == track.name()).count();
    match (has(TrackName::Inbound), has(TrackName::Outbound), named.len()) {
        (1, 0, 1) => Ok(TrackSet::Inbound),
        (0, 1, 1) => Ok(TrackSet::Outbound),
        (1, 1, 2) => Ok(TrackSet::Both),
        _ => Err(wrong("bad_tracks", "`tracks` contains \"inbound\", \"outbound\" or both".to_owned())),
    }
}

fn wrong(code: &'static str, message: String) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
}

fn bad_url(message: String) -> ApiError {
    wrong("bad_url", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_are_named_once_each() {
        let of = |names: &[&str]| tracks(Some(names.iter().map(|name| (*name).to_owned()).collect())).ok();
        assert_eq!(tracks(None).ok(), Some(TrackSet::Both));
        assert_eq!(of(&["inbound"]), Some(TrackSet::Inbound));
        assert_eq!(of(&["outbound"]), Some(TrackSet::Outbound));
        assert_eq!(of(&["outbound", "inbound"]), Some(TrackSet::Both));
        for names in [&[][..], &["inbound", "inbound"], &["both"], &["inbound", "outbound", "inbound"], &["Inbound"]] {
            assert_eq!(of(names), None, "{names:?}");
        }
    }
}
