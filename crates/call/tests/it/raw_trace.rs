//! Messages in a call's trace as sent on the wire, with secrets overwritten.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use crate::bench::{Bench, CARRIER, Dialed, LOCAL, PBX, PUBLIC, answer, offer};
use serde_json::Value;
use trunkgate_call::trace::{TraceEntry, TraceItem};

/// Returns the messages in the trace of the newest call: direction, first line, text.
fn messages(bench: &Bench) -> Vec<(bool, String, Option<String>)> {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let text = |entry: TraceEntry| match entry.what {
        TraceItem::Message { received, text, .. } => {
            let raw = entry.message.map(|message| String::from_utf8(message.raw.to_vec()).unwrap());
            Some((received, text, raw))
        }
        TraceItem::Decision { .. } | TraceItem::Webhook { .. } | TraceItem::Agent { .. } | TraceItem::Media { .. } => {
            None
        }
    };
    bench.gateway.raw_trace(&sid).unwrap().entries.into_iter().filter_map(text).collect()
}

#[test]
fn each_message_of_a_call_is_in_its_trace_as_it_was_on_the_wire() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    let invite = bench.expect(PBX, "INVITE");
    let callee = Dialed::new(PBX, invite.clone());
    bench.receive(PBX, callee.answer(180, ""));
    bench.receive(PBX, callee.answer(200, &answer()));
    let ack = bench.expect(PBX, "ACK");
    let trying = bench.expect(CARRIER, "SIP/2.0 100");
    let ringing = bench.expect(CARRIER, "SIP/2.0 180");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &callee);
    let told = messages(&bench);
    for (entry, (received, text, raw)) in told.iter().enumerate() {
        let raw = raw.as_ref().unwrap_or_else(|| panic!("{entry}: {text} has no text"));
        let first = raw.lines().next().unwrap();
        assert!(first.strip_prefix("SIP/2.0 ").unwrap_or(first).starts_with(text), "{entry}: {text}: {raw}");
        assert!(raw.contains("Call-ID: "), "{received} {raw}");
    }
    let sent: Vec<_> = told.iter().filter(|(received, ..)| !received).filter_map(|(.., raw)| raw.as_ref()).collect();
    for message in [&trying, &invite, &ringing, &ack, &ok] {
        assert!(sent.contains(&&message.text), "{} in {sent:#?}", message.text);
    }
    assert!(told[0].0 && told[0].2.as_ref().unwrap().ends_with(&offer()));
    bench.finish();
    assert_eq!(messages(&bench), told, "an ended call keeps them");
    // The same trace as the HTTP API shows it.
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let shown = serde_json::to_value(bench.gateway.raw_trace(&sid)).unwrap();
    let first = &shown["entries"][0];
    assert_eq!(first["raw"].as_str(), told[0].2.as_deref());
    assert_eq!((&first["remote"], &first["transport"]), (&Value::from(CARRIER), &Value::from("udp")));
    assert!(
        first["local"].as_str().unwrap().ends_with(":5060") && first["local"] != format!("{PUBLIC}:5060"),
        "{first}"
    );
    let to_pbx = shown["entries"].as_array().unwrap().iter().find(|entry| entry["remote"] == PBX).unwrap();
    assert_eq!(to_pbx["local"], format!("{LOCAL}:5060"));
    let plain = serde_json::to_string(&bench.gateway.trace(&sid)).unwrap();
    assert!(!plain.contains("\"raw\"") && !plain.contains("\"remote\""), "{plain}");
}

/// Returns the texts of a leg's messages, in order.
fn texts(bench: &Bench, of: usize) -> Vec<(bool, String)> {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let text = |entry: TraceEntry| match entry.what {
        TraceItem::Message { leg, received, text, .. } => (leg == of).then_some((received, text)),
        TraceItem::Decision { .. } | TraceItem::Webhook { .. } | TraceItem::Agent { .. } | TraceItem::Media { .. } => {
            None
        }
    };
    bench.gateway.trace(&sid).unwrap().entries.into_iter().filter_map(text).collect()
}

#[test]
fn what_the_endpoint_answers_by_itself_stands_behind_what_it_answers() {
    let mut bench = Bench::new();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(180, ""));
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
    let cancel = bench.expect(PBX, "CANCEL");
    bench.receive(PBX, callee.respond(&cancel, 200, ""));
    bench.receive(PBX, callee.answer(487, ""));
    let theirs = |text: &str| (true, text.to_owned());
    let ours = |text: &str| (false, text.to_owned());
    let with_caller = [
        theirs("INVITE"),
        ours("100 Trying"),
        ours("180 Ringing"),
        theirs("CANCEL"),
        ours("200 OK"),
        ours("487 Request Terminated"),
    ];
    assert_eq!(texts(&bench, 0), with_caller);
    let with_callee = [
        ours("INVITE"),
        theirs("180 Whatever"),
        ours("CANCEL"),
        theirs("200 Whatever"),
        theirs("487 Whatever"),
        ours("ACK"),
    ];
    assert_eq!(texts(&bench, 1), with_callee);
    // A BYE: its 200 is sent before the call handles it.
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    bench.bye(&mut caller, &callee);
    let told = texts(&bench, 0);
    assert_eq!(told[told.len() - 2..], [theirs("BYE"), ours("200 OK")]);
}
