//! Attacks by signalling: injection into headers and logs, redirection of our traffic to other targets, and
//! impersonation.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use crate::bench::*;
use trunkgate_call::limits::{CALL_ID_CHARS, NUMBER_CHARS, TRACE_TEXT_CHARS};

const STEERING: &str = "%1b%5b2J%0d%0aCALL%07%e2%80%ae";

/// Returns the response to an INVITE with this description.
fn refusal(body: &str) -> String {
    let mut bench = Bench::new();
    bench.invite(CARRIER, "+14155550100", body);
    bench.expect(CARRIER, "SIP/2.0 100");
    let answer = bench.sent.pop_front().unwrap();
    format!("{} {}", answer.first_line(), answer.headers("Warning").join(" "))
}

#[test]
fn rtcp_is_no_way_round_the_rules_for_media_addresses() {
    for line in [
        "a=rtcp:4001 IN IP4 127.0.0.1",
        "a=rtcp:5060 IN IP4 203.0.113.10",
        "a=rtcp:16385 IN IP4 203.0.113.10",
        "a=rtcp:4001 IN IP4 169.254.169.254",
        "a=rtcp:4001 IN IP6 ::ffff:127.0.0.1",
        "a=rtcp:4001 IN IP6 fe80::1",
    ] {
        let answer = refusal(&format!("{}{line}\r\n", offer()));
        assert!(answer.starts_with("SIP/2.0 488") && answer.contains("unusable media address"), "{line}: {answer}");
    }
    // Without the line RTCP uses the port above RTP: here that is our own listener.
    let own = sdp("203.0.113.10", 5059, 1, "0 8", "sendrecv");
    assert!(refusal(&own).starts_with("SIP/2.0 488"));
    for line in ["a=rtcp:4001 IN IP4 198.51.100.9", "a=rtcp:4001", "a=rtcp:0 IN IP4 127.0.0.1", "a=rtcp:x"] {
        let answer = refusal(&format!("{}{line}\r\n", offer()));
        assert!(answer.starts_with("INVITE"), "{line}: {answer}");
    }
}

#[test]
fn what_one_side_writes_for_the_other_in_a_description_is_bounded() {
    let answer = refusal(&format!("{}a=X-own:{}\r\n", offer(), "x".repeat(60_000)));
    assert!(answer.starts_with("SIP/2.0 400 Bad Request: session description: line too long"), "{answer}");
    let many = format!("a=X-own:{}\r\n", "x".repeat(1_000)).repeat(20);
    let answer = refusal(&format!("{}{many}", offer()));
    assert!(answer.contains("session description: more than a description may hold"), "{answer}");
    let few = format!("a=X-own:{}\r\n", "x".repeat(1_000)).repeat(3);
    assert!(refusal(&format!("{}{few}", offer())).starts_with("INVITE"));
}

#[test]
fn nothing_that_a_far_end_writes_steers_a_terminal_or_breaks_a_line() {
    let mut bench = Bench::configured(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]), |c| {
        c.full_numbers = true;
    });
    let dialing = |number: &str, call| Dialing {
        peer: CARRIER.into(),
        number: number.into(),
        call,
        cseq: 1,
        to_tag: String::new(),
    };
    // A user part with control characters, or direction marks, cannot be called.
    for (number, call) in [(STEERING, 1), ("CALL%e2%80%ae", 2)] {
        bench.receive(CARRIER, dialing(number, call).request("INVITE", &offer(), ""));
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(CARRIER, "SIP/2.0 484");
        assert_eq!(bench.reports.remove(0).call.reason, Some("incomplete_number"));
    }
    let text = dialing("CALL", 3).request("INVITE", &offer(), "");
    bench.receive(CARRIER, text.replace("sip:+14155551234@", &format!("sip:{STEERING}@")));
    bench.expect(CARRIER, "SIP/2.0 100");
    let invite = bench.expect(PBX, "INVITE");
    let callee = Dialed::new(PBX, invite);
    bench.receive(PBX, callee.answer(486, "").replace("Whatever", "\u{1b}[2JBusy\u{202e}"));
    let call = bench.gateway.calls(bench.now).remove(0);
    let trace = bench.gateway.trace(&call.sid).unwrap();
    let steers = |text: &str| text.chars().any(|c| c.is_control() || c == '\u{202e}');
    assert_eq!((call.from.as_str(), call.to.as_str()), ("[2JCALL", "CALL"));
    assert!(!bench.logs.iter().any(|line| steers(line)), "{:?}", bench.logs);
    let told = format!("{:?}", trace.entries);
    assert!(told.contains("486 [2JBusy") && !told.contains("\\u{1b}") && !told.contains("\\u{202e}"), "{told}");
}

/// Direction marks (Unicode TR 9 §2) and line separators.
const MARKS: [char; 14] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}',
    '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

#[test]
fn direction_marks_disguise_no_number() {
    for mark in MARKS {
        let mut bench = Bench::new();
        let dialing =
            Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
        let escaped: String = mark.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        let invite = dialing.request("INVITE", &offer(), "");
        let from = invite.lines().find(|line| line.starts_with("From:")).unwrap().to_owned();
        let tag = from.rsplit_once(";tag=").unwrap().1;
        let disguised = format!("From: \"Bank{mark}4321\" <sip:+1415{escaped}5550111@192.0.2.1>;tag={tag}");
        bench.receive(CARRIER, invite.replace(&from, &disguised));
        bench.expect(CARRIER, "SIP/2.0 100");
        let sent = bench.expect(PBX, "INVITE");
        assert!(sent.header("From").starts_with("\"Bank4321\" <sip:+14155550111@"), "{}", sent.header("From"));
        assert!(!sent.text.contains(mark) && !sent.text.contains(&escaped), "{}", sent.text);
        let stored = serde_json::to_string(&bench.gateway.calls(bench.now)).unwrap();
        assert!(stored.contains("+14155550111") && !stored.contains(mark), "{stored}");
        // A called user with such a mark is invalid.
        let mut bench = Bench::new();
        bench.invite(CARRIER, &format!("+1415{escaped}5550100"), &offer());
        assert_eq!((bench.reports[0].call.reason, bench.reports[0].sip_code), (Some("incomplete_number"), 484));
        let mut bench = Bench::new();
        bench.invite(CARRIER, &format!("desk{escaped}"), &offer());
        assert_eq!((bench.reports[0].call.reason, bench.reports[0].sip_code), (Some("incomplete_number"), 484));
    }
}

#[test]
fn what_is_kept_of_a_call_is_bounded_whatever_its_messages_hold() {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    let caller = Dialing { peer: CARRIER.into(), number: "9".repeat(9000), call: 1, cseq: 1, to_tag: String::new() };
    let media = "m=audio 4000 RTP/AVP 0\r\nm=".to_owned() + &"x".repeat(9000) + " 0 RTP/AVP 0\r\n";
    let body = offer().replace("m=", &media.replace("m=audio 4000 RTP/AVP 0\r\n", "m=audio 4002 RTP/AVP 0\r\nm="));
    bench.receive(CARRIER, caller.request("INVITE", &body, "").replace("call-1@", &"c".repeat(9000)));
    while let Some(sent) = bench.sent.pop_front().filter(|sent| sent.code() != 400) {
        if sent.first_line().starts_with("INVITE") {
            let callee = Dialed::new(PBX, sent);
            bench.receive(PBX, callee.answer(404, "").replace("Whatever", &"w".repeat(9000)));
        }
    }
    let call = bench.gateway.calls(bench.now).remove(0);
    let trace = bench.gateway.trace(&call.sid).unwrap();
    assert_eq!(call.legs[0].sip_call_id, "c".repeat(CALL_ID_CHARS));
    assert!(call.to.len() <= NUMBER_CHARS);
    let longest = trace.entries.iter().map(|entry| serde_json::to_string(entry).unwrap().len()).max().unwrap();
    assert!(longest < 2 * TRACE_TEXT_CHARS + 200, "{longest}");
    assert!(serde_json::to_string(&bench.reports).unwrap().len() < 4000);
}

#[test]
fn no_contact_or_route_leads_us_out_of_its_trunk() {
    for (contact, route) in [
        (BACKUP, String::new()),
        ("10.0.0.99:6379;transport=tcp", String::new()),
        ("192.0.2.77:5060", format!("Record-Route: <sip:{BACKUP};lr>\r\n")),
        ("192.0.2.77:5060", "Record-Route: <sip:10.0.0.99:25;lr;transport=tcp>\r\n".to_owned()),
    ] {
        let mut bench = Bench::new();
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        let ok = callee.answer(200, &answer());
        let contact = format!("Contact: <sip:+19005551234@{contact}>\r\n{route}");
        bench.receive(PBX, ok.replace(&format!("Contact: <sip:bob@{PBX}>\r\n"), &contact));
        bench.expect(PBX, "ACK");
        bench.expect(CARRIER, "SIP/2.0 200");
        bench.control(trunkgate_call::OperatorCommand::EndAll);
        assert!(bench.sent.iter().all(|sent| [CARRIER, PBX].contains(&sent.to.to_string().as_str())), "{contact}");
    }
}
