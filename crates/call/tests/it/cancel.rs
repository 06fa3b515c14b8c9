//! The caller gives up: before any response, while the target rings, and at the moment of the answer.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;

#[test]
fn before_any_answer_the_target_is_left_in_silence() {
    let mut bench = Bench::new();
    let (caller, callee) = bench.calling(&offer(), "");
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    assert_eq!(bench.next(CARRIER).header("CSeq"), "1 CANCEL");
    let terminated = bench.expect(CARRIER, "SIP/2.0 487");
    bench.receive(CARRIER, Dialing { to_tag: terminated.tag("To"), ..caller }.request("ACK", "", ""));
    bench.nothing();
    assert_eq!((bench.reports[0].sip_code, bench.reports[0].call.outcome), (487, Some("canceled")));
    // A late provisional response is followed by CANCEL (RFC 3261 §9.1).
    bench.receive(PBX, callee.answer(180, ""));
    let cancel = bench.expect(PBX, "CANCEL");
    bench.receive(PBX, callee.respond(&cancel, 200, ""));
    bench.receive(PBX, callee.answer(487, ""));
    bench.expect(PBX, "ACK");
    bench.nothing();
    bench.finish();
}

#[test]
fn while_it_rings_the_target_gets_cancel() {
    let mut bench = Bench::new();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    assert_eq!(bench.next(CARRIER).header("CSeq"), "1 CANCEL");
    bench.expect(CARRIER, "SIP/2.0 487");
    let cancel = bench.expect(PBX, "CANCEL");
    assert_eq!(cancel.header("Via"), callee.invite.header("Via"));
    assert_eq!(bench.gateway.live_calls(), 0);
    bench.receive(PBX, callee.respond(&cancel, 200, ""));
    bench.receive(PBX, callee.answer(487, ""));
    bench.expect(PBX, "ACK");
    let sid = bench.reports[0].call.sid.clone();
    bench.finish();
    let trace = bench.gateway.trace(&sid).unwrap();
    let texts: Vec<String> = trace.entries.iter().map(|e| serde_json::to_string(e).unwrap()).collect();
    for text in ["INVITE", "100 Trying", "180 Ringing", "CANCEL", "487 Whatever"] {
        assert!(texts.iter().any(|t| t.contains(text)), "{text} in {texts:#?}");
    }
}

#[test]
fn rfc3326_3_1_whoever_was_answered_elsewhere_tells_the_target() {
    let said = "SIP;cause=200;text=\"Call completed elsewhere\"";
    for (reason, expected) in
        [("", None), ("Reason: SIP;cause=200\r\n", Some(said)), ("Reason: Q.850;cause=16;text=\"x\"\r\n", None)]
    {
        // Before and after the first response.
        for rings in [true, false] {
            let mut bench = Bench::new();
            let (caller, callee) = bench.calling(&offer(), "");
            if rings {
                bench.receive(PBX, callee.answer(180, ""));
                bench.expect(CARRIER, "SIP/2.0 180");
            }
            bench.receive(CARRIER, caller.request("CANCEL", "", reason));
            bench.next(CARRIER);
            bench.expect(CARRIER, "SIP/2.0 487");
            if !rings {
                bench.receive(PBX, callee.answer(180, ""));
            }
            let cancel = bench.expect(PBX, "CANCEL");
            assert_eq!(cancel.headers("Reason"), expected.into_iter().collect::<Vec<_>>(), "{reason:?} {rings}");
        }
    }
}

#[test]
fn a_200_that_crosses_the_cancel_is_hung_up_on() {
    let mut bench = Bench::new();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(180, ""));
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    let cancel = bench.expect(PBX, "CANCEL");
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&cancel, 481, ""));
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    let codes: Vec<u16> = std::iter::from_fn(|| bench.sent.pop_front()).map(|s| s.code()).collect();
    assert_eq!(codes, [100, 180, 200, 487]);
    assert_eq!(bench.reports.len(), 1);
    assert_eq!(bench.reports[0].call.outcome, Some("canceled"));
    bench.finish();
}

#[test]
fn a_cancel_that_comes_after_our_200_changes_nothing() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 100");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    assert_eq!(bench.next(CARRIER).header("CSeq"), "1 CANCEL");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_bye_in_the_early_dialog_is_a_cancel() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.ringing();
    caller.cseq = 2;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    let mut codes = [bench.next(CARRIER).code(), bench.next(CARRIER).code()];
    codes.sort_unstable();
    assert_eq!(codes, [200, 487]);
    let cancel = bench.expect(PBX, "CANCEL");
    bench.receive(PBX, callee.respond(&cancel, 200, ""));
    bench.receive(PBX, callee.answer(487, ""));
    assert_eq!(bench.reports[0].call.outcome, Some("canceled"));
    bench.finish();
}

#[test]
fn a_target_that_never_answers_the_cancel_holds_nothing_for_ever() {
    let mut bench = Bench::new();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(183, ""));
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    assert_eq!((bench.gateway.live_calls(), bench.gateway.held_calls()), (0, 1));
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.gateway.held_calls(), 0);
    bench.finish();
}

#[test]
fn a_second_fork_that_answers_is_hung_up_on() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let other = Dialed { tag: "fork".into(), ..callee.clone() };
    bench.receive(PBX, other.answer(200, &answer()));
    let ack = bench.expect(PBX, "ACK");
    assert_eq!(ack.tag("To"), "fork");
    let bye = bench.expect(PBX, "BYE");
    assert_eq!(bye.tag("To"), "fork");
    bench.receive(PBX, other.respond(&bye, 200, ""));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    caller.cseq = 2;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    let bye = bench.expect(PBX, "BYE");
    assert_eq!(bye.tag("To"), "callee");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}
