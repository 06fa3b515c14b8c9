//! Messages to numbers of the edge: the webhook of the number, messages that its reply sends, and processing before it.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use trunkgate_media::agent::sign_form;

use crate::support::endpoint::{Endpoint, Post};
use crate::support::twilio::{Deed, Twilio};
use crate::support::{PUBLIC_URL, http, until};
use crate::twilio_api::{Rig, TOKEN};
use crate::twilio_messages::{NUMBER, OURS, THEIRS, field, form, from_twilio, of};

/// Document that replies with one message.
const DOCUMENT: &str = "<Response><Message statusCallback=\"/states\">Thanks &amp; bye</Message></Response>";

/// Starts a web application with a media type and a body for each path; requests for other paths fail with 500.
fn application(replies: &'static [(&'static str, &'static str, &'static str)]) -> Endpoint {
    Endpoint::reading(TcpListener::bind("127.0.0.1:0").unwrap(), move |_, post, stream| {
        let found = replies.iter().find(|(known, ..)| *known == path(post).split('?').next().unwrap());
        let (status, kind, body) =
            found.map_or(("500 Broken", "text/plain", ""), |(_, kind, body)| ("200 OK", *kind, *body));
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).is_ok()
    })
}

fn path(post: &Post) -> &str {
    post.line.split(' ').nth(1).unwrap()
}

/// Starts an edge that sends messages through this Twilio server, with further tables.
fn rig(twilio: &Twilio, more: &str) -> Rig {
    Rig::with(PUBLIC_URL, &format!("{NUMBER}{}{more}", twilio.keys("")))
}

/// Sets the webhook for messages to the number.
pub(crate) fn set(rig: &Rig, fields: &[(&str, &str)]) -> Value {
    let number = &rig.get("IncomingPhoneNumbers.json")["incoming_phone_numbers"][0];
    rig.post(&format!("IncomingPhoneNumbers/{}.json", number["sid"].as_str().unwrap()), &form(fields))
}

fn comes(rig: &Rig, sid: &str, body: &str) -> (u16, String) {
    let fields = [("MessageSid", sid), ("From", THEIRS), ("To", OURS), ("Body", body), ("NumMedia", "0")];
    from_twilio(rig, "/sms/inbound", &fields)
}

/// Returns the bodies of all messages to the other party that Twilio accepted.
fn taken(twilio: &Twilio) -> Vec<String> {
    twilio
        .state()
        .asked
        .iter()
        .filter(|asked| asked.method == "POST")
        .map(|asked| asked.field("Body").to_owned())
        .collect()
}

#[test]
fn a_message_reaches_the_url_of_its_number_and_the_reply_is_sent() {
    let app = application(&[("/sms", "text/xml", DOCUMENT), ("/states", "text/plain", "")]);
    let twilio = Twilio::start(|_, _| Deed::Take);
    let rig = rig(&twilio, "");
    let url = format!("http://{}/sms?shop=1", app.address);
    assert_eq!(set(&rig, &[("SmsUrl", &url)])["sms_url"], json!(url));
    let (status, twiml) = comes(&rig, "SMtheirs", "Are you open?");
    assert!(status == 200 && twiml.ends_with("<Response></Response>"), "{twiml}");
    until("the reply", || Some(()).filter(|()| taken(&twilio) == ["Thanks & bye"]));
    let post = app.posts()[0].clone();
    assert_eq!(post.headers["x-twilio-signature"], sign_form(TOKEN, &url, &of(&post)));
    for (name, value) in [
        ("From", THEIRS),
        ("To", OURS),
        ("Body", "Are you open?"),
        ("NumMedia", "0"),
        ("NumSegments", "1"),
        ("SmsStatus", "received"),
        ("AccountSid", crate::twilio_api::SID),
        ("OptOutType", ""),
    ] {
        assert_eq!(field(&post, name), value, "{name}");
    }
    let sid = field(&post, "MessageSid");
    assert_eq!([field(&post, "SmsSid"), field(&post, "SmsMessageSid")], [sid.clone(), sid.clone()]);
    let received = rig.get(&format!("Messages/{sid}.json"));
    assert_eq!((&received["direction"], &received["status"]), (&json!("inbound"), &json!("received")));
    let all = rig.get("Messages.json")["messages"].clone();
    assert_eq!((all.as_array().unwrap().len(), &all[0]["direction"]), (2, &json!("outbound-reply")));
    let asked = twilio.state().asked[0].clone();
    assert_eq!((asked.field("From"), asked.field("To")), (OURS, THEIRS));
    until("the state of the reply", || Some(()).filter(|()| app.posts().iter().any(|post| path(post) == "/states")));
    assert_eq!(comes(&rig, "SMtheirs", "Are you open?").0, 200, "the service repeats itself");
    assert_eq!(comes(&rig, "SMother", "Hello?").0, 200);
    until("the second reply", || Some(()).filter(|()| taken(&twilio).len() == 2));
    assert_eq!(app.posts().iter().filter(|post| path(post) == "/sms?shop=1").count(), 2);
    let log = rig.edge.whole_log();
    assert!(!log.contains(THEIRS) && !log.contains("Are you open"), "{log}");
}

#[test]
fn stop_is_respected_first_and_passed_on() {
    let app = application(&[("/sms", "text/xml", "<Response><Message>Too late</Message></Response>")]);
    let twilio = Twilio::start(|_, _| Deed::Take);
    let rig = rig(&twilio, &format!("[messages]\ninbound = \"http://{}/sms\"\n", app.address));
    let kinds = ["Stop.", "START", "Hello"].map(|word| {
        assert_eq!(comes(&rig, &format!("SM{word}"), word).0, 200);
        let posts =
            until(word, || Some(app.posts()).filter(|posts| posts.iter().any(|post| field(post, "Body") == word)));
        field(posts.last().unwrap(), "OptOutType")
    });
    assert_eq!(kinds, ["STOP", "START", ""]);
    until("two replies", || Some(()).filter(|()| taken(&twilio).len() == 2));
    let sent = rig.get("Messages.json?From=%2B14155550100")["messages"].as_array().unwrap().len();
    assert_eq!(sent, 2, "none to STOP");
}

#[test]
fn redirects_texts_actions_and_fallbacks_are_carried_out() {
    let app = application(&[
        (
            "/first",
            "text/xml",
            "<Response><Message>one</Message><Redirect method=\"GET\">then/next</Redirect></Response>",
        ),
        ("/then/next", "text/plain; charset=utf-8", "two"),
        ("/action", "text/xml", "<Response><Message action=\"done\" method=\"GET\">three</Message></Response>"),
        ("/done", "text/plain", ""),
        ("/empty", "text/xml", "<Response/>"),
        ("/html", "application/json", "{}"),
        ("/fallback", "text/plain", "sorry"),
    ]);
    let twilio = Twilio::start(|_, _| Deed::Take);
    let rig = rig(&twilio, "");
    let url = |path: &str| format!("http://{}{path}", app.address);
    let mut sent = Vec::new();
    for (path, replies) in [
        ("/first", &["one", "two"][..]),
        ("/action", &["three"]),
        ("/empty", &[]),
        ("/html", &["sorry"]),
        ("/gone", &["sorry"]),
    ] {
        set(&rig, &[("SmsUrl", &url(path)), ("SmsFallbackUrl", &url("/fallback"))]);
        assert_eq!(comes(&rig, &format!("SM{path}"), path).0, 200);
        sent.extend(replies.iter().map(|reply| (*reply).to_owned()));
        until(path, || {
            Some(()).filter(|()| taken(&twilio) == sent && app.posts().iter().any(|post| field(post, "Body") == path))
        });
    }
    let posts =
        until("the action", || Some(app.posts()).filter(|all| all.iter().any(|post| path(post).starts_with("/done"))));
    let asked = |start: &str| posts.iter().find(|post| path(post).starts_with(start)).unwrap().clone();
    assert!(asked("/then/next?").line.starts_with("GET ") && asked("/done?").line.contains("MessageStatus=queued"));
    let fallbacks: Vec<String> =
        posts.iter().filter(|post| path(post) == "/fallback").map(|post| field(post, "ErrorCode")).collect();
    assert_eq!(fallbacks, ["12300", "11200"]);
}

#[test]
fn a_webhook_that_fails_is_a_problem_and_is_shown_with_its_answer_until_it_succeeds() {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    let app = Endpoint::reading(TcpListener::bind("127.0.0.1:0").unwrap(), move |_, _, stream| {
        let (status, body) =
            if well.load(Ordering::SeqCst) { ("200 OK", "<Response/>") } else { ("403 Forbidden", "no such tenant") };
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).is_ok()
    });
    let twilio = Twilio::start(|_, _| Deed::Take);
    let rig = rig(&twilio, "");
    set(&rig, &[("SmsUrl", &format!("http://user:hidden@{}/sms?key=secret", app.address))]);
    let problem = || {
        let status = rig.edge.json("/v1/status");
        let all = status["problem_details"].as_array().unwrap();
        all.iter().find(|problem| problem["kind"] == "message_webhook").cloned()
    };
    for n in 1..=3 {
        assert_eq!(comes(&rig, &format!("SM{n}"), "Hello").0, 200);
        let plural = if n == 1 { "1 text message".to_owned() } else { format!("{n} text messages") };
        let headline = format!("webhook of {OURS} failed for the last {plural}");
        until("the problem", || problem().filter(|problem| problem["headline"] == headline));
    }
    let evidence = problem().unwrap()["evidence"].as_str().unwrap().to_owned();
    assert!(evidence.contains("error 11200") && evidence.contains("403") && !evidence.contains("secret"), "{evidence}");
    let shown = rig.edge.json("/v1/api")["message_webhooks"].clone();
    let requests = shown.as_array().unwrap();
    assert_eq!((requests.len(), &requests[0]["number"], &requests[0]["code"]), (3, &json!(OURS), &json!(11_200)));
    let webhook = &requests[0]["webhook"];
    assert_eq!((&webhook["body"], &webhook["tries"][0]["status"]), (&json!("no such tenant"), &json!(403)));
    assert!(!["secret", "hidden", "Hello", THEIRS].iter().any(|word| shown.to_string().contains(word)), "{shown}");
    is_well.store(true, Ordering::SeqCst);
    assert_eq!(comes(&rig, "SM4", "Hello").0, 200);
    until("no problem", || problem().is_none().then_some(()));
}

#[test]
fn replies_go_where_messages_may_go() {
    let app = application(&[(
        "/sms",
        "text/xml",
        "<Response><Message to=\"+18095551234\">premium</Message><Message>back</Message></Response>",
    )]);
    let twilio = Twilio::start(|_, _| Deed::Take);
    let more = format!("[sms]\nallow_prefixes = [\"+1415\"]\n[messages]\ninbound = \"http://{}/sms\"\n", app.address);
    let rig = rig(&twilio, &more);
    let premium = [("MessageSid", "SM1"), ("From", "+882165551234"), ("To", OURS), ("Body", "Hello")];
    assert_eq!(from_twilio(&rig, "/sms/inbound", &premium).0, 200);
    until("the first webhook", || Some(()).filter(|()| app.posts().len() == 1));
    assert_eq!(comes(&rig, "SM2", "Hello").0, 200);
    until("the reply", || Some(()).filter(|()| taken(&twilio) == ["back"]));
    assert_eq!(
        rig.refused("POST", "Messages.json", &form(&[("To", "+18095551234"), ("From", OURS), ("Body", "x")])).1,
        21_408
    );
    assert_eq!(rig.edge.whole_log().matches("(21408)").count(), 3, "{}", rig.edge.log());
}

#[test]
fn a_short_code_may_opt_out_and_a_name_gets_no_reply() {
    let app = application(&[("/sms", "text/plain", "hello")]);
    let twilio = Twilio::start(|_, _| Deed::Take);
    let rig = rig(&twilio, &format!("[messages]\ninbound = \"http://{}/sms\"\n", app.address));
    let says = |sid: &str, from: &str, body: &str| {
        from_twilio(&rig, "/sms/inbound", &[("MessageSid", sid), ("From", from), ("To", OURS), ("Body", body)]).0
    };
    let texts = [("72727", "STOP"), ("72727", "Hello"), ("ACME", "Sale"), ("sip:x\"<b>", "Hi"), ("72728", "Hello")];
    for (n, (from, body)) in texts.into_iter().enumerate() {
        assert_eq!(says(&format!("SM{n}"), from, body), 200);
        until("its webhook", || Some(()).filter(|()| app.posts().len() == n + 1));
    }
    until("the reply", || Some(()).filter(|()| !taken(&twilio).is_empty()));
    let recipients: Vec<String> = twilio.state().asked.iter().map(|asked| asked.field("To").to_owned()).collect();
    assert_eq!(recipients, ["72728"]);
    let long = "5".repeat(65);
    for (sid, from) in [("SM", long.as_str()), (long.as_str(), THEIRS), ("SM", "a\r\nX: y"), ("S\u{1b}M", THEIRS)] {
        assert_eq!(says(sid, from, "Hello"), 400, "{sid:?} {from:?}");
    }
}

#[test]
fn two_programs_that_answer_each_other_end() {
    let app = application(&[("/sms", "text/plain", "Thanks for your message")]);
    let twilio = Twilio::start(|_, _| Deed::Take);
    let rig = rig(&twilio, &format!("[messages]\ninbound = \"http://{}/sms\"\n", app.address));
    for n in 0..18 {
        assert_eq!(comes(&rig, &format!("SM{n}"), "I am out of office").0, 200);
        until("its webhook", || Some(()).filter(|()| app.posts().len() == n + 1));
    }
    let failed = |rig: &Rig| {
        let all = rig.get("Messages.json?To=%2B14155550199")["messages"].clone();
        all.as_array().unwrap().iter().filter(|message| message["error_code"] == 14_107).count()
    };
    until("the last reply", || Some(()).filter(|()| failed(&rig) == 3));
    until("the others", || Some(()).filter(|()| taken(&twilio).len() == 15));
    assert!(rig.edge.whole_log().contains("loop of automatic replies"), "{}", rig.edge.log());
}

#[test]
fn callbacks_of_a_reply_go_where_its_application_may_go() {
    let app = application(&[("/sms", "text/xml", DOCUMENT)]);
    let (twilio, receiver) = (Twilio::start(|_, _| Deed::Take), Endpoint::taking());
    // The application may only reach public addresses; the webhook is that of `[messages]`.
    let more = format!("[messages]\ninbound = \"http://{}/sms\"\n", app.address);
    let config = format!(
        "allow_private = true\n[app.ivr]\nurl = \"https://ivr.example.com/\"\n[[number]]\nnumber = \"{OURS}\"\n\
         app = \"ivr\"\nfrom = \"carrier\"\n{}{more}",
        twilio.keys("")
    );
    let rig = Rig::with(PUBLIC_URL, &config);
    assert_eq!(comes(&rig, "SM1", "Hello").0, 200);
    until("the reply", || Some(()).filter(|()| taken(&twilio).len() == 1));
    let metrics = || rig.edge.get("/metrics").1;
    let retried = "trunkgate_callbacks_total{app=\"api:messages\",result=\"retried\"} 1";
    until("attempts", || metrics().contains(retried).then_some(()));
    assert!(app.posts().iter().all(|post| path(post) != "/states"), "{:?}", app.posts());
    // URLs in requests are validated by the rules of [api].
    let callback = format!("http://{}/states", receiver.address);
    let fields = [("To", "+14155550198"), ("From", OURS), ("Body", "x"), ("StatusCallback", callback.as_str())];
    rig.post("Messages.json", &form(&fields));
    until("its report", || Some(()).filter(|()| !receiver.posts().is_empty()));
}

#[test]
fn a_webhook_that_hangs_delays_no_other_number() {
    let app = application(&[("/sms", "text/plain", "hello")]);
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let twilio = Twilio::start(|_, _| Deed::Take);
    let number = "[[number]]\nnumber = \"+14155550101\"\n";
    let inbound = format!("[messages]\ninbound = \"http://{}/sms\"\n", hung.local_addr().unwrap());
    let rig = rig(&twilio, &format!("{number}{inbound}"));
    let numbers = rig.get("IncomingPhoneNumbers.json?PhoneNumber=%2B14155550101");
    let sid = numbers["incoming_phone_numbers"][0]["sid"].as_str().unwrap();
    rig.post(&format!("IncomingPhoneNumbers/{sid}.json"), &form(&[("SmsUrl", &format!("http://{}/sms", app.address))]));
    for n in 0..80 {
        let from = format!("+14155552{n:03}");
        let fields = [("MessageSid", &*format!("SM{n}")), ("From", &from), ("To", OURS), ("Body", "Hello")];
        assert_eq!(from_twilio(&rig, "/sms/inbound", &fields).0, 200);
    }
    let fields = [("MessageSid", "SMgood"), ("From", THEIRS), ("To", "+14155550101"), ("Body", "Hello")];
    assert_eq!(from_twilio(&rig, "/sms/inbound", &fields).0, 200);
    until("the reply", || Some(()).filter(|()| taken(&twilio) == ["hello"]));
}

#[test]
fn a_message_is_passed_on_again_where_the_edge_died_meanwhile() {
    let app = Endpoint::doing(|n, stream| {
        if n == 0 {
            // There is no response before the edge is killed.
            std::thread::park();
        }
        let body = "noted";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).is_ok()
    });
    let twilio = Twilio::start(|_, _| Deed::Take);
    let rig = rig(&twilio, &format!("[messages]\ninbound = \"http://{}/sms\"\n", app.address));
    assert_eq!(comes(&rig, "SM1", "Hello").0, 200);
    until("a first request", || Some(()).filter(|()| !app.posts().is_empty()));
    let rig = rig.restart();
    until("the reply", || Some(()).filter(|()| taken(&twilio) == ["noted"]));
    let sids: Vec<String> = app.posts().iter().map(|post| field(post, "MessageSid")).collect();
    assert!(sids.len() == 2 && sids[0] == sids[1], "{sids:?}");
    drop(rig);
}

#[test]
fn a_message_to_another_number_or_of_a_stranger_is_none_of_the_edges() {
    let app = application(&[("/sms", "text/plain", "hello")]);
    let twilio = Twilio::start(|_, _| Deed::Take);
    let inbound = format!("[messages]\ntoken = \"shared-secret\"\ninbound = \"http://{}/sms\"\n", app.address);
    let rig = rig(&twilio, &inbound);
    let fields = [("MessageSid", "SM1"), ("From", THEIRS), ("To", "+14155550177"), ("Body", "Hello")];
    assert_eq!(from_twilio(&rig, "/sms/inbound", &fields).0, 200);
    let log = rig.edge.whole_log();
    assert!(log.contains("was discarded: its recipient is not a [[number]]") && !log.contains("+14155550177"), "{log}");
    let fields = form(&[("MessageSid", "SM2"), ("From", THEIRS), ("To", OURS), ("Body", "Hi")]);
    let post = |token: &str| {
        let token = format!("Bearer {token}");
        http("POST", &format!("{}/sms/inbound", rig.edge.url()), &[("authorization", &token)], &fields).0
    };
    assert_eq!([post("wrong"), post("shared-secret")], [403, 200]);
    until("the reply", || Some(()).filter(|()| taken(&twilio) == ["hello"]));
    assert_eq!(app.posts().len(), 1);
    assert_eq!(rig.get("Messages.json")["messages"].as_array().unwrap().len(), 2);
}
