//! What one packet costs in user space: `Session::handle_packet` for a relayed PCMU packet, both ends latched, and for
//! one whose stream is rewritten.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use trunkgate_media::rtp::Rtp;
use trunkgate_media::{
    Command, EndCounters, EndId, EndSpec, MediaId, PacketBuf, RemoteSpec, Session, WireSpec, WorkerCounters,
};

fn far_side(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n as u8], 4000))
}

fn session(now: Instant) -> Session {
    let mut session = Session::new(MediaId(1), 60_000);
    session.count_in(Arc::new(WorkerCounters::default()));
    for n in 0..3 {
        let spec = EndSpec { bind: far_side(0), counters: Arc::new(EndCounters::default()) };
        session.handle_input(now, Command::AddEnd { end: EndId(n), spec });
        let remote = RemoteSpec {
            rtp: Some(far_side(n)),
            rtcp: Some(far_side(n)),
            expected: vec![far_side(n).ip()],
            expected_networks: vec![],
            may_send: true,
            may_receive: true,
            relatch: true,
            watch_idle: true,
            ..RemoteSpec::default()
        };
        session.handle_input(now, Command::SetRemote { end: EndId(n), remote });
    }
    session
}

fn wire(session: &mut Session, now: Instant, from: u16, to: u16) {
    let wire = WireSpec { payloads: vec![(0, 0), (101, 101)], clocks: vec![], ..WireSpec::default() };
    session.handle_input(now, Command::Wire { from: EndId(from), to: EndId(to), wire });
}

/// Packets of 20 ms from `from`, each with the next numbers.
fn relay(bench: &mut criterion::Bencher<'_>, session: &mut Session, start: Instant, from: u16) {
    let mut header =
        Rtp { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: u32::from(from) + 7, payload: 0..0 };
    let mut bytes = Vec::new();
    header.build(&[0xff; 160], &mut bytes);
    let mut packet = PacketBuf::new();
    packet.receive_area()[..bytes.len()].copy_from_slice(&bytes);
    packet.set_len(bytes.len());
    let mut now = start;
    bench.iter(|| {
        header.sequence = header.sequence.wrapping_add(1);
        header.timestamp = header.timestamp.wrapping_add(160);
        header.write(packet.data_mut());
        now += Duration::from_millis(20);
        black_box(session.handle_packet(now, EndId(from), false, far_side(from), &mut packet))
    });
}

fn benches(criterion: &mut Criterion) {
    let now = Instant::now();
    let mut session = session(now);
    wire(&mut session, now, 0, 1);
    criterion.bench_function("relay/unchanged", |bench| relay(bench, &mut session, now, 0));
    wire(&mut session, now, 2, 1);
    criterion.bench_function("relay/rewritten", |bench| relay(bench, &mut session, now, 2));
}

criterion_group!(relay_benches, benches);
criterion_main!(relay_benches);
