//! `cargo xtask bench overload`: behaviour at twice the maximum rate, recovery afterwards, and memory left by a flood
//! of requests. All threads of the edge share one core; both sides of the calls share another, so that the edge is the
//! bottleneck.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::load::{Load, Outcome, Seen};
use super::process::{self, machine, on_device_core, stay_on_generator_core};
use crate::interop::edge::{self, Edge};
use crate::interop::sipp::CARRIER_TO_PBX;

/// SIP port of the called side.
pub(super) const CALLED_PORT: u16 = 5060;
/// Rate and duration of the calls before the measurement.
const WARM_UP: (f64, Duration) = (200.0, Duration::from_secs(2));
/// Factor from one tried rate to the next.
const STEP: f64 = 1.2;
/// Minimum share of served calls at which a rate counts as sustained.
const CARRIED: f64 = 0.98;
/// Maximum number of rates tried.
const STEPS: usize = 16;
/// Rate after an overload, relative to the maximum rate.
const AFTERWARDS: f64 = 0.5;
/// Number of requests in a flood.
const FLOOD: usize = 12_000;
/// Time until the state left by a flood has been removed: 64·T1 and some more.
const FORGOTTEN: Duration = Duration::from_secs(70);

/// Options of `cargo xtask bench overload`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Overloads, each on a fresh edge.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The first rate that is tried, in calls a second.
    #[arg(long, default_value_t = 600.0)]
    first_rate: f64,
    /// Seconds of each rate that is tried.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Seconds of an overload.
    #[arg(long, default_value_t = 10)]
    overload_seconds: u64,
    /// Leaves the flood out.
    #[arg(long)]
    no_flood: bool,
    /// Writes the table to this file as well (Markdown).
    #[arg(long)]
    out: Option<std::path::PathBuf>,
}

/// Measures the overloads and the flood, and prints the table.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    process::raise_descriptor_limit()?;
    stay_on_generator_core()?;
    let mut load = Load::new(CALLED_PORT)?;
    let mut text = format!(
        "Machine: {}; the edge has one core, both sides of the calls the other. Calls of 100 ms, in a second, at twice \
         the best rate for {} s.\n\n\
         | run | best rate | offered | served | of the best | 503 after p50 / p99 / longest ms | set up p50 / p99 ms | \
         other failures | itself again after |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        machine(),
        options.overload_seconds
    );
    for run in 1..=options.runs {
        let row = overload(&mut load, options).with_context(|| format!("run {run}"))?;
        eprintln!("{run}/{}: {row}", options.runs);
        let _ = writeln!(text, "| {run} | {row}");
    }
    if !options.no_flood {
        text.push_str(&flood(&mut load)?);
    }
    println!("{text}");
    if let Some(file) = &options.out {
        std::fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    Ok(true)
}

fn start(limits: &str) -> anyhow::Result<Edge> {
    Edge::start_by(on_device_core(edge::binary()), &format!("{limits}{CARRIER_TO_PBX}"))
}

/// Runs calls at the maximum rate, then at twice that rate, then at half of it.
fn overload(load: &mut Load, options: &Options) -> anyhow::Result<String> {
    let edge = start("[limits]\ncalls_per_second = 0\n")?;
    load.run(edge.udp, &[WARM_UP])?;
    let length = Duration::from_secs(options.seconds);
    let (mut best, mut rate) = (0.0_f64, options.first_rate);
    for _ in 0..STEPS {
        let seen = load.run(edge.udp, &[(rate, length)])?;
        let served = count(&seen, Outcome::Served) as f64;
        best = best.max(served / length.as_secs_f64());
        eprintln!("{rate:.0} calls a second: {served} of {} served", seen.len());
        if served < CARRIED * seen.len() as f64 {
            break;
        }
        rate *= STEP;
    }
    let under_load = Duration::from_secs(options.overload_seconds);
    let (offered, after) = (2.0 * best, Duration::from_secs(5));
    let seen = load.run(edge.udp, &[(offered, under_load), (AFTERWARDS * best, after)])?;
    let (during, afterwards): (Vec<Seen>, Vec<Seen>) = seen.iter().partition(|call| call.at < under_load);
    let served = count(&during, Outcome::Served) as f64 / under_load.as_secs_f64();
    let failed = count(&seen, Outcome::Failed);
    let codes: std::collections::BTreeMap<u16, usize> =
        seen.iter().filter(|call| call.outcome == Outcome::Failed).fold(Default::default(), |mut all, call| {
            *all.entry(call.code).or_default() += 1;
            all
        });
    let recovered =
        afterwards.iter().filter(|call| call.outcome != Outcome::Served).map(|call| call.at - under_load).max();
    eprintln!("dropped: {}", edge.drops()?.replace('\n', ", "));
    let refusals = Percentiles::of(&during, Outcome::TurnedAway);
    let set_ups = Percentiles::of(&during, Outcome::Served);
    Ok(format!(
        "{best:.0} | {offered:.0} | {served:.0} | {:.1} % | {:.1} / {:.1} / {:.1} | {:.1} / {:.1} | {failed} {codes:?} | {:.2} s |",
        100.0 * served / best,
        refusals.p50,
        refusals.p99,
        refusals.longest,
        set_ups.p50,
        set_ups.p99,
        recovered.unwrap_or_default().as_secs_f64(),
    ))
}

fn count(seen: &[Seen], outcome: Outcome) -> usize {
    seen.iter().filter(|call| call.outcome == outcome).count()
}

/// Percentiles of the response times, in milliseconds.
struct Percentiles {
    p50: f64,
    p99: f64,
    longest: f64,
}

impl Percentiles {
    fn of(seen: &[Seen], outcome: Outcome) -> Percentiles {
        let times = seen.iter().filter(|call| call.outcome == outcome).filter_map(|call| call.answered);
        let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(f64::NAN);
        Percentiles { p50: at(50), p99: at(99), longest: times.last().copied().unwrap_or(f64::NAN) }
    }
}

/// Returns a description of the process' memory before a flood, at its peak, and after the state left by the flood has
/// been removed.
pub(super) fn flood(load: &mut Load) -> anyhow::Result<String> {
    let edge = start("")?;
    load.run(edge.udp, &[WARM_UP])?;
    load.listen(FORGOTTEN)?;
    let bytes = || process::private_bytes(edge.pid());
    let before = bytes()?;
    let begin = Instant::now();
    load.flood(edge.udp, FLOOD)?;
    let took = begin.elapsed();
    let mut peak = bytes()?;
    while begin.elapsed() < FORGOTTEN {
        load.listen(Duration::from_millis(100))?;
        peak = peak.max(bytes()?);
    }
    let after = bytes()?;
    let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    Ok(format!(
        "\n{FLOOD} requests (INVITE, REGISTER and OPTIONS in turn) of a trunk within {:.2} s, nothing acknowledged, limits as \
         by default: {:.1} MiB before, {:.1} at the most (+{:.1}), {:.1} after {} s (+{:.1}). Dropped: {}\n",
        took.as_secs_f64(),
        mib(before),
        mib(peak),
        mib(peak.saturating_sub(before)),
        mib(after),
        FORGOTTEN.as_secs(),
        mib(after.saturating_sub(before)),
        edge.drops()?.replace('\n', ", ")
    ))
}
