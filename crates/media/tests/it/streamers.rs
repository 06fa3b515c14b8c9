//! Streamers: each direction of an end as an RTP stream of its own to a recording server.

use crate::support::*;
use trunkgate_media::agent::TrackName;
use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw, encode_ulaw, ulaw_to_alaw};
use trunkgate_media::{AudioListenerSpec, EndCounters, EndId, EndSpec, MediaCommand, PayloadCodec, TapSpec, WireSpec};

/// Ends whose remote party is the recording server, for the caller's audio and for the audio sent to the caller, and
/// their streamers.
const TO: [EndId; 2] = [EndId(10), EndId(11)];
const FROM: [EndId; 2] = [EndId(12), EndId(13)];
const AT: [&str; 2] = ["203.0.113.20:7000", "203.0.113.20:7002"];

fn tap(bench: &mut Bench, audio: &TapSpec) {
    for listener in FROM {
        bench.command(MediaCommand::Tap { of: A, listener, audio: audio.clone() });
    }
}

/// Returns the wire to an end of the recording server.
fn leads(payload: u8, coding: PayloadCodec) -> WireSpec {
    WireSpec { payloads: vec![(payload, payload)], coding, ..WireSpec::default() }
}

fn streams(bench: &mut Bench, payload: u8, coding: PayloadCodec) {
    for (at, track) in [TrackName::Inbound, TrackName::Outbound].into_iter().enumerate() {
        let bind = std::net::SocketAddr::from(([127, 0, 0, 1], 17_000 + 2 * at as u16));
        let counters = std::sync::Arc::new(EndCounters::default());
        bench.command(MediaCommand::AddEnd { end: TO[at], spec: EndSpec { bind, counters } });
        bench.command(MediaCommand::AddListener { end: FROM[at], spec: AudioListenerSpec::Streamer { track } });
        let server = trunkgate_media::RemoteSpec { may_send: false, watch_idle: false, ..remote(AT[at]) };
        bench.set_remote(TO[at], server);
        bench.command(MediaCommand::Wire { from: FROM[at], to: TO[at], wire: leads(payload, coding) });
    }
    tap(bench, &TapSpec::both(0, PayloadCodec::Pcmu));
}

fn packet(n: u16, code: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    header(n).build(&[code; 160], &mut bytes);
    bytes
}

/// Sends packets from both sides, with the codes that `codes` returns; returns the packets sent to the server.
fn talk(bench: &mut Bench, numbers: std::ops::Range<u16>, codes: impl Fn(u16) -> (u8, u8)) -> [Vec<Made>; 2] {
    let mut made = [Vec::new(), Vec::new()];
    for n in numbers {
        let (a, b) = codes(n);
        bench.feed(A, false, A_RTP, &packet(n, a));
        bench.feed(B, false, B_RTP, &packet(n, b));
        for one in bench.run(20) {
            let at = TO.iter().position(|end| *end == one.transmit.via).unwrap();
            assert_eq!(one.transmit.to, addr(AT[at]));
            made[at].push(one);
        }
    }
    made
}

/// Returns the μ-law code of each packet, without the silent packets at the beginning.
fn codes(made: &[Made]) -> Vec<u8> {
    let said = made.iter().map(|one| {
        let payload = one.payload();
        assert!(payload.len() == 160 && payload.iter().all(|code| *code == payload[0]), "{payload:?}");
        payload[0]
    });
    said.skip_while(|code| [0xff, 0xd5].contains(code)).collect()
}

#[test]
fn each_direction_is_a_stream_of_its_own_in_order_and_without_a_gap() {
    let mut bench = Bench::connected();
    streams(&mut bench, 0, PayloadCodec::Pcmu);
    let made = talk(&mut bench, 0..100, |n| (n as u8 % 100, 130 + n as u8 % 100));
    for (at, first) in [0_u8, 130].into_iter().enumerate() {
        let heard = codes(&made[at]);
        assert!(heard.len() > 85, "{}", heard.len());
        let expected: Vec<u8> = (0..100).map(|n| first + n).take(heard.len()).collect();
        assert_eq!(heard, expected, "stream {at}");
        for pair in made[at].windows(2) {
            let (one, next) = (pair[0].rtp(), pair[1].rtp());
            assert_eq!(next.sequence, one.sequence.wrapping_add(1));
            assert_eq!(next.timestamp, one.timestamp.wrapping_add(160));
            assert_eq!((next.ssrc, next.payload_type), (one.ssrc, 0));
        }
    }
    assert_ne!(made[0][0].rtp().ssrc, made[1][0].rtp().ssrc);
}

#[test]
fn the_servers_codec_is_what_it_gets_whatever_the_call_speaks() {
    let mut bench = Bench::connected();
    streams(&mut bench, 8, PayloadCodec::Pcma);
    let made = talk(&mut bench, 0..40, |n| (n as u8, 130 + n as u8));
    let heard = codes(&made[0]);
    let as_sent: Vec<u8> = (0..40).map(ulaw_to_alaw).take(heard.len()).collect();
    // Through linear samples: the same step of A-law, or a neighbouring one.
    assert!(heard.len() > 25);
    for (one, sent) in heard.iter().zip(&as_sent) {
        assert!(decode_alaw(*one).abs_diff(decode_alaw(*sent)) <= 1024, "{one} for {sent}");
    }
    assert!(made[0].iter().all(|one| one.rtp().payload_type == 8));
}

#[test]
fn a_silent_party_is_silence_of_its_length_and_late_packets_lose_nothing() {
    let mut bench = Bench::connected();
    streams(&mut bench, 0, PayloadCodec::Pcmu);
    talk(&mut bench, 0..20, |_| (5, 6));
    // The caller is silent, the other side continues.
    let mut counts = [0, 0];
    for n in 20..70_u16 {
        bench.feed(B, false, B_RTP, &packet(n, 6));
        for one in bench.run(20) {
            counts[TO.iter().position(|end| *end == one.transmit.via).unwrap()] += 1;
        }
    }
    assert_eq!(counts, [50, 50], "a packet every 20 ms, with or without speech");
    // The stream continues with packets in bursts of three.
    let mut heard = Vec::new();
    for burst in 0..10_u16 {
        for n in 0..3 {
            let n = 70 + 3 * burst + n;
            bench.feed(A, false, A_RTP, &packet(n, n as u8));
        }
        heard.extend(bench.run(60).into_iter().filter(|one| one.transmit.via == TO[0]));
    }
    let said: Vec<u8> = heard.iter().map(|one| one.payload()[0]).filter(|code| (70..100).contains(code)).collect();
    let expected: Vec<u8> = (70..70 + said.len() as u8).collect();
    assert!(said.len() > 20, "{said:?}");
    assert_eq!(said, expected);
}

#[test]
fn a_stream_ends_with_its_wire_and_a_removed_streamer_hears_nothing() {
    let mut bench = Bench::connected();
    streams(&mut bench, 0, PayloadCodec::Pcmu);
    let made = talk(&mut bench, 0..30, |_| (5, 6));
    assert!(codes(&made[0]).iter().all(|code| *code == 5) && codes(&made[1]).iter().all(|code| *code == 6));
    bench.command(MediaCommand::Unwire { from: FROM[0] });
    let made = talk(&mut bench, 30..60, |_| (5, 6));
    assert!(made[0].iter().all(|one| decode_ulaw(one.payload()[0]) == 0), "what is left is silence");
    assert_eq!(codes(&made[1]).last(), Some(&encode_ulaw(decode_ulaw(6))));
    for end in [FROM[0], FROM[1], TO[0], TO[1]] {
        bench.command(MediaCommand::RemoveEnd { end });
    }
    let made = talk(&mut bench, 60..70, |_| (5, 6));
    assert!(made.iter().all(Vec::is_empty));
}
