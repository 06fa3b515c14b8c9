//! Record, and recordings of a Dial or a Start.

use std::time::Duration;

use trunkgate_twiml::{
    DialStatus, DocumentLocation, DocumentSource, HttpMethod, ProgramInput, ProgramSettings, ProgramStep, RecordResult,
    RecordStep, RecordingStep, ReportedStates, TrackSelection, TranscriptionStep, VoiceMessage,
};

use super::support::{Call, PAGE};

/// Starts a call with this document on an edge that records.
fn begin(body: &str) -> (Call, Vec<String>) {
    let mut call = Call::with(ProgramSettings { records: true, ..ProgramSettings::default() });
    call.start_at(PAGE);
    let steps = call.document(body);
    (call, steps)
}

/// Returns the Record step of a document.
fn step(attributes: &str) -> RecordStep {
    let (call, _) = begin(&format!("<Record playBeep='false' {attributes}/>"));
    let found = call
        .raw
        .iter()
        .find_map(|step| if let ProgramStep::Record(record) = step { Some(record.clone()) } else { None });
    found.unwrap()
}

fn recorded(call: &mut Call, seconds: u64, is_silent: bool) -> Vec<String> {
    let result = RecordResult { sid: "RE1".into(), url: "https://e.example/RE1".into(), seconds, is_silent };
    call.input(ProgramInput::Recorded { id: call.id(), result })
}

const PARAMETERS: &str = "RecordingUrl=https://e.example/RE1 RecordingSid=RE1 RecordingDuration=12";

behaviours! {
    ["Record", "Record@playBeep", "rule:record-defaults", "rule:record-parameters"]
    fn a_caller_is_recorded_after_the_tone_until_it_is_silent() {
        let (mut call, steps) = begin("<Record/><Say>never</Say>");
        assert_eq!(steps, ["answer", "beep"]);
        assert_eq!(call.played(), ["record mono inbound trimmed silence 5"]);
        assert_eq!(call.wait(3_599_999), [""; 0], "silence is the call's to notice");
        assert_eq!(call.input(ProgramInput::Silent { id: call.id() }), ["stop record"]);
        assert_eq!(call.digits("1"), [""; 0], "it has ended already");
        assert_eq!(recorded(&mut call, 12, false), [format!("POST {PAGE} record {PARAMETERS}")]);
        let (mut call, _) = begin("<Record/>");
        call.played();
        assert_eq!(call.wait(3_600_000), ["stop record"]);
        let (_, steps) = begin("<Record playBeep='false'/>");
        assert_eq!(steps, ["answer", "record mono inbound trimmed silence 5"]);
    }

    ["Record@action", "Record@method", "Record@finishOnKey", "Record@maxLength"]
    fn a_key_ends_it_and_goes_to_the_action() {
        let (mut call, _) = begin("<Record action='/done' method='GET' finishOnKey='5#' maxLength='20'/><Say>never</Say>");
        assert_eq!(call.digits("5"), [""; 0], "the tone is heard");
        call.played();
        assert_eq!(call.digits("12"), [""; 0]);
        assert_eq!(call.digits("#5"), ["stop record"]);
        assert_eq!(recorded(&mut call, 12, false), [format!("GET https://app.example/done record {PARAMETERS} Digits=#")]);
        let (mut call, _) = begin("<Record maxLength='20'/>");
        call.played();
        assert_eq!(call.wait(20_000), ["stop record"]);
        let (mut call, _) = begin("<Record finishOnKey='x' maxLength='99999999' method='PUT'/>");
        call.played();
        for (code, text) in [(13613, "every key"), (13612, "cut to 14400"), (13610, "default")] {
            call.noted(code, text);
        }
        assert_eq!(call.digits("*"), ["stop record"]);
        let (mut call, _) = begin("<Record finishOnKey=''/>");
        call.played();
        assert_eq!(call.digits("123#*"), [""; 0], "no key ends it");
    }

    ["rule:record-silence"]
    fn silence_alone_asks_nothing_and_a_hang_up_is_reported() {
        for (seconds, is_silent) in [(5, true), (0, false)] {
            let (mut call, _) = begin("<Record action='/done'/><Say>Nothing</Say>");
            call.played();
            call.input(ProgramInput::Silent { id: call.id() });
            assert_eq!(recorded(&mut call, seconds, is_silent), ["say Nothing"]);
        }
        let (mut call, _) = begin("<Record action='/done'/>");
        call.played();
        assert_eq!(call.hung_up(), ["notify once recorded POST https://app.example/done record Digits=hangup"]);
        assert!(call.is_over());
        let (mut call, _) = begin("<Record action='/done'/>");
        assert_eq!(call.hung_up(), [""; 0], "nothing is recorded during the tone");
        let (mut call, _) = begin("<Record/><Say>Next</Say>");
        call.played();
        let failed = ProgramInput::RecordFailed { id: call.id(), text: "no room".into() };
        assert_eq!(call.input(failed), ["say Next"]);
        call.noted(12200, "no room");
    }

    [
        "Record@timeout", "Record@trim", "Record@recordingStatusCallback", "Record@recordingStatusCallbackMethod",
        "Record@recordingStatusCallbackEvent", "rule:recording-default",
    ]
    fn attributes_of_a_record_reach_the_step() {
        let record = step("timeout='7' trim='do-not-trim' recordingStatusCallback='/s' recordingStatusCallbackMethod='GET' \
                           recordingStatusCallbackEvent='in-progress, absent'");
        let events = ReportedStates { in_progress: true, completed: false, absent: true };
        let status = Some(("https://app.example/s".to_owned(), HttpMethod::Get, events));
        assert_eq!(record.silence, Duration::from_secs(7));
        assert_eq!(record.recording, RecordingStep { dual: false, track: TrackSelection::Inbound, trim: false, status });
        let record = step("timeout='0' recordingStatusCallback='/s' transcribe='false'");
        assert_eq!((record.silence, record.recording.trim), (Duration::from_secs(1), true));
        assert_eq!(record.recording.status.unwrap().2, ReportedStates::default());
        let (mut call, _) = begin("<Record timeout='x' transcribe='true' playBeep='no' recordingStatusCallbackEvent='x'/>");
        call.played();
        for (code, text) in
            [(13611, "default"), (12200, "no [transcription]"), (13616, "default"), (12200, "unknown event")]
        {
            call.noted(code, text);
        }
    }

    ["Record@transcribe", "Record@transcribeCallback"]
    fn a_record_asks_for_its_transcription() {
        let status = |url: &str| Some(TranscriptionStep { status: Some(url.to_owned()) });
        for (attributes, expected) in [
            ("", None),
            ("transcribe='false' transcribeCallback='/t'", None),
            ("transcribe='true'", Some(TranscriptionStep { status: None })),
            ("transcribe='true' transcribeCallback='/t'", status("https://app.example/t")),
            ("transcribeCallback='https://other.example/t'", status("https://other.example/t")),
        ] {
            let mut call = Call::with(ProgramSettings { records: true, transcribes: true, ..ProgramSettings::default() });
            call.start_at(PAGE);
            call.document(&format!("<Record playBeep='false' {attributes}/>"));
            let step = |step: &ProgramStep| if let ProgramStep::Record(record) = step { Some(record.transcription.clone()) } else { None };
            assert_eq!(call.raw.iter().find_map(step), Some(expected), "{attributes}");
        }
        assert_eq!(step("transcribe='true'").transcription, None, "there is no [transcription]");
    }

    [
        "Dial@record", "Dial@trim", "Dial@recordingTrack", "Dial@recordingStatusCallback",
        "Dial@recordingStatusCallbackMethod", "Dial@recordingStatusCallbackEvent", "rule:dial-record",
    ]
    fn a_dial_says_how_it_is_recorded() {
        for (attributes, shown) in [
            ("", ""),
            ("record='do-not-record'", ""),
            ("record='false'", ""),
            ("record='sometimes'", ""),
            ("record='true'", " recorded mono both"),
            ("record='record-from-answer'", " recorded mono both"),
            ("record='record-from-ringing'", " recorded from ringing mono both"),
            ("record='record-from-answer-dual' recordingTrack='inbound'", " recorded dual inbound"),
            ("record='record-from-ringing-dual' trim='trim-silence'", " recorded from ringing dual both trimmed"),
            ("record='true' recordingStatusCallback='s' recordingStatusCallbackMethod='GET' \
              recordingStatusCallbackEvent='in-progress completed absent'",
             " recorded mono both GET https://app.example/ivr/s in-progress completed absent"),
        ] {
            let (_, steps) = begin(&format!("<Dial {attributes}>1</Dial>"));
            assert_eq!(steps, ["answer".to_owned(), format!("dial 1{shown}")], "{attributes}");
        }
        let (mut call, steps) = Call::begin("<Dial record='true'>1</Dial>");
        assert_eq!(steps, ["answer", "dial 1"]);
        call.noted(12200, "without a recording");
        assert_eq!(call.not_reached(DialStatus::Busy), ["hangup"]);
    }

    [
        "Start/Recording", "Start/Recording@channels", "Start/Recording@track", "Start/Recording@trim",
        "Start/Recording@recordingStatusCallback", "Start/Recording@recordingStatusCallbackMethod",
        "Start/Recording@recordingStatusCallbackEvent",
    ]
    fn a_start_has_the_call_recorded_while_the_document_goes_on() {
        let (_, steps) = begin("<Start><Recording/></Start><Pause/>");
        assert_eq!(steps, ["start recording dual both trimmed"]);
        let (_, steps) = begin(
            "<Start><Recording channels='mono' track='outbound' trim='do-not-trim' recordingStatusCallback='https://s.example/' \
             recordingStatusCallbackMethod='GET' recordingStatusCallbackEvent='completed'/></Start><Pause/>",
        );
        assert_eq!(steps, ["start recording mono outbound GET https://s.example/ completed"]);
    }
}

#[test]
fn an_edge_that_records_nothing_refuses_by_name() {
    for (document, what) in [("<Record/>", "<Record> is refused"), ("<Start><Recording/></Start>", "<Start/Recording>")]
    {
        let (call, steps) = Call::begin(document);
        assert_eq!(steps, ["failed 12200"]);
        call.noted(12200, what);
    }
}

#[test]
fn another_document_ends_it_without_its_action() {
    let text = || DocumentSource::Text("<Response><Say>Other</Say></Response>".into());
    let (mut call, _) = begin("<Record action='/done'/>");
    assert_eq!(call.redirect(text()), ["stop", "say Other"]);
    let (mut call, _) = begin("<Record action='/done' playBeep='false'/>");
    let id = call.id();
    assert_eq!(call.redirect(text()), ["stop record", "say Other"]);
    let result = RecordResult { sid: "RE1".into(), url: String::new(), seconds: 3, is_silent: false };
    assert_eq!(call.input(ProgramInput::Recorded { id, result }), [""; 0], "what became of it is of no use");
}

/// Returns the voicemail message with this greeting.
fn message(greeting: Option<&str>) -> DocumentSource {
    let greeting = greeting.map(|name| DocumentLocation::File(name.to_owned()));
    let (silence, max_length) = (Duration::from_secs(4), Duration::from_secs(90));
    DocumentSource::Message(VoiceMessage { greeting, silence, max_length })
}

#[test]
fn a_message_has_a_greeting_a_tone_and_no_request() {
    let begun = |greeting| {
        let mut call = Call::with(ProgramSettings { records: true, ..ProgramSettings::default() });
        let steps = call.start_with(message(greeting), false);
        (call, steps)
    };
    let (mut call, steps) = begun(Some("sounds/hello.wav"));
    assert_eq!(steps, ["answer", "play sounds/hello.wav"]);
    assert_eq!(call.played(), ["beep"]);
    assert_eq!(call.played(), ["record mono inbound trimmed silence 4"]);
    assert_eq!(call.digits("12*"), [""; 0]);
    assert_eq!(call.digits("#"), ["stop record"]);
    assert_eq!(recorded(&mut call, 12, false), ["hangup"]);
    let (mut call, steps) = begun(None);
    assert_eq!(steps, ["answer", "beep"]);
    call.played();
    assert_eq!(call.wait(90_000), ["stop record"]);
    assert_eq!(recorded(&mut call, 5, true), ["hangup"], "silence is no message");
    let (mut call, _) = begun(None);
    call.played();
    assert_eq!(call.hung_up(), [""; 0]);
    assert!(call.is_over());
    let (mut call, _) = begun(None);
    call.played();
    let failed = ProgramInput::RecordFailed { id: call.id(), text: "no room".into() };
    assert_eq!(call.input(failed), ["failed 12200"], "the caller is the next target's");
}
