//! One session description as a value: known lines typed, all others kept in their place.

use std::fmt;
use std::net::IpAddr;

/// Why text is not a session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong, e.g. `m= port`.
    pub what: &'static str,
    /// The line, counted from 1.
    pub line: usize,
}

/// `o=` (RFC 8866 §5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// User name, `-` for none.
    pub username: String,
    /// Session id, digits.
    pub session_id: u64,
    /// Version, digits; rises with each change.
    pub version: u64,
    /// Address, as text: a name is allowed here.
    pub address: String,
}

/// `c=` (RFC 8866 §5.7). A host name is kept as text and yields no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The address as written, without multicast TTL.
    pub address: String,
}

impl Connection {
    /// The unicast address, where it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}

/// `a=name` or `a=name:value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Name.
    pub name: String,
    /// Value, where there is a colon.
    pub value: Option<String>,
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, …
    pub kind: String,
    /// Port; 0: refused or unused.
    pub port: u16,
    /// Transport, e.g. `RTP/AVP`.
    pub proto: String,
    /// Formats as written: payload numbers for RTP.
    pub formats: Vec<String>,
    /// `c=` of this section.
    pub connection: Option<Connection>,
    /// Attributes in order.
    pub attributes: Vec<Attribute>,
    /// Other lines of the section (`i=`, `b=`, `k=`) as written, without line ends.
    pub other: Vec<String>,
}

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `o=`
    pub origin: Origin,
    /// `s=`
    pub name: String,
    /// `c=` of the session.
    pub connection: Option<Connection>,
    /// Session-level attributes in order.
    pub attributes: Vec<Attribute>,
    /// Other session-level lines as written (`i=`, `u=`, `e=`, `p=`, `b=`, `t=`, `r=`, `z=`, `k=`), in order.
    pub other: Vec<String>,
    /// Sections in order: the order is the meaning (RFC 3264 §6).
    pub media: Vec<Media>,
}

impl Description {
    /// Reads a description; bare LF line ends are taken too.
    ///
    /// # Errors
    /// [`ParseError`] names the line.
    pub fn parse(bytes: &[u8]) -> Result<Description, ParseError> {
        let _ = bytes;
        unimplemented!()
    }
}

impl fmt::Display for Description {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}
