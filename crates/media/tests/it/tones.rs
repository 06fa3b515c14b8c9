//! Generated DTMF tones: their level in each codec, and the audio before and after them.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may unwrap")]

use crate::support::*;
use trunkgate_media::agent::StreamSettings;
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};
use trunkgate_media::codec::opus::OpusPreferences;
use trunkgate_media::codec::{g722, opus};
use trunkgate_media::{DigitFormat, EndId, MediaCommand, PayloadCodec, TranscodeSpec, WireSpec};

const AGENT: EndId = EndId(7);
const TONE: DigitFormat = DigitFormat::Tone { payload: 0, coding: PayloadCodec::Pcmu };
const G722: DigitFormat = DigitFormat::Tone { payload: 9, coding: PayloadCodec::G722 };

/// Returns the levels of the two frequencies of a digit relative to their nominal levels, in dB. The rate of the
/// samples is 16 kHz, or 8 kHz for PCMU.
fn levels(key: char, samples: &[i16], rate: f64) -> [f64; 2] {
    let at = "123A456B789C*0#D".chars().position(|each| each == key).unwrap();
    let tones = [[697.0, 770.0, 852.0, 941.0][at / 4], [1209.0, 1336.0, 1477.0, 1633.0][at % 4]];
    // −8 dBm0 and −6 dBm0, of 22,400 at 0 dBm0.
    let asked = [22_400.0 * 10.0_f64.powf(-0.4), 22_400.0 * 10.0_f64.powf(-0.3)];
    let one = |hz: f64, peak: f64| {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = std::f64::consts::TAU * hz * n as f64 / rate;
            (re, im) = (re + f64::from(*sample) * angle.cos(), im + f64::from(*sample) * angle.sin());
        }
        20.0 * (2.0 * re.hypot(im) / samples.len() as f64 / peak).log10()
    };
    [one(tones[0], asked[0]), one(tones[1], asked[1])]
}

/// Decodes packets sent to a remote party; returns a frame for each packet.
fn decoded(coding: PayloadCodec, made: &[Made]) -> Vec<Vec<i16>> {
    let (mut g722, mut opus) = (g722::G722Decoder::new(), opus::OpusDecoder::new(16_000).unwrap());
    let decode = |made: &Made| -> Vec<i16> {
        match coding {
            PayloadCodec::G722 => made.payload().iter().flat_map(|code| g722.decode(*code)).collect(),
            PayloadCodec::Opus(_) => {
                let mut samples = vec![0; 320];
                assert_eq!(opus.decode(made.payload(), &mut samples), Some(320));
                samples
            }
            _ => made.payload().iter().map(|code| decode_ulaw(*code)).collect(),
        }
    };
    made.iter().map(decode).collect()
}

#[test]
fn a_tone_is_as_loud_as_asked_for_in_every_codec() {
    let opus = |fec| (107, PayloadCodec::Opus(OpusPreferences { fec, ..OpusPreferences::default() }));
    for (payload, coding) in [(0, PayloadCodec::Pcmu), (9, PayloadCodec::G722), opus(true), opus(false)] {
        // In a stream fed by another side, and in the edge's own.
        for own in [false, true] {
            let mut bench = Bench::connected();
            let mut made = Vec::new();
            if own {
                bench.add_agent(AGENT, StreamSettings::default());
                let wire = WireFrom { payload, coding }.spec();
                bench.command(MediaCommand::Wire { from: AGENT, to: B, wire });
                made = bench.run(99);
            }
            let before = made.len();
            let press = DigitFormat::Tone { payload, coding };
            bench.command(MediaCommand::Press { end: B, press, digits: "1D0".into(), ms: 200 });
            made.extend(bench.run(900));
            let frames = decoded(coding, &made);
            let rate = if coding == PayloadCodec::Pcmu { 8000.0 } else { 16_000.0 };
            // 10 packets of a digit and 5 of the pause, evaluated in the middle.
            for (n, key) in "1D0".chars().enumerate() {
                let from = before + 15 * n;
                let levels = levels(key, &frames[from + 3..from + 9].concat(), rate);
                assert!(levels.iter().all(|level| level.abs() < 0.5), "{key} {coding:?} {own}: {levels:?}");
            }
        }
    }
}

#[test]
fn a_decoder_of_g722_follows_into_a_key_and_behind_it() {
    let mut bench = Bench::connected();
    let transcode = TranscodeSpec {
        from: vec![(0, PayloadCodec::Pcmu)],
        to: (9, PayloadCodec::G722),
        packet_ms: 20,
        events: vec![],
        noise: None,
    };
    let wire = WireSpec { transcode: Some(Box::new(transcode)), ..WireSpec::default() };
    bench.command(MediaCommand::Wire { from: A, to: B, wire });
    let mut heard = Vec::new();
    for n in 0..60_u16 {
        if n == 25 {
            bench.command(MediaCommand::Press { end: B, press: G722, digits: "1".into(), ms: 100 });
        }
        let mut packet = Vec::new();
        let payload: Vec<u8> = (0..160).map(|at| encode_ulaw((at * 79 % 301) - 150)).collect();
        header(n).build(&payload, &mut packet);
        if let Some((transmit, bytes)) = bench.feed(A, false, A_RTP, &packet) {
            heard.push(Made { at: bench.now, transmit, bytes });
        }
        heard.extend(bench.run(20));
    }
    let peaks: Vec<u16> = decoded(PayloadCodec::G722, &heard)
        .iter()
        .map(|frame| frame.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or_default())
        .collect();
    let key: Vec<usize> = (0..peaks.len()).filter(|at| peaks[*at] > 2000).collect();
    assert!(key.len() >= 5 && key.iter().all(|at| (25..33).contains(at)), "{peaks:?}");
    // Never louder than the sum of the two tones.
    assert!(peaks.iter().all(|peak| *peak < 21_500), "{peaks:?}");
    assert!(peaks[34..].iter().all(|peak| *peak < 400), "{peaks:?}");
}

#[test]
fn tones_are_made_in_a_stream_that_goes_on_and_in_the_edge_s_own() {
    // In a stream fed by another side.
    let mut bench = Bench::connected();
    bench.command(MediaCommand::Press { end: B, press: TONE, digits: "5".into(), ms: 100 });
    let made = bench.run(300);
    // 100 ms and the beginning of a pause.
    assert_eq!(made.len(), 7);
    assert!(made.windows(2).all(|pair| pair[1].rtp().timestamp == pair[0].rtp().timestamp + 160));
    let loudest = |made: &Made| made.payload().iter().map(|code| decode_ulaw(*code).unsigned_abs()).max().unwrap();
    assert!(made[..5].iter().all(|made| loudest(made) > 10_000) && made[5..].iter().all(|made| loudest(made) == 0));
}
