//! Listeners receive both directions exactly as on the wire, without any effect on the wire.

use crate::support::*;
use serde_json::Value;
use trunkgate_media::agent::{AgentFormat, SocketMessage, StreamSettings, TrackSet};
use trunkgate_media::codec::g711::{alaw_to_ulaw, decode_ulaw};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{
    AgentEvent, AgentInput, EndId, MediaCommand, MediaEvent, PayloadCodec, PlayerSound, TapSpec, WireSpec,
};

const SCRIBE: EndId = EndId(7);
const OTHER: EndId = EndId(8);

fn listener() -> StreamSettings {
    StreamSettings { stream_sid: "MZ1".into(), talks: false, tracks: TrackSet::Both, ..StreamSettings::default() }
}

fn tap(bench: &mut Bench, listener_end: EndId, coding: PayloadCodec) {
    bench.add_agent(listener_end, listener());
    bench.agent(listener_end, AgentInput::Opened);
    let payload = if coding == PayloadCodec::Pcma { 8 } else { 0 };
    bench.command(MediaCommand::Tap { of: A, listener: listener_end, audio: TapSpec::both(payload, coding) });
}

fn packet(payload_type: u8, n: u16, code: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    RtpHeader { payload_type, ..header(n) }.build(&[code; 160], &mut bytes);
    bytes
}

/// Returns the codes of a track's frames, each of which consists of a single code.
fn track(messages: &[Value], name: &str) -> Vec<u8> {
    let media = messages.iter().filter(|message| message["media"]["track"] == name);
    media.map(|message| audio(message)[0]).collect()
}

#[test]
fn both_tracks_equal_the_wire_and_the_wire_is_unchanged() {
    let (mut bench, mut plain) = (Bench::connected(), Bench::connected());
    tap(&mut bench, SCRIBE, PayloadCodec::Pcmu);
    for n in 0..50u16 {
        for (end, source, code) in [(A, A_RTP, n as u8), (B, B_RTP, 100 + n as u8)] {
            let mut bytes = packet(0, n, code);
            bytes[1] |= u8::from(n == 30) << 7;
            let expected = plain.feed(end, false, source, &bytes);
            assert!(expected.is_some());
            assert_eq!(bench.feed(end, false, source, &bytes), expected);
        }
        assert_eq!(bench.run(20), []);
        plain.run(20);
    }
    let messages = bench.written(SCRIBE);
    assert_eq!(track(&messages, "inbound"), (0..50).collect::<Vec<u8>>());
    assert_eq!(track(&messages, "outbound"), (100..150).collect::<Vec<u8>>());
    assert_eq!(bench.counters[0].tx_packets.get(), plain.counters[0].tx_packets.get());
}

#[test]
fn it_hears_before_anybody_answers_and_whoever_feeds_the_end() {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    tap(&mut bench, SCRIBE, PayloadCodec::Pcmu);
    bench.command(MediaCommand::AddPlayer { end: OTHER, sound: PlayerSound::Once(vec![66; 160 * 10].into()) });
    bench.command(MediaCommand::Wire { from: OTHER, to: A, wire: ULAW.spec() });
    for n in 0..10 {
        assert_eq!(bench.feed(A, false, A_RTP, &packet(0, n, 5)), None);
        bench.run(20);
    }
    assert!(bench.events().contains(&MediaEvent::Played { end: OTHER }));
    let messages = bench.written(SCRIBE);
    assert_eq!(track(&messages, "inbound"), [5; 10]);
    assert_eq!(&track(&messages, "outbound")[..10], [66; 10]);
}

#[test]
fn alaw_calls_are_heard_as_mulaw_and_other_payloads_not() {
    let mut bench = Bench::connected();
    let pcma = WireSpec { payloads: vec![(8, 8), (13, 13)], ..WireSpec::default() };
    bench.command(MediaCommand::Wire { from: A, to: B, wire: pcma });
    tap(&mut bench, SCRIBE, PayloadCodec::Pcma);
    for n in 0..5 {
        let payload = if n == 2 { 13 } else { 8 };
        assert!(bench.feed(A, false, A_RTP, &packet(payload, n, 0x12)).is_some());
        bench.run(20);
    }
    let voice = alaw_to_ulaw(0x12);
    assert_eq!(track(&bench.written(SCRIBE), "inbound"), [voice, voice, 0xff, voice, voice]);
}

#[test]
fn a_far_side_that_changes_its_payload_is_heard_on() {
    let mut bench = Bench::connected();
    let both = WireSpec { payloads: vec![(0, 0), (8, 8)], ..WireSpec::default() };
    bench.command(MediaCommand::Wire { from: A, to: B, wire: both.clone() });
    bench.command(MediaCommand::Wire { from: B, to: A, wire: both });
    tap(&mut bench, SCRIBE, PayloadCodec::Pcmu);
    let laws = vec![(0, PayloadCodec::Pcmu), (8, PayloadCodec::Pcma)];
    let audio = TapSpec { inbound: laws.clone(), outbound: laws };
    bench.command(MediaCommand::Tap { of: A, listener: SCRIBE, audio });
    for n in 0..6 {
        let payload = if n % 2 == 0 { 0 } else { 8 };
        assert!(bench.feed(A, false, A_RTP, &packet(payload, n, 0x12)).is_some());
        assert!(bench.feed(B, false, B_RTP, &packet(payload, n, 0x34)).is_some());
        bench.run(20);
    }
    let messages = bench.written(SCRIBE);
    for (name, code) in [("inbound", 0x12), ("outbound", 0x34)] {
        assert_eq!(track(&messages, name), [code, alaw_to_ulaw(code)].repeat(3), "{name}");
    }
}

#[test]
fn each_direction_has_its_own_numbers() {
    let mut bench = Bench::connected();
    bench.command(MediaCommand::Wire {
        from: A,
        to: B,
        wire: WireSpec { payloads: vec![(96, 0)], ..WireSpec::default() },
    });
    bench.command(MediaCommand::Wire {
        from: B,
        to: A,
        wire: WireSpec { payloads: vec![(0, 97)], ..WireSpec::default() },
    });
    tap(&mut bench, SCRIBE, PayloadCodec::Pcmu);
    // A payload type of one direction has another meaning in the other.
    let audio = TapSpec {
        inbound: vec![(96, PayloadCodec::Pcmu), (97, PayloadCodec::Pcma)],
        outbound: vec![(97, PayloadCodec::Pcmu), (96, PayloadCodec::Pcma)],
    };
    bench.command(MediaCommand::Tap { of: A, listener: SCRIBE, audio });
    assert!(bench.feed(A, false, A_RTP, &packet(96, 0, 0x12)).is_some());
    assert!(bench.feed(B, false, B_RTP, &packet(0, 0, 0x34)).is_some());
    let messages = bench.written(SCRIBE);
    assert_eq!((track(&messages, "inbound"), track(&messages, "outbound")), (vec![0x12], vec![0x34]));
}

#[test]
fn two_listeners_hear_the_same_and_leave_on_their_own() {
    let mut bench = Bench::connected();
    tap(&mut bench, SCRIBE, PayloadCodec::Pcmu);
    tap(&mut bench, OTHER, PayloadCodec::Pcmu);
    // Repeating a tap does not add another one.
    bench.command(MediaCommand::Tap { of: A, listener: SCRIBE, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
    bench.feed(A, false, A_RTP, &packet(0, 0, 9));
    assert_eq!(track(&bench.written(SCRIBE), "inbound"), [9]);
    assert_eq!(track(&bench.written(OTHER), "inbound"), [9]);
    bench.command(MediaCommand::RemoveEnd { end: SCRIBE });
    bench.run(20);
    assert!(bench.feed(A, false, A_RTP, &packet(0, 1, 9)).is_some());
    assert_eq!(track(&bench.written(OTHER), "inbound"), [9]);
    assert!(bench.session.poll_agent(SCRIBE).is_none());
    // A tap on or by a missing end has no effect.
    bench.command(MediaCommand::Tap { of: EndId(99), listener: OTHER, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
    bench.command(MediaCommand::Tap { of: A, listener: EndId(99), audio: TapSpec::both(0, PayloadCodec::Pcmu) });
    assert!(bench.feed(A, false, A_RTP, &packet(0, 2, 9)).is_some());
}

#[test]
fn what_strangers_send_is_not_heard() {
    let mut bench = Bench::connected();
    tap(&mut bench, SCRIBE, PayloadCodec::Pcmu);
    bench.feed(A, false, STRANGER, &packet(0, 0, 9));
    assert_eq!(track(&bench.written(SCRIBE), "inbound"), [] as [u8; 0]);
}

#[test]
fn a_listener_that_stops_reading_costs_the_call_nothing() {
    let (mut bench, mut plain) = (Bench::connected(), Bench::connected());
    tap(&mut bench, SCRIBE, PayloadCodec::Pcmu);
    for n in 0..2000u16 {
        let bytes = packet(0, n, n as u8);
        assert_eq!(bench.feed(A, false, A_RTP, &bytes), plain.feed(A, false, A_RTP, &bytes));
        if n % 50 == 0 {
            bench.agent(SCRIBE, AgentInput::Pong);
        }
        bench.run(20);
        plain.wait(20);
    }
    let dropped = bench.session.counters(SCRIBE).unwrap().frames_dropped.get();
    assert!(dropped > 3_800, "{dropped}");
    assert!(bench.written(SCRIBE).len() < 120);
    // The socket is read again.
    bench.feed(A, false, A_RTP, &packet(0, 2000, 1));
    assert_eq!(track(&bench.written(SCRIBE), "inbound"), [1]);
}

/// A recogniser first gets the audio from before its socket was open, as linear audio of the caller alone.
#[test]
fn a_recogniser_hears_the_caller_from_before_its_socket_is_open() {
    let mut bench = Bench::connected();
    let settings = StreamSettings {
        talks: false,
        tracks: TrackSet::Inbound,
        format: AgentFormat::L16Rate8000,
        recognition: Some(Box::default()),
        ..StreamSettings::default()
    };
    bench.add_agent(SCRIBE, settings);
    let audio = TapSpec { inbound: vec![(0, PayloadCodec::Pcmu)], outbound: Vec::new() };
    bench.command(MediaCommand::Tap { of: A, listener: SCRIBE, audio });
    for n in 0..20u16 {
        if n == 10 {
            bench.agent(SCRIBE, AgentInput::Opened);
        }
        bench.feed(A, false, A_RTP, &packet(0, n, n as u8));
        bench.feed(B, false, B_RTP, &packet(0, n, 0x55));
        bench.run(20);
    }
    let sent: Vec<SocketMessage> = std::iter::from_fn(|| bench.session.poll_agent(SCRIBE)).collect();
    assert!(
        matches!(&sent[0], SocketMessage::Text(start) if start.starts_with(b"{\"type\":\"start\"")),
        "{:?}",
        sent[0]
    );
    let frames = sent.iter().filter_map(|transmit| match transmit {
        SocketMessage::Binary(frame) => Some(frame.to_vec()),
        SocketMessage::Text(_) | SocketMessage::Ping | SocketMessage::Close(_) => None,
    });
    let spoken = |n: u8| decode_ulaw(n).to_le_bytes().repeat(160);
    assert_eq!(frames.collect::<Vec<_>>(), (0..20).map(spoken).collect::<Vec<_>>());
    bench.say(SCRIBE, r#"{"type":"transcription","is_final":true,"alternatives":[{"transcript":"yes"}]}"#);
    let events = bench.events();
    assert!(events.contains(&MediaEvent::Agent { end: SCRIBE, event: AgentEvent::Open }), "{events:?}");
    let recognised = |event: &MediaEvent| matches!(event, MediaEvent::Agent { end: SCRIBE, event: AgentEvent::Recognised(transcript) } if transcript.text == "yes");
    assert!(events.iter().any(recognised), "{events:?}");
}
