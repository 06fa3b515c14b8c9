//! An agent that ends its part in the call properly, or requests an action.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use crate::bench::agents::{Told, agent, agent_table, hang_up, to_agent};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, PBX, answer, route, sdp, to_trunk};
use trunkgate_call::limits::{AGENT_REQUESTS_NOTED, ATTEMPTS_PER_CALL};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{AgentEvent, AgentRequest, EndId, MediaEvent};
use trunkgate_route::{Agent, OnClose};

#[test]
fn closing_with_1000_ends_the_call() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (caller, _, desk) = bench.talking();
    bench.news(MediaEvent::Agent { end: desk, event: AgentEvent::Ended });
    let bye = bench.expect(CARRIER, "BYE");
    assert!(bye.header("Reason").contains("cause=16") && bye.header("Reason").contains("agent_hung_up"));
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.nothing();
    assert_eq!(bench.reports[0].call.reason, Some("agent_hung_up"));
    assert!(bench.story().contains("agent 1: closed with 1000"), "{}", bench.story());
    bench.finish();
}

#[test]
fn or_goes_on_to_the_next_target_where_that_is_configured() {
    let desk = Agent { on_close: OnClose::Next, ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_agent("desk"), to_trunk("pbx")])));
    let (mut caller, _, desk) = bench.talking();
    bench.news(MediaEvent::Agent { end: desk, event: AgentEvent::Ended });
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn an_agent_may_hang_up() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (caller, _, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Hangup);
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    assert_eq!(bench.told(), [Told::Remove(desk), Told::Close]);
    assert_eq!(bench.reports[0].call.reason, Some("agent_hung_up"));
    bench.finish();
}

#[test]
fn a_transfer_comes_before_the_targets_that_are_left() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, _, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Transfer("trunk:backup/+14155550199".into()));
    let invite = bench.expect(BACKUP, "INVITE sip:+14155550199@10.0.0.30");
    bench.nothing();
    assert_eq!(bench.state(), "transferring");
    assert!(bench.told().contains(&Told::Remove(desk)));
    let callee = Dialed::new(BACKUP, invite);
    bench.receive(BACKUP, callee.answer(480, ""));
    bench.expect(BACKUP, "ACK");
    let second = Dialed::new(PBX, bench.expect(PBX, "INVITE sip:+14155550100@"));
    bench.receive(PBX, second.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, second.respond(&bye, 200, ""));
    // A transfer is no failure; its target has failed.
    let failovers: Vec<_> = bench.gateway.metrics().failovers.iter().map(|((_, why), n)| (*why, *n)).collect();
    assert_eq!(failovers, [("target_rejected", 1)]);
    bench.finish();
}

#[test]
fn an_agent_may_hand_over_to_another() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, _, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Transfer("agent:night".into()));
    let (night, _) = bench.asked().pop().unwrap();
    bench.open(night);
    bench.nothing();
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

/// An agent that transfers the caller to itself endlessly: in the end the caller stays with it.
#[test]
fn too_many_transfers_do_not_lose_the_caller() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, _, mut desk) = bench.talking();
    for _ in 1..ATTEMPTS_PER_CALL {
        bench.wish(desk, AgentRequest::Transfer("agent:desk".into()));
        desk = bench.asked().pop().unwrap().0;
        bench.open(desk);
        bench.told();
    }
    bench.wish(desk, AgentRequest::Transfer("agent:desk".into()));
    bench.nothing();
    assert_eq!((bench.state(), bench.told()), ("answered", vec![]));
    assert!(bench.story().ends_with("too many transfers: the caller stays"), "{}", bench.story());
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

/// Transfers leave enough legs for the targets of the caller's route: each peer of the fallback can be tried.
#[test]
fn many_transfers_leave_legs_for_the_fallback() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx"), to_trunk("backup")]);
    let (mut caller, _, mut desk) = bench.talking();
    let mut streams = 1;
    loop {
        bench.wish(desk, AgentRequest::Transfer("agent:desk".into()));
        let Some((next, _)) = bench.asked().pop().filter(|(next, _)| *next != desk) else { break };
        desk = next;
        streams += 1;
        bench.open(desk);
    }
    assert_eq!(streams, ATTEMPTS_PER_CALL - 2);
    bench.lose(desk, StreamLoss::Reset);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(503, ""));
    bench.expect(PBX, "ACK");
    let callee = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, callee.answer(200, &sdp("10.0.0.30", 30_000, 1, "0 101", "sendrecv")));
    assert_eq!(bench.state(), "answered");
    bench.sent.clear();
    hang_up(&mut bench, &mut caller);
}

#[test]
fn what_cannot_be_done_is_noted_and_the_call_goes_on() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, _, desk) = bench.talking();
    for target in ["trunk:nowhere", "agent:nobody", "reject:486", "", "trunk:pbx/+1x", &"x".repeat(5000)] {
        bench.wish(desk, AgentRequest::Transfer(target.to_owned()));
    }
    bench.news(MediaEvent::Agent {
        end: desk,
        event: AgentEvent::Note { text: format!("not JSON:\r\n{}", "y".repeat(5000)), logged: true },
    });
    bench.nothing();
    assert_eq!((bench.state(), bench.told()), ("answered", vec![]));
    let clear = MediaEvent::Agent {
        end: desk,
        event: AgentEvent::Note { text: "clear: 1,240 ms not played".into(), logged: false },
    };
    bench.news(clear);
    let story = bench.story();
    assert!(story.contains("transfer to trunk:nowhere: unknown target"), "{story}");
    assert!(story.lines().any(|line| line.ends_with("clear: 1,240 ms not played")), "{story}");
    assert!(story.contains("not JSON:  yyy") && story.lines().all(|line| line.len() < 400), "{story}");
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn an_agent_presses_keys_towards_the_caller_and_nobody_else_hears_which() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, own, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Dtmf("1234#".into()));
    bench.nothing();
    assert_eq!(bench.told(), [Told::Press(own, 101, "1234#".into())]);
    let story = bench.story();
    assert!(story.contains("agent 1: sends 5 DTMF digits"), "{story}");
    assert!(!story.contains("1234") && !bench.logs.iter().any(|line| line.contains("1234")));
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn a_caller_has_keys_pressed_by_the_number_that_it_wants_or_not_at_all() {
    let events = |number: u8, offered: &str| {
        let body = sdp("198.51.100.7", 40_000, 1, offered, "sendrecv");
        body.replace("a=rtpmap:101", &format!("a=rtpmap:{number}"))
    };
    for (offer, ack, number) in [
        (events(96, "0 96"), String::new(), Some(96)),
        (events(101, "0"), String::new(), None),
        // The caller was offered 101, and answers with 97.
        (String::new(), events(97, "0 97"), Some(97)),
        (String::new(), events(97, "0"), None),
    ] {
        let mut bench = Bench::with_agents(vec![to_agent("desk")]);
        let mut caller = bench.invite(CARRIER, "+14155550100", &offer);
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(CARRIER, "SIP/2.0 180");
        let (desk, _) = bench.asked().remove(0);
        bench.open(desk);
        caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
        bench.receive(CARRIER, caller.request("ACK", &ack, ""));
        bench.told();
        bench.wish(desk, AgentRequest::Dtmf("5".into()));
        let expected: Vec<Told> = number.map(|n| Told::Press(EndId(0), n, "5".into())).into_iter().collect();
        assert_eq!(bench.told(), expected);
        assert_eq!(bench.story().contains("does not support telephone-event"), number.is_none());
        hang_up(&mut bench, &mut caller);
        bench.finish();
    }
}

/// Only the agent may transfer its caller: the caller's own REFER is refused with the reason.
#[test]
fn an_agents_caller_is_told_who_may_transfer_it() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, ..) = bench.talking();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("REFER", "", "Refer-To: <sip:+12125550100@203.0.113.10>\r\n"));
    let refused = bench.expect(CARRIER, "SIP/2.0 403");
    assert!(refused.header("Warning").contains("the other side is an agent"), "{}", refused.text);
    assert!(refused.header("Reason").contains("denied"), "{}", refused.text);
    bench.nothing();
    assert_eq!((bench.state(), bench.told()), ("answered", vec![]));
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn wishes_do_not_fill_the_trace() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, _, desk) = bench.talking();
    for _ in 0..10 * AGENT_REQUESTS_NOTED {
        bench.wish(desk, AgentRequest::Dtmf("1".into()));
        bench.wish(desk, AgentRequest::Transfer("agent:nobody".into()));
    }
    let story = bench.story();
    let noted = ["sends 1 DTMF digits", "unknown target"].map(|text| story.matches(text).count());
    assert_eq!(noted, [AGENT_REQUESTS_NOTED as usize / 2; 2]);
    assert!(story.contains("target desk"), "{story}");
    hang_up(&mut bench, &mut caller);
    bench.finish();
}
