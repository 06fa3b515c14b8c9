//! Calls that begin with an HTTP request.

use std::time::Duration;

use trunkgate_call::{CallRequest, ConnectTarget, NotBegun, OperatorCommand, ReasonSlug, named_target};
use trunkgate_route::{Agent, StatusCallback};
use trunkgate_twiml::SensitiveText;

use super::*;
use crate::bench::agents::{agent_table, to_agent};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, PBX, answer, to_trunk};

const FROM: &str = "+14155550100";
const TO: &str = "+442071838750";

/// Creates an application for one call that requests every report.
fn made(document: AppDocument) -> ConnectTarget {
    let url = "https://app.example.com/status".to_owned();
    let (method, all) = (WebhookMethod::Post, true);
    let wanted = StatusCallback { url, method, initiated: all, ringing: all, answered: all, completed: all };
    let connect = vec![to_trunk("pbx")];
    ConnectTarget::App(Arc::new(App {
        status_callback: Some(wanted),
        is_made: true,
        connect,
        ..App::new("api", document)
    }))
}

pub(crate) fn at_url() -> ConnectTarget {
    made(AppDocument::Url { url: URL.to_owned(), method: WebhookMethod::Post })
}

fn text(document: &str) -> ConnectTarget {
    made(AppDocument::Text(format!("<Response>{document}</Response>").into()))
}

pub(crate) fn request(onward: Vec<ConnectTarget>) -> CallRequest {
    CallRequest {
        from: FROM.to_owned(),
        to: TO.to_owned(),
        targets: vec![to_trunk("carrier")],
        headers: Vec::new(),
        onward,
        ring_timeout: Duration::from_secs(60),
        time_limit: Duration::ZERO,
        digits: None,
        record: None,
        participant: None,
        detection: None,
    }
}

/// A requested call, with its SID.
pub(crate) struct Requested {
    pub(crate) bench: Bench,
    sid: String,
}

impl Requested {
    fn with(request: &CallRequest) -> Requested {
        Requested::at(Bench::with(table(vec![to_trunk("pbx")])), request)
    }

    /// Makes the call at this bench.
    pub(crate) fn at(mut bench: Bench, request: &CallRequest) -> Requested {
        let sid = bench.change(request.clone()).unwrap().sid;
        bench.drain();
        Requested { bench, sid }
    }

    fn of(onward: ConnectTarget) -> Requested {
        Requested::with(&request(vec![onward]))
    }

    /// Returns the called party, as the carrier sees it.
    fn party(&mut self) -> Dialed {
        Dialed::new(CARRIER, self.bench.expect(CARRIER, "INVITE"))
    }

    /// Answers the call, and returns the party.
    pub(crate) fn answered(&mut self) -> Dialed {
        let party = self.party();
        self.bench.receive(CARRIER, party.answer(200, &answer()));
        self.bench.expect(CARRIER, "ACK");
        party
    }

    /// Returns the call as a menu, for the rest of the test.
    pub(crate) fn menu(self) -> (Menu, String) {
        let peer = CARRIER.to_owned();
        let caller = Dialing { peer, number: TO.to_owned(), call: 0, cseq: 0, to_tag: String::new() };
        (Menu { bench: self.bench, caller }, self.sid)
    }
}

/// Ends of the party, and of its player: leg 0 has none.
const PARTY_END: EndId = EndId(0);

#[test]
fn the_party_is_called_and_talks_to_its_application() {
    let mut call = Requested::of(at_url());
    let party = call.party();
    assert!(party.invite.header("From").contains("+14155550100"), "{}", party.invite.text);
    assert!(party.invite.first_line().contains("+442071838750"), "{}", party.invite.text);
    assert!(party.invite.body().contains("PCMU"), "{}", party.invite.body());
    let view = call.bench.gateway.call(call.bench.now, &call.sid).unwrap();
    assert_eq!((view.state, view.requested, view.legs[0].kind), ("trying", true, "api"));
    call.bench.receive(CARRIER, party.answer(180, ""));
    assert_eq!(call.bench.gateway.call(call.bench.now, &call.sid).unwrap().state, "ringing");
    call.bench.receive(CARRIER, party.answer(200, &answer()));
    call.bench.expect(CARRIER, "ACK");
    let (mut menu, sid) = call.menu();
    assert_eq!(menu.bench.state(), "answered");
    menu.is_told(&[("initiated", "0"), ("ringing", "1"), ("in-progress", "2")]);
    let first = menu.requested();
    for (name, value) in [
        ("CallSid", sid.as_str()),
        ("Direction", "outbound-api"),
        ("CallStatus", "in-progress"),
        ("From", FROM),
        ("To", TO),
        ("SipCallId", party.invite.header("Call-ID")),
    ] {
        assert_eq!(parameter(&first, name), Some(value), "{name}");
    }
    menu.document("<Gather numDigits='1' action='/next'><Say>hello</Say></Gather>");
    assert_eq!(menu.spoken(10), "hello");
    menu.bench.news(MediaEvent::Key { end: PARTY_END, key: '7', ms: 0 });
    let next = menu.requested();
    assert_eq!(parameter(&next, "Digits"), Some("7"));
    menu.document("<Hangup/>");
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, party.respond(&bye, 200, ""));
    menu.is_told(&[("completed", "3")]);
    let record = menu.bench.reports.last().unwrap();
    assert_eq!((record.call.outcome, record.call.route.as_str()), (Some("answered"), "api"));
    assert!(record.call.legs[1].to_requested);
    let verdict = menu.bench.gateway.trace(&sid).unwrap().verdict;
    assert_eq!(verdict, "Answered by carrier, ended after 0.0 s: the application ended the call.");
    menu.ends("app_hung_up");
}

#[test]
fn a_party_that_hangs_up_ends_the_call() {
    let mut call = Requested::of(text("<Say>hello</Say>"));
    let party = call.answered();
    let (mut menu, _) = call.menu();
    menu.told();
    menu.spoken(10);
    menu.bench.receive(CARRIER, party.request("BYE", 2, ""));
    menu.bench.expect(CARRIER, "SIP/2.0 200");
    menu.is_told(&[("completed", "2")]);
    menu.ends("callee_hung_up");
}

#[test]
fn each_way_of_not_answering_has_its_status() {
    for (code, status, outcome) in
        [(486, "busy", "busy"), (404, "failed", "refused"), (480, "no-answer", "no_answer"), (503, "failed", "failed")]
    {
        let mut call = Requested::of(at_url());
        let party = call.party();
        call.bench.receive(CARRIER, party.answer(code, ""));
        call.bench.expect(CARRIER, "ACK");
        let (mut menu, _) = call.menu();
        let [_, last] = &menu.reports()[..] else { panic!("{code}") };
        assert_eq!(parameter(last, "CallStatus"), Some(status));
        assert_eq!(parameter(last, "SipResponseCode"), Some(&*code.to_string()), "as the party said it");
        assert_eq!(menu.bench.reports.last().unwrap().call.outcome, Some(outcome), "{code}");
        menu.bench.finish();
    }
}

#[test]
fn the_next_target_is_called_where_one_cannot_be_had() {
    let targets = vec![to_trunk("carrier"), to_trunk("backup")];
    let mut call = Requested::with(&CallRequest { targets, ..request(vec![at_url()]) });
    let party = call.party();
    call.bench.receive(CARRIER, party.answer(503, ""));
    call.bench.expect(CARRIER, "ACK");
    let other = Dialed::new(BACKUP, call.bench.expect(BACKUP, "INVITE"));
    // A 2xx without a description makes no session.
    call.bench.receive(BACKUP, other.answer(200, ""));
    call.bench.expect(BACKUP, "ACK");
    let bye = call.bench.expect(BACKUP, "BYE");
    call.bench.receive(BACKUP, other.respond(&bye, 200, ""));
    let (mut menu, _) = call.menu();
    menu.is_told(&[("initiated", "0"), ("failed", "1")]);
    menu.bench.finish();
}

#[test]
fn a_party_rings_for_as_long_as_the_request_says() {
    let targets = vec![to_trunk("carrier"), to_trunk("backup")];
    let ring_timeout = Duration::from_secs(10);
    let mut call = Requested::with(&CallRequest { targets, ring_timeout, ..request(vec![at_url()]) });
    let party = call.party();
    call.bench.receive(CARRIER, party.answer(180, ""));
    call.bench.pass(Duration::from_secs(10));
    let cancel = call.bench.expect(CARRIER, "CANCEL");
    call.bench.receive(CARRIER, party.respond(&cancel, 200, ""));
    call.bench.receive(CARRIER, party.answer(487, ""));
    call.bench.expect(CARRIER, "ACK");
    let (mut menu, _) = call.menu();
    menu.is_told(&[("initiated", "0"), ("ringing", "1"), ("no-answer", "2")]);
    menu.ends("ring_timeout");
}

#[test]
fn a_call_that_is_ended_before_its_answer_is_canceled() {
    let mut call = Requested::of(at_url());
    let party = call.party();
    call.bench.receive(CARRIER, party.answer(180, ""));
    call.bench.control(OperatorCommand::Hangup { sid: call.sid.clone() });
    let cancel = call.bench.expect(CARRIER, "CANCEL");
    call.bench.receive(CARRIER, party.respond(&cancel, 200, ""));
    call.bench.receive(CARRIER, party.answer(487, ""));
    call.bench.expect(CARRIER, "ACK");
    let (mut menu, _) = call.menu();
    menu.is_told(&[("initiated", "0"), ("ringing", "1"), ("canceled", "2")]);
    assert_eq!(menu.bench.reports.last().unwrap().call.outcome, Some("canceled"));
    menu.ends("operator");
}

#[test]
fn digits_are_sent_before_the_document_is_requested() {
    let digits = Some(SensitiveText::new("w1"));
    let mut call = Requested::with(&CallRequest { digits, ..request(vec![at_url()]) });
    let party = call.answered();
    let (mut menu, _) = call.menu();
    menu.told();
    assert!(menu.bench.questions.is_empty(), "{:?}", menu.bench.questions);
    menu.bench.pass(Duration::from_secs(3));
    let pressed = menu.bench.take_media();
    assert!(
        pressed.iter().any(|command| matches!(command, trunkgate_media::MediaCommand::Press { .. })),
        "{pressed:?}"
    );
    assert_eq!(menu.requested().purpose, "start");
    menu.document("");
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, party.respond(&bye, 200, ""));
    menu.ends("app_hung_up");
}

#[test]
fn a_call_lasts_no_longer_than_its_request_says() {
    let time_limit = Duration::from_secs(30);
    let mut call = Requested::with(&CallRequest { time_limit, ..request(vec![text("<Pause length='600'/>")]) });
    let party = call.answered();
    call.bench.pass(Duration::from_secs(29));
    assert_eq!(call.bench.gateway.live_calls(), 1);
    call.bench.pass(Duration::from_secs(1));
    let bye = call.bench.expect(CARRIER, "BYE");
    call.bench.receive(CARRIER, party.respond(&bye, 200, ""));
    call.menu().0.ends("time_limit");
}

#[test]
fn a_dialled_party_sees_the_number_of_the_request() {
    let mut call = Requested::of(text("<Dial>+14155550111</Dial><Say>bye</Say>"));
    let party = call.answered();
    let (mut menu, _) = call.menu();
    let second = menu.party();
    assert!(second.invite.header("From").contains(FROM), "{}", second.invite.text);
    menu.bench.receive(PBX, second.answer(200, &answer()));
    menu.bench.expect(PBX, "ACK");
    assert_eq!(menu.bench.state(), "answered");
    menu.bench.receive(PBX, second.request("BYE", 2, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    menu.told();
    assert_eq!(menu.spoken(5), "bye");
    menu.bench.receive(CARRIER, party.request("BYE", 2, ""));
    menu.bench.expect(CARRIER, "SIP/2.0 200");
    menu.ends("callee_hung_up");
}

#[test]
fn the_party_may_be_connected_with_another_one_or_an_agent() {
    let onward = ConnectTarget::Target(to_trunk("pbx"));
    let mut call = Requested::of(onward);
    let party = call.answered();
    let second = Dialed::new(PBX, call.bench.expect(PBX, "INVITE"));
    assert!(second.invite.header("From").contains(FROM), "{}", second.invite.text);
    call.bench.receive(PBX, second.answer(200, &answer()));
    call.bench.expect(PBX, "ACK");
    assert_eq!(call.bench.state(), "answered");
    call.bench.receive(CARRIER, party.request("BYE", 2, ""));
    call.bench.expect(CARRIER, "SIP/2.0 200");
    let bye = call.bench.expect(PBX, "BYE");
    call.bench.receive(PBX, second.respond(&bye, 200, ""));
    call.menu().0.ends("callee_hung_up");

    // The number of the request is the edge's own, so the agent need not allow it.
    let desk = Agent { allow_callers: ["+19995550100".to_owned()].into(), ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_trunk("pbx")])));
    let sid = bench.change(request(vec![ConnectTarget::Target(to_agent("desk"))])).unwrap().sid;
    bench.drain();
    let mut call = Requested { bench, sid };
    let party = call.answered();
    let asked = call.bench.asked();
    let [(end, settings)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(settings.call_sid, call.sid);
    call.bench.open(*end);
    assert_eq!(call.bench.state(), "answered");
    call.bench.receive(CARRIER, party.request("BYE", 2, ""));
    call.bench.expect(CARRIER, "SIP/2.0 200");
    call.menu().0.ends("callee_hung_up");
}

#[test]
fn a_restart_loses_neither_the_party_nor_its_application() {
    let time_limit = Duration::from_secs(60);
    let mut call = Requested::with(&CallRequest { time_limit, ..request(vec![text("<Say>hello</Say><Pause/>")]) });
    let party = call.answered();
    let (mut menu, sid) = call.menu();
    menu.told();
    menu.spoken(10);
    menu.bench.pass(Duration::from_secs(20));
    menu.bench.restart(table(vec![to_trunk("pbx")]));
    let view = menu.bench.gateway.call(menu.bench.now, &sid).unwrap();
    assert_eq!((view.state, view.requested), ("answered", true));
    assert!(menu.bench.questions.is_empty(), "the sound goes on");
    menu.bench.pass(Duration::from_secs(40));
    menu.is_told(&[("completed", "2")]);
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, party.respond(&bye, 200, ""));
    menu.ends("time_limit");
}

#[test]
fn a_request_is_refused_where_no_call_may_begin() {
    let mut bench = Bench::with(table(vec![to_trunk("pbx")]));
    let nowhere = CallRequest { targets: vec![to_trunk("unknown")], ..request(vec![at_url()]) };
    assert_eq!(bench.change(nowhere), Err(NotBegun::NoTarget));
    let nothing = request(vec![]);
    assert_eq!(bench.change(nothing), Err(NotBegun::NoTarget));
    bench.control(OperatorCommand::Drain { on: true });
    let refused = bench.change(request(vec![at_url()]));
    assert_eq!(refused, Err(NotBegun::Refused(ReasonSlug::Draining)));
    bench.finish();
}

#[test]
fn headers_of_a_sip_address_of_a_request_are_in_its_invite() {
    let to = "sip:bob@10.0.0.20".to_owned();
    let targets = vec![named_target(&to, &NumberingPlan::new("US").unwrap()).unwrap()];
    let headers = vec![("X-Case".to_owned(), "42".to_owned())];
    let mut call = Requested::with(&CallRequest { to, targets, headers, ..request(vec![at_url()]) });
    let party = Dialed::new(PBX, call.bench.expect(PBX, "INVITE"));
    assert_eq!(party.invite.first_line(), "INVITE sip:bob@10.0.0.20 SIP/2.0");
    assert_eq!(party.invite.header("X-Case"), "42");
}

#[test]
fn a_sip_address_of_a_request_is_shown_without_its_password() {
    let to = "sip:bob:S3CRET@10.0.0.20".to_owned();
    let targets = vec![named_target(&to, &NumberingPlan::new("US").unwrap()).unwrap()];
    let mut call = Requested::with(&CallRequest { to, targets, ..request(vec![at_url()]) });
    let party = Dialed::new(PBX, call.bench.expect(PBX, "INVITE"));
    assert_eq!(party.invite.first_line(), "INVITE sip:bob:S3CRET@10.0.0.20 SIP/2.0");
    call.bench.receive(PBX, party.answer(486, ""));
    call.bench.expect(PBX, "ACK");
    let (mut menu, _) = call.menu();
    let reports = menu.reports();
    assert!(reports.iter().all(|report| parameter(report, "To") == Some("sip:bob@10.0.0.20")), "{reports:?}");
    menu.bench.finish();
    let record = menu.bench.reports.last().unwrap();
    assert_eq!(record.call.to, "sip:bob@10.0.0.20");
    let all = format!("{record:?} {:?} {:?}", menu.bench.logs, menu.bench.changes);
    assert!(!all.contains("S3CRET"), "{all}");
}
