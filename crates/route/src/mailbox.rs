//! Mailboxes, which record messages of callers, and their message waiting indicators.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Mailbox of the configuration: `[voicemail.NAME]`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// Name of the mailbox in the configuration.
    pub name: Arc<str>,
    /// Greeting played before the tone: a file relative to the configuration directory.
    pub greeting: Option<String>,
    /// Maximum duration of a message.
    pub max_length: Duration,
    /// Duration of silence that ends a message.
    pub silence: Duration,
    /// Maximum number of stored messages; a mailbox that has as many accepts no further ones.
    #[serde(default = "most_messages")]
    pub max_messages: u64,
    /// Total size of the messages, in bytes, from which on the mailbox counts as full.
    #[serde(default = "most_bytes")]
    pub max_bytes: u64,
    /// Receiver of message notifications: the URL of a web application, or `mailto:` with an address.
    pub notify: Option<String>,
    /// Whether messages are transcribed.
    #[serde(default)]
    pub transcribe: bool,
    /// Phones and extensions with a message waiting indicator.
    #[serde(default)]
    pub mwi: Vec<MwiParty>,
}

fn most_messages() -> u64 {
    Mailbox::MAX_MESSAGES
}

fn most_bytes() -> u64 {
    Mailbox::MAX_BYTES
}

/// Phone or extension with a message waiting indicator (RFC 3842).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MwiParty {
    /// Trunk of the phone or extension, which may subscribe.
    pub trunk: Arc<str>,
    /// User notified without a subscription; `None` notifies only subscribers.
    pub user: Option<String>,
}

impl Mailbox {
    /// Default maximum duration of a message, 3 minutes.
    pub(crate) const MAX_LENGTH: Duration = Duration::from_secs(180);
    /// Default maximum number of messages.
    pub(crate) const MAX_MESSAGES: u64 = 1000;
    /// Default size of all messages at which a mailbox is full, in bytes: 1 GiB.
    pub const MAX_BYTES: u64 = 1 << 30;
    /// Scheme of notification URLs that send e-mail.
    pub const MAILTO: &str = "mailto:";
    /// Default duration of silence that ends a message.
    pub const SILENCE: Duration = Duration::from_secs(5);

    /// Creates a mailbox without a greeting and notifications, and with the default limits.
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

    /// Returns whether a mailbox with this number and total size of messages, in bytes, is full.
    pub fn is_full(&self, messages: u64, bytes: u64) -> bool {
        messages >= self.max_messages || bytes >= self.max_bytes
    }

    /// Returns whether notifications of messages are sent by e-mail.
    pub fn is_mailed(&self) -> bool {
        self.notify.as_deref().is_some_and(|url| url.starts_with(Mailbox::MAILTO))
    }

    /// Returns the mailbox as a target of `connect`: `voicemail:NAME`.
    pub fn target(&self) -> String {
        format!("voicemail:{}", self.name)
    }
}

/// Omits the URL of the receiver, whose query may contain secrets.
impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("name", &self.name).finish_non_exhaustive()
    }
}
