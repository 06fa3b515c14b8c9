//! Bodies as far as SIP itself must look: which part of a multipart body is the session description (RFC 5621, RFC 2046).

use crate::head::{Lines, split_line};
use crate::header::{HeaderName, params};
use crate::limits;
use crate::scan::{part, split_once, tail, trim};

/// The session description in a body of the given Content-Type.
pub(crate) fn find_sdp<'a>(content_type: &[u8], body: &'a [u8]) -> Option<&'a [u8]> {
    find(content_type, body, limits::BODY_DEPTH)
}

fn find<'a>(content_type: &[u8], body: &'a [u8], depth: usize) -> Option<&'a [u8]> {
    let (media, _) = split_once(content_type, b';').unwrap_or((content_type, b""));
    let media = trim(media);
    if media.eq_ignore_ascii_case(b"application/sdp") {
        return (!body.is_empty()).then_some(body);
    }
    let (main, _) = split_once(media, b'/')?;
    if !trim(main).eq_ignore_ascii_case(b"multipart") || depth == 0 {
        return None;
    }
    let boundary = params::find(content_type, "boundary")?;
    let boundary = boundary.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(boundary);
    if boundary.is_empty() {
        return None;
    }
    parts(body, boundary).take(limits::BODY_PARTS).find_map(|inner| {
        let (kind, inside) = read_part(inner)?;
        find(kind, inside, depth - 1)
    })
}

/// A part's Content-Type and what is in it; `None` where it names no type (RFC 2046 §5.1: plain text).
fn read_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut lines = Lines::new(bytes, 0);
    let mut kind = None;
    while let Some(line) = lines.header() {
        if let Some(split) = split_line(line.bytes)
            && split.name == HeaderName::ContentType
            && kind.is_none()
        {
            kind = Some(part(line.bytes, split.value_at, split.value_end));
        }
    }
    Some((kind?, tail(bytes, lines.at())))
}

/// What stands between the delimiter lines; the line end before a delimiter belongs to it (RFC 2046 §5.1.1).
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

/// Every delimiter line: where what is before it ends, where what is behind it begins, whether it is the closing one.
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
