//! REFER relayed to the other side (`refer = "relay"`), and its notifications (RFC 3515).

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use crate::bench::sessions::*;
use crate::bench::*;
use trunkgate_route::{CallerIdRule, Pattern, ReferMode, ReferTo};

fn notify(callee: &Dialed, cseq: u32, event: &str, state: &str, line: &str) -> String {
    let head = callee.request("NOTIFY", cseq, "").replace("Content-Length: 0\r\n\r\n", "");
    format!(
        "{head}Event: {event}\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag\r\nContent-Length: {}\r\n\r\n{line}",
        line.len()
    )
}

#[test]
fn a_refer_that_goes_on_names_nobody_whom_its_trunk_may_not_show() {
    let rule = CallerIdRule { allow: vec![Pattern::parse("+1415555*").unwrap()], default: None };
    let mut bench = bench_of(|trunk| {
        trunk.refer = ReferMode::Relay;
        trunk.caller_id_in = Some(rule.clone()).filter(|_| *trunk.name == *"carrier");
    });
    let (mut caller, callee) = bench.answered();
    for (by, passed_by) in [("+14155550123", Some("<sip:+14155550123@10.0.0.5>")), ("alice", None)] {
        caller.cseq += 1;
        let by = format!("Refer-To: <sip:+12125550100@h.example>\r\nReferred-By: <sip:{by}@h.example>\r\n");
        bench.receive(CARRIER, with(&caller.request("REFER", "", ""), &by));
        let passed = bench.expect(PBX, "REFER");
        assert_eq!(passed.headers("Referred-By").first().copied(), passed_by);
        bench.receive(PBX, callee.respond(&passed, 603, ""));
        bench.expect(CARRIER, "SIP/2.0 603");
    }
}

#[test]
fn rfc3515_relayed_refer_is_reported() {
    let mut bench = bench_of(|trunk| trunk.refer = ReferMode::Relay);
    let (mut caller, callee) = bench.answered();
    // A NOTIFY without a subscription.
    bench.receive(PBX, notify(&callee, 1, "refer", "active", "SIP/2.0 100 Trying\r\n"));
    bench.expect(PBX, "SIP/2.0 481");
    caller.cseq += 1;
    let headers = "Refer-To: <sip:+12125550100@secret.example>\r\nReferred-By: <sip:alice@secret.example>\r\n";
    bench.receive(CARRIER, with(&caller.request("REFER", "", ""), headers));
    let passed = bench.expect(PBX, "REFER");
    assert_eq!(passed.header("Refer-To"), "<sip:+12125550100@10.0.0.5:5060>", "reachable as it stands");
    assert_eq!(passed.header("Referred-By"), "<sip:alice@10.0.0.5>");
    assert!(!passed.text.contains("secret.example"), "{}", passed.text);
    bench.nothing();
    bench.receive(PBX, callee.respond(&passed, 202, ""));
    bench.expect(CARRIER, "SIP/2.0 202");
    let far = "SIP/2.0 180 Ringing at 10.0.0.20\r\nContact: <sip:bob@10.0.0.20>\r\n";
    for (cseq, state, line, shown, told) in [
        (2, "active;expires=60", far, "active;expires=60", "SIP/2.0 180 Ringing\r\n"),
        (3, "terminated;reason=x", "SIP/2.0 486 No\r\n", "terminated;reason=noresource", "SIP/2.0 486 Busy Here\r\n"),
    ] {
        bench.receive(PBX, notify(&callee, cseq, "refer;id=7", state, line));
        let news = bench.expect(CARRIER, "NOTIFY");
        assert_eq!(news.header("Event"), format!("refer;id={}", caller.cseq));
        assert_eq!((news.header("Subscription-State"), news.body()), (shown, told));
        bench.receive(CARRIER, caller.respond(&news, 200, ""));
        bench.expect(PBX, "SIP/2.0 200");
    }
    bench.receive(PBX, notify(&callee, 4, "dialog", "active", ""));
    bench.expect(PBX, "SIP/2.0 489");
    // A REFER that the other side refuses.
    caller.cseq += 1;
    bench.receive(CARRIER, with(&caller.request("REFER", "", ""), headers));
    let passed = bench.expect(PBX, "REFER");
    bench.receive(PBX, callee.respond(&passed, 603, ""));
    bench.expect(CARRIER, "SIP/2.0 603");
    // Both subscriptions have ended.
    bench.receive(PBX, notify(&callee, 5, "refer", "active", "SIP/2.0 100 Trying\r\n"));
    bench.expect(PBX, "SIP/2.0 481");
    caller.cseq += 1;
    bench.receive(CARRIER, with(&caller.request("REFER", "", ""), headers));
    let passed = bench.expect(PBX, "REFER");
    bench.receive(PBX, callee.respond(&passed, 202, ""));
    bench.expect(CARRIER, "SIP/2.0 202");
    // The number of pending notifications is limited, and the end of the call ends them.
    for cseq in 6..14 {
        bench.receive(PBX, notify(&callee, cseq, "refer", "active", "SIP/2.0 100 Trying\r\n"));
        bench.expect(CARRIER, "NOTIFY");
    }
    bench.receive(PBX, notify(&callee, 14, "refer", "active", "SIP/2.0 100 Trying\r\n"));
    bench.expect(PBX, "SIP/2.0 500");
    bench.nothing();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    for _ in 6..14 {
        bench.expect(PBX, "SIP/2.0 487");
    }
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn rfc3515_2_4_6_news_of_two_transfers_are_told_apart() {
    let mut bench = bench_of(|trunk| trunk.refer = ReferMode::Relay);
    let (mut caller, callee) = bench.answered();
    let ids = ["+12125550100", "+12125550101"].map(|number| {
        caller.cseq += 1;
        bench.receive(
            CARRIER,
            with(&caller.request("REFER", "", ""), &format!("Refer-To: <sip:{number}@x.example>\r\n")),
        );
        let passed = bench.expect(PBX, "REFER");
        bench.receive(PBX, callee.respond(&passed, 202, ""));
        bench.expect(CARRIER, "SIP/2.0 202");
        (caller.cseq, passed.header("CSeq").trim_end_matches(" REFER").to_owned())
    });
    let [(first, sent_first), (second, sent_second)] = &ids;
    let (first_named, second_named) = (format!("refer;id={sent_first}"), format!("refer;id={sent_second}"));
    for (cseq, event, state, whose) in [
        (1, "refer", "active", first),
        (2, &second_named, "active", second),
        (3, &first_named, "active", first),
        (4, &second_named, "terminated", second),
        (5, &first_named, "terminated", first),
    ] {
        bench.receive(PBX, notify(&callee, cseq, event, state, "SIP/2.0 200 OK\r\n"));
        let news = bench.expect(CARRIER, "NOTIFY");
        assert_eq!(news.header("Event"), format!("refer;id={whose}"));
        bench.receive(CARRIER, caller.respond(&news, 200, ""));
        bench.expect(PBX, "SIP/2.0 200");
    }
    bench.receive(PBX, notify(&callee, 6, &first_named, "active", ""));
    bench.expect(PBX, "SIP/2.0 481");
}

#[test]
fn a_far_side_that_calls_by_itself_is_told_a_number_and_nothing_that_is_denied() {
    let mut bench = bench_of(|trunk| {
        trunk.refer = ReferMode::Relay;
        trunk.refer_to = ReferTo::Tel;
        trunk.deny = vec![Pattern::parse("+1900*").unwrap()];
        trunk.calls_per_second = 2;
    });
    let (mut caller, callee) = bench.answered();
    let mut refer = |bench: &mut Bench, to: &str| {
        caller.cseq += 1;
        bench.receive(CARRIER, with(&caller.request("REFER", "", ""), &format!("Refer-To: <{to}>\r\n")));
    };
    for (to, shown) in [
        ("sip:+12125550100@h.example", "<tel:+12125550100>"),
        // Only the edge knows such a number.
        ("sip:201@h.example", "<sip:201@10.0.0.5:5060>"),
    ] {
        refer(&mut bench, to);
        let passed = bench.expect(PBX, "REFER");
        assert_eq!(passed.header("Refer-To"), shown);
        bench.receive(PBX, callee.respond(&passed, 603, ""));
        bench.expect(CARRIER, "SIP/2.0 603");
    }
    refer(&mut bench, "tel:+1-900-555-0100");
    bench.expect(CARRIER, "SIP/2.0 403");
    // The call and the first REFER fell into the same second.
    refer(&mut bench, "tel:+1-212-555-0101");
    bench.expect(CARRIER, "SIP/2.0 503");
    bench.nothing();
}
