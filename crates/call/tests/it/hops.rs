//! Calls that return to the edge: recognised by the edge's own hop word, even if nothing else of the INVITE matches.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::atomic::{AtomicU32, Ordering};

use crate::bench::agents::to_agent;
use crate::bench::*;
use trunkgate_call::limits::EDGES_PER_CALL;
use trunkgate_call::{RequestRefusal, TransferMode};
use trunkgate_media::AgentRequest;
use trunkgate_route::{HeaderPattern, HeaderRules, Trunk};

const HOPS: &str = "X-Call-Hops";

fn calling(bench: &mut Bench, from: &str, number: &str, hops: &str) -> Dialing {
    static CALLS: AtomicU32 = AtomicU32::new(1);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let dialing = Dialing { peer: from.into(), number: number.into(), call, cseq: 1, to_tag: String::new() };
    let text = dialing.request("INVITE", &offer(), hops);
    bench.receive(from, text);
    bench.expect(from, "SIP/2.0 100");
    dialing
}

fn header(words: &str) -> String {
    format!("{HOPS}: {words}\r\n")
}

#[test]
fn a_call_that_comes_back_the_same_way_is_482_and_one_that_was_forwarded_goes_on() {
    let to_pbx = || Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    let mut bench = to_pbx();
    calling(&mut bench, CARRIER, "+14155550100", "");
    let own = bench.expect(PBX, "INVITE").header(HOPS).to_owned();
    assert!(own.len() == 16 && own.bytes().all(|byte| byte.is_ascii_hexdigit()), "{own}");
    let other = "00112233aabbccdd";
    for (words, from, number, loops) in [
        (own.clone(), CARRIER, "+14155550100", true),
        (format!("{other}, {own}"), CARRIER, "+14155550100", true),
        (own.to_uppercase(), CARRIER, "+14155550100", true),
        (own.clone(), CARRIER, "+14155550101", false),
        (own.clone(), BACKUP, "+14155550100", false),
        (other.to_owned(), CARRIER, "+14155550100", false),
        (own[1..].to_owned(), CARRIER, "+14155550100", false),
        (format!("x{own}"), CARRIER, "+14155550100", false),
        ("\u{1F4A9},,;=\"".to_owned(), CARRIER, "+14155550100", false),
    ] {
        calling(&mut bench, from, number, &header(&words));
        if loops {
            let refused = bench.expect(from, "SIP/2.0 482");
            assert_eq!(refused.header("Reason"), "Q.850;cause=25;text=\"loop\"");
            assert_eq!(bench.reports.last().unwrap().call.reason, Some("loop"), "{words}");
        } else {
            let onward = bench.expect(PBX, "INVITE");
            assert_eq!(onward.headers(HOPS).len(), 1, "{}", onward.text);
            let before = onward.header(HOPS).split(',').count() - 1;
            assert_eq!(before, usize::from(words.len() == 16), "{words}: {}", onward.text);
        }
        bench.nothing();
    }
    // Another edge of the same name has hop words of its own.
    let mut another =
        Bench::configured(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]), |config| config.seed = [8; 32]);
    calling(&mut another, CARRIER, "+14155550100", &header(&own));
    let onward = another.expect(PBX, "INVITE").header(HOPS).to_owned();
    assert!(onward.starts_with(&format!("{own},")) && onward.len() == 33, "{onward}");
}

#[test]
fn no_two_calls_have_a_word_or_a_part_of_one_in_common() {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    let mut words = Vec::new();
    for number in ["+14155550100", "+14155550101", "+14155550100"] {
        calling(&mut bench, CARRIER, number, "");
        words.push(bench.expect(PBX, "INVITE").header(HOPS).to_owned());
    }
    // Neither the same caller nor the same number can be recognised.
    for (n, word) in words.iter().enumerate() {
        for other in &words[..n] {
            assert!(word[..8] != other[..8] && word[8..] != other[8..], "{words:?}");
        }
    }
    // The edge itself recognises each of them.
    for (word, number) in words.iter().zip(["+14155550100", "+14155550101", "+14155550100"]) {
        calling(&mut bench, CARRIER, number, &header(word));
        bench.expect(CARRIER, "SIP/2.0 482");
    }
}

#[test]
fn a_call_through_too_many_edges_is_483() {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    for (edges, goes_on) in [(EDGES_PER_CALL - 1, true), (EDGES_PER_CALL, false), (2_000, false)] {
        let words: Vec<String> = (0..edges).map(|n| format!("{n:016x}")).collect();
        calling(&mut bench, CARRIER, "+14155550100", &header(&words.join(",")));
        match goes_on {
            true => assert_eq!(bench.expect(PBX, "INVITE").header(HOPS).split(',').count(), EDGES_PER_CALL),
            false => assert_eq!(
                bench.expect(CARRIER, "SIP/2.0 483").header("Reason"),
                "Q.850;cause=25;text=\"too_many_hops\""
            ),
        }
        bench.nothing();
    }
}

/// A trunk that passes all X- headers gets the header only once.
#[test]
fn the_header_goes_on_once() {
    let pass = || HeaderRules { pass: Some(vec![HeaderPattern::parse("X-*").unwrap()]), ..HeaderRules::default() };
    let trunks = ["carrier", "pbx"].into_iter().zip([CARRIER, PBX]);
    let trunks = trunks.map(|(name, at)| Trunk { headers: pass(), ..trunk(name, &[at]) }).collect();
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    calling(&mut bench, CARRIER, "+14155550100", &format!("X-Other: 1\r\n{}", header("00112233aabbccdd")));
    let onward = bench.expect(PBX, "INVITE");
    assert_eq!((onward.headers(HOPS).len(), onward.headers("X-Other").len()), (1, 1), "{}", onward.text);
}

/// Makes an answered call from an INVITE with this Max-Forwards.
fn answered_with(bench: &mut Bench, max_forwards: u8) -> (Dialing, Dialed) {
    let mut caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 900, cseq: 1, to_tag: String::new() };
    let hops = format!("Max-Forwards: {max_forwards}\r\n");
    bench.receive(CARRIER, caller.request("INVITE", &offer(), "").replace("Max-Forwards: 70\r\n", &hops));
    bench.expect(CARRIER, "SIP/2.0 100");
    let invite = bench.expect(PBX, "INVITE");
    assert_eq!(invite.header("Max-Forwards"), (max_forwards - 1).to_string());
    let callee = Dialed::new(PBX, invite);
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.nothing();
    (caller, callee)
}

#[test]
fn a_requested_transfer_is_one_more_hop_and_none_is_left_at_0() {
    let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    let (mut caller, callee) = answered_with(&mut bench, 2);
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let transfer = |bench: &mut Bench| {
        let done = bench.transfer(&sid, "trunk:backup/+12125550100", TransferMode::AtOnce);
        bench.drain();
        done
    };
    assert_eq!(transfer(&mut bench), Ok(()));
    let invite = bench.expect(BACKUP, "INVITE sip:+12125550100@");
    assert_eq!(invite.header("Max-Forwards"), "0");
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, invite) };
    bench.receive(BACKUP, target.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    assert_eq!(transfer(&mut bench), Err(RequestRefusal::TooManyHops));
    bench.nothing();
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_transfer_of_an_agent_is_one_more_hop() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (_, _, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Transfer("trunk:backup/+14155550199".into()));
    let invite = bench.expect(BACKUP, "INVITE");
    assert_eq!(invite.header("Max-Forwards"), "68");
}
