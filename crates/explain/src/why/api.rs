//! Explains a call that a request to the Twilio-compatible API would place.

use serde_json::{Value, json};
use trunkgate_call::{NO_EMERGENCY_CALLS, NotBegun, judge_targets, reaches_emergency};
use trunkgate_route::{CallTarget, RoutingTable};

use super::{CallQuestion, QuestionNumbers, attempt, overridden, present};
use trunkgate_config::Config;
use trunkgate_runtime::placing::{self, ApiCallError, PermittedCall};

/// Name of the source, and of the route, of a call placed through the API.
pub(super) const FROM: &str = "api";

/// Returns whether a question concerns a call placed through the API. A trunk named `api` takes precedence.
pub(super) fn is_meant(table: &RoutingTable, from: &str) -> bool {
    from == FROM && table.trunk(from).is_none()
}

/// Explains a call placed through the API, with the same fields as for any other call. Without a caller, `From` is not
/// checked.
///
/// # Errors
/// Returns a message if the question has a time or header fields, which an API request cannot have.
pub(super) fn explain(
    table: &RoutingTable,
    config: &Config,
    question: &CallQuestion,
    status: Option<&Value>,
) -> Result<Value, String> {
    if question.at.is_some() || question.header.is_some() {
        return Err("a call created by the API uses no route: omit the time and the header".to_owned());
    }
    let numbers = table.numbers();
    let caller = Some(question.caller.as_str()).filter(|caller| !caller.is_empty());
    let from = caller.map(|caller| placing::judge_from(config, Some(caller))).transpose();
    let placed = from.and_then(|from| {
        placing::judge_to(config, table, Some(&question.called)).map(|placing| (from.unwrap_or_default(), placing))
    });
    let shown = |text: &str| numbers.normalise_caller(text, None);
    let (called, caller) = match &placed {
        Ok((from, placing)) => (shown(&placing.to), shown(from)),
        Err(_) => (shown(&question.called), shown(&question.caller)),
    };
    let targets: Vec<CallTarget> = match &placed {
        Ok((_, PermittedCall { targets, .. })) => {
            targets.iter().filter_map(|target| table.target(target, &mut |_| 0)).collect()
        }
        Err(_) => Vec::new(),
    };
    let asked = QuestionNumbers { called: &called, caller: &caller, own: None, from: None };
    let mut attempts: Vec<Value> = targets.iter().map(|target| attempt(table, &asked, target)).collect();
    attempts.iter_mut().for_each(|attempt| present::add(attempt, status));
    let known = Some(&caller).filter(|caller| !caller.text.is_empty());
    let is_emergency = numbers.is_emergency(&called);
    let is_bounded = targets.iter().any(|target| reaches_emergency(target, table, &called));
    let judged = placed.and_then(|_| {
        if is_bounded && config.api.emergency_calls == 0 {
            return Err(NotBegun::Denied(NO_EMERGENCY_CALLS.to_owned()).into());
        }
        Ok(judge_targets(&targets, table, known, &called)?)
    });
    Ok(json!({
        "from": FROM,
        "source": { "address": null, "by": null, "place": null },
        "media": null,
        "limits": limits(config, is_emergency, is_bounded),
        "called": called.text,
        "caller": caller.text,
        "emergency": is_emergency,
        "claimed": null,
        "caller_refused": null,
        "at": null,
        "headers": [],
        "override": overridden(status, &called.text),
        "route": judged.is_ok().then_some(FROM),
        "answer": null,
        "search_timeout": null,
        "order": null,
        "edge": status.map(|status| &status["edge"]),
        "targets": targets.iter().map(super::name).collect::<Vec<_>>(),
        "attempts": attempts,
        "routes": [],
        "api": verdict(judged),
    }))
}

/// Returns the limits of the edge that apply: for an emergency call only `emergency_calls`; all limits if only the
/// remote party may take the number for an emergency number.
fn limits(config: &Config, is_emergency: bool, is_bounded: bool) -> Vec<String> {
    let own = [("calls", config.limits.calls), ("calls_per_second", config.limits.calls_per_second)];
    let own = own.iter().filter(|(_, limit)| *limit > 0 && !is_emergency);
    let bound = (is_emergency || is_bounded).then(|| format!("emergency_calls {}", config.api.emergency_calls));
    bound.into_iter().chain(own.map(|(key, limit)| format!("{key} {limit}"))).collect()
}

/// Returns `{status, code, message}` of the API's response to the request.
fn verdict(judged: Result<(), ApiCallError>) -> Value {
    match judged {
        Ok(()) => json!({ "status": 201, "code": null, "message": null }),
        Err(ApiCallError { code, status, message }) => json!({ "status": status, "code": code, "message": message }),
    }
}

/// Formats the explanation of a call placed through the API; `None` for any other call.
pub(super) fn text(answer: &Value) -> Option<String> {
    let verdict = answer["api"].as_object()?;
    let caller = answer["caller"].as_str().unwrap_or_default();
    let emergency = if answer["emergency"] == true { " (emergency)" } else { "" };
    let from = if caller.is_empty() {
        "; From is not checked without --caller".to_owned()
    } else {
        format!(", From {caller}")
    };
    let mut out = format!("request to the API: To {}{emergency}{from}\n", super::shown(&answer["called"]));
    let limits: Vec<&str> = answer["limits"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !limits.is_empty() && verdict["status"] == 201 {
        out.push_str(&format!("limits of the edge: {} (429 beyond them)\n", limits.join("; ")));
    }
    match verdict["message"].as_str() {
        None => out.push_str("→ 201: would be accepted\n"),
        Some(message) => out.push_str(&format!("→ {}, code {}: {message}\n", verdict["status"], verdict["code"])),
    }
    answer["attempts"].as_array().into_iter().flatten().for_each(|attempt| out.push_str(&super::line_of(attempt)));
    if verdict["status"] == 201 {
        out.push_str(&present::note(answer));
    }
    Some(out)
}
