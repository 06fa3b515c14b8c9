//! Say, Play, Pause, Hangup, Reject: audio for the caller, and the time of the answer.

use trunkgate_twiml::{ProgramInput, VerbKind, parse};

use super::support::Call;

behaviours! {
    ["Say", "Hangup", "rule:document-end"]
    fn verbs_follow_one_another_and_the_end_hangs_up() {
        let (mut call, steps) = Call::begin("<Say>One</Say><Say>Two</Say>");
        assert_eq!(steps, ["answer", "say One"]);
        assert_eq!(call.played(), ["say Two"]);
        assert_eq!(call.played(), ["hangup"]);
        assert!(call.is_over());
        let (call, steps) = Call::begin("<Say>One</Say><Hangup/><Say>Two</Say>");
        assert_eq!(steps, ["answer", "say One"]);
        let mut call = call;
        assert_eq!(call.played(), ["hangup"]);
    }

    ["Say@voice", "Say@language"]
    fn say_has_voice_and_language() {
        let document = parse("<Response><Say voice='Polly.Joanna' language='en-GB'>Hi</Say></Response>").unwrap();
        let VerbKind::Say(say) = &document.verbs[0].kind else { panic!("{document:?}") };
        assert_eq!((say.voice.as_deref(), say.language.as_deref()), (Some("Polly.Joanna"), Some("en-GB")));
        assert!(document.warnings.list.is_empty());
    }

    ["Say@loop", "Play@loop", "rule:loop-forever"]
    fn loop_repeats_and_zero_never_ends() {
        let (mut call, steps) = Call::begin("<Say loop='3'>One</Say><Play loop='0'>a.mp3</Play>");
        assert_eq!(steps, ["answer", "say One x3"]);
        assert_eq!(call.played(), ["play https://app.example/ivr/a.mp3 forever"]);
        assert_eq!(call.wait(1_000_000), [""; 0]);
        assert_eq!(call.hung_up(), [""; 0]);
        assert!(call.is_over());
    }

    ["Say@(SSML)"]
    fn ssml_is_kept_beside_the_plain_text() {
        let inner = "Hi <break time='1s'/>there, <sub alias='World Wide Web'>WWW</sub> &amp; <p>all</p>of <x>you</x>";
        let document = parse(&format!("<Response><Say>{inner}</Say><Say>plain</Say></Response>")).unwrap();
        let [VerbKind::Say(say), VerbKind::Say(plain)] = [&document.verbs[0].kind, &document.verbs[1].kind] else { panic!() };
        assert_eq!(say.text, "Hi there, World Wide Web & all of you");
        let ssml = "Hi <break time=\"1s\"/>there, <sub alias=\"World Wide Web\">WWW</sub> &amp; <p>all</p>of you";
        assert_eq!(say.ssml.as_deref(), Some(ssml));
        assert_eq!((plain.text.as_str(), &plain.ssml), ("plain", &None));
        assert_eq!(document.warnings.list.len(), 1, "<x>: {:?}", document.warnings);
    }

    ["Say@(text)", "rule:say-limit"]
    fn say_ends_after_4096_characters() {
        let long = "é".repeat(4_097);
        let document = parse(&format!("<Response><Say>{long}</Say><Say> </Say></Response>")).unwrap();
        let [verb] = &document.verbs[..] else { panic!("the empty one is skipped: {document:?}") };
        let VerbKind::Say(say) = &verb.kind else { panic!() };
        assert_eq!(say.text.chars().count(), 4_096);
        let codes: Vec<u16> = document.warnings.list.iter().map(|warning| warning.code).collect();
        assert_eq!(codes, [13521, 13520]);
    }

    ["Play", "rule:play-failed"]
    fn play_takes_urls_and_goes_on_without_a_file_that_cannot_be_played() {
        let (mut call, steps) = Call::begin("<Play>https://cdn.example/a.wav</Play><Play>/b.wav</Play><Play/>");
        assert_eq!(steps, ["answer", "play https://cdn.example/a.wav"]);
        let failed = ProgramInput::PlayFailed { id: call.id(), code: 13420, text: "not audio".to_owned() };
        assert_eq!(call.input(failed), ["play https://app.example/b.wav"]);
        call.noted(13420, "not audio");
        assert_eq!(call.played(), ["hangup"]);
        let (call, steps) = Call::begin("<Play>file:///etc/passwd</Play>");
        assert_eq!(steps, ["answer", "hangup"]);
        call.noted(11100, "is not an http or https URL");
    }

    ["Play@digits"]
    fn play_sends_digits() {
        let (mut call, steps) = Call::begin("<Play digits='ww12#'/><Play digits='hello'/><Pause/>");
        assert_eq!(steps, ["answer", "digits ww12#"]);
        assert_eq!(call.played(), [""; 0]);
        call.noted(13430, "skipped");
    }

    ["Pause", "Pause@length", "rule:pause-default"]
    fn pause_lasts_a_second_or_its_length() {
        let (mut call, steps) = Call::begin("<Pause/><Say>One</Say>");
        assert_eq!(steps, [""; 0], "not answered");
        assert_eq!(call.wait(999), [""; 0]);
        assert_eq!(call.wait(1), ["answer", "say One"]);
        let (mut call, _) = Call::begin("<Pause length='3'/>");
        assert_eq!(call.wait(2_999), [""; 0]);
        assert_eq!(call.wait(1), ["answer", "hangup"]);
    }

    ["rule:answering", "rule:hangup-answers"]
    fn each_verb_answers_or_does_not() {
        for (body, answers) in [
            ("<Say>a</Say>", true),
            ("<Play>a</Play>", true),
            ("<Play digits='1'/>", true),
            ("<Gather/>", true),
            ("<Dial>123</Dial>", true),
            ("<Dial answerOnBridge='true'>123</Dial>", false),
            ("<Connect><Stream url='wss://a.example/'/></Connect>", true),
            ("<Refer><Sip>sip:a@b.example</Sip></Refer>", true),
            ("<Hangup/>", true),
            ("", true),
            ("<Pause/>", false),
            ("<Redirect>a</Redirect>", false),
            ("<Reject/>", false),
            ("<Start><Stream url='wss://a.example/'/></Start><Pause/>", false),
        ] {
            let (_, steps) = Call::begin(body);
            assert_eq!(steps.iter().any(|step| step == "answer"), answers, "{body}: {steps:?}");
            let (_, steps) = Call::answered(body);
            assert!(!steps.iter().any(|step| step == "answer"), "{body} answers twice");
        }
    }

    ["Reject/Parameter", "Reject/Parameter@name", "Reject/Parameter@value", "Hangup/Parameter",
     "Hangup/Parameter@name", "Hangup/Parameter@value"]
    fn parameters_of_an_end_have_no_effect() {
        let parameter = "<Parameter name='a' value='b'/>";
        let (call, steps) = Call::begin(&format!("<Reject>{parameter}</Reject>"));
        assert_eq!(steps, ["reject Rejected"]);
        call.noted(12200, "<Parameter> in <Reject> has no effect");
        let (call, steps) = Call::begin(&format!("<Hangup>{parameter}<Foo/></Hangup>"));
        assert_eq!(steps, ["answer", "hangup"]);
        call.noted(12200, "<Parameter> in <Hangup> has no effect");
        call.noted(12200, "unknown element <Foo> in <Hangup>");
    }

    ["Reject", "Reject@reason", "rule:reject-first"]
    fn reject_refuses_a_call_that_is_not_answered() {
        let reject = |body: &str| Call::begin(body).1;
        assert_eq!(reject("<Reject/><Say>no</Say>"), ["reject Rejected"]);
        assert_eq!(reject("<Reject reason='busy'/>"), ["reject Busy"]);
        assert_eq!(reject("<Reject reason='tired'/>"), ["reject Rejected"]);
        let (mut call, _) = Call::begin("<Pause/><Reject reason='busy'/>");
        assert_eq!(call.wait(1_000), ["reject Busy"]);
        let (call, steps) = Call::answered("<Reject/>");
        assert_eq!(steps, ["hangup"]);
        call.noted(12200, "answered already");
    }
}

#[test]
fn a_late_report_of_a_sound_is_ignored() {
    let (mut call, _) = Call::begin("<Say>One</Say><Say>Two</Say>");
    let first = call.id();
    assert_eq!(call.played(), ["say Two"]);
    assert_eq!(call.input(ProgramInput::Played { id: first }), [""; 0]);
    assert_eq!(call.played(), ["hangup"]);
}
