//! Agents with linear 16-bit audio: both directions between G.711 and 8, 16 and 24 kHz, with exact marks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may unwrap")]

use std::f64::consts::TAU;
use std::time::Duration;

use crate::support::*;
use proptest::prelude::*;
use serde_json::Value;
use trunkgate_media::agent::{AgentFormat, SocketMessage as AgentTransmit, StreamSettings, TrackSet};
use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{AgentEvent, AgentInput, Counter, EndId, MediaCommand, MediaEvent, PayloadCodec, TapSpec};

const AGENT: EndId = EndId(7);
const LINEAR: [AgentFormat; 3] = [AgentFormat::L16Rate8000, AgentFormat::L16Rate16000, AgentFormat::L16Rate24000];

fn settings(format: AgentFormat) -> StreamSettings {
    StreamSettings { stream_sid: "MZ1".into(), format, extras: true, ..StreamSettings::default() }
}

/// Creates A with an open agent of a format, wired both ways.
fn with_agent(form: WireFrom, format: AgentFormat, clear_fade: Duration) -> Bench {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    bench.add_fading_agent(AGENT, settings(format), clear_fade);
    bench.agent(AGENT, AgentInput::Opened);
    bench.command(MediaCommand::Wire { from: A, to: AGENT, wire: form.spec() });
    bench.command(MediaCommand::Wire { from: AGENT, to: A, wire: form.spec() });
    bench
}

fn encode(form: WireFrom, sample: i16) -> u8 {
    if form.coding == PayloadCodec::Pcma { encode_alaw(sample) } else { encode_ulaw(sample) }
}

fn decode(form: WireFrom, code: u8) -> i16 {
    if form.coding == PayloadCodec::Pcma { decode_alaw(code) } else { decode_ulaw(code) }
}

fn tone(hz: f64, rate: u32, count: usize) -> Vec<i16> {
    (0..count).map(|n| (12_000.0 * (TAU * hz * n as f64 / f64::from(rate)).sin()) as i16).collect()
}

fn to_bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

fn to_samples(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// Returns the ratio of a tone at `hz` to all other audio in dB, regardless of its phase.
fn purity(samples: &[i16], hz: f64, rate: u32) -> f64 {
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (angle, sample) = (TAU * hz * n as f64 / f64::from(rate), f64::from(*sample));
        (re, im, power) = (re + sample * angle.cos(), im + sample * angle.sin(), power + sample * sample);
    }
    let tone = 2.0 * (re * re + im * im) / samples.len() as f64;
    assert!((tone / samples.len() as f64 / (12_000.0_f64.powi(2) / 2.0) - 1.0).abs() < 0.05, "its level");
    10.0 * (tone / (power - tone)).log10()
}

/// Builds packet `n` of a remote party's 1 kHz tone, of `ms` milliseconds.
fn packet(form: WireFrom, n: u16, ms: u32) -> Vec<u8> {
    let samples = ms as usize * 8;
    let all = tone(1000.0, 8000, samples * (usize::from(n) + 1));
    let payload: Vec<u8> = all[samples * usize::from(n)..].iter().map(|sample| encode(form, *sample)).collect();
    let timestamp = u32::from(n) * samples as u32 + 77_000;
    let mut bytes = Vec::new();
    RtpHeader { payload_type: form.payload, sequence: n, timestamp, ..header(0) }.build(&payload, &mut bytes);
    bytes
}

fn of<'a>(messages: &'a [Value], event: &str) -> Vec<&'a Value> {
    messages.iter().filter(|message| message["event"] == event).collect()
}

/// Decodes packets that the session sent to A.
fn heard(form: WireFrom, made: &[Made]) -> Vec<i16> {
    made.iter().flat_map(|made| made.payload()).map(|code| decode(form, *code)).collect()
}

#[test]
fn the_caller_is_heard_in_the_agents_format_whatever_the_packets() {
    for form in [ULAW, ALAW] {
        for format in LINEAR {
            for ms in [10, 20, 30, 60] {
                let mut bench = with_agent(form, format, Duration::ZERO);
                for n in 0..(1200 / ms) as u16 {
                    bench.feed(A, false, A_RTP, &packet(form, n, ms));
                    bench.run(ms.into());
                }
                let messages = bench.written(AGENT);
                let shown = &of(&messages, "start")[0]["start"]["mediaFormat"];
                assert_eq!(shown["encoding"], "audio/x-l16");
                assert_eq!((&shown["sampleRate"], &shown["channels"]), (&format.sample_rate().into(), &1.into()));
                let media = of(&messages, "media");
                assert!(media.len() >= 55, "{} of {ms} ms", media.len());
                let mut all = Vec::new();
                for (n, message) in media.iter().enumerate() {
                    assert_eq!(message["media"]["timestamp"], (20 * n).to_string());
                    let frame = audio(message);
                    assert_eq!(frame.len(), format.frame_bytes());
                    all.extend(to_samples(&frame));
                }
                let rate = format.sample_rate();
                let middle = &all[rate as usize / 5..][..rate as usize / 2];
                let purity = purity(middle, 1000.0, rate);
                assert!(purity > 35.0, "{} of {ms} ms {form:?}: {purity} dB", format.name());
            }
        }
    }
}

#[test]
fn the_agent_is_heard_by_the_caller() {
    for form in [ULAW, ALAW] {
        for format in LINEAR {
            let mut bench = with_agent(form, format, Duration::ZERO);
            let said = to_bytes(&tone(1000.0, format.sample_rate(), format.sample_rate() as usize));
            bench.say(AGENT, &media_of(&said));
            bench.say(AGENT, &mark("end"));
            let made = bench.run(1000);
            assert!(made.iter().all(|made| made.payload().len() == 160 && made.rtp().payload_type == form.payload));
            let purity = purity(&heard(form, &made)[800..4800], 1000.0, 8000);
            assert!(purity > 35.0, "{} {form:?}: {purity} dB", format.name());
            let messages = bench.written(AGENT);
            let marks = of(&messages, "mark");
            assert_eq!(marks.len(), 1);
            assert_eq!(marks[0]["mark"]["playedMs"], "1000");
        }
    }
}

/// Thousands of pieces of a download, some of which divide a sample, are played without loss and without noise.
#[test]
fn pieces_of_any_length_are_one_stream() {
    let format = AgentFormat::L16Rate16000;
    let said = to_bytes(&tone(1000.0, 16_000, 16_000));
    let whole = {
        let mut bench = with_agent(ULAW, format, Duration::ZERO);
        bench.say(AGENT, &media_of(&said));
        heard(ULAW, &bench.run(1000))
    };
    for piece in [1, 3, 7, 641, 1100, 31_999] {
        let mut bench = with_agent(ULAW, format, Duration::ZERO);
        for piece in said.chunks(piece) {
            bench.say(AGENT, &media_of(piece));
        }
        assert_eq!(heard(ULAW, &bench.run(1000)), whole, "{piece}");
        assert_eq!(
            bench.events(),
            [
                MediaEvent::Agent { end: AGENT, event: AgentEvent::Open },
                MediaEvent::Agent { end: AGENT, event: AgentEvent::Spoke }
            ]
        );
    }
}

/// An odd byte at the end of one response does not turn the next response into noise.
#[test]
fn an_odd_byte_is_not_carried_into_the_next_answer() {
    for clears in [false, true] {
        let mut bench = with_agent(ULAW, AgentFormat::L16Rate24000, Duration::ZERO);
        let said = to_bytes(&tone(1000.0, 24_000, 24_000));
        bench.say(AGENT, &media_of(&said[..9601]));
        bench.run(if clears { 100 } else { 2000 });
        if clears {
            bench.say(AGENT, r#"{"event":"clear"}"#);
            bench.run(20);
        }
        bench.say(AGENT, &media_of(&said));
        let purity = purity(&heard(ULAW, &bench.run(1000))[800..4800], 1000.0, 8000);
        assert!(purity > 35.0, "{purity} dB");
    }
}

#[test]
fn what_waits_counts_in_bytes_of_its_format() {
    for format in LINEAR {
        let held = std::sync::Arc::new(Counter::default());
        let mut bench = Bench::unconnected();
        bench.session.hold_in(held.clone());
        bench.add_agent(AGENT, settings(format));
        bench.agent(AGENT, AgentInput::Opened);
        bench.say(AGENT, &media_of(&vec![1; format.bytes_per_ms() * 1000]));
        assert_eq!(held.get(), format.bytes_per_ms() as u64 * 1000);
        held.add(256 << 20);
        assert!(bench.session.agent_wants_more(AGENT), "its second is its own");
        bench.say(AGENT, &media_of(&[1; 48]));
        assert!(!bench.session.agent_wants_more(AGENT));
        drop(bench);
        assert_eq!(held.get(), 256 << 20);
    }
}

/// Two minutes sent at once are played completely, and the mark after them returns with their last packet.
#[test]
fn two_minutes_in_one_burst_are_heard_whole() {
    for format in AgentFormat::ALL {
        let mut bench = with_agent(ULAW, format, Duration::ZERO);
        let burst = vec![if format == AgentFormat::Mulaw8000 { 0x21 } else { 0x20 }; format.bytes_per_ms() * 120_000];
        bench.say(AGENT, &media_of(&burst));
        bench.say(AGENT, &mark("end"));
        let (mut loud, mut packets) = (0, 0);
        for _ in 0..121 {
            let made = bench.run(1000);
            packets += made.len();
            loud += heard(ULAW, &made).iter().filter(|sample| sample.abs() > 4000).count();
            bench.agent(AGENT, AgentInput::Pong);
            if let [mark] = of(&bench.written(AGENT), "mark")[..] {
                assert_eq!(mark["mark"]["playedMs"], "120000");
                assert_eq!(packets / 50, 120, "after its audio, and at once");
            }
        }
        assert!(loud.abs_diff(120 * 8000) < 24, "{}: {loud}", format.name());
    }
}

/// The level falls from full to zero in 10 ms, and the metric of clears records that time.
#[test]
fn a_clear_fades_out_within_one_packet() {
    for format in AgentFormat::ALL {
        let mut bench = with_agent(ULAW, format, Duration::from_millis(10));
        let rate = format.sample_rate();
        let samples = tone(400.0, rate, rate as usize);
        let said = match format {
            AgentFormat::Mulaw8000 => samples.iter().map(|sample| encode_ulaw(*sample)).collect(),
            AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => to_bytes(&samples),
        };
        bench.say(AGENT, &media_of(&said));
        bench.say(AGENT, &mark("end"));
        bench.run(395);
        bench.say(AGENT, r#"{"event":"clear"}"#);
        let after = heard(ULAW, &bench.run(100));
        let steepest = after.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().unwrap();
        // Steps of the tone itself are 3,770 per sample; a cut would have one of up to its peak.
        assert!(steepest < 4500, "{}: {steepest}", format.name());
        let last = after.iter().rposition(|sample| sample.abs() > 200).unwrap();
        assert!((60..120).contains(&last), "{}: {last}", format.name());
        let messages = bench.written(AGENT);
        assert_eq!(of(&messages, "mark").len(), 1);
        assert_eq!(of(&messages, "cleared")[0]["cleared"]["playedMs"], "410");
        let counts: Vec<u64> = bench.worker.agent_clears.counts().collect();
        assert_eq!(counts.iter().sum::<u64>(), 1);
        assert_eq!(counts[..3].iter().sum::<u64>(), 1, "{counts:?}: 5 ms");
    }
}

#[test]
fn a_listener_hears_both_directions_in_its_format() {
    for format in LINEAR {
        let mut bench = Bench::connected();
        bench.add_agent(AGENT, StreamSettings { talks: false, tracks: TrackSet::Both, ..settings(format) });
        bench.agent(AGENT, AgentInput::Opened);
        let audio_of = TapSpec { inbound: vec![(0, PayloadCodec::Pcmu)], outbound: vec![(0, PayloadCodec::Pcmu)] };
        bench.command(MediaCommand::Tap { of: A, listener: AGENT, audio: audio_of });
        for n in 0..60 {
            let relayed = bench.feed(A, false, A_RTP, &packet(ULAW, n, 20)).unwrap();
            assert_eq!(relayed.1[12..], packet(ULAW, n, 20)[12..], "the call itself is not touched");
            bench.feed(B, false, B_RTP, &packet(ULAW, n, 20)).unwrap();
            bench.run(20);
        }
        let messages = bench.written(AGENT);
        let rate = format.sample_rate();
        for track in ["inbound", "outbound"] {
            let frames = messages.iter().filter(|message| message["media"]["track"] == track);
            let all: Vec<i16> = frames.flat_map(|message| to_samples(&audio(message))).collect();
            let purity = purity(&all[rate as usize / 5..][..rate as usize / 2], 1000.0, rate);
            assert!(purity > 35.0, "{} {track}: {purity} dB", format.name());
        }
    }
}

#[test]
fn answers_are_timed() {
    for format in AgentFormat::ALL {
        let mut bench = with_agent(ULAW, format, Duration::ZERO);
        for n in 0..100 {
            bench.feed(A, false, A_RTP, &packet(ULAW, n, 20));
            bench.run(20);
        }
        for n in 100..125 {
            let mut bytes = Vec::new();
            let timestamp = u32::from(n) * 160 + 77_000;
            RtpHeader { sequence: n, timestamp, ..header(0) }.build(&[0xff; 160], &mut bytes);
            bench.feed(A, false, A_RTP, &bytes);
            bench.run(20);
        }
        let samples = tone(400.0, format.sample_rate(), format.sample_rate() as usize);
        let said = match format {
            AgentFormat::Mulaw8000 => samples.iter().map(|sample| encode_ulaw(*sample)).collect(),
            AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => to_bytes(&samples),
        };
        bench.say(AGENT, &media_of(&said));
        bench.run(1000);
        let turns = &bench.worker.agent_turns;
        assert_eq!(turns.counts().sum::<u64>(), 1, "{}", format.name());
        assert!((0.48..=0.56).contains(&turns.seconds()), "{}: {}", format.name(), turns.seconds());
        let turns: Vec<_> = bench.turns.kept().collect();
        let [turn] = turns[..] else { panic!("{turns:?}") };
        assert!(turn.edge.is_some_and(|edge| edge <= Duration::from_millis(20)), "{}: {turn:?}", format.name());
        assert_eq!(turn.network, None, "no ping was answered");
    }
}

/// A response time is divided into its parts: audio that the agent sent before its response is played first, and a ping
/// measures the round trip.
#[test]
fn a_turn_divides_into_its_hops() {
    let mut bench = with_agent(ULAW, AgentFormat::Mulaw8000, Duration::ZERO);
    let say = |bench: &mut Bench, codes: &[u8]| bench.say(AGENT, &media_of(codes));
    let mut sequence = 0;
    let mut hears = |bench: &mut Bench, frames: u16, code: u8| {
        for _ in 0..frames {
            let mut bytes = Vec::new();
            let timestamp = u32::from(sequence) * 160 + 77_000;
            RtpHeader { sequence, timestamp, ..header(0) }.build(&[code; 160], &mut bytes);
            bench.feed(A, false, A_RTP, &bytes);
            bench.run(20);
            sequence += 1;
            let written = std::iter::from_fn(|| bench.session.poll_agent(AGENT));
            if written.filter(|transmit| *transmit == AgentTransmit::Ping).count() > 0 {
                bench.run(30);
                bench.agent(AGENT, AgentInput::Pong);
            }
        }
    };
    hears(&mut bench, 110, 0xff);
    for (ahead, waits) in [(0, 0..=20), (2_400, 300..=320)] {
        hears(&mut bench, 40, 0x10);
        hears(&mut bench, 20, 0xff);
        // Silence, then speech, in one message.
        say(&mut bench, &vec![0xff; ahead]);
        say(&mut bench, &[0x10; 1600]);
        bench.run(1000);
        let turn = bench.turns.kept().last().unwrap();
        let (edge, agent) = (turn.edge.unwrap(), turn.agent().unwrap());
        assert!(waits.contains(&edge.as_millis()), "{turn:?}");
        let network = turn.network.unwrap();
        assert!((30..=50).contains(&network.as_millis()), "{turn:?}");
        assert_eq!(edge + network + agent, turn.whole);
        assert!((300..480).contains(&agent.as_millis()), "{turn:?}");
    }
    assert_eq!(bench.turns.count(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// For any bytes in any pieces, with marks and clears, one packet is sent per tick, and every mark is returned once
    /// and in order.
    #[test]
    fn whatever_an_agent_says_the_stream_goes_on(
        format in proptest::sample::select(&LINEAR[..]),
        fade in 0_u64..=20,
        steps in proptest::collection::vec((0_u8..6, proptest::collection::vec(any::<u8>(), 0..3000)), 0..60),
    ) {
        let mut bench = with_agent(ALAW, format, Duration::from_millis(fade));
        let (mut marks, mut returned, mut packets) = (0, Vec::new(), 0);
        for (kind, bytes) in &steps {
            match kind {
                0 => bench.say(AGENT, r#"{"event":"clear"}"#),
                1 => {
                    bench.say(AGENT, &mark(&marks.to_string()));
                    marks += 1;
                }
                _ => bench.say(AGENT, &media_of(bytes)),
            }
            packets += bench.run(20).len();
            bench.agent(AGENT, AgentInput::Pong);
            returned.extend(of(&bench.written(AGENT), "mark").iter().map(|mark| mark["mark"]["name"].clone()));
        }
        prop_assert_eq!(packets, steps.len() + usize::from(!steps.is_empty()));
        bench.say(AGENT, r#"{"event":"clear"}"#);
        returned.extend(of(&bench.written(AGENT), "mark").iter().map(|mark| mark["mark"]["name"].clone()));
        let all: Vec<Value> = (0..marks).map(|n| n.to_string().into()).collect();
        prop_assert_eq!(returned, all);
    }
}

/// An agent sends an hour of audio in bursts of half a minute, with a mark every second: each packet is sent exactly at
/// its tick, and each mark is returned with the packet that ends its audio.
#[test]
fn an_hour_of_audio_does_not_drift() {
    let mut bench = with_agent(ULAW, AgentFormat::Mulaw8000, Duration::ZERO);
    let (begin, second) = (bench.now, media_of(&[0x20; 8000]));
    let (mut packets, mut said, mut returned) = (0_u32, 0_u32, 0_u32);
    for half_minute in 1..=120 {
        // The first tick of the clock is additional.
        while said < half_minute * 30 + 1 {
            bench.say(AGENT, &second);
            bench.say(AGENT, &mark(&said.to_string()));
            said += 1;
        }
        for _ in 0..30 {
            for made in bench.run(1000) {
                assert_eq!(made.at, begin + Duration::from_millis(20) * packets);
                assert!(made.payload().iter().all(|code| *code == 0x20), "packet {packets}");
                packets += 1;
            }
            bench.agent(AGENT, AgentInput::Pong);
            for message in of(&bench.written(AGENT), "mark") {
                assert_eq!(message["mark"]["name"], returned.to_string());
                assert_eq!(message["mark"]["playedMs"], ((returned + 1) * 1000).to_string());
                returned += 1;
            }
            assert_eq!(returned, packets / 50);
        }
    }
    assert_eq!((packets, returned), (180_001, 3600));
}
