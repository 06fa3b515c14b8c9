//! Agents, players and listeners with remote parties that only have Opus or G.722: audio is transcoded, and marks stay
//! exact.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may unwrap")]

use std::f64::consts::TAU;

use crate::support::*;
use serde_json::Value;
use trunkgate_media::agent::{AgentFormat, StreamSettings, TrackSet};
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};
use trunkgate_media::codec::opus::OpusPreferences;
use trunkgate_media::codec::{g722, opus};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{
    AgentInput, DigitFormat, DropReason, EndId, MediaCommand, MediaEvent, PayloadCodec, PlayerSound, TapSpec,
    TranscodeSpec, WireSpec,
};

const AGENT: EndId = EndId(7);
const OPUS: WireFrom = WireFrom { payload: 107, coding: PayloadCodec::Opus(WANTED) };
const G722: WireFrom = WireFrom { payload: 9, coding: PayloadCodec::G722 };
const WANTED: OpusPreferences = OpusPreferences { max_rate_hz: 48_000, max_bit_rate: 0, fec: true, dtx: false };
const PEAK: f64 = 8000.0;
const RATE: u32 = 16_000;

fn settings(format: AgentFormat) -> StreamSettings {
    StreamSettings { stream_sid: "MZ1".into(), format, ..StreamSettings::default() }
}

/// Creates A with an open agent of a format, wired both ways.
fn with_agent(form: WireFrom, format: AgentFormat) -> Bench {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    bench.add_agent(AGENT, settings(format));
    bench.agent(AGENT, AgentInput::Opened);
    wire_agent(&mut bench, form);
    bench
}

fn wire_agent(bench: &mut Bench, form: WireFrom) {
    let clocks = vec![(form.payload, form.coding.clock_hz())];
    bench.command(MediaCommand::Wire { from: A, to: AGENT, wire: WireSpec { clocks, ..form.spec() } });
    bench.command(MediaCommand::Wire { from: AGENT, to: A, wire: form.spec() });
}

fn ticks(form: WireFrom) -> u32 {
    form.coding.clock_hz() / 50
}

/// Returns packets of 20 ms with a remote party's tone of `hz`.
fn said(form: WireFrom, hz: f64, packets: usize) -> Vec<Vec<u8>> {
    let samples: Vec<i16> =
        (0..packets * 320).map(|n| (PEAK * (TAU * hz * n as f64 / f64::from(RATE)).sin()) as i16).collect();
    let (mut g722, mut opus) = (g722::G722Encoder::new(), opus::OpusEncoder::new(RATE, WANTED).unwrap());
    let payload = |frame: &[i16]| match form.coding {
        PayloadCodec::G722 => frame.as_chunks::<2>().0.iter().map(|[a, b]| g722.encode(*a, *b)).collect(),
        PayloadCodec::Opus(_) => {
            let mut packet = vec![0; 1000];
            let bytes = opus.encode(frame, &mut packet);
            packet.truncate(bytes);
            packet
        }
        PayloadCodec::Pcmu | PayloadCodec::Pcma | PayloadCodec::Linear(_) => panic!("not of these tests"),
    };
    samples.chunks(320).map(payload).collect()
}

fn packet(form: WireFrom, n: usize, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let (sequence, timestamp) = (n as u16, n as u32 * ticks(form) + 77_000);
    let mut bytes = Vec::new();
    RtpHeader { payload_type, sequence, timestamp, ..header(0) }.build(payload, &mut bytes);
    bytes
}

/// Decodes packets sent to a remote party into samples at 16 kHz.
fn decoded(form: WireFrom, made: &[Made]) -> Vec<i16> {
    let (mut g722, mut opus) = (g722::G722Decoder::new(), opus::OpusDecoder::new(RATE).unwrap());
    let one = |made: &Made| match form.coding {
        PayloadCodec::G722 => made.payload().iter().flat_map(|code| g722.decode(*code)).collect::<Vec<i16>>(),
        PayloadCodec::Opus(_) => {
            let mut samples = vec![0; 1920];
            let count = opus.decode(made.payload(), &mut samples).unwrap();
            samples.truncate(count);
            samples
        }
        PayloadCodec::Pcmu | PayloadCodec::Pcma | PayloadCodec::Linear(_) => panic!("not of these tests"),
    };
    made.iter().flat_map(one).collect()
}

/// Returns the audio of a track in an agent's messages.
fn heard(messages: &[Value], format: AgentFormat, track: &str) -> Vec<i16> {
    let media = messages.iter().filter(|message| message["event"] == "media" && message["media"]["track"] == track);
    let bytes: Vec<u8> = media.flat_map(audio).collect();
    match format {
        AgentFormat::Mulaw8000 => bytes.iter().map(|code| decode_ulaw(*code)).collect(),
        AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => {
            bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
        }
    }
}

/// Returns the level of a tone relative to the sent one, and its ratio to all other audio, both in dB.
fn judged(samples: &[i16], hz: f64, rate: u32) -> (f64, f64) {
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (angle, sample) = (TAU * hz * n as f64 / f64::from(rate), f64::from(*sample));
        (re, im, power) = (re + sample * angle.cos(), im + sample * angle.sin(), power + sample * sample);
    }
    let tone = 2.0 * (re * re + im * im) / samples.len() as f64;
    let level = 10.0 * (tone / samples.len() as f64 / (PEAK * PEAK / 2.0)).log10();
    (level, 10.0 * (tone / (power - tone).max(1.0)).log10())
}

/// Sends packets of a tone except those in `lost`; returns the messages to the agent.
fn listen(bench: &mut Bench, form: WireFrom, hz: f64, packets: usize, lost: &[usize]) -> Vec<Value> {
    let mut messages = Vec::new();
    for (n, payload) in said(form, hz, packets).iter().enumerate() {
        if !lost.contains(&n) {
            assert_eq!(bench.feed(A, false, A_RTP, &packet(form, n, form.payload, payload)), None);
        }
        bench.run(20);
        messages.extend(bench.written(AGENT));
    }
    bench.run(100);
    messages.extend(bench.written(AGENT));
    messages
}

#[test]
fn an_agent_hears_a_far_side_of_another_codec() {
    for form in [OPUS, G722] {
        for format in AgentFormat::ALL {
            let mut bench = with_agent(form, format);
            let messages = listen(&mut bench, form, 500.0, 50, &[]);
            let samples = heard(&messages, format, "inbound");
            let second = format.sample_rate() as usize;
            assert!((second..=second * 6 / 5).contains(&samples.len()), "every 20 ms of it: {}", samples.len());
            let (level, purity) = judged(&samples[second / 2..second * 9 / 10], 500.0, format.sample_rate());
            assert!(level.abs() < 0.5 && purity > 13.0, "{form:?} {}: {level} dB, {purity} dB", format.name());
            assert_eq!(bench.dropped(A, DropReason::UnknownPayload), 0);
        }
    }
}

#[test]
fn wide_band_is_kept_for_who_has_it() {
    for (form, format, kept) in [
        (G722, AgentFormat::L16Rate16000, true),
        (G722, AgentFormat::L16Rate24000, true),
        (OPUS, AgentFormat::L16Rate16000, true),
        (G722, AgentFormat::L16Rate8000, false),
        (G722, AgentFormat::Mulaw8000, false),
    ] {
        let mut bench = with_agent(form, format);
        let samples = heard(&listen(&mut bench, form, 6000.0, 50, &[]), format, "inbound");
        let second = format.sample_rate() as usize;
        let settled = &samples[second / 2..second * 9 / 10];
        if kept {
            let (level, _) = judged(settled, 6000.0, format.sample_rate());
            assert!(level.abs() < 2.0, "{form:?} {}: {level} dB", format.name());
        } else {
            let loudest = settled.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            assert!(loudest < 200, "{}: {loudest}", format.name());
        }
    }
}

/// Has the agent play a tone for a second; returns the packets sent to the remote party.
fn say(bench: &mut Bench, format: AgentFormat, hz: f64) -> Vec<Made> {
    let rate = format.sample_rate();
    let samples = (0..rate).map(|n| (PEAK * (TAU * hz * f64::from(n) / f64::from(rate)).sin()) as i16);
    let bytes: Vec<u8> = match format {
        AgentFormat::Mulaw8000 => samples.map(encode_ulaw).collect(),
        AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => {
            samples.flat_map(i16::to_le_bytes).collect()
        }
    };
    bench.say(AGENT, &media_of(&bytes));
    bench.run(1000)
}

#[test]
fn a_far_side_of_another_codec_hears_an_agent() {
    for form in [OPUS, G722] {
        for format in AgentFormat::ALL {
            let mut bench = with_agent(form, format);
            let made = say(&mut bench, format, 500.0);
            assert_eq!(made.len(), 51, "a packet every 20 ms");
            for pair in made.windows(2) {
                let (one, next) = (pair[0].rtp(), pair[1].rtp());
                assert_eq!((next.payload_type, next.ssrc), (form.payload, one.ssrc));
                assert_eq!(next.sequence, one.sequence.wrapping_add(1));
                assert_eq!(next.timestamp, one.timestamp.wrapping_add(ticks(form)));
            }
            let samples = decoded(form, &made);
            let (level, purity) = judged(&samples[8000..], 500.0, RATE);
            assert!(level.abs() < 0.5 && purity > 13.0, "{form:?} {}: {level} dB, {purity} dB", format.name());
        }
    }
}

#[test]
fn what_a_wide_agent_says_is_heard_whole() {
    for (form, format) in
        [(G722, AgentFormat::L16Rate16000), (G722, AgentFormat::L16Rate24000), (OPUS, AgentFormat::L16Rate16000)]
    {
        let mut bench = with_agent(form, format);
        let samples = decoded(form, &say(&mut bench, format, 6000.0));
        let (level, _) = judged(&samples[8000..], 6000.0, RATE);
        assert!(level.abs() < 2.0, "{form:?} {}: {level} dB", format.name());
    }
}

/// Marks and `clear` follow the packets sent, as with μ-law.
#[test]
fn a_mark_comes_back_once_its_audio_has_left_and_a_clear_ends_it() {
    for form in [OPUS, G722] {
        let mut bench = with_agent(form, AgentFormat::Mulaw8000);
        let loud: Vec<u8> = (0..160).map(|n| encode_ulaw(if n % 16 < 8 { 8000 } else { -8000 })).collect();
        bench.say(AGENT, &media_of(&loud.repeat(5)));
        bench.say(AGENT, &mark("said"));
        bench.written(AGENT);
        let returned = |messages: &[Value]| messages.iter().any(|message| message["event"] == "mark");
        assert_eq!(bench.run(60).len(), 4);
        assert!(!returned(&bench.written(AGENT)));
        bench.run(20);
        assert!(returned(&bench.written(AGENT)));
        bench.say(AGENT, &media_of(&loud.repeat(50)));
        bench.say(AGENT, &mark("never"));
        let mut made = bench.run(200);
        bench.say(AGENT, r#"{"event":"clear","streamSid":"MZ1"}"#);
        assert!(returned(&bench.written(AGENT)), "waiting marks come back at once");
        let before = made.len();
        made.extend(bench.run(200));
        let samples = decoded(form, &made);
        let level = |frame: usize| {
            let frame = &samples[frame * 320..frame * 320 + 320];
            frame.iter().map(|sample| u64::from(sample.unsigned_abs())).sum::<u64>() / 320
        };
        assert!(level(before - 2) > 2000 && level(before + 2) < 100, "{} {}", level(before - 2), level(before + 2));
    }
}

#[test]
fn a_lost_packet_is_concealed() {
    for form in [OPUS, G722] {
        let mut bench = with_agent(form, AgentFormat::Mulaw8000);
        let messages = listen(&mut bench, form, 500.0, 50, &[20, 35]);
        let samples = heard(&messages, AgentFormat::Mulaw8000, "inbound");
        let power = |frame: &[i16]| frame.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / 160.0;
        let levels: Vec<i64> = samples.chunks(160).map(|frame| (power(frame).max(1.0).log10() * 10.0) as i64).collect();
        assert!(levels[10..45].iter().all(|level| *level > 50), "{form:?}: no hole is heard: {levels:?}");
        // Duplicates and late packets are dropped and counted.
        let before = bench.dropped(A, DropReason::Late);
        bench.feed(A, false, A_RTP, &packet(form, 40, form.payload, &said(form, 500.0, 1)[0]));
        assert_eq!(bench.dropped(A, DropReason::Late), before + 1);
    }
}

#[test]
fn rfc3389_comfort_noise_is_heard_as_loud_as_it_says() {
    for form in [OPUS, G722] {
        let mut bench = with_agent(form, AgentFormat::L16Rate16000);
        let said = said(form, 500.0, 50);
        let mut messages = Vec::new();
        for (n, payload) in said.iter().enumerate() {
            let bytes = match n {
                20..30 => packet(form, n, 13, &[40]),
                _ => packet(form, n, form.payload, payload),
            };
            bench.feed(A, false, A_RTP, &bytes);
            bench.run(20);
            messages.extend(bench.written(AGENT));
        }
        let samples = heard(&messages, AgentFormat::L16Rate16000, "inbound");
        let noise = &samples[21 * 320..29 * 320];
        let power = noise.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / noise.len() as f64;
        let level = 10.0 * (power / 32_767.0_f64.powi(2)).log10();
        assert!((level + 40.0).abs() < 1.0, "{form:?}: {level} dBov");
        let (level, purity) = judged(&samples[34 * 320..48 * 320], 500.0, RATE);
        assert!(level.abs() < 0.5 && purity > 13.0, "{form:?}: {level} dB, {purity} dB");
        assert_eq!(bench.dropped(A, DropReason::UnknownPayload), 0);
    }
}

#[test]
fn packets_that_change_places_are_heard_as_if_they_had_not() {
    for (form, format) in [OPUS, G722].into_iter().flat_map(|form| AgentFormat::ALL.map(|format| (form, format))) {
        let straight = heard(&listen(&mut with_agent(form, format), form, 500.0, 50, &[]), format, "inbound");
        let mut bench = with_agent(form, format);
        let mut messages = Vec::new();
        let voice = said(form, 500.0, 50);
        for n in 0..50 {
            let n = match n % 5 {
                2 => n + 1,
                3 => n - 1,
                _ => n,
            };
            assert_eq!(bench.feed(A, false, A_RTP, &packet(form, n, form.payload, &voice[n])), None);
            bench.run(20);
            messages.extend(bench.written(AGENT));
        }
        bench.run(100);
        messages.extend(bench.written(AGENT));
        let second = format.sample_rate() as usize;
        let mixed = heard(&messages, format, "inbound");
        assert!(mixed[..second] == straight[..second], "{form:?} {}", format.name());
        assert_eq!(bench.dropped(A, DropReason::Late), 0);
    }
}

/// A lost frame is concealed, not filled with silence, while the next packets wait for it.
#[test]
fn a_loss_before_what_is_late_is_concealed_too() {
    for form in [OPUS, G722] {
        let mut bench = with_agent(form, AgentFormat::L16Rate16000);
        let mut messages = Vec::new();
        for (n, payload) in said(form, 500.0, 50).iter().enumerate() {
            bench.run(if n == 21 { 69 } else { 0 });
            if n != 20 {
                bench.feed(A, false, A_RTP, &packet(form, n, form.payload, payload));
            }
            // Later packets catch up.
            bench.run(match n {
                21..24 => 0,
                24 => 11,
                _ => 20,
            });
            messages.extend(bench.written(AGENT));
        }
        let samples = heard(&messages, AgentFormat::L16Rate16000, "inbound");
        let power = |frame: &[i16]| frame.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / 320.0;
        let levels: Vec<i64> = samples.chunks(320).map(|frame| (power(frame).max(1.0).log10() * 10.0) as i64).collect();
        assert!(levels[10..40].iter().all(|level| *level > 50), "{form:?}: no hole is heard: {levels:?}");
    }
}

#[test]
fn rfc4733_keys_are_heard_and_pressed_on_the_far_side_s_clock() {
    let mut bench = with_agent(OPUS, AgentFormat::Mulaw8000);
    let voice = said(OPUS, 500.0, 10);
    bench.feed(A, false, A_RTP, &packet(OPUS, 0, 107, &voice[0]));
    for n in 1..4 {
        let mut key = packet(OPUS, 1, 101, &[5, 10, 0, 160]);
        key[3] = n;
        bench.feed(A, false, A_RTP, &key);
    }
    bench.feed(A, false, A_RTP, &packet(OPUS, 4, 107, &voice[1]));
    bench.run(200);
    let messages = bench.written(AGENT);
    let keys: Vec<&Value> = messages.iter().filter(|message| message["event"] == "dtmf").collect();
    assert_eq!((keys.len(), &keys[0]["dtmf"]["digit"]), (1, &Value::from("5")));
    let press = DigitFormat::Event { payload: 96, clock_hz: 48_000 };
    bench.command(MediaCommand::Press { end: A, press, digits: "1".into(), ms: 100 });
    let made = bench.run(200);
    let pressed: Vec<&Made> = made.iter().filter(|made| made.rtp().payload_type == 96).collect();
    assert_eq!(
        (pressed[0].payload(), pressed.last().unwrap().payload()),
        (&[1, 10, 3, 192][..], &[1, 0x8a, 18, 192][..])
    );
    let after = made.iter().find(|made| made.rtp().payload_type == 107 && made.at > pressed[0].at).unwrap();
    assert_eq!(after.rtp().timestamp.wrapping_sub(pressed[0].rtp().timestamp), 7 * 960);
}

#[test]
fn who_listens_hears_both_directions() {
    for form in [OPUS, G722] {
        let mut bench = Bench::unconnected();
        bench.set_remote(A, remote(A_RTP));
        bench.set_remote(B, remote(B_RTP));
        let clocks = vec![(form.payload, form.coding.clock_hz())];
        let wire = WireSpec { payloads: vec![(form.payload, form.payload)], clocks, ..Default::default() };
        bench.command(MediaCommand::Wire { from: A, to: B, wire: wire.clone() });
        bench.command(MediaCommand::Wire { from: B, to: A, wire });
        bench.add_agent(
            AGENT,
            StreamSettings { tracks: TrackSet::Both, talks: false, ..settings(AgentFormat::Mulaw8000) },
        );
        bench.agent(AGENT, AgentInput::Opened);
        let audio = TapSpec::both(form.payload, form.coding);
        bench.command(MediaCommand::Tap { of: A, listener: AGENT, audio });
        let mut messages = Vec::new();
        for (n, (there, back)) in said(form, 500.0, 50).iter().zip(&said(form, 1000.0, 50)).enumerate() {
            let sent = packet(form, n, form.payload, there);
            assert_eq!(bench.feed(A, false, A_RTP, &sent).unwrap().1, sent, "what is relayed stays as it is");
            bench.feed(B, false, B_RTP, &packet(form, n, form.payload, back)).unwrap();
            bench.run(20);
            messages.extend(bench.written(AGENT));
        }
        for (track, hz) in [("inbound", 500.0), ("outbound", 1000.0)] {
            let samples = heard(&messages, AgentFormat::Mulaw8000, track);
            let (level, purity) = judged(&samples[4000..7200], hz, 8000);
            assert!(level.abs() < 0.5 && purity > 13.0, "{form:?} {track}: {level} dB, {purity} dB");
        }
    }
}

/// Hold audio and DTMF tones reach a remote party of such a codec as well, and an agent's voice follows in the same
/// stream.
#[test]
fn what_is_played_and_who_speaks_next_are_one_stream() {
    for form in [OPUS, G722] {
        let mut bench = with_agent(form, AgentFormat::L16Rate16000);
        let player = EndId(8);
        bench.command(MediaCommand::AddPlayer { end: player, sound: PlayerSound::Ringback });
        bench.command(MediaCommand::Wire { from: player, to: A, wire: form.spec() });
        let mut made = bench.run(1000);
        assert_eq!(bench.events().iter().filter(|event| matches!(event, MediaEvent::Played { .. })).count(), 0);
        let samples = decoded(form, &made);
        let loud = samples[8000..].iter().map(|sample| i32::from(sample.abs())).max().unwrap();
        assert!((3500..6000).contains(&loud), "{form:?}: {loud}");
        bench.command(MediaCommand::Wire { from: AGENT, to: A, wire: form.spec() });
        made.extend(say(&mut bench, AgentFormat::L16Rate16000, 500.0));
        let samples = decoded(form, &made);
        assert!(judged(&samples[24_000..], 500.0, RATE).0.abs() < 0.5);
        assert!(made.windows(2).all(|pair| {
            let (one, next) = (pair[0].rtp(), pair[1].rtp());
            next.sequence == one.sequence.wrapping_add(1) && next.timestamp == one.timestamp.wrapping_add(ticks(form))
        }));
    }
}

/// A re-INVITE changes the codec while the agent speaks: the stream continues under its SSRC, on the new codec's clock.
#[test]
fn the_codec_may_change_under_an_agent() {
    let mut bench = with_agent(ULAW, AgentFormat::Mulaw8000);
    let before = bench.run(100);
    wire_agent(&mut bench, OPUS);
    let after = say(&mut bench, AgentFormat::Mulaw8000, 500.0);
    let (last, first) = (before.last().unwrap().rtp(), after[0].rtp());
    assert_eq!((first.payload_type, first.ssrc), (107, last.ssrc));
    assert_eq!(first.sequence, last.sequence.wrapping_add(1));
    assert_eq!(first.timestamp, last.timestamp.wrapping_add(960));
    assert!(judged(&decoded(OPUS, &after)[8000..], 500.0, RATE).0.abs() < 0.5);
    let messages = listen(&mut bench, OPUS, 500.0, 50, &[]);
    let samples = heard(&messages, AgentFormat::Mulaw8000, "inbound");
    assert!(judged(&samples[samples.len() - 4000..samples.len() - 1600], 500.0, 8000).0.abs() < 0.5);
    wire_agent(&mut bench, ULAW);
    let made = bench.run(40);
    assert_eq!((made[0].rtp().payload_type, made[0].payload()), (0, &[0xff; 160][..]));
}

/// A remote party replaces an agent as feeder, and the reverse: the G.722 decoder sees the steps of one encoder.
#[test]
fn a_far_side_of_g722_hears_one_coder_whoever_feeds_it() {
    let mut bench = with_agent(G722, AgentFormat::L16Rate16000);
    bench.set_remote(B, remote(B_RTP));
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    let mut changes = Vec::new();
    for turn in 0..2 {
        if turn > 0 {
            bench.command(MediaCommand::Wire { from: AGENT, to: A, wire: G722.spec() });
        }
        changes.push(payloads.len());
        payloads.extend(say(&mut bench, AgentFormat::L16Rate16000, 500.0).iter().map(|made| made.payload().to_vec()));
        let converted = TranscodeSpec {
            from: vec![(0, PayloadCodec::Pcmu)],
            to: (9, PayloadCodec::G722),
            packet_ms: 20,
            events: Vec::new(),
            noise: None,
        };
        let wire = WireSpec { transcode: Some(Box::new(converted)), ..WireSpec::default() };
        bench.command(MediaCommand::Wire { from: B, to: A, wire });
        payloads.extend(bench.run(1).iter().map(|made| made.payload().to_vec()));
        changes.push(payloads.len());
        for n in turn * 50..turn * 50 + 50 {
            let tone = (n * 160..n * 160 + 160).map(|n| (PEAK * (TAU * 500.0 * n as f64 / 8000.0).sin()) as i16);
            let payload: Vec<u8> = tone.map(encode_ulaw).collect();
            let (sequence, timestamp) = (n as u16, n as u32 * 160);
            let mut bytes = Vec::new();
            RtpHeader { payload_type: 0, sequence, timestamp, ..header(0) }.build(&payload, &mut bytes);
            let (_, left) = bench.feed(B, false, B_RTP, &bytes).unwrap();
            payloads.push(left[RtpHeader::parse(&left).unwrap().payload].to_vec());
            bench.wait(20);
        }
    }
    let mut decoder = g722::G722Decoder::new();
    let samples: Vec<i16> = payloads.iter().flatten().flat_map(|code| decoder.decode(*code)).collect();
    for change in changes.into_iter().skip(1) {
        // After the cross-fade and the settling of the resampler.
        let window = &samples[(change + 1) * 320..(change + 5) * 320];
        let (level, purity) = judged(window, 500.0, RATE);
        assert!(level.abs() < 0.5 && purity > 25.0, "{change}: {level} dB, {purity} dB");
    }
}
