//! Tests of reused connections, and of connections that the server closes.

use super::server::{Act, Server, answer, xml};
use super::*;

#[tokio::test]
async fn requests_share_a_connection() {
    let server = Server::always(Act::Send(xml("<Response/>"))).await;
    let client = client();
    for _ in 0..3 {
        client.fetch(&document(&server.url("/"))).await.unwrap();
    }
    // An error response leaves the connection reusable.
    assert_eq!((server.connections(), server.seen().len(), client.idle()), (1, 3, 1));
    let strict = WebhookRequest { reach: ReachRules::default(), ..document(&server.url("/")) };
    assert_eq!(client.fetch(&strict).await.unwrap_err().code, 11_205);
    assert_eq!((server.seen().len(), client.idle()), (3, 1));
}

#[tokio::test]
async fn what_cannot_be_used_again_is_not_kept() {
    let closing = answer("200 OK", "Connection: close\r\n", "x");
    let unframed = b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec();
    let old = b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec();
    for act in [Act::Last(closing), Act::Last(unframed), Act::Last(old)] {
        let server = Server::always(act).await;
        let client = client();
        for _ in 0..2 {
            client.fetch(&document(&server.url("/"))).await.unwrap();
        }
        assert_eq!((server.connections(), client.idle()), (2, 0));
    }
    let server = Server::always(Act::Send(xml(""))).await;
    let unused = rcgen::generate_simple_self_signed(["unused.example".to_owned()]).unwrap().cert.pem();
    let client = trusting(&unused, NOTHING_KEPT);
    for _ in 0..2 {
        client.fetch(&document(&server.url("/"))).await.unwrap();
    }
    assert_eq!(server.connections(), 2);
}

/// The server closes an idle connection while a request is sent on it.
#[tokio::test]
async fn a_request_that_meets_a_close_is_sent_again_on_a_new_connection() {
    for act in [Act::Last(Vec::new()), Act::Reset] {
        let server = Server::start(move |number, _| match number {
            1 => act.clone(),
            _ => Act::Send(xml("<Response/>")),
        })
        .await;
        let client = client();
        client.fetch(&document(&server.url("/"))).await.unwrap();
        let reply = client.fetch(&document(&server.url("/#rc=0"))).await.unwrap();
        assert_eq!(reply.attempts.len(), 1);
        let seen = server.seen();
        assert_eq!(seen.iter().map(|seen| seen.connection).collect::<Vec<_>>(), [0, 0, 1]);
        let token = |at: usize| &seen[at].headers["i-twilio-idempotency-token"];
        assert!(token(1) == token(2) && token(0) != token(1));
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_while_it_is_idle_costs_nothing() {
    let server = Server::start(|number, _| match number {
        0 => Act::Last(xml("")),
        _ => Act::Send(xml("")),
    })
    .await;
    let client = client();
    for _ in 0..2 {
        client.fetch(&document(&server.url("/#rc=0"))).await.unwrap();
    }
    assert_eq!((server.connections(), server.seen().len()), (2, 2));
}

#[tokio::test]
async fn a_request_of_which_something_was_answered_is_never_sent_again() {
    let broken = Act::Last(b"H".to_vec());
    for (act, fragment) in [(broken, ""), (Act::Silence, "#rt=100")] {
        let server = Server::start(move |number, _| match number {
            0 => Act::Send(xml("")),
            _ => act.clone(),
        })
        .await;
        let client = client();
        client.fetch(&document(&server.url("/"))).await.unwrap();
        let failure = client.fetch(&document(&server.url(&format!("/{fragment}")))).await.unwrap_err();
        assert_eq!((failure.code, server.seen().len(), server.connections()), (11_200, 2, 1));
        assert_eq!(client.idle(), 0);
    }
}

/// The repetition is not repeated: its connection has not served a request before.
#[tokio::test]
async fn a_server_that_always_closes_is_asked_twice() {
    let server = Server::start(|number, _| match number {
        0 => Act::Send(xml("")),
        _ => Act::Last(Vec::new()),
    })
    .await;
    let client = client();
    client.fetch(&document(&server.url("/"))).await.unwrap();
    assert_eq!(client.fetch(&document(&server.url("/"))).await.unwrap_err().code, 11_200);
    assert_eq!((server.seen().len(), server.connections()), (3, 2));
}

#[tokio::test]
async fn idle_connections_are_bounded() {
    use trunkgate_system::limits::WEBHOOK_IDLE_CONNECTIONS_OF_ONE;
    let server = Server::always(Act::Send(xml(""))).await;
    let client = client();
    let requests: Vec<WebhookRequest> =
        (0..3 * WEBHOOK_IDLE_CONNECTIONS_OF_ONE).map(|_| document(&server.url("/"))).collect();
    let all = futures_util::future::join_all(requests.iter().map(|request| client.fetch(request))).await;
    assert!(all.iter().all(Result::is_ok));
    assert!(server.connections() > WEBHOOK_IDLE_CONNECTIONS_OF_ONE, "{}", server.connections());
    assert_eq!(client.idle(), WEBHOOK_IDLE_CONNECTIONS_OF_ONE);
}
