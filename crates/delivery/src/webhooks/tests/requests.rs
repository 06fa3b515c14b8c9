//! Tests of requests as an application receives them, and of responses as the caller gets them.

use super::server::{Act, Server, answer, redirect, xml};
use super::*;
use trunkgate_system::public_name::PublicName;

#[tokio::test]
async fn a_post_has_the_shape_of_twilios() {
    let server = Server::always(Act::Send(xml("<Response/>"))).await;
    let url = format!("http://ann:pw@{}/voice?a=b#rc=0", server.address);
    let reply = fetch(document(&url)).await.unwrap();
    assert_eq!((reply.answer.status, reply.answer.media_type().as_str()), (200, "text/xml"));
    assert_eq!(reply.answer.body, b"<Response/>");
    assert_eq!(reply.final_url, server.url("/voice?a=b"));
    let attempt = &reply.attempts[0];
    assert_eq!(attempt.url, server.url("/voice?a=***"));
    assert_eq!((attempt.remote, &attempt.result), (Some(server.address), &Ok(200)));
    assert!(!attempt.duration.is_zero());
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/voice?a=b"));
    assert_eq!(seen.body, "CallSid=CA1&From=%2B14155550100");
    for (name, value) in [
        ("host", server.address.to_string().as_str()),
        ("user-agent", concat!("trunkgate/", env!("CARGO_PKG_VERSION"))),
        ("accept", "*/*"),
        ("accept-encoding", "identity"),
        ("content-type", "application/x-www-form-urlencoded; charset=UTF-8"),
        ("authorization", "Basic YW5uOnB3"),
    ] {
        assert_eq!(seen.headers[name], value);
    }
    let signed = [("CallSid", "CA1"), ("From", "+14155550100")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let signature = trunkgate_media::agent::sign_form("12345", &server.url("/voice?a=b"), &signed);
    assert_eq!(seen.headers["x-twilio-signature"], signature);
    assert_eq!(seen.headers["i-twilio-idempotency-token"].len(), 36);
}

#[tokio::test]
async fn a_get_has_its_parameters_in_the_query() {
    let server = Server::always(Act::Send(xml(""))).await;
    fetch(get(&server.url("/voice?a=b"))).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.body.as_str()), ("GET", ""));
    assert_eq!(seen.target, "/voice?a=b&CallSid=CA1&From=%2B14155550100");
    let signature = trunkgate_media::agent::sign("12345", &server.url(&seen.target));
    assert_eq!(seen.headers["x-twilio-signature"], signature);
    assert!(!seen.headers.contains_key("content-type"));
}

#[tokio::test]
async fn what_is_no_success_comes_with_its_body() {
    for (status, code) in [("404 Not Found", 404), ("500 Oops", 500), ("403 Forbidden", 403)] {
        let server = Server::always(Act::Send(answer(status, "Content-Type: text/plain\r\n", "why"))).await;
        let failure = fetch(document(&server.url("/"))).await.unwrap_err();
        assert_eq!((failure.code, failure.answer.as_ref().unwrap().status, failure.attempts.len()), (11_200, code, 1));
        assert_eq!(failure.answer.unwrap().body, b"why");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn what_cannot_be_asked_has_its_code() {
    for (url, code) in [
        ("/voice", 11_100),
        ("ftp://127.0.0.1/", 11_100),
        ("http://127.0.0.1/#rp=3xx", 11_243),
        ("http://a..invalid/", 11_210),
        ("http://169.254.169.254/latest/meta-data/", 11_205),
        ("http://[::ffff:169.254.169.254]/", 11_205),
        ("http://0.0.0.0/", 11_205),
    ] {
        let failure = fetch(document(url)).await.unwrap_err();
        assert_eq!((failure.code, failure.answer.is_none()), (code, true), "{url}: {}", failure.what);
    }
}

#[tokio::test]
async fn private_addresses_are_not_connected_to_unless_they_are_allowed() {
    let server = Server::always(Act::Send(xml(""))).await;
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "127.1", "0x7f.0.0.1"] {
        let strict = WebhookRequest { reach: ReachRules::default(), ..document(&format!("http://{host}:{port}/")) };
        let failure = fetch(strict).await.unwrap_err();
        assert!(failure.code == 11_205 && failure.what.contains("allow_private"), "{host}: {}", failure.what);
    }
    let closed = [format!("0.0.0.0:{port}").parse().unwrap()].into();
    let own = WebhookRequest { reach: ReachRules { closed, ..lax() }, ..document(&server.url("/")) };
    assert!(fetch(own).await.unwrap_err().what.contains("own listener"));
    assert_eq!(server.connections(), 0);
    fetch(document(&format!("http://localhost:{port}/"))).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_public_name_is_asked_at_its_application_by_the_same_rules() {
    let server = Server::always(Act::Send(xml(""))).await;
    let (public, local) = ("https://app.example.com/voice?a=b", server.url("/"));
    let name = PublicName::new(&public.parse().unwrap(), &local.parse().unwrap()).unwrap();
    let known = ReachRules { public_name: Some(name.into()), ..lax() };
    let reply = fetch(WebhookRequest { reach: known.clone(), ..document(public) }).await.unwrap();
    assert_eq!(reply.final_url, public);
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/voice?a=b"));
    for (name, value) in [("host", "app.example.com"), ("x-forwarded-proto", "https"), ("x-forwarded-for", "127.0.0.1")]
    {
        assert_eq!(seen.headers[name], value);
    }
    let signed = [("CallSid", "CA1"), ("From", "+14155550100")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(seen.headers["x-twilio-signature"], trunkgate_media::agent::sign_form("12345", public, &signed));
    fetch(WebhookRequest { reach: known.clone(), ..document(&server.url("/")) }).await.unwrap();
    assert!(!server.seen()[1].headers.contains_key("x-forwarded-proto"), "other hosts are asked as ever");
    let strict = ReachRules { allow_private: false, ..known };
    let failure = fetch(WebhookRequest { reach: strict, ..document(public) }).await.unwrap_err();
    assert!(failure.code == 11_205 && failure.what.contains("allow_private"), "{}", failure.what);
}

#[tokio::test]
async fn no_secret_stands_in_a_failure() {
    let server = Server::start(|number, _| match number {
        0 => Act::Send(redirect(302, "http://user:hunter2@169.254.169.254/?token=hunter2")),
        _ => Act::Send(redirect(302, "ftp://hunter2@a.example/?hunter2")),
    })
    .await;
    let url = format!("http://hunter2:hunter2@{}/?token=hunter2&hunter2", server.address);
    let client = client();
    for _ in 0..2 {
        let failure = client.fetch(&document(&url)).await.unwrap_err();
        let said = format!("{} {:?}", failure.what, failure.attempts);
        assert!(!said.contains("hunter2"), "{said}");
    }
}
