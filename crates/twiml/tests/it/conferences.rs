//! Dial with Conference: settings of a party, and its audio while it waits.

use std::time::Duration;

use trunkgate_twiml::{
    BackgroundAudio, ConferenceNoun, ConferenceStep, DialResult, DialStatus, DocumentLocation, DocumentSource,
    HttpMethod, ProgramInput, ProgramSettings, ProgramStep, ReportedStates, TrackSelection,
};

use super::support::*;

const WAIT: &str = "https://app.example/wait";

fn conference(call: &Call) -> ConferenceStep {
    call.raw
        .iter()
        .rev()
        .find_map(|step| if let ProgramStep::Conference(step) = step { Some(step.clone()) } else { None })
        .unwrap()
}

/// Returns the conference step of a document, and the traced notes.
fn joined(attributes: &str) -> (ConferenceStep, Vec<String>) {
    let (call, steps) = Call::begin(&format!("<Dial><Conference {attributes}>Room 1</Conference></Dial>"));
    assert_eq!(steps, ["conference Room 1"], "it is answered for the conference that takes it");
    (conference(&call), call.notes())
}

/// Returns a call with a caller in a conference.
fn waiting(attributes: &str) -> Call {
    let (mut call, _) = Call::begin(&format!("<Dial {attributes}><Conference>a</Conference></Dial><Say>after</Say>"));
    call.dial_answered();
    call
}

impl Call {
    fn hears(&mut self, background: Option<BackgroundAudio>) -> Vec<String> {
        let id = conference(self).id;
        self.input(ProgramInput::Background { id, background })
    }

    fn waits(&mut self) -> Vec<String> {
        let location = DocumentLocation::url(WAIT).unwrap();
        self.hears(Some(BackgroundAudio::Document { location, method: HttpMethod::Post }))
    }

    fn leaves(&mut self) -> Vec<String> {
        let id = conference(self).id;
        let result = DialResult { bridged: true, ..DialResult::unanswered(DialStatus::Answered) };
        self.input(ProgramInput::DialEnded { id, result })
    }
}

behaviours! {
    ["Dial/Conference", "Dial/Conference@(text)"]
    fn a_caller_joins_a_conference_with_defaults() {
        let (mut call, steps) = Call::begin("<Dial action='/after'><Conference> Room 1 </Conference></Dial>");
        assert_eq!(steps, ["conference Room 1"], "it is answered for the conference that takes it");
        let step = conference(&call);
        assert_eq!(step.conference, ConferenceNoun::named("Room 1"));
        assert_eq!((step.wait, step.leaves_on_star), (BackgroundAudio::Music, false));
        assert_eq!(step.time_limit, Duration::from_secs(14_400));
        call.dial_answered();
        let action = "POST https://app.example/after dial DialCallStatus=answered DialBridged=true";
        assert_eq!(call.leaves(), [action]);
    }

    [
        "Dial/Conference@muted",
        "Dial/Conference@beep",
        "Dial/Conference@startConferenceOnEnter",
        "Dial/Conference@endConferenceOnExit",
        "Dial/Conference@participantLabel",
        "Dial/Conference@maxParticipants",
        "Dial/Conference@coach",
    ]
    fn a_party_brings_its_settings() {
        let (step, notes) = joined(
            "muted='true' beep='onExit' startConferenceOnEnter='false' endConferenceOnExit='true' \
             participantLabel='ann' maxParticipants='7' coach='CA1'",
        );
        let expected = ConferenceNoun {
            muted: true,
            beeps: (false, true),
            starts: false,
            ends: true,
            label: Some("ann".into()),
            coach: Some("CA1".into()),
            most: Some(7),
            ..ConferenceNoun::named("Room 1")
        };
        assert_eq!((step.conference, notes), (expected, vec![]));
        let (step, notes) = joined(
            "muted='yes' beep='loud' startConferenceOnEnter='x' endConferenceOnExit='x' maxParticipants='250'",
        );
        assert_eq!(step.conference, ConferenceNoun { most: Some(50), ..ConferenceNoun::named("Room 1") });
        let codes = ["13230", "13235", "13232", "13231", "12200"];
        assert!(codes.iter().all(|code| notes.iter().any(|note| note.contains(code))), "{notes:?}");
        assert_eq!(notes.len(), 5);
    }

    [
        "Dial/Conference@statusCallback",
        "Dial/Conference@statusCallbackMethod",
        "Dial/Conference@statusCallbackEvent",
    ]
    fn events_are_those_of_the_document() {
        let (step, notes) = joined("statusCallback='/c' statusCallbackMethod='GET' statusCallbackEvent='start, end JOIN leave'");
        let ConferenceNoun { status, status_method, events, .. } = step.conference;
        assert_eq!(status.as_deref(), Some("https://app.example/c"));
        assert_eq!((status_method, events.as_str()), (HttpMethod::Get, "start end leave"));
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    ["Dial/Conference@waitUrl", "Dial/Conference@waitMethod"]
    fn a_party_waits_with_music_a_document_or_nothing() {
        let at = |url: &str, method| BackgroundAudio::Document { location: DocumentLocation::url(url).unwrap(), method };
        for (attributes, wait) in [
            ("waitUrl=''", BackgroundAudio::Silence),
            ("waitUrl='/wait'", at(WAIT, HttpMethod::Post)),
            ("waitUrl='https://b.example/hold.mp3' waitMethod='GET'", at("https://b.example/hold.mp3", HttpMethod::Get)),
        ] {
            let (step, notes) = joined(attributes);
            assert_eq!((step.wait, notes), (wait, vec![]), "{attributes}");
        }
        let (step, notes) = joined("waitUrl='ftp://b.example/' waitMethod='PUT'");
        assert_eq!(step.wait, BackgroundAudio::Music);
        assert!(notes.iter().any(|note| note.contains("13233")), "{notes:?}");
        assert!(notes.iter().any(|note| note.contains("13234")), "{notes:?}");
    }

    [
        "Dial/Conference@record",
        "Dial/Conference@trim",
        "Dial/Conference@recordingStatusCallback",
        "Dial/Conference@recordingStatusCallbackMethod",
        "Dial/Conference@recordingStatusCallbackEvent",
    ]
    fn a_conference_is_recorded_from_its_start() {
        let receiver = "recordingStatusCallback='/r' recordingStatusCallbackMethod='GET' \
                        recordingStatusCallbackEvent='in-progress absent'";
        let states = ReportedStates { in_progress: true, completed: false, absent: true };
        for (attributes, expected) in [
            ("record='do-not-record'".to_owned(), None),
            ("record='false'".to_owned(), None),
            ("record='sometimes'".to_owned(), None),
            ("record='true'".to_owned(), Some((true, None))),
            ("record='record-from-start' trim='do-not-trim'".to_owned(), Some((false, None))),
            (
                format!("record='record-from-start' {receiver}"),
                Some((true, Some(("https://app.example/r".to_owned(), HttpMethod::Get, states)))),
            ),
        ] {
            let mut call = Call::with(ProgramSettings { records: true, ..ProgramSettings::default() });
            call.start_at(PAGE);
            call.document(&format!("<Dial><Conference {attributes}>a</Conference></Dial>"));
            let record = conference(&call).record;
            assert_eq!(record.clone().map(|record| (record.trim, record.status)), expected, "{attributes}");
            assert!(record.is_none_or(|record| !record.dual && record.track == TrackSelection::Both));
        }
        let (step, notes) = joined("record='record-from-start'");
        assert_eq!(step.record, None);
        assert!(notes.iter().any(|note| note.contains("without a recording")), "{notes:?}");
    }

    ["rule:conference-wait"]
    fn a_wait_document_is_run_again_until_the_party_hears_the_others() {
        let mut call = waiting("");
        assert_eq!(call.waits(), ["stop", &format!("POST {WAIT} wait")]);
        assert_eq!(call.document("<Play>/a.mp3</Play><Pause length='2'/>"), ["play https://app.example/a.mp3"]);
        assert!(call.played().is_empty());
        assert_eq!(call.wait(2_000), [format!("POST {WAIT} wait")]);
        assert_eq!(call.document("<Redirect>/b</Redirect>"), ["POST https://app.example/b redirect"]);
        assert_eq!(call.document("<Say>Wait</Say>"), ["say Wait"]);
        assert_eq!(call.played(), [format!("POST {WAIT} wait")], "from the first document again");
        assert_eq!(call.hears(None), ["stop"]);
        assert!(call.document("<Say>Late</Say>").is_empty());
        assert_eq!(call.leaves(), ["say after"]);
    }
}

#[test]
fn audio_is_repeated_by_itself() {
    let mut call = waiting("");
    call.waits();
    assert_eq!(call.response(None, "audio/mpeg", ""), [format!("play {WAIT} forever")]);
}

#[test]
fn music_follows_a_document_that_cannot_be_used() {
    for failure in ["<Gather/>", "<Dial>1</Dial>", "<Hangup/>", "<Reject/>", "<Say>", "<Enqueue/>"] {
        let mut call = waiting("");
        call.waits();
        assert_eq!(call.document(failure), ["music"], "{failure}");
        assert!(call.notes().iter().any(|note| note.contains("error")), "{failure}");
        assert_eq!(call.leaves(), ["stop", "say after"].get(1..).unwrap(), "{failure}");
    }
    let mut call = waiting("");
    call.waits();
    assert_eq!(call.fetch_fails(11_200), ["music"]);
    // A document without audio would otherwise be fetched without end.
    let mut call = waiting("");
    let mut steps = call.waits();
    let mut fetched = 0;
    while !steps.contains(&"music".to_owned()) {
        fetched += 1;
        assert!(fetched < 100);
        steps = call.document("");
    }
}

#[test]
fn a_party_that_is_held_hears_what_was_asked_for() {
    let mut call = waiting("");
    assert_eq!(call.hears(Some(BackgroundAudio::Music)), ["stop", "music"]);
    assert_eq!(call.hears(Some(BackgroundAudio::Silence)), ["stop"]);
    assert_eq!(call.hears(None), ["stop"]);
}

#[test]
fn the_star_key_ends_it_where_the_dial_says_so() {
    let mut call = waiting("hangupOnStar='true'");
    assert!(call.digits("1#").is_empty());
    assert_eq!(call.digits("*"), ["end dial"]);
    assert!(waiting("").digits("*").is_empty());
}

#[test]
fn a_caller_who_hangs_up_is_reported_to_the_action() {
    let mut call = waiting("action='/after'");
    call.waits();
    assert_eq!(call.hung_up(), ["end dial"]);
    assert!(call.document("<Say>late</Say>").is_empty());
    let action = "notify POST https://app.example/after dial DialCallStatus=answered DialBridged=true";
    assert_eq!(call.leaves(), [action]);
}

#[test]
fn another_document_takes_the_caller_out() {
    let mut call = waiting("action='/after'");
    call.waits();
    let other = DocumentSource::Text("<Response><Say>Other</Say></Response>".into());
    assert_eq!(call.redirect(other), ["end dial"]);
    assert_eq!(call.leaves(), ["say Other"]);
}

#[test]
fn a_conference_is_the_only_noun_of_its_dial() {
    let (call, steps) = Call::begin("<Dial><Conference>a</Conference><Number>1</Number></Dial>");
    assert_eq!(steps, ["conference a"]);
    call.noted(13000, "<Number> is skipped");
    let (call, steps) = Call::begin("<Dial><Number>1</Number><Conference>a</Conference></Dial>");
    assert_eq!(steps, ["answer", "dial 1"]);
    call.noted(13000, "<Conference> is skipped");
    let (call, steps) = Call::begin("<Dial><Conference> </Conference></Dial>");
    assert_eq!(steps, ["answer", "hangup"]);
    call.noted(13223, "needs a name");
}

#[test]
fn what_a_conference_cannot_do_is_said() {
    let attributes =
        "recordingConfigurationId='a' jitterBufferSize='small' region='us1' eventCallbackUrl='/x' trim='do-not-trim'";
    let (_, notes) = joined(attributes);
    assert_eq!(notes.len(), 4, "{notes:?}");
    let (_, notes) = joined("record='do-not-record'");
    assert!(notes.is_empty());
    let mut call = Call::with(ProgramSettings { records: true, ..ProgramSettings::default() });
    call.start_at(PAGE);
    call.document("<Dial record='true'><Conference>a</Conference></Dial>");
    call.noted(12200, "that of Conference records the conference");
}

#[test]
fn a_program_may_be_a_conference_alone() {
    let mut call = Call::with(ProgramSettings::default());
    assert_eq!(call.start_with(DocumentSource::Conference("weekly".into()), false), ["conference weekly"]);
    assert_eq!(call.leaves(), ["hangup"]);
}

#[test]
fn pins_are_tried_no_faster_than_documents_are_fetched() {
    let page = "<Gather numDigits='4' action='/pin'/>";
    let (mut call, _) = Call::begin(page);
    let mut tried = 0;
    for pin in 0..10_000 {
        let steps = call.digits(&format!("{pin:04}"));
        if steps == ["failed 11215"] {
            break;
        }
        assert_eq!(
            steps,
            [format!("POST https://app.example/pin gather msg=Gather End Digits={pin:04} FinishedOnKey=")]
        );
        tried += 1;
        call.document(page);
    }
    assert_eq!(tried, 29, "with the first document as many as a burst has");
}
