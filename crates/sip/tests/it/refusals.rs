//! Requests that the endpoint itself rejects (RFC 3261 §8.2, §12.2.2, §14.2; docs/reference/sip-answers.md).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::peer::{Edge, SECOND, config, flow, request, response, to_tag, value};
use trunkgate_sip::{
    DropReason, EndpointConfig, EndpointCounts, EndpointEvent, EndpointLimits, HeaderName, Method, SipPartyId,
    Transport,
};

/// Checks one row of the table: a request, the status line of the response, and a required header.
fn refused(edge: &mut Edge, text: &str, line: &str, header: Option<(HeaderName, &str)>) {
    edge.receive(text);
    assert_eq!(edge.lines(), [line], "{text}");
    let answer = edge.one();
    if let Some((name, expected)) = header {
        assert_eq!(value(&answer, name), expected);
    }
    assert!(answer.to_tag().is_some(), "an answer above 100 has a To tag");
    let code = answer.code().unwrap();
    assert!(
        matches!(edge.events[..], [EndpointEvent::Refused { code: told, .. }] if told == code),
        "{:?}",
        edge.events
    );
    let first = edge.sent[0].bytes.clone();
    edge.receive(text);
    assert_eq!(edge.sent[0].bytes, first, "RFC 3261 §8.2.7: the same answer again");
    assert_eq!(edge.endpoint.counts(), EndpointCounts::default(), "nothing is kept of it");
}

#[test]
fn rfc3261_8_2_each_refusal_and_its_answer() {
    let allow = Some((HeaderName::Allow, "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE"));
    let rows = [
        (
            request("INVITE", 1, "z9hG4bK1", "", "").replace("CSeq: 1 INVITE", "CSeq: 1 BYE"),
            "400 Bad Request: CSeq",
            None,
        ),
        (
            request("INVITE", 1, "z9hG4bK2", "", "Require: 100rel\r\n"),
            "420 Bad Extension",
            Some((HeaderName::Unsupported, "100rel")),
        ),
        (
            request("INVITE", 1, "z9hG4bK3", "", "Content-Encoding: gzip\r\n"),
            "415 Unsupported Media Type",
            Some((HeaderName::AcceptEncoding, "identity")),
        ),
        (request("INVITE", 1, "z9hG4bK4", "", "Accept: text/plain\r\n"), "406 Not Acceptable", None),
        (request("SUBSCRIBE", 1, "z9hG4bK5", "", ""), "405 Method Not Allowed", allow),
        (request("DANCE", 1, "z9hG4bK6", "", ""), "501 Not Implemented", allow),
        (request("BYE", 1, "z9hG4bK7", "", ""), "481 Call/Transaction Does Not Exist", None),
        (request("BYE", 1, "z9hG4bK8", "nobody", ""), "481 Call/Transaction Does Not Exist", None),
        (request("INVITE", 2, "z9hG4bK9", "nobody", ""), "481 Call/Transaction Does Not Exist", None),
        (request("CANCEL", 1, "z9hG4bKa", "", ""), "481 Call/Transaction Does Not Exist", None),
        (
            request("INVITE", 1, "z9hG4bKb", "", "Content-Type: text/plain\r\n")
                .replace("Content-Length: 0\r\n\r\n", "Content-Length: 2\r\n\r\nhi"),
            "415 Unsupported Media Type",
            Some((HeaderName::Accept, "application/sdp, multipart/mixed")),
        ),
        (
            request("INVITE", 1, "z9hG4bKc", "", &format!("Subject: {}\r\n", "x".repeat(5_000))),
            "413 Request Entity Too Large",
            None,
        ),
    ];
    for (text, line, header) in rows {
        refused(&mut Edge::new(), &text, line, header);
    }
}

#[test]
fn the_part_that_is_wrong_is_told_above_too() {
    let mut edge = Edge::new();
    edge.receive(&request("OPTIONS", 1, "z9hG4bK1", "", "").replace("Call-ID: call-1\r\n", ""));
    assert_eq!(edge.lines(), ["400 Bad Request: Call-ID"]);
    assert!(matches!(
        edge.events[..],
        [EndpointEvent::Refused { party: SipPartyId(1), method: Method::Options, code: 400, defect: Some(_) }]
    ));
}

#[test]
fn what_cannot_be_answered_is_dropped() {
    let mut edge = Edge::new();
    edge.receive(&request("OPTIONS", 1, "z9hG4bK1", "", "").replace("Via:", "X-Via:"));
    assert_eq!((edge.lines(), edge.dropped()), (vec![], vec![DropReason::Unanswerable]));
    edge.receive(&request("ACK", 1, "z9hG4bK1", "", "").replace("CSeq: 1 ACK", "CSeq: 1 INVITE"));
    assert_eq!((edge.lines(), edge.dropped()), (vec![], vec![DropReason::Unanswerable]));
    edge.receive(&request("ACK", 1, "z9hG4bK1", "nobody", ""));
    assert_eq!((edge.lines(), edge.dropped()), (vec![], vec![DropReason::StrayAck]));
}

#[test]
fn responses_that_are_damaged_or_belong_to_nobody_are_dropped() {
    let mut edge = Edge::new();
    let (_, invite) = edge.invite();
    let good = response(&invite, 180, "b1", "");
    let second_via = "Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKq\r\nFrom:";
    for damaged in [good.replace("1 INVITE", "x INVITE"), good.replace("From:", second_via)] {
        edge.receive(&damaged);
        assert_eq!(edge.dropped(), [DropReason::DamagedResponse], "{damaged}");
    }
    for stray in [
        good.replace("branch=z9hG4bK", "branch=z9hG4bKx"),
        good.replace("1 INVITE", "1 BYE"),
        good.replace("Call-ID: ", "Call-ID: x"),
    ] {
        edge.receive(&stray);
        assert_eq!(edge.dropped(), [DropReason::StrayResponse], "{stray}");
    }
    edge.party = SipPartyId(2);
    edge.receive(&good);
    assert_eq!(edge.dropped(), [DropReason::StrayResponse], "another party cannot answer");
    edge.party = SipPartyId(1);
    edge.receive(&good);
    assert_eq!(edge.response().unwrap().0, 180);
}

#[test]
fn rfc3261_8_2_2_2_merged_requests_get_482() {
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bK1", "", ""));
    assert_eq!(edge.lines(), ["100 Trying"]);
    edge.receive(&request("INVITE", 1, "z9hG4bK2", "", ""));
    assert_eq!(edge.lines(), ["482 Loop Detected"]);
    edge.receive(&request("INVITE", 2, "z9hG4bK3", "", ""));
    assert_eq!(edge.lines(), ["100 Trying"], "another CSeq is another request");
}

#[test]
fn an_invite_of_ours_that_comes_back_gets_482() {
    let mut edge = Edge::new();
    let (_, invite) = edge.invite();
    let text = String::from_utf8(invite.as_bytes().to_vec()).unwrap();
    edge.receive(&text.replace("Via: ", "Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKproxy\r\nVia: "));
    assert_eq!(edge.lines(), ["482 Loop Detected"]);
}

#[test]
fn max_forwards_0_is_left_to_the_layer_above() {
    let mut edge = Edge::new();
    edge.receive(&request("OPTIONS", 1, "z9hG4bK1", "", "").replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert!(matches!(edge.events[..], [EndpointEvent::Request { id: Some(_), method: Method::Options, .. }]));
}

#[test]
fn rfc3261_12_2_2_cseq_below_the_last_gets_500_and_a_gap_is_fine() {
    let mut edge = Edge::new();
    let (_, tag) = edge.answered_call();
    edge.receive(&request("OPTIONS", 40, "z9hG4bK1", &tag, ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Request { dialog: Some(_), .. }]));
    edge.receive(&request("OPTIONS", 39, "z9hG4bK2", &tag, ""));
    assert_eq!(edge.lines(), ["500 Server Internal Error"]);
    edge.receive(&request("INVITE", 40, "z9hG4bK3", &tag, ""));
    assert_eq!(edge.lines(), ["500 Server Internal Error"]);
}

#[test]
fn nobody_else_may_speak_in_a_dialog_or_cancel() {
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let id = edge.invited();
    edge.party = SipPartyId(2);
    edge.receive(&request("CANCEL", 1, "z9hG4bKi", "", ""));
    assert_eq!(edge.lines(), ["481 Call/Transaction Does Not Exist"]);
    edge.party = SipPartyId(1);
    let dialog = edge.respond(id, 200).unwrap();
    let tag = to_tag(&edge.last());
    edge.party = SipPartyId(2);
    edge.receive(&request("ACK", 1, "z9hG4bKa", &tag, ""));
    assert_eq!(edge.dropped(), [DropReason::StrayAck]);
    edge.receive(&request("BYE", 2, "z9hG4bKb", &tag, ""));
    assert_eq!(edge.lines(), ["481 Call/Transaction Does Not Exist"]);
    assert!(edge.endpoint.dialog_flow(dialog).is_some());
}

#[test]
fn rfc3261_14_2_a_second_invite_before_the_first_is_final_gets_500_with_retry_after() {
    let mut edge = Edge::new();
    let (_, tag) = edge.answered_call();
    edge.receive(&request("INVITE", 2, "z9hG4bK2", &tag, ""));
    assert_eq!(edge.lines(), ["100 Trying"]);
    edge.receive(&request("INVITE", 3, "z9hG4bK3", &tag, ""));
    assert_eq!(edge.lines(), ["500 Server Internal Error"]);
    assert!(value(&edge.one(), HeaderName::RetryAfter).parse::<u32>().unwrap() <= 10);
}

#[test]
fn rfc3261_14_2_glare_gets_491() {
    let mut edge = Edge::new();
    let (dialog, tag) = edge.answered_call();
    assert!(edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], None).is_some());
    edge.drain();
    edge.receive(&request("INVITE", 2, "z9hG4bK2", &tag, ""));
    assert_eq!(edge.lines(), ["491 Request Pending"]);
    assert_eq!(edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], None), None, "ours is open");
}

#[test]
fn full_tables_answer_503_with_retry_after_and_keep_nothing() {
    let mut small = config(1);
    small.limits = EndpointLimits { servers: 3, clients: 1, dialogs: 3, forks: 2, ..EndpointLimits::default() };
    let mut edge = Edge::with(small, Transport::Udp);
    edge.receive(&request("OPTIONS", 1, "z9hG4bKo", "", ""));
    edge.receive(&request("INVITE", 1, "z9hG4bK1", "", ""));
    edge.receive(&request("INVITE", 2, "z9hG4bK2", "", ""));
    assert_eq!(edge.lines(), ["503 Service Unavailable"], "transactions");
    assert!(value(&edge.one(), HeaderName::RetryAfter).parse::<u32>().unwrap() >= 1);
    assert_eq!(edge.endpoint.counts().servers, 2);

    small = config(1);
    small.limits.dialogs = 1;
    edge = Edge::with(small, Transport::Udp);
    edge.receive(&request("INVITE", 1, "z9hG4bK1", "", ""));
    let first = edge.invited();
    edge.receive(&request("INVITE", 2, "z9hG4bK2", "", "").replace("call-1", "call-2"));
    assert_eq!(edge.lines(), ["503 Service Unavailable"], "an open INVITE holds a place for its dialog");
    edge.respond(first, 486);
    edge.receive(&request("ACK", 1, "z9hG4bK1", &to_tag(&edge.last()), ""));
    edge.pass(6 * SECOND);
    edge.receive(&request("INVITE", 2, "z9hG4bK2", "", "").replace("call-1", "call-2"));
    assert_eq!(edge.lines(), ["100 Trying"], "the place is free again");
}

#[test]
fn what_has_been_answered_makes_room_for_what_is_new() {
    let mut small = config(1);
    small.limits.servers = 6;
    let mut edge = Edge::with(small, Transport::Udp);
    let options = |n: u32| request("OPTIONS", n, &format!("z9hG4bKo{n}"), "", "");
    // One 2xx without ACK, and two requests with final responses.
    edge.receive(&request("INVITE", 1, "z9hG4bK1", "", "").replace("call-1", "call-9"));
    let unacked = edge.invited();
    edge.respond(unacked, 200);
    for n in 1..=2 {
        edge.receive(&options(n));
        let Some(EndpointEvent::Request { id: Some(id), .. }) = edge.events.last() else { panic!("{:?}", edge.events) };
        let id = *id;
        edge.respond(id, 200);
    }
    edge.receive(&options(3));
    assert_eq!(edge.lines(), ["503 Service Unavailable"], "they may still be repeated");
    edge.receive(&options(1));
    assert_eq!(edge.lines(), ["200 OK"]);
    edge.pass(5 * SECOND);
    edge.receive(&options(3));
    assert_eq!((edge.lines().len(), edge.endpoint.counts().servers), (0, 3), "one made room, and is rejected");
    edge.receive(&options(4));
    edge.receive(&options(5));
    assert_eq!(edge.lines(), ["503 Service Unavailable"], "open ones and the 2xx stay");
    edge.receive(&request("INVITE", 1, "z9hG4bK1", "", "").replace("call-1", "call-9"));
    assert!(edge.events.is_empty(), "its repetition begins nothing");
    edge.pass(200 * SECOND);
}

#[test]
fn invites_of_ours_that_are_over_make_room_for_others() {
    let mut small = config(1);
    small.limits.clients = 2;
    let mut edge = Edge::with(small, Transport::Udp);
    let is_full = |edge: &mut Edge| {
        edge.endpoint.options(edge.now, edge.flow, crate::peer::LOCAL, SipPartyId(1), "sip:198.51.100.7");
        edge.drain();
        matches!(edge.events[..], [EndpointEvent::Dropped(DropReason::Full), EndpointEvent::TransportFailed { .. }])
    };
    let (_, refused) = edge.invite();
    edge.receive(&response(&refused, 486, "a", ""));
    let (_, open) = edge.invite();
    assert!(is_full(&mut edge));
    edge.receive(&response(&refused, 486, "a", ""));
    assert_eq!(edge.lines().len(), 1, "the ACK again");
    edge.pass(5 * SECOND);
    edge.receive(&response(&open, 200, "b", "Contact: <sip:b@198.51.100.7>\r\n"));
    let Some(EndpointEvent::Response { dialog: Some(dialog), .. }) = edge.events.last() else {
        panic!("{:?}", edge.events)
    };
    let dialog = *dialog;
    edge.invite();
    edge.pass(6 * SECOND);
    assert!(is_full(&mut edge), "a 2xx that is not acknowledged yet stays");
    edge.endpoint.ack(edge.now, dialog, None);
    edge.pass(6 * SECOND);
    assert!(!is_full(&mut edge));
}

#[test]
fn full_tables_end_requests_of_ours_at_once() {
    let mut small = config(1);
    small.limits = EndpointLimits { servers: 2, clients: 1, dialogs: 2, forks: 2, ..EndpointLimits::default() };
    let mut edge = Edge::with(small, Transport::Udp);
    let (first, _) = edge.invite();
    let second = edge.endpoint.options(edge.now, edge.flow, crate::peer::LOCAL, SipPartyId(1), "sip:198.51.100.7");
    edge.drain();
    assert_ne!(first, second);
    assert!(
        matches!(edge.events[..], [EndpointEvent::Dropped(DropReason::Full), EndpointEvent::TransportFailed { id }] if id == second)
    );
}

#[test]
fn server_transactions_hold_no_more_bytes_than_they_may() {
    let mut small = config(1);
    small.limits.server_bytes = 10_000;
    let mut edge = Edge::with(small, Transport::Udp);
    let long = format!("X-Long: {}\r\n", "x".repeat(3000));
    let mut refused = 0;
    for n in 0..20 {
        let branch = format!("z9hG4bK{n}");
        edge.receive(&request("INVITE", 1, &branch, "", &long).replace("call-1", &format!("call-{n}")));
        refused += usize::from(edge.lines() == ["503 Service Unavailable"]);
    }
    let open = edge.endpoint.counts().servers;
    assert!((2..5).contains(&open) && refused == 20 - open, "{open} {refused}");
    edge.endpoint.check_invariants().unwrap();
    let first = edge.endpoint.counts();
    edge.pass(200 * SECOND);
    assert_eq!(edge.endpoint.counts(), first, "they have not been answered");
    // A request with a final response is no longer held in memory.
    let mut edge = Edge::with(
        EndpointConfig { limits: EndpointLimits { server_bytes: 10_000, ..EndpointLimits::default() }, ..config(1) },
        Transport::Udp,
    );
    for n in 0..6 {
        let branch = format!("z9hG4bK{n}");
        edge.receive(&request("INVITE", 1, &branch, "", &long).replace("call-1", &format!("call-{n}")));
        let id = edge.invited();
        edge.respond(id, 404);
    }
    edge.pass(200 * SECOND);
    assert_eq!(edge.endpoint.counts().servers, 0);
    edge.endpoint.check_invariants().unwrap();
}

#[test]
fn a_bye_is_served_though_the_table_is_full() {
    let mut small = config(1);
    small.limits.servers = 2;
    let mut edge = Edge::with(small, Transport::Udp);
    let (_, tag) = edge.answered_call();
    edge.receive(&request("OPTIONS", 9, "z9hG4bKo", "", "").replace("call-1", "call-9"));
    edge.receive(&request("BYE", 2, "z9hG4bKb", &tag, ""));
    assert_eq!(edge.lines(), ["200 OK"]);
    assert_eq!(edge.endpoint.counts().dialogs, 0);
}

#[test]
fn a_broken_stream_gets_its_400_and_a_broken_response_nothing() {
    let mut edge = Edge::with(config(1), Transport::Tcp);
    let defect = trunkgate_sip::MessageDefect { code: 400, what: "Content-Length" };
    let text = request("INVITE", 1, "z9hG4bK1", "", "").replace("Content-Length: 0\r\n", "");
    let message = trunkgate_sip::SipMessage::parse(text.into_bytes().into()).unwrap();
    edge.endpoint.refuse(flow(Transport::Tcp, "198.51.100.7:40000"), SipPartyId(1), &message, defect);
    edge.drain();
    assert_eq!(edge.lines(), ["400 Bad Request: Content-Length"]);
    let message = trunkgate_sip::SipMessage::parse("SIP/2.0 200 OK\r\n\r\n".into()).unwrap();
    edge.endpoint.refuse(edge.flow, SipPartyId(1), &message, defect);
    edge.drain();
    assert_eq!(edge.dropped(), [DropReason::Unanswerable]);
}
