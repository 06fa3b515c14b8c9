//! Attempts to circumvent a trunk's rules: names and spellings of its address, numbers written to evade rules, and
//! requests of an agent, which its caller often controls.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{Told, agent, hang_up, to_agent};
use crate::bench::*;
use trunkgate_call::{GatewayInput, RequestRefusal, TransferMode};
use trunkgate_media::{AgentEvent, AgentRequest, EndId, MediaEvent};
use trunkgate_route::{
    Agent, CallerIdRule, Destination, NumberingPlan, Pattern, Quota, RoutingTable, TableDefinition, TargetSpec,
    TransferRule, Transport, Trunk,
};

/// Address of no trunk.
const ELSEWHERE: &str = "192.0.2.50:5060";
const DEAR: &str = "+18095550123";

/// Returns a PBX that may not call the Caribbean.
fn careful() -> Trunk {
    Trunk { deny: vec![Pattern::parse("+1809*").unwrap()], ..trunk("pbx", &[PBX, PBX2]) }
}

fn rules(entries: &[&str]) -> Option<Vec<TransferRule>> {
    Some(entries.iter().map(|entry| TransferRule::parse(entry).unwrap()).collect())
}

/// Returns a bench with an agent that may transfer to these targets.
fn with(pbx: Trunk, transfer_to: Option<Vec<TransferRule>>) -> Bench {
    let numbers = NumberingPlan::new("US").unwrap();
    let trunks = vec![trunk("carrier", &[CARRIER]), pbx, trunk("here", &["127.0.0.1:5080"])];
    let agents = vec![Agent { transfer_to, ..agent("desk") }, agent("night")];
    let routes = vec![route(vec![to_agent("desk")])];
    Bench::with(Arc::new(RoutingTable::new(TableDefinition { numbers, trunks, agents, routes })))
}

fn free(pbx: Trunk) -> Bench {
    with(pbx, rules(&["*"]))
}

fn uri(uri: &str, host: &str) -> TargetSpec {
    TargetSpec::Uri {
        uri: uri.into(),
        destination: Destination { host: host.into(), port: None, transport: Transport::Udp, is_fixed: false },
        in_call: false,
    }
}

fn invites(bench: &Bench, to: &str) -> usize {
    let to = to.parse().unwrap();
    bench.sent.iter().filter(|sent| sent.to == to && sent.first_line().starts_with("INVITE")).count()
}

fn http(bench: &mut Bench, target: &str) -> Result<(), RequestRefusal> {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let done = bench.transfer(&sid, target, TransferMode::AtOnce);
    bench.drain();
    done
}

/// Source of a bare URI in a call.
#[derive(Debug, Clone, Copy)]
enum By {
    Agent,
    Http,
    Route,
}

/// Makes a call to the target `sip:NUMBER@other.test`, resolved to these addresses.
fn by_name(by: By, pbx: Trunk, number: &str, found: &[&str]) -> Bench {
    let target = format!("sip:{number}@other.test");
    let mut bench = match by {
        By::Route => {
            Bench::with(table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![uri(&target, "other.test")])]))
        }
        By::Agent | By::Http => free(pbx),
    };
    match by {
        By::Route => drop(bench.invite(CARRIER, "+14155550100", &offer())),
        By::Http => {
            bench.talking();
            assert_eq!(http(&mut bench, &target), Ok(()));
        }
        By::Agent => {
            let (_, _, desk) = bench.talking();
            bench.wish(desk, AgentRequest::Transfer(target));
        }
    }
    bench.sent.clear();
    let (query, host) = bench.resolves.pop().unwrap();
    assert!(host.contains("other.test"), "{host}");
    bench.resolve(query, found);
    bench
}

#[test]
fn an_escaped_semicolon_never_becomes_a_phone_context() {
    let called = |pbx: Trunk| {
        let trunks = vec![trunk("carrier", &[CARRIER]), pbx];
        let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
        bench.invite(CARRIER, "5550123%3Bphone-context=+1809", &offer());
        bench
    };
    let sent = called(trunk("pbx", &[PBX])).expect(PBX, "INVITE");
    assert!(sent.first_line().starts_with("INVITE sip:5550123%3Bphone-context=+1809@"), "{}", sent.first_line());
    // A remote party may undo the escape before it looks for parameters.
    assert_eq!(called(careful()).reports[0].call.reason, Some("denied"));
}

#[test]
fn a_phone_context_of_a_uri_that_leaves_as_written_is_judged() {
    for user in [
        "5550123;phone-context=+1809",
        "5550123;phone-context=+1415;phone-context=+1809",
        "5550123;phone-context=%2B1809",
        "5550123;%70hone-context=+1809",
        "5550123;phone-context=+1%2D809",
        "911;phone-context=+18095550",
        "911;phone-context=+1;phone-context=+18095550",
    ] {
        for by in [By::Agent, By::Http, By::Route] {
            let bench = by_name(by, careful(), user, &[PBX]);
            assert_eq!((invites(&bench, PBX), bench.reports[0].call.reason), (0, Some("denied")), "{by:?} {user}");
        }
        let trunks = vec![trunk("carrier", &[CARRIER]), careful()];
        let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        let moved = pbx.answer(302, "").replace("Contact: <sip:bob@", &format!("Contact: <sip:{user}@"));
        bench.receive(PBX, moved);
        bench.expect(PBX, "ACK");
        assert_eq!((invites(&bench, PBX), bench.reports[0].call.reason), (0, Some("denied")), "{user}");
    }
    for user in ["5550123;phone-context=+1415", "911;phone-context=+1", "5550123;phone-context=pbx.example.com"] {
        assert_eq!(invites(&by_name(By::Agent, careful(), user, &[PBX]), PBX), 1, "{user}");
    }
}

#[test]
fn a_user_part_that_cannot_be_judged_in_little_time_is_no_target() {
    let mut bench = free(trunk("pbx", &[PBX]));
    let (mut caller, _, desk) = bench.talking();
    for user in [format!("100;x={}", "1010288x".repeat(5)), format!("100;x={}", "x".repeat(129))] {
        bench.wish(desk, AgentRequest::Transfer(format!("sip:{user}@10.0.0.20")));
        assert_eq!((bench.state(), invites(&bench, PBX)), ("answered", 0), "{user}");
    }
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn a_name_that_leads_to_a_trunk_is_no_way_round_its_rules() {
    for by in [By::Agent, By::Http, By::Route] {
        for found in [
            PBX,
            "10.0.0.20:5080",
            "[::ffff:10.0.0.20]:5060",
            "[64:ff9b::a00:14]:5060",
            "[64:ff9b:1::a00:14]:5060",
            "[2002:a00:14::1]:5060",
        ] {
            for number in [DEAR, "%2B1-809-555-0123", "8095550123", "9011-1-809-555-0123", "+1---(809)...5550123"] {
                let mut bench = by_name(by, careful(), number, &[found]);
                assert_eq!(invites(&bench, found), 0, "{by:?} {number} at {found}");
                let call = bench.reports.remove(0).call;
                assert_eq!(call.reason, Some("denied"), "{by:?} {number} at {found}");
            }
        }
        let bench = by_name(by, careful(), "+14155550177", &[PBX]);
        assert_eq!(invites(&bench, PBX), 1, "{by:?}");
        let bench = by_name(by, careful(), DEAR, &[ELSEWHERE]);
        assert_eq!(invites(&bench, ELSEWHERE), 1, "{by:?}: no trunk's");
        let few = Trunk { allow_prefixes: vec!["+1415".into()], ..trunk("pbx", &[PBX]) };
        assert_eq!(invites(&by_name(by, few, "+442079460018", &[PBX]), PBX), 0, "{by:?}");
        let risky = by_name(by, trunk("pbx", &[PBX]), "+881612345678", &[PBX]);
        assert_eq!((invites(&risky, PBX), risky.reports[0].call.reason), (0, Some("high_risk")), "{by:?}");
    }
}

#[test]
fn each_address_that_is_dialled_is_judged() {
    for by in [By::Agent, By::Http, By::Route] {
        // The trunk's two addresses, before and after another one.
        let mut bench = by_name(by, careful(), DEAR, &[ELSEWHERE, PBX, PBX2]);
        assert_eq!((invites(&bench, ELSEWHERE), invites(&bench, PBX)), (1, 0), "{by:?}");
        bench.input(GatewayInput::TransportFailed { flow: udp(ELSEWHERE), why: None });
        assert_eq!((invites(&bench, PBX), invites(&bench, PBX2)), (0, 0), "{by:?}");
        assert_eq!(bench.reports[0].call.reason, Some("denied"), "{by:?}");
        let bench = by_name(by, careful(), DEAR, &[PBX, PBX2, ELSEWHERE]);
        assert_eq!((invites(&bench, PBX), invites(&bench, PBX2), invites(&bench, ELSEWHERE)), (0, 0, 1), "{by:?}");
    }
}

#[test]
fn a_spelling_of_the_trunks_own_name_or_address_is_no_way_round_its_rules() {
    let named = || {
        let destination =
            Destination { host: "carrier.test".into(), port: None, transport: Transport::Udp, is_fixed: false };
        let mut peer = trunkgate_route::Peer::to("sip:carrier.test".into(), destination);
        peer.servers = trunk("x", &[PBX]).peers.remove(0).servers;
        Trunk { peers: vec![peer], ..careful() }
    };
    for host in [
        "carrier.test",
        "carrier.test.",
        "CARRIER.Test.",
        "10.0.0.20",
        "10.0.0.20:5099",
        "10.0.0.20.",
        "[::ffff:10.0.0.20]",
        "[::FFFF:a00:14]:5060",
        "[64:ff9b::10.0.0.20]",
        "[64:ff9b:1:a00:0:1400::]",
        "[2002:a00:14::1]",
    ] {
        let mut bench = free(named());
        let (_, _, desk) = bench.talking();
        bench.wish(desk, AgentRequest::Transfer(format!("sip:{DEAR}@{host}")));
        assert_eq!(bench.reports[0].call.reason, Some("denied"), "{host}");
        assert!(
            bench.resolves.is_empty() && !bench.sent.iter().any(|s| s.first_line().starts_with("INVITE")),
            "{host}"
        );
    }
    // Forms that only some resolvers accept as addresses are refused.
    for host in ["0x0a.0.0.20", "167772180", "10.20", "012.0.0.20", "10.0.0.024", "10.0.0.20.."] {
        let mut bench = free(named());
        let (mut caller, _, desk) = bench.talking();
        bench.wish(desk, AgentRequest::Transfer(format!("sip:{DEAR}@{host}")));
        assert!(bench.resolves.is_empty(), "{host}");
        assert_eq!(bench.state(), "answered", "{host}");
        hang_up(&mut bench, &mut caller);
        bench.finish();
    }
}

#[test]
fn limits_and_caller_id_of_the_trunk_that_owns_the_address_hold() {
    let zone = jiff::tz::TimeZone::UTC;
    let quota = Quota { to: vec![], caller: vec![], max_calls: 0, calls_per_second: 0, calls_per_day: 1, zone };
    let limited = |pbx: Trunk| {
        let mut bench = by_name(By::Agent, pbx, "+14155550177", &[ELSEWHERE, PBX]);
        bench.input(GatewayInput::TransportFailed { flow: udp(ELSEWHERE), why: None });
        assert_eq!(invites(&bench, PBX), 1);
        // Another call to the same target.
        bench.sent.clear();
        let caller = bench.invite(CARRIER, "+14155550100", &offer());
        let (desk, _) = bench.asked().pop().unwrap();
        let id = bench.media.last().unwrap().0;
        bench.input(GatewayInput::Media { id, event: MediaEvent::Agent { end: desk, event: AgentEvent::Open } });
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        let wish = AgentRequest::Transfer("sip:+14155550177@another.test".into());
        bench.input(GatewayInput::Media {
            id,
            event: MediaEvent::Agent { end: desk, event: AgentEvent::Request(wish) },
        });
        let (query, _) = bench.resolves.pop().unwrap();
        bench.resolve(query, &[PBX]);
        bench
    };
    let pace = Duration::ZERO;
    for (pbx, reason) in [
        (Trunk { max_calls: 1, pace, ..trunk("pbx", &[PBX]) }, "limit_calls"),
        (Trunk { calls_per_second: 1, pace, ..trunk("pbx", &[PBX]) }, "limit_rate"),
        (Trunk { peer_calls_per_second: 1, pace, ..trunk("pbx", &[PBX]) }, "limit_rate"),
        (Trunk { quotas: vec![quota.clone()], pace, ..trunk("pbx", &[PBX]) }, "limit_day"),
    ] {
        let bench = limited(pbx);
        assert_eq!((invites(&bench, PBX), bench.reports[0].call.reason), (0, Some(reason)), "{reason}");
    }
    // A call that waits for a slot gets it.
    let mut bench = limited(Trunk { calls_per_second: 1, ..trunk("pbx", &[PBX]) });
    assert_eq!(invites(&bench, PBX), 0);
    bench.pass(Duration::from_millis(1_500));
    assert!(bench.sent.iter().any(|sent| sent.first_line().starts_with("INVITE sip:+14155550177@another.test")));
    // The number shown to the trunk.
    let shown = NumberingPlan::new("US").unwrap().normalise_caller("+12125550000", None);
    let rule = CallerIdRule { allow: vec![Pattern::parse("+1212*").unwrap()], default: Some(shown) };
    let mut bench =
        by_name(By::Agent, Trunk { caller_id: Some(rule.clone()), ..trunk("pbx", &[PBX]) }, "+14155550177", &[PBX]);
    assert!(bench.expect(PBX, "INVITE").header("From").contains("+12125550000"));
    let rule = CallerIdRule { default: None, ..rule };
    let bench = by_name(By::Agent, Trunk { caller_id: Some(rule), ..trunk("pbx", &[PBX]) }, "+14155550177", &[PBX]);
    assert_eq!((invites(&bench, PBX), bench.reports[0].call.reason), (0, Some("caller_id_refused")));
}

#[test]
fn a_place_is_given_back_where_another_address_is_of_no_trunk() {
    let pbx = Trunk { max_calls: 1, ..trunk("pbx", &[PBX]) };
    let mut bench = by_name(By::Agent, pbx, "+14155550177", &[PBX, ELSEWHERE]);
    assert_eq!(invites(&bench, PBX), 1);
    bench.input(GatewayInput::TransportFailed { flow: udp(PBX), why: None });
    assert_eq!(invites(&bench, ELSEWHERE), 1);
    let view = bench.gateway.status(bench.now).trunks.into_iter().find(|view| view.name == "pbx").unwrap();
    assert_eq!(view.calls, 0);
    bench.sent.clear();
}

#[test]
fn a_number_with_separators_is_judged_and_leaves_without_them() {
    let many = "-".repeat(60);
    let bench = |pbx: Trunk, called: &str| {
        let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER]), pbx], vec![route(vec![to_trunk("pbx")])]));
        bench.invite(CARRIER, called, &offer());
        bench
    };
    let dashes = format!("+1{many}8095550123");
    let dots = format!("+1809{}5550123", "..()".repeat(40));
    let tail = format!("+18095550123{}", "-".repeat(120));
    for called in [&*dashes, &dots, &tail, "%2B1%2D809%2D555%2D0123", "9-011-1-809-555-0123", "1010288011-1-8095550123"]
    {
        assert_eq!(bench(careful(), called).reports[0].call.reason, Some("denied"), "{called}");
    }
    for called in [&*dashes, &dots, &tail, "%2B1%2D809%2D555%2D0123"] {
        let mut bench = bench(trunk("pbx", &[PBX]), called);
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(PBX, &format!("INVITE sip:{DEAR}@10.0.0.20"));
    }
    for called in [
        "+1-809-555-0123-456789",
        "0000000000000000000000000000008816512345678",
        "100%00",
        "100%0D%0AX",
        "desk%7f",
        "+1809%C2%A05550123",
        "+1809%E2%80%915550123",
        "100%E2%80%AE",
        "desk%E2%81%A6",
        "%D8%9C100",
        "100%E2%80%A8",
        "9%E2%80%8E011-1-809-555-0123",
    ] {
        let bench = bench(trunk("pbx", &[PBX]), called);
        assert_eq!(
            (bench.reports[0].call.reason, bench.reports[0].sip_code),
            (Some("incomplete_number"), 484),
            "{called}"
        );
    }
    // An agent's request, by a trunk's name and by a URI; a number sent to an address without a trunk has no separators
    // either.
    for target in
        [format!("trunk:pbx/{dashes}"), format!("sip:{dashes}@10.0.0.20"), "trunk:pbx/9011 1 809 5550123".into()]
    {
        let mut bench = free(careful());
        let (_, _, desk) = bench.talking();
        bench.wish(desk, AgentRequest::Transfer(target.clone()));
        assert_eq!((bench.reports[0].call.reason, invites(&bench, PBX)), (Some("denied"), 0), "{target}");
    }
    let mut bench = free(careful());
    let (_, _, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Transfer(format!("sip:{dashes}@192.0.2.50;user=phone")));
    bench.expect(ELSEWHERE, &format!("INVITE sip:{DEAR}@192.0.2.50;user=phone"));
}

#[test]
fn a_referred_or_redirected_number_with_separators_is_judged() {
    let many = "-".repeat(60);
    for refer_to in [format!("<tel:+1{many}8095550123>"), format!("<sip:+1{many}8095550123@other.test>")] {
        let to = |prefix: &str, connect| trunkgate_route::Route {
            to: vec![Pattern::parse(prefix).unwrap()],
            ..route(connect)
        };
        let backup = Trunk { name: "backup".into(), ..Trunk { peers: trunk("b", &[BACKUP]).peers, ..careful() } };
        let routes = vec![to("+1415*", vec![to_trunk("pbx")]), to("*", vec![to_trunk("backup")])];
        let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER]), trunk("pbx", &[PBX]), backup], routes));
        let (_, callee) = bench.answered();
        let refer = callee.request("REFER", 1, "");
        bench.receive(PBX, refer.replace("Content-Length:", &format!("Refer-To: {refer_to}\r\nContent-Length:")));
        bench.expect(PBX, "SIP/2.0 202");
        assert_eq!(invites(&bench, BACKUP), 0, "{refer_to}");
        let entries = bench.gateway.trace(&bench.gateway.calls(bench.now)[0].sid.clone()).unwrap().entries;
        assert!(format!("{entries:?}").contains("does not allow calls to +18095550123"), "{refer_to}");
        bench.sent.clear();
    }
    let mut bench =
        Bench::with(table(vec![trunk("carrier", &[CARRIER]), careful()], vec![route(vec![to_trunk("pbx")])]));
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let pbx = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let text = pbx.answer(302, "").replace("Contact: <sip:bob@", &format!("Contact: <sip:+1{many}8095550123@"));
    bench.receive(PBX, text);
    bench.expect(PBX, "ACK");
    assert_eq!((invites(&bench, PBX), bench.reports[0].call.reason), (0, Some("denied")));
}

/// Requests a transfer to the target; returns the slug that the agent receives if it is refused.
fn asks(bench: &mut Bench, desk: EndId, target: &str) -> Option<&'static str> {
    bench.wish(desk, AgentRequest::Transfer(target.to_owned()));
    let told = bench.told().into_iter().find_map(|told| match told {
        Told::TransferFailed(_, of, reason, None) if of == target => Some(reason),
        _ => None,
    });
    if told.is_some() {
        assert_eq!(bench.state(), "answered", "{target}: the caller stays");
        assert!(!bench.sent.iter().any(|sent| sent.first_line().starts_with("INVITE")), "{target}");
    }
    told
}

#[test]
fn agents_transfer_only_as_configured() {
    for (entries, target, refused) in [
        (None, "trunk:pbx/100", None),
        (None, "agent:night", None),
        (None, "sip:100@10.0.0.20", Some("target_not_allowed")),
        (None, "sip:100@192.0.2.50", Some("target_not_allowed")),
        (Some(&[][..]), "trunk:pbx/100", Some("target_not_allowed")),
        (Some(&["trunk:pbx"]), "trunk:pbx/+14155550177", None),
        (Some(&["trunk:pbx"]), "trunk:carrier/+14155550177", Some("target_not_allowed")),
        (Some(&["trunk:pbx/1*"]), "trunk:pbx/100", None),
        (Some(&["trunk:pbx/1*"]), "trunk:pbx/1-0-0", None),
        (Some(&["trunk:pbx/100-1"]), "trunk:pbx/100-1", None),
        (Some(&["trunk:pbx/1*"]), "trunk:pbx/200", Some("target_not_allowed")),
        (Some(&["trunk:pbx/1*"]), "trunk:pbx/1010288011881612345678", Some("target_not_allowed")),
        (Some(&["trunk:pbx/1*"]), "trunk:pbx", Some("target_not_allowed")),
        (Some(&["agent:night"]), "agent:night", None),
        (Some(&["agent:night"]), "agent:desk", Some("target_not_allowed")),
        (Some(&["sip:*@pbx.test"]), "sip:100@PBX.test.", None),
        (Some(&["sip:*@pbx.test"]), "sip:100@pbx.test:22;transport=tcp", Some("target_not_allowed")),
        (Some(&["sip:*@pbx.test"]), "sip:100@pbx.test.evil.test", Some("target_not_allowed")),
    ] {
        let mut bench = with(trunk("pbx", &[PBX]), entries.and_then(rules));
        let (_, _, desk) = bench.talking();
        assert_eq!(asks(&mut bench, desk, target), refused, "{entries:?} {target}");
        if refused.is_some() {
            assert!(bench.story().contains("refused, not in `transfer_to`"), "{}", bench.story());
            assert!(bench.logs.iter().any(|line| line.contains("may not transfer its caller to")), "{:?}", bench.logs);
        }
        bench.sent.clear();
    }
}

#[test]
fn no_transfer_leads_to_the_edge_itself_or_to_its_link() {
    for host in [
        "127.0.0.1:22;transport=tcp",
        "127.0.0.1",
        "127.9.9.9",
        "[::1]:22",
        "[::ffff:127.0.0.1]:22",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1:7f00:0:100::]",
        "[64:ff9b:1:7f:0:1::]",
        "[64:ff9b:1:0:7f:0:100:0]",
        "[64:ff9b:1::7f00:1]",
        "[64:ff9b:1:2:3:4:a9fe:a9fe]",
        "[64:ff9b:1::a00:5]",
        "[::ffff:0:7f00:1]",
        "[2002:7f00:1::]",
        "[2002:a00:5::1]",
        "127.0.0.1.",
        "0.0.0.0:22",
        "0.1.2.3",
        "[::]",
        "169.254.169.254",
        "[fe80::1]",
        "224.0.0.1",
        "[ff02::1]",
        "255.255.255.255",
        "203.0.113.10:8080",
        "10.0.0.5:22",
        "192.0.2.5",
    ] {
        let target = format!("sip:x@{host}");
        let mut bench = free(trunk("pbx", &[PBX]));
        let (mut caller, _, desk) = bench.talking();
        assert_eq!(asks(&mut bench, desk, &target), Some("forbidden_address"), "{host}");
        assert_eq!(http(&mut bench, &target), Err(RequestRefusal::ForbiddenAddress), "{host}");
        hang_up(&mut bench, &mut caller);
        bench.finish();
    }
    // A trunk may be on this machine, at exactly its address.
    let mut bench = free(trunk("pbx", &[PBX]));
    let (_, _, desk) = bench.talking();
    assert_eq!(asks(&mut bench, desk, "sip:x@127.0.0.1:5081"), Some("forbidden_address"));
    assert_eq!(asks(&mut bench, desk, "sip:x@127.0.0.1:5080"), None);
    assert_eq!(invites(&bench, "127.0.0.1:5080"), 1);
    // A name that resolves to such an address is refused too.
    for found in
        ["127.0.0.1:22", "[::1]:22", "169.254.169.254:80", "10.0.0.5:22", "[64:ff9b::7f00:1]:22", "[2002:7f00:1::1]:22"]
    {
        for by in [By::Agent, By::Http] {
            let bench = by_name(by, trunk("pbx", &[PBX]), "x", &[found]);
            assert_eq!(invites(&bench, found), 0, "{by:?} {found}");
            assert_eq!(bench.reports[0].call.reason, Some("forbidden_address"), "{by:?} {found}");
            assert!(bench.logs.iter().any(|line| line.contains("transfers may not reach")), "{:?}", bench.logs);
        }
    }
    // An agent that stays gets the reason.
    let mut bench = free(trunk("pbx", &[PBX]));
    let (_, _, desk) = bench.talking();
    bench.wish(desk, AgentRequest::Consult("sip:x@other.test".into()));
    let (query, _) = bench.resolves.pop().unwrap();
    bench.resolve(query, &["127.0.0.1:22"]);
    let told = bench.told();
    let failed = |told: &Told| matches!(told, Told::TransferFailed(_, _, "forbidden_address", None));
    assert!(told.iter().any(failed), "{told:?}");
    assert_eq!((bench.state(), bench.sent.len()), ("answered", 0));
}
