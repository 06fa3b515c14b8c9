//! Commands of the real binary: exit codes, signals, the ready line, and errors of configuration and sockets.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{TcpListener, UdpSocket};

use crate::support::sip::{Party, field, to_tag};
use crate::support::{Process, closed_address, config, finish, trunkgate, until, until_in_journal, write};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Returns a configuration that routes calls from 127.0.0.1 to a callee.
fn to_callee(callee: &Party, caller: &Party, more: &str) -> String {
    config(&format!(
        "{more}\n[trunk.carrier]\npeers = [\"sip:{}\"]\n[trunk.pbx]\npeers = [\"sip:{}\"]\n\
         [[route]]\nname = \"in\"\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
        caller.address, callee.address
    ))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn run_says_ready_once_answers_health_and_ends_by_sigterm() {
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.1"));
    let edge = Process::start(&to_callee(&callee, &caller, ""));
    let names: Vec<&str> = edge.ready.split_whitespace().map(|part| part.split('=').next().unwrap()).collect();
    assert_eq!(names, ["ready", "udp", "tcp", "http"]);
    assert_ne!(edge.address("udp").port(), 0);
    assert_eq!(edge.get("/healthz"), (200, "ok".into()));
    assert_eq!(edge.get("/readyz"), (200, "ready".into()));
    edge.signal(Signal::SIGTERM);
    let (status, more, log) = edge.end();
    assert!(status.success(), "{status} {log}");
    assert_eq!(more, Vec::<String>::new(), "stdout has the ready line only");
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let (_directory, file) = write(
        "[edge]\ncountri = \"US\"\n[[listen]]\ntransport = \"carrier-pigeon\"\naddress = 5060\n[media]\nengine = \"kernel\"\n",
    );
    let file = file.to_str().unwrap();
    for arguments in [["--config", file, "run"], ["--config", file, "check"], ["--config", file, "doctor"]] {
        let output = finish(&arguments);
        let errors = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {errors}");
        assert!(errors.matches("error[TG").count() >= 4, "{errors}");
        for place in [":2:1", ":4:", ":5:", ":7:"] {
            assert!(errors.contains(&format!("{file}{place}")), "{place} in {errors}");
        }
        assert!(errors.contains("did you mean `country`?"), "{errors}");
        assert!(errors.contains("error[TG0190]"), "{errors}");
    }
}

#[test]
fn no_file_is_a_configuration_error() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none.toml");
    let output = finish(&["--config", missing.to_str().unwrap(), "run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("error[TG01"), "{}", text(&output.stderr));
}

#[test]
fn a_taken_port_is_named_with_its_place() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let (u, t) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    let free = "127.0.0.1:0";
    let file = |u: &str, t: &str, h: &str| {
        format!(
            "[[listen]]\nname = \"outside\"\ntransport = \"udp\"\naddress = \"{u}\"\n\
             [[listen]]\nname = \"inside\"\ntransport = \"tcp\"\naddress = \"{t}\"\n[http]\naddress = \"{h}\"\n\
             [trunk.a]\npeers = [\"sip:127.0.0.1:9\"]\n[[route]]\nconnect = [\"trunk:a\"]\n"
        )
    };
    let (u, t) = (u.to_string(), t.to_string());
    for (config, line, names) in [
        (file(&u, free, free), 4, ["`outside`", u.as_str()]),
        (file(free, &t, free), 8, ["`inside`", t.as_str()]),
        (file(free, free, &t), 10, ["[http]", t.as_str()]),
    ] {
        let (_directory, path) = write(&config);
        let output = finish(&["--config", path.to_str().unwrap(), "run"]);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert_eq!(text(&output.stdout), "");
        assert!(errors.contains("error[TG0201]") && errors.contains("Address already in use"), "{errors}");
        assert!(errors.contains(&format!("{}:{line}:", path.display())), "line {line} in {errors}");
        assert!(names.iter().all(|name| errors.contains(name)), "{names:?} in {errors}");
    }
}

#[test]
fn call_records_that_cannot_be_written_stop_the_start_where_data_is_required() {
    let required = |text: &str| text.replace("[edge]\n", "[edge]\ndata_required = true\n");
    let (_directory, path) = write(&required(&config(
        "[cdr]\nfile = \"/nonexistent/cdr.jsonl\"\n[trunk.a]\npeers = [\"sip:127.0.0.1:9\"]\n[[route]]\nconnect = [\"trunk:a\"]\n",
    )));
    let output = finish(&["--config", path.to_str().unwrap(), "run"]);
    assert_eq!(output.status.code(), Some(2));
    let errors = text(&output.stderr);
    assert!(errors.contains("error[TG0202]") && errors.contains("/nonexistent/cdr.jsonl"), "{errors}");
}

/// No process writes to the FIFO: opening it would block forever.
#[test]
fn a_fifo_in_the_place_of_a_file_is_refused_at_the_start() {
    let trunk = "[trunk.a]\npeers = [\"sip:127.0.0.1:9\"]\n[[route]]\nconnect = [\"trunk:a\"]\n";
    let records = format!("[cdr]\nfile = \"cdr.jsonl\"\n{trunk}");
    let url = "[cdr]\nurl = \"https://127.0.0.1:9/\"\n";
    let secret = trunk.replacen('\n', "\nauth = { username = \"a\", password = { file = \"secret\" } }\n", 1);
    let ca = trunk.replacen('\n', "\ntls = { ca = \"ca.pem\" }\n", 1).replace(":9", ":9;transport=tls");
    let routes = trunk.replace("connect = [\"trunk:a\"]", "routes_file = \"routes.csv\"");
    for (fifo, rest) in [
        ("trunkgate.toml", trunk.to_owned()),
        ("cdr.jsonl", records.clone()),
        ("cdr.jsonl.live", records),
        ("trunkgate.db", format!("{url}{trunk}")),
        ("secret", secret),
        ("ca.pem", ca),
        ("routes.csv", routes),
    ] {
        let (directory, path) = write(&config(&rest));
        let fifo = directory.path().join(fifo);
        let _ = std::fs::remove_file(&fifo);
        let _ = std::fs::create_dir(fifo.parent().unwrap());
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let log = directory.path().join("errors");
        let mut command = trunkgate(&["--config", path.to_str().unwrap(), "run"]);
        let mut child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        let status = until("it ends", || child.try_wait().unwrap());
        let errors = std::fs::read_to_string(&log).unwrap();
        assert_eq!(status.code(), Some(2), "{}: {errors}", fifo.display());
        assert!(errors.contains("it is a FIFO, not a regular file"), "{}: {errors}", fifo.display());
    }
}

#[test]
fn what_is_no_verb_and_what_is_of_a_later_version_is_refused() {
    let output = finish(&["pcap", "last", "-o", "-", "--media"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("error[TG0190]: `trunkgate pcap --media`"), "{}", text(&output.stderr));
    assert_eq!(finish(&["statsu"]).status.code(), Some(2));
}

#[test]
fn the_version_names_the_build() {
    let output = finish(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    let version = env!("CARGO_PKG_VERSION");
    assert!(shown.starts_with(&format!("trunkgate {version}\ncommit: unknown")), "{shown}");
    for line in ["profile: dev", "features: none"] {
        assert!(shown.lines().any(|found| found == line), "{line}: {shown}");
    }
    assert_eq!(text(&finish(&["-V"]).stdout), format!("trunkgate {version}\n"));
}

#[test]
fn sighup_swaps_a_good_file_and_leaves_everything_for_a_bad_one() {
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.1"));
    let good = to_callee(&callee, &caller, "");
    let edge = Process::start(&good);
    let trunks = |edge: &Process| edge.json("/v1/status")["trunks"].as_array().unwrap().len();
    let reloads = |result| edge.metric(&format!("trunkgate_config_reloads_total{{result=\"{result}\"}}"));
    assert_eq!((trunks(&edge), reloads("success"), reloads("failure")), (2, 0.0, 0.0));

    std::fs::write(&edge.file, format!("{good}[trunk.third]\npeers = [\"sip:127.0.0.9:9\"]\n")).unwrap();
    edge.signal(Signal::SIGHUP);
    until("a third trunk is there", || (trunks(&edge) == 3).then_some(()));
    assert_eq!((reloads("success"), edge.metric("trunkgate_config_last_reload_success")), (1.0, 1.0));

    std::fs::write(&edge.file, format!("{good}[trunk.third]\npears = 1\n")).unwrap();
    edge.signal(Signal::SIGHUP);
    until("the reload is refused", || (reloads("failure") > 0.0).then_some(()));
    assert_eq!((trunks(&edge), edge.metric("trunkgate_config_last_reload_success")), (3, 0.0));
    until("the log says why", || (edge.log().contains("TG0104") && edge.log().contains("pears")).then_some(()));
    assert_eq!(edge.get("/readyz").0, 200);

    // These are intermediate states of a file that is being written.
    for empty in ["", " \n\t\r\n", "# nothing but a comment\n"] {
        std::fs::write(&edge.file, empty).unwrap();
        let (status, answer) = crate::support::http("POST", &format!("{}/v1/reload", edge.url()), &[], "");
        assert!(
            status == 422 && answer.contains("TG0101") && answer.contains("it is empty, or has only comments"),
            "{status} {answer}"
        );
        assert_eq!(trunks(&edge), 3);
    }

    let other_port = good.replacen("127.0.0.1:0", "127.0.0.1:1", 1);
    std::fs::write(&edge.file, other_port).unwrap();
    let (status, answer) = crate::support::http("POST", &format!("{}/v1/reload", edge.url()), &[], "");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["needs_restart"][0]), (200, &Value::from("[[listen]] address")));
    assert_eq!(trunks(&edge), 2);
}

/// Sends INVITE, answers 200 and acknowledges; returns the 200 to the caller and the INVITE to the callee.
fn call(edge: &Process, caller: &Party, callee: &Party, call_id: &str) -> (String, String) {
    let sip = edge.address("udp");
    caller.send(sip, &caller.request("INVITE", "+14155550123", sip, call_id, 1, ""));
    let (invite, from) = callee.receive("INVITE ");
    callee.send(from, &callee.answer(&invite, "180 Ringing", false));
    caller.receive("SIP/2.0 180");
    callee.send(from, &callee.answer(&invite, "200 OK", true));
    let (ok, _) = caller.receive("SIP/2.0 200");
    assert!(field(&ok, "CSeq").ends_with("INVITE"), "{ok}");
    caller.send(sip, &caller.request("ACK", "+14155550123", sip, call_id, 1, to_tag(&ok)));
    callee.receive("ACK ");
    (ok, invite)
}

/// A call that a crash cuts short gets its record at the next start.
#[test]
fn a_crash_leaves_no_call_without_record() {
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.1"));
    let directory = tempfile::tempdir().unwrap();
    let records = directory.path().join("cdr.jsonl");
    let configuration = to_callee(&callee, &caller, &format!("[cdr]\nfile = {records:?}"));
    let edge = Process::start(&configuration);
    call(&edge, &caller, &callee, "cut-short");
    until_in_journal(directory.path(), "\"answered\":\"");
    assert_eq!(std::fs::read_to_string(&records).unwrap(), "");
    let call = edge.json("/v1/calls")["calls"][0].clone();
    let (sid, second) = (&call["sid"], |call: &Value| call["answered_at"].as_str().unwrap()[..17].to_owned());
    drop(edge);
    for start in 0..2 {
        let edge = Process::start(&configuration);
        let problems = edge.json("/v1/status")["problems"].clone();
        let told = "the previous process did not shut down cleanly, and cut 1 call short: a crash, SIGKILL";
        let is_told = problems[0].as_str().is_some_and(|problem| problem.starts_with(told));
        assert_eq!(is_told, start == 0, "{problems}");
        assert_eq!(edge.whole_log().contains("and cut 1 call short"), start == 0, "{}", edge.log());
        let listed = edge.json("/v1/calls?state=trying");
        let cut_short = if start == 0 { Value::from(1) } else { Value::Null };
        assert_eq!((&listed["cut_short"], &listed["records"]), (&cut_short, &serde_json::json!(records)), "{listed}");
        let text = std::fs::read_to_string(&records).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let record: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&record["sid"], &record["reason"]), (sid, &Value::from("edge_restarted")));
        assert_eq!(
            (&record["outcome"], &record["state"], &record["route"]),
            (&"answered".into(), &"ended".into(), &"in".into())
        );
        assert_eq!((second(&record), &record["sip_code"]), (second(&call), &200.into()));
        drop(edge);
    }
}

#[test]
fn sigterm_drains_a_second_one_ends_the_calls_with_bye_and_the_record_is_written() {
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.1"));
    let mut edge = Process::start(&to_callee(&callee, &caller, "[cdr]\nfile = \"cdr.jsonl\""));
    let _directory = std::sync::Arc::clone(&edge.directory);
    let records = edge.file.with_file_name("cdr.jsonl");
    let sip = edge.address("udp");
    call(&edge, &caller, &callee, "first");
    let calls = edge.json("/v1/calls?state=answered");
    assert_eq!(calls["calls"].as_array().unwrap().len(), 1, "{calls}");

    edge.signal(Signal::SIGTERM);
    until("it drains", || (edge.get("/readyz").0 == 503).then_some(()));
    assert!(edge.get("/readyz").1.contains("draining"));
    caller.send(sip, &caller.request("INVITE", "+14155550123", sip, "second", 1, ""));
    let (refused, _) = caller.receive("SIP/2.0 503");
    caller.send(sip, &caller.request("ACK", "+14155550123", sip, "second", 1, to_tag(&refused)));
    assert!(edge.is_running(), "the call in progress goes on");

    edge.signal(Signal::SIGTERM);
    for party in [&caller, &callee] {
        let (bye, from) = party.receive("BYE ");
        party.send(from, &party.answer(&bye, "200 OK", false));
    }
    let (status, _, log) = edge.end();
    assert!(status.success(), "{status} {log}");
    let lines = std::fs::read_to_string(&records).unwrap();
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered: Vec<&Value> = records.iter().filter(|record| record["outcome"] == "answered").collect();
    assert_eq!(answered.len(), 1, "{lines}");
    assert_eq!(answered[0]["sid"], calls["calls"][0]["sid"]);
}

/// Checks that `trace --raw` prints the messages of a call, and `--url` needs no scheme.
fn messages_of(sid: &str, url: &str) {
    let place = url.trim_start_matches("http://");
    let wire = text(&finish(&["trace", sid, "--raw", "--url", place]).stdout);
    let invite = wire.lines().find(|line| line.contains("  INVITE from ") && line.contains(" ← 127.0.0.")).unwrap();
    assert!(invite.contains("  (udp 127.0.0.1:") && wire.contains("\nCSeq: ") && wire.contains("\nv=0\n"), "{wire}");
    let json = text(&finish(&["trace", sid, "--raw", "--json", "--url", place]).stdout);
    assert!(json.contains("\"raw\":"), "{json}");
}

#[test]
fn status_calls_reload_drain_and_hangup_talk_to_a_running_edge() {
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.1"));
    let edge = Process::start(&to_callee(&callee, &caller, ""));
    let url = edge.url();
    let json = |arguments: &[&str]| -> Value {
        let output = finish(&[arguments, &["--url", &url, "--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?} {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let status = json(&["status"]);
    assert_eq!((&status["edge"], &status["state"]), (&Value::from("under-test"), &Value::from("ready")));
    assert_eq!(status["listeners"][0]["address"], Value::from(edge.address("udp").to_string()));
    assert_eq!(json(&["calls"])["calls"], serde_json::json!([]));

    call(&edge, &caller, &callee, "one");
    let calls = json(&["calls", "ls", "--state", "answered", "--trunk", "pbx", "--limit", "5"]);
    let sid = calls["calls"][0]["sid"].as_str().unwrap().to_owned();
    assert!(sid.starts_with("CA") && sid.len() == 34, "{sid}");
    let trace = edge.json(&format!("/v1/calls/{sid}/trace"));
    assert!(trace["verdict"].is_string() && !trace["entries"].as_array().unwrap().is_empty(), "{trace}");
    for named in ["last", &sid[..8], &sid] {
        assert_eq!(json(&["trace", named])["sid"], Value::from(sid.as_str()), "{named}");
        assert_eq!(json(&["calls", "show", named])["sid"], Value::from(sid.as_str()), "{named}");
    }
    messages_of(&sid, &url);
    let ladder = text(&finish(&["trace", &sid, "--url", &url]).stdout);
    for part in [&sid, "carrier", "edge", "pbx", "─INVITE─", "200 OK", "verdict: Answered by pbx."] {
        assert!(ladder.contains(part), "{part} in {ladder}");
    }
    assert_eq!(edge.get(&format!("/v1/calls/{sid}/trace.txt")).0, 200);
    assert_eq!(edge.get("/v1/calls/CA0/trace.txt").0, 404);
    let secrets = finish(&["trace", &sid, "--secrets", "--url", &url]);
    assert_eq!(secrets.status.code(), Some(2));
    assert!(text(&secrets.stderr).contains("error[TG0190]: `trunkgate trace --secrets`"));
    // This is not a prefix of the call's SID.
    let other = if sid.starts_with("CA0") { "CA1" } else { "CA0" };
    let unknown = finish(&["trace", other, "--url", &url]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains(&format!("unknown call: {other}")), "{}", text(&unknown.stderr));
    let shown = text(&finish(&["calls", "--url", &url]).stdout);
    assert!(shown.contains(&sid) && !shown.contains('\x1b'), "a table without colour: {shown}");

    assert_eq!(finish(&["calls", "hangup", &sid, "--url", &url]).status.code(), Some(0));
    for party in [&caller, &callee] {
        let (bye, from) = party.receive("BYE ");
        party.send(from, &party.answer(&bye, "200 OK", false));
    }
    until("the call has ended", || (edge.json(&format!("/v1/calls/{sid}"))["state"] == "ended").then_some(()));
    let again = finish(&["calls", "hangup", &sid, "--url", &url]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("(409)"), "{}", text(&again.stderr));
    for (wanted, found) in [
        (["--outcome", "answered", "--reason", "operator"], 1),
        (["--outcome", "failed", "--reason", "operator"], 0),
        (["--outcome", "answered", "--reason", "caller_hung_up"], 0),
    ] {
        let calls = json(&[&["calls"][..], &wanted].concat());
        assert_eq!(calls["calls"].as_array().unwrap().len(), found, "{wanted:?}");
    }

    assert_eq!(finish(&["reload", "--url", &url]).status.code(), Some(0));
    let begun = finish(&["drain", "--url", &url]);
    assert_eq!(begun.status.code(), Some(0));
    assert!(text(&begun.stdout).contains("`trunkgate drain --undo` accepts calls again"), "{begun:?}");
    assert_eq!(edge.get("/readyz").0, 503);
    assert!(text(&finish(&["status", "--url", &url]).stdout).contains("! draining"));
    assert_eq!(finish(&["drain", "--undo", "--url", &url]).status.code(), Some(0));
    assert_eq!(edge.get("/readyz").0, 200);
}

#[test]
fn a_file_that_is_no_toml_is_told_once_and_how_the_edge_is_asked_all_the_same() {
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.1"));
    let edge = Process::start(&to_callee(&callee, &caller, ""));
    std::fs::write(&edge.file, "[\n").unwrap();
    let file = edge.file.to_str().unwrap();
    for verb in [&["status"][..], &["calls"], &["trace", "last"], &["drain"], &["reload"]] {
        let output = finish(&[&["--config", file], verb].concat());
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.starts_with("error[TG"), "{verb:?} {told}");
        assert!(
            told.contains("\nnote: a running edge can be reached without the file: --url http://"),
            "{verb:?} {told}"
        );
    }
    let url = edge.url();
    assert_eq!(finish(&["--config", file, "status", "--url", &url]).status.code(), Some(0));
    let refused = finish(&["--config", file, "reload", "--url", &url]);
    let told = text(&refused.stderr);
    assert!(refused.status.code() == Some(1) && told.starts_with("error[TG"), "{told}");
    assert_eq!(told.matches("error").count() - told.matches("1 error").count(), 1, "{told}");
    // Without the file, the command uses the default address, and changes nothing at an edge that may be another one.
    let missing = ["--config", "/nonexistent/trunkgate.toml"];
    let asked = finish(&[&missing[..], &["status"]].concat());
    let shown = text(&asked.stderr);
    assert!(shown.contains("/nonexistent/trunkgate.toml: cannot read the configuration: No such file"), "{shown}");
    for verb in ["drain", "reload"] {
        let output = finish(&[&missing[..], &[verb]].concat());
        let shown = text(&output.stderr);
        let advice = "error: the configuration file is missing: restore it, or name the edge with --url ";
        assert!(output.status.code() == Some(2) && shown.starts_with(advice), "{verb} {shown}");
    }
}

/// One peer is known by name, and the next has a closed port: the ICMP error causes failover at once.
#[test]
fn names_are_looked_up_and_a_closed_port_goes_on_to_the_next_target() {
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.1"));
    let closed = closed_address();
    let edge = Process::start(&config(&format!(
        "[trunk.carrier]\npeers = [\"sip:{}\"]\n\
         [trunk.gone]\npeers = [\"sip:{closed}\"]\nno_response_timeout = \"10m\"\n\
         [trunk.pbx]\npeers = [\"sip:localhost:{}\"]\naccept_from = [\"{}/32\"]\n\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:gone\", \"trunk:pbx\"]\n",
        caller.address,
        callee.address.port(),
        callee.address.ip()
    )));
    call(&edge, &caller, &callee, "over");
    let peers =
        [("gone", format!("sip:{closed}"), 0.0), ("pbx", format!("sip:localhost:{}", callee.address.port()), 1.0)];
    for (trunk, peer, up) in peers {
        assert_eq!(edge.metric(&format!("trunkgate_trunk_up{{trunk=\"{trunk}\"}}")), up);
        assert_eq!(edge.metric(&format!("trunkgate_peer_up{{trunk=\"{trunk}\",peer=\"{peer}\"}}")), up);
    }
    assert_eq!(edge.metric("trunkgate_failovers_total{route=\"route-1\",reason=\"unreachable\"}"), 1.0);
}

#[test]
fn an_edge_that_is_not_there_is_told() {
    let closed = closed_address();
    let output = finish(&["status", "--url", &format!("http://{closed}")]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains(&format!("no edge at http://{closed} (of --url): ")), "{told}");
    // The message names the source of the address, and the flag that sets another one.
    let (_directory, file) = write(&format!("[http]\naddress = \"{closed}\"\n"));
    let file = file.to_str().unwrap();
    let output = finish(&["--config", file, "status"]);
    let told = text(&output.stderr);
    let place = format!("no edge at http://{closed} (`[http] address` of {file}; --url names another): ");
    assert!(output.status.code() == Some(1) && told.contains(&place), "{told}");
}

#[test]
fn why_names_the_first_condition_that_failed() {
    let (_directory, path) = write(&config(
        "[trunk.a]\npeers = [\"sip:127.0.0.1:5070\"]\n[trunk.b]\npeers = [\"sip:127.0.0.2:5070\"]\n\
         [[route]]\nname = \"b-only\"\nfrom = [\"b\"]\nconnect = [\"trunk:a\"]\n\
         [[route]]\nname = \"boston\"\nto = [\"+1617*\"]\nconnect = [\"reject:603\"]\n\
         [[route]]\nname = \"rest\"\nconnect = [\"trunk:b/+14155550199\", \"sip:x@127.0.0.9\"]\n",
    ));
    let path = path.to_str().unwrap();
    let ask_of = |path: &str, from: &str| -> Value {
        let output = trunkgate(&["--config", path, "why", "--from", from, "--called", "(415) 555-0123", "--json"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let ask = |from: &str| ask_of(path, from);
    let answer = ask("a");
    assert_eq!((&answer["called"], &answer["route"]), (&Value::from("+14155550123"), &Value::from("rest")));
    assert_eq!(answer["targets"], serde_json::json!(["trunk:b/+14155550199", "sip:x@127.0.0.9"]));
    let routes = answer["routes"].as_array().unwrap();
    assert_eq!(routes.iter().map(|route| route["matched"] == true).collect::<Vec<_>>(), [false, false, true]);
    assert!(routes[0]["failed"].is_string() && routes[1]["failed"].is_string() && routes[2]["failed"].is_null());
    assert_eq!(ask("127.0.0.2")["route"], Value::from("b-only"));
    let edge = Process::start(&std::fs::read_to_string(path).unwrap());
    let asked = finish(&["why", "--url", &edge.url(), "--from", "a", "--called", "4155550123", "--json"]);
    // Only a running edge has states.
    let bare = |mut answer: Value| {
        answer["edge"].take();
        for attempt in answer["attempts"].as_array_mut().unwrap() {
            attempt["state"].take();
            attempt["now"].take();
        }
        answer
    };
    let by_file = ask_of(edge.file.to_str().unwrap(), "a");
    let by_edge: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!((&by_file["edge"], &by_edge["edge"]), (&Value::Null, &Value::from("under-test")));
    assert_eq!(bare(by_edge), bare(by_file), "{}", text(&asked.stderr));
    let timed = |at: &str| finish(&["--config", path, "why", "--from", "a", "--called", "1", "--at", at]);
    let (good, bad) = (timed("2026-11-20T09:00"), timed("mon 09:00"));
    assert!(text(&good.stdout).contains("at 2026-11-20T09:00:00+00:00\n"), "{}", text(&good.stdout));
    assert_eq!((good.status.code(), bad.status.code()), (Some(0), Some(2)));
    assert!(text(&bad.stderr).contains("is not a time"), "{}", text(&bad.stderr));
    let stranger = finish(&["--config", path, "why", "--from", "192.0.2.1", "--called", "1"]);
    assert_eq!(stranger.status.code(), Some(2));
    assert!(text(&stranger.stderr).contains("belongs to no trunk"));
}

#[test]
fn a_rejected_reload_prints_errors_before_warnings_and_status_counts_the_errors() {
    let edge = Process::start(&config(""));
    let http = format!("[http]\naddress = \"{}\"\n", edge.address("http"));
    std::fs::write(&edge.file, format!("{http}[cdr]\nkeep = 3\n[limits]\ncals = 1\n[edges]\n")).unwrap();
    let path = edge.file.to_str().unwrap();
    let ask = |verb: &str| finish(&["--config", path, verb]);
    for verb in ["reload", "check", "doctor"] {
        let told = text(&ask(verb).stderr);
        let severities: Vec<&str> =
            told.lines().filter_map(|line| line.split_once("[TG")).map(|(word, _)| word).collect();
        let warnings = severities.len().saturating_sub(2);
        let expected = [vec!["error"; 2], vec!["warning"; warnings]].concat();
        assert!(severities == expected && warnings > 0, "{verb}: {told}");
        assert!(!told.contains("used nevertheless"), "{verb}: {told}");
    }
    let told = text(&ask("status").stdout);
    assert!(told.contains("2 errors: ") && told.contains("(and 1 more: trunkgate check)"), "{told}");
}

/// While the file is being edited, the commands work: only `[http]` must be valid.
#[test]
fn a_running_edge_is_asked_whatever_else_is_wrong_with_the_file() {
    let edge = Process::start(&config(""));
    let ask = |rest: &str, verb: &[&str]| {
        let http = format!("[http]\naddress = \"{}\"\n", edge.address("http"));
        let (directory, path) = write(&format!("{http}{rest}"));
        std::fs::write(directory.path().join("n.csv"), "to,connect\n+14155551234,trunk:pxb\n+1*4,trunk:pbx\n").unwrap();
        let output = finish(&[&["--config", path.to_str().unwrap()], verb].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let trunk = "[trunk.pbx]\npeers = [\"sip:127.0.0.1:9\"]\n";
    let csv = format!("{trunk}[[route]]\nroutes_file = \"n.csv\"\n");
    let (code, out, told) = ask(&csv, &["status"]);
    assert_eq!((code, out.contains("under-test"), told.lines().count()), (Some(0), true, 1), "{told}");
    assert!(told.starts_with("warning[TG0120]: ") && told.contains("n.csv:2:14: unknown trunk: pxb"), "{told}");
    assert!(told.contains("(and 1 more error); [http] is used nevertheless"), "{told}");
    for (verb, part) in [(&["calls"][..], "no calls"), (&["drain"], "draining"), (&["drain", "--undo"], "again")] {
        let (code, out, told) = ask(&csv, verb);
        assert!(code == Some(0) && out.contains(part) && told.lines().count() == 1, "{verb:?} {out} {told}");
    }
    let (code, _, told) = ask(&csv, &["trace", "last"]);
    assert!(code == Some(1) && told.starts_with("error: no calls yet\nwarning[TG0120]: "), "{told}");
    for (rest, wrong) in [
        ("[edge]\ncountri = \"US\"\n", "warning[TG0104]: "),
        ("[trunk.pbx]\npeers = [\"sip:127.0.0.1:9\"\n", "warning[TG0102]: "),
        ("[[route]]\nconnect = [\"trunk:pbx\"]\n", "warning[TG0120]: "),
        ("token = \"a\n", "warning[TG0102]: "),
    ] {
        let (code, _, told) = ask(rest, &["status"]);
        assert!(code == Some(0) && told.starts_with(wrong) && told.lines().count() == 1, "{rest} {told}");
    }
    // With an invalid `[http]` table the commands fail: the default address may be that of another edge.
    for rest in ["token = \"\"\n", "token = { env = \"TRUNKGATE_TEST_NOT_SET\" }\n"] {
        let (code, out, told) = ask(rest, &["status"]);
        assert!(code == Some(2) && out.is_empty() && told.starts_with("error[TG01"), "{rest} {told}");
    }
    let (_directory, path) = write("[trunk.pbx]\npeers = [\"sip:127.0.0.1:9\"\n[http]\naddress = \"127.0.0.1:1\"\n");
    let output = finish(&["--config", path.to_str().unwrap(), "drain"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn what_belongs_to_a_list_of_calls_is_refused_elsewhere() {
    let output = finish(&["calls", "--limit", "5", "show", "CA0", "--url", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("calls ls"), "{}", text(&output.stderr));
}

/// The edge that answers too late may have begun to drain.
#[test]
fn a_drain_that_is_not_answered_in_time_says_how_to_take_it_back() {
    let late = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", late.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let mut request = [0; 4096];
        let (mut lives, _) = late.accept().unwrap();
        let read = std::io::Read::read(&mut lives, &mut request).unwrap();
        assert!(request[..read].starts_with(b"GET /healthz"), "an edge that is stopped gets no drain");
        std::io::Write::write_all(&mut lives, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            .unwrap();
        let (mut stream, _) = late.accept().unwrap();
        let read = std::io::Read::read(&mut stream, &mut request).unwrap();
        let body = r#"{"error":{"code":"timeout","message":"no answer within 10 s"}}"#;
        let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close";
        let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let output = finish(&["drain", "--url", &url]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("no answer within 10 s (503); it may be draining nevertheless"), "{told}");
    assert!(told.contains("`trunkgate drain --undo` accepts calls again"), "{told}");
    assert!(answering.join().unwrap().starts_with("POST /v1/drain"));
}

#[test]
fn help_of_verbs_without_a_file_offers_none() {
    for (verb, offers) in [("demo", false), ("completions", false), ("help", false), ("man", false), ("run", true)] {
        let page = String::from_utf8(finish(&[verb, "--help"]).stdout).unwrap();
        assert_eq!(page.contains("--config"), offers, "{page}");
        assert_eq!(String::from_utf8(finish(&["help", verb]).stdout).unwrap(), page, "help {verb}");
    }
}

/// Programs read the log line by line.
#[test]
fn warnings_of_the_file_are_lines_of_the_log() {
    let text = config(
        "[trunk.a]\npeers = [\"sip:127.0.0.9\"]\n[trunk.b]\npeers = [\"sip:127.0.0.9\"]\naccept_from = [\"127.0.0.8\"]\n",
    );
    let edge = Process::start(&text);
    let log = edge.whole_log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let told = |line: &Value| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "WARN" && message.starts_with("[TG0131]: ") && message.contains("belongs to trunk a; ")
    };
    assert!(lines.iter().any(told), "{log}");
}
