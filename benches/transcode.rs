//! Cost of transcoding: one packet of 20 ms from each codec to each other one, decoded and encoded.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use trunkgate_media::codec::opus::{OpusEncoder, OpusPreferences};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::transcode::Transcoder;
use trunkgate_media::{PacketBuf, PayloadCodec, TranscodeSpec};

/// Returns one second of voice-like audio in Opus packets of 20 ms.
fn spoken() -> Vec<Vec<u8>> {
    let mut encoder = OpusEncoder::new(8000, OpusPreferences::default()).unwrap();
    let sample = |n: u32| ((n * n / 7 % 4000) as i16 - 2000).wrapping_mul((n / 800 % 4) as i16);
    let frame = |at: u32| {
        let samples: Vec<i16> = (at * 160..(at + 1) * 160).map(sample).collect();
        let mut packet = vec![0; 1500];
        let bytes = encoder.encode(&samples, &mut packet);
        packet.truncate(bytes);
        packet
    };
    (0..50).map(frame).collect()
}

fn transcode(c: &mut Criterion) {
    let opus = PayloadCodec::Opus(OpusPreferences::default());
    let all =
        [("pcmu", PayloadCodec::Pcmu), ("pcma", PayloadCodec::Pcma), ("g722", PayloadCodec::G722), ("opus", opus)];
    let bytes: Vec<Vec<u8>> = (0..50_u8).map(|at| (0..160_u8).map(|n| n.wrapping_mul(at | 1)).collect()).collect();
    let packets = spoken();
    for ((from_name, from), (to_name, to)) in all.into_iter().flat_map(|from| all.map(|to| (from, to))) {
        if from == to {
            continue;
        }
        let spec = TranscodeSpec { from: vec![(0, from)], to: (8, to), packet_ms: 20, events: vec![], noise: None };
        let mut transcoder = Transcoder::new(spec, 1, (7, 0, 0)).unwrap();
        let payloads = if from == opus { &packets } else { &bytes };
        let mut rtp = RtpHeader { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 5, payload: 0..0 };
        let (mut packet, mut now, mut at) = (PacketBuf::new(), Instant::now(), 0);
        c.bench_function(&format!("transcode/20ms/{from_name}-{to_name}"), |b| {
            b.iter(|| {
                at = (at + 1) % payloads.len();
                now += Duration::from_millis(20);
                rtp.sequence = rtp.sequence.wrapping_add(1);
                rtp.timestamp = rtp.timestamp.wrapping_add(from.clock_hz() / 50);
                transcoder.push(now, &rtp, black_box(&payloads[at])).unwrap();
                black_box(transcoder.poll(&mut packet))
            });
        });
    }
}

criterion_group!(benches, transcode);
criterion_main!(benches);
