//! What the running edge shows of a call: its messages as they were on the wire, its ladder as a picture.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

mod support;

use serde_json::Value;
use support::calls::{Call, Phone};
use support::{Process, config, finish, http};

fn edge(caller: &Phone, callee: &Phone, more: &str) -> Process {
    let trunks = caller.trunk("carrier") + &callee.trunk("pbx");
    let routes = "[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n";
    Process::start(&config(&format!("{trunks}{routes}{more}")))
}

#[test]
fn messages_come_with_their_text_and_addresses_when_they_are_asked_for() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "raw", &caller, &callee);
    let sid = edge.sid();
    let trace = edge.json(&format!("/v1/calls/{sid}/trace?raw=true"));
    let of_kind = |kind: &str| -> Vec<Value> {
        trace["entries"].as_array().unwrap().iter().filter(|entry| entry["kind"] == kind).cloned().collect()
    };
    let messages = of_kind("message");
    assert!(messages.len() >= 6, "{trace:#}");
    for message in &messages {
        assert_eq!(message["local"], Value::from(edge.address("udp").to_string()), "{message:#}");
        assert_eq!(message["transport"], "udp");
        let party = if message["leg"] == 0 { &caller } else { &callee };
        assert_eq!(message["remote"], Value::from(party.sip.address.to_string()), "{message:#}");
    }
    // What the callee got, octet by octet.
    let invite = messages.iter().find(|message| message["leg"] == 1 && message["text"] == "INVITE").unwrap();
    assert_eq!(invite["raw"], Value::from(call.invite.0.as_str()));
    assert!(of_kind("decision").iter().all(|entry| entry.get("raw").is_none()));
    let without = edge.get(&format!("/v1/calls/{sid}/trace")).1;
    assert!(!without.contains("\"raw\""), "{without}");
    assert_eq!(edge.get(&format!("/v1/calls/{sid}/trace?raw=2")).0, 400);
    assert!(edge.metric("trunkgate_trace_message_bytes") > 1_000.0);
    assert_eq!(edge.metric("trunkgate_trace_messages_dropped_total"), 0.0);
}

#[test]
fn the_ladder_is_a_picture_too() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&caller, &callee, "");
    Call::set_up(&edge, "picture", &caller, &callee);
    let (sid, file) = (edge.sid(), edge.directory.path().join("call.svg"));
    let output = finish(&["trace", &sid, "--svg", file.to_str().unwrap(), "--url", &edge.url()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let svg = std::fs::read_to_string(&file).unwrap();
    for part in ["<svg xmlns", &format!("Ladder of call {sid}"), ">carrier<", ">edge<", ">pbx<", ">INVITE<", ">200 OK<"]
    {
        assert!(svg.contains(part), "{part} in {svg}");
    }
    let printed = finish(&["trace", "last", "--svg", "-", "--url", &edge.url()]);
    assert!(printed.stdout.starts_with(b"<svg xmlns"));
    let (code, _) = http("GET", &format!("{}/v1/calls/CA0/trace.svg", edge.url()), &[], "");
    assert_eq!(code, 404);
    // Only where it is asked for.
    let plain = edge.get(&format!("/v1/calls/{sid}/trace.txt?columns=100")).1;
    let coloured = edge.get(&format!("/v1/calls/{sid}/trace.txt?columns=100&colour=true")).1;
    assert!(!plain.contains('\u{1b}') && coloured.contains("\u{1b}[36m"), "{coloured}");
}
