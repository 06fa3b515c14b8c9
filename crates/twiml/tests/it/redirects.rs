//! Redirects from outside, in each state of a program.

use trunkgate_twiml::{
    DialStatus, DocumentLocation, DocumentSource, HttpMethod, ProgramInput, ProgramRole, ProgramSettings, ReferResult,
    code,
};

use super::support::Call;

fn other() -> DocumentSource {
    DocumentSource::Fetch {
        location: DocumentLocation::url("https://other.example/b").unwrap(),
        method: HttpMethod::Get,
    }
}

fn text() -> DocumentSource {
    DocumentSource::Text("<Response><Say>New</Say></Response>".to_owned())
}

const FETCH: &str = "GET https://other.example/b redirect";

#[test]
fn a_prompt_stops_and_the_other_document_follows() {
    for body in ["<Say>Old</Say><Say>Older</Say>", "<Gather><Say>Old</Say></Gather>", "<Play>a.wav</Play>"] {
        let (mut call, _) = Call::begin(body);
        let played = call.id();
        assert_eq!(call.redirect(other()), ["stop", FETCH], "{body}");
        assert_eq!(call.input(ProgramInput::Played { id: played }), [""; 0], "{body}");
        assert_eq!(call.document("<Say>New</Say>"), ["say New"]);
    }
    let (mut call, _) = Call::begin("<Pause length='9'/><Say>Old</Say>");
    assert_eq!(call.redirect(text()), ["answer", "say New"]);
    assert_eq!(call.wait(9_000), [""; 0]);
    let (mut call, _) = Call::begin("<Gather timeout='5'/>");
    assert_eq!(call.redirect(text()), ["say New"]);
    assert_eq!(call.digits("1"), [""; 0], "nothing gathers");
}

#[test]
fn an_answer_to_an_earlier_question_comes_too_late() {
    let mut call = Call::with(ProgramSettings::default());
    call.start_at("https://app.example/a");
    let first = call.id();
    assert_eq!(call.redirect(other()), [FETCH]);
    let late = ProgramInput::Fetched { id: first, url: None, content_type: None, body: b"<Response/>".to_vec() };
    assert_eq!(call.input(late), [""; 0]);
    assert_eq!(call.document("<Hangup/>"), ["answer", "hangup"]);
}

#[test]
fn parties_and_streams_leave_first_and_have_no_action_any_more() {
    let (mut call, _) = Call::begin("<Dial action='after'>100</Dial><Say>Old</Say>");
    call.dial_answered();
    assert_eq!(call.redirect(other()), ["end dial"]);
    assert_eq!(call.not_reached(DialStatus::Completed), [FETCH]);
    let (mut call, _) = Call::begin("<Connect action='after'><Stream url='wss://a.example/'/></Connect>");
    assert_eq!(call.redirect(text()), ["end stream"]);
    let ended = ProgramInput::StreamEnded { id: call.id(), error: None };
    assert_eq!(call.input(ended), ["say New"]);
    let (mut call, _) = Call::begin("<Refer action='after'><Sip>sip:a@example.com</Sip></Refer>");
    assert_eq!(call.redirect(text()), [""; 0], "a transfer cannot be taken back");
    let id = call.id();
    assert_eq!(
        call.input(ProgramInput::ReferEnded {
            id,
            result: ReferResult { status: None, refer: Some(202), notify: None }
        }),
        ["say New"]
    );
}

#[test]
fn the_last_of_several_requests_counts() {
    let (mut call, _) = Call::begin("<Dial>100</Dial>");
    assert_eq!(call.redirect(other()), ["end dial"]);
    assert_eq!(call.redirect(text()), ["end dial"]);
    assert_eq!(call.not_reached(DialStatus::Canceled), ["say New"]);
}

#[test]
fn what_is_over_or_no_document_changes_nothing() {
    let (mut call, _) = Call::begin("<Hangup/>");
    assert_eq!(call.try_redirect(text()), Ok(false));
    let (mut call, _) = Call::begin("<Dial action='after'>100</Dial>");
    call.hung_up();
    assert_eq!(call.try_redirect(text()), Ok(false), "only the action is left");
    let mut called = Call::with(ProgramSettings { role: ProgramRole::Called, ..ProgramSettings::default() });
    called.start_text("<Response><Say>Hello</Say></Response>", true);
    assert_eq!(called.try_redirect(text()), Ok(false));
    let (mut call, _) = Call::begin("<Say>Old</Say>");
    let wrong = call.try_redirect(DocumentSource::Text("<Response>\n<Say></Response>".to_owned())).unwrap_err();
    assert_eq!((wrong.code, wrong.position.line), (code::NOT_XML, 2));
    assert_eq!(call.played(), ["hangup"], "it goes on");
    assert_eq!(call.wait(1_000), [""; 0]);
}
