//! `trunkgate loadtest --scenario`: SIPp places the calls of a scenario and reports their success; phones of the test
//! are the callees and judge the audio. This folder has the SIPp process, its files and the callees. Sockets,
//! assertions and the test's own edge come from `loadtest`.

mod callees;
mod document;
mod hearing;
mod plan;
mod report;
mod sipp;
mod statistics;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use super::report::AssertionResult;
use super::sockets::{self, TestSockets};
use super::{OWN_FILES, own_between};
use crate::cli::LoadTest;
use crate::client;
use crate::progress::ProgressOutput;
use callees::ScenarioCallees;
use plan::ScenarioPlan;
use report::ScenarioOutcome;
use sipp::{SippEnd, SippProcess, TemporaryFolder};
use trunkgate_boot::run;
use trunkgate_system::terminal;
use trunkgate_system::text::number;

/// Interval at which the SIPp process is checked.
const LOOK: Duration = Duration::from_millis(50);
/// Interval of progress reports.
const SHOWN: Duration = Duration::from_secs(1);
/// Maximum time for calls that SIPp has left to end.
const FAREWELL: Duration = Duration::from_secs(6);
/// Maximum time for SIPp's last BYEs to reach the callees.
const LAST_MESSAGES: Duration = Duration::from_secs(2);

/// Runs the scenario. Exit code 0 if all assertions hold, 1 if not or if SIPp did not finish, 2 if it cannot be run.
pub(super) fn run(verb: &LoadTest, file: &Path) -> ExitCode {
    let done = ScenarioPlan::new(verb, file).map_err(|what| anyhow!("{what}")).and_then(|mut plan| {
        let outcome = test(&mut plan)?;
        let assertions = &plan.base.assertions;
        let judged: Vec<AssertionResult> =
            assertions.iter().map(|one| AssertionResult::new(one, outcome.value(one.metric, one.stat))).collect();
        if let Some(path) = &verb.junit {
            super::write(path, &report::junit(&plan, &outcome, &judged)?)?;
        }
        Ok((plan, outcome, judged))
    });
    let (plan, outcome, judged) = match done {
        Ok(done) => done,
        Err(error) => return run::refuse(&format!("error: {error:#}")),
    };
    client::say(&match verb.json {
        true => terminal::json(&report::json(&plan, &outcome, &judged)),
        false => report::text(&plan, &outcome, &judged),
    });
    if report::is_ok(&outcome, &judged) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn test(plan: &mut ScenarioPlan) -> anyhow::Result<ScenarioOutcome> {
    let program = sipp::installed().map_err(|what| anyhow!("{what}"))?;
    let files = plan.sockets() + if plan.base.is_own { OWN_FILES * plan.base.sockets() } else { 0 };
    sockets::make_room(files).map_err(|what| anyhow!("{what}"))?;
    let signals = sockets::catch_signals().context("signals cannot be received")?;
    // SIPp opens the socket of the callers itself.
    let answers = plan.base.bound[1];
    let sockets = TestSockets::open([(answers.ip(), 0).into(), answers], [0, plan.sockets()], signals)?;
    let folder = TemporaryFolder::new().context("no temporary directory for sipp")?;
    let mut progress = ProgressOutput::new();
    let edge = if plan.base.is_own {
        // SIPp gets a fixed port, because the edge must know it in advance.
        plan.callers = sipp::free_port(plan.callers)?;
        let callees = sockets.sip(super::line::CallRole::Callee).context("no sockets")?;
        Some(own_between(&mut plan.base, plan.callers, callees)?)
    } else {
        None
    };
    let target = format!("sip:{}@{}", plan.number, plan.base.remote);
    progress.say(&format!(
        "{} by {}, up to {} at a time, {} per second, to {target}{}",
        number(plan.total as usize, "call"),
        plan.file.display(),
        plan.base.calls,
        (plan.base.interval.as_secs_f64().recip() * 100.0).round() / 100.0,
        if edge.is_some() { ", a private edge" } else { "" }
    ));
    let outcome = SippProcess::start(&program, plan, folder.path())
        .and_then(|sipp| attend(plan, sipp, ScenarioCallees::new(&plan.base, sockets)?, &mut progress));
    progress.done();
    if let Some(edge) = edge {
        edge.shutdown();
    }
    outcome.map_err(|what| anyhow!("{what}"))
}

/// Serves the callees until SIPp and its calls have ended.
///
/// # Errors
/// Returns an error of SIPp or of the system.
fn attend(
    plan: &ScenarioPlan,
    mut sipp: SippProcess,
    mut callees: ScenarioCallees<'_>,
    progress: &mut ProgressOutput,
) -> Result<ScenarioOutcome, String> {
    let began = Instant::now();
    let mut shown = began;
    let end = loop {
        let now = Instant::now();
        if let Some(end) = sipp.poll(now, callees.stops())? {
            break end;
        }
        if now >= shown + SHOWN {
            shown = now;
            show(progress, plan, &sipp);
        }
        callees.serve(now + LOOK)?;
    };
    let lasted = began.elapsed();
    wait_for_last_calls(&mut callees, &end)?;
    let statistics = sipp.statistics().unwrap_or_default();
    let complaint = sipp.complaint();
    if let Some(refusal) = end.refusal(statistics.attempted, &complaint) {
        return Err(refusal);
    }
    let failures = statistics.failures(&sipp.errors());
    let fault = end.fault(&statistics, &complaint);
    let heard = plan.has_callees.then(|| callees.into_heard());
    Ok(ScenarioOutcome { statistics, failures, fault, heard, lasted, is_cut: end.is_cut, exit_code: end.code() })
}

/// Waits for the last messages after SIPp's end, then ends the remaining calls.
fn wait_for_last_calls(callees: &mut ScenarioCallees<'_>, end: &SippEnd) -> Result<(), String> {
    let ended = Instant::now();
    let patience = if end.is_cut { Duration::ZERO } else { LAST_MESSAGES };
    while callees.has_calls() && Instant::now() < ended + patience {
        callees.serve(Instant::now() + LOOK)?;
    }
    callees.hang_up();
    while callees.has_calls() && Instant::now() < ended + FAREWELL && callees.stops() < 2 {
        callees.serve(Instant::now() + LOOK)?;
    }
    Ok(())
}

/// Draws the progress of SIPp.
fn show(progress: &mut ProgressOutput, plan: &ScenarioPlan, sipp: &SippProcess) {
    let statistics = sipp.statistics().unwrap_or_default();
    progress.bar(
        &format!(
            "{} placed, {} succeeded, {} failed, {} up",
            statistics.attempted, statistics.succeeded, statistics.failed, statistics.unfinished
        ),
        (statistics.succeeded + statistics.failed) as f64 / f64::from(plan.total),
    );
}
