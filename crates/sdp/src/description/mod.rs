//! One session description as a value: known lines typed, all others kept in their place.
//!
//! This room holds what concerns one description alone: reading it (`parse`), writing it (`write`), and which of its
//! attributes another side may see (`passing`). What two descriptions agree on is in `negotiate`.

mod parse;
pub(crate) mod passing;
mod write;

use std::fmt;
use std::net::IpAddr;

use crate::direction::Direction;
use crate::format::{Rtpmap, static_payload};

/// Why text is not a session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong, e.g. `m= port`.
    pub what: &'static str,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SDP line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ParseError {}

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
    /// The unicast address, where it is one; an IPv4 address mapped into IPv6 comes out as IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        let ip: IpAddr = self.address.parse().ok()?;
        let ip = ip.to_canonical();
        (!ip.is_multicast()).then_some(ip)
    }
}

/// `a=name` or `a=name:value`. Keys are not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Name.
    pub name: String,
    /// Value, where there is a colon.
    pub value: Option<String>,
}

impl Attribute {
    /// `a=name`
    pub fn flag(name: &str) -> Attribute {
        Attribute { name: name.to_owned(), value: None }
    }

    /// `a=name:value`
    pub fn new(name: &str, value: impl Into<String>) -> Attribute {
        Attribute { name: name.to_owned(), value: Some(value.into()) }
    }

    /// Whether it has this name. Names differ by case (RFC 8866 §5.13), yet nobody means two things by it.
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

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, …
    pub kind: String,
    /// Port; 0: refused or unused.
    pub port: u16,
    /// The number behind the port's slash (RFC 8866 §5.14), where written.
    pub port_count: Option<u16>,
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

impl Media {
    /// Whether the section is carried by UDPTL (T.38).
    pub(crate) fn is_udptl(&self) -> bool {
        self.proto.eq_ignore_ascii_case("udptl")
    }

    /// A section without formats, attributes or lines of other types.
    pub fn new(kind: &str, port: u16, proto: &str) -> Media {
        Media {
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

    /// The same section refused: port 0, formats kept because the grammar asks for one (RFC 3264 §6).
    pub fn refused(&self) -> Media {
        let mut refused = Media::new(&self.kind, 0, &self.proto);
        refused.formats = self.formats.clone();
        if refused.formats.is_empty() {
            refused.formats.push("0".to_owned());
        }
        refused
    }

    /// The first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|a| a.is(name))
    }

    /// What a payload number means: the static table (RFC 3551 §6), then `a=rtpmap`.
    pub fn rtpmap(&self, payload: u8) -> Option<Rtpmap> {
        static_payload(payload).or_else(|| Rtpmap::parse(self.of_payload("rtpmap", payload)?))
    }

    /// The parameters of a payload number (`a=fmtp`); empty where the line has none.
    pub fn fmtp(&self, payload: u8) -> Option<&str> {
        self.of_payload("fmtp", payload)
    }

    /// Payload numbers of the m-line in order, each once; what is no number from 0 to 127 is left out.
    pub fn payloads(&self) -> Vec<u8> {
        let mut numbers: Vec<u8> = Vec::with_capacity(self.formats.len());
        for number in self.formats.iter().filter_map(|f| payload_number(f)) {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers
    }

    /// The direction written in this section, where there is one.
    pub fn direction(&self) -> Option<Direction> {
        direction_in(&self.attributes)
    }

    /// Writes a direction into this section.
    pub fn turn(&mut self, direction: Direction) {
        let is_direction = |a: &Attribute| direction_in(std::slice::from_ref(a)).is_some();
        self.attributes.retain(|attribute| !is_direction(attribute));
        self.attributes.push(Attribute::flag(direction.as_str()));
    }

    /// `a=rtcp` (RFC 3605): the port, and the address where one is written.
    pub fn rtcp(&self) -> Option<(u16, Option<Connection>)> {
        let value = self.attribute("rtcp")?.value.as_deref()?;
        let mut words = value.split_ascii_whitespace();
        let port = words.next()?.parse().ok()?;
        // "IN IP4 address"
        let address = words.nth(2).map(|a| Connection { address: a.to_owned() });
        Some((port, address))
    }

    /// Whether RTP and RTCP may share a port (RFC 5761 §5.1.1).
    pub fn rtcp_mux(&self) -> bool {
        self.attribute("rtcp-mux").is_some()
    }

    /// Milliseconds of media in a packet (`a=ptime`), where written.
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
    /// Reads a description; bare LF line ends are taken too, and a missing `t=`.
    ///
    /// # Errors
    /// [`ParseError`] names the line.
    pub fn parse(bytes: &[u8]) -> Result<Description, ParseError> {
        parse::description(bytes, false)
    }

    /// Reads the text of a description that was one before. What is written anew may be a little longer than what was read, so
    /// the limits for lines, and for what goes on to the other side, are not asked for again.
    ///
    /// # Errors
    /// [`ParseError`] names the line.
    pub fn parse_own(bytes: &[u8]) -> Result<Description, ParseError> {
        parse::description(bytes, true)
    }

    /// The connection of a section: its own, else the session's.
    pub fn connection_of<'a>(&'a self, media: &'a Media) -> Option<&'a Connection> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// Makes of a side that holds one that talks: every section that runs flows both ways, and 0.0.0.0 becomes `ip`.
    pub fn hear_again(&mut self, ip: IpAddr) {
        let connections = self.media.iter_mut().map(|media| &mut media.connection);
        for connection in connections.chain([&mut self.connection]).flatten() {
            if connection.ip().is_some_and(|ip| ip.is_unspecified()) {
                connection.address = ip.to_string();
            }
        }
        for media in self.media.iter_mut().filter(|media| media.port != 0) {
            media.turn(Direction::SendRecv);
        }
    }

    /// The direction of a section: its own, else the session's, else both ways (RFC 8866 §6.7). An address of
    /// 0.0.0.0 is the old way to say "do not send to me" (RFC 3264 §8.4).
    pub fn direction_of(&self, media: &Media) -> Direction {
        let written = media.direction().or_else(|| direction_in(&self.attributes)).unwrap_or_default();
        let deaf = self.connection_of(media).and_then(Connection::ip).is_some_and(|ip| ip.is_unspecified());
        Direction::new(written.sends(), written.receives() && !deaf)
    }
}

/// A format as a payload number: digits, 0 to 127.
pub(crate) fn payload_number(text: &str) -> Option<u8> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| *n < 128)
}

fn direction_in(attributes: &[Attribute]) -> Option<Direction> {
    [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
        .into_iter()
        .filter_map(|d| Some((attributes.iter().position(|a| a.is(d.as_str()))?, d)))
        .min_by_key(|(at, _)| *at)
        .map(|(_, direction)| direction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(lines: &str) -> Media {
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n{lines}"
        );
        Description::parse(text.as_bytes()).unwrap().media.remove(0)
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
            assert_eq!(Connection { address: text.to_owned() }.ip(), None, "{text}");
        }
        assert_eq!(Connection { address: "::ffff:192.0.2.1".to_owned() }.ip(), Some([192, 0, 2, 1].into()));
    }
}
