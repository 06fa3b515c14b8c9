//! Tests of redirects: their targets, the data sent along, and their end.

use super::server::{Act, Server, redirect, xml};
use super::*;
use trunkgate_system::limits::WEBHOOK_REDIRECTS;

#[tokio::test]
async fn a_redirect_is_asked_by_get_or_posted_again() {
    for (status, method) in [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
        let server = Server::start(move |number, _| match number {
            0 => Act::Send(redirect(status, "../next?x=1")),
            _ => Act::Send(xml("<Response/>")),
        })
        .await;
        let reply = fetch(document(&server.url("/a/b?q"))).await.unwrap();
        assert_eq!((reply.final_url, reply.redirects), (server.url("/next?x=1"), 1));
        let results: Vec<_> = reply.attempts.iter().map(|attempt| attempt.result.clone()).collect();
        assert_eq!(results, [Ok(status), Ok(200)]);
        let seen = &server.seen()[1];
        assert_eq!((seen.method.as_str(), seen.target.as_str()), (method, "/next?x=1"));
        let posted = [("CallSid", "CA1"), ("From", "+14155550100")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let params = if method == "POST" { &posted[..] } else { &[] };
        let signature = trunkgate_media::agent::sign_form("12345", &server.url("/next?x=1"), params);
        assert_eq!(seen.headers["x-twilio-signature"], signature, "{status}");
        assert_eq!(seen.body.is_empty(), method == "GET");
        assert_eq!(seen.headers["i-twilio-idempotency-token"], server.seen()[0].headers["i-twilio-idempotency-token"]);
    }
}

#[tokio::test]
async fn ten_redirects_are_followed_and_no_more() {
    let most = WEBHOOK_REDIRECTS as usize;
    let server = Server::start(move |number, _| match number {
        last if last == most => Act::Send(xml("")),
        _ => Act::Send(redirect(302, &format!("/again?{number}"))),
    })
    .await;
    assert_eq!(fetch(document(&server.url("/"))).await.unwrap().redirects, WEBHOOK_REDIRECTS);
    let server = Server::start(|number, _| Act::Send(redirect(307, &format!("/again?{number}")))).await;
    assert_eq!(failed(document(&server.url("/"))).await, (11_215, 307, most + 1));
}

#[tokio::test]
async fn a_redirect_loop_is_left_at_its_first_repetition() {
    let server = Server::always(Act::Send(redirect(307, "/again"))).await;
    let failure = fetch(document(&server.url("/"))).await.unwrap_err();
    assert_eq!((failure.code, failure.attempts.len(), server.seen().len()), (11_215, 2, 2));
    assert_eq!(failure.what, format!("redirect loop: {} leads to itself", server.url("/again")));
    assert_eq!(failure.answer.map(|answer| answer.status), Some(307));
    let server = Server::start(|number, _| Act::Send(redirect(302, if number % 2 == 0 { "/b" } else { "/a" }))).await;
    let failure = fetch(get(&format!("{}?PIN=1234", server.url("/a")))).await.unwrap_err();
    // The first request to /a had parameters, so the redirect to it is no loop.
    assert_eq!((failure.code, failure.attempts.len()), (11_215, 3));
    let (from, to) = (server.url("/a"), server.url("/b"));
    assert_eq!(failure.what, format!("redirect loop: {from} leads back to {to}"));
}

#[tokio::test]
async fn a_url_that_is_asked_by_another_method_or_with_other_cookies_is_no_loop() {
    // As in a login, one URL is first posted, then requested without and with a cookie.
    let server = Server::start(|number, _| match number {
        0 => Act::Send(redirect(302, "/")),
        1 => Act::Send(b"HTTP/1.1 302 Found\r\nLocation: /\r\nSet-Cookie: s=1\r\nContent-Length: 0\r\n\r\n".to_vec()),
        _ => Act::Send(xml("<Response/>")),
    })
    .await;
    let cookies = Some(std::sync::Arc::default());
    let reply = fetch(WebhookRequest { cookies, ..document(&server.url("/")) }).await.unwrap();
    assert_eq!(reply.redirects, 2);
    let seen = server.seen();
    let methods: Vec<&str> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert_eq!(methods, ["POST", "GET", "GET"]);
    assert_eq!(seen[2].headers["cookie"], "s=1");
}

#[tokio::test]
async fn what_leads_nowhere_is_an_invalid_redirect() {
    for answer in [
        redirect(302, "ftp://a.example/"),
        redirect(302, "http://[::1/"),
        redirect(302, "http://a.example:0/"),
        redirect(300, "/other"),
        redirect(304, "/other"),
        redirect(305, "http://127.0.0.1:3128/"),
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 302 Found\r\nLocation: /\xff\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ] {
        let server = Server::always(Act::Send(answer)).await;
        let failure = fetch(document(&server.url("/"))).await.unwrap_err();
        assert_eq!((failure.code, failure.attempts[0].refused_redirect.as_ref()), (11_216, Some(&failure.what)));
        assert_eq!(server.seen().len(), 1);
    }
    for (location, what) in [
        ("file:///etc/passwd", "invalid redirect: leads to file:, neither http nor https"),
        ("Sip:bob@example.com", "invalid redirect: leads to sip:, neither http nor https"),
    ] {
        let server = Server::always(Act::Send(redirect(302, location))).await;
        assert_eq!(fetch(document(&server.url("/"))).await.unwrap_err().what, what);
    }
}

#[tokio::test]
async fn each_redirect_is_judged() {
    let inner = Server::always(Act::Send(xml(""))).await;
    for location in [
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "//[::ffff:169.254.169.254]/".to_owned(),
        format!("http://localhost:{}/", inner.address.port()),
        format!("http://0.0.0.0:{}/", inner.address.port()),
    ] {
        let server = Server::always(Act::Send(redirect(302, &location))).await;
        let reach = ReachRules {
            closed: [inner.address, format!("[::1]:{}", inner.address.port()).parse().unwrap()].into(),
            ..lax()
        };
        let request = WebhookRequest { reach, ..document(&server.url("/")) };
        let what = fetch(request.clone()).await.unwrap_err().what;
        assert!(what.starts_with("redirected to http://") && !what.contains(&server.address.to_string()), "{what}");
        assert_eq!(failed(request).await, (11_205, 502, 2), "{location}");
    }
    assert_eq!(inner.connections(), 0);
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let other = Server::always(Act::Send(xml(""))).await;
    let elsewhere = other.url("/");
    let server = Server::start(move |number, _| match number {
        0 => Act::Send(redirect(307, "/home")),
        _ => Act::Send(redirect(307, &elsewhere)),
    })
    .await;
    fetch(document(&format!("http://ann:pw@{}/", server.address))).await.unwrap();
    assert!(server.seen().iter().all(|seen| seen.headers["authorization"] == "Basic YW5uOnB3"));
    assert!(!other.seen()[0].headers.contains_key("authorization"));
    assert_eq!(other.seen()[0].headers["host"], other.address.to_string());
}
