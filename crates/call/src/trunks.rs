//! What is known of each trunk at run time: its calls, its rate, what went wrong last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_route::{Table, TokenBucket, Trunk};

use crate::reason::ReasonSlug;
use crate::view::{PeerView, TrunkView};

/// One trunk's state.
#[derive(Debug)]
struct TrunkState {
    calls: u64,
    max_calls: u32,
    bucket: TokenBucket,
    tried: u64,
    answered: u64,
    failed: u64,
    pace: Pace,
    last_problem: Option<String>,
}

/// All trunks by name.
#[derive(Debug, Default)]
pub(crate) struct Trunks {
    by_name: BTreeMap<Arc<str>, TrunkState>,
}

impl Trunks {
    /// Takes a table's limits over. A trunk that is gone is forgotten once its last call has ended.
    pub(crate) fn configure(&mut self, table: &Table) {
        for trunk in table.trunks() {
            let state = self.state(&trunk.name, trunk.calls_per_second);
            state.max_calls = trunk.max_calls;
            state.bucket.set_rate(trunk.calls_per_second);
        }
        self.by_name.retain(|name, state| state.calls > 0 || table.trunk(name).is_some());
    }

    /// Counts a call of a trunk in, or says which limit forbids it.
    pub(crate) fn begin(&mut self, now: Instant, name: &Arc<str>) -> Result<(), ReasonSlug> {
        let state = self.state(name, 0);
        if state.max_calls > 0 && state.calls >= u64::from(state.max_calls) {
            return Err(ReasonSlug::LimitCalls);
        }
        if !state.bucket.take(now) {
            return Err(ReasonSlug::LimitRate);
        }
        state.calls += 1;
        state.pace.count(now);
        Ok(())
    }

    /// Counts a call in that comes back from a snapshot: limits do not end calls.
    pub(crate) fn resume(&mut self, name: &Arc<str>) {
        self.state(name, 0).calls += 1;
    }

    /// Counts a call out.
    pub(crate) fn end(&mut self, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.calls = state.calls.saturating_sub(1);
        }
    }

    /// Notes that an attempt towards a trunk began.
    pub(crate) fn tried(&mut self, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.tried += 1;
        }
    }

    /// Notes that an attempt was answered.
    pub(crate) fn answered(&mut self, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.answered += 1;
        }
    }

    /// Notes that an attempt failed.
    pub(crate) fn failed(&mut self, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.failed += 1;
        }
    }

    /// Notes what went wrong last.
    pub(crate) fn problem(&mut self, name: &str, text: String) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.last_problem = Some(text);
        }
    }

    /// A trunk's state; one that is not known yet has no limits but this rate.
    fn state(&mut self, name: &Arc<str>, calls_per_second: u32) -> &mut TrunkState {
        self.by_name.entry(name.clone()).or_insert_with(|| TrunkState {
            calls: 0,
            max_calls: 0,
            bucket: TokenBucket::new(calls_per_second),
            tried: 0,
            answered: 0,
            failed: 0,
            pace: Pace::default(),
            last_problem: None,
        })
    }

    /// Live calls by trunk.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.by_name.iter().map(|(name, state)| (name, state.calls))
    }

    /// A trunk at a glance; its health is told by whoever keeps that.
    pub(crate) fn view(&self, now: Instant, trunk: &Trunk, up: Option<bool>, peers: Vec<PeerView>) -> TrunkView {
        let state = self.by_name.get(&trunk.name);
        TrunkView {
            name: trunk.name.to_string(),
            state: state_word(up),
            calls: state.map_or(0, |s| s.calls),
            max_calls: trunk.max_calls,
            cps: state.map_or(0, |s| s.pace.last_second(now)),
            answered_ratio: state.filter(|s| s.tried > 0).map(|s| s.answered as f64 / s.tried as f64),
            failures: state.map_or(0, |s| s.failed),
            last_problem: state.and_then(|s| s.last_problem.clone()),
            peers,
            registration: None,
        }
    }
}

/// `up`, `down`, `unknown`.
pub(crate) const fn state_word(up: Option<bool>) -> &'static str {
    match up {
        Some(true) => "up",
        Some(false) => "down",
        None => "unknown",
    }
}

/// New calls of the second that is over.
#[derive(Debug, Default)]
struct Pace {
    second: Option<Instant>,
    now: u32,
    before: u32,
}

impl Pace {
    fn count(&mut self, now: Instant) {
        let begun = self.second.map(|second| now.saturating_duration_since(second));
        match begun {
            Some(gone) if gone < SECOND => {}
            Some(gone) => {
                self.before = if gone < 2 * SECOND { self.now } else { 0 };
                self.now = 0;
                self.second = Some(if gone < 2 * SECOND { now - (gone - SECOND) } else { now });
            }
            None => self.second = Some(now),
        }
        self.now = self.now.saturating_add(1);
    }

    fn last_second(&self, now: Instant) -> u32 {
        match self.second.map(|second| now.saturating_duration_since(second)) {
            Some(gone) if gone < SECOND => self.before,
            Some(gone) if gone < 2 * SECOND => self.now,
            Some(_) | None => 0,
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn the_pace_is_that_of_the_last_whole_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::default();
        for ms in [0, 300, 900] {
            pace.count(at(ms));
        }
        assert_eq!(pace.last_second(at(950)), 0, "no second is over");
        assert_eq!(pace.last_second(at(1_500)), 3);
        pace.count(at(1_500));
        assert_eq!(pace.last_second(at(1_900)), 3);
        assert_eq!(pace.last_second(at(2_100)), 1);
        assert_eq!(pace.last_second(at(9_000)), 0);
        pace.count(at(9_000));
        assert_eq!((pace.last_second(at(9_100)), pace.last_second(at(10_100))), (0, 1));
    }
}
