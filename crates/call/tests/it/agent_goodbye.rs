//! No target is left for a caller that has lost its agent: it hears the goodbye, then gets BYE.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use crate::bench::agents::{Told, agent, agent_table, from_agent_wire, hang_up, to_agent};
use crate::bench::{Bench, CARRIER, Dialed, Dialing, PBX, route, sdp, to_trunk};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{EndId, MediaEvent};
use trunkgate_route::{Agent, TargetSpec};

/// Number of samples: 1.5 s.
const SAMPLES: usize = 12_000;

fn goodbye_bench(connect: Vec<TargetSpec>) -> Bench {
    let desk = Agent { goodbye: Some(vec![0x55; SAMPLES].into()), ..agent("desk") };
    Bench::with(agent_table(vec![desk, agent("night")], route(connect)))
}

/// Answers the BYE to the caller, and checks the reason of the call's end.
fn ended(bench: &mut Bench, caller: &Dialing, reason: &str) {
    let bye = bench.expect(CARRIER, "BYE");
    assert!(bye.header("Reason").contains(reason), "{}", bye.text);
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    let record = &bench.reports[0];
    assert_eq!((record.call.outcome, record.call.reason, record.sip_code), (Some("answered"), Some(reason), 200));
    assert_eq!(bench.reports.len(), 1);
    bench.finish();
}

#[test]
fn it_is_heard_to_its_end() {
    let mut bench = goodbye_bench(vec![to_agent("desk")]);
    let (caller, own, desk) = bench.talking();
    bench.lose(desk, StreamLoss::DataUnacknowledged);
    bench.nothing();
    let player = EndId(desk.0 + 1);
    assert_eq!(
        bench.told(),
        [Told::Remove(desk), Told::Once(player, SAMPLES), Told::Wire(player, own, from_agent_wire())]
    );
    assert_eq!(bench.state(), "answered");
    bench.pass(Duration::from_millis(1_500));
    bench.nothing();
    bench.news(MediaEvent::Played { end: EndId(99) });
    bench.nothing();
    assert!(bench.story().contains("no target is left\nthe caller hears the goodbye"), "{}", bench.story());
    bench.news(MediaEvent::Played { end: player });
    ended(&mut bench, &caller, "agent_data_unacknowledged");
}

#[test]
fn a_worker_that_does_not_tell_of_its_end_does_not_hold_the_call() {
    let mut bench = goodbye_bench(vec![to_agent("desk")]);
    let (caller, _, desk) = bench.talking();
    bench.lose(desk, StreamLoss::Reset);
    bench.pass(Duration::from_millis(3_400));
    bench.nothing();
    bench.pass(Duration::from_millis(200));
    ended(&mut bench, &caller, "agent_reset");
}

#[test]
fn it_comes_after_the_last_target_too() {
    let mut bench = goodbye_bench(vec![to_agent("desk"), to_trunk("pbx"), to_agent("night")]);
    let (caller, own, desk) = bench.talking();
    bench.lose(desk, StreamLoss::Reset);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(503, ""));
    bench.expect(PBX, "ACK");
    let (night, _) = bench.asked().pop().unwrap();
    bench.told();
    bench.lose(night, StreamLoss::Unreachable);
    let told = bench.told();
    let ringback = EndId(desk.0 + 2);
    let player = EndId(night.0 + 1);
    assert_eq!(
        told,
        [
            Told::Remove(night),
            Told::Remove(ringback),
            Told::Once(player, SAMPLES),
            Told::Wire(player, own, from_agent_wire())
        ]
    );
    bench.news(MediaEvent::Played { end: player });
    // The best response of all targets decides: the trunk's.
    ended(&mut bench, &caller, "target_rejected");
}

#[test]
fn a_busy_target_that_is_the_last_is_followed_by_the_goodbye() {
    let mut bench = goodbye_bench(vec![to_agent("desk"), to_trunk("pbx")]);
    let (caller, _, desk) = bench.talking();
    bench.lose(desk, StreamLoss::Reset);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(486, ""));
    bench.expect(PBX, "ACK");
    assert!(bench.story().contains("the caller hears the goodbye"));
    bench.pass(Duration::from_secs(4));
    ended(&mut bench, &caller, "target_busy");
}

#[test]
fn without_one_the_caller_gets_bye_at_once() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (caller, _, desk) = bench.talking();
    bench.lose(desk, StreamLoss::Closed(Some(1011)));
    ended(&mut bench, &caller, "agent_closed");
}

#[test]
fn a_caller_may_hang_up_during_it_and_may_not_change() {
    let mut bench = goodbye_bench(vec![to_agent("desk")]);
    let (mut caller, _, desk) = bench.talking();
    bench.lose(desk, StreamLoss::Reset);
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, 2, "0", "sendonly"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 491");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    hang_up(&mut bench, &mut caller);
    assert_eq!(bench.reports[0].call.reason, Some("caller_hung_up"));
    bench.finish();
}

#[test]
fn before_the_answer_nobody_hears_one() {
    let mut bench = goodbye_bench(vec![to_agent("desk")]);
    let caller = bench.invite(CARRIER, "+14155550100", &crate::bench::offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (desk, _) = bench.asked().remove(0);
    bench.lose(desk, StreamLoss::Unreachable);
    bench.expect(CARRIER, "SIP/2.0 503");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.finish();
}
