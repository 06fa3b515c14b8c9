//! `trunkgate loadtest` with the real binary, through its private edge and through real ones: assertions that pass and
//! that fail.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::calls::NUMBER;
use crate::support::{Process, config, finish, trunkgate, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// IP addresses of the callers and of the callees.
const CALLERS: &str = "127.0.0.2";
const CALLEES: &str = "127.0.0.3";

fn json(output: &Output) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{} {}", text(&output.stdout), text(&output.stderr)))
}

/// Returns an address with a free port.
fn free() -> SocketAddr {
    UdpSocket::bind((CALLEES, 0)).unwrap().local_addr().unwrap()
}

/// Starts an edge with a trunk of callers and one of callees; `near` and `far` are keys of these trunks.
fn edge(callees: SocketAddr, limits: &str, near: &str, far: &str) -> Process {
    Process::start(&config(&format!(
        "{limits}[trunk.callers]\naccept_from = [\"{CALLERS}/32\"]\n{near}\
         [trunk.callees]\npeers = [\"sip:{callees}\"]\n{far}\
         [[route]]\nfrom = [\"callers\"]\nconnect = [\"trunk:callees\"]\n"
    )))
}

/// Returns the flags of the command for a test through an edge.
fn through(edge: &Process, callees: SocketAddr) -> Vec<String> {
    let to = format!("sip:{NUMBER}@{}", edge.address("udp"));
    let bind = format!("{CALLERS}:0");
    ["loadtest", "--to", &to, "--answer", &callees.to_string(), "--bind", &bind].map(str::to_owned).to_vec()
}

fn run(mut flags: Vec<String>, more: &[&str]) -> Output {
    flags.extend(more.iter().map(|flag| (*flag).to_owned()));
    finish(&flags.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Returns whether the assertion with this text holds.
fn holds(answer: &Value, text: &str) -> bool {
    let all = answer["assertions"].as_array().unwrap();
    all.iter().find(|one| one["assertion"] == text).unwrap()["holds"].as_bool().unwrap()
}

#[test]
fn an_edge_of_its_own_carries_every_bit() {
    let directory = tempfile::tempdir().unwrap();
    let junit = directory.path().join("out.xml");
    let asserted = "answered=100%,harmed=0%,duplicates=0,dropped=0,mos.p5>1,held<=3,delay.p50>=0ms";
    let flags = ["--calls", "3", "--cps", "3", "--duration", "4s", "--json", "--assert", asserted];
    let output = run(vec!["loadtest".into()], &[&flags[..], &["--junit", junit.to_str().unwrap()]].concat());
    let answer = json(&output);
    for text in asserted.split(',') {
        assert!(holds(&answer, text), "{text}: {answer:#}");
    }
    // On a busy machine, the report is not valid.
    assert_eq!(output.status.code(), Some(i32::from(answer["valid"] != true)), "{answer:#}");
    assert_eq!(answer["calls"]["failed"], 0);
    for side in ["callers", "callees"] {
        assert!(answer["packets"][side]["sent"].as_u64().unwrap() > 100, "{answer:#}");
    }
    assert_eq!(answer["packets"]["foreign"], 0);
    assert!(answer["setup_ms"]["p99"].as_f64().unwrap() > 0.0 && answer["delay_ms"]["count"].as_u64().unwrap() > 200);
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("tests=\"8\" failures=\"0\"") && !xml.contains("<failure"), "{xml}");
}

/// Repeats a load test up to three times until it was in time; returns `None` if the machine was too busy each time, so
/// that the figures for audio mean nothing.
fn valid(mut run: impl FnMut() -> Output) -> Option<(Output, Value)> {
    let runs = std::iter::repeat_with(|| {
        let output = run();
        let answer = json(&output);
        assert!(answer["valid"] == true || !answer["faults"].as_array().unwrap().is_empty(), "{answer:#}");
        (output, answer)
    });
    runs.take(3).find(|(_, answer)| answer["valid"] == true)
}

#[test]
fn what_an_edge_refuses_fails_the_assertion_and_junit_says_which() {
    let callees = free();
    let edge = edge(callees, "[limits]\ncalls = 2\n", "", "");
    let junit = edge.directory.path().join("out.xml");
    let load = ["--calls", "4", "--cps", "4", "--duration", "3s", "--junit", junit.to_str().unwrap()];
    let asserted = ["--assert", "answered=100%", "--assert", "duplicates=0"];
    let runs = std::iter::repeat_with(|| {
        let output = run(through(&edge, callees), &[&load[..], &asserted].concat());
        (String::from_utf8_lossy(&output.stdout).into_owned(), output)
    });
    // On a machine too busy for the calls, the report says so.
    let is_valid = |text: &str| !text.contains("  not valid: the generator cannot keep its pace: ");
    let Some((text, output)) = runs.take(3).find(|(text, _)| is_valid(text)) else { return };
    assert_eq!(output.status.code(), Some(1), "{text} {}", String::from_utf8_lossy(&output.stderr));
    for part in ["503 ", "limit_calls", "FAIL  answered=100%", "ok    duplicates=0", "FAILED: 1 of 2 assertions"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(
        xml.contains("failures=\"1\"") && xml.contains("<failure message=\"answered=100% does not hold: "),
        "{xml}"
    );
    assert!(xml.contains("name=\"duplicates=0\"/>"), "{xml}");
}

#[test]
fn audio_that_is_converted_on_its_way_is_not_what_was_said() {
    let callees = free();
    let edge = edge(callees, "", "codecs = [\"PCMU\"]\n", "codecs = [\"PCMA\"]\n");
    let load =
        ["--calls", "2", "--cps", "2", "--duration", "3s", "--json", "--assert", "answered=100%,foreign=0,loss<1%"];
    let Some((output, answer)) = valid(|| run(through(&edge, callees), &load)) else { return };
    assert_eq!(output.status.code(), Some(1), "{answer:#}");
    assert!(
        holds(&answer, "answered=100%") && !holds(&answer, "foreign=0") && !holds(&answer, "loss<1%"),
        "{answer:#}"
    );
}

#[test]
fn audio_that_is_lost_or_harmed_is_noticed_in_the_direction_where_it_was() {
    for (sabotage, of) in [("audio", "harmed"), ("loss", "lost")] {
        let asserted = "answered=100%,harmed=0%,loss<1%,mos.min>4.2";
        let load = || {
            let flags = ["loadtest", "--calls", "2", "--cps", "2", "--duration", "4s", "--json", "--assert", asserted];
            trunkgate(&flags).env("TRUNKGATE_SABOTAGE", sabotage).output().unwrap()
        };
        let Some((output, answer)) = valid(load) else { continue };
        assert_eq!(output.status.code(), Some(1), "{answer:#}");
        assert!(holds(&answer, "answered=100%"), "{answer:#}");
        assert_eq!(
            (holds(&answer, "harmed=0%"), holds(&answer, "loss<1%")),
            (of == "lost", of == "harmed"),
            "{answer:#}"
        );
        assert!(of == "harmed" || !holds(&answer, "mos.min>4.2"), "{answer:#}");
        let packets = &answer["packets"];
        assert!(packets["callees"][of].as_u64() > Some(2) && packets["callers"][of] == 0, "{answer:#}");
    }
}

#[test]
fn who_is_stopped_ends_its_calls_and_still_reports() {
    let callees = free();
    let edge = edge(callees, "", "", "");
    let mut flags = through(&edge, callees);
    flags.extend(["--calls", "3", "--cps", "10", "--duration", "10m", "--json"].map(str::to_owned));
    let mut command = trunkgate(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let answered = || edge.json("/v1/calls?state=answered")["calls"].as_array().unwrap().len();
    until("three calls are up", || (answered() == 3).then_some(()));
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let answer = json(&child.wait_with_output().unwrap());
    assert!(answer["cut_short"] == true && holds(&answer, "answered=100%"), "{answer:#}");
    let calls = edge.json("/v1/calls");
    for call in calls["calls"].as_array().unwrap() {
        assert_eq!((&call["state"], &call["reason"]), (&"ended".into(), &"caller_hung_up".into()), "{call:#}");
    }
}

#[test]
fn strangers_are_not_answered() {
    let callees = free();
    let edge = edge(callees, "", "", "");
    let stranger = UdpSocket::bind("127.0.0.9:0").unwrap();
    let invite = format!(
        "INVITE sip:1@{callees} SIP/2.0\r\nVia: SIP/2.0/UDP {0};branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:2@{0}>;tag=1\r\n\
         To: <sip:1@{callees}>\r\nCall-ID: strange\r\nCSeq: 1 INVITE\r\nContact: <sip:2@{0}>\r\nContent-Length: 0\r\n\r\n",
        stranger.local_addr().unwrap()
    );
    let mut flags = through(&edge, callees);
    flags.extend(["--calls", "2", "--cps", "10", "--duration", "10m", "--json"].map(str::to_owned));
    let mut command = trunkgate(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let answered = || edge.json("/v1/calls?state=answered")["calls"].as_array().unwrap().len();
    until("its calls are up", || (answered() == 2).then_some(()));
    stranger.send_to(invite.as_bytes(), callees).unwrap();
    // Answered after it was read: requests outside of calls are answered, but create no call.
    let options = invite.replace("INVITE", "OPTIONS").replace("z9hG4bK1", "z9hG4bK2").replace("strange", "asked");
    stranger.send_to(options.as_bytes(), callees).unwrap();
    let mut answer = [0; 2048];
    stranger.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let length = stranger.recv(&mut answer).unwrap();
    let first = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(first.contains("Call-ID: asked"), "{first}");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let answer = json(&child.wait_with_output().unwrap());
    assert_eq!(answer["strangers"], 1, "{answer:#}");
}

#[test]
fn an_edge_that_is_not_there_is_told() {
    let (edge, callees) = (free(), free());
    let to = format!("sip:{NUMBER}@{edge}");
    let flags = ["loadtest", "--to", &to, "--answer", &callees.to_string()].map(str::to_owned).to_vec();
    let output = run(flags, &["--calls", "1", "--cps", "1", "--duration", "1s", "--assert", "setup.p99<1s"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("no response from the edge") && text.contains("not measured"), "{text}");
}

#[test]
fn what_cannot_be_tried_is_exit_2() {
    let load = ["loadtest", "--calls", "1", "--cps", "1", "--duration", "2s"];
    for (more, part) in [
        (&["--assert", "mos.p5>4,los<1%"][..], "--assert, column 10: `los` is not a metric"),
        (&["--to", "sip:1@127.0.0.1"], "--answer"),
        (&["--to", "sip:1@127.0.0.1;transport=tls", "--answer", "127.0.0.1:0"], "uses UDP"),
        (&["--junit", "/nowhere/out.xml"], "--junit /nowhere/out.xml cannot be written"),
    ] {
        let output = finish(&[&load[..], more].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && text.contains(part), "{text}");
    }
    assert!(!Path::new("/nowhere").exists());
}
