//! The HTTP face over TLS, through the real binary: verbs find it by their file, strangers' certificates are refused, and a
//! new certificate is shown to new connections.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::process::{Command, Output};

use crate::support::tls::{Authority, Client};
use crate::support::{Process, config, until};

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
    assert!(!unsaid.status.success(), "the system trusts nobody of ours");
    let plain = status(&["--url", &format!("http://{address}")]);
    assert!(!plain.status.success(), "nothing is told without TLS: {plain:?}");

    // By the file: this very certificate, though it is for another name than the address that is asked.
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
