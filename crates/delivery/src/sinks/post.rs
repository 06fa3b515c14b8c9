//! Signed POST of a JSON body over a reusable connection (Standard Webhooks), and the meaning of its response: for call
//! records and alerts.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::ClientConfig;
use tokio::time::timeout;
use url::Url;

use trunkgate_config::WebhookReceiver;
use trunkgate_config::signature::sign;
use trunkgate_system::certificates::TrustAnchors;
use trunkgate_system::clock;
use trunkgate_system::limits::{
    POST_ANSWER_BYTES, POST_CONNECT_SECONDS, POST_DRAIN_MILLISECONDS, POST_RETRY_AFTER_SECONDS,
};
use trunkgate_system::web;

/// HTTP receiver, ready for requests.
#[derive(Debug)]
pub(super) struct PostTarget {
    url: Url,
    /// TLS configuration that trusts `ca` of the receiver; `None` selects the system's roots.
    tls: Option<Arc<ClientConfig>>,
    settings: WebhookReceiver,
}

/// Connection that may serve further requests.
pub(super) type PostConnection = SendRequest<Full<Bytes>>;

/// Reason why the receiver did not accept a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PostRefusal {
    /// The receiver did not respond; contains the reason.
    Unheard(String),
    /// The receiver responded with this status, and with Retry-After if given.
    Answered(StatusCode, Option<Duration>),
    /// The receiver responded with 410 Gone: it wants no further requests.
    Gone,
}

impl PostRefusal {
    /// Returns the minimum pause that the receiver has requested.
    pub(super) fn retry_after(&self) -> Duration {
        match self {
            PostRefusal::Answered(_, later) => later.unwrap_or_default(),
            PostRefusal::Unheard(_) | PostRefusal::Gone => Duration::ZERO,
        }
    }

    /// Returns whether the receiver responded that it does not accept this body, so that a repetition hardly helps:
    /// redirects and client errors, except those about time and load (408, 425, 429).
    pub(super) fn is_rejection(&self) -> bool {
        match self {
            PostRefusal::Unheard(_) => false,
            PostRefusal::Gone => true,
            PostRefusal::Answered(status, _) => {
                let is_passing = matches!(status.as_u16(), 408 | 425 | 429);
                status.is_redirection() || (status.is_client_error() && !is_passing)
            }
        }
    }
}

impl std::fmt::Display for PostRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PostRefusal::Unheard(what) => f.write_str(what),
            PostRefusal::Answered(status, _) if status.is_redirection() => {
                write!(f, "it answered {status}; redirects are not followed")
            }
            PostRefusal::Answered(status, _) => write!(f, "it answered {status}"),
            PostRefusal::Gone => f.write_str("it answered 410 Gone"),
        }
    }
}

impl PostTarget {
    /// Prepares the receiver of a configuration, and parses its certificates.
    ///
    /// # Errors
    /// Returns a message if URL or certificates are invalid.
    pub(super) fn new(settings: WebhookReceiver) -> Result<PostTarget, String> {
        let url = Url::parse(&settings.url).map_err(|error| error.to_string())?;
        let pem = settings.ca.as_ref().filter(|_| url.scheme() == "https");
        let tls = pem.map(|pem| web::trusting(TrustAnchors::of_pem(pem)?)).transpose()?;
        Ok(PostTarget { url, tls, settings })
    }

    /// Returns the receiver's URL without secrets, for messages.
    pub(super) fn place(&self) -> &str {
        trunkgate_route::url_place(&self.settings.url)
    }

    /// Returns scheme, host and port of the receiver, for messages: the path of a chat service's URL is a secret.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    fn request(&self, id: &str, json: Vec<u8>, now: Timestamp) -> Result<Request<Full<Bytes>>, String> {
        let seconds = now.as_second();
        let mut request = web::post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, "Trunkgate")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds);
        if !self.settings.secrets.is_empty() {
            request = request.header("webhook-signature", sign(&self.settings.secrets, id, seconds, &json));
        }
        if let Some(token) = &self.settings.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        // The library's error text may contain the value of a header.
        request.body(Full::new(Bytes::from(json))).map_err(|_| "invalid `url` or `token`".to_owned())
    }

    /// Sends a body with the `webhook-id` `id`; also returns the connection if it can be reused.
    pub(super) async fn post(
        &self,
        kept: Option<PostConnection>,
        id: &str,
        json: Vec<u8>,
    ) -> (Result<(), PostRefusal>, Option<PostConnection>) {
        let answered = timeout(self.settings.timeout, self.exchange(kept, id, json));
        let (mut connection, response) = match answered.await {
            Err(_) => {
                return (
                    Err(PostRefusal::Unheard(format!("no answer within {} s", self.settings.timeout.as_secs_f32()))),
                    None,
                );
            }
            Ok(Err(what)) => return (Err(PostRefusal::Unheard(what)), None),
            Ok(Ok(done)) => done,
        };
        let status = response.status();
        let later = web::retry_after(response.headers(), POST_RETRY_AFTER_SECONDS);
        // The response is complete for the body; its rest only decides whether the connection can be reused.
        let is_free = async {
            let whole = web::gather(response, POST_ANSWER_BYTES).await.is_ok_and(|(_, whole)| whole);
            whole && connection.ready().await.is_ok()
        };
        let kept = timeout(Duration::from_millis(POST_DRAIN_MILLISECONDS), is_free).await.unwrap_or(false);
        let outcome = match status {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(PostRefusal::Gone),
            status => Err(PostRefusal::Answered(status, later)),
        };
        (outcome, kept.then_some(connection))
    }

    async fn exchange(
        &self,
        kept: Option<PostConnection>,
        id: &str,
        json: Vec<u8>,
    ) -> Result<(PostConnection, Response<Incoming>), String> {
        if let Some(mut connection) = kept.filter(|connection| !connection.is_closed())
            && let Ok(response) = connection.send_request(self.request(id, json.clone(), clock::now())?).await
        {
            return Ok((connection, response));
        }
        // The server may have closed a kept connection meanwhile, which is not a failure.
        let connect = timeout(Duration::from_secs(POST_CONNECT_SECONDS), self.connect());
        let mut connection = connect.await.map_err(|_| format!("no connection within {POST_CONNECT_SECONDS} s"))??;
        let request = self.request(id, json, clock::now())?;
        let response = connection.send_request(request).await.map_err(|error| web::broken(&error))?;
        Ok((connection, response))
    }

    async fn connect(&self) -> Result<PostConnection, String> {
        let tls = match &self.tls {
            Some(tls) => Ok(Arc::clone(tls)),
            None if self.url.scheme() == "https" => web::trusting_system().await,
            None => Err("no TLS".to_owned()),
        };
        let stream = web::connect(&self.url, || tls, POST_ANSWER_BYTES).await?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| web::broken(&error))?;
        // The request reports errors of the connection as well.
        tokio::spawn(async { drop(driver.await) });
        Ok(connection)
    }
}
