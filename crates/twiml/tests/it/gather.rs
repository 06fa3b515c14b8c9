//! Gather: digits on virtual time.

use trunkgate_twiml::{Input, Kind, Note, parse};

use super::support::Call;

const POST: &str = "POST https://app.example/ivr/menu gather msg=Gather End";

behaviours! {
    ["Gather", "Gather@numDigits", "rule:default-action", "rule:default-method", "rule:gather-parameters"]
    fn enough_digits_go_to_the_documents_own_url() {
        let (mut call, steps) = Call::begin("<Gather numDigits='2'/><Say>none</Say>");
        assert_eq!(steps, ["answer"]);
        assert_eq!(call.digits("1"), [""; 0]);
        assert_eq!(call.digits("2"), [format!("{POST} Digits=12 FinishedOnKey=")]);
        assert_eq!(call.document("<Reject/>"), ["hangup"], "the new document replaces the old one");
    }

    ["Gather@action", "Gather@method"]
    fn digits_go_to_the_action() {
        let (mut call, _) = Call::begin("<Gather numDigits='1' action='../take?a=1' method='GET'/>");
        assert_eq!(call.digits("7"), [
            "GET https://app.example/take?a=1 gather msg=Gather End Digits=7 FinishedOnKey="
        ]);
    }

    ["Gather@finishOnKey", "rule:gather-finish", "rule:gather-finish-first"]
    fn the_finishing_key_is_not_a_digit() {
        let (mut call, _) = Call::begin("<Gather/>");
        assert_eq!(call.digits("#12#"), [format!("{POST} Digits=12 FinishedOnKey=#")], "the first # is ignored");
        let (mut call, _) = Call::begin("<Gather finishOnKey='*'/>");
        assert_eq!(call.digits("1#*"), [format!("{POST} Digits=1# FinishedOnKey=*")]);
        let (mut call, _) = Call::begin("<Gather finishOnKey='' timeout='2'/>");
        assert_eq!(call.digits("#1#"), [""; 0]);
        assert_eq!(call.wait(2_000), [format!("{POST} Digits=#1# FinishedOnKey=")]);
        let (mut call, _) = Call::begin("<Gather finishOnKey='12'/>");
        call.noted(13311, "# is used");
        assert_eq!(call.digits("1#"), [format!("{POST} Digits=1 FinishedOnKey=#")]);
    }

    ["Gather@timeout", "rule:gather-timeout"]
    fn the_timeout_counts_from_the_prompts_end_and_from_each_digit() {
        let (mut call, steps) = Call::begin("<Gather><Say>Press</Say></Gather><Say>none</Say>");
        assert_eq!(steps, ["answer", "say Press"]);
        assert_eq!(call.wait(60_000), [""; 0], "while the prompt is spoken");
        assert_eq!(call.played(), [""; 0]);
        assert_eq!(call.wait(4_999), [""; 0]);
        assert_eq!(call.wait(1), ["say none"]);
        let (mut call, _) = Call::begin("<Gather timeout='3'/>");
        for _ in 0..3 {
            assert_eq!(call.wait(2_999), [""; 0]);
            assert_eq!(call.digits("4"), [""; 0]);
        }
        assert_eq!(call.wait(3_000), [format!("{POST} Digits=444 FinishedOnKey=")]);
    }

    ["Gather@actionOnEmptyResult", "rule:gather-empty"]
    fn without_a_digit_the_next_verb_follows_or_the_action() {
        let (mut call, _) = Call::begin("<Gather action='x'/><Say>none</Say>");
        assert_eq!(call.wait(5_000), ["say none"]);
        let (mut call, _) = Call::begin("<Gather actionOnEmptyResult='true'/><Say>none</Say>");
        assert_eq!(call.wait(5_000), [format!("{POST} Digits= FinishedOnKey=")]);
    }

    ["rule:gather-barge-in", "Gather@(Say, Play, Pause)"]
    fn a_digit_stops_the_prompts_and_counts() {
        let body = "<Gather numDigits='2'><Say>One</Say><Pause length='2'/><Play>a.wav</Play></Gather>";
        let (mut call, steps) = Call::begin(body);
        assert_eq!(steps, ["answer", "say One"]);
        assert_eq!(call.played(), [""; 0]);
        assert_eq!(call.wait(2_000), ["play https://app.example/ivr/a.wav"]);
        assert_eq!(call.digits("1"), ["stop"], "in the same step");
        assert_eq!(call.played(), [""; 0], "too late");
        assert_eq!(call.digits("2"), [format!("{POST} Digits=12 FinishedOnKey=")]);
        let (mut call, _) = Call::begin(body);
        assert_eq!(call.digits("1"), ["stop"]);
        assert_eq!(call.wait(4_999), [""; 0], "neither Pause nor Play follow");
        assert_eq!(call.wait(1), [format!("{POST} Digits=1 FinishedOnKey=")]);
        let (mut call, _) = Call::begin("<Gather numDigits='1'><Say>One</Say></Gather>");
        assert_eq!(call.digits("5"), ["stop".to_owned(), format!("{POST} Digits=5 FinishedOnKey=")]);
    }

    ["rule:gather-nothing-carried"]
    fn digits_outside_of_a_gather_are_lost() {
        let (mut call, _) = Call::begin("<Say>One</Say><Gather numDigits='2'/>");
        assert_eq!(call.digits("12"), [""; 0]);
        call.played();
        assert_eq!(call.digits("3"), [""; 0]);
        assert_eq!(call.digits("45"), [format!("{POST} Digits=34 FinishedOnKey=")], "5 comes too late");
        assert_eq!(call.document("<Gather numDigits='1'/>"), [""; 0]);
        assert_eq!(call.wait(4_000), [""; 0]);
        assert_eq!(call.digits("6"), [format!("{POST} Digits=6 FinishedOnKey=")]);
    }

    ["Gather@input"]
    fn speech_alone_is_refused_and_beside_digits_not_heard() {
        let (call, steps) = Call::begin("<Gather input='speech'/>");
        assert_eq!(steps, ["failed 13326"]);
        call.noted(13326, "speech input is not in this version");
        let (mut call, steps) = Call::begin("<Gather input='dtmf speech' numDigits='1'/>");
        assert_eq!(steps, ["answer"]);
        call.noted(13326, "digits only");
        assert_eq!(call.digits("1"), [format!("{POST} Digits=1 FinishedOnKey=")]);
    }
}

#[test]
fn no_trace_or_debug_text_shows_digits() {
    let (mut call, _) = Call::begin("<Gather numDigits='9'/>");
    call.digits("47110815");
    assert!(!call.program_debug().contains("4711"), "{}", call.program_debug());
    call.digits("9");
    let written = format!("{:?} {}", call.traces, call.program_debug());
    assert!(!written.contains("4711"), "{written}");
    assert!(call.traces.iter().any(|trace| trace.note == Note::Result("9 digits".to_owned())));
}

#[test]
fn a_prompt_that_cannot_be_played_is_passed_over() {
    let (mut call, _) = Call::begin("<Gather><Play>a.wav</Play><Play>file:///x</Play><Say>One</Say></Gather>");
    let failed = Input::PlayFailed { id: call.id(), code: 11200, text: "404".to_owned() };
    assert_eq!(call.input(failed), ["say One"]);
    call.noted(11200, "404");
    call.noted(11100, "the reference is not an http or https URL");
}

#[test]
fn a_trace_names_each_prompt_with_its_line() {
    let (mut call, _) = Call::begin("<Gather numDigits='1'>\n<Say>One</Say>\n<Pause/>\n<Play>b.wav</Play>\n</Gather>");
    let failed = Input::PlayFailed { id: call.id(), code: 13520, text: "no voice".to_owned() };
    assert_eq!(call.input(failed), [""; 0]);
    assert_eq!(call.wait(1_000), ["play https://app.example/ivr/b.wav"]);
    call.digits("1");
    let traces: Vec<(u32, &str, &Note)> = call.traces.iter().map(|one| (one.line, &*one.verb, &one.note)).collect();
    let unspoken = Note::Unheard { code: 13520, text: "no voice".to_owned() };
    let first = traces[0].0;
    assert_eq!(
        traces,
        [
            (first, "Gather", &Note::Began),
            (first + 1, "Say", &Note::Began),
            (first + 1, "Say", &unspoken),
            (first + 2, "Pause", &Note::Began),
            (first + 3, "Play", &Note::Began),
            (first, "Gather", &Note::Result("1 digit".to_owned())),
        ]
    );
}

#[test]
fn only_keys_of_a_telephone_are_digits() {
    let (mut call, _) = Call::begin("<Gather numDigits='2'/>");
    assert_eq!(call.digits("x é1A"), [format!("{POST} Digits=1A FinishedOnKey=")]);
}

#[test]
fn input_without_an_end_is_bounded() {
    let (mut call, _) = Call::begin("<Gather/>");
    let steps = call.digits(&"1".repeat(300));
    assert_eq!(steps.len(), 1);
    assert!(steps[0].contains(&format!("Digits={} ", "1".repeat(256))));
}

#[test]
fn verbs_that_cannot_be_nested_are_skipped() {
    let document = parse("<Response><Gather>text<Dial>1</Dial><Foo/><Say>a</Say></Gather></Response>").unwrap();
    let Kind::Gather(gather) = &document.verbs[0].kind else { panic!() };
    assert_eq!(gather.prompts.len(), 1);
    let codes: Vec<u16> = document.warnings.list.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [13320, 13320, 12200]);
}
