//! MESSAGE in a dialog (RFC 3428 §11): relayed to the other side, with its response.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use crate::bench::agents::*;
use crate::bench::*;

fn text(request: &str, words: &str) -> String {
    let (head, _) = request.split_once("Content-Length").unwrap();
    format!("{head}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{words}", words.len())
}

#[test]
fn a_message_goes_to_the_other_side_and_its_answer_back() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    for (code, seen) in [(200, 200), (202, 200), (415, 415), (500, 500)] {
        caller.cseq += 1;
        bench.receive(CARRIER, text(&caller.request("MESSAGE", "", ""), "Gate 4, please"));
        let passed = bench.expect(PBX, "MESSAGE");
        assert_eq!((passed.header("Content-Type"), passed.body()), ("text/plain", "Gate 4, please"));
        bench.nothing();
        bench.receive(PBX, callee.respond(&passed, code, ""));
        bench.expect(CARRIER, &format!("SIP/2.0 {seen}"));
    }
    // Text that resembles a digit stays text.
    bench.receive(PBX, text(&callee.request("MESSAGE", 7, ""), "Signal=5\r\n"));
    let passed = bench.expect(CARRIER, "MESSAGE");
    assert_eq!(passed.body(), "Signal=5\r\n");
    bench.receive(CARRIER, caller.respond(&passed, 200, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn an_agent_gets_none() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, _, _) = bench.talking();
    caller.cseq += 1;
    bench.receive(CARRIER, text(&caller.request("MESSAGE", "", ""), "hello"));
    let refused = bench.expect(CARRIER, "SIP/2.0 405");
    assert!(!refused.header("Allow").contains("MESSAGE"), "{}", refused.text);
    hang_up(&mut bench, &mut caller);
    bench.finish();
}
