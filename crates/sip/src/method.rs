//! Request methods (RFC 3261 §7.1), which are case-sensitive. The token of an unknown method stays in the message.

use std::fmt;

/// Request method. `Other` is any unknown token, answered with 501.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Method {
    /// Session setup or change (RFC 3261 §13).
    Invite,
    /// Acknowledgement of a final response to INVITE (RFC 3261 §13.2.2.4, §17.1.1.3).
    Ack,
    /// End of a session (RFC 3261 §15).
    Bye,
    /// Cancellation of a pending request (RFC 3261 §9).
    Cancel,
    /// Capability query and keep-alive (RFC 3261 §11).
    Options,
    /// Registration of a binding (RFC 3261 §10).
    Register,
    /// Acknowledgement of a reliable provisional response (RFC 3262).
    Prack,
    /// Session change, also in an early dialog (RFC 3311).
    Update,
    /// Application data in a dialog (RFC 6086).
    Info,
    /// Transfer of a call (RFC 3515).
    Refer,
    /// Subscription to events (RFC 6665).
    Subscribe,
    /// Event notification (RFC 6665).
    Notify,
    /// Instant message (RFC 3428).
    Message,
    /// Publication of event state (RFC 3903).
    Publish,
    /// Any method not listed here.
    Other,
}

impl Method {
    /// All methods with a variant of their own.
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

    /// Returns whether a 2xx to this method outside any dialog creates a dialog (RFC 3261 §12.1, RFC 6665 §4.2.1).
    pub(crate) const fn begins_dialog(self) -> bool {
        matches!(self, Method::Invite | Method::Subscribe)
    }

    /// Returns the method of a case-sensitive token, or `Other` (RFC 3261 §7.1).
    pub(crate) fn from_token(token: &[u8]) -> Method {
        Self::ALL.into_iter().find(|m| m.as_str().as_bytes() == token).unwrap_or(Method::Other)
    }

    /// Returns the token on the wire; `OTHER` for [`Method::Other`], which is never sent.
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
