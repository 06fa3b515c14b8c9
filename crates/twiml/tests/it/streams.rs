//! Connect, Start and Stop with streams.

use std::time::Duration;

use trunkgate_twiml::{
    DocumentSource, HttpMethod, Program, ProgramInput, ProgramSettings, ProgramStep, StreamStep, TrackSelection,
    TranscriptStep,
};

use super::support::Call;

/// Returns the stream step of a document.
fn step(body: &str) -> StreamStep {
    let mut program = Program::new(ProgramSettings::default());
    program.start(Duration::ZERO, DocumentSource::Text(format!("<Response>{body}</Response>")), false);
    let mut steps = std::iter::from_fn(|| program.poll_output());
    steps
        .find_map(|step| match step {
            ProgramStep::ConnectStream(stream) | ProgramStep::StartStream(stream) => Some(stream),
            _ => None,
        })
        .unwrap()
}

/// Returns the live transcription of a document.
fn transcript(body: &str) -> TranscriptStep {
    let mut program = Program::new(ProgramSettings::default());
    program.start(Duration::ZERO, DocumentSource::Text(format!("<Response>{body}</Response>")), false);
    let mut steps = std::iter::from_fn(|| program.poll_output());
    steps
        .find_map(|step| match step {
            ProgramStep::StartTranscript(step) => Some(*step),
            _ => None,
        })
        .unwrap()
}

const ATTRIBUTES: &str = "url='wss://a.example/ws' name='n' track='both_tracks' statusCallback='https://cb.example/' \
                          statusCallbackMethod='GET'";
const PARAMETERS: &str = "<Parameter name='a' value=' 1 '/><Parameter name='b'/><Parameter value='c'/>";

#[track_caller]
fn has_all(stream: &StreamStep, tracks: TrackSelection) {
    assert_eq!((stream.url.as_str(), stream.name.as_deref()), ("wss://a.example/ws", Some("n")));
    assert_eq!(stream.tracks, tracks);
    assert_eq!(stream.status, Some(("https://cb.example/".to_owned(), HttpMethod::Get)));
    assert_eq!(stream.parameters, [("a".to_owned(), " 1 ".to_owned()), ("b".to_owned(), String::new())]);
}

behaviours! {
    ["Connect", "Connect/Stream", "rule:connect-next-verb"]
    fn a_document_goes_on_when_the_stream_ends() {
        let body = "<Connect><Stream url='wss://a.example/ws'/></Connect><Say>Bye</Say>";
        for error in [None, Some(31920)] {
            let (mut call, steps) = Call::begin(body);
            assert_eq!(steps, ["answer", "connect wss://a.example/ws"]);
            assert_eq!(call.digits("1"), [""; 0]);
            assert_eq!(call.input(ProgramInput::StreamEnded { id: 0, error }), [""; 0], "another stream");
            let ended = ProgramInput::StreamEnded { id: call.id(), error };
            assert_eq!(call.input(ended), ["say Bye"]);
        }
    }

    ["Connect@action", "Connect@method", "rule:connect-hung-up"]
    fn the_action_is_requested_at_the_end() {
        let body = "<Connect action='after' method='GET'><Stream url='wss://a.example/ws'/></Connect>";
        let (mut call, _) = Call::begin(body);
        let ended = ProgramInput::StreamEnded { id: call.id(), error: None };
        assert_eq!(call.input(ended), ["GET https://app.example/ivr/after connect"]);
        let (mut call, _) = Call::begin(body);
        assert_eq!(call.hung_up(), ["notify GET https://app.example/ivr/after connect"]);
        assert!(call.is_over());
    }

    ["Connect/Stream@url", "Connect/Stream@name", "Connect/Stream@track", "Connect/Stream@statusCallback",
     "Connect/Stream@statusCallbackMethod", "Connect/Stream/Parameter", "Connect/Stream/Parameter@name",
     "Connect/Stream/Parameter@value"]
    fn a_connected_stream_has_all_attributes_and_hears_the_caller_only() {
        has_all(&step(&format!("<Connect><Stream {ATTRIBUTES}>{PARAMETERS}</Stream></Connect>")), TrackSelection::Inbound);
        let (_, steps) = Call::begin("<Connect><Stream url='/ws'/></Connect>");
        assert_eq!(steps[1], "connect wss://app.example/ws");
        let (_, steps) = Call::begin("<Connect><Stream url='ws://a.example/ws'/></Connect>");
        assert_eq!(steps[1], "connect ws://a.example/ws");
    }

    ["Start", "Start/Stream", "Start/Stream@url", "Start/Stream@name", "Start/Stream@track",
     "Start/Stream@statusCallback", "Start/Stream@statusCallbackMethod", "Start/Stream/Parameter",
     "Start/Stream/Parameter@name", "Start/Stream/Parameter@value"]
    fn a_started_stream_runs_beside_the_document() {
        has_all(&step(&format!("<Start><Stream {ATTRIBUTES}>{PARAMETERS}</Stream></Start>")), TrackSelection::Both);
        let (_, steps) = Call::begin("<Start><Stream url='wss://a.example/' name='n'/></Start><Say>Hi</Say>");
        assert_eq!(steps, ["start n wss://a.example/", "answer", "say Hi"]);
    }

    ["Stop", "Stop/Stream", "Stop/Stream@name"]
    fn a_stream_is_stopped_by_name() {
        let (call, steps) = Call::begin("<Stop><Stream name='n'/><Stream/></Stop>");
        assert_eq!(steps, ["stop stream n", "answer", "hangup"]);
        call.noted(12200, "needs a name");
    }

    ["Start/Transcription", "Start/Transcription@name", "Start/Transcription@track",
     "Start/Transcription@inboundTrackLabel", "Start/Transcription@outboundTrackLabel",
     "Start/Transcription@statusCallbackUrl", "Start/Transcription@statusCallbackMethod",
     "Start/Transcription@partialResults", "Start/Transcription@languageCode", "Start/Transcription@hints",
     "Start/Transcription@speechModel", "Start/Transcription@profanityFilter"]
    fn a_live_transcription_runs_beside_the_document() {
        let given = "name='n' track='inbound_track' inboundTrackLabel='caller' outboundTrackLabel='desk' \
                     statusCallbackUrl='heard' statusCallbackMethod='GET' partialResults='true' languageCode='de-DE' \
                     hints='sales, support' speechModel='telephony' profanityFilter='false'";
        let told = transcript(&format!("<Start><Transcription {given}/></Start>"));
        assert_eq!((told.name.as_deref(), told.tracks, told.partial), (Some("n"), TrackSelection::Inbound, true));
        assert_eq!(told.labels, [Some("caller".to_owned()), Some("desk".to_owned())]);
        assert_eq!(told.speech.language, "de-DE");
        assert_eq!((told.speech.hints.join("|").as_str(), told.speech.model.as_deref()), ("sales|support", Some("telephony")));
        assert!(!told.speech.profanity_filter && !told.speech.enhanced);
        let (_, steps) = Call::begin(&format!("<Start><Transcription {given}/></Start><Say>Hi</Say>"));
        assert_eq!(steps, ["transcribe n Inbound Get https://app.example/ivr/heard", "answer", "say Hi"]);
        let told = transcript("<Start><Transcription/></Start>");
        assert_eq!((told.name, told.tracks, told.status, told.partial), (None, TrackSelection::Both, None, false));
        assert_eq!((told.speech.language.as_str(), told.speech.profanity_filter), ("en-US", true));
        let long = "x".repeat(257);
        let (call, _) = Call::begin(&format!(
            "<Start><Transcription inboundTrackLabel='{long}' track='all' languageCode='a b' transcriptionEngine='google'/></Start>"
        ));
        call.noted(12200, "too long for a label");
        call.noted(12200, "track");
        call.noted(13331, "not a language tag");
        call.noted(12200, "the engine is the recogniser");
    }

    ["Stop/Transcription", "Stop/Transcription@name"]
    fn a_live_transcription_is_stopped_by_name() {
        let (call, steps) = Call::begin("<Stop><Transcription name='n'/><Transcription/></Stop>");
        assert_eq!(steps, ["stop transcript n", "answer", "hangup"]);
        call.noted(12200, "<Stop><Transcription> needs a name");
    }

    ["Start/Siprec", "Start/Siprec@connectorName", "Start/Siprec@name", "Start/Siprec@track",
     "Start/Siprec@statusCallback", "Start/Siprec@statusCallbackMethod", "Start/Siprec/Parameter",
     "Start/Siprec/Parameter@name", "Start/Siprec/Parameter@value", "Stop/Siprec", "Stop/Siprec@name"]
    fn servers_record_beside_the_document_and_are_stopped_by_name() {
        let given = "name='n' track='both_tracks' statusCallback='https://s.example/' statusCallbackMethod='GET'";
        let (_, steps) = Call::begin(&format!("<Start><Siprec connectorName='vault' {given}/></Start><Say>Hi</Say>"));
        assert_eq!(steps, ["siprec vault n Get https://s.example/", "answer", "say Hi"]);
        let (_, steps) = Call::begin("<Start><Siprec connectorName='cellar'/></Start><Stop><Siprec name='n'/></Stop><Say>Hi</Say>");
        assert_eq!(steps, ["siprec cellar - -", "stop siprec n", "answer", "say Hi"]);
        let (call, steps) = Call::begin("<Start><Siprec/></Start><Stop><Siprec/></Stop><Say>Hi</Say>");
        assert_eq!(steps, ["answer", "say Hi"]);
        call.noted(12200, "without a connectorName");
        call.noted(12200, "<Stop><Siprec> needs a name");
        let (call, steps) = Call::begin(
            "<Start><Siprec connectorName='vault' track='left'><Parameter name='a' value='b'/></Siprec></Start><Say>Hi</Say>",
        );
        assert_eq!(steps, ["siprec vault - -", "answer", "say Hi"]);
        call.noted(12200, "<Parameter> in <Start/Siprec> has no effect");
        call.noted(12200, "track");
    }
}

#[test]
fn a_stream_without_a_usable_url_is_no_stream() {
    let (call, steps) = Call::begin("<Connect><Stream/></Connect><Say>Hi</Say>");
    assert_eq!(steps, ["answer", "say Hi"]);
    call.noted(31923, "without a url");
    for verb in ["Connect", "Start"] {
        let (call, steps) = Call::begin(&format!("<{verb}><Stream url='https://a.example/'/></{verb}>"));
        assert_eq!(steps, ["failed 11100"]);
        call.noted(11100, "not a wss URL");
    }
}

#[test]
fn a_connect_takes_one_noun() {
    let two = "<Connect><Stream url='wss://a.example/'/><Stream url='wss://b.example/'/></Connect><Connect/>";
    let (call, steps) = Call::begin(two);
    assert_eq!(steps, ["answer", "connect wss://a.example/"]);
    call.noted(12200, "one noun");
    call.noted(12200, "without a noun");
}

#[test]
fn parameters_are_bounded() {
    let long = "x".repeat(500);
    let stream = step(&format!(
        "<Connect><Stream url='wss://a.example/'><Parameter name='a' value='{long}'/></Stream></Connect>"
    ));
    assert!(stream.parameters.is_empty());
}
