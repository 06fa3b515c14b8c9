//! The rules of the latch, one by one.

use std::time::Duration;

use super::*;

pub(super) const EXACT: &str = "192.0.2.1:4000";
pub(super) const EXACT_RTCP: &str = "192.0.2.1:4001";
pub(super) const OTHER_PORT: &str = "192.0.2.1:9";
pub(super) const OTHER_ADDRESS: &str = "198.51.100.77:9";
pub(super) const STRANGER: &str = "203.0.113.1:4000";

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn remote(rtp: &str) -> RemoteSpec {
    let rtp = addr(rtp);
    RemoteSpec {
        rtp: Some(rtp),
        rtcp: Some(SocketAddr::new(rtp.ip(), rtp.port() + 1)),
        expected: vec![rtp.ip()],
        expected_networks: vec!["198.51.100.0/24".parse().unwrap()],
        may_send: true,
        may_receive: true,
        relatch: true,
        watch_idle: true,
        ..RemoteSpec::default()
    }
}

/// Latch in virtual time, with the description of the remote party.
pub(super) struct Bench {
    start: Instant,
    pub(super) remote: RemoteSpec,
    pub(super) latch: Latch,
}

impl Bench {
    /// Creates a latch opened at 0 ms, with the grace period for `remote`.
    pub(super) fn of(remote: RemoteSpec) -> Bench {
        #[expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]
        let start = Instant::now();
        let mut latch = Latch::default();
        latch.open(start, None, &remote);
        Bench { start, remote, latch }
    }

    fn new(mode: LatchMode) -> Bench {
        Bench::of(RemoteSpec { latch: mode, ..remote(EXACT) })
    }

    pub(super) fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// Returns whether an RTP packet counts.
    pub(super) fn rtp(&mut self, ms: u64, source: &str) -> bool {
        let now = self.at(ms);
        let looked_at = self.latch.accepts_rtp(now, addr(source), &self.remote);
        let taken = self.latch.take_rtp(now, addr(source), &self.remote);
        assert!(looked_at || taken == LatchOutcome::Refused);
        taken != LatchOutcome::Refused
    }

    fn rtcp(&mut self, ms: u64, source: &str) -> bool {
        let now = self.at(ms);
        let looked_at = self.latch.accepts_rtcp(now, addr(source), &self.remote);
        let taken = self.latch.take_rtcp(now, addr(source), &self.remote);
        assert!(looked_at || taken == LatchOutcome::Refused);
        taken != LatchOutcome::Refused
    }

    /// Sends one packet every 20 ms in `[from, to)`; returns the number that count.
    fn stream(&mut self, from: u64, to: u64, source: &str) -> usize {
        (from..to).step_by(20).filter(|ms| self.rtp(*ms, source)).count()
    }

    pub(super) fn locked(&self) -> [bool; 2] {
        let latch = &self.latch;
        [latch.rtp_destination(&self.remote), latch.rtcp_destination(&self.remote)].map(|way| way.unwrap().1)
    }

    pub(super) fn rest(&mut self, ms: u64) -> bool {
        let now = self.at(ms);
        self.latch.rest(now, &self.remote)
    }
}

/// Steps of each mode: time, source, whether the packet counts, and the destination of RTP afterwards.
#[test]
fn each_mode_by_its_table() {
    type Step = (u64, &'static str, bool, &'static str);
    let strict: &[Step] = &[
        (0, STRANGER, false, EXACT),
        // Another port is rejected in the grace period, and displaced by the exact source after it.
        (249, OTHER_PORT, false, EXACT),
        (250, OTHER_PORT, true, OTHER_PORT),
        (251, OTHER_ADDRESS, false, OTHER_PORT),
        (252, EXACT, true, EXACT),
        (253, OTHER_PORT, false, EXACT),
        (60_000, STRANGER, false, EXACT),
        (60_000, EXACT, true, EXACT),
    ];
    let relearn: &[Step] = &[
        (0, STRANGER, false, EXACT),
        (249, OTHER_PORT, false, EXACT),
        (250, OTHER_PORT, true, OTHER_PORT),
        (252, EXACT, true, EXACT),
        (3_251, OTHER_ADDRESS, false, EXACT),
        // A single packet never takes over a silent winner, from any address.
        (3_252, OTHER_ADDRESS, false, EXACT),
        (3_253, OTHER_PORT, false, EXACT),
        (3_254, STRANGER, false, EXACT),
        (3_255, EXACT, true, EXACT),
    ];
    let off: &[Step] = &[
        (0, OTHER_PORT, false, EXACT),
        (0, OTHER_ADDRESS, false, EXACT),
        (0, STRANGER, false, EXACT),
        (0, EXACT, true, EXACT),
        (60_000, OTHER_PORT, false, EXACT),
        (60_000, EXACT, true, EXACT),
    ];
    for (mode, steps) in [(LatchMode::Strict, strict), (LatchMode::Relearn, relearn), (LatchMode::Off, off)] {
        let mut bench = Bench::new(mode);
        for (at, (ms, source, counts, goes_to)) in steps.iter().enumerate() {
            assert_eq!(bench.rtp(*ms, source), *counts, "{mode:?} {at}");
            let destination = bench.latch.rtp_destination(&bench.remote).map(|(to, _)| to);
            assert_eq!(destination, Some(addr(goes_to)), "{mode:?} {at}");
        }
        assert!(bench.locked()[0], "{mode:?}");
    }
}

#[test]
fn any_port_of_an_expected_address_wins_after_the_grace_period() {
    for source in [OTHER_PORT, OTHER_ADDRESS] {
        let mut bench = Bench::new(LatchMode::Strict);
        assert!(!bench.rtp(249, source));
        assert!(bench.latch.waits_for_another(addr(source), &bench.remote));
        assert!(bench.rtp(250, source));
        assert_eq!(bench.latch.rtp_destination(&bench.remote), Some((addr(source), false)));
    }
    assert!(!Bench::new(LatchMode::Strict).rtp(60_000, "192.0.2.2:4000"));
}

/// Cases: announced address, the other expected address, whether another port wins at once.
#[test]
fn a_private_address_beside_the_one_of_signalling_is_not_waited_for() {
    let table = [
        ("10.0.0.9:4000", Some("192.0.2.1"), true),
        ("100.64.0.9:4000", Some("192.0.2.1"), true),
        ("[fd00::9]:4000", Some("2001:db8::1"), true),
        ("127.0.0.9:4000", Some("127.0.0.1"), true),
        // No NAT within one network.
        ("10.0.0.9:4000", None, false),
        ("192.0.2.1:4000", Some("192.0.2.2"), false),
        ("[2001:db8::9]:4000", Some("2001:db8::1"), false),
    ];
    for (announced, signalling, at_once) in table {
        let expected: Vec<IpAddr> =
            [Some(addr(announced).ip()), signalling.map(|ip| ip.parse().unwrap())].into_iter().flatten().collect();
        let source = SocketAddr::new(*expected.last().unwrap(), 61_000).to_string();
        let mut bench = Bench::of(RemoteSpec { expected, ..remote(announced) });
        assert_eq!(bench.rtp(0, &source), at_once, "{announced} {signalling:?}");
    }
}

#[test]
fn an_attacker_that_sends_first_is_displaced_by_the_first_packet_of_the_exact_source() {
    for mode in [LatchMode::Strict, LatchMode::Relearn] {
        // Neither a burst nor occasional packets settle.
        let mut bench = Bench::new(mode);
        for _ in 0..1000 {
            bench.rtp(300, OTHER_PORT);
        }
        assert!(bench.rtp(301, EXACT) && !bench.rtp(302, OTHER_PORT), "{mode:?}");
        let mut bench = Bench::new(mode);
        for n in 0..49 {
            assert!(bench.rtp(300 + n * 400, OTHER_PORT));
        }
        assert!(bench.rtp(20_000, EXACT) && !bench.rtp(20_001, OTHER_PORT), "{mode:?}");
    }
}

/// Remote party behind NAT: a private announced address, and the signalling address expected next to it.
pub(super) const PRIVATE: &str = "10.0.0.9:4000";

pub(super) fn behind_nat(mode: LatchMode) -> Bench {
    let expected = vec!["10.0.0.9".parse().unwrap(), "192.0.2.1".parse().unwrap()];
    Bench::of(RemoteSpec { latch: mode, expected, ..remote(PRIVATE) })
}

#[test]
fn a_settled_winner_that_continues_is_displaced_by_nothing_until_the_next_description() {
    let mut bench = behind_nat(LatchMode::Strict);
    assert_eq!(bench.stream(300, 1300, OTHER_PORT), 50);
    assert!(!bench.locked()[0]);
    assert!(bench.rtp(1300, OTHER_PORT) && bench.locked()[0]);
    for ms in (1320..10_000).step_by(20) {
        assert!(bench.rtp(ms, OTHER_PORT));
        assert!(!bench.rtp(ms + 1, PRIVATE) && !bench.rtp(ms + 2, OTHER_ADDRESS) && !bench.rtp(ms + 3, STRANGER));
    }
    // The answer gives a new chance to the exact source only.
    bench.latch.describe(bench.at(10_000), &bench.remote);
    assert!(!bench.locked()[0]);
    assert!(!bench.rtp(10_000, OTHER_ADDRESS));
    assert!(bench.rtp(10_001, PRIVATE));
    assert_eq!(bench.stream(10_020, 12_000, OTHER_PORT), 0);
}

#[test]
fn where_no_nat_hides_it_a_run_of_the_exact_source_displaces_a_winner_that_continues() {
    let mut bench = Bench::new(LatchMode::Strict);
    assert_eq!(bench.stream(300, 9_000, OTHER_PORT), 435);
    assert!(!bench.locked()[0], "tied, the exact source could not be heard");
    // Neither a single packet nor occasional ones suffice.
    for ms in (9_000..12_000).step_by(500) {
        assert!(bench.rtp(ms, OTHER_PORT) && !bench.rtp(ms + 1, EXACT));
    }
    let first = (12_600..14_000).step_by(20).find(|ms| {
        bench.rtp(*ms, OTHER_PORT);
        bench.rtp(ms + 1, EXACT)
    });
    assert_eq!(first, Some(12_780));
    assert_eq!(bench.stream(12_800, 14_000, OTHER_PORT), 0);
}

#[test]
fn packets_now_and_then_never_settle() {
    for gap in [125, 400, 2000, 9000] {
        let mut bench = Bench::new(LatchMode::Strict);
        for n in 0..1000 {
            assert!(bench.rtp(300 + n * gap, OTHER_PORT));
        }
        assert!(bench.rtp(301 + 999 * gap, EXACT), "every {gap} ms");
    }
    // A stream of packets of 60 or 100 ms suffices.
    for gap in [60, 100] {
        let mut bench = behind_nat(LatchMode::Strict);
        for n in 0..50 {
            assert!(bench.rtp(gap * n, OTHER_PORT));
        }
        assert!(bench.locked()[0]);
    }
}

#[test]
fn a_stream_displaces_a_source_that_came_first_and_sends_now_and_then() {
    for gap in [130, 400, 2000] {
        let mut bench = behind_nat(LatchMode::Strict);
        for n in 0..20 {
            bench.rtp(n * gap, "192.0.2.1:666");
        }
        let start = 20 * gap;
        let first = (start..start + 2000).step_by(20).find(|ms| {
            if ms % gap < 20 {
                bench.rtp(*ms, "192.0.2.1:666");
            }
            bench.rtp(ms + 1, OTHER_PORT)
        });
        assert!(first.is_some_and(|ms| ms <= start + 1020), "every {gap} ms: {first:?}");
        assert!(!bench.rtp(first.unwrap() + 2, "192.0.2.1:666"));
    }
}

#[test]
fn several_sources_that_send_now_and_then_keep_no_stream_out() {
    for gap in [130, 400] {
        let mut bench = behind_nat(LatchMode::Strict);
        let attack = |bench: &mut Bench, ms: u64| {
            for port in 0..3 {
                if (ms + 40 * port) % gap < 20 {
                    bench.rtp(ms, &format!("192.0.2.1:{}", 666 + port));
                }
            }
        };
        for ms in (0..2000).step_by(20) {
            attack(&mut bench, ms);
        }
        let first = (2000..6000).step_by(20).find(|ms| {
            attack(&mut bench, *ms);
            bench.rtp(ms + 1, OTHER_PORT)
        });
        assert!(first.is_some_and(|ms| ms <= 4500), "every {gap} ms: {first:?}");
        assert_eq!(bench.stream(6000, 8000, OTHER_PORT), 100);
    }
}

#[test]
fn a_new_version_of_the_same_address_takes_nothing_from_a_silent_party() {
    let renegotiated = |bench: &mut Bench, ms, may_send| {
        let after = RemoteSpec { may_send, ..bench.remote.clone() };
        let opened = bench.latch.open(bench.at(ms), Some(&bench.remote), &after);
        bench.remote = after;
        opened
    };
    for (mode, may_send) in [(LatchMode::Strict, false), (LatchMode::Strict, true), (LatchMode::Relearn, false)] {
        let mut bench = Bench::new(mode);
        bench.stream(0, 2000, EXACT);
        assert!(!renegotiated(&mut bench, 2000, may_send));
        assert!(!bench.rtp(4000, OTHER_PORT));
        assert_eq!(bench.stream(5000, 17_000, OTHER_PORT), 0, "{mode:?}");
        assert!(bench.rtp(17_000, EXACT));
    }
    // Behind NAT another source may be the same party; the first established one returns.
    let mut bench = behind_nat(LatchMode::Strict);
    bench.stream(0, 2000, OTHER_PORT);
    assert!(renegotiated(&mut bench, 2000, true));
    assert!(bench.rtp(2500, "192.0.2.1:666") && bench.rtp(2900, "192.0.2.1:666"));
    assert!(bench.rtp(2901, OTHER_PORT) && !bench.rtp(2902, "192.0.2.1:666"));
}

#[test]
fn the_first_that_settled_returns_with_one_packet() {
    let mut bench = behind_nat(LatchMode::Relearn);
    assert_eq!(bench.stream(0, 2000, OTHER_PORT), 100);
    // The exact source is muted long enough for another source on its address to take over and settle.
    assert!(bench.stream(2000, 20_000, "192.0.2.1:666") > 700);
    assert!(!bench.locked()[0], "tied, the first one could not return");
    assert!(bench.rtp(20_001, OTHER_PORT) && !bench.rtp(20_002, "192.0.2.1:666"));
    assert!(bench.locked()[0] || bench.stream(20_020, 22_000, OTHER_PORT) == 99 && bench.locked()[0]);
    // A takeover from the exact source is not possible.
    bench.latch.describe(bench.at(22_000), &bench.remote);
    assert!(bench.rtp(22_001, PRIVATE) && !bench.rtp(22_002, OTHER_PORT));
}

#[test]
fn a_winner_that_stops_loses_to_the_exact_source_sooner_than_to_others() {
    for (mode, others_after) in [(LatchMode::Strict, 10_000), (LatchMode::Relearn, 3000)] {
        let mut bench = Bench::new(mode);
        bench.stream(300, 1320, OTHER_PORT);
        let stopped = 1300;
        let mut exact = Bench { latch: bench.latch.clone(), remote: bench.remote.clone(), ..bench };
        assert!(!exact.rtp(stopped + 1999, EXACT), "{mode:?}");
        assert!(exact.rtp(stopped + 2000, EXACT), "{mode:?}");
        let first = (stopped..stopped + 20_000).step_by(20).find(|ms| bench.rtp(*ms, OTHER_ADDRESS));
        assert_eq!(first, Some(stopped + others_after), "{mode:?}");
    }
}

#[test]
fn one_packet_of_an_attacker_behind_the_same_nat_costs_a_second_not_the_call() {
    let expected = vec!["10.0.0.9".parse().unwrap(), "192.0.2.1".parse().unwrap()];
    let mut bench = Bench::of(RemoteSpec { expected, ..remote("10.0.0.9:4000") });
    assert!(bench.rtp(0, "192.0.2.1:666"));
    let first = (1..5000).step_by(20).find(|ms| bench.rtp(*ms, "192.0.2.1:61000"));
    assert!(first.is_some_and(|ms| ms < 1000), "{first:?}");
    assert!(!bench.rtp(first.unwrap() + 1, "192.0.2.1:666"));
}

#[test]
fn no_burst_at_a_silence_steals_and_the_exact_source_returns_with_one_packet() {
    let mut bench = Bench::new(LatchMode::Relearn);
    bench.stream(0, 2000, EXACT);
    for _ in 0..1000 {
        assert!(!bench.rtp(6000, OTHER_PORT));
    }
    // A run that the winner interrupts counts for nothing.
    assert!(bench.rtp(6100, EXACT));
    assert_eq!(bench.stream(6120, 9080, OTHER_PORT), 0);
    assert!(bench.rtp(9100, OTHER_PORT));
    // The contender may have settled meanwhile.
    assert_eq!(bench.stream(9120, 19_120, OTHER_PORT), 500);
    assert!(!bench.locked()[0], "tied, the exact source could not return");
    assert!(bench.rtp(19_121, EXACT) && !bench.rtp(19_122, OTHER_PORT));
}

#[test]
fn a_muted_phone_keeps_its_latch() {
    let mut bench = Bench::new(LatchMode::Strict);
    bench.stream(0, 2000, EXACT);
    assert!(!bench.rest(60_000) && bench.locked()[0]);
    assert_eq!(bench.stream(60_000, 90_000, OTHER_PORT), 0);
    // Behind NAT: on hold, before the answer and in a fax.
    for quiet in [RemoteSpec { may_send: false, ..remote(EXACT) }, RemoteSpec { watch_idle: false, ..remote(EXACT) }] {
        let mut bench = Bench::new(LatchMode::Strict);
        bench.stream(300, 2000, OTHER_PORT);
        bench.remote = quiet;
        bench.latch.describe(bench.at(2000), &bench.remote);
        assert_eq!(bench.stream(60_000, 90_000, OTHER_ADDRESS), 0);
        assert!(bench.rtp(90_000, OTHER_PORT));
        // The silence restarts when the remote party has to send again.
        bench.remote = remote(EXACT);
        bench.latch.describe(bench.at(100_000), &bench.remote);
        assert_eq!(bench.stream(100_000, 109_999, OTHER_ADDRESS), 0);
    }
}

#[test]
fn a_contender_that_pauses_makes_room() {
    let mut bench = Bench::new(LatchMode::Relearn);
    bench.stream(0, 2000, EXACT);
    assert!(!bench.rtp(6000, OTHER_PORT) && !bench.rtp(6020, OTHER_PORT));
    // The packet decrements the count of the other source.
    assert!(!bench.rtp(6100, OTHER_ADDRESS));
    assert_eq!(bench.stream(6520, 6700, OTHER_ADDRESS), 0);
    assert!(bench.rtp(6700, OTHER_ADDRESS));
}

#[test]
fn rtcp_has_a_latch_of_its_own() {
    let mut bench = Bench::new(LatchMode::Strict);
    assert!(!bench.rtcp(0, STRANGER) && !bench.rtcp(0, "192.0.2.1:10"));
    // A remote party outside of the expected addresses is rejected; RTCP from the RTP source is expected.
    bench.rtp(300, OTHER_ADDRESS);
    assert!(bench.rtcp(300, "198.51.100.77:10"));
    assert_eq!(bench.latch.rtcp_destination(&bench.remote), Some((addr("198.51.100.77:10"), false)));
    assert!(!bench.rtcp(301, "198.51.100.77:11"));
    assert!(bench.rtcp(302, EXACT_RTCP));
    assert_eq!(bench.latch.rtcp_destination(&bench.remote), Some((addr(EXACT_RTCP), true)));
    assert!(!bench.rtcp(303, "198.51.100.77:10"));
}

#[test]
fn an_rtcp_winner_settles_and_yields_slowly() {
    let other = "192.0.2.1:10";
    let mut bench = Bench::new(LatchMode::Strict);
    for n in 0..5 {
        assert!(bench.rtcp(300 + n * 5000, other));
    }
    // Without NAT, the second packet of the exact source takes over.
    assert!(!bench.locked()[1] && !bench.rtcp(20_400, EXACT_RTCP) && bench.rtcp(25_400, EXACT_RTCP));
    let (other, exact) = ("192.0.2.1:10", "10.0.0.9:4001");
    let mut bench = behind_nat(LatchMode::Strict);
    for n in 0..5 {
        assert!(bench.rtcp(300 + n * 5000, other));
    }
    assert!(bench.locked()[1] && !bench.rtcp(20_400, exact) && !bench.rtcp(25_400, exact));
    assert!(!bench.rest(49_299) && bench.rest(49_300) && !bench.locked()[1]);
    assert!(!bench.rtcp(50_299, exact) && bench.rtcp(50_300, exact));
    let mut bench = Bench::new(LatchMode::Strict);
    assert!(bench.rtcp(300, other));
    assert!(!bench.rtcp(30_300, "192.0.2.1:20") && bench.rtcp(35_300, "192.0.2.1:20"));
}

#[test]
fn a_new_rtp_source_brings_its_own_rtcp() {
    let mut bench = Bench::new(LatchMode::Relearn);
    bench.rtp(300, OTHER_PORT);
    bench.rtcp(300, "192.0.2.1:10");
    assert!(!bench.rtcp(301, "192.0.2.1:21"));
    bench.stream(400, 2000, "192.0.2.1:20");
    assert_eq!(bench.latch.rtp(), Some(addr("192.0.2.1:20")));
    assert_eq!(bench.latch.rtcp_destination(&bench.remote), Some((addr(EXACT_RTCP), false)));
    assert!(bench.rtcp(2000, "192.0.2.1:21"));
}

#[test]
fn stragglers_from_the_former_address_do_not_win() {
    let mut bench = Bench::new(LatchMode::Strict);
    bench.rtp(0, EXACT);
    let after = remote("192.0.2.1:5000");
    bench.latch.open(bench.at(1000), Some(&bench.remote), &after);
    bench.remote = after;
    assert!(bench.rtp(1000, EXACT) && bench.rtp(1999, EXACT));
    assert_eq!(bench.latch.rtp(), None);
    assert!(!bench.rtp(1249, OTHER_PORT), "the grace period begins again");
    let mut moved = Bench { latch: bench.latch.clone(), remote: bench.remote.clone(), ..bench };
    assert!(moved.rtp(1100, "192.0.2.1:5000") && !moved.rtp(1101, EXACT));
    assert!(bench.rtp(2000, EXACT));
    assert_eq!(bench.latch.rtp(), Some(addr(EXACT)));
}

#[test]
fn a_source_behind_nat_is_heard_all_through_a_renegotiation() {
    let mut bench = Bench::new(LatchMode::Strict);
    assert!(bench.rtp(300, "192.0.2.1:61000"));
    let after = remote("192.0.2.1:5000");
    bench.latch.open(bench.at(1000), Some(&bench.remote), &after);
    bench.remote = after;
    assert!(!bench.rtp(1000, "192.0.2.1:62000"));
    assert!(bench.rtp(1000, "192.0.2.1:61000") && bench.latch.rtp().is_none());
    assert!(bench.rtp(1250, "192.0.2.1:61000") && bench.latch.rtp().is_some());
    // A description with the same address has no grace period.
    bench.latch.open(bench.at(2000), Some(&bench.remote), &bench.remote);
    assert!(bench.rtp(2000, "192.0.2.1:62000"));
}

#[test]
fn mapped_addresses_are_ipv4() {
    assert_eq!(canonical(addr("[::ffff:192.0.2.1]:7")), addr("192.0.2.1:7"));
    assert_eq!(canonical(addr("[2001:db8::1]:7")), addr("[2001:db8::1]:7"));
    assert_eq!(canonical(addr("192.0.2.1:7")), addr("192.0.2.1:7"));
    let labelled = SocketAddrV6::new("fe80::1".parse().unwrap(), 7, 9, 3);
    assert_eq!(canonical(labelled.into()), addr("[fe80::1%3]:7"));
}

#[test]
fn hold_by_no_address_sends_nothing() {
    let mut bench = Bench::new(LatchMode::Strict);
    assert!(bench.rtp(0, EXACT) && bench.rtcp(0, EXACT_RTCP));
    (bench.remote.rtp, bench.remote.rtcp) = (None, None);
    assert_eq!(bench.latch.rtp_destination(&bench.remote), None);
    assert_eq!(bench.latch.rtcp_destination(&bench.remote), None);
}

#[test]
fn a_winner_that_may_be_replaced_is_locked_while_it_speaks() {
    let mut bench = Bench::new(LatchMode::Relearn);
    assert_eq!((bench.locked(), bench.rest(0)), ([false; 2], false));
    bench.rtp(0, EXACT);
    assert_eq!(bench.locked(), [true, false]);
    bench.rtcp(0, EXACT_RTCP);
    assert_eq!((bench.rest(1999), bench.locked()), (false, [true; 2]));
    // Other sources are let in before they count, once.
    assert!(bench.rest(2000) && !bench.rest(2000));
    assert_eq!(bench.locked(), [false, true]);
    assert!(!bench.rtp(2999, OTHER_PORT));
    bench.rtp(2999, EXACT);
    assert_eq!(bench.locked(), [true; 2]);
    // If the exact source may come, others are let in sooner.
    let mut bench = behind_nat(LatchMode::Strict);
    bench.stream(300, 1320, OTHER_PORT);
    assert!(bench.locked()[0] && !bench.rest(2299) && bench.rest(2300) && !bench.locked()[0]);
}

#[test]
fn off_takes_rtcp_from_where_it_was_described_only() {
    let mut bench = Bench::new(LatchMode::Off);
    assert!(bench.rtp(0, EXACT) && bench.rtcp(0, EXACT_RTCP));
    assert!(!bench.rtcp(0, "192.0.2.1:4002"));
    assert!(bench.locked() == [true; 2] && !bench.rest(90_000));
}

#[test]
fn a_restart_is_no_silence_and_keeps_what_was_known() {
    let restored = |bench: &Bench, ms| {
        let sources = [bench.latch.rtp(), bench.latch.rtcp()];
        let latch = Latch::restored(bench.at(ms), sources, bench.latch.known(), Some(&bench.remote));
        Bench { latch, remote: bench.remote.clone(), start: bench.start }
    };
    // A settled winner other than the exact source: only the exact source gets a new chance.
    let mut bench = Bench::new(LatchMode::Strict);
    bench.stream(300, 2000, OTHER_PORT);
    let mut back = restored(&bench, 5000);
    assert!(!back.rtp(5000, OTHER_ADDRESS) && back.rtp(5001, OTHER_PORT));
    assert_eq!(back.stream(5020, 14_000, OTHER_ADDRESS), 0);
    assert!(restored(&bench, 5000).rtp(5000, EXACT));
    // The exact source can return after the restart too.
    let mut bench = Bench::new(LatchMode::Relearn);
    bench.rtp(0, EXACT);
    bench.stream(3000, 5000, OTHER_PORT);
    assert_eq!(bench.latch.rtp(), Some(addr(OTHER_PORT)));
    let mut back = restored(&bench, 5000);
    back.stream(5000, 9000, OTHER_PORT);
    assert!(!back.locked()[0] && back.rtp(9000, EXACT));
    // Without a winner the grace period begins again.
    let mut back = restored(&Bench::new(LatchMode::Strict), 5000);
    assert!(!back.rtp(5249, OTHER_PORT) && back.rtp(5250, OTHER_PORT));
}
