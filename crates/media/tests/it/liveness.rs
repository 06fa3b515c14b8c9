//! Silent remote parties: reported if they should send, and kept reachable by keep-alive packets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use crate::support::*;
use trunkgate_media::limits::{KEEP_ALIVE_INTERVAL, PROBES};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{DropReason, LatchMode, MediaCommand, MediaEvent, RemoteSpec, WireSpec};

fn unheard(bench: &mut Bench) -> Vec<MediaEvent> {
    bench.events().into_iter().filter(|event| matches!(event, MediaEvent::Unheard { .. })).collect()
}

#[test]
fn a_side_that_is_never_heard_is_told_after_five_seconds() {
    let mut bench = Bench::connected();
    for n in 0..300 {
        bench.rtp(A, A_RTP, n).unwrap();
        bench.run(20);
    }
    assert_eq!(unheard(&mut bench), [MediaEvent::Unheard { end: B, stranger: None }]);
    // Reported once; a later report names the unexpected source.
    bench.run(30_000);
    assert_eq!(bench.rtp(B, STRANGER, 1), None);
    bench.set_remote(B, remote(B_RTP));
    assert_eq!(bench.rtp(B, STRANGER, 1), None);
    bench.run(4000);
    assert_eq!(unheard(&mut bench), []);
    bench.run(2000);
    assert_eq!(unheard(&mut bench), [MediaEvent::Unheard { end: B, stranger: Some(addr(STRANGER)) }]);
}

#[test]
fn who_was_heard_or_is_on_hold_is_not_told() {
    let mut bench = Bench::connected();
    // One packet is enough: comfort noise, or a muted remote party.
    bench.rtp(A, A_RTP, 1).unwrap();
    bench.set_remote(B, RemoteSpec { may_receive: false, watch_idle: false, relatch: false, ..remote(B_RTP) });
    bench.run(50_000);
    assert_eq!(unheard(&mut bench), []);
    // After hold the time restarts, and early media is remembered.
    bench.set_remote(B, RemoteSpec { relatch: false, ..remote(B_RTP) });
    bench.set_remote(A, RemoteSpec { watch_idle: false, relatch: false, ..remote(A_RTP) });
    bench.set_remote(A, RemoteSpec { relatch: false, ..remote(A_RTP) });
    bench.run(4000);
    assert_eq!(unheard(&mut bench), []);
    bench.run(3000);
    assert_eq!(unheard(&mut bench), [MediaEvent::Unheard { end: B, stranger: None }]);
}

/// Returns the ends that were reported as silent, each with the seconds of silence.
fn stopped(bench: &mut Bench) -> Vec<(trunkgate_media::EndId, u64)> {
    let of = |event| if let MediaEvent::Stopped { end, silent } = event { Some((end, silent.as_secs())) } else { None };
    bench.events().into_iter().filter_map(of).collect()
}

/// Returns a packet of comfort noise: payload type 13, one byte of payload.
fn comfort_noise(n: u16) -> Vec<u8> {
    let mut packet = rtp(n);
    packet[1] = 13;
    packet.truncate(13);
    packet
}

#[test]
fn a_stream_that_stops_in_mid_call_is_reported_while_the_other_side_sends() {
    // Cases: the side that sends after the first four seconds, in which both do, and whether B is reported.
    for (name, a_sends, last_of_b, told) in [
        ("B stops", true, None, true),
        ("both stop", false, None, false),
        ("B suppresses silence", true, Some(comfort_noise(200)), false),
    ] {
        let mut bench = Bench::connected();
        for n in 0..200 {
            bench.rtp(A, A_RTP, n).unwrap();
            bench.rtp(B, B_RTP, n).unwrap();
            bench.run(20);
        }
        if let Some(packet) = last_of_b {
            bench.feed(B, false, B_RTP, &packet);
        }
        for n in 200..900 {
            if a_sends {
                bench.rtp(A, A_RTP, n).unwrap();
            }
            bench.run(20);
        }
        let found = stopped(&mut bench);
        assert_eq!(found.first().map(|(end, _)| *end), told.then_some(B), "{name}: {found:?}");
        assert!(found.len() <= 1 && found.iter().all(|(_, seconds)| (5..=6).contains(seconds)), "{name}: {found:?}");
    }
}

#[test]
fn a_far_side_that_may_be_replaced_is_let_go_of_before_another_counts() {
    let mut bench = Bench::connected();
    let may_change = |rtp| RemoteSpec { latch: LatchMode::Relearn, ..remote(rtp) };
    bench.set_remote(A, may_change(A_RTP));
    bench.set_remote(B, RemoteSpec { latch: LatchMode::Strict, ..remote(B_RTP) });
    let mut let_go = Vec::new();
    for n in 0..300 {
        // A stops after a second.
        if n < 50 {
            bench.rtp(A, A_RTP, n).unwrap();
        }
        let locked = bench.feed(B, false, B_RTP, &rtp(n)).unwrap().0.locked;
        assert_eq!(locked, n < 50 || let_go.is_empty(), "{n}");
        bench.run(20);
        while let Some(end) = bench.session.poll_resting() {
            let_go.push((end, n));
        }
    }
    let [(end, at)] = let_go[..] else { panic!("{let_go:?}") };
    assert!(end == A && (50 + 98..=50 + 150).contains(&at), "{at}");
}

/// Returns the local port and the second of each keep-alive packet sent.
fn keep_alives(bench: &mut Bench, seconds: u64) -> Vec<(u16, u64)> {
    let start = bench.now;
    let made = bench.run(seconds * 1000);
    let of = |made: &Made| {
        let rtp = made.rtp();
        // A bare header with a number unknown to both sides.
        assert_eq!((made.bytes.len(), rtp.payload_type), (12, 127));
        assert_eq!(made.transmit.to, addr(if made.transmit.via == A { A_RTP } else { B_RTP }));
        (made.transmit.via.0, (made.at - start).as_secs())
    };
    made.iter().map(of).collect()
}

#[test]
fn two_silent_sides_are_each_sent_something_so_that_they_can_start() {
    let mut bench = Bench::connected();
    let each = |end: u16| (1..=u64::from(PROBES)).map(move |second| (end, second));
    let mut expected: Vec<(u16, u64)> = each(0).chain(each(1)).collect();
    expected.sort_by_key(|(end, second)| (*second, *end));
    assert_eq!(keep_alives(&mut bench, 19), expected);
    assert_eq!(keep_alives(&mut bench, 1), [(0, 1), (1, 1)]);
    assert_eq!(bench.worker.keep_alives.get(), 12);
    // Keep-alives are no media and do not count as sent.
    assert_eq!((bench.counters[0].tx_packets.get(), bench.counters[1].tx_packets.get()), (0, 0));

    // One side sends: the other needs no keep-alives, and the sending side needs them rarely.
    for n in 0..1000 {
        bench.rtp(A, A_RTP, n).unwrap();
        let made = bench.run(20);
        assert!(made.iter().all(|made| made.transmit.via == A), "{made:?}");
    }
    let quiet = KEEP_ALIVE_INTERVAL.as_secs();
    assert_eq!(keep_alives(&mut bench, 14), [(0, 10)]);
    let later = keep_alives(&mut bench, quiet);
    assert!(later.contains(&(1, 1)) && later.len() == 2, "{later:?}");
}

#[test]
fn keep_alive_packets_that_come_back_are_known_as_the_edge_s_own() {
    let mut bench = Bench::connected();
    for _ in 0..3 {
        for made in bench.run(1000) {
            // One side echoes packets, the other one sends its own keep-alives.
            if made.transmit.via == A {
                assert_eq!(bench.feed(A, false, A_RTP, &made.bytes), None);
            }
        }
        let mut other = Vec::new();
        RtpHeader { payload_type: 127, ssrc: 9, ..header(1) }.build(&[], &mut other);
        assert_eq!(bench.feed(B, false, B_RTP, &other), None);
    }
    let echoed = |at: usize| bench.counters[at].symptoms.echoed.get();
    assert_eq!((echoed(0), echoed(1), bench.counters[0].rx_packets.get()), (3, 0, 0));
}

#[test]
fn a_far_side_s_keep_alive_packets_open_the_way_and_are_not_media() {
    let mut bench = Bench::connected();
    let keep_alive = |payload_type, sequence| {
        let mut packet = Vec::new();
        RtpHeader { payload_type, ssrc: 9, ..header(sequence) }.build(&[], &mut packet);
        packet
    };
    // Both sides are edges that send keep-alives only, each with its own payload type.
    for second in 0..20 {
        for (end, from, number) in [(A, A_RTP, 127), (B, B_RTP, 126)] {
            assert_eq!(bench.feed(end, false, from, &keep_alive(number, second)), None);
        }
        bench.run(1000);
    }
    let events = bench.events();
    for end in [A, B] {
        assert!(
            events.iter().any(|event| matches!(event, MediaEvent::Latched { end: of, .. } if *of == end)),
            "{events:?}"
        );
        assert!(events.contains(&MediaEvent::Unheard { end, stranger: None }), "{events:?}");
    }
    for counters in &bench.counters {
        let dropped: u64 = DropReason::ALL.into_iter().map(|reason| counters.dropped.drop_count(reason)).sum();
        assert_eq!((counters.rx_packets.get(), counters.lost.get(), dropped), (0, 0, 0));
        assert_eq!(counters.symptoms.odd_payload.get(), 0);
    }
    // Keep-alives keep the call alive; it is idle only after they stop.
    for second in 20..120 {
        bench.feed(A, false, A_RTP, &keep_alive(127, second));
        bench.feed(B, false, B_RTP, &keep_alive(126, second));
        bench.run(1000);
    }
    let is_idle = |events: &[MediaEvent]| events.iter().any(|event| matches!(event, MediaEvent::Idle { .. }));
    assert!(!is_idle(&bench.events()));
    bench.run(61_000);
    assert!(is_idle(&bench.events()));
    assert_eq!(bench.worker.keep_alives_received.get(), 240);
    // A bare header with a negotiated number is media, and so is a packet with a payload.
    bench.feed(A, false, A_RTP, &keep_alive(0, 1)).unwrap();
    let mut odd = Vec::new();
    RtpHeader { payload_type: 126, ..header(7) }.build(&[1; 160], &mut odd);
    assert_eq!(bench.feed(B, false, B_RTP, &odd), None);
    assert_eq!(bench.counters[0].rx_packets.get(), 1);
    assert_eq!((bench.counters[1].rx_packets.get(), bench.counters[1].symptoms.odd_payload.get()), (1, 127));
}

#[test]
fn a_keep_alive_with_a_number_of_the_stream_is_no_loss() {
    let mut bench = Bench::connected();
    let mut last = None;
    for n in 0..200 {
        let keeps = n % 5 == 4;
        let mut packet = rtp(n);
        if keeps {
            packet.clear();
            RtpHeader { payload_type: 120, ..header(n) }.build(&[], &mut packet);
        }
        let sent = bench.feed(A, false, A_RTP, &packet);
        assert_eq!(sent.is_none(), keeps, "{n}");
        if let Some((_, sent)) = sent {
            let number = RtpHeader::parse(&sent).unwrap().sequence;
            assert!(last.is_none_or(|last: u16| number == last + 1), "{number} behind {last:?}");
            last = Some(number);
        }
        bench.run(20);
    }
    assert_eq!((bench.counters[0].rx_packets.get(), bench.counters[0].lost.get()), (160, 0));
}

#[test]
fn a_stream_s_own_numbers_are_left_alone() {
    let mut bench = Bench::connected();
    bench.rtp(A, A_RTP, 7).unwrap();
    let made = bench.run(40_000);
    let to_b: Vec<RtpHeader> = made.iter().filter(|made| made.transmit.via == B).map(Made::rtp).collect();
    assert_eq!(to_b.iter().map(|rtp| rtp.sequence).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6][..to_b.len()]);
    assert!(to_b.len() >= 2 && to_b.iter().all(|rtp| rtp.ssrc == to_b[0].ssrc && rtp.ssrc != header(0).ssrc));
    // The stream continues as it came.
    assert_eq!(bench.feed(A, false, A_RTP, &rtp(8)).unwrap().1, rtp(8));
}

#[test]
fn nothing_is_sent_to_who_is_not_to_receive_or_has_no_address_or_no_wire() {
    let mut bench = Bench::connected();
    bench.set_remote(A, RemoteSpec { may_receive: false, ..remote(A_RTP) });
    bench.set_remote(B, RemoteSpec { rtp: None, rtcp: None, ..remote(B_RTP) });
    assert_eq!(bench.run(60_000), []);
    let mut bench = Bench::connected();
    bench.set_remote(C, remote(C_RTP));
    bench.command(MediaCommand::Wire { from: A, to: B, wire: WireSpec::default() });
    bench.command(MediaCommand::Unwire { from: B });
    assert_eq!(bench.run(60_000), []);
}

#[test]
fn a_process_that_stood_still_ends_no_call_for_silence() {
    let mut bench = Bench::connected();
    for n in 0..50 {
        bench.rtp(A, A_RTP, n).unwrap();
        bench.rtp(B, B_RTP, n).unwrap();
        bench.run(20);
    }
    bench.events();
    // Suspended for minutes: deadlines are processed before any packet of that time is read.
    bench.stand_still(300_000);
    assert_eq!(bench.events(), []);
    bench.rtp(A, A_RTP, 51).unwrap();
    // Afterwards silence counts as before: only for B, which is gone.
    for n in 52..200 {
        bench.rtp(A, A_RTP, n).unwrap();
        bench.run(500);
    }
    assert_eq!(bench.events(), [MediaEvent::Idle { end: B }]);
}
