//! Messages of the Twilio-compatible API: through a Twilio account or another messaging service, with their delivery
//! reports.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use trunkgate_media::agent::sign_form;

use crate::support::endpoint::{Endpoint, Post, ok, say};
use crate::support::twilio::{self, Deed, Twilio};
use crate::support::{PUBLIC_URL, http, until};
use crate::twilio_api::{Rig, TOKEN};

pub(crate) const OURS: &str = "+14155550100";
pub(crate) const THEIRS: &str = "+14155550199";
pub(crate) const NUMBER: &str = "allow_private = true\n[[number]]\nnumber = \"+14155550100\"\n";

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

pub(crate) fn of(post: &Post) -> Vec<(String, String)> {
    form_urlencoded::parse(post.body.as_bytes()).into_owned().collect()
}

pub(crate) fn field(post: &Post, name: &str) -> String {
    of(post).into_iter().find(|(known, _)| known == name).map(|(_, value)| value).unwrap_or_default()
}

/// Starts an edge that sends through another messaging service.
pub(crate) fn with_service(service: &Endpoint) -> Rig {
    let url = format!("[messages]\nurl = \"http://{}/send\"\ntoken = \"shared-secret\"\n", service.address);
    Rig::with(PUBLIC_URL, &format!("{NUMBER}{url}"))
}

fn send(rig: &Rig, more: &[(&str, &str)]) -> Value {
    let fields = [&[("To", "(415) 555-0199"), ("From", OURS), ("Body", "Hello")], more].concat();
    let (status, message) = rig.ask("POST", "Messages.json", &form(&fields));
    assert_eq!((status, &message["status"]), (201, &json!("queued")), "{message}");
    message
}

fn path_of(message: &Value) -> String {
    format!("Messages/{}.json", message["sid"].as_str().unwrap())
}

fn reaches(rig: &Rig, message: &Value, status: &str) -> Value {
    until(status, || Some(rig.get(&path_of(message))).filter(|message| message["status"] == status))
}

/// Posts a form to the edge as Twilio does, with its signature.
pub(crate) fn from_twilio(rig: &Rig, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let pairs: Vec<(String, String)> = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let signature = sign_form(twilio::TOKEN, &format!("https://edge.example.com{path}"), &pairs);
    http("POST", &format!("{}{path}", rig.edge.url()), &[("x-twilio-signature", &signature)], &form(fields))
}

#[test]
fn a_message_goes_through_twilio_and_its_states_are_passed_on() {
    let (twilio, receiver) = (Twilio::start(|_, _| Deed::Take), Endpoint::taking());
    let rig = Rig::with(PUBLIC_URL, &format!("{NUMBER}{}", twilio.keys("")));
    let callback = format!("http://{}/states", receiver.address);
    let message = send(&rig, &[("StatusCallback", &callback)]);
    for (name, value) in [
        ("to", json!(THEIRS)),
        ("from", json!(OURS)),
        ("body", json!("Hello")),
        ("direction", json!("outbound-api")),
        ("num_segments", json!("1")),
        ("num_media", json!("0")),
        ("date_sent", Value::Null),
        ("price", Value::Null),
        ("error_code", Value::Null),
    ] {
        assert_eq!(message[name], value, "{name}");
    }
    let sent = reaches(&rig, &message, "sent");
    assert!(sent["date_sent"].as_str().unwrap().ends_with(" +0000"), "{sent}");
    let (asked, theirs) = {
        let state = twilio.state();
        (state.asked[0].clone(), state.messages[0]["sid"].as_str().unwrap().to_owned())
    };
    let fields =
        [("To", THEIRS), ("From", OURS), ("Body", "Hello"), ("StatusCallback", "https://edge.example.com/sms/status")];
    assert!(fields.iter().all(|(name, value)| asked.field(name) == *value), "{asked:?}");
    let delivered = [("MessageSid", theirs.as_str()), ("MessageStatus", "delivered")];
    let unsigned = http("POST", &format!("{}/sms/status", rig.edge.url()), &[], &form(&delivered));
    assert_eq!(unsigned.0, 403, "{unsigned:?}");
    assert_eq!(from_twilio(&rig, "/sms/status", &delivered).0, 204);
    assert_eq!(from_twilio(&rig, "/sms/status", &[("MessageSid", "SM0"), ("MessageStatus", "sent")]).0, 404);
    reaches(&rig, &message, "delivered");
    let posts = until("both states", || Some(receiver.posts()).filter(|posts| posts.len() == 2));
    let states: Vec<String> = posts.iter().map(|post| field(post, "MessageStatus")).collect();
    assert_eq!(states, ["sent", "delivered"]);
    for post in &posts {
        assert_eq!(field(post, "MessageSid"), message["sid"].as_str().unwrap(), "ours, not the service's");
        assert_eq!(post.headers["x-twilio-signature"], sign_form(TOKEN, &callback, &of(post)));
    }
    let listed = |query: &str| rig.get(&format!("Messages.json?{query}"))["messages"].as_array().unwrap().len();
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    assert_eq!([listed(""), listed("To=4155550199"), listed("From=%2B14155550100")], [1, 1, 1]);
    assert_eq!([listed("To=%2B14155550111"), listed("DateSent%3C=2026-01-01")], [0, 0]);
    assert_eq!(listed(&format!("DateSent={today}")), 1);
    assert_eq!(rig.ask("DELETE", &path_of(&message), ""), (204, Value::Null));
    assert_eq!(rig.refused("GET", &path_of(&message), ""), (404, 20_404));
    assert!(!rig.edge.whole_log().contains(THEIRS), "numbers are masked");
}

#[test]
fn states_wait_for_their_receiver_in_order_also_over_a_restart() {
    let twilio = Twilio::start(|_, _| Deed::Take);
    let takes = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&takes);
    let receiver = Endpoint::doing(move |_, stream| match is_open.load(Ordering::SeqCst) {
        true => ok(stream),
        false => say(stream, "503 Service Unavailable", ""),
    });
    let rig = Rig::with(PUBLIC_URL, &format!("{NUMBER}{}", twilio.keys("")));
    let message = send(&rig, &[("StatusCallback", &format!("http://{}/states", receiver.address))]);
    reaches(&rig, &message, "sent");
    let theirs = twilio.state().messages[0]["sid"].as_str().unwrap().to_owned();
    let delivered = [("MessageSid", theirs.as_str()), ("MessageStatus", "delivered")];
    assert_eq!(from_twilio(&rig, "/sms/status", &delivered).0, 204);
    until("an attempt", || (!receiver.posts().is_empty()).then_some(()));
    let waiting = "trunkgate_callbacks_waiting{app=\"api:messages\"} 2";
    until("both wait", || rig.edge.get("/metrics").1.contains(waiting).then_some(()));
    takes.store(true, Ordering::SeqCst);
    let _rig = rig.restart();
    let posts = until("both states", || {
        Some(receiver.posts())
            .filter(|posts| posts.last().is_some_and(|last| field(last, "MessageStatus") == "delivered"))
    });
    let tokens: Vec<(String, &str)> =
        posts.iter().map(|post| (field(post, "MessageStatus"), &*post.headers["i-twilio-idempotency-token"])).collect();
    let (last, earlier) = tokens.split_last().unwrap();
    assert!(earlier.len() >= 2 && earlier.iter().all(|one| *one == earlier[0] && one.0 == "sent"), "{tokens:?}");
    assert_ne!(last.1, earlier[0].1);
}

#[test]
fn receivers_that_hang_delay_no_report_to_another() {
    let twilio = Twilio::start(|_, _| Deed::Take);
    // The kernel accepts connections, but no process reads from them.
    let hung = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let receiver = Endpoint::taking();
    let rig = Rig::with(PUBLIC_URL, &format!("{NUMBER}{}", twilio.keys("")));
    for n in 0..60 {
        let to = format!("+14155550{n:03}");
        let callback = format!("http://{}/hang", hung[n % hung.len()].local_addr().unwrap());
        send(&rig, &[("To", &to), ("StatusCallback", &callback)]);
    }
    let waiting = "trunkgate_callbacks_waiting{app=\"api:messages\"} 60";
    let metrics = || rig.edge.get("/metrics").1;
    until("all hang", || metrics().contains(waiting).then_some(()));
    send(&rig, &[("StatusCallback", &format!("http://{}/states", receiver.address))]);
    until("the report", || receiver.posts().first().cloned());
    let delivered = "trunkgate_callbacks_total{app=\"api:messages\",result=\"delivered\"} 1";
    until("it is counted", || metrics().contains(delivered).then_some(()));
    assert!(metrics().contains(waiting), "the others still hang");
}

#[test]
fn a_service_of_ones_own_takes_a_message_by_its_sid_and_reports_with_the_token() {
    let service =
        Endpoint::doing(|n, stream| if n == 0 { say(stream, "503 Service Unavailable", "") } else { ok(stream) });
    let rig = with_service(&service);
    let message = send(&rig, &[]);
    reaches(&rig, &message, "sent");
    let posts = service.posts();
    assert_eq!(posts.len(), 2);
    for post in &posts {
        assert_eq!(post.headers["authorization"], "Bearer shared-secret");
        let expected = [
            ("To", THEIRS),
            ("From", OURS),
            ("Body", "Hello"),
            ("MessageSid", message["sid"].as_str().unwrap()),
            ("StatusCallback", "https://edge.example.com/sms/status"),
        ];
        assert_eq!(of(post), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    let report = |token: &str, status: &str| {
        let fields =
            [("MessageSid", message["sid"].as_str().unwrap()), ("MessageStatus", status), ("ErrorCode", "30005")];
        let token = format!("Bearer {token}");
        http("POST", &format!("{}/sms/status", rig.edge.url()), &[("authorization", &token)], &form(&fields)).0
    };
    assert_eq!([report("other", "undelivered"), report("shared-secret", "lost")], [403, 400]);
    assert_eq!(report("shared-secret", "received"), 400, "of messages to the edge alone");
    assert_eq!(report("shared-secret", "undelivered"), 204);
    let undelivered = reaches(&rig, &message, "undelivered");
    assert_eq!(undelivered["error_code"], 30_005);
    assert_eq!(undelivered["error_message"], "Unknown destination handset");
    assert_eq!(report("shared-secret", "sent"), 204);
    assert_eq!(rig.get(&path_of(&message))["status"], "undelivered", "states go forwards only");
}

#[test]
fn what_waits_is_sent_after_a_restart() {
    let service =
        Endpoint::doing(
            |n, stream| if n == 0 { say(stream, "503 Service Unavailable", "retry-after: 5\r\n") } else { ok(stream) },
        );
    let rig = with_service(&service);
    let message = send(&rig, &[]);
    until("a first attempt", || Some(()).filter(|()| !service.posts().is_empty()));
    assert_eq!(rig.refused("DELETE", &path_of(&message), ""), (409, 20_009));
    let rig = rig.restart();
    reaches(&rig, &message, "sent");
    let sids: Vec<String> = service.posts().iter().map(|post| field(post, "MessageSid")).collect();
    assert!(sids.len() >= 2 && sids.iter().all(|sid| message["sid"] == *sid), "{sids:?}");
}

#[test]
fn parameters_that_ask_for_what_is_done_anyway_are_taken() {
    let twilio = Twilio::start(|_, _| Deed::Take);
    let rig = Rig::with(PUBLIC_URL, &format!("{NUMBER}{}", twilio.keys("")));
    send(
        &rig,
        &[("ShortenUrls", "false"), ("SmartEncoded", "True"), ("ProvideFeedback", "False"), ("ForceDelivery", "false")],
    );
    send(&rig, &[("ValidityPeriod", "14400"), ("SmartEncoded", "false")]);
    send(&rig, &[("ValidityPeriod", "60"), ("ProvideFeedback", "true"), ("RiskCheck", "disable")]);
    let ignored = |name: &str| rig.edge.get("/v1/status").1.contains(name);
    assert!(ignored("ProvideFeedback") && !ignored("ValidityPeriod"), "a time limit is kept");
    let of_service = send(&rig, &[("MessagingServiceSid", &format!("MG{}", "0".repeat(32)))]);
    assert_eq!(of_service["from"], json!(OURS), "the number is the sender");
    let refused = |name: &str, value: &str| {
        rig.refused("POST", "Messages.json", &form(&[("To", THEIRS), ("From", OURS), ("Body", "x"), (name, value)]))
    };
    for (name, value) in [("ShortenUrls", "true"), ("MaxPrice", "1"), ("SendAt", "2026-12-01T00:00:00Z")] {
        assert_eq!(refused(name, value), (501, 20_501), "{name}");
    }
    assert_eq!([refused("ValidityPeriod", "soon"), refused("ValidityPeriod", "36001")], [(400, 20_001); 2]);
}

#[test]
fn a_refusal_of_the_service_is_the_error_of_the_message() {
    let twilio = Twilio::start(|_, _| Deed::Refuse(400, 21_614));
    let rig = Rig::with(PUBLIC_URL, &format!("{NUMBER}{}", twilio.keys("")));
    let message = send(&rig, &[]);
    let failed = reaches(&rig, &message, "failed");
    assert_eq!((&failed["error_code"], &failed["date_sent"]), (&json!(21_614), &Value::Null));
}

#[test]
fn who_says_stop_gets_no_message_until_start() {
    let twilio = Twilio::start(|_, _| Deed::Take);
    let rig = Rig::with(PUBLIC_URL, &format!("{NUMBER}{}", twilio.keys("")));
    let says = |word: &str| from_twilio(&rig, "/sms/inbound", &[("From", THEIRS), ("To", OURS), ("Body", word)]).0;
    let body = form(&[("To", THEIRS), ("From", OURS), ("Body", "Hello")]);
    assert_eq!(says("STOP"), 200);
    assert_eq!(rig.refused("POST", "Messages.json", &body), (400, 21_610));
    let message = rig.ask("POST", "Messages.json", &body).1["message"].clone();
    assert!(message.as_str().unwrap().ends_with(THEIRS), "{message}");
    assert_eq!(rig.get("Messages.json?To=%2B14155550199")["messages"], json!([]));
    assert_eq!(says("START"), 200);
    reaches(&rig, &send(&rig, &[]), "sent");
}

#[test]
fn what_cannot_be_sent_has_twilios_code() {
    let service = Endpoint::taking();
    let rig = with_service(&service);
    let long = "x".repeat(1601);
    for (fields, expected) in [
        (&[("From", OURS), ("Body", "x")][..], (400, 21_604)),
        (&[("To", "12"), ("From", OURS), ("Body", "x")], (400, 21_211)),
        (&[("To", THEIRS), ("Body", "x")], (400, 21_603)),
        (&[("To", THEIRS), ("From", "abc"), ("Body", "x")], (400, 21_212)),
        (&[("To", THEIRS), ("From", "+14155550177"), ("Body", "x")], (400, 21_606)),
        (&[("To", OURS), ("From", OURS), ("Body", "x")], (400, 21_266)),
        (&[("To", THEIRS), ("From", OURS)], (400, 21_602)),
        (&[("To", THEIRS), ("From", OURS), ("Body", &long)], (400, 21_617)),
        (&[("To", THEIRS), ("From", OURS), ("Body", "x"), ("StatusCallback", "here")], (400, 21_609)),
        (&[("To", THEIRS), ("From", OURS), ("Body", "x"), ("MediaUrl", "https://a.example/")], (501, 20_501)),
        (
            &[("To", THEIRS), ("MessagingServiceSid", "MG0123456789abcdef0123456789abcdef"), ("Body", "x")],
            (400, 21_701),
        ),
        (&[("To", THEIRS), ("MessagingServiceSid", "x"), ("Body", "x")], (400, 21_701)),
        (&[("To", THEIRS), ("From", OURS), ("MessagingServiceSid", "x"), ("Body", "x")], (400, 21_701)),
        // This is `Body=Hi & your PIN is 1234` in a form without encoding.
        (&[("To", THEIRS), ("From", OURS), ("Body", "Hi "), (" your PIN is 1234", "")], (400, 20_001)),
        (&[("To", THEIRS), ("From", OURS), ("Body", "Tom"), ("Jerry", "")], (400, 20_001)),
    ] {
        assert_eq!(rig.refused("POST", "Messages.json", &form(fields)), expected, "{fields:?}");
    }
    assert_eq!(rig.refused("GET", "Messages/SM0.json", ""), (404, 20_404));
    assert_eq!(rig.refused("GET", "Messages/SM0/Media.json", ""), (501, 20_501));
    assert_eq!(rig.refused("PUT", "Messages.json", ""), (405, 20_004));
    assert!(service.posts().is_empty());
    let without = Rig::new(NUMBER);
    let (status, answer) =
        without.ask("POST", "Messages.json", &form(&[("To", THEIRS), ("From", OURS), ("Body", "x")]));
    assert!(status == 400 && answer["message"].as_str().unwrap().contains("[twilio]"), "{answer}");
}
