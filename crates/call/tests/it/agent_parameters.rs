//! `parameters` of an agent, with their placeholders filled in.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use crate::bench::agents::{agent, agent_table, to_agent};
use crate::bench::{Bench, CARRIER, Dialing, offer, route, to_trunk};
use trunkgate_call::limits::PARAMETER_HEADER_CHARS;
use trunkgate_media::agent::StreamLoss;
use trunkgate_route::{Agent, ParameterTemplate};

fn with(parameters: &[(&str, &str)]) -> Agent {
    let parameters =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), ParameterTemplate::parse(value).unwrap()));
    Agent { parameters: parameters.collect(), ..agent("desk") }
}

/// Returns the parameters that the agent receives for a call with these headers.
fn told(parameters: &[(&str, &str)], headers: &str) -> Vec<(String, String)> {
    let mut bench = Bench::with(agent_table(vec![with(parameters)], route(vec![to_agent("desk")])));
    let caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), headers));
    let (_, settings) = bench.asked().remove(0);
    settings.parameters
}

#[test]
fn placeholders_stand_for_what_is_known_of_the_call() {
    let parameters =
        [("who", "{caller} for {called}"), ("where", "{route}/{trunk}"), ("tenant", "<{header:X-Tenant}>")];
    let told = told(&parameters, "X-Tenant:  acme \r\n");
    let expected = [("who", "+14155551234 for +14155550100"), ("where", "main/carrier"), ("tenant", "<acme>")];
    assert_eq!(told, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_header_is_found_by_any_case_and_by_its_short_name_and_its_first_value_counts() {
    for (asked, headers, value) in [
        ("{header:x-TENANT}", "X-Tenant: one\r\nX-Tenant: two\r\n", "one"),
        ("{header:Subject}", "s: hello\r\n", "hello"),
        (
            "{header:Diversion}",
            "Diversion: <sip:+1555@x>;reason=unconditional\r\n",
            "<sip:+1555@x>;reason=unconditional",
        ),
        // A missing header is empty; the parameter is still sent.
        ("{header:X-Tenant}", "", ""),
        ("{header:X-Tenant}", "X-Tenant:\r\n", ""),
    ] {
        assert_eq!(told(&[("x", asked)], headers), [("x".to_owned(), value.to_owned())], "{asked} in {headers:?}");
    }
}

#[test]
fn a_header_is_bounded_and_plain_text() {
    let long = "y".repeat(PARAMETER_HEADER_CHARS + 1);
    for (value, expected) in [
        (long.as_str(), &long[1..]),
        ("a\u{7f}b\u{1b}[31mc", "ab[31mc"),
        ("two\r\n lines", "two lines"),
        ("r\u{202e}l", "rl"),
        ("\u{e4}\u{1f600}", "\u{e4}\u{1f600}"),
    ] {
        let told = told(&[("x", "{header:X-Tenant}")], &format!("X-Tenant: {value}\r\n"));
        assert_eq!(told[0].1, expected, "{value:?}");
    }
}

#[test]
fn an_agent_that_comes_later_is_told_the_same() {
    let desk = with(&[("tenant", "{header:X-Tenant}")]);
    let night = Agent { name: "night".into(), ..desk.clone() };
    let connect = vec![to_agent("desk"), to_agent("night"), to_trunk("pbx")];
    let mut bench = Bench::with(agent_table(vec![desk, night], route(connect)));
    let caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), "X-Tenant: acme\r\n"));
    let (desk, _) = bench.asked().remove(0);
    bench.lose(desk, StreamLoss::Unreachable);
    let (_, settings) = bench.asked().pop().unwrap();
    assert_eq!(settings.parameters, [("tenant".to_owned(), "acme".to_owned())]);
}
