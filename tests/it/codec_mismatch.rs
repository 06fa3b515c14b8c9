//! Calls without a common codec, each with real sockets: trace, `calls`, `status`, `doctor` and the list of calls name
//! the codecs, the trunk and the configuration key to change.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::TcpListener;

use crate::support::calls::{Call, NUMBER, Phone, rtp};
use crate::support::sip::to_tag;
use crate::support::{Process, config, finish, until};
use serde_json::Value;

const FLAG: &str = "codec_mismatch";

fn phones() -> (Phone, Phone) {
    (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"))
}

/// Starts an edge that `doctor` finds by its file; `more`: keys of the callers' trunk, then of the callees' trunk.
fn edge(caller: &Phone, callee: &Phone, more: [&str; 2]) -> Process {
    let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [of_caller, of_callee] = more;
    let trunks = caller.trunk("carrier") + of_caller + &callee.trunk("pbx") + of_callee;
    let text = config(&(trunks + "[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n"));
    Process::start(&text.replace("[http]\naddress = \"127.0.0.1:0\"", &format!("[http]\naddress = \"{http}\"")))
}

/// Returns the SDP of a phone with one codec.
fn with(phone: &Phone, number: u8, codec: &str) -> String {
    let port = phone.rtp_address().port();
    phone.described(1, &format!("m=audio {port} RTP/AVP {number}\r\na=rtpmap:{number} {codec}/8000\r\n"))
}

fn invite(edge: &Process, caller: &Phone, offer: &str) {
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "codecs", (1, ""), offer));
}

/// Receives 488 at the caller, and acknowledges it.
fn refused(edge: &Process, caller: &Phone) {
    let (answer, _) = caller.sip.receive("SIP/2.0 488");
    let (sip, tag) = (edge.address("udp"), to_tag(&answer));
    caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, "codecs", (1, tag), ""));
    until("the call has ended", || (listed(edge)["state"] == "ended").then_some(()));
}

/// Returns the newest call with the flag; `null` if there is none.
fn listed(edge: &Process) -> Value {
    edge.json(&format!("/v1/calls?flag={FLAG}"))["calls"][0].clone()
}

fn told(edge: &Process, arguments: &[&str]) -> String {
    let output = finish(&[arguments, &["--url", &edge.url()]].concat());
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Checks that every view has the cause, and, if it has room, the fix.
fn is_told(edge: &Process, trunk: &str, (level, count): (&str, &str), cause: &str, fix: &str) {
    let trace = told(edge, &["trace", "last"]);
    let cause_begins = cause.split_at(1).1;
    assert!(trace.contains(cause_begins) && trace.contains(&format!("Try: {fix}")), "{trace}");
    let status = told(edge, &["status"]);
    let line = format!("! codecs do not match in {count} of the last hour with {trunk}, which failed: {cause}");
    assert!(status.contains(&line) && status.contains(&format!(" try: {fix}")), "{status}");
    for arguments in [&["calls"][..], &["calls", "--flag", FLAG]] {
        assert!(told(edge, arguments).contains(" !codecs "), "{arguments:?}");
    }
    let none = told(edge, &["calls", "--flag", "srtp"]);
    assert!(none.starts_with("no call since the start at ") && none.contains(" matches --flag srtp "), "{none}");
    let file = edge.file.to_str().unwrap();
    let output = finish(&["--config", file, "doctor", "--json", "--only", "codecs"]);
    let lines: Value = serde_json::from_slice(&output.stdout).unwrap();
    let line = &lines[0];
    assert_eq!((line["name"] == format!("codecs {trunk}"), line["level"] == level), (true, true), "{line}");
    assert!(line["text"].as_str().unwrap().contains(&format!("in {count} of the last hour: {cause}")), "{line}");
    assert!(line["fix"].as_str().unwrap().starts_with(fix), "{line}");
    assert_eq!(output.status.code(), Some(i32::from(level == "fail")));
    // This fault has a fix of its own; without another target, the call has not continued.
    let kind = if level == "fail" { "failed" } else { FLAG };
    let troubles = until("it is among what went wrong", || {
        let troubles = edge.json("/v1/history")["troubles"].as_array().unwrap().clone();
        (!troubles.is_empty()).then_some(troubles)
    });
    let [trouble] = troubles.as_slice() else { panic!("{troubles:?}") };
    let (text, own) = (trouble["text"].as_str().unwrap(), trouble["fix"].as_str().unwrap());
    assert!(trouble["kind"] == kind && text.contains(cause) && own.starts_with(fix), "{trouble}");
}

#[test]
fn a_caller_that_offers_what_its_own_trunk_forbids() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, ["codecs = [\"PCMU\"]\n", ""]);
    assert_eq!(listed(&edge), Value::Null);
    let only = finish(&["--config", edge.file.to_str().unwrap(), "doctor", "--json", "--only", "codecs"]);
    assert!(String::from_utf8(only.stdout).unwrap().contains("no codec mismatches in the last hour"));
    invite(&edge, &caller, &with(&caller, 8, "PCMA"));
    refused(&edge, &caller);
    assert_eq!(listed(&edge)["reason"], "codec_mismatch");
    let cause = "carrier offers no usable codec (offered PCMA; allowed PCMU)";
    is_told(
        &edge,
        "carrier",
        ("fail", "1 of 1 calls"),
        cause,
        "set `codecs = [\"PCMU\", \"PCMA\"]` in [trunk.carrier]",
    );
}

#[test]
fn a_callee_that_takes_nothing_of_what_its_trunk_lets_it_be_offered() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, ["", "codecs = [\"PCMU\"]\n"]);
    invite(&edge, &caller, &with(&caller, 0, "PCMU"));
    let (invite, from) = callee.sip.receive("INVITE ");
    let answer = callee.sip.answer_with(&invite, "488 Not Acceptable Here", "");
    let answer = answer.replacen("CSeq: ", "Warning: 305 pbx \"only PCMA\"\r\nCSeq: ", 1);
    callee.sip.send(from, &answer);
    refused(&edge, &caller);
    assert_eq!(listed(&edge)["reason"], "target_rejected");
    let cause = "pbx accepts no offered codec (488: it was offered PCMU by RTP/AVP, Warning: 305 pbx \"only PCMA\")";
    let fix = "set `codecs = [\"PCMU\", \"PCMA\"]` in [trunk.pbx]: pbx requests it";
    is_told(&edge, "pbx", ("fail", "1 of 1 calls"), cause, fix);
}

#[test]
fn a_callee_that_answers_with_what_it_was_not_offered() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, ["", ""]);
    invite(&edge, &caller, &with(&caller, 18, "G729"));
    let (invite, from) = callee.sip.receive("INVITE ");
    callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &with(&callee, 0, "PCMU")));
    refused(&edge, &caller);
    let cause = "pbx answered without a usable codec (offered G729; answered PCMU)";
    let fix = "enable one of PCMU, PCMA, G722, opus at carrier, or G729 at pbx";
    is_told(&edge, "carrier", ("fail", "1 of 1 calls"), cause, fix);
}

#[test]
fn a_side_that_sends_another_codec_than_was_agreed_on() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, ["", ""]);
    let call = Call::set_up(&edge, "odd", &caller, &callee);
    let mut sent = 0_u16;
    until("the flag is there while the call lives", || {
        caller.rtp.send_to(&rtp(7, sent), call.near).unwrap();
        let mut odd = rtp(8, sent);
        odd[1] = 9;
        callee.rtp.send_to(&odd, call.far).unwrap();
        sent += 1;
        (listed(&edge)["state"] == "answered").then_some(())
    });
    let cause = "payload type 9, which was not negotiated: negotiated 0 (PCMU)";
    let status = told(&edge, &["status"]);
    assert!(status.contains("! codecs do not match in 1 of ") && status.contains(cause), "{status}");
    assert!(status.contains(" try: check `codecs` in [trunk.pbx]"), "{status}");
    call.hang_up(2, &caller, &callee);
    until("the call has ended", || (listed(&edge)["state"] == "ended").then_some(()));
    assert!(told(&edge, &["calls"]).contains("answered !codecs"), "{}", told(&edge, &["calls"]));
}
