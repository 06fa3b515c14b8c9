//! A stream cut into messages by Content-Length (RFC 3261 §18.3); CRLF keep-alives (RFC 5626 §3.5.1) are told apart.

use bytes::Bytes;

/// What a stream yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framed {
    /// One whole message's bytes.
    Message(Bytes),
    /// A double CRLF between messages: answer with one CRLF.
    Ping,
    /// The stream cannot be followed any further (no Content-Length, nonsense, too long): what can be read of the
    /// message, for an error answer; then close.
    Broken {
        /// Headers as far as they came.
        bytes: Bytes,
        /// What is wrong.
        what: &'static str,
    },
}

/// Collects a stream's bytes; bounded by the largest message allowed.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    max_bytes: usize,
}

impl Framer {
    /// A framer that takes messages of up to `max_bytes`.
    pub fn new(max_bytes: usize) -> Framer {
        Framer { buffer: Vec::new(), max_bytes }
    }
    /// Adds bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        let _ = (bytes, self.max_bytes);
        unimplemented!()
    }
    /// The next thing the stream holds, if whole.
    pub fn pop(&mut self) -> Option<Framed> {
        let _ = &self.buffer;
        unimplemented!()
    }
}
