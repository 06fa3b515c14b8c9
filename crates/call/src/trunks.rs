//! What is known of each trunk at run time: its calls, its rate, whether its peers answered last time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_route::{Table, TokenBucket, Trunk};

use crate::metrics::Metrics;
use crate::reason::ReasonSlug;
use crate::view::TrunkView;

/// One trunk's state.
#[derive(Debug)]
struct TrunkState {
    calls: u64,
    max_calls: u32,
    bucket: TokenBucket,
    /// Peers as written, and whether the last attempt reached them.
    peers: BTreeMap<String, bool>,
    tried: u64,
    answered: u64,
    last_problem: Option<String>,
}

/// All trunks by name.
#[derive(Debug, Default)]
pub(crate) struct Trunks {
    by_name: BTreeMap<Arc<str>, TrunkState>,
}

impl Trunks {
    /// Takes a table's limits over. A trunk that is gone is forgotten once its last call has ended.
    pub(crate) fn configure(&mut self, table: &Table, metrics: &mut Metrics) {
        for trunk in table.trunks() {
            let state = self.state(&trunk.name, trunk.calls_per_second);
            state.max_calls = trunk.max_calls;
            state.bucket.set_rate(trunk.calls_per_second);
            state.peers.retain(|uri, _| trunk.peers.iter().any(|p| p.uri == *uri));
        }
        self.by_name.retain(|name, state| state.calls > 0 || table.trunk(name).is_some());
        let known = self.by_name.iter().filter(|(name, state)| table.trunk(name).is_some() && !state.peers.is_empty());
        metrics.trunk_up = known.map(|(name, state)| (name.clone(), state.peers.values().any(|up| *up))).collect();
        metrics.peer_up.retain(|(name, uri), _| {
            table.trunk(name).is_some_and(|trunk| trunk.peers.iter().any(|peer| peer.uri == *uri))
        });
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

    /// Notes whether a peer gave a sign of life.
    pub(crate) fn heard(&mut self, name: &str, peer: &str, up: bool, metrics: &mut Metrics) {
        let Some(name) = self.by_name.get_key_value(name).map(|(name, _)| name.clone()) else { return };
        let state = self.state(&name, 0);
        if state.peers.insert(peer.to_owned(), up) != Some(up) {
            metrics.peer_up.insert((name.clone(), peer.to_owned()), up);
            metrics.trunk_up.insert(name, state.peers.values().any(|up| *up));
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
            peers: BTreeMap::new(),
            tried: 0,
            answered: 0,
            last_problem: None,
        })
    }

    /// Live calls by trunk.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.by_name.iter().map(|(name, state)| (name, state.calls))
    }

    /// A trunk at a glance.
    pub(crate) fn view(&self, trunk: &Trunk) -> TrunkView {
        let state = self.by_name.get(&trunk.name);
        let up = state.filter(|s| !s.peers.is_empty()).map(|s| s.peers.values().any(|up| *up));
        TrunkView {
            name: trunk.name.to_string(),
            state: match up {
                Some(true) => "up",
                Some(false) => "down",
                None => "unknown",
            },
            calls: state.map_or(0, |s| s.calls),
            max_calls: trunk.max_calls,
            answered_ratio: state.filter(|s| s.tried > 0).map(|s| s.answered as f64 / s.tried as f64),
            last_problem: state.and_then(|s| s.last_problem.clone()),
            peers: trunk.peers.iter().map(|p| p.uri.clone()).collect(),
        }
    }
}
