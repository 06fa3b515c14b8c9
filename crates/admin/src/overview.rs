//! What the console shows besides calls: `/v1/history`, `/v1/routes`, `/v1/security`.

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
use trunkgate_runtime::handle::Handle;
use trunkgate_runtime::history::{Sample, TroubleView};
use trunkgate_runtime::http_logins::HttpLoginView;
use trunkgate_runtime::transport::TlsFaultsView;
use trunkgate_system::clock;
use trunkgate_system::limits;

/// Which part of the history is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// `hour`, a sample each ten seconds, or `day`, one each five minutes.
    span: Option<String>,
    /// Only what came after.
    pub since: Option<String>,
}

/// What plots are drawn from.
#[derive(Debug, Serialize)]
pub(super) struct Past {
    /// How far samples are apart.
    seconds: u64,
    samples: Vec<Sample>,
    /// What went wrong in the last hour, the worst first.
    troubles: Vec<TroubleView>,
}

pub(super) async fn history(
    State(handle): State<Handle>,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<Past>, ApiError> {
    let Query(part) = part.map_err(|error| bad_query(&error))?;
    let bad = |message: String| ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message);
    let coarse = match part.span.as_deref() {
        None | Some("hour") => false,
        Some("day") => true,
        Some(other) => return Err(bad(format!("`{other}` is not a span: hour, day"))),
    };
    let since = part.since.as_deref().map(|text| {
        text.parse::<Timestamp>().map_err(|_| bad(format!("`{text}` is not a time: 2026-11-20T09:00:00Z")))
    });
    let since = since.transpose()?;
    let many = if coarse { u64::from(limits::HISTORY_FINE_IN_COARSE) } else { 1 };
    Ok(Json(handle.history(|history| Past {
        seconds: limits::HISTORY_FINE_SECONDS * many,
        samples: history.samples(coarse, since),
        troubles: history.troubles(clock::now()),
    })))
}

/// A route of the table in force.
#[derive(Debug, Serialize)]
pub(super) struct RouteReport {
    name: String,
    /// Line of the file; `null` where it is of another file.
    line: Option<usize>,
    from: Vec<String>,
    to: Vec<String>,
    caller: Vec<String>,
    when: Vec<String>,
    /// Of a hundred calls, how many it takes.
    share: u8,
    /// As written.
    connect: Vec<String>,
    fork: Vec<String>,
    /// Whether lines of a `routes_file` decide.
    has_file: bool,
    /// Calls that it took and that ended since the start, by outcome.
    calls: BTreeMap<&'static str, u64>,
}

/// `{"routes":[…]}`
#[derive(Debug, Serialize)]
pub(super) struct Routes {
    routes: Vec<RouteReport>,
}

pub(super) async fn routes(State(handle): State<Handle>) -> Result<Json<Routes>, ApiError> {
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
    Ok(Json(Routes { routes: table.routes().iter().zip(lines).map(report).collect() }))
}

/// A target as written.
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

/// Who was kept out.
#[derive(Debug, Serialize)]
pub(super) struct Security {
    /// SIP from addresses of no trunk, where some came lately.
    unknown: Option<UnknownView>,
    /// TCP and TLS connections of such addresses that were closed, where some came lately: how many, as `messages`.
    closed: Option<UnknownView>,
    /// Addresses of no trunk that sent SIP in the last hour, the most active first.
    sources: Vec<SourceView>,
    /// TLS handshakes that others began and that failed, where some did lately.
    tls_failures: Option<TlsFaultsView>,
    /// Addresses that are banned, the first that will be heard again first.
    banned: Vec<BanView>,
    /// How many are in all.
    banned_in_all: u64,
    /// SIP messages that were dropped without an answer, by reason, since the start.
    dropped: BTreeMap<&'static str, u64>,
    /// Sources whose requests have wrong credentials for `require_auth`, the newest first.
    wrong_credentials: Vec<LoginView>,
    /// Sources whose HTTP requests have wrong credentials, the newest first.
    wrong_http_credentials: Vec<HttpLoginView>,
    /// Calls that a limit, `deny` or the like refused, since the start.
    refused: Vec<Refusal>,
}

#[derive(Debug, Serialize)]
struct Refusal {
    trunk: String,
    reason: &'static str,
    count: u64,
}

pub(super) async fn security(State(handle): State<Handle>) -> Result<Json<Security>, ApiError> {
    let tls_failures = handle.shared.sockets.tls_faults.view(Instant::now());
    let closed = handle.shared.sockets.closed(Instant::now());
    let wrong_http_credentials = handle.shared.logins.views(Instant::now());
    let look = move |gateway: &trunkgate_call::Gateway, now| {
        let metrics = gateway.metrics();
        let refused = metrics.limits_reached.iter().filter(|(_, count)| **count > 0);
        Security {
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
                .map(|((trunk, reason), count)| Refusal { trunk: trunk.to_string(), reason, count: *count })
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
