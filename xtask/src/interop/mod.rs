//! The interop suite: named cases, each with a figure. `--sabotage NAME` breaks the named case's feature from outside
//! (a configuration or a peer that misbehaves) and must turn it red: a case that cannot fail proves nothing.

pub(crate) mod baresip;
pub(crate) mod bots;
pub(crate) mod cases;
pub(crate) mod edge;
pub(crate) mod install;
mod nat;
mod netns;
mod node;
mod python;
pub(crate) mod raw;
pub(crate) mod recording;
pub(crate) mod rtp;
pub(crate) mod scenario;
pub(crate) mod sipp;
pub(crate) mod sound;

use std::time::Instant;

use anyhow::{Context as _, bail};

/// Flags of `cargo xtask interop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fewer calls and without the cases of [`FULL_ONLY`]; at most ten minutes.
    #[arg(long)]
    quick: bool,
    /// Only the case of this name, or those whose names contain it.
    #[arg(long)]
    only: Vec<String>,
    /// Breaks the feature of the named case: it must fail, and the exit code says whether it did.
    #[arg(long)]
    sabotage: Option<String>,
    /// Prints the cases and what each proves.
    #[arg(long)]
    list: bool,
}

/// Cases that --quick leaves out unless they are asked for by name: one measures time on a machine that must have nothing
/// else to do, one waits for intervals of real time, the others install large packages.
const FULL_ONLY: [&str; 8] =
    ["sipp-timers", "agent-100", "agent-pipecat", "agent-openai", "opus-libopus", "console", "asterisk", "faults"];

/// One case.
pub(crate) struct Case {
    /// Its name, as `--only` and `--sabotage` take it.
    pub(crate) name: &'static str,
    /// What it proves, in one line.
    pub(crate) proves: &'static str,
    /// Runs it: the figure, or what did not hold.
    pub(crate) run: fn(&Setting) -> anyhow::Result<String>,
}

/// How a case is to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Fewer calls.
    pub(crate) quick: bool,
    /// Break the feature.
    pub(crate) sabotage: bool,
}

impl Setting {
    /// `full` calls, or `quick` ones.
    pub(crate) fn calls(&self, full: u32, quick: u32) -> u32 {
        if self.quick { quick } else { full }
    }
}

/// Runs the suite; `true` when every case held (with `--sabotage`: when the broken one failed).
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
                // A name that is the end of another's is that case alone.
                case.name == part || !all.iter().any(|case| case.name == part) && case.name.contains(part.as_str())
            }),
        })
        .collect();
    if chosen.is_empty() {
        bail!("no case matches; see --list");
    }
    let (mut passed, mut failed) = (0, 0);
    for (at, case) in chosen.iter().enumerate() {
        println!("[{}/{}] {}: {}", at + 1, chosen.len(), case.name, case.proves);
        let began = Instant::now();
        let setting = Setting { quick: options.quick, sabotage: options.sabotage.is_some() };
        match (case.run)(&setting).with_context(|| format!("case {}", case.name)) {
            Ok(figure) => {
                passed += 1;
                println!("      ok    {figure} ({:.1} s)", began.elapsed().as_secs_f64());
            }
            Err(error) => {
                failed += 1;
                println!("      FAIL  {error:#} ({:.1} s)", began.elapsed().as_secs_f64());
            }
        }
    }
    if let Some(name) = &options.sabotage {
        println!("sabotage of {name}: {}", if failed == 1 { "noticed" } else { "NOT NOTICED" });
        return Ok(failed == 1);
    }
    println!("interop: {passed} passed, {failed} failed");
    Ok(failed == 0)
}
