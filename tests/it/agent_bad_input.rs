//! Excessive, fragmented or misaddressed input of an agent, through the real binary: the caller hears the right audio,
//! the edge's memory stays small, and the trace names the input.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::{ErrorKind, Write as _};
use std::time::{Duration, Instant};

use crate::support::calls::{received, rtp};
use crate::support::talk::{Rig, Talk, speech};
use crate::support::until;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Agent key for a test in which the agent reads nothing while it sends, so that it answers no ping.
const UNHURRIED: &str = "ping = '1m'";

/// Checks that the caller hears the agent's audio, and nothing else.
fn is_heard(talk: &mut Talk) {
    let audio = speech(1600);
    talk.say(&audio);
    talk.mark("heard");
    assert_eq!(talk.next("mark")["mark"]["name"], "heard");
    talk.until_silence();
    assert_eq!(talk.audio(), audio);
}

#[test]
fn messages_of_ten_megabytes_are_named_and_not_kept() {
    let rig = Rig::without_spare_memory(UNHURRIED);
    let mut talk = rig.call("big", "0");
    let before = rig.edge.memory_kib();
    let text = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "A".repeat(10 << 20));
    for _ in 0..3 {
        talk.send(&text);
        talk.take_in();
    }
    talk.agent.send(Message::binary(vec![0x20; 10 << 20])).unwrap();
    talk.take_in();
    is_heard(&mut talk);
    until("the messages are freed", || (rig.edge.memory_kib().saturating_sub(before) < 4 << 10).then_some(()));
    let trace = rig.trace();
    assert!(trace.contains(&format!("message of {} bytes: too large", text.len())), "{trace}");
    assert!(trace.contains(&format!("binary message of {} bytes", 10 << 20)), "{trace}");
}

/// The agent sends faster than the edge reads: ten minutes are buffered, the rest stays with the agent.
#[test]
fn audio_at_a_hundred_times_real_time_is_held_for_ten_minutes_and_then_waits_outside() {
    const SECONDS: u32 = 4000;
    let rig = Rig::new(UNHURRIED);
    let mut talk = rig.call("flood", "0");
    let before = rig.edge.memory_kib();
    let second = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, STANDARD.encode([0x20; 8000]));
    talk.agent.get_ref().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let (mut sent, is_told) = (0, || rig.trace().contains("sends audio faster than it is played"));
    'all: while sent < SECONDS {
        talk.take_in();
        match talk.agent.send(Message::text(second.clone())) {
            Ok(()) => sent += 1,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                sent += 1;
                // The WebSocket library keeps data that it cannot send yet.
                while talk.agent.flush().is_err() {
                    talk.take_in();
                    if is_told() {
                        break 'all;
                    }
                }
            }
            Err(error) => panic!("after {sent} s: {error}"),
        }
    }
    assert!((600..SECONDS).contains(&sent), "{sent} s were taken");
    let grown = rig.edge.memory_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB");
    until("the caller has heard two seconds", || {
        talk.take_in();
        (talk.heard.len() >= 100).then_some(())
    });
    // The caller hears all of it without gaps, and in real time.
    let audio = talk.audio();
    assert!(audio.iter().all(|code| *code == 0x20) && audio.len() < 120 * 8000, "{} samples", audio.len());
    let trace = rig.trace();
    assert_eq!(trace.matches("sends audio faster than it is played").count(), 1, "{trace}");
    let sip = rig.edge.address("udp");
    let (caller, id) = (&rig.caller, "flood");
    caller.sip.send(sip, &caller.sip.request_with("BYE", crate::support::calls::NUMBER, sip, id, (2, &talk.tag), ""));
    caller.sip.receive("SIP/2.0 200");
    until("its socket is closed", || (rig.edge.metric("trunkgate_agent_sessions") == 0.0).then_some(()));
}

/// A thousand marks return at their time. Beyond the limit the edge stops reading until they have, and the trace
/// reports it.
#[test]
fn a_thousand_marks_and_twenty_thousand_come_back_once_each_and_in_order() {
    for (count, is_told) in [(1000, false), (20_000, true)] {
        let rig = Rig::new(UNHURRIED);
        let mut talk = rig.call("marks", "0");
        let (before, audio) = (rig.edge.memory_kib(), speech(16_000));
        let began = Instant::now();
        talk.say(&audio);
        (0..count).for_each(|n| talk.mark(&n.to_string()));
        // The audio lasts two seconds: if the sender is slower, the limit is never reached.
        let is_told = is_told && began.elapsed() < Duration::from_secs(1);
        for n in 0..count {
            assert_eq!(talk.next("mark")["mark"]["name"], n.to_string());
            if n % 1000 == 0 {
                talk.take_in();
                assert!(talk.audio().len() >= audio.len(), "not before its audio");
            }
        }
        talk.mark("last");
        assert_eq!(talk.next("mark")["mark"]["name"], "last", "none comes twice");
        talk.until_silence();
        assert_eq!(talk.audio(), audio, "no mark costs a packet");
        let (grown, trace) = (rig.edge.memory_kib().saturating_sub(before), rig.trace());
        assert!(grown < 12 << 10, "{grown} KiB");
        assert!(!is_told || trace.contains("sends audio faster than it is played"), "{trace}");
        assert!(count > 1000 || !trace.contains("sends audio faster than it is played"), "{trace}");
    }
}

#[test]
fn half_a_message_is_waited_for_and_one_that_stays_half_leaves_the_caller_to_the_next_target() {
    let rig = Rig::with(UNHURRIED, r#""agent:bot", "trunk:pbx""#);
    let mut talk = rig.call("half", "0");
    let text = br#"{"event":"mark","mark":{"name":"whole"}}"#;
    let frame = [&[0x81, u8::try_from(text.len()).unwrap()][..], text].concat();
    let (first, second) = frame.split_at(frame.len() / 2);
    talk.agent.get_mut().write_all(first).unwrap();
    let so_far = talk.heard.len();
    until("the caller's stream goes on", || {
        talk.take_in();
        (talk.heard.len() > so_far + 10).then_some(())
    });
    talk.agent.get_mut().write_all(second).unwrap();
    assert_eq!(talk.next("mark")["mark"]["name"], "whole");
    is_heard(&mut talk);

    talk.agent.get_mut().write_all(first).unwrap();
    drop(talk.agent);
    let (invite, from) = rig.pbx.sip.receive("INVITE ");
    rig.pbx.sip.send(from, &rig.pbx.sip.answer_with(&invite, "200 OK", &rig.pbx.description(1, "")));
    rig.pbx.sip.receive("ACK ");
    rig.pbx.rtp.set_nonblocking(true).unwrap();
    until("the PBX hears the caller", || {
        rig.caller.rtp.send_to(&rtp(7, 77), talk.near).unwrap();
        let (mut packet, said) = ([0; 2048], rtp(7, 77));
        let len = rig.pbx.rtp.recv_from(&mut packet).ok()?.0;
        (packet[12..len] == said[12..]).then_some(())
    });
    received(&rig.caller.rtp);
    let trace = rig.trace();
    assert!(trace.contains("lost: the connection was reset"), "{trace}");
}

#[test]
fn what_is_meant_for_another_stream_is_not_obeyed_and_named() {
    let rig = Rig::new(UNHURRIED);
    let mut talk = rig.call("foreign", "0");
    let audio = speech(8000);
    talk.say(&audio);
    for text in [
        r#"{"event":"clear","streamSid":"MZother"}"#,
        r#"{"event":"mark","streamSid":"MZother","mark":{"name":"other"}}"#,
        r#"{"event":"media","streamSid":"MZother","media":{"payload":"ICAg"}}"#,
        r#"{"event":"hangup","streamSid":"MZother"}"#,
    ] {
        talk.send(text);
    }
    talk.mark("own");
    assert_eq!(talk.next("mark")["mark"]["name"], "own");
    talk.until_silence();
    assert_eq!(talk.audio(), audio);
    let trace = rig.trace();
    assert!(trace.contains(r#"for another stream: "MZother""#), "{trace}");
    assert_eq!(rig.edge.json("/v1/calls")["calls"][0]["state"], "answered");
}
