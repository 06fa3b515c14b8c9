//! Pauses of a source, after which its timestamps continue, go back or jump ahead: every kind of listener gets every
//! packet of each word.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::sync::Arc;

use crate::support::*;
use trunkgate_media::agent::{AgentFormat, StreamSettings, TrackName, TrackSet};
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{
    AgentInput, AudioListenerSpec, EndCounters, EndId, EndSpec, MediaCommand, PayloadCodec, Recorded, RecordedSamples,
    RecorderSpec, RecordingId, RemoteSpec, TapSpec, WireSpec,
};

const AGENT: EndId = EndId(7);
const RECORDER: EndId = EndId(8);
const STREAMER: EndId = EndId(9);
const SERVER: EndId = EndId(10);
const SERVER_AT: &str = "203.0.113.20:7000";
const WORDS: u16 = 5;
const PACKETS: u16 = 25;

/// Returns the μ-law code that packet `n` consists of; none is silence, and neighbours differ.
fn code(n: u16) -> u8 {
    (n % 100) as u8
}

/// Returns the codes of all packets sent, in order.
fn said() -> Vec<u8> {
    (0..WORDS * PACKETS).map(code).collect()
}

/// Returns the codes of frames, each of which must consist of a single code; silent frames are omitted.
fn codes<'a>(frames: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let one = |frame: &[u8]| {
        assert!(frame.iter().all(|code| *code == frame[0]), "a frame of two packets");
        frame[0]
    };
    frames.map(one).filter(|code| *code != 0xff).collect()
}

/// Sends words with pauses between them, after which timestamps change by `jump`; calls `look` after each 20 ms.
fn talk(bench: &mut Bench, pause_ms: u64, jump: u32, mut look: impl FnMut(&mut Bench, Vec<Made>)) {
    for n in 0..WORDS * PACKETS {
        let timestamp = (u32::from(n) * 160).wrapping_add(u32::from(n / PACKETS).wrapping_mul(jump));
        let mut bytes = Vec::new();
        RtpHeader { timestamp: timestamp.wrapping_add(77_000), ..header(n) }.build(&[code(n); 160], &mut bytes);
        bench.feed(A, false, A_RTP, &bytes);
        let made = bench.run(20);
        look(bench, made);
        if n % PACKETS == PACKETS - 1 {
            for _ in 0..pause_ms / 20 {
                let made = bench.run(20);
                look(bench, made);
            }
        }
    }
}

/// Runs a check for each pause and each behaviour of the timestamps after it.
fn each(mut check: impl FnMut(u64, u32)) {
    for pause_ms in [400, 700, 1000, 5000] {
        for jump in [0, 4000_u32.wrapping_neg(), 3_000_000_u32.wrapping_neg(), 1 << 31, 90_000] {
            check(pause_ms, jump);
        }
    }
}

#[test]
fn an_agent_hears_each_packet_behind_a_pause() {
    each(|pause_ms, jump| {
        let mut bench = Bench::unconnected();
        bench.set_remote(A, remote(A_RTP));
        let settings =
            StreamSettings { stream_sid: "MZ1".into(), format: AgentFormat::Mulaw8000, ..StreamSettings::default() };
        bench.add_agent(AGENT, settings);
        bench.agent(AGENT, AgentInput::Opened);
        bench.command(MediaCommand::Wire { from: A, to: AGENT, wire: wire() });
        let mut heard = Vec::new();
        talk(&mut bench, pause_ms, jump, |bench, _| {
            bench.agent(AGENT, AgentInput::Pong);
            let messages = bench.written(AGENT);
            heard.extend(messages.iter().filter(|message| message["event"] == "media").map(audio));
        });
        assert_eq!(codes(heard.iter().map(Vec::as_slice)), said(), "{pause_ms} ms {jump}");
        // The number of frames matches the elapsed time, except for the last ones of the silence.
        let ms = u64::from(WORDS) * (u64::from(PACKETS) * 20 + pause_ms);
        let frames = heard.len() as u64 * 20;
        assert!((ms - 120..=ms + 100).contains(&frames), "{pause_ms} ms {jump}: {frames} of {ms} ms");
    });
}

#[test]
fn a_recording_has_each_packet_behind_a_pause() {
    each(|pause_ms, jump| {
        let mut bench = Bench::connected();
        let spec = RecorderSpec { recording: RecordingId(5), tracks: TrackSet::Both, silence: None };
        bench.command(MediaCommand::AddListener { end: RECORDER, spec: AudioListenerSpec::Recorder(spec) });
        bench.command(MediaCommand::Tap { of: A, listener: RECORDER, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
        let mut left: Vec<u8> = Vec::new();
        let mut drain = |bench: &mut Bench| {
            bench.session.drain_recordings(|_, piece| {
                if let Recorded::Audio { samples: RecordedSamples::Pcmu(both), .. } = piece {
                    left.extend(both.iter().step_by(2));
                }
            });
        };
        talk(&mut bench, pause_ms, jump, |bench, _| drain(bench));
        bench.command(MediaCommand::RemoveEnd { end: RECORDER });
        drain(&mut bench);
        assert_eq!(codes(left.chunks(160)), said(), "{pause_ms} ms {jump}");
    });
}

#[test]
fn a_recording_server_is_sent_each_packet_behind_a_pause() {
    each(|pause_ms, jump| {
        let mut bench = Bench::connected();
        let bind = std::net::SocketAddr::from(([127, 0, 0, 1], 17_000));
        let spec = EndSpec { bind, counters: Arc::new(EndCounters::default()) };
        bench.command(MediaCommand::AddEnd { end: SERVER, spec });
        bench.command(MediaCommand::AddListener {
            end: STREAMER,
            spec: AudioListenerSpec::Streamer { track: TrackName::Inbound },
        });
        bench.set_remote(SERVER, RemoteSpec { may_send: false, watch_idle: false, ..remote(SERVER_AT) });
        let leads = WireSpec { payloads: vec![(0, 0)], coding: PayloadCodec::Pcmu, ..WireSpec::default() };
        bench.command(MediaCommand::Wire { from: STREAMER, to: SERVER, wire: leads });
        bench.command(MediaCommand::Tap { of: A, listener: STREAMER, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
        let mut sent = Vec::new();
        talk(&mut bench, pause_ms, jump, |_, made| {
            sent.extend(
                made.into_iter().filter(|made| made.transmit.via == SERVER).map(|made| made.payload().to_vec()),
            );
        });
        let expected: Vec<u8> = said().into_iter().map(|code| encode_ulaw(decode_ulaw(code))).collect();
        assert_eq!(codes(sent.iter().map(Vec::as_slice)), expected, "{pause_ms} ms {jump}");
    });
}
