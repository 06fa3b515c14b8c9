//! End reasons of legs in calls and records, and the outcome for a caller for whom a transfer fails, through the real
//! binary.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::SocketAddr;

use crate::support::calls::{NUMBER, Phone};
use crate::support::listener::Listener;
use crate::support::sip::{field, to_tag};
use crate::support::{Process, config, until};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// Starts an edge between a caller, an agent and two phones; the second phone has no route, unless `connect` names it.
fn edge(parties: [&Phone; 3], url: &str, connect: &str) -> Process {
    let names = ["carrier", "pbx", "desk"];
    let trunks: String = parties.iter().zip(names).map(|(phone, name)| phone.trunk(name)).collect();
    Process::start(&config(&format!(
        "{trunks}[agent.bot]\nurl = \"{url}\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = {connect}\n[cdr]\nfile = \"cdr.jsonl\"\n"
    )))
}

/// Begins a call that the agent answers; returns the edge's tag.
fn begin(caller: &Phone, sip: SocketAddr, id: &str) -> String {
    let offer = caller.description(1, "");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &offer));
    let (ok, _) = caller.sip.receive("SIP/2.0 200");
    let tag = to_tag(&ok).to_owned();
    caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, id, (1, &tag), ""));
    tag
}

/// Rejects a call at a phone as busy.
fn is_busy(phone: &Phone) {
    let (got, from) = phone.sip.receive("INVITE ");
    phone.sip.send(from, &phone.sip.answer_with(&got, "486 Busy Here", ""));
    phone.sip.receive("ACK ");
}

fn ends(call: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    call["legs"].as_array().unwrap().iter().map(|leg| (text(&leg["reason"]), text(&leg["ended_by"]))).collect()
}

fn named(ends: &[(&str, &str)]) -> Vec<(String, String)> {
    ends.iter().map(|(reason, by)| ((*reason).to_owned(), (*by).to_owned())).collect()
}

#[test]
fn a_caller_whose_transfer_fails_goes_on_to_the_targets_that_are_left() {
    let [caller, pbx, desk] = ["127.0.0.1", "127.0.0.3", "127.0.0.4"].map(Phone::new);
    let bot = Listener::doing(|socket, stream| {
        let wish = json!({"event": "transfer", "target": "trunk:desk"}).to_string();
        stream.start.is_null() || stream.stopped || socket.send(Message::text(wish)).is_ok()
    });
    let edge = edge([&caller, &pbx, &desk], &bot.url(), r#"["agent:bot", "trunk:pbx"]"#);
    let sip = edge.address("udp");
    let tag = begin(&caller, sip, "on");
    is_busy(&desk);
    let (got, from) = pbx.sip.receive("INVITE ");
    pbx.sip.send(from, &pbx.sip.answer_with(&got, "200 OK", &pbx.description(1, "")));
    pbx.sip.receive("ACK ");
    let path = format!("/v1/calls/{}", edge.sid());
    until("the PBX has the caller", || (edge.json(&path)["state"] == "answered").then_some(()));
    let expected = [("", ""), ("transferred", "far_end"), ("target_busy", "far_end"), ("", "")];
    assert_eq!(ends(&edge.json(&path)), named(&expected));
    caller.sip.send(sip, &caller.sip.request_with("BYE", NUMBER, sip, "on", (2, &tag), ""));
    pbx.sip.receive("BYE ");
}

#[test]
fn the_record_of_a_call_says_that_its_agent_was_killed() {
    let [caller, pbx, desk] = ["127.0.0.1", "127.0.0.3", "127.0.0.4"].map(Phone::new);
    // The agent disconnects at its first message, without a close.
    let bot = Listener::doing(|_, stream| stream.start.is_null());
    let edge = edge([&caller, &pbx, &desk], &bot.url(), r#"["agent:bot", "trunk:pbx"]"#);
    let sip = edge.address("udp");
    let tag = begin(&caller, sip, "killed");
    let (got, from) = pbx.sip.receive("INVITE ");
    pbx.sip.send(from, &pbx.sip.answer_with(&got, "200 OK", &pbx.description(1, "")));
    pbx.sip.receive("ACK ");
    let path = format!("/v1/calls/{}", edge.sid());
    until("the PBX has the caller", || (edge.json(&path)["state"] == "answered").then_some(()));
    assert_eq!(edge.json("/v1/agents")["agents"][0]["state"], "up", "it can be reached");
    caller.sip.send(sip, &caller.sip.request_with("BYE", NUMBER, sip, "killed", (2, &tag), ""));
    let (bye, from) = pbx.sip.receive("BYE ");
    pbx.sip.send(from, &pbx.sip.answer_with(&bye, "200 OK", ""));
    let records = edge.file.with_file_name("cdr.jsonl");
    let record: Value = until("the record is written", || {
        let text = std::fs::read_to_string(&records).ok()?;
        serde_json::from_str(text.lines().next()?).ok()
    });
    let expected = [("caller_hung_up", "far_end"), ("agent_reset", "far_end"), ("caller_hung_up", "edge")];
    assert_eq!((ends(&record), record["reason"].as_str()), (named(&expected), Some("caller_hung_up")));
}

#[test]
fn with_nobody_left_the_call_ends_with_the_reason_of_the_target() {
    let [caller, pbx, desk] = ["127.0.0.1", "127.0.0.3", "127.0.0.4"].map(Phone::new);
    let bot = Listener::start();
    let edge = edge([&caller, &pbx, &desk], &bot.url(), r#"["agent:bot"]"#);
    begin(&caller, edge.address("udp"), "last");
    let path = format!("/v1/calls/{}", edge.sid());
    let (status, answer) = edge.post(&format!("{path}/transfer"), &json!({"target": "trunk:desk"}));
    assert_eq!(status, 202, "{answer}");
    is_busy(&desk);
    let (bye, _) = caller.sip.receive("BYE ");
    assert!(field(&bye, "Reason").contains("target_busy"), "{bye}");
    assert!(pbx.sip.heard_nothing());
    let call = edge.json(&path);
    assert_eq!((call["outcome"].as_str(), call["reason"].as_str()), (Some("answered"), Some("target_busy")));
    let expected = [("target_busy", "edge"), ("transferred", "edge"), ("target_busy", "far_end")];
    assert_eq!(ends(&call), named(&expected));
    let verdict = edge.json(&format!("{path}/trace"))["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.ends_with("1 target failed: desk (the callee is busy)."), "{verdict}");
}

#[test]
fn an_agent_that_is_named_again_has_its_caller_back() {
    let [caller, pbx, desk] = ["127.0.0.1", "127.0.0.3", "127.0.0.4"].map(Phone::new);
    let bot = Listener::start();
    let edge = edge([&caller, &pbx, &desk], &bot.url(), r#"["agent:bot", "agent:bot"]"#);
    let sip = edge.address("udp");
    let tag = begin(&caller, sip, "back");
    let path = format!("/v1/calls/{}", edge.sid());
    let (status, answer) = edge.post(&format!("{path}/transfer"), &json!({"target": "trunk:desk"}));
    assert_eq!(status, 202, "{answer}");
    is_busy(&desk);
    until("the agent has the caller again", || {
        let streams = bot.streams();
        (streams.len() == 2 && streams[0].stopped && !streams[1].start.is_null()).then_some(())
    });
    until("the call goes on", || (edge.json(&path)["state"] == "answered").then_some(()));
    caller.sip.send(sip, &caller.sip.request_with("BYE", NUMBER, sip, "back", (2, &tag), ""));
    until("the record is written", || (edge.json(&path)["reason"] == "caller_hung_up").then_some(()));
}
