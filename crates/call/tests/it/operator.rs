//! HTTP requests for calls between two parties: hold, resume, play, digits and transfers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;

use crate::bench::agents::{hang_up, to_agent};
use crate::bench::*;
use trunkgate_call::twiml::SensitiveText;
use trunkgate_call::{CallAction, CallParty, RequestRefusal, TransferMode};
use trunkgate_media::{EndId, HoldSound, MediaCommand, MediaEvent, PlayerSound};

const CALLER: &[CallParty] = &[CallParty::Caller];
const BOTH: &[CallParty] = &CallParty::ALL;

fn sid(bench: &Bench) -> String {
    bench.gateway.calls(bench.now)[0].sid.clone()
}

fn hold(bench: &mut Bench, parties: &[CallParty]) -> Result<(), RequestRefusal> {
    let sid = sid(bench);
    let done = bench.change_call(&sid, CallAction::Hold(parties.to_vec()));
    bench.drain();
    done
}

fn resume(bench: &mut Bench, parties: &[CallParty]) -> Result<(), RequestRefusal> {
    let sid = sid(bench);
    let done = bench.change_call(&sid, CallAction::Resume(parties.to_vec()));
    bench.drain();
    done
}

fn play(bench: &mut Bench, parties: &[CallParty], sound: &Arc<[u8]>) -> Result<(), RequestRefusal> {
    let sid = sid(bench);
    let (name, samples) = ("sounds/a.wav".to_owned(), Arc::clone(sound));
    let done = bench.change_call(&sid, CallAction::Play { parties: parties.to_vec(), name, samples });
    bench.drain();
    done
}

fn transfer(bench: &mut Bench, party: CallParty, target: &str) -> Result<(), RequestRefusal> {
    let sid = sid(bench);
    let done =
        bench.change_call(&sid, CallAction::Transfer { party, target: target.to_owned(), mode: TransferMode::AtOnce });
    bench.drain();
    done
}

/// Returns the players that were added, with their sounds.
fn players(media: &[MediaCommand]) -> Vec<(EndId, PlayerSound)> {
    let added = |command: &MediaCommand| match command {
        MediaCommand::AddPlayer { end, sound } => Some((*end, sound.clone())),
        _ => None,
    };
    media.iter().filter_map(added).collect()
}

/// Returns the wires as pairs of source and destination.
fn wires(media: &[MediaCommand]) -> Vec<(u16, u16)> {
    let wired = |command: &MediaCommand| match command {
        MediaCommand::Wire { from, to, .. } => Some((from.0, to.0)),
        _ => None,
    };
    media.iter().filter_map(wired).collect()
}

#[test]
fn a_party_is_held_and_talks_again_and_neither_is_asked_anything() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let talk = wires(&bench.take_media());
    assert_eq!(resume(&mut bench, BOTH), Err(RequestRefusal::NotHeld));
    assert_eq!(hold(&mut bench, CALLER), Ok(()));
    let media = bench.take_media();
    let music = players(&media);
    assert!(matches!(&music[..], [(_, PlayerSound::Hold(HoldSound { first: None, music: Some(_) }))]), "{media:?}");
    assert_eq!(media.iter().filter(|command| matches!(command, MediaCommand::Unwire { .. })).count(), 2);
    assert_eq!(wires(&media), [(music[0].0.0, 0)], "the caller hears it");
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
    // The same hold again, and a hold of the other party.
    assert_eq!(hold(&mut bench, CALLER), Ok(()));
    assert!(bench.take_media().is_empty());
    assert_eq!(hold(&mut bench, BOTH), Ok(()));
    assert_eq!(players(&bench.take_media()).len(), 1);
    assert_eq!(resume(&mut bench, CALLER), Ok(()));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "held", "the callee is, still");
    bench.take_media();
    assert_eq!(resume(&mut bench, BOTH), Ok(()));
    let mut again = wires(&bench.take_media());
    again.sort_unstable();
    let mut talk = talk;
    talk.sort_unstable();
    assert_eq!(again, talk);
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    let story = bench.story();
    assert!(story.contains("carrier (the caller) is put on hold, as requested"), "{story}");
    assert!(story.contains("pbx (the callee) is taken off hold, as requested"), "{story}");
    bench.nothing();
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_refresh_of_the_other_party_does_not_end_a_requested_hold() {
    for version in [1, 2] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        hold(&mut bench, CALLER).unwrap();
        let body = sdp("10.0.0.20", 30_000, version, "0 101", "sendrecv");
        bench.receive(PBX, callee.request("INVITE", 1, &body));
        bench.expect(PBX, "SIP/2.0 100");
        bench.expect(PBX, "SIP/2.0 200");
        bench.receive(PBX, callee.request("ACK", 1, ""));
        bench.nothing();
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "held", "{version}");
        assert_eq!(resume(&mut bench, BOTH), Ok(()));
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn a_sound_is_heard_once_and_then_the_two_talk_again() {
    let sound: Arc<[u8]> = vec![0x10; 1600].into();
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let mut talk = wires(&bench.take_media());
    assert_eq!(play(&mut bench, CALLER, &sound), Ok(()));
    let added = players(&bench.take_media());
    assert_eq!(added[0].1, PlayerSound::Once(sound.clone()));
    bench.news(MediaEvent::Played { end: added[0].0 });
    let mut again = wires(&bench.take_media());
    again.sort_unstable();
    talk.sort_unstable();
    assert_eq!(again, talk);
    let story = bench.story();
    assert!(story.contains("carrier (the caller) hears sounds/a.wav, as requested"), "{story}");
    assert!(story.contains("the sound was played to its end"), "{story}");
    // A sound for a party on hold: the music follows.
    hold(&mut bench, CALLER).unwrap();
    let music = players(&bench.take_media())[0].clone();
    play(&mut bench, CALLER, &sound).unwrap();
    let PlayerSound::Hold(HoldSound { music: held, .. }) = music.1 else { panic!("{music:?}") };
    let both = PlayerSound::Hold(HoldSound { first: Some(sound.clone()), music: held });
    let media = bench.take_media();
    assert!(
        matches!(&media[..], [MediaCommand::Play { end, sound }] if (end, sound) == (&music.0, &both)),
        "{media:?}"
    );
    resume(&mut bench, CALLER).unwrap();
    // A hold requested meanwhile stays.
    play(&mut bench, CALLER, &sound).unwrap();
    let player = players(&bench.take_media())[0].0;
    hold(&mut bench, CALLER).unwrap();
    bench.news(MediaEvent::Played { end: player });
    assert!(matches!(&bench.take_media()[..], [MediaCommand::Play { sound: PlayerSound::Hold(_), .. }]));
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "held");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn holds_outlive_a_restart_and_sounds_end_by_it() {
    for is_sound in [false, true] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        match is_sound {
            true => play(&mut bench, CALLER, &vec![0x10; 800].into()).unwrap(),
            false => hold(&mut bench, CALLER).unwrap(),
        }
        bench.restart(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
        let expected = if is_sound { "answered" } else { "held" };
        assert_eq!(bench.gateway.calls(bench.now)[0].state, expected);
        assert_eq!(resume(&mut bench, BOTH).is_ok(), !is_sound);
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn a_party_is_connected_with_a_target_in_place_of_the_other() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    assert_eq!(transfer(&mut bench, CallParty::Caller, "trunk:nowhere"), Err(RequestRefusal::UnknownTarget));
    assert_eq!(transfer(&mut bench, CallParty::Caller, "nonsense"), Err(RequestRefusal::BadTarget));
    assert_eq!(transfer(&mut bench, CallParty::Caller, "trunk:backup/+12125550100"), Ok(()));
    let invite = bench.expect(BACKUP, "INVITE sip:+12125550100@");
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "transferring");
    for refused in [hold(&mut bench, CALLER), transfer(&mut bench, CallParty::Caller, "trunk:backup")] {
        assert_eq!(refused, Err(RequestRefusal::Transferring));
    }
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, invite) };
    bench.receive(BACKUP, target.answer(200, &sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.nothing();
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.bye(&mut caller, &target);
    bench.finish();
    let record = &bench.reports[0].call;
    let leg = &record.legs[1];
    assert_eq!((record.reason, leg.reason, leg.ended_by), (Some("caller_hung_up"), Some("transferred"), Some("edge")));
}

#[test]
fn a_transfer_that_nobody_answers_leaves_the_two_as_they_were() {
    for is_held in [false, true] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        if is_held {
            hold(&mut bench, &[CallParty::Callee]).unwrap();
        }
        transfer(&mut bench, CallParty::Callee, "trunk:backup").unwrap();
        let invite = bench.expect(BACKUP, "INVITE");
        let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, invite) };
        bench.receive(BACKUP, target.answer(486, ""));
        bench.expect(BACKUP, "ACK");
        bench.nothing();
        let expected = if is_held { "held" } else { "answered" };
        assert_eq!(bench.gateway.calls(bench.now)[0].state, expected);
        assert_eq!(resume(&mut bench, BOTH).is_ok(), is_held);
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn digits_go_to_either_party() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    bench.take_media();
    let sid = sid(&bench);
    for (party, digits, expected) in [
        (CallParty::Caller, "1", Ok(())),
        (CallParty::Callee, "12#", Ok(())),
        (CallParty::Callee, "x", Err(RequestRefusal::BadDigits(Some('x')))),
        (CallParty::Callee, "", Err(RequestRefusal::BadDigits(None))),
    ] {
        let digits = SensitiveText::new(digits);
        assert_eq!(bench.change_call(&sid, CallAction::SendDigits { party, digits }), expected);
    }
    bench.drain();
    let pressed = bench.take_media().into_iter().filter_map(|command| match command {
        MediaCommand::Press { end, digits, .. } => Some((end.0, digits)),
        _ => None,
    });
    assert_eq!(pressed.collect::<Vec<_>>(), [(0, "1".to_owned()), (1, "12#".to_owned())]);
    assert!(!bench.story().contains("12#"));
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_call_of_an_agent_is_not_held() {
    let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
    let (mut caller, ..) = bench.talking();
    assert_eq!(hold(&mut bench, CALLER), Err(RequestRefusal::HasAgent));
    assert_eq!(play(&mut bench, CALLER, &vec![0; 8].into()), Err(RequestRefusal::HasAgent));
    assert_eq!(transfer(&mut bench, CallParty::Callee, "trunk:pbx"), Err(RequestRefusal::HasAgent));
    hang_up(&mut bench, &mut caller);
    bench.finish();
}
