//! `cargo run -p trunkgate-sim --release -- [--seed N] [--seeds M] [--sabotage] [--restores]`: runs seeds on all cores and
//! prints the last events of each failure, or all events for a single seed. With `--sabotage` the edge misses each BYE,
//! and seeds must fail. With `--restores` calls are compared with their restored copies after every step. `--seed N
//! --record FILE` runs one seed, writes the inputs and outputs of its gateway to a file as text, and replays the inputs
//! on a new gateway, which must produce the same outputs.
#![allow(clippy::disallowed_methods)] // the program has to give the world a moment to begin with

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use trunkgate_sim::{RunSummary, Sabotage, SeedOptions, World, run_all};

fn main() -> ExitCode {
    let Some(Arguments { first, count, sabotage, restores, record }) = arguments(std::env::args().skip(1)) else {
        let usage = "usage: trunkgate-sim [--seed FIRST] [--seeds COUNT] [--sabotage] [--restores] [--record FILE]";
        let _ = writeln!(std::io::stderr(), "{usage}");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    if let Some(file) = record {
        let options = SeedOptions { sabotage, whole_log: true, taped: true, ..SeedOptions::of_seed(first) };
        return recorded(World::new(began, options), &file);
    }
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let (mut failures, mut sum) = (Vec::new(), RunSummary::default());
    let change = |options| SeedOptions { sabotage, restores_every_step: restores, whole_log: count == 1, ..options };
    std::thread::scope(|scope| {
        let share = |core| (first..first.saturating_add(count)).filter(move |seed| seed % cores == core);
        let threads: Vec<_> = (0..cores).map(|core| scope.spawn(move || run_all(began, share(core), change))).collect();
        for thread in threads {
            let (more, part) = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            failures.extend(more);
            sum += part;
        }
    });
    failures.sort_by_key(|failure| failure.options.seed);
    let mut out = std::io::stdout();
    for failure in &failures {
        let _ = writeln!(out, "{failure}\n");
    }
    let seconds = began.elapsed().as_secs_f64();
    let _ = writeln!(out, "{count} seeds, {} failed, {seconds:.1} s; {sum:?}", failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a world, writes the tape of its gateway to a file, and replays it.
fn recorded(world: World, file: &Path) -> ExitCode {
    let (result, tape) = world.record();
    let run = result.map(|summary| format!("{summary:?}")).map_err(|failure| failure.to_string());
    let written = std::fs::write(file, tape.to_string()).map_err(|error| format!("{}: {error}", file.display()));
    let replayed = tape.replay().map(|()| format!("{} inputs replayed: the same outputs", tape.inputs()));
    let results = [run, written.map(|()| format!("written to {}", file.display())), replayed];
    let mut out = std::io::stdout();
    for result in &results {
        let (Ok(text) | Err(text)) = result;
        let _ = writeln!(out, "{text}");
    }
    if results.iter().all(Result::is_ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Arguments {
    /// First seed to run.
    first: u64,
    /// Number of seeds to run.
    count: u64,
    sabotage: Sabotage,
    /// Whether calls are compared with their restored copies after every step.
    restores: bool,
    /// File for the tape of the first seed; `None` records none.
    record: Option<PathBuf>,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments { first: 1, count: 1, sabotage: Sabotage::Nothing, restores: false, record: None };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => arguments.first = words.next()?.parse().ok()?,
            "--seeds" => arguments.count = words.next()?.parse().ok()?,
            "--sabotage" => arguments.sabotage = Sabotage::EdgeMissesByes,
            "--restores" => arguments.restores = true,
            "--record" => arguments.record = Some(words.next()?.into()),
            _ => return None,
        }
    }
    Some(arguments)
}
