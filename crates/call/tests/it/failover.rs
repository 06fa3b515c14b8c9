//! Failing targets: the next candidate, and the caller's response once none is left.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_call::GatewayInput;
use trunkgate_call::limits::ATTEMPTS_PER_CALL;
use trunkgate_call::trace::{TraceEntry, TraceItem};
use trunkgate_media::MediaCommand;
use trunkgate_route::{Destination, Peer, Route, TargetSpec, Trunk};

fn two_peers() -> Bench {
    let trunks = vec![trunk("carrier", &[CARRIER]), trunk("pbx", &[PBX, PBX2]), trunk("backup", &[BACKUP])];
    Bench::with(table(trunks, vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]))
}

fn dial(bench: &mut Bench) -> Dialing {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    caller
}

/// Returns the first called peer of the PBX, and the other one.
fn asked_first(bench: &mut Bench) -> (Dialed, &'static str) {
    let (first, other) = if bench.sent[0].to == PBX.parse().unwrap() { (PBX, PBX2) } else { (PBX2, PBX) };
    (Dialed::new(first, bench.expect(first, "INVITE")), other)
}

fn refuse(bench: &mut Bench, callee: &Dialed, code: u16) {
    bench.receive(&callee.peer, callee.answer(code, ""));
    bench.expect(&callee.peer, "ACK");
}

#[test]
fn a_503_goes_to_the_next_peer_and_then_to_the_next_target() {
    let mut bench = two_peers();
    let mut caller = dial(&mut bench);
    let (first, other) = asked_first(&mut bench);
    refuse(&mut bench, &first, 503);
    let second = Dialed::new(other, bench.expect(other, "INVITE"));
    assert_ne!(first.invite.header("Call-ID"), second.invite.header("Call-ID"));
    assert_ne!(first.invite.port(), second.invite.port());
    refuse(&mut bench, &second, 500);
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(200, &sdp("10.0.0.30", 31_000, 1, "8", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.nothing();
    bench.bye(&mut caller, &backup);
    let record = &bench.reports[0];
    assert_eq!(record.failovers, 2);
    let trunks: Vec<&str> = record.call.legs.iter().map(|l| l.trunk.as_str()).collect();
    assert_eq!(trunks, ["carrier", "pbx", "pbx", "backup"]);
    let failovers = &bench.gateway.metrics().failovers;
    assert_eq!(failovers.get(&("main".into(), "target_rejected")), Some(&2));
    bench.finish();
}

#[test]
fn a_verdict_names_the_peer_that_failed_where_another_of_its_trunk_answers() {
    let mut bench = two_peers();
    dial(&mut bench);
    let (first, other) = asked_first(&mut bench);
    refuse(&mut bench, &first, 503);
    let second = Dialed::new(other, bench.expect(other, "INVITE"));
    bench.receive(other, second.answer(200, &answer()));
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let verdict = bench.gateway.trace(&sid).unwrap().verdict;
    let told = format!("Answered by pbx. 1 target failed: pbx at {} (503 Whatever). Try: ", first.peer);
    assert!(verdict.starts_with(&told), "{verdict}");
}

#[test]
fn figures_of_a_trunk_count_calls_and_not_its_addresses() {
    let figures = |bench: &Bench| {
        let status = bench.gateway.status(bench.now);
        let pbx = status.trunks.iter().find(|trunk| trunk.name == "pbx").unwrap();
        let hour = &pbx.last_hour;
        (pbx.tried, pbx.answered_ratio, hour.tried, hour.answered, pbx.failures)
    };
    let mut bench = two_peers();
    for calls in 1..=2 {
        let mut caller = dial(&mut bench);
        let (first, other) = asked_first(&mut bench);
        refuse(&mut bench, &first, 503);
        let second = Dialed::new(other, bench.expect(other, "INVITE"));
        bench.receive(other, second.answer(200, &sdp("10.0.0.30", 31_000, 1, "8", "sendrecv")));
        bench.expect(other, "ACK");
        caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        bench.nothing();
        assert_eq!(figures(&bench), (calls, Some(1.0), calls, calls, calls));
        bench.bye(&mut caller, &second);
    }
    // Both addresses refuse: one more call, and not answered.
    dial(&mut bench);
    let (first, other) = asked_first(&mut bench);
    refuse(&mut bench, &first, 503);
    let second = Dialed::new(other, bench.expect(other, "INVITE"));
    refuse(&mut bench, &second, 500);
    bench.expect(BACKUP, "INVITE");
    assert_eq!(figures(&bench), (3, Some(2.0 / 3.0), 3, 2, 4));
}

#[test]
fn twilio_s_edges_are_asked_in_their_order_and_then_another_trunk() {
    // Peers in order of priority, as the preset makes them of `edges`.
    let mut twilio = trunk("twilio", &[PBX, PBX2]);
    for (peer, priority) in twilio.peers.iter_mut().zip([10, 20]) {
        peer.priority = priority;
    }
    let trunks = vec![trunk("carrier", &[CARRIER]), twilio, trunk("backup", &[BACKUP])];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("twilio"), to_trunk("backup")])]));
    for _ in 0..8 {
        bench.sent.clear();
        let mut caller = dial(&mut bench);
        for (edge, code) in [(PBX, 503), (PBX2, 500)] {
            let asked = Dialed::new(edge, bench.expect(edge, "INVITE"));
            assert_eq!(bench.sent.iter().filter(|sent| sent.first_line().starts_with("INVITE")).count(), 0);
            // Its early media is removed once it has failed.
            bench.receive(edge, asked.answer(183, &answer()));
            refuse(&mut bench, &asked, code);
            assert!(bench.take_media().iter().any(|command| matches!(command, MediaCommand::RemoveEnd { .. })));
        }
        let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
        bench.receive(BACKUP, backup.answer(200, &sdp("10.0.0.30", 31_000, 1, "0 101", "sendrecv")));
        bench.expect(BACKUP, "ACK");
        let answers: Vec<Sent> = bench
            .sent
            .iter()
            .filter(|sent| sent.to == CARRIER.parse().unwrap() && sent.code() == 200)
            .cloned()
            .collect();
        assert_eq!(answers.len(), 1, "one answer, after any number of attempts");
        caller.to_tag = answers[0].tag("To");
        bench.sent.clear();
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        bench.bye(&mut caller, &backup);
    }
    bench.finish();
}

#[test]
fn silence_goes_to_the_next_peer_after_four_seconds() {
    let mut bench = two_peers();
    dial(&mut bench);
    let (_, other) = asked_first(&mut bench);
    bench.pass(Duration::from_millis(3_900));
    assert!(bench.sent.iter().all(|s| s.to != other.parse().unwrap()));
    bench.pass(Duration::from_millis(200));
    bench.sent.retain(|s| s.to == other.parse().unwrap());
    bench.expect(other, "INVITE");
    bench.pass(Duration::from_secs(4));
    let pbx = bench.gateway.status(bench.now).trunks.into_iter().find(|t| t.name == "pbx").unwrap();
    assert_eq!(pbx.state, "down");
    assert!(bench.sent.iter().any(|s| s.to == BACKUP.parse().unwrap()));
    bench.sent.clear();
    bench.pass(Duration::from_secs(5));
    let refused = bench.expect(CARRIER, "SIP/2.0 503");
    assert!(refused.headers("Retry-After").is_empty());
    assert_eq!(refused.header("Reason"), "Q.850;cause=18;text=\"no_response\"");
    assert_eq!(bench.reports[0].call.outcome, Some("failed"));
    bench.finish();
}

/// The phone rings only now, and need not list a missed call.
#[test]
fn rfc3326_3_1_a_target_that_wakes_up_too_late_hears_that_another_has_answered() {
    for answers in [true, false] {
        let mut bench = two_peers();
        let mut caller = dial(&mut bench);
        let (first, other) = asked_first(&mut bench);
        bench.pass(Duration::from_millis(4_100));
        bench.sent.retain(|s| s.to == other.parse().unwrap());
        let second = Dialed::new(other, bench.expect(other, "INVITE"));
        if answers {
            bench.receive(other, second.answer(200, &sdp("10.0.0.30", 31_000, 1, "8", "sendrecv")));
            bench.expect(other, "ACK");
            caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
            bench.receive(CARRIER, caller.request("ACK", "", ""));
        }
        bench.receive(&first.peer, first.answer(180, ""));
        let cancel = bench.expect(&first.peer, "CANCEL");
        let said = ["SIP;cause=200;text=\"Call completed elsewhere\""];
        assert_eq!(cancel.headers("Reason"), said[..usize::from(answers)], "{answers}");
    }
}

#[test]
fn a_100_is_a_sign_of_life() {
    let mut bench = two_peers();
    let caller = dial(&mut bench);
    let (first, _) = asked_first(&mut bench);
    bench.receive(&first.peer, first.answer(100, ""));
    bench.pass(Duration::from_secs(20));
    bench.nothing();
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    let cancel = bench.expect(&first.peer, "CANCEL");
    bench.receive(&first.peer, first.respond(&cancel, 200, ""));
    bench.receive(&first.peer, first.answer(487, ""));
    bench.finish();
}

#[test]
fn a_late_200_of_an_abandoned_peer_is_hung_up_on() {
    let mut bench = two_peers();
    let mut caller = dial(&mut bench);
    let (first, other) = asked_first(&mut bench);
    bench.pass(Duration::from_millis(4_100));
    bench.sent.retain(|s| s.to == other.parse().unwrap());
    let second = Dialed::new(other, bench.expect(other, "INVITE"));
    bench.receive(&first.peer, first.answer(200, &answer()));
    bench.expect(&first.peer, "ACK");
    let bye = bench.expect(&first.peer, "BYE");
    bench.receive(&first.peer, first.respond(&bye, 200, ""));
    bench.receive(other, second.answer(200, &answer()));
    bench.expect(other, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &second);
    bench.finish();
}

#[test]
fn a_send_that_fails_goes_on_at_once() {
    let mut bench = two_peers();
    dial(&mut bench);
    let (first, other) = asked_first(&mut bench);
    bench.input(GatewayInput::TransportFailed { flow: udp(&first.peer), why: None });
    bench.expect(other, "INVITE");
    bench.input(GatewayInput::TransportFailed { flow: udp(other), why: None });
    bench.expect(BACKUP, "INVITE");
    bench.input(GatewayInput::TransportFailed { flow: udp(BACKUP), why: None });
    bench.expect(CARRIER, "SIP/2.0 503");
    assert_eq!(bench.reports[0].call.reason, Some("unreachable"));
    bench.finish();
}

#[test]
fn ringing_out_goes_to_the_next_target_and_ends_in_480() {
    let routes =
        vec![Route { ring_timeout: Some(Duration::from_secs(15)), ..route(vec![to_trunk("pbx"), to_trunk("backup")]) }];
    let trunks = vec![trunk("carrier", &[CARRIER]), trunk("pbx", &[PBX, PBX2]), trunk("backup", &[BACKUP])];
    let mut bench = Bench::with(table(trunks, routes));
    dial(&mut bench);
    let (first, _) = asked_first(&mut bench);
    bench.receive(&first.peer, first.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.pass(Duration::from_secs(15));
    let cancel = bench.expect(&first.peer, "CANCEL");
    bench.receive(&first.peer, first.respond(&cancel, 200, ""));
    bench.receive(&first.peer, first.answer(487, ""));
    bench.expect(&first.peer, "ACK");
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.pass(Duration::from_secs(15));
    bench.expect(BACKUP, "CANCEL");
    bench.expect(CARRIER, "SIP/2.0 480");
    assert_eq!(
        (bench.reports[0].call.outcome, bench.reports[0].call.reason),
        (Some("no_answer"), Some("ring_timeout"))
    );
    bench.finish();
}

#[test]
fn finals_that_end_the_search_and_what_the_caller_sees() {
    // (response of the only target, response to the caller)
    for (code, seen, outcome) in [
        (404, 404, "refused"),
        (403, 403, "refused"),
        (603, 603, "refused"),
        (486, 486, "busy"),
        (600, 600, "busy"),
        (501, 501, "failed"),
        (503, 503, "failed"),
        (500, 500, "failed"),
        (480, 480, "no_answer"),
        (401, 500, "failed"),
        (407, 500, "failed"),
    ] {
        let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
        dial(&mut bench);
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        let challenge = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n\"\r\nRetry-After: 7\r\n";
        bench.receive(PBX, callee.answer_with(code, challenge));
        bench.expect(PBX, "ACK");
        let refused = bench.next(CARRIER);
        assert_eq!(refused.code(), seen, "for {code}");
        assert!(!refused.text.contains("Digest") && !refused.text.contains("Retry-After"), "{}", refused.text);
        assert_eq!(bench.reports[0].call.outcome, Some(outcome), "for {code}");
        bench.finish();
    }
}

#[test]
fn the_cause_that_a_target_gives_is_passed_on() {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    dial(&mut bench);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer_with(404, "Reason: SIP;cause=404;text=\"x\", Q.850;cause=3\r\n"));
    let refused = bench.expect(CARRIER, "SIP/2.0 404");
    assert_eq!(refused.header("Reason"), "Q.850;cause=3;text=\"target_rejected\"");
    assert_eq!(bench.reports[0].q850_cause, 3);
    bench.finish();
}

#[test]
fn busy_goes_on_where_the_route_says_so() {
    let routes = vec![Route { on_busy: true, ..route(vec![to_trunk("pbx"), to_trunk("backup")]) }];
    let mut bench = Bench::with(table(usual_trunks(), routes));
    dial(&mut bench);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    refuse(&mut bench, &callee, 486);
    let callee = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    refuse(&mut bench, &callee, 600);
    bench.expect(CARRIER, "SIP/2.0 486");
    assert_eq!(bench.reports[0].call.outcome, Some("busy"));
    bench.finish();
}

#[test]
fn the_best_of_several_answers() {
    let mut bench = Bench::new();
    dial(&mut bench);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    refuse(&mut bench, &callee, 500);
    let callee = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    refuse(&mut bench, &callee, 480);
    bench.expect(CARRIER, "SIP/2.0 480");
    bench.finish();
}

#[test]
fn a_target_at_its_limit_counts_as_failed() {
    let limited = Trunk { max_calls: 1, ..trunk("pbx", &[PBX]) };
    let trunks = vec![trunk("carrier", &[CARRIER]), limited, trunk("backup", &[BACKUP])];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]));
    let first = dial(&mut bench);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let second = dial(&mut bench);
    bench.nothing();
    bench.pass(trunk("pbx", &[]).pace);
    bench.sent.retain(|sent| sent.to != PBX.parse().unwrap());
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    for (caller, callee) in [(first, callee), (second, backup)] {
        bench.receive(CARRIER, caller.request("CANCEL", "", ""));
        bench.receive(&callee.peer, callee.answer(486, ""));
    }
    bench.sent.clear();
    // The slot is free again.
    let third = dial(&mut bench);
    bench.expect(PBX, "INVITE");
    bench.receive(CARRIER, third.request("CANCEL", "", ""));
    bench.finish();
}

#[test]
fn reject_is_an_answer_of_its_own_also_as_the_last_target() {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![TargetSpec::Reject(486)])]));
    dial(&mut bench);
    bench.expect(CARRIER, "SIP/2.0 486");
    assert_eq!(bench.reports[0].call.reason, Some("route_rejected"));
    bench.finish();
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx"), TargetSpec::Reject(404)])]));
    dial(&mut bench);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    refuse(&mut bench, &callee, 503);
    bench.expect(CARRIER, "SIP/2.0 404");
    bench.finish();
}

#[test]
fn names_are_looked_up_and_each_address_is_tried() {
    let mut named = trunk("pbx", &[PBX]);
    named.peers[0] = Peer::to("sip:pbx.example".into(), name("pbx.example"));
    // Both addresses are known before the name is resolved, as with `accept_from`.
    named.accept_from = vec!["10.0.0.20/31".parse().unwrap()];
    let trunks = vec![trunk("carrier", &[CARRIER]), named, trunk("backup", &[BACKUP])];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]));
    dial(&mut bench);
    bench.nothing();
    let (query, host) = bench.resolves.pop().unwrap();
    assert_eq!(host, "pbx.example");
    bench.resolve(query, &[PBX2, PBX]);
    let callee = Dialed::new(PBX2, bench.expect(PBX2, "INVITE sip:+14155550100@pbx.example SIP/2.0"));
    refuse(&mut bench, &callee, 503);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    refuse(&mut bench, &callee, 503);
    bench.expect(BACKUP, "INVITE");
    // A second identical answer has no effect.
    bench.resolve(query, &[PBX]);
    bench.nothing();
}

#[test]
fn a_name_that_is_not_found_or_never_answered_for_goes_on() {
    let mut named = trunk("pbx", &[PBX]);
    named.peers[0] = Peer::to("sip:pbx.example".into(), name("pbx.example"));
    named.accept_from = vec!["10.0.0.20/31".parse().unwrap()];
    let trunks = || vec![trunk("carrier", &[CARRIER]), named.clone(), trunk("backup", &[BACKUP])];
    let routes = || vec![route(vec![to_trunk("pbx"), to_trunk("backup")])];
    let mut bench = Bench::with(table(trunks(), routes()));
    dial(&mut bench);
    let (query, _) = bench.resolves.pop().unwrap();
    bench.resolve(query, &[]);
    bench.expect(BACKUP, "INVITE");
    assert!(bench.logs.iter().any(|l| l.contains("sip:pbx.example: name not found in DNS")), "{:?}", bench.logs);

    let mut bench = Bench::with(table(trunks(), routes()));
    dial(&mut bench);
    bench.pass(Duration::from_millis(3_900));
    bench.nothing();
    bench.pass(Duration::from_millis(200));
    bench.expect(BACKUP, "INVITE");
    let (query, _) = bench.resolves.pop().unwrap();
    bench.resolve(query, &[PBX]);
    assert!(bench.sent.iter().all(|s| s.to != PBX.parse().unwrap()));

    // The caller gives up while the name is resolved.
    let mut bench = Bench::with(table(trunks(), routes()));
    let caller = dial(&mut bench);
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    let (query, _) = bench.resolves.pop().unwrap();
    bench.resolve(query, &[PBX]);
    assert!(bench.sent.iter().all(|s| s.to == CARRIER.parse().unwrap()));
    bench.finish();
}

#[test]
fn a_bare_uri_is_called_and_may_speak_though_no_trunk_names_it() {
    let uri = TargetSpec::Uri {
        in_call: false,
        uri: "sip:desk@192.0.2.77:5090".into(),
        destination: Destination { port: Some(5090), ..name("192.0.2.77") },
    };
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![uri])]));
    const DESK: &str = "192.0.2.77:5090";
    let mut caller = dial(&mut bench);
    let callee = Dialed::new(DESK, bench.expect(DESK, "INVITE sip:desk@192.0.2.77:5090 SIP/2.0"));
    bench.receive(DESK, callee.answer(200, &sdp("192.0.2.77", 5_000, 1, "0", "sendrecv")));
    bench.expect(DESK, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    // The URI may not begin calls of its own.
    bench.invite(DESK, "+14155550100", &offer());
    bench.nothing();
    bench.receive(DESK, callee.request("BYE", 1, ""));
    bench.expect(DESK, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.pass(Duration::from_secs(40));
    // The URI may not send anything once the call is gone.
    bench.receive(DESK, callee.request("BYE", 2, ""));
    bench.nothing();
    bench.finish();
}

#[test]
fn a_call_makes_only_so_many_attempts() {
    let addresses: Vec<String> = (1..=ATTEMPTS_PER_CALL + 8).map(|n| format!("10.0.1.{n}:5060")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let trunks = vec![trunk("carrier", &[CARRIER]), trunk("pbx", &addresses)];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    dial(&mut bench);
    let mut tried = 0;
    while let Some(sent) = bench.sent.pop_front().filter(|s| s.first_line().starts_with("INVITE")) {
        tried += 1;
        bench.input(GatewayInput::TransportFailed { flow: udp(&sent.to.to_string()), why: None });
    }
    assert_eq!(tried, ATTEMPTS_PER_CALL);
    assert_eq!(bench.reports[0].sip_code, 503);
    bench.finish();
}

#[test]
fn numbers_in_a_bare_uri_are_masked_in_log_lines() {
    let uri =
        TargetSpec::Uri { uri: "sip:+14155559876@192.0.2.77".into(), destination: name("192.0.2.77"), in_call: false };
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![uri])]));
    dial(&mut bench);
    bench.input(GatewayInput::TransportFailed { flow: udp("192.0.2.77:5060"), why: None });
    assert!(bench.logs.iter().any(|l| l.contains("sip:+1415****876@192.0.2.77")), "{:?}", bench.logs);
    assert!(!bench.logs.iter().any(|l| l.contains("+14155559876")), "{:?}", bench.logs);
}

#[test]
fn rfc3261_18_1_1_long_invite_falls_back_to_udp() {
    let transports = |bench: &Bench| -> Vec<String> {
        let invites = bench.sent.iter().filter(|sent| sent.first_line().starts_with("INVITE"));
        invites.map(|sent| sent.header("Via").split(' ').next().unwrap().to_owned()).collect()
    };
    let over = |limit: Option<usize>| {
        let (udp_mtu, oversize_by_tcp) = (limit.unwrap_or(1_300), limit.is_some());
        let pbx = Trunk { udp_mtu, oversize_by_tcp, ..trunk("pbx", &[PBX]) };
        let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![to_trunk("pbx")])]));
        dial(&mut bench);
        bench
    };
    assert_eq!(transports(&over(None)), ["SIP/2.0/UDP"]);
    assert_eq!(transports(&over(Some(1_300))), ["SIP/2.0/UDP"], "short enough");
    // The target answers over TCP, which is kept.
    let mut bench = over(Some(576));
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    assert!(callee.invite.header("Via").starts_with("SIP/2.0/TCP "), "{}", callee.invite.text);
    assert!(callee.invite.header("Contact").contains("transport=tcp"), "{}", callee.invite.text);
    let tcp = trunkgate_sip::Flow {
        transport: trunkgate_sip::Transport::Tcp,
        listener: trunkgate_sip::ListenerId(1),
        connection: Some(trunkgate_sip::ConnectionId(5)),
        ..udp(PBX)
    };
    bench.input(GatewayInput::Received { flow: tcp, bytes: callee.answer(404, "").into() });
    bench.expect(CARRIER, "SIP/2.0 404");
    // TCP is refused: UDP is tried at once. TCP is silent: after a second.
    for refused in [true, false] {
        let mut bench = over(Some(576));
        bench.sent.clear();
        if refused {
            bench.input(GatewayInput::Disconnected { flow: tcp, made_for: None, cause: None, was_up: false });
        } else {
            bench.pass(Duration::from_millis(900));
            assert_eq!(transports(&bench), Vec::<String>::new());
            bench.pass(Duration::from_millis(200));
        }
        assert_eq!(transports(&bench)[0], "SIP/2.0/UDP", "refused: {refused}");
        let pbx = bench.gateway.status(bench.now).trunks.remove(1);
        assert_eq!((pbx.state, pbx.failures), ("unknown", 0), "nothing has failed yet");
        bench.pass(Duration::from_secs(4));
        bench.sent.retain(|sent| sent.to == CARRIER.parse().unwrap());
        bench.expect(CARRIER, "SIP/2.0 503");
        assert_eq!(bench.reports[0].failovers, 0);
    }
}

#[test]
fn a_long_invite_waits_a_second_for_tcp_though_silence_counts_for_nothing_else() {
    let pbx =
        Trunk { udp_mtu: 576, oversize_by_tcp: true, no_response_timeout: Duration::ZERO, ..trunk("pbx", &[PBX]) };
    let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![to_trunk("pbx")])]));
    dial(&mut bench);
    assert!(bench.expect(PBX, "INVITE").header("Via").starts_with("SIP/2.0/TCP "));
    bench.sent.clear();
    bench.pass(Duration::from_millis(900));
    bench.nothing();
    bench.pass(Duration::from_millis(200));
    assert!(bench.expect(PBX, "INVITE").header("Via").starts_with("SIP/2.0/UDP "));
}

#[test]
fn an_invite_too_long_for_udp_is_told_with_what_makes_it_long() {
    let pbx = Trunk { udp_mtu: 576, ..trunk("pbx", &[PBX]) };
    let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![to_trunk("pbx")])]));
    let told = |bench: &Bench| bench.logs.iter().filter(|line| line.contains("udp_mtu")).cloned().collect::<Vec<_>>();
    dial(&mut bench);
    let invite = bench.expect(PBX, "INVITE");
    let (bytes, body) = (invite.text.len(), invite.text.split_once("\r\n\r\n").unwrap().1.len());
    let mut headers: Vec<(&str, usize)> = invite
        .text
        .split("\r\n\r\n")
        .next()
        .unwrap()
        .split("\r\n")
        .skip(1)
        .map(|line| (line.split_once(':').unwrap().0, line.len() + 2))
        .collect();
    headers.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let longest =
        headers[..3].iter().map(|(name, bytes)| format!("{name} {bytes} bytes")).collect::<Vec<_>>().join(", ");
    let line = told(&bench).join("\n");
    let wanted = format!(
        "INVITE of {bytes} bytes to pbx over UDP exceeds udp_mtu (576): fragments may be lost; longest headers: {longest}; body {body} bytes"
    );
    assert!(line.starts_with(&wanted), "{line}\n{wanted}");
    assert!(!line.contains("4155550100"), "no values: {line}");
    let trace = bench.gateway.trace(&bench.gateway.calls(bench.now)[0].sid).unwrap();
    let decided = |entry: &&TraceEntry| matches!(&entry.what, TraceItem::Decision { text } if *text == wanted);
    assert_eq!(trace.entries.iter().filter(decided).count(), 1, "{trace:?}");
    // Retransmissions are not reported, nor is the next call in the log within a minute.
    bench.pass(Duration::from_secs(2));
    dial(&mut bench);
    assert_eq!(told(&bench).len(), 1);
    bench.pass(Duration::from_secs(60));
    bench.sent.clear();
    dial(&mut bench);
    assert_eq!(told(&bench).len(), 2);
}

#[test]
fn an_invite_that_is_short_or_goes_by_tcp_is_not_told() {
    for pbx in [
        Trunk { udp_mtu: 1_300, ..trunk("pbx", &[PBX]) },
        Trunk { udp_mtu: 576, oversize_by_tcp: true, ..trunk("pbx", &[PBX]) },
    ] {
        let by_tcp = pbx.oversize_by_tcp;
        let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![to_trunk("pbx")])]));
        dial(&mut bench);
        assert!(!bench.logs.iter().any(|line| line.contains("udp_mtu")), "{:?}", bench.logs);
        // UDP is used in the end, since TCP is silent.
        bench.pass(Duration::from_millis(1_100));
        assert_eq!(bench.logs.iter().any(|line| line.contains("udp_mtu")), by_tcp, "{:?}", bench.logs);
    }
}
