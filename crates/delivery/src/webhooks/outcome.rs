//! Results of requests to applications: the response, or the failure with Twilio's error code.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use rustls::CertificateError;
use trunkgate_call::trace::CookieChanges;
use trunkgate_cookies::Cookie;

use super::overrides::Policy;
use super::request::Purpose;
use super::target::BadUrl;
use trunkgate_system::connector::TlsFault;
use trunkgate_system::reach::Barred;
use trunkgate_system::shares::Granted;

/// Response with a success status.
#[derive(Debug)]
pub struct Reply {
    /// Response of the application.
    pub answer: Answer,
    /// Final URL without user information and fragment; the base of relative URLs in the response.
    pub final_url: String,
    /// Number of followed redirects.
    pub redirects: u32,
    /// Attempts in order.
    pub attempts: Vec<Attempt>,
    /// Cookies set by the response and its redirects, if the request has a jar.
    pub(crate) cookies: Vec<Cookie>,
}

/// Takes the cookies set by a request's responses out of its result.
pub fn take_cookies(result: &mut Result<Reply, Failure>) -> Vec<Cookie> {
    let (Ok(Reply { cookies, .. }) | Err(Failure { cookies, .. })) = result;
    std::mem::take(cookies)
}

/// HTTP response of an application.
#[derive(Default)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// Body; of an error response only the displayable part.
    pub body: Vec<u8>,
    /// Memory reserved for a large body.
    pub(crate) memory: Option<Box<Granted>>,
}

/// Omits the headers, which may contain cookies, and the body.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Answer { status, headers, body, memory: _ } = self;
        f.debug_struct("Answer")
            .field("status", status)
            .field("headers", &headers.len())
            .field("bytes", &body.len())
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// Returns the media type in lower case without parameters; empty if there is none.
    pub fn media_type(&self) -> String {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// One attempt at one URL.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// URL with the values of its query masked.
    pub url: String,
    /// Address that was connected to, or was to be.
    pub remote: Option<SocketAddr>,
    /// Status of the response, or a description of the failure.
    pub result: Result<u16, String>,
    /// Reason why the redirect was not followed, as a clause.
    pub refused_redirect: Option<String>,
    /// Duration of the attempt.
    pub duration: Duration,
    /// Changes of the call's cookies by the response.
    pub cookies: CookieChanges,
}

/// Request without a usable response.
#[derive(Debug)]
pub struct Failure {
    /// Twilio's error code.
    pub code: u32,
    /// Reason, as a clause.
    pub what: String,
    /// Response, if there was one.
    pub answer: Option<Box<Answer>>,
    /// Attempts in order.
    pub attempts: Vec<Attempt>,
    /// Cookies set by responses, if the request has a jar.
    pub(crate) cookies: Vec<Cookie>,
}

/// Fault of a single attempt.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// Description, as a clause.
    pub(super) what: String,
    pub(super) answer: Option<Box<Answer>>,
}

/// Kinds of faults that decisions depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BadUrl,
    BadPolicy,
    /// The address is not allowed.
    Barred,
    UnknownHost,
    NotConnected,
    Tls,
    WrongName,
    Expired,
    Untrusted,
    /// No response, or no further part of it, within the time limit.
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

impl Fault {
    pub(super) fn new(kind: Kind, what: impl Into<String>) -> Fault {
        Fault { kind, what: what.into(), answer: None }
    }

    /// Returns the fault with its response.
    pub(super) fn with(self, answer: Answer) -> Fault {
        Fault { answer: Some(Box::new(answer)), ..self }
    }

    /// Returns whether a policy retries after this fault.
    pub(super) fn is_retried(&self, policy: Policy) -> bool {
        match self.kind {
            Kind::NotConnected => policy.connect,
            Kind::ReadTimeout => policy.read,
            Kind::Status(status) => {
                policy.client_error && (400..500).contains(&status) || policy.server_error && status >= 500
            }
            Kind::BadUrl
            | Kind::BadPolicy
            | Kind::Barred
            | Kind::UnknownHost
            | Kind::Tls
            | Kind::WrongName
            | Kind::Expired
            | Kind::Untrusted
            | Kind::TotalTimeout
            | Kind::Lost
            | Kind::NotHttp
            | Kind::TooLong
            | Kind::Packed
            | Kind::TooManyRedirects
            | Kind::BadRedirect => false,
        }
    }

    pub(super) fn into_failure(self, purpose: Purpose, attempts: Vec<Attempt>, cookies: Vec<Cookie>) -> Failure {
        Failure { code: self.kind.code(purpose), what: self.what, answer: self.answer, attempts, cookies }
    }
}

impl Kind {
    /// Returns Twilio's error code. Instead of the newer, narrower codes (11201 to 11203, 11217) the older one is used,
    /// which is documented for voice and known to applications.
    fn code(self, purpose: Purpose) -> u32 {
        match self {
            Kind::BadUrl => 11_100,
            Kind::ReadTimeout | Kind::TotalTimeout | Kind::Lost | Kind::Packed | Kind::Status(_) => 11_200,
            Kind::Barred | Kind::NotConnected => 11_205,
            Kind::NotHttp => 11_206,
            Kind::UnknownHost => 11_210,
            Kind::TooManyRedirects => 11_215,
            Kind::BadRedirect => 11_216,
            Kind::Tls => 11_220,
            Kind::WrongName => 11_235,
            Kind::Expired => 11_236,
            Kind::Untrusted => 11_237,
            Kind::BadPolicy => 11_243,
            Kind::TooLong => match purpose {
                Purpose::Document => 11_750,
                Purpose::Callback | Purpose::Audio => 11_200,
            },
        }
    }
}

impl From<BadUrl> for Fault {
    fn from(bad: BadUrl) -> Fault {
        match bad {
            BadUrl::Format(what) => Fault::new(Kind::BadUrl, format!("invalid URL: {what}")),
            BadUrl::Policy(word) => {
                Fault::new(Kind::BadPolicy, format!("`rp` of the URL's fragment: unknown policy {word:?}"))
            }
        }
    }
}

impl From<Barred> for Fault {
    fn from(barred: Barred) -> Fault {
        Fault::new(Kind::Barred, barred.to_string())
    }
}

impl From<TlsFault> for Fault {
    fn from(fault: TlsFault) -> Fault {
        use CertificateError as C;
        let kind = match &fault.certificate {
            None => Kind::Tls,
            Some(C::NotValidForName | C::NotValidForNameContext { .. }) => Kind::WrongName,
            Some(C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. }) => {
                Kind::Expired
            }
            Some(_) => Kind::Untrusted,
        };
        // Applications have no `ca` setting; only the system roots apply.
        let what = fault.what.replace("to `ca`", "to the certificates that the system trusts");
        let what = what.replace("`ca` or the chain", "the system's trust or the chain");
        Fault::new(kind, format!("TLS: {what}"))
    }
}
