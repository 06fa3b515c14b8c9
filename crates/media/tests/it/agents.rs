//! Agents and players: the caller receives one continuous stream, and agents receive the caller's audio unaltered.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use crate::support::*;
use proptest::prelude::*;
use serde_json::Value;
use trunkgate_media::agent::{SocketMessage as AgentTransmit, StreamLoss, StreamSettings, TrackSet};
use trunkgate_media::codec::g711::{alaw_to_ulaw, ulaw_to_alaw};
use trunkgate_media::limits::{AGENT_NOTES_OF_A_KIND, AGENT_REQUESTS_PER_SECOND, SESSION_ENDS};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{
    AgentEvent, AgentInput, AgentRequest, Counter, DropReason, EndId, MediaCommand, MediaEvent, MediaTransmit,
    PlayerSound, RemoteSpec,
};

const AGENT: EndId = EndId(7);
const TONE: EndId = EndId(8);

fn settings() -> StreamSettings {
    StreamSettings {
        stream_sid: "MZ1".into(),
        call_sid: "CA1".into(),
        account_sid: "AC1".into(),
        ..StreamSettings::default()
    }
}

/// Creates A with an open agent, wired both ways.
fn with_agent(form: WireFrom) -> Bench {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    bench.add_agent(AGENT, settings());
    bench.agent(AGENT, AgentInput::Opened);
    bench.command(MediaCommand::Wire { from: A, to: AGENT, wire: form.spec() });
    bench.command(MediaCommand::Wire { from: AGENT, to: A, wire: form.spec() });
    bench
}

fn player(bench: &mut Bench, sound: PlayerSound) {
    bench.command(MediaCommand::AddPlayer { end: TONE, sound });
    bench.command(MediaCommand::Wire { from: TONE, to: A, wire: ULAW.spec() });
}

/// Builds an RTP packet of the remote party with sequence number `n`.
fn packet(payload_type: u8, n: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let timestamp = u32::from(n) * 160 + 77_000;
    RtpHeader { payload_type, sequence: n, timestamp, ..header(0) }.build(payload, &mut bytes);
    bytes
}

fn of<'a>(messages: &'a [Value], event: &str) -> Vec<&'a Value> {
    messages.iter().filter(|message| message["event"] == event).collect()
}

/// Checks for one SSRC, consecutive sequence numbers, and timestamps one frame apart.
fn assert_one_stream(packets: &[Vec<u8>]) {
    let headers: Vec<RtpHeader> = packets.iter().map(|bytes| RtpHeader::parse(bytes).unwrap()).collect();
    for pair in headers.windows(2) {
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
    }
}

#[test]
fn an_agent_is_heard_every_20_ms_and_silence_else() {
    let mut bench = with_agent(ULAW);
    let start = bench.now;
    bench.say_audio(AGENT, &[1, 2, 3]);
    let made = bench.run(999);
    assert_eq!(made.len(), 50);
    for (n, packet) in made.iter().enumerate() {
        assert_eq!((packet.at - start).as_millis() as usize, n * 20);
        let expected = MediaTransmit { via: A, rtcp: false, to: addr(A_RTP), locked: false };
        assert_eq!(packet.transmit, expected);
        assert_eq!(packet.payload(), [[1, 2, 3].get(n).copied().unwrap_or(0xff); 160]);
        assert_eq!((packet.rtp().payload_type, packet.rtp().marker), (0, n == 0));
    }
    assert_one_stream(&made.iter().map(|made| made.bytes.clone()).collect::<Vec<_>>());
    assert_eq!(bench.counters[0].tx_packets.get(), 50);
    assert_eq!(bench.session.counters(AGENT).unwrap().rx_packets.get(), 3);
    assert_eq!(
        bench.events(),
        [
            MediaEvent::Agent { end: AGENT, event: AgentEvent::Open },
            MediaEvent::Agent { end: AGENT, event: AgentEvent::Spoke }
        ]
    );
}

#[test]
fn a_late_shell_catches_up_without_drift() {
    let mut bench = with_agent(ULAW);
    bench.say_audio(AGENT, &[1; 9]);
    bench.run(0);
    bench.wait(147);
    let made = bench.run(0);
    assert_eq!(made.len(), 7);
    // After a long suspension, media time has passed unsent, without a gap in sequence numbers.
    bench.wait(10_000);
    let late = bench.run(0);
    assert_eq!(late.len(), 1);
    let (last, next) = (made[6].rtp(), late[0].rtp());
    assert_eq!(next.sequence, last.sequence.wrapping_add(1));
    assert_eq!(next.timestamp.wrapping_sub(last.timestamp), 160 * 500);
    assert_eq!(late[0].payload(), [1; 160], "no audio of the agent's is lost");
}

#[test]
fn agent_ringback_far_side_are_one_stream() {
    let mut bench = with_agent(ULAW);
    bench.say_audio(AGENT, &[1; 100]);
    let mut heard: Vec<Vec<u8>> = bench.run(507).into_iter().map(|made| made.bytes).collect();
    bench.agent(AGENT, AgentInput::Lost(StreamLoss::Reset));
    assert!(bench.events().contains(&MediaEvent::Agent { end: AGENT, event: AgentEvent::Lost(StreamLoss::Reset) }));
    // Queued audio is discarded, except for a packet that fades out.
    let silent = bench.run(41);
    assert!(silent.len() == 2 && silent[0].payload()[0] == 1 && silent[0].payload()[159] != 1);
    assert!(silent[1].payload() == [0xff; 160]);
    heard.extend(silent.into_iter().map(|made| made.bytes));
    player(&mut bench, PlayerSound::Ringback);
    let tone = bench.run(300);
    assert!(tone.iter().all(|made| made.payload() != [0xff; 160]));
    assert!(tone[0].rtp().marker && !tone[1].rtp().marker);
    heard.extend(tone.into_iter().map(|made| made.bytes));
    bench.command(MediaCommand::RemoveEnd { end: AGENT });

    // The next target has answered but sends no audio yet.
    bench.set_remote(B, remote(B_RTP));
    bench.wire(A, B);
    bench.wire(B, A);
    bench.command(MediaCommand::RemoveEnd { end: TONE });
    let silent = bench.run(433);
    assert!(silent[1..].iter().all(|made| made.payload() == [0xff; 160]), "the tone has faded out in one packet");
    heard.extend(silent.into_iter().map(|made| made.bytes));
    for n in 0..20 {
        let (transmit, bytes) = bench.feed(B, false, B_RTP, &packet(0, n, &[9; 160])).unwrap();
        assert_eq!((transmit.via, &bytes[12..]), (A, &[9; 160][..]));
        heard.push(bytes);
        assert_eq!(bench.run(20), []);
    }
    // Back to an agent.
    bench.add_agent(AGENT, settings());
    bench.agent(AGENT, AgentInput::Opened);
    bench.command(MediaCommand::Wire { from: AGENT, to: A, wire: ULAW.spec() });
    heard.extend(bench.run(100).into_iter().map(|made| made.bytes));
    assert_eq!(heard.len(), 26 + 2 + 15 + 22 + 20 + 6);
    assert_one_stream(&heard);
}

#[test]
fn a_relay_before_an_agent_goes_on_in_its_stream() {
    let mut bench = Bench::connected();
    let mut heard = Vec::new();
    for n in 0..5 {
        heard.push(bench.feed(B, false, B_RTP, &packet(0, n, &[9; 160])).unwrap().1);
        bench.wait(20);
    }
    player(&mut bench, PlayerSound::Ringback);
    heard.extend(bench.run(100).into_iter().map(|made| made.bytes));
    assert_one_stream(&heard);
    assert_eq!(bench.feed(B, false, B_RTP, &packet(0, 6, &[9; 160])), None, "B is cut off");
}

#[test]
fn two_streams_have_their_own_numbers() {
    let mut one = with_agent(ULAW);
    let mut two = with_agent(ULAW);
    assert_eq!(one.run(0)[0].rtp(), two.run(0)[0].rtp(), "replayed, it is the same");
    player(&mut one, PlayerSound::Ringback);
    one.set_remote(B, remote(B_RTP));
    one.command(MediaCommand::Wire { from: TONE, to: B, wire: ULAW.spec() });
    let made = one.run(20);
    let of = |via| made.iter().find(|made| made.transmit.via == via).unwrap().rtp().ssrc;
    assert_ne!(of(A), of(B));
}

#[test]
fn a_held_end_is_not_sent_to_and_its_time_goes_on() {
    let mut bench = with_agent(ULAW);
    bench.say_audio(AGENT, &[1, 2, 3]);
    let before = bench.run(10);
    let held = RemoteSpec { may_receive: false, relatch: false, ..remote(A_RTP) };
    bench.set_remote(A, held);
    assert_eq!(bench.run(100), []);
    assert_eq!(bench.dropped(A, DropReason::NoDestination), 5);
    bench.set_remote(A, RemoteSpec { relatch: false, ..remote(A_RTP) });
    let after = bench.run(20);
    assert_eq!(after[0].payload(), [0xff; 160]);
    let (last, next) = (before[0].rtp(), after[0].rtp());
    assert_eq!(next.sequence, last.sequence.wrapping_add(1));
    assert_eq!(next.timestamp.wrapping_sub(last.timestamp), 160 * 6);
}

#[test]
fn an_agent_hears_the_caller_bit_by_bit() {
    let mut bench = with_agent(ULAW);
    assert_eq!(of(&bench.written(AGENT), "start").len(), 1);
    for n in 0..50 {
        assert_eq!(bench.feed(A, false, A_RTP, &packet(0, n, &[n as u8; 160])), None);
        bench.run(20);
    }
    let messages = bench.written(AGENT);
    let heard = of(&messages, "media");
    assert_eq!(heard.len(), 50);
    for (n, message) in heard.iter().enumerate() {
        assert_eq!(message["media"]["timestamp"], (n * 20).to_string());
        assert_eq!(message["media"]["track"], "inbound");
        assert_eq!(audio(message), [n as u8; 160]);
    }
    assert_eq!(bench.counters[0].rx_packets.get(), 50);
    assert_eq!(bench.dropped(A, DropReason::NoWire), 0);
}

#[test]
fn alaw_is_converted_both_ways() {
    let mut bench = with_agent(ALAW);
    bench.say_audio(AGENT, &[0x2a]);
    let every: Vec<u8> = (0..160).collect();
    bench.feed(A, false, A_RTP, &packet(8, 0, &every));
    let made = bench.run(20);
    assert_eq!((made[0].rtp().payload_type, made[0].payload()), (8, &[ulaw_to_alaw(0x2a); 160][..]));
    assert_eq!(made[1].payload(), [0xd5; 160], "silence of A-law");
    let messages = bench.written(AGENT);
    let expected: Vec<u8> = every.iter().map(|code| alaw_to_ulaw(*code)).collect();
    assert_eq!(audio(of(&messages, "media")[0]), expected);
}

#[test]
fn each_digit_is_reported_once() {
    let mut bench = with_agent(ULAW);
    for n in 0..30 {
        // Frames 10 to 15 are one event for digit 5, all with one timestamp.
        let bytes = if (10..16).contains(&n) {
            let mut bytes = packet(101, n, &[5, 10, 3, 32]);
            bytes[4..8].copy_from_slice(&(10 * 160 + 77_000u32).to_be_bytes());
            bytes
        } else {
            packet(0, n, &[7; 160])
        };
        bench.feed(A, false, A_RTP, &bytes);
        bench.run(20);
    }
    let messages = bench.written(AGENT);
    let keys = of(&messages, "dtmf");
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["dtmf"]["digit"], "5");
    let heard: Vec<u8> = of(&messages, "media").iter().map(|message| audio(message)[0]).collect();
    let expected: Vec<u8> = (0..30).map(|n| if (10..16).contains(&n) { 0xff } else { 7 }).collect();
    assert_eq!(heard, expected);
    // Payloads that were not negotiated are counted and dropped.
    bench.feed(A, false, A_RTP, &packet(8, 30, &[7; 160]));
    assert_eq!(bench.dropped(A, DropReason::UnknownPayload), 1);
}

#[test]
fn marks_return_when_their_audio_has_left() {
    let mut bench = with_agent(ULAW);
    bench.say_audio(AGENT, &[1, 2]);
    bench.say(AGENT, &mark("two"));
    bench.say_audio(AGENT, &[3]);
    bench.say(AGENT, &mark("three"));
    bench.run(10);
    assert_eq!(of(&bench.written(AGENT), "mark").len(), 0);
    bench.run(10);
    assert_eq!(of(&bench.written(AGENT), "mark")[0]["mark"]["name"], "two");
    bench.run(20);
    assert_eq!(of(&bench.written(AGENT), "mark")[0]["mark"]["name"], "three");
    bench.say(AGENT, &mark("now"));
    assert_eq!(of(&bench.written(AGENT), "mark")[0]["mark"]["name"], "now");
}

#[test]
fn clear_is_heard_at_the_next_tick_and_returns_marks() {
    let mut bench = with_agent(ULAW);
    bench.say_audio(AGENT, &[1; 500]);
    bench.say(AGENT, &mark("a"));
    bench.say_audio(AGENT, &[2; 500]);
    bench.say(AGENT, &mark("b"));
    bench.run(110);
    bench.say(AGENT, r#"{"event":"clear"}"#);
    let messages = bench.written(AGENT);
    let names: Vec<&Value> = of(&messages, "mark").iter().map(|mark| &mark["mark"]["name"]).collect();
    assert_eq!(names, ["a", "b"]);
    let events = bench.events();
    let [.., MediaEvent::Agent { end: AGENT, event: AgentEvent::Note { text, logged: false } }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(text, "clear: 19,880 ms not played, 2 marks returned");
    bench.say(AGENT, r#"{"event":"clear"}"#);
    assert_eq!(bench.events(), [], "nothing waited");
    assert!(bench.run(100).iter().all(|made| made.payload() == [0xff; 160]));
}

#[test]
fn a_sound_is_played_once_and_told() {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    bench.command(MediaCommand::AddPlayer { end: TONE, sound: PlayerSound::Once(vec![5; 330].into()) });
    assert_eq!(bench.run(1000), [], "nothing before it is wired");
    bench.command(MediaCommand::Wire { from: TONE, to: A, wire: ULAW.spec() });
    let made = bench.run(39);
    assert_eq!((made.len(), bench.events()), (2, vec![]));
    let made = bench.run(40);
    assert_eq!(bench.events(), [MediaEvent::Played { end: TONE }]);
    assert_eq!((made[0].payload()[9], made[0].payload()[10]), (5, 0xff));
    assert_eq!(made[1].payload(), [0xff; 160]);
    bench.command(MediaCommand::RemoveEnd { end: TONE });
    assert_eq!(bench.events(), [], "a player has no port");
}

#[test]
fn what_an_agent_wants_is_told() {
    let mut bench = with_agent(ULAW);
    bench.events();
    bench.say(AGENT, r#"{"event":"transfer","target":"trunk:pbx/+1415"}"#);
    bench.say(AGENT, r#"{"event":"transfer","target":"agent:night","consult":true}"#);
    bench.say(AGENT, r#"{"event":"dtmf","digits":"12#"}"#);
    bench.say(AGENT, r#"{"event":"hangup"}"#);
    let wish = |wish| MediaEvent::Agent { end: AGENT, event: AgentEvent::Request(wish) };
    assert_eq!(
        bench.events(),
        [
            wish(AgentRequest::Transfer("trunk:pbx/+1415".into())),
            wish(AgentRequest::Consult("agent:night".into())),
            wish(AgentRequest::Dtmf("12#".into())),
            wish(AgentRequest::Hangup)
        ]
    );
    for _ in 0..1000 {
        bench.say(AGENT, r#"{"event":"hangup"}"#);
    }
    let events = bench.events();
    let wishes =
        events.iter().filter(|event| matches!(event, MediaEvent::Agent { event: AgentEvent::Request(_), .. })).count();
    assert_eq!(wishes, AGENT_REQUESTS_PER_SECOND as usize - 4);
    assert!(matches!(events.last(), Some(MediaEvent::Agent { event: AgentEvent::Note { .. }, .. })));
    bench.run(1000);
    bench.events();
    bench.say(AGENT, r#"{"event":"hangup"}"#);
    assert_eq!(bench.events(), [wish(AgentRequest::Hangup)]);
}

#[test]
fn mistakes_are_noted_and_bounded() {
    let mut bench = with_agent(ULAW);
    bench.events();
    for text in ["{", "[]", "{}", r#"{"event":"media","media":{"payload":"!"}}"#, r#"{"event":"mark"}"#] {
        bench.say(AGENT, text);
        assert!(
            matches!(&bench.events()[..], [MediaEvent::Agent { end: AGENT, event: AgentEvent::Note { .. } }]),
            "{text}"
        );
    }
    bench.agent(AGENT, AgentInput::Binary(9));
    assert!(matches!(&bench.events()[..], [MediaEvent::Agent { end: AGENT, event: AgentEvent::Note { .. } }]));
    assert_eq!((bench.queue.invalid.get(), bench.queue.foreign.get()), (5, 0), "all but the mark without a name");
    for n in 0..10_000 {
        bench.say(AGENT, "{");
        bench.say(AGENT, &format!("{{\"event\":\"{n}\"}}"));
    }
    // The 10th, 100th, 1000th and 10,000th message of both kinds.
    assert_eq!(bench.events().len(), AGENT_NOTES_OF_A_KIND + 2 * 4);
    // The call continues.
    bench.say_audio(AGENT, &[4]);
    assert_eq!(bench.run(0)[0].payload(), [4; 160]);
}

#[test]
fn a_close_with_1000_is_an_end_and_any_other_a_loss() {
    for (code, event) in [
        (Some(1000), MediaEvent::Agent { end: AGENT, event: AgentEvent::Ended }),
        (Some(1001), MediaEvent::Agent { end: AGENT, event: AgentEvent::Lost(StreamLoss::Closed(Some(1001))) }),
        (None, MediaEvent::Agent { end: AGENT, event: AgentEvent::Lost(StreamLoss::Closed(None)) }),
    ] {
        let mut bench = with_agent(ULAW);
        bench.events();
        assert_eq!(bench.worker.agents.get(), 1);
        bench.agent(AGENT, AgentInput::Closed(code));
        assert_eq!(bench.events(), [event]);
        assert!(bench.session.agent_is_closed(AGENT));
        assert_eq!(bench.worker.agents.get(), 0);
        bench.feed(A, false, A_RTP, &packet(0, 1, &[1; 160]));
        assert_eq!(bench.written(AGENT), [] as [Value; 0]);
        assert_eq!(bench.run(100).len(), 6, "silent, and there");
    }
}

#[test]
fn an_agent_that_does_not_open_is_lost_in_time() {
    let mut bench = Bench::unconnected();
    bench.add_agent(AGENT, settings());
    bench.run(9_999);
    assert_eq!(bench.events(), []);
    bench.run(1);
    assert_eq!(bench.events(), [MediaEvent::Agent { end: AGENT, event: AgentEvent::Lost(StreamLoss::ConnectTimeout) }]);
    assert!(bench.session.agent_is_closed(AGENT));
}

#[test]
fn a_ping_must_be_answered_unless_the_socket_was_not_read() {
    // The socket accepts all data, but nothing is received from it.
    let run = |bench: &mut Bench, ms: u64| {
        for _ in 0..ms {
            bench.run(1);
            bench.written(AGENT);
        }
        bench.events().into_iter().filter(|event| !matches!(event, MediaEvent::Unheard { .. })).collect::<Vec<_>>()
    };
    let lost = [MediaEvent::Agent { end: AGENT, event: AgentEvent::Lost(StreamLoss::PingUnanswered) }];
    let mut bench = with_agent(ULAW);
    bench.events();
    assert_eq!(run(&mut bench, 6_999), []);
    assert_eq!(run(&mut bench, 1), lost);

    let mut bench = with_agent(ULAW);
    bench.events();
    while bench.session.agent_wants_more(AGENT) {
        bench.say_audio(AGENT, &[1; 1000]);
    }
    assert!(!bench.session.agent_wants_more(AGENT));
    let told = bench.events();
    assert!(
        matches!(&told[..], [MediaEvent::Agent { event: AgentEvent::Spoke, .. }, MediaEvent::Agent { event: AgentEvent::Note { text, .. }, .. }] if text.contains("faster than it is played")),
        "{told:?}"
    );
    assert_eq!(run(&mut bench, 30_000), [], "its answer lies in the socket");
    // The socket is read again, but neither audio nor the pong arrives.
    assert!(bench.session.agent_wants_more(AGENT));
    assert_eq!(run(&mut bench, 7_000), lost, "now it must answer");
}

#[test]
fn the_edge_holds_only_so_much() {
    let held = std::sync::Arc::new(Counter::default());
    let mut bench = Bench::unconnected();
    bench.session.hold_in(held.clone());
    bench.add_agent(AGENT, settings());
    bench.agent(AGENT, AgentInput::Opened);
    bench.say_audio(AGENT, &[1; 50]);
    assert_eq!(held.get(), 50 * 160);
    held.add(256 << 20);
    assert!(bench.session.agent_wants_more(AGENT), "its second is its own");
    bench.say_audio(AGENT, &[1]);
    assert!(!bench.session.agent_wants_more(AGENT));
    bench.say(AGENT, r#"{"event":"clear"}"#);
    assert!(bench.session.agent_wants_more(AGENT));
    bench.say_audio(AGENT, &[1; 50]);
    drop(bench);
    assert_eq!(held.get(), 256 << 20);
}

#[test]
fn an_agent_that_is_removed_leaves_its_last_words() {
    let mut bench = with_agent(ULAW);
    bench.written(AGENT);
    bench.feed(A, false, A_RTP, &packet(0, 1, &[1; 160]));
    bench.events();
    bench.command(MediaCommand::RemoveEnd { end: AGENT });
    assert_eq!(bench.events(), [], "an agent has no port");
    let (end, mut stream) = bench.session.poll_departed().unwrap();
    assert_eq!(end, AGENT);
    let last_words: Vec<AgentTransmit> = std::iter::from_fn(|| stream.poll_transmit()).collect();
    let [AgentTransmit::Text(_), AgentTransmit::Text(stop)] = &last_words[..] else { panic!("{last_words:?}") };
    assert!(stop.starts_with(br#"{"event":"stop""#));
    assert!(bench.session.agent_is_closed(AGENT));
    assert_eq!(bench.worker.agents.get(), 0);
    let (due, _) = stream.poll_timeout().unwrap();
    stream.handle_timeout(due);
    assert_eq!((stream.poll_transmit(), stream.is_closed()), (Some(AgentTransmit::Close(1000)), false));

    // With the session, too; an agent that never opened has no messages left.
    let mut bench = with_agent(ULAW);
    bench.add_agent(EndId(9), settings());
    bench.command(MediaCommand::Close);
    assert_eq!(bench.session.poll_departed().unwrap().0, AGENT);
    let (end, stream) = bench.session.poll_departed().unwrap();
    assert!(end == EndId(9) && stream.is_closed());
    assert!(bench.session.poll_departed().is_none());
}

#[test]
fn an_agent_that_cannot_be_had_is_lost() {
    let mut bench = Bench::unconnected();
    let lost = |end| MediaEvent::Agent { end, event: AgentEvent::Lost(StreamLoss::Unreachable) };
    for n in 3..SESSION_ENDS as u16 {
        bench.command(MediaCommand::AddPlayer { end: EndId(20 + n), sound: PlayerSound::Ringback });
    }
    bench.add_agent(AGENT, settings());
    assert_eq!(bench.events().last(), Some(&lost(AGENT)));
    bench.command(MediaCommand::AddPlayer { end: TONE, sound: PlayerSound::Ringback });
    bench.set_remote(A, remote(A_RTP));
    bench.command(MediaCommand::Wire { from: TONE, to: A, wire: ULAW.spec() });
    assert_eq!(bench.run(100), []);
}

#[test]
fn an_agent_that_reads_slowly_hurts_itself_only() {
    let mut bench = with_agent(ULAW);
    let counters = bench.session.counters(AGENT).unwrap().clone();
    bench.run(0);
    bench.feed(A, false, A_RTP, &packet(0, 0, &[0; 160]));
    bench.events();
    for n in 1..500 {
        bench.feed(A, false, A_RTP, &packet(0, n, &[n as u8; 160]));
        assert_eq!(bench.run(20).len(), 1);
        if n % 50 == 0 {
            bench.agent(AGENT, AgentInput::Pong);
        }
    }
    assert_eq!(counters.frames_dropped.get(), 400);
    assert_eq!((bench.queue.unsent.now(), bench.queue.unsent.most()), (100, 100));
    assert_eq!(bench.worker.agent_frames_dropped.get(), 400);
    let events = bench.events();
    assert!(matches!(&events[..], [MediaEvent::Agent { event: AgentEvent::Note { .. }, .. }]), "{events:?}");
    let messages = bench.written(AGENT);
    let heard = of(&messages, "media");
    assert_eq!((heard.len(), audio(heard[0])[0]), (100, 400u16 as u8));
    assert_eq!(bench.queue.unsent.now(), 0, "its socket has taken them");
}

#[test]
fn what_waits_of_an_agents_audio_is_known_at_each_moment() {
    let mut bench = with_agent(ULAW);
    bench.run(0);
    let waits = |bench: &Bench| (bench.queue.unheard.now(), bench.queue.unheard.most());
    bench.say_audio(AGENT, &[1; 250]);
    assert_eq!(waits(&bench), (5000, 5000));
    bench.run(1000);
    assert_eq!(waits(&bench), (4000, 5000));
    bench.queue.unheard.forget();
    bench.run(1000);
    assert_eq!(waits(&bench), (3000, 4000));
    bench.say(AGENT, r#"{"event":"clear"}"#);
    assert_eq!(waits(&bench), (0, 4000), "all of it is thrown away");
    bench.say_audio(AGENT, &[1; 50]);
    bench.agent(AGENT, AgentInput::Closed(Some(1000)));
    assert_eq!(waits(&bench).0, 0, "of one that has left nothing waits");
}

proptest! {
    #[test]
    fn any_text_leaves_the_call_alone(texts in proptest::collection::vec(any_text(), 0..40)) {
        let mut bench = with_agent(ULAW);
        let mut packets = 0;
        for text in &texts {
            bench.say(AGENT, text);
            packets += bench.run(20).len();
            bench.written(AGENT);
        }
        prop_assert_eq!(packets, texts.len() + usize::from(!texts.is_empty()));
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        (any::<Vec<u8>>())
            .prop_map(|bytes| format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, base64(&bytes))),
        "[a-z\\\\\"{}:]{0,20}".prop_map(|name| mark(&name)),
        Just(r#"{"event":"clear"}"#.to_owned()),
        any::<String>().prop_map(|event| serde_json::json!({"event": event, "streamSid": "MZ1"}).to_string()),
        Just(r#"{"event":"transfer","target":"x","streamSid":"MZ1"}"#.to_owned()),
    ]
}

#[test]
fn a_listener_without_a_tap_hears_silence() {
    let mut bench = Bench::unconnected();
    bench.add_agent(AGENT, StreamSettings { talks: false, tracks: TrackSet::Both, ..settings() });
    bench.agent(AGENT, AgentInput::Opened);
    bench.run(1000);
    let messages = bench.written(AGENT);
    let media = of(&messages, "media");
    assert!(media.len() > 80 && media.iter().all(|message| audio(message) == [0xff; 160]));
}
