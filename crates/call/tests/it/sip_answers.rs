//! Rows of `docs/reference/sip-answers.md` that the SIP endpoint answers without a call, seen through the gateway.
//! `refusals.rs`, `failover.rs` and `reinvite.rs` have the rows that a call decides.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use crate::bench::*;

fn dialing(number: &str) -> Dialing {
    Dialing { peer: CARRIER.into(), number: number.into(), call: 1, cseq: 1, to_tag: String::new() }
}

fn request(method: &str, extra: &str) -> String {
    dialing("+14155550100").request(method, "", extra)
}

/// Request, first line of the response, and a header that it must have.
type Row = (String, &'static str, Option<(&'static str, &'static str)>);

#[test]
fn what_the_endpoint_refuses() {
    let allow = Some(("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, MESSAGE"));
    let outside = Some(("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY"));
    let invite = || request("INVITE", "");
    let text = "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";
    let rows: [Row; 20] = [
        (invite().replace("Content-Length: 0", "Content-Length: none"), "400 Bad Request: Content-Length", None),
        (invite().replace("Max-Forwards: 70", "Max-Forwards: many"), "400 Bad Request: Max-Forwards", None),
        (invite().replace(" SIP/2.0\r\nVia", " SIP/7.0\r\nVia"), "505", None),
        (invite().replace("INVITE sip:", "INVITE nobodys:"), "416", None),
        (request("INVITE", "Require: 100rel, timer, foo\r\n"), "420", Some(("Unsupported", "foo"))),
        (request("INVITE", "Require: precondition\r\n"), "420", Some(("Unsupported", "precondition"))),
        (
            invite().replace("Content-Length: 0\r\n\r\n", text),
            "415",
            Some(("Accept", "application/sdp, multipart/mixed")),
        ),
        (request("INVITE", "Content-Encoding: gzip\r\n"), "415", Some(("Accept-Encoding", "identity"))),
        (request("INVITE", "Accept: text/plain\r\n"), "406", None),
        (request("INVITE", &format!("Subject: {}\r\n", "x".repeat(9_000))), "413", None),
        (request("BYE", ""), "481", None),
        (request("CANCEL", ""), "481", None),
        (request("INFO", ""), "481", None),
        (Dialing { to_tag: "nobodys".into(), ..dialing("1") }.request("INVITE", "", ""), "481", None),
        (Dialing { to_tag: "nobodys".into(), ..dialing("1") }.request("BYE", "", ""), "481", None),
        (request("REGISTER", ""), "405", allow),
        (request("SUBSCRIBE", ""), "405", allow),
        (request("PUBLISH", ""), "405", allow),
        (request("MESSAGE", ""), "405", outside),
        (request("DANCE", ""), "501", allow),
    ];
    for (text, line, header) in rows {
        let routes = vec![route(vec![to_trunk("pbx")])];
        let mut bench = Bench::configured(table(usual_trunks(), routes), |c| c.sip_message_bytes = 8_000);
        bench.receive(CARRIER, &text);
        let sent = bench.expect(CARRIER, &format!("SIP/2.0 {line}"));
        if let Some((name, value)) = header {
            assert_eq!(sent.header(name), value, "{}", sent.text);
        }
        bench.nothing();
        assert!(bench.reports.is_empty() && bench.gateway.calls(bench.now).is_empty(), "no call is made of it");
        let problem = bench.gateway.status(bench.now).trunks.into_iter().find_map(|t| t.last_problem);
        assert!(problem.is_some_and(|text| text.contains(&line[..3])), "logged with its trunk: {line}");
        bench.finish();
    }
}

#[test]
fn the_same_request_by_another_way_and_our_own_come_back_are_482() {
    let mut bench = Bench::new();
    let first = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let ours = bench.expect(PBX, "INVITE");
    let merged = first.request("INVITE", &offer(), "").replace("branch=z9hG4bK-", "branch=z9hG4bK-other-");
    bench.receive(CARRIER, merged);
    bench.expect(CARRIER, "SIP/2.0 482");
    bench.receive(PBX, &ours.text);
    bench.expect(PBX, "SIP/2.0 482");
    bench.nothing();
    assert_eq!(bench.gateway.live_calls(), 1);
}

#[test]
fn requests_out_of_order_are_500() {
    let mut bench = Bench::new();
    let (mut caller, _) = bench.ringing();
    caller.cseq = 2;
    bench.receive(CARRIER, caller.request("INVITE", &offer(), ""));
    let sent = bench.expect(CARRIER, "SIP/2.0 500");
    assert!(sent.header("Retry-After").parse::<u32>().unwrap() <= 10, "RFC 3261 §14.2");

    let mut bench = Bench::new();
    let (mut caller, _) = bench.answered();
    for (cseq, code) in [(5, 200), (3, 500), (6, 200)] {
        caller.cseq = cseq;
        bench.receive(CARRIER, caller.request("OPTIONS", "", ""));
        assert_eq!(bench.next(CARRIER).code(), code);
    }
    assert_eq!(bench.gateway.live_calls(), 1);
}

#[test]
fn an_invite_that_expires_while_it_rings_is_487_and_the_target_is_cancelled() {
    let mut bench = Bench::new();
    bench.receive(CARRIER, dialing("+14155550100").request("INVITE", &offer(), "Expires: 20\r\n"));
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(180, ""));
    let ringing = bench.expect(CARRIER, "SIP/2.0 180");
    bench.pass(std::time::Duration::from_secs(20));
    bench.expect(CARRIER, "SIP/2.0 487");
    let cancel = bench.expect(PBX, "CANCEL");
    assert_eq!(bench.reports.last().unwrap().call.outcome, Some("canceled"));
    let sid = bench.reports.last().unwrap().call.sid.clone();
    let trace = serde_json::to_string(&bench.gateway.trace(&sid).unwrap()).unwrap();
    assert!(trace.contains("Expires"), "{trace}");
    let acknowledged = Dialing { to_tag: ringing.tag("To"), ..dialing("+14155550100") };
    bench.receive(CARRIER, acknowledged.request("ACK", "", "").replace("z9hG4bK-ACK", "z9hG4bK-INVITE"));
    bench.receive(PBX, callee.respond(&cancel, 200, ""));
    bench.receive(PBX, callee.answer(487, ""));
    bench.expect(PBX, "ACK");
    bench.finish();
}

#[test]
fn a_ringing_caller_hears_it_again_each_minute() {
    let mut bench = Bench::new();
    bench.ringing();
    bench.pass(std::time::Duration::from_secs(59));
    bench.nothing();
    bench.pass(std::time::Duration::from_secs(2));
    bench.expect(CARRIER, "SIP/2.0 180");
}
