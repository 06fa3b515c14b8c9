//! Parties of a Dial that get a document of their own by request.

use std::time::Duration;

use jiff::tz::TimeZone;
use trunkgate_call::{CallAction, CallRecord, CallView, DetachRequest, RequestRefusal};
use trunkgate_media::{MediaCommand, MediaId};
use trunkgate_route::{Pattern, Quota, StatusCallback, TransferRule, Trunk};

use super::*;
use crate::bench::agents::hang_up;
use crate::bench::{CARRIER, PBX, answer, sdp, trunk};

fn made(body: &str) -> Arc<App> {
    let document = AppDocument::Text(format!("<Response>{body}</Response>").into());
    Arc::new(App { connect: vec![to_trunk("pbx")], is_made: true, ..App::new("api", document) })
}

/// A caller that has dialled a party, and the party.
struct Dial {
    menu: Menu,
    party: Dialed,
    /// SIDs of the caller's call and of the party's.
    sids: [String; 2],
}

impl Dial {
    fn with(document: &str) -> Dial {
        Dial::of(Menu::answered(document), PBX)
    }

    /// Connects the caller with its party at this address.
    fn of(mut menu: Menu, at: &str) -> Dial {
        let party = Dialed::new(at, menu.bench.expect(at, "INVITE"));
        menu.bench.receive(at, party.answer(200, &answer()));
        menu.bench.expect(at, "ACK");
        let call = menu.bench.gateway.calls(menu.bench.now)[0].clone();
        let sids = [call.sid, call.legs.last().unwrap().sid.clone()];
        menu.bench.take_media();
        Dial { menu, party, sids }
    }

    fn give(&mut self, body: &str) -> Result<(), RequestRefusal> {
        let [caller, party] = self.sids.clone();
        let action = CallAction::RedirectParty { party, request: made(body).into() };
        let done = self.menu.bench.change_call(&caller, action);
        self.menu.bench.drain();
        done
    }

    fn call(&self, sid: &str) -> CallView {
        self.menu.bench.gateway.call(self.menu.bench.now, sid).unwrap()
    }

    /// Returns the requested texts and documents, in order.
    fn asked(&self) -> Vec<String> {
        let what = |question: &trunkgate_call::AppQuestion| match &question.wanted {
            AppResource::Speech { text, .. } => format!("says {text}"),
            AppResource::Document(request) => {
                format!("{} {:?}", request.purpose, parameter(request, "DialCallStatus").unwrap_or_default())
            }
            other => panic!("{other:?}"),
        };
        self.menu.bench.questions.iter().map(what).collect()
    }

    fn party_hangs_up(&mut self) {
        self.menu.bench.receive(PBX, self.party.request("BYE", 1, ""));
        self.menu.bench.expect(PBX, "SIP/2.0 200");
    }

    fn record(&self, sid: &str) -> &CallRecord {
        self.menu.bench.reports.iter().find(|report| report.call.sid == sid).unwrap()
    }
}

#[test]
fn the_party_goes_on_in_a_call_of_its_own_and_the_dial_ends_as_if_it_had_hung_up() {
    let mut dial = Dial::with("<Dial action='/after'>+14155550111</Dial><Say>never</Say>");
    let source = "10.0.0.20:30000".parse().unwrap();
    dial.menu.bench.news(MediaEvent::Latched { end: PARTY, source });
    dial.menu.bench.pass(Duration::from_secs(5));
    dial.give("<Say>yours</Say><Pause length='60'/>").unwrap();
    dial.menu.bench.nothing();
    assert_eq!(dial.asked(), ["dial \"completed\"", "says yours"]);
    let [caller, party] = dial.sids.clone();
    let AppResource::Document(request) = &dial.menu.bench.questions[0].wanted else { panic!() };
    let told = ["DialCallSid", "DialCallDuration", "DialBridged"];
    let told = told.map(|name| parameter(request, name).unwrap().to_owned());
    assert_eq!(told, [party.clone(), "5".to_owned(), "true".to_owned()]);
    let moved = dial.menu.bench.take_media().into_iter().find_map(|command| match command {
        MediaCommand::MoveEnd { end, to, named } => Some((end, to, named)),
        _ => None,
    });
    assert_eq!(moved, Some((PARTY, MediaId(1), EndId(0))));
    let own = dial.call(&party);
    assert_eq!((own.parent.as_deref(), own.state, own.from.as_str()), (Some(&*caller), "answered", "+14155551234"));
    assert_eq!((own.to.as_str(), own.requested), ("+14155550111", true));
    assert_eq!(own.legs[1].rtp.latched, Some(source), "its worker will not report it again");
    let former = dial.call(&caller);
    let left = former.legs.iter().find(|leg| leg.sid == party).unwrap();
    assert!(left.has_own_call && !left.is_call_of_party() && left.dialled.to.is_some());
    assert_eq!((left.reason, former.parent), (Some("transferred"), None));
    // Each of the two calls ends by itself.
    dial.party_hangs_up();
    assert_eq!(dial.record(&party).call.reason, Some("callee_hung_up"));
    assert_eq!(dial.call(&caller).state, "answered");
    hang_up(&mut dial.menu.bench, &mut dial.menu.caller);
    dial.menu.ends("caller_hung_up");
}

/// SIP address without a trunk that the application may dial.
const PHONE: &str = "192.0.2.77:5060";

#[test]
fn a_caller_id_that_is_not_for_carriers_is_not_the_caller_of_the_own_call() {
    for (caller_id, expected) in [
        ("+18002752273", "+14155551234"),
        ("Bob", "+14155551234"),
        ("client:alice", "+14155551234"),
        // The called number of the call, which carriers may see.
        ("+14155550100", "+14155550100"),
    ] {
        let app = App { sip_to: vec![TransferRule::parse("sip:*@192.0.2.77").unwrap()], ..app() };
        let bench = Bench::with(table_with(app, vec![TargetSpec::App("ivr".into())]));
        let party = "<Sip>sip:bob@192.0.2.77</Sip>";
        let mut dial =
            Dial::of(on(bench, &format!("<Dial callerId='{caller_id}' action='/after'>{party}</Dial>")), PHONE);
        let of_call = format!("<Dial callerId='{caller_id}'>+14155550122</Dial>");
        let refused = if expected == caller_id { "" } else { of_call.as_str() };
        dial.give(&format!("{refused}<Dial>+14155550122</Dial>")).unwrap();
        assert_eq!(dial.call(&dial.sids[1]).from, expected, "{caller_id}");
        let invite = dial.menu.bench.expect(PBX, "INVITE sip:+14155550122@");
        assert!(invite.header("From").contains(&format!("<sip:{expected}@")), "{caller_id}: {}", invite.text);
    }
}

#[test]
fn a_number_that_the_caller_withholds_is_not_the_caller_of_the_own_call() {
    let mut bench = Bench::with(table(vec![TargetSpec::App("ivr".into())]));
    let number = "+14155550100".to_owned();
    let caller = Dialing { peer: CARRIER.into(), number, call: 1, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), "Privacy: id\r\n"));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let mut menu = Menu { bench, caller };
    menu.document("<Dial action='/after'>+14155550111</Dial>");
    menu.is_answered();
    let mut dial = Dial::of(menu, PBX);
    dial.give("<Dial>+14155550122</Dial>").unwrap();
    assert_eq!(dial.call(&dial.sids[1]).from, "anonymous");
    let invite = dial.menu.bench.expect(PBX, "INVITE sip:+14155550122@");
    assert!(!invite.text.contains("4155551234"), "{}", invite.text);
}

#[test]
fn a_dial_that_was_the_last_verb_ends_the_call_of_the_caller_alone() {
    let mut dial = Dial::with("<Dial>+14155550111</Dial>");
    dial.give("<Pause length='60'/>").unwrap();
    let bye = dial.menu.bench.expect(CARRIER, "BYE");
    dial.menu.bench.receive(CARRIER, dial.menu.caller.respond(&bye, 200, ""));
    let [_, party] = dial.sids.clone();
    assert_eq!(dial.call(&party).state, "answered");
    let detach = CallAction::RedirectParty { party: party.clone(), request: made("").into() };
    assert_eq!(dial.menu.bench.change_call(&dial.sids[0], detach), Err(RequestRefusal::CallEnded));
    // The new call is like any other: it gets another document, and a party of its own.
    let document = made("<Dial>+14155550122</Dial><Say>over</Say>");
    dial.menu.bench.change_call(&party, CallAction::Redirect(document)).unwrap();
    dial.menu.bench.drain();
    let second = dial.menu.joined();
    assert!(second.invite.text.starts_with("INVITE sip:+14155550122@"), "{}", second.invite.text);
    dial.menu.bench.receive(PBX, second.request("BYE", 2, ""));
    dial.menu.bench.expect(PBX, "SIP/2.0 200");
    assert_eq!(dial.asked(), ["says over"]);
    dial.party_hangs_up();
    dial.menu.bench.questions.clear();
    dial.menu.bench.finish();
}

#[test]
fn a_party_that_hears_the_document_of_its_number_may_leave_too() {
    let mut dial = Dial::with("<Dial action='/after'><Number url='/whisper'>+14155550111</Number></Dial>");
    dial.menu.document("<Say>press 1</Say>");
    dial.menu.spoken(30);
    dial.give("<Say>yours</Say>").unwrap();
    dial.menu.bench.nothing();
    assert_eq!(dial.asked(), ["dial \"completed\"", "says yours"]);
    dial.party_hangs_up();
    hang_up(&mut dial.menu.bench, &mut dial.menu.caller);
    dial.menu.ends("caller_hung_up");
}

#[test]
fn both_parties_of_a_dial_are_moved_into_a_conference() {
    const ROOM: &str = "<Dial><Conference>room</Conference></Dial>";
    let mut dial = Dial::with("<Dial action='/after'>+14155550111</Dial>");
    dial.give(ROOM).unwrap();
    dial.menu.bench.change_call(&dial.sids[0], CallAction::Redirect(made(ROOM))).unwrap();
    dial.menu.bench.drain();
    dial.menu.bench.questions.clear();
    let in_room = |sid: &str| dial.call(sid).conference.map(|conference| conference.name);
    assert_eq!(dial.sids.each_ref().map(|sid| in_room(sid)), [Some("room".to_owned()), Some("room".to_owned())]);
    dial.party_hangs_up();
    hang_up(&mut dial.menu.bench, &mut dial.menu.caller);
    dial.menu.ends("caller_hung_up");
}

#[test]
fn the_end_of_its_own_call_is_reported_to_the_receiver_of_its_number() {
    let document = format!("<Dial action='/after'><Number {ALL_EVENTS}>+14155550111</Number></Dial>");
    let mut dial = Dial::with(&document);
    let statuses = |dial: &mut Dial| {
        let reports = dial.menu.reports();
        let value = |report: &DocumentRequest, name| parameter(report, name).unwrap_or_default().to_owned();
        let of = |report| ["CallStatus", "SequenceNumber", "ParentCallSid", "CallSid"].map(|name| value(report, name));
        reports.iter().filter(|report| report.purpose == "status").map(of).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&mut dial).len(), 2, "initiated, answered");
    dial.give("<Pause length='60'/>").unwrap();
    assert!(statuses(&mut dial).is_empty());
    dial.menu.bench.pass(Duration::from_secs(7));
    dial.party_hangs_up();
    let [caller, party] = dial.sids.clone();
    assert_eq!(statuses(&mut dial), [["completed".to_owned(), "2".to_owned(), caller, party]]);
    dial.menu.bench.questions.clear();
    hang_up(&mut dial.menu.bench, &mut dial.menu.caller);
    dial.menu.ends("caller_hung_up");
}

#[test]
fn another_receiver_hears_of_its_end_also_where_its_document_hangs_up() {
    let mut dial = Dial::with("<Dial action='/after'>+14155550111</Dial>");
    let url = "https://app.example.com/own".to_owned();
    let method = WebhookMethod::Post;
    let events = StatusCallback { url, method, initiated: false, ringing: false, answered: false, completed: true };
    let receiver = Some(Arc::new(App { status_callback: Some(events), ..App::clone(&made("")) }));
    let [caller, party] = dial.sids.clone();
    let limit = Some(Duration::from_secs(60));
    let request = DetachRequest { receiver, limit, ..made("<Hangup/>").into() };
    let detach = CallAction::RedirectParty { party: party.clone(), request };
    dial.menu.bench.change_call(&caller, detach).unwrap();
    dial.menu.bench.drain();
    let reports = dial.menu.reports();
    let of_party = reports.iter().filter(|report| parameter(report, "CallSid") == Some(party.as_str()));
    let statuses: Vec<_> = of_party.map(|report| parameter(report, "CallStatus").unwrap_or_default()).collect();
    assert_eq!(statuses, ["completed"]);
    let bye = dial.menu.bench.expect(PBX, "BYE");
    dial.menu.bench.receive(PBX, dial.party.respond(&bye, 200, ""));
    dial.menu.bench.questions.clear();
    hang_up(&mut dial.menu.bench, &mut dial.menu.caller);
    dial.menu.ends("caller_hung_up");
}

#[test]
fn a_conversion_is_shown_of_the_call_that_needed_it() {
    let mut menu = Menu::answered("<Dial action='/after'>+14155550111</Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(200, &sdp("10.0.0.20", 50_000, 1, "8 101", "sendrecv")));
    menu.bench.expect(PBX, "ACK");
    let call = menu.bench.gateway.calls(menu.bench.now)[0].clone();
    let sids = [call.sid, call.legs.last().unwrap().sid.clone()];
    let mut dial = Dial { menu, party, sids };
    dial.give("<Pause length='60'/>").unwrap();
    let of_party = |sid: &String| dial.call(sid).legs.last().unwrap().converted_to;
    assert_eq!(dial.sids.each_ref().map(of_party), [Some("PCMU"), None]);
    dial.party_hangs_up();
    dial.menu.bench.questions.clear();
    hang_up(&mut dial.menu.bench, &mut dial.menu.caller);
    dial.menu.ends("caller_hung_up");
}

#[test]
fn its_own_call_goes_on_after_a_restart() {
    let mut dial = Dial::with("<Dial action='/after'>+14155550111</Dial>");
    dial.give("<Redirect>https://app.example.com/own</Redirect>").unwrap();
    let [caller, party] = dial.sids.clone();
    dial.menu.bench.questions.clear();
    dial.menu.bench.restart(table(vec![TargetSpec::App("ivr".into())]));
    assert_eq!(dial.call(&party).parent, Some(caller));
    assert_eq!(dial.menu.bench.questions.len(), 2, "both documents are asked for again");
    dial.party_hangs_up();
    hang_up(&mut dial.menu.bench, &mut dial.menu.caller);
    dial.menu.bench.questions.clear();
    dial.menu.bench.finish();
}

#[test]
fn a_party_that_is_not_connected_or_that_no_application_has_dialled_stays() {
    let mut menu = Menu::answered("<Dial action='/after'>+14155550111</Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    let call = menu.bench.gateway.calls(menu.bench.now)[0].clone();
    let sids = [call.sid, call.legs.last().unwrap().sid.clone()];
    let mut dial = Dial { menu, party, sids };
    assert_eq!(dial.give("<Hangup/>"), Err(RequestRefusal::NotAnswered));
    dial.menu.bench.receive(PBX, dial.party.answer(200, &answer()));
    dial.menu.bench.expect(PBX, "ACK");
    dial.sids[1] = "CA00000000000000000000000000000000".to_owned();
    assert_eq!(dial.give("<Hangup/>"), Err(RequestRefusal::NotAnswered));
    dial.menu.bench.nothing();
    hang_up(&mut dial.menu.bench, &mut dial.menu.caller);
    let bye = dial.menu.bench.expect(PBX, "BYE");
    dial.menu.bench.receive(PBX, dial.party.respond(&bye, 200, ""));
    assert_eq!(dial.give("<Hangup/>"), Err(RequestRefusal::CallEnded));
    dial.menu.ends("caller_hung_up");

    let mut bench = Bench::new();
    let (mut caller, party) = bench.answered();
    let call = bench.gateway.calls(bench.now)[0].clone();
    let leg = call.legs.last().unwrap().sid.clone();
    let detach = CallAction::RedirectParty { party: leg, request: made("").into() };
    assert_eq!(bench.change_call(&call.sid, detach), Err(RequestRefusal::NotDialled));
    bench.bye(&mut caller, &party);
    bench.finish();
}

#[test]
fn its_own_call_has_its_place_at_a_limit_for_some_calls() {
    const DIAL: &str = "<Dial action='/after'>+14155550111</Dial>";
    let to = vec![Pattern::parse("+14155550111").unwrap()];
    let limits = Quota { to, caller: vec![], max_calls: 1, calls_per_second: 0, calls_per_day: 0, zone: TimeZone::UTC };
    let quotas = vec![limits];
    let trunks = vec![trunk("carrier", &[CARRIER]), Trunk { quotas, pace: Duration::ZERO, ..trunk("pbx", &[PBX]) }];
    let routes = vec![route(vec![TargetSpec::App("ivr".into())])];
    let definition = TableDefinition { numbers: NumberingPlan::new("US").unwrap(), trunks, agents: vec![], routes };
    let mut menu = Menu::at(Arc::new(RoutingTable::new(definition).with_apps(vec![app()])));
    menu.document(DIAL);
    menu.is_answered();
    let mut dial = Dial::of(menu, PBX);
    dial.give("<Pause length='600'/>").unwrap();
    hang_up(&mut dial.menu.bench, &mut dial.menu.caller);
    dial.menu.bench.pass(Duration::from_secs(40));
    dial.menu.bench.questions.clear();
    // The party is still connected, and no second call to its number may begin.
    let party = dial.sids[1].clone();
    assert_eq!(dial.call(&party).state, "answered");
    dial.menu.caller = dial.menu.bench.invite(CARRIER, "+14155550100", &offer());
    dial.menu.bench.expect(CARRIER, "SIP/2.0 100");
    dial.menu.bench.expect(CARRIER, "SIP/2.0 180");
    dial.menu.document(DIAL);
    dial.menu.is_answered();
    let is_called = |dial: &Dial| dial.menu.bench.sent.iter().any(|sent| sent.text.starts_with("INVITE"));
    assert!(!is_called(&dial));
    assert_eq!(dial.asked(), ["dial \"failed\""]);
    // The end of its call frees the slot.
    dial.party_hangs_up();
    dial.menu.bench.pass(Duration::from_secs(40));
    dial.menu.document(DIAL);
    assert!(is_called(&dial));
}
