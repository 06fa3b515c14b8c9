//! Relay of valid packets: payload types, directions, continuity, RTCP, silence, snapshots.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::support::*;
use trunkgate_media::limits::SESSION_ENDS;
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{
    DropReason, EndCounters, EndId, EndSpec, MediaCommand, MediaEvent, RemoteSpec, Session, WireSpec,
};

#[test]
fn a_packet_passes_bit_identical() {
    let mut bench = Bench::connected();
    for sequence in [65_534, 65_535, 0, 1] {
        let (transmit, bytes) = bench.feed(A, false, A_RTP, &rtp(sequence)).unwrap();
        assert_eq!((transmit.via, transmit.rtcp, transmit.to, transmit.locked), (B, false, addr(B_RTP), false));
        assert_eq!(bytes, rtp(sequence));
    }
    let (transmit, bytes) = bench.feed(B, false, B_RTP, &rtp(9)).unwrap();
    assert_eq!((transmit.via, transmit.to, transmit.locked), (A, addr(A_RTP), true));
    assert_eq!(bytes, rtp(9));
    let (a, b) = (&bench.counters[0], &bench.counters[1]);
    assert_eq!((a.rx_packets.get(), a.rx_bytes.get(), a.tx_packets.get(), a.tx_bytes.get()), (4, 4 * 172, 1, 172));
    assert_eq!((b.rx_packets.get(), b.rx_bytes.get(), b.tx_packets.get(), b.tx_bytes.get()), (1, 172, 4, 4 * 172));
    let worker = &bench.worker;
    assert_eq!((worker.rx_packets.get(), worker.tx_packets.get(), worker.rx_bytes.get()), (5, 5, 5 * 172));
}

#[test]
fn only_the_payload_number_changes_and_the_marker_stays() {
    let mut bench = Bench::connected();
    let mut packet = Vec::new();
    RtpHeader { marker: true, payload_type: 101, ..header(7) }.build(&[1, 0x0a, 0, 160], &mut packet);
    // With a contributing source, an extension and padding.
    packet.splice(12..12, [0, 0, 0, 1, 0xbe, 0xde, 0, 1, 9, 9, 9, 9]);
    packet.extend_from_slice(&[0, 0, 0, 4]);
    packet[0] |= 0x31;
    let (_, bytes) = bench.feed(A, false, A_RTP, &packet).unwrap();
    packet[1] = 0x80 | 96;
    assert_eq!(bytes, packet);
}

#[test]
fn what_was_not_agreed_is_dropped() {
    let mut bench = Bench::connected();
    let mut packet = Vec::new();
    RtpHeader { payload_type: 8, ..header(7) }.build(&[0; 160], &mut packet);
    assert_eq!(bench.feed(A, false, A_RTP, &packet), None);
    assert_eq!(bench.dropped(A, DropReason::UnknownPayload), 1);
    assert_eq!(bench.counters[0].rx_packets.get(), 1);
}

#[test]
fn a_packet_that_fills_the_buffer_may_be_cut_and_is_dropped() {
    let mut bench = Bench::connected();
    let mut packet = rtp(1);
    packet.resize(2048, 0);
    assert_eq!(bench.feed(A, false, A_RTP, &packet), None);
    assert_eq!(bench.dropped(A, DropReason::NotRtp), 1);
    packet.pop();
    assert!(bench.feed(A, false, A_RTP, &packet).is_some());
}

#[test]
fn directions_are_kept() {
    let mut bench = Bench::connected();
    bench.set_remote(A, RemoteSpec { may_send: false, relatch: false, ..remote(A_RTP) });
    assert_eq!(bench.rtp(A, A_RTP, 1), None);
    assert_eq!(bench.dropped(A, DropReason::NotSending), 1);
    assert!(bench.rtp(B, B_RTP, 1).is_some());

    bench.set_remote(A, RemoteSpec { may_receive: false, relatch: false, ..remote(A_RTP) });
    assert!(bench.rtp(A, A_RTP, 2).is_some());
    assert_eq!(bench.rtp(B, B_RTP, 2), None);
    // RTCP continues during hold.
    assert_eq!(bench.rtcp(B, B_RTCP), Some(addr(A_RTCP)));

    bench.set_remote(A, RemoteSpec { rtp: None, rtcp: None, relatch: false, ..remote(A_RTP) });
    assert_eq!(bench.rtp(B, B_RTP, 3), None);
    assert_eq!(bench.rtcp(B, B_RTCP), None);
    assert_eq!(bench.dropped(B, DropReason::NoDestination), 3);
}

#[test]
fn without_a_wire_packets_count_and_go_nowhere() {
    let mut bench = Bench::connected();
    bench.command(MediaCommand::Unwire { from: A });
    assert_eq!(bench.rtp(A, A_RTP, 1), None);
    assert_eq!(bench.rtcp(A, A_RTCP), None);
    assert_eq!(bench.dropped(A, DropReason::NoWire), 1);
    assert_eq!(bench.counters[0].rx_packets.get(), 1);
    // A wire to a missing or removed end has no effect.
    bench.wire(A, EndId(9));
    assert_eq!(bench.rtp(A, A_RTP, 2), None);
    bench.wire(A, B);
    bench.command(MediaCommand::RemoveEnd { end: B });
    assert_eq!(bench.rtp(A, A_RTP, 3), None);
    assert_eq!(bench.rtp(B, B_RTP, 3), None);
    assert_eq!(bench.dropped(A, DropReason::NoWire), 3);
}

#[test]
fn an_end_that_is_not_connected_yet_has_no_destination() {
    let mut bench = Bench::connected();
    bench.wire(A, C);
    assert_eq!(bench.rtp(A, A_RTP, 1), None);
    assert_eq!(bench.rtcp(A, A_RTCP), None);
    assert_eq!(bench.dropped(A, DropReason::NoDestination), 1);
}

#[test]
fn rtcp_passes_by_the_rtcp_sockets_as_it_came() {
    let mut bench = Bench::connected();
    bench.wait(250);
    let (transmit, bytes) = bench.feed(A, true, "192.0.2.1:50001", &rtcp()).unwrap();
    assert_eq!((transmit.via, transmit.rtcp, transmit.to), (B, true, addr(B_RTCP)));
    assert_eq!(bytes, rtcp());
    assert_eq!(bench.rtcp(B, B_RTCP), Some(addr("192.0.2.1:50001")));
    assert_eq!(bench.counters[0].rtcp_packets.get(), 1);
    assert_eq!(bench.counters[0].rx_packets.get(), 0);
}

#[test]
fn another_end_continues_the_stream_and_rtcp_about_it_ends_here() {
    let mut bench = Bench::connected();
    bench.set_remote(C, remote(C_RTP));
    bench.rtp(B, B_RTP, 500).unwrap();
    // C feeds A from now on; B is cut off.
    bench.wire(C, A);
    bench.wire(A, C);
    assert_eq!(bench.rtp(B, B_RTP, 501), None);
    bench.wait(40);
    let mut packet = Vec::new();
    RtpHeader { ssrc: 5, sequence: 9, timestamp: 77, ..header(0) }.build(b"voice", &mut packet);
    let (transmit, bytes) = bench.feed(C, false, C_RTP, &packet).unwrap();
    assert_eq!(transmit.via, A);
    let heard = RtpHeader::parse(&bytes).unwrap();
    let before = header(500);
    assert_eq!((heard.ssrc, heard.sequence, heard.timestamp), (before.ssrc, 501, before.timestamp + 320));
    assert_eq!(&bytes[12..], b"voice");
    assert_eq!(bench.rtcp(C, "198.51.100.9:8001"), None);
    assert_eq!(bench.rtcp(A, A_RTCP), None);
    assert_eq!((bench.counters[0].rtcp_packets.get(), bench.counters[2].rtcp_packets.get()), (1, 1));
    // C still receives A's own stream.
    assert_eq!(bench.feed(A, false, A_RTP, &rtp(3)).unwrap().1, rtp(3));
}

#[test]
fn loss_and_jitter_are_counted() {
    let mut bench = Bench::connected();
    for (sequence, ms) in [(10, 20), (11, 20), (14, 60), (15, 30), (16, 10)] {
        bench.rtp(A, A_RTP, sequence);
        bench.wait(ms);
    }
    assert_eq!(bench.counters[0].lost.get(), 2);
    assert!(bench.counters[0].jitter_us.get() > 1000);
    // The worker counts the packets still missing a second later, and the rest at the end.
    bench.run(1000);
    assert_eq!(bench.worker.lost.get(), 0);
    bench.rtp(A, A_RTP, 12);
    bench.run(1000);
    assert_eq!(bench.worker.lost.get(), 1);
    bench.rtp(A, A_RTP, 20);
    bench.command(MediaCommand::Close);
    assert_eq!(bench.worker.lost.get(), 4);
}

#[test]
fn jitter_knows_the_payloads_clock() {
    let mut bench = Bench::connected();
    let opus = WireSpec { payloads: vec![(111, 111)], clocks: vec![(111, 48_000)], ..WireSpec::default() };
    bench.command(MediaCommand::Wire { from: A, to: B, wire: opus });
    for n in 0..20 {
        let mut packet = Vec::new();
        RtpHeader { payload_type: 111, timestamp: u32::from(n) * 960, ..header(n) }.build(b"opus", &mut packet);
        bench.feed(A, false, A_RTP, &packet).unwrap();
        bench.wait(20);
    }
    assert_eq!((bench.counters[0].jitter_us.get(), bench.counters[0].lost.get()), (0, 0));
}

#[test]
fn silence_is_told_once_until_it_speaks_again() {
    let mut bench = Bench::connected();
    bench.set_remote(B, RemoteSpec { watch_idle: false, ..remote(B_RTP) });
    bench.events();
    let mut told = Vec::new();
    let mut turn = |bench: &mut Bench, seconds: u64| {
        bench.run(seconds * 1000);
        told.extend(bench.events().into_iter().filter(|event| !matches!(event, MediaEvent::Unheard { .. })));
        told.len()
    };
    for _ in 0..59 {
        assert_eq!(turn(&mut bench, 1), 0);
    }
    assert_eq!(turn(&mut bench, 1), 1);
    assert_eq!(turn(&mut bench, 200), 1);
    bench.rtp(A, A_RTP, 1);
    assert_eq!(turn(&mut bench, 59), 2);
    assert_eq!(turn(&mut bench, 1), 3);
    assert_eq!(told[0], MediaEvent::Idle { end: A });
    assert_eq!(told[1], MediaEvent::Latched { end: A, source: addr(A_RTP) });
    assert_eq!(told[2], MediaEvent::Idle { end: A });
}

#[test]
fn silence_is_not_watched_on_hold_or_without_a_timeout() {
    let mut bench = Bench::connected();
    for (end, rtp) in [(A, A_RTP), (B, B_RTP)] {
        bench.set_remote(end, RemoteSpec { watch_idle: false, ..remote(rtp) });
    }
    bench.run(100_000);
    assert_eq!(bench.events(), []);
    // After hold, the silence begins only now.
    bench.set_remote(A, remote(A_RTP));
    bench.run(59_000);
    let idle = |bench: &mut Bench| bench.events().iter().any(|event| matches!(event, MediaEvent::Idle { .. }));
    assert!(!idle(&mut bench));
    bench.command(MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None });
    bench.run(100_000);
    assert!(!idle(&mut bench));
}

#[test]
fn ends_are_told_closed_and_then_the_session() {
    let mut bench = Bench::connected();
    bench.command(MediaCommand::RemoveEnd { end: B });
    bench.command(MediaCommand::RemoveEnd { end: B });
    bench.command(MediaCommand::Close);
    let closed = |end: EndId| MediaEvent::EndClosed { end, port: 16_384 + end.0 * 2 };
    assert_eq!(bench.events(), [closed(B), closed(A), closed(C), MediaEvent::Closed]);
    assert_eq!(bench.session.poll_timeout(), None);
    assert_eq!(bench.session.ends().count(), 0);
}

#[test]
fn a_session_has_a_limit_of_ends_and_no_two_of_a_name() {
    let mut bench = Bench::unconnected();
    let spec = EndSpec { bind: addr("127.0.0.1:16000"), counters: Arc::new(EndCounters::default()) };
    for n in 3..SESSION_ENDS as u16 {
        bench.command(MediaCommand::AddEnd { end: EndId(n), spec: spec.clone() });
    }
    assert_eq!(bench.events(), []);
    for end in [A, EndId(99)] {
        assert!(bench.session.refuses(end).is_some());
        bench.command(MediaCommand::AddEnd { end, spec: spec.clone() });
        assert!(matches!(&bench.events()[..], [MediaEvent::BindFailed { end: refused, .. }] if *refused == end));
    }
    assert_eq!(bench.session.ends().count(), SESSION_ENDS);
}

#[test]
fn a_restored_session_goes_on_where_it_was() {
    let mut bench = Bench::connected();
    bench.set_remote(C, remote(C_RTP));
    bench.wait(250);
    bench.rtp(B, "198.51.100.1:6100", 500).unwrap();
    bench.rtcp(B, "198.51.100.1:6101").unwrap();
    bench.wire(C, A);
    bench.wire(B, C);
    bench.rtp(C, C_RTP, 9).unwrap();
    let snapshot = bench.session.snapshot();
    let text = serde_json::to_string(&snapshot).unwrap();
    let mut back = Session::restore(bench.now, serde_json::from_str(&text).unwrap());
    assert_eq!(back.snapshot(), snapshot);
    assert_eq!(back.id(), bench.session.id());
    assert!(back.poll_timeout().is_some());
    let counters = back.counters(A).unwrap().clone();
    assert_eq!((counters.tx_packets.get(), counters.latched.get()), (2, 0));
    assert_eq!(back.counters(B).unwrap().latched.get(), 1);

    std::mem::swap(&mut back, &mut bench.session);
    let mut old = Bench {
        turns: Default::default(),
        waited: bench.waited,
        session: back,
        now: bench.now,
        worker: bench.worker.clone(),
        counters: vec![],
        reports: vec![],
        queue: bench.queue.clone(),
    };
    assert_eq!(bench.feed(C, false, C_RTP, &rtp(10)), old.feed(C, false, C_RTP, &rtp(10)));
    assert_eq!(bench.rtp(B, "198.51.100.1:6100", 501), Some(addr(C_RTP)));
    assert_eq!(bench.rtp(B, "198.51.100.1:6200", 502), None, "the latch is still locked");
    // A new end is not mistaken for an earlier feeder.
    let spec = EndSpec { bind: SocketAddr::from(([127, 0, 0, 1], 17_000)), counters: Arc::default() };
    bench.command(MediaCommand::AddEnd { end: EndId(3), spec });
    let serials: Vec<u32> = bench.session.snapshot().ends.iter().map(|end| end.serial).collect();
    assert_eq!(serials, [0, 1, 2, 3]);
}
