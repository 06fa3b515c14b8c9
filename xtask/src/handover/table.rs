//! Table of a run: a row for each kind of calls, and the goals that it missed.

use std::fmt::Write as _;
use std::time::Duration;

use super::judge::PacketFigures;
use super::kinds::{CallKind, Promise};
use super::outcome::CallFigures;
use crate::bench::restart::{milliseconds, percentile};

/// Maximum added delay of an upgrade, at the 99th percentile of its packets and of any packet.
const DELAY_P99: Duration = Duration::from_millis(20);
const DELAY_LONGEST: Duration = Duration::from_millis(60);
/// Maximum silence of a crash at the 99th percentile.
const SILENCE_P99: Duration = Duration::from_secs(1);

const HEAD: &str = "| calls | number | upgrade: worst p99 ms | longest ms | packets lost | crash: silence p50 ms | p99 ms | longest ms | \
    answered calls lost | BYEs of the edge | not one record | begun again | recordings wrong | SRTP index reused | other faults |\n\
    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

/// Prints the table; returns whether all goals are met.
pub(super) fn print(kinds: &[CallKind], packets: &[PacketFigures], calls: &[CallFigures]) -> bool {
    let (mut text, mut missed) = (HEAD.to_owned(), Vec::new());
    for (kind, (packets, calls)) in kinds.iter().zip(packets.iter().zip(calls)) {
        let _ = write!(text, "\n{}", row(kind, packets, calls));
        missed.extend(misses(kind, packets, calls).into_iter().map(|goal| format!("- {}: {goal}", kind.name)));
    }
    println!("{text}");
    if !missed.is_empty() {
        println!("\nMissed:\n\n{}", missed.join("\n"));
    }
    missed.is_empty()
}

fn micros(us: Option<u32>) -> Option<Duration> {
    us.map(|us| Duration::from_micros(us.into()))
}

/// Returns a duration in milliseconds as text, a dash for none.
fn cell(duration: Option<Duration>) -> String {
    duration.map_or("–".to_owned(), |_| format!("{:.1}", milliseconds(duration)))
}

fn row(kind: &CallKind, packets: &PacketFigures, calls: &CallFigures) -> String {
    let silence = |percent| cell(percentile(&packets.silences, percent));
    let others = packets.silent.len() + packets.foreign + packets.not_authentic + calls.unclean;
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {others} |",
        kind.name,
        calls.calls,
        cell(micros(packets.p99_us)),
        cell(micros(packets.longest_us).max(percentile(&packets.pauses, 100))),
        packets.lost,
        silence(50),
        silence(99),
        silence(100),
        calls.lost,
        calls.byes,
        calls.wrong_records,
        calls.begun_again,
        calls.wrong_recordings,
        packets.reused
    )
}

/// Returns the goals that a kind misses.
fn misses(kind: &CallKind, packets: &PacketFigures, calls: &CallFigures) -> Vec<String> {
    let limit = match kind.on_upgrade {
        Promise::After(pause) => pause,
        Promise::GoesOn | Promise::CallerGoesOn | Promise::RingsOrEnds => DELAY_LONGEST,
    };
    let mut missed = Vec::new();
    let mut require = |is_met: bool, goal: String| {
        if !is_met {
            missed.push(goal);
        }
    };
    let at_most = |found: Option<Duration>, limit: Duration| found.is_none_or(|found| found <= limit);
    require(at_most(micros(packets.p99_us), DELAY_P99), format!("added delay of at most {DELAY_P99:?} at p99"));
    require(at_most(micros(packets.longest_us), DELAY_LONGEST), format!("added delay of at most {DELAY_LONGEST:?}"));
    require(at_most(percentile(&packets.pauses, 100), limit), format!("pause of at most {limit:?} on an upgrade"));
    require(
        at_most(percentile(&packets.silences, 99), SILENCE_P99),
        format!("silence of at most {SILENCE_P99:?} at p99"),
    );
    let counts = [
        (packets.lost, "packets lost on upgrades"),
        (packets.silent.len(), "calls silent after an event"),
        (packets.reused, "SRTP indices used again under one key"),
        (packets.not_authentic, "packets that are not authentic"),
        (packets.foreign, "packets with the audio of another call"),
        (calls.lost, "answered calls lost"),
        (calls.byes, "BYEs that no party sent"),
        (calls.wrong_records, "calls without a record or with two"),
        (calls.begun_again, "streams, sessions or connections begun again on an upgrade"),
        (calls.wrong_recordings, "recordings missing or of the wrong length"),
        (calls.unclean, "calls being set up that neither rang on nor ended cleanly"),
    ];
    for (count, fault) in counts {
        require(count == 0, format!("{count} {fault}"));
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::super::kinds::KINDS;
    use super::*;

    #[test]
    fn every_missed_goal_is_named_and_a_run_without_faults_misses_none() {
        let good = PacketFigures { p99_us: Some(20_000), longest_us: Some(60_000), ..PacketFigures::default() };
        assert!(print(&KINDS[..1], &[good], &[CallFigures::default()]));
        let bad = PacketFigures { p99_us: Some(20_001), lost: 2, reused: 1, ..PacketFigures::default() };
        let calls = CallFigures { lost: 1, ..CallFigures::default() };
        assert_eq!(
            misses(&KINDS[0], &bad, &calls),
            [
                "added delay of at most 20ms at p99",
                "2 packets lost on upgrades",
                "1 SRTP indices used again under one key",
                "1 answered calls lost"
            ]
        );
        let silent = PacketFigures { silences: vec![Duration::from_millis(1_001)], ..PacketFigures::default() };
        assert_eq!(misses(&KINDS[0], &silent, &CallFigures::default()), ["silence of at most 1s at p99"]);
    }
}
