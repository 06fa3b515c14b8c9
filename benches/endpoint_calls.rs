//! Cost of complete calls through two endpoints: INVITE, 100, 180, 200, ACK, BYE, 200. An iteration is one call on both
//! sides, including parsing, and the removal of its state after 64·T1.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros make the items

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trunkgate_sip::{
    DialogId, EndpointConfig, EndpointEvent, EndpointInput, EndpointLimits, EndpointOutput, Flow, InviteRequest,
    ListenerId, LocalAddress, MessageBody, Method, ProcessIdentity, ResponseSpec, ServerId, SipEndpoint, SipMessage,
    SipPartyId, Transport,
};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 16384 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\na=ptime:20\r\n";

fn endpoint(edge: u32) -> SipEndpoint {
    let config = EndpointConfig {
        identity: ProcessIdentity { edge, generation: 1, shard: 0 },
        product: "Trunkgate".into(),
        methods: vec![Method::Invite, Method::Ack, Method::Bye, Method::Cancel, Method::Options],
        extensions: vec![],
        message_bytes: 65_535,
        limits: EndpointLimits {
            servers: 1 << 20,
            clients: 1 << 20,
            dialogs: 1 << 20,
            forks: 12,
            server_bytes: 1 << 40,
        },
    };
    SipEndpoint::new(config, [0; 32])
}

fn flow(port: u16) -> Flow {
    let remote = ([192, 0, 2, 1], port).into();
    Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None }
}

fn local(port: u16) -> LocalAddress {
    LocalAddress { ip: [192, 0, 2, 1].into(), port }
}

struct Pair {
    now: Instant,
    ends: [SipEndpoint; 2],
}

/// Event that the layer above an endpoint must handle.
#[derive(Default)]
struct News {
    invite: Option<ServerId>,
    answered: Option<DialogId>,
}

impl Pair {
    /// Passes messages between the endpoints until both are idle.
    fn settle(&mut self) -> News {
        let mut news = News::default();
        let mut wire: Vec<(usize, Bytes)> = Vec::new();
        loop {
            for from in [0, 1] {
                let Some(end) = self.ends.get_mut(from) else { continue };
                while let Some(output) = end.poll_output() {
                    match output {
                        EndpointOutput::Transmit(transmit) => wire.push((1 - from, transmit.bytes)),
                        EndpointOutput::Event(EndpointEvent::Invite { id, .. }) => news.invite = Some(id),
                        EndpointOutput::Event(EndpointEvent::Response { dialog, code: 200, .. }) => {
                            news.answered = dialog
                        }
                        EndpointOutput::Event(_) => {}
                    }
                }
            }
            if wire.is_empty() {
                return news;
            }
            for (to, bytes) in wire.drain(..) {
                let message = SipMessage::parse(bytes).unwrap();
                let (flow, local) = (flow(5060 + 1 - to as u16), local(5060 + to as u16));
                let input = EndpointInput::Received { flow, local, party: SipPartyId(1), message };
                if let Some(end) = self.ends.get_mut(to) {
                    end.handle_input(self.now, input);
                }
            }
        }
    }

    fn call(&mut self) {
        self.now += Duration::from_micros(500);
        let now = self.now;
        let [a, b] = &mut self.ends;
        a.handle_timeout(now);
        b.handle_timeout(now);
        let invite = InviteRequest {
            flow: flow(5061),
            local: local(5060),
            party: SipPartyId(1),
            uri: "sip:+14155550132@192.0.2.1:5061".into(),
            from: "<sip:+14155550100@192.0.2.1>".into(),
            to: "<sip:+14155550132@192.0.2.1>".into(),
            oversize: None,
            contact_user: "trunkgate".into(),
            max_forwards: 69,
            headers: vec![],
            body: Some(MessageBody::sdp(SDP)),
        };
        a.invite(now, invite);
        let id = self.settle().invite.unwrap();
        let [_, b] = &mut self.ends;
        b.respond(now, id, ResponseSpec { code: 180, ..ResponseSpec::default() });
        b.respond(now, id, ResponseSpec { code: 200, body: Some(MessageBody::sdp(SDP)), ..ResponseSpec::default() });
        let dialog = self.settle().answered.unwrap();
        let [a, _] = &mut self.ends;
        a.ack(now, dialog, None);
        self.settle();
        let [a, _] = &mut self.ends;
        a.request(now, dialog, Method::Bye, vec![], None).unwrap();
        self.settle();
    }
}

fn calls(c: &mut Criterion) {
    let now = Instant::now();
    let mut pair = Pair { now, ends: [endpoint(1), endpoint(2)] };
    let mut group = c.benchmark_group("endpoint");
    group.throughput(Throughput::Elements(1));
    group.bench_function("call", |bencher| bencher.iter(|| pair.call()));
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
