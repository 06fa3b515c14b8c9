//! `cargo xtask bench counters`: what a call of SIPp through the edge takes, as counts that do not depend on how busy or how fast the
//! machine is: instructions (by callgrind), system calls (by strace) and wake-ups of each thread. Each is the difference of two runs
//! with few and many calls, so that start and end of the process do not count.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::process;
use crate::interop::edge::{self, Edge, LISTENERS};
use crate::interop::sipp::{CARRIER_TO_PBX, Callee, Calls, PBX};

/// Instructions of a call of 13 messages, set up, answered and ended, with media ports, trace, records and log. A change that costs
/// more, or less, changes this number in the same commit.
const INSTRUCTIONS: u64 = 889_000;
/// How far a count may be from that, in percent.
const TOLERANCE_PERCENT: u64 = 3;
/// Calls of the two runs.
const FEW: u32 = 50;
const MANY: u32 = 250;
/// Calls a second under a tool that makes the process many times slower: no message is sent twice.
const SLOW_RATE: u32 = 8;
/// Calls a second for wake-ups.
const RATE: u32 = 200;
/// Length of a call.
const LENGTH: Duration = Duration::from_millis(500);
/// Time for everything that follows a call's end.
const SETTLE: Duration = Duration::from_secs(2);

/// Flags of `cargo xtask bench counters`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fails where a call takes 3 % more, or fewer, instructions than the number in the repository.
    #[arg(long)]
    check: bool,
}

/// Prints the counts of one call.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    if options.check {
        println!("{}", check("")?);
        return Ok(true);
    }
    let instructions = instructions("")?;
    println!("| of one call | count |\n| --- | --- |\n| instructions | {instructions} |");
    println!("| system calls | {:.1} |", system_calls()?);
    for (thread, woken) in wake_ups()? {
        println!("| wake-ups of {thread} | {woken:.1} |");
    }
    Ok(true)
}

/// Holds that a call takes as many instructions as the repository says; `more` is added to the configuration.
pub(crate) fn check(more: &str) -> anyhow::Result<String> {
    let instructions = instructions(more)?;
    let difference = instructions.abs_diff(INSTRUCTIONS);
    if difference * 100 > INSTRUCTIONS * TOLERANCE_PERCENT {
        bail!(
            "a call takes {instructions} instructions, and INSTRUCTIONS in xtask/src/bench/counters.rs is {INSTRUCTIONS}: \
             write the new number there, and the reason into the commit"
        );
    }
    Ok(format!("{instructions} instructions a call, {INSTRUCTIONS} expected"))
}

/// The configuration: as by default, with one media thread on every machine.
fn configuration(more: &str) -> String {
    let listeners = LISTENERS.replace("[media]\n", "[media]\nthreads = 1\n");
    format!("{listeners}[limits]\ncalls_per_second = 0\n{CARRIER_TO_PBX}{more}")
}

/// Runs so many calls through an edge that a command starts, which has ended afterwards.
fn load(command: Command, calls: u32, more: &str) -> anyhow::Result<()> {
    let _callee = Callee::start(PBX, 5060)?;
    let mut edge = Edge::start_as(command, &configuration(more))?;
    Calls::new(calls, SLOW_RATE, LENGTH).all_succeed(&mut edge)?;
    std::thread::sleep(SETTLE);
    edge.end()
}

/// The difference of two counts, for one call.
fn of_one_call(count: impl Fn(u32) -> anyhow::Result<u64>) -> anyhow::Result<f64> {
    let (few, many) = (count(FEW)?, count(MANY)?);
    Ok((many as f64 - few as f64) / f64::from(MANY - FEW))
}

fn instructions(more: &str) -> anyhow::Result<u64> {
    let counted = |calls| {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("out");
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--quiet"]);
        command.arg(format!("--callgrind-out-file={}", file.display())).arg(edge::binary());
        load(command, calls, more).context("under callgrind")?;
        field(&file, |line| line.strip_prefix("totals: ")?.trim().parse().ok())
    };
    Ok(of_one_call(counted)? as u64)
}

fn system_calls() -> anyhow::Result<f64> {
    of_one_call(|calls| {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("out");
        let mut command = Command::new("strace");
        // As a process of its own: a signal then reaches the edge.
        command.args(["--daemonize", "--follow-forks", "--summary-only", "--output"]).arg(&file).arg(edge::binary());
        load(command, calls, "").context("under strace")?;
        std::thread::sleep(SETTLE);
        // `100.00    0.041083          12      3421        56 total`
        field(&file, |line| line.strip_suffix(" total")?.split_whitespace().nth(3)?.parse().ok())
    })
}

fn field(file: &Path, of: impl Fn(&str) -> Option<u64>) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    text.lines().rev().find_map(of).with_context(|| format!("no count in {text}"))
}

/// How often each thread is woken for a call, the most often woken first.
fn wake_ups() -> anyhow::Result<Vec<(String, f64)>> {
    let _callee = Callee::start(PBX, 5060)?;
    let mut edge = Edge::start_as(Command::new(edge::binary()), &configuration(""))?;
    Calls::new(FEW, RATE, LENGTH).all_succeed(&mut edge)?;
    let before = process::threads(edge.pid())?;
    Calls::new(10 * RATE, RATE, LENGTH).all_succeed(&mut edge)?;
    let after = process::threads(edge.pid())?;
    let woken = |(thread, work): (String, process::Work)| {
        let known = before.get(&thread).map_or(0, |before| before.woken);
        (thread, work.woken.saturating_sub(known) as f64 / f64::from(10 * RATE))
    };
    let mut all: Vec<(String, f64)> = after.into_iter().map(woken).filter(|(_, woken)| *woken >= 0.05).collect();
    all.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    Ok(all)
}
