//! Outgoing calls: retransmission, provisional responses and forks, ACK, CANCEL, abandoned attempts (RFC 3261 §13.2,
//! §9.1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::peer::{Edge, LOCAL, SECOND, T1, config, flow, parse, request, response, to_tag, value};
use bytes::Bytes;
use trunkgate_sip::{
    DropReason, EndpointCounts, EndpointEvent, EndpointInput, HeaderName, ListenerId, MessageBody, Method, SipPartyId,
    TimerReason, Transport,
};

const BYE: &str = "BYE sip:bob@198.51.100.7:5060";
const ACK: &str = "ACK sip:bob@198.51.100.7:5060";

#[test]
fn an_invite_is_written_from_what_we_allow() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    let call_id = edge.endpoint.call_id(id).unwrap();
    let tag = String::from_utf8(invite.from_tag().unwrap().to_vec()).unwrap();
    let branch = String::from_utf8(invite.via().unwrap().branch.unwrap().to_vec()).unwrap();
    assert!(branch.starts_with("z9hG4bK000000010000000100"), "edge, generation and shard");
    assert!(tag.starts_with("000000010000000100") && call_id.starts_with("000000010000000100"));
    let expected = format!(
        "INVITE sip:bob@198.51.100.7 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport\r\n\
         Max-Forwards: 69\r\nFrom: \"Alice\" <sip:alice@192.0.2.1>;tag={tag}\r\nTo: <sip:bob@198.51.100.7>\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nUser-Agent: Trunkgate\r\nContact: <sip:edge@192.0.2.1:5060>\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\nContent-Type: application/sdp\r\n\
         Content-Length: 5\r\n\r\nv=0\r\n"
    );
    assert_eq!(String::from_utf8_lossy(invite.as_bytes()), expected);
}

#[test]
fn rfc3261_17_1_1_2_an_unanswered_invite_is_repeated_and_times_out() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    assert_eq!(edge.next_reason(), Some(TimerReason::TimerA));
    assert_eq!(edge.times_of_sending(T1 * 64 - T1), [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    edge.pass(T1);
    assert!(matches!(edge.events[..], [EndpointEvent::TimedOut { id: timed }] if timed == id));
    edge.assert_empty_after(SECOND);
    edge.receive(&response(&invite, 200, "b1", ""));
    assert_eq!(edge.dropped(), [DropReason::StrayResponse]);
}

#[test]
fn over_a_stream_nothing_is_repeated() {
    let mut edge = Edge::with(config(1), Transport::Tcp);
    let (id, invite) = edge.invite();
    assert!(value(&invite, HeaderName::Via).starts_with("SIP/2.0/TCP"));
    assert!(!value(&invite, HeaderName::Via).contains("rport"));
    edge.pass(T1 * 64);
    assert!(edge.sent.is_empty());
    assert!(matches!(edge.events[..], [EndpointEvent::TimedOut { id: timed }] if timed == id));
}

#[test]
fn provisionals_are_told_and_stop_the_repetition() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    edge.receive(&response(&invite, 100, "", ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Trying { id: trying }] if trying == id));
    assert_eq!(edge.endpoint.poll_timeout(), None, "ringing may take long");
    edge.receive(&response(&invite, 180, "", ""));
    assert_eq!(edge.response(), Some((180, None)), "no tag, no dialog");
    edge.receive(&response(&invite, 183, "b1", ""));
    let (code, dialog) = edge.response().unwrap();
    assert!(code == 183 && dialog.is_some());
    edge.receive(&response(&invite, 180, "b1", ""));
    assert_eq!(edge.response(), Some((180, dialog)));
}

#[test]
fn rfc3261_17_1_1_3_a_refusal_is_acknowledged_and_so_are_its_repetitions() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    edge.receive(&response(&invite, 183, "b1", ""));
    edge.receive(&response(&invite, 486, "b1", ""));
    assert!(
        matches!(edge.events[..], [EndpointEvent::Response { id: refused, code: 486, dialog: None, .. }] if refused == id)
    );
    let ack = edge.one();
    assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"]);
    for name in [HeaderName::Via, HeaderName::From, HeaderName::CallId] {
        assert_eq!(value(&ack, name), value(&invite, name));
    }
    assert_eq!((to_tag(&ack).as_str(), value(&ack, HeaderName::CSeq).as_str()), ("b1", "1 ACK"));
    assert_eq!(edge.endpoint.counts().dialogs, 0, "early dialogs end with it");
    edge.receive(&response(&invite, 486, "b1", ""));
    assert!(edge.events.is_empty() && edge.sent[0].what.again);
    assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"]);
    edge.assert_empty_after(33 * SECOND);
}

#[test]
fn rfc3261_13_2_2_4_a_repeated_2xx_gets_the_kept_ack() {
    let mut edge = Edge::new();
    let (_, invite) = edge.invite();
    let ok = response(&invite, 200, "b1", "");
    edge.receive(&ok);
    let (_, dialog) = edge.response().unwrap();
    edge.receive(&ok);
    assert!(edge.events.is_empty() && edge.sent.is_empty(), "the layer above has not acknowledged yet");
    edge.endpoint.ack(edge.now, dialog.unwrap(), Some(MessageBody::sdp("v=0\r\n")));
    edge.drain();
    assert_eq!(edge.lines(), [ACK]);
    let ack = edge.one();
    assert_eq!(value(&ack, HeaderName::CSeq), "1 ACK");
    assert_ne!(value(&ack, HeaderName::Via), value(&invite, HeaderName::Via), "a transaction of its own");
    let bytes = edge.sent[0].bytes.clone();
    edge.endpoint.ack(edge.now, dialog.unwrap(), None);
    edge.drain();
    assert!(edge.sent.is_empty(), "once");
    edge.receive(&ok);
    assert_eq!(edge.sent[0].bytes, bytes);
    assert!(edge.events.is_empty() && edge.sent[0].what.again);
    edge.endpoint.request(edge.now, dialog.unwrap(), Method::Bye, vec![], None).unwrap();
    edge.drain();
    edge.receive(&ok);
    assert_eq!(edge.lines(), [ACK], "after BYE too");
    edge.assert_empty_after(T1 * 130);
}

#[test]
fn forked_answers_have_own_dialogs() {
    let mut few = config(1);
    few.limits.forks = 3;
    let mut edge = Edge::with(few, Transport::Udp);
    let (_, invite) = edge.invite();
    let mut dialogs = Vec::new();
    for tag in ["b1", "b2", "b3"] {
        edge.receive(&response(&invite, 180, tag, ""));
        dialogs.push(edge.response().unwrap().1.unwrap());
    }
    edge.receive(&response(&invite, 180, "b4", ""));
    assert_eq!(edge.dropped(), [DropReason::Full]);
    assert_eq!(edge.response(), Some((180, None)), "reported all the same");
    for (tag, dialog) in ["b1", "b3"].into_iter().zip([dialogs[0], dialogs[2]]) {
        edge.receive(&response(&invite, 200, tag, ""));
        assert_eq!(edge.response(), Some((200, Some(dialog))));
        edge.endpoint.ack(edge.now, dialog, None);
        edge.drain();
        assert_eq!(to_tag(&edge.one()), tag);
    }
    edge.pass(T1 * 64);
    assert_eq!(edge.endpoint.counts().dialogs, 2, "the one that never answered is gone with timer M");
}

#[test]
fn a_dialog_table_that_is_full_takes_no_second_fork() {
    let mut few = config(1);
    few.limits.dialogs = 1;
    let mut edge = Edge::with(few, Transport::Udp);
    let (_, invite) = edge.invite();
    edge.receive(&response(&invite, 180, "b1", ""));
    assert!(edge.response().is_some(), "its place was kept");
    edge.receive(&response(&invite, 180, "b2", ""));
    assert_eq!(edge.dropped(), [DropReason::Full]);
}

#[test]
fn an_answer_takes_the_place_of_an_early_dialog() {
    let mut few = config(1);
    few.limits.forks = 2;
    let mut edge = Edge::with(few, Transport::Udp);
    let (_, invite) = edge.invite();
    for tag in ["b1", "b2"] {
        edge.receive(&response(&invite, 180, tag, ""));
    }
    edge.receive(&response(&invite, 200, "b3", ""));
    let (code, dialog) = edge.response().unwrap();
    assert_eq!((code, edge.endpoint.counts().dialogs), (200, 2));
    edge.endpoint.ack(edge.now, dialog.unwrap(), None);
    edge.drain();
    assert_eq!(to_tag(&edge.one()), "b3");
    edge.pass(T1 * 64);
    assert_eq!(edge.endpoint.counts().dialogs, 1);
}

#[test]
fn rfc3261_13_2_2_4_an_answer_past_the_limit_is_acknowledged_and_hung_up_on() {
    let mut few = config(1);
    few.limits.forks = 1;
    let mut edge = Edge::with(few, Transport::Udp);
    let (_, invite) = edge.invite();
    edge.receive(&response(&invite, 200, "b1", ""));
    let (_, first) = edge.response().unwrap();
    edge.endpoint.ack(edge.now, first.unwrap(), None);
    edge.drain();
    for _ in 0..2 {
        edge.receive(&response(&invite, 200, "b2", "Contact: <sip:two@198.51.100.7:5070>\r\n"));
        assert_eq!(edge.lines(), ["ACK sip:two@198.51.100.7:5070", "BYE sip:two@198.51.100.7:5070"]);
        assert!(edge.sent.iter().all(|sent| to_tag(&parse(&sent.bytes)) == "b2"));
        assert_eq!(edge.dropped(), [DropReason::Full]);
        assert_eq!((edge.response(), edge.endpoint.counts().dialogs), (None, 1));
    }
    let bye = edge.last();
    edge.receive(&response(&bye, 200, "", ""));
    assert!(edge.events.is_empty(), "no transaction waits for it");
}

#[test]
fn rfc3261_9_1_cancel_waits_for_a_provisional() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    edge.endpoint.cancel(edge.now, id);
    edge.drain();
    assert!(edge.sent.is_empty());
    edge.receive(&response(&invite, 100, "", ""));
    assert_eq!(edge.lines(), ["CANCEL sip:bob@198.51.100.7"]);
    let cancel = edge.one();
    for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId] {
        assert_eq!(value(&cancel, name), value(&invite, name));
    }
    assert_eq!(value(&cancel, HeaderName::CSeq), "1 CANCEL");
    edge.endpoint.cancel(edge.now, id);
    edge.drain();
    assert!(edge.sent.is_empty(), "once");
    edge.receive(&response(&cancel, 200, "b1", ""));
    assert!(edge.events.is_empty(), "its response is not reported");
    edge.receive(&response(&invite, 487, "b1", ""));
    assert_eq!(edge.response(), Some((487, None)));
    edge.assert_empty_after(33 * SECOND);
}

#[test]
fn rfc3261_9_1_a_cancelled_invite_ends_after_64_t1() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    edge.receive(&response(&invite, 180, "b1", ""));
    edge.endpoint.cancel(edge.now, id);
    edge.drain();
    let times = edge.times_of_sending(T1 * 64 - T1);
    assert_eq!(times, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500], "timer E");
    edge.pass(T1);
    assert!(matches!(edge.events[..], [EndpointEvent::TimedOut { id: timed }] if timed == id));
    edge.assert_empty_after(SECOND);
}

#[test]
fn a_2xx_that_crosses_the_cancel_is_told() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    edge.receive(&response(&invite, 180, "b1", ""));
    edge.endpoint.cancel(edge.now, id);
    edge.drain();
    edge.receive(&response(&invite, 200, "b1", ""));
    let (_, dialog) = edge.response().unwrap();
    edge.endpoint.ack(edge.now, dialog.unwrap(), None);
    edge.endpoint.request(edge.now, dialog.unwrap(), Method::Bye, vec![], None).unwrap();
    edge.drain();
    assert_eq!(edge.lines(), [ACK, BYE]);
}

#[test]
fn a_bye_acknowledges_first_what_was_not() {
    let mut edge = Edge::new();
    let (_, invite) = edge.invite();
    edge.receive(&response(&invite, 200, "b1", ""));
    let (_, dialog) = edge.response().unwrap();
    edge.endpoint.request(edge.now, dialog.unwrap(), Method::Bye, vec![], None).unwrap();
    edge.drain();
    assert_eq!(edge.lines(), [ACK, BYE]);
    assert_eq!(edge.endpoint.counts().dialogs, 0);
}

#[test]
fn an_abandoned_invite_is_silent_and_a_late_provisional_is_cancelled() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    edge.pass(4 * SECOND);
    edge.endpoint.abandon(edge.now, id);
    edge.drain();
    assert!(edge.times_of_sending(20 * SECOND).is_empty(), "no further retransmission");
    edge.receive(&response(&invite, 180, "b1", ""));
    assert_eq!(edge.lines(), ["CANCEL sip:bob@198.51.100.7"]);
    let cancel = edge.one();
    assert!(edge.events.is_empty());
    edge.receive(&response(&cancel, 200, "b1", ""));
    edge.receive(&response(&invite, 487, "b1", ""));
    assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"]);
    assert!(edge.events.is_empty());
    edge.assert_empty_after(33 * SECOND);
}

#[test]
fn an_abandoned_invite_hangs_up_on_a_late_2xx() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    edge.endpoint.abandon(edge.now, id);
    edge.drain();
    edge.receive(&response(&invite, 200, "b1", ""));
    assert_eq!(edge.lines(), [ACK, BYE]);
    let bye = edge.last();
    assert!(edge.events.is_empty());
    edge.receive(&response(&invite, 200, "b1", ""));
    assert_eq!(edge.lines(), [ACK]);
    edge.receive(&response(&bye, 200, "", ""));
    assert!(edge.events.is_empty());
    edge.assert_empty_after(33 * SECOND);
}

#[test]
fn an_abandoned_invite_without_any_answer_ends_with_timer_b() {
    let mut edge = Edge::new();
    let (id, _) = edge.invite();
    edge.endpoint.abandon(edge.now, id);
    edge.pass(T1 * 64);
    assert!(edge.events.is_empty() && edge.sent.is_empty());
    edge.assert_empty_after(SECOND);
}

#[test]
fn abandoning_a_ringing_or_answered_invite_ends_it_silently() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    edge.receive(&response(&invite, 180, "b1", ""));
    edge.endpoint.abandon(edge.now, id);
    edge.drain();
    assert_eq!(edge.lines(), ["CANCEL sip:bob@198.51.100.7"]);

    edge = Edge::new();
    let (id, invite) = edge.invite();
    edge.receive(&response(&invite, 200, "b1", ""));
    edge.endpoint.abandon(edge.now, id);
    edge.drain();
    assert_eq!(edge.lines(), [ACK, BYE]);
    assert!(edge.events.is_empty());
}

#[test]
fn a_re_invite_takes_a_new_target_and_its_2xx_is_acknowledged() {
    let mut edge = Edge::new();
    let (dialog, _) = edge.placed_call("");
    let id =
        edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], Some(MessageBody::sdp("v=0\r\n"))).unwrap();
    edge.drain();
    let invite = edge.one();
    assert_eq!(value(&invite, HeaderName::CSeq), "2 INVITE");
    assert_eq!(to_tag(&invite), "b1");
    edge.receive(&response(&invite, 200, "", "Contact: <sip:bob@198.51.100.7:5090>\r\n"));
    assert_eq!(edge.response(), Some((200, Some(dialog))));
    assert_eq!(edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], None), None, "not acknowledged yet");
    edge.endpoint.ack(edge.now, dialog, None);
    edge.drain();
    assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7:5090"]);
    assert_eq!(edge.sent[0].what.client, Some(id));
    edge.receive(&response(&invite, 200, "", ""));
    assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7:5090"], "its repetition");
    assert!(edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], None).is_some());
}

#[test]
fn rfc3261_14_1_a_refused_re_invite_leaves_the_dialog_and_may_be_tried_again() {
    let mut edge = Edge::new();
    let (dialog, _) = edge.placed_call("");
    edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], None).unwrap();
    edge.drain();
    let invite = edge.one();
    edge.receive(&response(&invite, 491, "", ""));
    assert_eq!(edge.lines(), [ACK]);
    assert_eq!(edge.response(), Some((491, Some(dialog))));
    assert!(edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], None).is_some());
}

#[test]
fn a_bye_ends_our_open_re_invite_and_a_late_2xx_is_still_acknowledged() {
    let mut edge = Edge::new();
    let (dialog, _) = edge.placed_call("");
    edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], None).unwrap();
    edge.drain();
    let invite = edge.one();
    edge.receive(&response(&invite, 100, "", ""));
    edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).unwrap();
    edge.drain();
    assert_eq!(edge.lines(), [BYE, CANCEL]);
    edge.receive(&response(&invite, 200, "", ""));
    assert_eq!(edge.lines(), [ACK]);
    assert_eq!(edge.response(), Some((200, None)), "its end is reported, nothing is left to do");
    edge.receive(&response(&invite, 200, "", ""));
    assert_eq!(edge.lines(), [ACK]);
    assert!(edge.events.is_empty());
    edge.assert_empty_after(T1 * 130);
}

#[test]
fn a_bye_withdraws_our_unanswered_re_invite_and_its_end_is_told() {
    let mut edge = Edge::new();
    let (dialog, invite) = edge.placed_call("");
    let id = edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], None).unwrap();
    let local_tag = String::from_utf8(invite.from_tag().unwrap().to_vec()).unwrap();
    let bye = request("BYE", 1, "z9hG4bKb", &local_tag, "").replace(";tag=a1", ";tag=b1");
    edge.receive(&bye.replace("call-1", &value(&invite, HeaderName::CallId)));
    assert!(matches!(edge.events[..], [EndpointEvent::Request { method: Method::Bye, .. }]));
    edge.pass(T1 * 64);
    assert!(edge.sent.is_empty(), "no retransmission into a dialog that has ended");
    assert!(matches!(edge.events[..], [EndpointEvent::TimedOut { id: timed }] if timed == id));
    edge.assert_empty_after(T1);
}

const CANCEL: &str = "CANCEL sip:bob@198.51.100.7:5060";

#[test]
fn rfc3261_17_1_4_a_failing_transport_ends_what_waits_there() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    let failed = edge.sent[0].flow;
    let other = flow(Transport::Udp, "198.51.100.8:5060");
    edge.endpoint.handle_input(edge.now, EndpointInput::TransportFailed { flow: other, party: None, was_up: false });
    let listener = trunkgate_sip::Flow { listener: ListenerId(1), ..failed };
    edge.endpoint.handle_input(edge.now, EndpointInput::TransportFailed { flow: listener, party: None, was_up: false });
    edge.drain();
    let party = Some(SipPartyId(99));
    edge.endpoint.handle_input(edge.now, EndpointInput::TransportFailed { flow: failed, party, was_up: false });
    edge.drain();
    assert!(edge.events.is_empty(), "another way");
    edge.endpoint.handle_input(edge.now, EndpointInput::TransportFailed { flow: failed, party: None, was_up: false });
    edge.drain();
    assert!(matches!(edge.events[..], [EndpointEvent::TransportFailed { id: ended }] if ended == id));
    edge.assert_empty_after(SECOND);
    assert!(invite.via().is_some());

    let (_, invite) = edge.invite();
    edge.receive(&response(&invite, 180, "b1", ""));
    edge.endpoint.handle_input(edge.now, EndpointInput::TransportFailed { flow: failed, party: None, was_up: false });
    edge.drain();
    assert!(edge.events.is_empty(), "nothing is being sent while it rings");
}

/// Anyone can forge an ICMP error for a datagram to a well-known port.
#[test]
fn rfc3261_18_4_an_icmp_error_is_believed_that_quotes_the_branch() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    let (_, other) = edge.invite();
    let (failed, bytes) = (edge.flow, other.as_bytes());
    let sent = Bytes::copy_from_slice(invite.as_bytes());
    let branch = value(&invite, HeaderName::Via).rsplit_once(";branch=").unwrap().1.to_owned();
    let end =
        String::from_utf8(sent.to_vec()).unwrap().find(&branch).unwrap() + branch.split(';').next().unwrap().len();
    let mut wrong = bytes.to_vec();
    wrong[end - 1] ^= 1;
    let elsewhere = flow(Transport::Udp, "198.51.100.8:5060");
    for (flow, quoted) in [
        (failed, Bytes::new()),
        (failed, sent.slice(..end - 1)),
        (failed, wrong.into()),
        (elsewhere, sent.clone()),
        (trunkgate_sip::Flow { listener: ListenerId(1), ..failed }, sent.clone()),
    ] {
        edge.endpoint.handle_input(edge.now, EndpointInput::Unreachable { flow, quoted });
        edge.drain();
        assert!(edge.events.is_empty());
    }
    edge.endpoint.handle_input(edge.now, EndpointInput::Unreachable { flow: failed, quoted: sent.slice(..end) });
    edge.drain();
    assert!(
        matches!(edge.events[..], [EndpointEvent::TransportFailed { id: ended }] if ended == id),
        "the other goes on"
    );
}

#[test]
fn a_lost_connection_ends_a_ringing_call_and_a_dialog_looks_for_another_way() {
    let mut edge = Edge::with(config(1), Transport::Tcp);
    let (dialog, _) = edge.placed_call("Contact: <sip:bob@198.51.100.7:5070;transport=tcp>\r\n");
    let (id, invite) = edge.invite();
    edge.receive(&response(&invite, 180, "b2", ""));
    assert_eq!(edge.endpoint.dialog_flow(dialog).unwrap().connection, edge.flow.connection);
    let lost = edge.flow;
    edge.endpoint.handle_input(edge.now, EndpointInput::TransportFailed { flow: lost, party: None, was_up: false });
    edge.drain();
    assert!(matches!(edge.events[..], [EndpointEvent::TransportFailed { id: ended }] if ended == id));
    edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).unwrap();
    edge.drain();
    let way = edge.sent[0].flow;
    assert_eq!((way.remote, way.connection), (crate::peer::address("198.51.100.7:5070"), None));
}

#[test]
fn what_went_by_a_connection_that_was_lost_unheard_is_sent_once_more_by_another() {
    let mut edge = Edge::with(config(1), Transport::Tcp);
    let (dialog, _) = edge.placed_call("Contact: <sip:bob@198.51.100.7:5070;transport=tcp>\r\n");
    let (id, invite) = edge.invite();
    edge.endpoint.request(edge.now, dialog, Method::Info, vec![], None).unwrap();
    edge.drain();
    let info = edge.sent.last().unwrap().bytes.clone();
    edge.sent.clear();
    let lost = EndpointInput::TransportFailed { flow: edge.flow, party: None, was_up: true };
    edge.endpoint.handle_input(edge.now, lost);
    edge.drain();
    assert!(edge.events.is_empty(), "{:?}", edge.events);
    let sent: Vec<_> = edge.sent.drain(..).map(|sent| (sent.flow.remote, sent.flow.connection, sent.bytes)).collect();
    let target = crate::peer::address("198.51.100.7:5070");
    assert_eq!(sent, [(edge.flow.remote, None, invite.as_bytes().clone()), (target, None, info)]);
    // The request is resent only once.
    let lost = EndpointInput::TransportFailed {
        flow: trunkgate_sip::Flow { connection: Some(trunkgate_sip::ConnectionId(99)), ..edge.flow },
        party: None,
        was_up: true,
    };
    edge.endpoint.handle_input(edge.now, lost);
    edge.drain();
    assert!(
        matches!(edge.events[..], [EndpointEvent::TransportFailed { id: ended }] if ended == id),
        "{:?}",
        edge.events
    );
}

#[test]
fn options_of_ours_are_answered_or_time_out() {
    let mut edge = Edge::new();
    let id = edge.endpoint.options(edge.now, edge.flow, LOCAL, SipPartyId(1), "sip:198.51.100.7");
    edge.drain();
    assert_eq!(edge.lines(), ["OPTIONS sip:198.51.100.7"]);
    let options = edge.one();
    assert_eq!(value(&options, HeaderName::Allow), "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE");
    assert_eq!(value(&options, HeaderName::Accept), "application/sdp");
    assert_eq!(edge.times_of_sending(8 * SECOND), [500, 1_500, 3_500, 7_500]);
    edge.receive(&response(&options, 200, "b1", ""));
    assert!(
        matches!(edge.events[..], [EndpointEvent::Response { id: answered, code: 200, dialog: None, .. }] if answered == id)
    );
    edge.receive(&response(&options, 200, "b1", ""));
    assert!(edge.events.is_empty(), "absorbed");
    edge.assert_empty_after(6 * SECOND);
    let id = edge.endpoint.options(edge.now, edge.flow, LOCAL, SipPartyId(1), "sip:198.51.100.7");
    edge.pass(T1 * 64);
    assert!(matches!(edge.events[..], [EndpointEvent::TimedOut { id: timed }] if timed == id));
    assert_eq!(edge.endpoint.counts(), EndpointCounts::default());
}

#[test]
fn what_goes_out_says_what_it_is() {
    let mut edge = Edge::new();
    let (id, invite) = edge.invite();
    let what = edge.sent[0].what;
    assert_eq!((what.method, what.code, what.party, what.again), (Method::Invite, None, SipPartyId(1), false));
    assert_eq!((what.client, what.server), (Some(id), None));
    edge.pass(T1);
    assert!(edge.sent[0].what.again);
    edge.receive(&response(&invite, 486, "b1", ""));
    assert_eq!((edge.sent[0].what.method, edge.sent[0].what.again), (Method::Ack, false));
    assert_eq!(value(&parse(&edge.sent[0].bytes), HeaderName::MaxForwards), "70");
}
