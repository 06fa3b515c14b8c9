//! UPDATE (RFC 3311) through both legs: refreshes answered at once, offers relayed by UPDATE or re-INVITE, and glare.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_media::MediaCommand;

const ALLOW: &str = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\r\n";

/// Makes an answered call; each side may announce UPDATE.
fn call(caller_takes: bool, callee_takes: bool) -> (Bench, Dialing, Dialed) {
    let mut bench = Bench::new();
    let allow = |takes: bool| if takes { ALLOW } else { "" };
    let mut caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: "".into() };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), allow(caller_takes)));
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    assert!(callee.invite.header("Allow").contains("UPDATE"));
    let ok = callee.answer(200, &answer());
    bench.receive(PBX, ok.replace("Contact:", &format!("{}Contact:", allow(callee_takes))));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.nothing();
    bench.take_media();
    (bench, caller, callee)
}

fn update(bench: &mut Bench, caller: &mut Dialing, body: &str) {
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("UPDATE", body, ""));
}

fn held() -> String {
    sdp("198.51.100.7", 40_000, 2, "0 8 101", "sendonly")
}

fn holds() -> String {
    sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly")
}

fn state(bench: &mut Bench) -> &'static str {
    bench.gateway.calls(bench.now)[0].state
}

fn hang_up(mut bench: Bench, mut caller: Dialing, callee: &Dialed) {
    bench.nothing();
    bench.bye(&mut caller, callee);
    bench.finish();
}

#[test]
fn rfc3311_5_2_without_description_each_side_is_answered_at_once() {
    let (mut bench, mut caller, callee) = call(true, true);
    caller.cseq += 1;
    let moved =
        caller.request("UPDATE", "", "").replace("<sip:alice@198.51.100.7:5060>", "<sip:alice@198.51.100.7:5066>");
    bench.receive(CARRIER, moved);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.header("Contact").contains("+14155550100@203.0.113.10"), "{}", ok.text);
    bench.receive(PBX, callee.request("UPDATE", 1, ""));
    let ok = bench.expect(PBX, "SIP/2.0 200");
    assert!(!ok.text.contains("198.51.100.7") && !ok.text.contains(PUBLIC), "{}", ok.text);
    bench.nothing();
    assert!(bench.media.is_empty());
    // Our requests go to its new address.
    bench.receive(PBX, callee.request("INVITE", 2, &answer().replace("101\r\na=rtp", "101\r\na=recvonly\r\na=rtp")));
    bench.expect(PBX, "SIP/2.0 100");
    let asked = bench.next("198.51.100.7:5066");
    assert!(asked.first_line().starts_with("INVITE sip:alice@198.51.100.7:5066"), "{}", asked.text);
}

/// Requester and capability of the other side: the relayed method.
#[test]
fn an_offer_goes_on_by_update_where_the_other_side_takes_it_else_by_re_invite() {
    for (from_caller, takes) in [(true, true), (true, false), (false, true), (false, false)] {
        let (mut bench, mut caller, callee) = call(from_caller || takes, !from_caller || takes);
        let (asks, other) = if from_caller { (CARRIER, PBX) } else { (PBX, CARRIER) };
        if from_caller {
            update(&mut bench, &mut caller, &held());
        } else {
            bench.receive(PBX, callee.request("UPDATE", 1, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendonly")));
        }
        let asked = bench.expect(other, if takes { "UPDATE" } else { "INVITE" });
        assert!(asked.body().contains("a=sendonly"), "{}", asked.text);
        assert!(bench.media.is_empty(), "nothing changes before the answer");
        if from_caller {
            bench.receive(PBX, callee.respond(&asked, 200, &holds()));
        } else {
            let body = sdp("198.51.100.7", 40_000, 2, "0 101", "recvonly");
            bench.receive(CARRIER, caller.respond(&asked, 200, &body));
        }
        if !takes {
            bench.expect(other, "ACK");
        }
        let ok = bench.expect(asks, "SIP/2.0 200");
        assert!(ok.body().contains("a=recvonly") && ok.header("CSeq").ends_with("UPDATE"), "{}", ok.text);
        assert_eq!(state(&mut bench), "held");
        assert!(bench.take_media().iter().any(|c| matches!(c, MediaCommand::SetRemote { .. })));
        bench.nothing();
        if !from_caller {
            bench.sent.clear();
        }
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn a_refusal_of_either_kind_comes_back_and_changes_nothing() {
    for takes in [true, false] {
        for (code, seen) in [(488, 488), (491, 491), (500, 500), (503, 500)] {
            let (mut bench, mut caller, callee) = call(true, takes);
            update(&mut bench, &mut caller, &held());
            let asked = bench.next(PBX);
            bench.receive(PBX, callee.respond(&asked, code, ""));
            if !takes {
                bench.expect(PBX, "ACK");
            }
            assert_eq!(bench.next(CARRIER).code(), seen);
            assert!(bench.media.is_empty());
            assert_eq!(state(&mut bench), "answered");
            hang_up(bench, caller, &callee);
        }
    }
}

/// Allow is trusted until UPDATE is refused; 504 calls for a re-INVITE (RFC 3311 §5.3).
#[test]
fn an_update_that_is_not_taken_is_asked_again_by_re_invite() {
    for (code, next) in [(405, "INVITE"), (501, "INVITE"), (504, "UPDATE")] {
        let (mut bench, mut caller, callee) = call(true, true);
        for (first, version) in [("UPDATE", "2"), (next, "3")] {
            update(&mut bench, &mut caller, &held().replace(" 2 IN", &format!(" {version} IN")));
            let mut asked = bench.expect(PBX, first);
            if first == "UPDATE" {
                bench.receive(PBX, callee.respond(&asked, code, ""));
                asked = bench.expect(PBX, "INVITE");
            }
            assert!(asked.body().contains("a=sendonly"), "{}", asked.text);
            bench.receive(PBX, callee.respond(&asked, 200, &holds()));
            bench.expect(PBX, "ACK");
            assert!(bench.expect(CARRIER, "SIP/2.0 200").body().contains("a=recvonly"));
        }
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn rfc3261_12_2_1_2_a_side_that_has_lost_the_call_ends_it() {
    for code in [481, 408] {
        let (mut bench, mut caller, callee) = call(true, true);
        update(&mut bench, &mut caller, &held());
        let asked = bench.expect(PBX, "UPDATE");
        bench.receive(PBX, callee.respond(&asked, code, ""));
        assert_eq!(bench.next(CARRIER).code(), code);
        let bye = bench.expect(CARRIER, "BYE");
        bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        let bye = bench.expect(PBX, "BYE");
        bench.receive(PBX, callee.respond(&bye, 481, ""));
        assert_eq!(bench.reports[0].call.reason, Some("unreachable"));
        bench.finish();
    }
    let (mut bench, mut caller, _) = call(true, true);
    update(&mut bench, &mut caller, &held());
    bench.pass(Duration::from_secs(33));
    assert_eq!(bench.reports[0].call.reason, Some("unreachable"));
}

#[test]
fn an_unusable_offer_is_refused_here() {
    for (body, code) in [
        ("nonsense".to_owned(), 400),
        (held().replace("0 8 101", "101"), 488),
        (held().replace("c=IN IP4 198.51.100.7", "c=IN IP4 127.0.0.1"), 488),
    ] {
        let (mut bench, mut caller, callee) = call(true, true);
        update(&mut bench, &mut caller, &body);
        assert_eq!(bench.next(CARRIER).code(), code, "{body}");
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn two_updates_or_an_update_and_a_re_invite_that_cross_are_491() {
    for (ours, theirs) in [("UPDATE", "UPDATE"), ("UPDATE", "INVITE"), ("INVITE", "UPDATE")] {
        let (mut bench, mut caller, callee) = call(true, true);
        caller.cseq += 1;
        bench.receive(CARRIER, caller.request(ours, &held(), ""));
        bench.sent.retain(|sent| sent.code() != 100);
        let asked = bench.expect(PBX, ours);
        bench.receive(PBX, callee.request(theirs, 1, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendonly")));
        bench.expect(PBX, "SIP/2.0 491");
        bench.receive(PBX, callee.respond(&asked, 491, ""));
        bench.expect(CARRIER, "SIP/2.0 491");
        // A refresh without a description cannot collide.
        bench.sent.clear();
        bench.receive(PBX, callee.request("UPDATE", 2, ""));
        bench.expect(PBX, "SIP/2.0 200");
    }
}

#[test]
fn a_re_invite_that_takes_too_long_for_an_update_is_withdrawn() {
    let (mut bench, mut caller, callee) = call(true, false);
    update(&mut bench, &mut caller, &held());
    let asked = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&asked, 180, ""));
    bench.pass(Duration::from_secs(16));
    bench.expect(CARRIER, "SIP/2.0 504");
    let cancel = bench.expect(PBX, "CANCEL");
    bench.receive(PBX, callee.respond(&cancel, 200, ""));
    bench.receive(PBX, callee.respond(&asked, 487, ""));
    bench.expect(PBX, "ACK");
    assert_eq!(state(&mut bench), "answered");
    hang_up(bench, caller, &callee);
}

/// Before the answer neither side may send a description, since the first offer has no reliable answer.
#[test]
fn rfc3311_5_2_before_the_answer() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(183, &answer()));
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 183").tag("To");
    update(&mut bench, &mut caller, "");
    bench.expect(CARRIER, "SIP/2.0 200");
    update(&mut bench, &mut caller, &held());
    let later = bench.expect(CARRIER, "SIP/2.0 500");
    assert!(later.header("Retry-After").parse::<u32>().unwrap() <= 10);
    bench.receive(PBX, callee.request("UPDATE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("UPDATE", 2, &answer()));
    bench.expect(PBX, "SIP/2.0 491");
    // Another early dialog of the same target.
    let fork = Dialed { tag: "other".into(), ..callee.clone() };
    bench.receive(PBX, fork.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.receive(PBX, fork.request("UPDATE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, Dialing { cseq: 1, ..caller.clone() }.request("ACK", "", ""));
    hang_up(bench, caller, &callee);
}

#[test]
fn what_a_side_takes_is_known_after_a_restart() {
    let (mut bench, mut caller, callee) = call(true, true);
    bench.restart(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    update(&mut bench, &mut caller, &held());
    let asked = bench.expect(PBX, "UPDATE");
    bench.receive(PBX, callee.respond(&asked, 200, &holds()));
    bench.expect(CARRIER, "SIP/2.0 200");
}

#[test]
fn a_bye_while_an_update_is_open_ends_all() {
    let (mut bench, mut caller, callee) = call(true, true);
    update(&mut bench, &mut caller, &held());
    let asked = bench.expect(PBX, "UPDATE");
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.expect(CARRIER, "SIP/2.0 487");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.receive(PBX, callee.respond(&asked, 200, &holds()));
    bench.nothing();
    bench.finish();
}
