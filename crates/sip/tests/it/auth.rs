//! Digest authentication in requests and responses: RFC 3261 §22, RFC 7616, RFC 8760.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::peer::{Edge, T1, config, first_line, request, response, to_tag, value};
use trunkgate_sip::{
    Credentials, EndpointEvent, EndpointLimits, HeaderName, MessageBody, Method, SipMessage, SipPartyId, Transport,
};

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\r\n";
const PROXY: &str = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"n2\", algorithm=MD5, qop=\"auth,auth-int\"\r\n";

fn credentials(password: &str) -> Credentials {
    Credentials { username: "acme".into(), password: password.into(), realm: None }
}

fn client(transport: Transport) -> Edge {
    let mut edge = Edge::with(config(1), transport);
    edge.endpoint.set_credentials(SipPartyId(1), Some(credentials("secret")));
    edge
}

fn cseq(message: &SipMessage) -> u32 {
    message.cseq().unwrap().number
}

#[test]
fn rfc3261_22_2_challenged_invite_has_credentials() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut edge = client(transport);
        let (id, first) = edge.invite();
        assert_eq!(first.header(HeaderName::Authorization), None);
        edge.receive(&response(&first, 401, "b1", CHALLENGE));
        assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7", "INVITE sip:bob@198.51.100.7"]);
        assert!(matches!(edge.events[..], [EndpointEvent::Challenged { id: same, code: 401, .. }] if same == id));
        let again = edge.last();
        for name in [HeaderName::CallId, HeaderName::From, HeaderName::To, HeaderName::Contact, HeaderName::Allow] {
            assert_eq!(value(&again, name), value(&first, name));
        }
        assert_eq!((cseq(&again), again.body()), (2, first.body()));
        assert_ne!(value(&again, HeaderName::Via), value(&first, HeaderName::Via));
        let shown = value(&again, HeaderName::Authorization);
        assert!(shown.starts_with("Digest username=\"acme\", realm=\"r\", nonce=\"n1\", uri=\"sip:bob@198.51.100.7\""));
        assert!(shown.ends_with("qop=auth, nc=00000001"));
        assert_eq!(edge.sent[1].flow.connection, edge.flow.connection, "to where it was asked");
        // A retransmitted rejection is acknowledged and has no other effect.
        if transport == Transport::Udp {
            edge.receive(&response(&first, 401, "b1", CHALLENGE));
            assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"]);
            assert!(edge.events.is_empty());
        }
        edge.receive(&response(&again, 200, "b2", ""));
        let (code, dialog) = edge.response().unwrap();
        edge.endpoint.ack(edge.now, dialog.unwrap(), None);
        edge.drain();
        let ack = edge.last();
        assert_eq!((code, cseq(&ack)), (200, 2));
        assert_eq!(value(&ack, HeaderName::Authorization), shown, "RFC 3261 §22.1");
        edge.endpoint.request(edge.now, dialog.unwrap(), Method::Bye, vec![], None).unwrap();
        edge.drain();
        let bye = edge.last();
        assert!(cseq(&bye) == 3 && value(&bye, HeaderName::Authorization).ends_with("nc=00000002"));
        edge.receive(&response(&bye, 200, "", ""));
        edge.assert_empty_after(T1 * 130);
    }
}

#[test]
fn a_proxy_and_the_far_end_may_both_ask() {
    let mut edge = client(Transport::Udp);
    let (id, first) = edge.invite();
    edge.receive(&response(&first, 100, "", ""));
    edge.receive(&response(&first, 407, "p1", PROXY));
    let second = edge.last();
    assert!(value(&second, HeaderName::ProxyAuthorization).contains("qop=auth,"));
    edge.receive(&response(&second, 401, "b1", CHALLENGE));
    let third = edge.last();
    assert!(value(&third, HeaderName::ProxyAuthorization).ends_with("nc=00000002"));
    assert!(value(&third, HeaderName::Authorization).ends_with("nc=00000001"));
    edge.receive(&response(&third, 180, "b1", ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Response { id: same, code: 180, .. }] if same == id));
    edge.receive(&response(&third, 486, "b1", ""));
    assert_eq!(edge.response(), Some((486, None)));
    edge.assert_empty_after(T1 * 130);
}

#[test]
fn refused_credentials_end_the_request_and_a_stale_nonce_does_not() {
    let mut edge = client(Transport::Udp);
    let (id, first) = edge.invite();
    edge.receive(&response(&first, 401, "b1", CHALLENGE));
    let second = edge.last();
    edge.receive(&response(&second, 401, "b1", &CHALLENGE.replace("qop", "stale=true, qop").replace("n1", "n3")));
    let third = edge.last();
    assert!(value(&third, HeaderName::Authorization).contains("nonce=\"n3\""));
    edge.receive(&response(&third, 401, "b1", &CHALLENGE.replace("n1", "n4")));
    assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"]);
    assert!(matches!(edge.events[..], [EndpointEvent::Response { id: same, code: 401, .. }] if same == id));
    edge.assert_empty_after(T1 * 130);
}

#[test]
fn a_challenge_without_end_is_answered_a_few_times() {
    let mut edge = client(Transport::Udp);
    let (_, mut last) = edge.invite();
    let mut sent = 1;
    while edge.response().is_none() {
        let stale = CHALLENGE.replace("qop", "stale=true, qop").replace("n1", &format!("x{sent}"));
        edge.receive(&response(&last, 401, "b1", &stale));
        last = edge.last();
        sent += usize::from(last.method() == Method::Invite);
        assert!(sent < 10);
    }
    assert_eq!(sent, 4);
    edge.assert_empty_after(T1 * 130);
}

#[test]
fn nobody_but_the_party_is_answered() {
    // FreeSWITCH CVE-2021-41158: a challenge by another party must not obtain a response computed with our password.
    let mut edge = Edge::new();
    edge.endpoint.set_credentials(SipPartyId(2), Some(credentials("secret")));
    let (id, first) = edge.invite();
    edge.receive(&response(&first, 407, "b1", PROXY));
    assert!(matches!(edge.events[..], [EndpointEvent::Response { id: same, code: 407, .. }] if same == id));
    assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"]);
    let mut edge = client(Transport::Udp);
    let (_, first) = edge.invite();
    edge.party = SipPartyId(2);
    edge.receive(&response(&first, 407, "b1", PROXY));
    assert!(edge.sent.is_empty(), "a response of another party");
    edge.party = SipPartyId(1);
    edge.receive(&response(&first, 407, "b1", PROXY));
    assert!(value(&edge.last(), HeaderName::ProxyAuthorization).contains("realm=\"p\""));
    // Another address of the party has sent no challenge.
    edge.flow = crate::peer::flow(Transport::Udp, "198.51.100.8:5060");
    let (_, elsewhere) = edge.invite();
    assert_eq!(elsewhere.header(HeaderName::ProxyAuthorization), None);
}

#[test]
fn requests_in_a_dialog_are_repeated_with_its_next_number() {
    let mut edge = client(Transport::Udp);
    let (dialog, tag) = edge.answered_call();
    let update = edge.endpoint.request(edge.now, dialog, Method::Invite, vec![], None).unwrap();
    edge.drain();
    let first = edge.one();
    edge.receive(&response(&first, 407, "", PROXY));
    let again = edge.last();
    assert_eq!((cseq(&first), cseq(&again), to_tag(&again)), (1, 2, to_tag(&first)));
    edge.receive(&response(&again, 200, "", ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Response { id, code: 200, .. }] if id == update));
    edge.endpoint.ack(edge.now, dialog, None);
    edge.drain();
    assert_eq!(cseq(&edge.last()), 2);
    let bye = edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).unwrap();
    edge.drain();
    let first = edge.one();
    assert!(value(&first, HeaderName::ProxyAuthorization).ends_with("nc=00000002"), "without being asked");
    edge.receive(&response(&first, 407, "", &PROXY.replace("n2", "n9")));
    let again = edge.last();
    assert_eq!((first_line(again.as_bytes()), cseq(&again)), ("BYE sip:bob@198.51.100.7:5060".into(), 4));
    assert!(value(&again, HeaderName::ProxyAuthorization).contains("nonce=\"n9\""));
    edge.receive(&response(&again, 200, "", ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Response { id, code: 200, .. }] if id == bye));
    assert!(!tag.is_empty());
    edge.assert_empty_after(T1 * 130);
}

#[test]
fn a_repeated_request_keeps_the_parameters_of_its_content_type() {
    let mut edge = client(Transport::Udp);
    let (_, invite) = edge.invite();
    edge.receive(&response(&invite, 200, "b1", ""));
    let (_, dialog) = edge.response().unwrap();
    edge.endpoint.ack(edge.now, dialog.unwrap(), None);
    let parts = MessageBody { content_type: "multipart/mixed;boundary=\"x\"".into(), bytes: "--x--".into() };
    edge.endpoint.request(edge.now, dialog.unwrap(), Method::Info, vec![], Some(parts)).unwrap();
    edge.drain();
    let first = edge.last();
    edge.receive(&response(&first, 401, "", CHALLENGE));
    let again = edge.last();
    assert!(!value(&again, HeaderName::Authorization).is_empty());
    assert_eq!(value(&again, HeaderName::ContentType), "multipart/mixed;boundary=\"x\"");
    assert_eq!(again.body(), first.body());
}

#[test]
fn a_withdrawn_invite_is_not_repeated() {
    let mut edge = client(Transport::Udp);
    let (id, first) = edge.invite();
    edge.receive(&response(&first, 100, "", ""));
    edge.endpoint.cancel(edge.now, id);
    edge.drain();
    edge.receive(&response(&first, 401, "b1", CHALLENGE));
    assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"]);
    assert_eq!(edge.response(), Some((401, None)));
    let mut edge = client(Transport::Udp);
    let (id, first) = edge.invite();
    edge.receive(&response(&first, 180, "b1", ""));
    edge.endpoint.cancel(edge.now, id);
    edge.drain();
    let cancel = edge.last();
    assert_eq!(cancel.method(), Method::Cancel);
    edge.receive(&response(&cancel, 401, "b1", CHALLENGE));
    assert!(edge.sent.is_empty() && edge.events.is_empty(), "nor is its CANCEL (RFC 3261 §22.1)");
    let mut edge = client(Transport::Udp);
    let (id, first) = edge.invite();
    edge.endpoint.abandon(edge.now, id);
    edge.receive(&response(&first, 401, "b1", CHALLENGE));
    assert!(edge.events.is_empty());
    assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"]);
    edge.assert_empty_after(T1 * 130);
}

#[test]
fn options_are_repeated_and_a_full_table_ends_them() {
    let mut edge = client(Transport::Udp);
    let id = edge.endpoint.options(edge.now, edge.flow, crate::peer::LOCAL, SipPartyId(1), "sip:198.51.100.7");
    edge.drain();
    let first = edge.one();
    edge.receive(&response(&first, 401, "b1", CHALLENGE));
    let again = edge.last();
    assert_eq!((again.method(), cseq(&again)), (Method::Options, 2));
    edge.receive(&response(&again, 200, "b1", ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Response { id: same, code: 200, .. }] if same == id));
    edge.assert_empty_after(T1 * 130);
    let small = trunkgate_sip::EndpointConfig {
        limits: EndpointLimits { clients: 1, ..EndpointLimits::default() },
        ..config(1)
    };
    let mut edge = Edge::with(small, Transport::Udp);
    edge.endpoint.set_credentials(SipPartyId(1), Some(credentials("secret")));
    let (_, first) = edge.invite();
    edge.receive(&response(&first, 401, "b1", CHALLENGE));
    assert_eq!(edge.response().map(|(code, _)| code), Some(401), "no place for a second transaction");
}

fn server() -> Edge {
    let mut edge = Edge::new();
    edge.endpoint.require_credentials(SipPartyId(1), Some(credentials("right")));
    // The phone signs the INVITE for another user.
    edge.endpoint.compare_digest_uri(SipPartyId(1), false);
    edge
}

/// Returns the credentials that a phone adds to a request after this rejection.
fn shown_by(password: &str, refusal: &SipMessage, first: &str) -> String {
    let mut phone = Edge::new();
    phone.endpoint.set_credentials(SipPartyId(1), Some(credentials(password)));
    let (_, invite) = phone.invite();
    let lines: String = refusal
        .headers(HeaderName::WwwAuthenticate)
        .map(|value| format!("WWW-Authenticate: {}\r\n", String::from_utf8_lossy(value)))
        .collect();
    phone.receive(&response(&invite, 401, "b1", &lines));
    assert!(first.starts_with("INVITE"));
    format!("Authorization: {}\r\n", value(&phone.last(), HeaderName::Authorization))
}

#[test]
fn rfc3261_22_1_a_party_shows_its_credentials_before_anything_else() {
    let mut edge = server();
    let first = request("INVITE", 1, "z9hG4bKa", "", "Require: nothing-known\r\n");
    edge.receive(&first);
    let refusal = edge.one();
    assert_eq!(refusal.code(), Some(401));
    assert_eq!(refusal.count(HeaderName::WwwAuthenticate), 2, "SHA-256 and MD5");
    assert_eq!(edge.endpoint.counts(), trunkgate_sip::EndpointCounts::default(), "nothing is kept of it");
    assert!(edge.events.is_empty(), "a challenge is no refusal: {:?}", edge.events);
    edge.receive(&request("ACK", 1, "z9hG4bKa", &to_tag(&refusal), ""));
    assert!(edge.sent.is_empty() && edge.dropped().is_empty(), "its ACK is no stray");
    let wrong = shown_by("wrong", &refusal, &first);
    edge.receive(&request("INVITE", 2, "z9hG4bKb", "", &wrong));
    assert_eq!(edge.one().code(), Some(401));
    let told = |event: &EndpointEvent| {
        matches!(event, EndpointEvent::WrongCredentials { proven: true, is_user_known: true, .. })
    };
    assert!(edge.events.iter().any(told), "the nonce had come back");
    let right = shown_by("right", &refusal, &first);
    edge.receive(&request("INVITE", 3, "z9hG4bKc", "", &right));
    let id = edge.invited();
    let dialog = edge.respond(id, 200).unwrap();
    let tag = to_tag(&edge.last());
    edge.receive(&request("ACK", 3, "z9hG4bKd", &tag, ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Ack { .. }]), "an ACK is never challenged");
    // Inside the dialog, its tags authenticate the party.
    edge.receive(&request("OPTIONS", 4, "z9hG4bKe", &tag, ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Request { dialog: Some(same), .. }] if same == dialog));
    // A replay of the same Authorization, as by an eavesdropper.
    edge.receive(&request("INVITE", 5, "z9hG4bKf", "", &right));
    assert!(value(&edge.one(), HeaderName::WwwAuthenticate).ends_with("stale=true"));
    edge.receive(&request("BYE", 6, "z9hG4bKg", &tag, ""));
    assert_eq!(edge.last().code(), Some(200));
}

#[test]
fn rfc7616_3_4_6_right_credentials_for_another_user_get_400() {
    let mut edge = server();
    edge.endpoint.compare_digest_uri(SipPartyId(1), true);
    let first = request("INVITE", 1, "z9hG4bKa", "", "");
    edge.receive(&first);
    let refusal = edge.one();
    let wrong = shown_by("wrong", &refusal, &first);
    edge.receive(&request("INVITE", 2, "z9hG4bKb", "", &wrong));
    assert_eq!(edge.one().code(), Some(401), "a wrong password gets no other response");
    edge.events.clear();
    let right = shown_by("right", &refusal, &first);
    edge.receive(&request("INVITE", 3, "z9hG4bKc", "", &right));
    assert_eq!(edge.lines(), ["400 Bad Request: the digest uri is not the Request-URI"]);
    let told = |event: &EndpointEvent| matches!(event, EndpointEvent::Refused { code: 400, defect: Some(_), .. });
    assert!(edge.events.iter().all(told) && edge.events.len() == 1, "no failed credentials: {:?}", edge.events);
}

/// After the end of a dialog, the CSeq number that follows the last one is no longer known, so a challenged request is
/// not repeated. The edge's own BYE is the last request, so its repetition has the next number.
#[test]
fn no_number_of_an_ended_dialog_is_used_twice() {
    let mut edge = client(Transport::Udp);
    let (dialog, tag) = edge.answered_call();
    let send = |edge: &mut Edge, method| {
        edge.endpoint.request(edge.now, dialog, method, vec![], None).unwrap();
        edge.drain();
        edge.last()
    };
    let info = send(&mut edge, Method::Info);
    send(&mut edge, Method::Info);
    edge.receive(&request("BYE", 2, "z9hG4bKb", &tag, ""));
    edge.receive(&response(&info, 401, "", CHALLENGE));
    assert_eq!((edge.lines(), edge.response().map(|(code, _)| code)), (vec![], Some(401)));
    let mut edge = client(Transport::Udp);
    let (dialog, _) = edge.answered_call();
    edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).unwrap();
    edge.drain();
    let bye = edge.last();
    edge.receive(&response(&bye, 401, "", CHALLENGE));
    assert_eq!((edge.last().method(), cseq(&edge.last())), (Method::Bye, cseq(&bye) + 1));
}

#[test]
fn rfc3261_22_1_a_cancel_is_never_challenged() {
    let mut edge = server();
    let first = request("INVITE", 1, "z9hG4bKa", "", "");
    edge.receive(&first);
    let right = shown_by("right", &edge.one(), &first);
    edge.receive(&request("INVITE", 2, "z9hG4bKb", "", &right));
    let id = edge.invited();
    // A retransmission is absorbed by its transaction, although its nonce count is used up.
    edge.receive(&request("INVITE", 2, "z9hG4bKb", "", &right));
    assert!(edge.events.is_empty());
    edge.receive(&request("CANCEL", 2, "z9hG4bKb", "", ""));
    assert!(matches!(edge.events[..], [EndpointEvent::Canceled { id: same, elsewhere: false }] if same == id));
    assert_eq!(edge.lines()[0], "200 OK");
    edge.receive(&request("CANCEL", 9, "z9hG4bKz", "", ""));
    assert_eq!(edge.one().code(), Some(481));
}

#[test]
fn every_method_outside_of_a_dialog_is_challenged_and_others_parties_are_not() {
    for method in ["OPTIONS", "SUBSCRIBE", "REGISTER", "MESSAGE", "BYE", "DANCE"] {
        let mut edge = server();
        edge.receive(&request(method, 1, "z9hG4bKa", "", ""));
        assert_eq!(edge.one().code(), Some(401), "{method}");
        edge.party = SipPartyId(2);
        edge.receive(&request(method, 1, "z9hG4bKb", "", ""));
        assert!(edge.sent.is_empty() || edge.one().code() != Some(401), "{method}");
    }
    // A To tag that belongs to no dialog proves nothing.
    let mut edge = server();
    edge.receive(&request("INVITE", 1, "z9hG4bKa", "guessed", ""));
    assert_eq!(edge.one().code(), Some(401));
    let mut edge = server();
    edge.endpoint.require_credentials(SipPartyId(1), None);
    edge.receive(&request("INVITE", 1, "z9hG4bKa", "", ""));
    edge.invited();
}
