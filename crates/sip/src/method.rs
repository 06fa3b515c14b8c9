//! Request methods (RFC 3261 §7.1). Case-sensitive, unknown ones are kept by position in the message.

use std::fmt;

/// A request method. `Other` is any token we do not know: answered 501.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Method {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13.2.2.4, §17.1.1.3.
    Ack,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §11.
    Options,
    /// RFC 3261 §10.
    Register,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 6086.
    Info,
    /// RFC 3515.
    Refer,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3428.
    Message,
    /// RFC 3903.
    Publish,
    /// Not a method of this list.
    Other,
}

impl Method {
    /// Every known method, for look-ups and tests.
    pub const ALL: [Method; 14] = [
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Options,
        Method::Register,
        Method::Prack,
        Method::Update,
        Method::Info,
        Method::Refer,
        Method::Subscribe,
        Method::Notify,
        Method::Message,
        Method::Publish,
    ];

    /// Whether a 2xx to it, sent outside of any dialog, begins one (RFC 3261 §12.1, RFC 6665 §4.2.1).
    pub(crate) const fn begins_dialog(self) -> bool {
        matches!(self, Method::Invite | Method::Subscribe)
    }

    /// The method a token names; `Other` where we know none (RFC 3261 §7.1: case-sensitive).
    pub(crate) fn from_token(token: &[u8]) -> Method {
        Self::ALL.into_iter().find(|m| m.as_str().as_bytes() == token).unwrap_or(Method::Other)
    }

    /// The token on the wire; `OTHER` for [`Method::Other`], which we never send.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Options => "OPTIONS",
            Method::Register => "REGISTER",
            Method::Prack => "PRACK",
            Method::Update => "UPDATE",
            Method::Info => "INFO",
            Method::Refer => "REFER",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Message => "MESSAGE",
            Method::Publish => "PUBLISH",
            Method::Other => "OTHER",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
