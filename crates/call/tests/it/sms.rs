//! Text messages after calls: the calls that get one, and the reason in the trace of those that do not.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::*;
use trunkgate_call::trace::TraceItem;
use trunkgate_call::{CallAction, OperatorCommand, SmsEvent, SmsRequest};
use trunkgate_route::{ParameterTemplate, Route, SmsRule, TargetSpec, TextOutcome};

fn rule(on: &[TextOutcome]) -> Option<Arc<SmsRule>> {
    Some(Arc::new(SmsRule {
        to: ParameterTemplate::parse_ended("{caller}").unwrap(),
        from: "+14155550001".into(),
        body: ParameterTemplate::parse_ended("We missed your call ({outcome}).").unwrap(),
        on: on.to_vec(),
        recipients: trunkgate_route::SmsRecipients::Any,
    }))
}

fn bench_with(on: &[TextOutcome], connect: Vec<TargetSpec>) -> Bench {
    Bench::with(table(usual_trunks(), vec![Route { sms: rule(on), ..route(connect) }]))
}

/// Returns the events of the call's text message since the last call of this function, without its SID.
fn told(bench: &mut Bench) -> Vec<String> {
    let text = |sms: SmsRequest| format!("{} {} {}", sms.to, sms.from, sms.body);
    let one = |news: SmsEvent| match news {
        SmsEvent::Watch(sms) => format!("watch {}", text(*sms)),
        SmsEvent::Forget(sid) => {
            assert!(sid.starts_with("CA"), "{sid}");
            "forget".to_owned()
        }
        SmsEvent::Send(sms) => format!("send {}", text(*sms)),
    };
    bench.texts.drain(..).map(one).collect()
}

/// Makes a call that its target answers with this code; returns the last line of the trace about its text.
fn ends_with(bench: &mut Bench, number: &str, code: u16) -> String {
    let caller = bench.invite(CARRIER, number, &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(code, ""));
    bench.expect(PBX, "ACK");
    let refused = bench.sent.pop_front().unwrap();
    assert!(refused.code() >= 400, "{}", refused.text);
    let ack = Dialing { to_tag: refused.tag("To"), ..caller };
    bench.receive(CARRIER, ack.request("ACK", "", ""));
    let trace = serde_json::to_value(bench.gateway.trace(&sid).unwrap()).unwrap();
    let mut texts = trace["entries"].as_array().unwrap().iter().filter_map(|entry| entry["text"].as_str());
    texts.rfind(|text| text.contains("text")).unwrap_or_default().to_owned()
}

const WATCHED: &str = "watch +14155551234 +14155550001 We missed your call (failed).";

#[test]
fn a_call_that_nobody_took_is_followed_by_one() {
    for (code, outcome) in
        [(486, "busy"), (600, "busy"), (603, "busy"), (408, "no_answer"), (480, "no_answer"), (500, "failed")]
    {
        let mut bench = bench_with(&TextOutcome::USUAL, vec![to_trunk("pbx")]);
        let trace = ends_with(&mut bench, "+14155550100", code);
        assert_eq!(trace, format!("text to +1415****234: {outcome}"), "{code}");
        let send = format!("send +14155551234 +14155550001 We missed your call ({outcome}).");
        assert_eq!(told(&mut bench), [WATCHED.to_owned(), send], "{code}");
    }
}

#[test]
fn a_refused_call_has_none_and_the_trace_says_why() {
    let mut bench = bench_with(&TextOutcome::USUAL, vec![to_trunk("pbx")]);
    assert_eq!(ends_with(&mut bench, "+14155550100", 404), "no text message: the call was refused, not missed");
    assert_eq!(told(&mut bench), [WATCHED, "forget"]);
    let mut bench = bench_with(&[TextOutcome::Busy], vec![to_trunk("pbx")]);
    assert_eq!(ends_with(&mut bench, "+14155550100", 500), "no text message: failed is not in `on`");
    assert_eq!(told(&mut bench), ["forget"], "a crash is no busy line: it was never kept for that");
    // To its own number.
    let mut bench = bench_with(&TextOutcome::USUAL, vec![to_trunk("pbx")]);
    assert_eq!(
        ends_with(&mut bench, "+14155551234", 486),
        "no text message: the recipient is the sender or the called number"
    );
    assert_eq!(told(&mut bench), ["forget"]);
}

#[test]
fn the_end_that_a_route_has_for_calls_that_nobody_took_counts_as_that() {
    let mut bench = bench_with(&TextOutcome::USUAL, vec![to_trunk("pbx"), TargetSpec::Reject(480)]);
    assert_eq!(ends_with(&mut bench, "+14155550100", 503), "text to +1415****234: no_answer");
    let mut bench = bench_with(&TextOutcome::USUAL, vec![TargetSpec::Reject(486)]);
    bench.invite(CARRIER, "+14155550100", &offer());
    assert_eq!(told(&mut bench), [WATCHED, "forget"], "a route that only rejects");
}

#[test]
fn a_caller_that_hides_its_number_gets_none() {
    for (privacy, first) in [("id", None), ("user;critical", None), ("none", Some(WATCHED))] {
        let mut bench = bench_with(&TextOutcome::USUAL, vec![to_trunk("pbx")]);
        let dialing =
            Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
        bench.receive(CARRIER, dialing.request("INVITE", &offer(), &format!("Privacy: {privacy}\r\n")));
        assert_eq!(told(&mut bench).first().map(String::as_str), first, "{privacy}");
    }
}

#[test]
fn an_answered_call_has_none() {
    let mut bench = bench_with(&TextOutcome::ALL, vec![to_trunk("pbx")]);
    let (mut caller, callee) = bench.answered();
    assert_eq!(told(&mut bench), [WATCHED, "forget"]);
    bench.bye(&mut caller, &callee);
    assert_eq!(told(&mut bench), [""; 0]);
    bench.finish();
}

#[test]
fn who_gives_up_gets_one_where_the_route_says_so() {
    for (on, last) in [
        (&TextOutcome::USUAL[..], "forget"),
        (&TextOutcome::ALL[..], "send +14155551234 +14155550001 We missed your call (canceled)."),
    ] {
        let mut bench = bench_with(on, vec![to_trunk("pbx")]);
        let caller = bench.invite(CARRIER, "+14155550100", &offer());
        bench.receive(CARRIER, caller.request("CANCEL", "", ""));
        assert_eq!(told(&mut bench), [WATCHED, last]);
    }
}

#[test]
fn calls_that_the_edge_ends_while_they_ring_are_missed() {
    let mut bench = bench_with(&TextOutcome::USUAL, vec![to_trunk("pbx")]);
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.control(OperatorCommand::EndAll);
    bench.pass(Duration::from_secs(1));
    assert_eq!(told(&mut bench)[1..], ["send +14155551234 +14155550001 We missed your call (failed)."]);
}

#[test]
fn what_becomes_of_it_later_stands_in_the_trace() {
    let mut bench = bench_with(&TextOutcome::USUAL, vec![to_trunk("pbx")]);
    ends_with(&mut bench, "+14155550100", 486);
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    for _ in 0..2 {
        bench.change_call(&sid, CallAction::Note(TraceItem::decision("text sent: SM1"))).unwrap();
        let trace = serde_json::to_string(&bench.gateway.trace(&sid).unwrap()).unwrap();
        assert!(trace.contains("text sent: SM1"), "{trace}");
        // Only the kept record of the ended call is left.
        bench.pass(Duration::from_secs(40));
    }
}
