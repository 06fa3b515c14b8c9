//! Response times of an agent: in its leg while the call is live and after a restart, in the record, and with those of
//! other calls at the agent itself.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{agent, agent_table, hang_up, to_agent};
use crate::bench::*;
use trunkgate_call::turns::{HopsView, TurnView};
use trunkgate_media::{LegTurns, MediaCommand, TurnTiming};

/// Returns the turn counters of the agent that was requested last; a listener has none.
fn counted(bench: &Bench) -> Arc<LegTurns> {
    let of = |command: &MediaCommand| match command {
        MediaCommand::AddAgent { spec, .. } => {
            assert_eq!(spec.turns.is_some(), spec.settings.talks);
            spec.turns.clone()
        }
        _ => None,
    };
    bench.media.iter().filter_map(|(_, command)| of(command)).next_back().unwrap()
}

/// Makes a call with the agent, and returns its turn counters.
fn talking(bench: &mut Bench) -> (Dialing, Arc<LegTurns>) {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let (turns, (end, _)) = (counted(bench), bench.asked().remove(0));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.open(end);
    let caller = Dialing { to_tag: bench.expect(CARRIER, "SIP/2.0 200").tag("To"), ..caller };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    (caller, turns)
}

fn turn(whole: u64) -> TurnTiming {
    let ms = Duration::from_millis;
    TurnTiming { whole: ms(whole), edge: Some(ms(10)), network: Some(ms(40)) }
}

#[test]
fn a_leg_the_record_and_the_agent_have_the_turns() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, turns) = talking(&mut bench);
    let leg = |bench: &Bench, at: usize| bench.gateway.calls(bench.now)[0].legs[at].turn_ms.clone();
    let seen = |bench: &Bench| bench.gateway.agents(bench.now).into_iter().find(|agent| agent.name == "desk").unwrap();
    assert_eq!((leg(&bench, 1), seen(&bench).turn_ms), (None, None));
    for whole in [700, 800, 2_900] {
        turns.record_turn(turn(whole));
    }
    let shown = leg(&bench, 1).unwrap();
    assert_eq!(shown.all, TurnView { turns: 3, p50: 800, p95: 2_900 });
    assert_eq!(shown.hops, HopsView { edge: Some(10.0), network: Some(40.0), agent: Some(750.0) });
    assert_eq!(leg(&bench, 0), None, "the caller takes no turns of its own");
    let live = seen(&bench).turn_ms.unwrap();
    assert!(live.turns == 3 && live.p50 <= live.p95, "{live:?}");
    hang_up(&mut bench, &mut caller);
    let record = &bench.reports[0];
    assert_eq!((record.turn_p50_ms, record.turn_p95_ms), (Some(800), Some(2_900)));
    assert_eq!(record.call.legs[1].turn_ms, Some(shown));
    assert_eq!(seen(&bench).turn_ms, Some(live), "an ended call counts on");
    assert_eq!(seen(&bench).turns.count(), 3);
    bench.finish();
}

#[test]
fn a_call_without_a_turn_has_none() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, _) = talking(&mut bench);
    hang_up(&mut bench, &mut caller);
    assert_eq!((bench.reports[0].turn_p50_ms, bench.reports[0].turn_p95_ms), (None, None));
    bench.finish();
}

/// The agent is connected again with a new stream: its leg has new turns, and the record has those of the leg with the
/// most.
#[test]
fn a_restart_keeps_the_turns_for_the_record() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, turns) = talking(&mut bench);
    for whole in [700, 800, 2_900] {
        turns.record_turn(turn(whole));
    }
    bench.media.clear();
    bench.restart(agent_table(vec![agent("desk")], route(vec![to_agent("desk")])));
    let (again, (end, _)) = (counted(&bench), bench.asked().remove(0));
    bench.open(end);
    again.record_turn(turn(500));
    hang_up(&mut bench, &mut caller);
    let record = &bench.reports[0];
    let turns: Vec<Option<u64>> =
        record.call.legs.iter().map(|leg| leg.turn_ms.as_deref().map(|turns| turns.all.turns)).collect();
    assert_eq!(turns, [None, Some(3), Some(1)]);
    assert_eq!((record.turn_p50_ms, record.turn_p95_ms), (Some(800), Some(2_900)));
    bench.finish();
}
