//! Parameters of the called number (RFC 3966 §3, RFC 4694): passed between trunks that are trusted with them.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use crate::bench::*;
use trunkgate_route::{Pattern, TargetSpec, Trunk};

const NUMBER: &str = "+14155550100";

/// Returns a bench with trunks that are trusted with these parameters, and a route to the PBX.
fn bench(carrier: &[&'static str], pbx: &[&'static str], connect: TargetSpec) -> Bench {
    let mut trunks = usual_trunks();
    trunks[0].number_parameters = carrier.to_vec();
    trunks[1] =
        Trunk { number_parameters: pbx.to_vec(), deny: vec![Pattern::parse("+1900*").unwrap()], ..trunks[1].clone() };
    Bench::with(table(trunks, vec![route(vec![connect])]))
}

/// Calls the number from the carrier with these parameters.
fn dials(bench: &mut Bench, parameters: &str) {
    let dialing = Dialing {
        peer: CARRIER.into(),
        number: format!("{NUMBER}{parameters}"),
        call: 1,
        cseq: 1,
        to_tag: String::new(),
    };
    bench.receive(CARRIER, dialing.request("INVITE", &offer(), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
}

#[test]
fn what_both_trunks_are_trusted_with_is_passed_and_nothing_else() {
    let all = &["npdi", "rn", "cpc", "tgrp", "trunk-context", "ext", "postd"][..];
    let some = ";npdi;rn=+14155550199;cpc=payphone;ext=1234;tgrp=g-1;trunk-context=carrier.example;postd=12*";
    for (carrier, pbx, sent, passed) in [
        (
            all,
            all,
            some,
            ";npdi;rn=+14155550199;cpc=payphone;tgrp=g-1;trunk-context=carrier.example;ext=1234;postd=12*",
        ),
        (all, &["rn", "npdi"][..], some, ";npdi;rn=+14155550199"),
        (&["cpc"], all, some, ";cpc=payphone"),
        (all, &[], some, ""),
        (&[], all, some, ""),
        // Invalid values of a number, and text that only resembles a parameter.
        (all, all, ";ext=%40evil.example;x-foo=1;cpc=a%3Brn%3D%2B1900", ""),
        (all, all, ";phone-context=+44", ""),
        (all, all, ";rn=carrier", ""),
        (all, all, ";rn=.", ""),
    ] {
        let mut bench = bench(carrier, pbx, to_trunk("pbx"));
        dials(&mut bench, sent);
        let invite = bench.expect(PBX, "INVITE");
        let uri = format!("sip:{NUMBER}{passed}@{PBX}");
        assert_eq!(invite.first_line(), format!("INVITE {uri} SIP/2.0"), "{sent}");
        assert_eq!(invite.header("To"), format!("<{uri}>"));
    }
}

#[test]
fn a_number_that_a_route_names_has_none() {
    let named = TargetSpec::Trunk { name: "pbx".into(), number: Some("+14155550177".into()), weight: None };
    let mut bench = bench(&["rn"], &["rn"], named);
    dials(&mut bench, ";rn=+14155550199");
    bench.expect(PBX, &format!("INVITE sip:+14155550177@{PBX} "));
}

#[test]
fn a_routing_number_is_judged_like_the_called_one() {
    for (parameters, code) in [(";rn=+19005550199", 403), (";rn=1-900-555-0199", 403)] {
        let mut bench = bench(&["rn"], &["rn"], to_trunk("pbx"));
        dials(&mut bench, parameters);
        assert_eq!(bench.next(CARRIER).code(), code, "{parameters}");
        bench.nothing();
        bench.finish();
    }
}

#[test]
fn an_emergency_number_goes_without_and_a_quota_counts_what_is_routed_by() {
    let mut bench = bench(&["rn"], &["rn"], to_trunk("pbx"));
    let dialing =
        Dialing { peer: CARRIER.into(), number: "911;rn=+14155550199".into(), call: 1, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, dialing.request("INVITE", &offer(), ""));
    bench.expect(PBX, &format!("INVITE sip:911@{PBX} "));
}
