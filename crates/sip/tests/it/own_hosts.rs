//! Host names that the edge shows in place of its address: in every Contact towards a party, and in From of OPTIONS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::peer::{Edge, LOCAL, request, response, to_tag, value};
use trunkgate_sip::{EndpointEvent, HeaderName, MessageBody, Method, OwnHosts, SipPartyId};

const CONTACT: &str = "<sip:edge@sbc.example.com:5060>";

/// Creates an edge that shows a host name to party 1.
fn named() -> Edge {
    let mut edge = Edge::new();
    let hosts = OwnHosts { contact: Some("sbc.example.com".into()), from: None };
    edge.endpoint.show_hosts(SipPartyId(1), hosts);
    edge
}

#[test]
fn requests_of_ours_have_the_name_in_contact() {
    let mut edge = named();
    let (dialog, invite) = edge.placed_call("");
    assert_eq!(value(&invite, HeaderName::Contact), CONTACT);
    // The layer above writes the caller's own address.
    assert!(value(&invite, HeaderName::From).starts_with("\"Alice\" <sip:alice@192.0.2.1>;tag="));
    for method in [Method::Invite, Method::Refer, Method::Notify] {
        let body = (method == Method::Invite).then(|| MessageBody::sdp("v=0\r\n"));
        edge.endpoint.request(edge.now, dialog, method, vec![], body).unwrap();
        edge.drain();
        assert_eq!(value(&edge.one(), HeaderName::Contact), CONTACT, "{method}");
    }
}

#[test]
fn answers_of_ours_have_the_name_in_contact() {
    let mut edge = named();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let id = edge.invited();
    edge.respond(id, 180);
    assert_eq!(value(&edge.last(), HeaderName::Contact), CONTACT);
    edge.respond(id, 200);
    assert_eq!(value(&edge.last(), HeaderName::Contact), CONTACT);
    let tag = to_tag(&edge.last());
    edge.receive(&request("ACK", 1, "z9hG4bKa", &tag, ""));
    for (cseq, method) in [(2, "INVITE"), (3, "UPDATE")] {
        edge.receive(&request(method, cseq, &format!("z9hG4bK{cseq}"), &tag, ""));
        let EndpointEvent::Request { id: Some(id), .. } = edge.events[0] else { panic!("{:?}", edge.events) };
        edge.respond(id, 200);
        assert_eq!(value(&edge.last(), HeaderName::Contact), CONTACT, "{method}");
        edge.receive(&request("ACK", cseq, &format!("z9hG4bKa{cseq}"), &tag, ""));
    }
}

#[test]
fn options_have_the_name_in_contact_and_from() {
    let options = |edge: &mut Edge, party| {
        edge.endpoint.options(edge.now, edge.flow, LOCAL, party, "sip:198.51.100.7");
        edge.drain();
        let options = edge.one();
        (value(&options, HeaderName::Contact), value(&options, HeaderName::From))
    };
    let mut edge = named();
    let (contact, from) = options(&mut edge, SipPartyId(1));
    assert_eq!(contact, "<sip:sbc.example.com:5060>");
    assert!(from.starts_with("<sip:sbc.example.com:5060>;tag="), "{from}");
    let hosts = OwnHosts { contact: Some("sbc.example.com".into()), from: Some("example.com".into()) };
    edge.endpoint.show_hosts(SipPartyId(1), hosts);
    let (contact, from) = options(&mut edge, SipPartyId(1));
    assert_eq!(contact, "<sip:sbc.example.com:5060>");
    assert!(from.starts_with("<sip:example.com:5060>;tag="), "{from}");
    // Neither other parties nor this one without the setting see the name.
    assert_eq!(options(&mut edge, SipPartyId(2)).0, "<sip:192.0.2.1:5060>");
    edge.endpoint.show_hosts(SipPartyId(1), OwnHosts::default());
    assert_eq!(options(&mut edge, SipPartyId(1)).0, "<sip:192.0.2.1:5060>");
}

#[test]
fn a_dialog_that_stands_gets_the_name_with_its_next_request() {
    let mut edge = Edge::new();
    let (dialog, invite) = edge.placed_call("");
    assert_eq!(value(&invite, HeaderName::Contact), "<sip:edge@192.0.2.1:5060>");
    let hosts = OwnHosts { contact: Some("sbc.example.com".into()), from: None };
    edge.endpoint.show_hosts(SipPartyId(1), hosts);
    edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], Some(MessageBody::sdp("v=0\r\n"))).unwrap();
    edge.drain();
    let again = edge.one();
    assert_eq!(value(&again, HeaderName::Contact), CONTACT);
    edge.receive(&response(&again, 200, "", ""));
}
