//! Stateless recording server (SIPREC). The behaviour towards a call is derived from its Call-ID.

use std::time::Duration;

use bytes::Bytes;

use crate::places::{EDGE, VAULT};

/// Time from the server's answer to a request that the server itself sends.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns the messages with which the server reacts to a message of the edge, each with its delay.
pub(crate) fn receive(bytes: &[u8]) -> Vec<(Duration, Bytes)> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mood = header(head, "Call-ID").bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) % 10;
    let now = |bytes| vec![(Duration::ZERO, bytes)];
    match head.split(' ').next().unwrap_or_default() {
        "INVITE" if mood == 0 => Vec::new(),
        "INVITE" if mood == 1 => now(response(head, "488 Not Acceptable Here", "")),
        "INVITE" if mood == 2 => now(response(head, "503 Service Unavailable", "")),
        "INVITE" => {
            let mut sent = now(response(head, "200 OK", &answer(body)));
            match mood {
                3 => sent.push((PATIENCE, request(head, "BYE", ""))),
                4 => sent.push((PATIENCE, request(head, "INVITE", &description("inactive", [6000, 6002])))),
                5 => sent.push((PATIENCE, request(head, "INVITE", &description("recvonly", [6004, 6006])))),
                _ => {}
            }
            sent
        }
        "OPTIONS" | "BYE" | "CANCEL" => now(response(head, "200 OK", "")),
        "SIP/2.0" if head.starts_with("SIP/2.0 200") && header(head, "CSeq").ends_with("INVITE") => {
            now(acknowledgement(head))
        }
        _ => Vec::new(),
    }
}

/// Returns the value of the first header with this name; empty if there is none.
fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let named = |line: &'a str| line.split_once(':').filter(|(one, _)| one.eq_ignore_ascii_case(name));
    head.lines().find_map(named).map_or("", |(_, value)| value.trim())
}

/// Returns the URI of a Contact value, without the angle brackets.
fn uri(value: &str) -> &str {
    value.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(value, |(uri, _)| uri)
}

/// Returns the SDP answer to an offer of two streams: one for each direction of the call.
fn answer(offer: &str) -> String {
    let direction = if offer.contains("a=inactive") { "inactive" } else { "recvonly" };
    description(direction, [6000, 6002])
}

fn description(direction: &str, ports: [u16; 2]) -> String {
    let ip = VAULT.ip();
    let stream = |port: u16| format!("m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n");
    format!("v=0\r\no=- 7 {} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n{}", ports[0], ports.map(stream).concat())
}

fn with_body(mut head: String, body: &str) -> Bytes {
    if !body.is_empty() {
        head.push_str("Content-Type: application/sdp\r\n");
    }
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into()
}

fn response(head: &str, status: &str, body: &str) -> Bytes {
    let [via, from, to, call, number] = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| header(head, name));
    let tag = if to.contains(";tag=") { "" } else { ";tag=vault" };
    let head = format!(
        "SIP/2.0 {status}\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}{tag}\r\nCall-ID: {call}\r\nCSeq: {number}\r\n\
         Contact: <sip:vault@{VAULT}>;+sip.srs\r\n"
    );
    with_body(head, body)
}

/// Returns a request that the server sends in the dialog of a request from the edge.
fn request(head: &str, method: &str, body: &str) -> Bytes {
    let [from, to, call, contact] = ["From", "To", "Call-ID", "Contact"].map(|name| header(head, name));
    let tag = if to.contains(";tag=") { "" } else { ";tag=vault" };
    let head = format!(
        "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {VAULT};branch=z9hG4bK{method}{call}\r\nMax-Forwards: 70\r\n\
         From: {to}{tag}\r\nTo: {from}\r\nCall-ID: {call}\r\nCSeq: 7 {method}\r\nContact: <sip:vault@{VAULT}>\r\n",
        uri(contact)
    );
    with_body(head, body)
}

/// Returns the ACK for a 200 with which the edge answered an INVITE of the server.
fn acknowledgement(head: &str) -> Bytes {
    let [from, to, call, contact] = ["From", "To", "Call-ID", "Contact"].map(|name| header(head, name));
    let target = if contact.is_empty() { format!("sip:{EDGE}") } else { uri(contact).to_owned() };
    let head = format!(
        "ACK {target} SIP/2.0\r\nVia: SIP/2.0/UDP {VAULT};branch=z9hG4bKACK{call}\r\nMax-Forwards: 70\r\n\
         From: {from}\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: 7 ACK\r\n"
    );
    with_body(head, "")
}
