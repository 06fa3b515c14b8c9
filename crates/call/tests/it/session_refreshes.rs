//! Our refreshes (RFC 4028 §7.4), in any state of a call, and the handling of refused ones.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::time::Duration;

use crate::bench::agents::*;
use crate::bench::sessions::*;
use crate::bench::*;
use trunkgate_media::agent::StreamLoss;
use trunkgate_route::{Agent, HoldMode};

#[test]
fn a_day_of_refreshes_changes_nothing() {
    let mut bench = Bench::new();
    let (caller, callee, ok) = call(&mut bench, KNOWS, "Session-Expires: 1800;refresher=uac\r\n");
    let said = (ok.body().to_owned(), callee.invite.body().to_owned());
    for round in 1..=96 {
        bench.pass(SECOND * 900 - SECOND);
        bench.nothing();
        bench.pass(SECOND);
        let to_caller = bench.expect(CARRIER, "INVITE");
        assert_eq!((to_caller.header("Session-Expires"), to_caller.body()), ("1800;refresher=uac", said.0.as_str()));
        bench.receive(
            CARRIER,
            with(&caller.respond(&to_caller, 200, &offer()), "Session-Expires: 1800;refresher=uac\r\n"),
        );
        bench.expect(CARRIER, "ACK");
        let to_callee = takes_refresh(&mut bench, &callee, &said.1, "Session-Expires: 1800;refresher=uac\r\n");
        assert_eq!(to_callee.header("CSeq"), format!("{} INVITE", round + 1));
        assert_eq!((to_callee.header("Min-SE"), to_callee.header("Supported")), ("90", "100rel, timer, replaces"));
        bench.nothing();
        // The responses came a second late, and so does the next refresh.
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    }
    assert!(bench.media.is_empty(), "{:?}", bench.media);
    hang_up_all(bench, caller, &callee);
}

#[test]
fn a_refresh_that_is_not_answered_or_meets_a_lost_dialog_ends_the_call() {
    for code in [Some(408), Some(481), None] {
        let mut bench = Bench::new();
        let (caller, callee, _) = call(&mut bench, "", "Session-Expires: 1800;refresher=uac\r\n");
        bench.pass(SECOND * 900);
        match code {
            Some(code) => {
                let refresh = bench.expect(PBX, "INVITE");
                bench.receive(PBX, callee.respond(&refresh, code, ""));
                bench.expect(PBX, "ACK");
            }
            None => {
                bench.pass(SECOND * 32);
                bench.sent.retain(|sent| sent.first_line().starts_with("BYE"));
            }
        }
        is_over(&mut bench, &caller, &callee);
    }
}

#[test]
fn a_refresh_that_meets_one_is_sent_again_and_one_that_is_refused_too() {
    let mut bench = Bench::new();
    let (caller, callee, _) = call(&mut bench, "", "Session-Expires: 1800;refresher=uac\r\n");
    let said = callee.invite.body().to_owned();
    bench.pass(SECOND * 900);
    // Half of the remaining time until 1,768 s each time.
    for (code, least, most) in [(491, 0, 0), (500, 21, 40), (488, 4_300, 4_340), (501, 2_100, 2_170)] {
        let (refresh, waited) = wait_for_invite(&mut bench, 500);
        assert!((least..=most).contains(&waited), "{code} after {waited}");
        bench.receive(PBX, callee.respond(&refresh, code, ""));
        bench.expect(PBX, "ACK");
        bench.nothing();
    }
    let (refresh, waited) = wait_for_invite(&mut bench, 120);
    assert!((1_050..=1_085).contains(&waited) && refresh.body() == said, "{waited}");
    bench.receive(PBX, with(&callee.respond(&refresh, 200, &answer()), "Session-Expires: 1800;refresher=uac\r\n"));
    bench.expect(PBX, "ACK");
    bench.pass(SECOND * 899);
    bench.nothing();
    hang_up_all(bench, caller, &callee);
}

#[test]
fn a_refresh_waits_for_what_is_under_way() {
    let mut bench = Bench::new();
    let (mut caller, callee, _) = call(&mut bench, "", "Session-Expires: 90;refresher=uac\r\n");
    bench.pass(SECOND * 44);
    caller.cseq += 1;
    let moved = sdp("198.51.100.8", 41_000, 2, "0 8 101", "sendrecv");
    bench.receive(CARRIER, caller.request("INVITE", &moved, ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let asked = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&asked, 100, ""));
    bench.pass(SECOND * 4);
    bench.nothing();
    bench.receive(PBX, callee.respond(&asked, 491, ""));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 491");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    let (refresh, _) = wait_for_invite(&mut bench, 3);
    // The refused change is undone.
    assert!(refresh.body().contains("c=IN IP4 10.0.0.5"));
    // While it is pending, a change of either side waits.
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &moved, ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 491");
    bench.receive(PBX, callee.request("INVITE", 7, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendonly")));
    bench.expect(PBX, "SIP/2.0 491");
    bench.receive(PBX, with(&callee.respond(&refresh, 200, &answer()), "Session-Expires: 90;refresher=uac\r\n"));
    bench.expect(PBX, "ACK");
    bench.sent.clear();
    hang_up_all(bench, caller, &callee);
}

/// The remote party may have a new media address, and report it only in this answer.
#[test]
fn an_answer_to_a_refresh_may_bring_something_new() {
    let mut bench = Bench::new();
    let (caller, callee, _) = call(&mut bench, "", "Session-Expires: 90;refresher=uac\r\n");
    bench.pass(SECOND * 45);
    let refresh = bench.expect(PBX, "INVITE");
    let moved = sdp("10.0.0.88", 33_000, 2, "0 101", "sendrecv");
    bench.receive(PBX, with(&callee.respond(&refresh, 200, &moved), "Session-Expires: 90;refresher=uac\r\n"));
    bench.expect(PBX, "ACK");
    bench.nothing();
    let media = format!("{:?}", bench.take_media());
    assert!(media.contains("10.0.0.88:33000"), "{media}");
    hang_up_all(bench, caller, &callee);
}

#[test]
fn a_side_that_holds_the_other_here_is_refreshed_too() {
    let mut bench = bench_of(|trunk| trunk.hold = HoldMode::Local);
    let (mut caller, callee, _) =
        call(&mut bench, &session("90;refresher=uas"), "Session-Expires: 90;refresher=uac\r\n");
    let said = callee.invite.body().to_owned();
    caller.cseq += 1;
    let hold = sdp("198.51.100.7", 40_000, 2, "0 8 101", "sendonly");
    bench.receive(CARRIER, caller.request("INVITE", &hold, &session("90;refresher=uas")));
    bench.expect(CARRIER, "SIP/2.0 100");
    let held = bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    for _ in 0..10 {
        bench.pass(SECOND * 45);
        let refresh = bench.expect(CARRIER, "INVITE");
        assert_eq!(refresh.body(), held.body());
        bench.receive(CARRIER, with(&caller.respond(&refresh, 200, &hold), "Session-Expires: 90;refresher=uac\r\n"));
        bench.expect(CARRIER, "ACK");
        takes_refresh(&mut bench, &callee, &said, "Session-Expires: 90;refresher=uac\r\n");
        bench.nothing();
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
    }
    // This detects a holding party that is gone.
    bench.pass(SECOND * 45);
    bench.expect(PBX, "INVITE");
    let refresh = bench.expect(CARRIER, "INVITE");
    bench.receive(CARRIER, caller.respond(&refresh, 481, ""));
    bench.expect(CARRIER, "ACK");
    let bye = bench.expect(CARRIER, "BYE");
    assert_eq!(bye.header("Reason"), "Q.850;cause=102;text=\"session_expired\"");
}

#[test]
fn an_agents_caller_is_refreshed_wherever_it_waits() {
    let goodbye = Agent { goodbye: Some(vec![0xff; 8_000 * 100].into()), ..agent("desk") };
    let connect = vec![to_agent("desk"), to_trunk("pbx")];
    let mut bench = Bench::with(agent_table(vec![goodbye], route(connect)));
    let (caller, agent, ok) = talks(&mut bench, &session("90;refresher=uas"));
    assert_eq!(ok.header("Session-Expires"), "90;refresher=uas");
    let refreshed = |bench: &mut Bench| {
        let refresh = bench.expect(CARRIER, "INVITE");
        assert_eq!(refresh.body(), ok.body());
        let same = sdp("198.51.100.7", 40_000, 1, "0 101", "sendrecv");
        bench.receive(CARRIER, with(&caller.respond(&refresh, 200, &same), "Session-Expires: 90;refresher=uac\r\n"));
        bench.expect(CARRIER, "ACK");
    };
    for _ in 0..5 {
        bench.pass(SECOND * 45);
        refreshed(&mut bench);
        bench.nothing();
    }
    assert_eq!(bench.told(), vec![], "nothing changes");
    // While another target rings …
    bench.lose(agent, StreamLoss::Reset);
    let mut waited = 0;
    let pbx = loop {
        if let Some(at) = bench.sent.iter().position(|sent| sent.to == PBX.parse().unwrap()) {
            break Dialed::new(PBX, bench.sent.remove(at).unwrap());
        }
        bench.pass(SECOND);
        waited += 1;
        assert!(waited < 30, "{}", bench.story());
    };
    bench.receive(PBX, pbx.answer(180, ""));
    bench.pass(SECOND * (45 - waited));
    refreshed(&mut bench);
    assert_eq!(bench.state(), "transferring");
    // … and while the caller hears the goodbye.
    bench.receive(PBX, pbx.answer(486, ""));
    bench.expect(PBX, "ACK");
    assert!(bench.story().contains("the caller hears the goodbye"), "{}", bench.story());
    bench.pass(SECOND * 45);
    refreshed(&mut bench);
    bench.pass(SECOND * 45);
    let refresh = bench.expect(CARRIER, "INVITE");
    bench.receive(CARRIER, caller.respond(&refresh, 481, ""));
    bench.expect(CARRIER, "ACK");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].call.reason, Some("session_expired"));
    bench.finish();
}

#[test]
fn session_refresh_ends_no_agent_call() {
    let goodbye = Agent { goodbye: Some(vec![0xff; 8_000 * 100].into()), ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![goodbye], route(vec![to_agent("desk"), to_trunk("pbx")])));
    let (mut caller, agent, ok) = talks(&mut bench, &session("90;refresher=uac"));
    let mut refreshes = |bench: &mut Bench, body: &str| {
        caller.cseq += 1;
        bench.receive(CARRIER, caller.request("INVITE", body, &session("90;refresher=uac")));
        bench.expect(CARRIER, "SIP/2.0 100");
        let answered = bench.next(CARRIER);
        let ack = caller.request("ACK", "", "");
        bench.receive(CARRIER, if answered.code() == 200 { ack } else { ack.replace("-ACK-", "-INVITE-") });
        answered
    };
    let same = |answered: &Sent| {
        assert_eq!((answered.code(), answered.body()), (200, ok.body()));
        assert_eq!(answered.header("Session-Expires"), "90;refresher=uac");
    };
    bench.pass(SECOND * 45);
    same(&refreshes(&mut bench, &offer()));
    bench.lose(agent, StreamLoss::Reset);
    let (invite, _) = wait_for_invite(&mut bench, 30);
    let pbx = Dialed::new(PBX, invite);
    bench.receive(PBX, pbx.answer(180, ""));
    bench.told();
    same(&refreshes(&mut bench, &offer()));
    let held = sdp("198.51.100.7", 40_000, 2, "0 8 101", "sendonly");
    assert_eq!(refreshes(&mut bench, &held).code(), 491, "a change waits until a party is there");
    bench.pass(SECOND * 35);
    bench.receive(PBX, pbx.answer(486, ""));
    bench.expect(PBX, "ACK");
    bench.told();
    same(&refreshes(&mut bench, &offer()));
    assert_eq!(refreshes(&mut bench, &held).code(), 491);
    assert_eq!(bench.told(), vec![]);
    bench.pass(SECOND * 60 + Duration::from_millis(1));
    let bye = bench.expect(CARRIER, "BYE");
    assert_eq!(bye.header("Reason"), "Q.850;cause=102;text=\"session_expired\"");
}

#[test]
fn a_restart_keeps_both_timers() {
    let mut bench = Bench::new();
    let (caller, callee, _) =
        call(&mut bench, &session("600;refresher=uac"), "Session-Expires: 1800;refresher=uac\r\n");
    let said = callee.invite.body().to_owned();
    bench.pass(SECOND * 400);
    bench.restart(table(usual_trunks(), vec![]));
    bench.pass(SECOND * 167);
    bench.nothing();
    // 600 s less 32 s.
    bench.pass(SECOND * 2);
    is_over(&mut bench, &caller, &callee);

    let mut bench = Bench::new();
    let (caller, callee, _) = call(&mut bench, "", "Session-Expires: 1800;refresher=uac\r\n");
    bench.pass(SECOND * 400);
    bench.restart(table(usual_trunks(), vec![]));
    bench.pass(SECOND * 499);
    bench.nothing();
    // The refresh is pending: the restarted edge sends another one.
    let (first, _) = wait_for_invite(&mut bench, 1);
    assert_eq!((first.body(), first.header("Session-Expires")), (said.as_str(), "1800;refresher=uac"));
    bench.restart(table(usual_trunks(), vec![]));
    bench.pass(Duration::from_millis(2));
    takes_refresh(&mut bench, &callee, &said, "Session-Expires: 1800;refresher=uac\r\n");
    bench.nothing();
    hang_up_all(bench, caller, &callee);
}

#[test]
fn rfc4028_7_4_who_takes_update_is_refreshed_by_it() {
    let mut bench = Bench::new();
    let knows = "Allow: INVITE, UPDATE\r\nSession-Expires: 90;refresher=uac\r\n";
    let (caller, callee, _) = call(&mut bench, "", knows);
    let said = callee.invite.body().to_owned();
    for _ in 0..10 {
        bench.pass(SECOND * 45);
        let refresh = bench.expect(PBX, "UPDATE");
        assert_eq!((refresh.header("Session-Expires"), refresh.header("Min-SE")), ("90;refresher=uac", "90"));
        assert_eq!((refresh.body(), refresh.header("Supported")), ("", "100rel, timer, replaces"));
        bench.receive(PBX, with(&callee.respond(&refresh, 200, ""), "Session-Expires: 90;refresher=uac\r\n"));
        bench.nothing();
    }
    // The interval is too short, twice.
    bench.pass(SECOND * 45);
    let refresh = bench.expect(PBX, "UPDATE");
    bench.receive(PBX, with(&callee.respond(&refresh, 422, ""), "Min-SE: 120\r\n"));
    let refresh = bench.expect(PBX, "UPDATE");
    assert_eq!(refresh.header("Session-Expires"), "120;refresher=uac");
    bench.receive(PBX, with(&callee.respond(&refresh, 200, ""), "Session-Expires: 120;refresher=uac\r\n"));
    // UPDATE is refused after all: the re-INVITE follows at once.
    bench.pass(SECOND * 60);
    let refresh = bench.expect(PBX, "UPDATE");
    bench.receive(PBX, callee.respond(&refresh, 405, ""));
    takes_refresh(&mut bench, &callee, &said, "Session-Expires: 120;refresher=uac\r\n");
    bench.pass(SECOND * 60);
    takes_refresh(&mut bench, &callee, &said, "Session-Expires: 120;refresher=uac\r\n");
    assert!(bench.media.is_empty(), "{:?}", bench.media);
    hang_up_all(bench, caller, &callee);

    // No response, or a lost dialog.
    for code in [Some(481), None] {
        let mut bench = Bench::new();
        let (caller, callee, _) = call(&mut bench, "", knows);
        bench.pass(SECOND * 45);
        match code {
            Some(code) => {
                let refresh = bench.expect(PBX, "UPDATE");
                bench.receive(PBX, callee.respond(&refresh, code, ""));
            }
            None => {
                bench.pass(SECOND * 15);
                bench.sent.retain(|sent| sent.first_line().starts_with("BYE"));
            }
        }
        is_over(&mut bench, &caller, &callee);
    }
}

/// A transferor that waits for the result still has a session of its own.
#[test]
fn a_referrer_that_is_gone_leaves_alone() {
    for gone in [false, true] {
        let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]));
        let (mut caller, callee, _) = call(&mut bench, "", "Session-Expires: 90;refresher=uac\r\n");
        let said = callee.invite.body().to_owned();
        bench.pass(SECOND * 30);
        let refer = with(
            &callee.request("REFER", 1, ""),
            &format!("Refer-To: <sip:+12125550100@{LOCAL}>\r\nRefer-Sub: false\r\n"),
        );
        bench.receive(PBX, refer);
        bench.expect(PBX, "SIP/2.0 202");
        // The route's first target is the PBX itself.
        let target = Dialed { tag: "target".into(), ..Dialed::new(PBX, bench.expect(PBX, "INVITE")) };
        bench.receive(PBX, target.answer(180, ""));
        bench.pass(SECOND * 15);
        let refresh = bench.expect(PBX, "INVITE");
        assert_eq!((refresh.body(), refresh.header("To").contains("callee")), (said.as_str(), true));
        if gone {
            bench.receive(PBX, callee.respond(&refresh, 481, ""));
            bench.expect(PBX, "ACK");
            let bye = bench.expect(PBX, "BYE");
            assert_eq!(bye.header("Reason"), "Q.850;cause=102;text=\"session_expired\"");
            bench.receive(PBX, callee.respond(&bye, 481, ""));
        } else {
            let ok = with(&callee.respond(&refresh, 200, &answer()), "Session-Expires: 90;refresher=uac\r\n");
            bench.receive(PBX, ok);
            bench.expect(PBX, "ACK");
        }
        bench.nothing();
        bench.receive(PBX, target.answer(200, &answer()));
        bench.expect(PBX, "ACK");
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
        if !gone {
            bench.pass(SECOND * 5);
            let bye = bench.expect(PBX, "BYE");
            bench.receive(PBX, callee.respond(&bye, 200, ""));
        }
        bench.pass(SECOND * 600);
        bench.nothing();
        bench.bye(&mut caller, &target);
        bench.finish();
    }
}
