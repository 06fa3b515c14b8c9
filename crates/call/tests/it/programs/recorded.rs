//! Recordings requested by an application: Record, of a Dial and of a Start, with their reports.

use std::time::Duration;

use trunkgate_call::{AppPlace, Channels, RecordingDone, RecordingLosses, RecordingRequest, RecordingSource};
use trunkgate_media::agent::TrackSet;
use trunkgate_media::{PlayerSound, RecorderEvent, RecorderSpec};

use super::requested::{Requested, at_url, request};
use super::*;
use crate::bench::agents::{Told, hang_up};
use crate::recordings::record_all;

const BASE: &str = "https://edge.example/Recordings/";

/// Makes an answered call with this first document on an edge that records.
fn answered(document: &str) -> Menu {
    let mut bench = Bench::with(table(vec![TargetSpec::App("ivr".into())]));
    record_all(&mut bench);
    on(bench, document)
}

/// Returns the recorder that was added since the last look.
fn recorder(menu: &mut Menu) -> (EndId, RecorderSpec) {
    let told = menu.bench.told();
    let found =
        told.iter().find_map(|told| if let Told::Record(end, spec) = told { Some((*end, spec.clone())) } else { None });
    found.unwrap_or_else(|| panic!("{told:?}"))
}

fn is_removed(menu: &mut Menu, end: EndId) {
    let told = menu.bench.told();
    assert!(told.contains(&Told::Remove(end)), "{told:?}");
}

/// Makes a call that is recorded after its tone; returns the recorder.
pub(super) fn recording(document: &str) -> (Menu, EndId) {
    let mut menu = answered(document);
    let told = menu.bench.told();
    let beeps = |told: &Told| matches!(told, Told::Play(PLAYER, PlayerSound::Once(tone)) if tone.len() == 4_000);
    assert!(told.iter().any(beeps) && menu.bench.recordings.is_empty(), "{told:?}");
    menu.played();
    let (end, _) = recorder(&mut menu);
    (menu, end)
}

/// Returns the SID and URL of the newest recording.
fn newest(menu: &Menu) -> (String, String) {
    let sid = menu.bench.recordings.last().unwrap().sid.clone();
    (sid.clone(), format!("{BASE}{sid}"))
}

fn names(request: &DocumentRequest, menu: &Menu) {
    let (sid, url) = newest(menu);
    assert_eq!(parameter(request, "RecordingSid"), Some(sid.as_str()));
    assert_eq!(parameter(request, "RecordingUrl"), Some(url.as_str()));
}

#[test]
fn a_caller_is_recorded_until_it_is_silent_and_the_action_has_the_recording() {
    let (mut menu, end) = recording("<Record action='/done' timeout='3'/><Say>never</Say>");
    let begun = menu.bench.recordings[0].clone();
    assert_eq!(
        (begun.source, begun.channels, begun.tracks),
        (RecordingSource::RecordVerb, Channels::Mono, TrackSet::Inbound)
    );
    assert!(begun.trim && begun.receiver.is_none());
    menu.bench.news(MediaEvent::Recorder { end, event: RecorderEvent::Silent { was_heard: true } });
    is_removed(&mut menu, end);
    assert!(menu.bench.questions.is_empty(), "the length is not known yet");
    menu.bench.news(MediaEvent::Recorder { end, event: RecorderEvent::Ended { frames: 620, sound: Some((10, 500)) } });
    let request = menu.requested();
    names(&request, &menu);
    // Ten seconds from the first sound to the last, with a margin.
    assert_eq!((parameter(&request, "RecordingDuration"), parameter(&request, "Digits")), (Some("10"), None));
    assert_eq!(request.place, AppPlace::Url("https://app.example.com/done".into()));
    menu.document("<Say>thanks</Say>");
    assert_eq!(menu.spoken(1), "thanks");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_key_ends_it_and_silence_alone_is_followed_by_the_next_verb() {
    let (mut menu, end) = recording("<Record action='/done' finishOnKey='#'/>");
    menu.press("1");
    assert!(!menu.bench.told().contains(&Told::Remove(end)));
    menu.press("#");
    is_removed(&mut menu, end);
    menu.bench.news(MediaEvent::Recorder { end, event: RecorderEvent::Ended { frames: 620, sound: Some((0, 619)) } });
    let request = menu.requested();
    assert_eq!((parameter(&request, "RecordingDuration"), parameter(&request, "Digits")), (Some("12"), Some("#")));
    let (mut menu, end) = recording("<Record action='/done'/><Say>nothing</Say>");
    menu.bench.news(MediaEvent::Recorder { end, event: RecorderEvent::Silent { was_heard: false } });
    menu.bench.news(MediaEvent::Recorder { end, event: RecorderEvent::Ended { frames: 250, sound: None } });
    assert_eq!(menu.spoken(1), "nothing");
    let (mut menu, end) = recording("<Record action='/done' maxLength='30'/>");
    menu.bench.pass(Duration::from_secs(30));
    is_removed(&mut menu, end);
}

#[test]
fn a_caller_that_hangs_up_is_reported_once_the_file_is_there() {
    for (milliseconds, reports) in [(2_600, 1), (0, 0)] {
        let (mut menu, _) = recording("<Record action='/done'/>");
        let (id, _) = (menu.bench.recordings[0].id, menu.bench.callbacks.clear());
        hang_up(&mut menu.bench, &mut menu.caller);
        assert!(menu.reports().is_empty(), "its length is not known yet");
        let done = RecordingDone { id, milliseconds, lost: RecordingLosses::default(), error: None };
        menu.bench.input(GatewayInput::Recorded(Box::new(done)));
        let told = menu.reports();
        assert_eq!(told.len(), reports, "{told:?}");
        for request in &told {
            names(request, &menu);
            let values = ["Digits", "RecordingDuration", "CallStatus"].map(|name| parameter(request, name));
            assert_eq!(values, [Some("hangup"), Some("3"), Some("completed")]);
        }
        menu.ends("caller_hung_up");
    }
}

#[test]
fn a_recording_that_cannot_be_made_is_followed_by_the_next_verb() {
    let mut menu = Menu::with("<Record/>");
    assert!(menu.bench.story().contains("<Record> is refused: the edge records nothing"), "{}", menu.bench.story());
    menu.bench.expect(CARRIER, "SIP/2.0");
    let starts = "<Start><Recording/></Start>".repeat(4);
    let mut menu = answered(&format!("{starts}<Record playBeep='false'/><Say>next</Say>"));
    assert_eq!(menu.bench.recordings.len(), 4);
    assert!(menu.bench.story().contains("the caller is not recorded: a call has at most 4"), "{}", menu.bench.story());
    assert_eq!(menu.spoken(1), "next");
}

#[test]
fn a_dial_is_recorded_from_the_connection_to_its_end() {
    let dial = "<Dial record='record-from-answer-dual' action='/after' recordingStatusCallback='/recording' \
                recordingStatusCallbackEvent='in-progress completed'>+14155550111</Dial>";
    let mut menu = answered(dial);
    assert!(menu.bench.recordings.is_empty(), "the party rings");
    menu.bench.told();
    let party = menu.joined();
    let (end, spec) = recorder(&mut menu);
    assert_eq!((spec.tracks, spec.silence), (TrackSet::Both, None));
    let begun = menu.bench.recordings[0].clone();
    assert_eq!((begun.source, begun.channels, begun.trim), (RecordingSource::DialVerb, Channels::Dual, false));
    let reports = menu.reports();
    let urls: Vec<_> = reports.iter().map(|report| report.place.clone()).collect();
    let expected = ["https://app.example.com/recording", "https://all.example/recordings"];
    assert_eq!(urls, expected.map(|url| AppPlace::Url(url.into())), "its own receiver, and that of all recordings");
    for (name, value) in [
        ("AccountSid", "AC1"),
        ("CallSid", begun.call.as_str()),
        ("RecordingStatus", "in-progress"),
        ("RecordingChannels", "2"),
        ("RecordingSource", "DialVerb"),
        ("RecordingTrack", "both"),
        ("ErrorCode", "0"),
    ] {
        assert_eq!(parameter(&reports[0], name), Some(value), "{name}");
    }
    assert!(parameter(&reports[0], "RecordingStartTime").unwrap().ends_with("+0000"));
    assert_eq!(parameter(&reports[0], "RecordingDuration"), None);
    names(&reports[1], &menu);
    menu.bench.receive(PBX, party.request("BYE", 1, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    is_removed(&mut menu, end);
    names(&menu.requested(), &menu);
}

#[test]
fn a_dial_is_recorded_from_the_ringing_on_and_one_that_is_not_says_nothing() {
    let mut menu = answered("<Dial record='record-from-ringing' action='/after'>+14155550111</Dial>");
    assert_eq!(menu.bench.recordings.len(), 1);
    let (end, _) = recorder(&mut menu);
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(486, ""));
    menu.bench.expect(PBX, "ACK");
    is_removed(&mut menu, end);
    names(&menu.requested(), &menu);
    let mut menu = answered("<Dial record='record-from-answer' action='/after'>+14155550111</Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(486, ""));
    menu.bench.expect(PBX, "ACK");
    assert_eq!(parameter(&menu.requested(), "RecordingUrl"), None, "it was never connected");
    assert!(menu.bench.recordings.is_empty());
}

/// Makes a requested call that is recorded to its end; returns its reports.
pub(super) fn reports_of_a_requested_call() -> (Menu, Vec<DocumentRequest>) {
    let mut bench = Bench::with(table(vec![to_trunk("pbx")]));
    record_all(&mut bench);
    let record = Some(RecordingRequest::new(RecordingSource::OutboundApi, Channels::Mono));
    let mut call = Requested::at(bench, &trunkgate_call::CallRequest { record, ..request(vec![at_url()]) });
    assert!(call.bench.recordings.is_empty());
    let party = call.answered();
    let (mut menu, _) = call.menu();
    assert_eq!(menu.bench.recordings[0].source, RecordingSource::OutboundApi);
    recorder(&mut menu);
    menu.reports();
    menu.document("<Hangup/>");
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, party.respond(&bye, 200, ""));
    let reports = menu.reports();
    (menu, reports)
}

#[test]
fn a_requested_call_is_recorded_from_its_answer_on() {
    let (menu, reports) = reports_of_a_requested_call();
    let [last] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(parameter(last, "CallStatus"), Some("completed"));
    names(last, &menu);
    menu.ends("app_hung_up");
}
