//! UPDATE (RFC 3311): accepted in early and confirmed dialogs, rejected while another change is open, and sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::peer::{Edge, SECOND, request, response, to_tag, value};
use trunkgate_sip::{ClientId, DialogId, EndpointEvent, HeaderName, MessageBody, Method, ResponseSpec, ServerId};

const SDP: &str = "Content-Type: application/sdp\r\n";

/// Returns the message with a session description.
fn with_sdp(text: &str) -> String {
    assert!(text.contains("Content-Length: 0\r\n\r\n"));
    text.replace("Content-Length: 0\r\n\r\n", &format!("{SDP}Content-Length: 5\r\n\r\nv=0\r\n"))
}

/// Returns the UPDATE just reported.
fn updated(edge: &Edge) -> ServerId {
    let told = edge.events.iter().find_map(|event| {
        if let EndpointEvent::Request { id, method: Method::Update, .. } = event { *id } else { None }
    });
    told.expect("no UPDATE was reported")
}

fn send(edge: &mut Edge, dialog: DialogId, method: Method, offer: bool) -> Option<ClientId> {
    let body = offer.then(|| MessageBody::sdp("v=0\r\n"));
    let id = edge.endpoint.request(edge.now, dialog, method, vec![], body);
    edge.drain();
    id
}

#[test]
fn rfc3311_5_2_a_target_refresh_moves_requests_of_ours() {
    let mut edge = Edge::new();
    let (dialog, tag) = edge.answered_call();
    let moved = "Contact: <sip:alice@198.51.100.9:5070>\r\n";
    edge.receive(&request("UPDATE", 2, "z9hG4bKu", &tag, moved));
    let id = updated(&edge);
    edge.respond(id, 200);
    let answer = edge.one();
    assert_eq!(value(&answer, HeaderName::Contact), "<sip:edge@192.0.2.1:5060>");
    assert!(value(&answer, HeaderName::Allow).contains("UPDATE"));
    send(&mut edge, dialog, Method::Update, false).unwrap();
    assert_eq!(edge.lines(), ["UPDATE sip:alice@198.51.100.9:5070"]);
    let update = edge.one();
    assert_eq!(value(&update, HeaderName::Contact), "<sip:edge@192.0.2.1:5060>");
    assert!(value(&update, HeaderName::Allow).contains("UPDATE"));
    edge.receive(&response(&update, 200, "", "Contact: <sip:alice@198.51.100.10>\r\n"));
    assert!(matches!(edge.events[..], [EndpointEvent::Response { code: 200, dialog: Some(own), .. }] if own == dialog));
    send(&mut edge, dialog, Method::Update, false).unwrap();
    assert_eq!(edge.lines(), ["UPDATE sip:alice@198.51.100.10"]);
}

/// Checks the response to each request that arrives while a change is in progress, for each kind of change.
#[test]
fn rfc3311_5_2_and_rfc6337_3_who_gives_way_to_whom() {
    let (update, offer, invite) = (("UPDATE", false), ("UPDATE", true), ("INVITE", true));
    for (open, comes, expected) in [
        ("their UPDATE", update, Some(500)),
        ("their UPDATE", offer, Some(500)),
        ("their UPDATE", invite, Some(500)),
        ("their INVITE", update, None),
        ("their INVITE", offer, Some(500)),
        ("their INVITE", invite, Some(500)),
        ("our UPDATE", update, None),
        ("our UPDATE", offer, Some(491)),
        ("our UPDATE", invite, Some(491)),
        ("our refresh", update, None),
        ("our refresh", offer, None),
        ("our refresh", invite, None),
        ("our INVITE", update, None),
        ("our INVITE", offer, Some(491)),
        ("our INVITE", invite, Some(491)),
    ] {
        let mut edge = Edge::new();
        let (dialog, tag) = edge.answered_call();
        match open {
            "their UPDATE" => edge.receive(&with_sdp(&request("UPDATE", 2, "z9hG4bKo", &tag, ""))),
            "their INVITE" => edge.receive(&with_sdp(&request("INVITE", 2, "z9hG4bKo", &tag, ""))),
            "our UPDATE" => assert!(send(&mut edge, dialog, Method::Update, true).is_some()),
            "our refresh" => assert!(send(&mut edge, dialog, Method::Update, false).is_some()),
            _ => assert!(send(&mut edge, dialog, Method::Invite, true).is_some()),
        }
        let (method, offers) = comes;
        let text = request(method, 3, "z9hG4bKn", &tag, "");
        edge.receive(&if offers { with_sdp(&text) } else { text });
        let told = edge.events.iter().any(|event| matches!(event, EndpointEvent::Request { .. }));
        assert_eq!(told, expected.is_none(), "{open} × {comes:?}");
        if let Some(code) = expected {
            let answer = edge.one();
            assert_eq!(answer.code(), Some(code), "{open} × {comes:?}");
            let wait = answer.header(HeaderName::RetryAfter).map(|wait| String::from_utf8_lossy(wait).into_owned());
            assert_eq!(wait.is_some(), code == 500, "{open} × {comes:?}");
            assert!(wait.is_none_or(|wait| wait.parse::<u32>().unwrap() <= 10));
        }
    }
}

/// Checks which requests may be sent while a change is in progress; `None` in the table if they must wait.
#[test]
fn rfc3311_5_1_one_offer_at_a_time_goes_out() {
    for (open, update, offer, invite) in [
        ("nothing", true, true, true),
        ("their UPDATE", true, false, false),
        ("their INVITE", true, false, false),
        ("our UPDATE", true, false, false),
        ("our INVITE", true, false, false),
    ] {
        for (method, offers, may) in
            [(Method::Update, false, update), (Method::Update, true, offer), (Method::Invite, true, invite)]
        {
            let mut edge = Edge::new();
            let (dialog, tag) = edge.answered_call();
            match open {
                "nothing" => {}
                "their UPDATE" => edge.receive(&with_sdp(&request("UPDATE", 2, "z9hG4bKo", &tag, ""))),
                "their INVITE" => edge.receive(&with_sdp(&request("INVITE", 2, "z9hG4bKo", &tag, ""))),
                "our UPDATE" => assert!(send(&mut edge, dialog, Method::Update, true).is_some()),
                _ => assert!(send(&mut edge, dialog, Method::Invite, true).is_some()),
            }
            assert_eq!(send(&mut edge, dialog, method, offers).is_some(), may, "{open} × {method} {offers}");
        }
    }
}

#[test]
fn a_change_that_is_over_lets_the_next_one_go() {
    for code in [200, 488, 491, 504] {
        let mut edge = Edge::new();
        let (dialog, tag) = edge.answered_call();
        send(&mut edge, dialog, Method::Update, true).unwrap();
        let ours = edge.one();
        edge.receive(&response(&ours, code, "", ""));
        edge.receive(&with_sdp(&request("UPDATE", 2, "z9hG4bKu", &tag, "")));
        let id = updated(&edge);
        edge.respond(id, code);
        assert_eq!(edge.one().code(), Some(code));
        assert!(send(&mut edge, dialog, Method::Invite, true).is_some(), "after {code}");
    }
    // A missing response does not block changes for ever either.
    let mut edge = Edge::new();
    let (dialog, _) = edge.answered_call();
    send(&mut edge, dialog, Method::Update, true).unwrap();
    edge.pass(33 * SECOND);
    assert!(edge.events.iter().any(|event| matches!(event, EndpointEvent::TimedOut { .. })));
    assert!(send(&mut edge, dialog, Method::Update, true).is_some());
}

#[test]
fn both_sides_of_an_early_dialog_may_send_one() {
    // UPDATE by the caller, after our 183.
    let mut edge = Edge::new();
    edge.receive(&request("INVITE", 1, "z9hG4bKi", "", ""));
    let invite = edge.invited();
    let dialog = edge.respond(invite, 183).unwrap();
    let tag = to_tag(&edge.last());
    edge.receive(&with_sdp(&request("UPDATE", 2, "z9hG4bKu", &tag, "")));
    let id = updated(&edge);
    edge.respond(id, 200);
    assert!(send(&mut edge, dialog, Method::Update, true).is_some(), "and ours to it");
    assert!(send(&mut edge, dialog, Method::Invite, true).is_none());

    // UPDATE by the callee, after its own 183.
    let mut edge = Edge::new();
    let (_, invite) = edge.invite();
    edge.receive(&response(&invite, 183, "b1", ""));
    let dialog = edge.response().unwrap().1.unwrap();
    let local_tag = String::from_utf8(invite.from_tag().unwrap().to_vec()).unwrap();
    let theirs = request("UPDATE", 1, "z9hG4bKu", &local_tag, "")
        .replace("tag=a1", "tag=b1")
        .replace("call-1", &value(&invite, HeaderName::CallId));
    edge.receive(&with_sdp(&theirs));
    let id = updated(&edge);
    edge.respond(id, 200);
    assert_eq!(edge.lines(), ["200 OK"]);
    assert!(send(&mut edge, dialog, Method::Update, true).is_some());
}

#[test]
fn rfc3261_15_1_2_a_bye_answers_an_update_that_is_open() {
    let mut edge = Edge::new();
    let (_, tag) = edge.answered_call();
    edge.receive(&with_sdp(&request("UPDATE", 2, "z9hG4bKu", &tag, "")));
    let id = updated(&edge);
    edge.receive(&request("BYE", 3, "z9hG4bKb", &tag, ""));
    assert_eq!(edge.lines(), ["200 OK", "487 Request Terminated"]);
    assert_eq!(edge.endpoint.respond(edge.now, id, ResponseSpec { code: 200, ..ResponseSpec::default() }), None);
    edge.assert_empty_after(80 * SECOND);
}

#[test]
fn an_update_outside_of_its_dialog_is_481() {
    let mut edge = Edge::new();
    for tag in ["", "nobodys"] {
        edge.receive(&request("UPDATE", 1, "z9hG4bKu", tag, ""));
        assert_eq!(edge.lines(), ["481 Call/Transaction Does Not Exist"]);
    }
}
