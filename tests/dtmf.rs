//! Two phones that press keys in different ways, through the real binary: one presses, the other is told.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

mod support;

use support::calls::{Call, NUMBER, Phone, received};
use support::sip::field;
use support::{Process, config};
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};
use trunkgate_media::rtp::Rtp;

const EVENTS: &str = "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

/// An edge between two trunks with these `dtmf`.
fn edge(caller: (&Phone, &str), callee: (&Phone, &str)) -> Process {
    let trunk = |(phone, dtmf): (&Phone, &str), name: &str| format!("{}dtmf = \"{dtmf}\"\n", phone.trunk(name));
    Process::start(&config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
        trunk(caller, "carrier"),
        trunk(callee, "pbx")
    )))
}

fn described(phone: &Phone, dtmf: &str) -> String {
    let port = phone.rtp_address().port();
    match dtmf {
        "rfc4733" => phone.described(1, &format!("m=audio {port} RTP/AVP 0 101\r\n{EVENTS}")),
        _ => phone.described(1, &format!("m=audio {port} RTP/AVP 0\r\n")),
    }
}

fn packet(sequence: u16, payload_type: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Rtp { marker: false, payload_type, sequence, timestamp, ssrc: 77, payload: 0..0 }.build(payload, &mut bytes);
    bytes
}

/// The telephone-events of one press that a phone gets: event, whether it has ended, and how long it is so far.
fn press_heard(phone: &Phone) -> Vec<(u8, bool, u16)> {
    let mut heard = Vec::new();
    loop {
        let (bytes, _) = received(&phone.rtp);
        let rtp = Rtp::parse(&bytes).unwrap();
        if rtp.payload_type == 101 {
            let [event, flags, high, low] = bytes[rtp.payload] else { panic!("{bytes:?}") };
            heard.push((event, flags & 0x80 != 0, u16::from_be_bytes([high, low])));
        }
        if heard.iter().filter(|(_, ended, _)| *ended).count() == 3 {
            return heard;
        }
    }
}

#[test]
fn keys_reach_a_side_that_presses_them_in_another_way() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
    let edge = edge((&caller, "info"), (&callee, "rfc4733"));
    let sip = edge.address("udp");
    let (offer, answer) = (described(&caller, "info"), described(&callee, "rfc4733"));
    let call = Call::agree(sip, "dtmf-1", (&caller, &offer), (&callee, &answer));
    assert!(call.invite.0.contains("RTP/AVP 0 101\r\n") && call.ok.contains("RTP/AVP 0\r\n"), "{}", call.ok);
    // The caller's INFO.
    let key = "Signal=5\r\nDuration=160\r\n";
    let info = caller.sip.request_with("INFO", NUMBER, sip, "dtmf-1", (2, &call.tag), key);
    caller.sip.send(sip, &info.replace("application/sdp", "application/dtmf-relay"));
    caller.sip.receive("SIP/2.0 200");
    // Before either side has said a word.
    let heard = press_heard(&callee);
    assert_eq!(heard.first(), Some(&(5, false, 160)));
    assert_eq!(heard.last(), Some(&(5, true, 1280)));
    // The callee's telephone-events, of which only the last but one packet arrives.
    callee.rtp.send_to(&packet(1, 0, 160, &[0x55; 160]), call.far).unwrap();
    assert_eq!(received(&caller.rtp).0.len(), 172);
    callee.rtp.send_to(&packet(9, 101, 320, &[11, 0x8a, 3, 0x20]), call.far).unwrap();
    let (told, from) = caller.sip.receive("INFO ");
    assert_eq!(field(&told, "Content-Type"), "application/dtmf-relay");
    assert!(told.ends_with("\r\n\r\nSignal=#\r\nDuration=100\r\n"), "{told}");
    caller.sip.send(from, &caller.sip.answer_with(&told, "200 OK", ""));
    // None of it stands anywhere.
    let sid = edge.json("/v1/calls")["calls"][0]["sid"].as_str().unwrap().to_owned();
    let trace = edge.json(&format!("/v1/calls/{sid}/trace")).to_string();
    assert!(trace.contains("INFO") && !trace.contains("Signal"), "{trace}");
    call.hang_up(3, &caller, &callee);
}

/// 20 ms of key 5's tone, the n-th.
fn tone(n: u32) -> Vec<u8> {
    let sample = |n: u32| {
        let value = |hz: f64| (std::f64::consts::TAU * hz * f64::from(n) / 8000.0).sin();
        encode_ulaw((7000.0 * (value(770.0) + value(1336.0))) as i16)
    };
    (n * 160..(n + 1) * 160).map(sample).collect()
}

/// How much of a payload is key 5's tone.
fn share_of_tone(payload: &[u8]) -> f64 {
    let samples: Vec<f64> = payload.iter().map(|code| f64::from(decode_ulaw(*code))).collect();
    let all: f64 = samples.iter().map(|sample| sample * sample).sum();
    let power = |hz: f64| {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = std::f64::consts::TAU * hz * n as f64 / 8000.0;
            (re, im) = (re + sample * angle.cos(), im + sample * angle.sin());
        }
        re * re + im * im
    };
    2.0 * (power(770.0) + power(1336.0)) / samples.len() as f64 / all.max(1.0)
}

#[test]
fn tones_become_telephone_events_and_telephone_events_tones() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
    let edge = edge((&caller, "inband"), (&callee, "rfc4733"));
    let sip = edge.address("udp");
    let (offer, answer) = (described(&caller, "inband"), described(&callee, "rfc4733"));
    let call = Call::agree(sip, "dtmf-2", (&caller, &offer), (&callee, &answer));
    // The caller's tone, 200 ms, of which the callee hears nothing; then silence.
    for n in 0..15 {
        let payload = if n < 10 { tone(n) } else { vec![0xff; 160] };
        caller.rtp.send_to(&packet(n as u16, 0, n * 160, &payload), call.near).unwrap();
    }
    let heard = press_heard(&callee);
    let (event, _, lasts) = heard[heard.len() - 1];
    assert!(event == 5 && (1280..=1760).contains(&lasts), "{heard:?}");
    // The callee's telephone-event.
    callee.rtp.send_to(&packet(1, 101, 160, &[5, 0x8a, 3, 0x20]), call.far).unwrap();
    let mut tones = 0;
    while tones < 5 {
        let (bytes, _) = received(&caller.rtp);
        let rtp = Rtp::parse(&bytes).unwrap();
        assert_eq!(rtp.payload_type, 0);
        tones += u32::from(share_of_tone(&bytes[rtp.payload]) > 0.9);
    }
    call.hang_up(2, &caller, &callee);
}
