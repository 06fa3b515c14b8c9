//! Addresses that each party sees without `public_address`, by the real binary on loopback addresses.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{IpAddr, SocketAddr};

use crate::support::calls::{NUMBER, Phone};
use crate::support::sip::{field, to_tag};
use crate::support::{Process, media_ports, until};

const CALLER: &str = "127.0.0.9";
const CALLEE: &str = "127.0.0.5";

/// Starts an edge with this listener and media address between the two phones.
fn edge(listen: &str, media: &str, more: &str, callee: &Phone) -> Process {
    Process::start(&format!(
        "[edge]\nname = \"under-test\"\n{more}\
         [[listen]]\nname = \"u\"\ntransport = \"udp\"\naddress = \"{listen}:0\"\n\
         [media]\naddress = [\"{media}\"]\nthreads = 1\n{}[http]\naddress = \"127.0.0.1:0\"\n\
         [trunk.tester]\naccept_from = [\"{CALLER}/32\"]\n{}\
         [[route]]\nfrom = [\"tester\"]\nconnect = [\"trunk:pbx\"]\n",
        media_ports::line(),
        callee.trunk("pbx")
    ))
}

/// Returns the host of the URI in a Contact.
fn contact(message: &str) -> &str {
    let uri = field(message, "Contact").split_once("sip:").unwrap().1;
    let host = uri.split_once('@').map_or(uri, |(_, host)| host);
    host.split([':', ';', '>']).next().unwrap()
}

/// Returns the address in the SDP of a message.
fn media(message: &str) -> &str {
    message.lines().find_map(|line| line.strip_prefix("c=IN IP4 ")).unwrap()
}

#[test]
fn each_party_is_shown_the_listener_s_address_else_that_of_the_route() {
    let public = "public_address = \"127.0.0.77\"\nlocal_networks = [\"10.0.0.0/8\"]\n";
    for (listen, bound, more, shown) in [
        ("127.0.0.2", "0.0.0.0", "", "127.0.0.2"),
        ("127.0.0.2", "127.0.0.3", "", "127.0.0.3"),
        ("0.0.0.0", "0.0.0.0", "", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.3", "", "127.0.0.3"),
        ("127.0.0.2", "0.0.0.0", public, "127.0.0.77"),
    ] {
        let (caller, callee) = (Phone::new(CALLER), Phone::new(CALLEE));
        let edge = edge(listen, bound, more, &callee);
        let mut sip = edge.address("udp");
        if sip.ip().is_unspecified() {
            sip.set_ip(IpAddr::from([127, 0, 0, 1]));
        }
        let (invite, ok) = set_up(sip, &caller, &callee);
        let of_sip = match (more.is_empty(), listen) {
            (false, _) => "127.0.0.77",
            (true, "0.0.0.0") => "127.0.0.1",
            (true, own) => own,
        };
        for (whom, message) in [(CALLER, &ok), (CALLEE, &invite)] {
            assert_eq!((media(message), contact(message)), (shown, of_sip), "{listen} {bound} {whom}\n{message}");
            assert_ne!(media(message), whom);
        }
        assert!(field(&invite, "Via").contains(of_sip), "{}", invite);
        // The status reports the address for both trunks.
        let trunks = edge.json("/v1/trunks");
        for (name, whom) in [("tester", CALLER), ("pbx", CALLEE)] {
            let trunk = trunks["trunks"].as_array().unwrap().iter().find(|trunk| trunk["name"] == name).unwrap();
            let told = serde_json::json!([{"to": whom, "sip": of_sip, "media": shown}]);
            assert_eq!(trunk["announced"], told, "{listen} {bound}");
        }
        if more.is_empty() {
            // Media arrives at the address of the SDP.
            callee.rtp.set_nonblocking(true).unwrap();
            let heard = until("the callee hears the caller", || {
                caller.rtp.send_to(&packet(), (shown, port(&ok))).unwrap();
                callee.rtp.recv_from(&mut [0; 2048]).ok()
            });
            assert_eq!(heard.0, 172);
        }
    }
}

/// Sets up a call; returns the callee's INVITE and the caller's 200.
fn set_up(sip: SocketAddr, caller: &Phone, callee: &Phone) -> (String, String) {
    let offer = caller.description(1, "");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "shown", (1, ""), &offer));
    let (invite, from) = callee.sip.receive("INVITE ");
    callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &callee.description(1, "")));
    callee.sip.receive("ACK ");
    let (ok, _) = caller.sip.receive("SIP/2.0 200");
    caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, "shown", (1, to_tag(&ok)), ""));
    (invite, ok)
}

/// Returns the port in the SDP of a message.
fn port(message: &str) -> u16 {
    let section = message.lines().find_map(|line| line.strip_prefix("m=audio ")).unwrap();
    section.split(' ').next().unwrap().parse().unwrap()
}

/// Returns a packet of 20 ms of PCMU.
fn packet() -> Vec<u8> {
    let mut packet = vec![0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7];
    packet.resize(172, 0x7f);
    packet
}
