//! Address shown to each party of a call without `public_address`, on a machine with two interfaces.

#![allow(clippy::unwrap_used, clippy::panic)] // only tests stand here

use std::net::{IpAddr, SocketAddr};

use trunkgate_call::{Addressing, Interfaces, ListenerSpec};
use trunkgate_media::MediaCommand;
use trunkgate_sip::{ListenerId, Transport};

use crate::bench::*;

/// Addresses of the edge on the administrators' side, and on the carrier's.
const ADMIN: &str = "192.0.2.9";
const OUTSIDE: &str = "198.51.100.10";
/// A target behind the carrier's router.
const FAR: &str = "203.0.113.5:5060";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Returns the machine's addressing; the carrier's network has a route of its own.
fn machine(listen: &str, default_v4: Option<&str>) -> Addressing {
    let network = |text: &str, own: &str| (text.parse().unwrap(), ip(own));
    Addressing {
        listeners: vec![ListenerSpec {
            id: ListenerId(0),
            name: "u".into(),
            transport: Transport::Udp,
            bound: SocketAddr::new(ip(listen), 5060),
            public_addresses: vec![],
        }],
        interfaces: Interfaces {
            networks: vec![network("192.0.2.0/24", ADMIN), network("198.51.100.0/24", OUTSIDE)],
            routes: vec![network("203.0.113.0/24", OUTSIDE)],
            default_v4: default_v4.map(ip),
            default_v6: None,
        },
        media_bind: vec![ip("0.0.0.0")],
        ..Addressing::default()
    }
}

/// Makes an answered call to the far target; returns its INVITE, the caller's 200, and the addresses that media sockets
/// are bound to.
fn call(addressing: Addressing, offer: &str) -> (Sent, Sent, Vec<IpAddr>) {
    let trunks = vec![trunk("carrier", &[CARRIER]), trunk("far", &[FAR])];
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("far")])]));
    bench.configure(|settings| settings.addressing = addressing);
    let mut caller = bench.invite(CARRIER, "+14155550100", offer);
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(FAR, bench.expect(FAR, "INVITE"));
    bench.receive(FAR, callee.answer(200, &sdp("203.0.113.5", 30_000, 1, "0 101", "sendrecv")));
    bench.expect(FAR, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let bound = |command: &MediaCommand| {
        if let MediaCommand::AddEnd { spec, .. } = command { Some(spec.bind.ip()) } else { None }
    };
    let bound = bench.take_media().iter().filter_map(bound).collect();
    bench.bye(&mut caller, &callee);
    bench.finish();
    (callee.invite, ok, bound)
}

fn shows(message: &Sent, sip: &str, media: &str) {
    assert!(message.text.contains(&format!("c=IN IP4 {media}\r\n")), "{media}: {}", message.text);
    assert!(message.header("Contact").contains(&format!("@{sip}:5060")), "{sip}: {}", message.text);
}

#[test]
fn both_sides_are_shown_the_carrier_s_side_with_and_without_a_default_route() {
    for default in [None, Some(ADMIN)] {
        for listen in [OUTSIDE, "0.0.0.0"] {
            let (invite, ok, bound) = call(machine(listen, default), &offer());
            shows(&invite, OUTSIDE, OUTSIDE);
            shows(&ok, OUTSIDE, OUTSIDE);
            assert!(invite.header("Via").contains(OUTSIDE), "{}", invite.text);
            assert!(bound.iter().all(IpAddr::is_unspecified), "{bound:?}");
        }
    }
}

#[test]
fn media_comes_from_the_address_that_is_shown() {
    // By the system's routes the far target is on the administrators' side; a rule by source address decides otherwise.
    let mut machine = machine(OUTSIDE, Some(ADMIN));
    machine.interfaces.routes.clear();
    let (invite, ok, bound) = call(machine, &offer());
    shows(&invite, OUTSIDE, OUTSIDE);
    shows(&ok, OUTSIDE, OUTSIDE);
    assert!(bound.contains(&ip(OUTSIDE)), "{bound:?}");
}

#[test]
fn a_caller_is_shown_the_side_that_its_media_is_at() {
    let at = |media: &str| sdp(media, 40_000, 1, "0 8 101", "sendrecv");
    for (media, shown) in [("192.0.2.33", ADMIN), ("203.0.113.8", OUTSIDE), ("127.0.0.1", OUTSIDE)] {
        let machine = machine("0.0.0.0", None);
        if media != "127.0.0.1" {
            let (invite, ok, _) = call(machine.clone(), &at(media));
            shows(&ok, OUTSIDE, shown);
            shows(&invite, OUTSIDE, OUTSIDE);
        }
        let told = machine.media_shown_to_offer(ip("198.51.100.7"), ip(media), ListenerId(0));
        assert_eq!(told, Some(ip(shown)), "{media}");
    }
}
