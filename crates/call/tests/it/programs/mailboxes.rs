//! Calls to a mailbox: greeting, tone, message, and its metadata.

use std::time::Duration;

use trunkgate_call::{
    AppPlace, MailboxMessages, MessageCount, RecordingDone, RecordingLosses, RecordingSource, VoicemailMessage,
};
use trunkgate_media::agent::TrackSet;
use trunkgate_media::{PlayerSound, RecorderEvent};
use trunkgate_route::{Mailbox, Route};

use super::*;
use crate::bench::BACKUP;
use crate::bench::agents::{Told, hang_up};
use crate::recordings::record_all;

const NOTIFY: &str = "https://app.example.com/voicemail?key=1";

fn front() -> Mailbox {
    Mailbox { greeting: Some("hello.wav".into()), notify: Some(NOTIFY.into()), ..Mailbox::new("front") }
}

fn voicemail() -> TargetSpec {
    TargetSpec::Voicemail("front".into())
}

/// Creates an edge with this mailbox, and a route to these targets.
fn edge(mailbox: Mailbox, connect: Vec<TargetSpec>) -> Bench {
    let definition = TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks: usual_trunks(),
        agents: Vec::new(),
        routes: vec![Route { on_busy: true, ..route(connect) }],
    };
    let mut bench = Bench::with(Arc::new(RoutingTable::new(definition).with_mailboxes(vec![mailbox])));
    record_all(&mut bench);
    bench
}

fn called(mut bench: Bench) -> Menu {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    Menu { bench, caller }
}

/// Makes a call that the mailbox has answered.
fn answered(mailbox: Mailbox) -> Menu {
    let mut menu = called(edge(mailbox, vec![voicemail()]));
    menu.bench.expect(CARRIER, "SIP/2.0 180");
    menu.is_answered();
    menu
}

/// Plays the greeting, and the tone after it.
fn greeted(menu: &mut Menu) {
    let AppResource::Sound(AppPlace::File(file)) = &menu.bench.questions[0].wanted else { panic!() };
    assert_eq!(file, "hello.wav");
    menu.answer(AppAnswer::Sound { sound: vec![0x80; 320].into(), told: String::new() });
    assert!(menu.bench.recordings.is_empty());
    menu.played();
    beeped(menu);
}

fn beeped(menu: &mut Menu) {
    let told = menu.bench.told();
    let is_tone = |told: &Told| matches!(told, Told::Play(PLAYER, PlayerSound::Once(tone)) if tone.len() == 4_000);
    assert!(told.iter().any(is_tone) && menu.bench.recordings.is_empty(), "{told:?}");
    menu.played();
}

/// Returns the recorder of the message.
fn recorder(menu: &mut Menu) -> (EndId, Option<Duration>) {
    let told = menu.bench.told();
    let found =
        told.iter().find_map(|told| if let Told::Record(end, spec) = told { Some((*end, spec.silence)) } else { None });
    found.unwrap_or_else(|| panic!("{told:?}"))
}

/// Answers the BYE of the edge.
fn hung_up_on(menu: &mut Menu) {
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
}

#[test]
fn a_caller_leaves_a_message_until_it_is_silent() {
    let mut menu = answered(front());
    greeted(&mut menu);
    let (end, silence) = recorder(&mut menu);
    assert_eq!(silence, Some(Duration::from_secs(5)));
    let begun = menu.bench.recordings[0].clone();
    assert_eq!((begun.source, begun.tracks, begun.trim), (RecordingSource::Voicemail, TrackSet::Inbound, true));
    let message = VoicemailMessage { mailbox: "front".into(), from: "+14155551234".into(), to: "+14155550100".into() };
    assert_eq!((begun.message.as_deref(), &begun.transcription), (Some(&message), &None));
    let receiver = begun.receiver.unwrap();
    assert_eq!((receiver.url.as_str(), receiver.app.as_str()), (NOTIFY, "voicemail:front"));
    assert!(receiver.events.completed && !receiver.events.absent && !receiver.events.in_progress);
    let view = menu.bench.gateway.calls(menu.bench.now).remove(0);
    assert_eq!((view.voicemail.as_deref(), view.app), (Some("front"), None));
    menu.bench.news(MediaEvent::Recorder { end, event: RecorderEvent::Silent { was_heard: true } });
    assert!(menu.bench.told().contains(&Told::Remove(end)));
    menu.bench.news(MediaEvent::Recorder { end, event: RecorderEvent::Ended { frames: 620, sound: Some((10, 360)) } });
    hung_up_on(&mut menu);
    assert!(menu.bench.story().contains("target voicemail:front"), "{}", menu.bench.story());
    assert_eq!(menu.bench.reports[0].call.voicemail.as_deref(), Some("front"));
    assert!(menu.bench.questions.is_empty(), "no request follows");
    menu.ends("voicemail_ended");
}

#[test]
fn a_message_asks_for_its_text_where_the_mailbox_does() {
    for (notify, url) in [(NOTIFY, Some(NOTIFY)), ("mailto:desk@example.com", None)] {
        let mailbox = Mailbox { greeting: None, notify: Some(notify.into()), transcribe: true, ..front() };
        let mut menu = answered(mailbox);
        beeped(&mut menu);
        let begun = menu.bench.recordings[0].clone();
        let asked = begun.transcription.unwrap();
        assert_eq!((asked.url.as_deref(), asked.app.as_str()), (url, "voicemail:front"));
        assert_eq!((asked.from.as_str(), asked.to.as_str()), ("+14155551234", "+14155550100"));
        assert_eq!(begun.receiver.unwrap().url, notify);
    }
}

#[test]
fn the_key_and_the_longest_time_end_a_message_and_another_key_does_not() {
    let mut menu = answered(Mailbox { greeting: None, ..front() });
    beeped(&mut menu);
    let (end, _) = recorder(&mut menu);
    menu.press("1");
    assert!(!menu.bench.told().contains(&Told::Remove(end)));
    menu.press("#");
    assert!(menu.bench.told().contains(&Told::Remove(end)));
    menu.bench.news(MediaEvent::Recorder { end, event: RecorderEvent::Ended { frames: 250, sound: None } });
    hung_up_on(&mut menu);
    let mut menu = answered(Mailbox { greeting: None, max_length: Duration::from_secs(20), ..front() });
    beeped(&mut menu);
    let (end, _) = recorder(&mut menu);
    menu.bench.pass(Duration::from_millis(19_900));
    assert!(!menu.bench.told().contains(&Told::Remove(end)));
    menu.bench.pass(Duration::from_millis(200));
    assert!(menu.bench.told().contains(&Told::Remove(end)));
}

#[test]
fn the_key_skips_the_greeting_and_another_key_does_not() {
    let mut menu = answered(front());
    menu.answer(AppAnswer::Sound { sound: vec![0x80; 320].into(), told: String::new() });
    menu.press("1*");
    let is_tone = |told: &Told| matches!(told, Told::Play(PLAYER, PlayerSound::Once(tone)) if tone.len() == 4_000);
    assert!(!menu.bench.told().iter().any(is_tone), "the greeting goes on");
    menu.press("#");
    beeped(&mut menu);
    let (end, _) = recorder(&mut menu);
    assert!(menu.bench.story().contains("skipped: a key was pressed"), "{}", menu.bench.story());
    menu.press("#");
    assert!(menu.bench.told().contains(&Told::Remove(end)), "the second time it ends the message");
}

#[test]
fn the_key_skips_a_greeting_that_is_not_read_yet() {
    let mut menu = answered(front());
    menu.press("#");
    beeped(&mut menu);
    recorder(&mut menu);
    menu.press("##");
}

#[test]
fn a_caller_that_hangs_up_leaves_its_message_and_no_request_is_made() {
    let mut menu = answered(front());
    greeted(&mut menu);
    recorder(&mut menu);
    menu.bench.callbacks.clear();
    hang_up(&mut menu.bench, &mut menu.caller);
    let id = menu.bench.recordings[0].id;
    let done = RecordingDone { id, milliseconds: 2_600, lost: RecordingLosses::default(), error: None };
    menu.bench.input(GatewayInput::Recorded(Box::new(done)));
    assert!(menu.reports().is_empty(), "the writer of the file reports it");
    menu.ends("caller_hung_up");
}

#[test]
fn a_greeting_that_cannot_be_played_is_no_reason_to_lose_the_message() {
    let mut menu = answered(front());
    menu.answer(AppAnswer::Failed { code: 13_420, text: "hello.wav: no audio".to_owned() });
    beeped(&mut menu);
    recorder(&mut menu);
    assert!(menu.bench.story().contains("hello.wav: no audio"), "{}", menu.bench.story());
}

#[test]
fn a_full_mailbox_does_not_answer_and_its_caller_goes_to_the_next_target() {
    let messages = |(new, old, bytes): (u64, u64, u64)| {
        let count = MessageCount { new, old };
        GatewayInput::Messages(vec![MailboxMessages { name: "front".into(), count, bytes }])
    };
    for full in [(1, 999, 0), (2, 0, 1 << 30)] {
        let mut bench = edge(front(), vec![voicemail(), to_trunk("backup")]);
        bench.input(messages(full));
        let mut menu = called(bench);
        menu.bench.expect(BACKUP, "INVITE");
        assert!(menu.bench.story().contains("the mailbox is full"), "{}", menu.bench.story());

        let mut bench = edge(front(), vec![voicemail()]);
        bench.input(messages(full));
        let mut menu = called(bench);
        menu.bench.expect(CARRIER, "SIP/2.0 480");
        menu.ends("mailbox_full");
    }
    let mut bench = edge(front(), vec![voicemail()]);
    bench.input(messages((1, 999, 0)));
    bench.input(messages((999, 0, (1 << 30) - 1)));
    let mut menu = called(bench);
    menu.bench.expect(CARRIER, "SIP/2.0 180");
    menu.is_answered();
}

#[test]
fn a_mailbox_that_cannot_record_leaves_its_caller_to_the_next_target() {
    let mut bench = edge(front(), vec![voicemail(), to_trunk("backup")]);
    bench.input(GatewayInput::RecordingsFail(true));
    let mut menu = called(bench);
    menu.bench.expect(BACKUP, "INVITE");
    assert!(menu.bench.questions.is_empty());
    assert!(menu.bench.story().contains("the call cannot be recorded"), "{}", menu.bench.story());

    let mut bench = edge(front(), vec![voicemail()]);
    bench.input(GatewayInput::RecordingsFail(true));
    let mut menu = called(bench);
    menu.bench.expect(CARRIER, "SIP/2.0 503");
    let sid = menu.bench.reports[0].call.sid.clone();
    let verdict = menu.bench.gateway.trace(&sid).unwrap().verdict;
    let is_of_a_mailbox = verdict.contains("a target after the mailbox") && !verdict.contains("on_full");
    assert!(is_of_a_mailbox, "{verdict}");
    menu.ends("recording_unavailable");

    let mut bench = edge(front(), vec![voicemail(), to_trunk("backup")]);
    bench.input(GatewayInput::RecordingsFail(true));
    bench.input(GatewayInput::RecordingsFail(false));
    let mut menu = called(bench);
    menu.bench.expect(CARRIER, "SIP/2.0 180");
    menu.is_answered();
}

#[test]
fn a_mailbox_takes_the_call_that_another_target_has_not_taken() {
    let mut menu = called(edge(front(), vec![to_trunk("backup"), voicemail()]));
    let party = Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE"));
    menu.bench.receive(BACKUP, party.answer(486, ""));
    menu.bench.expect(BACKUP, "ACK");
    menu.bench.expect(CARRIER, "SIP/2.0 180");
    menu.is_answered();
    assert!(matches!(&menu.bench.questions[0].wanted, AppResource::Sound(_)), "it hears the greeting");
}
