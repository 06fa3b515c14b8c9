//! INFO between two remote parties: relayed unchanged, with its response.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::time::Duration;

use crate::bench::*;

const KEY: &str = "Signal=5\r\nDuration=160\r\n";

/// Returns an INFO with a digit.
fn info(request: &str) -> String {
    let head = request.split("Content-Length:").next().unwrap().replace("Content-Type: application/sdp\r\n", "");
    format!("{head}Content-Type: application/dtmf-relay\r\nContent-Length: {}\r\n\r\n{KEY}", KEY.len())
}

fn from_caller(caller: &mut Dialing) -> String {
    caller.cseq += 1;
    info(&caller.request("INFO", "", "X-Secret: 1\r\nContent-Disposition: session;handling=optional\r\n"))
}

#[test]
fn rfc6086_info_and_response_are_relayed() {
    for (code, seen) in [(200, 200), (202, 200), (415, 415), (469, 469), (405, 405), (401, 500)] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        bench.receive(CARRIER, from_caller(&mut caller));
        let passed = bench.expect(PBX, "INFO");
        assert_eq!((passed.body(), passed.header("Content-Type")), (KEY, "application/dtmf-relay"));
        assert_eq!(passed.header("Content-Disposition"), "session;handling=optional");
        assert!(!passed.text.contains("X-Secret") && !passed.text.contains("198.51.100.7"), "{}", passed.text);
        bench.nothing();
        bench.receive(PBX, callee.respond(&passed, code, ""));
        assert_eq!(bench.next(CARRIER).code(), seen);
        // INFO in the other direction.
        bench.receive(PBX, info(&callee.request("INFO", 1, "")));
        let passed = bench.expect(CARRIER, "INFO");
        assert_eq!(passed.body(), KEY);
        bench.receive(CARRIER, caller.respond(&passed, 200, ""));
        bench.expect(PBX, "SIP/2.0 200");
        let trace = serde_json::to_string(&bench.gateway.trace(&bench.gateway.calls(bench.now)[0].sid)).unwrap();
        assert!(trace.contains("INFO") && !trace.contains("Signal") && !format!("{:?}", bench.logs).contains("Signal"));
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn one_that_is_too_long_to_go_on_gets_413() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let long = "x".repeat(trunkgate_call::limits::INFO_BYTES);
    caller.cseq += 1;
    let disposition = caller.request("INFO", "", &format!("Content-Disposition: session;x={long}\r\n"));
    caller.cseq += 1;
    for request in [disposition, caller.request("INFO", &long, "")] {
        bench.receive(CARRIER, request);
        bench.expect(CARRIER, "SIP/2.0 413");
        bench.nothing();
    }
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn rfc6086_4_2_2_packages_are_not_taken() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    bench.receive(CARRIER, from_caller(&mut caller).replace("X-Secret", "Info-Package"));
    let refused = bench.expect(CARRIER, "SIP/2.0 469");
    assert_eq!(refused.header("Recv-Info"), "");
    bench.nothing();
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_far_end_that_has_lost_the_call_ends_it() {
    for code in [Some(481), Some(408), None] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        bench.receive(CARRIER, from_caller(&mut caller));
        let passed = bench.expect(PBX, "INFO");
        match code {
            Some(code) => bench.receive(PBX, callee.respond(&passed, code, "")),
            None => bench.pass(Duration::from_secs(33)),
        }
        assert_eq!(bench.next(CARRIER).code(), code.unwrap_or(408));
        bench.expect(CARRIER, "BYE");
        assert_eq!(bench.reports[0].call.reason, Some("unreachable"));
    }
}

#[test]
fn only_so_many_wait_for_their_answer_and_the_end_of_the_call_is_one() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    for _ in 0..8 {
        bench.receive(CARRIER, from_caller(&mut caller));
        bench.expect(PBX, "INFO");
        bench.nothing();
    }
    bench.receive(CARRIER, from_caller(&mut caller));
    bench.expect(CARRIER, "SIP/2.0 500");
    bench.nothing();
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    for _ in 0..8 {
        bench.expect(CARRIER, "SIP/2.0 487");
    }
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn before_the_answer_and_outside_of_a_call_there_is_nobody_to_tell() {
    let mut bench = Bench::new();
    let (mut caller, _) = bench.ringing();
    bench.receive(CARRIER, from_caller(&mut caller));
    bench.expect(CARRIER, "SIP/2.0 480");
    let mut stray = Dialing { to_tag: "gone".into(), ..caller.clone() };
    bench.receive(CARRIER, from_caller(&mut stray));
    bench.expect(CARRIER, "SIP/2.0 481");
    bench.nothing();
}
