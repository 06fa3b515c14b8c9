//! Traces of calls from the running edge: SIP messages as on the wire, and the ladder diagram as SVG.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use crate::support::calls::{Call, Phone};
use crate::support::{Process, config, finish, http};
use serde_json::Value;

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
    // The INVITE must be as the callee has received it, octet by octet.
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
    // The text has colours only on request.
    let plain = edge.get(&format!("/v1/calls/{sid}/trace.txt?columns=100")).1;
    let coloured = edge.get(&format!("/v1/calls/{sid}/trace.txt?columns=100&colour=true")).1;
    assert!(!plain.contains('\u{1b}') && coloured.contains("\u{1b}[36m"), "{coloured}");
}

/// Returns the payloads of the packets in a capture file, with their comments.
fn packets(file: &[u8]) -> Vec<(String, Vec<String>)> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let half = |at: usize| u16::from_le_bytes(file[at..at + 2].try_into().unwrap());
    let (mut at, mut all) = (0, Vec::new());
    while at < file.len() {
        let (kind, length) = (word(at), word(at + 4));
        assert_eq!(word(at + length - 4), length);
        if kind == 6 {
            let captured = word(at + 20);
            let packet = &file[at + 28..at + 28 + captured];
            let (mut option, mut comments) = (at + 28 + captured.next_multiple_of(4), Vec::new());
            while half(option) != 0 {
                let size = usize::from(half(option + 2));
                if half(option) == 1 {
                    comments.push(String::from_utf8(file[option + 4..option + 4 + size].to_vec()).unwrap());
                }
                option += 4 + size.next_multiple_of(4);
            }
            // The packets have headers of IPv4 and UDP, 28 bytes.
            all.push((String::from_utf8(packet[28..].to_vec()).unwrap(), comments));
        }
        at += length;
    }
    all
}

#[test]
fn a_call_is_a_capture_file_with_each_message() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "pcap", &caller, &callee);
    let (sid, file) = (edge.sid(), edge.directory.path().join("call.pcapng"));
    let output = finish(&["pcap", &sid, "-o", file.to_str().unwrap(), "--url", &edge.url()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let file = std::fs::read(&file).unwrap();
    assert!(String::from_utf8_lossy(&file).contains(&format!("edge under-test, call {sid}: Answered by pbx.")));
    let packets = packets(&file);
    let messages = edge.json(&format!("/v1/calls/{sid}/trace?raw=true"));
    let raw = messages["entries"].as_array().unwrap().iter().filter_map(|entry| entry["raw"].as_str());
    assert_eq!(packets.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), raw.collect::<Vec<_>>());
    let (_, comments) = packets.iter().find(|(text, _)| *text == call.invite.0).unwrap();
    assert_eq!(comments.last().unwrap(), "sent to pbx (leg 1)");
    assert!(comments.contains(&"target pbx".to_owned()), "{comments:?}");
    for (flag, words) in [("--media", "`trunkgate pcap --media`"), ("--secrets", "`trunkgate pcap --secrets`")] {
        let refused = finish(&["pcap", &sid, "-o", "x.pcapng", flag, "--url", &edge.url()]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(&format!("error[TG0190]: {words}")), "{refused:?}");
    }
    assert_eq!(http("GET", &format!("{}/v1/calls/CA0/trace.pcapng", edge.url()), &[], "").0, 404);
}
