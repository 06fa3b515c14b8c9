//! Received calls: immediate 100, provisional responses, 2xx until its ACK, CANCEL, BYE (RFC 3261 §13.3, §9.2, §15;
//! RFC 3581).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use crate::peer::{Edge, LOCAL, SECOND, T1, config, first_line, flow, request, response, to_tag, value};
use trunkgate_sip::limits::INVITE_SECONDS;
use trunkgate_sip::{
    DropReason, EndpointCounts, EndpointEvent, ExtraHeader, HeaderName, MessageBody, Method, ResponseSpec, SipMessage,
    SipPartyId, TimerReason, Transport,
};

#[test]
fn an_invite_gets_100_at_once_and_its_repetition_the_last_answer() {
    let mut edge = Edge::new();
    let invite = request("INVITE", 1, "z9hG4bKi", "", "Timestamp: 54\r\n");
    edge.receive(&invite);
    let id = edge.invited();
    assert_eq!(edge.lines(), ["100 Trying"]);
    let trying = edge.one();
    assert!(trying.to_tag().is_none());
    assert_eq!(value(&trying, HeaderName::Timestamp), "54", "RFC 3261 §8.2.6.1");
    edge.receive(&invite);
    assert_eq!(edge.lines(), ["100 Trying"]);
    assert!(edge.events.is_empty() && edge.sent[0].what.again);
    edge.respond(id, 180);
    assert_eq!(edge.lines(), ["180 Ringing"]);
    edge.receive(&invite);
    assert_eq!(edge.lines(), ["180 Ringing"]);
    edge.respond(id, 486);
    edge.receive(&invite);
    assert_eq!(edge.lines(), ["486 Busy Here"]);
}

#[test]
fn an_answer_repeats_what_it_must_and_nothing_else() {
    let mut edge = Edge::new();
    let lines = "Record-Route: <sip:p2;lr>, <sip:p1;lr>\r\nRecord-Route: <sip:p0;lr>\r\nX-Secret: no\r\n";
    edge.receive(&request("INVITE", 1, "z9hG4bKi;rport;received=6.6.6.6, SIP/2.0/UDP b;branch=z9hG4bKb", "", lines));
    let id = edge.invited();
    let headers = vec![ExtraHeader { name: "Reason".into(), value: "SIP;cause=200\r\nX-Evil: 1".into() }];
    let body = Some(MessageBody::sdp("v=0\r\n"));
    let answer =
        ResponseSpec { code: 200, reason: "Fine".into(), headers, body, contact_user: "me".into(), reliable: false };
    edge.endpoint.respond(edge.now, id, answer);
    edge.drain();
    let bytes = edge.sent[0].bytes.clone();
    let tag = to_tag(&SipMessage::parse(bytes.clone()).unwrap());
    let expected = format!(
        "SIP/2.0 200 Fine\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKi;received=198.51.100.7;rport=5060, SIP/2.0/UDP b;branch=z9hG4bKb\r\n\
         Record-Route: <sip:p2;lr>, <sip:p1;lr>\r\nRecord-Route: <sip:p0;lr>\r\n\
         From: <sip:alice@198.51.100.7>;tag=a1\r\nTo: <sip:bob@192.0.2.1>;tag={tag}\r\nCall-ID: call-1\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:me@192.0.2.1:5060>\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\nReason: SIP;cause=200 X-Evil: 1\r\nServer: Trunkgate\r\n\
         Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
    );
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

#[test]
fn messages_without_their_empty_line_make_and_end_a_call() {
    let cut = |text: String| text.strip_suffix("\r\n").unwrap().to_owned();
    let mut edge = Edge::new();
    edge.receive(&cut(request("INVITE", 1, "z9hG4bKi", "", "")));
    let id = edge.invited();
    edge.respond(id, 200);
    let tag = to_tag(&edge.one());
    edge.receive(&cut(request("ACK", 1, "z9hG4bKa", &tag, "")));
    assert!(matches!(edge.events[..], [EndpointEvent::Ack { .. }]), "{:?}", edge.events);
    edge.receive(&cut(request("BYE", 2, "z9hG4bKb", &tag, "")));
    assert_eq!(edge.lines(), ["200 OK"]);
}

#[test]
fn rfc4475_3_2_1_requests_whose_branch_is_only_the_cookie_are_told_apart() {
    let mut edge = Edge::new();
    for cseq in 1..=3 {
        edge.receive(&request("OPTIONS", cseq, "z9hG4bK", "", ""));
        let EndpointEvent::Request { id: Some(id), .. } = edge.events[0] else { panic!("{cseq}: {:?}", edge.events) };
        edge.respond(id, 200);
        assert_eq!(edge.one().cseq().map(|cseq| cseq.number), Some(cseq));
    }
    // A retransmission is matched by the rules for RFC 2543 clients.
    edge.receive(&request("OPTIONS", 3, "z9hG4bK", "", ""));
    assert!(edge.events.is_empty() && edge.sent[0].what.again);
}

#[test]
fn rfc3261_18_2_2_a_repetition_by_a_stream_is_answered_there() {
    let mut edge = Edge::new();
    edge.receive(&request("OPTIONS", 1, "z9hG4bK1", "", ""));
    let EndpointEvent::Request { id: Some(id), .. } = edge.events[0] else { panic!("{:?}", edge.events) };
    edge.respond(id, 200);
    let by_udp = std::mem::replace(&mut edge.flow, flow(Transport::Tcp, "198.51.100.7:4444"));
    edge.receive(&request("OPTIONS", 1, "z9hG4bK1", "", ""));
    assert_eq!((edge.lines(), edge.sent[0].flow), (vec!["200 OK".to_owned()], edge.flow));
    edge.flow = by_udp;
    edge.receive(&request("OPTIONS", 1, "z9hG4bK1", "", ""));
    assert_eq!(edge.sent[0].flow, by_udp);
}

#[test]
fn rfc3581_and_18_2_2_where_answers_go() {
    let rows = [
        (Transport::Udp, "z9hG4bK1;rport", "203.0.113.9:4444", ";branch=z9hG4bK1;received=203.0.113.9;rport=4444"),
        (Transport::Udp, "z9hG4bK1", "203.0.113.9:5060", ";branch=z9hG4bK1;received=203.0.113.9"),
        (Transport::Tcp, "z9hG4bK1", "203.0.113.9:4444", ";branch=z9hG4bK1;received=203.0.113.9"),
    ];
    for (transport, branch, goes_to, via) in rows {
        let mut edge = Edge::with(config(1), transport);
        edge.flow = flow(transport, "203.0.113.9:4444");
        edge.receive(&request("OPTIONS", 1, branch, "", ""));
        let EndpointEvent::Request { id: Some(id), .. } = edge.events[0] else { panic!("{:?}", edge.events) };
        edge.respond(id, 200);
        assert_eq!(edge.sent[0].flow.remote.to_string(), goes_to);
        assert_eq!(edge.sent[0].flow.connection, edge.flow.connection);
        assert!(value(&edge.one(), HeaderName::Via).ends_with(via), "{}", value(&edge.one(), HeaderName::Via));
    }
}

#[test]
fn rfc3261_13_3_1_4_the_2xx_is_repeated_until_its_ack_over_streams_too() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut edge = Edge::with(config(1), transport);
        edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
        let id = edge.invited();
        edge.respond(id, 200);
        let tag = to_tag(&edge.one());
        assert_eq!(edge.next_reason(), Some(TimerReason::Retransmit2xx));
        assert_eq!(edge.times_of_sending(12 * SECOND), [500, 1_500, 3_500, 7_500, 11_500], "{transport:?}");
        edge.receive(&request("ACK", 1, "z9hG4bKa", &tag, ""));
        assert!(matches!(edge.events[..], [EndpointEvent::Ack { .. }]));
        edge.receive(&request("ACK", 1, "z9hG4bKa", &tag, ""));
        assert!(edge.events.is_empty() && edge.sent.is_empty(), "reported once");
        edge.receive(&request("ACK", 7, "z9hG4bKc", &tag, ""));
        assert_eq!(edge.dropped(), [DropReason::StrayAck], "of another INVITE");
        assert!(edge.times_of_sending(60 * SECOND).is_empty());
        assert_eq!(edge.endpoint.counts(), EndpointCounts { dialogs: 1, ..EndpointCounts::default() });
    }
}

#[test]
fn rfc3261_13_3_1_4_2xx_without_ack_ends_after_64_t1() {
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let id = edge.invited();
    let dialog = edge.respond(id, 200).unwrap();
    edge.pass(T1 * 64 - T1 / 10);
    assert!(edge.events.is_empty());
    edge.pass(T1);
    assert!(matches!(edge.events[..], [EndpointEvent::AckMissing { dialog: missing }] if missing == dialog));
    let bye = edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).unwrap();
    edge.drain();
    assert_eq!(edge.lines(), ["BYE sip:alice@198.51.100.7:5060"]);
    edge.pass(T1 * 65);
    assert!(matches!(edge.events[..], [EndpointEvent::TimedOut { id }] if id == bye));
    edge.assert_empty_after(SECOND);
}

#[test]
fn rfc3261_15_bye_waits_for_the_ack() {
    for acked in [true, false] {
        let mut edge = Edge::new();
        edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
        let id = edge.invited();
        let dialog = edge.respond(id, 200).unwrap();
        let tag = to_tag(&edge.one());
        let bye = edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).unwrap();
        assert_eq!(edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None), None, "one is enough");
        edge.drain();
        assert!(edge.lines().is_empty());
        edge.receive(&request("OPTIONS", 5, "z9hG4bKo", &tag, ""));
        assert_eq!(edge.lines(), ["481 Call/Transaction Does Not Exist"], "for the layer above it has ended");
        if acked {
            edge.receive(&request("ACK", 1, "z9hG4bKa", &tag, ""));
            assert!(edge.events.is_empty());
            assert_eq!(edge.lines(), ["BYE sip:alice@198.51.100.7:5060"]);
            let answer = response(&edge.one(), 200, "", "");
            edge.receive(&answer);
            assert!(matches!(edge.events[..], [EndpointEvent::Response { id, code: 200, .. }] if id == bye));
        } else {
            edge.pass(T1 * 64);
            assert_eq!(edge.lines().last().unwrap(), "BYE sip:alice@198.51.100.7:5060");
            assert!(edge.events.is_empty());
        }
        edge.pass(T1 * 64);
        edge.assert_empty_after(SECOND);
    }
}

#[test]
fn a_bye_that_crosses_our_waiting_one_ends_both() {
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let id = edge.invited();
    let dialog = edge.respond(id, 200).unwrap();
    let tag = to_tag(&edge.one());
    edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).unwrap();
    edge.receive(&request("BYE", 2, "z9hG4bKb", &tag, ""));
    assert_eq!(edge.lines(), ["200 OK", "BYE sip:alice@198.51.100.7:5060"]);
    edge.pass(T1 * 64);
    assert!(matches!(edge.events[..], [EndpointEvent::TimedOut { .. }]));
    edge.assert_empty_after(SECOND);
}

#[test]
fn rfc3261_17_2_1_a_refusal_is_repeated_until_its_ack() {
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let id = edge.invited();
    let dialog = edge.respond(id, 180).unwrap();
    assert_eq!(edge.respond(id, 486), None);
    assert_eq!(edge.endpoint.dialog_flow(dialog), None, "the early dialog is gone");
    let tag = to_tag(&edge.one());
    assert_eq!(edge.times_of_sending(8 * SECOND), [500, 1_500, 3_500, 7_500]);
    edge.receive(&request("ACK", 1, "z9hG4bKi", &tag, ""));
    assert!(edge.events.is_empty() && edge.sent.is_empty());
    edge.assert_empty_after(6 * SECOND);
    assert_eq!(edge.respond(id, 200), None, "the transaction is gone");
}

#[test]
fn rfc3261_13_3_1_1_a_provisional_answer_is_repeated_each_minute() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut edge = Edge::with(config(1), transport);
        edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
        let id = edge.invited();
        assert!(edge.times_of_sending(100 * SECOND).is_empty(), "100 is of this hop alone");
        edge.respond(id, 180);
        assert_eq!(edge.next_reason(), Some(TimerReason::Repeat1xx));
        edge.pass(30 * SECOND);
        edge.respond(id, 183);
        assert_eq!(edge.times_of_sending(130 * SECOND), [60_000, 120_000]);
        assert_eq!(first_line(&edge.sent[0].bytes), "183 Session Progress");
        assert!(edge.sent[0].what.again);
        edge.respond(id, 486);
        edge.receive(&request("ACK", 1, "z9hG4bKi", &to_tag(&edge.last()), ""));
        edge.assert_empty_after(70 * SECOND);
    }
}

#[test]
fn rfc3261_13_3_1_an_invite_expires() {
    let longest = u64::from(INVITE_SECONDS);
    for (lines, lasts) in
        [("Expires: 20\r\n", 20), ("Expires: 86400\r\n", longest), ("Expires: soon\r\n", longest), ("", longest)]
    {
        let mut edge = Edge::new();
        edge.receive(&request("INVITE", 1, "z9hG4bKi", "", lines));
        let id = edge.invited();
        edge.respond(id, 180);
        edge.pass(Duration::from_secs(lasts) - T1);
        assert!(edge.events.is_empty());
        edge.pass(T1);
        assert!(matches!(edge.events[..], [EndpointEvent::Expired { id: over }] if over == id), "{lines}");
        assert_eq!(first_line(&edge.sent.last().unwrap().bytes), "487 Request Terminated");
        assert_eq!(edge.respond(id, 200), None);
        edge.assert_empty_after(33 * SECOND);
    }
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", "Expires: 20\r\n"));
    let id = edge.invited();
    edge.respond(id, 200);
    edge.receive(&request("ACK", 1, "z9hG4bKa", &to_tag(&edge.one()), ""));
    edge.pass(60 * SECOND);
    assert!(edge.events.is_empty(), "an answered one does not");
}

#[test]
fn rfc3326_3_1_a_cancel_may_say_that_another_has_answered() {
    for (reason, expected) in [
        ("Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n", true),
        ("Reason: Q.850;cause=26, sip ; cause = 200\r\n", true),
        ("Reason: Q.850;cause=16\r\nReason: SIP;cause=200\r\n", true),
        ("Reason: SIP;cause=487;text=\"SIP;cause=200\"\r\n", false),
        ("Reason: Q.850;cause=200\r\n", false),
        ("Reason: ;;,=\r\n", false),
    ] {
        let mut edge = Edge::new();
        edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
        edge.invited();
        edge.receive(&request("CANCEL", 1, "z9hG4bKi", "", reason));
        assert!(
            matches!(edge.events[..], [EndpointEvent::Canceled { elsewhere, .. }] if elsewhere == expected),
            "{reason}"
        );
    }
}

#[test]
fn rfc3261_9_2_cancel_gets_200_and_the_invite_487() {
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let id = edge.invited();
    edge.respond(id, 180);
    let tag = to_tag(&edge.one());
    edge.receive(&request("CANCEL", 1, "z9hG4bKi", "", ""));
    assert_eq!(edge.lines(), ["200 OK", "487 Request Terminated"]);
    assert_eq!(to_tag(&edge.last()), tag, "the same To tag in all");
    assert!(matches!(edge.events[..], [EndpointEvent::Canceled { id: canceled, elsewhere: false }] if canceled == id));
    assert_eq!(edge.endpoint.counts().dialogs, 0);
    edge.receive(&request("CANCEL", 1, "z9hG4bKi", "", ""));
    assert_eq!(edge.lines(), ["200 OK"]);
    assert!(edge.events.is_empty());
    assert_eq!(edge.respond(id, 200), None);
    edge.receive(&request("ACK", 1, "z9hG4bKi", &tag, ""));
    edge.assert_empty_after(6 * SECOND);
}

#[test]
fn rfc3261_9_2_cancel_after_the_answer_changes_nothing() {
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let id = edge.invited();
    let dialog = edge.respond(id, 200).unwrap();
    edge.receive(&request("CANCEL", 1, "z9hG4bKi", "", ""));
    assert_eq!(edge.lines(), ["200 OK"]);
    assert!(edge.events.is_empty() && edge.endpoint.dialog_flow(dialog).is_some());
}

#[test]
fn a_bye_is_answered_and_ends_the_dialog() {
    let mut edge = Edge::new();
    let (dialog, tag) = edge.answered_call();
    let bye = request("BYE", 2, "z9hG4bKb", &tag, "");
    edge.receive(&bye);
    assert_eq!(edge.lines(), ["200 OK"]);
    assert!(matches!(
        edge.events[..],
        [EndpointEvent::Request { id: None, dialog: Some(ended), method: Method::Bye, party: SipPartyId(1), .. }] if ended == dialog
    ));
    edge.receive(&bye);
    assert_eq!(edge.lines(), ["200 OK"], "its repetition too");
    assert!(edge.events.is_empty());
    edge.receive(&request("BYE", 3, "z9hG4bKc", &tag, ""));
    assert_eq!(edge.lines(), ["481 Call/Transaction Does Not Exist"]);
    edge.assert_empty_after(T1 * 65);
}

#[test]
fn a_bye_ends_an_invite_that_is_still_open_with_487() {
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let id = edge.invited();
    edge.respond(id, 180);
    let tag = to_tag(&edge.one());
    edge.receive(&request("BYE", 2, "z9hG4bKb", &tag, ""));
    assert_eq!(edge.lines(), ["200 OK", "487 Request Terminated"], "early dialog");

    edge = Edge::new();
    let (_, tag) = edge.answered_call();
    edge.receive(&request("INVITE", 2, "z9hG4bKr", &tag, ""));
    edge.receive(&request("BYE", 3, "z9hG4bKb", &tag, ""));
    assert_eq!(edge.lines(), ["200 OK", "487 Request Terminated"], "re-INVITE");
    edge.assert_empty_after(T1 * 65);
}

#[test]
fn a_re_invite_is_answered_in_its_dialog_and_moves_the_target() {
    let mut edge = Edge::new();
    let (dialog, tag) = edge.answered_call();
    edge.flow = flow(Transport::Udp, "198.51.100.8:5060");
    let contact = "Contact: <sip:alice@198.51.100.8:5082>\r\n";
    edge.receive(&request("INVITE", 2, "z9hG4bKr", &tag, contact).replace("100.7:5060;branch", "100.8:5060;branch"));
    assert_eq!(edge.lines(), ["100 Trying"]);
    let EndpointEvent::Request { id: Some(id), dialog: Some(within), method: Method::Invite, .. } = edge.events[0]
    else {
        panic!("{:?}", edge.events)
    };
    assert_eq!(within, dialog);
    assert_eq!(edge.respond(id, 200), Some(dialog));
    edge.receive(&request("INVITE", 3, "z9hG4bKq", &tag, ""));
    assert_eq!(edge.lines(), ["491 Request Pending"], "the last exchange is not over");
    edge.receive(&request("ACK", 2, "z9hG4bKs", &tag, ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Ack { .. }]));
    edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).unwrap();
    edge.drain();
    assert_eq!(edge.lines(), ["BYE sip:alice@198.51.100.8:5082"]);
    assert_eq!(edge.sent[0].flow.remote, crate::peer::address("198.51.100.8:5082"));
}

#[test]
fn a_refused_or_cancelled_re_invite_leaves_the_dialog() {
    let mut edge = Edge::new();
    let (dialog, tag) = edge.answered_call();
    edge.receive(&request("INVITE", 2, "z9hG4bKr", &tag, ""));
    let EndpointEvent::Request { id: Some(id), .. } = edge.events[0] else { panic!("{:?}", edge.events) };
    edge.respond(id, 488);
    assert_eq!(edge.lines(), ["488 Not Acceptable Here"]);
    edge.receive(&request("ACK", 2, "z9hG4bKr", &tag, ""));
    edge.receive(&request("INVITE", 3, "z9hG4bKt", &tag, ""));
    edge.receive(&request("CANCEL", 3, "z9hG4bKt", &tag, ""));
    assert_eq!(edge.lines(), ["200 OK", "487 Request Terminated"]);
    assert!(edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], None).is_some());
}

#[test]
fn options_are_answered_by_the_layer_above_with_what_we_can_do() {
    let mut edge = Edge::new();
    edge.receive(&request("OPTIONS", 1, "z9hG4bKo", "", ""));
    let EndpointEvent::Request { id: Some(id), dialog: None, method: Method::Options, .. } = edge.events[0] else {
        panic!("{:?}", edge.events)
    };
    assert_eq!(edge.respond(id, 200), None);
    let answer = edge.one();
    assert!(value(&answer, HeaderName::Allow).contains("INVITE") && answer.to_tag().is_some());
    assert_eq!(value(&answer, HeaderName::Accept), "application/sdp");
    edge.receive(&request("OPTIONS", 1, "z9hG4bKo", "", ""));
    assert!(edge.sent[0].what.again);
    edge.assert_empty_after(T1 * 65);
}

#[test]
fn rfc3261_12_1_1_a_peer_without_from_tag_and_branch_is_served() {
    let strip = |text: String| text.replace(";tag=a1", "").replace(";branch=x", "");
    let mut edge = Edge::new();
    let invite = strip(request("INVITE", 1, "x", "", ""));
    edge.receive(&invite);
    let id = edge.invited();
    edge.receive(&invite);
    assert!(edge.events.is_empty(), "RFC 2543 matching finds the repetition");
    edge.respond(id, 200);
    let tag = to_tag(&edge.one());
    edge.receive(&strip(request("ACK", 1, "x", &tag, "")));
    assert!(matches!(edge.events[..], [EndpointEvent::Ack { .. }]));
    edge.receive(&strip(request("BYE", 2, "x", &tag, "")));
    assert_eq!(edge.lines(), ["200 OK"]);
    edge.assert_empty_after(T1 * 65);
}

#[test]
fn rfc2543_cancel_and_ack_find_their_invite() {
    let strip = |text: String| text.replace(";branch=x", "");
    let mut edge = Edge::new();
    edge.receive(&strip(request("INVITE", 1, "x", "", "")));
    edge.receive(&strip(request("CANCEL", 1, "x", "", "")));
    assert_eq!(edge.lines(), ["200 OK", "487 Request Terminated"]);
    let tag = to_tag(&edge.last());
    edge.receive(&strip(request("ACK", 1, "x", "other", "")));
    assert_eq!(edge.dropped(), [DropReason::StrayAck], "RFC 3261 §17.2.3: the To tag must be ours");
    edge.receive(&strip(request("ACK", 1, "x", &tag, "")));
    edge.assert_empty_after(6 * SECOND);
}

#[test]
fn an_ack_to_a_refusal_that_nothing_was_kept_of_is_no_stray() {
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", "Require: foo\r\n"));
    let tag = to_tag(&edge.one());
    edge.receive(&request("ACK", 1, "z9hG4bKi", &tag, ""));
    assert!(edge.events.is_empty() && edge.sent.is_empty());
}

#[test]
fn contact_and_via_name_us_by_the_transport() {
    let mut edge = Edge::with(config(1), Transport::Tls);
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let id = edge.invited();
    edge.respond(id, 180);
    assert_eq!(value(&edge.one(), HeaderName::Contact), format!("<sip:edge@{}:5060;transport=tls>", LOCAL.ip));
}

#[test]
fn rfc3261_12_1_1_a_dialog_that_begins_with_sips_has_a_sips_contact() {
    let secure = format!("<sips:edge@{}:5060>", LOCAL.ip);
    let plain = format!("<sip:edge@{}:5060;transport=tls>", LOCAL.ip);
    let route = |scheme: &str| format!("Record-Route: <{scheme}:p.example;lr>\r\n");
    let contact = |scheme: &str| format!("Contact: <{scheme}:alice@198.51.100.7>\r\n");
    for (uri, lines, expected) in [
        ("sips:", String::new(), &secure),
        ("sip:", String::new(), &plain),
        ("sip:", contact("sips"), &secure),
        ("sip:", route("sip") + &contact("sips"), &plain),
        ("sip:", route("sips") + &contact("sip"), &secure),
    ] {
        let mut edge = Edge::with(config(1), Transport::Tls);
        let invite = request("INVITE", 1, "z9hG4bKi", "", &lines);
        edge.receive(&invite.replacen(" sip:", &format!(" {uri}"), 1));
        let id = edge.invited();
        let dialog = edge.respond(id, 200).unwrap();
        assert_eq!(&value(&edge.one(), HeaderName::Contact), expected, "{uri} {lines}");
        let tag = to_tag(&edge.one());
        edge.receive(&request("ACK", 1, "z9hG4bKa", &tag, ""));
        edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], None).unwrap();
        edge.drain();
        assert_eq!(&value(&edge.last(), HeaderName::Contact), expected, "re-INVITE: {uri} {lines}");
    }
}
