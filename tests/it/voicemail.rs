//! Mailboxes through the real binary: greeting, tone, message, notification, list.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use serde_json::{Value, json};
use trunkgate_media::agent::sign_form;

use crate::apps::{self, Rig, application, form, parameter, path, wav};
use crate::support::calls::{NUMBER, media_of};
use crate::support::endpoint::{Endpoint, Post};
use crate::support::sip::{field, to_tag};
use crate::support::{http_with_headers, until};
use crate::twilio_api::authorization;
use crate::twilio_recordings::{speaking, walk};

/// Starts an edge with a mailbox that answers at once, with these keys.
fn rig(keys: &str) -> Rig {
    let tables = format!("[recording]\ndirectory = \"recordings\"\n[voicemail.front]\n{keys}");
    Rig::new(&tables, r#""voicemail:front""#, &[("hello.wav", &wav(200))])
}

fn notified(receiver: &Endpoint) -> Post {
    until("the notification", || receiver.posts().into_iter().find(|post| path(post) == "/voicemail"))
}

/// Waits for the recording in progress of the call; returns its SID.
fn recording(rig: &Rig) -> String {
    until("the recording begins", || {
        let call = rig.edge.json(&format!("/v1/calls/{}", rig.edge.sid()));
        call["recordings"][0]["sid"].as_str().map(str::to_owned)
    })
}

/// Returns the recordings in a mailbox.
fn list(rig: &Rig, mailbox: &str) -> Vec<Value> {
    rig.edge.json(&format!("/v1/recordings?voicemail={mailbox}"))["recordings"].as_array().unwrap().clone()
}

fn long_enough(rig: &Rig) {
    until("some of it is recorded", || (walk(&rig.edge.file.with_file_name("recordings")) > 16_000).then_some(()));
}

/// Checks that fetching the audio marks the only message as heard, but that an earlier fetch through the
/// Twilio-compatible API does not.
fn is_new_until_heard(rig: &Rig, sid: &str) {
    let counts = |new: u64, heard: u64| json!({ "mailboxes": [{ "name": "front", "new": new, "heard": heard }] });
    assert_eq!(rig.edge.json("/v1/voicemail"), counts(1, 0));
    assert!(list(rig, "front")[0]["heard_at"].is_null());
    let heard = |path: &str| rig.edge.ask("POST", path, "");
    assert_eq!(heard("/v1/voicemail/back/heard").0, 404);
    let (status, refused) = heard("/v1/voicemail/front/heard?sid=RE1");
    assert_eq!((status, &refused["error"]["code"]), (404, &json!("unknown_recording")), "{refused}");
    assert_eq!(heard("/v1/voicemail/front/heard?id=RE1").0, 400);
    assert_eq!(rig.edge.get(&format!("/v1/recordings/{sid}/peaks")).0, 200);
    assert_eq!(rig.edge.json("/v1/voicemail"), counts(1, 0), "a picture of it is not heard");
    let audio = format!("{}/v1/recordings/{sid}/audio", rig.edge.url());
    for (method, range, expected) in [
        ("HEAD", "bytes=0-", 206),
        ("GET", "bytes=99999999-", 416),
        ("GET", "bytes=0-0", 206),
        ("GET", "bytes=0-1023", 206),
    ] {
        assert_eq!(http_with_headers(method, &audio, &[("Range", range)], "").0, expected, "{method} {range}");
        assert_eq!(rig.edge.json("/v1/voicemail"), counts(1, 0), "{method} {range} is no listener");
    }
    assert_eq!(http_with_headers("GET", &format!("{}/v1/recordings/{sid}/audio", rig.edge.url()), &[], "").0, 200);
    assert_eq!(rig.edge.json("/v1/voicemail"), counts(0, 1));
    assert!(list(rig, "front")[0]["heard_at"].is_string());
    let left = json!({ "name": "front", "new": 0, "heard": 1 });
    assert_eq!(heard(&format!("/v1/voicemail/front/heard?sid={sid}")), (200, left.clone()));
    assert_eq!(heard("/v1/voicemail/front/heard"), (200, left));
}

#[test]
fn a_message_is_taken_notified_and_listed() {
    let receiver = application(&[("/voicemail", "")]);
    let url = format!("http://{}/voicemail", receiver.address);
    let rig = rig(&format!("greeting = \"hello.wav\"\nnotify = \"{url}\"\n"));
    rig.invite();
    let ok = rig.answered();
    rig.hears_the_prompt();
    let sid = recording(&rig);
    let speaker = speaking(&rig.caller.rtp, media_of(&ok));
    long_enough(&rig);
    drop(speaker);
    rig.press(&ok, 11, 4_000);
    rig.hung_up();
    let post = notified(&receiver);
    for (name, value) in [
        ("RecordingSid", sid.as_str()),
        ("RecordingStatus", "completed"),
        ("RecordingSource", "Voicemail"),
        ("RecordingChannels", "1"),
        ("Voicemail", "front"),
        ("From", "+14155550100"),
        ("To", NUMBER),
        ("CallSid", rig.edge.sid().as_str()),
    ] {
        assert_eq!(parameter(&post, name), value, "{name}");
    }
    assert!(parameter(&post, "RecordingDuration").parse::<u64>().unwrap() >= 1);
    assert_eq!(post.headers["x-twilio-signature"], sign_form(apps::TOKEN, &url, &form(&post)));
    let (name, value) = authorization(apps::ACCOUNT, apps::TOKEN);
    let (status, _, audio) = http_with_headers("GET", &parameter(&post, "RecordingUrl"), &[(name, &value)], "");
    assert!(status == 200 && audio.starts_with("RIFF"), "{status}");
    let shown = list(&rig, "front");
    assert_eq!(shown.len(), 1);
    for (field, value) in
        [("sid", json!(sid)), ("voicemail", json!("front")), ("from", json!("+14155550100")), ("to", json!(NUMBER))]
    {
        assert_eq!(shown[0][field], value, "{field}");
    }
    assert!(list(&rig, "back").is_empty());
    is_new_until_heard(&rig, &sid);
    let record = rig.edge.json(&format!("/v1/calls/{}", rig.edge.sid()));
    assert_eq!((&record["voicemail"], &record["reason"]), (&json!("front"), &json!("voicemail_ended")));
}

#[test]
fn a_caller_that_hangs_up_in_its_message_has_left_it() {
    let receiver = application(&[("/voicemail", "")]);
    let rig = rig(&format!("notify = \"http://{}/voicemail\"\n", receiver.address));
    rig.invite();
    let ok = rig.answered();
    let speaker = speaking(&rig.caller.rtp, media_of(&ok));
    recording(&rig);
    long_enough(&rig);
    let (sip, tag) = (rig.edge.address("udp"), to_tag(&ok));
    rig.caller.sip.send(sip, &rig.caller.sip.request_with("BYE", NUMBER, sip, "app", (2, tag), ""));
    drop(speaker);
    assert_eq!(parameter(&notified(&receiver), "RecordingStatus"), "completed");
    assert_eq!(list(&rig, "front")[0]["state"], "completed");
}

/// Subscribes to a user's mailbox as the PBX.
fn subscribe(rig: &Rig, user: &str) {
    let (sip, party) = (rig.edge.address("udp"), &rig.pbx.sip);
    let text = party.request("SUBSCRIBE", user, sip, "mwi", 1, "");
    let lines =
        "Event: message-summary\r\nAccept: application/simple-message-summary\r\nExpires: 600\r\nContent-Length";
    party.send(sip, &text.replacen("Content-Length", lines, 1));
    let (ok, _) = party.receive("SIP/2.0 200");
    assert_eq!(field(&ok, "Expires"), "600", "{ok}");
}

/// Receives the next NOTIFY that begins so, with these counts, and answers it.
fn shown(rig: &Rig, begins: &str, waiting: &str, count: &str) -> String {
    let (notify, from) = rig.pbx.sip.receive(begins);
    assert_eq!(field(&notify, "Event"), "message-summary", "{notify}");
    assert_eq!(field(&notify, "Content-Type"), "application/simple-message-summary", "{notify}");
    let body = notify.split_once("\r\n\r\n").unwrap().1;
    assert!(body.starts_with(&format!("Messages-Waiting: {waiting}\r\n")), "{notify}");
    assert!(body.ends_with(&format!("Voice-Message: {count} (0/0)\r\n")), "{notify}");
    rig.pbx.sip.send(from, &rig.pbx.sip.answer(&notify, "200 OK", false));
    notify
}

/// Leaves a message with audio as the caller; returns its SID.
fn leave_a_message(rig: &Rig) -> String {
    rig.invite();
    let ok = rig.answered();
    let sid = recording(rig);
    let speaker = speaking(&rig.caller.rtp, media_of(&ok));
    long_enough(rig);
    drop(speaker);
    rig.press(&ok, 11, 4_000);
    rig.hung_up();
    sid
}

#[test]
fn a_subscriber_and_an_extension_show_a_new_message_until_it_is_heard() {
    let rig = rig("mwi = [\"trunk:pbx/200\", \"trunk:pbx\"]\n[voicemail.back]\nmwi = \"trunk:pbx/300\"\n");
    shown(&rig, "NOTIFY sip:200@", "no", "0/0");
    shown(&rig, "NOTIFY sip:300@", "no", "0/0");
    subscribe(&rig, "front");
    let first = shown(&rig, "NOTIFY sip:", "no", "0/0");
    assert_eq!(field(&first, "Subscription-State"), "active;expires=600", "{first}");
    assert_eq!(rig.edge.metric("trunkgate_sip_subscriptions_active"), 1.0);
    let sid = leave_a_message(&rig);
    let second = shown(&rig, "NOTIFY sip:", "yes", "1/0");
    assert_eq!(field(&second, "Call-ID"), field(&first, "Call-ID"), "in its dialog, and there alone");
    assert_eq!(http_with_headers("GET", &format!("{}/v1/recordings/{sid}/audio", rig.edge.url()), &[], "").0, 200);
    shown(&rig, "NOTIFY sip:", "no", "0/1");
    assert_eq!(rig.edge.ask("DELETE", &format!("/v1/recordings/{sid}"), "").0, 200);
    shown(&rig, "NOTIFY sip:", "no", "0/0");
}

#[test]
fn messages_of_an_earlier_process_are_shown_at_the_start() {
    let rig = rig("mwi = \"trunk:pbx/200\"\n");
    shown(&rig, "NOTIFY sip:200@", "no", "0/0");
    leave_a_message(&rig);
    shown(&rig, "NOTIFY sip:200@", "yes", "1/0");
    let Rig { edge, caller, pbx } = rig;
    let rig = Rig { edge: edge.stop_and_start_again(), caller, pbx };
    shown(&rig, "NOTIFY sip:200@", "yes", "1/0");
}

#[test]
fn a_full_mailbox_does_not_answer_until_a_message_is_deleted() {
    let rig = rig("max_messages = 1\n");
    let sid = leave_a_message(&rig);
    let full = || {
        let status = rig.edge.json("/v1/status")["problems"].to_string();
        status.contains("voicemail front is full")
    };
    until("status reports it", || full().then_some(()));
    let sip = rig.edge.address("udp");
    let offer = rig.caller.description(1, "");
    rig.caller.sip.send(sip, &rig.caller.sip.request_with("INVITE", NUMBER, sip, "full", (1, ""), &offer));
    rig.caller.sip.receive("SIP/2.0 480");
    let (status, _) = rig.edge.delete(&format!("/v1/recordings/{sid}"));
    assert!(status < 300, "{status}");
    until("it takes messages again", || (!full()).then_some(()));
}

#[test]
fn silence_is_no_message() {
    let receiver = application(&[("/voicemail", ""), ("/all", "")]);
    let address = receiver.address;
    let tables = format!(
        "[recording]\ndirectory = \"recordings\"\nurl = \"http://{address}/all\"\n[voicemail.front]\nnotify = \"http://{address}/voicemail\"\n"
    );
    let rig = Rig::new(&tables, r#""voicemail:front""#, &[]);
    rig.invite();
    let ok = rig.answered();
    let sid = recording(&rig);
    rig.press(&ok, 11, 4_000);
    rig.hung_up();
    let is_over = |post: &Post| path(post) == "/all" && parameter(post, "RecordingStatus") == "absent";
    until("its end is reported to the receiver of all", || receiver.posts().iter().any(is_over).then_some(()));
    assert!(receiver.posts().iter().all(|post| path(post) == "/all"), "the mailbox's own is not notified");
    let shown = rig.edge.json(&format!("/v1/recordings/{sid}"));
    assert_eq!((&shown["state"], &shown["bytes"]), (&json!("absent"), &json!(0)));
    assert_eq!(walk(&rig.edge.file.with_file_name("recordings")), 0, "no file is kept");
}

#[test]
fn why_and_routes_name_a_mailbox() {
    let rig = rig("");
    let why = rig.edge.json("/v1/why?from=carrier&called=%2B14155550123&caller=%2B14155550100");
    assert_eq!(why["targets"], json!(["voicemail:front"]), "{why}");
    let routes = rig.edge.json("/v1/routes");
    assert_eq!(routes["routes"][0]["connect"], json!(["voicemail:front"]), "{routes}");
}
