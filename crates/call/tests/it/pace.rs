//! Limits of an outgoing trunk: a call waits for a slot, no longer than `pace`; and numbers that a trunk does not get.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::agents::{agent, to_agent};
use crate::bench::*;
use trunkgate_media::AgentRequest;
use trunkgate_route::{
    Agent, Destination, NumberingPlan, Pattern, RoutingTable, TableDefinition, TargetSpec, TransferRule, Transport,
    Trunk,
};

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn bench_with(pbx: Trunk) -> Bench {
    let trunks = vec![trunk("carrier", &[CARRIER]), pbx, Trunk { takes_high_risk: true, ..trunk("backup", &[BACKUP]) }];
    Bench::with(table(trunks, vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]))
}

fn pbx() -> Trunk {
    trunk("pbx", &[PBX])
}

/// Returns the number of pending INVITEs to an address.
fn invites(bench: &Bench, to: &str) -> usize {
    let to = to.parse().unwrap();
    let mut ids: Vec<_> = bench.sent.iter().filter(|s| s.to == to && s.first_line().starts_with("INVITE")).collect();
    ids.dedup_by_key(|s| s.header("Call-ID").to_owned());
    ids.len()
}

/// Returns the Call-IDs that the PBX has seen so far.
fn ids(bench: &Bench) -> std::collections::BTreeSet<String> {
    let to = PBX.parse().unwrap();
    let invites = bench.sent.iter().filter(|s| s.to == to && s.first_line().starts_with("INVITE"));
    invites.map(|s| s.header("Call-ID").to_owned()).collect()
}

#[test]
fn calls_past_a_rate_wait_their_turn_in_the_order_in_which_they_came() {
    let mut bench = bench_with(Trunk { calls_per_second_out: 2, ..pbx() });
    let callers: Vec<Dialing> = (0..5).map(|_| bench.invite(CARRIER, "+14155550100", &offer())).collect();
    assert_eq!((invites(&bench, PBX), invites(&bench, BACKUP)), (2, 0));
    let mut seen = ids(&bench);
    for expected in [3, 4, 5] {
        bench.pass(ms(499));
        assert_eq!(ids(&bench), seen, "half a second has not passed");
        bench.pass(ms(1) + Duration::from_micros(1));
        seen = ids(&bench);
        assert_eq!(seen.len(), expected);
        // Calls are listed newest first; the ones with a leg at the PBX have waited longest.
        let calls = bench.gateway.calls(bench.now);
        let waiting: Vec<bool> = calls.iter().rev().map(|call| call.legs.len() == 1).collect();
        assert_eq!(waiting, (0..5).map(|at| at >= expected).collect::<Vec<_>>());
    }
    assert_eq!(bench.gateway.status(bench.now).trunks[1].calls, 5);
    bench.sent.clear();
    for caller in callers {
        bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    }
    bench.sent.clear();
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.gateway.status(bench.now).trunks[1].calls, 0);
    bench.finish();
}

#[test]
fn who_has_waited_long_enough_goes_to_the_next_target() {
    let mut bench = bench_with(Trunk { calls_per_second_out: 1, pace: ms(700), ..pbx() });
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.invite(CARRIER, "+14155550100", &offer());
    assert_eq!((invites(&bench, PBX), invites(&bench, BACKUP)), (1, 0));
    bench.pass(ms(699));
    assert_eq!(invites(&bench, BACKUP), 0);
    bench.pass(ms(1));
    assert_eq!(invites(&bench, BACKUP), 1);
    let key = ("main".into(), "limit_rate");
    assert_eq!(bench.gateway.metrics().failovers.get(&key), Some(&1));
    let trace = bench.gateway.trace(&bench.gateway.calls(bench.now)[0].sid).unwrap();
    let text = serde_json::to_string(&trace).unwrap();
    assert!(text.contains("pbx: too many new calls per second, the call waits"), "{text}");
}

#[test]
fn a_place_that_comes_free_goes_to_who_waits() {
    let mut bench = bench_with(Trunk { max_calls: 1, ..pbx() });
    let first = bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.next(PBX));
    let second = bench.invite(CARRIER, "+14155550100", &offer());
    let third = bench.invite(CARRIER, "+14155550100", &offer());
    bench.sent.clear();
    bench.pass(ms(400));
    assert_eq!(invites(&bench, PBX), 0);
    // The first waiting call gives up: the next one is first.
    bench.receive(CARRIER, second.request("CANCEL", "", ""));
    assert_eq!(invites(&bench, PBX), 0);
    bench.receive(PBX, callee.answer(486, ""));
    let asked = bench.sent.iter().filter(|s| s.to == PBX.parse().unwrap() && s.first_line().starts_with("INVITE"));
    assert_eq!(asked.count(), 1, "the third one, at once");
    drop((first, third));
    assert_eq!(bench.gateway.status(bench.now).trunks[1].calls, 1);
}

#[test]
fn without_pace_a_limit_is_a_failed_target_at_once() {
    let mut bench = bench_with(Trunk { max_calls: 1, pace: Duration::ZERO, ..pbx() });
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.invite(CARRIER, "+14155550100", &offer());
    assert_eq!((invites(&bench, PBX), invites(&bench, BACKUP)), (1, 1));
}

#[test]
fn a_caller_whose_only_target_is_full_is_told_when_it_has_waited() {
    let trunks = vec![trunk("carrier", &[CARRIER]), Trunk { max_calls: 1, ..pbx() }];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.sent.clear();
    bench.pass(ms(1_999));
    assert!(bench.sent.iter().all(|s| s.code() == 0), "{:?}", bench.sent);
    bench.pass(ms(1));
    let answer = bench.sent.iter().find(|s| s.code() != 0).unwrap();
    assert_eq!(answer.code(), 503);
    assert!(answer.headers("Retry-After").is_empty() && answer.header("Reason").contains("limit_calls"));
}

#[test]
fn the_caller_s_side_of_a_trunk_has_limits_of_its_own() {
    let carrier = Trunk { calls_per_second_out: 1, ..trunk("carrier", &[CARRIER]) };
    let mut bench = Bench::with(table(vec![carrier, pbx()], vec![route(vec![to_trunk("pbx")])]));
    for _ in 0..5 {
        bench.invite(CARRIER, "+14155550100", &offer());
    }
    assert_eq!(invites(&bench, PBX), 5, "calls from it are not paced");
    let carrier = Trunk { calls_per_second_in: 2, ..trunk("carrier", &[CARRIER]) };
    let mut bench = Bench::with(table(vec![carrier, pbx()], vec![route(vec![to_trunk("pbx")])]));
    for _ in 0..5 {
        bench.invite(CARRIER, "+14155550100", &offer());
    }
    assert_eq!(invites(&bench, PBX), 2);
    assert_eq!(bench.sent.iter().filter(|s| s.code() == 503).count(), 3);
}

#[test]
fn one_address_gets_so_many_a_second_and_the_next_one_the_others() {
    let trunks = vec![trunk("carrier", &[CARRIER]), Trunk { peer_calls_per_second: 3, ..trunk("pbx", &[PBX, PBX2]) }];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    for _ in 0..7 {
        bench.invite(CARRIER, "+14155550100", &offer());
    }
    assert_eq!((invites(&bench, PBX), invites(&bench, PBX2)), (3, 3));
    let refused = bench.sent.iter().find(|s| s.code() == 503).unwrap();
    assert!(refused.header("Reason").contains("limit_rate"), "{}", refused.text);
}

fn denying() -> Trunk {
    Trunk { deny: vec![Pattern::parse("+881*").unwrap(), Pattern::parse("911").unwrap()], ..pbx() }
}

#[test]
fn a_denied_number_is_not_called_by_any_way() {
    let uri = |uri: &str, host: &str| TargetSpec::Uri {
        in_call: false,
        uri: uri.into(),
        destination: Destination { host: host.into(), port: None, transport: Transport::Udp, is_fixed: false },
    };
    let to_number = TargetSpec::Trunk { name: "pbx".into(), number: Some("011 881 6 1234 5678".into()), weight: None };
    for (called, target) in [
        ("+881612345678", to_trunk("pbx")),
        ("011881612345678", to_trunk("pbx")),
        ("00881612345678", to_trunk("pbx")),
        ("+881-6-1234-5678-99", to_trunk("pbx")),
        ("%2B8816123%345678", to_trunk("pbx")),
        ("0118816123456789999", to_trunk("pbx")),
        ("881612345678", to_trunk("pbx")),
        ("8816123456789999", to_trunk("pbx")),
        ("911", to_trunk("pbx")),
        ("+14155550100", to_number),
        ("+14155550100", uri("sip:+881612345678@10.0.0.20", "10.0.0.20")),
    ] {
        let trunks = vec![trunk("carrier", &[CARRIER]), denying()];
        let mut bench = Bench::with(table(trunks, vec![route(vec![target])]));
        bench.invite(CARRIER, called, &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let answer = bench.expect(CARRIER, "SIP/2.0 403");
        assert!(answer.header("Reason").contains("text=\"denied\""), "{called}: {}", answer.text);
        assert_eq!(bench.reports[0].call.reason, Some("denied"));
        assert_eq!(bench.reports[0].call.outcome, Some("refused"));
        bench.nothing();
    }
    // Other numbers are called, as is this number by a trunk that does not deny it.
    let mut bench = bench_with(denying());
    bench.invite(CARRIER, "+881612345678", &offer());
    assert_eq!((invites(&bench, PBX), invites(&bench, BACKUP)), (0, 1));
    for other in ["+14155550100", "8811", "9110", "881sales"] {
        let mut bench = bench_with(denying());
        bench.invite(CARRIER, other, &offer());
        assert_eq!(invites(&bench, PBX), 1, "{other}");
    }
}

#[test]
fn an_agent_cannot_send_its_caller_to_a_denied_number() {
    for target in ["trunk:pbx/+881612345678", "sip:+881612345678@10.0.0.20", "sip:011881612345678@10.0.0.20:5060"] {
        let numbers = NumberingPlan::new("US").unwrap();
        let trunks = vec![trunk("carrier", &[CARRIER]), denying()];
        let anywhere = Some(vec![TransferRule::parse("*").unwrap()]);
        let agents: Vec<Agent> = vec![Agent { transfer_to: anywhere, ..agent("desk") }];
        let routes = vec![route(vec![to_agent("desk")])];
        let definition = TableDefinition { numbers, trunks, agents, routes };
        let mut bench = Bench::with(std::sync::Arc::new(RoutingTable::new(definition)));
        let caller = bench.invite(CARRIER, "+14155550100", &offer());
        let (desk, _) = bench.asked().remove(0);
        bench.open(desk);
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        bench.sent.clear();
        bench.wish(desk, AgentRequest::Transfer(target.into()));
        assert_eq!(invites(&bench, PBX), 0, "{target}");
        assert_eq!(bench.reports[0].call.reason, Some("denied"), "{target}");
    }
}
