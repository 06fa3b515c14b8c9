//! `--watch` and `preset diff` through the real binary.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use crate::support::{Process, config, finish, trunkgate, until, write};
use serde_json::Value;

fn watched(arguments: &[&str]) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = trunkgate(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    (child, lines)
}

#[test]
fn what_is_watched_is_told_again_until_nobody_reads() {
    let edge = Process::start(&config(""));
    let url = edge.url();
    let verbs = [&["status", "--watch", "0.1", "--json"][..], &["calls", "--limit", "5", "--watch=0.1", "--json"]];
    for (verb, key) in verbs.iter().zip(["edge", "calls"]) {
        let (mut child, mut lines) = watched(&[verb, &["--url", &url][..]].concat());
        for _ in 0..3 {
            let told: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
            assert!(told.get(key).is_some(), "{told}");
        }
        drop(lines);
        assert_eq!(child.wait().unwrap().code(), Some(0), "it ends without a reader");
    }
    // The text of a remote party must not control the terminal.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let answers = std::thread::spawn(move || {
        let (mut asks, _) = server.accept().unwrap();
        let body = "{\"edge\":\"x\u{9b}2J\u{202e}\u{7f}\"}";
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = asks.read(&mut [0; 4096]).unwrap();
        asks.write_all(format!("{head}{body}").as_bytes()).unwrap();
    });
    let (mut child, mut lines) = watched(&["status", "--watch", "0.1", "--json", "--url", &url]);
    assert_eq!(lines.next().unwrap(), "{\"edge\":\"x\\u009b2J\\u202e\\u007f\"}");
    child.kill().unwrap();
    child.wait().unwrap();
    answers.join().unwrap();
    // Without a terminal, pages follow one another and are separated by an empty line.
    let (mut child, mut lines) = watched(&["status", "--watch", "0.1", "--url", &edge.url()]);
    let first = lines.by_ref().take_while(|line| !line.is_empty()).count();
    assert!(first > 0 && lines.next().is_some_and(|line| line.contains("under-test")));
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let code = |arguments: &[&str]| finish(arguments).status.code();
    let nowhere = ["--url", "http://127.0.0.1:9"];
    assert_eq!(code(&[&["status", "--watch"], &nowhere[..]].concat()), Some(1), "no edge at the first question");
    for wrong in [&["status", "--watch", "0"][..], &["calls", "--watch", "often"], &["calls", "--csv", "--watch"]] {
        assert_eq!(code(&[wrong, &nowhere].concat()), Some(2), "{wrong:?}");
    }
}

#[test]
fn what_trunks_say_otherwise_than_their_preset_is_told_with_its_place() {
    let (_directory, file) = write(
        "[trunk.twilio]\npreset = \"twilio\"\ndomain = \"acme.pstn.twilio.com\"\ncodecs = [\"PCMA\"]\n\
         [trunk.spare]\npreset = \"twilio\"\ndomain = \"spare.pstn.twilio.com\"\n\
         [[route]]\nfrom = [\"twilio\"]\nconnect = [\"trunk:spare\"]\n",
    );
    let file = file.to_str().unwrap();
    let diff = |name: &str| {
        let output = finish(&["--config", file, "preset", "diff", name]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, told) = diff("twilio");
    assert_eq!(code, Some(0));
    assert!(told.starts_with(&format!("[trunk.twilio]  {file}:2:10: 1 of ")), "{told}");
    let change = format!("  {file}:4:10\n  - codecs = [\"PCMU\", \"PCMA\"]\n  + codecs = [\"PCMA\"]\n");
    assert!(told.contains(&change) && told.contains("[trunk.spare]") && told.contains(": none of "), "{told}");
    assert_eq!(diff("3cx"), (Some(0), format!("no trunk in {file} has preset = \"3cx\"\n")));
    assert_eq!(diff("twillio").0, Some(2));
    let (_directory, bad) = write("[trunk.a]\npreset = \"twilio\"\n");
    assert_eq!(finish(&["--config", bad.to_str().unwrap(), "preset", "diff", "twilio"]).status.code(), Some(2));
}

#[test]
fn an_edge_that_is_stopped_is_named_by_its_process_and_finds_no_late_requests() {
    let edge = Process::start(&config(""));
    let loaded = || edge.json("/v1/status")["config"]["loaded_at"].clone();
    let before = loaded();
    // The file is the same, with the ports that were assigned.
    let text = std::fs::read_to_string(&edge.file).unwrap();
    let ports = text.replace("127.0.0.1:0\"\n[media]", &format!("{}\"\n[media]", edge.address("tcp")));
    let (http, udp) = (edge.address("http"), edge.address("udp"));
    let ports = ports.replace("[http]\naddress = \"127.0.0.1:0\"", &format!("[http]\naddress = \"{http}\""));
    let (_folder, file) = write(&ports.replacen("127.0.0.1:0", &udp.to_string(), 1));
    edge.signal(nix::sys::signal::Signal::SIGSTOP);
    until("it has stopped", || edge.is_stopped().then_some(()));
    let known = format!("PID {} (", edge.pid());
    for verb in [&["status"][..], &["reload"]] {
        let output = finish(&[verb, &["--url", &edge.url()]].concat());
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(told.contains("it does not answer") && told.contains(&known), "{told}");
        assert!(told.contains(&format!("is stopped; try: kill -CONT {}", edge.pid())), "{told}");
        let waits = format!("waiting for the edge at {}, which has not answered for 1 s", edge.url());
        assert!(told.starts_with(&waits), "{told}");
        let is_named = told.contains("error: not reloaded, the edge has not received the request: the edge at");
        assert_eq!(is_named, *verb == ["reload"], "{told}");
    }
    let file = file.to_str().unwrap();
    let doctor = finish(&["--config", file, "doctor", "--only", "running edge", "--only", "ports", "--json"]);
    let found: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let lines: Vec<String> = found.as_array().unwrap().iter().map(Value::to_string).collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains(&known) && line.contains("-CONT")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("not as a Trunkgate edge does")), "{lines:?}");
    edge.signal(nix::sys::signal::Signal::SIGCONT);
    assert_eq!(loaded(), before, "the reload that was given up is not carried out");
}
