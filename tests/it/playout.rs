//! Playout of an agent's audio through the real binary, and the edge's reports to the agent: marks, `clear`, chunks of
//! any length, linear formats, and the two metrics about the timing of a conversation.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use crate::support::calls::NUMBER;
use crate::support::pace::Pace;
use crate::support::talk::{Rig, Talk, speech};
use crate::support::until;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw, encode_alaw};
use trunkgate_media::rtp::RtpHeader;

/// Each mark returns once, in order, after the last sample before it and at most one packet later. The audio is
/// unchanged byte by byte, so that no mark costs a packet.
#[test]
fn marks_are_true_to_what_the_caller_heard() {
    let rig = Rig::new("");
    let mut talk = rig.call("marks", "0");
    assert_eq!(talk.start["start"]["mediaFormat"]["encoding"], "audio/x-mulaw");
    let pieces = [1, 159, 160, 161, 758, 1100, 3, 2000, 77, 4001, 20, 20, 20, 3000, 1, 2, 3, 40, 1999, 320];
    let audio = speech(pieces.iter().sum());
    let (mut at, mut places) = (0, Vec::new());
    for (n, piece) in pieces.into_iter().enumerate() {
        talk.say(&audio[at..at + piece]);
        at += piece;
        talk.mark(&format!("m{n}"));
        places.push(at);
    }
    // The frames from the caller follow the clock of the caller's packets.
    let (mut frames, mut late) = (0, Vec::new());
    for (n, place) in places.iter().enumerate() {
        let mark = loop {
            match talk.next_of(&["mark", "media"]) {
                frame if frame["event"] == "media" => frames += 1,
                mark => break mark,
            }
        };
        assert_eq!(mark["mark"]["name"], format!("m{n}"));
        assert_eq!(mark["mark"]["playedMs"], (place / 8).to_string());
        talk.take_in();
        let heard = talk.audio().len();
        assert!(heard >= *place, "m{n}: {heard} of {place}");
        late.push(frames - i64::try_from(place.div_ceil(160)).unwrap());
    }
    late.sort_unstable();
    assert!(late[late.len() / 2] - late[0] <= 1, "{late:?}");
    talk.until_silence();
    assert_eq!(talk.audio(), audio);
    talk.mark("last");
    assert_eq!(talk.next("mark")["mark"]["name"], "last", "no other came twice");
}

/// `cleared` reports exactly how much audio was heard, to the sample; the waiting marks return once and in order.
#[test]
fn a_clear_says_how_much_was_heard() {
    for keys in ["", "clear_fade = '10ms'"] {
        let rig = Rig::new(keys);
        let mut talk = rig.call("clear", "0");
        // The audio is two minutes in one burst, with marks throughout.
        for n in 0..120 {
            talk.say(&[0x20; 8000]);
            talk.mark(&n.to_string());
        }
        assert_eq!(talk.next("mark")["mark"]["playedMs"], "1000");
        talk.clear();
        let mut returned = 1;
        let played: usize = loop {
            let Message::Text(text) = talk.agent.read().unwrap() else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            match message["event"].as_str().unwrap() {
                "mark" => {
                    assert_eq!(message["mark"]["name"], returned.to_string());
                    returned += 1;
                }
                "cleared" => break message["cleared"]["playedMs"].as_str().unwrap().parse().unwrap(),
                _ => {}
            }
        };
        assert_eq!(returned, 120);
        talk.until_silence();
        let heard = talk.audio();
        // With a fade, the last few samples are already silent.
        assert!((played * 8 - heard.len()) <= if keys.is_empty() { 0 } else { 4 }, "{played} ms, {}", heard.len());
        let faded = heard.iter().filter(|code| **code != 0x20).count();
        assert_eq!(faded > 70, !keys.is_empty(), "{faded}");
        talk.say(&speech(1600));
        talk.mark("next");
        assert_eq!(talk.next("mark")["mark"]["playedMs"], (played + 200).to_string());
        assert_eq!(rig.edge.metric("trunkgate_agent_clear_seconds_count"), 1.0);
    }
}

fn decode(payload: u8, code: u8) -> f64 {
    f64::from(if payload == 8 { decode_alaw(code) } else { decode_ulaw(code) })
}

/// Returns the level of everything except a 1 kHz tone relative to that tone, in the best fifth of a second, in dB.
fn purity(samples: &[f64]) -> f64 {
    let of = |window: &[f64]| {
        let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
        for (n, sample) in window.iter().enumerate() {
            let angle = std::f64::consts::TAU * n as f64 / 8.0;
            (re, im, power) = (re + sample * angle.cos(), im + sample * angle.sin(), power + sample * sample);
        }
        let tone = 2.0 * (re * re + im * im) / window.len() as f64;
        10.0 * (tone / (power - tone).max(1e-9)).log10()
    };
    samples.chunks_exact(1600).map(of).fold(f64::NEG_INFINITY, f64::max)
}

/// The caller sends a tone in PCMA to an agent that receives linear audio and echoes it.
#[test]
fn linear_agent_returns_a_tone() {
    for (format, rate, bytes) in [("l16/8000", 8000, 320), ("l16/16000", 16_000, 640), ("l16/24000", 24_000, 960)] {
        let rig = Rig::new(&format!("format = '{format}'"));
        let mut talk = rig.call("tone", "8");
        let shown = &talk.start["start"]["mediaFormat"];
        assert_eq!(
            shown,
            &serde_json::json!({"encoding": "audio/x-l16", "sampleRate": rate, "channels": 1}),
            "{format}"
        );
        let (rtp, near) = (talk.rtp.try_clone().unwrap(), talk.near);
        let speaker = std::thread::spawn(move || {
            let mut pace = Pace::new();
            for n in 0..75_u16 {
                pace.wait();
                let sample = |at: u16| (9000.0 * (std::f64::consts::TAU * f64::from(at) / 8.0).sin()) as i16;
                let payload: Vec<u8> = (0..160).map(|at| encode_alaw(sample(at))).collect();
                let header = RtpHeader {
                    marker: false,
                    payload_type: 8,
                    sequence: n,
                    timestamp: u32::from(n) * 160,
                    ssrc: 7,
                    payload: 0..0,
                };
                let mut packet = Vec::new();
                header.build(&payload, &mut packet);
                rtp.send_to(&packet, near).unwrap();
            }
        });
        let mut said = Vec::new();
        for _ in 0..70 {
            let message = talk.next("media");
            let audio = STANDARD.decode(message["media"]["payload"].as_str().unwrap()).unwrap();
            assert_eq!(audio.len(), bytes, "{format}");
            talk.say(&audio);
            said.extend_from_slice(&audio);
        }
        talk.mark("end");
        talk.next("mark");
        speaker.join().unwrap();
        talk.take_in();
        let every = rate as usize / 8000;
        let heard_by_agent: Vec<f64> =
            said.as_chunks().0.iter().step_by(every).map(|pair| f64::from(i16::from_le_bytes(*pair))).collect();
        let heard_by_caller: Vec<f64> =
            talk.heard.iter().flat_map(|(_, payload)| payload.iter().map(|code| decode(8, *code))).collect();
        assert!(talk.heard.iter().all(|(rtp, _)| rtp.payload_type == 8));
        let purities = (purity(&heard_by_agent), purity(&heard_by_caller));
        assert!(purities.0 > 33.0 && purities.1 > 28.0, "{format}: {purities:?} dB");
    }
}

/// A reload applies to later streams: a stream that is running keeps the format of its `start`.
#[test]
fn a_format_changed_by_a_reload_is_that_of_the_next_stream() {
    let rig = Rig::new("");
    let mut first = rig.call("first", "0");
    let frame =
        |talk: &mut Talk| STANDARD.decode(talk.next("media")["media"]["payload"].as_str().unwrap()).unwrap().len();
    assert_eq!(frame(&mut first), 160);
    std::fs::write(&rig.edge.file, rig.configured("format = 'l16/16000'")).unwrap();
    rig.edge.signal(nix::sys::signal::Signal::SIGHUP);
    until("the reload is taken", || {
        (rig.edge.metric("trunkgate_config_reloads_total{result=\"success\"}") == 1.0).then_some(())
    });
    let mut second = rig.call("second", "0");
    assert_eq!(second.start["start"]["mediaFormat"]["sampleRate"], 16_000);
    assert_eq!(frame(&mut second), 640);
    // Frames sent before the reload are skipped.
    for _ in 0..200 {
        assert_eq!(frame(&mut first), 160);
    }
    first.say(&speech(1600));
    first.mark("heard");
    assert_eq!(first.next("mark")["mark"]["playedMs"], "200");
}

#[test]
fn an_answer_is_timed() {
    let rig = Rig::new("[cdr]\nfile = 'cdr.jsonl'");
    let mut talk = rig.call("turn", "0");
    let count = || rig.edge.metric("trunkgate_agent_turn_seconds_count");
    talk.say(&[0x10; 1600]);
    talk.mark("greeting");
    talk.next("mark");
    assert_eq!(count(), 0.0, "no request was sent");
    // Alternating loud and silent frames would mean nothing, so there is half a second of speech, then silence.
    let mut pace = Pace::new();
    for n in 0..60_u16 {
        let code = if (10..40).contains(&n) { 0x10 } else { 0xff };
        let payload = [code; 160];
        let header = RtpHeader {
            marker: false,
            payload_type: 0,
            sequence: n,
            timestamp: u32::from(n) * 160,
            ssrc: 7,
            payload: 0..0,
        };
        let mut packet = Vec::new();
        header.build(&payload, &mut packet);
        pace.wait();
        talk.rtp.send_to(&packet, talk.near).unwrap();
    }
    talk.say(&[0x10; 1600]);
    talk.mark("answer");
    talk.next("mark");
    assert_eq!(count(), 1.0);
    let seconds = rig.edge.metric("trunkgate_agent_turn_seconds_sum");
    assert!(seconds > 0.3, "{seconds}");
    // A live call counts for the metric of its agent.
    let label = "{agent=\"bot\"}";
    assert_eq!(rig.edge.metric(&format!("trunkgate_agent_response_seconds_count{label}")), 1.0);
    assert_eq!(rig.edge.metric(&format!("trunkgate_agent_response_seconds_sum{label}")), seconds);
    let is_that_turn = |turns: &Value| {
        let [p50, p95] = ["p50", "p95"].map(|share| turns[share].as_f64().unwrap());
        assert!(turns["turns"] == 1 && 200.0 < p50 && p50 <= p95 && p95 < 30_000.0, "{turns:#}");
        [p50, p95]
    };
    is_that_turn(&rig.edge.json("/v1/agents")["agents"][0]["turn_ms"]);
    let sid = rig.edge.sid();
    let call = rig.edge.json(&format!("/v1/calls/{sid}"));
    assert!(call["legs"][0]["turn_ms"].is_null(), "the caller's leg");
    let turns = &call["legs"][1]["turn_ms"];
    let [p50, _] = is_that_turn(turns);
    assert!((p50 - seconds * 1000.0).abs() < 2.0, "{turns:#}");
    // A ping is sent after two seconds, and its answer is outside of this test.
    let edge = turns["hops"]["edge"].as_f64().unwrap();
    assert!((0.0..=p50).contains(&edge), "{turns:#}");
    assert!(rig.trace().contains("  bot: 1 turn, p50 "), "{}", rig.trace());
    let (sip, caller) = (rig.edge.address("udp"), &rig.caller.sip);
    caller.send(sip, &caller.request_with("BYE", NUMBER, sip, "turn", (2, &talk.tag), ""));
    let record: Value = until("the record is written", || {
        let text = std::fs::read_to_string(rig.edge.file.with_file_name("cdr.jsonl")).ok()?;
        serde_json::from_str(text.lines().next()?).ok()
    });
    assert_eq!((&record["turn_p50_ms"], &record["turn_p95_ms"]), (&turns["p50"], &turns["p95"]), "{record:#}");
    assert_eq!(record["legs"][1]["turn_ms"], *turns);
}

/// The hops of a turn add up to its duration once the agent has answered a ping.
#[test]
fn a_turn_divides_into_hops() {
    let rig = Rig::new("ping = '500ms'");
    let mut talk = rig.call("hops", "0");
    let mut pace = Pace::new();
    for n in 0..60_u16 {
        let header = RtpHeader {
            marker: false,
            payload_type: 0,
            sequence: n,
            timestamp: u32::from(n) * 160,
            ssrc: 7,
            payload: 0..0,
        };
        let mut packet = Vec::new();
        header.build(&[if (10..40).contains(&n) { 0x10 } else { 0xff }; 160], &mut packet);
        pace.wait();
        talk.rtp.send_to(&packet, talk.near).unwrap();
        // The agent's library answers pings while it reads.
        talk.next("media");
    }
    talk.say(&[0x10; 1600]);
    talk.mark("answer");
    talk.next("mark");
    let call = rig.edge.json(&format!("/v1/calls/{}", rig.edge.sid()));
    let turns = &call["legs"][1]["turn_ms"];
    let [edge, network, agent] = ["edge", "network", "agent"].map(|hop| turns["hops"][hop].as_f64().unwrap());
    assert!(edge >= 0.0 && network >= 0.0 && agent > 0.0, "{turns:#}");
    assert!((edge + network + agent - turns["p50"].as_f64().unwrap()).abs() <= 2.0, "{turns:#}");
}
