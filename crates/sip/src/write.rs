//! Serializes outgoing messages header by header; no part of a received message is copied wholesale.

use std::io::Write as _;

use bytes::Bytes;

use crate::method::Method;
use crate::scan::{ByteScanner, is_lws};

/// Initial buffer size, larger than an ordinary message. Allocators serve this size quickly, twice the size not.
const USUAL_BYTES: usize = 1024;

/// Writer of one message. CR, LF and NUL are removed from values, so that no header can be injected.
#[derive(Debug)]
pub struct MessageWriter {
    buffer: Vec<u8>,
}

impl MessageWriter {
    /// Begins a request with its request line.
    pub fn request(method: Method, uri: &str) -> MessageWriter {
        Self::begin(&[method.as_str(), " ", uri, " SIP/2.0"])
    }

    /// Begins a response; an empty `reason` selects the standard phrase.
    pub fn response(code: u16, reason: &str) -> MessageWriter {
        let reason = if reason.is_empty() { reason_phrase(code) } else { reason };
        Self::begin(&["SIP/2.0 ", &code.to_string(), " ", reason])
    }

    fn begin(words: &[&str]) -> MessageWriter {
        let mut buffer = Vec::with_capacity(USUAL_BYTES);
        for word in words {
            push_clean(&mut buffer, word.as_bytes());
        }
        buffer.extend_from_slice(b"\r\n");
        MessageWriter { buffer }
    }

    /// Appends a header line.
    pub fn header(&mut self, name: &str, value: &str) -> &mut MessageWriter {
        self.header_bytes(name, value.as_bytes())
    }

    /// Adds a header with a value in bytes as received (Via, Record-Route of the request being answered).
    pub fn header_bytes(&mut self, name: &str, value: &[u8]) -> &mut MessageWriter {
        push_clean(&mut self.buffer, name.as_bytes());
        self.buffer.extend_from_slice(b": ");
        push_clean(&mut self.buffer, value);
        self.buffer.extend_from_slice(b"\r\n");
        self
    }

    /// Ends the message with Content-Type, Content-Length and the body.
    pub fn finish(mut self, body: Option<&crate::MessageBody>) -> Bytes {
        if let Some(body) = body {
            self.header("Content-Type", &body.content_type);
        }
        let octets = body.map_or(b"".as_slice(), |body| &body.bytes);
        // Writing into a Vec cannot fail.
        let _ = write!(self.buffer, "Content-Length: {}\r\n\r\n", octets.len());
        self.buffer.extend_from_slice(octets);
        // The message may be kept for retransmission for half a minute, so the copy has exactly its size.
        Bytes::copy_from_slice(&self.buffer)
    }
}

/// Appends `value`, with each run of CR, LF and NUL and following white space replaced by one space. A fold thus
/// becomes one space, and a backslash before it still escapes a character.
fn push_clean(buffer: &mut Vec<u8>, value: &[u8]) {
    let mut scan = ByteScanner::new(value);
    while let Some(length) = memchr::memchr3(b'\r', b'\n', 0, scan.rest()) {
        let from = scan.at();
        buffer.extend_from_slice(scan.take_while(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
        debug_assert_eq!(scan.at() - from, length);
        scan.take_while(|byte| is_lws(byte) || byte == 0);
        buffer.push(b' ');
    }
    buffer.extend_from_slice(scan.rest());
}

/// Returns the standard reason phrase of a status code (RFC 3261 §21), or `Unknown`.
pub fn reason_phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        417 => "Unknown Resource-Priority",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        424 => "Bad Location Information",
        425 => "Bad Alert Message",
        428 => "Use Identity Header",
        429 => "Provide Referrer Identity",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        436 => "Bad Identity-Info",
        437 => "Unsupported Certificate",
        438 => "Invalid Identity Header",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        469 => "Bad Info Package",
        470 => "Consent Needed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        555 => "Push Notification Service Not Supported",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HeaderName, MessageBody, SipMessage};

    #[test]
    fn writes_a_request_with_body() {
        let mut writer = MessageWriter::request(Method::Invite, "sip:b@h");
        writer.header("Via", "SIP/2.0/UDP h;branch=z9hG4bK1").header_bytes("Call-ID", b"c");
        let bytes = writer.finish(Some(&MessageBody::sdp("v=0\r\n")));
        let expected = "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCall-ID: c\r\n\
            Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n";
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
    }

    #[test]
    fn writes_a_response_with_standard_and_own_phrase() {
        assert!(
            MessageWriter::response(486, "")
                .finish(None)
                .starts_with(b"SIP/2.0 486 Busy Here\r\nContent-Length: 0\r\n\r\n")
        );
        assert!(
            MessageWriter::response(400, "Bad Request: CSeq")
                .finish(None)
                .starts_with(b"SIP/2.0 400 Bad Request: CSeq\r\n")
        );
        assert_eq!(reason_phrase(299), "Unknown");
    }

    #[test]
    fn nothing_can_be_smuggled_in() {
        let mut writer = MessageWriter::request(Method::Options, "sip:a@b SIP/2.0\r\nX-Evil: 1\r\n\r\n");
        writer.header("X-A\r\nX-Evil", "1\r\nX-Evil: 2").header("X-B", "\"a\\\0\" \r\n\tb\n\r\0c");
        let message = SipMessage::parse(writer.finish(None)).unwrap();
        assert_eq!(message.header_named("X-Evil"), None);
        assert_eq!(message.header_named("X-B"), Some(br#""a\ "  b c"#.as_slice()));
        assert_eq!(message.header(HeaderName::ContentLength), Some(b"0".as_slice()));
    }
}
