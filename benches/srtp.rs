//! Cost of SRTP: one PCMU packet of 172 bytes protected and unprotected, including window and counters; and the relay
//! between a plain and an encrypted side, to be compared with `relay/unchanged`.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::srtp::{SrtpInbound, SrtpOutbound};
use trunkgate_media::{
    EndCounters, EndId, EndSpec, MediaCommand, MediaId, PacketBuf, RemoteSpec, Session, SrtpKey, SrtpSpec, Suite,
    WireSpec, WorkerCounters,
};

fn key(suite: Suite, seed: u8) -> SrtpKey {
    SrtpKey::new(suite, &vec![seed; suite.key_len() + suite.salt_len()], None).unwrap()
}

fn header() -> RtpHeader {
    RtpHeader { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 7, payload: 0..0 }
}

/// Writes the next packet of 20 ms.
fn next(header: &mut RtpHeader, packet: &mut PacketBuf) {
    header.sequence = header.sequence.wrapping_add(1);
    header.timestamp = header.timestamp.wrapping_add(160);
    packet.receive_area()[0] = 0x80;
    packet.set_len(172);
    header.write(packet.data_mut());
}

fn far_side(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n as u8], 4000))
}

/// Creates a session with side 0 in plain RTP, and side 1 with the given SRTP keys.
fn session(now: Instant, srtp: Option<SrtpSpec>) -> Session {
    let mut session = Session::new(MediaId(1), 60_000);
    session.count_in(Arc::new(WorkerCounters::default()));
    for (n, srtp) in [(0, None), (1, srtp)] {
        let spec = EndSpec { bind: far_side(0), counters: Arc::new(EndCounters::default()) };
        session.handle_input(now, MediaCommand::AddEnd { end: EndId(n), spec });
        let remote = RemoteSpec {
            rtp: Some(far_side(n)),
            rtcp: Some(far_side(n)),
            expected: vec![far_side(n).ip()],
            expected_networks: vec![],
            may_send: true,
            may_receive: true,
            relatch: true,
            watch_idle: true,
            srtp: srtp.map(Box::new),
            ..RemoteSpec::default()
        };
        session.handle_input(now, MediaCommand::SetRemote { end: EndId(n), remote });
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let wire = WireSpec { payloads: vec![(0, 0), (101, 101)], clocks: vec![], ..WireSpec::default() };
        session.handle_input(now, MediaCommand::Wire { from: EndId(from), to: EndId(to), wire });
    }
    session
}

fn ciphers(criterion: &mut Criterion) {
    for suite in Suite::ALL {
        let (mut header, mut packet) = (header(), PacketBuf::new());
        let mut outbound = SrtpOutbound::new(&key(suite, 1));
        criterion.bench_function(&format!("srtp/protect/{}", suite.as_str()), |bench| {
            bench.iter(|| {
                next(&mut header, &mut packet);
                black_box(outbound.protect_rtp(&mut packet))
            });
        });
        let (mut outbound, mut inbound) = (SrtpOutbound::new(&key(suite, 1)), SrtpInbound::new(&key(suite, 1)));
        criterion.bench_function(&format!("srtp/protect+unprotect/{}", suite.as_str()), |bench| {
            bench.iter(|| {
                next(&mut header, &mut packet);
                outbound.protect_rtp(&mut packet).unwrap();
                black_box(inbound.unprotect_rtp(&mut packet, false)).unwrap();
            });
        });
    }
}

/// Measures the relay from the plain to the encrypted side.
fn relay(criterion: &mut Criterion) {
    let mut suites = vec![None];
    suites.extend([Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm].map(Some));
    for suite in suites {
        let start = Instant::now();
        let srtp =
            suite.map(|suite| SrtpSpec { send: key(suite, 1), receive: key(suite, 2), rolled: 0, own_sources: None });
        let mut session = session(start, srtp);
        let (mut header, mut packet, mut now) = (header(), PacketBuf::new(), start);
        let name = suite.map_or("none", Suite::as_str);
        criterion.bench_function(&format!("srtp/relay/{name}"), |bench| {
            bench.iter(|| {
                next(&mut header, &mut packet);
                now += Duration::from_millis(20);
                black_box(session.handle_packet(now, EndId(0), false, far_side(0), &mut packet)).unwrap();
            });
        });
    }
}

criterion_group!(srtp_benches, ciphers, relay);
criterion_main!(srtp_benches);
