//! Prompts, digits, streams and documents, and the failure of an application.

use std::sync::Arc;
use std::time::Duration;

use trunkgate_call::{AppAnswer, AppPlace, AppResource};
use trunkgate_media::{AgentEvent, AgentRequest, MediaCommand, MediaEvent, PlayerSound};
use trunkgate_route::{NumberingPlan, RoutingTable, TableDefinition, TargetSpec, WebhookMethod};

use super::*;
use crate::bench::agents::{Told, hang_up};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, PBX, answer, route, to_trunk, usual_trunks};

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
    let played =
        told.iter().any(|told| matches!(told, Told::Play(PLAYER, PlayerSound::Once(sound)) if sound.len() == 800));
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
    assert!(menu.bench.told().contains(&Told::Play(PLAYER, PlayerSound::Silence)), "with the first digit");
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
    menu.caller.cseq += 1;
    let info = menu.caller.request("INFO", "", "Content-Type: application/dtmf-relay\r\n");
    let info = info.replace("Content-Length: 0\r\n\r\n", "Content-Length: 11\r\n\r\nSignal=99\r\n");
    menu.bench.receive(CARRIER, info);
    menu.bench.expect(CARRIER, "SIP/2.0 400");
    menu.bench.pass(Duration::from_secs(4));
    assert_eq!(parameter(&menu.requested(), "Digits"), Some("7"));
    menu.document("<Gather timeout='4'/><Say>nothing</Say>");
    menu.bench.pass(Duration::from_secs(4));
    assert_eq!(menu.spoken(5), "nothing");
    hang_up(&mut menu.bench, &mut menu.caller);
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
    let sid = menu.bench.gateway.calls(menu.bench.now)[0].sid.clone();
    let verdict = menu.bench.gateway.trace(&sid).unwrap().verdict;
    assert!(verdict.contains("the application could not be run: error 11200: connection refused"), "{verdict}");
    assert!(verdict.contains("Try: `trunkgate help 11200` explains the error code"), "{verdict}");
    let log = menu.bench.logs.join("\n");
    assert!(log.contains("application ivr: Response: error 11200: connection refused"), "{log}");
    assert!(
        log.contains("failed with 503: the application could not be run: error 11200: connection refused"),
        "{log}"
    );
    menu.ends("app_failed");
}

#[test]
fn the_verdict_of_a_broken_document_has_the_place_of_its_error() {
    let mut menu = Menu::of(vec![TargetSpec::App("ivr".into())]);
    menu.document("<Dial>+14155550100");
    menu.bench.expect(CARRIER, "SIP/2.0 503");
    menu.bench.receive(CARRIER, menu.caller.request("ACK", "", ""));
    let call = menu.bench.gateway.calls(menu.bench.now).remove(0);
    assert_eq!((call.app.as_deref(), call.flags.as_slice()), (Some("ivr"), ["app_error"].as_slice()));
    let verdict = menu.bench.gateway.trace(&call.sid).unwrap().verdict;
    assert!(verdict.contains("the application could not be run: ") && verdict.contains("</Dial>"), "{verdict}");
    assert!(verdict.contains("error 12100") && verdict.contains("Try: `trunkgate help 12100`"), "{verdict}");
    let log = menu.bench.logs.join("\n");
    assert!(log.contains("error 12100") && !log.contains("Dial>"), "what the application wrote is in no log: {log}");
    menu.ends("app_failed");
}

#[test]
fn the_verdict_names_what_was_not_heard_while_the_call_lives_and_after_its_end() {
    let mut menu = Menu::answered(
        "<Play>none.wav</Play>\n<Say>wait</Say><Dial>\n<Number url='/whisper'>+14155550199</Number></Dial>",
    );
    let sid = menu.bench.gateway.calls(menu.bench.now)[0].sid.clone();
    let verdict = |menu: &Menu| menu.bench.gateway.trace(&sid).unwrap().verdict;
    let text = "https://app.example.com/none.wav: the application answered 404\n404 after 3 ms\nits body".to_owned();
    menu.answer(AppAnswer::Failed { code: 11_200, text });
    let unheard = " The caller did not hear https://app.example.com/none.wav: the application answered 404 (Play in line 1, error 11200).";
    assert_eq!(verdict(&menu), format!("Answered by app:ivr.{unheard} Try: `trunkgate help 11200`."));
    menu.spoken(1);
    menu.played();
    let party = menu.joined();
    menu.document("<Play>gone.wav</Play><Say>call</Say>");
    menu.answer(AppAnswer::Failed { code: 13_420, text: "https://app.example.com/gone.wav: no audio".to_owned() });
    let called =
        " The called party did not hear https://app.example.com/gone.wav: no audio (Play in line 1, error 13420).";
    assert!(verdict(&menu).contains(&format!("{unheard}{called}")), "{}", verdict(&menu));
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    assert!(verdict(&menu).contains(&format!("{unheard}{called}")), "{}", verdict(&menu));
    menu.ends("caller_hung_up");
}

#[test]
fn an_announcement_is_played_before_the_next_target() {
    let mut menu = Menu::of(vec![TargetSpec::Play("closed.wav".into()), to_trunk("backup")]);
    menu.is_answered();
    let AppResource::Sound(AppPlace::File(file)) = &menu.bench.questions[0].wanted else { panic!() };
    assert_eq!(file, "closed.wav");
    menu.answer(AppAnswer::Sound { sound: vec![0x80; 160].into(), told: String::new() });
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
    menu.answer(AppAnswer::Sound { sound: vec![0x80; 160].into(), told: String::new() });
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
        let digit = |command: MediaCommand| match command {
            MediaCommand::Press { digits, .. } => Some(digits),
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
    menu.bench.news(MediaEvent::Agent { end, event: AgentEvent::Ended });
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
    menu.bench.lose(end, trunkgate_media::agent::StreamLoss::Unreachable);
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
    // A request for a document.
    let mut menu = Menu::answered("<Say>one</Say><Redirect>/next</Redirect>");
    menu.spoken(3);
    menu.played();
    let before = menu.requested();
    menu.bench.questions.clear();
    menu.bench.restart(app());
    assert_eq!(menu.requested(), before);
    // A Gather: its prompt is lost, the digits pressed before are kept.
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
    menu.bench.news(MediaEvent::Played { end: player.unwrap() });
    // A party that has not answered yet, and one that has.
    let unanswered = menu.party();
    menu.bench.restart(app());
    let cancel = menu.bench.expect(PBX, "CANCEL");
    let party = menu.joined();
    menu.bench.receive(PBX, unanswered.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, unanswered.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
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
fn after_a_restart_the_program_knows_of_the_party_that_its_stream_gave_the_caller_to() {
    let mut menu = Menu::answered("<Connect><Stream url='wss://bot.example.com/media'/></Connect><Say>and now</Say>");
    let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
    menu.bench.open(end);
    menu.bench.wish(end, AgentRequest::Transfer("trunk:backup".into()));
    let party = Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE"));
    menu.bench.receive(BACKUP, party.answer(200, &answer()));
    menu.bench.expect(BACKUP, "ACK");
    menu.bench.restart(table(vec![TargetSpec::App("ivr".into())]));
    assert_eq!(menu.bench.state(), "answered");
    let bye = party.request("BYE", 1, "");
    menu.bench.receive(BACKUP, bye);
    menu.bench.expect(BACKUP, "SIP/2.0 200");
    assert_eq!(menu.spoken(3), "and now");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn an_application_that_a_restart_does_not_know_any_more_is_followed_by_the_next_target() {
    let mut menu = Menu::of(vec![TargetSpec::App("ivr".into()), to_trunk("backup")]);
    menu.document("<Say>welcome</Say>");
    menu.is_answered();
    let definition = TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks: usual_trunks(),
        agents: vec![],
        routes: vec![route(vec![to_trunk("backup")])],
    };
    menu.bench.restart(Arc::new(RoutingTable::new(definition)));
    let party = Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE"));
    menu.bench.receive(BACKUP, party.answer(200, &answer()));
    menu.bench.expect(BACKUP, "ACK");
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(BACKUP, "BYE");
    menu.bench.receive(BACKUP, party.respond(&bye, 200, ""));
    menu.ends("caller_hung_up");
}

#[test]
fn a_stream_that_keeps_failing_is_tried_all_the_same() {
    let mut menu = Menu::answered("<Connect action='/again'><Stream url='wss://bot.example.com/media'/></Connect>");
    for _ in 0..6 {
        let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
        menu.bench.media.clear();
        menu.bench.lose(end, trunkgate_media::agent::StreamLoss::Unreachable);
        assert_eq!(menu.requested().purpose, "connect");
        menu.bench.pass(Duration::from_secs(1));
        menu.document("<Connect action='/again'><Stream url='wss://bot.example.com/media'/></Connect>");
    }
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn who_forwards_the_call_and_what_its_network_found_is_told() {
    let with = |lines: &str| {
        let mut bench = Bench::with(table(vec![TargetSpec::App("ivr".into())]));
        let caller = Dialing { call: 1, ..bench.invite(CARRIER, "+14155550100", &offer()) };
        bench.questions.clear();
        bench.receive(CARRIER, Dialing { call: 77, ..caller }.request("INVITE", &offer(), lines));
        let AppResource::Document(request) = &bench.questions.pop_front().unwrap().wanted else { panic!() };
        request.clone()
    };
    let forwarded = |lines: &str| parameter(&with(lines), "ForwardedFrom").map(str::to_owned);
    assert_eq!(forwarded(""), None);
    let last =
        "Diversion: <sip:+14155550177@x.example>;reason=no-answer\r\nDiversion: <sip:+14155550178@x.example>\r\n";
    assert_eq!(forwarded(last).as_deref(), Some("+14155550177"));
    assert_eq!(forwarded("Diversion: <sip:+14155550100@twilio.com>\r\n"), None, "the called number");
    let history = "History-Info: <sip:+14155550177@x.example>;index=1, <sip:+14155550100@x.example>;index=1.1\r\n";
    assert_eq!(forwarded(history).as_deref(), Some("+14155550177"));
    let request = with(
        "P-Asserted-Identity: <sip:+14155551234;verstat=TN-Validation-Passed-A@x.example>\r\nX-Room: blue\r\nUser-to-User: 6a;encoding=hex\r\n",
    );
    for (name, value) in [
        ("StirVerstat", "TN-Validation-Passed-A"),
        ("FromCountry", "US"),
        ("CalledCountry", "US"),
        ("FromState", "CA"),
        ("CallerState", "CA"),
        ("ToState", "CA"),
        ("CalledState", "CA"),
        ("SipHeader_X-Room", "blue"),
        ("SipHeader_User-to-User", "6a;encoding=hex"),
    ] {
        assert_eq!(parameter(&request, name), Some(value), "{name}");
    }
    let verstat = |value: &str| {
        let request = with(&format!("X-Twilio-VerStat: {value}\r\n"));
        parameter(&request, "StirVerstat").map(str::to_owned)
    };
    assert_eq!(verstat("TN-Validation-Failed").as_deref(), Some("TN-Validation-Failed"));
    assert_eq!(verstat("<script>"), None);
    for (lines, expected) in [
        (
            "P-Asserted-Identity: <sip:+14155551234@x.example;verstat=TN-Validation-Passed;user=phone>\r\n",
            "TN-Validation-Passed",
        ),
        (
            "P-Asserted-Identity: <tel:+14155551234;verstat=TN-Validation-Passed>\r\nAttestation-Info: B\r\n",
            "TN-Validation-Passed-B",
        ),
        ("X-Twilio-VerStat: TN-Validation-Failed\r\nP-Attestation-Indicator: A\r\n", "TN-Validation-Failed-A"),
        ("X-Twilio-VerStat: TN-Validation-Passed-C\r\nP-Attestation-Indicator: A\r\n", "TN-Validation-Passed-C"),
        ("X-Twilio-VerStat: No-TN-Validation\r\nAttestation-Info: A\r\n", "No-TN-Validation"),
        ("X-Twilio-VerStat: TN-Validation-Passed\r\nAttestation-Info: Z\r\n", "TN-Validation-Passed"),
    ] {
        assert_eq!(parameter(&with(lines), "StirVerstat"), Some(expected), "{lines}");
    }
}

#[test]
fn a_stream_after_which_the_document_ends_is_reported_to_its_end() {
    let stream = "<Stream url='wss://bot.example.com/media' statusCallback='/stream'/>";
    let reported = |menu: &mut Menu| {
        let reports = menu.reports();
        reports.iter().map(|report| parameter(report, "StreamEvent").unwrap().to_owned()).collect::<Vec<_>>()
    };
    let connected = format!("<Connect>{stream}</Connect>");
    for (is_open, events) in [(true, &["stream-started", "stream-stopped"][..]), (false, &["stream-error"])] {
        let mut menu = Menu::answered(&connected);
        let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
        if is_open {
            menu.bench.open(end);
            menu.bench.news(MediaEvent::Agent { end, event: AgentEvent::Ended });
        } else {
            menu.bench.lose(end, trunkgate_media::agent::StreamLoss::Unreachable);
        }
        let bye = menu.bench.expect(CARRIER, "BYE");
        menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
        assert_eq!(reported(&mut menu), events);
        menu.ends("app_hung_up");
    }
    // A listening stream ends with the call too.
    let mut menu = Menu::answered(&format!("<Start>{stream}</Start><Say>Hello</Say>"));
    let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
    menu.bench.open(end);
    menu.spoken(3);
    let player = menu.bench.told().into_iter().find_map(|told| match told {
        Told::Play(end, _) => Some(end),
        _ => None,
    });
    menu.bench.news(MediaEvent::Played { end: player.unwrap() });
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    assert_eq!(reported(&mut menu), ["stream-started", "stream-stopped"]);
    menu.ends("app_hung_up");
}

/// End of a stream that outlives its application.
#[derive(Clone, Copy, PartialEq)]
enum StreamEnds {
    WithTheCall,
    ByItself,
    Lost,
}

#[test]
fn a_stream_that_outlives_its_application_is_reported_to_its_end() {
    let document =
        "<Start><Stream url='wss://bot.example.com/media' statusCallback='/stream'/></Start><Redirect>/next</Redirect>";
    let events = |menu: &mut Menu| {
        let reports = menu.reports();
        let event = |report: &DocumentRequest| parameter(report, "StreamEvent").unwrap().to_owned();
        reports.iter().map(event).collect::<Vec<_>>()
    };
    for ends in [StreamEnds::WithTheCall, StreamEnds::ByItself, StreamEnds::Lost] {
        let mut menu = Menu::of(vec![TargetSpec::App("ivr".into()), to_trunk("backup")]);
        menu.document(&format!("<Say>hello</Say>{document}"));
        menu.is_answered();
        menu.spoken(1);
        menu.played();
        let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
        menu.bench.open(end);
        assert_eq!(events(&mut menu), ["stream-started"]);
        menu.answer(AppAnswer::Failed { code: 11_200, text: "503".to_owned() });
        let party = Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE"));
        menu.bench.receive(BACKUP, party.answer(200, &answer()));
        menu.bench.expect(BACKUP, "ACK");
        assert!(events(&mut menu).is_empty(), "it goes on with the next target");
        match ends {
            StreamEnds::WithTheCall => {}
            StreamEnds::ByItself => menu.bench.news(MediaEvent::Agent { end, event: AgentEvent::Ended }),
            StreamEnds::Lost => menu.bench.lose(end, trunkgate_media::agent::StreamLoss::Reset),
        }
        let expected: &[&str] = match ends {
            StreamEnds::WithTheCall => &[],
            StreamEnds::ByItself => &["stream-stopped"],
            StreamEnds::Lost => &["stream-error"],
        };
        assert_eq!(events(&mut menu), expected);
        menu.bench.receive(BACKUP, party.request("BYE", 1, ""));
        menu.bench.expect(BACKUP, "SIP/2.0 200");
        let bye = menu.bench.expect(CARRIER, "BYE");
        menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
        let at_the_end: &[&str] = if ends == StreamEnds::WithTheCall { &["stream-stopped"] } else { &[] };
        assert_eq!(events(&mut menu), at_the_end);
        menu.ends("callee_hung_up");
    }
    // The call ends with the application.
    let mut menu = Menu::answered(&format!("<Say>hello</Say>{document}"));
    menu.spoken(1);
    menu.played();
    let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
    menu.bench.open(end);
    menu.answer(AppAnswer::Failed { code: 11_200, text: "503".to_owned() });
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    assert_eq!(events(&mut menu), ["stream-started", "stream-stopped"]);
    menu.ends("app_failed");
}

#[test]
fn streams_are_reported_from_beginning_to_end() {
    let events = |menu: &mut Menu| {
        let reports = menu.reports();
        let streams = reports.iter().filter(|report| report.purpose == "stream");
        streams.map(|report| parameter(report, "StreamEvent").unwrap().to_owned()).collect::<Vec<_>>()
    };
    let stream = "<Stream url='wss://bot.example.com/media' name='one' statusCallback='/stream'/>";
    let mut menu = Menu::answered(&format!("<Connect>{stream}</Connect><Say>and now</Say>"));
    let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
    assert!(events(&mut menu).is_empty());
    menu.bench.open(end);
    let reports = menu.reports();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(report.place, AppPlace::Url("https://app.example.com/stream".into()));
    assert_eq!(
        (parameter(report, "StreamEvent"), parameter(report, "StreamName")),
        (Some("stream-started"), Some("one"))
    );
    assert!(parameter(report, "StreamSid").unwrap().starts_with("MZ"));
    menu.bench.news(MediaEvent::Agent { end, event: AgentEvent::Ended });
    assert_eq!(events(&mut menu), ["stream-stopped"]);
    assert_eq!(menu.spoken(3), "and now");
    hang_up(&mut menu.bench, &mut menu.caller);
    assert!(events(&mut menu).is_empty());
    menu.ends("caller_hung_up");

    // A stream that cannot be opened, and one that listens until the caller leaves.
    let mut menu = Menu::answered(&format!("<Connect>{stream}</Connect><Start>{stream}</Start><Pause length='60'/>"));
    let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
    menu.bench.media.clear();
    menu.bench.lose(end, trunkgate_media::agent::StreamLoss::Unreachable);
    assert_eq!(events(&mut menu), ["stream-error"]);
    let (end, _) = menu.bench.asked().into_iter().next_back().unwrap();
    menu.bench.open(end);
    assert_eq!(events(&mut menu), ["stream-started"]);
    hang_up(&mut menu.bench, &mut menu.caller);
    assert_eq!(events(&mut menu), ["stream-stopped"]);
    menu.ends("caller_hung_up");
}

#[test]
fn a_wait_of_no_time_is_over_at_once() {
    for document in ["<Pause length='0'/>", "<Gather timeout='0'/>", "<Gather timeout='0'><Pause length='0'/></Gather>"]
    {
        let mut menu = Menu::with(&format!("{document}<Say>next</Say>"));
        menu.bench.pass(Duration::from_millis(2));
        menu.is_answered();
        assert_eq!(menu.spoken(3), "next", "{document}");
        menu.played();
        menu.bench.expect(CARRIER, "BYE");
        menu.ends("app_hung_up");
    }
}

#[test]
fn an_event_at_the_very_time_of_a_deadline_does_not_undo_it() {
    let mut menu = Menu::answered("<Say>first</Say><Pause length='1'/><Say>next</Say>");
    menu.spoken(3);
    menu.played();
    menu.bench.now += Duration::from_secs(1);
    menu.press("5");
    menu.bench.pass(Duration::from_millis(2));
    assert_eq!(menu.spoken(3), "next");
    menu.played();
    menu.bench.expect(CARRIER, "BYE");
    menu.ends("app_hung_up");
}

#[test]
fn what_a_call_has_asked_for_is_given_up_with_it() {
    // A document: the caller leaves before it is there.
    let mut menu = Menu::of(vec![TargetSpec::App("ivr".into())]);
    let asked = |menu: &Menu| menu.bench.questions.iter().find_map(|question| question.query).unwrap();
    let query = asked(&menu);
    menu.bench.receive(CARRIER, menu.caller.request("CANCEL", "", ""));
    assert_eq!(menu.bench.given_up, [query]);
    // A sound: the caller presses a digit before it is there, and later leaves while a document is requested.
    let mut menu = Menu::answered("<Gather numDigits='1' action='/next'><Play>/long.wav</Play></Gather>");
    let sound = asked(&menu);
    menu.press("1");
    assert_eq!(menu.bench.given_up, [sound]);
    menu.bench.questions.retain(|question| question.query != Some(sound));
    let document = asked(&menu);
    hang_up(&mut menu.bench, &mut menu.caller);
    assert_eq!(menu.bench.given_up, [sound, document]);
    // An answered request is not cancelled.
    let mut menu = Menu::answered("<Gather timeout='9'/>");
    hang_up(&mut menu.bench, &mut menu.caller);
    assert!(menu.bench.given_up.is_empty());
}

#[test]
fn an_error_that_is_repeated_is_logged_once_with_its_number() {
    let mut menu = Menu::answered(&"<Play>/a.wav</Play>".repeat(20));
    for _ in 0..20 {
        menu.answer(AppAnswer::Failed { code: 11_200, text: "a.wav: no such file".to_owned() });
    }
    let lines: Vec<_> = menu.bench.logs.iter().filter(|line| line.contains("error 11200")).collect();
    let [first, last] = &lines[..] else { panic!("{lines:#?}") };
    assert_eq!(*first, "application ivr: Play (line 1): error 11200: a.wav: no such file");
    assert_eq!(*last, "application ivr: error 11200: a.wav: no such file: repeated 19 times in this call");
}
