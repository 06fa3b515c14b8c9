//! Questions of a call's application that only the shell can answer: documents and sounds.

use std::fmt;
use std::sync::Arc;

use trunkgate_cookies::CookieJar;
use trunkgate_route::{App, WebhookMethod};

use crate::lookups::key::QueryId;

/// A question of one call.
#[derive(Debug)]
pub struct AppQuestion {
    /// Name of the answer; `None`: no answer is wanted, the caller is gone.
    pub query: Option<QueryId>,
    /// Sid of the call.
    pub call: String,
    /// The application that asks.
    pub app: Arc<App>,
    /// What is wanted.
    pub wanted: AppWanted,
    /// Cookies of the call.
    pub cookies: Arc<CookieJar>,
}

impl AppQuestion {
    /// Makes a question of a call.
    pub fn new(
        query: Option<QueryId>,
        call: &str,
        app: &Arc<App>,
        wanted: AppWanted,
        cookies: Arc<CookieJar>,
    ) -> AppQuestion {
        AppQuestion { query, call: call.to_owned(), app: Arc::clone(app), wanted, cookies }
    }
}

/// A callback: the report of an event to an application. The shell delivers each at least once, and those about the same
/// resource to the same receiver in the order in which they were made.
#[derive(Debug, Clone)]
pub struct AppCallback {
    /// Sid of the call whose trace shows it.
    pub call: String,
    /// Sid of the resource that it is about: the call, the call of a dialled party, or a stream.
    pub about: String,
    /// Name of the application that receives it, for figures.
    pub app: Arc<str>,
    /// Whether its URL may lead to private and loopback addresses.
    pub allow_private: bool,
    /// The request; its parameters stay the same in every attempt.
    pub request: DocumentRequest,
}

/// What an application wants of the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppWanted {
    /// A document.
    Document(DocumentRequest),
    /// A text as speech.
    Speech {
        /// Text without tags.
        text: String,
        /// The same with SSML tags.
        ssml: Option<String>,
        /// Voice, as the application names it.
        voice: Option<String>,
        /// Language tag.
        language: Option<String>,
    },
    /// A sound file.
    Sound(AppPlace),
}

/// Where a document or sound is.
#[derive(Clone, PartialEq, Eq)]
pub enum AppPlace {
    /// `http` or `https`.
    Url(String),
    /// A path below the folder of the configuration.
    File(String),
}

/// Without URLs, whose queries may hold secrets.
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
    /// Where it is.
    pub place: AppPlace,
    /// Method, of a URL.
    pub method: WebhookMethod,
    /// Why, for traces: `start`, `gather`, `dial` and the like.
    pub purpose: &'static str,
    /// Parameters in order.
    pub parameters: Vec<(String, String)>,
}

/// Without parameters, which hold numbers and digits.
impl fmt::Debug for DocumentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentRequest").field("place", &self.place).field("purpose", &self.purpose).finish()
    }
}

/// The shell's answer.
#[derive(Debug, Clone)]
pub enum AppAnswer {
    /// A document, or audio in its place.
    Document {
        /// Where it came from after redirects; `None`: from where it was asked for.
        url: Option<String>,
        /// Value of Content-Type.
        content_type: Option<String>,
        /// The body.
        body: Vec<u8>,
        /// Its origin, for the trace; empty: the trace has the request.
        told: String,
    },
    /// A sound.
    Sound {
        /// μ-law at 8 kHz.
        sound: Arc<[u8]>,
        /// The same.
        told: String,
    },
    /// Neither.
    Failed {
        /// Twilio's error code.
        code: u16,
        /// What happened, for the trace.
        text: String,
    },
}
