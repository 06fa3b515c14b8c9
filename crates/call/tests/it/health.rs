//! Peers checked by OPTIONS: the addresses that are tried, skipped, and tried again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::bench::*;
use trunkgate_call::GatewayInput;
use trunkgate_route::locate::NameFault;
use trunkgate_route::{Destination, Peer, RoutingTable, Transport, Trunk};

const INTERVAL: Duration = Duration::from_secs(30);

fn asked(name: &str, addresses: &[&str]) -> Trunk {
    Trunk { options_interval: INTERVAL, ..trunk(name, addresses) }
}

/// Returns a table with a PBX of two checked addresses; no other peer is checked.
fn trunks() -> Arc<RoutingTable> {
    let trunks = vec![trunk("carrier", &[CARRIER]), asked("pbx", &[PBX, PBX2]), trunk("backup", &[BACKUP])];
    table(trunks, vec![route(vec![to_trunk("pbx"), to_trunk("backup")])])
}

fn dial(bench: &mut Bench) -> Dialing {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    caller
}

/// Returns a peer's response to an OPTIONS.
fn reply(options: &Sent, code: u16, more: &str) -> String {
    let headers = ["Via", "From", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", options.header(name)));
    format!(
        "SIP/2.0 {code} X\r\n{}To: {};tag=t\r\n{more}Content-Length: 0\r\n\r\n",
        headers.concat(),
        options.header("To")
    )
}

/// Lets time pass with these responses to OPTIONS, by address; other addresses are silent. Returns the addresses
/// checked, with the time in seconds.
fn live(bench: &mut Bench, time: Duration, answers: &[(&str, u16, &str)]) -> Vec<(String, u128)> {
    let (mut seen, mut ids, start) = (Vec::new(), BTreeSet::new(), bench.now);
    while bench.now < start + time {
        bench.pass(Duration::from_millis(100));
        while let Some(at) = bench.sent.iter().position(|sent| sent.first_line().starts_with("OPTIONS")) {
            let options = bench.sent.remove(at).unwrap();
            if !ids.insert(options.header("Call-ID").to_owned()) {
                continue;
            }
            seen.push((options.to.to_string(), (bench.now - start).as_secs().into()));
            if let Some((peer, code, more)) = answers.iter().find(|(peer, _, _)| options.to == peer.parse().unwrap()) {
                bench.receive(peer, reply(&options, *code, more));
            }
        }
    }
    seen
}

fn state(bench: &Bench, address: &str) -> (&'static str, u32) {
    let status = bench.gateway.status(bench.now);
    let all = status.trunks.iter().flat_map(|trunk| &trunk.peers).flat_map(|peer| &peer.addresses);
    let found = all.into_iter().find(|known| known.address == address.parse().unwrap()).unwrap();
    (found.state, found.failures)
}

#[test]
fn address_is_skipped_after_three_failures() {
    let mut bench = Bench::with(trunks());
    let seen = live(&mut bench, Duration::from_secs(5), &[(PBX2, 200, "")]);
    assert!(seen.iter().any(|(to, _)| to == PBX) && seen.iter().any(|(to, _)| to == PBX2), "both soon: {seen:?}");
    live(&mut bench, Duration::from_secs(150), &[(PBX2, 200, "")]);
    assert_eq!((state(&bench, PBX), state(&bench, PBX2).0), (("down", state(&bench, PBX).1), "up"));
    assert!(state(&bench, PBX).1 >= 3);
    assert!(bench.logs.iter().any(|line| line.contains("trunk pbx: sip:10.0.0.20:5060 (udp 10.0.0.20:5060) is down")));
    let metrics = bench.gateway.metrics();
    let up = |peer: &str| metrics.peer_up.get(&("pbx".into(), peer.to_owned())).copied();
    assert_eq!((up("sip:10.0.0.20:5060"), up("sip:10.0.0.21:5060")), (Some(false), Some(true)));
    assert_eq!(metrics.trunk_up.get("pbx"), Some(&true));
    assert!(metrics.trunk_keepalive_rtt_seconds.counts.iter().sum::<u64>() >= 4);
    // Ten calls: none of them waits for the dead address.
    for _ in 0..10 {
        bench.sent.clear();
        let caller = dial(&mut bench);
        let callee = Dialed::new(PBX2, bench.expect(PBX2, "INVITE"));
        bench.receive(CARRIER, caller.request("CANCEL", "", ""));
        bench.receive(PBX2, callee.answer(180, ""));
        let cancel = bench.expect(PBX2, "CANCEL");
        bench.receive(PBX2, callee.respond(&cancel, 200, ""));
        bench.receive(PBX2, callee.answer(487, ""));
    }
    assert!(bench.sent.iter().all(|sent| sent.to != PBX.parse().unwrap()));
    live(&mut bench, Duration::from_secs(140), &[(PBX, 405, ""), (PBX2, 200, "")]);
    assert_eq!(state(&bench, PBX), ("up", 0), "asked on, and any answer will do");
    assert!(bench.logs.iter().any(|line| line.contains("answers again")));
}

#[test]
fn a_dead_address_is_asked_less_and_less_often_and_never_stops_being_asked() {
    let mut bench = Bench::with(trunks());
    let seen = live(&mut bench, Duration::from_secs(1_800), &[]);
    let times: Vec<u128> = seen.iter().filter(|(to, _)| to == PBX).map(|(_, at)| *at).collect();
    // Each OPTIONS has 4 s, followed by the pause.
    let pauses: Vec<u128> = times.windows(2).map(|two| two[1] - two[0] - 4).collect();
    let (doubtful, dead) = pauses.split_at(2);
    assert!(doubtful.iter().all(|pause| (13..=17).contains(pause)), "soon again until it counts as down: {pauses:?}");
    assert!(dead.iter().all(|pause| (26..=134).contains(pause)), "{pauses:?}");
    assert!(pauses.iter().filter(|pause| **pause > 100).count() >= 8, "{pauses:?}");
    assert!(pauses.windows(2).any(|two| two[0] != two[1]), "no two in step: {pauses:?}");
}

#[test]
fn a_dead_address_whose_host_sends_a_call_is_asked_at_once_and_not_for_each_call() {
    let mut bench = Bench::with(trunks());
    live(&mut bench, Duration::from_secs(1_000), &[(PBX2, 200, "")]);
    assert_eq!(state(&bench, PBX).0, "down");
    // Just checked without a response: the next check would come in about 2 min.
    while live(&mut bench, Duration::from_secs(1), &[(PBX2, 200, "")]).iter().all(|(to, _)| to != PBX) {}
    live(&mut bench, Duration::from_secs(10), &[(PBX2, 200, "")]);
    for n in 0..10 {
        bench.invite(PBX, &format!("+1415555010{n}"), &offer());
    }
    let asked = live(&mut bench, Duration::from_secs(1), &[(PBX, 200, ""), (PBX2, 200, "")]);
    assert_eq!(asked.iter().filter(|(to, _)| to == PBX).count(), 1, "{asked:?}");
    assert_eq!(state(&bench, PBX), ("up", 0));
}

#[test]
fn where_all_are_down_they_are_tried_all_the_same() {
    let mut bench = Bench::with(trunks());
    live(&mut bench, Duration::from_secs(200), &[]);
    assert_eq!((state(&bench, PBX).0, state(&bench, PBX2).0), ("down", "down"));
    bench.sent.clear();
    dial(&mut bench);
    assert!(bench.sent.iter().any(|sent| sent.first_line().starts_with("INVITE")), "tried though down");
    assert!(bench.sent.iter().all(|sent| sent.to != BACKUP.parse().unwrap()));
}

#[test]
fn any_final_answer_but_408_and_503_is_a_sign_of_life() {
    for (code, up) in
        [(200, "up"), (401, "up"), (404, "up"), (405, "up"), (481, "up"), (500, "up"), (503, "down"), (408, "down")]
    {
        let mut bench = Bench::with(trunks());
        live(&mut bench, Duration::from_secs(150), &[(PBX, code, ""), (PBX2, 200, "")]);
        assert_eq!(state(&bench, PBX).0, up, "{code}");
    }
}

#[test]
fn calls_without_an_answer_count_and_one_answer_makes_it_up() {
    let mut bench = Bench::with(trunks());
    live(&mut bench, Duration::from_secs(6), &[(PBX, 200, ""), (PBX2, 200, "")]);
    for failed in 1..=3 {
        while state(&bench, PBX).1 < failed {
            dial(&mut bench);
            let first = if bench.sent.iter().any(|s| s.to == PBX.parse().unwrap()) { PBX } else { PBX2 };
            bench.input(GatewayInput::TransportFailed { flow: udp(first), why: None });
            let other = if first == PBX { PBX2 } else { PBX };
            let callee = Dialed::new(other, bench.expect(other, "INVITE"));
            bench.receive(other, callee.answer(404, ""));
            bench.sent.clear();
        }
    }
    assert_eq!(state(&bench, PBX), ("down", 3));
    assert!(
        bench.logs.iter().any(|line| line.contains("is down: INVITE was refused: no listener")),
        "{:?}",
        bench.logs
    );
}

#[test]
fn an_address_that_asks_for_a_rest_gets_it_and_no_longer_than_that() {
    for (asked_for, rest) in [("30", 30), ("999999 (never)", 300)] {
        let trunks = vec![trunk("carrier", &[CARRIER]), trunk("pbx", &[PBX, PBX2])];
        let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
        let first_asked = |bench: &mut Bench, code: u16, more: &str| {
            bench.sent.clear();
            dial(bench);
            let mut order = Vec::new();
            while let Some(sent) = bench.sent.pop_front() {
                if sent.first_line().starts_with("INVITE") {
                    let peer = sent.to.to_string();
                    let callee = Dialed::new(&peer, sent);
                    let text = callee.answer(if peer == PBX { code } else { 404 }, "");
                    bench.receive(&peer, text.replace("Content-Length", &format!("{more}Content-Length")));
                    order.push(peer);
                }
            }
            order
        };
        // Until the address that backs off has been checked.
        let retry = format!("Retry-After: {asked_for}\r\n");
        while !first_asked(&mut bench, 503, &retry).contains(&PBX.to_owned()) {}
        let status = bench.gateway.status(bench.now);
        let rests = status.trunks[1].peers[0].addresses[0].rests_seconds;
        assert_eq!(rests, Some(rest), "{asked_for}");
        for _ in 0..8 {
            assert_eq!(first_asked(&mut bench, 404, ""), [PBX2]);
        }
        bench.pass(Duration::from_secs(rest));
        assert_eq!(first_asked(&mut bench, 404, ""), [PBX], "asked again");
    }
}

/// The only address of a trunk is tried despite its back-off; a call that it answers ends the back-off.
#[test]
fn a_back_off_of_the_only_address_ends_with_a_call_that_it_answers() {
    let table = table(vec![trunk("carrier", &[CARRIER]), trunk("pbx", &[PBX])], vec![route(vec![to_trunk("pbx")])]);
    let mut bench = Bench::with(table);
    let rests = |bench: &Bench| bench.gateway.status(bench.now).trunks[1].peers[0].addresses[0].rests_seconds;
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let text = callee.answer(503, "").replace("Content-Length", "Retry-After: 120\r\nContent-Length");
    bench.receive(PBX, text);
    drop(caller);
    assert_eq!(rests(&bench), Some(120));
    bench.sent.clear();
    let (mut caller, callee) = bench.answered();
    assert_eq!(rests(&bench), None);
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_reload_keeps_what_is_known_and_forgets_what_is_gone() {
    let mut bench = Bench::with(trunks());
    live(&mut bench, Duration::from_secs(150), &[(PBX2, 200, "")]);
    bench.configure(|settings| settings.table = trunks());
    assert_eq!((state(&bench, PBX).0, state(&bench, PBX2).0), ("down", "up"));
    // The trunk loses an address during its OPTIONS, then no address is checked any more.
    while !bench.sent.iter().any(|sent| sent.to == PBX.parse().unwrap()) {
        bench.pass(Duration::from_millis(100));
    }
    let only = |trunk: Trunk| table(vec![trunk], vec![route(vec![to_trunk("pbx")])]);
    bench.configure(|settings| settings.table = only(asked("pbx", &[PBX2])));
    let status = bench.gateway.status(bench.now);
    assert_eq!(status.trunks[0].peers.len(), 1);
    assert_eq!(bench.gateway.metrics().peer_up.len(), 1);
    bench.configure(|settings| settings.table = only(trunk("pbx", &[PBX2])));
    bench.sent.clear();
    assert_eq!(live(&mut bench, Duration::from_secs(200), &[]), []);
    assert_eq!(bench.gateway.sip_counts().clients, 0, "nothing waits");
}

#[test]
fn a_peer_whose_name_is_not_found_is_down_until_it_is() {
    let destination =
        Destination { host: "no.such.example".into(), port: None, transport: Transport::Udp, is_fixed: false };
    let lost =
        Peer { uri: "sip:no.such.example".into(), destination: destination.clone(), servers: vec![], ..peer_at(PBX2) };
    let trunks = |peers: Vec<Peer>| {
        let pbx = Trunk { peers, ..asked("pbx", &[]) };
        table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![to_trunk("pbx")])])
    };
    let mut bench = Bench::with(trunks(vec![lost.clone()]));
    let seen = |bench: &Bench| {
        let status = bench.gateway.status(bench.now);
        let pbx = status.trunks.into_iter().find(|trunk| trunk.name == "pbx").unwrap();
        let metrics = bench.gateway.metrics();
        let peer = metrics.peer_up.get(&("pbx".into(), "sip:no.such.example".to_owned())).copied();
        (pbx.state, pbx.last_problem.unwrap_or_default(), metrics.trunk_up.get("pbx").copied(), peer)
    };
    assert_eq!(seen(&bench), ("unknown", String::new(), None, None), "no result is known yet");
    bench.input(GatewayInput::Unresolved(HashMap::from([(destination, NameFault::NotFound)])));
    let problem = "sip:no.such.example: name not found in DNS (name_not_found)".to_owned();
    assert_eq!(seen(&bench), ("down", problem, Some(false), Some(false)));
    // Another peer of the trunk responds.
    bench.configure(|settings| settings.table = trunks(vec![lost.clone(), peer_at(PBX)]));
    live(&mut bench, Duration::from_secs(5), &[(PBX, 200, "")]);
    let (state, _, up, peer) = seen(&bench);
    assert_eq!((state, up, peer), ("up", Some(true), Some(false)));
    // The name is resolved, and the peer responds.
    let found = Peer { servers: peer_at(PBX2).servers, ..lost };
    bench.configure(|settings| settings.table = trunks(vec![found]));
    bench.input(GatewayInput::Unresolved(HashMap::new()));
    live(&mut bench, Duration::from_secs(5), &[(PBX2, 200, "")]);
    let (state, _, up, peer) = seen(&bench);
    assert_eq!((state, up, peer), ("up", Some(true), Some(true)));
}

fn peer_at(address: &str) -> Peer {
    let address: std::net::SocketAddr = address.parse().unwrap();
    Peer::at(address.ip(), Some(address.port()), Transport::Udp)
}

#[test]
fn a_reload_asks_an_address_that_is_down_at_once() {
    let mut bench = Bench::with(trunks());
    live(&mut bench, Duration::from_secs(200), &[]);
    assert_eq!(state(&bench, PBX).0, "down");
    assert!(live(&mut bench, Duration::from_secs(2), &[]).is_empty(), "after a long back-off");
    bench.configure(|settings| settings.table = trunks());
    let seen = live(&mut bench, Duration::from_secs(1), &[(PBX, 200, ""), (PBX2, 200, "")]);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!((state(&bench, PBX).0, state(&bench, PBX2).0), ("up", "up"));
}
