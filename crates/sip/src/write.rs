//! Serialisation: every outgoing message is built here, header by header, from what we allow; nothing is copied whole.

use bytes::Bytes;

use crate::method::Method;

/// Writes one message. Values are cleaned of CR, LF and NUL, so that no header can be smuggled in.
#[derive(Debug)]
pub struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    /// Begins a request.
    pub fn request(method: Method, uri: &str) -> Writer {
        let _ = (method, uri);
        unimplemented!()
    }
    /// Begins a response; an empty `reason` takes the standard phrase.
    pub fn response(code: u16, reason: &str) -> Writer {
        let _ = (code, reason);
        unimplemented!()
    }
    /// Adds a header.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Writer {
        let _ = (name, value);
        unimplemented!()
    }
    /// Adds a header whose value is bytes as received (Via, Record-Route of the request we answer).
    pub fn header_bytes(&mut self, name: &str, value: &[u8]) -> &mut Writer {
        let _ = (name, value);
        unimplemented!()
    }
    /// Ends the message with Content-Type, Content-Length and the body.
    pub fn finish(self, body: Option<&crate::Body>) -> Bytes {
        let _ = (body, self.buffer);
        unimplemented!()
    }
}

/// The standard reason phrase of a status code (RFC 3261 §21); `Unknown` for one we do not know.
pub fn reason_phrase(code: u16) -> &'static str {
    let _ = code;
    unimplemented!()
}
