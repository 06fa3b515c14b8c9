//! Routes by hours, headers, shares and parts of numbers: configuration, `why`, and routed calls.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use crate::support::sip::{Party, field, to_tag};
use crate::support::{Process, config, depends_on_machine, finish};
use serde_json::Value;
use trunkgate_config as file;

const TRUNKS: &str = "[trunk.carrier]\npeers = ['sip:198.51.100.7']\n[trunk.pbx]\npeers = ['sip:10.0.0.5']\n";

/// Returns the code and the message of each finding for a route's lines, of which the first is line 6.
fn wrong(edge: &str, lines: &str) -> Vec<(&'static str, String)> {
    let text = format!("{TRUNKS}[[route]]\n{lines}\n[[route]]\nconnect = ['trunk:pbx']\n[edge]\n{edge}\n");
    let (Ok((_, mut found)) | Err(mut found)) = file::parse(Path::new("t.toml"), &text);
    found.retain(|diagnostic| !depends_on_machine(diagnostic.code));
    found.into_iter().map(|diagnostic| (diagnostic.code, diagnostic.message)).collect()
}

#[test]
fn what_a_route_may_say() {
    for lines in [
        "when = 'mon-fri 09:00-17:00'\nconnect = ['trunk:pbx']",
        "when = ['sat', 'holidays', '22:00-06:00 Europe/Berlin']\nconnect = ['trunk:pbx']",
        "header = { X-Tenant = 'acme', X-Tier = ['1', '/^[23]$/'] }\nconnect = ['trunk:pbx']",
        "share = 10\nconnect = ['trunk:pbx']",
        "connect = ['trunk:pbx@70', 'trunk:carrier/+14155550100@30', 'reject:480']\nto = ['1']",
        "to = ['/^0(?<rest>\\d+)$/', '/^9(?<rest>\\d+)$/']\nconnect = ['trunk:pbx/{rest}', 'sip:{rest}@10.0.0.9']",
        "to = ['1']\nconnect = ['group:desk', 'reject:480']\n[group.desk]\nconnect = ['trunk:pbx/100', { ring_all = ['trunk:pbx', 'trunk:carrier'] }]",
        "from = ['pbx']\nconnect = ['sip:{called}@10.0.0.9', 'trunk:carrier/{caller}']",
    ] {
        assert_eq!(wrong("holidays = '12-25'\ntime_zone = 'America/New_York'", lines), [], "{lines}");
    }
}

#[test]
fn what_cannot_be_meant_is_named() {
    let target = |connect: &str| format!("to = ['/^0(?<rest>\\d+)$/', '+1*']\nconnect = [{connect}]");
    for (lines, code, part) in [
        ("when = 'mon-fry'\nconnect = ['trunk:pbx']".to_owned(), "TG0105", "`mon-fry` is not a day"),
        ("when = []\nconnect = ['trunk:pbx']".to_owned(), "TG0105", "`when` is empty"),
        ("when = 'not holidays'\nconnect = ['trunk:pbx']".to_owned(), "TG0106", "no `holidays` are configured"),
        ("share = '10%'\nconnect = ['trunk:pbx']".to_owned(), "TG0103", "is not a percentage"),
        ("to = ['1']\nwhen = 'sat mon'\nconnect = ['trunk:pbx']".to_owned(), "TG0129", "matches no day in the coming years"),
        ("share = 0\nconnect = ['trunk:pbx']".to_owned(), "TG0105", "`share`"),
        ("header = { Authorization = '*' }\nconnect = ['trunk:pbx']".to_owned(), "TG0105", "routes cannot match on"),
        ("header = {}\nconnect = ['trunk:pbx']".to_owned(), "TG0105", "`header` is empty"),
        (target("'trunk:pbx/{rset}'"), "TG0112", "{rset}: no pattern defines this group"),
        (target("'trunk:pbx/{rest}'"), "TG0112", "{rest}: a call that matches +1* of `to` has no such group"),
        (target("'trunk:pbx/{rest'"), "TG0112", "unclosed brace"),
        (target("'sip:100@{called}'"), "TG0108", "is not a SIP URI"),
        (target("'group:desk'") + "\n[group.dask]\nconnect = ['trunk:pbx']\n[[route]]\nto = ['2']\nconnect = ['group:dask']", "TG0112", "unknown group: desk"),
        ("to = ['1']\nconnect = ['trunk:pbx']\n[group.desk]\nconnect = ['trunk:pbx']".to_owned(), "TG0145", "no route uses group desk"),
        ("to = ['1']\nconnect = ['group:a']\n[group.a]\nconnect = ['trunk:pbx', 'group:a']".to_owned(), "TG0112", "groups cannot be nested"),
        ("to = ['1']\nconnect = ['group:a']\n[group.a]\nconnect = ['trunk:pbx']\norder = 'asr'".to_owned(), "TG0145", "no two trunks are adjacent"),
        ("to = ['1']\nconnect = ['group:a']\n[[route]]\nto = ['2']\nconnect = ['group:a']\n[group.a]\nconnect = ['trunk:pxb']".to_owned(), "TG0120", "unknown trunk: pxb"),
        (target("'trunk:pbx@many'"), "TG0112", "\"many\" is not a weight"),
        ("to = ['+49 30 *']\nconnect = ['trunk:pbx']".to_owned(), "TG0129", "no number starts with \"+49 30 \""),
        ("to = ['1']\nhours = 'sat'\nconnect = ['trunk:pbx']".to_owned(), "TG0104", "unknown key `hours`"),
        (target("'trunk:pbx@10', 'reject:480'"), "TG0145", "this weight has no effect: neither the target"),
        (target("{ ring_all = ['trunk:pbx@1', 'trunk:carrier'] }"), "TG0112", "is not allowed"),
    ] {
        let found = wrong("", &lines);
        assert!(found.len() == 1 && found[0].0 == code && found[0].1.contains(part), "{lines}: {found:?}");
    }
    for edge in ["time_zone = 'Mars/Olympus'", "time_zone = 'localtime'", "holidays = ['12-32']"] {
        let found = wrong(edge, "connect = ['trunk:pbx']\nto = ['1']");
        assert!(found.len() == 1 && found[0].0 == "TG0105", "{edge}: {found:?}");
    }
}

#[test]
fn a_route_with_conditions_hides_none_behind_it() {
    let behind = |first: &str| {
        let lines =
            format!("{first}\nconnect = ['trunk:pbx']\n[[route]]\nto = ['100']\nwhen = 'sat'\nconnect = ['trunk:pbx']");
        wrong("", &lines).iter().map(|(_, message)| message.clone()).filter(|m| m.contains("never reached")).count()
    };
    assert_eq!(
        ["when = 'sun'", "share = 99", "header = { X-A = '*' }", "when = 'sat'", ""].map(behind),
        [0, 0, 0, 1, 2]
    );
}

const WHY: &str = "[trunk.carrier]\npeers = ['sip:198.51.100.7']\n\
                   [[route]]\nname = 'canary'\nshare = 10\nconnect = ['reject:600']\n\
                   [[route]]\nname = 'acme'\nheader = { X-Tenant = 'acme' }\nconnect = ['reject:601']\n\
                   [[route]]\nname = 'open'\nwhen = 'mon-fri 09:00-17:00 America/New_York'\nto = ['/^\\+44(?<rest>\\d+)$/']\n\
                   connect = ['trunk:carrier/0{rest}']\n[[route]]\nname = 'closed'\nconnect = ['reject:480']\n";

#[test]
fn why_tells_the_hour_the_header_and_the_share() {
    let edge = Process::start(&config(WHY));
    let path = edge.file.to_str().unwrap().to_owned();
    let url = edge.url();
    let ask = |more: &[&str]| {
        let asked = |place: &[&str]| -> Value {
            let all = ["--config", &path, "why", "--from", "carrier", "--called", "+442079460018", "--json"];
            let all: Vec<&str> = all.iter().chain(place).chain(more).copied().collect();
            let mut answer: Value = serde_json::from_slice(&finish(&all).stdout).unwrap();
            // Only the running edge knows states.
            answer["edge"].take();
            for attempt in answer["attempts"].as_array_mut().into_iter().flatten() {
                attempt["state"].take();
                attempt["now"].take();
            }
            answer
        };
        let (by_file, by_edge) = (asked(&[]), asked(&["--url", &url]));
        assert_eq!(by_file, by_edge);
        by_file
    };
    let open = ask(&["--at", "2026-11-20T14:00"]);
    assert_eq!((&open["route"], &open["targets"][0]), (&"open".into(), &"trunk:carrier/02079460018".into()));
    assert_eq!(open["routes"][0]["failed"], "share: 10 % of calls, the others continue with the next route");
    let closed = ask(&["--at", "2026-11-20T14:59:00+01:00"]);
    assert_eq!(closed["route"], "closed");
    let hours = "when: Fri 2026-11-20 08:59 America/New_York is not in mon-fri 09:00-17:00 America/New_York";
    assert_eq!(closed["routes"][2]["failed"], hours);
    assert_eq!(ask(&["--header", "x-tenant: acme"])["route"], "acme");
}

/// Returns the final response to an INVITE of the caller with these headers.
fn answered(edge: &Process, caller: &Party, number: &str, id: &str, headers: &str) -> String {
    let sip = edge.address("udp");
    let invite = caller.request("INVITE", number, sip, id, 1, "");
    caller.send(sip, &invite.replace("Max-Forwards: 70\r\n", &format!("Max-Forwards: 70\r\n{headers}")));
    // The response must not be the retransmission of an earlier one.
    let ends = |answer: &str| field(answer, "Call-ID").starts_with(id) && !answer.starts_with("SIP/2.0 1");
    let mut answer = caller.receive("SIP/2.0 ").0;
    while !ends(&answer) {
        answer = caller.receive("SIP/2.0 ").0;
    }
    let ack = caller.request("ACK", number, sip, id, 1, to_tag(&answer));
    caller.send(sip, &ack.replace(&format!("{id}ACK1"), &format!("{id}INVITE1")));
    answer[8..11].to_owned()
}

#[test]
fn calls_go_by_hour_header_and_share() {
    let caller = Party::new("127.0.0.4");
    let edge = Process::start(&config(&format!(
        "[trunk.caller]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [[route]]\nwhen = '2001-01-01'\nconnect = ['reject:600']\n\
         [[route]]\nheader = {{ X-Tenant = ['acme', 'beta*'] }}\nconnect = ['reject:410']\n\
         [[route]]\nto = ['+1212*']\nshare = 50\nconnect = ['reject:480']\n\
         [[route]]\nwhen = 'not 2001-01-01'\nconnect = ['reject:404']\n",
        caller.address
    )));
    let ask = |id: &str, headers: &str| answered(&edge, &caller, "+14155550123", id, headers);
    assert_eq!(ask("plain", ""), "404");
    assert_eq!((ask("acme", "X-Tenant: acme\r\n"), ask("other", "X-Tenant: other\r\n")), ("410".into(), "404".into()));
    let crowd = format!("{}X-Tenant: acme\r\n", "X-J: 1\r\n".repeat(40));
    assert_eq!(ask("crowd", &crowd), "410", "what a route asks for is not crowded out");
    let shared: Vec<String> =
        (0..40).map(|at| answered(&edge, &caller, "+12125550123", &format!("shared-{at}-"), "")).collect();
    // In one of 2^40 runs, one kind is missing.
    assert!(["480", "404"].iter().all(|code| shared.iter().any(|answer| answer == code)), "{shared:?}");
}

#[test]
fn pieces_of_the_called_number_go_to_the_target_and_break_nothing() {
    let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let edge = Process::start(&config(&format!(
        "[trunk.caller]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [trunk.pbx]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\nsend_numbers = \"as-is\"\n\
         [[route]]\nto = ['/^\\+44(?<rest>\\d+)$/']\nconnect = ['trunk:pbx/9{{rest}}']\n\
         [[route]]\nto = ['/^8(?<rest>.*)$/']\nconnect = ['sip:{{rest}}@{}', 'trunk:pbx/{{rest}}', 'reject:410']\n\
         [[route]]\nto = ['/^service(?<rest>.*)$/']\nconnect = ['sip:x{{rest}}@{}']\n",
        caller.address, callee.address, callee.address, callee.address
    )));
    let sip = edge.address("udp");
    assert_eq!(answered(&edge, &caller, "8", "empty", ""), "410", "an empty piece is no party");
    for (id, called, line) in [
        ("one", "+442079460018", "INVITE sip:92079460018@"),
        ("two", "service%40evil%3Bx%3D1", "INVITE sip:x%40evil%3Bx%3D1@"),
    ] {
        caller.send(sip, &caller.request("INVITE", called, sip, id, 1, ""));
        let (got, from) = callee.receive("INVITE ");
        assert!(got.starts_with(line), "{got}");
        assert!(field(&got, "To").contains(line.trim_start_matches("INVITE ")), "{got}");
        callee.send(from, &callee.answer(&got, "404 Not Found", false));
        callee.receive("ACK ");
        caller.receive("SIP/2.0 404");
    }
}

#[test]
fn numbers_that_a_route_before_takes_and_routes_without_fallback_are_told() {
    let route = |name: &str, to: &str, connect: &str| {
        format!("[[route]]\nname = '{name}'\nto = {to}\nconnect = ['{connect}']\n")
    };
    let agent = "[agent.bot]\nurl = 'ws://127.0.0.1:9/'\n";
    let routes = [
        route("us", "['+1*']", "trunk:pbx"),
        route("two", "['+1415*', '+44*', '+14155551234']", "agent:bot"),
        route("three", "['+4420*', '+49*']", "trunk:pbx"),
        route("four", "['+49*']", "agent:bot"),
    ];
    let text = format!("{TRUNKS}{agent}{}", routes.concat());
    let (_, found) = file::parse(Path::new("t.toml"), &text).unwrap();
    let told: Vec<&str> =
        found.iter().filter(|found| found.code == "TG0122").map(|found| found.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "+1415* never matches in route two: us before it matches these calls",
            "+14155551234 never matches in route two: us before it matches these calls",
            "+4420* never matches in route three: two before it matches these calls",
            "route four is never reached: three before it matches all its calls",
        ]
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    std::fs::write(&path, &text).unwrap();
    let note = |strict: &[&str]| {
        let output = finish(&[&["--config", path.to_str().unwrap(), "check"], strict].concat());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(note(&[]).ends_with("note: no fallback after the agent of two, four: if it fails, callers get 503\n"));
    std::fs::write(&path, text.replace("'agent:bot'", "'agent:bot', 'trunk:pbx'")).unwrap();
    assert!(!note(&[]).contains("no fallback"), "{}", note(&[]));
    // There are four warnings, so that the check fails with `--strict`.
    let check = |strict: &[&str]| finish(&[&["--config", path.to_str().unwrap(), "check"], strict].concat());
    let (lenient, strict) = (check(&[]), check(&["--strict"]));
    assert_eq!((lenient.status.code(), strict.status.code()), (Some(0), Some(1)));
    assert!(lenient.stdout.starts_with(b"ok: "), "{lenient:?}");
    let stderr = String::from_utf8(strict.stderr).unwrap();
    assert!(strict.stdout.is_empty() && !stderr.contains("ok"), "{stderr}");
    assert!(stderr.ends_with("failed: --strict accepts no warnings, and the file has 4 warnings\n"), "{stderr}");
}
