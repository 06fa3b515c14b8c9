//! A call on hold may be silent: without session timers both sides are checked by OPTIONS, and the call ends once
//! neither responds.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use crate::bench::*;

const IDLE: Duration = Duration::from_secs(60);
/// Maximum time until the check after a change.
const LOOK: Duration = Duration::from_secs(10);

fn change(bench: &mut Bench, caller: &mut Dialing, callee: &Dialed, version: u64, directions: [&str; 2]) {
    caller.cseq += 1;
    let [theirs, ours] = directions;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, version, "0 8 101", theirs), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let asked = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, version, "0 101", ours)));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
}

fn held() -> (Bench, Dialing, Dialed) {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    let (mut caller, callee) = bench.answered();
    // A side that sends audio needs no check.
    bench.pass(3 * IDLE);
    bench.nothing();
    change(&mut bench, &mut caller, &callee, 2, ["sendonly", "recvonly"]);
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
    (bench, caller, callee)
}

/// Returns the OPTIONS to both sides, sent in their dialogs.
fn asked(bench: &mut Bench) -> (Sent, Sent) {
    let mut waited = Duration::ZERO;
    while bench.sent.is_empty() && waited < IDLE + LOOK {
        waited += Duration::from_secs(1);
        bench.pass(Duration::from_secs(1));
    }
    // An unanswered check ends after 32 s; the last sample came after 33.
    assert!(waited + Duration::from_secs(1) >= IDLE, "{waited:?}");
    let (near, far) = (bench.expect(CARRIER, "OPTIONS sip:alice@"), bench.expect(PBX, "OPTIONS"));
    assert!(near.header("To").contains(";tag=") && far.header("To").contains(";tag="), "inside the dialogs");
    (near, far)
}

#[test]
fn it_goes_on_while_one_side_is_there() {
    let (mut bench, mut caller, callee) = held();
    for [near, far] in [[Some(200), Some(405)], [Some(481), Some(200)], [Some(501), None], [None, Some(500)]] {
        let (to_near, to_far) = asked(&mut bench);
        if let Some(code) = near {
            bench.receive(CARRIER, caller.respond(&to_near, code, ""));
        }
        if let Some(code) = far {
            bench.receive(PBX, callee.respond(&to_far, code, ""));
        }
        if near.is_none() || far.is_none() {
            bench.pass(Duration::from_secs(33));
            bench.sent.retain(|sent| !sent.first_line().starts_with("OPTIONS"));
        }
        bench.nothing();
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "held", "{near:?} {far:?}");
    }
    // No more OPTIONS once they send audio again: from then on silence is detected.
    change(&mut bench, &mut caller, &callee, 3, ["sendrecv", "sendrecv"]);
    bench.pass(3 * IDLE);
    bench.nothing();
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn it_ends_where_both_are_gone() {
    for [near, far] in [[Some(481), Some(408)], [Some(481), None], [None, None]] {
        let (mut bench, caller, callee) = held();
        let (to_near, to_far) = asked(&mut bench);
        if let Some(code) = near {
            bench.receive(CARRIER, caller.respond(&to_near, code, ""));
        }
        if let Some(code) = far {
            bench.receive(PBX, callee.respond(&to_far, code, ""));
        }
        if far.is_none() {
            bench.pass(Duration::from_secs(33));
        }
        bench.sent.retain(|sent| !sent.first_line().starts_with("OPTIONS"));
        let bye = bench.expect(CARRIER, "BYE");
        bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        let bye = bench.expect(PBX, "BYE");
        bench.receive(PBX, callee.respond(&bye, 200, ""));
        assert_eq!(bench.reports[0].call.reason, Some("dialog_lost"), "{near:?} {far:?}");
        bench.finish();
    }
}

#[test]
fn a_call_that_ends_or_talks_while_they_are_asked_leaves_nothing() {
    let (mut bench, mut caller, callee) = held();
    asked(&mut bench);
    change(&mut bench, &mut caller, &callee, 3, ["sendrecv", "sendrecv"]);
    // Neither responds, but their audio arrives: silence would be detected.
    bench.pass(Duration::from_secs(33));
    bench.sent.clear();
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.bye(&mut caller, &callee);
    bench.finish();

    let (mut bench, mut caller, callee) = held();
    asked(&mut bench);
    bench.bye(&mut caller, &callee);
    bench.pass(Duration::from_secs(40));
    bench.sent.clear();
    bench.finish();
}

#[test]
fn where_a_session_has_an_end_nobody_is_asked() {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.expect(CARRIER, "SIP/2.0 100");
    let ok = callee.answer(200, &answer().replace("sendrecv", "inactive"));
    bench.receive(PBX, ok.replacen("\r\n", "\r\nSupported: timer\r\nSession-Expires: 1800;refresher=uas\r\n", 1));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
    bench.pass(3 * IDLE);
    bench.nothing();
}
