//! Another document, requested from outside of the call.

use std::time::Duration;

use trunkgate_call::{CallAction, RequestRefusal};
use trunkgate_media::{AgentEvent, AgentRequest, MediaEvent, RecorderEvent};
use trunkgate_route::Agent;

use super::recorded::recording;
use super::*;
use crate::bench::agents::{Told, agent_table, hang_up, to_agent};
use crate::bench::{Bench, CARRIER, PBX, answer};

const OTHER: &str = "https://other.example/b";

fn text(body: &str) -> AppDocument {
    AppDocument::Text(format!("<Response>{body}</Response>").into())
}

/// Creates an application for a request.
fn made(document: AppDocument) -> Arc<App> {
    Arc::new(App { connect: vec![to_trunk("pbx")], is_made: true, ..App::new("api", document) })
}

impl Menu {
    fn redirect(&mut self, document: AppDocument) -> Result<(), RequestRefusal> {
        let sid = self.bench.gateway.calls(self.bench.now)[0].sid.clone();
        let done = self.bench.change_call(&sid, CallAction::Redirect(made(document)));
        self.bench.drain();
        done
    }
}

#[test]
fn a_caller_who_hears_a_prompt_hears_the_other_document() {
    let mut menu = Menu::answered("<Say>old</Say>");
    menu.spoken(30);
    menu.redirect(AppDocument::Url { url: OTHER.to_owned(), method: WebhookMethod::Get }).unwrap();
    assert!(menu.bench.told().contains(&Told::Silence(PLAYER)), "the prompt is over");
    let request = menu.requested();
    assert_eq!((request.purpose, parameter(&request, "CallStatus")), ("redirect", Some("in-progress")));
    menu.document("<Say>new</Say>");
    assert_eq!(menu.spoken(3), "new");
    menu.played();
    menu.bench.expect(CARRIER, "BYE");
    menu.ends("app_hung_up");
}

#[test]
fn a_document_that_takes_the_place_of_a_record_is_asked_for_again_after_a_restart() {
    let (mut menu, end) = recording("<Record/>");
    menu.redirect(AppDocument::Url { url: OTHER.to_owned(), method: WebhookMethod::Get }).unwrap();
    menu.bench.news(MediaEvent::Recorder { end, event: RecorderEvent::Ended { frames: 250, sound: Some((0, 249)) } });
    let before = menu.requested();
    menu.bench.questions.clear();
    menu.bench.restart(table(vec![TargetSpec::App("ivr".into())]));
    assert_eq!(menu.requested(), before);
    hang_up(&mut menu.bench, &mut menu.caller);
}

#[test]
fn a_question_that_waits_is_forgotten() {
    let mut menu = Menu::with("<Redirect>/slow</Redirect>");
    menu.redirect(text("<Say>new</Say>")).unwrap();
    menu.is_answered();
    let slow = menu.bench.questions.pop_front().unwrap();
    assert_eq!(menu.spoken(3), "new");
    let late = AppAnswer::Failed { code: 11_200, text: "too late".to_owned() };
    menu.bench.input(GatewayInput::AppAnswered { query: slow.query.unwrap(), answer: Box::new(late) });
    menu.played();
    menu.bench.expect(CARRIER, "BYE");
    menu.ends("app_hung_up");
}

#[test]
fn a_party_that_is_connected_leaves_and_the_caller_stays() {
    let mut menu = Menu::answered("<Dial action='/after'>+14155550111</Dial>");
    let party = menu.joined();
    menu.bench.pass(Duration::from_secs(5));
    menu.redirect(text("<Say>new</Say>")).unwrap();
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    assert_eq!(menu.spoken(3), "new", "there is no action any more");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_party_that_rings_or_hears_its_document_is_withdrawn() {
    let mut menu = Menu::answered("<Dial action='/after'>+14155550111</Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    menu.redirect(text("<Say>new</Say>")).unwrap();
    let cancel = menu.bench.expect(PBX, "CANCEL");
    menu.bench.receive(PBX, party.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, party.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
    assert_eq!(menu.spoken(3), "new");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");

    let mut menu = Menu::answered("<Dial action='/after'><Number url='/whisper'>+14155550111</Number></Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(200, &answer()));
    menu.bench.expect(PBX, "ACK");
    menu.document("<Say>press 1</Say>");
    menu.spoken(30);
    menu.redirect(text("<Say>new</Say>")).unwrap();
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    assert_eq!(menu.spoken(3), "new");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_caller_who_is_not_answered_yet_can_be_redirected() {
    let mut menu = Menu::with("<Pause length='60'/><Say>old</Say>");
    menu.redirect(text("<Reject reason='busy'/>")).unwrap();
    let refused = menu.bench.expect(CARRIER, "SIP/2.0 486");
    menu.caller.to_tag = refused.tag("To");
    menu.bench.receive(CARRIER, menu.caller.request("ACK", "", ""));
    menu.ends("app_rejected");
}

#[test]
fn what_is_no_document_changes_nothing() {
    let mut menu = Menu::answered("<Say>old</Say>");
    menu.spoken(30);
    assert_eq!(menu.redirect(AppDocument::Text("<Response><Say></Response>".into())), Err(RequestRefusal::BadDocument));
    menu.bench.nothing();
    hang_up(&mut menu.bench, &mut menu.caller);
    assert_eq!(menu.redirect(text("<Hangup/>")), Err(RequestRefusal::CallEnded));
    menu.ends("caller_hung_up");
}

/// Makes a call to the PBX, with its caller as of a menu.
fn plain(bench: Bench, caller: Dialing) -> Menu {
    Menu { bench, caller }
}

#[test]
fn a_call_between_two_parties_is_given_to_an_application() {
    let mut bench = Bench::new();
    let (caller, party) = bench.answered();
    let mut menu = plain(bench, caller);
    let bad = menu.redirect(AppDocument::Text("<Response><Say></Response>".into()));
    assert_eq!(bad, Err(RequestRefusal::BadDocument));
    menu.bench.nothing();
    menu.redirect(text("<Say>new</Say>")).unwrap();
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    assert_eq!(menu.bench.state(), "answered");
    assert_eq!(menu.spoken(3), "new");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_call_that_rings_at_a_target_is_given_to_an_application() {
    let mut bench = Bench::new();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let mut menu = plain(bench, caller);
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    menu.bench.expect(CARRIER, "SIP/2.0 180");
    menu.redirect(text("<Say>new</Say>")).unwrap();
    let cancel = menu.bench.expect(PBX, "CANCEL");
    menu.bench.receive(PBX, party.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, party.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
    menu.is_answered();
    assert_eq!(menu.spoken(3), "new");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn the_caller_of_an_agent_is_given_to_an_application() {
    let desk = Agent { max_call: Duration::from_secs(60), ..agent("desk") };
    let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_agent("desk")])));
    let (caller, ..) = bench.talking();
    let mut menu = plain(bench, caller);
    menu.redirect(text("<Say>new</Say>")).unwrap();
    assert_eq!(menu.spoken(3), "new");
    // The agent's limit does not apply to the application.
    menu.bench.pass(Duration::from_secs(61));
    menu.bench.nothing();
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

/// Returns the SIDs of the call and of its last called party.
fn sid_of_party(menu: &Menu) -> (String, String) {
    let call = menu.bench.gateway.calls(menu.bench.now)[0].clone();
    (call.sid, call.legs.last().unwrap().sid.clone())
}

#[test]
fn the_call_of_a_connected_party_ends_by_itself() {
    let mut menu = Menu::answered("<Dial>+14155550111</Dial><Say>next</Say>");
    let party = menu.joined();
    let (sid, leg) = sid_of_party(&menu);
    menu.bench.change_call(&sid, CallAction::EndParty { party: leg.clone() }).unwrap();
    menu.bench.drain();
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    assert_eq!(menu.spoken(3), "next", "the caller goes on");
    let again = menu.bench.change_call(&sid, CallAction::EndParty { party: leg.clone() });
    assert_eq!(again, Err(RequestRefusal::CallEnded));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn the_call_of_a_party_that_rings_is_canceled_by_itself() {
    let mut menu = Menu::answered("<Dial action='/after'>+14155550111</Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    let (sid, leg) = sid_of_party(&menu);
    menu.bench.change_call(&sid, CallAction::EndParty { party: leg.clone() }).unwrap();
    menu.bench.drain();
    let cancel = menu.bench.expect(PBX, "CANCEL");
    menu.bench.receive(PBX, party.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, party.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("no-answer"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.bench.finish();
}

#[test]
fn a_party_of_a_plain_call_ends_the_call() {
    let mut bench = Bench::new();
    let (caller, party) = bench.answered();
    let mut menu = plain(bench, caller);
    let (sid, leg) = sid_of_party(&menu);
    menu.bench.change_call(&sid, CallAction::EndParty { party: leg.clone() }).unwrap();
    menu.bench.drain();
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    menu.ends("operator");
}

/// Makes a call with a stream that the application has connected; returns the stream's end.
fn connected() -> (Menu, EndId) {
    let mut menu = Menu::answered("<Connect><Stream url='wss://bot.example.com/media'/></Connect><Say>and now</Say>");
    let (agent, _) = menu.bench.asked().into_iter().next_back().unwrap();
    menu.bench.open(agent);
    menu.bench.told();
    (menu, agent)
}

const ONWARD: &str = "trunk:pbx/+14155550122";

fn is_canceled(menu: &mut Menu, party: &Dialed) {
    let cancel = menu.bench.expect(PBX, "CANCEL");
    menu.bench.receive(PBX, party.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, party.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
}

#[test]
fn a_target_that_an_agent_consults_with_is_withdrawn() {
    let (mut menu, agent) = connected();
    menu.bench.wish(agent, AgentRequest::Consult(ONWARD.into()));
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    menu.redirect(text("<Say>new</Say>")).unwrap();
    is_canceled(&mut menu, &party);
    assert!(menu.bench.told().contains(&Told::Remove(agent)));
    assert_eq!(menu.spoken(3), "new");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn an_agent_of_an_application_transfers_its_caller_and_the_application_goes_on_after_that() {
    // At once, or once the target has answered; and with an agent that leaves meanwhile.
    for (consults, leaves) in [(false, false), (true, false), (true, true)] {
        let (mut menu, agent) = connected();
        let wish = if consults { AgentRequest::Consult } else { AgentRequest::Transfer };
        menu.bench.wish(agent, wish(ONWARD.into()));
        let party = menu.party();
        if leaves {
            menu.bench.news(MediaEvent::Agent { end: agent, event: AgentEvent::Ended });
        }
        menu.bench.receive(PBX, party.answer(200, &answer()));
        menu.bench.expect(PBX, "ACK");
        assert!(menu.bench.told().contains(&Told::Remove(agent)), "{consults} {leaves}");
        assert_eq!(menu.bench.state(), "answered");
        menu.bench.pass(Duration::from_secs(5));
        menu.bench.receive(PBX, party.request("BYE", 1, ""));
        menu.bench.expect(PBX, "SIP/2.0 200");
        assert_eq!(menu.spoken(3), "and now", "{consults} {leaves}");
        hang_up(&mut menu.bench, &mut menu.caller);
        menu.ends("caller_hung_up");
    }
}

#[test]
fn a_transfer_that_fails_returns_the_caller_to_the_agent_or_the_application() {
    for consults in [false, true] {
        let (mut menu, agent) = connected();
        let wish = if consults { AgentRequest::Consult } else { AgentRequest::Transfer };
        menu.bench.wish(agent, wish(ONWARD.into()));
        let party = menu.party();
        menu.bench.receive(PBX, party.answer(486, ""));
        menu.bench.expect(PBX, "ACK");
        if consults {
            assert_eq!(menu.bench.state(), "answered", "it has the caller still");
            menu.bench.news(MediaEvent::Agent { end: agent, event: AgentEvent::Ended });
        }
        assert_eq!(menu.spoken(3), "and now");
        hang_up(&mut menu.bench, &mut menu.caller);
        menu.ends("caller_hung_up");
    }
}

#[test]
fn an_agent_that_is_lost_after_its_wish_does_not_take_the_target_with_it() {
    let (mut menu, agent) = connected();
    menu.bench.wish(agent, AgentRequest::Consult(ONWARD.into()));
    let party = menu.party();
    menu.bench.lose(agent, trunkgate_media::agent::StreamLoss::Unreachable);
    menu.bench.receive(PBX, party.answer(486, ""));
    menu.bench.expect(PBX, "ACK");
    assert_eq!(menu.spoken(3), "and now");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}
