//! The latch against a model of it, over random orders of packets.

use proptest::prelude::*;

use super::tests::{Bench, EXACT, OTHER_ADDRESS, OTHER_PORT, STRANGER, addr, remote};
use crate::spec::{LatchMode, RemoteSpec};

/// The rules of RTP, written down once more without state of its own: everything is looked up in the list of packets.
struct Model {
    mode: LatchMode,
    must_send: bool,
    /// When, from which source, whether it counted.
    packets: Vec<(u64, usize, bool)>,
    /// When the latch was described, without being opened, in order.
    described: Vec<u64>,
}

const SOURCES: [&str; 4] = [EXACT, OTHER_PORT, OTHER_ADDRESS, STRANGER];

impl Model {
    fn winner(&self) -> Option<usize> {
        self.packets.iter().rev().find(|(_, _, counted)| *counted).map(|(_, source, _)| *source)
    }
    /// Packets of the winner since it won; all that counted since another source did.
    fn reign(&self) -> Vec<u64> {
        let winner = self.winner();
        let counted = self.packets.iter().rev().filter(|(_, _, counted)| *counted);
        let mut reign: Vec<u64> =
            counted.take_while(|(_, source, _)| Some(*source) == winner).map(|(at, _, _)| *at).collect();
        reign.reverse();
        reign
    }
    /// Whether so many packets came over so long, between two descriptions.
    fn settled(reign: &[u64], since: u64, until: u64) -> bool {
        let begins = reign.first().copied().unwrap_or(0).max(since);
        let counted = reign.iter().filter(|at| (since + 1..=until).contains(at));
        counted.enumerate().any(|(n, at)| n + 1 >= 50 && at - begins >= 1000)
    }
    fn packet(&mut self, now: u64, source: usize) -> bool {
        let counts = self.counts(now, source);
        self.packets.push((now, source, counts));
        counts
    }
    fn counts(&self, now: u64, source: usize) -> bool {
        let (exact, stranger) = (source == 0, source == 3);
        let Some(winner) = self.winner() else { return exact || !stranger && now >= 250 };
        if stranger || winner == source {
            return !stranger;
        }
        let reign = self.reign();
        let described = self.described.last().copied().unwrap_or(0);
        let silent = now - described.max(*reign.last().unwrap());
        if exact {
            let exact_won = self.packets.iter().any(|(_, source, counted)| *counted && *source == 0);
            return exact_won || !Model::settled(&reign, described, u64::MAX) || silent >= 2000;
        }
        let bounds: Vec<u64> = [0].iter().chain(&self.described).chain(&[u64::MAX]).copied().collect();
        let established = bounds.windows(2).any(|of| Model::settled(&reign, of[0], of[1]));
        let after = match (self.mode, established, winner == 0) {
            (_, false, false) => 500,
            (LatchMode::Relearn, _, _) => 3000,
            (_, true, true) => return false,
            (_, true, false) if !self.must_send => return false,
            (_, _, _) => 10_000,
        };
        // A run: none of the winner in between, no pause, and the first that began it is the one that counts.
        let quiet_since = now - silent + 500;
        let mut run: Option<(usize, u64, u64, u32)> = None;
        let tries = self.packets.iter().map(|(at, source, _)| (*at, *source)).chain([(now, source)]);
        let last_counted = self.packets.iter().rposition(|(_, _, counted)| *counted).map_or(0, |at| at + 1);
        for (at, source) in
            tries.skip(last_counted).filter(|(at, source)| *at >= quiet_since && (1..3).contains(source))
        {
            run = match run {
                Some((of, since, last, n)) if at - last < 500 && of == source => Some((of, since, at, n + 1)),
                Some(running) if at - running.2 < 500 => Some(running),
                _ => Some((source, at, at, 1)),
            };
        }
        silent >= after && run.is_some_and(|(of, since, _, n)| of == source && n >= 10 && now - since >= 150)
    }
}

/// A step of the world: how long nothing comes, then from where how many packets come, each 20 ms after the other.
fn steps() -> impl Strategy<Value = Vec<(u64, usize, usize, bool)>> {
    let pause = prop_oneof![0u64..30, 0u64..700, 400u64..4000, 9000u64..12_000];
    let length = prop_oneof![1usize..3, 1usize..15, 40usize..80];
    proptest::collection::vec((pause, 0usize..4, length, prop::bool::weighted(0.05)), 1..40)
}

proptest! {
    #[test]
    fn every_order_of_packets_keeps_the_rules(
        steps in steps(),
        mode in prop_oneof![Just(LatchMode::Strict), Just(LatchMode::Relearn)],
        must_send in any::<bool>(),
    ) {
        let remote = RemoteSpec { latch: mode, watch_idle: must_send, ..remote(EXACT) };
        let mut bench = Bench::of(remote);
        let mut model = Model { mode, must_send, packets: vec![], described: vec![] };
        let (mut now, mut swept) = (0, 0);
        let (mut heard, mut exact_won) = (0, false);
        for (pause, source, length, describes) in steps {
            now += pause;
            if describes {
                bench.latch.describe(bench.at(now));
                model.described.push(now);
            }
            for _ in 0..length {
                now += 20;
                while swept + 1000 <= now {
                    swept += 1000;
                    bench.rest(swept);
                }
                let before = bench.latch.rtp();
                let locked = bench.locked()[0];
                let counts = bench.rtp(now, SOURCES[source]);
                prop_assert_eq!(counts, model.packet(now, source), "{} ms, source {}", now, source);
                let displaced = before.is_some() && bench.latch.rtp() != before;
                // An unexpected source neither counts nor wins.
                prop_assert!(!counts || SOURCES[source] != STRANGER);
                prop_assert!(bench.latch.rtp() != Some(addr(STRANGER)));
                // A source that counts is the winner.
                prop_assert!(!counts || bench.latch.rtp() == Some(addr(SOURCES[source])));
                // A winner that continues is displaced by the exact source alone.
                prop_assert!(!displaced || source == 0 || now - heard >= 500);
                // The exact source is heard with its first packet in the grace period, and always once it has been.
                prop_assert!(source != 0 || counts || now > 1250 && !exact_won);
                // A socket that is tied to the winner keeps out nothing that would have counted.
                prop_assert!(!locked || !displaced);
                exact_won |= counts && source == 0;
                heard = if counts { now } else { heard };
            }
        }
    }
}
