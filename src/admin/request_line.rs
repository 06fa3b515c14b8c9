//! Request lines as people type them for curl: `Calls.json?StartTime>=2026-11-01` has characters that no URI has (RFC 3986 §2), which hyper
//! answers by 400 without a word. They are written as they were meant before hyper reads them, in the first request of a connection alone:
//! where a later one begins, only hyper knows, and a byte more in a body would make its end another request.

/// Beginning of the method whose connection carries anything but HTTP afterwards.
const CONNECT: &[u8] = b"CONNECT ";

/// Follows the bytes of a connection from the client to the end of its first request line.
#[derive(Debug)]
pub(super) struct RequestLines {
    state: LineState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineState {
    /// In a request line, behind so many bytes that it has in common with a CONNECT; `None`: it is none.
    InLine(Option<usize>),
    /// In header fields or a body.
    Behind,
    /// Behind a CONNECT: the bytes are no HTTP.
    Tunnel,
}

impl Default for RequestLines {
    fn default() -> RequestLines {
        RequestLines { state: LineState::InLine(Some(0)) }
    }
}

impl RequestLines {
    /// Returns whether bytes that come now may have to be written otherwise, up to three for one.
    pub(super) fn is_in_line(&self) -> bool {
        matches!(self.state, LineState::InLine(_))
    }

    /// Writes bytes from the client as hyper may read them.
    pub(super) fn rewrite(&mut self, bytes: &[u8], mut write: impl FnMut(&[u8])) {
        for byte in bytes {
            let in_line = self.is_in_line();
            self.state = match self.state {
                LineState::InLine(Some(at)) if at == CONNECT.len() => LineState::Tunnel,
                LineState::InLine(_) if *byte == b'\n' => LineState::Behind,
                LineState::InLine(Some(at)) if CONNECT.get(at) == Some(byte) => LineState::InLine(Some(at + 1)),
                LineState::InLine(_) => LineState::InLine(None),
                state @ (LineState::Behind | LineState::Tunnel) => state,
            };
            match byte {
                b'<' if in_line => write(b"%3C"),
                b'>' if in_line => write(b"%3E"),
                _ => write(&[*byte]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(lines: &mut RequestLines, bytes: &str) -> String {
        let mut out = Vec::new();
        lines.rewrite(bytes.as_bytes(), |bytes| out.extend_from_slice(bytes));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn signs_of_comparison_are_encoded_in_request_lines_only() {
        let mut lines = RequestLines::default();
        let request = "GET /Calls.json?StartTime>=2026-11-01&EndTime<=2026 HTTP/1.1\r\nX: <a>\r\n\r\n";
        let expected = "GET /Calls.json?StartTime%3E=2026-11-01&EndTime%3C=2026 HTTP/1.1\r\nX: <a>\r\n\r\n";
        assert_eq!(rewritten(&mut lines, request), expected);
        assert_eq!(rewritten(&mut lines, "<body>\n<"), "<body>\n<");
        // A body may go on behind its answer.
        assert_eq!(rewritten(&mut lines, "GET /?a> HTTP/1.1\r\n"), "GET /?a> HTTP/1.1\r\n");
        assert!(!lines.is_in_line());
    }

    #[test]
    fn a_request_line_in_parts_is_encoded_to_its_end() {
        let mut lines = RequestLines::default();
        assert_eq!(rewritten(&mut lines, "GET /?a>"), "GET /?a%3E");
        assert_eq!(rewritten(&mut lines, "=1 HTTP/1.1\r\n>"), "=1 HTTP/1.1\r\n>");
    }

    #[test]
    fn nothing_behind_a_connect_is_touched() {
        let mut lines = RequestLines::default();
        let connect = "CONNECT api.twilio.com:443 HTTP/1.1\r\n\r\n";
        assert_eq!(rewritten(&mut lines, connect), connect);
        assert_eq!(rewritten(&mut lines, "\x16<>\n<>"), "\x16<>\n<>");
        // Only a whole method is one.
        let mut lines = RequestLines::default();
        assert_eq!(rewritten(&mut lines, "CONNECTED />\r\n"), "CONNECTED /%3E\r\n");
    }
}
