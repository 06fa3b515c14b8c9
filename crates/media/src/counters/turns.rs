//! Response times of agents, from the end of the caller's speech to the agent's first audio: per leg with the time of
//! each hop, and over all calls of an agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use super::counter::DurationHistogram;
use crate::limits::TURN_LIMIT;

/// Maximum number of turns kept for one leg.
pub const TURNS_KEPT: usize = 32;

/// Upper bounds of [`AgentTurns`], in milliseconds: 50 apart up to 1 s, 100 up to 2 s, 250 up to 3 s, wider above.
const BOUNDS_MS: [u64; 46] = [
    50, 100, 150, 200, 250, 300, 350, 400, 450, 500, 550, 600, 650, 700, 750, 800, 850, 900, 950, 1_000, 1_100, 1_200,
    1_300, 1_400, 1_500, 1_600, 1_700, 1_800, 1_900, 2_000, 2_250, 2_500, 2_750, 3_000, 3_500, 4_000, 4_500, 5_000,
    6_000, 7_000, 8_000, 10_000, 12_500, 15_000, 20_000, 30_000,
];

/// Subset of the bounds that metrics expose, in milliseconds.
const SHOWN_MS: [u64; 23] = [
    100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000, 1_200, 1_400, 1_600, 1_800, 2_000, 2_500, 3_000, 4_000, 5_000,
    7_000, 10_000, 15_000, 30_000,
];

/// Unit of the stored times except round trips: half a millisecond.
const UNIT_US: u64 = 500;
/// Unit of the stored round trips: a tenth of a millisecond.
const FINE_UNIT_US: u64 = 100;
/// Value of a time that is unknown.
const UNKNOWN: u16 = u16::MAX;

/// One turn: the agent's response time, divided into its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnTiming {
    /// Time from the end of the caller's speech to the agent's first audio.
    pub whole: Duration,
    /// Part of `whole` in which the first audio waited in the edge before it was sent; `None` if unknown.
    pub edge: Option<Duration>,
    /// Round-trip time to the agent by the last ping before the turn; `None` before the first ping.
    pub network: Option<Duration>,
}

impl TurnTiming {
    /// Returns the part of the response time that the agent spent: `whole` less `edge` and `network`; `None` if either
    /// is unknown.
    pub fn agent(&self) -> Option<Duration> {
        Some(self.whole.saturating_sub(self.edge?).saturating_sub(self.network?))
    }
}

/// Turn in fixed-width units, readable while a worker writes.
#[derive(Debug)]
struct StoredTurn {
    whole: AtomicU16,
    edge: AtomicU16,
    network: AtomicU16,
}

impl Default for StoredTurn {
    fn default() -> StoredTurn {
        StoredTurn { whole: AtomicU16::new(UNKNOWN), edge: AtomicU16::new(UNKNOWN), network: AtomicU16::new(UNKNOWN) }
    }
}

impl StoredTurn {
    fn set(&self, turn: TurnTiming) {
        self.whole.store(units(turn.whole, UNIT_US), Ordering::Relaxed);
        self.edge.store(turn.edge.map_or(UNKNOWN, |time| units(time, UNIT_US)), Ordering::Relaxed);
        self.network.store(turn.network.map_or(UNKNOWN, |time| units(time, FINE_UNIT_US)), Ordering::Relaxed);
    }

    fn get(&self) -> Option<TurnTiming> {
        let time = |kept: &AtomicU16, unit_us: u64| {
            Some(kept.load(Ordering::Relaxed))
                .filter(|units| *units != UNKNOWN)
                .map(|units| Duration::from_micros(u64::from(units) * unit_us))
        };
        Some(TurnTiming {
            whole: time(&self.whole, UNIT_US)?,
            edge: time(&self.edge, UNIT_US),
            network: time(&self.network, FINE_UNIT_US),
        })
    }
}

fn units(time: Duration, unit_us: u64) -> u16 {
    let units = (time.as_micros() + u128::from(unit_us) / 2) / u128::from(unit_us);
    u16::try_from(units).unwrap_or(UNKNOWN).min(UNKNOWN - 1)
}

/// Turns of one agent's leg, written by one worker and readable by any thread.
///
/// All turns are kept up to [`TURNS_KEPT`]. From then on every second one is kept, then every fourth, and so on: an
/// even selection of the whole call with at least half as many entries. A reader may see a turn twice while the
/// selection is thinned.
#[derive(Debug, Default)]
pub struct LegTurns {
    all: Arc<AgentTurns>,
    count: AtomicU32,
    kept: [StoredTurn; TURNS_KEPT],
}

impl LegTurns {
    /// Creates an empty list of turns that also counts them in `all`, the totals of the agent.
    pub fn new(all: Arc<AgentTurns>) -> LegTurns {
        LegTurns { all, ..LegTurns::default() }
    }

    /// Adds a turn; called by the worker only.
    pub fn record_turn(&self, turn: TurnTiming) {
        self.all.take(turn.whole);
        let at = self.count.load(Ordering::Relaxed);
        let Some(count) = at.checked_add(1) else { return };
        let step = step(count);
        if step > self::step(at) {
            for (to, from) in self.kept.iter().zip(self.kept.iter().step_by(2)) {
                if let Some(turn) = from.get() {
                    to.set(turn);
                }
            }
        }
        if at.is_multiple_of(step)
            && let Some(kept) = self.kept.get((at / step) as usize)
        {
            kept.set(turn);
        }
        self.count.store(count, Ordering::Release);
    }

    /// Returns the number of turns, including those no longer kept.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// Iterates over the turns that are kept, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = TurnTiming> {
        let count = self.count();
        self.kept.iter().take(count.div_ceil(step(count)) as usize).filter_map(StoredTurn::get)
    }
}

/// Returns the step n of the selection (every n-th turn is kept) for `count` turns.
fn step(count: u32) -> u32 {
    count.div_ceil(TURNS_KEPT as u32).next_power_of_two()
}

/// Turns of all calls of an agent, including active calls; several workers write.
#[derive(Debug, Default)]
pub struct AgentTurns(DurationHistogram<{ BOUNDS_MS.len() }>);

impl AgentTurns {
    fn take(&self, turn: Duration) {
        self.0.take_shared(&BOUNDS_MS.map(|ms| ms * 1000), turn);
    }

    /// Returns the number of turns of all calls of the agent.
    pub fn count(&self) -> u64 {
        self.0.counts().sum()
    }

    /// Returns a quantile of the response times, such as the 95th percentile for a `share` of 0.95; `None` without
    /// turns. Interpolates linearly within a bucket.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let counts: Vec<u64> = self.0.counts().collect();
        let all: u64 = counts.iter().sum();
        if all == 0 {
            return None;
        }
        let (rank, mut before, mut from_ms) = (share * all as f64, 0.0, 0.0);
        for (count, to_ms) in counts.into_iter().map(|count| count as f64).zip(BOUNDS_MS.map(|ms| ms as f64)) {
            if count > 0.0 && before + count >= rank {
                let ms = from_ms + (to_ms - from_ms) * ((rank - before) / count).clamp(0.0, 1.0);
                return Some(Duration::from_secs_f64(ms / 1000.0));
            }
            (before, from_ms) = (before + count, to_ms);
        }
        Some(TURN_LIMIT)
    }

    /// Lists the upper bounds in seconds and the count of each bucket; the last count is above all bounds.
    pub fn buckets(&self) -> (Vec<f64>, Vec<u64>) {
        let mut counts = vec![0; SHOWN_MS.len() + 1];
        let bounds_ms = BOUNDS_MS.into_iter().chain([u64::MAX]);
        for (count, bound_ms) in self.0.counts().zip(bounds_ms) {
            let at = SHOWN_MS.partition_point(|shown_ms| *shown_ms < bound_ms);
            if let Some(shown) = counts.get_mut(at) {
                *shown += count;
            }
        }
        (SHOWN_MS.map(|ms| ms as f64 / 1000.0).to_vec(), counts)
    }

    /// Returns the sum of all response times, in seconds.
    pub fn seconds(&self) -> f64 {
        self.0.seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn turn(whole: u64) -> TurnTiming {
        TurnTiming { whole: ms(whole), edge: Some(ms(12)), network: Some(Duration::from_micros(3_400)) }
    }

    #[test]
    fn a_turn_is_kept_with_its_hops() {
        let turns = LegTurns::default();
        let unknown = TurnTiming { whole: TURN_LIMIT, edge: None, network: None };
        for turn in [turn(812), unknown] {
            turns.record_turn(turn);
        }
        assert_eq!(turns.kept().collect::<Vec<_>>(), [turn(812), unknown]);
        assert_eq!(turn(812).agent(), Some(Duration::from_micros(796_600)));
        assert_eq!(unknown.agent(), None);
        assert_eq!((turns.count(), turns.all.count()), (2, 2));
        // Parts were measured at other times and may be longer than the turn.
        assert_eq!(TurnTiming { network: Some(ms(900)), ..turn(100) }.agent(), Some(ms(0)));
    }

    #[test]
    fn of_a_long_call_an_even_selection_is_kept() {
        let turns = LegTurns::default();
        for n in 0..5_000_u32 {
            turns.record_turn(turn(100 + u64::from(n)));
            let kept: Vec<u128> = turns.kept().map(|turn| turn.whole.as_millis() - 100).collect();
            let step = step(n + 1);
            let expected: Vec<u128> = (0..=n).step_by(step as usize).map(u128::from).collect();
            assert_eq!(kept, expected, "{n}");
            assert!(kept.len() == n as usize + 1 || (TURNS_KEPT / 2..=TURNS_KEPT).contains(&kept.len()), "{n}");
        }
        assert_eq!((turns.count(), turns.all.count()), (5_000, 5_000));
    }

    /// Checks that a quantile matches the exact times within the width of a bucket.
    #[test]
    fn quantiles_are_true_to_a_bucket() {
        let turns = AgentTurns::default();
        assert_eq!(turns.quantile(0.5), None);
        let mut times: Vec<u64> = (0..1_000_u64).map(|n| 300 + n * n / 400).collect();
        times.iter().for_each(|time| turns.take(ms(*time)));
        times.sort_unstable();
        for share in [0.05, 0.5, 0.9, 0.95, 0.99] {
            let (is, should) = (turns.quantile(share).unwrap().as_millis() as i64, times[(share * 1000.0) as usize]);
            assert!((is - should as i64).unsigned_abs() <= (should / 10).max(50), "{share}: {is}, not {should}");
        }
        let one = AgentTurns::default();
        one.take(ms(730));
        let (p50, p95) = (one.quantile(0.5).unwrap(), one.quantile(0.95).unwrap());
        assert!(ms(700) < p50 && p50 < p95 && p95 < ms(750), "{p50:?} {p95:?}");
    }

    #[test]
    fn the_longest_turn_is_in_the_last_bucket() {
        assert_eq!(Duration::from_millis(*BOUNDS_MS.last().unwrap()), TURN_LIMIT);
        let turns = AgentTurns::default();
        turns.take(TURN_LIMIT);
        assert_eq!(turns.quantile(1.0), Some(TURN_LIMIT));
    }

    #[test]
    fn metrics_have_each_turn_in_its_bucket() {
        assert!(BOUNDS_MS.is_sorted() && SHOWN_MS.is_sorted());
        assert!(SHOWN_MS.iter().all(|shown| BOUNDS_MS.contains(shown)), "each is the end of a bucket");
        for time_ms in (1..=300).map(|n| n * 100).chain([50, 99, 101, 1_001, 2_001, 29_999]) {
            let turns = AgentTurns::default();
            turns.take(ms(time_ms));
            let (bounds, counts) = turns.buckets();
            let at = counts.iter().position(|count| *count == 1).unwrap();
            assert_eq!(counts.len(), bounds.len() + 1);
            assert_eq!(at, bounds.iter().position(|bound| time_ms as f64 / 1000.0 <= *bound).unwrap(), "{time_ms}");
        }
    }
}
