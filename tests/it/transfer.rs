//! Transfer by REFER through the real binary: the caller hears the ringback tone, then the target; the transferor gets
//! a NOTIFY and leaves.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{SocketAddr, UdpSocket};

use crate::support::calls::{Call, Phone, media_of, received, rtp};
use crate::support::sip::field;
use crate::support::{Process, config, until};
use trunkgate_media::rtp::RtpHeader;

/// Receives the next NOTIFY at the transferor, with this status.
fn told(callee: &Phone, status: &str) -> String {
    loop {
        let (notify, from) = callee.sip.receive("NOTIFY ");
        callee.sip.send(from, &callee.sip.answer_with(&notify, "200 OK", ""));
        if notify.ends_with(&format!("\r\n\r\nSIP/2.0 {status}\r\n")) {
            return notify;
        }
    }
}

/// Waits until packets with this code from one socket arrive at another.
fn heard(what: &str, from: &UdpSocket, to: SocketAddr, by: &UdpSocket, code: u8) {
    until(what, || {
        from.send_to(&rtp(u32::from(code), u16::from(code)), to).unwrap();
        let (packet, _) = received(by);
        packet[RtpHeader::parse(&packet).unwrap().payload].iter().all(|heard| *heard == code).then_some(())
    });
}

fn edge(phones: [&Phone; 3]) -> Process {
    let [caller, callee, target] = phones;
    let text = format!(
        "{}\n{}\n{}\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n\
         [[route]]\nfrom = [\"pbx\"]\nconnect = [\"trunk:desk\"]\n",
        caller.trunk("carrier"),
        callee.trunk("pbx"),
        target.trunk("desk")
    );
    Process::start(&config(&text))
}

#[test]
fn a_caller_that_is_sent_on_hears_a_tone_and_then_the_target() {
    let (caller, callee, target) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge([&caller, &callee, &target]);
    let call = Call::set_up(&edge, "refer", &caller, &callee);
    heard("the callee hears the caller", &caller.rtp, call.near, &callee.rtp, 7);
    let to = format!("Refer-To: <sip:+12125550100@{}>\r\n", call.sip);
    callee.sip.send(call.invite.1, &call.of_callee(&callee, "REFER", 1, &to));
    callee.sip.receive("SIP/2.0 202");
    told(&callee, "100 Trying");
    let (invite, from) = target.sip.receive("INVITE ");
    target.sip.send(from, &target.sip.answer_with(&invite, "180 Ringing", ""));
    told(&callee, "180 Ringing");
    assert_eq!(edge.json("/v1/calls")["calls"][0]["state"], "transferring");
    until("the caller hears a tone", || {
        let (packet, _) = received(&caller.rtp);
        packet[RtpHeader::parse(&packet).unwrap().payload].iter().any(|code| *code & 0x7f < 0x60).then_some(())
    });
    target.sip.send(from, &target.sip.answer_with(&invite, "200 OK", &target.description(1, "")));
    target.sip.receive("ACK ");
    let last = told(&callee, "200 OK");
    assert!(field(&last, "Subscription-State").starts_with("terminated"), "{last}");
    callee.sip.send(call.invite.1, &call.of_callee(&callee, "BYE", 2, ""));
    callee.sip.receive("SIP/2.0 200");
    heard("the target hears the caller", &caller.rtp, call.near, &target.rtp, 9);
    heard("the caller hears the target", &target.rtp, media_of(&invite), &caller.rtp, 11);
    let shown = edge.json("/v1/calls")["calls"][0].clone();
    assert_eq!((&shown["state"], &shown["legs"][1]["reason"]), (&"answered".into(), &"transferred".into()));
    let bye = caller.sip.request_with("BYE", crate::support::calls::NUMBER, call.sip, &call.id, (2, &call.tag), "");
    caller.sip.send(call.sip, &bye);
    let (bye, from) = target.sip.receive("BYE ");
    target.sip.send(from, &target.sip.answer_with(&bye, "200 OK", ""));
}

#[test]
fn a_phone_joins_its_two_calls_and_leaves() {
    let (caller, callee, target) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge([&caller, &callee, &target]);
    let first = Call::set_up(&edge, "first", &caller, &callee);
    heard("the callee hears the caller", &caller.rtp, first.near, &callee.rtp, 7);
    // The callee consults the desk first.
    let consulted = Call::set_up(&edge, "consulted", &callee, &target);
    heard("the desk hears the callee", &callee.rtp, consulted.near, &target.rtp, 8);
    let own_tag = field(&consulted.ok, "From").split(";tag=").nth(1).unwrap();
    let dialog = format!("{}%3Bto-tag%3D{}%3Bfrom-tag%3D{own_tag}", field(&consulted.ok, "Call-ID"), consulted.tag);
    let to = format!("Refer-To: <sip:+12125550100@{}?Replaces={}>\r\n", first.sip, dialog.replace('@', "%40"));
    callee.sip.send(first.invite.1, &first.of_callee(&callee, "REFER", 1, &to));
    callee.sip.receive("SIP/2.0 202");
    told(&callee, "100 Trying");
    let (asked, from) = target.sip.receive("INVITE ");
    target.sip.send(from, &target.sip.answer_with(&asked, "200 OK", &target.description(2, "")));
    target.sip.receive("ACK ");
    told(&callee, "200 OK");
    let (bye, from) = callee.sip.receive("BYE ");
    assert_eq!(field(&bye, "Call-ID"), field(&consulted.ok, "Call-ID"));
    callee.sip.send(from, &callee.sip.answer_with(&bye, "200 OK", ""));
    callee.sip.send(first.invite.1, &first.of_callee(&callee, "BYE", 2, ""));
    callee.sip.receive("SIP/2.0 200");
    heard("the desk hears the caller", &caller.rtp, first.near, &target.rtp, 9);
    heard("the caller hears the desk", &target.rtp, media_of(&asked), &caller.rtp, 11);
    first.hang_up(2, &caller, &target);
}

#[test]
fn a_caller_whose_transfer_fails_hears_the_first_side_again() {
    let (caller, callee, target) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge([&caller, &callee, &target]);
    let call = Call::set_up(&edge, "busy", &caller, &callee);
    heard("the callee hears the caller", &caller.rtp, call.near, &callee.rtp, 7);
    let to = format!("Refer-To: <sip:+12125550100@{}>\r\n", call.sip);
    callee.sip.send(call.invite.1, &call.of_callee(&callee, "REFER", 1, &to));
    callee.sip.receive("SIP/2.0 202");
    let (invite, from) = target.sip.receive("INVITE ");
    target.sip.send(from, &target.sip.answer_with(&invite, "486 Busy Here", ""));
    target.sip.receive("ACK ");
    told(&callee, "486 Busy Here");
    heard("the callee hears the caller again", &caller.rtp, call.near, &callee.rtp, 8);
    heard("the caller hears the callee again", &callee.rtp, call.far, &caller.rtp, 10);
    call.hang_up(2, &caller, &callee);
}
