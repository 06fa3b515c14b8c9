//! Replaces header (RFC 3891 §6.1), which names the dialog that an INVITE is to replace.

use std::fmt;

use super::params;
use crate::scan::{ByteScanner, is_whole_token, split, trim};
use crate::uri::unescape;

/// Maximum length of a value. It is copied into a URI of a REFER, which has to fit into a UDP datagram.
const MAX_BYTES: usize = 512;

/// Identifiers of a dialog from the view of the request's recipient (RFC 3891 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaces {
    /// Call-ID of the dialog to be replaced.
    pub call_id: String,
    /// Tag of the dialog's side that receives the request.
    pub to_tag: String,
    /// Tag of the other side of the dialog.
    pub from_tag: String,
    /// Whether the dialog may be replaced only while it is early.
    pub early_only: bool,
}

impl Replaces {
    /// Parses a value. Returns `None` if it does not have exactly one Call-ID and one tag of each side, or exceeds 512
    /// bytes.
    pub fn parse(value: &[u8]) -> Option<Replaces> {
        let value = trim(value);
        if value.len() > MAX_BYTES {
            return None;
        }
        let mut scan = ByteScanner::new(value);
        let call_id = scan.take_while(is_of_call_id);
        scan.skip_lws();
        let params = scan.rest();
        if call_id.is_empty() || !params::are_sound(params) {
            return None;
        }
        let named = |name: &str| split(params, b';').filter(move |entry| is_named(entry, name)).count();
        let tag = |name: &str| {
            let tag = params::find(params, name).filter(|_| named(name) == 1)?;
            let bare = tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\"")).unwrap_or(tag);
            is_whole_token(bare).then(|| String::from_utf8_lossy(bare).into_owned())
        };
        Some(Replaces {
            call_id: String::from_utf8_lossy(call_id).into_owned(),
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params::find(params, "early-only").is_some(),
        })
    }

    /// Parses the Replaces header inside a URI, after unescaping (RFC 3261 §19.1.1, RFC 3515 §2.1). Returns `None` if
    /// there is none, `Some(None)` if it is malformed or occurs twice.
    pub fn in_uri(headers: &str) -> Option<Option<Replaces>> {
        let pairs = headers.split('&').map(|header| header.split_once('=').unwrap_or((header, "")));
        let mut values = pairs.filter(|(name, _)| unescape(name).eq_ignore_ascii_case("Replaces")).map(|pair| pair.1);
        let first = values.next()?;
        Some(Replaces::parse(unescape(first).as_bytes()).filter(|_| values.next().is_none()))
    }

    /// Returns the identifiers of the same dialog from the view of the other side: both tags are exchanged.
    pub fn seen_from_afar(&self) -> Replaces {
        Replaces { to_tag: self.from_tag.clone(), from_tag: self.to_tag.clone(), ..self.clone() }
    }

    /// Returns the header as part of a URI, escaped: `Replaces=…`.
    pub fn to_uri_headers(&self) -> String {
        use fmt::Write as _;
        let mut text = String::from("Replaces=");
        for byte in self.to_string().bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*') {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
        }
        text
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let early_only = if self.early_only { ";early-only" } else { "" };
        write!(f, "{};to-tag={};from-tag={}{early_only}", self.call_id, self.to_tag, self.from_tag)
    }
}

/// Returns whether a byte is accepted in a Call-ID: a superset of `word` (RFC 3261 §25.1) without the separators of
/// this header.
fn is_of_call_id(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b';' | b',')
}

fn is_named(entry: &[u8], name: &str) -> bool {
    let end = entry.iter().position(|byte| *byte == b'=').unwrap_or(entry.len());
    entry.get(..end).is_some_and(|found| trim(found).eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(call_id: &str, to_tag: &str, from_tag: &str, early_only: bool) -> Replaces {
        let [call_id, to_tag, from_tag] = [call_id, to_tag, from_tag].map(str::to_owned);
        Replaces { call_id, to_tag, from_tag, early_only }
    }

    #[test]
    fn one_that_is_too_long_to_go_on_is_none() {
        let value = |length: usize| format!("{}@h;to-tag=1;from-tag=2", "a".repeat(length));
        assert!(Replaces::parse(value(480).as_bytes()).is_some() && Replaces::parse(value(500).as_bytes()).is_none());
    }

    #[test]
    fn rfc3891_6_1_one_dialog_by_call_id_and_both_tags() {
        for (value, expected) in [
            (
                "425928@bobster.example.org;to-tag=7743;from-tag=6472",
                named("425928@bobster.example.org", "7743", "6472", false),
            ),
            (
                "98732@sip.example.com\r\n ;from-tag=r33th4x0r\r\n ;to-tag=ff87ff",
                named("98732@sip.example.com", "ff87ff", "r33th4x0r", false),
            ),
            (
                "12adf2f34456gs5;to-tag=12345;from-tag=54321;early-only",
                named("12adf2f34456gs5", "12345", "54321", true),
            ),
            (" a%b<c> ; To-Tag = \"1\" ; x=y ; FROM-TAG=0 ", named("a%b<c>", "1", "0", false)),
        ] {
            let read = Replaces::parse(value.as_bytes()).unwrap();
            assert_eq!(read, expected, "{value}");
            assert_eq!(Replaces::parse(read.to_string().as_bytes()), Some(expected), "as it is written");
        }
        for value in [
            "",
            ";to-tag=1;from-tag=2",
            "a",
            "a;to-tag=1",
            "a;from-tag=2",
            "a;to-tag;from-tag=2",
            "a;to-tag=;from-tag=2",
            "a;to-tag=1;from-tag=2;to-tag=1",
            "a;to-tag=1;from-tag=2;",
            "a,b;to-tag=1;from-tag=2",
            "a b;to-tag=1;from-tag=2",
            "a;to-tag=1;from-tag=2,b;to-tag=1;from-tag=2",
            "a;to-tag=1;from-tag=\"2 3\"",
            "a;to-tag=1;from-tag=2\r\nX: y",
        ] {
            assert_eq!(Replaces::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn rfc3515_2_1_in_a_uri_it_is_escaped() {
        let expected = Some(Some(named("090459243588173445", "7553452", "31431", false)));
        for headers in [
            "Replaces=090459243588173445%3Bto-tag%3D7553452%3Bfrom-tag%3D31431",
            "Accept-Contact=x&replaces=090459243588173445%3bto-tag%3d7553452%3bfrom-tag%3d31431&Require=replaces",
            "Repl%61ces=090459243588173445%20%3Bto-tag%3D%227553452%22%3Bfrom-tag%3D31431",
        ] {
            assert_eq!(Replaces::in_uri(headers), expected, "{headers}");
        }
        for (headers, expected) in [("", None), ("Require=replaces", None), ("Replaces", Some(None))] {
            assert_eq!(Replaces::in_uri(headers), expected, "{headers}");
        }
        // A header that occurs twice, and one that contains a line break.
        for headers in [
            "Replaces=1%3Bto-tag%3D2%3Bfrom-tag%3D3&Replaces=1%3Bto-tag%3D2%3Bfrom-tag%3D3",
            "Replaces=1%3Bto-tag%3D2%3Bfrom-tag%3D3%0D%0AX%3A%20y",
        ] {
            assert_eq!(Replaces::in_uri(headers), Some(None), "{headers}");
        }
        let written = named("a/b@192.0.2.1", "1+", "2", true).to_uri_headers();
        assert_eq!(written, "Replaces=a%2Fb%40192.0.2.1%3Bto-tag%3D1%2B%3Bfrom-tag%3D2%3Bearly-only");
        assert_eq!(Replaces::in_uri(&written), Some(Some(named("a/b@192.0.2.1", "1+", "2", true))));
    }
}
