//! RTCP of the edge's own making, and what is learned from that of others.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use crate::support::*;
use rtcp_types::{Packet, ReceiverReport, ReportBlock, RtcpPacketWriterExt as _, SenderReport};
use trunkgate_media::rtp::Rtp;
use trunkgate_media::{Command, EndId, Epoch, RemoteSpec, Sound};

const PLAYER: EndId = EndId(9);
/// 2026-11-20 11:00:00 UTC.
const DATE: u64 = 1_795_172_400;

/// A with a player's tone in its ear, B with nobody.
fn listening(key: u8) -> Bench {
    let mut bench = Bench::unconnected();
    bench.session.date_by(Epoch::new(bench.now, Duration::from_secs(DATE)));
    bench.command(Command::Open { idle_timeout_ms: 0, names_key: [key; 16], beside: None });
    bench.set_remote(A, remote(A_RTP));
    bench.command(Command::AddPlayer { end: PLAYER, sound: Sound::Ringback });
    bench.command(Command::Wire { from: PLAYER, to: A, wire: ULAW.spec() });
    bench
}

fn parsed(made: &Made) -> Vec<Packet<'_>> {
    rtcp_types::Compound::parse(&made.bytes).unwrap().map(Result::unwrap).collect()
}

fn sender_report(made: &Made) -> SenderReport<'_> {
    let Packet::Sr(report) = parsed(made).swap_remove(0) else { panic!("{made:?}") };
    report
}

/// A receiver report about a source: it names a sender report, and how long ago that came.
fn answer(about: u32, named: u64, waited: Duration, lost: u32, jitter: u32) -> Vec<u8> {
    let block = ReportBlock::builder(about)
        .cumulative_lost(lost)
        .interarrival_jitter(jitter)
        .last_sender_report_timestamp((named >> 16) as u32)
        .delay_since_last_sender_report_timestamp((waited.as_secs_f64() * 65_536.0) as u32);
    let mut bytes = [0; 64];
    let len = ReceiverReport::builder(99).add_report_block(block).write_into(&mut bytes).unwrap();
    bytes[..len].to_vec()
}

fn report(ssrc: u32, ntp: u64) -> Vec<u8> {
    let mut bytes = [0; 64];
    let len = SenderReport::builder(ssrc).ntp_timestamp(ntp).write_into(&mut bytes).unwrap();
    bytes[..len].to_vec()
}

#[test]
fn rfc3550_6_4_1_who_is_fed_by_the_edge_gets_sender_reports() {
    let mut bench = listening(1);
    let start = bench.now;
    let made = bench.run(60_000);
    let source = made[0].rtp().ssrc;
    assert!((8..=16).contains(&bench.reports.len()), "{}", bench.reports.len());
    for told in &bench.reports {
        assert_eq!((told.transmit.via, told.transmit.to, told.transmit.rtcp), (A, addr(A_RTCP), true));
        let (report, since) = (sender_report(told), told.at - start);
        assert_eq!(report.ssrc(), source);
        assert_eq!(report.ntp_timestamp() >> 32, DATE + 2_208_988_800 + since.as_secs());
        let sent = made.iter().filter(|made| made.at <= told.at).count();
        assert_eq!((report.packet_count(), report.octet_count()), (sent as u32, sent as u32 * 160));
        // The stream's clock at that moment: of the packet that leaves then.
        let last = made.iter().rfind(|made| made.at <= told.at).unwrap();
        let ticks = ((told.at - last.at).as_millis() * 8) as u32;
        assert_eq!(report.rtp_timestamp(), last.rtp().timestamp.wrapping_add(ticks));
        assert_eq!(report.n_reports(), 0, "nothing was heard");
    }
    assert_eq!(bench.worker.reports.get(), bench.reports.len() as u64);
}

#[test]
fn rfc3550_6_2_reports_are_five_seconds_apart_by_chance() {
    let (mut gaps, mut first) = (Vec::new(), Vec::new());
    for seed in 0..40 {
        let mut bench = listening(seed);
        let start = bench.now;
        bench.run(60_000);
        let times: Vec<f64> = bench.reports.iter().map(|made| (made.at - start).as_secs_f64()).collect();
        first.push(times[0]);
        gaps.extend(times.windows(2).map(|pair| pair[1] - pair[0]));
    }
    // Half to one and a half of 5 s over e − 1.5, looked for each second, and half of that at first.
    assert!(first.iter().all(|s| (1.0..=5.0).contains(s)), "{first:?}");
    assert!(gaps.iter().all(|s| (2.0..=8.0).contains(s)), "{gaps:?}");
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    assert!((4.5..6.0).contains(&mean), "{mean}");
    assert!(gaps.iter().any(|s| *s < 4.0) && gaps.iter().any(|s| *s > 5.5), "not by chance: {gaps:?}");
}

#[test]
fn rfc3550_a3_what_was_heard_is_reported_back() {
    let mut bench = listening(2);
    let (mut lost, mut heard) = (0, 0);
    for n in 0..1500u16 {
        // The far side's own report, so that ours can name it.
        if n % 100 == 50 {
            bench.feed(A, true, A_RTCP, &report(header(0).ssrc, 0x1234_5678_9abc_def0 + u64::from(n)));
        }
        if n % 10 == 3 {
            lost += 1;
        } else {
            heard += 1;
            bench.rtp(A, A_RTP, n);
        }
        bench.run(20);
    }
    assert_eq!((bench.counters[0].lost.get(), bench.counters[0].rx_packets.get()), (lost, heard));
    let last = bench.reports.last().unwrap();
    let report = sender_report(last);
    let block = report.report_blocks().next().unwrap();
    assert_eq!((block.ssrc(), block.last_sender_report_timestamp()), (header(0).ssrc, 0x5678_9abc));
    let n = block.extended_sequence_number();
    assert_eq!(u64::from(block.cumulative_lost()), u64::from(n / 10) + u64::from(n % 10 > 3));
    assert!((24..=27).contains(&block.fraction_lost()), "{}", block.fraction_lost());
    assert_eq!(block.interarrival_jitter(), 0);
    assert!(block.delay_since_last_sender_report_timestamp() <= 3 << 16);
}

#[test]
fn rfc3550_6_4_1_round_trip_from_our_own_reports() {
    let mut bench = listening(3);
    bench.run(10_000);
    let told = bench.reports.last().unwrap().clone();
    let report = sender_report(&told);
    // 80 ms on the wire, 2 s at the far side.
    bench.now = told.at + Duration::from_millis(2080);
    let heard = answer(report.ssrc(), report.ntp_timestamp(), Duration::from_secs(2), 17, 80);
    assert_eq!(bench.feed(A, true, A_RTCP, &heard), None);
    let a = &bench.counters[0];
    assert!((79_900..=80_100).contains(&a.rtt_us.get()), "{}", a.rtt_us.get());
    assert_eq!((a.far_reports.get(), a.far_lost.get(), a.far_jitter_us.get()), (1, 17, 10_000));
    // About somebody else's source, of a report that was never sent, of a wait longer than it was.
    bench.feed(A, true, A_RTCP, &answer(report.ssrc() ^ 1, report.ntp_timestamp(), Duration::ZERO, 99, 0));
    bench.feed(A, true, A_RTCP, &answer(report.ssrc(), 0x7777_7777_0000, Duration::ZERO, 18, 0));
    let a = &bench.counters[0];
    assert!((79_900..=80_100).contains(&a.rtt_us.get()) && a.far_lost.get() == 18);
    bench.feed(A, true, A_RTCP, &answer(report.ssrc(), report.ntp_timestamp(), Duration::from_secs(9), 0, 0));
    assert_eq!(bench.counters[0].rtt_us.get(), 1);
}

#[test]
fn rfc3550_6_4_1_round_trip_from_reports_that_pass() {
    let mut bench = Bench::connected();
    bench.rtp(A, A_RTP, 1).unwrap();
    bench.rtp(B, B_RTP, 1).unwrap();
    let ntp = 0x1111_2222_3333_4444;
    let (passed, bytes) = bench.feed(A, true, A_RTCP, &report(header(0).ssrc, ntp)).unwrap();
    assert_eq!((passed.to, bytes), (addr(B_RTCP), report(header(0).ssrc, ntp)));
    bench.wait(530);
    let heard = answer(header(0).ssrc, ntp, Duration::from_millis(500), 3, 16);
    assert_eq!(bench.feed(B, true, B_RTCP, &heard).unwrap().1, heard);
    let b = &bench.counters[1];
    assert!((29_900..=30_100).contains(&b.rtt_us.get()), "{}", b.rtt_us.get());
    assert_eq!((b.far_lost.get(), b.far_jitter_us.get()), (3, 2000));
    assert_eq!(bench.counters[0].rtt_us.get(), 0, "A has not answered anything");
    // Nothing of ours between two that report themselves.
    bench.run(30_000);
    assert_eq!(bench.reports, []);
}

/// A receiver report with VoIP metrics about a source (RFC 3611 §4.7).
fn metrics(about: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, 201, 0, 1, 0, 0, 0, 9, 0x80, 207, 0, 10, 0, 0, 0, 9, 7, 0, 0, 8];
    bytes.extend(about.to_be_bytes());
    bytes.extend(1..=28);
    bytes
}

#[test]
fn another_end_s_stream_is_reported_by_the_edge_and_metrics_about_it_are_passed() {
    let mut bench = Bench::connected();
    bench.set_remote(C, remote(C_RTP));
    bench.rtp(B, B_RTP, 500).unwrap();
    bench.wire(C, A);
    bench.wire(A, C);
    let mut packet = Vec::new();
    Rtp { ssrc: 0xcccc, ..header(9) }.build(&[0; 160], &mut packet);
    bench.feed(C, false, C_RTP, &packet).unwrap();
    bench.rtp(A, A_RTP, 1).unwrap();
    // What A says of the stream as it knows it goes to C about the stream as C knows it.
    assert_eq!(bench.feed(A, true, A_RTCP, &metrics(header(0).ssrc)), None);
    bench.run(12_000);
    let to = |end: EndId| bench.reports.iter().filter(move |made| made.transmit.via == end).collect::<Vec<_>>();
    assert!(to(A).len() >= 2 && to(C).len() >= 2);
    let (a, c) = (sender_report(to(A)[0]), sender_report(to(C)[0]));
    // A hears B's source go on, C hears A itself.
    assert_eq!((a.ssrc(), a.packet_count()), (header(0).ssrc, 2));
    assert_eq!((c.ssrc(), c.packet_count()), (header(0).ssrc, 1));
    assert_eq!(c.report_blocks().next().unwrap().ssrc(), 0xcccc);
    let passed = &metrics(0xcccc)[16..];
    let holds = |made: &Made| made.bytes.windows(passed.len()).any(|window| window == passed);
    assert!(holds(to(C)[0]) && !holds(to(C)[1]) && !to(A).into_iter().any(holds));
}

#[test]
fn rfc3550_6_6_a_stream_of_ours_ends_with_a_goodbye() {
    let mut bench = listening(4);
    let goodbye = |bench: &mut Bench, end| {
        bench.session.say_goodbye(bench.now, end);
        let mut packet = trunkgate_media::PacketBuf::new();
        let mut said = Vec::new();
        while let Some(transmit) = bench.session.poll_packet(&mut packet) {
            said.push(Made { at: bench.now, transmit, bytes: packet.data().to_vec() });
        }
        said.into_iter().filter(|made| made.transmit.rtcp).collect::<Vec<_>>()
    };
    // Who has said nothing says no goodbye.
    assert_eq!(goodbye(&mut bench, None), []);
    bench.run(10_000);
    assert_eq!(goodbye(&mut bench, Some(B)), []);
    let said = goodbye(&mut bench, Some(A));
    let packets = parsed(&said[0]);
    let source = sender_report(&said[0]).ssrc();
    let Packet::Bye(bye) = packets.last().unwrap() else { panic!("{packets:?}") };
    assert_eq!((said.len(), bye.ssrcs().collect::<Vec<_>>()), (1, vec![source]));
}

#[test]
fn reports_go_on_during_hold_and_stop_without_an_address() {
    let mut bench = listening(5);
    bench.set_remote(A, RemoteSpec { may_receive: false, relatch: false, ..remote(A_RTP) });
    bench.run(20_000);
    let held = std::mem::take(&mut bench.reports);
    // Nothing is sent, so it is a receiver that reports.
    assert!(held.len() >= 2 && held.iter().all(|made| matches!(parsed(made)[0], Packet::Rr(_))));
    bench.set_remote(A, RemoteSpec { rtp: None, rtcp: None, relatch: false, ..remote(A_RTP) });
    bench.run(20_000);
    assert_eq!(bench.reports, []);
}
