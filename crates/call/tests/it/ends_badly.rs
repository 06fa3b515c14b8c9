//! Ends of a call that no party requested: no ACK, no media, no ports, no worker; and by the operator.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_call::{GatewayInput, OperatorCommand};
use trunkgate_media::{EndId, MediaCommand, MediaEvent, MediaId};

/// Returns the id of the only session, and its ends in the order of their creation.
fn ends(bench: &Bench) -> (MediaId, Vec<EndId>) {
    let added = bench.media.iter().filter_map(|(id, c)| match c {
        MediaCommand::AddEnd { end, .. } => Some((*id, *end)),
        _ => None,
    });
    let all: Vec<_> = added.collect();
    (all[0].0, all.into_iter().map(|(_, end)| end).collect())
}

fn bind_failed(bench: &mut Bench, id: MediaId, end: EndId) {
    bench.input(GatewayInput::Media { id, event: MediaEvent::BindFailed { end, error: "address in use".into() } });
}

#[test]
fn an_answer_that_is_never_acknowledged() {
    let mut bench = Bench::new();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.pass(Duration::from_secs(31));
    let sent = bench.sent.iter().filter(|s| s.code() == 200).count();
    assert!(sent > 5, "the 2xx is repeated");
    let verdict = bench.gateway.trace(&bench.gateway.calls(bench.now)[0].sid).unwrap().verdict;
    assert!(
        verdict.contains(" times, no ACK from carrier: the call ends 32 s after the first. Try: check"),
        "{verdict}"
    );
    bench.pass(Duration::from_secs(2));
    bench.sent.retain(|s| s.code() != 200);
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 481, ""));
    let bye = bench.expect(PBX, "BYE");
    assert!(bye.header("Reason").contains("ack_timeout"));
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].call.reason, Some("ack_timeout"));
    bench.finish();
}

/// ACKs that match no dialog appear in the ladder and in the verdict, while the call lives and after its end.
#[test]
fn an_answer_that_is_acknowledged_with_another_tag() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = "wrong".to_owned();
    for _ in 0..3 {
        bench.pass(Duration::from_secs(5));
        bench.receive(CARRIER, caller.request("ACK", "", ""));
    }
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let trace = bench.gateway.trace(&sid).unwrap();
    assert!(trace.verdict.contains("no ACK from carrier that matches it (3 stray)"), "{}", trace.verdict);
    assert!(trace.verdict.contains("Try: compare the ACK in the ladder"), "{}", trace.verdict);
    assert_eq!(trace.stray_acks(0), 3);
    bench.pass(Duration::from_secs(18));
    bench.sent.retain(|s| s.code() != 200);
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 481, ""));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    let proof = bench.reports[0].proof.clone().unwrap();
    assert!(
        proof.starts_with("carrier sent no matching ACK for the 200 OK that went to ")
            && proof
                .contains(", 3 ACKs with other tags or another CSeq were dropped (stray_ack); it goes to our Contact"),
        "{proof}"
    );
    bench.finish();
}

#[test]
fn a_callee_that_hangs_up_before_the_ack() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(PBX, callee.request("BYE", 1, ""));
    // RFC 3261 §15: our BYE must wait for the ACK.
    assert!(bench.sent.iter().all(|s| s.to != CARRIER.parse().unwrap()));
    assert_eq!((bench.reports.len(), bench.gateway.live_calls(), bench.gateway.held_calls()), (1, 0, 1));
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn a_silent_side() {
    let mut bench = Bench::new();
    let (caller, callee) = bench.answered();
    let (id, ends) = ends(&bench);
    bench.input(GatewayInput::Media {
        id,
        event: MediaEvent::Latched { end: ends[1], source: "10.0.0.20:30000".parse().unwrap() },
    });
    let call = &bench.gateway.calls(bench.now)[0];
    assert_eq!(call.legs[1].rtp.latched, Some("10.0.0.20:30000".parse().unwrap()));
    bench.input(GatewayInput::Media { id, event: MediaEvent::Idle { end: ends[0] } });
    let bye = bench.expect(CARRIER, "BYE");
    assert!(bye.header("Reason").contains("media_timeout"));
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].call.reason, Some("media_timeout"));
    bench.finish();
}

#[test]
fn a_worker_that_gave_up() {
    let mut bench = Bench::new();
    bench.answered();
    let (id, _) = ends(&bench);
    bench.input(GatewayInput::Media { id, event: MediaEvent::Closed });
    bench.expect(CARRIER, "BYE");
    bench.expect(PBX, "BYE");
    assert_eq!(bench.reports[0].call.reason, Some("internal"));
    let mut bench = Bench::new();
    bench.invite(CARRIER, "+14155550100", &offer());
    let (id, _) = ends(&bench);
    bench.input(GatewayInput::Media { id, event: MediaEvent::Closed });
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 500");
}

#[test]
fn ports_of_somebody_else_are_drawn_anew_for_the_caller() {
    let mut bench = Bench::new();
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let (id, first) = ends(&bench);
    bind_failed(&mut bench, id, first[0]);
    bench.nothing();
    let (_, now) = ends(&bench);
    assert_eq!(now.len(), 3);
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(CARRIER, "SIP/2.0 200");
    let wired = |end| bench.media.iter().any(|(_, c)| matches!(c, MediaCommand::Wire { from, .. } if *from == end));
    assert!(wired(now[2]) && !wired(first[0]));
}

#[test]
fn a_target_that_has_seen_bad_ports_is_asked_again() {
    let mut bench = Bench::new();
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let first = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, first.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    let (id, all) = ends(&bench);
    bind_failed(&mut bench, id, all[1]);
    bench.expect(PBX, "CANCEL");
    let second = bench.expect(PBX, "INVITE");
    assert_ne!(second.port(), first.invite.port());
    // After three failures the next target is tried.
    for _ in 0..2 {
        let (_, all) = ends(&bench);
        bind_failed(&mut bench, id, *all.last().unwrap());
    }
    bench.expect(PBX, "INVITE");
    assert!(bench.sent.iter().any(|s| s.to == BACKUP.parse().unwrap()));
    bench.control(OperatorCommand::EndAll);
    bench.finish();
}

#[test]
fn a_caller_without_ports_is_refused_in_the_end() {
    let mut bench = Bench::new();
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let (id, all) = ends(&bench);
    bind_failed(&mut bench, id, all[0]);
    for _ in 0..2 {
        let (_, all) = ends(&bench);
        bind_failed(&mut bench, id, *all.last().unwrap());
    }
    bench.expect(CARRIER, "SIP/2.0 503");
    assert_eq!(bench.reports[0].call.reason, Some("no_ports"));
    bench.finish();
}

#[test]
fn ports_come_back_only_when_the_worker_says_so() {
    let mut bench = Bench::new();
    bench.worker = false;
    let (mut caller, callee) = bench.answered();
    let (id, all) = ends(&bench);
    bench.bye(&mut caller, &callee);
    assert_eq!(bench.gateway.status(bench.now).ports_in_use, 4);
    for (left, end) in [(2, all[0]), (2, all[0]), (0, all[1])] {
        bench.input(GatewayInput::Media { id, event: MediaEvent::EndClosed { end, port: 0 } });
        assert_eq!(bench.gateway.status(bench.now).ports_in_use, left);
    }
    bench.input(GatewayInput::Media { id, event: MediaEvent::Closed });
    bench.input(GatewayInput::Media { id, event: MediaEvent::Closed });
    bench.finish();
}

#[test]
fn the_operator_ends_one_call_or_all() {
    let mut bench = Bench::new();
    let (caller, callee) = bench.answered();
    let ringing = bench.invite(CARRIER, "+14155550101", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let second = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, second.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    let calls = bench.gateway.calls(bench.now);
    assert_eq!((calls.len(), calls[0].state, calls[1].state), (2, "ringing", "answered"));
    bench.control(OperatorCommand::Hangup { sid: "CAnone".into() });
    bench.nothing();
    bench.control(OperatorCommand::Hangup { sid: calls[1].sid.clone() });
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.control(OperatorCommand::EndAll);
    bench.expect(CARRIER, "SIP/2.0 503");
    bench.receive(CARRIER, ringing.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    let cancel = bench.expect(PBX, "CANCEL");
    bench.receive(PBX, second.respond(&cancel, 200, ""));
    bench.receive(PBX, second.answer(487, ""));
    assert!(bench.reports.iter().all(|r| r.call.reason == Some("operator")));
    bench.finish();
}

#[test]
fn a_target_that_hangs_up_while_it_rings_is_not_to_be_had() {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]));
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let cancel = bench.expect(PBX, "CANCEL");
    bench.receive(PBX, callee.respond(&cancel, 200, ""));
    bench.receive(PBX, callee.answer(487, ""));
    bench.expect(PBX, "ACK");
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(404, ""));
    bench.expect(BACKUP, "ACK");
    bench.expect(CARRIER, "SIP/2.0 404");
    bench.finish();
}

#[test]
fn rfc3261_15_1_2_a_change_that_is_pending_gets_487_when_its_sender_hangs_up() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &offer().replace("sendrecv", "sendonly"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let asked = bench.expect(PBX, "INVITE");
    let pending = caller.clone();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    let refused = bench.expect(CARRIER, "SIP/2.0 487");
    assert_eq!(refused.header("CSeq"), format!("{} INVITE", pending.cseq));
    bench.receive(CARRIER, pending.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.receive(PBX, callee.respond(&asked, 481, ""));
    bench.pass(Duration::from_secs(64));
    bench.sent.clear();
    bench.finish();
}

#[test]
fn a_caller_without_contact_is_hung_up_on_where_its_invite_came_from() {
    let mut bench = Bench::new();
    let mut caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 77, cseq: 1, to_tag: String::new() };
    let bare = |text: String| text.replace(&format!("Contact: <sip:alice@{CARRIER}>\r\n"), "");
    let invite = bare(caller.request("INVITE", &offer(), ""));
    assert!(!invite.contains("Contact"));
    bench.receive(CARRIER, invite);
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, bare(caller.request("ACK", "", "")));
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn a_fork_that_hangs_up_early_takes_neither_another_one_nor_an_answered_call_with_it() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let one = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let other = Dialed { tag: "other".into(), ..one.clone() };
    // Two phones behind one target ring, both without media.
    bench.receive(PBX, one.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.receive(PBX, other.answer(180, ""));
    let third = Dialed { tag: "third".into(), ..one.clone() };
    bench.receive(PBX, third.answer(180, ""));
    bench.sent.clear();
    bench.receive(PBX, one.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.nothing();
    bench.receive(PBX, other.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.receive(PBX, third.request("BYE", 1, ""));
    bench.sent.clear();
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.bye(&mut caller, &other);
    bench.pass(Duration::from_secs(64));
    bench.sent.clear();
    bench.finish();
}
