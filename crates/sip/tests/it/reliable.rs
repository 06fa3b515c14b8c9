//! Reliable provisional responses (RFC 3262): the edge's own are sent until their PRACK, those of the remote party are
//! processed in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::peer::{Edge, SECOND, T1, config, request, response, to_tag, value};
use trunkgate_sip::header::RAck;
use trunkgate_sip::limits::PROVISIONALS_WAITING;
use trunkgate_sip::{
    DialogId, EndpointConfig, EndpointEvent, HeaderName, MessageBody, Method, ResponseSpec, ServerId, SipMessage,
    Transport,
};

const SUPPORTED: &str = "Supported: timer, 100rel\r\n";
const REQUIRED: &str = "Require: 100rel\r\n";

fn edge() -> Edge {
    let config = config(1);
    let methods = [config.methods.as_slice(), &[Method::Prack]].concat();
    Edge::with(EndpointConfig { methods, extensions: vec!["100rel".into()], ..config }, Transport::Udp)
}

/// Returns the message with a session description.
fn with_sdp(text: &str) -> String {
    assert!(text.contains("Content-Length: 0\r\n\r\n"));
    text.replace("Content-Length: 0\r\n\r\n", "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n")
}

/// Receives an INVITE with an offer, from a caller with the extensions listed in the headers `lines`.
fn invited(lines: &str) -> (Edge, ServerId) {
    let mut edge = edge();
    edge.receive(&with_sdp(&request("INVITE", 1, "z9hG4bKi", "", lines)));
    let id = edge.invited();
    (edge, id)
}

fn answer(edge: &mut Edge, id: ServerId, code: u16, sdp: bool) -> Option<DialogId> {
    let body = sdp.then(|| MessageBody::sdp("v=0\r\n"));
    let answer = ResponseSpec { code, body, contact_user: "edge".into(), reliable: sdp, ..ResponseSpec::default() };
    let dialog = edge.endpoint.respond(edge.now, id, answer);
    edge.drain();
    dialog
}

fn rseq(message: &SipMessage) -> u32 {
    assert_eq!(value(message, HeaderName::Require), "100rel");
    value(message, HeaderName::RSeq).parse().unwrap()
}

fn prack(cseq: u32, of: &SipMessage, rack: &str) -> String {
    request("PRACK", cseq, &format!("z9hG4bKp{cseq}"), &to_tag(of), &format!("RAck: {rack}\r\n"))
}

#[test]
fn rfc3262_3_answer_is_reliable_if_supported() {
    for (lines, code, sdp, reliable) in [
        ("", 183, true, false),
        (SUPPORTED, 183, true, true),
        (SUPPORTED, 180, false, false),
        (REQUIRED, 180, false, true),
        (REQUIRED, 183, true, true),
        ("Supported: 100REL\r\n", 183, true, true),
        ("Supported: 100relay\r\n", 183, true, false),
    ] {
        let (mut edge, id) = invited(lines);
        answer(&mut edge, id, code, sdp);
        let sent = edge.one();
        assert_eq!(sent.header(HeaderName::RSeq).is_some(), reliable, "{lines} {code} {sdp}");
        assert_eq!(sent.header(HeaderName::Require).is_some(), reliable);
        assert!(!reliable || (1..1 << 31).contains(&rseq(&sent)));
    }
    // 100 is never reliable.
    let (edge, _) = invited(REQUIRED);
    assert_eq!(edge.lines(), ["100 Trying"]);
    assert!(edge.one().header(HeaderName::RSeq).is_none());
}

#[test]
fn rfc3262_3_it_is_repeated_with_doubling_intervals_until_its_prack() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (mut edge, id) = invited(SUPPORTED);
        edge.flow = crate::peer::flow(transport, "198.51.100.7:5060");
        answer(&mut edge, id, 183, true);
        let first = edge.one();
        assert_eq!(edge.times_of_sending(8 * SECOND), [500, 1_500, 3_500, 7_500]);
        let rack = format!("{} 1 INVITE", rseq(&first));
        let prack = prack(2, &first, &rack);
        edge.receive(&prack);
        assert_eq!(edge.lines(), ["200 OK"]);
        assert!(matches!(edge.events[..], [EndpointEvent::Prack { id: None, .. }]), "{:?}", edge.events);
        let ok = edge.sent[0].bytes.clone();
        if transport == Transport::Udp {
            edge.receive(&prack);
            assert_eq!((edge.sent.len(), edge.events.len()), (1, 0));
            assert_eq!(edge.sent[0].bytes, ok, "its repetition gets the same answer");
        }
        assert_eq!(edge.times_of_sending(30 * SECOND), [0; 0]);
    }
}

#[test]
fn rfc3262_3_without_prack_the_invite_is_refused() {
    let (mut edge, id) = invited(SUPPORTED);
    let dialog = answer(&mut edge, id, 183, true);
    edge.pass(64 * T1);
    assert_eq!(edge.lines().last().unwrap(), "504 Server Time-out");
    let missing = |event: &EndpointEvent| matches!(event, EndpointEvent::PrackMissing { id: own, dialog: gone } if *own == id && *gone == dialog);
    assert!(edge.events.iter().any(missing), "{:?}", edge.events);
    assert_eq!(answer(&mut edge, id, 200, true), None, "nothing is left to answer");
    edge.assert_empty_after(80 * SECOND);
}

#[test]
fn rfc3262_3_a_prack_that_fits_nothing_is_481_and_one_that_is_damaged_400() {
    let (mut edge, id) = invited(SUPPORTED);
    answer(&mut edge, id, 183, true);
    let first = edge.one();
    let number = rseq(&first);
    for (n, (rack, line)) in [
        (format!("{} 1 INVITE", number + 1), "481 Call/Transaction Does Not Exist"),
        (format!("{number} 2 INVITE"), "481 Call/Transaction Does Not Exist"),
        (format!("{number} 1 UPDATE"), "481 Call/Transaction Does Not Exist"),
        (format!("{number} INVITE"), "400 Bad Request: RAck"),
        (String::new(), "400 Bad Request: RAck"),
    ]
    .into_iter()
    .enumerate()
    {
        edge.receive(&prack(2 + u32::try_from(n).unwrap(), &first, &rack));
        assert_eq!(edge.lines(), [line], "{rack}");
        assert!(!edge.events.iter().any(|event| matches!(event, EndpointEvent::Prack { .. })));
    }
    edge.receive(&request("PRACK", 9, "z9hG4bKx", "nobodys", &format!("RAck: {number} 1 INVITE\r\n")));
    assert_eq!(edge.lines(), ["481 Call/Transaction Does Not Exist"]);
    assert_eq!(edge.times_of_sending(T1), [500], "it is still repeated");
    edge.receive(&prack(10, &first, &format!("{number} 1 INVITE")));
    assert_eq!(edge.lines(), ["200 OK"]);
    edge.receive(&prack(11, &first, &format!("{number} 1 INVITE")));
    assert_eq!(edge.lines(), ["481 Call/Transaction Does Not Exist"], "it is acknowledged already");
}

#[test]
fn rfc3262_3_one_at_a_time_and_each_number_one_higher() {
    let (mut edge, id) = invited(REQUIRED);
    answer(&mut edge, id, 180, false);
    let mut last = edge.one();
    let first = rseq(&last);
    for n in 0..=PROVISIONALS_WAITING {
        answer(&mut edge, id, 183, n == 0);
        assert!(edge.sent.is_empty(), "it waits, or is not sent at all");
    }
    for n in 1..=u32::try_from(PROVISIONALS_WAITING).unwrap() {
        edge.receive(&prack(1 + n, &last, &format!("{} 1 INVITE", rseq(&last))));
        assert_eq!(edge.lines(), ["200 OK", "183 Session Progress"]);
        last = edge.last();
        assert_eq!(rseq(&last), first + n);
    }
    edge.receive(&prack(99, &last, &format!("{} 1 INVITE", rseq(&last))));
    assert_eq!(edge.lines(), ["200 OK"], "no more than may wait");
}

#[test]
fn rfc3262_3_a_2xx_waits_for_the_prack_to_an_answer_with_a_description() {
    let (mut edge, id) = invited(SUPPORTED);
    let dialog = answer(&mut edge, id, 183, true);
    let first = edge.one();
    assert_eq!(answer(&mut edge, id, 200, true), dialog);
    assert!(edge.sent.is_empty() && edge.endpoint.holds_back(id));
    assert_eq!(answer(&mut edge, id, 180, false), dialog, "an unreliable response delays no other");
    edge.receive(&prack(2, &first, &format!("{} 1 INVITE", rseq(&first))));
    assert_eq!(edge.lines(), ["200 OK", "200 OK"]);
    assert!(!edge.endpoint.holds_back(id));
    assert_eq!(value(&edge.last(), HeaderName::CSeq), "1 INVITE");
    assert_eq!(edge.times_of_sending(SECOND), [500], "and then for its ACK");
    edge.receive(&request("ACK", 1, "z9hG4bKa", &to_tag(&first), ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Ack { .. }]));
    edge.endpoint.request(edge.now, dialog.unwrap(), Method::Bye, vec![], None).unwrap();
    edge.drain();
    assert_eq!(edge.lines(), ["BYE sip:alice@198.51.100.7:5060"]);
    edge.assert_empty_after(80 * SECOND);
}

#[test]
fn rfc3262_3_a_2xx_waits_for_no_other_and_a_refusal_for_none() {
    let (mut edge, id) = invited(REQUIRED);
    answer(&mut edge, id, 180, false);
    let ringing = edge.one();
    answer(&mut edge, id, 200, true);
    assert_eq!(edge.lines(), ["200 OK"]);
    edge.receive(&prack(2, &ringing, &format!("{} 1 INVITE", rseq(&ringing))));
    assert_eq!(edge.lines(), ["200 OK"], "its PRACK comes late, and is taken");
    edge.receive(&request("ACK", 1, "z9hG4bKa", &to_tag(&ringing), ""));
    assert_eq!(edge.times_of_sending(40 * SECOND), [0; 0]);

    for (held, code) in [(false, 486), (true, 480)] {
        let (mut edge, id) = invited(SUPPORTED);
        answer(&mut edge, id, 183, true);
        if held {
            answer(&mut edge, id, 200, true);
        }
        answer(&mut edge, id, code, false);
        assert_eq!(edge.one().code(), Some(code));
        edge.receive(&request("ACK", 1, "z9hG4bKi", &to_tag(&edge.last()), ""));
        assert_eq!(edge.times_of_sending(40 * SECOND), [0; 0], "no provisional answer is repeated behind it");
        edge.assert_empty_after(80 * SECOND);
    }
}

#[test]
fn a_cancel_while_the_2xx_waits_ends_the_invite() {
    let (mut edge, id) = invited(SUPPORTED);
    answer(&mut edge, id, 183, true);
    answer(&mut edge, id, 200, true);
    edge.receive(&request("CANCEL", 1, "z9hG4bKi", "", ""));
    assert_eq!(edge.lines(), ["200 OK", "487 Request Terminated"]);
    assert!(matches!(edge.events[..], [EndpointEvent::Canceled { .. }]));
    edge.assert_empty_after(80 * SECOND);
}

#[test]
fn rfc3262_5_an_offer_of_ours_is_answered_by_the_prack_and_one_of_theirs_by_us() {
    // The INVITE has no offer, so the first reliable response must carry one.
    let mut edge = edge();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", REQUIRED));
    let id = edge.invited();
    assert_eq!(answer(&mut edge, id, 180, false), None);
    assert!(edge.sent.is_empty());
    answer(&mut edge, id, 183, true);
    let offer = edge.one();
    edge.receive(&with_sdp(&prack(2, &offer, &format!("{} 1 INVITE", rseq(&offer)))));
    assert_eq!(edge.lines(), ["200 OK"]);
    assert!(matches!(&edge.events[..], [EndpointEvent::Prack { id: None, request, .. }] if request.sdp().is_some()));
    answer(&mut edge, id, 180, false);
    assert_eq!(rseq(&edge.one()), rseq(&offer) + 1, "now it may ring");

    // The INVITE has an offer, so one in a PRACK is a new offer.
    let (mut edge, id) = invited(SUPPORTED);
    answer(&mut edge, id, 183, true);
    let answered = edge.one();
    edge.receive(&with_sdp(&prack(2, &answered, &format!("{} 1 INVITE", rseq(&answered)))));
    assert!(edge.sent.is_empty());
    let EndpointEvent::Prack { id: Some(prack), .. } = edge.events[0] else { panic!("{:?}", edge.events) };
    edge.respond(prack, 200);
    assert_eq!(edge.lines(), ["200 OK"]);
}

/// Composes a reliable provisional response of the remote party.
fn progress(invite: &SipMessage, tag: &str, rseq: u32) -> String {
    response(invite, 183, tag, &format!("Require: 100rel\r\nRSeq: {rseq}\r\n"))
}

#[test]
fn rfc3262_4_each_is_acknowledged_once_and_in_order() {
    let mut edge = edge();
    let (_, invite) = edge.invite();
    assert_eq!(value(&invite, HeaderName::Supported), "100rel");
    assert!(value(&invite, HeaderName::Allow).contains("PRACK"));
    edge.receive(&progress(&invite, "b1", 7_000));
    let prack = edge.one();
    assert_eq!(edge.lines(), ["PRACK sip:bob@198.51.100.7:5060"]);
    let rack = RAck::parse(prack.header(HeaderName::RAck).unwrap()).unwrap();
    assert_eq!((rack.rseq, rack.cseq.number, rack.cseq.method), (7_000, 1, Method::Invite));
    assert_eq!((value(&prack, HeaderName::CSeq), to_tag(&prack)), ("2 PRACK".into(), "b1".into()));
    assert!(matches!(edge.events[..], [EndpointEvent::Response { code: 183, .. }]));
    for repeated_or_too_far in [7_000, 7_002, 6_999] {
        edge.receive(&progress(&invite, "b1", repeated_or_too_far));
        assert!(edge.sent.is_empty() && edge.events.is_empty(), "{repeated_or_too_far}");
    }
    edge.receive(&progress(&invite, "b1", 7_001));
    assert_eq!(value(&edge.one(), HeaderName::RAck), "7001 1 INVITE");
    // Each fork has its own sequence.
    edge.receive(&progress(&invite, "b2", 5));
    assert_eq!(value(&edge.one(), HeaderName::RAck), "5 1 INVITE");
    assert_eq!(to_tag(&edge.one()), "b2");
}

#[test]
fn only_what_is_reliable_is_acknowledged() {
    for lines in
        ["", "RSeq: 1\r\n", "Require: 100rel\r\n", "Require: 100rel\r\nRSeq: 0\r\n", "Require: 100rel\r\nRSeq: x\r\n"]
    {
        let mut edge = edge();
        let (_, invite) = edge.invite();
        edge.receive(&response(&invite, 183, "b1", lines));
        assert!(edge.sent.is_empty(), "{lines}");
        assert!(matches!(edge.events[..], [EndpointEvent::Response { code: 183, .. }]), "{lines}");
    }
}

#[test]
fn rfc3262_5_an_offer_of_the_far_end_is_answered_with_the_prack() {
    let mut edge = edge();
    let (_, invite) = edge.invite_offering(vec![], None);
    for _ in 0..2 {
        edge.receive(&with_sdp(&progress(&invite, "b1", 1)));
        assert!(edge.sent.is_empty(), "it waits for the answer, and may be reported again");
    }
    let dialog = edge.response().unwrap().1.unwrap();
    assert!(edge.endpoint.answer_early(edge.now, dialog, MessageBody::sdp("v=0\r\n")));
    edge.drain();
    let prack = edge.one();
    assert_eq!(value(&prack, HeaderName::RAck), "1 1 INVITE");
    assert!(prack.sdp().is_some());
    edge.receive(&with_sdp(&progress(&invite, "b1", 1)));
    assert!(edge.sent.is_empty() && edge.events.is_empty(), "a repetition");
    assert!(!edge.endpoint.answer_early(edge.now, dialog, MessageBody::sdp("v=0\r\n")), "once");
    // Later responses, and those without an offer, are acknowledged at once.
    edge.receive(&progress(&invite, "b1", 2));
    assert_eq!(value(&edge.one(), HeaderName::RAck), "2 1 INVITE");
}

#[test]
fn a_prack_of_ours_is_repeated_and_its_answer_told() {
    let mut edge = edge();
    let (_, invite) = edge.invite();
    edge.receive(&progress(&invite, "b1", 1));
    let prack = edge.one();
    assert_eq!(edge.times_of_sending(2 * SECOND), [500, 1_500]);
    edge.receive(&response(&prack, 200, "", ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Response { code: 200, .. }]));
    assert_eq!(edge.times_of_sending(10 * SECOND), [0; 0]);
    // The CSeq numbers continue after the 2xx.
    edge.receive(&response(&invite, 200, "b1", ""));
    let dialog = edge.response().unwrap().1.unwrap();
    edge.endpoint.ack(edge.now, dialog, None);
    edge.drain();
    assert_eq!(value(&edge.one(), HeaderName::CSeq), "1 ACK");
    edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).unwrap();
    edge.drain();
    assert_eq!(value(&edge.one(), HeaderName::CSeq), "3 BYE");
}

#[test]
fn rfc3312_preconditions_are_refused_by_name() {
    let mut edge = edge();
    edge.receive(&with_sdp(&request("INVITE", 1, "z9hG4bKi", "", "Require: 100rel, precondition\r\n")));
    assert_eq!(edge.lines(), ["420 Bad Extension"]);
    assert_eq!(value(&edge.one(), HeaderName::Unsupported), "precondition");
}
