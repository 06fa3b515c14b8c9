//! Validates a request against RFC 3261 §8.2 before it is processed, and selects the response on failure. Only the
//! message itself is examined; checks against tables (merged requests, dialogs) belong to the endpoint.

use crate::header::HeaderName;
use crate::identity::TokenSource;
use crate::message::{MessageDefect, SipMessage};
use crate::method::Method;
use crate::transaction::key;
use crate::write::MessageWriter;

/// Response that rejects a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestRejection {
    /// Status code of the rejection.
    pub(crate) code: u16,
    /// Malformed part, named in the reason phrase; empty for the standard phrase.
    pub(crate) what: &'static str,
    /// Headers that list acceptable values.
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl RequestRejection {
    /// Creates a rejection with the standard phrase.
    pub(crate) const fn with_code(code: u16) -> RequestRejection {
        RequestRejection { code, what: "", headers: Vec::new() }
    }

    /// Creates a rejection with a header that lists acceptable values.
    pub(crate) fn with_header(code: u16, name: &'static str, value: impl Into<String>) -> RequestRejection {
        RequestRejection { code, what: "", headers: vec![(name, value.into())] }
    }
}

impl From<MessageDefect> for RequestRejection {
    fn from(defect: MessageDefect) -> RequestRejection {
        RequestRejection { code: defect.code, what: defect.what, headers: Vec::new() }
    }
}

/// Option tag for Replaces (RFC 3891 §6.2).
const REPLACES: &str = "replaces";

/// Option tag for reliable provisional responses (RFC 3262 §8.1).
pub(crate) const RELIABLE: &str = "100rel";

/// Returns whether a header of a message (Supported or Require) lists `100rel`.
pub(crate) fn names_reliable(message: &SipMessage, header: HeaderName) -> bool {
    message.tokens(header).iter().any(|tag| tag.eq_ignore_ascii_case(RELIABLE.as_bytes()))
}

/// Optional features granted to a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartyFeatures {
    /// Whether the party may replace its dialogs (RFC 3891).
    pub(crate) replaces: bool,
    /// Whether REFER of the party is accepted.
    pub(crate) refers: bool,
}

/// Rules for the validation of requests.
#[derive(Debug)]
pub(crate) struct RequestRules {
    pub(crate) methods: Vec<Method>,
    pub(crate) extensions: Vec<String>,
    /// Value of the Allow header.
    pub(crate) allow: String,
    /// Value of Allow for parties that may not send REFER.
    pub(crate) allow_without_refer: String,
    /// Value of Supported, without and with `replaces`.
    pub(crate) supported: [String; 2],
}

impl RequestRules {
    /// Creates rules for these methods and option tags.
    pub(crate) fn new(methods: Vec<Method>, extensions: Vec<String>) -> RequestRules {
        // Accepted from some parties only, therefore not advertised.
        let is_for_all = |method: &&Method| !matches!(method, Method::Register | Method::Subscribe);
        let listed = |methods: &[&Method]| methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
        let mut served: Vec<&Method> = methods.iter().filter(is_for_all).collect();
        let allow = listed(&served);
        served.retain(|method| **method != Method::Refer);
        let allow_without_refer = listed(&served);
        let supported = extensions.join(", ");
        let replacing = [supported.as_str(), REPLACES].map(str::to_owned).into_iter().filter(|part| !part.is_empty());
        let supported = [supported.clone(), replacing.collect::<Vec<_>>().join(", ")];
        RequestRules { allow, allow_without_refer, supported, methods, extensions }
    }

    /// Writes Allow and Supported, the features available to the remote party (RFC 3261 §13.2.1).
    pub(crate) fn write_abilities(&self, writer: &mut MessageWriter, abilities: PartyFeatures) {
        writer.header("Allow", if abilities.refers { &self.allow } else { &self.allow_without_refer });
        let [without, with] = &self.supported;
        let supported = if abilities.replaces { with } else { without };
        if !supported.is_empty() {
            writer.header("Supported", supported);
        }
    }

    /// Returns the first reason to reject a request. Callers must not pass ACK, which gets no response, or CANCEL:
    /// Require in them is ignored (RFC 3261 §8.2.2.3).
    pub(crate) fn check_request(
        &self,
        tokens: &TokenSource,
        request: &SipMessage,
        replaces: bool,
    ) -> Option<RequestRejection> {
        let method = request.method();
        if method == Method::Invite && is_loop(tokens, request) {
            return Some(RequestRejection::with_code(482));
        }
        self.extensions_wanted(request, replaces)
            .or_else(|| if method == Method::Invite { invite_body(request) } else { None })
            .or_else(|| content_encoding(request))
            .or_else(|| if method == Method::Invite { accepted_answer(request) } else { None })
            .or_else(|| self.method_served(method))
    }

    fn extensions_wanted(&self, request: &SipMessage, replaces: bool) -> Option<RequestRejection> {
        request.header(HeaderName::Require)?;
        let own = replaces.then_some(REPLACES);
        let is_known = |tag: &[u8]| {
            let mut known = self.extensions.iter().map(String::as_str).chain(own);
            known.any(|known| known.as_bytes().eq_ignore_ascii_case(tag))
        };
        let unknown: Vec<String> = request
            .tokens(HeaderName::Require)
            .into_iter()
            .filter(|tag| !is_known(tag))
            .map(|tag| String::from_utf8_lossy(tag).into_owned())
            .collect();
        if unknown.is_empty() {
            None
        } else {
            Some(RequestRejection::with_header(420, "Unsupported", unknown.join(", ")))
        }
    }

    fn method_served(&self, method: Method) -> Option<RequestRejection> {
        let code = if method == Method::Other { 501 } else { 405 };
        let served = self.methods.contains(&method);
        if served { None } else { Some(RequestRejection::with_header(code, "Allow", self.allow.clone())) }
    }
}

/// Returns whether a new INVITE has passed through this edge before: a Via branch or the From tag was created here
/// (RFC 3261 §16.3).
fn is_loop(tokens: &TokenSource, request: &SipMessage) -> bool {
    if !key::to_tag(request).is_empty() {
        return false;
    }
    tokens.is_ours(key::from_tag(request)) || request.headers(HeaderName::Via).any(|field| tokens.is_in(field))
}

/// Rejects an INVITE body that cannot contain a session description (RFC 3261 §8.2.3), unless it is marked optional
/// (§20.11).
fn invite_body(request: &SipMessage) -> Option<RequestRejection> {
    if request.body().is_empty() {
        return None;
    }
    let media_type = media_type(request.header(HeaderName::ContentType).unwrap_or_default());
    let known = media_type.eq_ignore_ascii_case(b"application/sdp")
        || media_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    let disposition = request.header(HeaderName::ContentDisposition).unwrap_or_default().to_ascii_lowercase();
    let optional = disposition.split(|&b| b == b';').any(|p| p.trim_ascii() == b"handling=optional");
    if known || optional {
        None
    } else {
        Some(RequestRejection::with_header(415, "Accept", "application/sdp, multipart/mixed"))
    }
}

fn content_encoding(request: &SipMessage) -> Option<RequestRejection> {
    let coded = request
        .headers(HeaderName::ContentEncoding)
        .flat_map(|field| field.split(|&b| b == b','))
        .any(|coding| !coding.trim_ascii().is_empty() && !coding.trim_ascii().eq_ignore_ascii_case(b"identity"));
    if coded { Some(RequestRejection::with_header(415, "Accept-Encoding", "identity")) } else { None }
}

/// Rejects an INVITE whose Accept excludes session descriptions, because no answer would be acceptable (RFC 3261
/// §20.1).
fn accepted_answer(request: &SipMessage) -> Option<RequestRejection> {
    request.header(HeaderName::Accept)?;
    let takes_sdp = request.headers(HeaderName::Accept).flat_map(|field| field.split(|&b| b == b',')).any(|range| {
        let range = media_type(range).to_ascii_lowercase();
        matches!(range.as_slice(), b"application/sdp" | b"application/*" | b"*/*")
    });
    if takes_sdp { None } else { Some(RequestRejection::with_code(406)) }
}

fn media_type(value: &[u8]) -> &[u8] {
    value.split(|&b| b == b';').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ProcessIdentity;
    use bytes::Bytes;

    fn rules() -> RequestRules {
        let methods = vec![Method::Invite, Method::Ack, Method::Bye, Method::Cancel, Method::Options];
        RequestRules::new(methods, vec!["timer".into()])
    }

    fn judge(method: &str, via: &str, lines: &str, body: &str) -> Option<(u16, Option<(&'static str, String)>)> {
        let tokens = TokenSource::new(ProcessIdentity { edge: 1, generation: 2, shard: 3 }, [0; 32]);
        let text = format!(
            "{method} sip:b@192.0.2.1 SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@192.0.2.2>;tag=a\r\n\
             To: <sip:b@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n{lines}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let message = SipMessage::parse(Bytes::from(text)).unwrap();
        rules().check_request(&tokens, &message, false).map(|r| (r.code, r.headers.into_iter().next()))
    }

    const VIA: &str = "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKx";

    fn invite(lines: &str, body: &str) -> Option<(u16, Option<(&'static str, String)>)> {
        judge("INVITE", VIA, lines, body)
    }

    #[test]
    fn rfc3261_8_2_2_3_unknown_option_tags_are_named() {
        assert_eq!(invite("Require: timer\r\n", ""), None);
        assert_eq!(
            invite("Require: timer, 100rel\r\nRequire: foo\r\n", ""),
            Some((420, Some(("Unsupported", "100rel, foo".into()))))
        );
    }

    #[test]
    fn rfc3261_8_2_3_bodies_and_encodings_that_we_do_not_read() {
        assert_eq!(invite("Content-Type: application/sdp\r\n", "v=0"), None);
        assert_eq!(invite("Content-Type: Multipart/mixed;boundary=x\r\n", "--x"), None);
        assert_eq!(invite("Content-Type: text/plain\r\nContent-Disposition: x; handling=optional\r\n", "hi"), None);
        assert_eq!(invite("Content-Type: text/plain\r\n", "hi").map(|r| r.0), Some(415));
        assert_eq!(
            invite("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "v=0"),
            Some((415, Some(("Accept-Encoding", "identity".into()))))
        );
        assert_eq!(invite("Content-Type: application/sdp\r\nContent-Encoding: identity\r\n", "v=0"), None);
    }

    #[test]
    fn rfc3261_20_1_an_accept_without_sdp_cannot_be_answered() {
        assert_eq!(invite("Accept: text/plain\r\n", ""), Some((406, None)));
        for good in ["application/sdp", "text/plain, application/SDP;q=0.1", "*/*", "application/*"] {
            assert_eq!(invite(&format!("Accept: {good}\r\n"), ""), None, "{good}");
        }
        assert_eq!(judge("OPTIONS", VIA, "Accept: text/plain\r\n", ""), None);
    }

    #[test]
    fn rfc3261_8_2_1_methods() {
        let allow = Some(("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS".to_owned()));
        assert_eq!(judge("SUBSCRIBE", VIA, "", ""), Some((405, allow.clone())));
        assert_eq!(judge("DANCE", VIA, "", ""), Some((501, allow)));
        assert_eq!(judge("OPTIONS", VIA, "", ""), None);
    }

    #[test]
    fn an_invite_that_was_ours_before_is_a_loop() {
        let ours = "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKx, SIP/2.0/UDP h;branch=z9hG4bK000000010000000203ab";
        assert_eq!(judge("INVITE", ours, "", ""), Some((482, None)));
        assert_eq!(judge("OPTIONS", ours, "", ""), None);
        assert_eq!(judge("INVITE", "SIP/2.0/UDP h;branch=z9hG4bK000000010000000204ab", "", ""), None);
    }
}
