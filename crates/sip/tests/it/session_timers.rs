//! Session timers (RFC 4028) in the endpoint: the support is advertised, and a request with too short an interval is
//! rejected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::peer::{Edge, T1, config, request, response, to_tag, value};
use trunkgate_sip::{EndpointConfig, EndpointEvent, ExtraHeader, HeaderName, Method, SipMessage, Transport};

fn edge(transport: Transport) -> Edge {
    Edge::with(EndpointConfig { extensions: vec!["timer".into()], ..config(1) }, transport)
}

fn asks(seconds: u32) -> Vec<ExtraHeader> {
    let header = |name: &str, value: String| ExtraHeader { name: name.into(), value };
    vec![header("Session-Expires", format!("{seconds};refresher=uac")), header("Min-SE", "90".into())]
}

fn times(message: &SipMessage) -> (String, String, u32) {
    let cseq = message.cseq().unwrap().number;
    (value(message, HeaderName::SessionExpires), value(message, HeaderName::MinSe), cseq)
}

#[test]
fn rfc4028_7_3_a_request_that_is_too_short_is_repeated_once_with_the_least_interval() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut edge = edge(transport);
        let (id, first) = edge.invite_with(asks(1800));
        assert_eq!(times(&first), ("1800;refresher=uac".into(), "90".into(), 1));
        assert!(first.supports("timer") && first.supports("TIMER") && !first.supports("100rel"));
        edge.receive(&response(&first, 422, "b1", "Min-SE: 3600\r\n"));
        assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7", "INVITE sip:bob@198.51.100.7"]);
        assert!(matches!(edge.events[..], [EndpointEvent::Challenged { id: same, code: 422, .. }] if same == id));
        let again = edge.last();
        assert_eq!(times(&again), ("3600;refresher=uac".into(), "3600".into(), 2));
        for name in [HeaderName::CallId, HeaderName::From, HeaderName::To, HeaderName::Contact, HeaderName::Supported] {
            assert_eq!(value(&again, name), value(&first, name));
        }
        assert_eq!((again.count(HeaderName::SessionExpires), again.count(HeaderName::MinSe)), (1, 1));
        assert_eq!(again.body(), first.body());
        // A second 422 with a longer interval is reported.
        edge.receive(&response(&again, 422, "b2", "Min-SE: 7200\r\n"));
        assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"]);
        assert_eq!(edge.response(), Some((422, None)));
        edge.assert_empty_after(T1 * 130);
    }
}

#[test]
fn a_422_that_says_nothing_of_use_is_an_answer_as_any() {
    for (lines, headers) in [
        ("", asks(1800)),
        ("Min-SE: x\r\n", asks(1800)),
        ("Min-SE: 1800\r\n", asks(1800)),
        ("Min-SE: 86401\r\n", asks(1800)),
        ("Min-SE: 3600\r\n", vec![]),
    ] {
        let mut edge = edge(Transport::Udp);
        let (_, first) = edge.invite_with(headers);
        edge.receive(&response(&first, 422, "b1", lines));
        assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"], "{lines}");
        assert_eq!(edge.response(), Some((422, None)), "{lines}");
        edge.assert_empty_after(T1 * 130);
    }
}

#[test]
fn a_withdrawn_invite_is_not_repeated() {
    let mut edge = edge(Transport::Udp);
    let (id, first) = edge.invite_with(asks(1800));
    edge.receive(&response(&first, 180, "b1", ""));
    edge.endpoint.cancel(edge.now, id);
    edge.drain();
    edge.receive(&response(&first, 422, "b1", "Min-SE: 3600\r\n"));
    assert_eq!(edge.lines(), ["ACK sip:bob@198.51.100.7"]);
    edge.assert_empty_after(T1 * 130);
}

#[test]
fn rfc4028_7_3_in_a_dialog_too() {
    let mut edge = edge(Transport::Udp);
    let (dialog, _) = edge.placed_call("");
    let id = edge.endpoint.request(edge.now, dialog, Method::Invite, asks(90), None).unwrap();
    edge.drain();
    let first = edge.one();
    edge.receive(&response(&first, 422, "", "Min-SE: 120\r\n"));
    let again = edge.last();
    assert_eq!(times(&again), ("120;refresher=uac".into(), "120".into(), 3));
    edge.receive(&response(&again, 200, "", "Session-Expires: 120;refresher=uac\r\n"));
    assert_eq!(edge.response(), Some((200, Some(dialog))));
    edge.endpoint.ack(edge.now, dialog, None);
    edge.drain();
    assert_eq!(edge.last().cseq().unwrap().number, 3);
    assert_eq!(edge.endpoint.request(edge.now, dialog, Method::Bye, vec![], None).map(|bye| bye == id), Some(false));
    edge.drain();
    edge.receive(&response(&edge.last(), 200, "", ""));
    edge.assert_empty_after(T1 * 130);
}

#[test]
fn rfc4028_9_whoever_requires_timers_is_served() {
    let mut edge = edge(Transport::Udp);
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", "Require: timer\r\nSession-Expires: 90\r\n"));
    let id = edge.invited();
    edge.respond(id, 200).unwrap();
    let ok = edge.last();
    assert_eq!(value(&ok, HeaderName::Supported), "timer");
    edge.receive(&request("ACK", 1, "z9hG4bKa", &to_tag(&ok), ""));
    edge.receive(&request("BYE", 2, "z9hG4bKb", &to_tag(&ok), ""));
    edge.assert_empty_after(T1 * 130);
}
