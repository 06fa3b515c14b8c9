//! HTTP interface over TLS, through the real binary: commands find it by their file, unknown certificates are rejected,
//! and a new certificate is used for new connections.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};

use crate::support::tls::{Authority, Client};
use crate::support::{Process, config, http, until};
use trunkgate_system::limits;

const BIN: &str = env!("CARGO_BIN_EXE_trunkgate");

fn status(arguments: &[&str]) -> Output {
    Command::new(BIN).arg("status").arg("--json").args(arguments).env_remove("TRUNKGATE_TOKEN").output().unwrap()
}

#[test]
fn status_over_tls_and_a_certificate_that_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let other = Authority::new(folder.path(), "other");
    let pair = authority.issue("edge", &["localhost"]);
    let tls = format!("[http]\naddress = \"127.0.0.1:0\"\ntls = {{ {} }}\n", pair.keys(", "));
    let edge = Process::start(&config("").replace("[http]\naddress = \"127.0.0.1:0\"\n", &tls));
    let address = edge.address("http");
    let (url, ca) = (format!("https://localhost:{}", address.port()), authority.file.display().to_string());

    let right = status(&["--url", &url, "--ca", &ca]);
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&right.stdout).unwrap();
    assert!(answer.is_object());
    let wrong = status(&["--url", &url, "--ca", &other.file.display().to_string()]);
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("TLS"), "{wrong:?}");
    let unsaid = status(&["--url", &url]);
    assert!(!unsaid.status.success(), "the system trusts none of our CAs");
    let plain = status(&["--url", &format!("http://{address}")]);
    assert!(!plain.status.success(), "nothing is sent without TLS: {plain:?}");

    // The command that knows the file accepts exactly this certificate, although its name is not the requested address.
    let by_file = edge.file.with_file_name("by_file.toml");
    let text = std::fs::read_to_string(&edge.file).unwrap();
    std::fs::write(
        &by_file,
        text.replace("[http]\naddress = \"127.0.0.1:0\"", &format!("[http]\naddress = \"{address}\"")),
    )
    .unwrap();
    let found = status(&["--config", &by_file.display().to_string()]);
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));

    let client = Client { from: "127.0.0.1", trusts: &authority, shows: None, versions: rustls::ALL_VERSIONS };
    let before = client.connect(address).unwrap().shown;
    authority.issue("edge", &["localhost"]);
    until("the new certificate is shown", || (client.connect(address).unwrap().shown != before).then_some(()));
}

/// Opens connections that each send the same incomplete request.
fn half_requests(to: SocketAddr, bytes: &[u8]) -> Vec<TcpStream> {
    let half = |_| {
        let mut stream = TcpStream::connect(to).unwrap();
        // An older connection may have been closed already.
        let _ = stream.write_all(bytes);
        stream
    };
    (0..limits::HTTP_CONNECTIONS + 20).map(half).collect()
}

#[test]
fn incomplete_requests_give_their_places_to_probes() {
    let edge = Process::start(&config(""));
    let address = edge.address("http");
    let evicted = || edge.metric("trunkgate_http_connections_dropped_total{reason=\"evicted\"}");
    for (begun, bytes) in [
        ("nothing", &b""[..]),
        ("half a head", b"GET /healthz HTTP/1.1\r\nHost: local"),
        ("half a body", b"POST /sms/inbound HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf"),
        ("kept alive", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ] {
        let before = evicted();
        let flood = half_requests(address, bytes);
        for _ in 0..5 {
            assert_eq!(edge.get("/healthz").0, 200, "{begun}");
        }
        assert!(evicted() >= before + 20.0, "{begun}: room was made");
        drop(flood);
    }
    assert!(edge.whole_log().contains("http: all connections are in use: an incomplete one was closed for 127.0.0.1"));
}

#[test]
fn half_done_handshakes_give_their_places_to_probes() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let pair = authority.issue("edge", &["localhost"]);
    let tls = format!("[http]\naddress = \"127.0.0.1:0\"\ntls = {{ {} }}\n", pair.keys(", "));
    let edge = Process::start(&config("").replace("[http]\naddress = \"127.0.0.1:0\"\n", &tls));
    let address = edge.address("http");
    let (url, ca) = (format!("https://localhost:{}", address.port()), authority.file.display().to_string());
    // Beginning of a ClientHello: the header of a record of 512 bytes without the content.
    let flood = half_requests(address, &[22, 3, 1, 2, 0]);
    let asked = status(&["--url", &url, "--ca", &ca]);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    until("room was made", || edge.log().contains("http: all connections are in use").then_some(()));
    drop(flood);
}

#[test]
fn what_a_page_of_another_site_asks_for_is_refused_without_an_origin_too() {
    let edge = Process::start(&config(""));
    let url = |path: &str| format!("{}{path}", edge.url());
    let cross = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")];
    for (method, path) in [
        ("POST", "/v1/reload"),
        ("POST", "/v1/drain"),
        ("POST", "/v1/calls/x/dtmf"),
        ("POST", "/v1/calls/x/hold"),
        ("POST", "/v1/calls/x/resume"),
        ("POST", "/v1/calls/x/play"),
        ("DELETE", "/v1/calls/x"),
        ("GET", "/v1/events"),
    ] {
        let (status, text) = http(method, &url(path), &cross, "{}");
        assert!(status == 403 && text.contains("forbidden_origin"), "{method} {path}: {status} {text}");
    }
    let link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    assert_eq!(http("GET", &url("/"), &link, "").0, 200, "a link to the console");
    assert_eq!(http("POST", &url("/v1/reload"), &link, "").0, 403, "a form of another site");
    let own = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")];
    assert_eq!(http("POST", &url("/v1/reload"), &own, "").0, 200);
}
