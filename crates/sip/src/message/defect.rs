//! Validation of a parsed message: the first reason to reject it (RFC 3261 §8.2, RFC 4475 §3.1.2, §3.3).

use super::head::HeadFlaws;
use super::{SipMessage, StartLine};
use crate::header::{CSeq, HeaderName, NameAddr, Via};
use crate::limits;
use crate::method::Method;
use crate::scan::{number, split};
use crate::uri::{Scheme, Uri};

/// Reason to reject a message that can be parsed (RFC 4475 §3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageDefect {
    /// Status code of the response: 400, 413, 416 or 505.
    pub code: u16,
    /// Malformed part, named in the reason phrase, as in `Bad Request: CSeq`.
    pub what: &'static str,
}

impl MessageDefect {
    const fn bad(what: &'static str) -> MessageDefect {
        MessageDefect { code: 400, what }
    }
}

impl SipMessage {
    /// Returns the first reason to reject this message by the rules of RFC 3261 §8.2 and RFC 4475 for every recipient:
    /// version, start line, mandatory headers present once and well-formed, CSeq method equal to the request method,
    /// numbers in range, Content-Length not larger than the received body, Request-URI scheme.
    ///
    /// RFC 2543 requests (without branch, From tag or Max-Forwards) are valid.
    pub fn defect(&self) -> Option<MessageDefect> {
        version(self)
            .or_else(|| head_form(self))
            .or_else(|| start_line(self))
            .or_else(|| vias(self))
            .or_else(|| once(self))
            .or_else(|| dialog_headers(self))
            .or_else(|| content_length(self))
            .or_else(|| addresses(self))
            .or_else(|| scheme(self))
            // Last, so that a more specific defect is reported first.
            .or_else(|| end_of_headers(self))
    }
}

fn version(message: &SipMessage) -> Option<MessageDefect> {
    (!message.version().eq_ignore_ascii_case(b"SIP/2.0")).then_some(MessageDefect { code: 505, what: "SIP version" })
}

fn head_form(message: &SipMessage) -> Option<MessageDefect> {
    [
        (HeadFlaws::NUL, "NUL in header"),
        (HeadFlaws::LINE_END, "line end"),
        (HeadFlaws::LINE, "header line"),
        (HeadFlaws::TOO_MANY, "number of headers"),
        (HeadFlaws::START_SPACE, "Request-Line"),
    ]
    .into_iter()
    .find_map(|(flaw, what)| message.flaws().has(flaw).then_some(MessageDefect::bad(what)))
}

fn start_line(message: &SipMessage) -> Option<MessageDefect> {
    match message.start_line() {
        StartLine::Response { code, .. } => (code == 0).then_some(MessageDefect::bad("Status-Code")),
        StartLine::Request { uri, .. } => {
            // RFC 3261 §19.1.1: a Request-URI must not have headers.
            let sound = Uri::parse(uri).is_some_and(|uri| uri.headers.is_empty());
            (!sound).then_some(MessageDefect::bad("Request-URI"))
        }
    }
}

/// Checks that all Via entries are well-formed, that there is one, and that a response has exactly one (RFC 3261
/// §8.1.3.3, RFC 4475 §3.3.9).
fn vias(message: &SipMessage) -> Option<MessageDefect> {
    let mut entries = 0_usize;
    for entry in message.vias() {
        entries += 1;
        if !Via::parse(entry).is_some_and(|via| via.sound) {
            return Some(MessageDefect::bad("Via"));
        }
    }
    let one_only = !message.is_request();
    (entries == 0 || one_only && entries > 1).then_some(MessageDefect::bad("Via"))
}

/// Checks headers that may occur only once; the mandatory ones must be present (RFC 3261 §8.1.1, RFC 4475 §3.3.8).
fn once(message: &SipMessage) -> Option<MessageDefect> {
    use HeaderName as H;
    [H::To, H::From, H::CallId, H::CSeq]
        .into_iter()
        .find(|&name| message.count(name) != 1)
        .or_else(|| [H::MaxForwards, H::ContentType].into_iter().find(|&name| message.count(name) > 1))
        .map(|name| MessageDefect::bad(name.as_str()))
}

fn dialog_headers(message: &SipMessage) -> Option<MessageDefect> {
    for name in [HeaderName::To, HeaderName::From] {
        if !message.header(name).is_some_and(is_address) {
            return Some(MessageDefect::bad(name.as_str()));
        }
    }
    let call_id = message.call_id().unwrap_or_default();
    if call_id.is_empty() || !call_id.iter().all(u8::is_ascii_graphic) {
        return Some(MessageDefect::bad("Call-ID"));
    }
    let Some((_, token)) = message.header(HeaderName::CSeq).and_then(CSeq::split) else {
        return Some(MessageDefect::bad("CSeq"));
    };
    // RFC 4475 §3.1.2.18: an unknown method is better rejected with 501.
    if let StartLine::Request { method, token: own, .. } = message.start_line()
        && method != Method::Other
        && own != token
    {
        return Some(MessageDefect::bad("CSeq"));
    }
    let hops = message.header(HeaderName::MaxForwards);
    hops.and_then(|hops| (number(hops).is_none_or(|hops| hops > 255)).then_some(MessageDefect::bad("Max-Forwards")))
}

/// Checks that Content-Length is a number, consistent if repeated, and not larger than the received body (RFC 3261
/// §18.3, RFC 4475 §3.1.2.2).
fn content_length(message: &SipMessage) -> Option<MessageDefect> {
    let bad = Some(MessageDefect::bad("Content-Length"));
    let mut agreed = None;
    for value in message.headers(HeaderName::ContentLength) {
        let length = number(value);
        if length.is_none() || agreed.is_some_and(|agreed| Some(agreed) != length) {
            return bad;
        }
        agreed = length;
    }
    let length = usize::try_from(agreed?).unwrap_or(usize::MAX);
    if length <= message.octets_behind_head() {
        None
    } else if message.head_bytes().saturating_add(length) > limits::MESSAGE_BYTES {
        Some(MessageDefect { code: 413, what: "Content-Length" })
    } else {
        bad
    }
}

/// Checks Contact and the headers of the route set. A malformed Contact in a response of 300 or above is ignored,
/// because it creates no dialog and the transaction would otherwise miss its final response.
fn addresses(message: &SipMessage) -> Option<MessageDefect> {
    let contacts = message.headers(HeaderName::Contact).flat_map(|value| split(value, b','));
    let is_failure = matches!(message.start_line(), StartLine::Response { code, .. } if code >= 300);
    let mut number_of_contacts = 0_usize;
    for contact in contacts {
        number_of_contacts += 1;
        if contact != b"*" && !is_address(contact) && !is_failure {
            return Some(MessageDefect::bad("Contact"));
        }
    }
    // RFC 3261 §8.1.1.8 requires exactly one Contact in a request that creates a dialog; RFC 2543 allowed none.
    if message.is_request() && message.method() == Method::Invite && number_of_contacts > 1 {
        return Some(MessageDefect::bad("Contact"));
    }
    [HeaderName::RecordRoute, HeaderName::Route].into_iter().find_map(|name| {
        let sound = message.headers(name).flat_map(|value| split(value, b',')).all(is_address);
        (!sound).then_some(MessageDefect::bad(name.as_str()))
    })
}

fn is_address(value: &[u8]) -> bool {
    NameAddr::parse(value).is_some_and(|address| address.parsed_uri().is_some())
}

/// Rejects a head that ends inside a line, since part of a value may be lost. A head without its final empty line is
/// accepted, as by other implementations, unless a body is expected: without its body the message would mean something
/// else (an INVITE without offer, for example).
fn end_of_headers(message: &SipMessage) -> Option<MessageDefect> {
    let has = |name| message.header(name).is_some();
    let lost = has(HeaderName::ContentType) && !has(HeaderName::ContentLength);
    let refused = message.flaws().has(HeadFlaws::CUT) || message.lacks_empty_line() && lost;
    refused.then_some(MessageDefect::bad("end of headers"))
}

/// Checks the Request-URI scheme (RFC 3261 §8.2.2.1).
fn scheme(message: &SipMessage) -> Option<MessageDefect> {
    let unknown = message.uri().is_some_and(|uri| uri.scheme == Scheme::Other);
    unknown.then_some(MessageDefect { code: 416, what: "Request-URI scheme" })
}
