//! The interop suite: named cases, each of which reports a figure. `--sabotage NAME` breaks the feature of a case from
//! outside (by a configuration or a peer that misbehaves), and the case must fail: a case that cannot fail proves
//! nothing.

pub(crate) mod applications;
pub(crate) mod baresip;
pub(crate) mod bots;
pub(crate) mod callee;
pub(crate) mod caller;
pub(crate) mod cases;
pub(crate) mod edge;
pub(crate) mod front;
pub(crate) mod hub;
pub(crate) mod install;
pub(crate) mod lasting;
pub(crate) mod names;
mod nat;
mod netns;
pub(crate) mod node;
pub(crate) mod programs;
pub(crate) mod proxied;
pub(crate) mod python;
pub(crate) mod raw;
pub(crate) mod recording;
pub(crate) mod rtp;
pub(crate) mod scenario;
pub(crate) mod screenshots;
pub(crate) mod sipp;
mod sniffer;
pub(crate) mod sound;
pub(crate) mod speaking;
pub(crate) mod speech;
mod stalls;
pub(crate) mod transcriber;
pub(crate) mod web_application;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, bail};

use netns::Namespace;

/// Options of `cargo xtask interop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fewer calls, and without the cases that take longest; at most ten minutes.
    #[arg(long)]
    quick: bool,
    /// Only the case of this name, or those whose names contain it.
    #[arg(long)]
    only: Vec<String>,
    /// Breaks the feature of the named case, which must fail; the exit code reports that.
    #[arg(long)]
    sabotage: Option<String>,
    /// Prints the cases with the statement that each proves.
    #[arg(long)]
    list: bool,
    /// Runs two cases at a time, the second in a network namespace if permitted: most of them wait.
    #[arg(long)]
    parallel: bool,
}

/// Cases that --quick omits unless named: one measures time on a machine that is otherwise idle, one waits for
/// intervals in real time, and the others install large packages, or one that no other case needs.
const FULL_ONLY: [&str; 24] = [
    "mwi",
    "sipp-timers",
    "agent-100",
    "agent-pipecat",
    "pipecat-hang-up",
    "agent-openai",
    "opus-libopus",
    "console",
    "asterisk",
    "faults",
    "seeds",
    "twilio-snippets",
    "twilio-proxy",
    "twilio-apps",
    "twilio-parameters",
    "twilio-requests",
    "program-ivr",
    "program-forwarding",
    "program-click-to-call",
    "program-warm-transfer",
    "program-realtime",
    "recording-crash",
    "restart-peers",
    "helm",
];

/// Cases that can run in a network namespace, since they need nothing from outside. The others fetch packages.
const SELF_CONTAINED: [&str; 39] = [
    "instructions",
    "sipp-rtp",
    "sipp-tcp",
    "sipp-scenario",
    "sipp-dialog",
    "sipp-reliable",
    "sipp-timers",
    "sipp-redirect",
    "sipp-ring-all",
    "tone",
    "failover",
    "rfc4475",
    "strangers",
    "latch",
    "reflection",
    "toll-fraud",
    "failover-times",
    "fairness",
    "idle-strangers",
    "slow-http",
    "digest-uri",
    "kamailio",
    "tls-kamailio",
    "teams",
    "whatsapp",
    "record-route",
    "kamailio-digest",
    "kamailio-register",
    "baresip-register",
    "mwi",
    "baresip-hold",
    "baresip-transfer",
    "options-health",
    "srtp-baresip",
    "codecs-baresip",
    "reload-live",
    "ivr",
    "record-play",
    "takeover-namespace",
];

/// Cases that run alone, since they use or measure the whole machine.
const ALONE: [&str; 2] = ["simulator", "agent-100"];

/// Case of the interop suite.
pub(crate) struct Case {
    /// Name of the case for `--only` and `--sabotage`.
    pub(crate) name: &'static str,
    /// Statement that the case proves, in one line.
    pub(crate) proves: &'static str,
    /// Runs the case; returns the figure, or an error that names the failed check.
    pub(crate) run: fn(&Setting) -> anyhow::Result<String>,
}

/// Settings with which cases run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Whether to make fewer calls than usual.
    pub(crate) quick: bool,
    /// Whether to break the feature that the case tests.
    pub(crate) sabotage: bool,
}

impl Setting {
    /// Returns `full`, or `quick` if fewer calls are to be made.
    pub(crate) fn calls(&self, full: u32, quick: u32) -> u32 {
        if self.quick { quick } else { full }
    }
}

/// Runs the suite. Returns false if a case failed or, with `--sabotage`, if the broken case passed.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let all = cases::all();
    if options.list {
        for case in &all {
            println!("{:<18} {}", case.name, case.proves);
        }
        return Ok(true);
    }
    if let Some(name) = &options.sabotage
        && !all.iter().any(|case| case.name == name)
    {
        bail!("no case is named {name:?}; see --list");
    }
    install::peers()?;
    edge::build()?;
    let chosen: Vec<&Case> = all
        .iter()
        .filter(|case| match &options.sabotage {
            Some(name) => case.name == name,
            None if options.only.is_empty() => !(options.quick && FULL_ONLY.contains(&case.name)),
            None => options.only.iter().any(|part| {
                // A name that is also part of another one selects only the case of that name.
                case.name == part || !all.iter().any(|case| case.name == part) && case.name.contains(part.as_str())
            }),
        })
        .collect();
    if chosen.is_empty() {
        bail!("no case matches; see --list");
    }
    let setting = Setting { quick: options.quick, sabotage: options.sabotage.is_some() };
    let beside = if options.parallel { Namespace::new("beside").map(Some) } else { Ok(None) };
    let Tally { failed, skipped } = match beside {
        Ok(Some(namespace)) => alone_again(two_at_a_time(&chosen, setting, &namespace)?, setting),
        Ok(None) => one_by_one(&chosen, setting),
        Err(error) => {
            println!("one case at a time, for there is no network for a second one: {error:#}");
            one_by_one(&chosen, setting)
        }
    };
    if let Some(name) = &options.sabotage {
        println!("sabotage of {name}: {}", if failed.len() == 1 { "noticed" } else { "NOT NOTICED" });
        return Ok(failed.len() == 1);
    }
    let (all, failures) = (chosen.len(), failed.len());
    println!("interop: {} passed, {failures} failed, {skipped} skipped", all - failures - skipped);
    Ok(failed.is_empty())
}

/// Beginning of the figure of a case that could not run here.
pub(crate) const SKIPPED: &str = "SKIPPED: ";

/// Results of the cases so far.
#[derive(Default)]
struct Tally<'c> {
    /// Failed cases, each with its number.
    failed: Vec<(String, &'c Case)>,
    skipped: usize,
}

impl<'c> std::iter::Sum for Tally<'c> {
    fn sum<I: Iterator<Item = Tally<'c>>>(tallies: I) -> Tally<'c> {
        tallies.fold(Tally::default(), |mut sum, one| {
            sum.failed.extend(one.failed);
            Tally { skipped: sum.skipped + one.skipped, ..sum }
        })
    }
}

/// Runs the cases in this order, one after the other.
fn one_by_one<'c>(chosen: &[&'c Case], setting: Setting) -> Tally<'c> {
    let numbered = chosen.iter().enumerate();
    numbered.map(|(at, case)| judged(case, &format!("{}/{}", at + 1, chosen.len()), setting)).sum()
}

/// Runs the exclusive cases first, then the cases that fetch packages here, concurrently with the others in a network
/// namespace. This thread helps with the others at the end.
fn two_at_a_time<'c>(chosen: &[&'c Case], setting: Setting, namespace: &Namespace) -> anyhow::Result<Tally<'c>> {
    let (contained, fetching): (VecDeque<_>, VecDeque<_>) = (1..)
        .zip(chosen)
        .map(|(at, case)| (format!("{at}/{}", chosen.len()), *case))
        .partition(|(_, case)| SELF_CONTAINED.contains(&case.name));
    let (alone, fetching): (VecDeque<_>, VecDeque<_>) =
        fetching.into_iter().partition(|(_, case)| ALONE.contains(&case.name));
    let alone: Tally = alone.iter().map(|(number, case)| judged(case, number, setting)).sum();
    let (contained, fetching) = (Mutex::new(contained), Mutex::new(fetching));
    let run = |queues: &[&Mutex<VecDeque<(String, &'c Case)>>]| {
        let next = || queues.iter().find_map(|queue| queue.lock().ok()?.pop_front());
        std::iter::from_fn(next).map(|(number, case)| judged(case, &number, setting)).sum::<Tally>()
    };
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| namespace.enter(|| Ok(run(&[&contained]))));
        let here = run(&[&fetching, &contained]);
        let beside = beside.join().map_err(|_| anyhow::anyhow!("a case panicked"))??;
        Ok([alone, here, beside].into_iter().sum())
    })
}

/// Repeats failed concurrent cases alone, because the peers' own clocks suffer from load. A second failure counts.
fn alone_again(tally: Tally<'_>, setting: Setting) -> Tally<'_> {
    let Tally { failed, skipped } = tally;
    let names: Vec<&str> = failed.iter().map(|(_, case)| case.name).collect();
    if !names.is_empty() {
        println!("failed beside other cases, now alone: {}", names.join(", "));
    }
    let again: Tally<'_> = failed.iter().map(|(number, case)| judged(case, number, setting)).sum();
    Tally { skipped: skipped + again.skipped, ..again }
}

/// Runs a case and prints its result.
fn judged<'c>(case: &'c Case, number: &str, setting: Setting) -> Tally<'c> {
    println!("[{number}] {}: {}", case.name, case.proves);
    let began = Instant::now();
    let result = (case.run)(&setting).with_context(|| format!("case {}", case.name));
    let took = began.elapsed().as_secs_f64();
    match &result {
        Ok(figure) if figure.starts_with(SKIPPED) => println!("      skip  {}: {figure}", case.name),
        Ok(figure) => println!("      ok    {}: {figure} ({took:.1} s)", case.name),
        Err(error) => println!("      FAIL  {error:#} ({took:.1} s)"),
    }
    let skipped = result.as_ref().is_ok_and(|figure| figure.starts_with(SKIPPED));
    let failed = result.is_err().then(|| (number.to_owned(), case)).into_iter().collect();
    Tally { failed, skipped: usize::from(skipped) }
}
