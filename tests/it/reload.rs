//! Long reloads through the real binary: in order, complete, and without blocking other work.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::channel;

use crate::support::{PATIENCE, Process, config, finish, http, until};
use nix::sys::signal::Signal;

/// Edge with a file to be replaced: the new file has a spoken text, which is synthesised when the test allows that.
struct Rig {
    edge: Process,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(folder.path().join("said.wav"), spec).unwrap();
        (0..800).for_each(|_| wav.write_sample(1000_i16).unwrap());
        wav.finalize().unwrap();
        Rig { edge: Process::start(&config("")), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the file by one with this agent, and with a spoken text that waits for [`Self::let_go`].
    fn write_slow(&self, agent: &str) {
        let at = self.folder.path().display();
        let script = format!("touch {at}/begun; while [ ! -e {at}/go ]; do sleep 0.02; done; cat {at}/said.wav");
        self.write(&format!(
            "[speech]\ncommand = [\"sh\", \"-c\", \"{script}\", \"{{text}}\"]\n[agent.{agent}]\nurl = \"ws://127.0.0.1:9/\"\n\
             answer = \"early\"\nhold = {{ strategy = \"text\", text = \"One moment.\" }}\n"
        ));
    }

    fn write(&self, rest: &str) {
        std::fs::write(&self.edge.file, config(rest)).unwrap();
    }

    fn has_begun(&self) {
        until("the text is being said", || self.path("begun").exists().then_some(()));
    }

    fn let_go(&self) {
        std::fs::write(self.path("go"), "").unwrap();
    }

    fn agents(&self) -> Vec<String> {
        let all = self.edge.json("/v1/agents");
        all["agents"].as_array().unwrap().iter().map(|agent| agent["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// Sends a request for a reload without waiting for the response.
fn asked(edge: &Process) -> TcpStream {
    let address = edge.address("http");
    let mut request = TcpStream::connect(address).unwrap();
    request.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "Connection: close\r\nContent-Length: 0";
    write!(request, "POST /v1/reload HTTP/1.1\r\nHost: {address}\r\n{head}\r\n\r\n").unwrap();
    request
}

/// Reloads the edge; returns the status and the text of the response.
fn reload(edge: &str) -> (u16, String) {
    http("POST", &format!("{edge}/v1/reload"), &[], "")
}

#[test]
fn a_reload_that_nobody_waits_for_any_more_comes_in_force() {
    let rig = Rig::new();
    rig.write_slow("patient");
    let request = asked(&rig.edge);
    rig.has_begun();
    drop(request);
    // When the edge answers another client, it has seen the request.
    assert!(rig.agents().is_empty());
    rig.let_go();
    until("it is in force", || (rig.agents() == ["patient"]).then_some(()));
}

/// Answers as an edge does during a reload that takes longer than a request, until the command has seen the progress of
/// a file.
fn slow_edge(listener: &TcpListener) {
    let mut asked = 0;
    for stream in listener.incoming() {
        let mut stream = BufReader::new(stream.unwrap());
        let head: Vec<String> =
            stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let configuration = |loaded_at: &str, reading: &str| {
            format!(
                "{{\"config\":{{\"loaded_at\":\"{loaded_at}\",\"reading\":{reading},\"warnings\":1,\"last_reload_error\":null}}}}"
            )
        };
        let (status, body) = match head.first().map_or("", String::as_str) {
            line if line.starts_with("POST ") => {
                let error = "{\"error\":{\"code\":\"reloading\",\"message\":\"still in progress; see /v1/status\"}}";
                ("503 Service Unavailable", error.to_owned())
            }
            line if line.starts_with("GET /v1/status ") => {
                asked += 1;
                (
                    "200 OK",
                    match asked {
                        1 => configuration("2026-01-01T00:00:00Z", "null"),
                        2 => configuration("2026-01-01T00:00:00Z", "\"n.csv: 65536 lines read\""),
                        _ => configuration("2026-01-01T00:00:30Z", "null"),
                    },
                )
            }
            _ => ("200 OK", "{}".to_owned()),
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
        if asked > 2 {
            return;
        }
    }
}

#[test]
fn the_verb_waits_for_a_reload_that_takes_longer_than_its_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let edge = std::thread::spawn(move || slow_edge(&listener));
    let output = finish(&["reload", "--url", &url]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("the reload is in progress …\nn.csv: 65536 lines read\n"), "{stderr}");
    assert!(output.stdout.starts_with(b"reloaded: 1 warning; "), "{}", String::from_utf8_lossy(&output.stdout));
    edge.join().unwrap();
}

#[test]
fn the_newest_file_is_in_force_though_an_older_one_took_longer() {
    let rig = Rig::new();
    rig.write_slow("old");
    rig.edge.signal(Signal::SIGHUP);
    rig.has_begun();
    rig.write("[agent.new]\nurl = \"ws://127.0.0.1:9/\"\n");
    let mut newer = asked(&rig.edge);
    // When the edge answers another request, it has seen this one, and could reorder them.
    assert!(rig.agents().is_empty());
    rig.let_go();
    let mut answer = String::new();
    newer.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(rig.agents(), ["new"]);
    let log = rig.edge.whole_log();
    assert_eq!(log.matches("configuration reloaded").count(), 2, "{log}");
}

#[test]
fn sigterm_does_not_wait_for_a_reload() {
    let rig = Rig::new();
    rig.write_slow("never");
    rig.edge.signal(Signal::SIGHUP);
    rig.has_begun();
    rig.edge.signal(Signal::SIGTERM);
    let (status, _, log) = rig.edge.end();
    assert!(status.success(), "{log}");
    assert!(!log.contains("configuration reloaded"), "{log}");
}

#[test]
fn more_reloads_than_can_wait_are_refused() {
    let rig = Rig::new();
    rig.write_slow("slow");
    let url = rig.edge.url();
    let (answer, answers) = channel();
    std::thread::scope(|scope| {
        for _ in 0..=trunkgate_system::limits::RELOADS {
            let (answer, url) = (answer.clone(), &url);
            scope.spawn(move || answer.send(reload(url).0).unwrap());
        }
        // One request finds all slots taken, and those that have a slot wait.
        let next = || answers.recv_timeout(PATIENCE).unwrap();
        let first = next();
        rig.let_go();
        let others: Vec<u16> = (0..trunkgate_system::limits::RELOADS).map(|_| next()).collect();
        assert_eq!((first, others), (503, vec![200; trunkgate_system::limits::RELOADS]));
    });
    assert_eq!(rig.agents(), ["slow"]);
}

#[test]
fn a_reload_says_what_has_changed_and_what_waits_for_a_restart() {
    let trunk = |name: &str, more: &str| format!("[trunk.{name}]\npeers = [\"sip:127.0.0.1:9\"]\n{more}");
    let auth = "auth = { username = \"u\", password = \"hunter2\" }\n";
    let route = |to: &str| format!("[[route]]\nname = \"{to}\"\nto = [\"+14155551234\"]\nconnect = [\"trunk:{to}\"]\n");
    let before =
        trunk("a", &format!("max_calls = 10\n{auth}")) + &trunk("gone", "") + &route("a") + "[limits]\ncalls = 50\n";
    let rig = Rig { edge: Process::start(&config(&before)), folder: tempfile::tempdir().unwrap() };
    let changed = |done: &serde_json::Value, key: &str| -> Vec<String> {
        done[key].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let take = || -> serde_json::Value {
        let (status, answer) = reload(&rig.edge.url());
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    };
    let unchanged = take();
    assert_eq!((changed(&unchanged, "changed"), changed(&unchanged, "needs_restart")), (vec![], vec![]));

    let other = auth.replace("hunter2", "swordfish");
    let after = trunk("a", &format!("max_calls = 20\n{other}"))
        + &trunk("new", "")
        + &route("a").replace("1234", "9876")
        + &route("new")
        + "[limits]\ncalls = 60\n[log]\nlevel = \"debug\"\n[hep]\naddress = \"127.0.0.1:9\"\n";
    let text =
        config(&after).replace("under-test", "renamed").replace("idle_timeout = \"10m\"", "idle_timeout = \"90s\"");
    std::fs::write(&rig.edge.file, text).unwrap();
    let done = take();
    let expected = [
        "[edge] name \"under-test\" -> \"renamed\"",
        "[media] idle_timeout \"10m\" -> \"90s\"",
        "[limits] calls 50 -> 60",
        "trunk a: max_calls 10 -> 20",
        "trunk a: auth changed (secret value)",
        "trunk new added",
        "trunk gone removed",
        "route a: to changed",
        "route new added",
        "[log] level \"info\" -> \"debug\"",
        "[hep] added",
    ];
    assert_eq!(changed(&done, "changed"), expected);
    assert_eq!(changed(&done, "needs_restart"), ["[edge] name", "[media] idle_timeout"]);
    let log = rig.edge.whole_log();
    assert!(log.contains("configuration reloaded: nothing changed"), "{log}");
    let all = format!("{log}{done}");
    assert!(all.contains("trunk new added") && !all.contains("swordfish") && !all.contains("41555598"), "{all}");
    // The second reload finds no change; changes that need a restart are still reported.
    let told = finish(&["reload", "--url", &rig.edge.url()]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("  nothing changed\n") && told.contains("[media] idle_timeout requires a restart"), "{told}");
    // `status` reports it until the file again matches the running configuration.
    let waits = || {
        let status = rig.edge.json("/v1/status");
        let told = finish(&["status", "--url", &rig.edge.url()]);
        let line = "! changed keys wait for a restart: [edge] name, [media] idle_timeout (since ";
        let is_told = String::from_utf8(told.stdout).unwrap().contains(line);
        (changed(&status["config"], "restart_needed"), is_told)
    };
    assert_eq!(waits(), (vec!["[edge] name".to_owned(), "[media] idle_timeout".to_owned()], true));
    std::fs::write(&rig.edge.file, config("[nonsense]\n")).unwrap();
    assert_eq!(reload(&rig.edge.url()).0, 422);
    assert!(waits().1, "a refused file takes nothing back");
    std::fs::write(&rig.edge.file, config(&before)).unwrap();
    assert!(changed(&take(), "needs_restart").is_empty());
    assert_eq!(waits(), (vec![], false));
}

#[test]
fn a_log_that_falls_silent_says_so_first() {
    let edge = Process::start(&config(""));
    let to = |level: &str| {
        std::fs::write(&edge.file, config(&format!("[log]\nlevel = \"{level}\"\n"))).unwrap();
        assert_eq!(reload(&edge.url()).0, 200);
        let line = format!("-> \\\"{level}\\\"");
        until("the log names both levels", || edge.log().contains(&line).then_some(()));
    };
    to("warn");
    to("info");
    let log = edge.whole_log();
    assert!(log.contains(r#"level \"info\" -> \"warn\""#) && log.contains(r#"level \"warn\" -> \"info\""#), "{log}");
}

#[test]
fn call_records_that_cannot_be_written_refuse_a_reload_and_go_on_where_they_went() {
    let rig = Rig::new();
    let records = |name: &str| format!("[cdr]\nfile = \"{}\"\n", rig.path(name).display());
    rig.write(&records("old.jsonl"));
    assert_eq!(reload(&rig.edge.url()).0, 200);
    rig.write(&(records("nowhere/new.jsonl") + "[limits]\ncalls = 7\n"));
    let (status, answer) = reload(&rig.edge.url());
    assert!(status == 422 && answer.contains("TG0202") && answer.contains("nowhere/new.jsonl"), "{status} {answer}");
    assert_eq!(rig.edge.metric("trunkgate_config_last_reload_success"), 0.0);
    let status = rig.edge.json("/v1/status");
    let (problem, error) = (&status["problem_details"][0], &status["config"]["last_reload_error"]);
    let headline = "the configuration file is rejected: a restart would fail";
    assert_eq!((&problem["harm"], &problem["headline"]), (&"restart".into(), &headline.into()), "{status:#}");
    let (evidence, fix) = (problem["evidence"].as_str().unwrap(), problem["fix"].as_str().unwrap());
    let place = format!(" at {}:", rig.edge.file.display());
    assert!(evidence.starts_with("1 error: ") && evidence.contains(&place), "{evidence}");
    assert!(evidence.contains("nowhere/new.jsonl") && evidence.starts_with(error.as_str().unwrap()), "{evidence}");
    assert!(fix.contains("do not restart"), "{fix}");
    let told = finish(&["--config", rig.edge.file.to_str().unwrap(), "check"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(told.contains("warning[TG0202]") && told.contains("does not exist"), "{told}");
    // Nothing of that file is in force; once the folder exists, all of it is.
    std::fs::create_dir(rig.path("nowhere")).unwrap();
    let (status, answer) = reload(&rig.edge.url());
    assert!(status == 200 && answer.contains("[limits] calls") && answer.contains("[cdr] file"), "{status} {answer}");
    assert!(rig.edge.json("/v1/status")["problems"].as_array().unwrap().is_empty(), "that is past");
    assert!(rig.path("nowhere/new.jsonl").exists() && !rig.path("old.jsonl.live").exists());
}
