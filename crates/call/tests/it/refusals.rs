//! INVITEs that are refused: the code, the named defect, and the absence of remaining state.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_call::limits::NUMBER_CHARS;
use trunkgate_call::{GatewayInput, OperatorCommand};
use trunkgate_route::{Route, Trunk};

fn refused(bench: &mut Bench, text: String) -> Sent {
    bench.receive(CARRIER, text);
    while bench.sent.front().is_some_and(|s| s.code() == 100) {
        bench.sent.pop_front();
    }
    let sent = bench.sent.pop_front().unwrap();
    bench.nothing();
    assert_eq!(bench.gateway.live_calls(), 0);
    bench.finish();
    sent
}

fn invite(number: &str, body: &str) -> String {
    let dialing = Dialing { peer: CARRIER.into(), number: number.into(), call: 1, cseq: 1, to_tag: String::new() };
    dialing.request("INVITE", body, "")
}

#[test]
fn a_stranger_gets_no_byte_and_is_counted() {
    let mut bench = Bench::new();
    for text in [
        invite("+14155550100", &offer()),
        "garbage".into(),
        String::new(),
        invite("100", "").replace("INVITE", "OPTIONS"),
    ] {
        bench.receive("192.0.2.66:5060", text);
    }
    bench.nothing();
    assert_eq!(bench.gateway.metrics().sip.dropped.get("unknown_source"), Some(&4));
    assert!(bench.gateway.metrics().sip.requests.is_empty());
    let line = "SIP from 192.0.2.66 is dropped: unknown source (in no `peers` or `accept_from`)";
    assert_eq!((bench.reports.is_empty(), bench.logs.as_slice()), (true, &[line.to_owned()][..]), "one line a minute");
    let unknown = bench.gateway.status(bench.now).unknown.unwrap();
    assert_eq!((unknown.messages, unknown.last.as_str(), unknown.seconds_ago), (4, "192.0.2.66", 0));
    bench.pass(Duration::from_secs(2 * 3_600));
    assert!(bench.gateway.status(bench.now).unknown.is_none());
    bench.finish();
}

#[test]
fn garbage_of_a_trunk_is_dropped_and_counted() {
    let mut bench = Bench::new();
    bench.receive(CARRIER, "garbage");
    bench.receive(CARRIER, [0xff, 0, 13, 10]);
    bench.nothing();
    assert_eq!(bench.gateway.metrics().sip.dropped.get("not_sip"), Some(&2));
    bench.finish();
}

#[test]
fn what_is_wrong_decides_the_code() {
    let no_codec = offer().replace("0 8 101", "101");
    for (text, code, reason) in [
        (invite("+14155550100", &offer()).replace("Max-Forwards: 70", "Max-Forwards: 0"), 483, "too_many_hops"),
        (invite("+1415x", &offer()), 484, "incomplete_number"),
        (invite("", &offer()).replace("sip:@", "sip:"), 484, "incomplete_number"),
        (invite("+442071234567", &offer()), 404, "no_route"),
        (invite("911", &offer()), 404, "no_route"),
        (invite("+14155550100", "v=0\r\nbroken\r\n"), 400, "bad_media"),
        (invite("+14155550100", &no_codec), 488, "codec_mismatch"),
        (invite("+14155550100", &offer().replace("RTP/AVP", "RTP/SAVP")), 488, "srtp_off"),
        (invite("+14155550100", &offer().replace("c=IN IP4 198.51.100.7", "c=IN IP4 127.0.0.1")), 488, "bad_media"),
        (invite("+14155550100", &offer().replace("c=IN IP4 198.51.100.7", "c=IN IP4 169.254.3.3")), 488, "bad_media"),
        (
            invite(
                "+14155550100",
                &offer().replace("c=IN IP4 198.51.100.7", "c=IN IP4 203.0.113.10").replace("40000", "16400"),
            ),
            488,
            "bad_media",
        ),
    ] {
        let mut bench = Bench::new();
        let sent = refused(&mut bench, text.clone());
        assert_eq!(sent.code(), code, "{text}\n{}", sent.text);
        assert_eq!(bench.reports.len(), 1);
        assert_eq!(bench.reports[0].call.reason, Some(reason));
        assert_eq!(bench.reports[0].call.outcome, Some("refused"));
        assert!(sent.header("Reason").contains(reason), "{}", sent.text);
        let sid = bench.gateway.calls(bench.now)[0].sid.clone();
        let verdict = bench.gateway.trace(&sid).unwrap().verdict;
        let told = |called: &str| format!("run `trunkgate why --from carrier --called {called}`");
        if reason == "no_route" {
            assert!([told("911"), told("+442071234567")].iter().any(|told| verdict.contains(told)), "{verdict}");
        }
        if code == 488 {
            assert!(sent.header("Warning").contains("Trunkgate \""), "{}", sent.text);
        }
        if code == 400 {
            assert!(sent.first_line().starts_with("SIP/2.0 400 Bad Request: session description"), "{}", sent.text);
        }
    }
}

#[test]
fn a_warning_names_both_lists() {
    let mut bench = Bench::new();
    let dynamic = sdp("198.51.100.7", 40_000, 1, "101", "sendrecv");
    let sent = refused(&mut bench, invite("+14155550100", &dynamic));
    let warning = sent.header("Warning");
    assert!(warning.starts_with("305 ") && warning.contains("PCMU, PCMA"), "{warning}");
}

#[test]
fn the_edges_limits_are_503_without_retry_after() {
    let routes = || vec![route(vec![to_trunk("pbx")])];
    let mut bench = Bench::configured(table(usual_trunks(), routes()), |c| c.max_calls = 1);
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.sent.clear();
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let sent = bench.expect(CARRIER, "SIP/2.0 503");
    assert!(sent.headers("Retry-After").is_empty());
    assert!(sent.header("Reason").contains("limit_calls"));
    bench.configure(|settings| (settings.calls, settings.calls_per_second) = (2, 0));
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(PBX, "INVITE");
    assert_eq!(bench.gateway.live_calls(), 2);

    let mut bench = Bench::configured(table(usual_trunks(), routes()), |c| c.calls_per_second = 2);
    for expected in ["INVITE", "INVITE", "SIP/2.0 503"] {
        bench.sent.clear();
        bench.invite(CARRIER, "+14155550100", &offer());
        assert!(bench.sent.iter().any(|s| s.first_line().starts_with(expected)), "{expected}");
    }
    bench.pass(Duration::from_secs(1));
    bench.sent.clear();
    bench.invite(CARRIER, "+14155550100", &offer());
    assert!(bench.sent.iter().any(|s| s.first_line().starts_with("INVITE")));
    assert_eq!(bench.gateway.metrics().calls.get(&("carrier".into(), "".into(), "refused")), Some(&1));
}

#[test]
fn a_flood_of_one_trunk_leaves_the_calls_of_others() {
    let trunks = vec![trunk("carrier", &[CARRIER]), trunk("pbx", &[PBX]), trunk("backup", &[BACKUP])];
    let routes = vec![route(vec![to_trunk("backup")])];
    let mut bench = Bench::configured(table(trunks, routes), |c| {
        c.max_calls = 8;
        c.calls_per_second = 6;
    });
    let mut codes = Vec::new();
    for _ in 0..20 {
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.sent.retain(|sent| sent.to == CARRIER.parse().unwrap() && sent.text.starts_with("SIP/2.0 503"));
        codes.push(!bench.sent.is_empty());
        bench.sent.clear();
    }
    assert_eq!(codes.iter().filter(|refused| **refused).count(), 14, "as many as the edge takes");
    // Per second: three calls of the other trunk are below its share; concurrently, there is one too many.
    for expected in [false, false, false, true] {
        bench.invite(PBX, "+14155550100", &sdp("10.0.0.20", 30_000, 1, "0", "sendrecv"));
        let is_refused = bench.sent.iter().any(|sent| sent.text.starts_with("SIP/2.0 503"));
        assert_eq!(is_refused, expected);
        bench.sent.clear();
    }
    assert_eq!(bench.gateway.live_calls(), 9);
    bench.pass(Duration::from_secs(2));
    bench.sent.clear();
    bench.invite(CARRIER, "+14155550100", &offer());
    assert!(
        bench.sent.iter().any(|sent| sent.text.starts_with("SIP/2.0 503")),
        "places beyond the limit are not for it"
    );
}

#[test]
fn the_callers_trunk_has_limits_of_its_own() {
    let limited = Trunk { max_calls: 1, ..trunk("carrier", &[CARRIER]) };
    let trunks = vec![limited, trunk("pbx", &[PBX])];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    let first = bench.invite(CARRIER, "+14155550100", &offer());
    bench.sent.clear();
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 503");
    bench.receive(CARRIER, first.request("CANCEL", "", ""));
    bench.sent.clear();
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(PBX, "INVITE");
}

#[test]
fn a_flood_of_refusals_is_logged_once_a_second() {
    let mut bench = Bench::configured(table(usual_trunks(), vec![]), |c| c.max_calls = 0);
    for _ in 0..50 {
        bench.invite(CARRIER, "+14155550100", &offer());
    }
    let logged = |bench: &Bench, of: &str| bench.logs.iter().filter(|line| line.starts_with(of)).count();
    assert_eq!((logged(&bench, "call on trunk"), logged(&bench, "alarm: ")), (1, 1));
    bench.pass(Duration::from_secs(1));
    bench.invite(CARRIER, "+14155550100", &offer());
    assert_eq!((logged(&bench, "call on trunk"), logged(&bench, "alarm: ")), (2, 1), "an alarm is once a minute");
    bench.finish();
}

#[test]
fn draining_refuses_new_calls_and_keeps_live_ones() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    bench.control(OperatorCommand::Drain { on: true });
    bench.invite(CARRIER, "+14155550101", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let sent = bench.expect(CARRIER, "SIP/2.0 503");
    assert!(!sent.header("Retry-After").is_empty());
    assert!(bench.gateway.status(bench.now).draining && bench.gateway.metrics().draining);
    let options = Dialing { peer: CARRIER.into(), number: "x".into(), call: 9, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, options.request("OPTIONS", "", ""));
    bench.expect(CARRIER, "SIP/2.0 503");
    bench.bye(&mut caller, &callee);
    bench.control(OperatorCommand::Drain { on: false });
    bench.invite(CARRIER, "+14155550101", &offer());
    bench.expect(PBX, "INVITE");
}

#[test]
fn options_says_what_we_can() {
    let mut bench = Bench::new();
    let options = Dialing { peer: CARRIER.into(), number: "x".into(), call: 9, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, options.request("OPTIONS", "", "").replace("Max-Forwards: 70", "Max-Forwards: 0"));
    let sent = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(sent.header("Allow"), "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, MESSAGE");
    assert_eq!(sent.header("Accept"), "application/sdp");
    bench.finish();
}

#[test]
fn no_free_port_is_503() {
    let routes = vec![route(vec![to_trunk("pbx")])];
    let mut bench = Bench::configured(table(usual_trunks(), routes), |c| c.media_ports = (20_000, 20_003));
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(PBX, "INVITE");
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let sent = bench.expect(CARRIER, "SIP/2.0 503");
    assert!(sent.header("Reason").contains("no_ports"), "{}", sent.text);
}

#[test]
fn hidden_callers_stay_hidden() {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    let text = invite("+14155550100", &offer())
        .replace("\"Alice\" <sip:+14155551234@198.51.100.7:5060>", "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
    bench.receive(CARRIER, text);
    let sent = bench.expect(PBX, "INVITE");
    assert!(sent.header("From").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="));
    assert_eq!(bench.gateway.calls(bench.now)[0].from, "anonymous");
}

#[test]
fn headers_of_the_caller_are_not_passed() {
    let mut bench = Bench::new();
    let dialing =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
    let extra = "X-Secret: 1\r\nUser-Agent: Carrier/1.2\r\nP-Asserted-Identity: <sip:+14155551234@198.51.100.7>\r\nRecord-Route: <sip:198.51.100.8;lr>\r\nSubject: x\r\n";
    bench.receive(CARRIER, dialing.request("INVITE", &offer(), extra));
    let sent = bench.expect(PBX, "INVITE");
    assert_eq!(sent.header("P-Asserted-Identity"), format!("<sip:+14155551234@{LOCAL}>"));
    for secret in ["X-Secret", "Carrier", "Record-Route", "Subject", "198.51.100"] {
        assert!(!sent.text.contains(secret), "{secret} in\n{}", sent.text);
    }
}

#[test]
fn a_stream_that_lost_its_framing_gets_400() {
    let mut bench = Bench::new();
    let text = invite("+14155550100", "").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    bench.input(GatewayInput::Broken { flow: tcp(CARRIER, 1), bytes: text.into(), what: "Content-Length" });
    let sent = bench.expect(CARRIER, "SIP/2.0 400 Bad Request: Content-Length");
    assert!(sent.header("Via").contains("received=") || sent.header("Via").contains("rport="));
    bench.input(GatewayInput::Broken { flow: tcp("192.0.2.66:7000", 2), bytes: "x".into(), what: "x" });
    bench.nothing();
    bench.finish();
}

#[test]
fn a_route_of_another_trunk_is_none() {
    let routes = vec![Route { from: vec!["pbx".into()], ..route(vec![to_trunk("carrier")]) }];
    let mut bench = Bench::with(table(usual_trunks(), routes));
    let sent = refused(&mut bench, invite("+14155550100", &offer()));
    assert_eq!(sent.code(), 404);
}

#[test]
fn endless_numbers_are_cut() {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    bench.receive(CARRIER, invite(&"x".repeat(5_000), &offer()));
    let sent = bench.expect(PBX, "INVITE");
    assert_eq!(sent.first_line(), format!("INVITE sip:{}@10.0.0.20:5060 SIP/2.0", "x".repeat(NUMBER_CHARS)));
    assert_eq!(bench.gateway.calls(bench.now)[0].to.len(), NUMBER_CHARS);
}

#[test]
fn overload_gets_a_stateless_503() {
    let mut bench = Bench::new();
    let text = invite("+14155550100", &offer());
    let message = || trunkgate_sip::SipMessage::parse(bytes::Bytes::from(text.clone())).unwrap();
    let mut tags = vec![];
    for _ in 0..2 {
        bench.input(GatewayInput::TurnAway { flow: udp(CARRIER), message: message() });
        let sent = bench.sent.pop_front().unwrap();
        assert_eq!((sent.code(), sent.header("Reason")), (503, "Q.850;cause=42;text=\"overloaded\""));
        assert!((1..=4).contains(&sent.header("Retry-After").parse::<u32>().unwrap()));
        tags.push(sent.tag("To"));
        bench.nothing();
    }
    assert_eq!(tags[0], tags[1], "the same answer to its repetition");
    assert_eq!((bench.gateway.live_calls(), bench.gateway.sip_counts().servers), (0, 0));
    assert!(bench.reports.is_empty() && bench.began.is_empty());
    assert_eq!(bench.logs.len(), 1, "one line a second");
    // An unknown source gets no response.
    bench.input(GatewayInput::TurnAway { flow: udp("192.0.2.66:5060"), message: message() });
    bench.nothing();
    bench.finish();
}

#[test]
fn a_call_that_has_begun_is_not_turned_away_by_its_repeated_invite() {
    let mut bench = Bench::new();
    let text = invite("+14155550100", &offer());
    bench.receive(CARRIER, &text);
    bench.sent.clear();
    let message = trunkgate_sip::SipMessage::parse(bytes::Bytes::from(text)).unwrap();
    bench.input(GatewayInput::TurnAway { flow: udp(CARRIER), message });
    assert_eq!(bench.sent.pop_front().unwrap().code(), 100);
    assert_eq!(bench.gateway.live_calls(), 1);
    let broken = invite("+14155550100", &offer()).replace("Max-Forwards: 70", "Max-Forwards: x");
    let message = trunkgate_sip::SipMessage::parse(bytes::Bytes::from(broken)).unwrap();
    bench.input(GatewayInput::TurnAway { flow: udp(CARRIER), message });
    assert_eq!(bench.sent.pop_front().unwrap().code(), 400);
}

#[test]
fn rfc6157_4_an_offer_of_the_other_family_is_refused_and_a_call_outlives_it() {
    let foreign = |body: &str| body.replace("c=IN IP4 198.51.100.7", "c=IN IP6 2001:db8::7");
    let mut bench = Bench::new();
    bench.invite(CARRIER, "+14155550100", &foreign(&offer()));
    bench.expect(CARRIER, "SIP/2.0 100");
    let refused = bench.expect(CARRIER, "SIP/2.0 488");
    assert_eq!(refused.header("Warning"), "301 Trunkgate \"offered IP6; allowed IP4\"");
    bench.nothing();
    bench.finish();
    // One stream of two, and a re-INVITE.
    let mut bench = Bench::new();
    let video = "m=video 40002 RTP/AVP 96\r\nc=IN IP6 2001:db8::7\r\na=rtpmap:96 H264/90000\r\n";
    bench.invite(CARRIER, "+14155550100", &(offer() + video));
    let invite = bench.expect(PBX, "INVITE");
    assert!(invite.body().contains("m=video 0 "), "{}", invite.body());
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &foreign(&offer()), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 488");
    bench.receive(CARRIER, caller.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    bench.nothing();
    bench.bye(&mut caller, &callee);
    bench.finish();
}

/// The advice is pasted into a shell, and the number comes from outside.
#[test]
fn a_number_that_means_something_to_a_shell_stands_in_no_advice() {
    let mut bench = Bench::new();
    refused(&mut bench, invite("1&reboot", &offer()));
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let verdict = bench.gateway.trace(&sid).unwrap().verdict;
    assert!(!verdict.contains("--called 1"), "{verdict}");
}
