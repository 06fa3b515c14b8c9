//! Media ports taken by another program, once a call is answered: the side that was offered them gets others.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_call::GatewayInput;
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

/// Returns the final media connections as pairs of source and destination.
fn wires(bench: &Bench) -> Vec<(EndId, EndId)> {
    let mut all: Vec<(EndId, EndId)> = Vec::new();
    for (_, command) in &bench.media {
        if let MediaCommand::Wire { from, to, .. } = command {
            all.retain(|(source, sink)| source != from && sink != to);
            all.push((*from, *to));
        }
    }
    all.sort();
    all
}

fn hang_up(mut bench: Bench, mut caller: Dialing, callee: &Dialed) {
    caller.cseq += 1;
    bench.sent.clear();
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn a_callee_is_told_other_ports_and_the_caller_hears_nothing_of_it() {
    let mut bench = Bench::new();
    let (caller, callee) = bench.answered();
    let (id, all) = ends(&bench);
    bind_failed(&mut bench, id, all[1]);
    let again = bench.expect(PBX, "INVITE");
    assert_ne!(again.port(), callee.invite.port());
    bench.receive(PBX, callee.respond(&again, 200, &answer()));
    bench.expect(PBX, "ACK");
    bench.nothing();
    let (_, now) = ends(&bench);
    assert_eq!(wires(&bench), [(all[0], now[2]), (now[2], all[0])]);
    let told = bench.media.iter().any(|(_, c)| matches!(c, MediaCommand::SetRemote { end, .. } if *end == now[2]));
    assert!(told, "where its far side is");
    hang_up(bench, caller, &callee);
}

#[test]
fn a_caller_is_asked_once_it_has_acknowledged() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    let (id, all) = ends(&bench);
    bind_failed(&mut bench, id, all[0]);
    bench.nothing();
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let again = bench.expect(CARRIER, "INVITE");
    assert_ne!(again.port(), ok.port());
    bench.receive(CARRIER, caller.respond(&again, 200, &offer()));
    bench.expect(CARRIER, "ACK");
    bench.nothing();
    let (_, now) = ends(&bench);
    assert_eq!(wires(&bench), [(all[1], now[2]), (now[2], all[1])]);
    hang_up(bench, caller, &callee);
}

/// Glare is retried; any other refusal, and repeated glare, ends the call.
#[test]
fn a_side_that_cannot_be_told_ends_the_call() {
    for (codes, ends_call) in [(&[200][..], false), (&[491, 200], false), (&[491; 4], true), (&[488], true)] {
        let mut bench = Bench::new();
        let (caller, callee) = bench.answered();
        let (id, all) = ends(&bench);
        bind_failed(&mut bench, id, all[1]);
        for code in codes {
            let again = bench.expect(PBX, "INVITE");
            let body = if *code == 200 { answer() } else { String::new() };
            bench.receive(PBX, callee.respond(&again, *code, &body));
            bench.expect(PBX, "ACK");
            while bench.sent.is_empty() && *code == 491 {
                bench.pass(Duration::from_millis(10));
            }
        }
        if ends_call {
            let bye = bench.expect(CARRIER, "BYE");
            bench.receive(CARRIER, caller.respond(&bye, 200, ""));
            let bye = bench.expect(PBX, "BYE");
            bench.receive(PBX, callee.respond(&bye, 200, ""));
            assert_eq!(bench.reports[0].call.reason, Some("no_ports"), "{codes:?}");
            bench.finish();
        } else {
            hang_up(bench, caller, &callee);
        }
    }
}

#[test]
fn three_pairs_of_somebody_else_end_the_call() {
    let mut bench = Bench::new();
    let (caller, callee) = bench.answered();
    for _ in 0..3 {
        let (id, all) = ends(&bench);
        bind_failed(&mut bench, id, *all.last().unwrap());
    }
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].call.reason, Some("no_ports"));
    bench.sent.retain(|sent| !sent.text.starts_with("INVITE"));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
}

#[test]
fn a_new_stream_without_ports_is_refused_and_the_call_goes_on() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    caller.cseq += 1;
    let both = format!("{}m=image 40010 udptl t38\r\n", offer().replace("77 1", "77 2"));
    bench.receive(CARRIER, caller.request("INVITE", &both, ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let asked = bench.expect(PBX, "INVITE");
    let (id, all) = ends(&bench);
    bind_failed(&mut bench, id, *all.last().unwrap());
    let answered = format!("{}m=image 30010 udptl t38\r\n", answer());
    bench.receive(PBX, callee.respond(&asked, 200, &answered));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 500");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    // The other side is restored.
    let again = bench.expect(PBX, "INVITE");
    assert!(!again.body().contains("m=image 1"), "{}", again.body());
    bench.receive(PBX, callee.respond(&again, 200, &answer()));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    hang_up(bench, caller, &callee);
}
