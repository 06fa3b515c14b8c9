//! `answer = "early"`: the caller hears hold audio in its early dialog until the agent, or another target, answers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use crate::bench::agents::{Told, agent, agent_table, from_agent_wire, hang_up, to_agent, to_agent_wire};
use crate::bench::early::SUPPORTED;
use crate::bench::{Bench, CARRIER, Dialed, Dialing, PBX, Sent, answer, offer, route, sdp, to_trunk};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{EndId, HoldSound};
use trunkgate_route::{Agent, AnswerTime, HoldAudio, TargetSpec};

fn music() -> HoldAudio {
    HoldAudio { first: None, music: Some(vec![0x30; 500].into()) }
}

fn sound() -> HoldSound {
    let HoldAudio { first, music } = music();
    HoldSound { first, music }
}

fn early(connect: Vec<TargetSpec>) -> Bench {
    let desk = Agent { answer: AnswerTime::Early, hold: Some(music()), ..agent("desk") };
    Bench::with(agent_table(vec![desk, agent("night")], route(connect)))
}

/// Returns a call that hears hold audio: the agent's end, the player's, and the 183.
fn waiting(bench: &mut Bench) -> (Dialing, EndId, EndId, Sent) {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let progress = bench.expect(CARRIER, "SIP/2.0 183");
    bench.nothing();
    assert!(progress.body().contains("RTP/AVP 0 101\r\n"), "{}", progress.text);
    assert_eq!(bench.state(), "early");
    let (desk, _) = bench.asked().remove(0);
    let player = EndId(desk.0 + 1);
    let heard = [Told::Agent(desk), Told::Hold(player, sound()), Told::Wire(player, EndId(0), from_agent_wire())];
    assert_eq!(bench.told(), heard);
    (caller, desk, player, progress)
}

#[test]
fn the_caller_hears_hold_audio_until_the_agent_is_there() {
    let mut bench = early(vec![to_agent("desk")]);
    let (mut caller, desk, player, progress) = waiting(&mut bench);
    bench.pass(Duration::from_millis(800));
    bench.nothing();
    bench.open(desk);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(ok.body(), progress.body(), "one dialog, one answer");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let watched = bench.media.iter().any(|(_, command)| {
        matches!(command, trunkgate_media::MediaCommand::SetRemote { remote, .. } if remote.watch_idle && !remote.relatch)
    });
    assert!(watched, "its silence counts from now on");
    let told = [
        Told::Wire(EndId(0), desk, to_agent_wire()),
        Told::Wire(desk, EndId(0), from_agent_wire()),
        Told::Remove(player),
    ];
    assert_eq!(bench.told(), told);
    assert_eq!(bench.state(), "answered");
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn with_nobody_left_it_is_refused() {
    let mut bench = early(vec![to_agent("desk")]);
    let (caller, desk, ..) = waiting(&mut bench);
    bench.lose(desk, StreamLoss::Unreachable);
    bench.expect(CARRIER, "SIP/2.0 503");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(bench.reports[0].call.outcome, Some("failed"));
    bench.finish();
}

#[test]
fn the_next_target_is_offered_what_the_caller_was_told_and_answers_it() {
    let mut bench = early(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, desk, player, progress) = waiting(&mut bench);
    bench.lose(desk, StreamLoss::Unreachable);
    let invite = bench.expect(PBX, "INVITE");
    assert!(invite.body().contains("RTP/AVP 0 8 107 101\r\n"), "{}", invite.text);
    let callee = Dialed::new(PBX, invite);
    assert!(bench.told().iter().all(|told| !matches!(told, Told::Hold(..))), "the music goes on");
    // The target rings: the caller hears the hold audio instead of its phone's own ringback.
    bench.receive(PBX, callee.answer(180, ""));
    bench.nothing();
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(ok.body(), progress.body());
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(bench.told().contains(&Told::Remove(player)));
    hang_up(&mut bench, &mut caller);
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn a_cancel_ends_it() {
    let mut bench = early(vec![to_agent("desk")]);
    let (caller, ..) = waiting(&mut bench);
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.expect(CARRIER, "SIP/2.0 487");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(bench.reports[0].call.reason, Some("caller_canceled"));
    bench.finish();
}

#[test]
fn a_caller_that_cannot_hear_anything_before_its_answer_rings() {
    let mut bench = early(vec![to_agent("desk")]);
    bench.invite(CARRIER, "+14155550100", "");
    bench.expect(CARRIER, "SIP/2.0 100");
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 180").body(), "");
    let desk = Agent { answer: AnswerTime::Early, ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_agent("desk")])));
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 180").body(), "");
}

#[test]
fn a_caller_that_waits_with_hold_audio_may_change_its_session() {
    let mut bench = early(vec![to_agent("desk")]);
    let mut caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: "".into() };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), SUPPORTED));
    bench.expect(CARRIER, "SIP/2.0 100");
    let told = bench.expect(CARRIER, "SIP/2.0 183");
    bench.prack(&mut caller, &told, "");
    bench.expect(CARRIER, "SIP/2.0 200");
    let (desk, _) = bench.asked().remove(0);
    bench.told();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("UPDATE", &sdp("198.51.100.9", 41_000, 2, "8 101", "sendrecv"), ""));
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.header("CSeq").ends_with("UPDATE") && ok.body().contains("RTP/AVP 8 101\r\n"), "{}", ok.text);
    let player = EndId(desk.0 + 1);
    let wired = bench.told().iter().any(|told| matches!(told, Told::Wire(from, EndId(0), _) if *from == player));
    assert!(wired, "it hears the hold audio in its new codec");
    bench.open(desk);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(ok.body(), "", "all has been said");
    bench.ack(&caller, "");
    hang_up(&mut bench, &mut caller);
    bench.finish();
}
