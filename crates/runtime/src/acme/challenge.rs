//! HTTP listener for the challenge `http-01` (RFC 8555 §8.3): serves `/.well-known/acme-challenge/TOKEN` while an order
//! waits for it, and nothing else.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use trunkgate_system::limits::{
    ACCEPT_PAUSE_MILLISECONDS, ACME_CHALLENGE_CONNECTIONS, ACME_CHALLENGE_HEAD_BYTES, ACME_CHALLENGE_SECONDS,
};

/// Path prefix of a challenge, followed by its token.
pub(super) const PATH: &str = "/.well-known/acme-challenge/";

/// Responses to `http-01` challenges of the current order, by token. Clones share the table.
#[derive(Debug, Clone, Default)]
pub(super) struct ChallengeTokens(Arc<Mutex<HashMap<String, String>>>);

impl ChallengeTokens {
    /// Adds the response (the key authorization) for a token.
    pub(super) fn insert(&self, token: &str, answer: &str) {
        self.lock().insert(token.to_owned(), answer.to_owned());
    }

    /// Removes all tokens at the end of an order.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn answer(&self, method: &Method, path: &str) -> Option<String> {
        let token = path.strip_prefix(PATH).filter(|_| matches!(*method, Method::GET | Method::HEAD))?;
        self.lock().get(token).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves challenges for ever. Returns an error if the listener cannot be set up.
pub(super) async fn serve(listener: TcpListener, tokens: ChallengeTokens) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(ACCEPT_PAUSE_MILLISECONDS)).await;
            continue;
        };
        connections.retain(|connection| !connection.is_finished());
        // The authority's connection is a new one, so close the oldest, which scanners may hold open.
        if connections.len() >= ACME_CHALLENGE_CONNECTIONS
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        connections.push_back(tokio::spawn(connection(stream, tokens.clone())).abort_handle());
    }
}

/// Serves the single request of a connection, which is closed afterwards.
async fn connection(stream: TcpStream, tokens: ChallengeTokens) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = tokens.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response(answer)) }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(ACME_CHALLENGE_HEAD_BYTES).keep_alive(false).auto_date_header(false);
    let served = http.serve_connection(TokioIo::new(stream), service);
    // The way a connection ends does not concern the operator.
    let _ = timeout(Duration::from_secs(ACME_CHALLENGE_SECONDS), served).await;
}

fn response(answer: Option<String>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.clone().unwrap_or_default())));
    match answer {
        Some(_) => {
            let octets = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(CONTENT_TYPE, octets);
        }
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Starts a listener that serves the token `known`; returns its address.
    fn started() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let tokens = ChallengeTokens::default();
        tokens.insert("known", "known.thumbprint");
        tokio::spawn(serve(listener, tokens));
        address
    }

    async fn asked(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut answer = Vec::new();
        drop(stream.write_all(request.as_bytes()).await);
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn the_token_is_answered_and_nothing_else() {
        let address = started();
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: sbc.example.com\r\n\r\n");
        let found = asked(address, &get("/.well-known/acme-challenge/known")).await;
        assert!(found.starts_with("HTTP/1.1 200 OK\r\n") && found.ends_with("\r\n\r\nknown.thumbprint"), "{found}");
        let others = [
            get("/"),
            get("/.well-known/acme-challenge/"),
            get("/.well-known/acme-challenge/other"),
            get("/.well-known/acme-challenge/known/x"),
            get("/v1/status"),
            get("/.well-known/acme-challenge/known").replace("GET", "POST"),
        ];
        for request in others {
            let answer = asked(address, &request).await;
            assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\n"), "{request}: {answer}");
        }
        let long = get(&format!("/{}", "x".repeat(2 * ACME_CHALLENGE_HEAD_BYTES)));
        assert!(!asked(address, &long).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn silent_connections_leave_room_for_the_newest() {
        let address = started();
        let mut silent = Vec::new();
        for _ in 0..ACME_CHALLENGE_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let request = "GET /.well-known/acme-challenge/known HTTP/1.1\r\nHost: a\r\n\r\n";
        assert!(asked(address, request).await.ends_with("known.thumbprint"));
        // The oldest connection was closed in favour of it.
        assert_eq!(silent[0].read(&mut [0; 1]).await.unwrap_or_default(), 0);
    }
}
