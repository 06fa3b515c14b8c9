//! `trunkgate doctor` through the real binary: a fault for each line of the report, and the exit code.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Output};

use crate::support::calls::{Call, Phone, received, rtp};
use crate::support::dns::{Mood, NameServer};
use crate::support::sip::Party;
use crate::support::tls::{Authority, Server};
use crate::support::{Process, closed_address, config, finish, media_ports, trunkgate, until, write};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Lines of the report, and the exit code.
struct Told {
    lines: Vec<Value>,
    code: Option<i32>,
}

impl Told {
    fn of(output: &Output) -> Told {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Value = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)));
        Told { lines: lines.as_array().unwrap().clone(), code: output.status.code() }
    }

    /// Returns the level and text of the first line with this name that contains `what`.
    fn line(&self, name: &str, what: &str) -> (&str, &str) {
        let is_it = |line: &&Value| line["name"] == name && line["text"].as_str().unwrap().contains(what);
        let line = self.lines.iter().find(is_it).unwrap_or_else(|| panic!("no {name} with {what}: {:#?}", self.lines));
        let level = line["level"].as_str().unwrap();
        assert_eq!(line["fix"].is_string(), level != "ok", "{line}");
        (level, line["text"].as_str().unwrap())
    }

    fn level(&self, name: &str) -> &str {
        self.line(name, "").0
    }
}

fn doctor(text: &str) -> Told {
    doctor_with(text, &[])
}

fn doctor_with(text: &str, variables: &[(&str, &str)]) -> Told {
    let (_directory, file) = write(text);
    let mut command = trunkgate(&["--config", file.to_str().unwrap(), "doctor", "--json"]);
    Told::of(&command.envs(variables.iter().copied()).output().unwrap())
}

/// Starts a party that answers each OPTIONS with this status until the test ends.
fn answers(status: &'static str) -> Party {
    answers_with(move |answer, _| answer.replacen("200 OK", status, 1))
}

/// Starts a party that answers each OPTIONS with a 200 changed by `change`, like a remote party or a middlebox.
fn answers_with(change: impl Fn(String, SocketAddr) -> String + Send + 'static) -> Party {
    let party = Party::new("127.0.0.5");
    let answerer = party.shared();
    answerer.socket.set_read_timeout(None).unwrap();
    std::thread::spawn(move || {
        loop {
            let (options, from) = answerer.receive("OPTIONS ");
            answerer.send(from, &change(answerer.answer(&options, "200 OK", false), from));
        }
    });
    party
}

fn trunk(uri: &str) -> String {
    config(&format!("[trunk.pbx]\npeers = [\"{uri}\"]\n[[route]]\nconnect = [\"trunk:pbx\"]\n"))
}

#[test]
fn where_all_is_well_it_ends_with_zero_and_the_page_says_so() {
    let peer = answers("200 OK");
    let text = trunk(&format!("sip:{}", peer.address));
    let told = doctor(&text);
    for name in ["config", "ports", "media ports", "options pbx"] {
        assert_eq!(told.level(name), "ok", "{:#?}", told.lines);
    }
    for name in ["ephemeral range", "public address", "open files", "udp buffers", "clock"] {
        assert_ne!(told.level(name), "fail");
    }
    assert_eq!(told.code, Some(0));
    assert!(told.line("options pbx", "200 OK").1.starts_with("udp 127.0.0.5:"));
    let (_directory, file) = write(&text);
    let page = finish(&["--config", file.to_str().unwrap(), "doctor"]);
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.starts_with("  ok    config") && page.contains("1 trunk, 1 route\n"), "{page}");
    assert!(page.contains("0 failures, "), "{page}");
    let (_directory, file) = write("[trunk.pbx]\npears = 1\n");
    assert_eq!(finish(&["--config", file.to_str().unwrap(), "doctor"]).status.code(), Some(2));
}

#[test]
fn peers_that_do_not_answer_fail_and_one_that_takes_no_calls_is_warned_of() {
    let closed = Party::new("127.0.0.6").address;
    for transport in ["udp", "tcp"] {
        let told = doctor(&trunk(&format!("sip:{closed};transport={transport}")));
        assert_eq!((told.line("options pbx", "refused: no listener").0, told.code), ("fail", Some(1)));
    }
    let silent = Party::new("127.0.0.6");
    let told = doctor(&trunk(&format!("sip:{}", silent.address)));
    assert_eq!((told.line("options pbx", "no answer to OPTIONS in 4 s").0, told.code), ("fail", Some(1)));
    let unasked =
        trunk(&format!("sip:{}", silent.address)).replace("[[route]]", "options_interval = \"0s\"\n[[route]]");
    let told = doctor(&unasked);
    assert_eq!((told.line("options pbx", "not checked in operation").0, told.code), ("warn", Some(0)));
    let full = answers("503 Service Unavailable");
    let told = doctor(&trunk(&format!("sip:{}", full.address)));
    assert_eq!((told.line("options pbx", "accepts no calls").0, told.code), ("warn", Some(0)));
    let shy = answers("403 Forbidden");
    let told = doctor(&trunk(&format!("sip:{}", shy.address)));
    assert_eq!((told.level("options pbx"), told.code), ("ok", Some(0)));
}

#[test]
fn a_peer_is_asked_from_the_address_that_it_knows_us_by() {
    let listener = "[[listen]]\nname = \"other\"\ntransport = \"udp\"\naddress = \"127.0.0.77:0\"\n";
    let seen = UdpSocket::bind("127.0.0.6:0").unwrap();
    let uri = format!("sip:{}", seen.local_addr().unwrap());
    let text = trunk(&uri).replace("peers =", "listen = \"other\"\npeers =");
    let text = text.replace("[media]", &format!("{listener}[media]"));
    let from = std::thread::spawn(move || seen.recv_from(&mut [0; 2048]).unwrap().1);
    doctor(&text);
    assert_eq!(from.join().unwrap().ip().to_string(), "127.0.0.77");
}

#[test]
fn names_without_addresses_and_silent_name_servers_are_told_apart() {
    let names = NameServer::start();
    let peer = answers("200 OK");
    let (name, value) = names.variable();
    names.addresses("good.test", 60, &["127.0.0.5"]);
    let text = trunk(&format!("sip:good.test:{}", peer.address.port()));
    let told = doctor_with(&text, &[(name, &value)]);
    assert_eq!((told.line("dns", "good.test → udp 127.0.0.5:").0, told.level("options pbx")), ("ok", "ok"));
    let text = trunk("sip:nowhere.test");
    let told = doctor_with(&text, &[(name, &value)]);
    assert_eq!((told.line("dns", "nowhere.test has no address").0, told.code), ("fail", Some(1)));
    names.set_mood(Mood::Fails);
    let told = doctor_with(&text, &[(name, &value)]);
    assert_eq!((told.line("dns", "the DNS server answers SERVFAIL for nowhere.test").0, told.code), ("fail", Some(1)));
    let registrar = "register = { registrar = \"sip:reg.test\", user = \"me\" }";
    let text = trunk(&format!("sip:{}", peer.address)).replace("[trunk.pbx]\n", &format!("[trunk.pbx]\n{registrar}\n"));
    let told = doctor_with(&text, &[(name, &value)]);
    assert_eq!(told.line("dns", "registrar of pbx: the DNS server answers SERVFAIL for reg.test").0, "fail");
}

/// Returns a configuration with a TLS listener that has this certificate, and a TLS trunk.
fn secure(pair: &crate::support::tls::Pair, peer: &str, keys: &str) -> String {
    config(&format!(
        "[[listen]]\nname = \"s\"\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n{}\n\
         [trunk.pbx]\npeers = [\"sip:{peer};transport=tls\"]\n{keys}\n[[route]]\nconnect = [\"trunk:pbx\"]\n",
        pair.keys("\n")
    ))
}

#[test]
fn certificates_on_both_sides_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let long = authority.issue("long", &["127.0.0.1"]);
    let soon = (Timestamp::now() + SignedDuration::from_hours(24 * 5)).to_string();
    let part = |from: usize, to: usize| soon[from..to].parse::<i32>().unwrap();
    let soon = (part(0, 4), part(5, 7) as u8, part(8, 10) as u8);
    let ending = authority.issue_until("ending", &["127.0.0.1"], soon);
    let over = authority.issue_until("over", &["127.0.0.1"], (2020, 1, 1));

    let closed = Party::new("127.0.0.6").address.to_string();
    let told = doctor(&secure(&long, &closed, ""));
    let (level, text) = told.line("tls", "listener s");
    // The root is one that the test has made.
    assert!(
        level == "warn" && text.contains("until 2099-01-01") && text.contains("does not end in a trusted root"),
        "{text}"
    );
    let itself = authority.issue("itself", &["127.0.0.1"]);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&itself.certificate, made.cert.pem()).unwrap();
    std::fs::write(&itself.private_key, made.signing_key.serialize_pem()).unwrap();
    let told = doctor(&secure(&itself, &closed, ""));
    assert_eq!(
        told.line("tls", "self-signed: only remote parties that have this certificate itself trust it").0,
        "warn"
    );
    let told = doctor(&secure(&ending, &closed, ""));
    assert_eq!(told.line("tls", "days left").0, "warn");
    let told = doctor(&secure(&over, &closed, ""));
    assert_eq!((told.line("tls", "expired on 2020").0, told.code), ("fail", Some(1)));
    // Without the edge's certificate, no probe is sent, and the report blames neither peer nor firewall.
    let gone = authority.issue("gone", &["127.0.0.1"]);
    std::fs::remove_file(&gone.certificate).unwrap();
    let told = doctor(&secure(&gone, &closed, ""));
    told.line("options pbx", "not examined: the certificate of our listener s cannot be used");
    let options = told.lines.iter().find(|line| line["name"] == "options pbx").unwrap();
    let fix = options["fix"].as_str().unwrap();
    assert!(fix.starts_with("correct `certificate` and `private_key` of [[listen]] s"), "{fix}");

    let server = Server::new("127.0.0.1", &ending, None);
    let peer = server.address.to_string();
    let serve = std::thread::spawn(move || {
        assert!(server.accept().is_err(), "its certificate is not believed");
        let mut line = server.accept().unwrap();
        let options = line.receive("OPTIONS");
        let answer = line.answer(&options, "200 OK", false);
        // The response arrives in two segments, after a keep-alive.
        line.send(&format!("\r\n\r\n{}", &answer[..5]));
        line.send(&answer[5..]);
        // Wait until the other side closes the connection.
        let _ = line.try_receive("nothing more");
    });
    let told = doctor(&secure(&long, &peer, ""));
    assert_eq!((told.line("options pbx", "TLS failed").0, told.code), ("fail", Some(1)));
    let told = doctor(&secure(&long, &peer, &format!("tls = {{ ca = {:?} }}", authority.file)));
    serve.join().unwrap();
    assert_eq!((told.line("options pbx", "200 OK after").0, told.code), ("warn", Some(0)));
    assert!(told.line("options pbx", "its certificate").1.contains("days left"));
}

#[test]
fn a_name_that_a_trunk_is_shown_is_compared_with_dns_and_certificates() {
    let (names, folder) = (NameServer::start(), tempfile::tempdir().unwrap());
    let (variable, value) = names.variable();
    let authority = Authority::new(folder.path(), "authority");
    let right = authority.issue("right", &["sbc.test"]);
    let other = authority.issue("other", &["else.test"]);
    let over = authority.issue_until("over", &["sbc.test"], (2020, 1, 1));
    let closed = Party::new("127.0.0.6").address.to_string();
    let told = |pair: &crate::support::tls::Pair, keys: &str, address: &str| {
        names.addresses("sbc.test", 0, &[address]);
        let text = secure(pair, &closed, &format!("contact_host = \"sbc.test\"\n{keys}"));
        let public = "name = \"under-test\"\npublic_address = \"203.0.113.10\"\n";
        doctor_with(&text.replace("name = \"under-test\"\n", public), &[(variable, &value)])
    };
    let well = told(&right, &format!("tls = {{ {} }}\n", right.keys(", ")), "203.0.113.10");
    assert_eq!(well.line("dns", "contact_host of pbx: sbc.test → 203.0.113.10, the public address").0, "ok");
    for owner in ["listener s", "trunk pbx"] {
        let text = format!("contact_host of pbx: sbc.test is a name of the certificate of {owner}: until 2099-01-01");
        assert_eq!(well.line("tls", &text).0, "ok");
    }
    let wrong = told(&other, &format!("tls = {{ {} }}\n", other.keys(", ")), "192.0.2.9");
    assert_eq!(
        (wrong.line("dns", "sbc.test → 192.0.2.9, but `public_address` is 203.0.113.10").0, wrong.code),
        ("fail", Some(1))
    );
    for owner in ["listener s", "trunk pbx"] {
        assert_eq!(
            wrong.line("tls", &format!("no certificate of {owner} is valid for sbc.test; its names: else.test")).0,
            "fail"
        );
    }
    let ended = told(&over, "", "203.0.113.10");
    assert_eq!(ended.line("tls", "sbc.test is a name of the certificate of listener s expired on 2020").0, "fail");
    names.set_mood(Mood::Fails);
    assert_eq!(told(&right, "", "203.0.113.10").line("dns", "contact_host of pbx: ").0, "fail");
}

#[test]
fn ports_that_are_taken_are_told() {
    let peer = answers("200 OK");
    let text = trunk(&format!("sip:{}", peer.address));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let busy = text.replacen(
        "transport = \"tcp\"\naddress = \"127.0.0.1:0\"",
        &format!("transport = \"tcp\"\naddress = \"{address}\""),
        1,
    );
    let told = doctor(&busy);
    assert_eq!((told.line("ports", &address.to_string()).0, told.code), ("fail", Some(1)));
    // A bot that speaks HTTP on the edge's port is not an edge.
    let bot = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = bot.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut tcp in bot.incoming().map_while(Result::ok) {
            let _ = std::io::Read::read(&mut tcp, &mut [0; 4_096]);
            let answer =
                "HTTP/1.1 404 Not Found\r\nContent-Length: 22\r\nConnection: close\r\n\r\n{\"detail\":\"Not Found\"}";
            let _ = std::io::Write::write_all(&mut tcp, answer.as_bytes());
        }
    });
    let theirs = text.replacen("[http]\naddress = \"127.0.0.1:0\"", &format!("[http]\naddress = \"{address}\""), 1);
    assert_ne!(theirs, text);
    let told = doctor(&theirs);
    assert_eq!((told.line("ports", "not as a Trunkgate edge does").0, told.code), ("fail", Some(1)));
    let status = trunkgate(&["status", "--url", &format!("http://{address}")]).output().unwrap();
    let words = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(
        words.contains(&format!("http://{address} answered 404 Not Found, but not as a Trunkgate edge does")),
        "{words}"
    );
    // Four media ports, of which the first is occupied.
    let media = (20_000..30_000).step_by(4).find_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok()).unwrap();
    let first = media.local_addr().unwrap().port();
    let few = media_ports::replaced(&text, first, first + 3);
    let told = doctor(&few);
    assert_eq!((told.line("media ports", &first.to_string()).0, told.code), ("warn", Some(0)));
}

#[test]
fn what_the_machine_allows_is_told() {
    let peer = answers("200 OK");
    let text = trunk(&format!("sip:{}", peer.address));
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let low: u32 = range.split_whitespace().next().unwrap().parse().unwrap();
    let first = low.next_multiple_of(4);
    let within = media_ports::replaced(&text, u16::try_from(first).unwrap(), u16::try_from(first).unwrap() + 3);
    let told = doctor(&within);
    assert_eq!((told.level("ephemeral range"), told.level("config"), told.code), ("warn", "warn", Some(0)));
    // Calls come from outside, and the edge has only an inside address to show.
    let outside = text.replace("peers =", "accept_from = [\"198.51.100.0/24\"]\npeers =");
    // Any address of this machine counts as inside.
    let all_but_198 = "local_networks = [\"0.0.0.0/1\", \"128.0.0.0/2\", \"192.0.0.0/6\", \"196.0.0.0/7\", \"199.0.0.0/8\", \"200.0.0.0/5\", \"208.0.0.0/4\"]";
    let outside = outside.replace("name = \"under-test\"", &format!("name = \"under-test\"\n{all_but_198}"));
    assert_eq!(doctor(&outside).level("public address"), "warn");
    let written = outside.replace("name = \"under-test\"", "name = \"under-test\"\npublic_address = \"203.0.113.10\"");
    assert_eq!(doctor(&written).line("public address", "203.0.113.10").0, "ok");

    let (_directory, file) = write(&text);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 512; exec \"$0\" --config \"$1\" doctor --json", env!("CARGO_BIN_EXE_trunkgate")]);
    let told = Told::of(&command.arg(&file).output().unwrap());
    assert_eq!((told.line("open files", "limit 512").0, told.code), ("warn", Some(0)));
}

#[test]
fn an_agent_whose_socket_does_not_open_fails() {
    let peer = answers("200 OK");
    let closed = closed_address();
    let text = format!("{}[agent.bot]\nurl = \"ws://{closed}/\"\n", trunk(&format!("sip:{}", peer.address)));
    let told = doctor(&text);
    assert_eq!((told.level("agent bot"), told.code), ("fail", Some(1)));
}

/// Returns the configuration with remote parties on loopback counted as outside.
fn from_outside(text: &str) -> String {
    text.replace("name = \"under-test\"", "name = \"under-test\"\nlocal_networks = [\"10.0.0.0/8\"]")
}

#[test]
fn an_address_that_peers_see_otherwise_fails_with_the_key_to_set() {
    let seen_at = |port: fn(u16) -> u16| {
        answers_with(move |answer, from| {
            answer.replacen(";rport", &format!(";received=203.0.113.10;rport={}", port(from.port())), 1)
        })
    };
    let nat = seen_at(|port| port);
    let text = from_outside(&trunk(&format!("sip:{}", nat.address)));
    let told = doctor(&text);
    let found = told.line("public address", "pbx sees us at 203.0.113.10, but would get 127.0.0.1");
    assert_eq!((found.0, told.code), ("fail", Some(1)));
    let fix = told.lines.iter().find(|line| line["name"] == "public address").unwrap()["fix"].as_str().unwrap();
    assert_eq!(fix, "[edge] public_address = \"203.0.113.10\"");
    // The suggested fix works.
    let mended = text.replacen("name = \"under-test\"", "name = \"under-test\"\npublic_address = \"203.0.113.10\"", 1);
    let told = doctor(&mended);
    let found = told.line("public address", "203.0.113.10, as written, as pbx sees us, behind NAT");
    assert_eq!((found.0, told.code), ("ok", Some(0)));
    let stale = mended.replace("203.0.113.10", "203.0.113.9");
    assert_eq!(doctor(&stale).line("public address", "would get 203.0.113.9").0, "fail");

    let moves = seen_at(|port| port ^ 1);
    let told = doctor(&mended.replace(&nat.address.to_string(), &moves.address.to_string()));
    assert_eq!(told.line("public address", "NAT changes port numbers").0, "warn");
}

#[test]
fn rewriting_between_us_and_a_peer_is_told() {
    let clean = answers("200 OK");
    let told = doctor(&trunk(&format!("sip:{}", clean.address)));
    assert_eq!(told.line("sip alg", "no modification detected between us and pbx").0, "ok");
    // Such a router replaces the edge's address everywhere.
    let router = answers_with(|answer, from| answer.replace(&from.to_string(), "198.51.100.1:1024"));
    let told = doctor(&trunk(&format!("sip:{}", router.address)));
    let (level, text) = told.line("sip alg", "SIP is modified between us and pbx");
    assert!(level == "warn" && told.code == Some(0), "{text}");
    for what in ["Via 127.0.0.1:", "From sip:127.0.0.1:", "Call-ID doctor", "→ 198.51.100.1:1024"] {
        assert!(text.contains(what), "{what} in {text}");
    }
}

#[test]
fn the_clock_is_told_as_well_as_it_is_known() {
    let peer = answers("200 OK");
    let text = trunk(&format!("sip:{}", peer.address));
    let with_programs = |text: &str, programs: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, prints) in programs {
            let file = folder.path().join(name);
            std::fs::write(&file, format!("#!/bin/sh\necho '{prints}'\n")).unwrap();
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        doctor_with(text, &[("PATH", folder.path().to_str().unwrap())])
    };
    let tracking = "C0A80101,a,3,1795208400.1,-0.000012,0,0,1.2,0,0,0.012,0.0005,64.2,";
    let normal = format!("{tracking}Normal");
    let told = with_programs(&text, &[("chronyc", &normal)]);
    assert_eq!(told.line("clock", "synchronized, maximum error 7 ms").0, "ok");
    let told = with_programs(&text, &[("chronyc", &format!("{tracking}Not synchronised"))]);
    assert_eq!(told.line("clock", "not synchronized").0, "warn");
    assert_eq!(with_programs(&text, &[("timedatectl", "yes")]).line("clock", "synchronized").0, "ok");
    assert_eq!(with_programs(&text, &[("timedatectl", "no")]).line("clock", "not synchronized").0, "warn");

    let late = answers_with(|answer, _| {
        let late = Timestamp::now() - SignedDuration::from_mins(210);
        let date = late.strftime("%a, %d %b %Y %H:%M:%S GMT");
        answer.replacen("CSeq: ", &format!("Date: {date}\r\nCSeq: "), 1)
    });
    let text = trunk(&format!("sip:{}", late.address));
    let told = with_programs(&text, &[("chronyc", &normal)]);
    assert_eq!(told.line("clock", "the one of pbx is 3 h behind ours").0, "warn");
    assert_eq!(told.code, Some(0));
}

#[test]
fn lines_are_chosen_and_each_is_printed_as_it_is_there() {
    let (fast, silent) = (answers("200 OK"), Party::new("127.0.0.6"));
    let text = config(&format!(
        "[trunk.slow]\npeers = [\"sip:{}\"]\n[trunk.fast]\npeers = [\"sip:{}\"]\n[[route]]\nconnect = [\"trunk:fast\"]\n",
        silent.address, fast.address
    ));
    let (_directory, file) = write(&text);
    let run = |arguments: &[&str]| {
        let output = finish(&[&["--config", file.to_str().unwrap(), "doctor"], arguments].concat());
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    let (out, code) = run(&["--json-line"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = |name: &str| lines.iter().position(|line| line["name"] == name).unwrap_or_else(|| panic!("{name}: {out}"));
    assert!(at("config") < at("options fast") && at("options fast") < at("options slow"), "{out}");
    assert!(at("options slow") < at("sip alg"), "{out}");
    assert_eq!((lines[at("options slow")]["level"].as_str(), code), (Some("fail"), Some(1)));

    let (out, code) = run(&["--only", "media", "--only", "options fast"]);
    let names: Vec<&str> = out.lines().filter(|line| line.len() > 8 && !line.starts_with("   ")).collect();
    assert!(out.contains("media ports") && out.contains("options fast") && out.contains("inbound udp"), "{out}");
    assert!(!out.contains("options slow") && !out.contains("config ") && code == Some(0), "{out} {names:?}");
    let inbound = out.lines().find(|line| line.contains("  inbound udp  ")).unwrap();
    assert!(inbound.chars().count() > 80, "whole for grep, as this is a pipe: {out}");
    let output = finish(&["--config", file.to_str().unwrap(), "doctor", "--only", "medium"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("unknown check, did you mean `media`?\n  checks: `config`, `running edge`, `ports`")
    );
}

/// The file has become invalid, and the edge still runs with the previous one.
#[test]
fn a_broken_file_ends_nothing_and_the_running_edge_is_asked_all_the_same() {
    let callee = Phone::new("127.0.0.42");
    let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = config(&format!("{}[[route]]\nconnect = [\"trunk:b\"]\n", callee.trunk("b")))
        .replace("[http]\naddress = \"127.0.0.1:0\"", &format!("[http]\naddress = \"{http}\""))
        .replacen("address = \"127.0.0.1:0\"", &format!("address = \"{listen}\""), 1);
    let edge = Process::start(&text);
    let told = || Told::of(&finish(&["--config", edge.file.to_str().unwrap(), "doctor", "--json"]));
    let well = told();
    assert_eq!(well.line("running edge", "under-test runs and takes calls, 0 live calls").0, "ok");
    std::fs::write(&edge.file, text + "[limits]\ncals = 1\n").unwrap();
    assert_eq!(edge.ask("POST", "/v1/reload", "").0, 422);
    let told = told();
    let (level, line) = told.line("config", "A start or restart fails");
    assert!(level == "fail" && line.contains("`cals`") && line.contains(".toml:"), "{line}");
    let (level, line) = told.line("running edge", "the configuration file is rejected: a restart would fail");
    assert!(level == "fail" && line.contains("`cals`"), "{line}");
    assert_eq!(told.line("ports", "in use by a running edge").0, "ok");
    assert!(told.lines.iter().any(|line| line["name"] == "options b"), "peers are asked: {:#?}", told.lines);
    assert_eq!(told.code, Some(2));
}

#[test]
fn what_a_mistake_leaves_out_is_named_and_blames_no_peer() {
    let text = "[[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"udp\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
                transport = \"tls\"\ncertifcate = \"edge.pem\"\n[trunk.alpha]\npeers = [\"sips:127.0.0.99:5061\"]\n\
                [trunk.beta]\npeers = 1\n[agent.bot]\nurl = 7\n";
    let told = doctor(text);
    let (level, line) = told.line("options alpha", "not examined");
    assert!(level == "warn" && !line.contains("firewall"), "{line}");
    assert_eq!(told.line("options beta", "not examined: [trunk.beta] has a mistake").0, "warn");
    assert_eq!(told.line("agent bot", "not examined: [agent.bot] has a mistake").0, "warn");
}

#[test]
fn a_file_that_is_no_toml_and_one_without_sense_are_looked_at_without_harm() {
    for text in [
        "[[[",
        "[edge\nname = ",
        "[media]\nports = 7\nthreads = \"x\"\n[[listen]]\ntransport = \"carrier pigeon\"\n[agent.b]\n[trunk.x]\npeers = 1\n",
        "[[route]]\nconnect = [\"trunk:nowhere\", \"agent:nobody\", \"app:none\", \"play:gone.wav\"]\n[http]\naddress = \"x\"\n",
    ] {
        let told = doctor(text);
        assert_eq!((told.line("config", "A start or restart fails").0, told.code), ("fail", Some(2)), "{text}");
        assert!(told.lines.len() > 5, "{:#?}", told.lines);
    }
}

#[test]
fn what_comes_in_unasked_is_told_by_the_running_edges_calls_alone() {
    let (caller, callee) = (Phone::new("127.0.0.41"), Phone::new("127.0.0.42"));
    let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rest = format!("{}{}[[route]]\nconnect = [\"trunk:b\"]\n", caller.trunk("a"), callee.trunk("b"));
    let text = from_outside(&config(&rest))
        .replace("[http]\naddress = \"127.0.0.1:0\"", &format!("[http]\naddress = \"{http}\""));
    let edge = Process::start(&text);
    let inbound = || {
        let file = edge.file.to_str().unwrap();
        Told::of(&finish(&["--config", file, "doctor", "--json", "--only", "inbound udp"]))
    };
    assert_eq!(inbound().line("inbound udp", "cannot be tested from here: only a remote party can send").0, "warn");
    let call = Call::set_up(&edge, "heard", &caller, &callee);
    for (from, to, at) in [(&caller, &callee, call.near), (&callee, &caller, call.far)] {
        from.rtp.send_to(&rtp(1, 1), at).unwrap();
        received(&to.rtp);
    }
    // The report is the same during the call and after it.
    let live = until("both are heard", || {
        let told = inbound();
        told.lines[0]["text"]
            .as_str()
            .unwrap()
            .contains("audio received from 2 sides in 1 answered call")
            .then_some(told)
    });
    assert_eq!(live.level("inbound udp"), "ok");
    call.hang_up(2, &caller, &callee);
    until("the call has ended", || (edge.metric("trunkgate_rtp_jitter_seconds_count") == 2.0).then_some(()));
    assert_eq!(inbound().line("inbound udp", "audio received from 2 sides in 1 answered call").0, "ok");
    // In this call, the callee sends from an unexpected address.
    let call = Call::set_up(&edge, "unheard", &caller, &callee);
    caller.rtp.send_to(&rtp(1, 1), call.near).unwrap();
    UdpSocket::bind("127.0.0.43:0").unwrap().send_to(&rtp(1, 1), call.far).unwrap();
    until("the problem is reported", || {
        edge.get("/metrics").1.contains("media_one_way_total{trunk=\"b\"").then_some(())
    });
    let told = inbound();
    let (level, text) = told.line("inbound udp", "a party sent no media in 1 of 2 answered calls, on trunk b");
    assert!(
        level == "warn"
            && text.contains("; the last of b: 1 packet came from another address, the last from 127.0.0.43:"),
        "{text}"
    );
    let fix = told.lines[0]["fix"].as_str().unwrap();
    assert!(fix.starts_with("set `media_from = [\"127.0.0.43/32\"]` in [trunk.b]"), "{fix}");
}

#[test]
fn a_trunk_that_no_phone_has_registered_with_is_told() {
    let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let phones = "[trunk.ben]\naccept_register = true\nrequire_auth = { username = \"ben\", password = \"right\" }\n";
    let text = config(phones).replace("[http]\naddress = \"127.0.0.1:0\"", &format!("[http]\naddress = \"{http}\""));
    let edge = Process::start(&text);
    let file = edge.file.to_str().unwrap();
    for only in ["options", "options ben"] {
        let told = Told::of(&finish(&["--config", file, "doctor", "--json", "--only", only]));
        assert_eq!((told.line("options ben", "no phone is registered").0, told.code), ("warn", Some(0)));
    }
}

#[test]
fn what_cannot_be_read_is_a_line_and_the_rest_goes_on() {
    let peer = answers("200 OK");
    let text = trunk(&format!("sip:{}", peer.address))
        + "[trunk.carrier]\npeers = [\"sip:127.0.0.9:9\"]\noptions_interval = \"0s\"\n\
           auth = { username = \"u\", password = { file = \"/nonexistent/credential\" } }\n\
           [[listen]]\nname = \"s\"\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n\
           certificate = \"/nonexistent/edge.pem\"\nprivate_key = \"/nonexistent/edge.key\"\n";
    let told = doctor(&text);
    assert_eq!(told.line("config", "TG0110").0, "fail");
    assert_eq!(told.line("tls", "TG0114: `certificate`: /nonexistent/edge.pem").0, "fail");
    assert_eq!((told.level("options pbx"), told.code), ("ok", Some(1)));
    let (_directory, file) = write(&text);
    let output = finish(&["--config", file.to_str().unwrap(), "doctor", "--only", "tls"]);
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && page.contains("edge.pem") && !page.contains("config"), "{page}");
    // An error in the file itself is always shown.
    let (_directory, file) = write(&(text + "[trunk.teams]\npreset = \"microsoft-teams\"\n"));
    let told = Told::of(&finish(&["--config", file.to_str().unwrap(), "doctor", "--json", "--only", "tls"]));
    assert_eq!((told.line("config", "requires `contact_host`").0, told.code), ("fail", Some(2)));
}

#[test]
fn a_file_in_which_nothing_can_be_read_is_a_finding_and_the_running_edge_is_asked() {
    let edge = Process::start(&config(""));
    let drained = finish(&["drain", "--url", &edge.url()]);
    assert!(drained.status.success());
    let address = edge.address("http");
    let folder = tempfile::tempdir().unwrap();
    let asked = |text: Option<&str>, flags: &[&str]| {
        let file = folder.path().join("trunkgate.toml");
        match text {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => drop(std::fs::remove_file(&file)),
        }
        let file = file.to_str().unwrap().to_owned();
        Told::of(&finish(
            &[&["--config", &file, "doctor", "--only", "config", "--only", "running edge", "--json"], flags].concat(),
        ))
    };
    let url = edge.url();
    for text in [None, Some(""), Some("[http\naddress = 5\n"), Some("= = =\n")] {
        let told = asked(text, &["--url", &url]);
        assert_eq!((told.code, told.level("config")), (Some(2), "fail"));
        assert_eq!(told.line("running edge", "draining").0, "fail", "{text:?}");
    }
    // A bracket is not closed, in the very table with the address.
    let told = asked(Some(&format!("[http\naddress = \"{address}\"\n")), &[]);
    assert_eq!((told.level("config"), told.line("running edge", "draining").0), ("fail", "fail"));
    let told = asked(Some("[http]\naddress = \"127.0.0.1:0\nx = [\n"), &["--url", "http://127.0.0.1:1"]);
    assert_eq!(told.line("running edge", "none at http://127.0.0.1:1").0, "fail");
}
