//! A mailbox: takes messages of callers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A mailbox of the configuration: `[voicemail.NAME]`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// Its name.
    pub name: Arc<str>,
    /// Sound that callers hear before the tone: a file below the folder of the configuration, by its relative path.
    pub greeting: Option<String>,
    /// Longest message.
    pub max_length: Duration,
    /// Silence that ends a message.
    pub silence: Duration,
    /// Most messages that it keeps; a full mailbox takes none.
    #[serde(default = "most_messages")]
    pub max_messages: u64,
    /// Bytes of messages from which on it is full.
    #[serde(default = "most_bytes")]
    pub max_bytes: u64,
    /// URL of the receiver that is notified of each message: of a web application, or `mailto:` and an address.
    pub notify: Option<String>,
    /// Whether its messages are transcribed.
    #[serde(default)]
    pub transcribe: bool,
    /// Phones and extensions that show its new messages.
    #[serde(default)]
    pub mwi: Vec<MwiParty>,
}

fn most_messages() -> u64 {
    Mailbox::MAX_MESSAGES
}

fn most_bytes() -> u64 {
    Mailbox::MAX_BYTES
}

/// A phone or an extension that shows new messages of a mailbox (RFC 3842).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MwiParty {
    /// Its trunk, which may subscribe.
    pub trunk: Arc<str>,
    /// The user that is notified without a subscription; `None`: only subscribers are notified.
    pub user: Option<String>,
}

impl Mailbox {
    /// Longest message where nothing else is configured.
    pub(crate) const MAX_LENGTH: Duration = Duration::from_secs(180);
    /// Most messages where nothing else is configured.
    pub(crate) const MAX_MESSAGES: u64 = 1000;
    /// Bytes of messages where nothing else is configured.
    pub const MAX_BYTES: u64 = 1 << 30;
    /// Scheme of the URLs that lead to an address of e-mail.
    pub const MAILTO: &str = "mailto:";
    /// Silence that ends a message where nothing else is configured.
    pub const SILENCE: Duration = Duration::from_secs(5);

    /// Makes a mailbox with a tone alone, of which no receiver is notified.
    pub fn new(name: &str) -> Mailbox {
        let (max_length, silence) = (Mailbox::MAX_LENGTH, Mailbox::SILENCE);
        Mailbox {
            name: name.into(),
            greeting: None,
            max_length,
            silence,
            max_messages: Mailbox::MAX_MESSAGES,
            max_bytes: Mailbox::MAX_BYTES,
            notify: None,
            transcribe: false,
            mwi: Vec::new(),
        }
    }

    /// Returns whether it takes no more with so many messages, which have so many bytes together.
    pub fn is_full(&self, messages: u64, bytes: u64) -> bool {
        messages >= self.max_messages || bytes >= self.max_bytes
    }

    /// Returns whether its messages are sent by e-mail.
    pub fn is_mailed(&self) -> bool {
        self.notify.as_deref().is_some_and(|url| url.starts_with(Mailbox::MAILTO))
    }

    /// Returns it as a target: `voicemail:NAME`.
    pub fn target(&self) -> String {
        format!("voicemail:{}", self.name)
    }
}

/// Without the receiver, whose query may hold secrets.
impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("name", &self.name).finish_non_exhaustive()
    }
}
