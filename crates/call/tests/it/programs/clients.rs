//! Voice SDK clients dialled by a document: SIP parties and voice agents configured for their identities.

use std::collections::BTreeMap;
use std::time::Duration;

use trunkgate_call::{CallAction, RequestRefusal};
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{AgentEvent, AgentRequest};
use trunkgate_route::{Agent, AnswerTime, QueueSettings};

use super::*;
use crate::bench::Sent;
use crate::bench::agents::{Told, hang_up, to_agent};

/// Returns a table with the clients `agent1` (an extension), `bot` (this agent) and `both` (the extension, then the
/// agent).
fn clients_with(desk: Agent) -> Arc<RoutingTable> {
    let definition = TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks: usual_trunks(),
        agents: vec![desk],
        routes: vec![route(vec![TargetSpec::App("ivr".into())])],
    };
    let extension = TargetSpec::Trunk { name: "pbx".to_owned(), number: Some("201".to_owned()), weight: None };
    let clients = BTreeMap::from([
        ("agent1".into(), vec![extension.clone()]),
        ("bot".into(), vec![to_agent("desk")]),
        ("both".into(), vec![extension, to_agent("desk")]),
    ]);
    Arc::new(RoutingTable::new(definition).with_apps(vec![app()]).with_clients(clients))
}

fn menu_with(desk: Agent, document: &str) -> Menu {
    on(Bench::with(clients_with(desk)), document)
}

fn menu(document: &str) -> Menu {
    menu_with(agent("desk"), document)
}

/// Returns the agent that was requested last.
fn asked(menu: &Menu) -> EndId {
    let (end, settings) = menu.bench.asked().pop().unwrap();
    assert!(settings.talks);
    end
}

/// Makes a call connected with the agent that its document has dialled.
fn connected(document: &str) -> (Menu, EndId) {
    let mut menu = menu(document);
    let desk = asked(&menu);
    menu.bench.open(desk);
    menu.bench.nothing();
    assert_eq!(menu.bench.state(), "answered");
    (menu, desk)
}

/// Returns the user in From of an INVITE.
fn caller_of(invite: &Sent) -> String {
    let from = invite.header("From");
    from.split_once("sip:").and_then(|(_, rest)| rest.split_once('@')).unwrap().0.to_owned()
}

/// Returns the user in the Request-URI of the only INVITE to the PBX.
fn called(menu: &mut Menu) -> String {
    let invite = menu.bench.expect(PBX, "INVITE");
    assert!(menu.bench.sent.is_empty(), "one party is called");
    let line = invite.text.lines().next().unwrap().to_owned();
    line.split_once("sip:").and_then(|(_, rest)| rest.split_once('@')).unwrap().0.to_owned()
}

#[test]
fn a_client_is_called_at_the_party_that_the_configuration_has_for_it() {
    for document in [
        "<Dial><Client>agent1</Client></Dial>",
        "<Dial><Client><Identity>agent1</Identity><Parameter name='a' value='b'/></Client></Dial>",
        // One client has no party: the other one is called.
        "<Dial><Client>unmapped</Client><Client>agent1</Client></Dial>",
    ] {
        let mut menu = menu(document);
        assert_eq!(called(&mut menu), "201", "{document}");
        assert_eq!(
            menu.bench.story().contains("the client unmapped is not in [client]"),
            document.contains("unmapped")
        );
    }
    let mut beside = menu("<Dial><Client>unmapped</Client><Number>+14155550111</Number></Dial>");
    assert_eq!(called(&mut beside), "+14155550111");
}

#[test]
fn a_client_without_a_party_is_a_dial_that_failed_and_the_document_goes_on() {
    let mut menu = menu("<Dial><Client>unmapped</Client></Dial><Say>next verb</Say>");
    assert_eq!(menu.spoken(2), "next verb");
    assert!(menu.bench.story().contains("the client unmapped is not in [client]"), "{}", menu.bench.story());
    hang_up(&mut menu.bench, &mut menu.caller);
}

#[test]
fn a_client_is_shown_as_the_caller_to_clients_and_sip_addresses() {
    let address = format!("<Sip>sip:201@{PBX}</Sip>");
    for party in [&format!("<Client {ALL_EVENTS}>agent1</Client>"), &address] {
        let mut menu = menu(&format!("<Dial callerId='client:alice'>{party}</Dial>"));
        let invite = menu.bench.expect(PBX, "INVITE");
        assert_eq!(caller_of(&invite), "alice", "{}", invite.text);
        assert!(!menu.bench.story().contains("13214"), "{}", menu.bench.story());
        for report in menu.reports() {
            assert_eq!(
                (parameter(&report, "From"), parameter(&report, "Caller")),
                (Some("client:alice"), Some("client:alice"))
            );
            assert_eq!(parameter(&report, "To"), Some("client:agent1"));
        }
    }
}

#[test]
fn an_identity_with_many_digits_is_a_name_if_it_has_letters() {
    for identity in ["alice1987", "agent_18002752273", "550e8400-e29b-41d4-a716-446655440000"] {
        let mut menu = menu(&format!("<Dial callerId='client:{identity}'><Client>agent1</Client></Dial>"));
        assert_eq!(caller_of(&menu.bench.expect(PBX, "INVITE")), identity);
    }
}

#[test]
fn a_client_as_the_caller_is_no_number_that_a_carrier_sees() {
    let number = "<Number>+14155550111</Number>";
    for (caller_id, party) in [
        ("client:alice", number),
        ("client:+18002752273", "<Client>agent1</Client>"),
        ("client:+18002752273x", "<Client>agent1</Client>"),
        ("client:tel18002752273", "<Client>agent1</Client>"),
        ("client:911", "<Client>agent1</Client>"),
        ("client:al ice", "<Client>agent1</Client>"),
        ("client:", "<Client>agent1</Client>"),
    ] {
        let mut menu = menu(&format!("<Dial callerId='{caller_id}'>{party}</Dial><Say>next verb</Say>"));
        assert_eq!(menu.spoken(2), "next verb", "{caller_id} to {party}");
        assert!(menu.bench.story().contains("error 13214: callerId "), "{}", menu.bench.story());
        hang_up(&mut menu.bench, &mut menu.caller);
    }
    // Of several parties, telephone numbers are left out; an emergency call has the number of its caller.
    let mut both = menu(&format!("<Dial callerId='client:alice'>{number}<Client>agent1</Client></Dial>"));
    assert_eq!(called(&mut both), "201");
    assert!(both.bench.story().contains("error 13214: callerId "), "{}", both.bench.story());
    let mut emergency = menu("<Dial callerId='client:alice'>911</Dial>");
    assert_eq!(caller_of(&emergency.bench.expect(PBX, "INVITE")), "+14155551234");
}

#[test]
fn a_client_that_is_an_agent_is_connected_and_gives_the_caller_back() {
    let dial =
        format!("<Dial timeLimit='600' action='/after'><Client {ALL_EVENTS}>bot</Client></Dial><Say>never</Say>");
    let (mut menu, desk) = connected(&dial);
    let told = menu.bench.told();
    assert!(told.iter().any(|told| matches!(told, Told::Wire(CALLER, to, _) if *to == desk)), "{told:?}");
    let view = menu.bench.gateway.calls(menu.bench.now)[0].clone();
    let party = view.legs.last().unwrap();
    assert!(party.is_call_of_party(), "{party:?}");
    assert_eq!((party.agent.as_str(), party.dialled.to.as_deref()), ("desk", Some("client:bot")));
    let reports = menu.reports();
    let shown: Vec<_> =
        reports.iter().map(|report| (parameter(report, "CallStatus"), parameter(report, "To"))).collect();
    assert_eq!(shown, [(Some("initiated"), Some("client:bot")), (Some("in-progress"), Some("client:bot"))]);
    menu.bench.pass(Duration::from_secs(30));
    menu.bench.news(MediaEvent::Agent { end: desk, event: AgentEvent::Ended });
    menu.bench.nothing();
    menu.is_told(&[("completed", "2")]);
    let request = menu.requested();
    for (name, value) in [("DialCallStatus", "completed"), ("DialCallDuration", "30"), ("DialBridged", "true")] {
        assert_eq!(parameter(&request, name), Some(value), "{name}");
    }
    assert_eq!(parameter(&request, "DialCallSid"), Some(party.sid.as_str()));
    menu.document("<Say>goodbye</Say>");
    assert_eq!(menu.spoken(2), "goodbye");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn an_agent_that_is_lost_has_had_its_dial_and_one_that_cannot_be_had_has_failed() {
    let dial = "<Dial action='/after'><Client>bot</Client></Dial>";
    let (mut menu, desk) = connected(dial);
    menu.bench.lose(desk, StreamLoss::Reset);
    menu.bench.nothing();
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("completed"));
    menu.document(dial);
    let desk = asked(&menu);
    menu.bench.lose(desk, StreamLoss::Unreachable);
    let request = menu.requested();
    assert_eq!(
        (parameter(&request, "DialCallStatus"), parameter(&request, "DialBridged")),
        (Some("failed"), Some("false"))
    );
    menu.document("<Say>sorry</Say>");
    assert_eq!(menu.spoken(2), "sorry");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn an_agent_is_called_by_itself_after_the_parties_that_ring() {
    let mut beside = menu("<Dial><Client>bot</Client><Client>agent1</Client></Dial>");
    assert!(beside.bench.asked().is_empty());
    let party = beside.party();
    beside.bench.receive(PBX, party.answer(486, ""));
    beside.bench.expect(PBX, "ACK");
    let desk = asked(&beside);
    beside.bench.open(desk);
    assert_eq!(beside.bench.state(), "answered");
    assert!(
        beside.bench.story().contains("Dial: agents are called if no other party answers"),
        "{}",
        beside.bench.story()
    );
    // In turn, the agent keeps its place.
    let in_turn = menu("<Dial sequential='true'><Client>bot</Client><Client>agent1</Client></Dial>");
    asked(&in_turn);
    assert!(in_turn.bench.sent.is_empty(), "the phone is called if the agent cannot be had");
    // A client that is dialled alone has all its targets.
    let mut both = menu("<Dial><Client>both</Client></Dial>");
    let party = both.party();
    both.bench.receive(PBX, party.answer(503, ""));
    both.bench.expect(PBX, "ACK");
    let desk = asked(&both);
    both.bench.open(desk);
    assert_eq!(both.bench.state(), "answered");
}

#[test]
fn a_star_ends_the_dial_of_an_agent() {
    let (mut menu, desk) = connected("<Dial hangupOnStar='true' action='/after'><Client>bot</Client></Dial>");
    menu.bench.told();
    menu.press("1*");
    assert!(menu.bench.told().contains(&Told::Remove(desk)));
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("completed"));
}

#[test]
fn an_agent_leaves_a_dial_after_its_longest_time_and_the_next_dial_has_all_of_it() {
    let dial = "<Dial action='/after'><Client>bot</Client></Dial>";
    let mut menu = menu_with(Agent { max_call: Duration::from_secs(60), ..agent("desk") }, dial);
    for _ in 0..2 {
        let desk = asked(&menu);
        menu.bench.open(desk);
        menu.bench.told();
        menu.bench.pass(Duration::from_secs(59));
        assert!(menu.bench.questions.is_empty());
        menu.bench.pass(Duration::from_secs(1));
        let request = menu.requested();
        assert_eq!(parameter(&request, "DialCallDuration"), Some("60"));
        menu.document(dial);
    }
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn an_agent_that_would_answer_at_once_leaves_that_to_the_document() {
    for answer in [AnswerTime::OnConnect, AnswerTime::Early, AnswerTime::AtOnce] {
        let mut bench = Bench::with(clients_with(Agent { answer, ..agent("desk") }));
        let caller = bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(CARRIER, "SIP/2.0 180");
        let mut menu = Menu { bench, caller };
        menu.document("<Dial answerOnBridge='true'><Client>bot</Client></Dial>");
        menu.bench.nothing();
        let desk = asked(&menu);
        menu.bench.open(desk);
        menu.is_answered();
        hang_up(&mut menu.bench, &mut menu.caller);
        menu.ends("caller_hung_up");
    }
}

#[test]
fn an_agent_of_a_dial_sends_its_caller_on_and_the_document_goes_on_after_that() {
    let sdp = answer();
    for code in [200, 486] {
        let (mut menu, desk) = connected("<Dial action='/after'><Client>bot</Client></Dial>");
        menu.bench.wish(desk, AgentRequest::Transfer("trunk:pbx/+14155550133".into()));
        let party = menu.party();
        assert!(menu.bench.told().contains(&Told::Remove(desk)));
        menu.bench.receive(PBX, party.answer(code, if code == 200 { sdp.as_str() } else { "" }));
        menu.bench.expect(PBX, "ACK");
        if code == 200 {
            menu.bench.pass(Duration::from_secs(5));
            menu.bench.receive(PBX, party.request("BYE", 1, ""));
            menu.bench.expect(PBX, "SIP/2.0 200");
        }
        assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("completed"), "{code}");
        menu.document("<Say>next verb</Say>");
        assert_eq!(menu.spoken(2), "next verb", "{code}");
        hang_up(&mut menu.bench, &mut menu.caller);
        menu.ends("caller_hung_up");
    }
}

/// Returns the number of calls that wait for the agent.
fn waiting(menu: &Menu) -> u64 {
    menu.bench.gateway.status(menu.bench.now).agents.remove(0).waiting
}

#[test]
fn a_caller_waits_in_the_queue_of_an_agent_for_the_timeout_of_its_dial_at_most() {
    let queue = Some(QueueSettings { size: 3, wait: Duration::from_secs(120) });
    let dial = "<Dial timeout='10' action='/after'><Client>bot</Client></Dial>";
    let mut menu = menu_with(Agent { max_sessions: 1, queue, ..agent("desk") }, dial);
    let desk = asked(&menu);
    menu.bench.open(desk);
    menu.bench.told();
    // The first call keeps the agent.
    let mut first = std::mem::replace(&mut menu.caller, menu.bench.invite(CARRIER, "+14155550100", &offer()));
    menu.bench.expect(CARRIER, "SIP/2.0 100");
    menu.bench.expect(CARRIER, "SIP/2.0 180");
    menu.document(dial);
    menu.is_answered();
    assert_eq!(waiting(&menu), 1);
    menu.bench.pass(Duration::from_secs(9));
    assert!(menu.bench.questions.is_empty(), "{:?}", menu.bench.questions);
    menu.bench.pass(Duration::from_secs(1));
    let request = menu.requested();
    assert_eq!(parameter(&request, "DialCallStatus"), Some("no-answer"));
    assert_eq!(parameter(&request, "DialBridged"), Some("false"));
    assert_eq!(waiting(&menu), 0);
    // The next Dial waits again, until its caller leaves.
    menu.document(dial);
    assert_eq!(waiting(&menu), 1);
    hang_up(&mut menu.bench, &mut menu.caller);
    assert_eq!(waiting(&menu), 0);
    hang_up(&mut menu.bench, &mut first);
}

#[test]
fn the_goodbye_of_an_agent_is_not_heard_once_its_dial_is_over() {
    let left_by_agent = || {
        let goodbye = Some(vec![0x55; 8_000].into());
        let dial = "<Dial action='/after'><Client>bot</Client></Dial>";
        let mut menu = menu_with(Agent { goodbye, ..agent("desk") }, dial);
        let desk = asked(&menu);
        menu.bench.open(desk);
        menu.bench.news(MediaEvent::Agent { end: desk, event: AgentEvent::Ended });
        assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("completed"));
        menu
    };
    let mut menu = left_by_agent();
    menu.document("<Say>next verb</Say>");
    assert_eq!(menu.spoken(2), "next verb");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
    // The application fails without a remaining target; the caller has left the agent long before.
    let mut menu = left_by_agent();
    menu.answer(AppAnswer::Failed { code: 11_200, text: "503".to_owned() });
    assert!(!menu.bench.story().contains("the caller hears the goodbye"), "{}", menu.bench.story());
    menu.bench.expect(CARRIER, "BYE");
}

/// Returns the agent of the leg with this SID; empty for a phone.
fn agent_of(menu: &Menu, sid: &str) -> String {
    let legs = menu.bench.gateway.calls(menu.bench.now)[0].legs.clone();
    legs.into_iter().find(|leg| leg.sid == sid).unwrap().agent
}

#[test]
fn an_agent_of_a_dial_that_consults_keeps_its_call_until_the_target_answers() {
    let (mut menu, desk) = connected(&format!("<Dial action='/after'><Client {ALL_EVENTS}>bot</Client></Dial>"));
    let sid = menu.bench.gateway.calls(menu.bench.now)[0].legs.last().unwrap().sid.clone();
    menu.is_told(&[("initiated", "0"), ("in-progress", "1")]);
    for code in [486, 200] {
        menu.bench.wish(desk, AgentRequest::Consult("trunk:pbx/+14155550133".into()));
        let party = menu.party();
        assert_eq!(agent_of(&menu, &sid), "desk");
        let sdp = if code == 200 { answer() } else { String::new() };
        menu.bench.receive(PBX, party.answer(code, &sdp));
        menu.bench.expect(PBX, "ACK");
        assert_eq!(menu.bench.state(), "answered");
        menu.is_told(&[]);
        assert_eq!(agent_of(&menu, &sid), if code == 200 { "" } else { "desk" }, "{code}");
        if code == 200 {
            menu.bench.receive(PBX, party.request("BYE", 1, ""));
            menu.bench.expect(PBX, "SIP/2.0 200");
        }
    }
    menu.is_told(&[("completed", "2")]);
    let request = menu.requested();
    assert_eq!(parameter(&request, "DialCallStatus"), Some("completed"));
    assert_eq!(parameter(&request, "DialCallSid"), Some(sid.as_str()));
}

#[test]
fn an_agent_of_a_dial_can_be_hung_up_on_while_it_consults() {
    let (mut menu, desk) = connected("<Dial action='/after'><Client>bot</Client></Dial>");
    let call = menu.bench.gateway.calls(menu.bench.now)[0].clone();
    menu.bench.wish(desk, AgentRequest::Consult("trunk:pbx/+14155550133".into()));
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    let leg = call.legs.last().unwrap().sid.clone();
    menu.bench.change_call(&call.sid, CallAction::EndParty { party: leg }).unwrap();
    menu.bench.drain();
    let cancel = menu.bench.expect(PBX, "CANCEL");
    menu.bench.receive(PBX, party.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, party.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("completed"));
}

#[test]
fn after_a_restart_the_agent_is_dialled_again() {
    let (mut menu, _) = connected("<Dial action='/after'><Client>bot</Client></Dial>");
    menu.bench.restart(clients_with(agent("desk")));
    let desk = asked(&menu);
    menu.bench.open(desk);
    menu.bench.nothing();
    assert_eq!(menu.bench.state(), "answered");
    menu.bench.pass(Duration::from_secs(30));
    menu.bench.news(MediaEvent::Agent { end: desk, event: AgentEvent::Ended });
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("completed"));
}

#[test]
fn an_agent_gets_no_document_of_its_own_and_can_be_hung_up_on() {
    let (mut menu, _) = connected("<Dial action='/after'><Client>bot</Client></Dial>");
    let call = menu.bench.gateway.calls(menu.bench.now)[0].clone();
    let (sid, party) = (call.sid.clone(), call.legs.last().unwrap().sid.clone());
    let document = AppDocument::Text("<Response><Say>hello</Say></Response>".into());
    let request = Arc::new(App::new("api", document)).into();
    let redirected = menu.bench.change_call(&sid, CallAction::RedirectParty { party: party.clone(), request });
    assert_eq!(redirected, Err(RequestRefusal::HasAgent));
    menu.bench.change_call(&sid, CallAction::EndParty { party }).unwrap();
    menu.bench.drain();
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("completed"));
}
