//! Callbacks of applications through the real binary: each is delivered in order and with the same token, despite
//! failures of the receiver and kills of the edge.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trunkgate_media::agent::sign_form;

use crate::support::calls::{NUMBER, Phone};
use crate::support::endpoint::{Endpoint, Post, ok, say};
use crate::support::sip::to_tag;
use crate::support::{Process, closed_address, config, until};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Document that makes each call busy, so that callbacks report initiated, ringing and busy.
const BUSY: &[u8] = b"<Response><Reject reason=\"busy\"/></Response>";
const STATUSES: [&str; 3] = ["initiated", "ringing", "busy"];

/// Returns the tables of an application with this callback receiver.
fn app(name: &str, receiver: SocketAddr) -> String {
    format!(
        "[app.{name}]\nfile = \"busy.xml\"\nallow_private = true\nstatus_callback = \"http://{receiver}/status?app={name}\"\n\
         status_callback_events = [\"initiated\", \"ringing\", \"answered\", \"completed\"]\n"
    )
}

/// Starts an edge with an application for each phone.
fn start(apps: &[(&str, &Phone, SocketAddr)]) -> Process {
    let mut tables = format!("[api]\nauth_token = \"{TOKEN}\"\n");
    for (name, phone, receiver) in apps {
        tables += &phone.trunk(name);
        tables += &app(name, *receiver);
    }
    for (name, ..) in apps {
        tables += &format!("[[route]]\nfrom = [\"{name}\"]\nconnect = [\"app:{name}\"]\n");
    }
    Process::start_with_documents(&config(&tables), &[("busy.xml", BUSY)])
}

/// Makes a call, which is rejected as busy.
fn call(edge: &Process, phone: &Phone, id: &str) {
    let sip = edge.address("udp");
    phone.sip.send(sip, &phone.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &phone.description(1, "")));
    let (busy, _) = phone.sip.receive("SIP/2.0 486");
    phone.sip.send(sip, &phone.sip.request_with("ACK", NUMBER, sip, id, (1, to_tag(&busy)), ""));
}

fn form(post: &Post) -> Vec<(String, String)> {
    form_urlencoded::parse(post.body.as_bytes()).into_owned().collect()
}

fn parameter(post: &Post, name: &str) -> String {
    form(post).into_iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name} in {post:?}")).1
}

fn token(post: &Post) -> &str {
    &post.headers["i-twilio-idempotency-token"]
}

fn waiting(edge: &Process, app: &str) -> f64 {
    edge.metric(&format!("trunkgate_callbacks_waiting{{app=\"{app}\"}}"))
}

fn counted(edge: &Process, app: &str, result: &str) -> f64 {
    edge.metric(&format!("trunkgate_callbacks_total{{app=\"{app}\",result=\"{result}\"}}"))
}

/// Waits until all callbacks of one call are queued and were retried.
fn all_wait(edge: &Process) {
    until("three wait", || edge.get("/metrics").1.contains("callbacks_waiting{app=\"ivr\"} 3").then_some(()));
    let before = counted(edge, "ivr", "retried");
    until("they are retried", || (counted(edge, "ivr", "retried") >= before + 2.0).then_some(()));
}

/// Checks the callbacks of one call: each arrived once, and in order.
fn delivered(edge: &Process, posts: &[Post]) {
    let statuses: Vec<String> = posts.iter().map(|post| parameter(post, "CallStatus")).collect();
    assert_eq!(statuses, STATUSES);
    for (number, post) in posts.iter().enumerate() {
        assert_eq!(parameter(post, "SequenceNumber"), number.to_string());
        assert!(parameter(post, "Timestamp").ends_with(" +0000"));
        assert_eq!(parameter(post, "CallbackSource"), "call-progress-events");
    }
    assert!(token(&posts[0]) != token(&posts[1]) && token(&posts[1]) != token(&posts[2]));
    until("none waits", || (waiting(edge, "ivr") == 0.0).then_some(()));
    assert_eq!(counted(edge, "ivr", "delivered"), 3.0);
}

#[test]
fn a_receiver_that_comes_back_gets_them_in_order_with_the_same_token_and_time() {
    let phone = Phone::new("127.0.0.2");
    let address = closed_address();
    let edge = start(&[("ivr", &phone, address)]);
    call(&edge, &phone, "first");
    all_wait(&edge);
    let problems = until("status has the problem", || {
        Some(edge.json("/v1/status")["problems"].to_string()).filter(|text| text.contains("app ivr"))
    });
    assert!(problems.contains("app ivr: callbacks are not delivered: error 11205"), "{problems}");
    // The receiver is back, and fails twice more.
    let receiver = Endpoint::on(TcpListener::bind(address).unwrap(), |number, stream| match number {
        0 | 1 => say(stream, "500 Internal Server Error", ""),
        _ => ok(stream),
    });
    let posts = until("all have come", || Some(receiver.posts()).filter(|posts| posts.len() == 5));
    for post in &posts[1..3] {
        assert_eq!((token(post), &post.body), (token(&posts[0]), &posts[0].body), "the same in each attempt");
    }
    delivered(&edge, &posts[2..]);
    let url = format!("http://{address}/status?app=ivr");
    for post in &posts {
        assert_eq!(post.headers["x-twilio-signature"], sign_form(TOKEN, &url, &form(post)));
    }
    assert!(!edge.json("/v1/status")["problems"].to_string().contains("app ivr"));
    let trace = edge.get(&format!("/v1/calls/{}/trace.txt", edge.sid())).1;
    for part in ["500 after", "will be retried", "200 after", "status POST"] {
        assert!(trace.contains(part), "no {part} in {trace}");
    }
}

#[test]
fn what_a_killed_edge_had_not_delivered_is_delivered_by_the_next() {
    let phone = Phone::new("127.0.0.2");
    let takes = Arc::new(AtomicBool::new(false));
    let is_taken = Arc::clone(&takes);
    let receiver = Endpoint::doing(move |_, stream| match is_taken.load(Ordering::SeqCst) {
        true => ok(stream),
        false => say(stream, "503 Service Unavailable", ""),
    });
    let edge = start(&[("ivr", &phone, receiver.address)]);
    call(&edge, &phone, "first");
    all_wait(&edge);
    let edge = edge.kill_and_start_again();
    takes.store(true, Ordering::SeqCst);
    let is_last = |post: &Post| parameter(post, "CallStatus") == "busy";
    let posts = until("all have come", || Some(receiver.posts()).filter(|posts| posts.iter().any(is_last)));
    let (before, last) = posts.split_at(posts.len() - 2);
    assert!(before.len() >= 3 && before.iter().all(|post| token(post) == token(&posts[0])), "{posts:?}");
    delivered(&edge, &[&before[before.len() - 1..], last].concat());
    // No callback is left for another start.
    let edge = edge.stop_and_start_again();
    until("the applications are known", || {
        edge.get("/metrics").1.contains("trunkgate_calls_unstored_total").then_some(())
    });
    assert!(!edge.get("/metrics").1.contains("callbacks_waiting{app=\"ivr\"} 3"));
    assert_eq!(receiver.posts().len(), posts.len());
}

#[test]
fn a_receiver_that_never_answers_keeps_no_other_waiting() {
    let (silent, phone) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.3"));
    // The kernel accepts connections, but nothing reads them.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let receiver = Endpoint::taking();
    let edge = start(&[("dead", &silent, dead.local_addr().unwrap()), ("ivr", &phone, receiver.address)]);
    for n in 0..3 {
        call(&edge, &silent, &format!("dead-{n}"));
    }
    call(&edge, &phone, "good");
    let posts = until("all have come", || Some(receiver.posts()).filter(|posts| posts.len() == 3));
    delivered(&edge, &posts);
    assert_eq!((waiting(&edge, "dead"), counted(&edge, "dead", "delivered")), (9.0, 0.0));
}
