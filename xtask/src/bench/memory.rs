//! `cargo xtask bench memory`: memory of the edge with default traces, records and log: of the idle process, of a held
//! call of each kind, after many ended calls, and after a flood. Private resident memory, read from outside.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::agents;
use super::dialer::Dialer;
use super::generator;
use super::listener::Listener;
use super::load::Load;
use super::overload::{self, CALLED_PORT};
use super::process::{self, machine};
use super::rtp::{start_edge, start_recorded};
use super::speech::Codec;
use super::srtp::Suite;
use crate::interop::edge::{self, Edge};
use crate::interop::install;
use crate::interop::sipp::{CARRIER_TO_PBX, Callee, Calls, PBX};

/// Seconds in which both sides of every call send audio.
const SPOKEN_SECONDS: u32 = 2;
/// Time until the SIP transactions of a call have ended (64·T1) and its messages are packed.
const FORGOTTEN: Duration = Duration::from_secs(40);
/// Number of calls ended before memory is read, to exclude the first touch of memory.
const WARM_UP: usize = 20;
/// Number of calls held until their transactions have ended, before memory is read: they use the memory that the start
/// of the process left free and that later calls do not have.
const HELD_BEFORE: usize = 400;
/// Rate per second, and length, of the short calls.
const RATE: u32 = 500;
const LENGTH: Duration = Duration::from_millis(100);
/// Number of stretches of short calls; memory is read after each one.
const STRETCHES: u32 = 5;
/// Audio formats in calls of agents.
const FORMATS: [&str; 2] = ["mulaw/8000", "l16/16000"];

/// Options of `cargo xtask bench memory`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Calls of each kind that are held.
    #[arg(long, default_value_t = 300)]
    calls: usize,
    /// Calls, one after the other, after which memory is as before.
    #[arg(long, default_value_t = 100_000)]
    over: u32,
    /// Only the kind with this name, or the kinds whose name contains this; nothing else then.
    #[arg(long)]
    only: Option<String>,
    /// Leaves the flood out.
    #[arg(long)]
    no_flood: bool,
    /// Writes the tables to this file as well (Markdown).
    #[arg(long)]
    out: Option<std::path::PathBuf>,
}

/// Additional receiver of a call's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    No,
    Recorded,
    Forked,
}

/// Kind of call whose memory is measured.
struct Kind {
    name: &'static str,
    /// Whether the called side uses SRTP.
    srtp: bool,
    codecs: (Codec, Codec),
    heard: Heard,
    /// Maximum number of calls per core with audio on both sides.
    most: usize,
}

const RELAYED: Kind =
    Kind { name: "relayed", srtp: false, codecs: (Codec::Pcmu, Codec::Pcmu), heard: Heard::No, most: 1_000 };

const KINDS: [Kind; 6] = [
    RELAYED,
    Kind { name: "relayed, SRTP on one side", srtp: true, ..RELAYED },
    Kind { name: "PCMU to PCMA", codecs: (Codec::Pcmu, Codec::Pcma), ..RELAYED },
    Kind { name: "PCMU to Opus", codecs: (Codec::Pcmu, Codec::Opus), most: 60, ..RELAYED },
    Kind { name: "relayed, recorded (dual WAV)", heard: Heard::Recorded, ..RELAYED },
    Kind { name: "relayed, forked to an agent by WebSocket", heard: Heard::Forked, ..RELAYED },
];

/// Measures the memory in all these states and prints the tables.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    install::packages(&[("sipp", "sip-tester"), ("taskset", "util-linux"), ("espeak-ng", "espeak-ng")])?;
    edge::build()?;
    process::raise_descriptor_limit()?;
    // Unwritten pages of the program file would count as private memory.
    nix::unistd::sync();
    let (private, resident) = idle()?;
    let mut text = format!(
        "Machine: {}. Idle process: {:.1} MiB of its own, {:.1} MiB with the pages of its file.\n\n\
         | {} held calls | KiB of a call that has just begun | KiB of a call after {} s |\n| --- | --- | --- |\n",
        machine(),
        mib(private),
        mib(resident),
        options.calls,
        FORGOTTEN.as_secs()
    );
    let is_name = |part: &str| KINDS.iter().any(|kind| kind.name == part);
    let chosen = |name: &str| {
        options.only.as_ref().is_none_or(|part| if is_name(part) { name == part } else { name.contains(part.as_str()) })
    };
    for kind in KINDS.iter().filter(|kind| chosen(kind.name)) {
        let (fresh, held) = held(kind, options.calls.min(kind.most)).with_context(|| kind.name)?;
        eprintln!("{}: {:.1} KiB, {:.1} KiB", kind.name, kib(fresh), kib(held));
        let _ = writeln!(text, "| {} | {:.1} | {:.1} |", kind.name, kib(fresh), kib(held));
    }
    for format in FORMATS.into_iter().filter(|format| chosen(format)) {
        let bytes = agents::memory(options.calls, format).with_context(|| format.to_owned())?;
        eprintln!("with an agent, {format}: {:.1} KiB", kib(bytes));
        let _ = writeln!(text, "| with an agent, {format} | {:.1} | |", kib(bytes));
    }
    if options.only.is_none() {
        text.push_str(&over(options.over)?);
    }
    if options.only.is_none() && !options.no_flood {
        text.push_str(&overload::flood(&mut Load::new(CALLED_PORT)?)?);
    }
    println!("{text}");
    if let Some(file) = &options.out {
        std::fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    Ok(true)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

/// Returns the private and the resident bytes of a process that has had no calls.
fn idle() -> anyhow::Result<(u64, u64)> {
    let edge = Edge::start(CARRIER_TO_PBX)?;
    std::thread::sleep(process::STARTED);
    Ok((process::private_bytes(edge.pid())?, edge.resident_bytes()? as u64))
}

/// Returns the bytes for each held call of a kind: after audio on both sides, and after the end of its transactions.
fn held(kind: &Kind, calls: usize) -> anyhow::Result<(u64, u64)> {
    let folder = tempfile::tempdir()?;
    let dialer = Dialer::new()?;
    let listener = Listener::start()?;
    let edge = match kind.heard {
        Heard::No => start_edge(&dialer, kind.srtp, None, kind.codecs)?,
        Heard::Forked => {
            start_edge(&dialer, kind.srtp, Some(&format!("ws://{}/media", listener.address)), kind.codecs)?
        }
        Heard::Recorded => {
            let directory = folder.path().join("recordings").display().to_string();
            start_recorded(&dialer, &format!("[recording]\ndirectory = {directory:?}\n"), true)?
        }
    };
    let suite = kind.srtp.then_some(Suite::AesCm128HmacSha1_80);
    let first = generator::coded_pairs(WARM_UP, kind.codecs)?;
    for dialed in dialer.dial_all(edge.udp, &first, suite).with_context(|| edge.log_tail())? {
        dialer.hang_up(edge.udp, &dialed)?;
    }
    let others = generator::coded_pairs(HELD_BEFORE, kind.codecs)?;
    dialer.dial_from(edge.udp, WARM_UP, &others, suite).with_context(|| edge.log_tail())?;
    std::thread::sleep(FORGOTTEN);
    let bytes = || process::private_bytes(edge.pid());
    let before = bytes()?;
    let pairs = generator::coded_pairs(calls, kind.codecs)?;
    let paths = dialer.dial_from(edge.udp, WARM_UP + HELD_BEFORE, &pairs, suite).with_context(|| edge.log_tail())?;
    let seen = generator::drive(&pairs, &paths, SPOKEN_SECONDS, &|| process::cpu(edge.pid()))?;
    ensure!(seen.packets > 0, "nothing was heard");
    let of_one = |bytes: u64| bytes.saturating_sub(before) / calls as u64;
    let fresh = of_one(bytes()?);
    // Audio continues, because a pause in a stream is recorded in the call's data.
    generator::drive(&pairs, &paths, u32::try_from(FORGOTTEN.as_secs())?, &|| process::cpu(edge.pid()))?;
    let held = of_one(bytes()?);
    let live = edge.metric("trunkgate_calls_live")?;
    ensure!(live == (HELD_BEFORE + calls) as f64, "only {live} calls are held");
    Ok((fresh, held))
}

/// Returns a description of a process' memory after ended calls.
fn over(calls: u32) -> anyhow::Result<String> {
    let _callee = Callee::start(PBX, 5060)?;
    let mut edge = Edge::start(&format!("[limits]\ncalls_per_second = 0\n{CARRIER_TO_PBX}"))?;
    let mut seen = Vec::new();
    for stretch in 1..=STRETCHES {
        Calls::new(calls / STRETCHES, RATE, LENGTH).all_succeed(&mut edge)?;
        std::thread::sleep(FORGOTTEN);
        let bytes = process::private_bytes(edge.pid())?;
        eprintln!("{} calls that are over: {:.1} MiB", calls / STRETCHES * stretch, mib(bytes));
        seen.push(format!("{:.1} MiB after {}", mib(bytes), calls / STRETCHES * stretch));
    }
    Ok(format!("\nCalls that are over: {}.\n", seen.join(", ")))
}
