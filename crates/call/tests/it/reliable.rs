//! Reliable provisional responses (RFC 3262) through both legs: each side uses them independently, a 2xx waits for the
//! PRACK, an offer in one is answered by its PRACK, and a reliable answer stays in force.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::early::SUPPORTED;
use crate::bench::*;
use trunkgate_media::MediaCommand;
use trunkgate_sip::Method;

fn wires(bench: &mut Bench) -> usize {
    bench.take_media().iter().filter(|c| matches!(c, MediaCommand::Wire { .. })).count()
}

/// Capabilities and behaviour of each side: the other one never notices.
#[test]
fn rfc3262_each_side_has_reliable_answers_by_itself() {
    for (supported, reliable) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.calling(&offer(), if supported { SUPPORTED } else { "" });
        bench.take_media();
        if reliable {
            bench.progress(&callee, (183, 50), &answer(), "");
        } else {
            bench.receive(PBX, callee.answer(183, &answer()));
        }
        let early = bench.expect(CARRIER, "SIP/2.0 183");
        assert!(early.body().contains("m=audio"));
        assert_eq!(wires(&mut bench), 2);
        assert_eq!(early.headers("RSeq").len(), usize::from(supported), "{}", early.text);
        caller.to_tag = early.tag("To");
        if supported {
            bench.prack(&mut caller, &early, "");
            assert!(bench.expect(CARRIER, "SIP/2.0 200").header("CSeq").ends_with("PRACK"));
        }
        bench.receive(PBX, callee.answer(200, &answer()));
        bench.expect(PBX, "ACK");
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        assert_eq!(ok.body(), early.body(), "the early description stays valid");
        bench.ack(&caller, "");
        bench.nothing();
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn rfc3262_3_where_the_caller_insists_every_provisional_answer_is_reliable() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.calling(&offer(), "Require: 100rel\r\n");
    bench.receive(PBX, callee.answer(180, ""));
    let first = bench.expect(CARRIER, "SIP/2.0 180");
    bench.receive(PBX, callee.answer(183, &answer()));
    bench.nothing();
    bench.prack(&mut caller, &first, "");
    bench.expect(CARRIER, "SIP/2.0 200");
    let second = bench.expect(CARRIER, "SIP/2.0 183");
    let number = |sent: &Sent| sent.header("RSeq").parse::<u32>().unwrap();
    assert_eq!(number(&second), number(&first) + 1);
    bench.prack(&mut caller, &second, "");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.ack(&caller, "");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

/// Makes a call that is answered before the caller has acknowledged the 183.
fn held_back() -> (Bench, Dialing, Dialed, Sent) {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.calling(&offer(), SUPPORTED);
    bench.progress(&callee, (183, 1), &answer(), "");
    let early = bench.expect(CARRIER, "SIP/2.0 183");
    caller.to_tag = early.tag("To");
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.nothing();
    (bench, caller, callee, early)
}

#[test]
fn rfc3262_3_the_2xx_waits_for_the_prack() {
    let (mut bench, mut caller, callee, early) = held_back();
    bench.pass(Duration::from_millis(500));
    let again = bench.expect(CARRIER, "SIP/2.0 183");
    assert_eq!(again.text, early.text);
    bench.prack(&mut caller, &again, "");
    bench.expect(CARRIER, "SIP/2.0 200");
    assert!(bench.expect(CARRIER, "SIP/2.0 200").header("CSeq").ends_with("INVITE"));
    bench.ack(&caller, "");
    bench.nothing();
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn whoever_ends_the_call_while_the_2xx_waits() {
    for who in ["caller", "callee", "nobody"] {
        let (mut bench, mut caller, callee, _) = held_back();
        match who {
            "caller" => {
                bench.receive(CARRIER, Dialing { cseq: 1, ..caller.clone() }.request("CANCEL", "", ""));
                bench.expect(CARRIER, "SIP/2.0 200");
                bench.expect(CARRIER, "SIP/2.0 487");
            }
            "callee" => {
                bench.receive(PBX, callee.request("BYE", 1, ""));
                bench.expect(PBX, "SIP/2.0 200");
                bench.expect(CARRIER, "SIP/2.0 480");
            }
            _ => {
                bench.pass(Duration::from_secs(32));
                bench.sent.retain(|sent| sent.code() != 183);
                bench.expect(CARRIER, "SIP/2.0 504");
            }
        }
        caller.cseq = 1;
        bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
        if who != "callee" {
            let bye = bench.expect(PBX, "BYE");
            bench.receive(PBX, callee.respond(&bye, 200, ""));
        }
        bench.nothing();
        let expected = match who {
            "caller" => "caller_canceled",
            "callee" => "callee_hung_up",
            _ => "ack_timeout",
        };
        assert_eq!(bench.reports[0].call.reason, Some(expected));
        bench.finish();
    }
}

#[test]
fn rfc3262_3_a_caller_that_never_acknowledges_is_refused() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.calling(&offer(), SUPPORTED);
    bench.progress(&callee, (183, 1), &answer(), "");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 183").tag("To");
    bench.pass(Duration::from_secs(32));
    bench.sent.retain(|sent| sent.code() != 183);
    bench.expect(CARRIER, "SIP/2.0 504");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    let cancel = bench.expect(PBX, "CANCEL");
    bench.receive(PBX, callee.respond(&cancel, 200, ""));
    bench.receive(PBX, callee.answer(487, ""));
    bench.expect(PBX, "ACK");
    assert_eq!((bench.reports[0].call.reason, bench.reports[0].sip_code), (Some("ack_timeout"), 504));
    bench.finish();
}

#[test]
fn rfc3262_5_an_offer_in_a_provisional_answer_is_answered_by_its_prack() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.calling("", "Require: 100rel\r\n");
    bench.receive(PBX, callee.answer(180, ""));
    bench.nothing();
    bench.progress(&callee, (183, 9), &answer(), "");
    let early = bench.expect(CARRIER, "SIP/2.0 183");
    assert!(
        early.body().contains("RTP/AVP 0 8 107 101") && early.body().contains("c=IN IP4 203.0.113.10"),
        "{}",
        early.text
    );
    bench.take_media();
    bench.prack(&mut caller, &early, &sdp("198.51.100.7", 40_000, 1, "0 101", "sendrecv"));
    bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(wires(&mut bench), 2, "both hear each other before the answer");
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(ok.body(), "", "all has been said");
    assert!(
        bench.take_media().iter().any(|c| matches!(c, MediaCommand::SetRemote { remote, .. } if remote.watch_idle))
    );
    bench.ack(&caller, "");
    bench.nothing();
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn an_offer_that_is_answered_after_the_callee_has_is_taken_too() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.calling("", SUPPORTED);
    bench.progress(&callee, (183, 9), &answer(), "");
    let early = bench.expect(CARRIER, "SIP/2.0 183");
    bench.receive(PBX, callee.answer(200, ""));
    bench.expect(PBX, "ACK");
    bench.nothing();
    bench.prack(&mut caller, &early, &sdp("198.51.100.7", 40_000, 1, "0 101", "sendrecv"));
    bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 200").body(), "");
    assert_eq!(wires(&mut bench), 2);
    bench.ack(&caller, "");
    bench.nothing();
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_prack_without_a_usable_answer_refuses_the_call() {
    for body in ["", "nonsense", &sdp("198.51.100.7", 40_000, 1, "18", "sendrecv")] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.calling("", SUPPORTED);
        bench.progress(&callee, (183, 9), &answer(), "");
        let early = bench.expect(CARRIER, "SIP/2.0 183");
        bench.prack(&mut caller, &early, body);
        bench.expect(CARRIER, "SIP/2.0 200");
        bench.expect(CARRIER, "SIP/2.0 488");
        bench.expect(PBX, "CANCEL");
    }
}

#[test]
fn a_prack_that_offers_what_nobody_takes_is_refused_and_the_call_goes_on() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.calling(&offer(), SUPPORTED);
    bench.progress(&callee, (183, 9), &answer(), "");
    let early = bench.expect(CARRIER, "SIP/2.0 183");
    bench.prack(&mut caller, &early, &sdp("198.51.100.7", 40_000, 2, "18", "sendrecv"));
    bench.expect(CARRIER, "SIP/2.0 488");
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.ack(&caller, "");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

/// A caller ignores any answer in a 2xx after a reliable answer (RFC 3261 §13.2.1).
#[test]
fn another_target_with_another_codec_reaches_the_caller_by_re_invite() {
    for late in [false, true] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.calling(if late { "" } else { &OFFER }, SUPPORTED);
        bench.progress(&callee, (183, 9), &answer(), "");
        let early = bench.expect(CARRIER, "SIP/2.0 183");
        let said = sdp("198.51.100.7", 40_000, 1, "0 101", "sendrecv");
        bench.prack(&mut caller, &early, if late { &said } else { "" });
        bench.expect(CARRIER, "SIP/2.0 200");
        bench.receive(PBX, callee.answer(503, ""));
        bench.expect(PBX, "ACK");
        let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
        bench.receive(BACKUP, backup.answer(183, &sdp("10.0.0.30", 31_000, 5, "8 101", "sendrecv")));
        assert_eq!(bench.expect(CARRIER, "SIP/2.0 183").body(), "", "nothing else is said");
        bench.receive(BACKUP, backup.answer(200, &sdp("10.0.0.30", 31_000, 5, "8 101", "sendrecv")));
        bench.expect(BACKUP, "ACK");
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        assert_eq!(ok.body(), if late { "" } else { early.body() });
        bench.ack(&caller, "");
        let asked = bench.expect(CARRIER, "INVITE");
        assert!(asked.body().contains("RTP/AVP 8 0 107 101"), "{}", asked.text);
        bench.receive(CARRIER, caller.respond(&asked, 200, &sdp("198.51.100.7", 40_000, 2, "8 101", "sendrecv")));
        bench.expect(CARRIER, "ACK");
        bench.nothing();
        bench.bye(&mut caller, &backup);
        bench.finish();
    }
}

static OFFER: std::sync::LazyLock<String> = std::sync::LazyLock::new(offer);

/// Checks that the same codec needs no re-INVITE.
#[test]
fn another_target_with_the_same_codec_asks_nothing_of_the_caller() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.calling(&offer(), SUPPORTED);
    bench.progress(&callee, (183, 9), &answer(), "");
    let early = bench.expect(CARRIER, "SIP/2.0 183");
    bench.prack(&mut caller, &early, "");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(PBX, callee.answer(503, ""));
    bench.expect(PBX, "ACK");
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(200, &sdp("10.0.0.30", 31_000, 5, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 200").body(), early.body());
    bench.ack(&caller, "");
    bench.nothing();
    bench.bye(&mut caller, &backup);
    bench.finish();
}

#[test]
fn the_trace_shows_each_prack_and_its_answer() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.calling(&offer(), SUPPORTED);
    bench.progress(&callee, (183, 9), &answer(), "");
    let early = bench.expect(CARRIER, "SIP/2.0 183");
    bench.prack(&mut caller, &early, "");
    bench.expect(CARRIER, "SIP/2.0 200");
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let trace = format!("{:?}", bench.gateway.trace(&sid));
    assert_eq!(trace.matches("text: \"PRACK\"").count(), 2, "{trace}");
}

#[test]
fn a_target_that_tells_of_its_ringing_without_end_has_no_more_of_us_than_its_share() {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let ringing = |rseq| callee.answer_with(180, &format!("Require: 100rel\r\nRSeq: {rseq}\r\n"));
    let most = trunkgate_sip::limits::CAUSED_REQUESTS;
    for rseq in 1..=500 {
        bench.receive(PBX, ringing(rseq));
    }
    let first: Vec<Sent> =
        std::iter::from_fn(|| bench.sent.pop_front()).filter(|sent| method(sent) == Method::Prack).collect();
    assert_eq!(first.len(), most);
    assert!(bench.gateway.sip_counts().clients <= most + 1);
    // Once these are answered and dropped, the retransmission of the next one is acknowledged.
    for prack in &first {
        bench.receive(PBX, callee.respond(prack, 200, ""));
    }
    bench.pass(Duration::from_secs(6));
    bench.receive(PBX, ringing(most + 1));
    let prack = bench.expect(PBX, "PRACK");
    assert!(prack.header("RAck").starts_with(&format!("{} ", most + 1)), "{}", prack.text);
    bench.receive(PBX, callee.respond(&prack, 200, ""));
    bench.sent.clear();
    // Any number of answering forks does not exceed the limit either.
    for fork in 0..500 {
        let fork = Dialed { tag: format!("fork{fork}"), ..callee.clone() };
        bench.receive(PBX, fork.answer(200, &answer()));
    }
    let byes = bench.sent.iter().filter(|sent| method(sent) == Method::Bye).count();
    let forks = trunkgate_sip::limits::FORKED_DIALOGS;
    assert!(byes >= forks && byes <= forks + most, "{byes}");
    let ok = bench.sent.iter().find(|sent| sent.to == CARRIER.parse().unwrap() && sent.code() == 200).unwrap().clone();
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.sent.clear();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.sent.clear();
    bench.pass(Duration::from_secs(40));
    bench.finish();
}
