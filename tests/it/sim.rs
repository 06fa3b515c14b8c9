//! Simulator with fixed seeds: 100 worlds, in which no state of any call may remain. The interop case `simulator` runs
//! 1,000 or 10,000 in a release build. One seed: `cargo run -p trunkgate-sim -- --seed N`; many: `cargo run --release
//! -p trunkgate-sim -- --seeds 10000`.

#![allow(clippy::expect_used, clippy::panic)]

use std::time::Instant;

use trunkgate_phone::SessionTimerConfig;
use trunkgate_route::ReferMode;
use trunkgate_sim::net::NetworkConditions;
use trunkgate_sim::{RunSummary, Sabotage, SeedOptions, run, run_all};

/// Number of seeds that `cargo test` runs: without optimisation, a thousand take minutes.
const SEEDS: u64 = 100;

/// Seeds that have found a fault: a document for a party that had left; a restart after a stream had passed on its
/// caller; a restart after a Record had been replaced; a leg left by a transfer, to whose party another transfer
/// applied.
const FOUND: [u64; 7] = [4_595, 5_358, 700_779, 1_003_659, 4_004_415, 4_004_588, 4_009_904];

#[test]
fn seeds_that_have_found_a_fault_find_none() {
    find_none(FOUND.map(without_crashes));
}

/// Seeds whose crashes have found a fault: a party in a conference that heard a sound of its wait document did not join
/// again, and a status callback had the number of an earlier one.
const FOUND_BY_CRASHES: [u64; 2] = [7_458, 5_261];

#[test]
fn crashes_that_have_found_a_fault_find_none() {
    find_none(FOUND_BY_CRASHES.map(|seed| SeedOptions { freezes: 0, ..SeedOptions::of_seed(seed) }));
}

fn find_none(seeds: impl IntoIterator<Item = SeedOptions>) {
    for options in seeds {
        if let Err(failure) = run(Instant::now(), options) {
            panic!("{failure}");
        }
    }
}

/// Returns the options of a seed as they were when it found its fault: before there were crashes and freezes.
fn without_crashes(seed: u64) -> SeedOptions {
    SeedOptions { crashes: 0, freezes: 0, ..SeedOptions::of_seed(seed) }
}

#[test]
fn a_hundred_seeds_leave_nothing_behind() {
    let (mut failures, mut sum, mut threads) = (Vec::new(), RunSummary::default(), Vec::new());
    for half in [0, 1] {
        let seeds = (0..SEEDS).filter(move |seed| seed % 2 == half);
        threads.push(std::thread::spawn(move || run_all(Instant::now(), seeds, |options| options)));
    }
    for thread in threads {
        let (more, part) = thread.join().expect("a seed panicked");
        failures.extend(more);
        sum += part;
    }
    assert!(failures.is_empty(), "{} seeds failed; the first:\n{}", failures.len(), failures[0]);
    // Coverage of the simulation: many calls are answered and have audio, and there are restarts during calls.
    assert!(sum.placed > 2 * SEEDS, "{sum:?}");
    assert!(sum.answered > SEEDS / 2, "{sum:?}");
    assert!(sum.records > SEEDS, "{sum:?}");
    assert!(sum.heard > 20 * SEEDS, "{sum:?}");
    assert!(sum.secure > 5 * SEEDS, "{sum:?}");
    assert!(sum.restarts > SEEDS / 20, "{sum:?}");
    // Calls continue after crashes, and calls that are not answered end.
    assert!(sum.crashes > SEEDS / 5 && sum.continued > SEEDS / 20 && sum.cut_short > SEEDS / 20, "{sum:?}");
    // The process is stopped for a while.
    assert!(sum.freezes > SEEDS / 5, "{sum:?}");
    // Agents send audio, and are lost with failover.
    assert!(sum.spoken > 100 * SEEDS, "{sum:?}");
    assert!(sum.failovers > SEEDS / 4, "{sum:?}");
    // Listeners join in mid-call.
    assert!(sum.forks > SEEDS / 4, "{sum:?}");
    // Trunks and phones challenge, register, are probed by OPTIONS, and are called by later candidates.
    assert!(sum.challenged > SEEDS, "{sum:?}");
    assert!(sum.registered > SEEDS, "{sum:?}");
    assert!(sum.healthy > 10 * SEEDS, "{sum:?}");
    assert!(sum.oversize > SEEDS / 10, "{sum:?}");
    // Callers wait for an agent.
    assert!(sum.waited > SEEDS / 10, "{sum:?}");
    // Phones send audio in answered calls, and both sides hang up at once.
    assert!(sum.said > SEEDS && sum.both_hung_up > SEEDS / 50, "{sum:?}");
    // Reliable provisional responses are acknowledged.
    assert!(sum.pracked > SEEDS / 10, "{sum:?}");
    // Sessions are refreshed, and end if a remote party has disappeared.
    assert!(sum.refreshed > SEEDS && sum.deserted > SEEDS / 50 && sum.expired > SEEDS / 500, "{sum:?}");
    // Calls are transferred.
    assert!(sum.transfers > SEEDS / 10 && sum.transferred > SEEDS / 50, "{sum:?}");
    // Calls are redirected, and fork; offers are made before the answer.
    assert!(sum.redirected > SEEDS / 10 && sum.forked > SEEDS / 10, "{sum:?}");
    assert!(sum.answered_twice > SEEDS / 100 && sum.changed_early > SEEDS / 100, "{sum:?}");
    assert!(sum.to_nobody > SEEDS / 10, "{sum:?}");
    // Recording servers accept sessions, and reject some.
    assert!(sum.vaulted > SEEDS / 10, "{sum:?}");
    // Callers are in conferences, which are reported to their end.
    assert!(sum.conferred > SEEDS / 10, "{sum:?}");
    // Warm transfers are offered to a party.
    assert!(sum.warm > SEEDS / 20, "{sum:?}");
    // Applications use speech recognition.
    assert!(sum.recognitions > 0, "{sum:?}");
}

#[test]
fn seeds_that_have_found_something_find_nothing_more() {
    // Faults found by these seeds: a challenged INVITE was sent again without the boundary of its multipart body;
    // `max_call` continued during a goodbye; the transferor of a second transfer was hung up on after the first; a call
    // on hold outlived both of its remote parties.
    for seed in [1995, 6761, 7440, 1766, 9144, 6736, 105939] {
        if let Err(failure) = run(Instant::now(), without_crashes(seed)) {
            panic!("{failure}");
        }
    }
}

#[test]
fn a_seed_is_always_the_same_run() {
    for seed in [1, 2, 3, 5, 8, 13, 21, 34] {
        let runs = [0, 1].map(|_| run(Instant::now(), SeedOptions::of_seed(seed)).expect("a good seed"));
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}

/// Runs seeds with an injected fault until the simulator detects it; returns the failure.
fn sabotaged(sabotage: Sabotage) -> String {
    sabotaged_where(sabotage, |_| {})
}

/// Runs seeds with an injected fault, in worlds that `change` has adapted so that the fault occurs more often.
fn sabotaged_where(sabotage: Sabotage, change: impl Fn(&mut SeedOptions)) -> String {
    (0..400)
        .find_map(|seed| {
            let mut options = SeedOptions { sabotage, ..SeedOptions::of_seed(seed) };
            change(&mut options);
            run(Instant::now(), options).err().map(|failure| failure.to_string())
        })
        .unwrap_or_else(|| panic!("{sabotage:?} is not noticed in 400 seeds"))
}

/// Removes all disturbances of a world except the injected fault.
fn calm(options: &mut SeedOptions) {
    (options.weather, options.disturbances, options.sessions.deaf) = (NetworkConditions::CALM, 0, None);
    options.freezes = 0;
}

#[test]
fn phones_that_never_end_are_noticed() {
    let said = sabotaged(Sabotage::PhonesNeverEnd);
    assert!(said.contains("is stuck in") || said.contains("is over: Talking"), "{said}");
}

#[test]
fn lost_byes_are_noticed() {
    let said = sabotaged(Sabotage::EdgeMissesByes);
    // After one side has hung up, the other side's audio is not heard.
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
fn lost_pracks_are_noticed() {
    let said = sabotaged(Sabotage::PracksAreLost);
    assert!(said.contains("nobody has acknowledged"), "{said}");
}

#[test]
fn a_session_that_outlives_its_far_end_is_noticed() {
    let sessions = SessionTimerConfig { seconds: 90, least: 90, refreshes: true, by_update: true, forgets: false };
    let said = sabotaged_where(Sabotage::DeafPhonesHear, |options| {
        calm(options);
        let seat = usize::try_from(options.seed % 4).unwrap_or_default();
        options.sessions.deaf = Some((seat, options.busy.mul_f64(0.5)));
        (options.sessions.stretch, options.sessions.by_phones) = (30, [Some(sessions); 5]);
        options.sessions.by_edge = [90; 3];
    });
    assert!(said.contains("has not refreshed its session"), "{said}");
}

#[test]
fn a_session_that_ends_though_it_is_refreshed_is_noticed() {
    let sessions = SessionTimerConfig { seconds: 90, least: 90, refreshes: true, by_update: true, forgets: false };
    let said = sabotaged_where(Sabotage::RefreshesAreLost, |options| {
        calm(options);
        (options.sessions.stretch, options.sessions.by_phones) = (10, [Some(sessions); 5]);
    });
    assert!(said.contains("and everybody refreshes") || said.contains("was not refreshed in"), "{said}");
}

#[test]
fn lost_news_of_a_transfer_are_noticed() {
    let said = sabotaged_where(Sabotage::NewsAreLost, |options| {
        calm(options);
        options.transfers.modes = [ReferMode::Local; 3];
    });
    assert!(said.contains("transfers and has heard"), "{said}");
}

#[test]
fn a_second_answer_that_is_left_alone_is_noticed() {
    let said = sabotaged_where(Sabotage::SecondAnswersAreLost, |options| {
        calm(options);
        (options.forks, options.tcp_trunk) = (true, 0);
    });
    assert!(said.contains("was left alone"), "{said}");
}

#[test]
fn changes_that_the_state_file_misses_are_noticed() {
    let said = sabotaged_where(Sabotage::ChangesAreMissed, |options| options.crashes = 3);
    assert!(said.contains("and the state file has"), "{said}");
}

#[test]
fn calls_that_continue_as_if_there_had_been_no_crash_are_noticed() {
    let said = sabotaged_where(Sabotage::CrashesAreIgnored, |options| {
        calm(options);
        (options.crashes, options.sessions.stretch) = (3, 10);
    });
    // A deadline counts from the start of the edge, or a request repeats a CSeq.
    assert!(said.contains("for longer than its max_call") || said.contains("CSeq"), "{said}");
}

#[test]
fn pauses_that_the_edge_does_not_notice_are_noticed() {
    let said = sabotaged_where(Sabotage::PausesAreMissed, |options| {
        calm(options);
        (options.crashes, options.freezes) = (0, 3);
    });
    assert!(said.contains("ended without an ACK"), "{said}");
}

#[test]
fn a_failure_says_how_to_see_it_again() {
    let said = sabotaged(Sabotage::EdgeHarmsAudio);
    assert!(said.contains("cargo run -p trunkgate-sim -- --seed "), "{said}");
    assert!(said.contains("options: calls="), "{said}");
}
