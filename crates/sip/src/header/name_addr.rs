//! Address headers: From, To, Contact, Route, P-Asserted-Identity (RFC 3261 §20.10).

use crate::header::params;
use crate::scan::{ByteScanner, is_lws, part, split, tail, trim};
use crate::uri::Uri;

/// Address with optional display name and parameters: From, To, Contact, Route (RFC 3261 §20.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// Display name as received, including quotes; empty if absent.
    pub display: &'a [u8],
    /// URI as received.
    pub uri: &'a [u8],
    /// Header parameters after the address: `;tag=…;expires=…`.
    pub params: &'a [u8],
    /// Complete entry as received.
    pub raw: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Parses one address. Returns `None` if it is malformed.
    pub fn parse(value: &'a [u8]) -> Option<NameAddr<'a>> {
        let raw = trim(value);
        let mut scan = ByteScanner::new(raw);
        let display = if scan.peek() == Some(b'"') {
            let quoted = scan.quoted()?;
            scan.skip_lws();
            quoted
        } else {
            // Without `<` there is no display name, only an addr-spec.
            match memchr::memchr3(b'<', b'"', b';', raw) {
                Some(at) if raw.get(at) == Some(&b'<') => trim(scan.consume_bytes(at)),
                _ => return Self::parse_spec(raw),
            }
        };
        // RFC 3261 §25.1 allows only tokens; a separator here means missing quotes (RFC 4475 §3.1.2.15).
        if !display.starts_with(b"\"") && display.iter().any(|&byte| matches!(byte, b',' | b'>') || is_control(byte)) {
            return None;
        }
        if !scan.consume_byte(b'<') {
            return None;
        }
        let uri = scan.consume_bytes(memchr::memchr2(b'<', b'>', scan.rest()).unwrap_or(usize::MAX));
        if !scan.consume_byte(b'>') || uri.is_empty() {
            return None;
        }
        let params = trim(scan.rest());
        params::are_sound(params).then_some(NameAddr { display, uri, params, raw })
    }

    /// Parses `addr-spec *(;param)`. The parameters belong to the header, and a URI with `,` or `?` needs brackets
    /// (RFC 3261 §20).
    fn parse_spec(raw: &'a [u8]) -> Option<NameAddr<'a>> {
        let end = raw.iter().position(|&byte| byte == b';' || is_lws(byte)).unwrap_or(raw.len());
        let (uri, params) = (part(raw, 0, end), trim(tail(raw, end)));
        if uri.is_empty() || uri.iter().any(|byte| matches!(byte, b',' | b'?' | b'<' | b'>' | b'"')) {
            return None;
        }
        params::are_sound(params).then_some(NameAddr { display: b"", uri, params, raw })
    }

    /// Parses the URI; `None` if it is invalid.
    pub fn parsed_uri(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri)
    }

    /// Returns a header parameter; a parameter without value is `Some(b"")`.
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        params::find(self.params, name)
    }

    /// Returns the value of the `tag` parameter, if present.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.param("tag")
    }

    /// Returns the display name as text, without quotes and escapes, with folds as one space and invalid UTF-8
    /// replaced.
    pub fn display_text(&self) -> String {
        let quoted = self.display.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\""));
        let mut text = Vec::with_capacity(self.display.len());
        let mut bytes = quoted.unwrap_or(self.display).iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' if quoted.is_some() => text.extend(bytes.next()),
                b'\r' | b'\n' => {}
                _ => text.push(byte),
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Iterates over the entries of a list value, skipping malformed ones.
    pub fn list(value: &'a [u8]) -> impl Iterator<Item = NameAddr<'a>> {
        split(value, b',').filter_map(NameAddr::parse)
    }
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && !is_lws(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (value, display, uri, tag) in [
            ("sip:a@b", "", "sip:a@b", None),
            ("sip:a@b ;   tag    = 19n", "", "sip:a@b", Some("19n")),
            ("<sip:a@b;lr>;tag=1", "", "sip:a@b;lr", Some("1")),
            ("caller<sip:a@b>;tag=323", "caller", "sip:a@b", Some("323")),
            ("\"J \\\\\\\"\"       <sip:j@e>\r\n  ;\r\n  tag = 98asjd8", "\"J \\\\\\\"\"", "sip:j@e", Some("98asjd8")),
            ("Ann Lee <sip:a,c@b?x=y>", "Ann Lee", "sip:a,c@b?x=y", None),
            ("\"Bell, Al; <x>\" <sip:a@b>;q=\"a;tag=0\";tag=1", "\"Bell, Al; <x>\"", "sip:a@b", Some("1")),
        ] {
            let read = NameAddr::parse(value.as_bytes()).unwrap_or_else(|| panic!("{value}"));
            assert_eq!(read.display, display.as_bytes(), "{value}");
            assert_eq!(read.uri, uri.as_bytes(), "{value}");
            assert_eq!(read.tag(), tag.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn refuses_what_is_not_an_address() {
        for value in [
            "",
            "<>",
            "<sip:a@b",
            "sip:a@b>",
            "\"Mr. J. User <sip:j@e>",
            "Bell, Alexander <sip:a@b>;tag=43",
            "sip:user@example.com?Route=%3Csip:e%3E",
            "<sip:a@b>;;;;",
            "<sip:a@b> x",
            "<<sip:a@b>>",
            "\"x\" sip:a@b",
            "sip:a b@c",
        ] {
            assert_eq!(NameAddr::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn display_text_undoes_quotes() {
        let read = NameAddr::parse(br#""J \\\"R" <sip:a@b>"#).unwrap();
        assert_eq!(read.display_text(), r#"J \"R"#);
        assert_eq!(NameAddr::parse(b"Ann Lee <sip:a@b>").unwrap().display_text(), "Ann Lee");
    }
}
