//! Transcoded call that loses a tenth of its packets, through the real binary: Opus FEC recovers lost audio if it is
//! negotiated, and the rest is concealed.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::f64::consts::TAU;

use crate::support::calls::{Call, Phone, received};
use crate::support::codecs::{Codec, Hearer, Speaker};
use crate::support::{Process, config};
use trunkgate_media::rtp::RtpHeader;

/// Number of packets of 20 ms that are sent.
const PACKETS: usize = 200;
/// Samples in a packet.
const FRAME: usize = 160;

/// Returns voice-like audio: harmonics of a moving pitch with changing loudness.
fn voice() -> Vec<i16> {
    let mut phase = 0.0;
    let sample = |n: usize| {
        let t = n as f64 / 8000.0;
        phase += (120.0 + 40.0 * (TAU * 1.3 * t).sin()) / 8000.0;
        let loud = 0.3 + 0.7 * (TAU * 3.1 * t).sin().powi(2);
        let harmonics = (1..12).map(|k| (TAU * phase * f64::from(k)).sin() / f64::from(k).sqrt()).sum::<f64>();
        (2000.0 * loud * harmonics) as i16
    };
    (0..PACKETS * FRAME).map(sample).collect()
}

/// Selects a tenth of the packets by a seeded generator, but none of the first and last.
fn lost() -> Vec<bool> {
    let mut state = 7_u32;
    let mut lost: Vec<bool> = (0..PACKETS)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16 < 6554
        })
        .collect();
    lost[..5].fill(false);
    lost[PACKETS - 1] = false;
    lost
}

/// Makes a call between phones of two codecs; returns the packets sent to the callee while the caller sends all but the
/// lost ones. `fec`: whether the Opus side requests and sends FEC.
fn talk([near, far]: [Codec; 2], fec: bool, lost: &[bool]) -> Vec<Vec<u8>> {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.5"));
    let trunk =
        |phone: &Phone, name: &str, codec: Codec| format!("{}codecs = [\"{}\"]\n", phone.trunk(name), codec.name());
    let edge = Process::start(&config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
        trunk(&caller, "carrier", near),
        trunk(&callee, "pbx", far)
    )));
    let (offer, answer) = (near.described(&caller, 1, fec), far.described(&callee, 1, fec));
    let call = Call::agree(edge.address("udp"), "loss-1", (&caller, &offer), (&callee, &answer));
    let mut speaker = Speaker::new(near, fec);
    let mut heard: Vec<Vec<u8>> = Vec::new();
    let mut first = None;
    for (n, frame) in voice().chunks_exact(FRAME).enumerate() {
        let payload = speaker.say(frame);
        if lost[n] {
            continue;
        }
        caller.rtp.send_to(&near.packet(n, near.number(), &payload), call.near).unwrap();
        while heard.len() <= n {
            let (bytes, _) = received(&callee.rtp);
            let rtp = RtpHeader::parse(&bytes).unwrap();
            let first = *first.get_or_insert(rtp.timestamp);
            assert_eq!(rtp.timestamp.wrapping_sub(first) / far.ticks(), heard.len() as u32, "nothing is left out");
            heard.push(bytes[rtp.payload].to_vec());
        }
    }
    call.hang_up(2, &caller, &callee);
    heard
}

/// Returns the similarity in dB of the audio in place of lost packets to the lossless audio; silence has 0.
fn nearness(whole: &[i16], lossy: &[i16], lost: &[bool]) -> f64 {
    assert_eq!((whole.len(), lossy.len()), (lost.len() * FRAME, lost.len() * FRAME));
    let (mut said, mut wrong) = (0.0, 0.0);
    for ((whole, lossy), _) in whole.chunks(FRAME).zip(lossy.chunks(FRAME)).zip(lost).filter(|(_, lost)| **lost) {
        said += whole.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        wrong += whole.iter().zip(lossy).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum::<f64>();
    }
    10.0 * (said / wrong).log10()
}

fn samples(codec: Codec, payloads: &[Vec<u8>]) -> Vec<i16> {
    let mut hearer = Hearer::new(codec);
    payloads.iter().flat_map(|payload| hearer.hear(payload)).collect()
}

#[test]
fn what_a_tenth_of_loss_took_is_brought_back_by_redundancy_or_concealed() {
    let (lost, none) = (lost(), vec![false; PACKETS]);
    assert!((10..30).contains(&lost.iter().filter(|lost| **lost).count()));
    // Packets are lost on the way to the edge.
    let to_edge = |codec: Codec, fec: bool| {
        let heard = |lost: &[bool]| samples(Codec::Pcmu, &talk([codec, Codec::Pcmu], fec, lost));
        nearness(&heard(&none), &heard(&lost), &lost)
    };
    let (with, without) = (to_edge(Codec::Opus, true), to_edge(Codec::Opus, false));
    assert!(with > 6.0 && with > without + 6.0, "{with} dB with redundancy, {without} dB without");
    let law = to_edge(Codec::Pcma, false);
    assert!(law > 1.5, "{law} dB");
    // Packets are lost on the way from the edge.
    let from_edge = |fec: bool| {
        let sent = talk([Codec::Pcmu, Codec::Opus], fec, &none);
        let (mut hearer, mut heard, mut gap) = (Hearer::new(Codec::Opus), Vec::new(), 0);
        for (payload, lost) in sent.iter().zip(&lost) {
            if *lost {
                gap += 1;
                continue;
            }
            heard.extend(hearer.conceal(payload, std::mem::take(&mut gap)));
            heard.extend(hearer.hear(payload));
        }
        nearness(&samples(Codec::Opus, &sent), &heard, &lost)
    };
    let (with, without) = (from_edge(true), from_edge(false));
    assert!(with > 6.0 && with > without + 6.0, "{with} dB with redundancy, {without} dB without");
}
