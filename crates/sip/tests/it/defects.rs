//! Reasons to reject a message, tested one at a time: each case is a valid INVITE with one line changed.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panic

use bytes::Bytes;
use trunkgate_sip::{HeaderName, MessageDefect, SipMessage, limits};

const INVITE: &str = "INVITE sip:+14155551234@h.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK1\r\n\
    Max-Forwards: 70\r\n\
    From: \"A\" <sip:a@h.example>;tag=1\r\n\
    To: <sip:+14155551234@h.example>\r\n\
    Call-ID: c1@h.example\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:a@192.0.2.1>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 5\r\n\r\nv=0\r\n";

fn parse(text: &str) -> SipMessage {
    SipMessage::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap_or_else(|error| panic!("{error:?}: {text}"))
}

fn judge(text: &str) -> Option<(u16, &'static str)> {
    parse(text).defect().map(|MessageDefect { code, what }| (code, what))
}

/// Returns the INVITE with the line that begins with `start` replaced.
fn with(start: &str, line: &str) -> String {
    let from = INVITE.find(start).unwrap_or_else(|| panic!("{start}"));
    let to = from + INVITE[from..].find("\r\n").unwrap();
    format!("{}{line}{}", &INVITE[..from], &INVITE[to..])
}

#[test]
fn the_invite_itself_has_none() {
    assert_eq!(judge(INVITE), None);
}

#[test]
fn one_wrong_part_is_named() {
    for (start, line, code, what) in [
        ("INVITE", "INVITE sip:a@h SIP/3.0", 505, "SIP version"),
        ("INVITE", "INVITE sip:a@h sip/2.1", 505, "SIP version"),
        ("INVITE", "INVITE isbn:2983792873 SIP/2.0", 416, "Request-URI scheme"),
        ("INVITE", "INVITE sip:a@h:x SIP/2.0", 400, "Request-URI"),
        ("INVITE", "INVITE sip:a@h SIP/2.0\t", 400, "Request-Line"),
        ("INVITE", "INVITE\u{20}\u{20}sip:a@h SIP/2.0", 400, "Request-Line"),
        ("INVITE", "INVITE sip:a@h\tSIP/2.0", 400, "Request-Line"),
        ("Via", "Via: SIP/2.0/UDP 192.0.2.1:70000;branch=z9hG4bK1", 400, "Via"),
        ("Via", "Via: SIP/2.0/UDP", 400, "Via"),
        ("Via", "Via: SIP/2.0/UDP h, ", 400, "Via"),
        ("Via", "X: y", 400, "Via"),
        ("Max-F", "Max-Forwards: 256", 400, "Max-Forwards"),
        ("Max-F", "Max-Forwards: -1", 400, "Max-Forwards"),
        ("Max-F", "Max-Forwards:", 400, "Max-Forwards"),
        ("Max-F", "Max-Forwards: 70\r\nmax-forwards: 70", 400, "Max-Forwards"),
        ("From", "From: \"A <sip:a@h>;tag=1", 400, "From"),
        ("From", "From: <sip:a@h;tag=1", 400, "From"),
        ("From", "From: <sip:a b@h>;tag=1", 400, "From"),
        ("From", "From: <sip:a@h>;tag=1\r\nf: <sip:b@h>;tag=2", 400, "From"),
        ("To", "To: sip:a@h>", 400, "To"),
        ("To", "To:", 400, "To"),
        ("To", "Totem: sip:a@h", 400, "To"),
        ("Call-ID", "Call-ID: a b", 400, "Call-ID"),
        ("Call-ID", "Call-ID:", 400, "Call-ID"),
        ("Call-ID", "Call-ID: a\r\ni: b", 400, "Call-ID"),
        ("CSeq", "CSeq: 2147483648 INVITE", 400, "CSeq"),
        ("CSeq", "CSeq: 1 BYE", 400, "CSeq"),
        ("CSeq", "CSeq: 1 invite", 400, "CSeq"),
        ("CSeq", "CSeq: INVITE", 400, "CSeq"),
        ("CSeq", "CSeq: 1 INVITE\r\nCSeq: 1 INVITE", 400, "CSeq"),
        ("Contact", "Contact: <sip:a@h", 400, "Contact"),
        ("Contact", "Contact: <sip:a@h>, <sip:b@h>", 400, "Contact"),
        ("Contact", "Contact: <sip:a@h>\r\nm: <sip:b@h>", 400, "Contact"),
        ("Contact", "Record-Route: <sip:p@h>;;", 400, "Record-Route"),
        ("Contact", "Route: sip:p h", 400, "Route"),
        ("Content-T", "Content-Type: application/sdp\r\nc: text/plain", 400, "Content-Type"),
        ("Content-L", "Content-Length: 6", 400, "Content-Length"),
        ("Content-L", "Content-Length: 5\r\nl: 4", 400, "Content-Length"),
        ("Content-L", "Content-Length: +5", 400, "Content-Length"),
        ("Content-L", "Content-Length: 99999999999999999999999", 400, "Content-Length"),
        ("Content-L", "Content-Length: 65535", 413, "Content-Length"),
        ("Contact", "no colon here", 400, "header line"),
        ("Contact", "X Y: name of two words", 400, "header line"),
        ("Contact", ": no name", 400, "header line"),
        ("Contact", "X: a\rY: b", 400, "line end"),
        ("Contact", "X: a\nY: b", 400, "line end"),
        ("Contact", "X: a\0b", 400, "NUL in header"),
    ] {
        assert_eq!(judge(&with(start, line)), Some((code, what)), "{line:?}");
    }
}

#[test]
fn what_is_odd_but_allowed_is_taken() {
    for (start, line) in [
        ("INVITE", "INVITE tel:+14155551234 SIP/2.0"),
        ("INVITE", "INVITE sips:a@[2001:db8::1]:5061;lr SIP/2.0"),
        ("INVITE", "INVITE sip:@h SIP/2.0"),
        // RFC 2543: no branch, no tag, no Max-Forwards.
        ("Via", "Via: SIP/2.0/UDP 192.0.2.1"),
        ("Via", "v : SIP / 2.0 / UDP 192.0.2.1 : 5060 ;\r\n branch = z9hG4bK1"),
        ("From", "f: sip:a@h"),
        ("Max-F", "X-Nothing:"),
        ("Max-F", "Max-Forwards : 0255"),
        ("Contact", "X-Empty:"),
        ("Contact", "X: \"\\\0\""),
        ("Content-L", "Content-Length: 5\r\nl: 5"),
        ("Content-L", "X: no length at all"),
        ("CSeq", "CSeq: 0 INVITE"),
    ] {
        assert_eq!(judge(&with(start, line)), None, "{line:?}");
    }
}

#[test]
fn a_head_without_its_empty_line_is_accepted_where_no_body_is_announced() {
    let cut = INVITE.split("Content-Type").next().unwrap();
    assert_eq!((judge(cut), parse(cut).lacks_empty_line()), (None, true));
    assert_eq!((parse(cut).body(), parse(cut).call_id()), (b"".as_slice(), Some(b"c1@h.example".as_slice())));
    for lines in ["Content-Length: 0\r\n", "Content-Type: application/sdp\r\nl: 0\r\n", "X: a\r\n b\r\n"] {
        assert_eq!(judge(&format!("{cut}{lines}")), None, "{lines:?}");
    }
    assert!(!parse(INVITE).lacks_empty_line());
    // The body is missing, and the message would mean something else without it.
    for (lines, what) in [
        ("Content-Type: application/sdp\r\nContent-Length: 5\r\n", "Content-Length"),
        ("Content-Type: application/sdp\r\n", "end of headers"),
        ("c: application/sdp\r\n", "end of headers"),
    ] {
        assert_eq!(judge(&format!("{cut}{lines}")), Some((400, what)), "{lines:?}");
    }
    // Lines that end with a lone LF are rejected all the same.
    assert_eq!(judge(&format!("{cut}X: y\n")), Some((400, "line end")));
}

#[test]
fn a_head_that_ends_inside_a_line_is_refused_but_read() {
    let (cut, _) = INVITE.split_once("\r\nContent-Type").unwrap();
    assert_eq!((judge(cut), parse(cut).lacks_empty_line()), (Some((400, "end of headers")), false));
    assert_eq!(judge(&format!("{cut}\r")), Some((400, "line end")));
    assert_eq!(parse(cut).call_id(), Some(b"c1@h.example".as_slice()));
    let cut = INVITE.split("0 INVITE").next().unwrap();
    assert_eq!(parse(&cut[..cut.len() - 30]).defect().map(|defect| defect.code), Some(400));
}

#[test]
fn a_name_keeps_no_white_space_to_hide_behind() {
    let message = parse(&with("Contact", "X-Internal\t : evil"));
    assert_eq!(message.header_named("x-internal"), Some(b"evil".as_slice()));
    assert!(message.fields().all(|(name, _)| !name.ends_with(b" ") && !name.ends_with(b"\t")));
    // A folded line belongs to the value before it and is never a separate header.
    let message = parse(&with("Contact", "X: a\r\n X-Internal: evil"));
    assert_eq!(message.header_named("X-Internal"), None);
    // The start line cannot be folded.
    let message = parse(&with("Via", " X-Internal: evil"));
    assert_eq!((message.header_named("X-Internal"), message.defect().is_some()), (None, true));
}

#[test]
fn responses_are_judged_too() {
    let response = "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
        To: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(judge(response), None);
    for (from, to, what) in [
        ("180 Ringing", "18 Ringing", "Status-Code"),
        ("180 Ringing", "099 Ringing", "Status-Code"),
        ("180 Ringing", "700 Ringing", "Status-Code"),
        ("180 Ringing", "1800", "Status-Code"),
        ("branch=z9hG4bK1", "branch=z9hG4bK1, SIP/2.0/UDP other", "Via"),
        ("CSeq: 1", "CSeq: x", "CSeq"),
    ] {
        assert_eq!(judge(&response.replace(from, to)), Some((400, what)), "{to}");
    }
    // The reason phrase may be missing with its space.
    assert_eq!(parse(&response.replace("180 Ringing", "180")).code(), Some(180));
    assert_eq!(judge(&response.replace("180 Ringing", "180")), None);
}

#[test]
fn headers_are_bounded() {
    let fill = |count: usize| with("Contact", &vec!["X: y"; count].join("\r\n"));
    let beside = parse(INVITE).fields().count() - 1;
    assert_eq!(judge(&fill(limits::HEADERS - beside)), None);
    let over = fill(limits::HEADERS - beside + 1);
    assert_eq!(judge(&over), Some((400, "number of headers")));
    assert_eq!(parse(&over).fields().count(), limits::HEADERS);
    assert_eq!(parse(&over).count(HeaderName::Via), 1);
}

#[test]
fn what_is_no_message_is_not_read() {
    for text in [
        "",
        "\r\n\r\n",
        "\0",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "INVITE\r\n\r\n",
        "INVITE sip:a@h\r\n\r\n",
        "INVITE sip:a@h SIP/2\r\n\r\n",
        "INVITE sip:a@h SIP/2.\r\n\r\n",
        "INVITE SIP/2.0\r\n\r\n",
        "IN(VITE sip:a@h SIP/2.0\r\n\r\n",
        " INVITE sip:a@h SIP/2.0\r\n\r\n",
        "SIP/2.0\r\n\r\n",
        "SIP/x 200 OK\r\n\r\n",
    ] {
        assert!(SipMessage::parse(Bytes::copy_from_slice(text.as_bytes())).is_err(), "{text:?}");
    }
    let long = Bytes::from(INVITE.replace("v=0\r\n", &"x".repeat(limits::MESSAGE_BYTES)));
    assert_eq!(SipMessage::parse(long).map_err(|error| error.at).err(), Some(limits::MESSAGE_BYTES));
}

#[test]
fn empty_lines_before_the_start_line_are_skipped() {
    assert_eq!(judge(&format!("\r\n\r\n{INVITE}")), None);
}
