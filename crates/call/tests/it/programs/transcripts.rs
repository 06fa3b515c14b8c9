//! Live transcriptions of calls.

use std::time::Duration;

use trunkgate_call::{CrashGap, EdgeEventKind};
use trunkgate_media::agent::{StreamLoss, TrackSet};
use trunkgate_media::{AgentEvent, PayloadCodec, TapSpec};

use super::speech::{limited, listening};
use super::*;
use crate::bench::agents::{Told, hang_up};

const START: &str = "<Start><Transcription name='t' statusCallbackUrl='/heard' partialResults='true'/></Start>";

/// Makes a call with all reports of a live transcription, for the documented fields.
pub(super) fn reported() -> Vec<DocumentRequest> {
    let labels = "name='t' inboundTrackLabel='caller' outboundTrackLabel='desk'";
    let start = format!("<Start><Transcription statusCallbackUrl='/heard' track='inbound_track' {labels}/></Start>");
    let mut menu = listening(&format!("{start}<Gather timeout='60'/>"));
    let end = ends(&mut menu)[0];
    menu.bench.open(end);
    menu.hears(end, "hello", true);
    menu.bench.lose(end, StreamLoss::Unreachable);
    menu.reports()
}

/// Returns sequence number and event of the reports.
fn events(menu: &mut Menu) -> Vec<(String, String)> {
    let value = |report: &DocumentRequest, name| parameter(report, name).unwrap().to_owned();
    let reports = menu.reports();
    reports.iter().map(|report| (value(report, "SequenceId"), value(report, "TranscriptionEvent"))).collect()
}

/// Returns the event names of the reports.
fn names(menu: &mut Menu) -> Vec<String> {
    events(menu).into_iter().map(|(_, name)| name).collect()
}

/// Returns the recognisers requested since the last look.
fn ends(menu: &mut Menu) -> Vec<EndId> {
    let ends = menu.bench.asked().into_iter().map(|(end, _)| end).collect();
    menu.bench.media.clear();
    ends
}

fn sessions(menu: &Menu) -> u64 {
    menu.bench.gateway.metrics().recognition.sessions
}

#[test]
fn each_track_is_heard_and_its_results_are_reported_in_order() {
    let given = "languageCode='de-DE' hints='sales' inboundTrackLabel='caller' outboundTrackLabel='desk'";
    let start = format!("<Start><Transcription statusCallbackUrl='/heard' partialResults='true' {given}/></Start>");
    let mut menu = listening(&format!("{start}<Gather timeout='60'/>"));
    let asked = menu.bench.asked();
    let [(inbound, first), (outbound, second)] = &asked[..] else { panic!("{asked:?}") };
    let (inbound, outbound) = (*inbound, *outbound);
    assert_eq!((first.tracks, second.tracks), (TrackSet::Inbound, TrackSet::Outbound));
    for settings in [first, second] {
        let asked = settings.recognition.as_ref().unwrap();
        assert_eq!(
            (asked.language.as_str(), asked.hints.join("|").as_str(), settings.talks),
            ("de-DE", "sales", false)
        );
    }
    let told = menu.bench.told();
    let audio = vec![(0, PayloadCodec::Pcmu)];
    let heard = TapSpec { inbound: audio.clone(), outbound: Vec::new() };
    assert!(told.contains(&Told::Tap(CALLER, inbound, heard)), "{told:?}");
    let heard = TapSpec { inbound: Vec::new(), outbound: audio };
    assert!(told.contains(&Told::Tap(CALLER, outbound, heard)), "{told:?}");
    assert!(menu.reports().is_empty());
    menu.bench.open(inbound);
    menu.bench.open(outbound);
    let reports = menu.reports();
    let [started] = &reports[..] else { panic!("{reports:?}") };
    for (name, value) in [
        ("TranscriptionEvent", "transcription-started"),
        ("SequenceId", "1"),
        ("LanguageCode", "de-DE"),
        ("Track", "both_tracks"),
        ("PartialResults", "true"),
        ("InboundTrackLabel", "caller"),
        ("OutboundTrackLabel", "desk"),
    ] {
        assert_eq!(parameter(started, name), Some(value), "{name}");
    }
    assert!(parameter(started, "TranscriptionSid").unwrap().starts_with("GT"));
    menu.hears(outbound, "put me through to sales", true);
    menu.hears(inbound, " ", true);
    let reports = menu.reports();
    let [content] = &reports[..] else { panic!("{reports:?}") };
    for (name, value) in [
        ("TranscriptionEvent", "transcription-content"),
        ("SequenceId", "2"),
        ("LanguageCode", "de-DE"),
        ("Track", "outbound_track"),
        ("TranscriptionData", r#"{"confidence":0.875,"transcript":"put me through to sales"}"#),
        ("Final", "true"),
    ] {
        assert_eq!(parameter(content, name), Some(value), "{name}");
    }
    assert_eq!(sessions(&menu), 2);
    hang_up(&mut menu.bench, &mut menu.caller);
    assert_eq!(events(&mut menu), [("3".to_owned(), "transcription-stopped".to_owned())]);
    assert_eq!(sessions(&menu), 0);
    let results = menu.bench.gateway.metrics().recognition.results.clone();
    assert_eq!(results.into_iter().collect::<Vec<_>>(), [("silence", 1), ("speech", 1)]);
    menu.bench.finish();
    let sid = menu.bench.reports[0].call.sid.clone();
    let shown = format!("{:?} {:?}", menu.bench.gateway.trace(&sid), menu.bench.logs);
    assert!(!shown.contains("sales"), "{shown}");
    let told = menu.bench.changes.iter().any(|change| change.what == EdgeEventKind::CallTranscribed);
    assert!(!told, "the operator has not asked for it");
}

#[test]
fn of_partial_results_only_the_newest_waits_for_a_slow_receiver() {
    let told = |menu: &Menu| {
        let request = menu.requested();
        let value = |name| parameter(&request, name).unwrap().to_owned();
        assert_eq!(value("Final"), "false");
        (value("SequenceId"), value("TranscriptionData"))
    };
    let data = |text: &str| format!(r#"{{"transcript":"{text}"}}"#);
    let mut menu = listening(&format!("{START}<Gather timeout='60'/>"));
    let heard = ends(&mut menu);
    menu.bench.open(heard[0]);
    for text in ["a", "a b", "a b c"] {
        menu.hears(heard[0], text, false);
    }
    assert_eq!(told(&menu), ("2".to_owned(), data("a")));
    menu.answer(AppAnswer::Failed { code: 11_200, text: "500".to_owned() });
    assert_eq!(told(&menu), ("4".to_owned(), data("a b c")));
    menu.hears(heard[0], "a b c d", false);
    menu.hears(heard[0], "a b c d e", true);
    menu.document("<Hangup/>");
    assert!(menu.bench.questions.is_empty(), "the final result has overtaken what waited");
    assert_eq!(names(&mut menu), ["transcription-started", "transcription-content"]);
    menu.hears(heard[1], "x", false);
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.bench.questions.clear();
    menu.ends("caller_hung_up");

    // Partial results are not reported unless the document requests them.
    let mut menu = listening("<Start><Transcription statusCallbackUrl='/heard'/></Start><Gather timeout='60'/>");
    let heard = ends(&mut menu);
    menu.bench.open(heard[0]);
    menu.hears(heard[0], "a", false);
    assert!(menu.bench.questions.is_empty());
    assert_eq!(names(&mut menu), ["transcription-started"]);
}

#[test]
fn a_recogniser_that_closes_after_an_utterance_is_connected_again() {
    let document =
        "<Start><Transcription track='inbound_track' statusCallbackUrl='/heard'/></Start><Gather timeout='600'/>";
    let mut menu = listening(document);
    let mut end = ends(&mut menu)[0];
    for text in ["one", "two", "three", "four", "five", "six", "seven", "eight"] {
        menu.bench.open(end);
        menu.bench.pass(Duration::from_secs(2));
        menu.hears(end, text, true);
        menu.bench.news(MediaEvent::Agent { end, event: AgentEvent::Ended });
        let told = menu.bench.told();
        assert!(told.contains(&Told::Remove(end)), "{told:?}");
        let again = told.iter().find_map(|told| match told {
            Told::Agent(end) => Some(*end),
            _ => None,
        });
        end = again.unwrap();
        let heard = TapSpec { inbound: vec![(0, PayloadCodec::Pcmu)], outbound: Vec::new() };
        assert!(told.contains(&Told::Tap(CALLER, end, heard)), "{told:?}");
        assert_eq!(sessions(&menu), 1);
    }
    let told = names(&mut menu);
    assert_eq!((told.len(), told[0].as_str()), (9, "transcription-started"));
    assert!(told[1..].iter().all(|name| name == "transcription-content"), "{told:?}");
    // A recogniser that closes at once each time is not reconnected endlessly.
    for _ in 0..6 {
        assert_eq!(sessions(&menu), 1);
        menu.bench.open(end);
        menu.bench.news(MediaEvent::Agent { end, event: AgentEvent::Ended });
        end = ends(&mut menu).pop().unwrap_or(end);
    }
    let reports = menu.reports();
    let [failed] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(parameter(failed, "TranscriptionEvent"), Some("transcription-error"));
    assert_eq!(parameter(failed, "TranscriptionError"), Some("recogniser: closed without a result"));
    assert_eq!(sessions(&menu), 0);
    hang_up(&mut menu.bench, &mut menu.caller);
    assert!(menu.reports().is_empty(), "it was over before");
    menu.ends("caller_hung_up");
}

#[test]
fn a_recogniser_that_dies_ends_the_transcription_and_not_the_call() {
    let mut menu = listening(&format!("{START}<Gather timeout='5'/><Redirect>/next</Redirect>"));
    let heard = ends(&mut menu);
    menu.bench.open(heard[0]);
    menu.bench.news(MediaEvent::Agent {
        end: heard[1],
        event: AgentEvent::Note { text: "Connection refused".to_owned(), logged: true },
    });
    menu.bench.lose(heard[1], StreamLoss::Unreachable);
    let reports = menu.reports();
    let [_, failed] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(parameter(failed, "TranscriptionEvent"), Some("transcription-error"));
    assert_eq!(parameter(failed, "TranscriptionError"), Some("recogniser: cannot be reached: Connection refused"));
    let told = menu.bench.told();
    assert!(heard.iter().all(|end| told.contains(&Told::Remove(*end))), "{told:?}");
    assert_eq!(sessions(&menu), 0);
    menu.hears(heard[0], "too late", true);
    menu.bench.pass(Duration::from_secs(5));
    assert_eq!(menu.requested().purpose, "redirect");
    let view = menu.bench.gateway.status(menu.bench.now).recognition.unwrap();
    assert_eq!(view.cause, "recogniser: cannot be reached: Connection refused");
    menu.document("<Hangup/>");
    assert!(menu.reports().is_empty());
}

#[test]
fn without_a_recogniser_or_beyond_its_limit_the_document_goes_on() {
    let document = format!("{START}<Gather timeout='60'/>");
    let mut menu = limited(&document, 1);
    let reports = menu.reports();
    let [failed] = &reports[..] else { panic!("{reports:?}") };
    let expected = "recogniser: the limit of recogniser sessions is reached (`max_sessions`)";
    assert_eq!(parameter(failed, "TranscriptionError"), Some(expected));
    assert_eq!((sessions(&menu), menu.bench.state()), (0, "answered"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
    let mut menu = Menu::answered(&document);
    let reports = menu.reports();
    let [failed] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(parameter(failed, "TranscriptionEvent"), Some("transcription-error"));
    assert_eq!(parameter(failed, "TranscriptionError"), Some("recogniser: [recognition] is no longer configured"));
    assert_eq!(menu.bench.state(), "answered");
}

#[test]
fn a_transcription_is_stopped_by_its_name_which_is_that_of_one() {
    let stop = "<Stop><Transcription name='t'/></Stop>";
    let mut menu = listening(&format!("{START}{START}<Gather timeout='1'/>{stop}{stop}<Gather timeout='60'/>"));
    let heard = ends(&mut menu);
    assert_eq!(heard.len(), 2, "the second one has the name of the first");
    menu.bench.open(heard[0]);
    menu.bench.pass(Duration::from_secs(1));
    assert_eq!(names(&mut menu), ["transcription-started", "transcription-stopped"]);
    assert_eq!((sessions(&menu), menu.bench.state()), (0, "answered"));
    let told = menu.bench.told();
    assert!(heard.iter().all(|end| told.contains(&Told::Remove(*end))), "{told:?}");
    hang_up(&mut menu.bench, &mut menu.caller);
    assert!(menu.reports().is_empty());
    menu.ends("caller_hung_up");
    // A call has a limited number of them at once.
    let five = "<Start><Transcription track='inbound_track'/></Start>".repeat(5);
    let mut menu = listening(&format!("{five}<Gather timeout='60'/>"));
    assert_eq!((ends(&mut menu).len(), sessions(&menu)), (4, 4));
}

#[test]
fn a_transcription_outlives_its_application_and_hears_the_party_that_has_the_call() {
    let mut menu = listening(&format!("{START}<Dial>+14155550111</Dial>"));
    let heard = ends(&mut menu);
    heard.iter().for_each(|end| menu.bench.open(*end));
    let party = menu.joined();
    menu.hears(heard[1], "this is the desk", true);
    assert_eq!(names(&mut menu), ["transcription-started", "transcription-content"]);
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    let told: Vec<_> = menu.reports().into_iter().filter(|report| report.purpose == "transcription").collect();
    assert_eq!(told.len(), 1);
    menu.ends("caller_hung_up");
}

#[test]
fn events_have_the_results_where_the_operator_asks_for_them() {
    let document = "<Start><Transcription track='inbound_track' partialResults='true'/></Start><Gather timeout='60'/>";
    let mut menu = listening(document);
    menu.bench.configure(|settings| {
        let recogniser =
            settings.recogniser.take().map(|spec| trunkgate_call::RecogniserSpec { events: true, ..(*spec).clone() });
        settings.recogniser = recogniser.map(Arc::new);
    });
    let end = ends(&mut menu)[0];
    menu.bench.open(end);
    menu.hears(end, "hel", false);
    menu.hears(end, "hello", true);
    let changes = menu.bench.changes.iter().filter(|change| change.what == EdgeEventKind::CallTranscribed);
    let told: Vec<_> = changes.map(|change| (change.text.as_deref(), change.track, change.is_final)).collect();
    let track = Some("inbound_track");
    assert_eq!(told, [(Some("hel"), track, Some(false)), (Some("hello"), track, Some(true))]);
    assert!(menu.bench.callbacks.is_empty() && menu.bench.questions.is_empty(), "it has no receiver");
    assert!(
        menu.bench.changes.iter().all(|change| change.what != EdgeEventKind::CallTranscribed || change.call.is_some())
    );
}

/// Returns SID, number and event of the reports.
fn reports_of_transcription(menu: &mut Menu) -> Vec<(String, String, String)> {
    let value = |report: &DocumentRequest, name| parameter(report, name).unwrap().to_owned();
    let reports = menu.reports().into_iter().filter(|report| report.purpose == "transcription");
    let told = |report: &DocumentRequest| {
        (value(report, "TranscriptionSid"), value(report, "SequenceId"), value(report, "TranscriptionEvent"))
    };
    reports.map(|report| told(&report)).collect()
}

/// The recognisers are connected again with the same settings, and hear the caller; the report of the start is not
/// repeated, and that of the end is sent once. After a crash the numbers go on behind a gap.
#[test]
fn a_transcription_goes_on_in_another_process_under_its_sid() {
    for (is_crash, numbers) in [(false, ["1", "2", "3", "4"]), (true, ["1", "2", "67", "68"])] {
        let start = START.replace("name='t'", "name='t' hints='sales'");
        let mut menu = listening(&format!("{start}<Gather timeout='60'/><Stop><Transcription name='t'/></Stop>"));
        let before = ends(&mut menu);
        before.iter().for_each(|end| menu.bench.open(*end));
        menu.hears(before[0], "hello", true);
        let table = table(vec![TargetSpec::App("ivr".into())]);
        match is_crash {
            true => menu.bench.crash(table, Duration::from_millis(100)),
            false => menu.bench.restart(table),
        }
        let asked = menu.bench.asked();
        let [(inbound, first), (outbound, second)] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!((first.tracks, second.tracks), (TrackSet::Inbound, TrackSet::Outbound));
        assert_eq!(first.recognition.as_ref().unwrap().hints, ["sales"]);
        let told = menu.bench.told();
        let heard = TapSpec { inbound: vec![(0, PayloadCodec::Pcmu)], outbound: Vec::new() };
        assert!(told.contains(&Told::Tap(CALLER, *inbound, heard)), "{told:?}");
        let heard = TapSpec { inbound: Vec::new(), outbound: vec![(0, PayloadCodec::Pcmu)] };
        assert!(told.contains(&Told::Tap(CALLER, *outbound, heard)), "{told:?}");
        assert_eq!(sessions(&menu), 2);
        let (inbound, outbound) = (*inbound, *outbound);
        menu.bench.open(inbound);
        menu.bench.open(outbound);
        menu.hears(outbound, "again", true);
        menu.bench.pass(Duration::from_secs(60));
        let told = reports_of_transcription(&mut menu);
        let sid = told[0].0.clone();
        let events =
            ["transcription-started", "transcription-content", "transcription-content", "transcription-stopped"];
        let expected = numbers.into_iter().zip(events);
        assert!(sid.starts_with("GT"));
        assert_eq!(told, expected.map(|(n, event)| (sid.clone(), n.into(), event.into())).collect::<Vec<_>>());
        assert_eq!(sessions(&menu), 0);
    }
}

#[test]
fn a_transcription_without_a_recogniser_after_a_restart_ends_with_an_error() {
    let mut menu = listening(&format!("{START}<Gather timeout='60'/>"));
    ends(&mut menu).into_iter().for_each(|end| menu.bench.open(end));
    menu.bench.configure(|settings| settings.recogniser = None);
    menu.bench.restart(table(vec![TargetSpec::App("ivr".into())]));
    assert_eq!(names(&mut menu), ["transcription-started", "transcription-error"]);
    assert_eq!((sessions(&menu), menu.bench.state()), (0, "answered"));
    hang_up(&mut menu.bench, &mut menu.caller);
    assert!(menu.reports().is_empty());
}

/// Its reports need no program of the call: the party that has the call was dialled by a document that is over.
#[test]
fn a_transcription_of_two_parties_goes_on_in_another_process() {
    let mut menu = listening(&format!("{START}<Dial>+14155550111</Dial>"));
    ends(&mut menu).into_iter().for_each(|end| menu.bench.open(end));
    let party = menu.joined();
    menu.bench.restart(table(vec![TargetSpec::App("ivr".into())]));
    let heard: Vec<EndId> = menu.bench.asked().into_iter().map(|(end, _)| end).collect();
    let told = menu.bench.told();
    let is_tapped = |end: &EndId| told.iter().any(|told| matches!(told, Told::Tap(CALLER, by, _) if by == end));
    assert!(heard.len() == 2 && heard.iter().all(is_tapped), "{told:?}");
    heard.iter().for_each(|end| menu.bench.open(*end));
    menu.hears(heard[1], "this is the desk", true);
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    let events: Vec<String> = reports_of_transcription(&mut menu).into_iter().map(|(.., event)| event).collect();
    assert_eq!(events, ["transcription-started", "transcription-content", "transcription-stopped"]);
    menu.ends("caller_hung_up");
}

/// The process after the first crash crashes before it has written the call.
#[test]
fn no_event_number_is_used_twice_after_two_crashes_in_a_row() {
    let mut menu = listening(&format!("{START}<Gather timeout='60'/>"));
    let heard = ends(&mut menu);
    heard.iter().for_each(|end| menu.bench.open(*end));
    let snapshot = menu.bench.written();
    menu.hears(heard[0], "one", true);
    for unwritten in 0..3 {
        let table = table(vec![TargetSpec::App("ivr".into())]);
        menu.bench.restore_left(table, snapshot.clone(), CrashGap::new(unwritten, Duration::from_millis(10)));
        let heard = ends(&mut menu);
        menu.bench.open(heard[0]);
        (0..40).for_each(|_| menu.hears(heard[0], "again", true));
    }
    let numbers: Vec<u64> = events(&mut menu).into_iter().map(|(number, _)| number.parse().unwrap()).collect();
    assert!(numbers.len() == 122 && numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}
