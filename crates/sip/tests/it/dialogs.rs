//! Dialogs: route sets, strict and loose routing, targets, and restoring from a snapshot (RFC 3261 §12, §16.12).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::peer::{Edge, address, config, flow, request, response, to_tag, value};
use trunkgate_sip::header::Replaces;
use trunkgate_sip::{DialogId, EndpointEvent, HeaderName, Method, ReplacedDialog, SipPartyId, Transport};

/// Sends a BYE. Returns its start line, Route values and destination.
fn bye(edge: &mut Edge, dialog: DialogId) -> (String, Vec<String>, String) {
    edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).unwrap();
    edge.drain();
    let message = edge.one();
    let routes = message.headers(HeaderName::Route).map(|r| String::from_utf8(r.to_vec()).unwrap()).collect();
    (edge.lines()[0].clone(), routes, edge.sent[0].flow.remote.to_string())
}

#[test]
fn rfc3261_12_1_1_a_callee_keeps_record_route_in_its_order() {
    let mut edge = Edge::new();
    let routes =
        "Record-Route: <sip:198.51.100.3;lr;r2=on>, <sip:10.0.0.3;lr;r2=on>\r\nRecord-Route: <sip:p1.example;lr>\r\n";
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", routes));
    let id = edge.invited();
    let dialog = edge.respond(id, 200).unwrap();
    let answer = edge.last();
    assert_eq!(answer.headers(HeaderName::RecordRoute).count(), 2, "echoed");
    let tag = to_tag(&answer);
    edge.receive(&request("ACK", 1, "z9hG4bKa", &tag, ""));
    let (line, sent, to) = bye(&mut edge, dialog);
    assert_eq!(line, "BYE sip:alice@198.51.100.7:5060");
    assert_eq!(sent, ["<sip:198.51.100.3;lr;r2=on>", "<sip:10.0.0.3;lr;r2=on>", "<sip:p1.example;lr>"]);
    assert_eq!(to, "198.51.100.3:5060", "double Record-Route: the entry on our side first");
}

#[test]
fn rfc3261_12_1_2_a_caller_turns_record_route_round() {
    let mut edge = Edge::new();
    let (dialog, _) = edge.placed_call("Record-Route: <sip:far.example;lr>, <sip:198.51.100.3:5080;lr>\r\n");
    let (line, sent, to) = bye(&mut edge, dialog);
    assert_eq!(line, "BYE sip:bob@198.51.100.7:5060");
    assert_eq!(sent, ["<sip:198.51.100.3:5080;lr>", "<sip:far.example;lr>"]);
    assert_eq!(to, "198.51.100.3:5080");
}

#[test]
fn rfc3261_13_2_2_4_the_2xx_decides_over_the_route_set() {
    let mut edge = Edge::new();
    let (_, invite) = edge.invite();
    edge.receive(&response(&invite, 180, "b1", "Record-Route: <sip:old.example;lr>\r\n"));
    edge.receive(&response(&invite, 200, "b1", "Record-Route: <sip:new.example;lr>\r\n"));
    let (_, dialog) = edge.response().unwrap();
    edge.endpoint.ack(edge.now, dialog.unwrap(), None);
    edge.drain();
    assert_eq!(value(&edge.one(), HeaderName::Route), "<sip:new.example;lr>");
}

#[test]
fn rfc3261_12_2_1_1_a_strict_router_stands_in_the_request_line() {
    let mut edge = Edge::new();
    let strict = "Record-Route: <sip:p2.example;lr>, <sip:198.51.100.3;method=INVITE;maddr=h?x=y>\r\n";
    let (dialog, _) = edge.placed_call(strict);
    let (line, sent, to) = bye(&mut edge, dialog);
    assert_eq!(line, "BYE sip:198.51.100.3;maddr=h");
    assert_eq!(sent, ["<sip:p2.example;lr>", "<sip:bob@198.51.100.7:5060>"]);
    assert_eq!(to, "198.51.100.3:5060");
}

#[test]
fn rfc3261_19_1_1_headers_of_a_contact_stay_out_of_the_request_line() {
    let mut edge = Edge::new();
    let (dialog, _) = edge.placed_call("Contact: <sip:bob@198.51.100.7;method=REFER;x=1?Route=evil>\r\n");
    assert_eq!(bye(&mut edge, dialog).0, "BYE sip:bob@198.51.100.7;x=1");
}

#[test]
fn a_route_set_that_is_too_long_counts_as_none() {
    let long = (0..17).map(|n| format!("<sip:p{n}.example;lr>")).collect::<Vec<_>>().join(", ");
    let mut edge = Edge::new();
    let (dialog, _) = edge.placed_call(&format!("Record-Route: {long}\r\n"));
    assert!(bye(&mut edge, dialog).1.is_empty());
}

#[test]
fn a_peer_behind_nat_is_answered_where_it_was_heard() {
    let mut edge = Edge::new();
    edge.flow = flow(Transport::Udp, "203.0.113.9:40123");
    edge.receive(&request("INVITE", 1, "z9hG4bKi;rport", "", "Contact: <sip:alice@192.168.1.5>\r\n"));
    let id = edge.invited();
    let dialog = edge.respond(id, 200).unwrap();
    let tag = to_tag(&edge.last());
    edge.receive(&request("ACK", 1, "z9hG4bKa", &tag, ""));
    let (line, _, to) = bye(&mut edge, dialog);
    assert_eq!((line.as_str(), to.as_str()), ("BYE sip:alice@192.168.1.5", "203.0.113.9:40123"));
}

#[test]
fn a_2xx_without_to_tag_or_contact_makes_a_dialog_too() {
    let mut edge = Edge::new();
    let (_, invite) = edge.invite();
    edge.receive(&response(&invite, 200, "", "").replace("Contact: <sip:bob@198.51.100.7:5060>\r\n", ""));
    let dialog = edge.response().unwrap().1.unwrap();
    edge.endpoint.ack(edge.now, dialog, None);
    edge.drain();
    assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"]);
    assert!(edge.one().to_tag().is_none());
    let local_tag = String::from_utf8(invite.from_tag().unwrap().to_vec()).unwrap();
    let bye = request("BYE", 7, "z9hG4bKb", &local_tag, "").replace(";tag=a1", "");
    edge.receive(&bye.replace("call-1", &value(&invite, HeaderName::CallId)));
    assert_eq!(edge.lines(), ["200 OK"]);
}

#[test]
fn cseq_counts_up_on_our_side_whatever_the_far_end_does() {
    let mut edge = Edge::new();
    let (dialog, tag) = edge.answered_call();
    edge.receive(&request("OPTIONS", 500, "z9hG4bKo", &tag, ""));
    for expected in ["1 OPTIONS", "2 OPTIONS"] {
        edge.endpoint.request(edge.now, dialog, Method::Options, vec![], None).unwrap();
        edge.drain();
        assert_eq!(value(&edge.one(), HeaderName::CSeq), expected);
    }
}

#[test]
fn methods_that_no_dialog_sends_are_not_sent() {
    let mut edge = Edge::new();
    let (dialog, _) = edge.answered_call();
    for method in [Method::Ack, Method::Cancel, Method::Other] {
        assert_eq!(edge.endpoint.request(edge.now, dialog, method, vec![], None), None);
    }
    assert_eq!(edge.endpoint.request(edge.now, DialogId(999), Method::Bye, vec![], None), None);
    edge.receive(&request("INVITE", 1, "z9hG4bKe", "", "").replace("call-1", "call-2"));
    let id = edge.invited();
    let early = edge.respond(id, 180).unwrap();
    assert_eq!(edge.endpoint.request(edge.now, early, Method::Bye, vec![], None), None, "answer it instead");
}

#[test]
fn a_restored_dialog_is_answered_and_goes_on_counting() {
    let mut edge = Edge::with(config(1), Transport::Tcp);
    let (dialog, tag) = edge.answered_call();
    edge.endpoint.request(edge.now, dialog, Method::Options, vec![], None).unwrap();
    edge.drain();
    let mut snapshot = edge.endpoint.snapshot_dialog(dialog).unwrap();
    let flow = snapshot.flow;
    assert!(flow.connection.is_some());
    let mut with_it = Edge::with(config(1), Transport::Tcp);
    let restored = with_it.endpoint.restore_dialog(snapshot.clone());
    with_it.endpoint.request(with_it.now, restored, Method::Info, vec![], None).unwrap();
    with_it.drain();
    assert_eq!((with_it.sent[0].flow, with_it.endpoint.are_in_use(&[flow])), (flow, vec![true]));
    // Another process may not have it.
    snapshot.flow.connection = None;

    let mut second = Edge::with(config(1), Transport::Udp);
    let restored = second.endpoint.restore_dialog(snapshot.clone());
    assert_eq!(second.endpoint.snapshot_dialog(restored), Some(snapshot.clone()));
    second.receive(&request("BYE", 1, "z9hG4bKb", "other", ""));
    assert_eq!(second.lines(), ["481 Call/Transaction Does Not Exist"]);
    second.receive(&request("BYE", 2, "z9hG4bKb", &tag, ""));
    assert_eq!(second.lines(), ["200 OK"]);
    assert!(matches!(second.events[..], [EndpointEvent::Request { dialog: Some(d), .. }] if d == restored));

    let mut third = Edge::with(config(1), Transport::Udp);
    let restored = third.endpoint.restore_dialog(snapshot);
    third.endpoint.request(third.now, restored, Method::Bye, vec![], None).unwrap();
    third.drain();
    let bye = third.one();
    assert_eq!(value(&bye, HeaderName::CSeq), "2 BYE");
    assert_eq!((to_tag(&bye).as_str(), third.sent[0].flow.remote), ("a1", address("198.51.100.7:5060")));
    assert_eq!(bye.from_tag().unwrap(), tag.as_bytes());
}

#[test]
fn a_dialog_that_is_not_settled_has_no_snapshot() {
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let id = edge.invited();
    let dialog = edge.respond(id, 180).unwrap();
    assert_eq!(edge.endpoint.snapshot_dialog(dialog), None, "early");
    edge.respond(id, 200);
    assert_eq!(edge.endpoint.snapshot_dialog(dialog), None, "our 2xx is not acknowledged");
    let (_, invite) = edge.invite();
    edge.receive(&response(&invite, 200, "b1", ""));
    let (_, dialog) = edge.response().unwrap();
    assert_eq!(edge.endpoint.snapshot_dialog(dialog.unwrap()), None, "theirs neither");
}

#[test]
fn rfc3891_3_a_dialog_is_found_by_its_own_party_alone_and_remembered_when_it_has_ended() {
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let id = edge.invited();
    edge.respond(id, 180);
    let tag = to_tag(&edge.last());
    let call_id = value(&edge.last(), HeaderName::CallId).to_owned();
    let from = value(&edge.last(), HeaderName::From).to_owned();
    let from_tag = from.split(";tag=").nth(1).unwrap();
    let named =
        |to: &str, from: &str| Replaces::parse(format!("{call_id};to-tag={to};from-tag={from}").as_bytes()).unwrap();
    let (right, other) = (named(&tag, from_tag), SipPartyId(2));
    assert!(matches!(edge.endpoint.replaced_dialog(SipPartyId(1), &right), Some(ReplacedDialog::Early(_))));
    let dialog = edge.respond(id, 200).unwrap();
    assert_eq!(edge.endpoint.replaced_dialog(SipPartyId(1), &right), Some(ReplacedDialog::Confirmed(dialog)));
    for wrong in [named(from_tag, &tag), named(&tag, "0"), named("0", from_tag)] {
        assert_eq!(edge.endpoint.replaced_dialog(SipPartyId(1), &wrong), None);
    }
    assert_eq!(edge.endpoint.replaced_dialog(other, &right), None, "a stranger");
    edge.receive(&request("ACK", 1, "z9hG4bKa", &tag, ""));
    edge.receive(&request("BYE", 2, "z9hG4bKb", &tag, ""));
    assert_eq!(edge.endpoint.replaced_dialog(SipPartyId(1), &right), Some(ReplacedDialog::Ended));
    assert_eq!(edge.endpoint.replaced_dialog(other, &right), None, "nor does an unknown source get a response");
}

#[test]
fn only_so_many_dialogs_are_remembered() {
    let mut edge = Edge::new();
    let mut names = Vec::new();
    for number in 0..=trunkgate_sip::limits::ENDED_DIALOGS {
        let (dialog, invite) = edge.placed_call("");
        let [call_id, from] = [HeaderName::CallId, HeaderName::From].map(|name| value(&invite, name).to_owned());
        names.push(format!("{call_id};to-tag={};from-tag=b1", from.split(";tag=").nth(1).unwrap()));
        edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).unwrap();
        edge.drain();
        let bye = edge.last();
        edge.receive(&response(&bye, 200, "", ""));
        assert_eq!(edge.endpoint.counts().dialogs, 0, "{number}");
    }
    let mut find =
        |name: &String| edge.endpoint.replaced_dialog(SipPartyId(1), &Replaces::parse(name.as_bytes()).unwrap());
    assert_eq!(find(&names[0]), None);
    assert_eq!(find(&names[1]), Some(ReplacedDialog::Ended));
    assert_eq!(find(names.last().unwrap()), Some(ReplacedDialog::Ended));
}
