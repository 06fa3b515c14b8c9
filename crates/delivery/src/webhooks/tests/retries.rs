//! Tests of retries: failures that are retried, and failures that never are.

use std::net::TcpListener;

use super::server::{Act, Server, answer, xml};
use super::*;

/// Returns a request to a port without a listener; `fragment` contains its overrides.
fn nowhere(fragment: &str) -> WebhookRequest {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    document(&format!("http://{}/{fragment}", listener.local_addr().unwrap()))
}

#[tokio::test]
async fn a_failed_connect_is_tried_once_more() {
    assert_eq!(failed(nowhere("")).await, (11_205, 502, 2));
    assert_eq!(failed(nowhere("#rc=0")).await, (11_205, 502, 1));
    assert_eq!(failed(nowhere("#rc=3&rp=all")).await, (11_205, 502, 4));
    assert_eq!(failed(nowhere("#rc=3&rp=rt,5xx")).await, (11_205, 502, 1));
}

#[tokio::test]
async fn after_an_answer_there_is_no_further_try_unless_the_url_wants_one() {
    let down = || Server::always(Act::Send(answer("503 Busy", "", "later")));
    for (fragment, tries) in [("", 1), ("#rc=3", 1), ("#rc=3&rp=4xx", 1), ("#rc=2&rp=5xx", 3), ("#rc=1&rp=all", 2)] {
        let server = down().await;
        assert_eq!(failed(document(&server.url(&format!("/{fragment}")))).await, (11_200, 503, tries), "{fragment}");
        assert_eq!(server.seen().len(), tries);
    }
    let server = Server::start(|number, _| match number {
        0 => Act::Send(answer("503 Busy", "", "")),
        1 => Act::Send(answer("404 Gone", "", "")),
        _ => Act::Send(xml("<Response/>")),
    })
    .await;
    let reply = fetch(document(&server.url("/#rc=5&rp=4xx,5xx"))).await.unwrap();
    let results: Vec<_> = reply.attempts.iter().map(|attempt| attempt.result.clone()).collect();
    assert_eq!(results, [Ok(503), Ok(404), Ok(200)]);
    let tokens: Vec<_> = server.seen().iter().map(|seen| seen.headers["i-twilio-idempotency-token"].clone()).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]));
}

#[tokio::test]
async fn after_silence_there_is_no_further_try_unless_the_url_wants_one() {
    for (fragment, tries) in [("#rt=100", 1), ("#rt=100&rc=3", 1), ("#rt=100&rc=1&rp=rt", 2)] {
        let server = Server::always(Act::Silence).await;
        assert_eq!(failed(document(&server.url(&format!("/{fragment}")))).await, (11_200, 502, tries), "{fragment}");
        assert_eq!(server.seen().len(), tries);
    }
}

#[tokio::test]
async fn a_lost_connection_is_not_tried_again() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec();
    for (act, status) in
        [(Act::Reset, 502), (Act::Last(Vec::new()), 502), (Act::Last(b"HTT".to_vec()), 502), (Act::Last(half), 200)]
    {
        let server = Server::always(act).await;
        assert_eq!(failed(document(&server.url("/#rc=3&rp=all"))).await, (11_200, status, 1));
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn all_tries_together_have_one_time() {
    let server = Server::always(Act::Silence).await;
    let failure = fetch(document(&server.url("/#rc=5&rp=all&rt=15000&tt=150"))).await.unwrap_err();
    assert_eq!((failure.code, failure.attempts.len()), (11_200, 1));
    assert_eq!(failure.what, "not complete within 0.15 s");
    let hurried = WebhookRequest { within: Duration::from_millis(50), ..document(&server.url("/")) };
    assert_eq!(fetch(hurried).await.unwrap_err().what, "not complete within 0.05 s");
}
