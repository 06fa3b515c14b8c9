//! Calls that outlive their first circumstances: a restart from a snapshot, another configuration, another address.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use crate::bench::*;
use trunkgate_call::GatewayInput;
use trunkgate_media::{MediaCommand, MediaEvent};

fn usual() -> std::sync::Arc<trunkgate_route::RoutingTable> {
    table(usual_trunks(), vec![route(vec![to_trunk("pbx")])])
}

#[test]
fn a_restart_in_mid_call() {
    let mut bench = Bench::with(usual());
    let (mut caller, callee) = bench.answered();
    let before = bench.gateway.calls(bench.now).remove(0);
    let ports: Vec<u16> = added(&bench.take_media());
    // Trunks in another order: parties get new numbers.
    let mut trunks = usual_trunks();
    trunks.reverse();
    bench.restart(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    let media = bench.take_media();
    assert!(matches!(media[0], MediaCommand::Open { .. }));
    assert_eq!(added(&media), ports);
    assert_eq!(media.iter().filter(|c| matches!(c, MediaCommand::SetRemote { .. })).count(), 2);
    assert_eq!(media.iter().filter(|c| matches!(c, MediaCommand::Wire { .. })).count(), 2);
    let after = bench.gateway.calls(bench.now).remove(0);
    assert_eq!(serde_json::to_value(&before).unwrap(), serde_json::to_value(&after).unwrap());
    assert_eq!(bench.gateway.status(bench.now).ports_in_use, 4);

    // A session change still succeeds, then the call ends.
    caller.cseq = 2;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, 2, "0 8 101", "sendonly"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let asked = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "recvonly")));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    assert_eq!(bye.header("CSeq").split(' ').nth(1), Some("BYE"));
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].call.sid, before.sid);
    bench.finish();
}

#[test]
fn a_snapshot_taken_back_is_the_same_snapshot() {
    let routes = || vec![route(vec![to_trunk("pbx"), to_trunk("backup")])];
    let mut bench = Bench::with(table(usual_trunks(), routes()));
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    let first = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, first.answer(503, ""));
    let callee = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.pass(std::time::Duration::from_secs(2));
    bench.receive(BACKUP, callee.answer(180, ""));
    bench.receive(BACKUP, callee.answer(200, &answer()));
    let ok = bench.sent.iter().find(|sent| sent.first_line().starts_with("SIP/2.0 200")).unwrap();
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let (id, end, heard) = bench
        .media
        .iter()
        .find_map(|(id, command)| match command {
            MediaCommand::AddEnd { end, spec } => Some((*id, *end, spec.counters.clone())),
            _ => None,
        })
        .unwrap();
    heard.rx_packets.set(7);
    heard.lost.set(2);
    heard.jitter_us.set(1_500);
    let source = "198.51.100.7:40000".parse().unwrap();
    bench.input(GatewayInput::Media { id, event: MediaEvent::Latched { end, source } });

    let snapshot = |bench: &Bench| serde_json::to_value(bench.gateway.snapshot(bench.now)).unwrap();
    let mut before = snapshot(&bench);
    let call = &before["calls"][0];
    let kept = &call["legs"]["kept"][0];
    assert_eq!((&call["story"]["failovers"], &call["times"]["first_ring_ms"]), (&1.into(), &2_000.into()));
    assert_eq!((&kept["latched"], &kept["figures"]["lost"]), (&source.to_string().into(), &2.into()));
    bench.restart(table(usual_trunks(), routes()));
    // Each process is counted, because its packets have SSRCs of their own.
    for leg in 0..2 {
        before["calls"][0]["legs"]["kept"][leg]["srtp_history"]["processes"] = 1.into();
    }
    assert_eq!(snapshot(&bench), before);
    let shown = bench.gateway.calls(bench.now).remove(0);
    assert_eq!((shown.legs[0].rtp.rx_packets, shown.legs[0].rtp.latched), (7, Some(source)));
}

fn added(media: &[MediaCommand]) -> Vec<u16> {
    let added = media.iter().filter_map(|c| match c {
        MediaCommand::AddEnd { spec, .. } => Some(spec.bind.port()),
        _ => None,
    });
    added.collect()
}

#[test]
fn calls_that_are_being_set_up_are_not_in_a_snapshot() {
    let mut bench = Bench::with(usual());
    bench.invite(CARRIER, "+14155550100", &offer());
    assert!(bench.gateway.snapshot(bench.now).calls.is_empty());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    assert!(bench.gateway.snapshot(bench.now).calls.is_empty(), "not acknowledged yet");
}

#[test]
fn a_reload_leaves_calls_with_what_they_began_with() {
    let mut bench = Bench::with(usual());
    let (caller, callee) = bench.answered();
    // The PBX's trunk is gone, and no other trunk has its address.
    bench.configure(|settings| settings.table = table(vec![trunk("carrier", &[CARRIER])], vec![]));
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
    bench.invite(PBX, "+14155550100", &offer());
    bench.nothing();
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 404");
}

#[test]
fn a_call_belongs_to_its_trunk_though_another_claims_the_same_address() {
    // Both lead to the same machine, like two trunks at one provider.
    let trunks = vec![trunk("carrier", &[CARRIER]), trunk("first", &[PBX]), trunk("second", &[PBX])];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("second")])]));
    let (caller, callee) = bench.answered();
    assert_eq!(bench.gateway.calls(bench.now)[0].legs[1].trunk, "second");
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn another_trunk_may_not_speak_in_a_call() {
    let mut bench = Bench::with(usual());
    let (mut caller, callee) = bench.answered();
    let stolen = Dialed { peer: BACKUP.into(), ..callee.clone() };
    bench.receive(BACKUP, stolen.request("BYE", 1, ""));
    bench.expect(BACKUP, "SIP/2.0 481");
    assert_eq!(bench.gateway.live_calls(), 1);
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_loopback_trunk_may_have_media_on_loopback() {
    const NEAR: &str = "127.0.0.1:5062";
    let trunks = vec![trunk("near", &[NEAR]), trunk("pbx", &[PBX])];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    bench.invite(NEAR, "+14155550100", &sdp("127.0.0.1", 40_000, 1, "0", "sendrecv"));
    bench.expect(NEAR, "SIP/2.0 100");
    let invite = bench.expect(PBX, "INVITE");
    assert!(!invite.text.contains("127.0.0.1"));
}

#[test]
fn what_is_known_of_a_peer_goes_with_it() {
    let mut bench = Bench::with(usual());
    bench.answered();
    let known = |bench: &Bench| bench.gateway.metrics().peer_up.len() + bench.gateway.metrics().trunk_up.len();
    assert_eq!(known(&bench), 2);
    bench.configure(|settings| settings.table = table(vec![trunk("carrier", &[CARRIER])], vec![]));
    assert_eq!(known(&bench), 0);
}

#[test]
fn hold_by_an_empty_address_is_hold() {
    let mut bench = Bench::with(usual());
    let (mut caller, callee) = bench.answered();
    bench.take_media();
    caller.cseq = 2;
    let hold = sdp("198.51.100.7", 40_000, 2, "0 101", "sendrecv").replace("c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0");
    bench.receive(CARRIER, caller.request("INVITE", &hold, ""));
    let asked = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendrecv")));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
    let media = bench.take_media();
    assert!(
        media
            .iter()
            .any(|c| matches!(c, MediaCommand::SetRemote { remote, .. } if remote.rtp.is_none() && !remote.watch_idle))
    );
}
