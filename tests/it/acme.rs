//! `[tls] acme` against an ACME server on loopback: first certificate, renewal without a lost connection, and failed
//! orders.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use sha2::{Digest as _, Sha256};

use crate::support::acme::{AcmeServer, Behaviour, asked};
use crate::support::tls::{Authority, Client};
use crate::support::{Process, closed_address, config, until, write};

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
const EXPIRY: &str = "trunkgate_tls_certificate_expiry_timestamp_seconds{listener=\"s\"}";

/// ACME server that the peers trust, with its directory.
struct Rig {
    _folder: tempfile::TempDir,
    authority: Arc<Authority>,
    server: AcmeServer,
}

impl Rig {
    fn new(behaviour: Behaviour) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::new(folder.path(), "authority"));
        let server = AcmeServer::start(&authority, behaviour);
        Rig { _folder: folder, authority, server }
    }

    /// Returns a configuration in which the edge orders the certificate of its TLS listener; 127.0.0.1 is a trunk.
    fn config(&self) -> String {
        configuration(&self.server.directory())
    }

    fn client(&self) -> Client<'_> {
        Client { from: "127.0.0.1", trusts: &self.authority, shows: None, versions: &BOTH }
    }

    /// Starts an edge with a certificate past two thirds of its life; returns the edge and that certificate.
    fn start_with_old(&self) -> (Process, Vec<u8>) {
        let (directory, file) = write(&self.config());
        let old = self.authority.issue_until("old", &["localhost"], (2035, 1, 1));
        let folder = directory.path().join(folder_of(&self.server.directory()));
        std::fs::create_dir_all(&folder).unwrap();
        let texts = [&old.private_key, &old.certificate].map(|path| std::fs::read_to_string(path).unwrap());
        std::fs::write(folder.join("certificate.pem"), texts.concat()).unwrap();
        let shown = old.read().0[0].to_vec();
        (Process::start_at(directory, file), shown)
    }
}

fn configuration(directory: &str) -> String {
    config(&format!(
        "[[listen]]\nname = \"s\"\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n\
         [trunk.carrier]\naccept_from = [\"127.0.0.1/32\"]\n[[route]]\nconnect = [\"reject:486\"]\n\
         [tls]\nacme = {{ domains = \"localhost\", email = \"ops@example.com\", directory = \"{directory}\", \
         challenge_address = \"127.0.0.1:0\" }}\n"
    ))
}

/// Returns the folder for the files of an ACME directory in the data directory.
fn folder_of(directory: &str) -> PathBuf {
    let hash: String = Sha256::digest(directory)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let name = directory.trim_start_matches("http://").replace([':', '/'], "-");
    Path::new("acme").join(format!("{name}_{hash}"))
}

/// Waits until the edge has a problem and returns the first one.
fn problem(edge: &Process) -> String {
    until("the problem is reported", || {
        let status = edge.json("/v1/status");
        let problems = status["problems"].as_array().unwrap();
        problems.iter().filter_map(|one| one.as_str()).find(|one| one.contains("ACME")).map(str::to_owned)
    })
}

#[test]
fn the_first_certificate_is_obtained_while_the_edge_takes_calls() {
    let rig = Rig::new(Behaviour::Issues);
    let edge = Process::start(&rig.config());
    let (sip, challenges) = (edge.address("tls"), edge.address("acme"));
    // No client trusts the edge's temporary certificate.
    assert!(rig.client().connect(sip).is_err());
    until("the order is placed", || (!rig.server.orders().is_empty()).then_some(()));
    assert!(asked(challenges, "localhost", "unknown").unwrap().starts_with("HTTP/1.1 404 "));
    rig.server.lead_challenges_to(challenges);
    let mut line = until("the certificate is shown", || rig.client().connect(sip).ok());
    line.send(&line.request("OPTIONS", "sip:edge", "first", 1, ""));
    line.receive("SIP/2.0 200");
    assert_eq!(rig.server.orders(), [["localhost"]]);
    assert_eq!(rig.server.contacts(), ["mailto:ops@example.com"]);
    assert!(asked(challenges, "localhost", "token-0-0").unwrap().starts_with("HTTP/1.1 404 "), "its order is over");
    until("the log has it", || edge.log().contains("certificates reloaded").then_some(()));
    let folder = edge.directory.path().join(folder_of(&rig.server.directory()));
    for name in ["certificate.pem", "account.json"] {
        let rights = std::fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(rights, 0o600, "{name}");
    }
    // After a restart, the edge uses the stored certificate at once, without an order.
    let edge = edge.stop_and_start_again();
    assert!(rig.client().connect(edge.address("tls")).is_ok());
    assert_eq!(rig.server.orders().len(), 1);
}

#[test]
fn edges_with_one_data_directory_obtain_one_certificate() {
    let rig = Rig::new(Behaviour::Issues);
    let data = tempfile::tempdir().unwrap();
    let with_data = |config: String| {
        config.replacen("[edge]\n", &format!("[edge]\ndata_directory = \"{}\"\n", data.path().display()), 1)
    };
    let first = Process::start(&with_data(rig.config()));
    until("the first order is placed", || (!rig.server.orders().is_empty()).then_some(()));
    let second = Process::start(&with_data(rig.config()));
    rig.server.lead_challenges_to(first.address("acme"));
    let shown = [&first, &second].map(|edge| {
        let sip = edge.address("tls");
        until("the certificate is shown", || rig.client().connect(sip).ok()).shown
    });
    assert_eq!(shown[0], shown[1]);
    assert_eq!(rig.server.orders().len(), 1, "the second edge takes the certificate of the first");
}

#[test]
fn a_renewal_keeps_connections() {
    let rig = Rig::new(Behaviour::Issues);
    let (edge, old) = rig.start_with_old();
    let sip = edge.address("tls");
    let mut line = rig.client().connect(sip).unwrap();
    assert_eq!(line.shown.as_deref(), Some(old.as_slice()));
    line.send(&line.request("OPTIONS", "sip:edge", "before", 1, ""));
    line.receive("SIP/2.0 200");
    let before = edge.metric(EXPIRY);
    rig.server.lead_challenges_to(edge.address("acme"));
    until("the new certificate is in force", || (edge.metric(EXPIRY) > before).then_some(()));
    line.send(&line.request("OPTIONS", "sip:edge", "after", 1, ""));
    line.receive("SIP/2.0 200");
    let new = rig.client().connect(sip).unwrap();
    assert_ne!(new.shown.as_deref(), Some(old.as_slice()));
    assert!(!edge.json("/v1/status")["problems"].to_string().contains("ACME"));
}

#[test]
fn the_old_certificate_stays_while_orders_fail_and_the_problem_names_the_address_that_was_asked() {
    let cases = [
        (Behaviour::Limits(7_200), "rate limit of the authority", "/order: too many certificates already issued"),
        (Behaviour::IsDown, "no usable answer from the authority", "/directory: answered 503"),
        (
            Behaviour::WantsMoreProofs,
            "the authority refused the order",
            "the authority requires 2 challenges for 1 host name",
        ),
        (
            Behaviour::NamesNoNonce,
            "no usable answer from the authority",
            "/directory: the response is not a valid ACME response",
        ),
        (
            Behaviour::IssuesFor("other.example"),
            "the certificate is not the one ordered",
            "it is not valid for localhost, but for other.example",
        ),
        (
            Behaviour::RefusesProofs,
            "the challenge failed",
            "http://localhost/.well-known/acme-challenge/token-0-0: 203.0.113.7: Connection refused",
        ),
    ];
    for (behaviour, headline, evidence) in cases {
        let rig = Rig::new(behaviour);
        let (edge, old) = rig.start_with_old();
        rig.server.lead_challenges_to(edge.address("acme"));
        let problem = problem(&edge);
        for part in
            [headline, evidence, "the current certificate is valid until 2035-01-01 00:00 UTC", "next order at "]
        {
            assert!(problem.contains(part), "{behaviour:?}: no {part} in {problem}");
        }
        let line = rig.client().connect(edge.address("tls")).unwrap();
        assert_eq!(line.shown.as_deref(), Some(old.as_slice()), "{behaviour:?}");
    }
}

#[test]
fn without_a_certificate_and_a_directory_the_edge_starts_and_says_so() {
    let edge = Process::start(&configuration(&format!("http://{}/directory", closed_address())));
    let problem = problem(&edge);
    assert!(problem.contains("no usable answer from the authority"), "{problem}");
    assert!(problem.contains("the listener shows a temporary self-signed certificate"), "{problem}");
}
