//! Cost of a conference: one tick of 20 ms, in which the frames of all parties are added and all mixes are read.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may panic")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use trunkgate_conference::{Mixer, PartyId, SamplingRate};

/// Generates two seconds of speech-like audio: syllables of noise, 200 ms on and 100 ms off.
fn speech(rate: SamplingRate, seed: u32) -> Vec<Vec<i16>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut sample = |loud: i32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((state >> 16) as i16 as i32) * loud / 32_768) as i16
    };
    (0..105)
        .map(|frame| (0..rate.frame()).map(|_| sample(if frame % 15 < 10 { 6000 } else { 200 })).collect())
        .collect()
}

fn mix(c: &mut Criterion) {
    let cases = [
        ("50-g711-2-speak", vec![SamplingRate::Narrow; 50], 2),
        ("50-g711-10-speak", vec![SamplingRate::Narrow; 50], 10),
        ("50-g711-50-speak", vec![SamplingRate::Narrow; 50], 50),
        ("50-g711-none", vec![SamplingRate::Narrow; 50], 0),
        ("2-g711-1-speaks", vec![SamplingRate::Narrow; 2], 1),
        ("50-opus-2-speak", vec![SamplingRate::Full; 50], 2),
        ("50-opus-50-speak", vec![SamplingRate::Full; 50], 50),
        ("50-of-all-rates-2-speak", (0..50).map(|at| SamplingRate::ALL[at % 3]).collect(), 2),
        ("50-of-all-rates-10-speak", (0..50).map(|at| SamplingRate::ALL[at % 3]).collect(), 10),
    ];
    for (name, rates, speakers) in cases {
        let mut mixer = Mixer::new();
        let parties: Vec<(PartyId, Vec<Vec<i16>>)> = rates
            .iter()
            .enumerate()
            .map(|(at, rate)| {
                let quiet = vec![vec![4; rate.frame()]];
                let frames = if at < speakers { speech(*rate, at as u32 + 1) } else { quiet };
                (mixer.join(*rate).unwrap(), frames)
            })
            .collect();
        let mut at = 0;
        c.bench_function(&format!("mix/{name}"), |b| {
            b.iter(|| {
                at += 1;
                for (id, frames) in &parties {
                    mixer.push(*id, &frames[at % frames.len()]);
                }
                mixer.tick();
                for (id, _) in &parties {
                    black_box(mixer.heard(*id));
                }
            });
        });
    }
}

criterion_group!(benches, mix);
criterion_main!(benches);
