//! SIP over TLS on real loopback sockets: accepted handshakes, verified certificates, calls, and attacks.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use crate::support::sip::field;
use crate::support::tls::{Authority, Client, Pair, Server, tcp};
use crate::support::{Process, config, until};
use crate::upgrade::upgrade;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion, SupportedProtocolVersion};

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static ONLY_13: [&SupportedProtocolVersion; 1] = [&TLS13];
static ONLY_12: [&SupportedProtocolVersion; 1] = [&TLS12];

/// Folder of certificates: an authority, another one that is not trusted, and the edge's certificate for `localhost`.
struct Papers {
    folder: tempfile::TempDir,
    authority: Authority,
    other: Authority,
    edge: Pair,
}

impl Papers {
    fn new() -> Papers {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        let other = Authority::new(folder.path(), "other");
        let edge = authority.issue("edge", &["localhost"]);
        Papers { folder, authority, other, edge }
    }

    /// Returns a configuration with a TLS listener; `asks`: further lines of the listener.
    fn config(&self, asks: &str, rest: &str) -> String {
        let listener = format!(
            "[[listen]]\nname = \"s\"\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n{}\n{asks}\n",
            self.edge.keys("\n")
        );
        config(&format!("{listener}{rest}"))
    }

    fn client<'a>(&'a self, from: &'a str, shows: Option<&'a Pair>) -> Client<'a> {
        Client { from, trusts: &self.authority, shows, versions: &BOTH }
    }
}

/// Configuration with 127.0.0.1 as a trunk.
const ONE_TRUNK: &str = "[trunk.carrier]\naccept_from = [\"127.0.0.1/32\"]\n[[route]]\nconnect = [\"reject:486\"]\n";

#[test]
fn both_versions_are_spoken_and_answers_come_the_same_way() {
    let papers = Papers::new();
    let edge = Process::start(&papers.config("", ONE_TRUNK));
    let sip = edge.address("tls");
    for (versions, spoken) in [(&ONLY_13, ProtocolVersion::TLSv1_3), (&ONLY_12, ProtocolVersion::TLSv1_2)] {
        let client = Client { versions, ..papers.client("127.0.0.1", None) };
        let mut line = client.connect(sip).unwrap();
        assert_eq!(line.version, spoken);
        line.send(&line.request("OPTIONS", "sip:edge", "o", 1, ""));
        let answer = line.receive("SIP/2.0 200");
        let via = format!(
            "SIP/2.0/TLS {};branch=z9hG4bKoOPTIONS1;received=127.0.0.1;rport={}",
            line.local,
            line.local.port()
        );
        assert_eq!(field(&answer, "Via"), via);
    }
    // A client that does not trust the authority disconnects, without further effect.
    let client = Client { trusts: &papers.other, ..papers.client("127.0.0.1", None) };
    assert!(client.connect(sip).is_err());
    until("the log tells", || edge.log().contains("listener s: TLS with 127.0.0.1:").then_some(()));
    until("that handshake is counted", || {
        (edge.metric("trunkgate_sip_dropped_total{reason=\"tls_handshake_failed\"}") == 1.0).then_some(())
    });
}

/// Reads a stream to its end; returns the number of bytes.
fn rest_of(stream: &mut TcpStream) -> usize {
    let mut all = 0;
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        all += len;
    }
    all
}

#[test]
fn unknown_source_gets_no_tls() {
    let papers = Papers::new();
    let edge = Process::start(&papers.config("", ONE_TRUNK));
    let mut stranger = tcp("127.0.0.2", edge.address("tls")).unwrap();
    let _ = stranger.write_all(b"\x16\x03\x01\x00\x05hello");
    assert_eq!(rest_of(&mut stranger), 0);
    assert_eq!(edge.metric("trunkgate_sip_dropped_total{reason=\"connection_unknown_source\"}"), 1.0);
}

/// Returns a trunk that is identified only by its certificate.
fn by_certificate(papers: &Papers, ca: &Path) -> String {
    let _ = papers;
    format!(
        "[trunk.roaming]\ntls = {{ names = [\"pbx.example\", \"sales.example\"], ca = {ca:?} }}\n\
         [[route]]\nfrom = [\"roaming\"]\nconnect = [\"reject:486\"]\n"
    )
}

#[test]
fn a_certificate_names_its_trunk_wherever_it_comes_from() {
    let papers = Papers::new();
    let edge = Process::start(&papers.config("", &by_certificate(&papers, &papers.authority.file)));
    let sip = edge.address("tls");
    let good = papers.authority.issue("pbx", &["pbx.example"]);
    let by_uri = papers.authority.issue("sales", &["sip:sales.example"]);
    let wrong_name = papers.authority.issue("else", &["else.example"]);
    let wrong_authority = papers.other.issue("forged", &["pbx.example"]);
    let expired = papers.authority.issue_until("old", &["pbx.example"], (2020, 1, 1));
    for (who, pair) in [&good, &by_uri].into_iter().enumerate() {
        for (at, versions) in [&ONLY_13, &ONLY_12].into_iter().enumerate() {
            let mut line = Client { versions, ..papers.client("127.0.0.7", Some(pair)) }.connect(sip).unwrap();
            line.send(&line.request("INVITE", "sip:+14155550123@edge", &format!("i{who}{at}"), 1, ""));
            line.receive("SIP/2.0 486");
        }
    }
    let refused = [None, Some(&wrong_name), Some(&wrong_authority), Some(&expired)];
    for pair in refused {
        let mut line = papers.client("127.0.0.7", pair).connect(sip).unwrap();
        let _ = line.try_send(&line.request("OPTIONS", "sip:edge", "o", 1, ""));
        assert!(line.is_closed_in_silence(), "{pair:?}");
    }
    let unknown = "trunkgate_sip_dropped_total{reason=\"connection_unknown_source\"}";
    assert_eq!(edge.metric(unknown), refused.len() as f64);
    assert_eq!(edge.json("/v1/security")["closed"]["messages"], refused.len());
    let status = edge.json("/v1/status");
    let closed = "TCP and TLS connections from unknown sources are closed";
    let all = status["problem_details"].as_array().unwrap();
    assert!(all.iter().any(|one| one["headline"] == closed && one["harm"] == "strangers"), "{status:#}");
}

#[test]
fn client_certificates_are_demanded() {
    let papers = Papers::new();
    let asks = format!("client_ca = {:?}", papers.authority.file);
    let edge = Process::start(&papers.config(&asks, ONE_TRUNK));
    let sip = edge.address("tls");
    let good = papers.authority.issue("pbx", &["pbx.example"]);
    let forged = papers.other.issue("forged", &["pbx.example"]);
    let mut line = papers.client("127.0.0.1", Some(&good)).connect(sip).unwrap();
    line.send(&line.request("OPTIONS", "sip:edge", "o", 1, ""));
    line.receive("SIP/2.0 200");
    for pair in [None, Some(&forged)] {
        // With TLS 1.3, the client learns of the failure only at its first read.
        if let Ok(mut line) = papers.client("127.0.0.1", pair).connect(sip) {
            let _ = line.try_send(&line.request("OPTIONS", "sip:edge", "o", 1, ""));
            assert!(line.is_closed_in_silence(), "{pair:?}");
        }
    }
    let seen = until("both are counted", || {
        let seen = edge.json("/v1/security")["tls_failures"].clone();
        (seen["handshakes"] == 2).then_some(seen)
    });
    assert_eq!((&seen["listener"], &seen["last"]), (&"s".into(), &"127.0.0.1".into()), "{seen:#}");
    let problem = edge.json("/v1/status")["problem_details"][0].clone();
    assert_eq!((&problem["harm"], &problem["headline"]), (&"strangers".into(), &"TLS to listener s fails".into()));
    assert!(problem["fix"].as_str().unwrap().contains("`client_ca`"), "{problem:#}");

    // The third connection is without TLS; the trunk's host has had no successful connection since the first.
    let mut plain = TcpStream::connect(sip).unwrap();
    plain.write_all(b"OPTIONS sip:edge SIP/2.0\r\n\r\n").unwrap();
    let problem = until("it is a problem of the trunk", || {
        let problem = edge.json("/v1/status")["problem_details"][0].clone();
        (problem["harm"] == "calls").then_some(problem)
    });
    assert_eq!(problem["headline"], "TLS from trunk carrier to listener s fails");
    assert!(problem["evidence"].as_str().unwrap().contains(": the client does not use TLS"), "{problem:#}");
    assert!(problem["fix"].as_str().unwrap().contains("configure carrier to use TLS"), "{problem:#}");
    let mut line = papers.client("127.0.0.1", Some(&good)).connect(sip).unwrap();
    line.send(&line.request("OPTIONS", "sip:edge", "o", 1, ""));
    line.receive("SIP/2.0 200");
    assert_eq!(
        edge.json("/v1/status")["problem_details"].as_array().unwrap().iter().find(|one| one["harm"] == "calls"),
        None
    );
}

/// A server certificate identifies a client if the client's trunk allows that; chain, dates and names are verified as
/// usual.
#[test]
fn a_client_certificate_for_servers_alone_is_accepted_where_the_trunk_allows_it() {
    let papers = Papers::new();
    let hub = papers.authority.issue_for_servers("hub", &["hub.example"], (2099, 1, 1));
    let refused = [
        papers.authority.issue_for_servers("strict", &["strict.example"], (2099, 1, 1)),
        papers.authority.issue_for_servers("else", &["else.example"], (2099, 1, 1)),
        papers.authority.issue_for_servers("old", &["hub.example"], (2020, 1, 1)),
        papers.other.issue_for_servers("forged", &["hub.example"], (2099, 1, 1)),
    ];
    let ca = format!("client_ca = {:?}", papers.authority.file);
    let own_ca = format!("ca = {:?}, ", papers.authority.file);
    // The certificate is trusted by the listener's CA, by the trunk's own, or by both.
    for (asks, ca) in [(ca.as_str(), ""), ("", own_ca.as_str()), (ca.as_str(), own_ca.as_str())] {
        let trunks = format!(
            "[trunk.hub]\ntls = {{ {ca}names = [\"hub.example\"], client_certificate_usage = \"any\" }}\n\
             [trunk.strict]\ntls = {{ {ca}names = [\"strict.example\"] }}\n\
             [[route]]\nfrom = [\"hub\"]\nconnect = [\"reject:486\"]\n\
             [[route]]\nfrom = [\"strict\"]\nconnect = [\"reject:480\"]\n"
        );
        let edge = Process::start(&papers.config(asks, &trunks));
        let sip = edge.address("tls");
        for versions in [&ONLY_13, &ONLY_12] {
            let mut line = Client { versions, ..papers.client("127.0.0.7", Some(&hub)) }.connect(sip).unwrap();
            line.send(&line.request("INVITE", "sip:+14155550123@edge", &format!("i{}", line.local.port()), 1, ""));
            line.receive("SIP/2.0 486");
        }
        for pair in &refused {
            // With TLS 1.3, the client learns of the failure only at its first read.
            if let Ok(mut line) = papers.client("127.0.0.7", Some(pair)).connect(sip) {
                let _ = line.try_send(&line.request("OPTIONS", "sip:edge", "o", 1, ""));
                assert!(line.is_closed_in_silence(), "{asks} {pair:?}");
            }
        }
    }
}

/// A server certificate that one trunk allows does not identify its client as another trunk.
#[test]
fn a_certificate_for_servers_identifies_no_trunk_that_wants_one_for_clients() {
    let papers = Papers::new();
    let both = papers.authority.issue_for_servers("both", &["strict.example", "hub.example"], (2099, 1, 1));
    let trunks = "[trunk.strict]\ntls = { names = [\"strict.example\"] }\n\
         [trunk.hub]\ntls = { names = [\"hub.example\"], client_certificate_usage = \"any\" }\n\
         [[route]]\nfrom = [\"strict\"]\nconnect = [\"reject:480\"]\n\
         [[route]]\nfrom = [\"hub\"]\nconnect = [\"reject:486\"]\n";
    let edge = Process::start(&papers.config(&format!("client_ca = {:?}", papers.authority.file), trunks));
    let mut line = papers.client("127.0.0.7", Some(&both)).connect(edge.address("tls")).unwrap();
    line.send(&line.request("INVITE", "sip:+14155550123@edge", "i", 1, ""));
    line.receive("SIP/2.0 486");
}

/// The listener has several names: each client gets the certificate for the name that it requests.
#[test]
fn a_listener_presents_the_certificate_for_the_name_that_is_asked_for() {
    let papers = Papers::new();
    let teams = papers.authority.issue("teams", &["sbc.example.com"]);
    let wide = papers.authority.issue("wide", &["sbc.example.com", "*.example.org"]);
    let further = format!("certificates = [{{ {} }}, {{ {} }}]", teams.keys(", "), wide.keys(", "));
    let edge = Process::start(&papers.config(&further, ONE_TRUNK));
    let sip = edge.address("tls");
    for (name, pair) in [("localhost", &papers.edge), ("sbc.example.com", &teams), ("pbx.example.org", &wide)] {
        for versions in [&ONLY_13, &ONLY_12] {
            let client = Client { versions, ..papers.client("127.0.0.1", None) };
            let mut line = client.connect_as(name, sip).unwrap();
            assert_eq!(line.shown.as_ref(), pair.read().0.first(), "{name}");
            line.send(&line.request("OPTIONS", "sip:edge", &format!("o{}", line.local.port()), 1, ""));
            line.receive("SIP/2.0 200");
        }
    }
    // For any other name, or an address, the client gets the first certificate.
    for name in ["else.example.com", "127.0.0.1"] {
        assert!(papers.client("127.0.0.1", None).connect_as(name, sip).is_err(), "{name}");
    }
    // The renewed file of this name is read, too.
    papers.authority.issue_until("teams", &["sbc.example.com"], (2098, 1, 1));
    let (chain, _) = teams.read();
    until("the other is shown", || {
        let line = papers.client("127.0.0.1", None).connect_as("sbc.example.com", sip).unwrap();
        (line.shown.as_ref() == chain.first()).then_some(())
    });
}

#[test]
fn each_certificate_of_a_listener_is_watched_for_its_end() {
    let papers = Papers::new();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 5);
    let soon = soon.strftime("%Y %m %d").to_string();
    let [year, month, day] = soon.split(' ').collect::<Vec<_>>()[..] else { panic!("{soon}") };
    let end = (year.parse().unwrap(), month.parse().unwrap(), day.parse().unwrap());
    let ending = papers.authority.issue_until("ending", &["sbc.example.com"], end);
    let further = format!("certificates = [{{ {} }}]", ending.keys(", "));
    let edge = Process::start(&papers.config(&further, ONE_TRUNK));
    until("its end is warned of", || edge.log().contains("certificate of listener s expires on").then_some(()));
    let status = edge.json("/v1/status");
    let problems = status["problems"].to_string();
    assert!(problems.contains("ending.pem") && !problems.contains("edge.pem"), "{problems}");
    let listener = status["listeners"].as_array().unwrap().iter().find(|one| one["name"] == "s").unwrap();
    assert!(matches!(listener["certificate_days"].as_i64(), Some(3..=5)), "{status}");
}

/// Session resumption would skip the verification of a client certificate that may have expired meanwhile.
#[test]
fn every_connection_is_judged_anew() {
    let papers = Papers::new();
    let edge = Process::start(&papers.config("", &by_certificate(&papers, &papers.authority.file)));
    let good = papers.authority.issue("pbx", &["pbx.example"]);
    for versions in [&ONLY_13, &ONLY_12] {
        let client = Client { versions, ..papers.client("127.0.0.7", Some(&good)) };
        let memory = client.memory();
        for n in 0..3 {
            let mut line = client.connect_by(&memory, edge.address("tls")).unwrap();
            // Session tickets arrive before the response.
            line.send(&line.request("OPTIONS", "sip:edge", &format!("o{n}"), 1, ""));
            line.receive("SIP/2.0 200");
            assert!(matches!(line.kind, HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest), "{n}");
        }
    }
}

/// Each name in a certificate is compared with each name of the trunk: for a long list, that would take milliseconds.
#[test]
fn a_certificate_of_a_thousand_names_is_not_read() {
    let papers = Papers::new();
    let edge = Process::start(&papers.config("", &by_certificate(&papers, &papers.authority.file)));
    let names: Vec<String> = (0..2000).map(|n| format!("n{n}.example")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("pbx.example");
    let long = papers.authority.issue("long", &names);
    let short = papers.authority.issue("short", &names[1900..]);
    assert!(long.read().0[0].len() > trunkgate_system::limits::CERTIFICATE_BYTES);
    for (pair, served) in [(&long, false), (&short, true)] {
        let line = papers.client("127.0.0.7", Some(pair)).connect(edge.address("tls"));
        let answered = line.and_then(|mut line| {
            line.try_send(&line.request("OPTIONS", "sip:edge", "o", 1, ""))?;
            line.try_receive("SIP/2.0 200")
        });
        assert_eq!(answered.is_ok(), served, "{answered:?}");
    }
    assert_eq!(edge.metric("trunkgate_sip_dropped_total{reason=\"tls_handshake_failed\"}"), 1.0);
}

/// Returns a route from 127.0.0.1 to trunks.
fn outward(trunks: &str, connect: &str) -> String {
    format!(
        "[trunk.carrier]\naccept_from = [\"127.0.0.1/32\"]\n{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [{connect}]\n"
    )
}

#[test]
fn tls_on_both_sides() {
    let papers = Papers::new();
    let pbx = Server::new("127.0.0.5", &papers.authority.issue("pbx", &["127.0.0.5"]), None);
    let trunk = format!(
        "[trunk.pbx]\npeers = [\"sip:{};transport=tls\"]\ntls = {{ ca = {:?} }}\n",
        pbx.address, papers.authority.file
    );
    let edge = Process::start(&papers.config("", &outward(&trunk, "\"trunk:pbx\"")));
    let mut caller = papers.client("127.0.0.1", None).connect(edge.address("tls")).unwrap();
    caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c1", 1, ""));
    let mut callee = pbx.accept().unwrap();
    let invite = callee.receive("INVITE");
    let port = edge.address("tls").port();
    assert!(invite.starts_with(&format!("INVITE sip:+14155550123@{} SIP/2.0\r\n", pbx.address)), "{invite}");
    assert!(field(&invite, "Via").starts_with(&format!("SIP/2.0/TLS 127.0.0.1:{port};branch=")), "{invite}");
    assert_eq!(field(&invite, "Contact"), format!("<sip:+14155550100@127.0.0.1:{port};transport=tls>"));
    assert!(!invite.contains(&caller.local.to_string()), "nothing of the caller's: {invite}");
    assert!(!invite.contains("alias"), "without our certificate the peer cannot identify it: {invite}");
    callee.send(&callee.answer(&invite, "200 OK", true));
    callee.receive("ACK");
    let answer = caller.receive("SIP/2.0 200");
    assert!(field(&answer, "Contact").ends_with(&format!("@127.0.0.1:{port};transport=tls>")), "{answer}");
    let tag = crate::support::sip::to_tag(&answer).to_owned();
    caller.send(&caller.request("ACK", "sip:x@edge", "c1", 1, &tag));
    // Requests in the dialog use the same two connections.
    caller.send(&caller.request("BYE", "sip:x@edge", "c1", 2, &tag));
    caller.receive("SIP/2.0 200");
    let bye = callee.receive("BYE");
    callee.send(&callee.answer(&bye, "200 OK", false));
    assert!(pbx.is_alone());
    until("the call is over", || (edge.metric("trunkgate_sip_dialogs_active") == 0.0).then_some(()));
}

/// Over two upgrades a call keeps its connections, one opened by each side, and a client that only its certificate
/// identifies stays identified.
#[test]
fn connections_go_on_over_upgrades() {
    for versions in [&ONLY_13, &ONLY_12] {
        let papers = Papers::new();
        let pbx = Server::new("127.0.0.5", &papers.authority.issue("pbx", &["127.0.0.5"]), None);
        let trunks = format!(
            "[trunk.pbx]\npeers = [\"sip:{};transport=tls\"]\noptions_interval = \"0s\"\ntls = {{ ca = {ca:?} }}\n\
             [trunk.roaming]\ntls = {{ names = [\"pbx.example\"], ca = {ca:?} }}\n",
            pbx.address,
            ca = papers.authority.file
        );
        let edge = Process::start(&papers.config("", &outward(&trunks, "\"trunk:pbx\"")));
        let (url, sip) = (edge.url(), edge.address("tls"));
        let own = papers.authority.issue("roaming", &["pbx.example"]);
        let mut roaming = Client { versions, ..papers.client("127.0.0.7", Some(&own)) }.connect(sip).unwrap();
        roaming.send(&roaming.request("OPTIONS", "sip:edge", "o", 1, ""));
        roaming.receive("SIP/2.0 200");
        let mut caller = Client { versions, ..papers.client("127.0.0.1", None) }.connect(sip).unwrap();
        caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c1", 1, ""));
        let mut callee = pbx.accept().unwrap();
        let invite = callee.receive("INVITE");
        callee.send(&callee.answer(&invite, "200 OK", true));
        callee.receive("ACK");
        let tag = crate::support::sip::to_tag(&caller.receive("SIP/2.0 200")).to_owned();
        caller.send(&caller.request("ACK", "sip:x@edge", "c1", 1, &tag));

        let halved = roaming.request("OPTIONS", "sip:edge", "o", 2, "");
        let (first, rest) = halved.split_at(100);
        roaming.send(first);
        let _first = upgrade(&url);
        roaming.send(rest);
        roaming.receive("SIP/2.0 200");
        let _second = upgrade(&url);
        roaming.send(&roaming.request("OPTIONS", "sip:edge", "o", 3, ""));
        roaming.receive("SIP/2.0 200");
        caller.send(&caller.request("BYE", "sip:x@edge", "c1", 2, &tag));
        caller.receive("SIP/2.0 200");
        let bye = callee.receive("BYE");
        callee.send(&callee.answer(&bye, "200 OK", false));
        assert!(pbx.is_alone());
        until("the call is over", || (edge.metric("trunkgate_sip_dialogs_active") == 0.0).then_some(()));
    }
}

#[test]
fn sips_stays_sips() {
    let papers = Papers::new();
    let pbx = Server::new("127.0.0.5", &papers.authority.issue("pbx", &["127.0.0.5"]), None);
    let trunk =
        format!("[trunk.pbx]\npeers = [\"sips:{}\"]\ntls = {{ ca = {:?} }}\n", pbx.address, papers.authority.file);
    let edge = Process::start(&papers.config("", &outward(&trunk, "\"trunk:pbx\"")));
    let mut caller = papers.client("127.0.0.1", None).connect(edge.address("tls")).unwrap();
    caller.send(&caller.request("INVITE", "sips:+14155550123@edge", "c1", 1, ""));
    let mut callee = pbx.accept().unwrap();
    let invite = callee.receive("INVITE");
    let port = edge.address("tls").port();
    assert!(invite.starts_with(&format!("INVITE sips:+14155550123@{} SIP/2.0\r\n", pbx.address)), "{invite}");
    assert_eq!(field(&invite, "Contact"), format!("<sips:+14155550100@127.0.0.1:{port}>"));
    callee.send(&callee.answer(&invite, "200 OK", true));
    let answer = caller.receive("SIP/2.0 200");
    assert!(field(&answer, "Contact").starts_with("<sips:"), "{answer}");
}

#[test]
fn a_far_end_that_is_not_who_it_should_be_is_a_failed_target() {
    let papers = Papers::new();
    let good = papers.authority.issue("good", &["127.0.0.6", "pbx.example"]);
    let expired = papers.authority.issue_until("old", &["127.0.0.6"], (2020, 1, 1));
    let forged = papers.other.issue("forged", &["127.0.0.6"]);
    let other_name = papers.authority.issue("else", &["127.0.0.7", "else.example"]);
    let last = Server::new("127.0.0.6", &good, None);
    for (what, pair) in
        [("expired on", &expired), ("does not end in a trusted root", &forged), ("127.0.0.6", &other_name)]
    {
        let first = Server::new("127.0.0.6", pair, None);
        // Only the call opens a connection: an OPTIONS with a failed handshake would cause another one.
        let trunk = format!(
            "[trunk.pbx]\noptions_interval = \"0s\"\n\
             peers = [\"sip:{};transport=tls\", {{ uri = \"sip:{};transport=tls\", priority = 1 }}]\n\
             tls = {{ ca = {:?}, names = [\"pbx.example\"] }}\n",
            first.address, last.address, papers.authority.file
        );
        let edge = Process::start(&papers.config("", &outward(&trunk, "\"trunk:pbx\"")));
        let mut caller = papers.client("127.0.0.1", None).connect(edge.address("tls")).unwrap();
        caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c1", 1, ""));
        assert!(first.accept().is_err(), "{what}");
        let mut callee = last.accept().unwrap();
        let invite = callee.receive("INVITE");
        callee.send(&callee.answer(&invite, "486 Busy Here", false));
        caller.receive("SIP/2.0 486");
        assert_eq!(edge.metric("trunkgate_failovers_total{route=\"route-1\",reason=\"tls_failed\"}"), 1.0);
        until("the log says why", || edge.log().contains(what).then_some(()));
        assert!(edge.whole_log().contains("tls_failed"), "{}", edge.log());
        let verdict = edge.json(&format!("/v1/calls/{}/trace", edge.sid()))["verdict"].as_str().unwrap().to_owned();
        assert!(verdict.contains(";transport=tls: TLS failed: ") && verdict.contains(what), "{verdict}");
    }
}

#[test]
fn verify_false_takes_anybody_and_names_stand_beside_the_host() {
    let papers = Papers::new();
    let forged = Server::new("127.0.0.5", &papers.other.issue("forged", &["x.example"]), None);
    let named = Server::new("127.0.0.6", &papers.authority.issue("named", &["sbc.example"]), None);
    let trunk = format!(
        "[trunk.a]\npeers = [\"sip:{};transport=tls\"]\ntls = {{ verify = false }}\n\
         [trunk.b]\npeers = [\"sip:{};transport=tls\"]\ntls = {{ ca = {:?}, names = [\"sbc.example\"] }}\n",
        forged.address, named.address, papers.authority.file
    );
    let edge = Process::start(&papers.config("", &outward(&trunk, "\"trunk:a\", \"trunk:b\"")));
    let mut caller = papers.client("127.0.0.1", None).connect(edge.address("tls")).unwrap();
    caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c1", 1, ""));
    for (server, answer) in [(&forged, "503 Service Unavailable"), (&named, "486 Busy Here")] {
        let mut callee = server.accept().unwrap();
        let invite = callee.receive("INVITE");
        callee.send(&callee.answer(&invite, answer, false));
        callee.receive("ACK");
    }
    caller.receive("SIP/2.0 486");
}

#[test]
fn each_trunk_has_connections_of_its_own_with_its_own_certificate() {
    let papers = Papers::new();
    let ours = [papers.authority.issue("a", &["a.example"]), papers.authority.issue("b", &["b.example"])];
    let pbx = Server::new("127.0.0.5", &papers.authority.issue("pbx", &["127.0.0.5"]), Some(&papers.authority));
    let trunk = |name: &str, own: &str| {
        let ca = &papers.authority.file;
        // Only the calls open connections here.
        format!(
            "[trunk.{name}]\noptions_interval = \"0s\"\npeers = [\"sip:{};transport=tls\"]\ntls = {{ ca = {ca:?}{own} }}\n",
            pbx.address
        )
    };
    let trunks = [
        trunk("bare", ""),
        trunk("a", &format!(", {}", ours[0].keys(", "))),
        trunk("b", &format!(", {}", ours[1].keys(", "))),
    ];
    let connect = "\"trunk:bare\", \"trunk:a\", \"trunk:b\"";
    let edge = Process::start(&papers.config("", &outward(&trunks.concat(), connect)));
    let mut caller = papers.client("127.0.0.1", None).connect(edge.address("tls")).unwrap();
    caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c1", 1, ""));
    assert!(pbx.accept().is_err(), "without a certificate");
    let mut lines = Vec::new();
    for (at, answer) in ["503 Service Unavailable", "486 Busy Here"].into_iter().enumerate() {
        let mut callee = pbx.accept().unwrap();
        let (chain, _) = ours[at].read();
        assert_eq!(callee.shown.as_ref(), chain.first());
        let invite = callee.receive("INVITE");
        assert!(field(&invite, "Via").ends_with(";alias"), "{invite}");
        callee.send(&callee.answer(&invite, answer, false));
        lines.push(callee);
    }
    caller.receive("SIP/2.0 486");
    // The next call finds both connections open, each for its trunk.
    caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c2", 1, ""));
    assert!(pbx.accept().is_err(), "without a certificate");
    for (callee, answer) in lines.iter_mut().zip(["503 Service Unavailable", "486 Busy Here"]) {
        let invite = callee.receive("INVITE");
        callee.send(&callee.answer(&invite, answer, false));
    }
    caller.receive("SIP/2.0 486");
    assert!(pbx.is_alone());
    assert_eq!(edge.metric("trunkgate_failovers_total{route=\"route-1\",reason=\"tls_failed\"}"), 2.0);
}

#[test]
fn rfc5923_5_calls_reuse_the_connection() {
    let papers = Papers::new();
    let own = papers.authority.issue("pbx", &["127.0.0.5", "pbx.example"]);
    let others = papers.authority.issue("else", &["else.example"]);
    let pbx = Server::new("127.0.0.5", &own, None);
    let ca = &papers.authority.file;
    let trunks = format!(
        "[trunk.pbx]\noptions_interval = \"0s\"\npeers = [\"sip:{};transport=tls\"]\n\
         tls = {{ ca = {ca:?}, names = [\"pbx.example\"] }}\n\
         [trunk.else]\ntls = {{ ca = {ca:?}, names = [\"else.example\"] }}\n",
        pbx.address
    );
    let edge = Process::start(&papers.config("", &outward(&trunks, "\"trunk:pbx\"")));
    let mut caller = papers.client("127.0.0.1", None).connect(edge.address("tls")).unwrap();
    let hello = |pair, call: &str, alias: &str| {
        let mut line = papers.client("127.0.0.5", Some(pair)).connect(edge.address("tls")).unwrap();
        let request = line.request("OPTIONS", "sip:edge", call, 1, "");
        line.send(&request.replace(&format!("{};branch", line.local), &format!("{}{alias};branch", pbx.address)));
        line.receive("SIP/2.0 200");
        line
    };
    // The connection is not reused without the parameter, nor with another party's certificate.
    let (_silent, _other) = (hello(&own, "o1", ""), hello(&others, "o2", ";alias"));
    caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c1", 1, ""));
    let mut callee = pbx.accept().unwrap();
    let invite = callee.receive("INVITE");
    callee.send(&callee.answer(&invite, "486 Busy Here", false));
    caller.receive("SIP/2.0 486");
    drop(callee);
    until("the edge has seen it go", || (edge.metric("trunkgate_sip_connections_active") == 3.0).then_some(()));
    // The newest connection is used: the one before may belong to a remote party that has restarted.
    let (_before, mut line) = (hello(&own, "o3", ";alias"), hello(&own, "o4", ";alias"));
    caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c2", 1, ""));
    let invite = line.receive("INVITE");
    line.send(&line.answer(&invite, "486 Busy Here", false));
    caller.receive("SIP/2.0 486");
    assert!(pbx.is_alone());
    // The connection closes during a call attempt, which at once continues over another one.
    caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c3", 1, ""));
    line.receive("INVITE");
    drop(line);
    let mut callee = pbx.accept().unwrap();
    let invite = callee.receive("INVITE");
    callee.send(&callee.answer(&invite, "486 Busy Here", false));
    caller.receive("SIP/2.0 486");
}

/// Returns the certificate that the edge presents to a new client.
fn shown_now(papers: &Papers, to: SocketAddr) -> Vec<u8> {
    let line = papers.client("127.0.0.1", None).connect(to).unwrap();
    line.shown.as_ref().unwrap().to_vec()
}

#[test]
fn a_new_certificate_is_taken_up_and_a_bad_one_is_not() {
    let papers = Papers::new();
    let edge = Process::start(&papers.config("", ONE_TRUNK));
    let sip = edge.address("tls");
    let mut live = papers.client("127.0.0.1", None).connect(sip).unwrap();
    let old = shown_now(&papers, sip);
    let expiry = "trunkgate_tls_certificate_expiry_timestamp_seconds{listener=\"s\"}";
    assert_eq!(edge.metric(expiry), 4_070_908_800.0);
    // A certificate without its key, or an invalid file, changes nothing.
    std::fs::write(&papers.edge.private_key, "text").unwrap();
    until("the log tells", || edge.log().contains("the current one stays in use").then_some(()));
    let problems = || edge.json("/v1/status")["problems"].to_string();
    assert!(
        problems().contains("a certificate file cannot be used: a restart would fail: listener s"),
        "{}",
        problems()
    );
    assert!(edge.json("/v1/status")["listeners"].to_string().contains("\"certificate_days\":2"), "of a far year");
    assert_eq!(shown_now(&papers, sip), old);
    papers.authority.issue_until("edge", &["localhost"], (2098, 1, 1));
    let new = until("the new certificate is shown", || Some(shown_now(&papers, sip)).filter(|shown| *shown != old));
    assert_ne!(new, old);
    assert!(!problems().contains("certificate"), "{}", problems());
    assert!(edge.metric(expiry) < 4_070_908_800.0);
    live.send(&live.request("OPTIONS", "sip:edge", "o", 1, ""));
    live.receive("SIP/2.0 200");
    let log = edge.whole_log();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
    drop(papers.folder);
}

/// The listener has several certificates: an invalid one does not affect the others.
#[test]
fn a_renewed_certificate_is_taken_up_beside_a_broken_one() {
    let papers = Papers::new();
    let further = ["one", "two"].map(|name| papers.authority.issue(name, &[&format!("{name}.example.com")]));
    let keys = further.each_ref().map(|pair| format!("{{ {} }}", pair.keys(", "))).join(", ");
    let edge = Process::start(&papers.config(&format!("certificates = [{keys}]"), ONE_TRUNK));
    let sip = edge.address("tls");
    let shown_for = |name: &str| {
        let line = papers.client("127.0.0.1", None).connect_as(name, sip).unwrap();
        line.shown.as_ref().unwrap().to_vec()
    };
    let old = ["localhost", "one.example.com", "two.example.com"].map(shown_for);
    let file = further[0].certificate.display().to_string();
    std::fs::write(&further[0].certificate, "text").unwrap();
    let problem = until("the broken one is named", || {
        let status = edge.json("/v1/status");
        let problems = status["problems"].as_array().unwrap();
        problems.iter().filter_map(|one| one.as_str()).find(|one| one.contains(&file)).map(str::to_owned)
    });
    assert!(problem.contains("a certificate file cannot be used: a restart would fail: listener s"), "{problem}");
    papers.authority.issue_until("edge", &["localhost"], (2098, 1, 1));
    papers.authority.issue_until("two", &["two.example.com"], (2098, 1, 1));
    until("the renewed ones are shown", || {
        let is_new = shown_for("localhost") != old[0] && shown_for("two.example.com") != old[2];
        is_new.then_some(())
    });
    assert_eq!(shown_for("one.example.com"), old[1], "the broken one keeps its earlier version");
    assert!(edge.json("/v1/status")["problems"].to_string().contains(&file));
    papers.authority.issue_until("one", &["one.example.com"], (2098, 1, 1));
    until("the mended one is shown", || (shown_for("one.example.com") != old[1]).then_some(()));
    let problems = edge.json("/v1/status")["problems"].to_string();
    assert!(!problems.contains("certificate"), "{problems}");
}

/// The edge's own certificate has expired, which is not a fault of the trunk.
#[test]
fn a_rejected_certificate_of_ours_is_named_with_its_file_until_it_is_replaced() {
    let papers = Papers::new();
    papers.authority.issue_until("edge", &["localhost"], (2020, 1, 1));
    let edge = Process::start(&papers.config("", ONE_TRUNK));
    let sip = edge.address("tls");
    let first = || edge.json("/v1/status")["problem_details"][0].clone();
    let file = papers.edge.certificate.display().to_string();
    assert!(papers.client("127.0.0.1", None).connect(sip).is_err(), "it has expired");
    let problem = until("the handshake is counted", || {
        let problem = first();
        problem["evidence"].as_str().is_some_and(|text| text.contains("1 failed handshake")).then_some(problem)
    });
    let headline = format!("certificate of listener s expired on 2020-01-01 00:00 UTC ({file})");
    assert_eq!((&problem["harm"], &problem["headline"]), (&"calls".into(), &headline.into()));
    assert!(problem["evidence"].as_str().unwrap().contains("rejected our certificate: it has expired"), "{problem:#}");
    assert!(problem["fix"].as_str().unwrap().contains(&file), "{problem:#}");
    // The expired certificate is replaced, and the problem ends.
    papers.authority.issue_until("edge", &["localhost"], (2098, 1, 1));
    until("the new one is shown", || papers.client("127.0.0.1", None).connect(sip).ok());
    assert_eq!(first(), serde_json::Value::Null);
    // This certificate is from an authority that the trunk does not trust.
    let other = Client { trusts: &papers.other, ..papers.client("127.0.0.1", None) };
    assert!(other.connect(sip).is_err());
    let problem = until("that one is counted", || Some(first()).filter(|problem| !problem.is_null()));
    let headline = format!("TLS to listener s fails: our certificate is rejected ({file})");
    assert_eq!((&problem["harm"], &problem["headline"]), (&"calls".into(), &headline.into()));
    assert!(problem["evidence"].as_str().unwrap().contains("its issuer is not trusted there"), "{problem:#}");
    papers.authority.issue_until("edge", &["localhost"], (2099, 1, 1));
    until("the problem is withdrawn", || first().is_null().then_some(()));
}

#[test]
fn a_reload_reads_other_files_and_refuses_bad_ones() {
    let papers = Papers::new();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 5);
    let soon = soon.strftime("%Y %m %d").to_string();
    let [year, month, day] = soon.split(' ').collect::<Vec<_>>()[..] else { panic!("{soon}") };
    let end = (year.parse().unwrap(), month.parse().unwrap(), day.parse().unwrap());
    let next = papers.authority.issue_until("next", &["localhost"], end);
    let text = papers.config("", ONE_TRUNK);
    let edge = Process::start(&text);
    let sip = edge.address("tls");
    let old = shown_now(&papers, sip);
    std::fs::write(&edge.file, text.replace("edge.pem", "authority.pem")).unwrap();
    edge.signal(nix::sys::signal::Signal::SIGHUP);
    until("the file is refused", || edge.log().contains("TG0114").then_some(()));
    assert_eq!(shown_now(&papers, sip), old);
    std::fs::write(&edge.file, text.replace("edge.pem", "next.pem").replace("edge.key", "next.key")).unwrap();
    edge.signal(nix::sys::signal::Signal::SIGHUP);
    let (chain, _) = next.read();
    until("the other is shown", || (shown_now(&papers, sip) == chain[0].to_vec()).then_some(()));
    until("its end is warned of", || edge.log().contains("certificate of listener s expires on").then_some(()));
    let status = edge.json("/v1/status");
    let problems = status["problems"].to_string();
    assert!(problems.contains("certificate of listener s expires on") && problems.contains("days left"), "{problems}");
    let days = status["listeners"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["certificate_days"].as_i64())
        .collect::<Vec<_>>();
    assert!(matches!(days[..], [3..=5]), "{status}");
}

#[test]
fn after_a_reload_nothing_new_leaves_by_a_connection_made_on_other_terms() {
    let papers = Papers::new();
    let pbx = Server::new("127.0.0.5", &papers.authority.issue("pbx", &["127.0.0.5"]), None);
    let at = pbx.address;
    let trunk = |ca: &Path| {
        format!(
            "[trunk.pbx]\noptions_interval = \"0s\"\npeers = [\"sip:{};transport=tls\"]\ntls = {{ ca = {ca:?} }}\n",
            at
        )
    };
    let text = |ca: &Path| papers.config("", &outward(&trunk(ca), "\"trunk:pbx\""));
    let edge = Process::start(&text(&papers.authority.file));
    let mut caller = papers.client("127.0.0.1", None).connect(edge.address("tls")).unwrap();
    caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c1", 1, ""));
    let mut callee = pbx.accept().unwrap();
    let invite = callee.receive("INVITE");
    callee.send(&callee.answer(&invite, "486 Busy Here", false));
    caller.receive("SIP/2.0 486");
    let reload = |ca: &Path| {
        let reloads = || edge.metric("trunkgate_config_reloads_total{result=\"success\"}");
        let before = reloads();
        std::fs::write(&edge.file, text(ca)).unwrap();
        edge.signal(nix::sys::signal::Signal::SIGHUP);
        until("it is loaded", || (reloads() > before).then_some(()));
    };
    // An unchanged CA file changes nothing; another authority does.
    reload(&papers.authority.file);
    caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c2", 1, ""));
    let invite = callee.receive("INVITE");
    callee.send(&callee.answer(&invite, "486 Busy Here", false));
    caller.receive("SIP/2.0 486");
    reload(&papers.other.file);
    std::thread::spawn(move || drop(pbx.accept()));
    caller.send(&caller.request("INVITE", "sip:+14155550123@edge", "c3", 1, ""));
    caller.receive("SIP/2.0 503");
    assert!(edge.whole_log().contains("tls_failed"), "{}", edge.log());
}

#[test]
fn those_who_never_finish_a_handshake_are_in_nobodys_way() {
    let papers = Papers::new();
    let edge = Process::start(
        &papers.config(
            "",
            &by_certificate(&papers, &papers.authority.file)
                .replace("[[route]]", "[trunk.carrier]\naccept_from = [\"127.0.0.1/32\"]\n[[route]]"),
        ),
    );
    let sip = edge.address("tls");
    let idle: Vec<TcpStream> = (0..200).filter_map(|_| tcp("127.0.0.1", sip).ok()).collect();
    let strangers: Vec<TcpStream> = (0..100).filter_map(|_| tcp("127.0.0.9", sip).ok()).collect();
    let mut line = papers.client("127.0.0.1", None).connect(sip).unwrap();
    line.send(&line.request("OPTIONS", "sip:edge", "o", 1, ""));
    line.receive("SIP/2.0 200");
    let pbx = papers.authority.issue("pbx", &["pbx.example"]);
    let refused = "trunkgate_sip_dropped_total{reason=\"tls_handshake_limit\"}";
    assert!(edge.metric(refused) >= (200 - trunkgate_system::limits::HANDSHAKES_PER_SOURCE) as f64);
    // The edge closes the other connections after a while.
    let mut last = idle.last().unwrap().try_clone().unwrap();
    assert_eq!(rest_of(&mut last), 0);
    let mut line =
        until("a stranger with a certificate is served", || papers.client("127.0.0.9", Some(&pbx)).connect(sip).ok());
    line.send(&line.request("OPTIONS", "sip:edge", "o", 1, ""));
    line.receive("SIP/2.0 200");
    drop(strangers);
}

#[test]
fn resets_at_any_moment_leave_nothing_behind() {
    let papers = Papers::new();
    let mut edge = Process::start(&papers.config("", ONE_TRUNK));
    let sip = edge.address("tls");
    for round in 0..150 {
        match round % 3 {
            0 => {
                let stream = tcp("127.0.0.1", sip).unwrap();
                socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            }
            1 => {
                let mut stream = tcp("127.0.0.1", sip).unwrap();
                let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
                socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            }
            _ => {
                let mut line = papers.client("127.0.0.1", None).connect(sip).unwrap();
                line.send(&line.request("INVITE", "sip:+14155550123@edge", &format!("r{round}"), 1, ""));
                line.reset();
            }
        }
    }
    assert!(edge.is_running());
    until("all are gone", || (edge.metric("trunkgate_sip_connections_active") == 0.0).then_some(()));
    assert_eq!(edge.metric("trunkgate_panics_total"), 0.0);
    let mut line = papers.client("127.0.0.1", None).connect(sip).unwrap();
    line.send(&line.request("OPTIONS", "sip:edge", "o", 1, ""));
    line.receive("SIP/2.0 200");
}
