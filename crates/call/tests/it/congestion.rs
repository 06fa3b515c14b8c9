//! A trunk with more calls than it accepts: a 503 concerns one of its peers and leads to the next one. Once its peers
//! agree, or one reports a rate limit (429), other targets are preferred for a time.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_call::GatewayInput;
use trunkgate_route::{DestinationServer, TargetSpec, Trunk};

/// Returns a provider with two peers in order of priority, as the preset makes them of `edges`, and a backup.
fn bench(connect: Vec<TargetSpec>) -> Bench {
    let mut provider = Trunk { congested_on: vec![429, 503], ..trunk("provider", &[PBX, PBX2]) };
    for (peer, priority) in provider.peers.iter_mut().zip([10, 20]) {
        peer.priority = priority;
    }
    let trunks = vec![trunk("carrier", &[CARRIER]), provider, trunk("backup", &[BACKUP])];
    Bench::with(table(trunks, vec![route(connect)]))
}

fn dials(bench: &mut Bench, number: &str) -> Dialing {
    let caller = bench.invite(CARRIER, number, &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    caller
}

/// Checks that the caller is refused with this code.
fn over(bench: &mut Bench, mut caller: Dialing, code: u16) {
    let refused = bench.expect(CARRIER, &format!("SIP/2.0 {code}"));
    assert!(refused.headers("Retry-After").is_empty(), "{}", refused.text);
    caller.to_tag = refused.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    bench.nothing();
}

/// Refuses the call at a peer.
fn refused_by(bench: &mut Bench, peer: &str, code: u16, extra: &str) {
    let asked = Dialed::new(peer, bench.expect(peer, "INVITE"));
    bench.receive(peer, asked.answer_with(code, extra));
    bench.expect(peer, "ACK");
}

/// Answers the call at a peer, and hangs up for the caller.
fn answered_by(bench: &mut Bench, mut caller: Dialing, peer: &str) {
    let callee = Dialed::new(peer, bench.expect(peer, "INVITE"));
    bench.receive(peer, callee.answer(200, &answer()));
    bench.expect(peer, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &callee);
}

/// Refuses the call at the backup for good.
fn ends_at_the_backup(bench: &mut Bench, caller: Dialing) {
    refused_by(bench, BACKUP, 404, "");
    over(bench, caller, 404);
}

/// Returns the seconds for which calls skip the provider.
fn skipped_for(bench: &Bench) -> Option<u64> {
    bench.gateway.status(bench.now).trunks.iter().find(|trunk| trunk.name == "provider").unwrap().congested_seconds
}

#[test]
fn rfc3263_4_3_a_peer_that_fails_leads_to_the_next_one_and_is_not_the_trunk() {
    let rejects = |code: u16, extra: &'static str| move |bench: &mut Bench| refused_by(bench, PBX, code, extra);
    let closed = |bench: &mut Bench| {
        bench.expect(PBX, "INVITE");
        bench.input(GatewayInput::TransportFailed { flow: udp(PBX), why: None });
    };
    let silent = |bench: &mut Bench| {
        bench.expect(PBX, "INVITE");
        bench.pass(Duration::from_secs(4));
        bench.sent.retain(|sent| sent.to == PBX2.parse().unwrap());
    };
    type Fails = Box<dyn Fn(&mut Bench)>;
    let all: [(&str, Fails, &str); 6] = [
        ("503", Box::new(rejects(503, "")), "target_rejected"),
        ("503 with Retry-After", Box::new(rejects(503, "Retry-After: 7\r\n")), "target_rejected"),
        ("500", Box::new(rejects(500, "")), "target_rejected"),
        ("408", Box::new(rejects(408, "")), "target_rejected"),
        ("closed port", Box::new(closed), "unreachable"),
        ("silence", Box::new(silent), "no_response"),
    ];
    for (name, fails, reason) in all {
        let mut bench = bench(vec![to_trunk("provider")]);
        let caller = dials(&mut bench, "+14155550101");
        fails(&mut bench);
        answered_by(&mut bench, caller, PBX2);
        assert_eq!(skipped_for(&bench), None, "{name}");
        let record = &bench.reports[0];
        let legs: Vec<_> = record.call.legs.iter().map(|leg| (leg.trunk.as_str(), leg.reason)).collect();
        assert_eq!((legs[1], record.call.outcome), (("provider", Some(reason)), Some("answered")), "{name}");
        assert_eq!(bench.gateway.metrics().failovers.get(&("main".into(), reason)), Some(&1), "{name}");
        assert_eq!(bench.gateway.metrics().failovers.get(&("main".into(), "trunk_congested")), None, "{name}");
    }
}

#[test]
fn the_peers_together_or_a_rate_limit_speak_for_the_trunk_and_other_targets_come_first_for_a_time() {
    for (code, extra, peers, seconds) in [
        (503, "", &[PBX, PBX2][..], 1),
        (429, "", &[PBX], 1),
        (429, "Retry-After: 5\r\n", &[PBX], 5),
        (503, "Retry-After: 7\r\n", &[PBX, PBX2], 7),
    ] {
        let mut bench = bench(vec![to_trunk("provider"), to_trunk("backup")]);
        let caller = dials(&mut bench, "+14155550101");
        for peer in peers {
            assert_eq!(skipped_for(&bench), None, "{code}");
            refused_by(&mut bench, peer, code, extra);
        }
        assert_eq!(skipped_for(&bench), Some(seconds), "{code}");
        ends_at_the_backup(&mut bench, caller);
        assert_eq!(bench.gateway.metrics().failovers.get(&("main".into(), "trunk_congested")), Some(&1));
        let caller = dials(&mut bench, "+14155550102");
        assert!(
            bench.story().contains("provider: the trunk accepts no more calls for now: skipped"),
            "{}",
            bench.story()
        );
        ends_at_the_backup(&mut bench, caller);
        bench.pass(Duration::from_millis(seconds * 1000 - 1));
        let caller = dials(&mut bench, "+14155550103");
        ends_at_the_backup(&mut bench, caller);
        bench.pass(Duration::from_millis(1));
        let caller = dials(&mut bench, "+14155550104");
        refused_by(&mut bench, PBX, 404, "");
        over(&mut bench, caller, 404);
        bench.finish();
    }
}

#[test]
fn peers_that_fail_in_different_ways_are_no_congestion() {
    for codes in [[503, 500], [500, 503], [503, 502]] {
        let mut bench = bench(vec![to_trunk("provider"), to_trunk("backup")]);
        let caller = dials(&mut bench, "+14155550101");
        for (peer, code) in [PBX, PBX2].into_iter().zip(codes) {
            refused_by(&mut bench, peer, code, "");
        }
        ends_at_the_backup(&mut bench, caller);
        assert_eq!(skipped_for(&bench), None, "{codes:?}");
        let caller = dials(&mut bench, "+14155550102");
        answered_by(&mut bench, caller, PBX);
    }
}

#[test]
fn the_last_target_is_tried_at_every_peer_and_the_caller_s_network_may_try_elsewhere() {
    for connect in [vec![to_trunk("provider")], vec![to_trunk("provider"), TargetSpec::Reject(486)]] {
        let mut bench = bench(connect.clone());
        for number in ["+14155550101", "+14155550102"] {
            let caller = dials(&mut bench, number);
            refused_by(&mut bench, PBX, 503, "");
            refused_by(&mut bench, PBX2, 503, "");
            over(&mut bench, caller, if connect.len() == 1 { 503 } else { 486 });
            if connect.len() == 1 {
                let record = bench.reports.last().unwrap();
                assert_eq!((record.sip_code, record.call.reason), (503, Some("trunk_congested")));
            }
        }
        bench.finish();
    }
}

#[test]
fn a_congested_trunk_that_is_the_last_target_still_gets_the_call_at_another_peer() {
    let mut bench = bench(vec![to_trunk("provider")]);
    let caller = dials(&mut bench, "+14155550101");
    refused_by(&mut bench, PBX, 503, "");
    refused_by(&mut bench, PBX2, 503, "");
    over(&mut bench, caller, 503);
    assert_eq!(skipped_for(&bench), Some(1));
    let caller = dials(&mut bench, "+14155550102");
    refused_by(&mut bench, PBX, 503, "");
    answered_by(&mut bench, caller, PBX2);
    bench.finish();
}

#[test]
fn one_address_speaks_for_its_peer_where_another_peer_says_the_same() {
    let at = |peer: &str| peer.parse::<std::net::SocketAddr>().unwrap();
    let server = |address: &str| DestinationServer {
        transport: trunkgate_sip::Transport::Udp,
        port: at(address).port(),
        tier: 0,
        priority: 0,
        weight: 0,
        addresses: vec![at(address).ip()],
    };
    // A name with two addresses and one with a third, then the first name alone.
    for has_second in [true, false] {
        let mut provider = Trunk { congested_on: vec![503], ..trunk("provider", &[PBX, BACKUP]) };
        provider.peers[0].servers = vec![server(PBX), DestinationServer { priority: 1, ..server(PBX2) }];
        provider.peers[1].priority = provider.peers[0].priority + 1;
        provider.peers.truncate(if has_second { 2 } else { 1 });
        let trunks = vec![trunk("carrier", &[CARRIER]), provider];
        let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("provider")])]));
        let caller = dials(&mut bench, "+14155550101");
        refused_by(&mut bench, PBX, 503, "");
        refused_by(&mut bench, if has_second { BACKUP } else { PBX2 }, 503, "");
        over(&mut bench, caller, 503);
        assert_eq!(bench.reports[0].call.reason, Some("trunk_congested"), "{has_second}");
        bench.finish();
    }
}

#[test]
fn an_emergency_call_skips_nothing() {
    let mut bench = bench(vec![to_trunk("provider"), to_trunk("backup")]);
    let caller = dials(&mut bench, "+14155550101");
    refused_by(&mut bench, PBX, 503, "");
    refused_by(&mut bench, PBX2, 503, "");
    ends_at_the_backup(&mut bench, caller);
    dials(&mut bench, "911");
    bench.expect(PBX, "INVITE");
}
