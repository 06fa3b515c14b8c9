//! Attacks on RTP: bleed (an unknown source redirects a call's media to itself) and inject (packets of an unknown
//! source reach a remote party), on both sides, before and after the latch, by RTP and RTCP. In no case is a packet
//! forwarded. Classes: AST-2017-005, CVE-2017-14099, CVE-2017-14114, CVE-2025-53399.

use crate::support::*;
use proptest::prelude::*;
use trunkgate_media::{DropReason, MediaEvent, RemoteSpec};

/// For each side: the end, its RTP and RTCP addresses, the opposite end, and that end's RTP and RTCP addresses.
const SIDES: [(trunkgate_media::EndId, [&str; 2], trunkgate_media::EndId, [&str; 2]); 2] =
    [(A, [A_RTP, A_RTCP], B, [B_RTP, B_RTCP]), (B, [B_RTP, B_RTCP], A, [A_RTP, A_RTCP])];

#[test]
fn nothing_of_a_stranger_reaches_anybody() {
    for (end, own, other, far) in SIDES {
        for latched in [false, true] {
            let mut bench = Bench::connected();
            if latched {
                bench.rtp(end, own[0], 1).unwrap();
                bench.rtcp(end, own[1]).unwrap();
                bench.rtp(other, far[0], 1).unwrap();
                bench.rtcp(other, far[1]).unwrap();
            }
            bench.events();
            for n in 0..1000 {
                assert_eq!(bench.rtp(end, STRANGER, n), None, "inject, latched: {latched}");
                assert_eq!(bench.rtcp(end, STRANGER), None, "inject, latched: {latched}");
            }
            assert_eq!(bench.dropped(end, DropReason::UnexpectedSource), 2000);
            assert_eq!(bench.counters[usize::from(other.0)].tx_packets.get(), u64::from(latched));
            assert_eq!(bench.events(), []);
        }
    }
}

#[test]
fn nothing_is_drawn_to_a_stranger() {
    for (end, own, other, far) in SIDES {
        for latched in [false, true] {
            let mut bench = Bench::connected();
            if latched {
                bench.rtp(end, own[0], 1).unwrap();
                bench.rtcp(end, own[1]).unwrap();
            }
            for n in 0..100 {
                bench.rtp(end, STRANGER, n);
                bench.rtcp(end, STRANGER);
                assert_eq!(bench.rtp(other, far[0], n), Some(addr(own[0])), "bleed, latched: {latched}");
                assert_eq!(bench.rtcp(other, far[1]), Some(addr(own[1])), "bleed, latched: {latched}");
            }
        }
    }
}

#[test]
fn a_stranger_that_is_first_wins_nothing() {
    let mut bench = Bench::unconnected();
    // Before the remote party is known.
    assert_eq!(bench.rtp(A, STRANGER, 1), None);
    assert_eq!(bench.rtp(A, A_RTP, 1), None);
    assert_eq!(bench.dropped(A, DropReason::UnexpectedSource), 2);
    bench.set_remote(A, remote(A_RTP));
    bench.set_remote(B, remote(B_RTP));
    bench.wire(A, B);
    assert_eq!(bench.rtp(A, STRANGER, 2), None);
    assert_eq!(bench.rtp(A, A_RTP, 2), Some(addr(B_RTP)));
    assert_eq!(bench.events(), [MediaEvent::Latched { end: A, source: addr(A_RTP) }]);
}

#[test]
fn relayed_rtcp_tells_nobody_s_name_or_address() {
    let mut bench = Bench::connected();
    let mut compound = rtcp();
    compound.extend([0x81, 202, 0, 6, 0, 0, 0, 7, 1, 14]);
    compound.extend(b"alice@10.0.0.5\0\0\0\0");
    let (_, passed) = bench.feed(A, true, A_RTCP, &compound).unwrap();
    assert_eq!((passed.len(), &passed[..18]), (compound.len(), &compound[..18]));
    assert!(!passed.windows(4).any(|four| four == b"10.0" || four == b"alic"), "{passed:?}");
    compound[17] = 90;
    assert_eq!(bench.feed(A, true, A_RTCP, &compound), None, "a text that does not fit");
}

/// A source with the announced address but another port is rejected at first, then accepted until a packet comes from
/// the announced port. The choice is final only after a second.
#[test]
fn another_port_of_the_address_never_takes_the_call() {
    let other = "192.0.2.1:61000";
    let mut bench = Bench::connected();
    assert_eq!(bench.rtp(A, other, 1), None);
    assert_eq!(bench.rtcp(A, other), None);
    assert_eq!(bench.dropped(A, DropReason::UnexpectedSource), 2);
    assert_eq!(bench.rtp(B, B_RTP, 1), Some(addr(A_RTP)));
    bench.wait(250);
    // No packet came from the announced port, so a NAT may have changed it.
    assert!(bench.rtp(A, other, 2).is_some() && bench.rtcp(A, other).is_some());
    assert_eq!(bench.rtp(B, B_RTP, 2), Some(addr(other)));
    for n in 3..100 {
        assert!(bench.rtp(A, other, n).is_some());
    }
    assert!(bench.rtp(A, A_RTP, 100).is_some() && bench.rtcp(A, A_RTCP).is_some());
    assert_eq!(bench.rtp(A, other, 101), None);
    assert_eq!(bench.rtcp(A, other), None);
    assert_eq!(bench.rtp(B, B_RTP, 3), Some(addr(A_RTP)));
    assert_eq!(bench.counters[0].latched.get(), 1);
    let latched = |source| MediaEvent::Latched { end: A, source: addr(source) };
    let of_a = |event: &MediaEvent| matches!(event, MediaEvent::Latched { end: A, .. });
    let events: Vec<MediaEvent> = bench.events().into_iter().filter(of_a).collect();
    assert_eq!(events, [latched(other), latched(A_RTP)]);
}

#[test]
fn a_source_behind_nat_is_tied_to_once_it_has_settled() {
    let (other, private) = ("192.0.2.1:61000", "10.0.0.9:4000");
    let expected = ["10.0.0.9", "192.0.2.1"].map(|ip| ip.parse().unwrap()).to_vec();
    let behind_nat = RemoteSpec { expected, ..remote(private) };
    let mut bench = Bench::connected();
    bench.set_remote(A, behind_nat.clone());
    for n in 0..100 {
        assert!(bench.rtp(A, other, n).is_some());
        let (transmit, _) = bench.feed(B, false, B_RTP, &rtp(n)).unwrap();
        assert_eq!((transmit.to, transmit.locked), (addr(other), n >= 50), "{n}");
        bench.wait(20);
    }
    assert_eq!(bench.rtp(A, private, 100), None);
    // A description, such as an answer, gives the announced port a new chance.
    bench.set_remote(A, RemoteSpec { relatch: false, ..behind_nat });
    assert!(!bench.feed(B, false, B_RTP, &rtp(100)).unwrap().0.locked);
    assert!(bench.rtp(A, private, 101).is_some());
}

#[test]
fn a_renegotiation_opens_the_latch_only_with_a_new_version() {
    let mut bench = Bench::connected();
    bench.wait(250);
    bench.rtp(A, "192.0.2.1:61000", 1);
    bench.set_remote(A, RemoteSpec { relatch: false, ..remote(A_RTP) });
    assert_eq!(bench.rtp(A, "192.0.2.1:62000", 2), None);
    bench.set_remote(A, remote(A_RTP));
    assert_eq!(bench.counters[0].latched.get(), 0);
    assert_eq!(bench.rtp(A, STRANGER, 3), None);
    assert!(bench.rtp(A, "192.0.2.1:62000", 4).is_some());
    assert_eq!(bench.rtp(A, "192.0.2.1:61000", 5), None);
    let latched = |port| MediaEvent::Latched { end: A, source: addr(&format!("192.0.2.1:{port}")) };
    assert_eq!(bench.events(), [latched(61000), latched(62000)]);
}

#[test]
fn garbage_from_an_expected_address_locks_nothing() {
    let mut bench = Bench::connected();
    bench.wait(250);
    for garbage in [&b""[..], b"x", &[0x80; 11], &[0; 40], &rtcp()] {
        assert_eq!(bench.feed(A, false, "192.0.2.1:1", garbage), None);
    }
    assert_eq!(bench.feed(A, true, "192.0.2.1:1", &rtp(1)), None);
    assert_eq!(bench.dropped(A, DropReason::NotRtp), 6);
    assert_eq!(bench.events(), []);
    assert!(bench.rtp(A, A_RTP, 1).is_some());
    assert!(bench.rtcp(A, A_RTCP).is_some());
}

#[test]
fn further_networks_are_expected_and_mapped_addresses_are_the_same() {
    let mut bench = Bench::connected();
    let network = vec!["203.0.113.0/28".parse().unwrap()];
    bench.set_remote(A, RemoteSpec { expected_networks: network, ..remote(A_RTP) });
    bench.wait(250);
    assert_eq!(bench.rtp(A, STRANGER, 1), None);
    assert!(bench.rtp(A, "[::ffff:203.0.113.5]:9", 1).is_some());
    assert_eq!(bench.rtp(B, B_RTP, 1), Some(addr("203.0.113.5:9")));
}

proptest! {
    #[test]
    fn packets_leave_only_for_agreed_or_latched_addresses(
        steps in proptest::collection::vec((0u16..2, any::<bool>(), 0usize..7, any::<bool>()), 1..200),
    ) {
        let sources = [A_RTP, A_RTCP, B_RTP, B_RTCP, STRANGER, "192.0.2.1:9", "198.51.100.1:9"];
        let mut bench = Bench::connected();
        for (n, (end, is_rtcp, source, reopen)) in steps.into_iter().enumerate() {
            let end = trunkgate_media::EndId(end);
            if reopen {
                bench.set_remote(end, remote(if end == A { A_RTP } else { B_RTP }));
            }
            let bytes = if is_rtcp { rtcp() } else { rtp(n as u16) };
            if let Some((transmit, _)) = bench.feed(end, is_rtcp, sources[source], &bytes) {
                let ip = addr(if transmit.via == A { A_RTP } else { B_RTP }).ip();
                prop_assert_eq!(transmit.to.ip(), ip);
                prop_assert_ne!(sources[source], STRANGER);
            }
        }
    }
}
