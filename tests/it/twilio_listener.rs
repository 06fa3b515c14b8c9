//! `[api] tls` through the real binary: access for clients with a hosts entry that leads to the edge, `trunkgate twilio
//! hosts` and `trunkgate twilio trust`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::tls::tcp;
use crate::support::{http, trunkgate, until};
use crate::twilio_api::{Rig, SID, TOKEN};
use crate::twilio_proxy::{answer, basic, ca, request, secure};

const LISTENER: &str = "tls = \"127.0.0.1:0\"\n";

fn connect(rig: &Rig) -> TcpStream {
    tcp("127.0.0.1", rig.edge.address("api")).unwrap()
}

#[test]
fn a_client_that_a_hosts_entry_leads_here_reaches_the_api_and_nothing_else() {
    let rig = Rig::new(LISTENER);
    let (pem, by) = (ca(&rig), basic("Authorization", TOKEN));
    for host in ["api.twilio.com", "api.ie1.twilio.com", "api.dublin.ie1.twilio.com"] {
        let mut stream = secure(connect(&rig), &pem, host).unwrap();
        let (status, account) = request(&mut stream, "GET", &format!("/2010-04-01/Accounts/{SID}.json"), &by, "");
        assert_eq!((status, account["sid"].as_str()), (200, Some(SID)), "{host}");
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/healthz"),
            ("GET", "/metrics"),
            ("GET", "/console"),
            ("GET", "/v1/status"),
            ("GET", "/v1/twilio/ca"),
            ("POST", "/v1/drain"),
            ("POST", "/sms/inbound"),
            ("GET", "/2010-04-01/../v1/status"),
            ("GET", "https://example.com/v1/status"),
            ("CONNECT", "api.twilio.com:443"),
        ] {
            let (status, error) = request(&mut stream, method, path, &by, "");
            assert_eq!((status, error["code"].as_u64()), (404, Some(20_404)), "{method} {path}: {error}");
        }
        let (status, error) = request(&mut stream, "GET", &format!("/2010-04-01/Accounts/{SID}.json"), "", "");
        assert_eq!((status, error["code"].as_u64()), (401, Some(20_003)));
    }
    assert!(!rig.edge.whole_log().contains(TOKEN));
}

#[test]
fn other_names_and_requests_in_clear_get_no_answer() {
    let rig = Rig::new(LISTENER);
    let pem = ca(&rig);
    for host in ["verify.twilio.com", "twilio.com", "api.twilio.com.example.com", "example.com", "localhost"] {
        let error = secure(connect(&rig), &pem, host).unwrap_err();
        assert!(error.to_string().contains("fatal alert"), "{host}: {error}");
    }
    let mut stream = connect(&rig);
    write!(stream, "GET /v1/status HTTP/1.1\r\nHost: api.twilio.com\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&bytes));
}

#[test]
fn half_handshakes_keep_no_client_out() {
    let rig = Rig::new(LISTENER);
    let pem = ca(&rig);
    let half: Vec<TcpStream> = (0..trunkgate_system::limits::HTTP_CONNECTIONS + 20)
        .map(|_| {
            let mut stream = connect(&rig);
            let _ = stream.write_all(&[22, 3, 1, 2, 0]);
            stream
        })
        .collect();
    assert_eq!(rig.edge.get("/healthz").0, 200);
    secure(connect(&rig), &pem, "api.twilio.com").unwrap();
    drop(half);
}

#[test]
fn a_client_without_the_ca_is_logged_with_what_to_do() {
    let (rig, other) = (Rig::new(LISTENER), Rig::new(LISTENER));
    secure(connect(&rig), &ca(&other), "api.twilio.com").unwrap_err();
    let line = until("the client is logged", || {
        rig.edge.log().lines().find(|line| line.contains("does not trust the CA")).map(str::to_owned)
    });
    assert!(line.contains("client 127.0.0.1") && line.contains("`trunkgate twilio trust`"), "{line}");
}

#[test]
fn a_broken_file_of_the_ca_closes_the_listener_and_nothing_else() {
    let rig = Rig::new(LISTENER);
    std::fs::write(rig.edge.directory.path().join("twilio-ca.pem"), "nonsense").unwrap();
    let mut bytes = Vec::new();
    let _ = connect(&rig).read_to_end(&mut bytes);
    assert_eq!(bytes, b"");
    assert_eq!(rig.edge.get("/healthz").0, 200);
    until("the cause is logged", || rig.edge.log().contains("not a CA created by Trunkgate").then_some(()));
}

#[test]
fn without_the_key_there_is_no_listener_and_a_change_waits_for_a_restart() {
    let rig = Rig::new("");
    let (status, text) = rig.edge.get("/v1/twilio/ca");
    assert_eq!((status, text.contains("proxy_off")), (403, true), "{text}");
    assert_eq!(rig.edge.json("/v1/status")["api_tls"], serde_json::Value::Null);
    let text = std::fs::read_to_string(&rig.edge.file).unwrap();
    std::fs::write(&rig.edge.file, text.replace("[api]\n", &format!("[api]\n{LISTENER}"))).unwrap();
    let (status, answer) = http("POST", &format!("{}/v1/reload", rig.edge.url()), &[], "");
    assert!(status == 200 && answer.contains("[api] tls"), "{status} {answer}");
    let rig = rig.restart();
    let listener = rig.edge.address("api").to_string();
    assert_eq!(rig.edge.json("/v1/status")["api_tls"], listener);
    let (status, error) = rig.edge.get("/v1/twilio/ca?for=proxy");
    assert!(status == 403 && error.contains("proxy_off"), "clients of a proxy are not led astray: {status} {error}");
}

/// Runs a command of `trunkgate twilio`; returns its output or its error.
fn verb(arguments: &[&str]) -> Result<String, String> {
    let output = trunkgate(&[&["twilio"], arguments].concat()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn a_hosts_entry_needs_a_listener_on_port_443() {
    let (without, with) = (Rig::new(""), Rig::new(LISTENER));
    let error = verb(&["hosts", "--url", &without.edge.url()]).unwrap_err();
    assert!(error.contains("add tls = \"127.0.0.1:443\""), "{error}");
    let error = verb(&["hosts", "--url", &with.edge.url()]).unwrap_err();
    assert!(error.contains("it must be on port 443"), "{error}");
}

/// Returns the path of a Python that has this certifi bundle.
fn python(folder: &Path, bundle: &Path) -> String {
    let script = folder.join("python");
    std::fs::write(&script, format!("#!/bin/sh\necho {}\n", bundle.display())).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    script.display().to_string()
}

#[test]
fn a_trust_store_is_changed_with_yes_only_and_restored_to_the_byte() {
    let (rig, folder) = (Rig::new(LISTENER), tempfile::tempdir().unwrap());
    let bundle = folder.path().join("cacert.pem");
    std::fs::write(&bundle, "roots").unwrap();
    let (python, url) = (python(folder.path(), &bundle), rig.edge.url());
    let read = || std::fs::read_to_string(&bundle).unwrap();
    let planned = verb(&["trust", "certifi", "--python", &python, "--url", &url]).unwrap();
    assert!(planned.contains("certifi: add the CA to ") && planned.contains("repeat with --yes"), "{planned}");
    assert_eq!(read(), "roots");
    let made = verb(&["trust", "certifi", "--python", &python, "--url", &url, "--yes"]).unwrap();
    assert!(made.contains("note: certifi: an update of the package certifi overwrites"), "{made}");
    assert!(read().contains(ca(&rig).trim_end()));
    let again = verb(&["trust", "certifi", "--python", &python, "--url", &url, "--yes"]).unwrap();
    assert!(again.contains("certifi: nothing to change"), "{again}");
    verb(&["trust", "certifi", "--python", &python, "--undo"]).unwrap();
    assert!(read().contains("BEGIN CERTIFICATE"), "without --yes nothing is changed");
    verb(&["trust", "certifi", "--python", &python, "--undo", "--yes"]).unwrap();
    assert_eq!(read(), "roots");
    let error = verb(&["trust", "certifi", "--python", "/no/such/python", "--url", &url]).unwrap_err();
    assert!(error.contains("certifi: /no/such/python: No such file"), "{error}");
    assert!(verb(&["trust", "--url", &url]).unwrap_err().contains("<STORE>"));
}

#[test]
fn unlimited_ca_is_not_installed() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("cacert.pem");
    std::fs::write(&bundle, "roots").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let pem = rcgen::generate_simple_self_signed(["api.twilio.com".to_owned()]).unwrap().cert.pem();
    let server = std::thread::spawn(move || {
        // The first request checks that the edge is running.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            answer(&mut stream).unwrap();
            let length = pem.len();
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{pem}").unwrap();
        }
    });
    let python = python(folder.path(), &bundle);
    let error = verb(&["trust", "certifi", "--python", &python, "--url", &url, "--yes"]).unwrap_err();
    assert!(error.contains("is not limited to twilio.com"), "{error}");
    assert_eq!(std::fs::read_to_string(&bundle).unwrap(), "roots");
    server.join().unwrap();
}
