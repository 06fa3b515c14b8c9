//! `cargo xtask bench record`: the same relayed calls without and with recording, alternately: CPU time per packet in
//! the whole process and on the media workers, and the time from a request to the first sample of its recording.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::dialer::Dialer;
use super::generator;
use super::process;
use super::rtp::start_recorded;
use super::table::spread;
use crate::interop::edge::{self, Edge};
use crate::interop::install;

/// Options of `cargo xtask bench record`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Calls.
    #[arg(long, default_value_t = 200)]
    calls: usize,
    /// Seconds that a run is measured.
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// Runs of each kind, one kind after the other.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Recordings that are begun for the time to the first sample.
    #[arg(long, default_value_t = 100)]
    begun: usize,
}

/// Kinds of recording: name, and keys of the section `recording`; `None` if calls are not recorded.
const KINDS: [(&str, Option<&str>); 4] = [
    ("not recorded", None),
    ("dual WAV", Some("")),
    ("dual WAV, encrypted", Some("key = { file = \"KEY\" }\n")),
    ("dual Ogg Opus", Some("format = \"opus\"\n")),
];

/// CPU time per packet in µs, of the process and of the media workers.
#[derive(Debug, Clone, Copy)]
struct Cost {
    process: f64,
    workers: f64,
    lost: u64,
}

/// Measures the kinds of recording alternately and prints a table.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    process::raise_descriptor_limit()?;
    process::stay_on_generator_core()?;
    install::packages(&[("age-keygen", "age")])?;
    println!(
        "Machine: {}. {} calls with PCMU on both sides.\n\n\
         | calls | µs/packet, process | × | µs/packet, media workers | + | lost |\n| --- | --- | --- | --- | --- | --- |",
        process::machine(),
        options.calls
    );
    let mut seen: Vec<Vec<Cost>> = vec![Vec::new(); KINDS.len()];
    for _ in 0..options.runs {
        for ((name, keys), costs) in KINDS.iter().zip(&mut seen) {
            costs.push(measure(options, *keys).with_context(|| (*name).to_owned())?);
        }
    }
    let mut base = None;
    for ((name, _), costs) in KINDS.iter().zip(&seen) {
        let (process, ..) = spread(costs.iter().map(|cost| cost.process));
        let (workers, ..) = spread(costs.iter().map(|cost| cost.workers));
        let (of_process, of_workers) = *base.get_or_insert((process, workers));
        let lost: u64 = costs.iter().map(|cost| cost.lost).sum();
        println!(
            "| {name} | {process:.2} | {:.2} | {workers:.2} | {:+.2} | {lost} |",
            process / of_process,
            workers - of_workers
        );
    }
    let times = first_samples(options)?;
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(f64::NAN);
    println!(
        "\nFrom the request to the first sample: p50 {:.1} ms, p99 {:.1} ms ({} recordings)",
        at(50),
        at(99),
        times.len()
    );
    Ok(true)
}

/// Starts an edge that records to a folder, with these keys of the section `recording`; `is_by_route`: the route has
/// every call recorded.
fn start(dialer: &Dialer, folder: &Path, keys: &str, is_by_route: bool) -> anyhow::Result<Edge> {
    let key = folder.join("recording.key");
    if keys.contains("KEY") {
        let made = Command::new("age-keygen").arg("-o").arg(&key).output().context("age-keygen")?;
        ensure!(made.status.success(), "age-keygen: {}", String::from_utf8_lossy(&made.stderr));
    }
    let keys = keys.replace("KEY", &key.display().to_string());
    let section = format!("[recording]\ndirectory = {:?}\n{keys}", folder.join("recordings").display().to_string());
    start_recorded(dialer, &section, is_by_route)
}

fn measure(options: &Options, keys: Option<&str>) -> anyhow::Result<Cost> {
    let folder = tempfile::tempdir()?;
    let dialer = Dialer::new()?;
    let pairs = generator::pairs(options.calls)?;
    let edge = start(&dialer, folder.path(), keys.unwrap_or_default(), keys.is_some())?;
    let paths = dialer.dial(edge.udp, &pairs, None).with_context(|| edge.log_tail())?;
    // CPU times at the first and the last reading.
    let looks = RefCell::new(Vec::new());
    let look = || {
        let threads = process::threads(edge.pid())?;
        let workers = threads.iter().filter(|(name, _)| name.starts_with("media-")).map(|(_, work)| work.cpu);
        looks.borrow_mut().push(workers.sum::<Duration>());
        process::cpu(edge.pid())
    };
    let seen = generator::drive(&pairs, &paths, options.seconds, &look)?;
    if keys.is_some() {
        let written = edge.metric("trunkgate_recording_lost_seconds_total")?;
        ensure!(written == 0.0, "{written} s of recordings are lost");
        let list: Value = serde_json::from_str(&edge.get("/v1/recordings?limit=1000")?)?;
        let count = list["recordings"].as_array().map_or(0, Vec::len);
        ensure!(count == options.calls, "{count} recordings of {} calls", options.calls);
    }
    let looks = looks.into_inner();
    let workers = looks.last().zip(looks.first()).map(|(last, first)| last.saturating_sub(*first)).context("looks")?;
    let per_packet = |cpu: Duration| cpu.as_secs_f64() * 1e6 / seen.packets as f64;
    Ok(Cost { process: per_packet(seen.cpu), workers: per_packet(workers), lost: seen.lost })
}

/// Returns the times from recording requests to the first samples of the recordings in ms, sorted.
fn first_samples(options: &Options) -> anyhow::Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let dialer = Dialer::new()?;
    let pairs = generator::pairs(options.begun)?;
    let edge = start(&dialer, folder.path(), "", false)?;
    let _paths = dialer.dial(edge.udp, &pairs, None).with_context(|| edge.log_tail())?;
    let calls: Value = serde_json::from_str(&edge.get("/v1/calls?state=answered&limit=1000")?)?;
    let mut times = Vec::new();
    for call in calls["calls"].as_array().into_iter().flatten() {
        let sid = call["sid"].as_str().context("sid")?;
        let asked = SystemTime::now().duration_since(UNIX_EPOCH)?;
        edge.post(&format!("/v1/calls/{sid}/recording"), r#"{"action":"start"}"#)?;
        let list: Value = serde_json::from_str(&edge.get(&format!("/v1/recordings?call={sid}"))?)?;
        let began = list["recordings"][0]["started_at"].as_str().context("no recording in the list")?;
        let began: jiff::Timestamp = began.parse()?;
        times.push(began.as_millisecond() as f64 - asked.as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    ensure!(times.len() == options.begun, "{} recordings", times.len());
    Ok(times)
}
