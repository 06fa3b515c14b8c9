//! Changes of calls reported to observers of the edge, and the verdicts beside them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::to_agent;
use crate::bench::*;
use trunkgate_call::limits::QUALITY_INTERVAL_SECONDS;
use trunkgate_call::{EdgeEvent, EdgeEventKind, GatewayInput};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{AgentEvent, EndCounters, MediaCommand, MediaEvent, SendFailure};
use trunkgate_route::Trunk;

fn told(bench: &Bench, what: EdgeEventKind) -> Vec<&EdgeEvent> {
    bench.changes.iter().filter(|change| change.what == what).collect()
}

fn verdict(bench: &Bench) -> String {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    bench.gateway.trace(&sid).unwrap().verdict
}

fn refuse(bench: &mut Bench, callee: &Dialed, code: u16) {
    bench.receive(&callee.peer, callee.answer(code, ""));
    bench.expect(&callee.peer, "ACK");
}

fn dial(bench: &mut Bench) -> Dialing {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    caller
}

/// Answers the call that has arrived at a peer.
fn take(bench: &mut Bench, caller: &mut Dialing, peer: &str) -> Dialed {
    let callee = Dialed::new(peer, bench.expect(peer, "INVITE"));
    bench.receive(peer, callee.answer(200, &answer()));
    bench.expect(peer, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    callee
}

fn with(pbx: Trunk) -> Bench {
    let trunks = vec![trunk("carrier", &[CARRIER]), pbx, trunk("backup", &[BACKUP])];
    Bench::with(table(trunks, vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]))
}

#[test]
fn a_call_goes_on_only_where_there_is_a_next_target() {
    let mut bench = with(trunk("pbx", &[PBX]));
    dial(&mut bench);
    let first = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    refuse(&mut bench, &first, 500);
    let on = told(&bench, EdgeEventKind::CallFailedOver);
    assert_eq!(
        on.iter().map(|one| (one.trunk.as_deref(), one.reason)).collect::<Vec<_>>(),
        [(Some("pbx"), Some("target_rejected"))]
    );
    let second = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    refuse(&mut bench, &second, 500);
    bench.expect(CARRIER, "SIP/2.0 500");
    assert_eq!(told(&bench, EdgeEventKind::CallFailedOver).len(), 1, "no target is left");
    let call = bench.gateway.calls(bench.now).remove(0);
    assert!(call.flags.contains(&"failed_over"), "{:?}", call.flags);
}

/// The diagnosis of a fault specific to this call is reported with its end.
#[test]
fn the_fix_of_a_fault_is_told_with_it() {
    let mut bench = with(trunk("pbx", &[PBX]));
    dial(&mut bench);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    refuse(&mut bench, &callee, 488);
    bench.expect(CARRIER, "SIP/2.0 488");
    assert!(told(&bench, EdgeEventKind::CallFailedOver).is_empty(), "488 leads nowhere");
    let ended = EdgeEvent::ended(&bench.reports[0]);
    let (text, fix) = (ended.text.unwrap(), ended.fix.unwrap());
    assert!(text.contains("pbx accepts no offered codec") && fix.contains("pbx"), "{text}; {fix}");
    assert!(verdict(&bench).contains(&format!("Try: {fix}.")), "{}", verdict(&bench));
}

#[test]
fn a_target_that_was_passed_over_at_its_limit_is_named() {
    let mut bench = with(Trunk { max_calls: 1, pace: Duration::ZERO, ..trunk("pbx", &[PBX]) });
    let mut caller = dial(&mut bench);
    take(&mut bench, &mut caller, PBX);
    let mut caller = dial(&mut bench);
    let backup = take(&mut bench, &mut caller, BACKUP);
    let verdict = verdict(&bench);
    assert!(verdict.starts_with("Answered by backup. 1 target failed: pbx ("), "{verdict}");
    bench.bye(&mut caller, &backup);
}

#[test]
fn packets_that_do_not_leave_this_machine_are_told_of_once() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let ends: Vec<Arc<EndCounters>> = bench
        .media
        .iter()
        .filter_map(|(_, command)| match command {
            MediaCommand::AddEnd { spec, .. } => Some(spec.counters.clone()),
            _ => None,
        })
        .collect();
    // Both are heard; packets to the callee do not leave this machine.
    for _ in 0..4 {
        ends.iter().for_each(|end| end.rx_packets.add(250));
        ends.iter().for_each(|end| end.tx_packets.add(250));
        (0..250).for_each(|_| ends[1].symptoms.note_unsent(SendFailure::Forbidden));
        bench.pass(Duration::from_secs(QUALITY_INTERVAL_SECONDS));
    }
    let unsent = told(&bench, EdgeEventKind::MediaUnsent);
    let [one] = unsent.as_slice() else { panic!("{unsent:?}") };
    assert_eq!(one.trunk.as_deref(), Some("pbx"));
    assert!(one.text.as_ref().unwrap().contains("cannot send packets"), "{one:?}");
    assert!(one.fix.as_ref().unwrap().contains("iptables"), "{one:?}");
    assert!(told(&bench, EdgeEventKind::MediaOneWay).is_empty());
    let call = bench.gateway.calls(bench.now).remove(0);
    assert!(call.flags.contains(&"unsent"), "the link from there finds it: {:?}", call.flags);
    let rtp = |leg: usize| (call.legs[leg].rtp.tx_packets, call.legs[leg].rtp.tx_refused);
    assert_eq!((rtp(0), rtp(1)), ((1000, 0), (0, 1000)));
    bench.bye(&mut caller, &callee);
    assert_eq!(told(&bench, EdgeEventKind::MediaUnsent).len(), 1);
    let legs = &bench.reports[0].call.legs;
    assert_eq!((legs[1].rtp.tx_packets, legs[1].rtp.tx_refused), (0, 1000), "in its record too");
    bench.finish();
}

#[test]
fn an_answered_call_that_its_agent_loses_names_the_agent() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let asked = bench.media.iter().find_map(|(id, command)| match command {
        MediaCommand::AddAgent { end, .. } => Some((*id, *end)),
        _ => None,
    });
    let (id, end) = asked.unwrap();
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.input(GatewayInput::Media { id, event: MediaEvent::Agent { end, event: AgentEvent::Open } });
    let caller = Dialing { to_tag: bench.expect(CARRIER, "SIP/2.0 200").tag("To"), ..caller };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.input(GatewayInput::Media {
        id,
        event: MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Reset) },
    });
    bench.expect(CARRIER, "BYE");
    bench.sent.clear();
    let ended = EdgeEvent::ended(&bench.reports[0]);
    assert_eq!((ended.target.as_deref(), ended.reason), (Some("desk"), Some("agent_reset")));
}
