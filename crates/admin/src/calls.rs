//! `/v1/calls`: lists live and recent calls, shows one call, and hangs up.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trunkgate_call::change::FLAGS;
use trunkgate_call::numbers::mask;
use trunkgate_call::{CallView, LegView, ReasonSlug};

use super::ApiError;
use super::asked::bad_query;
use super::calls_csv;
use super::summary::CallSummary;
pub(crate) use trunkgate_config::nearest;
use trunkgate_delivery::sinks::store::calls::CallFilter;
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::limits;

/// Call states that the filter accepts; `live` stands for all states but `ended`.
pub const STATES: [&str; 8] = ["live", "trying", "ringing", "early", "answered", "held", "transferring", "ended"];

/// Flag of calls in which one party was not heard.
const ONE_WAY: &str = "one_way";
/// Value of the filter for the outcomes `failed` and `refused`, both of which the history counts as failed.
const LOST: &str = "lost";
/// Call outcomes that the filter accepts.
pub const OUTCOMES: [&str; 7] = ["answered", "busy", "no_answer", "canceled", "refused", "failed", LOST];

/// Path parameter `{sid}`: SID of a call.
#[derive(Debug)]
pub(super) struct Sid(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Sid {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Sid, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(sid)| Sid(sid)).map_err(|error| bad_request(error.body_text()))
    }
}

/// Directions of a call or of its code that the filter accepts, relative to the edge.
const DIRECTIONS: [&str; 2] = ["received", "sent"];

/// Formats in which the list is available.
const FORMATS: [&str; 2] = ["json", "csv"];

/// Query of `/v1/calls`: filters, format and extent of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallsQuery {
    state: Option<String>,
    trunk: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    /// Final SIP codes, separated by commas; the caller got one of them, or a leg was rejected with it.
    #[serde(default, deserialize_with = "codes")]
    code: Vec<u16>,
    /// Direction relative to `trunk`. `received`: calls to the trunk (or skipping it), and codes that it sent; `sent`:
    /// calls from the trunk, and codes that it got.
    direction: Option<String>,
    route: Option<String>,
    flag: Option<String>,
    /// Application that controls or last controlled the call.
    app: Option<String>,
    /// Trunk or agent that failed in the call, whether another target followed or not.
    failing: Option<String>,
    /// Trunk or agent that failed in the call and was followed by another target.
    failed: Option<String>,
    /// Reason for the failure of the target named by `failed`.
    failed_reason: Option<String>,
    /// Part of a number, a SID or a Call-ID of the call.
    search: Option<String>,
    /// Minimum duration from answer to end, in seconds.
    longer: Option<f64>,
    /// Exclusive maximum of the duration from answer to end, in seconds.
    shorter: Option<f64>,
    /// Earliest start of the call.
    since: Option<String>,
    /// Exclusive upper limit for the start of the call.
    until: Option<String>,
    limit: Option<usize>,
    /// Whether the response includes the [`CallSummary`] of all matching calls, listed or not.
    #[serde(default)]
    summary: bool,
    /// Format of the response: `json` or `csv`.
    format: Option<String>,
    /// Whether phone numbers are masked as in the log.
    #[serde(default)]
    mask: bool,
}

/// Conditions of a [`CallsQuery`] that a call does not meet and that the summary counts separately: it counts the calls
/// for each value of such a filter as if that filter were not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FilterMismatch {
    /// Whether the reason does not match the filter.
    pub(super) reason: bool,
    /// Whether none of the call's codes is in the filter.
    pub(super) code: bool,
    /// Whether the duration is outside of the filter's limits.
    pub(super) duration: bool,
}

impl FilterMismatch {
    /// Returns whether the call meets all conditions except those set in `this`.
    pub(super) fn only(self, this: FilterMismatch) -> bool {
        (!self.reason || this.reason) && (!self.code || this.code) && (!self.duration || this.duration)
    }

    /// Result for a call that meets all conditions.
    pub(super) const NONE: FilterMismatch = FilterMismatch { reason: false, code: false, duration: false };
}

impl CallsQuery {
    /// Returns the conditions with separate counts that a call does not meet; `None` if it does not meet another
    /// condition.
    fn judge(&self, call: &CallView) -> Option<FilterMismatch> {
        let state = self.state.as_deref().is_none_or(|state| match state {
            "live" => call.state != "ended",
            state => state == call.state,
        });
        let trunk = self.trunk.as_deref().is_none_or(|name| match self.direction.as_deref() {
            Some("sent") => call.legs.iter().any(|leg| is_of(leg, name) && leg.direction == "inbound"),
            Some(_) => call.legs.iter().any(|leg| is_of(leg, name) && leg.direction != "inbound") || passed(call, name),
            None => concerns(call, name),
        });
        let same =
            |wanted: &Option<String>, is: Option<&str>| wanted.as_deref().is_none_or(|wanted| is == Some(wanted));
        let others = state
            && trunk
            && self.outcome.as_deref().is_none_or(|wanted| match wanted {
                LOST => matches!(call.outcome, Some("failed" | "refused")),
                wanted => call.outcome == Some(wanted),
            })
            && same(&self.route, Some(&call.route))
            && same(&self.app, call.app.as_deref())
            && self.failing.as_deref().is_none_or(|name| fails(call, name))
            && self.failed.as_deref().is_none_or(|name| self.failed_over(call, name))
            && self.flag.as_deref().is_none_or(|flag| match (flag, self.trunk.as_deref()) {
                (ONE_WAY, Some(name)) => is_silent(call, name),
                (flag, _) => call.flags.contains(&flag),
            })
            && self.search.as_deref().is_none_or(|part| mentions(call, part))
            // The texts have one format, so they sort by time.
            && self.since.as_deref().is_none_or(|since| call.started_at.as_str() >= since)
            && self.until.as_deref().is_none_or(|until| call.started_at.as_str() < until);
        others.then(|| FilterMismatch {
            reason: !same(&self.reason, call.reason),
            code: !self.code.is_empty() && !self.codes(call).any(|its| self.code.contains(&its)),
            duration: !self.lasted(call),
        })
    }

    /// Returns the code that the caller got and the codes of rejected legs; with a direction, only the codes in that
    /// direction of the trunk.
    pub(super) fn codes<'a>(&'a self, call: &'a CallView) -> impl Iterator<Item = u16> + 'a {
        let (direction, trunk) = (self.direction.as_deref(), self.trunk.as_deref());
        let of_caller = call.sip_code.filter(|_| direction != Some("received"));
        let legs = call.legs.iter().filter(move |leg| match direction {
            None => true,
            Some("received") => leg.direction != "inbound" && trunk.is_none_or(|name| is_of(leg, name)),
            Some(_) => false,
        });
        legs.filter_map(|leg| leg.sip_code).chain(of_caller)
    }

    /// Returns whether the target with this name failed and the call failed over to another one.
    fn failed_over(&self, call: &CallView, name: &str) -> bool {
        let is_so = |reason: Option<&str>| self.failed_reason.is_none() || self.failed_reason.as_deref() == reason;
        let targets = || call.legs.iter().filter(|leg| leg.direction != "inbound");
        let tried = targets().take(targets().count().saturating_sub(1));
        // The last skipped target had no successor if the call was lost for the same reason.
        let cause = call.reason.filter(|_| call.outcome == Some("failed"));
        let is_end = call.passed_over.last().is_some_and(|last| Some(last.reason) == cause);
        let mut passed_on = call.passed_over.iter().take(call.passed_over.len() - usize::from(is_end));
        tried.filter(|leg| leg.state == "ended" && is_of(leg, name)).any(|leg| is_so(leg.reason))
            || passed_on.any(|one| one.target == name && is_so(Some(one.reason)))
    }

    fn lasted(&self, call: &CallView) -> bool {
        if self.longer.is_none() && self.shorter.is_none() {
            return true;
        }
        let Some(seconds) = answered_seconds(call) else { return false };
        self.longer.is_none_or(|longer| seconds >= longer) && self.shorter.is_none_or(|shorter| seconds < shorter)
    }
}

/// Returns the duration from answer to end, in seconds; `None` for a live or unanswered call.
pub(super) fn answered_seconds(call: &CallView) -> Option<f64> {
    let time = |text: &Option<String>| text.as_ref()?.parse::<Timestamp>().ok();
    Some(time(&call.ended_at)?.duration_since(time(&call.answered_at)?).as_secs_f64())
}

/// Returns whether a call has a leg to or from a trunk or agent, or skipped it.
fn concerns(call: &CallView, name: &str) -> bool {
    call.legs.iter().any(|leg| is_of(leg, name)) || passed(call, name)
}

/// Returns whether a call skipped a trunk or agent.
fn passed(call: &CallView, name: &str) -> bool {
    call.passed_over.iter().any(|one| one.target == name)
}

/// Returns whether a trunk or agent failed as a target: the call failed over to another one, or was lost or rejected
/// here.
fn fails(call: &CallView, name: &str) -> bool {
    let mut targets = call.legs.iter().filter(|leg| leg.direction != "inbound");
    let last = targets.next_back();
    let is_lost = call.outcome == Some("failed") || call.flags.contains(&"agent_failed");
    let is_rejected = |leg: &&LegView| call.outcome == Some("refused") && leg.sip_code.is_some_and(|code| code >= 400);
    targets.chain(last.filter(|leg| is_lost || is_rejected(leg))).any(|leg| leg.state == "ended" && is_of(leg, name))
}

/// Returns whether the party at a trunk or agent was not heard, by the flag that problems and the history count as
/// well. Calls stored by an earlier version have no flag for each leg.
fn is_silent(call: &CallView, name: &str) -> bool {
    let is_known = call.legs.iter().any(|leg| leg.silent);
    call.flags.contains(&ONE_WAY) && (!is_known || call.legs.iter().any(|leg| leg.silent && is_of(leg, name)))
}

/// Returns whether a leg leads to or from a trunk or agent.
fn is_of(leg: &LegView, name: &str) -> bool {
    leg.trunk == name || leg.agent == name
}

/// Returns whether a number, SID or Call-ID of a call contains `part`.
fn mentions(call: &CallView, part: &str) -> bool {
    let legs = call.legs.iter().flat_map(|leg| [&leg.sid, &leg.sip_call_id]);
    let conference = call.conference.as_ref().map(|conference| &conference.sid);
    let has =
        [&call.sid, &call.from, &call.to].into_iter().chain(legs).chain(conference).any(|text| text.contains(part));
    has || [&call.from, &call.to].into_iter().any(|number| is_number(number, part))
}

/// Maximum number of digits of a country code.
const COUNTRY_CODE_DIGITS: usize = 3;

/// Returns whether `part` occurs in a number. It may contain separators (spaces, hyphens, brackets, dots, slashes), or
/// be masked: `1415****112`.
fn is_number(number: &str, part: &str) -> bool {
    let is_digit = |c: &char| c.is_ascii_digit();
    if part.chars().any(|c| !c.is_ascii_digit() && !"+*-. ()/".contains(c)) || part.chars().filter(is_digit).count() < 3
    {
        return false;
    }
    let digits: String = number.chars().filter(is_digit).collect();
    let mut pieces = part.split('*').map(|piece| piece.chars().filter(is_digit).collect::<String>());
    let first = pieces.next().unwrap_or_default();
    let Some(last) = pieces.next_back() else { return digits.contains(&first) };
    // A mask hides the middle: the number ends with `last`, and `first` is at its start or after the country code.
    let rest = digits.find(&first).filter(|at| *at <= COUNTRY_CODE_DIGITS).map(|at| digits.len() - at);
    rest.is_some_and(|rest| rest > first.len() + last.len()) && digits.ends_with(&last)
}

/// Response of `/v1/calls`: `{"calls":[…],"summary":{…}}`.
#[derive(Debug, Serialize)]
pub(super) struct CallsResponse {
    /// Live calls, then ended calls, the one that ended last first.
    calls: Vec<Arc<CallView>>,
    /// Figures of all matching calls, with `summary=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<CallSummary>,
    #[serde(flatten)]
    extent: ListExtent,
}

/// Extent of the list, and the source of older calls.
#[derive(Debug, Serialize)]
struct ListExtent {
    /// Start of the list: calls that ended before are missing. Null if ended calls are stored (with `[api]`).
    listed_since: Option<String>,
    /// Calls that the previous process left live when it did not shut down cleanly (crash, SIGKILL, power cut); null if
    /// it was stopped, or had none.
    cut_short: Option<usize>,
    /// File of call records; null without `[cdr] file`.
    records: Option<String>,
}

impl ListExtent {
    fn of(handle: &EdgeHandle) -> ListExtent {
        let shared = &handle.shared;
        ListExtent {
            listed_since: (!shared.calls.is_stored()).then(|| shared.started_at.to_string()),
            cut_short: shared.cdr.calls_cut_short(),
            records: shared.running(|running| {
                let path = &running.config.cdr.file.as_ref()?.path;
                // The path is made absolute, because the reader has another working directory.
                Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string())
            }),
        }
    }
}

pub(super) async fn list(
    State(handle): State<EdgeHandle>,
    filter: Result<Query<CallsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(mut filter) = filter.map_err(|error| bad_query(&error))?;
    let reasons = ReasonSlug::ALL.map(ReasonSlug::as_str);
    one_of("state", &mut filter.state, &STATES)?;
    one_of("outcome", &mut filter.outcome, &OUTCOMES)?;
    one_of("flag", &mut filter.flag, &FLAGS)?;
    one_of("reason", &mut filter.reason, &reasons)?;
    one_of("direction", &mut filter.direction, &DIRECTIONS)?;
    one_of("failed_reason", &mut filter.failed_reason, &reasons)?;
    if filter.failed_reason.is_some() && filter.failed.is_none() {
        return Err(bad_request(
            "`failed_reason` is the reason why one target failed: add `failed` with its name".to_owned(),
        ));
    }
    if filter.direction.is_some() && filter.trunk.is_none() {
        return Err(bad_request("`direction` is relative to a trunk or agent: add `trunk`".to_owned()));
    }
    one_of("format", &mut filter.format, &FORMATS)?;
    date("since", &mut filter.since)?;
    date("until", &mut filter.until)?;
    let (is_csv, is_masked) = (filter.format.as_deref() == Some("csv"), filter.mask);
    let (trunk, route, app) = (filter.trunk.clone(), filter.route.clone(), filter.app.clone());
    let (failed, failing) = (filter.failed.clone(), filter.failing.clone());
    let mut found = found(&handle, filter).await?;
    // A name that a reload has removed still matches older calls, so it is unknown only if no call matches.
    if found.calls.is_empty() {
        let table = handle.table();
        let trunks = table.trunks().iter().map(|trunk| &*trunk.name);
        let (agents, apps): (Vec<String>, Vec<String>) = handle.shared.running(|running| {
            let config = &running.config;
            let agents = config.agents.iter().map(|agent| agent.name.to_string()).collect();
            (agents, config.apps.iter().map(|app| app.name.to_string()).collect())
        });
        let names: Vec<&str> = trunks.collect();
        // The legs of an agent carry the agent's name.
        let is_none = |name: &String| !agents.contains(name);
        known("trunk", trunk.filter(is_none).as_deref(), &names)?;
        known("trunk", failed.filter(is_none).as_deref(), &names)?;
        known("trunk", failing.filter(is_none).as_deref(), &names)?;
        let apps: Vec<&str> = apps.iter().map(String::as_str).collect();
        known("app", app.as_deref(), &apps)?;
        let routes: Vec<&str> = table.routes().iter().map(|route| &*route.name).collect();
        known("route", route.as_deref(), &routes)?;
    }
    if is_masked {
        for call in found.calls.iter_mut().map(Arc::make_mut) {
            call.from = mask(&call.from);
            call.to = mask(&call.to);
        }
    }
    if !is_csv {
        return Ok(Json(found).into_response());
    }
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"calls.csv\""),
    ];
    Ok((headers, calls_csv::table(&found.calls)).into_response())
}

/// Returns the newest matching calls, with a summary of all matching calls if requested.
async fn found(handle: &EdgeHandle, filter: CallsQuery) -> Result<CallsResponse, ApiError> {
    let limit = filter.limit.unwrap_or(limits::CALLS_LISTED);
    let (mut calls, mut summary) = (Vec::new(), filter.summary.then(CallSummary::new));
    let mut see = |call: Arc<CallView>| {
        if let Some(failed) = filter.judge(&call) {
            if let Some(summary) = &mut summary {
                summary.count(&call, filter.codes(&call), failed);
            }
            if failed == FilterMismatch::NONE && calls.len() < limit {
                calls.push(call);
            }
        }
        if calls.len() == limit && !filter.summary { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let (mut shown, mut is_done) = (HashSet::new(), false);
    let seen = |call: Arc<CallView>| {
        shown.insert(call.sid.clone());
        let flow = see(call);
        is_done = flow.is_break();
        flow
    };
    handle.visit_calls(seen).await?;
    if !is_done {
        visit_stored(handle, shown, filter.since.as_deref(), &mut see).await;
    }
    Ok(CallsResponse { calls, summary, extent: ListExtent::of(handle) })
}

/// Visits calls that ended before the last restart, at most as many as memory may hold.
async fn visit_stored(
    handle: &EdgeHandle,
    shown: HashSet<String>,
    since: Option<&str>,
    see: &mut (impl FnMut(Arc<CallView>) -> ControlFlow<()> + Send),
) {
    let mut left = limits::CALLS_SHOWN.saturating_sub(shown.len());
    let mut wanted = CallFilter { since: since.unwrap_or_default().to_owned(), ..CallFilter::default() };
    while left > 0 {
        let (calls, next) = handle.shared.calls.part(wanted.clone(), limits::CALLS_READ_AT_ONCE).await;
        for call in calls.into_iter().filter(|call| !shown.contains(&call.sid)).take(left) {
            left -= 1;
            if see(call).is_break() {
                return;
            }
        }
        let Some(next) = next else { return };
        wanted.behind = next;
    }
}

/// Parses SIP codes separated by commas: `403` or `403,503`.
fn codes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let one = |code: &str| code.trim().parse::<u16>().map_err(|_| format!("`{code}` is not a SIP code"));
    text.split(',').map(one).collect::<Result<Vec<u16>, String>>().map_err(serde::de::Error::custom)
}

/// Converts a date to the format used by calls, so that both compare as texts.
fn date(key: &str, written: &mut Option<String>) -> Result<(), ApiError> {
    let Some(text) = written else { return Ok(()) };
    let Ok(at) = text.parse::<Timestamp>() else {
        let text: String = text.chars().take(limits::NAMES_SHOWN_CHARS).collect();
        return Err(bad_request(format!("`{text}` is not a valid time for {key}, such as 2026-11-20T09:00:00Z")));
    };
    *text = format!("{at:.3}");
    Ok(())
}

/// Flags shown next to a call's state, with their short names.
pub const MARKED: [(&str, &str); 7] = [
    ("one_way", "silent"),
    ("codec_mismatch", "codecs"),
    ("unsent", "unsent"),
    ("loss", "loss"),
    ("app_error", "app"),
    ("agent_failed", "agent"),
    ("recording_gap", "rec"),
];

/// Checks a word of the query, with `-` accepted for `_`. The error for an unknown word suggests similar ones.
fn one_of(key: &str, written: &mut Option<String>, words: &[&str]) -> Result<(), ApiError> {
    let Some(word) = written else { return Ok(()) };
    let meant = word.replace('-', "_");
    if !words.contains(&meant.as_str()) {
        let word: String = word.chars().take(limits::NAMES_SHOWN_CHARS).collect();
        let shown = MARKED.iter().filter(|_| key == "flag").find(|(_, mark)| *mark == meant).map(|(flag, _)| *flag);
        let help = match shown.or_else(|| nearest(&meant, words.iter().copied())) {
            Some(like) => format!("did you mean `{like}`?"),
            None if words.len() > limits::NAMES_SHOWN => {
                let parts: Vec<&str> = meant.split('_').filter(|part| part.len() > 2).collect();
                let like = words.iter().filter(|known| parts.iter().any(|part| known.contains(part)));
                let like: Vec<&str> = like.copied().take(limits::NAMES_SHOWN).collect();
                match like.as_slice() {
                    [] => "`trunkgate help reasons --markdown` lists all".to_owned(),
                    like => format!("did you mean one of {}?", like.join(", ")),
                }
            }
            None => words.join(", "),
        };
        return Err(bad_request(format!("`{word}` is not a known {key}: {help}")));
    }
    *word = meant;
    Ok(())
}

/// Checks a name in the query. The error for an unknown name suggests the most similar one, or lists some.
fn known(key: &str, written: Option<&str>, names: &[&str]) -> Result<(), ApiError> {
    let Some(name) = written.filter(|name| !names.contains(name)) else { return Ok(()) };
    let shown: String = name.chars().take(limits::NAMES_SHOWN_CHARS).collect();
    let help = match nearest(name, names.iter().copied()) {
        Some(like) => format!("did you mean `{like}`?"),
        None if names.is_empty() => "none is configured".to_owned(),
        None => {
            let more = if names.len() > limits::NAMES_SHOWN { ", …" } else { "" };
            let some: Vec<&str> = names.iter().copied().take(limits::NAMES_SHOWN).collect();
            format!("known: {}{more}", some.join(", "))
        }
    };
    Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_name", format!("unknown {key} `{shown}`: {help}")))
}

pub(super) async fn show(State(handle): State<EdgeHandle>, Sid(sid): Sid) -> Result<Json<CallView>, ApiError> {
    find(&handle, &sid).await.map(Json)
}

/// Hangs up a call: responds with 202 after BYE or CANCEL is sent, without waiting for the SIP responses.
pub(super) async fn hang_up(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let call = find(&handle, &sid).await?;
    if call.state == "ended" {
        return Err(ApiError::new(StatusCode::CONFLICT, "call_ended", format!("call {sid} has ended")));
    }
    handle.hangup(&sid).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "sid": sid }))))
}

pub(super) async fn find(handle: &EdgeHandle, sid: &str) -> Result<CallView, ApiError> {
    handle.call(sid).await?.ok_or_else(|| unknown(sid))
}

/// Returns the error for an unknown call.
pub(super) fn unknown(sid: &str) -> ApiError {
    let shown: String = sid.chars().take(64).collect();
    // SIDs of messages occur beside those of calls in logs and applications.
    let hint = if sid.starts_with("SM") {
        format!(" (a text message: GET /2010-04-01/Accounts/ACCOUNT_SID/Messages/{shown}.json)")
    } else {
        String::new()
    };
    ApiError::new(StatusCode::NOT_FOUND, "unknown_call", format!("unknown call: {shown}{hint}"))
}

fn bad_request(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_call::view::PassedOverView;

    use trunkgate_testing::views::began;
    use trunkgate_testing::views::leg;

    #[test]
    fn a_silent_party_has_its_own_calls_alone() {
        let call = |silent: [bool; 2], sid: &str| {
            let side = |n: u64, name: &str, silent| LegView { silent, ..leg(n, "sip", name) };
            let legs = vec![side(1, "carrier", silent[0]), side(2, "pbx", silent[1])];
            let flags = if silent == [false; 2] { Vec::new() } else { vec!["one_way"] };
            CallView { legs, flags, ..began(sid) }
        };
        let calls = [
            call([true, false], "CA1"),
            call([false, true], "CA2"),
            call([true, true], "CA3"),
            call([false; 2], "CA4"),
        ];
        let earlier = CallView { flags: vec!["one_way"], ..call([false; 2], "CA5") };
        let listed = |trunk: Option<&str>| {
            let filter = CallsQuery {
                flag: Some("one_way".to_owned()),
                trunk: trunk.map(str::to_owned),
                ..CallsQuery::default()
            };
            calls
                .iter()
                .chain([&earlier])
                .filter(|call| filter.judge(call).is_some())
                .map(|call| call.sid.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(listed(Some("carrier")), ["CA1", "CA3", "CA5"]);
        assert_eq!(listed(Some("pbx")), ["CA2", "CA3", "CA5"]);
        assert_eq!(listed(None), ["CA1", "CA2", "CA3", "CA5"]);
    }

    #[test]
    fn a_code_of_one_direction_is_not_found_in_the_other() {
        let call = |caller: &str, target: &str, code: u16| {
            let rejected = LegView { sip_code: Some(code), ..leg(2, "sip", target) };
            CallView { legs: vec![leg(1, "sip", caller), rejected], sip_code: Some(code), ..began("CA1") }
        };
        let (to_pbx, from_pbx) = (call("carrier", "pbx", 486), call("pbx", "carrier", 486));
        let filter = |direction: Option<&str>, code| CallsQuery {
            trunk: Some("pbx".to_owned()),
            direction: direction.map(str::to_owned),
            code: vec![code],
            ..CallsQuery::default()
        };
        let finds = |filter: &CallsQuery, call| filter.judge(call) == Some(FilterMismatch::NONE);
        for (direction, found) in
            [(Some("received"), [true, false]), (Some("sent"), [false, true]), (None, [true, true])]
        {
            let filter = filter(direction, 486);
            assert_eq!([finds(&filter, &to_pbx), finds(&filter, &from_pbx)], found, "{direction:?}");
        }
        // The trunk's caller got 503, after the next target had rejected the call with 486.
        let other = CallView { sip_code: Some(503), ..from_pbx.clone() };
        assert!(finds(&filter(Some("sent"), 503), &other) && !finds(&filter(Some("sent"), 486), &other));
    }

    #[test]
    fn a_call_that_skipped_an_agent_is_one_to_it() {
        let skipped = PassedOverView { target: "dead".to_owned(), reason: "agent_skipped" };
        let call = CallView { legs: vec![leg(1, "sip", "carrier")], passed_over: vec![skipped], ..began("CA1") };
        let found = |direction: Option<&str>| {
            let (trunk, direction) = (Some("dead".to_owned()), direction.map(str::to_owned));
            CallsQuery { trunk, direction, ..CallsQuery::default() }.judge(&call) == Some(FilterMismatch::NONE)
        };
        assert_eq!([Some("received"), Some("sent"), None].map(found), [true, false, true]);
        let failed_over = |call: &CallView| {
            CallsQuery { failed: Some("dead".to_owned()), ..CallsQuery::default() }.judge(call)
                == Some(FilterMismatch::NONE)
        };
        assert!(failed_over(&call));
        let lost = CallView { outcome: Some("failed"), reason: Some("agent_skipped"), ..call.clone() };
        assert!(!failed_over(&lost), "no other target was tried");
    }

    #[test]
    fn calls_are_found_by_application_by_the_target_that_failed_and_while_they_live() {
        let failed = |n, name: &str, reason| LegView {
            state: "ended",
            reason: Some(reason),
            agent: name.to_owned(),
            ..leg(n, "agent", "")
        };
        let outbound = |leg: LegView| LegView { direction: "outbound", ..leg };
        let legs = vec![
            leg(1, "sip", "carrier"),
            outbound(failed(2, "bot", "agent_unreachable")),
            outbound(failed(3, "spare", "caller_hung_up")),
        ];
        let ended = CallView { legs, app: Some("ivr".to_owned()), state: "ended", sip_code: Some(503), ..began("CA1") };
        let live = CallView { state: "answered", ..ended.clone() };
        let finds = |filter: &str, call| {
            let Query(filter) = Query::<CallsQuery>::try_from_uri(&format!("/?{filter}").parse().unwrap()).unwrap();
            filter.judge(call) == Some(FilterMismatch::NONE)
        };
        for (filter, found) in [
            ("app=ivr", true),
            ("app=other", false),
            ("failed=bot", true),
            ("failed=bot&failed_reason=agent_unreachable", true),
            ("failed=bot&failed_reason=no_response", false),
            // The call ended with this target, so there was no failover.
            ("failed=spare", false),
            ("failing=bot", true),
            ("failing=spare", false),
            ("failing=carrier", false),
            ("state=live", false),
            ("outcome=lost", false),
            ("code=403,503", true),
            ("code=403,486", false),
        ] {
            assert_eq!(finds(filter, &ended), found, "{filter}");
        }
        let lost = CallView { outcome: Some("failed"), ..ended.clone() };
        assert!(finds("failing=spare", &lost) && finds("failing=bot", &lost) && !finds("failing=carrier", &lost));
        let refused = CallView { outcome: Some("refused"), ..ended.clone() };
        assert!(!finds("failing=spare", &refused), "the edge has refused it");
        assert!(finds("outcome=lost", &lost) && finds("outcome=lost", &refused) && !finds("outcome=refused", &lost));
        let mut rejected = refused.clone();
        rejected.legs.iter_mut().for_each(|leg| leg.sip_code = Some(403));
        assert!(finds("failing=spare", &rejected));
        assert!(finds("state=live", &live) && !finds("state=ended", &live));
        assert!(Query::<CallsQuery>::try_from_uri(&"/?code=403,x".parse().unwrap()).is_err());
    }

    #[test]
    fn a_number_is_found_as_people_write_it() {
        let found = |part| is_number("+14155550112", part);
        let written = ["+1 415-555-0112", "(415) 555-0112", "415.555"];
        for part in
            written.into_iter().chain(["1415****112", "+1415****112", "****112", "1415*", "415****", "415****112"])
        {
            assert!(found(part), "{part}");
        }
        for part in [
            "(415) 555-0113",
            "1415****113",
            "2415****112",
            "55501****",
            "415****555",
            "+14155550112****0112",
            "41",
            "555a",
            "(*)",
            "",
        ] {
            assert!(!found(part), "{part}");
        }
    }
}
