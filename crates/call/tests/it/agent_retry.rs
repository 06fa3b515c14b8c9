//! `retry` and `first_audio_timeout`: an agent that fails is tried again with a new stream, before the next target.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bench::agents::{agent, agent_table, hang_up, to_agent};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, Dialing, PBX, offer, route, sdp, to_trunk};
use trunkgate_call::limits::{ATTEMPTS_PER_CALL, RETRIES_PER_CALL, RETRY_MOST};
use trunkgate_media::EndId;
use trunkgate_media::agent::{StreamLoss, StreamSettings};
use trunkgate_route::{Agent, TargetSpec};

/// Returns a bench in which `desk` and `night` are retried this often.
fn bench(retry: u32, connect: Vec<TargetSpec>) -> Bench {
    let again = |name: &str| Agent { retry, first_audio_timeout: Duration::from_secs(4), ..agent(name) };
    Bench::with(agent_table(vec![again("desk"), again("night")], route(connect)))
}

/// Returns the agent that was requested last.
fn last(bench: &Bench) -> (EndId, StreamSettings) {
    bench.asked().pop().unwrap()
}

/// Returns the stream after `before`, and checks that it is requested at this time and no sooner.
#[track_caller]
fn next(bench: &mut Bench, before: EndId, after_ms: u64) -> EndId {
    let asked = |bench: &Bench| bench.asked().into_iter().filter(|(end, _)| *end > before).map(|(end, _)| end).next();
    if after_ms > 0 {
        bench.pass(Duration::from_millis(after_ms - 1));
        assert_eq!(asked(bench), None, "too early");
        bench.pass(Duration::from_millis(1));
    }
    asked(bench).unwrap()
}

/// Makes a call for which the agent's socket is being opened.
fn opening(bench: &mut Bench) -> (Dialing, EndId) {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    (caller, last(bench).0)
}

#[test]
fn before_the_answer_it_is_asked_again_by_new_streams() {
    let mut bench = bench(3, vec![to_agent("desk"), to_trunk("pbx")]);
    let (_, first) = opening(&mut bench);
    bench.lose(first, StreamLoss::Unreachable);
    let second = next(&mut bench, first, 0);
    bench.lose(second, StreamLoss::Status(503));
    let third = next(&mut bench, second, 250);
    bench.nothing();
    bench.lose(third, StreamLoss::Closed(Some(1001)));
    let fourth = next(&mut bench, third, 500);
    let streams: BTreeSet<String> = bench.asked().into_iter().map(|(_, settings)| settings.stream_sid).collect();
    assert_eq!(streams.len(), 4, "each has its own name");
    let ends: BTreeSet<EndId> = [first, second, third, fourth].into();
    assert_eq!(ends.len(), 4);
    bench.nothing();
    bench.lose(fourth, StreamLoss::Unreachable);
    bench.expect(PBX, "INVITE");
    let story = bench.story();
    for line in ["desk gets a new stream, 1 of 3", "desk gets a new stream, 3 of 3", "target pbx"] {
        assert!(story.contains(line), "{line} is not in:\n{story}");
    }
    assert_eq!(bench.asked().len(), 4);
}

#[test]
fn in_mid_call_too_while_the_caller_hears_the_tone() {
    let mut bench = bench(2, vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, _, first) = bench.talking();
    assert!(bench.asked().is_empty());
    bench.lose(first, StreamLoss::Reset);
    let second = next(&mut bench, first, 0);
    assert_eq!(bench.state(), "transferring");
    bench.open(second);
    assert_eq!(bench.state(), "answered");
    bench.nothing();
    // The stream breaks at once: that is the second failure in a row.
    bench.lose(second, StreamLoss::Closed(Some(1001)));
    let third = next(&mut bench, second, 250);
    bench.open(third);
    bench.lose(third, StreamLoss::Closed(Some(1001)));
    bench.expect(PBX, "INVITE");
    hang_up(&mut bench, &mut caller);
    bench.sent.clear();
    bench.pass(Duration::from_secs(40));
    bench.sent.clear();
    bench.finish();
}

#[test]
fn what_has_held_for_ten_seconds_counts_from_the_start_again() {
    let mut bench = bench(1, vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, _, mut desk) = bench.talking();
    for _ in 0..3 {
        bench.pass(Duration::from_secs(10));
        bench.lose(desk, StreamLoss::PingUnanswered);
        desk = next(&mut bench, desk, 0);
        bench.open(desk);
        assert_eq!(bench.state(), "answered");
    }
    bench.pass(Duration::from_secs(9));
    bench.lose(desk, StreamLoss::PingUnanswered);
    bench.expect(PBX, "INVITE");
    hang_up(&mut bench, &mut caller);
}

#[test]
fn an_agent_that_sends_the_caller_on_or_closes_in_good_order_is_not_asked_again() {
    let mut bench = bench(3, vec![to_agent("desk"), to_trunk("pbx")]);
    let (_, _, desk) = bench.talking();
    bench.wish(desk, trunkgate_media::AgentRequest::Transfer("trunk:backup".into()));
    bench.expect(BACKUP, "INVITE");
    assert!(bench.asked().is_empty());
}

#[test]
fn never_a_word_is_an_agent_lost() {
    let mut bench = bench(0, vec![to_agent("desk"), to_trunk("pbx")]);
    let (_, desk) = opening(&mut bench);
    assert_eq!(last(&bench).1.first_audio_timeout, Duration::from_secs(4));
    bench.open(desk);
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.lose(desk, StreamLoss::Silent);
    bench.expect(PBX, "INVITE");
    assert_eq!(bench.state(), "transferring");
    assert!(bench.story().contains("lost: did not speak in time"));
}

/// Retries leave enough legs for the following targets.
#[test]
fn retries_of_one_call_are_bounded_and_others_come_to_their_turn() {
    let mut bench = bench(RETRY_MOST, vec![to_agent("desk"), to_agent("night"), to_trunk("pbx"), to_trunk("backup")]);
    let (mut caller, _, mut desk) = bench.talking();
    let mut streams = 1;
    for _ in 0..1_000 {
        // Slow enough to keep the breaker closed, and fast enough that no stream counts as good.
        bench.pass(Duration::from_secs(9));
        bench.lose(desk, StreamLoss::Closed(Some(1001)));
        if !bench.sent.is_empty() {
            break;
        }
        bench.pass(Duration::from_secs(2));
        desk = last(&bench).0;
        streams += 1;
        bench.open(desk);
        assert_eq!(bench.state(), "answered");
    }
    assert!(streams as u32 <= RETRIES_PER_CALL + 2 && streams > RETRY_MOST as usize, "{streams}");
    assert!(RETRIES_PER_CALL as usize + 8 < ATTEMPTS_PER_CALL);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &sdp("10.0.0.20", 30_000, 1, "0 101", "sendrecv")));
    assert_eq!(bench.state(), "answered");
    bench.sent.clear();
    hang_up(&mut bench, &mut caller);
}

#[test]
fn a_caller_that_goes_while_the_next_stream_is_waited_for_ends_all() {
    let mut bench = bench(3, vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, _, first) = bench.talking();
    bench.lose(first, StreamLoss::Reset);
    let second = last(&bench).0;
    bench.lose(second, StreamLoss::Unreachable);
    bench.pass(Duration::from_millis(100));
    hang_up(&mut bench, &mut caller);
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.asked().len(), 1, "no target is called for a caller that is gone");
    bench.sent.clear();
    bench.finish();
}

#[test]
fn a_caller_that_gives_up_before_the_answer_too() {
    let mut bench = bench(3, vec![to_agent("desk")]);
    let (mut caller, first) = opening(&mut bench);
    bench.lose(first, StreamLoss::Unreachable);
    let second = last(&bench).0;
    bench.lose(second, StreamLoss::Unreachable);
    let cancel = caller.request("CANCEL", "", "");
    bench.receive(CARRIER, cancel);
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.expect(CARRIER, "SIP/2.0 487");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.asked().len(), 2);
    bench.finish();
    caller.cseq += 1;
}
