//! Connection to the OTLP collector: one request, and the meaning of its response (OTLP, "OTLP/HTTP Response").

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::net::lookup_host;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use url::Url;

use trunkgate_call::numbers::plain;

use super::OtelTarget;
use super::json::{AttributeBuilder, OtlpAttribute};
use trunkgate_system::certificates::TrustAnchors;
use trunkgate_system::limits::{OTEL_ANSWER_BYTES, OTEL_RETRY_AFTER_SECONDS};
pub(crate) use trunkgate_system::web::{self, ExchangeFault, HttpAnswer};

/// OTLP collector with its URL and trusted certificates.
#[derive(Debug)]
pub(super) struct OtelCollector {
    url: Url,
    target: OtelTarget,
    /// TLS configuration, read at the first https request.
    tls: OnceCell<Arc<ClientConfig>>,
}

/// Outcome of an OTLP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PostOutcome {
    /// Accepted; contains the number of rejected spans, and the collector's reason.
    Taken(u64, String),
    /// Not accepted now; contains the collector's Retry-After, if any, and the reason.
    Later(Option<Duration>, String),
    /// Permanently rejected; contains the reason.
    Refused(String),
}

impl OtelCollector {
    /// Creates a collector for a target.
    ///
    /// # Errors
    /// Returns a message if the URL is invalid.
    pub(super) fn new(target: OtelTarget) -> Result<OtelCollector, String> {
        let url = Url::parse(&target.otel.url).map_err(|error| error.to_string())?;
        Ok(OtelCollector { url, target, tls: OnceCell::new() })
    }

    /// Returns whether a target has the URL, headers and trusted certificates of this collector.
    pub(super) fn leads_to(&self, target: &OtelTarget) -> bool {
        let (ours, theirs) = (&self.target.otel, &target.otel);
        (&ours.url, &ours.headers, &ours.ca) == (&theirs.url, &theirs.headers, &theirs.ca)
    }

    /// Returns the collector's URL without secrets, for messages.
    pub(super) fn place(&self) -> &str {
        trunkgate_route::url_place(&self.target.otel.url)
    }

    /// Returns the attributes of the edge as a resource (semantic conventions, "Service").
    pub(super) fn resource(&self) -> Vec<OtlpAttribute> {
        let attributes = AttributeBuilder::default()
            .text("service.name", self.target.otel.service_name.as_str())
            .text("service.instance.id", self.target.node.as_str())
            .text("service.version", env!("CARGO_PKG_VERSION"));
        attributes.0
    }

    /// Posts a request and evaluates the response. An error of the connection is temporary.
    pub(super) async fn post(self: Arc<OtelCollector>, body: Bytes) -> PostOutcome {
        let limit = self.target.otel.timeout;
        match timeout(limit, self.exchange(body)).await {
            Err(_) => PostOutcome::Later(None, format!("no answer within {limit:?}")),
            Ok(Err(what)) => PostOutcome::Later(None, what),
            Ok(Ok(answer)) => judge(&answer),
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<HttpAnswer, String> {
        let tls = if self.url.scheme() == "https" { Some(self.trusted().await?) } else { None };
        let to = self.reachable().await?;
        let stream = web::connect(&to, || tls.ok_or_else(|| "no TLS".to_owned()), OTEL_ANSWER_BYTES).await?;
        let request = self.request(body)?;
        web::exchange(stream, request, |_| OTEL_ANSWER_BYTES)
            .await
            .map_err(|fault: ExchangeFault| fault.what().to_owned())
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let mut request = web::post(&self.url).header(CONTENT_TYPE, "application/json").header(USER_AGENT, "Trunkgate");
        for (name, value) in &self.target.otel.headers {
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| format!("invalid header {name}"))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        // The library's error text may contain the value of a header.
        request.body(Full::new(body)).map_err(|_| "invalid headers".to_owned())
    }

    async fn trusted(&self) -> Result<Arc<ClientConfig>, String> {
        let ca = self.target.otel.ca.clone();
        let read = || async {
            match ca {
                Some(pem) => web::trusting(TrustAnchors::of_pem(&pem)?),
                None => web::trusting_system().await,
            }
        };
        self.tls.get_or_try_init(read).await.cloned()
    }

    /// Returns the URL to connect to. Plain http is sent only to resolved addresses on loopback or in `local_networks`.
    async fn reachable(&self) -> Result<Url, String> {
        let (Some(name), "http") = (self.url.domain(), self.url.scheme()) else { return Ok(self.url.clone()) };
        let port = self.url.port_or_known_default().unwrap_or(80);
        let found = lookup_host((name, port)).await.map_err(|error| format!("name not found: {error}"))?;
        let near: Option<IpAddr> = found.map(|address| address.ip()).find(|ip| self.is_near(*ip));
        let near = near.ok_or("its name does not resolve to local_networks: use https://")?;
        let mut to = self.url.clone();
        to.set_ip_host(near).map_err(|()| "no host".to_owned())?;
        Ok(to)
    }

    fn is_near(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_loopback() || self.target.otel.local_networks.iter().any(|network| network.contains(&ip))
    }
}

fn judge(answer: &HttpAnswer) -> PostOutcome {
    let status = answer.status;
    match status {
        status if status.is_success() => taken(&answer.body),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let later = web::retry_after(&answer.headers, OTEL_RETRY_AFTER_SECONDS);
            PostOutcome::Later(later, format!("it answered {status}"))
        }
        status if status.is_redirection() => {
            PostOutcome::Refused(format!("it answered {status}; redirects are not followed"))
        }
        status => PostOutcome::Refused(format!("it answered {status}")),
    }
}

/// Evaluates the `partialSuccess` of an accepted request.
fn taken(body: &[u8]) -> PostOutcome {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let partial = &said["partialSuccess"];
    let rejected = &partial["rejectedSpans"];
    let rejected = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0);
    PostOutcome::Taken(rejected, plain(partial["errorMessage"].as_str().unwrap_or_default(), 200))
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;

    fn answer(status: u16, retry_after: Option<&str>, body: &str) -> PostOutcome {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert("retry-after", seconds.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        judge(&HttpAnswer { status, headers, body: body.as_bytes().to_vec(), is_whole: true })
    }

    #[test]
    fn answers_mean_what_otlp_says() {
        for body in ["", "{}", "no json", r#"{"partialSuccess":{}}"#, r#"{"partialSuccess":{"rejectedSpans":"0"}}"#] {
            assert_eq!(answer(200, None, body), PostOutcome::Taken(0, String::new()), "{body}");
        }
        for body in [
            r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"old"}}"#,
            r#"{"partialSuccess":{"rejectedSpans":3,"errorMessage":"old"}}"#,
        ] {
            assert_eq!(answer(202, None, body), PostOutcome::Taken(3, "old".into()));
        }
        for status in [429, 502, 503, 504] {
            assert!(matches!(answer(status, None, ""), PostOutcome::Later(None, _)), "{status}");
            let PostOutcome::Later(Some(wait), _) = answer(status, Some("7"), "") else { panic!("{status}") };
            assert_eq!(wait, Duration::from_secs(7));
        }
        let PostOutcome::Later(Some(wait), _) = answer(503, Some("999999"), "") else { panic!() };
        assert_eq!(wait, Duration::from_secs(OTEL_RETRY_AFTER_SECONDS));
        for status in [301, 400, 401, 404, 413, 500, 501] {
            assert!(matches!(answer(status, Some("7"), ""), PostOutcome::Refused(_)), "{status}");
        }
    }
}
