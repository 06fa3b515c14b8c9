//! Request lines typed for curl: `Calls.json?StartTime>=2026-11-01` has characters outside of the URI grammar (RFC 3986
//! §2), which hyper rejects with a bare 400. They are percent-encoded before hyper reads them, in the first request of
//! a connection only: only hyper knows the start of a later request, and a byte added to a body would turn its end into
//! another request.

/// Position in the first request line of a connection.
#[derive(Debug, Default)]
pub(super) struct FirstRequestLine {
    is_over: bool,
}

impl FirstRequestLine {
    /// Returns whether the first request line has ended; no later byte is encoded.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Ends the encoding, so that all further bytes pass unchanged.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// Writes bytes with the characters of the request line encoded; one byte may become three.
    pub(super) fn rewrite(&mut self, bytes: &[u8], mut write: impl FnMut(&[u8])) {
        for byte in bytes {
            match byte {
                b'<' if !self.is_over => write(b"%3C"),
                b'>' if !self.is_over => write(b"%3E"),
                _ => write(&[*byte]),
            }
            self.is_over |= *byte == b'\n';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &mut FirstRequestLine, bytes: &str) -> String {
        let mut out = Vec::new();
        line.rewrite(bytes.as_bytes(), |bytes| out.extend_from_slice(bytes));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn signs_of_comparison_are_encoded_in_request_lines_only() {
        let mut line = FirstRequestLine::default();
        let request = "GET /Calls.json?StartTime>=2026-11-01&EndTime<=2026 HTTP/1.1\r\nX: <a>\r\n\r\n";
        let expected = "GET /Calls.json?StartTime%3E=2026-11-01&EndTime%3C=2026 HTTP/1.1\r\nX: <a>\r\n\r\n";
        assert_eq!(rewritten(&mut line, request), expected);
        assert_eq!(rewritten(&mut line, "<body>\n<"), "<body>\n<");
        // The body of a request may continue after the response.
        assert_eq!(rewritten(&mut line, "GET /?a> HTTP/1.1\r\n"), "GET /?a> HTTP/1.1\r\n");
        assert!(line.is_over());
    }

    #[test]
    fn a_request_line_in_parts_is_encoded_to_its_end() {
        let mut line = FirstRequestLine::default();
        assert_eq!(rewritten(&mut line, "GET /?a>"), "GET /?a%3E");
        assert_eq!(rewritten(&mut line, "=1 HTTP/1.1\r\n>"), "=1 HTTP/1.1\r\n>");
    }

    #[test]
    fn nothing_behind_a_connect_is_touched() {
        let mut line = FirstRequestLine::default();
        let connect = "CONNECT api.twilio.com:443 HTTP/1.1\r\n\r\n";
        assert_eq!(rewritten(&mut line, connect), connect);
        assert_eq!(rewritten(&mut line, "\x16<>\n<>"), "\x16<>\n<>");
        let mut line = FirstRequestLine::default();
        assert_eq!(rewritten(&mut line, "CONNECTED />\r\n"), "CONNECTED /%3E\r\n");
    }
}
