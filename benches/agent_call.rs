//! Cost of 20 ms of a call with an agent, without its sockets: from a packet of the caller to the message to the agent,
//! and from a message of the agent to a packet, in each format.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, criterion_group, criterion_main};
use trunkgate_media::agent::{AgentFormat, StreamSettings};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{
    AgentInput, AgentSpec, EndId, EndSpec, MediaCommand, MediaId, PacketBuf, RemoteSpec, Session, SocketSpec, WireSpec,
    WorkerCounters,
};

const CALLER: EndId = EndId(0);
const AGENT: EndId = EndId(1);

fn call(now: Instant, format: AgentFormat, caller: SocketAddr) -> Session {
    let mut session = Session::new(MediaId(1), 60_000);
    session.count_in(Arc::new(WorkerCounters::default()));
    session.handle_input(
        now,
        MediaCommand::AddEnd { end: CALLER, spec: EndSpec { bind: caller, counters: Arc::default() } },
    );
    let remote = RemoteSpec {
        rtp: Some(caller),
        expected: vec![caller.ip()],
        may_send: true,
        may_receive: true,
        relatch: true,
        ..RemoteSpec::default()
    };
    session.handle_input(now, MediaCommand::SetRemote { end: CALLER, remote });
    let settings = StreamSettings { format, ping: Duration::ZERO, ..StreamSettings::default() };
    let socket = SocketSpec {
        origin: trunkgate_media::UrlOrigin::Configuration,
        url: "wss://agent.example/".into(),
        auth_token: None,
        ca: None,
        plain_networks: vec![],
        traceparent: None,
        bearer: None,
        sends_query: false,
    };
    let spec = AgentSpec {
        settings,
        socket,
        counters: Arc::default(),
        queue: Arc::default(),
        turns: Some(Arc::default()),
        clear_fade: Duration::ZERO,
        raw: None,
    };
    session.handle_input(now, MediaCommand::AddAgent { end: AGENT, spec: Arc::new(spec) });
    session.handle_agent(now, AGENT, AgentInput::Opened);
    let wire = WireSpec { payloads: vec![(0, 0)], ..WireSpec::default() };
    session.handle_input(now, MediaCommand::Wire { from: AGENT, to: CALLER, wire: wire.clone() });
    session.handle_input(now, MediaCommand::Wire { from: CALLER, to: AGENT, wire });
    session
}

fn agent_call(c: &mut Criterion) {
    let caller = SocketAddr::from(([192, 0, 2, 1], 4000));
    for format in AgentFormat::ALL {
        let mut now = Instant::now();
        let mut session = call(now, format, caller);
        let payload = STANDARD.encode(vec![0x1e; format.frame_bytes()]);
        let text = format!(r#"{{"event":"media","media":{{"payload":"{payload}"}}}}"#);
        let mut header =
            RtpHeader { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 7, payload: 0..0 };
        let mut image = Vec::new();
        header.build(&[0x1e; 160], &mut image);
        let mut packet = PacketBuf::new();
        c.bench_function(&format!("agent_call/20ms/{}", format.name()), |b| {
            b.iter(|| {
                now += Duration::from_millis(20);
                header.sequence = header.sequence.wrapping_add(1);
                header.timestamp = header.timestamp.wrapping_add(160);
                packet.receive_area()[..image.len()].copy_from_slice(&image);
                packet.set_len(image.len());
                header.write(packet.data_mut());
                black_box(session.handle_packet(now, CALLER, false, caller, &mut packet));
                session.handle_agent(now, AGENT, AgentInput::Text(black_box(&text)));
                session.handle_timeout(now);
                while let Some(transmit) = session.poll_packet(&mut packet) {
                    black_box(transmit);
                }
                while let Some(transmit) = session.poll_agent(AGENT) {
                    black_box(transmit);
                }
            });
        });
    }
}

criterion_group!(benches, agent_call);
criterion_main!(benches);
