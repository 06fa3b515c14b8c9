//! Caller-ID rules: their configuration, `why`, and the identity in a PBX's calls to Twilio.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use crate::support::sip::{Party, field, to_tag};
use crate::support::{Process, config, finish};
use serde_json::Value;
use trunkgate_config as file;

/// Returns the code and message of each finding for a trunk with one line and a route with another.
fn wrong(trunk: &str, route: &str) -> Vec<(&'static str, String)> {
    let text = format!(
        "[trunk.pbx]\npeers = ['sip:10.0.0.5']\n{trunk}\n[[route]]\nconnect = ['trunk:pbx']\n{route}\n[media]\nports = \
         '16384-32767'\n"
    );
    let (Ok((_, found)) | Err(found)) = file::parse(Path::new("t.toml"), &text);
    found.into_iter().map(|diagnostic| (diagnostic.code, diagnostic.message)).collect()
}

#[test]
fn what_a_file_may_say() {
    for line in [
        "caller_id = '+14155550199'",
        "caller_id = ['+14155550199', '+1212555*', '/^\\+44/']",
        "caller_id_in = { allow = '+1212555*' }",
        "caller_id = { default = '(415) 555-0199' }\ncaller_id_in = { allow = ['+1*', '1001'], default = '+14155550199' }",
    ] {
        assert_eq!(wrong(line, "caller_id = '415 555 0188'"), [], "{line}");
    }
    for (line, code, part) in [
        ("caller_id = {}", "TG0106", "`caller_id` has neither `allow` nor `default`"),
        ("caller_id = []", "TG0105", "`caller_id` is empty"),
        ("caller_id = '1001'", "TG0105", "`caller_id`: \"1001\" is not a valid calling number in US"),
        ("caller_id = { default = 'anonymous' }", "TG0105", "`default`: \"anonymous\" is not a valid calling number"),
        ("caller_id = { alow = ['+1*'] }", "TG0104", "unknown key `alow` in `caller_id`"),
        ("caller_id = 5", "TG0103", "`caller_id`"),
        ("caller_id_in = ['415 555 0199']", "TG0129", "no number equals \"415 555 0199\" after normalization"),
    ] {
        let found = wrong(line, "");
        assert!(found.iter().any(|(c, message)| *c == code && message.contains(part)), "{line}: {found:?}");
    }
    let found = wrong("", "caller_id = 'desk'");
    assert!(found.iter().any(|(code, _)| *code == "TG0105"), "{found:?}");
}

const TWILIO: &str = "caller_id = { allow = ['+14155550188'], default = '+14155550199' }";

fn edge(pbx: &Party, twilio: &Party, keys: &str) -> Process {
    Process::start(&config(&format!(
        "[trunk.pbx]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n{keys}\n\
         [trunk.twilio]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n{TWILIO}\n\
         [[route]]\nname = \"out\"\nfrom = [\"pbx\"]\nconnect = [\"trunk:twilio\"]\n",
        pbx.address, twilio.address
    )))
}

/// Sends an INVITE from the PBX with this From.
fn invite(pbx: &Party, edge: &Process, id: &str, from: &str) -> String {
    let plain = pbx.request("INVITE", "+14155550123", edge.address("udp"), id, 1, "");
    let line = plain.lines().find(|line| line.starts_with("From:")).unwrap().to_owned();
    plain.replace(&line, &format!("From: {from};tag=t{id}"))
}

#[test]
fn twilio_is_shown_numbers_of_its_account_only() {
    let (pbx, twilio) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let edge = edge(&pbx, &twilio, "caller_id_in = ['+14155550188', '/^1\\d{3}$/']");
    let sip = edge.address("udp");
    for (id, from, shown) in [
        ("one", "<sip:+14155550188@pbx>", "sip:+14155550188@"),
        ("two", "<sip:1001@pbx>", "sip:+14155550199@"),
        ("three", "<sip:anonymous@anonymous.invalid>", "sip:anonymous@anonymous.invalid"),
    ] {
        let text = invite(&pbx, &edge, id, from);
        pbx.send(sip, &text);
        let (got, from) = twilio.receive("INVITE ");
        assert!(field(&got, "From").contains(shown), "{got}");
        assert_eq!(got.contains("P-Asserted-Identity: <sip:+14155550199@"), id == "three", "{got}");
        assert_eq!(got.contains("Privacy: id"), id == "three", "{got}");
        twilio.send(from, &twilio.answer(&got, "404 Not Found", false));
        twilio.receive("ACK ");
        end(&pbx, &edge, id, &text, "404");
    }
    // A number that the PBX may not show is rejected before any target is called.
    let text = invite(&pbx, &edge, "four", "<sip:+14155557777@pbx>");
    pbx.send(sip, &text);
    let answer = end(&pbx, &edge, "four", &text, "403");
    assert!(answer.contains("caller_id_refused"), "{answer}");
    assert!(twilio.heard_nothing());
}

/// Receives the final response to an INVITE at the PBX and acknowledges it.
fn end(pbx: &Party, edge: &Process, id: &str, invite: &str, code: &str) -> String {
    let (answer, _) = pbx.receive(&format!("SIP/2.0 {code}"));
    let ack = pbx.request("ACK", "+14155550123", edge.address("udp"), id, 1, to_tag(&answer));
    let from = |text: &str| text.lines().find(|line| line.starts_with("From:")).unwrap().to_owned();
    let ack = ack.replace(&from(&ack), &from(invite)).replace(&format!("{id}ACK1"), &format!("{id}INVITE1"));
    pbx.send(edge.address("udp"), &ack);
    answer
}

#[test]
fn why_tells_what_is_shown() {
    let (pbx, twilio) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let keys = "caller_id_in = { allow = ['+14155550188', '+14155550177'], default = '+14155550188' }";
    let edge = edge(&pbx, &twilio, keys);
    let http = edge.url();
    for (caller, lines) in [
        ("+14155550188", &[", caller +14155550188\n"][..]),
        ("+14155550177", &["caller ID sent: +14155550199"]),
        ("+442079460018", &["caller ID +442079460018 is not allowed from pbx (caller_id_in): +14155550188 is used\n"]),
    ] {
        let out = finish(&["why", "--url", &http, "--from", "pbx", "--called", "+14155550123", "--caller", caller]);
        let out = String::from_utf8(out.stdout).unwrap();
        for line in lines {
            assert!(out.contains(line), "{line} in {out}");
        }
    }
    let json = finish(&["why", "--json", "--url", &http, "--from", "pbx", "--called", "1", "--caller", "+14155550177"]);
    let answer: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(answer["attempts"][0]["shown"], "+14155550199");
}
