//! Hold audio that alternates with an agent and with a remote party: one continuous stream without clicks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;

use crate::support::{A, A_RTP, B, B_RTP, Bench, Made, remote, rtp, wire};
use trunkgate_media::agent::{StreamLoss, StreamSettings};
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{AgentInput, EndId, HoldSound, MediaCommand, PlayerSound};

const AGENT: EndId = EndId(5);
const PLAYER: EndId = EndId(6);

/// Generates a tone of 306 Hz. Its period does not divide a packet, so that every cut is audible.
fn music() -> Arc<[u8]> {
    (0..8000)
        .map(|n| encode_ulaw((8000.0 * (std::f64::consts::TAU * 306.0 * f64::from(n) / 8000.0).cos()) as i16))
        .collect()
}

fn play(bench: &mut Bench) {
    let sound = PlayerSound::Hold(HoldSound { first: None, music: Some(music()) });
    bench.command(MediaCommand::AddPlayer { end: PLAYER, sound });
    bench.wire(PLAYER, A);
}

/// Returns the samples of packets, which must form one continuous stream.
fn samples(made: &[Made]) -> Vec<f64> {
    let packets: Vec<RtpHeader> = made.iter().map(|made| RtpHeader::parse(&made.bytes).unwrap()).collect();
    for pair in packets.windows(2) {
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
    }
    made.iter().flat_map(|made| made.bytes[12..].to_vec()).map(|code| f64::from(decode_ulaw(code))).collect()
}

/// Returns the maximum power of any 20 ms between 2 kHz and 3.8 kHz, where the tones have none: by Hann windows, in dB
/// below full scale.
fn splatter(samples: &[f64]) -> f64 {
    let window = |n: usize| 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / 160.0).cos();
    let power = |frame: &[f64]| {
        let bins = (2000..3800).step_by(50).map(|hz| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, sample) in frame.iter().enumerate() {
                let angle = std::f64::consts::TAU * f64::from(hz) * n as f64 / 8000.0;
                re += window(n) * sample * angle.cos();
                im += window(n) * sample * angle.sin();
            }
            (re * re + im * im) / (80.0 * 80.0)
        });
        bins.fold(0.0, f64::max)
    };
    let most = samples.windows(160).step_by(20).map(power).fold(1e-9, f64::max);
    10.0 * (most / (32_636.0 * 32_636.0)).log10()
}

fn agent_says(bench: &mut Bench, ms: usize) {
    let audio: Vec<u8> = (0..ms * 8)
        .map(|n| encode_ulaw((8000.0 * (std::f64::consts::TAU * 418.75 * n as f64 / 8000.0).sin()) as i16))
        .collect();
    bench.say_audio(AGENT, &audio);
}

fn session() -> Bench {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    bench.set_remote(B, remote(B_RTP));
    bench
}

#[test]
fn a_swap_adds_nothing_to_the_spectrum() {
    let mut bench = session();
    play(&mut bench);
    let mut made = bench.run(1500);
    // Noise of μ-law is about 38 dB below the signal.
    let usual = splatter(&samples(&made)[160..]);
    assert!(usual < -60.0, "{usual}");

    bench.add_agent(AGENT, StreamSettings::default());
    bench.agent(AGENT, AgentInput::Opened);
    agent_says(&mut bench, 2000);
    bench.wire(AGENT, A);
    bench.command(MediaCommand::RemoveEnd { end: PLAYER });
    made.extend(bench.run(490));
    // The agent is lost in the middle of a word.
    bench.agent(AGENT, AgentInput::Lost(StreamLoss::Reset));
    bench.command(MediaCommand::RemoveEnd { end: AGENT });
    play(&mut bench);
    made.extend(bench.run(500));
    let heard = samples(&made);
    let after = splatter(&heard);
    assert!(after < usual + 6.0, "{after} dB, and {usual} dB without a swap");

    // The same measure detects a cut: two frames of the tone, and then silence.
    let mut cut = heard[320..640].to_vec();
    cut.extend([0.0; 320]);
    assert!(splatter(&cut) > usual + 12.0, "{}", splatter(&cut));
}

#[test]
fn before_a_far_side_speaks_the_music_has_faded() {
    let mut bench = session();
    play(&mut bench);
    let mut made = bench.run(1000);
    let usual = splatter(&samples(&made)[160..]);
    bench.wait(7);
    bench.command(MediaCommand::Wire { from: B, to: A, wire: wire() });
    bench.command(MediaCommand::RemoveEnd { end: PLAYER });
    // The last frame is sent at once, not at the next tick.
    let faded = bench.run(0);
    assert_eq!(faded.len(), 1);
    made.extend(faded);
    let heard = samples(&made);
    assert!(heard[heard.len() - 4..].iter().all(|sample| sample.abs() < 200.0));
    assert!(splatter(&heard) < usual + 6.0);
    let last = RtpHeader::parse(&made.last().unwrap().bytes).unwrap();
    let (_, relayed) = bench.feed(B, false, B_RTP, &rtp(500)).unwrap();
    let first = RtpHeader::parse(&relayed).unwrap();
    assert_eq!((first.ssrc, first.sequence), (last.ssrc, last.sequence.wrapping_add(1)));
    assert_eq!(first.timestamp, last.timestamp.wrapping_add(160));
    assert_eq!(relayed[12..], rtp(500)[12..], "bit for bit");
}

#[test]
fn an_agent_that_says_nothing_yet_is_silence_bit_for_bit() {
    let mut bench = session();
    play(&mut bench);
    bench.run(100);
    bench.add_agent(AGENT, StreamSettings::default());
    bench.agent(AGENT, AgentInput::Opened);
    bench.wire(AGENT, A);
    bench.command(MediaCommand::RemoveEnd { end: PLAYER });
    let made = bench.run(100);
    assert!(made[1..].iter().all(|made| made.bytes[12..].iter().all(|code| *code == 0xff)));
}
