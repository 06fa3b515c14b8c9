//! Headers passed from one side of a call to the other, caller identity, and headers that are never passed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;

use crate::bench::agents::{agent, to_agent};
use crate::bench::*;
use trunkgate_call::limits::{PARAMETER_HEADERS, PASSED_HEADER_BYTES, PASSED_HEADERS, PASSED_VALUE_BYTES};
use trunkgate_route::{
    Agent, CallerIdRule, Destination, HeaderPattern, HeaderRules, IdentityTrust, NumberingPlan, OwnHosts,
    ParameterTemplate, Pattern, RoutingTable, SendNumbers, TableDefinition, TargetSpec, Transport, Trunk,
};

fn patterns(texts: &[&str]) -> Vec<HeaderPattern> {
    texts.iter().map(|text| HeaderPattern::parse(text).unwrap()).collect()
}

fn passing(trunk: Trunk, pass: &[&str]) -> Trunk {
    let headers = HeaderRules { pass: Some(patterns(pass)), ..trunk.headers.clone() };
    Trunk { headers, ..trunk }
}

fn between(carrier: Trunk, pbx: Trunk) -> Bench {
    Bench::with(table(vec![carrier, pbx], vec![route(vec![to_trunk("pbx")])]))
}

/// Returns the INVITE to the PBX for an INVITE with these headers.
fn sent_on(bench: &mut Bench, headers: &str) -> Sent {
    let caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), headers));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(PBX, "INVITE")
}

fn carrier() -> Trunk {
    trunk("carrier", &[CARRIER])
}

fn pbx() -> Trunk {
    trunk("pbx", &[PBX])
}

const EVERYTHING: &str = "\
X-Tenant: acme\r\nUser-to-User: 56a390f3d2b7;encoding=hex\r\n\
Diversion: \"Desk\" <sip:+14155550177@10.9.8.7:5070;transport=tcp>;reason=no-answer;counter=1;host=10.9.8.7\r\n\
Subject: secret\r\nCall-Info: <http://10.9.8.7/>\r\nRecord-Route: <sip:198.51.100.9;lr>\r\n\
P-Asserted-Identity: \"Alice\" <sip:+14155551234@10.9.8.7;user=phone>, <tel:+14155551234>\r\n\
Identity: eyJhbGciOiJFUzI1NiJ9.e30.sig;info=<https://cert.example/a.pem>;alg=ES256\r\n\
X-Custom:\r\nUser-Agent: peer/1\r\nServer: x\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\n";

#[test]
fn headers_are_relayed_by_default() {
    let mut bench = between(carrier(), pbx());
    let invite = sent_on(&mut bench, EVERYTHING);
    assert_eq!(invite.header("User-to-User"), "56a390f3d2b7;encoding=hex");
    // The numbers are kept, and their host is ours.
    let diversion = format!("\"Desk\" <sip:+14155550177@{LOCAL}>;reason=no-answer;counter=1");
    assert_eq!(invite.header("Diversion"), diversion);
    assert_eq!(
        invite.headers("P-Asserted-Identity"),
        [format!("\"Alice\" <sip:+14155551234@{LOCAL}>").as_str(), "<tel:+14155551234>"]
    );
    assert!(invite.header("Identity").starts_with("eyJhbGciOiJFUzI1NiJ9.e30.sig;info="));
    for name in ["X-Tenant", "X-Custom", "Subject", "Call-Info", "Record-Route", "Privacy", "Server", "Date"] {
        assert!(invite.headers(name).is_empty(), "{name}");
    }
    assert!(!invite.text.contains("10.9.8.7") && !invite.text.contains("198.51.100"), "{}", invite.text);
    assert_eq!(invite.header("User-Agent"), "Trunkgate");
}

#[test]
fn rules_of_both_sides() {
    for (from, to, names) in [
        (passing(carrier(), &["X-*"]), pbx(), &["X-Tenant", "X-Custom"][..]),
        (carrier(), passing(pbx(), &["X-Tenant", "Subject"]), &["X-Tenant", "Subject"]),
        (passing(carrier(), &["X-*", "Subject"]), passing(pbx(), &["X-Tenant"]), &["X-Tenant"]),
        (passing(carrier(), &[]), pbx(), &[]),
    ] {
        let mut bench = between(from, to);
        let invite = sent_on(&mut bench, EVERYTHING);
        for name in ["X-Tenant", "X-Custom", "Subject", "User-to-User", "Diversion", "Call-Info"] {
            assert_eq!(invite.headers(name).len(), usize::from(names.contains(&name)), "{name}: {names:?}");
        }
    }
    let headers = HeaderRules {
        add: vec![("X-Edge".into(), "edge-1; \"quoted\"".into()), ("X-Empty".into(), String::new())],
        remove: patterns(&["X-Cust*", "Diversion"]),
        pass: Some(patterns(&["X-*", "Diversion"])),
        ..HeaderRules::default()
    };
    let mut bench = between(carrier(), Trunk { headers, ..pbx() });
    let invite = sent_on(&mut bench, EVERYTHING);
    assert_eq!((invite.header("X-Edge"), invite.header("X-Empty")), ("edge-1; \"quoted\"", ""));
    assert!(invite.headers("X-Custom").is_empty() && invite.headers("Diversion").is_empty());
    assert_eq!(invite.header("X-Tenant"), "acme");
}

#[test]
fn a_header_is_known_by_any_form_of_its_name_and_all_its_fields_go_on() {
    let mut bench = between(passing(carrier(), &["X-*", "Subject"]), pbx());
    let invite = sent_on(&mut bench, "x-tenant: a\r\nX-TENANT : b\r\ns: hello\r\nX-Fold: one\r\n  two\r\n\tthree\r\n");
    assert_eq!([invite.headers("X-Tenant"), invite.headers("Subject")].concat(), ["a", "b", "hello"]);
    assert_eq!(invite.header("X-Fold"), "one two three");
}

#[test]
fn headers_cannot_be_injected() {
    let rules = || passing(carrier(), &["X-*", "User-to-User"]);
    // White space before the colon does not circumvent a rule.
    let headers = HeaderRules { remove: patterns(&["X-Hdr"]), ..rules().headers };
    let mut bench = between(Trunk { headers, ..carrier() }, pbx());
    let invite = sent_on(&mut bench, "X-Hdr : 1\r\nX-Hdr\t: 2\r\nx-hdr  :3\r\nX-Other: 4\r\n");
    assert!(invite.headers("X-Hdr").is_empty() && !invite.text.contains("X-Hdr"), "{}", invite.text);
    // Control characters and hidden line ends are removed, and the line stays one line.
    let mut bench = between(rules(), pbx());
    let invite = sent_on(&mut bench, "X-A: a\u{1b}[31m\u{7f}b\r\nX-B: \"\\\0Route\"\r\n");
    assert_eq!(invite.header("X-A"), "a[31mb");
    assert_eq!(invite.header("X-B"), "\"\\Route\"");
    for (broken, code) in [
        ("X-A: 1\rRoute: <sip:10.1.1.1;lr>\r\n", 400),
        ("X-A: 1\0\r\n", 400),
        ("X A: 1\r\n", 400),
        ("X-\u{e4}: 1\r\n", 400),
        (": 1\r\n", 400),
        ("X-A 1\r\n", 400),
        ("X-A: 1\n\nRoute: <sip:10.1.1.1;lr>\r\n", 400),
    ] {
        let mut bench = between(rules(), pbx());
        let caller =
            Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
        bench.receive(CARRIER, caller.request("INVITE", &offer(), broken));
        let answer = bench.next(CARRIER);
        assert_eq!(answer.code(), code, "{broken:?}: {}", answer.text);
        bench.nothing();
    }
}

#[test]
fn what_goes_on_is_bounded() {
    let mut bench = between(passing(carrier(), &["X-*"]), pbx());
    let many: String = (0..PASSED_HEADERS + 8).map(|n| format!("X-{n}: y\r\n")).collect();
    let invite = sent_on(&mut bench, &many);
    assert_eq!(invite.text.matches(": y\r\n").count(), PASSED_HEADERS);
    let long = "y".repeat(PASSED_VALUE_BYTES + 1);
    let mut bench = between(passing(carrier(), &["X-*"]), pbx());
    let invite = sent_on(&mut bench, &format!("X-Long: {long}\r\nX-Fits: {}\r\nX-Next: 1\r\n", &long[1..]));
    assert!(invite.headers("X-Long").is_empty());
    assert_eq!((invite.header("X-Fits").len(), invite.header("X-Next")), (PASSED_VALUE_BYTES, "1"));
}

#[test]
fn what_only_a_preset_s_trunk_may_say_is_taken_from_nobody_else() {
    let foreign = vec!["X-Twilio-VerStat".to_owned()];
    let forged = "X-Twilio-VerStat: TN-Validation-Passed-A\r\nX-Twilio-CallSid: CA1\r\n";
    let own = passing(carrier(), &["X-*"]);
    let other = Trunk { headers: HeaderRules { foreign, ..own.headers.clone() }, ..own.clone() };
    for (trunk, expected) in [(own, 1), (other, 0)] {
        let mut bench = between(trunk.clone(), pbx());
        let invite = sent_on(&mut bench, forged);
        assert_eq!(invite.headers("X-Twilio-VerStat").len(), expected);
        assert_eq!(invite.header("X-Twilio-CallSid"), "CA1");
        // An agent does not get it either.
        let parameters = vec![("verified".to_owned(), ParameterTemplate::parse("{header:X-Twilio-VerStat}").unwrap())];
        let desk = Agent { parameters, ..agent("desk") };
        let told = told(trunk, desk, forged);
        let value = |name: &str| told.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("verified"), Some(if expected == 1 { "TN-Validation-Passed-A" } else { "" }));
        assert_eq!(value("SipHeader_X-Twilio-VerStat").is_some(), expected == 1);
    }
}

/// Returns the parameters that an agent receives for a call from this trunk.
fn told(trunk: Trunk, agent: Agent, headers: &str) -> Vec<(String, String)> {
    let numbers = NumberingPlan::new("US").unwrap();
    let routes = vec![route(vec![to_agent("desk")])];
    let definition = TableDefinition { numbers, trunks: vec![trunk, pbx()], agents: vec![agent], routes };
    let mut bench = Bench::with(Arc::new(RoutingTable::new(definition)));
    let caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), headers));
    bench.asked().remove(0).1.parameters
}

#[test]
fn agents_are_told_by_the_names_that_twilio_gives_headers() {
    let headers = "X-Tenant: acme\r\nUser-to-User: 00;encoding=hex\r\nDiversion: <sip:1@h>\r\nX-Long: ";
    let headers = format!("{headers}{}\r\n", "y".repeat(300));
    assert_eq!(told(carrier(), agent("desk"), "X-Tenant: acme\r\n"), [], "its trunk lets none pass");
    let passes = || passing(carrier(), &["X-*", "User-to-User", "Diversion"]);
    let all = told(passes(), agent("desk"), &headers);
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["SipHeader_X-Tenant", "SipHeader_User-to-User", "SipHeader_X-Long"]);
    assert_eq!((all[0].1.as_str(), all[2].1.len()), ("acme", 256));
    // The configured parameter takes precedence, and is sent once.
    let parameters = vec![("SipHeader_X-Tenant".to_owned(), ParameterTemplate::parse("mine").unwrap())];
    let all = told(passes(), Agent { parameters, ..agent("desk") }, "X-Tenant: acme\r\n");
    assert_eq!(all, [("SipHeader_X-Tenant".to_owned(), "mine".to_owned())]);
    let many: String = (0..PARAMETER_HEADERS + 5).map(|n| format!("X-{n}: y\r\n")).collect();
    assert_eq!(told(passes(), agent("desk"), &many).len(), PARAMETER_HEADERS);
    let removing = HeaderRules { remove: patterns(&["X-Tenant"]), ..passes().headers };
    assert_eq!(told(Trunk { headers: removing, ..carrier() }, agent("desk"), "X-Tenant: acme\r\n"), []);
}

#[test]
fn headers_that_are_asked_for_are_bounded_too() {
    let numbers = NumberingPlan::new("US").unwrap();
    let parameters = vec![("id".to_owned(), ParameterTemplate::parse("{header:X-Id}").unwrap())];
    let desk = Agent { parameters, ..agent("desk") };
    let trunks = vec![passing(carrier(), &["X-*"]), passing(pbx(), &["X-*"])];
    let definition =
        TableDefinition { numbers, trunks, agents: vec![desk], routes: vec![route(vec![to_trunk("pbx")])] };
    let mut bench = Bench::with(Arc::new(RoutingTable::new(definition)));
    let invite =
        sent_on(&mut bench, &format!("X-Other: z\r\n{}", format!("X-Id: {}\r\n", "y".repeat(1_000)).repeat(40)));
    let passed: usize = invite.headers("X-Id").iter().map(|value| value.len()).sum();
    assert!(passed > 0 && passed <= PASSED_HEADER_BYTES, "{passed}");
    assert_eq!(invite.header("X-Other"), "z", "and crowd nothing else out");
}

#[test]
fn rfc3325_identity_for_trusted_sides() {
    let strip = |trunk: Trunk| Trunk { identity: IdentityTrust::Strip, ..trunk };
    let headers = format!("{EVERYTHING}Privacy: id\r\n");
    for (from, to, trusted) in [
        (carrier(), pbx(), true),
        (strip(carrier()), pbx(), false),
        (carrier(), strip(pbx()), false),
        (strip(carrier()), strip(pbx()), false),
    ] {
        let mut bench = between(from, to);
        let invite = sent_on(&mut bench, &headers);
        assert_eq!(invite.headers("P-Asserted-Identity").len(), if trusted { 2 } else { 0 });
        assert_eq!(invite.headers("Privacy"), if trusted { vec!["id"] } else { vec![] });
        assert_eq!(invite.headers("Identity").len(), usize::from(trusted));
        let from = invite.header("From");
        if trusted {
            assert!(from.starts_with(&format!("\"Alice\" <sip:+14155551234@{LOCAL}>")), "{from}");
        } else {
            assert!(from.starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>"), "{from}");
            assert!(invite.headers("Diversion").is_empty());
            assert!(!invite.text.contains("5551234") && !invite.text.contains("Alice"), "{}", invite.text);
        }
        assert_eq!(invite.headers("User-to-User").len(), 1, "it says nothing of who calls");
    }
}

#[test]
fn rfc3323_who_asks_for_no_privacy_has_none() {
    for (privacy, hidden) in [
        ("", false),
        ("Privacy: none\r\n", false),
        ("Privacy: session\r\n", false),
        ("Privacy: user;critical\r\n", true),
        ("Privacy: HEADER\r\n", true),
        ("Privacy: session; id\r\n", true),
        ("Privacy: identity\r\n", false),
    ] {
        let mut bench = between(carrier(), Trunk { identity: IdentityTrust::Strip, ..pbx() });
        let invite = sent_on(&mut bench, privacy);
        assert_eq!(invite.header("From").contains("anonymous.invalid"), hidden, "{privacy}");
        assert_eq!(invite.header("Contact").contains("5551234"), !hidden, "{privacy}");
        let mut bench = between(carrier(), pbx());
        let invite = sent_on(&mut bench, privacy);
        assert!(!invite.header("From").contains("anonymous.invalid"));
        assert!(invite.headers("Privacy").iter().all(|words| !words.contains("identity")), "known words only");
    }
}

#[test]
fn rfc3323_nothing_that_is_answered_later_tells_who_calls() {
    let mut bench = between(carrier(), Trunk { identity: IdentityTrust::Strip, ..pbx() });
    let callee = Dialed::new(PBX, sent_on(&mut bench, "Privacy: id\r\n"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    // Our responses to UPDATE and re-INVITE contain our address, and so does each later request.
    bench.receive(PBX, callee.request("UPDATE", 1, ""));
    let updated = bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, callee.request("INVITE", 2, &answer()));
    bench.expect(PBX, "SIP/2.0 100");
    let changed = bench.expect(PBX, "SIP/2.0 200");
    for sent in [updated, changed] {
        assert_eq!(sent.header("Contact"), format!("<sip:{LOCAL}:5060>"), "{}", sent.text);
        assert!(!sent.text.contains("5551234"), "{}", sent.text);
    }
}

/// Makes an answered call whose caller sends an INFO and a BYE with these headers; returns both as received by the PBX.
fn said_later(mut bench: Bench, of_invite: &str, headers: &str) -> [Sent; 2] {
    let mut caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
    let callee = Dialed::new(PBX, sent_on(&mut bench, of_invite));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    ["INFO", "BYE"].map(|method| {
        caller.cseq += 1;
        bench.receive(CARRIER, caller.request(method, "", headers));
        bench.expect(PBX, method)
    })
}

#[test]
fn nothing_that_a_caller_says_later_tells_more_of_it_than_its_invite() {
    let strip = |trunk: Trunk| Trunk { identity: IdentityTrust::Strip, ..trunk };
    let names = &["Remote-Party-ID", "Diversion", "User-to-User"][..];
    let said =
        "Remote-Party-ID: \"Alice\" <sip:+14155551234@x>\r\nDiversion: <sip:+14155551234@x>\r\nUser-to-User: 00\r\n";
    let rule = |allow: &str, default: Option<&str>| {
        let default = default.map(|text| NumberingPlan::default().normalise_caller(text, None));
        Some(CallerIdRule { allow: vec![Pattern::parse(allow).unwrap()], default })
    };
    let own = rule("+14155550188", Some("+14155550188"));
    for (from, to, privacy, tells) in [
        (carrier(), pbx(), "", true),
        (carrier(), pbx(), "Privacy: id\r\n", true),
        (carrier(), strip(pbx()), "", true),
        (carrier(), strip(pbx()), "Privacy: id\r\n", false),
        (Trunk { caller_id_in: rule("+14155551234", None), ..carrier() }, pbx(), "", true),
        (Trunk { caller_id_in: own.clone(), ..carrier() }, pbx(), "", false),
        (carrier(), Trunk { caller_id: own, ..pbx() }, "", false),
    ] {
        for sent in said_later(between(passing(from.clone(), names), to.clone()), privacy, said) {
            assert_eq!(sent.headers("Remote-Party-ID").len(), usize::from(tells), "{}", sent.text);
            assert_eq!(sent.headers("Diversion").len(), usize::from(tells), "{}", sent.text);
            assert_eq!(sent.header("User-to-User"), "00", "it says nothing of who calls");
            assert!(tells || !sent.text.contains("5551234"), "{}", sent.text);
        }
    }
}

#[test]
fn asserted_numbers_have_the_form_of_the_trunk() {
    let plus_less = Trunk { send_numbers: SendNumbers::PlusLess, ..pbx() };
    let mut bench = between(carrier(), plus_less);
    let asserted = "P-Asserted-Identity: <sip:4155551234@h>\r\nP-Asserted-Identity: <sip:desk@h>\r\n\
                    P-Asserted-Identity: <sip:third@h>\r\n";
    let invite = sent_on(&mut bench, asserted);
    let expected = [format!("<sip:14155551234@{LOCAL}>"), format!("<sip:desk@{LOCAL}>")];
    assert_eq!(invite.headers("P-Asserted-Identity"), expected);
    for unusable in ["<sip:h>", "<http://h/>", "nonsense", "<sip:a@h", "<tel:>"] {
        let mut bench = between(carrier(), pbx());
        let invite = sent_on(&mut bench, &format!("P-Asserted-Identity: {unusable}\r\n"));
        assert!(invite.headers("P-Asserted-Identity").is_empty(), "{unusable}: {}", invite.text);
    }
}

#[test]
fn rfc3261_20_an_identity_without_brackets_is_rewritten_like_one_with_them() {
    let named = |trunk: Trunk, name: &str| {
        let own_hosts = OwnHosts { contact: None, from: Some(name.into()) };
        Trunk { own_hosts, ..trunk }
    };
    for written in [
        "<sip:+14155551234@10.9.8.7;user=phone>",
        "sip:+14155551234@10.9.8.7",
        "sip:+14155551234@10.9.8.7:5061;user=phone",
        "sips:+14155551234@10.9.8.7",
    ] {
        let mut bench = between(named(carrier(), "to-carrier.example"), named(pbx(), "to-pbx.example"));
        let header = format!("P-Asserted-Identity: {written}\r\n");
        let invite = sent_on(&mut bench, &header);
        assert_eq!(invite.headers("P-Asserted-Identity"), ["<sip:+14155551234@to-pbx.example>"], "{written}");
        assert!(!invite.text.contains("10.9.8.7"), "{}", invite.text);
        let callee = Dialed::new(PBX, invite);
        bench.receive(PBX, callee.answer_with(180, &header));
        let ringing = bench.expect(CARRIER, "SIP/2.0 180");
        assert_eq!(ringing.headers("P-Asserted-Identity"), ["<sip:+14155551234@to-carrier.example>"], "{written}");
    }
}

#[test]
fn a_bare_uri_is_told_nothing_of_others() {
    let uri = TargetSpec::Uri {
        in_call: false,
        uri: "sip:bob@192.0.2.99:5060".into(),
        destination: Destination {
            host: "192.0.2.99".into(),
            port: Some(5060),
            transport: Transport::Udp,
            is_fixed: true,
        },
    };
    let trunks = vec![passing(carrier(), &["X-*", "User-to-User", "Diversion"]), pbx()];
    let mut bench = Bench::with(table(trunks, vec![route(vec![uri])]));
    let caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, caller.request("INVITE", &offer(), EVERYTHING));
    let invite = bench.expect("192.0.2.99:5060", "INVITE");
    assert_eq!(invite.headers("User-to-User").len(), 1);
    for name in ["X-Tenant", "Diversion", "P-Asserted-Identity", "Identity"] {
        assert!(invite.headers(name).is_empty(), "{name}");
    }
}

#[test]
fn answers_and_byes_carry_headers_the_other_way_too() {
    let mut bench = between(passing(carrier(), &["X-*"]), pbx());
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    let rings = callee.answer_with(180, "X-Queue: 3\r\nSubject: x\r\nP-Asserted-Identity: <sip:bob@h>\r\n");
    bench.receive(PBX, rings);
    let ringing = bench.expect(CARRIER, "SIP/2.0 180");
    assert_eq!(ringing.header("X-Queue"), "3");
    assert!(ringing.headers("Subject").is_empty());
    let ok = callee.answer(200, &answer()).replace("Contact:", "X-Agent: 7\r\nWarning: 399 h \"x\"\r\nContact:");
    bench.receive(PBX, ok);
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(ok.header("X-Agent"), "7");
    assert!(ok.headers("Warning").is_empty() && ok.headers("X-Queue").is_empty());
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", "X-Ack: 1\r\n"));
    bench.nothing();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", "X-Why: done\r\nSubject: y\r\n"));
    bench.expect(CARRIER, "SIP/2.0 200");
    let bye = bench.expect(PBX, "BYE");
    assert_eq!(bye.header("X-Why"), "done");
    assert!(bye.headers("Subject").is_empty() && bye.header("Reason").contains("caller_hung_up"));
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn rfc3325_9_1_who_has_answered_is_told_between_trusted_sides() {
    for (from, to) in [
        (IdentityTrust::Pass, IdentityTrust::Pass),
        (IdentityTrust::Strip, IdentityTrust::Pass),
        (IdentityTrust::Pass, IdentityTrust::Strip),
    ] {
        let mut bench = between(Trunk { identity: to, ..carrier() }, Trunk { identity: from, ..pbx() });
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        let said = "P-Asserted-Identity: \"Bob\" <sip:+14155550142@far.example>\r\nPrivacy: id\r\n";
        bench.receive(PBX, callee.answer_with(180, said));
        let ringing = bench.expect(CARRIER, "SIP/2.0 180");
        bench.receive(PBX, callee.answer(200, &answer()).replace("Contact:", &format!("{said}Contact:")));
        bench.expect(PBX, "ACK");
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        let are_both = from == IdentityTrust::Pass && to == IdentityTrust::Pass;
        for told in [ringing, ok] {
            let identity = format!("\"Bob\" <sip:+14155550142@{PUBLIC}>");
            assert_eq!(told.headers("P-Asserted-Identity"), if are_both { vec![identity.as_str()] } else { vec![] });
            assert_eq!(told.headers("Privacy"), if are_both { vec!["id"] } else { vec![] });
            assert!(!told.text.contains("far.example"), "{}", told.text);
        }
    }
}
