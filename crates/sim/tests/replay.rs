//! Replay of a run's tape on a new gateway: a gateway is determined by its inputs.
#![allow(clippy::disallowed_methods, clippy::panic)] // a test's time has to begin somewhere

use std::time::Instant;

use trunkgate_sim::edge::Tape;
use trunkgate_sim::{RunSummary, SeedOptions, World};

fn recorded(seed: u64) -> (RunSummary, Tape) {
    let options = SeedOptions { taped: true, ..SeedOptions::of_seed(seed) };
    let (result, tape) = World::new(Instant::now(), options).record();
    (result.unwrap_or_else(|failure| panic!("{failure}")), tape)
}

#[test]
fn the_inputs_of_a_run_make_a_new_gateway_do_the_same() {
    let mut sum = RunSummary::default();
    for seed in 1..=12 {
        let (summary, tape) = recorded(seed);
        assert!(tape.inputs() > 100, "seed {seed}: {} inputs", tape.inputs());
        tape.replay().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        sum += summary;
    }
    assert!(sum.restarts > 0 && sum.forks > 0 && sum.requested > 0 && sum.recordings > 0, "{sum:?}");
}
