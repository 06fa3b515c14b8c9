//! Simulated path that loses, delays, reorders and repeats packets: the counters match the simulated faults, and the
//! quality score falls with them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use crate::support::*;
use trunkgate_media::mos::{MosCodec, delay_ms, mos};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{MediaCommand, WireSpec};

/// Random number generator (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Simulated path with its faults.
#[derive(Debug, Clone, Copy, Default)]
struct Path {
    loss: f64,
    duplicates: f64,
    /// Delays are uniformly distributed up to this many microseconds.
    spread_us: u64,
}

/// Simulated faults and the resulting counters.
#[derive(Debug, Clone, Copy)]
struct Seen {
    inflicted: u64,
    repeated: u64,
    reordered: u64,
    lost: u64,
    jitter_ms: f64,
    mos: f64,
    lowest: f64,
}

const PACKETS: u32 = 5000;

fn travel(seed: u64, path: Path) -> Seen {
    let mut bench = Bench::connected();
    let wire = WireSpec { codec: Some(MosCodec::G711), ..wire() };
    bench.command(MediaCommand::Wire { from: A, to: B, wire });
    let mut chance = Chance(seed);
    let (mut inflicted, mut repeated) = (0, 0);
    let mut arrivals = Vec::new();
    let first = chance.next();
    for n in 0..PACKETS {
        // The first and the last packet are received, so that all losses in between are detected.
        let kept = n == 0 || n == PACKETS - 1;
        if chance.share() < path.loss && !kept {
            inflicted += 1;
            continue;
        }
        let copies = if chance.share() < path.duplicates { 2 } else { 1 };
        repeated += copies - 1;
        for _ in 0..copies {
            let delay = (chance.share() * path.spread_us as f64) as u64;
            arrivals.push((u64::from(n) * 20_000 + delay, n));
        }
    }
    arrivals.sort_unstable();
    let reordered = arrivals.windows(2).filter(|pair| pair[1].1 < pair[0].1).count() as u64;
    let start = bench.now;
    for (at_us, n) in arrivals {
        let at = start + std::time::Duration::from_micros(at_us);
        let wait = at.saturating_duration_since(bench.now);
        bench.run(u64::try_from(wait.as_millis()).unwrap());
        bench.now = at;
        // Sequence number and timestamp begin anywhere and roll over.
        let rtp = RtpHeader {
            sequence: (first as u16).wrapping_add(n as u16),
            timestamp: (first as u32).wrapping_add(n * 160),
            ..header(0)
        };
        let mut packet = Vec::new();
        rtp.build(&[0; 160], &mut packet);
        bench.feed(A, false, A_RTP, &packet).unwrap();
    }
    bench.run(6000);
    let counters = &bench.counters[0];
    let scores = &counters.scores;
    assert!(scores.count.get() >= 19, "{}", scores.count.get());
    Seen {
        inflicted,
        repeated,
        reordered,
        lost: counters.lost.get(),
        jitter_ms: counters.jitter_us.get() as f64 / 1000.0,
        mos: scores.sum.get() as f64 / scores.count.get() as f64 / 1000.0,
        lowest: scores.lowest.get() as f64 / 1000.0,
    }
}

#[test]
fn loss_is_counted_to_the_packet() {
    for (seed, loss) in [(1, 0.0), (2, 0.001), (3, 0.01), (4, 0.05), (5, 0.2), (6, 0.5)] {
        let seen = travel(seed, Path { loss, ..Path::default() });
        assert_eq!(seen.lost, seen.inflicted, "{seen:?}");
        assert!((seen.inflicted as f64 / f64::from(PACKETS) - loss).abs() < 0.02, "{seen:?}");
    }
}

#[test]
fn the_score_is_that_of_the_loss_and_falls_with_it() {
    let mut before = 5.0;
    for (seed, loss) in [(11, 0.0), (12, 0.01), (13, 0.02), (14, 0.05), (15, 0.1), (16, 0.2), (17, 0.4)] {
        let seen = travel(seed, Path { loss, ..Path::default() });
        let share = seen.inflicted as f64 / f64::from(PACKETS);
        let expected = mos(MosCodec::G711, share, delay_ms(0, 0));
        assert!((seen.mos - expected).abs() < 0.08, "{loss}: {expected} and {seen:?}");
        assert!(seen.mos < before - 0.03 || loss == 0.0, "{loss}: {before} and {seen:?}");
        assert!(seen.lowest <= seen.mos + 0.001 && seen.lowest >= 1.0);
        before = seen.mos;
    }
}

#[test]
fn jitter_is_a_third_of_the_spread_and_costs_delay() {
    // The mean difference of two uniformly distributed delays is a third of the spread, which is the limit of RFC 3550
    // A.8.
    let mut before = 5.0;
    for (seed, spread_us) in [(21, 0), (22, 6000), (23, 15_000), (24, 60_000), (25, 240_000)] {
        let seen = travel(seed, Path { spread_us, ..Path::default() });
        let expected = spread_us as f64 / 3000.0;
        assert!((seen.jitter_ms - expected).abs() <= expected * 0.4 + 0.13, "{expected} ms and {seen:?}");
        assert_eq!(seen.lost, 0, "late packets are not lost: {seen:?}");
        assert_eq!(seen.reordered > 0, spread_us > 20_000, "{seen:?}");
        assert!(seen.mos <= before, "{seen:?}");
        before = seen.mos;
    }
}

#[test]
fn duplicates_hide_loss_no_more_than_the_rfc_says() {
    let seen = travel(31, Path { loss: 0.1, duplicates: 0.02, spread_us: 30_000 });
    assert!(seen.repeated > 50, "{seen:?}");
    // RFC 3550 §6.4.1: received packets include duplicates.
    assert_eq!(seen.lost, seen.inflicted - seen.repeated, "{seen:?}");
}
