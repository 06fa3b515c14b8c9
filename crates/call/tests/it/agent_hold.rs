//! A caller on hold may be silent, and an agent does not hang up on silence: the edge checks the caller's dialog by
//! OPTIONS.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use crate::bench::agents::{agent, agent_table, hang_up, to_agent};
use crate::bench::{Bench, CARRIER, Dialed, Dialing, PBX, answer, route, sdp, to_trunk};
use trunkgate_media::EndId;
use trunkgate_media::agent::StreamLoss;

const IDLE: Duration = Duration::from_secs(60);

fn change(bench: &mut Bench, caller: &mut Dialing, version: u64, direction: &str) {
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, version, "0 8 101", direction), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
}

fn held() -> (Bench, Dialing, EndId) {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, _, desk) = bench.talking();
    change(&mut bench, &mut caller, 2, "sendonly");
    assert_eq!(bench.state(), "held");
    (bench, caller, desk)
}

#[test]
fn a_caller_on_hold_is_asked_and_goes_on_while_it_answers() {
    let (mut bench, mut caller, _) = held();
    // Any response counts, except that the call is unknown.
    for code in [200, 405, 501, 500] {
        bench.pass(IDLE - Duration::from_millis(1));
        bench.nothing();
        bench.pass(Duration::from_millis(1));
        let asked = bench.expect(CARRIER, "OPTIONS sip:alice@");
        assert!(asked.header("To").contains(";tag=a"), "inside the dialog: {}", asked.text);
        bench.receive(CARRIER, caller.respond(&asked, code, ""));
        bench.nothing();
        assert_eq!(bench.state(), "held");
    }
    // No more OPTIONS once the caller sends audio again: from then on its silence is detected.
    change(&mut bench, &mut caller, 3, "sendrecv");
    bench.pass(3 * IDLE);
    bench.nothing();
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn a_caller_that_is_gone_ends_the_call() {
    for code in [Some(481), Some(408), None] {
        let (mut bench, caller, _) = held();
        bench.pass(IDLE);
        let asked = bench.expect(CARRIER, "OPTIONS");
        match code {
            Some(code) => bench.receive(CARRIER, caller.respond(&asked, code, "")),
            None => bench.pass(Duration::from_secs(33)),
        }
        bench.sent.retain(|sent| !sent.first_line().starts_with("OPTIONS"));
        let bye = bench.expect(CARRIER, "BYE");
        bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        assert_eq!(bench.reports[0].call.reason, Some("dialog_lost"), "{code:?}");
        bench.finish();
    }
}

#[test]
fn a_call_that_ends_while_it_is_asked_leaves_nothing() {
    let (mut bench, mut caller, _) = held();
    bench.pass(IDLE);
    bench.expect(CARRIER, "OPTIONS");
    hang_up(&mut bench, &mut caller);
    bench.sent.clear();
    bench.pass(Duration::from_secs(40));
    bench.sent.clear();
    bench.finish();
}

#[test]
fn the_next_agent_has_the_caller_asked_too_and_with_a_trunk_both_are() {
    let desk = agent("desk");
    let connect = vec![to_agent("desk"), to_agent("night"), to_trunk("pbx")];
    let mut bench = Bench::with(agent_table(vec![desk, agent("night")], route(connect)));
    let (mut caller, _, desk) = bench.talking();
    change(&mut bench, &mut caller, 2, "inactive");
    bench.pass(IDLE);
    let asked = bench.expect(CARRIER, "OPTIONS");
    // The response comes while no agent has the caller.
    bench.lose(desk, StreamLoss::Reset);
    bench.receive(CARRIER, caller.respond(&asked, 200, ""));
    let (night, _) = bench.asked().pop().unwrap();
    bench.open(night);
    bench.pass(IDLE);
    let asked = bench.expect(CARRIER, "OPTIONS");
    bench.receive(CARRIER, caller.respond(&asked, 200, ""));
    bench.lose(night, StreamLoss::Reset);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer().replace("sendrecv", "inactive")));
    bench.expect(PBX, "ACK");
    while bench.sent.is_empty() {
        bench.pass(Duration::from_secs(1));
    }
    let asked = bench.expect(PBX, "OPTIONS");
    bench.receive(PBX, callee.respond(&asked, 481, ""));
    let asked = bench.expect(CARRIER, "OPTIONS");
    bench.receive(CARRIER, caller.respond(&asked, 200, ""));
    bench.nothing();
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn no_idle_timeout_means_no_question() {
    let table = agent_table(vec![agent("desk")], route(vec![to_agent("desk")]));
    let mut bench = Bench::configured(table, |config| config.idle_timeout = Duration::ZERO);
    let (mut caller, ..) = bench.talking();
    change(&mut bench, &mut caller, 2, "sendonly");
    bench.pass(Duration::from_secs(3600));
    bench.nothing();
    hang_up(&mut bench, &mut caller);
    bench.finish();
}
