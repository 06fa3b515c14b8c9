//! Cost of parsing one INVITE of 819 bytes: the index with the views that a transaction needs, and with validation.
#![allow(missing_docs, clippy::expect_used)] // macros of criterion make public items; a bench fails by panic

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trunkgate_sip::{Framer, HeaderName, SipMessage};

fn views(message: &SipMessage) {
    black_box((message.via(), message.from_tag(), message.to_tag(), message.call_id(), message.cseq()));
    black_box((message.uri(), message.contact(), message.max_forwards(), message.header(HeaderName::ContentType)));
}

fn parse(criterion: &mut Criterion) {
    let invite = Bytes::from_static(include_bytes!("../crates/sip/tests/invite.sip"));
    assert_eq!(invite.len(), 819);
    let mut group = criterion.benchmark_group("sip_parse");
    group.throughput(Throughput::Bytes(819));
    group.bench_function("index", |bencher| bencher.iter(|| SipMessage::parse(black_box(invite.clone()))));
    group.bench_function("index_and_views", |bencher| {
        bencher.iter(|| {
            let message = SipMessage::parse(black_box(invite.clone())).expect("the INVITE can be read");
            views(&message);
        });
    });
    let message = SipMessage::parse(invite.clone()).expect("the INVITE can be read");
    assert_eq!(message.defect(), None);
    group.bench_function("defect", |bencher| bencher.iter(|| black_box(&message).defect()));
    group.bench_function("stream", |bencher| {
        let mut framer = Framer::new(65_535);
        bencher.iter(|| {
            framer.push(black_box(&invite));
            framer.pop()
        });
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
