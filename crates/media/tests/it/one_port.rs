//! Ends with more than RTP on their RTP socket: RTCP on the same port (RFC 5761), and datagrams forwarded unchanged.

use crate::support::*;
use trunkgate_media::{DropReason, EndId, MediaCommand, MediaEvent, RemoteSpec, WireSpec};

/// Returns a remote party with RTCP on the RTP port.
fn muxed(rtp: &str) -> RemoteSpec {
    RemoteSpec { rtcp: Some(addr(rtp)), rtcp_mux: true, ..remote(rtp) }
}

fn way(bench: &mut Bench, end: EndId, is_rtcp: bool, source: &str) -> Option<(EndId, bool, std::net::SocketAddr)> {
    let (transmit, bytes) = bench.feed(end, is_rtcp, source, &rtcp())?;
    assert_eq!(bytes, rtcp());
    Some((transmit.via, transmit.rtcp, transmit.to))
}

#[test]
fn where_one_side_shares_a_port_the_other_need_not() {
    let mut bench = Bench::connected();
    bench.set_remote(A, muxed(A_RTP));
    assert_eq!(way(&mut bench, A, false, A_RTP), Some((B, true, addr(B_RTCP))));
    assert_eq!(way(&mut bench, B, true, B_RTCP), Some((A, false, addr(A_RTP))));
    // B has a separate RTCP port.
    assert_eq!(way(&mut bench, B, false, B_RTP), None);
    assert_eq!(bench.dropped(B, DropReason::NotRtp), 1);
    assert_eq!(bench.rtp(A, A_RTP, 1), Some(addr(B_RTP)));
    bench.set_remote(B, muxed(B_RTP));
    assert_eq!(way(&mut bench, A, false, A_RTP), Some((B, false, addr(B_RTP))));
    assert_eq!((bench.counters[0].rx_packets.get(), bench.counters[0].rtcp_packets.get()), (1, 2));
}

#[test]
fn shared_rtcp_follows_the_latch_of_rtp_and_does_not_lock_it() {
    let mut bench = Bench::connected();
    bench.set_remote(A, muxed(A_RTP));
    bench.wait(250);
    assert!(way(&mut bench, A, false, "192.0.2.1:9").is_some());
    assert_eq!(bench.events(), []);
    assert_eq!(way(&mut bench, B, true, B_RTCP), Some((A, false, addr(A_RTP))));
    bench.rtp(A, "192.0.2.1:61000", 1).unwrap();
    assert_eq!(way(&mut bench, B, true, B_RTCP), Some((A, false, addr("192.0.2.1:61000"))));
    for other in [STRANGER, "192.0.2.1:9", A_RTP] {
        assert_eq!(way(&mut bench, A, false, other), None);
    }
    assert_eq!(bench.dropped(A, DropReason::UnexpectedSource), 3);
    assert_eq!(bench.events(), [MediaEvent::Latched { end: A, source: addr("192.0.2.1:61000") }]);
}

/// Creates A and B, between which datagrams of a fax are forwarded unchanged.
fn fax() -> Bench {
    let mut bench = Bench::connected();
    let wire = WireSpec { verbatim: true, ..WireSpec::default() };
    bench.command(MediaCommand::Wire { from: A, to: B, wire: wire.clone() });
    bench.command(MediaCommand::Wire { from: B, to: A, wire });
    bench
}

#[test]
fn fax_is_relayed_unchanged() {
    let mut bench = fax();
    // Arbitrary datagrams, RTP-like and RTCP-like ones.
    for datagram in [&[0, 1, 2, 0xff][..], &[7], &rtp(1), &rtcp(), &[0xee; 2047]] {
        let (transmit, bytes) = bench.feed(A, false, A_RTP, datagram).unwrap();
        assert_eq!((transmit.via, transmit.rtcp, transmit.to, &bytes[..]), (B, false, addr(B_RTP), datagram));
        let (transmit, bytes) = bench.feed(B, false, B_RTP, datagram).unwrap();
        assert_eq!((transmit.via, transmit.rtcp, transmit.to, &bytes[..]), (A, false, addr(A_RTP), datagram));
    }
    let counted = |n: usize| (bench.counters[n].rx_packets.get(), bench.counters[n].tx_packets.get());
    assert_eq!((counted(0), counted(1)), ((5, 5), (5, 5)));
    assert_eq!((bench.worker.rx_packets.get(), bench.worker.tx_packets.get()), (10, 10));
    // Empty, or possibly truncated: neither forwarded nor considered by the latch.
    let mut bench = fax();
    bench.wait(250);
    for datagram in [&[][..], &[0; 2048]] {
        assert_eq!(bench.feed(A, false, "192.0.2.1:61000", datagram), None);
    }
    assert_eq!((bench.dropped(A, DropReason::NotRtp), bench.events()), (2, vec![]));
    assert!(bench.feed(A, false, A_RTP, &[7]).is_some());
}

#[test]
fn fax_of_a_stranger_reaches_nobody() {
    for latched in [false, true] {
        let mut bench = fax();
        if latched {
            bench.wait(250);
            for _ in 0..60 {
                bench.feed(A, false, "192.0.2.1:61000", &[0, 0]).unwrap();
                bench.wait(20);
            }
            assert_eq!(bench.feed(B, false, B_RTP, &[0, 0]).unwrap().0.to, addr("192.0.2.1:61000"));
        }
        let sent = bench.counters[1].tx_packets.get();
        assert_eq!(bench.feed(A, false, STRANGER, &[0, 1]), None);
        assert_eq!(bench.feed(A, false, A_RTP, &[0, 1]).is_some(), !latched);
        assert_eq!(bench.dropped(A, DropReason::UnexpectedSource), 1 + u64::from(latched));
        assert_eq!(bench.counters[1].tx_packets.get(), sent + u64::from(!latched));
    }
}

#[test]
fn fax_keeps_the_directions() {
    let mut bench = fax();
    bench.set_remote(A, RemoteSpec { may_send: false, ..remote(A_RTP) });
    assert_eq!(bench.feed(A, false, A_RTP, &[1]), None);
    assert_eq!(bench.dropped(A, DropReason::NotSending), 1);
    bench.set_remote(A, RemoteSpec { may_receive: false, ..remote(A_RTP) });
    assert_eq!(bench.feed(B, false, B_RTP, &[1]), None);
    assert_eq!(bench.dropped(B, DropReason::NoDestination), 1);
    bench.command(MediaCommand::Unwire { from: A });
    assert_eq!(bench.feed(A, false, A_RTP, &rtp(1)), None);
    assert_eq!(bench.dropped(A, DropReason::NoWire), 1);
}
