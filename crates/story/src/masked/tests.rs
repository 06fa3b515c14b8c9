//! Tests of the masking of messages.

use super::*;

const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

fn masked(message: &[u8]) -> Vec<u8> {
    let mut text = message.to_vec();
    mask(&mut text);
    text
}

fn shown(text: &str) -> String {
    let shown = String::from_utf8(masked(text.as_bytes())).unwrap();
    assert_eq!(shown.len(), text.len());
    assert_eq!(shown, String::from_utf8(masked(shown.as_bytes())).unwrap(), "what is masked stays as it is");
    shown
}

fn request(headers: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("INVITE sip:b@h SIP/2.0\r\n{headers}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[test]
fn what_is_no_secret_is_shown_as_it_was() {
    let headers = "Via: SIP/2.0/UDP h:5060;branch=z9hG4bK1;rport\r\nFrom: \"A: B\" <sip:+14155550100@h:5060;user=phone>;tag=1\r\n\
        To: <sip:b@h>;tag=key\r\nContact: <sip:a@h:5060;transport=tcp>\r\nContact: sip:h:5060\r\n\
        WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", opaque=\"o\"\r\nReplaces: 1;to-tag=2;from-tag=3\r\n\
        Subject: a\r\n long=one\r\nX-Route: alias=1\r\n";
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\na=setup:actpass\r\n";
    let whole = request(headers, "application/sdp", sdp);
    assert_eq!(shown(&whole), whole);
    let untyped = format!("SIP/2.0 200 OK\r\n\r\n{sdp}");
    assert_eq!(shown(&untyped), untyped);
}

proptest::proptest! {
    #[test]
    fn what_is_plain_at_once_has_no_password_in_any_word(text in "(<?(a|sip|TEL|)[: ]{0,2}b?@?h?[>;, \t]{0,2}){0,5}") {
        let before = format!("{text}\r\n").into_bytes();
        let mut bytes = before.clone();
        MaskedText { bytes: &mut bytes, quiet: true }.passwords(0..text.len());
        if is_plain_address(text.as_bytes()) {
            proptest::prop_assert_eq!(before, bytes);
        }
    }
}

#[test]
fn a_password_before_another_address_is_hidden() {
    for (value, expected) in [
        ("<alice:secret@192.0.2.1>, <bob@192.0.2.2>", "<alice:******@192.0.2.1>, <bob@192.0.2.2>"),
        ("<alice:secret@h>;x=\"<y@z\"", "<alice:******@h>;x=\"<y@z\""),
    ] {
        let whole = request(&format!("Contact: {value}\r\n"), "application/sdp", "v=0\r\n");
        assert_eq!(shown(&whole), whole.replace(value, expected));
    }
}

#[test]
fn keys_of_descriptions_are_hidden() {
    let (marks, stars) = ("X".repeat(KEY.len()), "*".repeat(KEY.len()));
    for (line, expected) in [
        (
            format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{marks}"),
        ),
        (
            format!(
                "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4 UNENCRYPTED_SRTCP KDR=3"
            ),
            format!(
                "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{marks}|2^20|1:4;inline:{marks}|2^20|2:4 UNENCRYPTED_SRTCP KDR=3"
            ),
        ),
        (format!("k=base64:{KEY}"), format!("k=base64:{stars}")),
        ("k=secret".to_owned(), "k=******".to_owned()),
        (format!("a=key-mgmt:mikey {KEY}"), format!("a=key-mgmt:***** {stars}")),
        ("a=ice-pwd:abc".to_owned(), "a=ice-pwd:***".to_owned()),
        ("nonsense".to_owned(), "********".to_owned()),
    ] {
        let text = request("", "application/sdp", &format!("v=0\r\n{line}\r\na=sendrecv\r\n"));
        assert!(shown(&text).contains(&format!("v=0\r\n{expected}\r\na=sendrecv\r\n")), "{}", shown(&text));
    }
}

#[test]
fn no_damage_brings_a_key_to_light() {
    let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    for body in [
        format!("v=0\r{crypto}\r"),
        format!("v=0\nm=audio 1 RTP/SAVP 0 {crypto}"),
        format!("v=0\r\nm=audio 4 RTP/SAVP inline:{KEY}\r\n"),
        format!("v=0\r\na=crypto:inline:{KEY}\r\n"),
        format!("v=0\r\na=crypto:1 inline:{KEY}\r\n"),
        format!("v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY}\r\n"),
        format!("v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 INLINE: {KEY}\r\n"),
        format!("v=0\r\n a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n"),
        format!("v=0\r\nA=CRYPTO:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n"),
    ] {
        for kind in ["application/sdp", "text/plain", "multipart/mixed;boundary=x", "multipart/mixed", ""] {
            let text = shown(&request("", kind, &body));
            assert!(!text.contains(&KEY[..12]) && !text.contains(&KEY[28..]), "{kind}: {text}");
        }
    }
    let text = shown(&format!("INVITE sip:b@h SIP/2.0\r\n{crypto}\r\n\r\n"));
    assert!(!text.contains(KEY), "{text}");
}

#[test]
fn whoever_answers_a_challenge_is_shown_and_the_answer_is_not() {
    let digest = "Digest username=\"al,ice\", realm=\"r\", nonce=\"n\", uri=\"sip:b@h\", response=\"0123\", cnonce=\"ab\\\"cd\", \
        algorithm=MD5, qop=auth, nc=00000001, extension=1";
    let expected = "Digest username=\"al,ice\", realm=\"r\", nonce=\"n\", uri=\"sip:b@h\", response=******, cnonce=********, \
        algorithm=MD5, qop=auth, nc=00000001, extension=*";
    for name in ["Authorization", "Proxy-Authorization", "AUTHORIZATION "] {
        let text = shown(&request(&format!("{name}: {digest}\r\n"), "application/sdp", ""));
        assert!(text.contains(&format!("{name}: {expected}\r\n")), "{text}");
    }
    for (header, expected) in [
        ("Authorization: Basic YWxpY2U6c2VjcmV0", "Authorization: Basic ****************"),
        ("Authorization: YWxpY2U6", "Authorization: ********"),
        (
            "Authorization: Digest realm=\"r\",\r\n response=\"01\"",
            "Authorization: Digest realm=\"r\",\r\n response=****",
        ),
        ("Authentication-Info: rspauth=\"01\", qop=auth", "Authentication-Info: rspauth=****, qop=auth"),
        ("X-Auth-Token: abc", "X-Auth-Token: ***"),
        ("X-DTMF: 12#", "X-DTMF: ***"),
        ("From: <sip:alice:secret@h:5060>;tag=1", "From: <sip:alice:******@h:5060>;tag=1"),
        ("To: <sip:b@h;password=xyz;user=phone>", "To: <sip:b@h;password=***;user=phone>"),
        ("X-App: a=1;api_token=\"x y\";b=2", "X-App: a=1;api_token=\"* *\";b=2"),
        ("To: <tel:+14155550100;postd=12p34>", "To: <tel:+14155550100;postd=*****>"),
        (
            "Refer-To: <sip:b@h?Authorization=Digest%20x&Subject=y>",
            "Refer-To: <sip:b@h?Authorization=**********&Subject=y>",
        ),
        ("Subject: a\rAuthorization: Basic YWxpY2U6", "Subject: a\rAuthorization: Basic ********"),
    ] {
        let text = shown(&request(&format!("{header}\r\n"), "application/sdp", ""));
        assert!(text.contains(&format!("{expected}\r\n")), "{text}");
    }
    let line = shown("REGISTER sip:alice:secret@h SIP/2.0\r\n\r\n");
    assert_eq!(line, "REGISTER sip:alice:******@h SIP/2.0\r\n\r\n");
}

#[test]
fn digits_are_hidden_and_so_is_what_nobody_knows() {
    for (kind, body, expected) in [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "Signal=*\r\nDuration=160\r\n"),
        ("application/dtmf-relay", "signal = 5\nother=7\n", "signal = *\n*******\n"),
        ("application/dtmf", "5", "*"),
        ("audio/telephone-event", "1", "*"),
        ("text/plain", "1234\r\n", "****\r\n"),
        ("application/kpml-response+xml", "<x digits=\"12\"/>", "** *************"),
        ("", "Signal=5", "********"),
        ("message/sipfrag", "SIP/2.0 200 OK\r\n", "SIP/2.0 200 OK\r\n"),
    ] {
        let text = shown(&request("", kind, body));
        assert!(text.ends_with(&format!("\r\n\r\n{expected}")), "{kind}: {text}");
    }
}

#[test]
fn each_part_of_a_body_goes_by_its_own_type() {
    let body = format!(
        "5\r\n--x y\r\nContent-Type: application/sdp\r\n\r\nv=0\r\na=crypto:1 AEAD_AES_128_GCM inline:{KEY}\r\n--x y\r\n\
         Content-Type: application/dtmf-relay\r\n\r\nSignal=5\r\n--x y\r\n\r\n123\r\n--x y--\r\n456"
    );
    let text = shown(&request("", "multipart/mixed; boundary=\"x y\"", &body));
    let expected = format!(
        "*\r\n--x y\r\nContent-Type: application/sdp\r\n\r\nv=0\r\na=crypto:1 AEAD_AES_128_GCM inline:{}\r\n--x y\r\n\
         Content-Type: application/dtmf-relay\r\n\r\nSignal=*\r\n--x y\r\n\r\n***\r\n--x y--\r\n***",
        "X".repeat(KEY.len())
    );
    assert!(text.ends_with(&expected), "{text}");
}

#[test]
fn any_bytes_keep_their_length() {
    for text in ["", "\r\n", ":", "a", "a\r\n\r\n", "=\r\n=:=\r\n\r\n=", "a\r\nc:multipart/x;boundary=\r\n\r\n--"] {
        shown(text);
    }
    assert_eq!(masked(&[0xff, b'\n', 0xfe, b':', 0x80]).len(), 5);
}

#[test]
fn a_key_is_hidden_however_its_line_is_written() {
    for line in [
        format!("a=crypto 1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
        format!("a=crypto\t1\tAES_CM_128_HMAC_SHA1_80\tinline:{KEY}"),
        format!("a=crypto:{KEY}"),
        format!("a=crypto{KEY}"),
        format!("a=crypto:1 {KEY}"),
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:|{KEY}"),
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x|{KEY}|1:4"),
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline: {} {}", &KEY[..20], &KEY[20..]),
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x;{KEY}"),
        format!("A=Crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
        format!("a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY}"),
        format!("a=acap:1 key-mgmt:mikey {KEY}"),
        format!("a=acap:1 ice-pwd:{KEY}"),
        format!("a=acap:1 ICE-PWD {KEY}"),
        format!("a=key-mgmt mikey {KEY}"),
        format!("a=ice-pwd {KEY}"),
        format!("a=pin:{KEY}"),
        format!("a=auth:{KEY}"),
        format!("a=x-passcode:{KEY}"),
        format!("a= ice-pwd:{KEY}"),
        format!("K=base64:{KEY}"),
        format!("k=base64 {KEY}"),
        format!("k={KEY}:x"),
        format!("i=crypto:1 {KEY}"),
        format!("s=inline%3A{KEY}"),
        format!("s=inline:|{KEY}"),
    ] {
        let text = shown(&request("", "application/sdp", &format!("v=0\r\n{line}\r\na=sendrecv\r\n")));
        assert!(text.ends_with("\r\na=sendrecv\r\n"), "{text}");
        assert!((0..KEY.len() - 4).all(|at| !text.contains(&KEY[at..at + 4])), "{text}");
    }
    let capability = format!("v=0\r\na=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4\r\n");
    let text = shown(&request("", "application/sdp", &capability));
    assert!(text.contains("\r\na=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:XXXX"), "{text}");
    assert!(text.ends_with("X|2^20|1:4\r\n"), "{text}");
    let harmless = "v=0\r\na=rtpmap:97 CLEARMODE/8000\r\na=ice-ufrag:abc\r\na=fingerprint:sha-256 AB:CD\r\n";
    assert!(shown(&request("", "application/sdp", harmless)).ends_with(harmless));
}

#[test]
fn passwords_in_uris_are_hidden() {
    for (header, expected) in [
        ("Contact: <https://u:secret@h/x>", "Contact: <https://u:******@h/x>"),
        ("Contact: sip:u:se,cr\"et@h", "Contact: sip:u:********@h"),
        ("Contact: <sip:u:se<cret@h>", "Contact: <sip:u:*******@h>"),
        ("Contact: <sip:u@corp:secret@h:5060>", "Contact: <sip:u@corp:******@h:5060>"),
        ("Contact: \"a:b\"<sip:u:secret@h>", "Contact: \"a:b\"<sip:u:******@h>"),
        ("Route: <sip:a@h:5060;lr>,<sip:b@h:5061;lr>", "Route: <sip:a@h:5060;lr>,<sip:b@h:5061;lr>"),
        ("Call-ID: 1:2:3@h", "Call-ID: 1:2:3@h"),
        ("Call-ID: a:2@h", "Call-ID: a:2@h"),
        ("Contact: <alice:secret@h>", "Contact: <alice:******@h>"),
        ("Contact: \"A\" <sip:u:se cret@h>", "Contact: \"A\" <sip:u:** ****@h>"),
        ("Contact: <sip:a@h> , <sip:u:x@h>", "Contact: <sip:a@h> , <sip:u:*@h>"),
        ("P-Asserted-Identity: <mailto:a@h>", "P-Asserted-Identity: <mailto:a@h>"),
    ] {
        let text = shown(&request(&format!("{header}\r\n"), "application/sdp", ""));
        assert!(text.contains(&format!("\r\n{expected}\r\n")), "{text}");
    }
    assert_eq!(shown("INVITE sip:u:secr"), "INVITE sip:u:****");
    assert_eq!(shown("INVITE sip:b@h SIP/2.0\r\nTo: <sip:u:secr"), "INVITE sip:b@h SIP/2.0\r\nTo: <sip:u:****");
    assert_eq!(shown("\r\n\r\nINVITE sip:u:secret@h SIP/2.0\r\n\r\n"), "\r\n\r\nINVITE sip:u:******@h SIP/2.0\r\n\r\n");
}

/// Guards against a quadratic search, which would take minutes.
#[test]
fn a_long_header_is_gone_through_once() {
    for word in ["sip:", "inline", "inline  ", "sip:a@", "key=", "a=\""] {
        let value = word.repeat(200_000 / word.len());
        let text = masked(format!("INVITE sip:b@h SIP/2.0\r\nX-App: {value}\r\n\r\n").as_bytes());
        assert!(text.len() > 1_000, "{word}");
    }
}

#[test]
fn of_a_digest_nothing_is_shown_behind_what_is_none() {
    for (said, expected) in [
        ("username=\"a\"; response=\"X9\"", "username=****\n*************"),
        ("username=\"a\" response=\"X9\", qop=auth", "username=***\n**************\n********"),
        ("username=\"a\"b\", response=\"X9\", x=\"", "username=******\n**************\n***"),
        ("username=\"a, response=X9", "username=***\n***********"),
        ("realm=a\\\"b, response=X9", "realm=*****\n***********"),
        ("WDk6OnNlY3JldA=, realm=a", "****************\n*******"),
        ("realm=\"a\\\"b\", , qop=auth", "realm=\"a\\\"b\",\n,\nqop=auth"),
    ] {
        for header in ["Authorization: Digest ", "Proxy-Authorization: digest ", "Authentication-Info: "] {
            let text = shown(&request(&format!("{header}{said}\r\n"), "application/sdp", ""));
            let expected = expected.replace('\n', " ");
            assert!(text.contains(&format!("\r\n{header}{expected}\r\n")), "{text}");
        }
    }
}

#[test]
fn a_duration_is_no_place_for_digits_and_a_fragment_none_for_text() {
    for (kind, body, expected) in [
        ("application/dtmf-relay", "Duration=160 Signal=7", "Duration=*** ********"),
        ("application/dtmf-relay", "Duration=123456\r\n", "Duration=******\r\n"),
        ("application/dtmf-relay", "Duration=1\r\nDuration=2\r\n", "Duration=1\r\nDuration=*\r\n"),
        ("message/sipfrag", "12345", "*****"),
        ("message/sipfrag", "PIN 12 34\r\n", "*** ** **\r\n"),
        ("message/sipfrag", "SIP/2.0 200 OK\r\nX-PIN: 1\r\n", "SIP/2.0 200 OK\r\nX-PIN: *\r\n"),
        (
            "message/sipfrag",
            "INVITE sip:u:pw@h SIP/2.0\r\nc: application/sdp\r\n\r\na=ice-pwd:x",
            "INVITE sip:u:**@h SIP/2.0\r\nc: application/sdp\r\n\r\na=ice-pwd:*",
        ),
    ] {
        let text = shown(&request("", kind, body));
        assert!(text.ends_with(&format!("\r\n\r\n{expected}")), "{kind}: {text}");
    }
}

#[test]
fn secret_parameters_are_hidden_however_they_are_written() {
    for (header, expected) in [
        ("To: <sip:b@h>;password=\r\n X9;a=1", "To: <sip:b@h>;password=\r\n **;a=1"),
        ("X-App: password=\"a\\\"X9\";a=1", "X-App: password=\"*****\";a=1"),
        ("X-App: password=\"\"X9;a=1", "X-App: password=\"\"**;a=1"),
        ("X-App: {\"password\":\"X9\", \"pin\": 12}", "X-App: {\"password\":\"**\", \"pin\": ***"),
        ("X-App: password='X 9'", "X-App: password='* *'"),
        ("X-App: %70assword%3DX9", "X-App: %70assword%3D**"),
        ("X-App: password=a,b;x=1", "X-App: password=***;x=1"),
        ("X-App: inline=X9", "X-App: inline=XX"),
        ("X-App: auth:X9", "X-App: auth:**"),
        ("X-App: pin: X9", "X-App: pin: **"),
        ("X-UserPin: 1", "X-UserPin: *"),
        ("X-AccessKey: 1", "X-AccessKey: *"),
        ("X-Conference-Passcode: 1", "X-Conference-Passcode: *"),
        ("X-OTP: 1", "X-OTP: *"),
        ("Contact: <sip:a@h;pn-prid=X9;x=1>", "Contact: <sip:a@h;pn-prid=**;x=1>"),
        ("Authorization: X9 X9", "Authorization: ** **"),
        ("Authorization: Basic,X9 X9", "Authorization: ******** **"),
        ("Proxy-Authorization: Bearer X9", "Proxy-Authorization: Bearer **"),
        (
            "Proxy-Authorization: Digest username=\"u\",uri=\"tel:+1;postd=X9\",response=\"X9\"",
            "Proxy-Authorization: Digest username=\"u\",uri=\"tel:+1;postd=**\",response=****",
        ),
        (
            "Authorization: Digest uri=\"sip:b@h;token=X9?Authorization=X9\", nc=00000001",
            "Authorization: Digest uri=\"sip:b@h;token=*******************\", nc=00000001",
        ),
        ("X-PIN: 12", "X-PIN: **"),
        ("X-Key: 12", "X-Key: **"),
        ("X-Auth: 12", "X-Auth: **"),
        ("Cookie: 12", "Cookie: **"),
        ("Via: SIP/2.0/UDP key:5060;branch=1", "Via: SIP/2.0/UDP key:5060;branch=1"),
        ("Refer-To: <sip:b@h?Cookie=X9&body=a%0D%0Ab&c=d>", "Refer-To: <sip:b@h?Cookie=**&body=************>"),
        ("Refer-To: <sip:b@h?%62ody=X9,X>", "Refer-To: <sip:b@h?%62ody=****>"),
        ("Refer-To: <sip:b@h?Subject=inline%3AX9>", "Refer-To: <sip:b@h?Subject=inline%3AXX*"),
    ] {
        let text = shown(&request(&format!("{header}\r\n"), "application/sdp", ""));
        assert!(text.contains(&format!("\r\n{expected}\r\n")), "{text}");
    }
    let text = shown(&request("", "application/sdp;password=X9", "v=0\r\n"));
    assert!(text.contains("application/sdp;password=**\r\n") && text.ends_with("v=0\r\n"), "{text}");
}

#[test]
fn what_is_packed_is_hidden_as_a_whole() {
    for header in ["Content-Encoding: gzip", "e: deflate"] {
        let text = shown(&request(&format!("{header}\r\n"), "application/sdp", "s=\u{1f}8b X9\r\n"));
        assert!(text.ends_with("\r\n\r\n***** **\r\n"), "{text}");
    }
    assert!(shown(&request("e: identity\r\n", "application/sdp", "v=0\r\ns=-\r\n")).ends_with("s=-\r\n"));
}

#[test]
fn of_a_part_only_what_belongs_there_is_shown() {
    let types = "c: multipart/mixed;boundary=x\r\n";
    assert!(shown(&request(types, "application/dtmf-relay", "Duration=1\r\n")).ends_with("\r\n\r\n**********\r\n"));
    for (body, expected) in [
        (
            "--x\r\nContent-ID: <1>\r\nX-App: 12\r\n 3\r\n\r\n45\r\n",
            "--x\r\nContent-ID: <1>\r\n****** **\r\n *\r\n\r\n**\r\n",
        ),
        ("--x\r\nContent-Type: text/plain\r\n12", "--x\r\n************* **********\r\n**"),
        ("--x12\r\n\r\n", "--x**\r\n\r\n"),
        (
            "--x--12\r\n--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n",
            "--x--**\r\n***\r\n************* ***************\r\n\r\n***\r\n",
        ),
    ] {
        let text = shown(&request("", "multipart/mixed;boundary=x", body));
        assert!(text.ends_with(&format!("\r\n\r\n{expected}")), "{text}");
    }
}

#[test]
fn whatever_tells_of_a_secret_is_searched_for_before() {
    let of_descriptions = description::KEY_WORDS.iter().chain(&description::SECRET_WORDS).copied();
    let words = SECRET_PARTS.iter().chain(&SECRET_WORDS).chain(&SECRET_ENDS).map(|word| word.as_bytes());
    for word in words.chain(of_descriptions).chain([INLINE, b"%"]) {
        assert!(
            may_contain_secret(word) && may_contain_secret(&word.to_ascii_uppercase()),
            "{}",
            String::from_utf8_lossy(word)
        );
    }
    assert!(!may_contain_secret(b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport"));
}
