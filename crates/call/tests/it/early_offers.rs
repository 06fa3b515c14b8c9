//! Offers before the answer (RFC 3311 §5, RFC 6337 §3): by UPDATE of either side and in a PRACK. They are relayed if
//! the other side supports that in its early dialog, otherwise answered by the edge.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::early::SUPPORTED;
use crate::bench::*;
use trunkgate_media::MediaCommand;

const ALLOW: &str = "Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE\r\n";

/// Capabilities of a side before the answer.
#[derive(Debug, Clone, Copy)]
struct Able {
    /// Whether the caller acknowledges provisional responses, or the callee requires it.
    reliable: bool,
    /// Whether it supports UPDATE.
    update: bool,
}

const BOTH: Able = Able { reliable: true, update: true };

/// Makes a call with a 183 and its answer from the callee, acknowledged on each side that supports it.
fn early(caller_can: Able, callee_can: Able) -> (Bench, Dialing, Dialed, Sent) {
    let mut bench = Bench::new();
    let headers = |able: Able, tag: &str| {
        [(able.reliable, tag), (able.update, ALLOW)].map(|(is, text)| if is { text } else { "" }).concat()
    };
    let (mut caller, callee) = bench.calling(&offer(), &headers(caller_can, SUPPORTED));
    if callee_can.reliable {
        bench.progress(&callee, (183, 7), &answer(), &headers(callee_can, ""));
    } else {
        let text = callee.answer(183, &answer());
        bench.receive(PBX, text.replace("Contact:", &format!("{}Contact:", headers(callee_can, ""))));
    }
    let told = bench.expect(CARRIER, "SIP/2.0 183");
    caller.to_tag = told.tag("To");
    if caller_can.reliable {
        bench.prack(&mut caller, &told, "");
        bench.expect(CARRIER, "SIP/2.0 200");
    }
    bench.nothing();
    bench.take_media();
    (bench, caller, callee, told)
}

fn update(bench: &mut Bench, caller: &mut Dialing, body: &str) {
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("UPDATE", body, ""));
}

/// Returns an offer of the caller with a new media address, on hold.
fn moved() -> String {
    sdp("198.51.100.9", 41_000, 2, "0 8 101", "sendonly")
}

/// Returns an offer of the callee with a new media address.
fn moves() -> String {
    sdp("10.0.0.21", 33_000, 2, "0 101", "sendrecv")
}

fn hears(bench: &mut Bench, address: &str) -> bool {
    let told = bench.take_media();
    told.iter()
        .any(|c| matches!(c, MediaCommand::SetRemote { remote, .. } if remote.rtp == Some(address.parse().unwrap())))
}

/// Answers the INVITE for the callee, and returns the caller's 2xx.
fn answered(bench: &mut Bench, caller: &Dialing, callee: &Dialed, body: &str) -> Sent {
    bench.receive(PBX, callee.answer(200, body));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.header("CSeq").ends_with("INVITE"), "{}", ok.text);
    bench.ack(caller, "");
    ok
}

fn hang_up(mut bench: Bench, mut caller: Dialing, callee: &Dialed) {
    bench.nothing();
    assert_eq!(bench.gateway.calls(bench.now).len(), 1);
    bench.bye(&mut caller, callee);
    bench.finish();
}

#[test]
fn rfc3311_5_1_offer_in_an_early_dialog_is_relayed() {
    // The 2xx may repeat the answer to the INVITE, which no longer counts.
    for last in ["", &answer()] {
        let (mut bench, mut caller, callee, _) = early(BOTH, BOTH);
        update(&mut bench, &mut caller, &moved());
        let asked = bench.expect(PBX, "UPDATE");
        assert!(asked.body().contains("a=sendonly") && asked.body().contains(LOCAL), "{}", asked.text);
        assert!(asked.headers("Session-Expires").is_empty(), "{}", asked.text);
        assert!(bench.media.is_empty(), "nothing changes before its answer");
        bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "8 101", "recvonly")));
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        assert!(ok.header("CSeq").ends_with("UPDATE") && ok.body().contains("a=recvonly"), "{}", ok.text);
        assert!(ok.body().contains("RTP/AVP 8 101"), "{}", ok.text);
        assert!(hears(&mut bench, "198.51.100.9:41000"));
        let ok = answered(&mut bench, &caller, &callee, last);
        assert_eq!(ok.body(), "", "all has been said");
        let view = bench.gateway.calls(bench.now);
        assert_eq!((view[0].state, view[0].legs[1].codec.as_str()), ("held", "PCMA"));
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn where_the_callee_cannot_be_asked_the_edge_answers_and_tells_it_later() {
    for (reliable, can_update) in [(false, true), (true, false), (false, false)] {
        let (mut bench, mut caller, callee, _) = early(BOTH, Able { reliable, update: can_update });
        update(&mut bench, &mut caller, &moved());
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        assert!(ok.body().contains("a=recvonly") && ok.body().contains("RTP/AVP 0 101"), "{}", ok.text);
        assert!(hears(&mut bench, "198.51.100.9:41000"));
        bench.nothing();
        // A codec that the callee has not accepted is refused.
        update(&mut bench, &mut caller, &sdp("198.51.100.9", 41_000, 3, "18", "sendonly"));
        bench.expect(CARRIER, "SIP/2.0 488");
        let ok = answered(&mut bench, &caller, &callee, &answer());
        assert_eq!(ok.body(), "");
        let asked = bench.expect(PBX, "INVITE");
        assert!(asked.body().contains("a=sendonly"), "{}", asked.text);
        bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly")));
        bench.expect(PBX, "ACK");
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn rfc3311_5_1_an_offer_of_the_callee_goes_on_in_the_early_dialog() {
    let (mut bench, caller, callee, _) = early(BOTH, BOTH);
    bench.receive(PBX, callee.request("UPDATE", 1, &moves()));
    let asked = bench.expect(CARRIER, "UPDATE");
    assert!(asked.body().contains(PUBLIC), "{}", asked.text);
    bench.receive(CARRIER, caller.respond(&asked, 200, &sdp("198.51.100.7", 40_000, 2, "0 101", "sendrecv")));
    let ok = bench.expect(PBX, "SIP/2.0 200");
    assert!(ok.header("CSeq").ends_with("UPDATE") && ok.body().contains(LOCAL), "{}", ok.text);
    assert!(hears(&mut bench, "10.0.0.21:33000"));
    // A further offer, from the caller.
    let mut caller = caller;
    update(&mut bench, &mut caller, &moved());
    let asked = bench.expect(PBX, "UPDATE");
    bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.21", 33_000, 3, "0 101", "recvonly")));
    bench.expect(CARRIER, "SIP/2.0 200");
    let ok = answered(&mut bench, &caller, &callee, &answer());
    assert_eq!(ok.body(), "");
    hang_up(bench, caller, &callee);
}

#[test]
fn where_the_caller_cannot_be_asked_the_edge_answers_the_callee() {
    for (reliable, can_update) in [(false, false), (false, true), (true, false)] {
        let (mut bench, caller, callee, told) = early(Able { reliable, update: can_update }, BOTH);
        bench.receive(PBX, callee.request("UPDATE", 1, &moves()));
        let ok = bench.expect(PBX, "SIP/2.0 200");
        assert!(ok.body().contains("RTP/AVP 0 101") && ok.body().contains(LOCAL), "{}", ok.text);
        assert!(!ok.text.contains("198.51.100"), "{}", ok.text);
        assert!(hears(&mut bench, "10.0.0.21:33000"));
        bench.nothing();
        // The callee's 2xx stands for its last description.
        let ok = answered(&mut bench, &caller, &callee, &answer());
        assert_eq!(ok.port(), told.port());
        assert!(!hears(&mut bench, "10.0.0.20:30000"));
        hang_up(bench, caller, &callee);
    }
}

/// The caller may ignore every answer to its INVITE but the first (RFC 3261 §13.2.1): it gets the hold once it can get
/// a re-INVITE.
#[test]
fn a_caller_is_told_after_the_answer_what_the_callee_has_changed_before_it() {
    for (reliable, can_update) in [(false, false), (false, true), (true, false)] {
        let (mut bench, mut caller, callee, _) = early(Able { reliable, update: can_update }, BOTH);
        bench.receive(PBX, callee.request("UPDATE", 1, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendonly")));
        assert!(bench.expect(PBX, "SIP/2.0 200").body().contains("a=recvonly"));
        answered(&mut bench, &caller, &callee, "");
        let told = bench.expect(CARRIER, "INVITE");
        assert!(told.body().contains("a=sendonly"), "{}", told.text);
        let taken = caller.respond(&told, 200, &sdp("198.51.100.7", 40_000, 2, "0 101", "recvonly"));
        bench.receive(CARRIER, taken);
        bench.expect(CARRIER, "ACK");
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
        bench.nothing();
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn a_callee_that_offers_while_the_caller_has_not_acknowledged_is_answered_by_the_edge() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.calling(&offer(), &format!("{SUPPORTED}{ALLOW}"));
    bench.progress(&callee, (183, 7), &answer(), ALLOW);
    let told = bench.expect(CARRIER, "SIP/2.0 183");
    bench.receive(PBX, callee.request("UPDATE", 1, &moves()));
    bench.expect(PBX, "SIP/2.0 200");
    bench.prack(&mut caller, &told, "");
    bench.expect(CARRIER, "SIP/2.0 200");
    answered(&mut bench, &caller, &callee, "");
    hang_up(bench, caller, &callee);
}

/// Pairs of the other side's response and the response to the requester.
#[test]
fn a_refusal_before_the_answer_leaves_all_as_it_was() {
    for (code, seen) in [(488, 488), (491, 491), (500, 500), (481, 500), (408, 500), (0, 500), (405, 200), (501, 200)] {
        let (mut bench, mut caller, callee, told) = early(BOTH, BOTH);
        update(&mut bench, &mut caller, &moved());
        let asked = bench.expect(PBX, "UPDATE");
        if code == 0 {
            bench.pass(Duration::from_secs(33));
            bench.sent.retain(|sent| !sent.first_line().starts_with("UPDATE"));
        } else {
            bench.receive(PBX, callee.respond(&asked, code, ""));
        }
        assert_eq!(bench.next(CARRIER).code(), seen, "{code}");
        assert_eq!(hears(&mut bench, "198.51.100.9:41000"), seen == 200);
        let ok = answered(&mut bench, &caller, &callee, "");
        if seen == 200 {
            let asked = bench.expect(PBX, "INVITE");
            bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly")));
            bench.expect(PBX, "ACK");
        } else {
            assert_eq!(ok.body(), told.body());
        }
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn rfc3311_5_2_two_offers_before_the_answer_that_cross() {
    let (mut bench, mut caller, callee, _) = early(BOTH, BOTH);
    update(&mut bench, &mut caller, &moved());
    let asked = bench.expect(PBX, "UPDATE");
    bench.receive(PBX, callee.request("UPDATE", 1, &moves()));
    bench.expect(PBX, "SIP/2.0 491");
    update(&mut bench, &mut caller, &moved());
    assert!(bench.expect(CARRIER, "SIP/2.0 500").header("Retry-After").parse::<u32>().unwrap() <= 10);
    bench.receive(PBX, callee.respond(&asked, 491, ""));
    bench.expect(CARRIER, "SIP/2.0 491");
    answered(&mut bench, &caller, &callee, "");
    hang_up(bench, caller, &callee);
}

#[test]
fn rfc3262_5_offer_in_prack_is_answered() {
    for can_update in [true, false] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.calling(&offer(), SUPPORTED);
        bench.progress(&callee, (183, 7), &answer(), if can_update { ALLOW } else { "" });
        let told = bench.expect(CARRIER, "SIP/2.0 183");
        bench.prack(&mut caller, &told, &moved());
        if can_update {
            let asked = bench.expect(PBX, "UPDATE");
            bench.nothing();
            bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly")));
        }
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        assert!(ok.header("CSeq").ends_with("PRACK") && ok.body().contains("a=recvonly"), "{}", ok.text);
        answered(&mut bench, &caller, &callee, "");
        if !can_update {
            let asked = bench.expect(PBX, "INVITE");
            bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly")));
            bench.expect(PBX, "ACK");
        }
        hang_up(bench, caller, &callee);
    }
}

#[test]
fn a_target_that_fails_while_it_is_asked_lets_the_caller_ask_again() {
    let (mut bench, mut caller, callee, _) = early(BOTH, BOTH);
    update(&mut bench, &mut caller, &moved());
    bench.expect(PBX, "UPDATE");
    bench.receive(PBX, callee.answer(503, ""));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 500").header("Retry-After");
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    // No responding target could get the offer.
    update(&mut bench, &mut caller, &moved());
    bench.expect(CARRIER, "SIP/2.0 500").header("Retry-After");
    bench.receive(BACKUP, backup.answer(200, &sdp("10.0.0.30", 31_000, 5, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.ack(&caller, "");
    hang_up(bench, caller, &backup);
}

/// A callee that has changed the caller's description fails: the caller gets a corrected one after its answer.
#[test]
fn a_callee_that_fails_while_the_caller_is_asked_leaves_it_to_be_asked_again() {
    let (mut bench, caller, callee, _) = early(BOTH, BOTH);
    bench.receive(PBX, callee.request("UPDATE", 1, &sdp("10.0.0.20", 30_000, 2, "0", "sendrecv")));
    let asked = bench.expect(CARRIER, "UPDATE");
    bench.receive(PBX, callee.answer(503, ""));
    bench.sent.retain(|sent| sent.to != PBX.parse().unwrap());
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(CARRIER, caller.respond(&asked, 200, &sdp("198.51.100.7", 40_000, 2, "0", "sendrecv")));
    bench.receive(BACKUP, backup.answer(200, &sdp("10.0.0.30", 31_000, 5, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.ack(&caller, "");
    let again = bench.expect(CARRIER, "INVITE");
    bench.receive(CARRIER, caller.respond(&again, 200, &sdp("198.51.100.7", 40_000, 3, "0 101", "sendrecv")));
    bench.expect(CARRIER, "ACK");
    hang_up(bench, caller, &backup);
}

#[test]
fn whoever_leaves_while_an_early_offer_is_open_ends_all() {
    let (mut bench, mut caller, callee, _) = early(BOTH, BOTH);
    update(&mut bench, &mut caller, &moved());
    bench.expect(PBX, "UPDATE");
    bench.receive(CARRIER, Dialing { cseq: 1, ..caller.clone() }.request("CANCEL", "", ""));
    bench.receive(CARRIER, Dialing { cseq: 1, ..caller.clone() }.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    bench.sent.retain(|sent| sent.to == PBX.parse().unwrap());
    let cancel = bench.expect(PBX, "CANCEL");
    bench.receive(PBX, callee.respond(&cancel, 200, ""));
    bench.receive(PBX, callee.answer(487, ""));
    bench.expect(PBX, "ACK");
    bench.finish();
}
