//! IVR menu: a caller listens to prompts and sends digits, which are reported when they begin; the caller's audio is
//! not forwarded.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;

use trunkgate_media::codec::g711::encode_ulaw;
use trunkgate_media::counters::DropReason;
use trunkgate_media::limits::KEYS_TOLD;
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{DtmfConversion, EndId, MediaCommand, MediaEvent, PayloadCodec, PlayerSound, WireSpec};

use crate::support::{A, A_RTP, B, Bench, remote};

const PLAYER: EndId = EndId(6);
/// Frequencies of digit 5 (ITU-T Q.23).
const FIVE: (f64, f64) = (770.0, 1336.0);

/// Creates the caller A with a player; its first sound has this many packets.
fn menu(packets: usize) -> Bench {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    bench.command(MediaCommand::AddPlayer { end: PLAYER, sound: tone(packets) });
    bench.wire(PLAYER, A);
    let parted = DtmfConversion {
        events: vec![(101, 8000)],
        tones: true,
        digits_only: Some((0, PayloadCodec::Pcmu)),
        ..DtmfConversion::default()
    };
    let wire = WireSpec { parted: Some(Box::new(parted)), ..WireSpec::default() };
    bench.command(MediaCommand::Wire { from: A, to: PLAYER, wire });
    bench
}

/// Creates a sound of this many packets of 300 Hz.
fn tone(packets: usize) -> PlayerSound {
    let code = |n: usize| encode_ulaw((8000.0 * (std::f64::consts::TAU * 300.0 * n as f64 / 8000.0).sin()) as i16);
    PlayerSound::Once((0..packets * 160).map(code).collect::<Arc<[u8]>>())
}

/// Builds an RTP packet of A.
fn packet(number: u16, payload_type: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend(number.to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend([0, 0, 0, 7]);
    bytes.extend(payload);
    bytes
}

/// Builds an RTP packet of 20 ms with the two tones of a digit.
fn two_tones(number: u16, (low, high): (f64, f64)) -> Vec<u8> {
    let sample = |n: usize| {
        let at = std::f64::consts::TAU * (usize::from(number) * 160 + n) as f64 / 8000.0;
        encode_ulaw((8000.0 * ((low * at).sin() + (high * at).sin())) as i16)
    };
    packet(number, 0, u32::from(number) * 160, &(0..160).map(sample).collect::<Vec<_>>())
}

fn keys(bench: &mut Bench) -> Vec<char> {
    let mut keys = Vec::new();
    for event in bench.events() {
        if let MediaEvent::Key { end, key, ms } = event {
            assert_eq!((end, ms), (A, 0));
            keys.push(key);
        }
    }
    keys
}

#[test]
fn a_telephone_event_is_known_with_its_first_packet_and_once() {
    let mut bench = menu(50);
    let mut told = Vec::new();
    for press in 0..2_u16 {
        for n in 0..6_u16 {
            let end = if n > 2 { 0x80 } else { 0 };
            let at = u32::from(press) * 3200;
            bench.feed(A, false, A_RTP, &packet(press * 10 + n, 101, at, &[4, end | 10, 0, 160]));
            told.push(keys(&mut bench));
            bench.run(20);
        }
    }
    let once = |n: usize| if n.is_multiple_of(6) { vec!['4'] } else { vec![] };
    assert_eq!(told, (0..12).map(once).collect::<Vec<_>>());
    bench.run(1000);
    assert!(keys(&mut bench).is_empty(), "nor when it would be over");
}

#[test]
fn a_tone_is_one_digit_although_the_prompt_changes_under_it() {
    let mut bench = menu(50);
    let mut told = String::new();
    for n in 0..20_u16 {
        let bytes = if n < 10 { two_tones(n, FIVE) } else { two_tones(n, (0.0, 0.0)) };
        assert_eq!(bench.feed(A, false, A_RTP, &bytes), None);
        let key = keys(&mut bench);
        if !key.is_empty() {
            bench.command(MediaCommand::Play { end: PLAYER, sound: PlayerSound::Silence });
            assert!(n < 4, "known after {n} packets");
        }
        told.extend(key);
        bench.run(20);
    }
    assert_eq!(told, "5");
}

#[test]
fn audio_goes_nowhere_and_is_no_drop_while_other_payloads_are() {
    let mut bench = menu(50);
    for n in 0..5 {
        assert_eq!(bench.feed(A, false, A_RTP, &two_tones(n, (0.0, 0.0))), None);
    }
    let drops = |bench: &Bench| [DropReason::NoWire, DropReason::UnknownPayload].map(|reason| bench.dropped(A, reason));
    assert_eq!(drops(&bench), [0, 0]);
    bench.feed(A, false, A_RTP, &packet(9, 96, 9 * 160, &[1; 40]));
    assert_eq!(drops(&bench), [0, 1]);
}

#[test]
fn sounds_follow_each_other_in_one_stream_and_each_is_reported_at_its_end() {
    let mut bench = menu(5);
    let mut made = bench.run(200);
    let played =
        |bench: &mut Bench| bench.events().iter().filter(|event| **event == MediaEvent::Played { end: PLAYER }).count();
    assert_eq!(played(&mut bench), 1);
    bench.command(MediaCommand::Play { end: PLAYER, sound: tone(5) });
    made.extend(bench.run(60));
    assert_eq!(played(&mut bench), 0);
    // Another sound replaces it, so its end is never reported.
    bench.command(MediaCommand::Play { end: PLAYER, sound: tone(3) });
    made.extend(bench.run(400));
    assert_eq!(played(&mut bench), 1);
    bench.command(MediaCommand::Play { end: PLAYER, sound: PlayerSound::Silence });
    made.extend(bench.run(100));
    assert_eq!(played(&mut bench), 0);
    let packets: Vec<RtpHeader> = made.iter().map(|made| RtpHeader::parse(&made.bytes).unwrap()).collect();
    assert_eq!(packets.len(), 39, "one each 20 ms from the first to the last, silence too");
    for pair in packets.windows(2) {
        assert_eq!((pair[1].ssrc, pair[1].sequence), (pair[0].ssrc, pair[0].sequence.wrapping_add(1)));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
    }
}

#[test]
fn digits_that_pass_are_told_at_their_beginning() {
    let mut bench = Bench::connected();
    let wire = WireSpec { payloads: vec![(0, 0), (101, 96)], keys: Some(101), ..WireSpec::default() };
    bench.command(MediaCommand::Wire { from: A, to: B, wire });
    for n in 0..6_u16 {
        let end = if n > 2 { 0x80 } else { 0 };
        let (_, passed) = bench.feed(A, false, A_RTP, &packet(n, 101, 0, &[10, end | 10, 0, 160])).unwrap();
        let rtp = RtpHeader::parse(&passed).unwrap();
        assert_eq!((rtp.payload_type, &passed[12..]), (96, &[10, end | 10, 0, 160][..]));
        assert_eq!(keys(&mut bench), if n == 0 { vec!['*'] } else { vec![] });
    }
    let (_, audio) = bench.feed(A, false, A_RTP, &two_tones(6, (0.0, 0.0))).unwrap();
    assert_eq!(RtpHeader::parse(&audio).unwrap().payload_type, 0);
    // Digits in every packet are forwarded, but only a limited number is reported.
    for n in 0..2 * KEYS_TOLD {
        let payload = [(n % 2) as u8, 10, 0, 160];
        assert!(bench.feed(A, false, A_RTP, &packet(7 + n, 101, 160 * u32::from(n + 1), &payload)).is_some());
    }
    assert_eq!(keys(&mut bench).len(), usize::from(KEYS_TOLD) - 1);
}

#[test]
fn digits_that_pass_are_reported_whatever_their_timestamps_do() {
    let clocks: [fn(u32) -> u32; 4] = [
        |_| 5000,
        |press| 4_000_000_000 - press * 20_000,
        |press| press.wrapping_mul(0x9000_0000),
        |press| press * 8000,
    ];
    for clock in clocks {
        let mut bench = Bench::connected();
        let wire = WireSpec { payloads: vec![(0, 0), (101, 96)], keys: Some(101), ..WireSpec::default() };
        bench.command(MediaCommand::Wire { from: A, to: B, wire });
        let mut sequence = 0;
        for (press, event) in (0..).zip([1, 2, 3, 3]) {
            for n in 1..=6_u8 {
                let payload = [event, if n > 3 { 0x8a } else { 10 }, 0, n.min(4) * 40];
                bench.feed(A, false, A_RTP, &packet(sequence, 101, clock(press), &payload)).unwrap();
                sequence += 1;
            }
            sequence += 10;
        }
        assert_eq!(keys(&mut bench), ['1', '2', '3', '3']);
    }
}
