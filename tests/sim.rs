//! The simulator over fixed seeds: 1,000 worlds in which nothing may be left of any call. One seed by hand:
//! `cargo run -p trunkgate-sim -- --seed N`; many: `cargo run --release -p trunkgate-sim -- --seeds 10000`.

#![allow(clippy::expect_used, clippy::panic)]

use std::time::Instant;

use trunkgate_sim::{Options, Sabotage, Summary, run, run_all};

/// Seeds run by `cargo test`.
const SEEDS: u64 = 1000;

#[test]
fn a_thousand_seeds_leave_nothing_behind() {
    let (mut failures, mut sum, mut threads) = (Vec::new(), Summary::default(), Vec::new());
    for half in [0, 1] {
        let seeds = (0..SEEDS).filter(move |seed| seed % 2 == half);
        threads.push(std::thread::spawn(move || run_all(Instant::now(), seeds)));
    }
    for thread in threads {
        let (more, part) = thread.join().expect("a seed panicked");
        failures.extend(more);
        sum += part;
    }
    assert!(failures.is_empty(), "{} seeds failed; the first:\n{}", failures.len(), failures[0]);
    // What was simulated is what was meant: calls of which many are answered and talk, and restarts amid them.
    assert!(sum.placed > 2 * SEEDS, "{sum:?}");
    assert!(sum.answered > SEEDS / 2, "{sum:?}");
    assert!(sum.records > SEEDS, "{sum:?}");
    assert!(sum.heard > 20 * SEEDS, "{sum:?}");
    assert!(sum.secure > 5 * SEEDS, "{sum:?}");
    assert!(sum.restarts > SEEDS / 20, "{sum:?}");
    // Agents talk, and are lost so that others take over.
    assert!(sum.spoken > 100 * SEEDS, "{sum:?}");
    assert!(sum.failovers > SEEDS / 4, "{sum:?}");
    // Listeners come in mid-call.
    assert!(sum.forks > SEEDS / 4, "{sum:?}");
    // Trunks and phones ask for credentials, register, are asked by OPTIONS, and are called by other ways than the first.
    assert!(sum.challenged > SEEDS, "{sum:?}");
    assert!(sum.registered > SEEDS, "{sum:?}");
    assert!(sum.healthy > 10 * SEEDS, "{sum:?}");
    assert!(sum.oversize > SEEDS / 10, "{sum:?}");
    // Callers wait for an agent.
    assert!(sum.waited > SEEDS / 10, "{sum:?}");
    // Phones speak in answered calls, and both sides hang up at once.
    assert!(sum.said > SEEDS && sum.both_hung_up > SEEDS / 50, "{sum:?}");
    assert!(sum.to_nobody > SEEDS / 10, "{sum:?}");
}

#[test]
fn seeds_that_have_found_something_find_nothing_more() {
    // An INVITE that was challenged went out again without the boundary of its multipart body; `max_call` ran on in a goodbye.
    for seed in [1995, 6761, 7440, 1766] {
        if let Err(failure) = run(Instant::now(), Options::of_seed(seed)) {
            panic!("{failure}");
        }
    }
}

#[test]
fn a_seed_is_always_the_same_run() {
    for seed in [1, 2, 3, 5, 8, 13, 21, 34] {
        let runs = [0, 1].map(|_| run(Instant::now(), Options::of_seed(seed)).expect("a good seed"));
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}

/// Runs seeds with a fault put in until one is seen; what was said of it.
fn sabotaged(sabotage: Sabotage) -> String {
    (0..100)
        .find_map(|seed| {
            let options = Options { sabotage, ..Options::of_seed(seed) };
            run(Instant::now(), options).err().map(|failure| failure.to_string())
        })
        .unwrap_or_else(|| panic!("{sabotage:?} is not noticed in 100 seeds"))
}

#[test]
fn phones_that_never_end_are_noticed() {
    let said = sabotaged(Sabotage::PhonesNeverEnd);
    assert!(said.contains("is stuck in"), "{said}");
}

#[test]
fn lost_byes_are_noticed() {
    let said = sabotaged(Sabotage::EdgeMissesByes);
    // One side hangs up, and what the other side still says is heard by nobody.
    let signs = ["is over", "stuck", "left", "frames were heard"];
    assert!(signs.iter().any(|sign| said.contains(sign)), "{said}");
}

#[test]
fn harmed_audio_is_noticed() {
    assert!(sabotaged(Sabotage::EdgeHarmsAudio).contains("damaged audio"));
}

#[test]
fn an_answer_to_a_stranger_is_noticed() {
    assert!(sabotaged(Sabotage::EdgeAnswersStrangers).contains("which is nobody"));
}

#[test]
fn ports_that_do_not_come_back_are_noticed() {
    let said = sabotaged(Sabotage::PortsAreLost);
    assert!(said.contains("media ports are left"), "{said}");
}

#[test]
fn credentials_at_another_trunk_are_noticed() {
    let said = sabotaged(Sabotage::CredentialsLeak);
    assert!(said.contains("credentials of trunk a go to"), "{said}");
}

#[test]
fn an_address_that_is_never_asked_is_noticed() {
    let said = sabotaged(Sabotage::AddressesAreLost);
    assert!(said.contains("was never asked"), "{said}");
}

#[test]
fn a_failure_says_how_to_see_it_again() {
    let said = sabotaged(Sabotage::EdgeHarmsAudio);
    assert!(said.contains("cargo run -p trunkgate-sim -- --seed "), "{said}");
    assert!(said.contains("options: calls="), "{said}");
}
