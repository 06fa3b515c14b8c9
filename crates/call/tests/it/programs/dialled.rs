//! Parties that an application dials: their calls, the audio that they hear, and the reports about them.

use std::time::Duration;

use trunkgate_call::{AppAnswer, AppPlace, AppResource};
use trunkgate_media::{MediaCommand, MediaEvent, PlayerSound};
use trunkgate_route::{TargetSpec, WebhookMethod};

use super::*;
use crate::bench::agents::{Told, hang_up};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, LOCAL, PBX, answer, offer};

#[test]
fn a_party_that_hangs_up_gives_the_caller_back() {
    let mut menu = Menu::answered("<Dial timeLimit='600' action='/after'>+14155550111</Dial><Say>never</Say>");
    let told = menu.bench.told();
    assert!(told.contains(&Told::Play(PLAYER, PlayerSound::Ringback)), "{told:?}");
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
    menu.bench.news(MediaEvent::Played { end: player });
    menu.press("9#");
    assert_eq!(parameter(&menu.requested(), "Digits"), Some("9"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_party_that_is_not_reached_is_a_result_and_the_caller_stays() {
    for (code, status, further) in
        [(486, "busy", "486"), (603, "busy", "603"), (480, "no-answer", "480"), (503, "failed", "503")]
    {
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

/// The route of the number leads to an application, which cannot be a party of another one's Dial.
#[test]
fn a_party_that_forwards_to_an_application_is_not_reached() {
    let mut menu = Menu::answered("<Dial action='/after'>+14155550111</Dial>");
    let party = menu.party();
    let moved = party.answer(302, "");
    let moved = moved.replace(&format!("<sip:bob@{PBX}>"), &format!("<sip:+16505550111@{LOCAL}:5060>"));
    menu.bench.receive(PBX, moved);
    menu.bench.expect(PBX, "ACK");
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("failed"));
    menu.document("<Say>sorry</Say>");
    assert_eq!(menu.spoken(3), "sorry");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn the_action_is_told_of_the_sip_call_of_its_party() {
    let sip = |request: &DocumentRequest| {
        let own = request.parameters.iter().filter(|(name, _)| name.starts_with("DialSip"));
        own.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    let call_id = |party: &Dialed| format!("DialSipCallId={}", party.invite.header("Call-ID"));
    let of_dial = "<Dial action='/after'><Number>+14155550111</Number></Dial>";
    // Headers of the final response: `X-…` and User-to-User, but none of a provisional response.
    let mut menu = Menu::answered(of_dial);
    let party = menu.party();
    menu.bench.receive(PBX, party.answer_with(180, "X-Early: 1\r\n"));
    let extra = "X-Room:  blue \r\nSubject: secret\r\nUser-to-User: 6a\r\n";
    menu.bench.receive(PBX, party.answer_with(486, extra));
    menu.bench.expect(PBX, "ACK");
    let rejected = [
        call_id(&party),
        "DialSipResponseCode=486".to_owned(),
        "DialSipHeader_X-Room=blue".to_owned(),
        "DialSipHeader_User-to-User=6a".to_owned(),
    ];
    assert_eq!(sip(&menu.requested()), rejected);
    // A party that answers.
    menu.document(of_dial);
    let party = menu.party();
    menu.bench.receive(PBX, party.answer_as(200, &answer(), "X-Agent: 7\r\n"));
    menu.bench.expect(PBX, "ACK");
    menu.bench.receive(PBX, party.request("BYE", 1, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    let answered = [call_id(&party), "DialSipResponseCode=200".to_owned(), "DialSipHeader_X-Agent=7".to_owned()];
    assert_eq!(sip(&menu.requested()), answered);
    // The caller hangs up while the party rings: there is no final response.
    menu.document(of_dial);
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    hang_up(&mut menu.bench, &mut menu.caller);
    let cancel = menu.bench.expect(PBX, "CANCEL");
    menu.bench.receive(PBX, party.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, party.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
    let last = menu.reports().pop().unwrap();
    assert_eq!(parameter(&last, "DialCallStatus"), Some("canceled"));
    assert_eq!(parameter(&last, "CallStatus"), Some("completed"), "its own call is over");
    assert_eq!(sip(&last), [call_id(&party)]);
    menu.ends("caller_hung_up");
}

#[test]
fn of_two_ways_to_a_party_the_last_one_is_told() {
    let mut menu = with_backup("<Dial action='/after'>+14155550111</Dial>");
    let first = menu.party();
    menu.bench.receive(PBX, first.answer_with(503, "X-Way: 1\r\n"));
    menu.bench.expect(PBX, "ACK");
    let second = Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE"));
    menu.bench.receive(BACKUP, second.answer_with(486, "X-Way: 2\r\n"));
    menu.bench.expect(BACKUP, "ACK");
    let request = menu.requested();
    assert_eq!(parameter(&request, "DialSipCallId"), Some(second.invite.header("Call-ID")));
    assert_eq!(parameter(&request, "DialSipResponseCode"), Some("486"));
    assert_eq!(parameter(&request, "DialSipHeader_X-Way"), Some("2"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
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
    assert_eq!(parameter(&menu.requested(), "DialSipResponseCode"), Some("480"), "of the ring time-out");
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
    let AppResource::Document(request) = &last.wanted else { panic!("{last:?}") };
    assert_eq!(last.query, None, "nothing runs its answer");
    assert_eq!(parameter(request, "DialCallDuration"), Some("7"));
    assert_eq!(parameter(request, "DialCallStatus"), Some("completed"));
    menu.ends("caller_hung_up");
}

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
    assert!(
        told.iter().any(|told| matches!(told, Told::Play(end, PlayerSound::Once(_)) if *end != PLAYER)),
        "{told:?}"
    );
    (menu, party)
}

#[test]
fn a_called_party_hears_its_document_and_is_connected_after_it() {
    let (mut menu, party) = whispered();
    menu.bench.news(MediaEvent::Key { end: PARTY, key: '1', ms: 0 });
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
    menu.bench.news(MediaEvent::Played { end: WHISPER });
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
fn a_called_party_whose_document_fails_is_not_connected() {
    let failed = |code| AppAnswer::Failed { code, text: "500".to_owned() };
    let page = |content_type: &str, text: &str| AppAnswer::Document {
        url: None,
        content_type: Some(content_type.to_owned()),
        body: text.as_bytes().to_vec(),
        told: "200".to_owned(),
    };
    let answers = [
        failed(11_200),
        failed(11_205),
        page("text/xml", "<Response><Say>"),
        page("application/json", "{}"),
        page("text/xml", "<Response><Reject/></Response>"),
        page("text/xml", "<Response><Dial>+14155550199</Dial></Response>"),
    ];
    for answer in answers {
        let mut menu = Menu::answered("<Dial action='/after'><Number url='/screen'>+14155550111</Number></Dial>");
        let party = menu.joined();
        menu.bench.told();
        menu.answer(answer);
        let bye = menu.bench.expect(PBX, "BYE");
        menu.bench.receive(PBX, party.respond(&bye, 200, ""));
        let request = menu.requested();
        assert_eq!(parameter(&request, "DialCallStatus"), Some("completed"));
        assert_eq!(parameter(&request, "DialBridged"), Some("false"));
        let told = menu.bench.told();
        let is_wired =
            told.iter().any(|told| matches!(told, Told::Wire(PARTY, CALLER, _) | Told::Wire(CALLER, PARTY, _)));
        assert!(!is_wired, "{told:?}");
        hang_up(&mut menu.bench, &mut menu.caller);
        menu.ends("caller_hung_up");
    }
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
            matches!(told, Told::Wire(CALLER, _, wire) if wire.keys == Some(101) && wire.payloads.contains(&(101, 101)))
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
    menu.bench.news(MediaEvent::Idle { end: PARTY });
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
fn a_partys_progress_is_reported() {
    let dial =
        format!("<Dial action='/after'><Number {ALL_EVENTS} statusCallbackMethod='GET'>+14155550111</Number></Dial>");
    let mut menu = Menu::answered(&dial);
    let mut all = menu.reports();
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    menu.bench.receive(PBX, party.answer(180, ""));
    all.extend(menu.reports());
    menu.bench.pass(Duration::from_secs(3));
    menu.bench.receive(PBX, party.answer(200, &answer()));
    menu.bench.expect(PBX, "ACK");
    all.extend(menu.reports());
    menu.bench.pass(Duration::from_secs(12));
    menu.bench.receive(PBX, party.request("BYE", 1, ""));
    menu.bench.expect(PBX, "SIP/2.0 200");
    all.extend(menu.reports());
    let sid = menu.bench.gateway.calls(menu.bench.now)[0].sid.clone();
    let dialled = parameter(&menu.requested(), "DialCallSid").unwrap().to_owned();
    assert_eq!(all.len(), 4, "{all:?}");
    for (number, (report, status)) in all.iter().zip(["initiated", "ringing", "in-progress", "completed"]).enumerate() {
        assert_eq!(report.place, AppPlace::Url("https://app.example.com/progress?a=1".into()));
        assert_eq!((report.method, report.purpose), (WebhookMethod::Get, "status"));
        for (name, value) in [
            ("CallStatus", status),
            ("SequenceNumber", &*number.to_string()),
            ("CallSid", &dialled),
            ("ParentCallSid", &sid),
            ("CallbackSource", "call-progress-events"),
            ("Direction", "outbound-dial"),
            ("From", "+14155551234"),
            ("To", "+14155550111"),
            ("AccountSid", "AC00000000000000000000000000000000"),
        ] {
            assert_eq!(parameter(report, name), Some(value), "{name}");
        }
        let date = parameter(report, "Timestamp").unwrap();
        assert!(date.ends_with(" +0000") && date.split(' ').count() == 6, "{date}");
        assert_eq!(parameter(report, "CallDuration").is_some(), status == "completed");
    }
    assert_eq!(parameter(&all[3], "CallDuration"), Some("12"));
    assert_eq!(parameter(&all[3], "SipResponseCode"), Some("200"));
    hang_up(&mut menu.bench, &mut menu.caller);
    assert!(menu.reports().iter().all(|report| report.purpose != "status"), "each once");
    menu.ends("caller_hung_up");
}

#[test]
fn a_party_that_is_not_reached_is_reported_once_with_its_reason() {
    for (code, status) in [(486, "busy"), (603, "busy"), (480, "no-answer"), (404, "failed")] {
        let mut menu =
            Menu::answered("<Dial action='/after'><Number statusCallback='/progress'>+14155550111</Number></Dial>");
        let party = menu.party();
        menu.bench.receive(PBX, party.answer(180, ""));
        assert!(menu.reports().is_empty(), "only its end, where no events are named");
        menu.bench.receive(PBX, party.answer(code, ""));
        menu.bench.expect(PBX, "ACK");
        let reports = menu.reports();
        let [report] = &reports[..] else { panic!("{reports:?}") };
        assert_eq!(parameter(report, "CallStatus"), Some(status));
        assert_eq!(parameter(report, "SipResponseCode"), Some(&*code.to_string()));
        assert_eq!(parameter(report, "CallDuration"), Some("0"));
        assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some(status));
        hang_up(&mut menu.bench, &mut menu.caller);
        menu.ends("caller_hung_up");
    }
    // A ring time-out.
    let mut menu = Menu::answered(&format!("<Dial timeout='20'><Number {ALL_EVENTS}>+14155550111</Number></Dial>"));
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    menu.bench.pass(Duration::from_secs(20));
    let cancel = menu.bench.expect(PBX, "CANCEL");
    menu.bench.receive(PBX, party.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, party.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
    menu.is_told(&[("initiated", "0"), ("ringing", "1"), ("no-answer", "2")]);
    let bye = menu.bench.expect(CARRIER, "BYE");
    menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
    menu.ends("app_hung_up");
    // A caller that does not wait.
    let mut menu = Menu::answered(&format!("<Dial><Number {ALL_EVENTS}>+14155550111</Number></Dial>"));
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    hang_up(&mut menu.bench, &mut menu.caller);
    let cancel = menu.bench.expect(PBX, "CANCEL");
    menu.bench.receive(PBX, party.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, party.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
    menu.is_told(&[("initiated", "0"), ("ringing", "1"), ("canceled", "2")]);
    menu.ends("caller_hung_up");
}

#[test]
fn of_parties_that_ring_at_once_each_has_its_reports() {
    let mut menu = Menu::answered(&format!(
        "<Dial><Sip {ALL_EVENTS}>sip:a@10.0.0.20</Sip><Sip {ALL_EVENTS}>sip:b@10.0.0.30</Sip></Dial>"
    ));
    let (first, second) = (menu.party(), Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE")));
    menu.bench.receive(BACKUP, second.answer(180, ""));
    menu.bench.receive(PBX, first.answer(180, ""));
    menu.bench.receive(PBX, first.answer(200, &answer()));
    menu.bench.expect(PBX, "ACK");
    let cancel = menu.bench.expect(BACKUP, "CANCEL");
    menu.bench.receive(BACKUP, second.respond(&cancel, 200, ""));
    menu.bench.receive(BACKUP, second.answer(487, ""));
    menu.bench.expect(BACKUP, "ACK");
    let reports = menu.reports();
    let of = |to: &str| -> Vec<_> {
        let mine = reports.iter().filter(|report| parameter(report, "To") == Some(to));
        mine.map(|report| parameter(report, "CallStatus").unwrap()).collect()
    };
    assert_eq!(of("sip:a@10.0.0.20"), ["initiated", "ringing", "in-progress"]);
    assert_eq!(of("sip:b@10.0.0.30"), ["initiated", "ringing", "canceled"]);
    let sids: std::collections::BTreeSet<_> = reports.iter().map(|report| parameter(report, "CallSid")).collect();
    assert_eq!(sids.len(), 2);
    // The end of a connected party's call is reported after a restart too, with the next sequence number.
    menu.bench.pass(Duration::from_secs(5));
    menu.bench.restart(table(vec![TargetSpec::App("ivr".into())]));
    menu.bench.pass(Duration::from_secs(5));
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, first.respond(&bye, 200, ""));
    let reports = menu.reports();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((parameter(report, "CallStatus"), parameter(report, "CallDuration")), (Some("completed"), Some("10")));
    assert_eq!(parameter(report, "SequenceNumber"), Some("3"));
    assert!(sids.contains(&parameter(report, "CallSid")));
    menu.ends("caller_hung_up");
}

#[test]
fn reports_of_a_party_leave_out_the_numbers_that_a_crash_may_have_hidden() {
    let mut menu = Menu::answered(&format!("<Dial><Number {ALL_EVENTS}>+14155550111</Number></Dial>"));
    let party = menu.joined();
    menu.is_told(&[("initiated", "0"), ("in-progress", "1")]);
    menu.bench.crash(table(vec![TargetSpec::App("ivr".into())]), Duration::from_millis(250));
    hang_up(&mut menu.bench, &mut menu.caller);
    let bye = menu.bench.expect(PBX, "BYE");
    menu.bench.receive(PBX, party.respond(&bye, 200, ""));
    menu.is_told(&[("completed", "6")]);
    menu.ends("caller_hung_up");
}

#[test]
fn the_call_of_a_party_is_one_whichever_way_it_takes() {
    for parties in [1, 2] {
        let number = format!("<Number {ALL_EVENTS}>+14155550111</Number>");
        let mut menu = with_backup(&format!("<Dial action='/after'>{}</Dial>", number.repeat(parties)));
        let first: Vec<Dialed> = (0..parties).map(|_| menu.party()).collect();
        let mut second = Vec::new();
        for party in first {
            menu.bench.receive(PBX, party.answer(503, ""));
            menu.bench.expect(PBX, "ACK");
            second.push(Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE")));
        }
        let party = second.remove(0);
        assert!(party.invite.text.starts_with("INVITE sip:+14155550111@"), "{}", party.invite.text);
        for other in second {
            menu.bench.receive(BACKUP, other.answer(486, ""));
            menu.bench.expect(BACKUP, "ACK");
        }
        menu.bench.receive(BACKUP, party.answer(200, &answer()));
        menu.bench.expect(BACKUP, "ACK");
        menu.bench.receive(BACKUP, party.request("BYE", 1, ""));
        menu.bench.expect(BACKUP, "SIP/2.0 200");
        let reports = menu.reports();
        let dialled = parameter(&menu.requested(), "DialCallSid").unwrap().to_owned();
        let mine = reports.iter().filter(|report| parameter(report, "CallSid") == Some(&dialled));
        let told: Vec<_> = mine.map(|report| parameter(report, "CallStatus").unwrap()).collect();
        assert_eq!(told, ["initiated", "in-progress", "completed"]);
        assert_eq!(reports.len(), 3 + 2 * (parties - 1), "{reports:?}");
        hang_up(&mut menu.bench, &mut menu.caller);
        menu.ends("caller_hung_up");
    }
}

#[test]
fn a_dials_time_is_that_of_the_party_and_a_busy_party_is_not_called_by_another_way() {
    let mut menu = with_backup("<Dial timeout='20' action='/after'>+14155550111</Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(180, ""));
    menu.bench.pass(Duration::from_secs(20));
    let cancel = menu.bench.expect(PBX, "CANCEL");
    menu.bench.receive(PBX, party.respond(&cancel, 200, ""));
    menu.bench.receive(PBX, party.answer(487, ""));
    menu.bench.expect(PBX, "ACK");
    menu.bench.nothing();
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("no-answer"));
    menu.document("<Dial action='/after'>+14155550111</Dial>");
    let party = menu.party();
    menu.bench.receive(PBX, party.answer(486, ""));
    menu.bench.expect(PBX, "ACK");
    menu.bench.nothing();
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("busy"));
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn digits_are_sent_to_a_party_before_its_document_and_before_it_is_connected() {
    let pressed = |bench: &mut Bench| {
        let all = bench.take_media();
        let digit = |command: MediaCommand| match command {
            MediaCommand::Press { end, digits, .. } => Some((end, digits)),
            _ => None,
        };
        let digits: Vec<_> = all.iter().cloned().filter_map(digit).collect();
        let is_wired = all
            .iter()
            .any(|command| matches!(command, MediaCommand::Wire { from, to, .. } if (*from, *to) == (CALLER, PARTY)));
        (digits, is_wired)
    };
    for whisper in ["", "url='/screen'"] {
        let mut menu =
            Menu::answered(&format!("<Dial><Number sendDigits='1w2' {whisper}>+14155550111</Number></Dial>"));
        let party = menu.joined();
        assert_eq!(pressed(&mut menu.bench), (vec![(PARTY, "1".to_owned())], true));
        menu.bench.pass(Duration::from_millis(700));
        assert_eq!(pressed(&mut menu.bench), (vec![(PARTY, "2".to_owned())], false));
        assert!(menu.bench.questions.is_empty());
        menu.bench.pass(Duration::from_millis(200));
        if !whisper.is_empty() {
            assert_eq!(pressed(&mut menu.bench), (vec![], false));
            assert_eq!(menu.requested().place, AppPlace::Url("https://app.example.com/screen".into()));
            menu.document("<Play digits='3'/>");
            assert_eq!(pressed(&mut menu.bench), (vec![(PARTY, "3".to_owned())], false));
            menu.bench.pass(Duration::from_millis(200));
        }
        assert_eq!(pressed(&mut menu.bench), (vec![], true));
        menu.bench.receive(PBX, party.request("BYE", 1, ""));
        menu.bench.expect(PBX, "SIP/2.0 200");
        let bye = menu.bench.expect(CARRIER, "BYE");
        menu.bench.receive(CARRIER, menu.caller.respond(&bye, 200, ""));
        menu.ends("app_hung_up");
    }
}

#[test]
fn a_sip_party_gets_its_headers_and_its_addresses_are_tried_in_their_order() {
    let mut menu = Menu::answered(
        "<Dial action='/after'><Sip><Uri priority='2'>sip:late@10.0.0.30?X-Way=two</Uri>\
         <Uri priority='1'>sip:bob@10.0.0.20;transport=udp?X-Way=one&amp;User-to-User=6a&amp;Via=x</Uri>\
         <Headers><Header name='X-Room' value='blue &amp; quiet'/></Headers></Sip></Dial>",
    );
    let party = menu.party();
    assert!(party.invite.text.starts_with("INVITE sip:bob@10.0.0.20;transport=udp SIP/2.0"), "{}", party.invite.text);
    let headers = ["X-Way", "User-to-User", "X-Room"].map(|name| party.invite.header(name).to_owned());
    assert_eq!(headers, ["one", "6a", "blue & quiet"]);
    assert_eq!(party.invite.headers("Via").len(), 1);
    menu.bench.receive(PBX, party.answer(503, ""));
    menu.bench.expect(PBX, "ACK");
    let party = Dialed::new(BACKUP, menu.bench.expect(BACKUP, "INVITE"));
    assert_eq!(party.invite.header("X-Way"), "two");
    assert!(party.invite.headers("User-to-User").is_empty());
    menu.bench.receive(BACKUP, party.answer(486, ""));
    menu.bench.expect(BACKUP, "ACK");
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("busy"));
    // An address that is neither a trunk's nor in `sip_to`.
    menu.document("<Dial action='/after'><Sip statusCallback='/progress'>sip:bob@192.0.2.77</Sip></Dial>");
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("failed"));
    assert!(menu.bench.story().contains("`sip_to`"), "{}", menu.bench.story());
    menu.bench.nothing();
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn a_sip_party_is_called_with_its_password_and_shown_without() {
    let sip = format!("<Sip {ALL_EVENTS}>sip:bob:S3CRET@10.0.0.20;transport=udp</Sip>");
    let mut menu = Menu::answered(&format!("<Dial action='/after'>{sip}</Dial>"));
    let shown = "sip:bob@10.0.0.20;transport=udp";
    let party = menu.party();
    let line = party.invite.first_line();
    assert_eq!(line, "INVITE sip:bob:S3CRET@10.0.0.20;transport=udp SIP/2.0");
    menu.bench.receive(PBX, party.answer(486, ""));
    menu.bench.expect(PBX, "ACK");
    let reports = menu.reports();
    assert!(reports.iter().all(|report| parameter(report, "To") == Some(shown)), "{reports:?}");
    assert_eq!(parameter(&menu.requested(), "DialCallStatus"), Some("busy"));
    let view = menu.bench.gateway.calls(menu.bench.now).remove(0);
    assert_eq!(view.legs[1].dialled.to.as_deref(), Some(shown));
    let trace = menu.bench.gateway.trace(&view.sid).unwrap();
    assert!(trace.legs.iter().any(|leg| leg == shown), "{:?}", trace.legs);
    let story = menu.bench.story();
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.bench.finish();
    let record = menu.bench.reports.last().unwrap();
    let (logs, changes) = (&menu.bench.logs, &menu.bench.changes);
    let all = format!("{view:?} {} {story} {record:?} {logs:?} {changes:?}", trace.verdict);
    assert!(!all.contains("S3CRET"), "{all}");
}
