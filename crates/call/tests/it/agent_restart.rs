//! A restart during a call with agents: the sockets end with the process, and the caller stays. A talking agent is
//! connected again with a new stream, or the next target gets the call; listeners listen again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{Told, agent, agent_table, from_agent_wire, hang_up, to_agent, to_agent_wire};
use crate::bench::{
    BACKUP, Bench, CARRIER, Dialed, Dialing, PBX, answer, offer, route, sdp, table, to_trunk, usual_trunks,
};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{EndId, MediaCommand, PayloadCodec, TapSpec};
use trunkgate_route::{Agent, ParameterTemplate, Route, RoutingTable, TargetSpec};

fn usual() -> Arc<RoutingTable> {
    agent_table(vec![agent("desk"), agent("night"), agent("scribe")], route(vec![to_trunk("backup")]))
}

#[test]
fn the_agent_is_connected_anew_and_the_caller_never_left() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, own, desk) = bench.talking();
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    bench.restart(usual());
    bench.nothing();
    let (again, settings) = bench.asked().remove(0);
    assert_eq!((settings.call_sid.as_str(), settings.talks), (sid.as_str(), true));
    assert!(again > desk, "no name is used twice");
    let player = EndId(again.0 + 1);
    assert_eq!(bench.told(), [Told::Agent(again), Told::Ringback(player), Told::Wire(player, own, from_agent_wire())]);
    assert_eq!(bench.state(), "transferring");
    bench.open(again);
    assert_eq!(
        bench.told(),
        [Told::Wire(own, again, to_agent_wire()), Told::Wire(again, own, from_agent_wire()), Told::Remove(player)]
    );
    bench.nothing();
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    let record = &bench.reports[0];
    assert_eq!(
        (record.call.sid.as_str(), record.call.reason, record.failovers),
        (sid.as_str(), Some("caller_hung_up"), 0)
    );
    let legs: Vec<_> = record.call.legs.iter().map(|leg| (leg.kind, leg.agent.as_str())).collect();
    assert_eq!(legs, [("sip", ""), ("agent", "desk"), ("agent", "desk")]);
    bench.finish();
}

#[test]
fn an_agent_whose_stream_continues_misses_no_audio() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, own, _) = bench.talking();
    let former = bench.gateway.open_streams().remove(0);
    bench.hand_over(usual());
    let (again, settings) = bench.asked().remove(0);
    assert_eq!(settings.stream_sid, former.stream_sid);
    // The wires follow the agent, without a report of the worker about its socket.
    assert_eq!(
        bench.told(),
        [Told::Agent(again), Told::Wire(own, again, to_agent_wire()), Told::Wire(again, own, from_agent_wire())]
    );
    assert_eq!(bench.state(), "answered");
    bench.open(again);
    assert_eq!(bench.told(), []);
    bench.nothing();
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

/// Connects the caller with the first agent, and restarts the edge.
fn restarted(connect: Vec<TargetSpec>) -> (Bench, Dialing) {
    let mut bench = Bench::with_agents(connect);
    let (caller, ..) = bench.talking();
    bench.restart(usual());
    (bench, caller)
}

#[test]
fn an_agent_that_does_not_come_back_is_followed_by_the_next_target() {
    let to_number = TargetSpec::Trunk { name: "backup".into(), number: Some("+14155550199".into()), weight: None };
    let (mut bench, mut caller) = restarted(vec![to_agent("desk"), to_trunk("pbx"), to_number]);
    let (desk, _) = bench.asked().remove(0);
    bench.lose(desk, StreamLoss::Unreachable);
    let invite = bench.expect(PBX, "INVITE sip:+14155550100@");
    assert_eq!((invite.header("Max-Forwards"), invite.body().contains("RTP/AVP 0 8 107 101")), ("69", true));
    let first = Dialed::new(PBX, invite);
    bench.receive(PBX, first.answer(603, ""));
    bench.expect(PBX, "ACK");
    let second = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE sip:+14155550199@"));
    bench.receive(BACKUP, second.answer(200, &answer().replace("10.0.0.20", "10.0.0.30")));
    bench.expect(BACKUP, "ACK");
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(BACKUP, "BYE");
    bench.receive(BACKUP, second.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].failovers, 2);
    bench.finish();
}

#[test]
fn one_that_is_no_longer_configured_is_passed_over() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, ..) = bench.talking();
    bench.restart(table(usual_trunks(), vec![]));
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].call.legs[1].agent, "desk", "the record still names it");
    bench.finish();

    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (caller, ..) = bench.talking();
    bench.restart(table(usual_trunks(), vec![]));
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].call.reason, Some("unreachable"));
    bench.finish();
}

#[test]
fn a_caller_that_is_led_on_is_led_on_afterwards() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx"), to_trunk("backup")]);
    let (mut caller, own, desk) = bench.talking();
    bench.lose(desk, StreamLoss::Reset);
    let tried = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, tried.answer(180, ""));
    bench.pass(Duration::from_secs(1));
    bench.restart(usual());
    let cancel = bench.expect(PBX, "CANCEL");
    assert_eq!(cancel.header("Via"), tried.invite.header("Via"));
    // The leg and its ports are dropped; the target is called again, then the one after it.
    assert!(bench.told().contains(&Told::Remove(EndId(desk.0 + 1))));
    let first = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, tried.respond(&cancel, 200, ""));
    bench.receive(PBX, tried.answer(487, ""));
    bench.expect(PBX, "ACK");
    bench.receive(PBX, first.answer(480, ""));
    bench.expect(PBX, "ACK");
    let second = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, second.answer(200, &answer().replace("10.0.0.20", "10.0.0.30")));
    bench.expect(BACKUP, "ACK");
    assert_eq!((bench.state(), own), ("answered", EndId(0)));
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(BACKUP, "BYE");
    bench.receive(BACKUP, second.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn a_goodbye_that_was_cut_short_is_said_again() {
    let agents = || vec![Agent { goodbye: Some(vec![1; 8000].into()), ..agent("desk") }];
    let mut bench = Bench::with(agent_table(agents(), route(vec![to_agent("desk")])));
    let (caller, _, desk) = bench.talking();
    bench.lose(desk, StreamLoss::Reset);
    assert!(bench.told().iter().any(|told| matches!(told, Told::Once(..))));
    bench.restart(agent_table(agents(), route(vec![to_agent("desk")])));
    let told = bench.told();
    assert!(told.iter().any(|told| matches!(told, Told::Once(_, 8000))), "{told:?}");
    bench.nothing();
    bench.pass(Duration::from_secs(4));
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn parameters_are_told_again() {
    let tenant = ParameterTemplate::parse("{header:X-Tenant}").unwrap();
    let desk = || vec![Agent { parameters: vec![("tenant".into(), tenant.clone())], ..agent("desk") }];
    let mut bench = Bench::with(agent_table(desk(), route(vec![to_agent("desk")])));
    let caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), "X-Tenant: acme\r\n"));
    let (end, first) = bench.asked().remove(0);
    bench.open(end);
    let to_tag = bench.sent.iter().find(|sent| sent.code() == 200).unwrap().tag("To");
    bench.receive(CARRIER, Dialing { to_tag, ..caller }.request("ACK", "", ""));
    bench.restart(agent_table(desk(), route(vec![to_agent("desk")])));
    let (_, again) = bench.asked().remove(0);
    assert_eq!(again.parameters, [("tenant".to_owned(), "acme".to_owned())]);
    assert_ne!(again.stream_sid, first.stream_sid, "a stream of its own");
}

#[test]
fn listeners_listen_again() {
    let fork = || Route { fork: vec!["scribe".into(), "night".into()], ..route(vec![to_trunk("pbx")]) };
    let agents = || vec![agent("scribe"), agent("night")];
    let mut bench = Bench::with(agent_table(agents(), fork()));
    let (mut caller, callee) = bench.answered();
    let (scribe, first) = bench.asked().remove(0);
    bench.open(scribe);
    // The other listener is lost before the restart.
    let (night, _) = bench.asked().remove(1);
    bench.lose(night, StreamLoss::Reset);
    bench.restart(agent_table(agents(), fork()));
    let [(again, settings)] = bench.asked().try_into().unwrap();
    assert!(!settings.talks && settings.stream_sid != first.stream_sid);
    let told = bench.told();
    assert!(told.contains(&Told::Tap(EndId(0), again, TapSpec::both(0, PayloadCodec::Pcmu))), "{told:?}");
    assert_eq!(bench.state(), "answered");
    bench.open(again);
    bench.restart(agent_table(vec![agent("night")], fork()));
    assert!(bench.asked().is_empty());
    assert!(bench.story().contains("scribe no longer listens"), "{}", bench.story());
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_change_that_was_under_way_is_forgotten_and_the_call_goes_on() {
    let routes = || vec![route(vec![to_trunk("pbx")])];
    let mut bench = Bench::with(table(usual_trunks(), routes()));
    let (mut caller, callee) = bench.answered();
    caller.cseq = 2;
    // A second stream: its ends are drawn, and not negotiated yet.
    let video =
        |version| format!("{}m=video 40002 RTP/AVP 31\r\n", sdp("198.51.100.7", 40_000, version, "0 101", "sendrecv"));
    let change = caller.request("INVITE", &video(2), "");
    bench.receive(CARRIER, &change);
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(PBX, "INVITE");
    bench.restart(table(usual_trunks(), routes()));
    let media = bench.take_media();
    let count = |wanted: fn(&MediaCommand) -> bool| media.iter().filter(|command| wanted(command)).count();
    assert_eq!(count(|command| matches!(command, MediaCommand::AddEnd { .. })), 2);
    assert_eq!(count(|command| matches!(command, MediaCommand::RemoveEnd { .. })), 2);
    assert_eq!(count(|command| matches!(command, MediaCommand::Wire { .. })), 2);
    assert_eq!((bench.state(), bench.gateway.status(bench.now).ports_in_use), ("answered", 4));
    // The caller repeats it: refused for its CSeq. A new one succeeds.
    bench.receive(CARRIER, &change);
    bench.expect(CARRIER, "SIP/2.0 500");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    caller.cseq = 3;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, 3, "0 101", "sendonly"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let hold = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&hold, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly")));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    // A call with a session change that lacks only its ACK is restored as well.
    bench.restart(table(usual_trunks(), routes()));
    assert_eq!(bench.state(), "held");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn ports_of_calls_that_are_forgotten_rest() {
    let routes = || vec![route(vec![to_trunk("pbx")])];
    let mut bench = Bench::configured(table(usual_trunks(), routes()), |config| config.media_ports = (20_000, 20_009));
    bench.invite(CARRIER, "+14155550100", &offer());
    let ports = |bench: &mut Bench| -> Vec<u16> {
        let added = bench.take_media().into_iter().filter_map(|command| match command {
            MediaCommand::AddEnd { spec, .. } => Some(spec.bind.port()),
            _ => None,
        });
        added.collect()
    };
    let forgotten = ports(&mut bench);
    bench.restart(table(usual_trunks(), routes()));
    assert_eq!(bench.gateway.live_calls(), 0);
    bench.invite(CARRIER, "+14155550100", &offer());
    let next = ports(&mut bench);
    assert!(forgotten.len() == 2 && next.iter().all(|port| !forgotten.contains(port)), "{forgotten:?} {next:?}");
}
