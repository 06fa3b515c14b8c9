//! A caller with SRTP, with an agent, a listener, a player, or a transfer: the commands are the same as without SRTP,
//! and the caller's keys stay unchanged.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;

use crate::bench::agents::{Told, agent, from_agent_wire, hang_up, to_agent, to_agent_wire};
use crate::bench::*;
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{AgentRequest, EndId, MediaCommand, SrtpSpec};
use trunkgate_route::{NumberingPlan, Route, RoutingTable, Srtp, TableDefinition, Trunk};

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

/// Returns a bench with a carrier that requires SRTP, and a PBX without it.
fn bench(route: Route) -> Bench {
    let carrier = Trunk { srtp: Srtp::Required, ..trunk("carrier", &[CARRIER]) };
    let trunks = vec![carrier, trunk("pbx", &[PBX])];
    let agents = vec![agent("desk"), agent("scribe")];
    Bench::with(Arc::new(RoutingTable::new(TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks,
        agents,
        routes: vec![route],
    })))
}

fn secure(body: &str) -> String {
    format!("{}a=crypto:1 {SUITE} inline:{KEY}\r\n", body.replace("RTP/AVP", "RTP/SAVP"))
}

/// Returns the last keys of the caller that the worker got.
fn keys(commands: &[MediaCommand]) -> Option<SrtpSpec> {
    let told = commands.iter().rev().find_map(|command| match command {
        MediaCommand::SetRemote { end: EndId(0), remote } => Some(remote.srtp.clone()),
        _ => None,
    });
    told.unwrap_or_else(|| panic!("nothing of the caller's end")).map(|srtp| *srtp)
}

/// Makes a call that the agent `desk` has answered; returns the caller's keys.
fn talking(bench: &mut Bench) -> (Dialing, EndId, SrtpSpec, String) {
    let mut caller = bench.invite(CARRIER, "+14155550100", &secure(&offer()));
    let (desk, _) = bench.asked().into_iter().rfind(|(_, settings)| settings.talks).unwrap();
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.open(desk);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains(" RTP/SAVP 0 101\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"), "{}", ok.body());
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let told = keys(&bench.media.iter().map(|(_, command)| command.clone()).collect::<Vec<_>>()).unwrap();
    (caller, desk, told, ok.body().to_owned())
}

#[test]
fn an_agent_hears_and_is_heard_as_ever() {
    let mut bench = bench(route(vec![to_agent("desk")]));
    let (mut caller, desk, before, answer) = talking(&mut bench);
    let wires = [Told::Wire(EndId(0), desk, to_agent_wire()), Told::Wire(desk, EndId(0), from_agent_wire())];
    assert!(bench.told().ends_with(&wires));
    assert_eq!(bench.gateway.calls(bench.now)[0].legs[0].srtp, Some(SUITE));
    // Hold and resume keep the keys; a new key is answered by a new key.
    for (version, direction, key, stays) in
        [(2, "sendonly", KEY, true), (3, "sendrecv", KEY, true), (4, "sendrecv", &KEY.replace("WVNf", "AAAA"), false)]
    {
        caller.cseq += 1;
        let offer = secure(&sdp("198.51.100.7", 40_000, version, "0 8 101", direction)).replace(KEY, key);
        bench.receive(CARRIER, caller.request("INVITE", &offer, ""));
        bench.expect(CARRIER, "SIP/2.0 100");
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        let line = |body: &str| body.lines().find(|line| line.starts_with("a=crypto")).unwrap().to_owned();
        assert_eq!(line(ok.body()) == line(&answer), stays);
        let after = keys(&bench.take_media()).unwrap();
        assert_eq!((after.send == before.send, after.receive == before.receive), (stays, stays));
    }
    // Plain RTP is refused, and changes nothing.
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, 5, "0", "sendrecv"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 488");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    assert!(bench.media.is_empty());
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn a_caller_that_makes_no_offer_has_keys_with_its_ack() {
    let mut bench = bench(route(vec![to_agent("desk")]));
    let mut caller = bench.invite(CARRIER, "+14155550100", "");
    let (desk, _) = bench.asked().remove(0);
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.open(desk);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!((ok.body().contains("RTP/SAVP"), ok.body().matches("a=crypto:").count()), (true, 4));
    caller.to_tag = ok.tag("To");
    bench.take_media();
    let answer = secure(&sdp("198.51.100.7", 40_000, 1, "0 101", "sendrecv")).replace("crypto:1", "crypto:2");
    bench.receive(CARRIER, caller.request("ACK", &answer, ""));
    assert!(keys(&bench.take_media()).is_some());
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn a_lost_agent_is_followed_by_a_trunk_without_srtp() {
    let mut bench = bench(route(vec![to_agent("desk"), to_trunk("pbx")]));
    let (mut caller, desk, before, _) = talking(&mut bench);
    bench.take_media();
    bench.lose(desk, StreamLoss::Reset);
    let invite = bench.expect(PBX, "INVITE");
    assert!(invite.body().contains("RTP/AVP 0 8 107 101\r\n") && !invite.text.contains("crypto"), "{}", invite.text);
    assert!(bench.told().iter().any(|told| matches!(told, Told::Ringback(_))), "the caller hears a tone meanwhile");
    let callee = Dialed::new(PBX, invite);
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.nothing();
    let commands = bench.take_media();
    let told = commands.iter().find_map(|command| match command {
        MediaCommand::SetRemote { end: EndId(0), remote } => Some(remote.srtp.clone()),
        _ => None,
    });
    assert!(told.is_none_or(|srtp| srtp.as_deref() == Some(&before)), "the caller's keys are as they were");
    assert_eq!(commands.iter().filter(|command| matches!(command, MediaCommand::Wire { .. })).count(), 2);
    let srtp: Vec<_> = bench.gateway.calls(bench.now)[0].legs.iter().map(|leg| leg.srtp).collect();
    assert_eq!(srtp, [Some(SUITE), None, None]);
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn an_agent_transfers_a_secure_caller() {
    let mut bench = bench(route(vec![to_agent("desk")]));
    let (mut caller, desk, _, _) = talking(&mut bench);
    bench.wish(desk, AgentRequest::Transfer("trunk:pbx/+14155550199".into()));
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:+14155550199@"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.state(), "answered");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

/// The agent stays until the target answers: the caller's keys do not change.
#[test]
fn an_agent_consults_about_a_secure_caller() {
    let mut bench = bench(route(vec![to_agent("desk")]));
    let (mut caller, desk, before, _) = talking(&mut bench);
    bench.take_media();
    bench.wish(desk, AgentRequest::Consult("trunk:pbx/+14155550199".into()));
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:+14155550199@"));
    bench.receive(PBX, callee.answer(183, &answer()));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.nothing();
    let keyed = |command: &&MediaCommand| matches!(command, MediaCommand::SetRemote { end: EndId(0), remote } if remote.srtp.as_deref() != Some(&before));
    assert_eq!(bench.take_media().iter().filter(keyed).count(), 0);
    let srtp: Vec<_> = bench.gateway.calls(bench.now)[0].legs.iter().map(|leg| leg.srtp).collect();
    assert_eq!(srtp, [Some(SUITE), None, None]);
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_listener_hears_a_secure_caller() {
    let listened = Route { fork: vec!["scribe".into()], ..route(vec![to_trunk("pbx")]) };
    let mut bench = bench(listened);
    let mut caller = bench.invite(CARRIER, "+14155550100", &secure(&offer()));
    let (scribe, _) = bench.asked().remove(0);
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.open(scribe);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let taps: Vec<_> = bench.told().into_iter().filter(|told| matches!(told, Told::Tap(EndId(0), ..))).collect();
    assert_eq!(taps.len(), 1, "the audio, after it is decrypted and before it is encrypted");
    bench.bye(&mut caller, &callee);
    bench.finish();
}
