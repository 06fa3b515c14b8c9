//! Speech recognition of a caller.

use std::time::Duration;

use trunkgate_call::RecogniserSpec;
use trunkgate_media::agent::{AgentFormat, StreamLoss, TrackSet, Transcript};
use trunkgate_media::{AgentEvent, MediaCommand, PayloadCodec, TapSpec};

use super::*;
use crate::bench::agents::{Told, hang_up};

/// Returns a recogniser for this many calls at once.
fn recogniser(max_sessions: u32) -> Arc<RecogniserSpec> {
    Arc::new(RecogniserSpec {
        url: "wss://asr.example.com/stream?model=x".to_owned(),
        token: Some("hunter2".to_owned()),
        ca: None,
        format: AgentFormat::L16Rate8000,
        connect_timeout: Duration::from_secs(2),
        max_sessions,
        events: false,
    })
}

/// Makes an answered call with this first document, on an edge with a recogniser.
pub(super) fn listening(document: &str) -> Menu {
    limited(document, 0)
}

pub(super) fn limited(document: &str, max_sessions: u32) -> Menu {
    let mut bench = Bench::with(table(vec![TargetSpec::App("ivr".into())]));
    bench.configure(|settings| settings.recogniser = Some(recogniser(max_sessions)));
    on(bench, document)
}

impl Menu {
    /// Passes a result of the recogniser.
    pub(super) fn hears(&mut self, end: EndId, text: &str, is_final: bool) {
        let confidence_ppm = is_final.then_some(875_000);
        self.bench.news(MediaEvent::Agent {
            end,
            event: AgentEvent::Recognised(Transcript { text: text.to_owned(), is_final, confidence_ppm }),
        });
    }

    /// Returns the recogniser that was requested last.
    fn recogniser(&self) -> EndId {
        self.bench.asked().last().unwrap().0
    }

    fn verdict(&self) -> String {
        let sid = self.bench.reports.last().unwrap().call.sid.clone();
        self.bench.gateway.trace(&sid).unwrap().verdict
    }
}

#[test]
fn a_recogniser_hears_the_caller_and_its_result_goes_to_the_action() {
    let mut menu = listening("<Gather input='speech' speechTimeout='auto' hints='sales, support' action='/said'/>");
    let (end, settings) = menu.bench.asked().remove(0);
    let asked = settings.recognition.as_ref().unwrap();
    assert_eq!((asked.language.as_str(), asked.hints.join("|").as_str()), ("en-US", "sales|support"));
    assert_eq!(
        (settings.tracks, settings.talks, settings.format),
        (TrackSet::Inbound, false, AgentFormat::L16Rate8000)
    );
    let socket = menu.bench.media.iter().find_map(|(_, command)| match command {
        MediaCommand::AddAgent { spec, .. } => Some(spec.socket.clone()),
        _ => None,
    });
    assert_eq!(socket.unwrap().bearer.as_deref(), Some("hunter2"));
    let told = menu.bench.told();
    let audio = TapSpec { inbound: vec![(0, PayloadCodec::Pcmu)], outbound: Vec::new() };
    assert!(told.contains(&Told::Tap(CALLER, end, audio)), "{told:?}");
    menu.bench.open(end);
    menu.hears(end, "put me through to sales", true);
    let request = menu.requested();
    assert_eq!(parameter(&request, "SpeechResult"), Some("put me through to sales"));
    assert_eq!(parameter(&request, "Confidence"), Some("0.875"));
    assert!(menu.bench.told().contains(&Told::Remove(end)), "its socket is closed");
    let metrics = menu.bench.gateway.metrics().recognition.clone();
    assert_eq!((metrics.sessions, metrics.results.get("speech")), (0, Some(&1)));
    menu.document("<Hangup/>");
    menu.hears(end, "too late", true);
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    let sid = menu.bench.reports[0].call.sid.clone();
    let shown = format!("{:?} {:?}", menu.bench.gateway.trace(&sid), menu.bench.logs);
    assert!(!shown.contains("sales") && !shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("speech of 5 words"), "{shown}");
}

#[test]
fn the_first_word_stops_the_prompt_and_a_digit_the_recogniser() {
    let document = "<Gather input='dtmf speech' numDigits='1' timeout='3'><Say>one</Say></Gather>";
    let mut menu = listening(document);
    menu.spoken(50);
    let end = menu.recogniser();
    menu.bench.told();
    menu.hears(end, "hel", false);
    assert!(menu.bench.told().contains(&Told::Play(PLAYER, trunkgate_media::PlayerSound::Silence)));
    menu.bench.pass(Duration::from_secs(3));
    assert_eq!(parameter(&menu.requested(), "SpeechResult"), Some("hel"));
    menu.document(document);
    menu.spoken(50);
    let end = menu.recogniser();
    menu.press("5");
    assert_eq!(parameter(&menu.requested(), "Digits"), Some("5"));
    assert!(menu.bench.told().contains(&Told::Remove(end)));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn partial_results_are_reported_one_after_the_other_and_the_last_one_in_any_case() {
    let document = "<Gather input='speech' speechTimeout='2' partialResultCallback='/partial'/>";
    let mut menu = listening(document);
    let end = menu.recogniser();
    let told = |menu: &Menu| {
        let request = menu.requested();
        let value = |name| parameter(&request, name).unwrap().to_owned();
        assert_eq!(request.purpose, "partial");
        (value("SequenceNumber"), value("UnstableSpeechResult"))
    };
    for text in ["a", "a b", "a b c"] {
        menu.hears(end, text, false);
    }
    assert_eq!(told(&menu), ("0".to_owned(), "a".to_owned()));
    menu.answer(AppAnswer::Failed { code: 11_200, text: "500".to_owned() });
    assert_eq!(told(&menu), ("2".to_owned(), "a b c".to_owned()), "what is older than that is of no use");
    menu.document("<Hangup/>");
    assert!(menu.bench.questions.is_empty(), "an answer to it is not run");
    menu.bench.pass(Duration::from_secs(2));
    assert_eq!(menu.requested().purpose, "gather");
    menu.document("<Gather input='speech' partialResultCallback='/partial'/>");
    let end = menu.recogniser();
    menu.hears(end, "x", false);
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.bench.questions.clear();
    menu.ends("caller_hung_up");
}

#[test]
fn a_recogniser_that_fails_leads_to_the_next_verb() {
    let document = "<Gather input='speech'/><Redirect>/next</Redirect>";
    let mut menu = listening(document);
    let end = menu.recogniser();
    menu.bench.news(MediaEvent::Agent {
        end,
        event: AgentEvent::Note { text: "Connection refused".to_owned(), logged: true },
    });
    menu.bench.lose(end, StreamLoss::Unreachable);
    assert_eq!(menu.requested().purpose, "redirect");
    let view = menu.bench.gateway.status(menu.bench.now).recognition.unwrap();
    assert_eq!((view.failed, view.of, view.still), (1, 1, true));
    assert_eq!(view.cause, "recogniser: cannot be reached: Connection refused");
    // A recogniser that closes properly before any result.
    menu.document(document);
    let end = menu.recogniser();
    menu.bench.open(end);
    menu.bench.news(MediaEvent::Agent { end, event: AgentEvent::Ended });
    assert_eq!(menu.requested().purpose, "redirect");
    // A recogniser that closes after a result, which counts.
    menu.document(document);
    let end = menu.recogniser();
    menu.bench.open(end);
    menu.hears(end, "yes", true);
    menu.bench.news(MediaEvent::Agent { end, event: AgentEvent::Ended });
    assert_eq!(parameter(&menu.requested(), "SpeechResult"), Some("yes"));
    let results = menu.bench.gateway.metrics().recognition.results.clone();
    assert_eq!(results.into_iter().collect::<Vec<_>>(), [("closed", 1), ("speech", 1), ("unreachable", 1)]);
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.bench.finish();
    let verdict = menu.verdict();
    assert!(verdict.contains("Speech of the caller was not recognised: recogniser: cannot be reached"), "{verdict}");
}

#[test]
fn beyond_the_limit_and_without_a_recogniser_digits_still_count() {
    let document = "<Gather input='dtmf speech' numDigits='1'/>";
    let mut menu = limited(document, 1);
    let first = menu.bench.asked().len();
    let other = menu.bench.invite(CARRIER, "+14155550100", &offer());
    let question = menu.bench.questions.pop_front().unwrap();
    let body = format!("<Response>{document}</Response>").into_bytes();
    let content_type = Some("text/xml".to_owned());
    let answer = AppAnswer::Document { url: None, content_type, body, told: "200".to_owned() };
    menu.bench.input(GatewayInput::AppAnswered { query: question.query.unwrap(), answer: Box::new(answer) });
    assert_eq!((first, menu.bench.asked().len()), (1, 1), "{other:?}");
    assert_eq!(menu.bench.gateway.metrics().recognition.results.get("limit"), Some(&1));
    // The recogniser is removed from the configuration meanwhile.
    menu.bench.configure(|settings| settings.recogniser = None);
    menu.press("7");
    assert_eq!(parameter(&menu.requested(), "Digits"), Some("7"));
}

#[test]
fn a_restart_asks_for_the_recogniser_again() {
    let mut menu = listening("<Gather input='speech' speechTimeout='auto'/>");
    let end = menu.recogniser();
    menu.hears(end, "one", false);
    menu.bench.restart(table(vec![TargetSpec::App("ivr".into())]));
    let again = menu.recogniser();
    assert_ne!(again, end);
    menu.hears(again, "one two", true);
    assert_eq!(parameter(&menu.requested(), "SpeechResult"), Some("one two"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn partial_results_leave_out_the_numbers_that_a_crash_may_have_hidden() {
    let mut menu = listening("<Gather input='speech' partialResultCallback='/partial'/>");
    let end = menu.recogniser();
    menu.hears(end, "one", false);
    assert_eq!(parameter(&menu.requested(), "SequenceNumber"), Some("0"));
    menu.document("");
    menu.bench.crash(table(vec![TargetSpec::App("ivr".into())]), Duration::from_millis(249));
    let again = menu.recogniser();
    menu.hears(again, "one two", false);
    assert_eq!(parameter(&menu.requested(), "SequenceNumber"), Some("33"));
    menu.document("");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_called_party_is_not_listened_to() {
    let mut menu = listening("<Dial><Number url='/screen'>+14155550111</Number></Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(200, &answer()));
    menu.bench.expect(PBX, "ACK");
    menu.document("<Gather input='dtmf speech' numDigits='1' timeout='1'/>");
    assert!(menu.bench.asked().is_empty(), "digits only");
}
