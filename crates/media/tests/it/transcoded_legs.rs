//! Sessions between sides with different codecs: sent packets, audio of listeners, and RTCP.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use crate::support::*;
use trunkgate_media::codec::g711::ulaw_to_alaw;
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{DropReason, EventsSpec, MediaCommand, PacketBuf, PayloadCodec, TranscodeSpec, WireSpec};

fn converting(from: (u8, PayloadCodec), to: (u8, PayloadCodec), packet_ms: u8) -> WireSpec {
    let events = vec![EventsSpec { from: (101, 8000), to: (96, to.1.clock_hz()) }];
    let spec = TranscodeSpec { from: vec![from], to, packet_ms, events, noise: None };
    WireSpec { transcode: Some(Box::new(spec)), ..WireSpec::default() }
}

fn connected(packet_ms: u8) -> Bench {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    bench.set_remote(B, remote(B_RTP));
    let there = converting((0, PayloadCodec::Pcmu), (8, PayloadCodec::Pcma), packet_ms);
    let back = converting((8, PayloadCodec::Pcma), (0, PayloadCodec::Pcmu), packet_ms);
    bench.command(MediaCommand::Wire { from: A, to: B, wire: there });
    bench.command(MediaCommand::Wire { from: B, to: A, wire: back });
    bench
}

fn sent(bytes: &[u8]) -> (u8, u16, u32, u32, &[u8]) {
    let rtp = RtpHeader::parse(bytes).unwrap();
    (rtp.payload_type, rtp.sequence, rtp.timestamp, rtp.ssrc, &bytes[rtp.payload])
}

/// Feeds one packet of A; returns all packets that the session sends for it.
fn all(bench: &mut Bench, bytes: &[u8]) -> Vec<Vec<u8>> {
    let Some((_, first)) = bench.feed(A, false, A_RTP, bytes) else { return Vec::new() };
    let mut all = vec![first];
    let mut packet = PacketBuf::new();
    while let Some(transmit) = bench.session.poll_converted(bench.now, &mut packet) {
        assert_eq!((transmit.via, transmit.to), (B, addr(B_RTP)));
        all.push(packet.data().to_vec());
    }
    all
}

#[test]
fn each_packet_is_converted_as_it_comes() {
    let mut bench = connected(20);
    let (_, first) = bench.feed(A, false, A_RTP, &rtp(40)).unwrap();
    let (payload_type, sequence, timestamp, ssrc, payload) = sent(&first);
    assert_eq!((payload_type, payload), (8, &[ulaw_to_alaw(40); 160][..]));
    bench.wait(20);
    let (_, second) = bench.feed(A, false, A_RTP, &rtp(41)).unwrap();
    assert_eq!(
        sent(&second),
        (8, sequence.wrapping_add(1), timestamp.wrapping_add(160), ssrc, &[ulaw_to_alaw(41); 160][..])
    );
    assert_eq!(bench.counters[1].tx_packets.get(), 2);
    // The other direction has its own numbers.
    let mut packet = Vec::new();
    RtpHeader { payload_type: 8, ..header(9) }.build(&[0x55; 160], &mut packet);
    let (transmit, back) = bench.feed(B, false, B_RTP, &packet).unwrap();
    assert_eq!((transmit.via, sent(&back).0), (A, 0));
    assert_ne!(sent(&back).3, ssrc);
    // Payloads that were not negotiated are still dropped.
    RtpHeader { payload_type: 18, ..header(42) }.write(&mut packet);
    assert_eq!(bench.feed(A, false, A_RTP, &packet), None);
    assert_eq!(bench.dropped(A, DropReason::UnknownPayload), 1);
}

#[test]
fn one_packet_may_become_several_and_several_one() {
    let mut bench = connected(10);
    assert_eq!(all(&mut bench, &rtp(1)).len(), 2);
    let mut bench = connected(40);
    assert_eq!((all(&mut bench, &rtp(1)).len(), all(&mut bench, &rtp(2)).len()), (0, 1));
    assert_eq!(bench.counters[1].tx_packets.get(), 1);
}

#[test]
fn a_repeated_packet_is_dropped() {
    let mut bench = connected(20);
    assert!(bench.feed(A, false, A_RTP, &rtp(1)).is_some());
    assert_eq!(bench.feed(A, false, A_RTP, &rtp(1)), None);
    assert_eq!(bench.dropped(A, DropReason::Late), 1);
}

#[test]
fn the_same_wire_again_changes_nothing_of_the_stream() {
    let mut bench = connected(20);
    let before = bench.feed(A, false, A_RTP, &rtp(1)).unwrap().1;
    let again = converting((0, PayloadCodec::Pcmu), (8, PayloadCodec::Pcma), 20);
    bench.command(MediaCommand::Wire { from: A, to: B, wire: again });
    let after = bench.feed(A, false, A_RTP, &rtp(2)).unwrap().1;
    assert_eq!((sent(&after).1, sent(&after).2), (sent(&before).1.wrapping_add(1), sent(&before).2.wrapping_add(160)));
    // A codec that both sides have from now on: the stream continues under its SSRC.
    bench.command(MediaCommand::Wire { from: A, to: B, wire: wire() });
    bench.wait(20);
    let relayed = bench.feed(A, false, A_RTP, &rtp(3)).unwrap().1;
    assert_eq!((sent(&relayed).3, sent(&relayed).1), (sent(&after).3, sent(&after).1.wrapping_add(1)));
    assert_eq!(sent(&relayed).2, sent(&after).2.wrapping_add(160));
}

#[test]
fn on_hold_what_was_taken_is_not_sent_later() {
    let mut bench = connected(10);
    bench.set_remote(B, trunkgate_media::RemoteSpec { may_receive: false, relatch: false, ..remote(B_RTP) });
    assert_eq!(all(&mut bench, &rtp(1)).len(), 0);
    assert_eq!(bench.dropped(A, DropReason::NoDestination), 2);
    bench.set_remote(B, trunkgate_media::RemoteSpec { relatch: false, ..remote(B_RTP) });
    assert_eq!(all(&mut bench, &rtp(2)).len(), 2);
}

#[test]
fn rfc3550_reports_of_converted_streams_are_the_edge_s_own() {
    let mut bench = connected(20);
    bench.feed(A, false, A_RTP, &rtp(1)).unwrap();
    assert_eq!(bench.rtcp(A, A_RTCP), None, "the other side never saw that source");
}

#[test]
fn a_restart_goes_on_converting() {
    let mut bench = connected(20);
    let before = bench.feed(A, false, A_RTP, &rtp(1)).unwrap().1;
    bench.session = trunkgate_media::Session::restore(bench.now, bench.session.snapshot());
    let after = bench.feed(A, false, A_RTP, &rtp(2)).unwrap().1;
    assert_eq!((sent(&after).0, sent(&after).3, sent(&after).4), (8, sent(&before).3, &[ulaw_to_alaw(2); 160][..]));
    assert_eq!(sent(&after).1, sent(&before).1.wrapping_add(1));
}

#[test]
fn a_second_codec_is_converted_once_it_comes_and_until_then_all_is_as_without() {
    let mut bench = Bench::unconnected();
    bench.set_remote(A, remote(A_RTP));
    bench.set_remote(B, remote(B_RTP));
    let second =
        WireSpec { payloads: vec![(0, 0)], ..converting((8, PayloadCodec::Pcma), (0, PayloadCodec::Pcmu), 20) };
    bench.command(MediaCommand::Wire { from: A, to: B, wire: second.clone() });
    bench.command(MediaCommand::Wire { from: B, to: A, wire: wire() });
    let relayed = bench.feed(A, false, A_RTP, &rtp(1)).unwrap().1;
    assert_eq!(relayed, rtp(1));
    assert!(bench.rtcp(A, A_RTCP).is_some(), "reports pass as well");
    bench.wait(20);
    let mut packet = Vec::new();
    RtpHeader { payload_type: 8, ..header(2) }.build(&[0x55; 160], &mut packet);
    let made = bench.feed(A, false, A_RTP, &packet).unwrap().1;
    assert_eq!((sent(&made).0, sent(&made).1, sent(&made).3), (0, sent(&relayed).1 + 1, sent(&relayed).3));
    assert_eq!(bench.rtcp(A, A_RTCP), None, "from now on the edge reports itself");
    // The same wire again keeps the transcoder; the first codec still passes, in the same stream.
    bench.command(MediaCommand::Wire { from: A, to: B, wire: second });
    bench.wait(20);
    let again = bench.feed(A, false, A_RTP, &rtp(3)).unwrap().1;
    assert_eq!((sent(&again).1, sent(&again).3), (sent(&relayed).1 + 2, sent(&relayed).3));
    assert_eq!(sent(&again).4, sent(&rtp(3)).4);
}
