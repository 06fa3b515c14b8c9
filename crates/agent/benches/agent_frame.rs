//! Cost of one `media` message, measured in three ways: only writing into a reused buffer; from an RTP packet to the
//! text for the socket; and parsing and decoding an agent's own message.

#![expect(clippy::disallowed_methods, reason = "a bench begins somewhere in time")]
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use trunkgate_agent::{
    MediaMessage, PlayoutQueue, SocketMessage, Stream, StreamInput, StreamNames, StreamOutput, StreamSettings,
    StreamTracks, TrackInput, TrackName, TrackSet,
};

const STREAM: &str = "MZ0123456789abcdef0123456789abcdef";

fn names() -> StreamNames {
    StreamNames::new("AC0123456789abcdef0123456789abcdef", "CA0123456789abcdef0123456789abcdef", STREAM)
}

fn settings() -> StreamSettings {
    StreamSettings { stream_sid: STREAM.to_owned(), ping: Duration::ZERO, ..StreamSettings::default() }
}

fn writer(criterion: &mut Criterion) {
    let (names, mut out) = (names(), Vec::with_capacity(2048));
    let mut chunk = 0;
    criterion.bench_function("agent_frame/write", |bench| {
        bench.iter(|| {
            out.clear();
            chunk += 1;
            let media = MediaMessage {
                sequence: chunk + 1,
                track: TrackName::Inbound,
                chunk,
                timestamp_ms: chunk * 20,
                audio: black_box(&[0x7e; 160]),
            };
            names.media(&mut out, &media);
            black_box(out.len())
        });
    });
}

fn from_packet(criterion: &mut Criterion) {
    let mut now = Instant::now();
    let mut stream = Stream::new(now, settings());
    stream.handle_input(now, StreamInput::Opened);
    let mut tracks = StreamTracks::new(now, TrackSet::Inbound);
    let (mut sequence, mut timestamp) = (0_u16, 0_u32);
    criterion.bench_function("agent_frame/packet_to_text", |bench| {
        bench.iter(|| {
            now += Duration::from_millis(20);
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(160);
            let packet = TrackInput { ssrc: 7, sequence, timestamp, payload: black_box(&[0x7e; 160]) };
            tracks.push(now, TrackName::Inbound, &packet);
            while let Some(frame) = tracks.poll(now) {
                stream.handle_input(now, StreamInput::Frame { track: frame.track, audio: &frame.audio });
            }
            while let Some(SocketMessage::Text(text)) = stream.poll_transmit() {
                black_box(text.len());
            }
        });
    });
}

fn from_agent(criterion: &mut Criterion) {
    let now = Instant::now();
    let mut stream = Stream::new(now, settings());
    stream.handle_input(now, StreamInput::Opened);
    let mut playout = PlayoutQueue::new(settings().format);
    let text = format!(r#"{{"event":"media","streamSid":"{STREAM}","media":{{"payload":"{}"}}}}"#, "fn5+".repeat(53));
    criterion.bench_function("agent_frame/text_to_frame", |bench| {
        bench.iter(|| {
            stream.handle_input(now, StreamInput::Text(black_box(&text)));
            while let Some(output) = stream.poll_output() {
                if let StreamOutput::Play(audio) = output {
                    playout.push(audio);
                }
            }
            black_box(playout.next_frame().is_some())
        });
    });
}

criterion_group!(agent_frame_benches, writer, from_packet, from_agent);
criterion_main!(agent_frame_benches);
