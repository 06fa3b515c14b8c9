//! Calls that a request over HTTP starts, through the real binary: Twilio's `calls.create` and `POST /v1/calls`.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::accept;
use trunkgate_media::agent::sign_form;

use crate::apps::{Rig, TOKEN, application, form, parameter, path};
use crate::support::calls::{NUMBER, received};
use crate::support::endpoint::{Endpoint, Post};
use crate::support::sip::field;
use crate::support::{finish, http, until};
use crate::{twilio_api, twilio_messages};

/// Number that the requests call.
pub(crate) const TO: &str = "+442071838750";

pub(crate) fn rig(tables: &str) -> Rig {
    Rig::new(&format!("allow_private = true\n[[number]]\nnumber = \"{NUMBER}\"\n{tables}"), r#""trunk:pbx""#, &[])
}

/// Sends a request to the Twilio-compatible API; `path` is below the account.
pub(crate) fn ask(rig: &Rig, method: &str, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    twilio_api::ask(&rig.edge, method, path, &twilio_messages::form(parameters))
}

fn native(rig: &Rig, body: &Value) -> (u16, Value) {
    let headers = [("content-type", "application/json")];
    let (status, answer) = http("POST", &format!("{}/v1/calls", rig.edge.url()), &headers, &body.to_string());
    (status, serde_json::from_str(&answer).unwrap())
}

fn statuses(posts: &[Post]) -> Vec<(String, String)> {
    let told = posts.iter().filter(|post| path(post) == "/status?key=1");
    told.map(|post| (parameter(post, "CallStatus"), parameter(post, "SequenceNumber"))).collect()
}

/// Waits until the application has received these reports.
fn told(application: &Endpoint, expected: &[&str]) {
    let all =
        until("all is reported", || Some(statuses(&application.posts())).filter(|told| told.len() == expected.len()));
    let numbered = expected.iter().enumerate().map(|(n, status)| ((*status).to_owned(), n.to_string()));
    assert_eq!(all, numbered.collect::<Vec<_>>());
}

#[test]
fn a_call_is_created_answered_and_ended() {
    let application =
        application(&[("/voice?tenant=7", r#"<Play>/menu.wav</Play><Pause length="60"/>"#), ("/status?key=1", "")]);
    let rig = rig("");
    let url = format!("http://{}/voice?tenant=7", application.address);
    let status = format!("http://{}/status?key=1", application.address);
    // The value has spaces, as users of curl write it, and the number is in local notation.
    let (code, created) = ask(
        &rig,
        "POST",
        "Calls.json",
        &[
            ("To", "+44 (20) 7183-8750"),
            ("From", NUMBER),
            ("Url", &url),
            ("StatusCallback", &status),
            ("StatusCallbackEvent", "initiated ringing answered completed"),
        ],
    );
    assert_eq!(code, 201, "{created}");
    let sid = created["sid"].as_str().unwrap().to_owned();
    for (field, value) in [
        ("direction", json!("outbound-api")),
        ("to", json!(TO)),
        ("from", json!(NUMBER)),
        ("status", json!("queued")),
        ("parent_call_sid", Value::Null),
        ("end_time", Value::Null),
        ("price", Value::Null),
    ] {
        assert_eq!(created[field], value, "{field}: {created}");
    }
    let (invite, from) = rig.pbx.sip.receive("INVITE ");
    assert!(invite.starts_with(&format!("INVITE sip:{TO}@")), "{invite}");
    assert!(field(&invite, "From").contains(NUMBER), "{invite}");
    rig.pbx.sip.send(from, &rig.pbx.sip.answer(&invite, "180 Ringing", false));
    let one = format!("Calls/{sid}.json");
    let has = |status: &str| (ask(&rig, "GET", &one, &[]).1["status"] == status).then_some(());
    until("it rings", || has("ringing"));
    let answer = rig.pbx.description(1, "");
    rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&invite, "200 OK", &answer));
    rig.pbx.sip.receive("ACK ");
    until("it is up", || has("in-progress"));
    // The party hears the audio that the document names.
    until("the prompt is heard", || received(&rig.pbx.rtp).0[12..].iter().any(|code| *code != 0xff).then_some(()));
    let posts = application.posts();
    let voice = posts.iter().find(|post| path(post) == "/voice?tenant=7").unwrap();
    for (name, value) in [
        ("CallSid", sid.as_str()),
        ("Direction", "outbound-api"),
        ("From", NUMBER),
        ("To", TO),
        ("CallStatus", "in-progress"),
    ] {
        assert_eq!(parameter(voice, name), value, "{name}");
    }
    assert_eq!(voice.headers["x-twilio-signature"], sign_form(TOKEN, &url, &form(voice)));
    // The leg to the party is not a call of its own.
    let (_, listed) = ask(&rig, "GET", "Calls.json", &[]);
    assert_eq!(listed["calls"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(ask(&rig, "POST", &one, &[("Status", "completed")]).0, 200);
    let (bye, from) = rig.pbx.sip.receive("BYE ");
    rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&bye, "200 OK", ""));
    told(&application, &["initiated", "ringing", "in-progress", "completed"]);
    let (_, shown) = ask(&rig, "GET", &one, &[]);
    assert_eq!((&shown["status"], shown["duration"].is_string()), (&json!("completed"), true), "{shown}");
    let trace = rig.trace();
    assert!(trace.contains("requested over HTTP") && !trace.contains("tenant=7"), "{trace}");
}

#[test]
fn a_call_that_rings_is_canceled() {
    let application = application(&[("/status?key=1", "")]);
    let rig = rig("");
    let status = format!("http://{}/status?key=1", application.address);
    let parameters = [
        ("To", TO),
        ("From", NUMBER),
        ("Twiml", "<Response><Pause length='60'/></Response>"),
        ("StatusCallback", &status),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "completed"),
    ];
    let (code, created) = ask(&rig, "POST", "Calls.json", &parameters);
    assert_eq!(code, 201, "{created}");
    let (invite, from) = rig.pbx.sip.receive("INVITE ");
    rig.pbx.sip.send(from, &rig.pbx.sip.answer(&invite, "180 Ringing", false));
    told(&application, &["ringing"]);
    let one = format!("Calls/{}.json", created["sid"].as_str().unwrap());
    assert_eq!(ask(&rig, "POST", &one, &[("Status", "canceled")]).0, 200);
    let (cancel, from) = rig.pbx.sip.receive("CANCEL ");
    rig.pbx.sip.send(from, &rig.pbx.sip.answer(&cancel, "200 OK", false));
    rig.pbx.sip.send(from, &rig.pbx.sip.answer(&invite, "487 Request Terminated", false));
    told(&application, &["ringing", "canceled"]);
    assert_eq!(ask(&rig, "GET", &one, &[]).1["status"], "canceled");
}

#[test]
fn a_call_that_cannot_be_made_has_a_code() {
    let rig = rig("");
    let twiml = ("Twiml", "<Response/>");
    for (parameters, expected) in [
        (vec![("From", NUMBER), twiml], (400, 21_201)),
        (vec![("To", "not a number"), ("From", NUMBER), twiml], (400, 21_211)),
        (vec![("To", "+1415555"), ("From", NUMBER), twiml], (400, 21_211)),
        (vec![("To", "client:alice"), ("From", NUMBER), twiml], (400, 21_211)),
        (vec![("To", TO), ("From", NUMBER), ("Url", "https://a.example/\r\nX: y")], (400, 21_205)),
        (vec![("To", TO), ("From", NUMBER), twiml, ("StatusCallback", "http://169.254.169.254/")], (400, 21_205)),
        (vec![("To", "sip:alice@elsewhere.example"), ("From", NUMBER), twiml], (400, 21_211)),
        (vec![("To", TO), twiml], (400, 21_213)),
        (vec![("To", TO), ("From", "+19995550100"), twiml], (400, 21_210)),
        (vec![("To", TO), ("From", NUMBER)], (400, 21_205)),
        (vec![("To", TO), ("From", NUMBER), ("Url", "ftp://a.example/")], (400, 21_205)),
        (vec![("To", TO), ("From", NUMBER), ("Url", "http://169.254.169.254/latest")], (400, 21_205)),
        (vec![("To", TO), ("From", NUMBER), ("Twiml", "<Response><Say>")], (400, 12_100)),
        (vec![("To", TO), ("From", NUMBER), twiml, ("Timeout", "0")], (400, 20_001)),
        (vec![("To", TO), ("From", NUMBER), twiml, ("SendDigits", "1x")], (400, 20_001)),
        (vec![("To", TO), ("From", NUMBER), twiml, ("Transcribe", "true")], (501, 20_501)),
        (vec![("To", TO), ("From", NUMBER), twiml, ("Record", "true")], (400, 21_220)),
        (vec![("To", TO), ("From", NUMBER), twiml, ("Recorded", "true")], (400, 20_001)),
        (vec![("To", "12"), ("From", NUMBER), twiml], (400, 21_211)),
    ] {
        let (status, answer) = ask(&rig, "POST", "Calls.json", &parameters);
        assert_eq!((status, answer["code"].as_u64().unwrap()), expected, "{parameters:?}: {answer}");
    }
    assert_eq!(rig.edge.json("/v1/calls")["calls"], json!([]), "none has begun");
    let slip = [("To", TO), ("From", NUMBER), twiml, ("Foo", "1"), ("Timeout", "x")];
    assert_eq!(ask(&rig, "POST", "Calls.json", &slip).0, 400);
    let log = rig.edge.json("/v1/api");
    assert_eq!(log["failures"][0]["ignored"], json!(["Foo"]), "{log}");
    assert_eq!(log["ignored_parameters"], json!([]), "nothing was done, and so nothing was ignored");
}

#[test]
fn urls_on_this_machine_are_refused_at_once_without_allow_private() {
    let tables = format!("[[number]]\nnumber = \"{NUMBER}\"\n");
    let rig = Rig::new(&tables, r#""trunk:pbx""#, &[]);
    let (to, from, local) = (("To", TO), ("From", NUMBER), "http://localhost:9/voice");
    let twiml = ("Twiml", "<Response><Pause length='60'/></Response>");
    let (code, created) = ask(&rig, "POST", "Calls.json", &[to, from, twiml]);
    assert_eq!(code, 201, "{created}");
    rig.pbx_answers();
    let call = format!("Calls/{}.json", created["sid"].as_str().unwrap());
    let streams = call.replace(".json", "/Streams.json");
    let stream = ("Url", "wss://bot.example.com/");
    for (path, parameters, code) in [
        ("Calls.json", vec![to, from, ("Url", local)], 21_205),
        ("Calls.json", vec![to, from, ("Url", "https://a.example:0/")], 21_205),
        ("Calls.json", vec![to, from, twiml, ("FallbackUrl", local)], 21_205),
        ("Calls.json", vec![to, from, twiml, ("StatusCallback", "http://app.localhost/")], 21_205),
        (&*call, vec![("Url", local)], 21_205),
        (&*call, vec![("StatusCallback", local)], 21_205),
        (&*call, vec![twiml, ("FallbackUrl", local)], 21_205),
        (&*streams, vec![("Url", "ws://localhost:9/")], 21_205),
        (&*streams, vec![stream, ("StatusCallback", local)], 21_205),
        ("Messages.json", vec![to, from, ("Body", "Hello"), ("StatusCallback", local)], 21_609),
    ] {
        let (status, answer) = ask(&rig, "POST", path, &parameters);
        assert_eq!((status, &answer["code"]), (400, &json!(code)), "{parameters:?}: {answer}");
    }
}

#[test]
fn a_stream_of_a_call_is_started_and_stopped() {
    let application = application(&[("/stream", "")]);
    let rig = rig("");
    let twiml = ("Twiml", "<Response><Pause length='60'/></Response>");
    let (_, created) = ask(&rig, "POST", "Calls.json", &[("To", TO), ("From", NUMBER), twiml]);
    let streams = format!("Calls/{}/Streams", created["sid"].as_str().unwrap());
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/media", door.local_addr().unwrap());
    let parameters = [("Url", &*url), ("Name", "tap")];
    assert_eq!(ask(&rig, "POST", &format!("{streams}.json"), &parameters).1["code"], 21_220, "it is not answered yet");
    rig.pbx_answers();
    for (parameters, code) in [
        (vec![("Name", "tap")], 21_205),
        (vec![("Url", "https://a.example/media")], 21_205),
        (vec![("Url", "wss://169.254.169.254/media")], 21_205),
        (vec![("Url", &*url), ("Track", "all")], 20_001),
        (vec![("Url", &*url), ("Parameter1.Value", "x")], 20_001),
    ] {
        let (status, answer) = ask(&rig, "POST", &format!("{streams}.json"), &parameters);
        assert_eq!((status, &answer["code"]), (400, &json!(code)), "{parameters:?}: {answer}");
    }
    let status = format!("http://{}/stream", application.address);
    let parameters = [
        ("Url", &*url),
        ("Name", "tap"),
        ("Track", "both_tracks"),
        ("StatusCallback", &*status),
        ("Parameter1.Name", "tenant"),
        ("Parameter1.Value", "7"),
    ];
    let (code, started) = ask(&rig, "POST", &format!("{streams}.json"), &parameters);
    assert_eq!((code, &started["status"], &started["name"]), (201, &json!("in-progress"), &json!("tap")), "{started}");
    let mut socket = accept(door.accept().unwrap().0).unwrap();
    let start = loop {
        let text = socket.read().unwrap().into_text().unwrap();
        if text.contains("\"start\"") {
            break serde_json::from_str::<Value>(&text).unwrap();
        }
    };
    assert_eq!(start["start"]["customParameters"]["tenant"], "7");
    assert_eq!((&start["streamSid"], &start["start"]["tracks"]), (&started["sid"], &json!(["inbound", "outbound"])));
    let again = ask(&rig, "POST", &format!("{streams}.json"), &parameters);
    assert_eq!((again.0, &again.1["code"]), (400, &json!(20_001)), "a name is that of one stream: {}", again.1);
    assert_eq!(ask(&rig, "POST", &format!("{streams}/other.json"), &[("Status", "stopped")]).1["code"], 20_404);
    assert_eq!(ask(&rig, "POST", &format!("{streams}/tap.json"), &[("Status", "paused")]).1["code"], 20_001);
    let (code, stopped) = ask(&rig, "POST", &format!("{streams}/tap.json"), &[("Status", "stopped")]);
    assert_eq!((code, &stopped["status"], &stopped["sid"]), (200, &json!("stopped"), &started["sid"]));
    let events = || application.posts().iter().map(|post| parameter(post, "StreamEvent")).collect::<Vec<_>>();
    until("the stream is reported", || (events() == ["stream-started", "stream-stopped"]).then_some(()));
    let again = ask(&rig, "POST", &format!("{streams}/tap.json"), &[("Status", "stopped")]);
    assert_eq!(again.1["code"], 20_404, "it is over");
    drop(door);
    assert_eq!(ask(&rig, "POST", &format!("{streams}.json"), &parameters).0, 201, "its name is free again");
    let failed = || application.posts().into_iter().find(|post| parameter(post, "StreamEvent") == "stream-error");
    let error = parameter(&until("the failure is reported", failed), "StreamError");
    assert!(error.contains("refused"), "the error of the connection: {error}");
}

#[test]
fn the_native_request_connects_the_party_with_any_target() {
    let rig = rig("");
    let (status, created) = native(&rig, &json!({ "to": TO, "from": NUMBER, "connect": ["trunk:carrier"] }));
    assert_eq!((status, &created["requested"], &created["legs"][0]["kind"]), (201, &json!(true), &json!("api")));
    let first = rig.pbx_answers();
    let (invite, from) = rig.caller.sip.receive("INVITE ");
    assert!(field(&invite, "From").contains(NUMBER), "{invite}");
    let answer = rig.caller.description(1, "");
    rig.caller.sip.send(from, &rig.caller.sip.answer_with(&invite, "200 OK", &answer));
    rig.caller.sip.receive("ACK ");
    rig.pbx_hangs_up(&first);
    let (bye, from) = rig.caller.sip.receive("BYE ");
    rig.caller.sip.send(from, &rig.caller.sip.answer_with(&bye, "200 OK", ""));
    let sid = created["sid"].as_str().unwrap();
    let ended = until("it has ended", || {
        Some(rig.edge.json(&format!("/v1/calls/{sid}"))).filter(|call| call["state"] == "ended")
    });
    assert_eq!((&ended["outcome"], &ended["route"]), (&json!("answered"), &json!("api")));
    for (body, expected) in [
        (json!({ "to": TO, "from": "+19995550100", "connect": ["trunk:carrier"] }), "from_not_allowed"),
        (json!({ "to": "", "from": NUMBER, "connect": ["trunk:carrier"] }), "bad_number"),
        (json!({ "to": TO, "from": NUMBER, "connect": [] }), "bad_target"),
        (json!({ "to": TO, "from": NUMBER, "connect": ["trunk:nowhere"] }), "unknown_target"),
        (json!({ "to": TO, "from": NUMBER, "connect": ["trunk:pbx"], "via": ["agent:x"] }), "bad_target"),
        (json!({ "to": TO, "from": NUMBER, "connect": ["trunk:pbx"], "digits": "1" }), "bad_digits"),
        (json!({ "to": TO, "from": NUMBER, "connect": ["trunk:pbx"], "ring_seconds": 0 }), "bad_value"),
    ] {
        let (status, answer) = native(&rig, &body);
        assert_eq!((status, answer["error"]["code"].as_str().unwrap_or_default()), (422, expected), "{body}: {answer}");
    }
}

#[test]
fn the_call_of_a_party_has_its_own_numbers_and_times() {
    let rig = rig("[[number]]\nnumber = \"+14155550111\"\n");
    let twiml = "<Response><Dial callerId='+14155550111'>+14155550177</Dial></Response>";
    let (code, created) = ask(&rig, "POST", "Calls.json", &[("To", TO), ("From", NUMBER), ("Twiml", twiml)]);
    assert_eq!(code, 201, "{created}");
    let sid = created["sid"].as_str().unwrap();
    for (to, from) in [(TO, NUMBER), ("+14155550177", "+14155550111")] {
        let (invite, source) = rig.pbx.sip.receive("INVITE ");
        assert!(invite.starts_with(&format!("INVITE sip:{to}@")) && field(&invite, "From").contains(from), "{invite}");
        let answer = rig.pbx.description(1, "");
        rig.pbx.sip.send(source, &rig.pbx.sip.answer_with(&invite, "200 OK", &answer));
        rig.pbx.sip.receive("ACK ");
    }
    let children = || ask(&rig, "GET", &format!("Calls.json?ParentCallSid={sid}"), &[]).1["calls"].clone();
    let child =
        until("the party talks", || Some(children()).filter(|calls| calls[0]["status"] == "in-progress"))[0].clone();
    for (field, value) in [
        ("to", json!("+14155550177")),
        ("from", json!("+14155550111")),
        ("direction", json!("outbound-dial")),
        ("parent_call_sid", json!(sid)),
        ("duration", Value::Null),
        ("end_time", Value::Null),
    ] {
        assert_eq!(child[field], value, "{field}: {child}");
    }
    assert!(child["start_time"].is_string(), "{child}");
    let listed =
        |filter: &str| ask(&rig, "GET", &format!("Calls.json?{filter}"), &[]).1["calls"].as_array().unwrap().len();
    assert_eq!([listed("To=%2B14155550177"), listed("From=%2B14155550111"), listed("To=%2B442071838750")], [1, 1, 1]);
    assert_eq!(ask(&rig, "POST", &format!("Calls/{sid}.json"), &[("Status", "completed")]).0, 200);
    for _ in 0..2 {
        let (bye, source) = rig.pbx.sip.receive("BYE ");
        rig.pbx.sip.send(source, &rig.pbx.sip.answer_with(&bye, "200 OK", ""));
    }
    let child = until("it has ended", || Some(children()).filter(|calls| calls[0]["status"] == "completed"))[0].clone();
    assert!(child["end_time"].is_string() && child["duration"].is_string(), "{child}");
    let (_, stored) = ask(&rig, "GET", &format!("Calls/{}.json", child["sid"].as_str().unwrap()), &[]);
    assert_eq!(stored, child);
}

#[test]
fn a_number_that_no_trunk_may_call_is_refused_at_once_and_a_foreign_caller_id_is_not_shown() {
    let rig = rig("[trunk.narrow]\npeers = [\"sip:127.0.0.9\"]\nallow_prefixes = [\"+4420\"]\n");
    let refused = native(
        &rig,
        &json!({"to": "+4930123456", "from": NUMBER, "connect": ["trunk:pbx/100"], "via": ["trunk:narrow"]}),
    );
    assert_eq!((refused.0, &refused.1["error"]["code"]), (403, &json!("denied")), "{}", refused.1);
    let words =
        native(&rig, &json!({"to": "x", "from": NUMBER, "connect": ["trunk:pbx/100"], "via": ["trunk:narrow"]}));
    assert_eq!((words.0, &words.1["error"]["code"]), (422, &json!("bad_number")), "{}", words.1);
    assert_eq!(rig.edge.json("/v1/calls")["calls"], json!([]), "none has begun");
    let twiml = "<Response><Dial callerId='+18002752273'>+14155550177</Dial></Response>";
    let (code, created) = ask(&rig, "POST", "Calls.json", &[("To", TO), ("From", NUMBER), ("Twiml", twiml)]);
    assert_eq!(code, 201, "{created}");
    let (invite, source) = rig.pbx.sip.receive("INVITE ");
    rig.pbx.sip.send(source, &rig.pbx.sip.answer_with(&invite, "200 OK", &rig.pbx.description(1, "")));
    rig.pbx.sip.receive("ACK ");
    let (bye, source) = rig.pbx.sip.receive("BYE ");
    rig.pbx.sip.send(source, &rig.pbx.sip.answer_with(&bye, "200 OK", ""));
    let trace = rig.trace();
    assert!(trace.contains("error 13214: callerId ") && !trace.contains("INVITE sip:+14155550177"), "{trace}");
}

#[test]
fn why_judges_a_call_as_the_api_does() {
    let rig = rig("");
    for (to, from, expected) in [
        ("x", NUMBER, (400, Some(21_211))),
        ("client:alice", NUMBER, (400, Some(21_211))),
        ("sip:alice@elsewhere.example", NUMBER, (400, Some(21_211))),
        ("+882990000000", NUMBER, (400, Some(21_215))),
        ("sip:+882990000000@127.0.0.3", NUMBER, (400, Some(21_215))),
        (TO, "+19995550100", (400, Some(21_210))),
        (TO, NUMBER, (201, None)),
        ("911", NUMBER, (201, None)),
    ] {
        let parameters = [("To", to), ("From", from), ("Twiml", "<Response/>")];
        let (status, answer) = ask(&rig, "POST", "Calls.json", &parameters);
        let is = |status: u64, code: &Value| (status, code.as_u64()) == expected;
        let code = if status == 201 { &Value::Null } else { &answer["code"] };
        assert!(is(u64::from(status), code), "{to} {from}: {answer}");
        let url = rig.edge.url();
        let asked = finish(&["why", "--url", &url, "--from", "api", "--called", to, "--caller", from, "--json"]);
        let why: Value = serde_json::from_slice(&asked.stdout).unwrap();
        assert!(is(why["api"]["status"].as_u64().unwrap(), &why["api"]["code"]), "{to} {from}: {why}");
        if status != 201 {
            assert_eq!(why["api"]["message"], answer["message"], "{to} {from}");
        }
    }
    let page = |arguments: &[&str]| {
        let url = rig.edge.url();
        let out = finish(&[&["why", "--url", &url, "--from", "api", "--called"], arguments].concat());
        String::from_utf8([out.stdout, out.stderr].concat()).unwrap()
    };
    let accepted = page(&[TO, "--caller", NUMBER]);
    assert!(accepted.contains("→ 201: would be accepted\n→ pbx ") && accepted.contains("    now "), "{accepted}");
    let denied = page(&["+882990000000"]);
    assert!(denied.contains("From is not checked") && denied.contains("→ 400, code 21215: "), "{denied}");
    assert!(page(&[TO, "--at", "2026-11-20T09:00"]).contains("uses no route: omit the time"));
}

/// Receives the INVITE for this number at the called party, and rings.
fn rings(rig: &Rig, number: &str) -> (String, SocketAddr) {
    let (invite, source) = rig.pbx.sip.receive(&format!("INVITE sip:{number}@"));
    rig.pbx.sip.send(source, &rig.pbx.sip.answer(&invite, "180 Ringing", false));
    (invite, source)
}

#[test]
fn only_api_emergency_calls_are_limited() {
    let rig = rig("");
    let call = |to: &str, twiml: &str| {
        let (status, answer) = ask(&rig, "POST", "Calls.json", &[("To", to), ("From", NUMBER), ("Twiml", twiml)]);
        let code = answer["code"].as_u64();
        (status, code, answer["sid"].as_str().unwrap_or_default().to_owned())
    };
    let silence = "<Response><Pause length='60'/></Response>";
    let ringing: Vec<_> = (0..3).map(|_| (call("911", silence), rings(&rig, "911"))).collect();
    let (status, code, _) = call("911", silence);
    assert_eq!((status, code), (429, Some(20_429)));
    let native = native(&rig, &json!({"to": "911", "from": NUMBER, "connect": ["trunk:pbx/100"]}));
    assert_eq!((native.0, &native.1["error"]["code"]), (429, &json!("limit_emergency")), "{}", native.1);
    // A caller makes an emergency call.
    let (sip, offer) = (rig.edge.address("udp"), rig.caller.description(1, ""));
    rig.caller.sip.send(sip, &rig.caller.sip.request_with("INVITE", "911", sip, "help", (1, ""), &offer));
    rings(&rig, "911");
    // A document cannot exceed the limit either.
    let (status, _, dialling) = call(TO, "<Response><Dial>911</Dial><Pause length='60'/></Response>");
    assert_eq!(status, 201);
    let (invite, source) = rings(&rig, TO);
    rig.pbx.sip.send(source, &rig.pbx.sip.answer_with(&invite, "200 OK", &rig.pbx.description(1, "")));
    rig.pbx.sip.receive("ACK ");
    let trace = |sid: &str| String::from_utf8(finish(&["trace", sid, "--url", &rig.edge.url()]).stdout).unwrap();
    until("the document's is refused", || trace(&dialling).contains("`emergency_calls = 3` of [api]").then_some(()));
    // A call that ends makes room.
    let ((_, _, sid), (invite, source)) = &ringing[0];
    assert_eq!(ask(&rig, "POST", &format!("Calls/{sid}.json"), &[("Status", "canceled")]).0, 200);
    rig.pbx.sip.receive("CANCEL ");
    rig.pbx.sip.send(*source, &rig.pbx.sip.answer(invite, "487 Request Terminated", false));
    assert_eq!(call("911", silence).0, 201);
    let log = rig.edge.whole_log();
    assert!(
        log.contains("alarm: trunk pbx: too many emergency calls requested over HTTP (`emergency_calls = 3` of [api])"),
        "{log}"
    );
    let status = String::from_utf8(finish(&["status", "--url", &rig.edge.url()]).stdout).unwrap();
    assert!(status.contains("limit_emergency") && status.contains("find out who makes them"), "{status}");
}

#[test]
fn an_emergency_number_with_parameters_is_bounded_as_one_without() {
    let keys = format!("allow_private = true\nemergency_calls = 0\n[[number]]\nnumber = \"{NUMBER}\"\n");
    let rig = Rig::new(&keys, r#""trunk:pbx""#, &[]);
    let host = rig.pbx.sip.address;
    let call = |to: &str, twiml: &str| {
        let (status, answer) = ask(&rig, "POST", "Calls.json", &[("To", to), ("From", NUMBER), ("Twiml", twiml)]);
        (status, answer["code"].as_u64(), answer["sid"].as_str().unwrap_or_default().to_owned())
    };
    let forms = ["911", "911;phone-context=+1", "911;x=y", "9-1-1;x=y", "%39%31%31;x=y", "911%3bx=y", "112;a;b=c"];
    for user in forms {
        for tail in ["", ";user=phone"] {
            let to = format!("sip:{user}@{host}{tail}");
            let (status, code, _) = call(&to, "<Response/>");
            assert_eq!((status, code), (400, Some(21_215)), "{to}");
        }
    }
    // Nor can a document call these users.
    let dials: String = forms.iter().map(|user| format!("<Dial><Sip>sip:{user}@{host}</Sip></Dial>")).collect();
    let (status, _, sid) = call(TO, &format!("<Response>{dials}</Response>"));
    assert_eq!(status, 201);
    let (invite, source) = rings(&rig, TO);
    rig.pbx.sip.send(source, &rig.pbx.sip.answer_with(&invite, "200 OK", &rig.pbx.description(1, "")));
    rig.pbx.sip.receive("ACK ");
    let (bye, source) = rig.pbx.sip.receive("");
    assert!(bye.starts_with("BYE "), "{bye}");
    rig.pbx.sip.send(source, &rig.pbx.sip.answer_with(&bye, "200 OK", ""));
    let trace = String::from_utf8(finish(&["trace", &sid, "--url", &rig.edge.url()]).stdout).unwrap();
    assert_eq!(trace.matches("`emergency_calls = 0` of [api]").count(), forms.len(), "{trace}");
}

#[test]
fn an_emergency_number_behind_prefixes_is_bounded_as_one_without() {
    let keys = format!("allow_private = true\nemergency_calls = 0\n[[number]]\nnumber = \"{NUMBER}\"\n");
    let rig = Rig::new(&keys, r#""trunk:pbx""#, &[]);
    let host = rig.pbx.sip.address;
    let call = |to: &str, twiml: &str| {
        let (status, answer) = ask(&rig, "POST", "Calls.json", &[("To", to), ("From", NUMBER), ("Twiml", twiml)]);
        (status, answer["code"].as_u64(), answer["sid"].as_str().unwrap_or_default().to_owned())
    };
    for user in [
        "+911",
        "+1911",
        "+1-911",
        "1911",
        "9911",
        "0911",
        "*67911",
        "00911",
        "011911",
        "'911'",
        "~911",
        "tel%3A911",
        "urn%3Aservice%3Asos",
        "9911;phone-context=pbx",
    ] {
        let to = format!("sip:{user}@{host}");
        let (status, code, _) = call(&to, "<Response/>");
        assert_eq!((status, code), (400, Some(21_215)), "{to}");
    }
    // Nor can a document call these numbers; a number that only ends with the same digits is called.
    let forms = ["+911", "+1911", "9911"];
    let dials: String = forms.iter().map(|number| format!("<Dial><Number>{number}</Number></Dial>")).collect();
    let (status, _, sid) = call(TO, &format!("<Response>{dials}<Dial>+14155550911</Dial></Response>"));
    assert_eq!(status, 201);
    let (invite, source) = rings(&rig, TO);
    rig.pbx.sip.send(source, &rig.pbx.sip.answer_with(&invite, "200 OK", &rig.pbx.description(1, "")));
    rig.pbx.sip.receive("ACK ");
    rings(&rig, "+14155550911");
    let trace = String::from_utf8(finish(&["trace", &sid, "--url", &rig.edge.url()]).stdout).unwrap();
    assert_eq!(trace.matches("`emergency_calls = 0` of [api]").count(), forms.len(), "{trace}");
}

#[test]
fn headers_behind_a_sip_address_are_in_the_invite() {
    let rig = Rig::new(&format!("allow_private = true\n[[number]]\nnumber = \"{NUMBER}\"\n"), r#""trunk:pbx""#, &[]);
    let host = rig.pbx.sip.address;
    let call = |to: &str| {
        let parameters = [("To", to), ("From", NUMBER), ("Twiml", "<Response><Pause/></Response>")];
        ask(&rig, "POST", "Calls.json", &parameters)
    };
    let (status, answer) = call(&format!("sip:alice@{host}?Privacy=id"));
    assert_eq!((status, answer["code"].as_u64()), (400, Some(21_211)), "{answer}");
    let (status, answer) = call(&format!("sip:alice@{host}?X-Case=42&User-to-User=a%20b"));
    assert_eq!((status, answer["to"].as_str()), (201, Some(&*format!("sip:alice@{host}"))), "{answer}");
    let (invite, _) = rig.pbx.sip.receive("INVITE ");
    assert!(invite.starts_with(&format!("INVITE sip:alice@{host} SIP/2.0\r\n")), "{invite}");
    for line in ["X-Case: 42", "User-to-User: a b"] {
        assert!(invite.lines().any(|known| known.eq_ignore_ascii_case(line)), "{line} in {invite}");
    }
}

#[test]
fn a_live_call_gets_another_receiver_and_a_time_limit() {
    let application = application(&[("/status?key=1", "")]);
    let rig = rig("");
    let twiml = ("Twiml", "<Response><Pause length='60'/></Response>");
    let (code, created) = ask(&rig, "POST", "Calls.json", &[("To", TO), ("From", NUMBER), twiml]);
    assert_eq!(code, 201, "{created}");
    let (invite, source) = rig.pbx.sip.receive("INVITE ");
    rig.pbx.sip.send(source, &rig.pbx.sip.answer_with(&invite, "200 OK", &rig.pbx.description(1, "")));
    rig.pbx.sip.receive("ACK ");
    let one = format!("Calls/{}.json", created["sid"].as_str().unwrap());
    let status = format!("http://{}/status?key=1", application.address);
    assert_eq!(ask(&rig, "POST", &one, &[("StatusCallback", &status)]).0, 200);
    let other = format!("http://{}/other", application.address);
    let parameters = [("StatusCallback", &*other), ("Url", "http://169.254.169.254/")];
    assert_eq!(ask(&rig, "POST", &one, &parameters).1["code"], 21_205, "and the receiver is the one before");
    assert_eq!(ask(&rig, "POST", &one, &[("TimeLimit", "1")]).0, 200);
    let (bye, source) = rig.pbx.sip.receive("BYE ");
    rig.pbx.sip.send(source, &rig.pbx.sip.answer_with(&bye, "200 OK", ""));
    told(&application, &["completed"]);
    assert_eq!(rig.edge.json("/v1/calls")["calls"][0]["reason"], "time_limit");
}
