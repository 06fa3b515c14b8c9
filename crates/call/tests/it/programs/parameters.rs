//! Every parameter of the page of what is supported, in the requests of whole calls.

use std::collections::BTreeSet;

use trunkgate_call::AppQuestion;
use trunkgate_route::{App, StatusCallback, TargetSpec, WebhookMethod};

use super::*;
use crate::bench::agents::hang_up;

/// Collects names of parameters.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn note(&mut self, requests: &[DocumentRequest]) {
        self.0.extend(requests.iter().flat_map(|request| &request.parameters).map(|(name, _)| name.clone()));
    }

    fn has(&self, entry: &str) -> bool {
        self.0.iter().any(|name| entry.strip_suffix('…').map_or(name == entry, |start| name.starts_with(start)))
    }
}

/// A caller whose network says much about it; its call is reported from beginning to end.
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
    bench.receive(CARRIER, Dialing { call: 77, ..caller }.request("INVITE", &offer(), lines));
    let request = |question: &AppQuestion| match &question.wanted {
        AppWanted::Document(request) => Some(request.clone()),
        _ => None,
    };
    let callbacks = bench.callbacks.iter().map(|callback| callback.request.clone());
    names.note(&bench.questions.iter().filter_map(request).chain(callbacks).collect::<Vec<_>>());
}

/// A Gather, and a Dial whose party is reported.
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

/// A transfer, and a stream that cannot be opened.
fn elsewhere(names: &mut Names) {
    let (mut menu, refer) = referred::referred();
    menu.bench.receive(CARRIER, menu.caller.respond(&refer, 202, ""));
    menu.notifies("terminated;reason=noresource", "SIP/2.0 200 OK");
    names.note(&[menu.requested()]);
    let stream = "<Stream url='wss://bot.example.com/media' name='one' statusCallback='/stream'/>";
    let mut menu = Menu::answered(&format!("<Connect>{stream}</Connect>"));
    let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
    menu.bench.lose(end, trunkgate_media::agent::Loss::Unreachable);
    names.note(&menu.reports());
}

/// Speech, and a report of a part of it.
fn speech(names: &mut Names) {
    let mut menu = speech::listening("<Gather input='speech' speechTimeout='auto' partialResultCallback='/partial'/>");
    let end = menu.bench.asked()[0].0;
    menu.hears(end, "boo", false);
    names.note(&[menu.requested()]);
    menu.document("");
    menu.hears(end, "book", true);
    names.note(&[menu.requested()]);
}

/// An application that fails and has another URL.
fn failed(names: &mut Names) {
    let app = App { fallback_url: Some("https://app.example.com/else".to_owned()), ..app() };
    let mut menu = Menu::at(table_with(app, vec![TargetSpec::App("ivr".into())]));
    menu.document("<Frobnicate");
    names.note(&[menu.requested()]);
}

#[test]
fn each_parameter_of_the_page_is_sent_and_no_other() {
    let mut names = Names::default();
    for part in [caller, menu, elsewhere, speech, failed] {
        part(&mut names);
    }
    for entry in PARAMETERS {
        let is_promised = !matches!(entry.state, State::NotSupported(_));
        assert_eq!(names.has(entry.name), is_promised, "{}: {:?}", entry.name, names.0);
    }
}
