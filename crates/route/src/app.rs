//! Applications: TwiML documents, sounds, mailboxes and conferences that control a call.

use std::fmt;
use std::sync::Arc;

use crate::agent::url_place;
use crate::mailbox::Mailbox;
use crate::number::Number;
use crate::pattern::Pattern;
use crate::target::TargetSpec;
use crate::transfer_to::{TransferRule, TransferTarget};

/// HTTP method of a webhook request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum WebhookMethod {
    /// POST, with the parameters in the request body.
    #[default]
    Post,
    /// GET, with the parameters in the URL query.
    Get,
}

impl WebhookMethod {
    /// Returns the name of the method, `POST` or `GET`.
    pub const fn as_str(self) -> &'static str {
        match self {
            WebhookMethod::Post => "POST",
            WebhookMethod::Get => "GET",
        }
    }
}

/// First document of an application.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum AppDocument {
    /// Document fetched from a web application.
    Url {
        /// URL of the document as configured, `http` or `https`.
        url: String,
        /// Method of the request for the document.
        method: WebhookMethod,
    },
    /// File with the document, relative to the configuration directory.
    File(String),
    /// Text of the document, from an API request.
    Text(Arc<str>),
    /// Sound file to play, relative to the configuration directory; the next target of the route follows.
    Sound(String),
    /// Mailbox, which plays a greeting and a tone, and records the caller's message.
    Mailbox(Mailbox),
    /// Conference of this name, which the caller joins; there is no document.
    Conference(Arc<str>),
}

/// Receiver of status callbacks for an application's calls.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StatusCallback {
    /// URL of the receiver, as configured.
    pub url: String,
    /// Method of the requests.
    #[serde(default)]
    pub method: WebhookMethod,
    /// Whether the start of the call is reported.
    pub initiated: bool,
    /// Whether ringing is reported.
    pub ringing: bool,
    /// Whether the answer is reported.
    pub answered: bool,
    /// Whether the end of the call is reported.
    pub completed: bool,
}

/// Omits the URL, whose query may contain secrets.
impl fmt::Debug for StatusCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusCallback").finish_non_exhaustive()
    }
}

/// Application that controls calls. Serialization omits the lists from the configuration, because only applications
/// created by an API request are serialized.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct App {
    /// Name in the configuration; for a sound its path, for a mailbox its target.
    pub name: Arc<str>,
    /// Document, sound, mailbox or conference with which the application starts.
    pub document: AppDocument,
    /// URL fetched if a document cannot be obtained or executed.
    pub fallback_url: Option<String>,
    /// Method of the request to the fallback URL.
    pub fallback_method: WebhookMethod,
    /// Receiver of status callbacks; `None` sends none.
    pub status_callback: Option<StatusCallback>,
    /// Whether URLs of the application may lead to private and loopback addresses.
    pub allow_private: bool,
    /// Whether a redirect from https to plain http on the same host is followed.
    pub insecure_redirects: bool,
    /// Token that signs the handshakes of media streams; `None` sends no signature.
    pub auth_token: Option<String>,
    /// Targets for numbers that the application dials, in order; if empty, the routes decide as for a call from the
    /// caller's trunk.
    pub connect: Vec<TargetSpec>,
    /// SIP addresses that the application may dial and refer to, in addition to those of trunks.
    #[serde(skip)]
    pub sip_to: Vec<TransferRule>,
    /// Caller IDs that `<Dial>` may use, in addition to the numbers of the edge and the call.
    #[serde(skip)]
    pub callers: Vec<Pattern>,
    /// Whether an API request created the application for a single call; the configuration does not contain it.
    pub is_made: bool,
}

impl App {
    /// Creates an application that starts with this document and has the configuration's defaults.
    pub fn new(name: &str, document: AppDocument) -> App {
        App {
            name: name.into(),
            document,
            fallback_url: None,
            fallback_method: WebhookMethod::default(),
            status_callback: None,
            allow_private: false,
            insecure_redirects: false,
            auth_token: None,
            connect: Vec::new(),
            sip_to: Vec::new(),
            callers: Vec::new(),
            is_made: false,
        }
    }

    /// Creates an application that plays a sound file, after which the next target of the route is tried.
    pub fn playing(file: &str) -> App {
        App::new(file, AppDocument::Sound(file.to_owned()))
    }

    /// Creates an application for a mailbox, named `voicemail:NAME`; no configured application can have such a name.
    pub fn mailbox(mailbox: Mailbox) -> App {
        App::new(&mailbox.target(), AppDocument::Mailbox(mailbox))
    }

    /// Creates an application that joins a conference, named `conference:NAME`; no configured application can have
    /// such a name.
    pub fn conference(name: &str) -> App {
        App::new(&format!("conference:{name}"), AppDocument::Conference(name.into()))
    }

    /// Returns whether `callers` permits a caller ID. Prefixes and expressions match numbers only, not names.
    pub fn may_show(&self, number: &Number) -> bool {
        let may_pass = |pattern: &Pattern| number.is_e164 || matches!(pattern, Pattern::Exact(_));
        self.callers.iter().any(|pattern| may_pass(pattern) && pattern.matches(&number.text))
    }

    /// Returns whether the application only joins a conference.
    pub fn is_conference(&self) -> bool {
        self.as_conference().is_some()
    }

    /// Returns the name of the conference, if the application only joins one.
    pub fn as_conference(&self) -> Option<&str> {
        match &self.document {
            AppDocument::Conference(name) => Some(name),
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => None,
            AppDocument::Sound(_) | AppDocument::Mailbox(_) => None,
        }
    }

    /// Returns the path of the sound file, if the application only plays one.
    pub fn as_sound(&self) -> Option<&str> {
        match &self.document {
            AppDocument::Sound(file) => Some(file),
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => None,
            AppDocument::Mailbox(_) | AppDocument::Conference(_) => None,
        }
    }

    /// Returns the mailbox, if the application only records messages for one.
    pub fn as_mailbox(&self) -> Option<&Mailbox> {
        match &self.document {
            AppDocument::Mailbox(mailbox) => Some(mailbox),
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => None,
            AppDocument::Sound(_) | AppDocument::Conference(_) => None,
        }
    }

    /// Returns the application as a target of `connect`.
    pub fn spec(&self) -> TargetSpec {
        match &self.document {
            AppDocument::Sound(file) => TargetSpec::Play(file.clone()),
            AppDocument::Mailbox(mailbox) => TargetSpec::Voicemail(mailbox.name.to_string()),
            AppDocument::Conference(name) => TargetSpec::Conference(name.to_string()),
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => {
                TargetSpec::App(self.name.to_string())
            }
        }
    }

    /// Returns the target as text: `app:NAME`, `play:FILE`, `voicemail:NAME`, `conference:NAME`.
    pub fn target(&self) -> String {
        let kind = match &self.document {
            AppDocument::Mailbox(mailbox) => return mailbox.target(),
            AppDocument::Conference(_) => return self.name.to_string(),
            AppDocument::Sound(_) => "play",
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => "app",
        };
        format!("{kind}:{}", self.name)
    }

    /// Returns the location of the first document for messages, without user information and query, which may contain
    /// secrets.
    pub fn place(&self) -> String {
        match &self.document {
            AppDocument::Url { url, .. } => {
                let place = url_place(url);
                let (scheme, rest) = place.split_once("://").unwrap_or(("", place));
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let host = authority.rsplit('@').next().unwrap_or_default();
                format!("{scheme}://{host}{path}")
            }
            AppDocument::File(file) | AppDocument::Sound(file) => file.clone(),
            AppDocument::Text(_) => "Twiml".to_owned(),
            AppDocument::Conference(name) => name.to_string(),
            AppDocument::Mailbox(mailbox) => mailbox.greeting.clone().unwrap_or_else(|| "tone".to_owned()),
        }
    }

    /// Returns whether the application may send its caller to a target named by a SIP address.
    pub fn may_dial(&self, wanted: TransferTarget<'_>) -> bool {
        matches!(wanted, TransferTarget::Trunk(..)) || self.sip_to.iter().any(|rule| rule.allows(wanted))
    }
}

/// Omits URLs, whose queries may contain secrets.
impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_shows_neither_password_nor_query() {
        let cases = [
            ("https://ann:hunter2@app.example.com:8443/voice?key=1#rc=2", "https://app.example.com:8443/voice"),
            ("http://app.example.com", "http://app.example.com"),
        ];
        for (url, expected) in cases {
            let document = AppDocument::Url { url: url.to_owned(), method: WebhookMethod::Post };
            assert_eq!(App::new("ivr", document).place(), expected);
        }
        assert_eq!(App::playing("closed.wav").place(), "closed.wav");
    }
}
