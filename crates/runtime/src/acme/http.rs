//! HTTP client for the ACME library, based on the edge's own connector, TLS and trust, with limits on the size and time
//! of responses.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use rustls::ClientConfig;
use tokio::time::timeout;
use url::Url;

use trunkgate_delivery::webhooks::shown_url;
use trunkgate_system::clock;
use trunkgate_system::limits::{ACME_ANSWER_BYTES, ACME_REQUEST_SECONDS, ACME_RETRY_AFTER_SECONDS};
use trunkgate_system::web;

type AcmeHttpResult = Result<BytesResponse, Error>;

/// Latest request of an order, included in the report of a failure.
#[derive(Debug, Clone, Default)]
pub(super) struct LastRequest {
    /// URL of the request, without secrets.
    pub(super) url: String,
    /// Status of the response if it was an error; `None` otherwise.
    pub(super) refused: Option<StatusCode>,
    /// Retry-After of the error response, limited to [`ACME_RETRY_AFTER_SECONDS`].
    pub(super) retry_after: Option<Duration>,
}

/// HTTP client for the requests of one order. Clones share the latest request.
#[derive(Debug, Clone)]
pub(super) struct AcmeHttp {
    /// TLS configuration with the trusted CAs of `ca` in `[tls] acme`; `None` for the system's roots.
    tls: Option<Arc<ClientConfig>>,
    /// True if unencrypted requests are allowed, for an authority on loopback; a remote directory cannot redirect them
    /// to local servers.
    in_clear: bool,
    last: Arc<Mutex<LastRequest>>,
}

impl AcmeHttp {
    pub(super) fn new(tls: Option<Arc<ClientConfig>>, in_clear: bool) -> AcmeHttp {
        AcmeHttp { tls, in_clear, last: Arc::default() }
    }

    /// Returns the latest request.
    pub(super) fn last(&self) -> LastRequest {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, LastRequest> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(&self, request: Request<BodyWrapper<Bytes>>) -> AcmeHttpResult {
        let (parts, body) = request.into_parts();
        let text = parts.uri.to_string();
        *self.lock() = LastRequest { url: shown_url(&text), ..LastRequest::default() };
        let url = Url::parse(&text).map_err(|error| failed(format!("not a URL: {error}")))?;
        let is_https = url.scheme() == "https";
        let is_local = url.host_str().is_some_and(trunkgate_route::is_loopback_host);
        let may_be_clear = self.in_clear && url.scheme() == "http" && is_local;
        if !is_https && !may_be_clear {
            return Err(failed("not an https:// URL".to_owned()));
        }
        let Ok(body) = body.collect().await;
        let mut builder = web::request(parts.method, &url);
        for (name, value) in &parts.headers {
            builder = builder.header(name, value);
        }
        let request = builder.body(Full::new(body.to_bytes()))?;
        let tls = match &self.tls {
            Some(tls) => Ok(Arc::clone(tls)),
            None if is_https => web::trusting_system().await,
            None => Err("no TLS".to_owned()),
        };
        let stream = web::connect(&url, || tls, ACME_ANSWER_BYTES).await.map_err(failed)?;
        let answer = web::exchange(stream, request, |_| ACME_ANSWER_BYTES).await;
        let mut answer = answer.map_err(|fault| failed(fault.what().to_owned()))?;
        if !answer.is_whole {
            return Err(failed(format!("an answer of more than {ACME_ANSWER_BYTES} bytes")));
        }
        let retry_after = bound_retry_after(&mut answer.headers, clock::now());
        if answer.status.is_client_error() || answer.status.is_server_error() {
            let mut last = self.lock();
            (last.refused, last.retry_after) = (Some(answer.status), retry_after);
        }
        let mut response = Response::new(Full::new(Bytes::from(answer.body)));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(BytesResponse::from(response))
    }
}

impl HttpClient for AcmeHttp {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = AcmeHttpResult> + Send>> {
        let client = self.clone();
        let within = Duration::from_secs(ACME_REQUEST_SECONDS);
        Box::pin(async move {
            let late = |_| Err(failed(format!("no answer within {ACME_REQUEST_SECONDS} s")));
            timeout(within, client.exchange(request)).await.unwrap_or_else(late)
        })
    }
}

fn failed(what: String) -> Error {
    Error::Other(what.into())
}

/// Returns the time in Retry-After, given in seconds or as a date (RFC 9110 §10.2.3), limited to
/// [`ACME_RETRY_AFTER_SECONDS`]; `None` without a valid header.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let most = Duration::from_secs(ACME_RETRY_AFTER_SECONDS);
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(most));
    }
    let until = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default().min(most))
}

/// Replaces the Retry-After header by its limited value in seconds, and returns that time. Without a limit, the ACME
/// library would add any number to the current time and panic on overflow.
fn bound_retry_after(headers: &mut HeaderMap, now: Timestamp) -> Option<Duration> {
    let time = retry_after(headers, now)?;
    headers.insert(RETRY_AFTER, HeaderValue::from(time.as_secs()));
    Some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let cases = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sat, 28 Nov 2026 12:05:00 GMT", Some(300)),
            ("Sat, 28 Nov 2026 11:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("18446744073709551615", Some(ACME_RETRY_AFTER_SECONDS)),
            ("Thu, 28 Nov 2999 12:00:00 GMT", Some(ACME_RETRY_AFTER_SECONDS)),
        ];
        for (text, seconds) in cases {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(bound_retry_after(&mut headers, now), seconds.map(Duration::from_secs), "{text}");
            let expected = seconds.map_or_else(|| text.to_owned(), |seconds| seconds.to_string());
            assert_eq!(headers[RETRY_AFTER], expected, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[tokio::test]
    async fn a_request_in_clear_leaves_for_this_machine_alone_and_for_a_directory_there() {
        for (in_clear, url) in [(true, "http://ca.example/directory"), (false, "http://127.0.0.1:1/v1/reload")] {
            let client = AcmeHttp::new(None, in_clear);
            let request = Request::builder().uri(url).body(BodyWrapper::default()).unwrap();
            let Err(error) = client.request(request).await else { panic!("answered") };
            assert_eq!(error.to_string(), "not an https:// URL");
            assert_eq!(client.last().url, url);
        }
    }
}
