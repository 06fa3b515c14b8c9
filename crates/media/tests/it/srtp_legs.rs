//! Sessions with SRTP ends: packets are decrypted for the wire and for listeners, and encrypted again; without the key
//! nothing is received or accepted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use crate::support::*;
use trunkgate_media::agent::{StreamSettings, TrackSet};
use trunkgate_media::limits::{PROBES, SRTP_FORMER_KEYS};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::srtp::{SrtpInbound, SrtpOutbound};
use trunkgate_media::{
    AgentInput, DropReason, EndId, MediaCommand, MediaEvent, OwnSources, PacketBuf, PayloadCodec, PlayerSound,
    RemoteSpec, Session, SrtpKey, SrtpSpec, Suite, TapSpec, WireSpec,
};

fn key(suite: Suite, seed: u8) -> SrtpKey {
    SrtpKey::new(suite, &vec![seed; suite.key_len() + suite.salt_len()], None).unwrap()
}

/// Returns the keys of an end: it sends with key `seed`, and its remote party sends with key `seed + 1`.
fn spec(suite: Suite, seed: u8) -> SrtpSpec {
    SrtpSpec { send: key(suite, seed), receive: key(suite, seed + 1), rolled: 0, own_sources: None }
}

fn secure(rtp: &str, srtp: &SrtpSpec) -> RemoteSpec {
    RemoteSpec { srtp: Some(Box::new(srtp.clone())), ..remote(rtp) }
}

/// Remote party of an end, with its own SRTP state.
struct Far {
    says: SrtpOutbound,
    hears: SrtpInbound,
}

impl Far {
    fn of(spec: &SrtpSpec) -> Far {
        Far { says: SrtpOutbound::new(&spec.receive), hears: SrtpInbound::new(&spec.send) }
    }

    fn say(&mut self, rtcp: bool, bytes: &[u8]) -> Vec<u8> {
        let mut packet = PacketBuf::new();
        packet.receive_area()[..bytes.len()].copy_from_slice(bytes);
        packet.set_len(bytes.len());
        if rtcp { self.says.protect_rtcp(&mut packet) } else { self.says.protect_rtp(&mut packet) }.unwrap();
        packet.data().to_vec()
    }

    fn hear(&mut self, rtcp: bool, bytes: &[u8]) -> Result<Vec<u8>, DropReason> {
        let mut packet = PacketBuf::new();
        packet.receive_area()[..bytes.len()].copy_from_slice(bytes);
        packet.set_len(bytes.len());
        if rtcp {
            self.hears.unprotect_rtcp(&mut packet, false)?;
        } else {
            self.hears.unprotect_rtp(&mut packet, false)?;
        }
        Ok(packet.data().to_vec())
    }
}

/// Creates A with SRTP, and B with plain RTP.
fn secure_caller(suite: Suite) -> (Bench, SrtpSpec, Far) {
    let spec = spec(suite, 10);
    let mut bench = Bench::connected();
    bench.set_remote(A, secure(A_RTP, &spec));
    let far = Far::of(&spec);
    (bench, spec, far)
}

/// After a crash the SRTP indices that the predecessor process has used are unknown: nothing is sent under the SSRCs of
/// the sources, and a second crash leads to other SSRCs again.
#[test]
fn after_a_crash_streams_begin_under_new_sources_and_rolled_streams_are_heard() {
    for suite in Suite::ALL {
        let mut sources = Vec::new();
        for crash in 0..3 {
            let mut bench = Bench::connected();
            let own_sources = Some(OwnSources::new("CA1/0", crash + 1));
            let resumed = SrtpSpec { rolled: 3, own_sources, ..spec(suite, 10) };
            bench.set_remote(A, secure(A_RTP, &resumed));
            let mut a = Far::of(&resumed);
            for sequence in 1..4 {
                let (_, heard) = bench.feed(B, false, B_RTP, &rtp(sequence)).unwrap();
                let heard = RtpHeader::parse(&a.hear(false, &heard).unwrap()).unwrap();
                assert_ne!(heard.ssrc, RtpHeader::parse(&rtp(sequence)).unwrap().ssrc);
                sources.push(heard.ssrc);
            }
            // The party's own stream has rolled over twice before the crash.
            [1, 30_000, 60_000, 25_000, 55_000, 20_000]
                .into_iter()
                .for_each(|sequence| drop(a.say(false, &rtp(sequence))));
            let said = a.say(false, &rtp(20_001));
            assert!(bench.feed(A, false, A_RTP, &said).is_some(), "{suite:?}");
        }
        sources.dedup();
        assert_eq!(sources.len(), 3, "{sources:?}");
    }
}

/// A party may choose an SSRC that the process after a crash will use: its packets get another one, and its reports,
/// which have its SSRC alone, are dropped.
#[test]
fn the_ssrcs_of_later_processes_are_not_used() {
    let own = |process| OwnSources::new("CA1/0", process);
    let from = |ssrc: u32, mut packet: Vec<u8>, at: usize| {
        packet[at..at + 4].copy_from_slice(&ssrc.to_be_bytes());
        packet
    };
    for suite in Suite::ALL {
        let mut bench = Bench::connected();
        let spec = SrtpSpec { own_sources: Some(own(0)), ..spec(suite, 10) };
        bench.set_remote(A, secure(A_RTP, &spec));
        let mut a = Far::of(&spec);
        let compound = from(own(2).reports(), rtcp(), 4);
        assert!(bench.feed(B, true, B_RTCP, &compound).is_none());
        assert_eq!(bench.dropped(A, DropReason::SrtpStreams) + bench.dropped(B, DropReason::SrtpStreams), 1);
        let mut source = |bench: &mut Bench, ssrc, sequence| {
            let (_, heard) = bench.feed(B, false, B_RTP, &from(ssrc, rtp(sequence), 8)).unwrap();
            RtpHeader::parse(&a.hear(false, &heard).unwrap()).unwrap().ssrc
        };
        // An SSRC of a process before it, and any other one, pass.
        assert_eq!(source(&mut bench, 77, 1), 77);
        assert_eq!(source(&mut bench, own(0).reports(), 2), own(0).reports());
        for (sequence, reserved) in [(3, own(1).rtp()), (4, own(1).rtp()), (5, own(9).keep_alive())] {
            assert_eq!(source(&mut bench, reserved, sequence), own(0).rtp(), "{suite:?}");
        }
    }
}

#[test]
fn terminated_on_one_side_or_on_both() {
    for (n, suite) in Suite::ALL.into_iter().enumerate() {
        let (mut bench, _, mut a) = secure_caller(suite);
        let mut b = None;
        for sequence in [1, 2, 3, 4] {
            if sequence == 3 {
                let spec = spec(Suite::ALL[5 - n], 20);
                bench.set_remote(B, secure(B_RTP, &spec));
                b = Some(Far::of(&spec));
            }
            for rtcp in [false, true] {
                let plain = if rtcp { self::rtcp() } else { rtp(sequence) };
                let (from_a, from_b) = if rtcp { (A_RTCP, B_RTCP) } else { (A_RTP, B_RTP) };
                let (to, mut heard) = bench.feed(A, rtcp, from_a, &a.say(rtcp, &plain)).unwrap();
                if let Some(b) = &mut b {
                    assert_ne!(heard, plain);
                    heard = b.hear(rtcp, &heard).unwrap();
                }
                assert_eq!((heard, to.to), (plain.clone(), addr(from_b)), "{suite:?}");
                let said = b.as_mut().map_or_else(|| plain.clone(), |b| b.say(rtcp, &plain));
                let (_, heard) = bench.feed(B, rtcp, from_b, &said).unwrap();
                assert_ne!(heard, plain);
                assert_eq!(a.hear(rtcp, &heard).unwrap(), plain);
            }
        }
        // Only RTP bytes are counted, without SRTP overhead.
        assert_eq!([&bench.counters[0].rx_bytes, &bench.counters[0].tx_bytes].map(|bytes| bytes.get()), [688, 688]);
    }
}

/// Bleed and inject attacks without the key fail, even from the right address, before and after the latch.
#[test]
fn without_the_key_nothing_is_heard_said_or_latched_to() {
    for suite in Suite::ALL {
        for latched in [false, true] {
            let (mut bench, _, mut a) = secure_caller(suite);
            if latched {
                bench.feed(A, false, A_RTP, &a.say(false, &rtp(1))).unwrap();
                bench.feed(A, true, A_RTCP, &a.say(true, &rtcp())).unwrap();
            }
            bench.events();
            let (mut forged, mut report) = (rtp(5), rtcp());
            forged.resize(190, 3);
            report.resize(40, 3);
            bench.wait(250);
            let sources = if latched { [A_RTP, A_RTCP] } else { ["192.0.2.1:666", "192.0.2.1:667"] };
            for n in 0..200 {
                forged[3] = n;
                assert_eq!(bench.feed(A, false, sources[0], &forged), None);
                assert_eq!(bench.feed(A, false, sources[0], &rtp(u16::from(n))), None, "plain");
                assert_eq!(bench.feed(A, true, sources[1], &report), None);
                assert_eq!(bench.feed(A, true, sources[1], &rtcp()), None, "plain");
                assert_eq!(bench.rtp(B, B_RTP, u16::from(n)), Some(addr(A_RTP)), "bleed");
                assert_eq!(bench.rtcp(B, B_RTCP), Some(addr(A_RTCP)), "bleed");
            }
            let count = |reason| bench.dropped(A, reason);
            let [auth, replay, plain] =
                [DropReason::SrtpAuth, DropReason::SrtpReplay, DropReason::SrtpPlain].map(count);
            assert_eq!((auth + replay + plain, replay, plain), (800, 2 * u64::from(latched), 200));
            assert_eq!(bench.counters[1].tx_packets.get(), u64::from(latched));
            assert_eq!(bench.counters[0].latched.get(), u64::from(latched));
            assert!(bench.events().iter().all(|event| format!("{event:?}").contains("end: EndId(1)")));
            // A source with the key is still accepted.
            assert!(bench.feed(A, false, A_RTP, &a.say(false, &rtp(2))).is_some());
        }
    }
}

/// Bad packets must not end a call (CVE-2021-41105), nor keep a dead one alive.
#[test]
fn bad_packets_neither_end_a_call_nor_keep_it() {
    let (mut bench, _, mut a) = secure_caller(Suite::AesCm128HmacSha1_80);
    for n in 0..60_000 {
        assert_eq!(bench.feed(A, false, A_RTP, &rtp(n)), None);
    }
    assert!(bench.feed(A, false, A_RTP, &a.say(false, &rtp(1))).is_some());
    bench.events();
    for n in 0..61 {
        bench.rtp(B, B_RTP, n).unwrap();
        bench.feed(A, false, A_RTP, &rtp(n));
        bench.feed(A, true, A_RTCP, &rtcp());
        bench.run(1000);
    }
    assert_eq!(bench.events().into_iter().filter(|e| matches!(e, MediaEvent::Idle { end: A })).count(), 1);
}

#[test]
fn what_cannot_be_encrypted_neither_comes_in_nor_goes_out() {
    let (mut bench, _, _) = secure_caller(Suite::AesCm128HmacSha1_80);
    let verbatim = || WireSpec { payloads: vec![], verbatim: true, ..wire() };
    bench.command(MediaCommand::Wire { from: A, to: B, wire: verbatim() });
    bench.command(MediaCommand::Wire { from: B, to: A, wire: verbatim() });
    assert_eq!(bench.feed(A, false, A_RTP, b"fax"), None);
    assert_eq!(bench.feed(B, false, B_RTP, b"fax"), None);
    assert_eq!((bench.dropped(A, DropReason::NotRtp), bench.dropped(B, DropReason::NoDestination)), (1, 1));
    assert!(bench.events().iter().all(|event| !matches!(event, MediaEvent::Latched { end: A, .. })));
}

#[test]
fn a_packet_recorded_on_the_way_is_taken_once() {
    let (mut bench, spec, mut a) = secure_caller(Suite::AesCm128HmacSha1_80);
    let (said, report) = (a.say(false, &rtp(1)), a.say(true, &rtcp()));
    assert!(bench.feed(A, false, A_RTP, &said).is_some() && bench.feed(A, true, A_RTCP, &report).is_some());
    // Unchanged by a negotiation without changes.
    bench.set_remote(A, secure(A_RTP, &spec));
    assert_eq!(bench.feed(A, false, A_RTP, &said), None);
    assert_eq!(bench.feed(A, true, A_RTCP, &report), None);
    assert_eq!(bench.dropped(A, DropReason::SrtpReplay), 2);
}

#[test]
fn a_new_key_is_taken_at_once_and_the_old_one_for_a_second() {
    for suite in Suite::ALL {
        let (mut bench, _, mut old) = secure_caller(suite);
        bench.feed(A, false, A_RTP, &old.say(false, &rtp(65_535))).unwrap();
        bench.feed(A, false, A_RTP, &old.say(false, &rtp(0))).unwrap();
        let next = spec(suite, 30);
        bench.set_remote(A, RemoteSpec { relatch: false, ..secure(A_RTP, &next) });
        // Sent before the key changed.
        assert!(bench.feed(A, false, A_RTP, &old.say(false, &rtp(1))).is_some());
        let mut from_zero = Far::of(&next);
        assert!(bench.feed(A, false, A_RTP, &from_zero.say(false, &rtp(2))).is_some(), "{suite:?}");
        assert!(bench.feed(A, false, A_RTP, &old.say(false, &rtp(3))).is_some());
        bench.wait(1000);
        assert_eq!(bench.feed(A, false, A_RTP, &old.say(false, &rtp(4))), None);
        // A remote party that continues its counters (RFC 3711 §3.3.1).
        let last = spec(suite, 40);
        bench.set_remote(A, RemoteSpec { relatch: false, ..secure(A_RTP, &last) });
        let mut goes_on = Far::of(&next);
        for sequence in [65_535, 2] {
            goes_on.say(false, &rtp(sequence));
        }
        goes_on.says.set_key(&last.receive, false);
        assert!(bench.feed(A, false, A_RTP, &goes_on.say(false, &rtp(5))).is_some());
        let heard = bench.feed(B, false, B_RTP, &rtp(9)).unwrap().1;
        assert_eq!(Far::of(&last).hear(false, &heard).unwrap(), rtp(9));
    }
}

#[test]
fn no_number_leaves_twice_when_the_old_key_comes_back() {
    let (mut bench, spec, _) = secure_caller(Suite::AeadAes128Gcm);
    assert!(bench.rtp(B, B_RTP, 7).is_some());
    bench.set_remote(A, remote(A_RTP));
    assert_eq!(bench.feed(B, false, B_RTP, &rtp(8)).unwrap().1, rtp(8), "plain was agreed");
    bench.set_remote(A, secure("192.0.2.1:5000", &spec));
    assert_eq!(bench.rtp(B, B_RTP, 7), None);
    assert_eq!(bench.dropped(B, DropReason::SrtpRepeated), 1);
    assert!(bench.rtp(B, B_RTP, 9).is_some());
}

/// The remote party alternates between two keys, with a new address each time, after which counters may restart.
#[test]
fn no_number_leaves_or_is_taken_twice_under_keys_that_alternate() {
    for suite in Suite::ALL {
        let (mut bench, first, mut a) = secure_caller(suite);
        let recorded = [a.say(false, &rtp(500)), a.say(true, &rtcp())];
        bench.feed(A, false, A_RTP, &recorded[0]).unwrap();
        bench.feed(A, true, A_RTCP, &recorded[1]).unwrap();
        let sent = bench.feed(B, false, B_RTP, &rtp(7)).unwrap().1;
        for n in 0..3 {
            bench.set_remote(A, secure(&format!("192.0.2.1:500{n}"), &spec(suite, 30 + 2 * n)));
            bench.feed(B, false, B_RTP, &rtp(8 + u16::from(n))).unwrap();
        }
        bench.set_remote(A, secure(A_RTP, &first));
        bench.wait(2000);
        let again = bench.feed(B, false, B_RTP, &rtp(7)).map(|(_, bytes)| bytes);
        assert_ne!(again, Some(sent), "{suite:?}");
        assert_eq!(bench.feed(A, false, A_RTP, &recorded[0]), None, "{suite:?}");
        assert_eq!(bench.feed(A, true, A_RTCP, &recorded[1]), None, "{suite:?}");
        // The stream continues.
        assert!(bench.feed(A, false, A_RTP, &a.say(false, &rtp(501))).is_some());
        assert!(bench.feed(A, true, A_RTCP, &a.say(true, &rtcp())).is_some());
        a.hear(false, &bench.feed(B, false, B_RTP, &rtp(20)).unwrap().1).unwrap();
    }
}

#[test]
fn so_many_former_keys_are_remembered() {
    let comes_back_after = |others: usize| {
        let (mut bench, first, _) = secure_caller(Suite::AeadAes128Gcm);
        let sent = bench.feed(B, false, B_RTP, &rtp(7)).unwrap().1;
        for n in 0..others {
            bench.set_remote(A, secure("192.0.2.1:5000", &spec(Suite::AeadAes128Gcm, 30 + 2 * n as u8)));
        }
        bench.set_remote(A, secure(A_RTP, &first));
        bench.feed(B, false, B_RTP, &rtp(7)).is_some_and(|(_, bytes)| bytes == sent)
    };
    assert!(!comes_back_after(SRTP_FORMER_KEYS) && comes_back_after(SRTP_FORMER_KEYS + 1));
}

/// The sequence numbers of keep-alive packets continue. The edge's own SRTP encrypts none twice, so with repeated
/// numbers no packet would be sent, and the NAT binding would expire.
#[test]
fn keep_alive_packets_leave_after_a_negotiation_and_a_restart() {
    let (mut bench, spec, mut a) = secure_caller(Suite::AesCm128HmacSha1_80);
    let mut heard = |bench: &mut Bench| {
        let made = bench.run(u64::from(PROBES) * 1000);
        let mine = made.iter().filter(|made| made.transmit.via == A);
        mine.map(|made| a.hear(false, &made.bytes).unwrap()).count()
    };
    assert_eq!(heard(&mut bench), PROBES as usize);
    bench.set_remote(A, secure(A_RTP, &spec));
    assert_eq!(heard(&mut bench), PROBES as usize);
    let text = serde_json::to_string(&bench.session.snapshot()).unwrap();
    bench.session = Session::restore(bench.now, serde_json::from_str(&text).unwrap());
    assert_eq!(heard(&mut bench), PROBES as usize);
}

/// Another end becomes the source of the leg, as after a failover or a transfer; numbers and encryption continue.
#[test]
fn the_far_side_hears_one_stream_whoever_feeds_it() {
    for suite in Suite::ALL {
        let (mut bench, _, mut a) = secure_caller(suite);
        bench.set_remote(C, remote(C_RTP));
        let mut heard = Vec::new();
        let mut hear = |bytes: &[u8]| heard.push(RtpHeader::parse(&a.hear(false, bytes).unwrap()).unwrap());
        for sequence in 65_530..65_534 {
            hear(&bench.feed(B, false, B_RTP, &rtp(sequence)).unwrap().1);
            bench.wait(20);
        }
        bench.wire(C, A);
        for sequence in 100..120 {
            let mut bytes = rtp(sequence);
            bytes[8..12].copy_from_slice(&[9; 4]);
            hear(&bench.feed(C, false, C_RTP, &bytes).unwrap().1);
            bench.wait(20);
        }
        // A feeder that restarts under its old SSRC cannot be forwarded unchanged.
        for sequence in [5, 6, 7] {
            let mut bytes = rtp(sequence);
            bytes[8..12].copy_from_slice(&[9; 4]);
            bytes[10] = 8;
            hear(&bench.feed(C, false, C_RTP, &bytes).unwrap().1);
            bench.wait(20);
        }
        bench.command(MediaCommand::AddPlayer { end: EndId(9), sound: PlayerSound::Ringback });
        bench.command(MediaCommand::Wire { from: EndId(9), to: A, wire: ULAW.spec() });
        for made in bench.run(100) {
            hear(&made.bytes);
        }
        assert!(heard.len() >= 27 + 5);
        for (n, pair) in heard.windows(2).enumerate() {
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "{n}");
            assert_eq!(pair[1].ssrc, pair[0].ssrc);
        }
    }
}

#[test]
fn a_feeder_that_begins_anew_goes_on_under_numbers_that_can_be_sent() {
    let (mut bench, _, mut a) = secure_caller(Suite::AesCm256HmacSha1_32);
    let sequences = [1000, 1001, 10, 11, 12, 50_000, 50_001];
    let mut heard = Vec::new();
    for sequence in sequences {
        let bytes = bench.feed(B, false, B_RTP, &rtp(sequence)).unwrap().1;
        heard.push(RtpHeader::parse(&a.hear(false, &bytes).unwrap()).unwrap().sequence);
        bench.wait(20);
    }
    assert_eq!(heard, [1000, 1001, 1002, 1003, 1004, 1005, 1006]);
    // Late packets and duplicates are treated as before.
    assert!(bench.rtp(B, B_RTP, 50_004).is_some() && bench.rtp(B, B_RTP, 50_003).is_some());
    assert_eq!(bench.rtp(B, B_RTP, 50_003), None);
    assert_eq!(bench.dropped(B, DropReason::SrtpRepeated), 1);
}

#[test]
fn streams_beyond_the_limit_go_on_under_the_last_one() {
    let (mut bench, _, mut a) = secure_caller(Suite::AesCm128HmacSha1_80);
    let mut sources = std::collections::BTreeSet::new();
    for n in 0..100u8 {
        let mut bytes = rtp(500);
        bytes[8..12].copy_from_slice(&[0, 0, 1, n]);
        let bytes = bench.feed(B, false, B_RTP, &bytes).unwrap().1;
        sources.insert(RtpHeader::parse(&a.hear(false, &bytes).unwrap()).unwrap().ssrc);
        bench.wait(20);
    }
    assert_eq!(sources, (0x100..0x140).collect());
    // Streams of the remote party are bounded too.
    for n in 0..70u8 {
        let mut bytes = rtp(500);
        bytes[8..12].copy_from_slice(&[0, 0, 2, n]);
        assert_eq!(bench.feed(A, false, A_RTP, &a.say_as(n, &bytes)).is_some(), n < 64);
    }
    assert_eq!(bench.dropped(A, DropReason::SrtpStreams), 6);
}

impl Far {
    /// Encrypts a packet like a sender that has no limit on the number of its streams.
    fn say_as(&mut self, n: u8, bytes: &[u8]) -> Vec<u8> {
        if n.is_multiple_of(50) {
            self.says = SrtpOutbound::new(&spec(Suite::AesCm128HmacSha1_80, 10).receive);
        }
        self.say(false, bytes)
    }
}

#[test]
fn a_listener_hears_both_sides_in_clear() {
    let scribe = EndId(7);
    let (mut bench, _, mut a) = secure_caller(Suite::AeadAes256Gcm);
    let settings =
        StreamSettings { stream_sid: "MZ1".into(), talks: false, tracks: TrackSet::Both, ..StreamSettings::default() };
    bench.add_agent(scribe, settings);
    bench.agent(scribe, AgentInput::Opened);
    bench.command(MediaCommand::Tap { of: A, listener: scribe, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
    for sequence in 1..20 {
        bench.feed(A, false, A_RTP, &a.say(false, &rtp(sequence))).unwrap();
        bench.rtp(B, B_RTP, sequence + 100).unwrap();
        bench.run(20);
    }
    let messages = bench.written(scribe);
    for (track, first) in [("inbound", 1), ("outbound", 101)] {
        let media = messages.iter().filter(|message| message["media"]["track"] == track);
        let heard: Vec<Vec<u8>> = media.map(audio).collect();
        assert!(heard.len() >= 18);
        for (frame, code) in heard.iter().zip(first..) {
            assert_eq!(*frame, [code; 160], "{track}");
        }
    }
}

#[test]
fn a_session_goes_on_from_a_snapshot_where_it_stood() {
    for suite in Suite::ALL {
        let (mut bench, _, mut a) = secure_caller(suite);
        let said = a.say(false, &rtp(65_535));
        bench.feed(A, false, A_RTP, &said).unwrap();
        bench.feed(A, false, A_RTP, &a.say(false, &rtp(0))).unwrap();
        for sequence in [65_535, 0] {
            a.hear(false, &bench.feed(B, false, B_RTP, &rtp(sequence)).unwrap().1).unwrap();
        }
        a.hear(true, &bench.feed(B, true, B_RTCP, &rtcp()).unwrap().1).unwrap();
        let text = serde_json::to_string(&bench.session.snapshot()).unwrap();
        let snapshot: trunkgate_media::SessionSnapshot = serde_json::from_str(&text).unwrap();
        assert_eq!(snapshot, bench.session.snapshot());
        bench.session = Session::restore(bench.now, snapshot);
        assert_eq!(bench.feed(A, false, A_RTP, &said), None, "a repetition");
        assert!(bench.feed(A, false, A_RTP, &a.say(false, &rtp(1))).is_some());
        assert_eq!(bench.rtp(B, B_RTP, 0), None, "sent before");
        a.hear(false, &bench.feed(B, false, B_RTP, &rtp(1)).unwrap().1).unwrap();
        a.hear(true, &bench.feed(B, true, B_RTCP, &rtcp()).unwrap().1).unwrap();
    }
}

#[test]
fn what_the_edge_makes_of_its_own_is_encrypted_too() {
    for suite in Suite::ALL {
        // A and B are silent, so keep-alives are sent.
        let (mut bench, _, mut far) = secure_caller(suite);
        let made: Vec<Made> = bench.run(3000).into_iter().filter(|made| made.transmit.via == A).collect();
        assert_eq!(made.len(), 3);
        for made in &made {
            assert_ne!(made.bytes.len(), 12);
            assert_eq!(far.hear(false, &made.bytes).unwrap().len(), 12);
        }
        // A tone is sent to A, so the edge generates reports.
        bench.command(MediaCommand::AddPlayer { end: EndId(9), sound: PlayerSound::Ringback });
        bench.command(MediaCommand::Wire { from: EndId(9), to: A, wire: ULAW.spec() });
        bench.run(20_000);
        let reports: Vec<&Made> = bench.reports.iter().filter(|made| made.transmit.via == A).collect();
        assert!(reports.len() >= 2, "{}", reports.len());
        for made in reports {
            let plain = far.hear(true, &made.bytes).unwrap();
            assert!(plain.len() < made.bytes.len() && plain[1] == 200, "{suite:?}: {plain:?}");
        }
    }
}
