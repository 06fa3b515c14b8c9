//! `allow_callers`: callers that an agent accepts. All others get 486, and their calls end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;

use crate::bench::agents::{agent, agent_table, to_agent};
use crate::bench::{Bench, CARRIER, Dialing, PBX, offer, route, to_trunk};
use trunkgate_media::AgentRequest;
use trunkgate_media::agent::StreamLoss;
use trunkgate_route::{Agent, TargetSpec};

/// Returns a bench in which `night` accepts one caller; the bench's own caller is +14155551234.
fn bench(connect: Vec<TargetSpec>, caller: &str) -> Bench {
    let allow_callers = BTreeSet::from([caller.to_owned()]);
    let night = Agent { allow_callers, ..agent("night") };
    Bench::with(agent_table(vec![agent("desk"), night], route(connect)))
}

/// Returns the result of a call with this From: the agent is called, or the caller gets the returned code.
fn becomes(bench: &mut Bench, call: u32, from: &str) -> Option<u16> {
    bench.media.clear();
    bench.sent.clear();
    let caller = Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call, cseq: 1, to_tag: String::new() };
    let text = caller.request("INVITE", &offer(), "");
    let line = text.lines().find(|line| line.starts_with("From:")).unwrap();
    bench.receive(CARRIER, text.replace(line, &format!("From: {from};tag=a{call}")));
    assert!(bench.sent.iter().all(|sent| sent.to == CARRIER.parse().unwrap()), "no further target");
    let refusal = bench.sent.iter().map(|sent| sent.code()).find(|code| *code >= 300);
    assert_eq!(refusal.is_none(), bench.asked().len() == 1, "{from}");
    refusal
}

#[test]
fn numbers_are_compared_as_e164_and_all_others_get_486() {
    let mut bench = bench(vec![to_agent("night"), to_trunk("pbx")], "+14155551234");
    let allowed = [
        "<sip:+14155551234@carrier.example>",
        "<sip:4155551234@carrier.example>",
        "<sip:14155551234@carrier.example;user=phone>",
        "<sip:0014155551234@carrier.example>",
        "<sip:+1-415-555-1234@carrier.example>",
        "<sip:%2B14155551234@carrier.example>",
        "\"+1 415 555 1235\" <sip:+14155551234@carrier.example>",
        "<tel:+1-415-555-1234>",
        "<tel:5551234;phone-context=+1415>",
        "<sip:5551234;phone-context=+1415@carrier.example>",
    ];
    for (call, from) in (0..).zip(allowed) {
        assert_eq!(becomes(&mut bench, call, from), None, "{from}");
    }
    let refused = [
        "<sip:+14155551235@carrier.example>",
        "<sip:anonymous@anonymous.invalid>",
        "\"+14155551234\" <sip:anonymous@anonymous.invalid>",
        "<sip:+14155551234@anonymous.invalid>",
        "<sip:carrier.example>",
        "<sip:alice@carrier.example>",
        "<sip:5551234@carrier.example>",
        "<sip:+141555512345@carrier.example>",
        "<tel:5551234;phone-context=+1416>",
    ];
    for (call, from) in (50..).zip(refused) {
        assert_eq!(becomes(&mut bench, call, from), Some(486), "{from}");
    }
    let record = bench.reports.last().unwrap();
    assert_eq!((record.call.outcome, record.call.reason), (Some("refused"), Some("caller_not_allowed")));
    assert_eq!(record.sip_code, 486);
}

#[test]
fn it_is_the_end_behind_other_targets_too() {
    let mut bench = bench(vec![to_agent("desk"), to_agent("night"), to_trunk("pbx")], "+12125550100");
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    let (desk, _) = bench.asked().pop().unwrap();
    bench.lose(desk, StreamLoss::Unreachable);
    let refusal = bench.expect(CARRIER, "SIP/2.0 486");
    assert!(refusal.header("Reason").contains("caller_not_allowed"));
    bench.nothing();
}

#[test]
fn a_caller_that_has_been_answered_goes_on() {
    for sent_on in [false, true] {
        let mut bench = bench(vec![to_agent("desk"), to_agent("night"), to_trunk("pbx")], "+12125550100");
        let (_, _, desk) = bench.talking();
        match sent_on {
            true => bench.wish(desk, AgentRequest::Transfer("agent:night".into())),
            false => bench.lose(desk, StreamLoss::Reset),
        }
        assert!(bench.asked().is_empty());
        bench.expect(PBX, "INVITE");
        bench.nothing();
        assert!(
            bench.story().contains("night: the agent does not accept calls from that caller (486)"),
            "{}",
            bench.story()
        );
    }
}

#[test]
fn who_only_listens_hears_everybody() {
    let allow_callers = BTreeSet::from(["+12125550100".to_owned()]);
    let scribe = Agent { allow_callers, ..agent("scribe") };
    let forked = trunkgate_route::Route { fork: vec!["scribe".into()], ..route(vec![to_trunk("pbx")]) };
    let mut bench = Bench::with(agent_table(vec![scribe], forked));
    bench.invite(CARRIER, "+14155550100", &offer());
    assert_eq!(bench.asked().len(), 1);
    bench.expect(PBX, "INVITE");
}
