//! Caller ID: the numbers that a trunk may show, replacement towards a target, a route's own number, and anonymous
//! callers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;

use crate::bench::*;
use trunkgate_route::{
    CallerIdRule, IdentityTrust, Number, NumberingPlan, OwnHosts, Pattern, Route, SendNumbers, Trunk,
};

const DEFAULT: &str = "+14155550199";

fn number(text: &str) -> Number {
    NumberingPlan::default().normalise_caller(text, None)
}

/// Returns a rule with the allowed numbers and the replacement.
fn rule(allow: &[&str], default: Option<&str>) -> Option<CallerIdRule> {
    let allow = allow.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    Some(CallerIdRule { allow, default: default.map(number) })
}

fn carrier(caller_id_in: Option<CallerIdRule>) -> Trunk {
    Trunk { caller_id_in, ..trunk("carrier", &[CARRIER]) }
}

fn pbx(caller_id: Option<CallerIdRule>) -> Trunk {
    Trunk { caller_id, ..trunk("pbx", &[PBX]) }
}

fn bench_of(from: Trunk, to: Trunk, own: Option<&str>) -> Bench {
    let route = Route { caller_id: own.map(|own| Arc::new(number(own))), ..route(vec![to_trunk("pbx")]) };
    Bench::with(table(vec![from, to], vec![route]))
}

/// Makes a call with this From and these headers; returns the INVITE to the PBX, or the code for the caller.
fn call(bench: &mut Bench, from: &str, headers: &str) -> Result<Sent, u16> {
    let caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
    let text = caller.request("INVITE", &offer(), headers);
    let line = text.lines().find(|line| line.starts_with("From:")).unwrap();
    bench.receive(CARRIER, text.replace(line, &format!("From: {from};tag=a")));
    bench.expect(CARRIER, "SIP/2.0 100");
    match bench.sent.iter().any(|sent| sent.to == PBX.parse().unwrap()) {
        true => Ok(bench.expect(PBX, "INVITE")),
        false => Err(bench.next(CARRIER).code()),
    }
}

fn from_of(invite: &Sent) -> String {
    let from = invite.header("From");
    from.split(";tag=").next().unwrap().replace(&format!("@{LOCAL}>"), "@us>")
}

fn asserted(invite: &Sent) -> Vec<String> {
    invite.headers("P-Asserted-Identity").iter().map(|one| one.replace(&format!("@{LOCAL}>"), "@us>")).collect()
}

const ALICE: &str = "\"Alice\" <sip:+14155551234@198.51.100.7>";
const HIDDEN: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
const IDENTITY: &str = "Identity: eyJ.e30.sig;info=<https://cert.example/a.pem>;alg=ES256\r\n";

#[test]
fn from_is_shown_replaced_or_refused() {
    let allowed = &["+14155551234", "+1212555*"][..];
    let alice = Ok("\"Alice\" <sip:+14155551234@us>");
    let default = Ok("<sip:+14155550199@us>");
    let own = Ok("<sip:+14155550188@us>");
    for (to, own_number, from, expected) in [
        (None, None, ALICE, alice),
        (rule(allowed, None), None, ALICE, alice),
        (rule(&["+1212555*"], None), None, ALICE, Err(403)),
        (rule(&["+1212555*"], Some(DEFAULT)), None, ALICE, default),
        (rule(&[], Some(DEFAULT)), None, ALICE, default),
        (rule(allowed, Some(DEFAULT)), None, "<sip:1001@198.51.100.7>", default),
        (rule(allowed, None), None, "<sip:1001@198.51.100.7>", Err(403)),
        (rule(allowed, None), None, "<tel:+1-415-555-1234>", Ok("<sip:+14155551234@us>")),
        // A number that only resembles an allowed one is not allowed.
        (rule(allowed, None), None, "<sip:+14155551234%3bx@198.51.100.7>", Err(403)),
        (rule(allowed, None), None, "<sip:+14155551234,1@198.51.100.7>", Err(403)),
        (None, Some("+14155550188"), ALICE, own),
        (rule(&["+14155550188"], None), Some("+14155550188"), ALICE, own),
        (rule(allowed, None), Some("+14155550188"), ALICE, Err(403)),
        (rule(allowed, Some(DEFAULT)), Some("+14155550188"), ALICE, default),
        // An anonymous caller shows no wrong number.
        (rule(allowed, None), None, HIDDEN, Ok(HIDDEN)),
        (rule(allowed, Some(DEFAULT)), Some("+14155550188"), HIDDEN, Ok(HIDDEN)),
    ] {
        let mut bench = bench_of(carrier(None), pbx(to.clone()), own_number);
        let found = call(&mut bench, from, "").map(|invite| from_of(&invite));
        assert_eq!(found.as_deref(), expected.as_ref().copied(), "{from} {to:?} {own_number:?}");
    }
}

/// sipgate requires the account in From, and the caller's number in P-Preferred-Identity without `+`.
#[test]
fn rfc3325_9_2_a_trunk_may_have_the_account_in_from_and_the_number_beside_it() {
    let sipgate = |caller_id| {
        let own_hosts = OwnHosts { contact: None, from: Some("sip.example".into()) };
        let preferred_identity = Some(SendNumbers::PlusLess);
        Trunk { from_user: Some("e12345p0".into()), preferred_identity, own_hosts, ..pbx(caller_id) }
    };
    for (rule, from, shown, preferred) in [
        (None, ALICE, "\"Alice\" <sip:e12345p0@sip.example>", vec!["<sip:14155551234@sip.example>"]),
        (rule(&[], Some(DEFAULT)), ALICE, "<sip:e12345p0@sip.example>", vec!["<sip:14155550199@sip.example>"]),
        (None, HIDDEN, "\"Anonymous\" <sip:e12345p0@sip.example>", vec![]),
    ] {
        for privacy in ["", "Privacy: none\r\n"] {
            let mut bench = bench_of(carrier(None), sipgate(rule.clone()), None);
            let invite = call(&mut bench, from, privacy).unwrap();
            assert_eq!(from_of(&invite), shown);
            assert_eq!(invite.headers("P-Preferred-Identity"), preferred, "{}", invite.text);
            let is_hidden = invite.headers("Privacy") == ["id"];
            assert_eq!(is_hidden, from == HIDDEN, "{}", invite.text);
        }
    }
    // Without `from_user` From is unchanged.
    let trunk = Trunk { preferred_identity: Some(SendNumbers::E164), ..pbx(None) };
    let invite = call(&mut bench_of(carrier(None), trunk, None), ALICE, "").unwrap();
    assert_eq!(from_of(&invite), "\"Alice\" <sip:+14155551234@us>");
    assert_eq!(invite.headers("P-Preferred-Identity"), [format!("<sip:+14155551234@{LOCAL}>")]);
    // Without either setting, a caller's own header is not passed on.
    let brought = "P-Preferred-Identity: <sip:+14155551234@x>\r\n";
    let invite = call(&mut bench_of(carrier(None), pbx(None), None), ALICE, brought).unwrap();
    assert!(invite.headers("P-Preferred-Identity").is_empty(), "{}", invite.text);
}

#[test]
fn a_number_that_is_one_by_its_context_alone_is_not_sent_on_without_it() {
    // Without its context the second number would be one in Maine.
    for (from, shown) in [
        ("<sip:4155551234@198.51.100.7>", "<sip:4155551234@us>"),
        ("<sip:2079460018;phone-context=+44@198.51.100.7>", "<sip:+442079460018@us>"),
    ] {
        let to = Trunk { send_numbers: SendNumbers::AsIs, ..pbx(rule(&["+44*", "+1415*"], None)) };
        let mut bench = bench_of(carrier(None), to, None);
        assert_eq!(from_of(&call(&mut bench, from, "").unwrap()), shown);
    }
}

#[test]
fn what_a_trunk_may_show_holds_for_all_that_follows() {
    let allowed = &["+14155551234"][..];
    for (from_rule, from, expected) in [
        (rule(allowed, None), ALICE, Ok("\"Alice\" <sip:+14155551234@us>")),
        (rule(allowed, None), "<sip:+14155559999@x>", Err(403)),
        (rule(allowed, None), "<sip:boss@x>", Err(403)),
        (rule(allowed, Some(DEFAULT)), "\"Your bank\" <sip:+14155559999@x>", Ok("<sip:+14155550199@us>")),
        (rule(allowed, None), HIDDEN, Ok(HIDDEN)),
    ] {
        let mut bench = bench_of(carrier(from_rule), pbx(None), None);
        let found = call(&mut bench, from, IDENTITY);
        if let Ok(invite) = &found {
            let is_replaced = invite.header("From").contains(DEFAULT);
            assert_eq!(invite.headers("Identity").is_empty(), is_replaced, "a signature is for one number");
        }
        assert_eq!(found.map(|invite| from_of(&invite)).as_deref(), expected.as_ref().copied(), "{from}");
    }
}

#[test]
fn asserted_identities_and_diversions_keep_to_the_same_rule() {
    let pai = "P-Asserted-Identity: \"Alice\" <sip:+14155551234@x>, <sip:+14155557777@x>\r\n";
    let diversion = "Diversion: <sip:+14155557777@x>;reason=no-answer, <sip:+14155551234@x>;reason=unconditional\r\n";
    let headers = format!("{pai}{diversion}{IDENTITY}");
    let kept = vec!["\"Alice\" <sip:+14155551234@us>".to_owned()];
    let both = vec![kept[0].clone(), "<sip:+14155557777@us>".to_owned()];
    let ours = vec!["<sip:+14155550199@us>".to_owned()];
    for (from_rule, to_rule, own, pai, diversions, is_signed) in [
        (None, None, None, &both, 2, true),
        (None, rule(&["+14155551234"], None), None, &kept, 1, true),
        (rule(&["+14155551234"], None), None, None, &kept, 1, true),
        (None, rule(&[], Some(DEFAULT)), None, &ours, 0, false),
        (rule(&[], Some(DEFAULT)), None, None, &ours, 0, false),
        (None, None, Some(DEFAULT), &ours, 2, false),
    ] {
        let mut bench = bench_of(carrier(from_rule), pbx(to_rule.clone()), own);
        let invite = call(&mut bench, ALICE, &headers).unwrap();
        assert_eq!(&asserted(&invite), pai, "{to_rule:?}");
        let diversion = invite.headers("Diversion").join(", ");
        assert_eq!(diversion.matches("<sip:").count(), diversions, "{diversion}");
        assert_eq!(!invite.headers("Identity").is_empty(), is_signed, "{to_rule:?}");
    }
}

/// Twilio identifies a caller without a number by its P-Asserted-Identity, which must belong to the account.
#[test]
fn who_wants_to_be_unknown_stays_so_and_the_trunk_knows_whose_call_it_is() {
    let twilio = || rule(&["+14155550188", DEFAULT], Some(DEFAULT));
    let private = "Privacy: id\r\nP-Asserted-Identity: <sip:+14155559999@x>\r\n";
    let known = "Privacy: id\r\nP-Asserted-Identity: <sip:+14155550188@x>\r\n";
    for (identity, from, headers, expected, pai, privacy) in [
        (IdentityTrust::Pass, HIDDEN, "", HIDDEN, &["<sip:+14155550199@us>"][..], &["id"][..]),
        (IdentityTrust::Pass, HIDDEN, private, HIDDEN, &["<sip:+14155550199@us>"], &["id"]),
        (IdentityTrust::Pass, HIDDEN, known, HIDDEN, &["<sip:+14155550188@us>"], &["id"]),
        (IdentityTrust::Pass, HIDDEN, "Privacy: none\r\n", HIDDEN, &["<sip:+14155550199@us>"], &["id"]),
        (
            IdentityTrust::Pass,
            HIDDEN,
            "Privacy: user;critical\r\n",
            HIDDEN,
            &["<sip:+14155550199@us>"],
            &["user;critical;id"],
        ),
        // The caller's trunk is not trusted: its identity headers are dropped, ours are sent.
        (IdentityTrust::Strip, ALICE, private, HIDDEN, &["<sip:+14155550199@us>"], &["id"]),
        (IdentityTrust::Strip, HIDDEN, "", HIDDEN, &["<sip:+14155550199@us>"], &["id"]),
    ] {
        let from_trunk = Trunk { identity, ..carrier(None) };
        let mut bench = bench_of(from_trunk, pbx(twilio()), None);
        let invite = call(&mut bench, from, headers).unwrap();
        assert_eq!(from_of(&invite), expected, "{headers}");
        assert_eq!(asserted(&invite), pai, "{headers}");
        assert_eq!(invite.headers("Privacy"), privacy, "{headers}");
        assert!(!invite.text.contains("9999") && !invite.text.contains("1234@"), "{}", invite.text);
    }
    // A trunk that may not know the caller gets no identity headers.
    let mut bench = bench_of(carrier(None), Trunk { identity: IdentityTrust::Strip, ..pbx(twilio()) }, None);
    let invite = call(&mut bench, HIDDEN, "").unwrap();
    assert!(invite.headers("P-Asserted-Identity").is_empty() && invite.headers("Privacy").is_empty());
}

#[test]
fn a_uri_that_leads_to_a_trunk_is_no_way_round_its_rule() {
    let uri = trunkgate_route::TargetSpec::Uri {
        in_call: false,
        uri: format!("sip:+14155550100@{PBX}"),
        destination: trunkgate_route::Destination {
            host: "10.0.0.20".into(),
            port: Some(5060),
            transport: trunkgate_route::Transport::Udp,
            is_fixed: true,
        },
    };
    for (to, expected) in
        [(rule(&["+1212555*"], Some(DEFAULT)), Ok("<sip:+14155550199@us>")), (rule(&["+1212555*"], None), Err(403))]
    {
        let mut bench = Bench::with(table(vec![carrier(None), pbx(to)], vec![route(vec![uri.clone()])]));
        let found = call(&mut bench, ALICE, "").map(|invite| from_of(&invite));
        assert_eq!(found.as_deref(), expected.as_ref().copied());
    }
}

#[test]
fn the_trace_says_what_was_shown() {
    let mut bench = bench_of(carrier(rule(&[], Some("+14155550188"))), pbx(rule(&[], Some(DEFAULT))), None);
    call(&mut bench, ALICE, "").unwrap();
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let trace = format!("{:?}", bench.gateway.trace(&sid));
    for text in [
        "carrier may not send caller ID +14155551234: +14155550188 is used",
        "caller ID to pbx: +14155550199 instead of +14155550188",
    ] {
        assert!(trace.contains(text), "{text} in {trace}");
    }
}
