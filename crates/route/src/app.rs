//! An application: documents (TwiML) that decide what happens to a call.

use std::fmt;
use std::sync::Arc;

use crate::agent::url_place;
use crate::mailbox::Mailbox;
use crate::number::Number;
use crate::pattern::Pattern;
use crate::target::TargetSpec;
use crate::transfer_to::{TransferRule, Wanted};

/// HTTP method of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum WebhookMethod {
    /// Parameters in the body.
    #[default]
    Post,
    /// Parameters in the query.
    Get,
}

impl WebhookMethod {
    /// `POST`, `GET`.
    pub const fn as_str(self) -> &'static str {
        match self {
            WebhookMethod::Post => "POST",
            WebhookMethod::Get => "GET",
        }
    }
}

/// Where an application's first document is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum AppDocument {
    /// A web application.
    Url {
        /// `http` or `https`, as configured.
        url: String,
        /// Method of the request.
        method: WebhookMethod,
    },
    /// A file below the folder of the configuration, by its relative path.
    File(String),
    /// The document itself, as a request over HTTP has it.
    Text(Arc<str>),
    /// One sound that is played: a file below the folder of the configuration, by its relative path. The next target of the
    /// route follows.
    Sound(String),
    /// A mailbox: a greeting, a tone, and the caller's message, which is recorded.
    Mailbox(Mailbox),
    /// None: the caller joins the conference of this name.
    Conference(Arc<str>),
}

/// Receiver of reports about the calls that an application has.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StatusCallback {
    /// The URL, as configured.
    pub url: String,
    /// Method of the requests.
    #[serde(default)]
    pub method: WebhookMethod,
    /// Whether it is notified that the call has begun.
    pub initiated: bool,
    /// Whether it is notified that the caller hears ringing.
    pub ringing: bool,
    /// Whether it is notified of the answer.
    pub answered: bool,
    /// Whether it is notified of the end.
    pub completed: bool,
}

/// Without the URL, whose query may hold secrets.
impl fmt::Debug for StatusCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusCallback").finish_non_exhaustive()
    }
}

/// An application. In plain data it has no lists of the configuration: only one that a request has made is written down.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct App {
    /// Name in the configuration; of a sound its path, of a mailbox its target.
    pub name: Arc<str>,
    /// Its first document.
    pub document: AppDocument,
    /// URL that is asked where a document cannot be had or run.
    pub fallback_url: Option<String>,
    /// Method of that request.
    pub fallback_method: WebhookMethod,
    /// Receiver of reports about its calls.
    pub status_callback: Option<StatusCallback>,
    /// Whether its URLs may lead to private and loopback addresses.
    pub allow_private: bool,
    /// Whether a redirect of its own host from https to plain http is followed.
    pub insecure_redirects: bool,
    /// Signs the handshakes of its media streams.
    pub auth_token: Option<String>,
    /// Targets of numbers that it dials, in order; empty: the routes decide, as for a call of the caller's trunk.
    pub connect: Vec<TargetSpec>,
    /// SIP addresses that it may dial and refer to, beside those of trunks.
    #[serde(skip)]
    pub sip_to: Vec<TransferRule>,
    /// Numbers that its Dial may show in addition to those of the edge and of the call.
    #[serde(skip)]
    pub callers: Vec<Pattern>,
    /// Whether a request over HTTP made it for one call: the configuration does not have it.
    pub is_made: bool,
}

impl App {
    /// Makes an application with nothing but its first document.
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

    /// Makes one that plays a sound.
    pub fn playing(file: &str) -> App {
        App::new(file, AppDocument::Sound(file.to_owned()))
    }

    /// Makes one that is a mailbox. Its name is that of the target, which no application of the configuration has.
    pub fn mailbox(mailbox: Mailbox) -> App {
        App::new(&mailbox.target(), AppDocument::Mailbox(mailbox))
    }

    /// Makes one whose caller joins a conference. Its name is that of the target, which no application of the configuration has.
    pub fn conference(name: &str) -> App {
        App::new(&format!("conference:{name}"), AppDocument::Conference(name.into()))
    }

    /// Whether its `callers` let it show a caller ID: a beginning or an expression lets numbers pass, and no text that begins so.
    pub fn may_show(&self, number: &Number) -> bool {
        let may_pass = |pattern: &Pattern| number.is_e164 || matches!(pattern, Pattern::Exact(_));
        self.callers.iter().any(|pattern| may_pass(pattern) && pattern.matches(&number.text))
    }

    /// Whether it is a conference that its caller joins, and nothing else.
    pub fn is_conference(&self) -> bool {
        self.as_conference().is_some()
    }

    /// Returns the name of the conference that its caller joins, where that is all that it does.
    pub fn as_conference(&self) -> Option<&str> {
        match &self.document {
            AppDocument::Conference(name) => Some(name),
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => None,
            AppDocument::Sound(_) | AppDocument::Mailbox(_) => None,
        }
    }

    /// Returns the file of the sound that it plays, where that is all that it does.
    pub fn as_sound(&self) -> Option<&str> {
        match &self.document {
            AppDocument::Sound(file) => Some(file),
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => None,
            AppDocument::Mailbox(_) | AppDocument::Conference(_) => None,
        }
    }

    /// Returns the mailbox that it is, where it is one.
    pub fn as_mailbox(&self) -> Option<&Mailbox> {
        match &self.document {
            AppDocument::Mailbox(mailbox) => Some(mailbox),
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => None,
            AppDocument::Sound(_) | AppDocument::Conference(_) => None,
        }
    }

    /// Returns its target, as written in `connect`.
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

    /// Returns the same as text: `app:NAME`, `play:FILE`, `voicemail:NAME`, `conference:NAME`.
    pub fn target(&self) -> String {
        let kind = match &self.document {
            AppDocument::Mailbox(mailbox) => return mailbox.target(),
            AppDocument::Conference(_) => return self.name.to_string(),
            AppDocument::Sound(_) => "play",
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => "app",
        };
        format!("{kind}:{}", self.name)
    }

    /// Returns the place of its first document as messages show it: without user information and query, which may hold secrets.
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

    /// Returns whether it may send its caller to a target that it names by a SIP address.
    pub fn may_dial(&self, wanted: Wanted<'_>) -> bool {
        matches!(wanted, Wanted::Trunk(..)) || self.sip_to.iter().any(|rule| rule.allows(wanted))
    }
}

/// Without URLs, whose queries may hold secrets.
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
