//! Call records sent to a URL: each is delivered and signed, despite failures of the endpoint and kills of the process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use crate::support::calls::{Call, NUMBER, Phone};
use crate::support::endpoint::{Endpoint, ok, say};
use crate::support::sip::to_tag;
use crate::support::tls::{Authority, Server};
use crate::support::{Process, config, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nix::sys::signal::Signal;
use serde_json::Value;
use sha2::Sha256;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn phones() -> (Phone, Phone) {
    (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"))
}

/// Returns a configuration that routes calls of one trunk to [`NUMBER`] to the other trunk; other calls have no route.
fn sending(caller: &Phone, callee: &Phone, cdr: &str) -> String {
    let (carrier, pbx) = (caller.trunk("carrier"), callee.trunk("pbx"));
    config(&format!(
        "{carrier}{pbx}[[route]]\nfrom = [\"carrier\"]\nto = [\"{NUMBER}\"]\nconnect = [\"trunk:pbx\"]\n\
         [cdr]\nsecret = \"{SECRET}\"\n{cdr}\n"
    ))
}

/// Makes a call for which there is no route.
fn refused(edge: &Process, caller: &Phone, id: &str) {
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request("INVITE", "+12125550199", sip, id, 1, ""));
    let (answer, _) = caller.sip.receive("SIP/2.0 404");
    caller.sip.send(sip, &caller.sip.request("ACK", "+12125550199", sip, id, 1, to_tag(&answer)));
}

fn waiting(edge: &Process) -> f64 {
    edge.metric("trunkgate_cdr_waiting{sink=\"url\"}")
}

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn sid(json: &str) -> String {
    serde_json::from_str::<Value>(json).unwrap()["sid"].as_str().unwrap().to_owned()
}

#[test]
fn each_record_is_posted_signed_as_it_stands_in_the_file() {
    let (caller, callee) = phones();
    let endpoint = Endpoint::taking();
    let url = format!("http://{}/calls?key=hush", endpoint.address);
    let edge = Process::start(&sending(
        &caller,
        &callee,
        &format!("file = \"cdr.jsonl\"\nurl = \"{url}\"\ntoken = \"bearer-word\""),
    ));
    let call = Call::set_up(&edge, "posted", &caller, &callee);
    call.hang_up(2, &caller, &callee);
    refused(&edge, &caller, "refused");
    until("both are posted", || (endpoint.posts().len() == 2).then_some(()));
    let file = edge.file.with_file_name("cdr.jsonl");
    let written: BTreeSet<String> = lines(&file).into_iter().collect();
    let posts = endpoint.posts();
    assert_eq!(posts.iter().map(|post| post.body.clone()).collect::<BTreeSet<_>>(), written);
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
    for post in &posts {
        let header = |name: &str| post.headers[name].as_str();
        assert_eq!((post.line.as_str(), header("content-type")), ("POST /calls?key=hush HTTP/1.1", "application/json"));
        assert_eq!((header("webhook-id"), header("authorization")), (sid(&post.body).as_str(), "Bearer bearer-word"));
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), post.body).as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(header("webhook-signature"), format!("v1,{signature}"));
    }
    until("nothing waits", || (waiting(&edge) == 0.0).then_some(()));
    assert_eq!(edge.metric("trunkgate_cdr_failures_total{sink=\"url\"}"), 0.0);
    // The store receives the outcomes shortly after the queue; an edge that stops waits for that.
    let directory = std::sync::Arc::clone(&edge.directory);
    edge.signal(Signal::SIGTERM);
    edge.end();
    let store = rusqlite::Connection::open(directory.path().join("trunkgate.db")).unwrap();
    let left: u32 = store.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "nothing is left in the store");
}

/// A redirect, then a response that is cut off, then success: the record is delivered once, and to no other host.
#[test]
fn what_is_not_taken_is_sent_again_and_redirections_lead_nowhere() {
    let (caller, callee) = phones();
    let elsewhere = Endpoint::taking();
    let location = format!("Location: http://{}/\r\n", elsewhere.address);
    let endpoint = Endpoint::doing(move |number, stream| match number {
        0 => say(stream, "307 Temporary Redirect", &location),
        1 => false,
        _ => ok(stream),
    });
    let url = format!("http://{}/?key=hush", endpoint.address);
    let edge = Process::start(&sending(&caller, &callee, &format!("file = \"cdr.jsonl\"\nurl = \"{url}\"")));
    refused(&edge, &caller, "one");
    let problem = until("status tells", || {
        let problems = edge.json("/v1/status")["problems"].to_string();
        problems.contains("call records are not delivered to the URL: ").then_some(problems)
    });
    assert!(problem.contains("307") || problem.contains("HTTP"), "{problem}");
    until("it is posted three times", || (endpoint.posts().len() == 3).then_some(()));
    until("nothing waits", || (waiting(&edge) == 0.0).then_some(()));
    let posts = endpoint.posts();
    assert!(posts.iter().all(|post| post.headers["webhook-id"] == posts[0].headers["webhook-id"]));
    assert!(elsewhere.posts().is_empty());
    // A kept-alive connection may be closed, which is no failure.
    let failures = edge.metric("trunkgate_cdr_failures_total{sink=\"url\"}");
    assert!((1.0..=2.0).contains(&failures), "{failures}");
    until("status is content", || (edge.json("/v1/status")["problems"] == Value::Array(vec![])).then_some(()));
    let log = edge.whole_log();
    assert!(log.contains("call records are not delivered") && log.contains("delivered again"), "{log}");
    assert!(!log.contains("hush") && !log.contains("whsec_"), "{log}");
}

#[test]
fn what_waits_survives_sigkill_and_is_sent_once_the_endpoint_is_there() {
    survives_sigkill(true);
}

/// Without a file, the journal is stored next to the database.
#[test]
fn what_waits_survives_sigkill_also_without_a_file() {
    survives_sigkill(false);
}

fn survives_sigkill(with_file: bool) {
    let (caller, callee) = phones();
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (file, store) = (directory.path().join("cdr.jsonl"), directory.path().join("store"));
    let file = if with_file { format!("file = {file:?}\n") } else { String::new() };
    let configuration = sending(&caller, &callee, &format!("{file}url = \"http://{address}/\"\n"))
        .replace("[edge]\n", &format!("[edge]\ndata_directory = {store:?}\n"));
    let mut begun = BTreeSet::new();
    for round in 0..3_u32 {
        let edge = Process::start(&configuration);
        let ids = (0..5).map(|n| format!("refused-{round}-{n}"));
        begun.extend(ids.inspect(|id| refused(&edge, &caller, id)));
        let id = format!("up-{round}");
        Call::set_up(&edge, &id, &caller, &callee);
        begun.insert(id);
        let all = f64::from(5 * (round + 1) + round);
        until("they wait", || (waiting(&edge) == all).then_some(()));
    }
    let endpoint = Endpoint::on(TcpListener::bind(address).unwrap(), |_, stream| ok(stream));
    let edge = Process::start(&configuration);
    until("all are sent", || (endpoint.posts().len() >= begun.len() && waiting(&edge) == 0.0).then_some(()));
    let call = |json: &str| serde_json::from_str::<Value>(json).unwrap()["legs"][0]["sip_call_id"].to_string();
    let sent: BTreeSet<String> = endpoint.posts().iter().map(|post| call(&post.body).replace('"', "")).collect();
    assert_eq!(sent, begun);
}

#[test]
fn an_endpoint_that_never_ends_its_answer_keeps_nobody_waiting() {
    let (caller, callee) = phones();
    let endpoint = Endpoint::doing(|_, stream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n";
        let mut written = stream.write_all(head);
        while written.is_ok() {
            written = stream.write_all(&[b'x'; 65_536]);
        }
        false
    });
    let url = format!("url = \"http://{}/\"", endpoint.address);
    let edge = Process::start(&sending(&caller, &callee, &url));
    let before = edge.memory_kib();
    for n in 0..20 {
        refused(&edge, &caller, &format!("call-{n}"));
    }
    until("nothing waits", || (endpoint.posts().len() == 20 && waiting(&edge) == 0.0).then_some(()));
    assert_eq!(edge.metric("trunkgate_cdr_failures_total{sink=\"url\"}"), 0.0);
    let after = edge.memory_kib();
    assert!(after < before + 20_000, "{before} KiB, then {after}");
}

#[test]
fn a_configuration_that_is_named_without_its_directory_has_the_store_beside_it() {
    let (caller, callee) = phones();
    let endpoint = Endpoint::taking();
    let edge = Process::start_beside_it(&sending(&caller, &callee, &format!("url = \"http://{}/\"", endpoint.address)));
    refused(&edge, &caller, "one");
    until("it is posted", || (endpoint.posts().len() == 1).then_some(()));
    assert!(edge.directory.path().join("trunkgate.db").exists());
}

#[test]
fn an_endpoint_that_does_not_answer_in_time_is_asked_again() {
    let (caller, callee) = phones();
    let endpoint = Endpoint::doing(|number, stream| match number {
        // The connection stays open until the edge has given up.
        0 => stream.read(&mut [0; 1]).is_ok_and(|length| length > 0),
        _ => ok(stream),
    });
    let edge = Process::start(&sending(
        &caller,
        &callee,
        &format!("url = \"http://{}/\"\ntimeout = \"500ms\"", endpoint.address),
    ));
    refused(&edge, &caller, "one");
    until("the problem is reported", || edge.log().contains("no answer within 0.5 s").then_some(()));
    until("it is taken", || (endpoint.posts().len() == 2 && waiting(&edge) == 0.0).then_some(()));
}

#[test]
fn after_410_nothing_is_sent_until_the_next_reload() {
    let (caller, callee) = phones();
    let endpoint = Endpoint::doing(|number, stream| if number == 0 { say(stream, "410 Gone", "") } else { ok(stream) });
    let edge = Process::start(&sending(&caller, &callee, &format!("url = \"http://{}/\"", endpoint.address)));
    refused(&edge, &caller, "one");
    until("status tells", || edge.json("/v1/status")["problems"].to_string().contains("410 Gone").then_some(()));
    refused(&edge, &caller, "two");
    until("both wait", || (waiting(&edge) == 2.0).then_some(()));
    assert_eq!(endpoint.posts().len(), 1);
    edge.signal(Signal::SIGHUP);
    until("both are taken", || (endpoint.posts().len() == 3 && waiting(&edge) == 0.0).then_some(()));
}

#[test]
fn a_reload_sends_what_waits_to_another_url() {
    let (caller, callee) = phones();
    let endpoint = Endpoint::taking();
    let nobody = "http://127.0.0.1:9/";
    let before = sending(&caller, &callee, &format!("url = \"{nobody}\""));
    let edge = Process::start(&before);
    refused(&edge, &caller, "one");
    until("it waits", || (waiting(&edge) == 1.0).then_some(()));
    let after = before.replace(nobody, &format!("http://{}/", endpoint.address));
    std::fs::write(&edge.file, after).unwrap();
    edge.signal(Signal::SIGHUP);
    until("it is taken", || (endpoint.posts().len() == 1 && waiting(&edge) == 0.0).then_some(()));
}

#[test]
fn records_go_only_to_an_endpoint_with_a_trusted_certificate() {
    let (caller, callee) = phones();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let other = Authority::new(folder.path(), "other");
    let pair = authority.issue("endpoint", &["127.0.0.1"]);
    let server = Server::new("127.0.0.1", &pair, None);
    let address = server.address;
    let (heard, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        loop {
            let Ok(mut line) = server.accept() else { continue };
            if let Ok(request) = line.read_some() {
                let _ = heard.send(request);
                let _ = line.try_send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            }
        }
    });
    let with = |ca: &Path| sending(&caller, &callee, &format!("url = \"https://{address}/\"\nca = {ca:?}"));
    let edge = Process::start(&with(&other.file));
    refused(&edge, &caller, "one");
    until("status tells", || edge.json("/v1/status")["problems"].to_string().contains("TLS: ").then_some(()));
    assert!(hears.try_recv().is_err(), "nothing was said");
    std::fs::write(&edge.file, with(&authority.file)).unwrap();
    edge.signal(Signal::SIGHUP);
    let request = hears.recv_timeout(crate::support::PATIENCE).unwrap();
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    until("nothing waits", || (waiting(&edge) == 0.0).then_some(()));
}
