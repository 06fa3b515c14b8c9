//! Numbers with URLs that the Twilio-compatible API has set: in force for the next call, and kept across reloads and
//! restarts.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::calls::NUMBER;
use crate::support::endpoint::{Endpoint, Post};
use crate::support::{finish, until};
use crate::twilio_api::Rig;

/// Starts a web application that rejects each call as busy, or responds with `document`.
fn application(document: &'static str) -> Endpoint {
    Endpoint::reading(TcpListener::bind("127.0.0.1:0").unwrap(), move |_, _, stream| {
        let body = format!("<Response>{document}</Response>");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n", body.len());
        std::io::Write::write_all(stream, (head + &body).as_bytes()).is_ok()
    })
}

fn path(post: &Post) -> &str {
    post.line.split(' ').nth(1).unwrap()
}

/// Returns the only number of the edge, which must be found by its E.164 form.
fn number(rig: &Rig) -> Value {
    let listed = rig.get(&format!("IncomingPhoneNumbers.json?PhoneNumber={}", NUMBER.replace('+', "%2B")));
    listed["incoming_phone_numbers"][0].clone()
}

fn path_of(number: &Value) -> String {
    format!("IncomingPhoneNumbers/{}.json", number["sid"].as_str().unwrap())
}

fn set(rig: &Rig, body: &[(&str, &str)]) -> Value {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(body);
    rig.post(&path_of(&number(rig)), &form.finish())
}

/// Makes a call from the carrier; returns the code of its final response, which is the callee's if the call is routed
/// to it.
fn call(rig: &Rig, id: &str) -> String {
    let (sip, offer) = (rig.edge.address("udp"), rig.caller.description(1, ""));
    let invite = rig.caller.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &offer);
    rig.caller.sip.send(sip, &invite);
    until("a final response or a call to the PBX", || {
        let (answer, _) = rig.caller.sip.receive("SIP/2.0 ");
        let code = answer.split(' ').nth(1).unwrap().to_owned();
        Some(code).filter(|code| code.as_str() >= "200")
    })
}

const NUMBERS: &str = "allow_private = true\n[[number]]\nnumber = \"+14155550123\"\n";

#[test]
fn a_voice_url_takes_the_next_call_and_survives_reload_and_restart() {
    let app = application("<Reject reason=\"busy\"/>");
    let rig = Rig::new(NUMBERS);
    let (voice, status) = (format!("http://{}/voice?tenant=1", app.address), format!("http://{}/status", app.address));
    let updated = set(&rig, &[("VoiceUrl", &voice), ("VoiceMethod", "POST"), ("StatusCallback", &status)]);
    assert_eq!((&updated["voice_url"], &updated["status_callback"]), (&json!(voice), &json!(status)));
    assert_eq!(call(&rig, "first"), "486");
    let posts = until("both webhooks", || Some(app.posts()).filter(|posts| posts.len() == 2));
    let paths: Vec<&str> = posts.iter().map(path).collect();
    assert_eq!(paths, ["/voice?tenant=1", "/status"]);
    assert!(posts.iter().all(|post| post.headers.contains_key("x-twilio-signature")), "{posts:?}");
    let calls = rig.edge.json("/v1/calls");
    let shown = &calls["calls"][0];
    assert_eq!((&shown["app"], &shown["route"]), (&json!("api:+14155550123"), &json!("number +14155550123")));
    assert_eq!(rig.edge.post("/v1/reload", &Value::Null).0, 200);
    assert_eq!(call(&rig, "second"), "486");
    until("both webhooks of the second", || Some(()).filter(|()| app.posts().len() == 4));
    let rig = rig.restart();
    assert_eq!(number(&rig)["voice_url"], json!(voice));
    assert_eq!(call(&rig, "third"), "486");
    // A callback is repeated if the killed edge had not stored its delivery.
    until("all webhooks", || Some(()).filter(|()| app.posts().len() >= 6));
    assert!(!rig.edge.whole_log().contains("tenant"), "{}", rig.edge.log());
}

#[test]
fn what_is_set_is_reported_and_an_empty_value_removes_it() {
    let app = application("<Reject reason=\"busy\"/>");
    let rig = Rig::new(NUMBERS);
    set(
        &rig,
        &[
            ("VoiceUrl", &format!("http://{}/voice", app.address)),
            ("VoiceMethod", "POST"),
            ("FriendlyName", "Front desk"),
        ],
    );
    assert_eq!(number(&rig)["friendly_name"], "Front desk");
    let told = "FriendlyName, VoiceUrl, VoiceMethod set through the API takes this number's calls ahead of all routes";
    let overrides = &rig.edge.json("/v1/status")["config"]["number_overrides"];
    let expected = json!([{"number": NUMBER, "parameters": ["FriendlyName", "VoiceUrl", "VoiceMethod"], "text": told}]);
    assert_eq!(*overrides, expected);
    let url = rig.edge.url();
    let said = |verb: &[&str]| {
        String::from_utf8(finish(verb).stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let status = said(&["status", "--url", &url]);
    assert!(status.contains(&format!("NUMBER {NUMBER}: {told}")), "{status}");
    let why = said(&["why", "--url", &url, "--from", "carrier", "--called", NUMBER]);
    assert!(why.contains(&format!("number {NUMBER}: {told} route number {NUMBER}: to {NUMBER} ")), "{why}");
    assert!(why.contains(&format!(" → app:api:{NUMBER} http://")), "{why}");
    let cleared = set(&rig, &[("VoiceUrl", ""), ("FriendlyName", "")]);
    assert_eq!((&cleared["voice_url"], &cleared["friendly_name"]), (&Value::Null, &json!("(415) 555-0123")));
    assert_eq!(rig.edge.json("/v1/status")["config"]["number_overrides"], json!([]));
    let (sip, offer) = (rig.edge.address("udp"), rig.caller.description(1, ""));
    rig.caller.sip.send(sip, &rig.caller.sip.request_with("INVITE", NUMBER, sip, "routed", (1, ""), &offer));
    rig.callee.sip.receive("INVITE ");
    assert_eq!(app.posts().len(), 0);
}

#[test]
fn what_is_set_stands_above_the_app_of_the_number() {
    let (written, other) = (application("<Reject/>"), application("<Reject reason=\"busy\"/>"));
    let app = format!("[app.ivr]\nurl = \"http://{}/ivr\"\nallow_private = true\n", written.address);
    let rig = Rig::new(&format!("{app}[[number]]\nnumber = \"{NUMBER}\"\napp = \"ivr\"\n"));
    assert_eq!(number(&rig)["voice_url"], format!("http://{}/ivr", written.address));
    assert_eq!(call(&rig, "first"), "603");
    // The application's key `allow_private` applies.
    let shown = set(&rig, &[("VoiceUrl", &format!("http://{}/other", other.address)), ("VoiceMethod", "GET")]);
    assert_eq!(shown["voice_method"], "GET");
    assert_eq!((call(&rig, "second"), written.posts().len(), other.posts().len()), ("486".to_owned(), 1, 1));
    assert!(other.posts()[0].line.starts_with("GET /other?"), "{:?}", other.posts()[0]);
    let text = rig.edge.json("/v1/status")["config"]["number_overrides"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(text, "VoiceUrl, VoiceMethod set through the API overrides [[number]] app \"ivr\"");
}

#[test]
fn what_cannot_be_set_is_refused_by_name() {
    let rig = Rig::new("[[number]]\nnumber = \"+14155550123\"\n");
    let path = path_of(&number(&rig));
    let same = rig.post(&path, "VoiceCallerIdLookup=false&VoiceReceiveMode=voice");
    assert_eq!(same, number(&rig), "what is so anyway is taken");
    assert_eq!(rig.refused("POST", &path, "VoiceReceiveMode=fax"), (501, 20_501));
    for (body, expected) in [
        ("VoiceUrl=ftp%3A%2F%2Fa.example%2F", (400, 21_402)),
        ("VoiceUrl=http%3A%2F%2F127.0.0.1%3A9%2F", (400, 21_402)),
        ("VoiceUrl=http%3A%2F%2Flocalhost%3A9%2F", (400, 21_402)),
        ("SmsUrl=http%3A%2F%2Flocalhost%3A9%2F", (400, 21_402)),
        ("VoiceUrl=https%3A%2F%2Fa.example%2F&StatusCallback=here", (400, 21_402)),
        ("VoiceUrl=https%3A%2F%2Fa.example%2F&VoiceMethod=PUT", (400, 21_403)),
        ("VoiceFallbackUrl=https%3A%2F%2Fa.example%2F", (400, 21_405)),
        ("StatusCallback=https%3A%2F%2Fa.example%2F", (400, 20_001)),
        ("VoiceMethod=GET", (400, 20_001)),
        ("VoiceUrI=x&Timeouts=1", (400, 20_001)),
        ("VoiceApplicationSid=AP0123456789abcdef0123456789abcdef", (501, 20_501)),
        ("SmsUrl=here", (400, 21_402)),
        ("SmsMethod=PUT", (400, 21_403)),
        ("TrunkSid=TK0123456789abcdef0123456789abcdef", (501, 20_501)),
    ] {
        assert_eq!(rig.refused("POST", &path, body), expected, "{body}");
    }
    assert_eq!(rig.refused("POST", "IncomingPhoneNumbers/PN0.json", "FriendlyName=x"), (404, 20_404));
    assert_eq!(rig.edge.json("/v1/status")["config"]["number_overrides"], json!([]));
    assert_eq!(rig.post(&path, "VoiceApplicationSid=&TrunkSid=")["voice_url"], Value::Null, "nothing to change");
}
