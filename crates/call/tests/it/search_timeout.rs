//! Total time of a route's targets: withdrawal when it is over, the next target, and waits that do not count.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::agents::{agent, agent_table, to_agent};
use crate::bench::*;
use trunkgate_route::{Agent, QueueSettings, Route, TargetSpec};

const LAST: &str = "10.0.0.40:5060";

fn limited(seconds: u64, connect: Vec<TargetSpec>) -> Route {
    Route { search_timeout: Duration::from_secs(seconds), ..route(connect) }
}

fn bench(seconds: u64, connect: Vec<TargetSpec>) -> (Bench, Dialing) {
    let mut trunks = usual_trunks();
    trunks.push(trunk("last", &[LAST]));
    let mut bench = Bench::with(table(trunks, vec![limited(seconds, connect)]));
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    (bench, caller)
}

/// Makes a target ring.
fn rings(bench: &mut Bench, peer: &str) -> Dialed {
    let callee = Dialed::new(peer, bench.expect(peer, "INVITE"));
    bench.receive(peer, callee.answer(180, ""));
    bench.sent.retain(|sent| sent.to != CARRIER.parse().unwrap());
    callee
}

fn withdrawn(bench: &mut Bench, callee: &Dialed) {
    // Repeated 180 responses are dropped.
    bench.sent.retain(|sent| !sent.first_line().starts_with("SIP/2.0 180"));
    let cancel = bench.expect(&callee.peer, "CANCEL");
    bench.receive(&callee.peer, callee.respond(&cancel, 200, ""));
    bench.receive(&callee.peer, callee.answer(487, ""));
    bench.expect(&callee.peer, "ACK");
}

#[test]
fn what_rings_is_withdrawn_and_the_last_target_has_its_own_time() {
    let (mut bench, _) = bench(70, vec![to_trunk("pbx"), to_trunk("backup"), to_trunk("backup"), to_trunk("last")]);
    let pbx = rings(&mut bench, PBX);
    bench.pass(Duration::from_secs(60));
    withdrawn(&mut bench, &pbx);
    let backup = rings(&mut bench, BACKUP);
    bench.pass(Duration::from_secs(9));
    bench.nothing();
    bench.pass(Duration::from_secs(1));
    withdrawn(&mut bench, &backup);
    let last = rings(&mut bench, LAST);
    bench.pass(Duration::from_secs(59));
    bench.nothing();
    bench.pass(Duration::from_secs(1));
    withdrawn(&mut bench, &last);
    let refused = bench.expect(CARRIER, "SIP/2.0 480");
    assert_eq!(refused.header("Reason"), "Q.850;cause=18;text=\"ring_timeout\"");
    let reasons: Vec<_> = bench.reports[0].call.legs.iter().map(|leg| leg.reason).collect();
    assert_eq!(reasons[1..], [Some("ring_timeout"), Some("search_timeout"), Some("ring_timeout")]);
    bench.finish();
}

#[test]
fn the_last_target_is_not_cut_short_nor_one_alone_and_zero_is_no_limit() {
    for (seconds, connect, rings_for) in [
        (30, vec![to_trunk("pbx")], 60),
        (0, vec![to_trunk("pbx"), to_trunk("backup")], 60),
        // If the time ends at the same moment, the last target has just begun.
        (60, vec![to_trunk("pbx"), to_trunk("backup")], 60),
    ] {
        let (mut bench, _) = bench(seconds, connect.clone());
        for (peer, _) in [PBX, BACKUP].into_iter().zip(connect) {
            let callee = rings(&mut bench, peer);
            bench.pass(Duration::from_secs(rings_for - 1));
            bench.nothing();
            bench.pass(Duration::from_secs(1));
            withdrawn(&mut bench, &callee);
        }
        bench.expect(CARRIER, "SIP/2.0 480");
        bench.finish();
    }
}

#[test]
fn all_that_ring_at_once_are_withdrawn() {
    let all = TargetSpec::RingAll(vec![to_trunk("pbx"), to_trunk("backup")]);
    let (mut bench, _) = bench(20, vec![all, to_trunk("last")]);
    let both = [rings(&mut bench, PBX), rings(&mut bench, BACKUP)];
    bench.pass(Duration::from_secs(20));
    for callee in &both {
        withdrawn(&mut bench, callee);
    }
    let last = Dialed::new(LAST, bench.expect(LAST, "INVITE"));
    bench.nothing();
    bench.receive(LAST, last.answer(404, ""));
    bench.expect(LAST, "ACK");
    bench.expect(CARRIER, "SIP/2.0 404");
    bench.finish();
}

#[test]
fn reject_as_the_last_target_is_the_answer() {
    let (mut bench, _) = bench(20, vec![to_trunk("pbx"), to_trunk("backup"), TargetSpec::Reject(404)]);
    let pbx = rings(&mut bench, PBX);
    bench.pass(Duration::from_secs(20));
    withdrawn(&mut bench, &pbx);
    bench.expect(CARRIER, "SIP/2.0 404");
    bench.finish();
}

#[test]
fn an_answered_call_has_no_such_limit_and_a_late_answer_is_hung_up_on() {
    let (mut bench, mut caller) = bench(20, vec![to_trunk("pbx"), to_trunk("last")]);
    let late = rings(&mut bench, PBX);
    bench.pass(Duration::from_secs(20));
    bench.expect(PBX, "CANCEL");
    let last = Dialed::new(LAST, bench.expect(LAST, "INVITE"));
    bench.receive(PBX, late.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, late.respond(&bye, 200, ""));
    bench.receive(LAST, last.answer(200, &answer()));
    bench.expect(LAST, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.bye(&mut caller, &last);
    bench.finish();
}

/// The wait in an agent's queue has its own limit (`wait` of the queue).
#[test]
fn who_stands_in_line_for_an_agent_is_not_timed() {
    let queue = Some(QueueSettings { size: 1, wait: Duration::from_secs(50) });
    let desk = Agent { max_sessions: 1, queue, ..agent("desk") };
    let routed = limited(20, vec![to_agent("desk"), to_trunk("backup"), to_trunk("pbx")]);
    let mut bench = Bench::with(agent_table(vec![desk], routed));
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.sent.clear();
    // The first call's socket never opens, and its time is over: the last target is next; the other call has the agent.
    bench.pass(Duration::from_secs(49));
    let asked = bench.asked().len();
    assert_eq!(asked, 2, "the second one has stood in line");
}
