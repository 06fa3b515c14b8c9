//! `trunkgate loadtest`: SIP and RTP on both sides of an edge. Callers and callees know every packet sent, so loss,
//! order, delay and changed bits are measured instead of derived from reports. With `scenario` SIPp is the caller.

mod assertion;
mod figures;
mod generator;
mod junit;
mod line;
mod lines;
mod own_edge;
mod pace;
mod plan;
mod report;
mod results;
mod scenario;
mod sockets;
mod voice;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use crate::cli::LoadTest;
use crate::progress::ProgressOutput;
use crate::{client, demo};
use trunkgate_boot::edge::RunningEdge;
use trunkgate_boot::run;
use trunkgate_system::text::number;
use trunkgate_system::{files, terminal};

use assertion::Assertion;
use generator::{LoadGenerator, Sabotage};
use line::CallRole;
use plan::{ASSERTED, LoadTestPlan, OWN_NUMBER};
use report::AssertionResult;
use results::LoadTestResults;
use sockets::TestSockets;

/// File descriptors needed for a call of the test's own edge, which runs in this process: RTP and RTCP on both sides.
const OWN_FILES: usize = 4;

/// Runs the test. Exit code 0 if all assertions hold, 1 if not or if the generator was too slow, 2 if the test cannot
/// be run.
pub fn run(verb: &LoadTest) -> ExitCode {
    if let Some(file) = &verb.scenario {
        return scenario::run(verb, file);
    }
    let done = LoadTestPlan::new(verb, ASSERTED).map_err(|what| anyhow!("{what}")).and_then(|mut plan| {
        let results = test(&mut plan)?;
        let value = |one: &Assertion| results.value(one.metric, one.stat);
        let judged: Vec<AssertionResult> =
            plan.assertions.iter().map(|one| AssertionResult::new(one, value(one))).collect();
        if let Some(path) = &verb.junit {
            write(path, &junit::xml(&judged, &results.faults(), results.lasted.as_secs_f64())?)?;
        }
        Ok((plan, results, judged))
    });
    let (plan, results, judged) = match done {
        Ok(done) => done,
        Err(error) => return run::refuse(&format!("error: {error:#}")),
    };
    client::say(&match verb.json {
        true => terminal::json(&report::json(&plan, &results, &judged)),
        false => report::text(&plan, &results, &judged),
    });
    if report::is_ok(&results, &judged) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes the JUnit file of `--junit`.
fn write(path: &Path, xml: &[u8]) -> anyhow::Result<()> {
    files::write(path, xml, files::REPORT).with_context(|| format!("--junit {} cannot be written", path.display()))
}

fn test(plan: &mut LoadTestPlan) -> anyhow::Result<LoadTestResults> {
    let files = 2 * plan.sockets() + if plan.is_own { OWN_FILES * plan.sockets() } else { 0 };
    sockets::make_room(files).map_err(|what| anyhow!("{what}"))?;
    let signals = sockets::catch_signals().context("signals cannot be received")?;
    let sockets = TestSockets::open(plan.bound, [plan.sockets(); 2], signals)?;
    let mut progress = ProgressOutput::new();
    let edge = if plan.is_own { Some(own(plan, &sockets)?) } else { None };
    progress.say(&format!(
        "up to {} at a time, {} per second, for {} s, to {}{}",
        number(plan.calls, "call"),
        (plan.interval.as_secs_f64().recip() * 100.0).round() / 100.0,
        plan.duration.as_secs_f64(),
        plan.uri,
        if plan.is_own { ", a private edge" } else { "" }
    ));
    let whole = plan.duration;
    let results = LoadGenerator::new(plan, sockets, sabotage()?).and_then(|generator| {
        generator.run(|results, held, ran| tell(&mut progress, results, held, ran.div_duration_f64(whole)))
    });
    progress.done();
    if let Some(edge) = edge {
        edge.shutdown();
    }
    results.map_err(|what| anyhow!("{what}"))
}

/// Returns the damage requested by the environment variable [`demo::SABOTAGE`], for tests.
fn sabotage() -> anyhow::Result<Option<Sabotage>> {
    Ok(match std::env::var(demo::SABOTAGE).as_deref() {
        Ok("audio") => Some(Sabotage::Audio),
        Ok("loss") => Some(Sabotage::Loss),
        Ok("") | Err(_) => None,
        Ok(other) => anyhow::bail!("{}={other} is unknown: use `audio` or `loss`", demo::SABOTAGE),
    })
}

/// Starts the test's own edge between the SIP sockets of the test, and sets it as the destination of the calls.
fn own(plan: &mut LoadTestPlan, sockets: &TestSockets) -> anyhow::Result<RunningEdge> {
    let (callers, callees) = sockets.sip(CallRole::Caller).zip(sockets.sip(CallRole::Callee)).context("no sockets")?;
    own_between(plan, callers, callees)
}

/// Starts the test's own edge between these callers and callees, and sets it as the destination of the calls.
fn own_between(plan: &mut LoadTestPlan, callers: SocketAddr, callees: SocketAddr) -> anyhow::Result<RunningEdge> {
    let edge = own_edge::start(plan, callers, callees)?;
    plan.remote = edge.listeners.first().context("the edge does not listen")?.address;
    plan.uri = format!("sip:{OWN_NUMBER}@{}", plan.remote);
    Ok(edge)
}

/// Draws the progress of the test; `share` is its elapsed fraction.
fn tell(progress: &mut ProgressOutput, results: &LoadTestResults, held: usize, share: f64) {
    let packets = results.packets();
    progress.bar(
        &format!(
            "{} placed, {} answered, {} failed, {held} up, {} packets lost",
            results.attempted,
            results.answered,
            results.failed(),
            packets.lost
        ),
        share,
    );
}
