//! `cargo xtask bench app`: calls controlled by an application. Measures the time that the edge adds from INVITE to the
//! effect of the first verb, memory of a call waiting in Gather, and calls per second.

mod application;
mod crowd;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::dialer::Dialer;
use super::generator;
use super::process;
use super::rtp::start_relay;
use super::table::spread;
use crate::interop::edge::{self, Edge};
use crate::interop::raw::Phone;
use crate::interop::rtp;
use crate::interop::sipp::CARRIER;
use application::Application;

/// Called number that the application serves.
const NUMBER: &str = "+14155550100";
/// Number of sequential calls before the measured ones.
const WARM_UP: usize = 20;
/// Maximum wait for the first packet of a prompt.
const PROMPT: Duration = Duration::from_secs(2);
/// Wait after a call, until its deliveries are complete and its buffers are free.
const SETTLE: Duration = Duration::from_secs(2);
/// Wait after the start of a process, before its first call.
const FRESH: Duration = Duration::from_millis(200);
/// Seconds during which the CPU time of waiting calls is measured.
const WATCHED: u32 = 5;

/// Options of `cargo xtask bench app`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Sequential calls of each kind, for the time to the first effect.
    #[arg(long, default_value_t = 200)]
    calls: usize,
    /// Fresh processes with listed first calls.
    #[arg(long, default_value_t = 5)]
    fresh: usize,
    /// Concurrent waiting calls, for the memory of one.
    #[arg(long, default_value_t = 1000)]
    waiting: usize,
    /// Calls per second, one run for each value.
    #[arg(long, value_delimiter = ',', default_values_t = [50, 100, 200])]
    rates: Vec<u32>,
    /// Seconds of calls in such a run.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

/// First effect of a call that its caller notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// 200 OK to the caller's INVITE.
    Answer,
    /// First packet of the prompt to the caller.
    Prompt,
}

/// Kind of calls, by the document that they run.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    /// Path of the document at the application; `None` for a file next to the configuration.
    path: Option<&'static str>,
    effect: Effect,
}

const KINDS: [Kind; 5] = [
    Kind { name: "webhook, Gather: 200 OK", path: Some("/gather"), effect: Effect::Answer },
    Kind { name: "webhook, Play: prompt heard", path: Some("/play"), effect: Effect::Prompt },
    Kind { name: "file, Play: prompt heard", path: None, effect: Effect::Prompt },
    // Spoken by an installed espeak-ng, which the edge finds by itself.
    Kind { name: "webhook, Say, known: speech heard", path: Some("/say"), effect: Effect::Prompt },
    Kind { name: "webhook, Say, new: speech heard", path: Some(application::NEW_SENTENCE), effect: Effect::Prompt },
];

/// Measures all kinds of calls and prints the tables.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    process::raise_descriptor_limit()?;
    let application = Application::start()?;
    println!("Machine: {}; edge, callers and application together on it.\n", process::machine());
    println!(
        "| INVITE to the first effect, without the application's own time | p50 | p95 | worst | first calls of fresh processes | application p50 |\n\
         | --- | --- | --- | --- | --- | --- |"
    );
    for kind in &KINDS {
        println!("{}", times(options, kind, &application).context(kind.name)?);
    }
    println!(
        "\n| {} calls at once | memory of a call | CPU of a call |\n| --- | --- | --- |\n{}",
        options.waiting,
        waiting(options, &application)?
    );
    println!(
        "\n| calls a second | served | failed | INVITE to 200 OK p50 | p95 | edge's CPU for a call |\n\
         | --- | --- | --- | --- | --- | --- |"
    );
    for rate in &options.rates {
        let edge = start(Some("/hang-up"), &application)?;
        let seen = crowd::drive(edge.udp, *rate, options.seconds, &|| process::cpu(edge.pid()))?;
        println!("| {rate} | {seen}");
    }
    Ok(true)
}

/// Starts an edge that runs the document of this path for each call.
fn start(path: Option<&str>, application: &Application) -> anyhow::Result<Edge> {
    let app = match path {
        Some(path) => format!("url = \"http://{}{path}\"\nallow_private = true\n", application.address),
        None => "file = \"menu.xml\"\n".to_owned(),
    };
    let rest = format!(
        "[limits]\ncalls_per_second = 0\n[api]\nauth_token = \"0123456789abcdef0123456789abcdef\"\n[app.bench]\n{app}\
         [trunk.near]\naccept_from = [\"{CARRIER}/32\"]\n[[route]]\nfrom = [\"near\"]\nconnect = [\"app:bench\"]\n"
    );
    let files = [("menu.xml", application::FILE.as_bytes()), ("prompt.wav", application.prompt())];
    Edge::start_beside(&rest, &files)
}

/// Returns the table row of a kind of calls.
fn times(options: &Options, kind: &Kind, application: &Application) -> anyhow::Result<String> {
    let mut first = Vec::new();
    let mut edge = start(kind.path, application)?;
    for fresh in 0..options.fresh {
        if fresh > 0 {
            edge = start(kind.path, application)?;
        }
        std::thread::sleep(FRESH);
        first.push(call(&edge, kind, application)?.0);
    }
    let (mut added, mut own) = (Vec::new(), Vec::new());
    for n in 0..WARM_UP + options.calls {
        let (edge_took, app_took) = call(&edge, kind, application).with_context(|| edge.log_tail())?;
        if n >= WARM_UP {
            added.push(edge_took);
            own.push(app_took);
        }
    }
    added.sort_unstable();
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    let share = |per_cent: usize| added.get((added.len() * per_cent / 100).min(added.len() - 1)).copied();
    let of = |per_cent| share(per_cent).map(ms).unwrap_or_default();
    Ok(format!(
        "| {} | {} ms | {} ms | {} ms | {} ms | {:.2} ms |",
        kind.name,
        of(50),
        of(95),
        of(100),
        first.into_iter().map(ms).collect::<Vec<_>>().join(", "),
        spread(own.iter().map(|time| time.as_secs_f64() * 1e3)).0
    ))
}

/// Makes one call; returns the time until its first effect without the application's share, and that share.
fn call(edge: &Edge, kind: &Kind, application: &Application) -> anyhow::Result<(Duration, Duration)> {
    let phone = Phone::new(CARRIER, 0, "caller")?;
    application.forget();
    let began = Instant::now();
    let call = phone.call(edge.udp, NUMBER)?;
    if kind.effect == Effect::Prompt {
        hear(&phone, began)?;
    }
    let took = began.elapsed();
    let own = application.took();
    phone.bye(&call)?;
    Ok((took.saturating_sub(own), own))
}

/// Waits for the first packet of the prompt.
fn hear(phone: &Phone, began: Instant) -> anyhow::Result<()> {
    let mut buffer = [0; 2048];
    while began.elapsed() < PROMPT {
        if let Ok(len) = phone.rtp.recv(&mut buffer)
            && let Some((_, payload)) = rtp::read(buffer.get(..len).unwrap_or_default())
            && rtp::is_heard(payload)
        {
            return Ok(());
        }
    }
    bail!("the prompt was not heard within {PROMPT:?}")
}

/// Returns the table rows of calls waiting in Gather, before and after a prompt, and of ordinary calls.
fn waiting(options: &Options, application: &Application) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    for (name, path) in [("Gather", "/gather"), ("Gather with a prompt that has ended", "/menu")] {
        let edge = start(Some(path), application)?;
        let phones =
            |calls: usize| (0..calls).map(|_| Phone::new(CARRIER, 0, "caller")).collect::<anyhow::Result<Vec<_>>>();
        let dial = |phones: &[Phone]| {
            phones.iter().try_for_each(|phone| phone.call(edge.udp, NUMBER).map(drop)).with_context(|| edge.log_tail())
        };
        let (first, others) = (phones(WARM_UP)?, phones(options.waiting)?);
        dial(&first)?;
        std::thread::sleep(SETTLE);
        let before = process::private_bytes(edge.pid())?;
        dial(&others)?;
        rows.push(row(name, &edge, before, options.waiting)?);
    }
    let (dialer, pairs) = (Dialer::new()?, generator::pairs(WARM_UP + options.waiting)?);
    let edge = start_relay(&dialer)?;
    let (first, others) = pairs.split_at(WARM_UP);
    dialer.dial(edge.udp, first, None).with_context(|| edge.log_tail())?;
    std::thread::sleep(SETTLE);
    let before = process::private_bytes(edge.pid())?;
    dialer.dial_from(edge.udp, WARM_UP, others, None).with_context(|| edge.log_tail())?;
    rows.push(row("two trunks, no audio", &edge, before, options.waiting)?);
    Ok(rows.join("\n"))
}

/// Returns the table row for the current calls of an edge.
fn row(name: &str, edge: &Edge, before: u64, calls: usize) -> anyhow::Result<String> {
    std::thread::sleep(SETTLE);
    let cpu = process::cpu(edge.pid())?;
    std::thread::sleep(Duration::from_secs(u64::from(WATCHED)));
    let cpu = process::cpu(edge.pid())?.saturating_sub(cpu).as_secs_f64() / f64::from(WATCHED);
    let bytes = process::private_bytes(edge.pid())?.saturating_sub(before);
    Ok(format!("| {name} | {:.1} KiB | {:.4} % |", bytes as f64 / 1024.0 / calls as f64, cpu * 100.0 / calls as f64))
}
