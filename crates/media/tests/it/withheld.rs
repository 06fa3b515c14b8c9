//! A remote party whose announced address is not proven: nothing is sent there, regardless of its packets, and no audio
//! of an agent or a player is lost by that.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::sync::Arc;
use std::time::Duration;

use crate::support::*;
use trunkgate_media::agent::StreamSettings;
use trunkgate_media::srtp::SrtpOutbound;
use trunkgate_media::{
    AgentInput, DigitFormat, DropReason, EndId, LatchMode, MediaCommand, MediaEvent, PacketBuf, PayloadCodec,
    PlayerSound, RemoteSpec, Session, SrtpKey, SrtpSpec, Suite, TranscodeSpec, WireSpec,
};

const AGENT: EndId = EndId(7);
const PLAYER: EndId = EndId(8);

/// Returns a remote party with an unproven address.
fn unproven(rtp: &str) -> RemoteSpec {
    RemoteSpec { withheld: true, ..remote(rtp) }
}

/// Returns the remote party with an address proven by signalling, so that the latch stays unchanged.
fn proven(rtp: &str) -> RemoteSpec {
    RemoteSpec { relatch: false, ..remote(rtp) }
}

fn with_agent() -> Bench {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, unproven(A_RTP));
    bench.add_agent(AGENT, StreamSettings { stream_sid: "MZ1".into(), ..StreamSettings::default() });
    bench.agent(AGENT, AgentInput::Opened);
    bench.command(MediaCommand::Wire { from: A, to: AGENT, wire: ULAW.spec() });
    bench.command(MediaCommand::Wire { from: AGENT, to: A, wire: ULAW.spec() });
    bench.written(AGENT);
    bench
}

fn marks(bench: &mut Bench) -> usize {
    bench.written(AGENT).iter().filter(|message| message["event"] == "mark").count()
}

#[test]
fn relayed_audio_and_rtcp_are_withheld_and_counted() {
    let mut bench = Bench::connected();
    bench.set_remote(A, unproven(A_RTP));
    for n in 0..100 {
        assert_eq!(bench.rtp(B, B_RTP, n), None);
        assert_eq!(bench.rtcp(B, B_RTCP), None);
    }
    assert_eq!(bench.dropped(B, DropReason::Withheld), 100);
    assert_eq!(bench.counters[0].tx_packets.get(), 0);
    // Packets from the address prove nothing, because a source can be forged. The other direction was always open.
    bench.rtcp(A, A_RTCP);
    assert_eq!(bench.rtp(A, "192.0.2.1:61000", 1), Some(addr(B_RTP)));
    assert_eq!(bench.rtp(A, A_RTP, 2), Some(addr(B_RTP)));
    assert_eq!(bench.rtp(B, B_RTP, 100), None);
    assert_eq!(bench.rtcp(B, B_RTCP), None);
}

#[test]
fn a_source_at_the_address_of_signalling_is_sent_to_until_the_announced_one_is_heard() {
    let mut bench = Bench::connected();
    let behind_nat = |remote: RemoteSpec| RemoteSpec {
        expected: ["10.0.0.9", "192.0.2.1"].map(|ip| ip.parse().unwrap()).into(),
        ..remote
    };
    bench.set_remote(A, behind_nat(unproven("10.0.0.9:4000")));
    assert_eq!(bench.rtp(B, B_RTP, 1), None);
    assert_eq!(bench.rtp(A, "192.0.2.1:61000", 1), Some(addr(B_RTP)));
    assert_eq!(bench.rtp(B, B_RTP, 2), Some(addr("192.0.2.1:61000")));
    // A forged announced address takes the latch over, but nothing is sent to it.
    assert_eq!(bench.rtp(A, "10.0.0.9:4000", 2), Some(addr(B_RTP)));
    assert_eq!(bench.rtp(B, B_RTP, 3), None);
    bench.set_remote(A, behind_nat(proven("10.0.0.9:4000")));
    assert_eq!(bench.rtp(B, B_RTP, 4), Some(addr("10.0.0.9:4000")));
}

#[test]
fn signalling_clears_it_and_withholds_another_address_again() {
    let mut bench = Bench::connected();
    bench.set_remote(A, unproven(A_RTP));
    assert_eq!(bench.rtp(B, B_RTP, 1), None);
    bench.set_remote(A, proven(A_RTP));
    assert_eq!(bench.rtp(B, B_RTP, 2), Some(addr(A_RTP)));
    // Packets from the former address prove nothing about the new one.
    bench.rtp(A, A_RTP, 1);
    bench.set_remote(A, unproven("203.0.113.9:5000"));
    bench.rtp(A, A_RTP, 2);
    assert_eq!(bench.rtp(B, B_RTP, 3), None);
    assert_eq!(bench.rtp(A, "203.0.113.9:5000", 3), Some(addr(B_RTP)));
    assert_eq!(bench.rtp(B, B_RTP, 4), None);
    bench.set_remote(A, proven("203.0.113.9:5000"));
    assert_eq!(bench.rtp(B, B_RTP, 5), Some(addr("203.0.113.9:5000")));
}

#[test]
fn with_the_latch_off_nothing_clears_it_but_signalling() {
    let mut bench = Bench::connected();
    bench.set_remote(A, RemoteSpec { latch: LatchMode::Off, ..unproven(A_RTP) });
    bench.rtp(A, "192.0.2.1:9", 1);
    bench.rtp(A, A_RTP, 2);
    assert_eq!(bench.rtp(B, B_RTP, 1), None);
}

#[test]
fn rtcp_to_an_announced_address_of_its_own_is_withheld() {
    let mut bench = Bench::connected();
    bench.set_remote(A, RemoteSpec { rtcp: Some(addr("203.0.113.9:4001")), ..unproven(A_RTP) });
    bench.rtp(A, A_RTP, 1);
    bench.rtcp(A, A_RTCP);
    bench.rtp(B, B_RTP, 1);
    assert_eq!(bench.rtcp(B, B_RTCP), None);
}

#[test]
fn t38_is_withheld() {
    let mut bench = Bench::connected();
    let verbatim = || WireSpec { payloads: vec![], verbatim: true, ..wire() };
    bench.command(MediaCommand::Wire { from: A, to: B, wire: verbatim() });
    bench.command(MediaCommand::Wire { from: B, to: A, wire: verbatim() });
    bench.set_remote(A, unproven(A_RTP));
    assert_eq!(bench.feed(B, false, B_RTP, b"\0\x01udptl"), None);
    assert_eq!(bench.dropped(B, DropReason::Withheld), 1);
    assert!(bench.feed(A, false, A_RTP, b"\0\x01udptl").is_some());
    assert_eq!(bench.feed(B, false, B_RTP, b"\0\x02udptl"), None);
    bench.set_remote(A, proven(A_RTP));
    assert!(bench.feed(B, false, B_RTP, b"\0\x02udptl").is_some());
}

#[test]
fn converted_audio_is_withheld() {
    let mut bench = Bench::connected();
    let (from, to) = (vec![(0, PayloadCodec::Pcmu)], (8, PayloadCodec::Pcma));
    let transcode = TranscodeSpec { from, to, packet_ms: 20, events: vec![], noise: None };
    let wire = WireSpec { payloads: vec![], transcode: Some(Box::new(transcode)), ..wire() };
    bench.command(MediaCommand::Wire { from: B, to: A, wire });
    bench.set_remote(A, unproven(A_RTP));
    for n in 0..10 {
        assert_eq!(bench.rtp(B, B_RTP, n), None);
    }
    assert_eq!(bench.dropped(B, DropReason::Withheld), 10);
    bench.set_remote(A, proven(A_RTP));
    assert_eq!(bench.rtp(B, B_RTP, 10), Some(addr(A_RTP)));
}

#[test]
fn neither_keep_alives_nor_reports_are_sent() {
    let mut bench = Bench::connected();
    bench.set_remote(A, unproven(A_RTP));
    let to_a = |made: &[Made]| made.iter().filter(|made| made.transmit.via == A).count();
    assert_eq!(to_a(&bench.run(40_000)), 0);
    // An end fed by the edge itself generates its own reports.
    bench.command(MediaCommand::AddPlayer { end: PLAYER, sound: PlayerSound::Ringback });
    bench.command(MediaCommand::Wire { from: PLAYER, to: A, wire: ULAW.spec() });
    assert_eq!(to_a(&bench.run(20_000)), 0);
    bench.session.say_goodbye(bench.now, None);
    bench.run(20);
    assert_eq!(to_a(&bench.reports), 0);
    bench.set_remote(A, proven(A_RTP));
    assert!(to_a(&bench.run(20_000)) > 0 && to_a(&bench.reports) > 0);
}

#[test]
fn an_agent_s_first_words_wait_with_their_marks_and_digits() {
    for hears_rtp in [false, true] {
        let mut bench = with_agent();
        bench.say_audio(AGENT, &[1, 2, 3]);
        bench.say(AGENT, &mark("greeted"));
        let press = DigitFormat::Event { payload: 101, clock_hz: 8000 };
        bench.command(MediaCommand::Press { end: A, press, digits: "5".into(), ms: 100 });
        if hears_rtp {
            assert_eq!(bench.rtp(A, A_RTP, 1), None);
        }
        assert_eq!(bench.run(999), []);
        assert_eq!(marks(&mut bench), 0);
        assert_eq!(bench.dropped(A, DropReason::Withheld), 50);
        bench.set_remote(A, proven(A_RTP));
        let made = bench.run(1000);
        assert_eq!(made[0].rtp().payload_type, 101, "the digit, then the words");
        let words: Vec<u8> = made.iter().filter(|made| made.rtp().payload_type == 0).map(|m| m.payload()[0]).collect();
        assert_eq!(words[..4], [1, 2, 3, 0xff]);
        assert_eq!(marks(&mut bench), 1);
    }
}

#[test]
fn a_goodbye_waits_and_is_told_once_it_was_heard() {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, unproven(A_RTP));
    bench.command(MediaCommand::AddPlayer { end: PLAYER, sound: PlayerSound::Once(Arc::from([7; 320])) });
    bench.command(MediaCommand::Wire { from: PLAYER, to: A, wire: ULAW.spec() });
    assert_eq!(bench.run(500), []);
    assert_eq!(bench.events(), []);
    bench.set_remote(A, proven(A_RTP));
    let made = bench.run(500);
    assert_eq!((made[0].payload()[0], made[1].payload()[0], made[2].payload()[0]), (7, 7, 0xff));
    assert_eq!(bench.events(), [MediaEvent::Played { end: PLAYER }]);
}

#[test]
fn digits_pressed_into_relayed_audio_wait() {
    let mut bench = Bench::connected();
    bench.set_remote(A, unproven(A_RTP));
    bench.rtp(B, B_RTP, 1);
    let press = DigitFormat::Event { payload: 96, clock_hz: 8000 };
    bench.command(MediaCommand::Press { end: A, press, digits: "5".into(), ms: 100 });
    assert_eq!(bench.run(500), []);
    bench.set_remote(A, proven(A_RTP));
    let made = bench.run(500);
    assert!(made.iter().all(|made| made.rtp().payload_type == 96) && made.len() >= 5, "{made:?}");
}

#[test]
fn srtp_that_authenticates_does_not_clear_it() {
    let key = |seed: u8| {
        let suite = Suite::ALL[0];
        SrtpKey::new(suite, &vec![seed; suite.key_len() + suite.salt_len()], None).unwrap()
    };
    let srtp = SrtpSpec { send: key(1), receive: key(2), rolled: 0, own_sources: None };
    let mut bench = Bench::connected();
    bench.set_remote(A, RemoteSpec { srtp: Some(Box::new(srtp.clone())), ..unproven(A_RTP) });
    assert_eq!(bench.rtp(A, A_RTP, 1), None);
    assert_eq!(bench.rtp(B, B_RTP, 1), None);
    // Its key was in the same INVITE as the address.
    let mut packet = PacketBuf::new();
    let plain = rtp(2);
    packet.receive_area()[..plain.len()].copy_from_slice(&plain);
    packet.set_len(plain.len());
    SrtpOutbound::new(&srtp.receive).protect_rtp(&mut packet).unwrap();
    assert!(bench.feed(A, false, A_RTP, packet.data()).is_some());
    assert_eq!(bench.rtp(B, B_RTP, 2), None);
}

#[test]
fn a_restart_changes_nothing_of_it() {
    for heard in [false, true] {
        let mut bench = Bench::connected();
        bench.set_remote(A, unproven(A_RTP));
        if heard {
            bench.rtp(A, A_RTP, 1);
        }
        let text = serde_json::to_string(&bench.session.snapshot()).unwrap();
        bench.session = Session::restore(bench.now, serde_json::from_str(&text).unwrap());
        assert_eq!(bench.rtp(B, B_RTP, 1), None);
        // A snapshot from before this field existed counts as proven.
        let old = text.replace("\"withheld\":true,", "");
        assert_ne!(old, text);
        bench.session = Session::restore(bench.now + Duration::from_secs(1), serde_json::from_str(&old).unwrap());
        assert_eq!(bench.rtp(B, B_RTP, 2), Some(addr(A_RTP)));
    }
}
