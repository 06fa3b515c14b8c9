//! Detection of text files that are not UTF-8, with the conversion command.

use std::path::Path;

/// Character encoding of a text file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextEncoding {
    /// UTF-16 with a byte order mark.
    Utf16,
    /// UTF-16, little endian, without a byte order mark.
    Utf16Le,
    /// UTF-16, big endian, without a byte order mark.
    Utf16Be,
    /// ISO 8859-1.
    Latin1,
    /// Windows-1252: Latin-1 with printable characters in 80 to 9F, written by Excel in Western countries.
    Windows1252,
    /// UTF-8 with one invalid byte sequence.
    Damaged,
}

/// Returns the text of a file without its byte order mark; the error is a message and the probable encoding.
pub(super) fn text(mut bytes: Vec<u8>) -> Result<String, (String, TextEncoding)> {
    if let Some(wide) = utf_16(&bytes) {
        return Err(("UTF-16".to_owned(), wide));
    }
    if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|error| {
        let (before, rest) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let encoding = match before.is_ascii() {
            false => TextEncoding::Damaged,
            true if rest.iter().any(|byte| (0x80..=0x9f).contains(byte)) => TextEncoding::Windows1252,
            true => TextEncoding::Latin1,
        };
        (format!("line {line} is not UTF-8"), encoding)
    })
}

/// Detects UTF-16 by its byte order mark, or by the zero bytes of leading ASCII characters.
fn utf_16(bytes: &[u8]) -> Option<TextEncoding> {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(TextEncoding::Utf16),
        [1..=127, 0, 1..=127, 0, ..] => Some(TextEncoding::Utf16Le),
        [0, 1..=127, 0, 1..=127, ..] => Some(TextEncoding::Utf16Be),
        _ => None,
    }
}

/// Returns instructions for a conversion to UTF-8.
pub(super) fn remedy(from: TextEncoding, path: &Path) -> String {
    let name = match from {
        TextEncoding::Damaged => {
            return "the lines before it are: correct that line and save the file as UTF-8".to_owned();
        }
        TextEncoding::Utf16 => "UTF-16",
        TextEncoding::Utf16Le => "UTF-16LE",
        TextEncoding::Utf16Be => "UTF-16BE",
        TextEncoding::Latin1 => "LATIN1",
        TextEncoding::Windows1252 => "WINDOWS-1252",
    };
    format!("save the file as CSV UTF-8, or: iconv -f {name} -t UTF-8 {} > utf-8.csv", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_known_by_its_bytes() {
        for (bytes, expected) in [
            (&b"\xff\xfet\0o\0"[..], TextEncoding::Utf16),
            (b"\xfe\xff\0t\0o", TextEncoding::Utf16),
            (b"t\0o\0\n\0", TextEncoding::Utf16Le),
            (b"\0t\0o\0\n", TextEncoding::Utf16Be),
            (b"to,note\n1,M\xfcller\n", TextEncoding::Latin1),
            (b"to,note\n1,\x84M\xfcller\x93\n", TextEncoding::Windows1252),
            (b"to,note\n1,M\xc3\xbcller\n2,M\xfcller\n", TextEncoding::Damaged),
        ] {
            let (what, encoding) = text(bytes.to_vec()).unwrap_err();
            assert_eq!(encoding, expected, "{what}");
        }
        for plain in ["", "to", "to\n+1", "\u{feff}to,note\n1,Müller\n"] {
            assert_eq!(text(plain.as_bytes().to_vec()).unwrap(), plain.trim_start_matches('\u{feff}'));
        }
    }
}
