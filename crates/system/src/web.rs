//! HTTP requests from the edge to web services, over TLS for `https` URLs. A request goes only to the address in its
//! URL, without a proxy, and redirects are not followed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderMap, RETRY_AFTER};
use hyper::http::request::Builder;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OnceCell;
use trunkgate_call::numbers::plain;
use url::Url;

use crate::certificates::{TrustAnchors, provider};
use crate::connector::Connector;
use crate::limits::{COMPLAINT_CHARACTERS, WEB_HEAD_BYTES};
use crate::verifier::ServerVerifier;

/// Byte stream of a connection, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Counter and limit of the bytes read from a connection. Consecutive requests on one connection share the meter.
#[derive(Debug)]
pub struct ReadMeter {
    read: AtomicU64,
    /// Value of `read` at the latest write.
    written_at: AtomicU64,
    most: AtomicU64,
}

impl ReadMeter {
    /// Creates a meter that permits about `most` bytes to be read after each write.
    pub fn new(most: u64) -> ReadMeter {
        ReadMeter { read: AtomicU64::new(0), written_at: AtomicU64::new(0), most: AtomicU64::new(most) }
    }

    /// Changes the number of bytes that may be read after a write.
    pub fn allow(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Returns the number of bytes read from the connection so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// Connection that limits the bytes read for one request, because endless provisional responses would keep a thread
/// busy without any time-out.
struct BoundedStream<S> {
    stream: S,
    meter: Arc<ReadMeter>,
}

/// Returns the stream with a limit: reading fails once more bytes than the meter permits were read since the last
/// write.
pub fn bounded(stream: impl Stream, meter: Arc<ReadMeter>) -> impl Stream {
    BoundedStream { stream, meter }
}

impl<S: Stream> AsyncRead for BoundedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (read, most) = (self.meter.read(), self.meter.most.load(Ordering::Relaxed));
        if read.saturating_sub(self.meter.written_at.load(Ordering::Relaxed)) > most {
            let what = format!("more than {most} bytes for one request");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        self.meter.read.fetch_add((into.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl<S: Stream> AsyncWrite for BoundedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.meter.written_at.store(self.meter.read(), Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Returns a TLS configuration that accepts services with certificates issued by `trust`.
///
/// # Errors
/// Returns the cryptography provider's error.
pub fn trusting(trust: TrustAnchors) -> Result<Arc<ClientConfig>, String> {
    believing(ServerVerifier::new(Some(trust), Vec::new()))
}

/// Returns a TLS configuration that accepts services with certificates issued by the system's roots. The roots are read
/// at the first use: some hundred files, on a thread of the blocking pool.
///
/// # Errors
/// Returns the cryptography provider's error.
pub async fn trusting_system() -> Result<Arc<ClientConfig>, String> {
    static MADE: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();
    let read = || async {
        let made = tokio::task::spawn_blocking(|| trusting(TrustAnchors::of_system())).await;
        made.map_err(|error| error.to_string())?
    };
    MADE.get_or_try_init(read).await.cloned()
}

/// Returns a TLS configuration that verifies services with this verifier.
///
/// # Errors
/// Returns the cryptography provider's error.
pub fn believing(servers: ServerVerifier) -> Result<Arc<ClientConfig>, String> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.map_err(|error| format!("TLS: {error}"))?.dangerous();
    Ok(Arc::new(config.with_custom_certificate_verifier(Arc::new(servers)).with_no_client_auth()))
}

/// Connects to the host of a URL; `tls` is called for `https` only. For each request, the connection permits a response
/// of `most` bytes and [`WEB_HEAD_BYTES`] for its headers.
///
/// # Errors
/// Returns the reason in words: no address, no connection, or a failed TLS handshake.
pub async fn connect(
    url: &Url,
    tls: impl FnOnce() -> Result<Arc<ClientConfig>, String>,
    most: u64,
) -> Result<Box<dyn Stream>, String> {
    let host = url.host_str().ok_or("no host")?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default().ok_or("no port")?;
    // The caller limits the time of the whole request, so the connection has no limit of its own.
    let connector = Connector::default();
    let stream = connector.host(&host, port).await.map_err(|error| format!("cannot be reached: {error}"))?;
    let meter = Arc::new(ReadMeter::new(most.saturating_add(WEB_HEAD_BYTES)));
    if url.scheme() != "https" {
        return Ok(Box::new(bounded(stream, meter)));
    }
    let stream = connector.tls(tls()?, &host, stream).await.map_err(|fault| format!("TLS: {}", fault.what))?;
    Ok(Box::new(bounded(stream, meter)))
}

/// Returns path and query of a URL, the request target in origin form.
pub(crate) fn target(url: &Url) -> String {
    url.query().map_or(url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

/// Starts building a request to a URL, with target and Host header.
pub fn request(method: Method, url: &Url) -> Builder {
    Request::builder().method(method).uri(target(url)).header(HOST, host(url))
}

/// Returns the value of the Host header for a URL, without a user part (RFC 9110 §7.2).
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Starts building a POST request to a URL.
pub fn post(url: &Url) -> Builder {
    request(Method::POST, url)
}

/// Returns the Retry-After header as a duration of at most `most` seconds; `None` unless it is a number of seconds (RFC
/// 9110 §10.2.3).
pub fn retry_after(headers: &HeaderMap, most: u64) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(most)))
}

/// Returns the reason in the body of an error response on one line: the message of a JSON error object in OpenAI's
/// format, otherwise the text.
pub fn complaint(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| {
        let places = [json.pointer("/error/message"), json.get("error"), json.get("message"), json.get("detail")];
        places.into_iter().flatten().find_map(Value::as_str)
    });
    let text = message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    plain(text.trim().lines().next().unwrap_or_default(), COMPLAINT_CHARACTERS)
}

/// Describes the error if a server's response is invalid or missing.
pub fn broken(error: &hyper::Error) -> String {
    use std::error::Error as _;
    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    format!("does not respond with HTTP: {error}{cause}")
}

/// Reason why a request got no response, as a clause for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExchangeFault {
    /// The request was not sent.
    NotSent(String),
    /// The request was sent, and may have been processed.
    Unanswered(String),
}

impl ExchangeFault {
    /// Returns the reason in words.
    pub fn what(&self) -> &str {
        let (ExchangeFault::NotSent(what) | ExchangeFault::Unanswered(what)) = self;
        what
    }
}

/// Response of a web service.
#[derive(Debug)]
pub struct HttpAnswer {
    /// HTTP status.
    pub status: StatusCode,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// Body of the response.
    pub body: Vec<u8>,
    /// Whether the body is complete; false if it was cut off at the limit.
    pub is_whole: bool,
}

/// Sends a request over a new connection that trusts the system's roots. `most` returns the maximum length of the body,
/// in bytes, for the status of the response. The request must have the target and Host of `url`.
///
/// # Errors
/// Returns the reason why there is no response, and whether the request was sent.
pub async fn ask(
    url: &Url,
    request: Request<Full<Bytes>>,
    most: impl Fn(StatusCode) -> u64,
) -> Result<HttpAnswer, ExchangeFault> {
    let tls = match url.scheme() {
        "https" => trusting_system().await,
        _ => Err("no TLS".to_owned()),
    };
    let stream = connect(url, || tls, most(StatusCode::OK)).await.map_err(ExchangeFault::NotSent)?;
    exchange(stream, request, most).await
}

/// Sends a request over an open connection, which is closed then. `most` returns the maximum length of the body, in
/// bytes, for the status of the response. Returns the reason if there is no response.
pub async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    most: impl Fn(StatusCode) -> u64,
) -> Result<HttpAnswer, ExchangeFault> {
    let begun = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = begun.map_err(|error| ExchangeFault::NotSent(broken(&error)))?;
    let answered = async {
        let unanswered = |error| ExchangeFault::Unanswered(broken(&error));
        let response = sender.send_request(request).await.map_err(unanswered)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let (body, is_whole) = gather(response, most(status)).await.map_err(unanswered)?;
        Ok(HttpAnswer { status, headers, body, is_whole })
    };
    tokio::pin!(answered);
    let driven = async {
        // The future of the request reports errors of the connection, too.
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = &mut answered => answer,
        () = driven => Err(ExchangeFault::Unanswered("has gone".to_owned())),
    }
}

/// Reads at most `most` bytes of a response's body; also returns whether the body is complete.
///
/// # Errors
/// Returns the error of the connection.
pub async fn gather(mut response: Response<Incoming>, most: u64) -> Result<(Vec<u8>, bool), hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = response.frame().await {
        if let Ok(data) = frame?.into_data() {
            if (bytes.len() + data.len()) as u64 > most {
                return Ok((bytes, false));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok((bytes, true))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn a_request_names_host_and_port_and_never_a_user() {
        let cases = [
            ("http://ann:hunter2@h:8080/a?b", "h:8080"),
            ("https://h/", "h"),
            ("http://[2001:db8::1]:81/", "[2001:db8::1]:81"),
        ];
        for (url, expected) in cases {
            let request = request(Method::GET, &Url::parse(url).unwrap()).body(()).unwrap();
            assert_eq!(request.headers()[HOST], expected);
        }
    }

    /// Sends a request to a server that responds with a body of this size after provisional responses, or with endless
    /// provisional responses for `None`.
    async fn asked(provisional: Option<usize>, body: usize) -> Result<HttpAnswer, ExchangeFault> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let one = "HTTP/1.1 103 Early Hints\r\n\r\n";
            for _ in 0..provisional.unwrap_or(usize::MAX) {
                if stream.write_all(one.as_bytes()).await.is_err() {
                    return;
                }
            }
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n\r\n{}", "x".repeat(body));
            drop(stream.write_all(answer.as_bytes()).await);
            drop(stream.read_buf(&mut request).await);
        });
        let request = post(&url).body(Full::new(Bytes::new())).unwrap();
        ask(&url, request, |_| 1 << 20).await
    }

    #[tokio::test]
    async fn what_never_ends_is_given_up_and_what_is_long_is_not() {
        let answer = asked(Some(3), 1 << 20).await.unwrap();
        assert!(answer.is_whole && answer.body.len() == 1 << 20);
        assert!(!asked(Some(0), (1 << 20) + 1).await.unwrap().is_whole);
        let endless = asked(None, 0).await.unwrap_err();
        assert!(
            matches!(&endless, ExchangeFault::Unanswered(what) if what.contains("bytes for one request")),
            "{endless:?}"
        );
    }
}
