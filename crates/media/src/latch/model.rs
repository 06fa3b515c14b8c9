//! Property tests of the latch against a model, over random orders of packets.

use proptest::prelude::*;

use super::tests::{Bench, EXACT, OTHER_ADDRESS, OTHER_PORT, PRIVATE, STRANGER, addr, behind_nat, remote};
use crate::spec::{LatchMode, RemoteSpec};

/// Model of the RTP rules without state of its own: everything is derived from the list of packets.
struct Model {
    mode: LatchMode,
    must_send: bool,
    /// Whether the announced address can be the real one.
    pins: bool,
    /// Packets: time, source, and whether the packet counted.
    packets: Vec<(u64, usize, bool)>,
    /// Times at which the latch was described without being opened, in order.
    described: Vec<u64>,
}

fn sources(pins: bool) -> [&'static str; 4] {
    [if pins { EXACT } else { PRIVATE }, OTHER_PORT, OTHER_ADDRESS, STRANGER]
}

impl Model {
    /// Returns the time at which a reign settled under one description, if it did: enough packets over the required
    /// time, and none of the count too old.
    fn settled(reign: &[u64], since: u64, until: u64) -> Option<u64> {
        let mut begins = reign.first().copied().unwrap_or(0).max(since);
        let mut count = u32::from(begins != since || reign.first() == Some(&since));
        for at in reign.iter().copied().filter(|at| (since + 1..=until).contains(at)).skip(count as usize) {
            if at - begins > 6000 {
                (begins, count) = (at, 0);
            }
            count += 1;
            if count >= 50 && at - begins >= 1000 {
                return Some(at);
            }
        }
        None
    }

    /// Returns the time at which a reign was established under any description.
    fn established(&self, reign: &[u64]) -> Option<u64> {
        let bounds: Vec<u64> = [0].iter().chain(&self.described).chain(&[u64::MAX]).copied().collect();
        bounds.windows(2).find_map(|of| Model::settled(reign, of[0], of[1]))
    }

    /// Lists the reigns so far: source and times of its packets.
    fn reigns(&self) -> Vec<(usize, Vec<u64>)> {
        let mut reigns: Vec<(usize, Vec<u64>)> = Vec::new();
        for (at, source, _) in self.packets.iter().filter(|(_, _, counted)| *counted) {
            match reigns.last_mut() {
                Some((of, reign)) if of == source => reign.push(*at),
                _ => reigns.push((*source, vec![*at])),
            }
        }
        reigns
    }

    fn packet(&mut self, now: u64, source: usize) -> bool {
        let counts = self.counts(now, source);
        self.packets.push((now, source, counts));
        counts
    }

    fn counts(&self, now: u64, source: usize) -> bool {
        let (exact, stranger) = (source == 0, source == 3);
        let reigns = self.reigns();
        let Some((winner, reign)) = reigns.last() else { return exact || !stranger && (now >= 250 || !self.pins) };
        if stranger || *winner == source {
            return !stranger;
        }
        let described = self.described.last().copied().unwrap_or(0);
        let silence_at = |at: u64| {
            let heard = reign.iter().copied().rfind(|heard| *heard <= at).unwrap_or(0);
            at - described.max(heard)
        };
        let established = self.established(reign);
        let after = match (self.mode, established.is_some(), *winner == 0) {
            (_, false, false) => Some(500),
            (LatchMode::Relearn, _, _) => Some(3000),
            (_, true, true) => None,
            (_, true, false) if !self.must_send => None,
            (_, _, _) => Some(10_000),
        };
        // Run of the contender since the reign began or was described.
        let mut run: Option<(usize, u64, u64, u32)> = None;
        let since = described.max(reign[0]);
        let begin = self.packets.iter().rposition(|(at, _, counted)| *counted && *at == reign[0]).unwrap_or(0);
        let tries = self.packets[begin..].iter().copied().chain([(now, source, false)]);
        for (at, of, counted) in tries.filter(|(at, of, _)| *at > since && *of != 3) {
            let was_established = established.is_some_and(|established| established <= at);
            if counted {
                run = run.filter(|(of, ..)| *of == 0 || !was_established);
                continue;
            }
            let is_open = *winner != 0 && !was_established;
            if of == 0 && !self.pins || of != 0 && !(is_open || after.is_some() && silence_at(at) >= 500) {
                continue;
            }
            run = match run {
                Some((same, begins, last, n)) if at - last < 500 && same == of => {
                    let (begins, n) = if at - begins > 6000 { (at, 0) } else { (begins, n) };
                    Some((of, begins, at, n + 1))
                }
                Some((0, begins, last, n)) if at - last < 500 && of != 0 => Some((0, begins, last, n)),
                Some((other, begins, last, n)) if at - last < 500 && of != 0 && n > 1 => {
                    Some((other, begins, last, n - 1))
                }
                _ => Some((of, at, at, 1)),
            };
        }
        let has = |packets: u32, over: u64| {
            run.is_some_and(|(of, begins, last, n)| of == source && last == now && n >= packets && now - begins >= over)
        };
        if exact {
            let exact_won = reigns.iter().any(|(of, _)| *of == 0);
            let settled = Model::settled(reign, described, u64::MAX).is_some();
            return exact_won || !settled || silence_at(now) >= 2000 || self.pins && has(10, 150);
        }
        let first = reigns.iter().find(|(of, reign)| *of != 0 && self.established(reign).is_some());
        if *winner != 0 && first.is_some_and(|(of, _)| *of == source) {
            return true;
        }
        let is_open = *winner != 0 && established.is_none();
        after.is_some_and(|after| silence_at(now) >= after) && has(10, 150) || is_open && has(50, 1000)
    }
}

/// Test step: a pause, then a number of packets from one source, 20 ms apart.
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
        pins in any::<bool>(),
    ) {
        let sources = sources(pins);
        let remote = if pins { remote(EXACT) } else { behind_nat(mode).remote };
        let mut bench = Bench::of(RemoteSpec { latch: mode, watch_idle: must_send, ..remote });
        let mut model = Model { mode, must_send, pins, packets: vec![], described: vec![] };
        let (mut now, mut swept) = (0, 0);
        let (mut heard, mut exact_won) = (0, false);
        for (pause, source, length, describes) in steps {
            now += pause;
            if describes {
                bench.latch.describe(bench.at(now), &bench.remote);
                model.described.push(now);
            }
            for _ in 0..length {
                now += 20;
                while swept + 1000 <= now {
                    swept += 1000;
                    bench.rest(swept);
                }
                let (before, known) = (bench.latch.rtp(), bench.latch.known()[0]);
                let locked = bench.locked()[0];
                let counts = bench.rtp(now, sources[source]);
                prop_assert_eq!(counts, model.packet(now, source), "{} ms, source {}", now, source);
                let displaced = before.is_some() && bench.latch.rtp() != before;
                // An unexpected source neither counts nor wins.
                prop_assert!(!counts || sources[source] != STRANGER);
                prop_assert!(bench.latch.rtp() != Some(addr(STRANGER)));
                // A source that counts is the winner.
                prop_assert!(!counts || bench.latch.rtp() == Some(addr(sources[source])));
                // Only the exact source and the first established one displace a settled winner that continues.
                let returns = known.first == Some(addr(sources[source]));
                prop_assert!(!displaced || source == 0 || returns || !known.established || now - heard >= 500);
                // The exact source counts with its first packet in the grace period, and always once it has won.
                prop_assert!(source != 0 || counts || now > 1000 + 250 * u64::from(pins) && !exact_won);
                // A socket locked to the winner never excludes a packet that would have counted.
                prop_assert!(!locked || !displaced);
                exact_won |= counts && source == 0;
                heard = if counts { now } else { heard };
            }
        }
    }
}
