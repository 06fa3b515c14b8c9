//! Fuzz target bodies for `crates/fuzz`, kept in this crate so that API changes cannot break them unnoticed. Each
//! panics on a violated invariant.

use bytes::Bytes;

use crate::digest::fields;
use crate::digest::keyring::{AnsweredChallenges, Keyring};
use trunkgate_terms::Credentials;

use crate::digest::DigestSubject;
use crate::event::SipPartyId;
use crate::header::{HeaderName, RAck, Replaces, SessionExpires};
use crate::message::unfolded;
use crate::uri::{Uri, unescape};
use crate::{FramedItem, Framer, Method, SipMessage, limits, write::MessageWriter};

/// Fuzzes a datagram: parses it, calls every accessor, validates it and rewrites its headers.
pub fn message(data: &[u8]) {
    let Ok(message) = SipMessage::parse(Bytes::copy_from_slice(data)) else { return };
    views(&message);
    let sound = message.defect().is_none();
    if sound {
        let via = message.via();
        assert!(via.is_some_and(|via| via.sound), "a message without defect has a sound Via");
        assert!(message.from().is_some() && message.to().is_some() && message.cseq().is_some());
        assert!(message.uri().is_some() == message.is_request());
    }
    rewrite(&message);
}

/// Calls every accessor, and checks that none panics or returns bytes outside the message.
fn views(message: &SipMessage) {
    let range = message.as_bytes().as_ptr_range();
    let inside = |part: &[u8]| assert!(part.is_empty() || range.contains(&part.as_ptr()), "a view outside its message");
    inside(message.body());
    inside(message.method_token());
    for (name, value) in message.fields() {
        inside(name);
        inside(value);
        let _ = (unfolded(value), HeaderName::from_bytes(name));
    }
    for name in HeaderName::ALL {
        assert_eq!(message.headers(name).count(), message.count(name));
        message.tokens(name).into_iter().for_each(inside);
        for address in message.addresses(name) {
            inside(address.raw);
            let _ = (address.tag(), address.display_text());
            if let Some(uri) = address.parsed_uri() {
                read_uri(uri);
            }
        }
        let _ = (message.header_str(name), message.header_text(name));
    }
    if let Some(via) = message.via() {
        inside(via.raw);
        let _ = (via.param("branch"), via.sent_by.ip());
    }
    if let Some(uri) = message.uri() {
        read_uri(uri);
    }
    if let Some(sdp) = message.sdp() {
        inside(&sdp);
    }
    let rack = message.header(HeaderName::RAck).and_then(RAck::parse);
    assert!(rack.is_none_or(|rack| rack.rseq > 0 && rack.cseq.number < 1 << 31));
    if let Some(expires) = message.session_expires() {
        let written = expires.to_string();
        assert_eq!(SessionExpires::parse(written.as_bytes()), Some(expires), "{written}");
    }
    if let Some(replaces) = message.header(HeaderName::Replaces).and_then(Replaces::parse) {
        let written = replaces.to_string();
        assert_eq!(Replaces::parse(written.as_bytes()), Some(replaces), "{written}");
    }
    let _ = (message.min_se(), message.supports("timer"));
    let _ = (message.contact(), message.call_id(), message.max_forwards(), message.content_length());
    let _ = (message.content_type(), message.from_tag(), message.to_tag(), message.code(), message.method());
}

fn read_uri(uri: Uri<'_>) {
    let _ = (uri.user_unescaped(), uri.param("transport"), uri.user_param("phone-context"), uri.host.ip());
    let _ = unescape(uri.headers);
    if let Some(Some(replaces)) = Replaces::in_uri(uri.headers) {
        assert_eq!(Replaces::in_uri(&replaces.to_uri_headers()), Some(Some(replaces)));
    }
}

/// Checks that each header written parses as exactly one header, for any value.
fn rewrite(message: &SipMessage) {
    let mut writer = MessageWriter::request(Method::Options, "sip:a@b");
    let values: Vec<&[u8]> = message.fields().map(|(_, value)| value).take(limits::HEADERS - 1).collect();
    for value in &values {
        writer.header_bytes("X-Value", value);
    }
    let written = writer.finish(None);
    if let Ok(again) = SipMessage::parse(written) {
        assert_eq!(again.headers_named("X-Value").count(), values.len(), "a value became a header");
        assert_eq!(again.fields().count(), values.len() + 1);
    }
}

/// Fuzzes the value of WWW-Authenticate or Authorization: the credentials for a challenge must be one parseable header
/// that verifies.
pub fn digest(data: &[u8]) {
    let authorizations = fields::authorizations(std::iter::once(data));
    for shown in &authorizations {
        let _ = (shown.nonce_count(), fields::unquoted(shown.username));
    }
    let mut writer = MessageWriter::response(401, "");
    writer.header_bytes("WWW-Authenticate", data);
    let Ok(refusal) = SipMessage::parse(writer.finish(None)) else { return };
    let (party, remote) = (SipPartyId(1), ([192, 0, 2, 1], 5060).into());
    let mut keyring = Keyring::default();
    let credentials = Credentials { username: "a\"b".into(), password: "c".into(), realm: None };
    keyring.set(party, Some(credentials));
    let learned = keyring.store_challenges(party, remote, &mut AnsweredChallenges::default(), &refusal);
    let subject = DigestSubject { method: b"INVITE", uri: b"sip:a@b", body: b"x" };
    let answers = keyring.write(party, remote, subject, &mut || "cnonce".into());
    assert_eq!(learned, !answers.is_empty());
    assert!(answers.len() <= limits::DIGEST_REALMS);
    for answer in &answers {
        let shown = fields::authorizations(std::iter::once(answer.value.as_bytes()));
        assert_eq!(shown.len(), 1, "{}", answer.value);
        for shown in shown {
            assert_eq!(&*fields::unquoted(shown.username), b"a\"b".as_slice());
            assert_eq!((shown.uri, shown.nonce_count()), (b"sip:a@b".as_slice(), Some(1)));
        }
    }
}

/// Fuzzes a stream: split into pieces, with a length given by the first octet, it must yield the same items as in one
/// piece.
pub fn stream(data: &[u8]) {
    let Some((&piece, data)) = data.split_first() else { return };
    let whole = frames(data, data.len().max(1));
    let pieces = frames(data, usize::from(piece).max(1));
    assert_eq!(whole, pieces, "a stream means the same however it is cut");
    for framed in &whole {
        if let FramedItem::Message(bytes) = framed
            && let Ok(message) = SipMessage::parse(bytes.clone())
        {
            let length = message.content_length().and_then(|length| usize::try_from(length).ok());
            assert_eq!(length, Some(message.body().len()), "the framer and the message see the same body");
            assert!(!message.lacks_empty_line(), "a stream's message ends with its empty line");
        }
    }
}

fn frames(data: &[u8], piece: usize) -> Vec<FramedItem> {
    let mut framer = Framer::new(limits::MESSAGE_BYTES);
    let mut frames = Vec::new();
    for chunk in data.chunks(piece) {
        framer.push(chunk);
        frames.extend(std::iter::from_fn(|| framer.pop()));
    }
    frames
}
