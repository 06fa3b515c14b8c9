//! ACME with acme2certifier and an authority made with OpenSSL: account, http-01 challenge, and the certificate as a
//! peer verifies it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{bail, ensure};

use crate::interop::edge::Edge;
use crate::interop::programs::free_address;
use crate::interop::python::{self, Script};
use crate::interop::{Setting, install};

const PATIENCE: Duration = Duration::from_secs(60);
const NAMES: [&str; 2] = ["sbc.example.com", "sip.example.com"];

/// Lets an edge order its first certificate; sabotaged, port 80 leads elsewhere.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    install::packages(&[("openssl", "openssl")])?;
    let folder = tempfile::tempdir()?;
    let at = folder.path().display().to_string();
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=authority"];
    let files = ["-keyout", &format!("{at}/ca.key"), "-out", &format!("{at}/ca.pem")];
    python::run(Command::new("openssl").args(request).args(files))?;
    let (answers, elsewhere) = (free_address()?, free_address()?);
    let leads_to = if setting.sabotage { elsewhere } else { answers }.to_string();
    let flags = ["--folder", &at, "--challenges", &leads_to];
    let server = Script::start_by(Command::new(python::acme()?), &python::script("acme_server.py"), &flags)?;
    let mut edge = Edge::start(&format!(
        r#"
[[listen]]
transport = "tls"
address = "127.0.0.1:0"
[tls]
acme = {{ domains = {NAMES:?}, email = "ops@example.com", directory = "http://{}/directory", challenge_address = "{answers}" }}
[trunk.carrier]
accept_from = ["127.0.0.1/32"]
[[route]]
connect = ["reject:486"]
"#,
        server.address
    ))?;
    let Some(listener) = edge.tls else { bail!("no TLS listener") };
    edge.wait_until("the certificate is in force", PATIENCE, |edge| {
        let status = edge.get("/v1/status")?;
        ensure!(!status.contains("ACME: no new certificate"), "{status}\n{}", server.lines().join("\n"));
        Ok(edge.log_tail().contains("ACME: new certificate"))
    })?;
    for name in NAMES {
        verified(&listener.to_string(), name, &folder.path().join("ca.pem"))?;
    }
    edge.assert_alive()?;
    Ok(format!("a certificate for {}, verified by OpenSSL", NAMES.join(" and ")))
}

/// Connects to the edge like a peer that verifies the chain and the name.
fn verified(address: &str, name: &str, ca: &Path) -> anyhow::Result<()> {
    let connect = ["s_client", "-connect", address, "-servername", name, "-verify_hostname", name];
    let verify = ["-verify_return_error", "-CAfile"];
    python::run(Command::new("openssl").args(connect).args(verify).arg(ca))
}
