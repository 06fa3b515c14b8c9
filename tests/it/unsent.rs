//! Packets blocked on this machine, simulated without privileges by a loopback address that sends to a foreign network:
//! trace, `status` and `doctor` name this machine, not the remote party. A firewall causes `Unsent::Forbidden`, which
//! is tested by its number only.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::TcpListener;

use crate::support::calls::{Call, NUMBER, Phone, rtp};
use crate::support::sip::to_tag;
use crate::support::{Process, config, finish, until};

/// Address of TEST-NET-1 (RFC 5737), which a loopback address cannot reach.
const FOREIGN: &str = "192.0.2.77";

fn start(trunks: &str) -> Process {
    let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = config(&format!("{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n"));
    Process::start(&text.replace("[http]\naddress = \"127.0.0.1:0\"", &format!("[http]\naddress = \"{http}\"")))
}

/// Returns the output of a command, with its lines joined.
fn told(arguments: &[&str]) -> String {
    let output = finish(arguments);
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_told(edge: &Process, count: &str, cause: &str) {
    let url = edge.url();
    let status = told(&["status", "--url", &url]);
    let line = format!("! packets not sent in {count} of the last hour with pbx: {cause}");
    assert!(status.contains(&line) && status.contains(" try: run `ip route get 192.0.2.77"), "{status}");
    let doctor = told(&["--config", edge.file.to_str().unwrap(), "doctor", "--only", "outbound udp"]);
    assert!(
        doctor.contains("FAIL outbound udp pbx") && doctor.contains("try: run `ip route get 192.0.2.77"),
        "{doctor}"
    );
}

#[test]
fn audio_that_the_system_refuses() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::behind_nat("127.0.0.1", FOREIGN));
    let edge = start(&(caller.trunk("carrier") + &callee.trunk("pbx")));
    let call = Call::set_up(&edge, "unsent", &caller, &callee);
    let cause = format!(
        "this machine cannot send packets to {FOREIGN}:{}: the source address cannot be used for this destination (EINVAL)",
        callee.rtp_address().port()
    );
    let mut sent = 0;
    until("the verdict says so", || {
        caller.rtp.send_to(&rtp(7, sent), call.near).unwrap();
        sent += 1;
        let trace = told(&["trace", "last", "--url", &edge.url()]);
        trace.contains(&format!("No media from pbx: {cause}")).then_some(())
    });
    until("its trunk knows", || told(&["status", "--url", &edge.url()]).contains("cannot send packets").then_some(()));
    is_told(&edge, "1 of 1 calls", &cause);
    // One cause has one line.
    let status = told(&["status", "--url", &edge.url()]);
    assert!(!status.contains("no media from pbx"), "{status}");
}

#[test]
fn an_invite_that_the_system_refuses() {
    let caller = Phone::new("127.0.0.1");
    let pbx = format!("[trunk.pbx]\npeers = [\"sip:{FOREIGN}\"]\noptions_interval = \"0s\"\n");
    let edge = start(&(caller.trunk("carrier") + &pbx));
    let sip = edge.address("udp");
    caller
        .sip
        .send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "unsent", (1, ""), &caller.description(1, "")));
    let (refused, _) = caller.sip.receive("SIP/2.0 503");
    caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, "unsent", (1, to_tag(&refused)), ""));
    let trace = told(&["trace", "last", "--url", &edge.url()]);
    let cause = format!("this machine cannot send packets to {FOREIGN}:5060: the source address cannot be used");
    assert!(trace.contains(&format!("a target could not be reached: {cause}")), "{trace}");
    assert!(trace.contains("Try: run `ip route get 192.0.2.77` and set `[[listen]] address`"), "{trace}");
    is_told(&edge, "1 of 1 calls", &cause);
}
