//! `trunkgate loadtest --scenario`: a scenario of SIPp's as the callers. `sipp` places the calls and says which of them went
//! as the scenario says; our phones are the callees and judge the audio that arrives. This room has the process of SIPp,
//! its files and the callees; sockets, assertions and an edge of its own are the load test's.

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

use super::report::Judged;
use super::sockets::{self, Sockets};
use super::{OWN_FILES, own_between};
use crate::cli::LoadTest;
use crate::client;
use crate::progress::Progress;
use callees::Callees;
use plan::ScenarioPlan;
use report::Outcome;
use sipp::{Sipp, SippEnd, TemporaryFolder};
use trunkgate_boot::run;
use trunkgate_system::terminal;
use trunkgate_system::text::number;

/// How often SIPp is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often progress is shown.
const SHOWN: Duration = Duration::from_secs(1);
/// How long the calls that SIPp has left may take to end.
const FAREWELL: Duration = Duration::from_secs(6);
/// How long the last BYEs of SIPp may take to the callees.
const LAST_MESSAGES: Duration = Duration::from_secs(2);

/// Runs the scenario: exit 0 if all holds that is asserted, 1 if not, or if SIPp did not come to its end, 2 if it cannot be
/// tried.
pub(super) fn run(verb: &LoadTest, file: &Path) -> ExitCode {
    let done = ScenarioPlan::new(verb, file).map_err(|what| anyhow!("{what}")).and_then(|mut plan| {
        let outcome = test(&mut plan)?;
        let assertions = &plan.base.assertions;
        let judged: Vec<Judged> =
            assertions.iter().map(|one| Judged::new(one, outcome.value(one.metric, one.stat))).collect();
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

fn test(plan: &mut ScenarioPlan) -> anyhow::Result<Outcome> {
    let program = sipp::installed().map_err(|what| anyhow!("{what}"))?;
    let files = plan.sockets() + if plan.base.is_own { OWN_FILES * plan.base.sockets() } else { 0 };
    sockets::make_room(files).map_err(|what| anyhow!("{what}"))?;
    let signals = sockets::catch_signals().context("signals cannot be received")?;
    // The callers' socket is SIPp's own.
    let answers = plan.base.bound[1];
    let sockets = Sockets::open([(answers.ip(), 0).into(), answers], [0, plan.sockets()], signals)?;
    let folder = TemporaryFolder::new().context("no temporary directory for sipp")?;
    let mut progress = Progress::new();
    let edge = if plan.base.is_own {
        // The edge has to know its caller.
        plan.callers = sipp::free_port(plan.callers)?;
        let callees = sockets.sip(super::line::Side::Callee).context("no sockets")?;
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
    let outcome = Sipp::start(&program, plan, folder.path())
        .and_then(|sipp| attend(plan, sipp, Callees::new(&plan.base, sockets)?, &mut progress));
    progress.done();
    if let Some(edge) = edge {
        edge.shutdown();
    }
    outcome.map_err(|what| anyhow!("{what}"))
}

/// Serves the callees until SIPp has ended and its calls have, too.
///
/// # Errors
/// SIPp cannot run the scenario, or what the system cannot do.
fn attend(
    plan: &ScenarioPlan,
    mut sipp: Sipp,
    mut callees: Callees<'_>,
    progress: &mut Progress,
) -> Result<Outcome, String> {
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
    Ok(Outcome { statistics, failures, fault, heard, lasted, is_cut: end.is_cut, exit_code: end.code() })
}

/// Waits for the messages that are under way when SIPp ends, and hangs up the calls that it has left.
fn wait_for_last_calls(callees: &mut Callees<'_>, end: &SippEnd) -> Result<(), String> {
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

/// Shows how far SIPp is.
fn show(progress: &mut Progress, plan: &ScenarioPlan, sipp: &Sipp) {
    let statistics = sipp.statistics().unwrap_or_default();
    progress.bar(
        &format!(
            "{} placed, {} succeeded, {} failed, {} up",
            statistics.attempted, statistics.succeeded, statistics.failed, statistics.unfinished
        ),
        (statistics.succeeded + statistics.failed) as f64 / f64::from(plan.total),
    );
}
