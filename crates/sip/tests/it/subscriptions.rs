//! Dialogs of received SUBSCRIBEs, and outgoing NOTIFYs (RFC 6665).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use crate::peer::{Edge, LOCAL, config, request, response, to_tag, value};
use trunkgate_sip::{
    EndpointConfig, EndpointCounts, EndpointEvent, EndpointLimits, ExtraHeader, HeaderName, MessageBody, Method,
    NotifyRequest, ResponseSpec, ServerId, SipEndpoint, Transport,
};

fn notifier(limits: EndpointLimits) -> Edge {
    let methods = [config(1).methods, vec![Method::Subscribe, Method::Notify]].concat();
    Edge::with(EndpointConfig { methods, limits, ..config(1) }, Transport::Udp)
}

fn asked(edge: &Edge) -> ServerId {
    let [EndpointEvent::Request { id: Some(id), method: Method::Subscribe, .. }] = edge.events[..] else {
        panic!("{:?}", edge.events)
    };
    id
}

fn summary() -> MessageBody {
    MessageBody { content_type: "application/simple-message-summary".into(), bytes: "Messages-Waiting: no\r\n".into() }
}

#[test]
fn rfc6665_4_2_1_a_2xx_to_a_subscribe_makes_a_dialog_that_carries_notifys_until_it_is_forgotten() {
    let mut edge = notifier(EndpointLimits::default());
    let lines =
        "Event: message-summary\r\nContact: <sip:phone@198.51.100.7:5070>\r\nRecord-Route: <sip:198.51.100.7;lr>\r\n";
    edge.receive(&request("SUBSCRIBE", 1, "z9hG4bKs", "", lines));
    let id = asked(&edge);
    let answer = ResponseSpec { code: 200, contact_user: "front".into(), ..ResponseSpec::default() };
    let dialog = edge.endpoint.respond(edge.now, id, answer).expect("a dialog");
    edge.drain();
    let ok = edge.one();
    let tag = to_tag(&ok);
    assert_eq!(value(&ok, HeaderName::Contact), "<sip:front@192.0.2.1:5060>");
    assert_eq!(value(&ok, HeaderName::RecordRoute), "<sip:198.51.100.7;lr>");
    assert!(ok.header(HeaderName::Allow).is_none());
    let state = vec![ExtraHeader { name: "Subscription-State".into(), value: "active".into() }];
    edge.endpoint.request(edge.now, dialog, Method::Notify, state, Some(summary())).expect("it is sent");
    edge.drain();
    let notify = edge.one();
    let text = String::from_utf8_lossy(notify.as_bytes()).into_owned();
    assert!(text.starts_with("NOTIFY sip:phone@198.51.100.7:5070 SIP/2.0\r\n"), "{text}");
    assert!(text.contains("Route: <sip:198.51.100.7;lr>\r\n") && text.contains(&format!(";tag={tag}\r\n")), "{text}");
    edge.receive(&response(&notify, 200, "a1", ""));
    // A refresh keeps the dialog and changes the target.
    let lines = "Event: message-summary\r\nContact: <sip:phone@198.51.100.7:5080>\r\n";
    let refresh = request("SUBSCRIBE", 2, "z9hG4bKr", &tag, lines);
    edge.receive(&refresh);
    let EndpointEvent::Request { id: Some(id), dialog: Some(same), .. } = edge.events[0] else {
        panic!("{:?}", edge.events)
    };
    assert_eq!(same, dialog);
    edge.respond(id, 200);
    assert_eq!(value(&edge.one(), HeaderName::Contact), "<sip:front@192.0.2.1:5060>");
    edge.endpoint.request(edge.now, dialog, Method::Notify, Vec::new(), Some(summary()));
    edge.drain();
    assert!(edge.lines()[0].starts_with("NOTIFY sip:phone@198.51.100.7:5080"), "{:?}", edge.lines());
    edge.endpoint.forget_dialog(dialog);
    edge.receive(&request("SUBSCRIBE", 3, "z9hG4bKl", &tag, "Event: message-summary\r\n"));
    assert_eq!(edge.lines(), ["481 Call/Transaction Does Not Exist"]);
    assert!(edge.endpoint.request(edge.now, dialog, Method::Notify, Vec::new(), None).is_none());
    edge.assert_empty_after(Duration::from_secs(40));
}

#[test]
fn a_subscribe_holds_a_place_among_dialogs_until_it_is_refused_or_forgotten() {
    let mut edge = notifier(EndpointLimits { dialogs: 1, ..EndpointLimits::default() });
    edge.receive(&request("SUBSCRIBE", 1, "z9hG4bK1", "", "Event: presence\r\n"));
    let first = asked(&edge);
    edge.receive(&request("INVITE", 1, "z9hG4bK2", "", "").replace("call-1", "call-2"));
    assert_eq!(edge.lines(), ["503 Service Unavailable"], "the only place is taken");
    edge.respond(first, 489);
    edge.receive(&request("SUBSCRIBE", 1, "z9hG4bK3", "", "Event: message-summary\r\n").replace("call-1", "call-3"));
    let second = asked(&edge);
    let dialog = edge.respond(second, 200).expect("the place is free again");
    assert_eq!(edge.endpoint.counts().dialogs, 1);
    edge.receive(&request("SUBSCRIBE", 1, "z9hG4bK4", "", "").replace("call-1", "call-4"));
    assert_eq!(edge.lines(), ["503 Service Unavailable"]);
    edge.endpoint.forget_dialog(dialog);
    edge.receive(&request("INVITE", 1, "z9hG4bK5", "", "").replace("call-1", "call-5"));
    edge.invited();
}

#[test]
fn a_bye_ends_a_subscription_and_a_re_invite_is_refused() {
    let mut edge = notifier(EndpointLimits::default());
    edge.receive(&request("SUBSCRIBE", 1, "z9hG4bK1", "", "Event: message-summary\r\n"));
    let id = asked(&edge);
    edge.respond(id, 200);
    let tag = to_tag(&edge.one());
    edge.receive(&request("INVITE", 2, "z9hG4bK2", &tag, ""));
    let Some(EndpointEvent::Request { id: Some(id), .. }) = edge.events.pop() else { panic!("{:?}", edge.events) };
    edge.respond(id, 481);
    edge.receive(&request("BYE", 3, "z9hG4bK3", &tag, ""));
    assert!(
        matches!(edge.events[..], [EndpointEvent::Request { id: None, method: Method::Bye, .. }]),
        "{:?}",
        edge.events
    );
    assert_eq!(edge.endpoint.counts().dialogs, 0);
}

#[test]
fn a_notify_outside_of_any_dialog_ends_once() {
    let mut edge = notifier(EndpointLimits::default());
    let notify = |edge: &Edge| NotifyRequest {
        flow: edge.flow,
        local: LOCAL,
        party: edge.party,
        uri: "sip:100@198.51.100.7".into(),
        from: "sip:front@192.0.2.1".into(),
        to: "sip:100@198.51.100.7".into(),
        headers: vec![ExtraHeader { name: "Event".into(), value: "message-summary".into() }],
        body: summary(),
    };
    let send = |endpoint: &mut SipEndpoint, now, notify| endpoint.notify(now, notify);
    let (now, wanted) = (edge.now, notify(&edge));
    let id = send(&mut edge.endpoint, now, wanted);
    edge.drain();
    let sent = edge.one();
    let text = String::from_utf8_lossy(sent.as_bytes()).into_owned();
    assert!(text.starts_with("NOTIFY sip:100@198.51.100.7 SIP/2.0\r\nVia: "), "{text}");
    assert!(
        text.contains("From: <sip:front@192.0.2.1>;tag=") && text.contains("To: <sip:100@198.51.100.7>\r\n"),
        "{text}"
    );
    assert!(text.ends_with("Content-Length: 22\r\n\r\nMessages-Waiting: no\r\n"), "{text}");
    edge.receive(&response(&sent, 200, "x", ""));
    assert!(
        matches!(edge.events[..], [EndpointEvent::Response { id: same, code: 200, dialog: None, .. }] if same == id)
    );
    let (now, wanted) = (edge.now, notify(&edge));
    let id = send(&mut edge.endpoint, now, wanted);
    edge.drain();
    edge.pass(Duration::from_secs(33));
    assert!(matches!(edge.events[..], [EndpointEvent::TimedOut { id: same }] if same == id), "{:?}", edge.events);
    edge.assert_empty_after(Duration::from_secs(10));
    assert_eq!(edge.endpoint.counts(), EndpointCounts::default());
}
