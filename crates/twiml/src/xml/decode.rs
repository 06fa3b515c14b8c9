//! Decodes HTTP response bodies: byte order mark, charset of the content type, XML declaration.

use std::borrow::Cow;

use crate::limits::DOCUMENT_BYTES;
use crate::problem::{DocumentError, DocumentPosition, code};

/// Number of bytes at the start of a document in which an XML declaration is searched for.
const DECLARATION_BYTES: usize = 200;

/// Characters that windows-1252 assigns to the bytes 0x80 to 0x9F, which are control characters in ISO 8859-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Decodes a response body. The encoding is given by the byte order mark, else by `charset`, else by the XML
/// declaration, else it is UTF-8.
///
/// # Errors
/// Returns [`DocumentError`] if the body is too long, its encoding is not supported, or its bytes are invalid in the
/// encoding.
pub(crate) fn decode<'a>(body: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, str>, DocumentError> {
    if body.len() > DOCUMENT_BYTES {
        let message = format!("the document has more than {DOCUMENT_BYTES} bytes");
        return Err(DocumentError::new(code::TOO_LARGE, DocumentPosition::START, message));
    }
    match body {
        [0xEF, 0xBB, 0xBF, rest @ ..] => return utf8(rest),
        [0xFE, 0xFF, rest @ ..] => return utf16(rest, u16::from_be_bytes),
        [0xFF, 0xFE, rest @ ..] => return utf16(rest, u16::from_le_bytes),
        _ => {}
    }
    let declared = declared(body);
    let name = charset.map(str::trim).filter(|name| !name.is_empty()).or(declared.as_deref()).unwrap_or("utf-8");
    match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => utf8(body),
        "iso-8859-1" | "latin1" | "latin-1" | "windows-1252" | "cp1252" => Ok(Cow::Owned(windows_1252(body))),
        // A declaration that could be read byte by byte is not in UTF-16, regardless of its content.
        "utf-16" | "utf-16le" | "utf-16be" if charset.is_none() => utf8(body),
        "utf-16" | "utf-16be" => utf16(body, u16::from_be_bytes),
        "utf-16le" => utf16(body, u16::from_le_bytes),
        _ => {
            let shown: String = name.chars().take(40).collect();
            Err(not_text(&format!("the encoding {shown:?} is not supported; send UTF-8")))
        }
    }
}

/// Returns the encoding named in the XML declaration, if there is one.
fn declared(body: &[u8]) -> Option<String> {
    let head = body.get(..DECLARATION_BYTES.min(body.len()))?;
    let head: String = head.iter().map(|byte| char::from(*byte)).collect();
    let declaration = head.strip_prefix("<?xml")?.split_once("?>")?.0;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|sign| ['"', '\''].contains(sign))?;
    value.get(1..)?.split_once(quote).map(|(name, _)| name.to_owned())
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, DocumentError> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|wrong| {
        let good = bytes.get(..wrong.valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let position = super::lines::PositionLookup::new(&good).at(good.len());
        DocumentError::new(code::NOT_XML, position, "the document is not UTF-8")
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'static, str>, DocumentError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    match String::from_utf16(&units) {
        Ok(text) if rest.is_empty() => Ok(Cow::Owned(text)),
        _ => Err(not_text("the document is not UTF-16")),
    }
}

fn windows_1252(bytes: &[u8]) -> String {
    let sign = |byte: &u8| match byte {
        0x80..=0x9F => WINDOWS_1252.get(usize::from(byte - 0x80)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
        other => char::from(*other),
    };
    bytes.iter().map(sign).collect()
}

fn not_text(message: &str) -> DocumentError {
    DocumentError::new(code::NOT_XML, DocumentPosition::START, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_charsets_and_declarations_are_honoured() {
        let utf16: Vec<u8> = "\u{FEFF}é".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let cases: [(&[u8], Option<&str>, &str); 8] = [
            (b"\xEF\xBB\xBFa", None, "a"),
            (&utf16, None, "é"),
            (&utf16, Some("iso-8859-1"), "é"),
            ("é".as_bytes(), None, "é"),
            (b"\xE9\x80", Some("ISO-8859-1"), "é€"),
            (
                b"<?xml version='1.0' encoding='windows-1252'?>\x93",
                None,
                "<?xml version='1.0' encoding='windows-1252'?>“",
            ),
            (b"<?xml encoding=\"UTF-16\"?>", None, "<?xml encoding=\"UTF-16\"?>"),
            (b"\x00a", Some("utf-16be"), "a"),
        ];
        for (body, charset, text) in cases {
            assert_eq!(decode(body, charset).unwrap(), text, "{body:?}");
        }
    }

    #[test]
    fn other_bytes_are_refused_where_they_stand() {
        let wrong = decode(b"ab\nc\xFF", None).unwrap_err();
        assert_eq!((wrong.code, wrong.position), (code::NOT_XML, DocumentPosition { line: 2, column: 2 }));
        assert_eq!(decode(b"a", Some("ebcdic")).unwrap_err().code, code::NOT_XML);
        assert_eq!(decode(b"\xFE\xFF\x00", None).unwrap_err().code, code::NOT_XML);
        assert_eq!(decode(&vec![b' '; DOCUMENT_BYTES + 1], None).unwrap_err().code, code::TOO_LARGE);
        assert!(decode(&vec![b' '; DOCUMENT_BYTES], None).is_ok());
    }
}
