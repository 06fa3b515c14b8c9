//! Gather: digits on virtual time.

use trunkgate_twiml::{DocumentSource, ProgramInput, TraceNote, VerbKind, parse};

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
    fn without_a_recogniser_speech_alone_is_no_input_and_beside_digits_not_heard() {
        let body = "<Gather input='speech' timeout='3'><Say>Hi</Say></Gather><Redirect>again</Redirect>";
        let (mut call, steps) = Call::begin(body);
        assert_eq!(steps, ["answer", "say Hi"]);
        call.noted(13326, "input=\"speech\" cannot collect speech: no recogniser is configured");
        assert_eq!(call.digits("1"), [""; 0], "no digits are taken");
        assert_eq!(call.played(), [""; 0]);
        assert_eq!(call.wait(2_999), [""; 0], "a document that redirects to itself does not spin");
        assert_eq!(call.wait(1), ["POST https://app.example/ivr/again redirect"]);
        let (mut call, _) = Call::begin("<Gather input='speech' timeout='3' actionOnEmptyResult='true'/>");
        assert_eq!(call.wait(3_000), [format!("{POST} SpeechResult= Language=en-US")]);
        let (mut call, steps) = Call::begin("<Gather input='dtmf speech' numDigits='1'/>");
        assert_eq!(steps, ["answer"]);
        call.noted(13326, "digits only: no recogniser is configured");
        assert_eq!(call.digits("1"), [format!("{POST} Digits=1 FinishedOnKey=")]);
    }

    ["rule:gather-speech", "Gather@speechTimeout", "Gather@language", "Gather@hints", "Gather@speechModel",
     "Gather@enhanced", "Gather@profanityFilter"]
    fn speech_goes_to_the_action_with_its_confidence() {
        let (mut call, steps) = Call::heard_by_recogniser("<Gather input='speech' speechTimeout='auto'/><Say>none</Say>");
        assert_eq!(steps, ["answer", "listen en-US"]);
        assert_eq!(call.partial("book a"), [""; 0]);
        assert_eq!(call.said(" Book  a table. ", 925_400), [
            "listen no more".to_owned(),
            format!("{POST} SpeechResult=Book a table. Confidence=0.9254 Language=en-US"),
        ]);
        let body = "<Gather input='speech' language='de-DE' hints='ja, nein,, vielleicht  doch' speechModel='phone_call' \
                    enhanced='true' profanityFilter='false' speechTimeout='2'/>";
        let (mut call, steps) = Call::heard_by_recogniser(body);
        assert_eq!(steps, ["answer", "listen de-DE phone_call enhanced unfiltered ja|nein|vielleicht doch"]);
        assert_eq!(call.understood("ja", true, None), [""; 0]);
        assert_eq!(call.wait(1_999), [""; 0]);
        assert_eq!(call.said("bitte", 500_000), [""; 0]);
        assert_eq!(call.wait(2_000), [
            "listen no more".to_owned(),
            format!("{POST} SpeechResult=ja bitte Confidence=0.5 Language=de-DE"),
        ]);
    }

    ["rule:gather-speech-timeout", "Gather@maxSpeechTime"]
    fn speech_ends_with_a_pause_or_when_it_lasts_too_long() {
        let (mut call, _) = Call::heard_by_recogniser("<Gather input='speech' timeout='3'/><Say>none</Say>");
        assert_eq!(call.wait(2_999), [""; 0]);
        assert_eq!(call.partial("I"), [""; 0], "in time");
        assert_eq!(call.wait(2_999), [""; 0]);
        assert_eq!(call.partial("I"), [""; 0], "the same words again are none");
        assert_eq!(call.wait(1), ["listen no more".to_owned(), format!("{POST} SpeechResult=I Language=en-US")]);
        let (mut call, _) = Call::heard_by_recogniser("<Gather input='speech' timeout='3'/><Say>none</Say>");
        assert_eq!(call.partial(""), [""; 0], "no word");
        assert_eq!(call.wait(3_000), ["listen no more", "say none"]);
        let (mut call, _) = Call::heard_by_recogniser("<Gather input='speech' speechTimeout='5' maxSpeechTime='6'/>");
        call.wait(4_000);
        assert_eq!(call.partial("one"), [""; 0]);
        call.wait(4_000);
        assert_eq!(call.partial("one two"), [""; 0]);
        assert_eq!(call.wait(1_999), [""; 0]);
        assert_eq!(call.wait(1), ["listen no more".to_owned(), format!("{POST} SpeechResult=one two Language=en-US")]);
    }

    ["rule:gather-first-input"]
    fn the_first_input_decides() {
        let body = "<Gather input='dtmf speech' numDigits='2'/>";
        let (mut call, steps) = Call::heard_by_recogniser(body);
        assert_eq!(steps, ["answer", "listen en-US"]);
        assert_eq!(call.digits("1"), ["listen no more"]);
        assert_eq!(call.said("two", 1_000_000), [""; 0], "too late");
        assert_eq!(call.digits("2"), [format!("{POST} Digits=12 FinishedOnKey=")]);
        let (mut call, _) = Call::heard_by_recogniser(body);
        assert_eq!(call.partial("four"), [""; 0]);
        assert_eq!(call.digits("12#"), [""; 0], "the caller speaks");
        assert_eq!(call.said("four", 1_000_000), [""; 0]);
        assert_eq!(call.wait(5_000), [
            "listen no more".to_owned(),
            format!("{POST} SpeechResult=four Confidence=1.0 Language=en-US"),
        ]);
        let (mut call, _) = Call::heard_by_recogniser("<Gather input='speech' numDigits='1' actionOnEmptyResult='true'/>");
        assert_eq!(call.digits("12#"), [""; 0], "no digits are asked for");
        assert_eq!(call.wait(5_000), ["listen no more".to_owned(), format!("{POST} SpeechResult= Language=en-US")]);
    }

    ["rule:gather-speech-barge-in", "Gather@bargeIn"]
    fn the_first_word_stops_the_prompts() {
        let body = "<Gather input='speech'><Say>One</Say><Play>a.wav</Play></Gather>";
        let (mut call, steps) = Call::heard_by_recogniser(body);
        assert_eq!(steps, ["answer", "listen en-US", "say One"]);
        assert_eq!(call.partial("hey"), ["stop"], "in the same step");
        assert_eq!(call.played(), [""; 0], "nothing follows");
        assert_eq!(call.wait(5_000), ["listen no more".to_owned(), format!("{POST} SpeechResult=hey Language=en-US")]);
        let body = "<Gather input='dtmf speech' bargeIn='false' numDigits='1'><Say>One</Say><Pause/></Gather>";
        let (mut call, steps) = Call::heard_by_recogniser(body);
        assert_eq!(steps, ["answer", "say One"]);
        assert_eq!(call.recognition(), None);
        assert_eq!(call.played(), [""; 0]);
        assert_eq!(call.wait(1_000), ["listen en-US"]);
        assert!(call.recognition().is_some(), "a restored call asks again");
        assert_eq!(call.partial("hey"), [""; 0]);
        let (mut call, _) = Call::heard_by_recogniser(body);
        assert_eq!(call.digits("5"), ["stop".to_owned(), format!("{POST} Digits=5 FinishedOnKey=")], "a digit always does");
    }

    ["rule:gather-partial", "Gather@partialResultCallback", "Gather@partialResultCallbackMethod"]
    fn partial_results_are_reported_in_order() {
        let body = "<Gather input='speech' speechTimeout='2' partialResultCallback='../partial'/>";
        let (mut call, _) = Call::heard_by_recogniser(body);
        let report = |n: u32, stable: &str, unstable: &str| {
            let what = format!("StableSpeechResult={stable} UnstableSpeechResult={unstable} SequenceNumber={n}");
            format!("report POST https://app.example/partial partial {what} Language=en-US")
        };
        assert_eq!(call.partial("one"), [report(0, "", "one")]);
        assert_eq!(call.partial("one"), [""; 0], "nothing new");
        assert_eq!(call.partial("one two"), [report(1, "", "one two")]);
        assert_eq!(call.said("One two.", 900_000), [report(2, "One two.", "")]);
        assert_eq!(call.partial("three"), [report(3, "One two.", "three")]);
        assert_eq!(call.wait(2_000)[1..], [format!("{POST} SpeechResult=One two. three Confidence=0.9 Language=en-US")]);
        let body = "<Gather input='speech' speechTimeout='auto' partialResultCallback='/p' partialResultCallbackMethod='GET'/>";
        let (mut call, _) = Call::heard_by_recogniser(body);
        assert!(call.partial("one")[0].starts_with("report GET https://app.example/p partial "));
        assert_eq!(call.said("one", 900_000).len(), 2, "the last result is the action's alone");
        let (call, steps) = Call::heard_by_recogniser("<Gather input='speech' partialResultCallback='ftp://a/'/>");
        assert_eq!(steps, ["answer", "listen en-US"]);
        call.noted(11100, "no partialResultCallback");
    }

    ["rule:gather-recogniser-failed"]
    fn a_recogniser_that_fails_is_no_input() {
        let (mut call, _) = Call::heard_by_recogniser("<Gather input='speech'/><Say>none</Say>");
        assert_eq!(call.recogniser_fails(), ["say none"], "nothing is waited for");
        assert!(call.traces.iter().any(|one| {
            one.note == TraceNote::Result("speech is not recognised: closed with 1011".to_owned())
        }));
        let (mut call, _) = Call::heard_by_recogniser("<Gather input='speech'><Say>One</Say></Gather><Say>none</Say>");
        assert_eq!(call.recogniser_fails(), [""; 0], "the prompt is heard to its end");
        assert_eq!(call.played(), [""; 0]);
        assert_eq!(call.wait(0), ["say none"]);
        let (mut call, _) = Call::heard_by_recogniser("<Gather input='dtmf speech' numDigits='1'/><Say>none</Say>");
        call.wait(2_000);
        assert_eq!(call.recogniser_fails(), [""; 0], "digits still count");
        assert_eq!(call.digits("1"), [format!("{POST} Digits=1 FinishedOnKey=")]);
        let (mut call, _) = Call::heard_by_recogniser("<Gather input='dtmf speech'/><Say>none</Say>");
        call.partial("hel");
        assert_eq!(call.recogniser_fails(), [""; 0], "what was not certain is nothing");
        assert_eq!(call.wait(4_999), [""; 0]);
        assert_eq!(call.wait(1), ["say none"]);
        let (mut call, _) = Call::heard_by_recogniser("<Gather input='speech'/><Say>none</Say>");
        call.said("yes", 1_000_000);
        call.partial("ple");
        let result = format!("{POST} SpeechResult=yes Confidence=1.0 Language=en-US");
        assert_eq!(call.recogniser_fails(), [result], "what was certain counts");
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
    assert!(call.traces.iter().any(|trace| trace.note == TraceNote::Result("9 digits".to_owned())));
}

#[test]
fn no_trace_or_debug_text_shows_speech() {
    let body = "<Gather input='speech' speechTimeout='auto' partialResultCallback='p'/>";
    let (mut call, _) = Call::heard_by_recogniser(body);
    call.partial("my pin is hunter2");
    assert!(!call.program_debug().contains("hunter2"), "{}", call.program_debug());
    call.said("my pin is hunter2", 1_000_000);
    let written = format!("{:?} {}", call.traces, call.program_debug());
    assert!(!written.contains("hunter2"), "{written}");
    assert!(call.traces.iter().any(|trace| trace.note == TraceNote::Result("speech of 4 words".to_owned())));
}

#[test]
fn another_document_ends_the_recognition() {
    let (mut call, _) = Call::heard_by_recogniser("<Gather input='speech'><Say>One</Say></Gather>");
    let steps = call.redirect(DocumentSource::Text("<Response><Say>Two</Say></Response>".to_owned()));
    assert_eq!(steps, ["stop", "listen no more", "say Two"]);
}

#[test]
fn values_of_speech_are_bounded() {
    let hints: Vec<String> = (0..501).map(|n| format!("hint {n}")).collect();
    let body = format!(
        "<Response><Gather input='speech' hints='{},{}' language='de_DE!' speechTimeout='0' bargeIn='x'/></Response>",
        "x".repeat(101),
        hints.join(",")
    );
    let document = parse(&body).unwrap();
    let VerbKind::Gather(gather) = &document.verbs[0].kind else { panic!() };
    let speech = gather.speech.as_ref().unwrap();
    assert_eq!((speech.hints.len(), speech.hints[0].as_str()), (500, "hint 0"));
    assert_eq!((speech.language.as_str(), speech.barge_in), ("en-US", true));
    let codes: Vec<u16> = document.warnings.list.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [13327, 13331, 13330, 13330, 13332]);
}

#[test]
fn a_prompt_that_cannot_be_played_is_passed_over() {
    let (mut call, _) = Call::begin("<Gather><Play>a.wav</Play><Play>file:///x</Play><Say>One</Say></Gather>");
    let failed = ProgramInput::PlayFailed { id: call.id(), code: 11200, text: "404".to_owned() };
    assert_eq!(call.input(failed), ["say One"]);
    call.noted(11200, "404");
    call.noted(11100, "the reference is not an http or https URL");
}

#[test]
fn a_trace_names_each_prompt_with_its_line() {
    let (mut call, _) = Call::begin("<Gather numDigits='1'>\n<Say>One</Say>\n<Pause/>\n<Play>b.wav</Play>\n</Gather>");
    let failed = ProgramInput::PlayFailed { id: call.id(), code: 13520, text: "no voice".to_owned() };
    assert_eq!(call.input(failed), [""; 0]);
    assert_eq!(call.wait(1_000), ["play https://app.example/ivr/b.wav"]);
    call.digits("1");
    let traces: Vec<(u32, &str, &TraceNote)> =
        call.traces.iter().map(|one| (one.line, &*one.verb, &one.note)).collect();
    let unspoken = TraceNote::Unheard { code: 13520, text: "no voice".to_owned() };
    let first = traces[0].0;
    assert_eq!(
        traces,
        [
            (first, "Gather", &TraceNote::Began),
            (first + 1, "Say", &TraceNote::Began),
            (first + 1, "Say", &unspoken),
            (first + 2, "Pause", &TraceNote::Began),
            (first + 3, "Play", &TraceNote::Began),
            (first, "Gather", &TraceNote::Result("1 digit".to_owned())),
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
    let VerbKind::Gather(gather) = &document.verbs[0].kind else { panic!() };
    assert_eq!(gather.prompts.len(), 1);
    let codes: Vec<u16> = document.warnings.list.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [13320, 13320, 12200]);
}
