//! Properties for arbitrary bytes: nothing panics, written messages can be parsed again, and the result of a stream
//! does not depend on how it is split.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panic

use bytes::Bytes;
use proptest::prelude::*;
use trunkgate_sip::header::{CSeq, NameAddr, Refresher, SessionExpires, Via};
use trunkgate_sip::uri::Uri;
use trunkgate_sip::write::MessageWriter;
use trunkgate_sip::{FramedItem, Framer, Method, SipMessage, fuzz};

/// Generates bytes that often contain fragments of SIP.
fn sip_like() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("INVITE sip:a@h SIP/2.0\r\n".to_owned()),
        Just("SIP/2.0 200 OK\r\n".to_owned()),
        Just("Via: SIP/2.0/UDP h:5060;branch=z9hG4bK1;rport\r\n".to_owned()),
        Just("f: \"x\" <sip:a@h;lr>;tag=1\r\n".to_owned()),
        Just("To: <sip:b@h>\r\n".to_owned()),
        Just("CSeq: 1 INVITE\r\n".to_owned()),
        Just("l: 4\r\n".to_owned()),
        Just("x: 90;refresher=uas\r\nMin-SE: 90\r\nk: timer\r\n".to_owned()),
        Just("Content-Type: multipart/mixed;boundary=b\r\n".to_owned()),
        Just("--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--".to_owned()),
        Just("\r\n".to_owned()),
        "[ \t\r\n\0:;,<>@\"\\\\=%?\\[\\]/]{1,3}",
        "[a-zA-Z0-9.+-]{1,8}",
    ];
    prop_oneof![
        proptest::collection::vec(word, 0..24).prop_map(|words| words.concat().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..256),
    ]
}

/// Generates bytes that often contain a challenge or credentials.
fn digest_like() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("Digest realm=\"r\", nonce=\"n\"".to_owned()),
        Just("Digest username=\"u\", uri=\"sip:a@b\", response=\"00\", nc=00000001, cnonce=\"c\"".to_owned()),
        Just(", qop=\"auth,auth-int\"".to_owned()),
        Just(", algorithm=SHA-256-sess".to_owned()),
        Just(", stale=true, opaque=\"\\\"\"".to_owned()),
        Just(", ".to_owned()),
        "[a-z]{1,5}=[\"\\\\, <>=a-z]{0,6}",
        "[ \t\r\n\0,=\"\\\\<>]{1,3}",
    ];
    prop_oneof![
        proptest::collection::vec(word, 0..12).prop_map(|words| words.concat().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..128),
    ]
}

/// Generates a header value: visible characters with single spaces between words.
fn value() -> impl Strategy<Value = String> {
    "[!-~]{1,12}( [!-~]{1,12}){0,3}"
}

proptest! {
    #[test]
    fn no_bytes_panic_in_any_view(data in sip_like()) {
        fuzz::message(&data);
        fuzz::stream(&data);
        let _ = (Uri::parse(&data), NameAddr::parse(&data), Via::parse(&data), CSeq::parse(&data));
        if let Some(address) = NameAddr::parse(&data) {
            let _ = (address.tag(), address.display_text(), address.parsed_uri().map(|uri| uri.user_unescaped()));
        }
    }

    #[test]
    fn no_challenge_panics_and_what_answers_it_can_be_read(data in digest_like()) {
        fuzz::digest(&data);
    }

    #[test]
    fn what_is_written_is_read_back(
        headers in proptest::collection::vec(("X-[A-Za-z0-9-]{1,12}", value()), 0..40),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut writer = MessageWriter::request(Method::Info, "sip:a@h;lr");
        for (name, value) in &headers {
            writer.header(name, value);
        }
        let body = trunkgate_sip::MessageBody { content_type: "application/x".into(), bytes: Bytes::from(body) };
        let message = SipMessage::parse(writer.finish(Some(&body))).unwrap();
        prop_assert_eq!(message.method(), Method::Info);
        prop_assert_eq!(message.uri().unwrap().param("lr"), Some(""));
        let read: Vec<_> = message.fields().take(headers.len()).collect();
        let written: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        prop_assert_eq!(read, written);
        prop_assert_eq!(message.body(), &body.bytes[..]);
        prop_assert_eq!(message.content_length(), Some(body.bytes.len() as u64));
    }

    #[test]
    fn rfc4028_session_expires_is_read_as_it_was_written(
        seconds: u32,
        side in proptest::option::of(proptest::bool::ANY),
        bytes in proptest::collection::vec(any::<u8>(), 0..24),
    ) {
        let refresher = side.map(|ours| if ours { Refresher::Uac } else { Refresher::Uas });
        let written = SessionExpires { seconds, refresher };
        prop_assert_eq!(SessionExpires::parse(written.to_string().as_bytes()), Some(written));
        if let Some(read) = SessionExpires::parse(&bytes) {
            prop_assert_eq!(SessionExpires::parse(read.to_string().as_bytes()), Some(read));
        }
    }

    #[test]
    fn no_value_becomes_a_header(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..8)) {
        let mut writer = MessageWriter::response(200, "");
        for value in &values {
            writer.header_bytes("X-Value", value);
        }
        let message = SipMessage::parse(writer.finish(None)).unwrap();
        prop_assert_eq!(message.headers_named("X-Value").count(), values.len());
        prop_assert_eq!(message.fields().count(), values.len() + 1);
    }

    #[test]
    fn a_stream_means_the_same_however_it_is_cut(
        messages in proptest::collection::vec((0_usize..80, any::<bool>(), any::<bool>(), 0_usize..4), 1..6),
        cuts in proptest::collection::vec(1_usize..90, 1..40),
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (length, compact, ping, empty_lines) in messages {
            if ping {
                stream.extend_from_slice(b"\r\n\r\n");
                expected.push(FramedItem::Ping);
            }
            let lines = b"\r\n".repeat(empty_lines);
            expected.extend(std::iter::repeat_n(FramedItem::Ping, empty_lines / 2));
            stream.extend_from_slice(&lines);
            let name = if compact { "l" } else { "Content-Length " };
            let head = format!("MESSAGE sip:a@h SIP/2.0\r\nX: \r\n \r\n{name}: {length}\r\n\r\n");
            let message = [head.as_bytes(), &b"\r\n\r\n:".repeat(length)[..length]].concat();
            stream.extend_from_slice(&message);
            expected.push(FramedItem::Message(Bytes::from(message)));
        }
        let mut framer = Framer::new(65_535);
        let mut frames = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            framer.push(now);
            frames.extend(std::iter::from_fn(|| framer.pop()));
            rest = later;
        }
        prop_assert_eq!(frames, expected);
    }
}
