//! Cost of resampling: 20 ms of one direction for each conversion that an agent's format needs, and a second of an
//! audio file.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use trunkgate_media::resample::{FileResampler, Resampler};

fn resample(c: &mut Criterion) {
    for (from, to) in [(8000, 16_000), (16_000, 8000), (8000, 24_000), (24_000, 8000)] {
        let mut resampler = Resampler::new(from, to).unwrap();
        let input: Vec<i16> = (0..from / 50).map(|n| (n * 97 % 20_000) as i16).collect();
        let mut out = [0; 480];
        c.bench_function(&format!("resample/20ms/{from}-{to}"), |b| {
            b.iter(|| {
                let mut places = out.iter_mut();
                resampler.process(black_box(&input), |sample| {
                    if let Some(place) = places.next() {
                        *place = sample;
                    }
                });
                black_box(out.last());
            });
        });
    }
    for rate in [44_100, 48_000] {
        let second: Vec<f32> = (0..rate).map(|n| (n % 200) as f32 / 200.0).collect();
        c.bench_function(&format!("resample/file-second/{rate}"), |b| {
            b.iter(|| {
                let mut out = Vec::with_capacity(8000);
                let mut file = FileResampler::new(rate).unwrap();
                file.push(black_box(&second), &mut out);
                file.finish(&mut out);
                out
            });
        });
    }
}

criterion_group!(benches, resample);
criterion_main!(benches);
