//! Callers of an application.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

mod callbacks;
mod clients;
mod conferences;
mod cookies;
mod detached;
mod detections;
mod dialled;
mod mailboxes;
mod menus;
mod parameters;
mod queues;
mod recorded;
mod redirected;
mod referred;
mod requested;
mod shown_caller_ids;
mod siprec;
mod speech;
mod streams;
mod transcripts;

use std::sync::Arc;

use trunkgate_call::{AppAnswer, AppResource, DocumentRequest, GatewayInput};
use trunkgate_media::{EndId, MediaEvent};
use trunkgate_route::{App, AppDocument, NumberingPlan, RoutingTable, TableDefinition, TargetSpec, WebhookMethod};

use trunkgate_twiml::compat::{CALLBACKS, CallbackField, CallbackKind, FeatureSupport, is_named};

use crate::bench::agents::agent;
use crate::bench::{Bench, CARRIER, Dialed, Dialing, PBX, answer, offer, route, to_trunk, usual_trunks};

pub(crate) const URL: &str = "https://app.example.com/voice?x=1";
pub(crate) const CALLER: EndId = EndId(0);
pub(crate) const PLAYER: EndId = EndId(1);

pub(crate) fn app() -> App {
    let document = AppDocument::Url { url: URL.to_owned(), method: WebhookMethod::Post };
    App { connect: vec![to_trunk("pbx")], ..App::new("ivr", document) }
}

pub(crate) fn table(connect: Vec<TargetSpec>) -> Arc<RoutingTable> {
    table_with(app(), connect)
}

pub(crate) fn table_with(app: App, connect: Vec<TargetSpec>) -> Arc<RoutingTable> {
    let definition = TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks: usual_trunks(),
        agents: vec![agent("desk")],
        routes: vec![route(connect)],
    };
    Arc::new(RoutingTable::new(definition).with_apps(vec![app]))
}

/// A call to the application, with its first request.
pub(crate) struct Menu {
    pub(crate) bench: Bench,
    pub(crate) caller: Dialing,
}

impl Menu {
    pub(crate) fn of(connect: Vec<TargetSpec>) -> Menu {
        Menu::at(table(connect))
    }

    pub(crate) fn at(table: Arc<RoutingTable>) -> Menu {
        let mut bench = Bench::with(table);
        let caller = bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(CARRIER, "SIP/2.0 180");
        Menu { bench, caller }
    }

    /// Makes a call to the application alone, with this first document.
    pub(crate) fn with(document: &str) -> Menu {
        let mut menu = Menu::of(vec![TargetSpec::App("ivr".into())]);
        assert_eq!(menu.requested().purpose, "start");
        menu.document(document);
        menu
    }

    /// Makes an answered call with this first document.
    pub(crate) fn answered(document: &str) -> Menu {
        let mut menu = Menu::with(document);
        menu.is_answered();
        menu
    }

    pub(crate) fn is_answered(&mut self) {
        let ok = self.bench.expect(CARRIER, "SIP/2.0 200");
        self.caller.to_tag = ok.tag("To");
        self.bench.receive(CARRIER, self.caller.request("ACK", "", ""));
        assert_eq!(self.bench.state(), "answered");
    }

    /// Returns the request to the application, and checks that it is the only one pending.
    pub(crate) fn requested(&self) -> DocumentRequest {
        let all: Vec<_> = self.bench.questions.iter().collect();
        let [question] = &all[..] else { panic!("{all:?}") };
        let AppResource::Document(request) = &question.wanted else { panic!("{question:?}") };
        is_on_the_page(request);
        request.clone()
    }

    pub(crate) fn answer(&mut self, answer: AppAnswer) {
        let question = self.bench.questions.pop_front().unwrap();
        self.bench.input(GatewayInput::AppAnswered { query: question.query.unwrap(), answer: Box::new(answer) });
    }

    pub(crate) fn document(&mut self, text: &str) {
        let body = format!("<Response>{text}</Response>").into_bytes();
        let content_type = Some("text/xml".to_owned());
        self.answer(AppAnswer::Document { url: None, content_type, body, told: "200".to_owned() });
    }

    /// Synthesises the requested text as this many packets, and returns it.
    pub(crate) fn spoken(&mut self, packets: usize) -> String {
        let AppResource::Speech { text, .. } = &self.bench.questions[0].wanted else { panic!() };
        let text = text.clone();
        self.answer(AppAnswer::Sound { sound: vec![0x80; packets * 160].into(), told: String::new() });
        text
    }

    pub(crate) fn played(&mut self) {
        self.bench.news(MediaEvent::Played { end: PLAYER });
    }

    pub(crate) fn press(&mut self, digits: &str) {
        for key in digits.chars() {
            self.bench.news(MediaEvent::Key { end: CALLER, key, ms: 0 });
        }
    }

    /// Returns the party that was called at the PBX.
    pub(crate) fn party(&mut self) -> Dialed {
        Dialed::new(PBX, self.bench.expect(PBX, "INVITE"))
    }

    pub(crate) fn joined(&mut self) -> Dialed {
        let party = self.party();
        self.bench.receive(PBX, party.answer(200, &answer()));
        self.bench.expect(PBX, "ACK");
        party
    }

    pub(crate) fn ends(mut self, reason: &str) {
        self.bench.finish();
        assert_eq!(self.bench.reports.last().unwrap().call.reason, Some(reason));
    }
}

impl Menu {
    /// Returns the reports to the application, which expect no document.
    pub(crate) fn reports(&mut self) -> Vec<DocumentRequest> {
        let (told, asked): (Vec<_>, Vec<_>) =
            self.bench.questions.drain(..).partition(|question| question.query.is_none());
        self.bench.questions.extend(asked);
        let request = |question: trunkgate_call::AppQuestion| match question.wanted {
            AppResource::Document(request) => {
                is_on_the_page(&request);
                request
            }
            other => panic!("{other:?}"),
        };
        let callbacks = self.bench.callbacks.drain(..).map(|callback| {
            // Reports are ordered per resource and shown in the call's trace.
            let named = |name| parameter(&callback.request, name).map(str::to_owned);
            let about = named("StreamSid")
                .or_else(|| named("SiprecSid"))
                .or_else(|| named("TranscriptionSid"))
                .or_else(|| named("RecordingSid").filter(|_| callback.request.purpose == "recording"));
            let about = about.or_else(|| named("CallSid"));
            assert_eq!(Some(&callback.about), about.as_ref());
            // A party of the call, or one that has left a call for its own.
            let calls = [named("ParentCallSid"), named("CallSid")];
            assert!(calls.contains(&Some(callback.call.clone())), "{} is none of {calls:?}", callback.call);
            callback.request
        });
        told.into_iter().map(request).chain(callbacks.inspect(is_on_the_page)).collect()
    }

    /// Returns the reports as pairs of status and sequence number.
    pub(crate) fn told(&mut self) -> Vec<(String, String)> {
        let value = |report: &DocumentRequest, name| parameter(report, name).unwrap().to_owned();
        let reports = self.reports();
        reports.iter().map(|report| (value(report, "CallStatus"), value(report, "SequenceNumber"))).collect()
    }

    pub(crate) fn is_told(&mut self, expected: &[(&str, &str)]) {
        let told = self.told();
        let told: Vec<(&str, &str)> = told.iter().map(|(status, number)| (status.as_str(), number.as_str())).collect();
        assert_eq!(told, expected);
    }
}

/// Returns the documented entry for a kind of request.
pub(crate) fn entry_of(request: &DocumentRequest) -> &'static CallbackKind {
    let of_party = parameter(request, "ParentCallSid").is_some();
    let found = CALLBACKS.iter().find(|callback| callback.is(request.purpose, of_party));
    found.unwrap_or_else(|| panic!("no entry for {} (of a party: {of_party})", request.purpose))
}

/// Checks that every field is documented for its kind of request.
fn is_on_the_page(request: &DocumentRequest) {
    let entry = entry_of(request);
    for (name, _) in &request.parameters {
        let is_sent =
            |field: &&CallbackField| is_named(field, name) && !matches!(field.1, FeatureSupport::NotSupported(_));
        assert!(entry.fields().any(|field| is_sent(&field)), "{name} of {}", entry.name);
    }
}

pub(crate) fn parameter<'r>(request: &'r DocumentRequest, name: &str) -> Option<&'r str> {
    request.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Makes a call to an application that dials numbers at the PBX, and at the backup if that fails.
pub(crate) fn with_backup(document: &str) -> Menu {
    let mut app = App::new("ivr", AppDocument::Url { url: URL.to_owned(), method: WebhookMethod::Post });
    app.connect = vec![to_trunk("pbx"), to_trunk("backup")];
    let definition = TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks: usual_trunks(),
        agents: vec![],
        routes: vec![route(vec![TargetSpec::App("ivr".into())])],
    };
    on(Bench::with(Arc::new(RoutingTable::new(definition).with_apps(vec![app]))), document)
}

/// Makes an answered call at this bench, with this first document.
pub(crate) fn on(mut bench: Bench, document: &str) -> Menu {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let mut menu = Menu { bench, caller };
    menu.document(document);
    menu.is_answered();
    menu
}

/// End and player of a party that hears its document.
pub(crate) const PARTY: EndId = EndId(2);
pub(crate) const WHISPER: EndId = EndId(3);

pub(crate) const ALL_EVENTS: &str =
    "statusCallback='/progress?a=1' statusCallbackEvent='initiated ringing answered completed'";
