//! Another document that is requested from outside of the call.

use std::time::Duration;

use trunkgate_call::Refused;
use trunkgate_twiml::{Location, Method, Source};

use super::*;
use crate::bench::agents::{Told, hang_up};
use crate::bench::{Bench, CARRIER, PBX, answer};

const OTHER: &str = "https://other.example/b";

fn text(body: &str) -> Source {
    Source::Text(format!("<Response>{body}</Response>"))
}

impl Menu {
    fn redirect(&mut self, source: Source) -> Result<(), Refused> {
        let sid = self.bench.gateway.calls(self.bench.now)[0].sid.clone();
        let done = self.bench.gateway.redirect(self.bench.now, &sid, source);
        self.bench.drain();
        done
    }
}

#[test]
fn a_caller_who_hears_a_prompt_hears_the_other_document() {
    let mut menu = Menu::answered("<Say>old</Say>");
    menu.spoken(30);
    let location = Location::url(OTHER).unwrap();
    menu.redirect(Source::Fetch { location, method: Method::Get }).unwrap();
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
fn a_question_that_waits_is_forgotten() {
    let mut menu = Menu::with("<Redirect>/slow</Redirect>");
    menu.redirect(text("<Say>new</Say>")).unwrap();
    menu.is_answered();
    let slow = menu.bench.questions.pop_front().unwrap();
    assert_eq!(menu.spoken(3), "new");
    let late = AppAnswer::Failed { code: 11_200, text: "too late".to_owned() };
    menu.bench.input(Input::AppAnswered { query: slow.query.unwrap(), answer: Box::new(late) });
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
fn what_is_no_document_or_no_application_changes_nothing() {
    let mut menu = Menu::answered("<Say>old</Say>");
    menu.spoken(30);
    assert_eq!(menu.redirect(Source::Text("<Response><Say></Response>".to_owned())), Err(Refused::BadDocument));
    menu.bench.nothing();
    hang_up(&mut menu.bench, &mut menu.caller);
    assert_eq!(menu.redirect(text("<Hangup/>")), Err(Refused::CallEnded));
    menu.ends("caller_hung_up");
    let mut bench = Bench::new();
    bench.answered();
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let done = bench.gateway.redirect(bench.now, &sid, text("<Hangup/>"));
    assert_eq!(done, Err(Refused::NoApplication));
}
