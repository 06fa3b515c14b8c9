//! `POST /v1/calls`: places outgoing calls.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use trunkgate_call::twiml::{SensitiveText, is_digits};
use trunkgate_call::{CallRequest, ConnectTarget, NotBegun, ReasonSlug, named_target};
use trunkgate_route::{CallTarget, NumberingPlan, TargetSpec};

use super::ApiError;
use super::asked::{RequestBody, read};
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_runtime::placing;
use trunkgate_system::limits::{CALL_LIMIT_SECONDS, CALL_RING_SECONDS, CALL_TARGETS};

/// Default ringing time of a requested call, in seconds.
const RING_SECONDS: u64 = 60;
/// Maximum number of DTMF digits sent after the answer.
const DIGITS: usize = 32;
/// Expected form of the body, which errors quote.
const SHAPE: &str = r#"{"to":"+14155550123","from":"+14155550100","connect":["app:NAME"]}; optional: "via":["trunk:NAME"], "ring_seconds", "limit_seconds", "digits""#;

/// Body of a request for a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginateBody {
    to: String,
    from: String,
    /// Targets that the called party is connected to after it answers.
    connect: Vec<String>,
    /// Targets through which the party is called; default: `[api] connect`.
    #[serde(default)]
    via: Vec<String>,
    ring_seconds: Option<u64>,
    limit_seconds: Option<u64>,
    digits: Option<String>,
}

/// Places a call: responds with 201 while the party is being called.
pub(super) async fn begin(State(handle): State<EdgeHandle>, body: RequestBody) -> Result<Response, ApiError> {
    let wanted: OriginateBody = read(body, SHAPE)?;
    let request = judge(&handle, &wanted)?;
    let sid = handle.change(request).await?.map_err(refused)?.sid;
    let call = handle.call(&sid).await?;
    let place = HeaderValue::try_from(format!("/v1/calls/{sid}")).ok();
    let headers = place.map(|place| [(header::LOCATION, place)]);
    let body = call.map_or_else(|| json!({ "sid": sid }), |call| json!(call));
    Ok(match headers {
        Some(headers) => (StatusCode::CREATED, headers, Json(body)).into_response(),
        None => (StatusCode::CREATED, Json(body)).into_response(),
    })
}

fn judge(handle: &EdgeHandle, wanted: &OriginateBody) -> Result<CallRequest, ApiError> {
    let (numbers, own, usual) = handle.shared.running(|running| {
        let config = &running.config;
        let own: Vec<String> = config.numbers.iter().map(|one| one.number.clone()).collect();
        (config.edge.numbers.clone(), own, config.api.connect.clone())
    });
    let number = |text: &str| placing::parse_number(&numbers, text).map(|number| number.text);
    let from = number(&wanted.from).filter(|number| own.contains(number)).ok_or_else(|| {
        let message = format!("from: \"{}\" is not a number of the edge: add it as [[number]]", short(&wanted.from));
        unprocessable("from_not_allowed", message)
    })?;
    let to = number(&wanted.to).ok_or_else(|| {
        let shown = short(&wanted.to);
        let message = format!("to: \"{shown}\" is not a valid phone number: write it as E.164, e.g. +14155551234");
        unprocessable("bad_number", message)
    })?;
    let targets = match wanted.via.is_empty() {
        true => usual,
        false => named(handle, "via", &wanted.via, &numbers)?,
    };
    if targets.is_empty() {
        let message = "via: no trunk to call over: name one here, or in `connect` of [api]";
        return Err(unprocessable("unknown_target", message.to_owned()));
    }
    let onward = named(handle, "connect", &wanted.connect, &numbers)?;
    let goes_to_app = matches!(onward.first(), Some(TargetSpec::App(_)));
    let digits = match &wanted.digits {
        Some(digits) if digits.is_empty() || digits.len() > DIGITS || !is_digits(digits) => {
            let message = format!("digits: 1 to {DIGITS} of 0-9, A-D, #, *, w (0.5 s) and W (1 s)");
            return Err(unprocessable("bad_digits", message));
        }
        Some(_) if !goes_to_app => {
            let message = "digits: allowed only if `connect` begins with an application (app:NAME)";
            return Err(unprocessable("bad_digits", message.to_owned()));
        }
        digits => digits.clone().map(SensitiveText::new),
    };
    Ok(CallRequest {
        from,
        to,
        targets,
        headers: Vec::new(),
        onward: onward.into_iter().map(ConnectTarget::Target).collect(),
        ring_timeout: seconds("ring_seconds", wanted.ring_seconds.unwrap_or(RING_SECONDS), 1, CALL_RING_SECONDS)?,
        time_limit: seconds("limit_seconds", wanted.limit_seconds.unwrap_or(0), 0, CALL_LIMIT_SECONDS)?,
        digits,
        record: None,
        participant: None,
        detection: None,
    })
}

/// Parses targets, and checks that each one is configured.
fn named(
    handle: &EdgeHandle,
    key: &str,
    texts: &[String],
    numbers: &NumberingPlan,
) -> Result<Vec<TargetSpec>, ApiError> {
    if !(1..=CALL_TARGETS).contains(&texts.len()) {
        return Err(unprocessable("bad_target", format!("{key}: 1 to {CALL_TARGETS} targets")));
    }
    let table = handle.table();
    let read = |text: &String| {
        let allowed = |target: &TargetSpec| match target {
            TargetSpec::App(_) | TargetSpec::Agent(_) | TargetSpec::Conference(_) => key == "connect",
            TargetSpec::Trunk { .. } | TargetSpec::Uri { .. } => true,
            TargetSpec::Play(_) | TargetSpec::Voicemail(_) | TargetSpec::Reject(_) | TargetSpec::RingAll(_) => false,
        };
        let target = named_target(text, numbers).filter(allowed).ok_or_else(|| {
            let more = if key == "connect" { ", agent:NAME or app:NAME" } else { "" };
            let message = format!("{key}: \"{}\" is not trunk:NAME[/NUMBER], sip:URI{more}", short(text));
            unprocessable("bad_target", message)
        })?;
        let found = table.target(&target, &mut |_| 0);
        let is_there = found.is_some_and(|found| !matches!(&found, CallTarget::Agent(agent) if agent.is_raw()));
        is_there.then_some(target).ok_or_else(|| {
            let message = format!("{key}: the configuration has no \"{}\"", short(text));
            unprocessable("unknown_target", message)
        })
    };
    texts.iter().map(read).collect()
}

fn seconds(name: &str, given: u64, least: u64, most: u64) -> Result<Duration, ApiError> {
    match (least..=most).contains(&given) {
        true => Ok(Duration::from_secs(given)),
        false => Err(unprocessable("bad_value", format!("{name}: {given} is not between {least} and {most}"))),
    }
}

fn refused(why: NotBegun) -> ApiError {
    match why {
        NotBegun::NoTarget => {
            let message = "none of the targets is in the configuration any more";
            unprocessable("unknown_target", message.to_owned())
        }
        NotBegun::Denied(why) => {
            ApiError::new(StatusCode::FORBIDDEN, ReasonSlug::Denied.as_str(), format!("to: {why}"))
        }
        NotBegun::CallerDenied(why) => {
            ApiError::new(StatusCode::FORBIDDEN, ReasonSlug::CallerIdRefused.as_str(), format!("from: {why}"))
        }
        NotBegun::NotJoined(why) => unprocessable(ReasonSlug::ConferenceRefused.as_str(), why.words().to_owned()),
        NotBegun::EmergencyLimit(key) => {
            let message = format!("to: too many emergency calls requested over HTTP ({key})");
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, ReasonSlug::LimitEmergency.as_str(), message)
        }
        NotBegun::Refused(reason @ ReasonSlug::Draining) => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, reason.as_str(), reason.sentence())
        }
        NotBegun::Refused(reason) => ApiError::new(StatusCode::TOO_MANY_REQUESTS, reason.as_str(), reason.sentence()),
    }
}

fn unprocessable(slug: &'static str, message: String) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, slug, message)
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
