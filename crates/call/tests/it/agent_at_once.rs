//! `answer = "at_once"`: the caller is answered before the agent is connected, and hears hold audio until then.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use crate::bench::agents::{Told, agent, agent_table, from_agent_wire, hang_up, to_agent, to_agent_wire};
use crate::bench::{Bench, CARRIER, Dialed, Dialing, PBX, answer, offer, route, sdp, to_trunk};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{EndId, HoldSound, MediaCommand, MediaEvent, PayloadCodec, WireSpec};
use trunkgate_route::{Agent, AnswerTime, HoldAudio, TargetSpec};

fn hold() -> HoldAudio {
    HoldAudio { first: Some(vec![0x20; 400].into()), music: Some(vec![0x30; 500].into()) }
}

fn sound() -> HoldSound {
    let HoldAudio { first, music } = hold();
    HoldSound { first, music }
}

fn at_once(connect: Vec<TargetSpec>) -> Bench {
    let goodbye = Some(vec![0x55; 8_000].into());
    let desk = Agent { answer: AnswerTime::AtOnce, hold: Some(hold()), goodbye, ..agent("desk") };
    Bench::with(agent_table(vec![desk, agent("night")], route(connect)))
}

/// Returns an answered call that waits for the desk: the desk's end, and the player's.
fn waiting(bench: &mut Bench) -> (Dialing, EndId, EndId) {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("RTP/AVP 0 101\r\n"), "{}", ok.text);
    let caller = Dialing { to_tag: ok.tag("To"), ..caller };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.nothing();
    assert_eq!(bench.state(), "answered");
    let (desk, _) = bench.asked().remove(0);
    let player = EndId(desk.0 + 1);
    let heard = [Told::Agent(desk), Told::Hold(player, sound()), Told::Wire(player, EndId(0), from_agent_wire())];
    assert_eq!(bench.told(), heard);
    (caller, desk, player)
}

#[test]
fn the_caller_is_answered_and_hears_hold_audio_until_the_agent_is_there() {
    let mut bench = at_once(vec![to_agent("desk")]);
    let (mut caller, desk, player) = waiting(&mut bench);
    bench.pass(Duration::from_secs(1));
    bench.open(desk);
    bench.nothing();
    let told = [
        Told::Wire(EndId(0), desk, to_agent_wire()),
        Told::Wire(desk, EndId(0), from_agent_wire()),
        Told::Remove(player),
    ];
    assert_eq!(bench.told(), told);
    let view = bench.gateway.calls(bench.now).remove(0);
    assert_eq!((view.state, view.outcome), ("answered", Some("answered")));
    assert!(bench.story().contains("answered before desk is connected"), "{}", bench.story());
    bench.pass(Duration::from_secs(2));
    hang_up(&mut bench, &mut caller);
    assert_eq!((bench.reports[0].sip_code, bench.reports[0].failovers), (200, 0));
    bench.finish();
}

#[test]
fn a_lost_agent_is_followed_by_the_same_hold_audio_and_the_next_target() {
    let mut bench = at_once(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, desk, player) = waiting(&mut bench);
    bench.lose(desk, StreamLoss::Unreachable);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    assert_eq!(bench.told(), [Told::Remove(desk)], "the audio goes on");
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.nothing();
    assert!(bench.told().contains(&Told::Remove(player)));
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].failovers, 1);
    bench.finish();
}

#[test]
fn with_nobody_left_it_hears_the_goodbye() {
    let mut bench = at_once(vec![to_agent("desk")]);
    let (caller, desk, player) = waiting(&mut bench);
    bench.lose(desk, StreamLoss::Unreachable);
    let last = EndId(player.0 + 1);
    let told = [
        Told::Remove(desk),
        Told::Remove(player),
        Told::Once(last, 8_000),
        Told::Wire(last, EndId(0), from_agent_wire()),
    ];
    assert_eq!(bench.told(), told);
    bench.news(MediaEvent::Played { end: last });
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    let record = &bench.reports[0];
    assert_eq!((record.call.outcome, record.call.reason), (Some("answered"), Some("agent_unreachable")));
    bench.finish();
}

#[test]
fn in_mid_call_the_hold_audio_begins_anew() {
    let mut bench = at_once(vec![to_agent("desk"), to_agent("night")]);
    let (_, desk, _) = waiting(&mut bench);
    bench.open(desk);
    bench.told();
    bench.lose(desk, StreamLoss::Reset);
    let (night, _) = bench.asked().remove(0);
    let player = EndId(night.0 + 1);
    let told = bench.told();
    assert!(told.contains(&Told::Hold(player, sound())), "{told:?}");
    bench.open(night);
    bench.told();
    bench.lose(night, StreamLoss::Reset);
    assert!(
        matches!(bench.told()[..], [Told::Remove(_), Told::Once(..), Told::Wire(..)]),
        "no target is left to wait for"
    );
}

#[test]
fn a_caller_without_an_offer_says_first_where_its_media_goes() {
    let mut bench = at_once(vec![to_agent("desk")]);
    let mut caller = bench.invite(CARRIER, "+14155550100", "");
    bench.expect(CARRIER, "SIP/2.0 100");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("RTP/AVP 0 8 96 101\r\n"), "{}", ok.text);
    assert_eq!((bench.asked().len(), bench.told()), (0, vec![]));
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", &sdp("198.51.100.7", 40_000, 1, "8 101", "sendrecv"), ""));
    let (desk, _) = bench.asked().remove(0);
    let player = EndId(desk.0 + 1);
    let talks = WireSpec { payloads: vec![(0, 8)], coding: PayloadCodec::Pcma, ..WireSpec::default() };
    assert_eq!(bench.told(), [Told::Agent(desk), Told::Hold(player, sound()), Told::Wire(player, EndId(0), talks)]);
    bench.open(desk);
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn a_waiting_caller_may_change_its_session() {
    let mut bench = at_once(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, desk, player) = waiting(&mut bench);
    let mut change = |bench: &mut Bench, body: &str| {
        caller.cseq += 1;
        bench.receive(CARRIER, caller.request("INVITE", body, ""));
        bench.expect(CARRIER, "SIP/2.0 100");
        let answer = bench.next(CARRIER);
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        answer
    };
    let held = change(&mut bench, &sdp("198.51.100.7", 40_000, 2, "0 8 101", "sendonly"));
    assert!(held.code() == 200 && held.body().contains("a=recvonly"), "{}", held.text);
    let resumed = change(&mut bench, &sdp("198.51.100.7", 40_000, 3, "8 101", "sendrecv"));
    assert!(resumed.body().contains("RTP/AVP 8 101\r\n"), "{}", resumed.text);
    let talks = WireSpec { payloads: vec![(0, 8)], coding: PayloadCodec::Pcma, ..WireSpec::default() };
    assert_eq!(bench.told(), [Told::Wire(player, EndId(0), talks)]);
    // Once a target rings, the offer made to it stays in force.
    bench.lose(desk, StreamLoss::Unreachable);
    assert!(bench.expect(PBX, "INVITE").body().contains("RTP/AVP 8 0 107 101\r\n"));
    assert_eq!(change(&mut bench, &sdp("198.51.100.7", 40_000, 4, "0 101", "sendrecv")).code(), 491);
}

#[test]
fn a_caller_that_hangs_up_while_it_waits_ends_it() {
    let mut bench = at_once(vec![to_agent("desk")]);
    let (mut caller, desk, _) = waiting(&mut bench);
    hang_up(&mut bench, &mut caller);
    assert_eq!(bench.told().last(), Some(&Told::Close));
    bench.open(desk);
    assert_eq!(bench.reports[0].call.reason, Some("caller_hung_up"));
    bench.finish();
}

/// Returns the caller's ends of the only session, in order.
fn ends(bench: &Bench) -> Vec<EndId> {
    let end = |(_, command): &(_, MediaCommand)| match command {
        MediaCommand::AddEnd { end, .. } => Some(*end),
        _ => None,
    };
    bench.media.iter().filter_map(end).collect()
}

/// A port is taken by another program: the caller gets no port before it is bound.
#[test]
fn a_taken_port_costs_nobody_the_call() {
    for (answer, code) in [(AnswerTime::AtOnce, "SIP/2.0 200"), (AnswerTime::Early, "SIP/2.0 183")] {
        let desk = Agent { answer, hold: Some(hold()), ..agent("desk") };
        let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_agent("desk")])));
        bench.worker = false;
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.nothing();
        assert!(bench.asked().is_empty());
        let taken = ends(&bench)[0];
        bench.news(MediaEvent::BindFailed { end: taken, error: "address in use".into() });
        bench.nothing();
        let drawn = ends(&bench)[1];
        let port = bench.port_of(drawn);
        bench.news(MediaEvent::Bound { end: drawn });
        assert_eq!(bench.expect(CARRIER, code).port(), port);
        assert_eq!(bench.asked().len(), 1);
        bench.news(MediaEvent::Bound { end: drawn });
        bench.nothing();
    }
}

#[test]
fn a_worker_that_says_nothing_keeps_nobody_waiting() {
    let mut bench = at_once(vec![to_agent("desk")]);
    bench.worker = false;
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.pass(Duration::from_millis(99));
    bench.nothing();
    bench.pass(Duration::from_millis(1));
    bench.expect(CARRIER, "SIP/2.0 200");
}

#[test]
fn a_caller_that_gives_up_while_its_ports_are_bound_ends_it() {
    let mut bench = at_once(vec![to_agent("desk")]);
    bench.worker = false;
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.expect(CARRIER, "SIP/2.0 487");
    bench.news(MediaEvent::Bound { end: EndId(0) });
    bench.pass(Duration::from_millis(200));
    assert_eq!((bench.asked().len(), bench.gateway.live_calls()), (0, 0));
}
