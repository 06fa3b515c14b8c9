//! SRTP past the 65,536th packet of a stream (RFC 3711 §3.3.1), through the real binary: the roll-over counters of both
//! sides continue across transcoding and a change of legs.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::SocketAddr;

use crate::support::calls::{Call, NUMBER, Phone, media_of};
use crate::support::codecs::Codec;
use crate::support::secure::{Media, described, offered};
use crate::support::sip::field;
use crate::support::{Process, config, until};
use trunkgate_media::codec::g711;
use trunkgate_media::rtp::RtpHeader;

/// First sequence number of each stream: 30 packets before the roll-over.
const BEGIN: usize = 65_506;
/// Index of a packet with a sequence number in the upper half, after the roll-over.
const UPPER: usize = 0x1_c000;

fn trunk(phone: &Phone, name: &str, codecs: &str) -> String {
    format!("{}codecs = [{codecs}]\nsrtp = \"required\"\n", phone.trunk(name))
}

fn payload(packet: &[u8]) -> (u16, Vec<u8>) {
    let rtp = RtpHeader::parse(packet).unwrap();
    (rtp.sequence, packet[rtp.payload].to_vec())
}

/// Sends packets one by one, each of which must arrive with its audio; returns the sequence number that arrived last.
fn says(
    from: &mut Media<'_>,
    said: Codec,
    packets: std::ops::Range<usize>,
    to: &mut Media<'_>,
    code: fn(u8) -> u8,
) -> u16 {
    let mut last = None;
    for n in packets {
        // No two packets are equal.
        let audio: Vec<u8> = (0..160).map(|at| (n + at) as u8 | 1).collect();
        from.send(&said.packet(n, said.number(), &audio));
        let (sequence, heard) = payload(&to.receive());
        assert_eq!(heard, audio.iter().map(|byte| code(*byte)).collect::<Vec<_>>(), "packet {n}");
        assert!(last.replace(sequence).is_none_or(|last: u16| sequence == last.wrapping_add(1)), "packet {n}");
    }
    last.unwrap()
}

/// Changes the caller's format; the callee keeps its format, and both keep their keys.
fn changes(call: &Call, cseq: u32, caller: &Phone, format: &str, callee: &Phone) {
    let offer = described(caller, cseq, format, Some((1, 3)), "sendrecv");
    let request =
        |method: &str, body: &str| caller.sip.request_with(method, NUMBER, call.sip, &call.id, (cseq, &call.tag), body);
    caller.sip.send(call.sip, &request("INVITE", &offer));
    let (invite, from) = callee.sip.receive("INVITE ");
    let answer = described(callee, cseq, "0", Some((offered(&invite).unwrap().0, 9)), "sendrecv");
    callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &answer));
    callee.sip.receive("ACK ");
    while field(&caller.sip.receive("SIP/2.0 200").0, "CSeq") != format!("{cseq} INVITE") {}
    caller.sip.send(call.sip, &request("ACK", ""));
}

/// The packets of both sides are relayed until near the roll-over; then the caller changes its codec.
#[test]
fn rfc3711_3_3_1_converted_audio_goes_on_past_the_roll_over() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
    let edge = Process::start(&config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
        trunk(&caller, "carrier", "\"PCMU\", \"PCMA\""),
        trunk(&callee, "pbx", "\"PCMU\"")
    )));
    let sip = edge.address("udp");
    let (call, mut near, mut far) = secure(sip, "roll-1", (&caller, 3), (&callee, 9));
    let relayed = BEGIN..BEGIN + 20;
    says(&mut near, Codec::Pcmu, relayed.clone(), &mut far, |code| code);
    says(&mut far, Codec::Pcmu, relayed, &mut near, |code| code);
    changes(&call, 2, &caller, "8", &callee);
    let converted = BEGIN + 20..BEGIN + 100;
    let there = says(&mut near, Codec::Pcma, converted.clone(), &mut far, g711::alaw_to_ulaw);
    let back = says(&mut far, Codec::Pcmu, converted, &mut near, g711::ulaw_to_alaw);
    // By now, both streams have rolled over.
    assert!(there < 100 && back < 100, "{there} {back}");
    changes(&call, 3, &caller, "0", &callee);
    let relayed = BEGIN + 100..BEGIN + 120;
    says(&mut near, Codec::Pcmu, relayed.clone(), &mut far, |code| code);
    says(&mut far, Codec::Pcmu, relayed, &mut near, |code| code);
    call.hang_up(4, &caller, &callee);
}

/// Sets up a call with SRTP on both sides; returns the call, and the media of each side.
fn secure<'a>(
    sip: SocketAddr,
    id: &str,
    (caller, seed): (&'a Phone, u8),
    (callee, other): (&'a Phone, u8),
) -> (Call, Media<'a>, Media<'a>) {
    let offer = described(caller, 1, "0", Some((1, seed)), "sendrecv");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &offer));
    let invite = callee.sip.receive("INVITE ");
    let answer = described(callee, 1, "0", Some((offered(&invite.0).unwrap().0, other)), "sendrecv");
    let call = Call::answered(sip, id, caller, invite, (callee, &answer));
    let near = Media::new(caller, call.near, Some(seed), &call.ok);
    let far = Media::new(callee, call.far, Some(other), &call.invite.0);
    (call, near, far)
}

/// Sends packets until one is received; returns the number of the next packet.
fn reaches(from: &mut Media<'_>, begin: usize, to: &mut Media<'_>) -> usize {
    let mut n = begin;
    until("it is heard", || {
        from.send(&Codec::Pcmu.packet(n, 0, &[n as u8; 160]));
        n += 1;
        to.drain().iter().any(|packet| payload(packet).1 == [(n - 1) as u8; 160]).then_some(())
    });
    n
}

/// Two calls of a phone have rolled over, with SRTP on all sides: a transfer joins their remote parties.
#[test]
fn rfc3711_3_3_1_calls_that_are_joined_go_on_after_the_roll_over() {
    let (caller, callee, target) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = Process::start(&config(&format!(
        "{}{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n\
         [[route]]\nfrom = [\"pbx\"]\nconnect = [\"trunk:desk\"]\n",
        trunk(&caller, "carrier", "\"PCMU\""),
        trunk(&callee, "pbx", "\"PCMU\""),
        trunk(&target, "desk", "\"PCMU\"")
    )));
    let sip = edge.address("udp");
    let rolled = BEGIN..BEGIN + 100;
    let (first, mut near, mut of_callee) = secure(sip, "first", (&caller, 3), (&callee, 9));
    says(&mut near, Codec::Pcmu, rolled.clone(), &mut of_callee, |code| code);
    says(&mut of_callee, Codec::Pcmu, rolled.clone(), &mut near, |code| code);
    let (consulted, mut of_callee, mut far) = secure(sip, "consulted", (&callee, 5), (&target, 7));
    says(&mut of_callee, Codec::Pcmu, rolled.clone(), &mut far, |code| code);
    says(&mut far, Codec::Pcmu, rolled, &mut of_callee, |code| code);
    // The streams go on to the upper half of the numbers, in which a first packet does not reveal the roll-over.
    for n in [0x1_7000, UPPER] {
        says(&mut far, Codec::Pcmu, n..n + 5, &mut of_callee, |code| code);
    }
    let own_tag = field(&consulted.ok, "From").split(";tag=").nth(1).unwrap();
    let dialog = format!("{}%3Bto-tag%3D{}%3Bfrom-tag%3D{own_tag}", field(&consulted.ok, "Call-ID"), consulted.tag);
    let to = format!("Refer-To: <sip:+12125550100@{sip}?Replaces={}>\r\n", dialog.replace('@', "%40"));
    callee.sip.send(first.invite.1, &first.of_callee(&callee, "REFER", 1, &to));
    callee.sip.receive("SIP/2.0 202");
    let (asked, from) = target.sip.receive("INVITE ");
    let answer = described(&target, 2, "0", Some((offered(&asked).unwrap().0, 7)), "sendrecv");
    target.sip.send(from, &target.sip.answer_with(&asked, "200 OK", &answer));
    target.sip.receive("ACK ");
    // The edge now has another port and key for this phone; the phone's own key and counter continue.
    far.moves(media_of(&asked), &asked);
    let next = reaches(&mut near, BEGIN + 100, &mut far);
    says(&mut near, Codec::Pcmu, next..next + 50, &mut far, |code| code);
    let next = reaches(&mut far, UPPER + 5, &mut near);
    says(&mut far, Codec::Pcmu, next..next + 50, &mut near, |code| code);
    for reason in ["auth", "replay"] {
        assert_eq!(edge.metric(&format!("trunkgate_srtp_errors_total{{reason=\"{reason}\"}}")), 0.0);
    }
}
