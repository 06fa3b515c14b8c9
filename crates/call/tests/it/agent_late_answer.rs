//! A caller that loses its agent while the edge's offer is open: its answer, in a late ACK, is applied, regardless of
//! the current target.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::net::SocketAddr;

use crate::bench::agents::{agent, agent_table, to_agent};
use crate::bench::{Bench, CARRIER, Dialed, Dialing, PBX, answer, route, sdp, to_trunk};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{EndId, MediaCommand};
use trunkgate_route::{Agent, TargetSpec};

/// Connects the caller with the desk, which is lost after our offer and before the caller's ACK.
fn asked_for_an_offer(connect: Vec<TargetSpec>) -> (Bench, Dialing, EndId) {
    let desk = Agent { goodbye: Some(vec![0x55; 8_000].into()), ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![desk, agent("night")], route(connect)));
    let (mut caller, own, desk) = bench.talking();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("m=audio"), "{}", ok.text);
    bench.media.clear();
    bench.lose(desk, StreamLoss::Reset);
    (bench, caller, own)
}

/// Sends an ACK with a new media address, and returns the destinations of the caller's media from then on.
fn moves(bench: &mut Bench, caller: &Dialing, own: EndId) -> Vec<SocketAddr> {
    bench.media.clear();
    bench.receive(CARRIER, caller.request("ACK", &sdp("198.51.100.8", 40_100, 2, "0 101", "sendrecv"), ""));
    let remote = |command| match command {
        MediaCommand::SetRemote { end, remote } if end == own => remote.rtp,
        _ => None,
    };
    bench.take_media().into_iter().filter_map(remote).collect()
}

fn moved() -> Vec<SocketAddr> {
    vec!["198.51.100.8:40100".parse().unwrap()]
}

#[test]
fn it_is_taken_when_another_agent_has_the_caller() {
    let (mut bench, caller, own) = asked_for_an_offer(vec![to_agent("desk"), to_agent("night")]);
    let (night, _) = bench.asked().pop().unwrap();
    bench.open(night);
    assert_eq!(bench.state(), "answered");
    assert_eq!(moves(&mut bench, &caller, own), moved());
    assert!(!bench.story().contains("unusable"), "{}", bench.story());
}

#[test]
fn it_is_taken_when_a_trunk_has_the_caller() {
    let (mut bench, mut caller, own) = asked_for_an_offer(vec![to_agent("desk"), to_trunk("pbx")]);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.state(), "answered");
    assert_eq!(moves(&mut bench, &caller, own), moved());
    assert!(!bench.story().contains("unusable"), "{}", bench.story());
    // The offer is closed: the next session change is relayed to the PBX.
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.8", 40_100, 3, "0 101", "sendonly"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(PBX, "INVITE");
}

#[test]
fn it_is_taken_while_the_caller_waits() {
    let (mut bench, caller, own) = asked_for_an_offer(vec![to_agent("desk"), to_agent("night")]);
    assert_eq!(bench.state(), "transferring");
    assert_eq!(moves(&mut bench, &caller, own), moved());
}

#[test]
fn it_is_taken_while_the_caller_hears_the_goodbye() {
    let (mut bench, caller, own) = asked_for_an_offer(vec![to_agent("desk")]);
    assert!(bench.story().contains("the caller hears the goodbye"), "{}", bench.story());
    assert_eq!(moves(&mut bench, &caller, own), moved());
}
