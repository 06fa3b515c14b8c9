//! Session timers through the real binary: each side of a call negotiates its own interval, after a 422 if one was too
//! short, and is refreshed independently. Longer cases are in interop `sipp-timers` and in virtual time.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::SocketAddr;

use crate::support::calls::{NUMBER, Phone};
use crate::support::sip::{field, to_tag};
use crate::support::{Process, config};

/// Inserts header lines into a message, before those of the body.
fn with(text: &str, lines: &str) -> String {
    text.replacen("Contact:", &format!("{lines}Contact:"), 1)
}

/// Sends request number `cseq` of the caller with these timer headers.
fn ask(caller: &Phone, edge: SocketAddr, (method, cseq, tag): (&str, u32, &str), body: &str, lines: &str) {
    let text = caller.sip.request_with(method, NUMBER, edge, "timers", (cseq, tag), body);
    caller.sip.send(edge, &with(&text, lines));
}

/// Receives the response to a request of the caller.
fn answer(caller: &Phone, status: &str, cseq: &str) -> String {
    loop {
        let (text, _) = caller.sip.receive(status);
        if field(&text, "CSeq") == cseq {
            return text;
        }
    }
}

/// Sets up a call with both timers: the caller refreshes at 90 s, and the callee at 120 s; returns the address and the
/// tags of the caller's dialog.
fn agreed(edge: &Process, caller: &Phone, callee: &Phone) -> (SocketAddr, String, String) {
    let sip = edge.address("udp");
    let offer = caller.description(1, "");
    ask(caller, sip, ("INVITE", 1, ""), &offer, "Supported: timer\r\nSession-Expires: 60;refresher=uac\r\n");
    let refused = answer(caller, "SIP/2.0 422", "1 INVITE");
    assert_eq!(field(&refused, "Min-SE"), "90");
    ask(caller, sip, ("ACK", 1, to_tag(&refused)), "", "");
    ask(caller, sip, ("INVITE", 2, ""), &offer, "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n");

    let (invite, from) = callee.sip.receive("INVITE ");
    assert_eq!(
        ["Supported", "Session-Expires", "Min-SE"].map(|name| field(&invite, name)),
        ["100rel, timer, replaces", "90", "90"]
    );
    let refusal = callee.sip.answer_with(&invite, "422 Session Interval Too Small", "");
    callee.sip.send(from, &with(&refusal, "Min-SE: 120\r\n"));
    callee.sip.receive("ACK ");
    let (invite, from) = callee.sip.receive("INVITE ");
    assert_eq!(["CSeq", "Session-Expires", "Min-SE"].map(|name| field(&invite, name)), ["2 INVITE", "120", "120"]);
    let ok = callee.sip.answer_with(&invite, "200 OK", &callee.description(1, ""));
    callee.sip.send(from, &with(&ok, "Require: timer\r\nSession-Expires: 120;refresher=uas\r\n"));
    callee.sip.receive("ACK ");

    let ok = answer(caller, "SIP/2.0 200", "2 INVITE");
    assert_eq!(["Require", "Session-Expires"].map(|name| field(&ok, name)), ["timer", "90;refresher=uac"]);
    let tag = to_tag(&ok).to_owned();
    ask(caller, sip, ("ACK", 2, &tag), "", "");
    (sip, tag, invite)
}

fn edge(caller: &Phone, callee: &Phone) -> Process {
    Process::start(&config(&format!(
        "{}{}session_expires = \"90s\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
        caller.trunk("carrier"),
        callee.trunk("pbx")
    )))
}

#[test]
fn each_side_has_a_session_of_its_own_after_a_422_and_refreshes_it_alone() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&caller, &callee);
    let (sip, tag, invite) = agreed(&edge, &caller, &callee);

    let timers = "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n";
    for (method, cseq, body) in [("UPDATE", 3, String::new()), ("INVITE", 4, caller.description(1, ""))] {
        ask(&caller, sip, (method, cseq, &tag), &body, timers);
        let ok = answer(&caller, "SIP/2.0 200", &format!("{cseq} {method}"));
        assert_eq!(field(&ok, "Session-Expires"), "90;refresher=uac", "{method}");
        assert_eq!(ok.contains("m=audio"), !body.is_empty(), "{method}");
    }
    ask(&caller, sip, ("ACK", 4, &tag), "", "");
    ask(&caller, sip, ("UPDATE", 5, &tag), "", &timers.replace("90", "89"));
    assert_eq!(field(&answer(&caller, "SIP/2.0 422", "5 UPDATE"), "Min-SE"), "90");
    assert!(callee.sip.heard_nothing(), "the callee's session is another");

    // The callee refreshes its session.
    let (from, to, id) = (field(&invite, "To"), field(&invite, "From"), field(&invite, "Call-ID"));
    let (me, uri) = (callee.sip.address, field(&invite, "Contact").trim_matches(['<', '>']));
    callee.sip.send(
        sip,
        &format!(
            "UPDATE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKrefresh\r\nMax-Forwards: 70\r\n\
             From: {from};tag=callee\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: 1 UPDATE\r\nContact: <sip:callee@{me}>\r\n\
             Supported: timer\r\nSession-Expires: 120;refresher=uac\r\nContent-Length: 0\r\n\r\n"
        ),
    );
    let ok = answer(&callee, "SIP/2.0 200", "1 UPDATE");
    assert_eq!(field(&ok, "Session-Expires"), "120;refresher=uac");
    assert!(caller.sip.heard_nothing(), "the caller's session is another");
    ask(&caller, sip, ("BYE", 6, &tag), "", "");
    let (bye, from) = callee.sip.receive("BYE ");
    callee.sip.send(from, &callee.sip.answer(&bye, "200 OK", false));
    answer(&caller, "SIP/2.0 200", "6 BYE");
}
