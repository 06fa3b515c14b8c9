//! A received message: its bytes and an index of where each header stands. Nothing is copied and nothing is judged
//! that nobody asks for; a damaged message still yields what an error answer needs.

use bytes::Bytes;

use crate::header::{CSeq, HeaderName, NameAddr, Via};
use crate::method::Method;
use crate::uri::Uri;

/// Why bytes are not a SIP message at all: no start line, or no end of headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub what: &'static str,
    /// Where, in bytes from the start.
    pub at: usize,
}

/// What makes a message refusable though it can be read (RFC 4475 §3.1.2): the code to answer and the part to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defect {
    /// Status code: 400, 505, 416, 413.
    pub code: u16,
    /// Which part: goes into the reason phrase, as in `Bad Request: CSeq`.
    pub what: &'static str,
}

/// The first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// `METHOD uri SIP/2.0`
    Request {
        /// The method.
        method: Method,
        /// Its token as received.
        token: &'a [u8],
        /// Request-URI as received.
        uri: &'a [u8],
    },
    /// `SIP/2.0 code reason`
    Response {
        /// Status code.
        code: u16,
        /// Reason phrase as received.
        reason: &'a [u8],
    },
}

/// One header field's place in the message's bytes.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: HeaderName,
    name_at: (u32, u32),
    value_at: (u32, u32),
}

/// A message as received.
#[derive(Debug, Clone)]
pub struct Message {
    bytes: Bytes,
    fields: Vec<Field>,
    body_at: usize,
}

impl Message {
    /// Indexes `bytes` as one whole message: a datagram, or what [`Framer`](crate::Framer) cut from a stream.
    /// Bytes past Content-Length are cut from the body (RFC 3261 §18.3); a missing Content-Length means to the end.
    ///
    /// # Errors
    /// [`ParseError`] where not even a start line and headers can be told apart.
    pub fn parse(bytes: Bytes) -> Result<Message, ParseError> {
        let _ = bytes;
        unimplemented!()
    }
    /// The first reason to refuse this message, judged over what RFC 3261 §8.2 and RFC 4475 ask of every element:
    /// version, start line, mandatory headers once each and well-formed, CSeq's method equal to the request's, numbers
    /// in range, Content-Length not larger than what came, Request-URI's scheme.
    pub fn defect(&self) -> Option<Defect> {
        unimplemented!()
    }
    /// The first line.
    pub fn start_line(&self) -> StartLine<'_> {
        unimplemented!()
    }
    /// The method: a request's own, a response's from its CSeq; `Other` where there is none.
    pub fn method(&self) -> Method {
        unimplemented!()
    }
    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        unimplemented!()
    }
    /// A response's status code.
    pub fn code(&self) -> Option<u16> {
        unimplemented!()
    }
    /// Request-URI, read.
    pub fn uri(&self) -> Option<Uri<'_>> {
        unimplemented!()
    }
    /// First value of a header, unfolded edges trimmed (inner folds kept), as bytes.
    pub fn header(&self, name: HeaderName) -> Option<&[u8]> {
        let _ = name;
        unimplemented!()
    }
    /// All fields of a name, in order; a comma-separated list in one field stays one value here.
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        let _ = name;
        std::iter::empty()
    }
    /// First value of a header we have no constant for, by name without regard to case.
    pub fn header_named(&self, name: &str) -> Option<&[u8]> {
        let _ = name;
        unimplemented!()
    }
    /// Every field in order: name as received and value.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        std::iter::empty()
    }
    /// The topmost Via.
    pub fn via(&self) -> Option<Via<'_>> {
        unimplemented!()
    }
    /// From.
    pub fn from(&self) -> Option<NameAddr<'_>> {
        unimplemented!()
    }
    /// To.
    pub fn to(&self) -> Option<NameAddr<'_>> {
        unimplemented!()
    }
    /// The first Contact; `None` for `*` too.
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        unimplemented!()
    }
    /// Call-ID.
    pub fn call_id(&self) -> Option<&[u8]> {
        unimplemented!()
    }
    /// CSeq.
    pub fn cseq(&self) -> Option<CSeq> {
        unimplemented!()
    }
    /// Max-Forwards; `None` where absent.
    pub fn max_forwards(&self) -> Option<u8> {
        unimplemented!()
    }
    /// Every entry of a list header of addresses (Route, Record-Route, Contact), across fields and commas.
    pub fn addresses(&self, name: HeaderName) -> Vec<NameAddr<'_>> {
        let _ = name;
        unimplemented!()
    }
    /// Every option tag of Require, Supported and the like, across fields and commas.
    pub fn tokens(&self, name: HeaderName) -> Vec<&[u8]> {
        let _ = name;
        unimplemented!()
    }
    /// The body, by Content-Length.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body_at..).unwrap_or_default()
    }
    /// The session description: the body itself where its type is `application/sdp`, or the first such part of a
    /// `multipart/*` body (RFC 5621). `None` where there is none.
    pub fn sdp(&self) -> Option<Bytes> {
        unimplemented!()
    }
    /// The bytes as received.
    pub fn as_bytes(&self) -> &Bytes {
        let _ = (&self.fields, |f: &Field| (f.name, f.name_at, f.value_at));
        &self.bytes
    }
}
