//! Data of the console except calls: `/v1/history`, `/v1/routes`, `/v1/security`.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trunkgate_call::view::{BanView, LoginView, SourceView, UnknownView};
use trunkgate_route::{Route, TargetSpec};

use super::ApiError;
use super::asked::bad_query;
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_runtime::history::{HistorySample, TroubleView};
use trunkgate_runtime::http_logins::HttpLoginView;
use trunkgate_runtime::transport::TlsFaultsView;
use trunkgate_system::clock;
use trunkgate_system::limits;

/// Query of `/v1/history`: the requested samples.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// Period and resolution: `hour` (a sample every ten seconds) or `day` (every five minutes).
    span: Option<String>,
    /// Start of the first requested sample.
    pub since: Option<String>,
}

/// Response of `/v1/history`, drawn by the console.
#[derive(Debug, Serialize)]
pub(super) struct HistoryResponse {
    /// Interval between two samples, in seconds.
    seconds: u64,
    samples: Vec<HistorySample>,
    /// Problems of the last hour, the worst first.
    troubles: Vec<TroubleView>,
}

pub(super) async fn history(
    State(handle): State<EdgeHandle>,
    part: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Json<HistoryResponse>, ApiError> {
    let Query(part) = part.map_err(|error| bad_query(&error))?;
    let bad = |message: String| ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message);
    let coarse = match part.span.as_deref() {
        None | Some("hour") => false,
        Some("day") => true,
        Some(other) => return Err(bad(format!("`{other}` is not a valid span: use hour or day"))),
    };
    let since = part.since.as_deref().map(|text| {
        text.parse::<Timestamp>().map_err(|_| bad(format!("`{text}` is not a time: 2026-11-20T09:00:00Z")))
    });
    let since = since.transpose()?;
    let many = if coarse { u64::from(limits::HISTORY_FINE_IN_COARSE) } else { 1 };
    Ok(Json(handle.history(|history| HistoryResponse {
        seconds: limits::HISTORY_FINE_SECONDS * many,
        samples: history.samples(coarse, since),
        troubles: history.troubles(clock::now()),
    })))
}

/// Route of the table in force.
#[derive(Debug, Serialize)]
pub(super) struct RouteReport {
    /// Name of the route.
    name: String,
    /// Line in the configuration file; null if the route is in another file.
    line: Option<usize>,
    /// Trunks that callers may come from; an empty list permits all, as for `to`, `caller` and `when`.
    from: Vec<String>,
    /// Called numbers that match.
    to: Vec<String>,
    /// Calling numbers that match.
    caller: Vec<String>,
    /// Schedules during which the route matches.
    when: Vec<String>,
    /// Percentage of the matching calls that the route takes.
    share: u8,
    /// Targets as in the configuration.
    connect: Vec<String>,
    /// Listeners as in the configuration.
    fork: Vec<String>,
    /// Whether the lines of a `routes_file` determine the targets.
    has_file: bool,
    /// Calls of the route that have ended since the start, by outcome.
    calls: BTreeMap<&'static str, u64>,
}

/// `{"routes":[…]}`
#[derive(Debug, Serialize)]
pub(super) struct RoutesResponse {
    routes: Vec<RouteReport>,
}

pub(super) async fn routes(State(handle): State<EdgeHandle>) -> Result<Json<RoutesResponse>, ApiError> {
    let counted = handle.counted().await?;
    let mut calls: BTreeMap<String, BTreeMap<&'static str, u64>> = BTreeMap::new();
    for ((_, route, outcome), count) in &counted.metrics.calls {
        *calls.entry(route.to_string()).or_default().entry(*outcome).or_default() += count;
    }
    let table = handle.table();
    let lines: Vec<Option<usize>> = handle
        .shared
        .running(|running| (0..table.routes().len()).map(|position| running.config.places.route(position)).collect());
    let report = |(route, line): (&std::sync::Arc<Route>, Option<usize>)| RouteReport {
        name: route.name.to_string(),
        line,
        from: route.from.clone(),
        to: route.to.iter().map(ToString::to_string).collect(),
        caller: route.caller.iter().map(ToString::to_string).collect(),
        when: route.when.iter().map(ToString::to_string).collect(),
        share: route.share,
        connect: route.connect.iter().map(target).collect(),
        fork: route.fork.clone(),
        has_file: route.file.is_some(),
        calls: calls.get(&*route.name).cloned().unwrap_or_default(),
    };
    Ok(Json(RoutesResponse { routes: table.routes().iter().zip(lines).map(report).collect() }))
}

/// Returns a target as written in the configuration.
fn target(target: &TargetSpec) -> String {
    match target {
        TargetSpec::Trunk { name, number, weight } => {
            let number = number.as_ref().map(|number| format!("/{number}")).unwrap_or_default();
            let weight = weight.map(|weight| format!("@{weight}")).unwrap_or_default();
            format!("trunk:{name}{number}{weight}")
        }
        TargetSpec::Uri { uri, .. } => uri.clone(),
        TargetSpec::Agent(name) => format!("agent:{name}"),
        TargetSpec::App(name) => format!("app:{name}"),
        TargetSpec::Play(file) => format!("play:{file}"),
        TargetSpec::Voicemail(name) => format!("voicemail:{name}"),
        TargetSpec::Conference(name) => format!("conference:{name}"),
        TargetSpec::Reject(code) => format!("reject:{code}"),
        TargetSpec::RingAll(targets) => {
            format!("ring all: {}", targets.iter().map(self::target).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Rejected traffic: unknown sources, failed authentications, bans and refused calls.
#[derive(Debug, Serialize)]
pub(super) struct SecurityReport {
    /// SIP from unknown sources; null if there was none in the last hour.
    unknown: Option<UnknownView>,
    /// TCP and TLS connections of unknown sources closed in the last hour, counted as `messages`.
    closed: Option<UnknownView>,
    /// Unknown sources of the last hour, at most 20, the one with the most messages first.
    sources: Vec<SourceView>,
    /// Failed TLS handshakes with listeners; null if there was none in the last hour.
    tls_failures: Option<TlsFaultsView>,
    /// Banned addresses, the one whose ban ends first at the top.
    banned: Vec<BanView>,
    /// Number of banned addresses, including those not listed.
    banned_in_all: u64,
    /// Messages dropped without an answer since the start, by reason.
    dropped: BTreeMap<&'static str, u64>,
    /// Sources whose latest three or more requests had wrong credentials for `require_auth`, within the last hour, the
    /// newest first.
    wrong_credentials: Vec<LoginView>,
    /// Sources with three or more HTTP requests with wrong credentials in the last hour, the newest first.
    wrong_http_credentials: Vec<HttpLoginView>,
    /// Calls that a limit, `deny` or a similar rule refused since the start.
    refused: Vec<RefusedCalls>,
}

#[derive(Debug, Serialize)]
struct RefusedCalls {
    /// Name of the trunk.
    trunk: String,
    /// One of the [reasons](reasons.md).
    reason: &'static str,
    /// Number of calls.
    count: u64,
}

pub(super) async fn security(State(handle): State<EdgeHandle>) -> Result<Json<SecurityReport>, ApiError> {
    let tls_failures = handle.shared.sockets.tls_faults.view(Instant::now());
    let closed = handle.shared.sockets.closed(Instant::now());
    let wrong_http_credentials = handle.shared.logins.views(Instant::now());
    let look = move |gateway: &trunkgate_call::Gateway, now| {
        let metrics = gateway.metrics();
        let refused = metrics.limits_reached.iter().filter(|(_, count)| **count > 0);
        SecurityReport {
            unknown: gateway.unknown_sources(now),
            closed,
            sources: gateway.unknown_senders(now),
            tls_failures,
            banned: gateway.banned(now, limits::BANS_SHOWN),
            banned_in_all: metrics.sources_banned,
            dropped: metrics.sip.dropped.clone(),
            wrong_credentials: gateway.status(now).logins,
            wrong_http_credentials,
            refused: refused
                .map(|((trunk, reason), count)| RefusedCalls { trunk: trunk.to_string(), reason, count: *count })
                .collect(),
        }
    };
    Ok(Json(handle.ask(look).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_shown_as_they_are_written() {
        let trunk = |number: Option<&str>, weight| TargetSpec::Trunk {
            name: "pbx".into(),
            number: number.map(str::to_owned),
            weight,
        };
        assert_eq!(target(&trunk(Some("+1415"), Some(3))), "trunk:pbx/+1415@3");
        let both = TargetSpec::RingAll(vec![trunk(None, None), TargetSpec::Reject(486)]);
        assert_eq!(target(&both), "ring all: trunk:pbx, reject:486");
        assert_eq!(target(&TargetSpec::Agent("bot".into())), "agent:bot");
    }
}
