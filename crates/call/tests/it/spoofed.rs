//! Requests of each method that name a call's dialog, from unknown sources, from another trunk, and from another
//! address of the same trunk. Only requests of the dialog's own trunk have an effect.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::time::Duration;

use crate::bench::*;

/// Address of no trunk.
const NOBODY: &str = "192.0.2.66:5060";
/// Further allowed addresses of the carrier and of the PBX.
const CARRIER2: &str = "198.51.100.8:5060";

/// Returns a bench with a carrier and a PBX of two addresses each.
fn bench() -> Bench {
    let trunks = vec![trunk("carrier", &[CARRIER, CARRIER2]), trunk("pbx", &[PBX, PBX2]), trunk("backup", &[BACKUP])];
    Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]))
}

/// A method in an answered call with its header, and the response codes for another trunk and for its own; 0: none.
type Row = (&'static str, &'static str, u16, u16);

const IN_DIALOG: [Row; 9] = [
    ("BYE", "", 481, 200),
    ("INVITE", "", 481, 100),
    ("UPDATE", "", 481, 200),
    ("INFO", "", 481, 0),
    ("REFER", "Refer-To: <sip:+14155550199@203.0.113.10>\r\n", 481, 202),
    ("OPTIONS", "", 481, 200),
    // No provisional response waits for it any more, from either source.
    ("PRACK", "RAck: 1 1 INVITE\r\n", 481, 481),
    ("ACK", "", 0, 0),
    // The INVITE has its final response: nothing is withdrawn any more (§9.2).
    ("CANCEL", "", 481, 200),
];

/// Returns the caller's request, with an offer if it changes the session.
fn of_caller(caller: &Dialing, method: &str, extra: &str) -> String {
    let body = if method == "INVITE" { sdp("192.0.2.66", 6_666, 2, "0 8 101", "sendrecv") } else { String::new() };
    // A new request of the caller, except for CANCEL, which names the INVITE.
    let text = caller.request(method, &body, extra);
    if method == "CANCEL" { text } else { text.replace("branch=z9hG4bK-", "branch=z9hG4bK-spoofed-") }
}

/// Returns the callee's request, with an offer if it changes the session.
fn of_callee(callee: &Dialed, method: &str, extra: &str) -> String {
    let body = if method == "INVITE" { sdp("192.0.2.66", 6_666, 2, "0 101", "sendrecv") } else { String::new() };
    callee.request(method, 77, &body).replace("Max-Forwards", &format!("{extra}Max-Forwards"))
}

/// Checks that only `from` got a response, and that the call is unchanged.
fn lives_on(bench: &mut Bench, from: &str, code: u16, what: &str) {
    if code != 0 {
        assert_eq!(bench.next(from).code(), code, "{what}");
    }
    bench.nothing();
    assert!(bench.media.is_empty(), "{what}: {:?}", bench.media);
    let calls = bench.gateway.calls(bench.now);
    assert_eq!(calls[0].state, "answered", "{what}");
}

#[test]
fn rfc3261_12_2_2_dialogs_belong_to_their_party() {
    for (method, extra, refused, _) in IN_DIALOG {
        for of_the_caller in [true, false] {
            // Unknown sources get no response. For another trunk the dialog does not exist; the other side of the same
            // call is another trunk, too.
            let other = if of_the_caller { PBX } else { CARRIER };
            for (from, code) in [(NOBODY, 0), (BACKUP, refused), (other, refused)] {
                let mut bench = bench();
                let (mut caller, callee) = bench.answered();
                bench.take_media();
                let mut spoofed = caller.clone();
                spoofed.cseq += u32::from(method != "CANCEL") * 40;
                let text = match of_the_caller {
                    true => of_caller(&spoofed, method, extra),
                    false => of_callee(&callee, method, extra),
                };
                let what = format!("{method} of the {} from {from}", if of_the_caller { "caller" } else { "callee" });
                bench.receive(from, text);
                lives_on(&mut bench, from, code, &what);
                // Its sequence numbers did not affect the dialog: the real party continues.
                bench.bye(&mut caller, &callee);
                bench.finish();
            }
        }
    }
}

#[test]
fn any_allowed_address_of_its_trunk_may_speak_in_a_dialog() {
    for (method, extra, _, served) in IN_DIALOG {
        let mut bench = bench();
        let (mut caller, callee) = bench.answered();
        caller.cseq += u32::from(!matches!(method, "ACK" | "CANCEL"));
        bench.receive(CARRIER2, of_caller(&caller, method, extra));
        if served != 0 {
            assert_eq!(bench.next(CARRIER2).code(), served, "{method}");
        }
        let goes_on = bench.sent.iter().find(|sent| sent.to == PBX.parse().unwrap()).map(method_of);
        let expected = match method {
            "BYE" => Some("BYE"),
            "INVITE" | "REFER" => Some("INVITE"),
            "INFO" => Some("INFO"),
            _ => None,
        };
        assert_eq!(goes_on.as_deref(), expected, "{method}");
        drop(callee);
    }
}

fn method_of(sent: &Sent) -> String {
    method(sent).to_string()
}

#[test]
fn rfc3261_9_2_a_cancel_from_elsewhere_withdraws_nothing() {
    for (from, code) in [(NOBODY, 0), (BACKUP, 481), (PBX, 481), (CARRIER2, 200)] {
        let mut bench = bench();
        let (mut caller, callee) = bench.ringing();
        bench.receive(from, caller.request("CANCEL", "", ""));
        if code != 0 {
            assert_eq!(bench.next(from).code(), code, "{from}");
        }
        if code == 200 {
            bench.expect(CARRIER, "SIP/2.0 487");
            bench.expect(PBX, "CANCEL");
            continue;
        }
        bench.nothing();
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "ringing", "{from}");
        // Requests from elsewhere do not end or change a ringing call either.
        for early in ["BYE", "UPDATE", "INFO"] {
            caller.cseq += 1;
            bench.receive(from, of_caller(&caller, early, ""));
            if code != 0 {
                assert_eq!(bench.next(from).code(), 481, "{early} {from}");
            }
            bench.nothing();
        }
        caller.cseq = 1;
        bench.receive(PBX, callee.answer(200, &answer()));
        bench.expect(PBX, "ACK");
        bench.expect(CARRIER, "SIP/2.0 200");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn rfc3261_13_3_1_4_an_ack_from_elsewhere_confirms_nothing() {
    for from in [NOBODY, BACKUP, PBX] {
        let mut bench = bench();
        let (mut caller, callee) = bench.calling(&offer(), "");
        bench.receive(PBX, callee.answer(200, &answer()));
        bench.expect(PBX, "ACK");
        caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
        bench.receive(from, caller.request("ACK", "", ""));
        bench.pass(Duration::from_millis(600));
        bench.expect(CARRIER, "SIP/2.0 200");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        bench.pass(Duration::from_secs(2));
        bench.nothing();
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn rfc3261_15_1_2_byes_of_both_sides_at_once_are_both_answered() {
    for caller_first in [true, false] {
        let mut bench = bench();
        let (mut caller, callee) = bench.answered();
        caller.cseq += 1;
        let (first, second) = match caller_first {
            true => ((CARRIER, caller.request("BYE", "", "")), (PBX, callee.request("BYE", 1, ""))),
            false => ((PBX, callee.request("BYE", 1, "")), (CARRIER, caller.request("BYE", "", ""))),
        };
        bench.receive(first.0, first.1.clone());
        bench.expect(first.0, "SIP/2.0 200");
        let ours = bench.expect(second.0, "BYE");
        // Its own BYE was under way already, and ours finds no dialog there any more. Both are final.
        bench.receive(second.0, second.1.clone());
        bench.expect(second.0, "SIP/2.0 200");
        // From any other source it matches no dialog.
        bench.receive(BACKUP, second.1.clone());
        bench.expect(BACKUP, "SIP/2.0 481");
        bench.nothing();
        let answer = match caller_first {
            true => callee.respond(&ours, 481, ""),
            false => caller.respond(&ours, 481, ""),
        };
        bench.receive(second.0, answer);
        bench.nothing();
        // Retransmissions get the same response.
        bench.receive(first.0, first.1);
        bench.expect(first.0, "SIP/2.0 200");
        bench.receive(second.0, second.1.clone());
        bench.expect(second.0, "SIP/2.0 200");
        assert_eq!(bench.reports.len(), 1);
        let ended_by = if caller_first { "caller_hung_up" } else { "callee_hung_up" };
        assert_eq!(bench.reports[0].call.reason, Some(ended_by));
        // Once ours is over as well, the dialog no longer exists.
        bench.pass(Duration::from_secs(40));
        bench.receive(second.0, second.1);
        bench.expect(second.0, "SIP/2.0 481");
        bench.finish();
    }
}

#[test]
fn rfc3262_3_a_prack_from_elsewhere_acknowledges_nothing() {
    for (from, code) in [(NOBODY, 0), (BACKUP, 481), (PBX, 481), (CARRIER2, 200)] {
        let mut bench = bench();
        let mut caller =
            Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: "".into() };
        bench.receive(CARRIER, caller.request("INVITE", &offer(), "Supported: 100rel\r\n"));
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(183, &answer()));
        let early = bench.expect(CARRIER, "SIP/2.0 183");
        caller.to_tag = early.tag("To");
        let rack = format!("RAck: {} 1 INVITE\r\n", early.header("RSeq"));
        bench.receive(from, Dialing { cseq: 2, ..caller.clone() }.request("PRACK", "", &rack));
        if code != 0 {
            assert_eq!(bench.next(from).code(), code, "{from}");
        }
        bench.nothing();
        bench.pass(Duration::from_millis(500));
        if code != 200 {
            bench.expect(CARRIER, "SIP/2.0 183");
        }
        bench.nothing();
    }
}
