//! Tests of cookies: sent as by browsers through redirects and retries, and returned with the result.

use std::sync::Arc;

use hyper::StatusCode;
use trunkgate_call::trace::CookieChanges;
use trunkgate_cookies::CookieJar;

use super::server::{Act, Seen, Server};
use super::*;
use crate::webhooks::outcome::{WebhookFailure, WebhookReply};
use trunkgate_system::clock;

/// Returns a response with these additional header lines.
fn answer(status: u16, lines: &str) -> Vec<u8> {
    let reason = StatusCode::from_u16(status).unwrap();
    format!("HTTP/1.1 {reason}\r\n{lines}Content-Type: text/xml\r\nContent-Length: 11\r\n\r\n<Response/>").into_bytes()
}

/// Returns the Cookie header of a received request.
fn cookies_of(seen: &Seen) -> &str {
    seen.headers.get("cookie").map_or("", String::as_str)
}

/// Requests a document with the cookies of a jar, and adds those that the responses set.
async fn fetch_with(jar: &mut CookieJar, url: &str) -> Result<WebhookReply, WebhookFailure> {
    let mut request = document(url);
    request.cookies = Some(Arc::new(jar.clone()));
    let result = fetch(request).await;
    let set = match &result {
        Ok(reply) => &reply.cookies,
        Err(failure) => &failure.cookies,
    };
    set.iter().for_each(|cookie| drop(jar.store(cookie.clone(), clock::wall())));
    result
}

#[tokio::test]
async fn a_session_is_kept_from_request_to_request() {
    let server = Server::start(|number, _| {
        Act::Send(answer(
            200,
            &format!("Set-Cookie: session=step{number}; HttpOnly; Path=/\r\nSet-Cookie: n{number}=1\r\n"),
        ))
    })
    .await;
    let mut jar = CookieJar::default();
    for _ in 0..3 {
        let reply = fetch_with(&mut jar, &server.url("/voice")).await.unwrap();
        assert_eq!(reply.attempts[0].cookies.set[0], "session");
    }
    let seen = server.seen();
    let sent: Vec<&str> = seen.iter().map(cookies_of).collect();
    assert_eq!(sent, ["", "session=step0; n0=1", "session=step1; n0=1; n1=1"]);
}

#[tokio::test]
async fn cookies_of_a_redirect_and_of_a_failure_go_with_the_next_request() {
    let server = Server::start(|number, _| match number {
        0 => Act::Send(answer(302, "Location: /next\r\nSet-Cookie: a=1\r\n")),
        1 => Act::Send(answer(500, "Set-Cookie: b=2\r\n")),
        _ => Act::Send(answer(200, "")),
    })
    .await;
    let mut jar = CookieJar::default();
    let failure = fetch_with(&mut jar, &server.url("/voice")).await.unwrap_err();
    assert_eq!(failure.cookies.iter().map(|cookie| cookie.name()).collect::<Vec<_>>(), ["a", "b"]);
    fetch_with(&mut jar, &server.url("/fallback")).await.unwrap();
    let seen = server.seen();
    let sent: Vec<&str> = seen.iter().map(cookies_of).collect();
    assert_eq!(sent, ["", "a=1", "a=1; b=2"]);
}

#[tokio::test]
async fn cookies_stay_with_their_host() {
    let other = Server::always(Act::Send(answer(200, ""))).await;
    let location = other.url("/").replace("127.0.0.1", "localhost");
    let redirect = answer(307, &format!("Location: {location}\r\nSet-Cookie: a=1; Domain=localhost\r\n"));
    let server = Server::always(Act::Send(redirect)).await;
    let mut jar = CookieJar::default();
    fetch_with(&mut jar, &server.url("/")).await.unwrap();
    assert_eq!(cookies_of(&other.seen()[0]), "");
}

#[tokio::test]
async fn without_a_jar_none_are_kept_and_hostile_ones_break_nothing() {
    let server = Server::always(Act::Send(answer(200, "Set-Cookie: a=1\r\n"))).await;
    let reply = fetch(document(&server.url("/"))).await.unwrap();
    assert!(reply.cookies.is_empty() && reply.attempts[0].cookies == CookieChanges::default());
    let long = "x".repeat(5000);
    let lines = format!(
        "Set-Cookie: a\r\nSet-Cookie: =1\r\nSet-Cookie: \r\nSet-Cookie: long={long}\r\nSet-Cookie: \u{e4}=\u{e4}\r\n\
         Set-Cookie: secure=1; Secure; Domain=com\r\nSet-Cookie: good=1; Domain=evil.example\r\n"
    );
    let server = Server::always(Act::Send(answer(200, &lines))).await;
    let mut jar = CookieJar::default();
    for _ in 0..2 {
        fetch_with(&mut jar, &server.url("/")).await.unwrap();
    }
    assert_eq!(cookies_of(&server.seen()[1]), "\u{e4}=\u{e4}; secure=1; good=1");
}

#[tokio::test]
async fn cookies_that_are_not_kept_are_named_with_the_reason() {
    let big = "x".repeat(4000);
    let kept: String = (0..6).map(|n| format!("Set-Cookie: k{n}={big}\r\n")).collect();
    let lines = format!(
        "{kept}Set-Cookie: session={}\r\nSet-Cookie: mneg=1; Max-Age=-1\r\nSet-Cookie: __Host-a=1; Path=/\r\n",
        "S".repeat(5001)
    );
    let server = Server::always(Act::Send(answer(200, &lines))).await;
    let mut jar = CookieJar::default();
    let reply = fetch_with(&mut jar, &server.url("/")).await.unwrap();
    let changes = &reply.attempts[0].cookies;
    assert_eq!(changes.set, ["k2", "k3", "k4", "k5"]);
    assert_eq!(
        (&changes.evicted[..], &changes.removed[..]),
        (&["k0".to_owned(), "k1".to_owned()][..], &["mneg".to_owned()][..])
    );
    let dropped: Vec<String> = changes.dropped.iter().map(|one| format!("{} ({})", one.name, one.reason)).collect();
    let insecure = "__Host-a (a Secure cookie over http, or a name with __Host- or __Secure- without its attributes)";
    assert_eq!(dropped, ["session (5,008 bytes, 4,096 at most)", insecure]);
    assert!(!format!("{changes:?}").contains("SSS"), "values are secret");
}
