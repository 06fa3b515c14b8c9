//! `headers`, `identity`, `deny` and limits of a trunk: meaning, and invalid values.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use trunkgate_config as config;
use trunkgate_route::headers::DEFAULT_PASS;
use trunkgate_route::{HeaderRules, IdentityTrust, NumberingPlan, Trunk};

use crate::support::depends_on_machine;

const REST: &str = "peers = ['sip:10.0.0.5']\n[[route]]\nconnect = ['trunk:x']\n";

fn trunk(lines: &str) -> Trunk {
    let text = format!("[trunk.x]\n{lines}\n{REST}");
    match config::parse(Path::new("t.toml"), &text) {
        Ok((mut config, _)) => config.trunks.remove(0),
        Err(found) => panic!("{}", config::render(Path::new("t.toml"), &text, &found)),
    }
}

/// Returns the code, line, column and help of each finding for a trunk's lines, of which the first is line 2.
fn wrong(lines: &str) -> Vec<(String, u64, u64, String)> {
    let text = format!("[trunk.x]\n{lines}\n{REST}");
    let (Ok((_, mut found)) | Err(mut found)) = config::parse(Path::new("t.toml"), &text);
    found.retain(|diagnostic| !depends_on_machine(diagnostic.code));
    let json = config::to_json(Path::new("t.toml"), &text, &found);
    let number = |json: &serde_json::Value, key: &str| json[key].as_u64().unwrap_or(0);
    let one = |json: &serde_json::Value| {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        (text("code"), number(json, "line"), number(json, "column"), text("help"))
    };
    json.as_array().unwrap().iter().map(one).collect()
}

/// Returns whether a trunk may not call a number.
fn denies(trunk: &Trunk, number: &str) -> bool {
    let numbers = NumberingPlan::default();
    trunk.screening_rejection(&numbers, &numbers.normalise_caller(number, None)).is_some()
}

#[test]
fn headers_are_rules() {
    let default = trunk("");
    assert_eq!(default.headers.pass, None);
    assert!(DEFAULT_PASS.iter().all(|name| default.headers.passes_to(&HeaderRules::default(), name)));
    let lines = "headers = { add = { X-Edge = 'e1', X-Second = '2' }, pass = ['X-*', 'Subject'], remove = 'X-Secret' }";
    let rules = trunk(lines).headers;
    assert_eq!(rules.add, [("X-Edge".to_owned(), "e1".to_owned()), ("X-Second".to_owned(), "2".to_owned())]);
    for (name, passes) in [("x-a", true), ("subject", true), ("X-Secret", false), ("Diversion", false)] {
        assert_eq!(rules.passes_to(&HeaderRules::default(), name), passes, "{name}");
    }
    assert_eq!(trunk("").headers.foreign, ["X-Twilio-VerStat"]);
    assert!(trunk("preset = 'twilio'\nsecure = false").headers.foreign.is_empty());
    assert_eq!((trunk("").identity, trunk("identity = 'strip'").identity), (IdentityTrust::Pass, IdentityTrust::Strip));
}

#[test]
fn limits_and_denied_numbers() {
    let x = trunk("calls_per_second = 5\npeer_calls_per_second = 30\npace = '500ms'\ndeny = ['+881*', '/^\\+979/']");
    assert_eq!((x.calls_per_second, x.calls_per_second_in, x.calls_per_second_out), (5, 0, 0));
    assert_eq!((x.peer_calls_per_second, x.pace), (30, Duration::from_millis(500)));
    for number in ["00881612345678;npdi", "881612345678;x", "00881612345678,1", "011881612345678#"] {
        assert!(denies(&x, number), "{number}: what is behind the digits may be read as something else");
    }
    assert!(denies(&x, "+881612345678") && denies(&x, "+97912345") && !denies(&x, "+14155550100"));
    let x = trunk("calls_per_second = { in = 10, out = 1 }\npace = 0");
    assert_eq!((x.calls_per_second, x.calls_per_second_in, x.calls_per_second_out), (0, 10, 1));
    assert_eq!((x.pace, trunk("").pace), (Duration::ZERO, Duration::from_secs(2)));
    let twilio = trunk("preset = 'twilio'\nsecure = false");
    assert_eq!((twilio.calls_per_second_out, twilio.calls_per_second_in, twilio.peer_calls_per_second), (1, 0, 30));
    assert!(denies(&twilio, "+881612345678") && !denies(&twilio, "+14155550100"));
}

#[test]
fn what_cannot_be_a_rule_is_refused_at_its_place() {
    for (line, code, column, help) in [
        ("headers = { add = { Via = 'x' } }", "TG0136", 21, "remove it"),
        ("headers = { pass = ['X-*', 'contact'] }", "TG0136", 28, "remove it"),
        ("headers = { pass = ['m'] }", "TG0136", 21, "remove it"),
        ("headers = { remove = ['Content-Length'] }", "TG0136", 23, "remove it"),
        ("headers = { pass = ['P-Asserted-Identity'] }", "TG0136", 21, "identity = "),
        ("headers = { add = { Privacy = 'id' } }", "TG0136", 21, "identity = "),
        ("headers = { pass = ['*'] }", "TG0105", 21, "X-*"),
        ("headers = { pass = ['P-*'] }", "TG0105", 21, "X-*"),
        ("headers = { add = { 'X A' = 'x' } }", "TG0105", 21, "X-Tenant"),
        ("headers = { add = { X-A = \"a\\r\\nVia: x\" } }", "TG0105", 27, "one line"),
        ("headers = { add = { X-A = \"a\\u0000\" } }", "TG0105", 27, "one line"),
        ("headers = { add = { X-A = 1 } }", "TG0103", 27, "a string"),
        ("headers = { add = [] }", "TG0103", 19, "a table"),
        ("headers = { pas = ['X-*'] }", "TG0104", 13, "`pass`"),
        ("headers = 'X-*'", "TG0103", 11, "a table"),
        ("identity = 'strp'", "TG0105", 12, "strip"),
        ("deny = ['+1*5']", "TG0111", 9, ""),
        ("calls_per_second = { out = -1 }", "TG0105", 28, ""),
        ("calls_per_second = { outward = 1 }", "TG0104", 22, ""),
        ("pace = 2", "TG0109", 8, "2s"),
    ] {
        let found = wrong(line);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert_eq!((found[0].0.as_str(), found[0].1, found[0].2), (code, 2, column), "{line}");
        assert!(found[0].3.contains(help), "{line}: {found:?}");
    }
    let long = "y".repeat(1025);
    assert_eq!(wrong(&format!("headers = {{ add = {{ X-A = '{long}' }} }}"))[0].0, "TG0105");
    let many: String = (0..33).map(|n| format!("X-{n} = 'y', ")).collect();
    assert_eq!(wrong(&format!("headers = {{ add = {{ {many} }} }}"))[0].0, "TG0105");
}

#[test]
fn words_of_other_programs_lead_to_ours() {
    for (line, help) in [
        ("host = '10.0.0.5'", "did you mean `peers`?"),
        ("qualify = 'yes'", "`options_interval`"),
        ("match = '10.0.0.5'", "`accept_from`"),
        ("secret = 'x'", "`auth = { username"),
        ("username = 'x'", "`username` belongs in `auth` or `require_auth`"),
        ("registrar = 'sip:x'", "`registrar` belongs in `register`"),
        ("verify = false", "`verify` belongs in `tls`"),
        ("transport = 'tcp'", ";transport=tcp"),
        ("dtmfmode = 'rfc2833'", "did you mean `dtmf`?"),
        ("context = 'from-trunk'", "[[route]]"),
        ("headers = { allow = ['X-A'] }", "the keys here are `add`, `pass`, `remove`"),
        ("calls_per_second = { inbound = 1 }", "the keys here are `in`, `out`"),
        (
            "auth = { username = 'x', password = 'a-long-one', mechanism = 'md5' }",
            "the keys here are `username`, `password`",
        ),
    ] {
        let found = wrong(line);
        assert_eq!((found.len(), found[0].0.as_str()), (1, "TG0104"), "{line}: {found:?}");
        assert!(found[0].3.contains(help), "{line}: {found:?}");
    }
    let (Ok((_, found)) | Err(found)) = config::parse(Path::new("t.toml"), "[[listen]]\nhost = '::'\n");
    assert!(found.iter().any(|found| found.help == "did you mean `address`?"), "{found:?}");
}

/// Returns the code and line of each finding for a complete file.
fn whole(text: &str) -> Vec<(&'static str, usize)> {
    let (Ok((_, found)) | Err(found)) = config::parse(Path::new("t.toml"), text);
    let line = |diagnostic: &config::Diagnostic| {
        diagnostic.span.as_ref().map_or(0, |span| text[..span.start].matches('\n').count() + 1)
    };
    found.iter().filter(|found| !depends_on_machine(found.code)).map(|found| (found.code, line(found))).collect()
}

#[test]
fn oversize_needs_a_listener_that_tcp_can_leave_by() {
    let rest = "[trunk.x]\noversize = 'tcp'\npeers = ['sip:10.0.0.5']\n[[route]]\nconnect = ['trunk:x']\n";
    let (udp, tcp) = (
        "[[listen]]\nname = 'u'\naddress = '0.0.0.0:5060'\n",
        "[[listen]]\ntransport = 'tcp'\naddress = '0.0.0.0:5060'\n",
    );
    assert_eq!(whole(rest), []);
    assert_eq!(whole(&format!("{udp}{rest}")), [("TG0121", 5)]);
    assert_eq!(whole(&format!("{udp}{tcp}{rest}")), []);
    let bound = rest.replace("oversize", "listen = 'u'\noversize");
    assert_eq!(whole(&format!("{udp}{tcp}{bound}")), [("TG0121", 9)]);
    assert_eq!(whole(&format!("{udp}{tcp}{}", bound.replace("'tcp'\npeers", "'udp'\npeers"))), []);
}

#[test]
fn a_user_registers_with_one_trunk_only() {
    let trunk = |name: &str, user: &str, accepts: bool| {
        format!(
            "[trunk.{name}]\naccept_register = {accepts}\nrequire_auth = {{ username = '{user}', password = 'a-long-one' }}\naccept_from = '10.0.{}.0/24'\n",
            user.len()
        )
    };
    let rest = "[[route]]\nconnect = ['trunk:a']\n";
    let two =
        |user: &str, accepts: bool| whole(&format!("{}{}{rest}", trunk("a", "desk", true), trunk("b", user, accepts)));
    assert_eq!(two("desk", true), [("TG0107", 7), ("TG0131", 8)]);
    assert_eq!((two("desk", false), two("other", true)), (vec![("TG0131", 8)], vec![]));
}

#[test]
fn denied_numbers_in_a_form_that_none_has_are_warned_of() {
    for (pattern, help) in
        [("1900*", "write \"+1900*\""), ("011881*", "write \"+881*\""), ("14155550100", "write \"+14155550100\"")]
    {
        let found = wrong(&format!("deny = '{pattern}'"));
        assert_eq!(
            (found.len(), found[0].0.as_str(), found[0].3.as_str()),
            (1, "TG0129", help),
            "{pattern}: {found:?}"
        );
    }
    for good in ["'+881*'", "'*'", "'911'", "'service'", "'/^1900/'"] {
        assert_eq!(wrong(&format!("deny = {good}")), [], "{good}");
    }
}

#[test]
fn a_preset_without_its_peers_is_told_of_once() {
    for text in ["preset = 'twilio'", "preset = 'twilio'\ndomain = 'acme.example.com'"] {
        let found = whole(&format!("[trunk.x]\n{text}\n[[route]]\nconnect = ['trunk:x']\n"));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
    }
}

#[test]
fn a_secret_that_looks_like_a_variable_and_a_registration_without_one_are_warned_of() {
    let auth = |password: &str| format!("auth = {{ username = 'acme', password = '{password}' }}");
    for (password, name) in [("$SIP_PASSWORD", "SIP_PASSWORD"), ("${SIP_2}", "SIP_2"), ("$_X_LONG", "_X_LONG")] {
        let found = wrong(&auth(password));
        assert_eq!((found[0].0.as_str(), found[0].1, found.len()), ("TG0110", 2, 1), "{found:?}");
        assert_eq!(found[0].3, format!("write {{ env = \"{name}\" }} to use its content"));
    }
    for password in ["a-long-one-$", "$ecretive-one", "$A-B-C-D", "pa$SWORD", "$1A_LONG", "${}-long"] {
        assert_eq!(wrong(&auth(password)), [], "{password}");
    }
    let register = "register = { registrar = 'sip:h.example', user = 'acme' }";
    let found = wrong(register);
    assert!(found.len() == 1 && found[0].0 == "TG0106" && found[0].3.starts_with("add auth"), "{found:?}");
    assert_eq!(wrong(&format!("{register}\n{}", auth("s3cret-one"))), []);
}
