//! Message bodies as far as SIP has to examine them: multipart parts, and the selection of the session description
//! (RFC 5621, RFC 2046).

use super::head::{HeadLines, split_line};
use crate::header::{HeaderName, params};
use crate::limits;
use crate::scan::{part, split_once, tail, trim};

/// Part of a multipart body, or the whole of any other body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPart<'a> {
    /// Content-Type with its parameters.
    pub content_type: &'a [u8],
    /// Content-ID as written, with its brackets.
    pub content_id: Option<&'a [u8]>,
    /// Content-Disposition with its parameters.
    pub disposition: Option<&'a [u8]>,
    /// Bytes of the part.
    pub bytes: &'a [u8],
}

impl BodyPart<'_> {
    /// Returns whether the part has a media type such as `application/sdp`.
    pub fn is(&self, media_type: &str) -> bool {
        media(self.content_type).eq_ignore_ascii_case(media_type.as_bytes())
    }
}

/// Returns the session description in a body of the given Content-Type.
pub(crate) fn find_sdp<'a>(content_type: &'a [u8], body: &'a [u8]) -> Option<&'a [u8]> {
    let mut found = None;
    each_part(content_type, body, &mut |part: BodyPart<'a>| {
        let is_sdp = part.is("application/sdp") && !part.bytes.is_empty();
        found = is_sdp.then_some(part.bytes);
        is_sdp
    });
    found
}

/// Passes the parts of a body, nested ones included, to `take` in order, until `take` returns `true`.
pub(crate) fn each_part<'a>(content_type: &'a [u8], body: &'a [u8], take: &mut dyn FnMut(BodyPart<'a>) -> bool) {
    let whole = BodyPart { content_type, content_id: None, disposition: None, bytes: body };
    walk(whole, limits::BODY_DEPTH, take);
}

/// Passes the parts of `whole` to `take`. Returns whether `take` accepted one.
fn walk<'a>(whole: BodyPart<'a>, depth: usize, take: &mut dyn FnMut(BodyPart<'a>) -> bool) -> bool {
    let (main, _) = split_once(media(whole.content_type), b'/').unwrap_or_default();
    if !trim(main).eq_ignore_ascii_case(b"multipart") {
        return take(whole);
    }
    let Some(boundary) = params::find(whole.content_type, "boundary").filter(|_| depth > 0) else { return false };
    let boundary = boundary.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(boundary);
    if boundary.is_empty() {
        return false;
    }
    let mut inside = parts(whole.bytes, boundary).take(limits::BODY_PARTS).filter_map(read_part);
    inside.any(|part| walk(part, depth - 1, take))
}

/// Returns a Content-Type without its parameters.
fn media(content_type: &[u8]) -> &[u8] {
    trim(split_once(content_type, b';').map_or(content_type, |(media, _)| media))
}

/// Parses the headers and content of a part. Returns `None` if it has no Content-Type (RFC 2046 §5.1: plain text).
fn read_part(bytes: &[u8]) -> Option<BodyPart<'_>> {
    let mut lines = HeadLines::new(bytes, 0);
    let (mut kind, mut content_id, mut disposition) = (None, None, None);
    while let Some(line) = lines.header() {
        let Some(split) = split_line(line.bytes) else { continue };
        let value = part(line.bytes, split.value_at, split.value_end);
        for (name, place) in [
            (HeaderName::ContentType, &mut kind),
            (HeaderName::ContentId, &mut content_id),
            (HeaderName::ContentDisposition, &mut disposition),
        ] {
            if split.name == name {
                place.get_or_insert(value);
            }
        }
    }
    Some(BodyPart { content_type: kind?, content_id, disposition, bytes: tail(bytes, lines.at()) })
}

/// Iterates over the content between delimiter lines; the line end before a delimiter belongs to the delimiter (RFC
/// 2046 §5.1.1).
fn parts<'a, 'b>(body: &'a [u8], boundary: &'b [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'b> {
    let mut delimiters = delimiters(body, boundary);
    let mut open = delimiters.next();
    std::iter::from_fn(move || {
        let (_, from, last) = open?;
        if last {
            return None;
        }
        open = delimiters.next();
        Some(part(body, from, open.map_or(body.len(), |(end, ..)| end)))
    })
}

/// Iterates over the delimiter lines: end of the content before it, start of the content after it, and whether it is
/// the closing one.
fn delimiters(body: &[u8], boundary: &[u8]) -> impl Iterator<Item = (usize, usize, bool)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < body.len() {
            let from = at;
            let line = tail(body, from);
            let length = memchr::memchr(b'\n', line).map_or(line.len(), |end| end + 1);
            at += length;
            let Some(rest) = part(line, 0, length).strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary))
            else {
                continue;
            };
            let closing = rest.strip_prefix(b"--");
            if !trim(closing.unwrap_or(rest)).is_empty() {
                continue;
            }
            let before = part(body, 0, from);
            let before = before.strip_suffix(b"\n").unwrap_or(before);
            let before = before.strip_suffix(b"\r").unwrap_or(before);
            return Some((before.len(), at, closing.is_some()));
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &[u8] = b"preamble\r\n--b1\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b1\r\n\
        c: multipart/alternative; boundary=b2\r\n\r\n--b2\r\nContent-Type: application/SDP\r\nContent-Disposition: x\r\n\r\n\
        v=0\r\ns=-\r\n--b2--\r\n--b1--\r\n";

    #[test]
    fn finds_it_alone_and_inside_multipart() {
        assert_eq!(find_sdp(b"Application/SDP;charset=x", b"v=0\r\n"), Some(b"v=0\r\n".as_slice()));
        assert_eq!(find_sdp(b"multipart/mixed;boundary=\"b1\"", MIXED), Some(b"v=0\r\ns=-".as_slice()));
    }

    #[test]
    fn parts_keep_what_names_them() {
        let body = b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\nContent-Type: application/pidf+xml; charset=utf-8\r\n\
            content-id: <a@b>\r\nContent-Disposition: render;handling=optional\r\n\r\n<presence/>\r\n--b--\r\n";
        let mut seen = Vec::new();
        each_part(b"multipart/mixed;boundary=b", body, &mut |part| {
            seen.push(part);
            false
        });
        let second = BodyPart {
            content_type: b"application/pidf+xml; charset=utf-8",
            content_id: Some(b"<a@b>"),
            disposition: Some(b"render;handling=optional"),
            bytes: b"<presence/>",
        };
        assert_eq!((seen.len(), seen[1]), (2, second));
        assert!(seen[0].is("Application/SDP") && seen[1].is("application/pidf+xml"));
        let mut whole = Vec::new();
        each_part(b"text/plain", b"hi", &mut |part| {
            whole.push(part.bytes);
            false
        });
        assert_eq!(whole, [b"hi".as_slice()]);
    }

    #[test]
    fn finds_nothing_where_there_is_nothing() {
        assert_eq!(find_sdp(b"text/plain", b"v=0\r\n"), None);
        assert_eq!(find_sdp(b"application/sdp", b""), None);
        assert_eq!(find_sdp(b"multipart/mixed", MIXED), None);
        assert_eq!(find_sdp(b"multipart/mixed;boundary=zz", MIXED), None);
        assert_eq!(find_sdp(b"multipart/mixed;boundary=b", MIXED), None);
    }

    #[test]
    fn depth_and_number_of_parts_are_bounded() {
        let mut many = b"--b\r\nContent-Type: a/b\r\n\r\nx\r\n".repeat(limits::BODY_PARTS);
        many.extend_from_slice(b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n");
        assert_eq!(find_sdp(b"multipart/mixed;boundary=b", &many), None);
        let tail = many.len() - many.len() / 2;
        assert!(find_sdp(b"multipart/mixed;boundary=b", &many[tail..]).is_some());
        let mut nested = b"v=0".to_vec();
        let mut kind = "application/sdp".to_owned();
        for depth in 0..=limits::BODY_DEPTH {
            let found = find_sdp(kind.as_bytes(), &nested).is_some();
            assert!(found, "{depth}");
            nested = [
                format!("--b{depth}\r\nContent-Type: {kind}\r\n\r\n").as_bytes(),
                &nested,
                b"\r\n--b",
                depth.to_string().as_bytes(),
                b"--",
            ]
            .concat();
            kind = format!("multipart/mixed; boundary=b{depth}");
        }
        assert_eq!(find_sdp(kind.as_bytes(), &nested), None);
    }
}
