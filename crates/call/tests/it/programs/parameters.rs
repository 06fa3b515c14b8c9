//! Every parameter of the compatibility page, in the requests of whole calls.

use std::collections::BTreeSet;

use trunkgate_call::AppQuestion;
use trunkgate_media::RecorderEvent;
use trunkgate_route::{App, StatusCallback, TargetSpec, WebhookMethod};
use trunkgate_twiml::compat::{self, CallbackSubject};

use super::*;
use crate::bench::agents::hang_up;

/// Names of fields, by the entry of their request.
#[derive(Default)]
struct Names(BTreeSet<(&'static str, String)>);

impl Names {
    fn note(&mut self, requests: &[DocumentRequest]) {
        for request in requests {
            let entry = entry_of(request).name;
            self.0.extend(request.parameters.iter().map(|(name, _)| (entry, name.clone())));
        }
    }

    fn has(&self, entry: &CallbackKind, field: &CallbackField) -> bool {
        self.0.iter().any(|(of, name)| *of == entry.name && is_named(field, name))
    }
}

/// Makes a call with many facts from the caller's network, reported from beginning to end.
fn caller(names: &mut Names) {
    let (url, all) = ("https://app.example.com/status".to_owned(), true);
    let method = WebhookMethod::Post;
    let wanted = StatusCallback { url, method, initiated: all, ringing: all, answered: all, completed: all };
    let app = App { status_callback: Some(wanted), ..app() };
    let mut bench = Bench::with(table_with(app, vec![TargetSpec::App("ivr".into())]));
    let caller = Dialing { call: 1, ..bench.invite(CARRIER, "+14155550100", &offer()) };
    bench.questions.clear();
    bench.callbacks.clear();
    let lines = "Diversion: <sip:+14155550177@x.example>\r\nX-Room: blue\r\n\
                 P-Asserted-Identity: \"Alice\" <sip:+14155551234;verstat=TN-Validation-Passed-A@x.example>\r\n";
    let caller = Dialing { call: 77, ..caller };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), lines));
    let request = |question: &AppQuestion| match &question.wanted {
        AppResource::Document(request) => Some(request.clone()),
        _ => None,
    };
    let callbacks = bench.callbacks.iter().map(|callback| callback.request.clone());
    names.note(&bench.questions.iter().filter_map(request).chain(callbacks).collect::<Vec<_>>());
    bench.callbacks.clear();
    let mut menu = Menu { bench, caller };
    menu.document("<Reject/>");
    names.note(&menu.reports());
}

/// Makes a call with a Gather, and a Dial with reports.
fn menu(names: &mut Names) {
    let mut menu = Menu::answered("<Gather action='/chosen'/>");
    menu.press("9#");
    names.note(&[menu.requested()]);
    menu.document(&format!("<Dial action='/after'><Number {ALL_EVENTS}>+14155550111</Number></Dial>"));
    let party = menu.joined();
    menu.bench.receive(PBX, party.request("BYE", 1, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    names.note(&menu.reports());
    names.note(&[menu.requested()]);
    menu.document("<Dial action='/after'><Number>+14155550111</Number></Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer_with(486, "X-Why: lunch\r\n"));
    menu.bench.expect(PBX, "ACK");
    names.note(&[menu.requested()]);
    hang_up(&mut menu.bench, &mut menu.caller);
}

/// Makes a call with a transfer, and a stream that cannot be opened.
fn elsewhere(names: &mut Names) {
    let (mut menu, refer) = referred::referred();
    menu.bench.receive(CARRIER, menu.caller.respond(&refer, 202, ""));
    menu.notifies("terminated;reason=noresource", "SIP/2.0 200 OK");
    names.note(&[menu.requested()]);
    let stream = "<Stream url='wss://bot.example.com/media' name='one' statusCallback='/stream'/>";
    let mut menu = Menu::answered(&format!("<Connect>{stream}</Connect>"));
    let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
    menu.bench.lose(end, trunkgate_media::agent::StreamLoss::Unreachable);
    names.note(&menu.reports());
}

/// Makes a call with speech recognition, and a partial result.
fn speech(names: &mut Names) {
    let mut menu = speech::listening("<Gather input='speech' speechTimeout='auto' partialResultCallback='/partial'/>");
    let end = menu.bench.asked()[0].0;
    menu.hears(end, "boo", false);
    names.note(&[menu.requested()]);
    menu.document("");
    menu.hears(end, "book", true);
    names.note(&[menu.requested()]);
}

/// Makes a call with a stream that ends, and the document of a party.
fn connected(names: &mut Names) {
    let mut menu = Menu::answered("<Connect action='/next'><Stream url='wss://bot.example.com/media'/></Connect>");
    let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
    menu.bench.open(end);
    menu.bench.lose(end, trunkgate_media::agent::StreamLoss::Closed(None));
    names.note(&[menu.requested()]);
    let mut menu = Menu::answered("<Dial><Number url='/screen'>+14155550111</Number></Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(200, &answer()));
    names.note(&[menu.requested()]);
}

/// Makes a call to an application that fails and has a fallback URL.
fn failed(names: &mut Names) {
    let app = App { fallback_url: Some("https://app.example.com/else".to_owned()), ..app() };
    let mut menu = Menu::at(table_with(app, vec![TargetSpec::App("ivr".into())]));
    menu.document("<Frobnicate");
    names.note(&[menu.requested()]);
}

/// Makes a call that is recorded until a digit, and then with the party of a Dial, with reports.
fn recorded(names: &mut Names) {
    let (mut menu, end) = recorded::recording("<Record action='/done'/>");
    menu.press("#");
    menu.bench.news(MediaEvent::Recorder { end, event: RecorderEvent::Ended { frames: 620, sound: Some((0, 619)) } });
    names.note(&[menu.requested()]);
    menu.document(
        "<Dial record='record-from-answer' action='/after' recordingStatusCallback='/recording' \
         recordingStatusCallbackEvent='in-progress'><Number>+14155550111</Number></Dial>",
    );
    let party = menu.joined();
    names.note(&menu.reports());
    menu.bench.receive(PBX, party.request("BYE", 1, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    names.note(&[menu.requested()]);
    // The writer of files determines the duration of a recording, and reports its end.
    names.0.insert((entry_of_recordings().name, "RecordingDuration".to_owned()));
}

fn entry_of_recordings() -> &'static CallbackKind {
    CALLBACKS.iter().find(|entry| entry.purposes == ["recording"]).unwrap()
}

/// Makes a requested call that is recorded and reported.
fn requested_and_recorded(names: &mut Names) {
    names.note(&recorded::reports_of_a_requested_call().1);
}

/// Makes a call with a recording by servers that do not exist.
fn by_servers(names: &mut Names) {
    names.note(&siprec::refused().reports());
    names.note(&transcripts::reported());
}

/// Makes a conference with a waiting party.
fn conferred(names: &mut Names) {
    names.note(&conferences::requests());
    names.note(&queues::requests());
}

/// Makes a call with answering machine detection.
fn judged(names: &mut Names) {
    names.note(&detections::requests());
}

#[test]
fn each_field_of_the_page_is_sent_with_its_request_and_no_other() {
    let mut names = Names::default();
    let of_parties = [connected, recorded, requested_and_recorded, by_servers, conferred, judged];
    for part in [caller, menu, elsewhere, speech, failed].into_iter().chain(of_parties) {
        part(&mut names);
    }
    let of_calls =
        CALLBACKS.iter().filter(|entry| !entry.purposes.iter().any(|purpose| purpose.starts_with("message")));
    for entry in of_calls {
        // Only one test caller has all the facts; the other calls use the same function for their fields.
        let says_much = ["start", "status"].contains(&entry.purposes[0]);
        let own = entry.own.iter().chain(if entry.subject == CallbackSubject::Itself { &[][..] } else { compat::CALL });
        let of_caller = compat::CALLER.iter().filter(|_| entry.subject == CallbackSubject::Caller && says_much);
        for field in own.chain(of_caller) {
            let is_promised = !matches!(field.1, FeatureSupport::NotSupported(_));
            assert_eq!(names.has(entry, field), is_promised, "{} of {}", field.0, entry.name);
        }
    }
}
