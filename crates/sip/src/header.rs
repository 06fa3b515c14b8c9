//! Header names and the typed views of their values, made on demand from a message's bytes.

use crate::Transport;
use crate::method::Method;
use crate::uri::{HostPort, Uri};

/// Names that the edge itself reads or writes, with their compact forms; all others are `Other` and keep their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each variant is the header of that name
pub enum HeaderName {
    Via,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    Contact,
    Route,
    RecordRoute,
    ContentType,
    ContentLength,
    ContentEncoding,
    ContentDisposition,
    Require,
    ProxyRequire,
    Supported,
    Unsupported,
    Allow,
    Accept,
    AcceptEncoding,
    Expires,
    RetryAfter,
    Reason,
    Warning,
    UserAgent,
    Server,
    Date,
    Timestamp,
    Authorization,
    ProxyAuthorization,
    WwwAuthenticate,
    ProxyAuthenticate,
    PAssertedIdentity,
    PPreferredIdentity,
    Privacy,
    Identity,
    Diversion,
    HistoryInfo,
    UserToUser,
    ReferTo,
    ReferredBy,
    Replaces,
    RSeq,
    RAck,
    SessionExpires,
    MinSe,
    Event,
    SubscriptionState,
    AlertInfo,
    Subject,
    Other,
}

/// Via's topmost entry (RFC 3261 §20.42, RFC 3581).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport, where it is one of ours.
    pub transport: Option<Transport>,
    /// sent-by.
    pub sent_by: HostPort<'a>,
    /// `branch`.
    pub branch: Option<&'a [u8]>,
    /// `rport`: present without value is `Some(None)`.
    pub rport: Option<Option<u16>>,
    /// `received`.
    pub received: Option<&'a [u8]>,
    /// The whole entry as received, without the entries after it.
    pub raw: &'a [u8],
}

/// CSeq (RFC 3261 §20.16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CSeq {
    /// Sequence number, below 2³¹.
    pub number: u32,
    /// The method.
    pub method: Method,
}

/// An address with optional display name and parameters: From, To, Contact, Route (RFC 3261 §20.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// Display name as received, with its quotes; empty where absent.
    pub display: &'a [u8],
    /// The URI as received.
    pub uri: &'a [u8],
    /// What stands behind the address: `;tag=…;expires=…`.
    pub params: &'a [u8],
    /// The entry as received.
    pub raw: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Reads one address; `None` where it is malformed.
    pub fn parse(value: &'a [u8]) -> Option<NameAddr<'a>> {
        let _ = value;
        unimplemented!()
    }
    /// The URI, read.
    pub fn parsed_uri(&self) -> Option<Uri<'a>> {
        unimplemented!()
    }
    /// A parameter behind the address; present without value is `Some(b"")`.
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        let _ = name;
        unimplemented!()
    }
    /// `tag`.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.param("tag")
    }
}
