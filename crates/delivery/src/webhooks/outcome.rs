//! Results of requests to applications: the response, or the failure with Twilio's error code.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use rustls::CertificateError;
use trunkgate_call::trace::CookieChanges;
use trunkgate_cookies::Cookie;

use super::overrides::WebhookRetryPolicy;
use super::request::WebhookPurpose;
use super::target::BadUrl;
use trunkgate_system::connector::TlsFault;
use trunkgate_system::reach::BarredAddress;
use trunkgate_system::shares::ShareGrant;

/// Response of an application with a success status.
#[derive(Debug)]
pub struct WebhookReply {
    /// Response of the application.
    pub answer: WebhookResponse,
    /// URL after redirects, without user information and fragment; the base of relative URLs in the response.
    pub final_url: String,
    /// Number of redirects that were followed.
    pub redirects: u32,
    /// Attempts of the request, in order.
    pub attempts: Vec<WebhookAttempt>,
    /// Cookies set by the response and its redirects, if the request has a jar.
    pub(crate) cookies: Vec<Cookie>,
}

/// Removes the cookies that responses have set from a result and returns them.
pub fn take_cookies(result: &mut Result<WebhookReply, WebhookFailure>) -> Vec<Cookie> {
    let (Ok(WebhookReply { cookies, .. }) | Err(WebhookFailure { cookies, .. })) = result;
    std::mem::take(cookies)
}

/// HTTP response of an application.
#[derive(Default)]
pub struct WebhookResponse {
    /// Status code of the response.
    pub status: u16,
    /// Header fields of the response.
    pub headers: HeaderMap,
    /// Body; of an error response only the part that traces display.
    pub body: Vec<u8>,
    /// Memory reserved for a large body, released on drop.
    pub(crate) memory: Option<Box<ShareGrant>>,
}

/// Omits the headers, which may contain cookies, and the body.
impl std::fmt::Debug for WebhookResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let WebhookResponse { status, headers, body, memory: _ } = self;
        f.debug_struct("WebhookResponse")
            .field("status", status)
            .field("headers", &headers.len())
            .field("bytes", &body.len())
            .finish_non_exhaustive()
    }
}

impl WebhookResponse {
    /// Returns the media type in lower case without parameters; empty without Content-Type.
    pub fn media_type(&self) -> String {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// Attempt of a request at one URL.
#[derive(Debug, Clone)]
pub struct WebhookAttempt {
    /// Requested URL, with the values of its query masked.
    pub url: String,
    /// Address that was connected to, or could not be connected to.
    pub remote: Option<SocketAddr>,
    /// Status of the response, or the reason why there is none.
    pub result: Result<u16, String>,
    /// Reason why the redirect in the response was not followed, as a clause.
    pub refused_redirect: Option<String>,
    /// Time from the start of the attempt to its end.
    pub duration: Duration,
    /// Changes of the cookies by the response.
    pub cookies: CookieChanges,
}

/// Failure of a request: no usable response.
#[derive(Debug)]
pub struct WebhookFailure {
    /// Twilio's error code for the failure.
    pub code: u32,
    /// Reason of the failure, as a clause.
    pub what: String,
    /// Response of the last attempt, if there was one.
    pub answer: Option<Box<WebhookResponse>>,
    /// Attempts of the request, in order.
    pub attempts: Vec<WebhookAttempt>,
    /// Cookies set by responses, if the request has a jar.
    pub(crate) cookies: Vec<Cookie>,
}

/// Reason why one attempt of a request has failed.
#[derive(Debug)]
pub(super) struct AttemptFault {
    pub(super) kind: AttemptFaultKind,
    /// Description, as a clause.
    pub(super) what: String,
    pub(super) answer: Option<Box<WebhookResponse>>,
}

/// Kinds of faults that lead to different decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptFaultKind {
    BadUrl,
    BadPolicy,
    /// The address of the server may not be reached by this request.
    Barred,
    UnknownHost,
    NotConnected,
    Tls,
    WrongName,
    Expired,
    Untrusted,
    /// Neither a response nor a further part of it arrived within the time limit.
    ReadTimeout,
    /// The total time limit was exceeded.
    TotalTimeout,
    /// The connection was lost before the response was complete.
    Lost,
    /// The response is not HTTP.
    NotHttp,
    TooLong,
    Packed,
    TooManyRedirects,
    BadRedirect,
    /// The status is not a success.
    Status(u16),
}

impl AttemptFault {
    pub(super) fn new(kind: AttemptFaultKind, what: impl Into<String>) -> AttemptFault {
        AttemptFault { kind, what: what.into(), answer: None }
    }

    /// Returns the fault with the response that caused it.
    pub(super) fn with(self, answer: WebhookResponse) -> AttemptFault {
        AttemptFault { answer: Some(Box::new(answer)), ..self }
    }

    /// Returns whether a retry policy covers this fault.
    pub(super) fn is_retried(&self, policy: WebhookRetryPolicy) -> bool {
        match self.kind {
            AttemptFaultKind::NotConnected => policy.connect,
            AttemptFaultKind::ReadTimeout => policy.read,
            AttemptFaultKind::Status(status) => {
                policy.client_error && (400..500).contains(&status) || policy.server_error && status >= 500
            }
            AttemptFaultKind::BadUrl
            | AttemptFaultKind::BadPolicy
            | AttemptFaultKind::Barred
            | AttemptFaultKind::UnknownHost
            | AttemptFaultKind::Tls
            | AttemptFaultKind::WrongName
            | AttemptFaultKind::Expired
            | AttemptFaultKind::Untrusted
            | AttemptFaultKind::TotalTimeout
            | AttemptFaultKind::Lost
            | AttemptFaultKind::NotHttp
            | AttemptFaultKind::TooLong
            | AttemptFaultKind::Packed
            | AttemptFaultKind::TooManyRedirects
            | AttemptFaultKind::BadRedirect => false,
        }
    }

    pub(super) fn into_failure(
        self,
        purpose: WebhookPurpose,
        attempts: Vec<WebhookAttempt>,
        cookies: Vec<Cookie>,
    ) -> WebhookFailure {
        WebhookFailure { code: self.kind.code(purpose), what: self.what, answer: self.answer, attempts, cookies }
    }
}

impl AttemptFaultKind {
    /// Returns Twilio's error code. The older one is used in place of the newer, narrower codes (11201 to 11203,
    /// 11217), because it is documented for voice and known to applications.
    fn code(self, purpose: WebhookPurpose) -> u32 {
        match self {
            AttemptFaultKind::BadUrl => 11_100,
            AttemptFaultKind::ReadTimeout
            | AttemptFaultKind::TotalTimeout
            | AttemptFaultKind::Lost
            | AttemptFaultKind::Packed
            | AttemptFaultKind::Status(_) => 11_200,
            AttemptFaultKind::Barred | AttemptFaultKind::NotConnected => 11_205,
            AttemptFaultKind::NotHttp => 11_206,
            AttemptFaultKind::UnknownHost => 11_210,
            AttemptFaultKind::TooManyRedirects => 11_215,
            AttemptFaultKind::BadRedirect => 11_216,
            AttemptFaultKind::Tls => 11_220,
            AttemptFaultKind::WrongName => 11_235,
            AttemptFaultKind::Expired => 11_236,
            AttemptFaultKind::Untrusted => 11_237,
            AttemptFaultKind::BadPolicy => 11_243,
            AttemptFaultKind::TooLong => match purpose {
                WebhookPurpose::Document => 11_750,
                WebhookPurpose::Callback | WebhookPurpose::Audio => 11_200,
            },
        }
    }
}

impl From<BadUrl> for AttemptFault {
    fn from(bad: BadUrl) -> AttemptFault {
        match bad {
            BadUrl::Format(what) => AttemptFault::new(AttemptFaultKind::BadUrl, format!("invalid URL: {what}")),
            BadUrl::Policy(word) => AttemptFault::new(
                AttemptFaultKind::BadPolicy,
                format!("`rp` of the URL's fragment: unknown policy {word:?}"),
            ),
        }
    }
}

impl From<BarredAddress> for AttemptFault {
    fn from(barred: BarredAddress) -> AttemptFault {
        AttemptFault::new(AttemptFaultKind::Barred, barred.to_string())
    }
}

impl From<TlsFault> for AttemptFault {
    fn from(fault: TlsFault) -> AttemptFault {
        use CertificateError as C;
        let kind = match &fault.certificate {
            None => AttemptFaultKind::Tls,
            Some(C::NotValidForName | C::NotValidForNameContext { .. }) => AttemptFaultKind::WrongName,
            Some(C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. }) => {
                AttemptFaultKind::Expired
            }
            Some(_) => AttemptFaultKind::Untrusted,
        };
        // Applications have no `ca` setting, so only the system's roots apply.
        let what = fault.what.replace("to `ca`", "to the certificates that the system trusts");
        let what = what.replace("`ca` or the chain", "the system's trust or the chain");
        AttemptFault::new(kind, format!("TLS: {what}"))
    }
}
