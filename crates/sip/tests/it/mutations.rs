//! Mutated messages: the torture suite and an ordinary INVITE with bytes flipped, removed, duplicated and mixed, from
//! a fixed seed. Nothing may panic, and the invariants of all messages must hold.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panic

use std::path::PathBuf;

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_sip::fuzz;

/// Total number of mutations.
const MUTATIONS: usize = 20_000;

/// Octets with a meaning in SIP, which cause deeper damage than random ones.
const TELLING: &[u8] = b"\r\n\t \0:;,<>@\"\\=%?[]/0";

fn corpus() -> Vec<Vec<u8>> {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut paths: Vec<_> = std::fs::read_dir(tests.join("rfc4475"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dat"))
        .collect();
    paths.push(tests.join("invite.sip"));
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn mutate(rng: &mut ChaCha12Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[rng.random_range(0..corpus.len())].clone();
    for _ in 0..rng.random_range(1..=4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        let to = (at + rng.random_range(0..60)).min(bytes.len());
        match rng.random_range(0..7) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] = TELLING[rng.random_range(0..TELLING.len())],
            2 => bytes.insert(at, TELLING[rng.random_range(0..TELLING.len())]),
            3 => drop(bytes.drain(at..to)),
            4 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let other = &corpus[rng.random_range(0..corpus.len())];
                let from = rng.random_range(0..other.len());
                let piece = other[from..(from + 80).min(other.len())].to_vec();
                bytes.splice(at..to, piece);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[test]
fn no_damage_panics() {
    let corpus = corpus();
    assert_eq!(corpus.len(), 50);
    let mut rng = ChaCha12Rng::seed_from_u64(4475);
    for number in 0..MUTATIONS {
        let bytes = mutate(&mut rng, &corpus);
        let seen = bytes.clone();
        let outcome = std::panic::catch_unwind(move || {
            fuzz::message(&bytes);
            fuzz::stream(&bytes);
        });
        assert!(outcome.is_ok(), "mutation {number}: {:?}", String::from_utf8_lossy(&seen));
    }
}

#[test]
fn the_whole_corpus_passes_undamaged() {
    for bytes in corpus() {
        fuzz::message(&bytes);
        fuzz::stream(&[&[7], &bytes[..]].concat());
    }
    let mut noise = vec![0_u8; 65_535];
    ChaCha12Rng::seed_from_u64(1).fill_bytes(&mut noise);
    fuzz::message(&noise);
    fuzz::stream(&noise);
}
