//! Composes messages header by header. No part of a received message is sent again, except the headers that a
//! response must repeat (RFC 3261 §8.2.6, §12.1.1).

use std::fmt::Write as _;

use crate::event::{ExtraHeader, Flow, LocalAddress, OwnHosts, Transport};
use crate::header::HeaderName;
use crate::message::SipMessage;
use crate::method::Method;
use crate::uri::Scheme;
use crate::write::MessageWriter;

/// Headers that every request carries (RFC 3261 §8.1.1).
#[derive(Debug)]
pub(crate) struct RequestHead<'a> {
    pub(crate) method: Method,
    pub(crate) uri: &'a str,
    pub(crate) transport: Transport,
    pub(crate) local: LocalAddress,
    pub(crate) branch: &'a str,
    pub(crate) max_forwards: u8,
    pub(crate) routes: &'a [String],
    /// Value of From, with tag.
    pub(crate) from: &'a str,
    /// Value of To, with tag if the dialog has one.
    pub(crate) to: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    pub(crate) product: &'a str,
    /// Whether the remote party may send its own requests over this connection (RFC 5923 §4).
    pub(crate) alias: bool,
}

impl RequestHead<'_> {
    /// Begins the request and writes its mandatory headers.
    pub(crate) fn write_head(&self) -> MessageWriter {
        let mut writer = MessageWriter::request(self.method, self.uri);
        let mut line = String::with_capacity(128);
        let _ = write!(line, "SIP/2.0/{} ", self.transport.via_token());
        address(&mut line, self.local);
        let _ = write!(line, ";branch={}", self.branch);
        if self.transport == Transport::Udp {
            line.push_str(";rport");
        }
        if self.alias && self.transport == Transport::Tls {
            line.push_str(";alias");
        }
        writer.header("Via", &line);
        for route in self.routes {
            writer.header("Route", route);
        }
        line.clear();
        let _ = write!(line, "{}", self.max_forwards);
        writer.header("Max-Forwards", &line);
        writer.header("From", self.from).header("To", self.to).header("Call-ID", self.call_id);
        line.clear();
        let _ = write!(line, "{} {}", self.cseq, self.method);
        writer.header("CSeq", &line);
        if !self.product.is_empty() {
            writer.header("User-Agent", self.product);
        }
        writer
    }
}

/// Returns our Contact URI in angle brackets. `host` replaces the address of `local`. `secure` selects a SIPS URI,
/// required in a dialog that began with one (RFC 3261 §8.1.1.8, §12.1.1); a SIPS URI has no transport parameter (RFC
/// 5630 §3.1.3).
pub(crate) fn contact(
    user: &str,
    host: Option<&str>,
    local: LocalAddress,
    transport: Transport,
    secure: bool,
) -> String {
    let mut text = String::with_capacity(64);
    text.push_str(if secure { "<sips:" } else { "<sip:" });
    if !user.is_empty() {
        text.push_str(user);
        text.push('@');
    }
    match host {
        Some(host) => {
            let _ = write!(text, "{host}:{}", local.port);
        }
        None => address(&mut text, local),
    }
    text.push_str(match transport {
        _ if secure => ">",
        Transport::Udp => ">",
        Transport::Tcp => ";transport=tcp>",
        Transport::Tls => ";transport=tls>",
    });
    text
}

/// Our URIs in a request outside of calls, such as OPTIONS, each in angle brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnUris {
    /// From value in angle brackets, without its tag.
    pub from: String,
    /// Contact value in angle brackets.
    pub contact: String,
}

impl OwnUris {
    /// Composes the URIs of a request to `uri`, with the host names that its party is shown instead of `local`.
    pub fn new(hosts: &OwnHosts, local: LocalAddress, transport: Transport, uri: &str) -> OwnUris {
        let of = |host| contact("", host, local, transport, is_sips(uri));
        OwnUris { from: of(hosts.from_host()), contact: of(hosts.contact.as_deref()) }
    }
}

/// Returns whether a URI requires TLS on every hop (RFC 3261 §26.2.2).
pub(crate) fn is_sips(uri: &str) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))
}

/// Returns whether a request creates a secure dialog: a SIPS URI in the Request-URI, or in the first Record-Route, or,
/// without Record-Route, in the Contact (RFC 3261 §12.1.1).
pub(crate) fn begins_secure(request: &SipMessage) -> bool {
    let is_sips = |uri: &[u8]| uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"));
    let asked = request.uri().is_some_and(|uri| uri.scheme == Scheme::Sips);
    let hops = request.addresses(HeaderName::RecordRoute);
    asked || hops.first().copied().or_else(|| request.contact()).is_some_and(|address| is_sips(address.uri))
}

fn address(line: &mut String, local: LocalAddress) {
    let _ = write!(line, "{}", std::net::SocketAddr::new(local.ip, local.port));
}

/// Returns an address to which header parameters can be appended: a bare URI is put in angle brackets.
pub(crate) fn name_addr(address: &str) -> String {
    if address.contains('<') { address.to_owned() } else { format!("<{address}>") }
}

/// Returns a From or To value: the address, followed by the tag unless it is empty.
pub(crate) fn tagged(address: &str, tag: &str) -> String {
    if tag.is_empty() { address.to_owned() } else { format!("{address};tag={tag}") }
}

/// Writes additional headers, in order.
pub(crate) fn write_extras(writer: &mut MessageWriter, headers: &[ExtraHeader]) {
    for extra in headers {
        writer.header(&extra.name, &extra.value);
    }
}

/// Begins a response with Via (`received`, `rport`), From, To, Call-ID and CSeq (RFC 3261 §8.2.6.2). A non-empty `tag`
/// is added to a To without one; `record_routes` is set for responses that create a dialog (§12.1.1).
pub(crate) fn begin_response(
    request: &SipMessage,
    source: Flow,
    code: u16,
    reason: &str,
    tag: &str,
    record_routes: bool,
) -> MessageWriter {
    let mut writer = MessageWriter::response(code, reason);
    let mut vias = request.headers(HeaderName::Via);
    if let Some(first) = vias.next() {
        writer.header_bytes("Via", &marked_via(request, first, source));
    }
    for via in vias {
        writer.header_bytes("Via", via);
    }
    if record_routes {
        for route in request.headers(HeaderName::RecordRoute) {
            writer.header_bytes("Record-Route", route);
        }
    }
    if let Some(from) = request.header(HeaderName::From) {
        writer.header_bytes("From", from);
    }
    if let Some(to) = request.header(HeaderName::To) {
        if tag.is_empty() || request.to().is_none_or(|to| to.tag().is_some()) {
            writer.header_bytes("To", to);
        } else {
            let mut line = to.to_vec();
            line.extend_from_slice(b";tag=");
            line.extend_from_slice(tag.as_bytes());
            writer.header_bytes("To", &line);
        }
    }
    if let Some(call_id) = request.header(HeaderName::CallId) {
        writer.header_bytes("Call-ID", call_id);
    }
    if let Some(cseq) = request.header(HeaderName::CSeq) {
        writer.header_bytes("CSeq", cseq);
    }
    // RFC 3261 §8.2.6.1: a 100 repeats the Timestamp of the request.
    if let (100, Some(timestamp)) = (code, request.header(HeaderName::Timestamp)) {
        writer.header_bytes("Timestamp", timestamp);
    }
    writer
}

/// Returns the first Via field with our `received` and `rport` in its topmost entry (RFC 3261 §18.2.1, RFC 3581 §4).
fn marked_via(request: &SipMessage, field: &[u8], source: Flow) -> Vec<u8> {
    let Some(via) = request.via() else { return field.to_vec() };
    let Some(rest) = field.strip_prefix(via.raw) else { return field.to_vec() };
    let mut line = Vec::with_capacity(field.len() + 48);
    for (n, part) in unquoted_split(via.raw).enumerate() {
        let name = part.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii();
        if n > 0 && (name.eq_ignore_ascii_case(b"received") || name.eq_ignore_ascii_case(b"rport")) {
            continue;
        }
        if n > 0 {
            line.push(b';');
        }
        line.extend_from_slice(part.trim_ascii());
    }
    let ip = source.remote.ip();
    if via.rport.is_some() {
        line.extend_from_slice(format!(";received={ip};rport={}", source.remote.port()).as_bytes());
    } else if via.sent_by.ip() != Some(ip) {
        line.extend_from_slice(format!(";received={ip}").as_bytes());
    }
    line.extend_from_slice(rest);
    line
}

/// Splits at semicolons outside quoted strings.
fn unquoted_split(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |&byte| {
        let was_escaped = std::mem::take(&mut escaped);
        match byte {
            b'"' if !was_escaped => quoted = !quoted,
            b'\\' if quoted && !was_escaped => escaped = true,
            _ => {}
        }
        byte == b';' && !quoted
    })
}
