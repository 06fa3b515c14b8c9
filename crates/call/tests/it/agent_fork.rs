//! Listeners of a call (`route.fork`): their sockets are opened with the route, they hear the caller's side from its
//! first packet on, and the loss of one does not affect the call.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use crate::bench::agents::{Told, agent, agent_table, hang_up, to_agent};
use crate::bench::{Bench, CARRIER, Dialed, Dialing, PBX, answer, offer, route, sdp, to_trunk};
use trunkgate_call::{ForkDestination, ForkRequest};
use trunkgate_media::agent::{StreamLoss, TrackSet};
use trunkgate_media::{AgentEvent, AgentRequest, EndId, MediaEvent, PayloadCodec, TapSpec};
use trunkgate_route::{Agent, AnswerTime, Route, TargetSpec};

fn forked(connect: Vec<TargetSpec>, fork: &[&str]) -> Bench {
    let fork = fork.iter().map(|name| (*name).to_owned()).collect();
    Bench::with(agent_table(vec![agent("desk"), agent("scribe"), agent("judge")], Route { fork, ..route(connect) }))
}

/// Makes a call that rings at the PBX; returns the scribe's end.
fn ringing(bench: &mut Bench) -> (Dialing, Dialed, EndId) {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let (scribe, settings) = bench.asked().remove(0);
    assert!(!settings.talks && settings.tracks == TrackSet::Both);
    (caller, callee, scribe)
}

fn answered(bench: &mut Bench, caller: &mut Dialing, callee: &Dialed) {
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
}

fn taps(bench: &mut Bench) -> Vec<Told> {
    bench.told().into_iter().filter(|told| matches!(told, Told::Tap(..))).collect()
}

#[test]
fn it_hears_the_callers_side_from_the_wiring_on() {
    let mut bench = forked(vec![to_trunk("pbx")], &["scribe"]);
    let (mut caller, callee, scribe) = ringing(&mut bench);
    assert_eq!(taps(&mut bench), []);
    bench.open(scribe);
    bench.nothing();
    // Early media is heard too.
    bench.receive(PBX, callee.answer(183, &answer()));
    bench.expect(CARRIER, "SIP/2.0 183");
    assert_eq!(taps(&mut bench), [Told::Tap(EndId(0), scribe, TapSpec::both(0, PayloadCodec::Pcmu))]);
    answered(&mut bench, &mut caller, &callee);
    assert_eq!(taps(&mut bench), [], "nothing has changed");
    let view = bench.gateway.calls(bench.now).remove(0);
    let legs: Vec<_> = view.legs.iter().map(|leg| (leg.kind, leg.agent.as_str(), leg.state)).collect();
    assert_eq!(legs, [("sip", "", "answered"), ("agent", "scribe", "answered"), ("sip", "", "answered")]);
    let trace = bench.gateway.trace(&view.sid).unwrap();
    assert_eq!(trace.legs, ["carrier", "scribe", "pbx"]);
    assert!(trace.verdict.starts_with("Answered by pbx."), "{}", trace.verdict);
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    assert!(bench.told().contains(&Told::Remove(scribe)));
    assert_eq!(bench.reports[0].failovers, 0);
    bench.finish();
}

/// The listener hears the caller while it waits for its agent, and during a goodbye.
#[test]
fn it_hears_a_caller_whom_nobody_has() {
    let goodbye = Some(vec![0x55; 8_000].into());
    let desk = Agent { answer: AnswerTime::AtOnce, goodbye, ..agent("desk") };
    let fork = vec!["scribe".to_owned()];
    let mut bench =
        Bench::with(agent_table(vec![desk, agent("scribe")], Route { fork, ..route(vec![to_agent("desk")]) }));
    bench.invite(CARRIER, "+14155550100", &offer());
    let (scribe, _) = bench.asked().remove(0);
    let (desk, _) = bench.asked().remove(1);
    let heard = Told::Tap(EndId(0), scribe, TapSpec::both(0, PayloadCodec::Pcmu));
    assert_eq!(taps(&mut bench), [heard], "at once");
    bench.open(scribe);
    bench.lose(desk, StreamLoss::Unreachable);
    let late = bench.gateway.calls(bench.now).remove(0).sid;
    assert!(bench.story().contains("the caller hears the goodbye"), "{}", bench.story());
    let who = ForkDestination::Url("ws://127.0.0.1/late".into());
    let request = ForkRequest { listener: who, tracks: TrackSet::Both, parameters: Vec::new() };
    bench.begin_fork(&late, &request).unwrap();
    bench.drain();
    assert_eq!(taps(&mut bench).len(), 1, "and who comes while it hears the goodbye");
}

#[test]
fn it_hears_a_caller_that_changes_its_codec_while_it_waits() {
    let desk = Agent { answer: AnswerTime::AtOnce, ..agent("desk") };
    let fork = vec!["scribe".to_owned()];
    let route = Route { fork, ..route(vec![to_agent("desk")]) };
    let mut bench = Bench::with(agent_table(vec![desk, agent("scribe")], route));
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let (scribe, _) = bench.asked().remove(0);
    taps(&mut bench);
    caller.cseq += 1;
    let alaw = sdp("198.51.100.7", 40_000, 2, "8 101", "sendrecv");
    bench.receive(CARRIER, caller.request("INVITE", &alaw, ""));
    assert_eq!(taps(&mut bench), [Told::Tap(EndId(0), scribe, TapSpec::both(8, PayloadCodec::Pcma))]);
}

#[test]
fn another_law_is_told_and_another_codec_noted() {
    let mut bench = forked(vec![to_trunk("pbx")], &["scribe"]);
    let (mut caller, callee, scribe) = ringing(&mut bench);
    answered(&mut bench, &mut caller, &callee);
    bench.told();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, 2, "8 101", "sendrecv"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let change = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&change, 200, &sdp("10.0.0.20", 30_000, 2, "8 101", "sendrecv")));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(taps(&mut bench), [Told::Tap(EndId(0), scribe, TapSpec::both(8, PayloadCodec::Pcma))]);

    let mut bench = forked(vec![to_trunk("pbx")], &["scribe"]);
    bench.invite(CARRIER, "+14155550100", &sdp("198.51.100.7", 40_000, 1, "18", "sendrecv"));
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &sdp("10.0.0.20", 30_000, 1, "18", "sendrecv")));
    assert_eq!((taps(&mut bench), bench.state()), (vec![], "answered"));
    assert!(bench.story().contains("listeners receive no audio"), "{}", bench.story());
}

/// Returns a tap of both laws in both directions.
fn both_laws() -> TapSpec {
    let laws = vec![(0, PayloadCodec::Pcmu), (8, PayloadCodec::Pcma)];
    TapSpec { inbound: laws.clone(), outbound: laws }
}

#[test]
fn it_hears_every_payload_that_was_agreed() {
    let mut bench = forked(vec![to_trunk("pbx")], &["scribe"]);
    let (mut caller, callee, scribe) = ringing(&mut bench);
    // The callee accepts both codecs, so either side may switch between them without a new offer.
    bench.receive(PBX, callee.answer(200, &sdp("10.0.0.20", 30_000, 1, "0 8 101", "sendrecv")));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(taps(&mut bench), [Told::Tap(EndId(0), scribe, both_laws())]);
}

#[test]
fn numbers_may_differ_by_direction() {
    let mut bench = forked(vec![to_trunk("pbx")], &["scribe"]);
    let named = |body: String, number: u8| {
        body.replace("a=rtpmap:101", &format!("a=rtpmap:{number} PCMU/8000\r\na=rtpmap:101"))
    };
    let mut caller = bench.invite(CARRIER, "+14155550100", "");
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let (scribe, _) = bench.asked().remove(0);
    bench.receive(PBX, callee.answer(200, &named(sdp("10.0.0.20", 30_000, 1, "96 101", "sendrecv"), 96)));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    // Offered 96, the caller answers with 97; its packets may have either payload type.
    let answer = named(sdp("198.51.100.7", 40_000, 1, "97 101", "sendrecv"), 97);
    bench.receive(CARRIER, caller.request("ACK", &answer, ""));
    let heard = TapSpec {
        inbound: vec![(96, PayloadCodec::Pcmu), (97, PayloadCodec::Pcmu)],
        outbound: vec![(97, PayloadCodec::Pcmu)],
    };
    assert_eq!(taps(&mut bench), [Told::Tap(EndId(0), scribe, heard)]);
}

#[test]
fn a_change_of_codec_after_a_transfer_is_heard_too() {
    let mut bench = forked(vec![to_agent("desk")], &["scribe"]);
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (scribe, desk) = (bench.asked()[0].0, bench.asked()[1].0);
    bench.open(scribe);
    bench.open(desk);
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.wish(desk, AgentRequest::Transfer("trunk:pbx".into()));
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    assert_eq!(taps(&mut bench), [Told::Tap(EndId(0), scribe, TapSpec::both(0, PayloadCodec::Pcmu))]);
    // The callee changes to PCMA, and the caller accepts.
    bench.receive(PBX, callee.request("INVITE", 2, &sdp("10.0.0.20", 30_000, 2, "8 101", "sendrecv")));
    bench.expect(PBX, "SIP/2.0 100");
    let change = bench.expect(CARRIER, "INVITE");
    bench.receive(CARRIER, caller.respond(&change, 200, &sdp("198.51.100.7", 40_000, 2, "8 101", "sendrecv")));
    bench.expect(CARRIER, "ACK");
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("ACK", 2, ""));
    assert_eq!(taps(&mut bench), [Told::Tap(EndId(0), scribe, TapSpec::both(8, PayloadCodec::Pcma))]);
}

#[test]
fn losing_it_harms_nobody() {
    for news in [
        |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Unreachable) },
        |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::PingUnanswered) },
        |end| MediaEvent::Agent { end, event: AgentEvent::Ended },
    ] {
        for when in ["before the answer", "after it"] {
            let mut bench = forked(vec![to_trunk("pbx")], &["scribe", "judge"]);
            let (mut caller, callee, scribe) = ringing(&mut bench);
            let (judge, _) = bench.asked().remove(1);
            if when == "after it" {
                bench.open(scribe);
                answered(&mut bench, &mut caller, &callee);
            }
            bench.told();
            bench.news(news(scribe));
            bench.nothing();
            assert_eq!(bench.told(), [Told::Remove(scribe)], "{when}");
            if when == "before the answer" {
                answered(&mut bench, &mut caller, &callee);
                assert_eq!(taps(&mut bench), [Told::Tap(EndId(0), judge, TapSpec::both(0, PayloadCodec::Pcmu))]);
            }
            assert_eq!((bench.state(), bench.asked().len()), ("answered", 0), "it is not tried again");
            hang_up(&mut bench, &mut caller);
            let bye = bench.expect(PBX, "BYE");
            bench.receive(PBX, callee.respond(&bye, 200, ""));
            assert_eq!((bench.reports[0].failovers, bench.reports[0].call.reason), (0, Some("caller_hung_up")));
            bench.finish();
        }
    }
}

#[test]
fn it_wants_nothing_of_the_call() {
    let mut bench = forked(vec![to_trunk("pbx")], &["scribe"]);
    let (mut caller, callee, scribe) = ringing(&mut bench);
    bench.open(scribe);
    answered(&mut bench, &mut caller, &callee);
    bench.wish(scribe, AgentRequest::Hangup);
    bench.wish(scribe, AgentRequest::Transfer("trunk:backup".into()));
    bench.nothing();
    assert_eq!(bench.state(), "answered");
    assert!(bench.story().contains("agent 1: requests an action for a call that it is not in"), "{}", bench.story());
}

#[test]
fn it_listens_to_a_call_with_an_agent_and_through_its_loss() {
    let mut bench = forked(vec![to_agent("desk"), to_trunk("pbx")], &["scribe"]);
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (scribe, desk) = (bench.asked()[0].0, bench.asked()[1].0);
    bench.open(scribe);
    bench.open(desk);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(taps(&mut bench), [Told::Tap(EndId(0), scribe, TapSpec::both(0, PayloadCodec::Pcmu))]);
    bench.lose(desk, StreamLoss::Reset);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    assert_eq!(taps(&mut bench), [], "the same audio of the same end");
    assert_eq!(bench.gateway.metrics().agent.sessions, 1);
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn a_refused_call_takes_its_listeners_with_it() {
    let mut bench = forked(vec![TargetSpec::Reject(486)], &["scribe"]);
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 486");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let (scribe, _) = bench.asked().remove(0);
    assert_eq!(bench.told(), [Told::Agent(scribe), Told::Remove(scribe), Told::Close]);
    bench.finish();
}

#[test]
fn no_call_has_more_listeners_than_the_limit() {
    let names = ["scribe", "judge", "scribe", "judge", "scribe", "judge"];
    let mut bench = forked(vec![to_trunk("pbx")], &names);
    bench.invite(CARRIER, "+14155550100", &offer());
    assert_eq!(bench.asked().len(), trunkgate_call::limits::LISTENERS_PER_CALL);
}
