//! `cargo run -p trunkgate-sim --release -- [--seed N] [--seeds M] [--sabotage]`: runs seeds on all cores and prints the
//! outcome: of a failure the last events, and all of them where there is one seed alone. With `--sabotage` the edge misses each BYE,
//! and seeds must fail.
#![allow(clippy::disallowed_methods)] // the program has to give the world a moment to begin with

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use trunkgate_sim::{Sabotage, Summary, run_all};

fn main() -> ExitCode {
    let Some((first, count, sabotage)) = arguments(std::env::args().skip(1)) else {
        let _ = writeln!(std::io::stderr(), "usage: trunkgate-sim [--seed FIRST] [--seeds COUNT] [--sabotage]");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let (mut failures, mut sum) = (Vec::new(), Summary::default());
    std::thread::scope(|scope| {
        let share = |core| (first..first.saturating_add(count)).filter(move |seed| seed % cores == core);
        let threads: Vec<_> =
            (0..cores).map(|core| scope.spawn(move || run_all(began, share(core), (sabotage, count == 1)))).collect();
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

/// Returns the first seed, how many, and what is broken.
fn arguments(mut words: impl Iterator<Item = String>) -> Option<(u64, u64, Sabotage)> {
    let (mut seed, mut count, mut sabotage) = (1, 1, Sabotage::Nothing);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => seed = words.next()?.parse().ok()?,
            "--seeds" => count = words.next()?.parse().ok()?,
            "--sabotage" => sabotage = Sabotage::EdgeMissesByes,
            _ => return None,
        }
    }
    Some((seed, count, sabotage))
}
