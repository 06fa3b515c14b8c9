//! Received message: its bytes and an index of its headers. Parsing neither copies nor validates, so that a malformed
//! message still provides the parts that an error response needs.
//!
//! This module parses one message: the lines of its head (`head`), the parts of its body (`body`), reasons to reject it
//! (`defect`) and granted registration lifetimes (`binding`). `header` parses header values, `compose` and `write`
//! create messages, and `framer` splits streams into messages.

mod binding;
mod body;
mod defect;
pub(crate) mod head;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

pub use body::BodyPart;
pub use defect::MessageDefect;

use crate::header::{CSeq, HeaderName, NameAddr, SessionExpires, Via, min_se};
use crate::limits;
use crate::method::Method;
use crate::scan::{ByteScanner, is_lws, is_whole_token, number, part, split, split_once, tail, trim};
use crate::uri::Uri;
use head::{HeadFlaws, HeadLines, split_line};

/// Reason why data is not a SIP message: no SIP start line, or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// Description of the problem.
    pub what: &'static str,
    /// Offset of the problem in the message, in bytes.
    pub at: usize,
}

/// Start line of a request or response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// Request line, `METHOD uri SIP/2.0`.
    Request {
        /// Method of the request.
        method: Method,
        /// Method token as received.
        token: &'a [u8],
        /// Request-URI as received.
        uri: &'a [u8],
    },
    /// Status line, `SIP/2.0 code reason`.
    Response {
        /// Status code; 0 if it is not a number from 100 to 699, which [`SipMessage::defect`] reports.
        code: u16,
        /// Reason phrase as received.
        reason: &'a [u8],
    },
}

/// Range of bytes in a message. 16-bit offsets suffice for [`limits::MESSAGE_BYTES`].
#[derive(Debug, Clone, Copy, Default)]
struct ByteSpan {
    from: u16,
    to: u16,
}

impl ByteSpan {
    /// Creates a range, or returns `None` beyond the maximum message size.
    fn new(from: usize, to: usize) -> Option<ByteSpan> {
        Some(ByteSpan { from: u16::try_from(from).ok()?, to: u16::try_from(to).ok()? })
    }

    fn slice_of(self, bytes: &[u8]) -> &[u8] {
        part(bytes, usize::from(self.from), usize::from(self.to))
    }
}

/// Position of one header field in the message.
#[derive(Debug, Clone, Copy)]
struct FieldPosition {
    name: HeaderName,
    name_at: ByteSpan,
    value_at: ByteSpan,
}

/// Positions of the parts of the start line.
#[derive(Debug, Clone, Copy)]
enum StartPositions {
    Request { method: Method, token: ByteSpan, uri: ByteSpan, version: ByteSpan },
    Response { code: u16, version: ByteSpan, reason: ByteSpan },
}

/// Number of header fields that most messages stay below, indexed on the stack.
const USUAL_FIELDS: usize = 32;

/// Received SIP message with an index of its headers. A clone shares the bytes and the index.
#[derive(Debug, Clone)]
pub struct SipMessage {
    bytes: Bytes,
    fields: Arc<[FieldPosition]>,
    start: StartPositions,
    flaws: HeadFlaws,
    body_at: ByteSpan,
}

impl SipMessage {
    /// Parses and indexes one complete message: a datagram, or an item of [`Framer`](crate::Framer). The body ends at
    /// Content-Length (RFC 3261 §18.3), or with the data if that header is missing. Empty lines before the start line
    /// are skipped (RFC 3261 §7.5). An incomplete head is indexed as far as it goes, and [`Self::defect`] reports it.
    ///
    /// # Errors
    /// Fails with [`ParseError`] if there is no SIP start line, or the message exceeds [`limits::MESSAGE_BYTES`].
    pub fn parse(bytes: Bytes) -> Result<SipMessage, ParseError> {
        if bytes.len() > limits::MESSAGE_BYTES {
            return Err(ParseError { what: "longer than a message may be", at: limits::MESSAGE_BYTES });
        }
        let at = bytes.iter().position(|&byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
        let mut lines = HeadLines::new(&bytes, at);
        let mut flaws = HeadFlaws::default();
        let line = lines.start().ok_or(ParseError { what: "no start line", at })?;
        let start =
            read_start(line.bytes, line.at, &mut flaws).ok_or(ParseError { what: "not a SIP start line", at })?;
        let mut index = FieldIndex::new();
        while let Some(line) = lines.header() {
            match split_line(line.bytes) {
                Some(split) => {
                    let field = FieldPosition {
                        name: split.name,
                        name_at: ByteSpan::new(line.at, line.at + split.name_end).unwrap_or_default(),
                        value_at: ByteSpan::new(line.at + split.value_at, line.at + split.value_end)
                            .unwrap_or_default(),
                    };
                    if !split.sound {
                        flaws.add(HeadFlaws::LINE);
                    }
                    if !index.push(field) {
                        flaws.add(HeadFlaws::TOO_MANY);
                    }
                }
                None => flaws.add(HeadFlaws::LINE),
            }
        }
        flaws.add(lines.flaws());
        let fields = index.finish();
        let length = fields.iter().find(|field| field.name == HeaderName::ContentLength);
        let length = length.and_then(|field| number(field.value_at.slice_of(&bytes)));
        let came = bytes.len() - lines.at();
        let length = length.and_then(|length| usize::try_from(length).ok()).map_or(came, |length| length.min(came));
        let body_at = ByteSpan::new(lines.at(), lines.at() + length).unwrap_or_default();
        Ok(SipMessage { fields, start, flaws, body_at, bytes })
    }

    /// Returns the request line or status line.
    pub fn start_line(&self) -> StartLine<'_> {
        match self.start {
            StartPositions::Request { method, token, uri, .. } => {
                StartLine::Request { method, token: token.slice_of(&self.bytes), uri: uri.slice_of(&self.bytes) }
            }
            StartPositions::Response { code, reason, .. } => {
                StartLine::Response { code, reason: reason.slice_of(&self.bytes) }
            }
        }
    }

    /// Returns the method of a request, or of a response from its CSeq; `Other` if unknown.
    pub fn method(&self) -> Method {
        match self.start {
            StartPositions::Request { method, .. } => method,
            StartPositions::Response { .. } => self.cseq().map_or(Method::Other, |cseq| cseq.method),
        }
    }

    /// Returns the method token of a request, or of a response from its CSeq; empty if there is none.
    pub(crate) fn method_token(&self) -> &[u8] {
        match self.start {
            StartPositions::Request { token, .. } => token.slice_of(&self.bytes),
            StartPositions::Response { .. } => {
                self.header(HeaderName::CSeq).and_then(CSeq::split).map_or(b"".as_slice(), |(_, token)| token)
            }
        }
    }

    /// Returns whether the message is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, StartPositions::Request { .. })
    }

    /// Returns the status code of a response.
    pub fn code(&self) -> Option<u16> {
        match self.start {
            StartPositions::Request { .. } => None,
            StartPositions::Response { code, .. } => Some(code),
        }
    }

    /// Returns the version as received, normally `SIP/2.0`.
    pub(crate) fn version(&self) -> &[u8] {
        match self.start {
            StartPositions::Request { version, .. } | StartPositions::Response { version, .. } => {
                version.slice_of(&self.bytes)
            }
        }
    }

    pub(crate) const fn flaws(&self) -> HeadFlaws {
        self.flaws
    }

    /// Returns whether the message ends after its last header line, without the empty line of RFC 3261 §7. Never the
    /// case for a message from a stream, where the empty line ends the head.
    pub const fn lacks_empty_line(&self) -> bool {
        self.flaws.has(HeadFlaws::NO_EMPTY_LINE)
    }

    /// Returns the number of octets after the head, regardless of Content-Length.
    pub(crate) fn octets_behind_head(&self) -> usize {
        self.bytes.len() - usize::from(self.body_at.from)
    }

    /// Returns the length of the head, in bytes.
    pub(crate) fn head_bytes(&self) -> usize {
        usize::from(self.body_at.from)
    }

    /// Parses the Request-URI; `None` for a response or an invalid URI.
    pub fn uri(&self) -> Option<Uri<'_>> {
        match self.start {
            StartPositions::Request { uri, .. } => Uri::parse(uri.slice_of(&self.bytes)),
            StartPositions::Response { .. } => None,
        }
    }

    /// Returns the first value of a header as bytes, trimmed at both ends; folds inside are kept.
    pub fn header(&self, name: HeaderName) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// Returns the first value of a header as text, if it is UTF-8 without folds.
    pub fn header_str(&self, name: HeaderName) -> Option<&str> {
        let value = self.header(name)?;
        let folded = memchr::memchr2(b'\r', b'\n', value).is_some();
        if folded { None } else { std::str::from_utf8(value).ok() }
    }

    /// Returns the first value of a header as text for display or forwarding, with folds as one space and invalid
    /// UTF-8 replaced.
    pub fn header_text(&self, name: HeaderName) -> Option<String> {
        self.header(name).map(|value| String::from_utf8_lossy(&unfolded(value)).into_owned())
    }

    /// Iterates over all fields of a name, in order; a comma-separated list is one value.
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |field| field.name == name).map(|field| field.value_at.slice_of(&self.bytes))
    }

    /// Returns the number of fields of a name.
    pub fn count(&self, name: HeaderName) -> usize {
        self.fields.iter().filter(|field| field.name == name).count()
    }

    /// Returns the first value of a header by case-insensitive name, for headers without a [`HeaderName`].
    pub fn header_named(&self, name: &str) -> Option<&[u8]> {
        self.headers_named(name).next()
    }

    /// Iterates over all fields of a case-insensitive name, in order, for names from a configuration. A name with a
    /// [`HeaderName`] matches its compact form too.
    pub fn headers_named(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let known = HeaderName::from_bytes(name.as_bytes());
        self.fields
            .iter()
            .filter(move |field| {
                field.name == known
                    && (known != HeaderName::Other
                        || field.name_at.slice_of(&self.bytes).eq_ignore_ascii_case(name.as_bytes()))
            })
            .map(|field| field.value_at.slice_of(&self.bytes))
    }

    /// Iterates over all fields in order, as name and value.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (field.name_at.slice_of(&self.bytes), field.value_at.slice_of(&self.bytes)))
    }

    /// Parses the topmost Via.
    pub fn via(&self) -> Option<Via<'_>> {
        Via::parse(self.header(HeaderName::Via)?)
    }

    /// Iterates over all Via entries, topmost first, across fields and commas.
    pub fn vias(&self) -> impl Iterator<Item = &[u8]> {
        self.headers(HeaderName::Via).flat_map(|value| split(value, b','))
    }

    /// Parses the From header.
    pub fn from(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.header(HeaderName::From)?)
    }

    /// Parses the To header.
    pub fn to(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.header(HeaderName::To)?)
    }

    /// Returns the From tag, or `None` if it is absent or From is malformed.
    pub fn from_tag(&self) -> Option<&[u8]> {
        self.from()?.tag()
    }

    /// Returns the To tag, or `None` if it is absent or To is malformed.
    pub fn to_tag(&self) -> Option<&[u8]> {
        self.to()?.tag()
    }

    /// Parses the first Contact. Returns `None` for `*` too.
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        let first = split(self.header(HeaderName::Contact)?, b',').next()?;
        if first == b"*" { None } else { NameAddr::parse(first) }
    }

    /// Returns the Call-ID.
    pub fn call_id(&self) -> Option<&[u8]> {
        self.header(HeaderName::CallId)
    }

    /// Parses the CSeq header.
    pub fn cseq(&self) -> Option<CSeq> {
        CSeq::parse(self.header(HeaderName::CSeq)?)
    }

    /// Returns Max-Forwards, or `None` if it is absent or above 255.
    pub fn max_forwards(&self) -> Option<u8> {
        u8::try_from(number(self.header(HeaderName::MaxForwards)?)?).ok()
    }

    /// Returns Content-Length as written, or `None` if it is absent or not a number.
    pub fn content_length(&self) -> Option<u64> {
        number(self.header(HeaderName::ContentLength)?)
    }

    /// Returns the Content-Type without parameters, such as `application/sdp`; compare it case-insensitively.
    pub fn content_type(&self) -> Option<&[u8]> {
        let value = self.header(HeaderName::ContentType)?;
        Some(trim(split_once(value, b';').map_or(value, |(media, _)| media)))
    }

    /// Returns all entries of an address list header (Route, Record-Route, Contact), across fields and commas.
    /// Malformed entries are skipped; [`Self::defect`] reports them.
    pub fn addresses(&self, name: HeaderName) -> Vec<NameAddr<'_>> {
        self.headers(name).flat_map(NameAddr::list).collect()
    }

    /// Returns all option tags of a header such as Require or Supported, across fields and commas.
    pub fn tokens(&self, name: HeaderName) -> Vec<&[u8]> {
        self.headers(name).flat_map(|value| split(value, b',')).filter(|token| !token.is_empty()).collect()
    }

    /// Returns whether the sender lists an option tag in Supported or Require.
    pub fn supports(&self, tag: &str) -> bool {
        let in_list = |name| self.tokens(name).into_iter().any(|known| known.eq_ignore_ascii_case(tag.as_bytes()));
        in_list(HeaderName::Supported) || in_list(HeaderName::Require)
    }

    /// Returns whether a provisional response requires a PRACK (RFC 3262 §4).
    pub fn is_reliable(&self) -> bool {
        let required = self.tokens(HeaderName::Require);
        self.header(HeaderName::RSeq).is_some() && required.iter().any(|tag| tag.eq_ignore_ascii_case(b"100rel"))
    }

    /// Parses Session-Expires (RFC 4028 §4). Returns `None` if it is absent or malformed.
    pub fn session_expires(&self) -> Option<SessionExpires> {
        SessionExpires::parse(self.header(HeaderName::SessionExpires)?)
    }

    /// Returns Min-SE in seconds (RFC 4028 §5).
    pub fn min_se(&self) -> Option<u32> {
        min_se(self.header(HeaderName::MinSe)?)
    }

    /// Returns the body, cut at Content-Length.
    pub fn body(&self) -> &[u8] {
        self.body_at.slice_of(&self.bytes)
    }

    /// Returns the session description: the body if its type is `application/sdp`, or the first such part of a
    /// `multipart/*` body (RFC 5621).
    pub fn sdp(&self) -> Option<Bytes> {
        let found = body::find_sdp(self.header(HeaderName::ContentType)?, self.body())?;
        Some(self.bytes.slice_ref(found))
    }

    /// Passes the parts of the body, nested ones included and within limits, to `take` in order, until `take` returns
    /// `true`. A body that is not `multipart/*` is passed as its only part (RFC 5621).
    pub fn each_part<'a>(&'a self, mut take: impl FnMut(BodyPart<'a>) -> bool) {
        if let Some(content_type) = self.header(HeaderName::ContentType) {
            body::each_part(content_type, self.body(), &mut take);
        }
    }

    /// Returns the bytes of the message as received.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Returns a value with each fold replaced by one space (RFC 3261 §7.3.1).
pub fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut flat = Vec::with_capacity(value.len());
    let mut scan = ByteScanner::new(value);
    while !scan.is_done() {
        flat.extend_from_slice(scan.take_while(|byte| !is_lws(byte)));
        let space = scan.take_while(is_lws);
        if memchr::memchr2(b'\r', b'\n', space).is_some() {
            flat.push(b' ');
        } else {
            flat.extend_from_slice(space);
        }
    }
    Cow::Owned(flat)
}

/// Header index under construction, on the stack for messages of usual size.
struct FieldIndex {
    usual: [FieldPosition; USUAL_FIELDS],
    length: usize,
    further: Vec<FieldPosition>,
}

impl FieldIndex {
    fn new() -> FieldIndex {
        let none =
            FieldPosition { name: HeaderName::Other, name_at: ByteSpan::default(), value_at: ByteSpan::default() };
        FieldIndex { usual: [none; USUAL_FIELDS], length: 0, further: Vec::new() }
    }

    /// Adds a field. Returns `false` at the limit.
    fn push(&mut self, field: FieldPosition) -> bool {
        if let Some(place) = self.usual.get_mut(self.length) {
            *place = field;
            self.length += 1;
            return true;
        }
        if self.further.is_empty() {
            self.further.reserve(limits::HEADERS);
            self.further.extend_from_slice(&self.usual);
        }
        let free = self.further.len() < limits::HEADERS;
        if free {
            self.further.push(field);
        }
        free
    }

    fn finish(self) -> Arc<[FieldPosition]> {
        if self.further.is_empty() {
            Arc::from(self.usual.get(..self.length).unwrap_or_default())
        } else {
            Arc::from(self.further)
        }
    }
}

/// Parses the start line. Returns `None` if it is neither a request line nor a status line.
fn read_start(line: &[u8], at: usize, flaws: &mut HeadFlaws) -> Option<StartPositions> {
    let (first, behind) = split_once(line, b' ')?;
    if is_version(first) {
        let (code, reason_at) = match split_once(behind, b' ') {
            Some((code, _)) => (code, first.len() + 1 + code.len() + 1),
            None => (behind, line.len()),
        };
        let code = if code.len() == 3 { number(code).filter(|code| (100..700).contains(code)) } else { None };
        return Some(StartPositions::Response {
            code: code.and_then(|code| u16::try_from(code).ok()).unwrap_or(0),
            version: ByteSpan::new(at, at + first.len())?,
            reason: ByteSpan::new(at + reason_at, at + line.len())?,
        });
    }
    if !is_whole_token(first) {
        return None;
    }
    let trimmed = part(line, 0, line.iter().rposition(|&byte| !is_lws(byte))? + 1);
    let last = memchr::memrchr2(b' ', b'\t', trimmed)?;
    let uri = trimmed.get(first.len() + 1..last)?;
    if !is_version(tail(trimmed, last + 1)) {
        return None;
    }
    if trimmed.len() != line.len() || trim(uri).len() != uri.len() || trimmed.get(last) != Some(&b' ') {
        flaws.add(HeadFlaws::START_SPACE);
    }
    Some(StartPositions::Request {
        method: Method::from_token(first),
        token: ByteSpan::new(at, at + first.len())?,
        uri: ByteSpan::new(at + first.len() + 1, at + last)?,
        version: ByteSpan::new(at + last + 1, at + trimmed.len())?,
    })
}

/// Returns whether a word is `SIP/` with any version (case-insensitive, RFC 3261 §7.1).
fn is_version(word: &[u8]) -> bool {
    let Some((protocol, version)) = split_once(word, b'/') else { return false };
    protocol.eq_ignore_ascii_case(b"SIP")
        && split_once(version, b'.').is_some_and(|(major, minor)| {
            [major, minor].iter().all(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        })
}
