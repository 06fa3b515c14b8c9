//! `cargo xtask bench sip`: CPU time per call and memory of a held call with SIPp on both sides, the same scenario
//! through the edge (a B2BUA that anchors media), through Kamailio as a stateful proxy, and through Kamailio with its
//! dialog module and rtpengine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::process::{self, Work, machine};
use super::rtpengine::Rtpengine;
use super::table::spread;
use crate::interop::cases::kamailio::Kamailio;
use crate::interop::edge::{self, Edge};
use crate::interop::install;
use crate::interop::sipp::{CARRIER_TO_PBX, Callee, Calls, Counted, PBX};

const CALLER: &str = include_str!("../interop/scenarios/uac_bench.xml");
const CALLED: &str = include_str!("../interop/scenarios/uas_bench.xml");
const KAMAILIO: &str = include_str!("../interop/scenarios/kamailio_bench.cfg");
/// SIP address of Kamailio.
const PROXY: &str = "127.0.0.5:5080";
/// Shared memory of Kamailio's processes in MiB: at 1,000 calls per second, Kamailio keeps 10,000 transactions.
const SHARED_MIB: u32 = 512;
/// Length of a call.
const LENGTH: Duration = Duration::from_millis(100);
/// Number of calls before the measurement, to exclude the first touch of memory.
const WARM_UP_CALLS: u32 = 500;
/// Number of held calls from which the memory of one is determined.
const HELD: u32 = 2000;
/// Wait after the last call, for the work after its end.
const SETTLE: Duration = Duration::from_secs(1);

/// Options of `cargo xtask bench sip`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs of each device at each rate, one device after the other.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds of calls in a run.
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// Calls a second.
    #[arg(long, value_delimiter = ',', default_values_t = [200, 500, 1000])]
    rates: Vec<u32>,
    /// Also prints the wake-ups and the CPU time of each thread of the edge per call.
    #[arg(long)]
    threads: bool,
    /// Leaves the memory of held calls out.
    #[arg(long)]
    no_memory: bool,
    /// Writes the tables to this file as well (Markdown).
    #[arg(long)]
    out: Option<std::path::PathBuf>,
}

/// Device between caller and callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Edge,
    Proxy,
    Border,
}

const KINDS: [Kind; 3] = [Kind::Edge, Kind::Border, Kind::Proxy];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Edge => "Trunkgate",
            Kind::Proxy => "Kamailio, stateful proxy",
            Kind::Border => "Kamailio, dialog, rtpengine",
        }
    }
}

/// Running device; its processes end on drop, the called side first.
struct Device {
    at: SocketAddr,
    _callee: Callee,
    edge: Option<Edge>,
    kamailio: Option<Kamailio>,
    rtpengine: Option<Rtpengine>,
}

impl Device {
    fn start(kind: Kind) -> anyhow::Result<Device> {
        let callee = Callee::start_with(PBX, 5060, CALLED)?;
        let mut device = Device { at: PROXY.parse()?, _callee: callee, edge: None, kamailio: None, rtpengine: None };
        match kind {
            Kind::Edge => {
                let edge = Edge::start(&format!("[limits]\ncalls_per_second = 0\n{CARRIER_TO_PBX}"))?;
                device.at = edge.udp;
                device.edge = Some(edge);
            }
            Kind::Proxy => device.kamailio = Some(Kamailio::start_with(KAMAILIO, SHARED_MIB)?),
            Kind::Border => {
                device.rtpengine = Some(Rtpengine::start_by(Command::new("rtpengine"))?);
                device.kamailio = Some(Kamailio::start_with(&format!("#!define MEDIA\n{KAMAILIO}"), SHARED_MIB)?);
            }
        }
        Ok(device)
    }

    /// Returns the IDs of all processes of the device.
    fn pids(&self) -> anyhow::Result<Vec<u32>> {
        let first = [
            self.edge.as_ref().map(Edge::pid),
            self.kamailio.as_ref().map(Kamailio::pid),
            self.rtpengine.as_ref().map(|engine| engine.device.pid()),
        ];
        let mut all = Vec::new();
        for pid in first.into_iter().flatten() {
            all.extend(process::family(pid)?);
        }
        Ok(all)
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        self.pids()?.into_iter().map(process::cpu).sum()
    }

    fn memory(&self) -> anyhow::Result<u64> {
        self.pids()?.into_iter().map(process::proportional_bytes).sum()
    }

    fn call(&self, calls: u32, per_second: u32, length: Duration) -> anyhow::Result<Counted> {
        let mut wanted = Calls::new(calls, per_second, length);
        wanted.scenario = Some(CALLER.into());
        wanted.run(self.at)
    }
}

/// Result of one run of a device.
#[derive(Debug)]
struct Seen {
    /// CPU seconds that 1,000 calls cost.
    cost: f64,
    counted: Counted,
    /// Context switches of the edge's threads.
    threads: BTreeMap<String, Work>,
}

fn measure(kind: Kind, rate: u32, seconds: u32) -> anyhow::Result<Seen> {
    let device = Device::start(kind)?;
    device.call(WARM_UP_CALLS, rate.min(200), LENGTH)?;
    std::thread::sleep(SETTLE);
    let threads = || device.edge.as_ref().map_or(Ok(BTreeMap::new()), |edge| process::threads(edge.pid()));
    let (before, slept) = (device.cpu()?, threads()?);
    let counted = device.call(rate * seconds, rate, LENGTH)?;
    std::thread::sleep(SETTLE);
    let used = device.cpu()?.saturating_sub(before);
    let mut worked: BTreeMap<String, Work> = BTreeMap::new();
    for (name, work) in threads()? {
        let before = slept.get(&name).copied().unwrap_or_default();
        worked.entry(name).or_default().add(work, before);
    }
    Ok(Seen { cost: used.as_secs_f64() * 1000.0 / f64::from(rate * seconds), counted, threads: worked })
}

/// Returns the bytes before the calls, and the bytes for each held call.
fn memory(kind: Kind) -> anyhow::Result<(u64, u64)> {
    let device = Device::start(kind)?;
    device.call(WARM_UP_CALLS, 200, LENGTH)?;
    std::thread::sleep(SETTLE);
    let idle = device.memory()?;
    // Memory is read while all calls are up: SIPp takes 10 s to dial them, and then holds them for 20 s.
    let (calls, rate, length) = (HELD, 200, Duration::from_secs(20));
    let held = std::thread::scope(|scope| -> anyhow::Result<u64> {
        let dialed = scope.spawn(|| device.call(calls, rate, length));
        std::thread::sleep(Duration::from_secs(u64::from(calls / rate) + 3));
        let held = device.memory()?;
        let counted = dialed.join().ok().context("dialing panicked")??;
        if counted.failed > 0 {
            bail!("{} of {calls} held calls failed", counted.failed);
        }
        Ok(held)
    })?;
    Ok((idle, held.saturating_sub(idle) / u64::from(calls)))
}

/// Measures all devices at all rates and prints the tables.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    install::packages(&[("rtpengine", "rtpengine-daemon"), ("sipp", "sip-tester"), ("kamailio", "kamailio")])?;
    edge::build()?;
    process::raise_descriptor_limit()?;
    let mut text = format!(
        "Machine: {}, shared with SIPp on both sides; medians of {} alternating runs of {} s (smallest–largest).\n\n\
         | calls a second | device | CPU s per 1,000 calls | of Kamailio, dialog, rtpengine | failed | sent again |\n\
         | --- | --- | --- | --- | --- | --- |\n",
        machine(),
        options.runs,
        options.seconds
    );
    let mut threads = "\n| calls a second | thread | woken a call | pushed off its core a call | CPU µs a call |\n\
         | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for rate in &options.rates {
        let edge = rows(&mut text, *rate, options)?;
        thread_rows(&mut threads, *rate, options, &edge);
    }
    if options.threads {
        text.push_str(&threads);
    }
    if !options.no_memory {
        text.push_str("\n| device | MiB before | KiB for each of 2,000 held calls |\n| --- | --- | --- |\n");
        for kind in KINDS {
            let (idle, held) = memory(kind).with_context(|| kind.name())?;
            let _ = writeln!(text, "| {} | {} | {:.1} |", kind.name(), idle / 1024 / 1024, held as f64 / 1024.0);
        }
    }
    println!("{text}");
    if let Some(file) = &options.out {
        std::fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    Ok(true)
}

/// Adds the table rows of the edge's threads at one rate.
fn thread_rows(text: &mut String, rate: u32, options: &Options, runs: &[Seen]) {
    let mut sums: BTreeMap<&str, Work> = BTreeMap::new();
    for (name, work) in runs.iter().flat_map(|run| &run.threads) {
        sums.entry(name).or_default().add(*work, Work::default());
    }
    let calls = f64::from(rate * options.seconds) * runs.len() as f64;
    for (name, work) in sums {
        let (woken, pushed_off) = (work.woken as f64 / calls, work.pushed_off as f64 / calls);
        let micros = work.cpu.as_secs_f64() * 1e6 / calls;
        let _ = writeln!(text, "| {rate} | {name} | {woken:.2} | {pushed_off:.2} | {micros:.0} |");
    }
}

/// Adds the table rows of all devices at one rate; returns the runs of the edge.
fn rows(text: &mut String, rate: u32, options: &Options) -> anyhow::Result<Vec<Seen>> {
    let mut seen: [Vec<Seen>; KINDS.len()] = Default::default();
    for run in 1..=options.runs {
        for (kind, seen) in KINDS.into_iter().zip(&mut seen) {
            let one = measure(kind, rate, options.seconds).with_context(|| format!("{} at {rate}/s", kind.name()))?;
            let Counted { failed, retransmissions, .. } = one.counted;
            eprintln!(
                "{rate}/s {run}/{} {}: {:.3} CPU s per 1,000 calls, {failed} failed, {retransmissions} sent again",
                options.runs,
                kind.name(),
                one.cost
            );
            seen.push(one);
        }
    }
    let cost = |seen: &[Seen]| spread(seen.iter().map(|one| one.cost));
    let (border, ..) = cost(&seen[1]);
    for (kind, seen) in KINDS.into_iter().zip(&seen) {
        let (median, least, most) = cost(seen);
        let failed: u64 = seen.iter().map(|one| one.counted.failed).sum();
        let again: u64 = seen.iter().map(|one| one.counted.retransmissions).sum();
        let of = if kind == Kind::Border { "–".to_owned() } else { format!("{:.2}×", median / border) };
        let _ = writeln!(
            text,
            "| {rate} | {} | {median:.3} ({least:.3}–{most:.3}) | {of} | {failed} | {again} |",
            kind.name()
        );
    }
    let [edge, ..] = seen;
    Ok(edge)
}
