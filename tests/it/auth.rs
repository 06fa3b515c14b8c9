//! Digest authentication between two real edges: one challenges and the other responds, and no secret leaks.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use crate::support::sip::{Party, to_tag};
use crate::support::{Process, config, finish, until};
use serde_json::json;

/// Starts an edge that challenges requests from 127.0.0.1 and calls `callee`.
fn asking(callee: &Party) -> Process {
    let rest = format!(
        "[trunk.customer]\naccept_from = [\"127.0.0.1/32\"]\n\
         require_auth = {{ username = \"acme\", password = {{ env = \"THEIR_PASSWORD\" }}, realm = \"sip.example\" }}\n\
         [trunk.pbx]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n[[route]]\nconnect = [\"trunk:pbx\"]\n",
        callee.address
    );
    Process::start_with(&config(&rest), &[("THEIR_PASSWORD", "a-right-one")])
}

/// Starts an edge that calls the edge `other` with this password.
fn showing(caller: &Party, other: &Process, password: &str) -> Process {
    showing_as(caller, other, ("acme", password))
}

/// Starts an edge that calls the edge `other` with this user and password.
fn showing_as(caller: &Party, other: &Process, (user, password): (&str, &str)) -> Process {
    Process::start(&config(&format!(
        "[trunk.pbx]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n[trunk.carrier]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         auth = {{ username = \"{user}\", password = \"{password}\", realm = \"sip.example\" }}\n\
         [[route]]\nfrom = [\"pbx\"]\nconnect = [\"trunk:carrier\"]\n",
        caller.address,
        other.address("udp")
    )))
}

#[test]
fn an_edge_shows_its_credentials_to_another_that_asks() {
    let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let carrier = asking(&callee);
    let edge = showing(&caller, &carrier, "a-right-one");
    let sip = edge.address("udp");
    caller.send(sip, &caller.request("INVITE", "+14155550123", sip, "c1", 1, ""));
    let (invite, from) = callee.receive("INVITE");
    assert!(!invite.contains("Authorization"), "what one side proves is not for the other");
    callee.send(from, &callee.answer(&invite, "200 OK", true));
    let (ok, _) = caller.receive("SIP/2.0 200");
    caller.send(sip, &caller.request("ACK", "+14155550123", sip, "c1", 1, to_tag(&ok)));
    callee.receive("ACK");
    let calls = |of: &Process| of.get("/v1/calls").1;
    let sid = calls(&edge).split("\"sid\":\"").nth(1).unwrap()[..34].to_owned();
    let trace = edge.get(&format!("/v1/calls/{sid}/trace.txt")).1;
    let at = |what: &str| trace.find(what).unwrap_or_else(|| panic!("no {what} in {trace}"));
    assert!(at("401 Unautho…") < at("ACK"), "{trace}");
    caller.send(sip, &caller.request("BYE", "+14155550123", sip, "c1", 2, to_tag(&ok)));
    let (bye, from) = callee.receive("BYE");
    callee.send(from, &callee.answer(&bye, "200 OK", false));
    caller.receive("SIP/2.0 200");
    let refusals = "{trunk=\"customer\",method=\"INVITE\",code=\"401\",direction=\"out\"}";
    assert!(carrier.metric(&format!("trunkgate_sip_responses_total{refusals}")) >= 1.0);
    for shown in [edge.whole_log(), carrier.log(), trace, calls(&edge), calls(&carrier)] {
        for secret in ["a-right-one", "response=", "nonce", "cnonce"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

#[test]
fn a_wrong_password_is_a_failed_target() {
    let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let carrier = asking(&callee);
    let edge = showing(&caller, &carrier, "a-wrong-one");
    let sip = edge.address("udp");
    caller.send(sip, &caller.request("INVITE", "+14155550123", sip, "c2", 1, ""));
    let (refused, _) = caller.receive("SIP/2.0 500");
    assert!(refused.contains("credentials_refused") && !refused.contains("Authenticate"), "{refused}");
    assert!(callee.heard_nothing());
    until("it is in the log", || carrier.log().contains("wrong credentials from 127.0.0.1:").then_some(()));
}

#[test]
fn a_trunk_whose_credentials_are_always_wrong_is_a_problem_until_they_are_right() {
    let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let carrier = asking(&callee);
    let refuse_calls = |edge: &Process, calls: &[&str]| {
        for id in calls {
            let sip = edge.address("udp");
            caller.send(sip, &caller.request("INVITE", "+14155550123", sip, id, 1, ""));
            let (refused, _) = caller.receive("SIP/2.0 500");
            let ack = caller.request("ACK", "+14155550123", sip, id, 1, to_tag(&refused));
            caller.send(sip, &ack.replacen("ACK1;", "INVITE1;", 1));
        }
    };
    let problem = || carrier.json("/v1/status")["problem_details"][0].clone();
    let wrong = showing(&caller, &carrier, "a-wrong-one");
    refuse_calls(&wrong, &["w1", "w2"]);
    assert_eq!(problem(), json!(null), "two are a slip");
    refuse_calls(&wrong, &["w3"]);
    let found = problem();
    assert_eq!(
        (&found["headline"], &found["harm"], &found["trunk"], &found["kind"]),
        (
            &json!("trunk customer: 3 requests with wrong credentials in the last hour, none right since"),
            &json!("calls"),
            &json!("customer"),
            &json!("wrong_credentials")
        )
    );
    let shown = found["evidence"].as_str().unwrap();
    assert!(shown.starts_with("wrong password for user \"acme\" from 127.0.0.1, 3 in a row"), "{found}");
    assert!(found["fix"].as_str().unwrap().starts_with("correct the password"), "{found}");
    let warning = "\"level\":\"WARN\",\"message\":\"trunk customer: wrong credentials from 127.0.0.1: wrong password";
    until("it is a warning", || carrier.log().contains(warning).then_some(()));
    let metric = |fault: &str| {
        carrier.metric(&format!("trunkgate_wrong_credentials_total{{trunk=\"customer\",fault=\"{fault}\"}}"))
    };
    assert_eq!((metric("wrong_password"), metric("unknown_user")), (3.0, 0.0));
    let unknown = showing_as(&caller, &carrier, ("acmee", "a-right-one"));
    refuse_calls(&unknown, &["n1"]);
    assert!(problem()["evidence"].as_str().unwrap().starts_with("unknown user \"acmee\""), "{}", problem());
    let listed = carrier.json("/v1/security")["wrong_credentials"][0].clone();
    assert_eq!(
        (&listed["fault"], &listed["in_row"], &listed["is_of_trunk"]),
        (&json!("unknown user \"acmee\""), &json!(4), &json!(true))
    );
    assert_eq!(metric("unknown_user"), 1.0);
    let help = String::from_utf8(finish(&["help", "wrong_credentials"]).stdout).unwrap();
    assert!(help.contains("trunkgate status") && !help.contains("trunkgate calls"), "{help}");
    // Correct credentials end the problem.
    let right = showing(&caller, &carrier, "a-right-one");
    let sip = right.address("udp");
    caller.send(sip, &caller.request("INVITE", "+14155550123", sip, "r1", 1, ""));
    let (invite, from) = callee.receive("INVITE");
    callee.send(from, &callee.answer(&invite, "486 Busy Here", false));
    caller.receive("SIP/2.0 486");
    assert_eq!(problem(), json!(null));
}
