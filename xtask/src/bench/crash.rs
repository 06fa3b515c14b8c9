//! `cargo xtask bench crash`: relayed calls while the edge is killed and started again, with the state of calls in a file
//! (`[edge] state = "file"`): the silence in each direction of each call, and the calls and call records that remain.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::generator::{self, Arrival};
use super::kinds::{self, CallKind, RelayedCalls};
use super::process::{self, on_device_core};
use super::restart::{self, IndexHistory, milliseconds, percentile};
use crate::interop::edge::{self, Edge};

/// Options of `cargo xtask bench crash`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Relayed calls.
    #[arg(long, default_value_t = 500)]
    calls: usize,
    /// Kills; an edge that crashes five times in a row within 10 s of its start does not continue its calls.
    #[arg(long, default_value_t = 4)]
    kills: u32,
    /// Seconds of audio, in which the kills are spread.
    #[arg(long, default_value_t = 40)]
    seconds: u32,
    /// Only the kinds of calls whose name contains this.
    #[arg(long)]
    only: Vec<String>,
    /// With a keeper, whose standby process takes over (`[edge] standby = true`)
    #[arg(long)]
    standby: bool,
}

/// Name of the state file.
const STATE_FILE: &str = "calls.state";
/// Kind of the frames with a call.
const CALL_FRAME: u8 = 2;
/// Time after a start until the state file has all calls.
const SETTLED: Duration = Duration::from_secs(1);
/// Maximum silence at the 99th percentile, without and with a standby process.
const GOAL: Duration = Duration::from_secs(1);
const STANDBY_GOAL: Duration = Duration::from_millis(200);
/// Time after a kill in which packets of the killed process still arrive.
const IN_FLIGHT: Duration = Duration::from_millis(5);
/// Time limit for the start of a standby process, and for its take-over.
const STANDBY_LIMIT: Duration = Duration::from_secs(20);
/// Interval of the checks for the take-over.
const STANDBY_CHECK: Duration = Duration::from_millis(2);
/// Failures to hang up after which the other calls are not tried.
const HANG_UP_FAILURES: usize = 3;

/// Kill of the edge and the start after it.
#[derive(Debug)]
struct Crash {
    /// Time of the start: packets that arrive before it came from the killed process.
    restarted: Instant,
    /// Time from the start until the edge was ready.
    until_ready: Duration,
    /// Mean length of the latest frame of a call in the state file.
    bytes_of_call: usize,
}

/// Silences after crashes.
#[derive(Debug, Default)]
struct Silences {
    /// Length of each silence that ended.
    lengths: Vec<Duration>,
    /// Number of directions without a packet until the next crash or the end.
    endless: usize,
}

/// Outcome of the calls of a kind.
struct CallsLeft {
    /// Number of live calls at the end of the audio.
    live: usize,
    /// Number of calls that ended before they were hung up.
    ended: usize,
    /// Number of calls without a record.
    missing_records: usize,
    /// Number of records of calls that have another one.
    further_records: usize,
}

/// Measures calls of each kind and prints a table. Returns `false` if a goal is missed.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    process::raise_descriptor_limit()?;
    process::stay_on_generator_core()?;
    let (parent, is_memory) = restart::state_parent();
    println!(
        "Machine: {}. State in {}{}.\n\n| calls | kills | silence p50 ms | p99 ms | longest ms | endless | calls left | \
         ended by the edge | records missing, double | reused SRTP indices | not authentic | streams | ready p50, longest \
         ms | state bytes of a call |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        process::machine(),
        parent.display(),
        if is_memory { "" } else { ", which may be a disk" }
    );
    let mut is_kept = true;
    for kind in kinds::chosen(&options.only) {
        is_kept &= measure(kind, options, &parent)?;
    }
    Ok(is_kept)
}

/// Measures calls of one kind and prints their row. Returns `false` if a goal is missed.
fn measure(kind: &CallKind, options: &Options, parent: &Path) -> anyhow::Result<bool> {
    let state = tempfile::Builder::new().prefix("trunkgate-state-").tempdir_in(parent)?;
    let mut command = on_device_core(edge::binary());
    if options.standby {
        command.args(["keeper", "--"]);
    }
    let mut calls = kind.set_up(options.calls, command, |text| {
        let text = restart::with_state(&text, state.path());
        if options.standby { text.replacen("[edge]\n", "[edge]\nstandby = true\n", 1) } else { text }
    })?;
    let (is_over, edge) = (AtomicBool::new(false), &mut calls.edge);
    let (directions, crashes) = std::thread::scope(|scope| {
        let crashing = scope.spawn(|| crash_at_random(edge, state.path(), options, &is_over));
        let directions = generator::record(&calls.pairs, &calls.paths, options.seconds);
        is_over.store(true, Ordering::Relaxed);
        (directions, crashing.join())
    });
    let (directions, crashes) = (directions?, crashes.map_err(|_| anyhow::anyhow!("the crashes ended by a panic"))??);
    let mut silences = Silences::default();
    directions.iter().for_each(|direction| silences.add(direction, &crashes));
    silences.lengths.sort_unstable();
    let is_protected = |(at, _): &(usize, &Vec<Arrival>)| kind.is_srtp() && at % 2 == 1;
    let protected = directions.iter().enumerate().filter(is_protected);
    let reused: usize = protected.map(|(_, direction)| reused_indices(direction)).sum();
    let all = directions.iter().flatten();
    let refused = all.filter(|arrival| !arrival.is_authentic).count();
    let streams = calls.listener.accepted();
    let left = CallsLeft::count(&mut calls)?;
    let mut ready: Vec<Duration> = crashes.iter().map(|crash| crash.until_ready).collect();
    ready.sort_unstable();
    let last = crashes.last().context("no crash")?;
    println!(
        "| {} {} | {} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {}, {} | {reused} | {refused} | {streams} | {:.0}, {:.0} | \
         {} |",
        options.calls,
        kind.name,
        crashes.len(),
        milliseconds(silences.percentile(50)),
        milliseconds(silences.percentile(99)),
        milliseconds(silences.percentile(100)),
        silences.endless,
        left.live,
        left.ended,
        left.missing_records,
        left.further_records,
        milliseconds(percentile(&ready, 50)),
        milliseconds(percentile(&ready, 100)),
        last.bytes_of_call
    );
    let goal = if options.standby { STANDBY_GOAL } else { GOAL };
    let is_quiet = silences.endless == 0 && silences.percentile(99).is_some_and(|silence| silence <= goal);
    Ok(is_quiet && reused == 0 && refused == 0 && left.are_all(options.calls))
}

/// Kills the edge at random times, one in the middle half of each equal part of the audio, and starts it again.
fn crash_at_random(
    edge: &mut Edge,
    state: &Path,
    options: &Options,
    is_over: &AtomicBool,
) -> anyhow::Result<Vec<Crash>> {
    let (began, part) = (Instant::now(), Duration::from_secs(options.seconds.into()) / options.kills.max(1));
    let mut crashes = Vec::new();
    for n in 0..options.kills {
        let at = part * n + part / 4 + part.mul_f64(random_fraction() / 2.0);
        std::thread::sleep(at.saturating_sub(began.elapsed()));
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let (restarted, until_ready) = if options.standby { kill_edge_of_keeper(edge)? } else { kill_edge(edge)? };
        std::thread::sleep(SETTLED);
        let bytes_of_call = bytes_of_call(&std::fs::read(state.join(STATE_FILE))?).context("no call in the file")?;
        let (continued, lost) = (edge.metric("trunkgate_calls_continued")?, edge.metric("trunkgate_calls_lost")?);
        eprintln!("kill {}: ready after {until_ready:.1?}, {continued} calls continue, {lost} are lost", n + 1);
        crashes.push(Crash { restarted, until_ready, bytes_of_call });
    }
    Ok(crashes)
}

/// Kills the edge and starts it again. Returns the time of the start, and the time from then until it is ready.
fn kill_edge(edge: &mut Edge) -> anyhow::Result<(Instant, Duration)> {
    edge.signal(Signal::SIGKILL)?;
    edge.gone()?;
    std::thread::sleep(restart::PAUSE);
    let restarted = Instant::now();
    edge.start_again(on_device_core(edge::binary()))?;
    Ok((restarted, restarted.elapsed()))
}

/// Kills the edge of a keeper once a standby process waits. Returns the time from which all packets are those of the next
/// edge, and the time from then until it is ready.
fn kill_edge_of_keeper(edge: &Edge) -> anyhow::Result<(Instant, Duration)> {
    let keeper = edge.pid();
    let children = format!("/proc/{keeper}/task/{keeper}/children");
    edge.wait_until("a process stands by", STANDBY_LIMIT, |_| {
        Ok(std::fs::read_to_string(&children)?.split_whitespace().nth(1).is_some())
    })?;
    let before = edge_pid(edge)?;
    kill(Pid::from_raw(before), Signal::SIGKILL)?;
    let restarted = Instant::now() + IN_FLIGHT;
    // More often than `Edge::wait_until`, because this is measured.
    while !edge_pid(edge).is_ok_and(|pid| pid != before) {
        anyhow::ensure!(restarted.elapsed() < STANDBY_LIMIT, "the standby process has not taken over");
        std::thread::sleep(STANDBY_CHECK);
    }
    Ok((restarted, restarted.elapsed()))
}

fn edge_pid(edge: &Edge) -> anyhow::Result<i32> {
    let status: Value = serde_json::from_str(&edge.get("/v1/status")?)?;
    Ok(i32::try_from(status["pid"].as_i64().context("no process in the status")?)?)
}

/// Returns the mean length of the latest frames of the calls in a state file: 8 bytes, then frames of length, checksum,
/// kind and payload, which begins with the key of the call.
fn bytes_of_call(file: &[u8]) -> Option<usize> {
    let (mut calls, mut rest) = (HashMap::new(), file.get(8..)?);
    while let Some((&[a, b, c, d, .., kind], payload)) = rest.split_first_chunk::<13>() {
        let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        let Some((payload, next)) = payload.split_at_checked(len) else { break };
        if kind == CALL_FRAME {
            calls.insert(payload.first_chunk::<8>()?, 13 + len);
        }
        rest = next;
    }
    calls.values().sum::<usize>().checked_div(calls.len())
}

/// Returns a random number from 0 to 1.
fn random_fraction() -> f64 {
    let number = RandomState::new().hash_one(0) >> 32;
    number as f64 / f64::from(u32::MAX)
}

impl Silences {
    /// Adds the silences of one direction: from the last packet of the killed process to the first one of the next.
    fn add(&mut self, direction: &[Arrival], crashes: &[Crash]) {
        let came: Vec<Instant> = direction.iter().filter(|one| one.is_authentic).map(|one| one.at).collect();
        let mut heard = 0;
        for (n, crash) in crashes.iter().enumerate() {
            let next = crashes.get(n + 1).map_or(came.len(), |next| came.partition_point(|at| *at < next.restarted));
            match restart::silence(&came[heard..next], crash.restarted) {
                Ok(length) => self.lengths.extend(length),
                Err(()) => self.endless += 1,
            }
            heard = came.partition_point(|at| *at < crash.restarted);
        }
    }

    fn percentile(&self, percent: usize) -> Option<Duration> {
        percentile(&self.lengths, percent)
    }
}

/// Counts the packets with an SSRC and index of an earlier packet under the same key.
fn reused_indices(direction: &[Arrival]) -> usize {
    let mut history = IndexHistory::default();
    direction.iter().filter(|arrival| history.is_reused(arrival.ssrc, arrival.sequence)).count()
}

impl CallsLeft {
    /// Counts the live calls, hangs them up, ends the edge and reads the call records.
    fn count(calls: &mut RelayedCalls) -> anyhow::Result<CallsLeft> {
        let status: Value = serde_json::from_str(&calls.edge.get("/v1/status")?)?;
        let live = status["calls"].as_u64().context("no number of live calls")?;
        let ended = calls.edge.records()?.len();
        let mut failures = 0;
        for call in &calls.calls {
            if let Err(error) = calls.dialer.hang_up(calls.edge.udp, call) {
                eprintln!("a call cannot be hung up: {error}");
                failures += 1;
            }
            if failures == HANG_UP_FAILURES {
                break;
            }
        }
        calls.edge.end()?;
        let records = calls.edge.records()?;
        let sids: HashSet<&str> = records.iter().filter_map(|record| record["sid"].as_str()).collect();
        Ok(CallsLeft {
            live: usize::try_from(live)?,
            ended,
            missing_records: calls.calls.len().saturating_sub(sids.len()),
            further_records: records.len() - sids.len(),
        })
    }

    /// Returns whether all of this many calls remained and have one record each.
    fn are_all(&self, calls: usize) -> bool {
        self.live == calls && self.ended == 0 && self.missing_records == 0 && self.further_records == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(began: Instant, times: &[u64]) -> Vec<Arrival> {
        let arrival = |ms: &u64| {
            let at = began + Duration::from_millis(*ms);
            Arrival { at, ssrc: 1, sequence: *ms as u16, is_authentic: true }
        };
        times.iter().map(arrival).collect()
    }

    #[test]
    fn a_silence_lasts_from_the_last_packet_before_a_start_to_the_first_after_it() {
        let began = Instant::now();
        let crash =
            |ms| Crash { restarted: began + Duration::from_millis(ms), until_ready: Duration::ZERO, bytes_of_call: 0 };
        let crashes = [crash(100), crash(500)];
        let mut silences = Silences::default();
        silences.add(&arrivals(began, &[20, 40, 130, 150, 450, 600]), &crashes);
        assert_eq!(silences.lengths, [90, 150].map(Duration::from_millis));
        assert_eq!(silences.endless, 0);
        silences.add(&arrivals(began, &[20, 40, 600]), &crashes);
        assert_eq!((silences.lengths.len(), silences.endless), (2, 1));
        silences.add(&arrivals(began, &[20, 40]), &crashes);
        assert_eq!((silences.lengths.len(), silences.endless), (2, 3));
    }
}
