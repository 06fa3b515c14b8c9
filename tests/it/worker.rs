//! Media workers over real sockets on loopback.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod agent;
pub(crate) mod rig;

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::SystemTime;

use rig::*;
use trunkgate_media::{
    DropReason, EndCounters, EndId, EndSpec, MediaCommand, MediaEvent, MediaId, PlayerSound, WireSpec,
};

fn relay_both_ways(ip: IpAddr) {
    let mut rig = Rig::new(2);
    let id = MediaId(5);
    let (a, b) = rig.call(id, ip);
    for sequence in 0..200 {
        a.rtp.send_to(&rtp(7, sequence), a.edge).unwrap();
        b.rtp.send_to(&rtp(8, sequence), b.edge).unwrap();
        assert_eq!(received(&b.rtp), (rtp(7, sequence), b.edge));
        assert_eq!(received(&a.rtp), (rtp(8, sequence), a.edge));
    }
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
    a.rtcp.send_to(&report, next_port(a.edge)).unwrap();
    assert_eq!(received(&b.rtcp), (report.to_vec(), next_port(b.edge)));
    let mut latched: Vec<_> = [rig.event(), rig.event()].into();
    latched.sort_by_key(|(_, event)| format!("{event:?}"));
    let source = |side: &Side| side.rtp.local_addr().unwrap();
    assert_eq!(latched[0], (id, MediaEvent::Latched { end: A, source: source(&a) }));
    assert_eq!(latched[1], (id, MediaEvent::Latched { end: B, source: source(&b) }));
    for side in [&a, &b] {
        assert_eq!((side.counters.rx_packets.get(), side.counters.tx_packets.get()), (200, 200));
        assert_eq!(side.counters.lost.get(), 0);
    }
    assert_eq!(rig.gauge(|counters| counters.tx_bytes.get()), 400 * 172);
    let sampled: u64 = rig.gauge(|counters| counters.relay.counts().sum());
    assert_eq!(sampled, 401 / 64);
    rig.close(id, &a, &b);
    rig.workers.stop();
}

#[test]
fn payload_passes_bit_identical_both_ways() {
    relay_both_ways("127.0.0.1".parse().unwrap());
}

#[test]
fn payload_passes_bit_identical_over_ipv6() {
    let ip: IpAddr = "::1".parse().unwrap();
    // A machine without IPv6 on loopback skips this part.
    if UdpSocket::bind((ip, 0)).is_ok() {
        relay_both_ways(ip);
    }
}

#[test]
fn a_burst_passes_whole_and_in_order() {
    let mut rig = Rig::new(1);
    let id = MediaId(0);
    let (a, b) = rig.call(id, "127.0.0.1".parse().unwrap());
    for round in 0..20 {
        for n in 0..50 {
            a.rtp.send_to(&rtp(7, round * 50 + n), a.edge).unwrap();
        }
        for n in 0..50 {
            assert_eq!(received(&b.rtp).0, rtp(7, round * 50 + n));
        }
    }
    rig.workers.stop();
}

#[test]
fn a_stranger_gets_nothing_and_reaches_nobody() {
    let mut rig = Rig::new(1);
    let id = MediaId(0);
    let (a, b) = rig.call(id, "127.0.0.1".parse().unwrap());
    a.rtp.send_to(&rtp(7, 0), a.edge).unwrap();
    assert_eq!(received(&b.rtp).0, rtp(7, 0));
    // The stranger has another loopback address than the negotiated one.
    let stranger = phone("127.0.0.2".parse().unwrap());
    for n in 0..100u16 {
        for to in [a.edge, b.edge, next_port(a.edge), next_port(b.edge)] {
            let bytes = if n % 2 == 0 { rtp(99, n) } else { vec![n as u8; usize::from(n)] };
            stranger.send_to(&bytes, to).unwrap();
        }
    }
    let refused = |counters: &EndCounters| counters.dropped.drop_count(DropReason::UnexpectedSource);
    rig.until("all of it is refused", |_| refused(&a.counters) + refused(&b.counters) == 400);
    // The call continues, and the next packet is that of the phone.
    a.rtp.send_to(&rtp(7, 1), a.edge).unwrap();
    assert_eq!(received(&b.rtp).0, rtp(7, 1));
    b.rtp.send_to(&rtp(8, 0), b.edge).unwrap();
    assert_eq!(received(&a.rtp).0, rtp(8, 0));
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv_from(&mut [0; 2048]).is_err());
    assert_eq!((a.counters.tx_packets.get(), b.counters.tx_packets.get()), (1, 2));
    rig.workers.stop();
}

#[test]
fn ports_are_free_once_told_closed_and_a_taken_one_is_named() {
    let mut rig = Rig::new(1);
    let id = MediaId(3);
    let ip = "127.0.0.1".parse().unwrap();
    rig.workers.send(id, MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None });
    let side = rig.side(id, A, ip);
    // The port is not available while it is open …
    let spec = EndSpec { bind: side.edge, counters: Arc::default() };
    rig.workers.send(id, MediaCommand::AddEnd { end: B, spec: spec.clone() });
    match rig.event() {
        (_, MediaEvent::BindFailed { end: B, error }) => {
            assert!(error.contains(&side.edge.to_string()) && error.contains("in use"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    rig.settle(id);
    assert_eq!(rig.gauge(|counters| counters.ends.get()), 1);
    // … and becomes free as soon as its end is reported as closed, for RTP and RTCP.
    rig.workers.send(id, MediaCommand::RemoveEnd { end: A });
    assert_eq!(rig.event(), (id, MediaEvent::EndClosed { end: A, port: side.edge.port() }));
    rig.until("both ports are free", |_| {
        UdpSocket::bind(side.edge).is_ok() && UdpSocket::bind(next_port(side.edge)).is_ok()
    });
    rig.bind_again(id, B, &spec);
    // For an unknown session, an added end is reported, and other commands are not.
    rig.workers.send(MediaId(4), MediaCommand::Close);
    let spec = EndSpec { bind: free_pair(ip), counters: Arc::default() };
    rig.workers.send(MediaId(4), MediaCommand::AddEnd { end: A, spec });
    assert_eq!(rig.event(), (MediaId(4), MediaEvent::Bound { end: A }));
    assert!(matches!(rig.event(), (MediaId(4), MediaEvent::BindFailed { end: A, .. })));
    rig.workers.stop();
}

#[test]
fn late_packets_of_an_earlier_call_do_not_reach_the_next_on_its_ports() {
    let mut rig = Rig::new(1);
    let ip = "127.0.0.1".parse().unwrap();
    let (first, next) = (MediaId(0), MediaId(1));
    let (a, b) = rig.call(first, ip);
    a.rtp.send_to(&rtp(7, 0), a.edge).unwrap();
    received(&b.rtp);
    while !matches!(rig.event(), (_, MediaEvent::Latched { .. })) {}
    rig.close(first, &a, &b);
    rig.workers.send(next, MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None });
    let counters = Arc::new(EndCounters::default());
    rig.bind_again(next, A, &EndSpec { bind: a.edge, counters: counters.clone() });
    a.rtp.send_to(&rtp(7, 1), a.edge).unwrap();
    rig.until("refused", |_| counters.dropped.drop_count(DropReason::UnexpectedSource) == 1);
    rig.workers.stop();
}

#[test]
fn silence_is_told_by_the_workers_own_clock() {
    let mut rig = Rig::new(1);
    let id = MediaId(0);
    rig.workers.send(id, MediaCommand::Open { idle_timeout_ms: 1, names_key: [0; 16], beside: None });
    let side = rig.side(id, A, "127.0.0.1".parse().unwrap());
    assert_eq!(rig.event(), (id, MediaEvent::Idle { end: A }));
    // Silence is reported again only after a packet.
    rig.settle(id);
    side.rtp.send_to(&rtp(7, 0), side.edge).unwrap();
    assert!(matches!(rig.event(), (_, MediaEvent::Latched { end: A, .. })));
    assert_eq!(rig.event(), (id, MediaEvent::Idle { end: A }));
    rig.workers.stop();
}

#[test]
fn commands_beyond_a_turns_share_are_all_done() {
    let mut rig = Rig::new(1);
    for id in 0..1000 {
        rig.workers.send(MediaId(id), MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None });
        rig.workers.send(MediaId(id), MediaCommand::Close);
    }
    for id in 0..1000 {
        assert_eq!(rig.event(), (MediaId(id), MediaEvent::Closed));
    }
    assert_eq!(rig.gauge(|counters| counters.sessions.get()), 0);
    rig.workers.stop();
}

#[test]
fn the_edge_s_own_reports_leave_with_the_date_and_end_with_a_goodbye() {
    let mut rig = Rig::new(1);
    let (id, player) = (MediaId(3), EndId(9));
    rig.workers.send(id, MediaCommand::Open { idle_timeout_ms: 0, names_key: [3; 16], beside: None });
    let a = rig.side(id, A, IpAddr::from([127, 0, 0, 1]));
    rig.workers.send(id, MediaCommand::AddPlayer { end: player, sound: PlayerSound::Ringback });
    let wire = WireSpec { payloads: vec![(0, 0)], ..WireSpec::default() };
    rig.workers.send(id, MediaCommand::Wire { from: player, to: A, wire });
    let (report, from) = received(&a.rtcp);
    assert_eq!((from, report[1]), (next_port(a.edge), 200));
    let word = |at: usize| u32::from_be_bytes(report[at..at + 4].try_into().unwrap());
    // The time is in seconds since 1900, modulo 2^32.
    let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 2_208_988_800;
    assert!((date as u32).wrapping_sub(word(8)) < 60, "{} and {date}", word(8));
    let (heard, _) = received(&a.rtp);
    assert_eq!(report[4..8], heard[8..12], "it speaks of the stream that is heard");
    rig.workers.send(id, MediaCommand::RemoveEnd { end: A });
    let last = std::iter::from_fn(|| Some(received(&a.rtcp).0)).find(|packet| packet.ends_with(&heard[8..12])).unwrap();
    assert_eq!(last[last.len() - 8..last.len() - 4], [0x81, 203, 0, 1]);
    rig.workers.stop();
}

#[test]
fn an_end_moves_to_another_session_with_its_sockets_and_misses_no_packet() {
    let mut rig = Rig::new(2);
    let (former, own) = (MediaId(0), MediaId(1));
    let ip = "127.0.0.1".parse().unwrap();
    let (a, b) = rig.call(former, ip);
    a.rtp.send_to(&rtp(7, 0), a.edge).unwrap();
    received(&b.rtp);
    while !matches!(rig.event(), (_, MediaEvent::Latched { .. })) {}
    // During the move, a packet waits in the socket of the end.
    rig.workers.hand_over(own, MediaCommand::Open { idle_timeout_ms: 0, names_key: [1; 16], beside: Some(former) });
    let c = rig.side(own, EndId(0), ip);
    rig.workers.hand_over(former, MediaCommand::MoveEnd { end: A, to: own, named: EndId(7) });
    a.rtp.send_to(&rtp(7, 1), a.edge).unwrap();
    let wire = WireSpec { payloads: vec![(0, 0)], ..WireSpec::default() };
    for (from, to) in [(EndId(7), EndId(0)), (EndId(0), EndId(7))] {
        rig.workers.hand_over(own, MediaCommand::Wire { from, to, wire: wire.clone() });
    }
    rig.workers.wake();
    a.rtp.send_to(&rtp(7, 2), a.edge).unwrap();
    let payload = |packet: &[u8]| packet[12..].to_vec();
    let heard = |side: &Side| payload(&received(&side.rtp).0);
    let last = payload(&rtp(7, 2));
    rig.until("what comes after the wire is heard", |_| heard(&c) == last);
    c.rtp.send_to(&rtp(9, 0), c.edge).unwrap();
    let (packet, from) = received(&a.rtp);
    assert_eq!((payload(&packet), from), (payload(&rtp(9, 0)), a.edge), "by the port that it knows");
    assert_eq!(a.counters.rx_packets.get(), 3, "none is missing");
    // The former session ends without the end, which the new session has.
    rig.workers.send(former, MediaCommand::Close);
    let closed = |rig: &mut Rig, id: MediaId| {
        let events = std::iter::repeat_with(|| rig.event()).take_while(|event| *event != (id, MediaEvent::Closed));
        let ports = events
            .filter_map(|(_, event)| if let MediaEvent::EndClosed { port, .. } = event { Some(port) } else { None });
        ports.collect::<Vec<_>>()
    };
    assert_eq!(closed(&mut rig, former), [b.edge.port()]);
    rig.workers.send(own, MediaCommand::Close);
    let mut ports = closed(&mut rig, own);
    ports.sort_unstable();
    let mut expected = [a.edge.port(), c.edge.port()];
    expected.sort_unstable();
    assert_eq!(ports, expected);
    rig.workers.stop();
}
