//! Session timers (RFC 4028): the interval agreed on each leg, and the refresher.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::time::Duration;

use crate::bench::sessions::*;
use crate::bench::*;
use trunkgate_call::GatewayInput;
use trunkgate_route::{Destination, TargetSpec, Transport};

#[test]
fn rfc4028_7_1_an_invite_says_how_long_a_session_shall_last() {
    for (wanted, expires) in [(1800, Some("1800")), (90, Some("90")), (0, None)] {
        let mut bench = bench_of(|trunk| trunk.session_expires = Duration::from_secs(wanted));
        dials(&mut bench, "");
        let invite = bench.expect(PBX, "INVITE");
        assert_eq!(invite.header("Supported"), "100rel, timer, replaces", "others may ask us in any case");
        assert_eq!(invite.headers("Session-Expires").first().copied(), expires);
        assert_eq!(invite.headers("Min-SE").first().copied(), expires.map(|_| "90"));
    }
    let destination =
        Destination { host: "10.0.0.99".into(), port: Some(5060), transport: Transport::Udp, is_fixed: true };
    let uri = TargetSpec::Uri { uri: "sip:bob@10.0.0.99".into(), destination, in_call: false };
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![uri])]));
    dials(&mut bench, "");
    let invite = bench.expect("10.0.0.99:5060", "INVITE");
    assert_eq!((invite.header("Session-Expires"), invite.header("Min-SE")), ("1800", "90"));
}

/// RFC 4028 §9, table 2, with the intervals.
#[test]
fn rfc4028_9_who_refreshes_where_we_are_called() {
    for (asked, wanted, answered, required) in [
        // The caller does not support timers …
        ("", 1800, None, false),
        ("Session-Expires: 600\r\n", 1800, Some("600;refresher=uas"), false),
        ("Session-Expires: 600;refresher=uas\r\n", 1800, Some("600;refresher=uas"), false),
        // … although its headers suggest it.
        ("Session-Expires: 600;refresher=uac\r\n", 1800, Some("600;refresher=uac"), false),
        // The caller supports timers, and requests none.
        (KNOWS, 1800, Some("1800;refresher=uas"), true),
        ("Supported: timer\r\nMin-SE: 3600\r\n", 1800, Some("3600;refresher=uas"), true),
        (KNOWS, 0, None, false),
        // The caller requests timers.
        (&session("600"), 1800, Some("600;refresher=uac"), true),
        (&session("600;refresher=uac"), 1800, Some("600;refresher=uac"), true),
        (&session("600;refresher=uas"), 1800, Some("600;refresher=uas"), true),
        ("Require: timer\r\nx: 600\r\n", 1800, Some("600;refresher=uac"), true),
        // Our interval is shorter, but not below the caller's minimum.
        (&session("7200"), 1800, Some("1800;refresher=uac"), true),
        (&session("7200"), 0, Some("7200;refresher=uac"), true),
        (&format!("{}Min-SE: 3600\r\n", session("7200")), 1800, Some("3600;refresher=uac"), true),
        (&session("90"), 1800, Some("90;refresher=uac"), true),
        // An unreadable header is ignored.
        ("Supported: timer\r\nSession-Expires: soon\r\n", 0, None, false),
    ] {
        let mut bench = bench_of(|trunk| trunk.session_expires = Duration::from_secs(wanted));
        let (caller, callee, ok) = call(&mut bench, asked, "");
        assert_eq!(ok.headers("Session-Expires").first().copied(), answered, "{asked}");
        assert_eq!(ok.headers("Require"), if required { vec!["timer"] } else { vec![] }, "{asked}");
        assert_eq!(ok.header("Supported"), "100rel, timer, replaces");
        hang_up_all(bench, caller, &callee);
    }
}

/// RFC 4028 §7.2: the response to our INVITE names the refresher.
#[test]
fn rfc4028_7_2_who_refreshes_where_we_call() {
    for (answered, ours, half, end) in [
        ("Session-Expires: 600;refresher=uac\r\n", true, 300, 568),
        ("Session-Expires: 600;refresher=uas\r\n", false, 0, 568),
        ("Session-Expires: 600\r\n", true, 300, 568),
        ("Session-Expires: 90;refresher=uac\r\n", true, 45, 60),
        ("Session-Expires: 90;refresher=uas\r\n", false, 0, 60),
        // Too short for either side.
        ("Session-Expires: 1;refresher=uac\r\n", true, 15, 20),
        ("Session-Expires: 0;refresher=uas\r\n", false, 0, 20),
    ] {
        let mut bench = Bench::new();
        let (caller, callee, _) = call(&mut bench, "", answered);
        if ours {
            bench.pass(SECOND * half - Duration::from_millis(10));
            bench.nothing();
            bench.pass(Duration::from_millis(20));
            let refresh = bench.expect(PBX, "INVITE");
            assert!(refresh.header("Session-Expires").ends_with(";refresher=uac"), "{answered}");
            bench.receive(PBX, callee.respond(&refresh, 503, ""));
            bench.expect(PBX, "ACK");
            let refused = refuses(&mut bench, &callee, u64::from(end - half) - 1);
            assert!((1..20).contains(&refused), "{refused}");
        } else {
            bench.pass(SECOND * (end - 1));
            bench.nothing();
        }
        bench.pass(SECOND);
        // Another refresh may be pending.
        bench.sent.retain(|sent| sent.first_line().starts_with("BYE"));
        is_over(&mut bench, &caller, &callee);
    }
    // Without the header there is no timer.
    let mut bench = Bench::new();
    let (caller, callee, _) = call(&mut bench, "", KNOWS);
    bench.pass(SECOND * 86_400);
    bench.nothing();
    hang_up_all(bench, caller, &callee);
}

#[test]
fn rfc4028_9_a_refresh_of_the_far_end_begins_a_new_interval_and_is_not_passed_on() {
    let mut bench = Bench::new();
    let (mut caller, callee, ok) = call(&mut bench, &session("90;refresher=uac"), "");
    for _ in 0..20 {
        bench.pass(SECOND * 45);
        caller.cseq += 1;
        bench.receive(CARRIER, caller.request("INVITE", &offer(), &session("90;refresher=uac")));
        bench.expect(CARRIER, "SIP/2.0 100");
        let again = bench.expect(CARRIER, "SIP/2.0 200");
        assert_eq!((again.header("Session-Expires"), again.header("Require")), ("90;refresher=uac", "timer"));
        assert_eq!(again.body(), ok.body(), "the same description with the same version");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        bench.nothing();
    }
    assert!(bench.media.is_empty(), "{:?}", bench.media);
    bench.pass(SECOND * 60 + Duration::from_millis(1));
    is_over(&mut bench, &caller, &callee);
}

#[test]
fn a_relayed_change_is_a_refresh_on_both_sides() {
    let mut bench = Bench::new();
    let (mut caller, callee, _) =
        call(&mut bench, &session("90;refresher=uac"), "Session-Expires: 90;refresher=uac\r\n");
    bench.pass(SECOND * 40);
    caller.cseq += 1;
    let hold = sdp("198.51.100.7", 40_000, 2, "0 8 101", "sendonly");
    bench.receive(CARRIER, caller.request("INVITE", &hold, &session("90;refresher=uac")));
    bench.expect(CARRIER, "SIP/2.0 100");
    let asked = bench.expect(PBX, "INVITE");
    assert_eq!(asked.header("Session-Expires"), "90;refresher=uac");
    let held = sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly");
    bench.receive(PBX, with(&callee.respond(&asked, 200, &held), "Session-Expires: 90;refresher=uac\r\n"));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 200").header("Session-Expires"), "90;refresher=uac");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.pass(SECOND * 44);
    bench.nothing();
    bench.pass(SECOND);
    let refresh = bench.expect(PBX, "INVITE");
    assert!(refresh.body().contains("a=sendonly"), "a call on hold stays there: {}", refresh.body());
    bench.receive(PBX, with(&callee.respond(&refresh, 200, &held), "Session-Expires: 90;refresher=uac\r\n"));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
    bench.pass(SECOND * 14);
    bench.nothing();
    bench.pass(SECOND);
    is_over(&mut bench, &caller, &callee);
}

#[test]
fn rfc4028_9_an_interval_below_the_least_gets_422() {
    let mut bench = Bench::new();
    let dialing =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 900, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, dialing.request("INVITE", &offer(), &session("89")));
    bench.expect(CARRIER, "SIP/2.0 100");
    let refusal = bench.expect(CARRIER, "SIP/2.0 422 Session Interval Too Small");
    assert_eq!(refusal.header("Min-SE"), "90");
    assert_eq!(bench.reports[0].call.reason, Some("session_too_short"));
    assert!(bench.sent.iter().all(|sent| sent.to != PBX.parse().unwrap()));

    let mut bench = Bench::new();
    let (mut caller, callee, _) = call(&mut bench, &session("90;refresher=uac"), "");
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &offer(), &session("60")));
    bench.expect(CARRIER, "SIP/2.0 100");
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 422").header("Min-SE"), "90");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    hang_up_all(bench, caller, &callee);
}

#[test]
fn rfc4028_7_3_a_target_that_wants_longer_sessions_is_asked_once_more() {
    let mut bench = Bench::new();
    let mut caller = dials(&mut bench, "");
    let first = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, first.answer_with(422, "Min-SE: 3600\r\n"));
    bench.expect(PBX, "ACK");
    let again = bench.expect(PBX, "INVITE");
    assert_eq!((again.header("Session-Expires"), again.header("Min-SE")), ("3600", "3600"));
    assert_eq!((again.header("Call-ID"), again.header("CSeq")), (first.invite.header("Call-ID"), "2 INVITE"));
    let callee = Dialed::new(PBX, again);
    bench.receive(PBX, with(&callee.answer(200, &answer()), "Session-Expires: 3600;refresher=uac\r\n"));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.pass(SECOND * 1800);
    let refresh = bench.expect(PBX, "INVITE");
    assert_eq!((refresh.header("Session-Expires"), refresh.header("Min-SE")), ("3600;refresher=uac", "3600"));
    bench.receive(PBX, with(&callee.respond(&refresh, 422, ""), "Min-SE: 4000\r\n"));
    bench.expect(PBX, "ACK");
    let refresh = bench.expect(PBX, "INVITE");
    assert_eq!((refresh.header("Session-Expires"), refresh.header("Min-SE")), ("4000;refresher=uac", "4000"));
    bench.receive(PBX, with(&callee.respond(&refresh, 200, &answer()), "Session-Expires: 4000;refresher=uac\r\n"));
    bench.expect(PBX, "ACK");
    bench.pass(SECOND * 1999);
    bench.nothing();
    hang_up_all(bench, caller, &callee);

    // The target requires an even longer interval: the next target is called.
    let mut bench = bench_of(|_| {});
    dials(&mut bench, "");
    let first = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, first.answer_with(422, "Min-SE: 3600\r\n"));
    bench.expect(PBX, "ACK");
    let again = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, again.answer_with(422, "Min-SE: 7200\r\n"));
    bench.expect(PBX, "ACK");
    let to_caller = bench.expect(CARRIER, "SIP/2.0 ");
    assert_eq!(to_caller.code(), 500, "what was between the target and us is not the caller's");
}

#[test]
fn who_no_longer_knows_timers_has_none() {
    let mut bench = Bench::new();
    let (mut caller, callee, _) =
        call(&mut bench, &session("90;refresher=uac"), "Session-Expires: 90;refresher=uac\r\n");
    let said = callee.invite.body().to_owned();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &offer(), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    assert!(bench.expect(CARRIER, "SIP/2.0 200").headers("Session-Expires").is_empty());
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.pass(SECOND * 45);
    takes_refresh(&mut bench, &callee, &said, "");
    bench.pass(SECOND * 86_400);
    bench.nothing();
    hang_up_all(bench, caller, &callee);
}

#[test]
fn a_trace_says_who_did_not_refresh() {
    let mut bench = Bench::new();
    let (caller, callee, _) = call(&mut bench, "", "Session-Expires: 90;refresher=uas\r\n");
    bench.pass(SECOND * 60);
    let story = bench.story();
    assert!(story.contains("pbx did not refresh its session of 90 s"), "{story}");
    is_over(&mut bench, &caller, &callee);
}

#[test]
fn rfc4028_9_a_far_end_may_refresh_by_update() {
    let mut bench = Bench::new();
    let (mut caller, callee, _) = call(&mut bench, &session("90;refresher=uac"), "");
    let update = |bench: &mut Bench, caller: &mut Dialing, value: &str| {
        caller.cseq += 1;
        bench.receive(CARRIER, caller.request("UPDATE", "", &session(value)));
        bench.next(CARRIER)
    };
    for _ in 0..20 {
        bench.pass(SECOND * 45);
        let ok = update(&mut bench, &mut caller, "90;refresher=uac");
        assert_eq!((ok.code(), ok.header("Session-Expires"), ok.header("Require")), (200, "90;refresher=uac", "timer"));
        bench.nothing();
    }
    let refusal = update(&mut bench, &mut caller, "89");
    assert_eq!((refusal.code(), refusal.header("Min-SE")), (422, "90"));
    // A refresh during a change does not affect the response to that change.
    caller.cseq += 1;
    let hold = sdp("198.51.100.7", 40_000, 2, "0 8 101", "sendonly");
    let invite = caller.clone();
    bench.receive(CARRIER, invite.request("INVITE", &hold, &session("600;refresher=uac")));
    bench.expect(CARRIER, "SIP/2.0 100");
    let asked = bench.expect(PBX, "INVITE");
    assert_eq!(update(&mut bench, &mut caller, "90;refresher=uac").header("Session-Expires"), "90;refresher=uac");
    bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly")));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 200").header("Session-Expires"), "600;refresher=uac");
    bench.receive(CARRIER, invite.request("ACK", "", ""));
    bench.pass(SECOND * 567);
    bench.nothing();
    bench.pass(SECOND);
    is_over(&mut bench, &caller, &callee);
}

#[test]
fn an_update_before_the_answer_leaves_the_session_to_that() {
    let mut bench = Bench::new();
    let mut caller = dials(&mut bench, &session("600;refresher=uac"));
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(180, ""));
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 180").tag("To");
    let invite = caller.clone();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("UPDATE", "", KNOWS));
    assert!(bench.expect(CARRIER, "SIP/2.0 200").headers("Session-Expires").is_empty());
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 200").header("Session-Expires"), "600;refresher=uac");
    bench.receive(CARRIER, invite.request("ACK", "", ""));
    hang_up_all(bench, caller, &callee);
}

#[test]
fn a_far_end_that_has_refused_shorter_sessions_by_422_gets_none_in_our_answers() {
    let mut bench = bench_of(|trunk| trunk.session_expires = SECOND * 90);
    let mut caller = dials(&mut bench, "");
    let first = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, first.answer_with(422, "Min-SE: 120\r\n"));
    bench.expect(PBX, "ACK");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, with(&callee.answer(200, &answer()), "Session-Expires: 120;refresher=uas\r\n"));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.receive(PBX, with(&callee.request("UPDATE", 1, ""), &session("120;refresher=uac")));
    assert_eq!(bench.expect(PBX, "SIP/2.0 200").header("Session-Expires"), "120;refresher=uac");
    hang_up_all(bench, caller, &callee);
}

#[test]
fn a_process_that_stood_still_ends_no_session_that_is_refreshed_at_once() {
    for refreshed in [true, false] {
        let mut bench = Bench::new();
        let (mut caller, callee, _) = call(&mut bench, &session("90;refresher=uac"), "");
        bench.pass(SECOND * 10);
        // The process was stopped for minutes; the caller's messages wait in a socket.
        bench.now += SECOND * 600;
        bench.input(GatewayInput::Paused(SECOND * 600));
        bench.gateway.handle_timeout(bench.now);
        bench.drain();
        bench.nothing();
        bench.pass(SECOND * 30);
        if refreshed {
            caller.cseq += 1;
            bench.receive(CARRIER, caller.request("INVITE", &offer(), &session("90;refresher=uac")));
            bench.expect(CARRIER, "SIP/2.0 100");
            bench.expect(CARRIER, "SIP/2.0 200");
            bench.receive(CARRIER, caller.request("ACK", "", ""));
            bench.pass(SECOND * 59);
            bench.nothing();
            hang_up_all(bench, caller, &callee);
        } else {
            // Another interval of that length is not waited for.
            bench.pass(SECOND * 60 + Duration::from_millis(1));
            is_over(&mut bench, &caller, &callee);
        }
    }
}
