//! Splits a stream into messages by Content-Length (RFC 3261 §18.3), and recognises CRLF keep-alives (RFC 5626
//! §3.5.1).

use bytes::{Buf as _, Bytes, BytesMut};

use crate::header::HeaderName;
use crate::limits;
use crate::message::head::{HeadEnd, HeadLines, head_end, split_line};
use crate::scan::{number, part};

/// Item read from a stream connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FramedItem {
    /// Bytes of one complete message.
    Message(Bytes),
    /// Double CRLF between messages; respond with one CRLF.
    Ping,
    /// Loss of framing (missing or malformed Content-Length, message too long), with the readable part of the message
    /// for an error response. Close the connection afterwards.
    Broken {
        /// Headers as far as received.
        bytes: Bytes,
        /// Description of the framing error.
        what: &'static str,
    },
}

/// Buffers stream data, bounded by the maximum message size.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    max_bytes: usize,
    /// Position up to which the end of the head has been searched.
    searched: usize,
    /// Length of the first message in the buffer, once its head is complete.
    length: Option<usize>,
    broken: bool,
    overflow: bool,
}

impl Framer {
    /// Creates a framer for messages of up to `max_bytes`.
    pub fn new(max_bytes: usize) -> Framer {
        Framer { buffer: BytesMut::new(), max_bytes, searched: 0, length: None, broken: false, overflow: false }
    }

    /// Appends stream data. Drain [`Self::pop`] after each call: more than [`limits::STREAM_BUFFER_BYTES`] of unread
    /// data breaks the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken || self.overflow {
            return;
        }
        if self.buffer.len().saturating_add(bytes.len()) > limits::STREAM_BUFFER_BYTES.max(self.max_bytes) {
            self.overflow = true;
            return;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next complete item of the stream. Returns `None` for ever after [`FramedItem::Broken`].
    pub fn pop(&mut self) -> Option<FramedItem> {
        if self.broken {
            return None;
        }
        let popped = match self.length {
            Some(length) => self.take_message(length),
            None => self.find_message(),
        };
        if popped.is_none() && self.overflow { Some(self.break_stream(0, "too much at once")) } else { popped }
    }

    /// Ends the stream, after a close or a timeout. Returns an incomplete message as broken, or `None` if none has
    /// begun.
    pub fn end(&mut self) -> Option<FramedItem> {
        if self.broken || self.buffer.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return None;
        }
        let what = if self.length.is_some() { "end of body" } else { "end of headers" };
        Some(self.break_stream(self.buffer.len(), what))
    }

    /// Returns whether the received data ends after a complete header line; if so, the head is incomplete: the empty
    /// line or another header is missing.
    pub fn awaits_line(&self) -> bool {
        !self.broken && self.length.is_none() && self.buffer.len() > 2 && self.buffer.ends_with(b"\r\n")
    }

    /// Returns whether a message has begun but is incomplete.
    pub fn is_within_message(&self) -> bool {
        !self.broken && !self.buffer.is_empty()
    }

    /// Returns the received part of an incomplete message, for another framer of the same stream.
    pub fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes the next message, or a ping before it, from the buffer; `None` if it is incomplete.
    fn find_message(&mut self) -> Option<FramedItem> {
        if self.searched == 0 && self.skip_empty_lines() {
            return Some(FramedItem::Ping);
        }
        if self.searched == 0 && matches!(self.buffer.first(), None | Some(b'\r')) {
            let nonsense = self.buffer.get(1).is_some_and(|&byte| byte != b'\n');
            return nonsense.then(|| self.break_stream(0, "no start line"));
        }
        let head = match head_end(&self.buffer, self.searched) {
            HeadEnd::At(head) => head,
            HeadEnd::Beyond(searched) => {
                self.searched = searched;
                let too_long = self.buffer.len() > self.max_bytes;
                return too_long.then(|| self.break_stream(self.max_bytes, "headers too long"));
            }
        };
        if head > self.max_bytes {
            return Some(self.break_stream(self.max_bytes, "headers too long"));
        }
        match content_length(part(&self.buffer, 0, head)) {
            Ok(length) if length <= self.max_bytes - head => {
                self.length = Some(head + length);
                self.take_message(head + length)
            }
            Ok(_) => Some(self.break_stream(head, "message too long")),
            Err(what) => Some(self.break_stream(head, what)),
        }
    }

    /// Drops empty lines before a start line (RFC 3261 §7.5). Returns `true` if two of them form a ping.
    fn skip_empty_lines(&mut self) -> bool {
        while let Some(first) = self.buffer.first() {
            match (first, self.buffer.get(1), self.buffer.get(2), self.buffer.get(3)) {
                (b'\r', Some(b'\n'), Some(b'\r'), Some(b'\n')) => {
                    self.buffer.advance(4);
                    return true;
                }
                // A second empty line may follow.
                (b'\r', Some(b'\n'), None, _) | (b'\r', Some(b'\n'), Some(b'\r'), None) => return false,
                (b'\r', Some(b'\n'), ..) => self.buffer.advance(2),
                (b'\n', ..) => self.buffer.advance(1),
                _ => return false,
            }
        }
        false
    }

    /// Removes a message of `length` bytes from the buffer; `None` if it is incomplete. The message is a copy, so that
    /// keeping it for long does not keep the whole buffer.
    fn take_message(&mut self, length: usize) -> Option<FramedItem> {
        let message = Bytes::copy_from_slice(self.buffer.get(..length)?);
        self.buffer.advance(length);
        self.searched = 0;
        self.length = None;
        Some(FramedItem::Message(message))
    }

    fn break_stream(&mut self, readable: usize, what: &'static str) -> FramedItem {
        let bytes = Bytes::copy_from_slice(part(&self.buffer, 0, readable.min(self.buffer.len())));
        self.buffer = BytesMut::new();
        self.broken = true;
        FramedItem::Broken { bytes, what }
    }
}

/// Returns the Content-Length of a complete head, which is mandatory on a stream (RFC 3261 §18.3) and must be
/// unambiguous.
fn content_length(head: &[u8]) -> Result<usize, &'static str> {
    let mut lines = HeadLines::new(head, 0);
    lines.start();
    let mut agreed = None;
    while let Some(line) = lines.header() {
        let Some(split) = split_line(line.bytes) else { continue };
        if split.name != HeaderName::ContentLength {
            continue;
        }
        let length = number(part(line.bytes, split.value_at, split.value_end));
        let length = length.and_then(|length| usize::try_from(length).ok()).ok_or("Content-Length is not a number")?;
        if agreed.is_some_and(|agreed| agreed != length) {
            return Err("two Content-Lengths");
        }
        agreed = Some(length);
    }
    agreed.ok_or("no Content-Length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[u8] = b"OPTIONS sip:a@h SIP/2.0\r\nl: 2\r\n\r\nhi";

    fn feed(max_bytes: usize, bytes: &[u8]) -> Vec<FramedItem> {
        let mut framer = Framer::new(max_bytes);
        framer.push(bytes);
        std::iter::from_fn(|| framer.pop()).collect()
    }

    fn broken(max_bytes: usize, bytes: &[u8]) -> (usize, &'static str) {
        match feed(max_bytes, bytes).pop() {
            Some(FramedItem::Broken { bytes, what }) => (bytes.len(), what),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cuts_messages_pings_and_empty_lines_apart() {
        let stream = [b"\r\n", OPTIONS, b"\r\n\r\n", OPTIONS, OPTIONS, b"\r\n"].concat();
        let message = FramedItem::Message(Bytes::from_static(OPTIONS));
        assert_eq!(feed(100, &stream), [message.clone(), FramedItem::Ping, message.clone(), message]);
    }

    #[test]
    fn waits_for_the_second_half_of_a_ping() {
        let mut framer = Framer::new(100);
        framer.push(b"\r\n");
        assert_eq!(framer.pop(), None);
        framer.push(b"\r");
        assert_eq!(framer.pop(), None);
        framer.push(b"\n");
        assert_eq!(framer.pop(), Some(FramedItem::Ping));
        assert_eq!(framer.pop(), None);
    }

    #[test]
    fn breaks_where_the_length_cannot_be_known() {
        for (lines, what) in [
            ("X: y", "no Content-Length"),
            ("Content-Length: -1", "Content-Length is not a number"),
            ("Content-Length: 1\r\nl: 2", "two Content-Lengths"),
            ("Content-Length: 101", "message too long"),
            ("Content-Length: 18446744073709551615", "message too long"),
        ] {
            let stream = format!("OPTIONS sip:a@h SIP/2.0\r\n{lines}\r\n\r\n");
            assert_eq!(broken(100, stream.as_bytes()), (stream.len(), what), "{lines}");
        }
        assert_eq!(broken(100, b"\rX").1, "no start line");
    }

    #[test]
    fn nothing_comes_after_the_break() {
        let mut framer = Framer::new(100);
        framer.push(b"OPTIONS sip:a@h SIP/2.0\r\n\r\n");
        assert!(matches!(framer.pop(), Some(FramedItem::Broken { .. })));
        framer.push(OPTIONS);
        assert_eq!(framer.pop(), None);
    }

    #[test]
    fn what_came_of_a_message_at_the_end_of_the_stream_is_broken() {
        let head = b"OPTIONS sip:a@h SIP/2.0\r\nl: 2\r\n";
        let whole = [head.as_slice(), b"\r\nh"].concat();
        for (bytes, what, awaits_line) in [
            (head.as_slice(), "end of headers", true),
            (&head[..head.len() - 1], "end of headers", false),
            (&head[..5], "end of headers", false),
            (&whole, "end of body", false),
        ] {
            let mut framer = Framer::new(100);
            framer.push(OPTIONS);
            assert!(framer.pop().is_some());
            framer.push(bytes);
            assert_eq!((framer.pop(), framer.awaits_line()), (None, awaits_line));
            assert_eq!(framer.end(), Some(FramedItem::Broken { bytes: Bytes::copy_from_slice(bytes), what }));
            assert!(framer.end().is_none() && !framer.awaits_line());
        }
        let mut framer = Framer::new(100);
        framer.push(b"\r\n\r");
        assert!(framer.pop().is_none() && framer.end().is_none());
    }

    #[test]
    fn the_longest_message_is_the_bound() {
        assert_eq!(feed(OPTIONS.len(), OPTIONS).len(), 1);
        assert_eq!(broken(OPTIONS.len() - 1, OPTIONS).1, "message too long");
        // The limit applies whether or not the end of the head has been found.
        assert_eq!(broken(50, &b"X".repeat(51)), (50, "headers too long"));
        let head = [b"OPTIONS sip:a@h SIP/2.0\r\nX: ".as_slice(), &b"y".repeat(50), b"\r\n\r\n"].concat();
        assert_eq!(broken(50, &head), (50, "headers too long"));
    }

    #[test]
    fn what_is_held_unread_is_bounded() {
        let mut framer = Framer::new(100);
        let chunk = OPTIONS.repeat(100);
        for _ in 0..limits::STREAM_BUFFER_BYTES / chunk.len() + 1 {
            framer.push(&chunk);
        }
        assert!(framer.buffer.len() <= limits::STREAM_BUFFER_BYTES);
        let last = std::iter::from_fn(|| framer.pop()).last();
        assert!(matches!(last, Some(FramedItem::Broken { what: "too much at once", .. })), "{last:?}");
    }

    #[test]
    fn bytes_one_by_one_are_searched_once() {
        let mut framer = Framer::new(60_000);
        let head = [b"OPTIONS sip:a@h SIP/2.0\r\nX: ".as_slice(), &b"y".repeat(40_000), b"\r\nl: 0\r\n\r\n"].concat();
        for (position, byte) in head.iter().enumerate() {
            framer.push(&[*byte]);
            let whole = framer.pop().is_some();
            assert_eq!(whole, position + 1 == head.len());
            // The search resumes at most three octets before its previous end.
            assert!(whole || framer.searched + 3 > position);
        }
    }
}
