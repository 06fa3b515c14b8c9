//! Reliable provisional responses and UPDATE through the real binary: a caller without an offer hears its callee before
//! the answer, the 2xx waits for the PRACK, and a hold by UPDATE works before the answer too.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::SocketAddr;

use crate::support::calls::{NUMBER, Phone, media_of, received, rtp};
use crate::support::sip::{field, to_tag};
use crate::support::{Process, config, until};
use trunkgate_media::rtp::RtpHeader;

/// Inserts header lines into a message, before those of the body.
fn with(text: &str, lines: &str) -> String {
    text.replacen("Contact:", &format!("{lines}Contact:"), 1)
}

fn edge(caller: &Phone, callee: &Phone) -> Process {
    Process::start(&config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
        caller.trunk("carrier"),
        callee.trunk("pbx")
    )))
}

/// Sends a request from the caller.
fn ask(caller: &Phone, sip: SocketAddr, (method, cseq, tag): (&str, u32, &str), body: &str, lines: &str) {
    let text = caller.sip.request_with(method, NUMBER, sip, "early", (cseq, tag), body);
    caller.sip.send(sip, &with(&text, lines));
}

/// Returns the response to the last request of a phone, skipping retransmissions.
fn answer(phone: &Phone, status: &str, cseq: &str) -> String {
    loop {
        let (text, _) = phone.sip.receive(status);
        if field(&text, "CSeq") == cseq {
            return text;
        }
    }
}

/// Waits until one phone receives the other's audio.
fn hears(from: (&Phone, SocketAddr), to: &Phone, word: u8) {
    until("the other side hears it", || {
        from.0.rtp.send_to(&rtp(u32::from(word), u16::from(word)), from.1).unwrap();
        let (packet, _) = received(&to.rtp);
        let audio = RtpHeader::parse(&packet).unwrap().payload;
        packet[audio].iter().all(|code| *code == word).then_some(())
    });
}

#[test]
fn media_before_the_answer_for_a_caller_that_acknowledges_it() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&caller, &callee);
    let sip = edge.address("udp");
    let ask = |method: &str, cseq, tag: &str, body: &str, lines: &str| {
        ask(&caller, sip, (method, cseq, tag), body, lines);
    };
    ask("INVITE", 1, "", "", "Require: 100rel\r\n");
    let (invite, from) = callee.sip.receive("INVITE ");
    assert_eq!(field(&invite, "Supported"), "100rel, timer, replaces");

    // At the callee: the PRACK arrives without a response of the caller.
    let progress = callee.sip.answer_with(&invite, "183 Session Progress", &callee.description(1, ""));
    callee.sip.send(from, &with(&progress, "Require: 100rel\r\nRSeq: 4711\r\n"));
    let (prack, from) = callee.sip.receive("PRACK ");
    assert_eq!(field(&prack, "RAck"), "4711 1 INVITE");
    callee.sip.send(from, &callee.sip.answer(&prack, "200 OK", false));

    // At the caller: the offer arrives, and the PRACK answers it.
    let (early, _) = caller.sip.receive("SIP/2.0 183");
    assert_eq!(field(&early, "Require"), "100rel");
    let tag = to_tag(&early).to_owned();
    let rack = format!("RAck: {} 1 INVITE\r\n", field(&early, "RSeq"));
    callee.sip.send(from, &with(&callee.sip.answer(&invite, "200 OK", false), "Allow: INVITE, ACK, BYE, UPDATE\r\n"));
    callee.sip.receive("ACK ");
    let (again, _) = caller.sip.receive_any("SIP/2.0 ");
    assert_eq!(again, early, "the 200 waits, and the 183 is repeated");
    ask("PRACK", 2, &tag, &caller.description(1, ""), &rack);
    answer(&caller, "SIP/2.0 200", "2 PRACK");
    let ok = answer(&caller, "SIP/2.0 200", "1 INVITE");
    assert!(!ok.contains("m=audio"), "all has been said: {ok}");
    ask("ACK", 1, &tag, "", "");
    let (near, far) = (media_of(&early), media_of(&invite));
    hears((&caller, near), &callee, 7);
    hears((&callee, far), &caller, 9);

    // The first UPDATE holds the call, and the second only refreshes it.
    ask("UPDATE", 3, &tag, &caller.description(2, "a=sendonly\r\n"), "");
    let (update, from) = callee.sip.receive("UPDATE ");
    assert!(update.contains("a=sendonly"), "{update}");
    callee.sip.send(from, &callee.sip.answer_with(&update, "200 OK", &callee.description(2, "a=recvonly\r\n")));
    assert!(answer(&caller, "SIP/2.0 200", "3 UPDATE").contains("a=recvonly"));
    assert_eq!(edge.json("/v1/calls")["calls"][0]["state"], "held");
    ask("UPDATE", 4, &tag, "", "");
    answer(&caller, "SIP/2.0 200", "4 UPDATE");
    ask("BYE", 5, &tag, "", "");
    let (bye, from) = callee.sip.receive("BYE ");
    callee.sip.send(from, &callee.sip.answer(&bye, "200 OK", false));
    answer(&caller, "SIP/2.0 200", "5 BYE");
}

#[test]
fn an_offer_before_the_answer_goes_on_to_a_callee_that_takes_it() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&caller, &callee);
    let sip = edge.address("udp");
    ask(&caller, sip, ("INVITE", 1, ""), &caller.description(1, ""), "Supported: 100rel\r\n");
    let (invite, from) = callee.sip.receive("INVITE ");
    let progress = callee.sip.answer_with(&invite, "183 Session Progress", &callee.description(1, ""));
    let lines = "Require: 100rel\r\nRSeq: 1\r\nAllow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE\r\n";
    callee.sip.send(from, &with(&progress, lines));
    let (prack, from) = callee.sip.receive("PRACK ");
    callee.sip.send(from, &callee.sip.answer(&prack, "200 OK", false));
    let (early, _) = caller.sip.receive("SIP/2.0 183");
    let tag = to_tag(&early).to_owned();
    ask(&caller, sip, ("PRACK", 2, &tag), "", &format!("RAck: {} 1 INVITE\r\n", field(&early, "RSeq")));
    answer(&caller, "SIP/2.0 200", "2 PRACK");

    ask(&caller, sip, ("UPDATE", 3, &tag), &caller.description(2, "a=sendonly\r\n"), "");
    let (update, from) = callee.sip.receive("UPDATE ");
    assert!(update.contains("a=sendonly"), "{update}");
    callee.sip.send(from, &callee.sip.answer_with(&update, "200 OK", &callee.description(2, "a=recvonly\r\n")));
    assert!(answer(&caller, "SIP/2.0 200", "3 UPDATE").contains("a=recvonly"));
    hears((&caller, media_of(&early)), &callee, 7);
    callee.sip.send(from, &callee.sip.answer(&invite, "200 OK", false));
    callee.sip.receive("ACK ");
    let ok = answer(&caller, "SIP/2.0 200", "1 INVITE");
    assert!(!ok.contains("m=audio"), "all has been said: {ok}");
    ask(&caller, sip, ("ACK", 1, &tag), "", "");
    assert_eq!(edge.json("/v1/calls")["calls"][0]["state"], "held");

    ask(&caller, sip, ("BYE", 4, &tag), "", "");
    let (bye, from) = callee.sip.receive("BYE ");
    callee.sip.send(from, &callee.sip.answer(&bye, "200 OK", false));
    answer(&caller, "SIP/2.0 200", "4 BYE");
}
