//! `max_call`: maximum time that an agent may have a caller; then the goodbye is played to its end, and the call ends.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{Told, agent, agent_table, from_agent_wire, hang_up, to_agent};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, Dialing, PBX, route, sdp, to_trunk};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{AgentRequest, EndId, MediaEvent};
use trunkgate_route::{Agent, RoutingTable, TargetSpec};

/// Returns a table with a minute for `desk`, which has a goodbye of one second, and half a minute for `night`, which
/// has none.
fn table(connect: Vec<TargetSpec>) -> Arc<RoutingTable> {
    let desk = Agent {
        max_call: Duration::from_secs(60),
        goodbye: Some(Arc::from([0x55_u8; 8_000])),
        retry: 3,
        ..agent("desk")
    };
    let night = Agent { max_call: Duration::from_secs(30), ..agent("night") };
    agent_table(vec![desk, night], route(connect))
}

fn talking(connect: Vec<TargetSpec>) -> (Bench, Dialing, EndId, EndId) {
    let mut bench = Bench::with(table(connect));
    let (caller, own, desk) = bench.talking();
    (bench, caller, own, desk)
}

/// Answers our BYE to the caller.
fn byes(bench: &mut Bench, caller: &mut Dialing) {
    let bye = bench.expect(CARRIER, "BYE");
    assert!(bye.header("Reason").contains("max_call"), "{}", bye.text);
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    let record = bench.reports.last().unwrap();
    assert_eq!((record.call.outcome, record.call.reason), (Some("answered"), Some("max_call")));
}

fn say_goodbye(bench: &mut Bench, own: EndId, gone: Option<EndId>) -> EndId {
    let told = bench.told();
    let player = told
        .iter()
        .find_map(|told| match told {
            Told::Once(end, 8_000) => Some(*end),
            _ => None,
        })
        .unwrap_or_else(|| panic!("no goodbye: {told:?}"));
    assert!(told.contains(&Told::Wire(player, own, from_agent_wire())));
    assert!(gone.is_none_or(|gone| told.contains(&Told::Remove(gone))), "its stream ends: {told:?}");
    bench.nothing();
    player
}

#[test]
fn the_goodbye_is_heard_to_its_end_and_no_target_gets_the_caller() {
    let (mut bench, mut caller, own, desk) = talking(vec![to_agent("desk"), to_trunk("pbx")]);
    bench.pass(Duration::from_millis(59_999));
    assert_eq!((bench.told(), bench.state()), (vec![], "answered"));
    bench.pass(Duration::from_millis(1));
    let player = say_goodbye(&mut bench, own, Some(desk));
    bench.pass(Duration::from_millis(999));
    bench.nothing();
    bench.news(MediaEvent::Played { end: player });
    byes(&mut bench, &mut caller);
    assert!(bench.story().contains("desk: max_call has passed"), "{}", bench.story());
    bench.finish();
}

#[test]
fn a_worker_that_never_says_so_does_not_keep_the_call() {
    let (mut bench, mut caller, own, desk) = talking(vec![to_agent("desk")]);
    bench.pass(Duration::from_secs(60));
    say_goodbye(&mut bench, own, Some(desk));
    bench.pass(Duration::from_secs(3));
    byes(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn without_a_goodbye_it_ends_at_once() {
    let (mut bench, mut caller, _, night) = talking(vec![to_agent("night"), to_trunk("pbx")]);
    bench.pass(Duration::from_secs(30));
    assert!(bench.told().contains(&Told::Remove(night)));
    byes(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn new_streams_to_the_same_agent_do_not_make_it_longer() {
    let (mut bench, mut caller, own, mut desk) = talking(vec![to_agent("desk"), to_trunk("pbx")]);
    for _ in 0..3 {
        bench.pass(Duration::from_secs(15));
        bench.lose(desk, StreamLoss::Reset);
        desk = bench.asked().pop().unwrap().0;
        bench.open(desk);
        bench.told();
    }
    bench.pass(Duration::from_millis(14_999));
    assert_eq!(bench.state(), "answered");
    bench.pass(Duration::from_millis(1));
    let player = say_goodbye(&mut bench, own, Some(desk));
    bench.news(MediaEvent::Played { end: player });
    byes(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn while_it_is_connected_anew_it_ends_too() {
    let (mut bench, mut caller, own, desk) = talking(vec![to_agent("desk"), to_trunk("pbx")]);
    bench.pass(Duration::from_secs(59));
    bench.lose(desk, StreamLoss::Reset);
    let (second, _) = bench.asked().pop().unwrap();
    assert_eq!(bench.state(), "transferring");
    bench.told();
    bench.pass(Duration::from_secs(1));
    say_goodbye(&mut bench, own, Some(second));
    // The socket opens too late.
    bench.open(second);
    bench.pass(Duration::from_secs(3));
    byes(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn a_goodbye_because_nobody_is_left_is_not_cut_short() {
    let desk = Agent {
        max_call: Duration::from_secs(60),
        goodbye: Some(Arc::from([0x55_u8; 8_000])),
        retry: 1,
        ..agent("desk")
    };
    let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_agent("desk")])));
    let (caller, own, desk) = bench.talking();
    bench.pass(Duration::from_millis(59_500));
    bench.lose(desk, StreamLoss::Reset);
    let (second, _) = bench.asked().pop().unwrap();
    bench.told();
    bench.lose(second, StreamLoss::Status(404));
    let player = say_goodbye(&mut bench, own, Some(second));
    bench.pass(Duration::from_millis(900));
    bench.nothing();
    bench.gateway.check_invariants().unwrap();
    bench.news(MediaEvent::Played { end: player });
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn whoever_gets_the_caller_next_has_a_limit_of_its_own() {
    let (mut bench, mut caller, _, desk) = talking(vec![to_agent("desk"), to_agent("night")]);
    bench.pass(Duration::from_secs(50));
    bench.wish(desk, AgentRequest::Transfer("agent:night".into()));
    let (night, _) = bench.asked().pop().unwrap();
    bench.pass(Duration::from_secs(5));
    bench.open(night);
    bench.told();
    bench.pass(Duration::from_millis(29_999));
    assert_eq!(bench.state(), "answered");
    bench.pass(Duration::from_millis(1));
    byes(&mut bench, &mut caller);
    bench.finish();

    let (mut bench, mut caller, _, desk) = talking(vec![to_agent("desk")]);
    bench.wish(desk, AgentRequest::Transfer("trunk:backup".into()));
    let callee = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.pass(Duration::from_secs(3));
    bench.sent.clear();
    bench.receive(BACKUP, callee.answer(200, &sdp("10.0.0.30", 30_000, 1, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    bench.pass(Duration::from_secs(3_600));
    assert_eq!(bench.state(), "answered", "a person has no limit");
    hang_up(&mut bench, &mut caller);
}

#[test]
fn a_caller_on_hold_is_not_kept() {
    let (mut bench, mut caller, own, desk) = talking(vec![to_agent("desk")]);
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, 2, "0 8 101", "inactive"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(bench.state(), "held");
    bench.told();
    bench.pass(Duration::from_secs(60));
    let told = bench.told();
    assert!(told.contains(&Told::Remove(desk)), "{told:?} {own:?}");
    bench.pass(Duration::from_secs(3));
    // The edge was just checking whether the caller is still there.
    bench.sent.retain(|sent| !sent.first_line().starts_with("OPTIONS"));
    byes(&mut bench, &mut caller);
}

#[test]
fn a_caller_that_hangs_up_during_the_goodbye_ends_it() {
    let (mut bench, mut caller, own, desk) = talking(vec![to_agent("desk"), to_trunk("pbx")]);
    bench.pass(Duration::from_secs(60));
    let player = say_goodbye(&mut bench, own, Some(desk));
    hang_up(&mut bench, &mut caller);
    bench.news(MediaEvent::Played { end: player });
    assert_eq!(bench.reports[0].call.reason, Some("caller_hung_up"));
    bench.finish();
}

#[test]
fn a_restart_does_not_make_it_longer() {
    let (mut bench, mut caller, own, _) = talking(vec![to_agent("desk"), to_trunk("pbx")]);
    bench.pass(Duration::from_secs(40));
    bench.restart(table(vec![to_agent("desk"), to_trunk("pbx")]));
    let (again, _) = bench.asked().pop().unwrap();
    bench.open(again);
    bench.told();
    bench.pass(Duration::from_millis(19_999));
    assert_eq!(bench.state(), "answered");
    bench.pass(Duration::from_millis(1));
    say_goodbye(&mut bench, own, Some(again));
    // A restart during the goodbye: no target gets the caller then.
    bench.restart(table(vec![to_agent("desk"), to_trunk("pbx")]));
    assert!(!bench.sent.iter().any(|sent| sent.to == PBX.parse().unwrap()));
    bench.sent.clear();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
}
