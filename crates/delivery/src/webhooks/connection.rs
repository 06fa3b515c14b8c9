//! HTTP/1.1 connection to an application, and a request on it.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::outcome::{AttemptFault, AttemptFaultKind, WebhookResponse};
use super::target::HttpOrigin;
use trunkgate_system::limits::{
    WEB_HEAD_BYTES, WEBHOOK_DOCUMENT_BYTES, WEBHOOK_HEAD_BYTES, WEBHOOK_SETTLE_MILLISECONDS,
};
use trunkgate_system::shares::{FairShares, ShareGrant};
pub(crate) use trunkgate_system::web::{self, ReadMeter, Stream};

/// Prefix of audio media types.
const AUDIO: &[u8] = b"audio/";

/// HTTP connection to an application, closed on drop.
pub(super) struct HttpConnection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
    meter: Arc<ReadMeter>,
    pub(super) origin: HttpOrigin,
    /// Remote address, which was checked before connecting.
    pub(super) remote: SocketAddr,
    pub(super) opened: Instant,
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Limits for the body of one response.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResponseLimits<'a> {
    /// Maximum time until the response starts, and between its parts.
    pub(super) read: Duration,
    /// Maximum size of the body in bytes.
    pub(super) most: u64,
    /// True if a longer body is cut off without an error, because only the status matters.
    pub(super) cut: bool,
    /// True if audio is cut off without an error.
    pub(super) cuts_audio: bool,
    /// Memory shared by bodies in MiB, with the application to which this response counts; `None` for small responses.
    pub(super) memory: Option<(&'a FairShares, &'a Arc<str>)>,
}

/// Failure of a request on a connection.
pub(super) enum ExchangeFailure {
    /// The server closed the connection before it sent a byte of the response. A reused connection may have been closed
    /// while it was idle.
    Unanswered(AttemptFault),
    /// Any other failure of the request.
    Failed(AttemptFault),
}

impl ExchangeFailure {
    pub(super) fn fault(self) -> AttemptFault {
        let (ExchangeFailure::Unanswered(fault) | ExchangeFailure::Failed(fault)) = self;
        fault
    }
}

impl HttpConnection {
    /// Starts HTTP/1.1 on an open stream.
    pub(super) async fn over(
        stream: impl Stream + 'static,
        origin: HttpOrigin,
        remote: SocketAddr,
    ) -> Result<HttpConnection, AttemptFault> {
        let meter = Arc::new(ReadMeter::new(WEB_HEAD_BYTES));
        let io = TokioIo::new(web::bounded(stream, Arc::clone(&meter)));
        let mut builder = Builder::new();
        // Twilio sends header names in title case.
        builder.title_case_headers(true).max_buf_size(WEBHOOK_HEAD_BYTES);
        let (sender, driver) = builder
            .handshake(io)
            .await
            .map_err(|error| AttemptFault::new(AttemptFaultKind::NotHttp, web::broken(&error)))?;
        // The request itself reports errors of the connection.
        let driver = tokio::spawn(async { drop(driver.await) }).abort_handle();
        Ok(HttpConnection { sender, driver, meter, origin, remote, opened: Instant::now() })
    }

    /// Returns whether the server has closed the connection.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and reads the response. Also returns whether the connection can be reused.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        bounds: ResponseLimits<'_>,
    ) -> Result<(WebhookResponse, bool), ExchangeFailure> {
        self.meter.allow(bounds.most.saturating_add(WEB_HEAD_BYTES));
        let before = self.meter.read();
        let response = match timeout(bounds.read, self.sender.send_request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if is_close(&error) && self.meter.read() == before => {
                let what = "the connection was closed without an answer";
                return Err(ExchangeFailure::Unanswered(AttemptFault::new(AttemptFaultKind::Lost, what)));
            }
            Ok(Err(error)) => return Err(ExchangeFailure::Failed(broken(&error))),
            Err(_) => return Err(ExchangeFailure::Failed(late("no answer", bounds.read))),
        };
        let (answer, is_whole) = gather(response, bounds).await.map_err(ExchangeFailure::Failed)?;
        let settled = timeout(Duration::from_millis(WEBHOOK_SETTLE_MILLISECONDS), self.sender.ready());
        let is_free = is_whole && matches!(settled.await, Ok(Ok(())));
        Ok((answer, is_free))
    }
}

/// Reads the body of a response. Also returns whether the body is complete.
async fn gather(
    mut response: Response<Incoming>,
    bounds: ResponseLimits<'_>,
) -> Result<(WebhookResponse, bool), AttemptFault> {
    let status = response.status();
    let mut answer = WebhookResponse {
        status: status.as_u16(),
        headers: std::mem::take(response.headers_mut()),
        ..WebhookResponse::default()
    };
    if is_packed(&answer) {
        if !status.is_success() || bounds.cut {
            return Ok((answer, false));
        }
        let what = "the response is compressed (Content-Encoding), although the request did not allow it";
        return Err(AttemptFault::new(AttemptFaultKind::Packed, what).with(answer));
    }
    // The beginning of an error response suffices, and so does that of audio in place of a document, which is then
    // fetched as audio.
    let cut = bounds.cut || !status.is_success() || (bounds.cuts_audio && is_audio(&answer));
    let most = if cut { bounds.most.min(WEBHOOK_DOCUMENT_BYTES) } else { bounds.most };
    let too_long = || AttemptFault::new(AttemptFaultKind::TooLong, format!("the answer is longer than {most} bytes"));
    if response.body().size_hint().lower() > most && !cut {
        return Err(too_long().with(answer));
    }
    // A large body of unknown length reserves the maximum, because reserved memory that is not used costs nothing.
    let unknown = if bounds.memory.is_some() { most } else { 0 };
    let expected = response.body().size_hint().exact().map_or(unknown, |bytes| bytes.min(most));
    let (expected, most) = (usize::try_from(expected).unwrap_or(0), usize::try_from(most).unwrap_or(usize::MAX));
    loop {
        let frame = match timeout(bounds.read, response.frame()).await {
            Err(_) => return Err(of_no_use(late("no more of the answer", bounds.read), answer)),
            Ok(None) => return Ok((answer, true)),
            Ok(Some(Err(error))) => return Err(of_no_use(broken(&error), answer)),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        let room = most.saturating_sub(answer.body.len());
        let fits = data.len() <= room;
        let data = data.get(..room.min(data.len())).filter(|_| fits || cut).unwrap_or_default();
        if let Some(memory) = bounds.memory
            && !holds(memory, &mut answer.memory, answer.body.len() + data.len())
        {
            let what = "no memory for the answer: many other files are being fetched for the application";
            return Err(of_no_use(AttemptFault::new(AttemptFaultKind::Lost, what), answer));
        }
        append(&mut answer.body, data, expected);
        match (fits, cut) {
            (true, _) => {}
            (false, true) => return Ok((answer, false)),
            (false, false) => return Err(of_no_use(too_long(), answer)),
        }
    }
}

/// Returns a fault with the part of its response that traces display.
fn of_no_use(fault: AttemptFault, mut answer: WebhookResponse) -> AttemptFault {
    answer.body.truncate(usize::try_from(WEBHOOK_DOCUMENT_BYTES).unwrap_or(usize::MAX));
    answer.body.shrink_to_fit();
    fault.with(WebhookResponse { memory: None, ..answer })
}

/// Reserves the memory for a body of this size; returns false if there is not enough.
fn holds((memory, asker): (&FairShares, &Arc<str>), held: &mut Option<Box<ShareGrant>>, bytes: usize) -> bool {
    let needed = (bytes >> 20).saturating_add(1);
    match held {
        Some(held) => held.grow(needed),
        None => {
            *held = memory.take(asker, needed).map(Box::new);
            held.is_some()
        }
    }
}

/// Appends data to a body of at most `expected` bytes (0: unknown). Doubling the capacity would use up to twice the
/// size, and more during a copy, so the whole size is reserved as soon as a quarter has arrived.
fn append(body: &mut Vec<u8>, data: &[u8], expected: usize) {
    let needed = body.len() + data.len();
    if needed > body.capacity() {
        let rest = if needed >= expected / 4 { expected.saturating_sub(needed) } else { 0 };
        body.reserve_exact(data.len() + rest.max(body.len() / 8));
    }
    body.extend_from_slice(data);
}

fn is_audio(answer: &WebhookResponse) -> bool {
    let kind = answer.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..AUDIO.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(AUDIO))
}

fn is_packed(answer: &WebhookResponse) -> bool {
    let codings = answer.headers.get_all(CONTENT_ENCODING).into_iter();
    codings.filter(|coding| !coding.is_empty()).any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn late(what: &str, limit: Duration) -> AttemptFault {
    AttemptFault::new(AttemptFaultKind::ReadTimeout, format!("{what} within {} s", limit.as_secs_f32()))
}

fn broken(error: &hyper::Error) -> AttemptFault {
    let is_wrong = |cause: &io::Error| matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
    if error.is_parse() || io_cause(error).is_some_and(is_wrong) {
        return AttemptFault::new(AttemptFaultKind::NotHttp, web::broken(error));
    }
    AttemptFault::new(AttemptFaultKind::Lost, "the connection was lost before the answer was complete")
}

fn io_cause(error: &hyper::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

/// Returns whether an error means that the server has closed the connection.
fn is_close(error: &hyper::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let is_reset = io_cause(error).is_some_and(|cause| {
        matches!(cause.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
    });
    error.is_canceled() || error.is_incomplete_message() || error.is_closed() || is_reset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_never_copied_once_it_is_large() {
        let (most, piece) = (16 << 20, [0; 16 << 10]);
        for expected in [most, most - 5, most / 2] {
            let (mut body, mut copied) = (Vec::new(), 0);
            while body.len() < most {
                let before = body.capacity();
                append(&mut body, &piece, expected);
                if body.capacity() != before && body.len() <= expected {
                    copied = body.len();
                }
            }
            // While the body is copied, its data exists twice.
            assert!(2 * copied <= expected, "{expected}: {copied}");
        }
        let mut body = Vec::new();
        while body.len() < most {
            append(&mut body, &piece, most);
        }
        assert_eq!(body.capacity(), most);
    }
}
