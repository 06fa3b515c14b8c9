//! An agent that transfers its caller and stays until the target answers (`consult`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{Told, agent, agent_table, from_agent_wire, hang_up, to_agent, to_agent_wire};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, Dialing, PBX, Sent, answer, offer, route, sdp, to_trunk};
use trunkgate_call::limits::ATTEMPTS_PER_CALL;
use trunkgate_call::{RequestRefusal, TransferMode};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{AgentEvent, AgentRequest, EndId, MediaCommand, MediaEvent};
use trunkgate_route::{Agent, NumberingPlan, Pattern, QueueSettings, RoutingTable, TableDefinition};

const TARGET: &str = "trunk:backup/+14155550199";

fn answer_of_target() -> String {
    sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")
}

/// Connects the caller with the agent of a route that continues to the PBX, and begins a consultation with a called
/// target.
fn consulting(bench: &mut Bench) -> (Dialing, EndId, EndId, Dialed) {
    let (caller, own, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Consult(TARGET.into()));
    let target = called(bench);
    assert_eq!((bench.told(), bench.state()), (vec![], "transferring"), "the two talk on");
    (caller, own, desk, target)
}

fn called(bench: &mut Bench) -> Dialed {
    let invite = bench.expect(BACKUP, "INVITE sip:+14155550199@10.0.0.30");
    bench.nothing();
    Dialed { tag: "target".into(), ..Dialed::new(BACKUP, invite) }
}

fn usual() -> Bench {
    Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")])
}

/// Requests a transfer over HTTP.
fn asked(bench: &mut Bench, target: &str, consults: bool) -> Result<(), RequestRefusal> {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let done = match consults {
        true => bench.transfer(&sid, target, TransferMode::Consult),
        false => bench.transfer(&sid, target, TransferMode::AtOnce),
    };
    bench.drain();
    done
}

/// Answers the target: the caller's end is wired to it, the agent's is gone, and the caller gets no request.
fn taken(bench: &mut Bench, target: &Dialed, own: EndId, gone: &[EndId]) {
    bench.receive(BACKUP, target.answer(200, &answer_of_target()));
    bench.expect(BACKUP, "ACK");
    bench.nothing();
    let told = bench.told();
    let wired = |told: &&Told| matches!(told, Told::Wire(from, to, _) if *from == own || *to == own);
    assert_eq!(told.iter().filter(wired).count(), 2, "{told:?}");
    for gone in gone {
        assert!(told.contains(&Told::Remove(*gone)), "{told:?}");
    }
    assert_eq!(bench.state(), "answered");
}

/// Hangs up the caller's call with the target.
fn over(bench: &mut Bench, caller: &mut Dialing, target: &Dialed) {
    bench.bye(caller, target);
    bench.finish();
}

/// Completes the withdrawal of the target's INVITE.
fn canceled(bench: &mut Bench, target: &Dialed) -> Sent {
    let cancel = bench.expect(&target.peer, "CANCEL");
    bench.receive(&target.peer, target.respond(&cancel, 200, ""));
    bench.receive(&target.peer, target.answer(487, ""));
    bench.expect(&target.peer, "ACK");
    cancel
}

#[test]
fn the_agent_stays_until_the_target_answers_and_leaves_then() {
    for over_http in [false, true] {
        let mut bench = usual();
        let (mut caller, own, desk) = bench.talking();
        if over_http {
            asked(&mut bench, TARGET, true).unwrap();
        } else {
            bench.wish(desk, AgentRequest::Consult(TARGET.into()));
        }
        let target = called(&mut bench);
        assert!(
            target.invite.body().contains("RTP/AVP 0 8 107 101"),
            "what the caller speaks first: {}",
            target.invite.text
        );
        for said in [target.answer(180, ""), target.answer(183, &answer_of_target())] {
            bench.receive(BACKUP, said);
            bench.nothing();
            assert_eq!((bench.told(), bench.state()), (vec![], "transferring"), "the two talk on");
        }
        // The agent still has the caller.
        bench.wish(desk, AgentRequest::Dtmf("5".into()));
        assert_eq!(bench.told(), [Told::Press(own, 101, "5".into())]);
        let verdict = bench.gateway.trace(&bench.gateway.calls(bench.now)[0].sid).unwrap().verdict;
        assert!(verdict.starts_with("Answered by desk, connected until backup answers."), "{verdict}");
        taken(&mut bench, &target, own, &[desk]);
        over(&mut bench, &mut caller, &target);
        let legs = &bench.reports[0].call.legs;
        let by = if over_http { "edge" } else { "far_end" };
        assert_eq!((legs[1].reason, legs[1].ended_by), (Some("transferred"), Some(by)));
        assert_eq!((bench.reports[0].call.reason, bench.reports[0].failovers), (Some("caller_hung_up"), 0));
    }
}

#[test]
fn where_nobody_answers_the_caller_stays_and_the_agent_is_told_why() {
    for (code, reason) in
        [(486, "target_busy"), (404, "target_rejected"), (603, "target_rejected"), (401, "credentials_refused")]
    {
        let mut bench = usual();
        let (mut caller, own, desk, target) = consulting(&mut bench);
        bench.receive(BACKUP, target.answer(code, ""));
        bench.expect(BACKUP, "ACK");
        bench.nothing();
        let failed = Told::TransferFailed(desk, TARGET.into(), reason, Some(code));
        assert_eq!(bench.told(), [Told::Remove(EndId(2)), failed], "the target's end, and the news");
        assert_eq!(bench.state(), "answered");
        assert!(bench.story().contains("the caller stays with desk"), "{}", bench.story());
        // Another consultation may succeed.
        bench.wish(desk, AgentRequest::Consult(TARGET.into()));
        let again = called(&mut bench);
        taken(&mut bench, &again, own, &[desk]);
        over(&mut bench, &mut caller, &again);
        assert_eq!(bench.reports[0].failovers, 0, "the caller never went on for a failure");
    }
}

#[test]
fn a_target_that_rings_for_too_long_or_is_silent_has_not_answered() {
    for (rings, reason) in [(true, "ring_timeout"), (false, "no_response")] {
        let mut bench = usual();
        let (mut caller, _, desk, target) = consulting(&mut bench);
        if rings {
            bench.receive(BACKUP, target.answer(180, ""));
        }
        let failed = Told::TransferFailed(desk, TARGET.into(), reason, None);
        let mut told = (0..600).map(|_| {
            bench.pass(Duration::from_secs(1));
            bench.told()
        });
        assert_eq!(told.find(|told| !told.is_empty()).unwrap(), [Told::Remove(EndId(2)), failed]);
        assert_eq!(bench.state(), "answered");
        if rings {
            canceled(&mut bench, &target);
        }
        bench.sent.clear();
        hang_up(&mut bench, &mut caller);
        bench.finish();
    }
}

#[test]
fn after_a_consultation_that_failed_the_fallback_is_as_it_was() {
    let mut bench = usual();
    let (mut caller, own, desk, target) = consulting(&mut bench);
    bench.receive(BACKUP, target.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    bench.lose(desk, StreamLoss::Reset);
    let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:+14155550100@"));
    bench.receive(PBX, pbx.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.nothing();
    assert!(bench.told().iter().any(|told| matches!(told, Told::Wire(from, ..) if *from == own)));
    over(&mut bench, &mut caller, &pbx);
}

#[test]
fn a_caller_that_hangs_up_meanwhile_withdraws_it() {
    let mut bench = usual();
    let (mut caller, _, desk, target) = consulting(&mut bench);
    bench.receive(BACKUP, target.answer(180, ""));
    hang_up(&mut bench, &mut caller);
    canceled(&mut bench, &target);
    assert_eq!(bench.told().iter().filter(|told| **told == Told::Remove(desk)).count(), 1);
    bench.finish();
    let record = &bench.reports[0].call;
    assert_eq!((record.reason, record.legs[2].reason), (Some("caller_hung_up"), Some("caller_hung_up")));
}

/// The agent is lost or closes: the target continues to ring, the caller hears ringback or early media, and is
/// connected.
#[test]
fn an_agent_that_goes_meanwhile_leaves_the_target_ringing_for_the_caller() {
    for (lost, early) in [(true, false), (false, false), (true, true)] {
        let mut bench = usual();
        let (mut caller, own, desk, target) = consulting(&mut bench);
        bench.receive(BACKUP, if early { target.answer(183, &answer_of_target()) } else { target.answer(180, "") });
        bench.news(if lost {
            MediaEvent::Agent { end: desk, event: AgentEvent::Lost(StreamLoss::Reset) }
        } else {
            MediaEvent::Agent { end: desk, event: AgentEvent::Ended }
        });
        bench.nothing();
        let told = bench.told();
        let tone = told.iter().find_map(|told| if let Told::Ringback(end) = told { Some(*end) } else { None }).unwrap();
        assert!(told.contains(&Told::Remove(desk)) && told.contains(&Told::Wire(tone, own, from_agent_wire())));
        let hears_target = matches!(told.last(), Some(Told::Wire(_, to, _)) if *to == own) && early;
        assert_eq!((hears_target, bench.state()), (early, "transferring"), "{told:?}");
        bench.receive(BACKUP, target.answer(200, &answer_of_target()));
        bench.expect(BACKUP, "ACK");
        bench.nothing();
        assert!(bench.told().contains(&Told::Remove(tone)));
        assert_eq!(bench.state(), "answered");
        over(&mut bench, &mut caller, &target);
        let reason = if lost { "agent_reset" } else { "agent_hung_up" };
        assert_eq!(bench.reports[0].call.legs[1].reason, Some(reason));
    }
}

#[test]
fn where_that_target_fails_too_the_caller_goes_on_as_from_any_agent() {
    for retry in [0, 1] {
        let desk = Agent { retry, ..agent("desk") };
        let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_agent("desk"), to_trunk("pbx")])));
        let (mut caller, own, desk, target) = consulting(&mut bench);
        bench.lose(desk, StreamLoss::Reset);
        bench.told();
        bench.receive(BACKUP, target.answer(486, ""));
        bench.expect(BACKUP, "ACK");
        if retry == 1 {
            let (again, _) = bench.asked().pop().unwrap();
            bench.open(again);
            assert!(bench.told().contains(&Told::Wire(own, again, to_agent_wire())));
            bench.nothing();
            hang_up(&mut bench, &mut caller);
            bench.finish();
        } else {
            let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:+14155550100@"));
            bench.receive(PBX, pbx.answer(200, &answer()));
            bench.expect(PBX, "ACK");
            over(&mut bench, &mut caller, &pbx);
        }
    }
}

#[test]
fn an_agent_that_hangs_up_meanwhile_ends_the_call() {
    let mut bench = usual();
    let (caller, _, desk, target) = consulting(&mut bench);
    bench.receive(BACKUP, target.answer(180, ""));
    bench.wish(desk, AgentRequest::Hangup);
    canceled(&mut bench, &target);
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
    assert_eq!(bench.reports[0].call.reason, Some("agent_hung_up"));
}

/// The later transfer counts, with `consult` or without, over HTTP or from the agent.
#[test]
fn a_further_transfer_takes_the_place_of_the_one_before() {
    for (over_http, consults) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut bench = usual();
        let (mut caller, own, desk, target) = consulting(&mut bench);
        bench.receive(BACKUP, target.answer(180, ""));
        let other = "trunk:pbx/+14155550177".to_owned();
        match (over_http, consults) {
            (true, _) => asked(&mut bench, &other, consults).unwrap(),
            (false, true) => bench.wish(desk, AgentRequest::Consult(other)),
            (false, false) => bench.wish(desk, AgentRequest::Transfer(other)),
        }
        canceled(&mut bench, &target);
        let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:+14155550177@"));
        let told = bench.told();
        assert_eq!(told.contains(&Told::Remove(desk)), !consults, "{told:?}");
        assert!(!told.iter().any(|told| matches!(told, Told::TransferFailed(..))), "{told:?}");
        if !consults {
            assert_eq!(asked(&mut bench, TARGET, true), Err(RequestRefusal::Transferring));
        }
        bench.receive(PBX, pbx.answer(200, &answer()));
        bench.expect(PBX, "ACK");
        assert!(bench.told().iter().any(|told| matches!(told, Told::Wire(from, ..) if *from == own)));
        over(&mut bench, &mut caller, &pbx);
    }
}

#[test]
fn an_agent_may_be_consulted_too() {
    let mut bench = usual();
    let (mut caller, own, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Consult("agent:night".into()));
    let (night, _) = bench.asked().pop().unwrap();
    assert_eq!((bench.told(), bench.state()), (vec![Told::Agent(night)], "transferring"));
    bench.open(night);
    let wires = [Told::Wire(own, night, to_agent_wire()), Told::Wire(night, own, from_agent_wire())];
    assert_eq!(bench.told(), [vec![Told::Remove(desk)], wires.to_vec()].concat());
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn an_agent_that_cannot_be_had_is_tried_as_often_as_ever_and_leaves_the_caller_where_it_is() {
    let night = Agent { retry: 1, ..agent("night") };
    let mut bench =
        Bench::with(agent_table(vec![agent("desk"), night], route(vec![to_agent("desk"), to_trunk("pbx")])));
    let (mut caller, _, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Consult("agent:night".into()));
    for last in [false, true] {
        let (night, _) = bench.asked().pop().unwrap();
        bench.media.clear();
        bench.lose(night, StreamLoss::Unreachable);
        let failed = matches!(bench.media.last(), Some((_, MediaCommand::TransferFailed { end, .. })) if *end == desk);
        assert_eq!(failed, last, "{:?}", bench.media);
    }
    let failed = Told::TransferFailed(desk, "agent:night".into(), "agent_unreachable", None);
    assert_eq!(bench.told().last(), Some(&failed));
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

/// A caller remains connected with its agent while it waits for a session of another one.
#[test]
fn a_session_of_another_agent_is_waited_for_in_conversation() {
    let night = Agent {
        max_sessions: 1,
        queue: Some(QueueSettings { size: 1, wait: Duration::from_secs(20) }),
        ..agent("night")
    };
    let agents = vec![Agent { max_sessions: 2, ..agent("desk") }, night];
    let mut bench = Bench::with(agent_table(agents, route(vec![to_agent("desk")])));
    let (mut first, _, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Transfer("agent:night".into()));
    let (night, _) = bench.asked().pop().unwrap();
    bench.open(night);
    bench.media.clear();
    let mut second = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (id, desk) = bench
        .media
        .iter()
        .find_map(|(id, command)| match command {
            MediaCommand::AddAgent { end, .. } => Some((*id, *end)),
            _ => None,
        })
        .unwrap();
    let tell = |bench: &mut Bench, event| bench.input(trunkgate_call::GatewayInput::Media { id, event });
    tell(&mut bench, MediaEvent::Agent { end: desk, event: AgentEvent::Open });
    second.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, second.request("ACK", "", ""));
    bench.told();
    tell(
        &mut bench,
        MediaEvent::Agent { end: desk, event: AgentEvent::Request(AgentRequest::Consult("agent:night".into())) },
    );
    assert_eq!(bench.told(), [], "it waits, and hears its agent");
    bench.pass(Duration::from_secs(21));
    assert_eq!(bench.told(), [Told::TransferFailed(desk, "agent:night".into(), "queue_timeout", None)]);
    // The queue reaches the call again later.
    tell(
        &mut bench,
        MediaEvent::Agent { end: desk, event: AgentEvent::Request(AgentRequest::Consult("agent:night".into())) },
    );
    hang_up(&mut bench, &mut first);
    bench.pass(Duration::from_secs(5));
    let (night, _) = bench.asked().pop().unwrap();
    tell(&mut bench, MediaEvent::Agent { end: night, event: AgentEvent::Open });
    assert!(bench.told().contains(&Told::Remove(desk)));
    hang_up(&mut bench, &mut second);
    bench.finish();
}

#[test]
fn what_is_no_target_is_said_to_the_agent_that_waits_for_it() {
    let mut bench = usual();
    let (mut caller, _, desk) = bench.talking();
    for (target, reason, refused) in [
        ("trunk:nowhere", "unknown_target", RequestRefusal::UnknownTarget),
        ("reject:486", "bad_target", RequestRefusal::BadTarget),
        ("agent:desk", "same_agent", RequestRefusal::SameAgent),
    ] {
        bench.wish(desk, AgentRequest::Consult(target.into()));
        assert_eq!(bench.told(), [Told::TransferFailed(desk, target.into(), reason, None)]);
        assert_eq!(asked(&mut bench, target, true), Err(refused));
        assert_eq!((bench.told(), bench.state()), (vec![], "answered"));
    }
    bench.nothing();
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

/// A target that fails before any call costs no leg; such attempts are limited all the same.
#[test]
fn no_call_is_consulted_about_without_end() {
    let mut trunks = crate::bench::usual_trunks();
    trunks[2].deny = vec![Pattern::parse("+1415555019*").unwrap()];
    let definition = TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks,
        agents: vec![agent("desk")],
        routes: vec![route(vec![to_agent("desk"), to_trunk("pbx")])],
    };
    let mut bench = Bench::with(Arc::new(RoutingTable::new(definition)));
    let (mut caller, _, desk) = bench.talking();
    let failed = |reason| Told::TransferFailed(desk, TARGET.into(), reason, None);
    for _ in 0..ATTEMPTS_PER_CALL {
        bench.wish(desk, AgentRequest::Consult(TARGET.into()));
        assert_eq!((bench.told(), bench.state()), (vec![failed("denied")], "answered"));
    }
    bench.wish(desk, AgentRequest::Consult(TARGET.into()));
    assert_eq!(bench.told(), [failed("too_many_targets")]);
    assert_eq!(asked(&mut bench, TARGET, true), Err(RequestRefusal::TooManyTargets));
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

/// The caller's session is offered to the ringing target, so it may not change until that is over, as with any target.
#[test]
fn the_caller_may_refresh_its_session_meanwhile_but_not_change_it() {
    let mut bench = usual();
    let (mut caller, own, desk, target) = consulting(&mut bench);
    let moved = sdp("198.51.100.7", 40_002, 2, "0 8 101", "sendrecv");
    for (body, code) in [(offer(), "SIP/2.0 200"), (moved.clone(), "SIP/2.0 491")] {
        caller.cseq += 1;
        bench.receive(CARRIER, caller.request("INVITE", &body, ""));
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(CARRIER, code);
        bench.receive(CARRIER, caller.request("ACK", "", ""));
    }
    bench.receive(BACKUP, target.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &moved, ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.told();
    bench.wish(desk, AgentRequest::Consult(TARGET.into()));
    let again = called(&mut bench);
    taken(&mut bench, &again, own, &[desk]);
    over(&mut bench, &mut caller, &again);
}

/// A caller without an offer: only its ACK has its media address.
#[test]
fn a_target_is_called_once_it_is_known_where_the_callers_media_goes() {
    let mut bench = usual();
    let mut caller = bench.invite(CARRIER, "+14155550100", "");
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (desk, _) = bench.asked().pop().unwrap();
    bench.open(desk);
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.wish(desk, AgentRequest::Consult(TARGET.into()));
    bench.nothing();
    assert_eq!(bench.state(), "transferring");
    bench.receive(CARRIER, caller.request("ACK", &offer(), ""));
    let target = called(&mut bench);
    let own = EndId(0);
    assert!(bench.told().contains(&Told::Wire(own, desk, to_agent_wire())), "the two talk meanwhile");
    taken(&mut bench, &target, own, &[desk]);
    over(&mut bench, &mut caller, &target);
}

#[test]
fn an_agent_whose_max_call_is_over_leaves_and_the_target_rings_on() {
    let desk = Agent { max_call: Duration::from_secs(30), ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_agent("desk")])));
    let (mut caller, own, desk, target) = consulting(&mut bench);
    bench.receive(BACKUP, target.answer(180, ""));
    bench.pass(Duration::from_secs(31));
    assert_eq!(bench.state(), "transferring");
    assert!(bench.told().contains(&Told::Remove(desk)));
    taken(&mut bench, &target, own, &[]);
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.state(), "answered", "the party that has it now may keep it");
    over(&mut bench, &mut caller, &target);
    assert_eq!(bench.reports[0].call.legs[1].reason, Some("max_call"));
}

#[test]
fn a_restart_forgets_it_and_the_agent_is_connected_anew() {
    let table = agent_table(vec![agent("desk")], route(vec![to_agent("desk"), to_trunk("pbx")]));
    let mut bench = Bench::with(table.clone());
    let (mut caller, own, _, target) = consulting(&mut bench);
    bench.restart(table);
    bench.withdrawn(&target);
    bench.nothing();
    let (again, _) = bench.asked().pop().unwrap();
    bench.open(again);
    assert!(bench.told().contains(&Told::Wire(own, again, to_agent_wire())));
    assert_eq!(bench.state(), "answered");
    bench.lose(again, StreamLoss::Reset);
    let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:+14155550100@"));
    bench.receive(PBX, pbx.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    over(&mut bench, &mut caller, &pbx);
}

/// A consultation target may forward its call without changing the caller's own fallback targets.
#[test]
fn a_target_that_forwards_a_consultation_puts_nothing_before_the_fallback() {
    let moved = |bench: &mut Bench, target: &Dialed, number: &str| {
        let contact = format!("Contact: <sip:{number}@10.0.0.5:5060>");
        let text = target.answer(302, "").replace(&format!("Contact: <sip:bob@{}>", target.peer), &contact);
        bench.receive(BACKUP, text);
        bench.expect(BACKUP, "ACK");
    };
    let to = |number: &str, connect| trunkgate_route::Route {
        from: vec!["backup".into()],
        to: vec![Pattern::parse(number).unwrap()],
        ..route(connect)
    };
    let numbers = NumberingPlan::new("US").unwrap();
    let routes = vec![
        to("200", vec![trunkgate_route::TargetSpec::Reject(404)]),
        to("201", vec![to_trunk("backup"), to_agent("night"), to_trunk("pbx")]),
        route(vec![to_agent("desk"), to_trunk("pbx")]),
    ];
    let trunks = crate::bench::usual_trunks();
    let definition = TableDefinition { numbers, trunks, agents: vec![agent("desk"), agent("night")], routes };
    for number in ["200", "201"] {
        let mut bench = Bench::with(Arc::new(RoutingTable::new(definition.clone())));
        let (mut caller, _, desk, target) = consulting(&mut bench);
        moved(&mut bench, &target, number);
        if number == "201" {
            let other = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE sip:201@"));
            bench.receive(BACKUP, other.answer(480, ""));
            bench.expect(BACKUP, "ACK");
            let last = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:201@"));
            bench.receive(PBX, last.answer(404, ""));
            bench.expect(PBX, "ACK");
        }
        assert_eq!(bench.state(), "answered", "the caller stays with its agent: {}", bench.story());
        bench.nothing();
        // The target may forward to the same number again.
        bench.wish(desk, AgentRequest::Consult(TARGET.into()));
        let again = called(&mut bench);
        moved(&mut bench, &again, "201");
        let forwarded = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE sip:201@"));
        bench.receive(BACKUP, forwarded.answer(404, ""));
        bench.expect(BACKUP, "ACK");
        bench.lose(desk, StreamLoss::Reset);
        let fallback = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:+14155550100@"));
        bench.receive(PBX, fallback.answer(200, &answer()));
        bench.expect(PBX, "ACK");
        bench.bye(&mut caller, &fallback);
        bench.finish();
    }
}
