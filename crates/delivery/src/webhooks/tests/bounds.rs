//! Tests of responses that are slow, endless, long or compressed.

use super::server::{Act, Server, answer, xml};
use super::*;
use trunkgate_system::limits::WEBHOOK_DOCUMENT_BYTES;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

async fn after(act: Act, fragment: &str) -> (u32, u16, usize) {
    let server = Server::always(act).await;
    failed(document(&server.url(&format!("/{fragment}")))).await
}

#[tokio::test]
async fn what_never_ends_is_given_up() {
    let endless = |first: &[u8], again: &[u8]| Act::Endless(first.to_vec(), again.to_vec(), Duration::ZERO);
    let block = "x".repeat(4096);
    let chunk = format!("1000\r\n{block}\r\n");
    // The bodies are in chunks, or end with the connection.
    assert_eq!(after(endless(CHUNKED, chunk.as_bytes()), "").await, (11_750, 200, 1));
    assert_eq!(after(endless(b"HTTP/1.1 200 OK\r\n\r\n", block.as_bytes()), "").await, (11_750, 200, 1));
    // The chunks have much overhead and little data.
    let hollow = format!("1;{block}\r\nx\r\n");
    assert_eq!(after(endless(CHUNKED, hollow.as_bytes()), "").await.0, 11_206);
    // Many header lines, one long header line, provisional responses, and data that is not HTTP are all limited.
    assert_eq!(after(endless(OK, b"X-Flood: 1\r\n"), "").await, (11_206, 502, 1));
    assert_eq!(after(endless(b"HTTP/1.1 200 OK\r\nX-Flood: ", block.as_bytes()), "").await, (11_206, 502, 1));
    assert_eq!(after(endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), "").await, (11_206, 502, 1));
    assert_eq!(after(endless(b"SSH-2.0-OpenSSH\r\n", b"x"), "").await, (11_206, 502, 1));
}

#[tokio::test]
async fn what_comes_too_slowly_is_given_up() {
    let pause = Duration::from_millis(10);
    let drip = |first: &[u8], again: &[u8]| Act::Endless(first.to_vec(), again.to_vec(), pause);
    assert_eq!(after(drip(CHUNKED, b"1\r\nx\r\n"), "#tt=150").await, (11_200, 502, 1));
    assert_eq!(after(drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"), "#tt=150").await, (11_200, 502, 1));
    let stalled = Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec());
    assert_eq!(after(stalled, "#rt=100").await, (11_200, 200, 1));
}

#[tokio::test]
async fn a_document_has_a_largest_size() {
    let most = usize::try_from(WEBHOOK_DOCUMENT_BYTES).unwrap();
    let server = Server::always(Act::Send(xml(&"x".repeat(most)))).await;
    assert_eq!(fetch(document(&server.url("/"))).await.unwrap().answer.body.len(), most);
    assert_eq!(after(Act::Send(xml(&"x".repeat(most + 1))), "").await, (11_750, 200, 1));
    assert_eq!(after(Act::Send(xml(&"x".repeat(10 << 20))), "").await, (11_750, 200, 1));
    // An announced length that is too large fails without waiting for the body.
    let announced = b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n".to_vec();
    assert_eq!(after(Act::Send(announced), "").await, (11_750, 200, 1));
    // The beginning of audio in place of a document suffices, because it is then fetched as audio.
    let sound = answer("200 OK", "Content-Type: audio/mpeg\r\n", &"x".repeat(10 << 20));
    let server = Server::always(Act::Send(sound)).await;
    assert_eq!(fetch(document(&server.url("/"))).await.unwrap().answer.body.len(), most);
    // Audio may be larger than a document, and has another error code.
    let server = Server::always(Act::Send(answer("200 OK", "", &"x".repeat(most + 1)))).await;
    let audio = || WebhookRequest::new(&server.url("/"), form(&[]), WebhookPurpose::Audio, lax());
    assert_eq!(fetch(audio()).await.unwrap().answer.body.len(), most + 1);
    let small = WebhookRequest { most: 9, ..audio() };
    assert_eq!(failed(small).await, (11_200, 200, 1));
}

#[tokio::test]
async fn of_audio_that_is_of_no_use_a_beginning_is_kept() {
    let most = usize::try_from(WEBHOOK_DOCUMENT_BYTES).unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
    for head in [CHUNKED, b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"] {
        let endless = Act::Endless(head.to_vec(), chunk.clone().into_bytes(), Duration::ZERO);
        let server = Server::always(endless).await;
        let request = WebhookRequest {
            most: 2 << 20,
            ..WebhookRequest::new(&server.url("/"), form(&[]), WebhookPurpose::Audio, lax())
        };
        let failure = fetch(request).await.unwrap_err();
        let answer = failure.answer.unwrap();
        assert_eq!((answer.body.len(), answer.memory.is_none()), (most, answer.status == 200), "{}", failure.what);
        assert!(answer.body.capacity() <= 2 * most, "{}", answer.body.capacity());
    }
    // A body of unknown length reserves the maximum at once, so that it is not copied while it grows.
    let whole = [CHUNKED, chunk.repeat(24).as_bytes(), b"0\r\n\r\n"].concat();
    let server = Server::always(Act::Send(whole)).await;
    let request = WebhookRequest {
        most: 2 << 20,
        ..WebhookRequest::new(&server.url("/"), form(&[]), WebhookPurpose::Audio, lax())
    };
    let body = fetch(request).await.unwrap().answer.body;
    assert_eq!((body.len(), body.capacity()), (24 << 16, 2 << 20));
}

#[tokio::test]
async fn where_the_body_is_of_no_interest_it_is_cut() {
    let most = usize::try_from(WEBHOOK_DOCUMENT_BYTES).unwrap();
    let server = Server::always(Act::Send(answer("200 OK", "", &"x".repeat(10 << 20)))).await;
    let callback = WebhookRequest::new(&server.url("/"), form(&[]), WebhookPurpose::Callback, lax());
    assert_eq!(fetch(callback).await.unwrap().answer.body.len(), most);
    let server = Server::always(Act::Send(answer("500 Oops", "", &"x".repeat(10 << 20)))).await;
    let failure = fetch(document(&server.url("/"))).await.unwrap_err();
    let answer = failure.answer.unwrap();
    assert_eq!((answer.status, answer.body.len()), (500, most));
}

#[tokio::test]
async fn nothing_is_unpacked() {
    for coding in ["gzip", "br", "x-unknown", "identity, gzip", "GZIP"] {
        let packed = answer("200 OK", &format!("Content-Encoding: {coding}\r\n"), "\u{1f}");
        let server = Server::always(Act::Send(packed)).await;
        let failure = fetch(document(&server.url("/"))).await.unwrap_err();
        assert!(failure.code == 11_200 && failure.what.contains("compressed"), "{coding}");
        let refused = answer("404 Not Found", &format!("Content-Encoding: {coding}\r\n"), "\u{1f}");
        assert_eq!(after(Act::Send(refused), "").await, (11_200, 404, 1));
    }
    let plain = answer("200 OK", "Content-Encoding: Identity\r\n", "x");
    let server = Server::always(Act::Send(plain)).await;
    assert_eq!(fetch(document(&server.url("/"))).await.unwrap().answer.body, b"x");
}

#[tokio::test]
async fn a_few_provisional_answers_are_passed_over() {
    let early = [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".as_slice(), &xml("<Response/>")].concat();
    let server = Server::always(Act::Send(early)).await;
    assert_eq!(fetch(document(&server.url("/"))).await.unwrap().answer.body, b"<Response/>");
}
