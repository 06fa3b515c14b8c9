//! Session description as a value: known lines are typed, all others are kept in place.
//!
//! This module covers a single description: parsing (`parse`), serialization (`write`), and the attributes that may be
//! forwarded to the other leg (`passing`). `negotiate` relates two descriptions to each other.

mod parse;
pub(crate) mod passing;
mod write;

use std::fmt;
use std::net::IpAddr;

use crate::direction::MediaDirection;
use crate::format::{Rtpmap, static_payload};

/// Reason why a text is not a session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// Description of the problem, e.g. `m= port`.
    pub what: &'static str,
    /// Number of the invalid line, from 1.
    pub line: usize,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SDP line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ParseError {}

/// Value of the `o=` line (RFC 8866 §5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// User name, `-` for none.
    pub username: String,
    /// Session id of the origin.
    pub session_id: u64,
    /// Session version, increased with each change.
    pub version: u64,
    /// Address as text; host names are allowed.
    pub address: String,
}

/// Value of a `c=` line (RFC 8866 §5.7). A host name is kept as text and yields no IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionData {
    /// Address as written, without multicast TTL.
    pub address: String,
}

impl ConnectionData {
    /// Returns the unicast IP address, if any; an IPv4-mapped IPv6 address is returned as IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        let ip: IpAddr = self.address.parse().ok()?;
        let ip = ip.to_canonical();
        (!ip.is_multicast()).then_some(ip)
    }
}

/// Attribute `a=name` or `a=name:value`. `Debug` does not print keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Name of the attribute, before the colon.
    pub name: String,
    /// Value after the colon; `None` without a colon.
    pub value: Option<String>,
}

impl Attribute {
    /// Creates an attribute `a=name`.
    pub fn flag(name: &str) -> Attribute {
        Attribute { name: name.to_owned(), value: None }
    }

    /// Creates an attribute `a=name:value`.
    pub fn new(name: &str, value: impl Into<String>) -> Attribute {
        Attribute { name: name.to_owned(), value: Some(value.into()) }
    }

    /// Returns whether the attribute has this name, ignoring case: names are case-sensitive by RFC 8866 §5.13, but no
    /// two differ only by case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = ["crypto", "key-mgmt"].iter().any(|name| self.is(name));
        let value = self.value.as_deref().map(|value| if secret { "…" } else { value });
        f.debug_struct("Attribute").field("name", &self.name).field("value", &value).finish()
    }
}

/// Media section of a description: an `m=` line with the lines that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaDescription {
    /// Media type: `audio`, `video`, …
    pub kind: String,
    /// Port; 0 if the section is rejected or unused.
    pub port: u16,
    /// Number of ports after the slash, if present (RFC 8866 §5.14).
    pub port_count: Option<u16>,
    /// Transport protocol, e.g. `RTP/AVP`.
    pub proto: String,
    /// Formats as written; payload types for RTP.
    pub formats: Vec<String>,
    /// Connection of this section, if present.
    pub connection: Option<ConnectionData>,
    /// Attributes of the media section, in order.
    pub attributes: Vec<Attribute>,
    /// Other lines of the section (`i=`, `b=`, `k=`) as written, without line ends.
    pub other: Vec<String>,
}

impl MediaDescription {
    /// Returns whether the section uses UDPTL (T.38).
    pub(crate) fn is_udptl(&self) -> bool {
        self.proto.eq_ignore_ascii_case("udptl")
    }

    /// Creates a section without formats, attributes and other lines.
    pub fn new(kind: &str, port: u16, proto: &str) -> MediaDescription {
        MediaDescription {
            kind: kind.to_owned(),
            port,
            port_count: None,
            proto: proto.to_owned(),
            formats: Vec::new(),
            connection: None,
            attributes: Vec::new(),
            other: Vec::new(),
        }
    }

    /// Returns the section as rejected: port 0, with its formats because the grammar requires one (RFC 3264 §6).
    pub fn rejected(&self) -> MediaDescription {
        let mut refused = MediaDescription::new(&self.kind, 0, &self.proto);
        refused.formats = self.formats.clone();
        if refused.formats.is_empty() {
            refused.formats.push("0".to_owned());
        }
        refused
    }

    /// Returns the first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|a| a.is(name))
    }

    /// Returns the encoding of a payload type: from the static table (RFC 3551 §6), or else from `a=rtpmap`.
    pub fn rtpmap(&self, payload: u8) -> Option<Rtpmap> {
        static_payload(payload).or_else(|| Rtpmap::parse(self.of_payload("rtpmap", payload)?))
    }

    /// Returns the format parameters of a payload type (`a=fmtp`).
    pub fn fmtp(&self, payload: u8) -> Option<&str> {
        self.of_payload("fmtp", payload)
    }

    /// Returns the payload types of the m-line in order, without duplicates and values that are not 0 to 127.
    pub fn payloads(&self) -> Vec<u8> {
        let mut numbers: Vec<u8> = Vec::with_capacity(self.formats.len());
        for number in self.formats.iter().filter_map(|f| payload_number(f)) {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers
    }

    /// Returns the direction written in this section, if any.
    pub fn direction(&self) -> Option<MediaDirection> {
        direction_in(&self.attributes)
    }

    /// Replaces the direction of this section.
    pub fn set_direction(&mut self, direction: MediaDirection) {
        let is_direction = |a: &Attribute| direction_in(std::slice::from_ref(a)).is_some();
        self.attributes.retain(|attribute| !is_direction(attribute));
        self.attributes.push(Attribute::flag(direction.as_str()));
    }

    /// Returns port and optional address of `a=rtcp` (RFC 3605).
    pub fn rtcp(&self) -> Option<(u16, Option<ConnectionData>)> {
        let value = self.attribute("rtcp")?.value.as_deref()?;
        let mut words = value.split_ascii_whitespace();
        let port = words.next()?.parse().ok()?;
        // The remaining words are "IN IP4 address".
        let address = words.nth(2).map(|a| ConnectionData { address: a.to_owned() });
        Some((port, address))
    }

    /// Returns whether the author can receive RTP and RTCP on one port (`a=rtcp-mux`, RFC 5761 §5.1.1).
    pub fn rtcp_mux(&self) -> bool {
        self.attribute("rtcp-mux").is_some()
    }

    /// Returns the packet duration in milliseconds (`a=ptime`), if present.
    pub fn ptime_ms(&self) -> Option<u32> {
        self.attribute("ptime")?.value.as_deref()?.trim().parse().ok()
    }

    fn of_payload(&self, name: &str, payload: u8) -> Option<&str> {
        self.attributes.iter().filter(|a| a.is(name)).find_map(|a| {
            let value = a.value.as_deref()?.trim();
            let (number, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
            (payload_number(number)? == payload).then_some(rest.trim())
        })
    }
}

/// Session description (RFC 8866).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDescription {
    /// Origin of the session, `o=`.
    pub origin: Origin,
    /// Name of the session, `s=`.
    pub name: String,
    /// Session-level connection, if present.
    pub connection: Option<ConnectionData>,
    /// Session-level attributes, in order.
    pub attributes: Vec<Attribute>,
    /// Other session-level lines (`i=`, `u=`, `e=`, `p=`, `b=`, `t=`, `r=`, `z=`, `k=`) as written, in order.
    pub other: Vec<String>,
    /// Sections, in order, which is significant (RFC 3264 §6).
    pub media: Vec<MediaDescription>,
}

impl SessionDescription {
    /// Parses a description. Bare LF line ends and a missing `t=` are accepted.
    ///
    /// # Errors
    /// Fails with [`ParseError`], which names the line, if a line is malformed, misplaced or missing, or a limit is
    /// exceeded.
    pub fn parse(bytes: &[u8]) -> Result<SessionDescription, ParseError> {
        parse::description(bytes, false)
    }

    /// Parses a description that this program wrote. It may be slightly longer than the description it was derived
    /// from, so the limits on line length and forwarded content are not applied.
    ///
    /// # Errors
    /// Fails with [`ParseError`], which names the line, if a line is malformed, misplaced or missing.
    pub fn parse_own(bytes: &[u8]) -> Result<SessionDescription, ParseError> {
        parse::description(bytes, true)
    }

    /// Returns the connection of a section, or else the session-level one.
    pub fn connection_of<'a>(&'a self, media: &'a MediaDescription) -> Option<&'a ConnectionData> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// Takes a description off hold: every active section becomes `sendrecv`, and the address 0.0.0.0 becomes `ip`.
    pub fn take_off_hold(&mut self, ip: IpAddr) {
        let connections = self.media.iter_mut().map(|media| &mut media.connection);
        for connection in connections.chain([&mut self.connection]).flatten() {
            if connection.ip().is_some_and(|ip| ip.is_unspecified()) {
                connection.address = ip.to_string();
            }
        }
        for media in self.media.iter_mut().filter(|media| media.port != 0) {
            media.set_direction(MediaDirection::SendRecv);
        }
    }

    /// Returns the direction of a section: its own, or else the session-level one, or else `sendrecv` (RFC 8866 §6.7).
    /// The address 0.0.0.0 disables receiving, as in old-style hold (RFC 3264 §8.4).
    pub fn direction_of(&self, media: &MediaDescription) -> MediaDirection {
        let written = media.direction().or_else(|| direction_in(&self.attributes)).unwrap_or_default();
        let deaf = self.connection_of(media).and_then(ConnectionData::ip).is_some_and(|ip| ip.is_unspecified());
        MediaDirection::new(written.sends(), written.receives() && !deaf)
    }
}

/// Parses a payload type from 0 to 127.
pub(crate) fn payload_number(text: &str) -> Option<u8> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| *n < 128)
}

fn direction_in(attributes: &[Attribute]) -> Option<MediaDirection> {
    [MediaDirection::SendRecv, MediaDirection::SendOnly, MediaDirection::RecvOnly, MediaDirection::Inactive]
        .into_iter()
        .filter_map(|d| Some((attributes.iter().position(|a| a.is(d.as_str()))?, d)))
        .min_by_key(|(at, _)| *at)
        .map(|(_, direction)| direction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(lines: &str) -> MediaDescription {
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n{lines}"
        );
        SessionDescription::parse(text.as_bytes()).unwrap().media.remove(0)
    }

    #[test]
    fn static_numbers_need_no_rtpmap() {
        let media = media("a=rtpmap:98 opus/48000/2\r\n");
        for (number, name, clock) in [
            (0, "PCMU", 8000),
            (3, "GSM", 8000),
            (8, "PCMA", 8000),
            (9, "G722", 8000),
            (13, "CN", 8000),
            (18, "G729", 8000),
        ] {
            let map = media.rtpmap(number).unwrap();
            assert_eq!((map.encoding.as_str(), map.clock, map.channels), (name, clock, 1));
        }
        let opus = media.rtpmap(98).unwrap();
        assert_eq!((opus.encoding.as_str(), opus.clock, opus.channels), ("opus", 48000, 2));
        assert_eq!(media.rtpmap(99), None);
    }

    #[test]
    fn a_static_number_keeps_its_meaning() {
        assert_eq!(media("a=rtpmap:0 PCMA/8000\r\n").rtpmap(0).unwrap().encoding, "PCMU");
    }

    #[test]
    fn fmtp_without_a_space_is_empty() {
        assert_eq!(media("a=fmtp:101\r\n").fmtp(101), Some(""));
        assert_eq!(media("a=fmtp:\r\n").fmtp(101), None);
        assert_eq!(media("a=fmtp\r\n").fmtp(101), None);
        assert_eq!(media("a=fmtp:101 0-15\r\n").fmtp(101), Some("0-15"));
        assert_eq!(media("a=fmtp: 101 0-15\r\n").fmtp(101), Some("0-15"));
    }

    #[test]
    fn rtcp_port_and_address() {
        assert_eq!(media("a=rtcp:53020\r\n").rtcp(), Some((53020, None)));
        let (port, address) = media("a=rtcp:53020 IN IP4 126.16.64.4\r\n").rtcp().unwrap();
        assert_eq!((port, address.unwrap().address.as_str()), (53020, "126.16.64.4"));
        assert_eq!(media("a=rtcp:4294967296\r\n").rtcp(), None);
        assert!(media("a=rtcp-mux\r\n").rtcp_mux());
        assert_eq!(media("a=ptime:20\r\n").ptime_ms(), Some(20));
    }

    #[test]
    fn multicast_names_and_zones_are_no_unicast_address() {
        for text in ["224.2.1.1", "ff02::1", "host.example.com", "fe80::1%eth0"] {
            assert_eq!(ConnectionData { address: text.to_owned() }.ip(), None, "{text}");
        }
        assert_eq!(ConnectionData { address: "::ffff:192.0.2.1".to_owned() }.ip(), Some([192, 0, 2, 1].into()));
    }
}
