//! Requests to applications: method, parameters and purpose, and the HTTP request of each hop.

use std::sync::Arc;
use std::time::Duration;

use form_urlencoded::Serializer;
use http_body_util::Full;
use hyper::Request as HttpRequest;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, USER_AGENT,
};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use trunkgate_cookies::CookieJar;
use trunkgate_media::agent::{SIGNATURE_HEADER, sign, sign_form};

use super::target::{PlainRule, Target};
use trunkgate_config::Secret;
use trunkgate_system::limits::{AUDIO_FILE_BYTES, WEBHOOK_DOCUMENT_BYTES, WEBHOOK_TOTAL_MILLISECONDS};
use trunkgate_system::public_name::PublicName;
use trunkgate_system::reach::ReachRules;
use trunkgate_system::text::hex;
use trunkgate_system::web;

/// `User-Agent` header of the edge's requests.
const AGENT: &str = concat!("trunkgate/", env!("CARGO_PKG_VERSION"));
/// Twilio's header for a token that is equal in all attempts of a request, so that an application can recognise a
/// repetition.
const IDEMPOTENCY_TOKEN: HeaderName = HeaderName::from_static("i-twilio-idempotency-token");
/// URL parameter for the hash of a JSON body.
const BODY_HASH: &str = "bodySHA256";

/// HTTP method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum RequestMethod {
    /// GET, with the parameters in the query of the URL.
    Get,
    /// POST, with the parameters or the JSON text in the body.
    Post,
}

impl RequestMethod {
    /// Returns the method in upper case.
    pub fn name(self) -> &'static str {
        match self {
            RequestMethod::Get => "GET",
            RequestMethod::Post => "POST",
        }
    }
}

/// Content of a request to an application.
#[derive(Clone, PartialEq, Eq)]
pub enum RequestContent {
    /// Parameters, sent as a form or in the query.
    Form(Vec<(String, String)>),
    /// JSON text, always sent by POST.
    Json(Vec<u8>),
}

/// Purpose of a request, which decides on the size limit of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookPurpose {
    /// Fetch of a document, limited to a small size.
    Document,
    /// Report of an event; only the status of the response matters.
    Callback,
    /// Fetch of an audio file, with a larger size limit.
    Audio,
}

impl WebhookPurpose {
    /// Returns the maximum size of the response's body in bytes.
    pub(crate) fn most(self) -> u64 {
        match self {
            WebhookPurpose::Document | WebhookPurpose::Callback => WEBHOOK_DOCUMENT_BYTES,
            WebhookPurpose::Audio => AUDIO_FILE_BYTES,
        }
    }
}

/// HTTP request of the edge to an application.
#[derive(Clone)]
pub struct WebhookRequest {
    /// Absolute URL; its fragment may contain connection [overrides](super::overrides).
    pub(crate) url: String,
    /// HTTP method of the request.
    pub method: RequestMethod,
    pub(crate) content: RequestContent,
    pub(crate) purpose: WebhookPurpose,
    pub(crate) reach: ReachRules,
    /// Whether redirects from https to plain http on the same host are followed.
    pub insecure_redirects: bool,
    /// Application for which the request is made; concurrency limits are shared between applications.
    pub asker: Arc<str>,
    /// Token that signs the request; `None` if the request is not signed.
    pub auth_token: Option<Secret>,
    /// Maximum total time; the URL may contain a shorter one.
    pub(crate) within: Duration,
    /// Maximum size of the response's body in bytes.
    pub(crate) most: u64,
    /// Idempotency token, equal in all repetitions, including those by the caller.
    pub(crate) idempotency_token: String,
    /// Conditional headers, which permit the response 304 (RFC 9110 §13.1).
    pub(crate) conditions: Vec<(HeaderName, HeaderValue)>,
    /// Cookies of the call or conversation; `None` if no cookies are sent or stored.
    pub cookies: Option<Arc<CookieJar>>,
}

impl WebhookRequest {
    /// Creates a POST request with the limits of its purpose and a new idempotency token.
    pub fn new(url: &str, content: RequestContent, purpose: WebhookPurpose, reach: ReachRules) -> WebhookRequest {
        WebhookRequest {
            url: url.to_owned(),
            method: RequestMethod::Post,
            content,
            purpose,
            reach,
            insecure_redirects: false,
            asker: "".into(),
            auth_token: None,
            within: Duration::from_millis(WEBHOOK_TOTAL_MILLISECONDS),
            most: purpose.most(),
            idempotency_token: idempotency_token(),
            conditions: Vec::new(),
            cookies: None,
        }
    }

    /// Returns the first hop of the request.
    pub(super) fn first_hop(&self, mut target: Target) -> RequestHop {
        match (&self.content, self.method) {
            (RequestContent::Form(params), RequestMethod::Get) => {
                target.add_query(params);
                RequestHop { target, content: None }
            }
            (content, _) => RequestHop { target: hashed(target, content), content: Some(content.clone()) },
        }
    }
}

impl WebhookRequest {
    /// Returns the rule for redirects from https to plain http.
    pub(super) fn plain_rule(&self) -> PlainRule {
        match (self.insecure_redirects, self.reach.allow_private) {
            (true, _) => PlainRule::SameHost,
            (false, true) => PlainRule::PrivateHosts,
            (false, false) => PlainRule::Never,
        }
    }
}

/// One URL of a request, with the contents of its POST; `None` for GET.
#[derive(Clone)]
pub(super) struct RequestHop {
    pub(super) target: Target,
    content: Option<RequestContent>,
}

impl RequestHop {
    /// Returns the HTTP method of the hop.
    pub(super) fn method(&self) -> RequestMethod {
        if self.content.is_some() { RequestMethod::Post } else { RequestMethod::Get }
    }

    /// Returns the hop that a redirect with this status leads to. 307 and 308 repeat the POST; other statuses lead to a
    /// GET, as in browsers and at Twilio (RFC 9110 §15.4).
    pub(super) fn next(&self, target: Target, status: u16) -> RequestHop {
        let content = self.content.clone().filter(|_| matches!(status, 307 | 308));
        match content {
            Some(content) => RequestHop { target: hashed(target, &content), content: Some(content) },
            None => RequestHop { target, content: None },
        }
    }

    /// Builds the HTTP request of the hop; `cookies` is the value of its Cookie header.
    ///
    /// # Errors
    /// Returns a message if a value is not permitted in a header; the message does not contain the value.
    pub(super) fn request(
        &self,
        of: &WebhookRequest,
        cookies: Option<&str>,
    ) -> Result<HttpRequest<Full<Bytes>>, String> {
        let method = match self.method() {
            RequestMethod::Post => hyper::Method::POST,
            RequestMethod::Get => hyper::Method::GET,
        };
        let mut request = web::request(method, self.target.url())
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "*/*")
            // A compressed response could expand a thousandfold, so compression is not accepted.
            .header(ACCEPT_ENCODING, "identity")
            .header(IDEMPOTENCY_TOKEN, &of.idempotency_token);
        if let Some(auth_token) = &of.auth_token {
            request = request.header(SIGNATURE_HEADER, self.signature(auth_token.reveal()));
        }
        let origin = self.target.origin();
        if of.reach.public_name_of(&origin.host).is_some() {
            for (name, value) in PublicName::forwarded(origin.is_https) {
                request = request.header(name, value);
            }
        }
        if let Some(authorization) = self.target.authorization() {
            request = request.header(AUTHORIZATION, authorization);
        }
        // Cookies beyond ASCII are sent unchanged, as by browsers.
        if let Some(mut cookies) = cookies.and_then(|cookies| HeaderValue::from_bytes(cookies.as_bytes()).ok()) {
            cookies.set_sensitive(true);
            request = request.header(COOKIE, cookies);
        }
        for (name, value) in &of.conditions {
            request = request.header(name, value);
        }
        let body = match &self.content {
            None => Vec::new(),
            Some(RequestContent::Form(params)) => {
                request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8");
                Serializer::new(String::new()).extend_pairs(params).finish().into_bytes()
            }
            Some(RequestContent::Json(text)) => {
                request = request.header(CONTENT_TYPE, "application/json; charset=UTF-8");
                text.clone()
            }
        };
        // The library's error text may contain the value of a header.
        request.body(Full::new(Bytes::from(body))).map_err(|_| "no valid request".to_owned())
    }

    /// Returns the value of X-Twilio-Signature for the hop's URL and POST parameters.
    pub(super) fn signature(&self, auth_token: &str) -> String {
        match &self.content {
            Some(RequestContent::Form(params)) => sign_form(auth_token, &self.target.signed(), params),
            Some(RequestContent::Json(_)) | None => sign(auth_token, &self.target.signed()),
        }
    }
}

/// Adds the hash of JSON contents to the URL; the URL of a form stays unchanged.
fn hashed(mut target: Target, content: &RequestContent) -> Target {
    if let RequestContent::Json(text) = content {
        target.add_query(&[(BODY_HASH.to_owned(), hex(&Sha256::digest(text)))]);
    }
    target
}

/// Returns a new random idempotency token.
pub(crate) fn idempotency_token() -> String {
    token(rand::rng().random())
}

/// Formats random bits as a UUID (RFC 9562 §5.4).
fn token(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde::Deserialize;

    use super::*;

    /// Request as an application receives it, checked by Twilio's validators (interop `webhook-signature`).
    #[derive(Deserialize)]
    struct Signed {
        configured: String,
        method: String,
        params: Vec<(String, String)>,
        body: Option<String>,
        auth_token: String,
        seen: String,
        signature: String,
    }

    fn read() -> Vec<Signed> {
        serde_json::from_str(include_str!("../../../../tests/data/webhook_signatures.json")).unwrap()
    }

    fn asked(signed: &Signed) -> (HttpRequest<Full<Bytes>>, RequestHop) {
        let content = match &signed.body {
            Some(text) => RequestContent::Json(text.clone().into_bytes()),
            None => RequestContent::Form(signed.params.clone()),
        };
        let mut request =
            WebhookRequest::new(&signed.configured, content, WebhookPurpose::Document, ReachRules::default());
        request.method = if signed.method == "GET" { RequestMethod::Get } else { RequestMethod::Post };
        request.auth_token = Some(Secret::new(signed.auth_token.clone()));
        let hop = request.first_hop(Target::parse(&signed.configured).unwrap());
        (hop.request(&request, None).unwrap(), hop)
    }

    #[tokio::test]
    async fn requests_are_those_that_twilios_validators_take() {
        let all = read();
        assert!(all.len() >= 300);
        for signed in all {
            let (request, hop) = asked(&signed);
            let scheme = if hop.target.is_https() { "https" } else { "http" };
            let host = request.headers()["host"].to_str().unwrap();
            assert_eq!(format!("{scheme}://{host}{}", request.uri()), signed.seen, "{}", signed.configured);
            assert_eq!(request.headers()[SIGNATURE_HEADER], signed.signature, "{}", signed.configured);
            let body = request.into_body().collect().await.unwrap().to_bytes();
            match (&signed.body, signed.method.as_str()) {
                (Some(text), _) => assert_eq!(body, text.as_bytes()),
                (None, "GET") => assert!(body.is_empty()),
                (None, _) => {
                    let read: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
                    assert_eq!(read, signed.params);
                }
            }
        }
    }

    #[test]
    fn the_published_vector_is_signed() {
        let params = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+12349013030"),
            ("Digits", "1234"),
            ("From", "+12349013030"),
            ("To", "+18005551212"),
        ];
        let content = RequestContent::Form(params.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        let request = WebhookRequest::new(url, content, WebhookPurpose::Document, ReachRules::default());
        let hop = request.first_hop(Target::parse(url).unwrap());
        assert_eq!(hop.signature("12345"), "0/KCTR6DLpKmkAf8muzZqo1nDgQ=");
        assert_eq!(hop.request(&request, None).unwrap().headers().get(SIGNATURE_HEADER), None);
    }

    #[test]
    fn a_redirect_is_asked_by_get_unless_it_says_otherwise() {
        let content = RequestContent::Json(b"{}".to_vec());
        let request =
            WebhookRequest::new("https://a.example/x", content, WebhookPurpose::Callback, ReachRules::default());
        let hop = request.first_hop(Target::parse(&request.url).unwrap());
        let target = || Target::parse("https://a.example/y").unwrap();
        for (status, is_posted) in [(301, false), (302, false), (303, false), (307, true), (308, true)] {
            let next = hop.next(target(), status).request(&request, None).unwrap();
            assert_eq!(next.method() == hyper::Method::POST, is_posted, "{status}");
            assert_eq!(next.uri().query().is_some_and(|query| query.starts_with("bodySHA256=44136f")), is_posted);
            assert_eq!(next.headers().contains_key(CONTENT_TYPE), is_posted);
        }
    }

    #[test]
    fn a_token_has_the_form_of_a_uuid() {
        assert_eq!(token(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(token(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
