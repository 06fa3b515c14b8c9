//! Requests of a call's application that the shell carries out: documents and sounds.

use std::fmt;
use std::sync::Arc;

use trunkgate_cookies::CookieJar;
use trunkgate_route::{App, WebhookMethod};

use crate::lookups::key::QueryId;

/// A request of one call's application.
#[derive(Debug)]
pub struct AppQuestion {
    /// Id of the response; `None` if no response is wanted, because the caller is gone.
    pub query: Option<QueryId>,
    /// SID of the call whose application requests the resource.
    pub call: String,
    /// Application of the call.
    pub app: Arc<App>,
    /// The requested resource.
    pub wanted: AppResource,
    /// Cookies of the call.
    pub cookies: Arc<CookieJar>,
}

impl AppQuestion {
    /// Returns a request of a call's application.
    pub fn new(
        query: Option<QueryId>,
        call: &str,
        app: &Arc<App>,
        wanted: AppResource,
        cookies: Arc<CookieJar>,
    ) -> AppQuestion {
        AppQuestion { query, call: call.to_owned(), app: Arc::clone(app), wanted, cookies }
    }
}

/// Callback: the report of an event to an application. The shell delivers each at least once; callbacks about the
/// same resource to the same receiver keep their order.
#[derive(Debug, Clone)]
pub struct AppCallback {
    /// SID of the call that has the callback in its trace.
    pub call: String,
    /// SID of the reported resource: the call, the call of a dialled party, or a stream.
    pub about: String,
    /// Name of the receiving application, for metrics.
    pub app: Arc<str>,
    /// Whether the URL may resolve to private and loopback addresses.
    pub allow_private: bool,
    /// HTTP request of the callback; its parameters are the same in every attempt.
    pub request: DocumentRequest,
}

/// Resource that an application requests from the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppResource {
    /// A document that controls the call, such as TwiML.
    Document(DocumentRequest),
    /// A text to synthesize.
    Speech {
        /// Text without tags.
        text: String,
        /// Text with SSML tags.
        ssml: Option<String>,
        /// Voice name of the application.
        voice: Option<String>,
        /// Language tag.
        language: Option<String>,
    },
    /// A sound file to play.
    Sound(AppPlace),
}

/// Location of a document or sound.
#[derive(Clone, PartialEq, Eq)]
pub enum AppPlace {
    /// An `http` or `https` URL.
    Url(String),
    /// A path below the configuration's folder.
    File(String),
}

/// Omits URLs, since query strings may hold secrets.
impl fmt::Debug for AppPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppPlace::Url(_) => f.write_str("Url"),
            AppPlace::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// A request for a document.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentRequest {
    /// URL or path of the document.
    pub place: AppPlace,
    /// HTTP method, if the location is a URL.
    pub method: WebhookMethod,
    /// Purpose shown in traces: `start`, `gather`, `dial` and others.
    pub purpose: &'static str,
    /// Parameters, in order.
    pub parameters: Vec<(String, String)>,
}

/// Omits the parameters, because they contain phone numbers and DTMF digits.
impl fmt::Debug for DocumentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentRequest").field("place", &self.place).field("purpose", &self.purpose).finish()
    }
}

/// Response of the shell to an [`AppQuestion`].
#[derive(Debug, Clone)]
pub enum AppAnswer {
    /// A document, or audio that is to be played instead of a document.
    Document {
        /// URL after redirects; `None` if no redirect was followed.
        url: Option<String>,
        /// Value of the response's Content-Type.
        content_type: Option<String>,
        /// Body of the response.
        body: Vec<u8>,
        /// Origin of the document, as a line for the trace; empty if the trace already has the request.
        told: String,
    },
    /// A sound that was fetched or synthesized.
    Sound {
        /// μ-law audio at 8 kHz.
        sound: Arc<[u8]>,
        /// Origin of the sound, as a line for the trace; empty if the trace already has the request.
        told: String,
    },
    /// A request for a document or sound that has failed.
    Failed {
        /// Twilio's error code.
        code: u16,
        /// Error text for the trace.
        text: String,
    },
}
