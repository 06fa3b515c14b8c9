//! Results of requests to applications: the answer, or the reason why there is none, with Twilio's error code for it.

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

/// An answer with a status of success.
#[derive(Debug)]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// The URL that was asked last, without user information and fragment: relative URLs of the answer are meant from there.
    pub final_url: String,
    /// Number of redirects that led there.
    pub redirects: u32,
    /// Attempts in the order in which they were made.
    pub attempts: Vec<Attempt>,
    /// Cookies that it and the redirects have set, where the request has a jar.
    pub(crate) cookies: Vec<Cookie>,
}

/// Takes the cookies that a request's answers have set out of its result.
pub fn take_cookies(result: &mut Result<Reply, Failure>) -> Vec<Cookie> {
    let (Ok(Reply { cookies, .. }) | Err(Failure { cookies, .. })) = result;
    std::mem::take(cookies)
}

/// An answer of an application.
#[derive(Default)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// Of an answer that is none of success, as much as may be shown.
    pub body: Vec<u8>,
    /// Memory for a large body.
    pub(crate) memory: Option<Box<Granted>>,
}

/// Shows neither headers, which may hold cookies, nor the body.
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
    /// The media type in lower case, without parameters; empty where there is none.
    pub fn media_type(&self) -> String {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// One try at one URL.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// With the values of its query hidden.
    pub url: String,
    /// The address that was connected to, or was to be.
    pub remote: Option<SocketAddr>,
    /// The status of the answer, or what happened instead.
    pub result: Result<u16, String>,
    /// The reason why the redirect of the answer was not followed, as a clause.
    pub refused_redirect: Option<String>,
    /// Duration of the attempt.
    pub duration: Duration,
    /// Changes that its answer made to the cookies of the call.
    pub cookies: CookieChanges,
}

/// A request without an answer of use.
#[derive(Debug)]
pub struct Failure {
    /// Twilio's error code.
    pub code: u32,
    /// The reason, as a clause.
    pub what: String,
    /// The answer, where there was one.
    pub answer: Option<Box<Answer>>,
    /// Attempts in the order in which they were made.
    pub attempts: Vec<Attempt>,
    /// Cookies that answers have set, where the request has a jar.
    pub(crate) cookies: Vec<Cookie>,
}

/// A fault on the way of a request.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// As a clause.
    pub(super) what: String,
    pub(super) answer: Option<Box<Answer>>,
}

/// Kinds of faults, as far as decisions depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BadUrl,
    BadPolicy,
    /// The application's address is out of reach.
    Barred,
    UnknownHost,
    NotConnected,
    Tls,
    WrongName,
    Expired,
    Untrusted,
    /// No answer, or no more of it, in the time for it.
    ReadTimeout,
    /// All together took too long.
    TotalTimeout,
    /// The connection was lost before the answer was whole.
    Lost,
    /// The answer is not HTTP.
    NotHttp,
    TooLong,
    Packed,
    TooManyRedirects,
    BadRedirect,
    /// The application answered with no status of success.
    Status(u16),
}

impl Fault {
    pub(super) fn new(kind: Kind, what: impl Into<String>) -> Fault {
        Fault { kind, what: what.into(), answer: None }
    }

    /// A fault that comes with an answer.
    pub(super) fn with(self, answer: Answer) -> Fault {
        Fault { answer: Some(Box::new(answer)), ..self }
    }

    /// Whether a policy has the request tried again after this.
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
    /// Twilio's error code. Where its list has a new, narrower code (11201 to 11203, 11217) the older one is used, which is documented
    /// for voice and which applications know.
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
        // Applications have no `ca`: what the system trusts decides.
        let what = fault.what.replace("to `ca`", "to the certificates that the system trusts");
        let what = what.replace("`ca` or the chain", "the system's trust or the chain");
        Fault::new(kind, format!("TLS: {what}"))
    }
}
