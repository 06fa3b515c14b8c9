//! An agent is lost during a call: the caller stays, hears ringback, and the next target gets the call.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use crate::bench::agents::{Told, from_agent_wire, hang_up, to_agent, to_agent_wire};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, Dialing, PBX, answer, offer, sdp, to_trunk};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::mos::MosCodec;
use trunkgate_media::{EndId, MediaCommand, WireSpec};
use trunkgate_route::TargetSpec;

/// Returns the wire that relays a caller's audio and telephone-events.
fn relay(keys: (u8, u8)) -> WireSpec {
    let clocks = vec![(0, 8000), (keys.0, 8000)];
    WireSpec {
        payloads: vec![(0, 0), keys],
        clocks,
        codec: Some(MosCodec::G711),
        keys: Some(keys.0),
        ..WireSpec::default()
    }
}

/// Connects the caller with an agent and loses it; returns the worker's commands before the INVITE to the PBX.
fn lost(connect: Vec<TargetSpec>) -> (Bench, Dialing, EndId, EndId) {
    let mut bench = Bench::with_agents(connect);
    let (caller, own, desk) = bench.talking();
    bench.pass(Duration::from_secs(3));
    bench.lose(desk, StreamLoss::Reset);
    (bench, caller, own, desk)
}

#[test]
fn the_caller_hears_ringback_and_then_the_trunk() {
    let (mut bench, _, own, desk) = lost(vec![to_agent("desk"), to_trunk("pbx")]);
    let player = EndId(desk.0 + 2);
    assert_eq!(bench.told(), [Told::Remove(desk), Told::Ringback(player), Told::Wire(player, own, from_agent_wire()),]);
    assert_eq!(bench.state(), "transferring");
    let invite = bench.expect(PBX, "INVITE");
    assert!(invite.body().contains("RTP/AVP 0 8 107 101\r\n"), "what the caller speaks first: {}", invite.text);
    assert!(invite.body().contains("a=sendrecv"), "{}", invite.text);
    bench.nothing();
    let callee = Dialed::new(PBX, invite);
    bench.receive(PBX, callee.answer(180, ""));
    bench.nothing();
    assert_eq!(bench.told(), []);
    bench.receive(
        PBX,
        callee.answer(200, &sdp("10.0.0.20", 30_000, 1, "0 96", "sendrecv").replace("101 tele", "96 tele")),
    );
    bench.expect(PBX, "ACK");
    bench.nothing();
    let pbx = EndId(desk.0 + 1);
    assert_eq!(
        bench.told(),
        [
            Told::Wire(own, pbx, relay((101, 96))),
            Told::Wire(
                pbx,
                own,
                WireSpec {
                    payloads: vec![(0, 0), (96, 101), (101, 101)],
                    clocks: vec![(0, 8000), (96, 8000), (101, 8000)],
                    codec: Some(MosCodec::G711),
                    keys: Some(96),
                    ..WireSpec::default()
                }
            ),
            Told::Remove(player),
        ]
    );
    assert_eq!(bench.state(), "answered");
    let sid = bench.gateway.calls(bench.now).remove(0).sid;
    assert_eq!(
        bench.gateway.trace(&sid).unwrap().verdict,
        "Answered by desk, then pbx. 1 target failed: desk (the connection to an agent was reset). Try: look for an exception in the \
         bot's log; with FastAPI on uvicorn, call `await websocket.close()` at the end of the handler; `trunkgate agent test desk` shows \
         whether it helped."
    );
    let failovers: Vec<_> = bench.gateway.metrics().failovers.iter().map(|((_, why), n)| (*why, *n)).collect();
    assert_eq!(failovers, [("agent_reset", 1)]);
    let story = bench.story();
    for line in [
        "agent 1: lost: the connection was reset",
        "target pbx",
        "the caller hears a ringback tone",
        "pbx is connected to the caller",
    ] {
        assert!(story.contains(line), "{line} is not in:\n{story}");
    }
}

#[test]
fn from_then_on_it_is_a_call_between_two_trunks() {
    let (mut bench, mut caller, ..) = lost(vec![to_agent("desk"), to_trunk("pbx")]);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.receive(PBX, callee.request("INVITE", 2, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendonly")));
    bench.expect(PBX, "SIP/2.0 100");
    let hold = bench.expect(CARRIER, "INVITE");
    bench.receive(CARRIER, caller.respond(&hold, 200, &sdp("198.51.100.7", 40_000, 2, "0 101", "recvonly")));
    bench.expect(CARRIER, "ACK");
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("ACK", 2, ""));
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, 3, "0 8 101", "sendrecv"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let resume = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&resume, 200, &sdp("10.0.0.20", 30_000, 3, "0 101", "sendrecv")));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));

    bench.receive(PBX, callee.request("BYE", 3, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    let record = &bench.reports[0];
    assert_eq!(
        (record.call.outcome, record.call.reason, record.failovers),
        (Some("answered"), Some("callee_hung_up"), 1)
    );
    let kinds: Vec<_> = record.call.legs.iter().map(|leg| leg.kind).collect();
    assert_eq!(kinds, ["sip", "agent", "sip"]);
    bench.finish();
}

#[test]
fn another_agent_may_be_next() {
    let (mut bench, mut caller, own, desk) = lost(vec![to_agent("desk"), to_agent("night"), to_trunk("pbx")]);
    let (night, settings) = bench.asked().pop().unwrap();
    assert!(night != desk && settings.talks);
    bench.told();
    bench.open(night);
    let player = EndId(night.0 + 1);
    assert_eq!(
        bench.told(),
        [Told::Wire(own, night, to_agent_wire()), Told::Wire(night, own, from_agent_wire()), Told::Remove(player)]
    );
    assert_eq!(bench.state(), "answered");
    bench.nothing();
    // The second agent is lost as well.
    bench.lose(night, StreamLoss::PingUnanswered);
    bench.expect(PBX, "INVITE");
    assert_eq!(bench.state(), "transferring");
    hang_up(&mut bench, &mut caller);
    assert_eq!(bench.reports[0].failovers, 2);
    bench.finish();
}

#[test]
fn early_media_takes_the_place_of_the_tone_and_gives_it_back() {
    let (mut bench, mut caller, own, desk) = lost(vec![to_agent("desk"), to_trunk("pbx"), to_trunk("backup")]);
    let (pbx, player) = (EndId(desk.0 + 1), EndId(desk.0 + 2));
    bench.told();
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(183, &answer()));
    bench.nothing();
    assert_eq!(bench.told(), [Told::Wire(own, pbx, relay((101, 101))), Told::Wire(pbx, own, relay((101, 101)))]);
    bench.receive(PBX, callee.answer(480, ""));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.told(), [Told::Remove(pbx), Told::Wire(player, own, from_agent_wire())]);
    let second = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, second.answer(200, &sdp("10.0.0.30", 30_000, 1, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(BACKUP, "BYE");
    bench.receive(BACKUP, second.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn silence_of_the_next_target_leads_on() {
    let (mut bench, mut caller, ..) = lost(vec![to_agent("desk"), to_trunk("pbx"), to_trunk("backup")]);
    bench.expect(PBX, "INVITE");
    bench.pass(Duration::from_millis(4_100));
    bench.sent.retain(|sent| sent.to != PBX.parse().unwrap());
    let second = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
    bench.receive(BACKUP, second.answer(180, ""));
    bench.pass(Duration::from_millis(59_950));
    // No target is left, and no goodbye is configured.
    let cancel = bench.expect(BACKUP, "CANCEL");
    bench.receive(BACKUP, second.respond(&cancel, 200, ""));
    bench.receive(BACKUP, second.answer(487, ""));
    bench.expect(BACKUP, "ACK");
    let bye = bench.expect(CARRIER, "BYE");
    assert!(bye.header("Reason").contains("ring_timeout"), "{}", bye.text);
    caller.cseq += 1;
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].call.outcome, Some("answered"));
    bench.finish();
}

#[test]
fn an_answer_that_cannot_be_used_leads_on() {
    let (mut bench, mut caller, own, desk) = lost(vec![to_agent("desk"), to_trunk("pbx"), to_trunk("backup")]);
    bench.told();
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &sdp("10.0.0.20", 30_000, 1, "18", "sendrecv")));
    bench.expect(PBX, "ACK");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.expect(BACKUP, "INVITE");
    assert_eq!(bench.state(), "transferring");
    let told = bench.told();
    assert_eq!(told, [Told::Remove(EndId(desk.0 + 1))], "the tone goes on to {own:?}");
    hang_up(&mut bench, &mut caller);
    bench.sent.clear();
    bench.pass(Duration::from_secs(40));
    bench.sent.clear();
    bench.finish();
}

#[test]
fn a_caller_that_hangs_up_meanwhile_ends_all() {
    let (mut bench, mut caller, ..) = lost(vec![to_agent("desk"), to_trunk("pbx")]);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(180, ""));
    hang_up(&mut bench, &mut caller);
    bench.answered_too_late(&callee);
    let record = &bench.reports[0];
    assert_eq!((record.call.outcome, record.call.reason), (Some("answered"), Some("caller_hung_up")));
    bench.finish();
}

#[test]
fn a_change_of_the_caller_meanwhile_is_put_off() {
    let (mut bench, mut caller, ..) = lost(vec![to_agent("desk"), to_trunk("pbx")]);
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, 2, "0", "sendonly"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 491");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(bench.state(), "transferring");
}

#[test]
fn ports_that_are_taken_are_drawn_anew_and_the_tone_goes_on() {
    let (mut bench, mut caller, own, desk) = lost(vec![to_agent("desk"), to_trunk("pbx")]);
    bench.expect(PBX, "INVITE");
    let (pbx, player) = (EndId(desk.0 + 1), EndId(desk.0 + 2));
    bench.told();
    bench.news(trunkgate_media::MediaEvent::BindFailed { end: pbx, error: "taken".into() });
    bench.expect(PBX, "INVITE");
    let told = bench.told();
    assert_eq!(told, [Told::Remove(pbx)], "{player:?} still feeds {own:?}");
    // The caller's own ports cannot be replaced.
    bench.news(trunkgate_media::MediaEvent::BindFailed { end: own, error: "taken".into() });
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    caller.cseq += 1;
    bench.sent.clear();
    bench.pass(Duration::from_secs(40));
    bench.sent.clear();
    assert_eq!(bench.reports[0].call.reason, Some("no_ports"));
    bench.finish();
}

#[test]
fn a_caller_on_hold_is_offered_as_it_is() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, _, desk) = bench.talking();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, 2, "0 8 101", "sendonly"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(bench.state(), "held");
    bench.lose(desk, StreamLoss::Closed(None));
    assert!(bench.expect(PBX, "INVITE").body().contains("a=sendonly"));
}

#[test]
fn other_streams_of_the_caller_keep_their_place() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let head = offer().split("m=").next().unwrap().to_owned();
    let audio = offer().split_once("m=").unwrap().1.to_owned();
    let mut caller = bench.invite(CARRIER, "+14155550100", &format!("{head}m=video 40002 RTP/AVP 31\r\nm={audio}"));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (desk, _) = bench.asked().remove(0);
    bench.open(desk);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.lose(desk, StreamLoss::Reset);
    let invite = bench.expect(PBX, "INVITE");
    let lines: Vec<&str> = invite.body().lines().filter(|line| line.starts_with("m=")).collect();
    assert!(lines[0].starts_with("m=video 0 ") && lines[1].ends_with("RTP/AVP 0 8 107 101"), "{lines:?}");
    let callee = Dialed::new(PBX, invite);
    let body = sdp("10.0.0.20", 30_000, 1, "0 101", "sendrecv").replace("m=audio", "m=video 0 RTP/AVP 31\r\nm=audio");
    bench.receive(PBX, callee.answer(200, &body));
    bench.expect(PBX, "ACK");
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn the_worker_is_told_of_the_next_far_side() {
    let (mut bench, _, own, desk) = lost(vec![to_agent("desk"), to_trunk("pbx")]);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.media.clear();
    bench.receive(PBX, callee.answer(200, &answer()));
    let told = bench.media.iter().filter_map(|(_, command)| match command {
        MediaCommand::SetRemote { end, remote } => Some((*end, remote.relatch, remote.watch_idle)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(EndId(desk.0 + 1), false, true)], "nothing new of {own:?}");
}
