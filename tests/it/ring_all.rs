//! Targets that ring at the same time, through the real binary: the first answer wins, and the others are canceled.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use crate::support::calls::{Call, NUMBER, Phone, received, rtp};
use crate::support::sip::field;
use crate::support::{Process, config, until};
use trunkgate_media::rtp::RtpHeader;

/// Starts an edge that rings two phones at once, and then the last one.
fn edge(caller: &Phone, [one, two, last]: [&Phone; 3]) -> Process {
    let trunks = [("carrier", caller), ("one", one), ("two", two), ("last", last)];
    let trunks: String = trunks.map(|(name, phone)| phone.trunk(name)).concat();
    let connect = "connect = [{ ring_all = [\"trunk:one\", \"trunk:two\"] }, \"trunk:last\"]";
    Process::start(&config(&format!("{trunks}[[route]]\nfrom = [\"carrier\"]\n{connect}\n")))
}

fn invite(edge: &Process, id: &str, caller: &Phone) {
    let sip = edge.address("udp");
    let offer = caller.description(1, "");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &offer));
}

#[test]
fn the_first_that_answers_is_heard_and_the_other_one_is_withdrawn() {
    let [caller, one, two, last] = [(); 4].map(|()| Phone::new("127.0.0.1"));
    let edge = edge(&caller, [&one, &two, &last]);
    invite(&edge, "both", &caller);
    let (first, second) = (one.sip.receive("INVITE "), two.sip.receive("INVITE "));
    one.sip.send(first.1, &one.sip.answer_with(&first.0, "180 Ringing", ""));
    caller.sip.receive("SIP/2.0 180");
    let call = Call::answered(edge.address("udp"), "both", &caller, second, (&two, &two.description(1, "")));
    let (cancel, from) = one.sip.receive("CANCEL ");
    assert_eq!(field(&cancel, "Reason"), "SIP;cause=200;text=\"Call completed elsewhere\"");
    one.sip.send(from, &one.sip.answer_with(&cancel, "200 OK", ""));
    one.sip.send(from, &one.sip.answer_with(&first.0, "487 Request Terminated", ""));
    one.sip.receive("ACK ");
    until("the one that answered hears the caller", || {
        caller.rtp.send_to(&rtp(9, 7), call.near).unwrap();
        let (packet, _) = received(&two.rtp);
        let audio = RtpHeader::parse(&packet).unwrap().payload;
        packet[audio].iter().all(|code| *code == 7).then_some(())
    });
    call.hang_up(2, &caller, &two);
}

#[test]
fn when_all_have_refused_the_next_target_is_asked() {
    let [caller, one, two, last] = [(); 4].map(|()| Phone::new("127.0.0.1"));
    let edge = edge(&caller, [&one, &two, &last]);
    invite(&edge, "refused", &caller);
    for (phone, word) in [(&one, "404 Not Found"), (&two, "480 Temporarily Unavailable")] {
        let (invite, from) = phone.sip.receive("INVITE ");
        phone.sip.send(from, &phone.sip.answer_with(&invite, word, ""));
        phone.sip.receive("ACK ");
    }
    let invite = last.sip.receive("INVITE ");
    let call = Call::answered(edge.address("udp"), "refused", &caller, invite, (&last, &last.description(1, "")));
    call.hang_up(2, &caller, &last);
}
