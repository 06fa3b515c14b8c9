//! DTMF requested by an agent: telephone-events in the agent's own stream to the caller (RFC 4733).

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use crate::support::*;
use trunkgate_media::agent::{StreamSettings, TrackSet};
use trunkgate_media::limits::KEYS_WAITING;
use trunkgate_media::{
    AgentEvent, AgentInput, DigitFormat, DropReason, EndId, MediaCommand, MediaEvent, PayloadCodec, PlayerSound,
    RemoteSpec, TapSpec,
};

const AGENT: EndId = EndId(7);
const SCRIBE: EndId = EndId(8);
const TONE: EndId = EndId(9);
const EVENT: DigitFormat = DigitFormat::Event { payload: 101, clock_hz: 8000 };

/// Creates A with an agent that is talking.
fn talking() -> Bench {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    bench.add_agent(AGENT, StreamSettings { stream_sid: "MZ1".into(), ..StreamSettings::default() });
    bench.agent(AGENT, AgentInput::Opened);
    bench.command(MediaCommand::Wire { from: A, to: AGENT, wire: ULAW.spec() });
    bench.command(MediaCommand::Wire { from: AGENT, to: A, wire: ULAW.spec() });
    bench
}

fn press(bench: &mut Bench, digits: &str) {
    bench.command(MediaCommand::Press { end: A, press: EVENT, digits: digits.into(), ms: 100 });
}

/// Returns for each tick the event and the duration of a digit, or the first sample of audio.
fn heard(made: &[Made]) -> Vec<Result<(u8, u16), u8>> {
    let one = |made: &Made| match (made.rtp().payload_type, made.payload()) {
        (101, [event, _, high, low]) => Ok((*event, u16::from_be_bytes([*high, *low]))),
        (_, payload) => {
            assert_eq!(payload.len(), 160);
            Err(payload[0])
        }
    };
    made.iter().map(one).collect()
}

#[test]
fn rfc4733_keys_go_in_the_same_stream_and_the_agents_audio_waits() {
    let mut bench = talking();
    bench.say_audio(AGENT, &[1, 2, 3, 4, 5, 6]);
    let mut made = bench.run(39);
    press(&mut bench, "5");
    made.extend(bench.run(300));
    let key = |duration| Ok((5, duration));
    let expected = [
        Err(1),
        Err(2),
        key(160),
        key(320),
        key(480),
        key(640),
        key(800),
        key(800),
        key(800),
        Err(3),
        Err(4),
        Err(5),
        Err(6),
        Err(0xff),
    ];
    assert_eq!(heard(&made)[..14], expected);
    // One SSRC, no gap in the numbers, and timestamps that follow the clock after the digits.
    for (n, packet) in made.iter().enumerate() {
        let (rtp, first) = (packet.rtp(), made[0].rtp());
        assert_eq!((rtp.ssrc, rtp.sequence), (first.ssrc, first.sequence.wrapping_add(n as u16)));
        let ticks = if (2..9).contains(&n) { 2 } else { n as u32 };
        assert_eq!(rtp.timestamp.wrapping_sub(first.timestamp), 160 * ticks, "{n}");
        assert_eq!(rtp.marker, n == 0 || n == 2, "{n}");
        assert_eq!(packet.bytes[13] & 0x80 != 0 && rtp.payload_type == 101, (6..9).contains(&n), "{n}");
    }
    assert_eq!(bench.counters[0].tx_packets.get(), made.len() as u64);
}

#[test]
fn marks_come_back_after_their_audio_not_after_the_keys() {
    let mut bench = talking();
    bench.say_audio(AGENT, &[1, 2]);
    bench.say(AGENT, r#"{"event":"mark","mark":{"name":"m"}}"#);
    press(&mut bench, "5");
    let marks = |bench: &mut Bench| bench.written(AGENT).iter().filter(|message| message["event"] == "mark").count();
    bench.run(7 * 20 - 1);
    assert_eq!(marks(&mut bench), 0);
    bench.run(40);
    assert_eq!(marks(&mut bench), 1);
}

#[test]
fn keys_are_pressed_to_the_end_whoever_feeds_the_caller_next() {
    let mut bench = talking();
    press(&mut bench, "12");
    let mut made = bench.run(59);
    bench.command(MediaCommand::RemoveEnd { end: AGENT });
    bench.command(MediaCommand::AddPlayer { end: TONE, sound: PlayerSound::Once(vec![9; 160 * 20].into()) });
    bench.command(MediaCommand::Wire { from: TONE, to: A, wire: ULAW.spec() });
    made.extend(bench.run(800));
    let heard = heard(&made);
    let ends = |event: u8| heard.iter().filter(|tick| **tick == Ok((event, 800))).count();
    assert_eq!((ends(1), ends(2)), (3, 3));
    assert_eq!(heard.iter().filter(|tick| **tick == Err(9)).count(), 20, "the sound waits and is heard whole");
    assert!(bench.events().contains(&MediaEvent::Played { end: TONE }));
}

#[test]
fn a_listener_hears_silence_in_their_place() {
    let mut bench = talking();
    let settings = StreamSettings { talks: false, tracks: TrackSet::Both, ..StreamSettings::default() };
    bench.add_agent(SCRIBE, settings);
    bench.agent(SCRIBE, AgentInput::Opened);
    bench.command(MediaCommand::Tap { of: A, listener: SCRIBE, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
    bench.say_audio(AGENT, &[1; 4]);
    bench.run(39);
    press(&mut bench, "5");
    bench.run(300);
    let messages = bench.written(SCRIBE);
    assert!(messages.iter().all(|message| message["event"] != "dtmf"), "a listener gets none");
    let outbound = messages.iter().filter(|message| message["media"]["track"] == "outbound");
    let codes: Vec<u8> = outbound.map(|message| audio(message)[0]).collect();
    assert_eq!(codes[..11], [1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1]);
}

#[test]
fn a_caller_on_hold_misses_them_and_nobody_is_there_for_them() {
    let mut bench = talking();
    bench.set_remote(A, RemoteSpec { may_receive: false, relatch: false, ..remote(A_RTP) });
    press(&mut bench, "5");
    assert_eq!(bench.run(199), []);
    assert_eq!(bench.dropped(A, DropReason::NoDestination), 10);
    // Skipped time is not made up for.
    bench.set_remote(A, RemoteSpec { relatch: false, ..remote(A_RTP) });
    assert!(heard(&bench.run(100)).iter().all(|tick| *tick == Err(0xff)));
    // An end without a feeder, and a missing end.
    let mut unfed = Bench::unconnected();
    unfed.set_remote(A, remote(A_RTP));
    press(&mut unfed, "5");
    unfed.command(MediaCommand::Press { end: EndId(99), press: EVENT, digits: "5".into(), ms: 100 });
    assert_eq!((unfed.run(100), unfed.events()), (vec![], vec![]));
}

#[test]
fn too_many_keys_are_left_out_and_noted_without_saying_which() {
    let mut bench = talking();
    press(&mut bench, &"7".repeat(KEYS_WAITING));
    bench.events();
    press(&mut bench, "789");
    let notes = bench.events();
    let [MediaEvent::Agent { end: AGENT, event: AgentEvent::Note { text, .. } }] = notes.as_slice() else {
        panic!("{notes:?}")
    };
    assert!(text.contains("3 were dropped") && !text.contains('7'), "{text}");
}
