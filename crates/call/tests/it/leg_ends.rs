//! The reason of each leg's end and the party that ended it: in the call's view, its record and its forks.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use crate::bench::agents::{agent, agent_table, hang_up, to_agent};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, PBX, answer, offer, route, to_trunk};
use trunkgate_call::{ForkDestination, ForkRequest, LegView, OperatorCommand, TransferMode};
use trunkgate_media::agent::{StreamLoss, TrackSet};
use trunkgate_media::{AgentEvent, AgentRequest, MediaEvent};
use trunkgate_route::{Agent, TargetSpec};

type End = (&'static str, &'static str);

/// A live leg.
const LIVE: End = ("", "");

fn end(leg: &LegView) -> End {
    (leg.reason.unwrap_or_default(), leg.ended_by.unwrap_or_default())
}

/// Returns the ends of the only call's legs.
fn ends(bench: &Bench) -> Vec<End> {
    bench.gateway.calls(bench.now)[0].legs.iter().map(end).collect()
}

/// Returns the ends of the legs in its record.
fn recorded(bench: &Bench) -> Vec<End> {
    bench.reports[0].call.legs.iter().map(end).collect()
}

fn verdict(bench: &Bench) -> String {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    bench.gateway.trace(&sid).unwrap().verdict
}

/// Answers the call at the PBX.
fn taken(bench: &mut Bench) -> Dialed {
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    callee
}

#[test]
fn an_agent_that_was_lost_says_so_in_the_record() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, _, desk) = bench.talking();
    assert_eq!(ends(&bench), [LIVE, LIVE]);
    bench.lose(desk, StreamLoss::Reset);
    assert_eq!(ends(&bench), [LIVE, ("agent_reset", "far_end"), LIVE]);
    let callee = taken(&mut bench);
    assert_eq!(
        verdict(&bench),
        "Answered by desk, then pbx. 1 target failed: desk (the connection to an agent was reset). Try: look for an exception in the \
         bot's log; with FastAPI on uvicorn, call `await websocket.close()` at the end of the handler; `trunkgate agent test desk` shows \
         whether it helped."
    );
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    let expected = [("caller_hung_up", "far_end"), ("agent_reset", "far_end"), ("caller_hung_up", "edge")];
    assert_eq!(recorded(&bench), expected);
    bench.finish();
}

#[test]
fn and_so_does_a_target_that_refuses_or_says_nothing() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx"), to_trunk("backup")]);
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (desk, _) = bench.asked().remove(0);
    bench.lose(desk, StreamLoss::Status(401));
    bench.expect(PBX, "INVITE");
    // The target does not respond at all.
    let mut passed = 0;
    while !bench.sent.iter().any(|sent| sent.to == BACKUP.parse().unwrap()) {
        bench.sent.clear();
        bench.pass(Duration::from_millis(500));
        passed += 1;
        assert!(passed < 100);
    }
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    bench.expect(CARRIER, "SIP/2.0 486");
    assert_eq!(
        recorded(&bench),
        [("target_busy", "edge"), ("agent_refused", "far_end"), ("no_response", "edge"), ("target_busy", "far_end")]
    );
    let told = "Not answered (486): desk (an agent rejected the WebSocket handshake: status 401), pbx (no response from the target), backup (the callee \
                is busy).";
    assert_eq!(verdict(&bench), told);
}

#[test]
fn a_callee_that_hangs_up_and_an_operator() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (caller, _, desk) = bench.talking();
    bench.lose(desk, StreamLoss::Closed(Some(1011)));
    let callee = taken(&mut bench);
    bench.receive(PBX, callee.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    let expected = [("callee_hung_up", "edge"), ("agent_closed", "far_end"), ("callee_hung_up", "far_end")];
    assert_eq!(recorded(&bench), expected);
    bench.finish();

    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (caller, _, _) = bench.talking();
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    bench.control(OperatorCommand::Hangup { sid });
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    assert_eq!(recorded(&bench), [("operator", "edge"); 2]);
    bench.finish();
}

#[test]
fn an_agent_that_ends_its_part_or_has_had_its_time() {
    for (wish, expected) in
        [(None, ("agent_hung_up", "far_end")), (Some(AgentRequest::Hangup), ("agent_hung_up", "far_end"))]
    {
        let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
        let (caller, _, desk) = bench.talking();
        match wish {
            Some(wish) => bench.wish(desk, wish),
            None => bench.news(MediaEvent::Agent { end: desk, event: AgentEvent::Ended }),
        }
        let bye = bench.expect(CARRIER, "BYE");
        bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        assert_eq!(recorded(&bench), [("agent_hung_up", "edge"), expected]);
        bench.finish();
    }
    let desk = Agent { max_call: Duration::from_secs(5), ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_agent("desk")])));
    let (caller, _, _) = bench.talking();
    bench.pass(Duration::from_secs(6));
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    assert_eq!(recorded(&bench), [("max_call", "edge"); 2]);
    bench.finish();
}

/// Makes a call and transfers its caller to a target that refuses.
fn transfer_refused(connect: Vec<TargetSpec>, by_agent: bool) -> (Bench, crate::bench::Dialing) {
    let mut bench = Bench::with_agents(connect);
    let (caller, _, desk) = bench.talking();
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    if by_agent {
        bench.wish(desk, AgentRequest::Transfer("trunk:backup".into()));
    } else {
        bench.transfer(&sid, "trunk:backup", TransferMode::AtOnce).unwrap();
        bench.drain();
    }
    let backup = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, backup.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    (bench, caller)
}

#[test]
fn a_transfer_that_fails_with_nobody_left_says_why_the_call_ended() {
    for (by_agent, by) in [(true, "far_end"), (false, "edge")] {
        let (mut bench, caller) = transfer_refused(vec![to_agent("desk")], by_agent);
        let bye = bench.expect(CARRIER, "BYE");
        assert!(bye.header("Reason").contains("target_busy"), "{}", bye.text);
        bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        assert_eq!(recorded(&bench), [("target_busy", "edge"), ("transferred", by), ("target_busy", "far_end")]);
        assert_eq!(bench.reports[0].call.reason, Some("target_busy"));
        let verdict = verdict(&bench);
        assert!(verdict.starts_with("Answered by desk, ended after "), "{verdict}");
        assert!(verdict.ends_with("1 target failed: backup (the callee is busy)."), "{verdict}");
        bench.finish();
    }
}

#[test]
fn an_agent_named_again_has_back_the_caller_whose_transfer_failed() {
    let (mut bench, mut caller) = transfer_refused(vec![to_agent("desk"), to_agent("desk")], true);
    let (desk, _) = bench.asked().pop().unwrap();
    bench.open(desk);
    bench.nothing();
    assert_eq!((bench.state(), ends(&bench)[3]), ("answered", LIVE));
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn a_fork_says_why_it_ended() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, _, _) = bench.talking();
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let request = ForkRequest {
        listener: ForkDestination::Agent("scribe".into()),
        tracks: TrackSet::Both,
        parameters: Vec::new(),
    };
    let mut forks = Vec::new();
    for _ in 0..3 {
        forks.push(bench.begin_fork(&sid, &request).unwrap());
        bench.drain();
        let (end, _) = bench.asked().pop().unwrap();
        bench.open(end);
        if forks.len() == 1 {
            bench.lose(end, StreamLoss::PingUnanswered);
        }
    }
    assert_eq!((forks[0].reason, forks[0].ended_by), (None, None));
    let gone = bench.end_fork(&sid, &forks[1].id).unwrap();
    bench.drain();
    assert_eq!((gone.reason, gone.ended_by), (Some("operator"), Some("edge")));
    let told: Vec<_> = bench.gateway.forks(&sid).unwrap().iter().map(|fork| (fork.reason, fork.ended_by)).collect();
    let operator = (Some("operator"), Some("edge"));
    assert_eq!(told, [(Some("agent_ping_unanswered"), Some("edge")), operator, (None, None)]);
    hang_up(&mut bench, &mut caller);
    let last = *recorded(&bench).last().unwrap();
    assert_eq!(last, ("caller_hung_up", "edge"));
    bench.finish();
}
