//! `cargo run -p trunkgate-sim -- --seed N [--count M]`: runs seeds and prints what came of them.
#![allow(clippy::disallowed_methods)] // the program has to give the world a moment to begin with

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use trunkgate_sim::{Options, run};

fn main() -> ExitCode {
    let Some((seed, count)) = arguments(std::env::args().skip(1)) else {
        let _ = writeln!(std::io::stderr(), "usage: trunkgate-sim [--seed N] [--count M]");
        return ExitCode::from(2);
    };
    let mut out = std::io::stdout();
    let (mut failed, mut calls, mut answered, mut restarts) = (0u64, 0, 0, 0);
    let began = Instant::now();
    for seed in seed..seed.saturating_add(count) {
        match run(began, Options::of_seed(seed)) {
            Ok(summary) => {
                calls += summary.placed;
                answered += summary.answered;
                restarts += summary.restarts;
                if count == 1 {
                    let _ = writeln!(out, "{summary:?}");
                }
            }
            Err(failure) => {
                failed += 1;
                let _ = writeln!(out, "{failure}\n");
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let _ = writeln!(
        out,
        "{count} seeds, {failed} failed; {calls} calls, {answered} answered, {restarts} restarts; {seconds:.1} s"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// First seed and how many.
fn arguments(mut words: impl Iterator<Item = String>) -> Option<(u64, u64)> {
    let (mut seed, mut count) = (1, 1);
    while let Some(word) = words.next() {
        let value = words.next()?.parse().ok()?;
        match word.as_str() {
            "--seed" => seed = value,
            "--count" => count = value,
            _ => return None,
        }
    }
    Some((seed, count))
}
