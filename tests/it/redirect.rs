//! 302 response of a target through the real binary: a Contact at a trunk's peer is called, and any other is not.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::SocketAddr;

use crate::support::calls::{Call, NUMBER, Phone, received, rtp};
use crate::support::sip::Party;
use crate::support::{Process, config, until};
use trunkgate_media::rtp::RtpHeader;

/// Starts an edge with the first trunk as its only target.
fn edge(caller: &Phone, [first, other]: [&Phone; 2]) -> Process {
    let trunks = [("carrier", caller), ("pbx", first), ("branch", other)];
    let trunks: String = trunks.map(|(name, phone)| phone.trunk(name)).concat();
    Process::start(&config(&format!("{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n")))
}

/// Receives the call at the first trunk, and answers 302 with this Contact.
fn moved(edge: &Process, caller: &Phone, first: &Phone, contact: &str) {
    let sip = edge.address("udp");
    let offer = caller.description(1, "");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "moved", (1, ""), &offer));
    let (invite, from) = first.sip.receive("INVITE ");
    let answer = first.sip.answer_with(&invite, "302 Moved Temporarily", "");
    first.sip.send(from, &answer.replacen(&format!("<sip:callee@{}>", first.sip.address), contact, 1));
    first.sip.receive("ACK ");
}

#[test]
fn who_has_moved_to_a_peer_of_another_trunk_is_called_there() {
    let [caller, first, other] = [(); 3].map(|()| Phone::new("127.0.0.1"));
    let edge = edge(&caller, [&first, &other]);
    let there = other.sip.address;
    moved(&edge, &caller, &first, &format!("<sip:1@192.0.2.66>;q=0.9, <sip:+14155550177@{there}>;q=0.5"));
    let invite = other.sip.receive("INVITE ");
    assert!(invite.0.starts_with(&format!("INVITE sip:+14155550177@{there} SIP/2.0\r\n")), "{}", invite.0);
    let call = Call::answered(edge.address("udp"), "moved", &caller, invite, (&other, &other.description(1, "")));
    let hears = |from: (&Phone, SocketAddr), to: &Phone, word: u8| {
        until("the other side hears it", || {
            from.0.rtp.send_to(&rtp(u32::from(word), u16::from(word)), from.1).unwrap();
            let (packet, _) = received(&to.rtp);
            let audio = RtpHeader::parse(&packet).unwrap().payload;
            packet[audio].iter().all(|code| *code == word).then_some(())
        });
    };
    hears((&caller, call.near), &other, 7);
    hears((&other, call.far), &caller, 9);
    let legs = &edge.json("/v1/calls")["calls"][0]["legs"];
    assert_eq!(legs[1]["reason"], "transferred", "{legs}");
    call.hang_up(2, &caller, &other);
}

#[test]
fn who_has_moved_to_nobody_s_address_is_not_followed() {
    let [caller, first, other] = [(); 3].map(|()| Phone::new("127.0.0.1"));
    let edge = edge(&caller, [&first, &other]);
    let stranger = Party::new("127.0.0.77");
    moved(&edge, &caller, &first, &format!("<sip:+14155550177@{}>", stranger.address));
    caller.sip.receive("SIP/2.0 500");
    assert!(stranger.heard_nothing() && other.sip.heard_nothing(), "no target is called");
}
