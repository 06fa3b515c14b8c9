//! Cost of one packet in user space: `Session::handle_packet` for a relayed PCMU packet with both sides latched, for
//! one of a rewritten stream, and for one of a recorded call including the hand-over to the writer.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use trunkgate_media::agent::TrackSet;
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{
    AudioListenerSpec, EndCounters, EndId, EndSpec, MediaCommand, MediaId, PacketBuf, PayloadCodec, Recorded,
    RecordedSamples, RecorderSpec, RecordingId, RemoteSpec, Session, TapSpec, WireSpec, WorkerCounters,
};

fn far_side(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n as u8], 4000))
}

fn session(now: Instant) -> Session {
    let mut session = Session::new(MediaId(1), 60_000);
    session.count_in(Arc::new(WorkerCounters::default()));
    for n in 0..3 {
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
            ..RemoteSpec::default()
        };
        session.handle_input(now, MediaCommand::SetRemote { end: EndId(n), remote });
    }
    session
}

fn wire(session: &mut Session, now: Instant, from: u16, to: u16) {
    let wire = WireSpec { payloads: vec![(0, 0), (101, 101)], clocks: vec![], ..WireSpec::default() };
    session.handle_input(now, MediaCommand::Wire { from: EndId(from), to: EndId(to), wire });
}

/// Stream of PCMU packets from one side.
struct Stream {
    from: u16,
    header: RtpHeader,
    packet: PacketBuf,
}

impl Stream {
    fn new(from: u16) -> Stream {
        let header = RtpHeader {
            marker: false,
            payload_type: 0,
            sequence: 0,
            timestamp: 0,
            ssrc: u32::from(from) + 7,
            payload: 0..0,
        };
        let mut bytes = Vec::new();
        header.build(&[0xff; 160], &mut bytes);
        let mut packet = PacketBuf::new();
        packet.receive_area()[..bytes.len()].copy_from_slice(&bytes);
        packet.set_len(bytes.len());
        Stream { from, header, packet }
    }

    /// Sends the next packet of 20 ms.
    fn send(&mut self, session: &mut Session, now: Instant) {
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(160);
        self.header.write(self.packet.data_mut());
        black_box(session.handle_packet(now, EndId(self.from), false, far_side(self.from), &mut self.packet));
    }
}

fn relay(bench: &mut criterion::Bencher<'_>, session: &mut Session, start: Instant, from: u16) {
    let mut stream = Stream::new(from);
    let mut now = start;
    bench.iter(|| {
        now += Duration::from_millis(20);
        stream.send(session, now);
    });
}

/// Measures one packet from each side, so the figure is that of two packets.
fn relay_both(bench: &mut criterion::Bencher<'_>, session: &mut Session, start: Instant) {
    let mut streams = [Stream::new(0), Stream::new(1)];
    let mut now = start;
    bench.iter(|| {
        now += Duration::from_millis(20);
        for stream in &mut streams {
            stream.send(session, now);
            session.drain_recordings(|_, piece| {
                black_box(piece);
            });
        }
    });
}

/// Number of concurrent calls, which need more memory than the cache of a core has.
const CALLS: usize = 200;

/// Measures one packet from each side of the next call, so the figure is that of two packets with memory outside of the
/// nearest cache.
fn relay_calls(bench: &mut criterion::Bencher<'_>, start: Instant, recorded: Option<PayloadCodec>) {
    let mut calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let mut session = session(start);
            wire(&mut session, start, 0, 1);
            wire(&mut session, start, 1, 0);
            if let Some(to_caller) = recorded {
                record(&mut session, start, to_caller);
            }
            (session, [Stream::new(0), Stream::new(1)])
        })
        .collect();
    let (mut now, mut at) = (start, 0);
    bench.iter(|| {
        if at == 0 {
            now += Duration::from_millis(20);
        }
        let (session, streams) = &mut calls[at];
        for stream in streams {
            stream.send(session, now);
            session.drain_recordings(|_, piece| {
                if let Recorded::Audio { samples, .. } = piece {
                    black_box(copied(samples));
                }
            });
        }
        at = (at + 1) % CALLS;
    });
}

/// Copies a block as the hand-over to the recording writer does.
fn copied(samples: RecordedSamples<'_>) -> Vec<u8> {
    match samples {
        RecordedSamples::Linear(samples) => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
        RecordedSamples::Pcmu(codes) => codes.to_vec(),
        RecordedSamples::Pcma(codes) => codes.iter().map(|code| code.0).collect(),
    }
}

/// Starts to record a call; `to_caller` is the codec of payload type 0 towards the caller.
fn record(session: &mut Session, now: Instant, to_caller: PayloadCodec) {
    let end = EndId(9);
    let spec = RecorderSpec { recording: RecordingId(1), tracks: TrackSet::Both, silence: None };
    session.handle_input(now, MediaCommand::AddListener { end, spec: AudioListenerSpec::Recorder(spec) });
    let audio = TapSpec { inbound: vec![(0, PayloadCodec::Pcmu)], outbound: vec![(0, to_caller)] };
    session.handle_input(now, MediaCommand::Tap { of: EndId(0), listener: end, audio });
}

fn benches(criterion: &mut Criterion) {
    let now = Instant::now();
    let mut session = session(now);
    wire(&mut session, now, 0, 1);
    criterion.bench_function("relay/unchanged", |bench| relay(bench, &mut session, now, 0));
    wire(&mut session, now, 1, 0);
    criterion.bench_function("relay/both", |bench| relay_both(bench, &mut session, now));
    wire(&mut session, now, 2, 1);
    criterion.bench_function("relay/rewritten", |bench| relay(bench, &mut session, now, 2));
    let mut recorded = self::session(now);
    wire(&mut recorded, now, 0, 1);
    wire(&mut recorded, now, 1, 0);
    record(&mut recorded, now, PayloadCodec::Pcmu);
    criterion.bench_function("relay/both recorded", |bench| relay_both(bench, &mut recorded, now));
    for (name, recorded) in [
        ("relay/both of 200 calls", None),
        ("relay/both of 200 calls recorded, codes", Some(PayloadCodec::Pcmu)),
        ("relay/both of 200 calls recorded, linear", Some(PayloadCodec::Pcma)),
    ] {
        criterion.bench_function(name, |bench| relay_calls(bench, now, recorded));
    }
}

criterion_group!(relay_benches, benches);
criterion_main!(relay_benches);
