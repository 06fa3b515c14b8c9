//! `/v1/status`: state of the edge with its problems; `/v1/why`, `/v1/reload` and `/v1/drain`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Value, json};
use trunkgate_call::diagnosis::SILENCE;
use trunkgate_call::view::{
    AppView, LimitView, LoginView, SilentView, StrayView, TrunkView, UnknownView, UnrecordedView,
};
use trunkgate_call::{NO_AGENT_AUDIO, dns};

use super::ApiError;
use super::agent_problems::{of_agent, silent_agent};
use super::agents::AgentReport;
use super::asked::bad_query;
use super::recognition::recogniser_now;
use super::trunk_problems::{is_unsent, of_trunk, stale_names, tally};
use super::twilio::{IgnoredParameter, ignored_parameters};
use super::way::Way;
use super::{mute, outages};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use trunkgate_config::OverrideReport;
use trunkgate_delivery::webhooks::codes;
use trunkgate_explain::why::CallQuestion;
use trunkgate_runtime::call_state::report::{StateReport, TakeoverReport};
use trunkgate_runtime::handle::{EdgeHandle, EdgePhase, SignallingEnded};
use trunkgate_runtime::handover::{UpgradeBegun, UpgradeRequest};
use trunkgate_runtime::messages::first_url;
use trunkgate_runtime::reload::{ReloadError, ReloadSummary};
use trunkgate_runtime::settings::BoundListener;
use trunkgate_runtime::transport::TlsFaultsView;
use trunkgate_system::clock;
use trunkgate_system::limits;
use trunkgate_system::problem::kind::{Consequence, EdgeProblem, ProblemKind, Silence, TrunkProblem, Unheard};
use trunkgate_system::problem::{Harm, Party, Problem};
use trunkgate_system::text::number;
use trunkgate_system::tls_words::CLIENT_NOT_TLS;

/// Response of `/v1/status`, printed by `trunkgate status`.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// Name of the edge (`[edge] name`).
    pub edge: String,
    /// Version of the program.
    pub version: &'static str,
    /// `starting`, `ready`, `draining`.
    pub state: &'static str,
    /// Start of the edge.
    pub started_at: String,
    /// Time since the start, in seconds.
    pub uptime_seconds: u64,
    /// Process id.
    pub pid: u32,
    /// Configuration in force.
    pub config: ConfigReport,
    /// SIP listeners in the order of the file.
    pub listeners: Vec<ListenerReport>,
    /// Address of the TLS listener of the Twilio-compatible API; `null` without one.
    pub api_tls: Option<String>,
    /// Media of all calls.
    pub media: MediaReport,
    /// Live calls.
    pub calls: usize,
    /// `[limits] calls`.
    pub calls_limit: u32,
    /// Number of active [conferences](../configure/conferences.md).
    pub conferences: usize,
    /// Number of participants of all active conferences.
    pub conference_parties: usize,
    /// Number of call [queues](../configure/queues.md).
    pub queues: usize,
    /// Number of callers that wait in queues.
    pub queued_calls: usize,
    /// Longest waiting time of a queued caller, in seconds.
    pub queue_longest_wait_seconds: u64,
    /// Saved state of answered calls, from which they continue [after a crash](../operate/crash.md); null without
    /// `[edge] state`.
    pub call_state: Option<StateReport>,
    /// Calls that this process has taken over from an earlier one at an upgrade or after a crash; null if there was
    /// none.
    pub taken_over: Option<TakeoverReport>,
    /// Whether new calls are refused because they would wait too long.
    pub overloaded: bool,
    /// Whether no route has a target that is available now.
    pub without_target: bool,
    /// Trunks in the order of the file.
    pub trunks: Vec<TrunkView>,
    /// Agents in the order of the file.
    pub agents: Vec<AgentReport>,
    /// Ignored parameters of requests to the [Twilio-compatible API](twilio-compat.md#rest-api) since the start, the
    /// most frequent first, at most 100.
    pub ignored_parameters: Vec<IgnoredParameter>,
    /// Current problems, a sentence each, the greatest harm to calls first; empty if there are none.
    pub problems: Vec<String>,
    /// Current problems as objects, in the order of `problems`.
    pub problem_details: Vec<Problem>,
}

/// The configuration in force.
#[derive(Debug, Serialize)]
pub struct ConfigReport {
    /// File of the configuration.
    pub path: String,
    /// Time at which the file was read.
    pub loaded_at: String,
    /// Number of warnings; `check` prints them.
    pub warnings: usize,
    /// Whether the last reload was accepted; true before the first.
    pub last_reload_success: bool,
    /// First error of the last reload with its place, and the number of errors; null if the reload was accepted.
    pub last_reload_error: Option<String>,
    /// Keys that a reload found changed but that only a restart applies; see [`needs_restart`](#reload).
    pub restart_needed: Vec<String>,
    /// Progress of a reload that has read a `routes_file` for more than a second: `numbers.csv: 250000 lines read`.
    pub reading: Option<String>,
    /// Numbers with settings of the [Twilio-compatible API](twilio-api.md#numbers) that override the file.
    pub number_overrides: Vec<OverrideReport>,
}

/// A SIP listener.
#[derive(Debug, Serialize)]
pub struct ListenerReport {
    /// Name of the listener.
    pub name: String,
    /// `udp`, `tcp`, `tls`.
    pub transport: &'static str,
    /// Local address.
    pub address: String,
    /// Whole days until the certificate expires, negative after expiry; null without TLS.
    pub certificate_days: Option<i64>,
}

/// Use of media resources.
#[derive(Debug, Serialize)]
pub struct MediaReport {
    /// Media ports in use.
    pub ports_in_use: usize,
    /// Media ports in total.
    pub ports: usize,
    /// Calls with open media.
    pub sessions: u64,
}

/// Determines the problems periodically, so that each has the time since which it exists, and is logged.
pub async fn watch(handle: EdgeHandle) {
    let mut turns = tokio::time::interval(Duration::from_secs(limits::PROBLEMS_EVERY_SECONDS));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if StatusReport::of(&handle).await.is_err() {
            return;
        }
    }
}

/// Returns the first warnings about the configuration in force: `{"warnings":[…]}`.
pub(super) async fn warnings(State(handle): State<EdgeHandle>) -> Json<Value> {
    Json(json!({ "warnings": handle.shared.running(|running| running.warned.clone()) }))
}

impl ConfigReport {
    fn of(handle: &EdgeHandle) -> ConfigReport {
        let (_, _, last_reload_success) = handle.reloads();
        handle.shared.running(|running| ConfigReport {
            path: running.config.path.display().to_string(),
            loaded_at: running.loaded_at.to_string(),
            warnings: running.warnings,
            last_reload_success,
            last_reload_error: running.last_rejected.clone(),
            restart_needed: running.restart_needed.clone(),
            reading: trunkgate_config::reading(),
            number_overrides: running.told_overrides(),
        })
    }
}

impl ListenerReport {
    fn all(handle: &EdgeHandle) -> Vec<ListenerReport> {
        let (expiries, now) = (handle.shared.tls.borrow().first_expiries(), clock::now());
        let days = |name: &str| {
            let (.., expires) = expiries.iter().find(|(kind, of, _)| *kind == "listener" && of == name)?;
            Some(expires.duration_since(now).as_hours().div_euclid(24))
        };
        let report = |listener: &BoundListener| ListenerReport {
            certificate_days: days(&listener.name),
            name: listener.name.clone(),
            transport: listener.transport.as_str(),
            address: listener.address.to_string(),
        };
        handle.listeners().iter().map(report).collect()
    }
}

impl StatusReport {
    async fn of(handle: &EdgeHandle) -> Result<StatusReport, SignallingEnded> {
        let gateway = handle.status().await?;
        let shared = &handle.shared;
        let mut report = StatusReport {
            edge: gateway.edge,
            version: env!("CARGO_PKG_VERSION"),
            state: handle.phase().as_str(),
            started_at: shared.started_at.to_string(),
            uptime_seconds: handle.uptime().as_secs(),
            pid: std::process::id(),
            config: ConfigReport::of(handle),
            listeners: ListenerReport::all(handle),
            api_tls: shared.own.borrow().api().map(|address| address.to_string()),
            media: MediaReport {
                ports_in_use: gateway.ports_in_use,
                ports: gateway.ports,
                sessions: handle.workers().iter().map(|worker| worker.sessions.get()).sum(),
            },
            calls: gateway.calls,
            calls_limit: gateway.calls_limit,
            conferences: gateway.conferences[0],
            conference_parties: gateway.conferences[1],
            queues: gateway.queues.queues,
            queued_calls: gateway.queues.waiting,
            queue_longest_wait_seconds: gateway.queues.longest_seconds,
            call_state: shared
                .running(|running| running.config.data.state.is_some())
                .then(|| StateReport::of(&shared.call_state)),
            taken_over: shared.call_state.taken_over.get().cloned(),
            overloaded: handle.load.borrow().overloaded,
            without_target: false,
            trunks: gateway.trunks,
            agents: AgentReport::all(handle, gateway.agents),
            ignored_parameters: ignored_parameters(handle),
            problems: Vec::new(),
            problem_details: Vec::new(),
        };
        let (trunks, agents) = (&report.trunks[..], &report.agents[..]);
        let (table, unanswered) = (&handle.table(), &shared.stale_names.unanswered()[..]);
        let way = Way { table, trunks, agents, apps: &gateway.failing_apps, unanswered };
        let mut problems = report.problems_now(handle, &gateway.silent, &way);
        problems.extend(report.of_sinks(handle, gateway.unrecorded.as_ref()));
        report.add_live_silence(&gateway.silent, &mut problems);
        problems.extend(gateway.limited.iter().map(|limited| limit_now(limited, &way)));
        let logins = blame_password(&mut problems, &gateway.logins, trunks);
        problems.extend(logins_now(&logins));
        problems.extend(gateway.failing_apps.iter().filter_map(of_app));
        if way.table.routes().iter().all(|route| route.record) {
            // Without a target no call succeeds, and rejected calls are the problem to solve first.
            problems.iter_mut().filter(|one| one.kind.is_calls_refused()).for_each(|one| one.harm = Harm::Edge);
        }
        report.without_target = outages::is_total(&problems, &way);
        let mut problems = mute::joined(outages::joined(problems, &way));
        problems.extend(gateway.recognition.as_ref().and_then(recogniser_now));
        problems.extend(gateway.stray.map(stray_now));
        problems.extend(of_strangers(handle, gateway.unknown));
        Problem::arrange(&mut problems);
        // Callers of live calls without audio hang up within seconds, so these calls come first.
        Problem::raise(&mut problems, |one| report.is_live_silence(one, &gateway.silent));
        shared.note_problems(&mut problems);
        report.problems = problems.iter().map(Problem::to_string).collect();
        report.problem_details = problems;
        Ok(report)
    }

    fn problems_now(&self, handle: &EdgeHandle, silent: &[SilentView], way: &Way<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        match handle.phase() {
            EdgePhase::Draining => problems.push(Problem::of(ProblemKind::Edge(EdgeProblem::Draining))),
            EdgePhase::Starting => problems.push(Problem::of(ProblemKind::Edge(EdgeProblem::Starting))),
            EdgePhase::Ready => {}
        }
        if self.overloaded {
            problems.push(Problem::of(ProblemKind::Edge(EdgeProblem::Overloaded)));
        }
        let count = trunkgate_system::log::panics();
        if count > 0 {
            problems.push(Problem::of(ProblemKind::Edge(EdgeProblem::Panics { count })));
        }
        problems.extend(self.trunks.iter().flat_map(|trunk| of_trunk(trunk, silent, way)));
        let stale = handle.shared.stale_names.all();
        problems.extend(way.table.trunks().iter().filter_map(|trunk| stale_names(trunk, &stale)));
        problems.extend(self.agents.iter().filter_map(|report| of_agent(&report.agent, way)));
        problems.extend(self.agents.iter().filter_map(|report| silent_agent(&report.agent)));
        problems.extend(handle.certificate_problems());
        problems.extend(self.config.last_reload_error.as_deref().map(rejected_reload));
        if !self.config.restart_needed.is_empty() {
            let keys = self.config.restart_needed.clone();
            problems.push(Problem::of(ProblemKind::Edge(EdgeProblem::RestartNeeded { keys })));
        }
        problems
    }

    /// Adds a problem for each party that is not heard in live calls, unless a problem of the last hour includes them.
    fn add_live_silence(&self, silent: &[SilentView], problems: &mut Vec<Problem>) {
        let is_known = |problem: &Problem| {
            // The figures of the last hour include live calls of a trunk, but not those of an agent.
            let counts = problem.harm != Harm::Past || matches!(problem.party, Some(Party::Trunk(_)));
            matches!(problem.kind, ProblemKind::Unheard(_)) && counts
        };
        let known: Vec<(Option<Party>, bool)> = problems
            .iter()
            .filter(|problem| is_known(problem))
            .map(|problem| (problem.party.clone(), problem.harm == Harm::Past))
            .collect();
        // In a few calls the party may have muted its phone; these calls are counted when they end.
        let is_chance = |silent: &SilentView| silent.kind == SILENCE && silent.calls < limits::UNHEARD_LEAST;
        let is_held_back = |silent: &SilentView| {
            let its = |trunk: &&TrunkView| trunk.name == silent.name;
            self.trunks.iter().find(its).is_some_and(|trunk| is_unsent(trunk, silent.calls, silent.kind))
        };
        for one in silent.iter().filter(|one| !is_held_back(one) && !is_chance(one)) {
            let party = self.party(one);
            let is_its = |(of, is_past): &(Option<Party>, bool)| *of == party && !(*is_past && one.kind == SILENCE);
            if party.is_none() || !known.iter().any(is_its) {
                problems.push(silent_now(one, party));
            }
        }
    }

    /// Returns whether the problem is a party that is not heard in live calls.
    fn is_live_silence(&self, problem: &Problem, silent: &[SilentView]) -> bool {
        let is_of = |one: &SilentView| self.party(one) == problem.party;
        problem.harm == Harm::Media && matches!(problem.kind, ProblemKind::Unheard(_)) && silent.iter().any(is_of)
    }

    /// Returns the trunk or agent that is not heard; `None` for a bare URI or an agent of an application.
    fn party(&self, silent: &SilentView) -> Option<Party> {
        let name = &silent.name;
        if silent.kind == NO_AGENT_AUDIO {
            return self.agents.iter().any(|one| one.agent.name == *name).then(|| Party::Agent(name.clone()));
        }
        self.trunks.iter().any(|trunk| trunk.name == *name).then(|| Party::Trunk(name.clone()))
    }

    /// Returns the problems with stores, exports and deliveries of data.
    fn of_sinks(&self, handle: &EdgeHandle, unrecorded: Option<&UnrecordedView>) -> Vec<Problem> {
        let shared = &handle.shared;
        let (hep, otel) = shared.running(|running| (running.config.hep.is_some(), running.config.otel.is_some()));
        let mut problems = handle.store.health().problems();
        problems.extend(shared.cdr.problems());
        problems.extend(shared.alerts.problem());
        problems.extend(shared.calls.problem());
        problems.extend(shared.callbacks.problems());
        problems.extend(shared.recordings.problems(unrecorded));
        problems.extend(shared.running(|running| shared.recordings.full_mailboxes(&running.config.mailboxes)));
        problems.extend(shared.sms.problem_now(clock::now()));
        problems.extend(shared.message_webhooks.problems(clock::now(), |number| first_url(handle, number)));
        problems.extend(shared.hep_counters.problem().filter(|_| hep));
        problems.extend(shared.otel_counters.problem().filter(|_| otel));
        if shared.call_state.is_failing.load(Ordering::Relaxed) {
            problems.push(Problem::of(ProblemKind::Edge(EdgeProblem::CallStateFails)));
        }
        let count = trunkgate_system::log::lost();
        if count > 0 {
            problems.push(Problem::of(ProblemKind::Edge(EdgeProblem::LogLinesLost { count })));
        }
        problems
    }
}

/// Returns the problems that unknown sources cause (dropped SIP messages, closed connections), and failed TLS
/// handshakes.
fn of_strangers(handle: &EdgeHandle, unknown: Option<UnknownView>) -> Vec<Problem> {
    let (sockets, now) = (&handle.shared.sockets, Instant::now());
    let dropped = unknown.map(|unknown| unknown_now(unknown, "message", EdgeProblem::UnknownSip));
    let closed = sockets.closed(now);
    let closed = closed.map(|closed| unknown_now(closed, "connection", EdgeProblem::UnknownConnections));
    let mut problems: Vec<Problem> = dropped.into_iter().chain(closed).collect();
    problems.extend(sockets.tls_faults.theirs(now).map(tls_now));
    problems.extend(sockets.tls_faults.of_trunks(now).into_iter().map(tls_of_trunk));
    problems
}

/// Returns the problem of a rejected configuration: the edge continues with the previous one, but could not start with
/// the file.
fn rejected_reload(why: &str) -> Problem {
    let rejected = Problem::of(ProblemKind::Edge(EdgeProblem::ConfigurationRejected { error: why.to_owned() }));
    let is_missing = why.contains("No such file");
    let what = if is_missing { "restore the file" } else { "correct the file (`trunkgate check` shows the line)" };
    let fix = format!("{what}, then `trunkgate reload`; do not restart the edge before that");
    rejected.fixed_by(fix)
}

/// Returns the problem of an application that fails or has prompts that were not heard; `None` for any other.
fn of_app(app: &AppView) -> Option<Problem> {
    let AppView { name, calls, of, recent, unheard, still, good_since, code, cause, last_sid } = app;
    let meaning = codes::explain(*code).map_or("its documents could not be run", |(meaning, _)| meaning);
    let shown = if cause.is_empty() { format!("error {code}: {meaning}") } else { format!("error {code}: {cause}") };
    still.then(|| {
        let is_unheard = unheard == calls;
        let tally = tally((*calls, *of), *recent, *good_since);
        let problem = Problem::of(ProblemKind::App { app: name.clone(), tally, is_unheard });
        let problem = problem.out(*good_since == 0 && calls == of);
        let problem = if is_unheard { problem } else { problem.harming(recent.calls, *calls) };
        problem.shown_by(shown).fixed_by(codes::fix(*code, cause, last_sid)).traced_in(last_sid)
    })
}

/// Names a wrong password as the cause of the problem that no phone of a trunk is registered, if a phone has presented
/// a wrong password for a user of the trunk. Returns the other logins.
fn blame_password(problems: &mut [Problem], logins: &[LoginView], trunks: &[TrunkView]) -> Vec<LoginView> {
    let is_empty =
        |trunk: &&TrunkView| trunk.registrations.phones.as_ref().is_some_and(Vec::is_empty) && trunk.peers.is_empty();
    let mut blamed: Vec<&str> = Vec::new();
    for trunk in trunks.iter().filter(is_empty) {
        let party = Some(Party::Trunk(trunk.name.clone()));
        let is_its = |problem: &&mut Problem| {
            problem.party == party && matches!(problem.kind, ProblemKind::Trunk { what: TrunkProblem::Down { .. }, .. })
        };
        let newest = logins.iter().find(|login| login.trunk == trunk.name && login.is_user_known);
        let Some((problem, login)) = problems.iter_mut().find(is_its).zip(newest) else { continue };
        let LoginView { fault, source, in_row, seconds_ago, .. } = login;
        let shown = format!("{fault} from {source}, {in_row} in a row, the latest {seconds_ago} s ago");
        problem.evidence = Some(match &problem.evidence {
            Some(evidence) => format!("{shown}; {evidence}"),
            None => shown,
        });
        problem.fix =
            Some(format!("correct the password in the phone at {source}, or `require_auth` of [trunk.{}]", trunk.name));
        blamed.push(&trunk.name);
    }
    logins.iter().filter(|login| !(login.is_user_known && blamed.contains(&login.trunk.as_str()))).cloned().collect()
}

/// Returns a problem of wrong credentials for each trunk, with the newest source. Sources outside of the trunk may be
/// scans.
fn logins_now(logins: &[LoginView]) -> Vec<Problem> {
    let mut told: Vec<(&str, bool)> = Vec::new();
    let mut problems = Vec::new();
    for login in logins {
        let LoginView { trunk, source, is_of_trunk, fault, requests, in_row, seconds_ago, is_user_known, .. } = login;
        if told.contains(&(trunk, *is_of_trunk)) {
            continue;
        }
        told.push((trunk, *is_of_trunk));
        let more = logins.iter().filter(|one| (&one.trunk, one.is_of_trunk) == (trunk, *is_of_trunk)).count() - 1;
        let more = if more == 0 { String::new() } else { format!("; from {} too", number(more, "further source")) };
        let shown = format!("{fault} from {source}, {in_row} in a row, the latest {seconds_ago} s ago{more}");
        let part = if *is_user_known { "password" } else { "user" };
        let what = TrunkProblem::WrongCredentials { requests: *requests, is_of_trunk: *is_of_trunk };
        let problem = Problem::of(ProblemKind::Trunk { trunk: trunk.clone(), what }).shown_by(shown);
        problems.push(
            problem.fixed_by(format!("correct the {part} at the remote party, or `require_auth` of [trunk.{trunk}]")),
        );
    }
    problems
}

/// Returns the problem of a limit that has refused calls.
fn limit_now(limited: &LimitView, way: &Way<'_>) -> Problem {
    let LimitView { trunk, outbound, reason, sentence, key, calls, recent, seconds_ago, last_sid } = limited;
    let (harm, consequence) = match trunk.as_deref().filter(|_| *outbound).map(|trunk| way.without_trunk(trunk)) {
        Some(without) => (without.harm, without.consequence),
        None => (Harm::Calls, Consequence::None),
    };
    let lost = match *reason {
        "denied" | "high_risk" => "; their callers got 403",
        _ if *outbound => "",
        _ => "; their callers got 503",
    };
    let shown = format!("{sentence} ({reason}), limit {key}{lost}, the latest {seconds_ago} s ago");
    let kind = ProblemKind::Limit {
        trunk: trunk.clone(),
        is_outbound: *outbound,
        reason,
        limit: limited.named().replace('`', ""),
        calls: *calls,
        recent_calls: *recent,
        consequence,
    };
    let problem = Problem::of(kind).harms(harm).shown_by(shown);
    let problem = problem.fixed_by(fix_of_limit(limited)).harming(*recent, *calls);
    last_sid.iter().fold(problem, |problem, sid| problem.traced_in(sid))
}

/// Returns the fix for a limit that refuses calls: raise it, or find the source of the calls.
fn fix_of_limit(limited: &LimitView) -> String {
    let (key, section) = (limited.named(), limited.trunk.as_ref().map(|trunk| format!(" of [trunk.{trunk}]")));
    let section = section.unwrap_or_default();
    let raise = match &limited.trunk {
        None => format!("raise {key} if the machine carries more (`trunkgate loadtest`)"),
        Some(trunk) => format!("raise {key} if {trunk} may have more"),
    };
    match (limited.reason, limited.outbound) {
        ("limit_calls", _) => format!("{raise}; `trunkgate calls` shows who has them"),
        ("limit_emergency", _) => {
            format!("find out who makes them (`trunkgate calls`, `/v1/api`); raise {key} only if so many are intended")
        }
        ("denied", _) => {
            format!("find out who calls there (`trunkgate calls`); correct {key} if such calls are intended")
        }
        ("high_risk", _) => format!(
            "find out who calls there (`trunkgate calls`): an account may be stolen; `high_risk = \"allow\"`{section} permits such calls"
        ),
        ("limit_day", _) => format!("check whether so many calls are intended (`trunkgate calls`), then {raise}"),
        (_, true) => format!("{raise}, or set `pace`{section}: calls wait for their turn"),
        (_, false) => format!("{raise}; `trunkgate calls` shows whether a loop or an attack sends them"),
    }
}

/// Returns the problem of a phone that tries to register as an unknown user.
fn stray_now(stray: StrayView) -> Problem {
    let StrayView { user, near, source, registers, seconds_ago } = stray;
    let registers = number(usize::try_from(registers).unwrap_or(usize::MAX), "REGISTER");
    let meant = near.map(|near| format!(": did you mean \"{near}\"?")).unwrap_or_default();
    let text = format!(
        "no trunk has it in `require_auth` ({registers} for unknown users in the last hour, the latest {seconds_ago} s ago){meant}"
    );
    Problem::of(ProblemKind::Edge(EdgeProblem::UnknownUser { source: source.to_string(), user })).shown_by(text)
}

/// Returns the problem of failed TLS handshakes with unknown sources.
fn tls_now(faults: TlsFaultsView) -> Problem {
    let TlsFaultsView { handshakes, listener, last, why, seconds_ago, .. } = faults;
    let text = format!("{}: {why}", of_hour(handshakes, "handshake", &last, seconds_ago));
    let problem = Problem::of(ProblemKind::Edge(EdgeProblem::TlsFails { listener })).shown_by(text);
    problem.fixed_by(format!(
        "if {last} is a peer of yours, check its TLS version, the CA that it trusts, and its certificate (`client_ca`)"
    ))
}

/// Returns the problem of a trunk if all TLS handshakes with it fail. Below [`limits::TLS_FAULTS_OF_TRUNK`] failures,
/// it is not attributed to the trunk: a single failure may be a port check of a monitoring program.
fn tls_of_trunk((trunk, faults): (Arc<str>, TlsFaultsView)) -> Problem {
    if faults.handshakes < limits::TLS_FAULTS_OF_TRUNK {
        return tls_now(faults);
    }
    let TlsFaultsView { handshakes, listener, last, why, seconds_ago, .. } = faults;
    let latest = of_hour(handshakes, "handshake", &last, seconds_ago);
    let text = format!("{latest}: {why}; none has succeeded since");
    let kind = ProblemKind::Trunk { trunk: trunk.to_string(), what: TrunkProblem::TlsFails { listener } };
    Problem::of(kind).shown_by(text).fixed_by(if why == CLIENT_NOT_TLS {
        format!("configure {trunk} to use TLS on this port, or the port of a `udp` or `tcp` listener")
    } else {
        format!("check its TLS version, the CA that it trusts, and its certificate (`client_ca`): its log has details; a port check without TLS at {last} looks the same")
    })
}

/// Returns the problem of messages, or of connections, from unknown sources.
fn unknown_now(unknown: UnknownView, word: &str, what: EdgeProblem) -> Problem {
    let UnknownView { messages, last, seconds_ago } = unknown;
    Problem::of(ProblemKind::Edge(what)).shown_by(of_hour(messages, word, &last, seconds_ago))
}

/// Describes the number of events in the last hour, and the source and age of the latest one.
fn of_hour(count: u64, word: &str, last: &dyn std::fmt::Display, seconds_ago: u64) -> String {
    let count = number(usize::try_from(count).unwrap_or(usize::MAX), word);
    format!("{count} in the last hour, the latest from {last} {seconds_ago} s ago")
}

/// Returns the problem of a party that is not heard in live calls.
fn silent_now(silent: &SilentView, party: Option<Party>) -> Problem {
    let SilentView { name, calls, kind, cause, fix, last_sid, both } = silent;
    let silence = match *kind {
        NO_AGENT_AUDIO => Silence::Agent,
        SILENCE => Silence::Digital,
        _ => Silence::NoMedia,
    };
    let unheard = Unheard {
        party,
        name: name.clone(),
        silence,
        cause: Some(kind),
        live_calls: Some(*calls),
        tally: None,
        both: both.clone(),
        taken_in: Vec::new(),
    };
    let problem = Problem::of(ProblemKind::Unheard(Box::new(unheard))).harming(*calls, *calls);
    problem.shown_by(cause).fixed_by(fix).traced_in(last_sid)
}

pub(super) async fn status(State(handle): State<EdgeHandle>) -> Result<Json<StatusReport>, ApiError> {
    Ok(Json(StatusReport::of(&handle).await?))
}

pub(super) async fn why(
    State(handle): State<EdgeHandle>,
    question: Result<Query<CallQuestion>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let bad = |message: String| ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message);
    let Query(question) = question.map_err(|error| bad_query(&error))?;
    let (config, overrides) = handle.shared.running(|running| (running.config.clone(), running.told_overrides()));
    let gateway = handle.status().await?;
    let agents = AgentReport::all(&handle, gateway.agents);
    let now = json!({
        "edge": gateway.edge,
        "config": { "number_overrides": overrides },
        "trunks": gateway.trunks,
        "agents": agents,
        "failing_apps": gateway.failing_apps,
        "lost_names": lost_names(&handle),
        "unanswered_names": unanswered_names(&handle),
        "unrecorded": gateway.unrecorded.as_ref().and_then(|_| handle.shared.recordings.failure()),
    });
    trunkgate_explain::why::explain(&handle.table(), &config, &question, Some(&now)).map(Json).map_err(bad)
}

/// Returns the peers' host names that could not be looked up, for `why`.
fn unanswered_names(handle: &EdgeHandle) -> Vec<Value> {
    let names = handle.shared.stale_names.unanswered();
    names.iter().map(|(host, fault)| json!({ "host": host, "words": dns::words(*fault, host) })).collect()
}

/// Returns the trunks with a peer that the edge could not resolve after a restart, for `why`.
fn lost_names(handle: &EdgeHandle) -> Vec<Value> {
    let stale = handle.shared.stale_names.all();
    let table = handle.table();
    let problems = table.trunks().iter().filter_map(|trunk| Some((trunk, stale_names(trunk, &stale)?)));
    problems.map(|(trunk, problem)| json!({ "name": *trunk.name, "text": problem.headline })).collect()
}

pub(super) async fn reload(State(handle): State<EdgeHandle>) -> Result<Json<ReloadSummary>, ApiError> {
    let patience = Duration::from_secs(limits::HTTP_REQUEST_SECONDS - 1);
    let unavailable = |code, message: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
    let Ok(outcome) = tokio::time::timeout(patience, handle.reload()).await else {
        let message = "still in progress; /v1/status shows when the file was loaded";
        return Err(unavailable("reloading", message.to_owned()));
    };
    outcome.map(Json).map_err(|error| match &error {
        ReloadError::File { .. } => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_config", error.to_string()),
        ReloadError::Busy | ReloadError::Late => unavailable("reloading", error.to_string()),
        ReloadError::Gone => SignallingEnded.into(),
    })
}

/// Extension of a response that the server drops when it writes the response.
type ResponseGuard = Extension<Arc<oneshot::Sender<()>>>;

/// Replaces the process by the installed program as soon as that is ready; the hand-over follows this response.
pub(super) async fn upgrade(
    State(handle): State<EdgeHandle>,
) -> Result<(StatusCode, ResponseGuard, Json<UpgradeBegun>), ApiError> {
    let unavailable = |message: &str| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_upgradable", message);
    let ((answer, begun), (guard, responded)) = (oneshot::channel(), oneshot::channel());
    handle.shared.upgrades.try_send(UpgradeRequest { answer, responded }).map_err(|refused| match refused {
        TrySendError::Full(_) => unavailable("another upgrade is in progress"),
        TrySendError::Closed(_) => unavailable("the edge is ending, or was not started by `trunkgate run`"),
    })?;
    match begun.await {
        Ok(Ok(begun)) => Ok((StatusCode::ACCEPTED, Extension(Arc::new(guard)), Json(begun))),
        Ok(Err(why)) => Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "not_upgraded", why)),
        Err(_) => Err(unavailable("the edge is ending")),
    }
}

/// Drains the edge (for a request without a body, or with `{"on":true}`), or accepts calls again (`{"on":false}`).
pub(super) async fn drain(
    State(handle): State<EdgeHandle>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let body = body.map_err(|error| ApiError::new(error.status(), "bad_body", error.body_text()))?;
    let on = if body.is_empty() {
        true
    } else {
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        let on = value.as_ref().and_then(|value| value.get("on")).and_then(Value::as_bool);
        on.ok_or_else(|| ApiError::new(StatusCode::BAD_REQUEST, "bad_request", "expected body: {\"on\":true|false}"))?
    };
    handle.drain(on).await?;
    let calls = handle.live_calls();
    if on {
        tracing::info!(
            "draining on request: new calls get 503, live calls: {calls}; `trunkgate drain --undo` accepts calls again"
        );
    } else {
        tracing::info!("accepting calls again on request");
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "draining": on, "calls": calls }))))
}

#[cfg(test)]
mod tests {
    use trunkgate_route::{Route, RoutingTable, TableDefinition};

    use super::*;

    /// Returns the problem of a limit that has refused two calls.
    fn limited(trunk: Option<&str>, outbound: bool, reason: &'static str, key: &str) -> Problem {
        let limited = LimitView {
            trunk: trunk.map(str::to_owned),
            outbound,
            reason,
            sentence: "a sentence",
            key: key.to_owned(),
            calls: 2,
            recent: 2,
            seconds_ago: 5,
            last_sid: None,
        };
        let numbers = trunkgate_route::NumberingPlan::new("US").unwrap();
        let none = TableDefinition { numbers, trunks: vec![], agents: vec![], routes: Vec::<Route>::new() };
        let way = Way { table: &RoutingTable::new(none), trunks: &[], agents: &[], apps: &[], unanswered: &[] };
        limit_now(&limited, &way)
    }

    #[test]
    fn a_limit_is_named_by_its_key_and_section() {
        let carrier = Some("carrier");
        for (problem, headline, fix) in [
            (
                limited(None, false, "limit_rate", "`calls_per_second = 9` of [limits]"),
                "calls_per_second = 9 of [limits] refused 2 calls in the last hour",
                "raise `calls_per_second = 9` of [limits]",
            ),
            (
                limited(carrier, true, "limit_day", "`calls_per_day = 3`"),
                "calls_per_day = 3 of [trunk.carrier] refused 2 calls to it in the last hour",
                "check whether so many calls are intended (`trunkgate calls`), then raise `calls_per_day = 3` of [trunk.carrier]",
            ),
            (
                limited(carrier, true, "limit_emergency", "`emergency_calls = 3` of [api]"),
                "emergency_calls = 3 of [api] refused 2 calls to it in the last hour",
                "find out who makes them",
            ),
            (
                limited(carrier, true, "denied", "`deny = \"+1900\"`"),
                "deny = \"+1900\" of [trunk.carrier] refused 2 calls to it in the last hour",
                "find out who calls there (`trunkgate calls`); correct `deny = \"+1900\"` of [trunk.carrier]",
            ),
            (
                limited(carrier, true, "high_risk", "`high_risk = \"refuse\"`"),
                "high_risk = \"refuse\" of [trunk.carrier] refused 2 calls to it in the last hour",
                "find out who calls there (`trunkgate calls`): an account may be stolen",
            ),
        ] {
            assert_eq!(problem.headline, headline);
            let own = problem.fix.unwrap();
            assert!(own.starts_with(fix), "{own}");
        }
    }

    #[test]
    fn a_file_that_is_gone_is_restored_and_one_with_an_error_is_corrected() {
        let fix = |why: &str| rejected_reload(why).fix.unwrap();
        let gone = fix("trunkgate.toml: No such file or directory (os error 2)");
        assert!(gone.starts_with("restore the file, then `trunkgate reload`; do not restart"), "{gone}");
        let wrong = fix("trunkgate.toml:3: unknown key");
        assert!(
            wrong.starts_with("correct the file (`trunkgate check` shows the line), then `trunkgate reload`; do"),
            "{wrong}"
        );
    }
}
