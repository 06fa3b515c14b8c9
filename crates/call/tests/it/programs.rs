//! A caller who talks to an application: prompts, digits, parties that it dials, and what follows when it fails.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::sync::Arc;
use std::time::Duration;

use trunkgate_call::{AppAnswer, AppPlace, AppWanted, DocumentRequest, Input};
use trunkgate_media::{Command, EndId, Event, Sound};
use trunkgate_route::{App, AppDocument, Definition, Numbers, Table, TargetSpec, WebhookMethod};

use crate::bench::agents::{Told, agent, hang_up};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, Dialing, PBX, answer, offer, route, to_trunk, usual_trunks};

const URL: &str = "https://app.example.com/voice?x=1";
const CALLER: EndId = EndId(0);
const PLAYER: EndId = EndId(1);

fn table(connect: Vec<TargetSpec>) -> Arc<Table> {
    let document = AppDocument::Url { url: URL.to_owned(), method: WebhookMethod::Post };
    let mut app = App::new("ivr", document);
    app.connect = vec![to_trunk("pbx")];
    let definition = Definition {
        numbers: Numbers::new("US").unwrap(),
        trunks: usual_trunks(),
        agents: vec![agent("desk")],
        routes: vec![route(connect)],
    };
    Arc::new(Table::new(definition).with_apps(vec![app]))
}

/// A call to the application, with what it asks for first.
struct Menu {
    bench: Bench,
    caller: Dialing,
}

impl Menu {
    fn of(connect: Vec<TargetSpec>) -> Menu {
        let mut bench = Bench::with(table(connect));
        let caller = bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(CARRIER, "SIP/2.0 180");
        Menu { bench, caller }
    }
    /// The application alone, whose first document is this.
    fn with(document: &str) -> Menu {
        let mut menu = Menu::of(vec![TargetSpec::App("ivr".into())]);
        assert_eq!(menu.requested().purpose, "start");
        menu.document(document);
        menu
    }
    /// The same of a caller that has been answered.
    fn answered(document: &str) -> Menu {
        let mut menu = Menu::with(document);
        menu.is_answered();
        menu
    }
    fn is_answered(&mut self) {
        let ok = self.bench.expect(CARRIER, "SIP/2.0 200");
        self.caller.to_tag = ok.tag("To");
        self.bench.receive(CARRIER, self.caller.request("ACK", "", ""));
        assert_eq!(self.bench.state(), "answered");
    }
    /// What the application is asked for; nothing else waits.
    fn requested(&self) -> DocumentRequest {
        let all: Vec<_> = self.bench.questions.iter().collect();
        let [question] = &all[..] else { panic!("{all:?}") };
        let AppWanted::Document(request) = &question.wanted else { panic!("{question:?}") };
        request.clone()
    }
    fn answer(&mut self, answer: AppAnswer) {
        let question = self.bench.questions.pop_front().unwrap();
        self.bench.input(Input::AppAnswered { query: question.query.unwrap(), answer: Box::new(answer) });
    }
    fn document(&mut self, text: &str) {
        let body = format!("<Response>{text}</Response>").into_bytes();
        let content_type = Some("text/xml".to_owned());
        self.answer(AppAnswer::Document { url: None, content_type, body, told: "200".to_owned() });
    }
    /// The text that is to be spoken, which becomes so many packets.
    fn spoken(&mut self, packets: usize) -> String {
        let AppWanted::Speech { text, .. } = &self.bench.questions[0].wanted else { panic!() };
        let text = text.clone();
        self.answer(AppAnswer::Sound(vec![0x80; packets * 160].into()));
        text
    }
    fn played(&mut self) {
        self.bench.news(Event::Played { end: PLAYER });
    }
    fn press(&mut self, digits: &str) {
        for key in digits.chars() {
            self.bench.news(Event::Key { end: CALLER, key, ms: 0 });
        }
    }
    /// The party that was called at the PBX.
    fn party(&mut self) -> Dialed {
        Dialed::new(PBX, self.bench.expect(PBX, "INVITE"))
    }
    fn joined(&mut self) -> Dialed {
        let party = self.party();
        self.bench.receive(PBX, party.answer(200, &answer()));
        self.bench.expect(PBX, "ACK");
        party
    }
    fn ends(mut self, reason: &str) {
        self.bench.finish();
        assert_eq!(self.bench.reports.last().unwrap().call.reason, Some(reason));
    }
}

fn parameter<'r>(request: &'r DocumentRequest, name: &str) -> Option<&'r str> {
    request.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_first_request_says_who_calls_and_the_caller_is_not_answered_before_a_verb_wants_it() {
    let mut menu = Menu::of(vec![TargetSpec::App("ivr".into())]);
    let request = menu.requested();
    assert_eq!((request.method, request.place.clone()), (WebhookMethod::Post, AppPlace::Url(URL.into())));
    let sid = menu.bench.gateway.calls(menu.bench.now)[0].sid.clone();
    for (name, value) in [
        ("CallSid", sid.as_str()),
        ("AccountSid", "AC00000000000000000000000000000000"),
        ("From", "+14155551234"),
        ("To", "+14155550100"),
        ("Caller", "+14155551234"),
        ("Called", "+14155550100"),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("ApiVersion", "2010-04-01"),
        ("CallerName", "Alice"),
    ] {
        assert_eq!(parameter(&request, name), Some(value), "{name}");
    }
    menu.document("<Pause length='3'/><Say>hello</Say>");
    menu.bench.pass(Duration::from_millis(2_900));
    menu.bench.nothing();
    assert!(menu.bench.questions.is_empty());
    menu.bench.pass(Duration::from_millis(100));
    menu.is_answered();
    assert_eq!(menu.spoken(5), "hello");
    let told = menu.bench.told();
    assert!(told.contains(&Told::Silence(PLAYER)), "{told:?}");
    let played = told.iter().any(|told| matches!(told, Told::Play(PLAYER, Sound::Once(sound)) if sound.len() == 800));
    assert!(played, "{told:?}");
    menu.played();
    let bye = menu.bench.expect(CARRIER, "BYE");
    assert!(bye.header("Reason").contains("cause=16"));
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    menu.ends("app_hung_up");
}

#[test]
fn reject_is_the_callers_answer() {
    for (document, code) in [("<Reject/>", 603), ("<Reject reason='busy'/>", 486)] {
        let mut menu = Menu::with(document);
        let refused = menu.bench.expect(CARRIER, &format!("SIP/2.0 {code}"));
        menu.bench.receive(CARRIER, menu.caller.request("ACK", "", ""));
        assert!(refused.header("To").contains(";tag="));
        menu.ends("app_rejected");
    }
}

#[test]
fn a_menu_takes_digits_during_the_prompt_and_cuts_it_off_at_once() {
    let mut menu = Menu::answered(
        "<Gather numDigits='2' action='/chosen'><Say loop='3'>press a key</Say></Gather><Say>nothing</Say>",
    );
    menu.spoken(50);
    menu.played();
    menu.bench.told();
    menu.press("4");
    assert!(menu.bench.told().contains(&Told::Play(PLAYER, Sound::Silence)), "with the first digit");
    menu.press("2");
    let request = menu.requested();
    assert_eq!(request.place, AppPlace::Url("https://app.example.com/chosen".into()));
    assert_eq!((parameter(&request, "Digits"), parameter(&request, "CallStatus")), (Some("42"), Some("in-progress")));
    assert!(!menu.bench.story().contains("42"), "{}", menu.bench.story());
    menu.document("<Hangup/>");
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    menu.ends("app_hung_up");
}

#[test]
fn digits_come_by_info_too_and_no_input_leads_on() {
    let mut menu = Menu::answered("<Gather timeout='4' action='/chosen'/><Say>nothing</Say>");
    menu.caller.cseq += 1;
    let info = menu.caller.request("INFO", "", "Content-Type: application/dtmf-relay\r\n");
    let info = info.replace("Content-Length: 0\r\n\r\n", "Content-Length: 10\r\n\r\nSignal=7\r\n");
    menu.bench.receive(CARRIER, info);
    menu.bench.expect(CARRIER, "SIP/2.0 200");
    menu.bench.pass(Duration::from_secs(4));
    assert_eq!(parameter(&menu.requested(), "Digits"), Some("7"));
    menu.document("<Gather timeout='4'/><Say>nothing</Say>");
    menu.bench.pass(Duration::from_secs(4));
    assert_eq!(menu.spoken(5), "nothing");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_party_that_hangs_up_gives_the_caller_back() {
    let mut menu = Menu::answered("<Dial timeLimit='600' action='/after'>+14155550111</Dial><Say>never</Say>");
    let told = menu.bench.told();
    assert!(told.contains(&Told::Play(PLAYER, Sound::Ringback)), "{told:?}");
    let party = menu.joined();
    assert!(party.invite.text.starts_with("INVITE sip:+14155550111@"), "{}", party.invite.text);
    menu.bench.nothing();
    assert_eq!(menu.bench.state(), "answered");
    menu.bench.pass(Duration::from_secs(30));
    menu.bench.told();
    menu.bench.receive(PBX, party.request("BYE", 1, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    menu.bench.nothing();
    let request = menu.requested();
    for (name, value) in [("DialCallStatus", "completed"), ("DialCallDuration", "30"), ("DialBridged", "true")] {
        assert_eq!(parameter(&request, name), Some(value), "{name}");
    }
    assert!(parameter(&request, "DialCallSid").unwrap().starts_with("CA"));
    let told = menu.bench.told();
    assert!(told.iter().any(|told| matches!(told, Told::Wire(_, CALLER, _))), "it hears the program again: {told:?}");
    let player = told.iter().find_map(|told| if let Told::Silence(end) = told { Some(*end) } else { None }).unwrap();
    menu.document("<Say>goodbye</Say><Gather action='/chosen'/>");
    assert_eq!(menu.spoken(3), "goodbye");
    menu.bench.news(Event::Played { end: player });
    menu.press("9#");
    assert_eq!(parameter(&menu.requested(), "Digits"), Some("9"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_party_that_is_not_reached_is_a_result_and_the_caller_stays() {
    for (code, status, further) in [(486, "busy", "486"), (480, "no-answer", "480"), (503, "failed", "500")] {
        let mut menu = Menu::answered("<Dial action='/after'><Number>+14155550111</Number></Dial>");
        let party = menu.party();
        menu.bench.receive(PBX, party.answer(code, ""));
        menu.bench.expect(PBX, "ACK");
        let request = menu.requested();
        assert_eq!(parameter(&request, "DialCallStatus"), Some(status));
        assert_eq!(parameter(&request, "DialSipResponseCode"), Some(further));
        menu.document("<Say>sorry</Say>");
        assert_eq!(menu.spoken(3), "sorry");
        hang_up(&mut menu.bench, &mut menu.caller);
        menu.ends("caller_hung_up");
    }
}

#[test]
fn ringing_and_talking_time_are_limited() {
    let mut menu = Menu::answered("<Dial timeout='20' action='/after'>+14155550111</Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    menu.bench.pass(Duration::from_secs(20));
    let cancel = menu.bench.expect(PBX, "CANCEL");
    menu.bench.receive(PBX, party.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, party.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("no-answer"));
    menu.document("<Dial timeLimit='60'>+14155550111</Dial><Say>time is up</Say>");
    let party = menu.joined();
    menu.bench.pass(Duration::from_secs(60));
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    assert_eq!(menu.spoken(3), "time is up");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn with_answer_on_bridge_the_caller_is_answered_by_the_party() {
    let mut menu = Menu::with("<Dial answerOnBridge='true' action='/after'>+14155550111</Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(200, &answer()));
    menu.bench.expect(PBX, "ACK");
    menu.is_answered();
    menu.bench.receive(PBX, party.request("BYE", 1, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("completed"));
    menu.document("<Say>bye</Say>");
    assert_eq!(menu.spoken(3), "bye");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_caller_that_hangs_up_in_a_dial_causes_the_action_all_the_same() {
    let mut menu = Menu::answered("<Dial action='/after'>+14155550111</Dial>");
    let party = menu.joined();
    menu.bench.pass(Duration::from_secs(7));
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    let last = menu.bench.questions.pop_front().unwrap();
    let AppWanted::Document(request) = &last.wanted else { panic!("{last:?}") };
    assert_eq!(last.query, None, "nothing runs its answer");
    assert_eq!(parameter(request, "DialCallDuration"), Some("7"));
    assert_eq!(parameter(request, "DialCallStatus"), Some("completed"));
    menu.ends("caller_hung_up");
}

#[test]
fn an_application_that_fails_leads_to_the_next_target_before_and_after_the_answer() {
    let connect = || vec![TargetSpec::App("ivr".into()), to_trunk("backup")];
    let failed = || AppAnswer::Failed { code: 11_200, text: "503".to_owned() };
    let mut menu = Menu::of(connect());
    menu.answer(failed());
    let party = Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE"));
    menu.bench.receive(BACKUP, party.answer(200, &answer()));
    menu.bench.expect(BACKUP, "ACK");
    menu.is_answered();
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(BACKUP, "BYE");
    menu.bench.receive(BACKUP, party.respond(&bye, 200, ""));
    menu.ends("caller_hung_up");

    let mut menu = Menu::of(connect());
    menu.document("<Say>welcome</Say><Redirect>/next</Redirect>");
    menu.is_answered();
    menu.spoken(3);
    menu.played();
    assert_eq!(menu.requested().purpose, "redirect");
    menu.bench.told();
    menu.answer(failed());
    let party = Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE"));
    assert!(menu.bench.told().iter().any(|told| matches!(told, Told::Ringback(_))), "it hears ringing");
    menu.bench.receive(BACKUP, party.answer(200, &answer()));
    menu.bench.expect(BACKUP, "ACK");
    assert_eq!(menu.bench.state(), "answered");
    menu.bench.receive(BACKUP, party.request("BYE", 1, ""));
    menu.bench.expect(BACKUP, "SIP/2.0 200");
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    menu.ends("callee_hung_up");
}

#[test]
fn an_application_that_fails_with_nothing_behind_it_is_503() {
    let mut menu = Menu::of(vec![TargetSpec::App("ivr".into())]);
    menu.answer(AppAnswer::Failed { code: 11_200, text: "connection refused".to_owned() });
    menu.bench.expect(CARRIER, "SIP/2.0 503");
    menu.bench.receive(CARRIER, menu.caller.request("ACK", "", ""));
    menu.ends("app_failed");
}

#[test]
fn an_announcement_is_played_before_the_next_target() {
    let mut menu = Menu::of(vec![TargetSpec::Play("closed.wav".into()), to_trunk("backup")]);
    menu.is_answered();
    let AppWanted::Sound(AppPlace::File(file)) = &menu.bench.questions[0].wanted else { panic!() };
    assert_eq!(file, "closed.wav");
    menu.answer(AppAnswer::Sound(vec![0x80; 160].into()));
    menu.bench.nothing();
    menu.played();
    let party = Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE"));
    menu.bench.receive(BACKUP, party.answer(486, ""));
    menu.bench.expect(BACKUP, "ACK");
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    menu.ends("target_busy");

    let mut menu = Menu::of(vec![TargetSpec::Play("closed.wav".into())]);
    menu.is_answered();
    menu.answer(AppAnswer::Sound(vec![0x80; 160].into()));
    menu.played();
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    menu.ends("announced");
}

#[test]
fn a_caller_that_leaves_before_the_document_comes_leaves_nothing_behind() {
    let mut menu = Menu::of(vec![TargetSpec::App("ivr".into())]);
    menu.bench.receive(CARRIER, menu.caller.request("CANCEL", "", ""));
    menu.bench.expect(CARRIER, "SIP/2.0 200");
    menu.bench.expect(CARRIER, "SIP/2.0 487");
    menu.bench.receive(CARRIER, menu.caller.request("ACK", "", ""));
    menu.document("<Say>too late</Say>");
    menu.bench.nothing();
    assert!(menu.bench.questions.is_empty());
    menu.ends("caller_canceled");
}

#[test]
fn digits_that_are_played_reach_the_caller_in_its_form() {
    let mut menu = Menu::answered("<Play digits='1w2'/><Hangup/>");
    let pressed = |bench: &mut Bench| {
        let all = bench.take_media();
        let digit = |command: Command| match command {
            Command::Press { digits, .. } => Some(digits),
            _ => None,
        };
        all.into_iter().filter_map(digit).collect::<String>()
    };
    assert_eq!(pressed(&mut menu.bench), "1");
    menu.bench.pass(Duration::from_millis(699));
    assert_eq!(pressed(&mut menu.bench), "");
    menu.bench.pass(Duration::from_millis(1));
    assert_eq!(pressed(&mut menu.bench), "2");
    menu.bench.nothing();
    menu.bench.pass(Duration::from_millis(200));
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    menu.ends("app_hung_up");
}

#[test]
fn a_stream_has_the_caller_until_it_ends_and_the_next_verb_follows() {
    let mut menu = Menu::answered(
        "<Connect><Stream url='wss://bot.example.com/media'><Parameter name='room' value='{7}'/></Stream></Connect><Say>and now</Say>",
    );
    let (end, settings) = menu.bench.asked().into_iter().next_back().unwrap();
    assert!(settings.talks);
    assert_eq!(settings.parameters, [("room".to_owned(), "{7}".to_owned())]);
    menu.bench.open(end);
    menu.bench.nothing();
    menu.bench.news(Event::AgentEnded { end });
    assert_eq!(menu.spoken(3), "and now");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_stream_that_cannot_be_opened_leads_on() {
    let mut menu = Menu::answered(
        "<Connect action='/after'><Stream url='wss://bot.example.com/media'/></Connect><Say>never</Say>",
    );
    let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
    menu.bench.lose(end, trunkgate_media::agent::Loss::Unreachable);
    assert_eq!(menu.requested().purpose, "connect");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_routes_own_name_and_targets_stand_in_the_record() {
    let mut menu = Menu::answered("<Dial>+14155550111</Dial>");
    let party = menu.joined();
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    let record = &menu.bench.reports.last().unwrap().call;
    assert_eq!((record.route.as_str(), record.legs.len()), ("main", 2));
    menu.ends("caller_hung_up");
}

#[test]
fn a_restart_begins_again_what_was_under_way() {
    let app = || table(vec![TargetSpec::App("ivr".into())]);
    // A document.
    let mut menu = Menu::answered("<Say>one</Say><Redirect>/next</Redirect>");
    menu.spoken(3);
    menu.played();
    let before = menu.requested();
    menu.bench.questions.clear();
    menu.bench.restart(app());
    assert_eq!(menu.requested(), before);
    // A prompt, and the digits that were pressed before.
    menu.document("<Gather numDigits='3' action='/chosen'><Say>two</Say></Gather>");
    menu.spoken(3);
    menu.press("12");
    menu.bench.restart(app());
    assert!(menu.bench.questions.is_empty(), "a prompt that was cut off is not heard again");
    menu.press("3");
    assert_eq!(parameter(&menu.requested(), "Digits"), Some("123"));
    menu.document("<Say>three</Say><Dial action='/after' timeLimit='90'>+14155550111</Dial>");
    menu.bench.questions.pop_front();
    menu.bench.restart(app());
    assert_eq!(menu.spoken(3), "three");
    let player =
        menu.bench.told().iter().find_map(|told| if let Told::Silence(end) = told { Some(*end) } else { None });
    menu.bench.news(Event::Played { end: player.unwrap() });
    // A party that had not answered, and one that had.
    let _ = menu.party();
    menu.bench.restart(app());
    let party = menu.joined();
    menu.bench.pass(Duration::from_secs(30));
    menu.bench.restart(app());
    assert_eq!(menu.bench.state(), "answered");
    menu.bench.pass(Duration::from_secs(60));
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    let request = menu.requested();
    assert_eq!(parameter(&request, "DialCallStatus"), Some("completed"));
    assert_eq!(parameter(&request, "DialCallDuration"), Some("90"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn an_application_that_a_restart_does_not_know_any_more_is_followed_by_the_next_target() {
    let mut menu = Menu::of(vec![TargetSpec::App("ivr".into()), to_trunk("backup")]);
    menu.document("<Say>welcome</Say>");
    menu.is_answered();
    let definition = Definition {
        numbers: Numbers::new("US").unwrap(),
        trunks: usual_trunks(),
        agents: vec![],
        routes: vec![route(vec![to_trunk("backup")])],
    };
    menu.bench.restart(Arc::new(Table::new(definition)));
    let party = Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE"));
    menu.bench.receive(BACKUP, party.answer(200, &answer()));
    menu.bench.expect(BACKUP, "ACK");
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(BACKUP, "BYE");
    menu.bench.receive(BACKUP, party.respond(&bye, 200, ""));
    menu.ends("caller_hung_up");
}

/// A party that hears its document: its end and its player.
const PARTY: EndId = EndId(2);
const WHISPER: EndId = EndId(3);

fn whispered() -> (Menu, Dialed) {
    let mut menu = Menu::answered("<Dial action='/after'><Number url='/screen'>+14155550111</Number></Dial>");
    let party = menu.joined();
    let request = menu.requested();
    assert_eq!(request.place, AppPlace::Url("https://app.example.com/screen".into()));
    assert_eq!(parameter(&request, "Direction"), Some("outbound-dial"));
    assert_eq!((parameter(&request, "From"), parameter(&request, "To")), (Some("+14155551234"), Some("+14155550111")));
    assert!(parameter(&request, "ParentCallSid").is_some_and(|sid| Some(sid) != parameter(&request, "CallSid")));
    menu.bench.told();
    menu.document("<Gather numDigits='1' timeout='3'><Say>press 1 to accept</Say></Gather><Hangup/>");
    assert_eq!(menu.spoken(3), "press 1 to accept");
    let told = menu.bench.told();
    assert!(told.iter().any(|told| matches!(told, Told::Play(end, Sound::Once(_)) if *end != PLAYER)), "{told:?}");
    (menu, party)
}

#[test]
fn a_called_party_hears_its_document_and_is_connected_after_it() {
    let (mut menu, party) = whispered();
    menu.bench.news(Event::Key { end: PARTY, key: '1', ms: 0 });
    assert_eq!(menu.requested().place, AppPlace::Url("https://app.example.com/screen".into()));
    menu.document("");
    let told = menu.bench.told();
    let wires =
        |from, to| told.iter().any(|told| matches!(told, Told::Wire(one, other, _) if (*one, *other) == (from, to)));
    assert!(wires(CALLER, PARTY) && wires(PARTY, CALLER), "{told:?}");
    menu.bench.nothing();
    menu.bench.receive(PBX, party.request("BYE", 1, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    let request = menu.requested();
    assert_eq!(parameter(&request, "DialCallStatus"), Some("completed"));
    assert_eq!(parameter(&request, "DialBridged"), Some("true"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_called_party_that_declines_is_never_heard_by_the_caller() {
    let (mut menu, party) = whispered();
    menu.bench.news(Event::Played { end: WHISPER });
    menu.caller.cseq += 1;
    menu.bench.receive(CARRIER, menu.caller.request("INVITE", &offer(), ""));
    menu.bench.expect(CARRIER, "SIP/2.0 100");
    menu.bench.expect(CARRIER, "SIP/2.0 491");
    menu.bench.receive(CARRIER, menu.caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    menu.bench.pass(Duration::from_secs(3));
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    let request = menu.requested();
    assert_eq!(parameter(&request, "DialBridged"), Some("false"));
    let told = menu.bench.told();
    let is_wired = told.iter().any(|told| matches!(told, Told::Wire(PARTY, CALLER, _) | Told::Wire(CALLER, PARTY, _)));
    assert!(!is_wired, "{told:?}");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn parties_leave_in_the_middle_of_a_document() {
    let (mut menu, party) = whispered();
    menu.bench.receive(PBX, party.request("BYE", 1, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    assert_eq!(parameter(&menu.requested(), "DialBridged"), Some("false"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");

    let (mut menu, party) = whispered();
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    menu.ends("caller_hung_up");

    // After a restart they are connected.
    let (mut menu, party) = whispered();
    menu.bench.restart(table(vec![TargetSpec::App("ivr".into())]));
    let told = menu.bench.told();
    assert!(told.iter().any(|told| matches!(told, Told::Wire(PARTY, CALLER, _))), "{told:?}");
    menu.bench.receive(PBX, party.request("BYE", 1, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    assert_eq!(parameter(&menu.requested(), "DialBridged"), Some("true"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn star_ends_the_partys_call_where_the_dial_says_so() {
    for (on_star, ends) in [("hangupOnStar='true'", true), ("", false)] {
        let mut menu = Menu::answered(&format!("<Dial {on_star}>+14155550111</Dial><Say>back</Say>"));
        menu.bench.told();
        let party = menu.joined();
        let told = menu.bench.told();
        let passes = told.iter().any(|told| {
            matches!(told, Told::Wire(CALLER, _, wire) if wire.parted.as_ref().is_some_and(|parted| parted.passed == Some((101, 101))))
        });
        assert!(passes, "{told:?}");
        menu.press("1*");
        if ends {
            let bye = menu.bench.expect(PBX, "BYE");
            menu.bench.receive(PBX, party.respond(&bye, 200, ""));
            assert_eq!(menu.spoken(3), "back");
        }
        menu.bench.nothing();
        hang_up(&mut menu.bench, &mut menu.caller);
        if !ends {
            let bye = menu.bench.expect(PBX, "BYE");
            menu.bench.receive(PBX, party.respond(&bye, 200, ""));
        }
        menu.ends("caller_hung_up");
    }
}

#[test]
fn a_party_that_falls_silent_is_left_and_the_caller_goes_on() {
    let mut menu = Menu::answered("<Dial action='/after'>+14155550111</Dial>");
    let party = menu.joined();
    menu.bench.news(Event::Idle { end: PARTY });
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("completed"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn parties_of_a_program_cannot_be_transferred() {
    let mut menu = Menu::answered("<Dial>+14155550111</Dial>");
    let party = menu.joined();
    let refer = party
        .request("REFER", 1, "")
        .replace("Content-Length", "Refer-To: <sip:+14155550122@example.com>\r\nContent-Length");
    menu.bench.receive(PBX, refer);
    let refused = menu.bench.expect(PBX, "SIP/2.0 403");
    assert!(refused.header("Warning").contains("application"), "{}", refused.text);
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    menu.ends("caller_hung_up");
}

#[test]
fn a_stream_that_keeps_failing_is_tried_all_the_same() {
    let mut menu = Menu::answered("<Connect action='/again'><Stream url='wss://bot.example.com/media'/></Connect>");
    for _ in 0..6 {
        let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
        menu.bench.media.clear();
        menu.bench.lose(end, trunkgate_media::agent::Loss::Unreachable);
        assert_eq!(menu.requested().purpose, "connect");
        menu.bench.pass(Duration::from_secs(1));
        menu.document("<Connect action='/again'><Stream url='wss://bot.example.com/media'/></Connect>");
    }
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}
