//! Parses text into a [`SessionDescription`], line by line (RFC 8866 §5, §9).
//!
//! Parsing is strict where implementations could disagree (line ends, numbers, the first three lines) and lenient
//! towards common deviations: `t=` may be missing, blank lines are skipped, and lines may come in any order within
//! their level.

use super::passing::passed_bytes;
use super::{Attribute, ConnectionData, MediaDescription, Origin, ParseError, SessionDescription};
use crate::limits;

/// Parses a complete description. If `is_own`, the limits on lines and forwarded content do not apply.
pub(crate) fn description(bytes: &[u8], is_own: bool) -> Result<SessionDescription, ParseError> {
    if bytes.len() > limits::BYTES {
        return Err(ParseError { what: "description too long", line: 0 });
    }
    let longest = if is_own { limits::BYTES } else { limits::LINE_BYTES };
    let mut lines = SdpLines { rest: bytes, number: 0, longest };
    let mut passed = 0;
    let version = lines.expect(b'v', "v= must come first")?;
    if version.trim() != "0" {
        return Err(lines.wrong("v= must be 0"));
    }
    let text = lines.expect(b'o', "o= must follow v=")?;
    let origin = origin(&text).ok_or_else(|| lines.wrong("o="))?;
    let name = lines.expect(b's', "s= must follow o=")?;
    let mut description = SessionDescription {
        origin,
        name,
        connection: None,
        attributes: Vec::new(),
        other: Vec::new(),
        media: Vec::new(),
    };
    while let Some((kind, value)) = lines.next()? {
        read_line(&mut description, kind, value, &mut passed).map_err(|what| lines.wrong(what))?;
        if passed > limits::PASSED_BYTES && !is_own {
            return Err(lines.wrong("more than a description may hold for the other side"));
        }
    }
    if description.connection.is_none()
        && description.media.iter().any(|media| media.port != 0 && media.connection.is_none())
    {
        return Err(lines.wrong("c= missing"));
    }
    Ok(description)
}

/// Adds a line to the description, and the bytes that may be forwarded to the other leg to `passed`.
fn read_line(
    description: &mut SessionDescription,
    kind: u8,
    value: String,
    passed: &mut usize,
) -> Result<(), &'static str> {
    if matches!(kind, b'm' | b'b') {
        *passed += value.len();
    }
    if kind == b'm' {
        if description.media.len() >= limits::MEDIA {
            return Err("too many m= lines");
        }
        // Most descriptions have one section, and they are kept for the duration of a call.
        description.media.reserve_exact(1);
        description.media.push(media(&value)?);
        return Ok(());
    }
    let (at, attributes, other) = match description.media.last_mut() {
        Some(media) => (&mut media.connection, &mut media.attributes, &mut media.other),
        None => (&mut description.connection, &mut description.attributes, &mut description.other),
    };
    match kind {
        b'v' => Err("second v="),
        b'o' => Err("second o="),
        b's' => Err("second s="),
        // Several c= lines denote multicast layers (RFC 8866 §5.7): the first is used, the others are kept as text.
        b'c' if at.is_none() => {
            *at = Some(connection(&value).ok_or("c=")?);
            Ok(())
        }
        b'a' if attributes.len() >= limits::ATTRIBUTES => Err("too many a= lines"),
        b'a' => {
            let attribute = attribute(&value).ok_or("a= without a name")?;
            *passed += passed_bytes(&attribute);
            attributes.push(attribute);
            Ok(())
        }
        _ if other.len() >= limits::OTHER_LINES => Err("too many lines"),
        _ => {
            other.push(format!("{}={value}", char::from(kind)));
            Ok(())
        }
    }
}

/// Line iterator over the input; the only place that finds line ends.
struct SdpLines<'a> {
    rest: &'a [u8],
    number: usize,
    /// Maximum line length accepted by this parse, in bytes.
    longest: usize,
}

impl SdpLines<'_> {
    /// Returns type and value of the next line that is not blank; `None` at the end.
    fn next(&mut self) -> Result<Option<(u8, String)>, ParseError> {
        while !self.rest.is_empty() {
            self.number += 1;
            let end = memchr::memchr(b'\n', self.rest);
            let (line, behind) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            self.rest = behind.get(1..).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // Some implementations treat a lone CR as a line end, so it must not hide a second line.
            if memchr::memchr2(0, b'\r', line).is_some() {
                return Err(self.wrong("NUL or CR inside a line"));
            }
            if line.len() > self.longest {
                return Err(self.wrong("line too long"));
            }
            match line {
                [] => {}
                [kind, b'=', value @ ..] if kind.is_ascii_alphabetic() => {
                    return Ok(Some((*kind, String::from_utf8_lossy(value).into_owned())));
                }
                _ => return Err(self.wrong("not a line of the form x=…")),
            }
        }
        Ok(None)
    }

    fn expect(&mut self, kind: u8, what: &'static str) -> Result<String, ParseError> {
        match self.next()? {
            Some((found, value)) if found == kind => Ok(value),
            _ => Err(self.wrong(what)),
        }
    }

    fn wrong(&self, what: &'static str) -> ParseError {
        ParseError { what, line: self.number }
    }
}

/// Parses `username id version IN IP4 address` from the end, because some user names contain spaces.
fn origin(value: &str) -> Option<Origin> {
    let mut words = value.trim_end().rsplitn(6, ' ');
    let address = words.next().filter(|a| !a.is_empty())?.to_owned();
    let _family = words.next()?;
    let _network = words.next()?;
    let version = digits(words.next()?)?;
    let session_id = digits(words.next()?)?;
    let username = match words.next()?.trim() {
        "" => "-",
        name => name,
    };
    Some(Origin { username: username.to_owned(), session_id, version, address })
}

/// Parses `IN IP4 address[/ttl[/count]]`.
fn connection(value: &str) -> Option<ConnectionData> {
    let mut words = value.split_ascii_whitespace();
    words.next().filter(|network| network.eq_ignore_ascii_case("IN"))?;
    words.next().filter(|family| family.eq_ignore_ascii_case("IP4") || family.eq_ignore_ascii_case("IP6"))?;
    let address = words.next()?.split('/').next().filter(|a| !a.is_empty())?;
    Some(ConnectionData { address: address.to_owned() })
}

/// Parses `kind port[/count] proto format …` (RFC 8866 §5.14).
fn media(value: &str) -> Result<MediaDescription, &'static str> {
    if value.split_ascii_whitespace().any(|word| word.len() > limits::WORD_BYTES) {
        return Err("m= word too long");
    }
    let mut words = value.split_ascii_whitespace();
    let kind = words.next().ok_or("m= media type")?;
    let port = words.next().ok_or("m= port")?;
    let (port, count) = match port.split_once('/') {
        Some((port, count)) => (port, Some(digits(count).ok_or("m= port count")?)),
        None => (port, None),
    };
    let mut media = MediaDescription::new(kind, digits(port).ok_or("m= port")?, words.next().ok_or("m= transport")?);
    media.port_count = count;
    for format in words {
        if media.formats.len() >= limits::FORMATS {
            return Err("too many m= formats");
        }
        media.formats.push(format.to_owned());
    }
    // Some implementations reject a stream without naming a format.
    if media.formats.is_empty() && media.port != 0 {
        return Err("m= formats");
    }
    Ok(media)
}

fn attribute(value: &str) -> Option<Attribute> {
    let (name, value) = match value.split_once(':') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (value.trim_end(), None),
    };
    (!name.is_empty()).then(|| Attribute { name: name.to_owned(), value })
}

/// Parses an unsigned decimal number without sign.
fn digits<N: std::str::FromStr>(text: &str) -> Option<N> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

    fn what(text: &str) -> &'static str {
        SessionDescription::parse(text.as_bytes()).unwrap_err().what
    }

    #[test]
    fn the_first_three_lines_are_needed_in_order() {
        assert_eq!(what(""), "v= must come first");
        assert_eq!(what("o=- 1 1 IN IP4 h\r\nv=0\r\ns=-\r\n"), "v= must come first");
        assert_eq!(what("v=1\r\no=- 1 1 IN IP4 h\r\ns=-\r\n"), "v= must be 0");
        assert_eq!(what("v=0\r\ns=-\r\n"), "o= must follow v=");
        assert_eq!(what("v=0\r\no=- 1 1 IN IP4 h\r\nt=0 0\r\n"), "s= must follow o=");
        assert_eq!(what("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\no=- 1 1 IN IP4 h\r\n"), "second o=");
        assert!(SessionDescription::parse(b"v=0\no=- 1 1 IN IP4 h\ns=-\n").is_ok());
    }

    #[test]
    fn relayed_text_is_bounded() {
        let with =
            |lines: &str| SessionDescription::parse(format!("{HEAD}m=audio 4000 RTP/AVP 0\r\n{lines}").as_bytes());
        let long = |bytes: usize| "x".repeat(bytes);
        let error = |lines: &str| with(lines).unwrap_err().what;
        assert_eq!(error(&format!("a=X-own:{}\r\n", long(60_000))), "line too long");
        assert!(with(&format!("a=X-own:{}\r\n", long(limits::LINE_BYTES - 8))).is_ok());
        let many = |line: &str, count: usize| line.repeat(count);
        let over = "more than a description may hold for the other side";
        for line in ["a=X-own:", "a=fmtp:96 ", "a=rtpmap:96 ", "b="] {
            let line = format!("{line}{}\r\n", long(1_000));
            assert!(with(&many(&line, 16)).is_ok(), "{line}");
            assert_eq!(error(&many(&line, 17)), over, "{line}");
        }
        // Attributes that are not forwarded count only towards the total length.
        assert!(with(&many(&format!("a=candidate:{}\r\n", long(1_000)), 40)).is_ok());
        assert_eq!(error(&format!("m=audio 0 RTP/AVP {}\r\n", long(limits::WORD_BYTES + 1))), "m= word too long");
        assert_eq!(error(&format!("m={} 0 RTP/AVP 0\r\n", long(limits::WORD_BYTES + 1))), "m= word too long");
    }

    #[test]
    fn an_information_line_is_no_origin() {
        let text = "v=0\r\no=a 1 2 IN IP4 h\r\ns=-\r\ni=see o=x 9 9 IN IP4 evil\r\n";
        let description = SessionDescription::parse(text.as_bytes()).unwrap();
        assert_eq!((description.origin.session_id, description.origin.address.as_str()), (1, "h"));
        assert_eq!(description.other, ["i=see o=x 9 9 IN IP4 evil"]);
    }

    #[test]
    fn numbers_are_checked() {
        for port in ["4294967296", "65536", "-1", "+1", "", "0x10", "99999999999999999999"] {
            let text = format!("{HEAD}m=audio {port} RTP/AVP 0\r\n");
            assert!(SessionDescription::parse(text.as_bytes()).is_err(), "{port}");
        }
        assert_eq!(what(&format!("{HEAD}m=audio 4294967296 RTP/AVP 0\r\n")), "m= port");
        assert_eq!(what("v=0\r\no=- 18446744073709551616 1 IN IP4 h\r\ns=-\r\n"), "o=");
        // A format that is not a payload type is kept as text.
        let odd =
            SessionDescription::parse(format!("{HEAD}m=audio 4000 RTP/AVP 4294967296 128 0\r\n").as_bytes()).unwrap();
        assert_eq!(odd.media[0].payloads(), [0]);
    }

    #[test]
    fn lines_that_two_readers_would_split_differently_are_refused() {
        assert_eq!(what(&format!("{HEAD}a=x\rc=IN IP4 198.51.100.1\r\n")), "NUL or CR inside a line");
        assert_eq!(what(&format!("{HEAD}a=x\0\r\n")), "NUL or CR inside a line");
        assert_eq!(what(&format!("{HEAD} a=x\r\n")), "not a line of the form x=…");
        assert_eq!(SessionDescription::parse(format!("{HEAD}garbage").as_bytes()).unwrap_err().line, 6);
    }

    #[test]
    fn a_stream_needs_an_address() {
        assert_eq!(what("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r\n"), "c= missing");
        assert!(SessionDescription::parse(b"v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nm=audio 0 RTP/AVP 0\r\n").is_ok());
        assert_eq!(what("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=ATM NSAP 47\r\n"), "c=");
    }

    #[test]
    fn limits_hold() {
        let many = |line: &str, count: usize| format!("{HEAD}{}", line.repeat(count));
        let media = "m=audio 0 RTP/AVP 0\r\n";
        assert!(SessionDescription::parse(many(media, limits::MEDIA).as_bytes()).is_ok());
        assert_eq!(what(&many(media, limits::MEDIA + 1)), "too many m= lines");
        assert!(SessionDescription::parse(many("a=x\r\n", limits::ATTRIBUTES).as_bytes()).is_ok());
        assert_eq!(what(&many("a=x\r\n", limits::ATTRIBUTES + 1)), "too many a= lines");
        assert!(SessionDescription::parse(many("b=AS:1\r\n", limits::OTHER_LINES - 1).as_bytes()).is_ok());
        assert_eq!(what(&many("b=AS:1\r\n", limits::OTHER_LINES)), "too many lines");
        let formats = |count: usize| format!("{HEAD}m=audio 4000 RTP/AVP{}\r\n", " 0".repeat(count));
        assert!(SessionDescription::parse(formats(limits::FORMATS).as_bytes()).is_ok());
        assert_eq!(what(&formats(limits::FORMATS + 1)), "too many m= formats");
        let long = format!("{HEAD}a={}\r\n", "x".repeat(limits::BYTES));
        assert_eq!(what(&long), "description too long");
    }

    #[test]
    fn a_user_name_with_spaces_or_none_is_taken() {
        assert_eq!(origin("Some Phone 1 2 IN IP4 h").unwrap().username, "Some Phone");
        assert_eq!(origin(" 1 2 IN IP4 h").unwrap().username, "-");
        assert!(origin("- 1 2 IN IP4").is_none());
    }
}
