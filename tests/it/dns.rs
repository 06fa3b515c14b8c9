//! Peers found by DNS (RFC 3263), through the real binary and a name server of the tests.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::SocketAddr;

use crate::support::dns::{Mood, NameServer};
use crate::support::sip::Party;
use crate::support::{Process, config, finish, until};
use serde_json::json;

/// Returns the caller's trunk, and a trunk with these peers by name that sends no OPTIONS, which would mark it down.
fn two_trunks(caller: &Party, peers: &str) -> String {
    config(&format!(
        "[trunk.caller]\npeers = [\"sip:{}\"]\n[trunk.pbx]\npeers = [{peers}]\nno_response_timeout = \"20s\"\noptions_interval = \"0s\"\n\
         [[route]]\nfrom = [\"caller\"]\nconnect = [\"trunk:pbx\"]\n",
        caller.address
    ))
}

fn start(names: &NameServer, config: &str) -> Process {
    let (name, value) = names.variable();
    Process::start_with(config, &[(name, &value)])
}

/// Sends the INVITE of a call.
fn call(edge: &Process, caller: &Party, id: &str) {
    let sip = edge.address("udp");
    caller.send(sip, &caller.request("INVITE", "+14155550123", sip, id, 1, ""));
}

fn refuse(callee: &Party, status: &str) -> String {
    let (invite, from) = callee.receive("INVITE ");
    callee.send(from, &callee.answer(&invite, status, false));
    callee.receive("ACK ");
    invite
}

/// Receives the final response at the caller and acknowledges it.
fn refused(caller: &Party, edge: SocketAddr, id: &str, code: &str) {
    let (answer, _) = caller.receive(&format!("SIP/2.0 {code}"));
    let tag = crate::support::sip::to_tag(&answer).to_owned();
    // The ACK of a rejection has the branch of the INVITE.
    let ack = caller.request("ACK", "+14155550123", edge, id, 1, &tag);
    caller.send(edge, &ack.replace(&format!("{id}ACK1"), &format!("{id}INVITE1")));
}

#[test]
fn rfc3263_a_call_finds_its_peer_by_naptr_srv_and_address_and_fails_over() {
    let names = NameServer::start();
    let (caller, first, second) = (Party::new("127.0.0.1"), Party::new("127.0.0.2"), Party::new("127.0.0.3"));
    let closed = Party::new("127.0.0.4").address;
    names.naptr(
        "pbx.test",
        60,
        &[(10, 10, "SIP+D2U", "_sip._udp.pbx.test"), (5, 10, "SIPS+D2T", "_sips._tcp.pbx.test")],
    );
    names.srv(
        "_sip._udp.pbx.test",
        60,
        &[
            (30, 0, second.address.port(), "two.pbx.test"),
            (10, 0, closed.port(), "closed.pbx.test"),
            (20, 0, first.address.port(), "one.pbx.test"),
        ],
    );
    names.addresses("one.pbx.test", 60, &["127.0.0.2", "2001:db8::1"]);
    names.addresses("two.pbx.test", 60, &["127.0.0.3"]);
    names.addresses("closed.pbx.test", 60, &["127.0.0.4"]);
    let edge = start(&names, &two_trunks(&caller, "\"sip:pbx.test\""));
    let mut asked = names.asked();
    asked.sort();
    asked.dedup();
    let expected =
        ["A closed.pbx.test", "A one.pbx.test", "A two.pbx.test", "NAPTR pbx.test", "SRV _sip._udp.pbx.test"];
    assert_eq!(asked, expected, "no TLS and no IPv6: no listener could reach those");

    // A closed port first, then a 503, then an answer; the Request-URI has the trunk's host name.
    call(&edge, &caller, "one");
    let invite = refuse(&first, "503 Service Unavailable");
    assert!(invite.starts_with("INVITE sip:+14155550123@pbx.test SIP/2.0"), "{invite}");
    refuse(&second, "404 Not Found");
    refused(&caller, edge.address("udp"), "one", "404");
    assert_eq!(names.asked(), Vec::<String>::new(), "known from the start: no call waits for DNS");

    // All addresses of the name belong to the trunk, from any port; no other address does.
    let (known, stranger) = (Party::new("127.0.0.3"), Party::new("127.0.0.9"));
    for party in [&stranger, &known] {
        party.send(edge.address("udp"), &party.request("OPTIONS", "x", edge.address("udp"), "o", 1, ""));
    }
    known.receive("SIP/2.0 200");
    assert!(stranger.heard_nothing());
}

#[test]
fn rfc3263_4_2_a_written_port_turns_srv_off_and_a_written_transport_naptr() {
    let names = NameServer::start();
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.2"));
    let port = callee.address.port();
    names.srv("_sip._udp.pbx.test", 60, &[(0, 0, 9, "nowhere.test")]);
    names.addresses("pbx.test", 60, &["127.0.0.2"]);
    names.srv("_sip._tcp.other.test", 60, &[(0, 0, 5070, "pbx.test")]);
    let peers = format!("\"sip:pbx.test:{port}\", {{ uri = \"sip:other.test;transport=tcp\", priority = 9 }}");
    let edge = start(&names, &two_trunks(&caller, &peers));
    let mut asked = names.asked();
    asked.sort();
    asked.dedup();
    assert_eq!(asked, ["A pbx.test", "SRV _sip._tcp.other.test"]);
    call(&edge, &caller, "one");
    refuse(&callee, "404 Not Found");
    refused(&caller, edge.address("udp"), "one", "404");
}

/// Returns whether calls to a peer go to this address; the log has the DNS answer before that.
fn shows_address(edge: &Process, uri: &str, address: SocketAddr) -> bool {
    let trunks = edge.json("/v1/trunks")["trunks"].clone();
    let mut peers = trunks.as_array().unwrap().iter().flat_map(|trunk| trunk["peers"].as_array().unwrap().iter());
    let peer = peers.find(|peer| peer["uri"] == uri).unwrap();
    peer["addresses"].as_array().unwrap().iter().any(|shown| shown["address"] == address.to_string())
}

#[test]
fn a_name_is_looked_up_again_when_its_time_is_over_and_kept_when_dns_fails() {
    let names = NameServer::start();
    let (caller, old, new) = (Party::new("127.0.0.1"), Party::new("127.0.0.2"), Party::new("127.0.0.3"));
    let server = |ip: &str, party: &Party| {
        names.addresses("host.test", 1, &[ip]);
        names.srv("_sip._udp.pbx.test", 1, &[(0, 0, party.address.port(), "host.test")]);
    };
    server("127.0.0.2", &old);
    let edge = start(&names, &two_trunks(&caller, "\"sip:pbx.test;transport=udp\""));
    call(&edge, &caller, "one");
    refuse(&old, "404 Not Found");
    refused(&caller, edge.address("udp"), "one", "404");

    server("127.0.0.3", &new);
    until("the new server is used", || shows_address(&edge, "sip:pbx.test;transport=udp", new.address).then_some(()));
    call(&edge, &caller, "two");
    refuse(&new, "404 Not Found");
    refused(&caller, edge.address("udp"), "two", "404");

    names.set_mood(Mood::Fails);
    until("DNS is missed", || edge.log().contains("the previous result is still used").then_some(()));
    call(&edge, &caller, "three");
    refuse(&new, "404 Not Found");
    refused(&caller, edge.address("udp"), "three", "404");

    // The name server is probed at growing intervals, and used again once it answers.
    names.set_mood(Mood::Answers);
    server("127.0.0.2", &old);
    until("DNS is back", || (edge.log().matches(&format!("udp:{}", old.address)).count() == 2).then_some(()));
}

#[test]
fn a_name_server_that_is_silent_or_lies_keeps_nobody_from_calling() {
    let names = NameServer::start();
    names.set_mood(Mood::Silent);
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.2"));
    let port = callee.address.port();
    names.addresses("pbx.test", 60, &["127.0.0.2"]);
    let peers = format!(
        "{{ uri = \"sip:pbx.test:{port}\", priority = 1 }}, {{ uri = \"sip:127.0.0.2:{port}\", priority = 2 }}"
    );
    let edge = start(&names, &two_trunks(&caller, &peers));
    names.set_mood(Mood::Lies);
    // The name is not found; the second peer has an address.
    call(&edge, &caller, "one");
    let invite = refuse(&callee, "404 Not Found");
    assert!(invite.contains("@127.0.0.2:"), "{invite}");
    refused(&caller, edge.address("udp"), "one", "404");
    names.set_mood(Mood::Slow);
    names.asked();
    until("it is asked", || (names.count("A pbx.test") > 0).then_some(()));
    names.set_mood(Mood::Answers);
    until("the name is found", || shows_address(&edge, &format!("sip:pbx.test:{port}"), callee.address).then_some(()));
    call(&edge, &caller, "two");
    let invite = refuse(&callee, "404 Not Found");
    assert!(invite.contains("@pbx.test:"), "{invite}");
    refused(&caller, edge.address("udp"), "two", "404");
}

/// Media ports are outside of the ephemeral range: a query from the media range would take a port from a call.
#[test]
fn queries_leave_from_ephemeral_ports() {
    let names = NameServer::start();
    let caller = Party::new("127.0.0.1");
    let peers: String = (0..16).map(|n| format!("\"sip:pbx{n}.test\", ")).collect();
    let _edge = start(&names, &two_trunks(&caller, &peers));
    until("each name is asked for", || (names.sources().len() >= 16).then_some(()));
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let bounds: Vec<u16> = range.split_whitespace().map(|bound| bound.parse().unwrap()).collect();
    let sources = names.sources();
    assert!(sources.iter().all(|from| (bounds[0]..=bounds[1]).contains(&from.port())), "{sources:?}");
}

#[test]
fn a_bare_uri_is_looked_up_by_the_call_and_remembered_for_the_next() {
    let names = NameServer::start();
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.2"));
    names.srv("_sip._udp.far.test", 60, &[(0, 0, callee.address.port(), "host.test")]);
    names.addresses("host.test", 60, &["127.0.0.2"]);
    let text = config(&format!(
        "[trunk.caller]\npeers = [\"sip:{}\"]\n[[route]]\nconnect = [\"sip:desk@far.test\", \"sip:desk@nowhere.test\"]\n",
        caller.address
    ));
    let edge = start(&names, &text);
    assert_eq!(names.asked(), Vec::<String>::new());
    for id in ["one", "two"] {
        call(&edge, &caller, id);
        let invite = refuse(&callee, "503 Service Unavailable");
        assert!(invite.starts_with("INVITE sip:desk@far.test SIP/2.0"), "{invite}");
        refused(&caller, edge.address("udp"), id, "503");
    }
    assert_eq!(names.count("SRV _sip._udp.far.test"), 1);
    assert_eq!(names.count("NAPTR far.test"), 1);
    until("the problem is reported", || edge.log().contains("`nowhere.test` is not found in DNS").then_some(()));
}

#[test]
fn a_trunk_whose_name_is_not_found_is_down_and_says_why() {
    let names = NameServer::start();
    let caller = Party::new("127.0.0.1");
    let edge = start(&names, &two_trunks(&caller, "\"sip:lost.test:5060\""));
    let zero =
        |metric: &str| edge.get("/metrics").1.lines().any(|line| line.starts_with(metric) && line.ends_with(" 0"));
    until("its metrics are 0", || {
        (zero("trunkgate_trunk_up{trunk=\"pbx\"}") && zero("trunkgate_peer_up{trunk=\"pbx\"")).then_some(())
    });
    let status = edge.json("/v1/status");
    let pbx = status["trunks"].as_array().unwrap().iter().find(|trunk| trunk["name"] == "pbx").unwrap();
    assert_eq!((&pbx["state"], &pbx["peers"][0]["state"]), (&"down".into(), &"down".into()));
    let problems = status["problems"].to_string();
    assert!(
        problems.contains("trunk pbx is down: sip:lost.test:5060: name not found in DNS (name_not_found)"),
        "{problems}"
    );
}

#[test]
fn a_name_that_dns_loses_while_the_edge_runs_is_a_problem_of_the_next_restart() {
    let names = NameServer::start();
    let (caller, callee) = (Party::new("127.0.0.1"), Party::new("127.0.0.2"));
    let port = callee.address.port();
    names.addresses("gw.test", 1, &["127.0.0.2"]);
    let edge = start(&names, &two_trunks(&caller, &format!("\"sip:gw.test:{port}\"")));
    let named = || {
        let all = edge.json("/v1/status")["problem_details"].clone();
        all.as_array().unwrap().iter().find(|problem| problem["kind"] == "name_lost").cloned()
    };
    assert_eq!(named(), None);
    names.addresses("gw.test", 1, &[]);
    let what = "gw.test is no longer in DNS: a restart would lose all calls to pbx";
    let problem = until("it is a problem", named);
    assert_eq!((&problem["harm"], &problem["trunk"]), (&json!("restart"), &json!("pbx")), "{problem}");
    assert_eq!(problem["headline"], what);
    let shown = format!("DNS had udp 127.0.0.2:{port} before, which calls still use (sip:gw.test:{port})");
    assert_eq!(problem["evidence"], shown);
    let fix = problem["fix"].as_str().unwrap();
    assert!(fix.starts_with("do not restart the edge; have the DNS record of gw.test restored"), "{fix}");
    assert!(fix.contains(&format!("write `peers = [\"sip:127.0.0.2:{port}\"]`")), "{fix}");
    assert_eq!(finish(&["status", "--check", "--url", &edge.url()]).status.code(), Some(1));
    let why = finish(&["why", "--url", &edge.url(), "--from", "caller", "--called", "+14155550123"]).stdout;
    assert!(String::from_utf8(why).unwrap().contains(what));
    until("the log has it", || edge.log().contains(&format!("problem: {what}")).then_some(()));
    // Calls continue, and the problem ends with its cause.
    call(&edge, &caller, "still");
    refuse(&callee, "404 Not Found");
    refused(&caller, edge.address("udp"), "still", "404");
    names.addresses("gw.test", 1, &["127.0.0.2"]);
    until("it is found again", || named().is_none().then_some(()));
}
